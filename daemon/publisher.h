/*
 * The outgoing side of the bus: the XPUB sockets, who subscribes to what, and events. Bus thread only.
 *
 * Nothing here blocks: XPUB drops for a subscriber whose queue (send_hwm) is full, who sees a gap in steps.
 */
#ifndef DAEMON_PUBLISHER_H
#define DAEMON_PUBLISHER_H

#include "daemon/emit.h"
#include "daemon/records.h"
#include "engine/config.h"

#include <jansson.h>
#include <stdint.h>

struct publisher;

/* Binds the sockets. interest is written as subscribers come and go. NULL with the sentence in err. */
struct publisher *publisher_open(void *zmq, const struct config *config, struct interest *interest,
                                 struct error *err);
/* Closes the sockets, giving what is queued `linger_ms` to leave. */
void publisher_close(struct publisher *publisher, int linger_ms);

/* For polling: readable when a subscription has come. The second is NULL without a JSON endpoint. */
void *publisher_socket(const struct publisher *publisher);
void *publisher_json_socket(const struct publisher *publisher);

/* Reads waiting subscriptions, at most some at a time. Returns 1 when a new one for forecasts was read, which asks
 * for the last ones again: its prefix is copied to prefix [EMITTER_MAX_TOPIC], *ret_n bytes; 0 when none is left. */
int publisher_next_subscription(struct publisher *publisher, char *prefix, size_t *ret_n);

/* Publishes what a worker emitted. */
void publisher_message(struct publisher *publisher, const struct record_message *message);

/*
 * Publishes event/<kind>/<name> with the fields given (the reference is taken; NULL is fine) besides kind, t and
 * text. At most events_per_second of a kind; further ones are counted, and the next one that is sent tells how many.
 */
void publisher_event(struct publisher *publisher, const char *kind, const char *name, json_t *fields,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Whether an event of the kind would be sent now; counts it as suppressed where not. For those who are told of
 * often. */
bool publisher_would_tell(struct publisher *publisher, const char *kind);

struct publisher_counters {
    uint64_t forecasts, bundles, events, events_suppressed, subscriptions;
};
struct publisher_counters publisher_counters(const struct publisher *publisher);

#endif
