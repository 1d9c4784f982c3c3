#include "clients/forecast/backtest_input.h"

#include <stdlib.h>
#include <string.h>

int backtest_source_check(const struct option_command *command, const struct backtest_source *source, int n_paths) {
    const struct rows_options *rows = &source->columns.rows;
    if (source->model != NULL && source->config == NULL)
        return options_wrong(command, "--model is one of a configuration; --config names that");
    if (rows->stream != NULL && rows->stream_column != NULL)
        return options_wrong(command, "--stream and --stream-column exclude each other");
    if (rows->stream != NULL && n_paths > 1)
        return options_wrong(command, "--stream goes with one file");
    return -1;
}

void backtest_input_fini(struct backtest_input *input) {
    backtest_data_fini(&input->data);
    config_free(input->config);
    free(input->choice.text);
    *input = (struct backtest_input){0};
}

int backtest_input_configure(struct backtest_input *input, const struct backtest_source *source, struct error *err) {
    if (config_load(source->config, &input->config, err) != 0)
        return -1;
    const struct config_model *model =
        source->model != NULL ? config_find_model(input->config, source->model) : &input->config->models[0];
    if (model == NULL)
        return error_set(err, "%s has no model \"%s\"", source->config, source->model);
    input->model = *model;
    return 0;
}

int backtest_input_load(struct backtest_input *input, char *const *paths, int n_paths,
                        const struct backtest_source *source, FILE *notices, struct error *err) {
    const struct config_class *class = input->config != NULL ? &input->config->classes[input->model.class] : NULL;
    return backtest_data_load(&input->data, paths, n_paths, &source->columns,
                              class != NULL ? (const char *const *)class->features : NULL,
                              class != NULL ? class->n_features : 0, notices, err);
}

uint64_t backtest_input_least_steps(const struct backtest_input *input) {
    static const struct time_policy_spec irregular = {0};
    const struct time_policy_spec *time =
        input->config != NULL ? &input->config->classes[input->model.class].time : &irregular;
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < input->data.n_streams; i++) {
        uint64_t steps = backtest_stream_steps(&input->data.streams[i], time);
        least = steps < least ? steps : least;
    }
    return least;
}

int backtest_input_choose(struct backtest_input *input, const struct backtest_default *choice, struct error *err) {
    input->choice = *choice;
    if (backtest_default_choose(&input->data, &input->choice, err) != 0)
        return -1;
    const char *text = input->choice.text;
    if (config_parse("the default model", (const uint8_t *)text, strlen(text), &input->config, err) != 0)
        return error_prefix(err, "%s", input->data.streams[0].path);
    input->model = input->config->models[0];
    return 0;
}
