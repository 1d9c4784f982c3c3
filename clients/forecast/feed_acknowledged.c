#include "clients/forecast/feed_acknowledged.h"

#include "clients/forecast/feed.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int feed_acknowledged_producer(const char *file, char *ret_name, size_t size) {
    char host[HOST_NAME_MAX + 1] = "", *path = realpath(file, NULL);

    if (!path)
        return -1;
    gethostname(host, sizeof host - 1);
    int n = snprintf(ret_name, size, "%s:%s", host, path);

    free(path);
    return n > 0 && (size_t)n < size && n <= 255 ? 0 : -1;
}

static void count_refused(void *context, const struct forecast_refusal *refusal) {
    struct feed_acknowledged *feed = context;
    int r = 0;

    while (r < feed->n_reasons && strcmp(feed->reasons[r].name, refusal->reason) != 0)
        r++;
    if (r == FEED_REASONS)
        r--; /* there are not so many */
    if (r == feed->n_reasons)
        snprintf(feed->reasons[feed->n_reasons++].name, sizeof feed->reasons[r].name, "%s", refusal->reason);
    feed->reasons[r].n += refusal->last - refusal->first + 1;
}

int feed_acknowledged_open(struct feed_acknowledged *feed, const char *endpoint, const char *producer, long bundle,
                           double seconds) {
    *feed = (struct feed_acknowledged){0};
    const struct forecast_sender_options options = {
        .endpoint = endpoint, .producer = producer, .bundle = (int)bundle, .refused = count_refused, .context = feed};
    int code = forecast_sender_open(&options, &feed->sender);

    if (code == 0)
        code = forecast_sender_wait(feed->sender, (int)(seconds * 1000), &feed->before);
    if (code == 0)
        return 0;
    if (code == FORECAST_ERROR_TIMEOUT)
        fprintf(stderr, "%s: no daemon acknowledges ticks at %s; is forecastd running, with bus.acknowledged?\n",
                feed_command.name, endpoint ? endpoint : FORECAST_DEFAULT_ACKNOWLEDGED);
    else if (!run_stopped())
        fprintf(stderr, "%s: %s\n", feed_command.name, forecast_error_text());
    feed_acknowledged_close(feed);
    return 1;
}

static int flush(void *argument, int timeout_ms) {
    return forecast_sender_flush(argument, timeout_ms);
}

static void tell(const struct feed_acknowledged *feed, const struct forecast_sender_status *status) {
    fprintf(stderr, "%s: %llu ticks are acknowledged", feed_command.name, (unsigned long long)status->acknowledged);
    if (feed->before)
        fprintf(stderr, ", %llu were before", (unsigned long long)feed->before);
    if (status->refused)
        fprintf(stderr, "; the daemon refused %llu of them:", (unsigned long long)status->refused);
    for (int r = 0; r < feed->n_reasons; r++)
        fprintf(stderr, "%s %s %llu", r ? "," : "", feed->reasons[r].name, (unsigned long long)feed->reasons[r].n);
    fputs("\n", stderr);
    if (status->kept)
        fprintf(stderr, "%s: %d ticks are not acknowledged; the same command goes on with them\n", feed_command.name,
                status->kept);
}

int feed_acknowledged_finish(struct feed_acknowledged *feed) {
    struct forecast_sender_status status;
    /* Stopped by hand, nobody wants to wait long. */
    int code =
        run_stopped() ? forecast_sender_flush(feed->sender, 1000) : run_send(feed_command.name, flush, feed->sender);

    forecast_sender_status(feed->sender, &status);
    tell(feed, &status);
    return code == 0 ? 0 : 1;
}

void feed_acknowledged_close(struct feed_acknowledged *feed) {
    forecast_sender_close(&feed->sender, 0);
}
