#include "engine/config_file.h"

#include "engine/forecaster.h"
#include "engine/head.h"
#include "engine/keras/keras.h"
#include "engine/training.h"

#include <stdlib.h>
#include <string.h>

/* The path of a file that the configuration names: from its own folder on. To be freed; NULL without memory. */
static char *beside(const struct config_lines *lines, const char *name) {
    const char *file = config_lines_file(lines), *slash = strrchr(file, '/');
    size_t folder = *name == '/' || slash == NULL ? 0 : (size_t)(slash - file) + 1, n = strlen(name) + 1;
    char *path = malloc(folder + n);
    if (path == NULL)
        return NULL;
    memcpy(path, file, folder);
    memcpy(path + folder, name, n);
    return path;
}

static int read_file(const struct entry *entry, struct config_model *model) {
    struct error err;
    char *path = beside(entry->lines, model->file);
    char *architecture = model->architecture != NULL ? beside(entry->lines, model->architecture) : NULL;
    if (path != NULL && (model->architecture == NULL || architecture != NULL))
        model->keras = keras_read(path, architecture, &err);
    else
        error_set(&err, "out of memory");
    free(path);
    free(architecture);
    return model->keras != NULL ? 0 : fail(entry, "file", "%s", err.text);
}

/* What the file says stands where the configuration says nothing, and the other way round. */
static void take_over(const struct entry *entry, struct config_model *model, const struct own *own) {
    if (!says(entry, "scaler"))
        model->scaler = own->scaler >= 0 ? (enum scaler_kind)own->scaler : SCALER_NONE;
    if (!says(entry, "residual"))
        model->residual = own->residual > 0;
    if (!says(entry, "train"))
        model->train = false;
    if (!says(entry, "horizon"))
        model->horizon = own->horizon >= 0 ? own->horizon : 0; /* 0: what the network gives */
    if (!says(entry, "period") && own->period >= 0)
        model->period = own->period;
    if (!says(entry, "forecast") && own->form >= 0)
        model->form = (enum forecast_form)own->form;
    if (!says(entry, "head") && own->head >= 0)
        model->head = (enum model_head)own->head;
    if (!says(entry, "training.loss") && own->loss >= 0)
        model->training.loss = (enum loss)own->loss;
    if (!says(entry, "levels") && own->n_levels > 0) {
        memcpy(model->levels, own->levels, sizeof own->levels);
        model->n_levels = own->n_levels;
    }
}

int config_file_open(const struct entry *entry, struct config_model *model, struct own *ret_own) {
    struct error err;
    *ret_own = own_none();
    if (model->file == NULL)
        return model->architecture != NULL ? fail(entry, "architecture", "without a file of weights") : 0;
    if (says(entry, "layers"))
        return fail(entry, "layers", "the layers are those of the file: give one of the two");
    if (read_file(entry, model))
        return -1;
    if (model->keras->own != NULL && own_read(model->keras->own, ret_own, &err))
        return fail(entry, "file", "%s", err.text);
    take_over(entry, model, ret_own);
    return 0;
}

void config_model_text(const struct config_model *model, char *ret_text, size_t size) {
    char mode[48] = "stateful", gives[96] = "raw outputs";
    if (model->head == HEAD_EVENT)
        snprintf(gives, sizeof gives, "labels of %d classes", model->classes);
    if (model->mode == MODEL_WINDOWED)
        snprintf(mode, sizeof mode, "windowed (%d step%s)", model->window, model->window == 1 ? "" : "s");
    if (model->head == HEAD_FORECAST)
        snprintf(gives, sizeof gives, "%d step%s of %d target%s%s", model->horizon, model->horizon == 1 ? "" : "s",
                 model->n_targets, model->n_targets == 1 ? "" : "s",
                 model->form == FORECAST_RECURSIVE ? ", fed back" : "");
    snprintf(ret_text, size, "%.200s, %s, %d input%s to %s, scaler %s, %s",
             model->file != NULL ? model->file : "layers", mode, model->n_inputs, model->n_inputs == 1 ? "" : "s",
             gives,
             model->scaler == SCALER_NONE     ? "none"
             : model->scaler == SCALER_WINDOW ? "window"
                                              : "standard",
             model->train ? "trained" : "not trained");
}

/* ---- mode, window, horizon -------------------------------------------------------------------- */

static int choose_mode(const struct entry *entry, struct config_model *model, const struct own *own) {
    if (!says(entry, "mode") && model->keras != NULL)
        model->mode = own->mode >= 0                                  ? (enum model_mode)own->mode
                      : network_spec_is_stateful(&model->keras->spec) ? MODEL_STATEFUL
                                                                      : MODEL_WINDOWED;
    if (model->mode == MODEL_STATEFUL) {
        if (says(entry, "window"))
            return fail(entry, "window", "belongs to `mode: windowed`; a stateful model has a step per tick");
        if (model->scaler == SCALER_WINDOW)
            return fail(entry, says(entry, "scaler") ? "scaler" : "mode",
                        "scaler window is by the samples of `mode: windowed`; a stateful model has none");
        model->window = 1;
        return 0;
    }
    if (model->keras == NULL)
        return fail(entry, "mode", "windowed serves a model that comes from a file; layers are trained statefully");
    if (!says(entry, "window"))
        model->window = own->window >= 0 ? own->window : model->keras->spec.no_time ? 1 : model->keras->spec.steps;
    if (model->window == 0)
        return fail(entry, "mode",
                    "the file does not say how many steps a sample has: give window, or mode: stateful");
    return 0;
}

/* Flatten and the like take samples of one length, and a valid convolution has a shortest one. */
static int check_window(const struct entry *entry, const struct config_model *model, const struct network *network) {
    int exact = network_steps(network), least = network_min_steps(network);
    if (exact > 0 ? model->window == exact : model->window >= least)
        return 0;
    return fail(entry, says(entry, "window") ? "window" : "mode", "%s: a sample has %s%d step%s, and %d %s given",
                model->file, exact > 0 ? "" : "at least ", least, least == 1 ? "" : "s", model->window,
                model->window == 1 ? "is" : "are");
}

static int check_inputs(const struct entry *entry, struct config_model *model, const struct config_class *class,
                        const struct network *network) {
    int width = config_network_inputs(model);
    if (network_n_inputs(network) != width)
        return fail(entry, says(entry, "inputs") ? "inputs" : "file",
                    "the network has %d input%s, and %d are given%s", network_n_inputs(network),
                    network_n_inputs(network) == 1 ? "" : "s", width,
                    model->missing == MISSING_MASK ? " with their masks (streams: missing)" : "");
    model->vocabulary = network_vocabulary(network);
    if (model->vocabulary > 0 && says(entry, "scaler") && model->scaler != SCALER_NONE)
        return fail(entry, "scaler", "the input %s is ids, which are not scaled", class->features[model->inputs[0]]);
    return 0;
}

static bool feeds_back(const struct config_model *model) {
    for (int i = 0; i < model->n_inputs; i++)
        for (int j = 0; j < model->n_targets; j++)
            if (model->inputs[i] == model->targets[j])
                return true;
    return false;
}

/* The bounds that a file gives are of its own levels. */
static int check_levels(const struct entry *entry, const struct config_model *model, const struct own *own) {
    bool same = own->n_levels == model->n_levels;
    for (int i = 0; same && i < model->n_levels; i++)
        same = own->levels[i] == model->levels[i];
    if (same || own->n_levels == 0 || model->training.loss != LOSS_QUANTILE)
        return 0;
    return fail(entry, "levels", "the network of %s gives the bounds of other levels; leave them out", model->file);
}

static int check_head(const struct entry *entry, struct config_model *model, const struct network *network) {
    struct head head;
    struct error err;
    if (model->head != HEAD_FORECAST && model->form == FORECAST_RECURSIVE)
        return fail(entry, "forecast", "%s is not fed back", model->head == HEAD_RAW ? "a raw head" : "an event");
    if (model->head == HEAD_EVENT && head_fits_event(model, network, &model->probabilities, &err))
        return fail(entry, "file", "%s: %s", model->file, err.text);
    if (model->head != HEAD_FORECAST)
        return 0;
    if (model->horizon == 0)
        model->horizon = head_horizon(model, network, model->window);
    if (head_fit(model, network, model->window, &head, &err))
        return fail(entry, "file", "%s: %s; give horizon and targets, or head: raw", model->file, err.text);
    if (model->form == FORECAST_RECURSIVE && !feeds_back(model))
        return fail(entry, "forecast", "recursive feeds targets back, and none of them is an input");
    if (head.form == HEAD_CLASS && model->residual)
        return fail(entry, says(entry, "residual") ? "residual" : "file",
                    "the network forecasts ids, which have no difference to the last one");
    if (head.form == HEAD_CLASS && model->n_targets != 1)
        return fail(entry, "targets", "the network forecasts ids of one target, and %d are given", model->n_targets);
    return 0;
}

/* A file may ask for anything: more memory for one batch than this is refused, as nobody would get it. */
static const double workspace_most = 8.0 * (1 << 30); /* bytes */

static int check_workspace(const struct entry *entry, const struct config_model *model,
                           const struct network *network) {
    double bytes = sizeof(float) * (double)network_work_size(network, model->batch_size, model->window);
    if (bytes <= workspace_most)
        return 0;
    return fail(entry, "batch_size", "a batch of %d streams needs %.0f GiB to run %s", model->batch_size,
                bytes / (1 << 30), model->file);
}

static int check_training(const struct entry *entry, struct config_model *model) {
    struct error err;
    if (!model->train)
        return 0;
    if (model->head == HEAD_RAW || model->form == FORECAST_RECURSIVE || model->vocabulary > 0)
        return fail(entry, "train",
                    "a model from a file is trained when its forecast is of numbers, direct and not raw");
    /* What stands before the first origin of a window is in its first sample. */
    if (model->mode == MODEL_WINDOWED && model->window > model->training.window)
        return fail(entry, "training.window", "%d is less than %d, the steps of a sample", model->training.window,
                    model->window);
    if (model->mode == MODEL_WINDOWED && model->training.burn_in < model->window - 1)
        model->training.burn_in = model->window - 1;
    struct network *network = training_network(model, &err);
    if (network == NULL)
        return fail(entry, "train", "%s: %s", model->file, err.text);
    network_free(network);
    return 0;
}

int config_file_apply(const struct entry *entry, struct config_model *model, const struct config_class *class,
                      const struct own *own) {
    struct error err;
    if (choose_mode(entry, model, own))
        return -1;
    if (model->keras == NULL)
        return model->form == FORECAST_DIRECT && model->head != HEAD_RAW
                   ? 0
                   : fail(entry, model->form != FORECAST_DIRECT ? "forecast" : "head",
                          "a model of layers has a direct forecast, or an event; others come from a file");
    struct network *network = forecaster_network(model, &err);
    if (network == NULL)
        return fail(entry, says(entry, "mode") ? "mode" : "file", "%s: %s%s", model->file, err.text,
                    model->mode == MODEL_STATEFUL ? " (mode: windowed)" : "");
    int failed = check_window(entry, model, network) || check_inputs(entry, model, class, network) ||
                 check_levels(entry, model, own) || check_head(entry, model, network) ||
                 check_workspace(entry, model, network);
    network_free(network);
    return failed || check_training(entry, model) ? -1 : 0;
}
