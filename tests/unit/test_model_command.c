/* forecast model, as a user types it: what it prints, what it writes, and what it exits with. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/commands.h"
#include "clients/forecast/predict.h"
#include "engine/keras/keras.h"
#include "tests/support/command.h"
#include "tests/support/floats.h"
#include "tests/support/layers.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zip.h>

enum { WIDTH = 3, STEPS = 6, BATCH = 4 };

static char folder[] = "/tmp/test_model_command.XXXXXX";

/* ---- files -------------------------------------------------------------------------------------- */

static float x_at(size_t i) {
    return cosf(0.7f * (float)i);
}

static void write_x(const char *name, int n_dims, const size_t *dims) {
    struct error err;
    size_t n = 1;

    for (int d = 0; d < n_dims; d++)
        n *= dims[d];
    float *x = floats_new(n);
    for (size_t i = 0; i < n; i++)
        x[i] = x_at(i);
    assert_int_equal(npy_write(name, n_dims, dims, x, &err), 0);
    free(x);
}

static void write_model(const char *name, const struct network_spec *spec, const char *own) {
    struct error err;
    struct network *network = network_new(spec, &err);

    if (!network)
        fail_msg("%s: %s", name, err.text);
    network_init_weights(network, 9);
    if (keras_write(name, network, own, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
}

static int setup(void **state) {
    (void)state;
    static const struct layer_spec chain[] = {DENSE(5, ACTIVATION_TANH), DENSE(2, ACTIVATION_LINEAR)};
    struct layer_spec two[] = {DENSE(4, ACTIVATION_RELU), DENSE(2, ACTIVATION_LINEAR), DENSE(1, ACTIVATION_SIGMOID)};
    struct network_spec spec = {.n_inputs = WIDTH, .layers = chain, .n_layers = 2};
    const size_t dims[] = {BATCH, STEPS, WIDTH};

    command_is("model", command_model);
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    write_model("chain.keras", &spec, "{\"horizon\": 1}");
    two[1].n_in = two[2].n_in = 1;
    two[1].in[0] = two[2].in[0] = (struct layer_input){0, 0};
    spec = (struct network_spec){
        .n_inputs = WIDTH, .layers = two, .n_layers = 3, .outputs = {{1, 0}, {2, 0}}, .n_outputs = 2};
    write_model("two.h5", &spec, NULL);
    write_x("x.npy", 3, dims);
    write_x("flat.npy", 2, dims);
    return 0;
}

static int teardown(void **state) {
    static const char *const made[] = {"chain.keras", "two.h5",   "x.npy",      "flat.npy",  "y.npy",     "y-0.npy",
                                       "y-1.npy",     "chain.h5", "back.keras", "check.npz", "copy.keras"};

    (void)state;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        unlink(made[i]);
    return chdir("/") || rmdir(folder);
}

/* ---- the tests ---------------------------------------------------------------------------------- */

static void test_help(void **state) {
    (void)state;
    static const char *const subcommands[] = {"show", "convert", "run", "check"};

    command_exits(0, "--help");
    for (int i = 0; i < 4; i++) {
        char line[64];

        command_exits(0, "--help");
        command_has_printed(subcommands[i]);
        snprintf(line, sizeof line, "%s --help", subcommands[i]);
        command_exits(0, line);
        command_has_printed("--architecture");
        command_has_printed("Examples:");
    }
    command_fails(2, "fly", "there is no command \"fly\"");
    command_fails(2, "show", "it takes one model, not 0");
    command_fails(2, "convert a.h5", "it takes two files, not 1");
    command_fails(2, "run chain.keras --input x.npy", "it needs --output");
    command_fails(2, "run chain.keras --output y.npy", "it needs --input");
    command_fails(2, "run chain.keras --input x.npy --output y.npy --calls 0", "--calls takes a whole number");
    command_fails(2, "check chain.keras", "it needs --against");
}

static void test_show(void **state) {
    (void)state;
    command_exits(0, "show chain.keras");
    command_has_printed("of Keras 3.");
    command_has_printed("input       [batch, time, 3]\n");
    command_has_printed("dense    Dense  [batch, time, 5]          20\n");
    command_has_printed("dense_1  Dense  [batch, time, 2]          12\n");
    command_has_printed("output 0    dense_1 [batch, time, 2]\n");
    command_has_printed("parameters  32\n");
    command_has_printed("windowed    yes, samples of any length\n");
    command_has_printed("stateful    yes, 0 floats of state");
    /* 15 and 10 multiplications with additions, 5 and 2 biases; 20 and 12 parameters, 3 + 5 and 5 + 2 values. */
    command_has_printed("one step    57 FLOP, 188 bytes\n");
    command_has_printed("forecastd   14 bytes of its own\n");
    command_exits(0, "show two.h5");
    command_has_printed("reads\n");
    command_has_printed("output 1    dense_2 [batch, time, 1]\n");
    command_has_printed("nothing of its own");
    command_fails(1, "show none.keras", "none.keras");
    command_fails(1, "show x.npy", "x.npy");
}

static void test_run(void **state) {
    (void)state;
    struct npy y;
    struct error err;

    command_exits(0, "run chain.keras --input x.npy --output y.npy");
    assert_int_equal(npy_read("y.npy", &y, &err), 0);
    assert_int_equal(y.n_dims, 3);
    assert_int_equal(y.dims[0], BATCH);
    assert_int_equal(y.dims[1], STEPS);
    assert_int_equal(y.dims[2], 2);
    npy_fini(&y);

    command_exits(0, "run two.h5 -i x.npy -o y.npy --stateful --calls 3");
    for (int o = 0; o < 2; o++) {
        assert_int_equal(npy_read(o ? "y-1.npy" : "y-0.npy", &y, &err), 0);
        assert_int_equal(y.n_dims, 4);
        assert_int_equal(y.dims[0], 3);
        assert_int_equal(y.dims[1], BATCH);
        assert_int_equal(y.dims[2], STEPS / 3);
        assert_int_equal(y.dims[3], o ? 1 : 2);
        npy_fini(&y);
    }
    command_fails(1, "run chain.keras --input flat.npy --output y.npy",
                  "flat.npy: its shape is (4, 6), and the model takes (batch, time, features)");
    command_fails(1, "run chain.keras --input x.npy --output y.npy --calls 4",
                  "x.npy: its 6 steps cannot be cut into 4 equal pieces");
    command_fails(1, "run chain.keras --input none.npy --output y.npy", "none.npy: No such file");
    command_fails(1, "run chain.keras --input chain.keras --output y.npy", "chain.keras: it is not a .npy file");
    command_fails(1, "run chain.keras --input x.npy --output none/y.npy", "none/y.npy: No such file");
}

static void expect_same_file(const char *a, const char *b) {
    static char first[1 << 16], second[1 << 16];
    int fd[] = {open(a, O_RDONLY), open(b, O_RDONLY)};
    ssize_t n = read(fd[0], first, sizeof first);

    assert_true(n > 0);
    assert_int_equal(read(fd[1], second, sizeof second), n);
    assert_memory_equal(first, second, (size_t)n);
    close(fd[0]);
    close(fd[1]);
}

/* The weights go from format to format as they are: what comes out is the same to the last bit. */
static void test_convert(void **state) {
    (void)state;
    struct error err;

    command_exits(0, "convert chain.keras copy.keras");
    assert_string_equal(command_complained, "");
    struct keras_model *copy = keras_read("copy.keras", NULL, &err);
    assert_non_null(copy);
    assert_string_equal(copy->own, "{\"horizon\": 1}");
    keras_model_free(copy);

    command_exits(0, "convert chain.keras chain.h5");
    assert_non_null(strstr(command_complained, "chain.h5: its forecastd.json is left out"));
    command_exits(0, "convert chain.h5 back.keras");
    command_exits(0, "run chain.keras --input x.npy --output y-0.npy");
    command_exits(0, "run back.keras --input x.npy --output y-1.npy");
    expect_same_file("y-0.npy", "y-1.npy");
    command_fails(1, "convert chain.keras chain.json", "chain.json: models are written to files that end in");
    assert_int_equal(access("chain.json", F_OK), -1);
}

/* An .npz of files that are there: pairs of name and path; "stateful" and "calls" as they are given. */
static void write_npz(int n, const char *const (*members)[2]) {
    int code;
    zip_t *zip = zip_open("check.npz", ZIP_CREATE | ZIP_TRUNCATE, &code);

    assert_non_null(zip);
    for (int i = 0; i < n; i++)
        assert_true(zip_file_add(zip, members[i][0], zip_source_file(zip, members[i][1], 0, -1), 0) >= 0);
    assert_int_equal(zip_close(zip), 0);
}

static void test_check(void **state) {
    (void)state;
    static const char *const members[][2] = {{"x.npy", "x.npy"}, {"y0.npy", "y-0.npy"}, {"y1.npy", "y-1.npy"}};
    struct error err;
    struct npy y;

    command_exits(0, "run two.h5 --input x.npy --output y.npy");
    write_npz(3, members);
    command_exits(0, "check two.h5 --against check.npz");
    command_has_printed("y0 (4, 6, 2): worst 0 of its scale");
    command_has_printed("y1 (4, 6, 1): worst 0 of its scale");

    assert_int_equal(npy_read("y-1.npy", &y, &err), 0); /* one value is off by a thousandth */
    float *values = floats_copy(y.n, (const float *)(const void *)y.data);
    double scale = 0;
    values[5] += 1e-3f;
    for (size_t i = 0; i < y.n; i++)
        scale = fmax(scale, fabs((double)values[i]));
    assert_int_equal(npy_write("y-1.npy", y.n_dims, y.dims, values, &err), 0);
    free(values);
    npy_fini(&y);
    write_npz(3, members);
    command_exits(1, "check two.h5 --against check.npz");
    command_has_printed(", at (0, 5, 0)\n");
    command_has_printed("above the tolerance of 1e-05\n");
    double told = strtod(strstr(command_printed, "y1 (4, 6, 1): worst ") + 20, NULL);
    assert_true(fabs(told - 1e-3 / scale) < 1e-5);
    command_exits(0, "check two.h5 --against check.npz --tolerance 0.1");
}

static void test_check_refused(void **state) {
    (void)state;
    static const char *const only_x[][2] = {{"x.npy", "x.npy"}};
    static const char *const only_y[][2] = {{"y.npy", "x.npy"}};
    static const char *const wrong[][2] = {{"x.npy", "x.npy"}, {"y.npy", "x.npy"}};
    static const char *const calls[][2] = {{"x.npy", "x.npy"}, {"y.npy", "x.npy"}, {"calls.npy", "x.npy"}};

    write_npz(1, only_x);
    command_fails(1, "check chain.keras --against check.npz", "it has no array \"y0\"");
    write_npz(1, only_y);
    command_fails(1, "check chain.keras --against check.npz", "it has no array \"x\"");
    write_npz(2, wrong);
    command_fails(1, "check chain.keras --against check.npz",
                  "\"y\" has the shape (4, 6, 3), and the model's output (4, 6, 2)");
    write_npz(3, calls);
    command_fails(1, "check chain.keras --against check.npz", "\"calls\" is not one whole number");
    command_fails(1, "check chain.keras --against x.npy", "x.npy: it is not an .npz file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),    cmocka_unit_test(test_show),  cmocka_unit_test(test_run),
        cmocka_unit_test(test_convert), cmocka_unit_test(test_check), cmocka_unit_test(test_check_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
