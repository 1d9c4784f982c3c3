#include "engine/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names beside the file that are tried. */
enum { ATTEMPTS = 100 };

static int write_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0 && errno != EINTR)
            return -1;
        if (put > 0) {
            bytes += put;
            n -= (size_t)put;
        }
    }
    return 0;
}

/* So that the name is on disk as the contents are. */
static int sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash == path ? strdup("/") : slash != NULL ? strndup(path, (size_t)(slash - path)) : strdup(".");
    int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, failed = -1;
    if (fd >= 0) {
        failed = fsync(fd) != 0 && errno != EINVAL ? -1 : 0; /* EINVAL: a file system that has nothing to sync */
        int kept = errno;
        close(fd);
        errno = kept;
    }
    free(folder);
    return failed;
}

/* Opens a new file beside; its name goes to ret_name, which has room. */
static int open_beside(const char *path, char *ret_name) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        sprintf(ret_name, "%s.%ld.%d" WHOLE_FILE_UNFINISHED, path, (long)getpid(), attempt);
        int fd = open(ret_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

int whole_file_write(const char *path, const void *bytes, size_t n, struct error *err) {
    char *beside = malloc(strlen(path) + 40);
    if (beside == NULL)
        return error_set(err, "out of memory");
    int fd = open_beside(path, beside), failed = -1;
    if (fd < 0) {
        error_set(err, "%s", strerror(errno));
        goto free_name;
    }
    failed = write_all(fd, bytes, n) != 0 || fsync(fd) != 0 ? error_set(err, "%s", strerror(errno)) : 0;
    if (close(fd) != 0 && failed == 0)
        failed = error_set(err, "%s", strerror(errno));
    if (failed == 0 && rename(beside, path) != 0)
        failed = error_set(err, "%s", strerror(errno));
    if (failed != 0)
        unlink(beside);
    else if (sync_folder(path) != 0)
        failed = error_set(err, "its folder cannot be synced: %s", strerror(errno));
free_name:
    free(beside);
    return failed;
}

static int read_all(int fd, char *bytes, size_t n) {
    while (n > 0) {
        ssize_t got = read(fd, bytes, n);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got == 0) {
            errno = EIO; /* it has become shorter */
            return -1;
        }
        if (got > 0) {
            bytes += got;
            n -= (size_t)got;
        }
    }
    return 0;
}

int whole_file_read(const char *path, void **ret_bytes, size_t *ret_n, struct error *err) {
    struct stat about;
    char *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int failed = errno == ENOENT ? 1 : -1;
        error_set(err, "%s", strerror(errno));
        return failed;
    }
    if (fstat(fd, &about) != 0 || (bytes = malloc((size_t)about.st_size + 1)) == NULL ||
        read_all(fd, bytes, (size_t)about.st_size) != 0) {
        error_set(err, "%s", strerror(errno));
        free(bytes);
        close(fd);
        return -1;
    }
    close(fd);
    *ret_bytes = bytes;
    *ret_n = (size_t)about.st_size;
    return 0;
}

int whole_file_folder(const char *path, struct error *err) {
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return error_set(err, "cannot make %s: %s", path, strerror(errno));
    return sync_folder(path) == 0 ? 0 : error_set(err, "%s cannot be synced: %s", path, strerror(errno));
}
