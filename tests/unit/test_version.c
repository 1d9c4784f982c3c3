#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/version.h"
#include "tests/support/layers.h"

#include <pthread.h>

static struct network *small_network(void) {
    const struct layer_spec layer = DENSE(2, ACTIVATION_LINEAR);
    struct error err;
    return chain_new(3, &layer, 1, &err);
}

static void it_holds_its_network(void **state) {
    (void)state;
    struct network *network = small_network();
    network_init_weights(network, 1);
    float weight = network_params(network)[0];
    struct version *version = version_new(17, network);
    assert_int_equal(version_number(version), 17);
    assert_ptr_equal(version_network(version), network);
    assert_ptr_equal(version_acquire(version), version);
    version_release(version);
    /* One reference is left: the network is still there (under a sanitizer this is seen). */
    assert_true(network_params_const(version_network(version))[0] == weight);
    version_release(version);
    version_release(NULL);
}

/* The network goes on living as long as any version of it, whichever is let go first; and none is a network, too. */
static void a_network_again_under_another_number(void **state) {
    (void)state;
    for (int first = 0; first < 3; first++) {
        struct network *network = small_network();
        struct version *versions[3];
        versions[0] = version_new(1, network);
        versions[1] = version_again(2, versions[0]);
        versions[2] = version_again(3, versions[1]);
        version_release(versions[first]);
        for (int i = 0; i < 3; i++)
            if (i != first) {
                assert_ptr_equal(version_network(versions[i]), network);
                assert_int_equal(version_number(versions[i]), i + 1);
                assert_true(network_n_params(version_network(versions[i])) > 0);
            }
        for (int i = 0; i < 3; i++)
            if (i != first)
                version_release(versions[i]);
    }
    struct version *none = version_new(1, NULL), *again = version_again(2, none);
    version_release(none);
    assert_null(version_network(again));
    version_release(again);
}

static void *use(void *context) {
    struct version *version = context;
    float sum = 0;
    for (int i = 0; i < 20000; i++) {
        version_acquire(version);
        sum += network_params_const(version_network(version))[0];
        version_release(version);
    }
    version_release(version);
    return sum == 0 ? NULL : version;
}

/* Each thread lets go of its own reference; the last one frees it, whichever that is. The sanitizers judge. */
static void threads_share_it(void **state) {
    (void)state;
    enum { THREADS = 4 };
    struct version *version = version_new(1, small_network());
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, version_acquire(version)), 0);
    version_release(version);
    for (int i = 0; i < THREADS; i++) {
        void *result = version;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_its_network),
        cmocka_unit_test(a_network_again_under_another_number),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
