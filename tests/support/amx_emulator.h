/*
 * AMX's tiles in software, for a CPU that has AVX-512 but no tiles: the CPU refuses a tile instruction (SIGILL), and the
 * emulator does instead what Intel's Software Developer's Manual (volume 2, the pseudo-code of each instruction) says. Thus the
 * kernels run as they are compiled. Each thread has its own tiles. What a real CPU would refuse (tiles that are not configured,
 * or whose sizes do not fit) ends the program.
 */
#ifndef TESTS_SUPPORT_AMX_EMULATOR_H
#define TESTS_SUPPORT_AMX_EMULATOR_H

#include <stdbool.h>

/* From now on, until something else handles SIGILL; false where this CPU has not the vectors that go with it. */
bool amx_emulator_start(void);

/* Products of tiles that this thread has made, and whether its tiles are released. */
unsigned long amx_emulator_products(void);
bool amx_emulator_is_released(void);

#endif
