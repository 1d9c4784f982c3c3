/* Questions to a disk that fails. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/returns.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int teardown(void **state) {
    (void)state;
    disk_works(true);
    return 0;
}

static void await_degraded(struct rig *rig, bool degraded) {
    store_hurry(rig->store);
    for (int64_t began = 0; store_degraded(rig->store) != degraded;)
        assert_true(rig_wait(&began));
}

enum looks { OF_OPEN, OF_NAMES, OF_STREAM };

static bool look(struct rig *rig, enum looks of) {
    switch (of) {
    case OF_OPEN: return returns_look_for_open(rig->returns, "", 10);
    case OF_NAMES: return returns_look_for_names(rig->returns, "", "", 10, 1);
    default: return returns_look(rig->returns, "c/1", 3, 1);
    }
}

static struct stored *looked(struct rig *rig, enum looks of) {
    uint64_t request;
    return of == OF_OPEN ? returns_looked_open(rig->returns) : returns_looked(rig->returns, &request);
}

/* Asks as often as may be, and waits for each answer. Returns how often. */
static int ask_for(struct rig *rig, enum looks of, int64_t ns) {
    int answers = 0;
    bool asked = false;
    for (int64_t began = clock_monotonic(); asked || clock_monotonic() < began + ns;) {
        asked = asked || look(rig, of);
        returns_poll(rig->returns);
        struct stored *answer = looked(rig, of);
        if (answer == NULL)
            continue;
        assert_int_equal(answer->found, STORED_FAILED);
        stored_free(answer);
        asked = false;
        answers++;
    }
    return answers;
}

static void a_disk_that_fails_is_left_alone_by_all_who_look(void **state) {
    (void)state;
    struct rig rig;
    char folder[256], rest[1024], command[300];
    snprintf(folder, sizeof folder, "%s/returns", rig_folder());
    snprintf(rest, sizeof rest, "workers: 1\nstate_dir: %s\n" RIG_CLASS RIG_MODEL, folder);
    rig_open(&rig, &(struct rig_setup){.rest = rest, .returns = true});
    static const char text[] = "c/1 a=1,b=2 5";
    const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = text, .n = strlen(text)};
    uint64_t order;
    disk_works(false);
    assert_true(store_append(rig.store, &entry, &order));
    await_degraded(&rig, true);
    for (enum looks of = OF_OPEN; of <= OF_STREAM; of++) {
        int64_t began = clock_monotonic();
        int answers = ask_for(&rig, of, 200000000);
        assert_in_range(answers, 1, 2 + (clock_monotonic() - began) / 20000000);
    }
    disk_works(true);
    await_degraded(&rig, false);
    for (int64_t began = 0; !look(&rig, OF_OPEN);)
        assert_true(rig_wait(&began));
    struct stored *answer = NULL;
    for (int64_t began = 0; (answer = looked(&rig, OF_OPEN)) == NULL; returns_poll(rig.returns))
        assert_true(rig_wait(&began));
    assert_int_equal(answer->found, STORED_NAMES);
    stored_free(answer);
    rig_close(&rig);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_disk_that_fails_is_left_alone_by_all_who_look, teardown),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
