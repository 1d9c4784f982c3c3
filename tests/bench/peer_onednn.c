/* oneDNN as a peer (tests/support/peers.h): steps of its LSTM and linear-before-reset GRU, the state carried from one
 * call to the next; weights in the layout that it likes best. */
#include "tests/support/peers.h"

#include <assert.h>
#include <jansson.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS = 16 };

struct shape {
    bool is_gru, from_zero;
    int inputs, hidden, layers, steps, batch, outputs; /* outputs: of a dense layer on what comes out last; 0: none */
    dnnl_data_type_t type;
};

/* Calls take turns: what one writes as the state the other reads. Lives until the process ends. */
struct run {
    struct shape shape;
    dnnl_primitive_t cell, dense;
    dnnl_exec_arg_t args[2][ARGS], dense_args[2][4];
    int n_args, turn;
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void check(dnnl_status_t status) {
    if (status == dnnl_success)
        return;
    fprintf(stderr, "oneDNN: status %d\n", (int)status);
    exit(1);
}

static dnnl_memory_desc_t describe(dnnl_data_type_t type, dnnl_format_tag_t tag, int n_dims, const dnnl_dims_t dims) {
    dnnl_memory_desc_t desc;
    check(dnnl_memory_desc_init_by_tag(&desc, n_dims, dims, type, tag));
    return desc;
}

static void execute(dnnl_primitive_t primitive, int n, const dnnl_exec_arg_t *args) {
    check(dnnl_primitive_execute(primitive, stream, n, args));
}

static dnnl_memory_t zeros(const dnnl_memory_desc_t *desc) {
    dnnl_memory_t memory;
    void *data;
    check(dnnl_memory_create(&memory, desc, engine, DNNL_MEMORY_ALLOCATE));
    check(dnnl_memory_get_data_handle(memory, &data));
    memset(data, 0, dnnl_memory_desc_get_size(desc));
    return memory;
}

/* Small numbers in the layout wanted; plain: the same shape as rows of floats. */
static dnnl_memory_t filled(const dnnl_memory_desc_t *wanted, const dnnl_memory_desc_t *plain) {
    dnnl_memory_t from = zeros(plain), to = zeros(wanted);
    dnnl_primitive_desc_t reorder_desc;
    dnnl_primitive_t reorder;
    float *data;
    check(dnnl_memory_get_data_handle(from, (void **)&data));
    for (size_t i = 0; i < dnnl_memory_desc_get_size(plain) / sizeof *data; i++)
        data[i] = (float)((i * 2654435761u >> 8) % 1000) * 2e-4f - 0.1f;
    check(dnnl_reorder_primitive_desc_create(&reorder_desc, plain, engine, wanted, engine, NULL));
    check(dnnl_primitive_create(&reorder, reorder_desc));
    execute(reorder, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
    check(dnnl_stream_wait(stream));
    check(dnnl_primitive_destroy(reorder));
    check(dnnl_primitive_desc_destroy(reorder_desc));
    check(dnnl_memory_destroy(from));
    return to;
}

static void give(struct run *run, int name, dnnl_memory_t even, dnnl_memory_t odd) {
    assert(run->n_args < ARGS);
    run->args[0][run->n_args] = (dnnl_exec_arg_t){name, even};
    run->args[1][run->n_args++] = (dnnl_exec_arg_t){name, odd};
}

/* The state's two places; a window reads zeros in every call and has its last state nowhere to go. */
static void give_state(struct run *run, int from, int to, const dnnl_memory_desc_t *desc) {
    dnnl_memory_t a = zeros(desc), b = zeros(desc);
    give(run, from, a, run->shape.from_zero ? a : b);
    give(run, to, b, run->shape.from_zero ? b : a);
}

/* NULL where oneDNN has no such primitive. */
static dnnl_primitive_desc_t cell_desc(const struct shape *shape, const dnnl_memory_desc_t *x,
                                       const dnnl_memory_desc_t *y, const dnnl_memory_desc_t *h,
                                       const dnnl_memory_desc_t *c, const dnnl_memory_desc_t *bias) {
    int gates = shape->is_gru ? 3 : 4;
    dnnl_memory_desc_t w = describe(shape->type, dnnl_format_tag_any, 5,
                                    (dnnl_dims_t){shape->layers, 1, shape->inputs, gates, shape->hidden});
    dnnl_memory_desc_t u = describe(shape->type, dnnl_format_tag_any, 5,
                                    (dnnl_dims_t){shape->layers, 1, shape->hidden, gates, shape->hidden});
    dnnl_rnn_desc_t desc;
    dnnl_primitive_desc_t ret = NULL;
    if (shape->is_gru)
        check(dnnl_lbr_gru_forward_desc_init(&desc, dnnl_forward_inference, dnnl_unidirectional_left2right, x, h, &w,
                                             &u, bias, y, h, dnnl_rnn_flags_undef));
    else
        check(dnnl_lstm_forward_desc_init(&desc, dnnl_forward_inference, dnnl_unidirectional_left2right, x, h, c, &w,
                                          &u, bias, y, h, c, dnnl_rnn_flags_undef));
    return dnnl_primitive_desc_create(&ret, &desc, NULL, engine, NULL) == dnnl_success ? ret : NULL;
}

/* outputs = the last step's hidden W + b. */
static void add_dense(struct run *run, dnnl_memory_t hidden) {
    const struct shape *shape = &run->shape;
    const dnnl_data_type_t f32 = dnnl_f32;
    size_t last =
        (size_t)(shape->steps - 1) * (size_t)(shape->batch * shape->hidden) * dnnl_data_type_size(shape->type);
    dnnl_memory_desc_t x = describe(shape->type, dnnl_ab, 2, (dnnl_dims_t){shape->batch, shape->hidden});
    dnnl_memory_desc_t any =
        describe(shape->type, dnnl_format_tag_any, 2, (dnnl_dims_t){shape->outputs, shape->hidden});
    dnnl_memory_desc_t plain = describe(f32, dnnl_ab, 2, (dnnl_dims_t){shape->outputs, shape->hidden});
    dnnl_memory_desc_t bias = describe(f32, dnnl_a, 1, (dnnl_dims_t){shape->outputs});
    dnnl_memory_desc_t y = describe(f32, dnnl_ab, 2, (dnnl_dims_t){shape->batch, shape->outputs});
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_desc_t chosen;
    dnnl_memory_t from;
    char *data;
    check(dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_inference, &x, &any, &bias, &y));
    check(dnnl_primitive_desc_create(&chosen, &desc, NULL, engine, NULL));
    check(dnnl_primitive_create(&run->dense, chosen));
    check(dnnl_memory_get_data_handle(hidden, (void **)&data));
    check(dnnl_memory_create(&from, &x, engine, data + last));
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, from},
        {DNNL_ARG_WEIGHTS, filled(dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0), &plain)},
        {DNNL_ARG_BIAS, zeros(&bias)},
        {DNNL_ARG_DST, zeros(&y)}};
    memcpy(run->dense_args, args, sizeof args);
}

static struct run *run_new(const struct shape *shape) {
    struct run *run = calloc(1, sizeof *run);
    int gates = shape->is_gru ? 3 : 4, batch = shape->batch, hidden = shape->hidden;
    assert(run != NULL);
    run->shape = *shape;
    dnnl_memory_desc_t x = describe(shape->type, dnnl_abc, 3, (dnnl_dims_t){shape->steps, batch, shape->inputs});
    dnnl_memory_desc_t x_plain = describe(dnnl_f32, dnnl_abc, 3, (dnnl_dims_t){shape->steps, batch, shape->inputs});
    dnnl_memory_desc_t y = describe(shape->type, dnnl_abc, 3, (dnnl_dims_t){shape->steps, batch, hidden});
    dnnl_memory_desc_t h = describe(shape->type, dnnl_abcd, 4, (dnnl_dims_t){shape->layers, 1, batch, hidden});
    dnnl_memory_desc_t c = describe(dnnl_f32, dnnl_abcd, 4, (dnnl_dims_t){shape->layers, 1, batch, hidden});
    dnnl_memory_desc_t bias =
        describe(dnnl_f32, dnnl_abcd, 4, (dnnl_dims_t){shape->layers, 1, gates + shape->is_gru, hidden});
    dnnl_memory_desc_t w =
        describe(dnnl_f32, dnnl_abcde, 5, (dnnl_dims_t){shape->layers, 1, shape->inputs, gates, hidden});
    dnnl_memory_desc_t u = describe(dnnl_f32, dnnl_abcde, 5, (dnnl_dims_t){shape->layers, 1, hidden, gates, hidden});
    dnnl_primitive_desc_t chosen = cell_desc(shape, &x, &y, &h, &c, &bias);
    if (chosen == NULL) {
        free(run);
        return NULL;
    }
    check(dnnl_primitive_create(&run->cell, chosen));

    dnnl_memory_t from = filled(&x, &x_plain), to = zeros(&y), b = zeros(&bias);
    dnnl_memory_t kernel = filled(dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0), &w);
    dnnl_memory_t recurrent = filled(dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 1), &u);
    give(run, DNNL_ARG_SRC_LAYER, from, from);
    give(run, DNNL_ARG_DST_LAYER, to, to);
    give(run, DNNL_ARG_WEIGHTS_LAYER, kernel, kernel);
    give(run, DNNL_ARG_WEIGHTS_ITER, recurrent, recurrent);
    give(run, DNNL_ARG_BIAS, b, b);
    give_state(run, DNNL_ARG_SRC_ITER, DNNL_ARG_DST_ITER, &h);
    if (!shape->is_gru)
        give_state(run, DNNL_ARG_SRC_ITER_C, DNNL_ARG_DST_ITER_C, &c);
    if (shape->outputs > 0)
        add_dense(run, to);
    return run;
}

static size_t step(void *context) {
    struct run *run = context;
    execute(run->cell, run->n_args, run->args[run->turn]);
    if (run->dense != NULL)
        execute(run->dense, 4, run->dense_args[0]);
    check(dnnl_stream_wait(stream));
    run->turn = !run->turn;
    return (size_t)run->shape.batch;
}

static int number(const json_t *row, const char *name, int otherwise) {
    const json_t *value = json_object_get(row, name);
    return value != NULL ? (int)json_integer_value(value) : otherwise;
}

/* What the members of a row ask for; returns why it cannot be had, or NULL. */
static const char *read_shape(const json_t *row, struct shape *ret_shape) {
    const char *bench = json_string_value(json_object_get(row, "bench"));
    const char *precision = json_string_value(json_object_get(row, "precision"));
    if (bench == NULL || precision == NULL)
        return "not a case";
    bool bf16 = strcmp(precision, "bf16") == 0;
    if (strcmp(bench, "lstm_step") != 0 && strcmp(bench, "gru_step") != 0 && strcmp(bench, "lstm_model") != 0)
        return "not measured";
    if (bf16 && dnnl_get_effective_cpu_isa() < dnnl_cpu_isa_avx512_core_bf16)
        return "no bf16 on this processor";
    *ret_shape = (struct shape){.is_gru = strcmp(bench, "gru_step") == 0,
                                .inputs = number(row, "inputs", 1),
                                .hidden = number(row, "hidden", 1),
                                .layers = number(row, "layers", 1),
                                .steps = number(row, "steps", 1),
                                .batch = number(row, "batch", 1),
                                .outputs = number(row, "outputs", 0),
                                .type = bf16 ? dnnl_bf16 : dnnl_f32};
    ret_shape->from_zero = ret_shape->steps > 1;
    return NULL;
}

static const char *make_case(const char *line, struct bench_work *ret_work) {
    struct shape shape;
    json_t *row = json_loads(line, 0, NULL);
    const char *why = row != NULL ? read_shape(row, &shape) : "not JSON";
    json_decref(row);
    if (why != NULL)
        return why;
    *ret_work = (struct bench_work){step, run_new(&shape)};
    return ret_work->context != NULL ? NULL : "oneDNN has no such primitive";
}

int main(void) {
    check(dnnl_engine_create(&engine, dnnl_cpu, 0));
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    peers_serve(make_case);
    return 0;
}
