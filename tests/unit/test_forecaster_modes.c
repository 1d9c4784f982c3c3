/* Models that come from a file: windowed, recursive, decoders, raw heads, published states. What is served is
 * compared, bit for bit, with the network run by hand on the same values. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/keras/keras.h"
#include "engine/random.h"
#include "tests/support/floats.h"
#include "tests/support/fixtures.h"
#include "tests/support/replay.h"

#include <math.h>
#include <stdio.h>

enum { SLOTS = 4, KEPT = 40, LAYERS = 6, VOCABULARY = 7 };

/* A model of layers as if they had been read from a file, with random weights. */
struct scene {
    struct layer_spec layers[LAYERS];
    struct keras_model keras;
    struct config_class class;
    struct config_model model;
    int inputs[2], targets[2];
    struct forecaster *forecaster;
    struct history *history[SLOTS];
};

static struct layer_spec layer(enum layer_kind kind, int units) {
    return layer_spec_of(kind, units);
}

static struct layer_spec sequences(enum layer_kind kind, int units) {
    struct layer_spec spec = layer_spec_of(kind, units);
    spec.return_sequences = true;
    return spec;
}

/* Two features, both inputs and targets; scaler and residual as a file without a word of its own has them. */
static void scene_init(struct scene *scene, int n_layers) {
    struct error err;
    struct rng rng = {17};
    scene->keras.spec.n_inputs = scene->model.vocabulary > 0 ? 1 : 2;
    scene->keras.spec.ids = scene->model.vocabulary > 0;
    scene->keras.spec.layers = scene->layers;
    scene->keras.spec.n_layers = n_layers;
    scene->keras.spec.steps = scene->model.window;
    struct network *network = network_new(&scene->keras.spec, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    scene->keras.n_params = network_n_params(network);
    scene->keras.params = floats_random(&rng, scene->keras.n_params, 0.8);
    network_free(network);

    static char name[] = "scene";
    scene->inputs[1] = scene->targets[1] = 1;
    scene->class = (struct config_class){
        .name = name, .n_features = 2, .history = KEPT, .pending = FIXTURE_PENDING, .time.every = 0};
    scene->model.name = name;
    scene->model.keras = &scene->keras;
    scene->model.inputs = scene->inputs;
    scene->model.n_inputs = scene->keras.spec.n_inputs;
    scene->model.targets = scene->targets;
    scene->model.n_targets = scene->model.head == HEAD_RAW ? 0 : scene->keras.spec.n_inputs;
    scene->model.batch_size = SLOTS;
    scene->model.combine = COMBINE_ONLY + EXPERT_NETWORK;
    if (scene->model.scaler != SCALER_WINDOW)
        scene->model.scaler = SCALER_NONE;
    if (scene->model.window == 0)
        scene->model.window = 1;
    scene->forecaster = forecaster_new(&scene->class, &scene->model, kernels_choose());
    assert_non_null(scene->forecaster);
}

static void scene_take_over(struct scene *scene, uint64_t number) {
    struct error err;
    struct network *network = forecaster_network(&scene->model, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    take_over(scene->forecaster, version_new(number, network));
}

static void scene_open(struct scene *scene, int slot) {
    scene->history[slot] = history_new(2, KEPT, FIXTURE_PENDING);
    forecaster_acquire(scene->forecaster, slot, scene->history[slot]);
}

static double value_at(const struct scene *scene, int slot, uint64_t step, int feature) {
    struct rng rng = {1000 * (uint64_t)slot + 10 * step + (uint64_t)feature};
    if (scene->model.vocabulary > 0)
        return (double)rng_below(&rng, VOCABULARY);
    return rng_normal(&rng);
}

/* The next step of some slots, all in one advance. */
static void scene_advance(struct scene *scene, const int *slots, int n) {
    for (int i = 0; i < n; i++) {
        struct history *history = scene->history[slots[i]];
        uint64_t step = history->n + 1;
        const double values[] = {value_at(scene, slots[i], step, 0), value_at(scene, slots[i], step, 1)};
        history_append(history, (int64_t)step * 1000, values, false);
    }
    forecaster_advance(scene->forecaster, slots, n);
}

static void scene_fini(struct scene *scene) {
    forecaster_free(scene->forecaster);
    for (int slot = 0; slot < SLOTS; slot++)
        history_free(scene->history[slot]);
    free(scene->keras.params);
}

/* The network run by hand. */
struct hand {
    struct network *network;
    float *state, *work, *y[LAYER_PORTS];
};

static struct hand hand_new(const struct scene *scene, int steps) {
    struct error err;
    struct hand hand = {.network = forecaster_network(&scene->model, &err)};
    hand.state = floats_new(network_state_size(hand.network) + 1);
    hand.work = floats_new(network_work_size(hand.network, 1, steps) + 1);
    for (int o = 0; o < network_n_outputs(hand.network); o++) {
        struct network_shape shape = network_output(hand.network, o, steps);
        hand.y[o] = floats_new((size_t)shape.steps * (size_t)shape.width);
    }
    return hand;
}

static void hand_run(struct hand *hand, int steps, const float *x) {
    network_forward(hand->network, kernels_choose(), 1, steps, x, &hand->state, hand->y, hand->work);
}

static void hand_free(struct hand *hand) {
    for (int o = 0; o < network_n_outputs(hand->network); o++)
        free(hand->y[o]);
    network_free(hand->network);
    free(hand->state);
    free(hand->work);
}

static void inputs_of(const struct scene *scene, int slot, uint64_t first, int steps, float *x) {
    for (int t = 0; t < steps; t++)
        for (int i = 0; i < scene->model.n_inputs; i++)
            *x++ = (float)value_at(scene, slot, first + (uint64_t)t, i);
}

/* ---- windows -------------------------------------------------------------------------------- */

enum { WINDOW = 6 };

static void check_window(const struct scene *scene, struct hand *hand, int slot) {
    const struct forecast *forecast = forecaster_latest(scene->forecaster, slot);
    float x[2 * WINDOW];
    assert_int_equal(forecast->warming, forecast->step < WINDOW);
    assert_int_equal(forecast->from_network, forecast->step >= WINDOW);
    if (forecast->step < WINDOW)
        return;
    inputs_of(scene, slot, forecast->step + 1 - WINDOW, WINDOW, x);
    hand_run(hand, WINDOW, x);
    for (int i = 0; i < scene->model.horizon * 2; i++)
        assert_true(forecast->mean[i] == (double)hand->y[0][i]);
}

/* Slots of different ages, side by side; among the layers one that no stream could run. */
static void a_window_is_one_sample(void **state) {
    (void)state;
    struct scene scene = {.model = {.mode = MODEL_WINDOWED, .window = WINDOW, .horizon = 2}};
    scene.layers[0] = sequences(LAYER_LSTM, 5);
    scene.layers[0].go_backwards = true;
    scene.layers[1] = layer(LAYER_GRU, 3);
    scene.layers[2] = layer(LAYER_DENSE, 4);
    scene_init(&scene, 3);
    scene_take_over(&scene, 1);
    struct hand hand = hand_new(&scene, WINDOW);
    for (int round = 0; round < 60; round++) {
        int slots[SLOTS], n = 0;
        for (int slot = 0; slot < SLOTS; slot++) {
            if (round == 5 * slot)
                scene_open(&scene, slot);
            if (round >= 5 * slot && (round % (slot + 2) != 0 || slot == 0))
                slots[n++] = slot;
        }
        scene_advance(&scene, slots, n);
        for (int i = 0; i < n; i++)
            check_window(&scene, &hand, slots[i]);
    }
    hand_free(&hand);
    scene_fini(&scene);
}

/* By hand: each sample by its own mean and deviation, to which a hundredth of the running deviation is added, and
 * back. */
static void a_sample_is_scaled_by_itself(void **state) {
    (void)state;
    struct scene scene = {.model = {.mode = MODEL_WINDOWED, .window = WINDOW, .horizon = 2, .scaler = SCALER_WINDOW}};
    scene.layers[0] = layer(LAYER_LSTM, 5);
    scene.layers[1] = layer(LAYER_DENSE, 4);
    scene_init(&scene, 2);
    scene_take_over(&scene, 1);
    scene_open(&scene, 1);
    struct hand hand = hand_new(&scene, WINDOW);
    for (int step = 1; step <= 20; step++) {
        scene_advance(&scene, &(int){1}, 1);
        const struct forecast *forecast = forecaster_latest(scene.forecaster, 1);
        if (step < WINDOW)
            continue;
        float x[2 * WINDOW];
        double mean[2], unit[2];
        for (int f = 0; f < 2; f++) {
            double sum = 0, squares = 0, all = 0, all_squares = 0;
            for (int t = 1; t <= step; t++) {
                double value = value_at(&scene, 1, (uint64_t)t, f);
                all += value / step;
                all_squares += value * value / step;
                sum += t > step - WINDOW ? value / WINDOW : 0;
                squares += t > step - WINDOW ? value * value / WINDOW : 0;
            }
            mean[f] = sum;
            unit[f] = sqrt(squares - sum * sum + 1e-4 * (all_squares - all * all));
            for (int t = 0; t < WINDOW; t++)
                x[2 * t + f] =
                    (float)((value_at(&scene, 1, (uint64_t)(step + 1 - WINDOW + t), f) - mean[f]) / unit[f]);
        }
        hand_run(&hand, WINDOW, x);
        for (int i = 0; i < 4; i++)
            assert_true(fabs(forecast->mean[i] - (mean[i % 2] + unit[i % 2] * (double)hand.y[0][i])) < 1e-5);
    }
    hand_free(&hand);
    scene_fini(&scene);
}

static void a_reset_begins_a_new_window(void **state) {
    (void)state;
    struct scene scene = {.model = {.mode = MODEL_WINDOWED, .window = WINDOW, .horizon = 1}};
    scene.layers[0] = layer(LAYER_SIMPLE_RNN, 5);
    scene.layers[1] = layer(LAYER_DENSE, 2);
    scene_init(&scene, 2);
    scene_take_over(&scene, 1);
    scene_open(&scene, 0);
    for (int i = 0; i < 10; i++)
        scene_advance(&scene, &(int){0}, 1);
    assert_true(forecaster_latest(scene.forecaster, 0)->from_network);
    history_reset(scene.history[0]);
    forecaster_reset(scene.forecaster, 0);
    for (int i = 1; i <= 10; i++) {
        scene_advance(&scene, &(int){0}, 1);
        assert_int_equal(forecaster_latest(scene.forecaster, 0)->from_network, i >= WINDOW);
        assert_int_equal(forecaster_latest(scene.forecaster, 0)->warming, i < WINDOW);
        assert_int_equal(forecaster_latest(scene.forecaster, 0)->primed, i);
    }
    scene_fini(&scene);
}

static void a_takeover_keeps_the_windows(void **state) {
    (void)state;
    struct scene scene = {.model = {.mode = MODEL_WINDOWED, .window = WINDOW, .horizon = 1}};
    scene.layers[0] = layer(LAYER_LSTM, 5);
    scene.layers[1] = layer(LAYER_DENSE, 2);
    scene_init(&scene, 2);
    scene_take_over(&scene, 1);
    struct hand hand = hand_new(&scene, WINDOW);
    scene_open(&scene, 1);
    for (int i = 0; i < 10; i++)
        scene_advance(&scene, &(int){1}, 1);
    scene_take_over(&scene, 2);
    scene_advance(&scene, &(int){1}, 1);
    assert_int_equal(forecaster_latest(scene.forecaster, 1)->version, 2);
    check_window(&scene, &hand, 1);
    hand_free(&hand);
    scene_fini(&scene);
}

/* ---- recursion ------------------------------------------------------------------------------ */

enum { HORIZON = 5 };

/* The forecast of a stateful network at the latest step, by feeding it back on a copy of its state. */
static void check_recursion(const struct scene *scene, struct hand *hand, int slot) {
    const struct forecast *forecast = forecaster_latest(scene->forecaster, slot);
    size_t size = network_state_size(hand->network);
    float x[2];
    inputs_of(scene, slot, forecast->step, 1, x);
    hand_run(hand, 1, x);
    float *kept = floats_copy(size, hand->state);
    for (int h = 0; h < HORIZON; h++) {
        for (int j = 0; j < 2; j++) {
            assert_true(forecast->mean[2 * h + j] == (double)hand->y[0][j]);
            x[j] = hand->y[0][j];
        }
        hand_run(hand, 1, x);
    }
    memcpy(hand->state, kept, size * sizeof *kept);
    free(kept);
}

static void a_stateful_network_feeds_itself_back(void **state) {
    (void)state;
    struct scene scene = {.model = {.form = FORECAST_RECURSIVE, .horizon = HORIZON}};
    scene.layers[0] = sequences(LAYER_LSTM, 5);
    scene.layers[1] = layer(LAYER_GRU, 4);
    scene.layers[2] = layer(LAYER_DENSE, 2);
    scene_init(&scene, 3);
    scene_take_over(&scene, 1);
    struct hand hands[SLOTS];
    for (int slot = 0; slot < SLOTS; slot++) {
        scene_open(&scene, slot);
        hands[slot] = hand_new(&scene, 1);
    }
    for (int round = 0; round < 30; round++) {
        int slots[SLOTS], n = 0;
        for (int slot = 0; slot < SLOTS; slot++)
            if (round % (slot + 1) == 0)
                slots[n++] = slot;
        scene_advance(&scene, slots, n);
        for (int i = 0; i < n; i++)
            check_recursion(&scene, &hands[slots[i]], slots[i]);
    }
    for (int slot = 0; slot < SLOTS; slot++)
        hand_free(&hands[slot]);
    scene_fini(&scene);
}

static void a_windowed_network_feeds_itself_back(void **state) {
    (void)state;
    struct scene scene = {
        .model = {.mode = MODEL_WINDOWED, .window = WINDOW, .form = FORECAST_RECURSIVE, .horizon = HORIZON}};
    scene.layers[0] = layer(LAYER_LSTM, 5);
    scene.layers[1] = layer(LAYER_DENSE, 2);
    scene_init(&scene, 2);
    scene_take_over(&scene, 1);
    struct hand hand = hand_new(&scene, WINDOW);
    scene_open(&scene, 0);
    scene_open(&scene, 2);
    for (int i = 0; i < 9; i++)
        scene_advance(&scene, (const int[]){2, 0}, 2);
    const struct forecast *forecast = forecaster_latest(scene.forecaster, 2);
    float x[2 * (WINDOW + HORIZON)];
    inputs_of(&scene, 2, forecast->step + 1 - WINDOW, WINDOW, x);
    for (int h = 0; h < HORIZON; h++) {
        hand_run(&hand, WINDOW, x + 2 * h);
        for (int j = 0; j < 2; j++) {
            assert_true(forecast->mean[2 * h + j] == (double)hand.y[0][j]);
            x[2 * (WINDOW + h) + j] = hand.y[0][j];
        }
    }
    hand_free(&hand);
    scene_fini(&scene);
}

/* Ids in, the likeliest id out and in again. */
static void ids_are_generated(void **state) {
    (void)state;
    struct scene scene = {.model = {.form = FORECAST_RECURSIVE, .horizon = HORIZON, .vocabulary = VOCABULARY}};
    scene.layers[0] = layer(LAYER_EMBEDDING, 4);
    scene.layers[0].vocabulary = VOCABULARY;
    scene.layers[1] = layer(LAYER_LSTM, 6);
    scene.layers[2] = layer(LAYER_DENSE, VOCABULARY);
    scene.layers[2].activation = ACTIVATION_SOFTMAX;
    scene_init(&scene, 3);
    scene_take_over(&scene, 1);
    struct hand hand = hand_new(&scene, 1);
    scene_open(&scene, 3);
    for (int i = 0; i < 12; i++) {
        scene_advance(&scene, &(int){3}, 1);
        const struct forecast *forecast = forecaster_latest(scene.forecaster, 3);
        float x;
        inputs_of(&scene, 3, forecast->step, 1, &x);
        hand_run(&hand, 1, &x);
        float *kept = floats_copy(network_state_size(hand.network), hand.state);
        for (int h = 0; h < HORIZON; h++) {
            int best = 0;
            for (int id = 1; id < VOCABULARY; id++)
                best = hand.y[0][id] > hand.y[0][best] ? id : best;
            assert_true(forecast->mean[h] == best);
            x = (float)best;
            hand_run(&hand, 1, &x);
        }
        memcpy(hand.state, kept, network_state_size(hand.network) * sizeof *kept);
        free(kept);
    }
    hand_free(&hand);
    scene_fini(&scene);
}

/* ---- decoders, raw heads, states ------------------------------------------------------------ */

/* An encoder whose state is carried, and a decoder that begins anew at every tick. */
static void a_decoder_gives_the_horizon_by_step(void **state) {
    (void)state;
    struct scene scene = {.model = {.horizon = HORIZON}};
    scene.layers[0] = layer(LAYER_LSTM, 5);
    scene.layers[1] = layer(LAYER_REPEAT_VECTOR, HORIZON);
    scene.layers[2] = sequences(LAYER_LSTM, 4);
    scene.layers[3] = layer(LAYER_DENSE, 2);
    scene_init(&scene, 4);
    scene_take_over(&scene, 1);
    struct hand hand = hand_new(&scene, 1);
    scene_open(&scene, 0);
    scene_open(&scene, 1);
    for (int i = 0; i < 8; i++) {
        scene_advance(&scene, (const int[]){0, 1}, 2);
        float x[2];
        inputs_of(&scene, 1, (uint64_t)i + 1, 1, x);
        hand_run(&hand, 1, x);
        for (int at = 0; at < 2 * HORIZON; at++)
            assert_true(forecaster_latest(scene.forecaster, 1)->mean[at] == (double)hand.y[0][at]);
    }
    hand_free(&hand);
    scene_fini(&scene);
}

static void a_raw_head_gives_all_outputs_and_the_state(void **state) {
    (void)state;
    struct scene scene = {.model = {.head = HEAD_RAW, .publish_state = true}};
    scene.layers[0] = sequences(LAYER_LSTM, 5);
    scene.layers[0].return_state = true;
    scene.keras.spec.outputs[0] = (struct layer_input){0, 0};
    scene.keras.spec.outputs[1] = (struct layer_input){0, 1};
    scene.keras.spec.outputs[2] = (struct layer_input){0, 2};
    scene.keras.spec.n_outputs = 3;
    scene_init(&scene, 1);
    scene_open(&scene, 1);
    scene_advance(&scene, &(int){1}, 1);
    assert_int_equal(forecaster_latest(scene.forecaster, 1)->n_outputs, 0); /* nothing serves yet */
    assert_null(forecaster_latest(scene.forecaster, 1)->state);
    scene_take_over(&scene, 1);
    struct hand hand = hand_new(&scene, 1);
    float x[2];
    inputs_of(&scene, 1, 1, 1, x);
    hand_run(&hand, 1, x);
    for (uint64_t step = 2; step < 9; step++) {
        scene_advance(&scene, &(int){1}, 1);
        const struct forecast *forecast = forecaster_latest(scene.forecaster, 1);
        inputs_of(&scene, 1, step, 1, x);
        hand_run(&hand, 1, x);
        assert_int_equal(forecast->n_outputs, 3);
        assert_true(forecast->outputs[0].shape.sequence && !forecast->outputs[1].shape.sequence);
        for (int o = 0; o < 3; o++) {
            assert_int_equal(forecast->outputs[o].shape.width, 5);
            assert_true(floats_same(5, forecast->outputs[o].at, hand.y[o]));
        }
        assert_true(floats_same(10, forecast->state, hand.state));
        assert_int_equal(forecast->n_scores, 0);
    }
    hand_free(&hand);
    scene_fini(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_is_one_sample),
        cmocka_unit_test(a_sample_is_scaled_by_itself),
        cmocka_unit_test(a_reset_begins_a_new_window),
        cmocka_unit_test(a_takeover_keeps_the_windows),
        cmocka_unit_test(a_stateful_network_feeds_itself_back),
        cmocka_unit_test(a_windowed_network_feeds_itself_back),
        cmocka_unit_test(ids_are_generated),
        cmocka_unit_test(a_decoder_gives_the_horizon_by_step),
        cmocka_unit_test(a_raw_head_gives_all_outputs_and_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
