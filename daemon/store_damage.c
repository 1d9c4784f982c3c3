#include "daemon/store_damage.h"

#include "daemon/store_block.h"
#include "engine/whole_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* RocksDB's log consists of blocks, each of which begins with the head of a record or of a part of one. */
enum { LOG_BLOCK = 32 << 10, LOG_HEAD = 7 };

enum { PATH = 4600, HEAD = sizeof(struct block_head) };

/* ---- reading logs --------------------------------------------------------------------------- */

static void note(struct damage *damage, const struct block_head *head) {
    if (head->epoch < damage->epoch)
        return;
    if (head->epoch > damage->epoch)
        *damage = (struct damage){.epoch = head->epoch, .holds = damage->holds};
    uint64_t last = head->first + head->n_entries - 1;
    damage->synced = head->synced > damage->synced ? head->synced : damage->synced;
    damage->last = last > damage->last ? last : damage->last;
}

/* Looks for heads at every place of the text. */
static void scan(struct damage *damage, const char *text, size_t n) {
    static const char begin[] = {'f', 'c', 'J', 'O'};
    struct block_head head;
    for (const char *at = text, *end = text + n; (size_t)(end - at) >= HEAD; at++) {
        at = memmem(at, (size_t)(end - at), begin, sizeof begin);
        if (at == NULL || (size_t)(end - at) < HEAD)
            return;
        if (block_head_at(at, &head))
            note(damage, &head);
    }
}

/* What records hold, without the blocks' heads; what a head of ours begins at the end of one is gone on with. */
static int scan_log(struct damage *damage, const char *path, struct error *err) {
    static const size_t room = HEAD - 1 + LOG_BLOCK;
    FILE *file = fopen(path, "rbe");
    char *text = malloc(room);
    if (file == NULL || text == NULL) {
        int rc = error_set(err, "cannot read %s: %s", path, strerror(errno));
        free(text);
        if (file != NULL)
            fclose(file);
        return rc;
    }
    size_t kept = 0, n;
    char head[LOG_HEAD];
    while (fread(head, 1, LOG_HEAD, file) == LOG_HEAD &&
           (n = fread(text + kept, 1, LOG_BLOCK - LOG_HEAD, file)) > 0) {
        scan(damage, text, kept + n);
        size_t next = kept + n < HEAD - 1 ? kept + n : HEAD - 1;
        memmove(text, text + kept + n - next, next);
        kept = next;
    }
    int rc = ferror(file) ? error_set(err, "cannot read %s: %s", path, strerror(errno)) : 0;
    free(text);
    fclose(file);
    return rc;
}

/* ---- what is kept --------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* Calls each for the files in a folder; a folder that is not there has none. */
static int each_file(const char *folder, int (*each)(void *context, const char *name, struct error *err),
                     void *context, struct error *err) {
    DIR *open = opendir(folder);
    if (open == NULL)
        return errno == ENOENT ? 0 : error_set(err, "cannot read %s: %s", folder, strerror(errno));
    int rc = 0;
    for (const struct dirent *entry; rc == 0 && (entry = readdir(open)) != NULL;)
        if (entry->d_name[0] != '.')
            rc = each(context, entry->d_name, err);
    closedir(open);
    return rc;
}

struct place {
    const char *folder;
    struct damage *damage;
};

static int remove_one(void *context, const char *name, struct error *err) {
    const struct place *place = context;
    char path[PATH];
    (void)err;
    snprintf(path, sizeof path, "%s/aside/%s", place->folder, name);
    unlink(path);
    return 0;
}

/* The second names go. */
static void remove_aside(const char *folder) {
    struct place place = {folder, NULL};
    struct error ignored;
    char path[PATH];
    snprintf(path, sizeof path, "%s/aside", folder);
    each_file(path, remove_one, &place, &ignored);
    rmdir(path);
}

static int take_log(void *context, const char *name, struct error *err) {
    const struct place *place = context;
    char from[PATH], to[PATH];
    struct stat status;
    place->damage->holds |= ends_with(name, ".sst");
    if (!ends_with(name, ".log"))
        return 0;
    snprintf(from, sizeof from, "%s/db/%s", place->folder, name);
    snprintf(to, sizeof to, "%s/aside/%s", place->folder, name);
    place->damage->holds |= stat(from, &status) == 0 && status.st_size > 0;
    int linked = link(from, to);
    (void)linked; /* a file system may have no second names: then it is read, and not kept */
    return scan_log(place->damage, from, err);
}

/* Says no while a sentence of damage_judge stands there. */
static int refuse_known(void *context, const char *name, struct error *err) {
    const struct place *place = context;
    char path[PATH];
    void *text;
    size_t n;
    if (strncmp(name, "damaged-", strlen("damaged-")) != 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s/refused", place->folder, name);
    int rc = whole_file_read(path, &text, &n, err);
    if (rc != 0)
        return rc < 0 ? error_prefix(err, "%s", path) : 0;
    rc = error_set(err, "%.*s", (int)n, (const char *)text);
    free(text);
    return rc;
}

int damage_look(const char *folder, struct damage *ret_damage, struct error *err) {
    char path[PATH];
    struct place place = {folder, ret_damage};
    *ret_damage = (struct damage){0};
    if (each_file(folder, refuse_known, &place, err) != 0)
        return -1;
    remove_aside(folder);
    snprintf(path, sizeof path, "%s/aside", folder);
    if (mkdir(path, 0700) != 0)
        return error_set(err, "cannot make %s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "%s/db", folder);
    return each_file(path, take_log, &place, err);
}

/* Keeps the logs, and the sentence that is said at each start until somebody takes it away. */
static int refuse(const char *folder, const struct damage *damage, uint64_t left, struct error *err) {
    char aside[PATH], kept[PATH], path[PATH + 16];
    snprintf(aside, sizeof aside, "%s/aside", folder);
    snprintf(kept, sizeof kept, "%s/damaged-%llu", folder, (unsigned long long)damage->epoch);
    snprintf(path, sizeof path, "%s/refused", kept);
    rename(aside, kept);
    mkdir(kept, 0700); /* where it could not be renamed */
    error_set(
        err,
        "the entries %llu to %llu of the journal were on disk and are damaged (what is left of them is in %s): restore the "
        "folder from a copy, or delete %s to go on without them",
        (unsigned long long)left + 1, (unsigned long long)damage->synced, kept, path);
    struct error ignored;
    whole_file_write(path, err->text, strlen(err->text), &ignored);
    return -1;
}

int damage_judge(const char *folder, const struct damage *damage, uint64_t epoch, uint64_t left, struct error *err) {
    if (damage->epoch >= epoch && damage->synced > left)
        return refuse(folder, damage, left, err);
    remove_aside(folder);
    return 0;
}
