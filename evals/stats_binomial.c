/* stats_binomial.c: counts of right and wrong, exactly.
 *
 * Assumption: samples are independent draws of one kind. Nothing is approximated.
 *	a share of at least m      P(Bin(n, m) >= k), which is I_m(k, n-k+1); bounds: Clopper and Pearson (1934)
 *	was it a fair coin?        McNemar (1947) on the discordant pairs: P(Bin(lost + won, 1/2) >= lost), and mid-p,
 *	                           which counts the observed value half: nearer to its level, one-sided up to 5.95 % at
 *	                           5 %, so it raises alarms and decides nothing. */
#include "base/base.h"

#include <math.h>

#include "evals/stats_int.h"

double stats_binomial_upper(size_t n, size_t k, double share)
{
	return k == 0 ? 1 : stats_beta_cdf(share, (double)k, (double)(n - k) + 1);
}

double stats_binomial_lower(size_t n, size_t k, double share)
{
	return stats_binomial_upper(n, n - k, 1 - share);
}

void stats_clopper_pearson(size_t k, size_t n, double confidence, double *lo, double *hi)
{
	double right = (double)k, wrong = (double)(n - k);

	*lo = k == 0 ? 0 : stats_beta_quantile(1 - confidence, right, wrong + 1);
	*hi = k == n ? 1 : stats_beta_quantile(confidence, right + 1, wrong);
}

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
