/* The full-screen table of forecast watch --live. One thread; live_run returns when it is left. */
#ifndef FORECAST_LIVE_H
#define FORECAST_LIVE_H

#include "clients/libforecast/forecast.h"

/* Shows what the subscription brings until q, a signal, or seconds (0: no end) have passed; asks control
 * (endpoint, or NULL for the default) for the models. target: NULL for each stream's first. Returns what to exit
 * with. */
int live_run(const char *command, struct forecast_subscription *subscription, const char *control, const char *target,
             double seconds);

#endif
