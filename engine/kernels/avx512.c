/* AVX-512: F, BW, DQ and VL. */
#include "engine/kernels/avx512.h"

#define ROWS    6 /* 24 sums, 6 inputs, and a vector of weights at a time */
#define LEVEL   "avx512"
#define KERNELS kernels_avx512

#include "engine/kernels/wide.h"
