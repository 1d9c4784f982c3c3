#include "engine/version.h"

#include "engine/image.h"

#include <stdatomic.h>
#include <stdlib.h>

struct version {
    atomic_uint references;
    uint64_t number, weights;
    struct network *network;
    float *ridge;
    struct version *of; /* whose the network and the ridge are, with a reference; NULL: its own */
};

static struct version *version_alloc(uint64_t number, struct network *network) {
    struct version *version = malloc(sizeof *version);
    if (version == NULL)
        return NULL;
    atomic_init(&version->references, 1);
    version->number = number;
    version->weights = 0;
    version->network = network;
    version->ridge = NULL;
    version->of = NULL;
    return version;
}

struct version *version_new(uint64_t number, struct network *network) {
    if (network != NULL && network_pack(network, kernels_choose()) != 0)
        return NULL;
    struct version *version = version_alloc(number, network);
    if (version != NULL && network != NULL)
        version->weights = image_sum(network_params_const(network), network_n_params(network) * sizeof(float));
    return version;
}

struct version *version_again(uint64_t number, struct version *of) {
    struct version *version = version_alloc(number, of->network);
    if (version == NULL)
        return NULL;
    version->weights = of->weights;
    version->ridge = of->ridge;
    version->of = version_acquire(of->of != NULL ? of->of : of);
    return version;
}

struct version *version_acquire(struct version *version) {
    atomic_fetch_add_explicit(&version->references, 1, memory_order_relaxed);
    return version;
}

void version_release(struct version *version) {
    /* The last one to let go must see all that the others did with it. */
    if (version == NULL || atomic_fetch_sub_explicit(&version->references, 1, memory_order_acq_rel) != 1)
        return;
    if (version->of != NULL) {
        version_release(version->of);
    } else {
        network_free(version->network);
        free(version->ridge);
    }
    free(version);
}

uint64_t version_weights(const struct version *version) {
    return version->weights;
}

uint64_t version_number(const struct version *version) {
    return version->number;
}

const struct network *version_network(const struct version *version) {
    return version->network;
}

void version_set_ridge(struct version *version, float *coefficients) {
    version->ridge = coefficients;
}

const float *version_ridge(const struct version *version) {
    return version->ridge;
}
