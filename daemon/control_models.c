/* Commands on models. */
#include "daemon/control_internal.h"

#include "engine/own.h"

#include <stdlib.h>
#include <string.h>

int control_model_of(const struct control *control, const json_t *request, json_t **ret_failure) {
    const struct config *config = control->setup.config;
    const char *name = control_text(request, "model");
    const struct config_model *model = name != NULL ? config_find_model(config, name) : NULL;
    if (model != NULL)
        return (int)(model - config->models);
    *ret_failure = name == NULL ? control_failure("argument", "the command needs a model")
                                : control_failure("unknown_model", "no such model");
    return -1;
}

struct version *control_version_of(const struct control *control, int model, json_t **ret_failure) {
    struct version *version = placement_version(control->setup.placement, model);
    if (version != NULL && version_network(version) != NULL)
        return version;
    *ret_failure =
        control_failure("no_version", version == NULL ? "the model has no version yet"
                                                      : "the model's version has no network: the baseline serves");
    return NULL;
}

json_t *control_models(struct control *control, const json_t *request) {
    (void)request;
    return json_pack("{s:b, s:o}", "ok", 1, "models", learning_describe(control->setup.learning));
}

/* ---- learning ---------------------------------------------------------------------------------- */

/* A command on a model that learning carries out or (below 0) cannot: then with that code and sentence. */
static json_t *command_model(struct control *control, const json_t *request,
                             int (*command)(struct learning *learning, int model), const char *code,
                             const char *sentence) {
    json_t *failed;
    int model = control_model_of(control, request, &failed);
    if (model < 0)
        return failed;
    switch (command(control->setup.learning, model)) {
    case 0: return control_success();
    case -1: return control_failure(code, sentence);
    case -3: return control_failure("busy", "a version of the model is being written: try again");
    default: return control_no_memory();
    }
}

json_t *control_retrain(struct control *control, const json_t *request) {
    return command_model(control, request, learning_retrain, "argument", "the model does not train (train: false)");
}

json_t *control_stop_training(struct control *control, const json_t *request) {
    return command_model(control, request, learning_stop_training, "nothing", "the model is not being trained");
}

json_t *control_promote(struct control *control, const json_t *request) {
    return command_model(control, request, learning_promote, "nothing", "the model has no challenger");
}

json_t *control_reject(struct control *control, const json_t *request) {
    return command_model(control, request, learning_reject, "nothing", "the model has no challenger");
}

json_t *control_rollback(struct control *control, const json_t *request) {
    return command_model(control, request, learning_rollback, "nothing", "there is no version to go back to");
}

json_t *control_decisions(struct control *control, const json_t *request) {
    json_t *failed;
    int model = control_model_of(control, request, &failed);
    if (model < 0)
        return failed;
    return json_pack("{s:b, s:o}", "ok", 1, "decisions", learning_decisions(control->setup.learning, model));
}

/* ---- saving ------------------------------------------------------------------------------------ */

/* Files with room for the daemon's own settings. */
static bool has_room_for_own(const char *file) {
    static const char ending[] = ".keras";
    size_t n = strlen(file), least = sizeof ending - 1;
    return n >= least && strcmp(file + n - least, ending) == 0;
}

static json_t *begin_save(struct control *control, int of, struct version *version, const char *file) {
    const struct config_model *model = &control->setup.config->models[of];
    struct error err;
    char *own = NULL, *path = strdup(file); /* the request is gone once it is kept */
    if (path == NULL || (has_room_for_own(file) &&
                         (own = model_own_json(model, &control->setup.config->classes[model->class])) == NULL)) {
        free(path);
        return control_no_memory();
    }
    uint64_t number = requests_keep(control->requests);
    if (number == 0) {
        free(path);
        free(own);
        return control_crowded();
    }
    int refused = saver_start(control->saver, number, version, path, own, &err);
    if (refused != 0)
        requests_answer_kept(control->requests, number,
                             refused == -1 ? control_failure("busy", "a model is being saved: try again")
                                           : control_failure("memory", err.text));
    return NULL;
}

json_t *control_save(struct control *control, const json_t *request) {
    json_t *failed = NULL;
    const char *file = control_text(request, "file");
    if (file == NULL || file[0] != '/')
        return control_failure("argument", "save needs a file, by its absolute path");
    int model = control_model_of(control, request, &failed);
    struct version *version = model >= 0 ? control_version_of(control, model, &failed) : NULL;
    return version != NULL ? begin_save(control, model, version, file) : failed;
}

void control_answer_saved(struct control *control) {
    struct saver_result result;
    if (!saver_take(control->saver, &result))
        return;
    requests_answer_kept(control->requests, result.request,
                         result.failed ? control_failure("file", result.err.text)
                                       : json_pack("{s:b, s:I}", "ok", 1, "version", (json_int_t)result.version));
}

bool control_has_result(const struct control *control) {
    return saver_has_result(control->saver);
}
