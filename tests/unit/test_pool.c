#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "daemon/pool.h"
#include "engine/random.h"

#include <malloc.h>
#include <string.h>

enum { THINGS = 20000 };

struct thing {
    unsigned char *at;
    size_t size;
};

static void check(const struct thing *thing, int i) {
    for (size_t b = 0; b < thing->size; b++)
        assert_int_equal(thing->at[b], (unsigned char)i);
}

/* Some megabytes of things, of sizes up to more than a slab has room for, with their own bytes in each. */
static void things_are_apart(void **state) {
    (void)state;
    static struct thing things[THINGS];
    struct pool *pool = pool_new();
    assert_non_null(pool);
    struct rng rng = {1};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < THINGS; i++) {
            if (things[i].at != NULL)
                continue;
            things[i].size = 1 + (size_t)rng_below(&rng, i % 1000 == 0 ? 100000 : 700);
            unsigned char *at = things[i].at = pool_take(pool, things[i].size);
            assert_non_null(at);
            assert_int_equal((uintptr_t)at % POOL_LINE, 0);
            memset(at, i, things[i].size);
        }
        for (int i = 0; i < THINGS; i++)
            check(&things[i], i);
        for (int i = round; i < THINGS; i += 2) {
            pool_give(pool, things[i].at, things[i].size);
            things[i].at = NULL;
        }
    }
    for (int i = 0; i < THINGS; i++) /* what is larger than a slab's places is by itself, and is given back */
        pool_give(pool, things[i].at, things[i].size);
    pool_free(pool);
}

/* Bytes taken from malloc; 0 under a sanitizer. */
static size_t in_use(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Megabytes of larger things, of two sizes, those of a slab side by side. A slab that has nothing in it any more is freed, and
 * one of each size is kept: in the end there is as much as when there was one thing of each. */
static void larger_things_have_slabs_of_their_size(void **state) {
    (void)state;
    enum { LARGE = 400, SIZE = 20000, OTHER = 30000 };
    static unsigned char *things[LARGE];
    struct pool *pool = pool_new();
    things[0] = pool_take(pool, OTHER);
    things[1] = pool_take(pool, SIZE);
    size_t few = in_use() + 1000; /* what else takes a little */
    for (int i = 0; i < 2; i++)
        memset(things[i], i, i == 0 ? OTHER : SIZE);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < LARGE; i++) {
            if (things[i] != NULL)
                continue;
            things[i] = pool_take(pool, i % 4 == 0 ? OTHER : SIZE);
            assert_non_null(things[i]);
            assert_int_equal((uintptr_t)things[i] % POOL_LINE, 0);
            memset(things[i], i, i % 4 == 0 ? OTHER : SIZE);
        }
        for (int i = 0; i < LARGE; i++)
            check(&(struct thing){things[i], i % 4 == 0 ? OTHER : SIZE}, i);
        for (int i = round; i < LARGE; i += round == 1 ? 1 : 2) {
            pool_give(pool, things[i], i % 4 == 0 ? OTHER : SIZE);
            things[i] = NULL;
        }
    }
    for (int i = 0; i < LARGE; i++)
        pool_give(pool, things[i], i % 4 == 0 ? OTHER : SIZE);
    for (int i = 0; i < LARGE; i++)
        things[i] = pool_take(pool, SIZE);
    for (int i = 0; i < LARGE; i += 100) { /* a slab that was full has room again */
        pool_give(pool, things[i], SIZE);
        assert_ptr_equal(pool_take(pool, SIZE), things[i]);
    }
    for (int i = 0; i < LARGE; i++)
        pool_give(pool, things[i], SIZE);
    assert_true(in_use() <= few);
    unsigned char *first = pool_take(pool, SIZE), *second = pool_take(pool, SIZE);
    pool_give(pool, first, SIZE);
    unsigned char *other = pool_take(pool, OTHER);
    assert_ptr_not_equal(other, first);
    assert_ptr_equal(pool_take(pool, SIZE), first);
    pool_give(pool, first, SIZE);
    pool_give(pool, second, SIZE);
    pool_give(pool, other, OTHER);
    pool_free(pool);
    memset(things, 0, sizeof things);
}

static void what_is_given_back_is_taken_again(void **state) {
    (void)state;
    struct pool *pool = pool_new();
    void *first = pool_take(pool, 200), *second = pool_take(pool, 200), *other = pool_take(pool, 300);
    pool_give(pool, first, 200);
#if defined(__SANITIZE_ADDRESS__)
    assert_true(__asan_address_is_poisoned(first)); /* whoever looks at it is told */
#endif
    assert_ptr_not_equal(pool_take(pool, 300), first);
    assert_ptr_equal(pool_take(pool, 193), first); /* of as many lines */
    assert_ptr_not_equal(pool_take(pool, 200), second);
    pool_give(pool, NULL, 200);
    pool_give(pool, other, 300);
    pool_free(pool);
    pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_are_apart),
        cmocka_unit_test(larger_things_have_slabs_of_their_size),
        cmocka_unit_test(what_is_given_back_is_taken_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
