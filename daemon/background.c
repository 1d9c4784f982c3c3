#include "daemon/background.h"

#include "daemon/clock.h"
#include "daemon/stored.h"

#include <assert.h>
#include <string.h>

/* Windows (or streams without any) that one slice looks at, and windows that it copies. */
enum { COLLECT_LOOKS = 64, COLLECT_COPIES = 2 };

/* Last forecasts that one slice sends again. */
enum { REPEAT_SLICE = 64 };

/* Tokens are counted at this interval while a repetition waits for them. */
enum { REPEAT_WAIT_MS = 10 };

/* A round of images that cannot go on at once tries again so soon. */
enum { ROUND_WAIT_MS = 2 };

/* ---- a version takes over ------------------------------------------------------------------- */

void background_version(struct worker *worker, const struct record_version *record) {
    for (int b = 0; b < worker->n_batches; b++) {
        struct batch *batch = worker->batches[b];
        if (batch->model != record->model)
            continue;
        bool idle = batch->next_version == NULL && !forecaster_taking_over(batch->forecaster);
        /* A batch still busy with the version before takes the newest one after it. */
        version_release(batch->next_version);
        batch->next_version = version_acquire(record->version);
        worker->n_taking_over += idle;
    }
    version_release(record->version);
}

static void propose(struct batch *batch) {
    /* A batch that was opened with this very version has it already. */
    if (forecaster_version(batch->forecaster) >= version_number(batch->next_version)) {
        version_release(batch->next_version);
        batch->next_version = NULL;
    } else if (forecaster_propose(batch->forecaster, batch->next_version) == 0) {
        version_release(batch->next_version);
        batch->next_version = NULL;
    } /* else memory is short: tried again with the next slice */
}

/* One batch at a time, to its end: a slice is no more than one advance's work, and yet gains on the ticks. */
static bool take_over_slice(struct worker *worker) {
    if (worker->n_taking_over == 0)
        return false;
    for (int b = 0; b < worker->n_batches; b++) {
        struct batch *batch = worker->batches[b];
        bool taking_over = forecaster_taking_over(batch->forecaster);
        if (!taking_over && batch->next_version == NULL)
            continue;
        if (taking_over) {
            forecaster_prime(batch->forecaster);
            worker_tell_takeovers(worker, batch);
        } else {
            propose(batch);
        }
        if (!forecaster_taking_over(batch->forecaster) && batch->next_version == NULL)
            worker->n_taking_over--;
        break;
    }
    return true;
}

/* ---- windows for training ------------------------------------------------------------------- */

void background_collect(struct worker *worker, const struct record_windows *record) {
    struct collection *collection = &worker->collections[record->model];
    assert(collection->windows == NULL); /* one job per model */
    *collection = (struct collection){.windows = record->windows, .stream = worker->streams};
    worker->n_collections++;
}

static void hand_back(struct worker *worker, int model) {
    struct collection *collection = &worker->collections[model];
    uint64_t left_out = windows_left_out(collection->windows);
    atomic_fetch_add_explicit(&worker->windows_left_out, left_out, memory_order_relaxed);
    struct record_windows *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_windows){RECORD_COLLECTED, model, collection->windows};
    ring_commit(worker->output, sizeof *record);
    collection->windows = NULL;
    worker->n_collections--;
}

static const struct place *place_in(const struct stream *stream, int model) {
    for (int i = 0; i < stream->n_places; i++)
        if (stream->places[i].batch->model == model)
            return &stream->places[i];
    return NULL;
}

/* Looks at the next window of the stream, or begins with it. Returns false when the stream is done. */
static bool collect_next(struct worker *worker, struct collection *collection, int model) {
    const struct stream *stream = collection->stream;
    const struct place *place = place_in(stream, model);
    if (place == NULL)
        return false;
    const struct history *history = stream->series->history;
    const struct forecaster *forecaster = place->batch->forecaster;
    if (!collection->begun) {
        collection->begun = true;
        return windows_begin(&collection->cursor, &worker->config->models[model], stream->name, history,
                             forecaster_seen(forecaster, place->slot));
    }
    return windows_copy(collection->windows, &collection->cursor, history,
                        forecaster_scalers(forecaster, place->slot));
}

static void next_stream(struct collection *collection) {
    collection->stream = collection->stream->worker_next;
    collection->begun = false;
}

static bool collect_slice(struct worker *worker) {
    if (worker->n_collections == 0)
        return false;
    for (int m = 0; m < worker->config->n_models; m++) {
        struct collection *collection = &worker->collections[m];
        if (collection->windows == NULL)
            continue;
        uint64_t before = windows_copied(collection->windows);
        for (int looks = 0; looks < COLLECT_LOOKS && collection->stream != NULL &&
                            windows_copied(collection->windows) < before + COLLECT_COPIES;
             looks++)
            if (!collect_next(worker, collection, m))
                next_stream(collection);
        if (collection->stream == NULL)
            hand_back(worker, m);
    }
    return true;
}

/* ---- last forecasts once more --------------------------------------------------------------- */

void background_repeat(struct worker *worker, const struct record_repeat *record) {
    if (worker->config->bus.repeats_per_second <= 0)
        return; /* it would wait for tokens for ever */
    struct repeating *repeating = &worker->repeating;
    size_t n = record->n < sizeof repeating->prefix ? record->n : sizeof repeating->prefix;
    /* One at a time: what two subscriptions have in common covers both. */
    if (repeating->active) {
        size_t common = 0;
        while (common < n && common < repeating->n && record->prefix[common] == repeating->prefix[common])
            common++;
        n = common;
    }
    memcpy(repeating->prefix, record->prefix, n);
    repeating->n = n;
    /* A round under way goes on to its end, so that steady newcomers starve no stream. */
    repeating->again = repeating->active;
    if (!repeating->active)
        repeating->stream = worker->streams;
    repeating->active = true;
}

static void refill(struct worker *worker) {
    struct repeating *repeating = &worker->repeating;
    double rate = worker->config->bus.repeats_per_second / worker->config->workers;
    double most = rate < REPEAT_SLICE ? REPEAT_SLICE : rate; /* a second's worth, or one slice */
    int64_t now = clock_monotonic();
    repeating->tokens += rate * 1e-9 * (double)(now - repeating->filled);
    if (repeating->tokens > most)
        repeating->tokens = most;
    repeating->filled = now;
}

static void repeat_stream(struct worker *worker, const struct stream *stream) {
    struct repeating *repeating = &worker->repeating;
    for (int i = 0; i < stream->n_places; i++) {
        struct batch *batch = stream->places[i].batch;
        char topic[EMITTER_MAX_TOPIC];
        size_t n = emitter_topic(&worker->config->models[batch->model], stream, topic);
        if (n < repeating->n || memcmp(topic, repeating->prefix, repeating->n) != 0 ||
            forecaster_latest(batch->forecaster, stream->places[i].slot) == NULL)
            continue;
        emitter_repeat(worker->emitter, batch, stream->places[i].slot);
        atomic_fetch_add_explicit(&worker->repeats, 1, memory_order_relaxed);
        repeating->tokens -= 1;
    }
}

/* Where all streams have been looked at: another round for those who came in its middle, or none. */
static void end_round(struct worker *worker) {
    struct repeating *repeating = &worker->repeating;
    if (repeating->stream == NULL && repeating->again) {
        repeating->again = false;
        repeating->stream = worker->streams;
    }
    repeating->active = repeating->stream != NULL;
}

static bool repeat_slice(struct worker *worker) {
    struct repeating *repeating = &worker->repeating;
    if (!repeating->active)
        return false;
    refill(worker);
    for (int i = 0; i < REPEAT_SLICE && repeating->stream != NULL && repeating->tokens >= 1; i++) {
        repeat_stream(worker, repeating->stream);
        repeating->stream = repeating->stream->worker_next;
    }
    end_round(worker);
    return repeating->active && repeating->tokens >= 1;
}

/* ---- all of them ------------------------------------------------------------------------------ */

bool background_slice(struct worker *worker) {
    bool more = take_over_slice(worker);
    more |= background_shadow_slice(worker);
    more |= collect_slice(worker);
    more |= repeat_slice(worker);
    more |= background_round_slice(worker);
    return more;
}

int background_timeout(const struct worker *worker) {
    return worker->imaging.round != 0 ? ROUND_WAIT_MS : worker->repeating.active ? REPEAT_WAIT_MS : -1;
}

void background_forget(struct worker *worker, struct stream *stream) {
    if (worker->imaging.stream == stream)
        worker->imaging.stream = stream->worker_next;
    if (worker->repeating.active && worker->repeating.stream == stream) {
        worker->repeating.stream = stream->worker_next;
        end_round(worker);
        /* The round may begin anew with the very stream that ends. */
        if (worker->repeating.stream == stream)
            worker->repeating.stream = stream->worker_next;
        worker->repeating.active = worker->repeating.stream != NULL;
    }
    for (int m = 0; worker->n_collections > 0 && m < worker->config->n_models; m++)
        if (worker->collections[m].windows != NULL && worker->collections[m].stream == stream)
            next_stream(&worker->collections[m]);
}

void background_abandon(struct worker *worker) {
    for (int m = 0; m < worker->config->n_models; m++)
        if (worker->collections[m].windows != NULL)
            hand_back(worker, m);
    for (int m = 0; m < worker->config->n_models; m++) {
        version_release(worker->trials[m].version);
        worker->trials[m].version = NULL;
    }
    worker->n_taking_over = 0;
    worker->n_shadows = 0;
    stored_free(worker->imaging.waiting); /* the disk has failed: its stream is in the journal, or came too late */
    worker->imaging.waiting = NULL;
}
