/*
 * A disk as a crash of the machine would have left it, from the log of the layer (plan.h): what was synced is there;
 * what was not may be, in parts.
 *
 * - The bytes of a file are on the disk when it has been synced since they were written; what a failed sync was to
 *   bring is lost for good.
 * - A name (of a file that was made, moved, linked or removed) is on the disk when its folder has been synced since;
 *   that the file was is not enough.
 * - Of the rest: names come to the disk in the order in which they were given, as with a journalling file system, and a
 *   move is whole or not there; of a file each sector of 512 bytes is as it was in memory at some instant since the last
 *   sync, whichever, and the size is any that there was on the way.
 *
 * The log of one run has all the instants at which the machine could have crashed: step through it, and make a folder
 * at each. Errors fail the running cmocka test. One thread.
 */
#ifndef TESTS_FAULT_DISK_H
#define TESTS_FAULT_DISK_H

#include "tests/fault/disk_log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;

/* From a log, and the folder as it stood on the disk when the run began (copied; NULL: empty). */
struct disk *disk_new(const char *log, const char *base);
void disk_free(struct disk *disk);
/* The same, behind the end of the log; marks are handed over (NULL: nobody wants them). */
struct disk *disk_at_end(const char *log, void (*mark)(void *context, const char *text), void *context);

struct disk_step {
    enum disk_record_kind kind;
    int64_t time;     /* CLOCK_MONOTONIC, ns */
    const char *path; /* of a name, or the text of a mark; else NULL */
    size_t bytes;     /* written */
};

/* The next operation, not yet done; false at the end. */
bool disk_peek(const struct disk *disk, struct disk_step *ret_step);
/* Does it; false at the end. */
bool disk_step(struct disk *disk, struct disk_step *ret_step);
/* Syncs so far. */
size_t disk_syncs(const struct disk *disk);

enum disk_crash {
    DISK_DROPPED,    /* of what was not synced nothing is there */
    DISK_TORN,       /* of what was not synced some is there, by the seed */
    DISK_WRITTEN_OUT /* all of it is, as when only the process was killed */
};

/* Makes the folder, which must not be there, as the crash leaves it. The disk itself goes on. */
void disk_leave(const struct disk *disk, enum disk_crash crash, uint64_t seed, const char *folder);

struct disk_crashes {
    const char *log, *folder; /* the folder is made for each crash, and removed */
    /* Of the crashes before a sync (the first is 0), and of those behind the end: how often what was not synced is torn; it
     * is dropped once, too. -1: there is none. */
    int (*torn)(void *context, size_t sync);
    void (*mark)(void *context, const char *text);  /* a mark that lies before the crashes to come */
    void (*look)(void *context, const char *which); /* at what is left; which crash it is */
    void *context;
};
/* Returns how many crashes there were. Behind a sync the disk is as before the next one, where what is not synced is dropped. */
int disk_crash_all(const struct disk_crashes *crashes);

/* Removes a folder with all that is in it. */
void disk_remove_folder(const char *folder);

#endif
