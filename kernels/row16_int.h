/* row16_int.h: sixteen floats, the row of a panel: two registers of AVX2, or one of AVX-512 where the file is compiled for
 * it. Every operation is a plain IEEE one on each lane, so both give the same bits. */
#ifndef KERNELS_ROW16_INT_H
#define KERNELS_ROW16_INT_H

#include "kernels/widen_int.h"

#ifdef __AVX512F__

typedef __m512 row16;

VEC_INLINE row16 row16_all(float x)
{
	return _mm512_set1_ps(x);
}

VEC_INLINE row16 row16_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

VEC_INLINE void row16_store(float *p, row16 a)
{
	_mm512_storeu_ps(p, a);
}

VEC_INLINE row16 row16_add(row16 a, row16 b)
{
	return _mm512_add_ps(a, b);
}

/* x b + c, rounded once */
VEC_INLINE row16 row16_fma(float x, row16 b, row16 c)
{
	return _mm512_fmadd_ps(_mm512_set1_ps(x), b, c);
}

/* Sixteen elements from element `at` of an array of a type (enum kernels_type) */
VEC_INLINE row16 row16_load_as(const int type, const void *p, size_t at)
{
	if (type == KERNELS_F32)
		return _mm512_loadu_ps((const float *)p + at);
	__m256i half = _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)p + at));
	if (type == KERNELS_F16)
		return _mm512_cvtph_ps(half);
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

#else

typedef struct {
	v8f lo, hi;
} row16;

VEC_INLINE row16 row16_all(float x)
{
	return (row16){ v8f_all(x), v8f_all(x) };
}

VEC_INLINE row16 row16_load(const float *p)
{
	return (row16){ v8f_load(p), v8f_load(p + 8) };
}

VEC_INLINE void row16_store(float *p, row16 a)
{
	v8f_store(p, a.lo);
	v8f_store(p + 8, a.hi);
}

VEC_INLINE row16 row16_add(row16 a, row16 b)
{
	return (row16){ a.lo + b.lo, a.hi + b.hi };
}

/* x b + c, rounded once */
VEC_INLINE row16 row16_fma(float x, row16 b, row16 c)
{
	v8f all = v8f_all(x);
	return (row16){ v8f_fma(all, b.lo, c.lo), v8f_fma(all, b.hi, c.hi) };
}

/* Sixteen elements from element `at` of an array of a type (enum kernels_type) */
VEC_INLINE row16 row16_load_as(const int type, const void *p, size_t at)
{
	return (row16){ v8f_load_as(type, p, at), v8f_load_as(type, p, at + 8) };
}

#endif
#endif
