/*
 * The experts that a model keeps for each stream and target: what may be published as its forecast, alone or mixed.
 */
#ifndef ENGINE_EXPERT_H
#define ENGINE_EXPERT_H

enum expert {
    EXPERT_LAST_VALUE,
    EXPERT_SEASONAL,  /* the value whole periods before; none where the model has no period */
    EXPERT_DRIFT,     /* the last value and the slope of the recent past */
    EXPERT_SMOOTHING, /* exponential smoothing with a damped trend */
    EXPERT_RIDGE,     /* ridge regression on recent steps */
    EXPERT_READOUT,   /* all regressions, mixed, and what the network's hidden state adds to them */
    EXPERT_NETWORK,
    EXPERT_COUNT,
};

/* "last_value", "seasonal", ... as configuration and forecasts name them. */
const char *expert_name(enum expert expert);

#endif
