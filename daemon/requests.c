#include "daemon/requests.h"

#include "daemon/endpoint.h"
#include "daemon/wire.h"
#include "daemon/wire_pack.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Who asked, and how: the peer's identity, perhaps an empty delimiter (REQ) before the payload. */
struct asker {
    uint64_t number; /* of a kept request; 0: a free place */
    zmq_msg_t identity;
    bool delimited, as_json;
    json_t *id; /* or NULL */
};

struct requests {
    void *socket;
    bool open; /* a request is at hand */
    struct asker asker;
    json_t *request; /* NULL: cannot be read */
    struct asker kept[REQUESTS_KEPT_MOST];
    uint64_t number; /* of the latest one that was kept */
    struct requests_counters counters;
};

struct requests *requests_open(void *zmq, const struct config_bus *bus, struct error *err) {
    struct requests *requests = calloc(1, sizeof *requests);
    if (requests == NULL) {
        error_set(err, "control: out of memory");
        return NULL;
    }
    requests->socket = zmq_socket(zmq, ZMQ_ROUTER);
    if (requests->socket == NULL ||
        zmq_setsockopt(requests->socket, ZMQ_MAXMSGSIZE, &bus->max_message, sizeof bus->max_message) != 0 ||
        endpoint_bind(requests->socket, bus->control) != 0) {
        error_set(err, "bus.control: cannot bind to %s: %s", bus->control, zmq_strerror(errno));
        requests_close(requests, 0);
        return NULL;
    }
    return requests;
}

static void forget(struct asker *asker) {
    zmq_msg_close(&asker->identity);
    json_decref(asker->id);
    *asker = (struct asker){0};
}

/* The request at hand is done with. */
static void close_request(struct requests *requests) {
    if (!requests->open)
        return;
    forget(&requests->asker);
    json_decref(requests->request);
    requests->request = NULL;
    requests->open = false;
}

void *requests_socket(const struct requests *requests) {
    return requests->socket;
}

/* Reads the frames behind the identity into payload. Those behind the payload are dropped, and so is then the
 * request. */
static bool read_payload(struct requests *requests, zmq_msg_t *payload) {
    struct asker *asker = &requests->asker;
    int frames = 0;
    for (int more = zmq_msg_more(&asker->identity); more; frames++) {
        if (zmq_msg_recv(payload, requests->socket, ZMQ_DONTWAIT) < 0)
            break;
        more = zmq_msg_more(payload);
        if (frames == 0 && more && zmq_msg_size(payload) == 0)
            asker->delimited = true;
    }
    return frames == (asker->delimited ? 2 : 1);
}

bool requests_next(struct requests *requests, const json_t **ret_request) {
    struct asker *asker = &requests->asker;
    assert(!requests->open);
    zmq_msg_init(&asker->identity);
    if (zmq_msg_recv(&asker->identity, requests->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&asker->identity);
        return false;
    }
    requests->open = true;
    requests->counters.requests++;
    zmq_msg_t payload;
    zmq_msg_init(&payload);
    if (read_payload(requests, &payload))
        requests->request = wire_message_decode(zmq_msg_data(&payload), zmq_msg_size(&payload), &asker->as_json);
    zmq_msg_close(&payload);
    asker->id = json_incref(json_object_get(requests->request, "id"));
    *ret_request = requests->request;
    return true;
}

/* A ROUTER drops what its peer does not take. */
static void send_payload(struct requests *requests, struct asker *asker, const char *data, size_t n) {
    if (zmq_msg_send(&asker->identity, requests->socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
        (!asker->delimited || zmq_send(requests->socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0))
        zmq_send(requests->socket, data, n, ZMQ_DONTWAIT);
}

/* What takes no memory to say; an id that is no integer is left out. */
static void send_no_memory(struct requests *requests, struct asker *asker) {
    bool numbered = json_is_integer(asker->id);
    json_int_t id = json_integer_value(asker->id);
    char data[160], *end = data;
    requests->counters.errors++;
    if (asker->as_json) {
        end += sprintf(end, "{\"error\":{\"code\":\"memory\",\"message\":\"out of memory\"}");
        end += numbered ? sprintf(end, ",\"id\":%" JSON_INTEGER_FORMAT "}", id) : sprintf(end, "}");
    } else {
        end = pack_map(PACK_LITERAL(pack_map(end, numbered ? 2 : 1), "error"), 2);
        end = PACK_LITERAL(PACK_LITERAL(end, "code"), "memory");
        end = PACK_LITERAL(PACK_LITERAL(end, "message"), "out of memory");
        end = numbered ? pack_int(PACK_LITERAL(end, "id"), id) : end;
    }
    send_payload(requests, asker, data, (size_t)(end - data));
}

static void send_reply(struct requests *requests, struct asker *asker, json_t *reply) {
    char *data = NULL;
    size_t n;
    if (reply == NULL || (asker->id != NULL && json_object_set(reply, "id", asker->id) != 0) ||
        wire_message_encode(reply, asker->as_json, &data, &n) != 0) {
        send_no_memory(requests, asker);
    } else {
        requests->counters.errors += json_object_get(reply, "error") != NULL;
        send_payload(requests, asker, data, n);
    }
    free(data);
    json_decref(reply);
}

bool requests_is_open(const struct requests *requests) {
    return requests->open;
}

void requests_answer(struct requests *requests, json_t *reply) {
    assert(requests->open);
    send_reply(requests, &requests->asker, reply);
    close_request(requests);
}

uint64_t requests_keep(struct requests *requests) {
    assert(requests->open);
    struct asker *place = requests->kept;
    while (place < requests->kept + REQUESTS_KEPT_MOST && place->number != 0)
        place++;
    if (place == requests->kept + REQUESTS_KEPT_MOST) {
        requests->counters.busy++;
        return 0;
    }
    *place = requests->asker;
    place->number = ++requests->number;
    /* A zmq_msg_t is moved, not copied. */
    zmq_msg_init(&place->identity);
    zmq_msg_move(&place->identity, &requests->asker.identity);
    requests->asker.id = NULL;
    requests->counters.kept++;
    close_request(requests);
    return place->number;
}

static struct asker *find_kept(struct requests *requests, uint64_t number) {
    struct asker *place = requests->kept;
    while (place->number != number) {
        place++;
        assert(place < requests->kept + REQUESTS_KEPT_MOST);
    }
    return place;
}

void requests_resume(struct requests *requests, uint64_t number) {
    struct asker *place = find_kept(requests, number);
    assert(!requests->open);
    requests->asker = *place;
    zmq_msg_init(&requests->asker.identity);
    zmq_msg_move(&requests->asker.identity, &place->identity);
    place->id = NULL;
    forget(place);
    requests->counters.kept--;
    requests->open = true;
}

void requests_answer_kept(struct requests *requests, uint64_t number, json_t *reply) {
    struct asker *place = find_kept(requests, number);
    send_reply(requests, place, reply);
    forget(place);
    requests->counters.kept--;
}

static json_t *stopping(void) {
    return json_pack("{s:{s:s, s:s}}", "error", "code", "stopping", "message", "the daemon stops: ask the next one");
}

void requests_close(struct requests *requests, int linger_ms) {
    if (requests == NULL)
        return;
    close_request(requests);
    for (int i = 0; i < REQUESTS_KEPT_MOST; i++)
        if (requests->kept[i].number != 0)
            requests_answer_kept(requests, requests->kept[i].number, stopping());
    if (requests->socket != NULL) {
        zmq_setsockopt(requests->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(requests->socket);
    }
    free(requests);
}

struct requests_counters requests_counters(const struct requests *requests) {
    return requests->counters;
}
