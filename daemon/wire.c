/*
 * Names, the dispatch of tick messages to their forms, and ticks as clients write them.
 */
#include "daemon/wire.h"
#include "daemon/wire_forms.h"
#include "daemon/wire_pack.h"

#include <math.h>
#include <stdlib.h>

/* ---- names -------------------------------------------------------------------------------- */

/* Bytes of the character at p, 0 where it is not UTF-8. Table 3-7 of the Unicode standard: the second
 * byte's range is what excludes overlong forms, surrogates and what lies beyond U+10FFFF. */
static size_t character(const unsigned char *p, size_t left) {
    unsigned char low = 0x80, high = 0xbf;
    size_t n;
    if (p[0] < 0x80)
        return p[0] != 0;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        n = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        n = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (left < n)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Eight bytes of ASCII without NUL. */
static bool plain(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    uint64_t zeros = (word - 0x0101010101010101) & ~word; /* the top bit of the lowest zero byte, if any */
    return ((word | zeros) & 0x8080808080808080) == 0;
}

bool wire_name_valid(struct wire_text name) {
    const unsigned char *p = (const unsigned char *)name.at;
    size_t left = name.n;
    if (left == 0 || left > WIRE_MAX_NAME)
        return false;
    while (left > 0) {
        size_t n = left >= 8 && plain(p) ? 8 : character(p, left);
        if (n == 0)
            return false;
        p += n;
        left -= n;
    }
    return true;
}

/* ---- messages of ticks -------------------------------------------------------------------- */

static bool is_json(struct wire_text text) {
    return text.at[0] == '[' || text.at[0] == '{';
}

static bool is_array(struct wire_text text) {
    unsigned char first = (unsigned char)text.at[0];
    return (first & 0xf0) == 0x90 || first == 0xdc || first == 0xdd;
}

enum reason wire_ticks_begin(struct wire_ticks *ticks, const struct wire_text *frames, size_t n_frames) {
    *ticks = (struct wire_ticks){0};
    if (n_frames < 1 || n_frames > 2)
        return REASON_FRAMES;
    struct wire_text payload = frames[n_frames - 1];
    if (n_frames == 2) {
        if (!wire_name_valid(frames[0]))
            return REASON_NAME;
        ticks->stream = frames[0];
    }
    /* counts are of 32 bits; ZMQ_MAXMSGSIZE is far below */
    if (payload.n == 0 || payload.n > UINT32_MAX)
        return REASON_MALFORMED;
    ticks->at = payload.at;
    ticks->end = payload.at + payload.n;
    if (is_json(payload)) {
        ticks->form = n_frames == 2 ? WIRE_FORM_JSON : WIRE_FORM_JSON_BUNDLE;
        return wire_json_begin(ticks);
    }
    if (n_frames == 2 || is_array(payload)) {
        ticks->form = n_frames == 2 ? WIRE_FORM_SINGLE : WIRE_FORM_BUNDLE;
        return wire_packed_begin(ticks);
    }
    ticks->form = WIRE_FORM_LINES;
    return wire_lines_begin(ticks);
}

int wire_ticks_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason) {
    switch (ticks->form) {
    case WIRE_FORM_JSON:
    case WIRE_FORM_JSON_BUNDLE: return wire_json_next(ticks, ret_tick, ret_reason);
    case WIRE_FORM_LINES: return wire_lines_next(ticks, ret_tick, ret_reason);
    default: return wire_packed_next(ticks, ret_tick, ret_reason);
    }
}

size_t wire_ticks_count(const struct wire_ticks *ticks, struct wire_tick *scratch) {
    if (ticks->form != WIRE_FORM_LINES)
        return ticks->left;
    /* What it unescapes, it unescapes once more, to the same places. */
    struct wire_ticks through = *ticks;
    enum reason reason;
    size_t n = 0;
    while (wire_lines_next(&through, scratch, &reason) != 0)
        n++;
    return n;
}

void wire_ticks_end(struct wire_ticks *ticks) {
    json_decref(ticks->json);
    free(ticks->unescaped);
    *ticks = (struct wire_ticks){0};
}

/* ---- ticks as clients write them ---------------------------------------------------------- */

static char *pack_values(char *p, const double *values, int n_values) {
    p = pack_array(p, (size_t)n_values);
    for (int i = 0; i < n_values; i++)
        p = isnan(values[i]) ? pack_nil(p) : pack_double(p, values[i]);
    return p;
}

size_t wire_tick_encode(char *buffer, size_t size, int64_t t, const double *values, int n_values,
                        const uint64_t *seq) {
    if (size < WIRE_TICK_BOUND(n_values))
        return 0;
    char *p = pack_array(buffer, seq ? 3 : 2);
    p = pack_int(p, t);
    p = pack_values(p, values, n_values);
    if (seq)
        p = pack_uint(p, *seq);
    return (size_t)(p - buffer);
}

int wire_bundle_add(struct wire_bundle *bundle, struct wire_text stream, int64_t t, const double *values,
                    int n_values) {
    size_t used = bundle->used ? bundle->used : WIRE_ARRAY_HEAD;
    size_t need = used + stream.n + PACK_MAX * (4 + (size_t)n_values);
    if (need > bundle->size) {
        size_t size = need < 2048 ? 4096 : 2 * need;
        char *buffer = realloc(bundle->buffer, size);
        if (!buffer)
            return -1;
        bundle->buffer = buffer;
        bundle->size = size;
    }
    char *p = pack_array(bundle->buffer + used, 3);
    p = pack_text(p, stream);
    p = pack_int(p, t);
    p = pack_values(p, values, n_values);
    bundle->used = (size_t)(p - bundle->buffer);
    bundle->n++;
    return 0;
}

struct wire_text wire_bundle_message(struct wire_bundle *bundle) {
    if (bundle->n == 0)
        return (struct wire_text){"\x90", 1};
    wire_array_head(bundle->buffer, bundle->n);
    return (struct wire_text){bundle->buffer, bundle->used};
}

void wire_bundle_clear(struct wire_bundle *bundle) {
    bundle->used = 0;
    bundle->n = 0;
}

void wire_bundle_fini(struct wire_bundle *bundle) {
    free(bundle->buffer);
    *bundle = (struct wire_bundle){0};
}

/* ---- heads of arrays ---------------------------------------------------------------------- */

void wire_array_head(char *buffer, uint32_t n) {
    pack_u32(buffer, 0xdd, n);
}

size_t wire_array_open(const void *data, size_t n, uint32_t *ret_n) {
    struct wire_reader reader;
    struct wire_token token;
    wire_reader_init(&reader, data, n);
    if (!wire_read(&reader, &token) || token.type != WIRE_ARRAY)
        return 0;
    *ret_n = token.length;
    return n - reader.left;
}
