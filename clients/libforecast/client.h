/*
 * What the handles of libforecast have in common: error texts and a socket in a context of its own.
 * Not installed. Nothing here is shared between handles; the error text is per thread.
 */
#ifndef LIBFORECAST_CLIENT_H
#define LIBFORECAST_CLIENT_H

#include "clients/libforecast/forecast.h"

#include <stdbool.h>

/* Sets the calling thread's error text as printf does and returns code: return forecast_client_fail(...). */
int forecast_client_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The code and text of a ZeroMQ call that failed, from errno; what: "send to tcp://..". */
int forecast_client_fail_zmq(const char *what, const char *endpoint);

/* One ZeroMQ context with one socket: handles need no common owner, and closing one waits for its own
 * messages alone. */
struct forecast_client {
    char *endpoint;
    void *context, *socket;
    int timeout_ms; /* as last set on the socket */
};

/* A socket of the type that has not connected yet, so that options can be set. */
int forecast_client_init(struct forecast_client *client, int type, const char *endpoint, int high_water_mark);
int forecast_client_connect(struct forecast_client *client);

/* Sets the socket's timeout for sending (option ZMQ_SNDTIMEO) or receiving (ZMQ_RCVTIMEO); kept, since it
 * is seldom another than before. */
int forecast_client_timeout(struct forecast_client *client, int option, int timeout_ms);

/* Closes the socket and the context. Returns whether all messages were handed to the system within linger_ms. */
bool forecast_client_fini(struct forecast_client *client, int linger_ms);

/* ms left of a timeout that began at start (of forecast_client_now); negative timeouts stay as they are. */
int forecast_client_left(int64_t start, int timeout_ms);
int64_t forecast_client_now(void); /* ms, monotonic */

/* Whether text is what a name may be: 1 to 255 bytes of UTF-8. */
bool forecast_client_name_valid(const char *name);

#endif
