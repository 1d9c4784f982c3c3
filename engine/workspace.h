/* What the calls of a forecaster need for their time only (forecaster.h), perhaps shared. Part of the forecaster. */
#ifndef ENGINE_WORKSPACE_H
#define ENGINE_WORKSPACE_H

#include "engine/forecaster.h"
#include "engine/runner.h"

struct workspace {
    struct runner *runner;
    int *row, *replayed;                   /* [slots] slots, by row of a call */
    bool *finite;                          /* [slots] of each row */
    double *units, *from;                  /* [n_targets] */
    double *values;                        /* [n_targets] */
    int64_t *times;                        /* [horizon] */
    double *mean;                          /* [slots x horizon x n_targets] what is forecast */
    struct takeover *takeovers;            /* [slots] */
    const struct forecaster *takeovers_of; /* whose they are: who has had any last; NULL: nobody */
    struct forecast latest;                /* which values, times and its slot's mean belong to */
};

/* One forecaster's own: its runner is to be fitted. NULL when memory is short. */
struct workspace *workspace_new_own(const struct config_model *model, const struct kernels *kernels);

#endif
