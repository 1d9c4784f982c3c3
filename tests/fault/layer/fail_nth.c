/* Fails the N-th operation: the plan, and allocations. */
#include "tests/fault/layer/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

/* The C library's own, below those that are taken over here. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *at, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

/* ---- the plan ------------------------------------------------------------------------------- */

static struct fault_plan *plan;
static uintptr_t text_begin, text_end, program_at; /* of the program itself, without its libraries */

struct fault_plan *fault_plan(void) {
    return plan;
}

/* The first that is told of is the program. */
static int find_text(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size, (void)context;
    program_at = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0) {
            text_begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            text_end = text_begin + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

__attribute__((constructor)) static void open_plan(void) {
    const char *path = getenv("FAULT_PLAN");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return;
    dl_iterate_phdr(find_text, NULL);
    plan = at;
}

int fault_comes(int kind) {
    if (plan == NULL || (atomic_load(&plan->kinds) & kind) == 0)
        return 0;
    int error = atomic_load(&plan->error);
    if (error == FAULT_SHORT && kind != FAULT_WRITE)
        return 0;
    long number = atomic_fetch_add(&plan->seen, 1) + 1;
    if (number < atomic_load(&plan->from) || number > atomic_load(&plan->to))
        return 0;
    atomic_fetch_add(&plan->failed, 1);
    return error;
}

/* For a program under test that knows of the layer. */
PUBLIC long fault_seen(void);

long fault_seen(void) {
    return plan != NULL ? atomic_load(&plan->seen) : 0;
}

/* ---- allocations ---------------------------------------------------------------------------- */

static bool refused(const void *caller) {
    uintptr_t at = (uintptr_t)caller;
    if (plan == NULL || at < text_begin || at >= text_end || fault_comes(FAULT_ALLOCATION) == 0)
        return false;
    atomic_store(&plan->where, at - program_at - 1); /* in the call, not behind it */
    errno = ENOMEM;
    return true;
}

#define REFUSED() refused(__builtin_return_address(0))

PUBLIC void *malloc(size_t n) {
    return REFUSED() ? NULL : __libc_malloc(n);
}

PUBLIC void *calloc(size_t n, size_t each) {
    return REFUSED() ? NULL : __libc_calloc(n, each);
}

PUBLIC void *realloc(void *at, size_t n) {
    return REFUSED() ? NULL : __libc_realloc(at, n);
}

PUBLIC void *aligned_alloc(size_t alignment, size_t n) {
    return REFUSED() ? NULL : __libc_memalign(alignment, n);
}

PUBLIC int posix_memalign(void **ret_at, size_t alignment, size_t n) {
    void *at = REFUSED() ? NULL : __libc_memalign(alignment, n);
    if (at == NULL)
        return ENOMEM;
    *ret_at = at;
    return 0;
}

static char *copy_of(const char *text, size_t n) {
    char *copy = __libc_malloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

PUBLIC char *strdup(const char *text) {
    return REFUSED() ? NULL : copy_of(text, strlen(text));
}

PUBLIC char *strndup(const char *text, size_t n) {
    return REFUSED() ? NULL : copy_of(text, strnlen(text, n));
}

PUBLIC int vasprintf(char **ret_text, const char *format, va_list args) {
    if (REFUSED())
        return -1;
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = n >= 0 ? __libc_malloc((size_t)n + 1) : NULL;
    if (text == NULL)
        return -1;
    vsnprintf(text, (size_t)n + 1, format, args);
    *ret_text = text;
    return n;
}

PUBLIC int asprintf(char **ret_text, const char *format, ...) {
    if (REFUSED())
        return -1;
    va_list args;
    va_start(args, format);
    int n = vasprintf(ret_text, format, args);
    va_end(args);
    return n;
}
