/* Floats that end where a page begins that nobody may touch: reading or writing past the end ends the test. Any
 * alignment of the first float occurs. */
#ifndef TESTS_SUPPORT_GUARDED_H
#define TESTS_SUPPORT_GUARDED_H

#include <stddef.h>

/* n floats, zeros; free with guarded_free. */
float *guarded_new(size_t n);
float *guarded_copy(size_t n, const float *from);
void guarded_free(size_t n, float *floats);

#endif
