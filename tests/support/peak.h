/* What a core can do at most: independent fused multiply-adds in registers. */
#ifndef TESTS_SUPPORT_PEAK_H
#define TESTS_SUPPORT_PEAK_H

#include <stddef.h>

/* Runs a short while; returns how many floating-point operations that was. 0: not known for this processor. */
size_t peak_flops(void *unused);

#endif
