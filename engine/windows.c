#include "engine/windows_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* The longest part of a stream that judges, in windows; streams that are many have a shorter one. */
enum { VALIDATION_WINDOWS = 16 };

/* The share of a set's places that validation windows may take. */
static const double validation_places = 0.25;

/* So many times as many windows as there are places are looked at, about: of few some come together by chance. */
static const double spare = 4;

/* ---- a set ------------------------------------------------------------------------------------ */

uint64_t windows_stride(const struct config_model *model) {
    if (model->training.order == ORDER_STATEFUL)
        return (uint64_t)model->training.window;
    int stride = model->training.stride > 0 ? model->training.stride : model->training.window / 2;
    return stride > 0 ? (uint64_t)stride : 1;
}

/* With keys -log(u) / weight, of a stream whose weights sum to 1 about as many windows lie below a small key as it
 * says. */
static double highest_key(int places, int64_t streams, double windows_of_each) {
    return (double)streams * windows_of_each <= places ? INFINITY : spare * places / (double)streams;
}

struct windows *windows_new(const struct config_model *model, int max, int64_t streams, int steps) {
    assert(max > 0);
    struct windows *windows = calloc(1, sizeof *windows);
    if (windows == NULL)
        return NULL;
    int most = (int)fmax(1, validation_places * max);
    streams = streams > 0 ? streams : 1;
    windows->model = model;
    windows->validation.max = streams < most / VALIDATION_RUNS ? (int)streams * VALIDATION_RUNS : most;
    windows->training.max = max - windows->validation.max;
    windows->validation.highest = highest_key(windows->validation.max, streams, 1);
    windows->training.highest =
        highest_key(windows->training.max, streams, steps / (double)windows_stride(model) + 1);
    double each = floor(validation_places * max / (double)streams);
    windows->longest = (int)fmax(1, fmin(VALIDATION_WINDOWS, each)) * (model->training.window + model->horizon);
    windows->training.at = calloc((size_t)max, sizeof *windows->training.at);
    windows->validation.at = calloc((size_t)windows->validation.max, sizeof *windows->validation.at);
    if (windows->training.at != NULL && windows->validation.at != NULL)
        return windows;
    windows_free(windows);
    return NULL;
}

static void free_all(struct reservoir *reservoir) {
    for (int i = 0; i < reservoir->n; i++)
        free(reservoir->at[i].x);
    free(reservoir->at);
}

void windows_free(struct windows *windows) {
    if (windows == NULL)
        return;
    free_all(&windows->training);
    free_all(&windows->validation);
    free(windows);
}

int windows_count(const struct windows *windows) {
    return windows->validation.n + windows->training.n;
}

const struct window *windows_at(const struct windows *windows, int index) {
    const struct reservoir *validation = &windows->validation;
    return index < validation->n ? &validation->at[index] : &windows->training.at[index - validation->n];
}

uint64_t windows_left_out(const struct windows *windows) {
    return windows->left_out;
}

uint64_t windows_copied(const struct windows *windows) {
    return windows->copied;
}

/* ---- reservoirs ------------------------------------------------------------------------------- */

/* A total order: where keys are equal (runs of one window, or all windows of a stream), by stream, and the newest
 * first. */
static int compare(const struct window *a, const struct window *b) {
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->stream != b->stream)
        return a->stream < b->stream ? -1 : 1;
    return a->last > b->last ? -1 : a->last < b->last;
}

static void swap(struct window *a, struct window *b) {
    struct window kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(struct reservoir *reservoir, int i) {
    for (; i > 0 && compare(&reservoir->at[i], &reservoir->at[(i - 1) / 2]) > 0; i = (i - 1) / 2)
        swap(&reservoir->at[i], &reservoir->at[(i - 1) / 2]);
}

static void sift_down(struct reservoir *reservoir) {
    for (int i = 0;;) {
        int largest = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < reservoir->n; child++)
            if (compare(&reservoir->at[child], &reservoir->at[largest]) > 0)
                largest = child;
        if (largest == i)
            return;
        swap(&reservoir->at[i], &reservoir->at[largest]);
        i = largest;
    }
}

bool windows_wants(const struct windows *windows, const struct window *window) {
    const struct reservoir *reservoir = window->validation ? &windows->validation : &windows->training;
    return reservoir->n < reservoir->max || (reservoir->n > 0 && compare(window, &reservoir->at[0]) < 0);
}

void windows_add(struct windows *windows, const struct window *window) {
    struct reservoir *reservoir = window->validation ? &windows->validation : &windows->training;
    windows->copied++;
    if (reservoir->n < reservoir->max) {
        reservoir->at[reservoir->n++] = *window;
        sift_up(reservoir, reservoir->n - 1);
        return;
    }
    windows->left_out++;
    free(reservoir->at[0].x);
    reservoir->at[0] = *window;
    sift_down(reservoir);
}

/* ---- the windows of a job --------------------------------------------------------------------- */

static int compare_pointers(const void *a, const void *b) {
    return compare(*(const struct window *const *)a, *(const struct window *const *)b);
}

int windows_choose(struct windows *const *sets, int n_sets, bool validation, const struct window ***ret_windows,
                   int *ret_n) {
    size_t n = 0, max = 0;
    for (int s = 0; s < n_sets; s++) {
        const struct reservoir *reservoir = validation ? &sets[s]->validation : &sets[s]->training;
        n += (size_t)reservoir->n;
        max = (size_t)reservoir->max;
    }
    const struct window **all = calloc(n + 1, sizeof *all);
    if (all == NULL)
        return -1;
    n = 0;
    for (int s = 0; s < n_sets; s++) {
        const struct reservoir *reservoir = validation ? &sets[s]->validation : &sets[s]->training;
        for (int i = 0; i < reservoir->n; i++)
            all[n++] = &reservoir->at[i];
    }
    qsort(all, n, sizeof *all, compare_pointers);
    *ret_windows = all;
    *ret_n = (int)(n < max ? n : max);
    return 0;
}
