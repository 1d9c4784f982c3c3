#include "engine/workspace.h"

#include <stdlib.h>

struct workspace *workspace_new_own(const struct config_model *model, const struct kernels *kernels) {
    struct workspace *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    size_t slots = (size_t)model->batch_size, n_targets = (size_t)model->n_targets;
    w->runner = runner_new(model, kernels);
    w->row = calloc(slots, sizeof *w->row);
    w->replayed = calloc(slots, sizeof *w->replayed);
    w->finite = calloc(slots, sizeof *w->finite);
    w->units = calloc(n_targets + 1, sizeof *w->units);
    w->from = calloc(n_targets + 1, sizeof *w->from);
    w->values = calloc(n_targets + 1, sizeof *w->values);
    w->takeovers = calloc(slots, sizeof *w->takeovers);
    w->mean = calloc(slots * (size_t)model->horizon * n_targets + 1, sizeof *w->mean);
    w->times = calloc((size_t)model->horizon + 1, sizeof *w->times);
    if (w->runner != NULL && w->row != NULL && w->replayed != NULL && w->finite != NULL && w->units != NULL &&
        w->from != NULL && w->values != NULL && w->mean != NULL && w->takeovers != NULL && w->times != NULL)
        return w;
    workspace_free(w);
    return NULL;
}

struct workspace *workspace_new(const struct config_model *model, const struct kernels *kernels) {
    struct error err;
    struct workspace *w = workspace_new_own(model, kernels);
    struct network *network = forecaster_network(model, &err);
    /* All versions of a model have the same shapes, and serve packed. */
    bool fits =
        w != NULL && network != NULL && network_pack(network, kernels) == 0 && runner_fit(w->runner, network) == 0;
    network_free(network);
    if (fits)
        return w;
    workspace_free(w);
    return NULL;
}

void workspace_free(struct workspace *w) {
    if (w == NULL)
        return;
    runner_free(w->runner);
    free(w->row);
    free(w->replayed);
    free(w->finite);
    free(w->units);
    free(w->from);
    free(w->values);
    free(w->takeovers);
    free(w->mean);
    free(w->times);
    free(w);
}
