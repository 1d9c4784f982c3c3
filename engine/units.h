/*
 * Numbers with units, as a person writes them in the configuration and on a command line.
 *
 * Pure functions. A parse returns 0, or -1 and leaves *ret_x as it was; the whole text must be the
 * value, without spaces. The caller's LC_NUMERIC is "C".
 */
#ifndef ENGINE_UNITS_H
#define ENGINE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What each parse accepts, in the words of an error: "... is not " and this. */
#define UNITS_INTEGER  "an integer"
#define UNITS_NUMBER   "a number"
#define UNITS_SHARE    "a share (20% or 0.2)"
#define UNITS_DURATION "a duration (a number and ns, us, ms, s, m, h or d)"
#define UNITS_BYTES    "a size (bytes, or a number and KiB, MiB, GiB or TiB)"
#define UNITS_BOOLEAN  "true or false"

int units_parse_integer(const char *text, int64_t *ret_integer);
int units_parse_number(const char *text, double *ret_number); /* finite */
int units_parse_share(const char *text, double *ret_share);   /* "20%" is 0.2 */
int units_parse_duration(const char *text, int64_t *ret_ns);  /* 0 needs no unit */
int units_parse_bytes(const char *text, int64_t *ret_bytes);
int units_parse_boolean(const char *text, bool *ret_boolean);

/* The inverse, with the largest unit that gives an integer ("90s", "16MiB"); n is at least 0. Cut at size. */
void units_print_duration(char *out, size_t size, int64_t ns);
void units_print_bytes(char *out, size_t size, int64_t bytes);

#endif
