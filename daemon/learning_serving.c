/* Who serves: versions on their way to the workers, challengers that are decided on, and the way back. */
#include "daemon/learning_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- orders ------------------------------------------------------------------------------------- */

/* To one worker. Returns false when its ring has no room. */
static bool send_version(struct learning *learning, int m, int w) {
    struct version *version = learning->models[m].unsent_version;
    const struct record_version record = {RECORD_VERSION, m, version};
    version_acquire(version); /* the record's; taken before the worker can let go of it */
    if (ingest_command(learning->setup.ingest, w, &record, sizeof record))
        return true;
    version_release(version);
    return false;
}

/* The version that the workers are to run in the shadow; NULL: none. */
static struct version *in_the_shadow(const struct contest *contest) {
    return contest->kind == CONTEST_SHADOW || contest->kind == CONTEST_PROBATION ? contest->version : NULL;
}

static bool send_shadow(struct learning *learning, int m, int w) {
    const struct contest *contest = &learning->models[m].contest;
    struct version *version = in_the_shadow(contest);
    const struct record_shadow record = {RECORD_SHADOW, m, version != NULL ? version_acquire(version) : NULL,
                                         contest->number};
    if (ingest_command(learning->setup.ingest, w, &record, sizeof record))
        return true;
    version_release(version);
    return false;
}

void serving_send(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    bool all = true, shadows = true;
    for (int w = 0; w < learning->setup.config->workers; w++) {
        if (model->unsent_version != NULL && !model->version_sent[w])
            model->version_sent[w] = send_version(learning, m, w);
        bool has_version = model->unsent_version == NULL || model->version_sent[w];
        all &= has_version;
        /* Behind the version, as who takes over ends what was in the shadow. */
        if (model->shadow_unsent && !model->shadow_sent[w] && has_version)
            model->shadow_sent[w] = send_shadow(learning, m, w);
        shadows &= model->shadow_sent[w];
    }
    if (all) {
        version_release(model->unsent_version);
        model->unsent_version = NULL;
    }
    model->shadow_unsent &= !shadows;
}

/* ---- who serves, and beside whom ---------------------------------------------------------------- */

/* Takes the reference; NULL with CONTEST_NONE. */
static void set_contest(struct learning *learning, int m, enum contest_kind kind, struct version *version) {
    struct model_learning *model = &learning->models[m];
    struct contest *contest = &model->contest;
    bool was_there = in_the_shadow(contest) != NULL;
    int64_t clock;
    version_release(contest->version);
    *contest = (struct contest){.kind = kind,
                                .version = version,
                                .number = contest->number + 1,
                                .seen = learning_most_steps(learning, model_config(learning, m)->class, &clock),
                                .loss = NAN,
                                .champion_loss = NAN};
    model->retraining.held = kind == CONTEST_SHADOW || kind == CONTEST_HELD;
    if (!was_there && !model->shadow_unsent && in_the_shadow(contest) == NULL)
        return;
    model->shadow_unsent = true;
    memset(model->shadow_sent, 0, (size_t)learning->setup.config->workers * sizeof *model->shadow_sent);
}

/* The version, whose reference is taken, serves from now on. */
static void install(struct learning *learning, int m, struct version *version) {
    struct model_learning *model = &learning->models[m];
    struct version *champion = placement_version(learning->setup.placement, m);
    version_release(model->before);
    /* Before the first version there was the baseline. Without memory for it there is no way back. */
    model->before = champion != NULL ? version_acquire(champion) : version_new(0, NULL);
    journal_version(learning->setup.journal, m, version);
    placement_set_version(learning->setup.placement, m, version);
    version_release(model->unsent_version); /* the newest is enough */
    model->unsent_version = version;
    memset(model->version_sent, 0, (size_t)learning->setup.config->workers * sizeof *model->version_sent);
    drift_loosen(&model->drift);
}

/* A network that a mixture weighs need not beat the baseline. */
void serving_prove_on(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    enum contest_kind kind = contest_of_replaced(model_config(learning, m), model->before);
    set_contest(learning, m, kind, kind != CONTEST_NONE ? version_acquire(model->before) : NULL);
}

/* What is promoted has what it replaced in its shadow for a while. */
static void promote(struct learning *learning, int m, struct version *version) {
    install(learning, m, version);
    learning->models[m].promoted++;
    serving_prove_on(learning, m);
    serving_send(learning, m);
}

void serving_begin(struct learning *learning, int m, struct version *version, struct version *before) {
    struct model_learning *model = &learning->models[m];
    install(learning, m, version);
    version_release(model->before); /* nobody asked for the baseline */
    model->before = before;
}

void serving_free(struct model_learning *model) {
    version_release(model->before);
    version_release(model->unsent_version);
    version_release(model->contest.version);
    version_release(model->plan.version);
    json_decref(model->plan.fields);
}

/* ---- what is decided, and done ------------------------------------------------------------------ */

static unsigned long long number_of(const struct version *version) {
    return version != NULL ? version_number(version) : 0;
}

/* Who serves, as a sentence: "version 3 serves". Without a network it is what `combine` says beside it. */
static const char *who_serves(const struct config_model *of, const struct version *version, char text[48]) {
    bool network = version != NULL && version_network(version) != NULL;
    if (!network && of->head == HEAD_FORECAST && of->combine != COMBINE_ONLY + EXPERT_NETWORK)
        return "the experts serve";
    if (!network)
        return "the baseline serves";
    snprintf(text, 48, "version %llu serves", number_of(version));
    return text;
}

void serving_reason(const struct config_model *of, const struct version *version, const char *why,
                    char ret_reason[REASON_MOST]) {
    char serves[48];
    snprintf(ret_reason, REASON_MOST, "%s: %.200s", who_serves(of, version, serves), why);
}

/* A decision has been carried out. */
static void tell(struct learning *learning, int m, const char *kind, json_t *fields, const char *why) {
    const struct version *version = placement_version(learning->setup.placement, m);
    serving_reason(model_config(learning, m), version, why, learning->models[m].reason);
    learning_tell(learning, m, kind, fields);
}

void serving_carry_out(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    const struct plan plan = model->plan;
    model->plan = (struct plan){0};
    if (plan.what == PLAN_PROMOTE) {
        promote(learning, m, plan.version);
    } else {
        install(learning, m, plan.version);
        set_contest(learning, m, CONTEST_NONE, NULL);
    }
    if (plan.what == PLAN_GO_BACK) {
        version_release(model->before); /* once, and no further */
        model->before = NULL;
        model->rolled_back++;
    }
    serving_send(learning, m);
    tell(learning, m, plan.kind, plan.fields, plan.why);
}

/* Takes version and fields over. */
static void decide(struct learning *learning, int m, struct plan plan) {
    learning->models[m].plan = plan;
    if (learning->setup.versions != NULL)
        disk_poll(learning, m);
    else
        serving_carry_out(learning, m);
}

/* Another number for what served before. Returns -1 when memory is short. */
static int go_back(struct learning *learning, int m, json_t *fields, const char *why) {
    struct model_learning *model = &learning->models[m];
    struct version *version = version_again(model->last_number + 1, model->before);
    if (version == NULL)
        return -1;
    model->last_number++;
    struct plan plan = {.version = version, .what = PLAN_GO_BACK, .kind = "rolled_back", .fields = fields};
    snprintf(plan.why, sizeof plan.why, "%s", why);
    decide(learning, m, plan);
    return 0;
}

void serving_go_on(struct learning *learning, int m, struct version *challenger) {
    struct version *champion = placement_version(learning->setup.placement, m);
    enum contest_kind kind = contest_of_challenger(model_config(learning, m), champion);
    /* Where it would serve at once now, a person still has to say so: it has waited. */
    set_contest(learning, m, kind != CONTEST_NONE ? kind : CONTEST_HELD, challenger);
}

/* ---- after a training --------------------------------------------------------------------------- */

static void explain_losses(const struct promotion_losses *losses, const char *what, char why[256]) {
    char champion[64] = "";
    if (!isnan(losses->champion))
        snprintf(champion, sizeof champion, ", %.4g of what served", losses->champion);
    if (isnan(promotion_baseline(losses)) || isnan(losses->challenger))
        snprintf(why, 256, "%s", what);
    else
        snprintf(why, 256, "%s; the challenger's loss on unseen steps is %.4g, against %.4g of the baseline%s", what,
                 losses->challenger, promotion_baseline(losses), champion);
}

/* A challenger that has passed: it serves, or is decided on by life or by a person. */
static void pass(struct learning *learning, int m, struct version *version) {
    struct model_learning *model = &learning->models[m];
    const struct promotion_losses *losses = &model->outcome.losses;
    struct version *champion = placement_version(learning->setup.placement, m);
    enum contest_kind kind = contest_of_challenger(model_config(learning, m), champion);
    struct plan plan = {
        .version = version, .what = PLAN_PROMOTE, .kind = "promoted", .fields = describe_outcome(model)};
    if (kind == CONTEST_NONE) {
        explain_losses(losses, promotion_sentence(PROMOTION_PROMOTE), plan.why);
        decide(learning, m, plan);
        return;
    }
    bool held = kind == CONTEST_HELD;
    set_contest(learning, m, kind, version);
    explain_losses(losses,
                   held ? "the challenger is better and waits for the command (promote: manual)"
                        : "the challenger is better and has to be so on live ticks (promote: shadow)",
                   plan.why);
    serving_send(learning, m);
    tell(learning, m, held ? "held" : "shadow", plan.fields, plan.why);
}

void serving_judge(struct learning *learning, int m, struct training_outcome *outcome) {
    struct model_learning *model = &learning->models[m];
    enum promotion decision = model->verdict.decision;
    struct version *version = NULL;
    bool demote = decision == PROMOTION_DEMOTE && model_config(learning, m)->promote != PROMOTE_MANUAL;
    if (decision == PROMOTION_PROMOTE || demote)
        version = version_new(model->last_number + 1, demote ? NULL : outcome->challenger);
    if (version != NULL) {
        model->last_number++;
        version_set_ridge(version, outcome->ridge);
        outcome->ridge = NULL;
        if (!demote)
            outcome->challenger = NULL;
    }
    if (version != NULL && !demote) {
        pass(learning, m, version);
        return;
    }
    struct plan plan = {
        .version = version, .what = PLAN_DEMOTE, .kind = "demoted", .fields = describe_outcome(model)};
    explain_losses(&model->outcome.losses, promotion_sentence(decision), plan.why);
    if (version != NULL)
        decide(learning, m, plan);
    else
        tell(learning, m, "rejected", plan.fields, plan.why);
}

/* ---- while it lives ----------------------------------------------------------------------------- */

/* Steps of the class since the contest began. A stream that comes back from the disk brings those of before with it: no
 * more than so many count at each look. */
static uint64_t lasted(const struct learning *learning, int m) {
    struct contest *contest = &learning->models[m].contest;
    int64_t clock;
    uint64_t steps = learning_most_steps(learning, model_config(learning, m)->class, &clock);
    uint64_t more = steps > contest->seen ? steps - contest->seen : 0;
    contest->seen += more;
    contest->lasted += more < PROMOTION_LIVE_MOST ? more : PROMOTION_LIVE_MOST;
    return contest->lasted;
}

/* Ends the contest as decided, with its numbers as they are. */
static void end_contest(struct learning *learning, int m, enum promotion decision) {
    struct model_learning *model = &learning->models[m];
    struct contest *contest = &model->contest;
    contest->verdict.decision = decision;
    json_t *fields = describe_contest(contest);
    struct plan plan = {.what = PLAN_PROMOTE, .kind = "promoted", .fields = fields};
    snprintf(plan.why, sizeof plan.why,
             "%s; live, over %llu steps, the error of version %llu is %.4g, against %.4g of version %llu",
             promotion_sentence(decision), (unsigned long long)contest->steps, number_of(contest->version),
             contest->loss, contest->champion_loss, number_of(placement_version(learning->setup.placement, m)));
    if (decision == PROMOTION_ROLL_BACK && go_back(learning, m, fields, plan.why) == 0)
        return;
    if (decision == PROMOTION_PROMOTE) {
        plan.version = version_acquire(contest->version);
        decide(learning, m, plan);
        return;
    }
    const char *kind = contest->kind == CONTEST_PROBATION ? "kept" : "rejected";
    set_contest(learning, m, CONTEST_NONE, NULL);
    serving_send(learning, m);
    tell(learning, m, kind, fields, plan.why);
}

void serving_judge_live(struct learning *learning, int m, const struct shadow_losses *losses) {
    struct contest *contest = &learning->models[m].contest;
    if (learning->models[m].plan.version != NULL)
        return; /* it is decided */
    contest->loss = loss_series_mean(&losses->shadow);
    contest->champion_loss = loss_series_mean(&losses->serving);
    contest->steps = loss_series_steps(&losses->shadow);
    contest->verdict = contest_judge(contest->kind, model_config(learning, m), losses, lasted(learning, m));
    if (contest->verdict.decision != PROMOTION_WAIT)
        end_contest(learning, m, contest->verdict.decision);
}

/* ---- by command --------------------------------------------------------------------------------- */

struct version *serving_challenger(const struct model_learning *model) {
    bool waits = model->contest.kind == CONTEST_SHADOW || model->contest.kind == CONTEST_HELD;
    return waits ? model->contest.version : NULL;
}

/* What there is to be decided on: 0, or what the command returns. */
static int check_challenger(const struct model_learning *model) {
    if (model->plan.version != NULL)
        return -3;
    return serving_challenger(model) != NULL ? 0 : -1;
}

/* The decision of a person. */
static json_t *by_command(json_t *fields) {
    json_object_set_new(fields, "decision", json_string("command"));
    return fields;
}

int learning_promote(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    int failed = check_challenger(model);
    if (failed != 0)
        return failed;
    decide(learning, m,
           (struct plan){.version = version_acquire(model->contest.version),
                         .what = PLAN_PROMOTE,
                         .kind = "promoted",
                         .fields = by_command(describe_contest(&model->contest)),
                         .why = "the challenger was promoted by command"});
    return 0;
}

int learning_reject(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    int failed = check_challenger(model);
    if (failed != 0)
        return failed;
    json_t *fields = by_command(describe_contest(&model->contest));
    set_contest(learning, m, CONTEST_NONE, NULL);
    serving_send(learning, m);
    tell(learning, m, "rejected", fields, "the challenger was rejected by command");
    return 0;
}

int learning_rollback(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    if (model->plan.version != NULL)
        return -3;
    if (model->before == NULL)
        return -1;
    json_t *fields = by_command(json_object());
    if (go_back(learning, m, fields, "rolled back by command") == 0)
        return 0;
    json_decref(fields);
    return -2;
}
