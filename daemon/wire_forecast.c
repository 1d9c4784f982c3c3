/*
 * Forecasts to MessagePack: the daemon's hottest writing. Keys are literals with their heads, numbers go
 * straight into the buffer, and the buffer's size is checked once, against the bound.
 */
#include "daemon/wire_pack.h"

#include <float.h>
#include <math.h>

#define NAME_OF(constant, name) name,
static const char *const flag_names[] = {WIRE_FLAGS(NAME_OF)};

/* The keys, in the order in which they are written. */
enum {
    KEY_STREAM,
    KEY_MODEL,
    KEY_VERSION,
    KEY_EPOCH,
    KEY_GENERATION,
    KEY_POSITION,
    KEY_STEP,
    KEY_PRIMED,
    KEY_T,
    KEY_TIMES,
    KEY_TARGETS,
    KEY_VALUES,
    KEY_MEAN,
    KEY_INTERVALS,
    KEY_OUTPUTS,
    KEY_STATE,
    KEY_SOURCE,
    KEY_BASELINE,
    KEY_SHARES,
    KEY_FLAGS,
    KEY_ANOMALY,
    KEY_SCORES,
    KEY_LABELS,
    KEY_RECEIVED,
    KEY_SENT,
    N_KEYS,
};

enum {
    FIXED_BOUND = 512, /* head, keys, single numbers, source, baseline and labels: 460 at most */
    FLAGS_BOUND = 16 * WIRE_N_FLAGS,
    FLOAT_BOUND = 5,
    N_MEANS = 6,
    N_RECENT = 2 + N_MEANS + 3, /* elements of a score: h, n, the means, coverage, width, all */
};

_Static_assert(WIRE_N_FLAGS < 16, "the head of the flags' array is one byte");

static size_t output_bound(const struct wire_output *output) {
    size_t rows = output->steps > 0 ? (size_t)output->steps : 1;
    return PACK_MAX + rows * (PACK_MAX + FLOAT_BOUND * (size_t)output->width);
}

static size_t state_bound(const struct wire_state *state) {
    size_t pieces = (size_t)state->pieces;
    return 2 * PACK_MAX + state->layer.n + pieces * (PACK_MAX + FLOAT_BOUND * (size_t)state->n);
}

static size_t score_bound(int n_levels) {
    size_t means = N_MEANS * FLOAT_BOUND + 2 * (PACK_MAX + FLOAT_BOUND * (size_t)n_levels);
    return 4 * PACK_MAX + 2 * means;
}

size_t wire_forecast_bound(const struct wire_forecast *forecast) {
    size_t horizon = (size_t)forecast->horizon, n_targets = (size_t)forecast->n_targets;
    size_t bound = FIXED_BOUND + FLAGS_BOUND + forecast->stream.n + forecast->model.n;
    bound += PACK_MAX * (2 * horizon + 2 * n_targets + horizon * n_targets);
    bound += (size_t)forecast->n_scores * score_bound(forecast->n_intervals);
    bound += (size_t)forecast->n_intervals * PACK_MAX * (4 + 2 * (horizon + horizon * n_targets));
    for (int i = 0; i < forecast->n_shares; i++)
        bound += PACK_MAX + FLOAT_BOUND + forecast->shares[i].expert.n;
    for (size_t i = 0; i < n_targets; i++)
        bound += forecast->targets[i].n;
    for (int i = 0; i < forecast->n_outputs; i++)
        bound += output_bound(&forecast->outputs[i]);
    for (int i = 0; i < forecast->n_states; i++)
        bound += state_bound(&forecast->states[i]);
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

/* Whether a key is among those that are written. */
#define HAS(key) ((keys >> (key)) & 1U)

static char *pack_identity(char *p, const struct wire_forecast *forecast, uint32_t keys) {
    p = pack_text(PACK_LITERAL(p, "stream"), forecast->stream);
    if (HAS(KEY_MODEL))
        p = pack_text(PACK_LITERAL(p, "model"), forecast->model);
    if (HAS(KEY_VERSION))
        p = pack_uint(PACK_LITERAL(p, "version"), forecast->version);
    if (HAS(KEY_EPOCH))
        p = pack_uint(PACK_LITERAL(p, "epoch"), forecast->epoch);
    if (HAS(KEY_GENERATION))
        p = pack_uint(PACK_LITERAL(p, "generation"), forecast->generation);
    p = pack_array(PACK_LITERAL(p, "position"), 2);
    p = pack_uint(p, forecast->source_id);
    p = pack_uint(p, forecast->number);
    if (HAS(KEY_STEP))
        p = pack_uint(PACK_LITERAL(p, "step"), forecast->step);
    if (HAS(KEY_PRIMED))
        p = pack_uint(PACK_LITERAL(p, "primed"), forecast->primed);
    return HAS(KEY_T) ? pack_int(PACK_LITERAL(p, "t"), forecast->t) : p;
}

static char *pack_times(char *p, const struct wire_forecast *forecast) {
    p = PACK_LITERAL(p, "times");
    p = forecast->times ? pack_array(p, (size_t)forecast->horizon) : pack_nil(p);
    for (int h = 0; forecast->times && h < forecast->horizon; h++)
        p = pack_int(p, forecast->times[h]);
    return p;
}

static char *pack_targets(char *p, const struct wire_forecast *forecast) {
    p = pack_array(PACK_LITERAL(p, "targets"), (size_t)forecast->n_targets);
    for (int i = 0; i < forecast->n_targets; i++)
        p = pack_text(p, forecast->targets[i]);
    return p;
}

static char *pack_series(char *p, const struct wire_forecast *forecast, uint32_t keys) {
    if (HAS(KEY_TIMES))
        p = pack_times(p, forecast);
    if (HAS(KEY_TARGETS))
        p = pack_targets(p, forecast);
    p = pack_row(PACK_LITERAL(p, "values"), forecast->values, forecast->n_targets);
    p = pack_array(PACK_LITERAL(p, "mean"), (size_t)forecast->horizon);
    for (int h = 0; h < forecast->horizon; h++)
        p = pack_row(p, forecast->mean + (size_t)h * (size_t)forecast->n_targets, forecast->n_targets);
    return p;
}

/* The next float32 upward, or downward; of a finite one. */
static float next_float(float x, bool upward) {
    int32_t bits;
    if (x == 0)
        return upward ? FLT_TRUE_MIN : -FLT_TRUE_MIN;
    memcpy(&bits, &x, sizeof bits);
    bits += (x > 0) == upward ? 1 : -1;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

/* A bound as a float32, moved outward, where that moves it by no more than `most`. */
static char *pack_bound(char *p, double bound, double most, bool upper) {
    if (!(bound >= -(double)FLT_MAX && bound <= (double)FLT_MAX))
        return pack_known(p, bound);
    float near = (float)bound;
    if (upper ? (double)near < bound : (double)near > bound)
        near = next_float(near, upper);
    double moved = upper ? (double)near - bound : bound - (double)near;
    return moved <= most ? pack_float(p, near) : pack_double(p, bound);
}

static char *pack_intervals(char *p, const struct wire_forecast *forecast) {
    int n_targets = forecast->n_targets;
    p = pack_array(PACK_LITERAL(p, "intervals"), (size_t)forecast->n_intervals);
    for (int l = 0; l < forecast->n_intervals; l++) {
        const struct wire_interval *interval = &forecast->intervals[l];
        p = pack_double(pack_array(p, 3), interval->level);
        for (int side = 0; side < 2; side++) {
            const double *bounds = side == 0 ? interval->lower : interval->upper;
            p = pack_array(p, (size_t)forecast->horizon);
            for (int h = 0; h < forecast->horizon; h++) {
                p = pack_array(p, (size_t)n_targets);
                for (int i = h * n_targets; i < (h + 1) * n_targets; i++)
                    p = pack_bound(p, bounds[i], (interval->upper[i] - interval->lower[i]) / 2000, side == 1);
            }
        }
    }
    return p;
}

static char *pack_shares(char *p, const struct wire_forecast *forecast) {
    p = pack_map(PACK_LITERAL(p, "shares"), (size_t)forecast->n_shares);
    for (int i = 0; i < forecast->n_shares; i++)
        p = pack_float(pack_text(p, forecast->shares[i].expert), forecast->shares[i].share);
    return p;
}

static char *pack_floats(char *p, const float *values, int n) {
    p = pack_array(p, (size_t)n);
    for (int i = 0; i < n; i++)
        p = isfinite(values[i]) ? pack_float(p, values[i]) : pack_nil(p);
    return p;
}

static char *pack_outputs(char *p, const struct wire_forecast *forecast) {
    p = pack_array(PACK_LITERAL(p, "outputs"), (size_t)forecast->n_outputs);
    for (int i = 0; i < forecast->n_outputs; i++) {
        const struct wire_output *output = &forecast->outputs[i];
        if (output->steps == 0)
            p = pack_floats(p, output->at, output->width);
        else
            p = pack_array(p, (size_t)output->steps);
        for (int t = 0; t < output->steps; t++)
            p = pack_floats(p, output->at + (size_t)t * (size_t)output->width, output->width);
    }
    return p;
}

static char *pack_states(char *p, const struct wire_forecast *forecast) {
    p = pack_map(PACK_LITERAL(p, "state"), (size_t)forecast->n_states);
    for (int i = 0; i < forecast->n_states; i++) {
        const struct wire_state *state = &forecast->states[i];
        p = pack_array(pack_text(p, state->layer), (size_t)state->pieces);
        for (int piece = 0; piece < state->pieces; piece++)
            p = pack_floats(p, state->at + (size_t)piece * (size_t)state->n, state->n);
    }
    return p;
}

static char *pack_source(char *p, enum wire_source source) {
    p = PACK_LITERAL(p, "source");
    return source == WIRE_SOURCE_NETWORK ? PACK_LITERAL(p, "network") : PACK_LITERAL(p, "baseline");
}

static char *pack_baseline(char *p, enum wire_baseline baseline) {
    p = PACK_LITERAL(p, "baseline");
    switch (baseline) {
    case WIRE_BASELINE_SEASONAL: return PACK_LITERAL(p, "seasonal");
    case WIRE_BASELINE_LABELS: return PACK_LITERAL(p, "labels");
    default: return PACK_LITERAL(p, "last_value");
    }
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

static char *pack_known_float(char *p, float value) {
    return isfinite(value) ? pack_float(p, value) : pack_nil(p);
}

static char *pack_means(char *p, const struct wire_means *means, int n_levels) {
    p = pack_known_float(p, means->mae);
    p = pack_known_float(p, means->mae_last_value);
    p = pack_known_float(p, means->mae_seasonal);
    p = pack_known_float(p, means->rmse);
    p = pack_known_float(p, means->mase);
    p = pack_known_float(p, means->pinball);
    return pack_floats(pack_floats(p, means->coverage, n_levels), means->width, n_levels);
}

static char *pack_scores(char *p, const struct wire_forecast *forecast) {
    p = pack_array(PACK_LITERAL(p, "scores"), (size_t)forecast->n_scores);
    for (int i = 0; i < forecast->n_scores; i++) {
        const struct wire_score *score = &forecast->scores[i];
        p = pack_int(pack_array(p, N_RECENT), score->h);
        p = pack_uint(p, score->n);
        p = pack_means(p, &score->recent, forecast->n_intervals);
        p = pack_means(pack_array(p, N_MEANS + 2), &score->all, forecast->n_intervals);
    }
    return p;
}

static char *pack_labels(char *p, const struct wire_labels *labels) {
    p = pack_uint(pack_array(PACK_LITERAL(p, "labels"), 5), labels->n);
    p = pack_known(pack_known(p, labels->accuracy), labels->brier);
    return pack_known(pack_known(p, labels->accuracy_all), labels->brier_all);
}

/* ---- which keys --------------------------------------------------------------------------- */

#define BIT(key, condition) ((uint32_t)(condition) << (key))

/* Those that a forecast has by itself. */
static uint32_t own_keys(const struct wire_forecast *forecast) {
    static const uint32_t all = (1U << N_KEYS) - 1, beside = 1U << KEY_OUTPUTS | 1U << KEY_STATE | 1U << KEY_LABELS;
    return (all & ~beside) | BIT(KEY_OUTPUTS, forecast->n_outputs > 0) | BIT(KEY_STATE, forecast->n_states > 0) |
           BIT(KEY_LABELS, forecast->has_labels);
}

static bool texts_differ(struct wire_text a, struct wire_text b) {
    return a.n != b.n || (a.at != b.at && memcmp(a.at, b.at, a.n) != 0);
}

static bool times_differ(const struct wire_forecast *a, const struct wire_forecast *b) {
    if (a->times == NULL || b->times == NULL)
        return a->times != b->times;
    return a->horizon != b->horizon || memcmp(a->times, b->times, (size_t)a->horizon * sizeof *a->times) != 0;
}

static bool targets_differ(const struct wire_forecast *a, const struct wire_forecast *b) {
    bool differ = a->n_targets != b->n_targets;
    for (int i = 0; !differ && a->targets != b->targets && i < a->n_targets; i++)
        differ = texts_differ(a->targets[i], b->targets[i]);
    return differ;
}

static bool shares_differ(const struct wire_forecast *a, const struct wire_forecast *b) {
    bool differ = a->n_shares != b->n_shares;
    for (int i = 0; !differ && i < a->n_shares; i++)
        differ = texts_differ(a->shares[i].expert, b->shares[i].expert) ||
                 memcmp(&a->shares[i].share, &b->shares[i].share, sizeof a->shares[i].share) != 0;
    return differ;
}

/* As they are written: nothing that is not finite is known. */
static bool numbers_differ(double a, double b) {
    return memcmp(&a, &b, sizeof a) != 0 && (isfinite(a) || isfinite(b));
}

/* Those that a forecast needs behind another one. What differs nearly always is not compared. */
static uint32_t next_keys(const struct wire_forecast *a, const struct wire_forecast *b) {
    uint32_t keys = own_keys(a) & (1U << KEY_STREAM | 1U << KEY_POSITION | 1U << KEY_VALUES | 1U << KEY_MEAN |
                                   1U << KEY_OUTPUTS | 1U << KEY_STATE | 1U << KEY_LABELS);
    keys |= BIT(KEY_MODEL, texts_differ(a->model, b->model)) | BIT(KEY_VERSION, a->version != b->version) |
            BIT(KEY_EPOCH, a->epoch != b->epoch) | BIT(KEY_GENERATION, a->generation != b->generation) |
            BIT(KEY_STEP, a->step != b->step) | BIT(KEY_PRIMED, a->primed != b->primed) | BIT(KEY_T, a->t != b->t);
    keys |= BIT(KEY_TIMES, times_differ(a, b)) | BIT(KEY_TARGETS, targets_differ(a, b)) |
            BIT(KEY_INTERVALS, a->n_intervals > 0 || b->n_intervals > 0) |
            BIT(KEY_SCORES, a->n_scores > 0 || b->n_scores > 0) | BIT(KEY_SHARES, shares_differ(a, b));
    return keys | BIT(KEY_SOURCE, a->source != b->source) | BIT(KEY_BASELINE, a->baseline != b->baseline) |
           BIT(KEY_FLAGS, a->flags != b->flags) | BIT(KEY_ANOMALY, numbers_differ(a->anomaly, b->anomaly)) |
           BIT(KEY_RECEIVED, a->received != b->received) | BIT(KEY_SENT, a->sent != b->sent);
}

/* ---- the map ------------------------------------------------------------------------------ */

static char *pack_forecast(char *p, const struct wire_forecast *forecast, uint32_t keys) {
    p = pack_map(p, (size_t)__builtin_popcount(keys));
    p = pack_identity(p, forecast, keys);
    p = pack_series(p, forecast, keys);
    if (HAS(KEY_INTERVALS))
        p = pack_intervals(p, forecast);
    if (HAS(KEY_OUTPUTS))
        p = pack_outputs(p, forecast);
    if (HAS(KEY_STATE))
        p = pack_states(p, forecast);
    if (HAS(KEY_SOURCE))
        p = pack_source(p, forecast->source);
    if (HAS(KEY_BASELINE))
        p = pack_baseline(p, forecast->baseline);
    if (HAS(KEY_SHARES))
        p = pack_shares(p, forecast);
    if (HAS(KEY_FLAGS))
        p = pack_flags(p, forecast->flags);
    if (HAS(KEY_ANOMALY))
        p = pack_known(PACK_LITERAL(p, "anomaly"), forecast->anomaly);
    if (HAS(KEY_SCORES))
        p = pack_scores(p, forecast);
    if (HAS(KEY_LABELS))
        p = pack_labels(p, &forecast->labels);
    if (HAS(KEY_RECEIVED))
        p = pack_int(PACK_LITERAL(p, "received"), forecast->received);
    return HAS(KEY_SENT) ? pack_int(PACK_LITERAL(p, "sent"), forecast->sent) : p;
}

size_t wire_forecast_encode(const struct wire_forecast *forecast, char *buffer, size_t size) {
    if (size < wire_forecast_bound(forecast))
        return 0;
    return (size_t)(pack_forecast(buffer, forecast, own_keys(forecast)) - buffer);
}

size_t wire_forecast_encode_next(const struct wire_forecast *forecast, const struct wire_forecast *before,
                                 char *buffer, size_t size) {
    if (size < wire_forecast_bound(forecast))
        return 0;
    return (size_t)(pack_forecast(buffer, forecast, next_keys(forecast, before)) - buffer);
}
