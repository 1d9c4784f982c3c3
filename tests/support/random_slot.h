/*
 * Models drawn at random, of all that shapes a slot, and a stream of one of them that lives through whatever may happen
 * to it: both are functions of a seed.
 */
#ifndef TESTS_SUPPORT_RANDOM_SLOT_H
#define TESTS_SUPPORT_RANDOM_SLOT_H

#include "engine/forecaster.h"
#include "engine/keras/keras.h"

enum { RANDOM_FEATURES = 4, RANDOM_VERSIONS = 3, RANDOM_FEW = 2, RANDOM_MANY = 5 };

/* A class and a model, in batches of RANDOM_FEW and RANDOM_MANY slots; not to be copied. */
struct random_model {
    struct config_class class;
    struct config_model model, many;
    int inputs[RANDOM_FEATURES], targets[RANDOM_FEATURES];
    struct layer_spec layers[2];
    struct keras_model keras;
    struct config_alert alerts[2];
    struct version *versions[RANDOM_VERSIONS + 1]; /* by number; of the first there is none */
};

enum random_kind { RANDOM_LAYERS, RANDOM_BASELINE, RANDOM_WINDOWED, RANDOM_RAW, RANDOM_EVENT, RANDOM_KINDS };

/* kind: what its head and its network are; small: as few numbers as can be. */
void random_model_init(struct random_model *random, uint64_t seed, enum random_kind kind, bool small);
void random_model_fini(struct random_model *random);

/* A batch under a version (0: none yet). */
struct forecaster *random_forecaster(const struct random_model *random, int slots, int version);

/* A stream in a slot. */
struct random_slot {
    struct random_model *of;
    struct forecaster *forecaster;
    int slot;
    struct history *history;
    uint64_t seed, happened;
};

/* Opens a stream in a free slot. */
void random_slot_open(struct random_slot *slot, struct random_model *of, struct forecaster *forecaster, int at,
                      uint64_t seed);
void random_slot_close(struct random_slot *slot);

/* The next thing happens to it: steps, of which some are forecast from at once and others wait; missing values, gaps,
 * labels, resets, states that are set, pauses. Returns whether there is a new forecast. */
bool random_slot_live(struct random_slot *slot);
/* It sees all of its steps. */
void random_slot_settle(struct random_slot *slot);

/* Its image: the history's, its steps and the slot's. */
void random_slot_save(const struct random_slot *slot, struct image *image);
/* A stream comes back into a free slot. Returns -1, with nothing opened, where it does not. */
int random_slot_load(struct random_slot *slot, struct random_model *of, struct forecaster *forecaster, int at,
                     uint64_t seed, uint64_t happened, const struct image *image, struct error *err);

/* Fails the test where the latest forecasts of both are not the same to the last bit. */
void random_slots_compare(const struct random_slot *a, const struct random_slot *b);

#endif
