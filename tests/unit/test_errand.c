#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/errand.h"

#include <time.h>

static atomic_bool may_end;

static void wait_and_count(void *context) {
    while (!atomic_load(&may_end))
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    ++*(int *)context;
}

static void it_rings_when_it_is_done(void **state) {
    (void)state;
    struct doorbell bell;
    struct errand errand;
    int count = 0;
    assert_int_equal(doorbell_init(&bell), 0);
    errand_init(&errand, &bell);
    assert_false(errand_is_done(&errand));
    assert_false(errand_end(&errand));
    for (int round = 1; round <= 3; round++) {
        atomic_store(&may_end, false);
        assert_int_equal(errand_begin(&errand, "errand", wait_and_count, &count), 0);
        assert_false(errand_is_done(&errand));
        doorbell_arm(&bell);
        atomic_store(&may_end, true);
        doorbell_wait(&bell, 10000);
        doorbell_disarm(&bell);
        assert_true(errand_end(&errand)); /* and waits for it */
        assert_int_equal(count, round);
        assert_false(errand_is_done(&errand));
    }
    doorbell_fini(&bell);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_rings_when_it_is_done)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
