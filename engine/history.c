#include "engine/history.h"

#include "engine/time_policy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTE_BITS = 8 };

/* All of one: the struct, then what it points to, in the order of their alignments. */
static size_t block_size(size_t capacity, size_t n_features) {
    size_t mask = (n_features + BYTE_BITS - 1) / BYTE_BITS;
    return sizeof(struct history) + capacity * (sizeof(int64_t) + n_features * sizeof(double) + mask + 1);
}

struct history *history_new(int n_features, int kept, int pending) {
    assert(n_features > 0 && kept > 0 && pending > 0);
    size_t capacity = (size_t)kept + (size_t)pending, width = (size_t)n_features;
    struct history *history = calloc(1, block_size(capacity, width));
    if (history == NULL)
        return NULL;
    history->n_features = n_features;
    history->mask_bytes = (n_features + BYTE_BITS - 1) / BYTE_BITS;
    history->kept = kept;
    history->pending = pending;
    history->capacity = (int)capacity;
    history->at = capacity - 1;
    history->t = (int64_t *)(void *)(history + 1);
    history->values = (double *)(void *)(history->t + capacity);
    history->flags = (uint8_t *)(history->values + capacity * width);
    history->missing = history->flags + capacity;
    return history;
}

void history_free(struct history *history) {
    if (history == NULL)
        return;
    free(history->labels);
    free(history);
}

void history_append(struct history *history, int64_t t, const double *values, uint8_t flags) {
    const double *before = history->n > 0 ? history_values(history, history->n) : NULL;
    history->n++;
    size_t at = history->at = history->at + 1 == (size_t)history->capacity ? 0 : history->at + 1;
    double *row = history->values + at * (size_t)history->n_features;
    uint8_t *mask = history->missing + at * (size_t)history->mask_bytes;
    assert((flags & ~(STEP_GAP | STEP_RESET)) == 0);
    memset(mask, 0, (size_t)history->mask_bytes);
    for (int f = 0; f < history->n_features; f++) {
        row[f] = values[f];
        if (!isnan(values[f]))
            continue;
        row[f] = before != NULL ? before[f] : NAN;
        mask[f / BYTE_BITS] |= (uint8_t)(1 << (f % BYTE_BITS));
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
    if (history->labels == NULL)
        return -1;
    for (int i = 0; i < history->capacity; i++)
        history->labels[i] = NAN;
    return 0;
}

uint64_t history_label(struct history *history, int64_t t, float label) {
    uint64_t first = history_oldest(history), end = history->n + 1;
    if (history->labels == NULL)
        return 0;
    while (first < end) { /* times grow with the steps */
        uint64_t middle = first + (end - first) / 2;
        if (history_time(history, middle) < t)
            first = middle + 1;
        else
            end = middle;
    }
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
