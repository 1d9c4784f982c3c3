/*
 * The bus: the thread that owns every ZeroMQ socket, the table of streams and the book of batches. It moves ticks to
 * the workers, their forecasts to subscribers, answers commands, and has models trained. It never blocks but in its
 * poll.
 */
#ifndef DAEMON_BUS_H
#define DAEMON_BUS_H

#include "daemon/reload.h"

struct bus;

/* Binds all sockets, starts workers, trainer, and the thread. From then on it alone changes what is live in the
 * configuration. NULL with the sentence in err. */
struct bus *bus_start(struct config *config, struct error *err);

/* Asks for an orderly stop: no new ticks, what was taken is forecast and published. Any thread; returns at once. */
void bus_request_stop(struct bus *bus);
/* A file descriptor that becomes readable when the bus has stopped. */
int bus_stopped_fd(const struct bus *bus);

/* An eventfd that becomes readable when a command asks for the configuration to be read again. */
int bus_reload_fd(const struct bus *bus);
/* Hands over what was read, asked for or not. Any thread but the bus; returns at once. */
void bus_reload(struct bus *bus, struct reload *reload);

/* Joins the thread and frees everything. NULL is fine. */
void bus_stop(struct bus *bus);

#endif
