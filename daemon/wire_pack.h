/*
 * MessagePack by the token, for the wire's own files: a reader over libmpack's, and a writer.
 *
 * The writer is ours. The library's (1.0.5) cuts a negative int64 to 32 bits or fewer when the top bit of its
 * low word is set (-5000000000 becomes -705032704), writes a double as float32 where that holds it, and is
 * more than ten times slower. Each pack_ function writes at p, needs the room that PACK_MAX or its comment names,
 * and returns where the next one goes on.
 */
#ifndef DAEMON_WIRE_PACK_H
#define DAEMON_WIRE_PACK_H

#include "daemon/wire.h"

#include <endian.h>
#include <mpack.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------ */

struct wire_reader {
    mpack_tokbuf_t tokens;
    const char *at;
    size_t left;
};

static inline void wire_reader_init(struct wire_reader *reader, const char *at, size_t n) {
    mpack_tokbuf_init(&reader->tokens);
    reader->at = at;
    reader->left = n;
}

/* The next token. False at the end, on a truncated token, and on the one byte that MessagePack does not use. */
static inline bool wire_read(struct wire_reader *reader, mpack_token_t *ret_token) {
    return reader->left > 0 && mpack_read(&reader->tokens, &reader->at, &reader->left, ret_token) == MPACK_OK;
}

/* The n bytes behind the token of a str, bin or ext. False when they are not all there. */
static inline bool wire_read_bytes(struct wire_reader *reader, size_t n, struct wire_text *ret_text) {
    if (n > reader->left)
        return false;
    *ret_text = (struct wire_text){reader->at, n};
    reader->at += n;
    reader->left -= n;
    reader->tokens.passthrough = 0; /* taken, so the library need not hand them out as a chunk */
    return true;
}

/* Takes a float64 when it is what comes next. The library puts numbers together byte by byte; float64s are
 * most of what is read, and going round it for them alone triples the rate of ticks. */
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

/* Passes over one value, whatever it holds. False when it is truncated or not MessagePack. */
bool wire_read_skip(struct wire_reader *reader);

/* The value of an integer token. False when it is no integer, or out of range. */
bool wire_token_int64(const mpack_token_t *token, int64_t *ret_value);
bool wire_token_uint64(const mpack_token_t *token, uint64_t *ret_value);

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
