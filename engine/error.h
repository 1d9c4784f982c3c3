/*
 * What went wrong, in one sentence for a person: what, where, and what was expected.
 *
 * The engine neither logs nor exits. A function that can fail because of the world (a file, a
 * configuration, a message) takes a struct error, returns 0 or -1, and leaves its results
 * untouched when it fails. Bugs of the caller assert instead.
 */
#ifndef ENGINE_ERROR_H
#define ENGINE_ERROR_H

struct error {
    char text[512]; /* NUL-terminated, cut where too long; no closing full stop or newline */
};

/* Formats err->text as printf does. Returns -1, so that it can close a function: return error_set(...). */
int error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before what err->text already says. Returns -1. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
