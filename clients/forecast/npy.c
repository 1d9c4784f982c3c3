#include "clients/forecast/npy.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

enum { HEADER_MAX = 1 << 20, ALIGNMENT = 64 };
static const char magic[] = "\x93NUMPY"; /* then major, minor, length of the header */

/* ---- the header: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } ---------------- */

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *cursor) {
    while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
        cursor->at++;
}

static bool take(struct cursor *cursor, char c) {
    skip_blanks(cursor);
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

static bool take_word(struct cursor *cursor, const char *word) {
    size_t n = strlen(word);

    skip_blanks(cursor);
    if ((size_t)(cursor->end - cursor->at) < n || memcmp(cursor->at, word, n) != 0)
        return false;
    cursor->at += n;
    return true;
}

/* A text in quotes of either kind, without escapes. */
static bool take_text(struct cursor *cursor, char *text, size_t size) {
    char quote;
    const char *close;

    skip_blanks(cursor);
    if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"'))
        return false;
    quote = *cursor->at++;
    close = memchr(cursor->at, quote, (size_t)(cursor->end - cursor->at));
    if (!close || (size_t)(close - cursor->at) >= size)
        return false;
    memcpy(text, cursor->at, (size_t)(close - cursor->at));
    text[close - cursor->at] = '\0';
    cursor->at = close + 1;
    return true;
}

static bool take_size(struct cursor *cursor, size_t *ret_size) {
    size_t size = 0;
    bool any = false;

    skip_blanks(cursor);
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++, any = true)
        if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, *cursor->at - '0', &size))
            return false;
    *ret_size = size;
    return any;
}

static int take_shape(struct cursor *cursor, struct npy *npy, struct error *err) {
    size_t n = 1;

    npy->n_dims = 0;
    if (!take(cursor, '('))
        return error_set(err, "its header has no shape");
    while (!take(cursor, ')')) {
        size_t dim;

        if (npy->n_dims == NPY_DIMS)
            return error_set(err, "it has more than %d dimensions", NPY_DIMS);
        if (!take_size(cursor, &dim) || (!take(cursor, ',') && (cursor->at == cursor->end || *cursor->at != ')')))
            return error_set(err, "its shape cannot be read");
        npy->dims[npy->n_dims++] = dim;
    }
    for (int i = 0; i < npy->n_dims; i++)
        if (__builtin_mul_overflow(n, npy->dims[i], &n))
            return error_set(err, "its shape is larger than memory");
    npy->n = n;
    return 0;
}

/* '<f4': byte order, kind, bytes. */
static int set_type(struct npy *npy, const char *type, struct error *err) {
    static const char *const known[] = {"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"};
    bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (*type && strchr("<>=|", *type) && strcmp(type + 1, known[i]) == 0) {
            npy->kind = type[1];
            npy->item_size = type[2] - '0';
            npy->swapped = (*type == '>' && little) || (*type == '<' && !little);
            return 0;
        }
    return error_set(err, "its dtype \"%s\" is neither float32, float64, an integer nor bool", type);
}

static int parse_header(struct npy *npy, const char *header, size_t n, struct error *err) {
    struct cursor cursor = {header, header + n};
    char key[32], type[32];
    bool has_type = false, has_order = false, has_shape = false;

    if (!take(&cursor, '{'))
        return error_set(err, "its header is not a dictionary");
    while (!take(&cursor, '}')) {
        if (!take_text(&cursor, key, sizeof key) || !take(&cursor, ':'))
            return error_set(err, "its header cannot be read");
        if (strcmp(key, "descr") == 0) {
            if (!take_text(&cursor, type, sizeof type))
                return error_set(err, "it holds records, not an array of numbers");
            if (set_type(npy, type, err) != 0)
                return -1;
            has_type = true;
        } else if (strcmp(key, "fortran_order") == 0) {
            npy->fortran = take_word(&cursor, "True");
            if (!npy->fortran && !take_word(&cursor, "False"))
                return error_set(err, "its header does not say which index runs fastest");
            has_order = true;
        } else if (strcmp(key, "shape") == 0) {
            if (take_shape(&cursor, npy, err) != 0)
                return -1;
            has_shape = true;
        } else {
            return error_set(err, "its header has an unknown key \"%s\"", key);
        }
        take(&cursor, ',');
    }
    if (!has_type || !has_order || !has_shape)
        return error_set(err, "its header lacks %s", has_type ? has_order ? "shape" : "fortran_order" : "descr");
    return 0;
}

static int parse(struct npy *npy, size_t n, struct error *err) {
    const unsigned char *bytes = npy->bytes;
    size_t prefix, header, size;

    if (n < 10 || memcmp(bytes, magic, sizeof magic - 1) != 0)
        return error_set(err, "it is not a .npy file");
    if (bytes[6] < 1 || bytes[6] > 3)
        return error_set(err, "its format is version %d.%d, which is not known", bytes[6], bytes[7]);
    prefix = bytes[6] == 1 ? 10 : 12;
    header = n < prefix ? 0 : (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (prefix == 12 && n >= prefix)
        header |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (n < prefix || header > HEADER_MAX || header > n - prefix)
        return error_set(err, "it is truncated");
    if (parse_header(npy, (const char *)bytes + prefix, header, err) != 0)
        return -1;
    if (__builtin_mul_overflow(npy->n, (size_t)npy->item_size, &size) || size > n - prefix - header)
        return error_set(err, "it is truncated");
    if (size < n - prefix - header)
        return error_set(err, "it has more bytes than its shape says");
    npy->data = bytes + prefix + header;
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

int npy_take(unsigned char *bytes, size_t n, struct npy *ret_npy, struct error *err) {
    struct npy npy = {.bytes = bytes};

    if (parse(&npy, n, err) != 0) {
        free(bytes);
        return -1;
    }
    *ret_npy = npy;
    return 0;
}

void npy_fini(struct npy *npy) {
    free(npy->bytes);
    *npy = (struct npy){0};
}

int npy_read(const char *path, struct npy *ret_npy, struct error *err) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    struct stat status;
    size_t n;

    if (!file)
        return error_set(err, "%s: %s", path, strerror(errno));
    if (fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) {
        error_set(err, "%s: it is not a file", path);
        goto fail;
    }
    n = (size_t)status.st_size;
    bytes = malloc(n ? n : 1);
    if (!bytes) {
        error_set(err, "%s: no memory for its %zu bytes", path, n);
        goto fail;
    }
    if (fread(bytes, 1, n, file) != n) {
        error_set(err, "%s: it cannot be read", path);
        goto fail;
    }
    fclose(file);
    if (npy_take(bytes, n, ret_npy, err) != 0)
        return error_prefix(err, "%s", path);
    return 0;
fail:
    free(bytes);
    fclose(file);
    return -1;
}

/* Where the row-major i-th value stands in an array whose first index runs fastest. */
static size_t fortran_index(const struct npy *npy, size_t i) {
    size_t index[NPY_DIMS], at = 0;

    for (int d = npy->n_dims - 1; d >= 0; d--) {
        index[d] = i % npy->dims[d];
        i /= npy->dims[d];
    }
    for (int d = npy->n_dims - 1; d >= 0; d--)
        at = at * npy->dims[d] + index[d];
    return at;
}

double npy_value(const struct npy *npy, size_t i) {
    size_t at = npy->fortran ? fortran_index(npy, i) : i;
    const unsigned char *from = npy->data + at * (size_t)npy->item_size;
    uint64_t bits = 0;
    int size = npy->item_size, shift = 64 - 8 * size;
    bool little = (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) != npy->swapped;

    for (int b = 0; b < size; b++)
        bits |= (uint64_t)from[little ? b : size - 1 - b] << 8 * b;
    if (npy->kind == 'f' && size == 4) {
        uint32_t half = (uint32_t)bits;
        float value;

        memcpy(&value, &half, sizeof value);
        return (double)value;
    }
    if (npy->kind == 'f') {
        double value;

        memcpy(&value, &bits, sizeof value);
        return value;
    }
    if (npy->kind == 'i')
        return (double)((int64_t)(bits << shift) >> shift);
    return npy->kind == 'b' ? bits != 0 : (double)bits;
}

const char *npy_shape_text(int n_dims, const size_t *dims, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "(");

    for (int i = 0; i < n_dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? ", %zu" : "%zu", dims[i]);
    if (used < size)
        snprintf(text + used, size - used, n_dims == 1 ? ",)" : ")");
    return text;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Little-endian float32; on other machines through a small buffer. */
static bool write_floats(FILE *file, const float *data, size_t n) {
    unsigned char out[4096];

    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        return fwrite(data, sizeof *data, n, file) == n;
    for (size_t i = 0; i < n;) {
        size_t used = 0;

        for (; i < n && used < sizeof out; i++) {
            uint32_t bits;

            memcpy(&bits, &data[i], sizeof bits);
            for (int b = 0; b < 4; b++)
                out[used++] = (unsigned char)(bits >> 8 * b);
        }
        if (fwrite(out, 1, used, file) != used)
            return false;
    }
    return true;
}

int npy_write(const char *path, int n_dims, const size_t *dims, const float *data, struct error *err) {
    char shape[256], header[512];
    unsigned char prefix[10];
    size_t n = 1, used, padded;
    FILE *file;
    bool good;

    npy_shape_text(n_dims, dims, shape, sizeof shape);
    used = (size_t)snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    /* Blanks and a newline, so that the data begin at a multiple of 64 bytes. */
    padded = (sizeof prefix + used + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - sizeof prefix;
    memset(header + used, ' ', padded - used);
    header[padded - 1] = '\n';
    memcpy(prefix, magic, sizeof magic - 1);
    prefix[6] = 1;
    prefix[7] = 0;
    prefix[8] = (unsigned char)padded;
    prefix[9] = (unsigned char)(padded >> 8);
    for (int i = 0; i < n_dims; i++)
        n *= dims[i];

    file = fopen(path, "wb");
    if (!file)
        return error_set(err, "%s: %s", path, strerror(errno));
    good = fwrite(prefix, 1, sizeof prefix, file) == sizeof prefix && fwrite(header, 1, padded, file) == padded &&
           write_floats(file, data, n);
    if (fclose(file) != 0 || !good)
        return error_set(err, "%s: it cannot be written: %s", path, strerror(errno));
    return 0;
}

/* ---- npz ------------------------------------------------------------------------------------ */

struct npz {
    zip_t *zip;
    char path[256];
};

struct npz *npz_open(const char *path, struct error *err) {
    struct npz *npz = calloc(1, sizeof *npz);
    int code;

    if (!npz) {
        error_set(err, "%s: no memory", path);
        return NULL;
    }
    snprintf(npz->path, sizeof npz->path, "%s", path);
    npz->zip = zip_open(path, ZIP_RDONLY, &code);
    if (!npz->zip) {
        zip_error_t why;

        zip_error_init_with_code(&why, code);
        error_set(err, "%s: it is not an .npz file (%s)", path, zip_error_strerror(&why));
        zip_error_fini(&why);
        free(npz);
        return NULL;
    }
    return npz;
}

void npz_close(struct npz *npz) {
    if (!npz)
        return;
    zip_discard(npz->zip);
    free(npz);
}

static zip_int64_t locate(struct npz *npz, const char *name) {
    char member[128];

    snprintf(member, sizeof member, "%s.npy", name);
    return zip_name_locate(npz->zip, member, 0);
}

bool npz_has(struct npz *npz, const char *name) {
    return locate(npz, name) >= 0;
}

int npz_read(struct npz *npz, const char *name, struct npy *ret_npy, struct error *err) {
    zip_int64_t at = locate(npz, name);
    zip_stat_t status;
    zip_file_t *file;
    unsigned char *bytes;
    bool whole;

    if (at < 0)
        return error_set(err, "%s: it has no array \"%s\"", npz->path, name);
    if (zip_stat_index(npz->zip, (zip_uint64_t)at, 0, &status) != 0 || !(status.valid & ZIP_STAT_SIZE) ||
        status.size > PTRDIFF_MAX)
        return error_set(err, "%s: \"%s\" cannot be read", npz->path, name);
    bytes = malloc(status.size ? status.size : 1);
    if (!bytes)
        return error_set(err, "%s: no memory for the %ju bytes of \"%s\"", npz->path, (uintmax_t)status.size, name);
    file = zip_fopen_index(npz->zip, (zip_uint64_t)at, 0);
    whole = file && zip_fread(file, bytes, status.size) == (zip_int64_t)status.size;
    if (file)
        zip_fclose(file);
    if (!whole) {
        free(bytes);
        return error_set(err, "%s: \"%s\" cannot be read", npz->path, name);
    }
    if (npy_take(bytes, status.size, ret_npy, err) != 0)
        return error_prefix(err, "%s: \"%s\"", npz->path, name);
    return 0;
}
