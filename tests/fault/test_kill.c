/*
 * kill -9 at random instants, under load, while models train, versions take over, images are written and streams leave
 * memory and come back: what was acknowledged counts once, and every forecast, state and score is that of a daemon
 * that was never stopped and keeps nothing on disk.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "tests/fault/disk.h"
#include "tests/fault/fault.h"
#include "tests/fault/load.h"
#include "tests/support/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { ROWS = 30, LAST_ROWS = 12, MOST_ROUNDS = 400, MOST_ROWS = ROWS * MOST_ROUNDS + LAST_ROWS, RETRY_MS = 60000 };

/* Keeps the trainer at work; never serves. */
static const char load_model[] =
    "  - name: load\n"
    "    class: t\n"
    "    horizon: 2\n"
    "    layers: [{lstm: 24}]\n"
    "    promote: manual\n"
    "    retrain_every: 0s\n"
    "    training: {window: 16, burn_in: 2, unroll: 8, first_after: 100000, epochs: 30, max_windows: 200}\n";

/* All streams are in the last row of a round. */
static bool is_quiet(int stream, int row) {
    return row % ROWS != ROWS - 1 && load_pauses(stream, row);
}

/* Ticks up to the end of a row. */
static uint64_t up_to_row(int row) {
    return load_before_row(row + 1);
}

/* ---- a daemon that is killed, or none -------------------------------------------------------- */

struct side {
    bool durable;
    struct fault fault; /* its folder */
    char acknowledged[160];
    struct daemon *daemon;
    struct heard *heard;
    void *push;
    struct sender sender;
    uint64_t fed; /* ticks, without a sender */

    pthread_t killer;
    atomic_bool armed, serves, ending;
    atomic_int pid;
    int kills, starts;
    uint64_t versions[MOST_ROUNDS]; /* of model t, at the end of each round */
    struct rng rng;
};

/* Kills at a random instant of the time in which it is armed and the daemon serves; now and then while it reads what it
 * has left. Touches nothing but a process. */
static void *kill_it(void *context) {
    struct side *side = context;
    struct rng rng = {11};
    int64_t left = 50;
    bool starting = false;
    while (!atomic_load(&side->ending)) {
        scenario_sleep(1);
        if (!atomic_load(&side->armed) || !(starting || atomic_load(&side->serves)) || --left > 0)
            continue;
        int pid = atomic_exchange(&side->pid, 0);
        atomic_store(&side->serves, false);
        if (pid > 0)
            kill(pid, SIGKILL);
        starting = rng_below(&rng, 4) == 0;
        left = 1 + (int64_t)rng_below(&rng, starting ? 200 : 60);
    }
    return NULL;
}

static void start(struct side *side) {
    int status;
    for (;;) {
        side->starts++;
        daemon_launch(side->daemon, NULL);
        atomic_store(&side->pid, side->daemon->pid);
        if (daemon_await_start(side->daemon, &status)) {
            atomic_store(&side->serves, true);
            return;
        }
        if (status != 128 + SIGKILL)
            fail_msg("the daemon ended with %d: %s", status, daemon_output(side->daemon));
        side->kills++;
    }
}

/* Starts it anew where it was killed. Returns whether it was. */
static bool revive(struct side *side) {
    int status;
    if (!daemon_has_ended(side->daemon, &status))
        return false;
    if (status != 128 + SIGKILL)
        fail_msg("the daemon ended with %d: %s", status, daemon_output(side->daemon));
    side->kills++;
    start(side);
    if (side->durable)
        sender_reconnect(&side->sender);
    return true;
}

static void side_open(struct side *side, bool durable) {
    *side = (struct side){.durable = durable, .rng = {5}};
    fault_open(&side->fault);
    snprintf(side->acknowledged, sizeof side->acknowledged, "ipc://%s/acknowledged", side->fault.folder);
    char rest[4096], bus[256] = "", top[256] = "";
    if (durable) {
        snprintf(bus, sizeof bus, "  acknowledged: %s\n", side->acknowledged);
        snprintf(top, sizeof top, "state_dir: %s/state\nsync_every: 5ms\nsnapshot_every: 1s\n", side->fault.folder);
    }
    snprintf(rest, sizeof rest, "%s%s%s", top, load_config(durable ? 5 : 0), load_model);
    side->daemon = daemon_new(&(struct daemon_setup){.bus = bus, .rest = rest});
    start(side);
    side->heard = heard_new(side->daemon, "forecast/", 9, 1);
    side->heard->any_gaps = durable;
    if (durable)
        sender_open(&side->sender, side->acknowledged, load_tick);
    else
        side->push = daemon_connect(side->daemon, ZMQ_PUSH, side->daemon->ticks);
}

/* ---- what both go through -------------------------------------------------------------------- */

static uint64_t forecasts_of(uint64_t n);

/* Feeds the ticks up to a number, and waits until all are taken. */
static void feed(struct side *side, uint64_t up_to) {
    int64_t until = scenario_now() + RETRY_MS;
    while (side->durable && side->sender.durable < up_to) {
        if (scenario_now() > until)
            fail_msg("%llu ticks are durable, not %llu: %s", (unsigned long long)side->sender.durable,
                     (unsigned long long)up_to, daemon_output(side->daemon));
        revive(side);
        sender_go(&side->sender, up_to, 5);
        heard_rest(side->heard, 0);
    }
    for (; !side->durable && side->fed < up_to; side->fed++) {
        struct sender_tick tick;
        load_tick(side->fed + 1, &tick);
        feed_tick(side->push, tick.stream, tick.t, tick.values, tick.n);
        if (side->fed % 100 == 0)
            heard_rest(side->heard, 0);
    }
    if (!side->durable)
        heard_until(side->heard, forecasts_of(up_to));
}

/* Asks until the daemon lives and answers that it is done. Whoever was killed meanwhile may have done it, or not: so
 * these are requests of which once more is as good as once. */
static json_t *ask(struct side *side, const char *request) {
    int64_t until = scenario_now() + RETRY_MS;
    for (;;) {
        json_t *reply;
        revive(side);
        if (daemon_try_to_ask(side->daemon, request, 300, &reply)) {
            const json_t *error = json_object_get(reply, "error");
            const char *code = json_string_value(json_object_get(error, "code"));
            if (code == NULL || strcmp(code, "busy") != 0)
                return reply;
            json_decref(reply);
            scenario_sleep(2);
        }
        if (scenario_now() > until)
            fail_msg("no answer to %s: %s", request, daemon_output(side->daemon));
    }
}

static void command(struct side *side, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void command(struct side *side, const char *format, ...) {
    char request[256];
    va_list args;
    va_start(args, format);
    vsnprintf(request, sizeof request, format, args);
    va_end(args);
    json_t *reply = ask(side, request);
    if (!json_is_true(json_object_get(reply, "ok")))
        fail_msg("%s: %s", request, json_dumps(reply, 0));
    json_decref(reply);
}

static int models_of(int stream) {
    return *load_class(stream) == 't' ? 2 : 1;
}

/* Until all that was taken in is done with, takeovers too: a state is told behind both. */
static void settle(struct side *side) {
    for (int s = 0; s < LOAD_STREAMS; s++)
        for (int m = 0; m < models_of(s); m++) {
            char request[128], name[16];
            snprintf(request, sizeof request, "{\"cmd\":\"state\",\"stream\":\"%s\",\"model\":\"%s\"}",
                     load_name(s, name), m == 1 ? "load" : load_class(s));
            json_decref(ask(side, request)); /* a stream on disk, or without a network, has none to tell */
        }
}

static int64_t number_of(struct side *side, const char *model, const char *key) {
    json_t *reply = ask(side, "{\"cmd\":\"models\"}");
    const json_t *list = json_object_get(reply, "models");
    int64_t number = -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *map = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(map, "model")), model) == 0)
            number = json_integer_value(json_object_get(map, key));
    }
    json_decref(reply);
    return number;
}

static void arm(struct side *side, bool armed) {
    atomic_store(&side->armed, side->durable && armed);
    if (!armed)
        revive(side);
}

/* Trains without kills, as the streams that are in memory decide on the windows, and promotes. */
static void train(struct side *side) {
    int64_t version = number_of(side, "t", "version"), done = number_of(side, "t", "jobs");
    int64_t until = scenario_now() + RETRY_MS;
    command(side, "{\"cmd\":\"retrain\",\"model\":\"t\"}");
    while (number_of(side, "t", "jobs") == done) {
        assert_true(scenario_now() < until);
        scenario_sleep(5);
    }
    json_t *reply = ask(side, "{\"cmd\":\"promote\",\"model\":\"t\"}");
    bool promoted = json_is_true(json_object_get(reply, "ok")); /* it was better than what is there */
    json_decref(reply);
    while (promoted && number_of(side, "t", "version") == version) {
        assert_true(scenario_now() < until);
        scenario_sleep(2);
    }
}

static void go_back(struct side *side) {
    int64_t version = number_of(side, "t", "version"), until = scenario_now() + RETRY_MS;
    while (version > 0 && number_of(side, "t", "version") == version) {
        assert_true(scenario_now() < until);
        json_decref(ask(side, "{\"cmd\":\"rollback\",\"model\":\"t\"}"));
    }
}

static void await_written(struct side *side) {
    for (bool on_disk = !side->durable; !on_disk;) {
        json_t *reply = ask(side, "{\"cmd\":\"status\"}");
        const json_t *store = json_object_get(reply, "store");
        on_disk = json_equal(json_object_get(store, "order"), json_object_get(store, "durable"));
        json_decref(reply);
    }
}

/* Streams that are in memory begin anew, and pause; until that is on disk, as a tick would be. */
static void command_streams(struct side *side, int round) {
    char name[16];
    int s = LOAD_S + round % (LOAD_T + LOAD_E);
    command(side, "{\"cmd\":\"reset\",\"stream\":\"%s\"}", load_name(s, name));
    s = LOAD_S + round / 2 % (LOAD_T + LOAD_E);
    command(side, "{\"cmd\":\"%s\",\"stream\":\"%s\"}", round % 2 ? "resume" : "pause", load_name(s, name));
    await_written(side);
}

/* A round of both: ticks, a version back, with kills; commands, and a version more, without. */
static void one_round(struct side *side, int round) {
    int last = ROWS * (round + 1) - 1;
    arm(side, true);
    feed(side, up_to_row(last - ROWS / 2));
    json_decref(ask(side, "{\"cmd\":\"reject\",\"model\":\"load\"}"));
    json_decref(ask(side, "{\"cmd\":\"retrain\",\"model\":\"load\"}"));
    feed(side, up_to_row(last - 3));
    settle(side);
    if (round % 2 == 1)
        go_back(side);
    settle(side);
    /* A stream that is on disk is taken over when it comes back. At which step that is told is on disk only behind its
     * next ticks: killed between, it may be a later one. */
    arm(side, false);
    feed(side, up_to_row(last - 2));
    settle(side);
    await_written(side);
    arm(side, true);
    feed(side, up_to_row(last - 1));
    arm(side, false);
    feed(side, up_to_row(last)); /* all streams */
    settle(side);
    if (round % 2 == 0)
        train(side);
    settle(side);
    side->versions[round] = (uint64_t)number_of(side, "t", "version");
    command_streams(side, round);
}

/* Without kills, so that the last forecast of every stream is heard. */
static void finish(struct side *side, int rounds) {
    arm(side, false);
    feed(side, up_to_row(ROWS * rounds + LAST_ROWS - 1));
    settle(side);
    heard_rest(side->heard, 200);
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* Forecasts that the first n ticks make where every one makes one. */
static uint64_t forecasts_of(uint64_t n) {
    uint64_t made = 0;
    for (int s = 0; s < LOAD_STREAMS; s++)
        made += load_steps(s, n) * (uint64_t)models_of(s);
    return made;
}

/* A version of model t by the number that it has in the other daemon. A rollback that is killed when its version is written,
 * and does not serve yet, is done once more under the next number. */
static uint64_t number_in(const struct side *other, const struct side *killed, int rounds, uint64_t version) {
    for (int r = 0; r < rounds; r++)
        if (version == killed->versions[r])
            return other->versions[r];
    return version;
}

static void name_versions(const struct side *killed, const struct side *other, int rounds,
                          struct heard_stream *heard) {
    for (size_t i = 0; i < heard->n; i++) {
        struct heard_forecast *forecast = (struct heard_forecast *)(uintptr_t)heard_at(heard, i);
        forecast->version = number_in(other, killed, rounds, forecast->version);
    }
}

static void compare(const struct side *killed, const struct side *other, int rounds) {
    size_t compared = 0, missed = 0;
    struct heard_stream *stream = other->heard->streams;
    for (; stream != NULL; stream = stream->hh.next) {
        char model[64], name[64];
        assert_int_equal(sscanf(stream->key, "%63[^/]/%63s", model, name), 2);
        struct heard_stream *heard = heard_find(killed->heard, model, name);
        if (heard == NULL)
            fail_msg("nothing was heard of %s", stream->key);
        if (strcmp(model, "t") == 0)
            name_versions(killed, other, rounds, heard);
        for (size_t i = 0; i < heard->n; i++)
            load_compare(heard, i, stream, false);
        assert_int_equal(heard_at(heard, heard->n - 1)->step, stream->n);
        compared += heard->n;
        missed += stream->n;
        for (size_t i = 0; i < heard->n; i++)
            missed -= i == 0 || heard_at(heard, i)->step > heard_at(heard, i - 1)->step;
    }
    print_message("%zu forecasts were the same; of %zu about %zu were not heard\n", compared, other->heard->forecasts,
                  missed);
    assert_true(compared > other->heard->forecasts / 2);
}

/* What is told of every stream but times. */
static void compare_told(struct side *a, struct side *b, int rounds) {
    static const char *const kinds[] = {"state", "scores"};
    for (int s = 0; s < LOAD_STREAMS; s++)
        for (int k = 0; k < 2; k++) {
            char request[128], name[16];
            snprintf(request, sizeof request, "{\"cmd\":\"%s\",\"stream\":\"%s\",\"model\":\"%s\"}", kinds[k],
                     load_name(s, name), load_class(s));
            json_t *of_a = ask(a, request), *of_b = ask(b, request);
            json_object_del(of_a, "id");
            json_object_del(of_b, "id");
            json_t *version = json_object_get(of_a, "version");
            if (*load_class(s) == 't' && version != NULL)
                json_integer_set(version, (json_int_t)number_in(b, a, rounds, (uint64_t)json_integer_value(version)));
            if (json_object_get(of_a, "error") == NULL && !json_equal(of_a, of_b)) /* it may be on disk */
                fail_msg("%s: %s\nand %s", request, json_dumps(of_a, 0), json_dumps(of_b, 0));
            json_decref(of_a);
            json_decref(of_b);
        }
}

static void side_close(struct side *side) {
    if (side->durable)
        sender_close(&side->sender);
    heard_free(side->heard);
    daemon_free(&side->daemon);
    fault_close(&side->fault);
}

static void test_kills(void **state) {
    (void)state;
    static struct side killed, other;
    const char *wanted = getenv("KILLS");
    int kills = wanted != NULL ? atoi(wanted) : getenv("FAULT_LONG") != NULL ? 100 : 10, rounds = 0;
    load_make(MOST_ROWS, is_quiet);
    side_open(&killed, true);
    atomic_store(&killed.ending, kills == 0);
    assert_int_equal(pthread_create(&killed.killer, NULL, kill_it, &killed), 0);
    for (; rounds < MOST_ROUNDS && (killed.kills < kills || rounds < 4); rounds++)
        one_round(&killed, rounds);
    atomic_store(&killed.ending, true);
    pthread_join(killed.killer, NULL);
    finish(&killed, rounds);
    side_open(&other, false);
    for (int round = 0; round < rounds; round++)
        one_round(&other, round);
    finish(&other, rounds);
    print_message("%d kills in %d rounds of %llu ticks; %llu were sent again\n", killed.kills, rounds,
                  (unsigned long long)up_to_row(ROWS * rounds - 1), (unsigned long long)killed.sender.again);
    compare(&killed, &other, rounds);
    compare_told(&killed, &other, rounds);
    side_close(&killed);
    side_close(&other);
    load_free();
}

int main(void) {
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_kills, fault_tear_down),
    };
    return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
