/*
 * The daemon on a disk that fails and comes back: acknowledged ticks are answered with an error, forecasts go on, the
 * status says so, and it resumes by itself; what was acknowledged is there after a crash of the machine. And on one that is
 * slow, which is no failure.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/libforecast/forecast.h"
#include "engine/random.h"
#include "tests/fault/disk.h"
#include "tests/fault/fault.h"
#include "tests/fault/sender.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include <zmq.h>

enum { TICKS = 200, WAIT_MS = 60000 };

static struct fault fault;
static bool mounted;

static int tear_down(void **state) {
    if (mounted)
        umount2(fault.root, MNT_DETACH);
    mounted = false;
    return fault_tear_down(state);
}

/* ---- a daemon, a sender and a stream beside -------------------------------------------------- */

struct scene {
    char acknowledged[160];
    struct daemon *daemon;
    struct heard *heard;
    struct sender sender;
    void *push;
    int beside; /* ticks of the stream beside */
};

static void tick_of(uint64_t number, struct sender_tick *ret_tick) {
    *ret_tick = (struct sender_tick){.t = INT64_C(1000000000) * (1700000000 + (int64_t)number), .n = 1};
    snprintf(ret_tick->stream, sizeof ret_tick->stream, "c/%d", (int)(number % 7));
    ret_tick->values[0] = sin(0.1 * (double)number);
}

static void scene_open_with(struct scene *scene, const char *state_dir, const char *snapshot_every) {
    char rest[1024], bus[256];
    *scene = (struct scene){0};
    snprintf(scene->acknowledged, sizeof scene->acknowledged, "ipc://%s/acknowledged", fault.folder);
    snprintf(bus, sizeof bus, "  acknowledged: %s\n", scene->acknowledged);
    snprintf(rest, sizeof rest,
             "state_dir: %s\nsync_every: 5ms\nsnapshot_every: %s\n"
             "streams:\n  - {class: c, pattern: '*', features: [a], history: 32}\n"
             "models:\n  - {name: m, class: c, layers: [{lstm: 4}], train: false}\n",
             state_dir, snapshot_every);
    scene->daemon = daemon_run(&(struct daemon_setup){.bus = bus, .rest = rest});
    scene->heard = heard_new(scene->daemon, "forecast/m/beside", 18, 1);
    scene->push = daemon_connect(scene->daemon, ZMQ_PUSH, scene->daemon->ticks);
    sender_open(&scene->sender, scene->acknowledged, tick_of);
}

static void scene_open(struct scene *scene, const char *state_dir) {
    scene_open_with(scene, state_dir, "1s");
}

static void scene_close(struct scene *scene) {
    sender_close(&scene->sender);
    heard_free(scene->heard);
    daemon_free(&scene->daemon);
}

static void send_until(struct scene *scene, uint64_t durable) {
    for (int64_t until = scenario_now() + WAIT_MS; scene->sender.durable < durable;) {
        if (scenario_now() > until)
            fail_msg("%d ticks are durable, not %d: %s", (int)scene->sender.durable, (int)durable,
                     daemon_output(scene->daemon));
        sender_go(&scene->sender, durable, 5);
    }
}

/* Forecasts go on. */
static void go_on_beside(struct scene *scene) {
    for (int i = 0; i < 20; i++, scene->beside++)
        feed_tick(scene->push, "beside", INT64_C(1000000000) * (1700000000 + scene->beside),
                  (double[]){cos(0.2 * scene->beside)}, 1);
    heard_until(scene->heard, (size_t)scene->beside);
}

static bool is_degraded(struct scene *scene) {
    json_t *reply = daemon_ask(scene->daemon, "{\"cmd\":\"status\"}");
    const json_t *store = json_object_get(reply, "store");
    bool degraded = json_is_true(json_object_get(store, "degraded"));
    const char *reason = json_string_value(json_object_get(store, "reason"));
    assert_true(!degraded || (reason != NULL && strlen(reason) > 10));
    json_decref(reply);
    return degraded;
}

/* Until it says that it is degraded; returns what was durable then. */
static uint64_t send_until_degraded(struct scene *scene) {
    uint64_t wanted = scene->sender.durable;
    int64_t errors = scene->sender.errors;
    for (int64_t until = scenario_now() + WAIT_MS; scene->sender.errors == errors || !is_degraded(scene);) {
        if (scenario_now() > until)
            fail_msg("it is not degraded, with %d ticks: %s", (int)scene->sender.durable,
                     daemon_output(scene->daemon));
        wanted += scene->sender.durable >= wanted ? 10 * TICKS : 0;
        sender_go(&scene->sender, wanted, 1);
    }
    return scene->sender.durable;
}

/* It is degraded; and works again when the disk does. */
static void outlast(struct scene *scene) {
    uint64_t durable = send_until_degraded(scene);
    for (int i = 0; i < 3; i++) {
        go_on_beside(scene);
        sender_go(&scene->sender, durable + TICKS, 200);
    }
    assert_int_equal(scene->sender.durable, durable);
    fault_clear(&fault);
    send_until(scene, durable + TICKS);
    go_on_beside(scene);
    assert_false(is_degraded(scene));
}

/* ---- by the layer --------------------------------------------------------------------------- */

static void kill_daemon(struct scene *scene) {
    daemon_signal(scene->daemon, SIGKILL);
    assert_int_equal(daemon_wait(scene->daemon), 128 + SIGKILL);
}

/* The machine crashes: what is left has what was acknowledged. */
static void crash_and_go_on(struct scene *scene) {
    char state[300];
    uint64_t durable = scene->sender.durable;
    kill_daemon(scene);
    scene_close(scene);
    struct disk *disk = disk_at_end(fault.log, NULL, NULL);
    snprintf(state, sizeof state, "%s/state", fault.left);
    disk_leave(disk, DISK_DROPPED, 0, fault.left);
    disk_free(disk);
    scene_open(scene, state);
    while (!scene->sender.known)
        sender_go(&scene->sender, 0, 10);
    assert_true(scene->sender.durable >= durable);
    send_until(scene, scene->sender.durable + TICKS);
    scene_close(scene);
}

static void fail_and_crash(int kinds, int error) {
    struct scene scene;
    char state[300];
    snprintf(state, sizeof state, "%s/state", fault.root);
    fault_begin(&fault, true);
    scene_open(&scene, state);
    fault_end();
    for (int time = 0; time < 2; time++) {
        send_until(&scene, scene.sender.durable + TICKS);
        go_on_beside(&scene);
        assert_false(is_degraded(&scene));
        fault_set(&fault, kinds, error, 1, 1000000000);
        outlast(&scene);
    }
    crash_and_go_on(&scene);
}

static void test_full_disk(void **state) {
    (void)state;
    fail_and_crash(FAULT_CHANGES, ENOSPC);
}

static void test_read_only_disk(void **state) {
    (void)state;
    fail_and_crash(FAULT_CHANGES, EROFS);
}

static void test_broken_disk(void **state) {
    (void)state;
    fail_and_crash(FAULT_FILES, EIO);
}

static void test_failing_syncs(void **state) {
    (void)state;
    fail_and_crash(FAULT_SYNC, EIO);
}

/* ---- slow ----------------------------------------------------------------------------------- */

/* Longer than a command is waited for, and shorter than what is taken for a failure (5 s). */
enum { SLOW_MS = 3500, PATIENCE_MS = 2000 };

/* No rounds: a go of the store has one sync. Who is in memory does not wait for the disk. */
static void open_slow(struct scene *scene) {
    char state[300];
    snprintf(state, sizeof state, "%s/state", fault.root);
    fault_begin(&fault, true);
    scene_open_with(scene, state, "1h");
    fault_end();
    send_until(scene, TICKS);
    go_on_beside(scene);
    daemon_await_durable(scene->daemon);
    atomic_store(&fault.plan->sync_us, SLOW_MS * 1000);
}

static const char *const commands[] = {
    "{\"cmd\":\"pause\",\"stream\":\"c/1\",\"id\":0}",
    "{\"cmd\":\"reset\",\"stream\":\"c/2\",\"id\":1}",
    "{\"cmd\":\"set_state\",\"stream\":\"c/3\",\"model\":\"m\",\"state\":{\"lstm\":[[0,0,0,0],[0,0,0,0]]},\"id\":2}",
    "{\"cmd\":\"end\",\"stream\":\"c/4\",\"id\":3}",
    "{\"cmd\":\"resume\",\"stream\":\"c/1\",\"id\":4}",
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* All of them at once; each reply says of itself whether it is durable. */
static void command_all(struct scene *scene, bool durable) {
    void *dealer = daemon_connect(scene->daemon, ZMQ_DEALER, scene->daemon->control);
    int64_t began = scenario_now();
    bool answered[COMMANDS] = {0};
    for (size_t c = 0; c < COMMANDS; c++)
        assert_true(zmq_send(dealer, commands[c], strlen(commands[c]), 0) > 0);
    if (!durable)
        go_on_beside(scene);
    for (size_t n = 0; n < COMMANDS; n++) {
        char text[2048];
        zmq_pollitem_t item = {.socket = dealer, .events = ZMQ_POLLIN};
        assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
        int size = zmq_recv(dealer, text, sizeof text, 0);
        assert_in_range(size, 1, sizeof text);
        json_t *reply = json_loadb(text, (size_t)size, 0, NULL);
        int64_t id = json_integer_value(json_object_get(reply, "id"));
        const json_t *said = json_object_get(reply, "durable");
        if (!json_is_true(json_object_get(reply, "ok")) || (durable ? said != NULL : !json_is_false(said)))
            fail_msg("%.*s", size, text);
        assert_true(durable || scenario_now() - began >= PATIENCE_MS);
        assert_in_range(id, 0, COMMANDS - 1);
        assert_false(answered[id]);
        answered[id] = true;
        json_decref(reply);
    }
}

/* Nobody waits for longer than two seconds, and nothing is said to be durable before it is. */
static void test_slow_disk(void **state) {
    (void)state;
    struct scene scene;
    open_slow(&scene);
    int64_t began = scenario_now(), taken = daemon_count(scene.daemon, "acknowledged.ticks");
    sender_go(&scene.sender, TICKS + 10, 0);
    daemon_await_count(scene.daemon, "acknowledged.ticks", taken + 10);
    command_all(&scene, false);
    assert_false(is_degraded(&scene));
    atomic_store(&fault.plan->sync_us, 0); /* for the next one */
    send_until(&scene, TICKS + 10);
    assert_true(scenario_now() - began >= SLOW_MS);
    send_until(&scene, 2 * TICKS);
    command_all(&scene, true);
    go_on_beside(&scene);
    assert_false(is_degraded(&scene));
    assert_int_equal(daemon_count(scene.daemon, "store.failures"), 0);
    crash_and_go_on(&scene);
}

static void note_refused(void *context, const struct forecast_refusal *refusal) {
    int *times = context;
    assert_true(refusal->first == 2 && refusal->last == 2);
    assert_string_equal(refusal->reason, "repeated");
    ++*times;
}

/* It dies when a refused tick is on disk, and nobody has been told yet. */
static void test_refused_and_not_told(void **state) {
    (void)state;
    static const int64_t times[] = {1, 1, 2};
    const double value = 1;
    struct scene scene;
    struct forecast_sender *sender;
    char folder[300];
    int refused = 0;
    uint64_t durable;
    open_slow(&scene);
    const struct forecast_sender_options options = {
        .endpoint = scene.acknowledged, .producer = "refused", .refused = note_refused, .context = &refused};
    assert_int_equal(forecast_sender_open(&options, &sender), FORECAST_OK);
    assert_int_equal(forecast_sender_wait(sender, WAIT_MS, &durable), FORECAST_OK);
    fault_set(&fault, FAULT_SYNC, EIO, 1000000000, 1000000000);
    for (int t = 0; t < 3; t++)
        assert_int_equal(forecast_sender_add(sender, "c/refused", times[t], &value, 1, WAIT_MS), FORECAST_OK);
    for (int64_t until = scenario_now() + WAIT_MS; atomic_load(&fault.plan->seen) == 0;) {
        assert_true(scenario_now() < until);
        assert_int_equal(forecast_sender_poll(sender, 10), FORECAST_OK);
    }
    kill_daemon(&scene);
    struct forecast_sender_status status;
    forecast_sender_status(sender, &status);
    assert_true(status.durable == 0 && refused == 0);
    scene_close(&scene);
    atomic_store(&fault.plan->sync_us, 0);
    snprintf(folder, sizeof folder, "%s/state", fault.root);
    scene_open(&scene, folder);
    assert_int_equal(forecast_sender_flush(sender, WAIT_MS), FORECAST_OK);
    assert_int_equal(refused, 1);
    assert_int_equal(forecast_sender_close(&sender, 0), FORECAST_OK);
    scene_close(&scene);
}

enum { TOLD_MOST = 20000 };

static void count_refused(void *context, const struct forecast_refusal *refusal) {
    uint8_t *told = context;
    assert_in_range(refusal->first, 1, refusal->last);
    assert_in_range(refusal->last, 1, TOLD_MOST - 1);
    for (uint64_t number = refusal->first; number <= refusal->last; number++)
        told[number]++;
}

/* A sender that outlives its daemons hears of each refusal once, by the bus or a worker, whenever they die: mostly while
 * something is on disk that they have not told of. */
static void test_each_refusal_is_told_once(void **state) {
    (void)state;
    static uint8_t told[TOLD_MOST], wanted[TOLD_MOST];
    const double value = 1;
    struct scene scene;
    struct rng rng = {8};
    struct forecast_sender *sender;
    char stream[32], folder[300];
    int64_t t = 10;
    snprintf(folder, sizeof folder, "%s/state", fault.root);
    atomic_store(&fault.plan->sync_us, 30000);
    fault_begin(&fault, false);
    scene_open(&scene, folder);
    const struct forecast_sender_options options = {.endpoint = scene.acknowledged,
                                                    .producer = "refused",
                                                    .bundle = 16,
                                                    .refused = count_refused,
                                                    .context = told};
    assert_int_equal(forecast_sender_open(&options, &sender), FORECAST_OK);
    for (int kills = 0, number = 1; kills < 6; kills++) {
        for (int i = 100 + (int)rng_below(&rng, 2000); i > 0; i--, number++) {
            bool late = number > 10 && rng_below(&rng, 7) == 0,
                 bad = number > 10 && !late && rng_below(&rng, 11) == 0;
            snprintf(stream, sizeof stream, "r/%d", number % 10);
            assert_int_equal(
                forecast_sender_add(sender, stream, late ? 1 : ++t, (double[]){value, value}, bad ? 2 : 1, WAIT_MS),
                FORECAST_OK);
            wanted[number] = late || bad;
        }
        assert_int_equal(forecast_sender_poll(sender, 0), FORECAST_OK);
        scenario_sleep((int)rng_below(&rng, 40));
        kill_daemon(&scene);
        forecast_sender_poll(sender, 20);
        daemon_start(scene.daemon);
    }
    fault_end();
    assert_int_equal(forecast_sender_flush(sender, WAIT_MS), FORECAST_OK);
    assert_memory_equal(told, wanted, sizeof told);
    assert_int_equal(forecast_sender_close(&sender, 0), FORECAST_OK);
    scene_close(&scene);
}

/* ---- a small file system --------------------------------------------------------------------- */

static char filler[300];

static void fill(void) {
    static char block[4096];
    int fd = open(filler, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    memset(block, 'x', sizeof block);
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
}

static void test_small_file_system(void **state) {
    (void)state;
    struct scene scene;
    char folder[300];
    /* Seen by this process and its daemons only, and gone with them. */
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", fault.root, "tmpfs", 0, "size=16m") != 0) {
        print_message("skipped: a small file system cannot be mounted here: %s\n", strerror(errno));
        skip();
    }
    mounted = true;
    snprintf(folder, sizeof folder, "%s/state", fault.root);
    snprintf(filler, sizeof filler, "%s/filler", fault.root);
    scene_open(&scene, folder);
    for (int time = 0; time < 2; time++) {
        send_until(&scene, scene.sender.durable + TICKS);
        go_on_beside(&scene); /* a stream that is not in memory waits for the disk, which may know it */
        /* What the store gives back in its trouble is filled, too. */
        int64_t until = scenario_now() + WAIT_MS;
        for (int degraded = 0; degraded < 3;) {
            fill();
            sender_go(&scene.sender, scene.sender.durable + 10 * TICKS, 5);
            degraded += is_degraded(&scene);
            assert_true(degraded > 0 || scenario_now() < until);
        }
        go_on_beside(&scene);
        assert_int_equal(unlink(filler), 0);
        send_until(&scene, scene.sender.durable + TICKS);
        go_on_beside(&scene);
        assert_false(is_degraded(&scene));
    }
    scene_close(&scene);
}

int main(void) {
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_full_disk, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_read_only_disk, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_broken_disk, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_failing_syncs, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_slow_disk, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_refused_and_not_told, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_each_refusal_is_told_once, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_small_file_system, fault_set_up, tear_down, &fault),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
