#include "clients/forecast/ctl.h"
#include "clients/forecast/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void number_cell(struct table *table, const char *format, const json_t *value) {
    char text[32] = "-";
    if (json_is_number(value))
        snprintf(text, sizeof text, format, json_number_value(value));
    table_cell(table, text);
}

/* Coverage in percent, by level: "79.8 94.9". */
static void coverage_cell(struct table *table, const json_t *shares) {
    char text[128] = "";
    size_t used = 0, i;
    const json_t *share;
    json_array_foreach((json_t *)shares, i, share) {
        if (json_is_number(share) && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%.1f", i > 0 ? " " : "",
                                     100 * json_number_value(share));
    }
    table_cell(table, used > 0 ? text : "-");
}

/* The rows of one target, or of all: for each step ahead what is recent. */
static void add_scores(struct table *table, const char *target, const json_t *scores) {
    size_t i;
    const json_t *score;
    json_array_foreach((json_t *)scores, i, score) {
        const json_t *recent = json_object_get(score, "recent"), *all = json_object_get(score, "all");
        table_cell(table, i == 0 ? target : "");
        number_cell(table, "%.0f", json_object_get(score, "h"));
        number_cell(table, "%.0f", json_object_get(score, "n"));
        number_cell(table, "%.4g", json_object_get(recent, "mae"));
        number_cell(table, "%.4g", json_object_get(all, "mae"));
        number_cell(table, "%.4g", json_object_get(recent, "rmse"));
        number_cell(table, "%.3g", json_object_get(recent, "mase"));
        number_cell(table, "%.3f", json_object_get(recent, "skill_last_value"));
        number_cell(table, "%.3f", json_object_get(recent, "skill_seasonal"));
        number_cell(table, "%.4g", json_object_get(recent, "pinball"));
        coverage_cell(table, json_object_get(recent, "coverage"));
    }
}

/* Of an event: what its probabilities were worth, by the labels that have come. */
static void print_labels(const json_t *reply, const json_t *labels) {
    static const char *const heads[] = {"LABELS", "ACCURACY", "OVER ALL", "BRIER", "OVER ALL"};
    const json_t *recent = json_object_get(labels, "recent"), *all = json_object_get(labels, "all");
    struct table table = {.n_columns = (int)(sizeof heads / sizeof *heads)};
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) {
        table.right[k] = true;
        table_cell(&table, heads[k]);
    }
    number_cell(&table, "%.0f", json_object_get(labels, "n"));
    number_cell(&table, "%.3f", json_object_get(recent, "accuracy"));
    number_cell(&table, "%.3f", json_object_get(all, "accuracy"));
    number_cell(&table, "%.4g", json_object_get(recent, "brier"));
    number_cell(&table, "%.4g", json_object_get(all, "brier"));
    printf("model %s, step %" JSON_INTEGER_FORMAT "; how likely the labels were said to be\n",
           json_string_value(json_object_get(reply, "model")), json_integer_value(json_object_get(reply, "step")));
    table_print(&table, stdout);
    table_fini(&table);
}

void ctl_print_scores(const json_t *reply) {
    static const char *const heads[] = {"TARGET", "H",     "ANSWERS",  "MAE",     "OVER ALL", "RMSE",
                                        "MASE",   "SKILL", "SEASONAL", "PINBALL", "COVERAGE"};
    struct table table = {.n_columns = (int)(sizeof heads / sizeof *heads)};
    const char *target;
    const json_t *scores;
    char levels[64] = "";
    size_t used = 0, i;
    const json_t *level;
    if (json_object_get(reply, "labels") != NULL) {
        print_labels(reply, json_object_get(reply, "labels"));
        return;
    }
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) {
        table.right[k] = k > 0;
        table_cell(&table, heads[k]);
    }
    if (json_object_size(json_object_get(reply, "targets")) != 1)
        add_scores(&table, "all", json_object_get(reply, "scores"));
    json_object_foreach(json_object_get(reply, "targets"), target, scores) add_scores(&table, target, scores);
    printf("model %s, step %" JSON_INTEGER_FORMAT "; errors in units of each target's deviation\n",
           json_string_value(json_object_get(reply, "model")), json_integer_value(json_object_get(reply, "step")));
    table_print(&table, stdout);
    json_array_foreach(json_object_get(reply, "levels"), i, level) {
        if (used < sizeof levels)
            used += (size_t)snprintf(levels + used, sizeof levels - used, "%s%g", i > 0 ? " " : "",
                                     json_number_value(level));
    }
    if (used > 0)
        printf("coverage: %% of the answers in the intervals of %s %%\n", levels);
    table_fini(&table);
}
