/* sequence.c: a limit on a mean, while the samples come in.
 *
 * Each sample gains something, weight × (better by), between a worst and a best that are known before it is asked: of a score in
 * [0, 1] against a baseline of 0.7, from -0.7 to 0.3. What is required of all samples together is a sum. Two ways to know it:
 *	certain  the sum reaches it even if all that is left comes out at worst, or misses it at best (curtailment)
 *	bets     on the mean, in the order of the visit (stats_sequence.c), at the level alpha
 * The first is arithmetic and wins where both speak. A suite's bets are without replacement, a population's on draws, of which
 * nothing is ever certain: there the caller curtails its final test. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"

void sequence_open(struct sequence *s, const struct sequence_limit *l)
{
	double range = l->most - l->least, mean = (l->required - l->least) / range;

	*s = (struct sequence){ .limit = *l, .mean = mean, .worst = l->worst, .best = l->best };
	stats_bet_init(&s->bet, l->alpha > 0 ? l->alpha : 0.5, mean, l->population ? 0 : l->n);
	if (isfinite(l->expected))
		s->bet.expected =
			l->weight / ((double)l->n * l->heaviest) * ((l->expected - l->least) / range - mean) + mean;
	sequence_know(s, 0, 0, 0);
}

static void decide(struct sequence *s, enum stats_decision d, bool certain)
{
	if (s->decision == STATS_OPEN || (certain && !s->certain && s->decision != d)) {
		s->decision = d;
		s->certain = certain;
		s->after = s->n;
	}
}

void sequence_know(struct sequence *s, double gain, double worst, double best)
{
	s->worst += gain - worst;
	s->best += gain - best;
	if (s->limit.population)
		return;
	if (s->worst >= s->limit.required_sum)
		decide(s, STATS_PASS, true);
	else if (s->best < s->limit.required_sum)
		decide(s, STATS_FAIL, true);
}

void sequence_add(struct sequence *s, double gain, double weight, double worst, double best)
{
	const struct sequence_limit *l = &s->limit;
	double share = weight / l->heaviest;

	s->n++;
	sequence_know(s, gain, worst, best);
	if (!(l->alpha > 0) || !(s->mean > 0 && s->mean < 1))
		return;
	stats_bet_add(&s->bet, stats_bet_score((gain - weight * l->least) / ((l->most - l->least) * l->heaviest), share,
					       s->mean));
	if (stats_bet_p_above(&s->bet) <= l->alpha)
		decide(s, STATS_PASS, false);
	else if (stats_bet_p_below(&s->bet) <= l->alpha)
		decide(s, STATS_FAIL, false);
}
