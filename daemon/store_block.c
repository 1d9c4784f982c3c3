#include "daemon/store_block.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the store's files are little-endian");
_Static_assert(sizeof(struct block_head) == 64 && sizeof(struct block_entry) == 48, "without holes");

static const char magic[8] = {'f', 'c', 'J', 'O', 'U', 'R', 'N', '\n'};

static size_t padded(size_t n) {
    return (n + 7) & ~(size_t)7;
}

size_t block_entry_size(const struct journal_entry *entry) {
    return sizeof(struct block_entry) + padded(entry->n_head + entry->n);
}

void block_entry_put(void *at, const struct journal_entry *entry) {
    const struct block_entry head = {.kind = (uint32_t)entry->kind,
                                     .source = entry->source,
                                     .received = entry->received,
                                     .producer = entry->producer,
                                     .sequence = entry->sequence,
                                     .n_head = entry->n_head,
                                     .n = entry->n};
    char *to = at;
    memset(to + block_entry_size(entry) - 8, 0, 8); /* the padding */
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    if (entry->n_head > 0)
        memcpy(to, entry->head, entry->n_head);
    if (entry->n > 0)
        memcpy(to + entry->n_head, entry->bytes, entry->n);
}

void block_seal(struct block_head *head, uint64_t epoch, uint64_t first, uint32_t n_entries, uint64_t synced,
                size_t n) {
    *head = (struct block_head){.format = BLOCK_FORMAT,
                                .n_entries = n_entries,
                                .epoch = epoch,
                                .first = first,
                                .synced = synced,
                                .n = n,
                                .check = XXH3_64bits(head + 1, n)};
    memcpy(head->magic, magic, sizeof magic);
    head->head_check = XXH3_64bits(head, offsetof(struct block_head, head_check));
}

bool block_head_at(const void *bytes, struct block_head *ret_head) {
    struct block_head head;
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.magic, magic, sizeof magic) != 0 ||
        head.head_check != XXH3_64bits(&head, offsetof(struct block_head, head_check)))
        return false;
    *ret_head = head;
    return true;
}

int block_check(const void *block, size_t n, struct error *err) {
    struct block_head head;
    if (n < sizeof head || !block_head_at(block, &head))
        return error_set(err, "a block of the journal is damaged");
    if (head.format > BLOCK_FORMAT)
        return error_set(err, "the journal has format %u, and this forecastd reads up to %d", head.format,
                         BLOCK_FORMAT);
    if (head.n != n - sizeof head || head.check != XXH3_64bits((const char *)block + sizeof head, head.n))
        return error_set(err, "the journal's block of order %llu is damaged", (unsigned long long)head.first);
    return 0;
}

bool block_next(const void *block, size_t *at, struct journal_entry *ret_entry) {
    struct block_head head;
    struct block_entry entry;
    memcpy(&head, block, sizeof head);
    if (head.n - *at < sizeof entry)
        return false;
    const char *from = (const char *)block + sizeof head + *at;
    memcpy(&entry, from, sizeof entry);
    size_t left = head.n - *at - sizeof entry;
    if (entry.n_head > left || entry.n > left - entry.n_head)
        return false;
    from += sizeof entry;
    *ret_entry = (struct journal_entry){.kind = (enum journal_kind)entry.kind,
                                        .source = entry.source,
                                        .received = entry.received,
                                        .producer = entry.producer,
                                        .sequence = entry.sequence,
                                        .head = entry.n_head > 0 ? from : NULL,
                                        .n_head = entry.n_head,
                                        .bytes = from + entry.n_head,
                                        .n = entry.n};
    *at += sizeof entry + padded(entry.n_head + entry.n);
    return true;
}
