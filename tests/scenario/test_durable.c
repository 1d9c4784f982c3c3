/*
 * Streams that leave memory and come back, a daemon that stops and starts, and one that is killed: what it forecasts
 * afterwards is, to the last bit, what a daemon forecasts that had all streams in memory and was never stopped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/clock.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"
#include "tests/support/waves.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { STREAMS = 12, FEATURES = WAVES_FEATURES };
enum { SEED = 7 }; /* of the ticks' noise */

static const int64_t second = 1000000000;

static const char models[] =
    "streams:\n"
    "  - {class: c, pattern: '*', features: [a, b], gap: reset, gap_after: 60s, history: 100%s}\n"
    "models:\n"
    "  - {name: m, class: c, horizon: 4, period: 12, layers: [{lstm: 12}], batch_size: 4, train: false%s}\n"
    "  - {name: r, class: c, horizon: 2, targets: [b], layers: [{lstm: 5}], batch_size: 2, train: false,\n"
    "     reset_every: 300s, combine: network%s}\n";

static const char *of_models = ""; /* what they have more */

static int steps(void) {
    return scenario_count(400, 150);
}

/* A step of each stream, in an order that changes. */
static void feed_step(void *socket, int step) {
    for (int i = 0; i < STREAMS; i++) {
        int stream = (i * 5 + step) % STREAMS;
        double values[FEATURES];
        char name[16];
        waves_values(SEED, stream, step, values);
        feed_tick(socket, waves_name(stream, name), second * (1600000000 + step + step / 100 * 500), values,
                  FEATURES);
    }
}

static struct daemon *start(const char *top, const char *of_class) {
    static char rest[2048];
    char classes[1024];
    snprintf(classes, sizeof classes, models, of_class, of_models, of_models);
    snprintf(rest, sizeof rest, "%s%s", top, classes);
    return daemon_run(&(struct daemon_setup){.workers = 2, .rest = rest});
}

/* What a daemon says that keeps all streams and never stops. */
static struct heard *hear_reference(struct daemon **ret_daemon) {
    struct daemon *daemon = *ret_daemon = start("", "");
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int step = 0; step < steps(); step++)
        feed_step(socket, step);
    heard_until(heard, (size_t)steps() * STREAMS * 2);
    return heard;
}

static char folder[64];

static const char *new_folder(void) {
    strcpy(folder, "/tmp/test_durable.XXXXXX");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int teardown(void **state) {
    char command[128];
    int failed = scenario_teardown(state);
    if (folder[0] == '\0')
        return failed;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    folder[0] = '\0';
    return system(command) != 0 ? -1 : failed;
}

/* Those of the last n steps. */
static void compare_last(const struct heard *heard, const struct heard *reference, size_t n) {
    for (int s = 0; s < STREAMS; s++)
        for (int m = 0; m < 2; m++) {
            char name[16];
            const char *model = m == 0 ? "m" : "r";
            struct heard_stream *a = heard_find(heard, model, waves_name(s, name));
            struct heard_stream *b = heard_find(reference, model, name);
            assert_non_null(a);
            assert_non_null(b);
            assert_int_equal(b->n, steps());
            assert_true(a->n >= n);
            assert_int_equal(heard_at(a, a->n - 1)->step, steps());
            heard_compare(a, a->n - n, b, b->n - n, n);
        }
}

/* ---- leaving and coming back -------------------------------------------------------------------- */

static void test_few_in_memory(void **state) {
    (void)state;
    char top[256];
    struct daemon *other;
    struct heard *reference = hear_reference(&other);
    snprintf(top, sizeof top, "state_dir: %s\nsnapshot_every: 300ms\n", new_folder());
    struct daemon *daemon = start(top, ", max_resident: 4");
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int step = 0; step < steps(); step++) {
        feed_step(socket, step);
        scenario_sleep(10); /* looked at ten times a second: many leave */
    }
    heard_until(heard, (size_t)steps() * STREAMS * 2);
    compare_last(heard, reference, (size_t)steps());
    assert_true(daemon_count(daemon, "kept.evicted") > 10);
    heard_free(heard);
    daemon_stop(daemon);
    daemon_free(&daemon);
    heard_free(reference);
    daemon_free(&other);
}

/* ---- stops -------------------------------------------------------------------------------------- */

static void stop_and_start(int signal) {
    char top[256];
    struct daemon *other;
    struct heard *reference = hear_reference(&other);
    snprintf(top, sizeof top, "state_dir: %s\nsnapshot_every: 200ms\n", new_folder());
    struct daemon *daemon = start(top, "");
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    int half = steps() / 2;
    for (int step = 0; step < half; step++) {
        feed_step(socket, step);
        if (step % 50 == 0)
            scenario_sleep(100);
    }
    heard_until(heard, (size_t)half * STREAMS * 2);
    daemon_await_durable(daemon);
    daemon_close(daemon, socket);
    heard_free(heard);
    daemon_signal(daemon, signal);
    assert_int_equal(daemon_wait(daemon), signal == SIGTERM ? 0 : 128 + signal);

    daemon_start(daemon);
    heard = heard_all(daemon);
    heard->any_gaps = true; /* the first half is not heard any more */
    socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int step = half; step < steps(); step++)
        feed_step(socket, step);
    heard_until(heard, (size_t)(steps() - half) * STREAMS * 2);
    compare_last(heard, reference, (size_t)(steps() - half));
    heard_free(heard);
    daemon_stop(daemon);
    daemon_free(&daemon);
    heard_free(reference);
    daemon_free(&other);
}

static void test_stopped(void **state) {
    (void)state;
    stop_and_start(SIGTERM);
}

static void test_killed(void **state) {
    (void)state;
    stop_and_start(SIGKILL);
}

/* ---- versions and commands in the tail ---------------------------------------------------------- */

enum { LEARNERS = 5 };

/* Jobs one after another; batches of two, so that takeovers wait for each other. */
static const char learning[] =
    "state_dir: %s\nsnapshot_every: %s\n"
    "streams:\n"
    "  - {class: c, pattern: '*', features: [a, b], gap: reset, gap_after: 60s, history: 400}\n"
    "models:\n"
    "  - name: m\n"
    "    class: c\n"
    "    horizon: 6\n"
    "    period: 12\n"
    "    targets: [b, a]\n"
    "    layers: [{lstm: 40}, {dense: 8, activation: tanh}]\n"
    "    batch_size: 2\n"
    "    retrain_every: %s\n"
    "    training: {window: 48, burn_in: 8, unroll: 24, batch: 8, epochs: 4, min_steps: 80, learning_rate: 0.01,\n"
    "               patience: 0, first_after: 100, new_steps: 60, margin: 0%%}\n";

static void feed_learners(struct daemon *daemon, void *socket, int from, int to) {
    static const char *const commands[] = {
        "{\"cmd\":\"pause\",\"stream\":\"s1\"}", "{\"cmd\":\"reset\",\"stream\":\"s2\"}",
        "{\"cmd\":\"reset\",\"stream\":\"s3\",\"model\":\"m\"}", "{\"cmd\":\"resume\",\"stream\":\"s1\"}"};
    for (int step = from; step < to; step++) {
        for (int s = 0; s < LEARNERS; s++) {
            double values[FEATURES];
            char name[16];
            waves_values(SEED, s, step, values);
            feed_tick(socket, waves_name(s, name), second * (1600000000 + step + step / 100 * 500), values, FEATURES);
        }
        scenario_sleep(3);
        if (step % 40 == 17)
            daemon_expect_count(daemon, "streams", LEARNERS); /* who is looked for is not known yet */
        if (step % 40 == 17)
            daemon_command(daemon, "%s", commands[step / 40 % 4]);
    }
}

/* All streams as they stand, when everything that was fed has been forecast and is on disk. */
static json_t *export_all(struct daemon *daemon) {
    json_t *all = json_array();
    for (int s = 0; s < LEARNERS; s++) {
        char request[64];
        snprintf(request, sizeof request, "{\"cmd\":\"export\",\"stream\":\"s%d\"}", s);
        json_t *reply = daemon_ask(daemon, request);
        assert_true(json_is_true(json_object_get(reply, "ok")));
        json_array_append(all, json_object_get(reply, "image"));
        json_decref(reply);
    }
    return all;
}

/* The same when no job is under way, and no version takes over. */
static json_t *export_at_rest(struct daemon *daemon) {
    json_t *before = export_all(daemon);
    for (int tries = 0; tries < 100; tries++) {
        json_t *model = daemon_model(daemon, "m");
        bool idle = strcmp(json_string_value(json_object_get(model, "training")), "idle") == 0;
        json_decref(model);
        scenario_sleep(200);
        json_t *again = export_all(daemon);
        bool rests = idle && json_equal(before, again);
        json_decref(before);
        before = again;
        if (rests)
            return before;
    }
    fail_msg("the daemon comes to no rest");
    return NULL;
}

/* Jobs are due so often from now on. */
static void train_every(struct daemon *daemon, const char *was, const char *is) {
    char text[8192] = "";
    FILE *file = fopen(daemon->config, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    char *every = strstr(text, was);
    assert_non_null(every);
    memcpy(every, is, strlen(is));
    daemon_write_config(daemon, text);
    daemon_command(daemon, "{\"cmd\":\"reload\"}");
}

/* Only who serves is still there. */
static void lose_versions(int64_t champion) {
    for (int number = 1; number < 100; number++) {
        char path[128];
        snprintf(path, sizeof path, "%s/versions/m/%d.version", folder, number);
        if (number != champion)
            unlink(path);
    }
}

static void kill_while_learning(const char *every, bool loses) {
    static char rest[2048];
    snprintf(rest, sizeof rest, learning, new_folder(), every, "150s");
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 2, .rest = rest});
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed_learners(daemon, socket, 0, 150);
    daemon_await_version(daemon, "m");
    feed_learners(daemon, socket, 150, 420);
    daemon_expect_count(daemon, "forecasts.made", 420 * LEARNERS);
    train_every(daemon, "150s", "900h");
    json_decref(export_at_rest(daemon));
    int64_t rounds = daemon_count(daemon, "store.rounds");
    if (strcmp(every, "1h") != 0)
        daemon_await_count(daemon, "store.rounds", rounds + 1);
    feed_learners(daemon, socket, 420, 430);
    daemon_expect_count(daemon, "forecasts.made", 430 * LEARNERS);
    json_t *before = export_all(daemon);
    daemon_await_durable(daemon);
    int64_t champion = daemon_model_count(daemon, "m", "version");
    daemon_close(daemon, socket);
    daemon_signal(daemon, SIGKILL);
    daemon_wait(daemon);

    if (loses)
        lose_versions(champion);
    daemon_start(daemon);
    train_every(daemon, "900h", "901h"); /* written by the bus while workers bring streams back */
    daemon_expect_count(daemon, "streams", LEARNERS);
    if (loses) {
        json_decref(before);
        socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
        feed_learners(daemon, socket, 430, 440);
        daemon_expect_count(daemon, "forecasts.made", 10 * LEARNERS);
        daemon_stop(daemon);
        daemon_free(&daemon);
        return;
    }
    json_t *after = export_all(daemon);
    for (int s = 0; s < LEARNERS; s++)
        if (!json_equal(json_array_get(before, (size_t)s), json_array_get(after, (size_t)s)))
            fail_msg("stream s%d is not what it was", s);
    json_decref(before);
    json_decref(after);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* All of it from the journal: streams that begin in it, every takeover, every command. */
static void test_killed_without_images(void **state) {
    (void)state;
    kill_while_learning("1h", false);
}

static void test_killed_behind_images(void **state) {
    (void)state;
    kill_while_learning("4s", false);
}

/* What cannot be as it was goes on under what serves. */
static void test_old_versions_are_gone(void **state) {
    (void)state;
    kill_while_learning("1h", true);
}

/* ---- out of one daemon and into another --------------------------------------------------------- */

static void let_ctl(const char *what, const char *file, const struct daemon *daemon, bool works) {
    char command[512];
    const char *build = getenv("BUILD") != NULL ? getenv("BUILD") : "build";
    snprintf(command, sizeof command, "%s/forecast ctl %s %s --control %s 2>/dev/null", build, what, file,
             daemon->control);
    if ((system(command) == 0) != works)
        fail_msg("%s %s", command, works ? "fails" : "works");
}

/* All names, in memory and on disk, in pages of any size. */
static void expect_names(struct daemon *daemon) {
    static const char expected[] = " s0 s1 s10 s11 s2 s3 s4 s5 s6 s7 s8 s9";
    for (int limit = 1; limit <= STREAMS + 1; limit++) {
        char text[256] = "", request[128], after[16] = "";
        for (bool more = true; more;) {
            snprintf(request, sizeof request, "{\"cmd\":\"names\",\"prefix\":\"s\",\"after\":\"%s\",\"limit\":%d}",
                     after, limit);
            json_t *reply = daemon_ask(daemon, request), *name;
            const json_t *names = json_object_get(reply, "names");
            size_t i;
            assert_true(json_array_size(names) <= (size_t)limit);
            json_array_foreach(names, i, name) {
                strcat(strcat(text, " "), json_string_value(name));
            }
            more = json_is_true(json_object_get(reply, "more"));
            assert_int_equal(more, json_object_get(reply, "after") != NULL);
            if (more)
                snprintf(after, sizeof after, "%s", json_string_value(json_object_get(reply, "after")));
            json_decref(reply);
        }
        assert_string_equal(text, expected);
    }
}

struct move {
    const char *from, *of_class, *to; /* what the configurations have more */
    bool killed;                      /* the daemon is, before the streams go out of it */
};

/* A line of `export` per stream goes into another daemon, of other batches, with a store or without; both go on alike. */
static void move_all(const struct move *move) {
    char file[64] = "/tmp/test_durable.XXXXXX", name[16];
    int fd = mkstemp(file), half = steps() / 2;
    assert_true(fd >= 0);
    close(fd);
    struct daemon *from = start(move->from, move->of_class), *to = start(move->to, "");
    struct heard *one = heard_all(from), *other = heard_all(to);
    other->any_gaps = true;
    void *into = daemon_connect(from, ZMQ_PUSH, from->ticks), *beside = daemon_connect(to, ZMQ_PUSH, to->ticks);
    for (int step = 0; step < half; step++)
        feed_step(into, step);
    heard_until(one, (size_t)half * STREAMS * 2);
    if (move->killed) {
        daemon_await_durable(from);
        daemon_close(from, into);
        heard_free(one);
        daemon_signal(from, SIGKILL);
        daemon_wait(from);
        daemon_start(from);
        one = heard_all(from);
        one->any_gaps = true;
        into = daemon_connect(from, ZMQ_PUSH, from->ticks);
    }
    bool stays = move->of_class[0] != '\0' && !move->killed;
    if (stays)
        daemon_expect_count(from, "streams", 3);
    int64_t returned = stays ? daemon_count(from, "kept.returned") : 0;
    let_ctl("export 's*'", file, from, true);
    if (stays) { /* who was on disk is there still */
        daemon_expect_count(from, "streams", 3);
        assert_int_equal(daemon_count(from, "kept.returned"), returned);
    }
    expect_names(from);
    let_ctl("export nobody", "/dev/null", from, false);
    let_ctl("export 'nobody*'", "/dev/null", from, false);
    let_ctl("import", file, to, true);
    daemon_expect_count(to, "streams", STREAMS);
    let_ctl("import", file, to, false); /* they exist now */
    for (int step = half; step < steps(); step++) {
        feed_step(into, step);
        feed_step(beside, step);
    }
    size_t heard_before = move->killed ? 0 : (size_t)half;
    heard_until(one, (heard_before + (size_t)(steps() - half)) * STREAMS * 2);
    heard_until(other, (size_t)(steps() - half) * STREAMS * 2);
    for (int s = 0; s < STREAMS; s++)
        for (int m = 0; m < 2; m++) {
            const char *model = m == 0 ? "m" : "r";
            struct heard_stream *a = heard_find(one, model, waves_name(s, name)), *b = heard_find(other, model, name);
            assert_non_null(b);
            heard_compare(a, heard_before, b, 0, (size_t)(steps() - half));
        }
    unlink(file);
    heard_free(one);
    heard_free(other);
    daemon_stop(from);
    daemon_stop(to);
    daemon_free(&from);
    daemon_free(&to);
}

static void test_moved(void **state) {
    (void)state;
    move_all(&(struct move){"", "", "", false});
}

static const char *with_store(void) {
    static char top[256];
    snprintf(top, sizeof top, "state_dir: %s\nsnapshot_every: 300ms\n", new_folder());
    return top;
}

static void test_moved_to_a_store(void **state) {
    (void)state;
    move_all(&(struct move){"", "", with_store(), false});
}

/* Most are on disk, and stay there. */
static void test_moved_from_disk(void **state) {
    (void)state;
    move_all(&(struct move){with_store(), ", max_resident: 3", "", false});
}

/* Streams that are only just coming back. */
static void test_moved_behind_a_crash(void **state) {
    (void)state;
    move_all(&(struct move){with_store(), ", max_resident: 3", "", true});
}

/* ---- imports are durable ------------------------------------------------------------------------ */

struct pair {
    struct daemon *kept, *other; /* with a store; and without, the reference */
    struct heard *heard, *reference;
    void *into, *beside;
};

static void kill_and_start(struct pair *pair) {
    daemon_close(pair->kept, pair->into);
    heard_free(pair->heard);
    daemon_signal(pair->kept, SIGKILL);
    daemon_wait(pair->kept);
    daemon_start(pair->kept);
    pair->heard = heard_all(pair->kept);
    pair->heard->any_gaps = true;
    pair->into = daemon_connect(pair->kept, ZMQ_PUSH, pair->kept->ticks);
}

static void feed_pair(struct pair *pair, int from, int to) {
    for (int step = from; step < to; step++) {
        feed_step(pair->into, step);
        feed_step(pair->beside, step);
    }
    heard_until(pair->reference, (size_t)(to - steps() / 2) * STREAMS * 2);
}

/* What was imported is there behind a kill, at once and behind ticks, before any image of it was written; under the weights
 * that it had, or (`seed`) others. */
static void import_and_kill(const char *seed) {
    char top[256], file[64] = "/tmp/test_durable.XXXXXX", command[64];
    int fd = mkstemp(file), half = steps() / 2, later = half + steps() / 4;
    char name[16];
    assert_true(fd >= 0);
    close(fd);
    struct daemon *from = start("", "");
    struct heard *heard = heard_all(from);
    void *socket = daemon_connect(from, ZMQ_PUSH, from->ticks);
    for (int step = 0; step < half; step++)
        feed_step(socket, step);
    heard_until(heard, (size_t)half * STREAMS * 2);
    let_ctl("export 's*'", file, from, true);
    heard_free(heard);
    daemon_stop(from);
    daemon_free(&from);

    snprintf(top, sizeof top, "state_dir: %s\nsnapshot_every: 1h\n", new_folder());
    of_models = seed;
    struct pair pair = {.kept = start(top, ""), .other = start("", "")};
    of_models = "";
    pair.heard = heard_all(pair.kept);
    pair.reference = heard_all(pair.other);
    pair.reference->any_gaps = true;
    pair.into = daemon_connect(pair.kept, ZMQ_PUSH, pair.kept->ticks);
    pair.beside = daemon_connect(pair.other, ZMQ_PUSH, pair.other->ticks);
    snprintf(command, sizeof command, "import %s", seed[0] != '\0' ? "--reprime" : "");
    let_ctl(command, file, pair.other, true);
    if (seed[0] != '\0')
        let_ctl("import", file, pair.kept, false);
    let_ctl(command, file, pair.kept, true);
    kill_and_start(&pair);
    daemon_expect_count(pair.kept, "streams", STREAMS);
    let_ctl(command, file, pair.kept, false);
    feed_pair(&pair, half, later);
    heard_until(pair.heard, (size_t)(later - half) * STREAMS * 2);
    daemon_await_durable(pair.kept);
    assert_int_equal(daemon_count(pair.kept, "store.images"), 0);
    kill_and_start(&pair);
    feed_pair(&pair, later, steps());
    heard_until(pair.heard, (size_t)(steps() - later) * STREAMS * 2);
    for (int s = 0; s < STREAMS; s++)
        for (int m = 0; m < 2; m++) {
            const char *model = m == 0 ? "m" : "r";
            struct heard_stream *a = heard_find(pair.heard, model, waves_name(s, name)),
                                *b = heard_find(pair.reference, model, name);
            assert_true(a != NULL && b != NULL);
            heard_compare(a, 0, b, (size_t)(later - half), (size_t)(steps() - later));
        }
    unlink(file);
    heard_free(pair.heard);
    heard_free(pair.reference);
    daemon_stop(pair.kept);
    daemon_stop(pair.other);
    daemon_free(&pair.kept);
    daemon_free(&pair.other);
}

static void test_imported_is_kept(void **state) {
    (void)state;
    import_and_kill("");
}

static void test_imported_under_other_weights_is_kept(void **state) {
    (void)state;
    import_and_kill(", seed: 4711");
}

/* ---- intervals that the clock closes ------------------------------------------------------------ */

enum { CLOSED = 10 };

static struct daemon *start_closing(const char *top, const char *of_class) {
    static char rest[1024];
    snprintf(rest, sizeof rest,
             "%sstreams:\n"
             "  - {class: c, pattern: '*', features: [a, b], every: 100ms, close_after: 1200ms, history: 64%s}\n"
             "models:\n"
             "  - {name: m, class: c, horizon: 2, layers: [{lstm: 4}], train: false, combine: network}\n",
             top, of_class);
    return daemon_run(&(struct daemon_setup){.workers = 2, .rest = rest});
}

/* A tick of each stream, behind which none comes. Returns the time of its interval. */
static int64_t feed_last(void *socket) {
    int64_t now = clock_realtime(), start = now - now % (second / 10);
    char name[16];
    for (int s = 0; s < CLOSED; s++)
        feed_tick(socket, waves_name(s, name), start + 1, (const double[]){s, 1}, FEATURES);
    return start;
}

static void expect_closed(struct heard *heard, size_t n, int64_t start) {
    char name[16];
    heard_until(heard, CLOSED * n);
    for (int s = 0; s < CLOSED; s++) {
        const struct heard_stream *stream = heard_find(heard, "m", waves_name(s, name));
        assert_non_null(stream);
        assert_int_equal(stream->n, n);
        const struct heard_forecast *forecast = heard_at(stream, n - 1);
        assert_int_equal(forecast->t, start);
        assert_true((forecast->flags & WIRE_FLAG(CLOCK)) != 0 && forecast->numbers[0] == s);
    }
}

/* Out of memory, with their intervals open: they come back for that. */
static void test_closed_on_disk(void **state) {
    (void)state;
    struct daemon *daemon = start_closing(with_store(), ", max_resident: 2");
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    bool open = false;
    for (size_t n = 1; n <= 3; n++) {
        int64_t start = feed_last(socket);
        for (int64_t until = scenario_now() + 1000; !open && scenario_now() < until; scenario_sleep(5))
            open = daemon_count(daemon, "kept.open") == CLOSED - 2;
        expect_closed(heard, n, start);
        daemon_expect_count(daemon, "time.closed", (int64_t)n * CLOSED);
    }
    assert_true(open);
    daemon_expect_count(daemon, "streams", 2);
    assert_int_equal(daemon_count(daemon, "kept.open"), 0);
    heard_free(heard);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* Open when the daemon stopped, and on disk alone when it begins. */
static void test_closed_behind_a_stop(void **state) {
    (void)state;
    struct daemon *daemon = start_closing(with_store(), "");
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed_last(socket);
    daemon_expect_count(daemon, "ticks.taken", CLOSED);
    daemon_close(daemon, socket);
    daemon_signal(daemon, SIGTERM);
    assert_int_equal(daemon_wait(daemon), 0);
    daemon_start(daemon);
    daemon_expect_count(daemon, "time.closed", CLOSED);
    daemon_expect_count(daemon, "forecasts.made", CLOSED);
    assert_int_equal(daemon_count(daemon, "kept.open"), 0);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* What the journal's tail brings back is open still. */
static void test_closed_behind_a_crash(void **state) {
    (void)state;
    char top[256];
    snprintf(top, sizeof top, "state_dir: %s\n", new_folder()); /* rounds are far apart */
    struct daemon *daemon = start_closing(top, "");
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed_last(socket);
    daemon_expect_count(daemon, "ticks.taken", CLOSED);
    daemon_await_durable(daemon);
    assert_int_equal(daemon_count(daemon, "time.closed"), 0);
    daemon_close(daemon, socket);
    daemon_signal(daemon, SIGKILL);
    daemon_wait(daemon);
    daemon_start(daemon);
    daemon_expect_count(daemon, "time.closed", CLOSED); /* perhaps before anybody has subscribed */
    daemon_expect_count(daemon, "forecasts.made", CLOSED);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* Streams of another daemon bring open intervals with them. */
static void closed_where_imported(const char *top) {
    char file[64] = "/tmp/test_durable.XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    close(fd);
    struct daemon *from = start_closing("", ""), *to = start_closing(top, "");
    struct heard *heard = heard_all(to);
    void *socket = daemon_connect(from, ZMQ_PUSH, from->ticks);
    int64_t start = feed_last(socket);
    daemon_expect_count(from, "ticks.taken", CLOSED);
    let_ctl("export '*'", file, from, true);
    assert_int_equal(daemon_count(from, "time.closed"), 0);
    let_ctl("import", file, to, true);
    expect_closed(heard, 1, start);
    unlink(file);
    heard_free(heard);
    daemon_stop(from);
    daemon_stop(to);
    daemon_free(&from);
    daemon_free(&to);
}

static void test_closed_where_imported(void **state) {
    (void)state;
    closed_where_imported("");
    closed_where_imported(with_store());
}

int main(void) {
    scenario_begin(240);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_few_in_memory, teardown),
        cmocka_unit_test_teardown(test_stopped, teardown),
        cmocka_unit_test_teardown(test_killed, teardown),
        cmocka_unit_test_teardown(test_killed_without_images, teardown),
        cmocka_unit_test_teardown(test_killed_behind_images, teardown),
        cmocka_unit_test_teardown(test_old_versions_are_gone, teardown),
        cmocka_unit_test_teardown(test_moved, teardown),
        cmocka_unit_test_teardown(test_moved_to_a_store, teardown),
        cmocka_unit_test_teardown(test_moved_from_disk, teardown),
        cmocka_unit_test_teardown(test_moved_behind_a_crash, teardown),
        cmocka_unit_test_teardown(test_imported_is_kept, teardown),
        cmocka_unit_test_teardown(test_imported_under_other_weights_is_kept, teardown),
        cmocka_unit_test_teardown(test_closed_on_disk, teardown),
        cmocka_unit_test_teardown(test_closed_behind_a_stop, teardown),
        cmocka_unit_test_teardown(test_closed_behind_a_crash, teardown),
        cmocka_unit_test_teardown(test_closed_where_imported, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
