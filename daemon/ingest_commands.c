/* Commands on streams, takeovers and ends: what goes into the journal, then into the workers' rings, beside ticks. */
#include "daemon/ingest_internal.h"

#include "daemon/clock.h"
#include "daemon/homecoming.h"
#include "daemon/journal_command.h"
#include "daemon/returns.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool ingest_command(struct ingest *ingest, int worker, const void *record, size_t n) {
    void *place = ring_reserve(ingest_ring(ingest, worker), n, 0);
    if (place == NULL)
        return false;
    memcpy(place, record, n);
    ring_commit(ingest_ring(ingest, worker), n);
    worker_wake(ingest->setup.workers[worker]);
    return true;
}

static bool append(struct ingest *ingest, enum journal_kind kind, struct journal_command *command,
                   uint64_t *ret_order) {
    struct image image = {0};
    bool put = journal_command_write(command, &image) == 0;
    if (put) {
        const struct journal_entry entry = {
            .kind = kind, .received = clock_realtime(), .bytes = image.bytes, .n = image.n};
        put = store_append(ingest->setup.store, &entry, ret_order);
    }
    image_free(&image);
    return put;
}

/* Gives a command its place in the journal; *ret_order is 0 without one. Returns false when it cannot have one now: there
 * is no room, or half of a message stands before it. */
static bool journal(struct ingest *ingest, struct journal_command *command, uint64_t *ret_order) {
    *ret_order = 0;
    if (ingest->setup.store == NULL)
        return true;
    return !ingest->open && append(ingest, JOURNAL_COMMAND, command, ret_order);
}

/* The nth tick of entry `of` is refused. Who is told of it (acknowledged) is told when that is on disk, too. */
static bool keep_refusal(struct ingest *ingest, enum reason reason, struct wire_text name, uint64_t of, uint32_t nth,
                         bool acknowledged) {
    struct journal_command command = {.what = JOURNALED_REFUSED, .version = nth, .began = reason, .step = of};
    uint64_t order;
    memcpy(command.stream, name.at, name.n);
    if (!append(ingest, JOURNAL_COMMAND, &command, &order))
        return false;
    if (acknowledged)
        acknowledged_kept(ingest->acknowledged, of, order);
    return true;
}

bool ingest_keep_refusal(struct ingest *ingest, enum reason reason) {
    return !ingest->kept || keep_refusal(ingest, reason, ingest->tick.stream, ingest->order, ingest->nth,
                                         ingest->source == SOURCE_ACKNOWLEDGED);
}

static bool refuse_orphan(void *context, const char *name, size_t n, const struct kept *kept) {
    struct ingest *ingest = context;
    const struct record_label *label = (const void *)kept->record;
    const struct wire_text stream = {name, n};
    if (kept->nth > 0 && !keep_refusal(ingest, REASON_LABEL, stream, kept->order, kept->nth, label->producer != 0))
        return false;
    ingest_refuse(ingest, REASON_LABEL, stream);
    if (label->producer == 0)
        return true;
    acknowledged_refused(ingest->acknowledged, label->producer, label->number, label->number, REASON_LABEL, name, n);
    store_hurry(ingest->setup.store);
    return true;
}

bool ingest_refuse_orphans(struct ingest *ingest) {
    return returns_each_orphan(ingest->setup.returns, refuse_orphan, ingest);
}

static struct journal_command command_on(const struct ingest *ingest, const struct stream *stream,
                                         enum journal_what what, int model) {
    struct journal_command command = {.what = (int)what, .generation = stream->generation};
    memcpy(command.stream, stream->name, stream->name_length);
    if (model >= 0)
        snprintf(command.model, sizeof command.model, "%s", ingest->setup.config->models[model].name);
    return command;
}

/* Puts a command on a stream into the journal, then into its worker's ring. */
static int command_stream(struct ingest *ingest, const struct stream *stream, enum journal_what what, int model,
                          uint64_t step, struct record_of_stream *record, size_t n) {
    struct journal_command command = command_on(ingest, stream, what, model);
    command.step = step;
    if (!ring_has_room(ingest_ring(ingest, stream->worker), n, 0) || !journal(ingest, &command, &record->order))
        return -2;
    bool put = ingest_command(ingest, stream->worker, record, n);
    assert(put);
    (void)put;
    return 0;
}

/* A stream that is not in memory comes back to close them. Returns false while that cannot be. */
static bool close_away(struct ingest *ingest, const struct closing *node, struct record_close *record) {
    struct journal_command command = {.what = JOURNALED_CLOSE, .step = (uint64_t)node->end};
    size_t n;
    int class;
    const char *name = closing_name(node, &n, &class);
    struct returning *returning = returns_find(ingest->setup.returns, name, n);
    if (returning == NULL && !store_degraded(ingest->setup.store))
        returning = returns_begin(ingest->setup.returns, class, name, n);
    void *place = returning != NULL ? returns_reserve(ingest->setup.returns, returning, sizeof *record) : NULL;
    if (place == NULL)
        return false;
    memcpy(command.stream, name, n);
    if (!journal(ingest, &command, &record->order)) {
        returns_unreserve(ingest->setup.returns);
        return false;
    }
    memcpy(place, record, sizeof *record);
    returns_commit(ingest->setup.returns, record->order, 0);
    return true;
}

void ingest_close_due(struct ingest *ingest) {
    struct closing *node = NULL;
    if (ingest->closer == NULL || ingest->open) /* between two messages */
        return;
    int64_t now = clock_realtime();
    bool done = true;
    while (done && (node = closer_next(ingest->closer, now)) != NULL) {
        struct record_close record = {
            .kind = RECORD_CLOSE,
            .stream = node->stream,
            .end = node->end,
            .arrival = {.source = SOURCE_CLOCK, .number = ingest->closes + 1, .received = now}};
        if (node->stream == NULL && !close_away(ingest, node, &record)) {
            closer_later(ingest->closer, node, now); /* nobody waits for who cannot come back */
            continue;
        }
        done = node->stream == NULL || command_stream(ingest, node->stream, JOURNALED_CLOSE, -1, (uint64_t)node->end,
                                                      (struct record_of_stream *)(void *)&record, sizeof record) == 0;
        if (done)
            closer_done(ingest->closer, node);
        ingest->closes += done;
    }
    ingest->close_later = node != NULL;
}

int ingest_close_wait_ms(const struct ingest *ingest, int most) {
    return ingest->closer == NULL ? most
           : ingest->close_later  ? 1
                                  : closer_wait_ms(ingest->closer, clock_realtime(), most);
}

void ingest_unclosed(struct ingest *ingest, const struct record_unclosed *record) {
    const struct time_policy_spec *spec = &ingest->setup.config->classes[record->class].time;
    struct stream *stream = streams_find(ingest->setup.streams, record->name, record->n);
    int64_t now = clock_realtime();
    if (stream != NULL)
        closer_note_end(ingest->closer, stream, spec, record->end, now);
    else
        closer_note_away(ingest->closer, record->class, record->name, record->n, spec, record->end, now);
}

void ingest_open_on_disk(struct ingest *ingest, const char *name, int64_t end) {
    size_t n = strlen(name);
    int class = streams_class_of(ingest->setup.streams, name);
    const struct time_policy_spec *spec = class >= 0 ? &ingest->setup.config->classes[class].time : NULL;
    /* Who comes back is told of by its worker. */
    if (spec != NULL && spec->close_after > 0 && streams_find(ingest->setup.streams, name, n) == NULL &&
        returns_find(ingest->setup.returns, name, n) == NULL)
        closer_note_away(ingest->closer, class, name, n, spec, end, clock_realtime());
}

uint64_t ingest_n_open(const struct ingest *ingest) {
    return ingest->closer != NULL ? closer_n_away(ingest->closer) : 0;
}

static int reset_stream(struct ingest *ingest, struct stream *stream, int model) {
    struct record_reset record = {RECORD_RESET, stream, 0, model};
    return command_stream(ingest, stream, JOURNALED_RESET, model, 0, (struct record_of_stream *)(void *)&record,
                          sizeof record);
}

static int reset_all(struct ingest *ingest, int model) {
    const struct record_reset record = {RECORD_RESET, NULL, 0, model};
    int workers = ingest->setup.config->workers;
    for (int w = 0; w < workers; w++)
        if (!ring_has_room(ingest_ring(ingest, w), sizeof record, 0))
            return -2; /* all or none */
    for (int w = 0; w < workers; w++)
        ingest_command(ingest, w, &record, sizeof record);
    return 0;
}

/* In the journal each stands for itself; as a reset of what is reset changes nothing, some may be done. */
static int reset_each(struct ingest *ingest, int model) {
    int failed = 0;
    for (int64_t n = streams_count(ingest->setup.streams); n > 0 && failed == 0; n--)
        failed = reset_stream(ingest, streams_walk(ingest->setup.streams), model);
    return failed;
}

int ingest_reset(struct ingest *ingest, const char *name, int model) {
    if (name == NULL)
        return ingest->setup.store != NULL ? reset_each(ingest, model) : reset_all(ingest, model);
    struct stream *stream = streams_find(ingest->setup.streams, name, strlen(name));
    return stream != NULL ? reset_stream(ingest, stream, model) : -1;
}

int ingest_pause(struct ingest *ingest, const char *name, bool paused) {
    struct stream *stream = streams_find(ingest->setup.streams, name, strlen(name));
    if (stream == NULL)
        return -1;
    struct record_pause record = {RECORD_PAUSE, stream, 0, paused};
    if (command_stream(ingest, stream, paused ? JOURNALED_PAUSE : JOURNALED_RESUME, -1, 0,
                       (struct record_of_stream *)(void *)&record, sizeof record) != 0)
        return -2;
    atomic_store_explicit(&stream->paused, paused, memory_order_relaxed);
    return 0;
}

int ingest_end(struct ingest *ingest, const char *name) {
    struct stream *stream = streams_find(ingest->setup.streams, name, strlen(name));
    if (stream == NULL)
        return -1;
    struct record_of_stream record = {RECORD_END, stream, 0};
    struct returns *returns = ingest->setup.returns;
    if (returns != NULL && returns_leaving(returns, stream, true) != 0)
        return -2;
    if (command_stream(ingest, stream, JOURNALED_END, -1, 0, &record, sizeof record) != 0) {
        if (returns != NULL)
            returns_stays(returns, stream);
        return -2;
    }
    /* From here on the name is free; the slots are only when the worker has let go. */
    streams_remove(ingest->setup.streams, stream);
    return 0;
}

int ingest_state(struct ingest *ingest, struct state_order *order) {
    const struct record_state record = {RECORD_STATE, order};
    if (!ring_has_room(ingest_ring(ingest, order->stream->worker), sizeof record, 0))
        return -2;
    if (order->set) {
        int model = stream_model_at(ingest->setup.config, order->stream->class, order->place);
        struct journal_command command = command_on(ingest, order->stream, JOURNALED_STATE, model);
        command.n = order->n;
        command.values = order->values;
        if (!journal(ingest, &command, &order->journaled))
            return -2;
    }
    ingest_command(ingest, order->stream->worker, &record, sizeof record);
    return 0;
}

int ingest_evict(struct ingest *ingest, struct stream *stream) {
    const struct record_stream record = {RECORD_LEAVE, stream};
    if (!ring_has_room(ingest_ring(ingest, stream->worker), sizeof record, WORKER_COMMAND_SPARE) ||
        (ingest->closer != NULL && closer_leaves(ingest->closer, stream) != 0))
        return -2;
    if (returns_leaving(ingest->setup.returns, stream, false) != 0) {
        if (ingest->closer != NULL)
            closer_returns(ingest->closer, stream);
        return -2;
    }
    streams_take_out(ingest->setup.streams, stream);
    ingest_command(ingest, stream->worker, &record, sizeof record);
    return 0;
}

/* Before it is known whether the store has such a stream: what comes for the name from now on stands behind it in the
 * journal, too. */
static int import_kept(struct ingest *ingest, int class, struct stored *image, uint64_t request) {
    struct returns *returns = ingest->setup.returns;
    struct returning *returning = returns_find(returns, image->name, image->name_length);
    if (returning != NULL)
        return returning_may_be_none(returning) ? -2 : -1;
    returning = returns_begin(returns, class, image->name, image->name_length);
    if (returning == NULL || returns_import(returns, returning, image, request) != 0)
        return -2;
    struct journal_command command = {.what = JOURNALED_IMPORT, .image = image};
    uint64_t order;
    memcpy(command.stream, image->name, image->name_length);
    if (!journal(ingest, &command, &order)) {
        returns_import_not(returns, returning);
        return -2;
    }
    returns_import_at(returns, returning, order);
    store_hurry(ingest->setup.store);
    return 1;
}

int ingest_import(struct ingest *ingest, int class, struct stored *image, uint64_t request) {
    struct opening *opening = ingest->setup.opening;
    if (streams_find(ingest->setup.streams, image->name, image->name_length) != NULL)
        return -1;
    if (ingest->setup.returns != NULL)
        return import_kept(ingest, class, image, request);
    struct homecoming *homecoming = opening_has_room(opening, class) ? homecoming_new() : NULL;
    uint32_t generation = streams_generation(ingest->setup.streams, image->name, image->name_length);
    int leaving = streams_leaving(ingest->setup.streams, image->name, image->name_length);
    struct stream *stream = homecoming != NULL
                                ? opening_make(opening, class, image->name, image->name_length, generation, leaving)
                                : NULL;
    if (stream == NULL) {
        homecoming_free(homecoming);
        return -2;
    }
    homecoming->image = image;
    homecoming->imported = true;
    streams_add(ingest->setup.streams, stream);
    opening_hand_over(opening, stream, homecoming, true);
    worker_wake(opening->workers[stream->worker]);
    return 0;
}

bool ingest_takeover(struct ingest *ingest, const struct record_takeover *record) {
    struct journal_command command = {.what = JOURNALED_TAKEOVER,
                                      .generation = record->generation,
                                      .version = record->takeover.version,
                                      .began = record->takeover.began,
                                      .step = record->takeover.step};
    memcpy(command.stream, record->name, record->n);
    snprintf(command.model, sizeof command.model, "%s", ingest->setup.config->models[record->model].name);
    uint64_t order;
    return append(ingest, JOURNAL_TAKEOVER, &command, &order);
}

static void tell_ended(struct ingest *ingest, const struct stream *stream, bool kept) {
    const char *kind = kept ? "evicted" : "ended";
    if (!publisher_would_tell(ingest->setup.publisher, kind))
        return; /* of many at once most are counted only */
    publisher_event(ingest->setup.publisher, kind, stream->name,
                    json_pack("{s:s, s:s, s:i, s:I}", "stream", stream->name, "class",
                              ingest->setup.config->classes[stream->class].name, "generation",
                              (int)stream->generation, "steps",
                              (json_int_t)atomic_load_explicit(&stream->steps, memory_order_relaxed)),
                    kept ? "stream %s has left memory for the disk" : "stream %s has ended", stream->name);
}

void ingest_ended(struct ingest *ingest, struct stream *stream, bool kept) {
    ingest->counters.ended += !kept;
    ingest->counters.evicted += kept;
    tell_ended(ingest, stream, kept);
    if (!kept)
        streams_left(ingest->setup.streams, stream);
    if (ingest->setup.returns != NULL)
        returns_left(ingest->setup.returns, stream);
    placement_release(ingest->setup.placement, stream);
    stream_free(stream);
}
