/* Training a model from files: their steps to windows and a job, as the daemon makes them of its streams. */
#ifndef FORECAST_TRAIN_RUN_H
#define FORECAST_TRAIN_RUN_H

#include "clients/forecast/backtest_data.h"
#include "clients/forecast/train_curve.h"
#include "engine/training.h"

struct train_result {
    struct training_outcome outcome;
    struct train_epoch *epochs; /* [n_epochs] */
    int n_epochs, size;
    int64_t took; /* ns */
};

/* Trains the model on all steps of the streams until run_stopped(), then with what has been reached; progress goes to
 * standard error: a line that is written over on a terminal. Returns 0, or -1 with the sentence in err;
 * train_result_fini either way. */
int train_run(const struct config_class *class, const struct config_model *model, const struct backtest_data *data,
              struct train_result *result, struct error *err);
void train_result_fini(struct train_result *result);

#endif
