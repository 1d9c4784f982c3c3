#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/priority.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

/* Of the calling thread. */
static int nice_level(void) {
    errno = 0;
    int level = getpriority(PRIO_PROCESS, 0);
    assert_int_equal(errno, 0);
    return level;
}

static void *prompt(void *before) {
    priority_prompt();
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    assert_int_equal(nice_level(), *(const int *)before);
    priority_usual();
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    assert_int_equal(nice_level(), *(const int *)before);
    return NULL;
}

static void *background(void *before) {
    int nice = *(const int *)before > 10 ? *(const int *)before : 10;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(priority_background(false), 0);
        assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
        assert_int_equal(priority_background(true), 0);
        assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
        assert_int_equal(nice_level(), nice);
    }
    return NULL;
}

/* Each in a thread of its own: it cannot rise again, and no other one sinks with it. */
static void run(void *(*as)(void *)) {
    pthread_t thread;
    int before = nice_level(), policy = sched_getscheduler(0);
    if (policy != SCHED_OTHER)
        skip();
    assert_int_equal(pthread_create(&thread, NULL, as, &before), 0);
    pthread_join(thread, NULL);
    assert_int_equal(nice_level(), before);
    assert_int_equal(sched_getscheduler(0), policy);
}

static void prompt_threads_keep_policy_and_level(void **state) {
    (void)state;
    run(prompt);
}

static void the_background_is_idle_or_nice(void **state) {
    (void)state;
    run(background);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_threads_keep_policy_and_level),
        cmocka_unit_test(the_background_is_idle_or_nice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
