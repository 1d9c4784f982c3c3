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

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static const char *path_of(const char *name) {
    static char paths[16][64];
    static int n;
    n = (n + 1) % 16;
    snprintf(paths[n], sizeof paths[n], "%s/%s", folder, name);
    return paths[n];
}

static void write_files(void) {
    struct rng rng = {5};
    FILE *csv = fopen(path_of("a.csv"), "w"), *conf = fopen(path_of("a.yaml"), "w");
    fputs("time,a,b\n", csv);
    for (int i = 0; i < ROWS; i++)
        fprintf(csv, "%d,%.3f,%.3f\n", 1700000000 + 60 * i, sine(i, &rng), sine(i + 3, &rng));
    fputs(yaml, conf);
    fclose(csv);
    fclose(conf);
}

/* Runs the command in a process of its own, as it keeps options and signals. Returns what it exits with. */
static int run_command(const char *const *argv, bool interrupted) {
    int argc = 0, status;
    while (argv[argc] != NULL)
        argc++;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL || freopen(path_of("err"), "w", stderr) == NULL)
            _exit(99);
        int code = command_train(argc, (char **)argv);
        fflush(NULL);
        _exit(code);
    }
    if (interrupted) {
        usleep(300000);
        kill(child, SIGINT);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
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
    const char *const argv[] = {"train",           "--csv", path_of("a.csv"),   "-c",
                                path_of("a.yaml"), "-o",    path_of("m.keras"), NULL};
    static const char serving[] = "streams:\n  - {class: c, pattern: '*', features: [a, b]}\n"
                                  "models:\n  - {name: m, class: c, file: m.keras}\n";
    struct config *config;
    struct error err;
    assert_int_equal(run_command(argv, false), 0);
    check_written(path_of("m.keras"));
    FILE *conf = fopen(path_of("serving.yaml"), "w");
    fputs(serving, conf);
    fclose(conf);
    if (config_load(path_of("serving.yaml"), &config, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(config->models[0].horizon, 4);
    assert_int_equal(config->models[0].mode, MODEL_STATEFUL);
    assert_true(config->models[0].residual);
    config_free(config);
}

/* Long before a hundred thousand epochs are done. */
static void an_interrupted_command_writes_what_it_has(void **state) {
    (void)state;
    const char *const argv[] = {"train",           "--csv", path_of("a.csv"),   "-c",
                                path_of("a.yaml"), "-o",    path_of("i.keras"), "--epochs",
                                "100000",          NULL};
    unlink(path_of("i.keras"));
    assert_int_equal(run_command(argv, true), 0);
    check_written(path_of("i.keras"));
}

static void wrong_use(void **state) {
    (void)state;
    const struct {
        const char *argv[8];
        const char *sentence;
        int code;
    } examples[] = {
        {{"train", "-o", "m.keras", NULL}, "it needs a CSV file", 2},
        {{"train", "--csv", "a.csv", NULL}, "it needs a file for the model", 2},
        {{"train", "--csv", "a.csv", "-o", "m.txt", NULL}, "ends in .keras or .h5, not \"m.txt\"", 2},
        {{"train", "--csv", "a.csv", "-o", "m.keras", "-m", "x", NULL}, "--config names that", 2},
        {{"train", "--csv", "/nowhere/a.csv", "-o", "/nowhere/m.keras", NULL}, "/nowhere/m.keras: No such", 1},
        {{"train", "--csv", "/nowhere/a.csv", "-o", "m.keras", NULL}, "/nowhere/a.csv", 1},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char said[512] = "";
        assert_int_equal(run_command(examples[i].argv, false), examples[i].code);
        FILE *err = fopen(path_of("err"), "r");
        said[fread(said, 1, sizeof said - 1, err)] = '\0';
        fclose(err);
        if (strstr(said, examples[i].sentence) == NULL)
            fail_msg("%s", said);
    }
}

static int set_up(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    write_files();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const names[] = {"a.csv", "a.yaml", "m.keras", "i.keras", "serving.yaml", "err"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_curve),
        cmocka_unit_test(a_long_curve),
        cmocka_unit_test(it_trains_on_files),
        cmocka_unit_test(too_little_to_train_on),
        cmocka_unit_test(the_command_writes_a_model),
        cmocka_unit_test(an_interrupted_command_writes_what_it_has),
        cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
