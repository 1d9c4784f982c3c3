#include "engine/retraining.h"

#include "engine/random.h"

#include <assert.h>
#include <string.h>

/* Whether the clock has passed a time of this model's own since the latest job, but for those that came too soon
 * after it. */
static bool is_time(const struct retraining *retraining, const struct config_model *model, int64_t now) {
    if (model->retrain_every <= 0 || now <= retraining->tried_at)
        return false;
    /* Unsigned: a wild tick time must not overflow a difference. From the smallest time on, so that nothing is below
     * 0. */
    uint64_t every = (uint64_t)model->retrain_every;
    uint64_t phase = rng_hash(0, model->name, strlen(model->name)) % every;
    uint64_t from = (uint64_t)retraining->tried_at + (UINT64_C(1) << 63), to = (uint64_t)now + (UINT64_C(1) << 63);
    if (to - from <= every / 2)
        return false;
    /* Is there a multiple of `every`, plus the phase, in (from + every / 2, to]? */
    uint64_t since = (to - phase) % every; /* of the latest such time; wraps harmlessly for the first ones */
    return since < to - from - every / 2;
}

enum retraining_reason retraining_due(struct retraining *retraining, const struct config_model *model, bool serves,
                                      uint64_t steps, int64_t now) {
    /* The clock has gone back, or the stream that was the clock has ended: counted from now on. */
    if (now < retraining->tried_at)
        retraining->tried_at = now;
    if (steps < retraining->tried_steps)
        retraining->tried_steps = steps;
    if (retraining->busy)
        return RETRAINING_NOT_DUE;
    if (retraining->asked)
        return RETRAINING_ASKED;
    if (!model->train || retraining->held)
        return RETRAINING_NOT_DUE;
    uint64_t first_after = (uint64_t)model->training.first_after;
    if (!retraining->tried)
        return steps >= first_after ? RETRAINING_FIRST : RETRAINING_NOT_DUE;
    /* Not before first_after: a command may have come when there was nothing, and its double is nothing too. */
    if (!serves && steps >= first_after && steps >= 2 * retraining->tried_steps)
        return RETRAINING_FIRST;
    if (steps - retraining->tried_steps < (uint64_t)model->training.new_steps)
        return RETRAINING_NOT_DUE;
    if (retraining->drifted && model->retrain_on == RETRAIN_ON_DRIFT)
        return RETRAINING_DRIFT;
    return is_time(retraining, model, now) ? RETRAINING_CLOCK : RETRAINING_NOT_DUE;
}

void retraining_begin(struct retraining *retraining, uint64_t steps, int64_t now) {
    *retraining = (struct retraining){
        .busy = true, .held = retraining->held, .tried = true, .tried_steps = steps, .tried_at = now};
}

const char *retraining_name(enum retraining_reason reason) {
    static const char *const names[] = {"not due", "command", "first", "clock", "drift"};
    assert(reason <= RETRAINING_DRIFT);
    return names[reason];
}
