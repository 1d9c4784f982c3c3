/* Which stream a tick, or a label, is of, whether it is taken, and its record to the worker. */
#include "daemon/ingest_internal.h"

#include "daemon/returns.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The feature of that name; -1: none. */
static int feature_of(const struct config_class *class, const char *name, size_t n) {
    for (int f = 0; f < class->n_features; f++)
        if (strlen(class->features[f]) == n && memcmp(class->features[f], name, n) == 0)
            return f;
    return -1;
}

/* The value of the feature that a field "NAME.q" of line protocol, if it is none itself, calls bad is missing. */
static void mark_bad(struct ingest *ingest, const struct config_class *class, const struct wire_text *field) {
    int f = feature_of(class, field->at, field->n) < 0 ? feature_of(class, field->at, field->n - 2) : -1;
    if (f < 0)
        return;
    ingest->values[f] = NAN;
    ingest->bad++;
}

static bool says_bad(const struct wire_tick *tick, int i) {
    const struct wire_text *name = &tick->names[i];
    return name->n > 2 && memcmp(name->at + name->n - 2, ".q", 2) == 0 && tick->values[i] == 0;
}

/* Puts the values of a tick in the order of the class' features. */
static enum reason order_values(struct ingest *ingest, const struct config_class *class,
                                const struct wire_tick *tick) {
    ingest->bad = tick->bad;
    if (!tick->named) {
        if (tick->n_values != class->n_features)
            return REASON_FEATURES;
        memcpy(ingest->values, tick->values, (size_t)tick->n_values * sizeof *tick->values);
        return REASON_NONE;
    }
    for (int f = 0; f < class->n_features; f++)
        ingest->values[f] = NAN;
    int known = 0, f = 0, quality = -1; /* the first of line protocol's fields that is one */
    for (int i = 0; i < tick->n_values; i++) {
        /* Senders keep an order: the search goes on where the last one ended. */
        const struct wire_text *name = &tick->names[i];
        int looked = 0;
        while (looked < class->n_features &&
               (strlen(class->features[f]) != name->n || memcmp(class->features[f], name->at, name->n) != 0)) {
            f = (f + 1) % class->n_features;
            looked++;
        }
        if (looked < class->n_features) {
            ingest->values[f] = tick->values[i];
            known++;
        } else if (!tick->lenient) {
            return REASON_FEATURES;
        } else if (quality < 0 && says_bad(tick, i)) {
            quality = i;
        }
    }
    for (int i = quality; i >= 0 && i < tick->n_values; i++)
        if (says_bad(tick, i))
            mark_bad(ingest, class, &tick->names[i]);
    return known > 0 ? REASON_NONE : REASON_FEATURES;
}

/* Whether a tick is one of the class, its values then being in order. By the time at which its message came and no
 * other, so that one that comes again from a journal is judged as it was. */
static enum reason judge(struct ingest *ingest, const struct config_class *class, const struct wire_tick *tick) {
    int64_t skew = class->max_clock_skew;
    if (skew > 0 && tick->has_time && tick->t > ingest->received &&
        (uint64_t)tick->t - (uint64_t)ingest->received > (uint64_t)skew)
        return REASON_AHEAD;
    return order_values(ingest, class, tick);
}

/* Where a tick goes: to the worker of a stream, or where it waits for one that is on its way back. */
struct target {
    int class;
    struct stream *stream; /* NULL: it is `returning` */
    struct returning *returning;
};

static void *reserve(struct ingest *ingest, const struct target *to, size_t n) {
    return to->stream != NULL ? ring_reserve(ingest_ring(ingest, to->stream->worker), n, WORKER_COMMAND_SPARE)
                              : returns_reserve(ingest->setup.returns, to->returning, n);
}

static void commit(struct ingest *ingest, const struct target *to, size_t n) {
    if (to->stream == NULL) {
        returns_commit(ingest->setup.returns, ingest->order, ingest->kept || ingest->replays ? ingest->nth : 0);
        return;
    }
    ring_commit(ingest_ring(ingest, to->stream->worker), n);
    ingest->touched[to->stream->worker] = true;
    if (to->stream->used != ingest->second)
        to->stream->used = ingest->second;
}

/* Opens a stream for the tick. PARKED while some worker may have no room for the opening and the tick behind it. */
static enum routed open_stream(struct ingest *ingest, struct wire_text name, struct target *to,
                               enum reason *ret_reason) {
    struct opening *opening = ingest->setup.opening;
    if (!opening_has_room(opening, to->class))
        return PARKED;
    uint32_t generation = streams_generation(ingest->setup.streams, name.at, name.n);
    int leaving = streams_leaving(ingest->setup.streams, name.at, name.n);
    to->stream = opening_make(opening, to->class, name.at, name.n, generation, leaving);
    if (to->stream == NULL) {
        *ret_reason = REASON_NO_MEMORY;
        return REFUSED;
    }
    streams_add(ingest->setup.streams, to->stream);
    opening_hand_over(opening, to->stream, NULL, false);
    ingest->touched[to->stream->worker] = true;
    return ROUTED;
}

/* The tick at hand, which may stand in the journal, is refused for what another start may find otherwise. */
static enum routed refuse(struct ingest *ingest, enum reason reason, enum reason *ret_reason) {
    *ret_reason = reason;
    return ingest->replays || ingest_keep_refusal(ingest, reason) ? REFUSED : PARKED;
}

/* Whether there are as many streams of the class as may be. Who comes from the journal was one of them: what is there now is
 * not what was there then, and those that were refused stand there as refused. */
static bool is_full(const struct ingest *ingest, int class) {
    int64_t streams = streams_count_of(ingest->setup.streams, class);
    if (ingest->setup.returns != NULL)
        streams += returns_count_of(ingest->setup.returns, class);
    return !ingest->replays && streams >= ingest->setup.config->classes[class].max_streams;
}

/* A name of which nothing is in memory. */
static enum routed find_elsewhere(struct ingest *ingest, struct wire_text name, struct target *to,
                                  enum reason *ret_reason) {
    if (is_full(ingest, to->class))
        return refuse(ingest, REASON_STREAM_LIMIT, ret_reason);
    if (ingest->n_models[to->class] == 0) {
        *ret_reason = REASON_NO_MODEL;
        return REFUSED;
    }
    if (ingest->setup.returns == NULL)
        return open_stream(ingest, name, to, ret_reason);
    to->returning = returns_begin(ingest->setup.returns, to->class, name.at, name.n);
    return to->returning != NULL ? ROUTED : refuse(ingest, REASON_NO_MEMORY, ret_reason);
}

/* Of a stream that is in memory (`found`), or on its way there. */
static bool find_known(const struct ingest *ingest, struct stream *found, struct wire_text name,
                       struct target *ret_to) {
    *ret_to = (struct target){.stream = found};
    if (ret_to->stream == NULL && ingest->setup.returns != NULL)
        ret_to->returning = returns_find(ingest->setup.returns, name.at, name.n);
    if (ret_to->stream != NULL)
        ret_to->class = ret_to->stream->class;
    else if (ret_to->returning != NULL)
        ret_to->class = returning_class(ret_to->returning);
    return ret_to->stream != NULL || ret_to->returning != NULL;
}

/* -1: the name belongs to none. */
static int class_of(const struct ingest *ingest, struct wire_text name) {
    char text[WIRE_MAX_NAME + 1];
    assert(name.n <= WIRE_MAX_NAME); /* the wire has checked it */
    memcpy(text, name.at, name.n);
    text[name.n] = '\0';
    return streams_class_of(ingest->setup.streams, text);
}

static enum routed find_stream(struct ingest *ingest, struct wire_text name, struct target *ret_to,
                               enum reason *ret_reason) {
    if (find_known(ingest, ahead_find(&ingest->ahead, ingest->setup.streams, name), name, ret_to))
        return ROUTED;
    ret_to->class = class_of(ingest, name);
    if (ret_to->class < 0) {
        *ret_reason = REASON_NO_CLASS;
        return REFUSED;
    }
    /* A tick that will be refused opens no stream. */
    *ret_reason = judge(ingest, &ingest->setup.config->classes[ret_to->class], &ingest->tick);
    if (*ret_reason != REASON_NONE)
        return REFUSED;
    return find_elsewhere(ingest, name, ret_to, ret_reason);
}

/* That of the tick, which has its number. */
static struct arrival arrival_of(const struct ingest *ingest) {
    if (ingest->source == SOURCE_ACKNOWLEDGED)
        return (struct arrival){.source = ingest->origin.source,
                                .number = ingest->origin.first + ingest->passed - 1,
                                .received = ingest->received};
    return (struct arrival){
        .source = (uint32_t)ingest->source, .number = ingest->numbers[ingest->source], .received = ingest->received};
}

/* Who is told if it is refused. */
static uint32_t producer_of(const struct ingest *ingest) {
    bool told = ingest->source == SOURCE_ACKNOWLEDGED &&
                ingest->origin.first + ingest->passed - 1 >= ingest->origin.told_from;
    return told ? ingest->origin.mark : 0;
}

/* While the disk fails, or cannot read a stream, who may be there does not come back, and does not begin anew; nobody else
 * waits for that. */
static enum routed without_room(struct ingest *ingest, const struct target *to, enum reason *ret_reason) {
    bool held = to->stream == NULL && returning_is_held(to->returning);
    if (to->stream != NULL || (!held && !ingest->setup.degraded(ingest->setup.store)))
        return PARKED;
    return refuse(ingest, held ? REASON_UNREADABLE : REASON_DISK, ret_reason);
}

static bool is_label_of(const struct ingest *ingest, int class, int64_t label) {
    return class >= 0 && label >= 0 && label < ingest->setup.config->classes[class].labels;
}

/* A label opens no stream; but one that is on disk comes back for it. */
static enum routed find_labelled(struct ingest *ingest, struct target *ret_to, enum reason *ret_reason) {
    const struct wire_tick *tick = &ingest->tick;
    bool known = find_known(ingest, streams_find(ingest->setup.streams, tick->stream.at, tick->stream.n),
                            tick->stream, ret_to);
    if (!known)
        ret_to->class = class_of(ingest, tick->stream);
    *ret_reason = REASON_LABEL;
    if (!is_label_of(ingest, ret_to->class, tick->label))
        return REFUSED;
    if (known)
        return ROUTED;
    return ingest->setup.returns != NULL ? find_elsewhere(ingest, tick->stream, ret_to, ret_reason) : REFUSED;
}

static enum routed route_label(struct ingest *ingest, enum reason *ret_reason) {
    const struct wire_tick *tick = &ingest->tick;
    struct target to;
    enum routed found = find_labelled(ingest, &to, ret_reason);
    if (found != ROUTED)
        return found;
    struct record_label *record = reserve(ingest, &to, sizeof *record);
    if (record == NULL)
        return without_room(ingest, &to, ret_reason);
    *record = (struct record_label){.kind = RECORD_LABEL,
                                    .producer = producer_of(ingest),
                                    .stream = to.stream,
                                    .order = ingest->order,
                                    .t = tick->t,
                                    .number = arrival_of(ingest).number,
                                    .label = (float)tick->label};
    commit(ingest, &to, sizeof *record);
    ingest->counters.labels++;
    return ROUTED;
}

/* An interval is open that the clock is to close. */
static void note_open(struct ingest *ingest, const struct target *to, int64_t t) {
    const struct time_policy_spec *spec = &ingest->setup.config->classes[to->class].time;
    const struct wire_text name = ingest->tick.stream;
    if (to->stream != NULL)
        closer_note(ingest->closer, to->stream, spec, t, ingest->received);
    else
        closer_note_away(ingest->closer, to->class, name.at, name.n, spec, closer_end_of(spec, t), ingest->received);
}

enum routed ingest_route(struct ingest *ingest, enum reason *ret_reason) {
    const struct wire_tick *tick = &ingest->tick;
    if (tick->is_label)
        return route_label(ingest, ret_reason);
    struct target to;
    enum routed found = find_stream(ingest, tick->stream, &to, ret_reason);
    if (found != ROUTED)
        return found;
    const struct config_class *class = &ingest->setup.config->classes[to.class];
    *ret_reason = judge(ingest, class, tick);
    if (*ret_reason != REASON_NONE)
        return REFUSED;
    size_t n = opening_tick_bytes(ingest->setup.config, to.class);
    struct record_tick *record = reserve(ingest, &to, n);
    if (record == NULL)
        return without_room(ingest, &to, ret_reason);
    int64_t t = tick->has_time ? tick->t : ingest->received;
    record->kind = RECORD_TICK;
    record->producer = producer_of(ingest);
    record->stream = to.stream;
    record->order = ingest->order;
    record->t = t;
    ingest->numbers[ingest->source]++;
    record->arrival = arrival_of(ingest);
    memcpy(record->values, ingest->values, (size_t) class->n_features * sizeof(double));
    commit(ingest, &to, n);
    ingest->counters.ticks++;
    ingest->counters.bad += (uint64_t)ingest->bad;
    if (class->time.close_after > 0)
        note_open(ingest, &to, t);
    return ROUTED;
}
