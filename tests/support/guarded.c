#include "tests/support/guarded.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t pages_size(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n * sizeof(float) + page - 1) / page * page;
}

float *guarded_new(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = pages_size(n);
    char *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + size, page, PROT_NONE) != 0)
        abort();
    return (float *)(void *)(map + size) - n;
}

float *guarded_copy(size_t n, const float *from) {
    float *floats = guarded_new(n);
    memcpy(floats, from, n * sizeof *floats);
    return floats;
}

void guarded_free(size_t n, float *floats) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = pages_size(n);
    if (floats)
        munmap((char *)(floats + n) - size, size + page);
}
