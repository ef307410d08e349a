/* gate_early.c: a limit of the policy on a candidate that has not answered everything yet.
 *
 * The samples were visited in a committed order (order.c), and the baseline has answered all of them: so it is known what each
 * of those that are left can gain and lose. sequence.c makes of it PASS, FAIL, or "not yet"; the verdict is a function of the
 * samples alone, whoever looked at them how often, and a stored run is judged as it was when it stopped.
 *
 * What can be stopped:
 *	suite        means of scores with a range (0/1, F1, ROUGE, Brier, a group's mean): certainty, then bets at the whole
 *	             level. Clusters do not matter here: the samples are visited one by one, and the suite is the world.
 *	population   0/1 scores: certainty about the final test, whatever the rest is (gate_population.c). Means in suites of more
 *	             than SPLIT_MIN samples: bets at a fifth of the level, the final test at the rest; together they keep it.
 * What cannot: perplexities and corpus metrics (a single text may outweigh all others), clusters in a population, relative
 * limits on these. They are asked whole, and the run says why. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"

enum { SPLIT_MIN = 1000 };

double gate_bets_level(const struct judge *j, bool relative)
{
	const struct metric *m = j->pair->cm;
	double alpha = 1 - j->confidence;

	if (!j->order || m->aggregate != AGGREGATE_MEAN || !metric_range(m->name))
		return 0;
	if (!j->population)
		return alpha;
	return !relative && !j->clustered && j->pair->ct->n_total > SPLIT_MIN ? GATE_BETS_SHARE * alpha : 0;
}

const char *gate_cannot_stop(const struct judge *j, bool relative)
{
	const struct metric *m = j->pair->cm;
	bool count = m->binary && m->aggregate == AGGREGATE_MEAN && !m->weights;

	if (aggregate_is_corpus(m->aggregate))
		return "a corpus metric is a function of all samples at once";
	if (m->aggregate != AGGREGATE_MEAN || !metric_range(m->name))
		return "one sample may outweigh all others: its score has no range";
	if (!j->population)
		return NULL;
	if (j->clustered)
		return "clusters have no early test for target: population";
	if (!count && !(gate_bets_level(j, relative) > 0))
		return "a mean of real scores has no early test for target: population on so few samples";
	return NULL;
}

/* ---- limits as sequences ------------------------------------------------------------------------------------------ */

static double weight_at(const double *weights, size_t i)
{
	return weights ? weights[i] : 1;
}

static void weigh(struct sequence_limit *l, const double *weights, size_t n)
{
	l->n = n;
	l->weight = weights ? stats_sum(weights, n) : (double)n;
	l->heaviest = 1;
	for (size_t i = 0; i < n && weights; i++)
		l->heaviest = i ? fmax(l->heaviest, weights[i]) : weights[i];
}

/* What a baseline's score leaves to be lost and won, of one unit of weight. */
static void gains_of(const struct judge *j, double baseline, double *worst, double *best)
{
	double range = metric_range(j->pair->cm->name);

	*best = j->pair->cm->higher_is_better ? range - baseline : baseline;
	*worst = *best - range;
}

void gate_sequence_change(struct sequence *s, const struct judge *j, double limit, bool relative, double alpha)
{
	const struct pairing *p = j->pair;
	const struct metric *b = p->bm;
	size_t n = p->bt->n;
	double range = metric_range(p->cm->name), sign = p->cm->higher_is_better ? 1 : -1, value = fabs(b->value);
	struct sequence_limit l = {
		.least = -range, .most = range, .alpha = alpha, .population = j->population, .expected = 0
	};

	weigh(&l, b->weights, n);
	l.required = -limit * (relative ? value : 1);
	l.required_sum = p->count ? -floor(limit * (relative ? stats_sum(b->scores, n) : (double)n) + 1e-9)
				  : (l.required - 1e-12) * l.weight;
	for (size_t i = 0; i < n; i++) {
		double worst, best;

		gains_of(j, b->scores[i], &worst, &best);
		l.worst += worst * weight_at(b->weights, i);
		l.best += best * weight_at(b->weights, i);
	}
	sequence_open(s, &l);
	for (size_t k = 0; k < j->n_visits + p->n; k++) { /* first in order, then what else is known */
		size_t i = k < j->n_visits ? j->visits[k].index : k - j->n_visits;
		double w = weight_at(p->w, i), worst, best;

		gains_of(j, p->b[i], &worst, &best);
		if (k < j->n_visits)
			sequence_add(s, sign * (p->c[i] - p->b[i]) * w, w, worst * w, best * w);
		else if (!j->visited[i])
			sequence_know(s, sign * (p->c[i] - p->b[i]) * w, worst * w, best * w);
	}
}

bool gate_sequence_value(struct sequence *s, const struct judge *j, double limit, double alpha)
{
	const struct pairing *p = j->pair;
	const struct metric *m = p->cm, *b = p->bm;
	bool min = j->kind == LIMIT_MIN, count = m->binary && !m->weights;
	double range = metric_range(m->name), sign = min ? 1 : -1;
	struct sequence_limit l = { .least = min ? 0 : -range,
				    .most = min ? range : 0,
				    .alpha = alpha,
				    .population = j->population,
				    .required = sign * limit,
				    .expected = b && !p->incomparable ? sign * b->value : NAN };

	if (m->weights && (!b || p->incomparable)) /* nobody knows what the rest weighs */
		return false;
	weigh(&l, m->weights ? b->weights : NULL, p->ct->n_total);
	l.required_sum = !count ? (l.required - 1e-12) * l.weight
			 : min  ? ceil(limit * (double)l.n - 1e-9)
				: -floor(limit * (double)l.n + 1e-9);
	l.worst = l.least * l.weight;
	l.best = l.most * l.weight;
	sequence_open(s, &l);
	for (size_t k = 0; k < j->n_visits + p->ct->n; k++) {
		size_t i = k < j->n_visits ? j->visits[k].index : k - j->n_visits;
		double w = weight_at(m->weights, i);

		if (k < j->n_visits)
			sequence_add(s, sign * m->scores[i] * w, w, l.least * w, l.most * w);
		else if (!j->visited[i])
			sequence_know(s, sign * m->scores[i] * w, l.least * w, l.most * w);
	}
	return true;
}

/* ---- bounds that hold at every look -------------------------------------------------------------------------------- */

struct bound {
	const struct judge *judge;
	bool value, above;
};

/* p of "the mean gain is at most (below: at least) x". */
static double p_at(double x, const void *arg)
{
	const struct bound *b = arg;
	double alpha = 1 - b->judge->confidence;
	struct sequence s;

	if (b->value)
		gate_sequence_value(&s, b->judge, b->judge->kind == LIMIT_MIN ? x : -x, alpha);
	else
		gate_sequence_change(&s, b->judge, -x, false, alpha);
	return b->above ? stats_bet_p_above(&s.bet) : stats_bet_p_below(&s.bet);
}

/* The least and the largest mean gain that the bets have not refuted, to a thousandth of the range, on the safe side. */
static void gain_bounds(const struct judge *j, bool value, double least, double most, double *lo, double *hi)
{
	for (int above = 0; above < 2; above++) {
		const struct bound b = { j, value, above };
		double from = least, to = most;

		for (int i = 0; i < 11; i++) {
			double mid = (from + to) / 2;

			if ((p_at(mid, &b) <= 1 - j->confidence) == above)
				from = mid;
			else
				to = mid;
		}
		*(above ? lo : hi) = above ? from : to;
	}
}

/* ---- rows of target: suite ----------------------------------------------------------------------------------------- */

enum verdict gate_verdict_of(enum stats_decision d)
{
	return d == STATS_PASS ? VERDICT_PASS : d == STATS_FAIL ? VERDICT_FAIL : VERDICT_INCONCLUSIVE;
}

static void early_text(struct buf *out, const struct judge *j, const struct sequence *s)
{
	size_t all = j->pair->ct->n_total;
	bool pass = s->decision == STATS_PASS;

	if (s->decision == STATS_OPEN)
		buf_addf(out, "; not decided yet, and %zu samples were not asked", all - j->pair->ct->n);
	else if (s->certain)
		buf_addf(out, "; certain for all %zu after %zu", all, s->after);
	else
		buf_addf(out, "; %s for all %zu, wrong at most %g times in 100 random orders (after %zu)",
			 pass ? "holds" : "is broken", all, (1 - j->confidence) * 100, s->after);
}

static void row_early(struct gate_result_rule *row, const struct judge *j, const struct sequence *s, struct buf *text)
{
	row->verdict = gate_verdict_of(s->decision);
	row->open = s->decision == STATS_OPEN;
	row->method = s->certain ? "exact count" : "betting";
	row->p = s->certain ? NAN : stats_bet_p_above(&s->bet);
	early_text(text, j, s);
}

void gate_early_change(struct gate_result_rule *row, const struct judge *j, double limit, bool relative,
		       struct buf *text)
{
	double sign = j->pair->cm->higher_is_better ? 1 : -1, range = metric_range(j->pair->cm->name), lo, hi;
	struct sequence s;

	row->whole = gate_cannot_stop(j, relative);
	if (row->whole) {
		row->verdict = VERDICT_INCONCLUSIVE;
		row->open = true;
		buf_addf(text, "; %zu samples were not asked, and %s", j->pair->ct->n_total - j->pair->ct->n,
			 row->whole);
		return;
	}
	gate_sequence_change(&s, j, limit, relative, gate_bets_level(j, relative));
	row_early(row, j, &s, text);
	if (j->brief)
		return;
	gain_bounds(j, false, -range, range, &lo, &hi);
	row->lo = sign > 0 ? lo : -hi;
	row->hi = sign > 0 ? hi : -lo;
}

void gate_early_value(struct gate_result_rule *row, const struct judge *j, double limit, struct buf *text)
{
	double range = metric_range(j->pair->cm->name), lo, hi;
	bool min = j->kind == LIMIT_MIN;
	struct sequence s;

	row->whole = gate_cannot_stop(j, false);
	if (!row->whole && !gate_sequence_value(&s, j, limit, gate_bets_level(j, false)))
		row->whole = "what the rest weighs is not known";
	if (row->whole) {
		row->verdict = VERDICT_INCONCLUSIVE;
		row->open = true;
		buf_addf(text, "; %zu samples were not asked, and %s", j->pair->ct->n_total - j->pair->ct->n,
			 row->whole);
		return;
	}
	row_early(row, j, &s, text);
	if (j->brief)
		return;
	gain_bounds(j, true, min ? 0 : -range, min ? range : 0, &lo, &hi);
	row->lo = min ? lo : -hi;
	row->hi = min ? hi : -lo;
}

/* ---- watched metrics ------------------------------------------------------------------------------------------------ */

double gate_early_worse(const struct judge *j, const char **method)
{
	struct sequence s;

	*method = "none";
	if (j->pair->cm->aggregate != AGGREGATE_MEAN || !metric_range(j->pair->cm->name) || j->clustered)
		return 1;
	*method = "betting";
	gate_sequence_change(&s, j, 0, false, 1 - j->confidence);
	return fmin(1, stats_bet_p_below(&s.bet));
}
