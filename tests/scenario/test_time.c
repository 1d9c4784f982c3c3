/* Ticks as they really come, through a real daemon: what becomes of them is counted and flagged, and the forecasts are
 * those of a stream that is fed the steps themselves. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/clock.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

static const int64_t second = INT64_C(1000000000);
static const int64_t begin = INT64_C(1700000000000000000);

#define MODEL(name) \
    "  - {name: " name ", class: " name ", horizon: 3, layers: [{lstm: 8}], train: false, batch_size: 4, " \
    "combine: network}\n"

static const char configuration[] =
    "streams:\n"
    "  - {class: mean, pattern: \"mean/*\", features: [a, b], every: 1s, aggregate: mean, gap: fill, fill_most: 3,\n"
    "     same_time: replace}\n"
    "  - {class: sorted, pattern: \"sorted/*\", features: [a, b], reorder: 2s, reorder_most: 4, same_time: replace,\n"
    "     max_clock_skew: 1h}\n"
    "  - {class: clock, pattern: \"clock/*\", features: [a, b], every: 100ms, close_after: 200ms, aggregate: max}\n"
    "  - {class: plain, pattern: \"*\", features: [a, b]}\n"
    "models:\n" MODEL("mean") MODEL("sorted") MODEL("clock") MODEL("plain");

struct scene {
    struct daemon *daemon;
    void *ticks;
    struct heard *heard;
};

static void open_scene(struct scene *scene) {
    const struct daemon_setup setup = {.bus = "  events_per_second: 1000\n", .rest = configuration};
    scene->daemon = daemon_run(&setup);
    scene->heard = heard_all(scene->daemon);
    scene->ticks = daemon_connect(scene->daemon, ZMQ_PUSH, scene->daemon->ticks);
}

static void close_scene(struct scene *scene) {
    heard_free(scene->heard);
    daemon_stop(scene->daemon);
    daemon_free(&scene->daemon);
}

static void feed(const struct scene *scene, const char *stream, double t, double a, double b) {
    const double values[2] = {a, b};
    feed_tick(scene->ticks, stream, begin + (int64_t)(t * 10) * (second / 10), values, 2);
}

/* All that is heard of a stream is what is heard of another, which was fed its steps; flags by step. */
static void expect_same(const struct scene *scene, const char *model, const char *stream, const char *steps,
                        const uint32_t *flags, size_t n) {
    struct heard_stream *one = heard_find(scene->heard, model, stream),
                        *other = heard_find(scene->heard, "plain", steps);
    assert_true(one != NULL && other != NULL && one->n == n && other->n == n);
    for (size_t i = 0; i < n; i++) {
        const struct heard_forecast *forecast = heard_at(one, i), *of_step = heard_at(other, i);
        assert_int_equal(forecast->t, of_step->t);
        if (memcmp(heard_mean(forecast), heard_mean(of_step), 6 * sizeof(double)) != 0)
            fail_msg("forecast %zu of %s is not that of %s", i, stream, steps);
        if ((forecast->flags & ~(WIRE_FLAG(CAPPED) | WIRE_FLAG(WARMING))) != flags[i])
            fail_msg("forecast %zu of %s has flags %x, not %x", i, stream, forecast->flags, flags[i]);
    }
}

static void intervals_are_aggregated_replaced_and_filled(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    feed(&scene, "mean/1", 0.1, 1, 5);
    feed(&scene, "mean/1", 0.5, 2, NAN);
    feed(&scene, "mean/1", 0.9, 6, NAN); /* (3, 5) */
    feed(&scene, "mean/1", 1.2, 4, 4);
    feed(&scene, "mean/1", 1.2, 2, 3); /* (2, 3) */
    feed(&scene, "mean/1", 4.0, 1, 1); /* behind two empty intervals */
    feed(&scene, "mean/1", 9.0, 8, 8); /* behind four, which are too many */
    feed(&scene, "mean/1", 8.9, 7, 7); /* too late */
    feed(&scene, "mean/1", 10.0, 0, 0);
    const double steps[][3] = {{0, 3, 5}, {1, 2, 3}, {2, NAN, NAN}, {3, NAN, NAN}, {4, 1, 1}};
    for (size_t i = 0; i < 5; i++)
        feed(&scene, "steps", steps[i][0], steps[i][1], steps[i][2]);
    heard_until(scene.heard, 6 + 5);
    const uint32_t filled = WIRE_FLAG(FILLED) | WIRE_FLAG(MISSING);
    const uint32_t flags[] = {WIRE_FLAG(AGGREGATED), WIRE_FLAG(REPLACED), filled, filled, 0, WIRE_FLAG(GAP)};
    struct heard_stream *last = heard_find(scene.heard, "mean", "mean/1");
    const struct heard_forecast *anew = heard_at(last, 5);
    assert_true(anew->primed == 1 && anew->flags & WIRE_FLAG(GAP) && anew->t == begin + 9 * second);
    last->n = 5;
    expect_same(&scene, "mean", "mean/1", "steps", flags, 5);
    daemon_expect_count(scene.daemon, "time.aggregated", 1);
    daemon_expect_count(scene.daemon, "time.replaced", 1);
    daemon_expect_count(scene.daemon, "time.filled", 2);
    daemon_expect_count(scene.daemon, "time.missing", 4);
    daemon_expect_count(scene.daemon, "resets.gap", 1);
    daemon_expect_count(scene.daemon, "ticks.refused.late", 1);
    close_scene(&scene);
}

static void ticks_are_held_and_sorted(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    feed(&scene, "sorted/1", 1, 1, 1);
    feed(&scene, "sorted/1", 2.5, 3, 3);
    feed(&scene, "sorted/1", 2, 2, 9);
    feed(&scene, "sorted/1", 2, 2, 2);
    feed(&scene, "sorted/1", 6, 6, 6);   /* the first three go on */
    feed(&scene, "sorted/1", 2.4, 9, 9); /* too late */
    feed(&scene, "sorted/1", 5, 5, 5);
    feed(&scene, "sorted/1", 4.5, 4.5, 4.5);
    feed(&scene, "sorted/1", 5.5, 5.5, 5.5);
    feed(&scene, "sorted/1", 5.7, 5.7, 5.7); /* the fifth: 4.5 goes on */
    feed(&scene, "sorted/1", 20, 20, 20);
    const double steps[] = {1, 2, 2.5, 4.5, 5, 5.5, 5.7, 6};
    for (size_t i = 0; i < 8; i++)
        feed(&scene, "steps", steps[i], steps[i] == 2.5 ? 3 : steps[i], steps[i] == 2.5 ? 3 : steps[i]);
    static const char bad[] = "{\"t\":1800000000000000000,\"v\":[1,2],\"q\":[true,false]}";
    zmq_send(scene.ticks, "steps", 5, ZMQ_SNDMORE);
    zmq_send(scene.ticks, bad, sizeof bad - 1, 0);
    feed(&scene, "sorted/1", 1e9, 1, 1); /* in 2055 */
    heard_until(scene.heard, 8 + 8 + 1);
    struct heard_stream *fed = heard_find(scene.heard, "plain", "steps");
    assert_true(heard_at(fed, 8)->numbers[0] == 1 && isnan(heard_at(fed, 8)->numbers[1]));
    assert_true((heard_at(fed, 8)->flags & WIRE_FLAG(MISSING)) != 0);
    fed->n = 8;
    const uint32_t late = WIRE_FLAG(REORDERED);
    const uint32_t flags[] = {0, late | WIRE_FLAG(REPLACED), 0, late, late, late, late, 0};
    expect_same(&scene, "sorted", "sorted/1", "steps", flags, 8);
    daemon_expect_count(scene.daemon, "time.reordered", 5);
    daemon_expect_count(scene.daemon, "time.replaced", 1);
    daemon_expect_count(scene.daemon, "time.unheld", 1);
    daemon_expect_count(scene.daemon, "ticks.bad", 1);
    daemon_expect_count(scene.daemon, "ticks.refused.ahead", 1);
    daemon_expect_count(scene.daemon, "ticks.refused.late", 1);
    close_scene(&scene);
}

/* Nothing comes behind it; a tick that follows begins another interval. */
static void an_interval_closes_by_the_clock(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    for (int n = 0; n < 3; n++) {
        int64_t now = clock_realtime(), start = now - now % (second / 10);
        for (int i = 0; i < 200; i++) {
            char name[32];
            const double values[2] = {i, n};
            snprintf(name, sizeof name, "clock/%d", i);
            feed_tick(scene.ticks, name, start + 1, values, 2);
        }
        heard_until(scene.heard, (size_t)(n + 1) * 200);
        int64_t passed = clock_realtime() - start;
        if (passed < 3 * (second / 10) || passed > 10 * second)
            fail_msg("closed after %lld ns", (long long)passed);
        struct heard_stream *heard = heard_find(scene.heard, "clock", "clock/7");
        const struct heard_forecast *forecast = heard_at(heard, (size_t)n);
        assert_true(forecast->t == start && forecast->numbers[0] == 7 && forecast->numbers[1] == n);
        assert_true((forecast->flags & WIRE_FLAG(CLOCK)) != 0);
        feed_tick(scene.ticks, "clock/7", start + 2, (const double[]){1, 1}, 2); /* too late */
    }
    daemon_expect_count(scene.daemon, "time.closed", 600);
    daemon_expect_count(scene.daemon, "ticks.refused.late", 3);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_are_aggregated_replaced_and_filled),
        cmocka_unit_test(ticks_are_held_and_sorted),
        cmocka_unit_test(an_interval_closes_by_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
