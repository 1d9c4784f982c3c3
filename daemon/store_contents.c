#include "daemon/store_contents.h"

#include "daemon/log.h"
#include "engine/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PATH = 4600 };

/* The end of the list's name, as it was, while it is being cut. */
#define TORN "~torn"

/* RocksDB's log format: blocks of records, or of parts of them; none but zeros where fewer bytes are left than a head
 * has. A head: u32 masked CRC-32C of what follows the length, u16 length, u8 kind. */
enum { BLOCK = 32 << 10, HEAD = 7, MOST_KIND = 4 };

/* Blocks at the end that are looked at: more than one change has. */
enum { LAST_BLOCKS = 32 };

static const char key[] = "contents";

/* On disk, by that key: the list of this number had at least so many bytes that were synced. */
enum { FORMAT = 1 };
struct contents {
    uint32_t format, reserved;
    uint64_t check, number, size;
};

/* ---- the format ----------------------------------------------------------------------------- */

static uint32_t masked_crc(const unsigned char *bytes, size_t n) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static size_t length_at(const unsigned char *head) {
    return (size_t)head[4] | (size_t)head[5] << 8;
}

static bool is_whole(const unsigned char *head, size_t left) {
    uint32_t sum = (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
    size_t n = left >= HEAD ? length_at(head) : 0;
    return left >= HEAD && n <= left - HEAD && head[6] >= 1 && head[6] <= MOST_KIND &&
           masked_crc(head + 6, n + 1) == sum;
}

/* Where the first record begins that RocksDB would refuse; n: there is none. */
static size_t first_wrong(const unsigned char *bytes, size_t n) {
    for (size_t at = 0; at < n;) {
        size_t of_block = BLOCK - at % BLOCK, left = of_block < n - at ? of_block : n - at;
        if (of_block < HEAD || (left >= HEAD && length_at(bytes + at) == 0 && bytes[at + 6] == 0)) {
            at += of_block; /* filled up */
            continue;
        }
        if (left < HEAD || (left < of_block && length_at(bytes + at) > left - HEAD))
            return n; /* what is missing is the end */
        if (!is_whole(bytes + at, left))
            return at;
        at += HEAD + length_at(bytes + at);
    }
    return n;
}

/* Whether there is a whole record anywhere in the bytes. */
static bool has_whole(const unsigned char *bytes, size_t n) {
    for (size_t at = 0; at + HEAD <= n; at++)
        if (is_whole(bytes + at, n - at))
            return true;
    return false;
}

/* ---- the files ------------------------------------------------------------------------------ */

/* The list that CURRENT names. False: there is none. */
static bool find_list(const char *path, char ret_list[PATH], uint64_t *ret_number) {
    char current[PATH];
    void *text;
    size_t n;
    struct error ignored;
    snprintf(current, sizeof current, "%s/CURRENT", path);
    if (whole_file_read(current, &text, &n, &ignored) != 0)
        return false;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)n, (const char *)text);
    free(text);
    if (sscanf(name, "MANIFEST-%" SCNu64, ret_number) != 1)
        return false;
    snprintf(ret_list, PATH, "%s/MANIFEST-%06" PRIu64, path, *ret_number);
    return true;
}

static uint64_t check_of(const struct contents *contents) {
    return XXH3_64bits(&contents->number, sizeof *contents - offsetof(struct contents, number));
}

bool contents_put(struct db *db, const char *path) {
    char list[PATH];
    struct contents contents = {.format = FORMAT};
    struct stat status;
    if (db_is_busy(db) || !find_list(path, list, &contents.number) || stat(list, &status) != 0 || db_is_busy(db))
        return false;
    contents.size = (uint64_t)status.st_size;
    contents.check = check_of(&contents);
    rocksdb_writebatch_put_cf(db->batch, db->families[DB_DEFAULT], key, sizeof key - 1, (const char *)&contents,
                              sizeof contents);
    return true;
}

/* How many bytes of the list were synced, as the database says that the list as it is now makes. */
static int read_synced(const char *path, uint64_t number, uint64_t *ret_synced, struct error *err) {
    struct db db;
    struct contents contents = {0};
    char *message = NULL;
    size_t n = 0;
    if (db_look(&db, path, err) != 0)
        return -1;
    char *value = rocksdb_get_cf(db.db, db.read, db.families[DB_DEFAULT], key, sizeof key - 1, &n, &message);
    if (value != NULL)
        memcpy(&contents, value, n < sizeof contents ? n : sizeof contents);
    int rc = message != NULL ? error_set(err, "%s", message) : 0;
    if (rc == 0 && value != NULL && (contents.format != FORMAT || contents.check != check_of(&contents)))
        rc = error_set(err, "its record of the list's length is damaged, or newer");
    *ret_synced = contents.number == number ? contents.size : 0;
    rocksdb_free(value);
    rocksdb_free(message);
    db_close(&db);
    return rc;
}

/* The last blocks of the file, and how many bytes lie before them. */
static int read_end(const char *list, unsigned char **ret_bytes, size_t *ret_n, size_t *ret_before) {
    struct stat status;
    int fd = open(list, O_RDONLY | O_CLOEXEC), failed = -1;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        size_t size = (size_t)status.st_size, blocks = size / BLOCK;
        *ret_before = blocks > LAST_BLOCKS ? (blocks - LAST_BLOCKS) * BLOCK : 0;
        *ret_n = size - *ret_before;
        *ret_bytes = malloc(*ret_n + 1);
        if (*ret_bytes != NULL && pread(fd, *ret_bytes, *ret_n, (off_t)*ret_before) == (ssize_t)*ret_n)
            failed = 0;
        else
            free(*ret_bytes);
    }
    if (fd >= 0)
        close(fd);
    return failed;
}

/* Cuts the list, looks whether that may be, and else takes it back. */
static int cut(const char *path, const char *list, uint64_t number, size_t end, struct error *err) {
    char torn[PATH + 8], kept[PATH + 8];
    struct error ignored;
    void *bytes;
    size_t n;
    uint64_t synced = 0;
    snprintf(torn, sizeof torn, "%s" TORN, list);
    snprintf(kept, sizeof kept, "%s~cut", list);
    if (whole_file_read(list, &bytes, &n, err) != 0)
        return error_prefix(err, "%s", list);
    int rc = 0;
    if (whole_file_write(torn, bytes, n, err) != 0 || whole_file_write(list, bytes, end, err) != 0)
        rc = error_prefix(err, "%s", torn);
    else if (read_synced(path, number, &synced, err) != 0)
        rc = error_prefix(err, "%s is damaged at byte %zu", list, end);
    else if (synced > end)
        rc = error_set(err, "%s is damaged at byte %zu: it had been synced", list, end);
    else if (rename(torn, kept) != 0)
        rc = error_set(err, "%s: %s", torn, strerror(errno));
    if (rc != 0 && whole_file_write(list, bytes, n, &ignored) == 0)
        unlink(torn);
    free(bytes);
    if (rc == 0)
        log_info("state_dir: the last change of %s was not whole, and had not been synced: cut; what it was is %s",
                 list, kept);
    return rc;
}

/* A crash has come within a cut: the list is as it was before. RocksDB has changed nothing since, as it begins another list
 * whenever it opens a database. */
static int take_back(const char *list, struct error *err) {
    char torn[PATH + 8];
    void *bytes;
    size_t n;
    snprintf(torn, sizeof torn, "%s" TORN, list);
    int got = whole_file_read(torn, &bytes, &n, err);
    if (got == 1)
        return 0;
    if (got != 0 || whole_file_write(list, bytes, n, err) != 0) {
        if (got == 0)
            free(bytes);
        return error_prefix(err, "%s", torn);
    }
    free(bytes);
    unlink(torn);
    return 0;
}

int contents_mend(const char *path, struct error *err) {
    char list[PATH];
    uint64_t number;
    unsigned char *bytes;
    size_t n, before;
    /* What cannot be read RocksDB has its own word on. */
    if (!find_list(path, list, &number))
        return 0;
    if (take_back(list, err) != 0)
        return -1;
    if (read_end(list, &bytes, &n, &before) != 0)
        return 0;
    size_t end = first_wrong(bytes, n);
    bool torn = end < n && !has_whole(bytes + end, n - end);
    free(bytes);
    return torn ? cut(path, list, number, before + end, err) : 0;
}
