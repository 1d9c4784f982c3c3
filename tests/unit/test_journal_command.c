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
        if (what == JOURNALED_IMPORT)
            continue; /* below */
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

static struct stored *some_image(size_t n, int n_blocks) {
    struct stored *stored = stored_new("plant/boiler-7", 14);
    assert_non_null(stored);
    stored->oldest = 3;
    stored->n = n;
    stored->bytes = malloc(n);
    memset(stored->bytes, 'i', n);
    for (int b = 0; b < n_blocks; b++) {
        size_t size = (size_t)(100 * b);
        void *bytes = malloc(size + 1);
        memset(bytes, 'a' + b, size);
        assert_int_equal(stored_add_block(stored, (uint64_t)(3 + b), bytes, size), 0);
    }
    return stored;
}

static void test_an_import_has_its_image(void **state) {
    (void)state;
    for (int n_blocks = 0; n_blocks < 4; n_blocks++) {
        struct image image = {0};
        struct error err;
        struct stored *stored = some_image(1000, n_blocks);
        struct journal_command read;
        write_one((struct journal_command){.what = JOURNALED_IMPORT, .stream = "plant/boiler-7", .image = stored},
                  &image);
        assert_int_equal(journal_command_read(&read, image.bytes, image.n, &err), 0);
        assert_string_equal(read.image->name, "plant/boiler-7");
        assert_int_equal(read.image->oldest, 3);
        assert_int_equal(read.image->n, 1000);
        assert_memory_equal(read.image->bytes, stored->bytes, 1000);
        assert_int_equal(read.image->n_blocks, n_blocks);
        for (int b = 0; b < n_blocks; b++) {
            assert_int_equal(read.image->blocks[b].number, 3 + b);
            assert_int_equal(read.image->blocks[b].n, 100 * b);
            assert_memory_equal(read.image->blocks[b].bytes, stored->blocks[b].bytes, (size_t)(100 * b));
        }
        free(read.values);
        stored_free(read.image);
        for (size_t i = 0; i < image.n; i += 7) { /* and what is damaged is refused */
            image.bytes[i] ^= 4;
            assert_int_equal(journal_command_read(&read, image.bytes, image.n, &err), -1);
            image.bytes[i] ^= 4;
        }
        stored_free(stored);
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
        cmocka_unit_test(test_an_import_has_its_image),
        cmocka_unit_test(test_names_of_all_lengths),
        cmocka_unit_test(test_damage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
