#include "daemon/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <utlist.h>

/* What has been given back is as good as freed to the address sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n)   ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

/* Small things lie in slabs that double up to a huge page, so that few take little. Each size of the larger ones has slabs of
 * its own, which begin where their address is a multiple of SLAB_MOST. Beyond LARGEST each thing is by itself. */
enum { SLAB_FIRST = 64 * 1024, SLAB_MOST = 2 * 1024 * 1024, SMALL = 4096, LARGEST = 128 * 1024 };

/* A place that was given back. */
struct hole {
    struct hole *next;
};

/* At the begin of one. */
struct slab {
    struct slab *previous, *next; /* of the larger: utlist, of those of its size with room */
    struct hole *holes;           /* of the larger: of its own; */
    size_t used;                  /* bytes of it, holes as well, */
    int taken;                    /* and things in it */
};

struct pool {
    struct slab *slabs;                        /* of small things: the latest first, of which places are taken */
    size_t size, used;                         /* bytes of it */
    struct hole *holes[SMALL / POOL_LINE + 1]; /* by lines */
    struct slab *roomy[LARGEST / POOL_LINE + 1];
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
    /* Larger things have all been given back: of the slabs of their size one at most is left, which is kept. */
    for (int lines = 0; pool != NULL && lines <= LARGEST / POOL_LINE; lines++)
        free(pool->roomy[lines]);
    free(pool);
}

static struct slab *new_slab(size_t size, bool huge) {
    struct slab *slab = aligned_alloc(size, size);
    if (slab == NULL)
        return NULL;
    if (huge)
        madvise(slab, size, MADV_HUGEPAGE); /* where it is not done it is all the same */
    *slab = (struct slab){.used = POOL_LINE};
    return slab;
}

/* ---- small things ------------------------------------------------------------------------------ */

static int add_slab(struct pool *pool) {
    size_t size = pool->slabs == NULL ? SLAB_FIRST : pool->size < SLAB_MOST ? 2 * pool->size : SLAB_MOST;
    struct slab *slab = new_slab(size, size == SLAB_MOST);
    if (slab == NULL)
        return -1;
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->size = size;
    pool->used = POOL_LINE; /* the slab's own */
    return 0;
}

static void *take_small(struct pool *pool, size_t lines) {
    size_t bytes = lines * POOL_LINE;
    void *at = pool->holes[lines];
    if (at != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(at, bytes);
        pool->holes[lines] = pool->holes[lines]->next;
        return at;
    }
    if ((pool->slabs == NULL || pool->used + bytes > pool->size) && add_slab(pool) != 0)
        return NULL;
    at = (char *)pool->slabs + pool->used;
    pool->used += bytes;
    return at;
}

static void give_small(struct pool *pool, struct hole *hole, size_t lines) {
    hole->next = pool->holes[lines];
    pool->holes[lines] = hole;
    ASAN_POISON_MEMORY_REGION(hole, lines * POOL_LINE);
}

/* ---- larger ones ------------------------------------------------------------------------------- */

static bool has_room(const struct slab *slab, size_t bytes) {
    return slab->holes != NULL || slab->used + bytes <= SLAB_MOST;
}

static void *take_large(struct pool *pool, size_t lines) {
    size_t bytes = lines * POOL_LINE;
    struct slab **roomy = &pool->roomy[lines], *slab = *roomy;
    if (slab == NULL) {
        if ((slab = new_slab(SLAB_MOST, false)) == NULL)
            return NULL;
        DL_PREPEND2(*roomy, slab, previous, next);
    }
    void *at = slab->holes;
    if (at != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(at, bytes);
        slab->holes = slab->holes->next;
    } else {
        at = (char *)slab + slab->used;
        slab->used += bytes;
    }
    slab->taken++;
    if (!has_room(slab, bytes))
        DL_DELETE2(*roomy, slab, previous, next);
    return at;
}

/* Of slabs with nothing in them one is kept. */
static void give_large(struct pool *pool, struct hole *hole, size_t lines) {
    struct slab **roomy = &pool->roomy[lines];
    struct slab *slab = (struct slab *)((uintptr_t)hole & ~(uintptr_t)(SLAB_MOST - 1));
    if (!has_room(slab, lines * POOL_LINE))
        DL_PREPEND2(*roomy, slab, previous, next);
    hole->next = slab->holes;
    slab->holes = hole;
    ASAN_POISON_MEMORY_REGION(hole, lines * POOL_LINE);
    if (--slab->taken == 0 && (*roomy)->next != NULL) {
        DL_DELETE2(*roomy, slab, previous, next);
        ASAN_UNPOISON_MEMORY_REGION(slab, SLAB_MOST);
        free(slab);
    }
}

/* ---- all --------------------------------------------------------------------------------------- */

void *pool_take(struct pool *pool, size_t size) {
    size_t lines = lines_of(size), bytes = lines * POOL_LINE;
    if (bytes > LARGEST)
        return aligned_alloc(POOL_LINE, bytes);
    return bytes > SMALL ? take_large(pool, lines) : take_small(pool, lines);
}

void pool_give(struct pool *pool, void *at, size_t size) {
    size_t lines = lines_of(size), bytes = lines * POOL_LINE;
    if (at == NULL)
        return;
    if (bytes > LARGEST)
        free(at);
    else if (bytes > SMALL)
        give_large(pool, at, lines);
    else
        give_small(pool, at, lines);
}
