/*
 * A block of the journal as it stands on disk: a head, then entries, each a head, its first frame, its bytes, padded to
 * eight. Little-endian. Pure functions of memory.
 */
#ifndef DAEMON_STORE_BLOCK_H
#define DAEMON_STORE_BLOCK_H

#include "daemon/store.h"

/* Format version of blocks and entries. */
enum { BLOCK_FORMAT = 1 };

struct block_head {
    char magic[8];
    uint32_t format;
    uint32_t n_entries; /* with the orders first, first + 1, ... */
    uint64_t epoch;     /* starts of the store */
    uint64_t first;
    uint64_t synced;     /* orders up to here were on disk when it was written */
    uint64_t n;          /* bytes of entries behind the head */
    uint64_t check;      /* XXH3 of the entries */
    uint64_t head_check; /* XXH3 of all above */
};

/* In the ring to the store as on disk. */
struct block_entry {
    uint32_t kind, source;
    int64_t received;
    uint64_t producer, sequence;
    uint64_t n_head, n;
};

/* Of an entry with its frames, padded. */
size_t block_entry_size(const struct journal_entry *entry);
/* Writes it to `at`, of that size. */
void block_entry_put(void *at, const struct journal_entry *entry);

/* Fills the head before `n` bytes of entries. */
void block_seal(struct block_head *head, uint64_t epoch, uint64_t first, uint32_t n_entries, uint64_t synced,
                size_t n);

/* Whether a block [n] is whole; -1 with the sentence in err. */
int block_check(const void *block, size_t n, struct error *err);
/* Whether 64 bytes at any address are the head of a block; then it is copied to ret_head. */
bool block_head_at(const void *bytes, struct block_head *ret_head);
/* Goes over the entries of a block that is whole: *at is 0 at first. False behind the last one, or where an entry's
 * lengths are impossible. */
bool block_next(const void *block, size_t *at, struct journal_entry *ret_entry);

#endif
