/*
 * Times as text, in all the forms in which files have them, to ns since 1970 UTC. Pure functions.
 * A time without a zone is taken as UTC.
 */
#ifndef FORECAST_TIMETEXT_H
#define FORECAST_TIMETEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct time_format {
    enum {
        TIME_NONE,
        TIME_EPOCH, /* seconds, may have a fraction */
        TIME_EPOCH_MS,
        TIME_EPOCH_US,
        TIME_EPOCH_NS,
        TIME_ISO, /* 2016-07-01, 2016-07-01 00:00, 2016-07-01T00:00:00.5Z, 2016/07/01 00:00:00+02:00 */
        TIME_US,  /* 07/01/2016, 07/01/2016 00:00:00 */
        TIME_STRPTIME,
    } kind;
    const char *pattern; /* of strptime(3); not owned */
};

/* What --time-format means: epoch, epoch-ms, epoch-us, ns (or epoch-ns), iso, us, or a pattern of strptime
 * (it has a %). Returns false for other text. */
bool time_format_parse(const char *text, struct time_format *ret_format);

/* "epoch-ms", for sentences. */
const char *time_format_name(const struct time_format *format);

/* Finds the format of an example. A plain number counts only when it falls between 1985 and 2200 as
 * seconds, ms, us or ns, so that measurements are not taken for times. */
bool time_format_detect(const char *text, struct time_format *ret_format);

/* Reads a time in the format, blanks around it allowed. Returns false when it is none, or is not in int64 ns. */
bool time_text_parse(const struct time_format *format, const char *text, int64_t *ret_t);

#endif
