/* In the child: what a parser that went wild can still do is little: compute, and write to the pipe, for a while. */
#include "engine/keras/container_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* A sanitizer maps terabytes of shadow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Bytes that the process has mapped; 0: not known. */
static uint64_t mapped(void) {
    char text[64];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t n = read(file, text, sizeof text - 1);
    close(file);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int limit(int resource, rlim_t value) {
    struct rlimit to;
    if (getrlimit((__rlimit_resource_t)resource, &to) < 0)
        return -1;
    to.rlim_cur = to.rlim_max = value < to.rlim_max ? value : to.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &to);
}

static int filter_calls(void) {
    static const int allowed[] = {
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(close),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        SCMP_SYS(brk),
        SCMP_SYS(exit_group),
        SCMP_SYS(exit),
        SCMP_SYS(futex),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(getrandom),
        SCMP_SYS(restart_syscall),
#if SANITIZED
        SCMP_SYS(sched_yield),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(nanosleep),
        SCMP_SYS(clock_nanosleep),
#endif
    };
    /* What libraries ask for in passing, and can do without: time zones, locales, plug-ins. */
    static const int denied[] = {
        SCMP_SYS(open),       SCMP_SYS(openat), SCMP_SYS(stat),  SCMP_SYS(fstat),
        SCMP_SYS(newfstatat), SCMP_SYS(statx),  SCMP_SYS(lstat), SCMP_SYS(access),
        SCMP_SYS(readlink),   SCMP_SYS(getcwd), SCMP_SYS(ioctl), SCMP_SYS(lseek),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return -1;
    int failed = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++)
        failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
    /* Memory, but none that can be run. */
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |=
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed = failed || seccomp_load(filter) < 0;
    seccomp_release(filter);
    return failed ? -1 : 0;
}

int container_confine(uint64_t memory, unsigned seconds, const char **ret_what) {
    uint64_t now = mapped();
    *ret_what = "memory";
    if (!SANITIZED && (!now || limit(RLIMIT_AS, now + memory) < 0))
        return -1;
    *ret_what = "time";
    if (limit(RLIMIT_CPU, seconds) < 0 || limit(RLIMIT_CORE, 0) < 0)
        return -1;
    *ret_what = "system calls";
    return filter_calls();
}
