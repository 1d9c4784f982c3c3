/*
 * A training job in stateful order on the streams that Keras had: the weights afterwards against those that Keras
 * then had. An argument is a pattern of the names to run: 'GRU*'.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/training.h"
#include "tests/support/floats.h"
#include "tests/support/golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* As in cases_fit.py. */
enum { UNROLL = 5, CHUNKS = 4, HORIZON = 2, WIDTH = 2, EPOCHS = 2, MAX_STREAMS = 8 };

static int inputs[] = {0, 1}, targets[] = {0};

static struct config_model model_of(const struct golden *golden) {
    return (struct config_model){
        .name = (char *)"golden",
        .inputs = inputs,
        .n_inputs = WIDTH,
        .targets = targets,
        .n_targets = 1,
        .horizon = HORIZON,
        .keras = golden->model,
        .scaler = SCALER_NONE,
        .train = true,
        .seed = 1,
        .training = {.order = ORDER_STATEFUL,
                     .window = 2 * UNROLL, /* half of what is learnt from: two windows follow each other */
                     .burn_in = 3,         /* of streams that begin with their first step there is none */
                     .unroll = UNROLL,
                     .batch = (int)golden_number(golden, "batch", 0),
                     .epochs = EPOCHS,
                     .max_windows = 64,
                     .optimizer = OPTIMIZER_SGD,
                     .learning_rate = 0.1,
                     .momentum = 0.9,
                     .schedule = {.kind = SCHEDULE_CONSTANT, .last = 1},
                     .loss = LOSS_MSE,
                     .validation = 0.17}, /* the newest 5 of 29 steps, with an embargo of 2 before them */
    };
}

static struct history *history_of(const struct golden_array *series, int stream) {
    int steps = series->dims[1];
    struct history *history = history_new(WIDTH, steps, 1);
    for (int i = 0; i < steps; i++) {
        double values[WIDTH];
        for (int f = 0; f < WIDTH; f++)
            values[f] = (double)series->data[(stream * steps + i) * WIDTH + f];
        history_append(history, i + 1, values, 0);
    }
    return history;
}

/* The golden's streams under names: order[i] is the name of its stream i. */
static struct windows *collect(const struct config_model *model, const struct golden_array *series,
                               const int *order) {
    static const struct scaler scalers[WIDTH];
    struct windows *windows = windows_new(model, 64, series->dims[0], series->dims[1]);
    for (int s = 0; s < series->dims[0]; s++) {
        struct history *history = history_of(series, s);
        struct windows_cursor cursor;
        char name[16];
        snprintf(name, sizeof name, "%d", order[s]);
        assert_true(windows_begin(&cursor, model, name, history, history->n));
        while (windows_copy(windows, &cursor, history, scalers))
            ;
        history_free(history);
    }
    return windows;
}

/* Slots take streams in the order of their keys, which are their names': so the golden's first is given the first
 * name. */
static void order_of_names(const struct config_model *model, const struct golden_array *series, int *ret_order) {
    int order[MAX_STREAMS], n;
    double keys[MAX_STREAMS];
    for (int s = 0; s < series->dims[0]; s++)
        order[s] = s;
    for (int s = 0; s < series->dims[0]; s++) {
        struct golden_array one = {.dims = {1, series->dims[1], WIDTH}, .data = series->data};
        struct windows *windows = collect(model, &one, &order[s]);
        const struct window **chosen;
        assert_int_equal(windows_choose(&windows, 1, false, &chosen, &n), 0);
        assert_int_equal(n, CHUNKS / 2);
        keys[s] = chosen[0]->key;
        free(chosen);
        windows_free(windows);
    }
    for (int s = 0; s < series->dims[0]; s++) {
        int place = 0;
        for (int other = 0; other < series->dims[0]; other++)
            place += keys[other] < keys[s];
        ret_order[place] = s;
    }
}

/* In units of the weights' scale. */
static double check(const struct golden_box *box, const char *name, const struct golden *golden) {
    struct keras_model *after = golden_model(box, name, ".after", NULL);
    struct golden_array series = golden_array(golden, "series");
    struct config_model model = model_of(golden);
    struct training_outcome outcome;
    struct error err;
    int order[MAX_STREAMS];
    order_of_names(&model, &series, order);
    struct windows *windows = collect(&model, &series, order);
    struct network *start = training_network(&model, &err);
    if (start == NULL || training_run(&model, kernels_choose(), &windows, 1, start, NULL, &outcome, &err) != 0)
        fail_msg("%s", err.text);
    size_t n = network_n_params(start);
    int batch = model.training.batch;
    assert_int_equal(outcome.steps, EPOCHS * CHUNKS * ((series.dims[0] + batch - 1) / batch));
    double moved = floats_distance(n, network_params(start), after->params), scale = 0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)after->params[i]));
    double error = floats_distance(n, network_params(outcome.challenger), after->params) / scale;
    print_message("%s: training moved the weights by %.3g\n", name, moved);
    assert_true(moved > 0.01);
    network_free(start);
    network_free(outcome.challenger);
    windows_free(windows);
    golden_array_fini(&series);
    keras_model_free(after);
    return error;
}

int main(int argc, char **argv) {
    static const char *const boxes[] = {"fit"};
    return golden_main(argc, argv, boxes, 1, 1, check);
}
