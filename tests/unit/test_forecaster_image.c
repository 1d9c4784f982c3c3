/* A slot leaves as an image, comes back elsewhere, and goes on as if nothing had been. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "tests/support/random_slot.h"
#include "tests/support/replay.h"

#include <stdlib.h>
#include <string.h>

enum { SOURCE = 1, TARGET = 3, OTHER = 4 };

static void live_for(struct random_slot *slot, uint64_t n) {
    for (uint64_t i = 0; i < n; i++)
        random_slot_live(slot);
}

/* The slot that an image goes to has had a stream before, in the middle of everything. */
static void use_up(struct random_model *model, struct forecaster *forecaster, int at, uint64_t seed) {
    struct random_slot before;
    random_slot_open(&before, model, forecaster, at, seed);
    live_for(&before, 150);
    random_slot_close(&before);
}

static void check_same_image(const struct random_slot *a, const struct random_slot *b) {
    struct image one = {0}, other = {0};
    random_slot_save(a, &one);
    random_slot_save(b, &other);
    size_t at = 0;
    while (at < one.n && at < other.n && one.bytes[at] == other.bytes[at])
        at++;
    if (one.n != other.n || at < one.n)
        fail_msg("images of %zu and %zu bytes differ from byte %zu on", one.n, other.n, at);
    image_free(&one);
    image_free(&other);
}

/* Both live on, and say the same. */
static void go_on(struct random_slot *a, struct random_slot *b, uint64_t n) {
    forecaster_take_errors(a->forecaster);
    forecaster_take_errors(b->forecaster);
    for (uint64_t i = 0; i < n; i++) {
        bool says = random_slot_live(a);
        assert_int_equal(random_slot_live(b), says);
        if (says)
            random_slots_compare(a, b);
    }
    random_slot_settle(a);
    random_slot_settle(b);
    struct forecast_errors errors[] = {forecaster_take_errors(a->forecaster), forecaster_take_errors(b->forecaster)};
    assert_int_equal(errors[0].n, errors[1].n);
    assert_memory_equal(&errors[0].sum, &errors[1].sum, sizeof errors[0].sum);
    check_same_image(a, b);
}

static void load(struct random_slot *slot, const struct random_slot *from, struct forecaster *forecaster) {
    struct image image = {0};
    struct error err;
    random_slot_save(from, &image);
    if (random_slot_load(slot, from->of, forecaster, TARGET, from->seed, from->happened, &image, &err) != 0)
        fail_msg("%s", err.text);
    assert_null(forecaster_latest(forecaster, TARGET));
    image_free(&image);
}

static void check_round(uint64_t seed, enum random_kind kind) {
    struct rng rng = {seed};
    struct random_model model;
    struct random_slot slot, other, back;
    int n_takeovers, version = (int)rng_below(&rng, 5) == 0 ? 0 : 1;
    random_model_init(&model, seed, kind, false);
    struct forecaster *from = random_forecaster(&model, RANDOM_FEW, version);
    struct forecaster *to = random_forecaster(&model, RANDOM_MANY, version);
    random_slot_open(&slot, &model, from, SOURCE, seed);
    const uint64_t most[] = {12, 400, 1500};
    uint64_t until = rng_below(&rng, most[rng_below(&rng, 3)]);
    live_for(&slot, until / 2);
    if (until % 4 == 0 && version > 0) { /* it has had another version before */
        take_over(from, version_acquire(model.versions[2]));
        take_over(to, version_acquire(model.versions[2]));
    }
    live_for(&slot, until - until / 2);

    use_up(&model, to, TARGET, seed + 1);
    random_slot_open(&other, &model, to, OTHER, seed + 2);
    live_for(&other, 30);
    forecaster_takeovers(to, &n_takeovers);
    load(&back, &slot, to);
    forecaster_takeovers(to, &n_takeovers);
    assert_int_equal(n_takeovers, 0);
    check_same_image(&slot, &back);
    random_slot_close(&other);
    go_on(&slot, &back, 200);
    if (version > 0) { /* and under a version that comes later */
        take_over(from, version_acquire(model.versions[3]));
        take_over(to, version_acquire(model.versions[3]));
        go_on(&slot, &back, 60);
    }
    random_slot_close(&slot);
    random_slot_close(&back);
    forecaster_free(from);
    forecaster_free(to);
    random_model_fini(&model);
}

static void it_goes_on_as_it_would_have(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++)
        check_round(seed, RANDOM_LAYERS);
    for (uint64_t seed = 151; seed <= 250; seed++)
        check_round(seed, (enum random_kind)(seed % RANDOM_KINDS));
}

/* ---- versions ----------------------------------------------------------------------------------- */

static void check_takeover(struct forecaster *forecaster, const struct random_slot *slot, uint64_t version) {
    int n;
    const struct takeover *takeovers = forecaster_takeovers(forecaster, &n);
    uint64_t seen = forecaster_seen(forecaster, slot->slot);
    if (version == 0) {
        assert_int_equal(n, 0);
        return;
    }
    assert_int_equal(n, 1);
    assert_int_equal(takeovers->slot, slot->slot);
    assert_int_equal(takeovers->version, version);
    assert_int_equal(takeovers->began, seen);
    assert_int_equal(takeovers->step, seen);
}

/* Where another version serves the image's slot does what a slot does that the version takes over between two
 * ticks. */
static void check_another_version(uint64_t seed, enum random_kind kind) {
    struct random_model model;
    struct random_slot slot, back;
    int n;
    random_model_init(&model, seed, kind, false);
    struct forecaster *from = random_forecaster(&model, RANDOM_FEW, (int)(seed % 3));
    struct forecaster *to = random_forecaster(&model, RANDOM_MANY, 3);
    random_slot_open(&slot, &model, from, SOURCE, seed);
    live_for(&slot, seed * 37 % 300);
    use_up(&model, to, TARGET, seed + 1);
    forecaster_takeovers(to, &n);
    load(&back, &slot, to);
    check_takeover(to, &back, 3);
    take_over(from, version_acquire(model.versions[3]));
    check_same_image(&slot, &back);
    go_on(&slot, &back, 150);
    random_slot_close(&slot);
    random_slot_close(&back);
    forecaster_free(from);
    forecaster_free(to);
    random_model_fini(&model);
}

static void where_another_version_serves_it_is_primed_again(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        check_another_version(seed, (enum random_kind)(seed % 5 < 3 ? RANDOM_LAYERS : (int)(seed % RANDOM_KINDS)));
}

/* `had` is the image's version; one to which `serves` changes while it is loaded is `comes`. */
static void check_under_way(uint64_t seed, enum random_kind kind, int had, int serves, int comes) {
    struct random_model model;
    struct random_slot slot, others[2], back;
    int n;
    random_model_init(&model, seed, kind, false);
    struct forecaster *from = random_forecaster(&model, RANDOM_FEW, had);
    struct forecaster *to = random_forecaster(&model, RANDOM_MANY, serves);
    random_slot_open(&slot, &model, from, SOURCE, seed);
    live_for(&slot, 100 + seed);
    use_up(&model, to, TARGET, seed + 1);
    for (int i = 0; i < 2; i++) {
        random_slot_open(&others[i], &model, to, i, seed + 2);
        live_for(&others[i], 60);
        random_slot_settle(&others[i]);
    }
    assert_int_equal(forecaster_propose(to, model.versions[comes]), 0);
    forecaster_prime(to);
    assert_true(forecaster_taking_over(to));
    forecaster_takeovers(to, &n);
    load(&back, &slot, to);
    check_takeover(to, &back, had == comes || had == serves ? 0 : (uint64_t)comes);
    if (had != comes)
        assert_int_equal(forecaster_propose(from, model.versions[comes]), 0);
    if (had == serves) { /* it may be saved, and lived in, before its own replay */
        assert_true(forecaster_can_save(to, TARGET));
        check_same_image(&slot, &back);
        go_on(&slot, &back, 40);
    }
    while (!forecaster_prime(to))
        if (forecaster_replaying(to, TARGET) > 0)
            assert_false(forecaster_can_save(to, TARGET));
    while (had != comes && !forecaster_prime(from))
        ;
    check_same_image(&slot, &back);
    go_on(&slot, &back, 100);
    for (int i = 0; i < 2; i++)
        random_slot_close(&others[i]);
    random_slot_close(&slot);
    random_slot_close(&back);
    forecaster_free(from);
    forecaster_free(to);
    random_model_fini(&model);
}

static void while_a_version_takes_over(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        enum random_kind kind = seed % 3 < 2 ? RANDOM_LAYERS : (enum random_kind)(seed / 3 % RANDOM_KINDS);
        check_under_way(seed, kind, 1, 1, 2);
        check_under_way(seed, kind, 2, 1, 2);
        check_under_way(seed, kind, 3, 1, 2);
        check_under_way(seed, kind, 0, 1, 2);
        check_under_way(seed, kind, 0, 0, 2);
    }
}

/* Without any version it waits for one. */
static void where_no_version_serves(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random_model model;
        struct random_slot slot, back;
        int n;
        random_model_init(&model, seed, RANDOM_LAYERS, false);
        struct forecaster *from = random_forecaster(&model, RANDOM_FEW, 1);
        struct forecaster *to = random_forecaster(&model, RANDOM_MANY, 0);
        random_slot_open(&slot, &model, from, SOURCE, seed);
        live_for(&slot, 100);
        load(&back, &slot, to);
        check_takeover(to, &back, 0);
        live_for(&back, 20);
        random_slot_settle(&back);
        assert_int_equal(forecaster_latest(to, TARGET)->version, 0);
        take_over(to, version_acquire(model.versions[1]));
        forecaster_takeovers(to, &n);
        assert_int_equal(n, 1);
        live_for(&back, 50);
        random_slot_close(&slot);
        random_slot_close(&back);
        forecaster_free(from);
        forecaster_free(to);
        random_model_fini(&model);
    }
}

/* The same number with other weights is another version, and the same weights under another number are too. */
static void a_version_is_its_number_and_its_weights(void **state) {
    (void)state;
    struct random_model model, like;
    struct random_slot slot, back;
    struct image image = {0};
    struct image_io io;
    struct error err;
    struct saved_version saved;
    int n;
    random_model_init(&model, 5, RANDOM_LAYERS, false);
    random_model_init(&like, 5, RANDOM_LAYERS, false);
    struct version *other = version_again(1, like.versions[2]), *again = version_again(7, like.versions[1]);
    assert_true(version_weights(model.versions[1]) == version_weights(again));
    struct version *const serve[] = {other, again, like.versions[1]};
    struct forecaster *from = random_forecaster(&model, RANDOM_FEW, 1);
    random_slot_open(&slot, &model, from, SOURCE, 5);
    live_for(&slot, 100);
    const uint64_t seen = forecaster_seen(from, SOURCE);
    random_slot_save(&slot, &image);
    for (int i = 0; i < 3; i++) {
        struct forecaster *to = random_forecaster(&like, RANDOM_MANY, 0);
        take_over(to, version_acquire(serve[i]));
        forecaster_takeovers(to, &n);
        assert_int_equal(random_slot_load(&back, &like, to, TARGET, 5, 100, &image, &err), 0);
        check_takeover(to, &back, i == 0 ? 1 : i == 1 ? 7 : 0);
        random_slot_close(&back);
        forecaster_free(to);
    }
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
    assert_int_equal(forecaster_peek(&io, &saved), -1); /* the history's come first */
    image_pass(&io, "hist");
    image_pass(&io, "step");
    assert_int_equal(forecaster_peek(&io, &saved), 0);
    assert_true(saved.number == 1 && saved.weights == version_weights(model.versions[1]) && saved.step == seen);
    image_pass(&io, "fcst"); /* it is still there */
    assert_int_equal(image_end(&io), 0);
    version_release(other);
    version_release(again);
    image_free(&image);
    random_slot_close(&slot);
    forecaster_free(from);
    random_model_fini(&model);
    random_model_fini(&like);
}

/* ---- a shadow ----------------------------------------------------------------------------------- */

static void beside_a_shadow(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct random_model model;
        struct random_slot slot, back;
        struct shadow_losses losses = {0};
        random_model_init(&model, seed, RANDOM_LAYERS, false);
        struct forecaster *from = random_forecaster(&model, RANDOM_FEW, 1);
        struct forecaster *to = random_forecaster(&model, RANDOM_MANY, 1);
        random_slot_open(&slot, &model, from, SOURCE, seed);
        live_for(&slot, 120);
        assert_int_equal(forecaster_shadow(to, model.versions[2], &losses), 0);
        while (!forecaster_prime_shadow(to))
            ;
        load(&back, &slot, to);
        assert_false(forecaster_prime_shadow(to)); /* there is a slot to be replayed now */
        go_on(&slot, &back, 20);
        while (!forecaster_prime_shadow(to))
            ;
        go_on(&slot, &back, 100);
        random_slot_close(&slot);
        random_slot_close(&back);
        forecaster_free(from);
        forecaster_free(to);
        random_model_fini(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_on_as_it_would_have),
        cmocka_unit_test(where_another_version_serves_it_is_primed_again),
        cmocka_unit_test(while_a_version_takes_over),
        cmocka_unit_test(where_no_version_serves),
        cmocka_unit_test(a_version_is_its_number_and_its_weights),
        cmocka_unit_test(beside_a_shadow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
