/* forecastd: options, configuration, signals, and the order of start and stop. */
#include "daemon/bus.h"
#include "daemon/log.h"
#include "daemon/service.h"
#include "engine/config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
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
	    {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, CHECK},
	    {"print-config", no_argument, NULL, PRINT}, {"debug", no_argument, NULL, DEBUG},
	    {"version", no_argument, NULL, VERSION}, {"help", no_argument, NULL, 'h'},
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

/* The signals that stop the daemon, as a file descriptor; blocked in all threads to come. */
static int open_signals(void) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Until a signal or a command stops the bus. */
static void serve(struct bus *bus, int signals) {
	struct pollfd items[] = {{.fd = signals, .events = POLLIN}, {.fd = bus_stopped_fd(bus), .events = POLLIN}};
	while ((items[1].revents & POLLIN) == 0) {
		if (poll(items, 2, -1) < 0 && errno != EINTR)
			break;
		struct signalfd_siginfo info;
		if ((items[0].revents & POLLIN) == 0 || read(signals, &info, sizeof info) != sizeof info)
			continue;
		log_info("stopping on %s", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
		bus_request_stop(bus);
	}
}

static int run(const struct config *config) {
	int signals = open_signals();
	if (signals < 0) {
		log_error("cannot watch signals: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	struct error err;
	struct bus *bus = bus_start(config, &err);
	if (bus == NULL) {
		log_error("%s", err.text);
		close(signals);
		return EXIT_FAILURE;
	}
	log_info("version %s serves %d models with %d workers, kernels: %s", FORECASTD_VERSION, config->n_models,
	         config->workers, kernels_choose()->level);
	service_ready();
	serve(bus, signals);
	bus_stop(bus);
	close(signals);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
	struct options options = {.config = "/etc/forecastd/forecastd.yaml"};
	int status = parse(argc, argv, &options);
	if (status >= 0)
		return status;
	log_open(options.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (options.print_config) {
		config_print_example(stdout);
		return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	struct config *config;
	struct error err;
	if (config_load(options.config, &config, &err) != 0) {
		log_error("%s", err.text);
		return EXIT_FAILURE;
	}
	if (options.check)
		printf("%s is well-formed: %d classes, %d models\n", options.config, config->n_classes, config->n_models);
	else
		status = run(config);
	config_free(config);
	return options.check ? EXIT_SUCCESS : status;
}
