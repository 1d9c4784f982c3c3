#include "clients/forecast/refusals.h"

#include "clients/libforecast/forecast.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { POLLS = 20, POLL_MS = 100 };

struct refusals {
    struct forecast_control *control;
    int timeout_ms;
    json_t *ticks; /* the daemon's counters of them at the beginning */
};

/* The counters of ticks, a new reference; NULL where there is no answer. */
static json_t *ask(const struct refusals *refusals) {
    const char *reply;

    if (forecast_control_request(refusals->control, "{\"cmd\":\"status\"}", refusals->timeout_ms, &reply))
        return NULL;
    json_t *status = json_loads(reply, 0, NULL), *ticks = json_incref(json_object_get(status, "ticks"));
    json_decref(status);
    return ticks;
}

static void refusals_free(struct refusals *refusals) {
    forecast_control_close(&refusals->control);
    json_decref(refusals->ticks);
    free(refusals);
}

struct refusals *refusals_begin(const char *endpoint, int timeout_ms) {
    struct refusals *refusals = calloc(1, sizeof *refusals);

    if (!refusals)
        return NULL;
    refusals->timeout_ms = timeout_ms;
    if (forecast_control_open(endpoint, &refusals->control) == FORECAST_OK)
        refusals->ticks = ask(refusals);
    if (refusals->ticks)
        return refusals;
    refusals_free(refusals);
    return NULL;
}

/* The counters once they are the same twice. */
static json_t *settled(const struct refusals *refusals) {
    json_t *ticks = ask(refusals);

    for (int i = 0; ticks && i < POLLS; i++) {
        json_t *before = ticks;

        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        ticks = ask(refusals);
        int same = json_equal(before, ticks);
        json_decref(before);
        if (same)
            break;
    }
    return ticks;
}

long long refusals_end(struct refusals *refusals, char *ret_text, size_t size) {
    long long all = 0;
    size_t used = 0;
    const char *reason;
    json_t *value;

    *ret_text = '\0';
    if (!refusals)
        return 0;
    json_t *ticks = settled(refusals);
    const json_t *before = json_object_get(refusals->ticks, "refused");
    json_object_foreach(json_object_get(ticks, "refused"), reason, value) {
        long long n = json_integer_value(value) - json_integer_value(json_object_get(before, reason));

        if (n <= 0)
            continue;
        if (used < size)
            used += (size_t)snprintf(ret_text + used, size - used, "%s%s %lld", all ? ", " : "", reason, n);
        all += n;
    }
    json_decref(ticks);
    refusals_free(refusals);
    return all;
}
