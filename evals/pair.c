/* pair.c: the same samples in two runs, side by side.
 *
 * Samples pair by id inside a task of one digest. Whatever does not fit (task or metric missing, another digest, ids on
 * one side only, other weights) makes the pair incomparable, with the reason in words: numbers of different questions
 * are never subtracted. A candidate that was limited pairs on what it has.
 *
 * Intervals: Tango's score interval for 0/1 scores; Student's t on the paired differences for the rest; for
 * perplexities on R = sum of differences of log-likelihoods / sum of weights, with leave-one-out residuals, turned into
 * the metric's unit by value_b (exp(-R ± t SE) - 1). No interval has zero width: when the differences do not vary at
 * all, which a few samples may do by chance, the error is taken as if one sample more had moved by one standard
 * deviation of the baseline's scores (by 1 where these do not vary either). One sample alone has no interval. Corpus
 * metrics (corpus.c) have a paired bootstrap, which promises nothing and says so. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"

static const struct task_result *task_find(const struct task_result *const *tasks, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(tasks[i]->task, name) == 0)
			return tasks[i];
	return NULL;
}

/* Reasons that are known before any sample is looked at. */
static char *pairing_reason(struct pairing *p, const struct gate_input *in)
{
	const struct task_result *ct = p->ct, *bt;

	if (in->incomparable)
		return mem_str(in->incomparable);
	if (!in->baseline)
		return NULL;
	bt = p->bt = task_find(in->baseline, in->n_baseline, ct->task);
	if (!bt)
		return mem_printf("the baseline has no task %s", ct->task);
	p->bm = task_result_metric(bt, p->cm->name, p->cm->filter);
	if (!p->bm)
		return mem_printf("the baseline has no metric %s,%s of task %s", p->cm->name, p->cm->filter, ct->task);
	if (*ct->digest && *bt->digest && strcmp(ct->digest, bt->digest) != 0)
		return ct->asked && bt->asked
			       ? mem_printf("task %s asks other questions than the baseline's (%s; baseline %s)",
					    ct->task, ct->asked, bt->asked)
			       : mem_printf("task %s asks other questions than the baseline's (digest %.12s, baseline "
					    "%.12s)",
					    ct->task, ct->digest, bt->digest);
	if (p->cm->aggregate != p->bm->aggregate || p->cm->higher_is_better != p->bm->higher_is_better)
		return mem_printf("%s of task %s is made in another way in the baseline", p->cm->name, ct->task);
	if (bt->n < bt->n_total && (ct->n == ct->n_total || *ct->order))
		return mem_printf("the baseline was evaluated on %zu of %zu samples of task %s", bt->n, bt->n_total,
				  ct->task);
	return NULL;
}

/* Lists what has no partner: the count and the first three. */
static char *unmatched_text(const struct pairing *p, const size_t *partner, const bool *taken)
{
	struct buf out = BUF_INIT(8192);
	size_t left_c = 0, left_b = 0;

	for (size_t i = 0; i < p->ct->n; i++)
		left_c += partner[i] == SIZE_MAX;
	for (size_t i = 0; i < p->bt->n; i++)
		left_b += !taken[i];
	if (p->ct->n < p->ct->n_total)
		left_b = 0; /* a limited candidate has not come to them */
	if (!left_c && !left_b)
		return NULL;
	buf_addf(&out, "task %s: %zu sample%s of the candidate and %zu of the baseline ha%s no partner:", p->ct->task,
		 left_c, left_c == 1 ? "" : "s", left_b, left_c + left_b == 1 ? "s" : "ve");
	for (size_t i = 0, said = 0; i < p->ct->n && said < 3; i++)
		if (partner[i] == SIZE_MAX)
			buf_addf(&out, "%s \"%.60s\"", said++ ? "," : " only in the candidate", p->ct->samples[i].id);
	for (size_t i = 0, said = 0; left_b && i < p->bt->n && said < 3; i++)
		if (!taken[i])
			buf_addf(&out, "%s \"%.60s\"",
				 said++   ? ","
				 : left_c ? "; only in the baseline"
					  : " only in the baseline",
				 p->bt->samples[i].id);
	return buf_take(&out);
}

/* A name that is another document in the baseline: doc_id of the harness is but a row's number. */
static char *changed_text(const struct pairing *p, const size_t *partner)
{
	struct buf out = BUF_INIT(8192);
	size_t n = 0;

	for (size_t i = 0; i < p->ct->n; i++) {
		const struct sample *c = &p->ct->samples[i], *b = &p->bt->samples[partner[i]];

		if (!*c->doc_hash || !*b->doc_hash || strcmp(c->doc_hash, b->doc_hash) == 0)
			continue;
		if (n++ < 3)
			buf_addf(&out, "%s \"%.60s\"", n > 1 ? "," : "", c->id);
	}
	if (n) {
		char *text = mem_printf("task %s: %zu sample%s another document in the baseline:%s", p->ct->task, n,
					n == 1 ? " is" : "s are", buf_str(&out));

		buf_release(&out);
		return text;
	}
	buf_release(&out);
	return NULL;
}

/* partner[i]: the baseline's row of the candidate's sample i, or SIZE_MAX. */
static void match_ids(const struct pairing *p, size_t *partner, bool *taken)
{
	sample_ids_match(partner, p->ct->samples, p->ct->n, p->bt->samples, p->bt->n);
	for (size_t i = 0; i < p->ct->n; i++)
		if (partner[i] != SIZE_MAX)
			taken[partner[i]] = true;
}

/* Score files say themselves which samples belong together, and a candidate must not have fewer clusters to answer for
 * than the baseline had. (Runs take them from the questions, by the policy of the day.) */
static char *cluster_text(const struct pairing *p, const size_t *partner)
{
	if (*p->ct->digest || *p->bt->digest)
		return NULL;
	for (size_t i = 0; i < p->ct->n; i++) {
		const struct sample *c = &p->ct->samples[i], *b = &p->bt->samples[partner[i]];

		if (b->cluster && !c->cluster)
			return mem_printf("task %s: sample \"%.60s\" has a cluster in the baseline only", p->ct->task,
					  c->id);
		if (b->cluster && strcmp(c->cluster, b->cluster) != 0)
			return mem_printf("task %s: sample \"%.60s\" is in cluster \"%.60s\" here and in \"%.60s\" in "
					  "the baseline",
					  p->ct->task, c->id, c->cluster, b->cluster);
	}
	return NULL;
}

static char *take_scores(struct pairing *p, const size_t *partner)
{
	const struct metric *cm = p->cm, *bm = p->bm;

	p->c = mem_array(p->ct->n, sizeof(double));
	p->b = mem_array(p->ct->n, sizeof(double));
	p->w = cm->weights ? mem_array(p->ct->n, sizeof(double)) : NULL;
	p->index = mem_array(p->ct->n, sizeof(*p->index));
	if (!cm->weights != !bm->weights)
		return mem_printf("task %s: only one of the runs has weights for %s", p->ct->task, cm->name);
	if (cm->n_parts != bm->n_parts)
		return mem_printf("task %s: %s is made with other options in the baseline", p->ct->task, cm->name);
	p->mc = *cm;
	p->mb = *bm;
	p->mc.parts = cm->parts ? mem_array(p->ct->n, mem_mul(cm->n_parts, sizeof(double))) : NULL;
	p->mb.parts = cm->parts ? mem_array(p->ct->n, mem_mul(cm->n_parts, sizeof(double))) : NULL;
	for (size_t i = 0; i < p->ct->n; i++) {
		double better;

		if (partner[i] == SIZE_MAX || (p->w && cm->weights[i] == 0 && bm->weights[partner[i]] == 0))
			continue; /* of weight 0: the member of a group that has no such metric */
		p->index[p->n] = i;
		p->c[p->n] = cm->scores[i];
		p->b[p->n] = bm->scores[partner[i]];
		if (p->w) {
			p->w[p->n] = cm->weights[i];
			if (fabs(cm->weights[i] - bm->weights[partner[i]]) > 1e-12 * fabs(cm->weights[i]))
				return mem_printf("task %s: sample \"%.60s\" weighs %g here and %g in the baseline",
						  p->ct->task, p->ct->samples[i].id, cm->weights[i],
						  bm->weights[partner[i]]);
		}
		if (cm->parts) {
			size_t len = cm->n_parts;

			memcpy(p->mc.parts + p->n * len, cm->parts + i * len, len * sizeof(double));
			memcpy(p->mb.parts + p->n * len, bm->parts + partner[i] * len, len * sizeof(double));
		}
		better = p->c[p->n] - p->b[p->n]; /* log-likelihoods: higher is better, whatever is made of them */
		if ((cm->aggregate == AGGREGATE_MEAN || cm->parts) && !cm->higher_is_better)
			better = -better;
		p->lost += better < 0;
		p->won += better > 0;
		p->n++;
	}
	for (size_t i = 0; p->w && i < p->n && p->w[i] == 1; i++)
		if (i + 1 == p->n) { /* all alike: no weights */
			free(p->w);
			p->w = NULL;
		}
	p->count = cm->binary && bm->binary && cm->aggregate == AGGREGATE_MEAN && !p->w;
	return NULL;
}

static void take_values(struct pairing *p)
{
	double *xc = metric_terms(p->cm->aggregate, p->c, p->w, p->n),
	       *xb = metric_terms(p->cm->aggregate, p->b, p->w, p->n);
	struct stats_ratio rc, rb;

	p->mc.scores = p->c;
	p->mb.scores = p->b;
	p->mc.weights = p->mb.weights = p->w;
	metric_close(&p->mc, p->n);
	metric_close(&p->mb, p->n);
	stats_ratio(&rc, xc, p->w, p->n);
	stats_ratio(&rb, xb, p->w, p->n);
	free(xc);
	free(xb);
	p->value_c = p->mc.value;
	p->value_b = p->mb.value;
	p->ratio_c = rc.ratio;
	p->ratio_b = rb.ratio;
	p->scale_b = rb.scale;
	p->delta = p->value_c - p->value_b;
	if (p->count) { /* a difference of counts, divided once */
		double direction = p->cm->higher_is_better ? 1 : -1;

		p->delta = direction * ((double)p->won - (double)p->lost) / (double)p->n;
	}
}

int pairing_open(struct pairing *p, const struct gate_input *in, const struct task_result *ct, const struct metric *cm)
{
	size_t *partner;
	bool *taken;

	*p = (struct pairing){ .ct = ct, .cm = cm, .value_c = cm->value, .value_b = NAN, .delta = NAN };
	p->incomparable = pairing_reason(p, in);
	if (p->bm)
		p->value_b = p->bm->value;
	if (p->incomparable || !p->bm)
		return 0;
	partner = mem_array(ct->n, sizeof(*partner));
	taken = mem_array(p->bt->n, sizeof(*taken));
	match_ids(p, partner, taken);
	p->incomparable = unmatched_text(p, partner, taken);
	if (!p->incomparable)
		p->incomparable = changed_text(p, partner);
	if (!p->incomparable)
		p->incomparable = cluster_text(p, partner);
	if (!p->incomparable)
		p->incomparable = take_scores(p, partner);
	if (!p->incomparable && p->n)
		take_values(p);
	free(partner);
	free(taken);
	return 0;
}

void pairing_close(struct pairing *p)
{
	free(p->incomparable);
	free(p->c);
	free(p->b);
	free(p->w);
	free(p->mc.parts);
	free(p->mb.parts);
	free(p->index);
	*p = (struct pairing){ 0 };
}

/* ---- intervals --------------------------------------------------------------------------------------------------- */

double interval_error(double se, double scale, size_t n)
{
	if (!(scale > 0))
		scale = 1;
	return se > 1e-12 * scale ? se : scale / ((double)n + 1);
}

/* The difference per sample, candidate - baseline. */
static double *differences(const struct pairing *p)
{
	double *d = metric_terms(p->cm->aggregate, p->c, p->w, p->n),
	       *b = metric_terms(p->cm->aggregate, p->b, p->w, p->n);

	for (size_t i = 0; i < p->n; i++)
		d[i] -= b[i];
	free(b);
	return d;
}

/* Bounds of sum d / sum w. False: fewer than two samples. */
static bool ratio_bounds(const double *d, const double *w, size_t n, double scale, double confidence, double *lo,
			 double *hi)
{
	struct stats_ratio r;
	double half;

	*lo = *hi = NAN;
	if (n < 2)
		return false;
	stats_ratio(&r, d, w, n);
	half = stats_t_quantile(confidence, (double)(n - 1)) * interval_error(r.se_loo, scale, n);
	*lo = r.ratio - half;
	*hi = r.ratio + half;
	return true;
}

/* Bounds of a corpus's value, or of a difference of two. sd: of a sample, should the draws not vary. */
static void drawn_bounds(const struct metric *m, const struct metric *minus, size_t n, double sd, double confidence,
			 double *lo, double *hi)
{
	struct corpus_draws draws;

	*lo = *hi = NAN;
	if (n < 2)
		return;
	corpus_draw(&draws, m, minus, n);
	corpus_bounds(&draws, confidence, lo, hi);
	corpus_draws_release(&draws);
	if (!(*hi - *lo > 1e-9)) {
		double half = stats_t_quantile(confidence, (double)(n - 1)) * (sd > 0 ? sd : 1) / ((double)n + 1);

		*lo -= half;
		*hi += half;
	}
}

const char *pairing_interval(const struct pairing *p, double confidence, double *lo, double *hi)
{
	double *d, low, high;
	const char *method = p->cm->aggregate == AGGREGATE_MEAN ? "paired t" : "ratio";

	*lo = *hi = NAN;
	if (!p->n || p->incomparable || !p->c)
		return "none";
	if (p->count) {
		size_t down = p->cm->higher_is_better ? p->lost : p->won,
		       up = p->cm->higher_is_better ? p->won : p->lost;

		stats_tango_interval(p->n, down, up, confidence, lo, hi);
		return "exact count";
	}
	if (p->mc.parts) {
		drawn_bounds(&p->mc, &p->mb, p->n, p->mb.stderr_ * sqrt((double)p->n), confidence, lo, hi);
		return "paired bootstrap, approximate";
	}
	d = differences(p);
	if (ratio_bounds(d, p->w, p->n, p->scale_b, confidence, &low, &high)) {
		if (p->cm->aggregate == AGGREGATE_MEAN) {
			*lo = low;
			*hi = high;
		} else if (p->cm->aggregate == AGGREGATE_PERPLEXITY) {
			/* a better log-likelihood is a lower value: the ends change places */
			*lo = p->value_b * expm1(-high);
			*hi = p->value_b * expm1(-low);
		} else {
			*lo = -high / M_LN2;
			*hi = -low / M_LN2;
		}
	}
	free(d);
	return method;
}

/* The share of draws that did not get worse. */
static double drawn_p_worse(const struct pairing *p)
{
	struct corpus_draws draws;
	size_t held = 1, all;

	corpus_draw(&draws, &p->mc, &p->mb, p->n);
	for (size_t i = 0; i < draws.n; i++)
		held += p->cm->higher_is_better ? draws.values[i] >= 0 : draws.values[i] <= 0;
	all = draws.n + 1;
	corpus_draws_release(&draws);
	return (double)held / (double)all;
}

double pairing_p_worse(const struct pairing *p, const char **method)
{
	struct stats_ratio r;
	double *d, worse;

	*method = p->count ? "mid-p McNemar" : p->cm->aggregate == AGGREGATE_MEAN ? "paired t" : "ratio";
	if (p->count)
		return p->lost > p->won ? stats_mcnemar_mid_p(p->lost, p->won) : 1;
	if (p->n < 2)
		return 1;
	if (p->mc.parts) {
		*method = "paired bootstrap";
		return drawn_p_worse(p);
	}
	d = differences(p);
	stats_ratio(&r, d, p->w, p->n);
	free(d);
	worse = p->cm->aggregate == AGGREGATE_MEAN && !p->cm->higher_is_better ? r.ratio : -r.ratio;
	if (!(worse > 0))
		return 1;
	return stats_t_upper(worse / interval_error(r.se_loo, p->scale_b, p->n), (double)(p->n - 1));
}

const char *value_interval(const struct metric *m, size_t n, double confidence, double *lo, double *hi)
{
	struct stats_ratio r;
	double low, high, *x;

	if (m->binary && m->aggregate == AGGREGATE_MEAN && !m->weights) {
		stats_clopper_pearson((size_t)(stats_sum(m->scores, n) + 0.5), n, confidence, lo, hi);
		return "exact count";
	}
	if (m->parts) {
		drawn_bounds(m, NULL, n, fabs(m->value), confidence, lo, hi);
		return "bootstrap, approximate";
	}
	*lo = *hi = NAN;
	x = metric_terms(m->aggregate, m->scores, m->weights, n);
	stats_ratio(&r, x, m->weights, n);
	if (ratio_bounds(x, m->weights, n, fabs(r.ratio), confidence, &low, &high)) {
		*lo = m->aggregate == AGGREGATE_MEAN   ? low
		      : m->aggregate == AGGREGATE_BITS ? -high / M_LN2
						       : exp(-high);
		*hi = m->aggregate == AGGREGATE_MEAN ? high : m->aggregate == AGGREGATE_BITS ? -low / M_LN2 : exp(-low);
	}
	free(x);
	return m->aggregate == AGGREGATE_MEAN ? "t" : "ratio";
}
