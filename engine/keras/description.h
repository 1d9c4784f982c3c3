/* Within the reader of architectures: a layer's description, and the options in it. */
#ifndef ENGINE_KERAS_DESCRIPTION_H
#define ENGINE_KERAS_DESCRIPTION_H

#include "engine/keras/architecture.h"

#include <stdio.h>

/* {"class_name": ..., "config": {...}} */
struct description {
    const json_t *data, *config; /* NULL where there is none */
    const char *class_name, *name;
    bool is_op; /* Keras 3: not a layer, but what `a + b` becomes */
};

struct description description_of(const json_t *data);

/* A layer while it is read. The first thing that is wrong is kept in err, and failed is set; then values are
 * defaults. */
struct options {
    const json_t *config;
    bool old;      /* before Keras 3 */
    bool sequence; /* its input has a time axis */
    bool failed;
    struct error *err;
};

void options_fail(struct options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* keys: names that an option had in the course of time, separated by '|'; the first that is there and not null
 * counts. */
const json_t *options_find(const struct options *options, const char *keys);
bool options_bool(struct options *options, const char *keys, bool otherwise);
/* A number from `from` to `to`, or a list of one such number. */
int options_int(struct options *options, const char *keys, int from, int to, int otherwise);
float options_float(struct options *options, const char *keys, float otherwise);
/* "" where there is none. */
const char *options_text(struct options *options, const char *keys);
enum activation options_activation(struct options *options, const char *keys, enum activation otherwise);
enum padding options_padding(struct options *options);
/* Refuses an axis other than the last. */
void options_last_axis(struct options *options);
/* Refuses channels_first. */
void options_channels_last(struct options *options);

/* The spec of a layer that is one layer of a network and no wrapper, from its class and options. Returns -1 for a
 * class that is none. */
int description_read(const struct description *description, struct options *options, struct layer_spec *ret_spec);
/* Whether a kind of layer does the same to every step, and so may be in a TimeDistributed. */
bool description_is_per_step(enum layer_kind kind);
/* RNN's own options, and those of its cells, one spec for each; also LSTM and its like. Returns how many, 0 on
 * failure. */
int description_read_recurrent(const struct description *description, struct options *options,
                               struct layer_spec *ret_specs, int max);
void description_read_bidirectional(const struct description *description, struct options *options,
                                    struct layer_spec *ret_spec);
/* The cells of a StackedRNNCells in an RNN; NULL: it has none. */
const json_t *description_cells(const struct description *description);

#endif
