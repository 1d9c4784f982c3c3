#include "clients/forecast/train_curve.h"

#include "clients/forecast/run.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* The mean of values [n] that are there, or NaN. */
static double mean_of(const struct train_epoch *epochs, int n, bool validation) {
    double sum = 0;
    int counted = 0;
    for (int i = 0; i < n; i++) {
        double value = validation ? epochs[i].validation : epochs[i].loss;
        if (!isfinite(value))
            continue;
        sum += value;
        counted++;
    }
    return counted > 0 ? sum / counted : NAN;
}

/* The row of a value, 0 on top. */
static int row_of(double value, double low, double high) {
    if (!(high > low))
        return TRAIN_CURVE_ROWS - 1;
    int row = (int)floor((high - value) / (high - low) * TRAIN_CURVE_ROWS);
    return row < TRAIN_CURVE_ROWS ? row : TRAIN_CURVE_ROWS - 1;
}

struct canvas {
    int columns;
    double low, high;
    double values[2][TRAIN_CURVE_COLUMNS];
    char marks[TRAIN_CURVE_ROWS][TRAIN_CURVE_COLUMNS + 1];
};

static void fill(struct canvas *canvas, const struct train_epoch *epochs, int n) {
    canvas->columns = n < TRAIN_CURVE_COLUMNS ? n : TRAIN_CURVE_COLUMNS;
    canvas->low = INFINITY;
    canvas->high = -INFINITY;
    for (int kind = 0; kind < 2; kind++)
        for (int c = 0; c < canvas->columns; c++) {
            int from = (int)((long)n * c / canvas->columns), to = (int)((long)n * (c + 1) / canvas->columns);
            double value = mean_of(epochs + from, to - from, kind == 1);
            canvas->values[kind][c] = value;
            canvas->low = fmin(canvas->low, value);
            canvas->high = fmax(canvas->high, value);
        }
    memset(canvas->marks, ' ', sizeof canvas->marks);
    for (int r = 0; r < TRAIN_CURVE_ROWS; r++)
        canvas->marks[r][canvas->columns] = '\0';
    for (int kind = 0; kind < 2; kind++)
        for (int c = 0; c < canvas->columns; c++)
            if (!isnan(canvas->values[kind][c]))
                canvas->marks[row_of(canvas->values[kind][c], canvas->low, canvas->high)][c] = kind == 1 ? 'o' : '.';
}

void train_curve_print(FILE *out, const struct train_epoch *epochs, int n, int best) {
    struct canvas canvas;
    char number[16];
    if (n < 2)
        return;
    fill(&canvas, epochs, n);
    for (int r = 0; r < TRAIN_CURVE_ROWS; r++) {
        bool labelled = r == 0 || r == TRAIN_CURVE_ROWS - 1;
        run_format_number(r == 0 ? canvas.high : canvas.low, number, sizeof number);
        fprintf(out, "%8s |%s\n", labelled ? number : "", canvas.marks[r]);
    }
    fprintf(out, "%8s +", "");
    for (int c = 0; c < canvas.columns; c++)
        fputc(best > 0 && (long)(best - 1) * canvas.columns / n == c ? '^' : '-', out);
    fprintf(out, "\n%8s  epochs 1 to %d; . training, o validation%s\n", "", n,
            best > 0 ? ", ^ the weights that are kept" : "");
}
