/* vmath.c: the elementary functions of scored and trained numbers.
 *
 * The C library's results differ between its versions (and between its own code paths for one CPU and another), so
 * none of its transcendentals stands on a path whose bits we promise. Here everything is a fixed sequence of IEEE
 * operations; fused multiply-adds are written out and contraction is off (Makefile), so a compiler has no freedom.
 * Largest errors seen in tests/unit/test_vmath.c, against long double: expf 0.91 ulp, exp 1.00, log 0.50, sincos 0.77,
 * pow 1.13. Coefficients come from tests/golden/vmath_poly.py.
 *
 * log and pow carry about 66 bits: a value is a sum hi + lo of two doubles ("two parts"), products are split by a fused
 * multiply-add. That is what pow needs, since e^x multiplies an error of x by x. */
#include "base/base.h"
#include "kernels/vmath.h"
#include "kernels/vmath_int.h"

float vm_expf(float x)
{
	return v8f_exp(v8f_all(x))[0];
}

double vm_exp(double x)
{
	return v4d_exp(v4d_all(x), v4d_all(0))[0];
}

/* ---- logarithm ---------------------------------------------------------------------------------------------------- */

struct parts {
	double hi, lo;
};

/* a + b exactly; |a| >= |b| or a == 0 */
static struct parts parts_sum(double a, double b)
{
	double s = a + b;
	return (struct parts){ s, b - (s - a) };
}

static struct parts parts_mul(struct parts a, struct parts b)
{
	double p = a.hi * b.hi;
	double e = __builtin_fma(a.hi, b.hi, -p);
	return parts_sum(p, e + (a.hi * b.lo + a.lo * b.hi));
}

static uint64_t bits_of(double x)
{
	uint64_t u;
	memcpy(&u, &x, sizeof(u));
	return u;
}

static double double_of(uint64_t u)
{
	double x;
	memcpy(&x, &u, sizeof(x));
	return x;
}

/* log x for a finite x > 0:  x = 2^k m, m in [sqrt 1/2, sqrt 2];  log m = 2 atanh s, s = (m - 1) / (m + 1) */
static struct parts log_parts(double x)
{
	int k = 0;
	if (x < 0x1p-1022) { /* subnormal */
		x *= 0x1p54;
		k = -54;
	}
	uint64_t u = bits_of(x) - bits_of(0x1.6a09e667f3bcdp-1); /* counted from sqrt 1/2 */
	k += (int)((int64_t)u >> 52);
	double m = double_of((u & 0xfffffffffffffULL) + bits_of(0x1.6a09e667f3bcdp-1));
	double f = m - 1.0; /* exact */
	struct parts d = parts_sum(2.0, f);
	double s = f / d.hi;
	struct parts t = { s, (__builtin_fma(-s, d.hi, f) - s * d.lo) / d.hi };
	struct parts z = parts_mul(t, t);
	double p = 0x1.0e4a37131e212p-4;
	p = __builtin_fma(p, z.hi, 0x1.0f7f1fd98e3d7p-4);
	p = __builtin_fma(p, z.hi, 0x1.3b1ef46b9dc6cp-4);
	p = __builtin_fma(p, z.hi, 0x1.745ce9b67fec0p-4);
	p = __builtin_fma(p, z.hi, 0x1.c71c722de4545p-4);
	p = __builtin_fma(p, z.hi, 0x1.24924924577f8p-3);
	p = __builtin_fma(p, z.hi, 0x1.9999999999b33p-3);
	/* atanh(s) = s + s z (1/3 + z P(z)) */
	struct parts c = parts_sum(0x1.5555555555555p-2, z.hi * p);
	c.lo += 0x1.5555555555555p-56;
	c = parts_mul(parts_mul(c, z), t);
	struct parts a = parts_sum(t.hi, c.hi);
	a.lo += c.lo + t.lo;
	/* k ln 2 + 2 atanh(s): the first part of ln 2 has 41 bits, so its product with k is exact */
	struct parts r = parts_sum(k * 0x1.62e42fefa4000p-1, 2.0 * a.hi);
	r.lo += __builtin_fma(k, -0x1.8432a1b0e2634p-43, 2.0 * a.lo);
	return parts_sum(r.hi, r.lo);
}

double vm_log(double x)
{
	if (!(x > 0))
		return x == 0 ? -__builtin_inf() : __builtin_nan("");
	if (x > 0x1.fffffffffffffp+1023)
		return x;
	struct parts r = log_parts(x);
	return r.hi + r.lo;
}

/* Negative bases give NaN: there is no use for integer exponents here. */
double vm_pow(double base, double e)
{
	const double inf = __builtin_inf();
	if (base == 1 || e == 0)
		return 1;
	if (!(base >= 0) || e != e)
		return __builtin_nan("");
	if (base == 0 || base == inf)
		return (base == 0) == (e > 0) ? 0 : inf;
	if (e == inf || e == -inf)
		return (base > 1) == (e > 0) ? inf : 0;
	struct parts l = log_parts(base);
	double p = e * l.hi;
	if (p > 800 || p < -800) /* out of range; and the exact product below would overflow */
		return p > 0 ? inf : 0;
	return v4d_exp(v4d_all(p), v4d_all(__builtin_fma(e, l.hi, -p) + e * l.lo))[0];
}

/* ---- sine and cosine ------------------------------------------------------------------------------------------------ */

/* x = n pi/2 + r.hi + r.lo: pi/2 in three parts, the first two of 33 bits, so that n (20 bits) times each is exact */
static struct parts sincos_reduce(double x, int64_t *quadrant)
{
	const double round = 6755399441055744.0;
	double n = (x * 0x1.45f306dc9c883p-1 + round) - round;
	double t = x - n * 0x1.921fb54400000p+0;
	double w = n * 0x1.0b4611a600000p-34;
	double r = t - w;
	double lo = (t - r) - w; /* |t| >= |w|, or both are so small that nothing is lost */
	lo = __builtin_fma(n, -0x1.3198a2e037073p-69, lo);
	*quadrant = (int64_t)n;
	return parts_sum(r, lo);
}

static double sin_small(struct parts r)
{
	double z = r.hi * r.hi;
	double p = 0x1.5d915e0326a7dp-33;
	p = __builtin_fma(p, z, -0x1.ae5e60c45b0b7p-26);
	p = __builtin_fma(p, z, 0x1.71de3570fd25cp-19);
	p = __builtin_fma(p, z, -0x1.a01a019c0a287p-13);
	p = __builtin_fma(p, z, 0x1.111111110f842p-7);
	p = __builtin_fma(p, z, -0x1.5555555555549p-3);
	/* the derivative of sine carries the low part */
	return r.hi + __builtin_fma(p, z * r.hi, r.lo * (1.0 - 0.5 * z));
}

static double cos_small(struct parts r)
{
	double z = r.hi * r.hi;
	double p = -0x1.8facd159aee44p-37;
	p = __builtin_fma(p, z, 0x1.1ee9e890b5543p-29);
	p = __builtin_fma(p, z, -0x1.27e4f80533accp-22);
	p = __builtin_fma(p, z, 0x1.a01a019cab740p-16);
	p = __builtin_fma(p, z, -0x1.6c16c16c15140p-10);
	p = __builtin_fma(p, z, 0x1.555555555554cp-5);
	double h = 0.5 * z, one = 1.0 - h;
	double lost = (1.0 - one) - h; /* of the subtraction */
	return one + (lost + __builtin_fma(p, z * z, -r.hi * r.lo));
}

void vm_sincos(double x, double *s, double *c)
{
	if (!(x > -0x1p20 && x < 0x1p20)) { /* beyond the reduction, infinite or NaN: loud, not wrong */
		*s = *c = __builtin_nan("");
		return;
	}
	int64_t n;
	struct parts r = sincos_reduce(x, &n);
	double sn = x == 0 ? x : sin_small(r), cs = cos_small(r); /* -0 stays -0 */
	switch (n & 3) {
	case 0:
		*s = sn;
		*c = cs;
		break;
	case 1:
		*s = cs;
		*c = -sn;
		break;
	case 2:
		*s = -sn;
		*c = -cs;
		break;
	default:
		*s = -cs;
		*c = sn;
	}
}
