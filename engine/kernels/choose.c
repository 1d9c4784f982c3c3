#include "engine/kernels/levels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>

/* Each implies that the CPU has what those before it need. */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* Intel's Software Developer's Manual, volume 2, CPUID: leaf 7 and its subleaf 1. */
static bool cpu_has_tiles(void) {
    const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24, avx512_bf16 = 1u << 5;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & amx_bf16) == 0 || (d & amx_tile) == 0)
        return false;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx512_bf16) != 0;
}

/* Whether the operating system keeps tile registers (XCR0), and, as it asks for with Linux, lets this process have them.
 * Source: Linux, Documentation/arch/x86/xstate.rst. */
static bool system_gives_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILECFG = 17, XFEATURE_XTILEDATA = 18 };
    const unsigned osxsave = 1u << 27, tiles = 1u << XFEATURE_XTILECFG | 1u << XFEATURE_XTILEDATA;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & osxsave) == 0)
        return false;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    if ((a & tiles) != tiles)
        return false;
#ifdef SYS_arch_prctl
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

/* Asked once: later a filter may not let system calls through. */
static bool has_amx(void) {
    enum { UNKNOWN, ABSENT, PRESENT };
    static atomic_int known = UNKNOWN;
    if (known == UNKNOWN)
        known = has_avx512() && cpu_has_tiles() && system_gives_tiles() ? PRESENT : ABSENT;
    return known == PRESENT;
}
#endif

/* Asked once, as it takes longer than a step. */
size_t kernels_nearest_cache(void) {
    static atomic_long known; /* 0: not yet */
    long bytes = atomic_load_explicit(&known, memory_order_relaxed);
    if (bytes > 0)
        return (size_t)bytes;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
    bytes = bytes > 0 ? bytes / 8 * 7 : 28 << 10;
    atomic_store_explicit(&known, bytes, memory_order_relaxed);
    return (size_t)bytes;
}

enum { N_AGREEING = 3, N_LEVELS = 5 };

/* Those that agree first, the better one later; NULL: not here. */
static const struct kernels *level_at(int index) {
    switch (index) {
    case 0: return &kernels_reference;
#ifdef __x86_64__
    case 1: return has_avx2() ? &kernels_avx2 : NULL;
    case 2: return has_avx512() ? &kernels_avx512 : NULL;
    case 3: return &kernels_plain;
    case 4: return has_amx() ? &kernels_amx : NULL;
#endif
    default: return NULL;
    }
}

const struct kernels *kernels_at(int index) {
    return index < N_AGREEING ? level_at(index) : NULL;
}

const struct kernels *kernels_named(const char *level) {
    for (int i = 0; i < N_LEVELS; i++)
        if (level_at(i) && strcmp(level_at(i)->level, level) == 0)
            return level_at(i);
    return NULL;
}

int kernels_check(struct error *err) {
    const char *forced = getenv("FORECASTD_KERNELS");
    char names[128] = "";
    if (!forced || kernels_named(forced))
        return 0;
    for (int i = 0; i < N_LEVELS; i++)
        if (level_at(i)) {
            strncat(names, i > 0 ? ", " : "", sizeof names - strlen(names) - 1);
            strncat(names, level_at(i)->level, sizeof names - strlen(names) - 1);
        }
    return error_set(err, "FORECASTD_KERNELS=%s: this CPU with this operating system has no such level, only %s",
                     forced, names);
}

const struct kernels *kernels_choose(void) {
    const char *forced = getenv("FORECASTD_KERNELS");
    const struct kernels *named = forced ? kernels_named(forced) : NULL;
    int best = 0;
    if (named)
        return named;
    while (kernels_at(best + 1))
        best++;
#ifdef __x86_64__
    if (has_amx())
        return &kernels_amx;
    if (best == 0) /* the reference's multiply-adds are calls into libm */
        return &kernels_plain;
#endif
    return kernels_at(best);
}
