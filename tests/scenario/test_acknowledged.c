/*
 * Acknowledged ticks with a real daemon and a real disk: each tick counts once, whatever is sent again, whoever is killed,
 * and whatever else comes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/commands.h"
#include "clients/libforecast/forecast.h"
#include "daemon/store.h"
#include "daemon/wire.h"
#include "engine/random.h"
#include "tests/support/command.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"
#include "tests/support/wire_cases.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { WAIT = 60000 };

static const char classes[] = "snapshot_every: 1d\n"
                              "streams:\n"
                              "  - {class: all, pattern: \"s/*\", features: [a], history: 64}\n"
                              "models:\n"
                              "  - {name: m, class: all, horizon: 1, layers: [], batch_size: 16, train: false}\n";

static struct daemon *start(const char *bus) {
    return daemon_run(&(struct daemon_setup){.workers = 2, .durable = true, .bus = bus, .rest = classes});
}

/* ---- senders ------------------------------------------------------------------------------------ */

struct refused {
    uint64_t n, first, last;
    char reason[32], stream[32];
};

static void note_refused(void *context, const struct forecast_refusal *refusal) {
    struct refused *refused = context;
    refused->n += refusal->last - refusal->first + 1;
    refused->first = refusal->first;
    refused->last = refusal->last;
    snprintf(refused->reason, sizeof refused->reason, "%s", refusal->reason);
    snprintf(refused->stream, sizeof refused->stream, "%s", refusal->stream);
}

static struct forecast_sender *open_sender(struct daemon *daemon, const char *producer, int bundle,
                                           struct refused *refused, uint64_t *ret_durable) {
    struct forecast_sender *sender;
    const struct forecast_sender_options options = {.endpoint = daemon->acknowledged,
                                                    .producer = producer,
                                                    .bundle = bundle,
                                                    .refused = refused != NULL ? note_refused : NULL,
                                                    .context = refused};
    assert_int_equal(forecast_sender_open(&options, &sender), FORECAST_OK);
    if (forecast_sender_wait(sender, WAIT, ret_durable) != FORECAST_OK)
        fail_msg("%s", forecast_error_text());
    return sender;
}

static void add(struct forecast_sender *sender, const char *stream, int64_t t) {
    const double value = sin(0.1 * (double)t);
    if (forecast_sender_add(sender, stream, t, &value, 1, WAIT) != FORECAST_OK)
        fail_msg("%s", forecast_error_text());
}

static void flush(struct forecast_sender *sender) {
    if (forecast_sender_flush(sender, WAIT) != FORECAST_OK)
        fail_msg("%s", forecast_error_text());
}

/* Two producers, and PULL between them: all is taken, in the order of each. */
static void producers_go_beside_the_others(void **state) {
    (void)state;
    const int n = scenario_count(5000, 1000);
    struct daemon *daemon = start(NULL);
    struct heard *heard = heard_all(daemon);
    void *push = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    uint64_t durable;
    struct forecast_sender *a = open_sender(daemon, "a", 7, NULL, &durable);
    assert_int_equal(durable, 0);
    struct forecast_sender *b = open_sender(daemon, "b", 256, NULL, &durable);
    for (int i = 1; i <= n; i++) {
        const double value = sin(0.1 * i);
        add(a, "s/a", i);
        add(b, i % 2 ? "s/b" : "s/c", i);
        if (i % 10 == 0)
            feed_tick(push, "s/pull", i, &value, 1);
        if (i % 100 == 0)
            assert_int_equal(forecast_sender_poll(a, 0), FORECAST_OK);
    }
    flush(a);
    flush(b);
    struct forecast_sender_status status;
    forecast_sender_status(b, &status);
    assert_true(status.durable == (uint64_t)n && status.acknowledged == (uint64_t)n && status.refused == 0 &&
                status.resent == 0);
    heard_until(heard, (size_t)(2 * n + n / 10));
    daemon_expect_count(daemon, "ticks.taken", 2 * n + n / 10);
    daemon_expect_count(daemon, "acknowledged.durable", 2 * n);
    assert_int_equal(daemon_count(daemon, "acknowledged.producers"), 2);
    assert_int_equal(forecast_sender_close(&a, 0), FORECAST_OK);
    assert_int_equal(forecast_sender_close(&b, 0), FORECAST_OK);
    heard_free(heard);
    daemon_free(&daemon);
}

static void refused_ticks_have_their_reasons(void **state) {
    (void)state;
    struct daemon *daemon = start(NULL);
    struct refused refused = {0};
    uint64_t durable;
    struct forecast_sender *sender = open_sender(daemon, "a", 4, &refused, &durable);
    add(sender, "s/1", 10);
    add(sender, "s/1", 5); /* by its worker */
    flush(sender);
    assert_int_equal(refused.n, 1);
    assert_true(refused.first == 2 && refused.last == 2);
    assert_string_equal(refused.reason, "late");
    assert_string_equal(refused.stream, "s/1");
    for (int i = 0; i < 1000; i++)
        add(sender, "other", i); /* by the bus */
    flush(sender);
    assert_int_equal(refused.n, 1001);
    assert_int_equal(refused.last, 1002);
    assert_string_equal(refused.reason, "no_class");
    for (int i = 0; i < 1000; i++)
        add(sender, "s/1", 1); /* more than are told of in events */
    flush(sender);
    assert_int_equal(refused.n, 2001);
    forecast_sender_close(&sender, 0);
    daemon_free(&daemon);
}

/* ---- a daemon that is killed -------------------------------------------------------------------- */

struct journal {
    uint64_t entries, last;
};

/* The numbers of the producer's messages follow each other. */
static bool follow(void *context, uint64_t order, const struct journal_entry *entry) {
    struct journal *journal = context;
    static struct wire_tick tick;
    struct wire_ticks ticks;
    (void)order;
    if (entry->producer == 0)
        return true;
    const struct wire_text frame = {entry->bytes, entry->n};
    assert_null(entry->head);
    assert_int_equal(wire_ticks_begin(&ticks, &frame, 1), REASON_NONE);
    uint64_t first = entry->sequence - wire_ticks_count(&ticks, &tick) + 1;
    if (journal->entries++ > 0)
        assert_int_equal(first, journal->last + 1);
    /* The times are the numbers. */
    enum reason reason;
    for (uint64_t n = first; wire_ticks_next(&ticks, &tick, &reason) == 1; n++)
        assert_int_equal(tick.t, n);
    wire_ticks_end(&ticks);
    journal->last = entry->sequence;
    return true;
}

static void expect_journal(struct daemon *daemon, uint64_t last) {
    struct config *config;
    struct error err;
    struct doorbell bell;
    struct journal journal = {0};
    assert_int_equal(doorbell_init(&bell), 0);
    assert_int_equal(config_load(daemon->config, &config, &err), 0);
    struct store *store = store_open(config, &bell, &err);
    if (store == NULL || store_tail(store, follow, &journal, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(journal.last, last);
    assert_true(journal.entries > 0);
    store_close(store);
    config_free(config);
    doorbell_fini(&bell);
}

/* At any instant, while a sender goes on; what it was told stays, and nothing is there twice. */
static void a_killed_daemon_has_what_it_acknowledged(void **state) {
    (void)state;
    const int kills = scenario_count(6, 3);
    struct daemon *daemon = start(NULL);
    struct rng rng = {7};
    struct forecast_sender_status status;
    uint64_t durable, acknowledged = 0;
    struct forecast_sender *sender = open_sender(daemon, "a", 16, NULL, &durable);
    int64_t t = 0;
    for (int k = 0; k < kills; k++) {
        for (int i = 200 + (int)rng_below(&rng, 2000); i > 0; i--)
            add(sender, "s/1", ++t);
        for (int i = (int)rng_below(&rng, 4); i > 0; i--)
            assert_int_equal(forecast_sender_poll(sender, 1), FORECAST_OK);
        daemon_signal(daemon, SIGKILL);
        assert_int_equal(daemon_wait(daemon), 128 + SIGKILL);
        forecast_sender_poll(sender, 20);
        forecast_sender_status(sender, &status);
        assert_true(status.durable >= acknowledged);
        acknowledged = status.durable;
        daemon_start(daemon);
        if (k % 2 == 0)
            continue; /* it finds out by itself */
        /* The sender is killed as well: another one is told where to go on. */
        forecast_sender_close(&sender, 0);
        sender = open_sender(daemon, "a", 16, NULL, &durable);
        assert_true(durable >= acknowledged && durable <= (uint64_t)t);
        t = (int64_t)durable;
    }
    for (int i = 0; i < 100; i++)
        add(sender, "s/1", ++t);
    flush(sender);
    forecast_sender_status(sender, &status);
    assert_int_equal(status.durable, t);
    forecast_sender_close(&sender, 0);
    daemon_signal(daemon, SIGKILL);
    assert_int_equal(daemon_wait(daemon), 128 + SIGKILL);
    expect_journal(daemon, (uint64_t)t);
    daemon_free(&daemon);
}

/* ---- a client by hand --------------------------------------------------------------------------- */

static void send_text(void *socket, const char *header, const char *payload) {
    assert_true(zmq_send(socket, header, strlen(header), payload != NULL ? ZMQ_SNDMORE : 0) >= 0);
    if (payload != NULL)
        assert_true(zmq_send(socket, payload, strlen(payload), 0) >= 0);
}

static json_t *receive(void *socket) {
    char text[65536];
    bool as_json;
    int n = zmq_recv(socket, text, sizeof text, 0);
    assert_in_range(n, 1, sizeof text);
    json_t *reply = wire_message_decode(text, (size_t)n, &as_json);
    assert_true(json_is_object(reply));
    return reply;
}

/* Replies to ticks come in between where `until` is more than is durable: they are passed over. */
static void expect_durable(void *socket, int64_t until) {
    int64_t durable = -1;
    while (durable < until) {
        json_t *reply = receive(socket);
        assert_null(json_object_get(reply, "error"));
        durable = json_integer_value(json_object_get(reply, "durable"));
        json_decref(reply);
    }
    assert_int_equal(durable, until);
}

static void expect_error(void *socket, const char *code, int64_t expected) {
    json_t *reply = receive(socket);
    const json_t *error = json_object_get(reply, "error");
    assert_string_equal(json_string_value(json_object_get(error, "code")), code);
    if (expected > 0)
        assert_int_equal(json_integer_value(json_object_get(reply, "expected")), expected);
    json_decref(reply);
}

static void a_client_by_hand(void **state) {
    (void)state;
    struct daemon *daemon = start("  credit_ticks: 4\n");
    void *client = daemon_connect(daemon, ZMQ_DEALER, daemon->acknowledged);
    send_text(client, "{\"seq\":1}", "[[\"s/1\",1,[1]]]");
    expect_error(client, "ask", 0);
    send_text(client, "{\"cmd\":\"ask\",\"producer\":5}", NULL);
    expect_durable(client, 0);
    send_text(client, "{\"seq\":1}", "[[\"s/1\",1,[1]],[\"s/1\",2,[1]]]");
    expect_durable(client, 2);
    send_text(client, "{\"seq\":1}", "[[\"s/1\",1,[1]],[\"s/1\",2,[1]]]"); /* again */
    expect_durable(client, 2);
    send_text(client, "{\"seq\":4}", "[[\"s/1\",4,[1]]]");
    expect_error(client, "gap", 3);
    send_text(client, "{\"seq\":3}",
              "[[\"s/1\",3,[1]],[\"s/1\",4,[1]],[\"s/1\",5,[1]],[\"s/1\",6,[1]],[\"s/1\",7,[1]]]");
    expect_error(client, "credit", 3);
    send_text(client, "{\"seq\":3}", "s/1 a=1 3\ns/1 a=1 4\n");
    expect_durable(client, 4);
    assert_int_equal(daemon_count(daemon, "ticks.taken"), 4);
    assert_int_equal(daemon_count(daemon, "acknowledged.over_credit"), 1);
    assert_int_equal(daemon_count(daemon, "acknowledged.gaps"), 1);
    assert_int_equal(daemon_count(daemon, "acknowledged.repeated"), 1);
    /* It asks as somebody else, and comes back. */
    send_text(client, "{\"cmd\":\"ask\",\"producer\":6}", NULL);
    expect_durable(client, 0);
    send_text(client, "{\"cmd\":\"ask\",\"producer\":5}", NULL);
    expect_durable(client, 4);
    daemon_free(&daemon);
}

/* TERM: what was taken is acknowledged before it ends. */
static void a_stopped_daemon_acknowledges_what_it_took(void **state) {
    (void)state;
    struct daemon *daemon = start(NULL);
    void *client = daemon_connect(daemon, ZMQ_DEALER, daemon->acknowledged);
    send_text(client, "{\"cmd\":\"ask\",\"producer\":5}", NULL);
    expect_durable(client, 0);
    for (int i = 1; i <= 500; i++) {
        char header[32], tick[64];
        snprintf(header, sizeof header, "{\"seq\":%d}", i);
        snprintf(tick, sizeof tick, "[[\"s/1\",%d,[1]]]", i);
        send_text(client, header, tick);
    }
    daemon_await_count(daemon, "acknowledged.ticks", 1);
    daemon_stop(daemon);
    int64_t durable = 0;
    char text[256];
    for (int n; (n = zmq_recv(client, text, sizeof text, ZMQ_DONTWAIT)) >= 0;) {
        bool as_json;
        json_t *reply = wire_message_decode(text, (size_t)n, &as_json);
        durable = json_integer_value(json_object_get(reply, "durable"));
        json_decref(reply);
    }
    assert_true(durable > 0);
    daemon_close(daemon, client);
    daemon_start(daemon);
    client = daemon_connect(daemon, ZMQ_DEALER, daemon->acknowledged);
    send_text(client, "{\"cmd\":\"ask\",\"producer\":5}", NULL);
    expect_durable(client, durable);
    daemon_free(&daemon);
}

/* Any frames: each message has at most one answer, and a sender beside goes on. */
static void nonsense_disturbs_nobody(void **state) {
    (void)state;
    const int n = scenario_count(4000, 800);
    struct daemon *daemon = start(NULL);
    uint64_t durable, random = 88172645463325252;
    struct forecast_sender *sender = open_sender(daemon, "a", 10, NULL, &durable);
    void *client = daemon_connect(daemon, ZMQ_DEALER, daemon->acknowledged);
    static const char *const seeds[] = {"{\"cmd\":\"ask\",\"producer\":5,\"id\":1}",
                                        "{\"seq\":1}",
                                        "{\"seq\":2}",
                                        "[[\"s/2\",1,[1]],[\"s/2\",2,[1]]]",
                                        "s/2 a=1 5\n",
                                        "\x82\xa3"
                                        "cmd\xa3"
                                        "ask\xa8"
                                        "producer\x05"};
    struct rng rng = {3};
    for (int i = 0; i < n; i++) {
        int frames = 1 + (int)rng_below(&rng, 4);
        for (int f = 0; f < frames; f++) {
            unsigned char bytes[256];
            const char *seed = seeds[rng_below(&rng, sizeof seeds / sizeof *seeds)];
            size_t length = strlen(seed);
            memcpy(bytes, seed, length);
            if (rng_below(&rng, 3) == 0)
                length = mutate(bytes, length, sizeof bytes, &random);
            assert_true(zmq_send(client, bytes, length, f + 1 < frames ? ZMQ_SNDMORE : 0) >= 0);
        }
        while (rng_below(&rng, 8) != 0 && zmq_recv(client, (char[1]){0}, 1, ZMQ_DONTWAIT) >= 0)
            ;
        add(sender, "s/1", i + 1);
    }
    flush(sender);
    forecast_sender_close(&sender, 0);
    assert_true(daemon_count(daemon, "acknowledged.errors") > 0);
    daemon_free(&daemon);
}

/* Who does not read is forgotten; the others go on, and so does he once he asks. */
static void a_slow_reader_stops_nobody(void **state) {
    (void)state;
    struct daemon *daemon = start(NULL);
    void *slow = daemon_connect_bounded(daemon, ZMQ_DEALER, daemon->acknowledged, 1);
    uint64_t durable;
    struct forecast_sender *sender = open_sender(daemon, "a", 10, NULL, &durable);
    send_text(slow, "{\"cmd\":\"ask\",\"producer\":5}", NULL);
    int64_t t = 0;
    for (int64_t began = scenario_now(); daemon_count(daemon, "acknowledged.lost") == 0;) {
        for (int i = 0; i < 2000; i++)
            send_text(slow, "{\"seq\":1}", "[[\"s/slow\",1,[1]]]");
        add(sender, "s/1", ++t);
        assert_true(scenario_now() - began < WAIT);
    }
    flush(sender);
    /* It is read to its end: the last ones are errors, as nobody has asked, and some are lost. */
    bool told = false;
    for (int64_t began = scenario_now(); !told; assert_true(scenario_now() - began < WAIT)) {
        zmq_pollitem_t item = {.socket = slow, .events = ZMQ_POLLIN};
        send_text(slow, "{\"cmd\":\"ask\",\"producer\":5,\"id\":7}", NULL);
        while (!told && zmq_poll(&item, 1, 200) > 0) {
            json_t *reply = receive(slow);
            told = json_object_get(reply, "id") != NULL;
            assert_true(!told || json_integer_value(json_object_get(reply, "durable")) == 1);
            json_decref(reply);
        }
    }
    assert_int_equal(daemon_count(daemon, "ticks.taken"), t + 1);
    forecast_sender_close(&sender, 0);
    daemon_free(&daemon);
}

/* ---- forecast feed --ack ------------------------------------------------------------------------ */

static FILE *open_rows(const struct daemon *daemon, char file[160], const char *columns) {
    snprintf(file, 160, "%s/rows.csv", daemon->directory);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fprintf(out, "%s\n", columns);
    return out;
}

static void a_file_goes_on_where_it_ended(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* a fork of a program with threads may start none under the thread sanitizer */
#endif
    enum { ROWS = 20000 };
    struct daemon *daemon = start(NULL);
    char file[160], line[1024];
    FILE *out = open_rows(daemon, file, "time,a");
    for (int i = 0; i < ROWS; i++)
        fprintf(out, "%d,%g\n", 1600000000 + i - (i == 777 ? 10 : 0), sin(i * 0.1));
    fclose(out);
    snprintf(line, sizeof line, "--csv %s --stream s/1 --ack --ticks %s --control %s --bundle 10 --rate 20000", file,
             daemon->acknowledged, daemon->control);
    assert_int_equal(command_run(line, 400), 1);
    assert_non_null(strstr(command_complained, "ticks are acknowledged"));
    int64_t before = daemon_count(daemon, "acknowledged.durable");
    assert_in_range(before, 1, ROWS - 1);
    snprintf(line, sizeof line, "--csv %s --stream s/1 --ack --ticks %s --control %s", file, daemon->acknowledged,
             daemon->control);
    command_exits(0, line);
    assert_int_equal(daemon_count(daemon, "acknowledged.durable"), ROWS);
    command_exits(0, line); /* nothing is missing */
    assert_non_null(strstr(command_complained, "0 ticks are acknowledged, 20000 were before"));
    assert_int_equal(daemon_count(daemon, "acknowledged.durable"), ROWS);
    assert_int_equal(daemon_count(daemon, "acknowledged.repeated"), 0);
    assert_int_equal(daemon_count(daemon, "ticks.refused.late"), 1);
    snprintf(line, sizeof line, "--csv %s --stream s/2 --ack --producer again --ticks %s --no-check --limit 1000",
             file, daemon->acknowledged);
    command_exits(0, line);
    assert_non_null(strstr(command_complained, "1000 ticks are acknowledged; the daemon refused 1 of them: late 1"));
    snprintf(line, sizeof line, "--csv %s --ack --ticks ipc://%s/nobody --wait 0.1", file, daemon->directory);
    assert_int_equal(command_run(line, 0), 1);
    assert_non_null(strstr(command_complained, "no daemon acknowledges ticks at ipc://"));
    unlink(file);
    daemon_free(&daemon);

    command_fails(2, "--csv x.csv --producer a", "--producer goes with --ack");
    command_fails(2, "--csv - --ack", "--ack from standard input needs --producer NAME");
}

static void append_text(const char *file, const char *text) {
    FILE *out = fopen(file, "a");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* Whoever writes it has come to the middle of a number: what it becomes is sent, and not what it was. */
static void a_row_is_sent_when_it_is_whole(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* as above */
#endif
    struct daemon *daemon = start(NULL);
    char file[160], line[1024];
    FILE *out = open_rows(daemon, file, "time,a");
    fputs("1600000000,1\n1600000001,2\n1600000002,3", out);
    fclose(out);
    snprintf(line, sizeof line, "--csv %s --stream s/1 --no-check --ack --ticks %s", file, daemon->acknowledged);
    command_exits(1, line);
    assert_non_null(strstr(command_complained, "2 ticks are acknowledged\n"));
    assert_non_null(strstr(command_complained, "rows.csv:4: the last row has no newline at its end"));
    append_text(file, "4");
    command_exits(1, line);
    assert_non_null(strstr(command_complained, "0 ticks are acknowledged, 2 were before\n"));
    append_text(file, ".5\n1600000003");
    command_exits(1, line);
    assert_non_null(strstr(command_complained, "1 ticks are acknowledged, 2 were before\n"));
    append_text(file, ",7\n");
    command_exits(0, line);
    assert_non_null(strstr(command_complained, "1 ticks are acknowledged, 3 were before\n"));
    assert_null(strstr(command_complained, "no newline"));
    assert_int_equal(daemon_count(daemon, "ticks.taken"), 4);
    /* Else nothing is counted over runs: the end of the file ends its last row. */
    append_text(file, "1600000004,8");
    snprintf(line, sizeof line, "--csv %s --stream s/2 --no-check --ticks %s", file, daemon->ticks);
    command_exits(0, line);
    assert_non_null(strstr(command_complained, "sent 5 ticks"));
    unlink(file);
    daemon_free(&daemon);
}

/* Labels that are due at the end of a file that ends in the middle of a row come behind the rows to come. */
static void labels_wait_for_the_last_row(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* as above */
#endif
    struct daemon *daemon = start(NULL);
    char file[160], line[1024];
    FILE *out = open_rows(daemon, file, "time,a,fault");
    fputs("1600000000,1,0\n1600000001,2,1\n1600000002,3,", out);
    fclose(out);
    snprintf(line, sizeof line, "--csv %s --stream s/1 --label fault --columns a --ack --ticks %s --no-check", file,
             daemon->acknowledged);
    command_exits(1, line);
    assert_int_equal(daemon_count(daemon, "acknowledged.durable"), 3);
    append_text(file, "1\n");
    command_exits(0, line);
    assert_int_equal(daemon_count(daemon, "acknowledged.durable"), 6);
    assert_int_equal(daemon_count(daemon, "ticks.taken"), 3);
    unlink(file);
    daemon_free(&daemon);
}

/* Numbers count ticks and labels together: interrupted or not, they are the same. */
static void labels_go_on_where_they_ended(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* as above */
#endif
    enum { ROWS = 5000 };
    struct daemon *daemon = start(NULL);
    char file[160], line[1024];
    FILE *out = open_rows(daemon, file, "time,a,fault");
    for (int i = 0; i < ROWS; i++)
        fprintf(out, "%d,%g,%d\n", 1600000000 + i, sin(i * 0.1), i % 2);
    fclose(out);
    snprintf(line, sizeof line, "--csv %s --stream s/1 --label fault --columns a --ack --ticks %s --no-check", file,
             daemon->acknowledged);
    char paced[1100];
    snprintf(paced, sizeof paced, "%s --rate 5000", line);
    assert_int_equal(command_run(paced, 400), 1);
    assert_in_range(daemon_count(daemon, "acknowledged.durable"), 1, 2 * ROWS - 1);
    snprintf(paced, sizeof paced, "%s --rate 5000 --for 0.2", line);
    command_exits(0, paced);
    command_exits(0, line);
    assert_int_equal(daemon_count(daemon, "acknowledged.durable"), 2 * ROWS);
    assert_int_equal(daemon_count(daemon, "ticks.taken"), ROWS);
    unlink(file);
    daemon_free(&daemon);
}

/* What a signal interrupts is no failure of the input: what was read is sent, with or without --ack. */
static void a_signal_ends_reading(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* as above */
#endif
    struct daemon *daemon = start(NULL);
    char pipe[160], line[1024];
    snprintf(pipe, sizeof pipe, "%s/pipe", daemon->directory);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    int fd = open(pipe, O_RDWR); /* which stays open: more may come */
    static const char rows[] = "time,a\n1600000000,1\n1600000001,2\n";
    for (int ack = 0; ack < 2; ack++) {
        assert_int_equal(write(fd, rows, sizeof rows - 1), sizeof rows - 1);
        snprintf(line, sizeof line, "--csv %s --stream s/%d --no-check --ticks %s%s", pipe, ack,
                 ack ? daemon->acknowledged : daemon->ticks, ack ? " --ack" : "");
        assert_int_equal(command_run(line, 1500), ack);
        assert_non_null(strstr(command_complained, ack ? "2 ticks are acknowledged" : "sent 2 ticks"));
        assert_null(strstr(command_complained, "reading fails"));
    }
    close(fd);
    unlink(pipe);
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(240);
    command_is("feed", command_feed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(producers_go_beside_the_others, scenario_teardown),
        cmocka_unit_test_teardown(refused_ticks_have_their_reasons, scenario_teardown),
        cmocka_unit_test_teardown(a_killed_daemon_has_what_it_acknowledged, scenario_teardown),
        cmocka_unit_test_teardown(a_stopped_daemon_acknowledges_what_it_took, scenario_teardown),
        cmocka_unit_test_teardown(a_client_by_hand, scenario_teardown),
        cmocka_unit_test_teardown(nonsense_disturbs_nobody, scenario_teardown),
        cmocka_unit_test_teardown(a_slow_reader_stops_nobody, scenario_teardown),
        cmocka_unit_test_teardown(a_file_goes_on_where_it_ended, scenario_teardown),
        cmocka_unit_test_teardown(a_row_is_sent_when_it_is_whole, scenario_teardown),
        cmocka_unit_test_teardown(labels_wait_for_the_last_row, scenario_teardown),
        cmocka_unit_test_teardown(labels_go_on_where_they_ended, scenario_teardown),
        cmocka_unit_test_teardown(a_signal_ends_reading, scenario_teardown),
    };
    return cmocka_run_group_tests_name("acknowledged", tests, NULL, NULL);
}
