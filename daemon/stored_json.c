#include "daemon/stored_json.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Bytes of a group, and what stands for one. */
enum { Z85_BYTES = 4, Z85_TEXT = 5 };

static json_t *text_of(const void *bytes, size_t n) {
    size_t padded = (n + Z85_BYTES - 1) / Z85_BYTES * Z85_BYTES;
    uint8_t *copy = calloc(padded + 1, 1);
    char *text = malloc(padded / Z85_BYTES * Z85_TEXT + 1);
    json_t *json = NULL;
    if (copy != NULL && text != NULL) {
        memcpy(copy, bytes, n);
        zmq_z85_encode(text, copy, padded);
        json = json_string_nocheck(text);
    }
    free(copy);
    free(text);
    return json;
}

/* The bytes that a text stands for, [n] as the map says; NULL: it is none. */
static void *bytes_of(const json_t *map, const char *key, size_t *ret_n) {
    const json_t *text = json_object_get(map, key);
    json_int_t n = json_integer_value(json_object_get(map, "size"));
    size_t length = json_string_length(text), padded = length / Z85_TEXT * Z85_BYTES;
    if (n <= 0 || length % Z85_TEXT != 0 || (size_t)n > padded || padded - (size_t)n >= Z85_BYTES)
        return NULL;
    uint8_t *bytes = malloc(padded);
    if (bytes != NULL && zmq_z85_decode(bytes, json_string_value(text)) == NULL) {
        free(bytes);
        return NULL;
    }
    *ret_n = (size_t)n;
    return bytes;
}

json_t *stored_json_write(const struct stored *stored, const char *class) {
    json_t *blocks = json_array();
    for (int i = 0; i < stored->n_blocks; i++) {
        const struct stored_block *block = &stored->blocks[i];
        json_array_append_new(blocks, json_pack("{s:I, s:I, s:o}", "number", (json_int_t)block->number, "size",
                                                (json_int_t)block->n, "steps", text_of(block->bytes, block->n)));
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "stream", stored->name, "class", class, "generation",
                     (json_int_t)stored->generation, "size", (json_int_t)stored->n, "image",
                     text_of(stored->bytes, stored->n), "blocks", blocks);
}

static int read_blocks(struct stored *stored, const json_t *blocks) {
    const json_t *map;
    size_t i;
    json_array_foreach(blocks, i, map) {
        size_t n;
        void *bytes = bytes_of(map, "steps", &n);
        json_int_t number = json_integer_value(json_object_get(map, "number"));
        if (bytes == NULL || number < 0 || stored_add_block(stored, (uint64_t)number, bytes, n) != 0) {
            free(bytes);
            return -1;
        }
    }
    return 0;
}

struct stored *stored_json_read(const json_t *map, struct error *err) {
    const json_t *name = json_object_get(map, "stream");
    struct stored *stored =
        json_is_string(name) ? stored_new(json_string_value(name), json_string_length(name)) : NULL;
    error_set(err, "the image of a stream is a map of stream, size, image and blocks, as `export` gives it");
    if (stored == NULL)
        return NULL;
    stored->generation = (uint32_t)json_integer_value(json_object_get(map, "generation"));
    stored->bytes = bytes_of(map, "image", &stored->n);
    if (stored->bytes != NULL && read_blocks(stored, json_object_get(map, "blocks")) == 0)
        return stored;
    stored_free(stored);
    return NULL;
}
