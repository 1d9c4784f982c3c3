/*
 * What is kept of a stream beyond its stay in memory, as bytes: a buffer that grows as it is written to, and a reader
 * that believes nothing.
 *
 *     image:   "fcim"  u16 format  section...  u64 XXH3 (64 bits) of all before it
 *     section: tag (4 letters)  u16 format  u32 length  its numbers, and sections in it
 *
 * Numbers are little-endian, floats IEEE 754. Whoever owns something has one function that writes it into a section or
 * reads it from there (struct image_io goes either way), so that what is read is what was written. Each section has a
 * format of its own: an older one is read, a newer one refused.
 *
 * A reader fails once, with a sentence; what is read afterwards are zeros. Whoever needs a number to be true (an
 * index, a count) has it checked as it is read.
 *
 * One owner at a time; nothing blocks.
 */
#ifndef ENGINE_IMAGE_H
#define ENGINE_IMAGE_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A buffer; zero-initialise. One that has grown stays so large until it is freed. */
struct image {
    uint8_t *bytes;
    size_t n, room;
    bool failed; /* memory was short */
};
void image_free(struct image *image); /* and makes it an empty one */

/* An image, or a section of one, on its way out or in. */
struct image_io {
    struct image *to; /* NULL: it is read */
    size_t section;   /* where the numbers of the section begin in it */

    const uint8_t *from, *at, *end; /* all of the image; what is left of it, or of the section */
    char tag[5];
    uint16_t format; /* of the section */
    bool failed;
    bool newer;  /* failed, as it is of a later format */
    bool memory; /* failed, for want of memory */
    struct error *err;
};

/* Begins to write an image into the buffer, in the place of what is there. */
void image_begin(struct image_io *io, struct image *image);
/* Begins to read one of n bytes, which outlive the reading, as does err. Returns 0, or -1 where it is damaged, or
 * newer than this code. */
int image_open(struct image_io *io, const void *bytes, size_t n, struct error *err);
/* The same of bytes that are known to be those that were written: their sum is not looked at. */
int image_open_summed(struct image_io *io, const void *bytes, size_t n, struct error *err);
/* The image is complete: written, its bytes are [to->n]; -1: memory was short. Or read, to its end; -1: something was
 * wrong, and err says what. */
int image_end(struct image_io *io);

static inline bool image_reads(const struct image_io *io) {
    return io->to == NULL;
}

/* Begins a section within another, or within the image: written with that format, or read with that tag and a format
 * of at most that (ret_io->format is its own). Between enter and leave only the section is used. */
void image_enter(struct image_io *io, const char *tag, uint16_t format, struct image_io *ret_section);
/* It is complete; read to its end. */
void image_leave(struct image_io *io, struct image_io *section);
/* While reading: whether the section that comes next has that tag; and passing over it. */
bool image_comes(const struct image_io *io, const char *tag);
void image_pass(struct image_io *io, const char *tag);

/* x [n] of integers or floats of a fixed size, as *x is of. */
#define image_io(io, x, n) image_numbers(io, x, n, sizeof *(x))
void image_numbers(struct image_io *io, void *x, size_t n, size_t width);
/* While reading: how many bytes are left of the section; and passing over some. */
size_t image_left(const struct image_io *io);
void image_skip(struct image_io *io, size_t bytes);
void image_bool(struct image_io *io, bool *x);
/* Within least and most; what: its name in the sentence, where it is not. */
void image_int(struct image_io *io, int *x, int least, int most, const char *what);
void image_count(struct image_io *io, uint64_t *x, uint64_t most, const char *what);
/* The number of things that come next, of so many bytes each at least: no more than there are bytes left for, either. */
void image_number(struct image_io *io, uint64_t *x, uint64_t most, size_t bytes, const char *what);

/* A text of less than room bytes, ended by a NUL, in memory of the caller's. */
void image_name(struct image_io *io, char *name, int room);
/* A text without NUL; read, it is the caller's to free, NULL where that has failed. */
void image_text(struct image_io *io, char **text);

/* While reading: the section is damaged where `good` is false. Returns whether all is good so far. */
bool image_check(struct image_io *io, bool good, const char *what);
static inline bool image_ok(const struct image_io *io) {
    return !io->failed;
}
/* While reading: nothing is damaged, but the image is not for this place; the sentence says why. Returns -1. */
int image_refuse(struct image_io *io, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* XXH3 of bytes: whether two of something are the same. */
uint64_t image_sum(const void *bytes, size_t n);

#endif
