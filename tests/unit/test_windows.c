#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "engine/windows.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct scaler unscaled[FIXTURE_FEATURES];

/* A stream whose value at each step is the number of the step: a window shows by its values which it is. */
static struct history *counting(int kept, uint64_t n, uint64_t reset) {
    struct history *history = history_new(1, kept, FIXTURE_PENDING);
    for (uint64_t step = 1; step <= n; step++) {
        double value = (double)step;
        history_append(history, (int64_t)step, &value, false);
        if (step == reset)
            history_reset(history);
    }
    return history;
}

static void counting_fixture(struct fixture *fixture) {
    fixture_init(fixture, 1);
    fixture->model.scaler = SCALER_NONE;
    fixture->model.horizon = 4;
}

static bool collect(struct windows *windows, const struct config_model *model, const char *stream,
                    const struct history *history, uint64_t seen) {
    struct windows_cursor cursor;
    if (!windows_begin(&cursor, model, stream, history, seen))
        return false;
    while (windows_copy(windows, &cursor, history, unscaled))
        ;
    return true;
}

static uint64_t first_of(const struct window *window) {
    return (uint64_t)window->x[0];
}

static uint64_t last_of(const struct window *window) {
    return (uint64_t)window->x[window->n - 1];
}

/* The windows of a set, those for validation first, then the newest. Freed by the caller. */
static int compare(const void *a, const void *b) {
    const struct window *one = *(const struct window *const *)a, *other = *(const struct window *const *)b;
    if (one->validation != other->validation)
        return one->validation ? -1 : 1;
    return one->last > other->last ? -1 : one->last < other->last;
}

static const struct window **sorted(const struct windows *windows) {
    size_t n = (size_t)windows_count(windows);
    const struct window **list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = windows_at(windows, (int)i);
    qsort(list, n, sizeof *list, compare);
    return list;
}

/* ---- which steps ---------------------------------------------------------------------------- */

struct course {
    int kept, window, burn_in, horizon, period;
    double validation;
    uint64_t n, seen, reset; /* steps that there are, that the model has seen, and before the latest reset */
};

/* A window is a run of consecutive steps, and its targets are those of the same steps. */
static void check_run(const struct window *window, const struct course *course) {
    assert_in_range(window->n, course->burn_in + course->horizon + 1, 1 << 20);
    for (int i = 0; i < window->n; i++) {
        assert_true(window->x[i] == window->x[0] + (float)i);
        assert_true(window->z[i] == window->x[i] && window->base[i] == window->x[i]);
    }
    assert_in_range(window->score_from, 0, window->n - course->horizon - 1); /* there is an origin */
}

static void check_course(const struct course *course) {
    struct fixture fixture;
    counting_fixture(&fixture);
    struct config_model *model = &fixture.model;
    model->horizon = course->horizon;
    model->period = course->period;
    model->training.window = course->window;
    model->training.burn_in = course->burn_in;
    model->training.validation = course->validation;
    struct history *history = counting(course->kept, course->n, course->reset);
    struct windows *windows = windows_new(model, 10000, 1, 1);

    uint64_t oldest = course->seen > (uint64_t)course->kept ? course->seen - (uint64_t)course->kept + 1 : 1;
    oldest = course->reset + 1 > oldest ? course->reset + 1 : oldest;
    uint64_t held_back = (uint64_t)ceil((double)(course->seen + 1 - oldest) * course->validation);
    uint64_t split = course->seen - held_back;
    /* What judges is copied in one go, so it is bounded: sixteen windows. */
    uint64_t most = 16 * (uint64_t)(course->window + course->horizon),
             judged = held_back > most ? course->seen - most : split;
    assert_true(collect(windows, model, "a", history, course->seen));

    int validations = 0;
    uint64_t end_before = 0, covered_from = UINT64_MAX;
    const struct window **list = sorted(windows);
    for (int i = 0; i < windows_count(windows); i++) {
        const struct window *window = list[i];
        check_run(window, course);
        assert_int_equal(window->last, last_of(window));
        assert_int_equal(window->age, course->seen - window->last);
        assert_true(first_of(window) >= oldest);
        uint64_t first_origin = first_of(window) + (uint64_t)window->score_from;
        if (window->validation) {
            validations++;
            assert_int_equal(last_of(window), course->seen);
            assert_int_equal(first_origin, judged); /* its first answer is the next step */
            uint64_t context =
                (uint64_t)(course->period + course->horizon > course->window ? course->period + course->horizon
                                                                             : course->window);
            assert_true(first_of(window) == oldest || first_of(window) + context <= judged);
            assert_true(window->score_from >= course->burn_in);
            continue;
        }
        assert_true(last_of(window) + (uint64_t)course->horizon <= split);
        assert_true(window->n <= course->window + course->horizon);
        assert_true(window->n == course->window + course->horizon || first_of(window) == oldest);
        assert_int_equal(window->score_from, first_of(window) == course->reset + 1 ? 0 : course->burn_in);
        if (end_before > 0)
            assert_int_equal(last_of(window), end_before - (uint64_t)(course->window > 3 ? course->window / 2 : 1));
        else
            assert_true(last_of(window) + (uint64_t)(course->window / 2 + course->horizon) >= split);
        end_before = last_of(window);
        covered_from = first_of(window) < covered_from ? first_of(window) : covered_from;
    }
    free(list);
    assert_int_equal(validations, 1);
    assert_true(end_before > 0);
    assert_true(covered_from <= oldest + (uint64_t)(course->window / 2 + course->horizon + course->burn_in + 1));
    assert_int_equal(windows_left_out(windows), 0);
    windows_free(windows);
    history_free(history);
}

static void which_steps(void **state) {
    (void)state;
    const struct course courses[] = {
        {200, 20, 4, 4, 0, 0.2, 100, 100, 0},         {200, 20, 4, 4, 0, 0.2, 200, 200, 0},
        {200, 20, 4, 4, 0, 0.2, 263, 200, 0},         {200, 20, 4, 4, 0, 0.2, 500, 500, 0},
        {200, 20, 4, 4, 0, 0.2, 564, 500, 0},         {200, 20, 4, 4, 50, 0.2, 500, 500, 0},
        {200, 20, 4, 4, 50, 0.5, 500, 500, 0},        {200, 20, 4, 4, 0, 0.2, 150, 150, 70},
        {200, 20, 4, 4, 0, 0.2, 500, 500, 450},       {200, 20, 4, 4, 0, 0.2, 500, 500, 290},
        {200, 2, 0, 1, 0, 0.01, 500, 500, 0},         {200, 3, 1, 1, 0, 0.9, 500, 500, 0},
        {64, 64, 40, 1, 0, 0.1, 190, 130, 0}, /* no window is as long as it should be */
        {1024, 128, 16, 12, 300, 0.2, 3000, 2990, 0},
    };
    for (size_t i = 0; i < sizeof courses / sizeof *courses; i++)
        check_course(&courses[i]);
    /* A stream as it grows. */
    for (uint64_t n = 30; n < 400; n++) {
        const struct course course = {200, 20, 4, 4, 0, 0.25, n, n, 0};
        check_course(&course);
    }
}

static void too_few_steps(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    struct config_model *model = &fixture.model;
    model->training.burn_in = 4;
    model->training.validation = 0.5;
    int begun = 0;
    assert_int_equal(windows_fewest_steps(model), 26);
    for (uint64_t n = 0; n < 40; n++)
        for (uint64_t reset = 0; reset <= n; reset += 7) {
            struct history *history = counting(48, n, reset);
            struct windows *windows = windows_new(model, 10, 1, 1);
            /* 9 for a training window, an embargo of 4, and more than the horizon behind the split. */
            bool enough = n - reset >= windows_fewest_steps(model);
            assert_int_equal(collect(windows, model, "a", history, n), enough);
            assert_int_equal(windows_count(windows) >= 2, enough);
            begun += enough;
            windows_free(windows);
            history_free(history);
        }
    assert_true(begun > 0);
    /* Enough for training, but no forecast whose answers lie behind the split. */
    model->training.validation = 0.1;
    struct history *history = counting(48, 40, 0);
    struct windows_cursor cursor;
    assert_false(windows_begin(&cursor, model, "a", history, 40));
    history_free(history);
}

/* What is behind the split is marked: no training window may hold a mark, as input, answer or base. */
static void nothing_leaks_into_training(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    struct config_model *model = &fixture.model;
    model->scaler = SCALER_NONE;
    for (uint64_t n = 60; n < 130; n++) {
        struct history *history = history_new(2, 100, FIXTURE_PENDING);
        uint64_t steps = n < 100 ? n : 100, split = n - (uint64_t)ceil((double)steps * 0.25);
        for (uint64_t step = 1; step <= n; step++) {
            const double usual[] = {1, step % 3 ? 2 : NAN}, marked[] = {777, 777};
            history_append(history, (int64_t)step, step > split ? marked : usual, false);
        }
        struct windows *windows = windows_new(model, 100, 1, 1);
        assert_true(collect(windows, model, "a", history, n));
        for (int i = 0; i < windows_count(windows); i++) {
            const struct window *window = windows_at(windows, i);
            for (int at = 0; at < 2 * window->n; at++) {
                bool mark = window->x[at] == 777 || window->z[at] == 777 || window->base[at] == 777;
                assert_int_equal(mark, window->validation && at / 2 > window->score_from);
            }
        }
        windows_free(windows);
        history_free(history);
    }
}

/* ---- which windows -------------------------------------------------------------------------- */

enum { LONGEST = 400, STREAMS = 40, PLACES = 64 };

/* taken[end]: whether the training window that ends there is taken; [0]: the validation window. */
static void taken_at(const struct config_model *model, const char *stream, uint64_t n, bool taken[LONGEST]) {
    struct history *history = counting(1000, n, 0);
    struct windows *windows = windows_new(model, 1000, 1, 1000);
    memset(taken, 0, LONGEST * sizeof *taken);
    collect(windows, model, stream, history, n);
    for (int i = 0; i < windows_count(windows); i++) {
        const struct window *window = windows_at(windows, i);
        taken[window->validation ? 0 : last_of(window)] = true;
    }
    windows_free(windows);
    history_free(history);
}

/* As a stream lives on its windows stay where they are. */
static void ends_stay(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    for (int s = 0; s < 10; s++) {
        char name[16];
        bool taken[LONGEST], later[LONGEST];
        snprintf(name, sizeof name, "stream-%d", s);
        taken_at(&fixture.model, name, 200, taken);
        taken_at(&fixture.model, name, 390, later);
        for (int end = 1; end < LONGEST; end++)
            assert_true(later[end] || !taken[end]);
    }
}

/* Streams of which every fourth is long, on n_sets sets as if each were a worker's, in an order of their own. */
static void fill_sets(const struct config_model *model, struct windows **sets, int n_sets, int first) {
    for (int i = 0; i < n_sets; i++)
        sets[i] = windows_new(model, PLACES, STREAMS, 800);
    for (int i = 0; i < STREAMS; i++) {
        int s = (first + 7 * i) % STREAMS;
        char name[16];
        struct history *history = counting(800, s % 4 == 0 ? 800 : 120, 0);
        snprintf(name, sizeof name, "%d", s);
        collect(sets[s % n_sets], model, name, history, history->n);
        history_free(history);
    }
}

static void free_sets(struct windows **sets, int n_sets) {
    for (int i = 0; i < n_sets; i++)
        windows_free(sets[i]);
}

/* One set or four, in one order or another: the same windows, in the same order. */
static void the_choice_is_by_seed_stream_and_step(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    struct config_model *model = &fixture.model;
    for (int validation = 0; validation < 2; validation++) {
        struct windows *one[1], *four[4], *other[1];
        const struct window **a, **b, **c;
        int n_a, n_b, n_c, same = 0;
        model->seed = 7;
        fill_sets(model, one, 1, 0);
        fill_sets(model, four, 4, 13);
        model->seed = 8;
        fill_sets(model, other, 1, 0);
        assert_int_equal(windows_choose(one, 1, validation, &a, &n_a), 0);
        assert_int_equal(windows_choose(four, 4, validation, &b, &n_b), 0);
        assert_int_equal(windows_choose(other, 1, validation, &c, &n_c), 0);
        assert_int_equal(n_a, validation ? PLACES / 4 : PLACES * 3 / 4);
        assert_true(n_b == n_a && n_c == n_a);
        for (int i = 0; i < n_a; i++) {
            assert_true(a[i]->stream == b[i]->stream && a[i]->last == b[i]->last && a[i]->n == b[i]->n);
            assert_memory_equal(a[i]->x, b[i]->x, (size_t)a[i]->n * sizeof(float));
            same += a[i]->n == c[i]->n && a[i]->last == c[i]->last;
        }
        assert_true(same < n_a);
        free(a);
        free(b);
        free(c);
        free_sets(one, 1);
        free_sets(four, 4);
        free_sets(other, 1);
    }
}

static int by_key(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of all windows that there are, a set holds those with the lowest keys. */
static void the_lowest_keys_are_kept(void **state) {
    (void)state;
    enum { MANY = 4096 };
    static double keys[2][MANY];
    struct fixture fixture;
    counting_fixture(&fixture);
    struct windows *set[1];
    int n[2] = {0};
    fill_sets(&fixture.model, set, 1, 5);
    for (int s = 0; s < STREAMS; s++) {
        char name[16];
        struct windows *all = windows_new(&fixture.model, MANY, 1, 800);
        struct history *history = counting(800, s % 4 == 0 ? 800 : 120, 0);
        snprintf(name, sizeof name, "%d", s);
        collect(all, &fixture.model, name, history, history->n);
        for (int i = 0; i < windows_count(all); i++) {
            const struct window *window = windows_at(all, i);
            keys[window->validation][n[window->validation]++] = window->key;
        }
        windows_free(all);
        history_free(history);
    }
    for (int validation = 0; validation < 2; validation++) {
        const struct window **list;
        int n_list;
        qsort(keys[validation], (size_t)n[validation], sizeof(double), by_key);
        assert_int_equal(windows_choose(set, 1, validation, &list, &n_list), 0);
        assert_true(n_list > 0 && n[validation] > n_list);
        for (int i = 0; i < n_list; i++)
            assert_true(list[i]->key == keys[validation][i]);
        free(list);
    }
    free_sets(set, 1);
}

/* Ten streams have thirty windows each and thirty have four: of places for a sixth, each stream has about as many;
 * and of the long ones' windows most are of the newer half. */
static void it_is_fair_and_forgets(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    int of_long = 0, of_short = 0, newer = 0, rounds = 50;
    for (int round = 0; round < rounds; round++) {
        struct windows *set[1];
        const struct window **list;
        int n;
        fixture.model.seed = (uint64_t)round;
        fill_sets(&fixture.model, set, 1, round);
        assert_int_equal(windows_choose(set, 1, false, &list, &n), 0);
        for (int i = 0; i < n; i++) {
            bool is_long = list[i]->last > 120 || list[i]->age > 120;
            of_long += is_long;
            of_short += !is_long;
            newer += is_long && list[i]->last > 300;
        }
        free(list);
        free_sets(set, 1);
    }
    double each_long = of_long / (10.0 * rounds), each_short = of_short / (30.0 * rounds);
    assert_true(each_long < 1.35 * each_short && each_short < 1.35 * each_long);
    /* Weights 2^(-2 age / 800) over ages 0 to 600: the newer half has 0.63 of them. */
    assert_in_range(newer, of_long * 55 / 100, of_long * 70 / 100);
}

/* Streams that live in step with each other do not all end their windows at the same steps. */
static void ends_are_spread(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    int stride = fixture.model.training.window / 2, different = 0;
    bool offsets[LONGEST] = {false};
    for (int s = 0; s < 200; s++) {
        char name[16];
        bool taken[LONGEST];
        int end = LONGEST - 1;
        snprintf(name, sizeof name, "%d", s);
        taken_at(&fixture.model, name, 390, taken);
        while (!taken[end])
            end--;
        different += !offsets[end % stride];
        offsets[end % stride] = true;
    }
    assert_int_equal(different, stride);
}

static void count_kinds(const struct windows *windows, int *ret_training, int *ret_validation) {
    *ret_training = *ret_validation = 0;
    for (int i = 0; i < windows_count(windows); i++)
        ++*(windows_at(windows, i)->validation ? ret_validation : ret_training);
}

/* However many streams there are, the set is full and no fuller, and little is copied in vain. */
static void the_reservoir_is_bounded(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    struct config_model *model = &fixture.model;
    enum { MAX = 200, KEPT = 300 };
    struct history *history = counting(KEPT, KEPT, 0);
    for (int streams = 1; streams <= 4096; streams *= 4) {
        struct windows *windows = windows_new(model, MAX, streams, KEPT);
        int training, validation, all = 0;
        for (int s = 0; s < streams; s++) {
            char name[16];
            snprintf(name, sizeof name, "%d", s);
            struct windows *own = windows_new(model, MAX, 1, KEPT);
            collect(own, model, name, history, KEPT);
            all += windows_count(own);
            windows_free(own);
            collect(windows, model, name, history, KEPT);
        }
        count_kinds(windows, &training, &validation);
        assert_in_range(training + validation, all < MAX ? all : MAX * 3 / 4, MAX);
        assert_int_equal(validation, streams < MAX / 4 ? streams : MAX / 4);
        assert_true(windows_copied(windows) <= 3 * MAX);
        windows_free(windows);
    }
    history_free(history);
}

/* Few streams with so long a history that a part of the windows must do: without any for validation, nothing that was
 * trained could ever be judged. */
static void there_is_always_something_to_judge_by(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    struct config_model *model = &fixture.model;
    enum { MAX = 16, KEPT = 2000 };
    struct history *history = counting(KEPT, KEPT, 0);
    for (uint64_t seed = 0; seed < 20; seed++) {
        int training, validation;
        model->seed = seed;
        struct windows *windows = windows_new(model, MAX, 1, KEPT);
        collect(windows, model, "the only one", history, KEPT);
        count_kinds(windows, &training, &validation);
        assert_int_equal(validation, 1);
        assert_true(training > 0);
        windows_free(windows);
    }
    history_free(history);
}

/* ---- copying -------------------------------------------------------------------------------- */

static void what_does_not_fit_is_counted(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    struct history *history = counting(200, 200, 0);
    struct windows *all = windows_new(&fixture.model, 100, 1, 200), *few = windows_new(&fixture.model, 3, 1, 10);
    collect(all, &fixture.model, "a", history, 200);
    collect(few, &fixture.model, "a", history, 200);
    assert_int_equal(windows_left_out(all), 0);
    assert_int_equal(windows_count(few), 3);
    assert_int_equal(windows_left_out(few), windows_count(all) - 3);
    const struct window **chosen;
    int n;
    assert_int_equal(windows_choose(&all, 1, false, &chosen, &n), 0);
    assert_int_equal(n, windows_count(all) - 1);
    assert_true(windows_at(few, 0)->validation);
    for (int i = 1; i < 3; i++) /* the two with the lowest keys */
        assert_true(windows_at(few, i)->last == chosen[0]->last || windows_at(few, i)->last == chosen[1]->last);
    free(chosen);
    windows_free(all);
    windows_free(few);
    windows_free(NULL);
    history_free(history);
}

/* The stream goes on between the calls; what was begun is copied as it stood, or not at all. */
static void the_ring_moves_on(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    struct config_model *model = &fixture.model;
    for (int each = 0; each <= 40; each += 5) {
        struct history *history = counting(200, 300, 0), *still = counting(200, 300, 0);
        struct windows *moving = windows_new(model, 100, 1, 1), *standing = windows_new(model, 100, 1, 1);
        struct windows_cursor cursor;
        collect(standing, model, "a", still, 300);
        assert_true(windows_begin(&cursor, model, "a", history, 300));
        while (windows_copy(moving, &cursor, history, unscaled))
            for (int i = 0; i < each; i++) {
                double value = (double)history->n + 1;
                history_append(history, (int64_t)history->n, &value, false);
            }
        int n = windows_count(moving);
        const struct window **moved = sorted(moving), **stood = sorted(standing);
        assert_true(each > 0 ? n >= 64 / each + 1 || n == windows_count(standing) : n == windows_count(standing));
        for (int i = 0; i < n; i++) {
            assert_int_equal(moved[i]->n, stood[i]->n);
            assert_memory_equal(moved[i]->x, stood[i]->x, (size_t)moved[i]->n * sizeof(float));
        }
        free(moved);
        free(stood);
        windows_free(moving);
        windows_free(standing);
        history_free(history);
        history_free(still);
    }
}

static bool same(float a, float b) {
    return a == b || (isnan(a) && isnan(b));
}

/* Scaled as when serving; answers are not clipped, and missing ones are NaN while base has the value before. */
static void scaled_values(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    struct config_model *model = &fixture.model;
    fixture.inputs[0] = 1;
    fixture.inputs[1] = 2;
    model->n_inputs = 2; /* 1, 2; targets 0, 2 */
    const struct scaler scalers[] = {{10, 4, 100}, {20, 25, 100}, {0, 0, 0}};
    struct history *history = history_new(3, 100, FIXTURE_PENDING);
    double values[60][3], last = NAN;
    struct rng rng = {1};
    for (int i = 0; i < 60; i++) {
        values[i][0] = i < 3 || rng_below(&rng, 3) == 0 ? NAN : 10 + 100 * rng_normal(&rng);
        values[i][1] = 20 + 100 * rng_normal(&rng);
        values[i][2] = NAN;                                 /* never seen */
        history_append(history, i, values[i], i % 10 == 0); /* gaps are no borders: the state goes on over them */
    }
    struct windows *windows = windows_new(model, 100, 1, 1);
    struct windows_cursor cursor;
    assert_true(windows_begin(&cursor, model, "a", history, 60));
    while (windows_copy(windows, &cursor, history, scalers))
        ;
    for (int w = 0; w < windows_count(windows); w++) {
        const struct window *window = windows_at(windows, w);
        int first = 0; /* found by what is not clipped */
        while (!same(window->x[0], scaler_scale(SCALER_STANDARD, &scalers[1], values[first][1])) ||
               !same(window->x[2], scaler_scale(SCALER_STANDARD, &scalers[1], values[first + 1][1])) ||
               !same(window->x[4], scaler_scale(SCALER_STANDARD, &scalers[1], values[first + 2][1])))
            first++;
        for (int i = 0; i < first; i++)
            last = isnan(values[i][0]) ? last : values[i][0];
        for (int i = 0; i < window->n; i++) {
            const double *v = values[first + i];
            last = isnan(v[0]) ? last : v[0];
            assert_true(same(window->x[2 * i], scaler_scale(SCALER_STANDARD, &scalers[1], v[1])));
            assert_true(window->x[2 * i + 1] == 0);
            assert_true(same(window->z[2 * i], (float)((v[0] - 10) / 2)));
            assert_true(same(window->base[2 * i], (float)((last - 10) / 2)));
            assert_true(isnan(window->z[2 * i + 1]) && isnan(window->base[2 * i + 1]));
        }
        last = NAN;
    }
    assert_true(windows_count(windows) > 2);
    windows_free(windows);
    history_free(history);
}

/* What no float holds is no answer: one infinite error would be the mean of all. */
static void answers_out_of_range_are_missing(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct history *history = history_new(1, 100, FIXTURE_PENDING);
    const struct scaler scaler = {0, 1, 100};
    for (int i = 0; i < 60; i++) {
        double value = i % 5 == 0 ? 1e300 : i % 7 == 0 ? -1e39 : i;
        history_append(history, i, &value, false);
    }
    struct windows *windows = windows_new(&fixture.model, 100, 1, 1);
    struct windows_cursor cursor;
    assert_true(windows_begin(&cursor, &fixture.model, "a", history, 60));
    while (windows_copy(windows, &cursor, history, &scaler))
        ;
    int missing = 0;
    for (int w = 0; w < windows_count(windows); w++)
        for (int i = 0; i < windows_at(windows, w)->n; i++) {
            assert_false(isinf(windows_at(windows, w)->z[i]) || isinf(windows_at(windows, w)->base[i]));
            missing += isnan(windows_at(windows, w)->z[i]);
        }
    assert_true(missing > 0);
    windows_free(windows);
    history_free(history);
}

/* With states that begin anew every 20 steps: each window lies within one such run, and knows where the run began. */
static void no_window_crosses_a_reset(void **state) {
    (void)state;
    for (int by_gap = 0; by_gap < 2; by_gap++) {
        struct fixture fixture;
        counting_fixture(&fixture);
        struct config_model *model = &fixture.model;
        model->training.window = 64;
        model->reset_every = by_gap ? 0 : 20;
        struct history *history = history_new(1, 512, FIXTURE_PENDING);
        for (int64_t step = 1; step <= 500; step++)
            history_append(history, step, &(double){(double)step},
                           by_gap && step % 20 == 0 ? STEP_GAP | STEP_RESET : 0);
        struct windows *windows = windows_new(model, 200, 1, 1);
        assert_true(collect(windows, model, "a", history, 500));
        int judged = 0, learnt[501] = {0};
        for (int w = 0; w < windows_count(windows); w++) {
            const struct window *window = windows_at(windows, w);
            uint64_t first = first_of(window), last = last_of(window);
            assert_int_equal(first / 20, last / 20);
            assert_int_equal(last - first + 1, window->n);
            assert_in_range(window->score_from, 0, window->n - model->horizon - 1);
            for (int i = -window->before; i < window->n; i++)
                assert_true(window->z[i] == (float)first + (float)i);
            if (window->validation) {
                judged++;
                assert_true(last > 375); /* a quarter is held back */
                assert_int_equal(window->before, first % 20 == 0 ? model->period : 0);
                continue;
            }
            assert_int_equal(window->before, 0);
            assert_true(last <= 375);
            if (first % 20 == 0 && window->n > 4 + model->horizon)
                assert_true(window->score_from <= 4);
            for (uint64_t step = first; step <= last; step++)
                learnt[step]++;
        }
        assert_int_equal(judged, 4);
        for (int step = 64; step < 340; step++)
            assert_in_range(learnt[step], 1, 2); /* a run that an end cuts comes once more, whole */
        assert_int_equal(windows_left_out(windows), 0);
        windows_free(windows);
        history_free(history);
    }
}

static bool nothing_was_sent(int64_t step) {
    return step % 10 == 7 || (step >= 20 && step <= 90);
}

static bool was_paused(int64_t step) {
    return step >= 120 && step <= 133;
}

/* Flags of gaps and of steps at which nothing was observed, or that came in a pause; windows in which nothing can be
 * learnt are not taken. */
static void gaps_and_blind_steps(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    struct history *history = history_new(2, 200, FIXTURE_PENDING);
    for (int64_t step = 1; step <= 200; step++) {
        bool blind = nothing_was_sent(step);
        history_pause(history, was_paused(step));
        const double seen[] = {1, step % 2 ? 2 : NAN}, unseen[] = {NAN, NAN};
        history_append(history, step, blind ? unseen : seen, step % 25 == 0 ? STEP_GAP : 0);
    }
    struct windows *windows = windows_new(&fixture.model, 100, 1, 200);
    assert_true(collect(windows, &fixture.model, "a", history, 200));
    int blinds = 0;
    for (int w = 0; w < windows_count(windows); w++) {
        const struct window *window = windows_at(windows, w);
        int useful = 0;
        for (int i = 0; i < window->n; i++) {
            uint64_t step = window->last + 1 + (uint64_t)i - (uint64_t)window->n;
            assert_int_equal(window->flags[i] & WINDOW_GAP, step % 25 == 0 ? WINDOW_GAP : 0);
            bool blind = nothing_was_sent((int64_t)step) || was_paused((int64_t)step);
            assert_int_equal(window->flags[i] & WINDOW_BLIND, blind ? WINDOW_BLIND : 0);
            blinds += blind;
            useful += !blind && i >= window->score_from && i + 3 < window->n;
        }
        assert_true(useful > 0);
    }
    assert_true(blinds > 0 && windows_count(windows) > 5);
    windows_free(windows);
    history_free(history);
}

/* Every second value is missing: no forecast has an answer one step ahead, but each has some further on. */
static void every_second_value(void **state) {
    (void)state;
    struct fixture fixture;
    counting_fixture(&fixture);
    struct windows *whole = windows_new(&fixture.model, 100, 1, 200),
                   *half = windows_new(&fixture.model, 100, 1, 200);
    struct history *all = history_new(1, 200, FIXTURE_PENDING), *some = history_new(1, 200, FIXTURE_PENDING);
    for (int64_t step = 1; step <= 200; step++) {
        const double value = (double)step, seen = step % 2 ? value : NAN;
        history_append(all, step, &value, 0);
        history_append(some, step, &seen, 0);
    }
    assert_true(collect(whole, &fixture.model, "a", all, 200));
    assert_true(collect(half, &fixture.model, "a", some, 200));
    assert_true(windows_count(whole) > 5);
    assert_int_equal(windows_count(half), windows_count(whole));
    windows_free(whole);
    windows_free(half);
    history_free(all);
    history_free(some);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_steps),
        cmocka_unit_test(too_few_steps),
        cmocka_unit_test(nothing_leaks_into_training),
        cmocka_unit_test(ends_stay),
        cmocka_unit_test(the_choice_is_by_seed_stream_and_step),
        cmocka_unit_test(the_lowest_keys_are_kept),
        cmocka_unit_test(it_is_fair_and_forgets),
        cmocka_unit_test(ends_are_spread),
        cmocka_unit_test(the_reservoir_is_bounded),
        cmocka_unit_test(there_is_always_something_to_judge_by),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(the_ring_moves_on),
        cmocka_unit_test(no_window_crosses_a_reset),
        cmocka_unit_test(gaps_and_blind_steps),
        cmocka_unit_test(every_second_value),
        cmocka_unit_test(scaled_values),
        cmocka_unit_test(answers_out_of_range_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
