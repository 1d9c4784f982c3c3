#include "tests/support/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

static int64_t count(const void *bytes, size_t n) {
    uint32_t forecasts = 0;
    wire_array_open(bytes, n, &forecasts);
    return forecasts;
}

void fleet_hear(struct fleet *fleet, int64_t until) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, fleet->heard, fleet->forecasts < until ? 0 : ZMQ_DONTWAIT) >= 0)
        if (!zmq_msg_more(&message))
            fleet->forecasts += count(zmq_msg_data(&message), zmq_msg_size(&message));
    zmq_msg_close(&message);
    if (fleet->forecasts >= until)
        return;
    fprintf(stderr, "%lld of %lld forecasts have come, and no more do\n", (long long)fleet->forecasts,
            (long long)fleet->sent);
    exit(1);
}

void fleet_send(struct fleet *fleet, int n_ticks) {
    for (int i = 0; i < n_ticks; i++, fleet->ticks++) {
        char name[32];
        double values[FLEET_FEATURES];
        int64_t step = fleet->ticks / fleet->streams, s = fleet->ticks % fleet->streams;
        int n = snprintf(name, sizeof name, "stream-%06d", (int)s);
        for (int f = 0; f < FLEET_FEATURES; f++)
            values[f] = (double)((step * (f + 3) + s) % 101);
        wire_bundle_add(&fleet->bundle, (struct wire_text){name, (size_t)n}, step * 1000000000, values,
                        FLEET_FEATURES);
    }
    struct wire_text message = wire_bundle_message(&fleet->bundle);
    zmq_send(fleet->push, message.at, message.n, 0);
    wire_bundle_clear(&fleet->bundle);
    fleet->sent += n_ticks;
    fleet_hear(fleet, fleet->sent - FLEET_IN_FLIGHT);
}

void fleet_send_round(struct fleet *fleet) {
    for (int64_t left = fleet->streams; left > 0; left -= FLEET_BUNDLE)
        fleet_send(fleet, left < FLEET_BUNDLE ? (int)left : FLEET_BUNDLE);
}

void fleet_connect(struct fleet *fleet) {
    fleet->push = daemon_connect_bounded(fleet->daemon, ZMQ_PUSH, fleet->daemon->ticks, 100);
    fleet->heard = daemon_connect(fleet->daemon, ZMQ_SUB, fleet->daemon->forecasts);
    zmq_setsockopt(fleet->heard, ZMQ_SUBSCRIBE, "bundle/", 7);
    while (daemon_count(fleet->daemon, "forecasts.subscriptions") < 1)
        scenario_sleep(1);
    zmq_setsockopt(fleet->heard, ZMQ_RCVTIMEO, &(int){60000}, sizeof(int));
    fleet->sent = fleet->forecasts = 0;
}

void fleet_disconnect(struct fleet *fleet) {
    daemon_close(fleet->daemon, fleet->push);
    daemon_close(fleet->daemon, fleet->heard);
}

void fleet_fini(struct fleet *fleet) {
    wire_bundle_fini(&fleet->bundle);
}
