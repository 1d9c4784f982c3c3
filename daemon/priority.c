#include "daemon/priority.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BACKGROUND_NICE = 10 };

/* ns; the kernel's least and most. */
static const uint64_t shortest_slice = 100000, longest_slice = 100000000, usual_slice = 0;

/* sched_setattr(2), which has no function in every C library; the kernel takes this first form of its argument for ever. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static int set(int policy, int nice, uint64_t slice) {
    const struct attributes attributes = {
        .size = sizeof attributes, .policy = (uint32_t)policy, .nice = nice, .runtime = slice};
    return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void set_slice(uint64_t slice) {
    errno = 0;
    int nice = getpriority(PRIO_PROCESS, 0); /* of the thread, on Linux */
    if (sched_getscheduler(0) == SCHED_OTHER && errno == 0)
        set(SCHED_OTHER, nice, slice);
}

void priority_prompt(void) {
    set_slice(shortest_slice);
}

void priority_usual(void) {
    set_slice(usual_slice);
}

int priority_background(bool scarce) {
    errno = 0;
    int nice = getpriority(PRIO_PROCESS, 0);
    return set(scarce ? SCHED_BATCH : SCHED_IDLE, errno == 0 && nice > BACKGROUND_NICE ? nice : BACKGROUND_NICE,
               longest_slice);
}
