/*
 * Add, Multiply and Concatenate: several tensors become one.
 *
 * Add and Multiply broadcast: an input without a time axis, or of one step, counts at every step, and one of width 1
 * for the whole width. Concatenate puts the inputs, of the same steps, beside each other. Where an input has no mask
 * the output has none either, and where all have one, a step is passed over that all of them pass over: so it is in
 * Keras 3; and there a step of an input of Multiply that is passed over counts as ones, or where all of them are, the
 * product is zero. With spec.keras2_masks an input without a mask does not matter, and a step is passed over that any
 * of the others passes over, and Multiply does not look at masks, as in Keras 1 and 2.
 */
#include "engine/layers/layer.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes ------------------------------------------------------------------------------------- */

static bool is_single(const struct tensor *in) {
    return !in->sequence || in->steps == 1;
}

/* Steps as a person reads them, for an error. */
static const char *steps_text(const struct tensor *in, char text[32]) {
    if (!in->sequence)
        return "no time axis";
    if (in->steps > 0)
        snprintf(text, 32, "%d steps", in->steps);
    else
        snprintf(text, 32, "any number of steps");
    return text;
}

/* The input whose steps are the output's; the others have the same, or (where may_broadcast) a single one. */
static int merge_steps(struct layer_build *build, int n_in, bool may_broadcast, int *ret_leader) {
    int leader = 0;
    char a[32], b[32];
    for (int i = 1; may_broadcast && i < n_in; i++)
        if ((is_single(&build->in[leader]) && !is_single(&build->in[i])) ||
            (!build->in[leader].sequence && build->in[i].sequence))
            leader = i;
    const struct tensor *first = &build->in[leader];
    for (int i = 0; i < n_in; i++) {
        const struct tensor *in = &build->in[i];
        if (may_broadcast && is_single(in))
            continue;
        if (in->sequence == first->sequence && in->steps == first->steps &&
            (in->steps > 0 || (in->shrink == first->shrink && in->stride == first->stride)))
            continue;
        if (in->sequence && first->sequence && (in->steps == 0 || first->steps == 0))
            build->needs_steps = true; /* which may show that they are the same */
        return error_set(build->err, "its inputs differ in steps: number %d has %s, number %d has %s%s", leader + 1,
                         steps_text(first, a), i + 1, steps_text(in, b),
                         build->needs_steps ? "; their number must be known" : "");
    }
    *ret_leader = leader;
    return 0;
}

/* The output without its width: steps as those of the leader. */
static int build_merged(struct layer *layer, struct layer_build *build, bool may_broadcast) {
    int leader = 0;
    if (layer_check_inputs(layer, build, 1, LAYER_PORTS) || merge_steps(build, layer->n_in, may_broadcast, &leader))
        return -1;
    layer->n_out = 1;
    build->out[0] = build->in[leader];
    for (int i = 0; i < layer->n_in; i++)
        build->out[0].of_call |= build->in[i].of_call && !is_single(&build->in[i]);

    int first = -1, n_masked = 0;
    bool differ = false;
    for (int i = 0; i < layer->n_in; i++) {
        if (build->in[i].mask < 0)
            continue;
        differ |= n_masked > 0 && build->in[i].mask != build->in[first].mask;
        first = n_masked++ == 0 ? i : first;
    }
    if (n_masked == 0 || (n_masked < layer->n_in && !layer->spec.keras2_masks))
        build->out[0].mask = -1;
    else
        build->out[0].mask = differ || is_single(&build->in[first]) ? build->new_mask : build->in[first].mask;
    return 0;
}

static int elementwise_build(struct layer *layer, struct layer_build *build) {
    if (build_merged(layer, build, true))
        return -1;
    int width = 1;
    for (int i = 0; i < layer->n_in; i++) {
        if (width > 1 && build->in[i].width > 1 && build->in[i].width != width)
            return error_set(build->err, "its inputs differ in width: %d and %d", width, build->in[i].width);
        width = build->in[i].width > width ? build->in[i].width : width;
    }
    build->out[0].width = width;
    return 0;
}

static int concatenate_build(struct layer *layer, struct layer_build *build) {
    int64_t width = 0;
    if (build_merged(layer, build, false))
        return -1;
    for (int i = 0; i < layer->n_in; i++)
        width += build->in[i].width;
    if (width > NETWORK_WIDTH_MAX)
        return error_set(build->err, "makes a width of %lld, and it may be %d", (long long)width, NETWORK_WIDTH_MAX);
    build->out[0].width = (int)width;
    return 0;
}

/* ---- masks -------------------------------------------------------------------------------------- */

/* Where an input's vector for a step and row of the output lies, or its mask. */
static size_t vector_at(const struct port *in, size_t rows, size_t step, size_t row) {
    return (in->steps == 1 ? 0 : step * rows) + row;
}

/* Where the output has a mask of its own. */
static void merge_masks(const struct layer *layer, const struct layer_run *run) {
    const struct port *y = &run->out[0];
    size_t rows = (size_t)run->rows;
    for (int i = 0; i < layer->n_in; i++)
        if (run->in[i].mask == y->mask)
            return; /* none, or one that is there already */
    for (size_t at = 0; at < rows * (size_t)y->steps; at++) {
        bool any = false, all = true;
        for (int i = 0; i < layer->n_in; i++) {
            if (!run->in[i].mask)
                continue;
            bool counts = run->in[i].mask[vector_at(&run->in[i], rows, at / rows, at % rows)] != 0;
            any |= counts;
            all &= counts;
        }
        y->mask[at] = layer->spec.keras2_masks ? all : any;
    }
}

/* ---- Add, Multiply ------------------------------------------------------------------------------ */

/* An input as it is seen from one vector of the output. */
struct operand {
    const float *x; /* NULL: counts as ones, being passed over */
    float *dx;      /* NULL: nobody asks */
    size_t stride;  /* from one element to the next; 0: one for the whole width */
};

static void operands_at(const struct layer *layer, const struct layer_run *run, size_t step, size_t row,
                        struct operand operands[LAYER_PORTS]) {
    for (int p = 0; p < layer->n_in; p++) {
        const struct port *in = &run->in[p];
        size_t vector = vector_at(in, (size_t)run->rows, step, row), at = vector * (size_t)in->width;
        bool passed_over = in->mask && !in->mask[vector];
        operands[p] =
            (struct operand){.x = in->data + at, .dx = in->grad ? in->grad + at : NULL, .stride = in->width > 1};
        if (passed_over && layer->spec.kind == LAYER_MULTIPLY && !layer->spec.keras2_masks)
            operands[p] = (struct operand){0};
    }
}

static void elementwise(const struct layer *layer, const struct layer_run *run,
                        void (*vector)(int n, const struct operand *operands, size_t width, float *y, float *dy)) {
    const struct port *y = &run->out[0];
    size_t width = (size_t)y->width;
    struct operand operands[LAYER_PORTS];
    for (size_t t = 0; t < (size_t)y->steps; t++)
        for (size_t r = 0; r < (size_t)run->rows; r++) {
            size_t at = (t * (size_t)run->rows + r) * width;
            operands_at(layer, run, t, r, operands);
            vector(layer->n_in, operands, width, y->data + at, y->grad ? y->grad + at : NULL);
        }
}

static void add_vector(int n, const struct operand *operands, size_t width, float *y, float *dy) {
    (void)dy;
    for (size_t j = 0; j < width; j++)
        y[j] = operands[0].x[j * operands[0].stride];
    for (int p = 1; p < n; p++)
        for (size_t j = 0; j < width; j++)
            y[j] += operands[p].x[j * operands[p].stride];
}

static void add_forward(const struct layer *layer, const struct layer_run *run) {
    elementwise(layer, run, add_vector);
    merge_masks(layer, run);
}

static void add_vector_back(int n, const struct operand *operands, size_t width, float *y, float *dy) {
    (void)y;
    for (int p = 0; p < n; p++)
        for (size_t j = 0; operands[p].dx && j < width; j++)
            operands[p].dx[j * operands[p].stride] += dy[j];
}

static void add_backward(const struct layer *layer, const struct layer_run *run) {
    elementwise(layer, run, add_vector_back);
}

const struct layer_ops layer_add = {
    .name = "Add",
    .build = elementwise_build,
    .forward = add_forward,
    .backward = add_backward,
};

/* Element j of the product of all operands but one (-1: of all). */
static float product_without(int n, const struct operand *operands, int without, size_t j) {
    float product = 1;
    for (int p = 0; p < n; p++)
        if (p != without && operands[p].x)
            product *= operands[p].x[j * operands[p].stride];
    return product;
}

static void multiply_vector(int n, const struct operand *operands, size_t width, float *y, float *dy) {
    (void)dy;
    bool any = false;
    for (int p = 0; p < n; p++)
        any |= operands[p].x != NULL;
    for (size_t j = 0; j < width; j++)
        y[j] = any ? product_without(n, operands, -1, j) : 0;
}

static void multiply_forward(const struct layer *layer, const struct layer_run *run) {
    elementwise(layer, run, multiply_vector);
    merge_masks(layer, run);
}

static void multiply_vector_back(int n, const struct operand *operands, size_t width, float *y, float *dy) {
    (void)y;
    for (int p = 0; p < n; p++)
        for (size_t j = 0; operands[p].dx && j < width; j++)
            operands[p].dx[j * operands[p].stride] += dy[j] * product_without(n, operands, p, j);
}

static void multiply_backward(const struct layer *layer, const struct layer_run *run) {
    elementwise(layer, run, multiply_vector_back);
}

const struct layer_ops layer_multiply = {
    .name = "Multiply",
    .build = elementwise_build,
    .forward = multiply_forward,
    .backward = multiply_backward,
};

/* ---- Concatenate -------------------------------------------------------------------------------- */

static void concatenate_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)y->steps, at = 0;
    for (int p = 0; p < layer->n_in; p++) {
        size_t width = (size_t)run->in[p].width;
        for (size_t i = 0; i < n; i++)
            memcpy(y->data + i * (size_t)y->width + at, run->in[p].data + i * width, width * sizeof(float));
        at += width;
    }
    merge_masks(layer, run);
}

static void concatenate_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)y->steps, at = 0;
    for (int p = 0; p < layer->n_in; p++) {
        size_t width = (size_t)run->in[p].width;
        for (size_t i = 0; run->in[p].grad && i < n; i++)
            for (size_t j = 0; j < width; j++)
                run->in[p].grad[i * width + j] += y->grad[i * (size_t)y->width + at + j];
        at += width;
    }
}

const struct layer_ops layer_concatenate = {
    .name = "Concatenate",
    .build = concatenate_build,
    .forward = concatenate_forward,
    .backward = concatenate_backward,
};
