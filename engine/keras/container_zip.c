/* In the child: a .keras file in memory becomes records. */
#include "engine/keras/container_wire.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { MEMBERS_MAX = 4096 };

/* The bytes of a member, to be freed; NULL: there is none. */
static char *member(struct container_child *child, zip_t *zip, const char *name, uint64_t max, size_t *ret_size) {
    zip_int64_t index = zip_name_locate(zip, name, 0);
    if (index < 0)
        return NULL;
    zip_stat_t stat;
    if (zip_stat_index(zip, (zip_uint64_t)index, 0, &stat) < 0 || !(stat.valid & ZIP_STAT_SIZE))
        container_fail(child, "not a readable .keras file: member %s has no size", name);
    if (stat.size > max)
        container_fail(child, "member %s is too large for the file that holds it", name);
    zip_file_t *file = zip_fopen_index(zip, (zip_uint64_t)index, 0);
    char *bytes = malloc(stat.size + 1);
    if (!file || !bytes)
        container_fail(child, "not a readable .keras file: member %s cannot be opened", name);
    /* The byte too many shows a member that is longer than it says, and has the checksum tested. */
    uint64_t got = 0;
    zip_int64_t n = 1;
    while (n > 0 && got <= stat.size) {
        n = zip_fread(file, bytes + got, stat.size + 1 - got);
        got += n > 0 ? (uint64_t)n : 0;
    }
    if (n < 0 || got != stat.size)
        container_fail(child, "not a readable .keras file: member %s is damaged", name);
    zip_fclose(file);
    *ret_size = (size_t)got;
    return bytes;
}

static void send_member(struct container_child *child, zip_t *zip, const char *name) {
    size_t size;
    char *text = member(child, zip, name, CONTAINER_TEXT_MAX, &size);
    if (text)
        container_send_text(child, name, text, size);
    free(text);
}

void container_zip(struct container_child *child, void *bytes, size_t size) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(bytes, size, 1, &error);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (!zip)
        container_fail(child, "not a readable .keras file: %s", zip_error_strerror(&error));
    if (zip_get_num_entries(zip, 0) > MEMBERS_MAX)
        container_fail(child, "the file has more than %d members", MEMBERS_MAX);
    if (zip_name_locate(zip, "config.json", 0) < 0)
        container_fail(child, "not a Keras file: the zip has no member config.json");
    send_member(child, zip, "config.json");
    send_member(child, zip, "metadata.json");
    send_member(child, zip, "forecastd.json");
    size_t weights_size;
    char *weights = member(child, zip, "model.weights.h5", child->budget, &weights_size);
    zip_discard(zip);
    if (!weights)
        container_fail(child, "the file has no member model.weights.h5");
    container_hdf5(child, weights, weights_size);
}
