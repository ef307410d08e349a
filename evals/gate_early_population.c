/* gate_early_population.c: samples like these (target: population), before all of them are in.
 *
 * The final test is decided once it comes out alike however the rest does: p of the exact test falls with what is won and rises
 * with what is lost, so the two extreme ends bound all others. This costs no level, and says little before the end. Suites of
 * more than a thousand samples spend a fifth of the level on bets, which may be looked at at any time, and the rest on the
 * final test: the sum of the two is the level (union bound). A min or max of real scores has bets for its final test, too: they
 * have the whole level. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"

static bool value_is_bet(const struct judge *j)
{
	const struct metric *m = j->pair->cm;

	return j->order && m->aggregate == AGGREGATE_MEAN && !m->binary && !m->weights && !j->clustered &&
	       metric_range(m->name) == 1;
}

double gate_population_bets(const struct judge *j, double limit, bool relative, double *p_pass, double *p_fail)
{
	bool value = j->kind == LIMIT_MIN || j->kind == LIMIT_MAX;
	double level = value && value_is_bet(j) ? 0 : gate_bets_level(j, relative);
	struct sequence s;

	*p_pass = *p_fail = 1;
	if (!(level > 0))
		return 0;
	if (!value)
		gate_sequence_change(&s, j, limit, relative, level);
	else if (!gate_sequence_value(&s, j, limit, level))
		return 0;
	*p_pass = fmin(1, stats_bet_p_above(&s.bet));
	*p_fail = fmin(1, stats_bet_p_below(&s.bet));
	return level;
}

struct early {
	enum stats_decision decision;
	bool closed;  /* no end of it will decide */
	bool certain; /* by the final test; else by a bet */
	double level, p;
	double samples; /* closed: about how many in all would decide */
};

static void decide_bets(struct early *e, const struct judge *j, double limit, bool relative)
{
	double pass, fail;

	e->level = gate_population_bets(j, limit, relative, &pass, &fail);
	if (e->decision != STATS_OPEN || !(e->level > 0))
		return;
	e->decision = pass <= e->level ? STATS_PASS : fail <= e->level ? STATS_FAIL : STATS_OPEN;
	e->p = pass;
}

/* p of both tests at an end; a limit is relative to the whole baseline, which is known. */
static void decide_count(struct early *e, const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	size_t all = p->bt->n, right = (size_t)(stats_sum(p->bm->scores, all) + 0.5),
	       seen = (size_t)(stats_sum(p->b, p->n) + 0.5);
	size_t right_left = right - seen, wrong_left = all - p->n - right_left;
	bool higher = p->cm->higher_is_better;
	const struct gate_count worst = { all, p->lost + (higher ? right_left : wrong_left), p->won, right },
				best = { all, p->lost, p->won + (higher ? wrong_left : right_left), right };
	double alpha = 1 - j->confidence, last = alpha - gate_bets_level(j, relative);
	/* far from deciding, the exact test is not worth its time */
	bool may_pass = relative || stats_normal_cdf(stats_tango_z(all, worst.lost, worst.won, limit)) <= 3 * last,
	     may_fail = relative || stats_normal_cdf(stats_tango_z(all, best.won, best.lost, -limit)) <= 3 * last;

	e->certain = true;
	if (may_pass && (e->p = gate_count_p_pass(&worst, limit, relative, alpha)) <= last)
		e->decision = STATS_PASS;
	else if (may_fail && (e->p = gate_count_p_fail(&best, limit, relative, alpha)) <= last)
		e->decision = STATS_FAIL;
	else if (last == alpha && gate_count_p_pass(&best, limit, relative, alpha) > last &&
		 gate_count_p_fail(&worst, limit, relative, alpha) > last) {
		e->closed = true;
		e->samples = stats_tango_samples(p->n, p->lost, p->won, relative ? limit * p->value_b : limit, last);
	} else
		e->certain = false;
}

static void decide_value(struct early *e, const struct judge *j, double limit)
{
	const struct metric *m = j->pair->cm;
	size_t n = j->pair->ct->n, all = j->pair->ct->n_total, right = (size_t)(stats_sum(m->scores, n) + 0.5),
	       most = right + all - n;
	bool min = j->kind == LIMIT_MIN;
	double alpha = 1 - j->confidence, last = alpha - gate_bets_level(j, false);
	double least_above = stats_binomial_upper(all, right, limit),
	       most_above = stats_binomial_upper(all, most, limit),
	       least_below = stats_binomial_lower(all, right, limit),
	       most_below = stats_binomial_lower(all, most, limit);
	double worst_pass = min ? least_above : most_below, best_fail = min ? most_below : least_above,
	       best_pass = min ? most_above : least_below, worst_fail = min ? least_below : most_above;

	e->certain = true;
	if (worst_pass <= last)
		e->decision = STATS_PASS;
	else if (best_fail <= last)
		e->decision = STATS_FAIL;
	else if (last == alpha && best_pass > last && worst_fail > last) {
		e->closed = true;
		e->samples = stats_binomial_samples(n, right, limit, last);
	} else
		e->certain = false;
	e->p = e->decision == STATS_FAIL ? best_fail : worst_pass;
}

static void row_fill(struct gate_result_rule *row, const struct judge *j, const struct early *e, struct buf *text)
{
	size_t n = j->pair->ct->n, all = j->pair->ct->n_total;

	row->verdict = gate_verdict_of(e->decision);
	row->open = e->decision == STATS_OPEN && !e->closed;
	row->p = e->decision == STATS_OPEN ? NAN : e->p;
	row->method = e->certain ? "final test, curtailed" : "betting";
	if (e->closed && isfinite(e->samples))
		buf_addf(text,
			 "; no end of the other %zu samples makes the final test decide; about %.0f in all would at "
			 "these "
			 "rates",
			 all - n, fmax(e->samples, (double)all + 1));
	else if (e->closed)
		buf_addf(text,
			 "; no end of the other %zu samples makes the final test decide, and on the limit no number "
			 "does",
			 all - n);
	else if (e->decision == STATS_OPEN)
		buf_addf(text, "; not decided yet, and %zu samples were not asked", all - n);
	else if (e->certain)
		buf_addf(text,
			 "; on samples like these, with %.10g%% confidence: the final test %s however the other %zu "
			 "come out (p at most %.2g); assumes independent samples",
			 j->confidence * 100, e->decision == STATS_PASS ? "passes" : "fails", all - n, e->p);
	else
		buf_addf(text,
			 "; %s on samples like these, with %.10g%% confidence (betting); assumes independent samples",
			 e->decision == STATS_PASS ? "holds" : "is broken", (1 - e->level) * 100);
}

static bool must_be_whole(struct gate_result_rule *row, const struct judge *j, bool relative, struct buf *text)
{
	row->whole = gate_cannot_stop(j, relative);
	if (!row->whole)
		return false;
	row->verdict = VERDICT_INCONCLUSIVE;
	row->open = true;
	row->method = "none";
	buf_addf(text, "; %zu samples were not asked, and %s", j->pair->ct->n_total - j->pair->ct->n, row->whole);
	return true;
}

void gate_early_population_change(struct gate_result_rule *row, const struct judge *j, double limit, bool relative,
				  struct buf *text)
{
	struct early e = { .p = NAN };

	if (must_be_whole(row, j, relative, text))
		return;
	if (j->pair->count)
		decide_count(&e, j, limit, relative);
	decide_bets(&e, j, limit, relative);
	row_fill(row, j, &e, text);
}

void gate_early_population_value(struct gate_result_rule *row, const struct judge *j, double limit, struct buf *text)
{
	struct early e = { .p = NAN };
	struct sequence s;

	if (value_is_bet(j)) {
		e.level = 1 - j->confidence;
		gate_sequence_value(&s, j, limit, e.level);
		e.decision = s.decision;
		e.p = stats_bet_p_above(&s.bet);
		row_fill(row, j, &e, text);
		return;
	}
	if (must_be_whole(row, j, false, text))
		return;
	if (j->pair->cm->binary && !j->pair->cm->weights)
		decide_value(&e, j, limit);
	decide_bets(&e, j, limit, false);
	row_fill(row, j, &e, text);
}
