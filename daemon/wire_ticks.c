/*
 * Ticks from MessagePack: the daemon's hottest reading. One pass over the tokens; only when a tick is
 * refused is it walked again, to find where the next one begins.
 */
#include "daemon/wire_forms.h"
#include "daemon/wire_pack.h"

#include <math.h>

static enum reason read_number(struct wire_reader *reader, double *ret_value) {
    struct wire_token token;
    if (wire_read_float64(reader, ret_value))
        return isinf(*ret_value) ? REASON_INFINITE : REASON_NONE;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    switch (token.type) {
    case WIRE_FLOAT: *ret_value = wire_token_double(&token); return isinf(*ret_value) ? REASON_INFINITE : REASON_NONE;
    case WIRE_UINT:
    case WIRE_SINT: *ret_value = wire_token_double(&token); return REASON_NONE;
    case WIRE_NIL: *ret_value = NAN; return REASON_NONE;
    default: return REASON_VALUE;
    }
}

static enum reason read_values_in_order(struct wire_reader *reader, uint32_t n, struct wire_tick *tick) {
    for (uint32_t i = 0; i < n; i++) {
        enum reason reason = read_number(reader, &tick->values[i]);
        if (reason != REASON_NONE)
            return reason;
    }
    return REASON_NONE;
}

static enum reason read_values_by_name(struct wire_reader *reader, uint32_t n, struct wire_tick *tick) {
    tick->named = true;
    for (uint32_t i = 0; i < n; i++) {
        struct wire_token key;
        if (!wire_read(reader, &key))
            return REASON_MALFORMED;
        if (key.type != WIRE_STR)
            return REASON_SHAPE;
        if (!wire_read_bytes(reader, key.length, &tick->names[i]))
            return REASON_MALFORMED;
        enum reason reason = read_number(reader, &tick->values[i]);
        if (reason != REASON_NONE)
            return reason;
    }
    return REASON_NONE;
}

static enum reason read_values_packed(struct wire_reader *reader, uint32_t n_bytes, struct wire_tick *tick) {
    struct wire_text bytes;
    if (!wire_read_bytes(reader, n_bytes, &bytes))
        return REASON_MALFORMED;
    for (uint32_t i = 0; i < n_bytes / 4; i++) {
        uint32_t bits;
        float value;
        memcpy(&bits, bytes.at + 4 * i, sizeof(bits));
        bits = le32toh(bits);
        memcpy(&value, &bits, sizeof(value));
        if (isinf(value))
            return REASON_INFINITE;
        tick->values[i] = (double)value;
    }
    return REASON_NONE;
}

static enum reason read_values(struct wire_reader *reader, struct wire_tick *tick) {
    struct wire_token token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    bool packed = token.type == WIRE_BIN;
    if (packed && token.length % 4 != 0)
        return REASON_VALUE;
    if (token.type != WIRE_ARRAY && token.type != WIRE_MAP && !packed)
        return REASON_SHAPE;
    uint32_t n = packed ? token.length / 4 : token.length;
    if (n > WIRE_MAX_VALUES)
        return REASON_FEATURES;
    tick->n_values = (int)n;
    tick->named = false; /* of the same key before, which this one replaces */
    if (packed)
        return read_values_packed(reader, token.length, tick);
    if (token.type == WIRE_MAP)
        return read_values_by_name(reader, n, tick);
    return read_values_in_order(reader, n, tick);
}

static enum reason read_time(struct wire_reader *reader, struct wire_tick *tick) {
    struct wire_token token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    tick->has_time = wire_token_int64(&token, &tick->t);
    return tick->has_time ? REASON_NONE : REASON_TIME;
}

static enum reason read_seq(struct wire_reader *reader, struct wire_tick *tick) {
    struct wire_token token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    tick->has_seq = wire_token_uint64(&token, &tick->seq);
    return tick->has_seq ? REASON_NONE : REASON_SHAPE;
}

static enum reason read_label(struct wire_reader *reader, struct wire_tick *tick) {
    struct wire_token token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    tick->is_label = wire_token_int64(&token, &tick->label);
    return tick->is_label ? REASON_NONE : REASON_LABEL;
}

static enum reason read_stream(struct wire_reader *reader, struct wire_tick *tick) {
    struct wire_token token;
    struct wire_text stream;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    if (token.type != WIRE_STR)
        return REASON_SHAPE;
    if (!wire_read_bytes(reader, token.length, &stream))
        return REASON_MALFORMED;
    if (!wire_name_valid(stream))
        return REASON_NAME;
    tick->stream = stream;
    return REASON_NONE;
}

/* t, values and perhaps seq: n elements of an array whose head, and stream if any, have been read. */
static enum reason read_elements(struct wire_reader *reader, uint32_t n, struct wire_tick *tick) {
    if (n < 2 || n > 3)
        return REASON_SHAPE;
    enum reason reason = read_time(reader, tick);
    if (reason == REASON_NONE)
        reason = read_values(reader, tick);
    if (reason == REASON_NONE && n == 3)
        reason = read_seq(reader, tick);
    return reason;
}

/* Whether the next value says good or bad. */
static bool read_good(struct wire_reader *reader, bool *ret_good) {
    struct wire_token token;
    if (!wire_read(reader, &token) || (token.type != WIRE_BOOLEAN && token.type != WIRE_NIL))
        return false;
    *ret_good = token.type == WIRE_NIL || token.bits != 0;
    return true;
}

/* The qualities of the values, which have been read: in their order, or by name as they are. */
static enum reason read_quality(struct wire_reader reader, struct wire_tick *tick) {
    struct wire_token token;
    bool good;
    if (!wire_read(&reader, &token) || token.type != (tick->named ? WIRE_MAP : WIRE_ARRAY) ||
        token.length > WIRE_MAX_VALUES || (!tick->named && token.length != (uint32_t)tick->n_values))
        return REASON_QUALITY;
    for (uint32_t i = 0; i < token.length; i++) {
        struct wire_token key;
        struct wire_text name = {0};
        if (tick->named &&
            (!wire_read(&reader, &key) || key.type != WIRE_STR || !wire_read_bytes(&reader, key.length, &name)))
            return REASON_QUALITY;
        if (!read_good(&reader, &good))
            return REASON_QUALITY;
        if (good)
            continue;
        if (tick->named)
            wire_tick_bad_named(tick, name);
        else
            wire_tick_bad(tick, (int)i);
    }
    return REASON_NONE;
}

/* In a bundle the stream is one of the keys. */
static enum reason read_map(struct wire_reader *reader, uint32_t n, bool bundled, struct wire_tick *tick) {
    bool has_values = false, has_stream = !bundled;
    struct wire_reader quality = {NULL, 0}; /* comes before the values, or behind them */
    for (uint32_t i = 0; i < n; i++) {
        struct wire_token token;
        struct wire_text key;
        if (!wire_read(reader, &token))
            return REASON_MALFORMED;
        if (token.type != WIRE_STR)
            return REASON_SHAPE;
        if (!wire_read_bytes(reader, token.length, &key))
            return REASON_MALFORMED;
        enum reason reason = REASON_NONE;
        if (WIRE_TEXT_IS(key, "t")) {
            reason = read_time(reader, tick);
        } else if (WIRE_TEXT_IS(key, "v")) {
            has_values = true;
            reason = read_values(reader, tick);
        } else if (WIRE_TEXT_IS(key, "label")) {
            reason = read_label(reader, tick);
        } else if (WIRE_TEXT_IS(key, "seq")) {
            reason = read_seq(reader, tick);
        } else if (bundled && WIRE_TEXT_IS(key, "stream")) {
            has_stream = true;
            reason = read_stream(reader, tick);
        } else {
            if (WIRE_TEXT_IS(key, "q"))
                quality = *reader;
            if (!wire_read_skip(reader))
                reason = REASON_MALFORMED;
        }
        if (reason != REASON_NONE)
            return reason;
    }
    if (!has_stream || has_values == tick->is_label || !tick->has_time)
        return REASON_SHAPE;
    return quality.at == NULL ? REASON_NONE : read_quality(quality, tick);
}

static enum reason read_single(struct wire_reader *reader, struct wire_tick *tick) {
    struct wire_token token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    if (token.type == WIRE_ARRAY)
        return read_elements(reader, token.length, tick);
    return token.type == WIRE_MAP ? read_map(reader, token.length, false, tick) : REASON_SHAPE;
}

static enum reason read_element(struct wire_reader *reader, struct wire_tick *tick) {
    struct wire_token token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    if (token.type == WIRE_MAP)
        return read_map(reader, token.length, true, tick);
    if (token.type != WIRE_ARRAY || token.length == 0)
        return REASON_SHAPE;
    enum reason reason = read_stream(reader, tick);
    return reason != REASON_NONE ? reason : read_elements(reader, token.length - 1, tick);
}

/* ---- what most senders send ------------------------------------------------------------------- */

static uint64_t read_u64(const char *at) {
    uint64_t bits;
    memcpy(&bits, at, sizeof bits);
    return be64toh(bits);
}

/* A name with a short head. Returns where the next one goes on; NULL: it is something else. */
static const char *plain_stream(const char *at, const char *end, struct wire_text *ret_stream) {
    size_t n = (unsigned char)*at & 0x1f;
    if (((unsigned char)*at & 0xe0) != 0xa0 || (size_t)(end - at) <= n)
        return NULL;
    *ret_stream = (struct wire_text){at + 1, n};
    return wire_name_valid(*ret_stream) ? at + 1 + n : NULL;
}

/* [t, values], in a bundle [stream, t, values], with fewer than 16 values, all numbers in 64 bits. A tick in this form
 * is taken in without a token, many times as fast; any other, whatever is wrong with it, is left (NULL) to the functions
 * above. */
static const char *plain_tick(const char *at, const char *end, bool bundled, struct wire_tick *tick) {
    enum { NUMBER = 9, HEAD = 1 };
    if (at == end || (unsigned char)*at != (bundled ? 0x93 : 0x92) || ++at == end)
        return NULL;
    if (bundled && ((at = plain_stream(at, end, &tick->stream)) == NULL))
        return NULL;
    if (end - at < NUMBER + HEAD || (unsigned char)*at != 0xcf || ((unsigned char)at[NUMBER] & 0xf0) != 0x90)
        return NULL;
    uint64_t t = read_u64(at + 1);
    int n = (unsigned char)at[NUMBER] & 0x0f;
    at += NUMBER + HEAD;
    if (t > INT64_MAX || end - at < n * NUMBER)
        return NULL;
    for (int i = 0; i < n; i++, at += NUMBER) {
        uint64_t bits = read_u64(at + 1);
        if ((unsigned char)*at != 0xcb || (bits & INT64_MAX) == UINT64_C(0x7ff0000000000000)) /* infinite */
            return NULL;
        memcpy(&tick->values[i], &bits, sizeof bits);
    }
    tick->has_time = true;
    tick->t = (int64_t)t;
    tick->n_values = n;
    return at;
}

const char *wire_ticks_look(const struct wire_ticks *ticks, const char *at, struct wire_text *ret_stream) {
    enum { HEADS = 2, NUMBER = 9 };
    if (ticks->form != WIRE_FORM_BUNDLE || ticks->end - at < HEADS)
        return NULL;
    size_t n = (unsigned char)at[1] & 0x1f, left = (size_t)(ticks->end - at) - HEADS;
    if ((unsigned char)at[0] != 0x93 || ((unsigned char)at[1] & 0xe0) != 0xa0 || left < n + NUMBER + 1)
        return NULL;
    *ret_stream = (struct wire_text){at + HEADS, n};
    size_t values = (unsigned char)at[HEADS + n + NUMBER] & 0x0f, all = n + NUMBER + 1 + values * NUMBER;
    return left < all ? NULL : at + HEADS + all;
}

/* ---- messages --------------------------------------------------------------------------------- */

enum reason wire_packed_begin(struct wire_ticks *ticks) {
    ticks->left = 1;
    if (ticks->form == WIRE_FORM_SINGLE)
        return REASON_NONE;
    uint32_t n;
    size_t head = wire_array_open(ticks->at, (size_t)(ticks->end - ticks->at), &n);
    if (head == 0 || n > (size_t)(ticks->end - ticks->at) - head)
        return REASON_MALFORMED; /* every tick takes at least a byte */
    ticks->at += head;
    ticks->left = n;
    return REASON_NONE;
}

static int refuse_the_rest(struct wire_ticks *ticks, enum reason *ret_reason) {
    ticks->at = ticks->end;
    ticks->left = 0;
    *ret_reason = REASON_MALFORMED;
    return -1;
}

int wire_packed_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason) {
    struct wire_reader reader;
    bool single = ticks->form == WIRE_FORM_SINGLE;
    size_t n = (size_t)(ticks->end - ticks->at);
    wire_tick_clear(ret_tick, ticks->stream);
    if (ticks->left == 0)
        return n == 0 ? 0 : refuse_the_rest(ticks, ret_reason);
    const char *plain = plain_tick(ticks->at, ticks->end, !single, ret_tick);
    if (plain != NULL && (!single || plain == ticks->end)) {
        ticks->at = plain;
        ticks->left--;
        *ret_reason = REASON_NONE;
        return 1;
    }
    wire_tick_clear(ret_tick, ticks->stream);
    wire_reader_init(&reader, ticks->at, n);
    enum reason reason = single ? read_single(&reader, ret_tick) : read_element(&reader, ret_tick);
    if (reason != REASON_NONE) {
        wire_reader_init(&reader, ticks->at, n);
        if (!wire_read_skip(&reader))
            return refuse_the_rest(ticks, ret_reason);
    }
    if (single && reader.left > 0)
        return refuse_the_rest(ticks, ret_reason);
    ticks->at = reader.at;
    ticks->left--;
    *ret_reason = reason;
    return reason == REASON_NONE ? 1 : -1;
}
