#include "clients/forecast/backtest_report.h"

#include "clients/forecast/table.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* ---- for people ------------------------------------------------------------------------------ */

static void cell_number(struct table *table, double x) {
    char text[32];
    double magnitude = fabs(x);
    if (isnan(x))
        snprintf(text, sizeof text, "-");
    else if (magnitude == 0 || (magnitude >= 1e-3 && magnitude < 1e5))
        snprintf(text, sizeof text, "%.*f", magnitude >= 1000 ? 1 : magnitude >= 10 ? 2 : 4, x);
    else
        snprintf(text, sizeof text, "%.2e", x);
    table_cell(table, text);
}

static void put_head(struct table *table, const struct config_model *model) {
    static const char *const heads[] = {"h", "forecast", "mse", "mae", "mase", "raw mae"};
    char text[32];
    table->n_columns = 6 + 2 * model->n_levels;
    for (int c = 0; c < 6; c++)
        table_cell(table, heads[c]);
    for (int l = 0; l < model->n_levels; l++) {
        snprintf(text, sizeof text, "in %g %%", model->levels[l]);
        table_cell(table, text);
        table_cell(table, "width");
    }
    for (int c = 0; c < table->n_columns; c++)
        table->right[c] = c != 1;
}

static void put_row(struct table *table, const struct config_model *model, int h, const char *name,
                    const struct backtest_errors *errors, bool intervals) {
    char text[32] = "";
    if (h > 0)
        snprintf(text, sizeof text, "%d", h);
    table_cell(table, text);
    table_cell(table, name);
    cell_number(table, errors->mse);
    cell_number(table, errors->mae);
    cell_number(table, errors->mase);
    cell_number(table, errors->raw_mae);
    for (int l = 0; l < model->n_levels; l++) {
        snprintf(text, sizeof text, "%.1f", 100 * errors->coverage[l]);
        table_cell(table, intervals ? (isnan(errors->coverage[l]) ? "-" : text) : "");
        if (intervals)
            cell_number(table, errors->width[l]);
        else
            table_cell(table, "");
    }
}

static void put_training(const struct backtest_decision *decision, FILE *out) {
    if (decision->failed) {
        fprintf(out, "the training failed: %s\n", decision->text);
        return;
    }
    if (decision->decision == PROMOTION_NO_WINDOWS) {
        fprintf(out, "nothing could be trained: %s\n", promotion_sentence(decision->decision));
        return;
    }
    fprintf(out, "trained on %d windows in %.1f s: loss %.4g, best baseline %.4g", decision->windows,
            decision->seconds, decision->loss, decision->baseline_loss);
    if (!isnan(decision->other_loss))
        fprintf(out, ", version before %.4g", decision->other_loss);
    if (decision->shadow || decision->held)
        fprintf(out, ": better, %s\n", decision->held ? "waits for a person" : "has to show it live");
    else
        fprintf(out, ": %s\n", promotion_name(decision->decision));
}

static void put_decisions(const struct backtest_result *result, FILE *out) {
    for (int i = 0; i < result->n_decisions; i++) {
        const struct backtest_decision *decision = &result->decisions[i];
        fprintf(out, "step %llu: ", (unsigned long long)decision->step);
        if (decision->live)
            fprintf(out,
                    "live, the error of the version in the shadow is %.4g, that of the one that served %.4g: %s\n",
                    decision->loss, decision->other_loss, promotion_name(decision->decision));
        else
            put_training(decision, out);
    }
}

/* Targets whose errors mean less than they seem to. */
static void put_odd_targets(const struct backtest_setup *setup, const struct backtest_result *result, FILE *out) {
    for (int j = 0; j < setup->model->n_targets; j++) {
        const char *name = setup->class->features[setup->model->targets[j]];
        struct backtest_errors errors = backtest_scores_of(result->scores, 0, -1, j);
        if (errors.n == 0)
            fprintf(out, "%s: no forecast has an answer that was observed\n", name);
        else if (isnan(errors.mase))
            fprintf(out, "%s: it never changes in the train part, its errors are in its own unit\n", name);
    }
}

void backtest_report_text(const struct backtest_setup *setup, const struct backtest_result *result, FILE *out) {
    struct table table = {0};
    put_head(&table, setup->model);
    for (int i = 0; i < setup->n_horizons; i++) {
        struct backtest_errors errors = backtest_scores_of(result->scores, i, -1, -1);
        put_row(&table, setup->model, setup->horizons[i], "published", &errors, true);
        for (int e = 0; e < EXPERT_COUNT; e++) {
            if (!backtest_scores_spoke(result->scores, e))
                continue;
            errors = backtest_scores_of(result->scores, i, e, -1);
            put_row(&table, setup->model, 0, expert_name((enum expert)e), &errors, false);
        }
    }
    put_decisions(result, out);
    table_print(&table, out);
    table_fini(&table);
    put_odd_targets(setup, result, out);
    fprintf(out,
            "Means over all answers 1 to h steps ahead; mse and mae in deviations of the train part.\n"
            "%llu steps in %.1f s",
            (unsigned long long)result->steps, result->seconds);
    if (result->refused > 0)
        fprintf(out, "; rows left out, as they were not later than the one before: %llu",
                (unsigned long long)result->refused);
    if (result->not_finite > 0)
        fprintf(out, "; at %llu steps the network's output was not finite", (unsigned long long)result->not_finite);
    fputs(result->stopped ? "; stopped before the end\n" : "\n", out);
}

/* ---- for programs ---------------------------------------------------------------------------- */

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *levels(const struct config_model *model, const double *values, bool intervals) {
    json_t *map = json_object();
    for (int l = 0; l < model->n_levels; l++) {
        char name[32];
        snprintf(name, sizeof name, "%g", model->levels[l]);
        json_object_set_new(map, name, intervals ? number(values[l]) : json_null());
    }
    return map;
}

static json_t *errors_map(const struct config_model *model, const struct backtest_result *result, int horizon,
                          int who, int target) {
    struct backtest_errors errors = backtest_scores_of(result->scores, horizon, who, target);
    bool intervals = who < 0; /* only what is published has them */
    json_t *map = json_object();
    json_object_set_new(map, "mse", number(errors.mse));
    json_object_set_new(map, "mae", number(errors.mae));
    json_object_set_new(map, "mase", number(errors.mase));
    json_object_set_new(map, "raw_mae", number(errors.raw_mae));
    json_object_set_new(map, "coverage", levels(model, errors.coverage, intervals));
    json_object_set_new(map, "width", levels(model, errors.width, intervals));
    return map;
}

static json_t *horizon_map(const struct backtest_setup *setup, const struct backtest_result *result, int i) {
    json_t *map = json_object(), *experts = json_object(), *targets = json_object();
    json_object_set_new(map, "h", json_integer(setup->horizons[i]));
    json_object_set_new(map, "published", errors_map(setup->model, result, i, -1, -1));
    for (int e = 0; e < EXPERT_COUNT; e++)
        if (backtest_scores_spoke(result->scores, e))
            json_object_set_new(experts, expert_name((enum expert)e), errors_map(setup->model, result, i, e, -1));
    json_object_set_new(map, "experts", experts);
    for (int j = 0; j < setup->model->n_targets; j++)
        json_object_set_new(targets, setup->class->features[setup->model->targets[j]],
                            errors_map(setup->model, result, i, -1, j));
    json_object_set_new(map, "targets", targets);
    return map;
}

int backtest_report_json(const struct backtest_setup *setup, const struct backtest_result *result, FILE *out) {
    json_t *horizons = json_array();
    for (int i = 0; i < setup->n_horizons; i++)
        json_array_append_new(horizons, horizon_map(setup, result, i));
    json_t *all = json_pack("{s:o}", "horizons", horizons);
    int failed = all == NULL ? -1 : json_dumpf(all, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref(all);
    return failed;
}
