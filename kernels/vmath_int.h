/* vmath_int.h: exp on vectors.
 *
 * One straight line of IEEE operations, without a branch and without a table, on each lane. vm_expf() and vm_exp() are a
 * lane of these, so a number alone and a number in a row get the same bits.
 *
 *	e^x = 2^n e^r,  n = nearest integer of x / ln 2,  r = x - n ln 2 (ln 2 in two parts),  e^r = 1 + r + r^2 Q(r)
 *
 * Q is a minimax polynomial (tests/golden/vmath_poly.py). Adding 1.5 * 2^52 (2^23) rounds to an integer and leaves that
 * integer in the low bits, which become an exponent by a shift. 2^n is applied as two factors, so that the result
 * overflows to infinity and falls into the subnormal numbers with one rounding. NaN goes through. */
#ifndef KERNELS_VMATH_INT_H
#define KERNELS_VMATH_INT_H

#include "kernels/vec_int.h"

/* 2^n, n integers in [-126, 127] */
VEC_INLINE v8f v8f_pow2(v8f n)
{
	return (v8f)((v8u)(n + v8f_all(12582912.0f + 127.0f)) << 23);
}

VEC_INLINE v8f v8f_exp(v8f x)
{
	const v8f round = v8f_all(12582912.0f), low = v8f_all(-104.0f), high = v8f_all(89.0f);
	x = v8f_pick(x < low, low, x); /* e^-104 rounds to 0, e^89 to infinity */
	x = v8f_pick(x > high, high, x);
	v8f n = (x * v8f_all(0x1.715476p+0f) + round) - round;
	v8f half = (n * v8f_all(0.5f) + round) - round;
	v8f r = v8f_fma(n, v8f_all(-0x1.62e400p-1f), x);
	r = v8f_fma(n, v8f_all(-0x1.7f7d1cp-20f), r);
	v8f q = v8f_all(0.00138144670593f);
	q = v8f_fma(q, r, v8f_all(0.00836878041118f));
	q = v8f_fma(q, r, v8f_all(0.0416683942109f));
	q = v8f_fma(q, r, v8f_all(0.166665201078f));
	q = v8f_fma(q, r, v8f_all(0.499999934125f));
	v8f e = v8f_fma(r * r, q, r) + v8f_all(1.0f);
	return e * v8f_pow2(half) * v8f_pow2(n - half);
}

/* 2^n, n integers in [-1022, 1023] */
VEC_INLINE v4d v4d_pow2(v4d n)
{
	return (v4d)((v4u)(n + v4d_all(6755399441055744.0 + 1023.0)) << 52);
}

/* e^(x + tail), tail far below x: for a sum carried in two parts */
VEC_INLINE v4d v4d_exp(v4d x, v4d tail)
{
	const v4d round = v4d_all(6755399441055744.0), low = v4d_all(-746.0), high = v4d_all(710.0);
	x = v4d_pick(x < low, low, x);
	x = v4d_pick(x > high, high, x);
	v4d n = (x * v4d_all(0x1.71547652b82fep+0) + round) - round;
	v4d half = (n * v4d_all(0.5) + round) - round;
	v4d r = v4d_fma(n, v4d_all(-0x1.62e42fefa4000p-1), x);
	r = v4d_fma(n, v4d_all(0x1.8432a1b0e2634p-43), r) + tail;
	v4d q = v4d_all(0x1.ad7f02ab63a0ap-26);
	q = v4d_fma(q, r, v4d_all(0x1.28adce733963cp-22));
	q = v4d_fma(q, r, v4d_all(0x1.71df262c451e0p-19));
	q = v4d_fma(q, r, v4d_all(0x1.a01999adcb23cp-16));
	q = v4d_fma(q, r, v4d_all(0x1.a01a0129b4612p-13));
	q = v4d_fma(q, r, v4d_all(0x1.6c16c1844b01cp-10));
	q = v4d_fma(q, r, v4d_all(0x1.1111111127e83p-7));
	q = v4d_fma(q, r, v4d_all(0x1.55555555507f1p-5));
	q = v4d_fma(q, r, v4d_all(0x1.55555555554f9p-3));
	q = v4d_fma(q, r, v4d_all(0x1.000000000000ap-1));
	v4d e = v4d_fma(r * r, q, r) + v4d_all(1.0);
	return e * v4d_pow2(half) * v4d_pow2(n - half);
}

#endif
