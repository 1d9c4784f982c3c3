#include "clients/forecast/train_run.h"

#include "clients/forecast/run.h"
#include "engine/lane.h"
#include "engine/series.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- windows -------------------------------------------------------------------------------- */

/* All steps of the stream, and its scalers behind the last one. NULL without memory. */
static struct series *take_steps(const struct config_class *class, const struct backtest_stream *stream, int kept,
                                 struct lane *lane) {
    struct series *series = series_new(&class->time, class->n_features, kept, class->pending);
    enum time_verdict verdict;
    lane_clear(lane, 0);
    for (size_t i = 0; series != NULL && i < stream->n; i++) {
        const double *values = stream->values + i * (size_t) class->n_features;
        bool closed = series_take(series, stream->t[i], values, &verdict) == 1;
        for (; closed || series_next(series); closed = false)
            lane_update_scalers(lane, 0, series->history, series->history->n);
    }
    return series;
}

static int add_stream(struct windows *windows, const struct config_class *class, const struct config_model *model,
                      const struct backtest_stream *stream, int kept) {
    struct windows_cursor cursor;
    struct lane *lane = lane_new(1, class->n_features, NULL);
    struct series *series = lane != NULL ? take_steps(class, stream, kept, lane) : NULL;
    if (series != NULL && windows_begin(&cursor, model, stream->name, series->history, series->history->n))
        while (windows_copy(windows, &cursor, series->history, lane_scalers(lane, 0)))
            ;
    int failed = series == NULL ? -1 : 0;
    series_free(series);
    lane_free(lane);
    return failed;
}

/* NULL with the sentence in err. */
static struct windows *collect(const struct config_class *class, const struct config_model *model,
                               const struct backtest_data *data, struct error *err) {
    uint64_t most = 1, least = windows_fewest_steps(model);
    for (int i = 0; i < data->n_streams; i++) {
        uint64_t steps = backtest_stream_steps(&data->streams[i], &class->time);
        most = steps > most ? steps : most;
    }
    if (most < least || most > 1u << 24) {
        error_set(err, "model %s: the longest file makes %llu step%s, and training takes from %llu to %d",
                  model->name, (unsigned long long)most, most == 1 ? "" : "s", (unsigned long long)least, 1 << 24);
        return NULL;
    }
    struct windows *windows = windows_new(model, model->training.max_windows, data->n_streams, (int)most);
    for (int i = 0; windows != NULL && i < data->n_streams; i++)
        if (add_stream(windows, class, model, &data->streams[i], (int)most) != 0) {
            windows_free(windows);
            windows = NULL;
        }
    if (windows == NULL)
        error_set(err, "model %s: out of memory", model->name);
    return windows;
}

/* ---- the job -------------------------------------------------------------------------------- */

struct watched {
    struct train_result *result;
    int64_t began, shown; /* ns */
    bool terminal, out_of_memory;
};

static bool stop(void *context) {
    const struct watched *watched = context;
    return run_stopped() || watched->out_of_memory;
}

static void note_epoch(struct watched *watched, const struct training_progress *progress) {
    struct train_result *result = watched->result;
    if (result->n_epochs == result->size) {
        int size = result->size > 0 ? 2 * result->size : 64;
        struct train_epoch *epochs = realloc(result->epochs, (size_t)size * sizeof *epochs);
        if (epochs == NULL) {
            watched->out_of_memory = true;
            return;
        }
        result->epochs = epochs;
        result->size = size;
    }
    result->epochs[result->n_epochs++] = (struct train_epoch){progress->loss, progress->validation};
}

enum { BAR = 24, SHOW_EVERY_MS = 100 };

static void show(struct watched *watched, const struct training_progress *progress, int64_t now) {
    double seconds = 1e-9 * (double)(now - watched->began), rate = (double)progress->steps / fmax(seconds, 1e-9);
    double share = fmin(1, (double)progress->steps / (double)progress->steps_in_all);
    char loss[16], validation[16], bar[BAR + 1];
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(share * BAR) ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3.0f%%  epoch %d of %d  loss %s", bar, 100 * share,
            progress->epoch < progress->epochs ? progress->epoch + 1 : progress->epoch, progress->epochs,
            run_format_number(progress->loss, loss, sizeof loss));
    if (!isnan(progress->validation))
        fprintf(stderr, ", validation %s", run_format_number(progress->validation, validation, sizeof validation));
    fprintf(stderr, "  %.0f steps/s, %.0f s left", rate,
            (double)(progress->steps_in_all - progress->steps) / fmax(rate, 1e-9));
    fflush(stderr);
}

static void tell(void *context, const struct training_progress *progress) {
    struct watched *watched = context;
    int64_t now = run_monotonic();
    if (progress->epoch > watched->result->n_epochs)
        note_epoch(watched, progress);
    if (!watched->terminal || now - watched->shown < SHOW_EVERY_MS * (RUN_NS / 1000))
        return;
    watched->shown = now;
    show(watched, progress, now);
}

int train_run(const struct config_class *class, const struct config_model *model, const struct backtest_data *data,
              struct train_result *result, struct error *err) {
    *result = (struct train_result){0};
    struct windows *windows = collect(class, model, data, err);
    struct network *start = NULL;
    if (windows == NULL)
        return -1;
    if (model->keras != NULL && (start = training_network(model, err)) == NULL) {
        windows_free(windows);
        return -1;
    }
    struct watched watched = {.result = result, .began = run_monotonic(), .terminal = isatty(STDERR_FILENO)};
    const struct training_watch watch = {.stop = stop, .progress = tell, .context = &watched, .keep = true};
    int failed = training_run(model, kernels_choose(), &windows, 1, start, &watch, &result->outcome, err);
    result->took = run_monotonic() - watched.began;
    if (watched.terminal)
        fputs("\r\033[K", stderr);
    if (!failed && result->outcome.challenger == NULL)
        failed = error_set(err, "model %s: no step of the files has an answer to learn from", model->name);
    network_free(start);
    windows_free(windows);
    return failed;
}

void train_result_fini(struct train_result *result) {
    training_outcome_fini(&result->outcome);
    free(result->epochs);
    *result = (struct train_result){0};
}
