/* What the commands that send ticks have in common. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/run.h"
#include "clients/libforecast/forecast.h"

#include <zmq.h>

/* Messages of 1,000 ticks that a feed takes while nobody reads. */
static int taken_unread(const char *endpoint, long bundle) {
    struct forecast_feed *feed;
    const double values[8] = {0};
    int messages = 0, code = FORECAST_OK;
    assert_int_equal(run_open_feed("test", endpoint, 10, bundle, &feed), 0);
    while (code == FORECAST_OK && messages < 1500) {
        for (int64_t t = 0; t < 1000; t++)
            assert_int_equal(forecast_feed_add(feed, "s", t, values, 8), t + 1);
        code = forecast_feed_flush(feed, 100);
        messages += code == FORECAST_OK;
    }
    forecast_feed_close(&feed, 0);
    return messages;
}

/* What waits on this side when a command ends has to go within seconds: of large bundles it is few. */
static void bundles_that_wait_are_few(void **state) {
    (void)state;
    char endpoint[64];
    size_t n = sizeof endpoint;
    void *zmq = zmq_ctx_new(), *pull = zmq_socket(zmq, ZMQ_PULL);
    assert_int_equal(zmq_setsockopt(pull, ZMQ_RCVHWM, &(int){1}, sizeof(int)), 0);
    assert_int_equal(zmq_bind(pull, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(pull, ZMQ_LAST_ENDPOINT, endpoint, &n), 0);
    int few = taken_unread(endpoint, 1000), many = taken_unread(endpoint, 1);
    print_message("%d and %d messages, with those in the buffers of the connection\n", few, many);
    assert_in_range(few, 1, 300);
    assert_true(many > 1000);
    zmq_close(pull);
    zmq_ctx_term(zmq);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundles_that_wait_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
