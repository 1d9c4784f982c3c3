#include "daemon/doorbell.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int doorbell_init(struct doorbell *bell) {
    atomic_init(&bell->armed, 0);
    bell->owed = 0;
    bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return bell->fd < 0 ? -1 : 0;
}

void doorbell_fini(struct doorbell *bell) {
    if (bell->fd >= 0)
        close(bell->fd);
    bell->fd = -1;
}

/*
 * Both sides exchange `armed`, so one of the two exchanges comes first: either the sleeper's, and
 * the other side sees it armed and writes; or the other side's, and the sleeper sees all that was put into the rings
 * before it.
 */
void doorbell_arm(struct doorbell *bell) {
    atomic_exchange_explicit(&bell->armed, 1, memory_order_acq_rel);
}

void doorbell_wait(struct doorbell *bell, int timeout_ms) {
    struct pollfd item = {.fd = bell->fd, .events = POLLIN};
    poll(&item, 1, timeout_ms);
}

void doorbell_disarm(struct doorbell *bell) {
    bell->owed += atomic_exchange_explicit(&bell->armed, 0, memory_order_acq_rel) == 0;
    if (bell->owed == 0)
        return; /* nobody rang */
    /* A ringer may not have come to write yet. Its write then ends some later wait, and is read after that one: left
	 * in the counter it would end every wait to come. */
    uint64_t rung;
    if (read(bell->fd, &rung, sizeof rung) == (ssize_t)sizeof rung)
        bell->owed -= rung;
}

int doorbell_fd(const struct doorbell *bell) {
    return bell->fd;
}

void doorbell_ring(struct doorbell *bell) {
    if (atomic_exchange_explicit(&bell->armed, 0, memory_order_acq_rel) == 0)
        return;
    uint64_t one = 1;
    ssize_t put = write(bell->fd, &one, sizeof one);
    (void)put; /* fails only when the counter is full, and then the bell is ringing already */
}
