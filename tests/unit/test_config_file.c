/* Models that come from a Keras file: what the file decides, what the configuration does, and what does not fit. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/config.h"
#include "engine/keras/keras.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/forecastd-config-XXXXXX";

static char *path_in(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Writes a network of up to two recurrent and dense layers. */
static void write_model(const char *name, bool stateful, int n_inputs, int steps, int outputs, const char *own) {
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 4), layer_spec_of(LAYER_DENSE, outputs)};
    const struct network_spec spec = {.n_inputs = n_inputs, .steps = steps, .layers = layers, .n_layers = 2};
    struct error err;
    layers[0].stateful = stateful;
    struct network *network = network_new(&spec, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    network_init_weights(network, 3);
    if (keras_write(path_in(name), network, own, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

/* Two inputs, samples of five steps. */
static void write_layers(const char *name, const struct layer_spec *layers, int n_layers) {
    const struct network_spec spec = {.n_inputs = 2, .steps = 5, .layers = layers, .n_layers = n_layers};
    struct error err;
    struct network *network = network_new(&spec, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    network_init_weights(network, 3);
    if (keras_write(path_in(name), network, NULL, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

static void write_ids(const char *name) {
    struct layer_spec layers[] = {layer_spec_of(LAYER_EMBEDDING, 3), layer_spec_of(LAYER_LSTM, 4),
                                  layer_spec_of(LAYER_DENSE, 9)};
    const struct network_spec spec = {.n_inputs = 1, .ids = true, .steps = 5, .layers = layers, .n_layers = 3};
    struct error err;
    layers[0].vocabulary = 9;
    layers[2].activation = ACTIVATION_SOFTMAX;
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    if (keras_write(path_in(name), network, NULL, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

/* Three steps of one value behind a RepeatVector, and a class of three. */
static void write_decoder(const char *name) {
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 4), layer_spec_of(LAYER_REPEAT_VECTOR, 3),
                                  layer_spec_of(LAYER_LSTM, 4), layer_spec_of(LAYER_DENSE, 1)};
    layers[2].return_sequences = true;
    write_layers(name, layers, 4);
}

static void write_classes(const char *name) {
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 4), layer_spec_of(LAYER_DENSE, 3)};
    layers[1].activation = ACTIVATION_SOFTMAX;
    write_layers(name, layers, 2);
}

/* A sample of it takes gigabytes. */
static void write_huge(const char *name) {
    struct layer_spec layers[] = {layer_spec_of(LAYER_DENSE, 4096), layer_spec_of(LAYER_DENSE, 4096),
                                  layer_spec_of(LAYER_DENSE, 2)};
    const struct network_spec spec = {.n_inputs = 1, .layers = layers, .n_layers = 3};
    struct error err;
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    if (keras_write(path_in(name), network, NULL, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

/* A value for each step. */
static void write_steps(const char *name) {
    struct layer_spec layer = layer_spec_of(LAYER_DENSE, 1);
    const struct network_spec spec = {.n_inputs = 2, .steps = 5, .layers = &layer, .n_layers = 1};
    struct error err;
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    if (keras_write(path_in(name), network, NULL, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

/* Samples of five steps, as one vector. */
static void write_flat(const char *name) {
    struct layer_spec layers[] = {layer_spec_of(LAYER_FLATTEN, 0), layer_spec_of(LAYER_DENSE, 2)};
    const struct network_spec spec = {.n_inputs = 2, .steps = 5, .layers = layers, .n_layers = 2};
    struct error err;
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    if (keras_write(path_in(name), network, NULL, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

/* A convolution that needs three steps, of samples of any length. */
static void write_valid(const char *name) {
    struct layer_spec layers[] = {layer_spec_of(LAYER_CONV1D, 4), layer_spec_of(LAYER_LSTM, 4),
                                  layer_spec_of(LAYER_DENSE, 2)};
    const struct network_spec spec = {.n_inputs = 2, .layers = layers, .n_layers = 3};
    struct error err;
    layers[0].kernel_size = 3;
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    if (keras_write(path_in(name), network, NULL, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

static const char own_text[] =
    "{\"format\": 1, \"inputs\": [\"y\", \"x\"], \"targets\": [\"y\"], \"horizon\": 6, \"period\": 12,"
    " \"scaler\": \"standard\", \"residual\": true, \"mode\": \"stateful\"}";

static int setup(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    write_model("plain.keras", false, 2, 5, 6, NULL);
    write_model("endless.h5", false, 2, 0, 6, NULL);
    write_model("stateful.keras", true, 2, 1, 6, NULL);
    write_model("whole.keras", false, 2, 0, 6, own_text);
    write_model("strange.keras", false, 2, 5, 6, "{\"format\": 9}");
    write_ids("ids.keras");
    write_steps("one.keras");
    write_flat("flat.keras");
    write_valid("valid.keras");
    write_huge("huge.keras");
    write_decoder("decoder.keras");
    write_classes("classes.keras");
    write_model("both.keras", false, 2, 5, 2, NULL);
    FILE *file = fopen(path_in("broken.keras"), "w");
    fputs("not a zip", file);
    return fclose(file);
}

static int teardown(void **state) {
    static const char *const names[] = {"plain.keras",   "endless.h5",    "stateful.keras", "whole.keras",
                                        "strange.keras", "ids.keras",     "broken.keras",   "huge.keras",
                                        "decoder.keras", "classes.keras", "both.keras",     "flat.keras",
                                        "one.keras",     "valid.keras",   "forecastd.yaml"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_in(names[i]));
    return rmdir(folder);
}

/* A configuration with one model of these keys over a class of x, y; NULL and the sentence when it is refused. */
static const char *missing = "last"; /* of the class */

static struct config *load(const char *keys, struct error *err) {
    FILE *file = fopen(path_in("forecastd.yaml"), "w");
    fprintf(file,
            "streams:\n  - {class: c, pattern: \"*\", features: [x, y], history: 200, missing: %s}\nmodels:\n"
            "  - {name: m, class: c, %s}\n",
            missing, keys);
    assert_int_equal(fclose(file), 0);
    struct config *config = NULL;
    return config_load(path_in("forecastd.yaml"), &config, err) == 0 ? config : NULL;
}

static struct config *loaded(const char *keys) {
    struct error err;
    struct config *config = load(keys, &err);
    if (config == NULL)
        fail_msg("%s: %s", keys, err.text);
    return config;
}

static void a_file_without_a_word_is_served_as_it_is(void **state) {
    (void)state;
    struct config *config = loaded("file: plain.keras");
    const struct config_model *model = &config->models[0];
    assert_int_equal(model->mode, MODEL_WINDOWED);
    assert_int_equal(model->window, 5);
    assert_int_equal(model->horizon, 3); /* six values, two targets */
    assert_int_equal(model->scaler, SCALER_NONE);
    assert_true(!model->residual && !model->train && model->vocabulary == 0);
    config_free(config);
}

static void stateful_layers_make_it_stateful(void **state) {
    (void)state;
    struct config *config = loaded("file: stateful.keras, targets: [y]");
    assert_int_equal(config->models[0].mode, MODEL_STATEFUL);
    assert_int_equal(config->models[0].window, 1);
    assert_int_equal(config->models[0].horizon, 6);
    config_free(config);
}

static void its_own_word_is_the_default(void **state) {
    (void)state;
    struct config *config = loaded("file: whole.keras");
    const struct config_model *model = &config->models[0];
    assert_int_equal(model->n_inputs, 2);
    assert_int_equal(model->inputs[0], 1);
    assert_int_equal(model->inputs[1], 0);
    assert_int_equal(model->n_targets, 1);
    assert_int_equal(model->targets[0], 1);
    assert_true(model->horizon == 6 && model->period == 12 && model->scaler == SCALER_STANDARD && model->residual);
    assert_int_equal(model->mode, MODEL_STATEFUL);
    config_free(config);
}

static void the_configuration_has_the_last_word(void **state) {
    (void)state;
    struct config *config = loaded("file: whole.keras, targets: [x, y], horizon: 3, period: 0, scaler: none, "
                                   "residual: false, mode: windowed, window: 9, inputs: [x, y], train: true");
    const struct config_model *model = &config->models[0];
    assert_true(model->inputs[0] == 0 && model->n_targets == 2 && model->horizon == 3 && model->period == 0);
    assert_true(model->scaler == SCALER_NONE && !model->residual && model->train);
    assert_int_equal(model->mode, MODEL_WINDOWED);
    assert_int_equal(model->window, 9);
    config_free(config);
}

static void ids_give_the_class_a_vocabulary(void **state) {
    (void)state;
    struct config *config = loaded("file: ids.keras, inputs: [y], targets: [y], forecast: recursive, horizon: 4");
    assert_int_equal(config->models[0].vocabulary, 9);
    assert_int_equal(config->classes[0].vocabulary[0], 0);
    assert_int_equal(config->classes[0].vocabulary[1], 9);
    config_free(config);
}

/* Of the likeliest id one step ahead: as many values as there are ids are no horizon. */
static void a_class_is_one_step_ahead(void **state) {
    (void)state;
    struct config *config = loaded("file: ids.keras, inputs: [y], targets: [y]");
    assert_int_equal(config->models[0].horizon, 1);
    config_free(config);
}

static void a_sample_is_as_long_as_the_network_takes(void **state) {
    (void)state;
    struct config *config = loaded("file: flat.keras");
    assert_int_equal(config->models[0].window, 5);
    config_free(config);
    config = loaded("file: valid.keras, window: 3");
    assert_int_equal(config->models[0].window, 3);
    config_free(config);
}

static void a_decoder_says_its_horizon(void **state) {
    (void)state;
    struct config *config = loaded("file: decoder.keras, targets: [y]");
    assert_int_equal(config->models[0].horizon, 3);
    config_free(config);
}

static void targets_are_in_the_order_of_the_inputs(void **state) {
    (void)state;
    struct config *config = loaded("file: both.keras, inputs: [y, x]");
    const struct config_model *model = &config->models[0];
    char text[256];
    assert_true(model->n_targets == 2 && model->targets[0] == 1 && model->targets[1] == 0);
    assert_int_equal(model->horizon, 1);
    config_model_text(model, text, sizeof text);
    assert_string_equal(text,
                        "both.keras, windowed (5 steps), 2 inputs to 1 step of 2 targets, scaler none, not trained");
    config_free(config);
}

static void a_raw_head_has_no_targets(void **state) {
    (void)state;
    struct config *config = loaded("file: plain.keras, head: raw, publish_state: true");
    assert_int_equal(config->models[0].n_targets, 0);
    assert_int_equal(config->models[0].horizon, 0);
    config_free(config);
}

static void an_event_is_told_by_a_classifier(void **state) {
    (void)state;
    struct config *config = loaded("file: classes.keras, head: event, classes: 3, train: true");
    assert_true(config->models[0].probabilities && config->classes[0].labels == 3);
    assert_int_equal(config->models[0].training.loss, LOSS_CATEGORICAL_CROSSENTROPY);
    config_free(config);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *keys, *says;
    } cases[] = {
        {"file: none.keras", "models[0].file: "},
        {"file: none.keras", "none.keras"},
        {"file: broken.keras", "broken.keras"},
        {"file: strange.keras", "forecastd.json: format is not 1"},
        {"file: plain.keras, layers: [{lstm: 4}]", "the layers are those of the file"},
        {"architecture: plain.json", "without a file of weights"},
        {"file: endless.h5", "how many steps a sample has: give window, or mode: stateful"},
        {"file: plain.keras, mode: stateful, window: 3", "belongs to `mode: windowed`"},
        {"mode: windowed, window: 3", "windowed serves a model that comes from a file"},
        {"forecast: recursive", "a model of layers has a direct forecast"},
        {"file: plain.keras, inputs: [x]", "the network has 2 inputs, and 1 are given"},
        {"file: one.keras", "it gives 1 value at each step, which may be targets, steps or classes"},
        {"file: plain.keras, horizon: 4", "it gives 6 values, and a forecast of 4 steps for 2 targets has 8"},
        {"file: plain.keras, targets: [x, z]", "the class has no feature \"z\""},
        {"file: plain.keras, head: raw, targets: [x]", "a raw head gives what the network gives"},
        {"file: plain.keras, head: raw, forecast: recursive", "a raw head is not fed back"},
        {"file: classes.keras, head: event", "classes.keras: it gives 3 values, and an event of 2 classes has 1"},
        {"file: plain.keras, head: event, forecast: recursive", "an event is not fed back"},
        {"file: plain.keras, head: raw, train: true", "is trained when its forecast is"},
        {"file: plain.keras, window: 300", "window: 300 is more than 200, the history of its class"},
        {"file: ids.keras, inputs: [x], targets: [x], scaler: standard", "is ids, which are not scaled"},
        {"file: ids.keras, inputs: [x], targets: [y], forecast: recursive, horizon: 3", "none of them is an input"},
        {"file: both.keras, targets: [x]", "it gives 2 values, which may be targets, steps or classes"},
        {"file: classes.keras, targets: [x]", "it gives 3 values, which may be targets, steps or classes"},
        {"file: decoder.keras, targets: [x], horizon: 1", "it gives 3 steps of 1 value, and a forecast of 1 step"},
        {"file: decoder.keras, targets: [x], forecast: recursive",
         "it gives 3 steps of 1 value, and what is fed back"},
        {"file: decoder.keras, targets: [x, y]", "it gives 3 steps of 1 value, which may be"},
        {"file: huge.keras, inputs: [x], targets: [x, y], window: 200, batch_size: 5000",
         "a batch of 5000 streams needs 31 GiB"},
        {"file: ids.keras, inputs: [x], targets: [x], residual: true", "residual: the network forecasts ids"},
        {"file: flat.keras, window: 4", "window: flat.keras: a sample has 5 steps, and 4 are given"},
        {"file: valid.keras, window: 2", "window: valid.keras: a sample has at least 3 steps, and 2 are given"},
        {"file: endless.h5, window: 150, train: true",
         "training.window: 128 is less than 150, the steps of a sample"},
        {"file: ids.keras, inputs: [x], targets: [x], horizon: 2", "it gives 9 values, and a forecast of 2 steps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {.text = ""};
        assert_null(load(cases[i].keys, &err));
        if (strstr(err.text, cases[i].says) == NULL || strstr(err.text, "forecastd.yaml:") == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].keys, err.text, cases[i].says);
    }
}

/* With masks a file's network has twice as many inputs. */
static void a_class_says_what_is_seen_of_missing_values(void **state) {
    (void)state;
    static const struct {
        const char *missing, *keys, *says;
    } cases[] = {
        {"mask", "file: plain.keras",
         "the network has 2 inputs, and 4 are given with their masks (streams: missing)"},
        {"mean", "file: plain.keras, scaler: window", "scaler: window knows a missing value as the one before"},
        {"mean", "file: ids.keras, inputs: [x], targets: [x]", "x is ids, which have no mean (streams: missing)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {.text = ""};
        missing = cases[i].missing;
        assert_null(load(cases[i].keys, &err));
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].keys, err.text, cases[i].says);
    }
    missing = "mask";
    struct config *config = loaded("file: plain.keras, inputs: [x]");
    assert_true(config->models[0].n_inputs == 1 && config_network_inputs(&config->models[0]) == 2);
    config_free(config);
    missing = "last";
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_without_a_word_is_served_as_it_is),
        cmocka_unit_test(a_class_says_what_is_seen_of_missing_values),
        cmocka_unit_test(stateful_layers_make_it_stateful),
        cmocka_unit_test(its_own_word_is_the_default),
        cmocka_unit_test(the_configuration_has_the_last_word),
        cmocka_unit_test(ids_give_the_class_a_vocabulary),
        cmocka_unit_test(a_class_is_one_step_ahead),
        cmocka_unit_test(a_sample_is_as_long_as_the_network_takes),
        cmocka_unit_test(a_decoder_says_its_horizon),
        cmocka_unit_test(targets_are_in_the_order_of_the_inputs),
        cmocka_unit_test(a_raw_head_has_no_targets),
        cmocka_unit_test(an_event_is_told_by_a_classifier),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
