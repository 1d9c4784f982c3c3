#include "daemon/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Before each record stands its length; this length says that the rest up to the ring's end is skipped. */
enum { HEAD = 8 };
static const uint64_t skip_mark = UINT64_MAX;

enum { CACHE_LINE = 64 };

struct ring {
    char *buffer;
    size_t size; /* a power of two */

    /* Bytes written and read since the beginning; written by one side each, on lines of their own. */
    _Alignas(CACHE_LINE) atomic_size_t written;
    size_t read_seen;   /* producer's copy of `read` */
    size_t reserved_at; /* producer: where the reserved record begins */
    atomic_uint_fast64_t times_full;
    _Alignas(CACHE_LINE) atomic_size_t read;
    size_t written_seen; /* consumer's copy of `written` */
};

struct ring *ring_new(size_t size) {
    size_t power = 4096;
    while (power < size)
        power *= 2;
    struct ring *ring = aligned_alloc(CACHE_LINE, sizeof *ring);
    char *buffer = aligned_alloc(CACHE_LINE, power);
    if (ring == NULL || buffer == NULL) {
        free(ring);
        free(buffer);
        return NULL;
    }
    *ring = (struct ring){.buffer = buffer, .size = power};
    atomic_init(&ring->written, 0);
    atomic_init(&ring->read, 0);
    atomic_init(&ring->times_full, 0);
    return ring;
}

void ring_free(struct ring *ring) {
    if (ring == NULL)
        return;
    free(ring->buffer);
    free(ring);
}

size_t ring_max_record(const struct ring *ring) {
    return ring->size / 2 - 2 * HEAD;
}

static size_t padded(size_t n) {
    return HEAD + ((n + 7) & ~(size_t)7);
}

static void write_head(struct ring *ring, size_t at, uint64_t value) {
    *(uint64_t *)(void *)(ring->buffer + (at & (ring->size - 1))) = value;
}

static uint64_t read_head(const struct ring *ring, size_t at) {
    return *(const uint64_t *)(const void *)(ring->buffer + (at & (ring->size - 1)));
}

static bool has_room(struct ring *ring, size_t written, size_t need) {
    if (ring->size - (written - ring->read_seen) >= need)
        return true;
    ring->read_seen = atomic_load_explicit(&ring->read, memory_order_acquire);
    return ring->size - (written - ring->read_seen) >= need;
}

int ring_has_room(struct ring *ring, size_t n, size_t spare) {
    /* Twice: at the worst, nearly the record's length is skipped before the ring's end. */
    return has_room(ring, atomic_load_explicit(&ring->written, memory_order_relaxed), 2 * padded(n) + spare);
}

void *ring_reserve(struct ring *ring, size_t n, size_t spare) {
    assert(n <= ring_max_record(ring));
    size_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    size_t to_end = ring->size - (written & (ring->size - 1));
    size_t skip = to_end < padded(n) ? to_end : 0;
    if (!has_room(ring, written, skip + padded(n) + spare)) {
        atomic_fetch_add_explicit(&ring->times_full, 1, memory_order_relaxed);
        return NULL;
    }
    if (skip > 0)
        write_head(ring, written, skip_mark);
    ring->reserved_at = written + skip;
    return ring->buffer + ((ring->reserved_at + HEAD) & (ring->size - 1));
}

void ring_commit(struct ring *ring, size_t n) {
    write_head(ring, ring->reserved_at, n);
    atomic_store_explicit(&ring->written, ring->reserved_at + padded(n), memory_order_release);
}

void *ring_peek(struct ring *ring, size_t *ret_n) {
    size_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    if (read == ring->written_seen) {
        ring->written_seen = atomic_load_explicit(&ring->written, memory_order_acquire);
        if (read == ring->written_seen)
            return NULL;
    }
    uint64_t n = read_head(ring, read);
    if (n == skip_mark) {
        read += ring->size - (read & (ring->size - 1));
        atomic_store_explicit(&ring->read, read, memory_order_release);
        n = read_head(ring, read);
    }
    *ret_n = (size_t)n;
    return ring->buffer + ((read + HEAD) & (ring->size - 1));
}

void ring_consume(struct ring *ring) {
    size_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    size_t n = (size_t)read_head(ring, read);
    atomic_store_explicit(&ring->read, read + padded(n), memory_order_release);
}

const void *ring_look(const struct ring *ring, size_t *at) {
    size_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    size_t from = *at > read ? *at : read;
    if (from == ring->written_seen)
        return NULL;
    if (read_head(ring, from) == skip_mark)
        from += ring->size - (from & (ring->size - 1));
    *at = from + padded((size_t)read_head(ring, from));
    return ring->buffer + ((from + HEAD) & (ring->size - 1));
}

size_t ring_written(const struct ring *ring) {
    return atomic_load_explicit(&ring->written, memory_order_acquire);
}

size_t ring_consumed(const struct ring *ring) {
    return atomic_load_explicit(&ring->read, memory_order_acquire);
}

size_t ring_used(const struct ring *ring) {
    size_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    return atomic_load_explicit(&ring->written, memory_order_acquire) - read;
}

uint64_t ring_times_full(const struct ring *ring) {
    return atomic_load_explicit(&ring->times_full, memory_order_relaxed);
}
