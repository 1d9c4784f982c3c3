#include "daemon/journal_command.h"

#include <stdlib.h>
#include <string.h>

enum { COMMAND_FORMAT = 1, MOST_VALUES = 1 << 24 };

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
    return -1;
}
