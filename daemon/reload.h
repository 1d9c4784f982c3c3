/*
 * The configuration once more, while the daemon runs: the main thread reads and checks the file, the bus takes over what
 * is live and tells the rest.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "daemon/publisher.h"
#include "engine/config.h"

#include <jansson.h>

/* What has been read. */
struct reload {
    struct config *config; /* NULL: it is wrong, and err says why */
    struct error err;
    bool asked; /* by a command, which waits for the answer */
};

/* Reads the file; debug: whatever it says of the log. Any thread; blocks. NULL when memory is short. */
struct reload *reload_read(const char *path, bool debug, bool asked);
void reload_free(struct reload *reload);

/* Bus: takes over what is live in `config`, tells it in the log and as an event, and returns the answer to the command.
 * Where the file is wrong nothing changes. */
json_t *reload_take(struct config *config, const struct reload *reload, struct publisher *publisher);

/* Has the log follow the configuration. */
void reload_log_level(const struct config *config);

#endif
