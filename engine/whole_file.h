/*
 * Files as a whole: one that is written appears with all of its contents or not at all, whatever happens on the way;
 * one that is read is read to its end. Any thread; blocks while the disk works.
 */
#ifndef ENGINE_WHOLE_FILE_H
#define ENGINE_WHOLE_FILE_H

#include "engine/error.h"

#include <stddef.h>

/* What a file that is being written is called until it is complete: PATH.PID.N.tmp, in the same folder. */
#define WHOLE_FILE_UNFINISHED ".tmp"

/* Writes beside, syncs, renames over what may be there, and syncs the folder. Returns -1 with the reason, without the
 * path, in err: then there is what was there before, or, where only the folder could not be synced, the new file. */
int whole_file_write(const char *path, const void *bytes, size_t n, struct error *err);

/* The whole file, to be freed by the caller. Returns 0; 1 where there is none; -1. In both cases with the reason,
 * without the path, in err. */
int whole_file_read(const char *path, void **ret_bytes, size_t *ret_n, struct error *err);

/* Makes a folder, which may be there, and syncs the one that it is in. Returns -1 with the sentence in err. */
int whole_file_folder(const char *path, struct error *err);

#endif
