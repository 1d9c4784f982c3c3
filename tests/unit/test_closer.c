/* When intervals are to close by the clock: a table, and random streams against a list that is looked through. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/stream.h"
#include "engine/random.h"
#include "tests/support/bus_fixture.h"

#include <stdio.h>
#include <string.h>

static const int64_t ms = INT64_C(1000000), second = INT64_C(1000000000);
static const int64_t begin = INT64_C(1700000000000000000);
static const int64_t slot = INT64_C(10000000); /* as exact as it is */

#define CLASSES \
    "streams:\n" \
    "  - {class: c, pattern: 'c/*', features: [a], history: 16, every: 1s, close_after: 300ms}\n" \
    "  - {class: d, pattern: '*', features: [a], history: 16, every: 1s}\n" \
    "models:\n" \
    "  - {name: m, class: c, horizon: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" \
    "  - {name: n, class: d, horizon: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"

enum { STREAMS = 50 };

struct scene {
    struct config *config;
    struct closer *closer;
    struct stream *streams[STREAMS];
};

static int setup(void **state) {
    static struct scene scene;
    scene.config = rig_config("", CLASSES);
    scene.closer = closer_new();
    for (int i = 0; i < STREAMS; i++) { /* with names of all lengths */
        char name[STREAMS + 3];
        int n = snprintf(name, sizeof name, "c/%0*d", i + 1, i);
        scene.streams[i] = stream_new(scene.config, rig_pool(), 0, name, (size_t)n, 1, 1);
        assert_string_equal(scene.streams[i]->name, name);
        assert_non_null(stream_closing(scene.streams[i]));
    }
    *state = &scene;
    return 0;
}

static int teardown(void **state) {
    struct scene *scene = *state;
    closer_free(scene->closer);
    for (int i = 0; i < STREAMS; i++)
        stream_free(scene->streams[i]);
    config_free(scene->config);
    return 0;
}

static void note(struct scene *scene, int i, int64_t t, int64_t received) {
    closer_note(scene->closer, scene->streams[i], &scene->config->classes[0].time, begin + t, begin + received);
}

/* Who is due; -1: nobody. Its interval's end is `end`. */
static int next(struct scene *scene, int64_t now, int64_t end) {
    struct closing *node = closer_next(scene->closer, begin + now);
    if (node == NULL)
        return -1;
    struct stream *stream = node->stream;
    assert_int_equal(node->end, begin + end);
    for (int again = 0; again < 2; again++) /* it is given until it is done */
        assert_ptr_equal(closer_next(scene->closer, begin + now), node);
    closer_done(scene->closer, node);
    for (int i = 0; i < STREAMS; i++)
        if (scene->streams[i] == stream)
            return i;
    return -2;
}

static void an_interval_is_due_behind_its_end(void **state) {
    struct scene *scene = *state;
    assert_int_equal(next(scene, 0, 0), -1);
    note(scene, 0, 200 * ms, 210 * ms);
    assert_int_equal(next(scene, 1299 * ms, 0), -1);
    assert_int_equal(next(scene, 1300 * ms + 2 * slot, second), 0);
    assert_int_equal(next(scene, 99 * second, 0), -1);

    note(scene, 1, 100 * second, 100 * second); /* a tick of a later interval closes the one before */
    note(scene, 1, 101 * second, 101 * second);
    assert_int_equal(next(scene, 101 * second + 500 * ms, 0), -1);
    note(scene, 1, 100 * second + 999 * ms, 102 * second); /* held, perhaps: it is a sign of life */
    assert_int_equal(next(scene, 102 * second + 250 * ms, 0), -1);
    assert_int_equal(next(scene, 102 * second + 330 * ms, 102 * second), 1);

    note(scene, 2, -5000 * second, 200 * second); /* what is of the past closes when it is silent */
    note(scene, 2, -4000 * second, 200 * second + 200 * ms);
    assert_int_equal(next(scene, 200 * second + 400 * ms, 0), -1);
    assert_int_equal(next(scene, 200 * second + 530 * ms, -3999 * second), 2);

    note(scene, 3, 5000 * second, 201 * second); /* of the future: many turns of the wheel later */
    for (int64_t now = 202; now < 5001; now += 7)
        assert_int_equal(next(scene, now * second, 0), -1);
    assert_int_equal(next(scene, 5002 * second, 5001 * second), 3);

    note(scene, 4, 6000 * second, 6000 * second);
    note(scene, 5, 6000 * second, 6000 * second);
    closer_forget(scene->streams[4]);
    closer_forget(scene->streams[4]);
    assert_int_equal(next(scene, 6002 * second, 6001 * second), 5);
    assert_int_equal(next(scene, 6002 * second, 0), -1);

    note(scene, 6, 6003 * second, 6003 * second); /* the clock is set back, and forth */
    assert_int_equal(next(scene, 3000 * second, 0), -1);
    assert_int_equal(next(scene, 6003 * second, 0), -1);
    assert_int_equal(next(scene, 9000 * second, 6004 * second), 6);
    assert_int_equal(next(scene, 3000 * second, 0), -1);
    note(scene, 6, 3000 * second, 3000 * second);
    assert_int_equal(next(scene, 3002 * second, 3001 * second), 6);
    note(scene, 6, 2990 * second, 2990 * second); /* what came before it was looked at last */
    assert_int_equal(next(scene, 3002 * second + 2 * slot, 2991 * second), 6);
    note(scene, 7, INT64_MAX - begin, 9000 * second);
    assert_int_equal(next(scene, 9999 * second, 0), -1);
    closer_forget(scene->streams[7]);

    struct stream *other = stream_new(scene->config, rig_pool(), 1, "d", 1, 1, 1);
    assert_null(stream_closing(other));
    closer_forget(other);
    stream_free(other);
}

static void it_says_how_long_there_is_none(void **state) {
    struct scene *scene = *state;
    int64_t now = begin;
    assert_null(closer_next(scene->closer, now));
    assert_int_equal(closer_wait_ms(scene->closer, now, 100), 100);
    note(scene, 0, 200 * ms, 0);
    assert_int_equal(closer_wait_ms(scene->closer, now, 100), 100);
    now = begin + 1250 * ms;
    assert_null(closer_next(scene->closer, now));
    int wait = closer_wait_ms(scene->closer, now, 100);
    assert_in_range(wait, 50, 70);
    assert_non_null(closer_next(scene->closer, now + (wait + 1) * ms));
    assert_int_equal(closer_wait_ms(scene->closer, now + 80 * ms, 100), 0);
}

static int index_of(const struct scene *scene, const struct closing *node) {
    size_t n;
    int class, i = 0;
    const char *name = node->stream != NULL ? node->stream->name : closing_name(node, &n, &class);
    while (node->stream != NULL
               ? scene->streams[i] != node->stream
               : scene->streams[i]->name_length != n || memcmp(scene->streams[i]->name, name, n) != 0)
        i++;
    return i;
}

static void come_back(struct scene *scene, int i, bool *away) {
    closer_returns(scene->closer, scene->streams[i]);
    *away = false;
}

/* What is open of a stream that is not in memory closes in its time, or is its own again. */
static void away_and_back(void **state) {
    struct scene *scene = *state;
    note(scene, 0, 200 * ms, 210 * ms);
    assert_int_equal(closer_leaves(scene->closer, scene->streams[0]), 0);
    assert_int_equal(closer_leaves(scene->closer, scene->streams[1]), 0); /* of which nothing is open */
    assert_int_equal(closer_n_away(scene->closer), 1);
    closer_returns(scene->closer, scene->streams[1]);
    closer_returns(scene->closer, scene->streams[0]);
    assert_int_equal(closer_n_away(scene->closer), 0);
    assert_int_equal(next(scene, 1300 * ms + 2 * slot, second), 0);

    note(scene, 0, 2200 * ms, 2210 * ms);
    assert_int_equal(closer_leaves(scene->closer, scene->streams[0]), 0);
    assert_null(closer_next(scene->closer, begin + 3299 * ms));
    struct closing *node = closer_next(scene->closer, begin + 3300 * ms + 2 * slot);
    size_t n;
    int class;
    assert_true(node != NULL && node->stream == NULL && node->end == begin + 3 * second);
    assert_memory_equal(closing_name(node, &n, &class), "c/0", 3);
    assert_true(n == 3 && class == 0);
    closer_done(scene->closer, node);
    assert_int_equal(closer_n_away(scene->closer), 0);
    assert_null(closer_next(scene->closer, begin + 9 * second));
    assert_int_equal(closer_leaves(scene->closer, scene->streams[0]), 0);
    assert_int_equal(closer_n_away(scene->closer), 0);
}

/* Each is due once, no sooner than it is, and hardly later. */
static void of_random_streams(void **state) {
    struct scene *scene = *state;
    struct rng rng = {3};
    int64_t end[STREAMS] = {0}, received[STREAMS] = {0}, closed = 0, noted = 0;
    bool open[STREAMS] = {false}, away[STREAMS] = {false};
    int64_t left = 0;
    for (int64_t now = 0; now < 400 * second; now += (int64_t)rng_below(&rng, 60) * ms) {
        int i = (int)rng_below(&rng, STREAMS);
        if (rng_below(&rng, 5) == 0) {
            int64_t t = now + (int64_t)rng_below(&rng, 4000) * ms - 3000 * ms,
                    its = (t / second + 1 - (t % second < 0)) * second;
            if (away[i] && rng_below(&rng, 2) == 0)
                come_back(scene, i, &away[i]);
            if (away[i])
                closer_note_away(scene->closer, 0, scene->streams[i]->name, scene->streams[i]->name_length,
                                 &scene->config->classes[0].time, begin + its, begin + now);
            else
                note(scene, i, t, now);
            end[i] = open[i] && end[i] > its ? end[i] : its;
            received[i] = now;
            open[i] = true;
            noted++;
        } else if (rng_below(&rng, 5) == 0 && !away[i]) { /* and it may close there, and more ticks may come there */
            assert_int_equal(closer_leaves(scene->closer, scene->streams[i]), 0);
            away[i] = open[i];
            left += open[i];
        } else if (rng_below(&rng, 5) == 0) {
            come_back(scene, i, &away[i]);
        }
        for (struct closing *node; (node = closer_next(scene->closer, begin + now)) != NULL;
             closer_done(scene->closer, node)) {
            const int64_t got = node->end;
            i = index_of(scene, node);
            assert_int_equal(away[i], node->stream == NULL);
            away[i] = false;
            int64_t from = (end[i] > received[i] ? end[i] : received[i]) + 300 * ms;
            assert_true(open[i] && got == begin + end[i] && from <= now);
            open[i] = false;
            closed++;
        }
        for (i = 0; i < STREAMS; i++)
            if (open[i] && (end[i] > received[i] ? end[i] : received[i]) + 300 * ms + 2 * slot < now)
                fail_msg("stream %d should have been closed", i);
    }
    assert_true(closed > 500 && closed < noted && left > 100);
}

/* Who cannot be closed now is in nobody's way, and comes again. */
static void who_cannot_be_comes_later(void **state) {
    struct scene *scene = *state;
    const struct time_policy_spec *spec = &scene->config->classes[0].time;
    const struct closing *other = stream_closing(scene->streams[1]);
    closer_note_away(scene->closer, 0, "c/away", 6, spec, begin, begin);
    note(scene, 1, -1, 1);
    int64_t due = begin + 300 * ms + 2 * slot;
    struct closing *node = closer_next(scene->closer, due);
    assert_null(node->stream);
    closer_later(scene->closer, node, due);
    assert_ptr_equal(closer_next(scene->closer, due), other);
    closer_done(scene->closer, stream_closing(scene->streams[1]));
    assert_null(closer_next(scene->closer, due));
    assert_true(closer_wait_ms(scene->closer, due, 1000) > 200);
    assert_int_equal(closer_n_away(scene->closer), 1);
    due += 300 * ms;
    assert_null(closer_next(scene->closer, due - slot));
    assert_ptr_equal(closer_next(scene->closer, due + 2 * slot), node);
    assert_int_equal(node->end, begin); /* it is the same interval */
    closer_done(scene->closer, node);
    assert_int_equal(closer_n_away(scene->closer), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_interval_is_due_behind_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(it_says_how_long_there_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(away_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(who_cannot_be_comes_later, setup, teardown),
        cmocka_unit_test_setup_teardown(of_random_streams, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
