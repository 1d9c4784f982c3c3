/*
 * Writes a model's version to a file, on a thread of its own: one at a time. Bus thread only, but for the writing
 * itself.
 */
#ifndef DAEMON_SAVER_H
#define DAEMON_SAVER_H

#include "daemon/doorbell.h"
#include "engine/error.h"
#include "engine/version.h"

#include <stdbool.h>
#include <stdint.h>

/* Writes a network to path as a whole or not at all; own: text of the daemon's own, or NULL. -1 with the sentence in
 * err. */
typedef int saver_write(const char *path, const struct network *network, const char *own, struct error *err);

struct saver;

/* bus: rung when a file is written. NULL when memory is short. */
struct saver *saver_new(saver_write *write, struct doorbell *bus);
/* Waits for the file that is being written. NULL is fine. */
void saver_free(struct saver *saver);

/* Begins to write; acquires the version, takes path and own over in any case. Returns 0; -1 while another file is
 * being written; -2 with the sentence in err when it cannot begin. */
int saver_start(struct saver *saver, uint64_t request, struct version *version, char *path, char *own,
                struct error *err);

struct saver_result {
    uint64_t request, version; /* the request that it was begun with */
    bool failed;               /* err says why */
    struct error err;
};
/* Whether a file has been written since saver_start, or could not be. */
bool saver_has_result(const struct saver *saver);
/* Takes what came of it, waiting for it where it is not there yet. Returns false when nothing was begun. */
bool saver_take(struct saver *saver, struct saver_result *ret_result);

#endif
