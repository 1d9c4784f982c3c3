/* What learning tells people: models, their latest jobs, decisions. */
#include "daemon/learning_internal.h"

#include "daemon/clock.h"
#include "daemon/log.h"

#include <math.h>

static json_t *real_or_null(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *integer(uint64_t x) {
    return json_integer((json_int_t)x);
}

static void describe_comparison(json_t *map, const char *key, const struct comparison *comparison) {
    if (comparison->n > 0)
        json_object_set_new(map, key,
                            json_pack("{s:o, s:o, s:i}", "gain", real_or_null(comparison->gain), "p",
                                      real_or_null(comparison->p), "n", comparison->n));
}

json_t *describe_outcome(const struct model_learning *model) {
    const struct training_outcome *outcome = &model->outcome;
    json_t *map = json_object();
    json_object_set_new(map, "decision", json_string(promotion_name(model->verdict.decision)));
    json_object_set_new(map, "why", json_string(retraining_name(model->why)));
    json_object_set_new(map, "loss", real_or_null(outcome->losses.challenger));
    json_object_set_new(map, "champion_loss", real_or_null(outcome->losses.champion));
    json_object_set_new(map, "last_value_loss", real_or_null(outcome->losses.last_value));
    json_object_set_new(map, "seasonal_loss", real_or_null(outcome->losses.seasonal));
    describe_comparison(map, "against_champion", &model->verdict.against_champion);
    describe_comparison(map, "against_baseline", &model->verdict.against_baseline);
    json_object_set_new(map, "training_loss", real_or_null(outcome->training_loss));
    json_object_set_new(map, "windows", json_integer(outcome->n_training));
    json_object_set_new(map, "validation_windows", json_integer(outcome->n_validation));
    json_object_set_new(map, "optimizer_steps", json_integer(outcome->steps));
    json_object_set_new(map, "seconds", json_real(model->seconds));
    json_object_set_new(map, "finished", json_integer(model->ended));
    return map;
}

json_t *describe_contest(const struct contest *contest) {
    static const char *const kinds[] = {"none", "shadow", "held", "probation"};
    json_t *map = json_object();
    json_object_set_new(map, "decision", json_string(promotion_name(contest->verdict.decision)));
    json_object_set_new(map, "contest", json_string(kinds[contest->kind]));
    json_object_set_new(map, "other_version", integer(version_number(contest->version)));
    json_object_set_new(map, "live_steps", integer(contest->steps));
    json_object_set_new(map, "live_error", real_or_null(contest->loss));
    json_object_set_new(map, "champion_live_error", real_or_null(contest->champion_loss));
    describe_comparison(map, "against_champion", &contest->verdict.against_champion);
    return map;
}

void learning_decide(json_t *decisions, const char *model, const struct version *version, const char *kind,
                     const char *reason, json_t *fields) {
    json_object_set_new(fields, "model", json_string(model));
    json_object_set_new(fields, "version", integer(version != NULL ? version_number(version) : 0));
    json_object_set_new(fields, "kind", json_string(kind));
    json_object_set_new(fields, "t", json_integer(clock_realtime()));
    json_object_set_new(fields, "text", json_string(reason));
    if (json_array_size(decisions) >= DECISIONS_MOST)
        json_array_remove(decisions, 0);
    json_array_append_new(decisions, json_copy(fields)); /* the event's may tell more, and of more */
}

void learning_tell(struct learning *learning, int m, const char *kind, json_t *fields) {
    struct model_learning *model = &learning->models[m];
    const char *name = model_config(learning, m)->name;
    learning_decide(model->decisions, name, placement_version(learning->setup.placement, m), kind, model->reason,
                    fields);
    model->record_old = true;
    log_info("model %s: %s", name, model->reason);
    publisher_event(learning->setup.publisher, kind, name, fields, "model %s: %s", name, model->reason);
}

json_t *learning_decisions(const struct learning *learning, int m) {
    return json_deep_copy(learning->models[m].decisions);
}

/* How far it is, and what remains, by the rate so far. */
static void describe_progress(json_t *map, const struct training_job *job) {
    int64_t steps = atomic_load(&job->steps), in_all = atomic_load(&job->steps_in_all),
            began = atomic_load(&job->began);
    double seconds = began > 0 ? 1e-9 * (double)(clock_monotonic() - began) : 0;
    json_object_set_new(map, "epoch", json_integer(atomic_load(&job->epoch)));
    json_object_set_new(map, "epochs", json_integer(atomic_load(&job->epochs)));
    json_object_set_new(map, "optimizer_steps", json_integer(steps));
    json_object_set_new(map, "optimizer_steps_in_all", json_integer(in_all));
    if (steps <= 0 || seconds <= 0)
        return;
    double rate = (double)steps / seconds;
    json_object_set_new(map, "steps_per_second", json_real(rate));
    json_object_set_new(map, "remaining_s", json_real(in_all > steps ? (double)(in_all - steps) / rate : 0));
}

static json_t *describe_model(const struct learning *learning, int m) {
    static const char *const stages[] = {"idle", "collecting", "waiting", "training"};
    const struct config_model *of = model_config(learning, m);
    const struct model_learning *model = &learning->models[m];
    const struct version *version = placement_version(learning->setup.placement, m);
    bool network = version != NULL && version_network(version) != NULL;
    int64_t clock;
    json_t *map = json_object();
    json_object_set_new(map, "model", json_string(of->name));
    json_object_set_new(map, "class", json_string(learning->setup.config->classes[of->class].name));
    json_object_set_new(map, "version", integer(version != NULL ? version_number(version) : 0));
    json_object_set_new(map, "source", json_string(network ? "network" : "baseline"));
    json_object_set_new(map, "training", json_string(stages[model->stage]));
    if (model->stage == STAGE_TRAINING)
        describe_progress(map, model->job);
    json_object_set_new(map, "reason", json_string(model->reason));
    json_object_set_new(map, "steps", integer(learning_most_steps(learning, of->class, &clock)));
    json_object_set_new(map, "streams", json_integer(placement_n_streams(learning->setup.placement, m)));
    json_object_set_new(map, "batches", json_integer(placement_n_batches(learning->setup.placement, m)));
    json_object_set_new(map, "jobs", integer(model->jobs));
    json_object_set_new(map, "promoted", integer(model->promoted));
    json_object_set_new(map, "rolled_back", integer(model->rolled_back));
    json_object_set_new(map, "failed", integer(model->failed));
    json_object_set_new(map, "stopped", integer(model->stopped));
    json_object_set_new(map, "drifts", integer(model->drifts));
    if (model->contest.kind != CONTEST_NONE)
        json_object_set_new(map, "contest", describe_contest(&model->contest));
    if (model->plan.version != NULL)
        json_object_set_new(map, "to_be_written", integer(version_number(model->plan.version)));
    if (model->latest != NULL)
        json_object_set_new(map, "latest", json_deep_copy(model->latest));
    return map;
}

json_t *learning_describe(const struct learning *learning) {
    json_t *list = json_array();
    for (int m = 0; m < learning->setup.config->n_models; m++)
        json_array_append_new(list, describe_model(learning, m));
    return list;
}
