#include "engine/version_file.h"

#include "engine/config_table.h"
#include "engine/whole_file.h"
#include "engine/forecaster.h"
#include "engine/image.h"
#include "engine/pooled.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FORMAT = 1 };

static const char tag[] = "vers";

/* ---- what it is for ----------------------------------------------------------------------------- */

static const char *choice(enum config_section section, const char *key, int value) {
    int n;
    return config_table_keys(section, &n)[config_table_index(section, key)].choices[value];
}

static json_t *names_of(const struct config_class *class, const int *features, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(class->features[features[i]]));
    return list;
}

/* A loss that changes how the output is read; those of points do not. */
static const char *loss_name(enum loss loss) {
    bool points = loss == LOSS_MSE || loss == LOSS_MAE || loss == LOSS_HUBER;
    return points ? "points" : choice(CONFIG_TRAINING, "loss", (int)loss);
}

/* A layer by what it computes with: its kind, what it was asked for, the shapes of its arrays. */
static json_t *layer_of(const struct network *network, int l) {
    const struct layer_spec *spec = &network_spec(network)->layers[l];
    const struct {
        const char *name;
        double value;
    } settings[] = {
        {"units", spec->units},
        {"activation", spec->activation},
        {"use_bias", spec->use_bias},
        {"cell", spec->cell},
        {"merge", spec->merge},
        {"recurrent_activation", spec->recurrent_activation},
        {"return_sequences", spec->return_sequences},
        {"return_state", spec->return_state},
        {"go_backwards", spec->go_backwards},
        {"stateful", spec->stateful},
        {"reset_after", spec->reset_after},
        {"zero_output_for_mask", spec->zero_output_for_mask},
        {"vocabulary", spec->vocabulary},
        {"mask_zero", spec->mask_zero},
        {"mask_value", (double)spec->mask_value},
        {"kernel_size", spec->kernel_size},
        {"strides", spec->strides},
        {"dilation", spec->dilation},
        {"groups", spec->groups},
        {"padding", spec->padding},
        {"target_steps", spec->target_steps},
        {"target_width", spec->target_width},
        {"epsilon", (double)spec->epsilon},
        {"alpha", (double)spec->alpha},
        {"keep_steps", spec->keep_steps},
        {"keras2_masks", spec->keras2_masks},
        {"shares", spec->shares},
    };
    struct network_weight weights[LAYER_WEIGHTS];
    json_t *map = json_pack("{s:s}", "kind", layer_kind_name(spec->kind));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (settings[i].value != 0)
            json_object_set_new(map, settings[i].name, json_real(settings[i].value));
    for (int i = 0; i < spec->n_in; i++)
        json_object_set_new(map,
                            (const char *const[]){"in 0", "in 1", "in 2", "in 3", "in 4", "in 5", "in 6", "in 7"}[i],
                            json_integer(spec->in[i].layer * LAYER_PORTS + spec->in[i].port));
    for (int w = 0, n = network_weights(network, l, weights); w < n; w++)
        json_object_set_new(map, weights[w].name, json_integer((json_int_t)weights[w].n));
    return map;
}

static json_t *layers_of(const struct network *network) {
    json_t *list = json_array();
    for (int l = 0; l < network_spec(network)->n_layers; l++)
        json_array_append_new(list, layer_of(network, l));
    return list;
}

char *version_file_model(const struct config_model *model, const struct config_class *class, struct error *err) {
    struct network *network = forecaster_network(model, err);
    if (network == NULL)
        return NULL;
    json_t *map = json_pack(
        "{s:o, s:o, s:i, s:s, s:i, s:s, s:i, s:s, s:s, s:b, s:s, s:o, s:I}", "inputs",
        names_of(class, model->inputs, model->n_inputs), "targets", names_of(class, model->targets, model->n_targets),
        "horizon", model->horizon, "head", choice(CONFIG_MODEL, "head", (int)model->head), "classes",
        model->head == HEAD_EVENT ? model->classes : 0, "mode", choice(CONFIG_MODEL, "mode", (int)model->mode),
        "window", model->mode == MODEL_WINDOWED ? model->window : 1, "forecast",
        choice(CONFIG_MODEL, "forecast", (int)model->form), "scaler",
        choice(CONFIG_MODEL, "scaler", (int)model->scaler), "residual", model->residual, "loss",
        loss_name(model->training.loss), "layers", layers_of(network), "parameters",
        (json_int_t)network_n_params(network));
    for (int l = 0; map != NULL && model->training.loss == LOSS_QUANTILE && l < model->n_levels; l++) {
        json_t *levels = l == 0 ? json_array() : json_incref(json_object_get(map, "levels"));
        json_array_append_new(levels, json_real(model->levels[l]));
        json_object_set_new(map, "levels", levels);
    }
    network_free(network);
    char *text = map != NULL ? json_dumps(map, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    json_decref(map);
    if (text == NULL)
        error_set(err, "model %s: out of memory", model->name);
    return text;
}

/* A value as a sentence has it, cut. */
static void print_value(char out[64], const json_t *value) {
    char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(out, 64, "%.60s", text != NULL ? text : "nothing");
    free(text);
}

/* Says what first differs. */
static enum version_file tell_difference(const char *made_for, const char *wanted, struct error *err) {
    json_t *was = json_loads(made_for, 0, NULL), *is = json_loads(wanted, 0, NULL), *value;
    const char *key, *first = "layers";
    char before[64], now[64];
    json_object_foreach(is, key, value) if (!json_equal(value, json_object_get(was, key))) {
        first = key;
        if (strcmp(key, "parameters") != 0)
            break;
    }
    print_value(before, json_object_get(was, first));
    print_value(now, json_object_get(is, first));
    if (strcmp(first, "layers") == 0)
        error_set(err, "it was made for another model: the layers of that were others");
    else
        error_set(err, "it was made for another model: %s is %s now, and was %s then", first, now, before);
    json_decref(was);
    json_decref(is);
    return VERSION_FILE_OTHER;
}

/* ---- the file ----------------------------------------------------------------------------------- */

/* What is in it; all to be freed. */
struct contents {
    uint64_t number;
    char *made_for, *facts;
    bool has_network;
    uint32_t n_params, n_ridge;
    float *params, *ridge;
    int64_t period, window; /* of the model that the ridge was solved for */
};

static void io_floats(struct image_io *io, float **floats, uint32_t *n) {
    image_io(io, n, 1);
    if (image_reads(io) && *n > 0) {
        if (!image_check(io, *n <= (size_t)(io->end - io->at) / sizeof **floats, "there are too few numbers"))
            return;
        *floats = calloc(*n, sizeof **floats);
        if (*floats == NULL) {
            io->memory = true;
            image_refuse(io, "out of memory");
        }
    }
    if (*floats != NULL)
        image_io(io, *floats, *n);
}

/* Both ways. */
static void io_contents(struct image_io *io, struct contents *contents) {
    image_io(io, &contents->number, 1);
    image_text(io, &contents->made_for);
    image_text(io, &contents->facts);
    image_bool(io, &contents->has_network);
    io_floats(io, &contents->params, &contents->n_params);
    io_floats(io, &contents->ridge, &contents->n_ridge);
    image_io(io, &contents->period, 1);
    image_io(io, &contents->window, 1);
}

int version_file_write(const char *path, const struct config_model *model, const struct version *version,
                       const char *made_for, const char *facts, struct error *err) {
    const struct network *network = version_network(version);
    const float *ridge = version_ridge(version);
    struct contents contents = {
        .number = version_number(version),
        .made_for = (char *)(uintptr_t)made_for, /* which are only read */
        .facts = (char *)(uintptr_t)facts,
        .has_network = network != NULL,
        .n_params = network != NULL ? (uint32_t)network_n_params(network) : 0,
        .n_ridge = ridge != NULL ? (uint32_t)pooled_size(model) : 0,
        .params = network != NULL ? (float *)(uintptr_t)network_params_const(network) : NULL,
        .ridge = (float *)(uintptr_t)ridge,
        .period = model->period,
        .window = model->training.window,
    };
    struct image image = {0};
    struct image_io io, section;
    image_begin(&io, &image);
    image_enter(&io, tag, FORMAT, &section);
    io_contents(&section, &contents);
    image_leave(&io, &section);
    int failed = image_end(&io) != 0 ? error_set(err, "out of memory") : 0;
    if (failed == 0)
        failed = whole_file_write(path, image.bytes, image.n, err);
    image_free(&image);
    return failed != 0 ? error_prefix(err, "%s", path) : 0;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static enum version_file why_not(const struct image_io *io) {
    return io->newer ? VERSION_FILE_NEWER : io->memory ? VERSION_FILE_FAILED : VERSION_FILE_DAMAGED;
}

static enum version_file read_image(const void *bytes, size_t n, struct contents *contents, struct error *err) {
    struct image_io io, section;
    if (image_open(&io, bytes, n, err) != 0)
        return why_not(&io);
    image_enter(&io, tag, FORMAT, &section);
    if (image_ok(&section))
        io_contents(&section, contents);
    image_leave(&io, &section);
    return image_end(&io) == 0 ? VERSION_FILE_READ : why_not(&io);
}

/* A model that has other experts now, or a ridge on other inputs, does without. */
static bool ridge_fits(const struct contents *contents, const struct config_model *model) {
    return contents->n_ridge > 0 && contents->period == model->period && contents->window == model->training.window &&
           contents->n_ridge == pooled_size(model);
}

/* The version of what has been read, which keeps none of it but the ridge. */
static enum version_file make_version(struct contents *contents, const struct config_model *model,
                                      const char *made_for, struct version **ret_version, struct error *err) {
    struct network *network = NULL;
    if (strcmp(contents->made_for, made_for) != 0)
        return tell_difference(contents->made_for, made_for, err);
    if (contents->has_network && (network = forecaster_network(model, err)) == NULL)
        return VERSION_FILE_FAILED;
    if (contents->n_params != (network != NULL ? network_n_params(network) : 0)) {
        network_free(network);
        error_set(err, "it is damaged: its parameters are not as many as the model has");
        return VERSION_FILE_DAMAGED;
    }
    if (network != NULL)
        memcpy(network_params(network), contents->params, contents->n_params * sizeof *contents->params);
    struct version *version = version_new(contents->number, network);
    if (version == NULL) {
        network_free(network);
        error_set(err, "out of memory");
        return VERSION_FILE_FAILED;
    }
    if (ridge_fits(contents, model)) {
        version_set_ridge(version, contents->ridge);
        contents->ridge = NULL;
    }
    *ret_version = version;
    return VERSION_FILE_READ;
}

enum version_file version_file_read(const char *path, const struct config_model *model, const char *made_for,
                                    struct version **ret_version, char **ret_facts, struct error *err) {
    struct contents contents = {0};
    void *bytes = NULL;
    size_t n = 0;
    int failed = whole_file_read(path, &bytes, &n, err);
    enum version_file got = failed > 0 ? VERSION_FILE_NONE : failed < 0 ? VERSION_FILE_FAILED : VERSION_FILE_READ;
    if (got == VERSION_FILE_READ)
        got = read_image(bytes, n, &contents, err);
    free(bytes);
    if (got == VERSION_FILE_READ)
        got = make_version(&contents, model, made_for, ret_version, err);
    if (got != VERSION_FILE_READ) {
        error_prefix(err, "%s", path);
    } else if (ret_facts != NULL) {
        *ret_facts = contents.facts;
        contents.facts = NULL;
    }
    free(contents.made_for);
    free(contents.facts);
    free(contents.params);
    free(contents.ridge);
    return got;
}

uint64_t version_file_digest(const struct network *network) {
    return network != NULL ? XXH3_64bits(network_params_const(network), network_n_params(network) * sizeof(float))
                           : 0;
}
