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
    /* Decides how many numbers there are for each answer: of a place [.. x horizon x n_targets]. */
    struct loss_spec loss;
    double normal[CONFIG_MAX_LEVELS]; /* the upper quantile of each level, of the standard normal distribution */
};

/* The loss that the model's network is trained by; its levels are the model's. */
struct loss_spec head_loss(const struct config_model *model);

/* How many targets training sees at each step, and how many answers there are to what is forecast at one: those of
 * `horizon` steps; of an event its label. */
int head_targets(const struct config_model *model);
int head_answers(const struct config_model *model);

/* Whether output 0 gives the logits of the model's classes, or their probabilities. Returns 0, or -1 with a sentence
 * in err. */
int head_fits_event(const struct config_model *model, const struct network *network, bool *ret_probabilities,
                    struct error *err);

/* How its targets are scaled: as the model says, but for the 0 and 1 of binary_crossentropy. */
enum scaler_kind head_scaler(const struct config_model *model);

/* Finds how output 0 of the model's network is to be read; sample: steps of a call. Returns 0, or -1 with a sentence
 * in err when it does not hold a forecast of the model. */
int head_fit(const struct config_model *model, const struct network *network, int sample, struct head *ret_head,
             struct error *err);

/* The horizon that a network serves where the configuration leaves it open; 0 where that is not plain. */
int head_horizon(const struct config_model *model, const struct network *network, int sample);

/* The forecasts of the targets h steps ahead (1 to head->horizon), [n_targets], in output 0 of a call of `rows`
 * rows. */
void head_values(const struct head *head, const float *y, int rows, int row, int h, int n_targets, float *ret_values);

/* Of a head whose loss gives several numbers: half the width of the interval of a level (by its index) around that
 * forecast, [n_targets], >= 0, in the network's unit; none less than that of a lower level. Takes no memory; of
 * student_t some 0.2 us each. */
void head_half_widths(const struct head *head, const float *y, int rows, int row, int h, int n_targets, int level,
                      float *ret_half_widths);

#endif
