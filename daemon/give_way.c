#include "daemon/give_way.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* which timer_create(2) names, and not every C library */
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Who waits does so for a turn at most; a nap of 1 us is over before the kernel has looked around. ns. */
static const long turn = 50000, nap = 20000, long_turn = 1000000;

/* Looks without anybody else behind which turns are long. */
enum { ALONE = 20 };

static void set_timer(const struct give_way *way, long after) {
    timer_settime(way->timer, 0, &(struct itimerspec){.it_value.tv_nsec = after}, NULL);
}

static long times_taken(void) {
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

static void begin_turn(const struct give_way *way) {
    set_timer(way, way->alone < ALONE ? turn : long_turn);
}

/* In the thread, amid whatever it computes: system calls only. */
static void look(int number, siginfo_t *info, void *unused) {
    struct give_way *way = info->si_value.sival_ptr;
    int kept = errno;
    (void)number;
    (void)unused;
    if (info->si_code != SI_TIMER || !way->goes) /* somebody else's; on its way when the thread was held */
        return;
    long taken = times_taken();
    way->alone = taken != way->taken ? 0 : way->alone + (way->alone < ALONE);
    way->taken = taken;
    if (way->alone < ALONE) {
        pselect(0, NULL, NULL, NULL, &(struct timespec){.tv_nsec = nap}, NULL);
        atomic_fetch_add_explicit(&way->naps, 1, memory_order_relaxed);
    }
    begin_turn(way);
    errno = kept;
}

int give_way_open(struct give_way *way) {
    const struct sigaction looking = {.sa_sigaction = look, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN, .sigev_value.sival_ptr = way};
    sigset_t signals;
    *way = (struct give_way){.taken = times_taken()};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (sigaction(SIGRTMIN, &looking, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &way->timer) != 0)
        return errno;
    way->open = true;
    prctl(PR_SET_TIMERSLACK, 1UL); /* else a nap takes 50 us more */
    sigemptyset(&signals);
    sigaddset(&signals, SIGRTMIN);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    return 0;
}

void give_way_go(struct give_way *way) {
    if (!way->open)
        return;
    way->goes = true;
    begin_turn(way);
}

void give_way_hold(struct give_way *way) {
    way->goes = false;
    if (way->open)
        set_timer(way, 0);
}

void give_way_close(struct give_way *way) {
    give_way_hold(way);
    if (way->open)
        timer_delete(way->timer);
    way->open = false;
}
