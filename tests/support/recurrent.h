/*
 * Recurrent layers under test: a network of one of them, with a Masking before it or initial states wired into it if
 * wanted, against the same in doubles, row by row and step by step. Checks fail the running cmocka test.
 */
#ifndef TESTS_SUPPORT_RECURRENT_H
#define TESTS_SUPPORT_RECURRENT_H

#include "engine/network.h"

enum { RECURRENT_ROWS = 4, RECURRENT_STEPS = 5, RECURRENT_INPUTS = 3, RECURRENT_UNITS = 4 };

struct recurrent_case {
    enum network_mode mode;
    bool masked; /* rows with masked steps: none, inside and at the end, at the begin, all */
    bool seeded; /* begins at the ends of as many SimpleRNNs over the same input */
    struct layer_spec layer;
};

/*
 * Whether serving, tape and doubles give the same outputs and states, over two calls; back-propagation the slopes of
 * the doubles; rows alone, and (in a stream without masks) steps alone, the same bits at every level of the kernels;
 * and nothing past the workspace is touched.
 */
void recurrent_check(const struct recurrent_case *c);

/* The layer with everything that Keras has by default. */
struct layer_spec recurrent_spec(enum layer_kind kind);
/* recurrent_check of a layer with every combination of options that the three kinds share, in every mode, with and
 * without masks and initial states. */
void recurrent_check_options(struct layer_spec layer);
/* With every activation in either place. */
void recurrent_check_activations(struct layer_spec layer);

/* What the checks since the last call saw: the worst distances of outputs, and of gradients relative to the
 * largest. */
void recurrent_print_worst(const char *name);

/* The layer alone is refused in the given mode, in a sentence that has `text`. */
void recurrent_check_refused(enum network_mode mode, struct layer_spec layer, const char *text);

#endif
