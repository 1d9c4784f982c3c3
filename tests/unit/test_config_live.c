#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/config_live.h"

#include "engine/config_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS(more) "streams:\n  - {class: c, pattern: 'c/*', features: [a, b]" more "}\n"
#define MODELS(more)  "models:\n  - {name: m, class: c" more "}\n"

static struct config *load(const char *text) {
    struct config *config;
    struct error err;
    if (config_parse("test", (const uint8_t *)text, strlen(text), &config, &err) != 0)
        fail_msg("%s", err.text);
    return config;
}

struct heard {
    char live[4096], other[4096];
};

static void hear(void *context, const char *path, bool live) {
    struct heard *heard = context;
    char *text = live ? heard->live : heard->other;
    size_t used = strlen(text);
    snprintf(text + used, sizeof heard->live - used, "%s%s", used > 0 ? " " : "", path);
}

/* What is told of a change from one to the other; the first has taken over what is live. */
static struct config *expect(const char *before, const char *after, const char *live, const char *other) {
    struct config *to = load(before), *from = load(after);
    struct heard heard = {0};
    config_take_live(to, from, hear, &heard);
    assert_string_equal(heard.live, live);
    assert_string_equal(heard.other, other);
    /* A second time only what is not live is left. */
    memset(&heard, 0, sizeof heard);
    config_take_live(to, from, hear, &heard);
    assert_string_equal(heard.live, "");
    assert_string_equal(heard.other, other);
    config_free(from);
    return to;
}

static void expect_other(const char *before, const char *after, const char *other) {
    config_free(expect(before, after, "", other));
}

static void the_same_changes_nothing(void **state) {
    (void)state;
    config_free(expect(STREAMS("") MODELS(""), STREAMS("") MODELS(", horizon: 12"), "", ""));
}

static void what_is_live_is_taken_over(void **state) {
    (void)state;
    struct config *config = expect(
        "log: info\ntraining_cpu: 50%\n" STREAMS("") MODELS(", retrain_every: 1h, training: {epochs: 3}"),
        "log: debug\ntraining_cpu: 25%\nsync_every: 7ms\nsnapshot_every: 2m\n"
        "bus: {events_per_second: 3, repeats_per_second: 0}\n" STREAMS(", max_streams: 2000, idle_timeout: 1m")
            MODELS(", retrain_every: 5m, retrain_on: drift, promote: manual, training: {epochs: 4, nesterov: true, "
                   "optimizer: sgd, momentum: 0.9, learning_rate: 0.5, margin: 2%}"),
        "log training_cpu sync_every snapshot_every bus.events_per_second bus.repeats_per_second "
        "streams[0].max_streams streams[0].idle_timeout models[0].retrain_every models[0].retrain_on models[0].promote "
        "models[0].training.epochs models[0].training.optimizer models[0].training.learning_rate "
        "models[0].training.momentum models[0].training.nesterov models[0].training.margin",
        "");
    const struct config_model *model = &config->models[0];
    assert_int_equal(config->log, CONFIG_LOG_DEBUG);
    assert_true(config->training_cpu == 0.25 && config->sync_every == 7000000);
    assert_true(config->bus.events_per_second == 3 && config->bus.repeats_per_second == 0);
    assert_int_equal(config->classes[0].max_streams, 2000);
    assert_true(model->retrain_every == INT64_C(300000000000) && model->retrain_on == RETRAIN_ON_DRIFT);
    assert_true(model->promote == PROMOTE_MANUAL && model->training.epochs == 4 && model->training.nesterov);
    assert_true(model->training.optimizer == OPTIMIZER_SGD && model->training.learning_rate == 0.5);
    config_free(config);
}

static void what_is_not_is_named(void **state) {
    (void)state;
    struct config *config =
        expect("workers: 2\n" STREAMS("") MODELS(""),
               "workers: 3\nstate_dir: /x\nbus: {ticks: 'tcp://*:1', subscribe: ['tcp://h:1']}\n" STREAMS(
                   ", every: 1s, history: 200") MODELS(", levels: [50], retrain_every: 2h"),
               "models[0].retrain_every",
               "workers state_dir bus.ticks bus.subscribe streams[0].every streams[0].history "
               "models[0].levels");
    assert_int_equal(config->workers, 2);
    assert_int_equal(config->classes[0].time.every, 0);
    config_free(config);
}

static void what_follows_from_several_keys(void **state) {
    (void)state;
    expect_other(STREAMS("") MODELS(""), STREAMS("") MODELS(", inputs: [b], targets: [b]"),
                 "models[0].inputs models[0].targets");
    expect_other(STREAMS("") MODELS(", layers: [{lstm: 8}]"), STREAMS("") MODELS(", layers: [{gru: 8}]"),
                 "models[0].layers");
    expect_other(STREAMS("") MODELS(", layers: [{lstm: 8}]"), STREAMS("") MODELS(", layers: [{lstm: 8}, {lstm: 8}]"),
                 "models[0].layers");
    expect_other(STREAMS("") MODELS(", alerts: [{target: a, above: 1}]"),
                 STREAMS("") MODELS(", alerts: [{target: b, above: 2}]"), "models[0].alerts[0]");
    expect_other(STREAMS("") MODELS(", alerts: [{target: a, above: 1}]"),
                 STREAMS("") MODELS(", alerts: [{target: a, below: 1}]"), "models[0].alerts[0]");
    struct config *config =
        expect(STREAMS("") MODELS(", alerts: [{target: a, above: 1, within: 3}]"),
               STREAMS("") MODELS(", alerts: [{target: a, above: 2, within: 3, probability: 9%}]"),
               "models[0].alerts[0].above models[0].alerts[0].probability", "");
    assert_true(config->models[0].alerts[0].above == 2 && config->models[0].alerts[0].probability == 0.09);
    config_free(config);
    /* A default that follows: few streams have a longer history. */
    config_free(expect(STREAMS(", max_streams: 1001") MODELS(", experts: light"),
                       STREAMS(", max_streams: 1000") MODELS(", experts: light"), "streams[0].max_streams",
                       "streams[0].history"));
}

/* An entry of another name is another one: nothing of it is taken. */
static void entries_are_known_by_their_names(void **state) {
    (void)state;
    expect_other(STREAMS("") MODELS(", retrain_every: 1h"),
                 STREAMS("") "models:\n  - {name: other, class: c, retrain_every: 2h}\n", "models[0]");
    expect_other(STREAMS("") MODELS(""), STREAMS("") MODELS("") "  - {name: n, class: c}\n", "models");
}

/* Whoever marks a key says here who reads it: one that more than the bus reads has to be an atomic. */
static void live_keys_are_known(void **state) {
    (void)state;
    static const char known[] =
        "log training_cpu sync_every snapshot_every events_per_second repeats_per_second max_streams max_resident idle_timeout retrain_every "
        "retrain_on promote batch epochs min_steps patience max_windows half_life optimizer learning_rate momentum "
        "nesterov weight_decay schedule last_rate warm_up clip_norm clip_value margin first_after new_steps "
        "above below probability";
    char live[1024] = "";
    for (int s = 0; s < CONFIG_SECTIONS; s++) {
        int n;
        const struct config_key *keys = config_table_keys((enum config_section)s, &n);
        for (int k = 0; k < n; k++)
            if (keys[k].live) {
                size_t used = strlen(live);
                assert_true(keys[k].size > 0);
                snprintf(live + used, sizeof live - used, "%s%s", used > 0 ? " " : "", keys[k].key);
            }
    }
    assert_string_equal(live, known);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_changes_nothing),
        cmocka_unit_test(what_is_live_is_taken_over),
        cmocka_unit_test(what_is_not_is_named),
        cmocka_unit_test(what_follows_from_several_keys),
        cmocka_unit_test(entries_are_known_by_their_names),
        cmocka_unit_test(live_keys_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
