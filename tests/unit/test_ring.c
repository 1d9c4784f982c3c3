#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/ring.h"

#include "daemon/clock.h"
#include "engine/random.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What the i-th record of a run holds: told by its number alone. */
static void fill(unsigned char *record, size_t n, uint64_t i) {
    for (size_t k = 0; k < n; k++)
        record[k] = (unsigned char)(i * 31 + k * 7);
}

static bool is_filled(const unsigned char *record, size_t n, uint64_t i) {
    for (size_t k = 0; k < n; k++)
        if (record[k] != (unsigned char)(i * 31 + k * 7))
            return false;
    return true;
}

static void put(struct ring *ring, size_t n, uint64_t i) {
    void *place = ring_reserve(ring, n, 0);
    assert_non_null(place);
    fill(place, n, i);
    ring_commit(ring, n);
}

static void take(struct ring *ring, size_t n, uint64_t i) {
    size_t got;
    const void *record = ring_peek(ring, &got);
    assert_non_null(record);
    assert_int_equal(got, n);
    assert_true(is_filled(record, n, i));
    ring_consume(ring);
}

/* Brings an empty ring to stand `at` bytes (a multiple of 8, not 0) behind where it stands. */
static void move_on(struct ring *ring, size_t at) {
    while (at > 0) {
        size_t n = at > 1024 ? 1016 : at - 8; /* eight for the head */
        put(ring, n, 0);
        take(ring, n, 0);
        at -= n + 8;
    }
}

/* ---- one thread --------------------------------------------------------------------------------- */

static void sizes_are_powers_of_two(void **state) {
    (void)state;
    static const struct {
        size_t asked, size;
    } sizes[] = {{0, 4096}, {1, 4096}, {4096, 4096}, {4097, 8192}, {65536, 65536}, {65537, 131072}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ring *ring = ring_new(sizes[i].asked);
        assert_non_null(ring);
        assert_int_equal(ring_max_record(ring), sizes[i].size / 2 - 16);
        assert_int_equal(ring_used(ring), 0);
        assert_int_equal(ring_times_full(ring), 0);
        ring_free(ring);
    }
    ring_free(NULL);
}

static void a_record_stays_until_it_is_consumed(void **state) {
    (void)state;
    struct ring *ring = ring_new(4096);
    size_t n;
    assert_null(ring_peek(ring, &n));
    void *place = ring_reserve(ring, 100, 0);
    fill(place, 100, 1);
    assert_null(ring_peek(ring, &n)); /* reserved is not there yet */
    ring_commit(ring, 10);            /* shorter than reserved */
    put(ring, 0, 2);
    for (int twice = 0; twice < 2; twice++) {
        assert_non_null(ring_peek(ring, &n));
        assert_int_equal(n, 10);
    }
    take(ring, 10, 1);
    take(ring, 0, 2);
    assert_null(ring_peek(ring, &n));
    assert_int_equal(ring_used(ring), 0);
    ring_free(ring);
}

static void records_are_aligned(void **state) {
    (void)state;
    struct ring *ring = ring_new(4096);
    for (size_t n = 0; n < 200; n++) {
        void *place = ring_reserve(ring, n, 0);
        assert_non_null(place);
        assert_int_equal((uintptr_t)place % 8, 0);
        ring_commit(ring, n);
        assert_ptr_equal(ring_peek(ring, &(size_t){0}), place);
        ring_consume(ring);
    }
    ring_free(ring);
}

/* An empty ring takes its longest record, and says so, wherever it stands. */
static void the_longest_record_fits_everywhere(void **state) {
    (void)state;
    struct ring *ring = ring_new(4096);
    size_t most = ring_max_record(ring);
    for (size_t at = 8; at <= 4096; at += 8) {
        assert_true(ring_has_room(ring, most, 0));
        put(ring, most, at);
        take(ring, most, at);
        /* One step further each time. */
        move_on(ring, 4096 - (most + 8) % 4096 + 8);
        assert_int_equal(ring_used(ring), 0);
    }
    assert_int_equal(ring_times_full(ring), 0);
    ring_free(ring);
}

static void a_full_ring_refuses_and_counts(void **state) {
    (void)state;
    struct ring *ring = ring_new(4096);
    uint64_t n = 0;
    while (ring_reserve(ring, 56, 0) != NULL) {
        ring_commit(ring, 56);
        n++;
    }
    assert_int_equal(n, 4096 / 64);
    assert_int_equal(ring_used(ring), 4096);
    assert_int_equal(ring_times_full(ring), 1);
    assert_null(ring_reserve(ring, 0, 0));
    assert_int_equal(ring_times_full(ring), 2);
    assert_false(ring_has_room(ring, 0, 0));
    assert_int_equal(ring_times_full(ring), 2); /* asking is not reserving */
    ring_consume(ring);
    assert_non_null(ring_reserve(ring, 56, 0));
    assert_null(ring_reserve(ring, 57, 0));
    assert_int_equal(ring_times_full(ring), 3);
    ring_free(ring);
}

static void spare_room_is_left_over(void **state) {
    (void)state;
    struct ring *ring = ring_new(4096);
    int n = 0;
    while (ring_reserve(ring, 56, 1024) != NULL) {
        ring_commit(ring, 56);
        n++;
    }
    assert_int_equal(n, (4096 - 1024) / 64);
    assert_false(ring_has_room(ring, 56, 1024));
    for (int i = 0; i < 1024 / 64; i++)
        put(ring, 56, 0);
    assert_null(ring_reserve(ring, 0, 0));
    ring_free(ring);
}

/* A mirror in plain memory; sizes and turns at random, all lengths up to the longest. */
static void it_is_a_queue_whatever_the_sizes(void **state) {
    (void)state;
    enum { MOST = 1024 };
    struct ring *ring = ring_new(8192);
    size_t lengths[MOST];
    struct rng random = {1};
    uint64_t written = 0, read = 0, full = 0;
    for (int turn = 0; turn < 300000; turn++) {
        uint64_t choice = rng_next(&random);
        size_t most = choice % 64 == 0 ? ring_max_record(ring) : choice % 8 == 0 ? 500 : 40;
        size_t n = (size_t)(rng_next(&random) % (most + 1));
        if (choice >> 60 < 9) { /* a little more often: it is nearly full for most of the time */
            void *place = written - read < MOST ? ring_reserve(ring, n, 0) : NULL;
            full += place == NULL && written - read < MOST;
            if (place == NULL)
                continue;
            fill(place, n, written);
            lengths[written++ % MOST] = n;
            ring_commit(ring, n);
        } else if (written > read) {
            take(ring, lengths[read % MOST], read);
            read++;
        } else {
            assert_null(ring_peek(ring, &n));
            assert_int_equal(ring_used(ring), 0);
        }
        assert_true(ring_used(ring) <= 8192);
    }
    assert_true(full > 1000 && read > 10000);
    assert_int_equal(ring_times_full(ring), full);
    ring_free(ring);
}

/* Told that there is room, the producer finds it: for the record, also behind a small one that comes before it. */
static void room_that_was_promised_is_there(void **state) {
    (void)state;
    struct ring *ring = ring_new(4096);
    struct rng random = {2};
    uint64_t promised = 0, refused = 0;
    for (int turn = 0; turn < 200000; turn++) {
        uint64_t choice = rng_next(&random);
        size_t n = (size_t)(rng_next(&random) % (ring_max_record(ring) - 31));
        size_t spare = (size_t)(choice >> 8) % 512, got;
        if (choice % 4 == 0 && ring_has_room(ring, n + 32, spare)) {
            promised++;
            void *before = ring_reserve(ring, 16, 0);
            assert_non_null(before);
            ring_commit(ring, 16);
            assert_non_null(ring_reserve(ring, n, spare));
            ring_commit(ring, n);
        } else if (choice % 4 < 3) {
            void *place = ring_reserve(ring, n % 600, 0);
            refused += place == NULL;
            if (place != NULL)
                ring_commit(ring, n % 600);
        } else {
            /* All of them now and then: it is full at times, and empty at others. */
            for (int i = 0; i < (choice % 64 == 3 ? 1000 : 1) && ring_peek(ring, &got) != NULL; i++)
                ring_consume(ring);
        }
    }
    assert_in_range(promised, 1000, UINT64_MAX);
    assert_in_range(refused, 1000, UINT64_MAX);
    assert_int_equal(ring_times_full(ring), refused);
    ring_free(ring);
}

/* ---- two threads -------------------------------------------------------------------------------- */

enum { STRESS_MS = 700 };

struct stress {
    struct ring *ring;
    atomic_bool done; /* the producer is */
    uint64_t written; /* read when it is joined */
};

/* Number, then as many bytes as the number's hash says. */
static size_t stress_length(uint64_t i) {
    uint64_t hash = rng_hash(7, &i, sizeof i);
    return sizeof i + (size_t)(hash % 16 == 0 ? hash >> 8 & 1023 : hash >> 8 & 31);
}

static void *produce(void *context) {
    struct stress *stress = context;
    int64_t until = clock_monotonic() + STRESS_MS * INT64_C(1000000);
    uint64_t i = 0;
    while (i % 64 != 0 || clock_monotonic() < until) {
        size_t n = stress_length(i);
        unsigned char *place = ring_reserve(stress->ring, n, 0);
        if (place == NULL) {
            sched_yield();
            continue;
        }
        memcpy(place, &i, sizeof i);
        fill(place + sizeof i, n - sizeof i, i);
        ring_commit(stress->ring, n);
        i++;
    }
    stress->written = i;
    atomic_store_explicit(&stress->done, true, memory_order_release);
    return NULL;
}

static void records_cross_threads_whole_and_in_order(void **state) {
    (void)state;
    struct stress stress = {.ring = ring_new(4096)};
    atomic_init(&stress.done, false);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, &stress), 0);
    uint64_t read = 0, wrong = 0;
    for (;;) {
        bool done = atomic_load_explicit(&stress.done, memory_order_acquire);
        size_t n;
        const unsigned char *record = ring_peek(stress.ring, &n);
        wrong += ring_used(stress.ring) > 4096;
        if (record == NULL && done)
            break;
        if (record == NULL) {
            sched_yield();
            continue;
        }
        uint64_t number;
        memcpy(&number, record, sizeof number);
        wrong +=
            number != read || n != stress_length(read) || !is_filled(record + sizeof number, n - sizeof number, read);
        ring_consume(stress.ring);
        read++;
    }
    pthread_join(producer, NULL);
    assert_int_equal(wrong, 0);
    assert_int_equal(read, stress.written);
    assert_true(read > 1000);
    ring_free(stress.ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_two),
        cmocka_unit_test(a_record_stays_until_it_is_consumed),
        cmocka_unit_test(records_are_aligned),
        cmocka_unit_test(the_longest_record_fits_everywhere),
        cmocka_unit_test(a_full_ring_refuses_and_counts),
        cmocka_unit_test(spare_room_is_left_over),
        cmocka_unit_test(it_is_a_queue_whatever_the_sizes),
        cmocka_unit_test(room_that_was_promised_is_there),
        cmocka_unit_test(records_cross_threads_whole_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
