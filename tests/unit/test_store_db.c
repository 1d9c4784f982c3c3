/* Merging is held from a start on, and goes on by itself. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/store_internal.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More files than RocksDB leaves unmerged. */
enum { FILES = 6 };

static int n_unmerged(const struct db *db) {
    char *text = rocksdb_property_value_cf(db->db, db->families[DB_STREAMS], "rocksdb.num-files-at-level0");
    int n = atoi(text);
    rocksdb_free(text);
    return n;
}

/* The store's database has that many files of the same key, which nothing has merged; the store is closed. */
static void leave_files(struct store_scene *scene, char path[300]) {
    struct db db;
    struct error err;
    store_scene_open(scene);
    store_close(scene->store);
    scene->store = NULL;
    snprintf(path, 300, "%s/db", scene->folder);
    assert_int_equal(db_open(&db, path, DB_HOLD_MERGES, &err), 0);
    for (int i = 0; i < FILES; i++) {
        int64_t began = 0;
        rocksdb_writebatch_put_cf(db.batch, db.families[DB_STREAMS], "s\0key", 5, "value", 5);
        assert_int_equal(db_write(&db, &err), 0);
        assert_int_equal(db_flush(&db, DB_STREAMS, &err), 0);
        while (db_is_flushing(&db, DB_STREAMS) || n_unmerged(&db) <= i)
            assert_true(rig_wait(&began));
    }
    db_close(&db);
}

static void await_merged(const struct db *db) {
    for (int64_t began = 0; n_unmerged(db) == FILES;)
        assert_true(rig_wait(&began));
}

static void what_is_held_is_merged_when_told(void **state) {
    (void)state;
    struct store_scene scene;
    struct db db;
    struct error err;
    char path[300];
    leave_files(&scene, path);
    assert_int_equal(db_open(&db, path, DB_HOLD_MERGES, &err), 0);
    assert_int_equal(n_unmerged(&db), FILES);
    db_merge(&db);
    await_merged(&db);
    db_close(&db);
    store_scene_close(&scene);
}

/* Nobody is asked for. */
static void a_start_merges_when_it_is_quiet(void **state) {
    (void)state;
    struct store_scene scene;
    char path[300];
    leave_files(&scene, path);
    store_scene_reopen(&scene);
    assert_int_equal(n_unmerged(&scene.store->db), FILES);
    await_merged(&scene.store->db);
    store_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_held_is_merged_when_told),
        cmocka_unit_test(a_start_merges_when_it_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
