#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/fault/sender.h"

#include "daemon/wire.h"
#include "tests/support/daemon.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { WINDOW = 40, SILENCE_MS = 400, PRODUCER = 7 };

static void connect_socket(struct sender *sender) {
    int zero = 0, soon = 10;
    sender->socket = zmq_socket(sender->zmq, ZMQ_DEALER);
    assert_non_null(sender->socket);
    zmq_setsockopt(sender->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(sender->socket, ZMQ_SNDHWM, &zero, sizeof zero);
    zmq_setsockopt(sender->socket, ZMQ_RECONNECT_IVL, &soon, sizeof soon);
    assert_int_equal(zmq_connect(sender->socket, sender->endpoint), 0);
}

static void ask(struct sender *sender) {
    char text[64];
    int n = snprintf(text, sizeof text, "{\"cmd\":\"ask\",\"producer\":%d}", PRODUCER);
    sender->known = false;
    sender->heard = scenario_now();
    assert_int_equal(zmq_send(sender->socket, text, (size_t)n, 0), n);
}

void sender_open(struct sender *sender, const char *endpoint,
                 void (*tick)(uint64_t number, struct sender_tick *ret_tick)) {
    *sender = (struct sender){.endpoint = endpoint, .tick = tick, .zmq = zmq_ctx_new()};
    assert_non_null(sender->zmq);
    connect_socket(sender);
    ask(sender);
}

void sender_close(struct sender *sender) {
    zmq_close(sender->socket);
    zmq_ctx_term(sender->zmq);
}

void sender_reconnect(struct sender *sender) {
    zmq_close(sender->socket);
    connect_socket(sender);
    ask(sender);
}

static void send_one(struct sender *sender) {
    struct sender_tick tick;
    char header[48], payload[WIRE_TICK_BOUND(8)];
    uint64_t number = sender->sent + 1;
    sender->tick(number, &tick);
    int n_header = snprintf(header, sizeof header, "{\"seq\":%llu}", (unsigned long long)number);
    size_t n = wire_tick_encode(payload, sizeof payload, tick.t, tick.values, tick.n, NULL);
    assert_true(n > 0);
    struct iovec frames[] = {{header, (size_t)n_header}, {tick.stream, strlen(tick.stream)}, {payload, n}};
    feed_frames(sender->socket, frames, 3);
    sender->sent = number;
    sender->again += number <= sender->most_sent;
    sender->most_sent = number > sender->most_sent ? number : sender->most_sent;
}

static void take_reply(struct sender *sender, const json_t *reply) {
    const json_t *durable = json_object_get(reply, "durable");
    uint64_t number = (uint64_t)json_integer_value(durable);
    sender->heard = scenario_now();
    if (json_object_get(reply, "refused") != NULL && !sender->may_refuse)
        fail_msg("refused: %s", json_dumps(reply, 0));
    if (json_object_get(reply, "error") != NULL) {
        sender->errors++;
        sender->known = false; /* asked again after a while */
        return;
    }
    if (durable == NULL)
        fail_msg("a reply: %s", json_dumps(reply, 0));
    if (number < sender->durable)
        fail_msg("number %llu was durable, and now %llu is the last one", (unsigned long long)sender->durable,
                 (unsigned long long)number);
    sender->durable = number;
    if (!sender->known && json_object_get(reply, "credit_ticks") != NULL) {
        sender->known = true;
        sender->sent = number;
    }
}

void sender_go(struct sender *sender, uint64_t up_to, int ms) {
    while (sender->known && sender->sent < up_to && sender->sent - sender->durable < WINDOW)
        send_one(sender);
    zmq_pollitem_t item = {.socket = sender->socket, .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, ms);
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, sender->socket, ZMQ_DONTWAIT) >= 0) {
        json_t *reply = json_loadb(zmq_msg_data(&message), zmq_msg_size(&message), 0, NULL);
        assert_non_null(reply);
        take_reply(sender, reply);
        json_decref(reply);
    }
    zmq_msg_close(&message);
    if (sender->durable < up_to && scenario_now() - sender->heard > SILENCE_MS)
        ask(sender);
}
