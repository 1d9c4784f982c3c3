/* forecastd: options, configuration, signals, and the order of start and stop. */
#include "daemon/bus.h"
#include "daemon/log.h"
#include "daemon/service.h"
#include "engine/config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

struct options {
    const char *config;
    bool check, print_config, debug;
};

static void print_help(FILE *out) {
    fputs("Usage: forecastd [-c FILE] [--check-config] [--print-config] [--debug] [--version] [--help]\n"
          "\n"
          "Forecasts live, multivariate streams: ticks in over ZeroMQ, forecasts out.\n"
          "\n"
          "  -c, --config FILE   the configuration (default /etc/forecastd/forecastd.yaml)\n"
          "      --check-config  read and check the configuration, say so, touch nothing\n"
          "      --print-config  print the commented example configuration\n"
          "      --debug         log more\n"
          "      --version       print version and kernel level\n"
          "\n"
          "Example:\n"
          "  forecastd --print-config > my.yaml && forecastd -c my.yaml\n",
          out);
}

/* Returns -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct options *options) {
    enum { CHECK = 256, PRINT, DEBUG, VERSION };
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, CHECK},
        {"print-config", no_argument, NULL, PRINT},
        {"debug", no_argument, NULL, DEBUG},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int found;
    while ((found = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
        switch (found) {
        case 'c': options->config = optarg; break;
        case CHECK: options->check = true; break;
        case PRINT: options->print_config = true; break;
        case DEBUG: options->debug = true; break;
        case VERSION: printf("forecastd %s, kernels: %s\n", FORECASTD_VERSION, kernels_choose()->level); return 0;
        case 'h': print_help(stdout); return 0;
        default: fputs("Try forecastd --help.\n", stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "forecastd: unexpected argument \"%s\"\nTry forecastd --help.\n", argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

/* What the handler writes to and serve reads from, a byte for each signal. */
static int signal_pipe[2] = {-1, -1};

static void note_signal(int number) {
    int kept = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t put = write(signal_pipe[1], &byte, 1);
    (void)put; /* a full pipe has told already */
    errno = kept;
}

/*
 * The signals that the daemon heeds, blocked in all threads to come. Handlers, not a signalfd: libraries have threads
 * before main begins (OpenBLAS has), which do not block the signals, and the default action of one of these is the
 * end of the process.
 */
static int open_signals(sigset_t *ret_heeded) {
    sigemptyset(ret_heeded);
    sigaddset(ret_heeded, SIGTERM);
    sigaddset(ret_heeded, SIGINT);
    sigaddset(ret_heeded, SIGHUP);
    const struct sigaction noting = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0 || pthread_sigmask(SIG_BLOCK, ret_heeded, NULL) != 0 ||
        sigaction(SIGTERM, &noting, NULL) != 0 || sigaction(SIGINT, &noting, NULL) != 0 ||
        sigaction(SIGHUP, &noting, NULL) != 0)
        return -1;
    return 0;
}

/* Reads the configuration again, for a signal or a command. */
static void reload(struct bus *bus, const struct options *options, bool asked) {
    struct reload *read = NULL;
    service_reloading();
    /* Who asked waits for an answer: memory that is short is waited for. */
    while ((read = reload_read(options->config, options->debug, asked)) == NULL)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    bus_reload(bus, read);
    service_ready();
}

static void heed_signal(struct bus *bus, const struct options *options) {
    unsigned char number;
    if (read(signal_pipe[0], &number, 1) != 1)
        return;
    if (number == SIGHUP) {
        reload(bus, options, false);
        return;
    }
    log_info("stopping on %s", number == SIGINT ? "SIGINT" : "SIGTERM");
    bus_request_stop(bus);
}

/* Until a signal or a command stops the bus. */
static void serve(struct bus *bus, const struct options *options, const sigset_t *heeded) {
    enum { SIGNALS, STOPPED, RELOAD, N };
    struct pollfd items[N] = {[SIGNALS] = {.fd = signal_pipe[0], .events = POLLIN},
                              [STOPPED] = {.fd = bus_stopped_fd(bus), .events = POLLIN},
                              [RELOAD] = {.fd = bus_reload_fd(bus), .events = POLLIN}};
    /* Only now: a handler in a thread of the daemon would interrupt its calls. */
    pthread_sigmask(SIG_UNBLOCK, heeded, NULL);
    while ((items[STOPPED].revents & POLLIN) == 0) {
        uint64_t asked;
        for (int i = 0; i < N; i++)
            items[i].revents = 0;
        if (poll(items, N, -1) < 0 && errno != EINTR)
            break;
        heed_signal(bus, options);
        if (read(bus_reload_fd(bus), &asked, sizeof asked) == sizeof asked)
            reload(bus, options, true);
    }
}

/* Messages come and go by the thousand: what they leave free of the heap stays, rather than that its pages are given
 * back and made anew for each. */
static void keep_heap(void) {
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 32 << 20);
}

static int run(struct config *config, const struct options *options) {
    sigset_t heeded;
    keep_heap();
    if (open_signals(&heeded) != 0) {
        log_error("cannot watch signals: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    struct error err;
    struct bus *bus = bus_start(config, &err);
    if (bus == NULL) {
        log_error("%s", err.text);
        return EXIT_FAILURE;
    }
    log_info("version %s serves %d models with %d workers, kernels: %s", FORECASTD_VERSION, config->n_models,
             config->workers, kernels_choose()->level);
    service_ready();
    serve(bus, options, &heeded);
    bus_stop(bus);
    return EXIT_SUCCESS;
}

static void print_checked(const char *path, const struct config *config) {
    printf("%s is well-formed: %d class%s, %d model%s\n", path, config->n_classes, config->n_classes == 1 ? "" : "es",
           config->n_models, config->n_models == 1 ? "" : "s");
    for (int m = 0; m < config->n_models; m++) {
        char text[512];
        config_model_text(&config->models[m], text, sizeof text);
        printf("  %s: %s\n", config->models[m].name, text);
    }
}

int main(int argc, char **argv) {
    struct options options = {.config = "/etc/forecastd/forecastd.yaml"};
    struct error err;
    if (kernels_check(&err) != 0) {
        fprintf(stderr, "forecastd: %s\n", err.text);
        return EXIT_USAGE;
    }
    int status = parse(argc, argv, &options);
    if (status >= 0)
        return status;
    log_open(options.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    if (options.print_config) {
        config_print_example(stdout);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    struct config *config;
    if (config_load(options.config, &config, &err) != 0) {
        log_error("%s", err.text);
        return EXIT_FAILURE;
    }
    if (options.debug)
        config->log = CONFIG_LOG_DEBUG;
    reload_log_level(config);
    if (options.check)
        print_checked(options.config, config);
    else
        status = run(config, &options);
    config_free(config);
    return options.check ? EXIT_SUCCESS : status;
}
