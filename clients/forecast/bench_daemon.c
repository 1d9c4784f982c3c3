#include "clients/forecast/bench.h"

#include "clients/forecast/options.h"
#include "clients/forecast/run.h"
#include "clients/libforecast/forecast.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Finds three ports that are free: all are held until all are found, so that they differ. */
static int find_ports(int ports[3]) {
    int sockets[3] = {-1, -1, -1}, code = 0;

    for (int i = 0; i < 3 && code == 0; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof address;

        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[i] < 0 || bind(sockets[i], (struct sockaddr *)&address, n) ||
            getsockname(sockets[i], (struct sockaddr *)&address, &n))
            code = -1;
        ports[i] = ntohs(address.sin_port);
    }
    for (int i = 0; i < 3; i++)
        if (sockets[i] >= 0)
            close(sockets[i]);
    return code;
}

static int write_configuration(const struct bench_daemon *daemon, const char *path, long streams,
                               const struct bench_model *model) {
    FILE *file = fopen(path, "w");

    if (!file)
        return -1;
    if (model->durable)
        fprintf(file, "state_dir: %s/state\n", daemon->directory);
    fprintf(file, "workers: %ld\nbus:\n  ticks: %s\n  forecasts: %s\n  control: %s\n", model->workers, daemon->ticks,
            daemon->forecasts, daemon->control);
    fprintf(file,
            "streams:\n  - class: bench\n    pattern: \"bench/*\"\n    max_streams: %ld\n    history: 128\n"
            "    features: [",
            streams);
    for (long i = 0; i < model->features; i++)
        fprintf(file, "%sf%ld", i ? ", " : "", i);
    fprintf(file,
            "]\nmodels:\n  - name: bench\n    class: bench\n    horizon: %ld\n    train: %s\n"
            "    layers:\n      - lstm: %ld\n%s",
            model->horizon, model->train ? "true" : "false", model->units,
            model->defaults ? "" : "    combine: network\n    levels: []\n");
    if (model->train)
        fprintf(file,
                "    training: {window: 64, epochs: 100000, patience: 100000, first_after: %d, max_windows: 4096}\n",
                strcmp(model->train, "now") == 0 ? 100 : 1 << 30);
    return fclose(file);
}

/* In the child: what is exec'd dies with this program, whatever becomes of it. */
static void run_daemon(const char *configuration, const char *log, pid_t parent) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    int fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0); /* Ctrl-C is for this program, which then stops the daemon */
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (n > 0) {
        path[n] = '\0';
        strcpy(strrchr(path, '/') + 1, "forecastd");
        execl(path, "forecastd", "-c", configuration, (char *)NULL);
    }
    execlp("forecastd", "forecastd", "-c", configuration, (char *)NULL);
    dprintf(STDERR_FILENO, "there is no forecastd beside this program or in PATH: %s\n", strerror(errno));
    _exit(1);
}

static void print_log(const char *path) {
    char line[512];
    FILE *file = fopen(path, "r");

    while (file && fgets(line, sizeof line, file))
        fprintf(stderr, "  %s", line);
    if (file)
        fclose(file);
}

/* Asks until the daemon answers, has ended, or 30 s have passed. Returns 0 when it answers. */
static int wait_for(struct bench_daemon *daemon) {
    struct forecast_control *control;
    const char *reply;
    int64_t end = run_monotonic() + 30 * RUN_NS;
    int code = -1;

    if (forecast_control_open(daemon->control, &control))
        return -1;
    while (code && !run_stopped() && run_monotonic() < end) {
        if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
            daemon->pid = 0;
            break;
        }
        code = forecast_control_hello(control, 200, &reply);
    }
    forecast_control_close(&control);
    return code;
}

static const char *in_directory(const struct bench_daemon *daemon, const char *name, char *path, size_t size) {
    snprintf(path, size, "%s/%s", daemon->directory, name);
    return path;
}

int bench_daemon_start(struct bench_daemon *daemon, long streams, const struct bench_model *model) {
    char configuration[128], log[128];
    int ports[3];

    *daemon = (struct bench_daemon){.directory = "/tmp/forecast-bench-XXXXXX",
                                    .network_only = !model->defaults && !model->train};
    if (find_ports(ports) || !mkdtemp(daemon->directory)) {
        fprintf(stderr, "%s: preparing a daemon: %s\n", bench_command.name, strerror(errno));
        daemon->directory[0] = '\0';
        return -1;
    }
    snprintf(daemon->ticks, sizeof daemon->ticks, "tcp://127.0.0.1:%d", ports[0]);
    snprintf(daemon->forecasts, sizeof daemon->forecasts, "tcp://127.0.0.1:%d", ports[1]);
    snprintf(daemon->control, sizeof daemon->control, "tcp://127.0.0.1:%d", ports[2]);
    in_directory(daemon, "forecastd.yaml", configuration, sizeof configuration);
    in_directory(daemon, "log", log, sizeof log);
    if (write_configuration(daemon, configuration, streams, model)) {
        fprintf(stderr, "%s: %s: %s\n", bench_command.name, configuration, strerror(errno));
        bench_daemon_stop(daemon);
        return -1;
    }
    pid_t parent = getpid();
    daemon->pid = fork();
    if (daemon->pid == 0)
        run_daemon(configuration, log, parent);
    if (daemon->pid < 0 || wait_for(daemon)) {
        if (!run_stopped())
            fprintf(stderr, "%s: the daemon did not start; it said:\n", bench_command.name);
        if (!run_stopped())
            print_log(log);
        bench_daemon_stop(daemon);
        return -1;
    }
    daemon->start = bench_resident(daemon->pid);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at) {
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void bench_daemon_stop(struct bench_daemon *daemon) {
    if (daemon->pid > 0) {
        int64_t end = run_monotonic() + 10 * RUN_NS;
        pid_t ended;

        kill(daemon->pid, SIGTERM);
        while ((ended = waitpid(daemon->pid, NULL, WNOHANG)) == 0 && run_monotonic() < end)
            usleep(10000);
        if (ended == 0) {
            kill(daemon->pid, SIGKILL);
            waitpid(daemon->pid, NULL, 0);
        }
        daemon->pid = 0;
    }
    if (daemon->directory[0]) {
        nftw(daemon->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        daemon->directory[0] = '\0';
    }
}
