/* The record of who serves, and its copy. */
#include "daemon/versions_champion.h"

#include "daemon/log.h"
#include "engine/image.h"
#include "engine/whole_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 };

static const char tag[] = "chmp";

/* The copy is written behind the record. */
enum champion_file { CHAMPION, COPY, CHAMPION_FILES };

static void path_of(const char *folder, enum champion_file file, char path[VERSIONS_PATH]) {
    static const char *const names[CHAMPION_FILES] = {"champion", "champion.copy"};
    snprintf(path, VERSIONS_PATH, "%s/%s", folder, names[file]);
}

void versions_champion_fini(struct champion *champion) {
    free(champion->made_for);
    free(champion->facts);
    *champion = (struct champion){0};
}

/* Both ways. */
static void io_champion(struct image_io *io, struct champion *champion) {
    image_io(io, &champion->number, 1);
    image_io(io, &champion->before, 1);
    image_bool(io, &champion->to_baseline);
    image_text(io, &champion->made_for);
    image_text(io, &champion->facts);
}

int versions_champion_write(const char *folder, struct champion *champion, struct error *err) {
    char path[VERSIONS_PATH];
    struct image image = {0};
    struct image_io io, section;
    path_of(folder, CHAMPION, path);
    image_begin(&io, &image);
    image_enter(&io, tag, FORMAT, &section);
    io_champion(&section, champion);
    image_leave(&io, &section);
    int failed = image_end(&io) != 0 ? error_set(err, "out of memory") : 0;
    for (enum champion_file f = 0; failed == 0 && f < CHAMPION_FILES; f++) {
        path_of(folder, f, path);
        failed = whole_file_write(path, image.bytes, image.n, err);
    }
    image_free(&image);
    return failed == 0 ? 0 : error_prefix(err, "%s", path);
}

static enum version_file parse_champion(const void *bytes, size_t n, struct champion *champion, struct error *err) {
    struct image_io io, section;
    bool whole = image_open(&io, bytes, n, err) == 0;
    if (whole) {
        image_enter(&io, tag, FORMAT, &section);
        if (image_ok(&section))
            io_champion(&section, champion);
        image_leave(&io, &section);
        whole = image_end(&io) == 0;
    }
    return whole       ? VERSION_FILE_READ
           : io.newer  ? VERSION_FILE_NEWER
           : io.memory ? VERSION_FILE_FAILED
                       : VERSION_FILE_DAMAGED;
}

static enum version_file read_champion(const struct champion_of *of, enum champion_file file,
                                       struct champion *champion, struct error *err) {
    char path[VERSIONS_PATH];
    void *bytes = NULL;
    size_t n = 0;
    path_of(of->folder, file, path);
    int failed = whole_file_read(path, &bytes, &n, err);
    enum version_file got = failed > 0   ? VERSION_FILE_NONE
                            : failed < 0 ? VERSION_FILE_FAILED
                                         : parse_champion(bytes, n, champion, err);
    free(bytes);
    if (got == VERSION_FILE_READ && strcmp(champion->made_for, of->made_for) != 0)
        got = VERSION_FILE_OTHER;
    if (got != VERSION_FILE_READ)
        error_prefix(err, "%s", path);
    return got;
}

static enum version_file find_record(const struct champion_of *of, enum champion_file file, struct champion *champion,
                                     struct error *err) {
    char path[VERSIONS_PATH], kept[VERSIONS_PATH];
    versions_champion_fini(champion);
    enum version_file got = read_champion(of, file, champion, err);
    if (got != VERSION_FILE_DAMAGED)
        return got;
    path_of(of->folder, file, path);
    versions_set_aside(path, kept);
    log_error("model %s: which version served cannot be read: %s; the file is kept as %s", of->model, err->text,
              kept);
    return got;
}

/* The other file is as the one that was read. That it cannot be written harms nobody yet. */
static void keep_both(const struct champion_of *of, enum champion_file read) {
    char path[VERSIONS_PATH], other[VERSIONS_PATH];
    void *bytes = NULL, *there = NULL;
    size_t n = 0, n_there = 0;
    struct error err;
    path_of(of->folder, read, path);
    path_of(of->folder, read == CHAMPION ? COPY : CHAMPION, other);
    int failed = whole_file_read(path, &bytes, &n, &err);
    bool same = failed == 0 && whole_file_read(other, &there, &n_there, &err) == 0 && n_there == n &&
                memcmp(there, bytes, n) == 0;
    if (failed == 0 && !same)
        failed = whole_file_write(other, bytes, n, &err);
    if (failed != 0)
        log_warning("versions: %s: %s", other, err.text);
    free(bytes);
    free(there);
}

enum version_file versions_champion_find(const struct champion_of *of, struct champion *champion, struct error *err) {
    enum champion_file file = CHAMPION;
    enum version_file got = find_record(of, CHAMPION, champion, err);
    if (got == VERSION_FILE_DAMAGED || got == VERSION_FILE_NONE) {
        enum version_file copy = find_record(of, COPY, champion, err);
        if (copy == VERSION_FILE_NONE)
            return got;
        if (got == VERSION_FILE_NONE)
            log_error("model %s: which version served is told by a copy alone", of->model);
        got = copy;
        file = COPY;
    }
    if (got == VERSION_FILE_READ)
        keep_both(of, file);
    return got;
}
