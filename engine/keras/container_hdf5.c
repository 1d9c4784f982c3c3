/* In the child: an HDF5 file in memory becomes records. Nothing here touches files. */
#include "engine/keras/container_wire.h"

#include <hdf5.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    struct container_child *child;
    int depth;
    unsigned objects;
    char path[CONTAINER_NAME_MAX];
};

/* What Keras keeps beside the weights for training. */
static const char *const left_out[] = {"optimizer_weights", "optimizer", "_optimizer", "training_config"};

/* Attributes that are read; the last two may go on in pieces with a number behind the name. */
static const char *const wanted[] = {"model_config", "keras_version", "backend", "layer_names", "weight_names"};
enum { N_WANTED = sizeof wanted / sizeof wanted[0], N_WHOLE = 3 };

static bool is_wanted(const char *name) {
    for (int i = 0; i < N_WANTED; i++) {
        size_t n = strlen(wanted[i]);
        if (strncmp(name, wanted[i], n) == 0 &&
            (i < N_WHOLE ? name[n] == '\0' : strspn(name + n, "0123456789") == strlen(name + n)))
            return true;
    }
    return false;
}

static const char *place(const struct walk *walk) {
    return walk->path[0] ? walk->path : "the root group";
}

/* ---- attributes --------------------------------------------------------------------------------- */

static void send_fixed(struct walk *walk, const char *name, hid_t attribute, hid_t type, size_t n) {
    size_t size = H5Tget_size(type);
    if (!size || size > CONTAINER_TEXT_MAX / (n ? n : 1))
        container_fail(walk->child, "not a readable HDF5 file: attribute %s is too large", name);
    char *bytes = malloc(n * size);
    if (!bytes || H5Aread(attribute, type, bytes) < 0)
        container_fail(walk->child, "not a readable HDF5 file: attribute %s cannot be read", name);
    for (size_t i = 0; i < n; i++)
        container_send_text(walk->child, name, bytes + i * size, strnlen(bytes + i * size, size));
    free(bytes);
}

static void send_variable(struct walk *walk, const char *name, hid_t attribute, hid_t type, hid_t space, size_t n) {
    char **texts = calloc(n, sizeof *texts);
    hid_t memory = H5Tcopy(H5T_C_S1);
    if (!texts || memory < 0 || H5Tset_size(memory, H5T_VARIABLE) < 0 || H5Tset_cset(memory, H5Tget_cset(type)) < 0 ||
        H5Aread(attribute, memory, texts) < 0)
        container_fail(walk->child, "not a readable HDF5 file: attribute %s cannot be read", name);
    for (size_t i = 0; i < n; i++)
        container_send_text(walk->child, name, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0);
    H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts);
    H5Tclose(memory);
    free(texts);
}

static herr_t on_attribute(hid_t object, const char *attribute_name, const H5A_info_t *info, void *data) {
    (void)info;
    struct walk *walk = data;
    if (!is_wanted(attribute_name))
        return 0;
    char name[CONTAINER_NAME_MAX];
    if (snprintf(name, sizeof name, "%s@%s", walk->path, attribute_name) >= (int)sizeof name)
        container_fail(walk->child, "not a readable HDF5 file: a name is too long");
    hid_t attribute = H5Aopen(object, attribute_name, H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    if (attribute < 0 || type < 0 || space < 0 || n < 0 || n > CONTAINER_RECORDS_MAX)
        container_fail(walk->child, "not a readable HDF5 file: attribute %s cannot be read", name);
    /* Keras writes an empty list of names as floats. */
    if (n > 0 && H5Tget_class(type) == H5T_STRING) {
        if (H5Tis_variable_str(type) > 0)
            send_variable(walk, name, attribute, type, space, (size_t)n);
        else
            send_fixed(walk, name, attribute, type, (size_t)n);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return 0;
}

/* ---- datasets ----------------------------------------------------------------------------------- */

static void refuse_foreign_storage(struct walk *walk, hid_t dataset) {
    hid_t creation = H5Dget_create_plist(dataset);
    if (creation < 0 || H5Pget_layout(creation) == H5D_VIRTUAL || H5Pget_external_count(creation) > 0)
        container_fail(walk->child, "dataset %s is kept in another file", walk->path);
    H5Pclose(creation);
}

static void send_dataset(struct walk *walk, hid_t dataset) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    if (type < 0 || space < 0)
        container_fail(walk->child, "not a readable HDF5 file: dataset %s cannot be read", walk->path);
    H5T_class_t class = H5Tget_class(type);
    int n_dims = H5Sget_simple_extent_ndims(space);
    /* What is neither a weight nor could be taken for one is passed over. */
    if ((class == H5T_FLOAT || class == H5T_INTEGER) && n_dims >= 1 && n_dims <= CONTAINER_DIMS) {
        refuse_foreign_storage(walk, dataset);
        hsize_t extent[CONTAINER_DIMS];
        int dims[CONTAINER_DIMS];
        if (H5Sget_simple_extent_dims(space, extent, NULL) != n_dims)
            container_fail(walk->child, "not a readable HDF5 file: dataset %s cannot be read", walk->path);
        uint64_t n = 1;
        for (int i = 0; i < n_dims; i++) {
            if (extent[i] > INT_MAX || (extent[i] && n > walk->child->budget / sizeof(float) / extent[i]))
                container_fail(walk->child, "dataset %s is too large for the file that holds it", walk->path);
            n *= extent[i];
            dims[i] = (int)extent[i];
        }
        float *values = calloc(n ? n : 1, sizeof *values);
        if (!values)
            container_fail(walk->child, "dataset %s does not fit in memory", walk->path);
        if (n && H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
            container_fail(walk->child, "not a readable HDF5 file: dataset %s cannot be read", walk->path);
        container_send_array(walk->child, walk->path, n_dims, dims, values, n);
        free(values);
    }
    H5Sclose(space);
    H5Tclose(type);
}

/* ---- groups ------------------------------------------------------------------------------------- */

static void walk_group(struct walk *walk, hid_t group);

static bool is_left_out(const char *name) {
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        if (strcmp(name, left_out[i]) == 0)
            return true;
    return false;
}

static herr_t on_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
    struct walk *walk = data;
    /* Keras writes no other links, and those may lead out of the file. */
    if (info->type != H5L_TYPE_HARD || (walk->depth == 0 && is_left_out(name)))
        return 0;
    if (++walk->objects > CONTAINER_RECORDS_MAX)
        container_fail(walk->child, "the file holds more than %d objects", CONTAINER_RECORDS_MAX);
    size_t before = strlen(walk->path), n = strlen(name);
    if (before + n + 2 > sizeof walk->path)
        container_fail(walk->child, "not a readable HDF5 file: a name is too long");
    if (before)
        walk->path[before] = '/';
    memcpy(walk->path + before + (before ? 1 : 0), name, n + 1);
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0)
        container_fail(walk->child, "not a readable HDF5 file: %s cannot be opened", walk->path);
    H5I_type_t type = H5Iget_type(object);
    if (type == H5I_GROUP) {
        if (++walk->depth > CONTAINER_DEPTH_MAX)
            container_fail(walk->child, "the file has more than %d groups in each other", CONTAINER_DEPTH_MAX);
        walk_group(walk, object);
        walk->depth--;
    } else if (type == H5I_DATASET)
        send_dataset(walk, object);
    H5Oclose(object);
    walk->path[before] = '\0';
    return 0;
}

static void walk_group(struct walk *walk, hid_t group) {
    hsize_t at = 0;
    if (H5Aiterate2(group, H5_INDEX_NAME, H5_ITER_NATIVE, &at, on_attribute, walk) < 0)
        container_fail(walk->child, "not a readable HDF5 file: the attributes of %s cannot be read", place(walk));
    at = 0;
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &at, on_link, walk) < 0)
        container_fail(walk->child, "not a readable HDF5 file: %s cannot be read", place(walk));
}

void container_hdf5(struct container_child *child, void *bytes, size_t size) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0 || H5Pset_fapl_core(access, 1 << 20, 0) < 0 || H5Pset_file_image(access, bytes, size) < 0)
        container_fail(child, "not a readable HDF5 file: it does not fit in memory");
    free(bytes);
    hid_t file = H5Fopen("model", H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (file < 0)
        container_fail(child, "not a readable HDF5 file: it is truncated or damaged");
    struct walk walk = {.child = child};
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0)
        container_fail(child, "not a readable HDF5 file: it has no root group");
    walk_group(&walk, root);
}
