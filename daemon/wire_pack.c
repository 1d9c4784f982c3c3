#include "daemon/wire_pack.h"

/* What is behind a head of 0xc0 to 0xdf: bytes of a number, or of a length (and of an ext its type). */
enum form { FORM_NONE, FORM_CONSTANT, FORM_NUMBER, FORM_LENGTH };
static const struct {
    unsigned char form, type, bytes, skip;
} forms[32] = {
    [0x00] = {FORM_CONSTANT, WIRE_NIL, 0, 0},     [0x02] = {FORM_CONSTANT, WIRE_BOOLEAN, 0, 0},
    [0x03] = {FORM_CONSTANT, WIRE_BOOLEAN, 0, 0}, [0x04] = {FORM_LENGTH, WIRE_BIN, 1, 0},
    [0x05] = {FORM_LENGTH, WIRE_BIN, 2, 0},       [0x06] = {FORM_LENGTH, WIRE_BIN, 4, 0},
    [0x07] = {FORM_LENGTH, WIRE_EXT, 1, 1},       [0x08] = {FORM_LENGTH, WIRE_EXT, 2, 1},
    [0x09] = {FORM_LENGTH, WIRE_EXT, 4, 1},       [0x0a] = {FORM_NUMBER, WIRE_FLOAT, 4, 0},
    [0x0b] = {FORM_NUMBER, WIRE_FLOAT, 8, 0},     [0x0c] = {FORM_NUMBER, WIRE_UINT, 1, 0},
    [0x0d] = {FORM_NUMBER, WIRE_UINT, 2, 0},      [0x0e] = {FORM_NUMBER, WIRE_UINT, 4, 0},
    [0x0f] = {FORM_NUMBER, WIRE_UINT, 8, 0},      [0x10] = {FORM_NUMBER, WIRE_SINT, 1, 0},
    [0x11] = {FORM_NUMBER, WIRE_SINT, 2, 0},      [0x12] = {FORM_NUMBER, WIRE_SINT, 4, 0},
    [0x13] = {FORM_NUMBER, WIRE_SINT, 8, 0},      [0x14] = {FORM_CONSTANT, WIRE_EXT, 0, 1},
    [0x15] = {FORM_CONSTANT, WIRE_EXT, 0, 1},     [0x16] = {FORM_CONSTANT, WIRE_EXT, 0, 1},
    [0x17] = {FORM_CONSTANT, WIRE_EXT, 0, 1},     [0x18] = {FORM_CONSTANT, WIRE_EXT, 0, 1},
    [0x19] = {FORM_LENGTH, WIRE_STR, 1, 0},       [0x1a] = {FORM_LENGTH, WIRE_STR, 2, 0},
    [0x1b] = {FORM_LENGTH, WIRE_STR, 4, 0},       [0x1c] = {FORM_LENGTH, WIRE_ARRAY, 2, 0},
    [0x1d] = {FORM_LENGTH, WIRE_ARRAY, 4, 0},     [0x1e] = {FORM_LENGTH, WIRE_MAP, 2, 0},
    [0x1f] = {FORM_LENGTH, WIRE_MAP, 4, 0},
};

static uint64_t read_big_endian(const char *at, size_t n) {
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (n) {
    case 1: return (unsigned char)*at;
    case 2: memcpy(&two, at, sizeof two); return be16toh(two);
    case 4: memcpy(&four, at, sizeof four); return be32toh(four);
    case 8: memcpy(&eight, at, sizeof eight); return be64toh(eight);
    default: return 0;
    }
}

/* As a token has it: signed ones widened, a float32 as a double. */
static void set_number(struct wire_token *token, uint64_t bits, unsigned bytes) {
    token->bits = bits;
    if (token->type == WIRE_SINT) {
        unsigned shift = 64 - 8 * bytes;
        int64_t value = (int64_t)(bits << shift) >> shift;
        token->bits = (uint64_t)value;
        token->type = value < 0 ? WIRE_SINT : WIRE_UINT;
    } else if (token->type == WIRE_FLOAT && bytes == 4) {
        uint32_t single = (uint32_t)bits;
        float value;
        memcpy(&value, &single, sizeof value);
        double wide = (double)value;
        memcpy(&token->bits, &wide, sizeof wide);
    }
}

bool wire_read_long(struct wire_reader *reader, struct wire_token *ret_token) {
    unsigned head = (unsigned char)*reader->at - 0xc0U;
    size_t all = 1 + (size_t)forms[head].bytes + forms[head].skip;
    if (forms[head].form == FORM_NONE || reader->left < all)
        return false;
    struct wire_token token = {.type = (enum wire_token_type)forms[head].type};
    uint64_t bits = read_big_endian(reader->at + 1, forms[head].bytes);
    if (forms[head].form == FORM_NUMBER)
        set_number(&token, bits, forms[head].bytes);
    else if (forms[head].form == FORM_LENGTH)
        token.length = (uint32_t)bits;
    else if (token.type == WIRE_EXT)
        token.length = 1U << (head - 0x14);
    else
        token.bits = head == 0x03;
    reader->at += all;
    reader->left -= all;
    *ret_token = token;
    return true;
}

/* Without recursion, so that nesting costs nothing. Every value takes at least a byte: a count that
 * claims more than is left is refused before anything is walked, and the sum cannot overflow. */
bool wire_read_skip(struct wire_reader *reader) {
    uint64_t values = 1;
    while (values > 0) {
        struct wire_token token;
        struct wire_text passed;
        if (values > reader->left || !wire_read(reader, &token))
            return false;
        values--;
        switch (token.type) {
        case WIRE_ARRAY: values += token.length; break;
        case WIRE_MAP: values += 2 * (uint64_t)token.length; break;
        case WIRE_STR:
        case WIRE_BIN:
        case WIRE_EXT:
            if (!wire_read_bytes(reader, token.length, &passed))
                return false;
            break;
        default: break;
        }
    }
    return true;
}
