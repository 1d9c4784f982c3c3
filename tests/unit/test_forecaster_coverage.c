/* The intervals of what the forecaster really publishes, on real series: how many answers they hold. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/rows.h"
#include "engine/forecaster.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA "../shared/data/"

enum { HORIZON = 24, FEW_ANSWERS = 1000, MANY_ANSWERS = 10000, BETWEEN = 6 };

struct series_file {
    const char *path;
    int period;
};

static const struct series_file files[] = {
    {DATA "ETTh1.csv", 24},
    {DATA "vix-daily.csv", 0},
    {DATA "seattle-weather.csv", 0},
    {DATA "nab/nyc_taxi.csv", 48},
    {DATA "nab/ambient_temperature_system_failure.csv", 24},
    {DATA "nab/ec2_request_latency_system_failure.csv", 0},
    {DATA "nab/realTraffic/TravelTime_387.csv", 0},
    {DATA "nab/realTraffic/TravelTime_451.csv", 0},
    {DATA "nab/realTraffic/occupancy_6005.csv", 0},
    {DATA "nab/realTraffic/occupancy_t4013.csv", 0},
    {DATA "nab/realTraffic/speed_6005.csv", 0},
    {DATA "nab/realTraffic/speed_7578.csv", 0},
    {DATA "nab/realTraffic/speed_t4013.csv", 0},
};

/* Answers that came h steps behind a forecast, and those that its intervals held, over all targets. */
struct tally {
    int h, steps, n, held[2];
};

static void check_tally(const char *path, const struct config_model *model, const struct tally *tally) {
    if (tally->steps != FEW_ANSWERS && tally->steps != MANY_ANSWERS)
        return;
    /* Between scored steps an interval is as good as the line between theirs. */
    double bound = tally->h == BETWEEN ? 0.03 : tally->steps == FEW_ANSWERS ? 0.02 : 0.01;
    for (int l = 0; l < model->n_levels; l++) {
        double share = (double)tally->held[l] / tally->n;
        if (fabs(share - model->levels[l] / 100) > bound)
            fail_msg("%s, %d ahead: %.4f of the first %d answers held at %g %%", path, tally->h, share, tally->steps,
                     model->levels[l]);
    }
}

/* What was said of the step just closed, h steps before: kept [HORIZON][levels x 2 x horizon x targets], a ring. */
static void tally_answers(struct tally *tally, const struct config_model *model, const double *values,
                          const double *said) {
    size_t n_values = (size_t)(HORIZON * model->n_targets), levels = (size_t)model->n_levels * n_values;
    for (int j = 0; j < model->n_targets; j++) {
        size_t at = (size_t)((tally->h - 1) * model->n_targets + j);
        if (isnan(values[j]) || isnan(said[at]))
            continue;
        tally->n++;
        for (int l = 0; l < model->n_levels; l++) {
            double lower = said[(size_t)l * n_values + at], upper = said[levels + (size_t)l * n_values + at];
            assert_true(lower <= upper);
            tally->held[l] += lower <= values[j] && values[j] <= upper;
        }
    }
    tally->steps++;
}

static void cover(const struct series_file *file, int n_features, const struct row_store *rows) {
    struct fixture fixture;
    fixture_init(&fixture, n_features);
    fixture.class.history = 512;
    struct config_model *model = &fixture.model;
    model->horizon = HORIZON;
    model->n_targets = n_features;
    for (int f = 0; f < n_features; f++)
        fixture.targets[f] = f;
    model->period = file->period;
    model->combine = COMBINE_ONLINE;
    model->batch_size = 1;
    struct history *history = history_new(n_features, fixture.class.history, 1);
    struct forecaster *forecaster = forecaster_new(&fixture.class, model, kernels_choose());
    forecaster_acquire(forecaster, 0, history);
    size_t each = 2 * (size_t)(model->n_levels * HORIZON * n_features);
    double *said = calloc(HORIZON * each, sizeof *said);
    assert_non_null(said);
    struct tally tallies[] = {{.h = 1}, {.h = 2}, {.h = 4}, {.h = BETWEEN}, {.h = 16}, {.h = HORIZON}};
    for (size_t row = 0; row < rows->n; row++) {
        const double *values = rows->values + row * (size_t)rows->n_values;
        const int slot = 0;
        history_append(history, (int64_t)row, values, 0);
        forecaster_advance(forecaster, &slot, 1);
        for (size_t i = 0; i < sizeof tallies / sizeof *tallies; i++) {
            if (row < (size_t)tallies[i].h)
                continue;
            tally_answers(&tallies[i], model, values, said + (row - (size_t)tallies[i].h) % HORIZON * each);
            check_tally(file->path, model, &tallies[i]);
        }
        double *here = said + row % HORIZON * each;
        forecast_intervals(model, forecaster_latest(forecaster, 0), here, here + each / 2);
    }
    free(said);
    forecaster_free(forecaster);
    history_free(history);
}

static void real_series(void **state) {
    (void)state;
    if (access(DATA, R_OK) != 0) {
        print_message("no " DATA ": coverage on real series is not tested\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct rows rows;
        const struct rows_options options = {.path = files[i].path, .delimiter = ','};
        struct row_store store;
        if (rows_open(&rows, &options) != 0 || rows_choose(&rows, NULL, NULL, 0) != 0 ||
            row_store_load(&store, &rows) != 0)
            fail_msg("%s", rows.error);
        cover(&files[i], store.n_values, &store);
        row_store_fini(&store);
        rows_close(&rows);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
