#include "daemon/trainer.h"

#include "daemon/clock.h"
#include "daemon/cpu_budget.h"
#include "daemon/give_way.h"
#include "daemon/log.h"
#include "daemon/priority.h"

#include <assert.h>
#include <cblas.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Less than the first share of the time for which it could have worked is too little to go on with what others leave, from
 * the second one on that is enough again; looked at each time it was awake so long, ns. */
static const double scarce_share = 0.1, plenty_share = 0.5;
static const int64_t scarce_after = 200000000;

/* While it sleeps for its budget it looks this often whether it is to stop. */
static const int64_t nap_most = 20000000;

struct trainer {
    const struct config *config;
    const struct kernels *kernels;
    struct ring *jobs, *done; /* of pointers; both have room for a job of every model */
    struct doorbell bell, *bus;
    atomic_bool stopping;
    struct {
        bool scarce;             /* as it was found to be the last time */
        int64_t wall, cpu;       /* since when it is awake */
        int64_t awake, computed; /* ns */
    } time;
    struct give_way way;
    struct cpu_budget budget; /* over all jobs: what one owes when it ends, the next one pays */
    pthread_t thread;
};

struct training_job *training_job_new(int model, int n_sets) {
    struct training_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->model = model;
    atomic_init(&job->epoch, 0);
    atomic_init(&job->epochs, 0);
    atomic_init(&job->steps, 0);
    atomic_init(&job->steps_in_all, 0);
    atomic_init(&job->began, 0);
    atomic_init(&job->stop, false);
    job->sets = calloc((size_t)n_sets, sizeof(struct windows *));
    if (job->sets == NULL) {
        free(job);
        return NULL;
    }
    return job;
}

void training_job_free(struct training_job *job) {
    if (job == NULL)
        return;
    version_release(job->champion);
    for (int i = 0; i < job->n_sets; i++)
        windows_free(job->sets[i]);
    free(job->sets);
    training_outcome_fini(&job->outcome);
    free(job);
}

static void put(struct ring *ring, struct training_job *job) {
    struct training_job **place = ring_reserve(ring, sizeof(struct training_job *), 0);
    assert(place != NULL); /* one job per model fits */
    *place = job;
    ring_commit(ring, sizeof(struct training_job *));
}

static struct training_job *take(struct ring *ring) {
    size_t n;
    struct training_job **place = ring_peek(ring, &n);
    if (place == NULL)
        return NULL;
    struct training_job *job = *place;
    ring_consume(ring);
    return job;
}

struct watched {
    struct trainer *trainer;
    struct training_job *job;
};

static bool is_stopped(const struct watched *watched) {
    return atomic_load_explicit(&watched->trainer->stopping, memory_order_relaxed) ||
           atomic_load_explicit(&watched->job->stop, memory_order_relaxed);
}

static int64_t pause_now(struct trainer *trainer) {
    trainer->budget.share = trainer->config->training_cpu;
    return cpu_budget_pause(&trainer->budget, clock_monotonic(), clock_read(CLOCK_THREAD_CPUTIME_ID));
}

static void wake_up(struct trainer *trainer) {
    trainer->time.wall = clock_monotonic();
    trainer->time.cpu = clock_read(CLOCK_THREAD_CPUTIME_ID);
}

/* It computes, and gives way to others as long as they leave it something. */
static void go_on(struct trainer *trainer) {
    if (trainer->time.scarce)
        give_way_hold(&trainer->way);
    else
        give_way_go(&trainer->way);
}

/* Others may leave it nothing, for as long as they are busy. */
static void see_time(struct trainer *trainer) {
    int64_t wall = trainer->time.wall, cpu = trainer->time.cpu;
    wake_up(trainer);
    trainer->time.awake += trainer->time.wall - wall;
    trainer->time.computed += trainer->time.cpu - cpu;
    if (trainer->time.awake < scarce_after)
        return;
    double least = trainer->time.scarce ? plenty_share : scarce_share;
    bool scarce = (double)trainer->time.computed < least * (double)trainer->time.awake;
    if (scarce != trainer->time.scarce)
        priority_background(scarce); /* a hint: it need not be heeded */
    trainer->time.scarce = scarce;
    go_on(trainer);
    trainer->time.awake = trainer->time.computed = 0;
}

static void sleep_for(struct trainer *trainer, int64_t ns) {
    give_way_hold(&trainer->way);
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
    go_on(trainer);
}

/* Asked between two pieces of work, which is where the budget is kept. */
static bool told_to_stop(void *context) {
    struct watched *watched = context;
    int64_t pause;
    see_time(watched->trainer);
    while (!is_stopped(watched) && (pause = pause_now(watched->trainer)) > 0)
        sleep_for(watched->trainer, pause < nap_most ? pause : nap_most);
    wake_up(watched->trainer);
    return is_stopped(watched);
}

static void note_progress(void *context, const struct training_progress *progress) {
    const struct watched *watched = context;
    atomic_store_explicit(&watched->job->epoch, progress->epoch, memory_order_relaxed);
    atomic_store_explicit(&watched->job->epochs, progress->epochs, memory_order_relaxed);
    atomic_store_explicit(&watched->job->steps, progress->steps, memory_order_relaxed);
    atomic_store_explicit(&watched->job->steps_in_all, progress->steps_in_all, memory_order_relaxed);
}

static void run_job(struct trainer *trainer, struct training_job *job) {
    struct watched watched = {.trainer = trainer, .job = job};
    const struct training_watch watch = {.stop = told_to_stop, .progress = note_progress, .context = &watched};
    const struct network *champion = job->champion != NULL ? version_network(job->champion) : NULL;
    int64_t began = clock_monotonic();
    atomic_store_explicit(&job->began, began, memory_order_relaxed);
    cpu_budget_resume(&trainer->budget, began, clock_read(CLOCK_THREAD_CPUTIME_ID));
    wake_up(trainer);
    go_on(trainer);
    job->failed = training_run(&job->of, trainer->kernels, job->sets, job->n_sets, champion, &watch, &job->outcome,
                               &job->err) != 0;
    give_way_hold(&trainer->way);
    job->seconds = 1e-9 * (double)(clock_monotonic() - began);
}

static void *run(void *context) {
    struct trainer *trainer = context;
    if (priority_background(false) != 0) /* it still works */
        log_warning("trainer: not in the background: %s", strerror(errno));
    int failed = give_way_open(&trainer->way);
    if (failed != 0)
        log_warning("trainer: no timer to let others go first by: %s", strerror(failed));
    openblas_set_num_threads(1);
    cpu_budget_begin(&trainer->budget, trainer->config->training_cpu, clock_monotonic(),
                     clock_read(CLOCK_THREAD_CPUTIME_ID));
    while (!atomic_load_explicit(&trainer->stopping, memory_order_acquire)) {
        struct training_job *job = take(trainer->jobs);
        if (job != NULL) {
            run_job(trainer, job);
            put(trainer->done, job);
            doorbell_ring(trainer->bus);
            continue;
        }
        doorbell_arm(&trainer->bell);
        size_t n;
        if (ring_peek(trainer->jobs, &n) == NULL && !atomic_load_explicit(&trainer->stopping, memory_order_acquire))
            doorbell_wait(&trainer->bell, -1);
        doorbell_disarm(&trainer->bell);
    }
    give_way_close(&trainer->way);
    return NULL;
}

static void trainer_free(struct trainer *trainer) {
    if (trainer == NULL)
        return;
    struct training_job *job;
    while (trainer->jobs != NULL && (job = take(trainer->jobs)) != NULL)
        training_job_free(job);
    while (trainer->done != NULL && (job = take(trainer->done)) != NULL)
        training_job_free(job);
    ring_free(trainer->jobs);
    ring_free(trainer->done);
    doorbell_fini(&trainer->bell);
    free(trainer);
}

struct trainer *trainer_start(const struct config *config, struct doorbell *bus, struct error *err) {
    struct trainer *trainer = calloc(1, sizeof *trainer);
    if (trainer == NULL)
        goto memory;
    trainer->config = config;
    trainer->kernels = kernels_choose();
    trainer->bus = bus;
    trainer->bell.fd = -1;
    atomic_init(&trainer->stopping, false);
    size_t room = ((size_t)config->n_models + 1) * 32;
    trainer->jobs = ring_new(room);
    trainer->done = ring_new(room);
    if (trainer->jobs == NULL || trainer->done == NULL)
        goto memory;
    if (doorbell_init(&trainer->bell) != 0) {
        error_set(err, "trainer: eventfd: %s", strerror(errno));
        goto fail;
    }
    int failed = pthread_create(&trainer->thread, NULL, run, trainer);
    if (failed != 0) {
        error_set(err, "trainer: cannot start a thread: %s", strerror(failed));
        goto fail;
    }
    pthread_setname_np(trainer->thread, "trainer");
    return trainer;

memory:
    error_set(err, "trainer: out of memory");
fail:
    trainer_free(trainer);
    return NULL;
}

void trainer_stop(struct trainer *trainer) {
    if (trainer == NULL)
        return;
    atomic_store_explicit(&trainer->stopping, true, memory_order_release);
    doorbell_ring(&trainer->bell);
    pthread_join(trainer->thread, NULL);
    trainer_free(trainer);
}

int trainer_cpu_clock(const struct trainer *trainer, clockid_t *ret_clock) {
    return pthread_getcpuclockid(trainer->thread, ret_clock);
}

void trainer_submit(struct trainer *trainer, struct training_job *job) {
    job->of = trainer->config->models[job->model];
    put(trainer->jobs, job);
    doorbell_ring(&trainer->bell);
}

bool trainer_has_result(struct trainer *trainer) {
    size_t n;
    return ring_peek(trainer->done, &n) != NULL;
}

struct training_job *trainer_take(struct trainer *trainer) {
    return take(trainer->done);
}
