#include "daemon/cpu_budget.h"

#include <math.h>

/* No nap is shorter; what may be caught up on: half a second of all that passes, less than a point of a minute. */
static const double least_nap = 2e6, most_credit = 0.5e9;

void cpu_budget_begin(struct cpu_budget *budget, double share, int64_t wall, int64_t cpu) {
    *budget = (struct cpu_budget){.share = share, .wall = wall, .cpu = cpu};
}

static void count(struct cpu_budget *budget, int64_t wall, int64_t cpu) {
    budget->debt += (double)(cpu - budget->cpu) - budget->share * (double)(wall - budget->wall);
    budget->wall = wall;
    budget->cpu = cpu;
}

void cpu_budget_resume(struct cpu_budget *budget, int64_t wall, int64_t cpu) {
    count(budget, wall, cpu);
    budget->debt = fmax(budget->debt, 0);
}

int64_t cpu_budget_pause(struct cpu_budget *budget, int64_t wall, int64_t cpu) {
    count(budget, wall, cpu);
    if (budget->debt < -most_credit * budget->share)
        budget->debt = -most_credit * budget->share;
    double nap = budget->debt / budget->share;
    return budget->share < 1 && nap >= least_nap ? (int64_t)nap : 0;
}
