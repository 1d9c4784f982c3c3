/*
 * LSTM, as Keras': gates in the order i, f, c, o; sigmoid; tanh; every step's h comes out.
 *
 *     z = x W + h U + b        i, f, o = sigmoid(zi, zf, zo)    g = tanh(zc)
 *     c' = f c + i g           h' = o tanh(c')
 *
 * In [steps x rows x n_in], out [steps x rows x hidden]; parameters W [n_in x 4 hidden],
 * U [hidden x 4 hidden], b [4 hidden]; state of a row h [hidden], c [hidden]. Where the mask is 0 the
 * state stays and h comes out once more. (Keras gives zeros instead while nothing has come out in the
 * same call. Here calls may be split anywhere, so the state alone decides.)
 */
#include "engine/init.h"
#include "engine/layers/layer.h"
#include "engine/product.h"

enum {
    BLOCK = 64, /* rows given to the kernel at once; bounds an array on the stack */
};

static int lstm_build(struct layer *layer, struct layer_build *build) {
    int n_in = build->in[0].width, hidden = layer->spec.units;
    if (layer_check_inputs(layer, build, 1, 1) || layer_check_size(build, "units", hidden))
        return -1;
    if (!layer->carries || !layer->spec.return_sequences)
        return error_set(build->err, "runs only with its state carried and every step coming out, so far");
    layer_like_input(layer, build, hidden);
    layer->n_state = 2 * (size_t)hidden;
    if (layer_add_weight(layer, build, "kernel", true, 2, (int[]){n_in, 4 * hidden}) ||
        layer_add_weight(layer, build, "recurrent_kernel", true, 2, (int[]){hidden, 4 * hidden}) ||
        layer_add_weight(layer, build, "bias", true, 1, (int[]){4 * hidden}))
        return -1;
    return 0;
}

struct weights {
    const float *w, *u, *bias;
};

static struct weights weights_of(int n_in, int hidden, const float *params) {
    size_t n_gates = 4 * (size_t)hidden;
    const float *u = params + (size_t)n_in * n_gates;
    return (struct weights){.w = params, .u = u, .bias = u + (size_t)hidden * n_gates};
}

static void lstm_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    int hidden = layer->spec.units, n_gates = 4 * hidden;
    int n_in = (int)(layer->n_params / (size_t)n_gates) - hidden - 1;
    float *u = params + (size_t)n_in * (size_t)n_gates, *bias = u + (size_t)hidden * (size_t)n_gates;

    init_glorot_uniform(rng, n_in, n_gates, params);
    init_orthogonal(rng, hidden, n_gates, u);
    for (int j = 0; j < n_gates; j++)
        bias[j] = j >= hidden && j < 2 * hidden ? 1 : 0; /* the forget gate's: at first it remembers */
}

/* ---- serving ------------------------------------------------------------------------------------ */

static size_t lstm_work_size(const struct layer *layer, int rows, int steps) {
    (void)rows, (void)steps;
    return KERNELS_ROWS * 4 * (size_t)layer->spec.units;
}

/* Rows from `row` on that the kernel can take together: up to BLOCK, up to the next one that differs in mask. */
static int rows_alike(const uint8_t *mask, int row, int rows) {
    int end = rows - row > BLOCK ? row + BLOCK : rows, next = row + 1;
    if (!mask)
        return end - row;
    while (next < end && !mask[next] == !mask[row])
        next++;
    return next - row;
}

/* One step: x [rows x n_in], y [rows x hidden], mask [rows] or NULL. */
static void lstm_step(const struct layer *layer, const struct layer_run *run, const float *x, const uint8_t *mask,
                      float *y) {
    int n_in = run->in[0].width, hidden = layer->spec.units;
    struct weights weights = weights_of(n_in, hidden, run->params);

    for (int row = 0, n; row < run->rows; row += n) {
        float *state[BLOCK];
        n = rows_alike(mask, row, run->rows);
        for (int i = 0; i < n; i++)
            state[i] = run->state[row + i] + layer->state_at;

        float *y_at = y + (size_t)row * (size_t)hidden;
        if (!mask || mask[row])
            run->kernels->lstm(n, n_in, hidden, weights.w, weights.u, weights.bias, x + (size_t)row * (size_t)n_in,
                               state, y_at, run->work);
        else
            for (int i = 0; i < n; i++)
                memcpy(y_at + (size_t)i * (size_t)hidden, state[i], (size_t)hidden * sizeof *y);
    }
}

static void lstm_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t rows = (size_t)run->rows;

    for (size_t t = 0; t < (size_t)x->steps; t++)
        lstm_step(layer, run, x->data + t * rows * (size_t)x->width, x->mask ? x->mask + t * rows : NULL,
                  y->data + t * rows * (size_t)y->width);
}

/* ---- training ----------------------------------------------------------------------------------- */

/* What back-propagation needs, in run->work. h and c begin with the state before the first step. */
struct record {
    float *gates;     /* [steps x rows x 4 hidden], activated; backward turns them into dz */
    float *h, *c;     /* [steps + 1 x rows x hidden] */
    float *tanh_c;    /* [steps x rows x hidden], of c after the step */
    float *dh, *dc;   /* [rows x hidden], d loss / d state after the step in hand */
    float *dh_before; /* [rows x hidden], the same before it */
};

static size_t lstm_tape_size(const struct layer *layer, int rows, int steps) {
    return (size_t)rows * (size_t)layer->spec.units *
           (4 * (size_t)steps + 2 * ((size_t)steps + 1) + (size_t)steps + 3);
}

static struct record record_of(const struct layer *layer, const struct layer_run *run) {
    size_t step = (size_t)run->rows * (size_t)layer->spec.units, steps = (size_t)run->in[0].steps;
    struct record record;
    record.gates = run->work;
    record.h = record.gates + 4 * steps * step;
    record.c = record.h + (steps + 1) * step;
    record.tanh_c = record.c + (steps + 1) * step;
    record.dh = record.tanh_c + steps * step;
    record.dc = record.dh + step;
    record.dh_before = record.dc + step;
    return record;
}

/* c and h [rows x hidden] after a step, from those before and z, which becomes the gates. */
static void record_step(const struct layer *layer, const struct layer_run *run, const uint8_t *mask, float *z,
                        const float *h, const float *c, float *h_after, float *c_after, float *tanh_c) {
    size_t hidden = (size_t)layer->spec.units, n = (size_t)run->rows * hidden;

    for (size_t r = 0; r < (size_t)run->rows; r++) {
        float *gates = z + r * 4 * hidden;
        run->kernels->activate(ACTIVATION_SIGMOID, 1, 2 * hidden, gates);
        run->kernels->activate(ACTIVATION_TANH, 1, hidden, gates + 2 * hidden);
        run->kernels->activate(ACTIVATION_SIGMOID, 1, hidden, gates + 3 * hidden);
        for (size_t j = 0; j < hidden; j++)
            c_after[r * hidden + j] = mask && !mask[r]
                                          ? c[r * hidden + j]
                                          : gates[hidden + j] * c[r * hidden + j] + gates[j] * gates[2 * hidden + j];
    }
    memcpy(tanh_c, c_after, n * sizeof *tanh_c);
    run->kernels->activate(ACTIVATION_TANH, 1, n, tanh_c);
    for (size_t r = 0; r < (size_t)run->rows; r++)
        for (size_t j = 0; j < hidden; j++)
            h_after[r * hidden + j] =
                mask && !mask[r] ? h[r * hidden + j] : z[(4 * r + 3) * hidden + j] * tanh_c[r * hidden + j];
}

static void lstm_tape_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    int rows = run->rows, hidden = layer->spec.units, n_gates = 4 * hidden;
    size_t row_size = (size_t)hidden * sizeof(float), step = (size_t)rows * (size_t)hidden, steps = (size_t)x->steps;
    struct weights weights = weights_of(x->width, hidden, run->params);
    struct record record = record_of(layer, run);

    for (size_t r = 0; r < (size_t)rows; r++) {
        memcpy(record.h + r * (size_t)hidden, run->state[r] + layer->state_at, row_size);
        memcpy(record.c + r * (size_t)hidden, run->state[r] + layer->state_at + hidden, row_size);
    }
    rows_fill(x->steps * rows, n_gates, weights.bias, record.gates);
    product(x->steps * rows, n_gates, x->width, x->data, weights.w, 1, record.gates);
    for (size_t t = 0; t < steps; t++) {
        float *z = record.gates + 4 * t * step, *h = record.h + t * step, *c = record.c + t * step;
        product(rows, n_gates, hidden, h, weights.u, 1, z);
        record_step(layer, run, x->mask ? x->mask + t * (size_t)rows : NULL, z, h, c, h + step, c + step,
                    record.tanh_c + t * step);
    }
    memcpy(y->data, record.h + step, steps * step * sizeof *y->data);
    for (size_t r = 0; r < (size_t)rows; r++) {
        memcpy(run->state[r] + layer->state_at, record.h + steps * step + r * (size_t)hidden, row_size);
        memcpy(run->state[r] + layer->state_at + hidden, record.c + steps * step + r * (size_t)hidden, row_size);
    }
}

/* dz of one row at one step, in the place of its gates; dc becomes that before the step. */
static void row_backward(size_t hidden, float *gates, const float *c_before, const float *tanh_c, const float *dh,
                         float *dc) {
    float *at_i = gates, *at_f = at_i + hidden, *at_g = at_f + hidden, *at_o = at_g + hidden;

    for (size_t j = 0; j < hidden; j++) {
        float i = at_i[j], f = at_f[j], g = at_g[j], o = at_o[j];
        float d = dc[j] + dh[j] * o * (1 - tanh_c[j] * tanh_c[j]);
        at_i[j] = d * g * i * (1 - i);
        at_f[j] = d * c_before[j] * f * (1 - f);
        at_g[j] = d * i * (1 - g * g);
        at_o[j] = dh[j] * tanh_c[j] * o * (1 - o);
        dc[j] = d * f;
    }
}

/* One step back: dh, dc after it become those before it. A step passed over hands them on as they are. */
static void step_backward(const struct layer *layer, const struct layer_run *run, struct record *record, size_t t,
                          const float *u) {
    size_t rows = (size_t)run->rows, hidden = (size_t)layer->spec.units, step = rows * hidden;
    const uint8_t *mask = run->in[0].mask ? run->in[0].mask + t * rows : NULL;
    const float *dy = run->out[0].grad + t * step;
    float *gates = record->gates + 4 * t * step;

    for (size_t i = 0; i < step; i++)
        record->dh[i] += dy[i];
    for (size_t r = 0; r < rows; r++) {
        size_t at = r * hidden;
        if (mask && !mask[r])
            memset(gates + 4 * at, 0, 4 * hidden * sizeof *gates);
        else
            row_backward(hidden, gates + 4 * at, record->c + t * step + at, record->tanh_c + t * step + at,
                         record->dh + at, record->dc + at);
    }
    product_with_transposed(run->rows, (int)hidden, 4 * (int)hidden, gates, u, 0, record->dh_before);
    for (size_t r = 0; mask && r < rows; r++)
        if (!mask[r])
            memcpy(record->dh_before + r * hidden, record->dh + r * hidden, hidden * sizeof *record->dh);
    float *spent = record->dh;
    record->dh = record->dh_before;
    record->dh_before = spent;
}

static void lstm_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0];
    int hidden = layer->spec.units, n_gates = 4 * hidden, n = x->steps * run->rows;
    struct weights weights = weights_of(x->width, hidden, run->params);
    float *dw = run->grads, *du = dw + (weights.u - weights.w), *db = dw + (weights.bias - weights.w);
    struct record record = record_of(layer, run);

    memset(record.dh, 0, 2 * (size_t)run->rows * (size_t)hidden * sizeof *record.dh); /* and dc */
    for (int t = x->steps - 1; t >= 0; t--)
        step_backward(layer, run, &record, (size_t)t, weights.u);
    product_of_transposed(x->width, n_gates, n, x->data, record.gates, dw);
    product_of_transposed(hidden, n_gates, n, record.h, record.gates, du);
    rows_add(n, n_gates, record.gates, db);
    if (x->grad)
        product_with_transposed(n, x->width, n_gates, record.gates, weights.w, 1, x->grad);
}

const struct layer_ops layer_lstm = {
    .name = "LSTM",
    .build = lstm_build,
    .init_weights = lstm_init_weights,
    .work_size = lstm_work_size,
    .tape_size = lstm_tape_size,
    .forward = lstm_forward,
    .tape_forward = lstm_tape_forward,
    .backward = lstm_backward,
};
