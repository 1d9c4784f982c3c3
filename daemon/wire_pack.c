#include "daemon/wire_pack.h"

/* Without recursion, so that nesting costs nothing. Every value takes at least a byte: a count that
 * claims more than is left is refused before anything is walked, and the sum cannot overflow. */
bool wire_read_skip(struct wire_reader *reader) {
    uint64_t values = 1;
    while (values > 0) {
        mpack_token_t token;
        struct wire_text passed;
        if (values > reader->left || !wire_read(reader, &token))
            return false;
        values--;
        switch (token.type) {
        case MPACK_TOKEN_ARRAY: values += token.length; break;
        case MPACK_TOKEN_MAP: values += 2 * (uint64_t)token.length; break;
        case MPACK_TOKEN_STR:
        case MPACK_TOKEN_BIN:
        case MPACK_TOKEN_EXT:
            if (!wire_read_bytes(reader, token.length, &passed))
                return false;
            break;
        default: break;
        }
    }
    return true;
}

bool wire_token_int64(const mpack_token_t *token, int64_t *ret_value) {
    if (token->type == MPACK_TOKEN_SINT) {
        *ret_value = mpack_unpack_sint(*token);
        return true;
    }
    uint64_t value;
    if (!wire_token_uint64(token, &value) || value > INT64_MAX)
        return false;
    *ret_value = (int64_t)value;
    return true;
}

/* The library gives a signed encoding that holds no negative number as MPACK_TOKEN_UINT. */
bool wire_token_uint64(const mpack_token_t *token, uint64_t *ret_value) {
    if (token->type != MPACK_TOKEN_UINT)
        return false;
    *ret_value = mpack_unpack_uint(*token);
    return true;
}
