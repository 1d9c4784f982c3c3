#include "engine/head.h"
#include "engine/training_internal.h"

#include <stdlib.h>
#include <string.h>

/* Windows of one stream that follow each other without a gap or a reset. */
struct course {
    int first, n; /* of the windows */
};

struct carried {
    struct window *windows; /* copies, in the order of courses and steps */
    struct course *courses;
    int n_courses;
    struct slot {
        int course, window; /* -1: none; the window of all */
        int from;
    } * slots; /* [batch] */
};

void carried_free(struct carried *carried) {
    if (carried == NULL)
        return;
    free(carried->windows);
    free(carried->courses);
    free(carried->slots);
    free(carried);
}

/* ---- in order --------------------------------------------------------------------------------- */

/* Streams by their keys, which all their windows have, and steps upwards. */
static int by_stream_and_step(const void *a, const void *b) {
    const struct window *one = a, *other = b;
    if (one->key != other->key)
        return one->key < other->key ? -1 : 1;
    if (one->stream != other->stream)
        return one->stream < other->stream ? -1 : 1;
    return one->last < other->last ? -1 : one->last > other->last;
}

/* The last `horizon` steps of a window are answers, and the first origins of the one that follows it. */
static bool follows(const struct window *window, const struct window *before, int horizon) {
    return window->stream == before->stream &&
           window->last + 1 - (uint64_t)window->n == before->last + 1 - (uint64_t)horizon;
}

/* Leaves out the first steps. */
static void cut(struct window *window, const struct config_model *model, int steps) {
    window->n -= steps;
    window->score_from = window->score_from > steps ? window->score_from - steps : 0;
    window->x += (size_t)steps * (size_t)config_network_inputs(model);
    window->z += (size_t)steps * (size_t)head_targets(model);
    window->base += (size_t)steps * (size_t)head_targets(model);
    window->flags += steps;
}

/* Chunks are of `unroll` steps in all slots: the first window of a course loses what is too much for that, unless it is
 * the last one as well. Behind it all origins count, as states are warm. */
static void fit_course(struct carried *carried, struct course *course, const struct config_model *model) {
    for (int i = 1; i < course->n; i++)
        carried->windows[course->first + i].score_from = 0;
    if (course->n == 1)
        return;
    struct window *oldest = &carried->windows[course->first];
    int steps = oldest->n - model->horizon, unroll = model->training.unroll;
    if (steps >= unroll) {
        cut(oldest, model, steps % unroll);
        return;
    }
    course->first++;
    course->n--;
    carried->windows[course->first].score_from = model->training.burn_in;
}

int job_carry(struct job *job) {
    size_t n = (size_t)job->n_training;
    struct carried *carried = calloc(1, sizeof *carried);
    if (carried == NULL)
        return -1;
    job->carried = carried;
    carried->windows = calloc(n + 1, sizeof *carried->windows);
    carried->courses = calloc(n + 1, sizeof *carried->courses);
    carried->slots = calloc((size_t)job->model->training.batch, sizeof *carried->slots);
    if (carried->windows == NULL || carried->courses == NULL || carried->slots == NULL)
        return -1;
    for (size_t i = 0; i < n; i++)
        carried->windows[i] = *job->training[i];
    qsort(carried->windows, n, sizeof *carried->windows, by_stream_and_step);
    for (int i = 0; i < job->n_training; i++) {
        if (i == 0 || !follows(&carried->windows[i], &carried->windows[i - 1], job->model->horizon))
            carried->courses[carried->n_courses++].first = i;
        carried->courses[carried->n_courses - 1].n++;
    }
    for (int c = 0; c < carried->n_courses; c++)
        fit_course(carried, &carried->courses[c], job->model);
    return 0;
}

/* ---- an epoch --------------------------------------------------------------------------------- */

static int chunks_of(const struct window *window, const struct config_model *model) {
    return (window->n - model->horizon + model->training.unroll - 1) / model->training.unroll;
}

int64_t job_carried_chunks(const struct job *job) {
    const struct carried *carried = job->carried;
    int64_t all = 0, longest = 0;
    for (int c = 0; c < carried->n_courses; c++) {
        int64_t chunks = 0;
        for (int i = 0; i < carried->courses[c].n; i++)
            chunks += chunks_of(&carried->windows[carried->courses[c].first + i], job->model);
        longest = chunks > longest ? chunks : longest;
        all += chunks;
    }
    int batch = job->model->training.batch;
    return all / batch > longest ? (all + batch - 1) / batch : longest;
}

/* The slot takes the next course, with a zero state, if there is one. */
static void take_course(struct job *job, int s, int *next) {
    struct slot *slot = &job->carried->slots[s];
    size_t size = network_state_size(job->network);
    slot->course = *next < job->carried->n_courses ? (*next)++ : -1;
    slot->window = slot->course >= 0 ? job->carried->courses[slot->course].first : -1;
    slot->from = 0;
    memset(job->state + (size_t)s * size, 0, size * sizeof *job->state);
}

/* Goes on behind a chunk. */
static void go_on(struct job *job, int s, int *next) {
    const struct carried *carried = job->carried;
    struct slot *slot = &carried->slots[s];
    if (slot->course < 0)
        return;
    slot->from += job->at_once;
    if (slot->from < carried->windows[slot->window].n - job->model->horizon)
        return;
    const struct course *course = &carried->courses[slot->course];
    slot->from = 0;
    if (++slot->window == course->first + course->n)
        take_course(job, s, next);
}

/* Returns how many slots have something. */
static int set_rows(struct job *job, int rows) {
    int busy = 0;
    for (int s = 0; s < rows; s++) {
        const struct slot *slot = &job->carried->slots[s];
        bool idle = slot->course < 0;
        job->chunk.row[s] = (struct chunk_row){idle ? NULL : &job->carried->windows[slot->window], slot->from};
        busy += !idle;
    }
    return busy;
}

bool job_carried_epoch(struct job *job) {
    int batch = job->model->training.batch, courses = job->carried->n_courses, next = 0;
    int rows = courses < batch ? courses : batch;
    for (int s = 0; s < rows; s++)
        take_course(job, s, &next);
    for (int64_t chunk = 0; set_rows(job, rows) > 0; chunk++) {
        if (job_is_stopped(job) || !job_train_chunk(job, rows, job->at_once))
            return false;
        job->progress.loss = job->loss / job->weight;
        job_tell(job);
        for (int s = 0; s < rows; s++)
            go_on(job, s, &next);
    }
    return true;
}
