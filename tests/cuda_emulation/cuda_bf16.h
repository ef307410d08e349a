/* cuda_bf16.h, of the emulation: bfloat16 as the toolkit names it, rounded to nearest even. */
#ifndef CUDA_EMULATION_BF16_H
#define CUDA_EMULATION_BF16_H

#include "emulation.h"

struct __nv_bfloat16 {
	uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
	__nv_bfloat16 x, y;
};

static inline float __bfloat162float(__nv_bfloat16 v)
{
	return __uint_as_float((unsigned)v.bits << 16);
}

static inline __nv_bfloat16 __float2bfloat16_rn(float v)
{
	unsigned u = __float_as_uint(v);
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return { 0x7fff };
	return { (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16) };
}

static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
	return { __float2bfloat16_rn(x), __float2bfloat16_rn(y) };
}

#endif
