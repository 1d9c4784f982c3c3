/* The parts of forecast bench: a daemon of its own, the two things that are measured, and how. */
#ifndef FORECAST_BENCH_H
#define FORECAST_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

extern const struct option_command bench_command;

/* ---- a daemon with a configuration for measuring ------------------------------------------ */

struct bench_daemon {
    pid_t pid;         /* 0: it runs already, and is not ours */
    bool network_only; /* it is to publish the network's forecasts alone */
    double start;      /* MiB that are resident before the first stream */
    char directory[64];
    char ticks[80], forecasts[80], control[80];
};

/* The model of a daemon that is started. */
struct bench_model {
    long features, units, horizon, workers;
    const char *train; /* "now": a job runs all the while; "later": none does; NULL: the network serves, untrained */
    bool defaults;     /* experts and intervals as the configuration has them by default; else the network alone */
    bool durable;      /* with a state_dir: journal and images */
};

/* Writes a configuration into a temporary directory, starts the forecastd that lies beside this program (or
 * in PATH), and waits until it answers. Returns 0, or -1 after the sentence on stderr. */
int bench_daemon_start(struct bench_daemon *daemon, long streams, const struct bench_model *model);

/* Ends it by its pid and removes what was written. */
void bench_daemon_stop(struct bench_daemon *daemon);

/* ---- what is measured --------------------------------------------------------------------- */

/* Something that answers ticks with forecasts. One thread sends, another receives. */
struct bench_target {
    const char *name;
    void *self;
    pid_t pid; /* of the process that answers; 0: this one */
    /* Sends tick k with the time t, or adds it to a bundle that goes out when it is full. Waits while the
	 * queue is full. Returns 0 or -1. */
    int (*send)(void *self, uint64_t k, int64_t t);
    int (*flush)(void *self);
    /* Waits at most timeout_ms for a message. Returns how many forecasts it has, with the time of the tick of
	 * the first; 0 when none came, -1 on failure. */
    int (*receive)(void *self, int timeout_ms, int64_t *ret_t);
    void (*close)(void *self);
};

struct bench_sizes {        /* bytes */
    size_t name, tick;      /* the frames of a tick */
    size_t bundled_tick;    /* of a tick within a bundle */
    size_t topic, forecast; /* the frames of a forecast */
};

/* The daemon, through libforecast. bundle 1: single messages both ways, else bundles both ways. Each stream has
 * had its forecast when this returns. Returns 0, or -1 after the sentence. */
int bench_open_daemon(const struct bench_daemon *daemon, long streams, long features, long bundle,
                      struct bench_target *ret_target, struct bench_sizes *ret_sizes);

/* Bare ZeroMQ over TCP: PUSH, a thread that takes each message by PULL and answers by PUB, and SUB; messages
 * as large as the daemon's, and nothing in them. */
int bench_open_echo(const struct bench_sizes *sizes, long bundle, struct bench_target *ret_target);

/* ---- measuring ---------------------------------------------------------------------------- */

struct bench_result {
    uint64_t sent, received;
    double seconds; /* from the first tick to the last forecast */
    double ticks_per_second, forecasts_per_second;
    double resident;              /* MiB of the process that answers, behind the last tick; 0: it is this one */
    double cpu;                   /* us of processor time a tick: of this process */
    double cpu_target;            /* of the one that answers, if it is another */
    double p50, p99, p999, worst; /* us; NaN without latencies */
};

/* Sends for so many seconds, at rate ticks a second (0: as fast as it goes), and takes what comes back.
 * Latency is from the tick's own time, the clock just before it was sent, to its forecast in the receiver's
 * hands; it is kept only at a rate. Returns 0, or -1 after the sentence (or when stopped). */
int bench_measure(struct bench_target *target, double rate, double seconds, struct bench_result *ret_result);

/* MiB of a process that are resident; 0 where that is not known. */
double bench_resident(pid_t pid);

/* The value below which the share of n sorted numbers lies. */
double bench_quantile(const int64_t *sorted, size_t n, double share);

#endif
