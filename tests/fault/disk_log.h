/* The log of the layer (plan.h): one record for each operation on the files below FAULT_ROOT, in the order in which
 * they were done. layer/lose_unsynced.c writes it, disk.c reads it. */
#ifndef TESTS_FAULT_DISK_LOG_H
#define TESTS_FAULT_DISK_LOG_H

#include <stdint.h>

enum disk_record_kind {
    DISK_OPENED,     /* path; inode; flags */
    DISK_WRITTEN,    /* inode; at; the bytes */
    DISK_TRUNCATED,  /* inode; at: the new size */
    DISK_EXTENDED,   /* inode; at: the least size */
    DISK_SYNCED,     /* inode, of a file or a folder */
    DISK_NOT_SYNCED, /* the same, and the sync failed */
    DISK_RENAMED,    /* path; to */
    DISK_LINKED,     /* path; to */
    DISK_REMOVED,    /* path: of a file or an empty folder */
    DISK_FOLDER,     /* path: made */
    DISK_MARK        /* path: a text of the program under test (fault_mark) */
};

enum { DISK_CREATED = 1, DISK_EMPTIED = 2 }; /* flags of an opened file */

/* Paths begin below the root, without a slash before them, and end with NUL; the root itself is "". */
struct disk_record {
    uint32_t kind, flags;
    uint64_t inode, at;
    int64_t time;     /* CLOCK_MONOTONIC, ns */
    uint64_t n;       /* bytes behind it: those written, or one or two paths */
    uint64_t padding; /* those up to the next multiple of 8 are not counted in n */
};

#endif
