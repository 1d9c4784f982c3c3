#include "tests/support/layer_check.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/exact_layers.h"
#include "tests/support/floats.h"

#include <stdio.h>

enum {
    ROWS = 5, /* more than a kernel takes at once */
    GUARD = 16,
};

/* A case's network as it is asked for; layers [CASE_LAYERS] is room. */
static struct network_spec spec_of(const struct layer_case *of, enum network_mode mode, struct layer_spec *layers) {
    struct network_spec spec = {
        .mode = mode,
        .n_inputs = of->n_inputs,
        .ids = of->ids,
        .no_time = of->no_time,
        .steps = of->known_steps ? of->steps : 0,
        .layers = layers,
        .n_outputs = of->n_outputs,
    };
    memcpy(spec.outputs, of->outputs, sizeof spec.outputs);
    for (const struct layer_spec *from = of->layers; from->kind != LAYER_DENSE || from->units > 0; from++) {
        struct layer_spec *to = &layers[spec.n_layers++], by_default = layer_spec_of(from->kind, from->units);
        *to = *from;
        to->kernel_size = from->kernel_size ? from->kernel_size : by_default.kernel_size;
        to->strides = from->strides ? from->strides : by_default.strides;
        to->dilation = from->dilation ? from->dilation : by_default.dilation;
        to->groups = from->groups ? from->groups : by_default.groups;
        to->epsilon = from->epsilon != 0 ? from->epsilon : by_default.epsilon;
        to->momentum = from->momentum != 0 ? from->momentum : by_default.momentum;
        to->alpha = from->alpha != 0 ? from->alpha : by_default.alpha;
    }
    return spec;
}

static void randomize(struct network *network, struct rng *rng) {
    float *params = network_params(network);
    for (size_t i = 0; i < network_n_params(network); i++)
        params[i] = (float)(1.6 * rng_uniform(rng) - 0.8);
    for (int i = 0; i < network_spec(network)->n_layers; i++) {
        struct network_weight weights[LAYER_WEIGHTS];
        int n = network_weights(network, i, weights);
        for (int w = 0; w < n; w++)
            for (size_t j = 0; strcmp(weights[w].name, "moving_variance") == 0 && j < weights[w].n; j++)
                params[weights[w].at + j] = (float)(0.3 + rng_uniform(rng));
    }
}

struct network *layer_case_network(const struct layer_case *of, enum network_mode mode) {
    struct layer_spec layers[CASE_LAYERS];
    struct network_spec spec = spec_of(of, mode, layers);
    struct rng rng = {.state = 17};
    struct error err;
    struct network *network = network_new(&spec, &err);
    if (!network)
        fail_msg("%s: %s", of->name, err.text);
    randomize(network, &rng);
    return network;
}

void layer_case_refused(const struct layer_case *of, enum network_mode mode, const char *text) {
    struct layer_spec layers[CASE_LAYERS];
    struct network_spec spec = spec_of(of, mode, layers);
    struct error err = {"nothing"};
    struct network *network = network_new(&spec, &err);
    if (network || !strstr(err.text, text))
        fail_msg("%s: should be refused for \"%s\": %s", of->name, text, network ? "it is not" : err.text);
}

/* A network, what goes in, and a loss, the sum over the outputs of pull y + y^2 / 2. */
struct problem {
    const struct layer_case *of;
    struct network *network;
    size_t n_x, n_params, n_y; /* n_y: of all outputs together */
    double *params;
    float *x, *pull;
};

static size_t output_size(const struct problem *p, int output, int rows) {
    struct network_shape shape = network_output(p->network, output, p->of->steps);
    return (size_t)rows * (size_t)shape.steps * (size_t)shape.width;
}

static void fill_x(struct problem *p, struct rng *rng) {
    int width = p->of->n_inputs, vocabulary = 0;
    for (const struct layer_spec *layer = p->of->layers; p->of->ids && vocabulary == 0; layer++)
        vocabulary = layer->vocabulary;
    for (int t = 0; t < p->of->steps; t++)
        for (int r = 0; r < ROWS; r++) {
            float *x = p->x + (t * ROWS + r) * width;
            bool zero = p->of->masked && t + 1 < p->of->steps && rng_uniform(rng) < 0.4;
            for (int j = 0; j < width; j++)
                x[j] = zero ? 0 : (float)(3 * rng_uniform(rng) - 1.5);
            if (p->of->ids)
                x[0] = zero ? 0 : 1 + (float)rng_below(rng, (uint64_t)vocabulary - 1);
        }
}

static struct problem problem_new(const struct layer_case *of) {
    struct rng rng = {.state = 29};
    struct problem p = {.of = of, .network = layer_case_network(of, NETWORK_SAMPLES)};
    p.n_params = network_n_params(p.network);
    p.params = calloc(p.n_params + 1, sizeof *p.params);
    for (size_t i = 0; i < p.n_params; i++)
        p.params[i] = (double)network_params(p.network)[i];
    p.n_x = (size_t)(of->steps * ROWS * of->n_inputs);
    p.x = floats_new(p.n_x);
    fill_x(&p, &rng);
    for (int o = 0; o < network_n_outputs(p.network); o++)
        p.n_y += output_size(&p, o, ROWS);
    p.pull = floats_random(&rng, p.n_y, 1);
    return p;
}

static void problem_free(struct problem *p) {
    network_free(p->network);
    free(p->params);
    free(p->x);
    free(p->pull);
}

/* y [n_y], unless NULL, gets the outputs, one after the other. */
static double exact_loss(const struct problem *p, bool training, double *y) {
    const struct network_spec *spec = network_spec(p->network);
    struct exact_tensor tensors[CASE_LAYERS];
    double loss = 0;
    size_t i = 0;
    exact_run(spec, p->params, training, ROWS, p->of->steps, p->x, tensors);
    for (int o = 0; o < network_n_outputs(p->network); o++) {
        const struct exact_tensor *out = &tensors[spec->outputs[o].layer];
        struct network_shape shape = network_output(p->network, o, p->of->steps);
        if (shape.sequence != out->sequence || shape.steps != out->steps || shape.width != out->width)
            fail_msg("%s: output %d has another shape", p->of->name, o);
        for (size_t n = output_size(p, o, ROWS), j = 0; j < n; j++, i++) {
            double at = exact_at(out, j);
            loss += (double)p->pull[i] * at + at * at / 2;
            if (y)
                y[i] = at;
        }
    }
    exact_free(tensors, spec->n_layers);
    return loss;
}

/* ---- running ------------------------------------------------------------------------------------- */

/* Serves rows of x into y [n_y of so many rows], with a workspace that is as large as it must be, and full of NaN. */
static void serve(const struct problem *p, const struct kernels *kernels, int rows, const float *x, float *y) {
    size_t n_work = network_work_size(p->network, rows, p->of->steps);
    float *work = floats_new(n_work + GUARD), *outputs[LAYER_PORTS], *state[ROWS] = {0};
    for (size_t i = 0; i < n_work + GUARD; i++)
        work[i] = NAN;
    for (int o = 0; o < network_n_outputs(p->network); o++) {
        outputs[o] = y;
        y += output_size(p, o, rows);
    }
    network_forward(p->network, kernels, rows, p->of->steps, x, state, outputs, work);
    for (size_t i = 0; i < GUARD; i++)
        assert_true(isnan(work[n_work + i]));
    free(work);
}

/* Through the tape: outputs into y, gradients added to grads (each may be NULL). */
static void run_tape(const struct problem *p, struct tape *tape, bool training, const float *x, float *y,
                     float *grads) {
    const float *outputs[LAYER_PORTS], *dys[LAYER_PORTS];
    float *dy = floats_new(p->n_y), state = 0;
    size_t at = 0;
    tape_forward(tape, p->network, kernels_choose(), training ? &(struct rng){1} : NULL, ROWS, p->of->steps, x,
                 &state, outputs);
    for (int o = 0; o < network_n_outputs(p->network); o++) {
        size_t n = output_size(p, o, ROWS);
        dys[o] = dy + at;
        for (size_t i = 0; i < n; i++)
            dy[at + i] = p->pull[at + i] + outputs[o][i];
        if (y)
            memcpy(y + at, outputs[o], n * sizeof *y);
        at += n;
    }
    if (grads)
        tape_backward(tape, p->network, dys, grads);
    free(dy);
}

/* ---- what must hold ------------------------------------------------------------------------------ */

static double distance(size_t n, const float *a, const double *b) {
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, isnan(a[i]) ? INFINITY : fabs((double)a[i] - b[i]));
    return most;
}

static void check_outputs(const struct problem *p) {
    float *y = floats_new(p->n_y);
    double *exact = calloc(p->n_y, sizeof *exact), off;
    struct tape *tape = tape_new(p->network, ROWS, p->of->steps);
    exact_loss(p, false, exact);
    serve(p, kernels_choose(), ROWS, p->x, y);
    off = distance(p->n_y, y, exact);
    run_tape(p, tape, false, p->x, y, NULL);
    off = fmax(off, distance(p->n_y, y, exact));
    if (p->of->training) {
        exact_loss(p, true, exact);
        run_tape(p, tape, true, p->x, y, NULL);
        off = fmax(off, distance(p->n_y, y, exact));
    }
    if (!(off < 3e-6))
        fail_msg("%s: off by %g", p->of->name, off);
    tape_free(tape);
    free(exact);
    free(y);
}

static void check_rows_alone(const struct problem *p) {
    float *together = floats_new(p->n_y), *alone = floats_new(p->n_y / ROWS);
    float *x = floats_new(p->n_x / ROWS);
    size_t width = (size_t)p->of->n_inputs;
    serve(p, kernels_choose(), ROWS, p->x, together);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t t = 0; t < (size_t)p->of->steps; t++)
            memcpy(x + t * width, p->x + (t * ROWS + r) * width, width * sizeof *x);
        serve(p, kernels_choose(), 1, x, alone);
        size_t at = 0, at_alone = 0;
        for (int o = 0; o < network_n_outputs(p->network); o++) {
            struct network_shape shape = network_output(p->network, o, p->of->steps);
            size_t n = (size_t)shape.width;
            for (size_t t = 0; t < (size_t)shape.steps; t++)
                if (!floats_same(n, together + at + (t * ROWS + r) * n, alone + at_alone + t * n))
                    fail_msg("%s: row %zu alone differs", p->of->name, r);
            at += output_size(p, o, ROWS);
            at_alone += output_size(p, o, 1);
        }
    }
    for (int level = 0; kernels_at(level); level++) {
        float *y = floats_new(p->n_y);
        serve(p, kernels_at(level), ROWS, p->x, y);
        if (!floats_same(p->n_y, together, y))
            fail_msg("%s: level %s differs", p->of->name, kernels_at(level)->level);
        free(y);
    }
    free(together);
    free(alone);
    free(x);
}

/* A larger tape that has been used before gives the same bits as a new one of the size needed. */
static void check_tape(const struct problem *p, bool training) {
    int more = network_steps(p->network) > 0 ? 0 : 2;
    struct tape *tape = tape_new(p->network, ROWS, p->of->steps),
                *used = tape_new(p->network, ROWS + 3, p->of->steps + more);
    struct rng rng = {.state = 5};
    float *other = floats_random(&rng, p->n_x, 2), *a = floats_new(p->n_params), *b = floats_new(p->n_params);
    float *y_a = floats_new(p->n_y), *y_b = floats_new(p->n_y), *waste = floats_new(p->n_params);
    run_tape(p, used, training, p->of->ids ? p->x : other, NULL, waste);
    run_tape(p, tape, training, p->x, y_a, a);
    run_tape(p, used, training, p->x, y_b, b);
    if (!floats_same(p->n_y, y_a, y_b) || !floats_same(p->n_params, a, b))
        fail_msg("%s: a tape used before gives something else", p->of->name);
    tape_free(tape);
    tape_free(used);
    free(other);
    free(a);
    free(b);
    free(y_a);
    free(y_b);
    free(waste);
}

/* Which parameters are trainable. */
static void find_trainable(const struct network *network, uint8_t *trainable) {
    for (int i = 0; i < network_spec(network)->n_layers; i++) {
        struct network_weight weights[LAYER_WEIGHTS];
        for (int w = 0, n = network_weights(network, i, weights); w < n; w++)
            memset(trainable + weights[w].at, weights[w].trainable, weights[w].n);
    }
}

static void check_gradients(struct problem *p, bool training) {
    const double step = 1e-5;
    struct tape *tape = tape_new(p->network, ROWS, p->of->steps);
    float *grads = floats_new(p->n_params);
    uint8_t *trainable = calloc(p->n_params + 1, 1);
    double worst = 0, largest = 0;
    find_trainable(p->network, trainable);
    run_tape(p, tape, training, p->x, NULL, grads);
    for (size_t i = 0; i < p->n_params; i++) {
        double kept = p->params[i], slope = 0;
        if (trainable[i]) {
            p->params[i] = kept + step;
            slope = exact_loss(p, training, NULL);
            p->params[i] = kept - step;
            slope = (slope - exact_loss(p, training, NULL)) / (2 * step);
            p->params[i] = kept;
        } else if (grads[i] != 0) {
            fail_msg("%s: parameter %zu has a gradient and is not trainable", p->of->name, i);
        }
        double off = fabs((double)grads[i] - slope);
        worst = off <= worst ? worst : isnan(off) ? INFINITY : off;
        largest = fmax(largest, fabs(slope));
    }
    if (p->n_params > 0 && !(worst <= 5e-6 * largest && largest > 0.01))
        fail_msg("%s: gradient off by %g, of %g%s", p->of->name, worst, largest, training ? ", in training" : "");
    free(grads);
    free(trainable);
    tape_free(tape);
}

void layer_case_check(const struct layer_case *of) {
    struct problem p = problem_new(of);
    check_outputs(&p);
    check_rows_alone(&p);
    for (int training = 0; training <= of->training; training++) {
        check_tape(&p, training);
        check_gradients(&p, training);
    }
    problem_free(&p);
}
