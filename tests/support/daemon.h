/*
 * A forecastd of a test's own: a process with its configuration, sockets and log in a temporary directory.
 *
 * The program is $BUILD/forecastd (BUILD defaults to "build"). Every wait has an end and fails the running cmocka
 * test when it comes; what a failed test leaves behind, scenario_teardown takes away by process id. One thread
 * only, but a socket may be handed over to another.
 */
#ifndef TESTS_SUPPORT_DAEMON_H
#define TESTS_SUPPORT_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { DAEMON_SOCKETS = 24 };

struct daemon {
    pid_t pid; /* 0: does not run */
    char directory[96];
    char config[128], log[128];                                                            /* files */
    char ticks[160], forecasts[160], forecasts_json[160], control[160], acknowledged[160]; /* endpoints */
    int ports[5], n_ports; /* held for its endpoints */
    void *zmq;
    void *sockets[DAEMON_SOCKETS]; /* opened by daemon_connect */
    int n_sockets;
    void *asking;        /* DEALER to control */
    int64_t asked;       /* requests so far: their ids */
    struct daemon *next; /* of all that there are */
};

struct daemon_setup {
    int workers;      /* 0: 2 */
    bool tcp;         /* free ports of the loopback instead of sockets in the directory */
    bool json;        /* with forecasts_json */
    bool durable;     /* with a state_dir in its directory, and acknowledged */
    const char *bus;  /* further lines below `bus:`, each with two blanks before it; or NULL */
    const char *rest; /* the text of `streams:` and `models:` */
};

/* ---- the program ---------------------------------------------------------------------------- */

/* First in main: the program ends itself, and its daemons, after some seconds (more when slow). */
void scenario_begin(unsigned seconds);
/* Teardown of every test. */
int scenario_teardown(void **state);
/* Whether counts should shrink and waits grow, for sanitizers: SCENARIO_SLOW=1. */
bool scenario_slow(void);
/* The count to use: `full`, or `slow` when slow. */
int scenario_count(int full, int slow);
/* Monotonic ms. */
int64_t scenario_now(void);
void scenario_sleep(int ms);
/* The path of a test input that stays out of the tree ("ETTh1.csv"), or false when it is absent. */
bool scenario_data(const char *name, char *ret_path, size_t size);

/* ---- its life ------------------------------------------------------------------------------- */

/* Writes the configuration, starts nothing. */
struct daemon *daemon_new(const struct daemon_setup *setup);
/* Writes the configuration anew, as given: for wrong ones. */
void daemon_write_config(struct daemon *daemon, const char *text);
/* Starts it and waits until control answers. Again after it has ended, if wanted. */
void daemon_start(struct daemon *daemon);
/* The same; false: it ended instead, with *ret_status as from daemon_wait. */
bool daemon_try_start(struct daemon *daemon, int *ret_status);
/* The second part of it: after daemon_launch. */
bool daemon_await_start(struct daemon *daemon, int *ret_status);
/* Starts it without waiting for anything. Without arguments (NULL) those that serve the configuration. */
void daemon_launch(struct daemon *daemon, const char *const *arguments);
/* daemon_new and daemon_start. */
struct daemon *daemon_run(const struct daemon_setup *setup);
void daemon_signal(struct daemon *daemon, int signal);
/* Whether it has ended; then *ret_status is as from daemon_wait. */
bool daemon_has_ended(struct daemon *daemon, int *ret_status);
/* Waits for its end. Returns its exit status, or 128 and the signal that ended it. */
int daemon_wait(struct daemon *daemon);
/* TERM, and it must exit with 0. */
void daemon_stop(struct daemon *daemon);
/* What it has written to standard output and error so far; until the next call. */
const char *daemon_output(const struct daemon *daemon);
/* Stops it when it runs, closes the sockets, removes the directory, clears the pointer. */
void daemon_free(struct daemon **daemon);

/* ---- its sockets ---------------------------------------------------------------------------- */

/* A socket of the test: a zmq type, connected to the endpoint, without limits to what waits on it. */
void *daemon_connect(struct daemon *daemon, int type, const char *endpoint);
/* The same with a high-water mark (0: none) for both ways. */
void *daemon_connect_bounded(struct daemon *daemon, int type, const char *endpoint, int high_water_mark);
/* The same, bound to a free endpoint, which goes to ret_endpoint. */
void *daemon_bind(struct daemon *daemon, int type, char *ret_endpoint, size_t size);
/* Before daemon_free does it; what has not been sent is dropped. */
void daemon_close(struct daemon *daemon, void *socket);

/* Sends frames as one message; blocks while the daemon takes nothing, for a bounded time. */
void feed_frames(void *socket, const struct iovec *frames, int n);
/* One tick as two frames in MessagePack. */
void feed_tick(void *socket, const char *stream, int64_t t, const double *values, int n_values);

/* ---- control -------------------------------------------------------------------------------- */

/* Asks in JSON and waits for the answer, a new reference. */
json_t *daemon_ask(struct daemon *daemon, const char *request);
/* The same; false: none has come within ms. */
bool daemon_try_to_ask(struct daemon *daemon, const char *request, int ms, json_t **ret_reply);
/* The same; the answer must be ok. request is a format. */
void daemon_command(struct daemon *daemon, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What `models` says of a model, a new reference; a whole number of it. */
json_t *daemon_model(struct daemon *daemon, const char *model);
int64_t daemon_model_count(struct daemon *daemon, const char *model, const char *key);
/* Waits until a version of the model serves, however long its job takes on a busy machine. */
void daemon_await_version(struct daemon *daemon, const char *model);
/* A number of `status` by its path ("ticks.refused.late"). A reason that has not occurred is 0. */
int64_t daemon_count(struct daemon *daemon, const char *path);
/* KiB of its memory, by a name of /proc/PID/status ("VmRSS"). */
long daemon_memory(const struct daemon *daemon, const char *what);
/* Until all that it has taken is on disk. */
void daemon_await_durable(struct daemon *daemon);
/* Waits until the number is at least n; it must then be n. */
void daemon_expect_count(struct daemon *daemon, const char *path, int64_t n);
/* Waits until it is at least n. */
void daemon_await_count(struct daemon *daemon, const char *path, int64_t n);

#endif
