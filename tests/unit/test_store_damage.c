/* What a store says to files that are not what it wrote. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/store.h"

#include "daemon/store_db.h"
#include "tests/support/store_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 40, SPARE = 20000 };

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...) {
    char command[700];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    assert_int_equal(system(command), 0);
}

/* The numbered entry, synced by itself, so that each is a block. */
static void append_synced(struct store_scene *scene, int number) {
    uint64_t order = store_scene_append(scene, number);
    store_hurry(scene->store);
    for (int64_t began = 0; store_durable(scene->store) < order;)
        assert_true(rig_wait(&began));
}

/* A store with entries, and the folder as a crash leaves it, which takes the place of the folder. */
static void crash(struct store_scene *scene) {
    store_scene_open(scene);
    for (int i = 1; i <= ENTRIES; i++)
        append_synced(scene, i);
    run("cp -a %s %s-copy", scene->folder, scene->folder);
    store_close(scene->store);
    scene->store = NULL;
    run("rm -r %s && mv %s-copy %s", scene->folder, scene->folder, scene->folder);
}

/* The largest file in db/ whose name ends so. */
static void find(const struct store_scene *scene, const char *end, char path[600], long *ret_size) {
    char folder[300];
    struct stat status;
    snprintf(folder, sizeof folder, "%s/db", scene->folder);
    DIR *open = opendir(folder);
    assert_non_null(open);
    *ret_size = -1;
    for (const struct dirent *entry; (entry = readdir(open)) != NULL;) {
        char at[600];
        size_t n = strlen(entry->d_name), m = strlen(end);
        snprintf(at, sizeof at, "%s/%s", folder, entry->d_name);
        if (n < m || strcmp(entry->d_name + n - m, end) != 0 || stat(at, &status) != 0 || status.st_size <= *ret_size)
            continue;
        *ret_size = status.st_size;
        strcpy(path, at);
    }
    closedir(open);
    assert_true(*ret_size > 0);
}

static void flip(const char *path, long at) {
    int file = open(path, O_RDWR);
    unsigned char byte;
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 0x5a;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static void refused(struct store_scene *scene, const char *why) {
    struct error err;
    assert_null(store_open(scene->config, &scene->bell, &err));
    if (strstr(err.text, why) == NULL)
        fail_msg("%s", err.text);
}

static uint64_t cut_of(struct store_scene *scene) {
    struct store_status status;
    store_status(scene->store, &status);
    return status.cut;
}

/* ---- the log ------------------------------------------------------------------------------------ */

static void a_torn_end_is_cut(void **state) {
    (void)state;
    struct store_scene scene;
    char path[600];
    long size;
    crash(&scene);
    find(&scene, ".log", path, &size);
    assert_int_equal(truncate(path, size - 3), 0);
    store_scene_start(&scene);
    assert_int_equal(store_order(scene.store), ENTRIES - 1);
    assert_int_equal(cut_of(&scene), 1);
    store_scene_expect(&scene, 1, ENTRIES - 1);
    append_synced(&scene, ENTRIES);
    store_scene_reopen(&scene);
    assert_int_equal(cut_of(&scene), 0);
    store_scene_expect(&scene, 1, ENTRIES);
    store_scene_close(&scene);
}

static void nothing_is_cut_of_a_whole_log(void **state) {
    (void)state;
    struct store_scene scene;
    crash(&scene);
    store_scene_start(&scene);
    assert_int_equal(cut_of(&scene), 0);
    store_scene_expect(&scene, 1, ENTRIES);
    store_scene_close(&scene);
}

/* Entries behind it had been synced: that is no torn end. */
static void damage_in_the_middle_is_refused(void **state) {
    (void)state;
    struct store_scene scene;
    char path[600], kept[400];
    long size;
    crash(&scene);
    find(&scene, ".log", path, &size);
    flip(path, size / 2);
    refused(&scene, "were on disk and are damaged");
    refused(&scene, "were on disk and are damaged"); /* nor the next time */
    snprintf(kept, sizeof kept, "%s/damaged-1/%s", scene.folder, strrchr(path, '/') + 1);
    struct stat status;
    assert_int_equal(stat(kept, &status), 0);
    assert_int_equal(status.st_size, size);
    /* Until somebody says so. */
    run("rm %s/damaged-1/refused", scene.folder);
    store_scene_start(&scene);
    uint64_t left = store_order(scene.store);
    assert_in_range(left, ENTRIES / 4, ENTRIES - 2);
    store_scene_expect(&scene, 1, left);
    append_synced(&scene, (int)left + 1);
    store_scene_reopen(&scene);
    store_scene_expect(&scene, 1, left + 1);
    assert_int_equal(stat(kept, &status), 0);
    store_scene_close(&scene);
}

/* Wherever a byte is wrong: all is there, or it is refused, or the end, which nothing shows to have been synced, is cut. */
static void any_byte_of_the_log_may_be_wrong(void **state) {
    (void)state;
    struct store_scene scene;
    char path[600];
    long size;
    int refusals = 0, cuts = 0;
    crash(&scene);
    run("cp -a %s %s-whole", scene.folder, scene.folder);
    find(&scene, ".log", path, &size);
    for (long at = 0; at < size; at += size / 25 + 1) {
        struct error err;
        flip(path, at);
        scene.store = store_open(scene.config, &scene.bell, &err);
        refusals += scene.store == NULL;
        if (scene.store != NULL) {
            uint64_t left = store_order(scene.store);
            assert_in_range(left, ENTRIES - 1, ENTRIES);
            cuts += left < ENTRIES;
            store_scene_expect(&scene, 1, left);
            store_close(scene.store);
        }
        run("rm -r %s && cp -a %s-whole %s", scene.folder, scene.folder, scene.folder);
    }
    assert_true(refusals > 15 && cuts < 4);
    run("rm -r %s-whole", scene.folder);
    store_scene_start(&scene);
    store_scene_close(&scene);
}

/* ---- other files -------------------------------------------------------------------------------- */

static void put_image(struct store_scene *scene, const char *name) {
    struct stored *stored = stored_new(name, strlen(name));
    stored->generation = 1;
    stored->n = SPARE;
    stored->bytes = calloc(1, SPARE);
    for (int64_t began = 0; !store_put(scene->store, 0, stored, false);)
        assert_true(rig_wait(&began));
}

static enum stored_found found(struct store_scene *scene, const char *name, char sentence[512]) {
    struct stored *stored;
    assert_true(store_ask(scene->store, name, strlen(name), NULL));
    for (int64_t began = 0; (stored = store_answer(scene->store)) == NULL;)
        assert_true(rig_wait(&began));
    enum stored_found is = stored->found;
    snprintf(sentence, 512, "%s", stored->err.text);
    stored_free(stored);
    return is;
}

static void a_damaged_image_is_told(void **state) {
    (void)state;
    struct store_scene scene;
    char path[600], sentence[512];
    long size;
    store_scene_open(&scene);
    put_image(&scene, "c/1");
    put_image(&scene, "c/2");
    store_close(scene.store);
    find(&scene, ".blob", path, &size);
    flip(path, size / 4);
    store_scene_start(&scene);
    assert_int_equal(found(&scene, "c/1", sentence), STORED_DAMAGED);
    if (strstr(sentence, "stream c/1: ") == NULL || strstr(sentence, "restore state_dir from a copy") == NULL)
        fail_msg("%s", sentence);
    assert_int_equal(found(&scene, "c/2", sentence), STORED_IMAGE);
    /* As the sentence says. */
    assert_true(store_forget(scene.store, "c/1", 3, 1));
    assert_int_equal(found(&scene, "c/1", sentence), STORED_ENDED);
    store_scene_close(&scene);
}

/* A table of the journal: it may be cut short, wrong somewhere, or not be there. */
static void a_damaged_file_of_the_journal_is_refused(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct store_scene scene;
        char path[600];
        long size;
        struct error err;
        static char bytes[SPARE];
        uint64_t order, taken = 0;
        store_scene_open(&scene);
        for (int i = 0; i < 50; i++) {
            const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = bytes, .n = SPARE};
            assert_true(store_append(scene.store, &entry, &order));
        }
        /* The log's entries go to a file when it is opened after a crash. */
        store_hurry(scene.store);
        for (int64_t began = 0; store_durable(scene.store) < order;)
            assert_true(rig_wait(&began));
        run("cp -a %s %s-copy", scene.folder, scene.folder);
        store_close(scene.store);
        run("rm -r %s && mv %s-copy %s", scene.folder, scene.folder, scene.folder);
        store_scene_start(&scene);
        store_close(scene.store);
        find(&scene, ".sst", path, &size);
        if (kind == 0)
            flip(path, size / 2);
        else
            assert_int_equal(kind == 1 ? truncate(path, size / 2) : unlink(path), 0);
        scene.store = store_open(scene.config, &scene.bell, &err);
        if (scene.store != NULL) {
            assert_int_equal(store_tail(scene.store, NULL, &taken, &err), -1);
            store_close(scene.store);
            scene.store = NULL;
        }
        if (strstr(err.text, "restore the folder from a copy") == NULL)
            fail_msg("%s", err.text);
        store_scene_close(&scene);
    }
}

static void a_database_without_its_table_of_contents_is_refused(void **state) {
    (void)state;
    struct store_scene scene;
    crash(&scene);
    run("rm %s/db/CURRENT", scene.folder);
    refused(&scene, "cannot be used: restore the folder from a copy");
    run("rm %s/db/MANIFEST-*", scene.folder);
    refused(&scene, "cannot be used: restore the folder from a copy");
    store_scene_close(&scene);
}

/* ---- newer formats ------------------------------------------------------------------------------ */

static void a_newer_format_is_refused(void **state) {
    (void)state;
    struct store_scene scene;
    struct db db;
    struct db_record record;
    struct error err;
    char path[300];
    store_scene_open(&scene);
    store_scene_append(&scene, 1);
    store_close(scene.store);
    snprintf(path, sizeof path, "%s/db", scene.folder);
    assert_int_equal(db_open(&db, path, 0, &err), 0);
    assert_int_equal(db_read_record(&db, &record, &err), 0);
    assert_int_equal(record.clean, 1);
    db_put_record(&db, &record);
    record.format++;
    rocksdb_writebatch_clear(db.batch);
    rocksdb_writebatch_put_cf(db.batch, db.families[DB_DEFAULT], "store", 5, (const char *)&record, sizeof record);
    assert_int_equal(db_write(&db, &err), 0);
    db_close(&db);
    refused(&scene, "was written by a newer forecastd");

    assert_int_equal(db_open(&db, path, 0, &err), 0);
    record.format--;
    record.trimmed = 77; /* not what its checksum says */
    rocksdb_writebatch_put_cf(db.batch, db.families[DB_DEFAULT], "store", 5, (const char *)&record, sizeof record);
    assert_int_equal(db_write(&db, &err), 0);
    db_close(&db);
    refused(&scene, "its own record is damaged");
    scene.store = NULL;
    store_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_end_is_cut),
        cmocka_unit_test(nothing_is_cut_of_a_whole_log),
        cmocka_unit_test(damage_in_the_middle_is_refused),
        cmocka_unit_test(any_byte_of_the_log_may_be_wrong),
        cmocka_unit_test(a_damaged_image_is_told),
        cmocka_unit_test(a_damaged_file_of_the_journal_is_refused),
        cmocka_unit_test(a_database_without_its_table_of_contents_is_refused),
        cmocka_unit_test(a_newer_format_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
