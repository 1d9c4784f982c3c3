/*
 * What a test and the layer below a program under test (layer/) share: a page of memory, by which the test says at any
 * time which operations are to fail, and reads what has come.
 *
 * The layer is a library that the dynamic loader puts before the C library (LD_PRELOAD). It reads in the environment:
 *   FAULT_PLAN   the file of that page; left out, nothing fails
 *   FAULT_ROOT   the folder whose files count; left out, none does
 *   FAULT_LOG    where all operations on these files are written down, for disk.h; left out, nowhere
 */
#ifndef TESTS_FAULT_PLAN_H
#define TESTS_FAULT_PLAN_H

#include <stdatomic.h>
#include <stdint.h>

/* Kinds of operations, to be combined. */
enum {
    FAULT_ALLOCATION = 1, /* called by the program's own text, not by libraries' */
    FAULT_OPEN = 2,       /* of files and folders, also to read */
    FAULT_READ = 4,
    FAULT_WRITE = 8,
    FAULT_SYNC = 16, /* of files and folders. What is not on the disk when one fails will not come there: the kernel
                        takes such pages as clean. */
    FAULT_NAME = 32, /* rename, link, unlink, mkdir, rmdir */
    FAULT_SIZE = 64, /* truncation, allocation of room */
    FAULT_CHANGES = FAULT_WRITE | FAULT_SYNC | FAULT_NAME | FAULT_SIZE,
    FAULT_FILES = FAULT_OPEN | FAULT_CHANGES
};

enum { FAULT_SHORT = -1 }; /* for an error: a write does half of what it was to do; nothing else fails */

struct fault_plan {
    atomic_int kinds;       /* which are counted; 0: none */
    atomic_int error;       /* errno of those that fail, or FAULT_SHORT */
    atomic_long from, to;   /* the from-th to the to-th fail, the first is 1 */
    atomic_long seen;       /* have come */
    atomic_long failed;     /* of them */
    atomic_uintptr_t where; /* the latest allocation that failed: who called it, in the program's file */
    atomic_int sync_us;     /* every sync lasts so long, or 0 */
    atomic_ulong bad_inode; /* a byte of this file cannot be read: EIO; 0: none */
    atomic_long bad_byte;   /* where it stands */
};

#endif
