/* Where parameters lie: a walk through the description in the order in which Keras keeps weights. */
#include "engine/keras/builder.h"
#include "engine/layers/layer.h"

#include <stdlib.h>
#include <string.h>

/* One level of the walk. */
struct level {
    int top; /* -1: the model itself, each of whose layers is a top one */
    const char *top_name;
    bool trainable;
    const char *path, *named; /* what stands before the names */
    int depth;
};

/* Joins with '/'; -1 when it is too long, which no weight's name is. */
static int join(char *to, const char *a, const char *b) {
    int n = snprintf(to, ARCHITECTURE_PATH_MAX, "%s%s%s", a, a[0] ? "/" : "", b);
    return n < ARCHITECTURE_PATH_MAX ? 0 : -1;
}

static int add_home(struct builder *builder, const json_t *data, const struct level *level, const char *path,
                    const char *named) {
    struct architecture *architecture = builder->architecture;
    if (architecture->n_homes == ARCHITECTURE_LAYERS_MAX)
        return error_set(builder->err, "the model has more than %d layers", ARCHITECTURE_LAYERS_MAX);
    if (architecture->n_homes == builder->homes_room) {
        int room = builder->homes_room ? 2 * builder->homes_room : 16;
        void *moved = realloc(architecture->homes, (size_t)room * sizeof *architecture->homes);
        if (!moved)
            return error_set(builder->err, "not enough memory");
        architecture->homes = moved;
        builder->homes_room = room;
    }
    struct architecture_home *home = &architecture->homes[architecture->n_homes++];
    *home = (struct architecture_home){
        .data = data, .layer = -1, .top = level->top, .top_name = level->top_name, .trainable = level->trainable};
    snprintf(home->path, sizeof home->path, "%s", path);
    snprintf(home->named, sizeof home->named, "%s", named);
    return 0;
}

static int walk_layers(struct builder *builder, const json_t *layers, const struct level *level,
                       const char *container);

/* One layer, or what is inside of a wrapper, at its paths. */
static int walk_layer(struct builder *builder, const struct description *it, const struct level *level,
                      const char *path, const char *named) {
    struct level inside = *level;
    inside.path = path;
    inside.named = named;
    inside.trainable &= !json_is_false(json_object_get(it->config, "trainable"));
    inside.depth++;
    if (inside.depth > ARCHITECTURE_DEPTH_MAX)
        return error_set(builder->err, "more than %d models in each other", ARCHITECTURE_DEPTH_MAX);
    if (builder_is_model(it))
        return walk_layers(builder, builder_layers(it), &inside, "layers");
    const json_t *cells = description_cells(it);
    if (cells)
        return walk_layers(builder, cells, &inside, "cell/cells");
    if (strcmp(it->class_name, "TimeDistributed") != 0)
        return add_home(builder, it->data, &inside, path, named);
    char inner_path[ARCHITECTURE_PATH_MAX], inner_named[ARCHITECTURE_PATH_MAX];
    struct description inner = description_of(json_object_get(it->config, "layer"));
    if (join(inner_path, path, "layer") || join(inner_named, named, "layer"))
        return error_set(builder->err, "names are too long");
    return walk_layer(builder, &inner, &inside, inner_path, inner_named);
}

/* How many layers of the class of this one stand before it. */
static int number_of(const json_t *layers, size_t at, const char *class_name) {
    int number = 0;
    for (size_t i = 0; i < at; i++) {
        struct description before = description_of(json_array_get(layers, i));
        number += !before.is_op && strcmp(before.class_name, class_name) == 0;
    }
    return number;
}

static int walk_layers(struct builder *builder, const json_t *layers, const struct level *level,
                       const char *container) {
    if (json_array_size(layers) > ARCHITECTURE_LAYERS_MAX)
        return error_set(builder->err, "the model has more than %d layers", ARCHITECTURE_LAYERS_MAX);
    char base[ARCHITECTURE_PATH_MAX], named_base[ARCHITECTURE_PATH_MAX];
    if (join(base, level->path, container) || join(named_base, level->named, container))
        return error_set(builder->err, "names are too long");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        struct description it = description_of(json_array_get(layers, i));
        char class_name[64], name[160], path[ARCHITECTURE_PATH_MAX], named[ARCHITECTURE_PATH_MAX];
        if (it.is_op || strcmp(it.class_name, "InputLayer") == 0)
            continue;
        snprintf(class_name, sizeof class_name, "%s", it.class_name); /* no class that is read is so long */
        layer_snake_case(class_name, name);
        int number = number_of(layers, i, it.class_name);
        if (number > 0)
            snprintf(name + strlen(name), 16, "_%d", number);
        if (join(path, base, name) || join(named, named_base, it.name))
            return error_set(builder->err, "names are too long");
        struct level each = *level;
        if (level->top < 0) {
            each.top = (int)i;
            each.top_name = it.name;
        }
        if (walk_layer(builder, &it, &each, path, named))
            return -1;
    }
    return 0;
}

int builder_list_homes(struct builder *builder, const struct description *model) {
    struct level level = {.top = -1, .top_name = "", .path = "", .named = ""};
    level.trainable = !json_is_false(json_object_get(model->config, "trainable"));
    return walk_layers(builder, builder_layers(model), &level, "layers");
}

struct architecture_home *builder_home(struct builder *builder, const json_t *data) {
    for (int i = 0; i < builder->architecture->n_homes; i++)
        if (builder->architecture->homes[i].data == data)
            return &builder->architecture->homes[i];
    return NULL;
}
