#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/give_way.h"

#include "daemon/clock.h"
#include "daemon/priority.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

enum { MS = 1000000 };
static const int64_t patience = INT64_C(20000) * MS;

/* The threads of a test share a processor: one of those that it may use. */
static void share_processor(void) {
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

/* Wakes up and runs a moment, over and over. */
static void *busy(void *stop) {
    share_processor();
    while (!atomic_load((atomic_bool *)stop)) {
        usleep(200);
        for (int64_t until = clock_monotonic() + MS / 20; clock_monotonic() < until;)
            ;
    }
    return NULL;
}

/* Computes until there were more naps than `naps`, or for so long; errno stays what it was. */
static int64_t compute(const struct give_way *way, int64_t naps, int64_t most) {
    int64_t until = clock_monotonic() + most;
    errno = 77;
    while (atomic_load(&way->naps) <= naps && clock_monotonic() < until)
        ;
    assert_int_equal(errno, 77);
    return atomic_load(&way->naps);
}

static void *give_way(void *unused) {
    struct give_way way;
    share_processor();
    assert_int_equal(priority_background(false), 0);
    assert_int_equal(give_way_open(&way), 0);
    assert_int_equal(compute(&way, 0, 20 * MS), 0); /* it is held */
    give_way_go(&way);
    int64_t naps = compute(&way, 0, patience);
    assert_true(naps > 0);
    naps = compute(&way, naps, patience); /* and once more */
    give_way_hold(&way);
    int64_t held = atomic_load(&way.naps);
    assert_true(held >= naps);
    assert_int_equal(compute(&way, held, 20 * MS), held);
    give_way_go(&way);
    assert_true(compute(&way, held, patience) > held);
    give_way_close(&way);
    held = atomic_load(&way.naps);
    assert_int_equal(compute(&way, held, 20 * MS), held);
    return unused;
}

static void whoever_takes_its_processor_has_it_nap(void **state) {
    (void)state;
    pthread_t other, thread;
    atomic_bool stop = false;
    if (sched_getscheduler(0) != SCHED_OTHER)
        skip();
    assert_int_equal(pthread_create(&other, NULL, busy, &stop), 0);
    assert_int_equal(pthread_create(&thread, NULL, give_way, NULL), 0);
    pthread_join(thread, NULL);
    atomic_store(&stop, true);
    pthread_join(other, NULL);
}

/* What is not open may be told all of it. */
static void without_a_timer_nothing_happens(void **state) {
    (void)state;
    struct give_way way = {0};
    give_way_go(&way);
    give_way_hold(&way);
    give_way_close(&way);
    assert_int_equal(atomic_load(&way.naps), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_takes_its_processor_has_it_nap),
        cmocka_unit_test(without_a_timer_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
