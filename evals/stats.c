/* stats.c: distributions, tests and intervals, from their definitions.
 *
 * Everything here is a pure function of numbers. Tails are summed or expanded in long double from an exact start and
 * rounded once, because p-values near a limit decide verdicts: the tests hold them to 1e-12 against values that were
 * computed in rational or 50-digit arithmetic.
 *
 * Paired 0/1 scores use Tango's score statistic (1998) and not the textbook standard error: with no discordant pair
 * the latter is 0, and an interval of zero width would claim certainty from ten samples. With lost = B, won = C and a
 * supposed drop d, the nuisance share q of "only the candidate right" is the root of
 *	2n q^2 + (-(B+C) + (2n-B+C) d) q - C d (1-d) = 0
 * and Z = (B - C - n d) / sqrt(n (2q + d (1-d))). Z falls in d, so both ends of the interval are found by bisection.
 *
 * Ratios (perplexities, weighted means) use linearisation: e_i = x_i - R w_i. */
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

/* Bisection on a monotone function, down to neighbouring doubles. rising: f(lo) < f(hi). */
static double bisect(double (*f)(double x, const void *arg), const void *arg, double lo, double hi, double target,
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
	return bisect(normal_cdf_at, NULL, -40, 1e-9, p, true);
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

	return bisect(beta_cdf_at, ab, 0, 1, p, true);
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
	return bisect(t_upper_at, &df, 0, hi, 1 - p, false);
}

/* ---- paired 0/1 scores ------------------------------------------------------------------------------------------- */

/* P(Bin(m,1/2) >= lost) and the probability of lost itself, m = lost + won. */
static void half_binomial(size_t lost, size_t won, long double *tail, long double *at)
{
	long double m = (long double)lost + (long double)won, sum = 0, term;

	term = expl(lgammal(m + 1) - lgammal((long double)lost + 1) - lgammal((long double)won + 1) -
		    m * 0.693147180559945309417232121458176568L);
	*at = term;
	for (long double k = (long double)lost; k <= m && term > 0; k++) {
		sum += term;
		term *= (m - k) / (k + 1);
	}
	*tail = sum < 1 ? sum : 1;
}

double stats_mcnemar_exact(size_t lost, size_t won)
{
	long double tail, at;

	half_binomial(lost, won, &tail, &at);
	return (double)tail;
}

double stats_mcnemar_mid_p(size_t lost, size_t won)
{
	long double tail, at;

	half_binomial(lost, won, &tail, &at);
	return (double)(tail - at / 2);
}

double stats_tango_z(size_t n, size_t lost, size_t won, double delta)
{
	double a = 2.0 * (double)n, b, c, root, q, variance, gap;

	if (delta < 0) /* the same question with the two models changed over */
		return -stats_tango_z(n, won, lost, -delta);
	b = -((double)lost + (double)won) + (a - (double)lost + (double)won) * delta;
	c = -(double)won * delta * (1 - delta);
	root = sqrt(b * b - 4 * a * c);
	q = b > 0 ? -2 * c / (b + root) : (root - b) / (2 * a); /* without cancellation */
	variance = (double)n * (2 * q + delta * (1 - delta));
	gap = (double)lost - (double)won - (double)n * delta;
	if (variance <= 0)
		return gap > 0 ? INFINITY : gap < 0 ? -INFINITY : 0;
	return gap / sqrt(variance);
}

struct tango_at {
	size_t n, lost, won;
};

static double tango_z_at(double delta, const void *arg)
{
	const struct tango_at *t = arg;

	return stats_tango_z(t->n, t->lost, t->won, delta);
}

void stats_tango_interval(size_t n, size_t lost, size_t won, double confidence, double *lo, double *hi)
{
	struct tango_at t = { n, lost, won };
	double z = stats_normal_quantile(confidence);
	double drop = ((double)lost - (double)won) / (double)n;

	/* the largest and the smallest drop that the data do not refute */
	*lo = lost == n ? -1 : -bisect(tango_z_at, &t, drop, 1, -z, false);
	*hi = won == n ? 1 : -bisect(tango_z_at, &t, -1, drop, z, false);
}

void stats_clopper_pearson(size_t k, size_t n, double confidence, double *lo, double *hi)
{
	double right = (double)k, wrong = (double)(n - k);

	*lo = k == 0 ? 0 : stats_beta_quantile(1 - confidence, right, wrong + 1);
	*hi = k == n ? 1 : stats_beta_quantile(confidence, right + 1, wrong);
}

/* ---- means and ratios -------------------------------------------------------------------------------------------- */

void stats_ratio(struct stats_ratio *out, const double *x, const double *w, size_t n)
{
	double weight = w ? stats_sum(w, n) : (double)n;
	double ratio = stats_sum(x, n) / weight;
	double plain = 0, loo = 0;

	*out = (struct stats_ratio){ ratio, NAN, NAN, 0 };
	for (size_t i = 0; i < n; i++) {
		double wi = w ? w[i] : 1;
		double e = x[i] - ratio * wi;
		double left = 1 - wi / weight;

		plain += e * e;
		loo += left > 0 ? (e / left) * (e / left) : 0; /* one sample with all the weight: e is 0 */
	}
	if (n < 2)
		return;
	out->se = sqrt((double)n / (double)(n - 1) * plain) / weight;
	out->se_loo = sqrt((double)(n - 1) / (double)n * loo) / weight;
	out->scale = sqrt(plain / (double)(n - 1)) / (weight / (double)n);
}

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
