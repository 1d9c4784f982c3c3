/*
 * What workers tell of their streams, as events. On the bus' thread.
 */
#ifndef DAEMON_NOTICES_H
#define DAEMON_NOTICES_H

#include "daemon/publisher.h"
#include "daemon/records.h"

void notices_publish(struct publisher *publisher, const struct config *config, const struct record_told *told);
/* Of a stream that has come back not all can be read. */
void notices_unreadable(struct publisher *publisher, const struct record_unreadable *record);

#endif
