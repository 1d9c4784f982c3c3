#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/doorbell.h"

#include "daemon/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

static bool is_rung(const struct doorbell *bell) {
    struct pollfd item = {.fd = doorbell_fd(bell), .events = POLLIN};
    return poll(&item, 1, 0) == 1;
}

static void it_rings_only_for_who_sleeps(void **state) {
    (void)state;
    struct doorbell bell;
    assert_int_equal(doorbell_init(&bell), 0);
    doorbell_ring(&bell);
    assert_false(is_rung(&bell)); /* nobody sleeps: no system call */
    doorbell_arm(&bell);
    assert_false(is_rung(&bell));
    doorbell_ring(&bell);
    assert_true(is_rung(&bell));
    doorbell_ring(&bell);
    doorbell_disarm(&bell);
    assert_false(is_rung(&bell));
    doorbell_arm(&bell);
    doorbell_disarm(&bell);
    assert_false(is_rung(&bell));
    doorbell_fini(&bell);
    doorbell_fini(&bell); /* twice is harmless */
}

static void a_wait_ends_at_its_limit(void **state) {
    (void)state;
    struct doorbell bell;
    assert_int_equal(doorbell_init(&bell), 0);
    int64_t began = clock_monotonic();
    doorbell_arm(&bell);
    doorbell_wait(&bell, 20);
    doorbell_disarm(&bell);
    assert_true(clock_monotonic() - began >= 19000000);
    doorbell_arm(&bell);
    doorbell_ring(&bell);
    doorbell_wait(&bell, -1); /* rung before: returns */
    doorbell_disarm(&bell);
    doorbell_fini(&bell);
}

/*
 * The ringer has found the sleeper armed, and comes to write only after the sleeper has disarmed. The next wait may
 * end for that, but no later one: a bell that stayed readable would keep its sleeper from ever sleeping.
 */
static void what_was_written_late_is_taken_once(void **state) {
    (void)state;
    struct doorbell bell;
    uint64_t one = 1;
    assert_int_equal(doorbell_init(&bell), 0);
    for (int late = 1; late <= 3; late++) {
        for (int i = 0; i < late; i++) {
            doorbell_arm(&bell);
            atomic_exchange(&bell.armed, 0); /* a ringer's first half */
            doorbell_disarm(&bell);
        }
        for (int i = 0; i < late; i++)
            assert_int_equal(write(doorbell_fd(&bell), &one, sizeof one), (ssize_t)sizeof one); /* its second */
        doorbell_arm(&bell);
        doorbell_disarm(&bell);
        doorbell_arm(&bell);
        assert_false(is_rung(&bell));
        doorbell_ring(&bell);
        assert_true(is_rung(&bell));
        doorbell_disarm(&bell);
        assert_false(is_rung(&bell));
    }
    doorbell_fini(&bell);
}

/* ---- threads ------------------------------------------------------------------------------------ */

enum { ROUNDS = 1000000, RINGERS = 3, LIMIT_MS = 2000, STRESS_NS = 700000000 };

/* A number that two threads hand to and fro, each sleeping until it is its turn. */
struct court {
    struct doorbell bells[2];
    atomic_uint_fast64_t ball;
    atomic_int lost; /* waits that ended at their limit */
    int64_t until;
};

struct player {
    struct court *court;
    unsigned side;
};

static void *play(void *context) {
    const struct player *player = context;
    struct court *court = player->court;
    struct doorbell *bell = &court->bells[player->side];
    for (;;) {
        uint_fast64_t ball = atomic_load_explicit(&court->ball, memory_order_acquire);
        if (ball >= ROUNDS || atomic_load(&court->lost) > 0)
            return NULL;
        if (ball % 2 == player->side) {
            /* Over time: the other side is told to stop as well. */
            ball = clock_monotonic() > court->until ? ROUNDS : ball + 1;
            atomic_store_explicit(&court->ball, ball, memory_order_release);
            doorbell_ring(&court->bells[1 - player->side]);
            continue;
        }
        doorbell_arm(bell);
        if (atomic_load_explicit(&court->ball, memory_order_acquire) == ball) {
            int64_t began = clock_monotonic();
            doorbell_wait(bell, LIMIT_MS);
            if (clock_monotonic() - began >= LIMIT_MS * INT64_C(1000000))
                atomic_fetch_add(&court->lost, 1);
        }
        doorbell_disarm(bell);
    }
}

static void no_wake_up_is_lost_to_and_fro(void **state) {
    (void)state;
    struct court court;
    atomic_init(&court.ball, 0);
    atomic_init(&court.lost, 0);
    court.until = clock_monotonic() + STRESS_NS;
    struct player players[2] = {{&court, 0}, {&court, 1}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(doorbell_init(&court.bells[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&court.lost), 0);
    for (int i = 0; i < 2; i++)
        doorbell_fini(&court.bells[i]);
}

/* Several ringers, each with a counter that it raises only when the sleeper has seen the one before. */
struct house {
    struct doorbell bell;
    atomic_uint_fast64_t raised[RINGERS], seen[RINGERS];
    atomic_bool stop;
};

struct ringer {
    struct house *house;
    int index;
};

static void *ring_on(void *context) {
    const struct ringer *ringer = context;
    struct house *house = ringer->house;
    uint_fast64_t n = 0;
    while (!atomic_load(&house->stop)) {
        if (atomic_load_explicit(&house->seen[ringer->index], memory_order_relaxed) != n)
            continue;
        /* At all distances from the moment where the sleeper goes to sleep. */
        for (volatile uint_fast64_t i = 0; i < n % 256;)
            i = i + 1;
        atomic_store_explicit(&house->raised[ringer->index], ++n, memory_order_release);
        doorbell_ring(&house->bell);
    }
    return NULL;
}

static bool look(struct house *house) {
    bool any = false;
    for (int i = 0; i < RINGERS; i++) {
        uint_fast64_t raised = atomic_load_explicit(&house->raised[i], memory_order_acquire);
        any |= raised != atomic_load_explicit(&house->seen[i], memory_order_relaxed);
        atomic_store_explicit(&house->seen[i], raised, memory_order_relaxed);
    }
    return any;
}

static void sleep_among(int n) {
    static struct house house;
    struct ringer ringers[RINGERS];
    pthread_t threads[RINGERS];
    assert_int_equal(doorbell_init(&house.bell), 0);
    atomic_store(&house.stop, false);
    for (int i = 0; i < n; i++) {
        atomic_store(&house.raised[i], 0);
        atomic_store(&house.seen[i], 0);
        ringers[i] = (struct ringer){&house, i};
        assert_int_equal(pthread_create(&threads[i], NULL, ring_on, &ringers[i]), 0);
    }
    int64_t until = clock_monotonic() + STRESS_NS;
    int lost = 0, slept = 0;
    while (lost == 0 && clock_monotonic() < until) {
        if (look(&house))
            continue;
        doorbell_arm(&house.bell);
        if (!look(&house)) {
            int64_t began = clock_monotonic();
            doorbell_wait(&house.bell, LIMIT_MS);
            lost += clock_monotonic() - began >= LIMIT_MS * INT64_C(1000000);
            slept++;
        }
        doorbell_disarm(&house.bell);
    }
    atomic_store(&house.stop, true);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(lost, 0);
    assert_true(slept > 0);
    doorbell_fini(&house.bell);
}

static void no_wake_up_is_lost_with_one_ringer(void **state) {
    (void)state;
    sleep_among(1);
}

static void no_wake_up_is_lost_among_several(void **state) {
    (void)state;
    sleep_among(RINGERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_rings_only_for_who_sleeps),        cmocka_unit_test(a_wait_ends_at_its_limit),
        cmocka_unit_test(what_was_written_late_is_taken_once), cmocka_unit_test(no_wake_up_is_lost_to_and_fro),
        cmocka_unit_test(no_wake_up_is_lost_with_one_ringer),  cmocka_unit_test(no_wake_up_is_lost_among_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
