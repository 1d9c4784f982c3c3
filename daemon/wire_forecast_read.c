/*
 * Forecasts from MessagePack, for clients. A table says which key goes to which reader. Arrays are kept as offsets until the
 * end, since the arena may move while it grows, and over a bundle, whose maps tell what has changed.
 */
#include "daemon/wire_pack.h"

#include <math.h>
#include <stdlib.h>

#define NAME_OF(constant, name) name,
static const char *const flag_names[] = {WIRE_FLAGS(NAME_OF)};
#undef NAME_OF

struct decoding {
    struct wire_reader reader;
    struct wire_arena *arena;
    struct wire_arrays *arrays; /* the arena's */
    struct wire_forecast *forecast;
    uint32_t keys; /* bit i: the table's key i was there */
};

void wire_arena_fini(struct wire_arena *arena) {
    free(arena->buffer);
    *arena = (struct wire_arena){0};
}

/* Room for n elements of size bytes, aligned for any: where the array was, or more. n has been bounded by the bytes of the
 * message. */
static bool arena_take(struct wire_arena *arena, size_t n, size_t size, struct wire_place *place) {
    if (n * size <= place->size && place->size > 0)
        return true;
    size_t offset = (arena->used + 7) / 8 * 8, used = offset + n * size;
    if (used > arena->size || !arena->buffer) {
        size_t grown = 2 * used + 1024;
        char *buffer = realloc(arena->buffer, grown);
        if (!buffer)
            return false;
        arena->buffer = buffer;
        arena->size = grown;
    }
    arena->used = used;
    *place = (struct wire_place){offset, n * size};
    return true;
}

/* The array at a place, until room is taken. */
static inline void *array_at(const struct decoding *d, struct wire_place place) {
    return d->arena->buffer + place.at;
}

/* ---- values ------------------------------------------------------------------------------- */

/* A count that claims more elements than there are bytes left is refused before room is taken for it. */
static inline bool read_count(struct decoding *d, enum wire_token_type type, uint32_t *ret_n) {
    struct wire_token token;
    unsigned head = d->reader.left > 0 ? (unsigned char)*d->reader.at : 0xc0, n = head & 0x0f;
    if ((head & 0xf0) == (type == WIRE_ARRAY ? 0x90 : 0x80) && n < d->reader.left) { /* a short one */
        wire_reader_pass(&d->reader, 1);
        *ret_n = n;
        return true;
    }
    if (!wire_read(&d->reader, &token) || token.type != type || token.length > d->reader.left ||
        token.length > INT32_MAX)
        return false;
    *ret_n = token.length;
    return true;
}

static inline bool read_text(struct decoding *d, struct wire_text *ret_text) {
    struct wire_token token;
    size_t n = d->reader.left > 0 ? (unsigned char)*d->reader.at & 0x1f : 0;
    if (d->reader.left > n && ((unsigned char)*d->reader.at & 0xe0) == 0xa0) { /* a short one */
        *ret_text = (struct wire_text){d->reader.at + 1, n};
        wire_reader_pass(&d->reader, 1 + n);
        return true;
    }
    return wire_read(&d->reader, &token) && token.type == WIRE_STR &&
           wire_read_bytes(&d->reader, token.length, ret_text);
}

/* Without a token where nine bytes are left: eight of them are read, and those that are not the number's shifted out. */
static inline bool read_u64(struct decoding *d, uint64_t *ret_value) {
    struct wire_reader *reader = &d->reader;
    struct wire_token token;
    if (reader->left >= 9 && (unsigned char)*reader->at < 0x80) {
        *ret_value = (unsigned char)*reader->at;
        wire_reader_pass(reader, 1);
        return true;
    }
    unsigned form = reader->left >= 9 ? (unsigned char)*reader->at - 0xccU : 4;
    if (form < 4) { /* uint 8, 16, 32, 64 */
        unsigned n = 1U << form;
        memcpy(ret_value, reader->at + 1, sizeof *ret_value);
        *ret_value = be64toh(*ret_value) >> (64 - 8 * n);
        wire_reader_pass(reader, 1 + n);
        return true;
    }
    return wire_read(reader, &token) && wire_token_uint64(&token, ret_value);
}

static bool read_u32(struct decoding *d, uint32_t *ret_value) {
    uint64_t value;
    if (!read_u64(d, &value) || value > UINT32_MAX)
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

static inline bool read_i64(struct decoding *d, int64_t *ret_value) {
    unsigned head = d->reader.left > 0 ? (unsigned char)*d->reader.at : 0xc0;
    struct wire_token token;
    uint64_t value;
    if (head < 0x80 || head == 0xcf) {
        if (!read_u64(d, &value) || value > INT64_MAX)
            return false;
        *ret_value = (int64_t)value;
        return true;
    }
    return wire_read(&d->reader, &token) && wire_token_int64(&token, ret_value);
}

static bool read_double(struct decoding *d, double *ret_value) {
    struct wire_token token;
    if (wire_read_float64(&d->reader, ret_value) || wire_read_float32(&d->reader, ret_value))
        return true;
    if (!wire_read(&d->reader, &token))
        return false;
    if (token.type != WIRE_UINT && token.type != WIRE_SINT)
        return false;
    *ret_value = wire_token_double(&token);
    return true;
}

static inline bool read_doubles(struct decoding *d, uint32_t n, double *values) {
    enum { NUMBER = 9 };
    const char *at = d->reader.at, *end = at + d->reader.left;
    uint32_t i = 0;
    for (; i < n && end - at >= NUMBER && (unsigned char)*at == 0xcb; i++, at += NUMBER) {
        uint64_t bits;
        memcpy(&bits, at + 1, sizeof bits);
        bits = be64toh(bits);
        memcpy(&values[i], &bits, sizeof bits);
    }
    wire_reader_pass(&d->reader, (size_t)(at - d->reader.at));
    for (; i < n; i++)
        if (!read_double(d, &values[i]))
            return false;
    return true;
}

/* ---- keys --------------------------------------------------------------------------------- */

static bool read_stream(struct decoding *d) {
    return read_text(d, &d->forecast->stream);
}
static bool read_model(struct decoding *d) {
    return read_text(d, &d->forecast->model);
}
static bool read_version(struct decoding *d) {
    return read_u64(d, &d->forecast->version);
}
static bool read_epoch(struct decoding *d) {
    return read_u64(d, &d->forecast->epoch);
}
static bool read_generation(struct decoding *d) {
    return read_u32(d, &d->forecast->generation);
}
static bool read_step(struct decoding *d) {
    return read_u64(d, &d->forecast->step);
}
static bool read_primed(struct decoding *d) {
    return read_u64(d, &d->forecast->primed);
}
static bool read_t(struct decoding *d) {
    return read_i64(d, &d->forecast->t);
}
static bool read_received(struct decoding *d) {
    return read_i64(d, &d->forecast->received);
}
static bool read_sent(struct decoding *d) {
    return read_i64(d, &d->forecast->sent);
}

static bool read_position(struct decoding *d) {
    uint32_t n;
    return read_count(d, WIRE_ARRAY, &n) && n == 2 && read_u32(d, &d->forecast->source_id) &&
           read_u64(d, &d->forecast->number);
}

static bool read_times(struct decoding *d) {
    uint32_t n;
    d->arrays->has_times = d->reader.left == 0 || (unsigned char)*d->reader.at != 0xc0;
    if (!d->arrays->has_times)
        return wire_read_skip(&d->reader);
    if (!read_count(d, WIRE_ARRAY, &n) || !arena_take(d->arena, n, sizeof(int64_t), &d->arrays->times))
        return false;
    int64_t *times = array_at(d, d->arrays->times);
    d->arrays->n_times = (int)n;
    for (uint32_t i = 0; i < n; i++)
        if (!read_i64(d, &times[i]))
            return false;
    return true;
}

static bool read_targets(struct decoding *d) {
    uint32_t n;
    if (!read_count(d, WIRE_ARRAY, &n) || !arena_take(d->arena, n, sizeof(struct wire_text), &d->arrays->targets))
        return false;
    struct wire_text *targets = array_at(d, d->arrays->targets);
    d->forecast->n_targets = (int)n;
    for (uint32_t i = 0; i < n; i++)
        if (!read_text(d, &targets[i]))
            return false;
    return true;
}

static bool read_values(struct decoding *d) {
    uint32_t n;
    if (!read_count(d, WIRE_ARRAY, &n) || !arena_take(d->arena, n, sizeof(double), &d->arrays->values))
        return false;
    double *values = array_at(d, d->arrays->values);
    d->arrays->has_values = true;
    d->arrays->n_values = (int)n;
    return read_doubles(d, n, values);
}

/* Rows of equal length; the first one's head says how much room all of them take. ret_columns: -1 without rows. */
static bool read_rows(struct decoding *d, int *ret_rows, int *ret_columns, struct wire_place *place) {
    uint32_t n_rows, n_columns = 0;
    if (!read_count(d, WIRE_ARRAY, &n_rows))
        return false;
    *ret_rows = (int)n_rows;
    *ret_columns = -1;
    if (n_rows == 0)
        return arena_take(d->arena, 0, sizeof(double), place);
    for (uint32_t row = 0; row < n_rows; row++) {
        uint32_t n;
        if (!read_count(d, WIRE_ARRAY, &n) || (row > 0 && n != n_columns))
            return false;
        n_columns = n;
        if (row == 0 && ((uint64_t)n_rows * n > d->reader.left ||
                         !arena_take(d->arena, (size_t)n_rows * n, sizeof(double), place)))
            return false;
        if (!read_doubles(d, n, (double *)array_at(d, *place) + (size_t)row * n))
            return false;
    }
    *ret_columns = (int)n_columns;
    return true;
}

static bool read_mean(struct decoding *d) {
    return read_rows(d, &d->forecast->horizon, &d->arrays->n_columns, &d->arrays->mean);
}

/* Later versions may lengthen an interval. */
static bool read_intervals(struct decoding *d) {
    uint32_t n, elements;
    if (!read_count(d, WIRE_ARRAY, &n) || n > WIRE_MAX_LEVELS ||
        !arena_take(d->arena, n, sizeof(struct wire_interval), &d->arrays->intervals))
        return false;
    struct wire_arrays *arrays = d->arrays;
    d->forecast->n_intervals = (int)n;
    for (uint32_t l = 0; l < n; l++) {
        double level;
        if (!read_count(d, WIRE_ARRAY, &elements) || elements < 3 || !read_double(d, &level) ||
            !read_rows(d, &arrays->n_bounds[2 * l][0], &arrays->n_bounds[2 * l][1], &arrays->bounds[2 * l]) ||
            !read_rows(d, &arrays->n_bounds[2 * l + 1][0], &arrays->n_bounds[2 * l + 1][1],
                       &arrays->bounds[2 * l + 1]))
            return false;
        ((struct wire_interval *)array_at(d, arrays->intervals))[l].level = level;
        for (; elements > 3; elements--)
            if (!wire_read_skip(&d->reader))
                return false;
    }
    return true;
}

static bool read_shares(struct decoding *d) {
    uint32_t n;
    if (!read_count(d, WIRE_MAP, &n) || !arena_take(d->arena, n, sizeof(struct wire_share), &d->arrays->shares))
        return false;
    d->forecast->n_shares = (int)n;
    struct wire_share *shares = array_at(d, d->arrays->shares);
    for (uint32_t i = 0; i < n; i++) {
        double share;
        if (!read_text(d, &shares[i].expert) || !read_double(d, &share))
            return false;
        shares[i].share = (float)share;
    }
    return true;
}

static bool read_anomaly(struct decoding *d) {
    return read_double(d, &d->forecast->anomaly);
}

/* What is not known is nil, and stays NaN. */
static bool read_floats(struct decoding *d, uint32_t n, float *values) {
    for (uint32_t i = 0; i < n; i++) {
        double value;
        if (!wire_read_float32(&d->reader, &value) && !read_double(d, &value))
            return false;
        values[i] = (float)value;
    }
    return true;
}

/* Whether an array is what comes next. */
static bool at_array(const struct decoding *d) {
    unsigned head = d->reader.left > 0 ? (unsigned char)*d->reader.at : 0;
    return (head & 0xf0) == 0x90 || head == 0xdc || head == 0xdd;
}

/* An array of numbers, or of `steps` arrays of as many numbers each. */
static bool read_output(struct decoding *d, struct wire_output *output, struct wire_place *place) {
    uint32_t n, width = 0;
    *output = (struct wire_output){0};
    if (!read_count(d, WIRE_ARRAY, &n))
        return false;
    if (n == 0 || !at_array(d)) {
        output->width = (int)n;
        return arena_take(d->arena, n, sizeof(float), place) && read_floats(d, n, array_at(d, *place));
    }
    output->steps = (int)n;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t here;
        if (!read_count(d, WIRE_ARRAY, &here) || (t > 0 && here != width))
            return false;
        width = here;
        if (t == 0 &&
            ((uint64_t)n * width > d->reader.left || !arena_take(d->arena, (size_t)n * width, sizeof(float), place)))
            return false;
        if (!read_floats(d, width, (float *)array_at(d, *place) + (size_t)t * width))
            return false;
    }
    output->width = (int)width;
    return true;
}

static bool read_outputs(struct decoding *d) {
    uint32_t n;
    if (!read_count(d, WIRE_ARRAY, &n) || n > WIRE_MAX_OUTPUTS ||
        !arena_take(d->arena, n, sizeof(struct wire_output), &d->arrays->outputs))
        return false;
    d->forecast->n_outputs = (int)n;
    for (uint32_t i = 0; i < n; i++) {
        struct wire_output output;
        if (!read_output(d, &output, &d->arrays->output[i]))
            return false;
        ((struct wire_output *)array_at(d, d->arrays->outputs))[i] = output;
    }
    return true;
}

static bool read_source(struct decoding *d) {
    struct wire_text name;
    if (!read_text(d, &name))
        return false;
    d->forecast->source = WIRE_TEXT_IS(name, "network")    ? WIRE_SOURCE_NETWORK
                          : WIRE_TEXT_IS(name, "baseline") ? WIRE_SOURCE_BASELINE
                                                           : WIRE_SOURCE_OTHER;
    return true;
}

static bool read_baseline(struct decoding *d) {
    struct wire_text name;
    if (!read_text(d, &name))
        return false;
    d->forecast->baseline = WIRE_TEXT_IS(name, "last_value") ? WIRE_BASELINE_LAST_VALUE
                            : WIRE_TEXT_IS(name, "seasonal") ? WIRE_BASELINE_SEASONAL
                            : WIRE_TEXT_IS(name, "labels")   ? WIRE_BASELINE_LABELS
                                                             : WIRE_BASELINE_OTHER;
    return true;
}

static bool read_flags(struct decoding *d) {
    uint32_t n;
    struct wire_text name;
    if (!read_count(d, WIRE_ARRAY, &n))
        return false;
    d->forecast->flags = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!read_text(d, &name))
            return false;
        for (unsigned bit = 0; bit < WIRE_N_FLAGS; bit++)
            if (wire_text_is(name, flag_names[bit], strlen(flag_names[bit])))
                d->forecast->flags |= 1U << bit;
    }
    return true;
}

static inline bool read_mean_float(struct decoding *d, uint32_t *left, float *value) {
    double x;
    if (*left == 0)
        return true;
    *left -= 1;
    if (!wire_read_float32(&d->reader, &x) && !read_double(d, &x))
        return false;
    *value = (float)x;
    return true;
}

static inline bool read_by_level(struct decoding *d, uint32_t *left, float *values) {
    uint32_t n;
    if (*left == 0)
        return true;
    *left -= 1;
    if (!read_count(d, WIRE_ARRAY, &n) || n > WIRE_MAX_LEVELS)
        return false;
    return read_floats(d, n, values);
}

/* Whatever of them is there, in their order: *left elements, of which the rest stays. */
static bool read_means(struct decoding *d, uint32_t *left, struct wire_means *means) {
    float *const in_order[] = {&means->mae,  &means->mae_last_value, &means->mae_seasonal,
                               &means->rmse, &means->mase,           &means->pinball};
    for (size_t i = 0; i < sizeof in_order / sizeof *in_order; i++)
        if (!read_mean_float(d, left, in_order[i]))
            return false;
    return read_by_level(d, left, means->coverage) && read_by_level(d, left, means->width);
}

#define UNKNOWN_LEVELS \
    { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN }
static const struct wire_means unknown_means = {NAN, NAN, NAN, NAN, NAN, NAN, UNKNOWN_LEVELS, UNKNOWN_LEVELS};
_Static_assert(WIRE_MAX_LEVELS == 8, "as many as are unknown");

static bool skip_values(struct decoding *d, uint32_t n) {
    for (; n > 0; n--)
        if (!wire_read_skip(&d->reader))
            return false;
    return true;
}

static bool read_labels(struct decoding *d) {
    struct wire_labels *labels = &d->forecast->labels;
    uint32_t n;
    d->forecast->has_labels = true;
    return read_count(d, WIRE_ARRAY, &n) && n >= 5 && read_u64(d, &labels->n) && read_double(d, &labels->accuracy) &&
           read_double(d, &labels->brier) && read_double(d, &labels->accuracy_all) &&
           read_double(d, &labels->brier_all) && skip_values(d, n - 5);
}

/* Earlier versions have shorter scores, later ones may have longer ones. */
static bool read_score(struct decoding *d, struct wire_score *score) {
    uint32_t n, n_all;
    int64_t h;
    if (!read_count(d, WIRE_ARRAY, &n) || n < 5 || !read_i64(d, &h) || h < INT32_MIN || h > INT32_MAX)
        return false;
    *score = (struct wire_score){.h = (int32_t)h, .recent = unknown_means, .all = unknown_means};
    n -= 2;
    if (!read_u64(d, &score->n) || !read_means(d, &n, &score->recent))
        return false;
    if (n == 0)
        return true;
    if (!read_count(d, WIRE_ARRAY, &n_all) || !read_means(d, &n_all, &score->all) || !skip_values(d, n_all))
        return false;
    return skip_values(d, n - 1);
}

static bool read_scores(struct decoding *d) {
    uint32_t n;
    if (!read_count(d, WIRE_ARRAY, &n) || n > d->reader.left / 6 ||
        !arena_take(d->arena, n, sizeof(struct wire_score), &d->arrays->scores))
        return false;
    struct wire_score *scores = array_at(d, d->arrays->scores);
    d->forecast->n_scores = (int)n;
    for (uint32_t i = 0; i < n; i++)
        if (!read_score(d, &scores[i]))
            return false;
    return true;
}

/* In the order in which the daemon writes them. */
#define KEYS(KEY) \
    KEY("stream", read_stream, true) \
    KEY("model", read_model, true) \
    KEY("version", read_version, false) \
    KEY("epoch", read_epoch, false) \
    KEY("generation", read_generation, false) \
    KEY("position", read_position, false) \
    KEY("step", read_step, true) \
    KEY("primed", read_primed, false) \
    KEY("t", read_t, true) \
    KEY("times", read_times, false) \
    KEY("targets", read_targets, true) \
    KEY("values", read_values, false) \
    KEY("mean", read_mean, true) \
    KEY("intervals", read_intervals, false) \
    KEY("outputs", read_outputs, false) \
    KEY("source", read_source, false) \
    KEY("baseline", read_baseline, false) \
    KEY("shares", read_shares, false) \
    KEY("flags", read_flags, false) \
    KEY("anomaly", read_anomaly, false) \
    KEY("scores", read_scores, false) \
    KEY("labels", read_labels, false) \
    KEY("received", read_received, false) \
    KEY("sent", read_sent, false)

#define INDEX(name, read, required)    KEY_##read,
#define ROW(name, read, required)      {name, sizeof(name) - 1, read},
#define REQUIRED(name, read, required) | (uint32_t)(required) << KEY_##read
enum { KEYS(INDEX) N_KEYS };
static const struct {
    const char *name;
    size_t n;
    bool (*read)(struct decoding *);
} keys[] = {KEYS(ROW)};
static const uint32_t required_keys = 0 KEYS(REQUIRED);
#undef INDEX
#undef ROW
#undef REQUIRED

/* Passes over a key if it is what comes next; inlined, its name is compared as a number or two. */
static inline bool take_key(struct wire_reader *reader, const char *name, size_t n) {
    if (reader->left <= n || (unsigned char)*reader->at != (0xa0 | n) || memcmp(reader->at + 1, name, n) != 0)
        return false;
    wire_reader_pass(reader, 1 + n);
    return true;
}

/* The keys that come in the table's order, of *left, any of which may be absent. Another one ends it. */
static bool read_keys_in_order(struct decoding *d, uint32_t *left) {
#define READ(name, read, required) \
    if (*left > 0 && take_key(&d->reader, name, sizeof(name) - 1)) { \
        if (!read(d)) \
            return false; \
        d->keys |= 1U << KEY_##read; \
        --*left; \
    }
    KEYS(READ)
#undef READ
    return true;
}

/* Names are short: a call costs more than their bytes. */
static bool is_key(struct wire_text name, unsigned key) {
    size_t i = 0;
    if (name.n != keys[key].n)
        return false;
    while (i < name.n && name.at[i] == keys[key].name[i])
        i++;
    return i == name.n;
}

static unsigned find_key(struct wire_text name, unsigned from) {
    for (unsigned i = 0; i < N_KEYS; i++) {
        unsigned key = from + i < N_KEYS ? from + i : from + i - N_KEYS;
        if (is_key(name, key))
            return key;
    }
    return N_KEYS;
}

static bool read_keys(struct decoding *d) {
    uint32_t n;
    unsigned next = 0;
    struct wire_text name;
    if (!read_count(d, WIRE_MAP, &n) || !read_keys_in_order(d, &n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!read_text(d, &name))
            return false;
        unsigned key = find_key(name, next);
        if (key < N_KEYS) {
            next = key + 1;
            d->keys |= 1U << key;
        }
        if (key < N_KEYS ? !keys[key].read(d) : !wire_read_skip(&d->reader))
            return false;
    }
    return true;
}

/* Whether the arrays agree; values that were not sent are all missing. */
static bool fill_in(struct decoding *d) {
    const struct wire_forecast *forecast = d->forecast;
    struct wire_arrays *arrays = d->arrays;
    if (forecast->horizon > 0 && arrays->n_columns != forecast->n_targets)
        return false;
    if (arrays->has_times && arrays->n_times != forecast->horizon)
        return false;
    for (int b = 0; b < 2 * forecast->n_intervals; b++)
        if (arrays->n_bounds[b][0] != forecast->horizon ||
            (forecast->horizon > 0 && arrays->n_bounds[b][1] != forecast->n_targets))
            return false;
    if (arrays->has_values)
        return arrays->n_values == forecast->n_targets;
    if (!arena_take(d->arena, (size_t)forecast->n_targets, sizeof(double), &arrays->values))
        return false;
    for (int i = 0; i < forecast->n_targets; i++)
        ((double *)array_at(d, arrays->values))[i] = NAN;
    return true;
}

/* The forecast's arrays, where they are now. */
static void point(const struct decoding *d) {
    struct wire_forecast *forecast = d->forecast;
    const struct wire_arrays *arrays = d->arrays;
    struct wire_output *outputs = array_at(d, arrays->outputs);
    struct wire_interval *intervals = array_at(d, arrays->intervals);
    forecast->times = arrays->has_times ? array_at(d, arrays->times) : NULL;
    forecast->targets = array_at(d, arrays->targets);
    forecast->values = array_at(d, arrays->values);
    forecast->mean = array_at(d, arrays->mean);
    forecast->scores = array_at(d, arrays->scores);
    forecast->shares = array_at(d, arrays->shares);
    for (int i = 0; i < forecast->n_outputs; i++)
        outputs[i].at = array_at(d, arrays->output[i]);
    forecast->outputs = outputs;
    for (int l = 0; l < forecast->n_intervals; l++) {
        intervals[l].lower = array_at(d, arrays->bounds[2 * l]);
        intervals[l].upper = array_at(d, arrays->bounds[2 * l + 1]);
    }
    forecast->intervals = intervals;
}

/* Reads one map, which must have the keys `required`. Returns its bytes, or 0. */
static size_t decode(const void *data, size_t n, struct wire_arena *arena, struct wire_forecast *forecast,
                     uint32_t required) {
    struct decoding d = {.arena = arena, .arrays = &arena->arrays, .forecast = forecast};
    wire_reader_init(&d.reader, data, n < UINT32_MAX ? n : UINT32_MAX);
    size_t size = d.reader.left;
    if (!read_keys(&d) || (d.keys & required) != required || !fill_in(&d))
        return 0;
    point(&d);
    arena->renamed = (d.keys & (1U << KEY_read_model | 1U << KEY_read_targets)) != 0;
    return size - d.reader.left;
}

size_t wire_forecast_decode(const void *data, size_t n, struct wire_arena *arena,
                            struct wire_forecast *ret_forecast) {
    struct wire_forecast forecast = {.anomaly = NAN};
    arena->used = 0;
    arena->arrays = (struct wire_arrays){0};
    size_t used = decode(data, n, arena, &forecast, required_keys);
    if (used > 0)
        *ret_forecast = forecast;
    return used;
}

size_t wire_forecast_decode_next(const void *data, size_t n, struct wire_arena *arena,
                                 struct wire_forecast *forecast) {
    forecast->n_outputs = 0;
    forecast->has_labels = false;
    forecast->labels = (struct wire_labels){0};
    return decode(data, n, arena, forecast, 0);
}
