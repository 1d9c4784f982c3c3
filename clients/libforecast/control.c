#include "clients/libforecast/client.h"

#include "daemon/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct forecast_control {
    struct forecast_client client;
    bool asked;  /* a question is open */
    char *reply; /* text of the last reply */
};

int forecast_control_open(const char *endpoint, struct forecast_control **ret_control) {
    struct forecast_control *control = calloc(1, sizeof *control);
    int code;

    if (!control)
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a control");
    code = forecast_client_init(&control->client, ZMQ_REQ, endpoint ? endpoint : FORECAST_DEFAULT_CONTROL, 0);
    if (!code)
        code = forecast_client_connect(&control->client);
    if (code) {
        forecast_control_close(&control);
        return code;
    }
    *ret_control = control;
    return FORECAST_OK;
}

void forecast_control_close(struct forecast_control **control) {
    struct forecast_control *closing = *control;

    if (!closing)
        return;
    *control = NULL;
    forecast_client_fini(&closing->client, 0);
    free(closing->reply);
    free(closing);
}

/* Gives the open question up: a new socket has a new identity at the daemon, so a late answer to the old
 * one has nowhere to go. */
static int give_up(struct forecast_control *control) {
    int zero = 0;
    void *socket = zmq_socket(control->client.context, ZMQ_REQ);

    if (!socket)
        return forecast_client_fail_zmq("opening a socket for", control->client.endpoint);
    zmq_setsockopt(control->client.socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(control->client.socket);
    control->client.socket = socket;
    control->client.timeout_ms = -1; /* a new socket's */
    control->asked = false;
    return forecast_client_connect(&control->client);
}

int forecast_control_send(struct forecast_control *control, const char *request) {
    if (control->asked) {
        int code = give_up(control);

        if (code)
            return code;
    }
    /* A socket for one question at a time has room for it, or none is connected: no wait either way. */
    if (zmq_send(control->client.socket, request, strlen(request), ZMQ_DONTWAIT) < 0)
        return forecast_client_fail_zmq("sending to", control->client.endpoint);
    control->asked = true;
    return FORECAST_OK;
}

/* Takes the reply in control->reply, as text. */
static int take_reply(struct forecast_control *control, const char *data, size_t n) {
    bool is_json;
    json_t *reply = wire_message_decode(data, n, &is_json);
    char *text = json_is_object(reply) ? json_dumps(reply, JSON_COMPACT) : NULL;
    int code = FORECAST_OK;

    if (!text) {
        code = forecast_client_fail(FORECAST_ERROR_MESSAGE, "%s sent what is no reply", control->client.endpoint);
    } else {
        const json_t *error = json_object_get(reply, "error");
        const char *sentence = json_string_value(json_object_get(error, "message"));

        if (error)
            code = forecast_client_fail(FORECAST_ERROR_REFUSED, "%s", sentence ? sentence : "the daemon refused");
        free(control->reply);
        control->reply = text;
    }
    json_decref(reply);
    return code;
}

int forecast_control_receive(struct forecast_control *control, int timeout_ms, const char **ret_reply) {
    zmq_msg_t message;
    int code;

    if (!control->asked)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "no question is open");
    code = forecast_client_timeout(&control->client, ZMQ_RCVTIMEO, timeout_ms);
    if (code)
        return code;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, control->client.socket, 0) < 0) {
        code = forecast_client_fail_zmq("no answer from", control->client.endpoint);
        zmq_msg_close(&message);
        return code;
    }
    control->asked =
        zmq_msg_more(&message) != 0; /* what follows belongs to the same answer; a new socket is rid of it */
    code = take_reply(control, zmq_msg_data(&message), zmq_msg_size(&message));
    zmq_msg_close(&message);
    if (code == FORECAST_OK || code == FORECAST_ERROR_REFUSED)
        *ret_reply = control->reply;
    return code;
}

int forecast_control_request(struct forecast_control *control, const char *request, int timeout_ms,
                             const char **ret_reply) {
    int code = forecast_control_send(control, request);

    return code ? code : forecast_control_receive(control, timeout_ms, ret_reply);
}

int forecast_control_hello(struct forecast_control *control, int timeout_ms, const char **ret_reply) {
    const char *text;
    int code = forecast_control_request(control, "{\"cmd\":\"hello\",\"protocol\":1}", timeout_ms, &text);

    if (code)
        return code;
    json_t *reply = json_loads(text, 0, NULL);
    json_int_t protocol = json_integer_value(json_object_get(reply, "protocol"));
    json_decref(reply);
    if (protocol != WIRE_PROTOCOL)
        return forecast_client_fail(FORECAST_ERROR_PROTOCOL, "%s speaks protocol %lld; this library speaks %d",
                                    control->client.endpoint, (long long)protocol, WIRE_PROTOCOL);
    *ret_reply = text;
    return FORECAST_OK;
}
