/*
 * What a stream's forecasts by one model were worth, as control asks for it: the bus makes the order with room for
 * the answer, the worker copies into it, the bus answers with it.
 */
#ifndef DAEMON_SCORES_REPORT_H
#define DAEMON_SCORES_REPORT_H

#include "daemon/stream.h"

#include <jansson.h>

struct scores_report {
    uint64_t request; /* of control, which waits for it */
    struct stream *stream;
    int place; /* index into its places */
    const struct config_class *class;
    const struct config_model *model;
    bool with_forecasts; /* the last ones at scored steps too */

    /* Copied by the worker. */
    uint64_t step;                                     /* that the model has seen */
    int n;                                             /* scored steps */
    struct score *pooled, *targets;                    /* [n], [n x n_targets] */
    struct score_level *pooled_levels, *target_levels; /* [n x n_levels], [n x n_targets x n_levels] */
    struct scores_report_forecast {
        int h;
        uint64_t made;
    } * forecasts; /* [n_forecasts] */
    int n_forecasts;
    double *mean; /* [n_forecasts x n_targets] */
    float *radii; /* [n_forecasts x n_levels x n_targets] */

    struct event_score labels; /* of a head of an event, which has no other scores */
};

/* Forecasts of each scored step that a report holds, the latest. */
enum { SCORES_REPORT_FORECASTS = 64 };

/* NULL when memory is short. */
struct scores_report *scores_report_new(const struct config *config, struct stream *stream, int place,
                                        bool with_forecasts);
void scores_report_free(struct scores_report *report);

/* On the worker: copies what is known now. */
void scores_report_fill(struct scores_report *report);

/* The reply. */
json_t *scores_report_json(const struct scores_report *report);

#endif
