/* Images of a slot that are damaged, or for another place: what is refused, and that nothing crashes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "tests/support/random_slot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT = 1, SUM = 8, SEED = 11 };

static void live_for(struct random_slot *slot, uint64_t n) {
    for (uint64_t i = 0; i < n; i++)
        random_slot_live(slot);
}

/* ---- for another place -------------------------------------------------------------------------- */

struct change {
    const char *key;
    void (*make)(struct random_model *model);
    const char *sentence; /* NULL: the usual one */
};

static void change_features(struct random_model *of) {
    static char a[] = "a", b[] = "b", *names[] = {a, b};
    of->class.features = names;
}

static void change_inputs(struct random_model *of) {
    of->model.n_inputs = 1;
}

static void change_targets(struct random_model *of) {
    of->targets[0] = 0;
}

static void change_horizon(struct random_model *of) {
    of->model.horizon = 3;
}

static void change_period(struct random_model *of) {
    of->model.period = 6;
}

static void change_levels(struct random_model *of) {
    of->model.levels[0] = 71;
}

static void change_scored(struct random_model *of) {
    of->model.scored = of->model.scored == SCORED_ALL ? SCORED_FEW : SCORED_ALL;
}

static void change_experts(struct random_model *of) {
    of->model.experts = EXPERTS_LIGHT;
}

static void change_combine(struct random_model *of) {
    of->model.combine = COMBINE_ONLY + EXPERT_RIDGE;
}

static void change_scaler(struct random_model *of) {
    of->model.scaler = of->model.scaler == SCALER_NONE ? SCALER_STANDARD : SCALER_NONE;
}

static void change_loss(struct random_model *of) {
    of->model.training.loss = of->model.training.loss == LOSS_MSE ? LOSS_GAUSSIAN : LOSS_MSE;
}

static void change_history(struct random_model *of) {
    of->class.history = 30;
}

static void full_experts(struct random_model *of) {
    of->model.experts = EXPERTS_FULL;
    of->model.combine = COMBINE_ONLINE;
}

static struct forecaster *forecaster_of(const struct random_model *of) {
    struct forecaster *forecaster = forecaster_new(&of->class, &of->model, kernels_choose());
    assert_non_null(forecaster);
    return forecaster;
}

/* The model is what the seed makes it, but for what `first` makes of it, and without a version. */
static void image_of(void (*first)(struct random_model *), enum random_kind kind, bool small, uint64_t lives,
                     struct image *ret) {
    struct random_model model;
    struct random_slot slot;
    random_model_init(&model, SEED, kind, small);
    first(&model);
    struct forecaster *forecaster = forecaster_of(&model);
    random_slot_open(&slot, &model, forecaster, SLOT, SEED);
    live_for(&slot, lives);
    random_slot_save(&slot, ret);
    random_slot_close(&slot);
    forecaster_free(forecaster);
    random_model_fini(&model);
}

static void what_shapes_it_must_be_the_same(void **state) {
    (void)state;
    static const struct change changes[] = {
        {"features", change_features, NULL},
        {"inputs", change_inputs, NULL},
        {"targets", change_targets, NULL},
        {"horizon", change_horizon, "model random: the image was made with horizon 2, and the configuration has 3"},
        {"period", change_period, "model random: the image was made with period 0, and the configuration has 6"},
        {"levels", change_levels, NULL},
        {"scored", change_scored, NULL},
        {"experts", change_experts, NULL},
        {"combine", change_combine, NULL},
        {"scaler", change_scaler, NULL},
        {"training.loss", change_loss, NULL},
        {"history", change_history, "model random: the image was made with history 24, and the configuration has 30"},
    };
    struct image image = {0};
    image_of(full_experts, RANDOM_LAYERS, true, 60, &image);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct random_model model;
        struct random_slot slot;
        struct error err;
        char expected[256];
        random_model_init(&model, SEED, RANDOM_LAYERS, true);
        full_experts(&model);
        changes[i].make(&model);
        struct forecaster *forecaster = forecaster_of(&model);
        assert_int_equal(random_slot_load(&slot, &model, forecaster, SLOT, SEED, 60, &image, &err), -1);
        snprintf(expected, sizeof expected,
                 "model random: the image was made with another value of %s than the configuration has",
                 changes[i].key);
        assert_string_equal(err.text, changes[i].sentence != NULL ? changes[i].sentence : expected);
        random_slot_open(&slot, &model, forecaster, SLOT, SEED); /* it is free */
        live_for(&slot, 20);
        random_slot_close(&slot);
        forecaster_free(forecaster);
        random_model_fini(&model);
    }
    image_free(&image);
}

static void nothing(struct random_model *of) {
    (void)of;
}

static void light_experts(struct random_model *of) {
    of->model.experts = EXPERTS_LIGHT;
    of->model.combine = COMBINE_ONLINE;
    of->model.reset_every = 0;
}

/* Light experts, events and the rest may come back where histories have another length. */
static void into_a_history_of_another_length(void **state) {
    (void)state;
    for (int kind = 0; kind < RANDOM_KINDS; kind++)
        for (int longer = 0; longer < 2; longer++)
            for (int version = 1; version <= 2; version++) {
                struct random_model model, other;
                struct random_slot slot, back;
                struct image image = {0};
                struct error err;
                random_model_init(&model, SEED, (enum random_kind)kind, true);
                random_model_init(&other, SEED, (enum random_kind)kind, true);
                if (kind < RANDOM_RAW && kind != RANDOM_WINDOWED) {
                    light_experts(&model);
                    light_experts(&other);
                }
                other.class.history = longer ? 90 : 14;
                struct forecaster *from = random_forecaster(&model, RANDOM_FEW, 1);
                struct forecaster *to = random_forecaster(&other, RANDOM_FEW, version);
                random_slot_open(&slot, &model, from, SLOT, SEED);
                live_for(&slot, 300);
                random_slot_save(&slot, &image);
                if (random_slot_load(&back, &other, to, SLOT, SEED, 300, &image, &err) != 0)
                    fail_msg("%s", err.text);
                live_for(&back, 300);
                random_slot_close(&slot);
                random_slot_close(&back);
                forecaster_free(from);
                forecaster_free(to);
                image_free(&image);
                random_model_fini(&model);
                random_model_fini(&other);
            }
}

/* A history that lacks what the slot would look at; and alerts that are others now, of which none is raised. */
static void what_is_not_there(void **state) {
    (void)state;
    struct random_model model, other;
    struct random_slot slot;
    struct image image = {0};
    struct image_io io;
    struct error err;
    random_model_init(&model, SEED, RANDOM_LAYERS, true);
    random_model_init(&other, SEED, RANDOM_LAYERS, true);
    other.alerts[0].above = NAN;
    other.alerts[0].below = 0.5;
    struct forecaster *from = random_forecaster(&model, RANDOM_FEW, 1),
                      *to = random_forecaster(&other, RANDOM_FEW, 1);
    random_slot_open(&slot, &model, from, SLOT, SEED);
    live_for(&slot, 200);
    random_slot_settle(&slot);
    random_slot_save(&slot, &image);

    struct history *empty = history_new(2, model.class.history, model.class.pending);
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
    image_pass(&io, "hist");
    image_pass(&io, "step");
    assert_int_equal(forecaster_load(to, SLOT, empty, &io), -1);
    assert_non_null(strstr(err.text, "it stands behind the newest step of its history"));
    assert_int_equal(image_end(&io), 0); /* the section has been passed over */
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
    history_serialize(empty, &io);
    image_pass(&io, "step");
    assert_int_equal(forecaster_load(to, SLOT, empty, &io), -1);
    assert_non_null(strstr(err.text, "and the stream's history begins at"));
    history_free(empty);

    struct random_slot back;
    assert_int_equal(random_slot_load(&back, &other, to, SLOT, SEED, 200, &image, &err), 0);
    live_for(&back, 50);
    random_slot_close(&back);
    random_slot_close(&slot);
    forecaster_free(from);
    forecaster_free(to);
    image_free(&image);
    random_model_fini(&model);
    random_model_fini(&other);
}

/* ---- damaged ------------------------------------------------------------------------------------ */

/* The first n bytes, with a sum that is right. */
static struct image sealed(const uint8_t *bytes, size_t n) {
    struct image image = {.bytes = malloc(n + SUM), .n = n, .room = n + SUM};
    struct image_io io = {.to = &image};
    memcpy(image.bytes, bytes, n);
    assert_int_equal(image_end(&io), 0);
    return image;
}

/* Bytes come back or they do not; whatever has come back lives on. */
static void come_back(struct random_model *model, struct forecaster *forecaster, const struct image *image,
                      uint64_t happened) {
    struct random_slot slot;
    struct image again = {0};
    struct error err = {""};
    if (random_slot_load(&slot, model, forecaster, SLOT, SEED, happened, image, &err) != 0) {
        assert_true(strlen(err.text) > 20);
        return;
    }
    live_for(&slot, 8);
    random_slot_save(&slot, &again);
    random_slot_close(&slot);
    image_free(&again);
}

/* Every byte of an image, in some ways; every place at which it may end. stride: not all of them. */
static void damage(void (*first)(struct random_model *), enum random_kind kind, uint64_t lives, size_t stride) {
    struct random_model model;
    struct random_slot slot;
    struct image image = {0};
    struct error err;
    random_model_init(&model, SEED, kind, true);
    first(&model);
    struct forecaster *forecaster = random_forecaster(&model, RANDOM_FEW, 1);
    random_slot_open(&slot, &model, forecaster, SLOT, SEED);
    live_for(&slot, lives);
    random_slot_save(&slot, &image);
    random_slot_close(&slot);
    for (size_t n = 0; n + SUM < image.n; n += stride) {
        struct image cut = sealed(image.bytes, n);
        assert_int_equal(random_slot_load(&slot, &model, forecaster, SLOT, SEED, lives, &cut, &err), -1);
        image_free(&cut);
    }
    for (size_t byte = 0; byte + SUM < image.n; byte += stride)
        for (uint8_t with = 1; with > 0; with = (uint8_t)(with == 1 ? 0x80 : with == 0x80 ? 0xff : 0)) {
            image.bytes[byte] ^= with;
            struct image wrong = sealed(image.bytes, image.n - SUM);
            come_back(&model, forecaster, &wrong, lives);
            image_free(&wrong);
            image.bytes[byte] ^= with;
        }
    come_back(&model, forecaster, &image, lives);
    image_free(&image);
    forecaster_free(forecaster);
    random_model_fini(&model);
}

static void no_damage_crashes(void **state) {
    (void)state;
    damage(full_experts, RANDOM_LAYERS, 160, 13);
    damage(light_experts, RANDOM_LAYERS, 60, 1);
    damage(nothing, RANDOM_EVENT, 60, 1);
    damage(nothing, RANDOM_RAW, 20, 1);
    damage(nothing, RANDOM_WINDOWED, 40, 3);
}

/* Puts a number into the image, so many bytes behind the tag of a section (NULL: as it is). Returns what it was. */
static uint64_t put_number(struct image *image, const char *tag, size_t behind, const uint64_t *number) {
    uint64_t was;
    size_t at = 0;
    while (memcmp(image->bytes + at, tag, 4) != 0)
        at++;
    memcpy(&was, image->bytes + at + behind, sizeof was);
    if (number != NULL)
        memcpy(image->bytes + at + behind, number, sizeof *number);
    return was;
}

/* Of a stream so old that nobody has lived through it: numbers that fit together, and bytes that are not there. */
static void no_image_is_read_for_ever(void **state) {
    (void)state;
    /* Behind tag, format and length: of the history; of steps; of a slot; of its event. */
    enum { BEGIN = 10, N = BEGIN + 4, LABELS = N + 17, FROM = BEGIN + 4, SEEN = BEGIN + 16 + 64, SAID = BEGIN + 40 };
    const uint64_t older = UINT64_C(1) << 60, many = UINT64_C(1) << 59;
    for (int what = 0; what < 3; what++) {
        struct random_model model;
        struct random_slot slot;
        struct image image = {0};
        struct error err = {""};
        random_model_init(&model, SEED, RANDOM_EVENT, true);
        struct forecaster *forecaster = random_forecaster(&model, RANDOM_FEW, 1);
        random_slot_open(&slot, &model, forecaster, SLOT, SEED);
        live_for(&slot, 60);
        random_slot_settle(&slot);
        random_slot_save(&slot, &image);
        random_slot_close(&slot);
        uint64_t n = older + put_number(&image, "hist", N, NULL),
                 from = older + put_number(&image, "step", FROM, NULL);
        put_number(&image, "hist", N, &n);
        put_number(&image, "step", FROM, &from);
        put_number(&image, "fcst", SEEN, &n);
        if (what == 1)
            put_number(&image, "hist", LABELS, &many);
        if (what == 2)
            put_number(&image, "evnt", SAID + (size_t)model.model.classes * sizeof(double), &many);
        struct image wrong = sealed(image.bytes, image.n - SUM);
        int failed = random_slot_load(&slot, &model, forecaster, SLOT, SEED, 60, &wrong, &err);
        if (failed != (what == 0 ? 0 : -1))
            fail_msg("%s", err.text);
        if (what == 0)
            random_slot_close(&slot);
        else
            assert_non_null(strstr(err.text, "it ends too early"));
        image_free(&wrong);
        image_free(&image);
        forecaster_free(forecaster);
        random_model_fini(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_shapes_it_must_be_the_same),
        cmocka_unit_test(into_a_history_of_another_length),
        cmocka_unit_test(what_is_not_there),
        cmocka_unit_test(no_damage_crashes),
        cmocka_unit_test(no_image_is_read_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
