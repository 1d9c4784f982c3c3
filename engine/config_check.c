#include "engine/config_check.h"

#include "engine/config_entry.h"
#include "engine/config_file.h"
#include "engine/forecaster.h"
#include "engine/head.h"
#include "engine/pooled.h"
#include "engine/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- bus -------------------------------------------------------------------------------------- */

static bool is_tcp(const char *address, bool connects) {
    const char *colon = strrchr(address, ':');
    int64_t port;
    if (!colon || colon == address || (connects && *address == '*'))
        return false;
    if (!strcmp(colon + 1, "*"))
        return !connects; /* ZeroMQ picks one */
    return !units_parse_integer(colon + 1, &port) && port >= 1 && port <= 65535;
}

static bool is_endpoint(const char *endpoint, bool connects) {
    if (!strncmp(endpoint, "tcp://", 6))
        return is_tcp(endpoint + 6, connects);
    size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path;
    return !strncmp(endpoint, "ipc://", 6) && endpoint[6] && strlen(endpoint + 6) < room;
}

static int check_endpoint(const struct config_lines *lines, const char *path, const char *endpoint, bool connects,
                          struct error *err) {
    char quoted[CONFIG_QUOTED];
    if (is_endpoint(endpoint, connects))
        return 0;
    return config_lines_fail(lines, err, path, "%s is not an endpoint to %s (tcp://HOST:PORT or ipc://PATH)",
                             config_quote(quoted, endpoint), connects ? "connect to" : "bind");
}

static int check_bus(const struct config_lines *lines, const struct config *config, struct error *err) {
    const struct config_bus *bus = &config->bus;
    const struct {
        const char *path, *endpoint;
    } bound[] = {
        {"bus.ticks", bus->ticks},         {"bus.acknowledged", bus->acknowledged},
        {"bus.forecasts", bus->forecasts}, {"bus.forecasts_json", bus->forecasts_json},
        {"bus.control", bus->control},
    };
    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++) {
        const char *endpoint = bound[i].endpoint;
        if (!*endpoint)
            continue;
        if (check_endpoint(lines, bound[i].path, endpoint, false, err))
            return -1;
        bool picked = endpoint[strlen(endpoint) - 1] == '*';
        for (size_t j = 0; j < i; j++)
            if (!picked && !strcmp(endpoint, bound[j].endpoint))
                return config_lines_fail(lines, err, bound[i].path, "the same endpoint as %s", bound[j].path);
    }
    for (int i = 0; i < bus->n_subscribe; i++) {
        char path[CONFIG_PATH];
        snprintf(path, sizeof path, "bus.subscribe[%d]", i);
        if (check_endpoint(lines, path, bus->subscribe[i], true, err))
            return -1;
    }
    if (*bus->acknowledged && !*config->state_dir)
        return config_lines_fail(lines, err, "bus.acknowledged", "needs state_dir, where the ticks are kept");
    if (!*bus->ticks && !*bus->acknowledged && bus->n_subscribe == 0)
        return config_lines_fail(lines, err, "bus.ticks",
                                 "no way in for ticks; give this, bus.acknowledged or bus.subscribe");
    return 0;
}

/* ---- streams ---------------------------------------------------------------------------------- */

static int check_features(const struct entry *entry, const struct config_class *class) {
    for (int i = 0; i < class->n_features; i++)
        for (int j = 0; j < i; j++)
            if (!strcmp(class->features[i], class->features[j])) {
                char key[32], quoted[CONFIG_QUOTED];
                snprintf(key, sizeof key, "features[%d]", i);
                return fail(entry, key, "a second feature %s", config_quote(quoted, class->features[i]));
            }
    return 0;
}

/* A class of at most FEW_STREAMS can afford much for each of them, where the configuration does not say. */
enum { FEW_STREAMS = 1000, HISTORY_OF_FEW = 4096, HISTORY_OF_MANY = 384 };

/* What contradicts itself of how a class treats time. */
static int check_time(const struct entry *entry, const struct time_policy_spec *time, int history) {
    if (time->every && says(entry, "time"))
        return fail(entry, "every", "contradicts `time: irregular`; for fixed intervals leave time out");
    if (time->aggregate != AGGREGATE_LAST && !time->every)
        return fail(entry, "aggregate", "is of the ticks within an interval; give every");
    if (time->same_time == SAME_TIME_REPLACE && !time->every && !time->reorder)
        return fail(entry, "same_time",
                    "an irregular tick is a step at once, and cannot be replaced; give every or reorder");
    if (!time->reorder && says(entry, "reorder_most"))
        return fail(entry, "reorder_most", "is of reorder; give that");
    if (time->close_after && !time->every)
        return fail(entry, "close_after", "is of intervals; give every");
    if (time->close_after && time->close_after < time->reorder)
        return fail(entry, "close_after", "is shorter than reorder, for which ticks are held");
    if (time->every && time->reorder / time->every >= history)
        return fail(entry, "reorder", "is longer than the history of the class, %d steps", history);
    if (time->gap == GAP_FILL && !time->every)
        return fail(entry, "gap", "only intervals can be filled in; give every");
    if (time->gap == GAP_FILL && time->gap_after)
        return fail(entry, "gap_after", "with `gap: fill` a gap is more than fill_most empty intervals; give that");
    if (time->gap != GAP_FILL && says(entry, "fill_most"))
        return fail(entry, "fill_most", "is of `gap: fill`");
    if (time->gap == GAP_RESET && !time->every && !time->gap_after)
        return fail(entry, "gap", "a gap in irregular ticks is one longer than gap_after; give that");
    return 0;
}

static int check_class(const struct entry *entry, const struct config *config, int index) {
    struct config_class *class = &config->classes[index];
    char quoted[CONFIG_QUOTED];
    if (!says(entry, "history"))
        class->history = class->max_streams <= FEW_STREAMS ? HISTORY_OF_FEW : HISTORY_OF_MANY;
    for (int j = 0; j < index; j++) {
        if (!strcmp(class->name, config->classes[j].name))
            return fail(entry, "class", "a second class %s", config_quote(quoted, class->name));
        if (!strcmp(class->pattern, config->classes[j].pattern))
            return fail(entry, "pattern", "the same as streams[%d].pattern, which has all these streams", j);
    }
    return check_time(entry, &class->time, class->history) ? -1 : check_features(entry, class);
}

/* A class that no model serves would take ticks in for nothing. */
static int check_served(const struct entry *entry, const struct config *config, int index) {
    char quoted[CONFIG_QUOTED];
    for (int i = 0; i < config->n_models; i++)
        if (config->models[i].class == index)
            return 0;
    return fail(entry, "class", "no model forecasts class %s", config_quote(quoted, config->classes[index].name));
}

/* ---- models ----------------------------------------------------------------------------------- */

static int find_class(const struct entry *entry, const struct config *config, int *ret_class) {
    const char *name = cell(entry->cells, CONFIG_MODEL, "class")->p;
    char quoted[CONFIG_QUOTED];
    for (int i = 0; i < config->n_classes; i++)
        if (!strcmp(name, config->classes[i].name)) {
            *ret_class = i;
            return 0;
        }
    return fail(entry, "class", "there is no class %s in streams", config_quote(quoted, name));
}

static int find_feature(const struct config_class *class, const char *name) {
    for (int i = 0; i < class->n_features; i++)
        if (!strcmp(class->features[i], name))
            return i;
    return -1;
}

/* The features that the model names in a list, its file where the configuration does not, or all of the class. */
static int find_features(const struct entry *entry, const char *key, const struct config_class *class,
                         char *const *file_names, int n_file_names, int **ret_features, int *ret_n) {
    const struct config_cell *said = cell(entry->cells, CONFIG_MODEL, key);
    char *const *names = said->n ? said->p : file_names;
    int n_names = said->n ? (int)said->n : n_file_names;
    int n = n_names ? n_names : class->n_features;
    int *features = calloc((size_t)n, sizeof *features);
    if (!features)
        return error_set(entry->err, "out of memory");
    for (int i = 0; i < n; i++) {
        const char *name = n_names ? names[i] : class->features[i];
        char at[32], quoted[CONFIG_QUOTED];
        snprintf(at, sizeof at, said->n ? "%s[%d]" : "file", key, i);
        features[i] = find_feature(class, name);
        if (features[i] < 0) {
            fail(entry, at, "the class has no feature %s", config_quote(quoted, name));
            goto free_features;
        }
        for (int j = 0; j < i; j++)
            if (features[i] == features[j]) {
                fail(entry, at, "%s is named a second time", config_quote(quoted, name));
                goto free_features;
            }
    }
    *ret_features = features;
    *ret_n = n;
    return 0;
free_features:
    free(features);
    return -1;
}

/* The kinds of layers by their keys. */
static const struct {
    const char *key;
    enum layer_kind kind;
} layer_keys[] = {{"lstm", LAYER_LSTM}, {"gru", LAYER_GRU}, {"simple_rnn", LAYER_SIMPLE_RNN}, {"dense", LAYER_DENSE}};

/* One layer of the model, whose cells are given. */
static int check_layer(const struct entry *entry, const struct config_cell *cells, int index,
                       struct layer_spec *spec) {
    char at[64];
    int found = -1;
    snprintf(at, sizeof at, "layers[%d]", index);
    for (int k = 0; k < (int)(sizeof layer_keys / sizeof *layer_keys); k++) {
        if (!cell(cells, CONFIG_LAYER, layer_keys[k].key)->p)
            continue;
        if (found >= 0)
            return fail(entry, at, "%s and %s in one layer; begin the second with a - of its own",
                        layer_keys[found].key, layer_keys[k].key);
        found = k;
    }
    if (found < 0)
        return fail(entry, at, "a layer without a kind; give lstm, gru, simple_rnn or dense");
    bool dense = layer_keys[found].kind == LAYER_DENSE;
    if (!dense && cell(cells, CONFIG_LAYER, "activation")->p) {
        snprintf(at, sizeof at, "layers[%d].activation", index);
        return fail(entry, at, "a recurrent layer has Keras' own; only a dense layer takes one");
    }
    if (dense && (spec->dropout > 0 || spec->recurrent_dropout > 0)) {
        snprintf(at, sizeof at, "layers[%d].%s", index, spec->dropout > 0 ? "dropout" : "recurrent_dropout");
        return fail(entry, at, "a dense layer drops nothing; it is for recurrent layers");
    }
    enum activation activation = spec->activation;
    float dropout = spec->dropout, recurrent_dropout = spec->recurrent_dropout;
    *spec = layer_spec_of(layer_keys[found].kind, spec->units);
    spec->dropout = dropout;
    spec->recurrent_dropout = recurrent_dropout;
    spec->return_sequences = true;
    if (dense)
        spec->activation = activation;
    return 0;
}

static int check_layers(const struct entry *entry, struct config_model *model) {
    int n_keys;
    if (model->file != NULL)
        return 0;
    config_table_keys(CONFIG_LAYER, &n_keys);
    const struct config_cell *layers = cell(entry->cells, CONFIG_MODEL, "layers")->p;
    for (int i = 0; i < model->n_layers; i++)
        if (check_layer(entry, &layers[i * n_keys], i, &model->layers[i]))
            return -1;
    return 0;
}

/* Steps of all windows together that one gradient reaches over. */
enum { CHUNK_MAX = 1 << 20 };

static int check_bounds(const struct entry *entry, const struct config_model *model,
                        const struct config_class *class) {
    static const char history[] = "the history of its class";
    static const char window[] = "the window";
    const struct config_training *training = &model->training;
    const struct {
        const char *key;
        int value, bound;
        const char *what;
        bool may_equal;
    } bounds[] = {
        {"horizon", model->horizon, class->history, history, false},
        {"window", model->window, class->history, history, true},
        /* The season behind a forecast, and the forecast that waits for its answer, are both looked up. */
        {"period", model->period, class->history - model->horizon, "the history of its class less the horizon", true},
        {"training.window", training->window, class->history, history, true},
        {"training.burn_in", training->burn_in, training->window, window, false},
        {"training.unroll", training->unroll, training->window, window, true},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        if (!model->train && strncmp(bounds[i].key, "training.", 9) == 0)
            continue;
        int excess = bounds[i].value - bounds[i].bound;
        if (excess > 0 || (excess == 0 && !bounds[i].may_equal))
            return fail(entry, bounds[i].key, "%d is %s %d, %s", bounds[i].value,
                        bounds[i].may_equal ? "more than" : "not less than", bounds[i].bound, bounds[i].what);
    }
    return 0;
}

/* An event's loss follows from its classes. */
static int check_event(const struct entry *entry, struct config_model *model, struct config_class *class) {
    if (model->head != HEAD_EVENT && says(entry, "classes"))
        return fail(entry, "classes", "is of head: event");
    if (model->head != HEAD_EVENT)
        return model->training.loss != LOSS_CATEGORICAL_CROSSENTROPY
                   ? 0
                   : fail(entry, "training.loss", "categorical_crossentropy is of head: event");
    if (model->promote == PROMOTE_SHADOW)
        return fail(entry, "promote", "an event has no shadow: labels come too late for it");
    if (model->retrain_on == RETRAIN_ON_DRIFT)
        return fail(entry, "retrain_on", "drift is seen in errors of forecasts, and an event has none");
    enum loss loss = model->classes == 2 ? LOSS_BINARY_CROSSENTROPY : LOSS_CATEGORICAL_CROSSENTROPY;
    if (says(entry, "training.loss") && model->training.loss != loss)
        return fail(entry, "training.loss", "of an event of %d classes it is %s", model->classes,
                    loss == LOSS_BINARY_CROSSENTROPY ? "binary_crossentropy" : "categorical_crossentropy");
    model->training.loss = loss;
    class->labels = model->classes > class->labels ? model->classes : class->labels;
    return 0;
}

static int check_loss(const struct entry *entry, struct config_model *model) {
    const struct loss_spec loss = head_loss(model);
    if (loss.loss == LOSS_QUANTILE && loss.n_levels == 0)
        return fail(entry, "training.loss",
                    "quantile learns the bounds of `levels`, which has none; give some, or mae");
    if (loss.loss == LOSS_BINARY_CROSSENTROPY && says(entry, "residual") && model->residual)
        return fail(entry, "residual", "a probability is no difference to the last value (training.loss)");
    if (loss.loss == LOSS_BINARY_CROSSENTROPY)
        model->residual = false;
    if ((int64_t)model->horizon * model->n_targets * loss_width(&loss) > NETWORK_WIDTH_MAX)
        return fail(entry, "horizon", "%d steps of %d targets, %d numbers each, are more than %d outputs",
                    model->horizon, model->n_targets, loss_width(&loss), NETWORK_WIDTH_MAX);
    return 0;
}

static int check_optimizer(const struct entry *entry, struct config_training *training) {
    bool has_momentum = training->optimizer == OPTIMIZER_SGD || training->optimizer == OPTIMIZER_RMSPROP;
    if (training->momentum > 0 && !has_momentum)
        return fail(entry, "training.momentum", "Adam has its own; it is of sgd and rmsprop");
    if (training->nesterov && (training->optimizer != OPTIMIZER_SGD || training->momentum <= 0))
        return fail(entry, "training.nesterov", "is of sgd with a momentum");
    if (!says(entry, "training.weight_decay"))
        training->weight_decay = optimizer_spec_of(training->optimizer).weight_decay;
    return 0;
}

/* In stateful order windows follow each other, in whole chunks. */
static int check_order(const struct entry *entry, const struct config_model *model) {
    const struct config_training *training = &model->training;
    if (!model->train || training->order != ORDER_STATEFUL)
        return 0;
    if (model->mode == MODEL_WINDOWED)
        return fail(entry, "training.order", "a windowed model has no state that could be carried on");
    if (says(entry, "training.stride"))
        return fail(entry, "training.stride", "in stateful order windows follow each other; leave it out");
    if (training->window % training->unroll != 0)
        return fail(entry, "training.unroll", "in stateful order the window, %d, is a multiple of it",
                    training->window);
    return 0;
}

/* A forecast that a ring cannot hold would wait for ever. Its values are doubles; as much again is left for the
 * rest of it. */
static int check_fits(const struct entry *entry, const struct config_model *model, int64_t ring) {
    if ((int64_t)model->training.batch * model->training.unroll > CHUNK_MAX)
        return fail(entry, "training.batch", "%d windows of %d unrolled steps are more than %d at once",
                    model->training.batch, model->training.unroll, CHUNK_MAX);
    int64_t bytes = (int64_t)model->horizon * model->n_targets * (int64_t)sizeof(double);
    if (2 * bytes <= ring)
        return 0;
    return fail(entry, "horizon", "a forecast of %d steps of %d targets does not fit bus.forecast_ring",
                model->horizon, model->n_targets);
}

/* The class' streams have ids where a model takes them as such; of several models the smallest vocabulary counts. */
static int note_vocabulary(const struct entry *entry, const struct config_model *model, struct config_class *class) {
    if (model->vocabulary == 0)
        return 0;
    if (class->missing != MISSING_LAST)
        return fail(entry, "class", "%s is ids, which have no mean (streams: missing)",
                    class->features[model->inputs[0]]);
    if (class->time.aggregate == AGGREGATE_MEAN || class->time.aggregate == AGGREGATE_SUM)
        return fail(entry, "class", "%s is ids, of which class %s makes a %s (streams: aggregate)",
                    class->features[model->inputs[0]], class->name,
                    class->time.aggregate == AGGREGATE_MEAN ? "mean" : "sum");
    if (!class->vocabulary)
        class->vocabulary = calloc((size_t) class->n_features, sizeof *class->vocabulary);
    if (!class->vocabulary)
        return error_set(entry->err, "out of memory");
    int *least = &class->vocabulary[model->inputs[0]];
    *least = *least == 0 || model->vocabulary < *least ? model->vocabulary : *least;
    return 0;
}

static int copy_features(const struct entry *entry, const int *features, int n, int **ret_features, int *ret_n) {
    int *copy = calloc((size_t)n, sizeof *copy);
    if (!copy)
        return error_set(entry->err, "out of memory");
    memcpy(copy, features, (size_t)n * sizeof *copy);
    *ret_features = copy;
    *ret_n = n;
    return 0;
}

static int check_served_features(const struct entry *entry, struct config_model *model,
                                 const struct config_class *class, const struct own *own) {
    if (find_features(entry, "inputs", class, own->inputs, own->n_inputs, &model->inputs, &model->n_inputs))
        return -1;
    /* What a file puts out stands in the order of what it takes in. */
    if (model->head == HEAD_FORECAST && model->file != NULL && says(entry, "inputs") && !says(entry, "targets") &&
        own->n_targets == 0)
        return copy_features(entry, model->inputs, model->n_inputs, &model->targets, &model->n_targets);
    if (model->head == HEAD_FORECAST)
        return find_features(entry, "targets", class, own->targets, own->n_targets, &model->targets,
                             &model->n_targets);
    if (says(entry, "targets") || says(entry, "horizon"))
        return fail(entry, says(entry, "targets") ? "targets" : "horizon",
                    model->head == HEAD_EVENT
                        ? "an event is the label of the tick itself, and comes apart from its values"
                        : "a raw head gives what the network gives, and forecasts nothing");
    model->horizon = 0;
    return 0;
}

static int check_levels(const struct entry *entry, const struct config_model *model) {
    char at[32];
    for (int i = 1; i < model->n_levels; i++)
        if (!(model->levels[i] > model->levels[i - 1])) {
            snprintf(at, sizeof at, "levels[%d]", i);
            return fail(entry, at, "%g is not above the %g before it", model->levels[i], model->levels[i - 1]);
        }
    if (model->scored == SCORED_ALL && model->horizon > CONFIG_SCORED_ALL_MOST)
        return fail(entry, "scored", "all steps are scored of a horizon up to %d, not of %d", CONFIG_SCORED_ALL_MOST,
                    model->horizon);
    return 0;
}

/* How far ahead an alert looks: a number of steps, or a duration. */
static int check_within(const struct entry *entry, const char *at, const char *text, const struct config_model *model,
                        const struct config_class *class, struct config_alert *alert) {
    char quoted[CONFIG_QUOTED];
    int64_t steps, time;
    alert->steps = model->horizon;
    if (text == NULL)
        return 0;
    if (!units_parse_integer(text, &steps)) {
        if (steps < 1 || steps > model->horizon)
            return fail(entry, at, "%s is not within 1 to %d, the horizon", text, model->horizon);
        alert->steps = (int)steps;
        return 0;
    }
    if (units_parse_duration(text, &time) || time == 0)
        return fail(entry, at, "%s is neither a number of steps nor a duration", config_quote(quoted, text));
    if (class->time.every == 0) {
        alert->time = time;
        return 0;
    }
    if (time < class->time.every || time / class->time.every > model->horizon)
        return fail(entry, at, "%s is not within one step and the %d of the horizon", text, model->horizon);
    alert->steps = (int)(time / class->time.every);
    return 0;
}

/* One alert of the model, whose cells are given. */
static int check_alert(const struct entry *entry, const struct config_cell *cells, int index,
                       const struct config_model *model, const struct config_class *class) {
    char at[64], quoted[CONFIG_QUOTED];
    struct config_alert *alert = &model->alerts[index];
    bool above = cell(cells, CONFIG_ALERT, "above")->p != NULL, below = cell(cells, CONFIG_ALERT, "below")->p != NULL;
    const char *target = cell(cells, CONFIG_ALERT, "target")->p;
    snprintf(at, sizeof at, "alerts[%d]", index);
    if (above == below)
        return fail(entry, at, above ? "above and below in one alert; give each its own" : "neither above nor below");
    if (model->n_levels == 0)
        return fail(entry, at, "without levels no probability is known");
    alert->above = above ? alert->above : NAN;
    alert->below = below ? alert->below : NAN;
    alert->target = 0;
    while (alert->target < model->n_targets && strcmp(class->features[model->targets[alert->target]], target) != 0)
        alert->target++;
    snprintf(at, sizeof at, "alerts[%d].target", index);
    if (alert->target == model->n_targets)
        return fail(entry, at, "the model does not forecast %s", config_quote(quoted, target));
    snprintf(at, sizeof at, "alerts[%d].within", index);
    return check_within(entry, at, cell(cells, CONFIG_ALERT, "within")->p, model, class, alert);
}

static int check_alerts(const struct entry *entry, const struct config_model *model,
                        const struct config_class *class) {
    int n_keys;
    config_table_keys(CONFIG_ALERT, &n_keys);
    const struct config_cell *alerts = cell(entry->cells, CONFIG_MODEL, "alerts")->p;
    for (int i = 0; i < model->n_alerts; i++)
        if (check_alert(entry, &alerts[i * n_keys], i, model, class))
            return -1;
    return 0;
}

static bool has_recurrent_state(const struct network *network) {
    const struct network_spec *spec = network_spec(network);
    bool recurrent = false;
    for (int i = 0; i < spec->n_layers; i++)
        recurrent |= layer_is_recurrent(spec->layers[i].kind);
    return recurrent && network_state_size(network) > 0;
}

static int check_readout(const struct entry *entry, const struct config_model *model) {
    struct error err;
    if (model->experts != EXPERTS_FULL)
        return fail(entry, "combine", "readout needs experts: full (light is the default of a class of more than %d)",
                    FEW_STREAMS);
    struct network *network = model->mode == MODEL_STATEFUL ? forecaster_network(model, &err) : NULL;
    bool has = network != NULL && has_recurrent_state(network);
    network_free(network);
    return has ? 0 : fail(entry, "combine", "readout needs a recurrent network that carries its state");
}

/* An expert that would never say anything is not asked for alone. */
static int check_experts(const struct entry *entry, struct config_model *model, const struct config_class *class) {
    model->experts_said = says(entry, "experts");
    if (!says(entry, "combine") && model->file != NULL && !model->train)
        model->combine = COMBINE_ONLY + EXPERT_NETWORK;
    if (!model->experts_said)
        model->experts = model->combine == COMBINE_ONLY + EXPERT_NETWORK ? EXPERTS_NONE
                         : class->max_streams <= FEW_STREAMS             ? EXPERTS_FULL
                                                                         : EXPERTS_LIGHT;
    if (model->head != HEAD_FORECAST)
        return 0;
    if (model->experts == EXPERTS_NONE && model->combine != COMBINE_ONLY + EXPERT_NETWORK)
        return fail(entry, "experts", "none leaves the network alone, which `combine: network` asks for");
    if (model->combine == COMBINE_ONLY + EXPERT_SEASONAL && model->period == 0)
        return fail(entry, "combine", "seasonal needs a period");
    if (model->combine == COMBINE_ONLY + EXPERT_RIDGE && model->experts == EXPERTS_LIGHT && !pooled_is_kept(model))
        return fail(entry, "combine", "ridge of light experts is solved in trainings, on scaled values; %s",
                    model->train ? "give experts: full" : "give train: true, or experts: full");
    return model->combine == COMBINE_ONLY + EXPERT_READOUT ? check_readout(entry, model) : 0;
}

/* A sample's own mean and deviation take a missing value for the one before. */
static int check_missing(const struct entry *entry, const struct config_model *model,
                         const struct config_class *class) {
    if (class->missing == MISSING_LAST || model->scaler != SCALER_WINDOW)
        return 0;
    return fail(entry, "scaler", "window knows a missing value as the one before; class %s has it otherwise",
                class->name);
}

static int check_model(const struct entry *entry, struct config *config, int index) {
    struct config_model *model = &config->models[index];
    char quoted[CONFIG_QUOTED];
    if (strchr(model->name, '/'))
        return fail(entry, "name", "%s has a /, which parts a topic", config_quote(quoted, model->name));
    for (int j = 0; j < index; j++)
        if (!strcmp(model->name, config->models[j].name))
            return fail(entry, "name", "a second model %s", config_quote(quoted, model->name));
    if (find_class(entry, config, &model->class))
        return -1;
    const struct config_class *class = &config->classes[model->class];
    struct own own;
    model->missing = class->missing;
    if (config_file_open(entry, model, &own))
        return -1;
    int failed = check_served_features(entry, model, class, &own) || check_layers(entry, model) ||
                 check_event(entry, model, &config->classes[model->class]) ||
                 config_file_apply(entry, model, class, &own) || check_missing(entry, model, class) ||
                 check_bounds(entry, model, class) || check_order(entry, model) ||
                 check_experts(entry, model, class) || check_levels(entry, model) ||
                 check_alerts(entry, model, class) || check_optimizer(entry, &model->training) ||
                 check_loss(entry, model) || check_fits(entry, model, config->bus.forecast_ring);
    own_fini(&own);
    return failed ? -1 : note_vocabulary(entry, model, &config->classes[model->class]);
}

/* ---- all -------------------------------------------------------------------------------------- */

static struct entry entry_of(const struct config_lines *lines, const struct config_cell *cells,
                             enum config_section section, const char *list, int i, struct error *err) {
    int n_keys;
    config_table_keys(section, &n_keys);
    const struct config_cell *entries = cell(cells, CONFIG_TOP, list)->p;
    struct entry entry = {.lines = lines, .cells = &entries[i * n_keys], .err = err};
    snprintf(entry.path, sizeof entry.path, "%s[%d]", list, i);
    return entry;
}

int config_check(const struct config_lines *lines, const struct config_cell *cells, struct config *config,
                 struct error *err) {
    if (config->workers == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        config->workers = online < 1 ? 1 : online > 1024 ? 1024 : (int)online;
    }
    if (check_bus(lines, config, err))
        return -1;
    for (int i = 0; i < config->n_classes; i++) {
        struct entry entry = entry_of(lines, cells, CONFIG_STREAM, "streams", i, err);
        if (check_class(&entry, config, i))
            return -1;
    }
    for (int i = 0; i < config->n_models; i++) {
        struct entry entry = entry_of(lines, cells, CONFIG_MODEL, "models", i, err);
        if (check_model(&entry, config, i))
            return -1;
    }
    for (int i = 0; i < config->n_classes; i++) {
        struct entry entry = entry_of(lines, cells, CONFIG_STREAM, "streams", i, err);
        if (check_served(&entry, config, i))
            return -1;
    }
    return 0;
}
