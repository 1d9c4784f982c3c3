#include "daemon/stream_image.h"

#include "engine/forecaster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_FORMAT = 2, PLACE_FORMAT = 1 };

bool stream_image_can(const struct stream *stream) {
    if (stream_pending(stream) > 0 || series_due(stream->series))
        return false;
    for (int i = 0; i < stream->n_places; i++)
        if (!forecaster_can_save(stream->places[i].batch->forecaster, stream->places[i].slot))
            return false;
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

enum { MODEL_NAME = 256 };

static void write_place(const struct config *config, const struct place *place, struct image_io *io) {
    struct image_io section;
    char name[MODEL_NAME];
    snprintf(name, sizeof name, "%s", config->models[place->batch->model].name);
    image_enter(io, "plac", PLACE_FORMAT, &section);
    image_name(&section, name, sizeof name);
    forecaster_save(place->batch->forecaster, place->slot, &section);
    image_leave(io, &section);
}

/* The stream's own part. */
static void serialize_series(struct series *series, uint32_t *taken, struct image_io *io) {
    struct image_io section;
    uint32_t n_features = (uint32_t)series->history->n_features;
    image_enter(io, "strm", STREAM_FORMAT, &section);
    image_io(&section, &n_features, 1);
    if (section.format >= 2)
        image_io(&section, taken, 1);
    series_serialize(series, &section);
    image_leave(io, &section);
}

/* Hands the buffer's bytes over. */
static void *take_bytes(struct image *image, size_t *ret_n) {
    void *bytes = realloc(image->bytes, image->n);
    if (bytes == NULL)
        bytes = image->bytes;
    *ret_n = image->n;
    *image = (struct image){0};
    return bytes;
}

static int write_stream(const struct config *config, const struct stream *stream, struct stored *stored) {
    struct image image = {0};
    struct image_io io;
    uint32_t taken = stream->taken;
    image_begin(&io, &image);
    serialize_series(stream->series, &taken, &io);
    for (int i = 0; i < stream->n_places; i++)
        write_place(config, &stream->places[i], &io);
    if (image_end(&io) != 0) {
        image_free(&image);
        return -1;
    }
    stored->bytes = take_bytes(&image, &stored->n);
    return 0;
}

static int write_block(const struct history *history, uint64_t number, struct stored *stored) {
    struct image image = {0};
    struct image_io io;
    uint64_t from = number * STREAM_IMAGE_BLOCK + 1, to = from + STREAM_IMAGE_BLOCK - 1;
    if (from < history_oldest(history))
        from = history_oldest(history);
    if (to > history->n)
        to = history->n;
    image_begin(&io, &image);
    history_save(history, from, to, &io);
    if (image_end(&io) == 0) {
        size_t n;
        void *bytes = take_bytes(&image, &n);
        if (stored_add_block(stored, number, bytes, n) == 0)
            return 0;
        free(bytes);
    }
    image_free(&image);
    return -1;
}

/* The blocks with steps that were not written yet, as far as the steps are held. */
static int write_blocks(const struct stream *stream, uint64_t saved, struct stored *stored) {
    const struct history *history = stream->series->history;
    uint64_t oldest = history_oldest(history), step = saved + 1 > oldest ? saved + 1 : oldest;
    stored->oldest = (oldest - 1) / STREAM_IMAGE_BLOCK;
    for (; step <= history->n; step = ((step - 1) / STREAM_IMAGE_BLOCK + 1) * STREAM_IMAGE_BLOCK + 1)
        if (write_block(history, (step - 1) / STREAM_IMAGE_BLOCK, stored) != 0)
            return -1;
    return 0;
}

struct stored *stream_image_new(const struct config *config, const struct stream *stream, uint64_t saved) {
    assert(stream_image_can(stream));
    struct stored *stored = stored_new(stream->name, stream->name_length);
    if (stored == NULL)
        return NULL;
    stored->generation = stream->generation;
    stored->order = stream->order;
    stored->open =
        config->classes[stream->class].time.close_after > 0 && series_is_open(stream->series, &stored->end);
    if (write_stream(config, stream, stored) == 0 && write_blocks(stream, saved, stored) == 0)
        return stored;
    stored_free(stored);
    return NULL;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* What the store has read it has looked at as a whole. */
static int open_bytes(struct image_io *io, const struct stored *stored, const void *bytes, size_t n,
                      struct error *err) {
    return stored->summed ? image_open_summed(io, bytes, n, err) : image_open(io, bytes, n, err);
}

/* Enters the section of the next place. Returns the model whose it is; -1: there is no such model any more. */
static int enter_place(const struct config *config, struct image_io *io, struct image_io *ret_section) {
    char name[MODEL_NAME];
    image_enter(io, "plac", PLACE_FORMAT, ret_section);
    image_name(ret_section, name, sizeof name);
    const struct config_model *model = image_ok(ret_section) ? config_find_model(config, name) : NULL;
    return model != NULL ? (int)(model - config->models) : -1;
}

/* The stream's place in the model; -1: the model does not serve it. */
static int place_of(const struct stream *stream, int model) {
    for (int i = 0; i < stream->n_places; i++)
        if (stream->places[i].batch->model == model)
            return i;
    return -1;
}

static void leave_place(struct image_io *io, struct image_io *section) {
    image_skip(section, image_left(section));
    image_leave(io, section);
}

int stream_image_fits(const struct config *config, int class, struct stored *stored, struct error *err) {
    struct image_io io, section;
    uint32_t n_features = 0;
    if (open_bytes(&io, stored, stored->bytes, stored->n, err) != 0)
        return -1;
    image_enter(&io, "strm", STREAM_FORMAT, &section);
    image_io(&section, &n_features, 1);
    stored->taken = UINT32_MAX;
    if (section.format >= 2)
        image_io(&section, &stored->taken, 1);
    if (!image_ok(&section))
        return -1;
    if (n_features != (uint32_t)config->classes[class].n_features)
        return error_set(err, "the image of stream %s is of %u features, and its class %s has %d", stored->name,
                         n_features, config->classes[class].name, config->classes[class].n_features);
    return 0;
}

int stream_image_check(const struct config *config, int class, struct stored *stored, struct error *err) {
    struct image_io io;
    if (stream_image_fits(config, class, stored, err) != 0)
        return -1;
    for (int i = 0; i < stored->n_blocks; i++)
        if (image_open(&io, stored->blocks[i].bytes, stored->blocks[i].n, err) != 0)
            return -1;
    return 0;
}

int stream_image_versions(const struct config *config, const struct stored *stored,
                          struct saved_version *ret_versions, struct error *err) {
    struct image_io io, section;
    for (int m = 0; m < config->n_models; m++)
        ret_versions[m] = (struct saved_version){.number = STREAM_IMAGE_NONE};
    if (open_bytes(&io, stored, stored->bytes, stored->n, err) != 0)
        return -1;
    image_pass(&io, "strm");
    while (image_ok(&io) && image_comes(&io, "plac")) {
        int model = enter_place(config, &io, &section);
        struct saved_version version;
        if (model >= 0 && forecaster_peek(&section, &version) == 0)
            ret_versions[model] = version;
        leave_place(&io, &section);
    }
    return image_end(&io);
}

static int read_blocks(struct history *history, const struct stored *stored, struct error *err) {
    for (int i = stored->n_blocks - 1; i >= 0; i--) {
        struct image_io io;
        if (open_bytes(&io, stored, stored->blocks[i].bytes, stored->blocks[i].n, err) != 0)
            return -1;
        history_load(history, &io);
        if (image_end(&io) != 0)
            return -1;
    }
    return 0;
}

/* What no stream leaves behind: its models have seen all of its steps (stream_image_can). */
static bool load_place(const struct place *place, const struct history *history, struct image_io *io) {
    struct forecaster *forecaster = place->batch->forecaster;
    if (forecaster_load(forecaster, place->slot, history, io) != 0)
        return false;
    if (forecaster_pending(forecaster, place->slot) == 0)
        return true;
    forecaster_release(forecaster, place->slot);
    error_set(io->err, "the image has steps that a model of it has not seen");
    return false;
}

/* Places that the image has, once, and that can be read, are acquired. Returns the number of those that cannot be read. */
static int read_places(const struct config *config, const struct stream *stream, struct image_io *io,
                       bool *acquired) {
    int failed = 0;
    while (image_ok(io) && image_comes(io, "plac")) {
        struct image_io section;
        int model = enter_place(config, io, &section), i = place_of(stream, model);
        if (i >= 0 && !acquired[i]) {
            acquired[i] = load_place(&stream->places[i], stream->series->history, &section);
            failed += !acquired[i];
        }
        leave_place(io, &section);
    }
    return failed;
}

int stream_image_read(const struct config *config, struct stream *stream, const struct stored *stored,
                      struct error *err) {
    struct image_io io;
    if (open_bytes(&io, stored, stored->bytes, stored->n, err) != 0)
        return -1;
    stream->taken = UINT32_MAX; /* format 1 does not say, and has all of its order */
    serialize_series(stream->series, &stream->taken, &io);
    if (!image_ok(&io) || read_blocks(stream->series->history, stored, err) != 0)
        return -1;
    bool acquired[stream->n_places + 1];
    memset(acquired, 0, sizeof acquired);
    int failed = read_places(config, stream, &io, acquired);
    for (int i = 0; i < stream->n_places; i++)
        if (!acquired[i])
            forecaster_acquire(stream->places[i].batch->forecaster, stream->places[i].slot, stream->series->history);
    stream->order = stored->order;
    stream->saved = stream->series->history->n;
    return failed;
}
