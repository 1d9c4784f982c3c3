/* Windows from within: for the files of windows alone. */
#ifndef ENGINE_WINDOWS_INTERNAL_H
#define ENGINE_WINDOWS_INTERNAL_H

#include "engine/windows.h"

/* The most runs between resets that a stream's validation part is made of. */
enum { VALIDATION_RUNS = 4 };

/* The windows with the lowest keys: a heap with the highest on top. */
struct reservoir {
    int n, max;
    double highest; /* keys above this are not even looked at */
    struct window *at;
};

struct windows {
    const struct config_model *model;
    struct reservoir training, validation;
    int longest; /* the most steps that a stream's validation part has */
    uint64_t left_out, copied;
};

/* Steps between the ends of two windows of a stream. */
uint64_t windows_stride(const struct config_model *model);

/* Whether a window of that key, stream and last step has a place now. */
bool windows_wants(const struct windows *windows, const struct window *window);

/* Takes the window over, in the place of the one with the highest key where there is no other. It is wanted. */
void windows_add(struct windows *windows, const struct window *window);

#endif
