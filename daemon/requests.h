/*
 * The socket of control: a ROUTER from which requests come one by one, and their answers go, in the form (MessagePack
 * or JSON) of the request. An answer may come later: such requests are kept, a bounded number of them. Bus thread
 * only; never blocks: a client that does not read its replies loses them.
 */
#ifndef DAEMON_REQUESTS_H
#define DAEMON_REQUESTS_H

#include "engine/config.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Requests that may wait for their answers. */
enum { REQUESTS_KEPT_MOST = 64 };

struct requests;

/* Binds the socket. NULL with the sentence in err. */
struct requests *requests_open(void *zmq, const struct config_bus *bus, struct error *err);
/* Requests that are kept are answered so: the daemon stops. NULL is fine. */
void requests_close(struct requests *requests, int linger_ms);
void *requests_socket(const struct requests *requests);

/* The next request, borrowed until it is answered or kept; *ret_request is NULL where it cannot be read. Returns
 * false when there is none. */
bool requests_next(struct requests *requests, const json_t **ret_request);
/* Whether it has been neither answered nor kept. */
bool requests_is_open(const struct requests *requests);
/* Answers it; takes the reply's reference. NULL: memory was short, and that is what the answer says. */
void requests_answer(struct requests *requests, json_t *reply);

/* Keeps it instead, to be answered by its number. Returns 0, the request staying at hand, when too many are kept or
 * memory is short. */
uint64_t requests_keep(struct requests *requests);
/* One that was kept is at hand again, while none else is: to be answered, or kept once more. */
void requests_resume(struct requests *requests, uint64_t number);
/* Answers one that was kept. */
void requests_answer_kept(struct requests *requests, uint64_t number, json_t *reply);

struct requests_counters {
    uint64_t requests, errors; /* taken; answered with an error */
    uint64_t kept;             /* that wait now */
    uint64_t busy;             /* that could not be kept */
};
struct requests_counters requests_counters(const struct requests *requests);

#endif
