/*
 * Helpers of the wire's tests: bytes from hex, ticks as text to compare with, mutations, and the examples
 * of PROTOCOL.md.
 */
#ifndef TESTS_SUPPORT_WIRE_CASES_H
#define TESTS_SUPPORT_WIRE_CASES_H

#include "daemon/wire.h"

/* The bytes of hex digits; blanks are passed over, and text in single quotes stands for itself. Returns their
 * number; aborts where size is too small. */
size_t bytes_of(const char *hex, void *ret_bytes, size_t size);

/* All ticks of a message as text, into a buffer that lives until the next call:
 *     boiler-7@1000[1.5,nil]#12; !value(boiler-8); ~cpu/h1@-{user=1}
 * that is name, time ("-": none), values in order or by name, seq; of a refused tick the reason and the name; "~"
 * for lenient; "s@5=2" is a label; and "!!reason" where the message is refused. The frames are copied to memory of
 * their exact size, so that a sanitizer sees each byte read beyond. */
const char *ticks_as_text(const struct wire_text *frames, size_t n_frames);

/* Reads all ticks of a message, touches all that they point to, and aborts where they break wire.h's promises.
 * Returns how many were taken. */
size_t ticks_walk(const struct wire_text *frames, size_t n_frames);

/* Changes 1 to 4 places of the n bytes: bits, bytes of note, insertions, removals, copies from elsewhere,
 * truncation. Returns the new length, at most size. *state is the generator's, never 0. */
size_t mutate(unsigned char *bytes, size_t n, size_t size, uint64_t *state);

/* The bytes of the hex dump in daemon/PROTOCOL.md that follows the line "<!-- example: NAME -->". Returns their
 * number, 0 when there is none. Tests run in the top folder of the source. */
size_t protocol_example(const char *name, void *ret_bytes, size_t size);

#endif
