/* stats_sequence.c: decisions before all samples are in.
 *
 * Curtailment is arithmetic: the baseline's answers are known, so the best and the worst end are known. If both fall on
 * one side of the limit, the rest need not be asked. Any order, any number of looks, no error; counts are integers.
 *
 * Betting (Waudby-Smith and Ramdas, JRSS B 86, 2024) tests the mean of scores x in [0, 1] in random order. Under "the mean
 * is at most m0" the wealth
 *	K+ = prod (1 + min(l_t, c / m_t) (x_t - m_t))
 * is a nonnegative supermartingale, so that it ever reaches 1/a has probability at most a (Ville), however often it is
 * looked at; K- is its mirror for "at least m0". The bets l_t depend on the past only:
 *	l_t = sqrt(2 ln(1/a) / (v t ln(1 + t))),  v the running variance with a quarter added, c = 1/2
 * or, where there is a mean to expect, and for a drop there is (1/2: nothing changed), as one bets who expects it,
 *	l_t = (expected - m_t) / v
 * which is the fastest growth to second order. It is no assumption: if it is wrong, the verdict only takes longer. An
 * unchanged model with 5 % lost and 5 % won of 10000 passes after 1100 samples instead of 2200 (make check-statistics).
 * Two worlds, by m_t:
 *	a suite of N samples   m_t = (N m0 - what came before) / (N - t + 1): sampling without replacement; the statement is
 *	                       about these N, and certain once what is left cannot change it.
 *	a population           m_t = m0: the samples are independent draws.
 * Assumption in both: the order is uniformly random and does not depend on the scores; in the first, nothing else.
 *
 * A sample that weighs u (a share of the heaviest, which is known beforehand) with a score z in [0, 1] bets on the weighted mean
 * by x = u (z - m0) + m0: the mean of x is m0 just where sum u z / sum u is. A drop of scores in [0, 1] becomes
 * z = (candidate - baseline + 1) / 2 and m0 = (1 - drop) / 2. A cluster of n samples is one that weighs n / M, M the largest
 * cluster of the suite, and N is then the number of clusters. (Its sum over M alone would test against the wrong mean.) */
#include "base/base.h"

#include <math.h>

#include "evals/stats_int.h"

enum stats_decision stats_curtail(const struct stats_counts *c, double allowed)
{
	double gap = (double)c->lost - (double)c->won;

	if (gap + (double)c->right_left <= allowed) /* even if all of them are lost */
		return STATS_PASS;
	if (gap - (double)c->wrong_left > allowed) /* even if all of them are won */
		return STATS_FAIL;
	return STATS_OPEN;
}

double stats_allowed(double drop, size_t n)
{
	return floor(drop * (double)n + 1e-9);
}

double stats_bet_score(double score, double weight, double mean)
{
	return (score - weight * mean) + mean;
}

double stats_bet_drop(double difference, double weight, double drop)
{
	return stats_bet_score((difference + weight) / 2, weight, (1 - drop) / 2);
}

void stats_bet_init(struct stats_bet *b, double alpha, double mean, size_t n_total)
{
	*b = (struct stats_bet){ .alpha = alpha, .mean = mean, .n_total = n_total };
}

void stats_bet_add(struct stats_bet *b, double x)
{
	double t = (double)++b->n, m = b->mean, variance = (0.25 + b->squares) / t, bet, off;

	if (b->n_total) {
		double left = (double)(b->n_total - b->n + 1);

		m = ((double)b->n_total * b->mean - b->sum) / left;
	}
	bet = sqrt(2 * log(1 / b->alpha) / (variance * t * log(1 + t)));
	/* an m at or past the end of the range leaves the bet as it is: there is nothing that could be lost */
	b->bet = b->expected > m ? (b->expected - m) / variance : bet;
	b->bet = m > 1e-12 ? fmin(b->bet, 0.5 / m) : b->bet;
	b->log_above += log1p(b->bet * (x - fmax(m, 0)));
	b->log_below += log1p(-(1 - m > 1e-12 ? fmin(bet, 0.5 / (1 - m)) : bet) * (x - fmin(m, 1)));
	b->sum += x;
	off = x - (0.5 + b->sum) / (t + 1);
	b->squares += off * off;
	b->most_above = fmax(b->most_above, b->log_above);
	b->most_below = fmax(b->most_below, b->log_below);
	if (b->n_total) { /* what is left cannot change it */
		double over = b->sum - (double)b->n_total * b->mean;

		b->most_above = over > 1e-9 ? INFINITY : b->most_above;
		b->most_below = over + (double)(b->n_total - b->n) < -1e-9 ? INFINITY : b->most_below;
	}
}

double stats_bet_p_above(const struct stats_bet *b)
{
	return exp(-b->most_above);
}

double stats_bet_p_below(const struct stats_bet *b)
{
	return exp(-b->most_below);
}
