/* Writes the log of what was done to files, from which disk.c makes what a crash would have left. */
#include "tests/fault/disk_log.h"
#include "tests/fault/layer/layer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int log_fd = -1;

__attribute__((constructor)) static void open_log(void) {
    const char *path = getenv("FAULT_LOG");
    if (path != NULL)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* One system call for a record: a process that is killed leaves whole ones. */
static void put(struct disk_record record, const void *first, size_t n_first, const void *second, size_t n_second) {
    static const char zeros[8];
    if (log_fd < 0)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    record.time = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    record.n = n_first + n_second;
    record.padding = (8 - record.n % 8) % 8;
    union {
        const void *constant;
        void *base;
    } at_first = {first}, at_second = {second}, at_zeros = {zeros};
    const struct iovec parts[] = {{&record, sizeof record},
                                  {at_first.base, n_first},
                                  {at_second.base, n_second},
                                  {at_zeros.base, record.padding}};
    if (syscall(SYS_writev, log_fd, parts, 4) != (long)(sizeof record + record.n + record.padding))
        abort(); /* a log that is not whole proves nothing */
}

void log_path(int kind, ino_t inode, int flags, const char *path, const char *to) {
    const struct disk_record record = {.kind = (uint32_t)kind, .flags = (uint32_t)flags, .inode = inode};
    put(record, path, strlen(path) + 1, to, to != NULL ? strlen(to) + 1 : 0);
}

void log_write(ino_t inode, off_t offset, const void *bytes, size_t n) {
    put((struct disk_record){.kind = DISK_WRITTEN, .inode = inode, .at = (uint64_t)offset}, bytes, n, NULL, 0);
}

void log_size(int kind, ino_t inode, off_t size) {
    put((struct disk_record){.kind = (uint32_t)kind, .inode = inode, .at = (uint64_t)size}, NULL, 0, NULL, 0);
}
