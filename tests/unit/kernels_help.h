/* kernels_help.h: what the tests of kernels/ share: back ends, arrays of exact size, NMSE, equality of bits.
 *
 * On the CPU back ends device memory is the host's, so tests hand over plain heap arrays of exactly the size needed: the
 * address sanitizer then sees a read or a write one float too far. */
#ifndef TESTS_KERNELS_HELP_H
#define TESTS_KERNELS_HELP_H

#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "kernels/kernels.h"

static inline struct backend *open_backend(const char *spec, int threads)
{
	struct backend *be;
	assert_int_equal(backend_open(&be, spec, threads), 0);
	return be;
}

/* n floats in [-scale, scale); n 0 gives an array too */
static inline float *random_floats(uint64_t seed, size_t n, float scale)
{
	struct rng r;
	float *p = malloc(n ? n * sizeof(float) : 1);
	assert_non_null(p);
	rng_seed(&r, seed, 77);
	for (size_t i = 0; i < n; i++)
		p[i] = (float)(2 * rng_uniform(&r) - 1) * scale;
	return p;
}

static inline float *filled_floats(size_t n, float value)
{
	float *p = malloc(n ? n * sizeof(float) : 1);
	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = value;
	return p;
}

static inline float *copy_floats(const float *p, size_t n)
{
	float *q = malloc(n ? n * sizeof(float) : 1);
	assert_non_null(q);
	if (n)
		memcpy(q, p, n * sizeof(float));
	return q;
}

/* Normalised mean square error; NaN anywhere gives infinity */
static inline double nmse(const float *got, const float *want, size_t n)
{
	double e = 0, w = 0;
	for (size_t i = 0; i < n; i++) {
		double d = (double)got[i] - (double)want[i];
		e += d * d;
		w += (double)want[i] * (double)want[i];
	}
	if (e != e || w != w)
		return INFINITY;
	return w > 0 ? e / w : e;
}

#define assert_nmse(got, want, n, limit)                                                                               \
	do {                                                                                                           \
		double nmse_ = nmse(got, want, n);                                                                     \
		if (!(nmse_ < (limit)))                                                                                \
			fail_msg("%s: NMSE %.3g is not below %.3g", #got, nmse_, (double)(limit));                     \
	} while (0)

#define assert_same_bits(a, b, n)                                                                                      \
	do {                                                                                                           \
		for (size_t sb_ = 0; sb_ < (size_t)(n); sb_++)                                                         \
			if (memcmp(&(a)[sb_], &(b)[sb_], sizeof((a)[0])) != 0)                                         \
				fail_msg("%s[%zu] = %.9g, %s[%zu] = %.9g", #a, sb_, (double)(a)[sb_], #b, sb_,         \
					 (double)(b)[sb_]);                                                            \
	} while (0)

#endif
