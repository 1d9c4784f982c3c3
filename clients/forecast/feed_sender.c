#include "clients/forecast/feed.h"

#include "clients/forecast/options.h"
#include "clients/forecast/run.h"

#include <stdio.h>

struct tick {
    struct feed_sender *sender;
    const char *stream;
    int64_t t;
    const double *values;
    int n_values;
};

static int send_tick(void *argument, int timeout_ms) {
    const struct tick *tick = argument;
    struct forecast_feed *feed = tick->sender->feed;

    if (tick->sender->names)
        return forecast_feed_send_named(feed, tick->stream, tick->t, tick->sender->names, tick->values,
                                        tick->n_values, timeout_ms);
    return forecast_feed_send(feed, tick->stream, tick->t, tick->values, tick->n_values, timeout_ms);
}

static int add_acknowledged(void *argument, int timeout_ms) {
    const struct tick *tick = argument;
    struct forecast_sender *to = tick->sender->acknowledged->sender;

    if (tick->sender->names)
        return forecast_sender_add_named(to, tick->stream, tick->t, tick->sender->names, tick->values, tick->n_values,
                                         timeout_ms);
    return forecast_sender_add(to, tick->stream, tick->t, tick->values, tick->n_values, timeout_ms);
}

static int poll_acknowledged(void *argument, int timeout_ms) {
    (void)timeout_ms;
    return forecast_sender_poll(argument, 0);
}

/* Sends what is to be acknowledged, if it was not before. */
static int send_acknowledged(struct feed_sender *sender, int (*add)(void *argument, int timeout_ms), void *argument) {
    if (sender->skip > 0) {
        sender->skip--;
        return 0;
    }
    int code = run_send(feed_command.name, add, argument);

    sender->sent += code == 0;
    return code;
}

static int send_bundle(void *argument, int timeout_ms) {
    return forecast_feed_flush(argument, timeout_ms);
}

int feed_sender_flush(struct feed_sender *sender) {
    if (sender->acknowledged)
        return run_send(feed_command.name, poll_acknowledged, sender->acknowledged->sender);
    int code = sender->waiting ? run_send(feed_command.name, send_bundle, sender->feed) : 0;

    if (code == 0) {
        sender->sent += (uint64_t)sender->waiting;
        sender->waiting = 0;
    }
    return code;
}

int feed_sender_tick(struct feed_sender *sender, const char *stream, int64_t t, const double *values, int n_values) {
    struct tick tick = {sender, stream, t, values, n_values};
    int code;

    if (sender->acknowledged)
        return send_acknowledged(sender, add_acknowledged, &tick);
    if (!sender->bundle) {
        code = run_send(feed_command.name, send_tick, &tick);
        if (code == 0)
            sender->sent++;
        return code;
    }
    code = forecast_feed_add(sender->feed, stream, t, values, n_values);
    if (code < 0 && sender->waiting) { /* perhaps only because the bundle is full of bytes */
        int flushed = feed_sender_flush(sender);

        if (flushed)
            return flushed;
        code = forecast_feed_add(sender->feed, stream, t, values, n_values);
    }
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", feed_command.name, forecast_error_text());
        return code;
    }
    sender->waiting = code;
    return sender->waiting >= sender->bundle ? feed_sender_flush(sender) : 0;
}

struct label {
    struct feed_sender *sender;
    const char *stream;
    int64_t t, label;
};

static int send_label(void *argument, int timeout_ms) {
    const struct label *label = argument;

    return forecast_feed_label(label->sender->feed, label->stream, label->t, label->label, timeout_ms);
}

static int add_acknowledged_label(void *argument, int timeout_ms) {
    const struct label *label = argument;

    return forecast_sender_add_label(label->sender->acknowledged->sender, label->stream, label->t, label->label,
                                     timeout_ms);
}

int feed_sender_label(struct feed_sender *sender, const char *stream, int64_t t, int64_t label) {
    struct label of = {sender, stream, t, label};

    if (sender->acknowledged)
        return send_acknowledged(sender, add_acknowledged_label, &of);
    int code = feed_sender_flush(sender);

    return code ? code : run_send(feed_command.name, send_label, &of);
}
