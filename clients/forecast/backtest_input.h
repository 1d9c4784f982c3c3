/*
 * What forecast backtest and forecast train work on: CSV files, and a model: of a configuration, or where none is
 * named one that is chosen by the files (backtest_default). One owner; blocks while files do.
 */
#ifndef FORECAST_BACKTEST_INPUT_H
#define FORECAST_BACKTEST_INPUT_H

#include "clients/forecast/backtest_data.h"
#include "clients/forecast/backtest_default.h"

/* As options say it. */
struct backtest_source {
    const char *config, *model; /* a file, and a name; NULL: not said */
    struct backtest_columns columns;
};

/* The columns' rows of a table of options. */
#define BACKTEST_COLUMN_OPTIONS(columns) \
    OPTION_ROW("stream", 's', OPTION_TEXT, "NAME", \
               "of one file: its stream (default: the file's name, without its ending)", &(columns).rows.stream, 0, \
               0), \
        OPTION_ROW("columns", 0, OPTION_TEXT, "LIST", \
                   "COLUMN or FEATURE=COLUMN, divided by commas (default: the features of the model's\nclass, or " \
                   "all columns with numbers)", \
                   &(columns).spec, 0, 0), \
        ROWS_OPTIONS((columns).rows)

/* Whether the options go together, with so many files. Returns -1 to go on, else what to exit with, after the
 * sentence. */
int backtest_source_check(const struct option_command *command, const struct backtest_source *source, int n_paths);

struct backtest_input {
    struct config *config;
    struct config_model model; /* a copy, for the command to change */
    struct backtest_data data;
    struct backtest_default choice; /* text NULL: the configuration is a file's */
};

/* By all zero it holds nothing. Those that return int return 0, or -1 with the sentence in err. */
void backtest_input_fini(struct backtest_input *input);

/* The named configuration, and its model; called before backtest_input_load, whose columns are then those of the
 * model's class. */
int backtest_input_configure(struct backtest_input *input, const struct backtest_source *source, struct error *err);

/* Reads the files; notices: as backtest_data_load. */
int backtest_input_load(struct backtest_input *input, char *const *paths, int n_paths,
                        const struct backtest_source *source, FILE *notices, struct error *err);

/* The steps of the shortest stream. */
uint64_t backtest_input_least_steps(const struct backtest_input *input);

/* Without a configuration: chooses one by the files. choice: what backtest_default_choose is given. */
int backtest_input_choose(struct backtest_input *input, const struct backtest_default *choice, struct error *err);

#endif
