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
    for (int i = 0; stored->memory == NULL && i < stored->n_blocks; i++)
        free(stored->blocks[i].bytes);
    free(stored->blocks);
    free(stored->memory != NULL ? stored->memory : stored->bytes);
    free(stored);
}

/* Most streams have no more of them. A power of two. */
enum { FIRST_BLOCKS = 8 };

int stored_add_block(struct stored *stored, uint64_t number, void *bytes, size_t n) {
    const int held = stored->n_blocks;
    if (held == 0 || (held >= FIRST_BLOCKS && (held & (held - 1)) == 0)) { /* there is room for a power of two */
        size_t room = held > 0 ? 2 * (size_t)held : FIRST_BLOCKS;
        struct stored_block *blocks = realloc(stored->blocks, room * sizeof *blocks);
        if (blocks == NULL)
            return -1;
        stored->blocks = blocks;
    }
    stored->blocks[stored->n_blocks++] = (struct stored_block){number, bytes, n};
    return 0;
}

/* What has been copied moves along. */
static int grow(struct stored *stored, size_t room) {
    char *memory = malloc(room);
    if (memory == NULL)
        return -1;
    if (stored->used > 0)
        memcpy(memory, stored->memory, stored->used);
    for (int i = 0; i < stored->n_blocks; i++)
        stored->blocks[i].bytes = memory + ((char *)stored->blocks[i].bytes - stored->memory);
    if (stored->bytes != NULL)
        stored->bytes = memory + ((char *)stored->bytes - stored->memory);
    free(stored->memory);
    stored->memory = memory;
    stored->room = room;
    return 0;
}

void *stored_copy(struct stored *stored, const void *bytes, size_t n, size_t all) {
    size_t least = stored->used + n;
    size_t room = stored->used > 0 ? 2 * least : all + 1; /* never of size zero */
    if ((stored->memory == NULL || least > stored->room) && grow(stored, room > least ? room : least) != 0)
        return NULL;
    char *copy = stored->memory + stored->used;
    memcpy(copy, bytes, n);
    stored->used += n;
    return copy;
}
