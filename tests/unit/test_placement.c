#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/placement.h"

#include "engine/random.h"
#include "tests/support/bus_fixture.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An allocation that cannot succeed is to return NULL, as it does without a sanitizer. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}

/* Class "two" has two models, with batches of 2 and of 3; class "one" has one, with batches of 2. */
enum { TWO, ONE };
#define TRAINING "training: {window: 8, burn_in: 0, unroll: 8}"
#define CLASSES \
    "workers: 3\nstreams:\n" \
    "  - {class: two, pattern: 't*', features: [x], history: 8}\n" \
    "  - {class: one, pattern: 'o*', features: [x], history: 8}\n" \
    "models:\n" \
    "  - {name: a, class: two, horizon: 1, layers: [], batch_size: 2, " TRAINING "}\n" \
    "  - {name: o, class: one, horizon: 1, layers: [], batch_size: 2, " TRAINING "}\n" \
    "  - {name: b, class: two, horizon: 1, layers: [], batch_size: 3, " TRAINING "}\n"
enum { MODEL_A, MODEL_O, MODEL_B };

struct book {
    struct config *config;
    struct placement *placement;
};

static int open_book(void **state) {
    struct book *book = calloc(1, sizeof *book);
    assert_non_null(book);
    book->config = rig_config("", CLASSES);
    book->placement = placement_new(book->config, kernels_choose());
    assert_non_null(book->placement);
    *state = book;
    return 0;
}

static int close_book(void **state) {
    struct book *book = *state;
    placement_free(book->placement);
    config_free(book->config);
    free(book);
    return 0;
}

static struct stream *try_placing(const struct book *book, int class) {
    struct stream *stream =
        stream_new(book->config, rig_pool(), class, "t", 1, 1, placement_n_models(book->placement, class));
    assert_non_null(stream);
    if (placement_acquire(book->placement, stream, -1) == 0)
        return stream;
    stream_free(stream);
    return NULL;
}

/* The same where memory is so short that no batch of model b can be made: its scalers are beyond any address
 * space. */
static struct stream *try_placing_without_memory(const struct book *book, int class) {
    struct stream *stream =
        stream_new(book->config, rig_pool(), class, "t", 1, 1, placement_n_models(book->placement, class));
    assert_non_null(stream);
    struct config_class *of = &book->config->classes[TWO];
    struct config_model *model = &book->config->models[MODEL_B];
    const int n_features = of->n_features, batch_size = model->batch_size;
    of->n_features = INT_MAX;
    model->batch_size = 65536;
    int failed = placement_acquire(book->placement, stream, -1);
    of->n_features = n_features;
    model->batch_size = batch_size;
    if (failed == 0)
        return stream;
    stream_free(stream);
    return NULL;
}

static struct stream *place(const struct book *book, int class) {
    struct stream *stream = try_placing(book, class);
    assert_non_null(stream);
    for (int i = 0; i < stream->n_places; i++) /* one worker for all models */
        assert_int_equal(stream->places[i].batch->worker, stream->worker);
    return stream;
}

static void let_go(const struct book *book, struct stream *stream) {
    placement_release(book->placement, stream);
    stream_free(stream);
}

static void let_all_go(const struct book *book, struct stream **streams, int n) {
    for (int i = 0; i < n; i++)
        let_go(book, streams[i]);
}

static void places_are_in_the_order_of_the_models(void **state) {
    const struct book *book = *state;
    assert_int_equal(placement_n_models(book->placement, TWO), 2);
    assert_int_equal(placement_n_models(book->placement, ONE), 1);
    struct stream *two = place(book, TWO), *one = place(book, ONE);
    assert_int_equal(two->places[0].batch->model, MODEL_A);
    assert_int_equal(two->places[1].batch->model, MODEL_B);
    assert_int_equal(one->places[0].batch->model, MODEL_O);
    assert_int_equal(placement_n_streams(book->placement, MODEL_A), 1);
    assert_int_equal(placement_n_batches(book->placement, MODEL_A), 1);
    let_go(book, two);
    let_go(book, one);
    assert_int_equal(placement_n_streams(book->placement, MODEL_A), 0);
    assert_int_equal(placement_n_batches(book->placement, MODEL_A), 1); /* stays */
}

static void slots_are_filled_first_and_new_batches_spread(void **state) {
    const struct book *book = *state;
    struct stream *streams[6];
    int used[3] = {0};
    for (int i = 0; i < 6; i++) {
        streams[i] = place(book, ONE);
        used[streams[i]->worker]++;
        assert_int_equal(placement_n_batches(book->placement, MODEL_O), (i + 2) / 2);
        assert_int_equal(streams[i]->places[0].slot, i % 2);
        assert_int_equal(streams[i]->places[0].batch->id, i / 2);
        if (i % 2 == 1)
            assert_ptr_equal(streams[i]->places[0].batch, streams[i - 1]->places[0].batch);
    }
    for (int w = 0; w < 3; w++)
        assert_int_equal(used[w], 2);
    let_all_go(book, streams, 6);
}

/* A class looks at the load of all classes. */
static void a_new_batch_goes_to_the_worker_with_the_fewest(void **state) {
    const struct book *book = *state;
    struct stream *streams[3] = {place(book, TWO), place(book, TWO), place(book, ONE)};
    assert_int_equal(streams[0]->worker, streams[1]->worker);
    assert_int_not_equal(streams[2]->worker, streams[0]->worker);
    struct stream *third = place(book, TWO); /* model a is full there, b has a slot: that worker it is */
    assert_int_equal(third->worker, streams[0]->worker);
    assert_int_equal(placement_n_batches(book->placement, MODEL_A), 2);
    assert_int_equal(placement_n_batches(book->placement, MODEL_B), 1);
    let_all_go(book, streams, 3);
    let_go(book, third);
}

static void a_slot_is_given_out_again_only_after_its_release(void **state) {
    const struct book *book = *state;
    struct stream *first = place(book, ONE), *second = place(book, ONE), *third = place(book, ONE);
    struct batch *batch = first->places[0].batch;
    assert_ptr_not_equal(third->places[0].batch, batch);
    int slot = second->places[0].slot;
    let_go(book, second);
    struct stream *fourth = place(book, ONE), *fifth = place(book, ONE);
    /* Both free slots, each once, before any new batch. */
    assert_true((fourth->places[0].batch == batch) != (fifth->places[0].batch == batch));
    assert_int_equal((fourth->places[0].batch == batch ? fourth : fifth)->places[0].slot, slot);
    assert_int_equal(placement_n_batches(book->placement, MODEL_O), 2);
    let_go(book, first);
    let_go(book, third);
    let_go(book, fourth);
    let_go(book, fifth);
}

/* Whatever comes and goes: no slot has two streams, counts are right, and no batch opens while there is room. */
static void the_book_is_right_whatever_comes_and_goes(void **state) {
    const struct book *book = *state;
    enum { MOST = 64 };
    struct stream *streams[MOST] = {NULL};
    struct rng rng = {3};
    for (int turn = 0; turn < 4000; turn++) {
        size_t i = (size_t)rng_below(&rng, turn / 500 % 2 == 0 ? MOST : MOST / 4);
        if (streams[i] != NULL) {
            let_go(book, streams[i]);
            streams[i] = NULL;
            continue;
        }
        int class = (int)rng_below(&rng, 2);
        int batches = placement_n_batches(book->placement, MODEL_O);
        int64_t placed = placement_n_streams(book->placement, MODEL_O);
        streams[i] = place(book, class);
        if (class == ONE && placed < 2 * batches)
            assert_int_equal(placement_n_batches(book->placement, MODEL_O), batches);
        int counts[3] = {0};
        for (size_t j = 0; j < MOST; j++)
            for (int p = 0; streams[j] != NULL && p < streams[j]->n_places; p++) {
                const struct place *other = &streams[j]->places[p];
                counts[other->batch->model]++;
                for (int q = 0; j != i && q < streams[i]->n_places; q++)
                    assert_false(other->batch == streams[i]->places[q].batch &&
                                 other->slot == streams[i]->places[q].slot);
            }
        for (int m = 0; m < 3; m++)
            assert_int_equal(placement_n_streams(book->placement, m), counts[m]);
    }
    for (size_t i = 0; i < MOST; i++)
        if (streams[i] != NULL)
            let_go(book, streams[i]);
}

/* The second model's batch cannot be made: the stream has no place, and the first model's slot is free again. */
static void a_failure_gives_everything_back(void **state) {
    const struct book *book = *state;
    struct stream *streams[3];
    for (int i = 0; i < 3; i++)
        streams[i] = place(book, TWO); /* model b's batch is full, model a has a slot left */
    for (int i = 0; i < 3; i++) {
        assert_null(try_placing_without_memory(book, TWO));
        assert_int_equal(placement_n_streams(book->placement, MODEL_A), 3);
        assert_int_equal(placement_n_streams(book->placement, MODEL_B), 3);
        assert_int_equal(placement_n_batches(book->placement, MODEL_A), 2);
        assert_int_equal(placement_n_batches(book->placement, MODEL_B), 1);
    }
    /* A freed place is as good as ever while new ones cannot be had. */
    let_go(book, streams[1]);
    streams[1] = try_placing_without_memory(book, TWO);
    assert_non_null(streams[1]);
    assert_null(try_placing_without_memory(book, TWO));
    struct stream *fourth = place(book, TWO);
    assert_int_equal(placement_n_batches(book->placement, MODEL_A), 2);
    assert_int_equal(placement_n_batches(book->placement, MODEL_B), 2);
    let_all_go(book, streams, 3);
    let_go(book, fourth);
}

static struct version *seeded(const struct book *book, int model, uint64_t number) {
    struct error err;
    struct network *network = forecaster_network(&book->config->models[model], &err);
    assert_non_null(network);
    return version_new(number, network);
}

static void new_batches_serve_the_latest_version(void **state) {
    const struct book *book = *state;
    assert_null(placement_version(book->placement, MODEL_O));
    struct stream *streams[5];
    streams[0] = place(book, ONE);
    streams[1] = place(book, ONE);
    for (uint64_t number = 1; number <= 2; number++) {
        struct version *version = seeded(book, MODEL_O, number);
        placement_set_version(book->placement, MODEL_O, version);
        version_release(version); /* the book has a reference of its own */
        assert_int_equal(version_number(placement_version(book->placement, MODEL_O)), number);
        streams[1 + number] = place(book, ONE);
    }
    streams[4] = place(book, ONE);
    static const uint64_t serve[] = {0, 0, 1, 1, 2}; /* the fourth fills the second batch */
    for (int i = 0; i < 5; i++)
        assert_int_equal(forecaster_version(streams[i]->places[0].batch->forecaster), serve[i]);
    assert_null(placement_version(book->placement, MODEL_A));
    let_all_go(book, streams, 5);
}

static void a_stream_may_have_to_be_on_a_worker(void **state) {
    const struct book *book = *state;
    struct stream *anywhere = place(book, TWO);
    int other = (anywhere->worker + 1) % 3;
    struct stream *there =
        stream_new(book->config, rig_pool(), TWO, "t", 1, 1, placement_n_models(book->placement, TWO));
    assert_non_null(there);
    assert_int_equal(placement_acquire(book->placement, there, other), 0);
    assert_int_equal(there->worker, other);
    for (int i = 0; i < there->n_places; i++)
        assert_int_equal(there->places[i].batch->worker, other);
    let_go(book, anywhere);
    let_go(book, there);
}

int main(void) {
#define IN_BOOK(test) cmocka_unit_test_setup_teardown(test, open_book, close_book)
    const struct CMUnitTest tests[] = {
        IN_BOOK(a_stream_may_have_to_be_on_a_worker),
        IN_BOOK(places_are_in_the_order_of_the_models),
        IN_BOOK(slots_are_filled_first_and_new_batches_spread),
        IN_BOOK(a_new_batch_goes_to_the_worker_with_the_fewest),
        IN_BOOK(a_slot_is_given_out_again_only_after_its_release),
        IN_BOOK(the_book_is_right_whatever_comes_and_goes),
        IN_BOOK(a_failure_gives_everything_back),
        IN_BOOK(new_batches_serve_the_latest_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
