/* Forecasts in MessagePack: written, read back, bounded, refused, mutated. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/wire.h"
#include "tests/support/wire_cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t times[] = {1700000001000000000, 1700000002000000000};
static const struct wire_text targets[] = {{"temperature", 11}, {"flow", 4}};
static const double values[] = {20.5, NAN};
static const double mean[] = {20.75, 3, 21, INFINITY};
static const struct wire_score scores[] = {
    {.h = 1,
     .n = 812,
     .recent = {0.25F, 0.5F, NAN, 0.375F, 0.5F, 0.125F, {0.8125F, 0.96875F}, {1, 1.75F}},
     .all = {0.5F, 0.75F, NAN, 0.625F, 0.625F, 0.25F, {0.796875F, 0.953125F}, {1.25F, 2}}},
    {.h = 2,
     .n = 811,
     .recent = {NAN, 0.75F, 0.625F, 1e-30F, 3e38F, NAN, {NAN, 1}, {0, INFINITY}},
     .all = {1, 2, 3, 4, 5, 6, {0.1F, 0.2F}, {0.3F, 0.4F}}},
};
static const struct wire_interval example_intervals[] = {
    {.level = 80, .lower = (const double[]){20, 19.5}, .upper = (const double[]){21.5, 22.5}}};
static const struct wire_share example_shares[] = {{{"ridge", 5}, 0.25F}, {{"network", 7}, 0.75F}};
/* Numbers that a float32 holds, one with a large level whose width it does not, and what is not known. */
static const double lower[] = {20.5, 1000000000.25, -1e300, NAN}, upper[] = {21, 1000000000.75, 1e300, NAN};
static const struct wire_interval intervals[] = {{80, lower, upper}, {99.9, lower, upper}};

/* The example of PROTOCOL.md. */
static const struct wire_forecast example = {
    .stream = {"boiler-7", 8},
    .model = {"heat", 4},
    .version = 3,
    .epoch = 12,
    .generation = 1,
    .source_id = 0,
    .number = 90210,
    .step = 4711,
    .primed = 1024,
    .t = 1700000000000000000,
    .horizon = 2,
    .n_targets = 1,
    .n_scores = 1,
    .times = times,
    .targets = targets,
    .values = values,
    .mean = (const double[]){20.75, 21},
    .n_intervals = 1,
    .intervals = example_intervals,
    .n_shares = 2,
    .shares = example_shares,
    .anomaly = 0.5,
    .scores = scores,
    .flags = WIRE_FLAG(GAP) | WIRE_FLAG(REPEAT),
    .source = WIRE_SOURCE_NETWORK,
    .baseline = WIRE_BASELINE_LAST_VALUE,
    .received = 1700000000050000000,
    .sent = 1700000000050120000,
};

/* What stands behind it in the example of a bundle: its stream has no score yet. */
static const struct wire_interval behind_intervals[] = {
    {.level = 80, .lower = (const double[]){20.5, 20}, .upper = (const double[]){22, 23}}};
static const double behind_values[] = {21}, behind_mean[] = {21.25, 21.5};
static struct wire_forecast behind_example(void) {
    struct wire_forecast forecast = example;
    forecast.stream = (struct wire_text){"boiler-8", 8};
    forecast.number = 90211;
    forecast.values = behind_values;
    forecast.mean = behind_mean;
    forecast.intervals = behind_intervals;
    forecast.flags = WIRE_FLAG(REPEAT);
    forecast.n_scores = 0;
    return forecast;
}

static const struct wire_forecast full = {
    .stream = {"plant/boiler-7", 14},
    .model = {"boilers", 7},
    .version = UINT64_MAX,
    .epoch = 70000,
    .generation = UINT32_MAX,
    .source_id = UINT32_MAX,
    .number = UINT64_MAX,
    .step = UINT64_MAX,
    .primed = 200,
    .t = -6442450944,
    .horizon = 2,
    .n_targets = 2,
    .n_scores = 2,
    .times = times,
    .targets = targets,
    .values = values,
    .mean = mean,
    .n_intervals = 2,
    .intervals = intervals,
    .n_shares = 1,
    .shares = example_shares,
    .anomaly = NAN,
    .scores = scores,
    .flags = (1U << WIRE_N_FLAGS) - 1,
    .source = WIRE_SOURCE_BASELINE,
    .baseline = WIRE_BASELINE_SEASONAL,
    .received = INT64_MIN,
    .sent = INT64_MAX,
};

static size_t encode(const struct wire_forecast *forecast, char **ret_buffer) {
    size_t bound = wire_forecast_bound(forecast);
    *ret_buffer = malloc(bound);
    assert_non_null(*ret_buffer);
    size_t n = wire_forecast_encode(forecast, *ret_buffer, bound);
    assert_true(n > 0 && n <= bound);
    return n;
}

static void assert_text(struct wire_text text, struct wire_text expected) {
    assert_int_equal(text.n, expected.n);
    assert_memory_equal(text.at, expected.at, expected.n);
}

/* nil stands for all that is not finite. */
static void assert_doubles(const double *read, const double *expected, int n) {
    for (int i = 0; i < n; i++) {
        if (isfinite(expected[i]))
            assert_memory_equal(&read[i], &expected[i], sizeof(double));
        else
            assert_true(isnan(read[i]));
    }
}

static void assert_floats(const float *read, const float *expected, int n) {
    for (int i = 0; i < n; i++)
        assert_true(isfinite(expected[i]) ? read[i] == expected[i] : isnan(read[i]));
}

static void assert_means(const struct wire_means *read, const struct wire_means *expected, int n_levels) {
    assert_floats(&read->mae, &expected->mae, 1);
    assert_floats(&read->mae_last_value, &expected->mae_last_value, 1);
    assert_floats(&read->mae_seasonal, &expected->mae_seasonal, 1);
    assert_floats(&read->rmse, &expected->rmse, 1);
    assert_floats(&read->mase, &expected->mase, 1);
    assert_floats(&read->pinball, &expected->pinball, 1);
    assert_floats(read->coverage, expected->coverage, n_levels);
    assert_floats(read->width, expected->width, n_levels);
}

/* Bounds move outward, by no more than a thousandth of the half-width. */
static void assert_interval(const struct wire_interval *read, const struct wire_interval *expected, int n) {
    assert_true(read->level == expected->level);
    for (int i = 0; i < n; i++) {
        double most = (expected->upper[i] - expected->lower[i]) / 2000;
        assert_int_equal(isnan(read->lower[i]), isnan(expected->lower[i]));
        assert_int_equal(isnan(read->upper[i]), isnan(expected->upper[i]));
        if (isnan(read->lower[i]))
            continue;
        assert_true(read->lower[i] <= expected->lower[i] && read->lower[i] >= expected->lower[i] - most);
        assert_true(read->upper[i] >= expected->upper[i] && read->upper[i] <= expected->upper[i] + most);
    }
}

static void assert_same(const struct wire_forecast *read, const struct wire_forecast *expected) {
    assert_text(read->stream, expected->stream);
    assert_text(read->model, expected->model);
    assert_true(read->version == expected->version && read->epoch == expected->epoch);
    assert_true(read->generation == expected->generation && read->source_id == expected->source_id);
    assert_true(read->number == expected->number && read->step == expected->step && read->primed == expected->primed);
    assert_true(read->t == expected->t && read->received == expected->received && read->sent == expected->sent);
    assert_true(read->flags == expected->flags && read->source == expected->source &&
                read->baseline == expected->baseline);
    assert_true(read->horizon == expected->horizon && read->n_targets == expected->n_targets);
    assert_int_equal(read->n_scores, expected->n_scores);
    assert_int_equal(read->times == NULL, expected->times == NULL);
    for (int i = 0; read->times && i < read->horizon; i++)
        assert_true(read->times[i] == expected->times[i]);
    for (int i = 0; i < read->n_targets; i++)
        assert_text(read->targets[i], expected->targets[i]);
    assert_doubles(read->values, expected->values, read->n_targets);
    assert_doubles(read->mean, expected->mean, read->horizon * read->n_targets);
    for (int i = 0; i < read->n_scores; i++) {
        assert_true(read->scores[i].h == expected->scores[i].h && read->scores[i].n == expected->scores[i].n);
        assert_means(&read->scores[i].recent, &expected->scores[i].recent, read->n_intervals);
        assert_means(&read->scores[i].all, &expected->scores[i].all, read->n_intervals);
    }
    assert_int_equal(read->n_intervals, expected->n_intervals);
    for (int l = 0; l < read->n_intervals; l++)
        assert_interval(&read->intervals[l], &expected->intervals[l], read->horizon * read->n_targets);
    assert_int_equal(read->n_shares, expected->n_shares);
    for (int i = 0; i < read->n_shares; i++) {
        assert_text(read->shares[i].expert, expected->shares[i].expert);
        assert_true(read->shares[i].share == expected->shares[i].share);
    }
    assert_doubles(&read->anomaly, &expected->anomaly, 1);
    assert_int_equal(read->n_outputs, expected->n_outputs);
    for (int i = 0; i < read->n_outputs; i++) {
        const struct wire_output *output = &read->outputs[i], *other = &expected->outputs[i];
        assert_true(output->steps == other->steps && output->width == other->width);
        assert_floats(output->at, other->at, (other->steps > 0 ? other->steps : 1) * other->width);
    }
    assert_int_equal(read->has_labels, expected->has_labels);
    assert_int_equal(read->labels.n, expected->labels.n);
    assert_doubles(&read->labels.accuracy, &expected->labels.accuracy, 4);
}

static void what_was_written_is_read_back(void **state) {
    struct wire_forecast cases[4] = {example, full, full, full};
    struct wire_arena arena = {0};
    (void)state;
    cases[1].has_labels = true;
    cases[1].labels = (struct wire_labels){UINT64_MAX, 0.1, 0.2, 0.3, NAN};
    cases[2].times = NULL;
    cases[2].n_scores = 0;
    cases[2].flags = 0;
    cases[3].horizon = cases[3].n_targets = 0;
    cases[2].n_intervals = cases[2].n_shares = 0;
    for (int i = 0; i < 4; i++) {
        struct wire_forecast read;
        char *buffer;
        size_t n = encode(&cases[i], &buffer);
        assert_int_equal(wire_forecast_decode(buffer, n, &arena, &read), n);
        assert_same(&read, &cases[i]);
        free(buffer);
    }
    wire_arena_fini(&arena);
    assert_null(arena.buffer);
}

/* The bound holds where every number takes its longest form, and for arrays and names of any length. */
static void the_bound_holds(void **state) {
    enum { HORIZON = 300, TARGETS = 70, SCORES = 70000 };
    static int64_t late[HORIZON];
    static struct wire_text names[TARGETS];
    static double now[TARGETS], ahead[HORIZON * TARGETS], below[HORIZON * TARGETS], above[HORIZON * TARGETS];
    static const struct wire_share share = {{"network", 7}, 0.1F};
    struct wire_interval eight[WIRE_MAX_LEVELS];
    static struct wire_score many[SCORES];
    static char name[WIRE_MAX_NAME];
    struct wire_arena arena = {0};
    struct wire_forecast read, forecast = full;
    char *buffer;
    (void)state;
    memset(name, 'n', sizeof(name));
    for (int i = 0; i < HORIZON; i++)
        late[i] = INT64_MIN + i;
    for (int i = 0; i < TARGETS; i++)
        names[i] = (struct wire_text){name, sizeof(name) - (size_t)i};
    for (int i = 0; i < SCORES; i++)
        many[i] = (struct wire_score){.h = INT32_MIN, .n = UINT64_MAX};
    for (int i = 0; i < HORIZON * TARGETS; i++)
        below[i] = 1e9, above[i] = 1e9 + 1e-3; /* no float32 holds that */
    for (int l = 0; l < WIRE_MAX_LEVELS; l++)
        eight[l] = (struct wire_interval){1.0 / 3, below, above};
    forecast.stream = forecast.model = names[0];
    forecast.version = forecast.epoch = forecast.primed = UINT64_MAX;
    forecast.t = forecast.sent = INT64_MIN;
    forecast.times = late, forecast.targets = names, forecast.values = now, forecast.mean = ahead,
    forecast.scores = many;
    forecast.horizon = HORIZON, forecast.n_targets = TARGETS, forecast.n_scores = SCORES;
    forecast.intervals = eight, forecast.n_intervals = WIRE_MAX_LEVELS;
    forecast.shares = &share, forecast.n_shares = 1;
    forecast.anomaly = 0.1;
    /* All, without scores, without rows, without columns: the slack of one must not hide what others lack. */
    for (int i = 0; i < 5; i++) {
        forecast.n_scores = i == 0 ? SCORES : 0;
        forecast.n_intervals = i == 4 ? 0 : WIRE_MAX_LEVELS;
        forecast.horizon = i == 2 ? 0 : HORIZON;
        forecast.n_targets = i == 3 ? 0 : TARGETS;
        size_t n = encode(&forecast, &buffer);
        assert_int_equal(wire_forecast_decode(buffer, n, &arena, &read), n);
        assert_same(&read, &forecast);
        assert_int_equal(wire_forecast_encode(&forecast, buffer, wire_forecast_bound(&forecast) - 1), 0);
        free(buffer);
    }
    wire_arena_fini(&arena);
}

/* What a message claims takes no more memory than what it has, and decoding again takes none. */
static void memory_is_bounded_by_the_message(void **state) {
    static const char *const claims[] = {
        "81 a5'times' dd00ffffff 01 01",
        "81 a7'targets' dd00ffffff a0 a0",
        "81 a6'values' dd00ffffff 01 01",
        "81 a6'shares' df00ffffff a1'x' 01",
        "81 a9'intervals' 91 93 50 dd00ffffff 91 01",
        "81 a6'scores' dd00ffffff 95 01 02 03 04 05",
        "81 a4'mean' dd00ffffff 91 01",
        "81 a4'mean' 91 dd00ffffff 01",
        "81 a4'mean' dc0400 dc0400 01",
        "81 a6'scores' dc0f00 95 01 02 03 04 05", /* not more than there are bytes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        static unsigned char bytes[4096];
        struct wire_arena arena = {0};
        struct wire_forecast read;
        bytes_of(claims[i], bytes, sizeof(bytes));
        assert_int_equal(wire_forecast_decode(bytes, sizeof(bytes), &arena, &read), 0);
        assert_true(arena.size <= 32 * sizeof(bytes) + 2048);
        wire_arena_fini(&arena);
    }
    struct wire_arena arena = {0};
    struct wire_forecast read;
    char *buffer;
    size_t n = encode(&full, &buffer);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(wire_forecast_decode(buffer, n, &arena, &read), n);
    assert_true(arena.size < 8192);
    free(buffer);
    wire_arena_fini(&arena);
}

/* ---- bundles ------------------------------------------------------------------------------ */

/* Changes one thing of a forecast, of kind i; what is shared by it says the key. NULL: there is no such kind. */
static const char *change(struct wire_forecast *forecast, int i) {
    static const struct wire_share other_share[] = {{{"ridge", 5}, 0.5F}, {{"network", 7}, 0.75F}};
    static const struct wire_share other_expert[] = {{{"ridge", 5}, 0.25F}, {{"drift", 5}, 0.75F}};
    static const struct wire_text other_targets[] = {{"temperature", 11}, {"glow", 4}};
    static const int64_t other_times[] = {1700000001000000000, 1700000002000000001};
    switch (i) {
    case 0: forecast->model = (struct wire_text){"hear", 4}; return "model";
    case 1: forecast->model.n--; return "model";
    case 2: forecast->version++; return "version";
    case 3: forecast->epoch++; return "epoch";
    case 4: forecast->generation++; return "generation";
    case 5: forecast->step++; return "step";
    case 6: forecast->primed++; return "primed";
    case 7: forecast->t++; return "t";
    case 8: forecast->times = forecast->times ? NULL : times; return "times";
    case 9: forecast->times = other_times; return "times";
    case 10: forecast->targets = other_targets; return "targets";
    case 11: forecast->source = WIRE_SOURCE_BASELINE; return "source";
    case 12: forecast->baseline = WIRE_BASELINE_LABELS; return "baseline";
    case 13: forecast->shares = other_share; return "shares";
    case 14: forecast->shares = other_expert; return "shares";
    case 15: forecast->n_shares--; return "shares";
    case 16: forecast->flags ^= WIRE_FLAG(CLOCK); return "flags";
    case 17: forecast->flags = 0; return "flags";
    case 18: forecast->anomaly = NAN; return "anomaly";
    case 19: forecast->anomaly = -forecast->anomaly; return "anomaly";
    case 20: forecast->n_scores = 1 - forecast->n_scores; return "scores";
    case 21: forecast->n_intervals = 1 - forecast->n_intervals; return "intervals";
    case 22: forecast->received++; return "received";
    case 23: forecast->sent--; return "sent";
    default: return NULL;
    }
}

/* The keys of a forecast behind another one, but for the four that are always there. */
static char *keys_behind(const struct wire_forecast *forecast, const struct wire_forecast *before) {
    static const char *const always[] = {"stream", "position", "values", "mean"};
    static char text[512];
    char buffer[4096];
    bool is_json;
    size_t n = wire_forecast_encode_next(forecast, before, buffer, sizeof buffer), used = 0;
    json_t *map = wire_message_decode(buffer, n, &is_json), *value;
    const char *key;
    assert_non_null(map);
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        assert_int_equal(json_object_del(map, always[i]), 0);
    text[0] = '\0';
    json_object_foreach(map, key, value) used += (size_t)sprintf(text + used, "%s%s", used > 0 ? " " : "", key);
    json_decref(map);
    return text;
}

/* Forecasts as a bundle without its head, in memory of its exact size; at[i]: where the i-th begins, at[n]: the end. */
static char *encode_bundle(const struct wire_forecast *forecasts, int n, size_t *at) {
    size_t size = 0;
    at[0] = 0;
    for (int i = 0; i < n; i++)
        size += wire_forecast_bound(&forecasts[i]);
    char *buffer = malloc(size);
    assert_non_null(buffer);
    for (int i = 0; i < n; i++) {
        size_t used = i == 0
                          ? wire_forecast_encode(&forecasts[i], buffer, size)
                          : wire_forecast_encode_next(&forecasts[i], &forecasts[i - 1], buffer + at[i], size - at[i]);
        assert_true(used > 0 && used <= wire_forecast_bound(&forecasts[i]));
        at[i + 1] = at[i] + used;
    }
    return realloc(buffer, at[n]);
}

/* As a bundle they are read as they are one by one. */
static void expect_bundle(const struct wire_forecast *forecasts, int n, struct wire_arena *arena) {
    size_t at[64];
    struct wire_forecast read;
    char *buffer = encode_bundle(forecasts, n, at);
    for (int i = 0; i < n; i++) {
        size_t used = i == 0 ? wire_forecast_decode(buffer, at[n], arena, &read)
                             : wire_forecast_decode_next(buffer + at[i], at[n] - at[i], arena, &read);
        assert_int_equal(used, at[i + 1] - at[i]);
        assert_same(&read, &forecasts[i]);
        bool same = i > 0 && forecasts[i].targets == forecasts[i - 1].targets &&
                    forecasts[i].n_targets == forecasts[i - 1].n_targets &&
                    forecasts[i].model.at == forecasts[i - 1].model.at &&
                    forecasts[i].model.n == forecasts[i - 1].model.n;
        assert_false(same && arena->renamed);
    }
    free(buffer);
}

static void a_bundle_tells_what_has_changed(void **state) {
    struct wire_arena arena = {0};
    (void)state;
    assert_string_equal(keys_behind(&example, &example), "intervals scores");
    struct wire_forecast plain = full;
    plain.n_scores = plain.n_intervals = 0;
    plain.anomaly = INFINITY; /* nil, too */
    struct wire_forecast same = plain;
    same.targets = (const struct wire_text[]){{"temperature", 11}, {"flow", 4}}; /* the same elsewhere */
    same.times = (const int64_t[]){times[0], times[1]};
    same.anomaly = NAN;
    assert_string_equal(keys_behind(&plain, &same), "");
    for (int base = 0; base < 2; base++) {
        struct wire_forecast first = example;
        first.n_targets = 2; /* of which all of them is known */
        first.horizon = 1;
        first.intervals = intervals;
        first.n_scores = first.n_intervals = base;
        const char *key;
        for (int i = 0; (key = change(&(struct wire_forecast){.times = times}, i)) != NULL; i++) {
            struct wire_forecast second = first;
            change(&second, i);
            if (i == 9)
                first.horizon = second.horizon = 2;
            second.mean = first.mean = mean;
            second.values = first.values = values;
            if (base == 0) {
                assert_string_equal(keys_behind(&second, &first), key);
                assert_string_equal(keys_behind(&first, &second), key);
            }
            const struct wire_forecast all[] = {first, second, second, first, first};
            expect_bundle(all, 5, &arena);
        }
    }
    wire_arena_fini(&arena);
}

static uint64_t next_random(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    return *random ^= *random << 17;
}

/* What differs from forecast to forecast, and shapes that a model's forecasts do not mix. */
static void vary(struct wire_forecast *forecast, uint64_t *random) {
    static double numbers[256];
    static float floats[64];
    static struct wire_interval three[3];
    static const char text[] = "abcdefghijklmnopqrstuvwxyz and what does not fit into one byte's length";
    static struct wire_output outputs[] = {{.steps = 0, .width = 3}, {.steps = 2, .width = 4}};
    uint64_t pick = next_random(random);
    for (int i = 0; i < 256 && numbers[255] == 0; i++)
        numbers[i] = i % 7 == 0 ? NAN : i / 8.0 + 1, floats[i % 64] = (float)i;
    outputs[0].at = floats, outputs[1].at = floats + pick % 32;
    for (size_t l = 0; l < 3; l++)
        three[l] = (struct wire_interval){50 + 10 * (double)l, numbers, numbers};
    forecast->stream = (struct wire_text){text + pick % 8, 1 + (pick >> 3) % (sizeof text - 10)};
    forecast->source_id = (uint32_t)(pick >> 9) & 1;
    forecast->number += pick >> 10 & 3;
    if ((pick >> 12) % 16 == 0) {
        forecast->horizon = (int)((pick >> 16) % 4);
        forecast->n_targets = (int)((pick >> 20) % 3);
        forecast->times = NULL;
    }
    if (forecast->horizon <= 2)
        forecast->times = (pick >> 24) % 8 == 0 ? NULL : times;
    forecast->values = numbers + (pick >> 28) % 128;
    forecast->mean = numbers + (pick >> 36) % 128;
    forecast->n_outputs = (int)((pick >> 44) % 3);
    forecast->outputs = outputs;
    forecast->has_labels = (pick >> 46) % 2 == 0;
    forecast->labels =
        forecast->has_labels ? (struct wire_labels){pick >> 47, 0.1, NAN, 0.3, 0.4} : (struct wire_labels){0};
    forecast->n_scores = (pick >> 48) % 4 == 0 ? (int)((pick >> 50) % 3) : forecast->n_scores;
    forecast->scores = scores;
    if ((pick >> 52) % 4 == 0) {
        forecast->n_intervals = (int)((pick >> 54) % 3);
        forecast->n_shares = 2;
    }
    forecast->intervals = three;
    int kind = (int)((pick >> 56) % 32);
    bool of_shape = kind == 8 || kind == 9 || kind == 20 || kind == 21, of_shares = kind >= 13 && kind <= 15;
    if (!of_shape && (!of_shares || forecast->n_shares == 2))
        change(forecast, kind);
    if (forecast->model.n == 0)
        forecast->model = example.model;
}

static void any_bundle_is_what_its_forecasts_are(void **state) {
    struct wire_arena arena = {0};
    uint64_t random = 977;
    (void)state;
    for (int i = 0; i < 4000; i++) {
        struct wire_forecast forecasts[40];
        int n = 1 + (int)(next_random(&random) % 40);
        forecasts[0] = example;
        vary(&forecasts[0], &random);
        for (int k = 1; k < n; k++) {
            forecasts[k] = forecasts[k - 1];
            if (next_random(&random) % 8 > 0)
                vary(&forecasts[k], &random);
        }
        expect_bundle(forecasts, n, &arena);
    }
    assert_true(arena.size < 32768); /* arrays keep their places */
    wire_arena_fini(&arena);
}

static void a_bundle_is_read_one_by_one(void **state) {
    const struct wire_forecast in[] = {example, full, example};
    struct wire_arena arena = {0};
    char head[WIRE_ARRAY_HEAD];
    uint32_t count;
    (void)state;
    expect_bundle(in, 3, &arena);
    wire_array_head(head, 3);
    assert_int_equal(wire_array_open(head, sizeof head, &count), WIRE_ARRAY_HEAD);
    assert_int_equal(count, 3);
    assert_int_equal(wire_array_open("\x93", 1, &count), 1);
    assert_int_equal(count, 3);
    assert_int_equal(wire_array_open("\xdc\x01\x02", 3, &count), 3);
    assert_int_equal(count, 258);
    assert_int_equal(wire_array_open("\xdc\x01", 2, &count), 0);
    assert_int_equal(wire_array_open("\x83", 1, &count), 0);
    assert_int_equal(wire_array_open("", 0, &count), 0);
    wire_arena_fini(&arena);
}

/* The parts of a forecast that must be there, and what else a case has between them. */
#define REQUIRED \
    "a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 a1'y' a4'mean' 91 91 cb3ff8000000000000"

static size_t decode_hex(const char *hex, struct wire_arena *arena, struct wire_forecast *ret_forecast) {
    static unsigned char bytes[4096];
    return wire_forecast_decode(bytes, bytes_of(hex, bytes, sizeof(bytes)), arena, ret_forecast);
}

static void readers_pass_over_what_they_do_not_know(void **state) {
    struct wire_arena arena = {0};
    struct wire_forecast read;
    (void)state;
    assert_true(decode_hex("86" REQUIRED, &arena, &read) > 0);
    assert_true(isnan(read.values[0]) && !read.times && read.n_scores == 0 && read.step == 7 && read.mean[0] == 1.5);
    assert_true(decode_hex("88 a1'x' 81 a1'y' 92 c0 c70401'abcd' a5'novel' c3" REQUIRED, &arena, &read) > 0);
    assert_true(decode_hex("87 a5'flags' 93 a3'gap' a3'new' a4'last'" REQUIRED, &arena, &read) > 0);
    assert_int_equal(read.flags, WIRE_FLAG(GAP) | WIRE_FLAG(REPEAT));
    assert_true(decode_hex("88 a6'source' a6'expert' a8'baseline' a4'none'" REQUIRED, &arena, &read) > 0);
    assert_true(read.source == WIRE_SOURCE_OTHER && read.baseline == WIRE_BASELINE_OTHER);
    assert_true(
        decode_hex("87 a6'scores' 91 9c 01 02 03 04 05 06 07 08 90 90 99 01 02 03 04 05 06 90 90 c3 80" REQUIRED,
                   &arena, &read) > 0); /* one that is longer than this version's */
    assert_true(decode_hex("87 a6'scores' 91 97 01 02 03 04 05 06 c0" REQUIRED, &arena, &read) > 0);
    assert_true(read.n_scores == 1 && read.scores[0].n == 2 && read.scores[0].recent.mae_seasonal == 5);
    assert_true(read.scores[0].recent.rmse == 6 && isnan(read.scores[0].recent.pinball) && read.n_intervals == 0 &&
                read.n_shares == 0 && isnan(read.anomaly));
    assert_true(decode_hex("87 a9'intervals' 91 94 50 91 91 01 91 91 02 c3" REQUIRED, &arena, &read) > 0);
    assert_true(read.n_intervals == 1 && read.intervals[0].lower[0] == 1 && read.intervals[0].upper[0] == 2);
    assert_true(decode_hex("87 a6'values' 91 02" REQUIRED, &arena, &read) > 0);
    assert_true(read.values[0] == 2);
    wire_arena_fini(&arena);
}

static void what_is_no_forecast(void **state) {
    static const char *const cases[] = {
        "",
        "c0",
        "90",
        "80",
        "86",
        "c1",
        "85 a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 a1'y' a4'mean' 91 91 01",
        "85 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 90",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' ff a1't' 05 a7'targets' 91 a1'y' a4'mean' 91 91 01",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 a1'y' a4'mean' 91 92 01 02",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 a1'y' a4'mean' 92 91 01 92 01 02",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 a1'y' a4'mean' 92 92 01 02 91 01",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 a1'y' a4'mean' 91 91 c3",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 a1'y' a4'mean' ddffffffff ddffffffff",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' 05 a7'targets' 91 05 a4'mean' 91 91 01",
        "86 a6'stream' a1's' a5'model' a1'm' a4'step' 07 a1't' c0 a7'targets' 91 a1'y' a4'mean' 91 91 01",
        "87 a5'times' 92 01 02" REQUIRED,
        "87 a5'times' 91 c3" REQUIRED,
        "87 a6'values' 92 01 02" REQUIRED,
        "87 a6'values' c0" REQUIRED,
        "87 aa'generation' cf0000000100000000" REQUIRED,
        "87 a8'position' 91 01" REQUIRED,
        "87 a8'position' 92 cf0000000100000000 01" REQUIRED,
        "87 a5'flags' 91 01" REQUIRED,
        "87 a6'scores' 91 94 01 02 03 04" REQUIRED,
        "87 a6'scores' 91 95 ce80000000 02 03 04 05" REQUIRED,
        "87 a6'scores' ddfffffff0" REQUIRED,
        "87 a6'scores' 91 99 01 02 03 04 05 06 07 08 05" REQUIRED,
        "87 a6'scores' 91 99 01 02 03 04 05 06 07 08 99 01 01 01 01 01 01 01 01 01" REQUIRED,
        "87 a9'intervals' 91 92 50 91 91 01" REQUIRED,
        "87 a9'intervals' 91 93 50 91 91 01 92 91 02 91 02" REQUIRED,
        "87 a9'intervals' 91 93 50 91 92 01 01 91 91 02" REQUIRED,
        "87 a9'intervals' 99 c0 c0 c0 c0 c0 c0 c0 c0 c0" REQUIRED,
        "87 a6'shares' 81 01 01" REQUIRED,
        "87 a6'shares' 90" REQUIRED,
        "87 a7'anomaly' c3" REQUIRED,
        "87 05 06" REQUIRED,
        "87" REQUIRED,
        "87 a1'x'" REQUIRED " c1",
    };
    struct wire_arena arena = {0};
    struct wire_forecast read;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (decode_hex(cases[i], &arena, &read) != 0)
            fail_msg("%s", cases[i]);
    wire_arena_fini(&arena);
}

static void what_is_no_forecast_behind_another(void **state) {
    static const struct {
        const char *hex;
        bool taken;
    } cases[] = {
        {"80", true}, /* all is as it was */
        {"81 a1'x' 05", true},
        {"81 a6'stream' a1'r'", true},
        {"82 a4'mean' 90 a5'times' c0", true},
        {"82 a4'mean' 92 91 01 91 02 a5'times' 92 01 02", true},
        {"", false},
        {"90", false},
        {"81", false},
        {"81 a6'stream' 05", false},
        {"81 a7'targets' 92 a1'y' a1'z'", false}, /* of what is as it was: values and mean of one */
        {"82 a7'targets' 92 a1'y' a1'z' a4'mean' 91 92 01 02", false},
        {"83 a7'targets' 92 a1'y' a1'z' a4'mean' 91 92 01 02 a6'values' 92 01 02", false}, /* intervals */
        {"84 a7'targets' 92 a1'y' a1'z' a4'mean' 91 92 01 02 a6'values' 92 01 02 a9'intervals' 90", true},
        {"81 a4'mean' 92 91 01 91 02", false}, /* times of one */
        {"81 a4'mean' 90", false},
        {"82 a4'mean' 92 91 01 91 02 a5'times' c0", false}, /* intervals of one */
        {"81 a6'values' 90", false},
        {"81 a5'times' 92 01 02", false},
    };
    struct wire_arena arena = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_forecast read;
        static unsigned char bytes[512];
        bool with_intervals = i != 3 && i != 4;
        size_t n = bytes_of(cases[i].hex, bytes, sizeof bytes);
        assert_true(
            decode_hex(with_intervals
                           ? "89 a5'times' 91 02 a6'values' 91 02 a9'intervals' 91 93 50 91 91 01 91 91 02" REQUIRED
                           : "88 a5'times' 91 02 a6'values' 91 02" REQUIRED,
                       &arena, &read) > 0);
        size_t used = wire_forecast_decode_next(bytes, n, &arena, &read);
        if (used != (cases[i].taken ? n : 0))
            fail_msg("%s", cases[i].hex);
        if (i == 0)
            assert_true(read.step == 7 && read.mean[0] == 1.5 && read.values[0] == 2 && read.n_intervals == 1 &&
                        read.stream.n == 1 && read.times[0] == 2 && !arena.renamed);
    }
    /* Values that the first one does not have stay missing, however many there are. */
    struct wire_forecast read;
    static unsigned char bytes[512];
    assert_true(decode_hex("86" REQUIRED, &arena, &read) > 0);
    size_t n = bytes_of("82 a7'targets' 92 a1'y' a1'z' a4'mean' 91 92 01 02", bytes, sizeof bytes);
    assert_int_equal(wire_forecast_decode_next(bytes, n, &arena, &read), n);
    assert_true(isnan(read.values[0]) && isnan(read.values[1]) && read.mean[1] == 2 && arena.renamed);
    wire_arena_fini(&arena);
}

static void every_truncation_is_refused(void **state) {
    struct wire_arena arena = {0};
    struct wire_forecast read;
    char *buffer;
    (void)state;
    size_t n = encode(&full, &buffer);
    for (size_t i = 0; i < n; i++) {
        char *exact = malloc(i ? i : 1);
        assert_non_null(exact);
        memcpy(exact, buffer, i);
        assert_int_equal(wire_forecast_decode(exact, i, &arena, &read), 0);
        free(exact);
    }
    free(buffer);
    wire_arena_fini(&arena);
}

static void the_example_of_the_protocol(void **state) {
    unsigned char bytes[2048];
    char *buffer, *json;
    size_t json_n;
    (void)state;
    size_t n = encode(&example, &buffer);
    assert_int_equal(protocol_example("forecast", bytes, sizeof(bytes)), n);
    assert_memory_equal(bytes, buffer, n);
    json = wire_to_json(buffer, n, &json_n);
    assert_non_null(json);
    assert_non_null(strstr(json, "\"position\":[0,90210]"));
    assert_non_null(strstr(json, "\"scores\":[[1,812,0.25,0.5,null,0.375,"));
    free(json);
    free(buffer);
    const struct wire_forecast in[] = {example, behind_example()};
    size_t at[3];
    buffer = encode_bundle(in, 2, at);
    assert_int_equal(protocol_example("forecast behind it", bytes, sizeof(bytes)), at[2] - at[1]);
    assert_memory_equal(bytes, buffer + at[1], at[2] - at[1]);
    free(buffer);
}

/* Touches all that a forecast points to. */
static double sum_of(const struct wire_forecast *read) {
    double sum = (double)read->stream.n + (double)read->model.n;
    for (int k = 0; k < read->n_targets; k++)
        sum += read->values[k] + (read->targets[k].n ? read->targets[k].at[read->targets[k].n - 1] : 0);
    for (int k = 0; k < read->horizon * read->n_targets; k++)
        sum += read->mean[k];
    for (int k = 0; read->times && k < read->horizon; k++)
        sum += (double)read->times[k];
    for (int k = 0; k < read->n_scores; k++)
        sum += (double)read->scores[k].recent.mae_seasonal;
    for (int l = 0; l < read->n_intervals; l++)
        for (int k = 0; k < read->horizon * read->n_targets; k++)
            sum += read->intervals[l].lower[k] + read->intervals[l].upper[k];
    for (int k = 0; k < read->n_shares; k++)
        sum += (double)read->shares[k].share + (double)read->shares[k].expert.n;
    for (int k = 0; k < read->n_outputs; k++)
        for (int j = 0; j < (read->outputs[k].steps > 0 ? read->outputs[k].steps : 1) * read->outputs[k].width; j++)
            sum += (double)read->outputs[k].at[j];
    return sum;
}

static void mutations_are_survived(void **state) {
    struct wire_arena arena = {0};
    uint64_t random = 20240607;
    size_t taken = 0;
    double sum = 0;
    (void)state;
    char *originals[2];
    size_t lengths[2] = {encode(&example, &originals[0]), encode(&full, &originals[1])};
    for (int i = 0; i < 200000; i++) {
        unsigned char bytes[1024];
        struct wire_forecast read;
        memcpy(bytes, originals[i % 2], lengths[i % 2]);
        size_t n = mutate(bytes, lengths[i % 2], sizeof(bytes), &random);
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, bytes, n);
        if (wire_forecast_decode(exact, n, &arena, &read) > 0) {
            taken++;
            sum += sum_of(&read);
        }
        free(exact);
    }
    assert_true(taken > 10000 && sum != 1);
    free(originals[0]);
    free(originals[1]);
    wire_arena_fini(&arena);
}

static void mutated_bundles_are_survived(void **state) {
    enum { N = 6 };
    struct wire_arena arena = {0};
    uint64_t random = 20261122;
    size_t at[N + 1], taken = 0;
    double sum = 0;
    (void)state;
    for (int round = 0; round < 40; round++) {
        struct wire_forecast forecasts[N], read;
        forecasts[0] = full;
        for (int i = 1; i < N; i++) {
            forecasts[i] = forecasts[i - 1];
            vary(&forecasts[i], &random);
        }
        char *original = encode_bundle(forecasts, N, at);
        for (int i = 0; i < 2500; i++) {
            static unsigned char bytes[8192];
            memcpy(bytes, original, at[N]);
            size_t n = mutate(bytes, at[N], sizeof bytes, &random), used = 0;
            char *exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memcpy(exact, bytes, n);
            for (size_t from = 0; from < n; from += used) {
                used = from == 0 ? wire_forecast_decode(exact, n, &arena, &read)
                                 : wire_forecast_decode_next(exact + from, n - from, &arena, &read);
                if (used == 0)
                    break;
                taken++;
                sum += sum_of(&read);
            }
            free(exact);
        }
        free(original);
    }
    assert_true(taken > 50000 && sum != 1);
    wire_arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(the_bound_holds),
        cmocka_unit_test(memory_is_bounded_by_the_message),
        cmocka_unit_test(a_bundle_tells_what_has_changed),
        cmocka_unit_test(any_bundle_is_what_its_forecasts_are),
        cmocka_unit_test(a_bundle_is_read_one_by_one),
        cmocka_unit_test(readers_pass_over_what_they_do_not_know),
        cmocka_unit_test(what_is_no_forecast),
        cmocka_unit_test(what_is_no_forecast_behind_another),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(the_example_of_the_protocol),
        cmocka_unit_test(mutations_are_survived),
        cmocka_unit_test(mutated_bundles_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
