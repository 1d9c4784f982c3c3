#include "daemon/acknowledged.h"

#include "daemon/clock.h"
#include "daemon/endpoint.h"
#include "daemon/log.h"
#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Groups that wait; with more the latest one grows. */
enum { GROUPS_MOST = 256 };

/* Replies that wait for a client: small, as they are cumulative. */
enum { REPLIES_MOST = 100 };

/* A message that was taken. */
struct part {
    uint32_t place; /* of its producer */
    uint64_t ticks, last;
    size_t bytes;
};

/* Messages that are waited for together. */
struct group {
    uint64_t last;  /* entry of the journal: the latest one */
    uint64_t until; /* it is waited for until this one, that or one behind it, is durable */
    size_t parts;
    bool waits; /* ticks of it were not in the rings when it was closed */
};

struct acknowledged {
    struct acknowledged_setup setup;
    void *socket;
    struct producers *producers;

    /* What was read last. */
    struct {
        size_t n; /* of its client's identity */
        unsigned char identity[PRODUCER_IDENTITY_MOST];
        struct producer *producer;
        uint64_t first, count, order, until; /* the last two: as of a group */
        size_t bytes;
    } at_hand;

    struct part *parts; /* [parts_room], a circle, a power of two */
    size_t parts_room, parts_at, n_parts;
    struct group groups[GROUPS_MOST]; /* a circle */
    int groups_at, n_groups;
    size_t *inputs;    /* [GROUPS_MOST x workers] as far as the group's ticks go in their rings */
    struct group open; /* not closed yet */
    bool again;        /* the first group is what the journal's tail holds, which is being taken once more */
    uint64_t waiting;  /* the first entry of which ticks are not in the rings; UINT64_MAX: none */

    /* The first n_looked groups are on disk and taken; so far go in the outputs what their workers told of them. */
    int n_looked;
    size_t *outputs; /* [workers] */

    uint32_t *due; /* [producers] places of those that have something to be told */
    int n_due;
    bool degraded; /* as clients were told */
    struct acknowledged_counters counters;
};

/* ---- the socket --------------------------------------------------------------------------------- */

static int open_socket(struct acknowledged *acknowledged, void *zmq, struct error *err) {
    const struct config_bus *bus = &acknowledged->setup.config->bus;
    const int one = 1, replies = REPLIES_MOST;
    void *socket = acknowledged->socket = zmq_socket(zmq, ZMQ_ROUTER);
    /* Mandatory: it is told that a client has gone, or does not read. Handover: who comes again by its own id is it. */
    if (socket == NULL || zmq_setsockopt(socket, ZMQ_RCVHWM, &bus->receive_hwm, sizeof bus->receive_hwm) != 0 ||
        zmq_setsockopt(socket, ZMQ_SNDHWM, &replies, sizeof replies) != 0 ||
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bus->max_message, sizeof bus->max_message) != 0 ||
        zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one) != 0 ||
        zmq_setsockopt(socket, ZMQ_ROUTER_HANDOVER, &one, sizeof one) != 0 ||
        endpoint_bind(socket, bus->acknowledged) != 0)
        return error_set(err, "bus.acknowledged: cannot bind to %s: %s", bus->acknowledged, zmq_strerror(errno));
    return 0;
}

struct acknowledged *acknowledged_open(void *zmq, const struct acknowledged_setup *setup, struct error *err) {
    struct acknowledged *acknowledged = calloc(1, sizeof *acknowledged);
    error_set(err, "bus.acknowledged: out of memory");
    if (acknowledged == NULL)
        return NULL;
    size_t workers = (size_t)setup->config->workers, most = (size_t)setup->config->bus.producers;
    acknowledged->setup = *setup;
    acknowledged->waiting = UINT64_MAX;
    acknowledged->parts_room = 64;
    acknowledged->parts = calloc(acknowledged->parts_room, sizeof *acknowledged->parts);
    acknowledged->inputs = calloc(GROUPS_MOST * workers, sizeof *acknowledged->inputs);
    acknowledged->outputs = calloc(workers, sizeof *acknowledged->outputs);
    acknowledged->due = calloc(most, sizeof *acknowledged->due);
    acknowledged->producers = producers_new((int)most, setup->config->bus.producer_idle);
    if (acknowledged->parts == NULL || acknowledged->inputs == NULL || acknowledged->outputs == NULL ||
        acknowledged->due == NULL || acknowledged->producers == NULL || open_socket(acknowledged, zmq, err) != 0) {
        acknowledged_close(acknowledged, 0);
        return NULL;
    }
    return acknowledged;
}

void acknowledged_close(struct acknowledged *acknowledged, int linger_ms) {
    if (acknowledged == NULL)
        return;
    if (acknowledged->socket != NULL) {
        zmq_setsockopt(acknowledged->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(acknowledged->socket);
    }
    producers_free(acknowledged->producers);
    free(acknowledged->parts);
    free(acknowledged->inputs);
    free(acknowledged->outputs);
    free(acknowledged->due);
    free(acknowledged);
}

void *acknowledged_socket(const struct acknowledged *acknowledged) {
    return acknowledged->socket;
}

void acknowledged_restore(struct acknowledged *acknowledged, uint64_t id, uint64_t last, int64_t used) {
    uint64_t forgotten;
    struct producer *producer = producers_open(acknowledged->producers, id, used, &forgotten);
    if (producer == NULL || forgotten != 0)
        log_warning("producer %016llx is forgotten: more are known than bus.producers",
                    (unsigned long long)(producer == NULL ? id : forgotten));
    if (producer == NULL || last < producer->taken)
        return;
    producer->taken = producer->durable = producer->again = last;
}

/* Before it sent the last one its client had heard of what lies further back than its credit. */
static uint64_t told_from(const struct acknowledged *acknowledged, uint64_t last) {
    const uint64_t credit = (uint64_t)acknowledged->setup.config->bus.credit_ticks;
    return last > credit ? last - credit + 1 : 1;
}

struct acknowledged_origin acknowledged_again(struct acknowledged *acknowledged, uint32_t source, uint64_t id,
                                              uint64_t first) {
    struct producer *producer = producers_find(acknowledged->producers, id);
    struct acknowledged_origin origin = {.source = source, .producer = id, .first = first, .told_from = UINT64_MAX};
    if (producer == NULL)
        return origin; /* forgotten */
    producer_replay(producer, first);
    origin.mark = producers_mark(acknowledged->producers, producer);
    origin.told_from = told_from(acknowledged, producer->again);
    return origin;
}

void acknowledged_restored(struct acknowledged *acknowledged, uint64_t order) {
    acknowledged->groups[acknowledged->n_groups++] = (struct group){.last = order, .until = order, .waits = true};
    acknowledged->again = true;
}

static bool is_degraded(const struct acknowledged *acknowledged) {
    return acknowledged->setup.degraded(acknowledged->setup.store);
}

static uint64_t durable_order(const struct acknowledged *acknowledged) {
    return acknowledged->setup.durable(acknowledged->setup.store);
}

/* ---- sending ------------------------------------------------------------------------------------ */

static json_t *integer(uint64_t n) {
    return json_integer((json_int_t)n);
}

/* Takes the reply's reference. Returns false when the client has gone, or does not read what it is sent. */
static bool send_to(struct acknowledged *acknowledged, const void *identity, size_t n, bool as_json, json_t *reply) {
    char *data = NULL;
    size_t size;
    bool sent = reply != NULL && wire_message_encode(reply, as_json, &data, &size) == 0 &&
                zmq_send(acknowledged->socket, identity, n, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                zmq_send(acknowledged->socket, data, size, ZMQ_DONTWAIT) >= 0;
    free(data);
    json_decref(reply);
    acknowledged->counters.replies += sent;
    return sent;
}

static bool send_to_client(struct acknowledged *acknowledged, struct producer *producer, json_t *reply) {
    if (send_to(acknowledged, producer->identity, producer->identity_n, producer->as_json, reply))
        return true;
    acknowledged->counters.lost++;
    producers_unbind(acknowledged->producers, producer);
    return false;
}

static json_t *failure(const struct producer *producer, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static json_t *failure(const struct producer *producer, const char *code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *reply = json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", text);
    if (producer != NULL) {
        json_object_set_new(reply, "durable", integer(producer->durable));
        json_object_set_new(reply, "expected", integer(producer->taken + 1));
    }
    return reply;
}

/* Answers what is at hand; it has no producer where its client has not asked. */
static void answer(struct acknowledged *acknowledged, bool as_json, json_t *reply) {
    struct producer *producer = acknowledged->at_hand.producer;
    acknowledged->counters.errors += json_object_get(reply, "error") != NULL;
    if (producer != NULL)
        send_to_client(acknowledged, producer, reply);
    else
        send_to(acknowledged, acknowledged->at_hand.identity, acknowledged->at_hand.n, as_json, reply);
}

static void make_due(struct acknowledged *acknowledged, struct producer *producer) {
    if (producer->due)
        return;
    producer->due = true;
    acknowledged->due[acknowledged->n_due++] = producers_place(acknowledged->producers, producer);
}

/* ---- asking ------------------------------------------------------------------------------------- */

/* 0: it is none. */
static uint64_t id_of(const json_t *value) {
    const struct wire_text name = {json_string_value(value), json_string_length(value)};
    if (json_is_integer(value))
        return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    return json_is_string(value) && wire_name_valid(name) ? producers_id_of_name(name.at, name.n) : 0;
}

/* What the ticks' positions have as their source: above those of the other sockets, and a producer's own, almost
 * surely. */
static uint32_t source_of(uint64_t id) {
    return UINT32_C(0x80000000) | (uint32_t)(id ^ id >> 32);
}

static json_t *describe(const struct acknowledged *acknowledged, const struct producer *producer, uint64_t durable) {
    const struct config_bus *bus = &acknowledged->setup.config->bus;
    return json_pack("{s:b, s:o, s:o, s:i, s:I, s:I, s:b}", "ok", 1, "durable", integer(durable), "taken",
                     integer(producer->taken), "credit_ticks", bus->credit_ticks, "credit_bytes",
                     (json_int_t)bus->credit_bytes, "source", (json_int_t)source_of(producer->id), "degraded",
                     is_degraded(acknowledged));
}

static struct producer *open_producer(struct acknowledged *acknowledged, uint64_t id) {
    uint64_t forgotten;
    struct producer *producer = producers_open(acknowledged->producers, id, clock_realtime(), &forgotten);
    if (forgotten != 0) {
        acknowledged->counters.forgotten++;
        store_forget_producer(acknowledged->setup.store, forgotten);
        log_info("producer %016llx is forgotten for another: bus.producers are known", (unsigned long long)forgotten);
    }
    /* One that begins anew does so in the store, which may still have what it was before. */
    if (producer != NULL && producer->taken == 0)
        store_forget_producer(acknowledged->setup.store, id);
    return producer;
}

/* NULL is fine: it does not say. */
static bool is_known(const json_t *known) {
    return known == NULL || (json_is_integer(known) && json_integer_value(known) >= 0);
}

/* Who has asked says what it knows to be durable, or (UINT64_MAX) does not. Returns what it is told to be: no more where refusals are
 * to be told with it. */
static uint64_t take_known(const struct acknowledged *acknowledged, struct producer *producer, uint64_t known) {
    producer_heard(producer, known);
    producer_tell_again(producer, told_from(acknowledged, producer->taken));
    if (acknowledged->again)
        producer->durable = known < producer->again ? known : producer->again;
    return producer->n_refusals > 0 && known < producer->durable ? known : producer->durable;
}

/* Answers who has asked, which speaks for the producer from now on; not one that has gone since: what it had sent may be
 * read behind what another one asks. */
static void hand_over(struct acknowledged *acknowledged, struct producer *producer, bool as_json, json_t *reply) {
    const void *identity = acknowledged->at_hand.identity;
    const size_t n = acknowledged->at_hand.n;
    struct producer *before = producers_of_client(acknowledged->producers, identity, n);
    if (!send_to(acknowledged, identity, n, as_json, reply)) {
        acknowledged->counters.lost++;
        if (before != NULL)
            producers_unbind(acknowledged->producers, before);
        return;
    }
    if (producer->identity_n > 0 && before != producer)
        send_to_client(acknowledged, producer,
                       failure(producer, "superseded", "another client has asked for the same producer"));
    producers_bind(acknowledged->producers, producer, identity, n);
    producer->as_json = as_json;
    if (producer->n_refusals > 0)
        make_due(acknowledged, producer);
}

static void take_ask(struct acknowledged *acknowledged, const json_t *request, bool as_json) {
    const char *command = json_string_value(json_object_get(request, "cmd"));
    const json_t *known = json_object_get(request, "known");
    uint64_t id = id_of(json_object_get(request, "producer"));
    struct producer *producer = NULL;
    json_t *reply;
    acknowledged->counters.asked++;
    if (command == NULL || strcmp(command, "ask") != 0 || id == 0 || !is_known(known)) {
        reply =
            failure(NULL, "argument",
                    "a single frame is {cmd: ask, producer: P}, P an integer above 0 or a name of 1 to 255 bytes, "
                    "perhaps with known: K, an integer from 0 on");
    } else if ((producer = open_producer(acknowledged, id)) == NULL) {
        reply = failure(NULL, "producers", "%d producers are known, and all of them were heard of lately",
                        producers_count(acknowledged->producers));
    } else {
        reply = describe(
            acknowledged, producer,
            take_known(acknowledged, producer, known != NULL ? (uint64_t)json_integer_value(known) : UINT64_MAX));
    }
    json_t *number = json_object_get(request, "id");
    if (number != NULL)
        json_object_set(reply, "id", number);
    if (producer != NULL)
        hand_over(acknowledged, producer, as_json, reply);
    else
        answer(acknowledged, as_json, reply);
}

/* ---- a message, from its arrival on ------------------------------------------------------------- */

/* Reads all frames of a message: the identity, the header, and up to two more into frames. Returns how many there were behind
 * the header, -1 when there is no header or no message (*ret_any). */
static int read_frames(struct acknowledged *acknowledged, zmq_msg_t *header, zmq_msg_t frames[2], bool *ret_any) {
    zmq_msg_t identity, spare;
    zmq_msg_init(&identity);
    *ret_any = zmq_msg_recv(&identity, acknowledged->socket, ZMQ_DONTWAIT) >= 0;
    int n = -1, more = *ret_any && zmq_msg_more(&identity);
    if (*ret_any) {
        acknowledged->at_hand.n = zmq_msg_size(&identity);
        memcpy(acknowledged->at_hand.identity, zmq_msg_data(&identity), acknowledged->at_hand.n);
    }
    zmq_msg_close(&identity);
    for (; more; n++) {
        zmq_msg_t *frame = n < 0 ? header : n < 2 ? &frames[n] : &spare;
        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, acknowledged->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(frame);
            break; /* a message arrives whole */
        }
        more = zmq_msg_more(frame);
        if (n >= 2)
            zmq_msg_close(&spare);
    }
    return n;
}

/* The header of ticks. Returns whether they may be looked at; else it is answered. */
static bool take_header(struct acknowledged *acknowledged, const json_t *header, bool as_json, int n_frames) {
    struct producer *producer =
        producers_of_client(acknowledged->producers, acknowledged->at_hand.identity, acknowledged->at_hand.n);
    const json_t *first = json_object_get(header, "seq"), *known = json_object_get(header, "known");
    acknowledged->at_hand.producer = producer;
    if (producer == NULL) {
        answer(acknowledged, as_json, failure(NULL, "ask", "ask for a producer first"));
        return false;
    }
    producer->used = clock_realtime();
    if (!json_is_integer(first) || json_integer_value(first) < 1 || n_frames > 2 || !is_known(known)) {
        answer(acknowledged, as_json,
               failure(producer, "argument",
                       "ticks come behind a header {seq: N}, N an integer above 0, or {seq: N, known: K}, K an "
                       "integer from 0 on, in one or two frames"));
        return false;
    }
    if (known != NULL)
        producer_heard(producer, (uint64_t)json_integer_value(known));
    acknowledged->at_hand.first = (uint64_t)json_integer_value(first);
    return true;
}

enum acknowledged_got acknowledged_read(struct acknowledged *acknowledged, zmq_msg_t frames[2], size_t *ret_n) {
    zmq_msg_t head;
    bool any, as_json = false, wanted = false;
    int n = read_frames(acknowledged, &head, frames, &any);
    *ret_n = 0;
    if (!any)
        return ACKNOWLEDGED_NONE;
    acknowledged->at_hand.producer = NULL;
    json_t *header = NULL;
    if (n >= 0) {
        header = wire_message_decode(zmq_msg_data(&head), zmq_msg_size(&head), &as_json);
        zmq_msg_close(&head);
    }
    if (n > 0)
        wanted = take_header(acknowledged, header, as_json, n);
    else
        take_ask(acknowledged, header, as_json);
    json_decref(header);
    for (int f = 0; !wanted && f < n && f < 2; f++)
        zmq_msg_close(&frames[f]);
    if (wanted)
        *ret_n = (size_t)n;
    return wanted ? ACKNOWLEDGED_TICKS : ACKNOWLEDGED_ANSWERED;
}

void acknowledged_malformed(struct acknowledged *acknowledged, enum reason reason) {
    struct producer *producer = acknowledged->at_hand.producer;
    answer(acknowledged, producer->as_json,
           failure(producer, "malformed", "nothing of the message is taken: %s: %s", reason_name(reason),
                   reason_sentence(reason)));
}

static bool has_room(struct acknowledged *acknowledged) {
    if (acknowledged->n_parts < acknowledged->parts_room)
        return true;
    size_t room = acknowledged->parts_room;
    struct part *parts = calloc(2 * room, sizeof *parts);
    if (parts == NULL)
        return false;
    for (size_t i = 0; i < room; i++)
        parts[i] = acknowledged->parts[(acknowledged->parts_at + i) & (room - 1)];
    free(acknowledged->parts);
    acknowledged->parts = parts;
    acknowledged->parts_room = 2 * room;
    acknowledged->parts_at = 0;
    return true;
}

static json_t *while_degraded(struct acknowledged *acknowledged) {
    acknowledged->counters.degraded++;
    return failure(acknowledged->at_hand.producer, "degraded",
                   "the disk fails: nothing of the message is taken; ask again later");
}

/* NULL: the message is to be taken. */
static json_t *judge(struct acknowledged *acknowledged, uint64_t count, size_t bytes) {
    const struct config_bus *bus = &acknowledged->setup.config->bus;
    const struct producer *producer = acknowledged->at_hand.producer;
    uint64_t first = acknowledged->at_hand.first;
    if (is_degraded(acknowledged))
        return while_degraded(acknowledged);
    if (count > INT64_MAX - first || producer_judge(producer, first, count) == PRODUCER_GAP) {
        acknowledged->counters.gaps++;
        return failure(producer, "gap",
                       "the message begins with number %llu; number %llu is expected, nothing of it is taken",
                       (unsigned long long)first, (unsigned long long)producer->taken + 1);
    }
    if (producer->ticks + count > (uint64_t)bus->credit_ticks ||
        producer->bytes + bytes > (uint64_t)bus->credit_bytes) {
        acknowledged->counters.over_credit++;
        return failure(
            producer, "credit",
            "%llu ticks in %llu bytes are not acknowledged; with %llu in %zu more it is above the credit of "
            "%d ticks and %lld bytes, nothing of the message is taken",
            (unsigned long long)producer->ticks, (unsigned long long)producer->bytes, (unsigned long long)count,
            bytes, bus->credit_ticks, (long long)bus->credit_bytes);
    }
    return has_room(acknowledged) ? NULL
                                  : failure(producer, "memory", "out of memory: nothing of the message is taken");
}

bool acknowledged_admit(struct acknowledged *acknowledged, uint64_t count, size_t bytes) {
    struct producer *producer = acknowledged->at_hand.producer;
    if (count == 0 || producer_judge(producer, acknowledged->at_hand.first, count) == PRODUCER_REPEATED) {
        acknowledged->counters.repeated += count > 0;
        make_due(acknowledged, producer);
        return false;
    }
    json_t *error = judge(acknowledged, count, bytes);
    if (error != NULL) {
        answer(acknowledged, producer->as_json, error);
        return false;
    }
    acknowledged->at_hand.count = count;
    acknowledged->at_hand.bytes = bytes;
    return true;
}

void acknowledged_not_kept(struct acknowledged *acknowledged) {
    answer(acknowledged, acknowledged->at_hand.producer->as_json, while_degraded(acknowledged));
}

struct acknowledged_origin acknowledged_origin(const struct acknowledged *acknowledged) {
    const struct producer *producer = acknowledged->at_hand.producer;
    return (struct acknowledged_origin){.mark = producers_mark(acknowledged->producers, producer),
                                        .source = source_of(producer->id),
                                        .producer = producer->id,
                                        .first = acknowledged->at_hand.first};
}

void acknowledged_begin(struct acknowledged *acknowledged, uint64_t order) {
    struct producer *producer = acknowledged->at_hand.producer;
    producer->taken = acknowledged->at_hand.first + acknowledged->at_hand.count - 1;
    producer->ticks += acknowledged->at_hand.count;
    producer->bytes += acknowledged->at_hand.bytes;
    acknowledged->at_hand.order = acknowledged->at_hand.until = order;
    acknowledged->counters.ticks += acknowledged->at_hand.count;
}

/* Groups are acknowledged one behind the other, so those behind wait with it. */
void acknowledged_kept(struct acknowledged *acknowledged, uint64_t of, uint64_t order) {
    for (int g = 0; g < acknowledged->n_groups; g++) {
        struct group *group = &acknowledged->groups[(acknowledged->groups_at + g) % GROUPS_MOST];
        if (group->last < of)
            continue;
        group->until = order;
        return;
    }
    if (acknowledged->open.last >= of)
        acknowledged->open.until = order;
    else
        acknowledged->at_hand.until = order;
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

void acknowledged_refused(struct acknowledged *acknowledged, uint32_t mark, uint64_t first, uint64_t last,
                          enum reason reason, const char *stream, size_t n) {
    struct producer *producer = producers_marked(acknowledged->producers, mark);
    if (first > last)
        return; /* bytes behind a bundle have no number */
    /* What had waited long may be of one that has been forgotten since, or has begun anew. */
    if (producer == NULL || last > producer->taken)
        return;
    producer_refused(producer, first, last, reason, stream, n);
    if (last <= producer->durable)
        make_due(acknowledged, producer);
}

void acknowledged_taken(struct acknowledged *acknowledged) {
    struct producer *producer = acknowledged->at_hand.producer;
    size_t at = (acknowledged->parts_at + acknowledged->n_parts++) & (acknowledged->parts_room - 1);
    acknowledged->parts[at] =
        (struct part){producers_place(acknowledged->producers, producer), acknowledged->at_hand.count,
                      producer->taken, acknowledged->at_hand.bytes};
    acknowledged->open.parts++;
    acknowledged->open.last = acknowledged->at_hand.order;
    acknowledged->open.until = later(acknowledged->open.until, acknowledged->at_hand.until);
}

/* ---- replies ------------------------------------------------------------------------------------ */

/* How far the rings are filled: the ticks of the group at the place are in them. */
static void note_inputs(struct acknowledged *acknowledged, int at) {
    size_t workers = (size_t)acknowledged->setup.config->workers;
    for (size_t w = 0; w < workers; w++)
        acknowledged->inputs[(size_t)at * workers + w] = ring_written(worker_input(acknowledged->setup.workers[w]));
}

void acknowledged_waiting(struct acknowledged *acknowledged, uint64_t order) {
    acknowledged->waiting = order;
    for (int g = acknowledged->n_looked; g < acknowledged->n_groups; g++) {
        int at = (acknowledged->groups_at + g) % GROUPS_MOST;
        if (acknowledged->groups[at].last >= order)
            break;
        if (acknowledged->groups[at].waits)
            note_inputs(acknowledged, at); /* where they have got to */
        acknowledged->groups[at].waits = false;
    }
}

void acknowledged_close_group(struct acknowledged *acknowledged) {
    if (acknowledged->open.parts == 0)
        return;
    /* The latest one may grow only while it is not being looked at. */
    bool full = acknowledged->n_groups == GROUPS_MOST;
    if (full && acknowledged->n_looked == GROUPS_MOST)
        return;
    acknowledged->n_groups += !full;
    int last = (acknowledged->groups_at + acknowledged->n_groups - 1) % GROUPS_MOST;
    struct group *group = &acknowledged->groups[last];
    group->parts = acknowledged->open.parts + (full ? group->parts : 0);
    group->last = acknowledged->open.last;
    group->until = later(full ? group->until : 0, acknowledged->open.until);
    group->waits = acknowledged->waiting <= group->last;
    note_inputs(acknowledged, last);
    acknowledged->open = (struct group){0};
    store_hurry(acknowledged->setup.store);
}

/* Positions wrap around. */
static bool is_behind(size_t position, size_t goal) {
    return goal - position - 1 < SIZE_MAX / 2;
}

static bool is_done(const struct acknowledged *acknowledged, int group, uint64_t durable) {
    size_t workers = (size_t)acknowledged->setup.config->workers;
    int at = (acknowledged->groups_at + group) % GROUPS_MOST;
    if (acknowledged->groups[at].until > durable || acknowledged->groups[at].waits)
        return false;
    for (size_t w = 0; w < workers; w++)
        if (is_behind(ring_consumed(worker_input(acknowledged->setup.workers[w])),
                      acknowledged->inputs[(size_t)at * workers + w]))
            return false;
    return true;
}

/* Whether all has been read that workers had told of the groups when they were looked at. */
static bool is_told(const struct acknowledged *acknowledged) {
    for (int w = 0; w < acknowledged->setup.config->workers; w++)
        if (is_behind(ring_consumed(worker_output(acknowledged->setup.workers[w])), acknowledged->outputs[w]))
            return false;
    return true;
}

bool acknowledged_ready(const struct acknowledged *acknowledged) {
    if (acknowledged->n_due > 0 || acknowledged->degraded != is_degraded(acknowledged))
        return true;
    if (acknowledged->n_looked > 0)
        return is_told(acknowledged);
    return acknowledged->n_groups > 0 && !acknowledged->degraded &&
           is_done(acknowledged, 0, durable_order(acknowledged));
}

bool acknowledged_waits(const struct acknowledged *acknowledged) {
    return acknowledged->n_parts > 0 || acknowledged->again;
}

/* How many groups are on disk and taken: what is refused of them is in the outputs by now. */
static void look(struct acknowledged *acknowledged) {
    uint64_t durable = durable_order(acknowledged);
    int n = 0;
    /* What was taken in the meantime may be missing in the journal until the states that hold it are on disk. */
    while (n < acknowledged->n_groups && !acknowledged->degraded && is_done(acknowledged, n, durable))
        n++;
    acknowledged->n_looked = n;
    for (int w = 0; n > 0 && w < acknowledged->setup.config->workers; w++)
        acknowledged->outputs[w] = ring_written(worker_output(acknowledged->setup.workers[w]));
}

/* The journal's ticks have been taken once more: who has asked meanwhile is told. */
static void end_again(struct acknowledged *acknowledged) {
    acknowledged->again = false;
    for (int p = 0; p < acknowledged->setup.config->bus.producers; p++) {
        struct producer *producer = producers_at(acknowledged->producers, (uint32_t)p);
        if (producer->durable >= producer->again)
            continue;
        producer->durable = producer->again;
        make_due(acknowledged, producer);
    }
}

static void release(struct acknowledged *acknowledged) {
    size_t parts = 0;
    if (acknowledged->again)
        end_again(acknowledged);
    for (int g = 0; g < acknowledged->n_looked; g++)
        parts += acknowledged->groups[(acknowledged->groups_at + g) % GROUPS_MOST].parts;
    acknowledged->groups_at = (acknowledged->groups_at + acknowledged->n_looked) % GROUPS_MOST;
    acknowledged->n_groups -= acknowledged->n_looked;
    acknowledged->n_looked = 0;
    for (size_t p = 0; p < parts; p++) {
        const struct part *part = &acknowledged->parts[(acknowledged->parts_at + p) & (acknowledged->parts_room - 1)];
        struct producer *producer = producers_at(acknowledged->producers, part->place);
        producer->durable = part->last;
        producer->ticks -= part->ticks;
        producer->bytes -= part->bytes;
        acknowledged->counters.durable += part->ticks;
        make_due(acknowledged, producer);
    }
    acknowledged->parts_at = (acknowledged->parts_at + parts) & (acknowledged->parts_room - 1);
    acknowledged->n_parts -= parts;
}

/* [[first, last, reason, stream], ...] of those that have not been told, those that follow each other as one; NULL: none. */
static json_t *refusals_of(const struct producer *producer, size_t n) {
    json_t *list = NULL;
    for (size_t i = producer->n_told; i < n; i++) {
        const struct refusal *refusal = &producer->refusals[i];
        uint64_t last = refusal->last;
        for (; i + 1 < n && producer->refusals[i + 1].first == last + 1 &&
               producer->refusals[i + 1].reason == refusal->reason &&
               strcmp(producer->refusals[i + 1].stream, refusal->stream) == 0;
             i++)
            last = producer->refusals[i + 1].last;
        json_t *stream = json_string(refusal->stream); /* NULL where it is not UTF-8 */
        list = list != NULL ? list : json_array();
        json_array_append_new(list,
                              json_pack("[o, o, s, o]", integer(refusal->first), integer(last),
                                        reason_name(refusal->reason), stream != NULL ? stream : json_string("")));
    }
    return list;
}

/* What it is told goes on from there; without a client it is kept for the next one. */
static void reply_to(struct acknowledged *acknowledged, struct producer *producer) {
    producer->due = false;
    if (producer->identity_n == 0)
        return;
    size_t n = producer_refusals(producer);
    json_t *reply = json_pack("{s:o}", "durable", integer(producer->durable)), *refused = refusals_of(producer, n);
    if (refused != NULL)
        json_object_set_new(reply, "refused", refused);
    if (producer->untold > 0)
        json_object_set_new(reply, "untold", integer(producer->untold));
    if (!send_to_client(acknowledged, producer, reply))
        return;
    producer_told(producer, n, producer->says ? told_from(acknowledged, producer->taken) : UINT64_MAX);
    producer->untold = 0;
}

static void tell_degraded(struct acknowledged *acknowledged) {
    acknowledged->degraded = !acknowledged->degraded;
    for (int p = 0; acknowledged->degraded && p < acknowledged->setup.config->bus.producers; p++) {
        struct producer *producer = producers_at(acknowledged->producers, (uint32_t)p);
        if (producer->identity_n > 0 && producer->ticks > 0)
            send_to_client(acknowledged, producer,
                           failure(producer, "degraded",
                                   "the disk fails: what is not acknowledged may be lost; ask again later"));
    }
}

void acknowledged_reply(struct acknowledged *acknowledged) {
    if (acknowledged->degraded != is_degraded(acknowledged))
        tell_degraded(acknowledged);
    if (acknowledged->n_looked == 0)
        look(acknowledged);
    if (acknowledged->n_looked > 0 && is_told(acknowledged))
        release(acknowledged);
    for (int d = 0; d < acknowledged->n_due; d++)
        reply_to(acknowledged, producers_at(acknowledged->producers, acknowledged->due[d]));
    acknowledged->n_due = 0;
}

struct acknowledged_counters acknowledged_counters(const struct acknowledged *acknowledged) {
    struct acknowledged_counters counters = acknowledged->counters;
    counters.producers = producers_count(acknowledged->producers);
    counters.clients = producers_clients(acknowledged->producers);
    return counters;
}
