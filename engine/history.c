#include "engine/history.h"

#include "engine/time_policy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTE_BITS = 8 };

static size_t mask_bytes(int n_features) {
    return ((size_t)n_features + BYTE_BITS - 1) / BYTE_BITS;
}

struct history *history_new(int n_features, int kept, int pending) {
    assert(n_features > 0 && kept > 0 && pending > 0);
    struct history *history = calloc(1, sizeof *history);
    if (history == NULL)
        return NULL;
    size_t capacity = (size_t)kept + (size_t)pending;
    history->n_features = n_features;
    history->kept = kept;
    history->pending = pending;
    history->capacity = (int)capacity;
    history->t = calloc(capacity, sizeof *history->t);
    history->values = calloc(capacity * (size_t)n_features, sizeof *history->values);
    history->missing = calloc(capacity * mask_bytes(n_features), sizeof *history->missing);
    history->flags = calloc(capacity, sizeof *history->flags);
    if (history->t == NULL || history->values == NULL || history->missing == NULL || history->flags == NULL) {
        history_free(history);
        return NULL;
    }
    return history;
}

void history_free(struct history *history) {
    if (history == NULL)
        return;
    free(history->t);
    free(history->values);
    free(history->missing);
    free(history->flags);
    free(history->labels);
    free(history);
}

static size_t place(const struct history *history, uint64_t step) {
    assert(step >= history_oldest(history) && step <= history->n);
    return (size_t)(step % (uint64_t)history->capacity);
}

void history_append(struct history *history, int64_t t, const double *values, uint8_t flags) {
    const double *before = history->n > 0 ? history_values(history, history->n) : NULL;
    history->n++;
    size_t at = (size_t)(history->n % (uint64_t)history->capacity);
    size_t bytes = mask_bytes(history->n_features);
    double *row = history->values + at * (size_t)history->n_features;
    uint8_t *mask = history->missing + at * bytes;
    assert((flags & ~(STEP_GAP | STEP_RESET)) == 0);
    memset(mask, 0, bytes);
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

uint64_t history_oldest(const struct history *history) {
    uint64_t capacity = (uint64_t)history->capacity;
    return history->n > capacity ? history->n - capacity + 1 : 1;
}

int64_t history_time(const struct history *history, uint64_t step) {
    return history->t[place(history, step)];
}

const double *history_values(const struct history *history, uint64_t step) {
    return history->values + place(history, step) * (size_t)history->n_features;
}

uint8_t history_flags(const struct history *history, uint64_t step) {
    return history->flags[place(history, step)];
}

void history_pause(struct history *history, bool paused) {
    history->paused = paused;
}

static bool was_sent(const struct history *history, uint64_t step, int feature) {
    const uint8_t *mask = history->missing + place(history, step) * mask_bytes(history->n_features);
    return (mask[feature / BYTE_BITS] >> (feature % BYTE_BITS) & 1) == 0;
}

bool history_missing(const struct history *history, uint64_t step, int feature) {
    return (history_flags(history, step) & STEP_PAUSED) != 0 || !was_sent(history, step, feature);
}

double history_sent(const struct history *history, uint64_t step, int feature) {
    return was_sent(history, step, feature) ? history_values(history, step)[feature] : NAN;
}

double history_observed(const struct history *history, uint64_t step, int feature) {
    if (step < history_oldest(history) || step > history->n || history_missing(history, step, feature))
        return NAN;
    return history_values(history, step)[feature];
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
    history->labels[place(history, first)] = label;
    return first;
}

float history_label_of(const struct history *history, uint64_t step) {
    if (history->labels == NULL || step < history_oldest(history) || step > history->n)
        return NAN;
    return history->labels[place(history, step)];
}
