/*
 * What the journal of the store has beside messages: commands on streams, and takeovers that workers told of. Pure
 * functions of memory.
 */
#ifndef DAEMON_JOURNAL_COMMAND_H
#define DAEMON_JOURNAL_COMMAND_H

#include "daemon/stored.h"
#include "daemon/wire.h"
#include "engine/image.h"

#include <stdint.h>

enum journal_what {
    JOURNALED_RESET,
    JOURNALED_PAUSE,
    JOURNALED_RESUME,
    JOURNALED_END,
    JOURNALED_STATE,    /* was set to values */
    JOURNALED_CLOSE,    /* intervals that end at `step`, ns, or before are closed */
    JOURNALED_TAKEOVER, /* began, step: as struct takeover */
    JOURNALED_IMPORT,   /* of image, if there is no such stream */
    JOURNALED_REFUSED, /* a tick of the message before it, which stands at order `step`: the one of number `version` in it, for
                           the reason `began` (0: it was not kept) */
    N_JOURNALED,
};

enum { JOURNALED_MODEL = 256 };

struct journal_command {
    int what; /* enum journal_what */
    uint32_t generation;
    char stream[WIRE_MAX_NAME + 1];
    char model[JOURNALED_MODEL]; /* "": all */
    uint64_t version, began, step;
    uint64_t n; /* values */
    float *values;
    struct stored *image; /* of IMPORT: name, bytes and blocks */
};

/* Writes it as an image. -1 when memory is short. */
int journal_command_write(struct journal_command *command, struct image *image);
/* Reads it; values (malloc) and image are the caller's. -1 with the sentence in err. */
int journal_command_read(struct journal_command *command, const void *bytes, size_t n, struct error *err);

#endif
