/* The child process that parses: reads the file, gives up all rights, sends records. It leaves by _exit only. */
#include "engine/keras/container_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { MEMORY_BASE = 1 << 30 };

static void send_all(const struct container_child *child, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size) {
        ssize_t n = write(child->out, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(2);
        at += n;
        size -= (size_t)n;
    }
}

static void send_record(struct container_child *child, struct container_record record, const char *name,
                        const void *bytes) {
    record.name_size = (uint32_t)strlen(name);
    send_all(child, &record, sizeof record);
    send_all(child, name, record.name_size);
    send_all(child, bytes, record.size);
}

/* Counts a record against what the file may hold. */
static void spend(struct container_child *child, const char *name, size_t size) {
    if (++child->records > CONTAINER_RECORDS_MAX || strlen(name) >= CONTAINER_NAME_MAX || size > child->budget)
        container_fail(child, "%.200s is too much for a file of this size", name);
    child->budget -= size;
}

void container_send_text(struct container_child *child, const char *name, const char *text, size_t size) {
    if (size > CONTAINER_TEXT_MAX)
        container_fail(child, "%.200s is too long", name);
    spend(child, name, size);
    send_record(child, (struct container_record){.kind = CONTAINER_TEXT, .size = size}, name, text);
}

void container_send_array(struct container_child *child, const char *name, int n_dims, const int *dims,
                          const float *data, size_t n) {
    spend(child, name, n * sizeof *data);
    struct container_record record = {.kind = CONTAINER_ARRAY, .n_dims = (uint32_t)n_dims, .size = n * sizeof *data};
    for (int i = 0; i < n_dims; i++)
        record.dims[i] = (uint32_t)dims[i];
    send_record(child, record, name, data);
}

_Noreturn void container_fail(struct container_child *child, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    send_record(child, (struct container_record){.kind = CONTAINER_ERROR, .size = strlen(text)}, "", text);
    _exit(1);
}

/* Keeps two file descriptors only, and no signal handlers. Returns -1 when it cannot. */
static int shed(int *in, int *out) {
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    int high_in = fcntl(*in, F_DUPFD, 3), high_out = fcntl(*out, F_DUPFD, 3);
    if (high_in < 0 || high_out < 0 || dup2(high_in, 0) < 0 || dup2(high_out, 1) < 0 || close_range(2, ~0U, 0) < 0)
        return -1;
    *in = 0;
    *out = 1;
    return 0;
}

static char *read_file(struct container_child *child, int in, size_t size) {
    char *bytes = malloc(size);
    if (!bytes)
        container_fail(child, "a file of %zu bytes does not fit in memory", size);
    for (size_t got = 0; got < size;) {
        ssize_t n = read(in, bytes + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            container_fail(child, n < 0 ? "cannot be read" : "became shorter while it was read");
        got += (size_t)n;
    }
    close(in);
    return bytes;
}

_Noreturn void container_child_main(int in, uint64_t size, int out) {
    struct container_child child = {.budget = container_budget(size)};
    if (shed(&in, &out) < 0)
        _exit(3);
    child.out = out;
    char *bytes = read_file(&child, in, (size_t)size);

    static const char hdf5[8] = "\x89HDF\r\n\x1a\n";
    bool zip = size >= 4 && memcmp(bytes, "PK\x03\x04", 4) == 0;
    if (!zip && (size < sizeof hdf5 || memcmp(bytes, hdf5, sizeof hdf5) != 0))
        container_fail(&child, "neither an HDF5 file nor a .keras file");
    /* What libhdf5 sets up at first use, it sets up before the doors close. */
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0 || H5PLset_loading_state(0) < 0)
        container_fail(&child, "libhdf5 does not start");
    const char *what;
    if (container_confine(MEMORY_BASE + 4 * size, (unsigned)(CONTAINER_SECONDS + size / CONTAINER_SECOND_BYTES),
                          &what) < 0)
        container_fail(&child, "not read, as its parser's %s cannot be limited here", what);

    if (zip) {
        send_record(&child, (struct container_record){.kind = CONTAINER_ZIP}, "", "");
        container_zip(&child, bytes, (size_t)size);
    } else
        container_hdf5(&child, bytes, (size_t)size);
    send_record(&child, (struct container_record){.kind = CONTAINER_END}, "", "");
    _exit(0);
}
