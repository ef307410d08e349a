/* gate_power.c: what a gate can tell, before there are scores and before money is spent.
 *
 * The question is how often a model passes that is no worse. "Unchanged" means equally good, not identical: the same
 * recipe with another seed answers some samples differently, as many won as lost. That share of flips (for other scores
 * the spread of a sample's difference) comes from what is stored: a calibration, or earlier comparisons; of 0/1 scores it
 * is else assumed to be 5 %. From it:
 *	suite        0/1: P(lost - won <= k), exactly; others: a normal difference within the limit
 *	population   0/1: the power of the exact test, at its critical value (stats_tango.c); others: t on the spread, with
 *	             the floor that gate_population.c puts under it
 *	min, max     the baseline's value, moved by the same noise, against what the limit requires
 * All rules must pass. Their dependence is not known, so the whole has two bounds beside the product: from
 * 1 - sum (1 - p) to the least p.
 *
 * "Detects" is the least change that is told from none: of a suite one sample more than is allowed, for sure; of a
 * population, with power 0.8, (z_a + z_0.8) sqrt(variance / n) (stats_power.c).
 *
 * A rule that no model can pass or fail (too few samples or clusters for any sound test) is OUTLOOK_NEVER: strict_power
 * refuses it. One that an unchanged model cannot pass, and a better one might, is OUTLOOK_HOPELESS: a warning, for a gate
 * may be meant so. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"

#define FLIPS_ASSUMED 0.05
#define POWER 0.8

/* One limit, with what is known of its metric. */
struct limit {
	const struct gate_power_input *in;
	const struct gate_policy *policy;
	const struct gate_rule *rule;
	enum limit_kind kind;
	const struct suite_measure *m;
	const struct task_result *base; /* NULL: not stored */
	const struct metric *bm;
	const struct gate_noise *noise; /* NULL: nothing was seen yet */
	struct suite_clusters clusters;
	size_t n;
	bool relative;
	double value; /* as in the policy */
	double alpha;
};

/* ---- what the suites will measure, as results without samples ------------------------------------------------------ */

struct shells {
	struct task_result *tasks;
	const struct task_result **list;
	size_t n, cap;
};

static int shell_add(const struct suite_measure *m, void *arg)
{
	struct shells *s = arg;
	struct task_result *t = s->n ? &s->tasks[s->n - 1] : NULL;

	if (!t || strcmp(t->task, m->task) != 0) {
		MEM_GROW(s->tasks, s->n, s->cap);
		t = &s->tasks[s->n++];
		*t = (struct task_result){ .task = mem_str(m->task), .n_total = m->n };
	}
	t->metrics = mem_resize(t->metrics, (t->n_metrics + 1) * sizeof(*t->metrics));
	t->metrics[t->n_metrics++] = (struct metric){ .name = mem_str(m->metric),
						      .filter = mem_str(m->filter),
						      .aggregate = m->aggregate,
						      .higher_is_better = m->higher_is_better,
						      .binary = m->binary,
						      .weights = m->weighted ? mem_array(1, sizeof(double)) : NULL };
	return 0;
}

static int shells_open(struct shells *s, const struct gate_power_input *in)
{
	int rc = 0;

	*s = (struct shells){ 0 };
	for (size_t i = 0; i < in->n_suites && !rc; i++)
		rc = suite_each_measure(in->suites[i], shell_add, s);
	s->list = mem_array(s->n + 1, sizeof(*s->list));
	for (size_t i = 0; i < s->n; i++)
		s->list[i] = &s->tasks[i];
	return rc;
}

static void shells_close(struct shells *s)
{
	for (size_t i = 0; i < s->n; i++)
		task_result_release(&s->tasks[i]);
	free(s->tasks);
	free(s->list);
}

/* ---- how likely an unchanged model passes -------------------------------------------------------------------------- */

static bool is_count(const struct limit *l)
{
	return l->m->binary && l->m->aggregate == AGGREGATE_MEAN && !l->m->weighted;
}

static bool is_floor(const struct limit *l)
{
	return l->kind == LIMIT_MIN || l->kind == LIMIT_MAX;
}

static double flips_of(const struct limit *l)
{
	return l->noise && isfinite(l->noise->flips) ? l->noise->flips : FLIPS_ASSUMED;
}

/* How much may be lost, in the metric's unit; a gain is negative. NaN: relative to a value that nobody knows. */
static double allowed(const struct limit *l)
{
	double value = l->kind == LIMIT_GAIN ? -l->value : l->value;

	if (!l->relative)
		return value;
	return l->bm ? value * fabs(l->bm->value) : NAN;
}

static double baseline_right(const struct limit *l)
{
	return l->bm ? stats_sum(l->bm->scores, l->base->n) : NAN;
}

/* The least number of right answers with which "the share is at least min" is shown; n + 1: none. */
static size_t right_needed(size_t n, double min, double alpha)
{
	size_t lo = 0, hi = n + 1;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (stats_binomial_upper(n, mid, min) <= alpha)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static double floor_count_pass(const struct limit *l)
{
	bool min = l->kind == LIMIT_MIN;
	double right = baseline_right(l), share = min ? l->value : 1 - l->value, need;

	if (isnan(right) || l->base->n != l->n)
		return NAN;
	right = min ? right : (double)l->n - right; /* max: of the wrong ones there must be enough */
	need = l->policy->population ? (double)right_needed(l->n, share, l->alpha) : ceil(share * (double)l->n - 1e-9);
	if (need > (double)l->n)
		return 0;
	return stats_flips_within(l->n, flips_of(l), right - need);
}

/* P(a normal difference of this error stays within the margin). */
static double normal_within(double margin, double error)
{
	return error > 0 ? stats_normal_cdf(margin / error) : margin >= 0 ? 1 : 0;
}

static double real_error(const struct limit *l)
{
	return l->noise && isfinite(l->noise->spread) ? l->noise->spread / sqrt((double)l->n) : NAN;
}

static double floor_real_pass(const struct limit *l)
{
	double lo, hi, error = real_error(l);

	if (!l->bm || l->base->n != l->n || isnan(error))
		return NAN;
	lo = hi = l->bm->value;
	if (l->policy->population)
		value_interval(l->bm, l->base->n, l->policy->confidence, &lo, &hi);
	return normal_within(l->kind == LIMIT_MIN ? lo - l->value : l->value - hi, error);
}

static double samples_counted(const struct limit *l)
{
	return l->clusters.n ? l->clusters.effective : (double)l->n;
}

static double change_real_pass(const struct limit *l)
{
	double error = real_error(l), limit = allowed(l), needed = 0;
	bool bounded = l->m->aggregate == AGGREGATE_MEAN;

	if (isnan(error) || isnan(limit))
		return NAN;
	if (l->policy->population) {
		double drop = bounded ? sqrt(stats_drop_floor(limit, 1) / samples_counted(l)) : 0;

		needed = stats_t_quantile(1 - l->alpha, fmax(samples_counted(l) - 1, 1)) * fmax(error, drop);
	}
	return normal_within(limit - needed, error);
}

static double change_count_pass(const struct limit *l)
{
	double limit = allowed(l);

	if (isnan(limit))
		return NAN;
	if (l->policy->population && limit > -1)
		return stats_tango_power(l->n, limit, l->alpha, flips_of(l));
	return stats_flips_within(l->n, flips_of(l), floor(limit * (double)l->n + 1e-9));
}

/* Every sample that must stay right may flip; half of the flips are losses. */
static double golden_pass(const struct limit *l)
{
	size_t right = 0;

	if (!l->bm || !l->m->binary)
		return NAN;
	for (size_t i = 0; i < l->base->n; i++)
		right += l->bm->scores[i] == (l->m->higher_is_better ? 1 : 0) &&
			 sample_matches(&l->base->samples[i], l->rule->no_new_failures);
	return pow(1 - flips_of(l) / 2, (double)right);
}

static double pass_of(const struct limit *l)
{
	if (l->kind == LIMIT_NEW_FAILURES)
		return golden_pass(l);
	if (is_floor(l))
		return is_count(l) ? floor_count_pass(l) : floor_real_pass(l);
	return is_count(l) ? change_count_pass(l) : change_real_pass(l);
}

static double detects_of(const struct limit *l)
{
	double z = stats_normal_quantile(1 - l->alpha) + stats_normal_quantile(POWER), limit = allowed(l);

	if (is_floor(l) || l->kind == LIMIT_NEW_FAILURES)
		return NAN;
	if (!l->policy->population)
		return is_count(l) ? (floor(limit * (double)l->n + 1e-9) + 1) / (double)l->n : limit;
	if (is_count(l))
		return stats_detectable(z, flips_of(l), samples_counted(l));
	return z * real_error(l);
}

/* ---- in words ------------------------------------------------------------------------------------------------------ */

/* Why no model can pass or fail; NULL: one can. */
static char *never(const struct limit *l)
{
	bool mean = l->m->aggregate == AGGREGATE_MEAN, corpus = aggregate_is_corpus(l->m->aggregate);

	if (l->n < l->m->n)
		return mem_printf("%zu of %zu samples are asked, and what was cut short never passes", l->n, l->m->n);
	if (!l->policy->population || l->kind == LIMIT_NEW_FAILURES)
		return NULL;
	if (l->clusters.n && l->clusters.effective < CLUSTERS_MIN && !(is_floor(l) && is_count(l)))
		return mem_printf("%zu clusters, which count as %.1f: at least %d are needed for any verdict",
				  l->clusters.n, l->clusters.effective, CLUSTERS_MIN);
	if (corpus && l->relative)
		return mem_str("a relative limit on a corpus metric has no test: give it in the metric's unit");
	if (corpus && l->clusters.n)
		return mem_str("a corpus metric has no test by clusters");
	if (corpus && l->n < BOOTSTRAP_MIN)
		return mem_printf("%zu samples: a bootstrap means little on fewer than %d", l->n, BOOTSTRAP_MIN);
	if (!corpus && !mean && samples_counted(l) < UNBOUNDED_MIN)
		return mem_printf("%.0f %s: %s has no largest loss, so no test holds its level on fewer than %d",
				  samples_counted(l), l->clusters.n ? "clusters" : "samples", l->m->metric,
				  UNBOUNDED_MIN);
	if (l->n < 2)
		return mem_str("one sample says nothing of others");
	return NULL;
}

/* The samples from which an unchanged model passes at all, and in four of five runs. */
static void samples_text(struct buf *out, const struct limit *l, double detects)
{
	double limit = allowed(l), z = stats_normal_quantile(1 - l->alpha) + stats_normal_quantile(POWER);
	double variance = is_count(l) ? flips_of(l) : l->noise ? l->noise->spread * l->noise->spread : NAN;
	double scale = l->m->binary ? 100 : 1;

	if (is_floor(l) || l->kind == LIMIT_NEW_FAILURES || l->kind == LIMIT_GAIN || !(limit > 0))
		return;
	if (l->policy->population && isfinite(variance))
		buf_addf(out, ": about %.0f samples would do, or a limit of %.*f%s",
			 fmax(ceil(stats_samples_for(z, variance, limit)), stats_least_samples(l->alpha, limit)),
			 gate_decimals(detects * scale, 0, l->m->binary ? 1 : 4), detects * scale,
			 l->m->binary ? " points" : "");
	else if (!l->policy->population && is_count(l))
		buf_addf(out, ": a limit of %.1f points would do in 19 of 20 runs",
			 100 * gate_propose_drop(l->n, flips_of(l), false, l->policy->confidence));
}

static char *why(const struct limit *l, struct gate_power_rule *row)
{
	struct buf out = BUF_INIT(2048);
	double limit = allowed(l), least = stats_least_samples(l->alpha, limit);
	char *refused = never(l);

	if (refused) {
		row->outlook = OUTLOOK_NEVER;
		row->pass = 0;
		return refused;
	}
	if (l->policy->population && !is_floor(l) && is_count(l) && l->kind != LIMIT_GAIN && limit == 0) {
		row->outlook = OUTLOOK_HOPELESS;
		return mem_str("asks for proof that nothing at all was lost, which no unchanged model can give: allow "
			       "something");
	}
	if (l->policy->population && !is_floor(l) && is_count(l) && limit > 0 && (double)l->n < least) {
		row->outlook = OUTLOOK_HOPELESS;
		return mem_printf(
			"%zu samples: an unchanged model can pass from %.0f on; add samples, widen the limit, "
			"or use target: suite",
			l->n, least);
	}
	if (!(row->pass < POWER) || l->kind == LIMIT_GAIN)
		return NULL;
	row->outlook = OUTLOOK_WEAK;
	buf_addf(&out, "an unchanged model passes in %.0f of 100 runs", floor(100 * row->pass + 0.5));
	samples_text(&out, l, row->detects);
	return buf_take(&out);
}

/* ---- rules --------------------------------------------------------------------------------------------------------- */

static const struct gate_noise *find_noise(const struct gate_power_input *in, const struct suite_measure *m)
{
	for (size_t i = 0; i < in->n_noise; i++)
		if (strcmp(in->noise[i].task, m->task) == 0 && strcmp(in->noise[i].metric, m->metric) == 0 &&
		    strcmp(in->noise[i].filter, m->filter) == 0)
			return &in->noise[i];
	return NULL;
}

static void find_baseline(struct limit *l)
{
	for (size_t i = 0; i < l->in->n_baseline; i++)
		if (strcmp(l->in->baseline[i]->task, l->m->task) == 0)
			l->base = l->in->baseline[i];
	l->bm = l->base ? task_result_metric(l->base, l->m->metric, l->m->filter) : NULL;
}

static void row_fill(struct gate_power_rule *row, const struct limit *l)
{
	*row = (struct gate_power_rule){ .rule = limit_text(l->rule, l->kind),
					 .task = mem_str(l->m->task),
					 .metric = mem_str(l->m->metric),
					 .n = l->n,
					 .clusters = l->clusters.n,
					 .flips = is_count(l) ? flips_of(l) : NAN,
					 .from = l->noise      ? l->noise->from
						 : is_count(l) ? "assumed"
							       : NULL,
					 .pass = l->in->structure ? NAN : pass_of(l),
					 .detects = detects_of(l) };
	row->why = why(l, row);
}

static int rule_power(struct gate_power *out, const struct gate_policy *policy, const struct gate_rule *rule,
		      const struct gate_power_input *in, const struct shells *shells)
{
	const struct gate_input as = { .candidate = shells->list, .n_candidate = shells->n };
	struct limit l = { .in = in, .policy = policy, .rule = rule, .alpha = 1 - policy->confidence };
	const struct task_result *task;
	const struct metric *metric;
	struct suite_measure m;
	int rc = gate_find_metric(&as, rule->task, rule->metric, rule->filter, &task, &metric);

	rc = rc ? rc : gate_check_rule(rule, metric);
	for (size_t i = 0; i < in->n_suites && !rc && !l.clusters.n; i++)
		rc = suite_count_clusters(in->suites[i], rule->task, rule->cluster, &l.clusters);
	if (rc)
		return rc;
	m = (struct suite_measure){ task->task,
				    metric->name,
				    metric->filter,
				    metric->aggregate,
				    metric->higher_is_better,
				    metric->binary,
				    metric->weights != NULL,
				    task->n_total };
	l.m = &m;
	l.n = in->share > 0                                ? (size_t)ceil((double)m.n * in->share)
	      : in->limit > 0 && (uint64_t)in->limit < m.n ? (size_t)in->limit
							   : m.n;
	l.noise = find_noise(in, &m);
	find_baseline(&l);
	for (int kind = LIMIT_MIN; kind < LIMIT_KINDS; kind++) {
		l.kind = (enum limit_kind)kind;
		if (!limit_present(rule, l.kind))
			continue;
		l.value = limit_value(rule, l.kind, &l.relative);
		out->rules = mem_resize(out->rules, (out->n + 1) * sizeof(*out->rules));
		row_fill(&out->rules[out->n++], &l);
	}
	return 0;
}

static int check_watched(const struct gate_policy *policy, const struct shells *shells)
{
	const struct gate_input as = { .candidate = shells->list, .n_candidate = shells->n };
	int rc = 0;

	for (size_t i = 0; i < policy->n_watch && !rc; i++) {
		char *task = NULL, *metric = NULL, *filter = NULL;
		const struct task_result *ct;
		const struct metric *cm;

		if (!gate_name_split(policy->watch[i], &task, &metric, &filter))
			rc = err_set(ERR_INPUT, "gate.watch: \"%.100s\" is not task.metric", policy->watch[i]);
		rc = rc ? rc : gate_find_metric(&as, task, metric, filter, &ct, &cm);
		free(task);
		free(metric);
		free(filter);
	}
	return rc;
}

static void whole(struct gate_power *out)
{
	double missed = 0;

	out->pass = out->pass_most = 1;
	for (size_t i = 0; i < out->n; i++) {
		double p = out->rules[i].pass;

		out->pass *= p;
		out->pass_most = isnan(p) || isnan(out->pass_most) ? NAN : fmin(out->pass_most, p);
		missed += 1 - p;
	}
	out->pass_least = isnan(missed) ? NAN : fmax(0, 1 - missed);
}

int gate_power(struct gate_power *out, const struct gate_policy *policy, const struct gate_power_input *in)
{
	struct shells shells;
	int rc = shells_open(&shells, in);

	*out = (struct gate_power){ 0 };
	for (size_t i = 0; i < policy->n && !rc; i++)
		rc = rule_power(out, policy, &policy->rules[i], in, &shells);
	rc = rc ? rc : check_watched(policy, &shells);
	shells_close(&shells);
	if (rc)
		gate_power_release(out);
	else
		whole(out);
	return rc;
}

void gate_power_release(struct gate_power *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->rules[i].rule);
		free(p->rules[i].task);
		free(p->rules[i].metric);
		free(p->rules[i].why);
	}
	free(p->rules);
	*p = (struct gate_power){ 0 };
}

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

json_t *gate_power_json(const struct gate_power *p)
{
	static const char *const outlooks[] = { "fine", "weak", "hopeless", "never" };
	json_t *rules = json_array();

	for (size_t i = 0; i < p->n; i++) {
		const struct gate_power_rule *r = &p->rules[i];

		json_array_append_new(
			rules, json_pack("{s:o,s:I,s:o,s:o,s:s?,s:o,s:o,s:s,s:o}", "rule",
					 json_new_text(r->rule, strlen(r->rule)), "n", (json_int_t)r->n, "clusters",
					 r->clusters ? json_integer((json_int_t)r->clusters) : json_null(), "flips",
					 number(r->flips), "from", r->from, "detects", number(r->detects), "pass",
					 number(r->pass), "outlook", outlooks[r->outlook], "why",
					 r->why ? json_new_text(r->why, strlen(r->why)) : json_null()));
	}
	return json_pack("{s:o,s:o,s:o,s:o}", "rules", rules, "pass", number(p->pass), "pass_least",
			 number(p->pass_least), "pass_most", number(p->pass_most));
}

double gate_row_variance(const struct gate_result_rule *row, double confidence)
{
	double half = (row->hi - row->lo) / 2, error;

	if (row->n < 2)
		return NAN;
	error = half / stats_t_quantile(confidence, (double)row->n - 1);
	return error * error * (double)row->n;
}

double gate_noise_floor(double sd, size_t k, double confidence)
{
	return stats_t_quantile(confidence, (double)k - 1) * sqrt(2) * sd;
}

double gate_propose_drop(size_t n, double flips, bool population, double confidence)
{
	double drop = 0.01;

	while (drop < 1 && (population ? stats_tango_power(n, drop, 1 - confidence, flips)
				       : stats_flips_within(n, flips, floor(drop * (double)n + 1e-9))) < 0.95)
		drop += 0.005;
	return fmin(round(drop * 200) / 200, 1);
}
