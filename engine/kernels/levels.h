/* The levels there are, each defined by a file of its own; whether this CPU can run one, choose.c says. */
#ifndef ENGINE_KERNELS_LEVELS_H
#define ENGINE_KERNELS_LEVELS_H

#include "engine/kernels/kernels.h"

extern const struct kernels kernels_reference;
#ifdef __x86_64__
extern const struct kernels kernels_reference_fma;
#endif

#endif
