/*
 * One record on the disk that cannot be read, while all else of it is well: its stream is held, nobody waits for that,
 * and when it can be read again it goes on as if it had never been away.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/whole_file.h"
#include "tests/fault/fault.h"
#include "tests/fault/sender.h"
#include "tests/support/daemon.h"

#include <fnmatch.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EACH = 200 /* ticks of a phase */, PHASES = 4, STREAMS = 4, WAIT_MS = 60000 };

static struct fault fault;

/* The twin gets what the bad one gets, but for what is refused: all of the third phase. */
static void tick_of(uint64_t number, struct sender_tick *ret_tick) {
    static const char *const names[STREAMS] = {"c/bad", "c/twin", "c/2", "c/3"};
    uint64_t s = (number - 1) % STREAMS, time = (number - 1) / STREAMS;
    bool refused = (number - 1) / EACH == 2;
    *ret_tick = (struct sender_tick){.t = INT64_C(1000000000) * (1700000000 + (int64_t)time), .n = 1};
    snprintf(ret_tick->stream, sizeof ret_tick->stream, "%s", s == 1 && refused ? "c/beside" : names[s]);
    ret_tick->values[0] = sin(0.1 * (double)time);
}

struct scene {
    char acknowledged[160], folder[300];
    struct daemon *daemon;
    struct sender sender;
};

static void scene_open(struct scene *scene, const char *snapshot_every) {
    char rest[1024], bus[256];
    *scene = (struct scene){0};
    snprintf(scene->folder, sizeof scene->folder, "%s/state", fault.root);
    snprintf(scene->acknowledged, sizeof scene->acknowledged, "ipc://%s/acknowledged", fault.folder);
    snprintf(bus, sizeof bus, "  acknowledged: %s\n", scene->acknowledged);
    snprintf(rest, sizeof rest,
             "state_dir: %s\nsync_every: 5ms\nsnapshot_every: %s\n"
             "streams:\n  - {class: c, pattern: '*', features: [a], history: 32}\n"
             "models:\n  - {name: m, class: c, layers: [{lstm: 4}], train: false, combine: network}\n",
             scene->folder, snapshot_every);
    fault_begin(&fault, false);
    scene->daemon = daemon_run(&(struct daemon_setup){.bus = bus, .rest = rest});
    fault_end();
    sender_open(&scene->sender, scene->acknowledged, tick_of);
}

static void scene_close(struct scene *scene) {
    sender_close(&scene->sender);
    daemon_free(&scene->daemon);
}

static void send_phase(struct scene *scene, int phase) {
    uint64_t durable = (uint64_t)phase * EACH;
    for (int64_t until = scenario_now() + WAIT_MS; scene->sender.durable < durable;) {
        if (scenario_now() > until)
            fail_msg("%d ticks are durable, not %d: %s", (int)scene->sender.durable, (int)durable,
                     daemon_output(scene->daemon));
        sender_go(&scene->sender, durable, 5);
    }
    assert_int_equal(scene->sender.durable, durable);
}

/* A byte of the stream's image, where it stands in a file of large values. */
static void find_image(const char *folder, const char *name, ino_t *ret_inode, long *ret_byte) {
    char path[600], key[64];
    struct stat status;
    int found = 0;
    size_t n_key = strlen(name) + 1;
    memcpy(key, name, n_key);
    memcpy(key + n_key, "\xff\xff\xff\xfe\2", 5); /* the first generation's image (store_streams.h) */
    n_key += 5;
    snprintf(path, sizeof path, "%s/db", folder);
    DIR *listed = opendir(path);
    assert_non_null(listed);
    for (const struct dirent *entry; (entry = readdir(listed)) != NULL;) {
        void *bytes;
        size_t n;
        struct error err;
        snprintf(path, sizeof path, "%s/db/%s", folder, entry->d_name);
        if (fnmatch("*.blob", entry->d_name, 0) != 0 || whole_file_read(path, &bytes, &n, &err) != 0)
            continue;
        const char *at = memmem(bytes, n, key, n_key);
        if (at != NULL) {
            assert_int_equal(stat(path, &status), 0);
            *ret_inode = status.st_ino;
            *ret_byte = at - (const char *)bytes + (long)n_key + 100;
            found++;
        }
        free(bytes);
    }
    closedir(listed);
    assert_int_equal(found, 1);
}

static void expect_error(struct scene *scene, const char *request, const char *code) {
    json_t *reply = daemon_ask(scene->daemon, request);
    const char *is = json_string_value(json_object_get(json_object_get(reply, "error"), "code"));
    if (is == NULL || strcmp(is, code) != 0)
        fail_msg("%s: %s", request, json_dumps(reply, 0));
    json_decref(reply);
}

static json_t *state_of(struct scene *scene, const char *stream) {
    char request[128];
    snprintf(request, sizeof request, "{\"cmd\":\"state\",\"model\":\"m\",\"stream\":\"%s\"}", stream);
    json_t *reply = daemon_ask(scene->daemon, request);
    assert_true(json_is_true(json_object_get(reply, "ok")));
    json_object_del(reply, "stream");
    json_object_del(reply, "id");
    return reply;
}

static void expect_twins(struct scene *scene) {
    json_t *bad = state_of(scene, "c/bad"), *twin = state_of(scene, "c/twin");
    if (!json_equal(bad, twin))
        fail_msg("%s\n%s", json_dumps(bad, 0), json_dumps(twin, 0));
    json_decref(bad);
    json_decref(twin);
}

/* On disk, with ticks behind the image in the journal, of which one byte is bad from here on. */
static void prepare(void) {
    struct scene scene;
    ino_t inode;
    long byte;
    scene_open(&scene, "1h");
    send_phase(&scene, 1);
    daemon_stop(scene.daemon);
    find_image(scene.folder, "c/bad", &inode, &byte);
    scene_close(&scene);
    scene_open(&scene, "1h");
    send_phase(&scene, 2);
    daemon_signal(scene.daemon, SIGKILL);
    assert_int_equal(daemon_wait(scene.daemon), 128 + SIGKILL);
    scene_close(&scene);
    atomic_store(&fault.plan->bad_byte, byte);
    atomic_store(&fault.plan->bad_inode, inode);
}

/* Others are acknowledged, rounds go on, questions are answered, and it stops. */
static void hold(bool with_third) {
    struct scene scene;
    scene_open(&scene, "200ms");
    scene.sender.may_refuse = true;
    daemon_expect_count(scene.daemon, "kept.unreadable", 1);
    if (with_third) {
        send_phase(&scene, 3);
        daemon_expect_count(scene.daemon, "ticks.refused.unreadable", EACH / STREAMS);
    }
    daemon_await_count(scene.daemon, "store.rounds", 3);
    assert_true(daemon_count(scene.daemon, "store.trimmed") < 2 * EACH); /* which it still needs */
    expect_error(&scene, "{\"cmd\":\"scores\",\"stream\":\"c/bad\"}", "unreadable");
    expect_error(&scene, "{\"cmd\":\"export\",\"stream\":\"c/bad\"}", "unreadable");
    json_t *names = daemon_ask(scene.daemon, "{\"cmd\":\"names\",\"prefix\":\"c/b\"}");
    assert_int_equal(json_array_size(json_object_get(names, "names")), 2);
    json_decref(names);
    int64_t began = scenario_now();
    daemon_stop(scene.daemon);
    assert_true(scenario_now() - began < 10000);
    scene_close(&scene);
}

static void test_one_record(void **state) {
    (void)state;
    struct scene scene;
    prepare();
    hold(true);
    hold(false);
    scene_open(&scene, "200ms");
    daemon_expect_count(scene.daemon, "kept.unreadable", 1);
    atomic_store(&fault.plan->bad_inode, 0);
    for (int64_t until = scenario_now() + WAIT_MS; daemon_count(scene.daemon, "kept.unreadable") > 0;)
        assert_true(scenario_now() < until);
    send_phase(&scene, 4);
    expect_twins(&scene);
    assert_int_equal(daemon_count(scene.daemon, "kept.damaged"), 0);
    daemon_stop(scene.daemon);
    scene_close(&scene);
    scene_open(&scene, "1h");
    expect_twins(&scene);
    daemon_stop(scene.daemon);
    scene_close(&scene);
}

/* Who does not want to wait until it can be read may end it. */
static void test_an_end(void **state) {
    (void)state;
    struct scene scene;
    prepare();
    scene_open(&scene, "200ms");
    daemon_expect_count(scene.daemon, "kept.unreadable", 1);
    daemon_command(scene.daemon, "{\"cmd\":\"end\",\"stream\":\"c/bad\"}");
    daemon_expect_count(scene.daemon, "kept.unreadable", 0);
    expect_error(&scene, "{\"cmd\":\"export\",\"stream\":\"c/bad\"}", "unknown_stream");
    daemon_await_count(scene.daemon, "store.trimmed", 2 * EACH);
    send_phase(&scene, 3);
    json_t *reply = state_of(&scene, "c/bad");
    assert_int_equal(json_integer_value(json_object_get(reply, "step")), EACH / STREAMS);
    json_decref(reply);
    daemon_stop(scene.daemon);
    scene_close(&scene);
}

int main(void) {
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_one_record, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_an_end, fault_set_up, fault_tear_down, &fault),
    };
    return cmocka_run_group_tests_name("unreadable", tests, NULL, NULL);
}
