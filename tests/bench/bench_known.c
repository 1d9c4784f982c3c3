/*
 * How much memory streams take that are on disk: STREAMS (environment, 100,000; 1000000 is the figure of daemon/DESIGN.md) of them,
 * with an LSTM(32) on 8 features and a history of 64 steps, RESIDENT (a hundredth) of which may be in memory. Each ticks in turn,
 * as fast as it goes, so that with each tick one comes and another one leaves: first all begin, then all come back, TURNS (2)
 * times. The daemon's memory (resident, and the anonymous part, without pages of files) is told on the way.
 */
#include "tests/support/bench.h"
#include "tests/support/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char configuration[] =
    "snapshot_every: 10s\n"
    "streams:\n  - {class: c, pattern: \"*\", features: [a, b, c, d, e, f, g, h], history: 64, max_streams: 10000000, "
    "max_resident: %ld}\n"
    "models:\n  - {name: m, class: c, horizon: 1, layers: [{lstm: 32}], combine: network, levels: [], train: false}\n";

enum { PARTS = 4 }; /* of a turn, behind each of which the memory is looked at */

static void row(const struct fleet *fleet, int turn, int part, const char *what, const char *unit, double value) {
    bench_row("known", unit, value, "\"streams\": %ld, \"turn\": %d, \"part\": %d, \"what\": \"%s\"", fleet->streams,
              turn, part, what);
}

/* Turn 0: they begin; else they come back. */
static void run_turn(struct fleet *fleet, int turn) {
    for (int part = 1; part <= PARTS; part++) {
        int64_t began = scenario_now(), first = fleet->sent, until = first + fleet->streams / PARTS;
        while (fleet->sent < until)
            fleet_send(fleet, until - fleet->sent < FLEET_BUNDLE ? (int)(until - fleet->sent) : FLEET_BUNDLE);
        fleet_hear(fleet, fleet->sent);
        double seconds = 1e-3 * (double)(scenario_now() - began);
        row(fleet, turn, part, "come and go", "streams_per_s", (double)(fleet->sent - first) / seconds);
        row(fleet, turn, part, "in memory", "streams", (double)daemon_count(fleet->daemon, "streams"));
        row(fleet, turn, part, "resident", "mib", (double)daemon_memory(fleet->daemon, "VmRSS") / 1024);
        row(fleet, turn, part, "anonymous", "mib", (double)daemon_memory(fleet->daemon, "RssAnon") / 1024);
    }
}

int main(void) {
    char rest[1024];
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct fleet fleet = {.streams = (long)bench_setting("STREAMS", 100000)};
    snprintf(rest, sizeof rest, configuration, (long)bench_setting("RESIDENT", (double)fleet.streams / 100));
    scenario_begin(3600);
    fleet.daemon = daemon_run(
        &(struct daemon_setup){.workers = 2, .durable = true, .bus = "  send_hwm: 1000000\n", .rest = rest});
    fleet_connect(&fleet);
    for (int turn = 0; turn <= (int)bench_setting("TURNS", 2); turn++)
        run_turn(&fleet, turn);
    fleet_disconnect(&fleet);
    daemon_free(&fleet.daemon);
    fleet_fini(&fleet);
    return 0;
}
