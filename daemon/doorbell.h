/*
 * Wakes a thread that sleeps until one of its rings has something. The sleeper: doorbell_arm, look once more
 * at its rings, then wait (doorbell_wait, or poll on doorbell_fd), then doorbell_disarm. Others: put
 * something into a ring, then doorbell_ring, which costs a system call only while the sleeper is armed.
 */
#ifndef DAEMON_DOORBELL_H
#define DAEMON_DOORBELL_H

#include <stdatomic.h>
#include <stdint.h>

struct doorbell {
    int fd; /* eventfd */
    atomic_int armed;
    uint64_t owed; /* sleeper: ringers that found it armed, and whose writes it has not read */
};

int doorbell_init(struct doorbell *bell); /* 0, or -1 with errno */
void doorbell_fini(struct doorbell *bell);

void doorbell_arm(struct doorbell *bell);
void doorbell_wait(struct doorbell *bell, int timeout_ms); /* -1: no limit */
void doorbell_disarm(struct doorbell *bell);               /* also takes what was rung */
int doorbell_fd(const struct doorbell *bell);              /* readable once rung */

/* Any thread. */
void doorbell_ring(struct doorbell *bell);

#endif
