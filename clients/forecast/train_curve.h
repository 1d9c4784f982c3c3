/* A loss curve as text: a mark for each epoch (or few of them) over rows from the highest loss to the lowest.
 * Pure. */
#ifndef FORECAST_TRAIN_CURVE_H
#define FORECAST_TRAIN_CURVE_H

#include <stdio.h>

struct train_epoch {
    double loss, validation; /* NaN: there was none */
};

enum { TRAIN_CURVE_COLUMNS = 60, TRAIN_CURVE_ROWS = 10 };

/* Prints epochs [n], of more than there are columns the mean of each few; best: the one whose weights were kept, from
 * 1, or 0. Nothing for fewer than two. */
void train_curve_print(FILE *out, const struct train_epoch *epochs, int n, int best);

#endif
