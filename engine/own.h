/*
 * forecastd.json: what the daemon adds to a Keras file, so that one file is a whole deployable model. A JSON object
 * with the names of features and targets and how the network is run and read; a configuration may say otherwise.
 */
#ifndef ENGINE_OWN_H
#define ENGINE_OWN_H

#include "engine/config.h"

/* What a file said; -1, or no names, where it said nothing. */
struct own {
    char **inputs, **targets; /* [n_inputs], [n_targets] */
    int n_inputs, n_targets;
    int horizon, period, window;                  /* window: steps of a sample */
    int scaler, residual, mode, form, head, loss; /* the values of their enums */
    double levels[CONFIG_MAX_LEVELS];             /* [n_levels] whose bounds a quantile head gives; 0: nothing said */
    int n_levels;
};

/* What a file without a word has said. */
struct own own_none(void);

/* Reads the text. Returns -1 with a sentence in err; then there is nothing to free. Free with own_fini. */
int own_read(const char *text, struct own *ret_own, struct error *err);
void own_fini(struct own *own);

/* The text for a model, to be freed by the caller; NULL when memory is short. Any thread. */
char *model_own_json(const struct config_model *model, const struct config_class *class);

#endif
