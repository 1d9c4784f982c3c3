#include "engine/keras/keras.h"
#include "engine/keras/architecture.h"
#include "engine/keras/container.h"
#include "engine/keras/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARCHITECTURE_FILE_MAX = 64 << 20 };

/* ---- the description ---------------------------------------------------------------------------- */

static json_t *parse(const char *text, const char *what, struct error *err) {
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (!json)
        error_set(err, "%s is not JSON: line %d: %s", what, error.line, error.text);
    return json;
}

/* A pipe must not keep who opens it waiting, nor a device give without an end. */
static json_t *parse_file(const char *path, struct error *err) {
    json_error_t error = {.text = ""};
    struct stat stat;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *reason = error.text;
    json_t *json = NULL;
    if (file < 0 || fstat(file, &stat) < 0)
        reason = strerror(errno);
    else if (!S_ISREG(stat.st_mode))
        reason = "is not a file";
    else if (stat.st_size > ARCHITECTURE_FILE_MAX)
        reason = "is too large for a description of a model";
    else
        json = json_loadfd(file, 0, &error);
    if (!json)
        error_set(err, "architecture %.200s: %s", path, reason);
    if (file >= 0)
        close(file);
    return json;
}

static json_t *find_description(const struct container *container, const char *architecture, struct error *err) {
    const struct container_text *config = container_text(container, "config.json", NULL);
    if (config)
        return parse(config->text, "config.json", err);
    config = container_text(container, "@model_config", NULL);
    if (config)
        return parse(config->text, "model_config", err);
    if (architecture)
        return parse_file(architecture, err);
    error_set(err, "holds no description of a model: weights alone need the model's JSON beside them");
    return NULL;
}

/* Which Keras wrote the file; "" where it does not say. */
static void find_version(const struct container *container, const json_t *description, char *ret_version,
                         size_t size) {
    const struct container_text *metadata = container_text(container, "metadata.json", NULL);
    json_t *json = metadata ? json_loads(metadata->text, 0, NULL) : NULL;
    const char *version = json_string_value(json_object_get(json, "keras_version"));
    if (!version)
        version = weights_attribute(container, "keras_version");
    if (!version[0])
        version = json_string_value(json_object_get(description, "keras_version"));
    snprintf(ret_version, size, "%s", version ? version : "");
    json_decref(json);
}

/* Keras 3 alone has batch_shape; for files without a version. */
static bool has_batch_shape(const json_t *json, int depth) {
    if (json_object_get(json, "batch_shape"))
        return true;
    const char *key;
    json_t *value;
    size_t i;
    bool found = false;
    if (depth > ARCHITECTURE_DEPTH_MAX)
        return false;
    json_object_foreach((json_t *)json, key, value) found = found || has_batch_shape(value, depth + 1);
    json_array_foreach(json, i, value) found = found || has_batch_shape(value, depth + 1);
    return found;
}

static bool is_before_keras3(const char *version, const json_t *description) {
    if (!version[0])
        return !has_batch_shape(description, 0);
    return strtol(version, NULL, 10) < 3;
}

/* ---- the model ---------------------------------------------------------------------------------- */

static size_t n_floats(const struct container *container) {
    size_t n = 0;
    for (size_t i = 0; i < container->n_arrays; i++)
        n += container->arrays[i].n;
    return n;
}

static int take_params(struct keras_model *model, const struct container *container,
                       const struct architecture *architecture, struct error *err) {
    struct network *network = network_new(&architecture->spec, err);
    if (!network)
        return -1;
    int failed = -1;
    size_t n = network_n_params(network), most = n_floats(container);
    if (n > most) {
        error_set(err, "the model has %zu parameters, and the file only %zu numbers", n, most);
        goto free_network;
    }
    model->n_params = n;
    model->params = calloc(n + 1, sizeof *model->params);
    if (!model->params) {
        error_set(err, "not enough memory for %zu parameters", n);
        goto free_network;
    }
    failed = weights_read(container, architecture, network, model->params, err);

free_network:
    network_free(network);
    return failed;
}

static int take_model(struct keras_model *model, const struct container *container, const json_t *description,
                      struct error *err) {
    struct architecture architecture;
    const struct container_text *own = container_text(container, "forecastd.json", NULL);
    char version[32];
    find_version(container, description, version, sizeof version);
    int failed = architecture_init(&architecture, description, is_before_keras3(version, description), err) ||
                 take_params(model, container, &architecture, err);
    if (!failed) {
        model->spec = architecture.spec;
        architecture.layers = NULL; /* the model's now */
        model->version = strdup(version);
        model->own = own ? strdup(own->text) : NULL;
        if (!model->version || (own && !model->own))
            failed = error_set(err, "not enough memory");
    }
    architecture_fini(&architecture);
    return failed ? -1 : 0;
}

struct keras_model *keras_read(const char *path, const char *architecture, struct error *err) {
    struct keras_model *model = NULL;
    json_t *description = NULL;
    struct container *container = container_read(path, err);
    if (!container)
        goto failed;
    description = find_description(container, architecture, err);
    if (!description)
        goto failed;
    model = calloc(1, sizeof *model);
    if (!model) {
        error_set(err, "not enough memory");
        goto failed;
    }
    if (take_model(model, container, description, err))
        goto failed;
    json_decref(description);
    container_free(container);
    return model;

failed:
    error_prefix(err, "%.200s", path);
    keras_model_free(model);
    json_decref(description);
    container_free(container);
    return NULL;
}

void keras_model_free(struct keras_model *model) {
    if (!model)
        return;
    free((struct layer_spec *)model->spec.layers);
    free(model->params);
    free(model->own);
    free(model->version);
    free(model);
}

struct network *keras_network(const struct keras_model *model, enum network_mode mode, int steps, struct error *err) {
    struct network_spec spec = model->spec;
    spec.mode = mode;
    if (spec.steps == 0)
        spec.steps = steps;
    struct network *network = network_new(&spec, err);
    if (!network)
        return NULL;
    if (network_n_params(network) != model->n_params) {
        error_set(err, "the model has %zu parameters, and with %d steps %zu", model->n_params, steps,
                  network_n_params(network));
        network_free(network);
        return NULL;
    }
    memcpy(network_params(network), model->params, model->n_params * sizeof *model->params);
    return network;
}
