#include "engine/alerts.h"
#include "engine/distribution.h"
#include "engine/forecaster_internal.h"
#include "engine/head.h"
#include "engine/keras/keras.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps over which the interval of an irregular stream is averaged. */
enum { INTERVAL_MEMORY = 64 };

static struct network *layers_network(const struct config_model *model, struct error *err) {
    struct layer_spec *layers = calloc((size_t)model->n_layers + 1, sizeof *layers);
    if (layers == NULL) {
        error_set(err, "out of memory");
        return NULL;
    }
    for (int i = 0; i < model->n_layers; i++)
        layers[i] = model->layers[i];
    const struct loss_spec loss = head_loss(model);
    layers[model->n_layers] = layer_spec_of(LAYER_DENSE, head_answers(model) * loss_width(&loss));
    const struct network_spec spec = {.mode = NETWORK_STREAM,
                                      .n_inputs = config_network_inputs(model),
                                      .layers = layers,
                                      .n_layers = model->n_layers + 1};
    struct network *network = network_new(&spec, err);
    free(layers);
    return network;
}

struct network *forecaster_network(const struct config_model *model, struct error *err) {
    enum network_mode mode = model->mode == MODEL_WINDOWED ? NETWORK_SAMPLES : NETWORK_STREAM;
    struct network *network =
        model->keras != NULL ? keras_network(model->keras, mode, mode == NETWORK_SAMPLES ? model->window : 0, err)
                             : layers_network(model, err);
    if (network == NULL)
        error_prefix(err, "model %s", model->name);
    else
        network_set_precision(network, model->precision);
    return network;
}

static bool allocate_scores(struct forecaster *f) {
    if (f->model->head == HEAD_EVENT)
        return forecaster_event_new(f);
    if (f->model->head == HEAD_RAW)
        return true;
    f->scores = scores_new(f->n_slots, f->model);
    if (f->model->experts == EXPERTS_NONE)
        f->shares = calloc((size_t)f->n_slots * EXPERT_COUNT, sizeof *f->shares);
    else
        f->experts = experts_new(f->class, f->model, f->kernels);
    f->alerts = calloc((size_t)f->n_slots * (size_t)f->model->n_alerts + 1, sizeof *f->alerts);
    f->deviations = calloc((size_t)f->model->n_levels + 1, sizeof *f->deviations);
    for (int l = 0; f->deviations != NULL && l < f->model->n_levels; l++)
        f->deviations[l] = normal_quantile(0.5 + f->model->levels[l] / 200);
    return f->scores != NULL && (f->experts != NULL || f->shares != NULL) && f->alerts != NULL &&
           f->deviations != NULL;
}

/* Where the means of the latest forecast are kept that no score needs. */
static bool allocate_unscored(struct forecaster *f) {
    const struct config_model *model = f->model;
    int steps[CONFIG_SCORED_ALL_MOST], n = scores_steps(model->scored, model->horizon, steps);
    if (f->scores == NULL)
        return true;
    f->n_unscored = model->horizon - n;
    f->unscored = calloc((size_t)f->n_slots * (size_t)(f->n_unscored * model->n_targets) + 1, sizeof *f->unscored);
    f->scored = calloc((size_t)model->horizon, sizeof *f->scored);
    for (int h = 0; f->scored != NULL && h < model->horizon; h++)
        f->scored[h] = -1;
    for (int i = 0; f->scored != NULL && i < n; i++)
        f->scored[steps[i] - 1] = i;
    return f->unscored != NULL && f->scored != NULL;
}

/* Where the head gives them. */
static bool allocate_intervals(struct forecaster *f) {
    const struct loss_spec loss = head_loss(f->model);
    size_t n = (size_t)f->n_slots * (size_t)f->model->n_levels * (size_t)f->n_outputs;
    if (loss_width(&loss) == 1 || n == 0)
        return true;
    f->own = calloc(n, sizeof *f->own);
    return f->own != NULL;
}

static bool allocate(struct forecaster *f) {
    size_t slots = (size_t)f->n_slots;
    f->serving = lane_new(f->n_slots, f->class->n_features, NULL);
    f->history = calloc(slots, sizeof *f->history);
    f->anew = calloc(slots, sizeof *f->anew);
    f->interval = calloc(slots, sizeof *f->interval);
    f->made = calloc(slots, sizeof *f->made);
    f->outputs = calloc(f->model->head != HEAD_FORECAST ? slots * LAYER_PORTS : 1, sizeof *f->outputs);
    return f->work != NULL && f->serving != NULL && f->history != NULL && f->anew != NULL && f->interval != NULL &&
           f->made != NULL && f->outputs != NULL && allocate_scores(f) && allocate_unscored(f) &&
           allocate_intervals(f);
}

struct forecaster *forecaster_new_sharing(const struct config_class *class, const struct config_model *model,
                                          const struct kernels *kernels, struct workspace *workspace) {
    struct forecaster *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->class = class;
    f->model = model;
    f->kernels = kernels;
    f->n_slots = model->batch_size;
    f->n_outputs = model->horizon * model->n_targets;
    f->shares_work = workspace != NULL;
    f->work = workspace != NULL ? workspace : workspace_new_own(model, kernels);
    if (!allocate(f)) {
        forecaster_free(f);
        return NULL;
    }
    return f;
}

struct forecaster *forecaster_new(const struct config_class *class, const struct config_model *model,
                                  const struct kernels *kernels) {
    return forecaster_new_sharing(class, model, kernels, NULL);
}

void forecaster_free(struct forecaster *f) {
    if (f == NULL)
        return;
    lane_free(f->serving);
    lane_free(f->incoming);
    forecaster_end_shadow(f);
    free(f->history);
    free(f->anew);
    for (int slot = 0; slot < f->n_slots; slot++)
        given_free(f, slot);
    free(f->given);
    free(f->interval);
    scores_free(f->scores);
    free(f->alerts);
    free(f->deviations);
    experts_free(f->experts);
    free(f->shares);
    if (!f->shares_work)
        workspace_free(f->work);
    free(f->made);
    free(f->scored);
    free(f->unscored);
    free(f->own);
    free(f->event);
    free(f->said);
    free(f->label_counts);
    free(f->raw);
    free(f->outputs);
    free(f->states);
    free(f);
}

int forecaster_fit(struct forecaster *f, const struct network *network) {
    return f->shares_work ? 0 : runner_fit(f->work->runner, network);
}

void forecaster_occupy(struct forecaster *f, int slot, const struct history *history) {
    assert(slot >= 0 && slot < f->n_slots && f->history[slot] == NULL && history != NULL);
    f->history[slot] = history;
    f->anew[slot] = history->n;
    f->interval[slot] = 0;
    f->made[slot] = (struct made){0};
    if (f->scores != NULL)
        scores_restart(f->scores, slot);
    for (int a = 0; a < f->model->n_alerts; a++)
        f->alerts[slot * f->model->n_alerts + a] = (struct alert){0};
    if (f->experts != NULL)
        experts_acquire(f->experts, slot, history->n);
    if (f->event != NULL)
        forecaster_event_acquire(f, slot);
    lane_clear(f->serving, slot);
}

void forecaster_acquire(struct forecaster *f, int slot, const struct history *history) {
    forecaster_occupy(f, slot, history);
    lane_zero(f->serving, slot, history->n);
    if (f->shadow != NULL)
        shadow_acquire(f, slot);
    if (f->incoming != NULL) { /* a zero state is right under any version: the newer one serves it from the start */
        lane_clear(f->incoming, slot);
        lane_zero(f->incoming, slot, history->n);
        f->incoming->phase[slot] = LANE_READY;
    }
    struct lane *lane = lane_of(f, slot);
    lane->frozen[slot] = history->n;
    forecaster_note_takeover(f, lane, slot);
}

void forecaster_release(struct forecaster *f, int slot) {
    assert(f->history[slot] != NULL);
    f->history[slot] = NULL;
    given_free(f, slot);
}

uint64_t forecaster_pending(const struct forecaster *f, int slot) {
    return f->history[slot]->n - forecaster_seen(f, slot);
}

uint64_t forecaster_seen(const struct forecaster *f, int slot) {
    return lane_of(f, slot)->seen[slot];
}

uint64_t forecaster_version(const struct forecaster *f) {
    return f->serving->version != NULL ? version_number(f->serving->version) : 0;
}

uint64_t forecaster_not_finite(const struct forecaster *f) {
    return f->not_finite;
}

uint64_t forecaster_time_resets(const struct forecaster *f) {
    return f->time_resets;
}

struct forecast_errors forecaster_take_errors(struct forecaster *f) {
    struct forecast_errors errors = f->errors;
    f->errors = (struct forecast_errors){0};
    return errors;
}

/* ---- an advance --------------------------------------------------------------------------- */

static void see_interval(struct forecaster *f, int slot, uint64_t step) {
    const struct history *history = f->history[slot];
    if (step < 2 || (history_flags(history, step) & STEP_GAP) != 0)
        return;
    /* Subtracted as integers: a double counts today's ns by the hundreds. Unsigned: it may exceed int64. */
    double between = (double)((uint64_t)history_time(history, step) - (uint64_t)history_time(history, step - 1));
    /* The first one counts whole, also where the slot was acquired with a past. */
    uint64_t n = f->interval[slot] > 0 ? step - 1 : 1;
    f->interval[slot] += (between - f->interval[slot]) / (double)(n < INTERVAL_MEMORY ? n : INTERVAL_MEMORY);
}

/* Target times: exact for fixed intervals, by the mean interval otherwise. NULL while that is not known. */
static const int64_t *target_times(const struct forecaster *f, int slot, int64_t t) {
    int64_t interval = f->class->time.every > 0 ? f->class->time.every : llround(f->interval[slot]);
    int64_t *times = f->work->times;
    for (int h = 0; h < f->model->horizon; h++) {
        int64_t ahead;
        if (interval <= 0 || __builtin_mul_overflow(interval, (int64_t)h + 1, &ahead) ||
            __builtin_add_overflow(t, ahead, &times[h]))
            return NULL;
    }
    return times;
}

/* How wide the network's own intervals for h steps ahead are, f->work->units known. Returns false where one is not
 * finite. */
static bool read_intervals(const struct forecaster *f, int row, int h, int ahead) {
    size_t slot = (size_t)f->work->row[row], n_levels = (size_t)f->model->n_levels,
           n_targets = (size_t)f->model->n_targets;
    for (size_t level = 0; level < n_levels; level++) {
        float *own = f->own + (slot * n_levels + level) * (size_t)f->n_outputs + (size_t)(ahead + h - 1) * n_targets;
        runner_half_widths(f->work->runner, row, h, (int)level, own);
        for (size_t j = 0; j < n_targets; j++) {
            own[j] *= (float)f->work->units[j];
            if (!isfinite(own[j]))
                return false;
        }
    }
    return true;
}

/* What the network has just given for a row, h = 1 .. n steps behind `ahead` ones, in the unit of the targets, into
 * mean [slots x n_outputs]. Returns false when it is not finite. */
static bool read_forecast(const struct forecaster *f, const struct lane *lane, int row, int ahead, int n,
                          double *mean) {
    const struct config_model *model = f->model;
    bool published = mean == f->work->mean; /* else of a version in the shadow */
    int slot = f->work->row[row];
    const struct history *history = f->history[slot];
    const struct scaler *scalers = runner_scalers(f->work->runner, row);
    enum scaler_kind kind = head_scaler(model);
    const double *last = history_values(history, lane->seen[slot]); /* the step at hand is held */
    mean += (size_t)slot * (size_t)f->n_outputs;
    for (int j = 0; j < model->n_targets; j++) {
        int feature = model->targets[j];
        f->work->units[j] = scaler_unit(kind, &scalers[feature]);
        if (!model->residual)
            f->work->from[j] = scaler_unscale(kind, &scalers[feature], 0);
        else
            f->work->from[j] = ahead > 0 ? mean[(ahead - 1) * model->n_targets + j] : last[feature];
    }
    mean += ahead * model->n_targets;
    for (int h = 1; h <= n; h++, mean += model->n_targets) {
        const float *z = runner_values(f->work->runner, row, h);
        for (int j = 0; j < model->n_targets; j++) {
            if (!isfinite(z[j]))
                return false;
            /* A target never seen (from is NaN) has no forecast, and that is no fault of the network. */
            mean[j] = f->work->from[j] + f->work->units[j] * (double)z[j];
        }
        if (published && f->own != NULL && !read_intervals(f, row, h, ahead))
            return false;
    }
    return true;
}

/* The forecast for `ahead` steps on as the next input of a row; what is an input and no target keeps its last
 * value. */
static void feed_back(const struct forecaster *f, const struct lane *lane, int row, int ahead, const double *mean) {
    const struct config_model *model = f->model;
    int slot = f->work->row[row];
    mean += (size_t)slot * (size_t)f->n_outputs + (size_t)((ahead - 1) * model->n_targets);
    float *x = runner_next(f->work->runner, row);
    for (int i = 0; i < model->n_inputs; i++) {
        int feature = model->inputs[i];
        double value = baseline_last_value(f->history[slot], lane->seen[slot], feature);
        for (int j = 0; j < model->n_targets; j++)
            if (model->targets[j] == feature)
                value = mean[j];
        x[i] = scaler_scale(model->scaler, &runner_scalers(f->work->runner, row)[feature], value);
        if (model->missing == MISSING_MASK) /* what is forecast counts as observed */
            x[model->n_inputs + i] = 1;
    }
}

/* What has been observed (values) answers what was published one step before, in the scalers' unit. */
static void see_error(struct forecaster *f, const double *values, const double *said) {
    double error = 0;
    int answers = 0;
    for (int j = 0; j < f->model->n_targets; j++) {
        if (isnan(values[j]) || isnan(said[j]))
            continue;
        double scaled = fabs(values[j] - said[j]) / f->work->units[j];
        error += scaled < SCALER_CLIP ? scaled : SCALER_CLIP;
        answers++;
    }
    if (answers == 0)
        return;
    f->errors.sum += error / answers;
    f->errors.n++;
}

static enum baseline baseline_of(const struct config_model *model) {
    if (model->head == HEAD_EVENT)
        return BASELINE_LABELS;
    return model->period > 0 ? BASELINE_SEASONAL : BASELINE_LAST_VALUE;
}

/* Before the network: the step enters scalers and scores. */
static void take_step(struct forecaster *f, struct lane *lane, int slot) {
    const struct config_model *model = f->model;
    const struct history *history = f->history[slot];
    uint64_t step = lane->seen[slot] + 1;
    assert(step <= history->n);
    lane_update_scalers(lane, slot, history, step);
    see_interval(f, slot, step);

    double *values = f->work->values;
    const struct scaler *scalers = lane_scalers(lane, slot);
    history_sent_values(history, step, model->targets, model->n_targets, values);
    for (int j = 0; j < model->n_targets; j++)
        f->work->units[j] = scaler_unit(model->scaler, &scalers[model->targets[j]]);
    if (f->scores != NULL) {
        const double *said;
        const float *radii;
        bool paused = (history_flags(history, step) & STEP_PAUSED) != 0;
        if (!paused && scores_kept(f->scores, slot, 0, step - 1, &said, &radii))
            see_error(f, values, said);
        scores_answer(f->scores, slot, history, step, f->work->units);
    }
    if (f->experts != NULL)
        experts_see(f->experts, slot, history, step, lane_scalers(lane, slot));
    lane->seen[slot] = step;
    for (int a = 0; a < model->n_alerts; a++)
        f->alerts[slot * model->n_alerts + a].changed = false;
    f->made[slot] = (struct made){.is_one = true,
                                  .version = lane->version != NULL ? version_number(lane->version) : 0,
                                  .verdict = f->made[slot].verdict};
}

/* What the network gave for a row becomes its slot's forecast; where it is not finite, the baseline's does. */
static void finish_network(struct forecaster *f, struct lane *lane, int row, bool finite) {
    int slot = f->work->row[row];
    if (!finite) {
        f->not_finite++;
        /* What made it so is in the state, or in the window, which goes on by itself. */
        if (f->model->mode == MODEL_STATEFUL)
            lane_zero(lane, slot, lane->seen[slot]);
    }
    f->made[slot].ran = true;
    f->made[slot].finite = f->made[slot].from_network = finite;
    if (f->states != NULL)
        memcpy(f->states + (size_t)slot * f->state_size, lane_state(lane, slot), f->state_size * sizeof *f->states);
}

/* Copies the raw outputs of a row. Returns false when one is not finite. */
static bool keep_outputs(struct forecaster *f, const struct lane *lane, int row) {
    int slot = f->work->row[row], n = network_n_outputs(lane_network(lane));
    float *at = f->raw + (size_t)slot * f->raw_size;
    struct forecast_output *outputs = f->outputs + (size_t)slot * LAYER_PORTS;
    for (int o = 0; o < n; o++) {
        struct network_shape shape = network_output(lane_network(lane), o, f->model->window);
        outputs[o] = (struct forecast_output){shape, at};
        runner_copy_output(f->work->runner, o, row, at);
        at += (size_t)shape.steps * (size_t)shape.width;
    }
    for (const float *y = outputs[0].at; y < at; y++)
        if (!isfinite(*y))
            return false;
    f->made[slot].n_outputs = (uint8_t)n;
    return true;
}

/* The probabilities of an event take the place of the output. */
static bool keep_event(struct forecaster *f, int row) {
    int slot = f->work->row[row], width = event_width(f->model->classes);
    float *at = f->raw + (size_t)slot * f->raw_size;
    if (f->model->probabilities)
        memcpy(at, runner_last_output(f->work->runner, row), (size_t)width * sizeof *at);
    else
        event_probabilities(f->model->classes, runner_last_output(f->work->runner, row), at);
    for (int i = 0; i < width; i++)
        if (!isfinite(at[i]))
            return false;
    return true;
}

void forecaster_run(struct forecaster *f, const struct lane *lane, int rows, double *mean) {
    const struct config_model *model = f->model;
    int at_once = model->form == FORECAST_RECURSIVE ? 1 : model->horizon;
    runner_run(f->work->runner, lane, f->history, f->work->row, rows);
    for (int row = 0; row < rows; row++)
        f->work->finite[row] = model->head == HEAD_EVENT ? keep_event(f, row)
                               : model->head == HEAD_RAW ? keep_outputs(f, lane, row)
                                                         : read_forecast(f, lane, row, 0, at_once, mean);
    for (int ahead = 1; model->head == HEAD_FORECAST && ahead + 1 <= model->horizon && at_once == 1; ahead++) {
        for (int row = 0; row < rows; row++)
            feed_back(f, lane, row, ahead, mean);
        runner_run_again(f->work->runner, lane);
        for (int row = 0; row < rows; row++)
            f->work->finite[row] &= read_forecast(f, lane, row, ahead, 1, mean);
    }
}

/* What is to be told of the slot's forecast. */
static void look_out(struct forecaster *f, int slot) {
    const struct config_model *model = f->model;
    struct made *made = &f->made[slot];
    const struct forecast *forecast = model->n_alerts > 0 ? forecaster_latest(f, slot) : NULL;
    for (int a = 0; a < model->n_alerts; a++) {
        struct alert *alert = &f->alerts[slot * model->n_alerts + a];
        double probability = alerts_probability(model, &model->alerts[a], forecast, f->deviations, &alert->h);
        bool raised = alerts_raised(&model->alerts[a], alert->raised, probability);
        alert->changed = raised != alert->raised;
        alert->raised = raised;
        alert->probability = (float)probability;
        made->news |= alert->changed;
    }
    uint8_t before = made->verdict;
    made->verdict =
        (uint8_t)alerts_verdict((enum verdict)before, scores_of(f->scores, slot), scores_count(f->scores));
    made->verdict_changed = made->verdict != before;
    made->news |= made->verdict_changed;
}

/* What the lane's readout adds to the regressions' forecast; NULL: nothing. */
static const double *ask_readout(const struct forecaster *f, const struct lane *lane, int slot) {
    if (lane->readout == NULL)
        return NULL;
    read_out(f, lane, slot, f->made[slot].from_network ? lane_state(lane, slot) : NULL);
    return readout_forecast(lane->readout, slot, lane->seen[slot],
                            residuals_deviations(experts_residuals(f->experts), slot));
}

/* Without experts: the network's forecast of the slot, where it speaks, and the baseline's where it does not. */
static void publish_alone(struct forecaster *f, int slot, uint64_t step, bool network) {
    const struct config_model *model = f->model;
    const struct history *history = f->history[slot];
    double *mean = f->work->mean + (size_t)slot * (size_t)f->n_outputs;
    float *shares = f->shares + slot * EXPERT_COUNT, said = 0;
    memset(shares, 0, EXPERT_COUNT * sizeof *shares);
    for (int i = 0; i < f->n_outputs; i++) {
        enum expert who = EXPERT_NETWORK;
        if (!network || !isfinite(mean[i])) {
            int feature = model->targets[i % model->n_targets];
            mean[i] = baseline_seasonal(history, step, feature, i / model->n_targets + 1, model->period);
            who = isnan(mean[i]) ? EXPERT_LAST_VALUE : EXPERT_SEASONAL;
            if (who == EXPERT_LAST_VALUE)
                mean[i] = baseline_last_value(history, step, feature);
        }
        shares[who] += isnan(mean[i]) ? 0 : 1;
        said += isnan(mean[i]) ? 0 : 1;
    }
    for (int e = 0; e < EXPERT_COUNT && said > 0; e++)
        shares[e] /= said;
}

/* The half-widths that go with the network's forecast of the slot, [n_levels x n_outputs]; NULL: none. */
static const float *own_of(const struct forecaster *f, int slot) {
    size_t each = (size_t)f->model->n_levels * (size_t)f->n_outputs;
    return f->own != NULL && f->made[slot].finite ? f->own + (size_t)slot * each : NULL;
}

static const float *shares_of(const struct forecaster *f, int slot) {
    if (f->experts != NULL)
        return experts_shares(f->experts, slot);
    return f->shares != NULL ? f->shares + slot * EXPERT_COUNT : NULL;
}

static double *unscored_of(const struct forecaster *f, int slot) {
    return f->unscored + (size_t)slot * (size_t)(f->n_unscored * f->model->n_targets);
}

/* mean [n_outputs] has been published: what the scores have of it need not be kept once more. */
static void keep_unscored(struct forecaster *f, int slot, const double *mean) {
    size_t n_targets = (size_t)f->model->n_targets;
    double *kept = unscored_of(f, slot);
    for (int h = 0; f->n_unscored > 0 && h < f->model->horizon; h++, mean += n_targets)
        if (f->scored[h] < 0) {
            memcpy(kept, mean, n_targets * sizeof *kept);
            kept += n_targets;
        }
}

/* And back. */
static void recall_mean(const struct forecaster *f, int slot, double *mean) {
    size_t n_targets = (size_t)f->model->n_targets;
    const double *kept = unscored_of(f, slot);
    uint64_t step = forecaster_seen(f, slot);
    for (int h = 0; h < f->model->horizon; h++, mean += n_targets) {
        bool scored = f->scored[h] >= 0;
        const double *from = scored ? scores_published(f->scores, slot, f->scored[h], step) : kept;
        memcpy(mean, from, n_targets * sizeof *mean);
        kept += scored ? 0 : n_targets;
    }
}

/* After the network, where there is one. */
static void finish_step(struct forecaster *f, struct lane *lane, int slot) {
    const struct config_model *model = f->model;
    struct made *made = &f->made[slot];
    double *mean = f->work->mean + (size_t)slot * (size_t)f->n_outputs;
    uint64_t step = lane->seen[slot];
    made->primed = lane_network(lane) != NULL ? step - lane->zero[slot] : 0;
    if (model->mode == MODEL_WINDOWED)
        made->warming = lane_network(lane) != NULL && made->primed < (uint64_t)model->window;
    else
        made->warming = made->from_network && made->primed < (uint64_t)model->training.burn_in;
    if (f->event != NULL)
        forecaster_event_finish(f, slot);
    if (f->scores == NULL)
        return;
    if (f->shadow != NULL)
        shadow_note_serving(f, slot, made->from_network ? mean : NULL);
    bool speaks = made->from_network && (!made->warming || model->combine != COMBINE_ONLINE);
    if (f->experts == NULL)
        publish_alone(f, slot, step, speaks);
    else
        experts_forecast(f->experts, slot, f->history[slot], step, lane_scalers(lane, slot), speaks,
                         lane->version != NULL ? version_ridge(lane->version) : NULL, ask_readout(f, lane, slot),
                         mean);
    if (model->combine != COMBINE_ONLY + EXPERT_NETWORK)
        made->from_network = shares_of(f, slot)[EXPERT_NETWORK] > 0;
    bool paused = (history_flags(f->history[slot], step) & STEP_PAUSED) != 0;
    scores_publish(f->scores, slot, step, mean, own_of(f, slot), !paused);
    keep_unscored(f, slot, mean);
    if (!paused)
        look_out(f, slot);
}

/* What a step of a slot touches lies in many places, and with many streams in no cache: it is asked for some slots
 * ahead. */
enum { AHEAD = 4, LINE = 64 };

/* All lines of it. */
static void fetch(const void *from, size_t bytes) {
    size_t begin = (uintptr_t)from % LINE;
    for (size_t at = 0; at < begin + bytes; at += LINE)
        __builtin_prefetch((const char *)from - begin + at, 1);
}

static void fetch_flags(const struct forecaster *f, int slot) {
    const struct history *history = f->history[slot];
    __builtin_prefetch(&history->flags[history_place(history, lane_of(f, slot)->seen[slot] + 1)]);
}

static void fetch_slot(const struct forecaster *f, const struct lane *lane, int slot) {
    const struct history *history = f->history[slot];
    uint64_t step = lane->seen[slot] + 1;
    fetch(lane_scalers(lane, slot), (size_t)lane->n_features * sizeof(struct scaler));
    fetch(lane_state(lane, slot), lane->state_size * sizeof(float));
    fetch(&f->made[slot], sizeof(struct made));
    __builtin_prefetch(&history->t[history_place(history, step)]);
    fetch(history_values(history, step), (size_t)history->n_features * sizeof(double));
    if (step > history_oldest(history)) /* by which the forecast is scored */
        fetch(history_values(history, step - 1), (size_t)history->n_features * sizeof(double));
    if (f->scores != NULL)
        scores_fetch(f->scores, slot, step);
}

/* Advances those of the given slots that a lane serves. */
static void advance_lane(struct forecaster *f, struct lane *lane, const int *slots, int n) {
    int rows = 0;
    for (int i = 0; i < n; i++) {
        if (i + AHEAD < n && lane_of(f, slots[i + AHEAD]) == lane)
            fetch_slot(f, lane, slots[i + AHEAD]);
        if (lane_of(f, slots[i]) != lane)
            continue;
        take_step(f, lane, slots[i]);
        if (runner_can(f->work->runner, lane, slots[i]))
            f->work->row[rows++] = slots[i];
    }
    if (rows > 0)
        forecaster_run(f, lane, rows, f->work->mean);
    for (int row = 0; row < rows; row++)
        finish_network(f, lane, row, f->work->finite[row]);
    for (int i = 0; i < n; i++)
        if (lane_of(f, slots[i]) == lane)
            finish_step(f, lane, slots[i]);
}

void forecaster_advance(struct forecaster *f, const int *slots, int n) {
    assert(n > 0 && n <= f->n_slots);
    for (int i = 0; i < n; i++) {
        if (i + 2 * AHEAD < n)
            __builtin_prefetch(f->history[slots[i + 2 * AHEAD]]);
        if (i + AHEAD < n)
            fetch_flags(f, slots[i + AHEAD]);
        forecaster_begin_anew_where_due(f, slots[i]);
    }
    advance_lane(f, f->serving, slots, n);
    if (f->incoming != NULL)
        advance_lane(f, f->incoming, slots, n);
    if (f->shadow != NULL)
        shadow_advance(f, slots, n);
}

bool forecaster_has_news(const struct forecaster *f, int slot) {
    return f->made[slot].news;
}

/* It is put together when somebody wants it, of what was made of it and of what has stayed as it was since. */
const struct forecast *forecaster_latest(const struct forecaster *f, int slot) {
    const struct config_model *model = f->model;
    const struct history *history = f->history[slot];
    const struct made *made = &f->made[slot];
    struct forecast *latest = &f->work->latest;
    assert(history != NULL);
    if (!made->is_one)
        return NULL;
    uint64_t step = forecaster_seen(f, slot);
    int64_t t = history_time(history, step);
    history_sent_values(history, step, model->targets, model->n_targets, f->work->values);
    *latest = (struct forecast){
        .slot = slot,
        .step = step,
        .t = t,
        .version = made->version,
        .primed = made->primed,
        .from_network = made->from_network,
        .warming = made->warming,
        .baseline = baseline_of(model),
        .step_flags = history_flags(history, step),
        .times = target_times(f, slot, t),
        .values = f->work->values,
        .mean = f->work->mean + (size_t)slot * (size_t)f->n_outputs,
        .own = own_of(f, slot),
        .shares = shares_of(f, slot),
        .anomaly = NAN,
        .alerts = f->alerts != NULL ? f->alerts + slot * model->n_alerts : NULL,
        .verdict = (enum verdict)made->verdict,
        .verdict_changed = made->verdict_changed,
        .event = forecaster_event_score(f, slot),
        .outputs = made->n_outputs > 0 ? f->outputs + (size_t)slot * LAYER_PORTS : NULL,
        .n_outputs = made->n_outputs,
        .state = f->states != NULL && made->ran ? f->states + (size_t)slot * f->state_size : NULL,
    };
    if (f->scores == NULL)
        return latest;
    recall_mean(f, slot, f->work->mean + (size_t)slot * (size_t)f->n_outputs);
    latest->scores = scores_of(f->scores, slot);
    latest->score_levels = scores_levels(f->scores, slot);
    latest->n_scores = scores_count(f->scores);
    latest->anomaly = scores_anomaly(f->scores, slot);
    latest->radii = scores_radii(f->scores, slot, &latest->capped);
    return latest;
}

const double *forecaster_expert(const struct forecaster *f, enum expert expert) {
    return f->experts != NULL ? experts_mean(f->experts, expert) : NULL;
}

const struct scores *forecaster_scores(const struct forecaster *f) {
    return f->scores;
}

const struct event_score *forecaster_event_score(const struct forecaster *f, int slot) {
    return f->event != NULL ? &f->event[slot] : NULL;
}

const struct scaler *forecaster_scalers(const struct forecaster *f, int slot) {
    return lane_scalers(lane_of(f, slot), slot);
}
