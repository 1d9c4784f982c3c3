#include "daemon/producers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct producers {
    struct producer *at; /* [most] */
    int most, count, clients;
    int64_t idle;
    uint32_t *by_id, *by_identity; /* [mask + 1] place + 1 of the first one of the bucket; 0: none */
    uint32_t mask;
};

static uint64_t hash_of(const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t producers_id_of_name(const char *name, size_t n) {
    return hash_of(name, n) | UINT64_C(1) << 63;
}

struct producers *producers_new(int most, int64_t idle) {
    assert(most <= PRODUCERS_MOST);
    struct producers *producers = calloc(1, sizeof *producers);
    if (producers == NULL)
        return NULL;
    uint32_t buckets = 16;
    while (buckets < (uint32_t)most)
        buckets *= 2;
    *producers = (struct producers){.most = most, .idle = idle, .mask = buckets - 1};
    producers->at = calloc((size_t)most, sizeof *producers->at);
    producers->by_id = calloc(buckets, sizeof *producers->by_id);
    producers->by_identity = calloc(buckets, sizeof *producers->by_identity);
    if (producers->at == NULL || producers->by_id == NULL || producers->by_identity == NULL) {
        producers_free(producers);
        return NULL;
    }
    return producers;
}

void producers_free(struct producers *producers) {
    if (producers == NULL)
        return;
    for (int i = 0; producers->at != NULL && i < producers->most; i++) {
        producer_told(&producers->at[i], producers->at[i].n_refusals, UINT64_MAX);
        free(producers->at[i].refusals);
    }
    free(producers->at);
    free(producers->by_id);
    free(producers->by_identity);
    free(producers);
}

uint32_t producers_place(const struct producers *producers, const struct producer *producer) {
    return (uint32_t)(producer - producers->at);
}

struct producer *producers_at(struct producers *producers, uint32_t place) {
    assert(place < (uint32_t)producers->most);
    return &producers->at[place];
}

/* Its place + 1, and above that how often the place has been another's. */
uint32_t producers_mark(const struct producers *producers, const struct producer *producer) {
    return producer->forgotten * (PRODUCERS_MOST + UINT32_C(1)) + producers_place(producers, producer) + 1;
}

struct producer *producers_marked(struct producers *producers, uint32_t mark) {
    const uint32_t place = mark & PRODUCERS_MOST;
    if (place == 0)
        return NULL;
    struct producer *producer = producers_at(producers, place - 1);
    return producer->id != 0 && producers_mark(producers, producer) == mark ? producer : NULL;
}

int producers_count(const struct producers *producers) {
    return producers->count;
}

int producers_clients(const struct producers *producers) {
    return producers->clients;
}

/* ---- ids ---------------------------------------------------------------------------------------- */

static uint32_t *bucket_of_id(struct producers *producers, uint64_t id) {
    return &producers->by_id[(uint32_t)hash_of(&id, sizeof id) & producers->mask];
}

static void forget(struct producers *producers, struct producer *producer) {
    uint32_t *link = bucket_of_id(producers, producer->id), place = producers_place(producers, producer) + 1;
    while (*link != place)
        link = &producers->at[*link - 1].next_by_id;
    *link = producer->next_by_id;
    producers_unbind(producers, producer);
    producer_told(producer, producer->n_refusals, UINT64_MAX);
    free(producer->refusals);
    *producer = (struct producer){.forgotten = producer->forgotten + 1};
    producers->count--;
}

/* A free place; where there is none, that of the one that was not heard of for longest, if that is long enough. */
static struct producer *free_place(struct producers *producers, int64_t now, uint64_t *ret_forgotten) {
    struct producer *oldest = NULL;
    for (int i = 0; i < producers->most; i++) {
        struct producer *producer = &producers->at[i];
        if (producer->id == 0)
            return producer;
        if (producer->taken == producer->durable && !producer->due &&
            (oldest == NULL || producer->used < oldest->used))
            oldest = producer;
    }
    if (oldest == NULL || now - oldest->used < producers->idle)
        return NULL;
    *ret_forgotten = oldest->id;
    forget(producers, oldest);
    return oldest;
}

struct producer *producers_find(struct producers *producers, uint64_t id) {
    for (uint32_t place = *bucket_of_id(producers, id); place != 0; place = producers->at[place - 1].next_by_id)
        if (producers->at[place - 1].id == id)
            return &producers->at[place - 1];
    return NULL;
}

struct producer *producers_open(struct producers *producers, uint64_t id, int64_t now, uint64_t *ret_forgotten) {
    assert(id != 0);
    *ret_forgotten = 0;
    struct producer *producer = producers_find(producers, id);
    if (producer != NULL) {
        producer->used = now;
        return producer;
    }
    producer = free_place(producers, now, ret_forgotten);
    if (producer == NULL)
        return NULL;
    uint32_t *bucket = bucket_of_id(producers, id);
    *producer = (struct producer){.id = id, .used = now, .forgotten = producer->forgotten, .next_by_id = *bucket};
    *bucket = producers_place(producers, producer) + 1;
    producers->count++;
    return producer;
}

/* ---- clients ------------------------------------------------------------------------------------ */

static uint32_t *bucket_of_identity(struct producers *producers, const void *identity, size_t n) {
    return &producers->by_identity[(uint32_t)hash_of(identity, n) & producers->mask];
}

struct producer *producers_of_client(struct producers *producers, const void *identity, size_t n) {
    for (uint32_t place = *bucket_of_identity(producers, identity, n); place != 0;
         place = producers->at[place - 1].next_by_identity) {
        struct producer *producer = &producers->at[place - 1];
        if (producer->identity_n == n && memcmp(producer->identity, identity, n) == 0)
            return producer;
    }
    return NULL;
}

void producers_unbind(struct producers *producers, struct producer *producer) {
    if (producer->identity_n == 0)
        return;
    uint32_t *link = bucket_of_identity(producers, producer->identity, producer->identity_n);
    while (*link != producers_place(producers, producer) + 1)
        link = &producers->at[*link - 1].next_by_identity;
    *link = producer->next_by_identity;
    producer->next_by_identity = 0;
    producer->identity_n = 0;
    producers->clients--;
}

void producers_bind(struct producers *producers, struct producer *producer, const void *identity, size_t n) {
    assert(n > 0 && n <= PRODUCER_IDENTITY_MOST);
    struct producer *before = producers_of_client(producers, identity, n);
    if (before == producer)
        return;
    if (before != NULL)
        producers_unbind(producers, before);
    producers_unbind(producers, producer);
    memcpy(producer->identity, identity, n);
    producer->identity_n = n;
    uint32_t *bucket = bucket_of_identity(producers, identity, n);
    producer->next_by_identity = *bucket;
    *bucket = producers_place(producers, producer) + 1;
    producers->clients++;
}

/* ---- one of them -------------------------------------------------------------------------------- */

enum producer_verdict producer_judge(const struct producer *producer, uint64_t first, uint64_t count) {
    assert(first > 0 && count > 0);
    if (first == producer->taken + 1)
        return PRODUCER_NEXT;
    return first <= producer->taken && count - 1 <= producer->taken - first ? PRODUCER_REPEATED : PRODUCER_GAP;
}

void producer_refused(struct producer *producer, uint64_t first, uint64_t last, enum reason reason, const char *name,
                      size_t n) {
    if (last <= producer->heard)
        return;
    if (producer->n_refusals == producer->room) {
        size_t room = producer->room == 0 ? 16 : 2 * producer->room;
        struct refusal *refusals = realloc(producer->refusals, room * sizeof *refusals);
        if (refusals == NULL) {
            producer->untold += last - first + 1;
            return;
        }
        producer->refusals = refusals;
        producer->room = room;
    }
    char *stream = n > 0 ? strndup(name, n) : strdup("");
    if (stream == NULL)
        producer->untold += last - first + 1;
    else
        producer->refusals[producer->n_refusals++] = (struct refusal){first, last, reason, stream};
}

static int by_number(const void *a, const void *b) {
    uint64_t x = ((const struct refusal *)a)->first, y = ((const struct refusal *)b)->first;
    return (x > y) - (x < y);
}

/* Those that are in order: what is run behind an image may be run twice (worker_restore). */
static void drop_repeated(struct producer *producer) {
    size_t n = producer->n_told;
    for (size_t i = n; i < producer->n_refusals; i++) {
        if (n > producer->n_told && producer->refusals[i].first == producer->refusals[n - 1].first)
            free(producer->refusals[i].stream);
        else
            producer->refusals[n++] = producer->refusals[i];
    }
    producer->n_refusals = n;
}

size_t producer_refusals(struct producer *producer) {
    /* Workers tell of theirs each in its own time. */
    size_t n = producer->n_told;
    if (producer->n_refusals - n > 1)
        qsort(producer->refusals + n, producer->n_refusals - n, sizeof *producer->refusals, by_number);
    drop_repeated(producer);
    while (n < producer->n_refusals && producer->refusals[n].last <= producer->durable)
        n++;
    return n;
}

/* Of those that were told the ones up to the number go, and of the others those up to `untold`. */
static void drop(struct producer *producer, uint64_t told, uint64_t untold) {
    size_t n = 0, n_told = 0;
    for (size_t i = 0; i < producer->n_refusals; i++) {
        const struct refusal *refusal = &producer->refusals[i];
        const bool is_told = i < producer->n_told;
        if (refusal->last <= (is_told ? told : untold)) {
            free(refusal->stream);
            continue;
        }
        n_told += is_told;
        producer->refusals[n++] = *refusal;
    }
    producer->n_refusals = n;
    producer->n_told = n_told;
}

void producer_told(struct producer *producer, size_t n, uint64_t keep_from) {
    producer->n_told = n;
    /* At least half of them: it is called for each reply. */
    if (n > 0 && producer->refusals[n / 2].last < keep_from)
        drop(producer, keep_from - 1, 0);
}

void producer_replay(struct producer *producer, uint64_t first) {
    if (first <= producer->replayed) {
        producer->forgotten++;
        producer_told(producer, producer->n_refusals, UINT64_MAX);
    }
    producer->replayed = first;
}

void producer_heard(struct producer *producer, uint64_t number) {
    const uint64_t again = number < producer->again ? number : producer->again;
    producer->heard = again > producer->heard ? again : producer->heard;
    producer->says = number != UINT64_MAX;
    drop(producer, number > producer->heard ? number : producer->heard, producer->heard);
}

void producer_tell_again(struct producer *producer, uint64_t keep_from) {
    drop(producer, keep_from - 1, 0);
    producer->n_told = 0;
}
