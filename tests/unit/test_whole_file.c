#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/whole_file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int files(void) {
    DIR *open = opendir(folder);
    int n = -2; /* . and .. */
    while (readdir(open) != NULL)
        n++;
    closedir(open);
    return n;
}

static void it_is_written_and_read_whole(void **state) {
    (void)state;
    struct error err;
    void *bytes;
    size_t n;
    assert_int_equal(whole_file_write(in_folder("a"), "first", 5, &err), 0);
    assert_int_equal(whole_file_write(in_folder("a"), "sec\0nd", 6, &err), 0); /* over what was there */
    assert_int_equal(whole_file_read(in_folder("a"), &bytes, &n, &err), 0);
    assert_int_equal(n, 6);
    assert_memory_equal(bytes, "sec\0nd", 6);
    free(bytes);
    assert_int_equal(files(), 1);
    assert_int_equal(whole_file_write(in_folder("a"), "", 0, &err), 0);
    assert_int_equal(whole_file_read(in_folder("a"), &bytes, &n, &err), 0);
    assert_int_equal(n, 0);
    free(bytes);
    unlink(in_folder("a"));
}

static void what_cannot_be_written_leaves_nothing(void **state) {
    (void)state;
    struct error err;
    assert_int_equal(whole_file_write(in_folder("none/a"), "x", 1, &err), -1);
    assert_string_equal(err.text, "No such file or directory");
    assert_int_equal(mkdir(in_folder("taken"), 0700), 0);
    assert_int_equal(whole_file_write(in_folder("taken"), "x", 1, &err), -1); /* a folder has the name */
    assert_int_equal(files(), 1);
    assert_int_equal(rmdir(in_folder("taken")), 0);
    /* What another process was writing is nobody else's. */
    char beside[128];
    snprintf(beside, sizeof beside, "%s/a.%ld.0" WHOLE_FILE_UNFINISHED, folder, (long)getpid());
    fclose(fopen(beside, "w"));
    assert_int_equal(whole_file_write(in_folder("a"), "x", 1, &err), 0);
    assert_int_equal(files(), 2);
    unlink(beside);
    unlink(in_folder("a"));
}

static void none_is_told_from_what_cannot_be_read(void **state) {
    (void)state;
    struct error err;
    void *bytes;
    size_t n;
    assert_int_equal(whole_file_read(in_folder("none"), &bytes, &n, &err), 1);
    assert_int_equal(whole_file_read(folder, &bytes, &n, &err), -1);
    assert_string_equal(err.text, "Is a directory");
}

static void a_folder_is_made_once(void **state) {
    (void)state;
    struct error err;
    assert_int_equal(whole_file_folder(in_folder("new"), &err), 0);
    assert_int_equal(whole_file_folder(in_folder("new"), &err), 0);
    rmdir(in_folder("new"));
    assert_int_equal(whole_file_folder(in_folder("none/new"), &err), -1);
    assert_non_null(strstr(err.text, "none/new: No such file"));
}

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_whole_file.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_written_and_read_whole),
        cmocka_unit_test(what_cannot_be_written_leaves_nothing),
        cmocka_unit_test(none_is_told_from_what_cannot_be_read),
        cmocka_unit_test(a_folder_is_made_once),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
