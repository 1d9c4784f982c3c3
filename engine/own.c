#include "engine/own.h"

#include "engine/config_table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What a key may be is what the configuration's key of the same name may be. */
static const struct config_key *key_of(const char *key) {
    enum config_section section = strcmp(key, "loss") == 0 ? CONFIG_TRAINING : CONFIG_MODEL;
    int n;
    return &config_table_keys(section, &n)[config_table_index(section, key)];
}

/* A later format that this program cannot read has a greater number. */
enum { FORMAT = 1 };

/* ---- reading ---------------------------------------------------------------------------------- */

static int read_count(const json_t *root, const char *key, int *ret_count, struct error *err) {
    const struct config_key *config = key_of(key);
    const json_t *value = json_object_get(root, key);
    if (value == NULL)
        return 0;
    if (!json_is_integer(value) || (double)json_integer_value(value) < config->min ||
        (double)json_integer_value(value) > config->max)
        return error_set(err, "%s is not an integer from %.0f to %.0f", key, config->min, config->max);
    *ret_count = (int)json_integer_value(value);
    return 0;
}

static int read_choice(const json_t *root, const char *key, int *ret_choice, struct error *err) {
    const char *const *choices = key_of(key)->choices;
    const json_t *value = json_object_get(root, key);
    if (value == NULL)
        return 0;
    for (int i = 0; json_is_string(value) && choices[i] != NULL; i++)
        if (strcmp(json_string_value(value), choices[i]) == 0) {
            *ret_choice = i;
            return 0;
        }
    return error_set(err, "%s is not one of the values it may have", key);
}

static int read_names(const json_t *root, const char *key, char ***ret_names, int *ret_n, struct error *err) {
    const json_t *list = json_object_get(root, key);
    size_t n = json_array_size(list);
    if (list == NULL)
        return 0;
    if (!json_is_array(list) || n < 1 || n > CONFIG_MAX_FEATURES)
        return error_set(err, "%s is not a list of 1 to %d names", key, CONFIG_MAX_FEATURES);
    *ret_names = calloc(n, sizeof **ret_names);
    for (size_t i = 0; *ret_names != NULL && i < n; i++) {
        const json_t *name = json_array_get(list, i);
        size_t length = json_string_length(name);
        if (!json_is_string(name) || length < 1 || length > CONFIG_MAX_NAME)
            return error_set(err, "%s[%zu] is not a name", key, i);
        (*ret_names)[i] = strdup(json_string_value(name));
        if ((*ret_names)[i] == NULL)
            return error_set(err, "out of memory");
        *ret_n = (int)i + 1;
    }
    return *ret_names != NULL ? 0 : error_set(err, "out of memory");
}

static int read_levels(const json_t *root, struct own *own, struct error *err) {
    const json_t *list = json_object_get(root, "levels");
    size_t n = json_array_size(list);
    double before = 0;
    if (list == NULL)
        return 0;
    if (!json_is_array(list) || n < 1 || n > CONFIG_MAX_LEVELS)
        return error_set(err, "levels is not a list of 1 to %d numbers", CONFIG_MAX_LEVELS);
    for (size_t i = 0; i < n; i++) {
        double level = json_number_value(json_array_get(list, i));
        if (!(level > before && level >= key_of("levels")->min && level <= key_of("levels")->max))
            return error_set(err, "levels are not ascending numbers from %g to %g", key_of("levels")->min,
                             key_of("levels")->max);
        own->levels[i] = before = level;
    }
    own->n_levels = (int)n;
    return 0;
}

static int read_all(const json_t *root, struct own *own, struct error *err) {
    const json_t *residual = json_object_get(root, "residual");
    if (!json_is_object(root))
        return error_set(err, "is not an object");
    if (json_integer_value(json_object_get(root, "format")) != FORMAT)
        return error_set(err, "format is not %d, the one that this program reads", FORMAT);
    if (residual != NULL && !json_is_boolean(residual))
        return error_set(err, "residual is not true or false");
    if (residual != NULL)
        own->residual = json_is_true(residual);
    if (read_count(root, "horizon", &own->horizon, err) || read_count(root, "period", &own->period, err) ||
        read_count(root, "window", &own->window, err) || read_choice(root, "scaler", &own->scaler, err) ||
        read_choice(root, "mode", &own->mode, err) || read_choice(root, "forecast", &own->form, err) ||
        read_choice(root, "head", &own->head, err) || read_choice(root, "loss", &own->loss, err) ||
        read_levels(root, own, err) || read_names(root, "inputs", &own->inputs, &own->n_inputs, err) ||
        read_names(root, "targets", &own->targets, &own->n_targets, err))
        return -1;
    return 0;
}

struct own own_none(void) {
    return (struct own){.horizon = -1,
                        .period = -1,
                        .window = -1,
                        .scaler = -1,
                        .residual = -1,
                        .mode = -1,
                        .form = -1,
                        .head = -1,
                        .loss = -1};
}

int own_read(const char *text, struct own *ret_own, struct error *err) {
    json_error_t at;
    *ret_own = own_none();
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &at);
    int failed = root == NULL ? error_set(err, "line %d: %s", at.line, at.text) : read_all(root, ret_own, err);
    json_decref(root);
    if (!failed)
        return 0;
    own_fini(ret_own);
    return error_prefix(err, "forecastd.json");
}

void own_fini(struct own *own) {
    for (int i = 0; i < own->n_inputs; i++)
        free(own->inputs[i]);
    for (int i = 0; i < own->n_targets; i++)
        free(own->targets[i]);
    free(own->inputs);
    free(own->targets);
    *own = (struct own){0};
}

/* ---- writing ---------------------------------------------------------------------------------- */

static json_t *names_of(const struct config_class *class, const int *features, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(class->features[features[i]]));
    return list;
}

static json_t *levels_of(const struct config_model *model) {
    json_t *list = json_array();
    for (int i = 0; i < model->n_levels; i++)
        json_array_append_new(list, json_real(model->levels[i]));
    return list;
}

char *model_own_json(const struct config_model *model, const struct config_class *class) {
    json_t *root = json_pack("{s:i, s:o, s:i, s:s, s:b, s:s, s:i, s:s, s:s}", "format", FORMAT, "inputs",
                             names_of(class, model->inputs, model->n_inputs), "period", model->period, "scaler",
                             key_of("scaler")->choices[model->scaler], "residual", model->residual, "mode",
                             key_of("mode")->choices[model->mode], "window", model->window, "forecast",
                             key_of("forecast")->choices[model->form], "head", key_of("head")->choices[model->head]);
    if (model->head == HEAD_FORECAST) {
        json_object_set_new(root, "targets", names_of(class, model->targets, model->n_targets));
        json_object_set_new(root, "horizon", json_integer(model->horizon));
        json_object_set_new(root, "loss", json_string(key_of("loss")->choices[model->training.loss]));
    }
    if (model->head == HEAD_FORECAST && model->training.loss == LOSS_QUANTILE)
        json_object_set_new(root, "levels", levels_of(model));
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(root);
    return text;
}
