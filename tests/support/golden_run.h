/* A golden's model over its input, by network_forward and by a tape, against the outputs that Keras gives. */
#ifndef TESTS_SUPPORT_GOLDEN_RUN_H
#define TESTS_SUPPORT_GOLDEN_RUN_H

#include "tests/support/golden.h"

/* As samples, or in the stateful calls of the golden; what it generates, too. The largest error, in units of its
 * output's scale. */
double golden_check(const struct golden *golden);

/* The same with weights as bfloat16, and nothing generated. */
double golden_check_bf16(const struct golden *golden);

/* One step in a call, the state carried: a sample's outputs come out step by step. *ret_streams is false, and the
 * error 0, where the golden is in calls, or its model without a time axis, looks ahead, or looks at all of a
 * sample. */
double golden_check_stream(const struct golden *golden, bool *ret_streams);

#endif
