/*
 * Conv1D, cross-correlation as Keras': with channels of n_in / groups inputs and filters / groups outputs for each of
 * the groups,
 *
 *     y[s] = activation(bias + sum_i x[s strides - left + i dilation] kernel[i])
 *
 * In [steps x rows x n_in], out [out steps x rows x filters]; parameters kernel
 * [kernel_size x n_in / groups x filters], bias [filters]. As a matrix product: what the window sees of one row is
 * laid out in one row of a matrix [. x kernel_size * n_in / groups] ("im2row"). In a stream a causal convolution has
 * as its state the inputs before the call, [reach x n_in], the oldest first; zeros are Keras' padding.
 */
#include "engine/init.h"
#include "engine/layers/activation.h"
#include "engine/layers/window.h"

#include <string.h>

enum {
    BLOCK = 64, /* output vectors in hand at once when serving; bounds the workspace */
};

static int check_conv(const struct layer *layer, const struct layer_build *build) {
    const struct layer_spec *spec = &layer->spec;
    int n_in = build->in[0].width;
    if (layer_check_inputs(layer, build, 1, 1) || layer_check_size(build, "filters", spec->units))
        return -1;
    if (spec->groups < 1 || n_in % spec->groups != 0 || spec->units % spec->groups != 0)
        return error_set(build->err, "cannot split %d inputs and %d filters into %d groups", n_in, spec->units,
                         spec->groups);
    if (!activation_is_known(spec->activation))
        return error_set(build->err, "activation %d is unknown", (int)spec->activation);
    return 0;
}

static int conv_build(struct layer *layer, struct layer_build *build) {
    const struct layer_spec *spec = &layer->spec;
    const struct tensor *in = &build->in[0];
    if (check_conv(layer, build))
        return -1;
    layer_like_input(layer, build, spec->units);
    build->out[0].mask = -1;
    if (window_build(layer, build))
        return -1;
    if (layer->mode == NETWORK_STREAM && in->of_call)
        layer->n_state = (size_t)window_reach(spec) * (size_t)in->width;
    if (layer_add_weight(layer, build, "kernel", true, 3,
                         (int[]){spec->kernel_size, in->width / spec->groups, spec->units}))
        return -1;
    return spec->use_bias ? layer_add_weight(layer, build, "bias", true, 1, &spec->units) : 0;
}

static void conv_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    const struct network_weight *kernel = &layer->weights[0];
    double taps = kernel->dims[0];
    init_glorot_uniform_of(rng, taps * kernel->dims[1], taps * kernel->dims[2], kernel->n, params);
    memset(params + kernel->n, 0, (layer->n_params - kernel->n) * sizeof *params);
}

/* ---- one group ---------------------------------------------------------------------------------- */

/* What a run of the layer works with, in numbers. */
struct conv {
    const struct layer_spec *spec;
    size_t rows, steps, out_steps;
    size_t n_in, group_in;     /* all inputs; those of a group */
    size_t filters, group_out; /* likewise */
    size_t n_seen;             /* what the window sees of a group: kernel_size * group_in */
    ptrdiff_t left;            /* steps of padding before */
    const float *x;            /* [steps x rows x n_in] */
    float *const *state;       /* of each row, at this layer's part; NULL: padding */
    size_t state_at;
};

static struct conv conv_of(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    const struct layer_spec *spec = &layer->spec;
    struct conv conv = {
        .spec = spec,
        .rows = (size_t)run->rows,
        .steps = (size_t)x->steps,
        .out_steps = (size_t)y->steps,
        .n_in = (size_t)x->width,
        .group_in = (size_t)(x->width / spec->groups),
        .filters = (size_t)spec->units,
        .group_out = (size_t)(spec->units / spec->groups),
        .left = window_left(spec, x->steps, y->steps),
        .x = x->data,
        .state = layer->n_state > 0 ? run->state : NULL,
        .state_at = layer->state_at,
    };
    conv.n_seen = (size_t)spec->kernel_size * conv.group_in;
    return conv;
}

/* The input at a step of a row, or NULL where it is padding. */
static const float *input_at(const struct conv *conv, ptrdiff_t step, size_t row) {
    if (step >= 0 && step < (ptrdiff_t)conv->steps)
        return conv->x + ((size_t)step * conv->rows + row) * conv->n_in;
    if (step < 0 && conv->state)
        return conv->state[row] + conv->state_at + (size_t)(step + conv->left) * conv->n_in;
    return NULL;
}

/* seen [n x n_seen]: what the window sees of a group for the output vectors (steps and rows, counted through) from
 * `first` on. */
static void look(const struct conv *conv, size_t group, size_t first, size_t n, float *seen) {
    for (size_t i = first; i < first + n; i++) {
        ptrdiff_t step = (ptrdiff_t)(i / conv->rows) * conv->spec->strides - conv->left;
        for (int tap = 0; tap < conv->spec->kernel_size; tap++, seen += conv->group_in) {
            const float *x = input_at(conv, step + (ptrdiff_t)tap * conv->spec->dilation, i % conv->rows);
            if (x)
                memcpy(seen, x + group * conv->group_in, conv->group_in * sizeof *seen);
            else
                memset(seen, 0, conv->group_in * sizeof *seen);
        }
    }
}

/* A group's columns of a matrix [n x filters] as one of its own, in `room` where they are not all. */
static const float *columns_of(const struct conv *conv, size_t group, size_t n, const float *from, float *room) {
    if (conv->spec->groups == 1)
        return from;
    for (size_t i = 0; i < n; i++)
        memcpy(room + i * conv->group_out, from + i * conv->filters + group * conv->group_out,
               conv->group_out * sizeof *room);
    return room;
}

static void put_columns(const struct conv *conv, size_t group, size_t n, const float *from, float *to) {
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * conv->filters + group * conv->group_out, from + i * conv->group_out,
               conv->group_out * sizeof *to);
}

/* The state becomes the last inputs. */
static void remember(const struct conv *conv) {
    if (!conv->state)
        return;
    size_t reach = (size_t)window_reach(conv->spec), n = conv->n_in;
    size_t kept = conv->steps < reach ? reach - conv->steps : 0;
    for (size_t r = 0; r < conv->rows; r++) {
        float *state = conv->state[r] + conv->state_at;
        memmove(state, state + (reach - kept) * n, kept * n * sizeof *state);
        for (size_t i = kept; i < reach; i++)
            memcpy(state + i * n, conv->x + ((conv->steps + i - reach) * conv->rows + r) * n, n * sizeof *state);
    }
}

/* ---- serving ------------------------------------------------------------------------------------ */

/* The workspace. */
struct scratch {
    float *kernel; /* [n_seen x group_out] */
    float *y;      /* [BLOCK x group_out] */
    float *seen;   /* [BLOCK x n_seen] */
};

/* Elements of the kernel that work for one output, and outputs of a group. */
static size_t n_seen_of(const struct layer *layer) {
    return layer->weights[0].n / (size_t)layer->spec.units;
}

static size_t group_out_of(const struct layer *layer) {
    return (size_t)(layer->spec.units / layer->spec.groups);
}

static size_t conv_work_size(const struct layer *layer, int rows, int steps) {
    (void)rows, (void)steps;
    size_t n_seen = n_seen_of(layer), group_out = group_out_of(layer);
    return n_seen * group_out + BLOCK * (group_out + n_seen);
}

static struct scratch scratch_of(const struct layer_run *run, const struct conv *conv) {
    struct scratch scratch = {.kernel = run->work};
    scratch.y = scratch.kernel + conv->n_seen * conv->group_out;
    scratch.seen = scratch.y + BLOCK * conv->group_out;
    return scratch;
}

/* NULL: has none. */
static const float *bias_of(const struct layer *layer, const struct layer_run *run) {
    return layer->spec.use_bias ? run->params + layer->weights[1].at : NULL;
}

static void conv_forward(const struct layer *layer, const struct layer_run *run) {
    struct conv conv = conv_of(layer, run);
    struct scratch scratch = scratch_of(run, &conv);
    size_t n_all = conv.out_steps * conv.rows;
    const float *bias = bias_of(layer, run);
    float *y = run->out[0].data;

    for (size_t group = 0; group < (size_t)conv.spec->groups; group++) {
        const float *kernel = columns_of(&conv, group, conv.n_seen, run->params, scratch.kernel);
        for (size_t first = 0, n; first < n_all; first += n) {
            n = n_all - first < BLOCK ? n_all - first : BLOCK;
            look(&conv, group, first, n, scratch.seen);
            const float *seen_at[BLOCK];
            for (size_t i = 0; i < n; i++)
                seen_at[i] = scratch.seen + i * conv.n_seen;
            rows_begin(n, conv.group_out, bias ? bias + group * conv.group_out : NULL, scratch.y);
            run->kernels->accumulate((int)n, (int)conv.n_seen, (int)conv.group_out, seen_at, conv.group_out, kernel,
                                     conv.group_out, scratch.y);
            put_columns(&conv, group, n, scratch.y, y + first * conv.filters);
        }
    }
    run->kernels->activate(conv.spec->activation, n_all, conv.filters, y);
    remember(&conv);
}

/* ---- training ----------------------------------------------------------------------------------- */

/* What back-propagation needs, and its scratch; n_all is rows * out_steps. */
struct record {
    float *seen;             /* [groups x n_all x n_seen] */
    float *z, *dz;           /* [n_all x filters], before activation; its gradient */
    float *dseen;            /* [n_all x n_seen], of one group, as what follows */
    float *kernel, *dkernel; /* [n_seen x group_out] */
    float *part;             /* [n_all x group_out], of y or dz */
};

static size_t conv_tape_size(const struct layer *layer, int rows, int steps) {
    size_t n_all = (size_t)rows * (size_t)window_out_steps(&layer->spec, steps), n_seen = n_seen_of(layer);
    return n_all * (((size_t)layer->spec.groups + 1) * n_seen + 2 * (size_t)layer->spec.units + group_out_of(layer)) +
           2 * n_seen * group_out_of(layer);
}

static struct record record_of(const struct layer_run *run, const struct conv *conv) {
    size_t n_all = conv->rows * conv->out_steps, n_kernel = conv->n_seen * conv->group_out;
    struct record record = {.seen = run->work};
    record.z = record.seen + (size_t)conv->spec->groups * n_all * conv->n_seen;
    record.dz = record.z + n_all * conv->filters;
    record.dseen = record.dz + n_all * conv->filters;
    record.kernel = record.dseen + n_all * conv->n_seen;
    record.dkernel = record.kernel + n_kernel;
    record.part = record.dkernel + n_kernel;
    return record;
}

static void conv_tape_forward(const struct layer *layer, const struct layer_run *run) {
    struct conv conv = conv_of(layer, run);
    struct record record = record_of(run, &conv);
    size_t n_all = conv.rows * conv.out_steps;
    const float *bias = bias_of(layer, run);
    float *y = run->out[0].data;

    for (size_t group = 0; group < (size_t)conv.spec->groups; group++) {
        const float *kernel = columns_of(&conv, group, conv.n_seen, run->params, record.kernel);
        float *seen = record.seen + group * n_all * conv.n_seen;
        look(&conv, group, 0, n_all, seen);
        int n_seen = (int)conv.n_seen, group_out = (int)conv.group_out;
        run->products->product((int)n_all, group_out, n_seen, matrix_of(seen, n_seen), matrix_of(kernel, group_out),
                               NULL, false, record.part, group_out);
        put_columns(&conv, group, n_all, record.part, y);
    }
    for (size_t i = 0; bias && i < n_all; i++)
        for (size_t j = 0; j < conv.filters; j++)
            y[i * conv.filters + j] += bias[j];
    memcpy(record.z, y, n_all * conv.filters * sizeof *y);
    run->kernels->activate(conv.spec->activation, n_all, conv.filters, y);
    remember(&conv);
}

/* Adds a group's columns [n x group_out] to those of a matrix [n x filters]. */
static void add_columns(const struct conv *conv, size_t group, size_t n, const float *from, float *to) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < conv->group_out; j++)
            to[i * conv->filters + group * conv->group_out + j] += from[i * conv->group_out + j];
}

/* Adds what look() laid out to where it came from; dx is as x. What came out of the state gets none. */
static void look_back(const struct conv *conv, size_t group, const float *dseen, float *dx) {
    for (size_t i = 0; i < conv->out_steps * conv->rows; i++) {
        ptrdiff_t step = (ptrdiff_t)(i / conv->rows) * conv->spec->strides - conv->left;
        for (int tap = 0; tap < conv->spec->kernel_size; tap++, dseen += conv->group_in) {
            ptrdiff_t at = step + (ptrdiff_t)tap * conv->spec->dilation;
            if (at < 0 || at >= (ptrdiff_t)conv->steps)
                continue;
            float *to = dx + ((size_t)at * conv->rows + i % conv->rows) * conv->n_in + group * conv->group_in;
            for (size_t k = 0; k < conv->group_in; k++)
                to[k] += dseen[k];
        }
    }
}

static void conv_backward(const struct layer *layer, const struct layer_run *run) {
    struct conv conv = conv_of(layer, run);
    struct record record = record_of(run, &conv);
    size_t n_all = conv.rows * conv.out_steps;
    int m = (int)n_all, n_seen = (int)conv.n_seen, group_out = (int)conv.group_out;

    activation_backward(conv.spec->activation, n_all, conv.filters, record.z, run->out[0].data, run->out[0].grad,
                        record.dz);
    const struct product_gradient of_bias = {1, matrix_of_ones(),
                                             run->grads + layer->weights[layer->spec.use_bias].at, layer->spec.units};
    if (layer->spec.use_bias)
        run->products->gradients(layer->spec.units, m, matrix_of(record.dz, layer->spec.units), 1, &of_bias);
    for (size_t group = 0; group < (size_t)conv.spec->groups; group++) {
        const float *kernel = columns_of(&conv, group, conv.n_seen, run->params, record.kernel);
        const float *dz = columns_of(&conv, group, n_all, record.dz, record.part);
        memset(record.dkernel, 0, conv.n_seen * conv.group_out * sizeof *record.dkernel);
        const struct product_gradient of_kernel = {
            n_seen, matrix_of(record.seen + group * n_all * conv.n_seen, n_seen), record.dkernel, group_out};
        run->products->gradients(group_out, m, matrix_of(dz, group_out), 1, &of_kernel);
        add_columns(&conv, group, conv.n_seen, record.dkernel, run->grads);
        if (!run->in[0].grad)
            continue;
        run->products->product(m, n_seen, group_out, matrix_of(dz, group_out), matrix_transposed(kernel, group_out),
                               NULL, false, record.dseen, n_seen);
        look_back(&conv, group, record.dseen, run->in[0].grad);
    }
}

const struct layer_ops layer_conv1d = {
    .name = "Conv1D",
    .build = conv_build,
    .init_weights = conv_init_weights,
    .work_size = conv_work_size,
    .tape_size = conv_tape_size,
    .forward = conv_forward,
    .tape_forward = conv_tape_forward,
    .backward = conv_backward,
};
