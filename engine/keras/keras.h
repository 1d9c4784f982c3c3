/*
 * Keras' model files, in and out: Keras 1 and 2 HDF5 (.h5, .hdf5), weights-only HDF5 beside a JSON architecture,
 * Keras 3 .keras. What is read becomes a network_spec and parameters in Keras 3's order and layout; what cannot be
 * read is refused in one sentence that names file, layer and reason. Any thread may call these functions.
 */
#ifndef ENGINE_KERAS_KERAS_H
#define ENGINE_KERAS_KERAS_H

#include "engine/network.h"

struct keras_model {
    struct network_spec spec; /* mode NETWORK_SAMPLES; its layers are the model's */
    float *params;            /* as network_params of a network of this spec */
    size_t n_params;
    char *own;     /* the text of the daemon's own member, forecastd.json; NULL: the file has none */
    char *version; /* of the Keras that wrote it; "" where the file does not say */
};

/* Reads a file; architecture: a JSON file (Keras' model.to_json()) beside weights-only HDF5, or NULL. NULL on
 * failure. Free with keras_model_free. Parsing happens in a short-lived child process with limits on memory, time and
 * system calls. */
struct keras_model *keras_read(const char *path, const char *architecture, struct error *err);
void keras_model_free(struct keras_model *model);

/* A network of the model in the given mode, with its parameters. steps: of a sample, where the file gives none; else
 * 0. */
struct network *keras_network(const struct keras_model *model, enum network_mode mode, int steps, struct error *err);

/* Writes a network as path's ending says: .keras (Keras 3) or .h5 (Keras 2, tf-keras); own: text for forecastd.json,
 * in a .keras only, or NULL. The file appears whole or not at all (written beside, synced, renamed). Returns -1 and
 * says what the format cannot hold (a Keras 2 hard_sigmoid in a .keras), naming the layer. */
int keras_write(const char *path, const struct network *network, const char *own, struct error *err);

#endif
