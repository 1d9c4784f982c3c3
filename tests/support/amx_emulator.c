#include "tests/support/amx_emulator.h"

#ifdef __x86_64__

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64, LANES = ROW_BYTES / 4 };

struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static _Thread_local struct {
    struct config config; /* palette 0: released */
    uint8_t data[TILES][ROWS][ROW_BYTES];
    unsigned long products;
} tiles;

static _Noreturn void refuse(const char *why) {
    fprintf(stderr, "emulated AMX: %s\n", why);
    abort();
}

/* ---- instructions ------------------------------------------------------------------------------- */

static void load_config(const void *from) {
    static const uint8_t zeros[14];
    struct config config;
    memcpy(&config, from, sizeof config);
    if (config.palette != 1 || config.start_row != 0 || memcmp(config.reserved, zeros, sizeof zeros) != 0)
        refuse("not a configuration of palette 1");
    for (int t = 0; t < 16; t++)
        if (config.row_bytes[t] > ROW_BYTES || config.rows[t] > ROWS || (t >= TILES && config.rows[t] > 0) ||
            (config.row_bytes[t] == 0) != (config.rows[t] == 0))
            refuse("a tile of such a size is not to be had");
    tiles.config = config;
    memset(tiles.data, 0, sizeof tiles.data);
}

static void check(int tile) {
    if (tile >= TILES || tiles.config.palette != 1 || tiles.config.rows[tile] == 0)
        refuse("a tile that is not configured");
}

static void load(int tile, const char *from, long stride) {
    check(tile);
    memset(tiles.data[tile], 0, sizeof tiles.data[tile]);
    for (int r = 0; r < tiles.config.rows[tile]; r++)
        memcpy(tiles.data[tile][r], from + r * stride, tiles.config.row_bytes[tile]);
}

static void store(int tile, char *to, long stride) {
    check(tile);
    for (int r = 0; r < tiles.config.rows[tile]; r++)
        memcpy(to + r * stride, tiles.data[tile][r], tiles.config.row_bytes[tile]);
}

static float flushed(float x) {
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

static float widened(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return flushed(x);
}

/* TDPBF16PS: denormals of what goes in and of what comes out are zeros, rounding is to the nearest. */
__attribute__((target("avx2,fma"))) static void multiply(int c, int a, int b) {
    check(c);
    check(a);
    check(b);
    int rows = tiles.config.rows[c], pairs = tiles.config.row_bytes[a] / 4, lanes = tiles.config.row_bytes[c] / 4;
    if (c == a || c == b || a == b || rows != tiles.config.rows[a] || pairs != tiles.config.rows[b] ||
        tiles.config.row_bytes[b] != tiles.config.row_bytes[c])
        refuse("a product of tiles that do not fit");
    float weights[ROWS][2][LANES] = {0}, sums[LANES];
    for (int k = 0; k < pairs; k++)
        for (int n = 0; n < lanes; n++) {
            uint16_t pair[2];
            memcpy(pair, tiles.data[b][k] + 4 * n, sizeof pair);
            weights[k][0][n] = widened(pair[0]);
            weights[k][1][n] = widened(pair[1]);
        }
    for (int m = 0; m < rows; m++) {
        float products[2][LANES] = {{0}};
        memcpy(sums, tiles.data[c][m], sizeof sums);
        for (int k = 0; k < pairs; k++) {
            uint16_t pair[2];
            memcpy(pair, tiles.data[a][m] + 4 * k, sizeof pair);
            for (int odd = 0; odd < 2; odd++) {
                float input = widened(pair[odd]);
                for (int n = 0; n < LANES; n++)
                    products[odd][n] = flushed(__builtin_fmaf(input, weights[k][odd][n], products[odd][n]));
            }
        }
        for (int n = 0; n < LANES; n++)
            sums[n] = flushed(flushed(sums[n]) + flushed(products[0][n] + products[1][n]));
        memcpy(tiles.data[c][m], sums, (size_t)lanes * sizeof *sums);
    }
    tiles.products++;
}

/* ---- decoding ----------------------------------------------------------------------------------- */

/* Numbers of registers in encodings. */
static const int registers[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* The operand in memory behind the three bytes of VEX and the opcode: where, the index as a stride, and the bytes that the
 * instruction has. A stride is not part of the address. */
struct operand {
    char *at;
    long stride;
    int n_bytes;
};

static struct operand operand_of(const uint8_t *code, const greg_t *values) {
    int mod = code[4] >> 6, rm = code[4] & 7, extended_base = (code[1] & 0x20) == 0 ? 8 : 0;
    struct operand operand = {.n_bytes = 5};
    int base = rm + extended_base;
    bool has_base = true;
    if (rm == 4) {
        int index = (code[5] >> 3 & 7) + ((code[1] & 0x40) == 0 ? 8 : 0);
        base = (code[5] & 7) + extended_base;
        has_base = (code[5] & 7) != 5 || mod != 0;
        if (index != 4)
            operand.stride = (long)values[registers[index]] * (1L << (code[5] >> 6));
        operand.n_bytes++;
    } else if (rm == 5 && mod == 0) {
        refuse("an address that the emulator does not know");
    }
    int32_t displacement = 0;
    if (mod == 1) {
        displacement = (int8_t)code[operand.n_bytes++];
    } else if (mod == 2 || !has_base) {
        memcpy(&displacement, code + operand.n_bytes, sizeof displacement);
        operand.n_bytes += 4;
    }
    operand.at = (char *)(intptr_t)((has_base ? values[registers[base]] : 0) + displacement);
    return operand;
}

/* Does the instruction; returns its bytes, 0 where it is none of tiles. Manual, volume 2, appendix A: VEX.128.0F38.W0. */
static int execute(const uint8_t *code, const greg_t *values) {
    if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x84) != 0)
        return 0;
    int prefix = code[2] & 3, source = ~code[2] >> 3 & 15, reg = code[4] >> 3 & 7,
        rm = code[4] & 7; /* 2: F3, 3: F2 */
    bool in_memory = code[4] < 0xc0;
    int what = code[3] << 8 | prefix << 4 | in_memory;

    if (what == 0x4900 && code[4] == 0xc0) {
        memset(&tiles.config, 0, sizeof tiles.config);
        return 5;
    }
    if (what == 0x5c20) {
        multiply(reg, rm, source);
        return 5;
    }
    if (!in_memory)
        return 0;
    struct operand operand = operand_of(code, values);
    switch (what) {
    case 0x4901: load_config(operand.at + operand.stride); break;
    case 0x4b31: load(reg, operand.at, operand.stride); break;
    case 0x4b21: store(reg, operand.at, operand.stride); break;
    default: return 0;
    }
    return operand.n_bytes;
}

static void on_refused(int number, siginfo_t *info, void *context) {
    greg_t *values = ((ucontext_t *)context)->uc_mcontext.gregs;
    int n_bytes, done = 0;
    (void)info;
    for (; (n_bytes = execute((const uint8_t *)(intptr_t)values[REG_RIP], values)) > 0; done++)
        values[REG_RIP] += n_bytes; /* and those that follow at once: a signal takes long */
    if (done == 0)
        signal(number, SIG_DFL); /* and then once more */
}

bool amx_emulator_start(void) {
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16") &&
           sigaction(SIGILL, &action, NULL) == 0;
}

unsigned long amx_emulator_products(void) {
    return tiles.products;
}

bool amx_emulator_is_released(void) {
    return tiles.config.palette == 0;
}

#else

bool amx_emulator_start(void) {
    return false;
}

unsigned long amx_emulator_products(void) {
    return 0;
}

bool amx_emulator_is_released(void) {
    return true;
}

#endif
