/*
 * A thread that computes for as long as there is something to compute, at the lowest priority (priority_background), lets go
 * of its processor by itself again and again while others want to run there.
 *
 * That it gives way to who is woken on its processor is not enough: who waits behind another thread on another processor is
 * fetched by the kernel once a processor has nothing to do, and one with a thread that computes always has. So the thread
 * sleeps for 20 microseconds behind each 50, in which the kernel looks around, as long as somebody has taken the processor from
 * it lately; else it goes on, and looks again each millisecond. A timer's signal (SIGRTMIN) brings that about wherever the thread is.
 */
#ifndef DAEMON_GIVE_WAY_H
#define DAEMON_GIVE_WAY_H

#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* Of one thread, the one that calls all of this; not moved while it is open. */
struct give_way {
    timer_t timer;
    volatile sig_atomic_t open, goes;
    long taken;               /* times that the processor was taken from the thread, as it was last looked at */
    int alone;                /* looks since it was */
    atomic_int_fast64_t naps; /* so far; anyone reads */
};

/* Begins, held. Returns 0, or an errno: there is no timer, and the others do nothing. */
int give_way_open(struct give_way *way);
/* The thread computes from now on. */
void give_way_go(struct give_way *way);
/* It does something else: no call that it waits in ends early (EINTR) for this. */
void give_way_hold(struct give_way *way);
/* Held for good. */
void give_way_close(struct give_way *way);

#endif
