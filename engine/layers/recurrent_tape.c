/* A pass on the tape: forward by matrix products over all steps where that can be, and back through time. */
#include "engine/layers/activation.h"
#include "engine/layers/recurrent.h"
#include "engine/product.h"

/* What lies on the tape. Gates, pre and kept are in the order of time; so are the states, steps + 1 of each kind, so
 * that those around step t are at t and t + 1, whichever of them is before it. */
struct record {
    float *gates, *pre, *kept;
    float *states[CELL_STATES];
    float *d[CELL_STATES];     /* [rows x units]: d loss / d states after the step in hand */
    float *aside[CELL_STATES]; /* [rows x units]: the same of masked rows, while the cell takes a step back */
    float *dy;                 /* [rows x units]: d loss / d what came out at the step in hand */
    float *spare;              /* [rows x n_gates units] */
    struct masks x, h;         /* what is dropped */
    size_t row, step;          /* units, and rows times units */
};

static bool keeps_pre(const struct pass *pass) {
    return activation_needs_input(pass->activation) ||
           (pass->ops->n_gates > 1 && activation_needs_input(pass->recurrent_activation));
}

size_t pass_tape_size(const struct pass *pass, int rows, int steps) {
    const struct cell_ops *ops = pass->ops;
    size_t n_gates = (size_t)ops->n_gates, n_states = (size_t)ops->n_states, n = (size_t)steps;
    size_t each_step = n_gates * (keeps_pre(pass) ? 2 : 1) + (size_t)ops->n_kept;
    size_t units = n * each_step + n_states * (n + 1) + 2 * n_states + 1 + n_gates;
    return units * (size_t)rows * (size_t)pass->units + masks_size(pass, rows, steps);
}

static float *take(float **at, size_t n) {
    float *taken = *at;
    *at += n;
    return taken;
}

static struct record record_of(const struct pass *pass, const struct layer_run *run, float *tape) {
    size_t row = (size_t)pass->units, step = (size_t)run->rows * row, steps = (size_t)run->in[0].steps;
    size_t n_gates = (size_t)pass->ops->n_gates;
    struct record record = {.row = row, .step = step, .gates = take(&tape, n_gates * steps * step)};
    if (keeps_pre(pass))
        record.pre = take(&tape, n_gates * steps * step);
    record.kept = take(&tape, (size_t)pass->ops->n_kept * steps * step);
    for (int i = 0; i < pass->ops->n_states; i++) {
        record.states[i] = take(&tape, (steps + 1) * step);
        record.d[i] = take(&tape, step);
        record.aside[i] = take(&tape, step);
    }
    record.dy = take(&tape, step);
    record.spare = take(&tape, n_gates * step);
    masks_place(pass, run, tape, &record.x, &record.h);
    return record;
}

static struct tape_step step_of(const struct pass *pass, const struct layer_run *run, const struct record *record,
                                size_t t) {
    size_t n_gates = (size_t)pass->ops->n_gates, n_kept = (size_t)pass->ops->n_kept;
    struct tape_step step = {
        .kernels = run->kernels,
        .rows = run->rows,
        .gates = record->gates + t * n_gates * record->step,
        .pre = record->pre ? record->pre + t * n_gates * record->step : NULL,
        .kept = record->kept + t * n_kept * record->step,
        .spare = record->spare,
        .dropped = record->h,
    };
    for (int i = 0; i < pass->ops->n_states; i++) {
        step.before[i] = record->states[i] + (t + pass->goes_back) * record->step;
        step.after[i] = record->states[i] + (t + !pass->goes_back) * record->step;
        step.d[i] = record->d[i];
    }
    return step;
}

/* Step s in the order of the pass, and its mask [rows], or NULL. */
static size_t time_of(const struct pass *pass, const struct layer_run *run, size_t s) {
    return pass->goes_back ? (size_t)run->in[0].steps - 1 - s : s;
}

static const uint8_t *mask_at(const struct pass *pass, const struct layer_run *run, size_t t) {
    return run->in[0].mask && !pass->ignores_mask ? run->in[0].mask + t * (size_t)run->rows : NULL;
}

/* ---- forward ------------------------------------------------------------------------------------ */

/* The states before the first step, and (back) to where they go after the last one. */
static void first_states(const struct pass *pass, const struct layer_run *run, const struct record *record) {
    size_t first = pass->goes_back ? (size_t)run->in[0].steps * record->step : 0;
    for (size_t r = 0; r < (size_t)run->rows; r++)
        for (int i = 0; i < pass->ops->n_states; i++)
            pass_first_state(pass, run, r, i, record->states[i] + first + r * record->row);
}

static void last_states(const struct pass *pass, const struct layer_run *run, const struct record *record) {
    size_t last = pass->goes_back ? 0 : (size_t)run->in[0].steps * record->step, size = record->row * sizeof(float);
    for (int i = 0; i < pass->ops->n_states; i++) {
        const float *from = record->states[i] + last;
        float *port = run->out[pass->state_port + i].data;
        if (port)
            memcpy(port, from, (size_t)run->rows * size);
        for (size_t r = 0; pass->carries && r < (size_t)run->rows; r++)
            memcpy(run->state[r] + pass->state_at + (size_t)i * record->row, from + r * record->row, size);
    }
}

/* What comes out of a step, y [rows x units]; before: what came out before it, or (NULL) the first states' h,
 * first. */
static void put_output(const struct pass *pass, const struct tape_step *step, const uint8_t *mask,
                       const float *before, const float *first, float *y) {
    size_t units = (size_t)pass->units, size = units * sizeof *y;
    if (!mask)
        memcpy(y, step->after[0], (size_t)step->rows * size);
    for (size_t r = 0; mask && r < (size_t)step->rows; r++) {
        if (mask[r])
            memcpy(y + r * units, step->after[0] + r * units, size);
        else if (pass->zero_output_for_mask || (!before && !pass->is_piece))
            memset(y + r * units, 0, size);
        else
            memmove(y + r * units, (before ? before : first) + r * units, size);
    }
}

void pass_tape_forward(const struct pass *pass, const struct layer_run *run, float *y, float *tape) {
    const struct port *x = &run->in[0];
    int n = x->steps * run->rows, n_z = pass->ops->n_gates * pass->units;
    struct record record = record_of(pass, run, tape);
    const float *before = NULL, *first = record.states[0] + (pass->goes_back ? (size_t)x->steps * record.step : 0);

    first_states(pass, run, &record);
    if (run->rng)
        masks_draw(pass, run->rng, &record.x, &record.h);
    rows_begin(n, n_z, pass->bias, record.gates);
    dropped_product(&record.x, n, n_z, x->data, pass->w, record.gates, n_z);
    for (size_t s = 0; s < (size_t)x->steps; s++) {
        size_t t = time_of(pass, run, s);
        struct tape_step step = step_of(pass, run, &record, t);
        const uint8_t *mask = mask_at(pass, run, t);
        pass->ops->record(pass, &step);
        for (size_t r = 0; mask && r < (size_t)run->rows; r++)
            for (int i = 0; !mask[r] && i < pass->ops->n_states; i++)
                memcpy(step.after[i] + r * record.row, step.before[i] + r * record.row, record.row * sizeof *y);
        float *y_at = pass->return_sequences ? y + s * record.step : y;
        put_output(pass, &step, mask, before, first, y_at);
        before = y_at;
    }
    last_states(pass, run, &record);
}

/* ---- back --------------------------------------------------------------------------------------- */

/*
 * A masked row's states go through the step as they are: their gradients step aside, and the cell, which works on all
 * rows, sees zeros and gives zeros. What came out is what came out a step earlier; dy stays for that one.
 */
static void set_aside(const struct pass *pass, const struct record *record, const uint8_t *mask, int rows) {
    size_t size = record->row * sizeof(float);
    for (size_t r = 0; r < (size_t)rows; r++) {
        float *dy = record->dy + r * record->row;
        bool masked = !mask[r];
        for (size_t j = 0; !masked && j < record->row; j++)
            record->d[0][r * record->row + j] += dy[j];
        if (!masked || pass->zero_output_for_mask)
            memset(dy, 0, size);
        for (int i = 0; masked && i < pass->ops->n_states; i++) {
            memcpy(record->aside[i] + r * record->row, record->d[i] + r * record->row, size);
            memset(record->d[i] + r * record->row, 0, size);
        }
    }
}

static void take_back(const struct pass *pass, const struct record *record, const uint8_t *mask, int rows) {
    for (size_t r = 0; r < (size_t)rows; r++)
        for (int i = 0; !mask[r] && i < pass->ops->n_states; i++)
            memcpy(record->d[i] + r * record->row, record->aside[i] + r * record->row, record->row * sizeof(float));
}

static void add(size_t n, const float *from, float *to) {
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* d before the first step, from d after the last one; gates become d loss / d (x W + b) of all steps. */
static void back_through_time(const struct pass *pass, const struct layer_run *run, const float *dy,
                              const struct record *record) {
    size_t steps = (size_t)run->in[0].steps;
    memset(record->dy, 0, record->step * sizeof *dy);
    for (size_t s = steps; s-- > 0;) {
        size_t t = time_of(pass, run, s);
        struct tape_step step = step_of(pass, run, record, t);
        const uint8_t *mask = mask_at(pass, run, t);
        if (pass->return_sequences || s == steps - 1)
            add(record->step, pass->return_sequences ? dy + s * record->step : dy, mask ? record->dy : record->d[0]);
        if (mask)
            set_aside(pass, record, mask, run->rows);
        pass->ops->backward(pass, &step);
        if (mask)
            take_back(pass, record, mask, run->rows);
    }
}

void pass_tape_backward(const struct pass *pass, const struct layer_run *run, const float *dy, float *tape) {
    const struct port *x = &run->in[0];
    int n = x->steps * run->rows, n_z = pass->ops->n_gates * pass->units;
    struct record record = record_of(pass, run, tape);

    for (int i = 0; i < pass->ops->n_states; i++) {
        const float *from = run->out[pass->state_port + i].grad;
        memset(record.d[i], 0, record.step * sizeof *dy);
        if (from)
            add(record.step, from, record.d[i]);
    }
    back_through_time(pass, run, dy, &record);
    for (int i = 0; i < pass->ops->n_states; i++)
        if (run->in[pass->state_port + i].grad)
            add(record.step, record.d[i], run->in[pass->state_port + i].grad);

    dropped_product_gradient(&record.x, n, n_z, x->data, record.gates, pass->dw, n_z);
    const float *h_before = record.states[0] + (pass->goes_back ? record.step : 0);
    if (pass->ops->recurrent_gradient)
        pass->ops->recurrent_gradient(pass, &record.h, n, h_before, record.gates, record.kept);
    else
        dropped_product_gradient(&record.h, n, n_z, h_before, record.gates, pass->du, n_z);
    if (pass->db)
        rows_add(n, n_z, record.gates, pass->db);
    if (x->grad)
        dropped_product_back(&record.x, n, n_z, record.gates, pass->w, x->grad, n_z);
}
