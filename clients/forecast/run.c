#include "clients/forecast/run.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ticks that wait on this side while the daemon pushes back, in bundles or not: what is left of them when a command
 * ends has to go within its last seconds. */
enum { WAITING_TICKS = 4000 };

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

void run_catch_signals(void) {
    /* Without SA_RESTART waits end; with SA_RESETHAND a command that hangs can still be killed by hand. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool run_stopped(void) {
    return stopped;
}

static int64_t read_clock(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * RUN_NS + now.tv_nsec;
}

int64_t run_monotonic(void) {
    return read_clock(CLOCK_MONOTONIC);
}

int64_t run_wall(void) {
    return read_clock(CLOCK_REALTIME);
}

bool run_sleep_until(int64_t deadline) {
    struct timespec until = {.tv_sec = deadline / RUN_NS, .tv_nsec = deadline % RUN_NS};

    while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
    return !stopped;
}

int run_open_feed(const char *command, const char *endpoint, double seconds, long bundle,
                  struct forecast_feed **ret_feed) {
    struct forecast_feed *feed;
    long messages = bundle > 0 ? WAITING_TICKS / bundle : WAITING_TICKS;
    int code = forecast_feed_open(endpoint, messages > 2 ? (int)messages : 2, &feed);

    if (code) {
        fprintf(stderr, "%s: %s\n", command, forecast_error_text());
        return 1;
    }
    code = forecast_feed_wait(feed, (int)(seconds * 1000));
    if (code == FORECAST_ERROR_TIMEOUT)
        fprintf(stderr, "%s: no daemon takes ticks at %s; is forecastd running?\n", command,
                endpoint ? endpoint : FORECAST_DEFAULT_TICKS);
    else if (code && !stopped)
        fprintf(stderr, "%s: %s\n", command, forecast_error_text());
    if (code) {
        forecast_feed_close(&feed, 0);
        return 1;
    }
    *ret_feed = feed;
    return 0;
}

int run_close_feed(const char *command, struct forecast_feed **feed) {
    /* Stopped by hand, nobody wants to wait for a daemon that does not read. */
    int code = forecast_feed_close(feed, stopped ? 1000 : 30000);

    if (code) {
        fprintf(stderr, "%s: %s\n", command, forecast_error_text());
        return 1;
    }
    return 0;
}

int run_send(const char *command, int (*send)(void *argument, int timeout_ms), void *argument) {
    for (bool told = false;;) {
        int code = send(argument, 5000);

        if (code >= 0)
            return 0;
        if (stopped)
            return FORECAST_ERROR_INTERRUPTED;
        if (code == FORECAST_ERROR_TIMEOUT) {
            if (!told)
                fprintf(stderr, "%s: the daemon is behind or gone; waiting until it takes ticks again\n", command);
            told = true;
        } else if (code != FORECAST_ERROR_INTERRUPTED) {
            fprintf(stderr, "%s: %s\n", command, forecast_error_text());
            return code;
        }
    }
}

void progress_start(struct progress *progress, const char *unit) {
    *progress = (struct progress){.on = isatty(STDERR_FILENO), .start = run_monotonic(), .unit = unit};
}

void progress_show(struct progress *progress, double share, uint64_t n) {
    enum { WIDTH = 30 };
    int64_t now;

    if (!progress->on || (now = run_monotonic()) - progress->shown < RUN_NS / 5)
        return;
    progress->shown = now;
    double seconds = (double)(now - progress->start) / (double)RUN_NS;
    if (share >= 0) {
        int full = (int)(fmin(share, 1) * WIDTH);

        fprintf(stderr, "\r[%.*s%*s] %3.0f %%", full, "##############################", WIDTH - full, "",
                fmin(share, 1) * 100);
        if (share > 0.01)
            fprintf(stderr, ", %.0f s left", seconds / share - seconds);
    } else {
        fputs("\r", stderr);
    }
    fprintf(stderr, "  %llu %s, %.0f/s\033[K", (unsigned long long)n, progress->unit,
            seconds > 0 ? (double)n / seconds : 0.0);
}

void progress_end(struct progress *progress) {
    if (progress->on && progress->shown)
        fputs("\r\033[K", stderr);
    progress->on = false;
}

const char *run_format_time(int64_t t, char *buffer, size_t size) {
    int64_t fraction = ((t % RUN_NS) + RUN_NS) % RUN_NS;
    time_t seconds = (time_t)((t - fraction) / RUN_NS);
    struct tm parts;

    gmtime_r(&seconds, &parts);
    size_t n = strftime(buffer, size, "%Y-%m-%d %H:%M:%S", &parts);
    if (fraction)
        snprintf(buffer + n, size - n, ".%03d", (int)(fraction / 1000000));
    return buffer;
}

const char *run_format_number(double value, char *buffer, size_t size) {
    double magnitude = fabs(value);

    if (isnan(value))
        snprintf(buffer, size, "-");
    else if (value == 0)
        snprintf(buffer, size, "0");
    else if (magnitude >= 1e-3 && magnitude < 1e5)
        snprintf(buffer, size, "%.*f", magnitude >= 1e4 ? 0 : magnitude >= 100 ? 1 : magnitude >= 1 ? 2 : 4, value);
    else
        snprintf(buffer, size, "%.1e", value);
    return buffer;
}
