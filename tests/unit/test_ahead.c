#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/ahead.h"

#include "tests/support/bus_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CLASSES \
    "streams:\n  - {class: all, pattern: '*', features: [x], max_streams: 100, history: 8}\n" \
    "models:\n  - {name: m, class: all, horizon: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"

enum { STREAMS = 5, TICKS = 60 };

/* Whatever of a bundle is plain to see ahead (a missing value is not), each tick finds its stream, and one whose stream there
 * is none of finds none. */
static void ticks_find_their_streams(void **state) {
    (void)state;
    struct config *config = rig_config("", CLASSES);
    struct streams *streams = streams_new(config);
    struct wire_bundle bundle = {0};
    struct stream *of[STREAMS];
    char names[STREAMS + 1][32];
    for (int i = 0; i <= STREAMS; i++) {
        int n = snprintf(names[i], sizeof names[i], "plant/%d", i);
        if (i == STREAMS)
            break;
        of[i] = stream_new(config, rig_pool(), 0, names[i], (size_t)n, 1, 1);
        assert_int_equal(streams_reserve(streams), 0);
        streams_add(streams, of[i]);
    }
    for (int k = 0; k < TICKS; k++) {
        const double value = k % 7 == 3 ? (double)NAN : k;
        const char *name = names[k * k % (STREAMS + 1)];
        wire_bundle_add(&bundle, (struct wire_text){name, strlen(name)}, k, &value, 1);
    }
    struct wire_text message = wire_bundle_message(&bundle);
    static struct wire_tick tick;
    struct wire_ticks ticks;
    struct ahead ahead;
    enum reason reason;
    assert_int_equal(wire_ticks_begin(&ticks, &message, 1), REASON_NONE);
    ahead_begin(&ahead, &ticks);
    for (int k = 0; k < TICKS; k++) {
        ahead_step(&ahead, &ticks, streams);
        assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 1);
        int i = k * k % (STREAMS + 1);
        assert_ptr_equal(ahead_find(&ahead, streams, tick.stream), i < STREAMS ? of[i] : NULL);
    }
    wire_ticks_end(&ticks);
    wire_bundle_fini(&bundle);
    streams_free(streams);
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ticks_find_their_streams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
