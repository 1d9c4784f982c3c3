/* A new version takes over from the one that serves: the second half of engine/forecaster. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/random.h"
#include "tests/support/replay.h"
#include "tests/support/fixtures.h"
#include "tests/support/layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FEATURES = 3, KEPT = 48, OLD = 3, NEW = 4 };

/* ---- one slot, exactly ---------------------------------------------------------------------- */

struct course {
    uint64_t before;      /* steps seen when the first slice begins */
    uint64_t reset;       /* a reset after so many of them; 0: none */
    uint64_t pending;     /* steps that already wait then */
    const char *arrivals; /* digits: steps that arrive and are advanced between two slices, in turn */
};

struct rig {
    struct fixture fixture;
    struct forecaster *forecaster;
    struct version *old, *new;
    struct history *history, *all; /* the same steps; one that forgets, and one that keeps all of them */
    struct saved *expected_old;    /* of a forecaster in which nothing takes over */
    uint64_t from, frozen;         /* where the replay begins, and where its scalers begin to move again */
    uint64_t switched;             /* the first step that the new version served; 0: none yet */
    struct replay replay;
    struct saved latest;
};

static void reset_at(struct history *history, struct forecaster *forecaster, int slot, uint64_t reset,
                     uint64_t step) {
    if (reset == 0 || step != reset)
        return;
    history_reset(history);
    forecaster_reset(forecaster, slot);
}

/* The old version alone, all steps. */
static struct saved *old_alone(const struct fixture *fixture, uint64_t seed, uint64_t reset, uint64_t n) {
    struct saved *saved = calloc(n + 1, sizeof *saved);
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture->class, &fixture->model, kernels_choose());
    take_over(forecaster, fixture_version(&fixture->model, OLD, 1));
    forecaster_acquire(forecaster, 0, history);
    for (uint64_t step = 1; step <= n; step++) {
        fixture_append(history, seed, 1);
        advance_one(forecaster, 0, &fixture->model, &saved[step]);
        reset_at(history, forecaster, 0, reset, step);
    }
    forecaster_free(forecaster);
    history_free(history);
    return saved;
}

static void advance_and_check(struct rig *rig, int slot) {
    advance_one(rig->forecaster, slot, &rig->fixture.model, &rig->latest);
    const struct saved *latest = &rig->latest;
    if (latest->version == OLD) {
        assert_int_equal(rig->switched, 0);
        assert_memory_equal(latest, &rig->expected_old[latest->step], sizeof *latest);
        return;
    }
    assert_int_equal(latest->version, NEW);
    double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
    if (rig->switched == 0) {
        rig->switched = latest->step;
        assert_true(latest->n[0] > 0 || latest->step == 1); /* scores are the stream's, whoever serves */
        for (uint64_t step = rig->from + 1; step < latest->step; step++) {
            if (step > rig->frozen)
                replay_see(&rig->replay, step);
            replay_step(&rig->replay, step, mean);
        }
    }
    replay_see(&rig->replay, latest->step);
    replay_step(&rig->replay, latest->step, mean);
    assert_memory_equal(mean, latest->mean, sizeof mean);
    assert_int_equal(latest->primed, latest->step - rig->from);
    assert_true(latest->from_network);
    /* Time and season go by the stream, not by the version. */
    assert_memory_equal(latest->times, rig->expected_old[latest->step].times, sizeof latest->times);
}

static void append(struct rig *rig, uint64_t n) {
    fixture_append(rig->history, 77, n);
    fixture_append(rig->all, 77, n);
}

static void arrive_and_check(struct rig *rig, int slot, char arrivals) {
    for (int i = 0; i < arrivals - '0'; i++) {
        if (forecaster_pending(rig->forecaster, slot) == FIXTURE_PENDING)
            advance_and_check(rig, slot);
        append(rig, 1);
        if (forecaster_pending(rig->forecaster, slot) < FIXTURE_PENDING)
            advance_and_check(rig, slot);
    }
}

static void check_course(int batch_size, const struct course *course) {
    struct rig rig = {.switched = 0};
    fixture_init(&rig.fixture, FEATURES);
    rig.fixture.class.history = KEPT;
    rig.fixture.model.batch_size = batch_size;
    const struct config_model *model = &rig.fixture.model;
    int slot = batch_size - 1;
    rig.old = fixture_version(model, OLD, 1);
    rig.new = fixture_version(model, NEW, 2);
    rig.forecaster = forecaster_new(&rig.fixture.class, model, kernels_choose());
    take_over(rig.forecaster, version_acquire(rig.old));
    rig.history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    rig.all = history_new(FEATURES, 1000, FIXTURE_PENDING);
    rig.expected_old = old_alone(&rig.fixture, 77, course->reset, 1000);
    forecaster_acquire(rig.forecaster, slot, rig.history);
    replay_init(&rig.replay, model, kernels_choose(), rig.new, rig.all);

    for (uint64_t step = 1; step <= course->before; step++) {
        append(&rig, 1);
        advance_and_check(&rig, slot);
        reset_at(rig.history, rig.forecaster, slot, course->reset, step);
    }
    append(&rig, course->pending);
    rig.frozen = course->before;
    rig.from = course->before > KEPT ? course->before - KEPT : 0;
    if (course->reset > rig.from)
        rig.from = course->reset;
    memcpy(rig.replay.scalers, forecaster_scalers(rig.forecaster, slot), sizeof *rig.replay.scalers * FEATURES);

    assert_int_equal(forecaster_propose(rig.forecaster, rig.new), 0);
    assert_true(forecaster_taking_over(rig.forecaster));
    assert_int_equal(forecaster_propose(rig.forecaster, rig.new), -1);
    const char *arrivals = course->arrivals;
    int slices = 0;
    while (!forecaster_prime(rig.forecaster)) {
        if (++slices > 1000)
            fail_msg("never done");
        assert_int_equal(forecaster_version(rig.forecaster), OLD);
        arrive_and_check(&rig, slot, *arrivals);
        arrivals = arrivals[1] ? arrivals + 1 : course->arrivals;
    }
    assert_false(forecaster_taking_over(rig.forecaster));
    assert_int_equal(forecaster_version(rig.forecaster), NEW);
    for (int i = 0; i < 20; i++)
        arrive_and_check(&rig, slot, '1');
    assert_true(rig.switched > 0);
    int n;
    const struct takeover *takeovers = forecaster_takeovers(rig.forecaster, &n);
    assert_int_equal(n, 1);
    assert_true(takeovers[0].slot == slot && takeovers[0].version == NEW && takeovers[0].began == rig.frozen &&
                takeovers[0].step == rig.switched - 1);
    forecaster_takeovers(rig.forecaster, &n);
    assert_int_equal(n, 0);

    replay_fini(&rig.replay);
    free(rig.expected_old);
    forecaster_free(rig.forecaster);
    history_free(rig.history);
    history_free(rig.all);
    version_release(rig.old);
    version_release(rig.new);
}

/* Whatever arrives between the slices: what serves afterwards is a fresh replay from the same step. */
static void slices_change_nothing(void **state) {
    (void)state;
    const char *const arrivals[] = {"0", "1", "012", "3", "7", "0005", "61", "700"};
    const uint64_t before[] = {0, 1, 5, 8, 47, 48, 49, 150};
    const int sizes[] = {1, 19};
    for (size_t s = 0; s < 2; s++)
        for (size_t b = 0; b < sizeof before / sizeof *before; b++)
            for (size_t a = 0; a < sizeof arrivals / sizeof *arrivals; a++)
                for (uint64_t pending = 0; pending <= FIXTURE_PENDING - 10; pending += 54) {
                    const struct course course = {before[b], 0, pending, arrivals[a]};
                    check_course(sizes[s], &course);
                }
}

static void replay_begins_at_the_reset(void **state) {
    (void)state;
    const struct course courses[] = {
        {40, 1, 0, "1"},    {40, 30, 0, "012"}, {40, 40, 0, "1"},
        {150, 140, 9, "3"}, {150, 60, 0, "1"}, /* too long ago */
    };
    for (size_t i = 0; i < sizeof courses / sizeof *courses; i++)
        check_course(8, &courses[i]);
}

/* The queue is as full as it may be all the time: the ring must not lose what is still to be replayed. */
static void a_full_queue(void **state) {
    (void)state;
    const struct course courses[] = {{150, 0, FIXTURE_PENDING, "1"}, {150, 0, FIXTURE_PENDING, "7"}};
    for (size_t i = 0; i < 2; i++)
        check_course(8, &courses[i]);
}

/* ---- a replay that is overtaken ------------------------------------------------------------- */

/* Between two slices more arrives than the ring holds: the replay begins anew, and is still exact. */
static void a_burst_between_slices(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.class.history = KEPT;
    const struct config_model *model = &fixture.model;
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, model, kernels_choose());
    struct version *new = fixture_version(model, NEW, 2);
    take_over(forecaster, fixture_version(model, OLD, 1));
    forecaster_acquire(forecaster, 2, history);
    struct saved saved;
    for (int i = 0; i < 100; i++) {
        fixture_append(history, 78, 1);
        advance_one(forecaster, 2, model, &saved);
    }
    assert_int_equal(forecaster_propose(forecaster, new), 0);
    assert_false(forecaster_prime(forecaster));
    for (int i = 0; i < 200; i++) {
        fixture_append(history, 78, 1);
        advance_one(forecaster, 2, model, &saved);
        assert_int_equal(saved.version, OLD);
    }
    struct replay replay;
    replay_init(&replay, model, kernels_choose(), new, history);
    memcpy(replay.scalers, forecaster_scalers(forecaster, 2), sizeof *replay.scalers * FEATURES);
    double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
    for (uint64_t step = 300 - KEPT + 1; step <= 300; step++)
        replay_step(&replay, step, mean);
    while (!forecaster_prime(forecaster))
        ;
    fixture_append(history, 78, 1);
    advance_one(forecaster, 2, model, &saved);
    replay_see(&replay, 301);
    replay_step(&replay, 301, mean);
    assert_int_equal(saved.version, NEW);
    assert_int_equal(saved.primed, KEPT + 1);
    assert_memory_equal(mean, saved.mean, sizeof mean);
    replay_fini(&replay);
    version_release(new);
    forecaster_free(forecaster);
    history_free(history);
}

/* ---- many slots ----------------------------------------------------------------------------- */

enum { SLOTS = 16, STEPS = 300 };

struct slot {
    uint64_t seed;
    uint64_t switched; /* the first step under the new version; 0: none yet */
    uint64_t reset;    /* the step of the reset, which came during the takeover; 0: none */
    struct history *history;
    struct saved saved[STEPS + 1];
};

/* Whether the slot's forecasts under the new version are those of a replay from `from` with scalers held until
 * `frozen`. Its history must hold all steps. */
static bool agrees(const struct fixture *fixture, const struct version *new, const struct slot *slot, uint64_t from,
                   uint64_t frozen) {
    struct replay replay;
    bool same = true;
    replay_init(&replay, &fixture->model, kernels_choose(), new, slot->history);
    for (uint64_t step = 1; step <= frozen; step++)
        replay_see(&replay, step);
    for (uint64_t step = from + 1; step <= slot->history->n && same; step++) {
        double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
        if (step > frozen)
            replay_see(&replay, step);
        replay_step(&replay, step, mean);
        if (step >= slot->switched)
            same = memcmp(mean, slot->saved[step].mean, sizeof mean) == 0 && slot->saved[step].primed == step - from;
    }
    replay_fini(&replay);
    return same;
}

/* The replay began at one of the steps from `earliest` to the switch: which one, the test cannot know. */
static void check_slot(const struct fixture *fixture, const struct version *new, const struct slot *slot,
                       uint64_t earliest) {
    uint64_t n = slot->history->n;
    assert_true(slot->switched > 0);
    for (uint64_t step = 1; step <= n; step++)
        assert_int_equal(slot->saved[step].version, step < slot->switched ? OLD : NEW);
    for (uint64_t frozen = earliest; frozen < slot->switched; frozen++)
        if (agrees(fixture, new, slot, slot->reset, frozen))
            return;
    fail_msg("stream %d: no replay gives what was served from step %d of %d on", (int)slot->seed, (int)slot->switched,
             (int)n);
}

static void advance_slot(struct forecaster *forecaster, const struct fixture *fixture, struct slot *slot, int at) {
    struct saved saved;
    advance_one(forecaster, at, &fixture->model, &saved);
    slot->saved[saved.step] = saved;
    if (saved.version == NEW && slot->switched == 0)
        slot->switched = saved.step;
}

/* Streams of different lengths, random arrivals; some are reset, some end, some come, all during the takeover. */
static void check_many(uint64_t seed) {
    static struct slot slots[SLOTS];
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.class.history = STEPS;
    fixture.model.batch_size = SLOTS;
    struct rng rng = {seed};
    struct version *new = fixture_version(&fixture.model, NEW, 2);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    take_over(forecaster, fixture_version(&fixture.model, OLD, 1));
    uint64_t proposed[SLOTS] = {0};
    memset(slots, 0, sizeof slots);
    for (int at = 0; at < SLOTS - 2; at++) { /* two are free */
        slots[at].seed = 1000 + (uint64_t)at;
        slots[at].history = history_new(FEATURES, STEPS, FIXTURE_PENDING);
        forecaster_acquire(forecaster, at, slots[at].history);
        uint64_t length = rng_below(&rng, 120);
        for (uint64_t i = 0; i < length; i++) {
            fixture_append(slots[at].history, slots[at].seed, 1);
            advance_slot(forecaster, &fixture, &slots[at], at);
        }
        proposed[at] = length;
    }
    assert_int_equal(forecaster_propose(forecaster, new), 0);
    for (int slice = 0; !forecaster_prime(forecaster); slice++) {
        assert_true(slice < 1000);
        for (int at = 0; at < SLOTS; at++) {
            struct slot *slot = &slots[at];
            if (slot->history == NULL && rng_below(&rng, 8) == 0) { /* one comes */
                slot->seed = 2000 + (uint64_t)at;
                slot->history = history_new(FEATURES, STEPS, FIXTURE_PENDING);
                forecaster_acquire(forecaster, at, slot->history);
            }
            if (slot->history == NULL)
                continue;
            for (uint64_t n = rng_below(&rng, 3); n > 0 && slot->history->n < 200; n--) {
                fixture_append(slot->history, slot->seed, 1);
                if (rng_below(&rng, 4) > 0) /* else it waits */
                    advance_slot(forecaster, &fixture, slot, at);
            }
            while (forecaster_pending(forecaster, at) > 40)
                advance_slot(forecaster, &fixture, slot, at);
            bool idle = forecaster_pending(forecaster, at) == 0;
            if (idle && slot->switched == 0 && slot->reset == 0 && rng_below(&rng, 12) == 0) {
                history_reset(slot->history);
                forecaster_reset(forecaster, at);
                slot->reset = slot->history->n;
            } else if (idle && rng_below(&rng, 40) == 0) { /* one ends */
                forecaster_release(forecaster, at);
                history_free(slot->history);
                memset(slot, 0, sizeof *slot);
                proposed[at] = 0;
            }
        }
    }
    for (int at = 0; at < SLOTS; at++) {
        struct slot *slot = &slots[at];
        if (slot->history == NULL)
            continue;
        fixture_append(slot->history, slot->seed, 20);
        while (forecaster_pending(forecaster, at) > 0)
            advance_slot(forecaster, &fixture, slot, at);
        /* A slot that was reset, or came, has nothing to replay. */
        bool at_once = slot->reset > 0 || slot->seed >= 2000;
        if (at_once)
            assert_int_equal(slot->switched, slot->reset + 1);
        check_slot(&fixture, new, slot, at_once ? slot->reset : proposed[at]);
        forecaster_release(forecaster, at);
        history_free(slot->history);
    }
    forecaster_free(forecaster);
    version_release(new);
}

static void many_slots(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        check_many(seed);
}

/* ---- small things --------------------------------------------------------------------------- */

static void without_streams_it_is_done_at_once(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    struct version *version = fixture_version(&fixture.model, 12, 1);
    assert_false(forecaster_taking_over(forecaster));
    assert_int_equal(forecaster_propose(forecaster, version), 0);
    version_release(version);
    assert_int_equal(forecaster_version(forecaster), 0);
    assert_true(forecaster_prime(forecaster));
    assert_int_equal(forecaster_version(forecaster), 12);
    forecaster_free(forecaster);
}

/* One version after another, with networks of other sizes than before, as the workspace and the states must
 * follow. */
static void version_after_version(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    forecaster_acquire(forecaster, 1, history);
    const int units[] = {3, 40, 1, 64, 7};
    for (uint64_t v = 0; v < 5; v++) {
        struct config_model model = fixture.model;
        struct layer_spec layers[] = {LSTM(units[v]), LSTM(2)};
        model.layers = layers;
        take_over(forecaster, fixture_version(&model, 10 + v, v));
        for (int i = 0; i < 30; i++) {
            struct saved saved;
            fixture_append(history, 3, 1);
            advance_one(forecaster, 1, &fixture.model, &saved);
            assert_true(saved.version == 10 + v && saved.from_network);
            uint64_t replayed = 30 * v < KEPT ? 30 * v : KEPT;
            assert_int_equal(saved.primed, replayed + (uint64_t)i + 1);
        }
    }
    forecaster_free(forecaster);
    history_free(history);
}

/* It may be freed in the middle. */
/* Where nothing beats the baseline, it takes over as a version without a network, and gives way again. */
static void a_version_without_a_network(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    for (int windowed = 0; windowed < 2; windowed++) {
        struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
        fixture.model.mode = windowed ? MODEL_WINDOWED : MODEL_STATEFUL;
        fixture.model.window = windowed ? 6 : 1;
        struct forecaster *alone = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
        struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
        forecaster_acquire(forecaster, 1, history);
        forecaster_acquire(alone, 1, history);
        for (uint64_t v = 1; v <= 3; v++) {
            take_over(forecaster, v == 2 ? version_new(v, NULL) : fixture_version(&fixture.model, v, v));
            for (int i = 0; i < 30; i++) {
                struct saved saved, baseline;
                fixture_append(history, 3, 1);
                advance_one(forecaster, 1, &fixture.model, &saved);
                advance_one(alone, 1, &fixture.model, &baseline);
                assert_true(saved.version == v);
                assert_true(saved.from_network == (v != 2) || (windowed && i < 6));
                if (v != 2)
                    continue;
                assert_memory_equal(saved.mean, baseline.mean, sizeof saved.mean);
                assert_true(saved.primed == 0 && !saved.warming);
                struct slot_state held = forecaster_state(forecaster, 1);
                assert_true(held.n == 0 && version_number(held.version) == 2);
            }
            forecaster_reset(forecaster, 1);
            forecaster_reset(alone, 1);
        }
        assert_true(forecaster_version(forecaster) == 3);
        forecaster_free(forecaster);
        forecaster_free(alone);
        history_free(history);
    }
}

/* ---- what it costs ------------------------------------------------------------------------------ */

enum { COST_SLOTS = 64, COST_STEPS = 1500 };

struct costs {
    int n;
    double ns[COST_STEPS]; /* or shares of such */
};

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(struct costs *costs, double share) {
    assert_true(costs->n > 10);
    qsort(costs->ns, (size_t)costs->n, sizeof *costs->ns, by_size);
    return costs->ns[(int)(share * (costs->n - 1))];
}

static double thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

/* While versions take over, one after the other, an advance takes no longer than twice what it usually does, and so
 * does the slice of a replay between two advances; also with a version in the shadow. Processor time of the thread,
 * each beside an advance of a twin to whom nothing happens, as the machine may have other work. */
static void neither_advance_nor_slice_is_long(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    fixture.class.history = 512;
    fixture.model.batch_size = COST_SLOTS;
    fixture.layers[0] = (struct layer_spec)LSTM(32);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    struct forecaster *twin = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    take_over(forecaster, fixture_version(&fixture.model, 1, 1));
    take_over(twin, fixture_version(&fixture.model, 1, 1));
    struct history *histories[COST_SLOTS];
    int slots[COST_SLOTS];
    for (int s = 0; s < COST_SLOTS; s++) {
        slots[s] = s;
        histories[s] = history_new(FEATURES, 512, FIXTURE_PENDING);
        forecaster_acquire(forecaster, s, histories[s]);
        forecaster_acquire(twin, s, histories[s]);
    }
    static struct costs twins, usual, during, slices, shadows;
    struct shadow_losses losses = {0};
    uint64_t version = 2;
    for (int step = 0; step < COST_STEPS; step++) {
        for (int s = 0; s < COST_SLOTS; s++)
            fixture_append(histories[s], (uint64_t)s, 1);
        bool taking_over = forecaster_taking_over(forecaster), shadow = forecaster_has_shadow(forecaster);
        double began = thread_ns();
        forecaster_advance(twin, slots, COST_SLOTS);
        double beside = thread_ns() - began;
        forecaster_advance(forecaster, slots, COST_SLOTS);
        double took = thread_ns() - began - beside;
        if (step >= 600) { /* a history is there */
            struct costs *costs = taking_over ? &during : shadow ? &shadows : &usual;
            costs->ns[costs->n++] = took / beside;
            twins.ns[twins.n++] = beside;
        }
        began = thread_ns();
        if (taking_over) {
            forecaster_prime(forecaster);
            slices.ns[slices.n++] = (thread_ns() - began) / beside;
        } else if (step >= 600 && step % 100 == 0) { /* a version in turn takes over or runs in the shadow */
            struct version *next = fixture_version(&fixture.model, version, version);
            forecaster_end_shadow(forecaster);
            if (version++ % 2 == 0)
                assert_int_equal(forecaster_shadow(forecaster, next, &losses), 0);
            else
                assert_int_equal(forecaster_propose(forecaster, next), 0);
            version_release(next);
        }
        while (!forecaster_prime_shadow(forecaster)) /* it costs nothing before it runs along */
            ;
    }
    print_message(
        "an advance takes %.0f us, %.2f of a twin's; %.2f in takeovers (%d), a slice %.2f, with a shadow %.2f\n",
        quantile(&twins, 0.5) / 1000, quantile(&usual, 0.5), quantile(&during, 0.5), during.n, quantile(&slices, 0.5),
        quantile(&shadows, 0.5));
    assert_true(quantile(&during, 0.5) < 2 && quantile(&slices, 0.5) < 2 && quantile(&shadows, 0.5) < 3);
    forecaster_free(forecaster);
    forecaster_free(twin);
    for (int s = 0; s < COST_SLOTS; s++)
        history_free(histories[s]);
}

static void freed_in_the_middle(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    struct version *version = fixture_version(&fixture.model, 1, 1);
    forecaster_acquire(forecaster, 0, history);
    fixture_append(history, 1, 40);
    for (int i = 0; i < 40; i++)
        forecaster_advance(forecaster, &(int){0}, 1);
    assert_int_equal(forecaster_propose(forecaster, version), 0);
    forecaster_prime(forecaster);
    forecaster_free(forecaster);
    version_release(version);
    history_free(history);
    forecaster_free(NULL);
}

/* One that shares the workspace has taken over meanwhile: each is told of its own, once. */
static void each_is_told_of_its_own(void **state) {
    (void)state;
    struct fixture fixture;
    struct forecaster *forecasters[2];
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    int n;
    fixture_init(&fixture, FEATURES);
    fixture.model.batch_size = 2;
    struct version *version = fixture_version(&fixture.model, NEW, 2);
    struct workspace *workspace = workspace_new(&fixture.model, kernels_choose());
    for (int i = 0; i < 2; i++) {
        forecasters[i] = forecaster_new_sharing(&fixture.class, &fixture.model, kernels_choose(), workspace);
        take_over(forecasters[i], version_acquire(version));
    }
    fixture_append(history, 77, 5);
    forecaster_acquire(forecasters[0], 1, history);
    forecaster_takeovers(forecasters[1], &n);
    assert_int_equal(n, 0);
    const struct takeover *takeovers = forecaster_takeovers(forecasters[0], &n);
    assert_int_equal(n, 1);
    assert_int_equal(takeovers->slot, 1);
    assert_int_equal(takeovers->version, NEW);
    assert_int_equal(takeovers->began, 5);
    assert_int_equal(takeovers->step, 5);
    forecaster_takeovers(forecasters[0], &n);
    assert_int_equal(n, 0);
    forecaster_acquire(forecasters[1], 0, history);
    takeovers = forecaster_takeovers(forecasters[1], &n);
    assert_int_equal(n, 1);
    assert_int_equal(takeovers->slot, 0);
    for (int i = 0; i < 2; i++)
        forecaster_free(forecasters[i]);
    workspace_free(workspace);
    version_release(version);
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_change_nothing),
        cmocka_unit_test(replay_begins_at_the_reset),
        cmocka_unit_test(a_full_queue),
        cmocka_unit_test(a_burst_between_slices),
        cmocka_unit_test(many_slots),
        cmocka_unit_test(without_streams_it_is_done_at_once),
        cmocka_unit_test(version_after_version),
        cmocka_unit_test(a_version_without_a_network),
        cmocka_unit_test(neither_advance_nor_slice_is_long),
        cmocka_unit_test(freed_in_the_middle),
        cmocka_unit_test(each_is_told_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
