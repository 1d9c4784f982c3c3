/*
 * A bounded ring of records from one thread to one other: what crosses threads in the daemon
 * crosses here, by value. Lock-free, C11 atomics only, so that ThreadSanitizer sees it.
 *
 * Records are bytes of any length, aligned to 8, each in one piece. One producer calls reserve and commit,
 * one consumer peek and consume; nothing blocks. When the ring is full the producer is told (NULL) and
 * counts; what then happens is its policy.
 */
#ifndef DAEMON_RING_H
#define DAEMON_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;

/* At least `size` bytes; rounded up to a power of two. NULL when memory is short. */
struct ring *ring_new(size_t size);
void ring_free(struct ring *ring);

/* The longest record that fits at all: less than half of the ring. */
size_t ring_max_record(const struct ring *ring);

/* Producer: room for a record of up to n bytes with `spare` bytes left over behind it, or NULL while there is not.
 * n must be at most ring_max_record. */
void *ring_reserve(struct ring *ring, size_t n, size_t spare);
/* Producer: whether a record of n bytes has room, wherever the ring stands; it keeps it until the producer uses
 * it. */
int ring_has_room(struct ring *ring, size_t n, size_t spare);
/* Producer: publishes the reserved record with its true length (at most what was reserved). */
void ring_commit(struct ring *ring, size_t n);

/* Consumer: the oldest record and its length, or NULL. It stays until ring_consume. */
void *ring_peek(struct ring *ring, size_t *ret_n);
void ring_consume(struct ring *ring);

/* Consumer: looks ahead. *at is 0 at first, for the oldest record, and is moved behind the one that is returned; NULL: no
 * further one is known of yet. */
const void *ring_look(const struct ring *ring, size_t *at);

/* Any thread: bytes written, and bytes whose records have been consumed, since the beginning. What was committed before
 * ring_written has been consumed once ring_consumed is not less. */
size_t ring_written(const struct ring *ring);
size_t ring_consumed(const struct ring *ring);

/* Any thread, as a snapshot. */
size_t ring_used(const struct ring *ring);
uint64_t ring_times_full(const struct ring *ring); /* reserve calls that found no room */

#endif
