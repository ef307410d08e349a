/* cuda_math.h: exp and log on the device, a lane at a time: twins of vmath_int.h and vmath.c; and what activations are made of.
 *
 * The same coefficients and the same order of IEEE operations, so the same bits as the CPU's (tests/cuda_emulation/
 * test_cuda_math.cpp compares them). That header's vectors are a compiler's that nvcc's device side has not, hence twins. What
 * they say there about range, rounding and error holds here. */
#ifndef KERNELS_CUDA_MATH_H
#define KERNELS_CUDA_MATH_H

#include "kernels/cuda_device.h"

static __device__ __forceinline__ float dm_expf(float x)
{
	const float round = 12582912.0f;
	x = x < -104.0f ? -104.0f : x; /* NaN goes through */
	x = x > 89.0f ? 89.0f : x;
	float n = (x * 0x1.715476p+0f + round) - round;
	float half = (n * 0.5f + round) - round;
	float r = fmaf(n, -0x1.62e400p-1f, x);
	r = fmaf(n, -0x1.7f7d1cp-20f, r);
	float q = 0.00138144670593f;
	q = fmaf(q, r, 0.00836878041118f);
	q = fmaf(q, r, 0.0416683942109f);
	q = fmaf(q, r, 0.166665201078f);
	q = fmaf(q, r, 0.499999934125f);
	float e = fmaf(r * r, q, r) + 1.0f;
	float a = __uint_as_float(__float_as_uint(half + (round + 127.0f)) << 23);
	float b = __uint_as_float(__float_as_uint((n - half) + (round + 127.0f)) << 23);
	return e * a * b;
}

static __device__ __forceinline__ float sigmoid(float x)
{
	return 1.0f / (1.0f + dm_expf(-x));
}

/* x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3): x/2 (1 + tanh u) without a tanh */
static __device__ __forceinline__ float gelu_gate(float x)
{
	return sigmoid(1.5957691216057308f * fmaf(0.044715f * x * x, x, x));
}

static __device__ __forceinline__ double dm_bits(unsigned long long u)
{
	return __longlong_as_double((long long)u);
}

static __device__ __forceinline__ unsigned long long dm_word(double x)
{
	return (unsigned long long)__double_as_longlong(x);
}

static __device__ __forceinline__ double dm_exp(double x)
{
	const double round = 6755399441055744.0;
	x = x < -746.0 ? -746.0 : x;
	x = x > 710.0 ? 710.0 : x;
	double n = (x * 0x1.71547652b82fep+0 + round) - round;
	double half = (n * 0.5 + round) - round;
	double r = fma(n, -0x1.62e42fefa4000p-1, x);
	r = fma(n, 0x1.8432a1b0e2634p-43, r) + 0.0;
	double q = 0x1.ad7f02ab63a0ap-26;
	q = fma(q, r, 0x1.28adce733963cp-22);
	q = fma(q, r, 0x1.71df262c451e0p-19);
	q = fma(q, r, 0x1.a01999adcb23cp-16);
	q = fma(q, r, 0x1.a01a0129b4612p-13);
	q = fma(q, r, 0x1.6c16c1844b01cp-10);
	q = fma(q, r, 0x1.1111111127e83p-7);
	q = fma(q, r, 0x1.55555555507f1p-5);
	q = fma(q, r, 0x1.55555555554f9p-3);
	q = fma(q, r, 0x1.000000000000ap-1);
	double e = fma(r * r, q, r) + 1.0;
	double a = dm_bits(dm_word(half + (round + 1023.0)) << 52);
	double b = dm_bits(dm_word((n - half) + (round + 1023.0)) << 52);
	return e * a * b;
}

struct dm_parts {
	double hi, lo;
};

static __device__ __forceinline__ dm_parts dm_sum(double a, double b)
{
	double s = a + b;
	return { s, b - (s - a) };
}

static __device__ __forceinline__ dm_parts dm_mul(dm_parts a, dm_parts b)
{
	double p = a.hi * b.hi;
	double e = fma(a.hi, b.hi, -p);
	return dm_sum(p, e + (a.hi * b.lo + a.lo * b.hi));
}

/* Once a row */
static __device__ inline double dm_log(double x)
{
	if (!(x > 0))
		return x == 0 ? -INFINITY : NAN;
	if (x > 0x1.fffffffffffffp+1023)
		return x;
	int k = 0;
	if (x < 0x1p-1022) {
		x *= 0x1p54;
		k = -54;
	}
	const unsigned long long root = 0x3fe6a09e667f3bcdull; /* of sqrt 1/2 */
	unsigned long long u = dm_word(x) - root;
	k += (int)((long long)u >> 52);
	double f = dm_bits((u & 0xfffffffffffffull) + root) - 1.0;
	dm_parts d = dm_sum(2.0, f);
	double s = f / d.hi;
	dm_parts t = { s, (fma(-s, d.hi, f) - s * d.lo) / d.hi };
	dm_parts z = dm_mul(t, t);
	double p = 0x1.0e4a37131e212p-4;
	p = fma(p, z.hi, 0x1.0f7f1fd98e3d7p-4);
	p = fma(p, z.hi, 0x1.3b1ef46b9dc6cp-4);
	p = fma(p, z.hi, 0x1.745ce9b67fec0p-4);
	p = fma(p, z.hi, 0x1.c71c722de4545p-4);
	p = fma(p, z.hi, 0x1.24924924577f8p-3);
	p = fma(p, z.hi, 0x1.9999999999b33p-3);
	dm_parts c = dm_sum(0x1.5555555555555p-2, z.hi * p);
	c.lo += 0x1.5555555555555p-56;
	c = dm_mul(dm_mul(c, z), t);
	dm_parts a = dm_sum(t.hi, c.hi);
	a.lo += c.lo + t.lo;
	dm_parts r = dm_sum(k * 0x1.62e42fefa4000p-1, 2.0 * a.hi);
	r.lo += fma((double)k, -0x1.8432a1b0e2634p-43, 2.0 * a.lo);
	r = dm_sum(r.hi, r.lo);
	return r.hi + r.lo;
}

#endif
