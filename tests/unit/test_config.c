#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/config.h"
#include "tests/support/layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* ---- loading texts ---------------------------------------------------------------------------- */

struct file {
    char path[256];
};

static void file_write(struct file *file, const void *text, size_t size) {
    const char *folder = getenv("TMPDIR");
    snprintf(file->path, sizeof file->path, "%s/config-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(file->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), (ssize_t)size);
    close(fd);
}

static int load_bytes(const void *text, size_t size, struct config **ret_config, struct error *err) {
    struct file file;
    file_write(&file, text, size);
    int status = config_load(file.path, ret_config, err);
    unlink(file.path);
    if (status) { /* the sentence without the file's name, which it begins with */
        size_t length = strlen(file.path);
        assert_memory_equal(err->text, file.path, length);
        memmove(err->text, err->text + length, strlen(err->text + length) + 1);
    }
    return status;
}

static struct config *load(const char *text) {
    struct config *config = NULL;
    struct error err;
    if (load_bytes(text, strlen(text), &config, &err))
        fail_msg("%s\n%s", text, err.text);
    return config;
}

static void expect_error(const void *text, size_t size, const char *sentence) {
    struct config *untouched = (struct config *)&untouched, *config = untouched;
    struct error err;
    assert_int_equal(load_bytes(text, size, &config, &err), -1);
    assert_ptr_equal(config, untouched);
    assert_string_equal(err.text, sentence);
}

/* A configuration with only what is required, in lines 1 to 7; what a test adds to the model begins in line 8. */
#define STREAMS  "streams:\n  - class: host\n    pattern: 'host/*'\n    features: [a, b, c]\n"
#define MODELS   "models:\n  - name: m\n    class: host\n"
#define LEAST    STREAMS MODELS
#define TRAINING "    training:\n      "

/* ---- what is wrong ---------------------------------------------------------------------------- */

struct bad {
    const char *text, *sentence;
};

static const struct bad bad_yaml[] = {
    {"", ": the file is empty"},
    {"# nothing\n\n", ": the file is empty"},
    {"workers", ": must be a mapping of keys, not a single value"},
    {"- a\n", ": must be a mapping of keys, not a list"},
    {"a: 1\nb: [1, 2\nc: 3\n",
     ":3: not YAML: did not find expected ',' or ']', while parsing a flow sequence from line 2"},
    {"a: \"x\n", ":2: not YAML: found unexpected end of stream, while scanning a quoted scalar from line 1"},
    {"a:\n\t- b\n", ":2: not YAML: found character that cannot start any token, while scanning for the next token "
                    "from line 2"},
    {"workers: 1\nbus: \001\n", ":2: not a text file: control characters are not allowed"},
    {"workers: 1\n\nbus: \377\n", ":3: not a text file: invalid leading UTF-8 octet"},
    {LEAST "---\nworkers: 1\n", ":8: a second YAML document begins here; one is read"},
    {"bus: &a {ticks: ''}\nstreams: *a\n", ":2: the alias *a: aliases are not supported"},
    {"bus: {ticks: *nothing}\n", ":1: the alias *nothing: aliases are not supported"},
    {"workers: 1\nbus:\n  ticks: \"a\\0b\"\n", ":3: a value with a NUL character"},
    {"a: [[[[[[[[[[[[[[[[[[[[[[[[\n", ":1: nested deeper than 16 levels"},
    {"? [a, b]\n: 1\n" LEAST, ": has a key that is not plain text"},
    {STREAMS "models:\n  - {? {a: b} : 1}\n", ":6: models[0]: has a key that is not plain text"},
};

static const struct bad bad_keys[] = {
    {LEAST "worker: 2\n",
     ":8: worker: not a key; here are workers, log, training_cpu, journal, state_dir, sync_every, snapshot_every, journal_size, journal_ring, return_queue, bus, streams, models"},
    {LEAST "bus:\n  tick: x\n",
     ":9: bus.tick: not a key; here are ticks, acknowledged, subscribe, forecasts, forecasts_json, control, "
     "max_message, receive_hwm, send_hwm, tick_ring, forecast_ring, credit_ticks, credit_bytes, producers, producer_idle, events_per_second, "
     "repeats_per_second"},
    {LEAST "    training:\n      window: 10\n      windows: 10\n",
     ":10: models[0].training.windows: not a key; here are window, stride, order, burn_in, unroll, batch, epochs, "
     "min_steps, patience, max_windows, half_life, optimizer, learning_rate, momentum, nesterov, weight_decay, schedule, last_rate, "
     "warm_up, clip_norm, clip_value, loss, validation, margin, first_after, new_steps"},
    {LEAST "    layers:\n      - rnn: 32\n",
     ":9: models[0].layers[0].rnn: not a key; here are lstm, dropout, recurrent_dropout, gru, "
     "simple_rnn, dense, activation"},
    {LEAST "\"a\\nb\": 2\n",
     ": a: not a key; here are workers, log, training_cpu, journal, state_dir, sync_every, snapshot_every, journal_size, journal_ring, return_queue, bus, streams, models"},
    {LEAST "\"\": 2\n",
     ": \"\": not a key; here are workers, log, training_cpu, journal, state_dir, sync_every, snapshot_every, journal_size, journal_ring, return_queue, bus, streams, models"},
    {LEAST "streams.x: 2\n",
     ":8: streams.x: not a key; here are workers, log, training_cpu, journal, state_dir, sync_every, snapshot_every, journal_size, journal_ring, return_queue, bus, streams, models"},
    {LEAST "\"a[-1].b]\": 2\n",
     ":8: a[-1].b]: not a key; here are workers, log, training_cpu, journal, state_dir, sync_every, snapshot_every, journal_size, journal_ring, return_queue, bus, streams, models"},
    {LEAST "\"streams[-1].01234567890123456789012345678901234567890123456789\": 2\n",
     ":1: streams[-1].012345678901234567890123456789012345678901234567: not a key; here are workers, "
     "log, training_cpu, journal, state_dir, sync_every, snapshot_every, journal_size, journal_ring, return_queue, bus, streams, models"},
    {"workers: 2\n" LEAST "workers: 3\n", ":9: workers: given a second time"},
    {STREAMS "    history: 10\n    history: 10\n" MODELS, ":6: streams[0].history: given a second time"},
    {"workers: 1\n", ": streams: missing; it has no default"},
    {MODELS, ": streams: missing; it has no default"},
    {STREAMS, ": models: missing; it has no default"},
    {"streams: []\n" MODELS, ":1: streams: has 0 entries, needs at least 1"},
    {STREAMS "models: []\n", ":5: models: has 0 entries, needs at least 1"},
    {"streams:\n" MODELS, ":1: streams: must be a list, not a single value"},
    {"streams:\n  - {}\n" MODELS, ":2: streams[0].class: missing; it has no default"},
    {"streams:\n  - host\n" MODELS, ":2: streams[0]: must be a mapping of keys, not a single value"},
    {"streams:\n  class: host\n" MODELS, ":1: streams: must be a list, not a mapping of keys"},
    {"streams:\n  - class: a\n    pattern: x\n" MODELS, ":2: streams[0].features: missing; it has no default"},
    {"streams:\n  - class: a\n    features: [x]\n" MODELS, ":2: streams[0].pattern: missing; it has no default"},
    {"streams:\n  - pattern: a\n    features: [x]\n" MODELS, ":2: streams[0].class: missing; it has no default"},
    {"streams:\n  - class: a\n    pattern: x\n    features: []\n" MODELS,
     ":4: streams[0].features: has 0 entries, needs at least 1"},
    {"streams:\n  - class: a\n    pattern: x\n    features: x\n" MODELS,
     ":4: streams[0].features: must be a list, not a single value"},
    {"streams:\n  - class: a\n    pattern: x\n    features:\n      - x\n      - [y]\n" MODELS,
     ":6: streams[0].features[1]: must be a single value, not a list"},
    {STREAMS "models:\n  - name: m\n", ":6: models[0].class: missing; it has no default"},
    {STREAMS "models:\n  - class: host\n", ":6: models[0].name: missing; it has no default"},
    {LEAST "bus: none\n", ":8: bus: must be a mapping of keys, not a single value"},
    {LEAST "    horizon: [1]\n", ":8: models[0].horizon: must be a single value, not a list"},
    {LEAST "    training: [1]\n", ":8: models[0].training: must be a mapping of keys, not a list"},
    {LEAST "    inputs: []\n", ":8: models[0].inputs: has 0 entries, needs at least 1"},
    {LEAST "    layers: 3\n", ":8: models[0].layers: must be a list, not a single value"},
};

static const struct bad bad_values[] = {
    {"workers: -1\n" LEAST, ":1: workers: \"-1\" is not within 0 to 1024"},
    {"workers: two\n" LEAST, ":1: workers: \"two\" is not an integer"},
    {"workers:\n" LEAST, ":1: workers: \"\" is not an integer"},
    {"workers: 99999999999999999999\n" LEAST, ":1: workers: \"99999999999999999999\" is not an integer"},
    {"workers: 1.5\n" LEAST, ":1: workers: \"1.5\" is not an integer"},
    {LEAST "    retrain_every: 5 parsecs\n",
     ":8: models[0].retrain_every: \"5 parsecs\" is not a duration (a number and ns, us, ms, s, m, h "
     "or d)"},
    {LEAST "    retrain_every: 60\n",
     ":8: models[0].retrain_every: \"60\" is not a duration (a number and ns, us, ms, s, m, h or d)"},
    {LEAST "    reset_every: 366d\n", ":8: models[0].reset_every: \"366d\" is not within 0 to 365d"},
    {LEAST "    retrain_every: 1000d\n", ":8: models[0].retrain_every: \"1000d\" is not within 0 to 365d"},
    {LEAST "    horizon: 0\n", ":8: models[0].horizon: \"0\" is not within 1 to 4096"},
    {LEAST "    horizon: 5000\n", ":8: models[0].horizon: \"5000\" is not within 1 to 4096"},
    {LEAST "    batch_size: 0\n", ":8: models[0].batch_size: \"0\" is not within 1 to 65536"},
    {LEAST "    precision: f16\n", ":8: models[0].precision: \"f16\" is not f32 or bf16"},
    {LEAST "    seed: 9007199254740993\n",
     ":8: models[0].seed: \"9007199254740993\" is not within 0 to 9007199254740991"},
    {LEAST "    levels: [50, 100]\n", ":8: models[0].levels[1]: \"100\" is not within 1 to 99.9"},
    {LEAST "    levels: [50, most]\n", ":8: models[0].levels[1]: \"most\" is not a number"},
    {LEAST "    levels: 80\n", ":8: models[0].levels: must be a list, not a single value"},
    {LEAST "    levels: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n", ":8: models[0].levels: has more than 8 entries"},
    {LEAST "    scored: most\n", ":8: models[0].scored: \"most\" is not few or all"},
    {LEAST "    train: yes\n", ":8: models[0].train: \"yes\" is not true or false"},
    {LEAST "    train: xääääääääääääääääääääääääääääääääääääääää\n", /* the cut falls within a character */
     ":8: models[0].train: \"xääääääääääääääääääääääääääääääää...\" is not true or false"},
    {LEAST "    scaler: window\n",
     ":8: models[0].scaler: scaler window is by the samples of `mode: windowed`; a stateful model has none"},
    {LEAST "    scaler: minmax\n", ":8: models[0].scaler: \"minmax\" is not standard, none or window"},
    {LEAST TRAINING "loss: rmse\n",
     ":9: models[0].training.loss: \"rmse\" is not mse, mae, huber, quantile, gaussian, "
     "student_t, binary_crossentropy or categorical_crossentropy"},
    {LEAST "    levels: []\n" TRAINING "loss: quantile\n",
     ":10: models[0].training.loss: quantile learns the bounds of `levels`, which has none; give some, or mae"},
    {LEAST "    residual: true\n" TRAINING "loss: binary_crossentropy\n",
     ":8: models[0].residual: a probability is no difference to the last value (training.loss)"},
    {LEAST "    classes: 3\n", ":8: models[0].classes: is of head: event"},
    {LEAST TRAINING "loss: categorical_crossentropy\n",
     ":9: models[0].training.loss: categorical_crossentropy is of head: event"},
    {LEAST "    head: event\n    classes: 3\n" TRAINING "loss: binary_crossentropy\n",
     ":11: models[0].training.loss: of an event of 3 classes it is categorical_crossentropy"},
    {LEAST "    head: event\n    promote: shadow\n",
     ":9: models[0].promote: an event has no shadow: labels come too late for it"},
    {LEAST "    head: event\n    retrain_on: drift\n",
     ":9: models[0].retrain_on: drift is seen in errors of forecasts, and an event has none"},
    {LEAST "    head: event\n    targets: [x]\n",
     ":9: models[0].targets: an event is the label of the tick itself, and comes apart from its values"},
    {LEAST TRAINING "validation: 95%\n", ":9: models[0].training.validation: \"95%\" is not within 1% to 90%"},
    {LEAST TRAINING "validation: a fifth\n",
     ":9: models[0].training.validation: \"a fifth\" is not a share (20% or 0.2)"},
    {LEAST TRAINING "learning_rate: 0\n", ":9: models[0].training.learning_rate: \"0\" is not within 1e-09 to 1"},
    {LEAST TRAINING "momentum: 0.9\n", ":9: models[0].training.momentum: Adam has its own; it is of sgd and rmsprop"},
    {LEAST TRAINING "optimizer: sgd\n      nesterov: true\n",
     ":10: models[0].training.nesterov: is of sgd with a momentum"},
    {LEAST TRAINING "learning_rate: fast\n", ":9: models[0].training.learning_rate: \"fast\" is not a number"},
    {LEAST TRAINING "first_after: 0\n", ":9: models[0].training.first_after: \"0\" is not within 1 to 1073741824"},
    {LEAST "    layers:\n      - lstm: 32\n      - lstm: 0\n",
     ":10: models[0].layers[1].lstm: \"0\" is not within 1 to 4096"},
    {LEAST "    layers:\n      - dense: 3\n        activation: prelu\n",
     ":10: models[0].layers[0].activation: \"prelu\" is not linear, tanh, sigmoid, relu, hard_sigmoid, hard_sigmoid_keras2, softsign, softplus, elu, selu, swish, gelu, exponential or softmax"},
    {LEAST "bus:\n  max_message: 16MB\n",
     ":9: bus.max_message: \"16MB\" is not a size (bytes, or a number and KiB, MiB, GiB or TiB)"},
    {LEAST "bus:\n  max_message: 2GiB\n", ":9: bus.max_message: \"2GiB\" is not within 1KiB to 1GiB"},
    {LEAST "bus:\n  tick_ring: 1KiB\n", ":9: bus.tick_ring: \"1KiB\" is not within 64KiB to 16GiB"},
    {LEAST "bus:\n  send_hwm: 0\n", ":9: bus.send_hwm: \"0\" is not within 1 to 10000000"},
    {LEAST "bus:\n  control: ''\n", ":9: bus.control: must not be empty"},
    {LEAST "bus:\n  forecasts:\n", ":9: bus.forecasts: must not be empty"},
    {LEAST "bus:\n  ticks: |\n    tcp://127.0.0.1:1\n    and more, a long text of two lines that does not end\n",
     ":9: bus.ticks: \"tcp://127.0.0.1:1?and more, a long text of two lines that does not...\" is not "
     "an endpoint to bind (tcp://HOST:PORT or ipc://PATH)"},
    {STREAMS "    every: 1s\n    aggregate: first\n" MODELS,
     ":6: streams[0].aggregate: \"first\" is not last, mean, sum, min or max"},
    {STREAMS "    same_time: both\n" MODELS, ":5: streams[0].same_time: \"both\" is not drop, keep or replace"},
    {STREAMS "    max_clock_skew: 2y\n" MODELS,
     ":5: streams[0].max_clock_skew: \"2y\" is not a duration (a number and ns, us, ms, s, m, h or d)"},
    {STREAMS "    missing: zero\n" MODELS, ":5: streams[0].missing: \"zero\" is not last, mean or mask"},
    {STREAMS "    reorder: 2d\n" MODELS, ":5: streams[0].reorder: \"2d\" is not within 0 to 1d"},
    {STREAMS "    every: 1s\n    gap: fill\n    fill_most: 0\n" MODELS,
     ":7: streams[0].fill_most: \"0\" is not within 1 to 65535"},
    {STREAMS "    time: every\n" MODELS, ":5: streams[0].time: \"every\" is not irregular"},
    {STREAMS "    every: 0\n" MODELS, ":5: streams[0].every: \"0\" is not within 1us to 365d"},
    {STREAMS "    gap: reset\n" MODELS,
     ":5: streams[0].gap: a gap in irregular ticks is one longer than gap_after; give that"},
    {STREAMS "    gap: forget\n" MODELS, ":5: streams[0].gap: \"forget\" is not ignore, fill or reset"},
    {STREAMS "    gap_after: 0\n" MODELS, ":5: streams[0].gap_after: \"0\" is not within 1us to 365d"},
    {STREAMS "    history: 1\n" MODELS, ":5: streams[0].history: \"1\" is not within 2 to 16777216"},
    {"streams:\n  - class: a\n    pattern: ''\n    features: [x]\n" MODELS,
     ":3: streams[0].pattern: must not be empty"},
    {"streams:\n  - class: a\n    pattern: x\n    features:\n      - x\n      - ''\n" MODELS,
     ":6: streams[0].features[1]: must not be empty"},
    {STREAMS "models:\n  - name: ''\n    class: host\n", ":6: models[0].name: must not be empty"},
};

static const struct bad bad_together[] = {
    {"bus:\n  ticks: ''\n" LEAST, ":2: bus.ticks: no way in for ticks; give this, bus.acknowledged or bus.subscribe"},
    {"bus:\n  acknowledged: tcp://127.0.0.1:7704\n" LEAST,
     ":2: bus.acknowledged: needs state_dir, where the ticks are kept"},
    {"state_dir: x\nbus:\n  acknowledged: tcp://127.0.0.1:7701\n" LEAST,
     ":3: bus.acknowledged: the same endpoint as bus.ticks"},
    {"bus:\n  ticks: udp://127.0.0.1:1\n" LEAST,
     ":2: bus.ticks: \"udp://127.0.0.1:1\" is not an endpoint to bind (tcp://HOST:PORT or ipc://PATH)"},
    {"bus:\n  ticks: inproc://ticks\n" LEAST,
     ":2: bus.ticks: \"inproc://ticks\" is not an endpoint to bind (tcp://HOST:PORT or ipc://PATH)"},
    {"bus:\n  ticks: tcp://127.0.0.1\n" LEAST,
     ":2: bus.ticks: \"tcp://127.0.0.1\" is not an endpoint to bind (tcp://HOST:PORT or ipc://PATH)"},
    {"bus:\n  ticks: tcp://127.0.0.1:70000\n" LEAST,
     ":2: bus.ticks: \"tcp://127.0.0.1:70000\" is not an endpoint to bind (tcp://HOST:PORT or "
     "ipc://PATH)"},
    {"bus:\n  control: ipc://\n" LEAST,
     ":2: bus.control: \"ipc://\" is not an endpoint to bind (tcp://HOST:PORT or ipc://PATH)"},
    {"bus:\n  subscribe:\n    - tcp://a:1\n    - tcp://*:2\n" LEAST,
     ":4: bus.subscribe[1]: \"tcp://*:2\" is not an endpoint to connect to (tcp://HOST:PORT or "
     "ipc://PATH)"},
    {"bus:\n  subscribe: ['tcp://a:*']\n" LEAST,
     ":2: bus.subscribe[0]: \"tcp://a:*\" is not an endpoint to connect to (tcp://HOST:PORT or "
     "ipc://PATH)"},
    {"bus:\n  control: tcp://127.0.0.1:7701\n" LEAST, ":2: bus.control: the same endpoint as bus.ticks"},
    {STREAMS "  - class: host\n    pattern: x\n    features: [a]\n" MODELS,
     ":5: streams[1].class: a second class \"host\""},
    {STREAMS "  - class: other\n    pattern: host/*\n    features: [a]\n" MODELS,
     ":6: streams[1].pattern: the same as streams[0].pattern, which has all these streams"},
    {STREAMS "  - class: other\n    pattern: x\n    features: [a]\n" MODELS,
     ":5: streams[1].class: no model forecasts class \"other\""},
    {"streams:\n  - class: host\n    pattern: x\n    features: [a, b, a]\n" MODELS,
     ":4: streams[0].features[2]: a second feature \"a\""},
    {STREAMS "    time: irregular\n    every: 1s\n" MODELS,
     ":6: streams[0].every: contradicts `time: irregular`; for fixed intervals leave time out"},
    {STREAMS "    aggregate: mean\n" MODELS,
     ":5: streams[0].aggregate: is of the ticks within an interval; give every"},
    {STREAMS "    same_time: replace\n" MODELS,
     ":5: streams[0].same_time: an irregular tick is a step at once, and cannot be replaced; give every or "
     "reorder"},
    {STREAMS "    close_after: 5s\n" MODELS, ":5: streams[0].close_after: is of intervals; give every"},
    {STREAMS "    every: 1s\n    close_after: 5s\n    reorder: 6s\n" MODELS,
     ":6: streams[0].close_after: is shorter than reorder, for which ticks are held"},
    {STREAMS "    reorder_most: 5\n" MODELS, ":5: streams[0].reorder_most: is of reorder; give that"},
    {STREAMS "    every: 1s\n    reorder: 2m\n    history: 120\n" MODELS,
     ":6: streams[0].reorder: is longer than the history of the class, 120 steps"},
    {STREAMS "    gap: fill\n" MODELS, ":5: streams[0].gap: only intervals can be filled in; give every"},
    {STREAMS "    every: 1s\n    gap: fill\n    gap_after: 5s\n" MODELS,
     ":7: streams[0].gap_after: with `gap: fill` a gap is more than fill_most empty intervals; give that"},
    {STREAMS "    every: 1s\n    fill_most: 5\n" MODELS, ":6: streams[0].fill_most: is of `gap: fill`"},
    {LEAST "  - name: m\n    class: host\n", ":8: models[1].name: a second model \"m\""},
    {STREAMS "models:\n  - name: a/b\n    class: host\n", ":6: models[0].name: \"a/b\" has a /, which parts a topic"},
    {STREAMS "models:\n  - name: m\n    class: hosts\n",
     ":7: models[0].class: there is no class \"hosts\" in streams"},
    {LEAST "    inputs: [a, d]\n", ":8: models[0].inputs[1]: the class has no feature \"d\""},
    {LEAST "    targets:\n      - c\n      - a\n      - c\n",
     ":11: models[0].targets[2]: \"c\" is named a second time"},
    {LEAST "    horizon: 384\n", ":8: models[0].horizon: 384 is not less than 384, the history of its class"},
    {LEAST "    levels:\n      - 80\n      - 80\n", ":10: models[0].levels[1]: 80 is not above the 80 before it"},
    {LEAST "    experts: none\n",
     ":8: models[0].experts: none leaves the network alone, which `combine: network` asks for"},
    {LEAST "    combine: seasonal\n", ":8: models[0].combine: seasonal needs a period"},
    {LEAST "    combine: readout\n",
     ":8: models[0].combine: readout needs experts: full (light is the default of a class of more than 1000)"},
    {LEAST "    combine: readout\n    experts: full\n    layers: [{dense: 4}]\n",
     ":8: models[0].combine: readout needs a recurrent network that carries its state"},
    {LEAST "    combine: ridge\n    train: false\n",
     ":8: models[0].combine: ridge of light experts is solved in trainings, on scaled values; give train: true, or "
     "experts: full"},
    {LEAST "    combine: ridge\n    scaler: none\n",
     ":8: models[0].combine: ridge of light experts is solved in trainings, on scaled values; give experts: full"},
    {LEAST "    alerts:\n      - target: a\n", ":9: models[0].alerts[0]: neither above nor below"},
    {LEAST "    alerts:\n      - {target: a, above: 1, below: 0}\n",
     ":9: models[0].alerts[0]: above and below in one alert; give each its own"},
    {LEAST "    alerts:\n      - {target: a, above: 1}\n      - {target: z, above: 1}\n",
     ":10: models[0].alerts[1].target: the model does not forecast \"z\""},
    {LEAST "    targets: [a]\n    alerts:\n      - {target: b, above: 1}\n",
     ":10: models[0].alerts[0].target: the model does not forecast \"b\""},
    {LEAST "    levels: []\n    alerts:\n      - {target: a, above: 1}\n",
     ":10: models[0].alerts[0]: without levels no probability is known"},
    {LEAST "    alerts:\n      - {target: a, above: 1, within: 13}\n",
     ":9: models[0].alerts[0].within: 13 is not within 1 to 12, the horizon"},
    {LEAST "    alerts:\n      - {target: a, above: 1, within: soon}\n",
     ":9: models[0].alerts[0].within: \"soon\" is neither a number of steps nor a duration"},
    {STREAMS "    every: 1m\n" MODELS "    alerts:\n      - {target: a, above: 1, within: 13m}\n",
     ":10: models[0].alerts[0].within: 13m is not within one step and the 12 of the horizon"},
    {LEAST "    alerts:\n      - {target: a, above: 1, probability: 100%}\n",
     ":9: models[0].alerts[0].probability: \"100%\" is not within 0.1% to 99.9%"},
    {LEAST "    alerts:\n      - {above: 1}\n", ":9: models[0].alerts[0].target: missing; it has no default"},
    {STREAMS "    history: 1024\n" MODELS "    horizon: 600\n    scored: all\n",
     ":10: models[0].scored: all steps are scored of a horizon up to 512, not of 600"},
    {LEAST "    period: 2000\n",
     ":8: models[0].period: 2000 is more than 372, the history of its class less the horizon"},
    {STREAMS "    history: 100\n" MODELS,
     ":7: models[0].training.window: 128 is more than 100, the history of its class"},
    {LEAST TRAINING "window: 385\n", ":9: models[0].training.window: 385 is more than 384, the history of its class"},
    {LEAST TRAINING "burn_in: 128\n", ":9: models[0].training.burn_in: 128 is not less than 128, the window"},
    {LEAST TRAINING "order: stateful\n      unroll: 48\n",
     ":10: models[0].training.unroll: in stateful order the window, 128, is a multiple of it"},
    {LEAST TRAINING "order: stateful\n      stride: 8\n",
     ":10: models[0].training.stride: in stateful order windows follow each other; leave it out"},
    {LEAST TRAINING "unroll: 129\n", ":9: models[0].training.unroll: 129 is more than 128, the window"},
    {LEAST "    layers:\n      - lstm: 32\n        dense: 16\n",
     ":9: models[0].layers[0]: lstm and dense in one layer; begin the second with a - of its own"},
    {LEAST "    layers:\n      - activation: relu\n",
     ":9: models[0].layers[0]: a layer without a kind; give lstm, gru, simple_rnn or dense"},
    {LEAST "    layers:\n      - lstm: 32\n        activation: tanh\n",
     ":10: models[0].layers[0].activation: a recurrent layer has Keras' own; only a dense layer takes one"},
    {LEAST "    layers:\n      - dense: 4\n        recurrent_dropout: 20%\n",
     ":10: models[0].layers[0].recurrent_dropout: a dense layer drops nothing; it is for recurrent layers"},
    {LEAST "    layers:\n      - gru: 4\n        dropout: 1\n",
     ":10: models[0].layers[0].dropout: \"1\" is not within 0% to 90%"},
    {STREAMS "    history: 1024\n" MODELS TRAINING "window: 1024\n      unroll: 1024\n      batch: 2048\n",
     ":12: models[0].training.batch: 2048 windows of 1024 unrolled steps are more than 1048576 at once"},
    {LEAST "    horizon: 300\nbus:\n  forecast_ring: 40KiB\n",
     ":10: bus.forecast_ring: \"40KiB\" is not within 64KiB to 16GiB"},
    {"streams:\n  - class: host\n    pattern: x\n    features: [a, b, c, d, e]\n    history: 1024\n" MODELS
     "    horizon: 1000\nbus:\n  forecast_ring: 64KiB\n",
     ":9: models[0].horizon: a forecast of 1000 steps of 5 targets does not fit bus.forecast_ring"},
};

static void expect_all(const struct bad *bad, size_t n) {
    for (size_t i = 0; i < n; i++)
        expect_error(bad[i].text, strlen(bad[i].text), bad[i].sentence);
}

static void refuses_what_is_not_yaml(void **state) {
    (void)state;
    expect_all(bad_yaml, LENGTH(bad_yaml));
}

static void refuses_wrong_keys(void **state) {
    (void)state;
    expect_all(bad_keys, LENGTH(bad_keys));
}

static void refuses_wrong_values(void **state) {
    (void)state;
    expect_all(bad_values, LENGTH(bad_values));
}

static void refuses_what_does_not_fit_together(void **state) {
    (void)state;
    expect_all(bad_together, LENGTH(bad_together));
}

/* ---- files ------------------------------------------------------------------------------------ */

static void expect_file_error(const char *path, const char *sentence) {
    struct config *config;
    struct error err;
    assert_int_equal(config_load(path, &config, &err), -1);
    assert_string_equal(err.text, sentence);
}

static void refuses_files_that_cannot_be_read(void **state) {
    (void)state;
    expect_file_error("conf/no.yaml", "conf/no.yaml: cannot be opened: No such file or directory");
    expect_file_error("conf", "conf: cannot be read: Is a directory");
    if (geteuid() == 0)
        return; /* root reads every file */
    struct file file;
    char sentence[512];
    file_write(&file, LEAST, strlen(LEAST));
    chmod(file.path, 0);
    snprintf(sentence, sizeof sentence, "%s: cannot be opened: Permission denied", file.path);
    expect_file_error(file.path, sentence);
    unlink(file.path);
}

enum { MIB = 1 << 20 };

static void refuses_large_files(void **state) {
    (void)state;
    char *text = malloc(MIB + 1);
    assert_non_null(text);
    memset(text, '#', MIB + 1);
    expect_error(text, MIB + 1, ": larger than 1 MiB, which no configuration is");
    expect_error(text, MIB, ": the file is empty");
    memset(text, '[', MIB); /* in one look, not in libyaml's hours */
    expect_error(text, MIB, ":1: nested deeper than 16 levels");
    for (int i = 0; i < MIB; i++)
        text[i] = "- "[i % 2];
    expect_error(text, MIB, ":1: nested deeper than 16 levels");
    for (int i = 0; i < MIB; i++)
        text[i] = (char)((unsigned)i * 2654435761u >> 13);
    expect_error(text, MIB, ":1: not a text file: control characters are not allowed");
    int used = sprintf(text, LEAST "bus:\n  subscribe: [");
    memset(text + used, 'a', MIB - (size_t)used);
    for (int i = used; i < MIB; i += 2)
        text[i] = ',';
    text[used] = 'a';
    text[MIB - 1] = ']';
    expect_error(text, MIB, ":9: bus.subscribe: has more than 1000 entries");
    free(text);
}

static void bounds_names(void **state) {
    (void)state;
    char text[1024], name[CONFIG_MAX_NAME + 2], unknown[512];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    snprintf(text, sizeof text, STREAMS "models:\n  - name: %s\n    class: host\n", name);
    expect_error(text, strlen(text), ":6: models[0].name: longer than 255 bytes");
    name[sizeof name - 2] = 0;
    snprintf(text, sizeof text, STREAMS "models:\n  - name: %s\n    class: host\n", name);
    config_free(load(text));
    /* A long key is cut; the sentence still ends. */
    snprintf(text, sizeof text, LEAST "%s: 1\n", name);
    snprintf(
        unknown, sizeof unknown,
        ": %.60s: not a key; here are workers, log, training_cpu, journal, state_dir, sync_every, snapshot_every, journal_size, journal_ring, return_queue, bus, streams, models",
        name);
    expect_error(text, strlen(text), unknown);
}

/* Half a file, or one with a byte changed, is a configuration or one sentence: with the sanitizers, a small fuzz. */
static void survives_damage(void **state) {
    (void)state;
    char *text;
    size_t size;
    FILE *memory = open_memstream(&text, &size);
    assert_non_null(memory);
    config_print_example(memory);
    fclose(memory);
    for (size_t i = 0; i < size; i += 13) {
        struct config *config = NULL;
        struct error err;
        char kept = text[i];
        text[i] = "[{\n-&\"!|:\xc3"[i % 10];
        if (load_bytes(text, i % 2 ? size : i, &config, &err))
            assert_null(strchr(err.text, '\n'));
        config_free(config);
        text[i] = kept;
    }
    free(text);
}

/* ---- what is right ---------------------------------------------------------------------------- */

static void few_streams_have_more(void **state) {
    (void)state;
    struct config *config = load(STREAMS "    max_streams: 1000\n" MODELS);
    assert_int_equal(config->classes[0].history, 4096);
    assert_int_equal(config->models[0].experts, EXPERTS_FULL);
    config_free(config);
    config = load(STREAMS "    max_streams: 1001\n" MODELS);
    assert_int_equal(config->classes[0].history, 384);
    assert_int_equal(config->models[0].experts, EXPERTS_LIGHT);
    config_free(config);
    config = load(LEAST "    combine: network\n");
    assert_int_equal(config->models[0].experts, EXPERTS_NONE);
    config_free(config);
    config = load(STREAMS "    history: 777\n" MODELS);
    assert_int_equal(config->classes[0].history, 777);
    config_free(config);
}

static void has_defaults(void **state) {
    (void)state;
    struct config *config = load(LEAST);
    assert_int_equal(config->workers, sysconf(_SC_NPROCESSORS_ONLN));
    const struct config_bus *bus = &config->bus;
    assert_string_equal(bus->ticks, "tcp://127.0.0.1:7701");
    assert_int_equal(bus->n_subscribe, 0);
    assert_string_equal(bus->forecasts, "tcp://127.0.0.1:7702");
    assert_string_equal(bus->forecasts_json, "");
    assert_string_equal(bus->control, "tcp://127.0.0.1:7703");
    assert_int_equal(bus->max_message, 16 << 20);
    assert_int_equal(bus->receive_hwm, 1000);
    assert_int_equal(bus->send_hwm, 100000);
    assert_int_equal(bus->tick_ring, 4 << 20);
    assert_int_equal(bus->forecast_ring, 16 << 20);
    assert_true(bus->events_per_second == 10 && bus->repeats_per_second == 10000);
    assert_int_equal(config->n_classes, 1);
    const struct config_class *class = &config->classes[0];
    assert_string_equal(class->name, "host");
    assert_string_equal(class->pattern, "host/*");
    assert_int_equal(class->n_features, 3);
    assert_string_equal(class->features[2], "c");
    assert_int_equal(class->time.every, 0);
    assert_true(class->time.gap == GAP_IGNORE && class->time.gap_after == 0);
    assert_int_equal(class->max_streams, 100000);
    assert_int_equal(class->history, 384); /* of a class of many streams */
    assert_int_equal(class->pending, 64);
    assert_int_equal(config->n_models, 1);
    const struct config_model *model = &config->models[0];
    assert_string_equal(model->name, "m");
    assert_int_equal(model->class, 0);
    assert_int_equal(model->n_inputs, 3);
    assert_int_equal(model->n_targets, 3);
    for (int i = 0; i < 3; i++)
        assert_true(model->inputs[i] == i && model->targets[i] == i);
    assert_int_equal(model->horizon, 12);
    assert_int_equal(model->period, 0);
    assert_int_equal(model->n_layers, 1);
    assert_int_equal(model->layers[0].kind, LAYER_LSTM);
    assert_int_equal(model->layers[0].units, 32);
    assert_true(model->n_levels == 2 && model->levels[0] == 80 && model->levels[1] == 95);
    assert_int_equal(model->scored, SCORED_FEW);
    assert_int_equal(model->batch_size, 64);
    assert_int_equal(model->precision, PRECISION_F32);
    assert_int_equal(model->scaler, SCALER_STANDARD);
    assert_true(model->residual && model->train);
    assert_int_equal(model->seed, 1);
    assert_int_equal(model->retrain_every, 3600000000000);
    assert_int_equal(model->retrain_on, RETRAIN_ON_CLOCK);
    assert_int_equal(model->promote, PROMOTE_AUTO);
    assert_true(config->training_cpu == 1);
    assert_int_equal(model->reset_every, 0);
    const struct config_training *training = &model->training;
    assert_int_equal(training->window, 128);
    assert_int_equal(training->burn_in, 16);
    assert_int_equal(training->unroll, 32);
    assert_int_equal(training->batch, 32);
    assert_int_equal(training->epochs, 30);
    assert_int_equal(training->min_steps, 400);
    assert_int_equal(training->max_windows, 4096);
    assert_true(training->learning_rate == 0.003 && training->clip_norm == 1 && training->clip_value == 0);
    assert_int_equal(training->optimizer, OPTIMIZER_ADAM);
    assert_true(training->momentum == 0 && !training->nesterov && training->weight_decay == 0);
    assert_int_equal(training->loss, LOSS_MSE);
    assert_true(training->validation == 0.2 && training->margin == 0.01);
    assert_int_equal(training->first_after, 256);
    assert_int_equal(training->new_steps, 64);
    config_free(config);
}

static const char full[] =
    "workers: 3\n"
    "state_dir: /var/lib/x\nsync_every: 5ms\nsnapshot_every: 1m\njournal_size: 3MiB\njournal_ring: 2MiB\n"
    "bus: {ticks: '', acknowledged: 'tcp://*:7', credit_ticks: 6, credit_bytes: 1MiB, producers: 8, producer_idle: 1h,\n"
    "      subscribe: ['tcp://a:1', 'ipc:///run/b'], forecasts: 'tcp://*:2', forecasts_json: 'tcp://*:3',\n"
    "      control: 'tcp://*:*', max_message: 1MiB, receive_hwm: 4, send_hwm: 5, tick_ring: 65536,\n"
    "      forecast_ring: 1GiB, events_per_second: 0.5, repeats_per_second: 0}\n"
    "models:\n"
    "  - {name: one, class: second, inputs: [z, x], targets: [y], horizon: 6, period: 7, batch_size: 8, scaler: none,\n"
    "     precision: bf16,\n"
    "     levels: [50, 90.5, 99], scored: all,\n"
    "     alerts: [{target: y, above: 90}, {target: y, below: -1.5, within: 2, probability: 90%}, {target: y, above: 0, "
    "within: 6s}],\n"
    "     layers: [{dense: 9, activation: sigmoid}, {lstm: 10}, {dense: 11}, {gru: 12, dropout: 25%},\n"
    "              {simple_rnn: 13, recurrent_dropout: 0.5}], residual: false, train: false,\n"
    "     seed: 9007199254740991, retrain_every: 0, retrain_on: drift, promote: manual, reset_every: 1d,\n"
    "     training: {window: 12, burn_in: 1, unroll: 12, batch: 13, epochs: 14, min_steps: 17, max_windows: 15, loss: huber,\n"
    "                learning_rate: 1e-4, optimizer: sgd, momentum: 0.9, nesterov: true,\n"
    "                weight_decay: 0.01, clip_value: 2, clip_norm: 0, validation: 0.25, margin: 0, first_after: 16, new_steps: 5}}\n"
    "  - {name: two, class: first, layers: [], levels: [], training: {loss: binary_crossentropy}}\n"
    "  - {name: three, class: first, training: {loss: student_t, optimizer: adamw}, layers: [{dense: 1, activation: softmax}]}\n"
    "streams:\n"
    "  - {class: first, pattern: '*', features: [x], time: irregular}\n"
    "  - {class: second, pattern: 's?', features: [x, y, z], every: 1.5s, aggregate: last, max_streams: 17,\n"
    "     history: 18, pending: 19, gap: reset, gap_after: 1m}\n";

static void check_full_bus(const struct config_bus *bus) {
    assert_string_equal(bus->acknowledged, "tcp://*:7");
    assert_int_equal(bus->credit_ticks, 6);
    assert_int_equal(bus->credit_bytes, 1 << 20);
    assert_int_equal(bus->producers, 8);
    assert_int_equal(bus->producer_idle, INT64_C(3600000000000));
    assert_string_equal(bus->ticks, "");
    assert_int_equal(bus->n_subscribe, 2);
    assert_string_equal(bus->subscribe[1], "ipc:///run/b");
    assert_string_equal(bus->forecasts, "tcp://*:2");
    assert_string_equal(bus->forecasts_json, "tcp://*:3");
    assert_string_equal(bus->control, "tcp://*:*");
    assert_int_equal(bus->max_message, MIB);
    assert_int_equal(bus->receive_hwm, 4);
    assert_int_equal(bus->send_hwm, 5);
    assert_int_equal(bus->tick_ring, 65536);
    assert_int_equal(bus->forecast_ring, 1 << 30);
    assert_true(bus->events_per_second == 0.5 && bus->repeats_per_second == 0);
}

static void check_full_model(const struct config_model *model) {
    assert_string_equal(model->name, "one");
    assert_int_equal(model->class, 1);
    assert_int_equal(model->n_inputs, 2);
    assert_true(model->inputs[0] == 2 && model->inputs[1] == 0);
    assert_int_equal(model->n_targets, 1);
    assert_int_equal(model->targets[0], 1);
    assert_int_equal(model->horizon, 6);
    assert_int_equal(model->period, 7);
    assert_true(model->n_levels == 3 && model->levels[1] == 90.5 && model->levels[2] == 99);
    assert_int_equal(model->scored, SCORED_ALL);
    assert_int_equal(model->n_alerts, 3);
    const struct config_alert *alerts = model->alerts;
    assert_true(alerts[0].target == 0 && alerts[0].above == 90 && isnan(alerts[0].below) && alerts[0].steps == 6);
    assert_true(alerts[1].below == -1.5 && isnan(alerts[1].above) && alerts[1].steps == 2);
    assert_true(alerts[0].probability == 0.5 && alerts[1].probability == 0.9);
    assert_true(alerts[2].steps == 4 && alerts[2].time == 0); /* of 1.5 s */
    assert_int_equal(model->batch_size, 8);
    assert_int_equal(model->precision, PRECISION_BF16);
    assert_int_equal(model->scaler, SCALER_NONE);
    assert_int_equal(model->n_layers, 5);
    assert_int_equal(model->layers[3].kind, LAYER_GRU);
    assert_int_equal(model->layers[4].kind, LAYER_SIMPLE_RNN);
    assert_true(model->layers[3].dropout == 0.25f && model->layers[3].recurrent_dropout == 0);
    assert_true(model->layers[4].dropout == 0 && model->layers[4].recurrent_dropout == 0.5f);
    assert_true(model->layers[4].units == 13 && model->layers[4].return_sequences);
    const struct layer_spec layers[] = {
        DENSE(9, ACTIVATION_SIGMOID),
        LSTM(10),
        DENSE(11, ACTIVATION_LINEAR),
    };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(model->layers[i].kind, layers[i].kind);
        assert_int_equal(model->layers[i].units, layers[i].units);
        assert_int_equal(model->layers[i].activation, layers[i].activation);
    }
    assert_false(model->residual || model->train);
    assert_int_equal(model->seed, 9007199254740991);
    assert_int_equal(model->retrain_every, 0);
    assert_int_equal(model->retrain_on, RETRAIN_ON_DRIFT);
    assert_int_equal(model->promote, PROMOTE_MANUAL);
    assert_int_equal(model->reset_every, 86400000000000);
    const struct config_training *training = &model->training;
    assert_true(training->window == 12 && training->burn_in == 1 && training->unroll == 12);
    assert_true(training->batch == 13 && training->epochs == 14 && training->min_steps == 17 &&
                training->max_windows == 15);
    assert_true(training->learning_rate == 1e-4 && training->clip_norm == 0 && training->clip_value == 2);
    assert_int_equal(training->optimizer, OPTIMIZER_SGD);
    assert_true(training->momentum == 0.9 && training->nesterov && training->weight_decay == 0.01);
    assert_int_equal(training->loss, LOSS_HUBER);
    assert_true(training->validation == 0.25 && training->margin == 0);
    assert_int_equal(training->first_after, 16);
    assert_int_equal(training->new_steps, 5);
}

static void takes_every_key(void **state) {
    (void)state;
    struct config *config = load(full);
    assert_int_equal(config->workers, 3);
    assert_string_equal(config->state_dir, "/var/lib/x");
    assert_int_equal(config->sync_every, 5000000);
    assert_int_equal(config->snapshot_every, INT64_C(60000000000));
    assert_int_equal(config->journal_size, 3 << 20);
    assert_int_equal(config->journal_ring, 2 << 20);
    check_full_bus(&config->bus);
    assert_int_equal(config->n_classes, 2);
    const struct config_class *class = &config->classes[1];
    assert_string_equal(class->pattern, "s?");
    assert_int_equal(class->time.every, 1500000000);
    assert_true(class->time.gap == GAP_RESET && class->time.gap_after == 60000000000);
    assert_int_equal(class->max_streams, 17);
    assert_int_equal(class->history, 18);
    assert_int_equal(class->pending, 19);
    assert_int_equal(config->n_models, 3);
    check_full_model(&config->models[0]);
    assert_int_equal(config->models[1].n_layers, 0);
    assert_int_equal(config->models[1].n_levels, 0);
    assert_int_equal(config->models[1].training.window, 128);
    assert_int_equal(config->models[2].class, 0);
    assert_int_equal(config->models[2].training.loss, LOSS_STUDENT_T);
    assert_true(config->models[2].training.weight_decay == 0.004);
    assert_int_equal(config->models[1].training.loss, LOSS_BINARY_CROSSENTROPY);
    assert_false(config->models[1].residual);
    assert_int_equal(config->models[2].layers[0].activation, ACTIVATION_SOFTMAX);
    config_free(config);
}

static void takes_one_expert_alone(void **state) {
    (void)state;
    static const char *const good[] = {"    combine: ridge\n",
                                       "    combine: ridge\n    experts: full\n    train: false\n",
                                       "    combine: readout\n    experts: full\n",
                                       "    combine: readout\n    experts: full\n    train: false\n",
                                       "    combine: seasonal\n    period: 24\n",
                                       "    combine: readout\n    head: event\n"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", LEAST, good[i]);
        config_free(load(text));
    }
}

static void takes_an_event(void **state) {
    (void)state;
    struct config *config = load(LEAST "    head: event\n");
    assert_int_equal(config->models[0].classes, 2);
    assert_int_equal(config->models[0].training.loss, LOSS_BINARY_CROSSENTROPY);
    assert_true(config->models[0].n_targets == 0 && config->models[0].horizon == 0 && config->classes[0].labels == 2);
    config_free(config);
    config = load(LEAST "    head: event\n    classes: 7\n");
    assert_int_equal(config->models[0].training.loss, LOSS_CATEGORICAL_CROSSENTROPY);
    config_free(config);
    config = load(LEAST);
    assert_false(config->classes[0].labels);
    config_free(config);
}

static void takes_what_just_fits(void **state) {
    (void)state;
    static const char *const texts[] = {
        LEAST "    horizon: 383\nbus:\n  forecast_ring: 64KiB\n",
        LEAST "    period: 372\n" TRAINING "window: 384\n      burn_in: 383\n      unroll: 384\n",
        LEAST "bus:\nworkers: 1024\n",
        "%YAML 1.1\n---\n" LEAST "...\n",
        "\xef\xbb\xbf" LEAST,
    };
    for (size_t i = 0; i < LENGTH(texts); i++)
        config_free(load(texts[i]));
    config_free(NULL);
}

static void example_is_the_committed_file(void **state) {
    (void)state;
    char *printed;
    size_t size;
    FILE *memory = open_memstream(&printed, &size);
    assert_non_null(memory);
    config_print_example(memory);
    fclose(memory);
    FILE *file = fopen("conf/forecastd.yaml", "r");
    assert_non_null(file);
    char *committed = calloc(1, size + 2);
    assert_non_null(committed);
    assert_int_equal(fread(committed, 1, size + 1, file), size);
    fclose(file);
    assert_string_equal(committed, printed);
    free(committed);
    free(printed);
}

/* The example says the defaults: it loads as what says least does. */
static void example_loads(void **state) {
    (void)state;
    struct config *config;
    struct error err;
    if (config_load("conf/forecastd.yaml", &config, &err))
        fail_msg("%s", err.text);
    struct config *least = load(LEAST);
    assert_int_equal(config->workers, least->workers);
    assert_int_equal(config->bus.forecast_ring, least->bus.forecast_ring);
    assert_memory_equal(&config->models[0].training, &least->models[0].training, sizeof(struct config_training));
    assert_int_equal(config->models[0].n_layers, 1);
    assert_memory_equal(config->models[0].layers, least->models[0].layers, sizeof(struct layer_spec));
    config_free(least);
    config_free(config);
}

static void demo_loads(void **state) {
    (void)state;
    static const char *const names[] = {"host", "cpu", "disk", "net"};
    struct config *config;
    struct error err;
    if (config_load("conf/demo.yaml", &config, &err))
        fail_msg("%s", err.text);
    assert_int_equal(config->workers, 2);
    assert_int_equal(config->n_classes, LENGTH(names));
    assert_int_equal(config->n_models, LENGTH(names));
    for (size_t i = 0; i < LENGTH(names); i++) {
        const struct config_model *model = &config->models[i];
        assert_string_equal(config->classes[i].name, names[i]);
        assert_string_equal(model->name, names[i]);
        assert_int_equal(model->class, i);
        assert_int_equal(model->horizon, 25);
        assert_true(model->training.first_after <= 60 * 5);
        assert_true(model->training.window + model->horizon <= model->training.first_after);
    }
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_not_yaml),
        cmocka_unit_test(refuses_wrong_keys),
        cmocka_unit_test(refuses_wrong_values),
        cmocka_unit_test(refuses_what_does_not_fit_together),
        cmocka_unit_test(refuses_files_that_cannot_be_read),
        cmocka_unit_test(refuses_large_files),
        cmocka_unit_test(bounds_names),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(few_streams_have_more),
        cmocka_unit_test(takes_every_key),
        cmocka_unit_test(takes_one_expert_alone),
        cmocka_unit_test(takes_an_event),
        cmocka_unit_test(takes_what_just_fits),
        cmocka_unit_test(example_is_the_committed_file),
        cmocka_unit_test(example_loads),
        cmocka_unit_test(demo_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
