/*
 * Bidirectional: a cell twice, over the steps as they come and from the last one back, what comes out merged.
 *
 * The second pass' outputs are turned round, so that both are of the same step. Inputs 1.., if any, are the initial
 * states of the first pass and then of the second; so are outputs 1.. with return_state.
 */
#include "engine/layers/recurrent.h"

#include <string.h>

/* Both passes of a run and their outputs, and where their memory lies in run->work. */
struct passes {
    struct pass pass[2];
    float *y[2], *dy[2], *work[2];
};

static size_t bidirectional_work_size(const struct layer *layer, int rows, int steps) {
    struct pass pass = pass_of(layer, NULL, 0);
    return 2 * (pass_work_size(&pass, rows, steps) + pass_output_size(&pass, rows, steps));
}

static size_t bidirectional_tape_size(const struct layer *layer, int rows, int steps) {
    struct pass pass = pass_of(layer, NULL, 0);
    return 2 * (pass_tape_size(&pass, rows, steps) + 2 * pass_output_size(&pass, rows, steps));
}

static struct passes passes_of(const struct layer *layer, const struct layer_run *run, bool tape) {
    struct passes passes = {.pass = {pass_of(layer, run, 0), pass_of(layer, run, 1)}};
    int steps = run->in[0].steps;
    size_t size = pass_output_size(&passes.pass[0], run->rows, steps);
    size_t work =
        tape ? pass_tape_size(&passes.pass[0], run->rows, steps) : pass_work_size(&passes.pass[0], run->rows, steps);
    for (int i = 0; i < 2; i++) {
        passes.y[i] = run->work + (size_t)i * size;
        passes.work[i] = run->work + 2 * size + (size_t)i * work;
        passes.dy[i] = run->work + 2 * size + 2 * work + (size_t)i * size; /* on a tape only */
    }
    return passes;
}

/* Where the second pass has the outputs of step t. */
static size_t turned(const struct layer *layer, const struct layer_run *run, size_t t) {
    return layer->spec.return_sequences ? (size_t)run->out[0].steps - 1 - t : t;
}

/* ---- merging ------------------------------------------------------------------------------------ */

/* y of one row of one step from a and b, [units] each. */
static void merge_row(enum merge_mode merge, size_t units, const float *a, const float *b, float *y) {
    if (merge == MERGE_CONCAT) {
        memcpy(y, a, units * sizeof *y);
        memcpy(y + units, b, units * sizeof *y);
        return;
    }
    for (size_t j = 0; j < units; j++)
        y[j] = merge == MERGE_MUL ? a[j] * b[j] : (a[j] + b[j]) * (merge == MERGE_AVE ? 0.5f : 1.0f);
}

static void split_row(enum merge_mode merge, size_t units, const float *a, const float *b, const float *dy, float *da,
                      float *db) {
    if (merge == MERGE_CONCAT) {
        memcpy(da, dy, units * sizeof *dy);
        memcpy(db, dy + units, units * sizeof *dy);
        return;
    }
    for (size_t j = 0; j < units; j++) {
        da[j] = merge == MERGE_MUL ? dy[j] * b[j] : dy[j] * (merge == MERGE_AVE ? 0.5f : 1.0f);
        db[j] = merge == MERGE_MUL ? dy[j] * a[j] : da[j];
    }
}

static void merge_outputs(const struct layer *layer, const struct layer_run *run, const struct passes *passes) {
    const struct port *y = &run->out[0];
    size_t rows = (size_t)run->rows, units = (size_t)layer->spec.units, width = (size_t)y->width;
    for (size_t t = 0; t < (size_t)y->steps; t++)
        for (size_t r = 0; r < rows; r++)
            merge_row(layer->spec.merge, units, passes->y[0] + (t * rows + r) * units,
                      passes->y[1] + (turned(layer, run, t) * rows + r) * units, y->data + (t * rows + r) * width);
}

static void split_gradient(const struct layer *layer, const struct layer_run *run, const struct passes *passes) {
    const struct port *y = &run->out[0];
    size_t rows = (size_t)run->rows, units = (size_t)layer->spec.units, width = (size_t)y->width;
    for (size_t t = 0; t < (size_t)y->steps; t++)
        for (size_t r = 0; r < rows; r++) {
            size_t a = (t * rows + r) * units, b = (turned(layer, run, t) * rows + r) * units;
            split_row(layer->spec.merge, units, passes->y[0] + a, passes->y[1] + b, y->grad + (t * rows + r) * width,
                      passes->dy[0] + a, passes->dy[1] + b);
        }
}

/* ---- running ------------------------------------------------------------------------------------ */

static void bidirectional_forward(const struct layer *layer, const struct layer_run *run) {
    struct passes passes = passes_of(layer, run, false);
    for (int i = 0; i < 2; i++)
        pass_forward(&passes.pass[i], run, passes.y[i], passes.work[i]);
    merge_outputs(layer, run, &passes);
}

static void bidirectional_tape_forward(const struct layer *layer, const struct layer_run *run) {
    struct passes passes = passes_of(layer, run, true);
    for (int i = 0; i < 2; i++)
        pass_tape_forward(&passes.pass[i], run, passes.y[i], passes.work[i]);
    merge_outputs(layer, run, &passes);
}

static void bidirectional_backward(const struct layer *layer, const struct layer_run *run) {
    struct passes passes = passes_of(layer, run, true);
    split_gradient(layer, run, &passes);
    for (int i = 0; i < 2; i++)
        pass_tape_backward(&passes.pass[i], run, passes.dy[i], passes.work[i]);
}

const struct layer_ops layer_bidirectional = {
    .name = "Bidirectional",
    .build = recurrent_build,
    .init_weights = recurrent_init_weights,
    .packed_size = recurrent_packed_size,
    .pack = recurrent_pack,
    .work_size = bidirectional_work_size,
    .tape_size = bidirectional_tape_size,
    .forward = bidirectional_forward,
    .tape_forward = bidirectional_tape_forward,
    .backward = bidirectional_backward,
};
