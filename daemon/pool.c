#include "daemon/pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What has been given back is as good as freed to the address sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n)   ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

/* Slabs double up to a huge page, so that few things take little. Beyond LARGEST each thing is by itself. */
enum { SLAB_FIRST = 64 * 1024, SLAB_MOST = 2 * 1024 * 1024, LARGEST = 4096 };

struct slab {
    struct slab *next;
};

/* A place that was given back. */
struct hole {
    struct hole *next;
};

struct pool {
    struct slab *slabs;                          /* the latest first, of which places are taken */
    size_t size, used;                           /* bytes of it */
    struct hole *holes[LARGEST / POOL_LINE + 1]; /* by lines */
};

static size_t lines_of(size_t size) {
    return (size + POOL_LINE - 1) / POOL_LINE;
}

struct pool *pool_new(void) {
    return calloc(1, sizeof(struct pool));
}

void pool_free(struct pool *pool) {
    for (struct slab *slab = pool != NULL ? pool->slabs : NULL, *next; slab != NULL; slab = next) {
        next = slab->next;
        free(slab);
    }
    free(pool);
}

static int add_slab(struct pool *pool) {
    size_t size = pool->slabs == NULL ? SLAB_FIRST : pool->size < SLAB_MOST ? 2 * pool->size : SLAB_MOST;
    struct slab *slab = aligned_alloc(size, size);
    if (slab == NULL)
        return -1;
    if (size == SLAB_MOST)
        madvise(slab, size, MADV_HUGEPAGE); /* where it is not done it is all the same */
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->size = size;
    pool->used = POOL_LINE; /* the slab's own */
    return 0;
}

void *pool_take(struct pool *pool, size_t size) {
    size_t lines = lines_of(size), bytes = lines * POOL_LINE;
    void *at;
    if (bytes > LARGEST) {
        at = aligned_alloc(POOL_LINE, bytes);
    } else if (pool->holes[lines] != NULL) {
        at = pool->holes[lines];
        ASAN_UNPOISON_MEMORY_REGION(at, bytes);
        pool->holes[lines] = pool->holes[lines]->next;
    } else {
        if ((pool->slabs == NULL || pool->used + bytes > pool->size) && add_slab(pool) != 0)
            return NULL;
        at = (char *)pool->slabs + pool->used;
        pool->used += bytes;
    }
    return at != NULL ? memset(at, 0, bytes) : NULL;
}

void pool_give(struct pool *pool, void *at, size_t size) {
    size_t lines = lines_of(size);
    if (at == NULL)
        return;
    if (lines * POOL_LINE > LARGEST) {
        free(at);
        return;
    }
    struct hole *hole = at;
    hole->next = pool->holes[lines];
    pool->holes[lines] = hole;
    ASAN_POISON_MEMORY_REGION(at, lines * POOL_LINE);
}
