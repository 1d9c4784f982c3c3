#include "daemon/streams.h"

#include <assert.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define HASH_NONFATAL_OOM 1 /* what has no room is not added: its hh.tbl is NULL */
#include <uthash.h>
#include <utlist.h>

/* An ended stream's name and generation. */
struct ended {
    UT_hash_handle hh;
    uint32_t generation;
    int leaving; /* the worker that has not let go of it yet; -1: none */
    size_t n;
    char name[];
};

/* A place of the index: names are compared only where their hashes are the same. */
struct indexed {
    uint64_t hash;
    struct stream *stream; /* NULL: free */
};

struct streams {
    const struct config *config;
    struct pool *pool;     /* of the streams */
    struct stream *first;  /* utlist, in order of starting */
    struct stream *walked; /* the next one of streams_walk; NULL: the first */
    struct indexed *index; /* [places] a stream lies behind the place of its hash, with no free one between */
    size_t places, n;      /* a power of two, at least twice as many as streams, */
    size_t reserved;       /* with those that are to come */
    uint64_t seed;         /* of hashes, so that no sender can know them */
    struct ended *ended;   /* uthash, the oldest first */
    int64_t most_ended;
    uint32_t forgotten; /* the highest generation of a forgotten name */
    int64_t *count;     /* [n_classes] */
};

enum { PLACES_FIRST = 64 };

struct streams *streams_new(const struct config *config) {
    struct streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL)
        return NULL;
    streams->config = config;
    streams->pool = pool_new();
    streams->count = calloc((size_t)config->n_classes, sizeof *streams->count);
    streams->places = PLACES_FIRST;
    streams->index = calloc(streams->places, sizeof *streams->index);
    if (streams->pool == NULL || streams->count == NULL || streams->index == NULL) {
        pool_free(streams->pool);
        free(streams->count);
        free(streams->index);
        free(streams);
        return NULL;
    }
    if (getrandom(&streams->seed, sizeof streams->seed, GRND_NONBLOCK) != (ssize_t)sizeof streams->seed)
        streams->seed = (uint64_t)(uintptr_t)streams; /* early at boot: then by where it lies */
    for (int c = 0; c < config->n_classes; c++)
        streams->most_ended += config->classes[c].max_streams;
    return streams;
}

void streams_free(struct streams *streams) {
    if (streams == NULL)
        return;
    struct stream *stream, *next;
    DL_FOREACH_SAFE(streams->first, stream, next)
    stream_free(stream);
    struct ended *ended, *next_ended;
    HASH_ITER (hh, streams->ended, ended, next_ended) {
        HASH_DEL(streams->ended, ended);
        free(ended);
    }
    pool_free(streams->pool);
    free(streams->count);
    free(streams->index);
    free(streams);
}

struct pool *streams_pool(const struct streams *streams) {
    return streams->pool;
}

/* ---- the index ------------------------------------------------------------------------------ */

/* Eight bytes at a time: each is multiplied in, and its high bits folded down. */
uint64_t streams_hash(const struct streams *streams, const char *name, size_t n) {
    const uint64_t odd = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t hash = (streams->seed ^ n) * odd, word;
    for (; n >= sizeof word; name += sizeof word, n -= sizeof word) {
        memcpy(&word, name, sizeof word);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, name, n);
    hash = (hash ^ word) * odd;
    hash ^= hash >> 32;
    hash *= odd;
    return hash ^ hash >> 29;
}

/* The place of the stream with that name, or the free one where it would be. */
static size_t find_place(const struct streams *streams, uint64_t hash, const char *name, size_t n) {
    size_t place = hash & (streams->places - 1);
    for (;; place = (place + 1) & (streams->places - 1)) {
        const struct indexed *at = &streams->index[place];
        if (at->stream == NULL ||
            (at->hash == hash && at->stream->name_length == n && memcmp(at->stream->text, name, n) == 0))
            return place;
    }
}

struct stream *streams_find_hashed(const struct streams *streams, uint64_t hash, const char *name, size_t n) {
    return streams->index[find_place(streams, hash, name, n)].stream;
}

struct stream *streams_find(const struct streams *streams, const char *name, size_t n) {
    return streams_find_hashed(streams, streams_hash(streams, name, n), name, n);
}

void streams_fetch_place(const struct streams *streams, uint64_t hash) {
    __builtin_prefetch(&streams->index[hash & (streams->places - 1)]);
}

void streams_fetch(const struct streams *streams, uint64_t hash) {
    const struct indexed *at = &streams->index[hash & (streams->places - 1)];
    if (at->stream == NULL)
        return;
    __builtin_prefetch(&at->stream->name);
}

int streams_reserve(struct streams *streams) {
    if (2 * (streams->n + streams->reserved + 1) <= streams->places) {
        streams->reserved++;
        return 0;
    }
    struct streams grown = *streams;
    grown.places *= 2;
    grown.index = calloc(grown.places, sizeof *grown.index);
    if (grown.index == NULL)
        return -1;
    for (size_t place = 0; place < streams->places; place++) {
        const struct indexed *at = &streams->index[place];
        if (at->stream != NULL)
            grown.index[find_place(&grown, at->hash, at->stream->text, at->stream->name_length)] = *at;
    }
    free(streams->index);
    *streams = grown;
    streams->reserved++;
    return 0;
}

void streams_unreserve(struct streams *streams) {
    streams->reserved--;
}

/* Those behind the freed place move up, as far as their hashes allow. */
static void free_place(struct streams *streams, size_t freed) {
    size_t mask = streams->places - 1;
    for (size_t place = (freed + 1) & mask; streams->index[place].stream != NULL; place = (place + 1) & mask)
        if (((place - streams->index[place].hash) & mask) >= ((place - freed) & mask)) {
            streams->index[freed] = streams->index[place];
            freed = place;
        }
    streams->index[freed] = (struct indexed){0};
}

/* ---- streams -------------------------------------------------------------------------------- */

int streams_class_of(const struct streams *streams, const char *name) {
    for (int c = 0; c < streams->config->n_classes; c++)
        if (fnmatch(streams->config->classes[c].pattern, name, 0) == 0)
            return c;
    return -1;
}

uint32_t streams_generation(const struct streams *streams, const char *name, size_t n) {
    struct ended *ended;
    HASH_FIND(hh, streams->ended, name, n, ended);
    return (ended != NULL ? ended->generation : streams->forgotten) + 1;
}

int streams_leaving(const struct streams *streams, const char *name, size_t n) {
    struct ended *ended;
    HASH_FIND(hh, streams->ended, name, n, ended);
    return ended != NULL ? ended->leaving : -1;
}

void streams_left(struct streams *streams, const struct stream *stream) {
    struct ended *ended;
    HASH_FIND(hh, streams->ended, stream->name, stream->name_length, ended);
    if (ended != NULL && ended->generation == stream->generation)
        ended->leaving = -1;
}

void streams_add(struct streams *streams, struct stream *stream) {
    uint64_t hash = streams_hash(streams, stream->name, stream->name_length);
    size_t place = find_place(streams, hash, stream->name, stream->name_length);
    assert(streams->index[place].stream == NULL && streams->reserved > 0 && 2 * (streams->n + 1) <= streams->places);
    streams->reserved--;
    streams->index[place] = (struct indexed){hash, stream};
    streams->n++;
    DL_APPEND2(streams->first, stream, previous, next);
    streams->count[stream->class]++;
}

static void forget(struct streams *streams, struct ended *ended) {
    if (ended->generation > streams->forgotten)
        streams->forgotten = ended->generation;
    HASH_DEL(streams->ended, ended);
    free(ended);
}

static void remember(struct streams *streams, const struct stream *stream) {
    struct ended *ended;
    HASH_FIND(hh, streams->ended, stream->name, stream->name_length, ended);
    if (ended != NULL)
        HASH_DEL(streams->ended, ended); /* added anew: the youngest now */
    else
        ended = malloc(sizeof *ended + stream->name_length);
    if (ended != NULL) {
        ended->generation = stream->generation;
        ended->leaving = stream->worker;
        ended->n = stream->name_length;
        memcpy(ended->name, stream->name, ended->n);
        HASH_ADD_KEYPTR(hh, streams->ended, ended->name, ended->n, ended);
    }
    if (ended == NULL || ended->hh.tbl == NULL) {
        /* Without memory for the name: all later streams come after it. */
        if (stream->generation > streams->forgotten)
            streams->forgotten = stream->generation;
        free(ended);
        return;
    }
    if ((int64_t)HASH_COUNT(streams->ended) > streams->most_ended)
        forget(streams, streams->ended);
}

void streams_take_out(struct streams *streams, struct stream *stream) {
    closer_forget(stream);
    uint64_t hash = streams_hash(streams, stream->name, stream->name_length);
    free_place(streams, find_place(streams, hash, stream->name, stream->name_length));
    streams->n--;
    if (streams->walked == stream)
        streams->walked = stream->next;
    DL_DELETE2(streams->first, stream, previous, next);
    streams->count[stream->class]--;
}

void streams_remove(struct streams *streams, struct stream *stream) {
    streams_take_out(streams, stream);
    remember(streams, stream);
}

struct stream *streams_walk(struct streams *streams) {
    struct stream *stream = streams->walked != NULL ? streams->walked : streams->first;
    streams->walked = stream != NULL ? stream->next : NULL;
    return stream;
}

int64_t streams_count(const struct streams *streams) {
    return (int64_t)streams->n;
}

int64_t streams_count_of(const struct streams *streams, int class) {
    return streams->count[class];
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const struct stream *const *)a)->name, (*(const struct stream *const *)b)->name);
}

int streams_page(const struct streams *streams, const char *prefix, const char *after, int most,
                 const struct stream **ret_streams, bool *ret_more) {
    size_t prefix_length = strlen(prefix);
    int n = 0;
    *ret_more = false;
    for (const struct stream *stream = streams->first; stream != NULL; stream = stream->next) {
        if (strncmp(stream->name, prefix, prefix_length) != 0 || strcmp(stream->name, after) <= 0)
            continue;
        ret_streams[n++] = stream;
        if (n < 2 * most + 1)
            continue;
        /* Sorting now and then keeps the first ones, without ever sorting all. */
        qsort(ret_streams, (size_t)n, sizeof *ret_streams, by_name);
        n = most;
        *ret_more = true;
    }
    qsort(ret_streams, (size_t)n, sizeof *ret_streams, by_name);
    *ret_more |= n > most;
    return n < most ? n : most;
}
