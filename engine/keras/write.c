/* Writing a model: made whole in memory, then put where it belongs in one step. */
#include "engine/keras/keras.h"
#include "engine/keras/write.h"
#include "engine/whole_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zip.h>

/* ---- the zip ------------------------------------------------------------------------------------ */

/* Adds a member that is stored as it is, as Keras does, with the time that a zip has when it has none. The bytes,
 * from malloc, are the zip's from then on, also on failure. */
static int add_member(zip_t *zip, const char *name, void *bytes, size_t n) {
    enum { EARLIEST_DATE = 1 << 5 | 1 }; /* 1980-01-01: DOS counts years from there */
    zip_source_t *source = zip_source_buffer(zip, bytes, n, 1);
    zip_int64_t at;

    if (!source) {
        free(bytes);
        return -1;
    }
    at = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
    if (at < 0) {
        zip_source_free(source);
        return -1;
    }
    return zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0) ||
           zip_file_set_dostime(zip, (zip_uint64_t)at, 0, EARLIEST_DATE, 0);
}

static char *metadata(void) {
    struct tm now;
    char date[32];
    time_t seconds = time(NULL);
    json_t *json;
    char *text;

    gmtime_r(&seconds, &now);
    strftime(date, sizeof date, "%Y-%m-%d@%H:%M:%S", &now);
    json = json_pack("{s:s, s:s}", "keras_version", WRITTEN_KERAS_3, "date_saved", date);
    text = json ? json_dumps(json, 0) : NULL;
    json_decref(json);
    return text;
}

static int add_text(zip_t *zip, const char *name, char *text) {
    return text ? add_member(zip, name, text, strlen(text)) : -1;
}

/* Closes the zip and takes the bytes that it became. */
static int take_zip(zip_t *zip, zip_source_t *target, void **ret_bytes, size_t *ret_n) {
    zip_stat_t status;
    void *bytes;

    if (zip_close(zip) != 0) {
        zip_discard(zip);
        return -1;
    }
    if (zip_source_stat(target, &status) != 0 || !(status.valid & ZIP_STAT_SIZE) || !(bytes = malloc(status.size)))
        return -1;
    bool good =
        zip_source_open(target) == 0 && zip_source_read(target, bytes, status.size) == (zip_int64_t)status.size;
    zip_source_close(target);
    if (!good) {
        free(bytes);
        return -1;
    }
    *ret_bytes = bytes;
    *ret_n = status.size;
    return 0;
}

/* config is taken, also on failure. */
static int make_zip(const struct written *written, char *config, const char *own, void **ret_bytes, size_t *ret_n,
                    struct error *err) {
    zip_source_t *target = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_t *zip = NULL;
    void *weights;
    size_t n_weights;
    int failed = -1;

    if (target) {
        zip_source_keep(target); /* closing the zip lets go of one of two */
        zip = zip_open_from_source(target, ZIP_TRUNCATE, NULL);
        if (!zip)
            zip_source_free(target);
    }
    if (!zip) {
        free(config);
        error_set(err, "not enough memory");
    } else if (add_text(zip, "metadata.json", metadata()) || add_text(zip, "config.json", config)) {
        error_set(err, "not enough memory");
        zip_discard(zip);
    } else if (written_weights(written, &weights, &n_weights, err)) {
        zip_discard(zip);
    } else if (add_member(zip, "model.weights.h5", weights, n_weights) ||
               (own && add_text(zip, "forecastd.json", strdup(own)))) {
        error_set(err, "not enough memory");
        zip_discard(zip);
    } else if ((failed = take_zip(zip, target, ret_bytes, ret_n))) {
        error_set(err, "libzip could not make the file (memory?)");
    }
    zip_source_free(target);
    return failed;
}

/* ---- keras_write -------------------------------------------------------------------------------- */

static bool ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);

    return n > m && strcmp(path + n - m, ending) == 0;
}

static int make_file(const struct network *network, bool keras3, const char *own, void **ret_bytes, size_t *ret_n,
                     struct error *err) {
    struct written written;
    int failed = -1;

    if (written_init(&written, network, keras3, err) != 0)
        return -1;
    char *config = written_model_json(&written, err);
    if (config && keras3) {
        failed = make_zip(&written, config, own, ret_bytes, ret_n, err);
    } else if (config) {
        failed = written_h5(&written, config, ret_bytes, ret_n, err);
        free(config);
    }
    written_fini(&written);
    return failed;
}

int keras_write(const char *path, const struct network *network, const char *own, struct error *err) {
    bool keras3 = ends_in(path, ".keras");
    void *bytes;
    size_t n;

    if (!keras3 && !ends_in(path, ".h5") && !ends_in(path, ".hdf5"))
        return error_set(err, "%s: models are written to files that end in .keras or .h5", path);
    if (own && !keras3)
        return error_set(err, "%s: only a .keras file has room for what the daemon adds to a model", path);
    if (make_file(network, keras3, own, &bytes, &n, err) != 0)
        return error_prefix(err, "%s", path);
    int failed = whole_file_write(path, bytes, n, err);
    free(bytes);
    return failed ? error_prefix(err, "%s", path) : 0;
}
