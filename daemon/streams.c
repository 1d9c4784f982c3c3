#include "daemon/streams.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* An ended stream's name and generation. */
struct ended {
    UT_hash_handle hh;
    uint32_t generation;
    int leaving; /* the worker that has not let go of it yet; -1: none */
    size_t n;
    char name[];
};

struct streams {
    const struct config *config;
    struct stream *by_name; /* uthash, also in order of starting */
    struct ended *ended;    /* uthash, the oldest first */
    int64_t most_ended;
    uint32_t forgotten; /* the highest generation of a forgotten name */
    int64_t *count;     /* [n_classes] */
};

struct streams *streams_new(const struct config *config) {
    struct streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL)
        return NULL;
    streams->config = config;
    streams->count = calloc((size_t)config->n_classes, sizeof *streams->count);
    if (streams->count == NULL) {
        free(streams);
        return NULL;
    }
    for (int c = 0; c < config->n_classes; c++)
        streams->most_ended += config->classes[c].max_streams;
    return streams;
}

void streams_free(struct streams *streams) {
    if (streams == NULL)
        return;
    struct stream *stream, *next;
    HASH_ITER (hh, streams->by_name, stream, next) {
        HASH_DEL(streams->by_name, stream);
        stream_free(stream);
    }
    struct ended *ended, *next_ended;
    HASH_ITER (hh, streams->ended, ended, next_ended) {
        HASH_DEL(streams->ended, ended);
        free(ended);
    }
    free(streams->count);
    free(streams);
}

struct stream *streams_find(const struct streams *streams, const char *name, size_t n) {
    struct stream *stream;
    HASH_FIND(hh, streams->by_name, name, n, stream);
    return stream;
}

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
    HASH_ADD_KEYPTR(hh, streams->by_name, stream->name, stream->name_length, stream);
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
    if (ended == NULL) {
        /* Without memory for the name: all later streams come after it. */
        if (stream->generation > streams->forgotten)
            streams->forgotten = stream->generation;
        return;
    }
    ended->generation = stream->generation;
    ended->leaving = stream->worker;
    ended->n = stream->name_length;
    memcpy(ended->name, stream->name, ended->n);
    HASH_ADD_KEYPTR(hh, streams->ended, ended->name, ended->n, ended);
    if ((int64_t)HASH_COUNT(streams->ended) > streams->most_ended)
        forget(streams, streams->ended);
}

void streams_remove(struct streams *streams, struct stream *stream) {
    HASH_DEL(streams->by_name, stream);
    streams->count[stream->class]--;
    remember(streams, stream);
}

int64_t streams_count(const struct streams *streams) {
    return (int64_t)HASH_COUNT(streams->by_name);
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
    for (const struct stream *stream = streams->by_name; stream != NULL; stream = stream->hh.next) {
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
