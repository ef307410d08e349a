/* stats_power.c: how many samples are enough.
 *
 * Before a run: the smallest suite on which an unchanged model can be shown to have dropped by less than d at all is
 * exact, (1 - d)^n <= a: as long as no sample was lost, a share d of losers may have been missed. The smallest drop that
 * is found with a given power, and the number of samples for it, are the normal approximation
 *	n = (z_a + z_b)^2 Var / d^2,  Var = true variance of a sample's difference + each model's noise / its repeats
 * (Miller 2024); of greedy 0/1 scores Var is about the share of discordant samples.
 *
 * After an inconclusive run: the number of samples at which the same rates of lost and won would decide, by Tango's
 * statistic and that smallest suite. It is an estimate, and said so. */
#include "base/base.h"

#include <math.h>

#include "evals/stats_int.h"

#define SAMPLES_MAX 1e9

double stats_least_samples(double alpha, double drop)
{
	return drop > 0 && drop < 1 ? ceil(log(alpha) / log1p(-drop) - 1e-12) : drop >= 1 ? 1 : INFINITY;
}

double stats_samples_for(double z, double variance, double drop)
{
	return z * z * variance / (drop * drop);
}

double stats_detectable(double z, double variance, double n)
{
	return z * sqrt(variance / n);
}

/* Are the rates of lost and won decisive on n samples, either way? */
static bool decides(double n, double lost, double won, double drop, double z)
{
	size_t b = (size_t)round(lost * n), c = (size_t)round(won * n), size = (size_t)n;

	if (b + c > size)
		return false;
	return fabs(stats_tango_z(size, b, c, drop)) >= z;
}

double stats_tango_samples(size_t n, size_t lost, size_t won, double drop, double alpha)
{
	double b = (double)lost / (double)n, c = (double)won / (double)n, z = -stats_normal_quantile(alpha), lo, hi;

	if (fabs(b - c - drop) < 1e-9) /* on the limit no number of samples decides */
		return INFINITY;
	lo = (double)n;
	for (hi = lo * 2; !decides(hi, b, c, drop, z); hi *= 2)
		if (hi > SAMPLES_MAX)
			return INFINITY;
	while (hi - lo > 1 && hi - lo > lo / 200) {
		double mid = floor(lo + (hi - lo) / 2);

		if (decides(mid, b, c, drop, z))
			hi = mid;
		else
			lo = mid;
	}
	return b < c + drop && lost == 0 ? fmax(hi, stats_least_samples(alpha, drop)) : hi;
}

double stats_binomial_samples(size_t n, size_t right, double share, double alpha)
{
	double rate = (double)right / (double)n, size = (double)n;

	if (fabs(rate - share) < 1e-9)
		return INFINITY;
	while (size <
	       SAMPLES_MAX) { /* p is no monotone function of the size: the next that decides, not the first of all */
		size_t k = (size_t)round(rate * size);

		if ((rate > share ? stats_binomial_upper((size_t)size, k, share)
				  : stats_binomial_lower((size_t)size, k, share)) <= alpha)
			return size;
		size = fmax(size + 1, ceil(size * 1.002));
	}
	return INFINITY;
}

double stats_t_samples(size_t n, double margin, double error, double df, double alpha)
{
	double t = stats_t_quantile(1 - alpha, df), ratio = error * t / fabs(margin);

	if (!(ratio * ratio * (double)n < SAMPLES_MAX))
		return INFINITY;
	return ceil(ratio * ratio * (double)n);
}
