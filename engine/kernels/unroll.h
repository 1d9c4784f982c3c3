/* For loops whose counts are constants once a function is inlined. Internal to the kernels. */
#ifndef ENGINE_KERNELS_UNROLL_H
#define ENGINE_KERNELS_UNROLL_H

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
