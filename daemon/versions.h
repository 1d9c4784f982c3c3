/*
 * The versions of models on disk, in state_dir/versions: a folder for each model, of its name (what is neither letter,
 * digit, "-", "_" nor "." being %XX), with
 *
 *   N.version   a version that serves, has served or is to (engine/version_file.h)
 *   champion    who serves and what it has replaced, and what was known of the model then: an image (engine/image.h)
 *                 "chmp" 1:  u64 champion, u64 predecessor (0: none; what was before the first version has no file)
 *                            u8 the way back is to the baseline   u32 n, text that they are for   u32 n, text of facts
 *   champion.copy  the same once more: nothing else says who served, which need not be the latest
 *
 * What is replaced on disk is replaced in one step, the version before the champion that names it, so that whenever
 * the machine stops there is one champion, and it is whole. What is damaged, or of another configuration, is renamed
 * to NAME~1 (~2, ...) and kept.
 *
 * Bus thread, but for versions_load; what is begun with versions_start is written by an errand.
 */
#ifndef DAEMON_VERSIONS_H
#define DAEMON_VERSIONS_H

#include "daemon/doorbell.h"
#include "engine/config.h"
#include "engine/version.h"

#include <stdbool.h>
#include <stdint.h>

struct versions;

/* Makes the folders. NULL with the sentence in err. */
struct versions *versions_open(const struct config *config, struct doorbell *bus, struct error *err);
/* Waits for what is being written. NULL is fine. */
void versions_close(struct versions *versions);

/* ---- at the start ----------------------------------------------------------------------------- */

struct versions_found {
    struct version *champion, *before; /* with references; NULL: there is none */
    uint64_t highest;                  /* of all numbers that there are, also of what was set aside */
    char *facts;                       /* the caller's to free; NULL: none */
};

/* What a model had. What cannot be used is told in the log and set aside. Returns -1 with the sentence in err where
 * only a person can help: the files are of a later forecastd, or cannot be read. */
int versions_find(struct versions *versions, int model, struct versions_found *ret_found, struct error *err);

/* ---- publishing ------------------------------------------------------------------------------- */

struct versions_record {
    int model;
    struct version *champion, *before; /* NULL: none */
    struct version *challenger;        /* that may serve yet, and whose file is kept so long; NULL: none */
    const char *facts;                 /* text of whoever reads them again */
    const char *about;                 /* facts for the file of the champion; NULL: that is on disk already */
};

/* Writes it, the versions' files first. Returns -1 with the sentence in err: then what was there before is, or, where the disk
 * fails behind the champion, the new one. */
int versions_put(struct versions *versions, const struct versions_record *record, struct error *err);

/* The same on a thread of its own; copies the texts, acquires the versions. Returns -1 when another one is under way,
 * or memory is short: try again later. */
int versions_start(struct versions *versions, const struct versions_record *record);

struct versions_result {
    int model;
    bool failed; /* err says why */
    struct error err;
};
bool versions_has_result(const struct versions *versions);
/* Takes what came of it, waiting for it where it is not there yet. Returns false when nothing was begun. */
bool versions_take(struct versions *versions, struct versions_result *ret_result);

/* ---- what is kept ----------------------------------------------------------------------------- */

/* The version of that number, a new reference; NULL with the sentence in err. Any thread. The latest ones are kept in
 * memory, so that it is the same for all who ask: otherwise it blocks while the disk works. */
struct version *versions_load(const struct versions *versions, int model, uint64_t number, struct error *err);

/*
 * Which files may go, with the next that is published: not those of the versions that the record has, nor the latest
 * VERSIONS_KEPT, of which streams may be that are not in memory; and not those that the journal names. A version is named
 * in the order of the journal: from the first time on that a stream took it over (calls with the same number again
 * change nothing); once the journal begins at an order, what served before the version that served there is no longer
 * named, but for a few.
 */
enum { VERSIONS_KEPT = 32, VERSIONS_KEPT_BELOW = 3 };
void versions_named(struct versions *versions, int model, uint64_t number, uint64_t order);
void versions_keep_from(struct versions *versions, uint64_t order);

#endif
