/* The parts of the layer (plan.h): one library, below the program under test. */
#ifndef TESTS_FAULT_LAYER_H
#define TESTS_FAULT_LAYER_H

#include "tests/fault/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- fail_nth ------------------------------------------------------------------------------- */

/* Counts an operation. Returns 0: it may be done; else what is wrong, as in the plan. */
int fault_comes(int kind);
/* The plan; NULL: there is none. */
struct fault_plan *fault_plan(void);

/* ---- lose_unsynced -------------------------------------------------------------------------- */

/* Writes down what was done (disk_log.h has the record). The caller holds the lock of files.c. */
void log_path(int kind, ino_t inode, int flags, const char *path, const char *to);
void log_write(ino_t inode, off_t offset, const void *bytes, size_t n);
void log_size(int kind, ino_t inode, off_t size);

#endif
