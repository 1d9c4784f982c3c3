/*
 * JSON: ticks and bundles of the same shapes as in MessagePack, and whole values between the two
 * encodings for control, events and the JSON endpoint. A tree per message: for convenience, not for speed.
 */
#include "daemon/wire_forms.h"
#include "daemon/wire_pack.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_DEPTH = 32 }; /* nested arrays and maps of a message in MessagePack; jansson has a limit of its own */

/* ---- ticks -------------------------------------------------------------------------------- */

static struct wire_text text_of(const json_t *string) {
    return (struct wire_text){json_string_value(string), json_string_length(string)};
}

static enum reason read_number(const json_t *value, double *ret_value) {
    if (json_is_null(value))
        *ret_value = NAN;
    else if (json_is_number(value))
        *ret_value = json_number_value(value);
    else
        return REASON_VALUE;
    return REASON_NONE;
}

static enum reason read_values_by_name(json_t *values, struct wire_tick *tick) {
    const char *name;
    json_t *value;
    int i = 0;
    tick->named = true;
    json_object_foreach(values, name, value) {
        tick->names[i] = (struct wire_text){name, strlen(name)};
        enum reason reason = read_number(value, &tick->values[i]);
        if (reason != REASON_NONE)
            return reason;
        i++;
    }
    return REASON_NONE;
}

static enum reason read_values(json_t *values, struct wire_tick *tick) {
    if (!json_is_array(values) && !json_is_object(values))
        return REASON_SHAPE;
    size_t n = json_is_array(values) ? json_array_size(values) : json_object_size(values);
    if (n > WIRE_MAX_VALUES)
        return REASON_FEATURES;
    tick->n_values = (int)n;
    if (json_is_object(values))
        return read_values_by_name(values, tick);
    for (size_t i = 0; i < n; i++) {
        enum reason reason = read_number(json_array_get(values, i), &tick->values[i]);
        if (reason != REASON_NONE)
            return reason;
    }
    return REASON_NONE;
}

/* Of the three, seq may be NULL: there is none. */
static enum reason read_parts(json_t *t, json_t *values, json_t *seq, struct wire_tick *tick) {
    if (!json_is_integer(t))
        return REASON_TIME;
    tick->has_time = true;
    tick->t = json_integer_value(t);
    enum reason reason = read_values(values, tick);
    if (reason != REASON_NONE || !seq)
        return reason;
    if (!json_is_integer(seq) || json_integer_value(seq) < 0)
        return REASON_SHAPE;
    tick->has_seq = true;
    tick->seq = (uint64_t)json_integer_value(seq);
    return REASON_NONE;
}

/* Elements of an array from first on: t, values and perhaps seq. */
static enum reason read_elements(json_t *array, size_t first, struct wire_tick *tick) {
    size_t n = json_array_size(array);
    if (n < first + 2 || n > first + 3)
        return REASON_SHAPE;
    return read_parts(json_array_get(array, first), json_array_get(array, first + 1),
                      json_array_get(array, first + 2), tick);
}

static enum reason read_label(const json_t *t, const json_t *label, struct wire_tick *tick) {
    if (!json_is_integer(t))
        return REASON_TIME;
    if (!json_is_integer(label))
        return REASON_LABEL;
    tick->has_time = tick->is_label = true;
    tick->t = json_integer_value(t);
    tick->label = json_integer_value(label);
    return REASON_NONE;
}

static bool is_good_or_bad(const json_t *quality) {
    return json_is_boolean(quality) || json_is_null(quality);
}

/* The qualities of the values, which have been read: in their order, or by name as they are. */
static enum reason read_quality(json_t *qualities, struct wire_tick *tick) {
    const char *name;
    json_t *quality;
    size_t i;
    if (tick->named ? !json_is_object(qualities) || json_object_size(qualities) > WIRE_MAX_VALUES
                    : !json_is_array(qualities) || json_array_size(qualities) != (size_t)tick->n_values)
        return REASON_QUALITY;
    json_array_foreach(qualities, i, quality) {
        if (!is_good_or_bad(quality))
            return REASON_QUALITY;
        if (json_is_false(quality))
            wire_tick_bad(tick, (int)i);
    }
    json_object_foreach(qualities, name, quality) {
        if (!is_good_or_bad(quality))
            return REASON_QUALITY;
        if (json_is_false(quality))
            wire_tick_bad_named(tick, (struct wire_text){name, strlen(name)});
    }
    return REASON_NONE;
}

static enum reason read_map(json_t *map, struct wire_tick *tick) {
    json_t *t = json_object_get(map, "t"), *values = json_object_get(map, "v"),
           *label = json_object_get(map, "label");
    if (!t || !values == !label)
        return REASON_SHAPE;
    json_t *quality = json_object_get(map, "q");
    enum reason reason =
        label ? read_label(t, label, tick) : read_parts(t, values, json_object_get(map, "seq"), tick);
    return reason != REASON_NONE || !quality ? reason : read_quality(quality, tick);
}

static enum reason read_single(json_t *payload, struct wire_tick *tick) {
    return json_is_array(payload) ? read_elements(payload, 0, tick) : read_map(payload, tick);
}

/* An array that begins with the stream, or a map that has it. */
static enum reason read_element(json_t *element, struct wire_tick *tick) {
    bool is_array = json_is_array(element);
    json_t *stream = is_array ? json_array_get(element, 0) : json_object_get(element, "stream");
    if (!json_is_string(stream))
        return REASON_SHAPE;
    if (!wire_name_valid(text_of(stream)))
        return REASON_NAME;
    tick->stream = text_of(stream);
    return is_array ? read_elements(element, 1, tick) : read_map(element, tick);
}

enum reason wire_json_begin(struct wire_ticks *ticks) {
    if ((size_t)(ticks->end - ticks->at) > WIRE_MAX_JSON)
        return REASON_MALFORMED;
    /* NUL is let in so that a name which holds one costs its own tick only */
    ticks->json = json_loadb(ticks->at, (size_t)(ticks->end - ticks->at), JSON_ALLOW_NUL, NULL);
    if (!ticks->json)
        return REASON_MALFORMED;
    bool bundle = ticks->form == WIRE_FORM_JSON_BUNDLE;
    if (bundle && !json_is_array(ticks->json))
        return REASON_SHAPE;
    ticks->left = bundle ? json_array_size(ticks->json) : 1;
    return REASON_NONE;
}

int wire_json_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason) {
    wire_tick_clear(ret_tick, ticks->stream);
    if (ticks->left == 0)
        return 0;
    ticks->left--;
    *ret_reason = ticks->form == WIRE_FORM_JSON ? read_single(ticks->json, ret_tick)
                                                : read_element(json_array_get(ticks->json, ticks->index++), ret_tick);
    return *ret_reason == REASON_NONE ? 1 : -1;
}

/* ---- MessagePack to a jansson value ------------------------------------------------------- */

static json_t *value_decode(struct wire_reader *reader, int depth);

static json_t *integer_of(const struct wire_token *token) {
    int64_t value;
    if (wire_token_int64(token, &value))
        return json_integer(value);
    return json_real((double)token->bits); /* jansson's integers end at 2^63 */
}

static json_t *real_of(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

/* A count that claims too much runs into the end of the bytes, at no cost. */
static json_t *array_decode(struct wire_reader *reader, size_t n, int depth) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++) {
        json_t *value = value_decode(reader, depth);
        if (!value || json_array_append_new(array, value)) { /* which takes the value even when it fails */
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool key_decode(struct wire_reader *reader, struct wire_text *ret_key) {
    struct wire_token token;
    return wire_read(reader, &token) && token.type == WIRE_STR && wire_read_bytes(reader, token.length, ret_key);
}

static json_t *map_decode(struct wire_reader *reader, size_t n, int depth) {
    json_t *map = json_object();
    for (size_t i = 0; map && i < n; i++) {
        struct wire_text key;
        json_t *value = key_decode(reader, &key) ? value_decode(reader, depth) : NULL;
        if (!value || json_object_setn_new(map, key.at, key.n, value)) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

/* A bin is taken as text: encoders of older languages do not tell the two apart. */
static json_t *string_decode(struct wire_reader *reader, size_t n) {
    struct wire_text text;
    return wire_read_bytes(reader, n, &text) ? json_stringn(text.at, text.n) : NULL;
}

static json_t *value_decode(struct wire_reader *reader, int depth) {
    struct wire_token token;
    if (depth == MAX_DEPTH || !wire_read(reader, &token))
        return NULL;
    switch (token.type) {
    case WIRE_NIL: return json_null();
    case WIRE_BOOLEAN: return json_boolean(token.bits != 0);
    case WIRE_UINT:
    case WIRE_SINT: return integer_of(&token);
    case WIRE_FLOAT: return real_of(wire_token_double(&token));
    case WIRE_STR:
    case WIRE_BIN: return string_decode(reader, token.length);
    case WIRE_ARRAY: return array_decode(reader, token.length, depth + 1);
    case WIRE_MAP: return map_decode(reader, token.length, depth + 1);
    default: return NULL;
    }
}

static json_t *packed_decode(const void *data, size_t n) {
    struct wire_reader reader;
    if (n > UINT32_MAX)
        return NULL;
    wire_reader_init(&reader, data, n);
    json_t *value = value_decode(&reader, 0);
    if (value && reader.left > 0) {
        json_decref(value);
        return NULL;
    }
    return value;
}

json_t *wire_message_decode(const void *data, size_t n, bool *ret_is_json) {
    const char *first = data;
    *ret_is_json = n > 0 && (*first == '{' || *first == '[');
    if (n > WIRE_MAX_JSON)
        return NULL; /* of a request, whatever its form */
    return *ret_is_json ? json_loadb(data, n, JSON_ALLOW_NUL, NULL) : packed_decode(data, n);
}

char *wire_to_json(const void *data, size_t n, size_t *ret_n) {
    json_t *value = packed_decode(data, n);
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    if (text)
        *ret_n = strlen(text);
    return text;
}

bool wire_forecast_overlay(json_t **whole, const void *data, size_t n) {
    static const char *const not_kept[] = {"outputs", "state", "labels"};
    struct wire_reader reader;
    wire_reader_init(&reader, data, n);
    while (reader.left > 0) {
        json_t *next = value_decode(&reader, 0);
        for (size_t i = 0; *whole && i < sizeof not_kept / sizeof *not_kept; i++)
            json_object_del(*whole, not_kept[i]);
        bool ok = json_is_object(next) && (*whole == NULL || json_object_update(*whole, next) == 0);
        if (ok && *whole == NULL)
            *whole = json_incref(next);
        json_decref(next);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- a jansson value to MessagePack ------------------------------------------------------- */

struct output {
    char *buffer;
    size_t used, size;
};

/* Where n more bytes go, or NULL when memory is short. */
static char *output_room(struct output *output, size_t n) {
    if (output->size - output->used < n) {
        size_t size = 2 * (output->size + n);
        char *buffer = realloc(output->buffer, size);
        if (!buffer)
            return NULL;
        output->buffer = buffer;
        output->size = size;
    }
    return output->buffer + output->used;
}

static int text_encode(struct output *output, struct wire_text text) {
    char *p = output_room(output, text.n + PACK_MAX);
    if (!p)
        return -1;
    output->used += (size_t)(pack_text(p, text) - p);
    return 0;
}

static char *pack_scalar(char *p, const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_ARRAY: return pack_array(p, json_array_size(value));
    case JSON_OBJECT: return pack_map(p, json_object_size(value));
    case JSON_INTEGER: return pack_int(p, json_integer_value(value));
    case JSON_REAL: return pack_double(p, json_real_value(value));
    case JSON_TRUE: return pack_byte(p, 0xc3);
    case JSON_FALSE: return pack_byte(p, 0xc2);
    default: return pack_nil(p);
    }
}

static int value_encode(struct output *output, const json_t *value) {
    if (json_is_string(value))
        return text_encode(output, text_of(value));
    char *p = output_room(output, PACK_MAX);
    if (!p)
        return -1;
    output->used += (size_t)(pack_scalar(p, value) - p);
    const char *key;
    json_t *child;
    size_t i;
    json_array_foreach(value, i, child) {
        if (value_encode(output, child))
            return -1;
    }
    /* json_object_foreach wants a json_t that is not const; nothing is changed */
    json_object_foreach((json_t *)(uintptr_t)value, key, child) {
        if (text_encode(output, (struct wire_text){key, strlen(key)}) || value_encode(output, child))
            return -1;
    }
    return 0;
}

int wire_message_encode(const json_t *value, bool as_json, char **ret_data, size_t *ret_n) {
    struct output output = {0};
    if (as_json) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!text)
            return -1;
        *ret_data = text;
        *ret_n = strlen(text);
        return 0;
    }
    if (value_encode(&output, value)) {
        free(output.buffer);
        return -1;
    }
    *ret_data = output.buffer;
    *ret_n = output.used;
    return 0;
}
