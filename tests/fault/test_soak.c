/*
 * A daemon at full rate whose streams come and go, and whose subscribers and senders do: after a while its memory,
 * descriptors and files stay as they are; in memory alone, and with a state_dir, where some of the streams that go are on
 * disk until they come back. Ten minutes each in the long form (SOAK_SECONDS for another time).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

enum {
    AT_ONCE = 60,
    STEPS = 200, /* of a stream's life */
    IN_FLIGHT = 2000,
    NAMES = 50, /* of one after another, */
    NAMES_ON_DISK = 10,
    MIB = 1024,
    RESIDENT = 80 + 128, /* max_resident, and how many there may be beyond that */
    MERGES_FROM = 60     /* seconds behind a start, at the latest */
};

static const char streams[] = "streams:\n  - {class: c, pattern: 'c/*', features: [a, b], history: 64}\n",
                  streams_on_disk[] =
                      "snapshot_every: 2s\n"
                      "streams:\n  - {class: c, pattern: 'c/*', features: [a, b], history: 64, max_resident: 80}\n";

static const char models[] =
    "models:\n"
    "  - name: m\n"
    "    class: c\n"
    "    horizon: 3\n"
    "    layers: [{lstm: 8}]\n"
    "    batch_size: 16\n"
    "    retrain_every: 2000s\n"
    "    training: {window: 16, burn_in: 2, unroll: 8, first_after: 100, epochs: 2, max_windows: 64}\n";

/* ---- what it takes -------------------------------------------------------------------------- */

struct taken {
    long memory; /* KiB, resident */
    int descriptors;
    int files; /* in state_dir, */
    long disk; /* and their KiB; both the most that there were */
};

static int entries_of(const char *path) {
    DIR *folder = opendir(path);
    int n = -2;
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

/* The files of a folder and of those in it. One may be gone before it is looked at. */
static void add_files(const char *path, int depth, struct taken *taken) {
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char inner[512];
        struct stat status;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || stat(inner, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode) && depth > 0)
            add_files(inner, depth - 1, taken);
        taken->files += S_ISREG(status.st_mode);
        taken->disk += S_ISREG(status.st_mode) ? (long)(status.st_size / 1024) : 0;
    }
    if (folder != NULL)
        closedir(folder);
}

static void look_at_disk(const struct daemon *daemon, struct taken *most) {
    char path[128];
    struct taken now = {0};
    snprintf(path, sizeof path, "%s/state", daemon->directory);
    add_files(path, 2, &now);
    most->files = now.files > most->files ? now.files : most->files;
    most->disk = now.disk > most->disk ? now.disk : most->disk;
}

static void look_at_process(const struct daemon *daemon, struct taken *ret_taken) {
    char path[64];
    ret_taken->memory = daemon_memory(daemon, "VmRSS");
    snprintf(path, sizeof path, "/proc/%d/fd", daemon->pid);
    ret_taken->descriptors = entries_of(path);
}

/* ---- what it does --------------------------------------------------------------------------- */

struct load {
    struct daemon *daemon;
    struct heard *heard;
    void *push;
    struct wire_bundle bundle;
    int64_t fed;
    bool on_disk;
    int names;
    int lives[AT_ONCE];        /* of so many streams, one behind the other */
    int steps[AT_ONCE][NAMES]; /* that each one has had; of one that has ended none */
    struct taken most;
};

/* One has lived long enough. On disk each second one only goes quiet, and goes on where it was when its name comes again. */
static void end_life(struct load *load, int s, const char *name) {
    int *steps = &load->steps[s][load->lives[s]++ % load->names];
    if (load->on_disk && load->lives[s] % 2 == 0)
        return;
    daemon_command(load->daemon, "{\"cmd\":\"end\",\"stream\":\"%s\"}", name);
    *steps = 0;
}

/* A step of every stream; behind one that has lived long enough another one begins under another name. */
static void feed_row(struct load *load) {
    for (int s = 0; s < AT_ONCE; s++) {
        char name[32];
        int of_name = load->lives[s] % load->names, step = load->steps[s][of_name]++;
        int n = snprintf(name, sizeof name, "c/%d-%d", s, of_name);
        const double values[] = {sin(0.3 * step + s), s + cos(0.1 * step)};
        assert_int_equal(wire_bundle_add(&load->bundle, (struct wire_text){name, (size_t)n},
                                         INT64_C(1000000000) * (1700000000 + step), values, 2),
                         0);
        if ((step + 1) % (STEPS + s) != 0)
            continue;
        struct wire_text message = wire_bundle_message(&load->bundle);
        assert_true(zmq_send(load->push, message.at, message.n, 0) >= 0);
        wire_bundle_clear(&load->bundle);
        heard_until(load->heard, (size_t)load->fed + (size_t)s + 1);
        end_life(load, s, name);
    }
    struct wire_text message = wire_bundle_message(&load->bundle);
    if (message.n > 0)
        assert_true(zmq_send(load->push, message.at, message.n, 0) >= 0);
    wire_bundle_clear(&load->bundle);
    load->fed += AT_ONCE;
    if ((size_t)load->fed > load->heard->forecasts + IN_FLIGHT)
        heard_until(load->heard, (size_t)load->fed - IN_FLIGHT / 2);
    heard_forget(load->heard);
}

/* Somebody comes, hears a little, sends a little, and goes. */
static void visit(struct load *load, int visit) {
    struct heard *guest = heard_new(load->daemon, "event/", 6, 2);
    void *push = daemon_connect(load->daemon, ZMQ_PUSH, load->daemon->ticks);
    feed_tick(push, "d/unknown", visit, (double[]){1, 2}, 2);
    heard_rest(guest, 1);
    daemon_close(load->daemon, push);
    daemon_close(load->daemon, guest->socket);
    heard_free(guest);
    daemon_await_count(load->daemon, "disconnects", 1);
}

static void run_for(struct load *load, int64_t ms) {
    static int visits;
    int64_t until = scenario_now() + ms, next = 0;
    while (scenario_now() < until) {
        feed_row(load);
        if (scenario_now() > next) {
            visit(load, visits++);
            look_at_disk(load->daemon, &load->most);
            next = scenario_now() + 200;
        }
    }
    heard_until(load->heard, (size_t)load->fed);
    heard_rest(load->heard, 100);
}

static int64_t seconds(void) {
    const char *wanted = getenv("SOAK_SECONDS");
    return wanted != NULL ? atoi(wanted) : getenv("FAULT_LONG") != NULL ? 600 : 15;
}

static void assert_flat(long before, long behind, long some) {
    assert_true(behind < before + before / 10 + some);
}

/* For a third of the time it fills, and for the rest nothing is to grow. */
static void run(struct load *load, struct taken *ret_before, struct taken *ret_behind) {
    run_for(load, seconds() * 1000 / 3);
    look_at_process(load->daemon, &load->most);
    *ret_before = load->most;
    load->most = (struct taken){0};
    run_for(load, seconds() * 2000 / 3);
    look_at_process(load->daemon, &load->most);
    *ret_behind = load->most;
    print_message(
        "%lld ticks, %d streams ended; %ld to %ld KiB, %d to %d descriptors; %d to %d files, %ld to %ld KiB\n",
        (long long)load->fed, (int)daemon_count(load->daemon, "ended"), ret_before->memory, ret_behind->memory,
        ret_before->descriptors, ret_behind->descriptors, ret_before->files, ret_behind->files, ret_before->disk,
        ret_behind->disk);
}

static struct load *begin(const char *of_streams, bool on_disk) {
    static struct load load;
    char rest[2048];
    snprintf(rest, sizeof rest, "%s%s", of_streams, models);
    load = (struct load){.on_disk = on_disk, .names = on_disk ? NAMES_ON_DISK : NAMES};
    load.daemon = daemon_run(&(struct daemon_setup){.durable = on_disk, .rest = rest});
    load.heard = heard_new(load.daemon, "forecast/", 9, 1);
    load.push = daemon_connect_bounded(load.daemon, ZMQ_PUSH, load.daemon->ticks, 100);
    return &load;
}

static void end(struct load *load) {
    wire_bundle_fini(&load->bundle);
    heard_free(load->heard);
    daemon_free(&load->daemon);
}

static void test_in_memory(void **state) {
    (void)state;
    struct taken before, behind;
    struct load *load = begin(streams, false);
    run(load, &before, &behind);
    assert_flat(before.memory, behind.memory, 4 * MIB);
    assert_in_range(behind.descriptors, 0, before.descriptors + 4);
    assert_int_equal(entries_of(load->daemon->directory), 5); /* its configuration, log and sockets */
    assert_in_range(daemon_count(load->daemon, "streams"), 1, AT_ONCE);
    end(load);
}

static void test_on_disk(void **state) {
    (void)state;
    struct taken before, behind;
    struct load *load = begin(streams_on_disk, true);
    run(load, &before, &behind);
    /* Nothing is merged in the first minute behind a start, so until then all grows, but not without end. */
    if (seconds() > 3 * MERGES_FROM) {
        assert_flat(before.memory, behind.memory, 16 * MIB);
        assert_flat(before.disk, behind.disk, 16 * MIB);
        assert_flat(before.files, behind.files, 8);
        assert_flat(before.descriptors, behind.descriptors, 8);
    }
    assert_in_range(behind.memory, 1, 256 * MIB);
    assert_in_range(behind.disk, 1, 128 * MIB);
    assert_in_range(daemon_count(load->daemon, "streams"), 1, RESIDENT);
    assert_in_range(daemon_count(load->daemon, "kept.returned"), 1, INT64_MAX);
    end(load);
}

int main(void) {
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_in_memory, scenario_teardown),
        cmocka_unit_test_teardown(test_on_disk, scenario_teardown),
    };
    return cmocka_run_group_tests_name("soak", tests, NULL, NULL);
}
