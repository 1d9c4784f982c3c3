/* A stream comes back: its image, then what came behind it, taken as it was then. Nothing of that is published again. */
#include "daemon/worker_restore.h"

#include "daemon/homecoming.h"
#include "daemon/stream_image.h"
#include "daemon/versions.h"
#include "engine/following.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A takeover of the tail, in one of the stream's places. */
struct due {
    struct due *next; /* of the same place, in their order */
    struct following following;
};

struct restoring {
    struct worker *worker;
    struct stream *stream;
    struct homecoming *homecoming;
    uint64_t *stood;      /* [n_places] the versions that the image stood under, or that serve */
    struct due **due;     /* [n_places] */
    struct place *places; /* [n_places] the stream's own, while it runs apart; else NULL */
    struct error *err;
};

static struct batch *batch_of(const struct restoring *restoring, int place) {
    return restoring->stream->places[place].batch;
}

/* ---- what the tail says --------------------------------------------------------------------- */

static const struct record *record_of(const struct kept *kept) {
    return (const void *)kept->record;
}

static int place_in(const struct restoring *restoring, int model) {
    for (int i = 0; i < restoring->stream->n_places; i++)
        if (batch_of(restoring, i)->model == model)
            return i;
    return -1;
}

/* Notes a takeover that the image does not know of. */
static int note_due(struct restoring *restoring, const struct record_takeover *record) {
    int place = place_in(restoring, record->model);
    /* What is imported may have come from where versions have other numbers; a model that the image does not have is new
     * since. */
    bool known = restoring->homecoming->image != NULL && !restoring->homecoming->imported && place >= 0 &&
                 restoring->stood[place] != STREAM_IMAGE_NONE && record->takeover.version <= restoring->stood[place];
    if (place < 0 || known)
        return 0;
    struct due *due = calloc(1, sizeof *due), **last = &restoring->due[place];
    if (due == NULL)
        return error_set(restoring->err, "out of memory");
    struct version *version =
        versions_load(restoring->worker->versions, record->model, record->takeover.version, restoring->err);
    if (version == NULL) {
        free(due);
        return -1;
    }
    due->following = (struct following){version, record->takeover.began, record->takeover.step, false};
    while (*last != NULL)
        last = &(*last)->next;
    *last = due;
    return 0;
}

static int note_all_due(struct restoring *restoring) {
    for (const struct kept *kept = restoring->homecoming->tail; kept != NULL; kept = kept->behind)
        if (record_of(kept)->kind == RECORD_TAKEOVER && note_due(restoring, (const void *)kept->record) != 0)
            return -1;
    return 0;
}

/* Where a stream that began behind the last images did so under what serves, there is nothing to be done once more. */
static bool began_so(const struct restoring *restoring, int place) {
    const struct due *due = restoring->due[place];
    const struct forecaster *forecaster = batch_of(restoring, place)->forecaster;
    return due != NULL && due->next == NULL && due->following.step == 0 && !forecaster_taking_over(forecaster) &&
           version_number(due->following.version) == forecaster_version(forecaster);
}

static void forget_due(struct restoring *restoring, int place) {
    struct due *due = restoring->due[place];
    restoring->due[place] = due->next;
    version_release(due->following.version);
    free(due);
}

static bool is_own(const struct restoring *restoring, int place, const struct saved_version *saved) {
    struct error err;
    struct version *version =
        versions_load(restoring->worker->versions, batch_of(restoring, place)->model, saved->number, &err);
    bool same = version != NULL && version_weights(version) == saved->weights;
    version_release(version);
    return same;
}

/* The takeover that is due first was done as the image was loaded: it stood under that version from then on. */
static void settle_due(struct restoring *restoring, int place, const struct saved_version *saved) {
    const struct due *due = restoring->due[place];
    restoring->stood[place] = version_number(due->following.version);
    while ((due = restoring->due[place]) != NULL && due->following.step == saved->step &&
           version_number(due->following.version) == restoring->stood[place])
        forget_due(restoring, place);
}

/* What is imported stood under a version of its own, or of another daemon. Where no takeover of the import itself was
 * told, it takes over what serves. */
static void settle_import(struct restoring *restoring, int place, const struct saved_version *saved) {
    const struct due *due = restoring->due[place];
    if (due != NULL && due->following.step == saved->step)
        settle_due(restoring, place, saved);
    else if (saved->number != STREAM_IMAGE_NONE && saved->number != 0 && !is_own(restoring, place, saved))
        restoring->stood[place] = forecaster_version(batch_of(restoring, place)->forecaster);
}

/* So did what came back when the version that it had had was gone. */
static void settle_gone(struct restoring *restoring, int place, const struct saved_version *saved) {
    const struct due *due = restoring->due[place];
    if (due != NULL && due->following.step == saved->step && due->following.began == saved->step &&
        saved->number != 0 && !is_own(restoring, place, saved))
        settle_due(restoring, place, saved);
}

/* ---- running -------------------------------------------------------------------------------- */

static int follow(struct restoring *restoring) {
    const struct stream *stream = restoring->stream;
    for (int i = 0; i < stream->n_places; i++)
        while (restoring->due[i] != NULL) {
            struct forecaster *forecaster = batch_of(restoring, i)->forecaster;
            uint64_t step = forecaster_seen(forecaster, stream->places[i].slot);
            enum followed followed = following_go(&restoring->due[i]->following, forecaster, step);
            if (followed == FOLLOWED_LATER)
                break;
            if (followed != FOLLOWED_DONE)
                return error_set(restoring->err, "a takeover behind its image cannot be done once more");
            forget_due(restoring, i);
        }
    return 0;
}

static int advance_all(struct restoring *restoring) {
    while (restoring->worker->n_ready > 0) {
        if (follow(restoring) != 0)
            return -1;
        worker_advance(restoring->worker);
    }
    return follow(restoring);
}

static void set_stream(void *record, struct stream *stream) {
    if (((const struct record *)record)->kind == RECORD_STATE)
        ((struct record_state *)record)->order->stream = stream;
    else
        ((struct record_of_stream *)record)->stream = stream;
}

static int run_tail(struct restoring *restoring) {
    for (struct kept *kept = restoring->homecoming->tail; kept != NULL; kept = kept->behind) {
        if (record_of(kept)->kind == RECORD_TAKEOVER)
            continue;
        set_stream(kept->record, restoring->stream);
        while (!worker_take(restoring->worker, kept->record))
            if (advance_all(restoring) != 0)
                return -1;
        if (advance_all(restoring) != 0)
            return -1;
    }
    return 0;
}

/* Ticks of the image that were held go on at once where the class holds fewer since. */
static int run_due(struct restoring *restoring) {
    const struct arrival none = {0}; /* nothing of it is published */
    if (!series_due(restoring->stream->series))
        return 0;
    while (!worker_take_due(restoring->worker, restoring->stream, &none))
        if (advance_all(restoring) != 0)
            return -1;
    return advance_all(restoring);
}

/* The image, or for want of one a stream that begins, then the tail. Returns 1 where a model has become another one, and begins
 * behind the image's steps. */
static int run(struct restoring *restoring) {
    struct stream *stream = restoring->stream;
    const struct stored *image = restoring->homecoming->image;
    int changed = image != NULL ? stream_image_read(restoring->worker->config, stream, image, restoring->err) : 0;
    if (changed < 0)
        return -1;
    for (int i = 0; i < stream->n_places; i++) {
        const struct place *place = &stream->places[i];
        place->batch->streams[place->slot] = stream;
        if (image == NULL)
            forecaster_acquire(place->batch->forecaster, place->slot, stream->series->history);
    }
    return run_due(restoring) != 0 || run_tail(restoring) != 0 ? -1 : changed > 0;
}

/* ---- apart ---------------------------------------------------------------------------------- */

/* A batch has one version. A stream that stood under another, and has steps behind that, runs them in batches of its
 * own, of one slot. */
static bool runs_apart(const struct restoring *restoring) {
    if (restoring->homecoming->tail == NULL)
        return false;
    for (int i = 0; i < restoring->stream->n_places; i++)
        if (restoring->due[i] != NULL ||
            (restoring->stood[i] != STREAM_IMAGE_NONE &&
             restoring->stood[i] != forecaster_version(batch_of(restoring, i)->forecaster)) ||
            forecaster_taking_over(batch_of(restoring, i)->forecaster))
            return true;
    return false;
}

static void close_apart(struct restoring *restoring) {
    struct stream *stream = restoring->stream;
    for (int i = 0; i < stream->n_places; i++)
        batch_free(stream->places[i].batch);
    free(stream->places);
    stream->places = restoring->places;
    restoring->places = NULL;
}

int worker_restore_prepare(struct worker *worker) {
    const struct config *config = worker->config;
    struct config_model *models = calloc((size_t)config->n_models, sizeof *models);
    if (models == NULL)
        return -1;
    for (int m = 0; m < config->n_models; m++) {
        models[m] = config->models[m];
        models[m].batch_size = 1;
    }
    worker->apart = *config;
    worker->apart.models = models;
    return 0;
}

static struct batch *open_batch(struct restoring *restoring, int place) {
    struct worker *worker = restoring->worker;
    int model = restoring->places[place].batch->model;
    uint64_t stood = restoring->stood[place];
    bool none = stood == 0 || stood == STREAM_IMAGE_NONE;
    struct version *version = none ? NULL : versions_load(worker->versions, model, stood, restoring->err);
    if (version == NULL && !none)
        return NULL;
    struct batch *batch = batch_new(&worker->apart, model, 0, worker->index, kernels_choose(), version, NULL);
    if (batch == NULL)
        error_set(restoring->err, "out of memory");
    version_release(version);
    return batch;
}

static int open_apart(struct restoring *restoring) {
    struct stream *stream = restoring->stream;
    struct place *places = calloc((size_t)stream->n_places, sizeof *places);
    if (places == NULL)
        return error_set(restoring->err, "out of memory");
    restoring->places = stream->places;
    stream->places = places;
    bool whole = true;
    for (int i = 0; i < stream->n_places; i++)
        whole &= (places[i].batch = open_batch(restoring, i)) != NULL;
    if (whole)
        return 0;
    close_apart(restoring);
    return -1;
}

/* What the slot apart has become goes to the stream's own. */
static int move_slot(const struct place *from, const struct place *to, const struct history *history,
                     struct error *err) {
    struct image image = {0};
    struct image_io io;
    while (forecaster_taking_over(from->batch->forecaster))
        forecaster_prime(from->batch->forecaster);
    image_begin(&io, &image);
    forecaster_save(from->batch->forecaster, from->slot, &io);
    int failed = image_end(&io) != 0 ? error_set(err, "out of memory") : image_open(&io, image.bytes, image.n, err);
    if (failed == 0)
        failed = forecaster_load(to->batch->forecaster, to->slot, history, &io);
    image_free(&image);
    return failed;
}

static int move_back(struct restoring *restoring) {
    struct stream *stream = restoring->stream;
    struct place *apart = stream->places;
    for (int i = 0; i < stream->n_places; i++) {
        if (move_slot(&apart[i], &restoring->places[i], stream->series->history, restoring->err) == 0)
            continue;
        while (i-- > 0)
            forecaster_release(restoring->places[i].batch->forecaster, restoring->places[i].slot);
        return -1;
    }
    for (int i = 0; i < stream->n_places; i++)
        restoring->places[i].batch->streams[restoring->places[i].slot] = stream;
    return 0;
}

static int run_apart(struct restoring *restoring) {
    int failed = run(restoring);
    if (failed >= 0 && move_back(restoring) != 0)
        failed = -1;
    close_apart(restoring);
    return failed;
}

/* What has been run is forgotten. */
static void renew(struct restoring *restoring) {
    series_renew(restoring->stream->series);
    restoring->worker->n_ready = 0;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int restore(struct restoring *restoring) {
    const struct config *config = restoring->worker->config;
    const struct stored *image = restoring->homecoming->image;
    struct saved_version versions[config->n_models];
    if (image != NULL && stream_image_versions(config, image, versions, restoring->err) != 0)
        return -1;
    for (int i = 0; i < restoring->stream->n_places; i++)
        restoring->stood[i] = image != NULL ? versions[batch_of(restoring, i)->model].number : STREAM_IMAGE_NONE;
    bool had = note_all_due(restoring) == 0;
    for (int i = 0; image != NULL && restoring->homecoming->tail != NULL && i < restoring->stream->n_places; i++) {
        const struct saved_version *saved = &versions[batch_of(restoring, i)->model];
        if (restoring->homecoming->imported)
            settle_import(restoring, i, saved);
        else
            settle_gone(restoring, i, saved);
    }
    for (int i = 0; i < restoring->stream->n_places; i++)
        while (restoring->due[i] != NULL && (!had || began_so(restoring, i)))
            forget_due(restoring, i);
    bool apart = had && runs_apart(restoring);
    int failed = apart && open_apart(restoring) == 0 ? run_apart(restoring) : -1;
    if (failed >= 0)
        return failed;
    if (apart)
        renew(restoring);
    /* Without a version that it has had, or a takeover that can be done once more, it takes over what serves behind its image. */
    for (int i = 0; i < restoring->stream->n_places; i++)
        while (restoring->due[i] != NULL)
            forget_due(restoring, i);
    failed = run(restoring);
    return failed == 0 && (apart || !had) ? 1 : failed;
}

int worker_restore(struct worker *worker, struct stream *stream, struct homecoming *homecoming, struct error *err) {
    assert(worker->n_ready == 0);
    uint64_t stood[stream->n_places + 1];
    struct due *due[stream->n_places + 1];
    memset(due, 0, sizeof due);
    struct restoring restoring = {
        .worker = worker, .stream = stream, .homecoming = homecoming, .stood = stood, .due = due, .err = err};
    worker->restoring = true;
    int failed = restore(&restoring);
    worker->restoring = false;
    worker->n_ready = 0; /* what failed may have left its own */
    for (int i = 0; i < stream->n_places; i++)
        while (due[i] != NULL)
            forget_due(&restoring, i);
    return failed;
}
