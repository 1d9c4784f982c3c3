#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/drift.h"

#include "engine/random.h"

#include <math.h>

/* The step at which drift is told, of `before` steps with errors of mean size 1 and then `after` with size `grown`;
 * 0: never. */
static int told_at(uint64_t seed, int before, int after, double grown, double unit) {
    struct rng rng = {seed};
    struct drift drift = {0};
    for (int i = 1; i <= before + after; i++)
        if (drift_see(&drift, unit * (i > before ? grown : 1) * fabs(rng_normal(&rng)), 1))
            return i;
    return 0;
}

static void when(void **state) {
    (void)state;
    const struct {
        const char *what;
        int before, after;
        double grown;
        int earliest, latest; /* 0: never */
    } examples[] = {
        {"nothing changes", 100000, 0, 1, 0, 0},  {"errors shrink", 1000, 20000, 0.5, 0, 0},
        {"a tenth more", 1000, 20000, 1.1, 0, 0}, {"half as much again", 1000, 2000, 1.5, 1020, 1500},
        {"twice", 1000, 1000, 2, 1020, 1150},     {"ten times", 1000, 1000, 10, 1010, 1050},
        {"a burst", 1000, 8, 1000, 0, 0},         {"before anything is known", 10, 5, 1000, 0, 0},
        {"at once", 10, 300, 10, 100, 310},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        for (uint64_t seed = 1; seed <= 20; seed++)
            for (double unit = 1e-30; unit < 1e31; unit *= 1e30) {
                int at = told_at(seed, examples[i].before, examples[i].after, examples[i].grown, unit);
                if (examples[i].what[0] != 'a' || examples[i].what[3] != 'o') { /* "at once" may never be told */
                    if (at < examples[i].earliest || at > examples[i].latest)
                        fail_msg("%s: told at %d", examples[i].what, at);
                } else if (at != 0 && at < examples[i].earliest)
                    fail_msg("%s: told at %d", examples[i].what, at);
            }
}

static void it_begins_anew(void **state) {
    (void)state;
    struct drift drift = {0};
    for (int i = 0; i < 200; i++)
        assert_false(drift_see(&drift, 1, 1));
    bool told = false;
    for (int i = 0; i < 200 && !told; i++)
        told = drift_see(&drift, 3, 1);
    assert_true(told);
    assert_true(drift.n == 0 && drift_level(&drift) == 0);
    for (int i = 0; i < 1000; i++) /* the new size is the usual one now */
        assert_false(drift_see(&drift, 3, 1));
}

/* Steps that are seen together count as many, about as one by one. */
static void several_at_once(void **state) {
    (void)state;
    for (int together = 1; together <= 10; together *= 10) {
        struct drift drift = {0};
        int steps = 0;
        for (; steps < 500; steps += together)
            assert_false(drift_see(&drift, 1, together));
        while (!drift_see(&drift, 2, together))
            steps += together;
        assert_in_range(steps, 550, 600);
    }
}

/* Another version, in the midst of a change, does not hide it. */
static void a_version_changes(void **state) {
    (void)state;
    struct drift drift = {0};
    for (int i = 0; i < 500; i++)
        assert_false(drift_see(&drift, 1, 1));
    for (int i = 0; i < 30; i++)
        assert_false(drift_see(&drift, 2, 1));
    drift_loosen(&drift);
    assert_true(drift_level(&drift) == 0);
    int told = 0;
    for (int i = 1; i < 300 && told == 0; i++)
        told = drift_see(&drift, 2, 1) ? i : 0;
    assert_in_range(told, 60, 200);
    for (int i = 0; i < 1000; i++) /* and a better one is known for what it is after a while */
        assert_false(drift_see(&drift, 1, 1));
    drift_loosen(&drift);
    for (int i = 0; i < 4000; i++)
        assert_false(drift_see(&drift, 0.1, 1));
    for (told = 0; told < 1000 && !drift_see(&drift, 0.3, 1); told++)
        ;
    assert_in_range(told, 10, 100);
}

static void errors_of_no_size(void **state) {
    (void)state;
    struct drift drift = {0};
    assert_false(drift_see(&drift, NAN, 1));
    assert_false(drift_see(&drift, INFINITY, 1));
    for (int i = 0; i < 1000; i++)
        assert_false(drift_see(&drift, 0, 1)); /* a constant, forecast rightly */
    assert_false(drift_see(&drift, 1, 0));
    bool told = false;
    for (int i = 0; i < 2000; i++) /* not finite is as large as can be */
        told |= drift_see(&drift, i < 1000 ? 1 : NAN, 1);
    assert_true(told);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when),
        cmocka_unit_test(it_begins_anew),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(a_version_changes),
        cmocka_unit_test(errors_of_no_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
