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

static void a_bundle_is_read_one_by_one(void **state) {
    const struct wire_forecast *in[] = {&example, &full, &example};
    struct wire_arena arena = {0};
    struct wire_forecast read;
    char buffer[4096];
    uint32_t count;
    (void)state;
    size_t n = WIRE_ARRAY_HEAD, at;
    wire_array_head(buffer, 3);
    for (int i = 0; i < 3; i++)
        n += wire_forecast_encode(in[i], buffer + n, sizeof(buffer) - n);
    at = wire_array_open(buffer, n, &count);
    assert_int_equal(at, WIRE_ARRAY_HEAD);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++) {
        size_t used = wire_forecast_decode(buffer + at, n - at, &arena, &read);
        assert_true(used > 0);
        assert_same(&read, in[i]);
        at += used;
    }
    assert_int_equal(at, n);
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
            for (int k = 0; k < read.n_targets; k++)
                sum += read.values[k] + (read.targets[k].n ? read.targets[k].at[read.targets[k].n - 1] : 0);
            for (int k = 0; k < read.horizon * read.n_targets; k++)
                sum += read.mean[k];
            for (int k = 0; read.times && k < read.horizon; k++)
                sum += (double)read.times[k];
            for (int k = 0; k < read.n_scores; k++)
                sum += (double)read.scores[k].recent.mae_seasonal;
            for (int l = 0; l < read.n_intervals; l++)
                for (int k = 0; k < read.horizon * read.n_targets; k++)
                    sum += read.intervals[l].lower[k] + read.intervals[l].upper[k];
            for (int k = 0; k < read.n_shares; k++)
                sum += (double)read.shares[k].share + (double)read.shares[k].expert.n;
        }
        free(exact);
    }
    assert_true(taken > 10000 && sum != 1);
    free(originals[0]);
    free(originals[1]);
    wire_arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(the_bound_holds),
        cmocka_unit_test(memory_is_bounded_by_the_message),
        cmocka_unit_test(a_bundle_is_read_one_by_one),
        cmocka_unit_test(readers_pass_over_what_they_do_not_know),
        cmocka_unit_test(what_is_no_forecast),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(the_example_of_the_protocol),
        cmocka_unit_test(mutations_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
