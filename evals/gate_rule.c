/* gate_rule.c: one limit of the policy against one pair of results.
 *
 * Asked about these samples (target: suite), with all of them in, it is arithmetic, not a test; samples like these
 * (target: population) have a file of their own, gate_population.c. The arithmetic:
 *	0/1 scores   on integers: lost - won <= floor(max_drop N + 1e-9); right >= ceil(min N - 1e-9)
 *	others       worse by at most the limit, with 1e-12 of slack for the last bits of sums
 *	relative     the same on the ratio: lost - won <= floor(share × right in the baseline + 1e-9); for perplexities
 *	             candidate / baseline - 1, from the difference of the log-likelihoods
 * The interval beside it (pair.c) says what is known of samples like these, and decides nothing.
 *
 * min_gain is max_drop or max_increase the other way round. no_new_failures counts the samples of a pattern that the
 * baseline has right and the candidate wrong, for either target: golden samples are no sample of anything.
 *
 * max_overlap is not about scores: it counts the task's documents that the training data has (overlap.c), all of them,
 * however many were asked.
 *
 * A run that was cut short (--limit) never passes a limit. It fails one where even the best end could not hold it: all that
 * is left right, or every sample that the baseline got wrong and that is still to come won. Else it is INCONCLUSIVE. One that
 * visited its samples in a committed order may be decided early: gate_early.c. */
#include "base/base.h"

#include <fnmatch.h>
#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"

static const char *const limits[] = { "min", "max", "max_drop", "max_increase", "min_gain", "no_new_failures" };

bool limit_present(const struct gate_rule *rule, enum limit_kind kind)
{
	switch (kind) {
	case LIMIT_MIN:
		return rule->has_min;
	case LIMIT_MAX:
		return rule->has_max;
	case LIMIT_DROP:
		return rule->has_drop;
	case LIMIT_INCREASE:
		return rule->has_increase;
	case LIMIT_GAIN:
		return rule->has_gain;
	case LIMIT_NEW_FAILURES:
		return rule->no_new_failures;
	case LIMIT_KINDS:
		break;
	}
	return false;
}

double limit_value(const struct gate_rule *rule, enum limit_kind kind, bool *relative)
{
	*relative = (kind == LIMIT_DROP && rule->drop_relative) ||
		    (kind == LIMIT_INCREASE && rule->increase_relative) || (kind == LIMIT_GAIN && rule->gain_relative);
	return kind == LIMIT_MIN    ? rule->min
	       : kind == LIMIT_MAX  ? rule->max
	       : kind == LIMIT_DROP ? rule->drop
	       : kind == LIMIT_GAIN ? rule->gain
				    : rule->increase;
}

/* How much worse the candidate may be: a required gain is a negative drop. */
static double allowed_harm(const struct gate_rule *rule, enum limit_kind kind, bool *relative)
{
	double value = limit_value(rule, kind, relative);

	return kind == LIMIT_GAIN ? -value : value;
}

/* ---- numbers in sentences ---------------------------------------------------------------------------------------- */

int gate_decimals(double x, double y, int least)
{
	for (int d = least; d < 9; d++) {
		double unit = pow(10, d), rx = round(x * unit), ry = round(y * unit);
		bool same = fabs(x - y) <= 1e-9 * (1 + fabs(y));

		if ((same || ((x < y) == (rx < ry) && (x > y) == (rx > ry))) && (fabs(x) < 1e-9 || rx != 0))
			return d;
	}
	return 9;
}

static const char *verb(double delta)
{
	return delta > 0 ? "rose by" : delta < 0 ? "dropped by" : "did not change";
}

/* "dropped by 1.2 points on these 500 samples (lost 12, won 6)"; limit in the metric's unit, NaN for none. */
static void change_text(struct buf *out, const struct pairing *p, double limit, bool ratio)
{
	double scale = p->cm->binary ? 100 : 1, size = fabs(p->delta) * scale;
	double beside = isnan(limit) ? size : limit * scale;
	const char *s = p->n == 1 ? "" : "s";

	buf_adds(out, verb(p->delta));
	if (ratio && p->delta != 0) {
		double percent = fabs(p->delta / p->value_b) * 100;

		buf_addf(out, " %.*f%%", gate_decimals(percent, isnan(limit) ? percent : limit * 100, 1), percent);
	} else if (p->delta != 0) {
		buf_addf(out, " %.*f%s", gate_decimals(size, beside, p->cm->binary ? 1 : 4), size,
			 p->cm->binary ? " points" : "");
	}
	if (!p->count && p->delta != 0) {
		double from = p->value_b * scale, to = p->value_c * scale;
		int d = gate_decimals(from, to, p->cm->binary ? 1 : 4);

		buf_addf(out, " (%.*f to %.*f)", d, from, d, to);
	}
	buf_addf(out, " on %s %zu sample%s", p->n == 1 ? "this" : "these", p->n, s);
	if (p->count)
		buf_addf(out, " (lost %zu, won %zu)", p->lost, p->won);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void row_init(struct gate_result_rule *row, const struct pairing *p)
{
	*row = (struct gate_result_rule){ .task = mem_str(p->ct->task),
					  .metric = mem_str(p->cm->name),
					  .filter = mem_str(p->cm->filter),
					  .baseline = p->value_b,
					  .candidate = p->value_c,
					  .delta = p->delta,
					  .lo = NAN,
					  .hi = NAN,
					  .p = NAN,
					  .n = p->n ? p->n : p->ct->n,
					  .lost = p->lost,
					  .won = p->won,
					  .method = "none",
					  .higher_is_better = p->cm->higher_is_better };
}

void gate_rule_release(struct gate_result_rule *row)
{
	free(row->rule);
	free(row->task);
	free(row->metric);
	free(row->filter);
	free(row->explanation);
	*row = (struct gate_result_rule){ 0 };
}

char *limit_text(const struct gate_rule *r, enum limit_kind kind)
{
	bool relative;
	double value = limit_value(r, kind, &relative);

	if (kind == LIMIT_NEW_FAILURES)
		return mem_printf("%s.%s%s%s: no_new_failures %s", r->task, r->metric, r->filter ? "," : "",
				  r->filter ? r->filter : "", r->no_new_failures);
	return mem_printf("%s.%s%s%s: %s %.10g%s", r->task, r->metric, r->filter ? "," : "", r->filter ? r->filter : "",
			  limits[kind], relative ? value * 100 : value, relative ? "%" : "");
}

static bool is_limited(const struct task_result *t)
{
	return t->n < t->n_total;
}

/* What is left of a run that was cut short. */
static void rest_text(struct buf *out, const struct task_result *t, enum verdict v, const char *undo)
{
	if (v == VERDICT_FAIL)
		buf_addf(out, ", which the rest cannot %s", undo);
	else
		buf_addf(out, "; the other %zu samples decide", t->n_total - t->n);
}

/* ---- min and max ------------------------------------------------------------------------------------------------- */

static bool floor_holds(const struct judge *j, size_t right, size_t n)
{
	const struct metric *m = j->pair->cm;
	bool min = j->kind == LIMIT_MIN;
	double limit = min ? j->rule->min : j->rule->max;

	if (m->binary && m->aggregate == AGGREGATE_MEAN && !m->weights)
		return min ? (double)right >= ceil(limit * (double)n - 1e-9)
			   : (double)right <= floor(limit * (double)n + 1e-9);
	return min ? m->value >= limit - 1e-12 : m->value <= limit + 1e-12; /* false for NaN */
}

static void judge_floor(struct gate_result_rule *row, const struct judge *j)
{
	const struct task_result *t = j->pair->ct;
	const struct metric *m = j->pair->cm;
	bool min = j->kind == LIMIT_MIN, count = m->binary && m->aggregate == AGGREGATE_MEAN && !m->weights;
	size_t right = count ? (size_t)(stats_sum(m->scores, t->n) + 0.5) : 0, rest = t->n_total - t->n;
	double limit = min ? j->rule->min : j->rule->max, scale = m->binary ? 100 : 1;
	int d = gate_decimals(m->value * scale, limit * scale, m->binary ? 1 : 4);
	struct buf text = BUF_INIT(4096);

	row->candidate = m->value;
	row->n = t->n;
	if (j->population && !j->partial) {
		gate_population_value(row, j, limit);
		return;
	}
	row->method = value_interval(m, t->n, j->confidence, &row->lo, &row->hi);
	if (j->partial)
		row->verdict = VERDICT_INCONCLUSIVE; /* until the sequence says more */
	else if (!is_limited(t))
		row->verdict = floor_holds(j, right, t->n) ? VERDICT_PASS : VERDICT_FAIL;
	else if (count && !floor_holds(j, min ? right + rest : right, t->n_total))
		row->verdict = VERDICT_FAIL;
	else
		row->verdict = VERDICT_INCONCLUSIVE;
	if (is_limited(t))
		buf_addf(&text, "evaluated %zu of %zu samples: ", t->n, t->n_total);
	buf_addf(&text, "%.*f%s on %s %zu sample%s", d, m->value * scale, m->binary ? " points" : "",
		 t->n == 1 ? "this" : "these", t->n, t->n == 1 ? "" : "s");
	if (count)
		buf_addf(&text, " (%zu right)", right);
	buf_addf(&text, "; %s %.*f%s required", min ? "at least" : "at most", d, limit * scale,
		 m->binary ? " points" : "");
	if (j->partial && j->population)
		gate_early_population_value(row, j, limit, &text);
	else if (j->partial)
		gate_early_value(row, j, limit, &text);
	else if (is_limited(t))
		rest_text(&text, t, row->verdict, "mend");
	row->explanation = buf_take(&text);
}

/* ---- max_drop and max_increase ----------------------------------------------------------------------------------- */

static double baseline_right(const struct judge *j)
{
	return stats_sum(j->pair->b, j->pair->n);
}

/* The whole comparison, on all pairs. */
static bool change_holds(const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	double harm = p->cm->higher_is_better ? -p->delta : p->delta, gap;

	if (p->count) {
		double allowed = floor(limit * (relative ? baseline_right(j) : (double)p->n) + 1e-9);

		return (double)p->lost - (double)p->won <= allowed;
	}
	if (!relative)
		return harm <= limit + 1e-12;
	if (p->cm->aggregate == AGGREGATE_PERPLEXITY)
		gap = expm1(p->ratio_b - p->ratio_c);
	else
		gap = p->value_b != 0 ? harm / fabs(p->value_b) : harm > 1e-12 ? INFINITY : 0;
	return gap <= limit + 1e-12;
}

/* A run cut short: is the limit out of reach, however the rest comes out? Known for 0/1 scores on a whole baseline. */
static bool change_lost(const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	double all, right, wrong_left;

	if (!p->count || is_limited(p->bt) || p->bt->n != p->ct->n_total)
		return false;
	all = (double)p->bt->n;
	right = stats_sum(p->bm->scores, p->bt->n);
	wrong_left = (all - right) - ((double)p->n - baseline_right(j));
	if (!p->cm->higher_is_better)
		wrong_left = right - baseline_right(j);
	return (double)p->lost - (double)p->won - wrong_left > floor(limit * (relative ? right : all) + 1e-9);
}

static void allowed_text(struct buf *out, const struct pairing *p, double limit, bool relative)
{
	double share = fabs(limit), scale = p->cm->binary ? 100 : 1, unit = relative ? share * fabs(p->value_b) : share;
	const char *what = limit < 0 ? "a gain of at least" : "allowed";
	const char *points = p->cm->binary ? " points" : "";
	int d = gate_decimals(unit * scale, fabs(p->delta) * scale, p->cm->binary ? 1 : 4);

	if (relative && p->cm->aggregate != AGGREGATE_MEAN)
		buf_addf(out, "; %s %.6g%%", what, share * 100);
	else if (relative)
		buf_addf(out, "; %s %.6g%% of %.*f, which is %.*f%s", what, share * 100, p->cm->binary ? 1 : 4,
			 p->value_b * scale, d, unit * scale, points);
	else
		buf_addf(out, "; %s %.*f%s", what, d, unit * scale, points);
	if (limit < 0)
		buf_adds(out, " required");
}

static void judge_change(struct gate_result_rule *row, const struct judge *j)
{
	const struct pairing *p = j->pair;
	struct buf text = BUF_INIT(4096);
	bool relative, ratio;
	double limit = allowed_harm(j->rule, j->kind, &relative);

	row->method = j->brief ? "none" : pairing_interval(p, j->confidence, &row->lo, &row->hi);
	if (!isfinite(p->delta) || (p->count && !p->n)) {
		row->verdict = VERDICT_INCOMPARABLE;
		row->explanation =
			mem_printf("%s is too large to compare; bits_per_byte does not overflow", p->cm->name);
		return;
	}
	if (j->population && !j->partial) {
		gate_population_change(row, j, limit, relative);
		return;
	}
	ratio = relative && p->cm->aggregate != AGGREGATE_MEAN;
	if (j->partial)
		row->verdict = VERDICT_INCONCLUSIVE; /* until the sequence says more */
	else if (!is_limited(p->ct))
		row->verdict = change_holds(j, limit, relative) ? VERDICT_PASS : VERDICT_FAIL;
	else
		row->verdict = change_lost(j, limit, relative) ? VERDICT_FAIL : VERDICT_INCONCLUSIVE;
	if (is_limited(p->ct))
		buf_addf(&text, "evaluated %zu of %zu samples: ", p->ct->n, p->ct->n_total);
	change_text(&text, p, fabs(ratio || !relative ? limit : limit * fabs(p->value_b)), ratio);
	allowed_text(&text, p, limit, relative);
	if (j->partial && j->population)
		gate_early_population_change(row, j, limit, relative, &text);
	else if (j->partial)
		gate_early_change(row, j, limit, relative, &text);
	else if (is_limited(p->ct))
		rest_text(&text, p->ct, row->verdict, "win back");
	row->explanation = buf_take(&text);
}

/* ---- no_new_failures --------------------------------------------------------------------------------------------- */

bool gate_sample_matches(const char *id, const char *slice, const char *pattern)
{
	return fnmatch(pattern, id, 0) == 0 || (slice && fnmatch(pattern, slice, 0) == 0);
}

bool sample_matches(const struct sample *s, const char *pattern)
{
	return gate_sample_matches(s->id, s->slice, pattern);
}

static size_t golden_total(const struct judge *j)
{
	const struct task_result *bt = j->pair->bt;
	size_t n = 0;

	for (size_t i = 0; i < bt->n; i++)
		n += sample_matches(&bt->samples[i], j->rule->no_new_failures);
	return n;
}

/* Golden samples: whatever is right in the baseline stays right. One that is not asked yet may still fail. */
static void judge_new_failures(struct gate_result_rule *row, const struct judge *j)
{
	const struct pairing *p = j->pair;
	struct buf text = BUF_INIT(4096), broken = BUF_INIT(2048);
	size_t n = 0, failures = 0;
	bool all;

	for (size_t i = 0; i < p->n; i++) {
		const struct sample *s = &p->ct->samples[p->index[i]];
		double worse = p->cm->higher_is_better ? p->b[i] - p->c[i] : p->c[i] - p->b[i];

		if (!sample_matches(s, j->rule->no_new_failures))
			continue;
		n++;
		if (worse > 0 && failures++ < 3)
			buf_addf(&broken, "%s \"%.60s\"", failures == 1 ? ":" : ",", s->id);
	}
	row->method = "exact count";
	all = j->partial ? golden_total(j) == n : !is_limited(p->ct);
	row->verdict = failures ? VERDICT_FAIL : n && all ? VERDICT_PASS : VERDICT_INCONCLUSIVE;
	row->open = j->partial && !failures && !all;
	if (is_limited(p->ct))
		buf_addf(&text, "evaluated %zu of %zu samples: ", p->ct->n, p->ct->n_total);
	if (n)
		buf_addf(&text, "%zu of %zu samples that match \"%.60s\" fail%s newly%s%s", failures, n,
			 j->rule->no_new_failures, failures == 1 ? "s" : "", buf_str(&broken),
			 failures > 3 ? " and others" : "");
	else /* of those asked: gate.c has refused a pattern without any */
		buf_addf(&text, "no sample so far matches \"%.60s\"", j->rule->no_new_failures);
	if (row->verdict == VERDICT_INCONCLUSIVE && p->ct->n < p->ct->n_total)
		buf_addf(&text, "; the other %zu samples decide", p->ct->n_total - p->ct->n);
	row->explanation = buf_take(&text);
	buf_release(&broken);
}

static void judge_identity(struct gate_result_rule *row, const struct judge *j)
{
	row->verdict = VERDICT_PASS;
	pairing_interval(j->pair, j->confidence, &row->lo, &row->hi);
	row->method = "identity";
	row->baseline = isnan(row->baseline) ? row->candidate : row->baseline;
	row->delta = 0;
	row->explanation = mem_str("same weights, tokenizer, prompt and questions as the baseline: nothing to compare");
}

int gate_rule_judge(struct gate_result_rule *row, const struct judge *j)
{
	const struct pairing *p = j->pair;

	row_init(row, p);
	row->rule = limit_text(j->rule, j->kind);
	row->gated = true;
	if (j->partial && p->ct->n == 0) { /* somebody looks before the first block of this task */
		row->verdict = VERDICT_INCONCLUSIVE;
		row->open = true;
		row->whole = gate_cannot_stop(j, false);
		row->explanation = mem_str("not asked yet");
	} else if (j->kind == LIMIT_MIN || j->kind == LIMIT_MAX) {
		judge_floor(row, j);
	} else if (j->in->identical && !j->in->incomparable && j->kind == LIMIT_GAIN) {
		row->verdict = VERDICT_FAIL;
		row->method = "identity";
		row->explanation = mem_str("same weights, tokenizer, prompt and questions as the baseline: no gain");
	} else if (j->in->identical && !j->in->incomparable) {
		judge_identity(row, j);
	} else if (p->incomparable) {
		row->verdict = VERDICT_INCOMPARABLE;
		row->explanation = mem_str(p->incomparable);
	} else if (!j->in->baseline) {
		row->verdict = VERDICT_NO_BASELINE;
		row->explanation = mem_str("there is no baseline to compare with");
	} else if (j->kind == LIMIT_NEW_FAILURES) {
		judge_new_failures(row, j);
	} else {
		judge_change(row, j);
	}
	return 0;
}

/* ---- max_overlap --------------------------------------------------------------------------------------------------- */

static void overlap_text(struct buf *out, const struct gate_overlap *o, double limit, double allowed)
{
	buf_addf(out, "%zu of %zu document%s stand%s in the training data", o->documents, o->n, o->n == 1 ? "" : "s",
		 o->documents == 1 ? "s" : "");
	if (o->documents)
		buf_addf(out, " (%zu exact, %zu by a 13-gram)", o->exact, o->ngram);
	buf_addf(out, "; at most %.6g%% allowed, which is %.0f", limit * 100, allowed);
}

void gate_rule_overlap(struct gate_result_rule *row, const char *task, double limit, const struct gate_input *in)
{
	const struct gate_overlap *o = NULL;
	struct buf text = BUF_INIT(4096);
	double allowed;

	for (size_t i = 0; i < in->n_overlap; i++)
		if (strcmp(in->overlap[i].task, task) == 0)
			o = &in->overlap[i];
	*row = (struct gate_result_rule){ .rule = mem_printf("%s.overlap: max_overlap %.10g", task, limit),
					  .task = mem_str(task),
					  .metric = mem_str("overlap"),
					  .filter = mem_str("none"),
					  .baseline = NAN,
					  .candidate = NAN,
					  .delta = NAN,
					  .lo = NAN,
					  .hi = NAN,
					  .p = NAN,
					  .method = "exact count",
					  .verdict = VERDICT_INCONCLUSIVE,
					  .gated = true };
	if (!o || !o->n) {
		row->method = "none";
		row->explanation =
			mem_str("it is not known how much of it stands in the training data, and no number of samples "
				"tells it: a run that trains counts it");
		return;
	}
	row->n = o->n;
	row->candidate = (double)o->documents / (double)o->n;
	allowed = floor(limit * (double)o->n + 1e-9);
	overlap_text(&text, o, limit, allowed);
	if ((double)o->documents > allowed)
		row->verdict = VERDICT_FAIL;
	else if (!in->overlap_missing)
		row->verdict = VERDICT_PASS;
	else
		buf_addf(&text, "; not compared: %s", in->overlap_missing);
	row->explanation = buf_take(&text);
}

void gate_rule_show(struct gate_result_rule *row, const struct pairing *p, double confidence, const char *why)
{
	struct buf text = BUF_INIT(4096);

	row_init(row, p);
	row->rule = mem_printf("%s.%s%s%s: %s", p->ct->task, p->cm->name, strcmp(p->cm->filter, "none") == 0 ? "" : ",",
			       strcmp(p->cm->filter, "none") == 0 ? "" : p->cm->filter, why);
	row->verdict = VERDICT_PASS;
	row->method = pairing_interval(p, confidence, &row->lo, &row->hi);
	if (is_limited(p->ct))
		buf_addf(&text, "evaluated %zu of %zu samples: ", p->ct->n, p->ct->n_total);
	if (isfinite(p->delta))
		change_text(&text, p, NAN, false);
	else
		buf_adds(&text, "too large to compare");
	row->explanation = buf_take(&text);
}
