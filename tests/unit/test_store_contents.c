/* A list of RocksDB's files that a crash of the machine has torn, and one that is damaged. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/store_contents.h"
#include "engine/whole_file.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRIES = 20 };

/* A store with entries as a crash leaves it, its database, and its list as text. */
struct left {
    struct store_scene scene;
    char path[300], list[400], kept[420], torn[420]; /* kept: of what was cut; torn: while it is being cut */
    char *bytes;
    size_t n;
};

static void leave(struct left *left, void (*live)(struct store_scene *scene)) {
    struct store_scene *scene = &left->scene;
    char command[700];
    void *text;
    size_t n;
    struct error err;
    store_scene_open(scene);
    store_scene_reopen(scene); /* a list that ends with what a database can do without */
    for (int i = 1; i <= ENTRIES; i++)
        store_scene_append(scene, i);
    store_hurry(scene->store);
    for (int64_t began = 0; store_durable(scene->store) < ENTRIES;)
        assert_true(rig_wait(&began));
    if (live != NULL)
        live(scene);
    snprintf(command, sizeof command, "cp -a %s %s-copy", scene->folder, scene->folder);
    assert_int_equal(system(command), 0);
    store_close(scene->store);
    scene->store = NULL;
    snprintf(command, sizeof command, "rm -r %s && mv %s-copy %s", scene->folder, scene->folder, scene->folder);
    assert_int_equal(system(command), 0);
    snprintf(left->path, sizeof left->path, "%s/db", scene->folder);
    snprintf(left->list, sizeof left->list, "%s/CURRENT", left->path);
    assert_int_equal(whole_file_read(left->list, &text, &n, &err), 0);
    snprintf(left->list, sizeof left->list, "%s/%.*s", left->path, (int)n - 1, (const char *)text);
    free(text);
    snprintf(left->kept, sizeof left->kept, "%s~cut", left->list);
    snprintf(left->torn, sizeof left->torn, "%s~torn", left->list);
    assert_int_equal(whole_file_read(left->list, &text, &left->n, &err), 0);
    left->bytes = text;
}

static void put_list(const struct left *left, size_t n) {
    struct error err;
    assert_int_equal(whole_file_write(left->list, left->bytes, n, &err), 0);
}

static void go_on(struct left *left) {
    store_scene_start(&left->scene);
    store_scene_expect(&left->scene, 1, ENTRIES);
    store_scene_close(&left->scene);
    free(left->bytes);
}

/* Of another change some is there: its head, and zeros where the other sector would be. */
static void a_torn_change_is_cut(void **state) {
    (void)state;
    for (size_t there = 7; there < 90; there += 20) {
        struct left left;
        leave(&left, NULL);
        left.bytes = realloc(left.bytes, left.n + 100);
        assert_non_null(left.bytes);
        memset(left.bytes + left.n, 0, 100);
        memset(left.bytes + left.n, 'x', there);
        memcpy(left.bytes + left.n, "\1\2\3\4\x5d\0\1", 7);
        put_list(&left, left.n + 100);
        store_scene_start(&left.scene);
        store_close(left.scene.store);
        assert_int_equal(access(left.kept, F_OK), 0);
        go_on(&left);
    }
}

static void put_file(const char *path, const void *bytes, size_t n) {
    struct error err;
    assert_int_equal(whole_file_write(path, bytes, n, &err), 0);
}

/* A change behind the end: its head, and nothing that it says is there. */
static void tear(struct left *left) {
    left->bytes = realloc(left->bytes, left->n + 100);
    assert_non_null(left->bytes);
    memset(left->bytes + left->n, 'x', 100);
    memcpy(left->bytes + left->n, "\1\2\3\4\x5d\0\1", 7);
}

/* Where the last record of the list begins, by the chain of their lengths. */
static size_t last_record(const struct left *left) {
    size_t at = 0, last = 0;
    for (; at + 7 <= left->n;
         at += 7 + (unsigned char)left->bytes[at + 4] + 256u * (unsigned char)left->bytes[at + 5])
        last = at;
    assert_int_equal(at, left->n);
    return last;
}

/* Steps of a cut that a crash may be behind. */
enum step { KEPT, CUT, TAKEN_BACK, DONE };

static void put_step(const struct left *left, enum step step, size_t n, size_t end) {
    put_file(step == DONE ? left->kept : left->torn, left->bytes, n);
    put_list(left, step == CUT || step == DONE ? end : n);
}

/* It is cut once more, and judged. */
static void a_crash_within_a_cut(void **state) {
    (void)state;
    for (enum step step = KEPT; step <= DONE; step++) {
        struct left left;
        leave(&left, NULL);
        tear(&left);
        put_step(&left, step, left.n + 100, left.n);
        store_scene_start(&left.scene);
        store_close(left.scene.store);
        assert_int_equal(access(left.kept, F_OK), 0);
        assert_int_not_equal(access(left.torn, F_OK), 0);
        go_on(&left);
    }
}

/* What was being cut is found to be damage also behind a crash. */
static void a_crash_within_a_cut_that_may_not_be(void **state) {
    (void)state;
    for (enum step step = KEPT; step <= TAKEN_BACK; step++) {
        struct left left;
        struct error err;
        leave(&left, NULL);
        size_t end = last_record(&left);
        left.bytes[end] ^= 0x5a;
        put_step(&left, step, left.n, end);
        for (int turn = 0; turn < 2; turn++) {
            void *now;
            size_t n;
            assert_null(store_open(left.scene.config, &left.scene.bell, &err));
            assert_non_null(strstr(err.text, "it had been synced"));
            assert_int_equal(whole_file_read(left.list, &now, &n, &err), 0);
            assert_int_equal(n, left.n);
            assert_memory_equal(now, left.bytes, n);
            free(now);
            assert_int_not_equal(access(left.kept, F_OK), 0);
            assert_int_not_equal(access(left.torn, F_OK), 0);
        }
        left.bytes[end] ^= 0x5a;
        put_list(&left, left.n);
        go_on(&left);
    }
}

static uint64_t append_more(struct store_scene *scene) {
    uint64_t order = store_scene_append(scene, (int)store_order(scene->store) + 1);
    store_hurry(scene->store);
    for (int64_t began = 0; store_durable(scene->store) < order;)
        assert_true(rig_wait(&began));
    return order;
}

/* Of all lists that there are. */
static long size_of_lists(const struct store_scene *scene) {
    char command[400], text[32] = "";
    snprintf(command, sizeof command, "cat %s/db/MANIFEST-* | wc -c", scene->folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof text, pipe));
    pclose(pipe);
    return strtol(text, NULL, 10);
}

/* A round whose own changes of the list have come to their end, and entries behind. */
static void run_round(struct store_scene *scene) {
    assert_true(store_round_begin(scene->store, 0) && store_round_end(scene->store));
    struct store_status status;
    for (int64_t began = 0; store_status(scene->store, &status), status.rounds == 0;)
        assert_true(rig_wait(&began));
    long before = 0;
    for (int quiet = 0; quiet < 10; quiet++, usleep(30000)) {
        long size = size_of_lists(scene);
        quiet = size == before ? quiet : 0;
        before = size;
        append_more(scene);
    }
    append_more(scene);
}

/* What a round has added to the list is known to be synced, too. */
static void a_round_is_not_cut_away(void **state) {
    (void)state;
    struct left left;
    struct error err;
    leave(&left, run_round);
    left.bytes[left.n - 2] ^= 0x5a;
    put_list(&left, left.n);
    assert_null(store_open(left.scene.config, &left.scene.bell, &err));
    assert_non_null(strstr(err.text, "it had been synced"));
    left.bytes[left.n - 2] ^= 0x5a;
    put_list(&left, left.n);
    store_scene_start(&left.scene);
    store_scene_expect(&left.scene, 1, store_order(left.scene.store));
    assert_true(store_order(left.scene.store) > ENTRIES + 2);
    store_scene_close(&left.scene);
    free(left.bytes);
}

/* What RocksDB makes nothing of is left as it is. */
static void an_end_that_is_missing_is_no_matter(void **state) {
    (void)state;
    struct left left;
    struct error err;
    leave(&left, NULL);
    left.bytes = realloc(left.bytes, left.n + 100);
    assert_non_null(left.bytes);
    memset(left.bytes + left.n, 0, 100);
    put_list(&left, left.n + 50);
    assert_int_equal(contents_mend(left.path, &err), 0);
    memcpy(left.bytes + left.n, "\1\2\3\4\x5d\0\1", 7);
    put_list(&left, left.n + 30);
    assert_int_equal(contents_mend(left.path, &err), 0);
    assert_int_not_equal(access(left.kept, F_OK), 0);
    go_on(&left);
}

/* All that there was at the start had been synced. */
static void a_damaged_list_is_refused(void **state) {
    (void)state;
    struct left left;
    leave(&left, NULL);
    for (size_t from_end = 2; from_end < left.n; from_end += left.n / 12) {
        struct error err;
        void *now;
        size_t n;
        left.bytes[left.n - from_end] ^= 0x5a;
        put_list(&left, left.n);
        assert_null(store_open(left.scene.config, &left.scene.bell, &err));
        if (strstr(err.text, "restore the folder from a copy") == NULL ||
            (from_end == 2 && strstr(err.text, "it had been synced") == NULL))
            fail_msg("%s", err.text);
        assert_int_equal(whole_file_read(left.list, &now, &n, &err), 0);
        assert_int_equal(n, left.n);
        assert_memory_equal(now, left.bytes, n);
        free(now);
        assert_int_not_equal(access(left.kept, F_OK), 0);
        left.bytes[left.n - from_end] ^= 0x5a;
    }
    put_list(&left, left.n);
    go_on(&left);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_change_is_cut),
        cmocka_unit_test(an_end_that_is_missing_is_no_matter),
        cmocka_unit_test(a_damaged_list_is_refused),
        cmocka_unit_test(a_crash_within_a_cut),
        cmocka_unit_test(a_crash_within_a_cut_that_may_not_be),
        cmocka_unit_test(a_round_is_not_cut_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
