/* Parts of the ctl command that deal with states and files. One thread. */
#ifndef FORECAST_CTL_H
#define FORECAST_CTL_H

#include <jansson.h>

/* The state in a JSON file ("-": standard input): what `ctl state --json` printed, or the map of layers alone. NULL
 * after a sentence on stderr. */
json_t *ctl_read_state(const char *path);

/* A path as the daemon, which runs in another folder, needs it; to be freed. NULL after a sentence on stderr. */
char *ctl_absolute(const char *path);

/* Prints a reply to `state`. */
void ctl_print_state(const json_t *reply);

/* What a stream's forecasts were worth, as a table. */
void ctl_print_scores(const json_t *reply);

#endif
