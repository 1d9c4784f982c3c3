/*
 * How a network's output is read as a model's forecast. Pure functions.
 */
#ifndef ENGINE_HEAD_H
#define ENGINE_HEAD_H

#include "engine/config.h"

/* Where the values of a forecast stand in output 0, in the form that Keras' people give it. */
enum head_form {
    HEAD_ALL_AT_ONCE, /* the width is horizon x targets, at the last step where there are several */
    HEAD_BY_STEP,     /* a decoder's steps are those of the horizon, the width is the targets */
    HEAD_CLASS,       /* the width is a vocabulary: the forecast is the likeliest id */
};

struct head {
    enum head_form form;
    int horizon; /* steps that the network itself gives: the model's, or 1 where it feeds itself back */
    int steps, width;
};

/* Finds how output 0 of the model's network is to be read; sample: steps of a call. Returns 0, or -1 with a sentence
 * in err when it does not hold a forecast of the model. */
int head_fit(const struct config_model *model, const struct network *network, int sample, struct head *ret_head,
             struct error *err);

/* The horizon that a network serves where the configuration leaves it open; 0 where that is not plain. */
int head_horizon(const struct config_model *model, const struct network *network, int sample);

/* The forecasts of the targets h steps ahead (1 to head->horizon), [n_targets], in output 0 of a call of `rows` rows; of
 * a class in *ret_id. */
const float *head_values(const struct head *head, const float *y, int rows, int row, int h, int n_targets,
                         float *ret_id);

#endif
