/* An LSTM over OpenBLAS as a peer (tests/support/peers.h): what a user writes who has matrix products only. Two of them
 * a step, then the gates by loops that the compiler makes vectors of (libmvec's exponentials). Compiled for this very
 * machine, with -ffast-math. */
#include "tests/support/peers.h"

#include <cblas.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct run {
    int inputs, hidden, batch;
    float *x, *w, *u, *bias, *h, *c, *gates;
};

static float *values(size_t n, float scale) {
    float *a = malloc(n * sizeof *a);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)((i * 2654435761u >> 8) % 1000) * 2e-3f * scale - scale;
    return a;
}

static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

/* i, f, g, o stand side by side in a row's gates. */
static void update(int n, float *restrict gates, float *restrict h, float *restrict c) {
    for (int j = 0; j < n; j++) {
        float i = sigmoid(gates[j]), f = sigmoid(gates[n + j]), o = sigmoid(gates[3 * n + j]);
        c[j] = f * c[j] + i * (2 * sigmoid(2 * gates[2 * n + j]) - 1);
        h[j] = o * (2 * sigmoid(2 * c[j]) - 1);
    }
}

static size_t step(void *context) {
    struct run *run = context;
    int n = run->hidden, batch = run->batch;
    for (int r = 0; r < batch; r++)
        memcpy(run->gates + r * 4 * n, run->bias, 4 * (size_t)n * sizeof *run->bias);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, batch, 4 * n, run->inputs, 1, run->x, run->inputs, run->w,
                4 * n, 1, run->gates, 4 * n);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, batch, 4 * n, n, 1, run->h, n, run->u, 4 * n, 1,
                run->gates, 4 * n);
    for (int r = 0; r < batch; r++)
        update(n, run->gates + r * 4 * n, run->h + r * n, run->c + r * n);
    return (size_t)batch;
}

static const char *make_case(const char *line, struct bench_work *ret_work) {
    const char *bench, *precision;
    struct run *run = calloc(1, sizeof *run);
    json_t *row = json_loads(line, 0, NULL);
    if (json_unpack(row, "{s:s, s:s, s:i, s:i, s:i}", "bench", &bench, "precision", &precision, "inputs",
                    &run->inputs, "hidden", &run->hidden, "batch", &run->batch) != 0 ||
        strcmp(bench, "lstm_step") != 0 || strcmp(precision, "f32") != 0)
        return "not measured";
    size_t n = (size_t)run->hidden, inputs = (size_t)run->inputs, batch = (size_t)run->batch;
    run->x = values(batch * inputs, 0.5f);
    run->w = values(inputs * 4 * n, 0.1f);
    run->u = values(n * 4 * n, 0.1f);
    run->bias = values(4 * n, 0.1f);
    run->h = values(batch * n, 0);
    run->c = values(batch * n, 0);
    run->gates = values(batch * 4 * n, 0);
    json_decref(row);
    *ret_work = (struct bench_work){step, run};
    return NULL;
}

int main(void) {
    peers_serve(make_case);
    return 0;
}
