/*
 * Models with weights as bfloat16 (`precision: bf16`) against what Keras gives with floats: outputs are at most 1 %
 * of their scale off. An argument is a pattern of the names to run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/golden_run.h"

#include <math.h>

static double worst;

static double check(const struct golden_box *box, const char *name, const struct golden *golden) {
    double error = golden_check_bf16(golden);

    (void)box;
    print_message("%s: %.3g of the scale with bf16\n", name, error);
    assert_true(error <= 1e-2);
    worst = fmax(worst, error);
    return 0; /* the limit of floats is not for these */
}

int main(int argc, char **argv) {
    static const char *const boxes[] = {"recurrent", "models", "whole", "stateful"};
    int failed = golden_main(argc, argv, boxes, sizeof boxes / sizeof *boxes, 1, check);

    print_message("bf16: worst %.3g of the scale\n", worst);
    return failed;
}
