/* widen_int.h: bf16 and f16 as floats, alone and eight at a time. Both are exact: every bf16 and every f16 is a float. */
#ifndef KERNELS_WIDEN_INT_H
#define KERNELS_WIDEN_INT_H

#include "kernels/kernels.h"
#include "kernels/vec_int.h"

/* bf16 is the upper half of a float */
VEC_INLINE float widen_bf16(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;
	memcpy(&f, &u, sizeof(f));
	return f;
}

/* f16: sign, 5 bits of exponent, 10 of fraction. The bits in their place, scaled by 2^112, give every finite number, the
 * subnormal ones too; the exponent 31 is infinity and NaN, which the instruction makes quiet. */
VEC_INLINE float widen_f16(uint16_t h)
{
#if defined(__F16C__)
	return _cvtsh_ss(h);
#else
	uint32_t u = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
	float f;
	if (u >= 0x0f800000) { /* exponent 31 */
		u |= 0x7f800000;
		u |= u & 0x007fffff ? 0x00400000 : 0;
	} else {
		memcpy(&f, &u, sizeof(f));
		f *= 0x1p112f;
		memcpy(&u, &f, sizeof(u));
	}
	u |= sign;
	memcpy(&f, &u, sizeof(f));
	return f;
#endif
}

VEC_INLINE v8f v8f_load_bf16(const uint16_t *p)
{
#if defined(__AVX2__) && defined(__FMA__)
	__m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
	return (v8f)_mm256_slli_epi32(wide, 16);
#else
	v8f v;
	for (int i = 0; i < 8; i++)
		v[i] = widen_bf16(p[i]);
	return v;
#endif
}

VEC_INLINE v8f v8f_load_f16(const uint16_t *p)
{
#if defined(__F16C__)
	return (v8f)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
#else
	v8f v;
	for (int i = 0; i < 8; i++)
		v[i] = widen_f16(p[i]);
	return v;
#endif
}

/* Eight elements from element `at` of an array of a type (enum kernels_type) */
VEC_INLINE v8f v8f_load_as(const int type, const void *p, size_t at)
{
	if (type == KERNELS_F32)
		return v8f_load((const float *)p + at);
	return type == KERNELS_BF16 ? v8f_load_bf16((const uint16_t *)p + at) : v8f_load_f16((const uint16_t *)p + at);
}

#endif
