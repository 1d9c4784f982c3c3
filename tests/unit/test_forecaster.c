/* Serving: with one version, or none. Taking over is in test_takeover.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/lane.h"
#include "engine/random.h"
#include "tests/support/floats.h"
#include "tests/support/replay.h"
#include "tests/support/fixtures.h"
#include "tests/support/layers.h"

#include <float.h>
#include <math.h>

enum { FEATURES = 3, STEPS = 110, MAX_SLOTS = 64 };

static void fail_where(const struct saved *a, const struct saved *b, const char *what) {
    fail_msg("%s: step %d (and %d), version %d (%d), primed %d (%d), mean %.17g (%.17g), mae %.17g (%.17g)", what,
             (int)a->step, (int)b->step, (int)a->version, (int)b->version, (int)a->primed, (int)b->primed, a->mean[0],
             b->mean[0], a->scores[0][0], b->scores[0][0]);
}

static void assert_same(const struct saved *a, const struct saved *b, const char *what) {
    if (memcmp(a, b, sizeof *a) != 0)
        fail_where(a, b, what);
}

/* A synthetic stream alone in slot 0 of a batch of one, each step advanced as it comes: what everything is
 * compared with. Steps 1 .. n at [1 .. n]. */
static struct saved *alone(const struct fixture *fixture, uint64_t seed, uint64_t n) {
    struct config_model model = fixture->model;
    model.batch_size = 1;
    struct saved *saved = calloc(n + 1, sizeof *saved);
    struct history *history = history_new(fixture->class.n_features, fixture->class.history, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture->class, &model, kernels_choose());
    take_over(forecaster, fixture_version(&model, 3, 1));
    forecaster_acquire(forecaster, 0, history);
    for (uint64_t step = 1; step <= n; step++) {
        fixture_append(history, seed, 1);
        advance_one(forecaster, 0, &model, &saved[step]);
    }
    forecaster_free(forecaster);
    history_free(history);
    return saved;
}

/* ---- bit for bit ---------------------------------------------------------------------------- */

struct stream {
    uint64_t seed;
    struct history *history;
    struct saved *expected;
};

static void stream_begin(struct stream *stream, const struct fixture *fixture, struct forecaster *forecaster,
                         int slot, uint64_t seed) {
    stream->seed = seed;
    stream->history = history_new(fixture->class.n_features, fixture->class.history, FIXTURE_PENDING);
    stream->expected = alone(fixture, seed, STEPS);
    forecaster_acquire(forecaster, slot, stream->history);
    assert_null(forecaster_latest(forecaster, slot));
}

static void stream_end(struct stream *stream, struct forecaster *forecaster, int slot) {
    forecaster_release(forecaster, slot);
    history_free(stream->history);
    free(stream->expected);
    *stream = (struct stream){0};
}

/* Some steps arrive for some streams; a few streams end, and others begin in their slots. */
static void arrive(struct stream *streams, const struct fixture *fixture, struct forecaster *forecaster,
                   struct rng *rng, uint64_t *next_seed) {
    for (int slot = 0; slot < fixture->model.batch_size; slot++) {
        struct stream *stream = &streams[slot];
        if (stream->history == NULL) {
            stream_begin(stream, fixture, forecaster, slot, ++*next_seed);
            continue;
        }
        uint64_t pending = forecaster_pending(forecaster, slot), n = rng_below(rng, 4);
        if (rng_below(rng, 40) == 0)
            n = FIXTURE_PENDING - pending; /* as many as may wait */
        if (n > FIXTURE_PENDING - pending)
            n = FIXTURE_PENDING - pending;
        if (stream->history->n + n > STEPS)
            n = STEPS - stream->history->n;
        fixture_append(stream->history, stream->seed, n);
        if (pending + n == 0 && (stream->history->n == STEPS || rng_below(rng, 100) == 0))
            stream_end(stream, forecaster, slot);
    }
}

static int choose_ready(const struct stream *streams, const struct forecaster *forecaster, int n_slots,
                        struct rng *rng, int *slots) {
    int n = 0;
    uint64_t share = 1 + rng_below(rng, 4);
    for (int slot = 0; slot < n_slots; slot++)
        if (streams[slot].history != NULL && forecaster_pending(forecaster, slot) > 0 && rng_below(rng, 4) < share)
            slots[n++] = slot;
    for (int i = n - 1; i > 0; i--) { /* in any order */
        int j = (int)rng_below(rng, (uint64_t)i + 1), kept = slots[i];
        slots[i] = slots[j];
        slots[j] = kept;
    }
    return n;
}

static uint64_t check_batch(const struct fixture *fixture, uint64_t seed, int rounds) {
    struct stream streams[MAX_SLOTS] = {{0}};
    struct rng rng = {seed};
    uint64_t next_seed = 0, checked = 0;
    int n_slots = fixture->model.batch_size, slots[MAX_SLOTS];
    struct forecaster *forecaster = forecaster_new(&fixture->class, &fixture->model, kernels_choose());
    take_over(forecaster, fixture_version(&fixture->model, 3, 1));
    for (int round = 0; round < rounds; round++) {
        arrive(streams, fixture, forecaster, &rng, &next_seed);
        int n = choose_ready(streams, forecaster, n_slots, &rng, slots);
        if (n == 0)
            continue;
        forecaster_advance(forecaster, slots, n);
        for (int i = 0; i < n; i++) {
            struct saved saved;
            saved_take(&saved, forecaster, slots[i], &fixture->model);
            assert_same(&saved, &streams[slots[i]].expected[forecaster_seen(forecaster, slots[i])],
                        "among neighbours");
            checked++;
        }
    }
    for (int slot = 0; slot < n_slots; slot++)
        if (streams[slot].history != NULL)
            stream_end(&streams[slot], forecaster, slot);
    forecaster_free(forecaster);
    return checked;
}

static void neighbours_change_nothing(void **state) {
    (void)state;
    const int sizes[] = {1, 3, 8, 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct fixture fixture;
        fixture_init(&fixture, FEATURES);
        fixture.model.batch_size = sizes[i];
        if (i % 2 == 1) { /* what is learnt of the experts is each slot's own, too */
            fixture.model.combine = COMBINE_ONLINE;
            fixture.model.experts = EXPERTS_FULL;
        }
        uint64_t checked = check_batch(&fixture, 100 + i, sizes[i] == 64 ? 150 : 400);
        assert_true(checked >= 100u * (uint64_t)sizes[i] / 2);
    }
}

static void nor_do_they_for_other_networks(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.model.n_layers = 3; /* two LSTMs, and widths with and without remainders */
    fixture.layers[0] = (struct layer_spec)LSTM(16);
    fixture.layers[1] = (struct layer_spec)LSTM(5);
    fixture.layers[2] = (struct layer_spec)DENSE(9, ACTIVATION_RELU);
    fixture.model.residual = false;
    fixture.inputs[0] = 2; /* a model may see its features in any order, and not all of them */
    fixture.model.n_inputs = 2;
    check_batch(&fixture, 7, 150);
    fixture.model.n_layers = 0; /* the head alone: no state at all */
    check_batch(&fixture, 8, 150);
}

/* A slot that is not given keeps all it has: others advance for long, and it goes on as if nothing had been. */
static void slots_not_given_keep_theirs(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    struct saved *expected = alone(&fixture, 5, 40), saved, latest;
    struct history *own = history_new(FEATURES, 48, FIXTURE_PENDING),
                   *other = history_new(FEATURES, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    take_over(forecaster, fixture_version(&fixture.model, 3, 1));
    forecaster_acquire(forecaster, 4, own);
    forecaster_acquire(forecaster, 5, other);
    for (uint64_t step = 1; step <= 40; step++) {
        fixture_append(own, 5, 1);
        advance_one(forecaster, 4, &fixture.model, &saved);
        assert_same(&saved, &expected[step], "after a pause");
        struct scaler before[FEATURES];
        memcpy(before, forecaster_scalers(forecaster, 4), sizeof before);
        for (int i = 0; i < 30; i++) {
            fixture_append(other, 6, 1);
            forecaster_advance(forecaster, &(int){5}, 1);
        }
        assert_memory_equal(before, forecaster_scalers(forecaster, 4), sizeof before);
        saved_take(&latest, forecaster, 4, &fixture.model);
        assert_same(&latest, &saved, "during a pause");
        assert_int_equal(forecaster_seen(forecaster, 4), step);
    }
    forecaster_free(forecaster);
    history_free(own);
    history_free(other);
    free(expected);
}

/* ---- what it computes ----------------------------------------------------------------------- */

static void check_against_replay(const struct fixture *fixture, const struct kernels *kernels) {
    const struct config_model *model = &fixture->model;
    struct history *history = history_new(FEATURES, fixture->class.history, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture->class, model, kernels);
    struct version *version = fixture_version(model, 9, 1);
    take_over(forecaster, version_acquire(version));
    forecaster_acquire(forecaster, 2, history);
    struct replay replay;
    replay_init(&replay, model, kernels, version, history);
    for (uint64_t step = 1; step <= STEPS; step++) {
        double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
        struct saved saved;
        fixture_append(history, 4, 1);
        advance_one(forecaster, 2, model, &saved);
        replay_see(&replay, step);
        replay_step(&replay, step, mean);
        assert_memory_equal(mean, saved.mean, sizeof mean);
        assert_true(saved.from_network && saved.version == 9 && saved.step == step && saved.primed == step);
        assert_int_equal(saved.warming, step < 4);
        assert_int_equal(saved.t, fixture_time(4, step));
        for (int j = 0; j < 2; j++) {
            double value = history_observed(history, step, model->targets[j]);
            assert_memory_equal(&value, &saved.values[j], sizeof value);
        }
        assert_memory_equal(replay.scalers, forecaster_scalers(forecaster, 2), FEATURES * sizeof(struct scaler));
    }
    replay_fini(&replay);
    version_release(version);
    forecaster_free(forecaster);
    history_free(history);
}

static void it_is_the_network_with_its_state_carried(void **state) {
    (void)state;
    for (int variant = 0; variant < 8; variant++) {
        struct fixture fixture;
        fixture_init(&fixture, FEATURES);
        fixture.model.residual = variant & 1;
        fixture.model.scaler = variant & 2 ? SCALER_NONE : SCALER_STANDARD;
        if (variant & 4)
            fixture.model.n_layers = 0;
        for (int level = 0; kernels_at(level) != NULL; level++)
            check_against_replay(&fixture, kernels_at(level));
    }
}

/* The state is carried as in one call over the whole sequence: Keras' stateful=True. */
static void it_is_one_long_sequence(void **state) {
    (void)state;
    enum { N = 60 };
    struct fixture fixture;
    fixture_init(&fixture, 2);
    struct config_model *model = &fixture.model;
    model->scaler = SCALER_NONE;
    model->residual = false;
    struct history *history = history_new(2, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, model, kernels_choose());
    struct version *version = fixture_version(model, 1, 1);
    const struct network *network = version_network(version);
    take_over(forecaster, version_acquire(version));
    forecaster_acquire(forecaster, 7, history);

    size_t n_outputs = (size_t)chain_width(network);
    struct rng rng = {3};
    float *x = floats_random(&rng, N * 2, 1), *y = floats_new(N * n_outputs);
    float *zero = floats_new(network_state_size(network)), *work = floats_new(network_work_size(network, 1, N));
    network_forward(network, kernels_choose(), 1, N, x, &zero, &y, work);
    for (size_t step = 1; step <= N; step++) {
        const double values[] = {(double)x[2 * step - 2], (double)x[2 * step - 1]};
        struct saved saved;
        history_append(history, (int64_t)step, values, false);
        advance_one(forecaster, 7, model, &saved);
        for (size_t i = 0; i < n_outputs; i++)
            assert_true(saved.mean[i] == (double)y[(step - 1) * n_outputs + i]);
    }
    free(x);
    free(y);
    free(zero);
    free(work);
    version_release(version);
    forecaster_free(forecaster);
    history_free(history);
}

static void without_a_version_the_baseline_serves(void **state) {
    (void)state;
    for (int period = 0; period <= FIXTURE_PERIOD; period += FIXTURE_PERIOD) {
        struct fixture fixture;
        fixture_init(&fixture, FEATURES);
        fixture.model.period = period;
        enum baseline baseline = period > 0 ? BASELINE_SEASONAL : BASELINE_LAST_VALUE;
        struct history *history = history_new(FEATURES, 48, FIXTURE_PENDING);
        struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
        forecaster_acquire(forecaster, 0, history);
        for (uint64_t step = 1; step <= 60; step++) {
            struct saved saved;
            fixture_append(history, 4, 1);
            advance_one(forecaster, 0, &fixture.model, &saved);
            assert_true(!saved.from_network && saved.version == 0 && saved.primed == 0 && !saved.warming);
            assert_int_equal(saved.baseline, baseline);
            for (int h = 1; h <= 3; h++)
                for (int j = 0; j < 2; j++) {
                    int f = fixture.targets[j];
                    double said = baseline_forecast(baseline, history, step, f, h, period);
                    assert_memory_equal(&said, &saved.mean[(h - 1) * 2 + j], sizeof said);
                }
            if (step < 20)
                continue;
            /* Its errors are then the baseline's own. */
            for (int i = 0; i < 3; i++)
                assert_true(fabs(saved.scores[i][0] - saved.scores[i][period > 0 ? 2 : 1]) < 1e-5);
        }
        assert_int_equal(forecaster_version(forecaster), 0);
        forecaster_free(forecaster);
        history_free(history);
    }
}

/* ---- slots ---------------------------------------------------------------------------------- */

/* The slot's state is zero again and its scalers are not; the neighbour does not notice. */
static void a_reset_is_of_one_slot(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    const struct config_model *model = &fixture.model;
    struct saved *expected = alone(&fixture, 21, 60), saved;
    struct history *own = history_new(FEATURES, 48, FIXTURE_PENDING),
                   *other = history_new(FEATURES, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, model, kernels_choose());
    struct version *version = fixture_version(model, 3, 1);
    take_over(forecaster, version_acquire(version));
    forecaster_acquire(forecaster, 0, own);
    forecaster_acquire(forecaster, 1, other);
    struct replay replay;
    replay_init(&replay, model, kernels_choose(), version, own);
    for (uint64_t step = 1; step <= 60; step++) {
        double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
        uint64_t since = step > 50 ? 50 : step > 30 ? 30 : 0;
        fixture_append(own, 20, 1);
        fixture_append(other, 21, 1);
        advance_one(forecaster, 0, model, &saved);
        replay_see(&replay, step);
        replay_step(&replay, step, mean);
        assert_memory_equal(mean, saved.mean, sizeof mean);
        assert_int_equal(saved.primed, step - since);
        assert_int_equal(saved.warming, step - since < 4);
        advance_one(forecaster, 1, model, &saved);
        assert_same(&saved, &expected[step], "beside a reset");
        if (step != 30 && step != 50)
            continue;
        history_reset(own);
        forecaster_reset(forecaster, 0);
        replay_zero(&replay);
    }
    replay_fini(&replay);
    version_release(version);
    forecaster_free(forecaster);
    history_free(own);
    history_free(other);
    free(expected);
}

/* After a release nothing is left for the next one: no state, scalers, scores or interval. */
static void a_slot_begins_anew(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    take_over(forecaster, fixture_version(&fixture.model, 3, 1));
    for (uint64_t seed = 50; seed < 55; seed++) {
        struct saved *expected = alone(&fixture, seed, 30), saved;
        struct history *history = history_new(FEATURES, 48, FIXTURE_PENDING);
        forecaster_acquire(forecaster, 3, history);
        assert_null(forecaster_latest(forecaster, 3));
        for (uint64_t step = 1; step <= 30; step++) {
            fixture_append(history, seed, 1);
            advance_one(forecaster, 3, &fixture.model, &saved);
            assert_same(&saved, &expected[step], "in a slot that was another's");
        }
        forecaster_release(forecaster, 3);
        history_free(history);
        free(expected);
    }
    forecaster_free(forecaster);
}

/* A stream may come with a past: it is not replayed, and does not count into anything. */
static void a_slot_may_begin_late(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct history *history = history_new(1, 48, FIXTURE_PENDING);
    for (int i = 0; i < 20; i++)
        history_append(history, i * 100, &(double){i}, false);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    forecaster_acquire(forecaster, 0, history);
    assert_int_equal(forecaster_seen(forecaster, 0), 20);
    assert_int_equal(forecaster_pending(forecaster, 0), 0);
    history_append(history, 2000, &(double){20}, false);
    struct saved saved;
    advance_one(forecaster, 0, &fixture.model, &saved);
    assert_int_equal(saved.step, 21);
    assert_true(saved.times_known);
    assert_int_equal(saved.times[1], 2200);
    forecaster_free(forecaster);
    history_free(history);
}

/* ---- times ---------------------------------------------------------------------------------- */

static void target_times_of_fixed_intervals(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.class.time.every = 1000;
    struct history *history = history_new(1, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    forecaster_acquire(forecaster, 0, history);
    const int64_t times[] = {-5000, -4000, 9000, INT64_MAX - 1500};
    for (int i = 0; i < 4; i++) {
        struct saved saved;
        history_append(history, times[i], &(double){1}, false);
        advance_one(forecaster, 0, &fixture.model, &saved);
        assert_int_equal(saved.times_known, i < 3); /* the last one's are past the end of time */
        for (int h = 0; saved.times_known && h < 3; h++)
            assert_int_equal(saved.times[h], times[i] + 1000 * (h + 1));
    }
    forecaster_free(forecaster);
    history_free(history);
}

/* Today, in ns, is more than a double counts: the mean interval must be that of the differences. */
static void target_times_by_the_mean_interval(void **state) {
    (void)state;
    const int64_t start = 1700000000000000001;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct history *history = history_new(1, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    forecaster_acquire(forecaster, 0, history);
    for (int i = 0; i < 200; i++) {
        struct saved saved;
        int64_t t = start + 50 * i + (i % 2 ? 10 : 0); /* 60 and 40 in turn */
        history_append(history, t, &(double){1}, false);
        advance_one(forecaster, 0, &fixture.model, &saved);
        assert_int_equal(saved.times_known, i > 0); /* one tick has no interval */
        int64_t each = i == 1 ? 60 : 50;
        for (int h = 0; i > 0 && h < 3; h++)
            assert_true(llabs(saved.times[h] - t - each * (h + 1)) <= (i < 20 ? 5 * (h + 1) : h + 1));
    }
    forecaster_free(forecaster);
    history_free(history);
}

static void wild_times(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct history *history = history_new(1, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    forecaster_acquire(forecaster, 0, history);
    const int64_t times[] = {INT64_MIN, INT64_MIN + 1, 0, INT64_MAX};
    for (int i = 0; i < 4; i++) {
        struct saved saved;
        history_append(history, times[i], &(double){1}, false);
        advance_one(forecaster, 0, &fixture.model, &saved);
        for (int h = 0; saved.times_known && h < 3; h++)
            assert_true(saved.times[h] > times[i]);
        assert_true(!saved.times_known || i != 3);
    }
    forecaster_free(forecaster);
    history_free(history);
}

/* ---- precision ------------------------------------------------------------------------------ */

/* The state of a stream after some steps. */
static double state_after(enum precision precision) {
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.model.precision = precision;
    struct history *history = history_new(FEATURES, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    struct saved saved;
    take_over(forecaster, fixture_version(&fixture.model, 3, 1));
    forecaster_acquire(forecaster, 0, history);
    for (uint64_t step = 1; step <= 20; step++) {
        fixture_append(history, 5, 1);
        advance_one(forecaster, 0, &fixture.model, &saved);
    }
    double state = (double)forecaster_state(forecaster, 0).values[0];
    forecaster_free(forecaster);
    history_free(history);
    return state;
}

static void a_model_with_bf16_weights(void **state) {
    (void)state;
    double distance = fabs(state_after(PRECISION_BF16) - state_after(PRECISION_F32));
    assert_true(distance > 1e-7 && distance < 1e-2);
}

/* ---- bad input ------------------------------------------------------------------------------ */

/* A network that puts out NaN serves nobody: the baseline does, and it is counted. */
static void a_broken_version(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    const struct config_model *model = &fixture.model;
    struct history *history = history_new(FEATURES, 48, FIXTURE_PENDING);
    struct forecaster *broken = forecaster_new(&fixture.class, model, kernels_choose());
    struct forecaster *none = forecaster_new(&fixture.class, model, kernels_choose());
    struct error err;
    struct network *network = forecaster_network(model, &err);
    network_init_weights(network, 1);
    for (size_t i = 0; i < network_n_params(network); i += 3)
        network_params(network)[i] = NAN;
    take_over(broken, version_new(8, network));
    forecaster_acquire(broken, 6, history);
    forecaster_acquire(none, 6, history);
    for (uint64_t step = 1; step <= 50; step++) {
        struct saved a, b;
        fixture_append(history, 4, 1);
        advance_one(broken, 6, model, &a);
        advance_one(none, 6, model, &b);
        assert_int_equal(a.version, 8);
        assert_int_equal(forecaster_not_finite(broken), step);
        a.version = 0;
        assert_same(&a, &b, "instead of NaN");
    }
    /* A sound one may still take over; the states were never NaN for it. */
    take_over(broken, fixture_version(model, 9, 1));
    struct saved saved;
    fixture_append(history, 4, 1);
    advance_one(broken, 6, model, &saved);
    assert_true(saved.from_network && saved.primed == 49);
    assert_int_equal(forecaster_not_finite(broken), 50);
    forecaster_free(broken);
    forecaster_free(none);
    history_free(history);
}

/* Without a scaler a wild value reaches the network. Only its own row is lost, and only until the state is new. */
static void a_row_that_is_not_finite(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.model.scaler = SCALER_NONE;
    const struct config_model *model = &fixture.model;
    struct saved *expected = alone(&fixture, 31, 60);
    struct history *own = history_new(FEATURES, 48, FIXTURE_PENDING),
                   *other = history_new(FEATURES, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, model, kernels_choose());
    struct version *version = fixture_version(model, 3, 1);
    take_over(forecaster, version_acquire(version));
    forecaster_acquire(forecaster, 0, own);
    forecaster_acquire(forecaster, 1, other);
    struct replay replay;
    replay_init(&replay, model, kernels_choose(), version, own);
    for (uint64_t step = 1; step <= 60; step++) {
        const double wild[] = {1e300, -1e300, 1e300};
        double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
        struct saved saved;
        if (step == 20)
            history_append(own, fixture_time(30, step), wild, false);
        else
            fixture_append(own, 30, 1);
        fixture_append(other, 31, 1);
        const int both[] = {0, 1};
        forecaster_advance(forecaster, both, 2);
        saved_take(&saved, forecaster, 1, model);
        assert_same(&saved, &expected[step], "beside a row that is not finite");
        saved_take(&saved, forecaster, 0, model);
        assert_int_equal(saved.primed, step < 20 ? step : step - 20);
        assert_int_equal(saved.from_network, step != 20);
        replay_step(&replay, step, mean);
        if (step == 20)
            replay_zero(&replay);
        else
            assert_memory_equal(mean, saved.mean, sizeof mean);
        for (int i = 0; i < 6; i++)
            assert_true(isfinite(saved.mean[i]));
    }
    assert_int_equal(forecaster_not_finite(forecaster), 1);
    replay_fini(&replay);
    version_release(version);
    forecaster_free(forecaster);
    history_free(own);
    history_free(other);
    free(expected);
}

struct feed {
    const char *what;
    double values[4]; /* of feature 0, in turn; the others follow a usual stream */
    int finite_from;  /* the step from which forecasts of feature 0 must be finite; 0: NaN for ever */
};

static void check_feed(const struct feed *feed, bool residual) {
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.model.residual = residual;
    const struct config_model *model = &fixture.model;
    struct history *history = history_new(FEATURES, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, model, kernels_choose());
    take_over(forecaster, fixture_version(model, 3, 1));
    forecaster_acquire(forecaster, 0, history);
    for (int step = 1; step <= 80; step++) {
        const double values[] = {feed->values[step % 4], fixture_value(1, (uint64_t)step, 1), step * 0.5};
        struct saved saved;
        history_append(history, step, values, false);
        advance_one(forecaster, 0, model, &saved);
        assert_true(saved.from_network);
        for (int h = 0; h < 3; h++) {
            bool finite = !residual || (feed->finite_from > 0 && step >= feed->finite_from);
            if (isfinite(saved.mean[2 * h]) != finite || !isfinite(saved.mean[2 * h + 1]))
                fail_msg("%s, step %d: %g and %g", feed->what, step, saved.mean[2 * h], saved.mean[2 * h + 1]);
        }
    }
    assert_int_equal(forecaster_not_finite(forecaster), 0);
    forecaster_free(forecaster);
    history_free(history);
}

static void odd_streams(void **state) {
    (void)state;
    const struct feed feeds[] = {
        {"never seen", {NAN, NAN, NAN, NAN}, 0},
        {"missing now and then", {1, NAN, 2, NAN}, 2},
        {"constant", {0.1, 0.1, 0.1, 0.1}, 1},
        {"zero", {0, 0, -0.0, 0}, 1},
        {"huge", {1e300, -1e300, 1e300, 1e299}, 1},
        {"huge now and then", {1, 2, 1e300, 3}, 1},
        {"the largest", {DBL_MAX, -DBL_MAX, DBL_MAX, NAN}, 1},
        {"tiny", {1e-310, DBL_TRUE_MIN, 0, -1e-310}, 1},
    };
    for (size_t i = 0; i < sizeof feeds / sizeof *feeds; i++) {
        check_feed(&feeds[i], true);
        check_feed(&feeds[i], false);
    }
}

/* A tick without any value still is a step: the network sees the values before. */
static void a_step_without_values(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    const double nothing[] = {NAN, NAN, NAN}, some[] = {1, 2, 3};
    struct history *history = history_new(FEATURES, 48, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    take_over(forecaster, fixture_version(&fixture.model, 3, 1));
    forecaster_acquire(forecaster, 0, history);
    for (int step = 1; step <= 6; step++) {
        struct saved saved;
        history_append(history, step, step == 3 ? some : nothing, false);
        advance_one(forecaster, 0, &fixture.model, &saved);
        assert_int_equal(saved.step, step);
        assert_int_equal(isfinite(saved.mean[0]) != 0, step >= 3); /* residual: it needs a last value */
        assert_int_equal(isnan(saved.values[0]) != 0, step != 3);
        assert_int_equal(saved.step_flags, step != 3 ? STEP_IMPUTED : 0);
        assert_int_equal(saved.n[0], 0); /* no answer ever */
    }
    assert_int_equal(forecaster_scalers(forecaster, 0)[1].n, 1);
    forecaster_free(forecaster);
    history_free(history);
}

/* ---- the lane ------------------------------------------------------------------------------- */

static void a_lane_by_itself(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.inputs[0] = 2;
    fixture.model.n_inputs = 1;
    struct version *version = fixture_version(&fixture.model, 1, 1);
    struct lane *lane = lane_new(4, FEATURES, version);
    version_release(version); /* the lane has its own reference */
    struct history *history = history_new(FEATURES, 8, FIXTURE_PENDING);
    const double first[] = {1, 2, 3}, second[] = {NAN, 4, NAN};
    history_append(history, 1, first, false);
    history_append(history, 2, second, false);
    lane_update_scalers(lane, 2, history, 1);
    lane_update_scalers(lane, 2, history, 2);
    const uint64_t seen[] = {1, 2, 1};
    for (int f = 0; f < FEATURES; f++)
        assert_int_equal(lane_scalers(lane, 2)[f].n, seen[f]);
    assert_true(lane_scalers(lane, 2)[1].mean == 3);
    float x = -1;
    lane_gather(lane_scalers(lane, 2), history, 2, &fixture.model, &x);
    assert_true(x == 0); /* 3, the value before, is the mean */

    for (size_t i = 0; i < lane->state_size; i++)
        lane_state(lane, 2)[i] = lane_state(lane, 1)[i] = 7;
    lane_zero(lane, 2, 5);
    assert_true(lane->seen[2] == 5 && lane->zero[2] == 5);
    assert_int_equal(lane_scalers(lane, 2)[1].n, 2);
    for (size_t i = 0; i < lane->state_size; i++)
        assert_true(lane_state(lane, 2)[i] == 0 && lane_state(lane, 1)[i] == 7);
    lane_clear(lane, 2);
    assert_int_equal(lane_scalers(lane, 2)[1].n, 0);
    lane_free(lane);
    lane_free(NULL);
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_change_nothing),
        cmocka_unit_test(nor_do_they_for_other_networks),
        cmocka_unit_test(slots_not_given_keep_theirs),
        cmocka_unit_test(it_is_the_network_with_its_state_carried),
        cmocka_unit_test(it_is_one_long_sequence),
        cmocka_unit_test(without_a_version_the_baseline_serves),
        cmocka_unit_test(a_reset_is_of_one_slot),
        cmocka_unit_test(a_slot_begins_anew),
        cmocka_unit_test(a_slot_may_begin_late),
        cmocka_unit_test(target_times_of_fixed_intervals),
        cmocka_unit_test(target_times_by_the_mean_interval),
        cmocka_unit_test(wild_times),
        cmocka_unit_test(a_broken_version),
        cmocka_unit_test(a_row_that_is_not_finite),
        cmocka_unit_test(odd_streams),
        cmocka_unit_test(a_step_without_values),
        cmocka_unit_test(a_lane_by_itself),
        cmocka_unit_test(a_model_with_bf16_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
