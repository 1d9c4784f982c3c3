#include "engine/init.h"

#include <assert.h>
#include <math.h>

void init_glorot_uniform_of(struct rng *rng, double fan_in, double fan_out, size_t n, float *w) {
    double limit = sqrt(6.0 / (fan_in + fan_out));
    for (size_t i = 0; i < n; i++)
        w[i] = (float)(limit * (2 * rng_uniform(rng) - 1));
}

void init_glorot_uniform(struct rng *rng, int fan_in, int fan_out, float *w) {
    init_glorot_uniform_of(rng, fan_in, fan_out, (size_t)fan_in * (size_t)fan_out, w);
}

static double dot(int n, const float *a, const float *b) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Gram-Schmidt has R's diagonal positive by itself. Each row is made orthogonal twice: once would leave
 * what rounding left over ("twice is enough", Kahan). */
void init_orthogonal(struct rng *rng, int rows, int cols, float *w) {
    assert(rows <= cols);
    for (int r = 0; r < rows; r++) {
        float *row = w + (size_t)r * (size_t)cols;
        for (int j = 0; j < cols; j++)
            row[j] = (float)rng_normal(rng);
        for (int pass = 0; pass < 2; pass++) {
            for (int s = 0; s < r; s++) {
                const float *done = w + (size_t)s * (size_t)cols;
                double along = dot(cols, done, row);
                for (int j = 0; j < cols; j++)
                    row[j] = (float)((double)row[j] - along * (double)done[j]);
            }
            double norm = sqrt(dot(cols, row, row));
            for (int j = 0; j < cols; j++)
                row[j] = (float)((double)row[j] / norm);
        }
    }
}
