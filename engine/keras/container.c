#include "engine/keras/container.h"
#include "engine/keras/container_wire.h"
#include "engine/keras/hdf5_lock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the parent's end of the pipe --------------------------------------------------------------- */

struct intake {
    struct container *container;
    int in;
    int64_t deadline; /* CLOCK_MONOTONIC, ms */
    uint64_t budget;
    size_t arrays_room, texts_room;
    bool heard; /* the child has said something */
    bool late;  /* the deadline has passed */
    bool ended; /* there is no more */
};

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* -1 where the child ended or the time is over. */
static int take(struct intake *intake, void *to, size_t size) {
    char *at = to;
    while (size) {
        int64_t left = intake->deadline - now_ms();
        struct pollfd in = {.fd = intake->in, .events = POLLIN};
        int ready = left > 0 ? poll(&in, 1, left > INT_MAX ? INT_MAX : (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            intake->late = true;
            return -1;
        }
        ssize_t n = read(intake->in, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            intake->ended = true;
            return -1;
        }
        intake->heard = true;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static char *take_text(struct intake *intake, size_t size) {
    char *text = malloc(size + 1);
    if (!text || take(intake, text, size) < 0) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

/* Room for one more of n; the array may move. */
static int grow(void **array, size_t n, size_t *room, size_t size) {
    if (n < *room)
        return 0;
    size_t more = *room ? 2 * *room : 64;
    void *moved = realloc(*array, more * size);
    if (!moved)
        return -1;
    *array = moved;
    *room = more;
    return 0;
}

static int take_named_text(struct intake *intake, char *name, size_t size) {
    struct container *container = intake->container;
    char *text = take_text(intake, size);
    if (!text ||
        grow((void **)&container->texts, container->n_texts, &intake->texts_room, sizeof *container->texts) < 0) {
        free(text);
        return -1;
    }
    container->texts[container->n_texts] =
        (struct container_text){.name = name, .text = text, .order = container->n_texts};
    container->n_texts++;
    return 0;
}

static int take_named_array(struct intake *intake, char *name, const struct container_record *record) {
    struct container *container = intake->container;
    struct container_array array = {.name = name, .n_dims = (int)record->n_dims, .n = record->size / sizeof(float)};
    if (record->n_dims < 1 || record->n_dims > CONTAINER_DIMS)
        return -1;
    uint64_t n = 1;
    for (uint32_t i = 0; i < record->n_dims; i++) {
        uint32_t dim = record->dims[i];
        if (dim > INT_MAX || (dim && n > UINT64_MAX / sizeof(float) / dim))
            return -1;
        n *= dim;
        array.dims[i] = (int)dim;
    }
    if (n * sizeof(float) != record->size)
        return -1;
    array.data = malloc(record->size ? record->size : 1);
    if (!array.data || take(intake, array.data, record->size) < 0 ||
        grow((void **)&container->arrays, container->n_arrays, &intake->arrays_room, sizeof *container->arrays) < 0) {
        free(array.data);
        return -1;
    }
    container->arrays[container->n_arrays++] = array;
    return 0;
}

/* The next record. Returns 1 at the end, -1 on failure: err says why where the child said it, else is empty. */
static int take_record(struct intake *intake, struct error *err) {
    struct container_record record;
    struct container *container = intake->container;
    if (take(intake, &record, sizeof record) < 0)
        return -1;
    if (record.kind == CONTAINER_END)
        return 1;
    if (record.kind == CONTAINER_ZIP) {
        container->keras3 = true;
        return 0;
    }
    if (record.name_size >= CONTAINER_NAME_MAX || record.size > intake->budget ||
        container->n_arrays + container->n_texts >= CONTAINER_RECORDS_MAX)
        return -1;
    intake->budget -= record.size;
    char *name = take_text(intake, record.name_size);
    if (!name)
        return -1;
    int failed = -1;
    if (record.kind == CONTAINER_TEXT)
        failed = take_named_text(intake, name, (size_t)record.size);
    else if (record.kind == CONTAINER_ARRAY)
        failed = take_named_array(intake, name, &record);
    else if (record.kind == CONTAINER_ERROR && record.size < sizeof err->text) {
        char *text = take_text(intake, (size_t)record.size);
        if (text)
            error_set(err, "%s", text);
        free(text);
    }
    if (failed)
        free(name);
    return failed;
}

/* ---- a child ------------------------------------------------------------------------------------ */

/* One sentence for each way in which a child may end without having said why. */
static void explain(const struct intake *intake, int status, struct error *err) {
    if (err->text[0])
        return;
    if (intake->late)
        error_set(err, "not a readable file: its parser did not end in time");
    else if (!intake->ended)
        error_set(err, "not a readable file: what its parser gave is too much, or makes no sense");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        error_set(err, "not a readable file: its parser took too much time");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        error_set(err, "not a readable file: its parser tried what a parser does not need");
    else if (WIFSIGNALED(status))
        error_set(err, "not a readable file: its parser died of signal %d", WTERMSIG(status));
    else
        error_set(err, "not a readable file: its parser ended early");
}

/* Reads the open file through a child. Returns 1 where the child never said a word, which one more try may mend. */
static int read_by_child(int file, uint64_t size, struct container *container, struct error *err) {
    int ends[2];
    if (lseek(file, 0, SEEK_SET) < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, "cannot be read: %s", strerror(errno));
    hdf5_lock();
    pid_t child = fork();
    if (child == 0)
        container_child_main(file, size, ends[1]);
    hdf5_unlock();
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return error_set(err, "cannot be read: no process for its parser: %s", strerror(errno));
    }

    struct intake intake = {.container = container, .in = ends[0], .budget = container_budget(size)};
    /* Twice the processor's: what computes on and on is told from what hangs. */
    intake.deadline = now_ms() + 2000 * (int64_t)(CONTAINER_SECONDS + size / CONTAINER_SECOND_BYTES);
    err->text[0] = '\0';
    int result;
    do
        result = take_record(&intake, err);
    while (result == 0);

    close(ends[0]);
    if (result < 0)
        kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (result > 0)
        return 0;
    explain(&intake, status, err);
    return intake.late && !intake.heard ? 1 : -1;
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static int by_array_name(const void *a, const void *b) {
    return strcmp(((const struct container_array *)a)->name, ((const struct container_array *)b)->name);
}

static int by_text_name(const void *a, const void *b) {
    const struct container_text *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order ? order : one->order < other->order ? -1 : one->order > other->order;
}

static int open_file(const char *path, uint64_t *ret_size, struct error *err) {
    struct stat stat;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return error_set(err, "cannot be opened: %s", strerror(errno));
    const char *reason = NULL;
    if (fstat(file, &stat) < 0)
        reason = strerror(errno);
    else if (S_ISDIR(stat.st_mode))
        reason = "is a directory; a model is one file, .keras or .h5";
    else if (!S_ISREG(stat.st_mode))
        reason = "is not a file";
    else if (stat.st_size == 0)
        reason = "is empty";
    else if ((uint64_t)stat.st_size > CONTAINER_FILE_MAX)
        reason = "is larger than 2 GiB";
    if (reason) {
        close(file);
        return error_set(err, "%s", reason);
    }
    *ret_size = (uint64_t)stat.st_size;
    return file;
}

struct container *container_read(const char *path, struct error *err) {
    uint64_t size = 0;
    int file = open_file(path, &size, err);
    if (file < 0)
        return NULL;
    struct container *container = calloc(1, sizeof *container);
    if (!container) {
        close(file);
        error_set(err, "cannot be read: no memory");
        return NULL;
    }
    /* A child that hangs from its beginning has copied a lock that another thread held at the fork: once more. */
    int result = read_by_child(file, size, container, err);
    if (result == 1)
        result = read_by_child(file, size, container, err);
    close(file);
    if (result) {
        container_free(container);
        return NULL;
    }
    if (container->n_arrays)
        qsort(container->arrays, container->n_arrays, sizeof *container->arrays, by_array_name);
    if (container->n_texts)
        qsort(container->texts, container->n_texts, sizeof *container->texts, by_text_name);
    return container;
}

void container_free(struct container *container) {
    if (!container)
        return;
    for (size_t i = 0; i < container->n_arrays; i++) {
        free(container->arrays[i].name);
        free(container->arrays[i].data);
    }
    for (size_t i = 0; i < container->n_texts; i++) {
        free(container->texts[i].name);
        free(container->texts[i].text);
    }
    free(container->arrays);
    free(container->texts);
    free(container);
}

/* The first array whose name is not before this one. */
static size_t first_array(const struct container *container, const char *name) {
    size_t low = 0, high = container->n_arrays;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(container->arrays[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct container_array *container_array(const struct container *container, const char *name) {
    size_t at = first_array(container, name);
    bool found = at < container->n_arrays && strcmp(container->arrays[at].name, name) == 0;
    return found ? &container->arrays[at] : NULL;
}

bool container_has_arrays(const struct container *container, const char *prefix) {
    size_t at = first_array(container, prefix);
    return at < container->n_arrays && strncmp(container->arrays[at].name, prefix, strlen(prefix)) == 0;
}

const struct container_text *container_text(const struct container *container, const char *name, size_t *ret_n) {
    size_t low = 0, high = container->n_texts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(container->texts[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t n = 0;
    while (low + n < container->n_texts && strcmp(container->texts[low + n].name, name) == 0)
        n++;
    if (ret_n)
        *ret_n = n;
    return n ? &container->texts[low] : NULL;
}
