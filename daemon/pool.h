/*
 * Memory for many things of a few sizes, side by side. What is looked up by turns among very many (a stream by its
 * name) is on the fewer pages the denser it lies, and where each page holds one of them, finding the page costs as much
 * again as what is on it. Larger things (a series) lie in slabs of their size: taken from malloc each was a system call, for
 * which the page faults of other threads waited. Given back it is kept for the next one of its size, a whole slab of larger
 * ones is freed. One owner.
 */
#ifndef DAEMON_POOL_H
#define DAEMON_POOL_H

#include <stddef.h>

struct pool;

/* NULL when memory is short. */
struct pool *pool_new(void);
/* With what has been taken from it; things of more than 4 KB are to be given back before. */
void pool_free(struct pool *pool);

enum { POOL_LINE = 64 }; /* bytes of a cache line */

/* Any bytes, on lines of their own. NULL when memory is short. */
void *pool_take(struct pool *pool, size_t size);
/* at: of that size; NULL is fine. */
void pool_give(struct pool *pool, void *at, size_t size);

#endif
