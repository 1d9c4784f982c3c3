#include "engine/windows.h"

#include "engine/random.h"

#include <assert.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The longest part that judges, in windows; and the most runs between resets that it is made of. */
enum { VALIDATION_WINDOWS = 16, VALIDATION_RUNS = 4 };

struct windows {
    const struct config_model *model;
    double keep;
    int n, max;
    uint64_t left_out;
    struct window *window; /* [max] */
};

/* The share of a set's places that validation windows may take. */
static const double validation_places = 0.25;

struct windows *windows_new(const struct config_model *model, int max, double keep) {
    assert(max > 0);
    struct windows *windows = calloc(1, sizeof *windows);
    if (windows == NULL)
        return NULL;
    windows->model = model;
    windows->keep = keep;
    windows->max = max;
    windows->window = calloc((size_t)max, sizeof *windows->window);
    if (windows->window == NULL) {
        free(windows);
        return NULL;
    }
    return windows;
}

void windows_free(struct windows *windows) {
    if (windows == NULL)
        return;
    for (int i = 0; i < windows->n; i++)
        free(windows->window[i].x);
    free(windows->window);
    free(windows);
}

int windows_count(const struct windows *windows) {
    return windows->n;
}

const struct window *windows_at(const struct windows *windows, int index) {
    return &windows->window[index];
}

uint64_t windows_left_out(const struct windows *windows) {
    return windows->left_out;
}

/* Steps between the ends of two windows of a stream: they overlap by half. */
static uint64_t stride_of(const struct config_model *model) {
    int stride = model->training.window / 2;
    return stride > 0 ? (uint64_t)stride : 1;
}

/* Training windows of a stream of so many steps, about. */
static double windows_each(const struct config_model *model, double steps) {
    return steps / (double)stride_of(model) + 1;
}

double windows_keep(const struct config_model *model, int max, int64_t streams, int kept) {
    double all = windows_each(model, kept) * (double)streams;
    return all <= (1 - validation_places) * max ? 1 : (1 - validation_places) * max / all;
}

/* The fewest steps that make a window worth copying: some origins behind the burn-in, and their answers. */
static uint64_t fewest_steps(const struct config_model *model) {
    return (uint64_t)(model->training.burn_in + model->horizon) + 1;
}

/* The share of validation windows that is taken, one a stream, so that they fill their share of the places: of a few
 * streams each one, as without any a job could never be judged. */
static double validation_keep(const struct windows *windows, const struct windows_cursor *cursor) {
    double each = windows_each(windows->model, (double)(cursor->seen + 1 - cursor->oldest));
    return windows->keep < 1 ? windows->keep * each * validation_places / (1 - validation_places) : 1;
}

static uint64_t window_hash(const struct config_model *model, uint64_t stream, uint64_t step) {
    return rng_hash(model->seed ^ stream, &step, sizeof step);
}

bool windows_begin(struct windows_cursor *cursor, const struct config_model *model, const char *stream,
                   const struct history *history, uint64_t seen) {
    uint64_t kept = (uint64_t)history->kept;
    uint64_t oldest = seen > kept ? seen - kept + 1 : 1;
    if (history->reset + 1 > oldest)
        oldest = history->reset + 1;
    uint64_t n = seen + 1 > oldest ? seen + 1 - oldest : 0;
    uint64_t held_back = (uint64_t)ceil((double)n * model->training.validation);
    if (n < fewest_steps(model) + held_back || held_back <= (uint64_t)model->horizon)
        return false;

    uint64_t split = seen - held_back, stride = stride_of(model);
    uint64_t name = rng_hash(model->seed, stream, strlen(stream));
    /* Ends are aligned to the step number, each stream at an offset of its own. */
    uint64_t back = (split + stride - name % stride) % stride;
    *cursor = (struct windows_cursor){
        .stream = name,
        .oldest = oldest,
        .seen = seen,
        .split = split,
        .end = split + 1 >= back + oldest + fewest_steps(model) ? split - back : split,
    };
    return true;
}

static bool allocate_window(struct window *window, const struct config_model *model) {
    size_t n = (size_t)window->n, n_inputs = (size_t)model->n_inputs, n_targets = (size_t)model->n_targets;
    size_t before = (size_t)window->before * n_targets;
    window->x = malloc((n * (n_inputs + 2 * n_targets) + before) * sizeof *window->x);
    if (window->x == NULL)
        return false;
    window->base = window->x + n * n_inputs;
    window->z = window->base + n * n_targets + before;
    return true;
}

/* A scaled target: NaN, as if missing, where it or a difference of two is more than a float holds. One infinite error
 * would be the mean of all. */
static float target_of(double z) {
    return fabs(z) <= (double)FLT_MAX / 2 ? (float)z : NAN;
}

static void fill_window(const struct window *window, const struct config_model *model, const struct history *history,
                        uint64_t first, const struct scaler *scalers) {
    for (int i = -window->before; i < window->n; i++) {
        uint64_t step = first + (uint64_t)(int64_t)i;
        const double *values = history_values(history, step);
        for (int k = 0; i >= 0 && k < model->n_inputs; k++)
            window->x[i * model->n_inputs + k] =
                scaler_scale(model->scaler, &scalers[model->inputs[k]], values[model->inputs[k]]);
        for (int j = 0; j < model->n_targets; j++) {
            int f = model->targets[j];
            double origin = scaler_unscale(model->scaler, &scalers[f], 0);
            double unit = scaler_unit(model->scaler, &scalers[f]);
            ptrdiff_t at = (ptrdiff_t)i * model->n_targets + j;
            window->z[at] = target_of((history_observed(history, step, f) - origin) / unit);
            if (i >= 0)
                window->base[at] = target_of((values[f] - origin) / unit);
        }
    }
}

/* Copies steps first..last, scored from step score_from on, if the set has a place for it. */
static void add_window(struct windows *windows, const struct history *history, const struct scaler *scalers,
                       uint64_t first, uint64_t last, uint64_t score_from, int before, bool validation) {
    struct window *window = &windows->window[windows->n < windows->max ? windows->n : 0];
    struct window made = {.n = (int)(last - first + 1),
                          .before = before,
                          .score_from = (int)(score_from - first),
                          .validation = validation};
    if (windows->n == windows->max || !allocate_window(&made, windows->model)) {
        windows->left_out++;
        return;
    }
    fill_window(&made, windows->model, history, first, scalers);
    *window = made;
    windows->n++;
}

/* Steps that windows are cut from. */
struct span {
    uint64_t oldest;      /* that anything may look at */
    uint64_t first, last; /* of the windows */
    uint64_t score_from;
    uint64_t ends_after; /* runs that end here, or before, are left to others */
    int most;            /* runs, the newest */
    bool validation;
};

/* Copies one window for each run between two resets by gap or time. */
static void add_runs(struct windows *windows, const struct history *history, const struct scaler *scalers,
                     const struct span *span) {
    const struct config_model *model = windows->model;
    /* Steps may have left the ring since the choice was made: windows that reach back so far are left out. */
    if (span->first < history_oldest(history)) {
        windows->left_out++;
        return;
    }
    uint64_t oldest = span->oldest > history_oldest(history) ? span->oldest : history_oldest(history);
    uint64_t last = span->last;
    for (int n = 0; last >= span->first && last > span->ends_after && n < span->most;) {
        uint64_t first = last;
        while (first > span->first && !history_begins_anew(history, first, model->reset_every))
            first--;
        uint64_t score_from = first > span->score_from ? first : span->score_from, before = 0;
        /* Where states begin anew the season does not. */
        if (span->validation && first > span->first)
            before = first - oldest < (uint64_t)model->period ? first - oldest : (uint64_t)model->period;
        if (score_from + (uint64_t)model->horizon <= last) {
            add_window(windows, history, scalers, first, last, score_from, (int)before, span->validation);
            n++;
        }
        last = first - 1;
    }
}

/* The newest part, behind as much context as warms the state and shows one season. */
static void add_validation(struct windows *windows, const struct windows_cursor *cursor,
                           const struct history *history, const struct scaler *scalers) {
    const struct config_model *model = windows->model;
    uint64_t context = (uint64_t)model->training.window;
    if ((uint64_t)(model->period + model->horizon) > context)
        context = (uint64_t)(model->period + model->horizon);
    /* Copied in one go, between two advances: of a very long part the newest must do. */
    uint64_t most = VALIDATION_WINDOWS * (uint64_t)(model->training.window + model->horizon);
    uint64_t from = cursor->seen - cursor->split > most ? cursor->seen - most : cursor->split;
    uint64_t first = from > cursor->oldest + context ? from - context : cursor->oldest;
    const struct span span = {.oldest = cursor->oldest,
                              .first = first,
                              .last = cursor->seen,
                              .score_from = from,
                              .ends_after = from,
                              .most = VALIDATION_RUNS,
                              .validation = true};
    add_runs(windows, history, scalers, &span);
}

/* The training window that ends at cursor->end; the oldest one of a stream may be shorter. Of runs between resets, those
 * that end behind the window before: it has the others. */
static void add_training(struct windows *windows, const struct windows_cursor *cursor, const struct history *history,
                         const struct scaler *scalers) {
    const struct config_model *model = windows->model;
    uint64_t length = (uint64_t)(model->training.window + model->horizon);
    uint64_t first = cursor->end + 1 > cursor->oldest + length ? cursor->end + 1 - length : cursor->oldest;
    /* At the very beginning of a stream, or behind a reset, the zero state is the true one: nothing to warm. */
    bool true_start = first == history->reset + 1 ||
                      (first >= history_oldest(history) && history_begins_anew(history, first, model->reset_every));
    const struct span span = {.oldest = cursor->oldest,
                              .first = first,
                              .last = cursor->end,
                              .score_from = first + (true_start ? 0 : (uint64_t)model->training.burn_in),
                              .ends_after = cursor->end > stride_of(model) ? cursor->end - stride_of(model) : 0,
                              .most = INT_MAX};
    add_runs(windows, history, scalers, &span);
}

bool windows_copy(struct windows *windows, struct windows_cursor *cursor, const struct history *history,
                  const struct scaler *scalers) {
    const struct config_model *model = windows->model;
    uint64_t stride = stride_of(model);
    bool chosen;
    if (!cursor->validation_done) {
        cursor->validation_done = true;
        chosen = (double)window_hash(model, cursor->stream, 0) < validation_keep(windows, cursor) * 0x1p64;
        if (chosen)
            add_validation(windows, cursor, history, scalers);
        return true;
    }
    if (cursor->end + 1 < cursor->oldest + fewest_steps(model))
        return false;
    chosen = (double)window_hash(model, cursor->stream, cursor->end) < windows->keep * 0x1p64;
    if (chosen)
        add_training(windows, cursor, history, scalers);
    if (cursor->end < cursor->oldest + stride)
        return false;
    cursor->end -= stride;
    return true;
}
