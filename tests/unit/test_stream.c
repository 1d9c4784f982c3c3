#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/stream.h"

#include "tests/support/bus_fixture.h"

#include <limits.h>
#include <math.h>
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

static struct version *seeded(const struct config *config, int model, uint64_t number) {
    struct error err;
    struct network *network = forecaster_network(&config->models[model], &err);
    assert_non_null(network);
    network_init_weights(network, number);
    struct version *version = version_new(number, network);
    assert_non_null(version);
    return version;
}

static void a_batch_has_all_its_slots_free(void **state) {
    (void)state;
    struct config *config = rig_config("", RIG_CLASS RIG_MODEL);
    struct batch *batch = batch_new(config, 0, 5, 3, kernels_choose(), NULL, NULL);
    assert_non_null(batch);
    assert_int_equal(batch->model, 0);
    assert_int_equal(batch->id, 5);
    assert_int_equal(batch->worker, 3);
    assert_int_equal(batch->n_free, config->models[0].batch_size);
    for (int i = 0; i < batch->n_free; i++) {
        assert_int_equal(batch->free_slots[batch->n_free - 1 - i], i); /* the first slot is the first to be taken */
        assert_null(batch->streams[i]);
        assert_false(batch->is_ready[i]);
    }
    assert_int_equal(batch->n_ready, 0);
    assert_false(batch->listed);
    assert_int_equal(forecaster_version(batch->forecaster), 0);
    batch_free(batch);
    batch_free(NULL);
    config_free(config);
}

static void a_batch_serves_its_version_from_the_start(void **state) {
    (void)state;
    struct config *config = rig_config("", RIG_CLASS RIG_MODEL);
    struct version *version = seeded(config, 0, 9);
    struct batch *batch = batch_new(config, 0, 0, 0, kernels_choose(), version, NULL);
    version_release(version); /* the batch has a reference of its own */
    assert_int_equal(forecaster_version(batch->forecaster), 9);
    assert_false(forecaster_taking_over(batch->forecaster));
    batch->next_version = seeded(config, 0, 10); /* and frees the one that waits */
    batch_free(batch);
    config_free(config);
}

static void a_batch_that_memory_has_no_room_for_is_none(void **state) {
    (void)state;
    struct config *config = rig_config("", RIG_CLASS RIG_MODEL);
    int n_features = config->classes[0].n_features;
    config->models[0].batch_size = 65536;
    config->classes[0].n_features = INT_MAX; /* scalers for all of them: beyond any address space */
    assert_null(batch_new(config, 0, 0, 0, kernels_choose(), NULL, NULL));
    config->classes[0].n_features = n_features;
    config_free(config);
}

static void a_stream_has_what_it_was_given(void **state) {
    (void)state;
    struct config *config = rig_config("", RIG_CLASS RIG_MODEL);
    struct stream *stream = stream_new(config, rig_pool(), 0, "c/boiler-10", 10, 7, 2);
    assert_non_null(stream);
    assert_string_equal(stream->name, "c/boiler-1"); /* n bytes of the name */
    assert_int_equal(stream->name_length, 10);
    assert_int_equal(stream->class, 0);
    assert_int_equal(stream->generation, 7);
    assert_int_equal(stream->n_places, 2);
    assert_int_equal(stream->series->history->n_features, 2);
    assert_int_equal(stream->series->history->kept, 32);
    assert_int_equal(atomic_load(&stream->steps), 0);
    stream_free(stream);
    stream_free(NULL);
    int n_features = config->classes[0].n_features;
    config->classes[0].history = 1 << 24;
    config->classes[0].n_features = 1 << 21; /* their history is beyond any address space */
    assert_null(stream_new(config, rig_pool(), 0, "c/x", 3, 1, 1));
    config->classes[0].n_features = n_features;
    config_free(config);
}

/* The slowest of its models counts. */
static void pending_is_what_the_slowest_has_not_seen(void **state) {
    (void)state;
    struct config *config = rig_config("", RIG_CLASS "models:\n" RIG_MODEL_OF("m", "c") RIG_MODEL_OF("other", "c"));
    struct batch *batches[2];
    struct stream *stream = stream_new(config, rig_pool(), 0, "c/1", 3, 1, 2);
    for (int m = 0; m < 2; m++) {
        batches[m] = batch_new(config, m, 0, 0, kernels_choose(), NULL, NULL);
        stream->places[m] = (struct place){batches[m], 1};
        forecaster_acquire(batches[m]->forecaster, 1, stream->series->history);
    }
    assert_int_equal(stream_pending(stream), 0);
    const double values[2] = {1, NAN};
    enum time_verdict verdict;
    for (int t = 1; t <= 5; t++)
        assert_int_equal(series_take(stream->series, t, values, &verdict), 1);
    assert_int_equal(stream_pending(stream), 5);
    const int slot = 1;
    for (int i = 0; i < 3; i++)
        forecaster_advance(batches[0]->forecaster, &slot, 1);
    assert_int_equal(stream_pending(stream), 5);
    for (int i = 0; i < 4; i++)
        forecaster_advance(batches[1]->forecaster, &slot, 1);
    assert_int_equal(stream_pending(stream), 2);
    stream_free(stream);
    batch_free(batches[0]);
    batch_free(batches[1]);
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_has_all_its_slots_free),
        cmocka_unit_test(a_batch_serves_its_version_from_the_start),
        cmocka_unit_test(a_batch_that_memory_has_no_room_for_is_none),
        cmocka_unit_test(a_stream_has_what_it_was_given),
        cmocka_unit_test(pending_is_what_the_slowest_has_not_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
