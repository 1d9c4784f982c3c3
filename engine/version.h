/*
 * A numbered version of a model: its network, constant from here on, shared by whoever serves it; or none, where the
 * baseline is to serve.
 * Counted references; any thread may acquire and release.
 */
#ifndef ENGINE_VERSION_H
#define ENGINE_VERSION_H

#include "engine/network.h"

#include <stdint.h>

struct version;

/* Packs the network's weights for the kernels, and takes it (NULL: none) over, with one reference. NULL (and the
 * network stays the caller's) when memory is short. */
struct version *version_new(uint64_t number, struct network *network);
/* The same network under another number, as where an older version serves again. NULL when memory is short. */
struct version *version_again(uint64_t number, struct version *of);
struct version *version_acquire(struct version *version); /* returns its argument */
void version_release(struct version *version);            /* NULL is fine */

/* Before it is shared: the coefficients of the pooled ridge (pooled.h), which are the version's from then on; NULL:
 * none. */
void version_set_ridge(struct version *version, float *coefficients);
const float *version_ridge(const struct version *version);

uint64_t version_number(const struct version *version);
/* A sum of the network's parameters: two versions with the same one have the same network. 0 without one. */
uint64_t version_weights(const struct version *version);
const struct network *version_network(const struct version *version); /* NULL: none */

#endif
