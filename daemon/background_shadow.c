/* Versions in the shadow of those that serve: in which batches, and what comes of it. */
#include "daemon/background.h"

#include "engine/contest.h"

static void end_shadow(struct worker *worker, struct batch *batch) {
    forecaster_end_shadow(batch->forecaster);
    worker->n_shadows -= batch->next_shadow != NULL || batch->shadow_replays;
    version_release(batch->next_shadow);
    batch->next_shadow = NULL;
    batch->shadow_replays = false;
}

void background_opened(struct worker *worker, struct batch *batch) {
    struct trial *trial = &worker->trials[batch->model];
    if (trial->version == NULL || trial->slots >= CONTEST_STREAMS)
        return;
    batch->next_shadow = version_acquire(trial->version);
    worker->n_shadows++;
    trial->slots += worker->config->models[batch->model].batch_size;
}

void background_came_back(struct worker *worker, struct batch *batch) {
    if (!forecaster_has_shadow(batch->forecaster) || batch->shadow_replays)
        return;
    worker->n_shadows++;
    batch->shadow_replays = true;
}

void background_shadow(struct worker *worker, const struct record_shadow *record) {
    struct trial *trial = &worker->trials[record->model];
    version_release(trial->version);
    *trial = (struct trial){.number = record->trial, .version = record->version};
    for (int b = 0; b < worker->n_batches; b++)
        if (worker->batches[b]->model == record->model) {
            end_shadow(worker, worker->batches[b]);
            background_opened(worker, worker->batches[b]);
        }
}

/* One slice of one batch's shadow; it begins once no version is taking over. */
static void prime(struct worker *worker, struct batch *batch) {
    if (batch->next_shadow != NULL) {
        if (forecaster_shadow(batch->forecaster, batch->next_shadow, &worker->trials[batch->model].losses) != 0)
            return; /* memory is short: tried again with the next slice */
        version_release(batch->next_shadow);
        batch->next_shadow = NULL;
        batch->shadow_replays = true;
    } else if (forecaster_prime_shadow(batch->forecaster)) {
        batch->shadow_replays = false;
        worker->n_shadows--;
    }
}

bool background_shadow_slice(struct worker *worker) {
    for (int b = 0; worker->n_shadows > 0 && b < worker->n_batches; b++) {
        struct batch *batch = worker->batches[b];
        bool due = batch->next_shadow != NULL || batch->shadow_replays;
        if (!due || batch->next_version != NULL || forecaster_taking_over(batch->forecaster))
            continue;
        prime(worker, batch);
        return true;
    }
    return false;
}

void background_watch(struct worker *worker, const struct record_watch *watch) {
    const struct trial *trial = &worker->trials[watch->model];
    struct live *live = watch->live;
    live->errors = (struct forecast_errors){0};
    for (int b = 0; b < worker->n_batches; b++) {
        if (worker->batches[b]->model != watch->model)
            continue;
        struct forecast_errors errors = forecaster_take_errors(worker->batches[b]->forecaster);
        live->errors.sum += errors.sum;
        live->errors.n += errors.n;
    }
    live->trial = trial->number;
    live->losses = trial->losses;
    struct record_watch *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = *watch;
    record->kind = RECORD_WATCHED;
    ring_commit(worker->output, sizeof *record);
}
