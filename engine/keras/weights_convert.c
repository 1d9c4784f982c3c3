/*
 * Layouts of weights. Source of Keras 1's and of cuDNN's: preprocess_weights_for_loading and _convert_rnn_weights in
 * tf_keras/src/saving/legacy/hdf5_format.py.
 */
#include "engine/keras/weights_convert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHAPE_TEXT = 64 };

static const char *shape_text(char *to, const int *dims, int n) {
    size_t used = 0;
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(to + used, SHAPE_TEXT - used, "%s%d", i ? ", " : "(", dims[i]);
    snprintf(to + used, SHAPE_TEXT - used, n == 1 ? ",)" : ")");
    return to;
}

static int refuse_shape(const struct network_weight *weight, const struct container_array *array, struct error *err) {
    char is[SHAPE_TEXT], must[SHAPE_TEXT];
    return error_set(err, "weight %s has the shape %s, and must have %s", weight->name,
                     shape_text(is, array->dims, array->n_dims), shape_text(must, weight->dims, weight->n_dims));
}

/* But for leading ones: PReLU's slopes that are shared along time. */
static bool is_same_shape(const struct network_weight *weight, const struct container_array *array) {
    int a = 0, b = 0;
    while (a < weight->n_dims - 1 && weight->dims[a] == 1)
        a++;
    while (b < array->n_dims - 1 && array->dims[b] == 1)
        b++;
    if (weight->n_dims - a != array->n_dims - b)
        return false;
    for (; a < weight->n_dims; a++, b++)
        if (weight->dims[a] != array->dims[b])
            return false;
    return weight->n == array->n;
}

static int copy(const struct conversion *conversion, const struct network_weight *weight,
                const struct container_array *array, struct error *err) {
    if (!is_same_shape(weight, array))
        return refuse_shape(weight, array, err);
    memcpy(conversion->params + weight->at, array->data, weight->n * sizeof(float));
    return 0;
}

/* ---- recurrent layers --------------------------------------------------------------------------- */

static int n_gates(enum layer_kind cell) {
    return cell == LAYER_LSTM ? 4 : cell == LAYER_GRU ? 3 : 1;
}

/* Where Keras 1's gates (LSTM: i, c, f, o; GRU: z, r, h) stand in the order since Keras 2 (i, f, c, o). */
static int gate_place(enum layer_kind cell, int gate) {
    static const int lstm[] = {0, 2, 1, 3};
    return cell == LAYER_LSTM ? lstm[gate] : gate;
}

/* One gate of Keras 1: [rows x units] into columns of [rows x gates * units]. */
static int place_gate(const struct conversion *conversion, const struct network_weight *weight,
                      const struct container_array *array, int place, int units, struct error *err) {
    size_t rows = weight->n_dims == 2 ? (size_t)weight->dims[0] : 1, width = (size_t)units;
    size_t row_width = weight->n / rows;
    bool fits =
        array->n == rows * width && array->dims[array->n_dims - 1] == units && array->n_dims == weight->n_dims;
    if (!fits) {
        struct network_weight gate = *weight;
        gate.dims[gate.n_dims - 1] = units;
        return refuse_shape(&gate, array, err);
    }
    float *to = conversion->params + weight->at + (size_t)place * width;
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r * row_width, array->data + r * width, width * sizeof(float));
    return 0;
}

static int convert_keras1(const struct conversion *conversion, enum layer_kind cell,
                          const struct container_array *const *arrays, struct error *err) {
    int units = conversion->spec->units;
    for (int gate = 0; gate < n_gates(cell); gate++)
        for (int i = 0; i < 3; i++)
            if (place_gate(conversion, &conversion->weights[i], arrays[3 * gate + i], gate_place(cell, gate), units,
                           err))
                return -1;
    return 0;
}

/*
 * cuDNN: of each gate the input kernel [n x units] is read as if it were [units x n] and transposed, the recurrent
 * one [units x units] is transposed. An LSTM's two biases add up; a GRU's stay two.
 */
static int convert_cudnn(const struct conversion *conversion, enum layer_kind cell,
                         const struct container_array *const *arrays, struct error *err) {
    const struct network_weight *weights = conversion->weights;
    size_t units = (size_t)conversion->spec->units, width = units * (size_t)n_gates(cell);
    for (int i = 0; i < 2; i++) {
        if (!is_same_shape(&weights[i], arrays[i]))
            return refuse_shape(&weights[i], arrays[i], err);
        size_t rows = (size_t)weights[i].dims[0];
        float *to = conversion->params + weights[i].at;
        for (size_t gate = 0; gate < width; gate += units)
            for (size_t r = 0; r < rows; r++)
                for (size_t c = 0; c < units; c++) {
                    size_t flat = c * rows + r; /* in the gate's [rows x units] */
                    to[r * width + gate + c] = arrays[i]->data[flat / units * width + gate + flat % units];
                }
    }
    float *bias = conversion->params + weights[2].at;
    if (weights[2].n == 2 * width)
        memcpy(bias, arrays[2]->data, 2 * width * sizeof(float));
    else
        for (size_t i = 0; i < width; i++)
            bias[i] = arrays[2]->data[i] + arrays[2]->data[width + i];
    return 0;
}

static bool is_cudnn(const struct conversion *conversion, enum layer_kind cell, const struct arrays *arrays) {
    size_t biases = 2 * (size_t)n_gates(cell) * (size_t)conversion->spec->units;
    if (arrays->n != 3 || conversion->n_weights != 3 || n_gates(cell) == 1 || arrays->array[2]->n_dims != 1)
        return false;
    return arrays->array[2]->n == biases && (cell == LAYER_LSTM || conversion->spec->reset_after);
}

static int convert_plain(const struct conversion *conversion, const struct arrays *arrays, struct error *err) {
    for (int i = 0; i < arrays->n; i++)
        if (copy(conversion, &conversion->weights[i], arrays->array[i], err))
            return -1;
    return 0;
}

static int wrong_number(const struct conversion *conversion, const struct arrays *arrays, struct error *err) {
    return error_set(err, "the file has %d weights for it, and it must have %d", arrays->n, conversion->n_weights);
}

static int convert_cell(const struct conversion *conversion, enum layer_kind cell, const struct arrays *arrays,
                        struct error *err) {
    if (is_cudnn(conversion, cell, arrays))
        return convert_cudnn(conversion, cell, arrays->array, err);
    if (arrays->n == conversion->n_weights)
        return convert_plain(conversion, arrays, err);
    if (conversion->n_weights == 3 && arrays->n == 3 * n_gates(cell) && n_gates(cell) > 1 &&
        !(cell == LAYER_GRU && conversion->spec->reset_after))
        return convert_keras1(conversion, cell, arrays->array, err);
    return wrong_number(conversion, arrays, err);
}

static int convert_bidirectional(const struct conversion *conversion, const struct arrays *arrays,
                                 struct error *err) {
    if (arrays->n % 2 || conversion->n_weights % 2)
        return wrong_number(conversion, arrays, err);
    for (int half = 0; half < 2; half++) {
        struct conversion part = *conversion;
        struct arrays its = {.n = arrays->n / 2};
        part.n_weights /= 2;
        part.weights += half * part.n_weights;
        for (int i = 0; i < its.n; i++)
            its.array[i] = arrays->array[half * its.n + i];
        if (convert_cell(&part, conversion->spec->cell, &its, err))
            return error_prefix(err, half ? "backwards" : "forwards");
    }
    return 0;
}

/* ---- convolution -------------------------------------------------------------------------------- */

/* Keras 1 kept [k, 1, inputs, filters], before 1.2 [filters, inputs, k, 1]. */
static int convert_conv1d(const struct conversion *conversion, const struct arrays *arrays, struct error *err) {
    const struct network_weight *weight = &conversion->weights[0];
    const struct container_array *array = arrays->array[0];
    if (arrays->n != conversion->n_weights)
        return wrong_number(conversion, arrays, err);
    const int *want = weight->dims, *is = array->dims;
    int k = want[0], inputs = want[1], filters = want[2];
    bool newer = array->n_dims == 4 && is[0] == k && is[1] == 1 && is[2] == inputs && is[3] == filters;
    bool older = array->n_dims == 4 && is[0] == filters && is[1] == inputs && is[2] == k && is[3] == 1;
    if (!newer && !older && !is_same_shape(weight, array))
        return refuse_shape(weight, array, err);
    float *to = conversion->params + weight->at;
    for (int t = 0; t < k; t++) {
        int from = conversion->flipped ? k - 1 - t : t;
        for (int c = 0; c < inputs; c++)
            for (int f = 0; f < filters; f++) {
                size_t at = older && !newer
                                ? ((size_t)f * (size_t)inputs + (size_t)c) * (size_t)k + (size_t)from
                                : ((size_t)from * (size_t)inputs + (size_t)c) * (size_t)filters + (size_t)f;
                to[((size_t)t * (size_t)inputs + (size_t)c) * (size_t)filters + (size_t)f] = array->data[at];
            }
    }
    return arrays->n > 1 ? copy(conversion, &conversion->weights[1], arrays->array[1], err) : 0;
}

/* ---- the whole ---------------------------------------------------------------------------------- */

int weights_n_keras1(const struct layer_spec *spec, int n_weights) {
    enum layer_kind cell = spec->kind == LAYER_BIDIRECTIONAL ? spec->cell : spec->kind;
    return cell == LAYER_LSTM || cell == LAYER_GRU ? n_weights * n_gates(cell) : n_weights;
}

static int check_finite(const struct conversion *conversion, struct error *err) {
    for (int i = 0; i < conversion->n_weights; i++) {
        const struct network_weight *weight = &conversion->weights[i];
        for (size_t k = 0; k < weight->n; k++)
            if (!isfinite(conversion->params[weight->at + k]))
                return error_set(err, "weight %s is not finite: element %zu is %s", weight->name, k,
                                 isnan(conversion->params[weight->at + k]) ? "NaN" : "infinite");
    }
    return 0;
}

int weights_convert(const struct conversion *conversion, const struct arrays *arrays, struct error *err) {
    enum layer_kind kind = conversion->spec->kind;
    int failed;
    if (kind == LAYER_BIDIRECTIONAL)
        failed = convert_bidirectional(conversion, arrays, err);
    else if (kind == LAYER_LSTM || kind == LAYER_GRU || kind == LAYER_SIMPLE_RNN)
        failed = convert_cell(conversion, kind, arrays, err);
    else if (kind == LAYER_CONV1D)
        failed = convert_conv1d(conversion, arrays, err);
    else if (arrays->n != conversion->n_weights)
        failed = wrong_number(conversion, arrays, err);
    else
        failed = convert_plain(conversion, arrays, err);
    return failed ? -1 : check_finite(conversion, err);
}
