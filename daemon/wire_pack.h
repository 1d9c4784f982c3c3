/*
 * MessagePack by the token, for the wire's own files: a reader and a writer. Both are what the daemon and its clients do most.
 *
 * Each pack_ function writes at p, needs the room that PACK_MAX or its comment names, and returns where the next one
 * goes on.
 */
#ifndef DAEMON_WIRE_PACK_H
#define DAEMON_WIRE_PACK_H

#include "daemon/wire.h"

#include <endian.h>
#include <math.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------ */

struct wire_reader {
    const char *at;
    size_t left;
};

enum wire_token_type {
    WIRE_NIL,
    WIRE_BOOLEAN, /* bits */
    WIRE_UINT,    /* bits; a signed form that holds no negative number too */
    WIRE_SINT,    /* bits: of an int64 below 0 */
    WIRE_FLOAT,   /* bits: of a double, also of a float32 */
    WIRE_STR,     /* these three: length, whose bytes come next */
    WIRE_BIN,
    WIRE_EXT,   /* its type has been passed over */
    WIRE_ARRAY, /* these two: length, of whose elements (pairs) none has been read */
    WIRE_MAP,
};

struct wire_token {
    enum wire_token_type type;
    uint32_t length;
    uint64_t bits;
};

static inline void wire_reader_init(struct wire_reader *reader, const char *at, size_t n) {
    *reader = (struct wire_reader){at, n};
}

/* Passes over n bytes that have been looked at. */
static inline void wire_reader_pass(struct wire_reader *reader, size_t n) {
    reader->at += n;
    reader->left -= n;
}

/* wire_read of what is not so short, and not so frequent. */
bool wire_read_long(struct wire_reader *reader, struct wire_token *ret_token);

/* The next token. False at the end, on a truncated token, and on the one byte that MessagePack does not use. */
static inline bool wire_read(struct wire_reader *reader, struct wire_token *ret_token) {
    if (reader->left == 0)
        return false;
    unsigned head = (unsigned char)*reader->at;
    if (head >= 0xc0 && head < 0xe0)
        return wire_read_long(reader, ret_token);
    reader->at++;
    reader->left--;
    if (head < 0x80)
        *ret_token = (struct wire_token){.type = WIRE_UINT, .bits = head};
    else if (head >= 0xe0)
        *ret_token = (struct wire_token){.type = WIRE_SINT, .bits = (uint64_t)(int64_t)(int8_t)head};
    else if (head >= 0xa0)
        *ret_token = (struct wire_token){.type = WIRE_STR, .length = head & 0x1f};
    else
        *ret_token = (struct wire_token){.type = head >= 0x90 ? WIRE_ARRAY : WIRE_MAP, .length = head & 0x0f};
    return true;
}

/* The n bytes behind the token of a str, bin or ext. False when they are not all there. */
static inline bool wire_read_bytes(struct wire_reader *reader, size_t n, struct wire_text *ret_text) {
    if (n > reader->left)
        return false;
    *ret_text = (struct wire_text){reader->at, n};
    reader->at += n;
    reader->left -= n;
    return true;
}

/* Takes a float64 when it is what comes next: most of what is read. */
static inline bool wire_read_float64(struct wire_reader *reader, double *ret_value) {
    uint64_t bits;
    if (reader->left < 9 || (unsigned char)*reader->at != 0xcb)
        return false;
    memcpy(&bits, reader->at + 1, sizeof(bits));
    bits = be64toh(bits);
    memcpy(ret_value, &bits, sizeof(bits));
    reader->at += 9;
    reader->left -= 9;
    return true;
}

/* Takes a float32, or nil as NaN, when it is what comes next. */
static inline bool wire_read_float32(struct wire_reader *reader, double *ret_value) {
    uint32_t bits;
    float value;
    if (reader->left > 0 && (unsigned char)*reader->at == 0xc0) {
        *ret_value = (double)NAN;
        reader->at++;
        reader->left--;
        return true;
    }
    if (reader->left < 5 || (unsigned char)*reader->at != 0xca)
        return false;
    memcpy(&bits, reader->at + 1, sizeof(bits));
    bits = be32toh(bits);
    memcpy(&value, &bits, sizeof(bits));
    *ret_value = (double)value;
    reader->at += 5;
    reader->left -= 5;
    return true;
}

/* Passes over one value, whatever it holds. False when it is truncated or not MessagePack. */
bool wire_read_skip(struct wire_reader *reader);

/* The value of an integer token. False when it is no integer, or out of range. */
static inline bool wire_token_int64(const struct wire_token *token, int64_t *ret_value) {
    if (token->type != WIRE_SINT && (token->type != WIRE_UINT || token->bits > INT64_MAX))
        return false;
    *ret_value = (int64_t)token->bits;
    return true;
}

static inline bool wire_token_uint64(const struct wire_token *token, uint64_t *ret_value) {
    if (token->type != WIRE_UINT)
        return false;
    *ret_value = token->bits;
    return true;
}

/* The value of a token of a number. */
static inline double wire_token_double(const struct wire_token *token) {
    double value;
    if (token->type == WIRE_UINT)
        return (double)token->bits;
    if (token->type == WIRE_SINT)
        return (double)(int64_t)token->bits;
    memcpy(&value, &token->bits, sizeof value);
    return value;
}

static inline bool wire_text_is(struct wire_text text, const char *literal, size_t n) {
    return text.n == n && memcmp(text.at, literal, n) == 0;
}
#define WIRE_TEXT_IS(text, literal) wire_text_is(text, literal, sizeof(literal) - 1)

/* ---- writing ------------------------------------------------------------------------------ */

enum { PACK_MAX = 9 }; /* bytes of the longest number or head */

static inline char *pack_byte(char *p, unsigned byte) {
    *p = (char)byte;
    return p + 1;
}

static inline char *pack_u16(char *p, unsigned head, uint16_t value) {
    value = htobe16(value);
    p[0] = (char)head;
    memcpy(p + 1, &value, sizeof(value));
    return p + 1 + sizeof(value);
}

static inline char *pack_u32(char *p, unsigned head, uint32_t value) {
    value = htobe32(value);
    p[0] = (char)head;
    memcpy(p + 1, &value, sizeof(value));
    return p + 1 + sizeof(value);
}

static inline char *pack_u64(char *p, unsigned head, uint64_t value) {
    value = htobe64(value);
    p[0] = (char)head;
    memcpy(p + 1, &value, sizeof(value));
    return p + 1 + sizeof(value);
}

/* Integers take the shortest form. */
static inline char *pack_uint(char *p, uint64_t value) {
    if (value < 0x80)
        return pack_byte(p, (unsigned)value);
    if (value <= 0xff)
        return pack_byte(pack_byte(p, 0xcc), (unsigned)value);
    if (value <= 0xffff)
        return pack_u16(p, 0xcd, (uint16_t)value);
    if (value <= 0xffffffff)
        return pack_u32(p, 0xce, (uint32_t)value);
    return pack_u64(p, 0xcf, value);
}

static inline char *pack_int(char *p, int64_t value) {
    if (value >= 0)
        return pack_uint(p, (uint64_t)value);
    if (value >= -32)
        return pack_byte(p, (unsigned)(value & 0xff));
    if (value >= INT8_MIN)
        return pack_byte(pack_byte(p, 0xd0), (unsigned)(value & 0xff));
    if (value >= INT16_MIN)
        return pack_u16(p, 0xd1, (uint16_t)value);
    if (value >= INT32_MIN)
        return pack_u32(p, 0xd2, (uint32_t)value);
    return pack_u64(p, 0xd3, (uint64_t)value);
}

static inline char *pack_nil(char *p) {
    return pack_byte(p, 0xc0);
}

/* Always a float64. */
static inline char *pack_double(char *p, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return pack_u64(p, 0xcb, bits);
}

static inline char *pack_float(char *p, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return pack_u32(p, 0xca, bits);
}

static inline char *pack_array(char *p, size_t n) {
    if (n < 16)
        return pack_byte(p, 0x90 | (unsigned)n);
    return n <= 0xffff ? pack_u16(p, 0xdc, (uint16_t)n) : pack_u32(p, 0xdd, (uint32_t)n);
}

static inline char *pack_map(char *p, size_t n) {
    if (n < 16)
        return pack_byte(p, 0x80 | (unsigned)n);
    return n <= 0xffff ? pack_u16(p, 0xde, (uint16_t)n) : pack_u32(p, 0xdf, (uint32_t)n);
}

static inline char *pack_str_head(char *p, size_t n) {
    if (n < 32)
        return pack_byte(p, 0xa0 | (unsigned)n);
    if (n <= 0xff)
        return pack_byte(pack_byte(p, 0xd9), (unsigned)n);
    return n <= 0xffff ? pack_u16(p, 0xda, (uint16_t)n) : pack_u32(p, 0xdb, (uint32_t)n);
}

/* Needs text.n + PACK_MAX bytes. */
static inline char *pack_text(char *p, struct wire_text text) {
    p = pack_str_head(p, text.n);
    memcpy(p, text.at, text.n);
    return p + text.n;
}

/* A literal of at most 31 bytes, its head joined to it when compiled: a key costs one copy. */
#define PACK_LITERAL(p, literal) \
    pack_short(p, literal, sizeof(literal) - 1 + 0 * sizeof(char[sizeof(literal) <= 32 ? 1 : -1]))
static inline char *pack_short(char *p, const char *literal, size_t n) {
    *p = (char)(0xa0 | n);
    memcpy(p + 1, literal, n);
    return p + 1 + n;
}

#endif
