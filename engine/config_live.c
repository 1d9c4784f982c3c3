#include "engine/config_live.h"

#include "engine/config_table.h"
#include "engine/keras/keras.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PATH_MOST = 128 };

/* Two sections of the same kind. */
struct pair {
    char *to;
    const char *from;
    char path[PATH_MOST];
    config_changed *changed;
    void *context;
};

static void path_of(const struct pair *pair, const char *key, char path[PATH_MOST]) {
    snprintf(path, PATH_MOST, "%.60s%s%.60s", pair->path, pair->path[0] != '\0' ? "." : "", key);
}

static void tell(const struct pair *pair, const char *key, bool live) {
    char path[PATH_MOST];
    path_of(pair, key, path);
    pair->changed(pair->context, path, live);
}

/* Other threads may be reading it. */
static void store(void *to, const void *from, size_t size) {
    typedef uint8_t byte __attribute__((may_alias));
    typedef uint32_t word __attribute__((may_alias));
    typedef uint64_t long_word __attribute__((may_alias));
    switch (size) {
    case 1: __atomic_store_n((byte *)to, *(const byte *)from, __ATOMIC_RELAXED); break;
    case 4: __atomic_store_n((word *)to, *(const word *)from, __ATOMIC_RELAXED); break;
    default:
        assert(size == 8);
        __atomic_store_n((long_word *)to, *(const long_word *)from, __ATOMIC_RELAXED);
        break;
    }
}

static void *pointer_at(const char *base, size_t offset) {
    void *pointer;
    memcpy(&pointer, base + offset, sizeof pointer);
    return pointer;
}

static int count_at(const char *base, size_t offset) {
    int count;
    memcpy(&count, base + offset, sizeof count);
    return count;
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_texts(const struct pair *pair, const struct config_key *key) {
    char *const *a = pointer_at(pair->to, key->offset), *const *b = pointer_at(pair->from, key->offset);
    int n = count_at(pair->to, key->count_offset);
    bool same = n == count_at(pair->from, key->count_offset);
    for (int i = 0; same && i < n; i++)
        same = same_text(a[i], b[i]);
    return same;
}

static bool same_numbers(const struct pair *pair, const struct config_key *key) {
    int n = count_at(pair->to, key->count_offset);
    return n == count_at(pair->from, key->count_offset) &&
           memcmp(pair->to + key->offset, pair->from + key->offset, (size_t)n * sizeof(double)) == 0;
}

/* A value of a fixed size. */
static void take_scalar(const struct pair *pair, const struct config_key *key) {
    char *to = pair->to + key->offset;
    const char *from = pair->from + key->offset;
    if (memcmp(to, from, key->size) == 0)
        return;
    if (key->live)
        store(to, from, key->size);
    tell(pair, key->key, key->live);
}

static void take_section(const struct pair *pair, enum config_section section);

/* The entries of a list have their names first. */
static bool same_name(const struct pair *pair, enum config_section section) {
    int n;
    const struct config_key *first = config_table_keys(section, &n);
    return first->type != CONFIG_TEXT || first->size == 0 ||
           same_text(pointer_at(pair->to, first->offset), pointer_at(pair->from, first->offset));
}

static bool same_layers(const void *to, const void *from, int n) {
    const struct layer_spec *a = to, *b = from;
    bool same = true;
    for (int l = 0; same && l < n; l++)
        same = a[l].kind == b[l].kind && a[l].units == b[l].units && a[l].activation == b[l].activation &&
               memcmp(&a[l].dropout, &b[l].dropout, sizeof(float)) == 0 &&
               memcmp(&a[l].recurrent_dropout, &b[l].recurrent_dropout, sizeof(float)) == 0;
    return same;
}

/* The same target, time and side: only how much and how likely may differ. */
static bool same_alert(const void *to, const void *from) {
    const struct config_alert *a = to, *b = from;
    const double above = a->above, other = b->above;
    return a->target == b->target && a->steps == b->steps && a->time == b->time && isnan(above) == isnan(other);
}

static bool same_entry(const struct pair *pair, enum config_section section) {
    return section == CONFIG_ALERT ? same_alert(pair->to, pair->from) : same_name(pair, section);
}

static void take_list(const struct pair *pair, const struct config_key *key) {
    int n = count_at(pair->to, key->count_offset);
    char *to = pointer_at(pair->to, key->offset);
    const char *from = pointer_at(pair->from, key->offset);
    bool layers = key->holds == CONFIG_LAYER; /* whose keys are several names of one field */
    if (n != count_at(pair->from, key->count_offset) || (layers && !same_layers(to, from, n))) {
        tell(pair, key->key, false);
        return;
    }
    if (layers)
        return;
    for (int i = 0; i < n; i++) {
        struct pair entry = *pair;
        char name[64];
        entry.to = to + (size_t)i * config_table_size(key->holds);
        entry.from = from + (size_t)i * config_table_size(key->holds);
        snprintf(name, sizeof name, "%s[%d]", key->key, i);
        path_of(pair, name, entry.path);
        if (same_entry(&entry, key->holds))
            take_section(&entry, key->holds);
        else
            tell(pair, name, false);
    }
}

static void take_key(const struct pair *pair, const struct config_key *key) {
    struct pair inner = *pair;
    bool same = true;
    switch (key->type) {
    case CONFIG_TEXT:
        same = key->size == 0 || same_text(pointer_at(pair->to, key->offset), pointer_at(pair->from, key->offset));
        break;
    case CONFIG_TEXTS: same = key->size == 0 || same_texts(pair, key); break;
    case CONFIG_NUMBERS: same = same_numbers(pair, key); break;
    case CONFIG_LIST: take_list(pair, key); return;
    case CONFIG_MAPPING:
        inner.to += key->offset;
        inner.from += key->offset;
        path_of(pair, key->key, inner.path);
        take_section(&inner, key->holds);
        return;
    default:
        if (key->size > 0)
            take_scalar(pair, key);
        return;
    }
    assert(same || !key->live);
    if (!same)
        tell(pair, key->key, false);
}

static void take_section(const struct pair *pair, enum config_section section) {
    int n;
    const struct config_key *keys = config_table_keys(section, &n);
    for (int k = 0; k < n; k++)
        take_key(pair, &keys[k]);
}

/* ---- what the table does not store by itself ---------------------------------------------------- */

static bool same_ints(const int *a, int n_a, const int *b, int n_b) {
    return n_a == n_b && (n_a == 0 || memcmp(a, b, (size_t)n_a * sizeof *a) == 0);
}

static bool same_weights(const struct keras_model *a, const struct keras_model *b) {
    return a == NULL || b == NULL ||
           (a->n_params == b->n_params && memcmp(a->params, b->params, a->n_params * sizeof *a->params) == 0);
}

static void look_at_model(const struct pair *pair, const struct config_model *to, const struct config_model *from) {
    if (to->class != from->class)
        tell(pair, "class", false);
    if (!same_ints(to->inputs, to->n_inputs, from->inputs, from->n_inputs))
        tell(pair, "inputs", false);
    if (!same_ints(to->targets, to->n_targets, from->targets, from->n_targets))
        tell(pair, "targets", false);
    if (same_text(to->file, from->file) && !same_weights(to->keras, from->keras))
        tell(pair, "file", false); /* what is in it */
}

void config_take_live(struct config *to, const struct config *from, config_changed *changed, void *context) {
    struct pair pair = {.to = (char *)to, .from = (const char *)from, .changed = changed, .context = context};
    take_section(&pair, CONFIG_TOP);
    for (int m = 0; to->n_models == from->n_models && m < to->n_models; m++) {
        snprintf(pair.path, sizeof pair.path, "models[%d]", m);
        if (same_text(to->models[m].name, from->models[m].name))
            look_at_model(&pair, &to->models[m], &from->models[m]);
    }
}
