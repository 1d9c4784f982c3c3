/*
 * Labels of rows, which come later than their ticks, as in life: each goes out a number of rows of its stream behind
 * its own.
 */
#ifndef FORECAST_FEED_LABELS_H
#define FORECAST_FEED_LABELS_H

#include "clients/forecast/feed.h"
#include "clients/forecast/rows.h"

struct feed_labels_stream;

struct feed_labels {
    struct feed_sender *sender;
    long after; /* rows of the stream; 0: at once */
    uint64_t sent;
    struct feed_labels_stream *streams;
};

/* A row of the stream has been sent; label may be ROWS_NO_LABEL. Sends the label that is due now, if there is one.
 * Returns 0 or a code as feed_sender_tick. */
int feed_labels_row(struct feed_labels *labels, const char *stream, int64_t t, int64_t label);

/* Sends all that still wait, stream by stream. The same. */
int feed_labels_flush(struct feed_labels *labels);

void feed_labels_fini(struct feed_labels *labels);

#endif
