#include "engine/evaluation.h"

#include "engine/event.h"
#include "engine/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int chunk_init(struct chunk *chunk, const struct config_model *model, int rows, int steps) {
    size_t places = (size_t)rows * (size_t)steps;
    size_t outputs = places * (size_t)head_answers(model);
    struct loss_spec loss = head_loss(model);
    *chunk = (struct chunk){.rows = rows, .steps = steps};
    chunk->x = malloc(places * (size_t)config_network_inputs(model) * sizeof *chunk->x);
    chunk->answer = malloc(outputs * sizeof *chunk->answer);
    chunk->weight = malloc(outputs * sizeof *chunk->weight);
    chunk->point = malloc(outputs * sizeof *chunk->point);
    chunk->gradient = malloc(outputs * (size_t)loss_width(&loss) * sizeof *chunk->gradient);
    chunk->row = calloc((size_t)rows, sizeof *chunk->row);
    if (chunk->x != NULL && chunk->answer != NULL && chunk->weight != NULL && chunk->point != NULL &&
        chunk->gradient != NULL && chunk->row != NULL)
        return 0;
    chunk_fini(chunk);
    return -1;
}

void chunk_fini(struct chunk *chunk) {
    free(chunk->x);
    free(chunk->answer);
    free(chunk->weight);
    free(chunk->point);
    free(chunk->gradient);
    free(chunk->row);
    *chunk = (struct chunk){0};
}

/* Whether what stands behind a step is no answer to a forecast made before it, as ticks are missing between the
 * two. */
static bool is_gap(const struct window *window, int at) {
    return window->flags != NULL && (window->flags[at] & WINDOW_GAP) != 0;
}

float evaluation_weight(const struct config_model *model, const struct window *window, int origin) {
    double half_life = model->training.half_life;
    if (window->validation || half_life == 0)
        return 1;
    return (float)exp2(-((double)window->age + (double)(window->n - 1 - origin)) / half_life);
}

/* Of what is in the scalers' unit already. */
static const struct scaler same = {.variance = 1};

/* By what a target is scaled at an origin: with SCALER_WINDOW by the sample that ends there, else it is scaled. */
static struct scaler target_scaler(const struct config_model *model, const struct window *window, int origin, int j) {
    struct scaler sample = {0};
    if (head_scaler(model) != SCALER_WINDOW)
        return same;
    for (int at = origin + 1 - model->window; at <= origin; at++)
        scaler_update(&sample, (double)window->base[(ptrdiff_t)at * model->n_targets + j]);
    return scaler_of_sample(&sample, &same);
}

/* Scales the inputs of a row of the chunk, a whole sample, by themselves. */
static void scale_sample(struct chunk *chunk, const struct config_model *model, int row, int rows, int steps) {
    size_t width = (size_t)config_network_inputs(model), stride = (size_t)rows * width;
    for (int k = 0; k < model->n_inputs; k++) {
        float *x = chunk->x + (size_t)row * width + (size_t)k;
        struct scaler sample = {0};
        for (int s = 0; s < steps; s++)
            scaler_update(&sample, (double)x[(size_t)s * stride]);
        sample = scaler_of_sample(&sample, &same);
        for (int s = 0; s < steps; s++)
            x[(size_t)s * stride] = scaler_scale(SCALER_WINDOW, &sample, (double)x[(size_t)s * stride]);
    }
}

/* The label of one origin. Returns its weight. */
static double fill_label(const struct config_model *model, const struct window *window, int origin, float *answer,
                         float *weight, size_t *n_answers) {
    *answer = window->z[origin];
    *weight = isnan(*answer) ? 0 : evaluation_weight(model, window, origin);
    *n_answers += *weight != 0;
    return (double)*weight;
}

/* Steps behind an origin up to the first gap, or the horizon. */
static int steps_to_gap(const struct config_model *model, const struct window *window, int origin) {
    int h = 1;
    if (window->flags == NULL)
        return model->horizon;
    while (h <= model->horizon && !is_gap(window, origin + h))
        h++;
    return h - 1;
}

/* The answers of one target, z of the steps behind an origin, less `from`, in units; each n_targets floats from the
 * one before it. Those that count (at most n) weigh `one`. Returns how many do. */
static size_t fill_target(const struct config_model *model, const float *z, float from, float unit, int n, float one,
                          float *answer, float *weight) {
    /* Of what is neither 0 nor 1 nothing is learnt. */
    bool is_event = model->training.loss == LOSS_BINARY_CROSSENTROPY;
    size_t stride = (size_t)model->n_targets, counting = 0;
    for (int h = 0; h < model->horizon; h++, z += stride, answer += stride, weight += stride) {
        float a = *z - from;
        if (unit != 1) /* most are; a division is slow */
            a /= unit;
        bool counts = h < n && !isnan(a) && (!is_event || (a >= 0 && a <= 1));
        *answer = a;
        *weight = counts ? one : 0;
        counting += counts;
    }
    return counting;
}

/* The answers at one origin: for a residual network the differences to the last value. Those before the first value
 * weigh nothing, as the baselines have no forecast there, nor do those behind a gap. Returns the weights' sum. */
static double fill_origin(const struct config_model *model, const struct window *window, int origin, float *answer,
                          float *weight, size_t *n_answers) {
    if (model->head == HEAD_EVENT)
        return fill_label(model, window, origin, answer, weight, n_answers);
    int n_targets = model->n_targets, until_gap = steps_to_gap(model, window, origin);
    float one = evaluation_weight(model, window, origin);
    size_t counting = 0;
    for (int j = 0; j < n_targets; j++) {
        float base = window->base[(ptrdiff_t)origin * n_targets + j];
        struct scaler scaler = target_scaler(model, window, origin, j);
        float from = model->residual ? base : (float)scaler.mean;
        counting += fill_target(model, window->z + (ptrdiff_t)(origin + 1) * n_targets + j, from,
                                (float)scaler_unit(SCALER_STANDARD, &scaler), isnan(base) ? 0 : until_gap, one,
                                answer + j, weight + j);
    }
    *n_answers += one != 0 ? counting : 0;
    return (double)one * (double)counting;
}

/* A windowed network is judged at origins half a horizon apart, as each of them costs a whole sample. */
static int spacing(const struct config_model *model) {
    return model->mode == MODEL_WINDOWED && model->horizon > 1 ? (model->horizon + 1) / 2 : 1;
}

/* Whether a forecast made there counts. The two parts lie a horizon apart, so that they have no answer in common. */
static bool is_origin(const struct config_model *model, enum evaluation_part part, const struct window *window,
                      int at) {
    int first = window->score_from, last = window->n - model->horizon - 1;
    int split = first + (last + 1 - first) / 3;
    if (model->mode == MODEL_WINDOWED && at < model->window - 1)
        return false; /* there is no sample that ends there */
    if (at < (part == EVALUATION_JUDGES ? split : first) ||
        at > (part == EVALUATION_CHOOSES ? split - model->horizon : last))
        return false;
    if (window->flags != NULL && (window->flags[at] & WINDOW_BLIND) != 0)
        return false;
    return !window->validation || (last - at) % spacing(model) == 0;
}

int chunk_origins(const struct config_model *model, int steps) {
    return model->mode == MODEL_WINDOWED ? 1 : steps;
}

void chunk_set_rows(struct chunk *chunk, const struct window *const *windows, int rows, int from) {
    for (int r = 0; r < rows; r++)
        chunk->row[r] = (struct chunk_row){windows[r], from};
}

double chunk_fill(struct chunk *chunk, const struct config_model *model, enum evaluation_part part, int rows,
                  int steps) {
    size_t n_inputs = (size_t)config_network_inputs(model), n_outputs = (size_t)head_answers(model);
    int first_origin = steps - chunk_origins(model, steps);
    double sum = 0;
    chunk->n_answers = 0;
    for (int s = 0; s < steps; s++)
        for (int r = 0; r < rows; r++) {
            const struct window *window = chunk->row[r].window;
            size_t place = (size_t)s * (size_t)rows + (size_t)r;
            int at = chunk->row[r].from + s;
            if (window != NULL && at < window->n)
                memcpy(chunk->x + place * n_inputs, window->x + (size_t)at * n_inputs, n_inputs * sizeof *chunk->x);
            else
                memset(chunk->x + place * n_inputs, 0, n_inputs * sizeof *chunk->x);
            if (s < first_origin)
                continue;
            place -= (size_t)first_origin * (size_t)rows;
            float *answer = chunk->answer + place * n_outputs, *weight = chunk->weight + place * n_outputs;
            if (window != NULL && is_origin(model, part, window, at)) {
                sum += fill_origin(model, window, at, answer, weight, &chunk->n_answers);
            } else {
                memset(answer, 0, n_outputs * sizeof *answer);
                memset(weight, 0, n_outputs * sizeof *weight);
            }
        }
    for (int r = 0; model->scaler == SCALER_WINDOW && r < rows; r++)
        scale_sample(chunk, model, r, rows, steps);
    return sum;
}

static int longest(const struct window *const *windows, int n) {
    int most = 0;
    for (int i = 0; i < n; i++)
        most = windows[i]->n > most ? windows[i]->n : most;
    return most;
}

/* The newest origin that a stream can have is 0. */
static uint64_t steps_back(const struct config_model *model, const struct window *window, int origin) {
    return window->age + (uint64_t)(window->n - 1 - model->horizon - origin);
}

/* Point forecasts against their answers. */
static double point_loss(const struct config_model *model, size_t n, const float *y, const float *answer,
                         const float *weight) {
    const struct loss_spec point = {.loss = loss_point(model->training.loss)};
    return loss_sum(&point, 1, n, y, answer, weight, 1, NULL);
}

/* The loss of what a network that gave y forecast at so many places of a chunk: that of the point forecasts, which
 * are in chunk->point; an event's is its own, the cross-entropy. */
static double loss_at(const struct evaluation *of, const float *y, size_t first, size_t places) {
    const struct chunk *chunk = of->chunk;
    const struct loss_spec spec = head_loss(of->model);
    size_t n = (size_t)head_answers(of->model);
    const float *answer = chunk->answer + first * n, *weight = chunk->weight + first * n;
    if (of->model->head == HEAD_EVENT)
        return loss_sum(&spec, places, n, y + first * (size_t)loss_width(&spec), answer, weight, 1, NULL);
    return point_loss(of->model, places * n, chunk->point + first * n, answer, weight);
}

/* The losses at the origins of a chunk, the last ones of its steps. */
static void note_losses(struct loss_series *series, const struct evaluation *of, int rows, int steps,
                        const float *y) {
    const struct chunk *chunk = of->chunk;
    size_t n_outputs = (size_t)head_answers(of->model);
    int origins = chunk_origins(of->model, steps);
    for (int place = 0; place < origins * rows; place++) {
        size_t first = (size_t)place * n_outputs;
        const struct chunk_row *row = &chunk->row[place % rows];
        double weight = 0;
        for (size_t i = 0; i < n_outputs; i++)
            weight += (double)chunk->weight[first + i];
        if (weight > 0)
            loss_series_add(series, steps_back(of->model, row->window, row->from + steps - origins + place / rows),
                            loss_at(of, y, (size_t)place, 1), weight);
    }
}

/* Sums over one batch of windows. Returns false when it was told to stop. */
static bool add_batch(const struct evaluation *of, const struct network *network, int first, int rows, double *loss,
                      double *weight, struct loss_series *series) {
    const struct config_model *model = of->model;
    const struct window *const *windows = of->windows + first;
    const struct loss_spec spec = head_loss(model);
    int steps = longest(windows, rows), at_once = of->chunk->steps;
    bool windowed = model->mode == MODEL_WINDOWED;
    memset(of->state, 0, (size_t)rows * network_state_size(network) * sizeof *of->state);
    for (int from = 0; windowed ? from + at_once <= steps : from < steps; from += windowed ? 1 : at_once) {
        int some = steps - from < at_once ? steps - from : at_once;
        if (of->stop(of->context))
            return false;
        chunk_set_rows(of->chunk, windows, rows, from);
        double its = chunk_fill(of->chunk, model, of->part, rows, some);
        if (windowed && its == 0)
            continue; /* no sample needs the one before it */
        *weight += its;
        const float *y;
        tape_forward(of->tape, network, of->kernels, NULL, rows, some, of->chunk->x, of->state, &y);
        size_t places = (size_t)rows * (size_t)chunk_origins(model, some);
        if (model->head != HEAD_EVENT)
            loss_points(&spec, places, (size_t)head_answers(model), y, of->chunk->point);
        *loss += loss_at(of, y, 0, places);
        if (series != NULL)
            note_losses(series, of, rows, some, y);
    }
    return true;
}

double evaluation_network(const struct evaluation *of, const struct network *network, struct loss_series *series) {
    double loss = 0, weight = 0;
    if (network == NULL)
        return NAN;
    for (int first = 0; first < of->n; first += of->chunk->rows) {
        int rows = of->n - first < of->chunk->rows ? of->n - first : of->chunk->rows;
        if (!add_batch(of, network, first, rows, &loss, &weight, series))
            return NAN;
    }
    return weight > 0 ? loss / weight : NAN;
}

/* What the seasonal baseline says at an origin; the last value where no season is known, as when it serves. */
static float seasonal(const struct config_model *model, const struct window *window, int origin, int h, int j) {
    int seasons = (h + model->period - 1) / model->period;
    int at = origin + h - seasons * model->period;
    float z = at >= -window->before ? window->z[(ptrdiff_t)at * model->n_targets + j] : NAN;
    return isnan(z) ? window->base[(size_t)origin * (size_t)model->n_targets + (size_t)j] : z;
}

static void add_origin(const struct config_model *model, const struct window *window, int origin,
                       struct promotion_series *over_time) {
    int n_targets = model->n_targets;
    double last = 0, season = 0, weight = 0;
    for (int j = 0; j < n_targets; j++) {
        struct scaler scaler = target_scaler(model, window, origin, j);
        float unit = (float)scaler_unit(SCALER_STANDARD, &scaler);
        float base = window->base[(ptrdiff_t)origin * n_targets + j] / unit;
        for (int h = 1; h <= model->horizon && !is_gap(window, origin + h); h++) {
            float answer = window->z[(ptrdiff_t)(origin + h) * n_targets + j] / unit;
            float one = isnan(answer) || isnan(base) ? 0.0f : 1.0f;
            weight += (double)one;
            last += point_loss(model, 1, &base, &answer, &one);
            if (model->period == 0)
                continue;
            float said = seasonal(model, window, origin, h, j) / unit;
            season += point_loss(model, 1, &said, &answer, &one);
        }
    }
    if (weight == 0)
        return;
    loss_series_add(&over_time->last_value, steps_back(model, window, origin), last, weight);
    if (model->period > 0)
        loss_series_add(&over_time->seasonal, steps_back(model, window, origin), season, weight);
}

/* How often each class is a label, and with that as the forecast, made in hindsight, its cross-entropy. */
static void add_labels(const struct evaluation *of, struct promotion_series *over_time) {
    double counts[EVENT_CLASSES_MAX] = {0}, all = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < of->n; i++)
            for (int origin = of->windows[i]->score_from; origin < of->windows[i]->n; origin++) {
                float label = of->windows[i]->z[origin];
                if (isnan(label) || !is_origin(of->model, of->part, of->windows[i], origin))
                    continue;
                if (pass == 0) {
                    counts[(int)label]++;
                    all++;
                } else {
                    loss_series_add(&over_time->last_value, steps_back(of->model, of->windows[i], origin),
                                    -log(counts[(int)label] / all), 1);
                }
            }
}

void evaluation_baselines(const struct evaluation *of, struct promotion_losses *losses) {
    struct promotion_series *over_time = &losses->over_time;
    over_time->last_value = over_time->seasonal = (struct loss_series){0};
    losses->last_value = losses->seasonal = NAN;
    if (of->model->head == HEAD_EVENT)
        add_labels(of, over_time);
    for (int i = 0; of->model->head != HEAD_EVENT && i < of->n; i++) {
        const struct window *window = of->windows[i];
        if (of->stop(of->context))
            return;
        for (int origin = window->score_from; origin < window->n; origin++)
            if (is_origin(of->model, of->part, window, origin))
                add_origin(of->model, window, origin, over_time);
    }
    losses->last_value = loss_series_mean(&over_time->last_value);
    losses->seasonal = loss_series_mean(&over_time->seasonal);
}
