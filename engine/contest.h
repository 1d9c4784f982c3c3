/*
 * A version beside the one that serves: a challenger that has passed its training's judgement, or what the champion
 * has replaced. Which of them there are, and how they end, as pure functions that the daemon and a backtest share.
 */
#ifndef ENGINE_CONTEST_H
#define ENGINE_CONTEST_H

#include "engine/config.h"
#include "engine/forecaster.h"
#include "engine/promotion.h"
#include "engine/version.h"

enum contest_kind {
    CONTEST_NONE,
    CONTEST_SHADOW,    /* a challenger in the shadow, that live losses decide on */
    CONTEST_HELD,      /* a challenger that a person decides on */
    CONTEST_PROBATION, /* what the champion has replaced, in its shadow */
};

/* Streams of a model and worker that a version in the shadow sees, about: it costs as much as the one that serves. */
enum { CONTEST_STREAMS = 256 };

/* What becomes of a challenger that has passed, beside the champion (NULL: none). None: it serves at once. Events
 * have no shadows. */
enum contest_kind contest_of_challenger(const struct config_model *model, const struct version *champion);

/* What becomes of what a promoted version has replaced (NULL: none). */
enum contest_kind contest_of_replaced(const struct config_model *model, const struct version *before);

/* Live losses of a contest in the shadow that began `steps` steps ago (the most of any stream). One that has lasted
 * for very long ends, whatever they are: streams have ended, or tell nothing. */
struct promotion_verdict contest_judge(enum contest_kind kind, const struct config_model *model,
                                       const struct shadow_losses *losses, uint64_t steps);

#endif
