/*
 * Dropout of recurrent layers in training (Gal and Ghahramani, 2016): masks drawn once in a call, the same at all its
 * steps. As in Keras 3 (3.15: DropoutRNNCell, LSTMCell.call): with recurrent_dropout every gate has masks of its own,
 * of the input and of h; without it one mask of the input is for all gates.
 */
#include "engine/layers/recurrent.h"

#include <string.h>

static int n_x_masks(const struct pass *pass) {
    return pass->dropout == 0 ? 0 : pass->recurrent_dropout > 0 ? pass->ops->n_gates : 1;
}

static int n_h_masks(const struct pass *pass) {
    return pass->recurrent_dropout > 0 ? pass->ops->n_gates : 0;
}

/* Both share it. */
static size_t work_size(const struct pass *pass, int rows, int steps) {
    int width = n_x_masks(pass) > 0 && pass->n_in > pass->units ? pass->n_in : pass->units;
    return n_x_masks(pass) + n_h_masks(pass) > 0 ? (size_t)steps * (size_t)rows * (size_t)width : 0;
}

size_t masks_size(const struct pass *pass, int rows, int steps) {
    size_t widths = (size_t)n_x_masks(pass) * (size_t)pass->n_in + (size_t)n_h_masks(pass) * (size_t)pass->units;
    return (size_t)rows * widths + work_size(pass, rows, steps);
}

void masks_place(const struct pass *pass, const struct layer_run *run, float *tape, struct masks *x,
                 struct masks *h) {
    int rows = run->rows;
    *x = (struct masks){run->products, run->training ? n_x_masks(pass) : 0, rows, pass->n_in, tape, NULL};
    tape += (size_t)rows * (size_t)n_x_masks(pass) * (size_t)pass->n_in;
    *h = (struct masks){run->products, run->training ? n_h_masks(pass) : 0, rows, pass->units, tape, NULL};
    tape += (size_t)rows * (size_t)n_h_masks(pass) * (size_t)pass->units;
    x->work = h->work = tape;
}

static void draw(const struct masks *masks, float rate, struct rng *rng) {
    size_t n = (size_t)masks->n * (size_t)masks->rows * (size_t)masks->width;
    float left = (float)(1 / (1 - (double)rate));
    for (size_t i = 0; i < n; i++)
        masks->at[i] = rng_uniform(rng) >= (double)rate ? left : 0;
}

void masks_draw(const struct pass *pass, struct rng *rng, const struct masks *x, const struct masks *h) {
    draw(x, pass->dropout, rng);
    draw(h, pass->recurrent_dropout, rng);
}

struct masks masks_of_gates(const struct masks *masks, int first, int n) {
    struct masks some = *masks;
    if (masks->n > 0) {
        some.at += (size_t)first * (size_t)masks->rows * (size_t)masks->width;
        some.n = n;
    }
    return some;
}

/* to [m x width] = what mask i leaves of from, or (add) is added to it. */
static void drop(const struct masks *masks, int i, int m, const float *from, bool add, float *to) {
    size_t each = (size_t)masks->rows * (size_t)masks->width, all = (size_t)m * (size_t)masks->width;
    const float *mask = masks->at + (size_t)i * each;
    for (size_t first = 0; first < all; first += each)
        for (size_t j = 0; j < each; j++)
            to[first + j] = mask[j] * from[first + j] + (add ? to[first + j] : 0);
}

void dropped_product(const struct masks *masks, int m, int n, const float *a, const float *b, float *c, int stride) {
    const struct tape_kernels *products = masks->products;
    if (masks->n == 0)
        products->product(m, n, masks->width, matrix_of(a, masks->width), matrix_of(b, stride), NULL, true, c,
                          stride);
    for (int i = 0, each = masks->n > 0 ? n / masks->n : 0; i < masks->n; i++) {
        drop(masks, i, m, a, false, masks->work);
        products->product(m, each, masks->width, matrix_of(masks->work, masks->width),
                          matrix_of(b + i * each, stride), NULL, true, c + i * each, stride);
    }
}

void dropped_product_back(const struct masks *masks, int m, int n, const float *dc, const float *b, float *da,
                          int stride) {
    const struct tape_kernels *products = masks->products;
    if (masks->n == 0)
        products->product(m, masks->width, n, matrix_of(dc, stride), matrix_transposed(b, stride), NULL, true, da,
                          masks->width);
    for (int i = 0, each = masks->n > 0 ? n / masks->n : 0; i < masks->n; i++) {
        products->product(m, masks->width, each, matrix_of(dc + i * each, stride),
                          matrix_transposed(b + i * each, stride), NULL, false, masks->work, masks->width);
        drop(masks, i, m, masks->work, true, da);
    }
}

void dropped_product_gradient(const struct masks *masks, int m, int n, const float *a, const float *dc, float *db,
                              int stride) {
    for (int i = 0, each = n / (masks->n > 0 ? masks->n : 1); i < (masks->n > 0 ? masks->n : 1); i++) {
        if (masks->n > 0)
            drop(masks, i, m, a, false, masks->work);
        const struct product_gradient of = {.m = masks->width,
                                            .a = matrix_of(masks->n > 0 ? masks->work : a, masks->width),
                                            .c = db + i * each,
                                            .c_stride = stride};
        masks->products->gradients(each, m, matrix_of(dc + i * each, stride), 1, &of);
    }
}
