#include "engine/config_table.h"

#include "engine/config.h"
#include "engine/event.h"
#include "engine/units.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LENGTH(a)                    ((int)(sizeof(a) / sizeof *(a)))
#define AT(type, member)             .offset = offsetof(struct type, member), .size = sizeof(((struct type *)NULL)->member)
#define COUNTED(type, member, count) AT(type, member), .count_offset = offsetof(struct type, count)

#define KIB    1024.0
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define US     1e3
#define SECOND 1e9
#define DAY    (86400 * SECOND)

/* In the order of their enums. */
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const times[] = {"irregular", NULL};
static const char *const aggregates[] = {"last", "mean", "sum", "min", "max", NULL};
static const char *const same_times[] = {"drop", "keep", "replace", NULL};
static const char *const missing[] = {"last", "mean", "mask", NULL};
static const char *const gaps[] = {"ignore", "fill", "reset", NULL};
static const char *const activations[] = {
    "linear",      "tanh",     "sigmoid", "relu", "hard_sigmoid", "hard_sigmoid_keras2",
    "softsign",    "softplus", "elu",     "selu", "swish",        "gelu",
    "exponential", "softmax",  NULL};
static const char *const scalers[] = {"standard", "none", "window", NULL};
static const char *const precisions[] = {"f32", "bf16", NULL};
static const char *const modes[] = {"stateful", "windowed", NULL};
static const char *const forms[] = {"direct", "recursive", NULL};
static const char *const heads[] = {"forecast", "raw", "event", NULL};
static const char *const scored[] = {"few", "all", NULL};
static const char *const optimizers[] = {"adam", "adamw", "sgd", "rmsprop", NULL};
static const char *const orders[] = {"shuffled", "stateful", NULL};
static const char *const schedules[] = {"linear", "constant", "cosine", "exponential", "step", NULL};
static const char *const retrain_on[] = {"clock", "drift", NULL};
static const char *const promote[] = {"auto", "shadow", "manual", NULL};
static const char *const combines[] = {"online", "last_value", "seasonal", "drift", "smoothing",
                                       "ridge",  "readout",    "network",  NULL};
static const char *const expert_sizes[] = {"light", "full", "none", NULL};
static const char *const losses[] = {
    "mse", "mae", "huber", "quantile", "gaussian", "student_t", "binary_crossentropy", "categorical_crossentropy",
    NULL};

static const struct config_key table[] = {
    {CONFIG_TOP, "workers", CONFIG_INTEGER, "0", 0, 1024, AT(config, workers), .unit = "threads",
     .help = "Workers advance the streams' states; 0: one per processor"},
    {CONFIG_TOP, "log", CONFIG_CHOICE, "info", .choices = log_levels, AT(config, log), .live = true,
     .help = "What is logged: this, and what is worse"},
    {CONFIG_TOP, "training_cpu", CONFIG_SHARE, "100%", 0.01, 1, AT(config, training_cpu), .live = true,
     .help = "The share of one processor that all training together takes, at most; ticks go before it in any case"},
    {CONFIG_TOP, "journal", CONFIG_TEXT, "", 0, 4000, AT(config, journal),
     .help =
         "A folder where the versions that serve are kept, and from which step on, and what was commanded, so that "
         "forecast backtest --takeovers gives the same forecasts once more; \"\": none"},
    {CONFIG_TOP, "state_dir", CONFIG_TEXT, "", 0, 4000, AT(config, state_dir),
     .help = "A folder of the daemon's own, in which what it takes in is kept, so that nothing is lost when it ends, "
             "however it ends; \"\": none"},
    {CONFIG_TOP, "sync_every", CONFIG_DURATION, "10ms", 100 * US, 60 * SECOND, AT(config, sync_every), .live = true,
     .help = "With `state_dir`: the latest that ticks are on disk; those that somebody waits for are at once"},
    {CONFIG_TOP, "snapshot_every", CONFIG_DURATION, "30s", 100 * 1e6, DAY, AT(config, snapshot_every), .live = true,
     .help = "With `state_dir`: the states of all streams are written so often; what came since is read again at a "
             "start"},
    {CONFIG_TOP, "journal_size", CONFIG_BYTES, "2GiB", MIB, 1024 * GIB, AT(config, journal_size),
     .help = "With `state_dir`: what has come since the states were written, on disk; then the bus takes in no more "
             "until they are. A start reads all of it again, and takes twice as much memory for that"},
    {CONFIG_TOP, "journal_ring", CONFIG_BYTES, "64MiB", 64 * KIB, 16 * GIB, AT(config, journal_ring),
     .help = "With `state_dir`: what waits to be written; then the bus takes in no more. At least twice max_message "
             "is taken"},
    {CONFIG_TOP, "return_queue", CONFIG_BYTES, "64MiB", 64 * KIB, 16 * GIB, AT(config, return_queue),
     .help = "With `state_dir`: ticks that wait for streams to come back from there; then the bus takes in no more"},
    {CONFIG_TOP, "bus", CONFIG_MAPPING, .holds = CONFIG_BUS, AT(config, bus),
     .help = "The sockets of the daemon. An endpoint is tcp://HOST:PORT or ipc://PATH"},
    {CONFIG_TOP, "streams", CONFIG_LIST, .holds = CONFIG_STREAM, .min = 1, .max = 1000, .required = 1,
     COUNTED(config, classes, n_classes),
     .help = "Classes of streams. A stream belongs to the first class whose pattern matches its name"},
    {CONFIG_TOP, "models", CONFIG_LIST, .holds = CONFIG_MODEL, .min = 1, .max = 1000, .required = 1,
     COUNTED(config, models, n_models),
     .help = "Every model of a class forecasts each of its streams; a class has at least one"},

    {CONFIG_BUS, "ticks", CONFIG_TEXT, "tcp://127.0.0.1:7701", 0, 255, AT(config_bus, ticks),
     .help = "Ticks come in here: PULL, bound; \"\": none"},
    {CONFIG_BUS, "acknowledged", CONFIG_TEXT, "", 0, 255, AT(config_bus, acknowledged),
     .example = "#tcp://127.0.0.1:7704",
     .help =
         "Ticks come in here, too, and are acknowledged when they are on disk: ROUTER, bound; needs state_dir; \"\": "
         "none"},
    {CONFIG_BUS, "subscribe", CONFIG_TEXTS, "[]", .max = 1000, COUNTED(config_bus, subscribe, n_subscribe),
     .help = "Publishers of ticks that the daemon connects to with SUB"},
    {CONFIG_BUS, "forecasts", CONFIG_TEXT, "tcp://127.0.0.1:7702", 1, 255, AT(config_bus, forecasts),
     .help = "Forecasts and events go out here as MessagePack: XPUB, bound"},
    {CONFIG_BUS, "forecasts_json", CONFIG_TEXT, "", 0, 255, AT(config_bus, forecasts_json),
     .help = "The same as JSON: XPUB, bound; \"\": none"},
    {CONFIG_BUS, "control", CONFIG_TEXT, "tcp://127.0.0.1:7703", 1, 255, AT(config_bus, control),
     .help = "Commands: ROUTER, bound. Who reaches it commands the daemon"},
    {CONFIG_BUS, "max_message", CONFIG_BYTES, "16MiB", KIB, GIB, AT(config_bus, max_message),
     .help = "The largest message; who sends a larger one is disconnected"},
    {CONFIG_BUS, "receive_hwm", CONFIG_INTEGER, "1000", 1, 1e7, AT(config_bus, receive_hwm), .unit = "messages",
     .help = "Messages that wait per sender; then the sender waits"},
    {CONFIG_BUS, "send_hwm", CONFIG_INTEGER, "100000", 1, 1e7, AT(config_bus, send_hwm), .unit = "messages",
     .help = "Messages (a bundle is up to 128 KiB) that wait per subscriber; then it loses some: a gap in its steps"},
    {CONFIG_BUS, "tick_ring", CONFIG_BYTES, "4MiB", 64 * KIB, 16 * GIB, AT(config_bus, tick_ring),
     .help = "Ticks that wait per worker; then the bus takes in no more"},
    {CONFIG_BUS, "forecast_ring", CONFIG_BYTES, "16MiB", 64 * KIB, 16 * GIB, AT(config_bus, forecast_ring),
     .help = "Forecasts that wait per worker; then the worker waits"},
    {CONFIG_BUS, "credit_ticks", CONFIG_INTEGER, "100000", 1, 1e8, AT(config_bus, credit_ticks), .unit = "ticks",
     .help = "That a producer may have sent and that are not acknowledged; more are refused"},
    {CONFIG_BUS, "credit_bytes", CONFIG_BYTES, "16MiB", KIB, 16 * GIB, AT(config_bus, credit_bytes),
     .help = "The same in bytes"},
    {CONFIG_BUS, "producers", CONFIG_INTEGER, "1000", 1, 1e6, AT(config_bus, producers), .unit = "producers",
     .help = "Senders of acknowledged ticks whose numbers are remembered; further ones are refused"},
    {CONFIG_BUS, "producer_idle", CONFIG_DURATION, "7d", 0, 3650 * DAY, AT(config_bus, producer_idle),
     .help =
         "A producer that has not been heard of for so long may be forgotten for a new one; what it then sends again is "
         "taken again"},
    {CONFIG_BUS, "events_per_second", CONFIG_NUMBER, "10", 0, 1e6, AT(config_bus, events_per_second),
     .unit = "a second", .live = true, .help = "Events sent per kind; more are counted, not sent"},
    {CONFIG_BUS, "repeats_per_second", CONFIG_NUMBER, "10000", 0, 1e9, AT(config_bus, repeats_per_second),
     .unit = "a second", .live = true, .help = "Last forecasts sent again when somebody subscribes"},

    {CONFIG_STREAM, "class", CONFIG_TEXT, NULL, 1, CONFIG_MAX_NAME, AT(config_class, name), .required = 1,
     .example = "host", .help = "The name of the class"},
    {CONFIG_STREAM, "pattern", CONFIG_TEXT, NULL, 1, CONFIG_MAX_NAME, AT(config_class, pattern), .required = 1,
     .example = "\"host/*\"", .help = "Names of its streams: * is any text, ? any character, [a-c] one of these"},
    {CONFIG_STREAM, "features", CONFIG_TEXTS, NULL, 1, CONFIG_MAX_FEATURES, .required = 1,
     COUNTED(config_class, features, n_features), .example = "[cpu_user, cpu_system]",
     .help = "What a tick's values are, in their order"},
    {CONFIG_STREAM, "time", CONFIG_CHOICE, "irregular", .choices = times,
     .help = "Every tick is a step; for steps at fixed intervals leave this out and give `every`"},
    {CONFIG_STREAM, "every", CONFIG_DURATION, NULL, US, 365 * DAY, AT(config_class, time.every), .example = "#1s",
     .help = "The interval of a step, of the ticks' own times"},
    {CONFIG_STREAM, "aggregate", CONFIG_CHOICE, "last", .choices = aggregates, AT(config_class, time.aggregate),
     .help = "With `every`: what of a feature's values within an interval is its step's"},
    {CONFIG_STREAM, "same_time", CONFIG_CHOICE, "drop", .choices = same_times, AT(config_class, time.same_time),
     .help = "A tick at the time of the latest one: is refused; is one more tick; or takes its place, while its "
             "interval is open"},
    {CONFIG_STREAM, "reorder", CONFIG_DURATION, "0", 0, DAY, AT(config_class, time.reorder),
     .help = "Ticks are held until one comes that is so much later, and go on in the order of their times; "
             "those that come later still are refused; 0: none is held"},
    {CONFIG_STREAM, "reorder_most", CONFIG_INTEGER, "64", 1, 1 << 16, AT(config_class, time.reorder_most),
     .unit = "ticks", .example = "#64", .help = "Of a stream that are held; with more the oldest goes on"},
    {CONFIG_STREAM, "missing", CONFIG_CHOICE, "last", .choices = missing, AT(config_class, missing),
     .help =
         "What networks see of a missing value: the one before; the stream's mean; or that, and behind their inputs one "
         "more for each, which is 1 where the value was observed and 0 where not (mask)"},
    {CONFIG_STREAM, "close_after", CONFIG_DURATION, "0", 0, 365 * DAY, AT(config_class, time.close_after),
     .help = "With `every`: an interval closes so long after its end, by the daemon's clock, also where no tick of a "
             "later one comes, and the stream has been silent so long; 0: only with a tick"},
    {CONFIG_STREAM, "max_clock_skew", CONFIG_DURATION, "0", 0, 365 * DAY, AT(config_class, max_clock_skew),
     .help = "Ticks further ahead of the daemon's clock than this are refused; 0: none is"},
    {CONFIG_STREAM, "gap", CONFIG_CHOICE, "ignore", .choices = gaps, AT(config_class, time.gap),
     .help = "Behind a gap in time the states go on; or, with `every`, its intervals become steps without values "
             "(fill); or the states begin anew (reset)"},
    {CONFIG_STREAM, "fill_most", CONFIG_INTEGER, "60", 1, UINT16_MAX, AT(config_class, time.fill_most),
     .unit = "steps", .example = "#60",
     .help = "With `gap: fill`: a longer gap is not filled, and the states begin anew behind it"},
    {CONFIG_STREAM, "gap_after", CONFIG_DURATION, NULL, US, 365 * DAY, AT(config_class, time.gap_after),
     .example = "#10s",
     .help =
         "Ticks further apart than this have a gap between them; left out: with `every`, an empty interval is one"},
    {CONFIG_STREAM, "max_streams", CONFIG_INTEGER, "100000", 1, 1e8, AT(config_class, max_streams), .unit = "streams",
     .live = true, .help = "More than these are refused"},
    {CONFIG_STREAM, "max_resident", CONFIG_INTEGER, NULL, 1, 1e8, AT(config_class, max_resident), .unit = "streams",
     .live = true, .example = "#10000",
     .help =
         "With `state_dir`: of more streams than these the ones that have been quiet for longest leave memory, and "
         "come back with their next tick"},
    {CONFIG_STREAM, "idle_timeout", CONFIG_DURATION, NULL, SECOND, 365 * DAY, AT(config_class, idle_timeout),
     .live = true, .example = "#1h",
     .help = "With `state_dir`: streams for which so long nothing has come leave memory, and come back with their "
             "next tick"},
    {CONFIG_STREAM, "history", CONFIG_INTEGER, NULL, 2, 1 << 24, AT(config_class, history), .unit = "steps",
     .example = "#4096",
     .help =
         "Steps kept per stream, for training and for a new version to catch up on. Left out: 4096 where max_streams is "
         "at most 1,000, else 384"},
    {CONFIG_STREAM, "pending", CONFIG_INTEGER, "64", 1, 65536, AT(config_class, pending), .unit = "steps",
     .help =
         "Steps of a stream that may wait for its models; then its worker takes nothing until they have caught up"},

    {CONFIG_MODEL, "name", CONFIG_TEXT, NULL, 1, CONFIG_MAX_NAME, AT(config_model, name), .required = 1,
     .example = "host", .help = "The name of the model, without a /: a part of its forecasts' topics"},
    {CONFIG_MODEL, "class", CONFIG_TEXT, NULL, 1, CONFIG_MAX_NAME, .required = 1, .example = "host",
     .help = "The class whose streams it forecasts"},
    {CONFIG_MODEL, "inputs", CONFIG_TEXTS, NULL, 1, CONFIG_MAX_FEATURES, .example = "#[cpu_user, cpu_system]",
     .help = "Features that it sees, in the order of the network's inputs; left out: all of the class"},
    {CONFIG_MODEL, "targets", CONFIG_TEXTS, NULL, 1, CONFIG_MAX_FEATURES, .example = "#[cpu_user]",
     .help =
         "Features that it forecasts, in the order of the network's outputs; left out: all of the class, or, of a "
         "file, its inputs"},
    {CONFIG_MODEL, "horizon", CONFIG_INTEGER, "12", 1, 4096, AT(config_model, horizon), .unit = "steps",
     .help = "How far ahead it forecasts; left out, of a file: what the network gives"},
    {CONFIG_MODEL, "period", CONFIG_INTEGER, "0", 0, 1 << 24, AT(config_model, period), .unit = "steps",
     .help = "The length of a season, for the seasonal baseline; 0: none, the baseline is the last value"},
    {CONFIG_MODEL, "layers", CONFIG_LIST, "lstm: 32", .holds = CONFIG_LAYER, .max = 32,
     COUNTED(config_model, layers, n_layers),
     .help = "The network from the inputs on; a linear head (horizon x targets) is added; []: the head alone"},
    {CONFIG_MODEL, "file", CONFIG_TEXT, NULL, 1, 4096, AT(config_model, file), .example = "#model.keras",
     .help = "Instead of layers: a Keras model (.keras, .h5), by a path from this file's folder. What its own "
             "forecastd.json says is the default of the keys here"},
    {CONFIG_MODEL, "architecture", CONFIG_TEXT, NULL, 1, 4096, AT(config_model, architecture),
     .example = "#model.json", .help = "With a file of weights alone: the JSON of its architecture"},
    {CONFIG_MODEL, "mode", CONFIG_CHOICE, NULL, .choices = modes, AT(config_model, mode), .example = "#stateful",
     .help = "stateful: one step per tick, the state carried; windowed: the last `window` steps as one sample per "
             "tick. Left out: stateful; for a file without stateful layers windowed"},
    {CONFIG_MODEL, "window", CONFIG_INTEGER, NULL, 1, 1 << 20, AT(config_model, window), .unit = "steps",
     .example = "#24", .help = "Of a sample in windowed mode; left out: what the file says"},
    {CONFIG_MODEL, "forecast", CONFIG_CHOICE, "direct", .choices = forms, AT(config_model, form),
     .help = "direct: the network gives all steps of the horizon; recursive: it gives one, which is its next input"},
    {CONFIG_MODEL, "head", CONFIG_CHOICE, "forecast", .choices = heads, AT(config_model, head),
     .help = "raw: what the network gives goes out as it is (a class, an embedding), unscored; event: how likely the "
             "label of the tick is, learnt from labels that come later"},
    {CONFIG_MODEL, "classes", CONFIG_INTEGER, "2", 2, EVENT_CLASSES_MAX, AT(config_model, classes), .example = "#2",
     .help = "Of an event: labels are 0 .. classes - 1"},
    {CONFIG_MODEL, "combine", CONFIG_CHOICE, "online", .choices = combines, AT(config_model, combine),
     .help = "What is published: a mixture of the network and the experts beside it, by their errors so far, or what "
             "one of them says, or the baseline where that says nothing; for a file that is not trained: network"},
    {CONFIG_MODEL, "experts", CONFIG_CHOICE, NULL, .choices = expert_sizes, AT(config_model, experts),
     .example = "#full",
     .help =
         "full: ridge regressions per stream and target among them, and a readout of the network's state; light: "
         "constant, few bytes per stream; none: with `combine: network`, whose default it is. Left out else: full "
         "where the class has at most 1,000 max_streams"},
    {CONFIG_MODEL, "publish_state", CONFIG_BOOLEAN, "false", AT(config_model, publish_state),
     .help = "The network's state (h, c) goes out beside each forecast"},
    {CONFIG_MODEL, "levels", CONFIG_NUMBERS, "[80, 95]", 1, 99.9, COUNTED(config_model, levels, n_levels),
     .unit = "percent",
     .help = "Intervals around each forecast that hold this share of the answers, ascending; []: none"},
    {CONFIG_MODEL, "scored", CONFIG_CHOICE, "few", .choices = scored, AT(config_model, scored),
     .help = "Steps ahead that are scored and whose intervals are adapted by themselves, few: 1, 2, 4 ... and the "
             "horizon; all: each one, of a horizon up to 512, for backtests"},
    {CONFIG_MODEL, "alerts", CONFIG_LIST, NULL, .holds = CONFIG_ALERT, .max = 64, .example = "#",
     COUNTED(config_model, alerts, n_alerts),
     .help = "Forecasts that are told of as events: that a target will probably be above, or below, a bound"},
    {CONFIG_MODEL, "batch_size", CONFIG_INTEGER, "64", 1, 65536, AT(config_model, batch_size), .unit = "streams",
     .help = "Slots of a batch: streams that one worker advances together"},
    {CONFIG_MODEL, "precision", CONFIG_CHOICE, "f32", .choices = precisions, AT(config_model, precision),
     .help =
         "Of the weights of Dense, LSTM and GRU while they serve: bf16 rounds them to bfloat16, half the memory "
         "traffic, for large networks with few streams; outputs are up to 1 % of their scale off. Training and files keep "
         "floats"},
    {CONFIG_MODEL, "scaler", CONFIG_CHOICE, "standard", .choices = scalers, AT(config_model, scaler),
     .help =
         "How values are scaled, per stream and feature: by running mean and deviation; not; or, in windowed mode, by "
         "those of each sample; for a file: none"},
    {CONFIG_MODEL, "residual", CONFIG_BOOLEAN, "true", AT(config_model, residual),
     .help = "The network forecasts the difference to the last value; for a file: false"},
    {CONFIG_MODEL, "train", CONFIG_BOOLEAN, "true", AT(config_model, train),
     .help = "false: the initial, random weights, or the file's, serve as they are; for a file: false"},
    {CONFIG_MODEL, "seed", CONFIG_INTEGER, "1", 0, 9007199254740991, AT(config_model, seed),
     .help = "Of the initial weights and the choice of windows; the bound is what JSON can carry"},
    {CONFIG_MODEL, "reset_every", CONFIG_DURATION, "0", 0, 365 * DAY, AT(config_model, reset_every),
     .help =
         "The states begin anew in each such interval of the data's time, counted from 1970; 1d: at midnight UTC; "
         "0: never"},
    {CONFIG_MODEL, "retrain_every", CONFIG_DURATION, "1h", 0, 365 * DAY, AT(config_model, retrain_every),
     .live = true, .help = "Time between trainings, of the data's own time; 0: not by the clock"},
    {CONFIG_MODEL, "retrain_on", CONFIG_CHOICE, "clock", .choices = retrain_on, AT(config_model, retrain_on),
     .live = true,
     .help = "drift: it is trained, too, when the errors of its forecasts have grown for long (Page-Hinkley)"},
    {CONFIG_MODEL, "promote", CONFIG_CHOICE, "auto", .choices = promote, AT(config_model, promote), .live = true,
     .help =
         "A newly trained version that is better serves at once: auto; after it has been better on live ticks, "
         "in the shadow of what serves: shadow; on command: manual. While one waits so, only a command trains another"},
    {CONFIG_MODEL, "training", CONFIG_MAPPING, .holds = CONFIG_TRAINING, AT(config_model, training),
     .help = "How it learns from the recent windows of its streams"},

    {CONFIG_LAYER, "lstm", CONFIG_INTEGER, NULL, 1, 4096, AT(layer_spec, units), .unit = "units", .example = "32",
     .help = "A layer is one LSTM"},
    {CONFIG_LAYER, "dropout", CONFIG_SHARE, "0", 0, 0.9, AT(layer_spec, dropout), .example = "#20%",
     .help = "Of a recurrent layer: this share of its inputs is dropped in training, the same at all steps"},
    {CONFIG_LAYER, "recurrent_dropout", CONFIG_SHARE, "0", 0, 0.9, AT(layer_spec, recurrent_dropout),
     .example = "#20%", .help = "The same of its hidden state, where it is fed back"},
    {CONFIG_LAYER, "gru", CONFIG_INTEGER, NULL, 1, 4096, AT(layer_spec, units), .unit = "units", .example = "#-16",
     .help = "or one GRU, as an entry of its own"},
    {CONFIG_LAYER, "simple_rnn", CONFIG_INTEGER, NULL, 1, 4096, AT(layer_spec, units), .unit = "units",
     .example = "#-16", .help = "or one SimpleRNN"},
    {CONFIG_LAYER, "dense", CONFIG_INTEGER, NULL, 1, 4096, AT(layer_spec, units), .unit = "units", .example = "#-16",
     .help = "or one dense layer"},
    {CONFIG_LAYER, "activation", CONFIG_CHOICE, NULL, .choices = activations, AT(layer_spec, activation),
     .example = "#relu", .help = "Of a dense layer only; left out: linear"},

    {CONFIG_TRAINING, "window", CONFIG_INTEGER, "128", 2, 1 << 20, AT(config_training, window), .unit = "steps",
     .help = "The length of a window"},
    {CONFIG_TRAINING, "stride", CONFIG_INTEGER, NULL, 1, 1 << 20, AT(config_training, stride), .unit = "steps",
     .example = "#64", .help = "Between two windows of a stream; left out: half a window"},
    {CONFIG_TRAINING, "order", CONFIG_CHOICE, "shuffled", .choices = orders, AT(config_training, order),
     .help =
         "stateful: each row of a batch is one stream, its windows follow each other and its state is carried on, as "
         "in Keras' stateful training; shuffled: windows in any order, each from a zero state"},
    {CONFIG_TRAINING, "burn_in", CONFIG_INTEGER, "16", 0, 1 << 20, AT(config_training, burn_in), .unit = "steps",
     .help = "At the start of a window: these warm the state, their errors do not count"},
    {CONFIG_TRAINING, "unroll", CONFIG_INTEGER, "32", 1, 1 << 20, AT(config_training, unroll), .unit = "steps",
     .help = "How far back a gradient reaches"},
    {CONFIG_TRAINING, "batch", CONFIG_INTEGER, "32", 1, 65536, AT(config_training, batch), .unit = "windows",
     .live = true, .help = "Windows per step of the optimizer"},
    {CONFIG_TRAINING, "epochs", CONFIG_INTEGER, "30", 1, 100000, AT(config_training, epochs), .unit = "epochs",
     .live = true, .help = "Passes over the windows"},
    {CONFIG_TRAINING, "min_steps", CONFIG_INTEGER, "400", 0, 1 << 30, AT(config_training, min_steps),
     .unit = "steps of the optimizer", .live = true,
     .help = "At least so many, by further passes where windows are few"},
    {CONFIG_TRAINING, "patience", CONFIG_INTEGER, "8", 0, 100000, AT(config_training, patience), .unit = "looks",
     .live = true,
     .help =
         "The older third of the validation part is looked at `epochs` times; after so many looks without a lower "
         "loss training ends, and the best weights are kept; 0: it never is, and the last ones are kept"},
    {CONFIG_TRAINING, "max_windows", CONFIG_INTEGER, "4096", 1, 1e7, AT(config_training, max_windows),
     .unit = "windows", .live = true,
     .help =
         "Windows of one training, over all streams: where there are more, as many of each stream, and more of the "
         "newer ones"},
    {CONFIG_TRAINING, "half_life", CONFIG_INTEGER, "0", 0, 1 << 30, AT(config_training, half_life), .unit = "steps",
     .live = true, .help = "An error so many steps older weighs half as much in training; 0: all weigh the same"},
    {CONFIG_TRAINING, "optimizer", CONFIG_CHOICE, "adam", .choices = optimizers, AT(config_training, optimizer),
     .live = true, .help = "Adam, AdamW, SGD or RMSprop, as Keras has them"},
    {CONFIG_TRAINING, "learning_rate", CONFIG_NUMBER, "0.003", 1e-9, 1, AT(config_training, learning_rate),
     .live = true, .help = "Of the optimizer; SGD wants a larger one"},
    {CONFIG_TRAINING, "momentum", CONFIG_NUMBER, "0", 0, 1, AT(config_training, momentum), .live = true,
     .help = "Of sgd and rmsprop; 0: none"},
    {CONFIG_TRAINING, "nesterov", CONFIG_BOOLEAN, "false", AT(config_training, nesterov), .live = true,
     .help = "With sgd: Nesterov's momentum"},
    {CONFIG_TRAINING, "weight_decay", CONFIG_NUMBER, NULL, 0, 1, AT(config_training, weight_decay),
     .example = "#0.004", .live = true,
     .help = "Each step takes this share of the learning rate off the weights; left out: 0.004 with adamw, else 0"},
    {CONFIG_TRAINING, "schedule", CONFIG_CHOICE, "linear", .choices = schedules, AT(config_training, schedule.kind),
     .live = true,
     .help = "How the learning rate falls over a training; step: at a half and at three quarters of it"},
    {CONFIG_TRAINING, "last_rate", CONFIG_SHARE, "10%", 1e-6, 1, AT(config_training, schedule.last), .live = true,
     .help = "The share of the learning rate that it falls to"},
    {CONFIG_TRAINING, "warm_up", CONFIG_SHARE, "0%", 0, 0.9, AT(config_training, schedule.warm_up), .live = true,
     .help = "The share of a training in which the learning rate rises from zero first"},
    {CONFIG_TRAINING, "clip_norm", CONFIG_NUMBER, "1", 0, 1e6, AT(config_training, clip_norm), .live = true,
     .help = "The largest norm of a gradient; 0: any"},
    {CONFIG_TRAINING, "clip_value", CONFIG_NUMBER, "0", 0, 1e6, AT(config_training, clip_value), .live = true,
     .help = "The largest size of each of its elements, before clip_norm; 0: any"},
    {CONFIG_TRAINING, "loss", CONFIG_CHOICE, "mse", .choices = losses, AT(config_training, loss),
     .help =
         "What training makes small: squares, absolute values, Huber's between the two; the pinball losses of the "
         "median and of the bounds of `levels`; minus the log likelihood of a normal or Student's distribution "
         "(these three have the network forecast intervals itself); or of targets that are 0 or 1, whose "
         "probability is then the forecast"},
    {CONFIG_TRAINING, "validation", CONFIG_SHARE, "20%", 0.01, 0.9, AT(config_training, validation),
     .help = "The newest share of each stream's steps, unseen by training, that judges the result"},
    {CONFIG_TRAINING, "margin", CONFIG_SHARE, "1%", 0, 0.9, AT(config_training, margin), .live = true,
     .help = "By how much a new version must beat the serving one and the baseline"},
    {CONFIG_TRAINING, "first_after", CONFIG_INTEGER, "256", 1, 1 << 30, AT(config_training, first_after),
     .unit = "steps", .live = true, .help = "Steps of a stream before a model without weights is first trained"},
    {CONFIG_TRAINING, "new_steps", CONFIG_INTEGER, "64", 0, 1 << 30, AT(config_training, new_steps), .unit = "steps",
     .live = true,
     .help =
         "Between two trainings at least so many steps have come, whatever the clock says; a command does not wait"},

    {CONFIG_ALERT, "target", CONFIG_TEXT, NULL, 1, 255, .required = 1, .example = "cpu_user", .help = "The feature"},
    {CONFIG_ALERT, "above", CONFIG_NUMBER, NULL, -1e300, 1e300, AT(config_alert, above), .example = "90",
     .live = true, .help = "The bound, in the feature's own unit; or below"},
    {CONFIG_ALERT, "below", CONFIG_NUMBER, NULL, -1e300, 1e300, AT(config_alert, below), .example = "#10",
     .live = true, .help = "Instead of above"},
    {CONFIG_ALERT, "within", CONFIG_TEXT, NULL, 1, 32, .example = "6",
     .help = "So many steps, or a duration (30m); left out: the horizon"},
    {CONFIG_ALERT, "probability", CONFIG_SHARE, "50%", 0.001, 0.999, AT(config_alert, probability), .live = true,
     .help = "That raises it; it is over below four fifths of that"},
};

const struct config_key *config_table_keys(enum config_section section, int *ret_n) {
    int first = 0, end;
    while (table[first].section != section)
        first++;
    for (end = first; end < LENGTH(table) && table[end].section == section; end++)
        ;
    *ret_n = end - first;
    return &table[first];
}

int config_table_index(enum config_section section, const char *key) {
    int n;
    const struct config_key *keys = config_table_keys(section, &n);
    int i = 0;
    while (i < n && strcmp(keys[i].key, key))
        i++;
    assert(i < n);
    return i;
}

size_t config_table_size(enum config_section section) {
    static const size_t sizes[CONFIG_SECTIONS] = {
        [CONFIG_TOP] = sizeof(struct config),          [CONFIG_BUS] = sizeof(struct config_bus),
        [CONFIG_STREAM] = sizeof(struct config_class), [CONFIG_MODEL] = sizeof(struct config_model),
        [CONFIG_LAYER] = sizeof(struct layer_spec),    [CONFIG_TRAINING] = sizeof(struct config_training),
        [CONFIG_ALERT] = sizeof(struct config_alert),
    };
    return sizes[section];
}

const char *config_table_print(char out[CONFIG_PRINTED], const struct config_key *key, double value) {
    if (key->type == CONFIG_DURATION)
        units_print_duration(out, CONFIG_PRINTED, (int64_t)value);
    else if (key->type == CONFIG_BYTES)
        units_print_bytes(out, CONFIG_PRINTED, (int64_t)value);
    else if (key->type == CONFIG_SHARE)
        snprintf(out, CONFIG_PRINTED, "%g%%", value * 100);
    else if (key->type == CONFIG_NUMBER || key->type == CONFIG_NUMBERS)
        snprintf(out, CONFIG_PRINTED, "%.10g", value);
    else
        snprintf(out, CONFIG_PRINTED, "%.0f", value);
    return out;
}
