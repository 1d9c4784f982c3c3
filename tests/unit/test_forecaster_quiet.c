/* An advance and a slice of a takeover neither allocate, nor lock, nor call the system. Counted by interposing
 * the functions; and by a child that the kernel kills at its first system call. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "tests/support/replay.h"
#include "tests/support/fixtures.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers interpose the same functions, and call the system as they like. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

enum { FEATURES = 3, KEPT = 48, SLOTS = 16, STEPS = 60 };

/* ---- counting ------------------------------------------------------------------------------- */

/* Of this thread alone: OpenBLAS, linked in for training, starts threads of its own as the program is loaded. */
static _Thread_local volatile int counting;
static _Thread_local volatile unsigned calls;

#ifndef SANITIZED
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

#define INTERPOSE __attribute__((visibility("default")))

INTERPOSE void *malloc(size_t size) {
    calls += counting != 0;
    return __libc_malloc(size);
}

INTERPOSE void *calloc(size_t n, size_t size) {
    calls += counting != 0;
    return __libc_calloc(n, size);
}

INTERPOSE void *realloc(void *old, size_t size) {
    calls += counting != 0;
    return __libc_realloc(old, size);
}

INTERPOSE void *aligned_alloc(size_t alignment, size_t size) {
    calls += counting != 0;
    return __libc_memalign(alignment, size);
}

INTERPOSE void free(void *old) {
    calls += counting != 0;
    __libc_free(old);
}

INTERPOSE int pthread_mutex_lock(pthread_mutex_t *mutex) {
    static int (*lock)(pthread_mutex_t *);
    calls += counting != 0;
    if (lock == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "pthread_mutex_lock");
        memcpy(&lock, &symbol, sizeof lock); /* ISO C has no cast from an object to a function */
    }
    return lock(mutex);
}
#endif

/* ---- what is watched ------------------------------------------------------------------------ */

struct rig {
    struct fixture fixture;
    struct forecaster *forecaster;
    struct version *old, *new;
    struct history *history[SLOTS];
};

/* All slots taken, histories full, steps waiting; a new version proposed. */
static void rig_init(struct rig *rig) {
    fixture_init(&rig->fixture, FEATURES);
    rig->fixture.class.history = KEPT;
    rig->fixture.model.batch_size = SLOTS;
    rig->fixture.model.combine = COMBINE_ONLINE;
    rig->fixture.model.experts = EXPERTS_FULL;
    rig->forecaster = forecaster_new(&rig->fixture.class, &rig->fixture.model, kernels_choose());
    rig->old = fixture_version(&rig->fixture.model, 1, 1);
    rig->new = fixture_version(&rig->fixture.model, 2, 2);
    take_over(rig->forecaster, version_acquire(rig->old));
    for (int slot = 0; slot < SLOTS; slot++) {
        rig->history[slot] = history_new(FEATURES, KEPT, FIXTURE_PENDING);
        forecaster_acquire(rig->forecaster, slot, rig->history[slot]);
        for (int step = 0; step < STEPS; step++) {
            fixture_append(rig->history[slot], (uint64_t)slot, 1);
            forecaster_advance(rig->forecaster, &slot, 1);
        }
        fixture_append(rig->history[slot], (uint64_t)slot, FIXTURE_PENDING);
    }
    if (forecaster_propose(rig->forecaster, rig->new) != 0)
        abort();
}

static void rig_fini(struct rig *rig) {
    forecaster_free(rig->forecaster);
    version_release(rig->old);
    version_release(rig->new);
    for (int slot = 0; slot < SLOTS; slot++)
        history_free(rig->history[slot]);
}

static void advance_some(struct rig *rig, int from) {
    int slots[SLOTS], n = 0;
    for (int slot = from; slot < SLOTS; slot++)
        if (forecaster_pending(rig->forecaster, slot) > 0)
            slots[n++] = slot;
    if (n > 0)
        forecaster_advance(rig->forecaster, slots, n);
}

/* All slices but the last call, which frees the old version's states; advances of few and of all slots between. */
static void run(struct rig *rig, int slices) {
    for (int i = 0; i < slices; i++) {
        advance_some(rig, i % SLOTS);
        forecaster_prime(rig->forecaster);
    }
}

static int count_slices(void) {
    struct rig rig;
    int slices = 0;
    rig_init(&rig);
    for (;; slices++) {
        advance_some(&rig, slices % SLOTS);
        if (forecaster_prime(rig.forecaster))
            break;
    }
    rig_fini(&rig);
    return slices;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void no_allocation_and_no_lock(void **state) {
    (void)state;
#ifdef SANITIZED
    skip();
#endif
    int slices = count_slices();
    assert_true(slices > 20);
    struct rig rig;
    rig_init(&rig);
    calls = 0;
    counting = 1;
    run(&rig, slices);
    counting = 0;
    assert_int_equal(calls, 0);
    assert_true(forecaster_prime(rig.forecaster));

    /* That they are counted at all. */
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    counting = 1;
    struct history *history = history_new(1, 1, FIXTURE_PENDING);
    pthread_mutex_lock(&mutex);
    counting = 0;
    pthread_mutex_unlock(&mutex);
    assert_int_equal(calls, 2);
    history_free(history);
    rig_fini(&rig);
}

/* From here on the process may only exit. Returns false where the kernel has no filters. */
static bool forbid_system_calls(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { DONE = 0, NO_FILTER = 3 };

static void be_quiet(struct rig *rig, int slices) {
    run(rig, slices);
}

static void call_the_system(struct rig *rig, int slices) {
    (void)rig, (void)slices;
    getppid();
}

/* Runs it in a child under the filter; returns waitpid's status. */
static int run_filtered(void (*what)(struct rig *, int), int slices) {
    struct rig rig;
    int status = -1;
    rig_init(&rig);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (!forbid_system_calls())
            _exit(NO_FILTER);
        what(&rig, slices);
        _exit(DONE);
    }
    assert_true(pid > 0);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    rig_fini(&rig);
    return status;
}

static void no_system_call(void **state) {
    (void)state;
#ifdef SANITIZED
    skip();
#endif
    int slices = count_slices();
    /* That the filter kills at all. */
    int status = run_filtered(call_the_system, slices);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
        skip();
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = run_filtered(be_quiet, slices);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_allocation_and_no_lock),
        cmocka_unit_test(no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
