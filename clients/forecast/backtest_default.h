/* The model of a backtest that was given no configuration: one that does well on most series, chosen from the train
 * rows alone, and written as a configuration that the daemon takes as well. */
#ifndef FORECAST_BACKTEST_DEFAULT_H
#define FORECAST_BACKTEST_DEFAULT_H

#include "clients/forecast/backtest_data.h"

#include <stdint.h>

struct backtest_default {
    uint64_t train, valid; /* steps that the first training has */
    int horizon;
    int period;       /* -1: to be found */
    double support;   /* what period_find says of the period that it found */
    int64_t interval; /* ns between two ticks; 0: not known */
    char *text;       /* the configuration; the caller's to free */
};

/* Fills in period, support, interval and text. Returns 0, or -1 with the sentence in err. */
int backtest_default_choose(const struct backtest_data *data, struct backtest_default *choice, struct error *err);

#endif
