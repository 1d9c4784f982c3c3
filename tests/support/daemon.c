#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"

#include "daemon/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

/* How long anything may take that should come at once, in ms; slow builds get more. */
enum { PATIENCE = 20000, SLOW_FACTOR = 5 };

/* All there are, newest first; read by the signal handler. */
static struct daemon *daemons;

/* ---- the program ---------------------------------------------------------------------------- */

/* Async-signal-safe: the daemons must not outlive the test, nor their directories. */
static void give_up(int signal_number) {
    static const char sentence[] = "the scenario was ended by a signal or took too long\n";
    ssize_t put = write(STDERR_FILENO, sentence, sizeof sentence - 1);
    (void)put;
    static const char *const endpoints[] = {"ticks", "forecasts", "forecasts_json", "control"};
    for (const struct daemon *each = daemons; each != NULL; each = each->next) {
        if (each->pid > 0)
            kill(each->pid, SIGKILL);
        unlink(each->config);
        unlink(each->log);
        if (chdir(each->directory) == 0)
            for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
                unlink(endpoints[i]);
        rmdir(each->directory);
    }
    _exit(128 + signal_number);
}

void scenario_begin(unsigned seconds) {
    struct sigaction action = {.sa_handler = give_up};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    alarm(scenario_slow() ? SLOW_FACTOR * seconds : seconds);
}

bool scenario_slow(void) {
    const char *slow = getenv("SCENARIO_SLOW");
    return slow != NULL && strcmp(slow, "") != 0 && strcmp(slow, "0") != 0;
}

int scenario_count(int full, int slow) {
    return scenario_slow() ? slow : full;
}

int64_t scenario_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void scenario_sleep(int ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static int patience(void) {
    return scenario_slow() ? SLOW_FACTOR * PATIENCE : PATIENCE;
}

bool scenario_data(const char *name, char *ret_path, size_t size) {
    snprintf(ret_path, size, "../shared/data/%s", name);
    return access(ret_path, R_OK) == 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* An endpoint that nobody has. A port stays bound here, without listening, for as long as the daemon may run: as both
 * sides say SO_REUSEADDR the daemon can bind it too, and nobody else is given it. */
static void choose_endpoint(struct daemon *daemon, bool tcp, const char *name, char *ret_endpoint, size_t size) {
    if (!tcp) {
        snprintf(ret_endpoint, size, "ipc://%s/%s", daemon->directory, name);
        return;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
    daemon->ports[daemon->n_ports++] = fd;
    snprintf(ret_endpoint, size, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
}

void daemon_write_config(struct daemon *daemon, const char *text) {
    FILE *file = fopen(daemon->config, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

struct daemon *daemon_new(const struct daemon_setup *setup) {
    struct daemon *daemon = calloc(1, sizeof *daemon);
    assert_non_null(daemon);
    const char *folder = getenv("TMPDIR");
    int n = snprintf(daemon->directory, sizeof daemon->directory, "%s/forecastd-XXXXXX", folder ? folder : "/tmp");
    /* A socket's path has at most 107 bytes, and the longest name below is forecasts_json. */
    if (n < 0 || (size_t)n >= sizeof daemon->directory - 8 || mkdtemp(daemon->directory) == NULL)
        fail_msg("no temporary directory %s", daemon->directory);
    daemon->next = daemons;
    daemons = daemon;
    snprintf(daemon->config, sizeof daemon->config, "%s/forecastd.yaml", daemon->directory);
    snprintf(daemon->log, sizeof daemon->log, "%s/log", daemon->directory);
    choose_endpoint(daemon, setup->tcp, "ticks", daemon->ticks, sizeof daemon->ticks);
    choose_endpoint(daemon, setup->tcp, "forecasts", daemon->forecasts, sizeof daemon->forecasts);
    choose_endpoint(daemon, setup->tcp, "control", daemon->control, sizeof daemon->control);
    if (setup->json)
        choose_endpoint(daemon, setup->tcp, "forecasts_json", daemon->forecasts_json, sizeof daemon->forecasts_json);

    char *text, *durable = NULL;
    if (setup->durable) {
        choose_endpoint(daemon, setup->tcp, "acknowledged", daemon->acknowledged, sizeof daemon->acknowledged);
        assert_true(asprintf(&durable, "state_dir: %s/state\nbus:\n  acknowledged: %s\n", daemon->directory,
                             daemon->acknowledged) > 0);
    }
    n = asprintf(&text,
                 "workers: %d\n"
                 "%s"
                 "  ticks: %s\n"
                 "  forecasts: %s\n"
                 "  forecasts_json: \"%s\"\n"
                 "  control: %s\n"
                 "%s%s",
                 setup->workers > 0 ? setup->workers : 2, durable != NULL ? durable : "bus:\n", daemon->ticks,
                 daemon->forecasts, daemon->forecasts_json, daemon->control, setup->bus != NULL ? setup->bus : "",
                 setup->rest);
    assert_true(n > 0);
    daemon_write_config(daemon, text);
    free(text);
    free(durable);
    daemon->zmq = zmq_ctx_new();
    assert_non_null(daemon->zmq);
    return daemon;
}

const char *daemon_output(const struct daemon *daemon) {
    static char text[65536];
    FILE *file = fopen(daemon->log, "r");
    size_t n = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

/* ---- its life ------------------------------------------------------------------------------- */

void daemon_launch(struct daemon *daemon, const char *const *arguments) {
    assert_int_equal(daemon->pid, 0);
    const char *build = getenv("BUILD");
    char program[PATH_MAX];
    snprintf(program, sizeof program, "%s/forecastd", build != NULL && *build != '\0' ? build : "build");
    const char *argv[16] = {program, "-c", daemon->config};
    for (int i = 0; arguments != NULL && i < 14 && (argv[i + 1] = arguments[i]) != NULL; i++)
        argv[i + 2] = NULL;
    int log = open(daemon->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    pid_t parent = getpid();
    daemon->pid = fork();
    assert_true(daemon->pid >= 0);
    if (daemon->pid == 0) {
        /* Should the test be killed the daemon goes with it; it may have been killed already. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
            _exit(126);
        unsetenv("NOTIFY_SOCKET");
        union {
            const char **read_only;
            char *const *argv;
        } given = {.read_only = argv}; /* execv changes nothing of it */
        execv(program, given.argv);
        fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
        _exit(127);
    }
    close(log);
}

bool daemon_has_ended(struct daemon *daemon, int *ret_status) {
    int status;
    pid_t got = waitpid(daemon->pid, &status, WNOHANG);
    assert_true(got >= 0);
    if (got == 0)
        return false;
    daemon->pid = 0;
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

bool daemon_await_start(struct daemon *daemon, int *ret_status) {
    json_t *reply = NULL;
    int64_t until = scenario_now() + patience();
    while (!daemon_try_to_ask(daemon, "{\"cmd\":\"hello\",\"protocol\":1}", 50, &reply)) {
        if (daemon_has_ended(daemon, ret_status))
            return false;
        if (scenario_now() > until)
            fail_msg("the daemon does not answer: %s", daemon_output(daemon));
    }
    json_decref(reply);
    return true;
}

bool daemon_try_start(struct daemon *daemon, int *ret_status) {
    daemon_launch(daemon, NULL);
    return daemon_await_start(daemon, ret_status);
}

void daemon_start(struct daemon *daemon) {
    int status;
    if (!daemon_try_start(daemon, &status))
        fail_msg("the daemon ended with %d: %s", status, daemon_output(daemon));
}

struct daemon *daemon_run(const struct daemon_setup *setup) {
    struct daemon *daemon = daemon_new(setup);
    daemon_start(daemon);
    return daemon;
}

void daemon_signal(struct daemon *daemon, int signal) {
    assert_true(daemon->pid > 0);
    assert_int_equal(kill(daemon->pid, signal), 0);
}

int daemon_wait(struct daemon *daemon) {
    int status = 0;
    int64_t until = scenario_now() + patience();
    while (!daemon_has_ended(daemon, &status)) {
        if (scenario_now() > until)
            fail_msg("the daemon does not end: %s", daemon_output(daemon));
        scenario_sleep(2);
    }
    return status;
}

void daemon_stop(struct daemon *daemon) {
    daemon_signal(daemon, SIGTERM);
    int status = daemon_wait(daemon);
    if (status != 0)
        fail_msg("the daemon ended with %d: %s", status, daemon_output(daemon));
}

static void forget(struct daemon *daemon) {
    struct daemon **at = &daemons;
    while (*at != daemon)
        at = &(*at)->next;
    *at = daemon->next;
    for (int i = 0; i < daemon->n_sockets; i++)
        zmq_close(daemon->sockets[i]);
    if (daemon->zmq != NULL)
        zmq_ctx_term(daemon->zmq);
    static const char *const names[] = {"ticks", "forecasts", "forecasts_json", "control", "acknowledged"};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", daemon->directory, names[i]);
        unlink(path);
    }
    unlink(daemon->config);
    unlink(daemon->log);
    snprintf(path, sizeof path, "rm -rf %s/state", daemon->directory);
    if (daemon->acknowledged[0] != '\0' && system(path) != 0)
        fprintf(stderr, "%s fails\n", path);
    rmdir(daemon->directory);
    for (int i = 0; i < daemon->n_ports; i++)
        close(daemon->ports[i]);
    free(daemon);
}

void daemon_free(struct daemon **daemon) {
    if (*daemon == NULL)
        return;
    if ((*daemon)->pid > 0)
        daemon_stop(*daemon);
    forget(*daemon);
    *daemon = NULL;
}

int scenario_teardown(void **state) {
    (void)state;
    while (daemons != NULL) {
        struct daemon *daemon = daemons;
        fprintf(stderr, "left behind by a failed test, its log:\n%s", daemon_output(daemon));
        if (daemon->pid > 0) {
            kill(daemon->pid, SIGKILL);
            waitpid(daemon->pid, NULL, 0);
        }
        forget(daemon);
    }
    return 0;
}

/* ---- its sockets ---------------------------------------------------------------------------- */

static void *open_socket(struct daemon *daemon, int type, int high_water_mark) {
    assert_true(daemon->n_sockets < DAEMON_SOCKETS);
    void *socket = zmq_socket(daemon->zmq, type);
    assert_non_null(socket);
    daemon->sockets[daemon->n_sockets++] = socket;
    int zero = 0, most = patience();
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    /* What a SUB sends are its subscriptions, which it drops at the mark. */
    zmq_setsockopt(socket, ZMQ_SNDHWM, type == ZMQ_SUB ? &zero : &high_water_mark, sizeof high_water_mark);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water_mark, sizeof high_water_mark);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &most, sizeof most);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &most, sizeof most);
    int soon = 10; /* ms until it tries again to connect */
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &soon, sizeof soon);
    return socket;
}

void *daemon_connect_bounded(struct daemon *daemon, int type, const char *endpoint, int high_water_mark) {
    void *socket = open_socket(daemon, type, high_water_mark);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return socket;
}

void *daemon_connect(struct daemon *daemon, int type, const char *endpoint) {
    return daemon_connect_bounded(daemon, type, endpoint, 0);
}

void *daemon_bind(struct daemon *daemon, int type, char *ret_endpoint, size_t size) {
    void *socket = open_socket(daemon, type, 0);
    assert_int_equal(zmq_bind(socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, ret_endpoint, &size), 0);
    return socket;
}

void daemon_close(struct daemon *daemon, void *socket) {
    for (int i = 0; i < daemon->n_sockets; i++)
        if (daemon->sockets[i] == socket) {
            daemon->sockets[i] = daemon->sockets[--daemon->n_sockets];
            assert_int_equal(zmq_close(socket), 0);
            return;
        }
    fail_msg("a socket of another daemon");
}

void feed_frames(void *socket, const struct iovec *frames, int n) {
    for (int i = 0; i < n; i++)
        if (zmq_send(socket, frames[i].iov_base, frames[i].iov_len, i + 1 < n ? ZMQ_SNDMORE : 0) < 0)
            fail_msg("sending: %s", zmq_strerror(zmq_errno()));
}

void feed_tick(void *socket, const char *stream, int64_t t, const double *values, int n_values) {
    char payload[WIRE_TICK_BOUND(64)];
    assert_true(n_values <= 64);
    size_t n = wire_tick_encode(payload, sizeof payload, t, values, n_values, NULL);
    assert_true(n > 0);
    if (zmq_send(socket, stream, strlen(stream), ZMQ_SNDMORE) < 0 || zmq_send(socket, payload, n, 0) < 0)
        fail_msg("sending: %s", zmq_strerror(zmq_errno()));
}

/* ---- control -------------------------------------------------------------------------------- */

/* What answers an earlier question is passed over. */
bool daemon_try_to_ask(struct daemon *daemon, const char *request, int ms, json_t **ret_reply) {
    if (daemon->asking == NULL)
        daemon->asking = daemon_connect(daemon, ZMQ_DEALER, daemon->control);
    json_t *question = json_loads(request, 0, NULL);
    assert_non_null(question);
    json_int_t id = ++daemon->asked;
    json_object_set_new(question, "id", json_integer(id));
    char *text = json_dumps(question, JSON_COMPACT);
    json_decref(question);
    assert_non_null(text);
    int sent = zmq_send(daemon->asking, text, strlen(text), 0);
    free(text);
    assert_true(sent >= 0);
    int64_t until = scenario_now() + ms;
    for (;;) {
        int64_t left = until - scenario_now();
        zmq_pollitem_t item = {.socket = daemon->asking, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, left > 0 ? left : 0) <= 0)
            return false;
        zmq_msg_t answer;
        zmq_msg_init(&answer);
        assert_true(zmq_msg_recv(&answer, daemon->asking, ZMQ_DONTWAIT) >= 0);
        json_t *reply = json_loadb(zmq_msg_data(&answer), zmq_msg_size(&answer), 0, NULL);
        zmq_msg_close(&answer);
        assert_non_null(reply);
        if (json_integer_value(json_object_get(reply, "id")) == id) {
            *ret_reply = reply;
            return true;
        }
        json_decref(reply);
    }
}

json_t *daemon_ask(struct daemon *daemon, const char *request) {
    json_t *reply;
    if (!daemon_try_to_ask(daemon, request, patience(), &reply))
        fail_msg("no answer to %s: %s", request, daemon_output(daemon));
    return reply;
}

void daemon_command(struct daemon *daemon, const char *format, ...) {
    char request[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(request, sizeof request, format, args);
    va_end(args);
    assert_in_range(n, 1, sizeof request - 1);
    json_t *reply = daemon_ask(daemon, request);
    if (!json_is_true(json_object_get(reply, "ok")))
        fail_msg("%s: %s", request, json_dumps(reply, 0));
    json_decref(reply);
}

json_t *daemon_model(struct daemon *daemon, const char *model) {
    json_t *reply = daemon_ask(daemon, "{\"cmd\":\"models\"}"), *models = json_object_get(reply, "models"),
           *found = NULL;
    for (size_t i = 0; found == NULL && i < json_array_size(models); i++) {
        json_t *each = json_array_get(models, i);
        if (strcmp(json_string_value(json_object_get(each, "model")), model) == 0)
            found = json_incref(each);
    }
    json_decref(reply);
    if (found == NULL)
        fail_msg("the daemon has no model %s", model);
    return found;
}

int64_t daemon_model_count(struct daemon *daemon, const char *model, const char *key) {
    json_t *map = daemon_model(daemon, model);
    const json_t *value = json_object_get(map, key);
    if (!json_is_integer(value))
        fail_msg("model %s has no number %s", model, key);
    int64_t count = json_integer_value(value);
    json_decref(map);
    return count;
}

void daemon_await_version(struct daemon *daemon, const char *model) {
    for (int tries = 0; tries < 600; tries++) {
        if (daemon_model_count(daemon, model, "version") > 0)
            return;
        scenario_sleep(100);
    }
    fail_msg("no version has been promoted");
}

long daemon_memory(const struct daemon *daemon, const char *what) {
    char path[64], line[256];
    size_t n = strlen(what);
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%d/status", daemon->pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, what, n) == 0 && line[n] == ':')
            kib = strtol(line + n + 1, NULL, 10);
    fclose(file);
    assert_true(kib >= 0);
    return kib;
}

int64_t daemon_count(struct daemon *daemon, const char *path) {
    json_t *reply = daemon_ask(daemon, "{\"cmd\":\"status\"}");
    const json_t *at = reply;
    const char *rest = path;
    while (at != NULL && *rest != '\0') {
        size_t n = strcspn(rest, ".");
        char key[64];
        assert_true(n < sizeof key);
        memcpy(key, rest, n);
        key[n] = '\0';
        at = json_object_get(at, key);
        rest += rest[n] == '.' ? n + 1 : n;
    }
    if (at == NULL && strstr(path, "refused.") == NULL)
        fail_msg("status has no %s", path);
    int64_t value = json_integer_value(at);
    json_decref(reply);
    return value;
}

void daemon_await_count(struct daemon *daemon, const char *path, int64_t n) {
    int64_t until = scenario_now() + patience(), value;
    while ((value = daemon_count(daemon, path)) < n) {
        if (scenario_now() > until)
            fail_msg("%s is %lld, not %lld", path, (long long)value, (long long)n);
        scenario_sleep(5);
    }
}

void daemon_await_durable(struct daemon *daemon) {
    int64_t until = scenario_now() + 30000; /* a disk that others use, too, may sync for seconds */
    while (daemon_count(daemon, "store.durable") != daemon_count(daemon, "store.order")) {
        if (scenario_now() > until)
            fail_msg("what was fed does not come to the disk");
        scenario_sleep(1);
    }
}

void daemon_expect_count(struct daemon *daemon, const char *path, int64_t n) {
    daemon_await_count(daemon, path, n);
    int64_t value = daemon_count(daemon, path);
    if (value != n)
        fail_msg("%s is %lld, not %lld", path, (long long)value, (long long)n);
}
