/* vec_int.h: eight floats, or four doubles, at a time.
 *
 * The vector types are the compiler's own (GCC and Clang lower them to whatever the machine has); only the fused
 * multiply-add names an instruction. Every operation is a plain IEEE one on each lane, so the width of the machine's
 * registers changes no bit. Sums across a row run in eight lanes (element i in lane i % 8) that are added in one fixed
 * tree at the end. */
#ifndef KERNELS_VEC_INT_H
#define KERNELS_VEC_INT_H

#include "base/base.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

#define VEC_INLINE static inline __attribute__((always_inline))

typedef float v8f __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef uint32_t v8u __attribute__((vector_size(32)));
typedef float v8f_any __attribute__((vector_size(32), aligned(4), may_alias)); /* anywhere in an array of floats */
typedef float v4f_any __attribute__((vector_size(16), aligned(4), may_alias));
typedef double v4d __attribute__((vector_size(32)));
typedef int64_t v4i __attribute__((vector_size(32)));
typedef uint64_t v4u __attribute__((vector_size(32)));

VEC_INLINE v8f v8f_load(const float *p)
{
	return *(const v8f_any *)p;
}

VEC_INLINE void v8f_store(float *p, v8f v)
{
	*(v8f_any *)p = v;
}

/* The first n < 8 of an array; the other lanes are fill */
VEC_INLINE v8f v8f_load_part(const float *p, int n, float fill)
{
	float t[8] = { fill, fill, fill, fill, fill, fill, fill, fill };
	for (int i = 0; i < n; i++)
		t[i] = p[i];
	return v8f_load(t);
}

VEC_INLINE void v8f_store_part(float *p, int n, v8f v)
{
	for (int i = 0; i < n; i++)
		p[i] = v[i];
}

VEC_INLINE v8f v8f_all(float x)
{
	return (v8f){ x, x, x, x, x, x, x, x };
}

/* a b + c, rounded once */
VEC_INLINE v8f v8f_fma(v8f a, v8f b, v8f c)
{
#if defined(__AVX2__) && defined(__FMA__)
	return (v8f)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
	for (int i = 0; i < 8; i++)
		c[i] = __builtin_fmaf(a[i], b[i], c[i]);
	return c;
#endif
}

/* Each lane of a where the mask is set (all bits), of b elsewhere */
VEC_INLINE v8f v8f_pick(v8i mask, v8f a, v8f b)
{
	return (v8f)((mask & (v8i)a) | (~mask & (v8i)b));
}

/* The larger of each lane; a where b is NaN */
VEC_INLINE v8f v8f_max(v8f a, v8f b)
{
	return v8f_pick(b > a, b, a);
}

VEC_INLINE float v8f_sum(v8f v)
{
	return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

VEC_INLINE float v8f_top(v8f v)
{
	float m = v[0];
	for (int i = 1; i < 8; i++)
		m = v[i] > m ? v[i] : m;
	return m;
}

VEC_INLINE v4d v4d_all(double x)
{
	return (v4d){ x, x, x, x };
}

VEC_INLINE v4d v4d_fma(v4d a, v4d b, v4d c)
{
#if defined(__AVX2__) && defined(__FMA__)
	return (v4d)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
	for (int i = 0; i < 4; i++)
		c[i] = __builtin_fma(a[i], b[i], c[i]);
	return c;
#endif
}

VEC_INLINE v4d v4d_pick(v4i mask, v4d a, v4d b)
{
	return (v4d)((mask & (v4i)a) | (~mask & (v4i)b));
}

/* Four floats as doubles */
VEC_INLINE v4d v4d_load(const float *p)
{
	return __builtin_convertvector(*(const v4f_any *)p, v4d);
}

/* lanes 0..3 in a, 4..7 in b: the tree of v8f_sum */
VEC_INLINE double v4d_sum(v4d a, v4d b)
{
	v4d s = a + b;
	return (s[0] + s[2]) + (s[1] + s[3]);
}

#endif
