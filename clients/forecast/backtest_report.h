/* What a backtest says, for people and for programs. */
#ifndef FORECAST_BACKTEST_REPORT_H
#define FORECAST_BACKTEST_REPORT_H

#include "clients/forecast/backtest_run.h"

#include <stdio.h>

/* A table of errors per horizon, and what was learnt when. */
void backtest_report_text(const struct backtest_setup *setup, const struct backtest_result *result, FILE *out);

/* One JSON object: {"horizons": [{"h", "published": {"mse", "mae", "mase", "raw_mae", "coverage": {"80": ..},
 * "width": {"80": ..}}, "experts": {name: {..}}, "targets": {name: {..}}}]}. What is not known is null. Returns -1
 * without memory. */
int backtest_report_json(const struct backtest_setup *setup, const struct backtest_result *result, FILE *out);

#endif
