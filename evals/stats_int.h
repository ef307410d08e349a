/* stats_int.h: the distributions, tests and intervals behind standard errors and the gate. Private to evals/. Each file's
 * essay has the formulas, what they assume and where they are from; levels a are one-sided. */
#ifndef EVALS_STATS_INT_H
#define EVALS_STATS_INT_H

#include "base/base.h"

/* ---- stats.c: distributions -------------------------------------------------------------------------------------- */

double stats_sum(const double *x, size_t n); /* compensated: the error does not grow with n */
/* Where a monotone function of x between lo and hi reaches target, to neighbouring doubles. rising: f(lo) < f(hi). */
double stats_bisect(double (*f)(double x, const void *arg), const void *arg, double lo, double hi, double target,
		    bool rising);

double stats_normal_cdf(double z);
double stats_normal_quantile(double p); /* 0 < p < 1 */
/* I_x(a, b), the regularised incomplete beta function, and its inverse in x. a, b > 0. */
double stats_beta_cdf(double x, double a, double b);
double stats_beta_quantile(double p, double a, double b);
double stats_t_upper(double t, double df);    /* P(T > t) */
double stats_t_quantile(double p, double df); /* P(T <= result) = p, 0 < p < 1 */

/* Holm's adjusted p-values: sound under any dependence. */
void stats_holm(const double *p, size_t n, double *adjusted);

/* ---- stats_binomial.c: counts ------------------------------------------------------------------------------------ */

double stats_binomial_upper(size_t n, size_t k, double share); /* P(Bin(n, share) >= k) */
double stats_binomial_lower(size_t n, size_t k, double share); /* P(Bin(n, share) <= k) */
/* One-sided Clopper-Pearson bounds of a share. n > 0. */
void stats_clopper_pearson(size_t k, size_t n, double confidence, double *lo, double *hi);
/* Paired 0/1 scores: lost (only the baseline right), won (only the candidate right). One-sided p of "it got worse". */
double stats_mcnemar_exact(size_t lost, size_t won);
double stats_mcnemar_mid_p(size_t lost, size_t won);

/* ---- stats_tango.c: paired 0/1 scores with a margin -------------------------------------------------------------- */

/* Tango's score statistic of H0 "the drop is delta" (baseline - candidate, -1 < delta < 1): it falls in delta. */
double stats_tango_z(size_t n, size_t lost, size_t won, double delta);
/* One-sided bounds, each at confidence, of candidate - baseline; lo < hi always. n > 0. */
void stats_tango_interval(size_t n, size_t lost, size_t won, double confidence, double *lo, double *hi);
/* The exact p of H0 "the drop is at least delta" (delta < 0: the gain is at most -delta). 0 < n < 2^31; O(n) memory. */
double stats_tango_exact(size_t n, size_t lost, size_t won, double delta);
/* The least drop that the exact test refutes, to about a hundredth of its distance from what was seen, from above. From
 * 50 000 samples on the end of Tango's interval, which is the same but for parts in a thousand. */
double stats_tango_bound(size_t n, size_t lost, size_t won, double alpha);

/* Of two equally good models, which differ on so large a share of the samples: how likely the exact test passes, and how
 * likely at most so many more are lost than won. 0 < n < 2^31; flips from 0 to 1. */
double stats_tango_power(size_t n, double delta, double alpha, double flips);
double stats_flips_within(size_t n, double flips, double allowed);

/* ---- stats_ratio.c: means, ratios, clusters ---------------------------------------------------------------------- */

/* sum x / sum w with its standard error by linearisation (w NULL: all 1, which is the mean and s / sqrt(n)).
 * se_loo: from leave-one-out residuals, a little larger, better with few or uneven weights. NaN for n < 2. */
struct stats_ratio {
	double ratio, se, se_loo;
	double scale; /* standard deviation of the residuals x - ratio w over the mean weight: the unit of a sample */
	double skew;  /* of the residuals */
	double n_effective; /* (sum w)^2 / sum w^2 */
	size_t heaviest;    /* the sample with the largest residual, and its share of the sum of squares */
	double heaviest_share;
};
void stats_ratio(struct stats_ratio *out, const double *x, const double *w, size_t n);
/* Error, skew and heaviest sample of the same ratio again, of samples that come stratum by stratum, alike in weight within
 * one; floor: the least variance of a sample within a stratum. Gives the degrees of freedom; NaN: a stratum of one sample
 * without a floor, whose spread nobody knows. Of stats_ratio() before. */
double stats_ratio_strata(struct stats_ratio *out, const double *x, const double *w, const size_t *sizes,
			  size_t n_strata, double floor);
/* sums[g]: of x (NULL: all 1) over the samples of cluster g. */
void stats_clusters_sum(const double *x, const size_t *cluster, size_t n, double *sums, size_t n_clusters);
/* One-sided p of "margin <= 0": Student's t with the error at least floor_se. */
double stats_t_floored(double margin, double se, double floor_se, double df);
/* The least variance of a sample where a drop of so much is to be ruled out. */
double stats_drop_floor(double drop, double range);
/* The larger p of t and of Johnson's skew-corrected t', and that t'. */
double stats_t_skewed(double margin, double se, double skew, size_t n, double df);
double stats_johnson_t(double t, double skew, size_t n);

/* ---- stats_sequence.c: before all samples are in ----------------------------------------------------------------- */

enum stats_decision { STATS_OPEN, STATS_PASS, STATS_FAIL };
struct stats_counts {
	size_t lost, won;              /* so far */
	size_t right_left, wrong_left; /* by the baseline, among those that are not asked yet */
};
/* Is "lost - won <= allowed at the end" certain, or impossible? */
enum stats_decision stats_curtail(const struct stats_counts *c, double allowed);
double stats_allowed(double drop, size_t n); /* how many of n may be lost: floor, with room for rounding */

struct stats_bet {
	double alpha, mean; /* H0: the mean is at most (above) or at least (below) this */
	double expected;    /* above the mean: what the bets on "above" expect; 0: nothing. Set after init. */
	size_t n_total, n;  /* n_total 0: a population */
	double sum, squares, bet;
	double log_above, log_below;   /* log wealth against either H0 */
	double most_above, most_below; /* its maximum; INFINITY: certain */
};
void stats_bet_init(struct stats_bet *b, double alpha, double mean, size_t n_total);
void stats_bet_add(struct stats_bet *b, double x);   /* 0 <= x <= 1; at most n_total times */
double stats_bet_p_above(const struct stats_bet *b); /* p of "the mean is at most m0", valid at any time */
double stats_bet_p_below(const struct stats_bet *b);
/* The x that bets on a weighted mean of scores in [0, 1]: score is weight × score, weight a share of the heaviest. */
double stats_bet_score(double score, double weight, double mean);
/* The same for a drop: difference is weight × (candidate - baseline); its m0 is (1 - drop) / 2. */
double stats_bet_drop(double difference, double weight, double drop);

/* ---- stats_power.c: how many samples are enough ------------------------------------------------------------------ */

/* The least n for which an unchanged model can pass; INFINITY for a drop of 0. */
double stats_least_samples(double alpha, double drop);
/* z = z_a + z_b, of level and power. */
double stats_samples_for(double z, double variance, double drop);
double stats_detectable(double z, double variance, double n);
/* About how many samples in all decide at the same rates; INFINITY: none does. */
double stats_tango_samples(size_t n, size_t lost, size_t won, double drop, double alpha);
double stats_binomial_samples(size_t n, size_t right, double share, double alpha); /* of a share beside a limit on it */
double stats_t_samples(size_t n, double margin, double error, double df, double alpha);

#endif
