/* stats.c: distributions, and what every test shares.
 *
 * Everything in the stats files is a pure function of numbers. Tails are summed or expanded in long double from an exact
 * start and rounded once, because p-values near a limit decide verdicts: the tests hold them to 1e-12 against values
 * that were computed in rational or 50-digit arithmetic.
 *
 * The tests themselves, a file for each kind of data: stats_binomial.c (counts), stats_tango.c (paired 0/1 scores),
 * stats_ratio.c (means, ratios and clusters), stats_sequence.c (before all samples are in), stats_power.c (how many samples
 * are enough). */
#include "base/base.h"

#include <math.h>

#include "evals/stats_int.h"

double stats_sum(const double *x, size_t n)
{
	double sum = 0, lost = 0;

	for (size_t i = 0; i < n; i++) { /* Neumaier */
		double t = sum + x[i];

		lost += fabs(sum) >= fabs(x[i]) ? (sum - t) + x[i] : (x[i] - t) + sum;
		sum = t;
	}
	return sum + lost;
}

/* ---- distributions ----------------------------------------------------------------------------------------------- */

double stats_normal_cdf(double z)
{
	return 0.5 * erfc(-z * 0.70710678118654752440);
}

double stats_bisect(double (*f)(double x, const void *arg), const void *arg, double lo, double hi, double target,
		    bool rising)
{
	for (int i = 0; i < 2000; i++) {
		double mid = lo + (hi - lo) / 2;

		if (mid <= lo || mid >= hi)
			break;
		if ((f(mid, arg) < target) == rising)
			lo = mid;
		else
			hi = mid;
	}
	return lo + (hi - lo) / 2;
}

static double normal_cdf_at(double z, const void *arg)
{
	(void)arg;
	return stats_normal_cdf(z);
}

double stats_normal_quantile(double p)
{
	if (p > 0.5)
		return -stats_normal_quantile(1 - p); /* the lower tail keeps its digits */
	return stats_bisect(normal_cdf_at, NULL, -40, 1e-9, p, true);
}

/* The continued fraction of I_x(a,b), by Lentz; converges fast for x < (a+1)/(a+b+2). */
static long double beta_fraction(long double a, long double b, long double x)
{
	const long double tiny = 1e-300L;
	long double c = 1, d = 1 - (a + b) * x / (a + 1), f;

	d = 1 / (fabsl(d) < tiny ? tiny : d);
	f = d;
	for (int m = 1; m < 100000; m++) {
		long double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		long double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		long double step;

		d = 1 + even * d;
		c = 1 + even / c;
		d = 1 / (fabsl(d) < tiny ? tiny : d);
		c = fabsl(c) < tiny ? tiny : c;
		f *= d * c;
		d = 1 + odd * d;
		c = 1 + odd / c;
		d = 1 / (fabsl(d) < tiny ? tiny : d);
		c = fabsl(c) < tiny ? tiny : c;
		step = d * c;
		f *= step;
		if (fabsl(step - 1) < 1e-18L)
			break;
	}
	return f;
}

/* I_x(a,b) with y = 1 - x given too, so that neither end loses digits. */
static long double beta_cdf(long double x, long double y, long double a, long double b)
{
	long double log_front;

	if (x <= 0)
		return 0;
	if (y <= 0)
		return 1;
	log_front = lgammal(a + b) - lgammal(a) - lgammal(b) + a * (x < y ? logl(x) : log1pl(-y)) +
		    b * (x < y ? log1pl(-x) : logl(y));
	if (x < (a + 1) / (a + b + 2))
		return expl(log_front) * beta_fraction(a, b, x) / a;
	return 1 - expl(log_front) * beta_fraction(b, a, y) / b;
}

double stats_beta_cdf(double x, double a, double b)
{
	return (double)beta_cdf(x, 1 - (long double)x, a, b);
}

static double beta_cdf_at(double x, const void *arg)
{
	const double *ab = arg;

	return stats_beta_cdf(x, ab[0], ab[1]);
}

double stats_beta_quantile(double p, double a, double b)
{
	double ab[2] = { a, b };

	return stats_bisect(beta_cdf_at, ab, 0, 1, p, true);
}

double stats_t_upper(double t, double df)
{
	long double square = (long double)t * t;
	long double half = beta_cdf(df / (df + square), square / (df + square), df / 2, 0.5L) / 2;

	return (double)(t > 0 ? half : 1 - half);
}

static double t_upper_at(double t, const void *arg)
{
	return stats_t_upper(t, *(const double *)arg);
}

double stats_t_quantile(double p, double df)
{
	double hi = 1;

	if (p < 0.5)
		return -stats_t_quantile(1 - p, df);
	while (hi < 1e300 && stats_t_upper(hi, df) > 1 - p)
		hi *= 2;
	return stats_bisect(t_upper_at, &df, 0, hi, 1 - p, false);
}

/* ---- many tests ------------------------------------------------------------------------------------------------ */

void stats_holm(const double *p, size_t n, double *adjusted)
{
	double least = 0;

	for (size_t i = 0; i < n; i++)
		adjusted[i] = -1;
	for (size_t k = 0; k < n; k++) { /* the k-th smallest p; a watch list is short */
		size_t best = n;
		double value;

		for (size_t i = 0; i < n; i++)
			if (adjusted[i] < 0 && (best == n || p[i] < p[best]))
				best = i;
		value = (double)(n - k) * p[best];
		value = value < 1 ? value : 1;
		least = value > least ? value : least;
		adjusted[best] = least;
	}
}
