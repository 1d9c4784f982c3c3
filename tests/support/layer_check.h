/* What must hold for every layer, checked on networks of a few of them against tests/support/exact_layers.h. */
#ifndef TESTS_SUPPORT_LAYER_CHECK_H
#define TESTS_SUPPORT_LAYER_CHECK_H

#include "tests/support/layers.h"

enum { CASE_LAYERS = 8 };

#define IN(...) .n_in = sizeof((struct layer_input[]){__VA_ARGS__}) / sizeof(struct layer_input), .in = {__VA_ARGS__}

/* A network and what goes in. */
struct layer_case {
    const char *name;
    int n_inputs, steps; /* of a call */
    bool known_steps;    /* the network is told their number */
    bool ids, no_time;
    bool masked;   /* some steps are all zero, not the last */
    bool training; /* it does otherwise in training: check that too */
    /* What is 0 of a number, and is not meant to be, becomes Keras' default. Ends with one that is all 0. */
    struct layer_spec layers[CASE_LAYERS + 1];
    int n_outputs;
    struct layer_input outputs[LAYER_PORTS];
};

/* Fails the test unless, for random parameters and inputs:
 * - serving and the tape give what the oracle gives;
 * - each row alone, and every level of kernels, gives the same bits;
 * - nothing is written past the workspace, and nothing read that is left there or on the tape from before;
 * - the gradients of all parameters are the slopes of the oracle, and those that are not trainable get none. */
void layer_case_check(const struct layer_case *of);

/* The network of a case, its parameters random; fails the test where it is refused. */
struct network *layer_case_network(const struct layer_case *of, enum network_mode mode);

/* Fails the test unless the network is refused in this mode with a sentence that has the given text. */
void layer_case_refused(const struct layer_case *of, enum network_mode mode, const char *text);

#endif
