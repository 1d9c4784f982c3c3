#include "clients/forecast/predict.h"

#include "engine/kernels/kernels.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 256,
    BLOCK_FLOATS = 1 << 24, /* about what a block of rows may take */
};

/* ---- x ------------------------------------------------------------------------------------------ */

static int check_ids(const struct network *network, const struct npy *x, struct error *err) {
    int vocabulary = network_vocabulary(network);

    for (size_t i = 0; i < x->n; i++) {
        double id = npy_value(x, i);

        if (id != floor(id))
            return error_set(err, "row %zu, step %zu is %g, and ids are whole numbers", i / x->dims[1],
                             i % x->dims[1], id);
        if (vocabulary > 0 && (id < 0 || id >= vocabulary))
            return error_set(err, "row %zu, step %zu is the id %.0f, and the Embedding knows those from 0 to %d",
                             i / x->dims[1], i % x->dims[1], id, vocabulary - 1);
    }
    return 0;
}

int predict_check(const struct network_spec *spec, const struct npy *x, long calls, int *ret_steps,
                  struct error *err) {
    int n_dims = spec->ids || spec->no_time ? 2 : 3;
    char shape[160];

    npy_shape_text(x->n_dims, x->dims, shape, sizeof shape);
    if (x->n_dims != n_dims)
        return error_set(err, "its shape is %s, and the model takes %s", shape,
                         spec->ids       ? "ids, (batch, time)"
                         : spec->no_time ? "(batch, features)"
                                         : "(batch, time, features)");
    if (!spec->ids && x->dims[n_dims - 1] != (size_t)spec->n_inputs)
        return error_set(err, "its shape is %s, and the model takes %d feature%s", shape, spec->n_inputs,
                         spec->n_inputs == 1 ? "" : "s");
    if (spec->no_time) {
        if (calls != 1)
            return error_set(err, "the model has no time axis that could be cut into %ld", calls);
        *ret_steps = 1;
        return 0;
    }
    if (x->dims[1] % (size_t)calls != 0)
        return error_set(err, "its %zu steps cannot be cut into %ld equal pieces", x->dims[1], calls);
    size_t steps = x->dims[1] / (size_t)calls;
    if (steps < 1 || steps > NETWORK_STEPS_MAX)
        return error_set(err, "its shape is %s, and a call takes from 1 to %d steps", shape, NETWORK_STEPS_MAX);
    *ret_steps = (int)steps;
    return 0;
}

/* ---- blocks of rows ----------------------------------------------------------------------------- */

/* What a block of rows needs; all calls of a block come before the next block. */
struct block {
    int rows, steps, width; /* at most so many rows; steps and width of x in a call */
    float *x, *work, *states, *state[ROWS_MAX], *y[LAYER_PORTS];
};

static void block_fini(struct block *block) {
    free(block->x);
    free(block->work);
    free(block->states);
    for (int o = 0; o < LAYER_PORTS; o++)
        free(block->y[o]);
}

static float *floats(size_t n) {
    return malloc((n ? n : 1) * sizeof(float));
}

static int block_init(struct block *block, const struct network *network, size_t batch, int steps,
                      struct error *err) {
    size_t state_size = network_state_size(network), width = (size_t)network_n_inputs(network);
    size_t each = network_work_size(network, 1, steps) + (size_t)steps * width, rows;
    bool good;

    *block = (struct block){.steps = steps, .width = (int)width};
    for (int o = 0; o < network_n_outputs(network); o++) {
        struct network_shape shape = network_output(network, o, steps);

        each += (size_t)shape.steps * (size_t)shape.width;
    }
    rows = BLOCK_FLOATS / each;
    rows = rows > ROWS_MAX ? ROWS_MAX : rows;
    rows = rows > batch ? batch : rows;
    rows = rows < 1 ? 1 : rows;
    block->rows = (int)rows;
    block->x = floats(rows * (size_t)steps * width);
    block->work = floats(network_work_size(network, (int)rows, steps));
    block->states = floats(rows * state_size);
    good = block->x && block->work && block->states;
    for (int o = 0; o < network_n_outputs(network); o++) {
        struct network_shape shape = network_output(network, o, steps);

        block->y[o] = floats(rows * (size_t)shape.steps * (size_t)shape.width);
        good = good && block->y[o];
    }
    if (!good) {
        block_fini(block);
        return error_set(err, "not enough memory to run %d steps", steps);
    }
    for (size_t r = 0; r < rows; r++)
        block->state[r] = block->states + r * state_size;
    return 0;
}

/* Rows [row, row + rows) of call `call` of x, time-major. */
static void gather(struct block *block, const struct npy *x, size_t row, int rows, long call, long calls) {
    size_t width = (size_t)block->width, steps = (size_t)block->steps, all = steps * (size_t)calls;

    for (size_t t = 0; t < steps; t++)
        for (size_t r = 0; r < (size_t)rows; r++) {
            size_t from = ((row + r) * all + (size_t)call * steps + t) * width;

            for (size_t j = 0; j < width; j++)
                block->x[(t * (size_t)rows + r) * width + j] = (float)npy_value(x, from + j);
        }
}

/* An output of a call to its place, rows first. */
static void scatter(const float *y, struct network_shape shape, int rows, float *ret_y) {
    size_t width = (size_t)shape.width;

    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t t = 0; t < (size_t)shape.steps; t++, ret_y += width)
            memcpy(ret_y, y + (t * (size_t)rows + r) * width, width * sizeof *y);
}

/* ---- predict ------------------------------------------------------------------------------------ */

static int prediction_init(struct prediction *prediction, const struct network *network, size_t batch, int steps,
                           long calls, bool stacked, struct error *err) {
    *prediction = (struct prediction){.n = network_n_outputs(network)};
    for (int o = 0; o < prediction->n; o++) {
        struct network_shape shape = network_output(network, o, steps);
        size_t dims[] = {(size_t)calls, batch, (size_t)shape.steps, (size_t)shape.width}, n = 1;
        int n_dims = 0;

        for (int i = 0; i < 4; i++) {
            if ((i == 0 && !stacked) || (i == 2 && !shape.sequence))
                continue;
            prediction->y[o].dims[n_dims++] = dims[i];
            if (__builtin_mul_overflow(n, dims[i], &n))
                n = SIZE_MAX / sizeof(float);
        }
        prediction->y[o].n_dims = n_dims;
        prediction->y[o].n = n;
        prediction->y[o].data = n < SIZE_MAX / sizeof(float) ? floats(n) : NULL;
        if (!prediction->y[o].data) {
            prediction_fini(prediction);
            return error_set(err, "not enough memory for output %d", o);
        }
    }
    return 0;
}

void prediction_fini(struct prediction *prediction) {
    for (int o = 0; o < prediction->n; o++)
        free(prediction->y[o].data);
    *prediction = (struct prediction){0};
}

int predict(const struct network *network, const struct npy *x, long calls, bool stacked, struct prediction *ret,
            struct error *err) {
    const struct network_spec *spec = network_spec(network);
    const struct kernels *kernels = kernels_choose();
    size_t batch = x->dims[0];
    int steps = spec->no_time ? 1 : (int)(x->dims[1] / (size_t)calls);
    struct block block;

    assert(stacked || calls == 1);
    if (network_steps(network) ? steps != network_steps(network) : steps < network_min_steps(network))
        return error_set(err, "a call has %d step%s, and the model takes %s%d", steps, steps == 1 ? "" : "s",
                         network_steps(network) ? "" : "at least ", network_min_steps(network));
    if (spec->ids && check_ids(network, x, err) != 0)
        return -1;
    if (block_init(&block, network, batch, steps, err) != 0)
        return -1;
    if (prediction_init(ret, network, batch, steps, calls, stacked, err) != 0) {
        block_fini(&block);
        return -1;
    }
    for (size_t row = 0; row < batch; row += (size_t)block.rows) {
        int rows = batch - row < (size_t)block.rows ? (int)(batch - row) : block.rows;

        memset(block.states, 0, (size_t)rows * network_state_size(network) * sizeof *block.states);
        for (long call = 0; call < calls; call++) {
            gather(&block, x, row, rows, call, calls);
            network_forward(network, kernels, rows, steps, block.x, block.state, block.y, block.work);
            for (int o = 0; o < ret->n; o++) {
                struct network_shape shape = network_output(network, o, steps);
                size_t each = (size_t)shape.steps * (size_t)shape.width;

                scatter(block.y[o], shape, rows, ret->y[o].data + ((size_t)call * batch + row) * each);
            }
        }
    }
    block_fini(&block);
    return 0;
}
