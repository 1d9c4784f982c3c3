/* forecast model: what its subcommands share. For model*.c. */
#ifndef FORECAST_MODEL_H
#define FORECAST_MODEL_H

#include "clients/forecast/npy.h"
#include "clients/forecast/options.h"
#include "clients/forecast/predict.h"
#include "engine/keras/keras.h"

/* Each takes its own name in argv[0] and returns what to exit with. */
int model_show(int argc, char **argv);
int model_convert(int argc, char **argv);
int model_run(int argc, char **argv);
int model_check(int argc, char **argv);

/* Says "forecast model: sentence" on stderr and returns 1. */
int model_failed(const struct error *err);

/* The model's predict over x as model run and model check do it: `calls` pieces, or 0: x as it is. what: x's name,
 * for errors. prediction_fini afterwards. */
int model_predict(const struct keras_model *model, const struct npy *x, const char *what, bool stateful, long calls,
                  struct prediction *ret, struct error *err);

#endif
