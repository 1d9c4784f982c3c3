/* Model files for tests, made by hand: HDF5 and zip, also such as Keras would never write. Any failure fails the
 * test. */
#ifndef TESTS_SUPPORT_KERAS_FILES_H
#define TESTS_SUPPORT_KERAS_FILES_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

/* An HDF5 file; groups on the way are made. Close with H5Fclose. */
hid_t h5_new(const char *path);
/* A string attribute of a group ("" is the root), of fixed length or of a variable one. */
void h5_text(hid_t file, const char *group, const char *name, const char *text);
void h5_variable_text(hid_t file, const char *group, const char *name, const char *text);
/* A string attribute with several strings, which stand one after another in texts, each with its NUL, then an empty
 * one. */
void h5_texts(hid_t file, const char *group, const char *name, const char *texts);
/* A dataset; data NULL: 0.1, 0.2, ... */
void h5_array(hid_t file, const char *path, int n_dims, const int *dims, const float *data);
/* One of another type in the file (H5T_NATIVE_DOUBLE...), from floats. */
void h5_typed_array(hid_t file, const char *path, hid_t type, int n_dims, const int *dims, const float *data);

/* A zip of members, name and text after each other, NULL behind the last; weights: a file that becomes
 * model.weights.h5, or NULL. */
void zip_new(const char *path, const char *weights, const char *const *members);

/* A good model with LSTM(3) and Dense(1) on [batch, 4, 2]: in Keras 2's HDF5, and as a .keras. */
void keras_file_h5(const char *path);
void keras_file_zip(const char *path);
extern const char keras_file_config2[], keras_file_config3[];
/* Its weights: kernel, recurrent kernel and bias of the LSTM, kernel and bias of the head. */
void keras_file_weights(hid_t file, const char *const paths[5]);

/* A file name in a folder of this process' own; the same buffer for the same `slot` (0 to 3). */
const char *temporary_path(int slot, const char *name);
void temporary_remove(void);

/* Whole files; the caller frees. */
unsigned char *file_bytes(const char *path, size_t *ret_size);
void file_write(const char *path, const void *bytes, size_t size);

#endif
