#include "engine/keras/weights.h"
#include "engine/keras/weights_convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_MAX = 1200, PATH_MAX_HERE = 2400 };

/* A layer that has parameters, and what the file has for it. */
struct owner {
    const struct architecture_home *home;
    struct network_weight weights[LAYER_WEIGHTS];
    int n_weights;
    struct arrays arrays;
};

struct reading {
    const struct container *container;
    const struct architecture *architecture;
    const struct network *network;
    struct owner *owners;
    int n;
    struct error *err;
};

static int blame(const struct reading *reading, const struct owner *owner) {
    const struct layer_spec *spec = &reading->architecture->layers[owner->home->layer];
    return error_prefix(reading->err, "layer %.120s (%s)", spec->name, layer_kind_name(spec->kind));
}

/* ---- Keras 3: by path --------------------------------------------------------------------------- */

/* Appends vars/0, vars/1, ... of a group. */
static int add_vars(const struct reading *reading, const char *group, struct arrays *arrays) {
    int before = arrays->n;
    for (int i = 0; arrays->n < WEIGHTS_ARRAYS_MAX; i++) {
        char name[PATH_MAX_HERE];
        snprintf(name, sizeof name, "%s/vars/%d", group, i);
        const struct container_array *array = container_array(reading->container, name);
        if (!array)
            break;
        arrays->array[arrays->n++] = array;
    }
    return arrays->n - before;
}

/* Of a group, or of the cell in it, whichever has some. */
static int add_group(const struct reading *reading, const char *path, const char *part, struct arrays *arrays) {
    char group[PATH_MAX_HERE];
    snprintf(group, sizeof group, "%s%s/cell", path, part);
    if (add_vars(reading, group, arrays))
        return 1;
    snprintf(group, sizeof group, "%s%s", path, part);
    return add_vars(reading, group, arrays);
}

static int find_at(const struct reading *reading, const char *path, enum layer_kind kind, struct arrays *arrays) {
    arrays->n = 0;
    if (kind != LAYER_BIDIRECTIONAL)
        return add_group(reading, path, "", arrays);
    return add_group(reading, path, "/forward_layer", arrays) && add_group(reading, path, "/backward_layer", arrays);
}

/* Paths by classes; as tf-keras before 2.13 began them; and by names. */
static int find_by_path(const struct reading *reading, struct owner *owner) {
    enum layer_kind kind = reading->architecture->layers[owner->home->layer].kind;
    char older[PATH_MAX_HERE];
    snprintf(older, sizeof older, "_layer_checkpoint_dependencies%s", owner->home->path + strlen("layers"));
    if (find_at(reading, owner->home->path, kind, &owner->arrays) || find_at(reading, older, kind, &owner->arrays) ||
        find_at(reading, owner->home->named, kind, &owner->arrays))
        return 0;
    error_set(reading->err, "the file has no weights for it (%s)", owner->home->path);
    return blame(reading, owner);
}

/* ---- Keras 1 and 2: by the names that a group lists --------------------------------------------- */

struct names {
    const struct container *container;
    char path[PATH_MAX_HERE]; /* "group@attribute" */
    bool in_pieces;
    int piece;
    const struct container_text *text;
    size_t n, at;
};

static void names_begin(struct names *names, const struct container *container, const char *group,
                        const char *attribute) {
    *names = (struct names){.container = container};
    snprintf(names->path, sizeof names->path, "%s@%s", group, attribute);
    names->text = container_text(container, names->path, &names->n);
    names->in_pieces = !names->text;
}

/* The next of an attribute, which may go on in others of its name with 0, 1, ... behind it; NULL at the end. */
static const char *names_next(struct names *names) {
    while (names->at == names->n) {
        if (!names->in_pieces)
            return NULL;
        char piece[PATH_MAX_HERE + 16];
        snprintf(piece, sizeof piece, "%s%d", names->path, names->piece++);
        names->text = container_text(names->container, piece, &names->n);
        names->at = 0;
        if (!names->text) {
            names->in_pieces = false;
            names->n = 0;
        }
    }
    return names->text[names->at++].text;
}

static bool has_names(const struct container *container, const char *group, const char *attribute) {
    struct names names;
    names_begin(&names, container, group, attribute);
    return names_next(&names) != NULL;
}

/* The group in which the layers' groups are; NULL: there is none. */
static const char *weights_root(const struct container *container) {
    if (has_names(container, "model_weights", "layer_names"))
        return "model_weights";
    return has_names(container, "", "layer_names") ? "" : NULL;
}

const char *weights_attribute(const struct container *container, const char *attribute) {
    char name[128];
    snprintf(name, sizeof name, "@%s", attribute);
    const struct container_text *text = container_text(container, name, NULL);
    snprintf(name, sizeof name, "model_weights@%s", attribute);
    if (!text)
        text = container_text(container, name, NULL);
    return text ? text->text : "";
}

/* A top layer of the model, its owners from `first` on, and its group. */
struct top {
    int first, n;
    char group[GROUP_MAX];
};

static int n_expected(const struct reading *reading, const struct owner *owner, bool keras1) {
    const struct layer_spec *spec = &reading->architecture->layers[owner->home->layer];
    return keras1 ? weights_n_keras1(spec, owner->n_weights) : owner->n_weights;
}

/* How many of them come first, with all that can be trained. */
static int n_trainable(const struct owner *owner, int expected) {
    int fixed = 0;
    for (int i = 0; i < owner->n_weights; i++)
        fixed += !owner->weights[i].trainable;
    return owner->home->trainable ? expected - fixed : 0;
}

/* Gives a layer's arrays to its owners: of a model in a model first those of all that can be trained, then the
 * rest. */
static int share_out(const struct reading *reading, const struct top *top, const struct container_array **arrays,
                     int n) {
    struct owner *owners = reading->owners + top->first;
    int sums[2] = {0, 0};
    for (int i = 0; i < top->n; i++)
        for (int keras1 = 0; keras1 < 2; keras1++)
            sums[keras1] += n_expected(reading, &owners[i], keras1);
    bool keras1 = n != sums[0];
    if (n != sums[keras1]) {
        error_set(reading->err, "the file has %d weights for it, and it must have %d", n, sums[0]);
        return blame(reading, &owners[0]);
    }
    int at = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < top->n; i++) {
            struct owner *owner = &owners[i];
            int expected = n_expected(reading, owner, keras1), first = n_trainable(owner, expected);
            for (int k = 0; k < (pass ? expected - first : first) && owner->arrays.n < WEIGHTS_ARRAYS_MAX; k++)
                owner->arrays.array[owner->arrays.n++] = arrays[at++];
        }
    return 0;
}

static int read_top(const struct reading *reading, const struct top *top) {
    const struct container_array *arrays[LAYER_WEIGHTS * 256];
    enum { MAX = sizeof arrays / sizeof arrays[0] };
    struct names names;
    const char *name;
    int n = 0;
    names_begin(&names, reading->container, top->group, "weight_names");
    while ((name = names_next(&names)) && n < MAX) {
        char path[PATH_MAX_HERE];
        snprintf(path, sizeof path, "%s/%.1024s", top->group, name);
        arrays[n] = container_array(reading->container, path);
        if (!arrays[n++]) {
            error_set(reading->err, "the file has no array %.100s", name);
            return blame(reading, &reading->owners[top->first]);
        }
    }
    return share_out(reading, top, arrays, n);
}

/* The next group that lists weights, in the file's order. */
static bool next_group(const struct reading *reading, struct names *names, const char *root, char *ret_group) {
    const char *name;
    while ((name = names_next(names))) {
        snprintf(ret_group, GROUP_MAX, "%s%s%.1024s", root, root[0] ? "/" : "", name);
        if (has_names(reading->container, ret_group, "weight_names"))
            return true;
    }
    return false;
}

/*
 * As Keras does: the n-th layer with weights has those of the n-th group with weights; names may differ, as they are
 * numbered anew in each process. But where the model has other layers than the file, all of their names must be
 * there.
 */
static int find_by_names(const struct reading *reading, const char *root) {
    struct top *tops = calloc((size_t)reading->n, sizeof *tops);
    struct names names;
    char group[GROUP_MAX];
    int n = 0, n_groups = 0, failed = 0;
    if (!tops)
        return error_set(reading->err, "not enough memory");
    for (int i = 0; i < reading->n; i++) {
        if (n == 0 || reading->owners[i].home->top != reading->owners[tops[n - 1].first].home->top)
            tops[n++].first = i;
        tops[n - 1].n++;
    }
    names_begin(&names, reading->container, root, "layer_names");
    while (next_group(reading, &names, root, group)) {
        if (n_groups < n)
            memcpy(tops[n_groups].group, group, sizeof group);
        n_groups++;
    }
    for (int i = 0; i < n && n_groups != n && !failed; i++) {
        const struct owner *owner = &reading->owners[tops[i].first];
        snprintf(tops[i].group, sizeof tops[i].group, "%s%s%.1024s", root, root[0] ? "/" : "", owner->home->top_name);
        if (!has_names(reading->container, tops[i].group, "weight_names")) {
            error_set(reading->err, "the file has no weights for it");
            failed = blame(reading, owner);
        }
    }
    for (int i = 0; i < n && !failed; i++)
        failed = read_top(reading, &tops[i]);
    free(tops);
    return failed;
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static int find_arrays(const struct reading *reading) {
    const char *root = weights_root(reading->container);
    if (root)
        return find_by_names(reading, root);
    for (int i = 0; i < reading->n; i++)
        if (find_by_path(reading, &reading->owners[i]))
            return -1;
    return 0;
}

static int convert_all(const struct reading *reading, float *params) {
    bool theano = strcmp(weights_attribute(reading->container, "backend"), "theano") == 0;
    for (int i = 0; i < reading->n; i++) {
        const struct owner *owner = &reading->owners[i];
        struct conversion conversion = {.spec = &reading->architecture->layers[owner->home->layer],
                                        .n_weights = owner->n_weights,
                                        .weights = owner->weights,
                                        .flipped = theano,
                                        .params = params};
        if (weights_convert(&conversion, &owner->arrays, reading->err))
            return blame(reading, owner);
    }
    return 0;
}

int weights_read(const struct container *container, const struct architecture *architecture,
                 const struct network *network, float *params, struct error *err) {
    struct reading reading = {.container = container, .architecture = architecture, .network = network, .err = err};
    reading.owners = calloc((size_t)architecture->n_homes + 1, sizeof *reading.owners);
    if (!reading.owners)
        return error_set(err, "not enough memory");
    for (int i = 0; i < architecture->n_homes; i++) {
        struct owner owner = {.home = &architecture->homes[i]};
        if (owner.home->layer < 0)
            continue;
        owner.n_weights = network_weights(network, owner.home->layer, owner.weights);
        if (owner.n_weights > 0)
            reading.owners[reading.n++] = owner;
    }
    int failed = reading.n && (find_arrays(&reading) || convert_all(&reading, params)) ? -1 : 0;
    free(reading.owners);
    return failed;
}
