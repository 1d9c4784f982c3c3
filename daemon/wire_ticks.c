/*
 * Ticks from MessagePack: the daemon's hottest reading. One pass over the tokens; only when a tick is
 * refused is it walked again, to find where the next one begins.
 */
#include "daemon/wire_forms.h"
#include "daemon/wire_pack.h"

#include <math.h>

static enum reason read_number(struct wire_reader *reader, double *ret_value) {
    mpack_token_t token;
    if (wire_read_float64(reader, ret_value))
        return isinf(*ret_value) ? REASON_INFINITE : REASON_NONE;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    switch (token.type) {
    case MPACK_TOKEN_FLOAT:
        *ret_value = mpack_unpack_float_fast(token);
        return isinf(*ret_value) ? REASON_INFINITE : REASON_NONE;
    case MPACK_TOKEN_UINT:
    case MPACK_TOKEN_SINT: *ret_value = mpack_unpack_number(token); return REASON_NONE;
    case MPACK_TOKEN_NIL: *ret_value = NAN; return REASON_NONE;
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
        mpack_token_t key;
        if (!wire_read(reader, &key))
            return REASON_MALFORMED;
        if (key.type != MPACK_TOKEN_STR)
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
    mpack_token_t token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    bool packed = token.type == MPACK_TOKEN_BIN;
    if (packed && token.length % 4 != 0)
        return REASON_VALUE;
    if (token.type != MPACK_TOKEN_ARRAY && token.type != MPACK_TOKEN_MAP && !packed)
        return REASON_SHAPE;
    uint32_t n = packed ? token.length / 4 : token.length;
    if (n > WIRE_MAX_VALUES)
        return REASON_FEATURES;
    tick->n_values = (int)n;
    tick->named = false; /* of the same key before, which this one replaces */
    if (packed)
        return read_values_packed(reader, token.length, tick);
    if (token.type == MPACK_TOKEN_MAP)
        return read_values_by_name(reader, n, tick);
    return read_values_in_order(reader, n, tick);
}

static enum reason read_time(struct wire_reader *reader, struct wire_tick *tick) {
    mpack_token_t token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    tick->has_time = wire_token_int64(&token, &tick->t);
    return tick->has_time ? REASON_NONE : REASON_TIME;
}

static enum reason read_seq(struct wire_reader *reader, struct wire_tick *tick) {
    mpack_token_t token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    tick->has_seq = wire_token_uint64(&token, &tick->seq);
    return tick->has_seq ? REASON_NONE : REASON_SHAPE;
}

static enum reason read_label(struct wire_reader *reader, struct wire_tick *tick) {
    mpack_token_t token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    tick->is_label = wire_token_int64(&token, &tick->label);
    return tick->is_label ? REASON_NONE : REASON_LABEL;
}

static enum reason read_stream(struct wire_reader *reader, struct wire_tick *tick) {
    mpack_token_t token;
    struct wire_text stream;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    if (token.type != MPACK_TOKEN_STR)
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

/* In a bundle the stream is one of the keys. */
static enum reason read_map(struct wire_reader *reader, uint32_t n, bool bundled, struct wire_tick *tick) {
    bool has_values = false, has_stream = !bundled;
    for (uint32_t i = 0; i < n; i++) {
        mpack_token_t token;
        struct wire_text key;
        if (!wire_read(reader, &token))
            return REASON_MALFORMED;
        if (token.type != MPACK_TOKEN_STR)
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
        } else if (!wire_read_skip(reader)) {
            reason = REASON_MALFORMED;
        }
        if (reason != REASON_NONE)
            return reason;
    }
    return has_stream && has_values != tick->is_label && tick->has_time ? REASON_NONE : REASON_SHAPE;
}

static enum reason read_single(struct wire_reader *reader, struct wire_tick *tick) {
    mpack_token_t token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    if (token.type == MPACK_TOKEN_ARRAY)
        return read_elements(reader, token.length, tick);
    return token.type == MPACK_TOKEN_MAP ? read_map(reader, token.length, false, tick) : REASON_SHAPE;
}

static enum reason read_element(struct wire_reader *reader, struct wire_tick *tick) {
    mpack_token_t token;
    if (!wire_read(reader, &token))
        return REASON_MALFORMED;
    if (token.type == MPACK_TOKEN_MAP)
        return read_map(reader, token.length, true, tick);
    if (token.type != MPACK_TOKEN_ARRAY || token.length == 0)
        return REASON_SHAPE;
    enum reason reason = read_stream(reader, tick);
    return reason != REASON_NONE ? reason : read_elements(reader, token.length - 1, tick);
}

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
