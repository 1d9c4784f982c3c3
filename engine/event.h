/*
 * Events: a label that a tick turns out to have had, told later than the tick, one of 0 .. classes - 1; and what a
 * network's forecasts of it were worth. Pure functions.
 */
#ifndef ENGINE_EVENT_H
#define ENGINE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

enum { EVENT_CLASSES_MAX = 1000, EVENT_MEMORY = 1000 };

/* Probabilities of what a head puts out: [1] a logit of the event, of two classes; else [n] a logit for each
 * class. */
int event_width(int n_classes);

/* ret_probabilities [event_width]: that the label is 1; or each class'. y may be the same array. */
void event_probabilities(int n_classes, const float *y, float *ret_probabilities);

/* Whether it is a label. */
bool event_is_label(int n_classes, double label);

/* The baseline of an event is how often each label has come: counts [n_classes], of which the latest EVENT_MEMORY
 * weigh the most. */
void event_count(double *counts, int n_classes, int label);
/* Its probabilities as of a head, by the rule of succession (Laplace, 1774): before any label all alike, never 0 or
 * 1. */
void event_baseline(const double *counts, int n_classes, float *ret_probabilities);

/* Means over the labels: `recent`, alike over the first EVENT_MEMORY, then exponentially with that memory; and of
 * all. */
struct event_means {
    /* The mean square of what the probabilities of all classes are off by, summed over the classes but of two classes
     * taken once (Brier, 1950). */
    double brier;
    double accuracy; /* how often the likeliest class was the label */
};

struct event_score {
    uint64_t n; /* labels */
    struct event_means recent, all;
};

/* A label has come for a tick that had these probabilities. */
void event_score_add(struct event_score *score, int n_classes, const float *probabilities, int label);

#endif
