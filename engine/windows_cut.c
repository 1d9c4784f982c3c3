#include "engine/windows_internal.h"

#include "engine/event.h"
#include "engine/head.h"
#include "engine/lane.h"
#include "engine/random.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The fewest steps that make a window worth copying: some origins behind the burn-in, and their answers. */
static uint64_t fewest_steps(const struct config_model *model) {
    return (uint64_t)(model->training.burn_in + model->horizon) + 1;
}

static uint64_t held_back_of(const struct config_model *model, uint64_t n) {
    return (uint64_t)ceil((double)n * model->training.validation);
}

/* Whether of n steps some are learnt from and some judge; between the last answer that is trained on and the first
 * forecast that is judged lies one horizon, an embargo. */
static bool is_enough(const struct config_model *model, uint64_t n) {
    uint64_t held_back = held_back_of(model, n), embargo = (uint64_t)model->horizon;
    return n >= fewest_steps(model) + held_back + embargo && held_back > (uint64_t)model->horizon;
}

uint64_t windows_fewest_steps(const struct config_model *model) {
    uint64_t n = fewest_steps(model);
    while (!is_enough(model, n))
        n++;
    return n;
}

bool windows_begin(struct windows_cursor *cursor, const struct config_model *model, const char *stream,
                   const struct history *history, uint64_t seen) {
    uint64_t oldest = seen + 1 - history_reach(history, seen);
    if (history->reset + 1 > oldest)
        oldest = history->reset + 1;
    uint64_t n = seen + 1 > oldest ? seen + 1 - oldest : 0, held_back = held_back_of(model, n);
    if (!is_enough(model, n))
        return false;

    uint64_t known = seen - held_back - (uint64_t)model->horizon, stride = windows_stride(model);
    uint64_t name = rng_hash(model->seed, stream, strlen(stream));
    /* Ends are aligned to the step number, each stream at an offset of its own; not where they follow each other. */
    uint64_t back = model->training.order == ORDER_STATEFUL ? 0 : (known + stride - name % stride) % stride;
    *cursor = (struct windows_cursor){
        .stream = name,
        .oldest = oldest,
        .seen = seen,
        .split = seen - held_back,
        .known = known,
        .end = known + 1 >= back + oldest + fewest_steps(model) ? known - back : known,
    };
    return true;
}

static bool allocate_window(struct window *window, const struct config_model *model) {
    size_t n = (size_t)window->n, n_inputs = (size_t)config_network_inputs(model),
           n_targets = (size_t)head_targets(model);
    size_t floats = n * (n_inputs + 2 * n_targets) + (size_t)window->before * n_targets;
    window->x = malloc(floats * sizeof *window->x + n * sizeof *window->flags);
    if (window->x == NULL)
        return false;
    window->base = window->x + n * n_inputs;
    window->z = window->base + (n + (size_t)window->before) * n_targets;
    window->flags = (uint8_t *)(window->x + floats);
    return true;
}

/* A scaled target: NaN, as if missing, where it or a difference of two is more than a float holds. One infinite error
 * would be the mean of all. */
static float target_of(double z) {
    return fabs(z) <= (double)FLT_MAX / 2 ? (float)z : NAN;
}

/* An input as the network will see it; where each sample is scaled by itself that comes later (chunk_fill), and
 * nothing is clipped yet, nor is what is missing the mean. */
static float input_of(enum scaler_kind kind, const struct scaler *scaler, double x) {
    return kind == SCALER_WINDOW ? target_of((x - scaler->mean) / scaler_unit(kind, scaler))
                                 : scaler_scale(kind, scaler, x);
}

static void fill_window(const struct window *window, const struct config_model *model, const struct history *history,
                        uint64_t first, const struct scaler *scalers) {
    for (int i = -window->before; i < window->n; i++) {
        uint64_t step = first + (uint64_t)(int64_t)i;
        const double *values = history_values(history, step);
        float *x = window->x + (ptrdiff_t)i * config_network_inputs(model);
        for (int k = 0; i >= 0 && k < model->n_inputs; k++) {
            int f = model->inputs[k];
            x[k] = input_of(model->scaler, &scalers[f], lane_value(model, &scalers[f], history, step, f));
            if (model->missing == MISSING_MASK)
                x[model->n_inputs + k] = isnan(history_sent(history, step, f)) ? 0.0F : 1.0F;
        }
        if (model->head == HEAD_EVENT) {
            float label = history_label_of(history, step);
            window->z[i] = event_is_label(model->classes, (double)label) ? label : NAN;
            if (i >= 0)
                window->base[i] = 0;
        }
        for (int j = 0; j < model->n_targets; j++) {
            int f = model->targets[j];
            double origin = scaler_unscale(head_scaler(model), &scalers[f], 0);
            double unit = scaler_unit(head_scaler(model), &scalers[f]);
            ptrdiff_t at = (ptrdiff_t)i * model->n_targets + j;
            window->z[at] = target_of((history_observed(history, step, f) - origin) / unit);
            if (i >= 0)
                window->base[at] = target_of((values[f] - origin) / unit);
        }
    }
}

/* Whether nothing at all was observed at a step of what the model sees. */
static bool is_blind(const struct config_model *model, const struct history *history, uint64_t step) {
    for (int k = 0; k < model->n_inputs; k++)
        if (!history_missing(history, step, model->inputs[k]))
            return false;
    return true;
}

static void fill_flags(const struct window *window, const struct config_model *model, const struct history *history,
                       uint64_t first) {
    for (int i = 0; i < window->n; i++) {
        uint64_t step = first + (uint64_t)i;
        window->flags[i] = (uint8_t)(((history_flags(history, step) & STEP_GAP) != 0 ? WINDOW_GAP : 0) |
                                     (is_blind(model, history, step) ? WINDOW_BLIND : 0));
    }
}

/* Whether there is a forecast in it to learn from, or to judge, with an answer at one of its steps; or a label. */
static bool is_of_use(const struct window *window, const struct config_model *model) {
    int n_targets = head_targets(model);
    bool event = model->head == HEAD_EVENT; /* whose label is of the step itself, and the horizon 0 */
    for (int j = 0; j < n_targets; j++) {
        int answer = INT_MAX; /* the next observed step */
        for (int at = window->n - 1; at >= window->score_from; at--) {
            bool observed = !isnan(window->z[at * n_targets + j]);
            if (event && observed)
                answer = at;
            bool forecasts = at + model->horizon < window->n && (window->flags[at] & WINDOW_BLIND) == 0 &&
                             !isnan(window->base[at * n_targets + j]);
            if (forecasts && answer - at <= model->horizon)
                return true;
            if (observed)
                answer = at;
        }
    }
    return false;
}

/* What the windows of one place in a stream have in common. */
struct cut {
    struct windows *windows;
    const struct windows_cursor *cursor;
    const struct history *history;
    const struct scaler *scalers;
    double key;
};

/* Copies steps first..last, scored from step score_from on, if the set has a place for it. */
static void add_window(const struct cut *cut, uint64_t first, uint64_t last, uint64_t score_from, int before,
                       bool validation) {
    struct windows *windows = cut->windows;
    struct window window = {.n = (int)(last - first + 1),
                            .before = before,
                            .score_from = (int)(score_from - first),
                            .validation = validation,
                            .key = cut->key,
                            .stream = cut->cursor->stream,
                            .last = last,
                            .age = cut->cursor->seen - last};
    if (!windows_wants(windows, &window) || !allocate_window(&window, windows->model)) {
        windows->left_out++;
        return;
    }
    fill_window(&window, windows->model, cut->history, first, cut->scalers);
    fill_flags(&window, windows->model, cut->history, first);
    if (is_of_use(&window, windows->model))
        windows_add(windows, &window);
    else
        free(window.x);
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
static void add_runs(const struct cut *cut, const struct span *span) {
    const struct config_model *model = cut->windows->model;
    const struct history *history = cut->history;
    /* Steps may have left the ring since the choice was made: windows that reach back so far are left out. */
    if (span->first < history_oldest(history)) {
        cut->windows->left_out++;
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
            add_window(cut, first, last, score_from, (int)before, span->validation);
            n++;
        }
        last = first - 1;
    }
}

/* The newest part, behind as much context as warms the state and shows one season. */
static void add_validation(const struct cut *cut) {
    const struct config_model *model = cut->windows->model;
    const struct windows_cursor *cursor = cut->cursor;
    uint64_t context = (uint64_t)model->training.window;
    if ((uint64_t)(model->period + model->horizon) > context)
        context = (uint64_t)(model->period + model->horizon);
    /* Copied in one go, between two advances: of a very long part the newest must do. */
    uint64_t most = (uint64_t)cut->windows->longest;
    uint64_t from = cursor->seen - cursor->split > most ? cursor->seen - most : cursor->split;
    uint64_t first = from > cursor->oldest + context ? from - context : cursor->oldest;
    const struct span span = {.oldest = cursor->oldest,
                              .first = first,
                              .last = cursor->seen,
                              .score_from = from,
                              .ends_after = from,
                              .most = VALIDATION_RUNS,
                              .validation = true};
    add_runs(cut, &span);
}

/* The training window that ends at cursor->end; the oldest one of a stream may be shorter. Of runs between resets,
 * those that end behind the window before: it has the others. */
static void add_training(const struct cut *cut) {
    const struct config_model *model = cut->windows->model;
    const struct windows_cursor *cursor = cut->cursor;
    const struct history *history = cut->history;
    uint64_t length = (uint64_t)(model->training.window + model->horizon);
    uint64_t first = cursor->end + 1 > cursor->oldest + length ? cursor->end + 1 - length : cursor->oldest;
    /* At the very beginning of a stream, or behind a reset, the zero state is the true one: nothing to warm. */
    bool true_start = first == history->reset + 1 ||
                      (first >= history_oldest(history) && history_begins_anew(history, first, model->reset_every));
    const struct span span = {.oldest = cursor->oldest,
                              .first = first,
                              .last = cursor->end,
                              .score_from = first + (true_start ? 0 : (uint64_t)model->training.burn_in),
                              .ends_after =
                                  cursor->end > windows_stride(model) ? cursor->end - windows_stride(model) : 0,
                              .most = INT_MAX};
    add_runs(cut, &span);
}

/* The key of the window that ends at a step (0: the one for validation): -log(u) / weight with u by (seed, stream,
 * step), so that the lowest keys of all are a sample without replacement by these weights, in whatever order and in
 * however many sets they are looked at (Efraimidis and Spirakis, 2006). */
static double key_of(const struct config_model *model, const struct windows_cursor *cursor, uint64_t end,
                     double weight) {
    uint64_t hash = rng_hash(model->seed ^ cursor->stream, &end, sizeof end);
    return -log(((double)(hash >> 11) + 0.5) * 0x1p-53) / weight;
}

/* Each stream has the same weight in all, so that a long one does not crowd out the short ones; within a stream it
 * falls by half with each half of what the history keeps. */
static double weight_of(const struct config_model *model, const struct windows_cursor *cursor,
                        const struct history *history) {
    double of_stream = (double)((cursor->known - cursor->oldest) / windows_stride(model) + 1);
    if (model->training.order == ORDER_STATEFUL)
        return 1 / of_stream; /* of all of the stream's windows: they are taken together */
    return exp2(-2 * (double)(cursor->known - cursor->end) / history->kept) / of_stream;
}

bool windows_copy(struct windows *windows, struct windows_cursor *cursor, const struct history *history,
                  const struct scaler *scalers) {
    const struct config_model *model = windows->model;
    uint64_t stride = windows_stride(model);
    struct cut cut = {.windows = windows, .cursor = cursor, .history = history, .scalers = scalers};
    if (!cursor->validation_done) {
        cursor->validation_done = true;
        cut.key = key_of(model, cursor, 0, 1);
        if (cut.key <= windows->validation.highest)
            add_validation(&cut);
        return true;
    }
    if (cursor->end + 1 < cursor->oldest + fewest_steps(model))
        return false;
    uint64_t drawn_by = model->training.order == ORDER_STATEFUL ? 1 : cursor->end;
    cut.key = key_of(model, cursor, drawn_by, weight_of(model, cursor, history));
    if (cut.key <= windows->training.highest)
        add_training(&cut);
    if (cursor->end < cursor->oldest + stride)
        return false;
    cursor->end -= stride;
    return true;
}
