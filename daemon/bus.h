/*
 * The bus: the thread that owns every ZeroMQ socket, the table of streams and the book of batches. It moves ticks to
 * the workers, their forecasts to subscribers, answers commands, and has models trained. It never blocks but in its
 * poll.
 */
#ifndef DAEMON_BUS_H
#define DAEMON_BUS_H

#include "engine/config.h"

struct bus;

/* Binds all sockets, starts workers, trainer, and the thread. NULL with the sentence in err. */
struct bus *bus_start(const struct config *config, struct error *err);

/* Asks for an orderly stop: no new ticks, what was taken is forecast and published. Any thread; returns at once. */
void bus_request_stop(struct bus *bus);
/* A file descriptor that becomes readable when the bus has stopped. */
int bus_stopped_fd(const struct bus *bus);
/* Joins the thread and frees everything. NULL is fine. */
void bus_stop(struct bus *bus);

#endif
