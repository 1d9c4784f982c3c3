#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/streams.h"

#include "engine/random.h"
#include "tests/support/bus_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES \
    "streams:\n" \
    "  - class: first\n    pattern: 'plant/*/a'\n    features: [x]\n    max_streams: 2\n    history: 8\n" \
    "  - class: second\n    pattern: 'plant/*'\n    features: [x]\n    max_streams: 1\n    history: 8\n" \
    "  - class: third\n    pattern: 'h[0-9]?'\n    features: [x]\n    max_streams: 1\n    history: 8\n" \
    "models:\n" \
    "  - {name: m1, class: first, horizon: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" \
    "  - {name: m2, class: second, horizon: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" \
    "  - {name: m3, class: third, horizon: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"

struct table {
    struct config *config;
    struct streams *streams;
};

static int open_table(void **state) {
    struct table *table = calloc(1, sizeof *table);
    assert_non_null(table);
    table->config = rig_config("", CLASSES);
    table->streams = streams_new(table->config);
    assert_non_null(table->streams);
    *state = table;
    return 0;
}

static int close_table(void **state) {
    struct table *table = *state;
    streams_free(table->streams);
    config_free(table->config);
    free(table);
    return 0;
}

static struct stream *begin(const struct table *table, int class, const char *name) {
    size_t n = strlen(name);
    struct stream *stream =
        stream_new(table->config, rig_pool(), class, name, n, streams_generation(table->streams, name, n), 1);
    assert_non_null(stream);
    assert_int_equal(streams_reserve(table->streams), 0);
    streams_add(table->streams, stream);
    return stream;
}

static void end(const struct table *table, struct stream *stream) {
    streams_remove(table->streams, stream);
    stream_free(stream);
}

/* Begins and ends a stream, and returns its generation. */
static uint32_t live_once(const struct table *table, const char *name) {
    struct stream *stream = begin(table, 0, name);
    uint32_t generation = stream->generation;
    end(table, stream);
    return generation;
}

static void streams_are_found_by_their_whole_name(void **state) {
    const struct table *table = *state;
    struct stream *one = begin(table, 0, "boiler-1"), *ten = begin(table, 1, "boiler-10");
    assert_ptr_equal(streams_find(table->streams, "boiler-1", 8), one);
    assert_ptr_equal(streams_find(table->streams, "boiler-10", 9), ten);
    assert_ptr_equal(streams_find(table->streams, "boiler-10", 8), one); /* n counts, not a NUL */
    assert_null(streams_find(table->streams, "boiler-", 7));
    assert_int_equal(streams_count(table->streams), 2);
    assert_int_equal(streams_count_of(table->streams, 0), 1);
    assert_int_equal(streams_count_of(table->streams, 1), 1);
    end(table, one);
    assert_null(streams_find(table->streams, "boiler-1", 8));
    assert_int_equal(streams_count(table->streams), 1);
    assert_int_equal(streams_count_of(table->streams, 0), 0);
}

/* The index grows, and closes up behind what has ended: by chance, beside a plain list. */
static void streams_are_found_as_they_come_and_go(void **state) {
    const struct table *table = *state;
    enum { NAMES = 600 };
    static const char *const forms[] = {"%d", "plant/boiler-%d", "a/longer/name/of/%d"};
    struct stream *lives[NAMES] = {NULL};
    struct rng rng = {7};
    for (int round = 0; round < 20000; round++) {
        char name[32];
        int i = (int)rng_below(&rng, NAMES), n = snprintf(name, sizeof name, forms[i % 3], i);
        if (lives[i] == NULL) {
            lives[i] = begin(table, 0, name);
        } else {
            end(table, lives[i]);
            lives[i] = NULL;
        }
        assert_ptr_equal(streams_find(table->streams, name, (size_t)n), lives[i]);
        const struct stream *other = lives[rng_below(&rng, NAMES)];
        if (other != NULL)
            assert_ptr_equal(streams_find(table->streams, other->name, other->name_length), other);
    }
}

/* Streams on their way back are made one after another, and added later; others begin meanwhile. */
static void room_is_there_for_all_that_it_was_made_for(void **state) {
    const struct table *table = *state;
    enum { NAMES = 200 };
    struct stream *streams[NAMES];
    char name[16];
    for (int i = 0; i < NAMES; i++) {
        int n = snprintf(name, sizeof name, "s-%d", i);
        streams[i] = stream_new(table->config, rig_pool(), 0, name, (size_t)n, 1, 1);
        assert_int_equal(streams_reserve(table->streams), 0);
        if (i % 3 == 0) { /* it does not come, */
            assert_int_equal(streams_reserve(table->streams), 0);
            streams_unreserve(table->streams);
        }
    }
    struct stream *other = begin(table, 0, "other");
    for (int i = 0; i < NAMES; i++)
        streams_add(table->streams, streams[i]);
    assert_ptr_equal(streams_find(table->streams, "other", 5), other);
    for (int i = 0; i < NAMES; i++) {
        int n = snprintf(name, sizeof name, "s-%d", i);
        assert_ptr_equal(streams_find(table->streams, name, (size_t)n), streams[i]);
    }
}

static void the_first_class_that_matches_counts(void **state) {
    const struct table *table = *state;
    static const struct {
        const char *name;
        int class;
    } names[] = {{"plant/7/a", 0},     {"plant/7/8/a", 0}, {"plant/a", 1}, {"plant/", 1},
                 {"plant", -1},        {"h1x", 2},         {"h1", -1},     {"hxx", -1},
                 {"plant/.hidden", 1}, {"Plant/7", -1},    {"", -1}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(streams_class_of(table->streams, names[i].name), names[i].class);
}

static void a_generation_is_above_that_of_the_ended_one(void **state) {
    const struct table *table = *state;
    assert_int_equal(streams_generation(table->streams, "s", 1), 1);
    for (uint32_t i = 1; i <= 5; i++)
        assert_int_equal(live_once(table, "s"), i);
    assert_int_equal(streams_generation(table->streams, "other", 5), 1);
}

/* Until its worker has let go of it, the next generation of the name belongs to that worker. */
static void an_ended_stream_keeps_its_worker_until_it_has_left(void **state) {
    const struct table *table = *state;
    struct stream *first = begin(table, 0, "s");
    first->worker = 1;
    assert_int_equal(streams_leaving(table->streams, "s", 1), -1);
    streams_remove(table->streams, first);
    assert_int_equal(streams_leaving(table->streams, "s", 1), 1);
    struct stream *second = begin(table, 0, "s");
    second->worker = 1;
    streams_remove(table->streams, second);
    streams_left(table->streams, first); /* the second has not */
    assert_int_equal(streams_leaving(table->streams, "s", 1), 1);
    streams_left(table->streams, second);
    assert_int_equal(streams_leaving(table->streams, "s", 1), -1);
    stream_free(first);
    stream_free(second);
}

/* There may be four streams, so four ended names are remembered. */
static void a_forgotten_name_still_gets_a_higher_generation(void **state) {
    const struct table *table = *state;
    for (uint32_t i = 1; i <= 7; i++)
        assert_int_equal(live_once(table, "old"), i);
    live_once(table, "b");
    live_once(table, "c");
    live_once(table, "d");
    assert_int_equal(streams_generation(table->streams, "old", 3), 8);
    live_once(table, "e"); /* pushes out the oldest */
    assert_int_equal(streams_generation(table->streams, "old", 3), 8);
    assert_int_equal(streams_generation(table->streams, "b", 1), 2);   /* remembered: its own */
    assert_int_equal(streams_generation(table->streams, "new", 3), 8); /* may have been forgotten, for all we know */
}

/* What ends again becomes the youngest of the remembered. */
static void ending_again_is_remembered_anew(void **state) {
    const struct table *table = *state;
    live_once(table, "a");
    live_once(table, "b");
    live_once(table, "c");
    live_once(table, "d");
    assert_int_equal(live_once(table, "a"), 2);
    live_once(table, "e"); /* pushes out b */
    assert_int_equal(streams_generation(table->streams, "a", 1), 3);
    assert_int_equal(streams_generation(table->streams, "c", 1), 2);
    assert_int_equal(streams_generation(table->streams, "b", 1), 2);
}

/* Whatever lives and is forgotten: no two streams of a name have the same generation, and it grows. */
static void generations_of_a_name_always_grow(void **state) {
    const struct table *table = *state;
    struct rng rng = {5};
    uint32_t latest[12] = {0};
    for (int i = 0; i < 5000; i++) {
        size_t which = (size_t)rng_below(&rng, 12);
        const char name[2] = {(char)('a' + which), '\0'};
        uint32_t generation = live_once(table, name);
        assert_true(generation > latest[which]);
        latest[which] = generation;
    }
}

/* ---- paging ------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum { NAMES = 300, NAME_MAX_LENGTH = 6, MOST = 40 };

struct reference {
    char names[NAMES][NAME_MAX_LENGTH + 1];
    const char *sorted[NAMES];
    int n;
};

/* Short names over few letters: many share prefixes, some are prefixes of others. */
static void make_names(const struct table *table, struct reference *reference, struct rng *rng) {
    for (int i = 0; i < NAMES; i++) {
        char *name = reference->names[reference->n];
        size_t n = 1 + (size_t)rng_below(rng, NAME_MAX_LENGTH);
        for (size_t k = 0; k < n; k++)
            name[k] = "ab/\xc3"[rng_below(rng, 4)];
        name[n] = '\0';
        if (streams_find(table->streams, name, n) != NULL)
            continue;
        begin(table, 1, name);
        reference->sorted[reference->n++] = name;
    }
    qsort(reference->sorted, (size_t)reference->n, sizeof *reference->sorted, by_name);
}

/* One page, against a look through all names in order. */
static void compare_page(const struct table *table, const struct reference *reference, const char *prefix,
                         const char *after, int most) {
    const struct stream *page[2 * MOST + 2];
    bool more;
    page[2 * most + 1] = (const struct stream *)&page; /* behind what may be written */
    int n = streams_page(table->streams, prefix, after, most, page, &more);
    assert_ptr_equal(page[2 * most + 1], &page);
    int expected = 0;
    bool expected_more = false;
    for (int i = 0; i < reference->n; i++) {
        const char *name = reference->sorted[i];
        if (strncmp(name, prefix, strlen(prefix)) != 0 || strcmp(name, after) <= 0)
            continue;
        expected_more = expected == most;
        if (expected_more)
            break;
        assert_true(expected < n);
        assert_string_equal(page[expected]->name, name);
        expected++;
    }
    assert_int_equal(n, expected);
    assert_int_equal(more, expected_more);
}

static void pages_are_those_of_a_naive_reference(void **state) {
    const struct table *table = *state;
    struct rng rng = {11};
    static struct reference reference;
    make_names(table, &reference, &rng);
    assert_true(reference.n > 200);
    static const char *const prefixes[] = {"", "a", "ab", "/", "b/a", "zz", "\xc3"};
    for (int turn = 0; turn < 2000; turn++) {
        const char *prefix = prefixes[rng_below(&rng, sizeof prefixes / sizeof *prefixes)];
        const char *after = rng_below(&rng, 3) == 0 ? "" : reference.sorted[rng_below(&rng, (uint64_t)reference.n)];
        compare_page(table, &reference, prefix, after, 1 + (int)rng_below(&rng, MOST));
    }
}

static void pages_one_behind_the_other_are_all(void **state) {
    const struct table *table = *state;
    struct rng rng = {12};
    static struct reference reference;
    make_names(table, &reference, &rng);
    for (int most = 1; most <= MOST; most += 13) {
        const struct stream *page[2 * MOST + 1];
        const char *after = "";
        int seen = 0, n;
        for (bool more = true; more; after = page[n - 1]->name) {
            n = streams_page(table->streams, "", after, most, page, &more);
            assert_true(n > 0);
            for (int i = 0; i < n; i++)
                assert_string_equal(page[i]->name, reference.sorted[seen++]);
        }
        assert_int_equal(seen, reference.n);
    }
}

static void an_empty_table_has_one_empty_page(void **state) {
    const struct table *table = *state;
    const struct stream *page[3];
    bool more = true;
    assert_int_equal(streams_page(table->streams, "", "", 1, page, &more), 0);
    assert_false(more);
    streams_free(NULL);
}

int main(void) {
#define IN_TABLE(test) cmocka_unit_test_setup_teardown(test, open_table, close_table)
    const struct CMUnitTest tests[] = {
        IN_TABLE(streams_are_found_by_their_whole_name),
        IN_TABLE(streams_are_found_as_they_come_and_go),
        IN_TABLE(room_is_there_for_all_that_it_was_made_for),
        IN_TABLE(the_first_class_that_matches_counts),
        IN_TABLE(an_ended_stream_keeps_its_worker_until_it_has_left),
        IN_TABLE(a_generation_is_above_that_of_the_ended_one),
        IN_TABLE(a_forgotten_name_still_gets_a_higher_generation),
        IN_TABLE(ending_again_is_remembered_anew),
        IN_TABLE(generations_of_a_name_always_grow),
        IN_TABLE(pages_are_those_of_a_naive_reference),
        IN_TABLE(pages_one_behind_the_other_are_all),
        IN_TABLE(an_empty_table_has_one_empty_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
