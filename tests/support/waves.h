/* Streams s0, s1 ... of two features: waves of twelve steps at a level of the stream's own, with noise, and now and then a
 * value that is missing. The same in every run. */
#ifndef TESTS_SUPPORT_WAVES_H
#define TESTS_SUPPORT_WAVES_H

#include <stdint.h>

enum { WAVES_FEATURES = 2 };

const char *waves_name(int stream, char name[16]);
/* The seed makes other noise. values [WAVES_FEATURES] */
void waves_values(uint64_t seed, int stream, int step, double *values);

#endif
