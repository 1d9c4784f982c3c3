/* A pass on the tape: forward by matrix products over all steps where that can be, and back through time. */
#include "engine/layers/activation.h"
#include "engine/layers/recurrent.h"

#include <string.h>

/* What lies on the tape. Gates, pre and kept are in the order of time; so are the states, steps + 1 of each kind, so
 * that those around step t are at t and t + 1, whichever of them is before it. */
struct record {
    float *gates, *pre, *kept;
    float *states[CELL_STATES];
    float *d[CELL_STATES];     /* [rows x units]: d loss / d states after the step in hand */
    float *aside[CELL_STATES]; /* [rows x units]: the same of masked rows, while the cell takes a step back */
    float *dy;                 /* [rows x units]: d loss / d what came out at the step in hand */
    float *dz;                 /* [steps of a block x rows x n_gates units] */
    float *packed;             /* of the step's */
    struct masks x, h;         /* what is dropped */
    size_t row, step;          /* units, and rows times units */
};

static bool keeps_pre(const struct pass *pass) {
    return activation_needs_input(pass->activation) ||
           (pass->ops->n_gates > 1 && activation_needs_input(pass->recurrent_activation));
}

/* Where a record goes; at NULL: how large it is. */
struct room {
    float *at;
    size_t n;
};

/* What begins on a cache line goes on so. */
static float *take(struct room *room, size_t n) {
    float *taken = room->at ? room->at + room->n : NULL;
    room->n += whole_lines(n);
    return taken;
}

/* W and U, or U' and W'. */
static size_t packed_size(const struct pass *pass) {
    int n_z = pass->ops->n_gates * pass->units;
    size_t forward = product_packed_size(pass->n_in, n_z) + product_packed_size(pass->units, n_z);
    size_t back = product_packed_size(n_z, pass->units) + product_packed_size(n_z, pass->n_in);
    return forward > back ? forward : back;
}

/* Going back, so many steps come between two products for the gradients: as many as leave dz in the second cache. */
static size_t steps_of_block(const struct pass *pass, int rows) {
    const size_t floats = 65536;
    size_t each = (size_t)rows * (size_t)pass->ops->n_gates * (size_t)pass->units;
    return each < floats ? floats / each : 1;
}

/* Everything but the masks, which follow. */
static struct record place(const struct pass *pass, int rows, size_t steps, struct room *tape) {
    size_t row = (size_t)pass->units, step = (size_t)rows * row, n_gates = (size_t)pass->ops->n_gates;
    struct record record = {.row = row, .step = step, .gates = take(tape, n_gates * steps * step)};
    if (keeps_pre(pass))
        record.pre = take(tape, n_gates * steps * step);
    record.kept = take(tape, (size_t)pass->ops->n_kept * steps * step);
    for (int i = 0; i < pass->ops->n_states; i++) {
        record.states[i] = take(tape, (steps + 1) * step);
        record.d[i] = take(tape, step);
        record.aside[i] = take(tape, step);
    }
    record.dy = take(tape, step);
    size_t block = steps_of_block(pass, rows);
    record.dz = take(tape, (block < steps ? block : steps) * n_gates * step);
    record.packed = take(tape, packed_size(pass));
    return record;
}

size_t pass_tape_size(const struct pass *pass, int rows, int steps) {
    struct room tape = {0};
    place(pass, rows, (size_t)steps, &tape);
    return tape.n + masks_size(pass, rows, steps);
}

static struct record record_of(const struct pass *pass, const struct layer_run *run, float *tape) {
    struct room room = {.at = tape};
    struct record record = place(pass, run->rows, (size_t)run->in[0].steps, &room);
    masks_place(pass, run, tape + room.n, &record.x, &record.h);
    return record;
}

static struct tape_step step_of(const struct pass *pass, const struct layer_run *run, const struct record *record,
                                size_t t) {
    size_t n_gates = (size_t)pass->ops->n_gates, n_kept = (size_t)pass->ops->n_kept;
    struct tape_step step = {
        .kernels = run->kernels,
        .products = run->products,
        .rows = run->rows,
        .x = run->in[0].data + t * (size_t)run->rows * (size_t)pass->n_in,
        .packed = record->packed,
        .gates = record->gates + t * n_gates * record->step,
        .pre = record->pre ? record->pre + t * n_gates * record->step : NULL,
        .kept = record->kept + t * n_kept * record->step,
        .x_dropped = record->x,
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

void step_sums(const struct pass *pass, const struct tape_step *step, bool x, bool h, const float *bias, float *z) {
    int n_z = pass->ops->n_gates * pass->units, n_terms = 0;
    bool x_dropped = x && step->x_dropped.n > 0, h_dropped = h && step->dropped.n > 0;
    const float *packed_u = step->packed + product_packed_size(pass->n_in, n_z);
    struct product_term terms[PRODUCT_TERMS] = {0};

    if (x && !x_dropped)
        terms[n_terms++] = (struct product_term){pass->n_in, matrix_of(step->x, pass->n_in), step->packed};
    if (h && !h_dropped)
        terms[n_terms++] = (struct product_term){pass->units, matrix_of(step->before[0], pass->units), packed_u};
    step->products->multiply(step->rows, n_z, n_terms, terms, bias, false, z, n_z);
    if (x_dropped)
        dropped_product(&step->x_dropped, step->rows, n_z, step->x, pass->w, z, n_z);
    if (h_dropped)
        dropped_product(&step->dropped, step->rows, n_z, step->before[0], pass->u, z, n_z);
}

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
    int n_z = pass->ops->n_gates * pass->units;
    struct record record = record_of(pass, run, tape);
    const float *before = NULL, *first = record.states[0] + (pass->goes_back ? (size_t)x->steps * record.step : 0);

    first_states(pass, run, &record);
    if (run->rng)
        masks_draw(pass, run->rng, &record.x, &record.h);
    run->products->pack(pass->n_in, n_z, matrix_of(pass->w, n_z), record.packed);
    run->products->pack(pass->units, n_z, matrix_of(pass->u, n_z),
                        record.packed + product_packed_size(pass->n_in, n_z));
    for (size_t s = 0; s < (size_t)x->steps; s++) {
        size_t t = time_of(pass, run, s);
        struct tape_step step = step_of(pass, run, &record, t);
        const uint8_t *mask = mask_at(pass, run, t);
        pass->ops->record(pass, &step);
        for (size_t r = 0; mask && r < (size_t)run->rows; r++)
            for (int i = 0; !mask[r] && i < pass->ops->n_states; i++)
                memcpy(step.after[i] + r * record.row, step.before[i] + r * record.row, record.row * sizeof *y);
        float *y_at = pass->return_sequences ? y + s * record.step : y;
        if (pass->return_sequences || mask || s + 1 == (size_t)x->steps)
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

void step_back(const struct pass *pass, const struct tape_step *step, const float *dz, bool keep) {
    int n_z = pass->ops->n_gates * pass->units;
    const struct product_term term = {n_z, matrix_of(dz, n_z), step->packed};
    if (step->dropped.n == 0) {
        step->products->multiply(step->rows, pass->units, 1, &term, NULL, keep, step->d[0], pass->units);
        return;
    }
    if (!keep)
        memset(step->d[0], 0, (size_t)step->rows * (size_t)pass->units * sizeof *step->d[0]);
    dropped_product_back(&step->dropped, step->rows, n_z, dz, pass->u, step->d[0], n_z);
}

/* Of the parameters and of x, from dz of n steps from step t on. */
static void gradients(const struct pass *pass, const struct layer_run *run, const struct record *record, size_t t,
                      size_t n) {
    int rows = (int)n * run->rows, n_z = pass->ops->n_gates * pass->units, n_of = 0;
    size_t x_at = t * (size_t)run->rows * (size_t)pass->n_in;
    const float *x = run->in[0].data + x_at, *h_before = record->states[0] + (t + pass->goes_back) * record->step;
    struct product_gradient of[3];

    if (record->x.n == 0)
        of[n_of++] = (struct product_gradient){pass->n_in, matrix_of(x, pass->n_in), pass->dw, n_z};
    else
        dropped_product_gradient(&record->x, rows, n_z, x, record->dz, pass->dw, n_z);
    if (pass->ops->recurrent_gradient)
        pass->ops->recurrent_gradient(pass, &record->h, rows, h_before, record->dz,
                                      record->kept + t * (size_t)pass->ops->n_kept * record->step);
    else if (record->h.n == 0)
        of[n_of++] = (struct product_gradient){pass->units, matrix_of(h_before, pass->units), pass->du, n_z};
    else
        dropped_product_gradient(&record->h, rows, n_z, h_before, record->dz, pass->du, n_z);
    if (pass->db)
        of[n_of++] = (struct product_gradient){1, matrix_of_ones(), pass->db, n_z};
    run->products->gradients(n_z, rows, matrix_of(record->dz, n_z), n_of, of);

    float *dx = run->in[0].grad;
    const struct product_term term = {n_z, matrix_of(record->dz, n_z),
                                      record->packed + product_packed_size(n_z, pass->units)};
    if (dx && record->x.n == 0)
        run->products->multiply(rows, pass->n_in, 1, &term, NULL, true, dx + x_at, pass->n_in);
    else if (dx)
        dropped_product_back(&record->x, rows, n_z, record->dz, pass->w, dx + x_at, n_z);
}

/* d before the first step, from d after the last one, and the gradients, block by block. */
static void back_through_time(const struct pass *pass, const struct layer_run *run, const float *dy,
                              const struct record *record) {
    size_t steps = (size_t)run->in[0].steps, n_z = (size_t)pass->ops->n_gates * (size_t)pass->units;
    size_t block = steps_of_block(pass, run->rows);
    memset(record->dy, 0, record->step * sizeof *dy);
    for (size_t end = steps, begin; end > 0; end = begin) {
        begin = end > block ? end - block : 0;
        size_t first = time_of(pass, run, pass->goes_back ? end - 1 : begin);
        for (size_t s = end; s-- > begin;) {
            size_t t = time_of(pass, run, s);
            struct tape_step step = step_of(pass, run, record, t);
            const uint8_t *mask = mask_at(pass, run, t);
            step.dz = record->dz + (t - first) * (size_t)run->rows * n_z;
            if (pass->return_sequences || s == steps - 1)
                add(record->step, pass->return_sequences ? dy + s * record->step : dy,
                    mask ? record->dy : record->d[0]);
            if (mask)
                set_aside(pass, record, mask, run->rows);
            pass->ops->backward(pass, &step);
            if (mask)
                take_back(pass, record, mask, run->rows);
        }
        gradients(pass, run, record, first, end - begin);
    }
}

void pass_tape_backward(const struct pass *pass, const struct layer_run *run, const float *dy, float *tape) {
    struct record record = record_of(pass, run, tape);
    int n_z = pass->ops->n_gates * pass->units;

    for (int i = 0; i < pass->ops->n_states; i++) {
        const float *from = run->out[pass->state_port + i].grad;
        memset(record.d[i], 0, record.step * sizeof *dy);
        if (from)
            add(record.step, from, record.d[i]);
    }
    run->products->pack(n_z, pass->units, matrix_transposed(pass->u, n_z), record.packed);
    if (run->in[0].grad)
        run->products->pack(n_z, pass->n_in, matrix_transposed(pass->w, n_z),
                            record.packed + product_packed_size(n_z, pass->units));
    back_through_time(pass, run, dy, &record);
    for (int i = 0; i < pass->ops->n_states; i++)
        if (run->in[pass->state_port + i].grad)
            add(record.step, record.d[i], run->in[pass->state_port + i].grad);
}
