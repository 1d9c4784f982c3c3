#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/fault/disk.h"

#include "engine/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512 };

/* A write that has not been synced, or a change of size; the bytes are in the log. */
struct change {
    enum disk_record_kind kind;
    uint64_t at, n;
    const char *bytes;
};

/* A file, or a folder. */
struct node {
    struct node *next; /* of all */
    bool is_folder;
    /* A file. */
    char *bytes; /* [size] on the disk */
    uint64_t size;
    struct change *changes; /* since, in their order */
    size_t n_changes, room;
    /* A folder. */
    struct names {
        struct name {
            char *name;
            struct node *node;
        } * at;
        size_t n;
    } live, synced; /* as the program sees it, and on the disk */
};

/* A name was given to a node, or taken away, and its folder has not been synced since. */
struct naming {
    uint64_t operation; /* of one operation all, or none */
    struct node *folder, *node /* NULL: taken away */;
    char *name;
};

struct disk {
    char *log, *at, *end;
    struct node *root, *nodes;
    struct known {
        uint64_t inode;
        struct node *node;
    } * known;
    size_t n_known;
    struct naming *namings;
    size_t n_namings, syncs;
    uint64_t operations;
};

static void *grown(void *at, size_t n, size_t each) {
    at = realloc(at, n * each);
    assert_non_null(at);
    return at;
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

/* ---- names ---------------------------------------------------------------------------------- */

static struct node *node_new(struct disk *disk, bool is_folder) {
    struct node *node = calloc(1, sizeof *node);
    assert_non_null(node);
    node->is_folder = is_folder;
    node->next = disk->nodes;
    return disk->nodes = node;
}

static struct node *names_find(const struct names *names, const char *name) {
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->at[i].name, name) == 0)
            return names->at[i].node;
    return NULL;
}

/* NULL takes it away. */
static void names_put(struct names *names, const char *name, struct node *node) {
    size_t i = 0;
    while (i < names->n && strcmp(names->at[i].name, name) != 0)
        i++;
    if (i < names->n && node == NULL) {
        free(names->at[i].name);
        names->at[i] = names->at[--names->n];
    } else if (i < names->n) {
        names->at[i].node = node;
    } else if (node != NULL) {
        names->at = grown(names->at, names->n + 1, sizeof *names->at);
        names->at[names->n++] = (struct name){copy_of(name), node};
    }
}

static void names_fini(struct names *names) {
    for (size_t i = 0; i < names->n; i++)
        free(names->at[i].name);
    free(names->at);
}

/* The folder of a path, and its last name, as the program sees them. */
static struct node *folder_of(const struct disk *disk, const char *path, char ret_name[NAME_MAX + 1]) {
    struct node *folder = disk->root;
    for (const char *slash; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        snprintf(ret_name, NAME_MAX + 1, "%.*s", (int)(slash - path), path);
        folder = names_find(&folder->live, ret_name);
        if (folder == NULL || !folder->is_folder)
            fail_msg("the log has a path in no folder, at %s", path);
    }
    snprintf(ret_name, NAME_MAX + 1, "%s", path);
    return folder;
}

static struct node *node_at(const struct disk *disk, const char *path) {
    char name[NAME_MAX + 1];
    if (*path == '\0')
        return disk->root;
    return names_find(&folder_of(disk, path, name)->live, name);
}

static void give_name(struct disk *disk, const char *path, struct node *node) {
    char name[NAME_MAX + 1];
    struct node *folder = folder_of(disk, path, name);
    names_put(&folder->live, name, node);
    disk->namings = grown(disk->namings, disk->n_namings + 1, sizeof *disk->namings);
    disk->namings[disk->n_namings++] = (struct naming){disk->operations, folder, node, copy_of(name)};
}

/* ---- files ---------------------------------------------------------------------------------- */

static void content_apply(char **bytes, uint64_t *size, const struct change *change) {
    uint64_t end = change->kind == DISK_WRITTEN ? change->at + change->n : change->at;
    if (end > *size) {
        *bytes = grown(*bytes, end, 1);
        memset(*bytes + *size, 0, end - *size);
    }
    if (end > *size || change->kind == DISK_TRUNCATED)
        *size = end;
    if (change->kind == DISK_WRITTEN && change->n > 0)
        memcpy(*bytes + change->at, change->bytes, change->n);
}

static void add_change(struct node *node, struct change change) {
    if (node->n_changes == node->room) {
        node->room = 2 * node->room + 8;
        node->changes = grown(node->changes, node->room, sizeof *node->changes);
    }
    node->changes[node->n_changes++] = change;
}

static struct known *find_known(struct disk *disk, uint64_t inode) {
    for (size_t i = 0; i < disk->n_known; i++)
        if (disk->known[i].inode == inode)
            return &disk->known[i];
    disk->known = grown(disk->known, disk->n_known + 1, sizeof *disk->known);
    disk->known[disk->n_known] = (struct known){.inode = inode};
    return &disk->known[disk->n_known++];
}

/* ---- the log -------------------------------------------------------------------------------- */

static void do_open(struct disk *disk, const struct disk_record *record, const char *path) {
    struct node *node = (record->flags & DISK_CREATED) != 0 ? NULL : node_at(disk, path);
    if (node == NULL) {
        node = node_new(disk, false);
        give_name(disk, path, node);
    }
    if ((record->flags & DISK_EMPTIED) != 0)
        add_change(node, (struct change){.kind = DISK_TRUNCATED});
    find_known(disk, record->inode)->node = node;
}

/* A file that stdio writes is not known until it is moved. */
static void do_names(struct disk *disk, const struct disk_record *record, const char *path) {
    const char *to = path + strlen(path) + 1;
    struct node *node = record->kind == DISK_FOLDER ? node_new(disk, true) : node_at(disk, path);
    if (node == NULL)
        node = node_new(disk, false);
    if (record->kind == DISK_RENAMED || record->kind == DISK_REMOVED)
        give_name(disk, path, NULL);
    if (record->kind != DISK_REMOVED)
        give_name(disk, record->kind == DISK_FOLDER ? path : to, node);
}

/* The namings of the folder, and all of what belongs to the same operations, are on the disk. */
static void sync_folder(struct disk *disk, const struct node *folder) {
    size_t kept = 0;
    for (size_t i = 0, end; i < disk->n_namings; i = end) {
        bool synced = false;
        for (end = i; end < disk->n_namings && disk->namings[end].operation == disk->namings[i].operation; end++)
            synced |= disk->namings[end].folder == folder;
        for (size_t k = i; k < end; k++) {
            struct naming *naming = &disk->namings[k];
            if (synced) {
                names_put(&naming->folder->synced, naming->name, naming->node);
                free(naming->name);
            } else {
                disk->namings[kept++] = *naming;
            }
        }
    }
    disk->n_namings = kept;
}

static void do_sync(struct disk *disk, struct node *node, bool failed) {
    disk->syncs++;
    if (node == NULL || (node->is_folder && failed))
        return;
    if (node->is_folder)
        sync_folder(disk, node);
    for (size_t i = 0; i < node->n_changes && !failed; i++)
        content_apply(&node->bytes, &node->size, &node->changes[i]);
    node->n_changes = 0;
}

static void apply(struct disk *disk, const struct disk_record *record, const char *bytes) {
    struct node *node;
    disk->operations++;
    switch ((enum disk_record_kind)record->kind) {
    case DISK_OPENED: do_open(disk, record, bytes); break;
    case DISK_WRITTEN:
    case DISK_TRUNCATED:
    case DISK_EXTENDED:
        node = find_known(disk, record->inode)->node;
        if (node != NULL)
            add_change(node, (struct change){record->kind, record->at, record->n, bytes});
        break;
    case DISK_SYNCED:
    case DISK_NOT_SYNCED:
        do_sync(disk, find_known(disk, record->inode)->node, record->kind == DISK_NOT_SYNCED);
        break;
    case DISK_RENAMED:
    case DISK_LINKED:
    case DISK_REMOVED:
    case DISK_FOLDER: do_names(disk, record, bytes); break;
    case DISK_MARK: break;
    }
}

bool disk_peek(const struct disk *disk, struct disk_step *ret_step) {
    const struct disk_record *record = (const void *)disk->at;
    if ((size_t)(disk->end - disk->at) < sizeof *record)
        return false;
    if ((uint64_t)(disk->end - disk->at) < sizeof *record + record->n + record->padding)
        return false; /* the process was killed */
    bool has_path = record->kind == DISK_OPENED || record->kind >= DISK_RENAMED;
    *ret_step = (struct disk_step){.kind = (enum disk_record_kind)record->kind,
                                   .time = record->time,
                                   .path = has_path ? (const char *)(record + 1) : NULL,
                                   .bytes = record->kind == DISK_WRITTEN ? record->n : 0};
    return true;
}

bool disk_step(struct disk *disk, struct disk_step *ret_step) {
    if (!disk_peek(disk, ret_step))
        return false;
    const struct disk_record *record = (const void *)disk->at;
    apply(disk, record, (const char *)(record + 1));
    disk->at += sizeof *record + record->n + record->padding;
    return true;
}

struct disk *disk_at_end(const char *log, void (*mark)(void *context, const char *text), void *context) {
    struct disk *disk = disk_new(log, NULL);
    for (struct disk_step step; disk_step(disk, &step);)
        if (step.kind == DISK_MARK && mark != NULL)
            mark(context, step.path);
    return disk;
}

size_t disk_syncs(const struct disk *disk) {
    return disk->syncs;
}

/* ---- a disk --------------------------------------------------------------------------------- */

static char *map_file(const char *path, size_t *ret_n) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    *ret_n = (size_t)status.st_size;
    void *at = status.st_size > 0 ? mmap(NULL, *ret_n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    assert_true(at != MAP_FAILED);
    close(fd);
    return at;
}

/* What is in the folder is on the disk. */
static void take_base(struct disk *disk, struct node *folder, const char *path) {
    DIR *open = opendir(path);
    assert_non_null(open);
    for (const struct dirent *entry; (entry = readdir(open)) != NULL;) {
        char below[PATH_MAX];
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        assert_int_equal(lstat(below, &status), 0);
        struct node *node = node_new(disk, S_ISDIR(status.st_mode));
        names_put(&folder->live, entry->d_name, node);
        names_put(&folder->synced, entry->d_name, node);
        if (node->is_folder) {
            take_base(disk, node, below);
        } else if (S_ISREG(status.st_mode)) {
            size_t n;
            char *bytes = map_file(below, &n);
            content_apply(&node->bytes, &node->size, &(struct change){DISK_WRITTEN, 0, n, bytes});
            if (n > 0)
                munmap(bytes, n);
        }
    }
    closedir(open);
}

struct disk *disk_new(const char *log, const char *base) {
    struct disk *disk = calloc(1, sizeof *disk);
    size_t n;
    assert_non_null(disk);
    disk->root = node_new(disk, true);
    if (base != NULL)
        take_base(disk, disk->root, base);
    disk->log = disk->at = map_file(log, &n);
    disk->end = disk->log + n;
    return disk;
}

void disk_free(struct disk *disk) {
    if (disk == NULL)
        return;
    for (struct node *node = disk->nodes, *next; node != NULL; node = next) {
        next = node->next;
        names_fini(&node->live);
        names_fini(&node->synced);
        free(node->bytes);
        free(node->changes);
        free(node);
    }
    for (size_t i = 0; i < disk->n_namings; i++)
        free(disk->namings[i].name);
    free(disk->namings);
    free(disk->known);
    if (disk->log != NULL)
        munmap(disk->log, (size_t)(disk->end - disk->log));
    free(disk);
}

/* ---- a crash -------------------------------------------------------------------------------- */

struct leaving {
    const struct disk *disk;
    enum disk_crash crash;
    struct rng rng;
    uint64_t last; /* operation whose names have come to the disk */
};

/* Which instant of the changes a sector shows: none, all, all up to a sector and what was there at one behind it, or of
 * each sector another. */
static void choose_instants(struct leaving *leaving, uint64_t *instants, uint64_t sectors, uint64_t n) {
    uint64_t way = rng_below(&leaving->rng, 4), behind = rng_below(&leaving->rng, n + 1);
    uint64_t up_to = rng_below(&leaving->rng, sectors + 1);
    for (uint64_t s = 0; s < sectors; s++)
        instants[s] = way == 0   ? 0
                      : way == 1 ? n
                      : way == 2 ? s < up_to ? n : behind
                                 : rng_below(&leaving->rng, n + 1);
}

/* The largest size that the file has had since. */
static uint64_t most_of(const struct node *node) {
    uint64_t most = node->size;
    for (size_t i = 0; i < node->n_changes; i++) {
        uint64_t end = node->changes[i].at + (node->changes[i].kind == DISK_WRITTEN ? node->changes[i].n : 0);
        most = end > most ? end : most;
    }
    return most;
}

/* Of each sector the bytes that were in memory at its instant, and any size that there was on the way. */
static void tear(struct leaving *leaving, const struct node *node, char **bytes, uint64_t *size) {
    uint64_t sectors = most_of(node) / SECTOR + 1, n = node->n_changes, now_size = 0, least = node->size,
             most = least;
    uint64_t *instants = calloc(sectors, sizeof *instants);
    char *there = calloc(sectors, SECTOR), *now = NULL;
    assert_true(instants != NULL && there != NULL);
    choose_instants(leaving, instants, sectors, n);
    content_apply(&now, &now_size, &(struct change){DISK_WRITTEN, 0, node->size, node->bytes});
    for (uint64_t i = 0; i <= n; i++) {
        if (i > 0)
            content_apply(&now, &now_size, &node->changes[i - 1]);
        for (uint64_t s = 0; s * SECTOR < now_size; s++)
            if (instants[s] == i)
                memcpy(there + s * SECTOR, now + s * SECTOR,
                       now_size - s * SECTOR < SECTOR ? now_size - s * SECTOR : SECTOR);
        least = now_size < least ? now_size : least;
        most = now_size > most ? now_size : most;
    }
    uint64_t left = rng_below(&leaving->rng, 2) == 0 ? now_size : least + rng_below(&leaving->rng, most - least + 1);
    content_apply(bytes, size, &(struct change){DISK_WRITTEN, 0, left, there});
    free(now);
    free(instants);
    free(there);
}

static void leave_file(struct leaving *leaving, const struct node *node, const char *path) {
    uint64_t size = 0;
    char *bytes = NULL;
    if (leaving->crash == DISK_TORN && node->n_changes > 0) {
        tear(leaving, node, &bytes, &size);
    } else {
        content_apply(&bytes, &size, &(struct change){DISK_WRITTEN, 0, node->size, node->bytes});
        for (size_t i = 0; i < node->n_changes && leaving->crash == DISK_WRITTEN_OUT; i++)
            content_apply(&bytes, &size, &node->changes[i]);
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(size == 0 || fwrite(bytes, 1, size, file) == size);
    assert_int_equal(fclose(file), 0);
    free(bytes);
}

static void leave_folder(struct leaving *leaving, const struct node *folder, const char *path) {
    struct names names = {0};
    for (size_t i = 0; i < folder->synced.n; i++)
        names_put(&names, folder->synced.at[i].name, folder->synced.at[i].node);
    for (size_t i = 0; i < leaving->disk->n_namings; i++) {
        const struct naming *naming = &leaving->disk->namings[i];
        if (naming->folder == folder && naming->operation <= leaving->last)
            names_put(&names, naming->name, naming->node);
    }
    if (mkdir(path, 0700) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    for (size_t i = 0; i < names.n; i++) {
        char below[PATH_MAX];
        snprintf(below, sizeof below, "%s/%s", path, names.at[i].name);
        if (names.at[i].node->is_folder)
            leave_folder(leaving, names.at[i].node, below);
        else
            leave_file(leaving, names.at[i].node, below);
    }
    names_fini(&names);
}

void disk_leave(const struct disk *disk, enum disk_crash crash, uint64_t seed, const char *folder) {
    struct leaving leaving = {.disk = disk, .crash = crash, .rng = {seed}};
    size_t n = disk->n_namings;
    uint64_t come = crash == DISK_TORN ? rng_below(&leaving.rng, n + 1) : crash == DISK_DROPPED ? 0 : n;
    leaving.last = come > 0 ? disk->namings[come - 1].operation : 0;
    leave_folder(&leaving, disk->root, folder);
}

static int crash_here(const struct disk_crashes *crashes, const struct disk *disk, int done) {
    int torn = crashes->torn(crashes->context, disk->syncs);
    for (int seed = 0; seed <= torn; seed++, done++) {
        char which[96];
        snprintf(which, sizeof which, "crash %d, before sync %zu, what was not synced is %s", done, disk->syncs,
                 seed == 0 ? "dropped" : "torn");
        disk_leave(disk, seed == 0 ? DISK_DROPPED : DISK_TORN, (uint64_t)done, crashes->folder);
        crashes->look(crashes->context, which);
        disk_remove_folder(crashes->folder);
    }
    return done;
}

int disk_crash_all(const struct disk_crashes *crashes) {
    struct disk *disk = disk_new(crashes->log, NULL);
    struct disk_step step;
    int done = 0;
    while (disk_peek(disk, &step)) {
        if (step.kind == DISK_SYNCED)
            done = crash_here(crashes, disk, done);
        disk_step(disk, &step);
        if (step.kind == DISK_MARK)
            crashes->mark(crashes->context, step.path);
    }
    done = crash_here(crashes, disk, done);
    disk_free(disk);
    return done;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status, (void)kind, (void)place;
    return remove(path);
}

void disk_remove_folder(const char *folder) {
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
