/*
 * Forecasts to MessagePack: the daemon's hottest writing. Keys are literals with their heads, numbers go
 * straight into the buffer, and the buffer's size is checked once, against the bound.
 */
#include "daemon/wire_pack.h"

#include <math.h>

#define NAME_OF(constant, name) name,
static const char *const flag_names[] = {WIRE_FLAGS(NAME_OF)};

enum {
    N_KEYS = 19,
    FIXED_BOUND = 512, /* head, keys, single numbers, source and baseline: 345 at most */
    SCORE_BOUND = 6 * PACK_MAX,
    FLAGS_BOUND = 16 * WIRE_N_FLAGS,
};

_Static_assert(WIRE_N_FLAGS < 16, "the head of the flags' array is one byte");

size_t wire_forecast_bound(const struct wire_forecast *forecast) {
    size_t horizon = (size_t)forecast->horizon, n_targets = (size_t)forecast->n_targets;
    size_t bound = FIXED_BOUND + FLAGS_BOUND + forecast->stream.n + forecast->model.n;
    bound += PACK_MAX * (2 * horizon + 2 * n_targets + horizon * n_targets);
    bound += SCORE_BOUND * (size_t)forecast->n_scores;
    for (size_t i = 0; i < n_targets; i++)
        bound += forecast->targets[i].n;
    return bound;
}

static char *pack_known(char *p, double value) {
    return isfinite(value) ? pack_double(p, value) : pack_nil(p);
}

static char *pack_row(char *p, const double *values, int n) {
    p = pack_array(p, (size_t)n);
    for (int i = 0; i < n; i++)
        p = pack_known(p, values[i]);
    return p;
}

static char *pack_identity(char *p, const struct wire_forecast *forecast) {
    p = pack_text(PACK_LITERAL(p, "stream"), forecast->stream);
    p = pack_text(PACK_LITERAL(p, "model"), forecast->model);
    p = pack_uint(PACK_LITERAL(p, "version"), forecast->version);
    p = pack_uint(PACK_LITERAL(p, "epoch"), forecast->epoch);
    p = pack_uint(PACK_LITERAL(p, "generation"), forecast->generation);
    p = pack_array(PACK_LITERAL(p, "position"), 2);
    p = pack_uint(p, forecast->source_id);
    p = pack_uint(p, forecast->number);
    p = pack_uint(PACK_LITERAL(p, "step"), forecast->step);
    p = pack_uint(PACK_LITERAL(p, "primed"), forecast->primed);
    return pack_int(PACK_LITERAL(p, "t"), forecast->t);
}

static char *pack_series(char *p, const struct wire_forecast *forecast) {
    size_t n_targets = (size_t)forecast->n_targets;
    p = PACK_LITERAL(p, "times");
    p = forecast->times ? pack_array(p, (size_t)forecast->horizon) : pack_nil(p);
    for (int h = 0; forecast->times && h < forecast->horizon; h++)
        p = pack_int(p, forecast->times[h]);
    p = pack_array(PACK_LITERAL(p, "targets"), n_targets);
    for (size_t i = 0; i < n_targets; i++)
        p = pack_text(p, forecast->targets[i]);
    p = pack_row(PACK_LITERAL(p, "values"), forecast->values, forecast->n_targets);
    p = pack_array(PACK_LITERAL(p, "mean"), (size_t)forecast->horizon);
    for (int h = 0; h < forecast->horizon; h++)
        p = pack_row(p, forecast->mean + (size_t)h * n_targets, forecast->n_targets);
    return p;
}

static char *pack_origin(char *p, const struct wire_forecast *forecast) {
    p = PACK_LITERAL(p, "source");
    p = forecast->source == WIRE_SOURCE_NETWORK ? PACK_LITERAL(p, "network") : PACK_LITERAL(p, "baseline");
    p = PACK_LITERAL(p, "baseline");
    return forecast->baseline == WIRE_BASELINE_SEASONAL ? PACK_LITERAL(p, "seasonal") : PACK_LITERAL(p, "last_value");
}

static char *pack_flags(char *p, uint32_t flags) {
    char *head = PACK_LITERAL(p, "flags");
    size_t n = 0;
    p = head + 1;
    for (unsigned bit = 0; flags && bit < WIRE_N_FLAGS; bit++) {
        if (flags & 1U << bit) {
            p = pack_short(p, flag_names[bit], strlen(flag_names[bit]));
            n++;
        }
    }
    pack_array(head, n);
    return p;
}

static char *pack_scores(char *p, const struct wire_forecast *forecast) {
    p = pack_array(PACK_LITERAL(p, "scores"), (size_t)forecast->n_scores);
    for (int i = 0; i < forecast->n_scores; i++) {
        const struct wire_score *score = &forecast->scores[i];
        p = pack_int(pack_array(p, 5), score->h);
        p = pack_uint(p, score->n);
        p = pack_known(p, score->mae);
        p = pack_known(p, score->mae_last_value);
        p = pack_known(p, score->mae_seasonal);
    }
    return p;
}

size_t wire_forecast_encode(const struct wire_forecast *forecast, char *buffer, size_t size) {
    if (size < wire_forecast_bound(forecast))
        return 0;
    char *p = pack_map(buffer, N_KEYS);
    p = pack_identity(p, forecast);
    p = pack_series(p, forecast);
    p = pack_origin(p, forecast);
    p = pack_flags(p, forecast->flags);
    p = pack_scores(p, forecast);
    p = pack_int(PACK_LITERAL(p, "received"), forecast->received);
    p = pack_int(PACK_LITERAL(p, "sent"), forecast->sent);
    return (size_t)(p - buffer);
}
