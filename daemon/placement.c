#include "daemon/placement.h"

#include <assert.h>
#include <stdlib.h>

/* The batches of one model on one worker that have a free slot; the last is filled first. */
struct roomy {
    struct batch **batches;
    int n, room;
};

struct model_batches {
    struct batch **batches; /* [n] all of them, by id */
    int n, room;
    int64_t streams;
    struct roomy *roomy;           /* [workers] */
    struct workspace **workspaces; /* [workers] of its batches; NULL: there is none yet */
    struct version *version;
};

struct placement {
    const struct config *config;
    const struct kernels *kernels;
    struct model_batches *models; /* [n_models] */
    int64_t *worker_streams;      /* [workers] places given out */
};

struct placement *placement_new(const struct config *config, const struct kernels *kernels) {
    struct placement *placement = calloc(1, sizeof *placement);
    if (placement == NULL)
        return NULL;
    placement->config = config;
    placement->kernels = kernels;
    placement->models = calloc((size_t)config->n_models, sizeof *placement->models);
    placement->worker_streams = calloc((size_t)config->workers, sizeof *placement->worker_streams);
    bool ok = placement->models != NULL && placement->worker_streams != NULL;
    for (int m = 0; ok && m < config->n_models; m++) {
        placement->models[m].roomy = calloc((size_t)config->workers, sizeof *placement->models[m].roomy);
        placement->models[m].workspaces = calloc((size_t)config->workers, sizeof(struct workspace *));
        ok = placement->models[m].roomy != NULL && placement->models[m].workspaces != NULL;
    }
    if (ok)
        return placement;
    placement_free(placement);
    return NULL;
}

void placement_free(struct placement *placement) {
    if (placement == NULL)
        return;
    for (int m = 0; placement->models != NULL && m < placement->config->n_models; m++) {
        struct model_batches *model = &placement->models[m];
        for (int i = 0; i < model->n; i++)
            batch_free(model->batches[i]);
        for (int w = 0; model->roomy != NULL && w < placement->config->workers; w++)
            free(model->roomy[w].batches);
        for (int w = 0; model->workspaces != NULL && w < placement->config->workers; w++)
            workspace_free(model->workspaces[w]);
        free(model->roomy);
        free(model->workspaces);
        free(model->batches);
        version_release(model->version);
    }
    free(placement->models);
    free(placement->worker_streams);
    free(placement);
}

int placement_n_models(const struct placement *placement, int class) {
    int n = 0;
    for (int m = 0; m < placement->config->n_models; m++)
        n += placement->config->models[m].class == class;
    return n;
}

/* Makes room for one more pointer. */
static int grow(struct batch ***batches, int n, int *room) {
    if (n < *room)
        return 0;
    int more = *room == 0 ? 8 : *room * 2;
    struct batch **grown = realloc(*batches, (size_t)more * sizeof(struct batch *));
    if (grown == NULL)
        return -1;
    *batches = grown;
    *room = more;
    return 0;
}

/* A worker with a free slot for the class, else the one with the fewest streams. */
static int choose_worker(const struct placement *placement, int class) {
    const struct config *config = placement->config;
    int least = 0;
    for (int w = 1; w < config->workers; w++)
        if (placement->worker_streams[w] < placement->worker_streams[least])
            least = w;
    for (int m = 0; m < config->n_models; m++) {
        if (config->models[m].class != class)
            continue;
        for (int w = 0; w < config->workers; w++)
            if (placement->models[m].roomy[w].n > 0)
                return w;
    }
    return least;
}

/* A batch of the model on the worker with a free slot, opened if need be; NULL when memory is short. */
static struct batch *batch_with_room(struct placement *placement, int m, int worker) {
    struct model_batches *model = &placement->models[m];
    struct roomy *roomy = &model->roomy[worker];
    if (roomy->n > 0)
        return roomy->batches[roomy->n - 1];
    /* Room for every batch of the model: giving a slot back never needs memory. */
    if (grow(&model->batches, model->n, &model->room) != 0)
        return NULL;
    while (roomy->room < model->n + 1)
        if (grow(&roomy->batches, roomy->room, &roomy->room) != 0)
            return NULL;
    struct workspace **workspace = &model->workspaces[worker];
    if (*workspace == NULL)
        *workspace = workspace_new(&placement->config->models[m], placement->kernels);
    if (*workspace == NULL)
        return NULL;
    struct batch *batch =
        batch_new(placement->config, m, model->n, worker, placement->kernels, model->version, *workspace);
    if (batch == NULL)
        return NULL;
    model->batches[model->n++] = batch;
    roomy->batches[roomy->n++] = batch;
    return batch;
}

static struct place take_slot(struct placement *placement, struct batch *batch) {
    struct place place = {batch, batch->free_slots[--batch->n_free]};
    if (batch->n_free == 0)
        placement->models[batch->model].roomy[batch->worker].n--; /* it was the last */
    placement->models[batch->model].streams++;
    placement->worker_streams[batch->worker]++;
    return place;
}

static void give_back(struct placement *placement, struct place place) {
    struct batch *batch = place.batch;
    struct roomy *roomy = &placement->models[batch->model].roomy[batch->worker];
    batch->free_slots[batch->n_free++] = place.slot;
    if (batch->n_free == 1) {
        assert(roomy->n < roomy->room);
        roomy->batches[roomy->n++] = batch;
    }
    placement->models[batch->model].streams--;
    placement->worker_streams[batch->worker]--;
}

int placement_acquire(struct placement *placement, struct stream *stream, int worker) {
    stream->worker = worker >= 0 ? worker : choose_worker(placement, stream->class);
    int n = 0;
    for (int m = 0; m < placement->config->n_models; m++) {
        if (placement->config->models[m].class != stream->class)
            continue;
        struct batch *batch = batch_with_room(placement, m, stream->worker);
        if (batch == NULL) {
            while (n > 0)
                give_back(placement, stream->places[--n]);
            return -1;
        }
        stream->places[n++] = take_slot(placement, batch);
    }
    assert(n == stream->n_places);
    return 0;
}

void placement_release(struct placement *placement, struct stream *stream) {
    for (int i = 0; i < stream->n_places; i++)
        give_back(placement, stream->places[i]);
}

void placement_set_version(struct placement *placement, int model, struct version *version) {
    struct version *before = placement->models[model].version;
    placement->models[model].version = version_acquire(version);
    version_release(before);
}

struct version *placement_version(const struct placement *placement, int model) {
    return placement->models[model].version;
}

int placement_n_batches(const struct placement *placement, int model) {
    return placement->models[model].n;
}

int64_t placement_n_streams(const struct placement *placement, int model) {
    return placement->models[model].streams;
}
