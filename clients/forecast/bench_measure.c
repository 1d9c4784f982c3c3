#include "clients/forecast/bench.h"

#include "clients/forecast/options.h"
#include "clients/forecast/run.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* As fast as it goes, the clocks are read once for so many ticks: they would cost more than what sends one. */
enum { CLOCK_TICKS = 16 };

struct receiver {
    struct bench_target *target;
    pthread_t thread;
    atomic_bool stop;
    atomic_ullong received; /* forecasts */
    atomic_llong last_at;   /* ns, monotonic: when the last came */
    int64_t *latencies;     /* ns; NULL: not wanted */
    size_t n, size;
    bool failed;
};

static void *receive_all(void *argument) {
    struct receiver *receiver = argument;
    uint64_t taken = 0;

    while (!atomic_load_explicit(&receiver->stop, memory_order_relaxed)) {
        int64_t t;
        int n = receiver->target->receive(receiver->target->self, 100, &t);

        if (n < 0) {
            receiver->failed = true;
            break;
        }
        if (n == 0)
            continue;
        if (receiver->latencies && receiver->n < receiver->size)
            receiver->latencies[receiver->n++] = run_wall() - t;
        atomic_fetch_add_explicit(&receiver->received, (unsigned long long)n, memory_order_relaxed);
        if (receiver->latencies || ++taken % CLOCK_TICKS == 0)
            atomic_store_explicit(&receiver->last_at, run_monotonic(), memory_order_relaxed);
    }
    return NULL;
}

double bench_quantile(const int64_t *sorted, size_t n, double share) {
    /* The smallest value with at least this share at or below it. */
    size_t rank = (size_t)ceil(share * (double)n);

    return n == 0 ? NAN : (double)sorted[rank == 0 ? 0 : rank - 1];
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Sends until the time is over. Returns 0 or -1. */
static int send_all(struct bench_target *target, double rate, double seconds, uint64_t *ret_sent) {
    int64_t start = run_monotonic(), end = start + (int64_t)(seconds * (double)RUN_NS);
    int64_t now = start, wall = 0;
    struct progress progress;
    uint64_t k = 0;
    int code = 0;

    progress_start(&progress, "ticks");
    for (; code == 0; k++) {
        if (rate > 0 || k % CLOCK_TICKS == 0) {
            now = run_monotonic();
            wall = run_wall();
        }
        int64_t due = rate > 0 ? start + (int64_t)((double)k / rate * (double)RUN_NS) : now;

        if (now >= end || due >= end || run_stopped())
            break;
        if (due > now) {
            /* What waits in a bundle would wait for the clock. */
            code = target->flush(target->self);
            if (!run_sleep_until(due))
                break;
        }
        if (code == 0)
            code = target->send(target->self, k, rate > 0 ? run_wall() : wall + (int64_t)(k % CLOCK_TICKS));
        if (rate > 0 || k % CLOCK_TICKS == 0)
            progress_show(&progress, (double)(now - start) / (double)(end - start), k);
    }
    if (code == 0)
        code = target->flush(target->self);
    progress_end(&progress);
    *ret_sent = k;
    return run_stopped() ? -1 : code;
}

/* Processor time of a process so far, ns; 0: this one. 0 where it is not known. */
static int64_t processor_time(pid_t pid) {
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
        return 0;
    return t.tv_sec * RUN_NS + t.tv_nsec;
}

double bench_resident(pid_t pid) {
    char path[64];
    long all, resident = 0;

    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

int bench_measure(struct bench_target *target, double rate, double seconds, struct bench_result *ret_result) {
    struct receiver receiver = {.target = target};
    struct bench_result result = {.p50 = NAN, .p99 = NAN, .p999 = NAN, .worst = NAN};
    int code;

    if (rate > 0) {
        receiver.size = (size_t)(rate * seconds) + 16;
        receiver.latencies = malloc(receiver.size * sizeof *receiver.latencies);
        /* The kernel may otherwise wake a sleeper 50 us late, to save power. */
        prctl(PR_SET_TIMERSLACK, 1);
    }
    if ((rate > 0 && !receiver.latencies) || pthread_create(&receiver.thread, NULL, receive_all, &receiver)) {
        fprintf(stderr, "%s: there is no memory for measuring\n", bench_command.name);
        free(receiver.latencies);
        return -1;
    }
    int64_t start = run_monotonic(), cpu = processor_time(0), cpu_target = processor_time(target->pid);
    atomic_store(&receiver.last_at, start);
    code = send_all(target, rate, seconds, &result.sent);
    /* What is under way still comes, or has been lost when nothing has come for two seconds. */
    while (code == 0 && atomic_load(&receiver.received) < result.sent && !run_stopped() &&
           run_monotonic() - atomic_load(&receiver.last_at) < 2 * RUN_NS)
        run_sleep_until(run_monotonic() + RUN_NS / 1000);
    atomic_store(&receiver.stop, true);
    pthread_join(receiver.thread, NULL);
    result.received = atomic_load(&receiver.received);
    result.seconds = (double)(atomic_load(&receiver.last_at) - start) / (double)RUN_NS;
    if (result.sent > 0) {
        result.cpu = (double)(processor_time(0) - cpu) / 1000 / (double)result.sent;
        result.resident = target->pid > 0 ? bench_resident(target->pid) : 0;
        if (target->pid > 0)
            result.cpu_target = (double)(processor_time(target->pid) - cpu_target) / 1000 / (double)result.sent;
    }
    if (result.seconds > 0) {
        result.ticks_per_second = (double)result.sent / result.seconds;
        result.forecasts_per_second = (double)result.received / result.seconds;
    }
    if (receiver.n) {
        qsort(receiver.latencies, receiver.n, sizeof *receiver.latencies, compare);
        result.p50 = bench_quantile(receiver.latencies, receiver.n, 0.5) / 1000;
        result.p99 = bench_quantile(receiver.latencies, receiver.n, 0.99) / 1000;
        result.p999 = bench_quantile(receiver.latencies, receiver.n, 0.999) / 1000;
        result.worst = bench_quantile(receiver.latencies, receiver.n, 1) / 1000;
    }
    free(receiver.latencies);
    if (code == 0 && !receiver.failed && !run_stopped())
        *ret_result = result;
    return code || receiver.failed || run_stopped() ? -1 : 0;
}
