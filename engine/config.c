#include "engine/config.h"

#include "engine/config_cells.h"
#include "engine/config_check.h"
#include "engine/config_lines.h"
#include "engine/config_values.h"
#include "engine/keras/keras.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The largest file, in bytes: a configuration with thousands of models; more is another file, given by mistake. */
enum { MAX_FILE = 1 << 20 };

static int read_file(const char *path, uint8_t **ret_text, size_t *ret_size, struct error *err) {
    FILE *file = fopen(path, "r");
    if (!file)
        return error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
    uint8_t *text = malloc(MAX_FILE + 1);
    if (!text) {
        error_set(err, "%s: out of memory", path);
        goto close_file;
    }
    size_t size = fread(text, 1, MAX_FILE + 1, file);
    if (ferror(file)) {
        error_set(err, "%s: cannot be read: %s", path, strerror(errno));
        goto free_text;
    }
    if (size > MAX_FILE) {
        error_set(err, "%s: larger than 1 MiB, which no configuration is", path);
        goto free_text;
    }
    fclose(file);
    *ret_text = text;
    *ret_size = size;
    return 0;
free_text:
    free(text);
close_file:
    fclose(file);
    return -1;
}

static struct config *load(const struct config_lines *lines, struct config_cell *cells, struct error *err) {
    struct config *config = calloc(1, sizeof *config);
    if (!config) {
        error_set(err, "out of memory");
        return NULL;
    }
    if (config_values_read(lines, CONFIG_TOP, "", cells, config, err) || config_check(lines, cells, config, err)) {
        config_free(config);
        return NULL;
    }
    return config;
}

int config_parse(const char *name, const uint8_t *text, size_t size, struct config **ret_config, struct error *err) {
    struct config *config = NULL;
    struct config_lines *lines = config_lines_new(name, text, size, err);
    if (!lines)
        return -1;
    struct config_cell *cells = config_cells_load(lines, text, size, err);
    if (cells)
        config = load(lines, cells, err);
    config_cells_free(cells);
    config_lines_free(lines);
    if (!config)
        return -1;
    *ret_config = config;
    return 0;
}

int config_load(const char *path, struct config **ret_config, struct error *err) {
    uint8_t *text = NULL;
    size_t size = 0;
    if (read_file(path, &text, &size, err))
        return -1;
    int failed = config_parse(path, text, size, ret_config, err);
    free(text);
    return failed;
}

const struct config_model *config_find_model(const struct config *config, const char *name) {
    for (int m = 0; m < config->n_models; m++)
        if (strcmp(config->models[m].name, name) == 0)
            return &config->models[m];
    return NULL;
}

void config_free(struct config *config) {
    if (!config)
        return;
    for (int i = 0; i < config->n_models; i++) {
        free(config->models[i].inputs);
        free(config->models[i].targets);
        keras_model_free(config->models[i].keras);
    }
    for (int i = 0; i < config->n_classes; i++)
        free(config->classes[i].vocabulary);
    config_values_free(CONFIG_TOP, config);
    free(config);
}
