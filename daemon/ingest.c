#include "daemon/ingest_internal.h"

#include "daemon/clock.h"
#include "daemon/endpoint.h"
#include "daemon/returns.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Messages begun, and ticks looked at, in one go: bounds how long outputs and control wait. */
enum { READ_MESSAGES = 1024, READ_TICKS = 8192 };
/* Looked at, behind which workers are woken while the go goes on: what is less may be served without them. */
enum { FEW_TICKS = 8 };

/* At the end, how long replies may take to leave. */
enum { REPLIES_LINGER_MS = 1000 };

/* ---- sockets -------------------------------------------------------------------------------- */

static int set_limits(void *socket, const struct config_bus *bus) {
    return zmq_setsockopt(socket, ZMQ_RCVHWM, &bus->receive_hwm, sizeof bus->receive_hwm) != 0 ||
                   zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bus->max_message, sizeof bus->max_message) != 0
               ? -1
               : 0;
}

static int open_ticks(struct ingest *ingest, void *zmq, struct error *err) {
    const struct config_bus *bus = &ingest->setup.config->bus;
    if (bus->ticks[0] == '\0')
        return 0;
    void *socket = ingest->sockets[SOURCE_TICKS] = zmq_socket(zmq, ZMQ_PULL);
    if (socket == NULL || set_limits(socket, bus) != 0 || endpoint_bind(socket, bus->ticks) != 0)
        return error_set(err, "bus.ticks: cannot bind to %s: %s", bus->ticks, zmq_strerror(errno));
    return 0;
}

static int open_subscribe(struct ingest *ingest, void *zmq, struct error *err) {
    const struct config_bus *bus = &ingest->setup.config->bus;
    if (bus->n_subscribe == 0)
        return 0;
    void *socket = ingest->sockets[SOURCE_SUBSCRIBE] = zmq_socket(zmq, ZMQ_SUB);
    if (socket == NULL || set_limits(socket, bus) != 0 || zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) != 0)
        return error_set(err, "bus.subscribe: %s", zmq_strerror(errno));
    for (int i = 0; i < bus->n_subscribe; i++)
        if (zmq_connect(socket, bus->subscribe[i]) != 0)
            return error_set(err, "bus.subscribe: cannot connect to %s: %s", bus->subscribe[i], zmq_strerror(errno));
    return 0;
}

static int open_acknowledged(struct ingest *ingest, void *zmq, struct error *err) {
    const struct acknowledged_setup setup = {.config = ingest->setup.config,
                                             .workers = ingest->setup.workers,
                                             .store = ingest->setup.store,
                                             .durable = ingest->setup.durable,
                                             .degraded = ingest->setup.degraded};
    if (setup.config->bus.acknowledged[0] == '\0')
        return 0;
    if (setup.store == NULL)
        return error_set(err, "bus.acknowledged: needs state_dir, where the ticks are kept");
    ingest->acknowledged = acknowledged_open(zmq, &setup, err);
    if (ingest->acknowledged == NULL)
        return -1;
    ingest->sockets[SOURCE_ACKNOWLEDGED] = acknowledged_socket(ingest->acknowledged);
    return 0;
}

static bool allocate(struct ingest *ingest) {
    const struct config *config = ingest->setup.config;
    size_t classes = (size_t)config->n_classes, most = 0;
    for (int c = 0; c < config->n_classes; c++)
        most = (size_t)config->classes[c].n_features > most ? (size_t)config->classes[c].n_features : most;
    ingest->touched = calloc((size_t)config->workers, sizeof *ingest->touched);
    ingest->values = calloc(most, sizeof *ingest->values);
    ingest->n_models = calloc(classes, sizeof *ingest->n_models);
    if (ingest->touched == NULL || ingest->values == NULL || ingest->n_models == NULL)
        return false;
    bool closes = false;
    for (int c = 0; c < config->n_classes; c++) {
        ingest->n_models[c] = placement_n_models(ingest->setup.placement, c);
        closes |= config->classes[c].time.close_after > 0;
    }
    ingest->closer = closes ? closer_new() : NULL;
    return !closes || ingest->closer != NULL;
}

struct ingest *ingest_open(void *zmq, const struct ingest_setup *setup, struct error *err) {
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (ingest == NULL) {
        error_set(err, "ingest: out of memory");
        return NULL;
    }
    ingest->setup = *setup;
    error_set(err, "ingest: out of memory");
    if (!allocate(ingest) || open_ticks(ingest, zmq, err) != 0 || open_subscribe(ingest, zmq, err) != 0 ||
        open_acknowledged(ingest, zmq, err) != 0) {
        ingest_close(ingest);
        return NULL;
    }
    setup->opening->closer = ingest->closer;
    return ingest;
}

static void close_frames(struct ingest *ingest) {
    wire_ticks_end(&ingest->ticks);
    for (size_t f = 0; f < ingest->n_frames; f++)
        zmq_msg_close(&ingest->frames[f]);
}

static void close_message(struct ingest *ingest) {
    if (!ingest->open)
        return;
    if (ingest->source == SOURCE_ACKNOWLEDGED && !ingest->unkept)
        acknowledged_taken(ingest->acknowledged);
    close_frames(ingest);
    ingest->open = false;
    ingest->parked = ingest->unkept = false;
}

void ingest_close(struct ingest *ingest) {
    if (ingest == NULL)
        return;
    close_message(ingest);
    acknowledged_close(ingest->acknowledged, REPLIES_LINGER_MS);
    for (int s = 0; s < SOURCE_ACKNOWLEDGED; s++)
        if (ingest->sockets[s] != NULL)
            zmq_close(ingest->sockets[s]);
    closer_free(ingest->closer);
    free(ingest->touched);
    free(ingest->values);
    free(ingest->n_models);
    free(ingest);
}

void *ingest_ticks_socket(const struct ingest *ingest) {
    return ingest->sockets[SOURCE_TICKS];
}

void *ingest_subscribe_socket(const struct ingest *ingest) {
    return ingest->sockets[SOURCE_SUBSCRIBE];
}

struct acknowledged *ingest_acknowledged(const struct ingest *ingest) {
    return ingest->acknowledged;
}

/* ---- refusing ------------------------------------------------------------------------------- */

void ingest_refuse(struct ingest *ingest, enum reason reason, struct wire_text name) {
    ingest->counters.refused[reason]++;
    if (!publisher_would_tell(ingest->setup.publisher, "refused"))
        return; /* a flood of nonsense is counted only */
    json_t *fields = json_object();
    json_object_set_new(fields, "reason", json_string(reason_name(reason)));
    json_t *stream = name.n > 0 ? json_stringn(name.at, name.n) : NULL; /* NULL as well where it is not UTF-8 */
    json_object_set_new(fields, "stream", stream != NULL ? stream : json_string(""));
    json_object_set_new(fields, "total", json_integer((json_int_t)ingest->counters.refused[reason]));
    publisher_event(ingest->setup.publisher, "refused", reason_name(reason), fields, "%s", reason_sentence(reason));
}

void ingest_replay_refused(struct ingest *ingest, const struct record *record, enum reason reason, const char *name) {
    const struct record_tick *tick = (const void *)record;
    const struct record_label *label = (const void *)record;
    const bool is_label = record->kind == RECORD_LABEL;
    const uint32_t producer = is_label ? label->producer : tick->producer;
    const uint64_t number = is_label ? label->number : tick->arrival.number;
    if (producer != 0)
        acknowledged_refused(ingest->acknowledged, producer, number, number, reason, name, strlen(name));
}

void ingest_refused(struct ingest *ingest, const struct record_refused *refused) {
    if (refused->producer != 0)
        acknowledged_refused(ingest->acknowledged, refused->producer, refused->number, refused->number,
                             refused->reason, refused->name, refused->n);
    /* The worker has counted it. */
    if (refused->tell)
        publisher_event(ingest->setup.publisher, "refused", reason_name(refused->reason),
                        json_pack("{s:s, s:s%, s:I}", "reason", reason_name(refused->reason), "stream", refused->name,
                                  refused->n, "time", (json_int_t)refused->t),
                        "%s", reason_sentence(refused->reason));
}

/* ---- messages ------------------------------------------------------------------------------- */

static void wake_touched(struct ingest *ingest) {
    for (int w = 0; w < ingest->setup.config->workers; w++) {
        if (ingest->touched[w])
            worker_wake(ingest->setup.workers[w]);
        ingest->touched[w] = false;
    }
}

/* The go is over. What were a few ticks need nobody else. */
static void serve_touched(struct ingest *ingest) {
    for (int w = 0; w < ingest->setup.config->workers; w++) {
        if (ingest->touched[w])
            worker_serve(ingest->setup.workers[w]);
        ingest->touched[w] = false;
    }
}

/* Hands the message at hand over to the store, as it came; where the disk fails one that is acknowledged is answered instead,
 * and closed. Returns false while there is no room. */
static bool keep(struct ingest *ingest) {
    zmq_msg_t *last = &ingest->frames[ingest->n_frames - 1];
    const bool acknowledged = ingest->source == SOURCE_ACKNOWLEDGED;
    const struct journal_entry entry = {
        .kind = JOURNAL_TICKS,
        .source = acknowledged ? ingest->origin.source : (uint32_t)ingest->source,
        .received = ingest->received,
        .producer = acknowledged ? ingest->origin.producer : 0,
        .sequence = acknowledged ? ingest->origin.first + ingest->count - 1 : ingest->numbers[ingest->source],
        .head = ingest->n_frames == 2 ? zmq_msg_data(&ingest->frames[0]) : NULL,
        .n_head = ingest->n_frames == 2 ? zmq_msg_size(&ingest->frames[0]) : 0,
        .bytes = zmq_msg_data(last),
        .n = zmq_msg_size(last),
    };
    struct store *store = ingest->setup.store;
    const uint64_t before = store_order(store);
    if (store_is_long(store) || !store_append(store, &entry, &ingest->order)) {
        if (acknowledged && ingest->setup.degraded(store)) {
            acknowledged_not_kept(ingest->acknowledged);
            close_message(ingest);
            return true;
        }
        ingest->counters.parked += !ingest->parked;
        ingest->parked = true;
        return false;
    }
    if (acknowledged)
        acknowledged_begin(ingest->acknowledged, ingest->order);
    ingest->kept = ingest->order > before;
    ingest->unkept = ingest->parked = false;
    return true;
}

/* Its sender is told. */
static void answer_refused(struct ingest *ingest, enum reason reason, size_t passed_before) {
    const struct wire_text stream = ingest->tick.stream;
    const struct acknowledged_origin *origin = &ingest->origin;
    const uint64_t last = origin->first + ingest->passed - 1;
    if (ingest->source == SOURCE_ACKNOWLEDGED && last >= origin->told_from)
        acknowledged_refused(ingest->acknowledged, origin->mark, origin->first + passed_before, last, reason,
                             stream.at, stream.n);
}

static void refuse_tick(struct ingest *ingest, enum reason reason, size_t passed_before) {
    ingest_refuse(ingest, reason, ingest->tick.stream);
    answer_refused(ingest, reason, passed_before);
}

/* Goes on with the message at hand. Returns whether it is done: not when a tick of it is parked, or the go is
 * over. */
static bool work_off(struct ingest *ingest) {
    if (ingest->unkept && !keep(ingest))
        return false;
    while (ingest->open && ingest->budget-- > 0) {
        enum reason reason = REASON_NONE;
        size_t passed_before = ingest->passed;
        if (!ingest->parked)
            ahead_step(&ingest->ahead, &ingest->ticks, ingest->setup.streams);
        int got = ingest->parked ? 1 : wire_ticks_next(&ingest->ticks, &ingest->tick, &reason);
        if (got == 0) {
            close_message(ingest);
            break;
        }
        ingest->nth += !ingest->parked;
        if (!ingest->parked)
            ingest->passed = wire_ticks_passed(&ingest->ticks, ingest->count, ingest->passed);
        enum routed routed = got > 0 ? ingest_route(ingest, &reason) : REFUSED;
        if (routed == PARKED) {
            ingest->counters.parked += !ingest->parked;
            ingest->parked = true;
            break;
        }
        if (routed == REFUSED)
            refuse_tick(ingest, reason, ingest->parked ? ingest->passed - 1 : passed_before);
        ingest->parked = false;
    }
    if (ingest->budget < READ_TICKS - FEW_TICKS)
        wake_touched(ingest);
    return !ingest->open;
}

/* Reads all frames of a message; those beyond two are counted, and dropped. Returns the number, 0 when there is no
 * message. */
static size_t read_frames(struct ingest *ingest, void *socket) {
    size_t n = 0;
    int more = 1;
    while (more) {
        zmq_msg_t spare;
        zmq_msg_t *frame = n < 2 ? &ingest->frames[n] : &spare;
        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(frame);
            break; /* a message arrives whole: only the first frame can be absent */
        }
        more = zmq_msg_more(frame);
        ingest->counters.bytes += zmq_msg_size(frame);
        if (n >= 2)
            zmq_msg_close(&spare);
        n++;
    }
    ingest->n_frames = n < 2 ? n : 2;
    return n;
}

/* Whether what has been opened, of a source whose clients are told, is to be taken. */
static bool admit(struct ingest *ingest) {
    size_t bytes = 0;
    for (size_t f = 0; f < ingest->n_frames; f++)
        bytes += zmq_msg_size(&ingest->frames[f]);
    ingest->count = wire_ticks_count(&ingest->ticks, &ingest->tick);
    ingest->passed = 0;
    if (!acknowledged_admit(ingest->acknowledged, ingest->count, bytes))
        return false;
    ingest->origin = acknowledged_origin(ingest->acknowledged);
    return true;
}

/* Reads a message, of n frames. Returns whether there was one; n is 0 where it has been answered. */
static bool read_message(struct ingest *ingest, int source, size_t *ret_n) {
    if (source != SOURCE_ACKNOWLEDGED)
        return (*ret_n = read_frames(ingest, ingest->sockets[source])) > 0;
    enum acknowledged_got got = acknowledged_read(ingest->acknowledged, ingest->frames, ret_n);
    ingest->n_frames = *ret_n;
    for (size_t f = 0; f < *ret_n; f++)
        ingest->counters.bytes += zmq_msg_size(&ingest->frames[f]);
    return got != ACKNOWLEDGED_NONE;
}

/* Opens the next message of a source. Returns false when there is none. */
static bool open_message(struct ingest *ingest, int source) {
    size_t n;
    if (ingest->sockets[source] == NULL || !read_message(ingest, source, &n))
        return false;
    if (n == 0)
        return true;
    ingest->counters.messages++;
    ingest->source = source;
    ingest->received = clock_realtime();
    if (ingest->setup.returns != NULL) /* else nobody leaves memory for being quiet */
        ingest->second = opening_second(ingest->setup.opening);
    struct wire_text texts[2] = {{0}};
    for (size_t f = 0; f < ingest->n_frames; f++)
        texts[f] = (struct wire_text){zmq_msg_data(&ingest->frames[f]), zmq_msg_size(&ingest->frames[f])};
    enum reason reason = wire_ticks_begin(&ingest->ticks, texts, n); /* which looks at no frame beyond the second */
    const bool acknowledged = source == SOURCE_ACKNOWLEDGED;
    if (reason == REASON_NONE && (!acknowledged || admit(ingest))) {
        ingest->open = true;
        ingest->nth = 0;
        ahead_begin(&ingest->ahead, &ingest->ticks);
        ingest->unkept = ingest->setup.store != NULL;
        return true;
    }
    if (reason != REASON_NONE) {
        bool named = n == 2 && wire_name_valid(texts[0]);
        ingest_refuse(ingest, reason, named ? texts[0] : (struct wire_text){0});
        if (acknowledged)
            acknowledged_malformed(ingest->acknowledged, reason);
    }
    close_frames(ingest);
    return true;
}

/* A reply waits for what its streams' workers do not have yet. */
static void close_group(struct ingest *ingest) {
    if (ingest->setup.returns != NULL)
        acknowledged_waiting(ingest->acknowledged, returns_lowest(ingest->setup.returns));
    acknowledged_close_group(ingest->acknowledged);
}

static bool read_go(struct ingest *ingest) {
    int idle = 0;
    for (int taken = 0; taken < READ_MESSAGES && idle < N_SOURCES;) {
        if (!work_off(ingest))
            return !ingest->parked;
        bool opened = open_message(ingest, ingest->next);
        ingest->next = (ingest->next + 1) % N_SOURCES;
        idle = opened ? 0 : idle + 1;
        taken += opened;
    }
    return idle < N_SOURCES || ingest->open;
}

bool ingest_read(struct ingest *ingest) {
    ingest->budget = READ_TICKS;
    bool more = read_go(ingest);
    if (ingest->acknowledged != NULL)
        close_group(ingest);
    serve_touched(ingest);
    return more;
}

bool ingest_finish(struct ingest *ingest) {
    ingest->budget = READ_TICKS;
    bool done = work_off(ingest);
    if (ingest->acknowledged != NULL)
        close_group(ingest);
    wake_touched(ingest);
    return done;
}

uint64_t ingest_settled(const struct ingest *ingest) {
    return ingest->open && !ingest->unkept ? ingest->order - 1 : store_order(ingest->setup.store);
}

bool ingest_replay(struct ingest *ingest, uint64_t order, const struct journal_entry *entry) {
    struct wire_text texts[2] = {{entry->head, entry->n_head}, {entry->bytes, entry->n}};
    bool one = entry->head == NULL, acknowledged = entry->producer != 0;
    ingest->source = acknowledged ? SOURCE_ACKNOWLEDGED : (int)entry->source;
    ingest->received = entry->received;
    ingest->order = order;
    enum reason reason = wire_ticks_begin(&ingest->ticks, one ? texts + 1 : texts, one ? 1 : 2);
    assert(reason == REASON_NONE && ingest->source < N_SOURCES); /* it was so when it was written */
    ingest->count = acknowledged ? wire_ticks_count(&ingest->ticks, &ingest->tick) : 0;
    ingest->passed = ingest->nth = 0;
    const uint64_t first = entry->sequence + 1 - ingest->count;
    ingest->origin =
        ingest->acknowledged != NULL
            ? acknowledged_again(ingest->acknowledged, entry->source, entry->producer, first)
            : (struct acknowledged_origin){
                  .source = entry->source, .producer = entry->producer, .first = first, .told_from = UINT64_MAX};
    ingest->numbers[ingest->source] = entry->sequence;
    ingest->replays = true;
    bool whole = true;
    for (int got; (got = wire_ticks_next(&ingest->ticks, &ingest->tick, &reason)) != 0;) {
        size_t passed_before = ingest->passed;
        ingest->nth++;
        ingest->passed = wire_ticks_passed(&ingest->ticks, ingest->count, ingest->passed);
        enum routed routed = got > 0 ? ingest_route(ingest, &reason) : REFUSED;
        if (routed == REFUSED)
            answer_refused(ingest, reason, passed_before);
        ingest->counters.replayed += routed == ROUTED;
        ingest->counters.not_replayed[reason] += routed == REFUSED;
        whole &= routed == ROUTED || (routed == REFUSED && reason != REASON_NO_MEMORY);
    }
    ingest->replays = false;
    wire_ticks_end(&ingest->ticks);
    return whole;
}

bool ingest_parked(const struct ingest *ingest) {
    return ingest->parked;
}

const struct ingest_counters *ingest_counters(const struct ingest *ingest) {
    return &ingest->counters;
}
