/* stats_int.h: the distributions and intervals behind standard errors and the gate. Private to evals/. */
#ifndef EVALS_STATS_INT_H
#define EVALS_STATS_INT_H

#include "base/base.h"

double stats_sum(const double *x, size_t n); /* compensated: the error does not grow with n */

double stats_normal_cdf(double z);
double stats_normal_quantile(double p); /* 0 < p < 1 */
/* I_x(a, b), the regularised incomplete beta function, and its inverse in x. a, b > 0. */
double stats_beta_cdf(double x, double a, double b);
double stats_beta_quantile(double p, double a, double b);
double stats_t_upper(double t, double df);    /* P(T > t) */
double stats_t_quantile(double p, double df); /* P(T <= result) = p, 0 < p < 1 */

/* Paired 0/1 scores: lost (only the baseline right), won (only the candidate right). One-sided p of "it got worse". */
double stats_mcnemar_exact(size_t lost, size_t won);
double stats_mcnemar_mid_p(size_t lost, size_t won);
/* Tango's score statistic of H0 "the drop is delta" (baseline - candidate, -1 < delta < 1): it falls in delta. */
double stats_tango_z(size_t n, size_t lost, size_t won, double delta);
/* One-sided bounds, each at confidence, of candidate - baseline; lo < hi always. n > 0. */
void stats_tango_interval(size_t n, size_t lost, size_t won, double confidence, double *lo, double *hi);
/* One-sided Clopper-Pearson bounds of a share. n > 0. */
void stats_clopper_pearson(size_t k, size_t n, double confidence, double *lo, double *hi);

/* sum x / sum w with its standard error by linearisation (w NULL: all 1, which is the mean and s / sqrt(n)).
 * se_loo: from leave-one-out residuals, a little larger, better with few or uneven weights. NaN for n < 2. */
struct stats_ratio {
	double ratio, se, se_loo;
	double scale; /* standard deviation of the residuals x - ratio w over the mean weight: the unit of a sample */
};
void stats_ratio(struct stats_ratio *out, const double *x, const double *w, size_t n);

/* Holm's adjusted p-values: sound under any dependence. */
void stats_holm(const double *p, size_t n, double *adjusted);

#endif
