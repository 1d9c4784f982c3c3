#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/stored.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGE = 1000, BLOCKS = 20 };

static size_t size_of(int block) {
    return (size_t)block * 300 % 2100; /* one of them has nothing */
}

static void check(const void *bytes, size_t n, int what) {
    for (size_t i = 0; i < n; i++)
        assert_int_equal(((const unsigned char *)bytes)[i], what);
}

static void *copy(struct stored *stored, size_t n, int what, size_t all) {
    unsigned char bytes[4096];
    memset(bytes, what, sizeof bytes);
    void *at = stored_copy(stored, bytes, n, all);
    assert_non_null(at);
    return at;
}

/* However much was expected, and where it moves meanwhile, all is there in the end. */
static void copies_are_what_was_copied(void **state) {
    (void)state;
    const size_t expected[] = {0, 1, IMAGE, IMAGE + 1, 5000, 100000};
    for (size_t e = 0; e < sizeof expected / sizeof *expected; e++) {
        struct stored *stored = stored_new("plant/boiler-7", 14);
        stored->bytes = copy(stored, IMAGE, 'i', expected[e]);
        stored->n = IMAGE;
        for (int b = 0; b < BLOCKS; b++) {
            void *bytes = copy(stored, size_of(b), 'a' + b, expected[e]);
            assert_int_equal(stored_add_block(stored, (uint64_t)b + 3, bytes, size_of(b)), 0);
        }
        check(stored->bytes, IMAGE, 'i');
        assert_int_equal(stored->n_blocks, BLOCKS);
        for (int b = 0; b < BLOCKS; b++) {
            assert_int_equal(stored->blocks[b].number, b + 3);
            assert_int_equal(stored->blocks[b].n, size_of(b));
            check(stored->blocks[b].bytes, size_of(b), 'a' + b);
        }
        stored_free(stored);
    }
}

/* As much as was expected stays where it is. */
static void nothing_moves_that_was_expected(void **state) {
    (void)state;
    struct stored *stored = stored_new("plant/boiler-7", 14);
    void *first = copy(stored, IMAGE, 'i', IMAGE + 7);
    copy(stored, 7, 'a', IMAGE + 7);
    assert_ptr_equal(stored->memory, first);
    assert_int_equal(stored->used, IMAGE + 7);
    stored_free(stored);
}

/* A value that has been cut to nothing is a damaged one, not a want of memory. */
static void nothing_is_copied_too(void **state) {
    (void)state;
    struct stored *stored = stored_new("plant/boiler-7", 14);
    assert_non_null(stored_copy(stored, "", 0, 0));
    stored_free(stored);
}

static void what_has_memory_of_its_own_is_freed(void **state) {
    (void)state;
    struct stored *stored = stored_new("plant/boiler-7", 14);
    stored->bytes = malloc(IMAGE);
    for (int b = 0; b < BLOCKS; b++)
        assert_int_equal(stored_add_block(stored, (uint64_t)b, malloc(10), 10), 0);
    stored_free(stored); /* the leak sanitizer sees the rest */
    stored_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_what_was_copied),
        cmocka_unit_test(nothing_moves_that_was_expected),
        cmocka_unit_test(nothing_is_copied_too),
        cmocka_unit_test(what_has_memory_of_its_own_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
