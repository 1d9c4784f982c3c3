/* Parts of the ctl command that deal with states and files. One thread. */
#ifndef FORECAST_CTL_H
#define FORECAST_CTL_H

#include "clients/libforecast/forecast.h"

#include <jansson.h>
#include <stdbool.h>

/* Sends a request (whose reference it takes). Returns the reply, or NULL after the sentence on stderr; the
 * text of an error reply goes to stdout for --json. */
json_t *ctl_ask(struct forecast_control *control, json_t *request);

/* Writes the images of the streams that match a pattern (fnmatch) to path, one line of JSON each; reads them from there, and
 * makes streams of them. Return what to exit with. */
int ctl_export(struct forecast_control *control, const char *pattern, const char *path);
int ctl_import(struct forecast_control *control, const char *path, bool reprime);

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
