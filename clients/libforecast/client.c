#include "clients/libforecast/client.h"

#include "daemon/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define TEXT_OF(number)       TEXT_OF_VALUE(number)
#define TEXT_OF_VALUE(number) #number

static _Thread_local char error_text[512];

const char *forecast_version(void) {
    return TEXT_OF(FORECAST_VERSION_MAJOR) "." TEXT_OF(FORECAST_VERSION_MINOR) "." TEXT_OF(FORECAST_VERSION_PATCH);
}

const char *forecast_error_text(void) {
    return error_text;
}

const char *forecast_error_name(int code) {
    static const char *const names[] = {
        "ok", "argument", "memory", "timeout", "interrupted", "network", "message", "protocol", "refused",
    };
    size_t n = sizeof names / sizeof names[0];

    return code <= 0 && code > -(int)n ? names[-code] : "unknown";
}

int forecast_client_fail(int code, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error_text, sizeof error_text, format, arguments);
    va_end(arguments);
    return code;
}

int forecast_client_fail_zmq(const char *what, const char *endpoint) {
    int number = errno;
    int code = number == EINTR    ? FORECAST_ERROR_INTERRUPTED
               : number == EAGAIN ? FORECAST_ERROR_TIMEOUT
               : number == ENOMEM ? FORECAST_ERROR_MEMORY
                                  : FORECAST_ERROR_NETWORK;

    if (code == FORECAST_ERROR_TIMEOUT)
        return forecast_client_fail(code, "%s %s: the time is up", what, endpoint);
    return forecast_client_fail(code, "%s %s: %s", what, endpoint, zmq_strerror(number));
}

int64_t forecast_client_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int forecast_client_left(int64_t start, int timeout_ms) {
    if (timeout_ms < 0)
        return timeout_ms;

    int64_t left = start + timeout_ms - forecast_client_now();
    return left > 0 ? (int)left : 0;
}

bool forecast_client_name_valid(const char *name) {
    return name && wire_name_valid((struct wire_text){name, strlen(name)});
}

int forecast_client_init(struct forecast_client *client, int type, const char *endpoint, int high_water_mark) {
    int hwm = high_water_mark ? high_water_mark : 1000, code;

    *client = (struct forecast_client){.timeout_ms = INT_MIN};
    if (high_water_mark < 0)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a high-water mark of %d messages is negative",
                                    high_water_mark);
    client->endpoint = strdup(endpoint);
    client->context = zmq_ctx_new();
    if (!client->endpoint || !client->context)
        goto fail;
    client->socket = zmq_socket(client->context, type);
    if (!client->socket || zmq_setsockopt(client->socket, ZMQ_SNDHWM, &hwm, sizeof hwm) ||
        zmq_setsockopt(client->socket, ZMQ_RCVHWM, &hwm, sizeof hwm))
        goto fail;
    return FORECAST_OK;

fail:
    code = forecast_client_fail_zmq("opening a socket for", endpoint);
    forecast_client_fini(client, 0);
    return code;
}

int forecast_client_connect(struct forecast_client *client) {
    if (!zmq_connect(client->socket, client->endpoint))
        return FORECAST_OK;
    if (errno == EINVAL || errno == EPROTONOSUPPORT || errno == ENOCOMPATPROTO)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT,
                                    "\"%s\" is not an endpoint; one is tcp://HOST:PORT or ipc://PATH",
                                    client->endpoint);
    return forecast_client_fail_zmq("connecting to", client->endpoint);
}

int forecast_client_timeout(struct forecast_client *client, int option, int timeout_ms) {
    int timeout = timeout_ms < 0 ? -1 : timeout_ms;

    if (client->timeout_ms == timeout)
        return FORECAST_OK;
    if (zmq_setsockopt(client->socket, option, &timeout, sizeof timeout))
        return forecast_client_fail_zmq("setting a timeout for", client->endpoint);
    client->timeout_ms = timeout;
    return FORECAST_OK;
}

bool forecast_client_fini(struct forecast_client *client, int linger_ms) {
    int linger = linger_ms < 0 ? -1 : linger_ms;
    int64_t start = forecast_client_now();

    if (client->socket) {
        zmq_setsockopt(client->socket, ZMQ_LINGER, &linger, sizeof linger);
        zmq_close(client->socket);
    }
    if (client->context)
        while (zmq_ctx_term(client->context) && errno == EINTR)
            ;
    free(client->endpoint);
    *client = (struct forecast_client){0};
    /* ZeroMQ does not tell whether something was left; that it waited to the end does. */
    return linger <= 0 || forecast_client_now() - start < linger;
}
