/*
 * Commands: request maps in, reply maps out. What a worker or another thread has to do is answered when it is done,
 * the request being kept meanwhile. Bus thread only; never blocks, but for control_close.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon/ingest.h"
#include "daemon/learning.h"
#include "daemon/saver.h"

#include <stdbool.h>
#include <stdint.h>

struct control;

struct control_setup {
    const struct config *config;
    uint64_t epoch;
    struct worker **workers;
    struct streams *streams;
    struct placement *placement;
    struct publisher *publisher;
    const struct opening *opening;
    struct returns *returns; /* NULL: none */
    struct ingest *ingest;
    struct learning *learning;
    struct store *store;           /* NULL: none */
    saver_write *write;            /* how models are saved */
    struct doorbell *bell;         /* the bus', rung when one is */
    const uint64_t *disconnects;   /* the bus' count */
    void (*stop)(void *context);   /* asked for by a command */
    void (*reload)(void *context); /* the same: the configuration is to be read, and control_reloaded called */
    void *context;
};

/* Binds the socket. NULL with the sentence in err. */
struct control *control_open(void *zmq, const struct control_setup *setup, struct error *err);
/* Waits for a model that is being saved. NULL is fine. */
void control_close(struct control *control, int linger_ms);
void *control_socket(const struct control *control);

/* Answers a bounded number of requests. Returns whether there may be more. */
bool control_serve(struct control *control);

/* A worker has carried an order out: answers it, and frees it. */
void control_image_done(struct control *control, struct image_order *order);
void control_state_done(struct control *control, struct state_order *order);
void control_scores_done(struct control *control, struct scores_report *report);
/* The configuration has been read as asked; takes the reply's reference. */
void control_reloaded(struct control *control, json_t *reply);
/* So many wait for the disk that no other request is read now. */
bool control_is_full(const struct control *control);
/* Whether a request waits for something that rings nobody: control_serve is to be called soon. */
bool control_waits(const struct control *control);
/* At the end: answers what waited for nothing but the disk and is there. Returns whether more does. */
bool control_settle(struct control *control);
/* Whether control_serve has something to answer that came of another thread. */
bool control_has_result(const struct control *control);

#endif
