#include "tests/support/golden.h"

#include "tests/support/floats.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOLERANCE 1e-5 /* of the scale */

/* ---- boxes -------------------------------------------------------------------------------------- */

static int unpack(const char *tar, const char *folder) {
    int status;
    pid_t child = fork();

    if (child == 0) {
        execlp("tar", "tar", "xJf", tar, "-C", folder, (char *)NULL);
        _exit(127);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : -1;
}

static int is_arrays(const struct dirent *entry) {
    size_t n = strlen(entry->d_name);
    return n > 4 && strcmp(entry->d_name + n - 4, ".npz") == 0;
}

/* Every golden has its arrays; without that ending it is the model. */
static int list(struct golden_box *box) {
    struct dirent **entries;
    int n = scandir(box->folder, &entries, is_arrays, alphasort);

    if (n < 0)
        return -1;
    box->n = n;
    box->goldens = calloc((size_t)n + 1, sizeof *box->goldens);
    for (int i = 0; i < n; i++) {
        entries[i]->d_name[strlen(entries[i]->d_name) - 4] = '\0';
        box->goldens[i] = strdup(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

int golden_box_open(struct golden_box *box, const char *name) {
    char tar[128];

    *box = (struct golden_box){.name = name};
    snprintf(box->folder, sizeof box->folder, "tests/golden/%s", name);
    if (access(box->folder, R_OK) != 0) {
        snprintf(tar, sizeof tar, "tests/golden/%s.tar.xz", name);
        snprintf(box->folder, sizeof box->folder, "/tmp/forecastd-golden-XXXXXX");
        if (!mkdtemp(box->folder) || unpack(tar, box->folder) != 0)
            return -1;
    }
    return list(box);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

void golden_box_close(struct golden_box *box) {
    if (strncmp(box->folder, "/tmp/", 5) == 0)
        nftw(box->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < box->n; i++)
        free(box->goldens[i]);
    free(box->goldens);
}

/* ---- goldens ------------------------------------------------------------------------------------ */

struct keras_model *golden_model(const struct golden_box *box, const char *name, const char *extra,
                                 const char *architecture) {
    const char *ending = strstr(name, ".k");
    struct keras_model *model;
    struct error err;
    char path[512];

    assert_non_null(ending);
    snprintf(path, sizeof path, "%s/%.*s%s%s", box->folder, (int)(ending - name), name, extra, ending);
    model = keras_read(path, architecture, &err);
    if (!model)
        fail_msg("%s", err.text);
    return model;
}

struct golden golden_open(const struct golden_box *box, const char *name) {
    char architecture[512], arrays[512];
    struct golden golden;
    struct error err;

    snprintf(architecture, sizeof architecture, "%s/%s.json", box->folder, name);
    snprintf(arrays, sizeof arrays, "%s/%s.npz", box->folder, name);
    golden.arrays = npz_open(arrays, &err);
    if (!golden.arrays)
        fail_msg("%s", err.text);
    golden.model = golden_model(box, name, "", golden_number(&golden, "architecture", 0) != 0 ? architecture : NULL);
    return golden;
}

void golden_close(struct golden *golden) {
    npz_close(golden->arrays);
    keras_model_free(golden->model);
}

bool golden_has(const struct golden *golden, const char *key) {
    return npz_has(golden->arrays, key);
}

struct golden_array golden_array(const struct golden *golden, const char *key) {
    struct golden_array array = {0};
    struct npy npy;
    struct error err;

    if (npz_read(golden->arrays, key, &npy, &err) != 0)
        fail_msg("%s", err.text);
    array.n_dims = npy.n_dims;
    for (int d = 0; d < npy.n_dims; d++)
        array.dims[d] = (int)npy.dims[d];
    array.n = npy.n;
    array.data = floats_new(npy.n);
    for (size_t i = 0; i < npy.n; i++)
        array.data[i] = (float)npy_value(&npy, i);
    npy_fini(&npy);
    return array;
}

void golden_array_fini(struct golden_array *array) {
    free(array->data);
    *array = (struct golden_array){0};
}

double golden_number(const struct golden *golden, const char *key, double otherwise) {
    if (!golden_has(golden, key))
        return otherwise;
    struct golden_array array = golden_array(golden, key);
    assert_int_equal(array.n, 1);
    otherwise = (double)array.data[0];
    golden_array_fini(&array);
    return otherwise;
}

struct golden_array golden_output(const struct golden *golden, const char *name, int output) {
    char key[32];

    if (golden_has(golden, name)) {
        assert_int_equal(output, 0);
        return golden_array(golden, name);
    }
    snprintf(key, sizeof key, "%s%d", name, output);
    return golden_array(golden, key);
}

struct network *golden_network(const struct keras_model *model, enum network_mode mode, int steps) {
    struct error err;
    struct network *network = keras_network(model, mode, steps, &err);

    if (!network)
        fail_msg("%s", err.text);
    return network;
}

void golden_swap(int rows, int steps, int width, const float *from, float *to) {
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < steps; t++)
            memcpy(to + ((size_t)t * (size_t)rows + (size_t)r) * (size_t)width,
                   from + ((size_t)r * (size_t)steps + (size_t)t) * (size_t)width, (size_t)width * sizeof *to);
}

double golden_scale(const struct golden_array *array) {
    double scale = 0;

    for (size_t i = 0; i < array->n; i++)
        scale = fmax(scale, fabs((double)array->data[i]));
    assert_true(scale > 0);
    return scale;
}

/* ---- a test for each ---------------------------------------------------------------------------- */

struct boxed {
    struct golden_box box;
    double worst;
    const char *worst_name;
};

struct which {
    struct boxed *boxed;
    const char *golden;
    golden_check_fn *check;
    char name[192];
};

static void test_golden(void **state) {
    const struct which *which = *state;
    struct golden golden = golden_open(&which->boxed->box, which->golden);
    double error = which->check(&which->boxed->box, which->golden, &golden);

    print_message("%s: error %.3g of the scale\n", which->golden, error);
    if (!(error <= which->boxed->worst)) {
        which->boxed->worst = error;
        which->boxed->worst_name = which->golden;
    }
    assert_true(error <= TOLERANCE);
    golden_close(&golden);
}

static int run(struct boxed *boxed, int n_boxes, int n_goldens, int every, golden_check_fn *check) {
    struct CMUnitTest *tests = calloc((size_t)n_goldens + 1, sizeof *tests);
    struct which *which = calloc((size_t)n_goldens + 1, sizeof *which);
    int n = 0;

    for (int b = 0; b < n_boxes; b++)
        for (int g = 0; g < boxed[b].box.n; g += every, n++) {
            const struct golden_box *box = &boxed[b].box;
            which[n] = (struct which){.boxed = &boxed[b], .golden = box->goldens[g], .check = check};
            snprintf(which[n].name, sizeof which[n].name, "%s/%s", box->name, box->goldens[g]);
            tests[n] = (struct CMUnitTest){which[n].name, test_golden, NULL, NULL, &which[n]};
        }
    int failed = _cmocka_run_group_tests("goldens", tests, (size_t)n, NULL, NULL);
    free(tests);
    free(which);
    return failed;
}

int golden_main(int argc, char **argv, const char *const *boxes, int n_boxes, int every, golden_check_fn *check) {
    struct boxed *boxed = calloc((size_t)n_boxes, sizeof *boxed);
    int n_goldens = 0, failed = 0;

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    for (int b = 0; b < n_boxes; b++) {
        if (golden_box_open(&boxed[b].box, boxes[b]) != 0) {
            print_error("cannot open tests/golden/%s (tests run from the root of the repository)\n", boxes[b]);
            failed = 1;
        }
        n_goldens += boxed[b].box.n;
    }
    if (!failed)
        failed = run(boxed, n_boxes, n_goldens, every, check);
    for (int b = 0; b < n_boxes; b++) {
        if (boxed[b].worst_name)
            print_message("%s, %d goldens: worst %.3g of the scale, %s\n", boxes[b], boxed[b].box.n, boxed[b].worst,
                          boxed[b].worst_name);
        golden_box_close(&boxed[b].box);
    }
    free(boxed);
    return failed;
}
