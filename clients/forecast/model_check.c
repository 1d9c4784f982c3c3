#include "clients/forecast/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *architecture, *against;
    double tolerance;
} options = {.tolerance = 1e-5};

static const struct option_row rows[] = {
    {"against", 'g', OPTION_TEXT, "FILE.npz", "samples and outputs that are known", &options.against, 0, 0},
    {"tolerance", 't', OPTION_NUMBER, "E", "the largest error that passes (default 1e-5)", &options.tolerance, 0,
     1e9},
    {"architecture", 'a', OPTION_TEXT, "A.json", "the architecture of weights-only HDF5", &options.architecture, 0,
     0},
    {0},
};

static const struct option_command check = {
    .name = "forecast model check",
    .usage = "FILE --against FILE.npz [OPTIONS]",
    .summary = "compares what a model says with outputs that are known.",
    .rows = rows,
    .notes =
        "The .npz (numpy.savez) has x, as model run takes it, and y, what predict returned; of several outputs y0, y1, ...\n"
        "`calls` in it cuts the time axis into as many calls, whose outputs stand on a new first axis, and `stateful` keeps the\n"
        "states between them. An error is told in units of the output's scale, which is its largest value. The command\n"
        "exits with 1 where one is larger than the tolerance.\n",
    .examples = "  forecast model check house.keras --against house.npz\n",
};

/* A number in the npz; 0 where there is none. */
static int read_scalar(struct npz *npz, const char *name, long *ret_value, struct error *err) {
    struct npy npy;
    double value;

    *ret_value = 0;
    if (!npz_has(npz, name))
        return 0;
    if (npz_read(npz, name, &npy, err) != 0)
        return -1;
    value = npy.n == 1 ? npy_value(&npy, 0) : NAN;
    npy_fini(&npy);
    if (!(value >= 0 && value <= 1e9 && value == floor(value)))
        return error_set(err, "%s: \"%s\" is not one whole number", options.against, name);
    *ret_value = (long)value;
    return 0;
}

static bool same_shape(const struct npy *known, int n_dims, const size_t *dims) {
    return known->n_dims == n_dims && (n_dims == 0 || memcmp(known->dims, dims, (size_t)n_dims * sizeof *dims) == 0);
}

/* Compares one output and says how far it is off. *ret_worst is in units of its scale. */
static int compare(const struct prediction *prediction, int output, struct npz *npz, double *ret_worst,
                   struct error *err) {
    char name[16] = "y", here[160], there[160];
    const size_t *dims = prediction->y[output].dims;
    int n_dims = prediction->y[output].n_dims;
    double scale = 0, worst = 0;
    size_t at = 0;
    struct npy known;

    if (prediction->n > 1 || !npz_has(npz, name))
        snprintf(name, sizeof name, "y%d", output);
    if (npz_read(npz, name, &known, err) != 0)
        return -1;
    if (!same_shape(&known, n_dims, dims)) {
        error_set(err, "%s: \"%s\" has the shape %s, and the model's output %s", options.against, name,
                  npy_shape_text(known.n_dims, known.dims, there, sizeof there),
                  npy_shape_text(n_dims, dims, here, sizeof here));
        npy_fini(&known);
        return -1;
    }
    for (size_t i = 0; i < known.n; i++) {
        double value = npy_value(&known, i), mine = (double)prediction->y[output].data[i];
        double distance = value == mine || (isnan(value) && isnan(mine)) ? 0 : fabs(value - mine);

        if (isfinite(value) && fabs(value) > scale)
            scale = fabs(value);
        if (isnan(distance) || distance > worst) {
            worst = isnan(distance) ? INFINITY : distance;
            at = i;
        }
    }
    npy_fini(&known);
    scale = scale > 0 ? scale : 1;
    *ret_worst = worst / scale;
    printf("%s %s: worst %.3g of its scale %.6g", name, npy_shape_text(n_dims, dims, here, sizeof here), *ret_worst,
           scale);
    if (worst > 0) {
        size_t index[NPY_DIMS];

        for (int d = n_dims - 1; d >= 0; d--) {
            index[d] = at % dims[d];
            at /= dims[d];
        }
        printf(", at %s", npy_shape_text(n_dims, index, here, sizeof here));
    }
    printf("\n");
    return 0;
}

static int check_model(const struct keras_model *model, struct npz *npz, bool *ret_good, struct error *err) {
    struct prediction prediction;
    struct npy x;
    long stateful, calls;
    int failed;

    if (read_scalar(npz, "stateful", &stateful, err) != 0 || read_scalar(npz, "calls", &calls, err) != 0 ||
        npz_read(npz, "x", &x, err) != 0)
        return -1;
    if (stateful && !calls)
        calls = 1;
    failed = model_predict(model, &x, options.against, stateful != 0, calls, &prediction, err);
    npy_fini(&x);
    if (failed)
        return -1;
    *ret_good = true;
    for (int o = 0; o < prediction.n && !failed; o++) {
        double worst = INFINITY;

        failed = compare(&prediction, o, npz, &worst, err);
        *ret_good &= worst <= options.tolerance;
    }
    prediction_fini(&prediction);
    return failed;
}

int model_check(int argc, char **argv) {
    struct keras_model *model;
    struct npz *npz;
    struct error err;
    bool good = false;
    int first, code = options_begin(&check, argc, argv, &first);

    if (code >= 0)
        return code;
    if (argc - first != 1)
        return options_wrong(&check, "it takes one model, not %d", argc - first);
    if (!options.against)
        return options_wrong(&check, "it needs --against");
    model = keras_read(argv[first], options.architecture, &err);
    if (!model)
        return model_failed(&err);
    npz = npz_open(options.against, &err);
    code = !npz || check_model(model, npz, &good, &err) != 0 ? model_failed(&err) : 0;
    if (code == 0 && !good) {
        printf("above the tolerance of %g\n", options.tolerance);
        code = 1;
    }
    npz_close(npz);
    keras_model_free(model);
    return code;
}
