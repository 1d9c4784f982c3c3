#include "engine/keras/builder.h"

#include <stdlib.h>
#include <string.h>

/* ---- the shape of the input --------------------------------------------------------------------- */

/* [batch, ...] as an InputLayer or the first layer has it; NULL: not said there. */
static const json_t *batch_shape(const struct description *it) {
    static const char *const keys[] = {"batch_input_shape", "batch_shape"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *shape = json_object_get(it->config, keys[i]);
        if (json_is_array(shape))
            /* Keras 3 has a list of shapes where there are several inputs. */
            return json_is_array(json_array_get(shape, 0)) ? json_array_get(shape, 0) : shape;
    }
    return NULL;
}

/* Keras 1's ways to say it, without the batch; a new reference, or NULL. */
static json_t *old_shape(const struct description *it) {
    const json_t *shape = json_object_get(it->config, "input_shape");
    const json_t *width = json_object_get(it->config, "input_dim");
    json_t *steps = json_object_get(it->config, "input_length");
    if (json_is_array(shape)) {
        json_t *whole = json_pack("[n]");
        if (whole)
            json_array_extend(whole, (json_t *)shape);
        return whole;
    }
    if (strcmp(it->class_name, "Embedding") == 0)
        return json_pack("[n, O?]", steps);
    if (!json_is_integer(width))
        return NULL;
    return strcmp(it->class_name, "Dense") == 0 ? json_pack("[n, O]", width) : json_pack("[n, O?, O]", steps, width);
}

/* The shape of what goes into a model or its first layer; a new reference, or NULL. */
static json_t *find_shape(const struct description *it, int depth) {
    const json_t *shape = batch_shape(it);
    if (shape || depth > ARCHITECTURE_DEPTH_MAX)
        return json_incref((json_t *)shape);
    if (!builder_is_model(it))
        return old_shape(it);
    const json_t *layers = builder_layers(it), *found = NULL;
    for (size_t i = 0; i < json_array_size(layers) && !found; i++)
        if (builder_is_sequential(it) ||
            strcmp(description_of(json_array_get(layers, i)).class_name, "InputLayer") == 0)
            found = json_array_get(layers, i);
    struct description first = description_of(found);
    json_t *its = found ? find_shape(&first, depth + 1) : NULL;
    if (its)
        return its;
    const json_t *built = json_object_get(it->config, "build_input_shape");
    if (!json_is_array(built))
        built = json_object_get(json_object_get(it->data, "build_config"), "input_shape");
    if (!json_is_array(built) && found)
        built = json_object_get(json_object_get(found, "build_config"), "input_shape");
    return json_is_array(built) ? json_incref((json_t *)built) : NULL;
}

/* A dimension, or 0 where it is open; -1 where it is nonsense. */
static int dimension(const json_t *shape, size_t at, int max) {
    const json_t *value = json_array_get(shape, at);
    if (json_is_null(value))
        return 0;
    json_int_t number = json_integer_value(value);
    return json_is_integer(value) && number >= 1 && number <= max ? (int)number : -1;
}

static int take_shape(struct builder *builder, const struct description *model) {
    struct network_spec *spec = &builder->architecture->spec;
    json_t *shape = find_shape(model, 0);
    size_t rank = json_array_size(shape);
    int result = -1;
    if (!shape) {
        error_set(builder->err, "the model does not say the shape of its input");
        return -1;
    }
    if (rank < 2 || rank > 3)
        error_set(builder->err, "the model's input has %zu dimensions, and 2 or 3 are supported", rank);
    else if (rank == 3) {
        spec->steps = dimension(shape, 1, NETWORK_STEPS_MAX);
        spec->n_inputs = dimension(shape, 2, NETWORK_WIDTH_MAX);
        result = spec->steps >= 0 && spec->n_inputs > 0 ? 0 : -1;
    } else {
        builder->input_is_flat = true;
        spec->n_inputs = dimension(shape, 1, NETWORK_STEPS_MAX); /* or its steps: that is seen later */
        result = spec->n_inputs >= 0 ? 0 : -1;
    }
    if (result && rank >= 2 && rank <= 3)
        error_set(builder->err,
                  "the model's input has a shape that is not supported: its width must be given, up to %d",
                  NETWORK_WIDTH_MAX);
    json_decref(shape);
    return result;
}

/* [batch, n] is n ids where embeddings read it, else n numbers without a time axis. */
static int settle_flat_input(struct builder *builder) {
    struct network_spec *spec = &builder->architecture->spec;
    if (!builder->input_is_flat)
        return 0;
    if (builder->reads_ids && builder->reads_numbers)
        return error_set(builder->err, "the model's input is read both as ids and as numbers");
    if (builder->reads_ids) {
        spec->ids = true;
        spec->steps = spec->n_inputs;
        spec->n_inputs = 1;
        return 0;
    }
    spec->no_time = true;
    if (spec->n_inputs < 1 || spec->n_inputs > NETWORK_WIDTH_MAX)
        return error_set(builder->err, "the model's input has a width that is not from 1 to %d", NETWORK_WIDTH_MAX);
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static bool comes_out(const struct network_spec *spec, int n, struct layer_input at) {
    for (int i = 0; i < n; i++)
        if (spec->outputs[i].layer == at.layer && spec->outputs[i].port == at.port)
            return true;
    return false;
}

/* An input that comes out, and what comes out twice, go through a layer that does nothing. */
static int settle_outputs(struct builder *builder, const struct values *out) {
    struct network_spec *spec = &builder->architecture->spec;
    if (out->n > LAYER_PORTS)
        return error_set(builder->err, "the model has %d outputs, and %d are supported", out->n, LAYER_PORTS);
    for (int i = 0; i < out->n; i++) {
        struct layer_input at = out->value[i].at;
        if (out->value[i].mask)
            return error_set(builder->err, "output %d of the model is a mask", i);
        if (at.layer < 0 || comes_out(spec, i, at)) {
            at = (struct layer_input){builder_add_identity(builder, "output", &out->value[i]), 0};
            if (at.layer < 0)
                return -1;
        }
        spec->outputs[i] = at;
    }
    spec->n_outputs = out->n;
    /* The common case in the common way. */
    if (out->n == 1 && spec->outputs[0].layer == spec->n_layers - 1 && spec->outputs[0].port == 0)
        spec->n_outputs = 0;
    return 0;
}

/* Whether what Keras 3 writes down of a mask is what a layer of the network does. */
static bool is_own_mask(const struct network_spec *spec, const struct mask_made *mask) {
    for (int i = 0; i < spec->n_layers; i++) {
        const struct layer_spec *layer = &spec->layers[i];
        struct layer_input in = layer->n_in ? layer->in[0] : (struct layer_input){i - 1, 0};
        if (in.layer == mask->of.layer && in.port == mask->of.port &&
            ((layer->kind == LAYER_EMBEDDING && layer->mask_zero && mask->constant == 0) ||
             (layer->kind == LAYER_MASKING && layer->mask_value == (float)mask->constant)))
            return true;
    }
    return false;
}

static int check_masks(const struct builder *builder) {
    for (int i = 0; i < builder->n_masks; i++)
        if (!is_own_mask(&builder->architecture->spec, &builder->masks[i]))
            return error_set(builder->err,
                             "a mask of the model is not made by Embedding or Masking (not equal to %g), "
                             "which is not supported",
                             builder->masks[i].constant);
    return 0;
}

int architecture_init(struct architecture *architecture, const json_t *json, bool old, struct error *err) {
    *architecture = (struct architecture){.spec = {.mode = NETWORK_SAMPLES}};
    struct builder builder = {.architecture = architecture, .old = old, .err = err};
    struct description model = description_of(json);
    if (!builder_is_model(&model))
        return error_set(err, "a model of class %.60s is not supported",
                         model.class_name[0] ? model.class_name : "unknown");
    if (json_array_size(builder_layers(&model)) < 1)
        return error_set(err, "the model has no layers");
    if (take_shape(&builder, &model) || builder_list_homes(&builder, &model))
        return -1;
    /* Of [batch, n] it is not known yet what it is: n ids are a sequence, which only an Embedding reads. */
    struct values in = {.n = 1, .value = {{.at = {-1, 0}, .sequence = !builder.input_is_flat}}}, out;
    if (builder_call(&builder, &model, &in, &out))
        return -1;
    if (architecture->spec.n_layers < 1)
        return error_set(err, "the model has no layers");
    return settle_outputs(&builder, &out) || settle_flat_input(&builder) || check_masks(&builder) ? -1 : 0;
}

void architecture_fini(struct architecture *architecture) {
    free(architecture->layers);
    free(architecture->homes);
    *architecture = (struct architecture){0};
}
