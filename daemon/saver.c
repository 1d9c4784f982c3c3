#include "daemon/saver.h"

#include "daemon/errand.h"

#include <stdlib.h>

struct saver {
    saver_write *write;
    struct errand errand;

    /* The file at hand: the errand's until it is done. */
    struct version *version;
    char *path, *own;
    struct saver_result result;
};

struct saver *saver_new(saver_write *write, struct doorbell *bus) {
    struct saver *saver = calloc(1, sizeof *saver);
    if (saver == NULL)
        return NULL;
    saver->write = write;
    errand_init(&saver->errand, bus);
    return saver;
}

void saver_free(struct saver *saver) {
    struct saver_result result;
    if (saver == NULL)
        return;
    saver_take(saver, &result);
    free(saver);
}

static void run(void *context) {
    struct saver *saver = context;
    saver->result.failed =
        saver->write(saver->path, version_network(saver->version), saver->own, &saver->result.err) != 0;
}

static void let_go(struct saver *saver) {
    version_release(saver->version);
    free(saver->path);
    free(saver->own);
    saver->version = NULL;
    saver->path = saver->own = NULL;
}

int saver_start(struct saver *saver, uint64_t request, struct version *version, char *path, char *own,
                struct error *err) {
    if (saver->errand.begun) {
        free(path);
        free(own);
        return -1;
    }
    saver->result = (struct saver_result){.request = request, .version = version_number(version)};
    saver->version = version_acquire(version);
    saver->path = path;
    saver->own = own;
    if (path == NULL || errand_begin(&saver->errand, "saver", run, saver) != 0) {
        error_set(err, "save: out of memory or threads");
        let_go(saver);
        return -2;
    }
    return 0;
}

bool saver_has_result(const struct saver *saver) {
    return errand_is_done(&saver->errand);
}

bool saver_take(struct saver *saver, struct saver_result *ret_result) {
    if (!errand_end(&saver->errand))
        return false;
    *ret_result = saver->result;
    let_go(saver);
    return true;
}
