#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/store.h"

#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a test keeps: image and blocks are texts that say whose they are. */
static void *text_of(size_t *ret_n, size_t least, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void *text_of(size_t *ret_n, size_t least, const char *format, ...) {
    char head[128];
    va_list list;
    va_start(list, format);
    size_t n = (size_t)vsnprintf(head, sizeof head, format, list);
    va_end(list);
    *ret_n = n > least ? n : least;
    char *text = malloc(*ret_n);
    assert_non_null(text);
    memset(text, '.', *ret_n);
    memcpy(text, head, n);
    return text;
}

static struct stored *image(const char *name, uint32_t generation, uint64_t order, size_t size) {
    struct stored *stored = stored_new(name, strlen(name));
    assert_non_null(stored);
    stored->generation = generation;
    stored->order = order;
    stored->bytes = text_of(&stored->n, size, "%s %u %llu", name, generation, (unsigned long long)order);
    return stored;
}

static void add_block(struct stored *stored, uint64_t number, const char *what) {
    size_t n;
    void *bytes = text_of(&n, 0, "block %llu %s", (unsigned long long)number, what);
    assert_int_equal(stored_add_block(stored, number, bytes, n), 0);
}

static void put(struct store_scene *scene, struct stored *stored) {
    for (int64_t began = 0; !store_put(scene->store, 0, stored, false);)
        assert_true(rig_wait(&began));
}

static struct stored *ask(struct store_scene *scene, const char *name) {
    struct stored *stored;
    assert_true(store_ask(scene->store, name, strlen(name), scene));
    for (int64_t began = 0; (stored = store_answer(scene->store)) == NULL;)
        assert_true(rig_wait(&began));
    assert_ptr_equal(stored->context, scene);
    assert_string_equal(stored->name, name);
    return stored;
}

static void expect_block(const struct stored *stored, int b, uint64_t number, const char *what) {
    char text[64];
    assert_true(b < stored->n_blocks);
    assert_int_equal(stored->blocks[b].number, number);
    int n = snprintf(text, sizeof text, "block %llu %s", (unsigned long long)number, what);
    assert_int_equal(stored->blocks[b].n, n);
    assert_memory_equal(stored->blocks[b].bytes, text, (size_t)n);
}

static void expect_image(struct store_scene *scene, const char *name, uint32_t generation, uint64_t order,
                         size_t size, int n_blocks) {
    struct stored *stored = ask(scene, name);
    if (stored->found != STORED_IMAGE)
        fail_msg("%s: found %d: %s", name, stored->found, stored->err.text);
    size_t n;
    char *text = text_of(&n, size, "%s %u %llu", name, generation, (unsigned long long)order);
    assert_int_equal(stored->generation, generation);
    assert_int_equal(stored->order, order);
    assert_int_equal(stored->n, n);
    assert_memory_equal(stored->bytes, text, n);
    assert_int_equal(stored->n_blocks, n_blocks);
    free(text);
    stored_free(stored);
}

static void expect_found(struct store_scene *scene, const char *name, enum stored_found found, uint32_t generation) {
    struct stored *stored = ask(scene, name);
    assert_int_equal(stored->found, found);
    assert_int_equal(stored->generation, generation);
    assert_null(stored->bytes);
    assert_int_equal(stored->n_blocks, 0);
    stored_free(stored);
}

static void round_of(struct store_scene *scene, uint64_t order) {
    assert_true(store_round_begin(scene->store, order));
    assert_true(store_round_end(scene->store));
    for (int64_t began = 0; store_trimmed(scene->store) < order;)
        assert_true(rig_wait(&began));
}

static void an_image_comes_back(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    expect_found(&scene, "c/1", STORED_NONE, 0);
    put(&scene, image("c/1", 3, 0, 10));
    put(&scene, image("c/10", 1, 0, 20000));
    put(&scene, image("c", 1, 0, 0));
    for (int turn = 0; turn < 3; turn++) {
        expect_image(&scene, "c/1", 3, 0, 10, 0);
        expect_image(&scene, "c/10", 1, 0, 20000, 0);
        expect_image(&scene, "c", 1, 0, 0, 0);
        expect_found(&scene, "c/", STORED_NONE, 0);
        expect_found(&scene, "c/100", STORED_NONE, 0);
        if (turn == 0)
            round_of(&scene, 0);
        else
            store_scene_reopen(&scene);
    }
    store_scene_close(&scene);
}

/* The last one counts; so does the newest generation. */
static void an_image_takes_the_place_of_the_one_before(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    for (int i = 1; i <= 3; i++)
        store_scene_append(&scene, i);
    put(&scene, image("c/1", 1, 1, 3000));
    put(&scene, image("c/1", 1, 2, 100));
    expect_image(&scene, "c/1", 1, 2, 100, 0);
    put(&scene, image("c/1", 256, 3, 10));
    put(&scene, image("c/1", 2, 3, 10));
    expect_image(&scene, "c/1", 256, 3, 10, 0);
    store_scene_reopen(&scene);
    expect_image(&scene, "c/1", 256, 3, 10, 0);
    store_scene_close(&scene);
}

static void steps_come_back_in_their_blocks(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    struct stored *stored = image("c/1", 1, 0, 10);
    add_block(stored, 254, "full");
    add_block(stored, 255, "full");
    add_block(stored, 256, "half");
    stored->oldest = 254;
    put(&scene, stored);
    expect_image(&scene, "c/1", 1, 0, 10, 3);

    stored = image("c/1", 1, 0, 20);
    add_block(stored, 256, "full");
    add_block(stored, 257, "half");
    stored->oldest = 256;
    put(&scene, stored);
    for (int turn = 0; turn < 2; turn++) {
        struct stored *found = ask(&scene, "c/1");
        assert_int_equal(found->oldest, 256);
        assert_int_equal(found->n_blocks, 2);
        expect_block(found, 0, 256, "full");
        expect_block(found, 1, 257, "half");
        stored_free(found);
        store_scene_reopen(&scene);
    }
    store_scene_close(&scene);
}

static void an_ended_stream_is_known_to_have_ended(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    struct stored *stored = image("c/1", 4, 0, 2000);
    add_block(stored, 0, "x");
    put(&scene, stored);
    put(&scene, image("c/2", 1, 0, 10));
    assert_true(store_forget(scene.store, "c/1", 3, 4));
    for (int turn = 0; turn < 2; turn++) {
        expect_found(&scene, "c/1", STORED_ENDED, 4);
        expect_image(&scene, "c/2", 1, 0, 10, 0);
        store_scene_reopen(&scene);
    }
    /* The next generation's image may come before the end of the one before. */
    put(&scene, image("c/1", 5, 0, 30));
    expect_image(&scene, "c/1", 5, 0, 30, 0);
    assert_true(store_forget(scene.store, "c/1", 3, 4));
    expect_image(&scene, "c/1", 5, 0, 30, 0);
    assert_true(store_forget(scene.store, "c/1", 3, 5));
    expect_found(&scene, "c/1", STORED_ENDED, 5);
    store_scene_close(&scene);
}

/* Sends all questions, then takes their answers. */
static void ask_for_all(struct store_scene *scene, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        assert_true(store_ask(scene->store, names[i], strlen(names[i]), NULL));
    for (int i = 0; i < n; i++) {
        struct stored *stored;
        for (int64_t began = 0; (stored = store_answer(scene->store)) == NULL;)
            assert_true(rig_wait(&began));
        assert_string_equal(stored->name, names[i]);
        bool is_there = strcmp(names[i], "b") != 0;
        assert_int_equal(stored->found, is_there ? STORED_IMAGE : STORED_NONE);
        if (is_there) {
            assert_int_equal(stored->generation, 2);
            assert_int_equal(stored->n, 2000);
            expect_block(stored, 0, 0, names[i]);
        }
        stored_free(stored);
    }
}

/* Who is asked for in the order of the names is found behind the one before; twice the same one, and one between two
 * others that is not asked for, all the same. */
static void many_are_asked_for_at_once(void **state) {
    (void)state;
    static const char *const names[] = {"a", "a", "ab", "b", "c", "c", "d", "f", "e", "a"};
    struct store_scene scene;
    store_scene_open(&scene);
    put(&scene, image("a", 1, 0, 10));
    assert_true(store_forget(scene.store, "a", 1, 1));
    expect_found(&scene, "a", STORED_ENDED, 1);
    for (const char *const *name = (const char *const[]){"a", "ab", "bb", "c", "d", "e", "f", NULL}; *name != NULL;
         name++) {
        struct stored *stored = image(*name, 2, 0, 2000);
        add_block(stored, 0, *name);
        put(&scene, stored);
    }
    expect_image(&scene, "f", 2, 0, 2000, 1); /* all are in the database */
    for (int turn = 0; turn < 20; turn++)     /* the reader may begin before all of them are there */
        ask_for_all(&scene, names, sizeof names / sizeof *names);
    store_scene_close(&scene);
}

/* It stops while both waves are full, and there are more before it. */
static void all_is_written_at_a_stop(void **state) {
    (void)state;
    enum { N = 400, SIZE = 256 << 10 };
    struct store_scene scene;
    char name[32];
    store_scene_open(&scene);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "c/%d", i);
        assert_true(store_put(scene.store, 0, image(name, 1, 0, SIZE), true));
    }
    store_scene_reopen(&scene);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "c/%d", i);
        expect_image(&scene, name, 1, 0, SIZE, 0);
    }
    store_scene_close(&scene);
}

/* More than is held in memory at once, by a worker that outruns the disk. */
static void many_images_come_back(void **state) {
    (void)state;
    enum { N = 4000, SIZE = 20000 };
    struct store_scene scene;
    struct store_status status;
    char name[32];
    store_scene_open(&scene);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "c/%d", i);
        struct stored *stored = image(name, 1, 0, SIZE);
        add_block(stored, 0, name);
        put(&scene, stored);
    }
    store_scene_append(&scene, 1);
    round_of(&scene, 1);
    store_status(scene.store, &status);
    assert_int_equal(status.images, N);
    assert_true(status.image_bytes > (uint64_t)N * SIZE);
    assert_int_equal(status.rounds, 1);
    store_scene_reopen(&scene);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "c/%d", i);
        expect_image(&scene, name, 1, 0, SIZE, 1);
    }
    store_scene_close(&scene);
}

static void questions_are_bounded(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    int asked = 0, answered = 0;
    while (store_ask(scene.store, "c/1", 3, NULL))
        asked++;
    assert_in_range(asked, 100, 100000);
    for (int64_t began = 0; answered < asked;) {
        struct stored *stored = store_answer(scene.store);
        if (stored == NULL)
            assert_true(rig_wait(&began));
        answered += stored != NULL;
        stored_free(stored);
    }
    assert_true(store_ask(scene.store, "c/1", 3, NULL)); /* left behind at the end */
    store_scene_close(&scene);
}

/* ---- rounds ------------------------------------------------------------------------------------- */

static void a_round_trims_the_journal(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    for (int i = 1; i <= 100; i++)
        store_scene_append(&scene, i);
    assert_true(store_round_begin(scene.store, 60));
    put(&scene, image("c/1", 1, 60, 10));
    assert_int_equal(store_trimmed(scene.store), 0);
    assert_true(store_round_end(scene.store));
    for (int64_t began = 0; store_trimmed(scene.store) < 60;)
        assert_true(rig_wait(&began));
    store_scene_expect(&scene, 61, 100);
    store_scene_reopen(&scene);
    assert_int_equal(store_trimmed(scene.store), 60);
    store_scene_expect(&scene, 61, 100);
    round_of(&scene, 100);
    store_scene_expect(&scene, 101, 100);
    store_scene_reopen(&scene);
    /* Orders go on also where nothing is left. */
    assert_int_equal(store_scene_append(&scene, 101), 101);
    store_scene_reopen(&scene);
    store_scene_expect(&scene, 101, 101);
    store_scene_close(&scene);
}

/* What is taken away with a stream is not gone before the command is in the journal: a crash between the two would leave the
 * journal's ticks behind the last images, and begin the stream anew with these. */
static void an_end_is_on_disk_behind_its_command(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_config(&scene, "sync_every: 60s\n");
    store_scene_start(&scene);
    put(&scene, image("c/1", 1, 0, 10));
    stored_free(ask(&scene, "c/1"));
    store_scene_append(&scene, 1);
    store_scene_append(&scene, 2);
    assert_true(store_forget(scene.store, "c/1", 3, 1));
    struct stored *stored = ask(&scene, "c/1");
    assert_int_equal(stored->found, STORED_ENDED);
    stored_free(stored);
    assert_int_equal(store_durable(scene.store), 2);
    store_scene_close(&scene);
}

/* One that begins right behind another does not take its place. */
static void rounds_come_one_after_the_other(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    for (int i = 1; i <= 10; i++)
        store_scene_append(&scene, i);
    for (uint64_t order = 1; order <= 10; order++) {
        assert_true(store_round_begin(scene.store, order));
        put(&scene, image("c/1", 1, order, 10));
        if (order < 10)
            assert_true(store_round_end(scene.store));
    }
    for (int64_t began = 0; store_trimmed(scene.store) < 9;)
        assert_true(rig_wait(&began));
    assert_int_equal(store_trimmed(scene.store), 9);
    struct store_status status;
    store_status(scene.store, &status);
    assert_int_equal(status.rounds, 9);
    assert_true(store_round_end(scene.store));
    store_scene_reopen(&scene); /* the end comes to its end at a stop too */
    assert_int_equal(store_trimmed(scene.store), 10);
    store_scene_close(&scene);
}

static uint64_t bytes_of(const char *folder) {
    char command[300], text[64] = "";
    snprintf(command, sizeof command, "du -sb %s", folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(text, sizeof text, pipe));
    pclose(pipe);
    return strtoull(text, NULL, 10);
}

/* The room that entries took is there again, but for the last few. */
static void trimmed_entries_leave_the_disk(void **state) {
    (void)state;
    enum { ROUNDS = 9, ENTRIES = 200, SIZE = 64 << 10 };
    struct store_scene scene;
    store_scene_open(&scene);
    static char bytes[SIZE];
    uint64_t order = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < ENTRIES; i++) {
            const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = bytes, .n = SIZE};
            for (int64_t began = 0; !store_append(scene.store, &entry, &order);)
                assert_true(rig_wait(&began));
        }
        round_of(&scene, order);
    }
    /* 118 MB went through; what the last rounds trimmed may still be there. */
    for (int64_t began = 0; bytes_of(scene.folder) > (uint64_t)7 * ENTRIES * SIZE;)
        if (!rig_wait(&began))
            fail_msg("the folder has %llu bytes", (unsigned long long)bytes_of(scene.folder));
    store_scene_close(&scene);
}

/* An image may be handed over before its entries are on disk; it gets there after them. */
static void an_image_waits_for_its_entries(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_config(&scene, "sync_every: 60s\n");
    store_scene_start(&scene);
    for (int i = 1; i <= 10; i++)
        store_scene_append(&scene, i);
    put(&scene, image("c/1", 1, 10, 10));
    expect_image(&scene, "c/1", 1, 10, 10, 0);
    assert_int_equal(store_durable(scene.store), 10);
    store_scene_close(&scene);
}

static void an_open_round_trims_nothing(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    store_scene_append(&scene, 1);
    assert_true(store_round_begin(scene.store, 1));
    put(&scene, image("c/1", 1, 1, 10));
    expect_image(&scene, "c/1", 1, 1, 10, 0);
    store_scene_reopen(&scene);
    assert_int_equal(store_trimmed(scene.store), 0);
    store_scene_expect(&scene, 1, 1);
    expect_image(&scene, "c/1", 1, 1, 10, 0);
    assert_true(store_round_end(scene.store)); /* of no round */
    expect_image(&scene, "c/1", 1, 1, 10, 0);
    assert_int_equal(store_trimmed(scene.store), 0);
    store_scene_close(&scene);
}

/* ---- producers ---------------------------------------------------------------------------------- */

static void append_of(struct store_scene *scene, uint64_t producer, uint64_t sequence) {
    const struct journal_entry entry = {
        .kind = JOURNAL_TICKS, .producer = producer, .sequence = sequence, .received = 7, .bytes = "x", .n = 1};
    uint64_t order;
    assert_true(store_append(scene->store, &entry, &order));
}

struct heard {
    int n;
    uint64_t sum, sequences[4];
};

static void hear(void *context, uint64_t producer, uint64_t sequence, int64_t received) {
    struct heard *heard = context;
    heard->n++;
    assert_int_equal(received, 7);
    assert_in_range(producer, 1, 3);
    heard->sequences[producer] = sequence;
}

static void producers_go_on_where_they_were(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    append_of(&scene, 1, 10);
    append_of(&scene, 2, UINT64_C(1) << 40);
    append_of(&scene, 1, 12);
    append_of(&scene, 3, 5);
    store_scene_reopen(&scene);
    struct heard heard = {0};
    store_producers(scene.store, hear, &heard);
    assert_int_equal(heard.n, 3);
    assert_int_equal(heard.sequences[1], 12);
    assert_true(heard.sequences[2] == UINT64_C(1) << 40);
    round_of(&scene, 4); /* nor does a trim forget them */
    store_forget_producer(scene.store, 3);
    append_of(&scene, 1, 13);
    store_scene_reopen(&scene);
    heard = (struct heard){0};
    store_producers(scene.store, hear, &heard);
    assert_int_equal(heard.n, 2);
    assert_int_equal(heard.sequences[1], 13);
    store_scene_close(&scene);
}

/* ---- names -------------------------------------------------------------------------------------- */

/* The names behind `after`, in one text; "+" where there are more, behind the name that follows. */
static void expect_names(struct store_scene *scene, const char *prefix, const char *after, int most,
                         const char *expected) {
    char text[4096] = "";
    struct stored *page;
    for (int64_t began = 0; !store_ask_names(scene->store, prefix, after, most, scene);)
        assert_true(rig_wait(&began));
    for (int64_t began = 0; (page = store_answer(scene->store)) == NULL;)
        assert_true(rig_wait(&began));
    assert_ptr_equal(page->context, scene);
    assert_int_equal(page->found, STORED_NAMES);
    const char *at = page->bytes;
    for (int i = 0; i < page->page.n + page->page.more; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i < page->page.n ? " " : " + ", at);
        at += strlen(at) + 1;
    }
    assert_int_equal(at - (const char *)page->bytes, page->n);
    assert_string_equal(text, expected);
    stored_free(page);
}

static void names_come_in_pages(void **state) {
    (void)state;
    static const char *const names[] = {"c/1", "c", "c/10", "b/\xc3\xa4", "c/2", "c\x01", "d"};
    struct store_scene scene;
    store_scene_open(&scene);
    expect_names(&scene, "", "", 10, "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put(&scene, image(names[i], 0, 0, i % 2 == 0 ? 10 : 5000));
    struct stored *steps = image("c/1", 0, 0, 10);
    for (uint64_t number = 0; number < 20; number++)
        add_block(steps, number, "of many");
    put(&scene, steps);
    for (int turn = 0; turn < 3; turn++) { /* the first one behind what is on its way */
        expect_names(&scene, "", "", 10, " b/\xc3\xa4 c c\x01 c/1 c/10 c/2 d");
        expect_names(&scene, "", "c", 10, " c\x01 c/1 c/10 c/2 d");
        expect_names(&scene, "c/", "", 2, " c/1 c/10 + c/10");
        expect_names(&scene, "c/", "c/10", 2, " c/2");
        expect_names(&scene, "c/", "b", 1, " c/1 + c/1");
        expect_names(&scene, "c/", "c/", 10, " c/1 c/10 c/2");
        expect_names(&scene, "c/", "d", 10, "");
        expect_names(&scene, "d", "", 1, " d");
        expect_names(&scene, "e", "", 1, "");
        round_of(&scene, 0);
        if (turn == 1)
            store_scene_reopen(&scene);
    }
    store_scene_close(&scene);
}

/* Of those alone with an interval that is open, and till when; as the latest image says. */
static void open_intervals_come_in_pages(void **state) {
    (void)state;
    enum { N = 10 };
    struct store_scene scene;
    char name[16], after[16] = "";
    store_scene_open(&scene);
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < N; i++) {
            snprintf(name, sizeof name, "c/%d", i);
            struct stored *stored = image(name, 1, 0, 10);
            stored->open = turn == 0 ? i % 2 == 0 : i % 3 == 0;
            stored->end = 100 * turn - i;
            put(&scene, stored);
        }
    assert_true(store_forget(scene.store, "c/6", 3, 1));
    int seen = 0;
    static const int expected[] = {0, 3, 9};
    for (bool more = true; more;) {
        struct stored *page;
        assert_true(store_ask_open(scene.store, after, 2, &scene));
        for (int64_t began = 0; (page = store_answer(scene.store)) == NULL;)
            assert_true(rig_wait(&began));
        assert_int_equal(page->found, STORED_NAMES);
        const char *at = page->bytes;
        for (int i = 0; i < page->page.n; i++, seen++) {
            int64_t end;
            assert_true(seen < 3);
            snprintf(name, sizeof name, "c/%d", expected[seen]);
            assert_string_equal(at, name);
            at += strlen(at) + 1;
            memcpy(&end, at, sizeof end);
            at += sizeof end;
            assert_int_equal(end, 100 - expected[seen]);
        }
        more = page->page.more;
        if (more)
            snprintf(after, sizeof after, "%s", at);
        stored_free(page);
    }
    assert_int_equal(seen, 3);
    expect_image(&scene, "c/3", 1, 0, 10, 0);
    store_scene_close(&scene);
}

/* Who has ended for good is not there, and many of them make a page shorter, not longer to wait for. */
static void ended_streams_have_no_names(void **state) {
    (void)state;
    enum { ENDED = 5000 };
    char name[16];
    struct store_scene scene;
    store_scene_open(&scene);
    put(&scene, image("c/3", 1, 0, 10));
    put(&scene, image("zz", 1, 0, 10));
    for (int i = 0; i < ENDED; i++) {
        int n = snprintf(name, sizeof name, "e%04d", i);
        for (int64_t began = 0; !store_forget(scene.store, name, (size_t)n, 0);)
            assert_true(rig_wait(&began));
    }
    put(&scene, image("e0003", 1, 0, 10)); /* begun again */
    expect_names(&scene, "", "", 10, " c/3 e0003 + e4094");
    expect_names(&scene, "", "e4094", 10, " zz");
    assert_true(store_forget(scene.store, "zz", 2, 1));
    expect_names(&scene, "", "e4094", 10, "");
    store_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_in_pages),
        cmocka_unit_test(ended_streams_have_no_names),
        cmocka_unit_test(open_intervals_come_in_pages),
        cmocka_unit_test(an_image_comes_back),
        cmocka_unit_test(an_image_takes_the_place_of_the_one_before),
        cmocka_unit_test(steps_come_back_in_their_blocks),
        cmocka_unit_test(an_ended_stream_is_known_to_have_ended),
        cmocka_unit_test(many_are_asked_for_at_once),
        cmocka_unit_test(all_is_written_at_a_stop),
        cmocka_unit_test(many_images_come_back),
        cmocka_unit_test(questions_are_bounded),
        cmocka_unit_test(a_round_trims_the_journal),
        cmocka_unit_test(an_end_is_on_disk_behind_its_command),
        cmocka_unit_test(rounds_come_one_after_the_other),
        cmocka_unit_test(trimmed_entries_leave_the_disk),
        cmocka_unit_test(an_image_waits_for_its_entries),
        cmocka_unit_test(an_open_round_trims_nothing),
        cmocka_unit_test(producers_go_on_where_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
