/*
 * The table of streams by name, and what is remembered of ended ones. Bus thread only.
 */
#ifndef DAEMON_STREAMS_H
#define DAEMON_STREAMS_H

#include "daemon/stream.h"

#include <stddef.h>
#include <stdint.h>

struct streams;

/* NULL when memory is short. */
struct streams *streams_new(const struct config *config);
/* Frees the table and the streams in it. */
void streams_free(struct streams *streams);

struct stream *streams_find(const struct streams *streams, const char *name, size_t n);

/* The same in parts, for who knows ahead what will be looked for: the hash of a name; asking for the memory that finding it
 * will touch, of the index, and, where that has been asked for some time before, of the stream; finding it. */
uint64_t streams_hash(const struct streams *streams, const char *name, size_t n);
void streams_fetch_place(const struct streams *streams, uint64_t hash);
void streams_fetch(const struct streams *streams, uint64_t hash);
struct stream *streams_find_hashed(const struct streams *streams, uint64_t hash, const char *name, size_t n);

/* The first class whose pattern matches the name (NUL-terminated); -1: none. */
int streams_class_of(const struct streams *streams, const char *name);

/* The generation of a stream that begins now: above that of any ended stream of the name. */
uint32_t streams_generation(const struct streams *streams, const char *name, size_t n);

/* The worker that has not let go yet of the ended stream of the name; -1: none. The next generation belongs there,
 * behind it, so that generations come in order. */
int streams_leaving(const struct streams *streams, const char *name, size_t n);
/* A worker has let go of the stream, which was removed before. */
void streams_left(struct streams *streams, const struct stream *stream);

/* Where its streams lie: for stream_new. */
struct pool *streams_pool(const struct streams *streams);

/* Room for one more stream, beside those that it was made for before, until that is added, or will not be. Returns 0, or -1
 * when memory is short. */
int streams_reserve(struct streams *streams);
void streams_unreserve(struct streams *streams);
/* Takes the stream over, for which there is room. */
void streams_add(struct streams *streams, struct stream *stream);
/* Gives it up, and remembers its generation: of as many ended names as there may be streams, the oldest
 * forgotten first (a later stream of a forgotten name still gets a higher generation). */
void streams_remove(struct streams *streams, struct stream *stream);

/* Takes it out without remembering anything: it goes to the store. */
void streams_take_out(struct streams *streams, struct stream *stream);

/* Each by turns, in a circle; NULL: there is none. */
struct stream *streams_walk(struct streams *streams);

int64_t streams_count(const struct streams *streams);
int64_t streams_count_of(const struct streams *streams, int class);

/* The first of the streams in order of name that begin with prefix and come after `after` ("" for all): up to most of
 * them into ret_streams [2 * most + 1]. Returns their number; *ret_more says whether there are further ones. */
int streams_page(const struct streams *streams, const char *prefix, const char *after, int most,
                 const struct stream **ret_streams, bool *ret_more);

#endif
