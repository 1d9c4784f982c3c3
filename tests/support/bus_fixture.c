#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/bus_fixture.h"

#include "daemon/clock.h"
#include "daemon/notices.h"
#include "daemon/records.h"
#include "daemon/returns.h"
#include "daemon/worker_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

/* ---- the folder --------------------------------------------------------------------------------- */

static char folder[80];

static void remove_folder(void) {
    DIR *open = opendir(folder);
    for (const struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(open), entry->d_name, 0);
    if (open != NULL)
        closedir(open);
    rmdir(folder);
}

const char *rig_folder(void) {
    if (folder[0] != '\0')
        return folder;
    /* The path of a local socket has some hundred bytes at most. */
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/forecastd-XXXXXX", parent != NULL && strlen(parent) < 50 ? parent : "/tmp");
    assert_non_null(mkdtemp(folder));
    atexit(remove_folder);
    return folder;
}

/* ---- configurations ----------------------------------------------------------------------------- */

struct pool *rig_pool(void) {
    static struct pool *pool; /* until the program ends */
    if (pool == NULL)
        pool = pool_new();
    assert_non_null(pool);
    return pool;
}

struct config *rig_config(const char *bus, const char *rest) {
    static int number; /* endpoints of a test that failed may still be there */
    char path[128];
    snprintf(path, sizeof path, "%s/config.yaml", rig_folder());
    number++;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(
        file,
        "bus:\n  ticks: ipc://%s/ticks-%d\n  forecasts: ipc://%s/forecasts-%d\n  control: ipc://%s/control-%d\n%s%s",
        folder, number, folder, number, folder, number, bus, rest);
    assert_int_equal(fclose(file), 0);
    struct config *config = NULL;
    struct error err;
    if (config_load(path, &config, &err) != 0)
        fail_msg("%s", err.text);
    unlink(path);
    return config;
}

/* ---- workers without a thread ------------------------------------------------------------------- */

struct worker *idle_worker_new(const struct config *config, size_t input_bytes) {
    static const struct interest nobody;
    struct worker *worker = calloc(1, sizeof *worker);
    assert_non_null(worker);
    worker->config = config;
    worker->input = ring_new(input_bytes);
    worker->output = ring_new(1 << 20);
    worker->most_steps = calloc((size_t)config->n_classes, sizeof *worker->most_steps);
    worker->clocks = calloc((size_t)config->n_classes, sizeof *worker->clocks);
    worker->ticking = calloc((size_t)config->n_classes, sizeof *worker->ticking);
    worker->trained = calloc((size_t)config->n_models, sizeof *worker->trained);
    worker->emitter = emitter_new(config, 1, worker->output, &worker->bell, &nobody);
    assert_int_equal(doorbell_init(&worker->bell), 0);
    assert_true(worker->input != NULL && worker->output != NULL && worker->most_steps != NULL &&
                worker->clocks != NULL && worker->ticking != NULL && worker->trained != NULL &&
                worker->emitter != NULL);
    return worker;
}

void idle_worker_free(struct worker *worker) {
    emitter_free(worker->emitter);
    ring_free(worker->input);
    ring_free(worker->output);
    doorbell_fini(&worker->bell);
    free(worker->most_steps);
    free(worker->clocks);
    free(worker->ticking);
    free(worker->trained);
    free(worker);
}

/* ---- the rig ------------------------------------------------------------------------------------ */

static void note_reload(void *context) {
    ((struct rig *)context)->reloads++;
}

static void note_stop(void *context) {
    ((struct rig *)context)->stops++;
}

atomic_bool rig_hold_write;

/* Saves the number of parameters, and what is the daemon's own. */
static int rig_write(const char *path, const struct network *network, const char *own, struct error *err) {
    while (atomic_load(&rig_hold_write))
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return error_set(err, "%s: cannot be written", path);
    fprintf(file, "%zu %s", network_n_params(network), own != NULL ? own : "none");
    fclose(file);
    return 0;
}

static void open_learning(struct rig *rig, struct error *err) {
    rig->trainer = trainer_start(rig->config, &rig->bell, err);
    assert_non_null(rig->trainer);
    const struct learning_setup learning = {.config = rig->config,
                                            .kernels = kernels_choose(),
                                            .workers = rig->workers,
                                            .streams = rig->streams,
                                            .placement = rig->placement,
                                            .publisher = rig->publisher,
                                            .ingest = rig->ingest,
                                            .trainer = rig->trainer,
                                            .versions = rig->versions};
    rig->learning = learning_new(&learning, err);
    if (rig->learning == NULL)
        fail_msg("%s", err->text);
    const struct control_setup control = {.config = rig->config,
                                          .opening = &rig->opening,
                                          .epoch = 17,
                                          .workers = rig->workers,
                                          .streams = rig->streams,
                                          .placement = rig->placement,
                                          .publisher = rig->publisher,
                                          .ingest = rig->ingest,
                                          .returns = rig->returns,
                                          .store = rig->returns != NULL ? rig->store : NULL,
                                          .learning = rig->learning,
                                          .write = rig_write,
                                          .bell = &rig->bell,
                                          .disconnects = &rig->disconnects,
                                          .stop = note_stop,
                                          .reload = note_reload,
                                          .context = rig};
    rig->control = control_open(rig->zmq, &control, err);
    assert_non_null(rig->control);
}

void rig_open(struct rig *rig, const struct rig_setup *setup) {
    *rig = (struct rig){.idle = setup->idle};
    atomic_init(&rig->interest.single, false);
    atomic_init(&rig->interest.bundle, false);
    struct error err;
    rig->config = rig_config(setup->bus != NULL ? setup->bus : "",
                             setup->rest != NULL ? setup->rest : "workers: 1\n" RIG_CLASS RIG_MODEL);
    assert_true(rig->config->workers <= RIG_MAX_WORKERS);
    rig->zmq = zmq_ctx_new();
    assert_non_null(rig->zmq);
    assert_int_equal(doorbell_init(&rig->bell), 0);
    if (rig->config->state_dir[0] != '\0') {
        rig->store = store_open(rig->config, &rig->bell, &err);
        assert_non_null(rig->store);
    }
    if (rig->store != NULL && setup->learns && (rig->versions = versions_open(rig->config, &rig->bell, &err)) == NULL)
        fail_msg("%s", err.text);
    for (int w = 0; w < rig->config->workers; w++) {
        const struct worker_setup worker = {.config = rig->config,
                                            .index = w,
                                            .epoch = 17,
                                            .interest = &rig->interest,
                                            .bus = &rig->bell,
                                            .store = setup->returns ? rig->store : NULL,
                                            .versions = rig->versions};
        rig->workers[w] = setup->idle ? idle_worker_new(rig->config, setup->idle_bytes) : worker_start(&worker, &err);
        assert_non_null(rig->workers[w]);
    }
    rig->streams = streams_new(rig->config);
    rig->placement = placement_new(rig->config, kernels_choose());
    rig->publisher = publisher_open(rig->zmq, rig->config, &rig->interest, &err);
    assert_true(rig->streams != NULL && rig->placement != NULL && rig->publisher != NULL);
    rig->opening = (struct opening){.config = rig->config,
                                    .workers = rig->workers,
                                    .streams = rig->streams,
                                    .placement = rig->placement,
                                    .publisher = rig->publisher};
    const struct returns_setup returns = {&rig->opening, rig->store};
    if (setup->returns)
        rig->returns = returns_new(&returns);
    assert_true(rig->returns != NULL || !setup->returns);
    const struct ingest_setup ingest = {.config = rig->config,
                                        .opening = &rig->opening,
                                        .returns = rig->returns,
                                        .workers = rig->workers,
                                        .streams = rig->streams,
                                        .placement = rig->placement,
                                        .publisher = rig->publisher,
                                        .store = rig->store,
                                        .durable = setup->durable != NULL ? setup->durable : store_durable,
                                        .degraded = setup->degraded != NULL ? setup->degraded : store_degraded};
    rig->ingest = ingest_open(rig->zmq, &ingest, &err);
    assert_non_null(rig->ingest);
    if (setup->learns)
        open_learning(rig, &err);
}

static void take_output(struct rig *rig, const void *at) {
    switch (((const struct record *)at)->kind) {
    case RECORD_FORECAST:
    case RECORD_BUNDLE:
        rig->forecasts += (int)((const struct record_message *)at)->forecasts;
        rig->bundles += ((const struct record *)at)->kind == RECORD_BUNDLE;
        publisher_message(rig->publisher, at);
        break;
    case RECORD_REFUSED:
        rig->refused++;
        rig->latest_refused = ((const struct record_refused *)at)->reason;
        ingest_refused(rig->ingest, at);
        break;
    case RECORD_ENDED:
        rig->ended++;
        ingest_ended(rig->ingest, ((const struct record_stream *)at)->stream, false);
        break;
    case RECORD_ANEW:
        if (((const struct record_anew *)at)->gap)
            rig->gaps++;
        else
            rig->resets++;
        break;
    case RECORD_TOLD:
        rig->told++;
        notices_publish(rig->publisher, rig->config, at);
        break;
    case RECORD_STATE_DONE: control_state_done(rig->control, ((const struct record_state *)at)->order); break;
    case RECORD_IMAGE_DONE: control_image_done(rig->control, ((const struct record_image *)at)->order); break;
    case RECORD_UNCLOSED: ingest_unclosed(rig->ingest, at); break;
    case RECORD_LEFT: ingest_ended(rig->ingest, ((const struct record_stream *)at)->stream, true); break;
    case RECORD_SCORES_DONE: control_scores_done(rig->control, ((const struct record_scores *)at)->report); break;
    case RECORD_WATCHED: learning_watched(rig->learning, at); break;
    case RECORD_TAKEOVER: rig->takeovers++; break;
    case RECORD_ROUND_DONE: rig->rounds_done++; break;
    case RECORD_UNREADABLE:
        rig->unreadable++;
        notices_unreadable(rig->publisher, at);
        break;
    case RECORD_COLLECTED:
        rig->collected++;
        learning_collected(rig->learning, at);
        break;
    case RECORD_STOPPED: rig->stopped++; break;
    default: fail_msg("record %d from a worker", (int)((const struct record *)at)->kind);
    }
}

void rig_publish(struct rig *rig) {
    for (int w = 0; w < rig->config->workers; w++) {
        size_t n;
        for (const void *at; (at = ring_peek(worker_output(rig->workers[w]), &n)) != NULL;) {
            take_output(rig, at);
            ring_consume(worker_output(rig->workers[w]));
        }
    }
}

void rig_turn(struct rig *rig) {
    rig_publish(rig);
    if (rig->returns != NULL && !rig->holds_returns) {
        returns_poll(rig->returns);
        ingest_refuse_orphans(rig->ingest);
    }
    if (rig->learning != NULL) {
        control_serve(rig->control);
        learning_finished(rig->learning);
        learning_written(rig->learning);
        learning_poll(rig->learning);
    }
    ingest_read(rig->ingest);
    rig_publish(rig);
    if (ingest_acknowledged(rig->ingest) != NULL)
        acknowledged_reply(ingest_acknowledged(rig->ingest));
}

void rig_turn_until(struct rig *rig, const int *counter, int least) {
    int64_t began = 0;
    for (rig_turn(rig); *counter < least; rig_turn(rig))
        if (!rig_wait(&began))
            fail_msg("%d of %d have come", *counter, least);
}

/* Frees streams whose end an idle worker has never seen. */
static void take_ends(struct rig *rig) {
    for (int w = 0; w < rig->config->workers; w++) {
        size_t n;
        for (const struct record *at; (at = ring_peek(worker_input(rig->workers[w]), &n)) != NULL;) {
            if (at->kind == RECORD_END)
                ingest_ended(rig->ingest, ((const struct record_stream *)(const void *)at)->stream, false);
            ring_consume(worker_input(rig->workers[w]));
        }
    }
}

static void stop_workers(struct rig *rig) {
    const struct record stop = {RECORD_STOP};
    if (rig->idle)
        take_ends(rig);
    for (int w = 0; !rig->idle && w < rig->config->workers; w++)
        while (!ingest_command(rig->ingest, w, &stop, sizeof stop))
            rig_publish(rig);
    int64_t began = 0;
    while (!rig->idle && rig->stopped < rig->config->workers) {
        rig_publish(rig);
        if (!rig_wait(&began))
            fail_msg("the workers do not stop");
    }
    trainer_stop(rig->trainer);
    for (int w = 0; w < rig->config->workers; w++) {
        if (rig->idle)
            idle_worker_free(rig->workers[w]);
        else
            worker_stop(rig->workers[w]);
    }
}

void rig_close(struct rig *rig) {
    stop_workers(rig);
    if (rig->control != NULL)
        control_close(rig->control, 0);
    learning_free(rig->learning);
    versions_close(rig->versions);
    ingest_close(rig->ingest);
    returns_free(rig->returns);
    store_close(rig->store);
    publisher_close(rig->publisher, 0);
    zmq_ctx_term(rig->zmq);
    streams_free(rig->streams);
    placement_free(rig->placement);
    doorbell_fini(&rig->bell);
    config_free(rig->config);
}

/* ---- sockets ------------------------------------------------------------------------------------ */

void *rig_connect(struct rig *rig, int type, const char *endpoint) {
    void *socket = zmq_socket(rig->zmq, type);
    int zero = 0, hwm = 0;
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &hwm, sizeof hwm);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return socket;
}

void *rig_subscribe(struct rig *rig, const char *prefix, size_t n) {
    uint64_t before = publisher_counters(rig->publisher).subscriptions;
    void *socket = rig_connect(rig, ZMQ_SUB, rig->config->bus.forecasts);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, n), 0);
    char seen[EMITTER_MAX_TOPIC];
    size_t seen_n;
    int64_t began = 0;
    while (publisher_counters(rig->publisher).subscriptions == before) {
        publisher_next_subscription(rig->publisher, seen, &seen_n);
        if (!rig_wait(&began))
            fail_msg("no subscription has come");
    }
    return socket;
}

void rig_disconnect(void *socket) {
    zmq_close(socket);
}

void rig_send(void *socket, const void *data, size_t n) {
    assert_int_equal(zmq_send(socket, data, n, 0), (int)n);
}

void rig_send_tick(void *socket, const char *stream, int64_t t, const double *values, int n) {
    char payload[1024];
    size_t size = wire_tick_encode(payload, sizeof payload, t, values, n, NULL);
    assert_true(size > 0);
    assert_int_equal(zmq_send(socket, stream, strlen(stream), ZMQ_SNDMORE), (int)strlen(stream));
    rig_send(socket, payload, size);
}

int rig_receive(void *socket, char *buffer, size_t size, int wait_ms) {
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    int n = zmq_recv(socket, buffer, size - 1, 0);
    buffer[n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1] = '\0';
    return n;
}

bool rig_wait(int64_t *began) {
    int64_t now = clock_monotonic();
    if (*began == 0)
        *began = now;
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    return now - *began < RIG_WAIT_MS * INT64_C(1000000);
}
