#include "daemon/journal_command.h"

#include <stdlib.h>
#include <string.h>

enum { COMMAND_FORMAT = 1, MOST_VALUES = 1 << 24 };

/* Bytes, of which reading takes a copy (malloc). */
static void serialize_bytes(struct image_io *io, void **bytes, size_t *n) {
    uint64_t count = *n;
    image_count(io, &count, image_reads(io) ? image_left(io) : count, "more bytes than there are");
    if (image_reads(io) && image_ok(io)) {
        *bytes = malloc(count + 1);
        *n = *bytes != NULL ? (size_t)count : 0;
        if (*bytes == NULL)
            image_refuse(io, "out of memory");
    }
    if (image_ok(io))
        image_numbers(io, *bytes, *n, 1);
}

static void serialize_block(struct stored *stored, uint64_t b, struct image_io *io) {
    struct stored_block block = image_reads(io) ? (struct stored_block){0} : stored->blocks[b];
    image_io(io, &block.number, 1);
    serialize_bytes(io, &block.bytes, &block.n);
    if (!image_reads(io))
        return;
    if (image_ok(io) && stored_add_block(stored, block.number, block.bytes, block.n) == 0)
        return;
    free(block.bytes);
    if (image_ok(io))
        image_refuse(io, "out of memory");
}

static void serialize_image(struct journal_command *command, struct image_io *io) {
    enum { IMAGE_FORMAT = 1 };
    struct image_io section;
    image_enter(io, "imag", IMAGE_FORMAT, &section);
    if (image_reads(io)) {
        command->image = stored_new(command->stream, strlen(command->stream));
        if (command->image == NULL)
            image_refuse(&section, "out of memory");
    }
    struct stored *stored = command->image;
    uint64_t blocks = stored != NULL ? (uint64_t)stored->n_blocks : 0;
    if (stored != NULL) {
        image_io(&section, &stored->oldest, 1);
        serialize_bytes(&section, &stored->bytes, &stored->n);
        image_count(&section, &blocks, image_reads(io) ? image_left(&section) : blocks, "more blocks than there are");
    }
    for (uint64_t b = 0; b < blocks && image_ok(&section); b++)
        serialize_block(stored, b, &section);
    image_leave(io, &section);
}

static void serialize(struct journal_command *command, struct image_io *io) {
    struct image_io section;
    image_enter(io, "cmnd", COMMAND_FORMAT, &section);
    image_int(&section, &command->what, 0, N_JOURNALED - 1, "an unknown command");
    image_io(&section, &command->generation, 1);
    image_name(&section, command->stream, sizeof command->stream);
    image_name(&section, command->model, sizeof command->model);
    image_io(&section, &command->version, 1);
    image_io(&section, &command->began, 1);
    image_io(&section, &command->step, 1);
    image_count(&section, &command->n, MOST_VALUES, "too many values");
    if (image_reads(io) && image_ok(&section)) {
        command->values = calloc(command->n + 1, sizeof *command->values);
        if (command->values == NULL)
            image_refuse(&section, "out of memory");
    }
    if (command->values != NULL)
        image_io(&section, command->values, command->n);
    if (command->what == JOURNALED_IMPORT)
        serialize_image(command, &section);
    image_leave(io, &section);
}

int journal_command_write(struct journal_command *command, struct image *image) {
    struct image_io io;
    image_begin(&io, image);
    serialize(command, &io);
    return image_end(&io);
}

int journal_command_read(struct journal_command *command, const void *bytes, size_t n, struct error *err) {
    struct image_io io;
    *command = (struct journal_command){0};
    if (image_open(&io, bytes, n, err) != 0)
        return -1;
    serialize(command, &io);
    if (image_end(&io) == 0)
        return 0;
    free(command->values);
    stored_free(command->image);
    return -1;
}
