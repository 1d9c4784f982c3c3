/* What the daemon refused while ticks were sent: nobody else tells who sends through a socket without answers. */
#ifndef FORECAST_REFUSALS_H
#define FORECAST_REFUSALS_H

#include <stddef.h>

struct refusals;

/* Asks the daemon's control for what it has refused so far. NULL where it does not answer in time. */
struct refusals *refusals_begin(const char *endpoint, int timeout_ms);

/* Waits until the daemon's counters stand still, for two seconds at most, and says how many ticks it has refused
 * since the beginning, of whomever; ret_text: by reason, "late 299, repeated 1". Frees refusals (NULL is fine: 0). */
long long refusals_end(struct refusals *refusals, char *ret_text, size_t size);

#endif
