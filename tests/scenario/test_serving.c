/*
 * Models that somebody trained in Keras, served by naming their files: what the daemon publishes for each stream is,
 * bit for bit, what `forecast model run` gives for that stream's values alone, with other streams at other ages
 * beside it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/npy.h"
#include "engine/random.h"
#include "tests/support/daemon.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum { STREAMS = 3, STEPS = 30, STAGGER = 7, HORIZON = 6, WIDTH_MAX = 3 };

/* A model of tests/golden/models as it is served. */
struct served {
    const char *name, *file;
    int width, vocabulary; /* of its input; ids below vocabulary, 0: numbers */
    int window;            /* steps of a sample; 0: stateful */
    bool recursive;
};

static const struct served models[] = {
    {"a", "a-LSTM-Dense-sigmoid.k3.keras", 3, 0, 12, false},
    {"a2", "a-LSTM-Dense-sigmoid.k2.h5", 3, 0, 0, false},
    {"b", "b-stateful-LSTM-1-1-1.k3.keras", 1, 0, 0, false},
    {"b2", "b-stateful-LSTM-1-1-1.k2.h5", 1, 0, 0, false},
    {"c", "c-TimeDistributed-Dense-LSTM.k3.keras", 3, 0, 8, false},
    {"d", "d-Embedding-LSTM.k2.h5", 1, 20, 10, false},
    {"e", "e-Embedding-Bidirectional-LSTM.k3.keras", 1, 20, 10, false},
    {"e-average", "e-Embedding-Bidirectional-LSTM-GlobalAveragePooling1D.k2.h5", 1, 20, 10, false},
    {"e-max", "e-Embedding-Bidirectional-LSTM-GlobalMaxPooling1D.k3.keras", 1, 20, 10, false},
    {"f", "f-stacked-stateful-LSTM.k3.keras", 2, 0, 0, false},
    {"g", "g-LSTM-autoencoder.k3.keras", 2, 0, 9, false},
    {"h", "h-generator.k3.keras", 1, 0, 0, true},
    {"h-text", "h-text-generator.k3.keras", 1, 12, 0, true},
};
enum { N_MODELS = sizeof models / sizeof *models };

/* ---- the streams ---------------------------------------------------------------------------- */

static double value_of(int model, int stream, int step, int feature) {
    const int key[] = {model, stream, step, feature};
    struct rng rng = {rng_hash(5, key, sizeof key)};
    if (models[model].vocabulary > 0)
        return (double)rng_below(&rng, (uint64_t)models[model].vocabulary);
    return (double)(float)(2 * rng_uniform(&rng) - 1);
}

static char *configuration(void) {
    char folder[PATH_MAX], *text;
    size_t size;
    assert_non_null(getcwd(folder, sizeof folder));
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fputs("streams:\n", out);
    for (int m = 0; m < N_MODELS; m++)
        fprintf(out, "  - {class: \"%s\", pattern: \"%s/*\", features: [%s]}\n", models[m].name, models[m].name,
                models[m].width == 1   ? "x"
                : models[m].width == 2 ? "x, y"
                                       : "x, y, z");
    fputs("models:\n", out);
    for (int m = 0; m < N_MODELS; m++) {
        const struct served *model = &models[m];
        fprintf(out, "  - {name: \"%s\", class: \"%s\", batch_size: 2, file: \"%s/tests/golden/models/%s\", mode: %s",
                model->name, model->name, folder, model->file, model->window > 0 ? "windowed" : "stateful");
        if (model->recursive)
            fprintf(out, ", forecast: recursive, horizon: %d}\n", HORIZON);
        else
            fputs(", head: raw}\n", out);
    }
    fclose(out);
    return text;
}

/* Every stream begins STAGGER ticks after the one before it; all models' ticks come mixed. */
static void feed_all(struct daemon *daemon) {
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int k = 0; k < STEPS + STAGGER * (STREAMS - 1); k++)
        for (int m = 0; m < N_MODELS; m++)
            for (int s = 0; s < STREAMS; s++) {
                int step = k - STAGGER * s;
                double values[WIDTH_MAX];
                char name[32];
                if (step < 0 || step >= STEPS)
                    continue;
                for (int f = 0; f < models[m].width; f++)
                    values[f] = value_of(m, s, step, f);
                snprintf(name, sizeof name, "%s/%d", models[m].name, s);
                feed_tick(socket, name, INT64_C(1700000000000000000) + k * INT64_C(1000000000), values,
                          models[m].width);
            }
}

/* What was heard of each step, by model, stream and step. */
static json_t *heard[N_MODELS][STREAMS][STEPS];

static void hear_all(void *socket) {
    for (int left = N_MODELS * STREAMS * STEPS; left > 0; left--) {
        zmq_msg_t topic, payload;
        zmq_msg_init(&topic);
        zmq_msg_init(&payload);
        assert_true(zmq_msg_recv(&topic, socket, 0) >= 0);
        assert_true(zmq_msg_recv(&payload, socket, 0) >= 0);
        json_t *forecast = json_loadb(zmq_msg_data(&payload), zmq_msg_size(&payload), 0, NULL);
        assert_non_null(forecast);
        const char *model = json_string_value(json_object_get(forecast, "model"));
        const char *stream = strchr(json_string_value(json_object_get(forecast, "stream")), '/') + 1;
        json_int_t step = json_integer_value(json_object_get(forecast, "step"));
        int m = 0;
        while (strcmp(models[m].name, model) != 0)
            m++;
        assert_in_range(step, 1, STEPS);
        heard[m][atoi(stream)][step - 1] = forecast;
        zmq_msg_close(&topic);
        zmq_msg_close(&payload);
    }
}

/* ---- the same by `forecast model run` ------------------------------------------------------- */

/* An .npy of int32, which the program's own writer, for results, does not make. */
static void write_ids(const char *path, size_t rows, size_t steps, const float *x) {
    FILE *file = fopen(path, "wb");
    char head[128];
    assert_non_null(file);
    int n =
        snprintf(head, sizeof head, "{'descr': '<i4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, steps);
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fprintf(file, "%s%*s\n", head, 117 - n, "");
    for (size_t i = 0; i < rows * steps; i++)
        fwrite(&(int32_t){(int32_t)x[i]}, 4, 1, file);
    assert_int_equal(fclose(file), 0);
}

/* Runs it on x [rows x steps x width]; calls > 0: stateful. */
static struct npy model_run(const struct daemon *daemon, const struct served *model, size_t rows, size_t steps,
                            const float *x, int calls) {
    char in[160], out[160], stateful[48] = "", command[1024];
    struct error err;
    struct npy y;
    const char *build = getenv("BUILD");
    snprintf(in, sizeof in, "%s/x.npy", daemon->directory);
    snprintf(out, sizeof out, "%s/y.npy", daemon->directory);
    if (model->vocabulary > 0)
        write_ids(in, rows, steps, x);
    else
        assert_int_equal(npy_write(in, 3, (const size_t[]){rows, steps, (size_t)model->width}, x, &err), 0);
    if (calls > 0)
        snprintf(stateful, sizeof stateful, "--stateful --calls %d", calls);
    snprintf(command, sizeof command,
             "%s/forecast model run tests/golden/models/%s --input %s --output %s %s >/dev/null",
             build != NULL && *build != '\0' ? build : "build", model->file, in, out, stateful);
    assert_int_equal(system(command), 0);
    if (npy_read(out, &y, &err) != 0)
        fail_msg("%s", err.text);
    unlink(in);
    unlink(out);
    return y;
}

/* The numbers of a JSON array of arrays, one after another. */
static size_t flatten(const json_t *value, float *numbers) {
    if (json_is_number(value)) {
        *numbers = (float)json_number_value(value);
        return 1;
    }
    size_t n = 0, i;
    const json_t *each;
    assert_true(json_is_array(value));
    json_array_foreach(value, i, each) n += flatten(each, numbers + n);
    return n;
}

/* Output 0 that was heard of a step is the n numbers from `at` on of y. */
static void check_output(int m, int s, int step, const struct npy *y, size_t at, size_t n) {
    float numbers[256];
    const json_t *outputs = json_object_get(heard[m][s][step], "outputs");
    assert_true(json_array_size(outputs) >= 1);
    assert_int_equal(flatten(json_array_get(outputs, 0), numbers), n);
    for (size_t i = 0; i < n; i++)
        if ((double)numbers[i] != npy_value(y, at + i))
            fail_msg("%s/%d step %d: %.9g was served, model run gives %.9g", models[m].name, s, step + 1,
                     (double)numbers[i], npy_value(y, at + i));
}

static void inputs_of(int m, int s, int first, int steps, float *x) {
    for (int t = 0; t < steps; t++)
        for (int f = 0; f < models[m].width; f++)
            *x++ = (float)value_of(m, s, first + t, f);
}

static void check_windowed(const struct daemon *daemon, int m, int s) {
    const struct served *model = &models[m];
    int rows = STEPS - model->window + 1;
    float x[STEPS * STEPS * WIDTH_MAX];
    for (int r = 0; r < rows; r++)
        inputs_of(m, s, r, model->window, x + r * model->window * model->width);
    struct npy y = model_run(daemon, model, (size_t)rows, (size_t)model->window, x, 0);
    size_t each = y.n / (size_t)rows;
    for (int step = 0; step < STEPS; step++) {
        const json_t *flags = json_object_get(heard[m][s][step], "flags");
        bool warming = false;
        const json_t *flag;
        size_t i;
        json_array_foreach(flags, i, flag) {
            warming |= strcmp(json_string_value(flag), "warming") == 0;
        }
        assert_int_equal(warming, step + 1 < model->window);
        if (warming)
            assert_null(json_object_get(heard[m][s][step], "outputs"));
        else
            check_output(m, s, step, &y, (size_t)(step + 1 - model->window) * each, each);
    }
    npy_fini(&y);
}

static void check_stateful(const struct daemon *daemon, int m, int s) {
    float x[STEPS * WIDTH_MAX];
    inputs_of(m, s, 0, STEPS, x);
    struct npy y = model_run(daemon, &models[m], 1, STEPS, x, STEPS);
    size_t each = y.n / STEPS;
    for (int step = 0; step < STEPS; step++)
        check_output(m, s, step, &y, (size_t)step * each, each);
    npy_fini(&y);
}

/* After each step the forecast is what the model says when it is fed with what it said; x [steps + HORIZON]. */
static void check_fed_back(const struct daemon *daemon, int m, int s, int steps, float *x) {
    const json_t *mean = json_object_get(heard[m][s][steps - 1], "mean");
    assert_int_equal(json_array_size(mean), HORIZON);
    for (int h = 0; h < HORIZON; h++)
        flatten(json_array_get(json_array_get(mean, (size_t)h), 0), &x[steps + h]);
    struct npy y = model_run(daemon, &models[m], 1, (size_t)(steps + HORIZON - 1), x, steps + HORIZON - 1);
    int width = (int)(y.n / (size_t)(steps + HORIZON - 1));
    for (int h = 0; h < HORIZON; h++) {
        size_t at = (size_t)((steps - 1 + h) * width);
        double said = npy_value(&y, at);
        for (int id = 0, best = 0; models[m].vocabulary > 0 && id < width; id++)
            if (npy_value(&y, at + (size_t)id) > npy_value(&y, at + (size_t)best) || id == 0)
                said = best = id;
        assert_true((double)x[steps + h] == said);
    }
    npy_fini(&y);
}

static void check_recursive(const struct daemon *daemon, int m, int s) {
    static const int steps[] = {1, 11, STEPS};
    for (int i = 0; i < 3; i++) {
        float x[STEPS + HORIZON];
        inputs_of(m, s, 0, steps[i], x);
        check_fed_back(daemon, m, s, steps[i], x);
    }
}

static void test_served_is_run(void **state) {
    (void)state;
    char *rest = configuration();
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.json = true, .rest = rest});
    void *socket = daemon_connect(daemon, ZMQ_SUB, daemon->forecasts_json);
    int patience = scenario_slow() ? 60000 : 15000;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "forecast/", 9);
    daemon_await_count(daemon, "forecasts.subscriptions", 1);
    feed_all(daemon);
    hear_all(socket);
    for (int m = 0; m < N_MODELS; m++)
        for (int s = 0; s < STREAMS; s++)
            (models[m].recursive    ? check_recursive
             : models[m].window > 0 ? check_windowed
                                    : check_stateful)(daemon, m, s);
    for (int m = 0; m < N_MODELS; m++)
        for (int s = 0; s < STREAMS; s++)
            for (int step = 0; step < STEPS; step++)
                json_decref(heard[m][s][step]);
    daemon_free(&daemon);
    free(rest);
}

/* Ids that the model does not know, or that are none, are refused and counted; the stream goes on. */
static void test_wrong_ids_are_counted(void **state) {
    (void)state;
    char *rest = configuration();
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.rest = rest});
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    const double ids[] = {3, 20, -1, 2.5, 19, NAN};
    for (int i = 0; i < 6; i++)
        feed_tick(socket, "d/1", i + 1, &ids[i], 1);
    daemon_expect_count(daemon, "ticks.refused.id", 3);
    daemon_expect_count(daemon, "steps", 3);
    daemon_free(&daemon);
    free(rest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_served_is_run, scenario_teardown),
        cmocka_unit_test_teardown(test_wrong_ids_are_counted, scenario_teardown),
    };
    scenario_begin(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
