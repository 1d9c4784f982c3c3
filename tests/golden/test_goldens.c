/*
 * Models as Keras 3 and tf-keras wrote them, read and run: every layer and option alone, masks, stateful calls and
 * whole models, against what Keras gives; as streams too. An argument is a pattern of the names to run:
 * 'masks/mask-LSTM*'.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/golden_run.h"

#include <math.h>

static int n_streams;

static double check(const struct golden_box *box, const char *name, const struct golden *golden) {
    bool streams;
    double on_stream = golden_check_stream(golden, &streams), error = golden_check(golden);

    (void)box;
    if (streams)
        print_message("%s: as a stream %.3g of the scale\n", name, on_stream);
    n_streams += streams;
    return fmax(error, on_stream);
}

int main(int argc, char **argv) {
    static const char *const boxes[] = {"recurrent", "layers", "masks", "stateful", "models", "whole", "legacy"};
    int failed = golden_main(argc, argv, boxes, sizeof boxes / sizeof *boxes, 1, check);

    print_message("%d of them also ran as streams\n", n_streams);
    return failed;
}
