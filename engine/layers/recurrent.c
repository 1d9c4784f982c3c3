/* Recurrent layers: what they are asked for, their weights and ports, and one pass over a sequence. The tape's is in
 * recurrent_tape.c. */
#include "engine/layers/recurrent.h"
#include "engine/init.h"
#include "engine/layers/activation.h"

#include <string.h>

enum {
    BLOCK = 64, /* rows given to a cell at once; bounds an array on the stack */
    AHEAD = 64, /* rows, of several steps, whose inputs' part is made at once */
    FEW = 4,    /* rows that at each step would wait for W */
};

static bool is_bidirectional(const struct layer *layer) {
    return layer->spec.kind == LAYER_BIDIRECTIONAL;
}

/* NULL: not a cell. */
static const struct cell_ops *cell_of(const struct layer_spec *spec) {
    switch (spec->kind == LAYER_BIDIRECTIONAL ? spec->cell : spec->kind) {
    case LAYER_LSTM: return &cell_lstm;
    case LAYER_GRU: return spec->reset_after ? &cell_gru : &cell_gru_reset_before;
    case LAYER_SIMPLE_RNN: return &cell_simple_rnn;
    default: return NULL;
    }
}

/* ---- building ----------------------------------------------------------------------------------- */

static int check_spec(const struct layer *layer, const struct layer_build *build, const struct cell_ops *ops) {
    const struct layer_spec *spec = &layer->spec;
    if (layer_check_size(build, "units", spec->units))
        return -1;
    if (!activation_is_known(spec->activation))
        return error_set(build->err, "activation %d is unknown", (int)spec->activation);
    if (ops->n_gates > 1 && !activation_is_known(spec->recurrent_activation))
        return error_set(build->err, "recurrent_activation %d is unknown", (int)spec->recurrent_activation);
    if (!(spec->dropout >= 0 && spec->dropout < 1 && spec->recurrent_dropout >= 0 && spec->recurrent_dropout < 1))
        return error_set(build->err, "a rate of dropout is not from 0 to below 1");
    if (is_bidirectional(layer) && (unsigned)spec->merge > MERGE_AVE)
        return error_set(build->err, "merge_mode %d is unknown", (int)spec->merge);
    if ((is_bidirectional(layer) || spec->go_backwards || layer->n_in > 1) && layer_refuse_stream(layer, build))
        return -1;
    return 0;
}

/* Input 0 is a sequence; the others, if any, are the states to begin with. */
static int check_inputs(const struct layer *layer, const struct layer_build *build, int n_states) {
    if (layer->n_in != 1 && layer->n_in != 1 + n_states)
        return error_set(build->err, "has %d state%s, and an initial state of %d", n_states, n_states == 1 ? "" : "s",
                         layer->n_in - 1);
    if (!build->in[0].sequence)
        return error_set(build->err, "goes over steps, and its input has no time axis");
    for (int i = 1; i < layer->n_in; i++) {
        if (build->in[i].sequence)
            return error_set(build->err, "its initial state %d has a time axis", i - 1);
        if (build->in[i].width != layer->spec.units)
            return error_set(build->err, "its initial state %d is %d wide, and must be %d, its units", i - 1,
                             build->in[i].width, layer->spec.units);
    }
    return 0;
}

static int add_weights(struct layer *layer, const struct layer_build *build, const struct cell_ops *ops) {
    static const char *const names[3][3] = {
        {"kernel", "recurrent_kernel", "bias"},
        {"forward_kernel", "forward_recurrent_kernel", "forward_bias"},
        {"backward_kernel", "backward_recurrent_kernel", "backward_bias"},
    };
    int n_in = build->in[0].width, units = layer->spec.units, n_z = ops->n_gates * units;
    int bias[2] = {ops->bias_rows, n_z};

    for (int pass = 0; pass <= is_bidirectional(layer); pass++) {
        const char *const *name = names[is_bidirectional(layer) ? 1 + pass : 0];
        if (layer_add_weight(layer, build, name[0], true, 2, (int[]){n_in, n_z}) ||
            layer_add_weight(layer, build, name[1], true, 2, (int[]){units, n_z}) ||
            (layer->spec.use_bias &&
             layer_add_weight(layer, build, name[2], true, ops->bias_rows, bias + 2 - ops->bias_rows)))
            return -1;
    }
    return 0;
}

static void add_outputs(struct layer *layer, const struct layer_build *build, int width, int n_states) {
    struct tensor without_time = {.width = width, .steps = 1, .stride = 1, .mask = -1};

    layer_like_input(layer, build, width);
    if (!layer->spec.return_sequences)
        build->out[0] = without_time;
    without_time.width = layer->spec.units;
    for (int i = 0; layer->spec.return_state && i < n_states; i++)
        build->out[layer->n_out++] = without_time;
}

int recurrent_build(struct layer *layer, struct layer_build *build) {
    const struct cell_ops *ops = cell_of(&layer->spec);
    if (!ops)
        return error_set(build->err, "kind %d is not a cell that can go both ways", (int)layer->spec.cell);
    int n_passes = is_bidirectional(layer) ? 2 : 1, n_states = n_passes * ops->n_states, units = layer->spec.units;
    if (check_spec(layer, build, ops) || check_inputs(layer, build, n_states))
        return -1;
    int width = is_bidirectional(layer) && layer->spec.merge == MERGE_CONCAT ? 2 * units : units;
    if (layer_check_size(build, "the width of its outputs", width))
        return -1;
    if (is_bidirectional(layer)) /* Keras: what comes out at a masked step would not be the other pass' */
        layer->spec.zero_output_for_mask = layer->spec.return_sequences;
    add_outputs(layer, build, width, n_states);
    layer->n_state = layer->carries ? (size_t)n_states * (size_t)units : 0;
    return add_weights(layer, build, ops);
}

void recurrent_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    size_t units = (size_t)layer->spec.units;
    for (int pass = 0; pass <= is_bidirectional(layer); pass++) {
        const struct network_weight *kernel =
            &layer->weights[pass * (layer->n_weights / (1 + is_bidirectional(layer)))];
        const struct network_weight *recurrent = kernel + 1, *bias = kernel + 2;
        init_glorot_uniform(rng, kernel->dims[0], kernel->dims[1], params + kernel->at);
        init_orthogonal(rng, recurrent->dims[0], recurrent->dims[1], params + recurrent->at);
        if (!layer->spec.use_bias)
            continue;
        memset(params + bias->at, 0, bias->n * sizeof *params);
        for (size_t j = units; cell_of(&layer->spec) == &cell_lstm && j < 2 * units; j++)
            params[bias->at + j] = 1; /* the forget gate's: at first it remembers */
    }
}

/* ---- packed weights ----------------------------------------------------------------------------- */

static size_t pass_packed_size(const struct pass *pass) {
    return pass->is_plain && pass->ops->has_kernel ? kernels_packed_size(pass->ops->kernel, pass->n_in, pass->units)
                                                   : 0;
}

size_t recurrent_packed_size(const struct layer *layer) {
    struct pass pass = pass_of(layer, NULL, 0);
    return pass_packed_size(&pass) * (is_bidirectional(layer) ? 2 : 1);
}

void recurrent_pack(const struct layer *layer, const struct kernels *kernels, enum precision precision,
                    const float *params, float *to) {
    struct layer_run run = {.params = params, .packed = to, .precision = precision};
    for (int i = 0; i <= is_bidirectional(layer); i++) {
        struct pass pass = pass_of(layer, &run, i);
        kernels->pack(&pass.packed, pass.w, pass.u, pass.bias, to + (size_t)i * pass_packed_size(&pass));
    }
}

/* ---- a pass ------------------------------------------------------------------------------------- */

struct pass pass_of(const struct layer *layer, const struct layer_run *run, int index) {
    const struct layer_spec *spec = &layer->spec;
    const struct cell_ops *ops = cell_of(spec);
    const struct network_weight *weight = &layer->weights[index * (spec->use_bias ? 3 : 2)];
    struct pass pass = {
        .ops = ops,
        .n_in = weight->dims[0],
        .units = spec->units,
        .activation = spec->activation,
        .recurrent_activation = spec->recurrent_activation,
        .goes_back = spec->go_backwards != (index == 1),
        .return_sequences = spec->return_sequences,
        .zero_output_for_mask = spec->zero_output_for_mask,
        .ignores_mask = layer->n_in > 1 && !spec->keras2_masks,
        .carries = layer->carries,
        .is_piece = layer->carries && layer->mode == NETWORK_STREAM,
        .is_plain = spec->activation == ACTIVATION_TANH && spec->recurrent_activation == ACTIVATION_SIGMOID,
        .dropout = spec->dropout,
        .recurrent_dropout = spec->recurrent_dropout,
        .state_at = layer->state_at + (size_t)(index * ops->n_states) * (size_t)spec->units,
        .state_port = 1 + index * ops->n_states,
        .w = NULL,
        .u = NULL,
        .bias = NULL,
        .packed = {ops->kernel, PRECISION_F32, weight->dims[0], spec->units, NULL},
        .dw = NULL,
        .du = NULL,
        .db = NULL,
    };
    if (!run)
        return pass;
    pass.packed.precision = run->precision;
    pass.packed.blocks = run->packed;
    if (run->packed && index > 0)
        pass.packed.blocks += (size_t)index * pass_packed_size(&pass);
    pass.w = run->params + weight[0].at;
    pass.u = run->params + weight[1].at;
    pass.bias = spec->use_bias ? run->params + weight[2].at : NULL;
    if (run->grads) {
        pass.dw = run->grads + weight[0].at;
        pass.du = run->grads + weight[1].at;
        pass.db = spec->use_bias ? run->grads + weight[2].at : NULL;
    }
    return pass;
}

size_t pass_output_size(const struct pass *pass, int rows, int steps) {
    return (size_t)(pass->return_sequences ? steps : 1) * (size_t)rows * (size_t)pass->units;
}

void pass_affine(const struct pass *pass, const struct kernels *kernels, int n, const float *x, float *const *state,
                 int recurrent_gates, float *z) {
    size_t n_z = (size_t)pass->ops->n_gates * (size_t)pass->units;
    const float *x_at[CELL_ROWS], *h_at[CELL_ROWS];

    for (int i = 0; i < n; i++) {
        x_at[i] = x + (size_t)i * (size_t)pass->n_in;
        h_at[i] = state[i];
    }
    rows_begin((size_t)n, n_z, pass->bias, z);
    kernels->accumulate(n, pass->n_in, (int)n_z, x_at, n_z, pass->w, n_z, z);
    kernels->accumulate(n, pass->units, recurrent_gates * pass->units, h_at, n_z, pass->u, n_z, z);
}

void pass_first_state(const struct pass *pass, const struct layer_run *run, size_t r, int i, float *state) {
    size_t units = (size_t)pass->units;
    const float *given = run->in[pass->state_port + i].data; /* NULL: no such input */
    if (pass->carries)
        memcpy(state, run->state[r] + pass->state_at + (size_t)i * units, units * sizeof *state);
    else if (given)
        memcpy(state, given + r * units, units * sizeof *state);
    else
        memset(state, 0, units * sizeof *state);
}

/* ---- serving ------------------------------------------------------------------------------------ */

/* A pass at work. */
struct walk {
    const struct pass *pass;
    const struct layer_run *run;
    float *own_states; /* [rows x n_states units], if not carried */
    float *scratch;
    float *sums; /* [steps x rows x kernels_inputs_size], of n_ahead steps from the first_ahead-th on */
    size_t first_ahead, n_ahead;
};

static float *state_of(const struct walk *walk, int r) {
    const struct pass *pass = walk->pass;
    if (pass->carries)
        return walk->run->state[r] + pass->state_at;
    return walk->own_states + (size_t)r * (size_t)pass->ops->n_states * (size_t)pass->units;
}

/* Steps whose inputs' part is made at once, where rows are few; 0: none. */
static size_t steps_ahead(const struct pass *pass, int rows, int steps) {
    if (!pass->is_plain || !pass->ops->has_kernel || rows > FEW || steps < 2)
        return 0;
    return (size_t)(rows * steps < AHEAD ? steps : AHEAD / rows);
}

/* For as many rows, or fewer: it is few that have sums made ahead. */
size_t pass_work_size(const struct pass *pass, int rows, int steps) {
    size_t own = pass->carries ? 0 : (size_t)rows * (size_t)pass->ops->n_states;
    int few = rows < FEW ? rows : FEW, ahead = few * steps < AHEAD ? few * steps : AHEAD;
    size_t sums = steps_ahead(pass, few, steps) > 0 ? (size_t)ahead * kernels_inputs_size(pass->units) : 0;
    return (PASS_SCRATCH + own) * (size_t)pass->units + sums;
}

/* Rows from `row` on that a cell can take together: up to BLOCK, up to the next one that differs in mask. */
static int rows_alike(const uint8_t *mask, int row, int rows) {
    int end = rows - row > BLOCK ? row + BLOCK : rows, next = row + 1;
    if (!mask)
        return end - row;
    while (next < end && !mask[next] == !mask[row])
        next++;
    return next - row;
}

/* What comes out at a masked step; before [n x units]: what came out before it, NULL where nothing did. */
static void put_masked(const struct walk *walk, int row, int n, const float *before, float *y) {
    size_t units = (size_t)walk->pass->units, size = units * sizeof *y;
    for (int i = 0; i < n; i++) {
        float *y_at = y + (size_t)i * units;
        if (walk->pass->zero_output_for_mask)
            memset(y_at, 0, size);
        else if (before)
            memmove(y_at, before + (size_t)i * units, size);
        else if (walk->pass->is_piece)
            memcpy(y_at, state_of(walk, row + i), size);
        else
            memset(y_at, 0, size);
    }
}

/* The inputs' part of all rows at step t, made with that of the steps that come next; NULL where the cell makes it. */
static const float *sums_of(struct walk *walk, size_t t) {
    const struct pass *pass = walk->pass;
    const struct port *x = &walk->run->in[0];
    size_t rows = (size_t)walk->run->rows, steps = (size_t)x->steps, most = steps_ahead(pass, (int)rows, x->steps);
    if (most == 0)
        return NULL;
    if (t - walk->first_ahead >= walk->n_ahead) { /* also where t is before it */
        size_t n = pass->goes_back ? t + 1 : steps - t;
        walk->n_ahead = n < most ? n : most;
        walk->first_ahead = pass->goes_back ? t + 1 - walk->n_ahead : t;
        walk->run->kernels->inputs(&pass->packed, (int)(walk->n_ahead * rows),
                                   x->data + walk->first_ahead * rows * (size_t)pass->n_in, walk->sums);
    }
    return walk->sums + (t - walk->first_ahead) * rows * kernels_inputs_size(pass->units);
}

/* One step: x [rows x n_in], their part of the gates or NULL, mask [rows] or NULL, before and y [rows x units]. */
static void walk_step(const struct walk *walk, const float *x, const float *sums, const uint8_t *mask,
                      const float *before, float *y) {
    const struct pass *pass = walk->pass;
    size_t units = (size_t)pass->units;
    int rows = walk->run->rows;

    for (int row = 0, n; row < rows; row += n) {
        float *state[BLOCK], *y_at = y + (size_t)row * units;
        n = rows_alike(mask, row, rows);
        if (mask && !mask[row]) {
            put_masked(walk, row, n, before ? before + (size_t)row * units : NULL, y_at);
            continue;
        }
        for (int i = 0; i < n; i++)
            state[i] = state_of(walk, row + i);
        pass->ops->step(pass, walk->run->kernels, n, x + (size_t)row * (size_t)pass->n_in,
                        sums ? sums + (size_t)row * kernels_inputs_size(pass->units) : NULL, state, y_at,
                        walk->scratch);
    }
}

/* The states after the last step, to their ports. */
static void put_states(const struct walk *walk) {
    size_t units = (size_t)walk->pass->units;
    for (int i = 0; i < walk->pass->ops->n_states; i++) {
        float *to = walk->run->out[walk->pass->state_port + i].data; /* NULL: no such output */
        for (int r = 0; to && r < walk->run->rows; r++)
            memcpy(to + (size_t)r * units, state_of(walk, r) + (size_t)i * units, units * sizeof *to);
    }
}

void pass_forward(const struct pass *pass, const struct layer_run *run, float *y, float *work) {
    const struct port *x = &run->in[0];
    size_t rows = (size_t)run->rows, steps = (size_t)x->steps, step_size = rows * (size_t)pass->units;
    const uint8_t *mask = pass->ignores_mask ? NULL : x->mask;
    struct walk walk = {pass, run, .scratch = work, .own_states = work + PASS_SCRATCH * (size_t)pass->units};
    walk.sums = walk.own_states + (pass->carries ? 0 : rows * (size_t)pass->ops->n_states * (size_t)pass->units);

    for (int r = 0; !pass->carries && r < run->rows; r++)
        for (int i = 0; i < pass->ops->n_states; i++)
            pass_first_state(pass, run, (size_t)r, i, state_of(&walk, r) + (size_t)i * (size_t)pass->units);
    if (!pass->return_sequences)
        put_masked(&walk, 0, run->rows, NULL, y); /* until a step is not masked */
    for (size_t s = 0; s < steps; s++) {
        size_t t = pass->goes_back ? steps - 1 - s : s;
        float *y_at = pass->return_sequences ? y + s * step_size : y;
        const float *before = !pass->return_sequences ? y : s > 0 ? y_at - step_size : NULL;
        walk_step(&walk, x->data + t * rows * (size_t)pass->n_in, sums_of(&walk, t), mask ? mask + t * rows : NULL,
                  before, y_at);
    }
    put_states(&walk);
}

/* ---- the layers of one pass --------------------------------------------------------------------- */

size_t recurrent_work_size(const struct layer *layer, int rows, int steps) {
    struct pass pass = pass_of(layer, NULL, 0);
    return pass_work_size(&pass, rows, steps);
}

void recurrent_forward(const struct layer *layer, const struct layer_run *run) {
    struct pass pass = pass_of(layer, run, 0);
    pass_forward(&pass, run, run->out[0].data, run->work);
}

size_t recurrent_tape_size(const struct layer *layer, int rows, int steps) {
    struct pass pass = pass_of(layer, NULL, 0);
    return pass_tape_size(&pass, rows, steps);
}

void recurrent_tape_forward(const struct layer *layer, const struct layer_run *run) {
    struct pass pass = pass_of(layer, run, 0);
    pass_tape_forward(&pass, run, run->out[0].data, run->work);
}

void recurrent_backward(const struct layer *layer, const struct layer_run *run) {
    struct pass pass = pass_of(layer, run, 0);
    pass_tape_backward(&pass, run, run->out[0].grad, run->work);
}
