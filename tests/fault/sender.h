/*
 * A client of acknowledged ticks that outlives its daemon: it sends ticks by their numbers, hears which are durable, and
 * sends the others again where the daemon or the connection was lost. Errors fail the running cmocka test. One thread.
 */
#ifndef TESTS_FAULT_SENDER_H
#define TESTS_FAULT_SENDER_H

#include <stdbool.h>
#include <stdint.h>

struct sender_tick {
    char stream[64];
    int64_t t;
    double values[8];
    int n;
};

struct sender {
    void *zmq, *socket;
    const char *endpoint;
    void (*tick)(uint64_t number, struct sender_tick *ret_tick); /* from 1 on, always the same */
    uint64_t sent, durable;                                      /* the last numbers */
    bool may_refuse;                                             /* ticks for good: they count as durable */
    bool known;                                                  /* the daemon has answered who we are */
    int64_t heard;                                               /* ms: when it last said something */
    uint64_t again;                                              /* ticks sent more than once */
    uint64_t most_sent;
    int64_t errors; /* answers that refused */
};

void sender_open(struct sender *sender, const char *endpoint,
                 void (*tick)(uint64_t number, struct sender_tick *ret_tick));
void sender_close(struct sender *sender);
/* The daemon is another one: what was not durable is sent again. */
void sender_reconnect(struct sender *sender);
/* Sends what the window allows of the ticks up to a number, and hears what comes within ms. */
void sender_go(struct sender *sender, uint64_t up_to, int ms);

#endif
