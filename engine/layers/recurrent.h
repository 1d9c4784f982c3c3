/*
 * What the recurrent layers share: a pass is one cell going over one sequence, in one direction. LSTM, GRU and
 * SimpleRNN are one pass each, Bidirectional is two. This file and recurrent*.c know of steps, masks, states and
 * ports; a cell (lstm.c, gru.c, gru_reset_before.c, simple_rnn.c) knows the arithmetic of one step.
 *
 * A sequence is [steps x rows x width]. A pass that goes backwards takes the last step first, and gives its outputs
 * in the order in which it makes them, as Keras does. Where the mask is 0 the state stays, and what comes out is what
 * came out before it in the same call (zeros where nothing did), or zeros if zero_output_for_mask. A call that is a
 * piece of a stream goes on where the one before it ended: there the output before the first step is the state's h.
 * Keras 3 (3.15: Layer.__call__) does not give a layer the mask when it gives it an initial state.
 */
#ifndef ENGINE_LAYERS_RECURRENT_H
#define ENGINE_LAYERS_RECURRENT_H

#include "engine/layers/layer.h"

enum {
    CELL_STATES = 2, /* most states of a cell: h and c; h comes first */
    CELL_ROWS = 4,   /* rows that a cell without a kernel of its own takes together when serving */
};

struct pass {
    const struct cell_ops *ops;
    int n_in, units;
    enum activation activation, recurrent_activation;
    bool goes_back, return_sequences, zero_output_for_mask, ignores_mask;
    /* Its states go on from call to call, and live in the rows' state at state_at; else in the workspace. */
    bool carries;
    bool is_piece;                    /* of a stream */
    bool is_plain;                    /* tanh and sigmoid: the cell may have a kernel of its own */
    float dropout, recurrent_dropout; /* in training */
    size_t state_at;
    int state_port; /* the first port, among inputs and outputs, of its states, if they have ports */

    const float *w, *u, *bias; /* bias NULL: has none */
    struct packed packed;      /* serving, for a kernel of its own */
    float *dw, *du, *db;       /* backward only */
};

/* What training drops of matrices of so many rows: `n` masks [rows x width], each for as many gates as the others, of
 * which an element is 0 or 1 / (1 - rate). n 0: nothing is dropped. */
struct masks {
    const struct tape_kernels *products;
    int n, rows, width;
    float *at;
    float *work; /* of the size of what is dropped */
};

/* One step on the tape. Matrices are [rows x n units]; gates of a row stand side by side. */
struct tape_step {
    const struct kernels *kernels;
    const struct tape_kernels *products;
    int rows;
    const float *x;                   /* [rows x n_in] */
    const float *packed;              /* W and U, forward; U' and W', backward */
    float *gates;                     /* [n_gates], which record makes */
    float *dz;                        /* [n_gates], which backward makes: d loss / d (x W + b) */
    float *pre;                       /* [n_gates], for what went into the activations; NULL: no slope needs it */
    float *kept;                      /* [n_kept] */
    const float *before[CELL_STATES]; /* [1]: the states before the step */
    float *after[CELL_STATES];
    float *d[CELL_STATES]; /* [1], backward: d loss / d after; to become d loss / d before */
    struct masks x_dropped;
    struct masks dropped; /* of h before the step */
};

struct cell_ops {
    int n_gates, n_states;
    int bias_rows;   /* 2: one for the input, one for the recurrent product */
    int n_kept;      /* units a row and step that record keeps for backward besides the gates */
    bool has_kernel; /* for a plain pass */
    enum kernel_cell kernel;

    /* Serving: one step of n rows, the states in place, y [n x units]; work: PASS_SCRATCH units. sums: what kernels->inputs has
     * made of x, which then is not looked at, or NULL. */
    void (*step)(const struct pass *pass, const struct kernels *kernels, int n, const float *x, const float *sums,
                 float *const *state, float *y, float *work);

    void (*record)(const struct pass *pass, const struct tape_step *step);
    void (*backward)(const struct pass *pass, const struct tape_step *step);
    /* Adds to du (and db, past the first row of bias) over n rows of some steps; NULL: du is h_before' dz. */
    void (*recurrent_gradient)(const struct pass *pass, const struct masks *dropped, int n, const float *h_before,
                               const float *dz, const float *kept);
};

extern const struct cell_ops cell_lstm, cell_gru, cell_gru_reset_before, cell_simple_rnn;

enum { PASS_SCRATCH = 6 * CELL_ROWS };

/* ---- for the cells ------------------------------------------------------------------------------ */

/* z [n x n_gates units] = bias + x W, + h U in the first recurrent_gates of them; n <= CELL_ROWS. Serving. */
void pass_affine(const struct pass *pass, const struct kernels *kernels, int n, const float *x, float *const *state,
                 int recurrent_gates, float *z);

/* z [rows x n_gates units] = bias (NULL: zero) + x W, if x, + h U of h before the step, if h. On the tape,
 * forward. */
void step_sums(const struct pass *pass, const struct tape_step *step, bool x, bool h, const float *bias, float *z);
/* d[0] = dz U', or (keep) d[0] + dz U'; dz [rows x n_gates units]. Backward. */
void step_back(const struct pass *pass, const struct tape_step *step, const float *dz, bool keep);

/* Matrix products of a [m x width] in training, each gate with what the masks leave of it; m is a multiple of their
 * rows. b and c are [.. x n], parts of matrices whose rows are so many floats apart.
 *     dropped_product             c += a b
 *     dropped_product_back        da += dc b'
 *     dropped_product_gradient    db += a' dc */
void dropped_product(const struct masks *masks, int m, int n, const float *a, const float *b, float *c, int stride);
void dropped_product_back(const struct masks *masks, int m, int n, const float *dc, const float *b, float *da,
                          int stride);
void dropped_product_gradient(const struct masks *masks, int m, int n, const float *a, const float *dc, float *db,
                              int stride);
/* Those of n gates from the first-th on. */
struct masks masks_of_gates(const struct masks *masks, int first, int n);

/* Floats that the masks of a pass need on the tape; which of them there are there; and drawing them, as a call
 * begins. x: of input 0, h: of the hidden state. */
size_t masks_size(const struct pass *pass, int rows, int steps);
void masks_place(const struct pass *pass, const struct layer_run *run, float *tape, struct masks *x, struct masks *h);
void masks_draw(const struct pass *pass, struct rng *rng, const struct masks *x, const struct masks *h);

/* ---- layers, as layer_ops has them -------------------------------------------------------------- */

int recurrent_build(struct layer *layer, struct layer_build *build);                    /* Bidirectional's too */
void recurrent_init_weights(const struct layer *layer, struct rng *rng, float *params); /* Bidirectional's too */
size_t recurrent_packed_size(const struct layer *layer);                                /* Bidirectional's too */
void recurrent_pack(const struct layer *layer, const struct kernels *kernels, enum precision precision,
                    const float *params, float *to); /* Bidirectional's too */
size_t recurrent_work_size(const struct layer *layer, int rows, int steps);
size_t recurrent_tape_size(const struct layer *layer, int rows, int steps);
void recurrent_forward(const struct layer *layer, const struct layer_run *run);
void recurrent_tape_forward(const struct layer *layer, const struct layer_run *run);
void recurrent_backward(const struct layer *layer, const struct layer_run *run);

/* ---- passes ------------------------------------------------------------------------------------- */

/* Pass 0, or of Bidirectional 1, the one that goes back; run NULL: only for sizes. */
struct pass pass_of(const struct layer *layer, const struct layer_run *run, int index);
/* Floats of its output in a call. */
size_t pass_output_size(const struct pass *pass, int rows, int steps);

/* Over input 0 to y [steps or 1 x rows x units], and to the ports of the states; work: pass_work_size floats. */
size_t pass_work_size(const struct pass *pass, int rows, int steps);
void pass_forward(const struct pass *pass, const struct layer_run *run, float *y, float *work);

/* The same on a tape, and back from dy; tape: pass_tape_size floats, kept from forward to backward. */
size_t pass_tape_size(const struct pass *pass, int rows, int steps);
void pass_tape_forward(const struct pass *pass, const struct layer_run *run, float *y, float *tape);
void pass_tape_backward(const struct pass *pass, const struct layer_run *run, const float *dy, float *tape);

/* State i of row r before the first step, [units]: carried, wired in, or zeros. */
void pass_first_state(const struct pass *pass, const struct layer_run *run, size_t r, int i, float *state);

#endif
