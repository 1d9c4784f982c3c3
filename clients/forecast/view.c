#include "clients/forecast/view.h"

#include "clients/forecast/run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int view_target(const struct forecast *forecast, const char *name) {
    for (int i = 0; i < forecast->n_targets; i++)
        if (!name || strcmp(forecast->targets[i], name) == 0)
            return i;
    return -1;
}

/* Mean absolute errors over all steps ahead whose answers have arrived, of what was served and of the last
 * value; NaN before any. */
static void mean_errors(const struct forecast *forecast, double *ret_mae, double *ret_last_value) {
    double mae = 0, last_value = 0;
    int n = 0;

    for (int i = 0; i < forecast->n_scores; i++) {
        const struct forecast_score *score = &forecast->scores[i];

        if (score->n == 0 || isnan(score->mae) || isnan(score->mae_last_value))
            continue;
        mae += score->mae;
        last_value += score->mae_last_value;
        n++;
    }
    *ret_mae = n ? mae / n : NAN;
    *ret_last_value = n ? last_value / n : NAN;
}

static void append(char *buffer, size_t size, size_t *used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void append(char *buffer, size_t size, size_t *used, const char *format, ...) {
    va_list arguments;

    if (*used >= size)
        return;
    va_start(arguments, format);
    int n = vsnprintf(buffer + *used, size - *used, format, arguments);
    va_end(arguments);
    *used += n > 0 ? (size_t)n : 0;
    if (*used >= size)
        *used = size - 1;
}

/* The interval of the highest level, h steps ahead: " (19.9 to 21.6)"; nothing where there is none. */
static void append_interval(const struct forecast *forecast, size_t at, char *buffer, size_t size, size_t *used) {
    char lower[16], upper[16];

    if (forecast->n_intervals == 0)
        return;
    const struct forecast_interval *widest = &forecast->intervals[forecast->n_intervals - 1];
    if (!isnan(widest->lower[at]) && !isnan(widest->upper[at]))
        append(buffer, size, used, " (%s to %s)", run_format_number(widest->lower[at], lower, sizeof lower),
               run_format_number(widest->upper[at], upper, sizeof upper));
}

/* The target's value, and its forecast at both ends of the horizon, with their intervals. */
static void append_target(const struct forecast *forecast, size_t at, char *buffer, size_t size, size_t *used) {
    char now[16], first[16], end[16];
    const double *mean = forecast->mean;
    size_t n_targets = (size_t)forecast->n_targets;

    append(buffer, size, used, "%s %s", forecast->targets[at],
           run_format_number(forecast->values[at], now, sizeof now));
    if (forecast->horizon > 0) {
        append(buffer, size, used, " -> %s", run_format_number(mean[at], first, sizeof first));
        append_interval(forecast, at, buffer, size, used);
    }
    if (forecast->horizon > 1) {
        size_t last = (size_t)(forecast->horizon - 1) * n_targets + at;
        append(buffer, size, used, " .. %s", run_format_number(mean[last], end, sizeof end));
        append_interval(forecast, last, buffer, size, used);
        append(buffer, size, used, " (+%d)", forecast->horizon);
    }
}

/* The first numbers of each raw output; of several steps those of the last one. */
static void append_outputs(const struct forecast *forecast, char *buffer, size_t size, size_t *used) {
    enum { SHOWN = 8 };
    char number[16];

    for (int o = 0; o < forecast->n_outputs; o++) {
        const struct forecast_output *output = &forecast->outputs[o];
        const float *at = output->at;
        if (output->steps > 1)
            at += (size_t)(output->steps - 1) * (size_t)output->width;
        append(buffer, size, used, "%s[", o > 0 ? " " : "");
        for (int j = 0; j < output->width && j < SHOWN; j++)
            append(buffer, size, used, "%s%s", j > 0 ? " " : "",
                   run_format_number((double)at[j], number, sizeof number));
        append(buffer, size, used, "%s]", output->width > SHOWN ? " ..." : "");
    }
}

/* The expert that contributes the most but for `before` and those before it (-1: none); -1: there is none left. */
static int next_share(const struct forecast *forecast, int before) {
    int next = -1;
    for (int i = 0; i < forecast->n_shares; i++) {
        double share = forecast->shares[i].share;
        bool left = before < 0 || share < forecast->shares[before].share ||
                    (share == forecast->shares[before].share && i > before);
        if (left && (next < 0 || share > forecast->shares[next].share))
            next = i;
    }
    return next;
}

/* Who made it: the experts that contributed the most, most at most, none below a twentieth but the first. */
static void append_source(const struct forecast *forecast, int most, char *buffer, size_t size, size_t *used) {
    int from = next_share(forecast, -1);

    if (from < 0 && forecast->source == FORECAST_SOURCE_NETWORK)
        append(buffer, size, used, "network v%llu", (unsigned long long)forecast->version);
    else if (from < 0)
        append(buffer, size, used, "baseline (%s)",
               forecast->baseline == FORECAST_BASELINE_LABELS     ? "shares of the labels"
               : forecast->baseline == FORECAST_BASELINE_SEASONAL ? "seasonal"
                                                                  : "last value");
    for (int n = 0; n < most && from >= 0; n++, from = next_share(forecast, from)) {
        const struct forecast_share *share = &forecast->shares[from];
        if (n > 0 && share->share < 0.05)
            break;
        append(buffer, size, used, "%s%s", n > 0 ? " + " : "", share->expert);
        if (strcmp(share->expert, "network") == 0)
            append(buffer, size, used, " v%llu", (unsigned long long)forecast->version);
        if (share->share < 0.995)
            append(buffer, size, used, " %.0f%%", 100 * share->share);
    }
}

size_t view_line(const struct forecast *forecast, int target, char *buffer, size_t size) {
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {{FORECAST_FLAG_GAP, "gap"},
                 {FORECAST_FLAG_MISSING, "missing"},
                 {FORECAST_FLAG_WARMING, "warming"},
                 {FORECAST_FLAG_LAST, "last"},
                 {FORECAST_FLAG_CAPPED, "capped"},
                 {FORECAST_FLAG_PAUSED, "paused"},
                 {FORECAST_FLAG_AGGREGATED, "aggregated"},
                 {FORECAST_FLAG_FILLED, "filled"},
                 {FORECAST_FLAG_REPLACED, "replaced"},
                 {FORECAST_FLAG_REORDERED, "reordered"},
                 {FORECAST_FLAG_CLOCK, "clock"}};
    char time[32];
    size_t used = 0;
    double mae, last_value;

    append(buffer, size, &used, "%s  %s  %s ", run_format_time(forecast->t, time, sizeof time), forecast->stream,
           forecast->model);
    append_source(forecast, 3, buffer, size, &used);
    append(buffer, size, &used, "  step %llu  ", (unsigned long long)forecast->step);
    if (target >= 0)
        append_target(forecast, (size_t)target, buffer, size, &used);
    else
        append_outputs(forecast, buffer, size, &used);
    mean_errors(forecast, &mae, &last_value);
    if (!isnan(mae))
        append(buffer, size, &used, "  mae %.3f, of last value %.3f", mae, last_value);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (forecast->flags & flags[i].flag)
            append(buffer, size, &used, "  [%s]", flags[i].name);
    return used;
}

/* ---- sparklines --------------------------------------------------------------------------- */

int view_sparkline(const double *values, int n, int width, double low, double high, bool utf8, char *buffer,
                   size_t size) {
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const marks[] = {"_", ".", ",", "-", "=", "+", "*", "#"};
    size_t used = 0;
    int from = n > width ? n - width : 0;

    buffer[0] = '\0';
    for (int i = from; i < n; i++) {
        const char *mark = " ";

        if (!isnan(values[i])) {
            double share = high > low ? (values[i] - low) / (high - low) : 0.5;
            int level = (int)(fmax(0, fmin(share, 1)) * 7.999);

            mark = (utf8 ? blocks : marks)[level];
        }
        append(buffer, size, &used, "%s", mark);
    }
    return n - from;
}

int view_resample(const double *values, int n, int width, double *ret_values) {
    int buckets = n < width ? n : width;

    for (int b = 0; b < buckets; b++) {
        double sum = 0;
        int from = (int)((long)b * n / buckets), to = (int)((long)(b + 1) * n / buckets), there = 0;

        for (int i = from; i < to; i++)
            if (!isnan(values[i])) {
                sum += values[i];
                there++;
            }
        ret_values[b] = there ? sum / there : NAN;
    }
    return buckets;
}

/* ---- the table ---------------------------------------------------------------------------- */

static void free_row(struct view_row *row) {
    if (!row)
        return;
    free(row->stream);
    free(row->model);
    free(row->target);
    free(row);
}

void view_table_fini(struct view_table *table) {
    for (size_t i = 0; i < table->n; i++)
        free_row(table->rows[i]);
    free(table->rows);
    *table = (struct view_table){0};
}

static int compare(const struct view_row *row, const struct forecast *forecast) {
    int order = strcmp(row->stream, forecast->stream);

    return order ? order : strcmp(row->model, forecast->model);
}

/* A row for this forecast at index i, or NULL when there is no room. */
static struct view_row *insert(struct view_table *table, size_t i, const struct forecast *forecast, int target) {
    if (table->n == VIEW_MAX_ROWS)
        return NULL;
    if (table->n == table->size) {
        size_t size = table->size ? 2 * table->size : 64;
        struct view_row **grown = realloc(table->rows, size * sizeof *grown);

        if (!grown)
            return NULL;
        table->rows = grown;
        table->size = size;
    }
    struct view_row *row = calloc(1, sizeof *row);
    if (!row)
        return NULL;
    row->stream = strdup(forecast->stream);
    row->model = strdup(forecast->model);
    row->target = strdup(forecast->targets[target]);
    if (!row->stream || !row->model || !row->target) {
        free_row(row);
        return NULL;
    }
    memmove(table->rows + i + 1, table->rows + i, (table->n - i) * sizeof(struct view_row *));
    table->rows[i] = row;
    table->n++;
    return row;
}

static void take_path(struct view_row *row, const struct forecast *forecast, int target) {
    double column[4 * VIEW_PATH];
    int n = forecast->horizon < 4 * VIEW_PATH ? forecast->horizon : 4 * VIEW_PATH;

    for (int h = 0; h < n; h++)
        column[h] = forecast->mean[h * forecast->n_targets + target];
    row->n_path = view_resample(column, n, VIEW_PATH, row->path);
    row->horizon = forecast->horizon;
    row->lower = row->upper = NAN;
    if (forecast->n_intervals == 0 || forecast->horizon == 0)
        return;
    const struct forecast_interval *widest = &forecast->intervals[forecast->n_intervals - 1];
    size_t end = (size_t)(forecast->horizon - 1) * (size_t)forecast->n_targets + (size_t)target;
    row->lower = widest->lower[end];
    row->upper = widest->upper[end];
}

void view_table_take(struct view_table *table, const struct forecast *forecast) {
    size_t low = 0, high = table->n;
    int target = view_target(forecast, table->target);
    double mae, last_value;

    if (target < 0)
        return;
    while (low < high) {
        size_t middle = (low + high) / 2;

        if (compare(table->rows[middle], forecast) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool known = low < table->n && compare(table->rows[low], forecast) == 0;
    struct view_row *row = known ? table->rows[low] : insert(table, low, forecast, target);
    if (!row) {
        table->left_out++;
        return;
    }
    /* Sent again, to everybody, because somebody subscribed. */
    if (known && row->epoch == forecast->epoch && row->generation == forecast->generation &&
        forecast->step <= row->step)
        return;
    table->forecasts++;
    if (row->n_recent == VIEW_RECENT) {
        memmove(row->recent, row->recent + 1, sizeof row->recent - sizeof row->recent[0]);
        row->n_recent--;
    }
    row->recent[row->n_recent++] = forecast->values[target];
    take_path(row, forecast, target);
    mean_errors(forecast, &mae, &last_value);
    row->ratio = last_value > 0 ? mae / last_value : NAN;
    row->version = forecast->version;
    row->epoch = forecast->epoch;
    row->step = forecast->step;
    row->generation = forecast->generation;
    row->flags = forecast->flags;
    size_t used = 0;
    append_source(forecast, 1, row->source, sizeof row->source, &used);
}

bool view_row_range(const struct view_row *row, int width, double *ret_low, double *ret_high) {
    int from = row->n_recent > width ? row->n_recent - width : 0;
    double low = INFINITY, high = -INFINITY;

    for (int i = from; i < row->n_recent; i++) { /* fmin and fmax pass over NaN */
        low = fmin(low, row->recent[i]);
        high = fmax(high, row->recent[i]);
    }
    for (int i = 0; i < row->n_path; i++) {
        low = fmin(low, row->path[i]);
        high = fmax(high, row->path[i]);
    }
    if (low > high)
        return false;
    *ret_low = low;
    *ret_high = high;
    return true;
}

void view_model_line(const char *model, long long version, const char *source, const char *training,
                     const char *reason, char *buffer, size_t size) {
    size_t used = 0;

    append(buffer, size, &used, "%s: %s", model, *source ? source : "?");
    if (version > 0)
        append(buffer, size, &used, " v%lld", version);
    if (*training)
        append(buffer, size, &used, ", %s", training);
    if (*reason)
        append(buffer, size, &used, "; %s", reason);
}
