/*
 * Ticks that are acknowledged. What is added gathers in messages (bundles), which are kept in a list until the daemon
 * acknowledges them. Whenever something is wrong (an error, a silence, the first time) the sender asks how far the daemon
 * has come, and sends everything behind that again.
 */
#include "clients/libforecast/client.h"

#include "daemon/wire_pack.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    BUNDLE = 256,        /* ticks of a message, */
    MESSAGE = 128 << 10, /* and bytes, at most */
    MAX_TICKS = 100000,
    SILENCE_MS = 1000, /* without an answer, it asks again */
    BACK_OFF_MS = 200, /* behind an error that needs time */
    WAIT_MS = 20,      /* while what an earlier sender sent is on its way to the disk */
};

struct message {
    struct message *next;
    uint64_t first;
    uint32_t n; /* ticks */
    bool was_sent;
    size_t used, size;
    char *bytes; /* a bundle; the array's head is written when it is closed */
};

struct forecast_sender {
    struct forecast_client client;
    char *producer; /* NULL: producer_id */
    int64_t producer_id;
    uint32_t bundle;
    int max_ticks;
    void (*refused)(void *context, const struct forecast_refusal *refusal);
    void *context;

    bool known; /* the daemon has told how far the producer has come */
    bool says;  /* with the next message, how far it has heard: at first, and behind refusals */
    int failed; /* a code: for good, with the text */
    char text[256];
    struct message *first, *last; /* closed ones that are not acknowledged */
    struct message *unsent;       /* of them, the next that is to be sent; NULL: none */
    struct message *open;         /* that ticks are added to; or NULL */
    uint64_t flying_ticks, flying_bytes;
    uint64_t credit_ticks, credit_bytes;
    struct forecast_sender_status status;

    bool asks, asked; /* it is to ask, has asked and has no answer */
    int64_t ask_at;   /* ms: not before */
    int64_t heard_at; /* ms: the latest answer, or when there was nothing to be answered */
    int64_t question; /* number of the latest */
};

/* ---- open and close ----------------------------------------------------------------------- */

static int check_options(const struct forecast_sender_options *options) {
    if (options->producer ? !forecast_client_name_valid(options->producer) : options->producer_id < 1)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT,
                                    "a producer is a name of 1 to 255 bytes of UTF-8, or a number above 0");
    if (options->bundle < 0 || options->max_ticks < 0)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a number of ticks is not negative");
    return FORECAST_OK;
}

static void free_message(struct message *message) {
    if (message)
        free(message->bytes);
    free(message);
}

static void free_sender(struct forecast_sender *sender) {
    while (sender->first) {
        struct message *message = sender->first;

        sender->first = message->next;
        free_message(message);
    }
    free_message(sender->open);
    free(sender->producer);
    free(sender);
}

int forecast_sender_open(const struct forecast_sender_options *options, struct forecast_sender **ret_sender) {
    int code = check_options(options), one = 1;
    struct forecast_sender *sender = code ? NULL : calloc(1, sizeof *sender);

    if (code)
        return code;
    if (!sender || (options->producer && !(sender->producer = strdup(options->producer)))) {
        free(sender);
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a sender");
    }
    sender->producer_id = options->producer_id;
    sender->max_ticks = options->max_ticks ? options->max_ticks : MAX_TICKS;
    sender->bundle = (uint32_t)(options->bundle ? options->bundle : BUNDLE);
    if (sender->bundle > (uint32_t)sender->max_ticks)
        sender->bundle = (uint32_t)sender->max_ticks;
    sender->refused = options->refused;
    sender->context = options->context;
    sender->asks = true;
    code = forecast_client_init(&sender->client, ZMQ_DEALER,
                                options->endpoint ? options->endpoint : FORECAST_DEFAULT_ACKNOWLEDGED, 0);
    if (code)
        goto free_it;
    /* What waits for a connection would come to a daemon that has not been asked. */
    if (zmq_setsockopt(sender->client.socket, ZMQ_IMMEDIATE, &one, sizeof one))
        code = forecast_client_fail_zmq("connecting to", sender->client.endpoint);
    else
        code = forecast_client_connect(&sender->client);
    if (code)
        goto fini_client;
    *ret_sender = sender;
    return FORECAST_OK;

fini_client:
    forecast_client_fini(&sender->client, 0);
free_it:
    free_sender(sender);
    return code;
}

int forecast_sender_close(struct forecast_sender **sender, int linger_ms) {
    struct forecast_sender *closing = *sender;

    if (!closing)
        return FORECAST_OK;
    *sender = NULL;
    int code = closing->status.kept ? forecast_sender_flush(closing, linger_ms) : FORECAST_OK;

    if (code == FORECAST_ERROR_TIMEOUT)
        forecast_client_fail(code, "%d ticks are not acknowledged after %d ms", closing->status.kept, linger_ms);
    forecast_client_fini(&closing->client, 0);
    free_sender(closing);
    return code;
}

void forecast_sender_status(const struct forecast_sender *sender, struct forecast_sender_status *ret_status) {
    *ret_status = sender->status;
}

/* ---- what is kept ------------------------------------------------------------------------- */

/* For good: every call from now on gives it. */
static int give_up(struct forecast_sender *sender, int code, const char *text) {
    sender->failed = code;
    snprintf(sender->text, sizeof sender->text, "%s", text);
    return forecast_client_fail(code, "%s", text);
}

static void close_open(struct forecast_sender *sender) {
    struct message *message = sender->open;

    if (!message || message->n == 0)
        return;
    wire_array_head(message->bytes, message->n);
    sender->open = NULL;
    if (sender->last)
        sender->last->next = message;
    else
        sender->first = message;
    sender->last = message;
    if (!sender->unsent)
        sender->unsent = message;
}

/* All up to the number is acknowledged. Returns whether that is news. */
static bool take_durable(struct forecast_sender *sender, uint64_t durable) {
    bool any = false;

    while (sender->first && sender->first->first + sender->first->n - 1 <= durable) {
        struct message *message = sender->first;

        if (message == sender->unsent) {
            sender->unsent = message->next; /* sent before the daemon was asked */
        } else {
            sender->flying_ticks -= message->n;
            sender->flying_bytes -= message->used;
        }
        sender->status.acknowledged += message->n;
        sender->status.kept -= (int)message->n;
        sender->status.durable = message->first + message->n - 1;
        sender->first = message->next;
        if (!sender->first)
            sender->last = NULL;
        free_message(message);
        any = true;
    }
    return any;
}

/* ---- what the daemon answers -------------------------------------------------------------- */

static void ask_again(struct forecast_sender *sender, int in_ms) {
    sender->asks = true;
    sender->asked = false;
    sender->ask_at = forecast_client_now() + in_ms;
}

/* The daemon has told how far it has come. */
static int take_answer(struct forecast_sender *sender, const json_t *reply) {
    uint64_t durable = (uint64_t)json_integer_value(json_object_get(reply, "durable"));
    uint64_t taken = (uint64_t)json_integer_value(json_object_get(reply, "taken"));

    sender->asked = false;
    sender->status.degraded = json_is_true(json_object_get(reply, "degraded"));
    sender->credit_ticks = (uint64_t)json_integer_value(json_object_get(reply, "credit_ticks"));
    sender->credit_bytes = (uint64_t)json_integer_value(json_object_get(reply, "credit_bytes"));
    if (!sender->known) {
        /* What an earlier sender sent has to be decided first. */
        if (durable < taken || sender->status.degraded) {
            ask_again(sender, sender->status.degraded ? BACK_OFF_MS : WAIT_MS);
            return FORECAST_OK;
        }
        sender->known = sender->says = true;
        sender->status.added = sender->status.durable = durable;
        return FORECAST_OK;
    }
    if (taken > sender->status.added)
        return give_up(sender, FORECAST_ERROR_REFUSED, "the producer has sent ticks that are not this sender's");
    take_durable(sender, durable);
    if (sender->status.durable != durable)
        return give_up(sender, FORECAST_ERROR_REFUSED,
                       "the daemon has forgotten ticks that it had acknowledged: its state_dir is another one, or "
                       "the producer was forgotten");
    /* What was taken is on its way to the disk; the rest is sent again. */
    sender->flying_ticks = sender->flying_bytes = 0;
    for (sender->unsent = sender->first; sender->unsent; sender->unsent = sender->unsent->next) {
        if (sender->unsent->first + sender->unsent->n - 1 > taken)
            break;
        sender->flying_ticks += sender->unsent->n;
        sender->flying_bytes += sender->unsent->used;
    }
    if (sender->status.degraded)
        ask_again(sender, BACK_OFF_MS);
    return FORECAST_OK;
}

static int take_error(struct forecast_sender *sender, const json_t *error) {
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *sentence = json_string_value(json_object_get(error, "message"));
    /* They mend themselves: at once by asking, or in time. */
    static const char *const at_once[] = {"ask", "gap"}, *const in_time[] = {"credit", "degraded", "memory"};

    for (size_t i = 0; code && i < sizeof at_once / sizeof *at_once; i++)
        if (strcmp(code, at_once[i]) == 0) {
            if (!sender->asks && !sender->asked) /* else it is on its way */
                ask_again(sender, 0);
            return FORECAST_OK;
        }
    for (size_t i = 0; code && i < sizeof in_time / sizeof *in_time; i++)
        if (strcmp(code, in_time[i]) == 0) {
            sender->status.degraded |= strcmp(code, "degraded") == 0;
            if (!sender->asks && !sender->asked)
                ask_again(sender, BACK_OFF_MS);
            return FORECAST_OK;
        }
    return give_up(sender, FORECAST_ERROR_REFUSED, sentence ? sentence : "the daemon refuses what is sent");
}

static void tell_refused(struct forecast_sender *sender, const json_t *list) {
    size_t i;
    json_t *entry;

    json_array_foreach(list, i, entry) {
        struct forecast_refusal refusal = {
            .first = (uint64_t)json_integer_value(json_array_get(entry, 0)),
            .last = (uint64_t)json_integer_value(json_array_get(entry, 1)),
            .reason = json_string_value(json_array_get(entry, 2)),
            .stream = json_string_value(json_array_get(entry, 3)),
        };

        if (!refusal.reason || !refusal.stream || refusal.last < refusal.first)
            continue;
        sender->says = true;
        sender->status.refused += refusal.last - refusal.first + 1;
        if (sender->refused)
            sender->refused(sender->context, &refusal);
    }
}

static int take_reply(struct forecast_sender *sender, const char *data, size_t n) {
    bool is_json;
    json_t *reply = wire_message_decode(data, n, &is_json);
    const json_t *error = json_object_get(reply, "error"), *id = json_object_get(reply, "id");
    int code = FORECAST_OK;

    sender->heard_at = forecast_client_now();
    if (error) {
        code = take_error(sender, error);
    } else if (id) {
        if (sender->asked && json_integer_value(id) == sender->question)
            code = take_answer(sender, reply);
    } else if (json_is_integer(json_object_get(reply, "durable"))) {
        tell_refused(sender, json_object_get(reply, "refused"));
        /* Before an answer it may be meant for the sender before this one. */
        if (sender->known)
            take_durable(sender, (uint64_t)json_integer_value(json_object_get(reply, "durable")));
    } else {
        code = forecast_client_fail(FORECAST_ERROR_MESSAGE, "%s sent what is no reply", sender->client.endpoint);
    }
    json_decref(reply);
    return code;
}

/* Takes in all that has come. */
static int receive(struct forecast_sender *sender, bool *ret_any) {
    for (;;) {
        zmq_msg_t message, more;
        int code;

        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, sender->client.socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&message);
            return errno == EAGAIN ? FORECAST_OK
                                   : forecast_client_fail_zmq("receiving from", sender->client.endpoint);
        }
        *ret_any = true;
        for (bool left = zmq_msg_more(&message); left;) { /* no reply has more frames */
            zmq_msg_init(&more);
            left = zmq_msg_recv(&more, sender->client.socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&more);
            zmq_msg_close(&more);
        }
        code = take_reply(sender, zmq_msg_data(&message), zmq_msg_size(&message));
        zmq_msg_close(&message);
        if (code)
            return code;
    }
}

/* ---- what is sent ------------------------------------------------------------------------- */

/* Header and payload, whole or not at all; without a payload the header alone. Returns 1, 0 while it cannot, or a
 * code. */
static int send_frames(struct forecast_sender *sender, struct wire_text header, struct wire_text payload) {
    int sent = zmq_send(sender->client.socket, header.at, header.n, ZMQ_DONTWAIT | (payload.at ? ZMQ_SNDMORE : 0));

    if (sent >= 0 && payload.at)
        /* If the connection went away between the two, ZeroMQ drops the first. */
        do
            sent = zmq_send(sender->client.socket, payload.at, payload.n, ZMQ_DONTWAIT);
        while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 1;
    return errno == EAGAIN || errno == EINTR ? 0 : forecast_client_fail_zmq("sending to", sender->client.endpoint);
}

static int send_question(struct forecast_sender *sender) {
    char header[96 + WIRE_MAX_NAME];
    char *p = pack_map(header, sender->known ? 4 : 3);

    p = PACK_LITERAL(PACK_LITERAL(p, "cmd"), "ask");
    p = PACK_LITERAL(p, "producer");
    if (sender->producer)
        p = pack_text(p, (struct wire_text){sender->producer, strlen(sender->producer)});
    else
        p = pack_int(p, sender->producer_id);
    if (sender->known) /* what was refused behind that is told, also by a daemon that has been started since */
        p = pack_uint(PACK_LITERAL(p, "known"), sender->status.durable);
    p = pack_int(PACK_LITERAL(p, "id"), sender->question + 1);
    int sent = send_frames(sender, (struct wire_text){header, (size_t)(p - header)}, (struct wire_text){0});

    if (sent == 1) {
        sender->question++;
        sender->asks = false;
        sender->asked = true;
        sender->heard_at = forecast_client_now();
    }
    return sent;
}

static int send_message(struct forecast_sender *sender, struct message *message) {
    char header[64];
    char *p = pack_map(header, sender->says ? 2 : 1);

    p = pack_uint(PACK_LITERAL(p, "seq"), message->first);
    if (sender->says) /* until it knows that the daemon keeps what it has told */
        p = pack_uint(PACK_LITERAL(p, "known"), sender->status.durable);
    int sent = send_frames(sender, (struct wire_text){header, (size_t)(p - header)},
                           (struct wire_text){message->bytes, message->used});

    sender->says = sender->says && sent != 1;
    return sent;
}

/* All that the credit and ZeroMQ have room for. Returns a code. */
static int send_all(struct forecast_sender *sender) {
    while (sender->known && !sender->asks && !sender->asked && sender->unsent) {
        struct message *message = sender->unsent;

        if (message->n > sender->credit_ticks || message->used > sender->credit_bytes)
            return give_up(sender, FORECAST_ERROR_REFUSED, "the daemon's credit has become smaller than a message");
        if (sender->flying_ticks + message->n > sender->credit_ticks ||
            sender->flying_bytes + message->used > sender->credit_bytes)
            return FORECAST_OK;
        int sent = send_message(sender, message);

        if (sent <= 0)
            return sent;
        if (!sender->first || sender->flying_ticks == 0)
            sender->heard_at = forecast_client_now(); /* from now on there is something to be heard */
        sender->flying_ticks += message->n;
        sender->flying_bytes += message->used;
        sender->status.resent += message->was_sent ? message->n : 0;
        message->was_sent = true;
        sender->unsent = message->next;
    }
    return FORECAST_OK;
}

/* ms until something has to be done by itself. */
static int64_t until_timer(const struct forecast_sender *sender, int64_t now) {
    if (!sender->asks && !sender->asked && !sender->unsent && sender->flying_ticks == 0)
        return INT_MAX;
    if (sender->asks)
        return sender->ask_at > now ? sender->ask_at - now : WAIT_MS; /* it could not be sent */
    if (sender->unsent && sender->flying_ticks == 0 && !sender->asked)
        return WAIT_MS; /* nor could this: there is no connection */
    return sender->heard_at + SILENCE_MS > now ? sender->heard_at + SILENCE_MS - now : 0;
}

/* Sends what can be sent, and waits for an answer. *ret_any: whether one came. */
static int step(struct forecast_sender *sender, int64_t wait_ms, bool *ret_any) {
    int64_t now = forecast_client_now();
    bool waits = sender->asked || sender->flying_ticks > 0;
    int code = FORECAST_OK;

    *ret_any = false;
    if (sender->failed)
        return forecast_client_fail(sender->failed, "%s", sender->text);
    if (waits && !sender->asks && now - sender->heard_at >= SILENCE_MS)
        ask_again(sender, 0);
    if (sender->asks && now >= sender->ask_at)
        code = send_question(sender);
    if (code >= 0)
        code = send_all(sender);
    if (code < 0)
        return code;
    int64_t timer = until_timer(sender, now);
    zmq_pollitem_t item = {.socket = sender->client.socket, .events = ZMQ_POLLIN};

    if (wait_ms < 0 || wait_ms > timer)
        wait_ms = timer;
    if (zmq_poll(&item, 1, (long)wait_ms) < 0)
        return forecast_client_fail_zmq("waiting for", sender->client.endpoint);
    code = receive(sender, ret_any);
    return code ? code : send_all(sender);
}

/* Steps until done(sender). */
static int step_until(struct forecast_sender *sender, bool (*done)(const struct forecast_sender *), int timeout_ms,
                      const char *waited_for) {
    int64_t start = forecast_client_now();
    bool any;

    if (sender->failed)
        return forecast_client_fail(sender->failed, "%s", sender->text);
    while (!done(sender)) {
        int left = forecast_client_left(start, timeout_ms);
        int code = step(sender, left, &any);

        if (code)
            return code;
        if (left == 0 && !done(sender))
            return forecast_client_fail(FORECAST_ERROR_TIMEOUT, "%s %s: the time is up%s", waited_for,
                                        sender->client.endpoint,
                                        sender->status.degraded ? "; the daemon's disk fails" : "");
    }
    return FORECAST_OK;
}

static bool is_known(const struct forecast_sender *sender) {
    return sender->known;
}

static bool is_empty(const struct forecast_sender *sender) {
    return sender->status.kept == 0;
}

static bool has_room(const struct forecast_sender *sender) {
    return sender->known && sender->status.kept < sender->max_ticks;
}

int forecast_sender_wait(struct forecast_sender *sender, int timeout_ms, uint64_t *ret_durable) {
    int code = step_until(sender, is_known, timeout_ms, "no answer from");

    if (code == FORECAST_OK)
        *ret_durable = sender->status.durable;
    return code;
}

int forecast_sender_poll(struct forecast_sender *sender, int timeout_ms) {
    int64_t start = forecast_client_now();
    bool any = false;

    close_open(sender);
    for (int left = timeout_ms;; left = forecast_client_left(start, timeout_ms)) {
        int code = step(sender, left, &any);

        if (code || any || left == 0)
            return code;
    }
}

int forecast_sender_flush(struct forecast_sender *sender, int timeout_ms) {
    close_open(sender);
    return step_until(sender, is_empty, timeout_ms, "not all is acknowledged by");
}

/* ---- adding ------------------------------------------------------------------------------- */

static int check_values(const char *stream, const double *values, int n_values) {
    if (!forecast_client_name_valid(stream))
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a stream name is 1 to 255 bytes of UTF-8");
    if (n_values < 0 || n_values > WIRE_MAX_VALUES || (n_values && !values))
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a tick has 0 to %d values, not %d", WIRE_MAX_VALUES,
                                    n_values);
    for (int i = 0; i < n_values; i++)
        if (isinf(values[i]))
            return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "value %d of stream \"%s\" is infinite", i, stream);
    return FORECAST_OK;
}

static size_t message_most(const struct forecast_sender *sender) {
    return sender->credit_bytes < MESSAGE ? (size_t)sender->credit_bytes : MESSAGE;
}

/* Room for `need` bytes of one more tick in the open message, of which *ret_place is where it goes. */
static int make_room(struct forecast_sender *sender, size_t need, int timeout_ms, char **ret_place) {
    int code = step_until(sender, has_room, timeout_ms, "no room for a tick, without an answer from");

    if (code)
        return code;
    if (WIRE_ARRAY_HEAD + need > sender->credit_bytes)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT,
                                    "a tick of up to %zu bytes is more than the daemon's credit", need);
    if (sender->open && sender->open->n > 0 && sender->open->used + need > message_most(sender)) {
        bool any;

        close_open(sender);
        step(sender, 0, &any); /* as behind a full number of ticks */
    }
    if (!sender->open) {
        sender->open = calloc(1, sizeof *sender->open);
        if (!sender->open)
            return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a message");
        *sender->open = (struct message){.first = sender->status.added + 1, .used = WIRE_ARRAY_HEAD};
    }
    struct message *open = sender->open;

    if (open->used + need > open->size) {
        size_t size = 2 * (open->used + need) < 4096 ? 4096 : 2 * (open->used + need);
        char *bytes = realloc(open->bytes, size);

        if (!bytes)
            return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a message");
        open->bytes = bytes;
        open->size = size;
    }
    *ret_place = open->bytes + open->used;
    return FORECAST_OK;
}

/* A tick stands in the open message, up to end. What makes a full one goes on its way. */
static int added(struct forecast_sender *sender, const char *end) {
    struct message *open = sender->open;
    bool any;

    open->used = (size_t)(end - open->bytes);
    open->n++;
    sender->status.added++;
    sender->status.kept++;
    if (open->n < sender->bundle && open->n < sender->credit_ticks)
        return FORECAST_OK;
    close_open(sender);
    step(sender, 0, &any); /* it was added: what is wrong the next call tells */
    return FORECAST_OK;
}

int forecast_sender_add(struct forecast_sender *sender, const char *stream, int64_t t, const double *values,
                        int n_values, int timeout_ms) {
    int code = check_values(stream, values, n_values);
    char *p;

    if (!code)
        code = make_room(sender, strlen(stream) + PACK_MAX * ((size_t)n_values + 4), timeout_ms, &p);
    if (code)
        return code;
    p = pack_text(pack_array(p, 3), (struct wire_text){stream, strlen(stream)});
    p = pack_array(pack_int(p, t), (size_t)n_values);
    for (int i = 0; i < n_values; i++)
        p = isnan(values[i]) ? pack_nil(p) : pack_double(p, values[i]);
    return added(sender, p);
}

static char *pack_stream_and_time(char *p, const char *stream, int64_t t) {
    p = PACK_LITERAL(pack_map(p, 3), "stream");
    p = pack_text(p, (struct wire_text){stream, strlen(stream)});
    return pack_int(PACK_LITERAL(p, "t"), t);
}

int forecast_sender_add_named(struct forecast_sender *sender, const char *stream, int64_t t, const char *const *names,
                              const double *values, int n_values, int timeout_ms) {
    int code = check_values(stream, values, n_values);
    size_t need = 64;
    char *p;

    for (int i = 0; !code && i < n_values; i++) {
        if (!forecast_client_name_valid(names[i]))
            return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a feature name is 1 to 255 bytes of UTF-8");
        need += strlen(names[i]) + 2 * PACK_MAX;
    }
    if (!code)
        code = make_room(sender, need + strlen(stream), timeout_ms, &p);
    if (code)
        return code;
    p = pack_map(PACK_LITERAL(pack_stream_and_time(p, stream, t), "v"), (size_t)n_values);
    for (int i = 0; i < n_values; i++) {
        p = pack_text(p, (struct wire_text){names[i], strlen(names[i])});
        p = pack_double(p, values[i]);
    }
    return added(sender, p);
}

int forecast_sender_add_label(struct forecast_sender *sender, const char *stream, int64_t t, int64_t label,
                              int timeout_ms) {
    int code = check_values(stream, NULL, 0);
    char *p;

    if (!code && label < 0)
        code = forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a label is the number of a class, not %lld",
                                    (long long)label);
    if (!code)
        code = make_room(sender, strlen(stream) + 64, timeout_ms, &p);
    if (code)
        return code;
    p = pack_int(PACK_LITERAL(pack_stream_and_time(p, stream, t), "label"), label);
    return added(sender, p);
}
