#include "engine/image.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FORMAT = 1, TAG = 4, HEADER = TAG + 2, SUM = 8, FIRST_ROOM = 4096 };

static const char magic[] = "fcim";

/* n numbers of `width` bytes, between memory and little-endian bytes, either way. */
static void copy_numbers(void *to, const void *from, size_t n, size_t width) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (n > 0)
        memcpy(to, from, n * width);
#else
    for (size_t i = 0; i < n * width; i++)
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i - i % width + (width - 1 - i % width)];
#endif
}

uint64_t image_sum(const void *bytes, size_t n) {
    return XXH3_64bits(bytes, n);
}

/* ---- the buffer --------------------------------------------------------------------------------- */

void image_free(struct image *image) {
    free(image->bytes);
    *image = (struct image){0};
}

/* Room for n more bytes; NULL: there is none, and never will be. */
static uint8_t *grow(struct image *image, size_t n) {
    if (image->failed)
        return NULL;
    if (n > image->room - image->n) {
        size_t room = image->room > 0 ? image->room : FIRST_ROOM;
        while (room - image->n < n)
            room *= 2;
        uint8_t *bytes = realloc(image->bytes, room);
        if (bytes == NULL) {
            image->failed = true;
            return NULL;
        }
        image->bytes = bytes;
        image->room = room;
    }
    image->n += n;
    return image->bytes + image->n - n;
}

static void put(struct image *image, const void *x, size_t n, size_t width) {
    uint8_t *at = grow(image, n * width);
    if (at != NULL)
        copy_numbers(at, x, n, width);
}

/* ---- what goes wrong ---------------------------------------------------------------------------- */

int image_refuse(struct image_io *io, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!io->failed)
        vsnprintf(io->err->text, sizeof io->err->text, format, arguments);
    va_end(arguments);
    io->failed = true;
    io->at = io->end;
    return -1;
}

bool image_check(struct image_io *io, bool good, const char *what) {
    if (!good)
        image_refuse(io, "the image is damaged in section %s before its byte %zu: %s", io->tag,
                     (size_t)(io->at - io->from), what);
    return !io->failed;
}

static int refuse_newer(struct image_io *io, const char *what, int format, int newest) {
    io->newer = true;
    return image_refuse(io, "%s has format %d, and this version of forecastd reads up to %d: a newer one is needed",
                        what, format, newest);
}

/* ---- an image ----------------------------------------------------------------------------------- */

void image_begin(struct image_io *io, struct image *image) {
    const uint16_t format = FORMAT;
    *io = (struct image_io){.to = image};
    image->n = 0;
    image->failed = false;
    put(image, magic, TAG, 1);
    put(image, &format, 1, sizeof format);
}

static int open_image(struct image_io *io, const void *bytes, size_t n, bool summed, struct error *err) {
    const uint8_t *from = bytes;
    uint64_t sum = 0;
    uint16_t format = 0;
    *io = (struct image_io){.from = from, .at = from, .end = from + n, .tag = "fcim", .err = err};
    if (n < HEADER + SUM || memcmp(from, magic, TAG) != 0)
        return image_refuse(io, "%zu bytes that are no image: they do not begin as one", n);
    io->end -= SUM;
    copy_numbers(&sum, io->end, 1, sizeof sum);
    if (!summed && sum != XXH3_64bits(from, n - SUM))
        return image_refuse(io, "the image of %zu bytes is damaged: its sum is wrong", n);
    copy_numbers(&format, from + TAG, 1, sizeof format);
    io->at += HEADER;
    return format > FORMAT ? refuse_newer(io, "the image", format, FORMAT) : 0;
}

int image_open(struct image_io *io, const void *bytes, size_t n, struct error *err) {
    return open_image(io, bytes, n, false, err);
}

int image_open_summed(struct image_io *io, const void *bytes, size_t n, struct error *err) {
    return open_image(io, bytes, n, true, err);
}

int image_end(struct image_io *io) {
    if (image_reads(io)) {
        image_check(io, io->at == io->end, "there is more than was expected");
        return io->failed ? -1 : 0;
    }
    if (io->to->failed)
        return -1;
    const uint64_t sum = XXH3_64bits(io->to->bytes, io->to->n);
    put(io->to, &sum, 1, sizeof sum);
    return io->to->failed ? -1 : 0;
}

/* ---- a section ---------------------------------------------------------------------------------- */

bool image_comes(const struct image_io *io, const char *tag) {
    return image_left(io) >= TAG && memcmp(io->at, tag, TAG) == 0;
}

static void read_section(struct image_io *io, const char *tag, uint16_t newest, struct image_io *ret_section) {
    char what[64], found[TAG];
    uint16_t format = 0;
    uint32_t length = 0;
    bool comes = image_comes(io, tag);
    image_io(io, found, TAG);
    image_io(io, &format, 1);
    image_io(io, &length, 1);
    /* Streams come back by the ten thousand: sentences are made where they are needed. */
    if (!(comes && format > 0 && length <= image_left(io))) {
        snprintf(what, sizeof what, "section %s is not there, or not whole", tag);
        image_check(io, false, what);
    } else if (!io->failed && format > newest) {
        snprintf(what, sizeof what, "the image's section %s", tag);
        refuse_newer(io, what, format, newest);
    }
    *ret_section = *io;
    memcpy(ret_section->tag, tag, TAG + 1);
    ret_section->format = format;
    if (!io->failed)
        ret_section->end = ret_section->at + length;
}

void image_enter(struct image_io *io, const char *tag, uint16_t format, struct image_io *ret_section) {
    assert(strlen(tag) == TAG && format > 0);
    const uint32_t length = 0;
    if (image_reads(io)) {
        read_section(io, tag, format, ret_section);
        return;
    }
    put(io->to, tag, TAG, 1);
    put(io->to, &format, 1, sizeof format);
    put(io->to, &length, 1, sizeof length);
    *ret_section = (struct image_io){.to = io->to, .section = io->to->n, .format = format};
}

void image_leave(struct image_io *io, struct image_io *section) {
    if (image_reads(io)) {
        image_check(section, section->at == section->end, "there is more than was expected");
        io->failed = section->failed;
        io->newer = section->newer;
        io->memory = section->memory;
        io->at = section->failed ? io->end : section->at;
        return;
    }
    assert(io->to->n - section->section <= UINT32_MAX);
    const uint32_t length = (uint32_t)(io->to->n - section->section);
    if (!io->to->failed)
        copy_numbers(io->to->bytes + section->section - sizeof length, &length, 1, sizeof length);
}

void image_pass(struct image_io *io, const char *tag) {
    struct image_io section;
    image_enter(io, tag, UINT16_MAX, &section);
    section.at = section.end;
    image_leave(io, &section);
}

/* ---- numbers ------------------------------------------------------------------------------------ */

void image_numbers(struct image_io *io, void *x, size_t n, size_t width) {
    if (!image_reads(io)) {
        put(io->to, x, n, width);
        return;
    }
    if (!image_check(io, n <= image_left(io) / width, "it ends too early")) {
        memset(x, 0, n * width);
        return;
    }
    copy_numbers(x, io->at, n, width);
    io->at += n * width;
}

size_t image_left(const struct image_io *io) {
    return (size_t)(io->end - io->at);
}

void image_skip(struct image_io *io, size_t bytes) {
    if (image_reads(io) && image_check(io, bytes <= image_left(io), "it ends too early"))
        io->at += bytes;
}

void image_bool(struct image_io *io, bool *x) {
    uint8_t byte = !image_reads(io) && *x;
    image_io(io, &byte, 1);
    if (image_reads(io))
        *x = image_check(io, byte <= 1, "a mark is neither 0 nor 1") && byte == 1;
}

void image_int(struct image_io *io, int *x, int least, int most, const char *what) {
    int32_t number = image_reads(io) ? 0 : *x;
    image_io(io, &number, 1);
    if (image_reads(io))
        *x = image_check(io, number >= least && number <= most, what) ? number : least;
}

void image_count(struct image_io *io, uint64_t *x, uint64_t most, const char *what) {
    uint64_t number = image_reads(io) ? 0 : *x;
    image_io(io, &number, 1);
    if (image_reads(io))
        *x = image_check(io, number <= most, what) ? number : 0;
}

void image_number(struct image_io *io, uint64_t *x, uint64_t most, size_t bytes, const char *what) {
    image_count(io, x, most, what);
    if (image_reads(io) && !image_check(io, *x <= image_left(io) / bytes, "it ends too early"))
        *x = 0;
}

void image_name(struct image_io *io, char *name, int room) {
    int n = image_reads(io) ? 0 : (int)strlen(name);
    image_int(io, &n, 0, room - 1, "a name that is too long");
    image_io(io, name, (size_t)n);
    name[n] = '\0';
}

void image_text(struct image_io *io, char **text) {
    uint32_t n = image_reads(io) ? 0 : (uint32_t)strlen(*text);
    image_io(io, &n, 1);
    if (image_reads(io)) {
        *text = NULL;
        if (!image_check(io, n <= (size_t)(io->end - io->at), "a text is too long"))
            return;
        *text = calloc((size_t)n + 1, 1);
        if (*text == NULL) {
            io->memory = true;
            image_refuse(io, "out of memory");
            return;
        }
    }
    image_numbers(io, *text, n, 1);
}
