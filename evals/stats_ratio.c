/* stats_ratio.c: means and ratios of sums, their errors, and tests of a margin; by clusters, too.
 *
 * Everything that is not a count of 0/1 scores is R = sum x / sum w: a mean (w = 1), a weighted mean, the log of a
 * perplexity ratio (x the difference of log-likelihoods, w the words). The error comes from linearisation, e_i = x_i - R
 * w_i, leave-one-out, which is the jackknife: SE^2 = (n-1)/n sum (e_i / (1 - w_i/W))^2 / W^2. Clusters (questions about
 * one passage) are summed first: each is then one x and one w, the same formula is the cluster jackknife (CR3), and what
 * counts as the number of samples is the effective number of clusters, (sum w)^2 / sum w^2.
 *
 * Tasks of a group are strata: each has its own samples, and that one task gained where another lost is no noise. With the
 * share W_g of the weight, SE^2 = sum W_g^2 s_g^2 / n_g, s_g^2 the variance within the stratum (or its floor, below), and
 * Satterthwaite's degrees of freedom.
 *
 * A margin (estimate minus limit, above 0 is good) is tested by t = margin / SE with Student's distribution. What that
 * rests on differs:
 *	bounded scores   t alone is wrong where losses are rare: the samples may simply not have met one (false PASS 35 %
 *	                 at n = 100). So the variance has a floor, that of the worst kind of allowed drop: a loss of the
 *	                 whole range with probability drop / range: drop (range - drop).
 *	unbounded        no finite sample bounds the mean of an unbounded loss (Bahadur and Savage 1956). t and, for skew
 *	                 s, Johnson's t' = t + s / (6 sqrt n) + s t^2 / (3 sqrt n) (JASA 1978) must both hold, n must be at
 *	                 least 100 and no sample may hold a fifth of sum e^2. t' is made monotone in t: from its peak on it
 *	                 stays there, else a large gain would be refused for being large.
 * Both assume independent samples (or clusters) and hold their level approximately: docs/gate.md has the measured one. */
#include "base/base.h"

#include <math.h>

#include "evals/stats_int.h"

void stats_ratio(struct stats_ratio *out, const double *x, const double *w, size_t n)
{
	double weight = w ? stats_sum(w, n) : (double)n;
	double ratio = stats_sum(x, n) / weight;
	double plain = 0, loo = 0, cubes = 0, weights2 = 0, most = 0;

	*out = (struct stats_ratio){ .ratio = ratio, .se = NAN, .se_loo = NAN };
	for (size_t i = 0; i < n; i++) {
		double wi = w ? w[i] : 1;
		double e = x[i] - ratio * wi;
		double left = 1 - wi / weight;

		plain += e * e;
		cubes += e * e * e;
		weights2 += wi * wi;
		if (e * e > most) {
			most = e * e;
			out->heaviest = i;
		}
		loo += left > 0 ? (e / left) * (e / left) : 0; /* one sample with all the weight: e is 0 */
	}
	out->n_effective = weight * weight / weights2;
	if (n < 2)
		return;
	out->skew = plain > 0 ? sqrt((double)n) * cubes / (plain * sqrt(plain)) : 0;
	out->heaviest_share = plain > 0 ? most / plain : 0;
	out->se = sqrt((double)n / (double)(n - 1) * plain) / weight;
	out->se_loo = sqrt((double)(n - 1) / (double)n * loo) / weight;
	out->scale = sqrt(plain / (double)(n - 1)) / (weight / (double)n);
}

double stats_ratio_strata(struct stats_ratio *out, const double *x, const double *w, const size_t *sizes,
			  size_t n_strata, double floor)
{
	double weight = 0, squares = 0, cubes = 0, most = 0, sum = 0, denominator = 0;
	size_t at = 0, n = 0;

	for (size_t g = 0; g < n_strata; g++)
		n += sizes[g];
	weight = w ? stats_sum(w, n) : (double)n;
	for (size_t g = 0; g < n_strata; at += sizes[g++]) {
		double size = (double)sizes[g], mean = stats_sum(x + at, sizes[g]) / size, inner = 0,
		       share = w && size > 0 ? stats_sum(w + at, sizes[g]) / size : 1;

		if (!(size > 0) || !(share > 0))
			continue;
		for (size_t i = at; i < at + sizes[g] && sizes[g] > 1; i++) {
			double e = (x[i] - mean) * sqrt(size / (size - 1));

			inner += e * e;
			cubes += e * e * e;
			if (e * e > most) {
				most = e * e;
				out->heaviest = i;
			}
		}
		squares += inner;
		inner = fmax(inner, floor * share * share * size);
		sum += inner;
		denominator += sizes[g] > 1 ? inner * inner / (size - 1) : 0;
		if (sizes[g] == 1 && !(floor > 0)) /* what it varies by is not known */
			return NAN;
	}
	out->se = out->se_loo = sqrt(sum) / weight;
	out->skew = squares > 0 ? sqrt((double)n) * cubes / (squares * sqrt(squares)) : 0;
	out->heaviest_share = squares > 0 ? most / squares : 0;
	return denominator > 0 ? sum * sum / denominator : (double)(n - n_strata);
}

void stats_clusters_sum(const double *x, const size_t *cluster, size_t n, double *sums, size_t n_clusters)
{
	for (size_t g = 0; g < n_clusters; g++)
		sums[g] = 0;
	for (size_t i = 0; i < n; i++)
		sums[cluster[i]] += x ? x[i] : 1;
}

double stats_t_floored(double margin, double se, double floor_se, double df)
{
	double error = fmax(se, floor_se);

	if (!(error > 0)) /* what does not vary is no evidence */
		return 1;
	return stats_t_upper(margin / error, df);
}

double stats_drop_floor(double drop, double range)
{
	return drop > 0 && drop < range ? drop * (range - drop) : 0;
}

double stats_johnson_t(double t, double skew, size_t n)
{
	double root = sqrt((double)n);

	if (skew < 0)
		t = fmin(t, 1.5 * root / -skew);
	else if (skew > 0)
		t = fmax(t, -1.5 * root / skew);
	return t + skew / (6 * root) + skew * t * t / (3 * root);
}

double stats_t_skewed(double margin, double se, double skew, size_t n, double df)
{
	double t = margin / se, plain, skewed;

	if (!(se > 0)) /* what does not vary is no evidence */
		return 1;
	plain = stats_t_upper(t, df);
	skewed = stats_t_upper(stats_johnson_t(t, skew, n), df);
	return fmax(plain, skewed);
}
