#include "daemon/stored.h"

#include <stdlib.h>
#include <string.h>

struct stored *stored_new(const char *name, size_t n) {
    struct stored *stored = calloc(1, sizeof *stored + n + 1);
    if (stored == NULL)
        return NULL;
    stored->name_length = n;
    memcpy(stored->name, name, n);
    return stored;
}

void stored_free(struct stored *stored) {
    if (stored == NULL)
        return;
    for (int i = 0; i < stored->n_blocks; i++)
        free(stored->blocks[i].bytes);
    free(stored->blocks);
    free(stored->bytes);
    free(stored);
}

int stored_add_block(struct stored *stored, uint64_t number, void *bytes, size_t n) {
    const int held = stored->n_blocks;
    if ((held & (held - 1)) == 0) { /* there is room for a power of two */
        size_t room = held > 0 ? 2 * (size_t)held : 1;
        struct stored_block *blocks = realloc(stored->blocks, room * sizeof *blocks);
        if (blocks == NULL)
            return -1;
        stored->blocks = blocks;
    }
    stored->blocks[stored->n_blocks++] = (struct stored_block){number, bytes, n};
    return 0;
}
