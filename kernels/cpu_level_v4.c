/* cpu_level_v4.c: cpu_level.c once more, for AVX-512: the Makefile compiles this file, alone, for x86-64-v4. Nothing in it
 * runs before cpu_open() has seen that the processor has these instructions. */
#include "kernels/gemm_int.h"

#ifdef __AVX512F__
#include "kernels/cpu_level.c"
#else
const struct gemm_level cpu_level_v4 = { NULL, 0, 0, NULL, NULL };
#endif
