#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/trainer.h"

#include "daemon/clock.h"
#include "engine/forecaster.h"
#include "tests/support/bus_fixture.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST(epochs) \
    "workers: 1\nstreams:\n  - {class: c, pattern: '*', features: [a, b], history: 128}\n" \
    "models:\n" MODEL("m", epochs) MODEL("n", epochs)
#define MODEL(name, epochs) \
    "  - name: " name "\n    class: c\n    horizon: 2\n    layers:\n      - lstm: 6\n" \
    "    training: {window: 24, burn_in: 4, unroll: 12, epochs: " epochs ", patience: 0, max_windows: 64}\n"

struct scene {
    struct config *config;
    struct doorbell bell;
    struct trainer *trainer;
};

static void open_scene(struct scene *scene, const char *rest) {
    struct error err;
    scene->config = rig_config("", rest);
    assert_int_equal(doorbell_init(&scene->bell), 0);
    scene->trainer = trainer_start(scene->config, &scene->bell, &err);
    assert_non_null(scene->trainer);
}

static void close_scene(struct scene *scene) {
    trainer_stop(scene->trainer);
    doorbell_fini(&scene->bell);
    config_free(scene->config);
}

/* The windows of one seasonal stream, after so many steps. */
static struct windows *windows_of(const struct scene *scene, int model, int steps) {
    const struct config_model *of = &scene->config->models[model];
    struct windows *windows = windows_new(of, 64, 8, 1);
    struct history *history = history_new(2, 128, FIXTURE_PENDING);
    struct scaler scalers[2];
    assert_true(windows != NULL && history != NULL);
    memset(scalers, 0, sizeof scalers);
    for (int t = 1; t <= steps; t++) {
        const double values[2] = {sin(0.7 * t), 3 + cos(0.7 * t)};
        history_append(history, t, values, false);
        for (int f = 0; f < 2; f++)
            scaler_update(&scalers[f], values[f]);
    }
    struct windows_cursor cursor;
    if (windows_begin(&cursor, of, "s", history, history->n))
        while (windows_copy(windows, &cursor, history, scalers))
            ;
    history_free(history);
    return windows;
}

static void submit(const struct scene *scene, int model, int steps) {
    struct training_job *job = training_job_new(model, 2);
    assert_non_null(job);
    job->sets[job->n_sets++] = windows_of(scene, model, steps);
    job->sets[job->n_sets++] = windows_of(scene, model, 0);
    trainer_submit(scene->trainer, job);
}

/* Sleeps as the bus does until a job has come back. */
static struct training_job *wait_for(struct scene *scene) {
    int64_t until = clock_monotonic() + RIG_WAIT_MS * INT64_C(1000000);
    struct training_job *job;
    while ((job = trainer_take(scene->trainer)) == NULL) {
        doorbell_arm(&scene->bell);
        job = trainer_take(scene->trainer);
        if (job == NULL)
            doorbell_wait(&scene->bell, RIG_WAIT_MS);
        doorbell_disarm(&scene->bell);
        if (job != NULL)
            break;
        assert_true(clock_monotonic() < until); /* rung in time */
    }
    return job;
}

static void a_job_comes_back_with_its_outcome(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("3"));
    assert_null(trainer_take(scene.trainer));
    submit(&scene, 1, 120);
    struct training_job *job = wait_for(&scene);
    assert_int_equal(job->model, 1);
    assert_false(job->failed);
    assert_non_null(job->outcome.challenger);
    assert_int_equal(network_output(job->outcome.challenger, 0, 1).width, 4);
    assert_true(isfinite(job->outcome.losses.challenger));
    assert_true(isfinite(job->outcome.losses.last_value));
    assert_true(isnan(job->outcome.losses.champion));
    assert_true(job->outcome.n_training > 0);
    assert_int_equal(job->outcome.n_validation, 1);
    assert_false(job->outcome.stopped);
    assert_true(job->seconds > 0);
    assert_true(atomic_load(&job->epochs) >= 3);
    assert_int_equal(atomic_load(&job->epoch), atomic_load(&job->epochs));
    training_job_free(job);
    assert_null(trainer_take(scene.trainer));
    close_scene(&scene);
}

static void the_champion_is_judged_too(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    open_scene(&scene, REST("1"));
    struct network *network = forecaster_network(&scene.config->models[0], &err);
    network_init_weights(network, 1);
    struct version *champion = version_new(1, network);
    struct training_job *job = training_job_new(0, 1);
    job->sets[job->n_sets++] = windows_of(&scene, 0, 120);
    job->champion = version_acquire(champion);
    trainer_submit(scene.trainer, job);
    job = wait_for(&scene);
    assert_true(isfinite(job->outcome.losses.champion));
    training_job_free(job); /* with its reference */
    version_release(champion);
    close_scene(&scene);
}

static void without_windows_there_is_no_challenger(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("3"));
    submit(&scene, 0, 0);
    struct training_job *job = wait_for(&scene);
    assert_false(job->failed);
    assert_null(job->outcome.challenger);
    assert_true(isnan(job->outcome.losses.challenger));
    training_job_free(job);
    close_scene(&scene);
}

/* One behind the other, a job of every model; the same windows give the same bits. */
static void jobs_are_run_in_their_order(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("2"));
    double losses[2] = {0, 0};
    for (int round = 0; round < 3; round++) {
        submit(&scene, 0, 120);
        submit(&scene, 1, 120);
        for (int m = 0; m < 2; m++) {
            struct training_job *job = wait_for(&scene);
            assert_int_equal(job->model, m);
            assert_true(round == 0 || job->outcome.losses.challenger == losses[m]);
            losses[m] = job->outcome.losses.challenger;
            training_job_free(job);
        }
    }
    close_scene(&scene);
}

/* A configuration that is taken over while a job waits, or runs, is that of the next one. */
static void a_job_has_the_settings_of_its_beginning(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("2"));
    for (int m = 0; m < 2; m++) {
        struct config_training *training = &scene.config->models[m].training;
        training->min_steps = 0;
        submit(&scene, m, 120);
        training->epochs = 500;
        training->batch = 1;
    }
    for (int m = 0; m < 2; m++) {
        struct training_job *job = wait_for(&scene);
        assert_int_equal(atomic_load(&job->epochs), 2);
        training_job_free(job);
    }
    submit(&scene, 0, 120);
    struct training_job *job = wait_for(&scene);
    assert_int_equal(atomic_load(&job->epochs), 500);
    training_job_free(job);
    close_scene(&scene);
}

/* Stopped with one job under way, one that waits and one that has not been taken: at once, and all are freed. */
static void a_stop_frees_jobs_wherever_they_are(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("100000"));
    submit(&scene, 0, 0);
    int64_t began = 0;
    doorbell_arm(&scene.bell);
    doorbell_wait(&scene.bell, RIG_WAIT_MS); /* it is done, and stays where it is */
    doorbell_disarm(&scene.bell);
    struct training_job *job = training_job_new(1, 1);
    job->sets[job->n_sets++] = windows_of(&scene, 1, 120);
    trainer_submit(scene.trainer, job);
    while (atomic_load(&job->epoch) < 1)
        assert_true(rig_wait(&began));
    int64_t told = clock_monotonic();
    trainer_stop(scene.trainer);
    assert_true(clock_monotonic() - told < INT64_C(1000000000));
    scene.trainer = NULL;
    close_scene(&scene); /* stopping none is fine */
    training_job_free(NULL);
}

/* A job told to stop comes back within 100 ms, also out of a long sleep for the budget; and the next one runs. */
static void a_job_is_stopped(void **state) {
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct scene scene;
        open_scene(&scene, slow ? "training_cpu: 1%\n" REST("100000") : REST("100000"));
        struct training_job *job = training_job_new(0, 1);
        job->sets[job->n_sets++] = windows_of(&scene, 0, 120);
        trainer_submit(scene.trainer, job);
        int64_t began = 0;
        while (atomic_load(&job->steps) < 20)
            assert_true(rig_wait(&began));
        assert_true(atomic_load(&job->steps_in_all) >= 100000 && atomic_load(&job->began) > 0);
        int64_t told = clock_monotonic();
        atomic_store(&job->stop, true);
        assert_ptr_equal(wait_for(&scene), job);
        int64_t took = clock_monotonic() - told;
        print_message("stopped after %.1f ms\n", 1e-6 * (double)took);
        assert_true(took < INT64_C(100000000));
        assert_true(job->outcome.stopped && job->outcome.challenger == NULL && !job->failed);
        training_job_free(job);
        submit(&scene, 1, 0);
        training_job_free(wait_for(&scene));
        close_scene(&scene);
    }
}

/* The processor time of the thread while it does nothing but train. */
static void the_budget_is_kept(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, "training_cpu: 25%\n" REST("100000"));
    submit(&scene, 0, 120);
    clockid_t clock;
    assert_int_equal(trainer_cpu_clock(scene.trainer, &clock), 0);
    int64_t wall = clock_monotonic(), cpu = clock_read(clock), enough = INT64_C(4000000000);
    while (clock_monotonic() - wall < enough)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    double share = (double)(clock_read(clock) - cpu) / (double)(clock_monotonic() - wall);
    print_message("%.1f %% of a processor, of 25\n", 100 * share);
    assert_null(trainer_take(scene.trainer)); /* it has trained all the while */
    assert_true(share < 0.27);                /* less where the machine is busy */
    close_scene(&scene);
}

static void an_idle_trainer_stops(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct scene scene;
        open_scene(&scene, REST("1"));
        if (i % 2 == 0)
            submit(&scene, 0, 60); /* perhaps not even begun */
        close_scene(&scene);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_comes_back_with_its_outcome),
        cmocka_unit_test(the_champion_is_judged_too),
        cmocka_unit_test(without_windows_there_is_no_challenger),
        cmocka_unit_test(jobs_are_run_in_their_order),
        cmocka_unit_test(a_job_has_the_settings_of_its_beginning),
        cmocka_unit_test(a_stop_frees_jobs_wherever_they_are),
        cmocka_unit_test(a_job_is_stopped),
        cmocka_unit_test(the_budget_is_kept),
        cmocka_unit_test(an_idle_trainer_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
