/* Lets through at most one forecast of each (model, stream) in a while: for lines that a person reads. One thread. */
#ifndef FORECAST_PACE_H
#define FORECAST_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace;

/* every: ns between two of the same; NULL when memory is short. */
struct pace *pace_new(int64_t every);
void pace_free(struct pace *pace);

/* Whether a forecast may be shown at the time now (ns of any clock that does not go back). */
bool pace_due(struct pace *pace, const char *model, const char *stream, int64_t now);

#endif
