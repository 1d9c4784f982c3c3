/* forecast train: a loss curve, a job over files, and the file that comes of it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/commands.h"
#include "clients/forecast/train_run.h"
#include "engine/keras/keras.h"
#include "engine/random.h"
#include "tests/support/command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the curve ------------------------------------------------------------------------------ */

static void check_curve(const struct train_epoch *epochs, int n, int best, const char *expected) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    train_curve_print(out, epochs, n, best);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void the_curve(void **state) {
    (void)state;
    const struct train_epoch epochs[] = {{10, NAN}, {6, 8}, {2, 4}, {0, 5}};
    check_curve(epochs, 4, 3,
                "   10.00 |.   \n"
                "         |    \n"
                "         | o  \n"
                "         |    \n"
                "         | .  \n"
                "         |   o\n"
                "         |  o \n"
                "         |    \n"
                "         |  . \n"
                "       0 |   .\n"
                "         +--^-\n"
                "          epochs 1 to 4; . training, o validation, ^ the weights that are kept\n");
    check_curve(epochs, 1, 1, "");
}

/* Of more epochs than columns each mark is the mean of some, and no line is longer. */
static void a_long_curve(void **state) {
    (void)state;
    enum { EPOCHS = 1000 };
    struct train_epoch epochs[EPOCHS];
    char *text;
    size_t size;
    for (int i = 0; i < EPOCHS; i++)
        epochs[i] = (struct train_epoch){EPOCHS - i, NAN};
    FILE *out = open_memstream(&text, &size);
    train_curve_print(out, epochs, EPOCHS, 0);
    fclose(out);
    assert_true(strcspn(text, "\n") == 10 + TRAIN_CURVE_COLUMNS);
    free(text);
}

/* ---- a job ---------------------------------------------------------------------------------- */

static const char yaml[] = "streams:\n  - class: c\n    pattern: '*'\n    features: [a, b]\n"
                           "models:\n  - name: m\n    class: c\n    horizon: 4\n    layers: [lstm: 8]\n"
                           "    training: {window: 48, unroll: 16, batch: 4, min_steps: 60, learning_rate: 0.01}\n";

enum { ROWS = 400 };

struct files {
    struct config *config;
    struct backtest_stream streams[2];
    struct backtest_data data;
};

static void files_init(struct files *files, int rows, double (*value)(int row, struct rng *rng)) {
    struct error err;
    *files = (struct files){.data = {.streams = files->streams, .n_streams = 2, .n_features = 2}};
    if (config_parse("test", (const uint8_t *)yaml, strlen(yaml), &files->config, &err) != 0)
        fail_msg("%s", err.text);
    for (int s = 0; s < 2; s++) {
        struct rng rng = {(uint64_t)s};
        struct backtest_stream *stream = &files->streams[s];
        *stream =
            (struct backtest_stream){.name = (char *)(s == 0 ? "one" : "other"), .path = "x.csv", .n = (size_t)rows};
        stream->t = calloc((size_t)rows, sizeof *stream->t);
        stream->values = calloc((size_t)rows, 2 * sizeof *stream->values);
        for (int i = 0; i < rows; i++) {
            stream->t[i] = i + 1;
            stream->values[2 * i] = value(i + 7 * s, &rng);
            stream->values[2 * i + 1] = value(i + 3, &rng);
        }
    }
}

static void files_fini(struct files *files) {
    for (int s = 0; s < 2; s++) {
        free(files->streams[s].t);
        free(files->streams[s].values);
    }
    config_free(files->config);
}

static double sine(int row, struct rng *rng) {
    return 10 + 3 * sin(row * 0.3) + 0.2 * rng_normal(rng);
}

static double missing(int row, struct rng *rng) {
    (void)row, (void)rng;
    return NAN;
}

static int run(struct files *files, struct train_result *result, struct error *err) {
    return train_run(&files->config->classes[0], &files->config->models[0], &files->data, result, err);
}

static void it_trains_on_files(void **state) {
    (void)state;
    struct files files;
    struct train_result result, again;
    struct error err;
    files_init(&files, ROWS, sine);
    assert_int_equal(run(&files, &result, &err), 0);
    assert_int_equal(result.outcome.n_validation, 2);
    assert_true(result.outcome.losses.challenger < 0.3 * result.outcome.losses.last_value);
    assert_int_equal(run(&files, &again, &err), 0);
    assert_memory_equal(network_params(result.outcome.challenger), network_params(again.outcome.challenger),
                        network_n_params(again.outcome.challenger) * sizeof(float));
    train_result_fini(&result);
    train_result_fini(&again);
    files_fini(&files);
}

static void too_little_to_train_on(void **state) {
    (void)state;
    struct files files;
    struct train_result result;
    struct error err;
    files_init(&files, 30, sine);
    assert_int_equal(run(&files, &result, &err), -1);
    assert_string_equal(err.text, "model m: the longest file makes 30 steps, and training takes from 32 to 16777216");
    train_result_fini(&result);
    files_fini(&files);
    files_init(&files, ROWS, missing);
    assert_int_equal(run(&files, &result, &err), -1);
    assert_string_equal(err.text, "model m: no step of the files has an answer to learn from");
    train_result_fini(&result);
    files_fini(&files);
}

/* ---- the command ---------------------------------------------------------------------------- */

static char folder[] = "/tmp/test_train.XXXXXX";

static void write_files(void) {
    struct rng rng = {5};
    FILE *csv = fopen("a.csv", "w"), *conf = fopen("a.yaml", "w");
    fputs("time,a,b\n", csv);
    for (int i = 0; i < ROWS; i++)
        fprintf(csv, "%d,%.3f,%.3f\n", 1700000000 + 60 * i, sine(i, &rng), sine(i + 3, &rng));
    fputs(yaml, conf);
    fclose(csv);
    fclose(conf);
}

static void check_written(const char *path) {
    struct error err;
    struct keras_model *model = keras_read(path, NULL, &err);
    if (model == NULL)
        fail_msg("%s", err.text);
    assert_non_null(model->own);
    assert_non_null(strstr(model->own, "\"horizon\": 4"));
    assert_non_null(strstr(model->own, "\"scaler\": \"standard\""));
    for (size_t i = 0; i < model->n_params; i++)
        assert_true(isfinite(model->params[i]));
    keras_model_free(model);
}

/* What it writes is a model that a configuration takes by its file alone. */
static void the_command_writes_a_model(void **state) {
    (void)state;
    static const char serving[] = "streams:\n  - {class: c, pattern: '*', features: [a, b]}\n"
                                  "models:\n  - {name: m, class: c, file: m.keras}\n";
    struct config *config;
    struct error err;
    command_exits(0, "--csv a.csv -c a.yaml -o m.keras");
    check_written("m.keras");
    FILE *conf = fopen("serving.yaml", "w");
    fputs(serving, conf);
    fclose(conf);
    if (config_load("serving.yaml", &config, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(config->models[0].horizon, 4);
    assert_int_equal(config->models[0].mode, MODEL_STATEFUL);
    assert_true(config->models[0].residual);
    config_free(config);
}

/* The same of streams in files of their own as of streams that a column names. */
static void a_file_may_hold_many_streams(void **state) {
    (void)state;
    struct rng rng = {7};
    struct error err;
    FILE *all = fopen("all.csv", "w"), *one[] = {fopen("x.csv", "w"), fopen("y.csv", "w")};
    fputs("time,who,a,b\n", all);
    for (int s = 0; s < 2; s++)
        fputs("time,a,b\n", one[s]);
    for (int i = 0; i < 2 * ROWS; i++) {
        double a = sine(i, &rng), b = sine(i + 3, &rng);
        fprintf(all, "%d,%c,%.3f,%.3f\n", 1700000000 + 60 * i, "xy"[i % 2], a, b);
        fprintf(one[i % 2], "%d,%.3f,%.3f\n", 1700000000 + 60 * i, a, b);
    }
    assert_true(fclose(all) == 0 && fclose(one[0]) == 0 && fclose(one[1]) == 0);
    command_exits(0, "--csv all.csv --stream-column who -c a.yaml --epochs 2 -o m.keras");
    command_exits(0, "--csv x.csv y.csv -c a.yaml --epochs 2 -o i.keras");
    struct keras_model *model = keras_read("m.keras", NULL, &err), *other = keras_read("i.keras", NULL, &err);
    assert_true(model != NULL && other != NULL);
    assert_int_equal(model->n_params, other->n_params);
    assert_memory_equal(model->params, other->params, model->n_params * sizeof *model->params);
    keras_model_free(model);
    keras_model_free(other);
}

/* Long before a hundred thousand epochs are done. */
static void an_interrupted_command_writes_what_it_has(void **state) {
    (void)state;
    unlink("i.keras");
    assert_int_equal(command_run("--csv a.csv -c a.yaml -o i.keras --epochs 100000", 300), 0);
    check_written("i.keras");
}

static void wrong_use(void **state) {
    (void)state;
    command_fails(2, "-o m.keras", "it needs a CSV file");
    command_fails(2, "--csv a.csv", "it needs a file for the model");
    command_fails(2, "--csv a.csv -o m.txt", "ends in .keras or .h5, not \"m.txt\"");
    command_fails(2, "--csv a.csv -o m.keras -m x", "--config names that");
    command_fails(2, "--csv a.csv b.csv -o m.keras --stream x", "--stream goes with one file");
    command_fails(1, "--csv /nowhere/a.csv -o /nowhere/m.keras", "/nowhere/m.keras: No such");
    command_fails(1, "--csv /nowhere/a.csv -o m.keras", "/nowhere/a.csv");
    command_fails(1, "--csv a.csv -o m.keras -c a.yaml -m x", "a.yaml has no model \"x\"");
}

static int set_up(void **state) {
    (void)state;
    command_is("train", command_train);
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        return -1;
    write_files();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const names[] = {"a.csv",        "a.yaml",  "m.keras", "i.keras",
                                        "serving.yaml", "all.csv", "x.csv",   "y.csv"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(names[i]);
    return chdir("/") != 0 || rmdir(folder) != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_curve),
        cmocka_unit_test(a_long_curve),
        cmocka_unit_test(it_trains_on_files),
        cmocka_unit_test(too_little_to_train_on),
        cmocka_unit_test(the_command_writes_a_model),
        cmocka_unit_test(a_file_may_hold_many_streams),
        cmocka_unit_test(an_interrupted_command_writes_what_it_has),
        cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
