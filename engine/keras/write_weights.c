/*
 * The weights of a model as HDF5: model.weights.h5 of Keras 3, and the whole file of Keras 2. Both are made in memory
 * (libhdf5's core driver), so that nothing of them is on disk before all of it is.
 */
#include "engine/keras/write.h"
#include "engine/keras/hdf5_lock.h"
#include "engine/layers/layer.h"

#include <hdf5.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROWTH = 1 << 20 }; /* of the file in memory, bytes */

/* A file in the making. Once something failed nothing more is done to it. */
struct h5 {
    const struct written *written;
    hid_t file, text_type, with_groups; /* with_groups: what is created gets the groups on its way */
    hid_t no_times;                     /* datasets do not say when they were made */
    bool failed;
    char path[4 * LAYER_NAME_MAX]; /* the latest of path_of() */
};

/* ---- pieces ------------------------------------------------------------------------------------- */

static bool h5_open(struct h5 *h5) {
    hid_t access;

    hdf5_lock();
    access = H5Pcreate(H5P_FILE_ACCESS);

    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* what fails is told by what is returned, not on standard error */
    H5Pset_fapl_core(access, GROWTH, false);
    h5->file = H5Fcreate("model.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access); /* a name only; nothing is stored there */
    H5Pclose(access);
    h5->text_type = H5Tcopy(H5T_C_S1);
    H5Tset_size(h5->text_type, H5T_VARIABLE);
    H5Tset_cset(h5->text_type, H5T_CSET_UTF8);
    h5->with_groups = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(h5->with_groups, 1);
    h5->no_times = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(h5->no_times, false);
    h5->failed = h5->file < 0 || h5->text_type < 0 || h5->with_groups < 0 || h5->no_times < 0;
    return !h5->failed;
}

static void h5_close(struct h5 *h5) {
    H5Pclose(h5->no_times);
    H5Pclose(h5->with_groups);
    H5Tclose(h5->text_type);
    H5Fclose(h5->file);
    hdf5_unlock();
}

__attribute__((format(printf, 2, 3))) static const char *path_of(struct h5 *h5, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(h5->path, sizeof h5->path, format, arguments) >= (int)sizeof h5->path)
        h5->failed = true;
    va_end(arguments);
    return h5->path;
}

/* The bytes of the whole file. */
static int h5_take(struct h5 *h5, void **ret_bytes, size_t *ret_n, struct error *err) {
    ssize_t size = -1;
    void *bytes = NULL;

    if (!h5->failed && H5Fflush(h5->file, H5F_SCOPE_GLOBAL) >= 0)
        size = H5Fget_file_image(h5->file, NULL, 0);
    if (size > 0 && (bytes = malloc((size_t)size)) && H5Fget_file_image(h5->file, bytes, (size_t)size) == size) {
        *ret_bytes = bytes;
        *ret_n = (size_t)size;
        return 0;
    }
    free(bytes);
    return error_set(err, "libhdf5 could not make its weights (memory?)");
}

/* A text, or a list of n of them, at an object. */
static void put_texts(struct h5 *h5, const char *path, const char *name, const char *const *texts, hsize_t n,
                      bool list) {
    hid_t space = list ? H5Screate_simple(1, &n, NULL) : H5Screate(H5S_SCALAR);
    hid_t attribute = h5->failed ? -1
                                 : H5Acreate_by_name(h5->file, path, name, h5->text_type, space, H5P_DEFAULT,
                                                     H5P_DEFAULT, H5P_DEFAULT);

    if (attribute < 0 || (n > 0 && H5Awrite(attribute, h5->text_type, texts) < 0))
        h5->failed = true;
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Sclose(space);
}

static void put_text(struct h5 *h5, const char *path, const char *name, const char *text) {
    put_texts(h5, path, name, &text, 1, false);
}

static void put_group(struct h5 *h5, const char *path) {
    hid_t group = h5->failed ? -1 : H5Gcreate2(h5->file, path, h5->with_groups, H5P_DEFAULT, H5P_DEFAULT);

    if (group < 0)
        h5->failed = true;
    else
        H5Gclose(group);
}

static void put_array(struct h5 *h5, const char *path, const struct network_weight *weight) {
    hsize_t dims[3];
    hid_t space, dataset = -1;

    for (int i = 0; i < weight->n_dims; i++)
        dims[i] = (hsize_t)weight->dims[i];
    space = H5Screate_simple(weight->n_dims, dims, NULL);
    if (!h5->failed)
        dataset = H5Dcreate2(h5->file, path, H5T_IEEE_F32LE, space, h5->with_groups, h5->no_times, H5P_DEFAULT);
    if (dataset < 0 || H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                                network_params_const(h5->written->network) + weight->at) < 0)
        h5->failed = true;
    if (dataset >= 0)
        H5Dclose(dataset);
    H5Sclose(space);
}

/* ---- Keras 3 ------------------------------------------------------------------------------------ */

/* The group of an object's own arrays, numbered in it; it says the object's name, for people. */
static void put_vars(struct h5 *h5, const char *path, const char *name) {
    put_group(h5, path);
    put_text(h5, path, "name", name);
}

/* A recurrent layer's groups: its arrays are its cell's. */
static void put_recurrent_vars(struct h5 *h5, const char *group, const char *way, enum layer_kind cell,
                               const char *name) {
    char cell_name[64];
    size_t n;

    put_vars(h5, path_of(h5, "layers/%s%s/vars", group, way), name);
    layer_snake_case(layer_kind_name(cell), cell_name);
    n = strlen(cell_name);
    snprintf(cell_name + n, sizeof cell_name - n, "_cell");
    put_vars(h5, path_of(h5, "layers/%s%s/cell/vars", group, way), cell_name);
}

/* layers/lstm/cell/vars/0, layers/bidirectional/forward_layer/cell/vars/0, layers/dense/vars/0 ... */
static void put_layer(struct h5 *h5, int index) {
    const struct written_layer *layer = &h5->written->layers[index];
    const struct layer_spec *spec = &h5->written->spec->layers[index];
    struct network_weight weights[LAYER_WEIGHTS];
    int n = network_weights(h5->written->network, index, weights), n_each = n;
    const char *parts[] = {"", ""};

    if (layer_is_recurrent(spec->kind)) {
        parts[0] = "/cell";
        put_recurrent_vars(h5, layer->group, "", spec->kind, layer->name);
    } else {
        put_vars(h5, path_of(h5, "layers/%s/vars", layer->group), layer->name);
    }
    if (spec->kind == LAYER_BIDIRECTIONAL) {
        parts[0] = "/forward_layer/cell";
        parts[1] = "/backward_layer/cell";
        n_each = n / 2;
        put_recurrent_vars(h5, layer->group, "/forward_layer", spec->cell, "forward");
        put_recurrent_vars(h5, layer->group, "/backward_layer", spec->cell, "backward");
    } else if (written_is_wrapped(spec)) {
        parts[0] = "/layer";
        put_vars(h5, path_of(h5, "layers/%s/layer/vars", layer->group), "layer");
    }
    for (int i = 0; i < n; i++)
        put_array(h5, path_of(h5, "layers/%s%s/vars/%d", layer->group, parts[i / n_each], i % n_each), &weights[i]);
}

int written_weights(const struct written *written, void **ret_bytes, size_t *ret_n, struct error *err) {
    struct h5 h5 = {.written = written};

    if (h5_open(&h5)) {
        put_vars(&h5, "vars", written->sequential ? "sequential" : "functional");
        put_group(&h5, "layers");
        for (int i = 0; i < written->n_order; i++) {
            if (written->order[i] == WRITTEN_INPUT)
                put_vars(&h5, "layers/input_layer/vars", written->input_name);
            else
                put_layer(&h5, written->order[i]);
        }
    }
    int failed = h5_take(&h5, ret_bytes, ret_n, err);
    h5_close(&h5);
    return failed;
}

/* ---- Keras 2 ------------------------------------------------------------------------------------ */

/* lstm/lstm_cell/kernel:0, bidirectional/forward_lstm/lstm_cell/kernel:0, dense/kernel:0 ... */
static const char *legacy_weight_name(struct h5 *h5, const struct layer_spec *spec, const char *layer,
                                      const char *weight) {
    enum layer_kind cell = spec->kind == LAYER_BIDIRECTIONAL ? spec->cell : spec->kind;
    char snake[64];

    layer_snake_case(layer_kind_name(cell), snake);
    if (spec->kind == LAYER_BIDIRECTIONAL) {
        int way = (int)(strchr(weight, '_') - weight); /* of "forward_kernel" */

        return path_of(h5, "%s/%.*s_%s/%s_cell/%s:0", layer, way, weight, snake, snake, weight + way + 1);
    }
    if (layer_is_recurrent(spec->kind))
        return path_of(h5, "%s/%s_cell/%s:0", layer, snake, weight);
    return path_of(h5, "%s/%s:0", layer, weight);
}

static void put_legacy_layer(struct h5 *h5, int index) {
    const struct written *written = h5->written;
    const char *layer = index < 0 ? written->input_name : written->layers[index].name;
    struct network_weight weights[LAYER_WEIGHTS];
    int n = index < 0 ? 0 : network_weights(written->network, index, weights);
    char names[LAYER_WEIGHTS][sizeof h5->path];
    const char *texts[LAYER_WEIGHTS];

    put_group(h5, path_of(h5, "model_weights/%s", layer));
    for (int i = 0; i < n; i++) {
        texts[i] = strcpy(names[i], legacy_weight_name(h5, &written->spec->layers[index], layer, weights[i].name));
        put_array(h5, path_of(h5, "model_weights/%s/%s", layer, names[i]), &weights[i]);
    }
    put_texts(h5, path_of(h5, "model_weights/%s", layer), "weight_names", texts, (hsize_t)n, true);
}

/* What says that a group holds a Keras model, and which Keras'. */
static void put_origin(struct h5 *h5, const char *path) {
    put_text(h5, path, "keras_version", WRITTEN_KERAS_2);
    put_text(h5, path, "backend", "tensorflow");
}

int written_h5(const struct written *written, const char *model_json, void **ret_bytes, size_t *ret_n,
               struct error *err) {
    struct h5 h5 = {.written = written};
    const char **names = calloc((size_t)written->n_order, sizeof *names);

    if (!names)
        return error_set(err, "not enough memory");
    if (h5_open(&h5)) {
        put_origin(&h5, "/");
        put_text(&h5, "/", "model_config", model_json);
        put_group(&h5, "model_weights");
        put_origin(&h5, "model_weights");
        for (int i = 0; i < written->n_order; i++) {
            names[i] = written->order[i] < 0 ? written->input_name : written->layers[written->order[i]].name;
            put_legacy_layer(&h5, written->order[i]);
        }
        put_texts(&h5, "model_weights", "layer_names", names, (hsize_t)written->n_order, true);
    }
    int failed = h5_take(&h5, ret_bytes, ret_n, err);
    h5_close(&h5);
    free(names);
    return failed;
}
