#include "daemon/errand.h"

#include <assert.h>
#include <stddef.h>

void errand_init(struct errand *errand, struct doorbell *bus) {
    *errand = (struct errand){.bus = bus};
    atomic_init(&errand->done, false);
}

static void *run(void *context) {
    struct errand *errand = context;
    errand->work(errand->context);
    atomic_store_explicit(&errand->done, true, memory_order_release);
    doorbell_ring(errand->bus);
    return NULL;
}

int errand_begin(struct errand *errand, const char *name, void (*work)(void *context), void *context) {
    assert(!errand->begun);
    errand->work = work;
    errand->context = context;
    atomic_store_explicit(&errand->done, false, memory_order_relaxed);
    if (pthread_create(&errand->thread, NULL, run, errand) != 0)
        return -1;
    pthread_setname_np(errand->thread, name);
    errand->begun = true;
    return 0;
}

bool errand_is_done(const struct errand *errand) {
    return errand->begun && atomic_load_explicit(&errand->done, memory_order_acquire);
}

bool errand_end(struct errand *errand) {
    if (!errand->begun)
        return false;
    pthread_join(errand->thread, NULL);
    errand->begun = false;
    return true;
}
