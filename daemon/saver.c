#include "daemon/saver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct saver {
    saver_write *write;
    struct doorbell *bus;

    /* The file at hand: the thread's until `written`. */
    bool begun;
    pthread_t thread;
    atomic_bool written;
    struct version *version;
    char *path, *own;
    struct saver_result result;
};

struct saver *saver_new(saver_write *write, struct doorbell *bus) {
    struct saver *saver = calloc(1, sizeof *saver);
    if (saver == NULL)
        return NULL;
    saver->write = write;
    saver->bus = bus;
    atomic_init(&saver->written, false);
    return saver;
}

void saver_free(struct saver *saver) {
    struct saver_result result;
    if (saver == NULL)
        return;
    saver_take(saver, &result);
    free(saver);
}

static void *run(void *context) {
    struct saver *saver = context;
    saver->result.failed =
        saver->write(saver->path, version_network(saver->version), saver->own, &saver->result.err) != 0;
    atomic_store_explicit(&saver->written, true, memory_order_release);
    doorbell_ring(saver->bus);
    return NULL;
}

static void let_go(struct saver *saver) {
    version_release(saver->version);
    free(saver->path);
    free(saver->own);
    saver->version = NULL;
    saver->path = saver->own = NULL;
    saver->begun = false;
}

int saver_start(struct saver *saver, uint64_t request, struct version *version, char *path, char *own,
                struct error *err) {
    if (saver->begun) {
        free(path);
        free(own);
        return -1;
    }
    saver->result = (struct saver_result){.request = request, .version = version_number(version)};
    saver->version = version_acquire(version);
    saver->path = path;
    saver->own = own;
    atomic_store_explicit(&saver->written, false, memory_order_relaxed);
    if (path == NULL || pthread_create(&saver->thread, NULL, run, saver) != 0) {
        error_set(err, "save: out of memory or threads");
        let_go(saver);
        return -2;
    }
    pthread_setname_np(saver->thread, "saver");
    saver->begun = true;
    return 0;
}

bool saver_has_result(const struct saver *saver) {
    return saver->begun && atomic_load_explicit(&saver->written, memory_order_acquire);
}

bool saver_take(struct saver *saver, struct saver_result *ret_result) {
    if (!saver->begun)
        return false;
    pthread_join(saver->thread, NULL);
    *ret_result = saver->result;
    let_go(saver);
    return true;
}
