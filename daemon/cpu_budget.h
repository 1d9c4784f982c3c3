/*
 * Keeps a thread to a share of one processor by telling it how long to sleep: what it has used more than its share of
 * the time that passed is a debt, which sleeping pays off. Pure arithmetic on times that are passed in; one owner.
 */
#ifndef DAEMON_CPU_BUDGET_H
#define DAEMON_CPU_BUDGET_H

#include <stdint.h>

struct cpu_budget {
    double share;      /* of one processor; 1 or more: as it likes */
    int64_t wall, cpu; /* ns, when it was looked at last: any clock, and the thread's processor time */
    double debt;       /* ns of processor time; below 0: it may catch up on time that it did not get */
};

/* Work begins now; nothing that was not used before counts. */
void cpu_budget_begin(struct cpu_budget *budget, double share, int64_t wall, int64_t cpu);

/* Work begins again: what is still owed is paid first, and the time without any work gives no right to more. */
void cpu_budget_resume(struct cpu_budget *budget, int64_t wall, int64_t cpu);

/* How long to sleep now, ns: 0 where the debt is less than a few ms of sleep, as many short naps would be dear. The
 * thread may be woken earlier, and asks again. */
int64_t cpu_budget_pause(struct cpu_budget *budget, int64_t wall, int64_t cpu);

#endif
