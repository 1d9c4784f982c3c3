/*
 * When a thread of the daemon runs where there are more of them, and of others, than processors. Hints to the kernel that
 * need no privilege: where they are not understood, or refused, nothing is lost but time. They are about the usual policy of
 * the system: a daemon that was started with another (chrt) keeps that, but for what runs in the background.
 */
#ifndef DAEMON_PRIORITY_H
#define DAEMON_PRIORITY_H

#include <stdbool.h>

/* The calling thread, and those that it starts from now on, work for a few dozen microseconds at a time, and are to do so
 * as soon as they are woken: they ask for the shortest slices, by which Linux from 6.12 on lets them go before who has
 * longer ones. No more processor time comes with it. */
void priority_prompt(void);
/* The calling thread is as any other again. */
void priority_usual(void);

/* The calling thread takes what time all others of the daemon leave (SCHED_IDLE): each of them that is woken goes before at
 * once. scarce: that is next to nothing, and so it is to be a small share instead, in long slices, at a nice level of 10
 * (SCHED_BATCH). Returns -1 with errno when it is not granted. */
int priority_background(bool scarce);

#endif
