/* The layer below programs under test, and the disks that are made from its log. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/fault/disk.h"
#include "tests/fault/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- what runs under the layer -------------------------------------------------------------- */

#define MUST(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #what, strerror(errno)); \
            _exit(1); \
        } \
    } while (0)

static int folder_fd(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(fd >= 0);
    return fd;
}

static void put_file(int folder, const char *name, const char *text, bool sync) {
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0);
    MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    MUST(!sync || fsync(fd) == 0);
    MUST(close(fd) == 0);
}

/* A file is published as it should be, and once more without one of the two syncs. */
static void publish(const char *root) {
    int folder = folder_fd(root);
    MUST(mkdirat(folder, "below", 0700) == 0);
    put_file(folder, "file", "one", true);
    MUST(fsync(folder) == 0);
    fault_note("one");
    put_file(folder, "file~", "two", true);
    MUST(renameat(folder, "file~", folder, "file") == 0);
    fault_note("moved");
    MUST(fsync(folder) == 0);
    fault_note("two");
    put_file(folder, "file~", "three", false);
    MUST(renameat(folder, "file~", folder, "file") == 0);
    MUST(fsync(folder) == 0);
    fault_note("three");
    int below = folder_fd(".//below/.");
    put_file(below, "unseen", "bytes", true);
    MUST(unlinkat(folder, "file", 0) == 0);
    fault_note("end");
}

/* Appends numbered lines, syncs every tenth, and goes on after failures; says what each said. */
static void append(const char *root) {
    char path[PATH_MAX], line[600];
    snprintf(path, sizeof path, "%s/log", root);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), folder = folder_fd(root);
    MUST(fd >= 0 && fsync(folder) == 0);
    for (int i = 0; i < 100; i++) {
        int n = snprintf(line, sizeof line, "%0599d", i);
        struct iovec parts[] = {{line, 0}, {line, (size_t)n}};
        ssize_t done = i % 2 ? write(fd, line, (size_t)n) : writev(fd, parts, 2);
        if (done != n)
            fault_note("line %d: %zd %s", i, done, done < 0 ? strerror(errno) : "");
        if (i % 10 == 9)
            fault_note("%s %d", fdatasync(fd) == 0 ? "synced" : "not synced", i + 1);
    }
}

static void *volatile kept;

/* Allocates in its own text and in the C library's. */
static void allocate(const char *root) {
    (void)root;
    for (int i = 0; i < 5; i++) {
        char *text;
        kept = malloc(3);
        MUST((kept == NULL) == (i == 0));
        kept = calloc(3, 1);
        MUST((kept == NULL) == (i == 0));
        kept = realloc(NULL, 8);
        MUST((kept == NULL) == (i == 0));
        MUST((asprintf(&text, "%d", i) < 0) == (i == 0));
        MUST((kept = strdup("x")) != NULL || i == 0);
        MUST((kept = fopen("/dev/null", "r")) != NULL); /* in a library */
    }
}

/* ---- what the tests look at ----------------------------------------------------------------- */

static struct fault fault;

/* What the file has after a crash, until the next call; "-": it is not there. */
static const char *left(const struct disk *disk, enum disk_crash crash, uint64_t seed, const char *name) {
    static char text[100000];
    char path[256];
    disk_leave(disk, crash, seed, fault.left);
    snprintf(path, sizeof path, "%s/%s", fault.left, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        snprintf(text, sizeof text, "-");
    else
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
    if (file != NULL)
        fclose(file);
    disk_remove_folder(fault.left);
    return text;
}

static void step_to(struct disk *disk, const char *mark) {
    struct disk_step step;
    while (disk_step(disk, &step))
        if (step.kind == DISK_MARK && strcmp(step.path, mark) == 0)
            return;
    fail_msg("the log has no mark %s", mark);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_only_what_was_synced(void **state) {
    (void)state;
    assert_int_equal(fault_run_self(&fault, "publish", NULL), 0);
    struct disk *disk = disk_new(fault.log, NULL);
    step_to(disk, "one");
    assert_string_equal(left(disk, DISK_DROPPED, 0, "file"), "one");
    step_to(disk, "moved");
    assert_string_equal(left(disk, DISK_DROPPED, 0, "file"), "one");
    assert_string_equal(left(disk, DISK_DROPPED, 0, "file~"), "-");
    assert_string_equal(left(disk, DISK_WRITTEN_OUT, 0, "file"), "two");
    bool one = false, two = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        const char *text = left(disk, DISK_TORN, seed, "file");
        one |= strcmp(text, "one") == 0;
        two |= strcmp(text, "two") == 0;
        assert_true(strcmp(text, "one") == 0 || strcmp(text, "two") == 0);
    }
    assert_true(one && two);
    step_to(disk, "two");
    assert_string_equal(left(disk, DISK_DROPPED, 0, "file"), "two");
    step_to(disk, "three"); /* its bytes were not synced */
    assert_string_equal(left(disk, DISK_DROPPED, 0, "file"), "");
    assert_string_equal(left(disk, DISK_WRITTEN_OUT, 0, "file"), "three");
    step_to(disk, "end"); /* the folder above was not synced */
    assert_string_equal(left(disk, DISK_DROPPED, 0, "file"), "");
    assert_string_equal(left(disk, DISK_DROPPED, 0, "below/unseen"), "-");
    assert_string_equal(left(disk, DISK_WRITTEN_OUT, 0, "file"), "-");
    assert_string_equal(left(disk, DISK_WRITTEN_OUT, 0, "below/unseen"), "bytes");
    disk_free(disk);
}

/* Whole lines up to what was synced, whatever else there is. */
static void check_lines(const char *text, int synced) {
    for (int i = 0; i < synced; i++) {
        char line[600];
        snprintf(line, sizeof line, "%0599d", i);
        assert_memory_equal(text + i * 599, line, 599);
    }
}

static void test_torn_ends(void **state) {
    (void)state;
    assert_int_equal(fault_run_self(&fault, "append", NULL), 0);
    struct disk *disk = disk_new(fault.log, NULL);
    int synced = 0, torn = 0;
    uint64_t seed = 0;
    for (struct disk_step step; disk_step(disk, &step);) {
        bool mark = step.kind == DISK_MARK;
        if (mark)
            assert_int_equal(sscanf(step.path, "synced %d", &synced), 1);
        if (synced == 0 || disk_syncs(disk) % 3 != 0)
            continue;
        if (mark)
            assert_int_equal(strlen(left(disk, DISK_DROPPED, 0, "log")), synced * 599);
        const char *text = left(disk, DISK_TORN, ++seed, "log");
        check_lines(text, synced);
        torn += strlen(text) % 599 != 0;
    }
    assert_int_equal(synced, 100);
    assert_true(torn > 3);
    disk_free(disk);
}

/* Errors are told, and what a failed sync was to bring is not on the disk, nor later. */
static void test_operations_fail(void **state) {
    (void)state;
    fault_set(&fault, FAULT_SYNC, EIO, 3, 3); /* the folder's is the first */
    assert_int_equal(fault_run_self(&fault, "append", NULL), 0);
    assert_int_equal(atomic_load(&fault.plan->failed), 1);
    struct disk *disk = disk_new(fault.log, NULL);
    step_to(disk, "not synced 20");
    step_to(disk, "synced 30");
    check_lines(left(disk, DISK_DROPPED, 0, "log"), 10);
    const char *text = left(disk, DISK_DROPPED, 0, "log");
    assert_int_equal(text[10 * 599], '\0');
    assert_int_equal(strlen(text), 10 * 599);
    disk_free(disk);
}

static void test_writes_fail(void **state) {
    (void)state;
    static const struct {
        int error;
        const char *mark;
    } cases[] = {{ENOSPC, "line 3: -1 No space left on device"}, {FAULT_SHORT, "line 3: 299 "}};
    for (int i = 0; i < 2; i++) {
        fault_set(&fault, FAULT_WRITE, cases[i].error, 4, 4);
        assert_int_equal(fault_run_self(&fault, "append", NULL), 0);
        struct disk *disk = disk_new(fault.log, NULL);
        step_to(disk, cases[i].mark);
        assert_int_equal(unlink(fault.log), 0);
        disk_free(disk);
    }
}

static void test_allocations_fail(void **state) {
    (void)state;
    fault_set(&fault, FAULT_ALLOCATION, ENOMEM, 1, 5);
    assert_int_equal(fault_run_self(&fault, "allocate", NULL), 0);
    assert_int_equal(atomic_load(&fault.plan->failed), 5);
    assert_int_equal(atomic_load(&fault.plan->seen), 25);
    assert_non_null(strstr(fault_where(&fault, NULL), "allocate"));
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(const char *root);
    } parts[] = {{"publish", publish}, {"append", append}, {"allocate", allocate}};
    for (size_t i = 0; argc > 2 && i < sizeof parts / sizeof *parts; i++)
        if (strcmp(argv[1], parts[i].name) == 0) {
            MUST(chdir(argv[2]) == 0);
            parts[i].run(argv[2]);
            return 0;
        }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_only_what_was_synced, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_torn_ends, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_operations_fail, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_writes_fail, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_allocations_fail, fault_set_up, fault_tear_down, &fault),
    };
    return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
