/*
 * Runs the network of a lane for rows of slots: gathers their inputs (one step, or the last `window` ones), keeps the
 * buffers, feeds a forecast back. Part of the forecaster; one owner at a time.
 */
#ifndef ENGINE_RUNNER_H
#define ENGINE_RUNNER_H

#include "engine/head.h"
#include "engine/lane.h"

struct runner;

/* For up to model->batch_size rows. NULL when memory is short. */
struct runner *runner_new(const struct config_model *model, const struct kernels *kernels);
void runner_free(struct runner *runner);

/* Makes room for a network of the model; to be called before it runs. Returns -1 when memory is short. */
int runner_fit(struct runner *runner, const struct network *network);

/* Whether a slot has seen enough steps since its state was zero: all of a window. */
bool runner_can(const struct runner *runner, const struct lane *lane, int slot);

/* Runs the lane's network at the steps that the slots have seen last; history: of each slot of the batch. The states
 * go on. */
void runner_run(struct runner *runner, const struct lane *lane, const struct history *const *history,
                const int *slots, int rows);

/* What the inputs of a row were scaled by, [n_features of the class]: the slot's scalers, or with SCALER_WINDOW those
 * of its sample, of inputs and targets. Until the next run. */
const struct scaler *runner_scalers(const struct runner *runner, int row);

/* After runner_run: the next input of each row is x(row) [n_inputs], and the network runs once more, on copies of the
 * states (made at the first time). */
float *runner_next(struct runner *runner, int row);
void runner_run_again(struct runner *runner, const struct lane *lane);

/* What came out: the forecast of the targets h steps ahead (of the head's horizon), until the next call; how wide the
 * interval of a level around it is (head_half_widths), of a head that has them; output `output` of a row, copied as
 * [steps x width]. */
const float *runner_values(struct runner *runner, int row, int h);
void runner_half_widths(const struct runner *runner, int row, int h, int level, float *ret_half_widths);
/* The last step of output 0 of a row. */
const float *runner_last_output(const struct runner *runner, int row);
void runner_copy_output(const struct runner *runner, int output, int row, float *ret);

#endif
