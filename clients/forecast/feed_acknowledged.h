/* What forecast feed --ack adds: a sender for a producer, and what of its ticks was refused. */
#ifndef FORECAST_FEED_ACKNOWLEDGED_H
#define FORECAST_FEED_ACKNOWLEDGED_H

#include "clients/libforecast/forecast.h"

#include <stddef.h>
#include <stdint.h>

enum { FEED_REASONS = 32 };

struct feed_acknowledged {
    struct forecast_sender *sender;
    uint64_t before; /* ticks of the producer that were acknowledged before */
    struct {
        char name[32];
        uint64_t n;
    } reasons[FEED_REASONS]; /* of refused ticks */
    int n_reasons;
};

/* The producer of a file where none is named: this machine and the file's real path. Returns 0, or -1 where that is no
 * producer's name. */
int feed_acknowledged_producer(const char *file, char *ret_name, size_t size);

/* Opens the sender for bundles of so many ticks (0: 256), and waits so many seconds until the daemon has told how far the
 * producer has come. Returns 0, or 1 after the sentence on stderr. feed stays where it is until it is closed. */
int feed_acknowledged_open(struct feed_acknowledged *feed, const char *endpoint, const char *producer, long bundle,
                           double seconds);

/* Waits until all is acknowledged, or the command is stopped, and tells what became of it. Returns 0 when all is, else 1
 * after the sentence. */
int feed_acknowledged_finish(struct feed_acknowledged *feed);
void feed_acknowledged_close(struct feed_acknowledged *feed);

#endif
