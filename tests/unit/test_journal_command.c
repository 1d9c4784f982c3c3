/* Commands and takeovers in the journal: what is written is read, and what is damaged is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/journal_command.h"

#include <stdlib.h>
#include <string.h>

static void write_one(struct journal_command command, struct image *image) {
    assert_int_equal(journal_command_write(&command, image), 0);
}

static void test_each_comes_back(void **state) {
    (void)state;
    float values[] = {1.5f, -2, 0};
    for (int what = 0; what < N_JOURNALED; what++) {
        struct image image = {0};
        struct error err;
        struct journal_command command = {.what = what,
                                          .generation = 7,
                                          .stream = "plant/boiler-7",
                                          .model = "m",
                                          .version = 3,
                                          .began = 100,
                                          .step = 107,
                                          .n = what == JOURNALED_STATE ? 3 : 0,
                                          .values = what == JOURNALED_STATE ? values : NULL};
        struct journal_command read;
        write_one(command, &image);
        assert_int_equal(journal_command_read(&read, image.bytes, image.n, &err), 0);
        assert_int_equal(read.what, what);
        assert_int_equal(read.generation, 7);
        assert_string_equal(read.stream, "plant/boiler-7");
        assert_string_equal(read.model, "m");
        assert_int_equal(read.version, 3);
        assert_int_equal(read.began, 100);
        assert_int_equal(read.step, 107);
        assert_int_equal(read.n, command.n);
        assert_memory_equal(read.values, values, read.n * sizeof *values);
        free(read.values);
        image_free(&image);
    }
}

static void test_names_of_all_lengths(void **state) {
    (void)state;
    struct image image = {0};
    struct error err;
    struct journal_command command = {.what = JOURNALED_RESET}, read;
    memset(command.stream, 'x', WIRE_MAX_NAME);
    write_one(command, &image);
    assert_int_equal(journal_command_read(&read, image.bytes, image.n, &err), 0);
    assert_int_equal(strlen(read.stream), WIRE_MAX_NAME);
    assert_string_equal(read.model, "");
    free(read.values);
    image_free(&image);
}

static void test_damage_is_refused(void **state) {
    (void)state;
    struct image image = {0};
    struct error err;
    struct journal_command read;
    write_one((struct journal_command){.what = JOURNALED_PAUSE, .stream = "a"}, &image);
    for (size_t i = 0; i < image.n; i++) {
        image.bytes[i] ^= 4;
        assert_int_equal(journal_command_read(&read, image.bytes, image.n, &err), -1);
        image.bytes[i] ^= 4;
        assert_int_equal(journal_command_read(&read, image.bytes, i, &err), -1);
    }
    image_free(&image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_comes_back),
        cmocka_unit_test(test_names_of_all_lengths),
        cmocka_unit_test(test_damage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
