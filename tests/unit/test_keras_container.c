/* Files as arrays and texts, and files that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/keras/container.h"
#include "engine/keras/container_wire.h"
#include "tests/support/keras_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what is read ------------------------------------------------------------------------------- */

static struct container *read_good(const char *path) {
    struct error err = {"none"};
    struct container *container = container_read(path, &err);
    if (!container)
        fail_msg("%s: %s", path, err.text);
    return container;
}

static const char *text(const struct container *container, const char *name, size_t index) {
    size_t n;
    const struct container_text *text = container_text(container, name, &n);
    return text && index < n ? text[index].text : "missing";
}

static void test_hdf5(void **state) {
    (void)state;
    const char *path = temporary_path(0, "a.h5");
    keras_file_h5(path);
    struct container *container = read_good(path);
    assert_false(container->keras3);
    assert_string_equal(text(container, "@keras_version", 0), "2.15.0");
    assert_string_equal(text(container, "@model_config", 0), keras_file_config2);
    assert_string_equal(text(container, "model_weights@layer_names", 0), "memory");
    assert_string_equal(text(container, "model_weights@layer_names", 1), "head");
    assert_string_equal(text(container, "model_weights@layer_names", 2), "missing");
    const struct container_array *bias = container_array(container, "model_weights/memory/cell/bias:0");
    assert_non_null(bias);
    assert_int_equal(bias->n_dims, 1);
    assert_int_equal(bias->dims[0], 12);
    assert_float_equal(bias->data[1], -0.7, 1e-6);
    assert_true(container_has_arrays(container, "model_weights/head/"));
    assert_false(container_has_arrays(container, "layers/"));
    assert_null(container_array(container, "model_weights/memory/cell/bias"));
    container_free(container);
}

static void test_types_and_attributes(void **state) {
    (void)state;
    const char *path = temporary_path(0, "types.h5");
    const float values[] = {-1.5f, 0.25f, 1024, 0};
    const int dims[] = {2, 2}, many[] = {1, 1, 1, 1, 1};
    hid_t half = H5Tcopy(H5T_IEEE_F32LE), file = h5_new(path);
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_ebias(half, 15);
    H5Tset_size(half, 2);
    h5_typed_array(file, "half", half, 2, dims, values);
    h5_typed_array(file, "double", H5T_IEEE_F64BE, 2, dims, values);
    h5_array(file, "of/five/dims", 5, many, values);
    h5_array(file, "optimizer_weights/a", 2, dims, values);
    h5_variable_text(file, "of", "model_config", "{\"a\": \"\xc3\xa9\"}");
    h5_text(file, "of", "weight_names0", "one");
    h5_text(file, "of", "weight_namesake", "none");
    h5_text(file, "of", "training_config", "none");
    H5Lcreate_soft("/half", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("/etc/passwd", "/x", file, "external", H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(half);
    H5Fclose(file);
    struct container *container = read_good(path);
    assert_int_equal(container->n_arrays, 2); /* no link but hard ones, no optimizer, nothing of five dimensions */
    for (int i = 0; i < 2; i++)
        assert_memory_equal(container->arrays[i].data, values, sizeof values);
    assert_int_equal(container->n_texts, 2);
    assert_string_equal(text(container, "of@model_config", 0), "{\"a\": \"\xc3\xa9\"}");
    assert_string_equal(text(container, "of@weight_names0", 0), "one");
    container_free(container);
}

static void test_zip(void **state) {
    (void)state;
    const char *path = temporary_path(0, "a.keras");
    keras_file_zip(path);
    struct container *container = read_good(path);
    assert_true(container->keras3);
    assert_string_equal(text(container, "config.json", 0), keras_file_config3);
    assert_string_equal(text(container, "forecastd.json", 0), "{\"own\": 1}");
    assert_non_null(container_array(container, "layers/lstm/cell/vars/2"));
    container_free(container);
}

/* ---- what is refused ---------------------------------------------------------------------------- */

static void refused(const char *path, const char *sentence) {
    struct error err = {""};
    struct container *container = container_read(path, &err);
    if (container)
        fail_msg("%s was read", path);
    if (!strstr(err.text, sentence))
        fail_msg("%s: \"%s\" does not have \"%s\"", path, err.text, sentence);
}

static void test_what_is_no_model(void **state) {
    (void)state;
    const char *path = temporary_path(0, "none");
    refused(path, "cannot be opened: No such file or directory");
    refused("/tmp", "is a directory");
    file_write(path, "", 0);
    refused(path, "is empty");
    file_write(path, "a", 1);
    refused(path, "neither an HDF5 file nor a .keras file");
    file_write(path, "print('hello')\n", 15);
    refused(path, "neither an HDF5 file nor a .keras file");
    file_write(path, "PK\x03\x04 and so on", 14);
    refused(path, "not a readable .keras file");
    file_write(path, "\x89HDF\r\n\x1a\n and so on", 18);
    refused(path, "not a readable HDF5 file");
    unlink(path);
    mkfifo(path, 0600);
    refused(path, "is not a file");
}

static void test_zips_that_are_no_models(void **state) {
    (void)state;
    const char *path = temporary_path(0, "not.keras");
    zip_new(path, NULL, (const char *[]){"readme.txt", "hello", NULL});
    refused(path, "no member config.json");
    zip_new(path, NULL, (const char *[]){"config.json", "{}", NULL});
    refused(path, "no member model.weights.h5");
    zip_new(path, NULL, (const char *[]){"config.json", "{}", "model.weights.h5", "weights", NULL});
    refused(path, "not a readable HDF5 file");
}

static void test_bombs(void **state) {
    (void)state;
    const char *path = temporary_path(0, "bomb.keras"), *zeros = temporary_path(1, "zeros");
    file_write(zeros, "", 0);
    assert_int_equal(truncate(zeros, 200 << 20), 0);
    zip_new(path, zeros, (const char *[]){"config.json", "{}", NULL});
    refused(path, "member model.weights.h5 is too large for the file that holds it");

    /* A dataset of much that is nowhere written. */
    path = temporary_path(0, "bomb.h5");
    hsize_t dims[] = {1 << 20, 1 << 20}, small[] = {1 << 13, 1 << 13}, chunk[] = {1 << 10, 1 << 10};
    for (int i = 0; i < 2; i++) {
        hid_t file = h5_new(path), create = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_chunk(create, 2, chunk);
        hid_t space = H5Screate_simple(2, i ? small : dims, NULL);
        hid_t set = H5Dcreate2(file, "a", H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT);
        assert_true(set >= 0);
        H5Dclose(set);
        H5Sclose(space);
        H5Pclose(create);
        H5Fclose(file);
        refused(path, "dataset a is too large for the file that holds it");
    }
}

static void test_data_in_other_files(void **state) {
    (void)state;
    const char *path = temporary_path(0, "external.h5");
    hsize_t n = 4;
    hid_t file = h5_new(path), create = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &n, NULL);
    H5Pset_external(create, "/etc/passwd", 0, 16);
    H5Dclose(H5Dcreate2(file, "a", H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT));
    H5Pclose(create);
    H5Sclose(space);
    H5Fclose(file);
    refused(path, "dataset a is kept in another file");
}

static void test_groups_in_a_circle(void **state) {
    (void)state;
    const char *path = temporary_path(0, "circle.h5");
    hid_t file = h5_new(path);
    H5Gclose(H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Lcreate_hard(file, "/", file, "/a/up", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    refused(path, "groups in each other");
}

/* ---- damaged files ------------------------------------------------------------------------------ */

static int runs(int few) {
    const char *text = getenv("FUZZ_RUNS");
    return text ? atoi(text) : few;
}

static int open_files(void) {
    int n = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static bool is_read(const char *path) {
    struct error err = {""};
    struct container *container = container_read(path, &err);
    if (!container) {
        assert_true(strlen(err.text) > 7);
        assert_null(strchr(err.text, '\n'));
    }
    container_free(container);
    return container != NULL;
}

static void make(int kind, const char *path) {
    if (kind)
        keras_file_zip(path);
    else
        keras_file_h5(path);
}

static void test_truncated_files(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        size_t size;
        const char *path = temporary_path(0, "whole"), *cut = temporary_path(1, "cut");
        make(kind, path);
        unsigned char *bytes = file_bytes(path, &size);
        int before = open_files(), steps = runs(40);
        for (int i = 0; i < steps; i++) {
            size_t length = size * (size_t)i / (size_t)steps;
            file_write(cut, bytes, length);
            if (is_read(cut))
                fail_msg("%zu of %zu bytes of kind %d were read", length, size, kind);
        }
        assert_int_equal(open_files(), before);
        free(bytes);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static uint32_t random_next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Whatever is made of it: a sentence or a model, and the process goes on. */
static void test_flipped_bytes(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        size_t size;
        uint32_t random = 1 + (uint32_t)kind;
        const char *path = temporary_path(0, "whole"), *flipped = temporary_path(1, "flipped");
        make(kind, path);
        unsigned char *bytes = file_bytes(path, &size), *copy = malloc(size);
        int refused = 0, n = runs(80);
        for (int i = 0; i < n; i++) {
            memcpy(copy, bytes, size);
            for (uint32_t k = 1 + random_next(&random) % 8; k > 0; k--) {
                uint32_t kinds[] = {0, 1, 0x7f, 0x80, 0xff, random_next(&random)};
                copy[random_next(&random) % size] = (unsigned char)kinds[random_next(&random) % 6];
            }
            file_write(flipped, copy, size);
            refused += !is_read(flipped);
        }
        assert_in_range(refused, n / 20, n);
        free(copy);
        free(bytes);
    }
}

/* ---- what the child may do ---------------------------------------------------------------------- */

/* How a child ends that does this after it has given up its rights. */
static int confined(void (*act)(void)) {
    pid_t child = fork();
    if (child == 0) {
        const char *what;
        prctl(PR_SET_DUMPABLE, 0);
        if (container_confine(1 << 28, 1, &what) < 0)
            _exit(99);
        act();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void open_a_file(void) {
    if (open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM)
        _exit(7);
}

static void open_a_socket(void) {
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void run_a_program(void) {
    execl("/bin/true", "true", NULL);
}

static void make_a_process(void) {
    syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void map_code(void) {
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void take_memory(void) {
    if (mmap(NULL, 1 << 29, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
        mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        _exit(7);
}

static void take_time(void) {
    for (;;)
        ;
}

static void do_nothing(void) {
}

static void test_limits_of_the_child(void **state) {
    (void)state;
    assert_true(WIFEXITED(confined(do_nothing)) && WEXITSTATUS(confined(do_nothing)) == 0);
    int status = confined(open_a_file);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    void (*const deadly[])(void) = {open_a_socket, run_a_program, make_a_process, map_code};
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        status = confined(deadly[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("call %zu ends with %#x", i, status);
    }
    status = confined(take_time);
    assert_true(WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    status = confined(take_memory);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
#else
    (void)take_memory; /* a sanitizer maps too much for a limit */
#endif
}

/* ---- threads ------------------------------------------------------------------------------------ */

static atomic_bool stop;

static void *allocate(void *unused) {
    while (!atomic_load(&stop)) {
        void *block = malloc(100000);
        memset(block, 1, 1000);
        free(block);
    }
    return unused;
}

static void *read_often(void *path) {
    for (int i = 0; i < 10; i++)
        container_free(read_good(path));
    return NULL;
}

/* The C library makes its allocator whole again in a fork's child; that of gcc 12's address sanitizer stays locked if
 * another thread was in it. */
static void test_beside_other_threads(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    print_message(
        "skipped: the address sanitizer's allocator does not survive a fork beside threads that allocate\n");
    skip();
#endif
    char path[256];
    pthread_t threads[6];
    snprintf(path, sizeof path, "%s", temporary_path(0, "threads.keras"));
    keras_file_zip(path);
    atomic_store(&stop, false);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 3 ? allocate : read_often, path), 0);
    for (int i = 5; i >= 0; i--) {
        if (i == 2)
            atomic_store(&stop, true);
        pthread_join(threads[i], NULL);
    }
}

static int teardown(void **state) {
    (void)state;
    temporary_remove();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hdf5),
        cmocka_unit_test(test_types_and_attributes),
        cmocka_unit_test(test_zip),
        cmocka_unit_test(test_what_is_no_model),
        cmocka_unit_test(test_zips_that_are_no_models),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_data_in_other_files),
        cmocka_unit_test(test_groups_in_a_circle),
        cmocka_unit_test(test_truncated_files),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_limits_of_the_child),
        cmocka_unit_test(test_beside_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
