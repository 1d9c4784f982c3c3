/*
 * Commands: a ROUTER socket, request maps in, reply maps out, in the form (MessagePack or JSON) of the request. Bus
 * thread only; never blocks: a client that does not read its replies loses them.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon/ingest.h"
#include "daemon/learning.h"

#include <stdbool.h>
#include <stdint.h>

struct control;

struct control_setup {
    const struct config *config;
    uint64_t epoch;
    struct worker **workers;
    struct streams *streams;
    struct publisher *publisher;
    struct ingest *ingest;
    struct learning *learning;
    const uint64_t *disconnects; /* the bus' count */
    void (*stop)(void *context); /* asked for by a command */
    void *context;
};

/* Binds the socket. NULL with the sentence in err. */
struct control *control_open(void *zmq, const struct control_setup *setup, struct error *err);
void control_close(struct control *control, int linger_ms);
void *control_socket(const struct control *control);

/* Answers a bounded number of requests. Returns whether there may be more. */
bool control_serve(struct control *control);

#endif
