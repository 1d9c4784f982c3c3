/* The loss of a network, and of the baselines, on the forecasts of validation windows. Part of a training job. */
#ifndef ENGINE_EVALUATION_H
#define ENGINE_EVALUATION_H

#include "engine/config.h"
#include "engine/promotion.h"
#include "engine/windows.h"

#include <stdbool.h>

/* Which origins of a window count: the older third, but for a horizon, chooses among the epochs of a training; the
 * rest judges. */
enum evaluation_part { EVALUATION_ALL, EVALUATION_CHOOSES, EVALUATION_JUDGES };

/* A group of windows in time-major form, as network and loss want them, a chunk of steps at a time. A windowed
 * network takes a chunk of model->window steps as one sample and answers for its last step alone. Workspace. */
struct chunk_row {
    const struct window *window; /* NULL: nothing, which weighs nothing */
    int from;                    /* its first step in the chunk */
};

struct chunk {
    struct chunk_row *row; /* [rows] what the next fill takes */
    int rows, steps;       /* that fit */
    size_t n_answers;      /* that weigh anything, of the latest fill */
    float *x;              /* [steps x rows x config_network_inputs] */
    float *answer;         /* [origins x rows x horizon x n_targets]: what the network should put out */
    float *weight;         /* the same shape; 0 where there is no origin or no answer */
    float *point;          /* the same shape: what a network that is evaluated forecasts */
    float *gradient;       /* [origins x rows x width x horizon x n_targets]: of all that it puts out (loss.h) */
};

int chunk_init(struct chunk *chunk, const struct config_model *model, int rows, int steps);
void chunk_fini(struct chunk *chunk);

/* Origins of a chunk of so many steps, per row: all of them, or the last one of a sample. */
int chunk_origins(const struct config_model *model, int steps);

/* Makes the windows the first rows of the chunk, all of them from the same step on. */
void chunk_set_rows(struct chunk *chunk, const struct window *const *windows, int rows, int from);

/* Fills the chunk with `steps` steps of so many of its rows; those whose window has ended are zero and weigh nothing.
 * Returns the sum of the weights. */
double chunk_fill(struct chunk *chunk, const struct config_model *model, enum evaluation_part part, int rows,
                  int steps);

/* What a forecast made at an origin weighs by its age: of a training window, with a half-life; else 1. */
float evaluation_weight(const struct config_model *model, const struct window *window, int origin);

/* What is evaluated on, and by what means. */
struct evaluation {
    const struct config_model *model;
    const struct kernels *kernels;
    struct chunk *chunk; /* scratch, like the next two, for chunk->rows rows */
    struct tape *tape;
    float *state;
    enum evaluation_part part;
    const struct window *const *windows; /* [n] */
    int n;
    bool (*stop)(
        void *context); /* asked before each chunk; when it says so, what has been done is given up for NaNs */
    void *context;
};

/* Mean losses (loss_point) of the point forecasts of a network (NULL: NaN), of an event its cross-entropies, over the
 * origins; series, if any, is told each of them, counted back from the newest one of its window. */
double evaluation_network(const struct evaluation *evaluation, const struct network *network,
                          struct loss_series *series);

/* The same for the baselines, with their series, without scratch and kernels; NaN where there is no origin, and for
 * seasonal where there is no period. */
void evaluation_baselines(const struct evaluation *evaluation, struct promotion_losses *losses);

#endif
