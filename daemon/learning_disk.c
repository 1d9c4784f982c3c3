/* Versions that outlive the daemon: what is written of a model, and what it begins with. */
#include "daemon/learning_internal.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "engine/version_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What could not be written is tried again after this, ns. */
static const int64_t again_after = 1000000000;

/* ---- facts: what is known of a model beside its versions ---------------------------------------- */

static struct {
    const char *key;
    size_t offset;
} const counts[] = {
    {"last_number", offsetof(struct model_learning, last_number)},
    {"jobs", offsetof(struct model_learning, jobs)},
    {"promoted", offsetof(struct model_learning, promoted)},
    {"failed", offsetof(struct model_learning, failed)},
    {"stopped", offsetof(struct model_learning, stopped)},
    {"rolled_back", offsetof(struct model_learning, rolled_back)},
    {"drifts", offsetof(struct model_learning, drifts)},
};
enum { N_COUNTS = sizeof counts / sizeof *counts };

static uint64_t *count_of(struct model_learning *model, int i) {
    return (uint64_t *)(void *)((char *)model + counts[i].offset);
}

static unsigned long long number_of(const struct version *version) {
    return version != NULL ? version_number(version) : 0;
}

/* What will be known when the plan has been carried out: should the daemon end before it is, the next one begins so. */
static void foresee(const struct learning *learning, int m, json_t *map) {
    const struct model_learning *model = &learning->models[m];
    const struct plan *plan = &model->plan;
    const struct config_model *of = model_config(learning, m);
    const char *count = plan->what == PLAN_PROMOTE ? "promoted" : plan->what == PLAN_GO_BACK ? "rolled_back" : NULL;
    char reason[REASON_MOST];
    json_t *decisions = json_copy(model->decisions), *fields = json_copy(plan->fields);
    serving_reason(of, plan->version, plan->why, reason);
    learning_decide(decisions, of->name, plan->version, plan->kind, reason, fields);
    json_decref(fields);
    json_object_set_new(map, "decisions", decisions);
    json_object_set_new(map, "reason", json_string(reason));
    if (count != NULL)
        json_object_set_new(map, count, json_integer(json_integer_value(json_object_get(map, count)) + 1));
}

/* Beside a champion; planned: with the plan carried out. The text, to be freed; NULL without memory. */
static char *facts_of(struct learning *learning, int m, const struct version *champion, bool planned) {
    struct model_learning *model = &learning->models[m];
    const struct version *challenger = planned ? NULL : serving_challenger(model);
    json_t *map = json_object();
    for (int i = 0; i < N_COUNTS; i++)
        json_object_set_new(map, counts[i].key, json_integer((json_int_t)*count_of(model, i)));
    json_object_set_new(map, "origin", json_integer((json_int_t)model->origin));
    json_object_set_new(map, "reason", json_string(model->reason));
    json_object_set_new(map, "reason_of", json_integer((json_int_t)number_of(champion)));
    json_object_set(map, "decisions", model->decisions);
    if (model->latest != NULL)
        json_object_set(map, "latest", model->latest);
    if (model->retraining.tried)
        json_object_set_new(map, "trained", json_integer(model->retraining.tried_at));
    if (model->retraining.drifted)
        json_object_set_new(map, "drifted", json_true());
    if (challenger != NULL)
        json_object_set_new(map, "challenger", json_integer((json_int_t)version_number(challenger)));
    if (planned ? model->plan.what == PLAN_PROMOTE : model->contest.kind == CONTEST_PROBATION)
        json_object_set_new(map, "probation", json_true());
    if (planned)
        foresee(learning, m, map);
    char *text = json_dumps(map, JSON_COMPACT);
    json_decref(map);
    return text;
}

/* Streams count their steps by themselves: when the latest training was is remembered by time alone. */
static void take_facts(struct model_learning *model, const json_t *map) {
    const json_t *trained = json_object_get(map, "trained"), *latest = json_object_get(map, "latest");
    const char *reason = json_string_value(json_object_get(map, "reason"));
    for (int i = 0; i < N_COUNTS; i++)
        *count_of(model, i) = (uint64_t)json_integer_value(json_object_get(map, counts[i].key));
    json_array_extend(model->decisions, json_object_get(map, "decisions"));
    if (json_is_object(latest))
        model->latest = json_deep_copy(latest);
    if (reason != NULL)
        snprintf(model->reason, sizeof model->reason, "%s", reason);
    model->retraining.tried = trained != NULL;
    model->retraining.tried_at = json_integer_value(trained);
    model->retraining.drifted = json_is_true(json_object_get(map, "drifted"));
}

/* ---- at the start ------------------------------------------------------------------------------- */

/* The way back, where the configuration has brought a network of its own, is to what served. */
static int begin_with(struct learning *learning, int m, const struct versions_found *found, const json_t *facts) {
    struct model_learning *model = &learning->models[m];
    const char *name = model_config(learning, m)->name;
    uint64_t origin = (uint64_t)json_integer_value(json_object_get(facts, "origin"));
    uint64_t reason_of = (uint64_t)json_integer_value(json_object_get(facts, "reason_of"));
    if (found->champion != NULL && (facts == NULL || origin == model->origin)) {
        if (reason_of != version_number(found->champion))
            snprintf(model->reason, sizeof model->reason, "version %llu serves, as the files in state_dir have it",
                     number_of(found->champion));
        serving_begin(learning, m, found->champion, found->before);
        log_info("model %s: version %llu serves, as before", name, number_of(found->champion));
        return 1;
    }
    if (found->champion == NULL) {
        model->before = found->before;
        return 0;
    }
    if (model->origin != 0)
        log_warning("model %s: the weights of its configuration are not those that version %llu began with: it "
                    "begins with them, as version %llu; ctl rollback goes back",
                    name, number_of(found->champion), (unsigned long long)model->last_number + 1);
    else
        log_warning("model %s: version %llu began with weights of its configuration, which has none now: it is "
                    "trained anew; ctl rollback goes back",
                    name, number_of(found->champion));
    version_release(found->before);
    model->before = found->champion;
    return 0;
}

static void take_challenger(struct learning *learning, int m, const json_t *number) {
    struct error err;
    if (number == NULL)
        return;
    struct version *version = versions_load(learning->setup.versions, m, (uint64_t)json_integer_value(number), &err);
    if (version != NULL)
        serving_go_on(learning, m, version);
    else
        log_warning("model %s: its challenger is lost: %s", model_config(learning, m)->name, err.text);
}

int disk_restore(struct learning *learning, int m, const struct network *own, struct error *err) {
    struct model_learning *model = &learning->models[m];
    struct versions_found found;
    if (learning->setup.versions == NULL)
        return 0;
    if (versions_find(learning->setup.versions, m, &found, err) != 0)
        return -1;
    json_t *facts = found.facts != NULL ? json_loads(found.facts, 0, NULL) : NULL;
    take_facts(model, facts);
    model->origin = version_file_digest(own);
    if (model->last_number < found.highest)
        model->last_number = found.highest;
    int restored = begin_with(learning, m, &found, facts);
    if (restored == 1 || model->before == NULL) /* not beside other weights */
        take_challenger(learning, m, json_object_get(facts, "challenger"));
    if (restored == 1 && json_is_true(json_object_get(facts, "probation")) && model->contest.kind == CONTEST_NONE)
        serving_prove_on(learning, m);
    json_decref(facts);
    free(found.facts);
    return restored;
}

int disk_put_first(struct learning *learning, int m, struct version *version, struct version *before,
                   struct error *err) {
    if (learning->setup.versions == NULL)
        return 0;
    char *facts = facts_of(learning, m, version, false);
    const struct versions_record record = {
        .model = m, .champion = version, .before = before, .facts = facts != NULL ? facts : "{}", .about = "{}"};
    int failed = versions_put(learning->setup.versions, &record, err);
    free(facts);
    return failed == 0
               ? 0
               : error_prefix(err, "model %s: its first version cannot be kept", model_config(learning, m)->name);
}

/* ---- while it lives ----------------------------------------------------------------------------- */

/* What will serve when the plan has been carried out, and the way back then. */
static struct versions_record record_of(const struct learning *learning, int m, struct version *none) {
    const struct model_learning *model = &learning->models[m];
    struct version *champion = placement_version(learning->setup.placement, m);
    if (model->plan.version == NULL)
        return (struct versions_record){
            .model = m, .champion = champion, .before = model->before, .challenger = serving_challenger(model)};
    struct version *before = champion != NULL ? champion : none;
    return (struct versions_record){
        .model = m, .champion = model->plan.version, .before = model->plan.what == PLAN_GO_BACK ? NULL : before};
}

static bool write_now(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    struct version *none = version_new(0, NULL); /* the baseline, before the first version */
    struct versions_record record = record_of(learning, m, none);
    char *facts = facts_of(learning, m, record.champion, model->plan.version != NULL), *about = NULL;
    bool begun = none != NULL && facts != NULL;
    record.facts = facts;
    if (model->plan.version != NULL) {
        about = model->plan.fields != NULL ? json_dumps(model->plan.fields, JSON_COMPACT) : strdup("{}");
        record.about = about;
        begun &= about != NULL;
    }
    begun = begun && versions_start(learning->setup.versions, &record) == 0;
    version_release(none);
    free(facts);
    free(about);
    return begun;
}

void disk_poll(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    struct plan *plan = &model->plan;
    bool planned = plan->version != NULL && !plan->being_written;
    bool told = plan->version == NULL && model->record_old;
    if (learning->setup.versions == NULL || !(planned || told) || clock_monotonic() < model->write_again ||
        !write_now(learning, m))
        return;
    plan->being_written = planned;
    model->record_old = false;
}

/* Who serves goes on. */
static void tell_failed(struct learning *learning, const struct versions_result *result) {
    struct plan *plan = &learning->models[result->model].plan;
    const char *name = model_config(learning, result->model)->name;
    if (!plan->failed_before)
        log_error("model %s: version %llu cannot be written, and does not take over yet: %s", name,
                  number_of(plan->version), result->err.text);
    plan->failed_before = true;
    publisher_event(learning->setup.publisher, "not_written", name,
                    json_pack("{s:s, s:I, s:s}", "model", name, "version", (json_int_t)number_of(plan->version),
                              "error", result->err.text),
                    "model %s: version %llu cannot be written, and does not take over yet: %s", name,
                    number_of(plan->version), result->err.text);
}

void learning_written(struct learning *learning) {
    struct versions_result result;
    if (learning->setup.versions == NULL || !versions_has_result(learning->setup.versions) ||
        !versions_take(learning->setup.versions, &result))
        return;
    struct model_learning *model = &learning->models[result.model];
    bool planned = model->plan.being_written;
    model->plan.being_written = false;
    model->record_old |= result.failed;
    if (result.failed)
        model->write_again = clock_monotonic() + again_after;
    if (result.failed && planned)
        tell_failed(learning, &result);
    else if (planned)
        serving_carry_out(learning, result.model);
}

void disk_finish(struct learning *learning) {
    struct versions *versions = learning->setup.versions;
    struct versions_result result;
    if (versions == NULL || learning->models == NULL)
        return;
    if (versions_take(versions, &result)) {
        /* A plan that has just been written is what the next start begins with. */
        struct model_learning *model = &learning->models[result.model];
        model->record_old = result.failed || !model->plan.being_written;
    }
    for (int m = 0; m < learning->setup.config->n_models; m++) {
        struct error err;
        struct version *champion = placement_version(learning->setup.placement, m);
        char *facts = learning->models[m].record_old ? facts_of(learning, m, champion, false) : NULL;
        const struct versions_record record = {.model = m,
                                               .champion = champion,
                                               .before = learning->models[m].before,
                                               .challenger = serving_challenger(&learning->models[m]),
                                               .facts = facts};
        if (facts != NULL && versions_put(versions, &record, &err) != 0)
            log_error("model %s: its latest decisions are not kept: %s", model_config(learning, m)->name, err.text);
        free(facts);
    }
}
