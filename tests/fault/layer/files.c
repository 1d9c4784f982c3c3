/*
 * The C library's operations on files: each asks the plan whether it fails (fail_nth), is done by a system call, and
 * written down (lose_unsynced); the last two under one lock, so that the log has the order of what was done. Files
 * elsewhere than below FAULT_ROOT are left alone.
 *
 * Nothing is really synced: what a crash would leave is made from the log. What streams of stdio write the C library
 * does by itself, and it is not seen here; their files are known by name, and are empty after a crash.
 */
#include "tests/fault/disk_log.h"
#include "tests/fault/layer/layer.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))
/* The same under its name for large files. */
#define ALSO(name) __attribute__((visibility("default"), alias(name)))

enum { MAX_FDS = 65536 };

static char root[PATH_MAX];
static size_t root_length; /* 0: nothing is watched */
static ino_t watched[MAX_FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void open_root(void) {
    const char *given = getenv("FAULT_ROOT");
    if (given == NULL || realpath(given, root) == NULL)
        return;
    root_length = strlen(root);
}

/* ---- which files ---------------------------------------------------------------------------- */

/* The path below the root, without "//" and "/./"; false: it is elsewhere. */
static bool below_root(int folder, const char *path, char ret_below[PATH_MAX]) {
    char whole[2 * PATH_MAX + 2], clean[2 * PATH_MAX + 2];
    size_t n = 0;
    int kept = errno;
    whole[0] = '\0';
    if (root_length == 0 || path == NULL)
        return false;
    if (path[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(folder == AT_FDCWD ? "/proc/self/cwd" : link, whole, PATH_MAX);
        whole[length > 0 ? length : 0] = '\0';
        errno = kept;
    }
    size_t at = strlen(whole);
    snprintf(whole + at, sizeof whole - at, "/%s", path);
    for (const char *from = whole; *from != '\0'; from++) {
        if (from[0] == '/' && from[1] == '/')
            continue;
        if (from[0] == '/' && from[1] == '.' && (from[2] == '/' || from[2] == '\0')) {
            from++;
            continue;
        }
        clean[n++] = *from;
    }
    while (n > 1 && clean[n - 1] == '/')
        n--;
    clean[n] = '\0';
    if (strncmp(clean, root, root_length) != 0 || (clean[root_length] != '/' && clean[root_length] != '\0'))
        return false;
    const char *below = clean + root_length + (clean[root_length] == '/');
    if (strlen(below) >= PATH_MAX)
        return false;
    memcpy(ret_below, below, strlen(below) + 1);
    return true;
}

/* The inode of an open file that is watched, or 0. What was closed behind the layer's back has another by now. */
static ino_t inode_of(int fd) {
    struct stat status;
    int kept = errno;
    if (root_length == 0 || fd < 0 || fd >= MAX_FDS || watched[fd] == 0)
        return 0;
    if (fstat(fd, &status) != 0 || status.st_ino != watched[fd])
        watched[fd] = 0;
    errno = kept;
    return watched[fd];
}

/* Whether the plan says so; then errno is set. */
static bool fails(int kind) {
    int error = fault_comes(kind);
    if (error == 0 || error == FAULT_SHORT)
        return false;
    errno = error;
    return true;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void opened(int fd, const char *below, bool existed, int flags) {
    struct stat status;
    if (fd < 0 || fd >= MAX_FDS || fstat(fd, &status) != 0)
        return;
    watched[fd] = status.st_ino;
    if ((flags & (O_DIRECT | O_SYNC | O_DSYNC)) != 0 && (flags & O_ACCMODE) != O_RDONLY)
        abort(); /* the log knows nothing of them */
    log_path(DISK_OPENED, status.st_ino, (existed ? 0 : DISK_CREATED) | ((flags & O_TRUNC) != 0 ? DISK_EMPTIED : 0),
             below, NULL);
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    char below[PATH_MAX];
    if (!below_root(folder, path, below))
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fails(FAULT_OPEN))
        return -1;
    pthread_mutex_lock(&lock);
    bool existed = (flags & O_CREAT) == 0 || faccessat(folder, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    opened(fd, below, existed, flags);
    pthread_mutex_unlock(&lock);
    return fd;
}

/* The mode comes only with flags that make a file. */
#define MODE_OF(flags) \
    mode_t mode = 0; \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) { \
        va_list args; \
        va_start(args, flags); \
        mode = (mode_t)va_arg(args, int); \
        va_end(args); \
    }

PUBLIC int open(const char *path, int flags, ...) {
    MODE_OF(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

PUBLIC int openat(int folder, const char *path, int flags, ...) {
    MODE_OF(flags)
    return open_at(folder, path, flags, mode);
}

PUBLIC int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int open64(const char *path, int flags, ...) ALSO("open");
int openat64(int folder, const char *path, int flags, ...) ALSO("openat");
int creat64(const char *path, mode_t mode) ALSO("creat");

/* A file of stdio: only that it is there. */
PUBLIC FILE *fopen(const char *path, const char *mode) {
    char below[PATH_MAX];
    FILE *(*really)(const char *, const char *);
    *(void **)&really = dlsym(RTLD_NEXT, "fopen");
    if (!below_root(AT_FDCWD, path, below))
        return really(path, mode);
    if (fails(FAULT_OPEN))
        return NULL;
    pthread_mutex_lock(&lock);
    bool existed = mode[0] == 'r' || access(path, F_OK) == 0;
    FILE *file = really(path, mode);
    if (file != NULL)
        opened(fileno(file), below, existed, mode[0] == 'w' ? O_TRUNC : 0);
    pthread_mutex_unlock(&lock);
    return file;
}

FILE *fopen64(const char *path, const char *mode) ALSO("fopen");

PUBLIC int mkostemp(char *name, int flags) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char *x = name + strlen(name) - 6;
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t number = (uint64_t)now.tv_nsec * UINT64_C(0x9E3779B97F4A7C15);
        for (int i = 0; i < 6; i++, number /= 36)
            x[i] = letters[number % 36];
        int fd = open_at(AT_FDCWD, name, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
}

PUBLIC int mkstemp(char *name) {
    return mkostemp(name, 0);
}

int mkstemp64(char *name) ALSO("mkstemp");
int mkostemp64(char *name, int flags) ALSO("mkostemp");

/* ---- reading and writing -------------------------------------------------------------------- */

PUBLIC ssize_t read(int fd, void *bytes, size_t n) {
    return inode_of(fd) != 0 && fails(FAULT_READ) ? -1 : syscall(SYS_read, fd, bytes, n);
}

/* Whether the byte that cannot be read is among them; then errno is set. */
static bool is_bad(ino_t inode, size_t n, off_t at) {
    const struct fault_plan *plan = fault_plan();
    if (plan == NULL || inode == 0 || atomic_load(&plan->bad_inode) != inode)
        return false;
    long bad = atomic_load(&plan->bad_byte);
    if (bad < at || bad - at >= (long)n)
        return false;
    errno = EIO;
    return true;
}

PUBLIC ssize_t pread(int fd, void *bytes, size_t n, off_t at) {
    ino_t inode = inode_of(fd);
    bool wrong = inode != 0 && (fails(FAULT_READ) || is_bad(inode, n, at));
    return wrong ? -1 : syscall(SYS_pread64, fd, bytes, n, at);
}

ssize_t pread64(int fd, void *bytes, size_t n, off_t at) ALSO("pread");

/* at < 0: where the file stands. */
static ssize_t write_at(ino_t inode, int fd, const void *bytes, size_t n, off_t at) {
    int error = fault_comes(FAULT_WRITE);
    if (error != 0 && error != FAULT_SHORT) {
        errno = error;
        return -1;
    }
    n = error == FAULT_SHORT && n > 1 ? n / 2 : n;
    pthread_mutex_lock(&lock);
    ssize_t done = at < 0 ? syscall(SYS_write, fd, bytes, n) : syscall(SYS_pwrite64, fd, bytes, n, at);
    if (done > 0)
        log_write(inode, at < 0 ? lseek(fd, 0, SEEK_CUR) - done : at, bytes, (size_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

PUBLIC ssize_t write(int fd, const void *bytes, size_t n) {
    ino_t inode = inode_of(fd);
    return inode == 0 ? syscall(SYS_write, fd, bytes, n) : write_at(inode, fd, bytes, n, -1);
}

PUBLIC ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    ino_t inode = inode_of(fd);
    return inode == 0 ? syscall(SYS_pwrite64, fd, bytes, n, at) : write_at(inode, fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t at) ALSO("pwrite");

/* A prefix may be written at any time: the first part is. */
PUBLIC ssize_t writev(int fd, const struct iovec *parts, int n) {
    ino_t inode = inode_of(fd);
    if (inode == 0)
        return syscall(SYS_writev, fd, parts, n);
    int first = 0;
    while (first < n - 1 && parts[first].iov_len == 0)
        first++;
    return n > 0 ? write_at(inode, fd, parts[first].iov_base, parts[first].iov_len, -1) : 0;
}

/* What is written through memory, or inside the kernel, the log would not see. */
PUBLIC void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    if ((protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0 && inode_of(fd) != 0)
        abort();
    long got = syscall(SYS_mmap, at, n, protection, flags, fd, offset);
    return got == -1 ? MAP_FAILED : (void *)got;
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset) ALSO("mmap");

PUBLIC ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags) {
    if (inode_of(to) != 0)
        abort();
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, n, flags);
}

/* ---- sizes ---------------------------------------------------------------------------------- */

PUBLIC int ftruncate(int fd, off_t size) {
    ino_t inode = inode_of(fd);
    if (inode == 0)
        return (int)syscall(SYS_ftruncate, fd, size);
    if (fails(FAULT_SIZE))
        return -1;
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, fd, size);
    if (done == 0)
        log_size(DISK_TRUNCATED, inode, size);
    pthread_mutex_unlock(&lock);
    return done;
}

PUBLIC int truncate(const char *path, off_t size) {
    int fd = open_at(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0), done = fd >= 0 ? ftruncate(fd, size) : -1;
    if (fd >= 0)
        close(fd);
    return done;
}

PUBLIC int fallocate(int fd, int mode, off_t at, off_t n) {
    ino_t inode = inode_of(fd);
    if (inode == 0)
        return (int)syscall(SYS_fallocate, fd, mode, at, n);
    if (fails(FAULT_SIZE))
        return -1;
    struct stat status;
    bool behind = fstat(fd, &status) == 0 && at >= status.st_size;
    if ((mode & ~(FALLOC_FL_KEEP_SIZE | (behind ? FALLOC_FL_PUNCH_HOLE : 0))) != 0)
        abort(); /* the log knows nothing of holes in what was written */
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_fallocate, fd, mode, at, n);
    if (done == 0 && mode == 0)
        log_size(DISK_EXTENDED, inode, at + n);
    pthread_mutex_unlock(&lock);
    return done;
}

PUBLIC int posix_fallocate(int fd, off_t at, off_t n) {
    int kept = errno, error = fallocate(fd, 0, at, n) == 0 ? 0 : errno;
    errno = kept;
    return error;
}

int ftruncate64(int fd, off_t size) ALSO("ftruncate");
int truncate64(const char *path, off_t size) ALSO("truncate");
int fallocate64(int fd, int mode, off_t at, off_t n) ALSO("fallocate");
int posix_fallocate64(int fd, off_t at, off_t n) ALSO("posix_fallocate");

/* ---- syncing -------------------------------------------------------------------------------- */

static int sync_of(ino_t inode) {
    bool failed = fails(FAULT_SYNC);
    int kept = errno, us = fault_plan() != NULL ? atomic_load(&fault_plan()->sync_us) : 0;
    pthread_mutex_lock(&lock);
    log_size(failed ? DISK_NOT_SYNCED : DISK_SYNCED, inode, 0);
    pthread_mutex_unlock(&lock);
    if (us > 0)
        nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000L}, NULL);
    errno = kept;
    return failed ? -1 : 0;
}

PUBLIC int fsync(int fd) {
    ino_t inode = inode_of(fd);
    return inode == 0 ? (int)syscall(SYS_fsync, fd) : sync_of(inode);
}

PUBLIC int fdatasync(int fd) {
    ino_t inode = inode_of(fd);
    return inode == 0 ? (int)syscall(SYS_fdatasync, fd) : sync_of(inode);
}

/* It promises nothing. */
PUBLIC int sync_file_range(int fd, off_t at, off_t n, unsigned flags) {
    return inode_of(fd) == 0 ? (int)syscall(SYS_sync_file_range, fd, at, n, flags) : 0;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* Of two paths one may be elsewhere; the log knows of moves below the root only. */
static int two_names(int kind, long number, int from_folder, const char *from, int to_folder, const char *to,
                     unsigned flags) {
    char below[PATH_MAX], below_to[PATH_MAX];
    bool is_below = below_root(from_folder, from, below), to_is = below_root(to_folder, to, below_to);
    if (!is_below && !to_is)
        return (int)syscall(number, from_folder, from, to_folder, to, flags);
    if (!is_below || !to_is || (kind == DISK_RENAMED && flags > 1 /* RENAME_NOREPLACE */))
        abort();
    if (fails(FAULT_NAME))
        return -1;
    pthread_mutex_lock(&lock);
    int done = (int)syscall(number, from_folder, from, to_folder, to, flags);
    if (done == 0)
        log_path(kind, 0, 0, below, below_to);
    pthread_mutex_unlock(&lock);
    return done;
}

PUBLIC int rename(const char *from, const char *to) {
    return two_names(DISK_RENAMED, SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

PUBLIC int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return two_names(DISK_RENAMED, SYS_renameat2, from_folder, from, to_folder, to, 0);
}

PUBLIC int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    return two_names(DISK_RENAMED, SYS_renameat2, from_folder, from, to_folder, to, flags);
}

PUBLIC int link(const char *from, const char *to) {
    return two_names(DISK_LINKED, SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

PUBLIC int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    return two_names(DISK_LINKED, SYS_linkat, from_folder, from, to_folder, to, (unsigned)flags);
}

static int one_name(int kind, long number, int folder, const char *path, unsigned argument) {
    char below[PATH_MAX];
    if (!below_root(folder, path, below))
        return (int)syscall(number, folder, path, argument);
    if (fails(FAULT_NAME))
        return -1;
    pthread_mutex_lock(&lock);
    int done = (int)syscall(number, folder, path, argument);
    if (done == 0)
        log_path(kind, 0, 0, below, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

PUBLIC int unlinkat(int folder, const char *path, int flags) {
    return one_name(DISK_REMOVED, SYS_unlinkat, folder, path, (unsigned)flags);
}

PUBLIC int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

PUBLIC int rmdir(const char *path) {
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

PUBLIC int remove(const char *path) {
    return unlink(path) == 0 || (errno == EISDIR && rmdir(path) == 0) ? 0 : -1;
}

PUBLIC int mkdirat(int folder, const char *path, mode_t mode) {
    return one_name(DISK_FOLDER, SYS_mkdirat, folder, path, mode);
}

PUBLIC int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}

/* ---- marks ---------------------------------------------------------------------------------- */

/* A program under test that knows of the layer puts a text into the log. */
PUBLIC void fault_mark(const char *text);

void fault_mark(const char *text) {
    pthread_mutex_lock(&lock);
    log_path(DISK_MARK, 0, 0, text, NULL);
    pthread_mutex_unlock(&lock);
}
