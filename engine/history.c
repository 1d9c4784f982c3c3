#include "engine/history.h"

#include "engine/time_policy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTE_BITS = 8 };

static size_t whole_lines(size_t bytes) {
    return (bytes + HISTORY_LINE - 1) / HISTORY_LINE * HISTORY_LINE;
}

/* Of each step, beside time and values. */
static size_t mark_bytes(int n_features) {
    return 1 + ((size_t)n_features + BYTE_BITS - 1) / BYTE_BITS;
}

static void forget_labels(struct history *history) {
    for (int i = 0; history->labels != NULL && i < history->capacity; i++)
        history->labels[i] = NAN;
}

/* The struct, then flags and masks, then times, then values: each begins a line. */
size_t history_size(int n_features, int kept, int pending) {
    size_t capacity = (size_t)kept + (size_t)pending;
    return sizeof(struct history) + whole_lines(capacity * mark_bytes(n_features)) +
           whole_lines(capacity * sizeof(int64_t)) + whole_lines(capacity * (size_t)n_features * sizeof(double));
}

void history_init(struct history *history, int n_features, int kept, int pending) {
    assert(n_features > 0 && kept > 0 && pending > 0);
    size_t capacity = (size_t)kept + (size_t)pending, marks = capacity * mark_bytes(n_features);
    uint8_t *behind = (uint8_t *)(history + 1);
    memset(history, 0, sizeof *history + marks); /* the rest is better not touched before it is needed */
    history->n_features = n_features;
    history->mask_bytes = (n_features + BYTE_BITS - 1) / BYTE_BITS;
    history->kept = kept;
    history->pending = pending;
    history->capacity = (int)capacity;
    history->at = (uint32_t)capacity - 1;
    history->flags = behind;
    history->missing = behind + capacity;
    history->t = (int64_t *)(void *)(behind + whole_lines(marks));
    history->values = (double *)(void *)((char *)history->t + whole_lines(capacity * sizeof *history->t));
}

void history_renew(struct history *history) {
    float *labels = history->labels;
    history_init(history, history->n_features, history->kept, history->pending);
    history->labels = labels;
    forget_labels(history);
}

void history_fini(struct history *history) {
    free(history->labels);
}

struct history *history_new(int n_features, int kept, int pending) {
    struct history *history = aligned_alloc(HISTORY_LINE, history_size(n_features, kept, pending));
    if (history != NULL)
        history_init(history, n_features, kept, pending);
    return history;
}

void history_free(struct history *history) {
    if (history == NULL)
        return;
    history_fini(history);
    free(history);
}

/* Feature f of the newest step, which had none, is as it was before. */
static void impute(struct history *history, int f) {
    size_t at = history->at;
    bool held = history_oldest(history) < history->n;
    history->values[at * (size_t)history->n_features + (size_t)f] =
        held ? history_values(history, history->n - 1)[f] : (double)NAN;
    history->missing[at * (size_t)history->mask_bytes + (size_t)(f / BYTE_BITS)] |= (uint8_t)(1 << (f % BYTE_BITS));
}

void history_append(struct history *history, int64_t t, const double *values, uint8_t flags) {
    assert((flags & (STEP_IMPUTED | STEP_PAUSED)) == 0);
    history->n++;
    size_t at = history->at = history->at + 1 == (uint32_t)history->capacity ? 0 : history->at + 1;
    if ((history->flags[at] & STEP_IMPUTED) != 0)
        memset(history->missing + at * (size_t)history->mask_bytes, 0, (size_t)history->mask_bytes);
    double *row = history->values + at * (size_t)history->n_features;
    for (int f = 0; f < history->n_features; f++) {
        row[f] = values[f];
        if (!isnan(values[f]))
            continue;
        impute(history, f);
        flags |= STEP_IMPUTED;
    }
    if (history->labels != NULL)
        history->labels[at] = NAN;
    history->t[at] = t;
    history->flags[at] = (uint8_t)(flags | (history->paused ? STEP_PAUSED : 0));
}

void history_reset(struct history *history) {
    history->reset = history->n;
}

bool history_begins_anew(const struct history *history, uint64_t step, int64_t reset_every) {
    if ((history_flags(history, step) & STEP_RESET) != 0)
        return true;
    return reset_every > 0 && step > history_oldest(history) &&
           time_interval_start(history_time(history, step), reset_every) !=
               time_interval_start(history_time(history, step - 1), reset_every);
}

void history_pause(struct history *history, bool paused) {
    history->paused = paused;
}

/* ---- labels ----------------------------------------------------------------------------------- */

int history_keep_labels(struct history *history) {
    history->labels = malloc((size_t)history->capacity * sizeof *history->labels);
    forget_labels(history);
    return history->labels != NULL ? 0 : -1;
}

/* The first step that it holds with a time of t or later; n + 1: it holds none. */
static uint64_t first_from(const struct history *history, int64_t t) {
    uint64_t first = history_oldest(history), end = history->n + 1;
    while (first < end) { /* times do not go back */
        uint64_t middle = first + (end - first) / 2;
        if (history_time(history, middle) < t)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

uint64_t history_step_until(const struct history *history, int64_t t) {
    uint64_t behind = t < INT64_MAX ? first_from(history, t + 1) : history->n + 1;
    return behind > history_oldest(history) ? behind - 1 : 0;
}

uint64_t history_label(struct history *history, int64_t t, float label) {
    uint64_t first = history->labels != NULL ? first_from(history, t) : history->n + 1;
    if (first > history->n || history_time(history, first) != t)
        return 0;
    history->labels[history_place(history, first)] = label;
    return first;
}

float history_label_of(const struct history *history, uint64_t step) {
    if (history->labels == NULL || step < history_oldest(history) || step > history->n)
        return NAN;
    return history->labels[history_place(history, step)];
}

/* ---- images ------------------------------------------------------------------------------------- */

enum { STATE_FORMAT = 1, STEPS_FORMAT = 1 };
static const uint64_t most_steps = UINT64_MAX / 4;

/* The labels of the latest steps, as many as it has room for. */
static void serialize_labels(struct history *history, struct image_io *io) {
    uint64_t room = (uint64_t)history->capacity, n = history->labels == NULL ? 0
                                                     : history->n < room     ? history->n
                                                                             : room;
    image_number(io, &n, history->n, sizeof *history->labels, "more labels than steps");
    for (uint64_t back = n; back > 0; back--) {
        bool held = history->labels != NULL && back <= room;
        float label, *at = held ? &history->labels[history_place(history, history->n + 1 - back)] : &label;
        image_io(io, at, 1);
    }
}

void history_serialize(struct history *history, struct image_io *io) {
    struct image_io section;
    uint32_t n_features = (uint32_t)history->n_features;
    image_enter(io, "hist", STATE_FORMAT, &section);
    image_io(&section, &n_features, 1);
    if (image_reads(io) && image_check(&section, true, "") && n_features != (uint32_t)history->n_features)
        image_refuse(&section, "the image is of a stream of %u features, and its class has %d", n_features,
                     history->n_features);
    image_count(&section, &history->n, most_steps, "too many steps");
    image_count(&section, &history->reset, history->n, "a reset behind the newest step");
    image_bool(&section, &history->paused);
    serialize_labels(history, &section);
    if (image_reads(io))
        history->first = history->n + 1;
    image_leave(io, &section);
}

/* A run of steps, of which those within first .. last are held. */
struct block {
    uint64_t from, to, first, last;
};

/* What the ring has of each step, n numbers of a width. */
static void serialize_column(const struct history *history, const struct block *block, void *ring, size_t n,
                             size_t width, struct image_io *io) {
    size_t bytes = n * width, held = (size_t)(block->last + 1 - block->first);
    size_t place = history_place(history, block->first), room = (size_t)history->capacity - place;
    size_t run = held < room ? held : room;
    image_skip(io, (size_t)(block->first - block->from) * bytes);
    image_numbers(io, (uint8_t *)ring + place * bytes, run * n, width);
    image_numbers(io, ring, (held - run) * n, width);
    image_skip(io, (size_t)(block->to - block->last) * bytes);
}

static void serialize_steps(const struct history *history, const struct block *block, struct image_io *io) {
    serialize_column(history, block, history->t, 1, sizeof *history->t, io);
    serialize_column(history, block, history->values, (size_t)history->n_features, sizeof *history->values, io);
    serialize_column(history, block, history->missing, (size_t)history->mask_bytes, 1, io);
    serialize_column(history, block, history->flags, 1, 1, io);
}

void history_save(const struct history *history, uint64_t from, uint64_t to, struct image_io *io) {
    assert(from >= history_oldest(history) && from <= to && to <= history->n);
    struct image_io section;
    uint32_t n_features = (uint32_t)history->n_features, n = (uint32_t)(to + 1 - from);
    image_enter(io, "step", STEPS_FORMAT, &section);
    image_io(&section, &n_features, 1);
    image_io(&section, &from, 1);
    image_io(&section, &n, 1);
    serialize_steps(history, &(struct block){from, to, from, to}, &section);
    image_leave(io, &section);
}

void history_load(struct history *history, struct image_io *io) {
    struct image_io section;
    uint32_t n_features = 0, n = 0;
    uint64_t from = 0, oldest = history_oldest(history), room = (uint64_t)history->capacity;
    uint64_t least = history->n > room ? history->n - room + 1 : 1;
    image_enter(io, "step", STEPS_FORMAT, &section);
    image_io(&section, &n_features, 1);
    image_count(&section, &from, most_steps, "steps that cannot be");
    image_io(&section, &n, 1);
    if (image_check(&section, from > 0 && n > 0, "no steps") && n_features != (uint32_t)history->n_features)
        image_refuse(&section, "the steps are of %u features, and the stream has %d", n_features,
                     history->n_features);
    struct block block = {.from = from, .to = from + n - 1};
    if (image_ok(&section) && (block.to + 1 < oldest || from > history->n))
        image_refuse(&section, "steps %llu to %llu do not reach up to step %llu, which is the next that is needed",
                     (unsigned long long)from, (unsigned long long)block.to, (unsigned long long)oldest - 1);
    block.first = from > least ? from : least;
    block.last = block.to < history->n ? block.to : history->n;
    if (image_ok(&section) && block.first <= block.last) {
        serialize_steps(history, &block, &section);
        oldest = block.first < oldest ? block.first : oldest;
        history->first = oldest > least ? oldest : 0;
    } else {
        image_skip(&section, (size_t)(section.end - section.at));
    }
    image_leave(io, &section);
}
