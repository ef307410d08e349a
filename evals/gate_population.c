/* gate_population.c: one limit, asked about samples like these (target: population).
 *
 * "The model may drop by 2 points" is then a claim about inputs that nobody has asked yet, and the samples are its
 * evidence. PASS only if "it dropped by more than the limit" is refuted at the level, FAIL only if "it did not" is, and
 * INCONCLUSIVE in between, or where no assumption would carry a level. By kind of score:
 *	0/1 scores       stats_tango_exact; a relative limit with the baseline's share bounded at a fifth of the level,
 *	                 and the test at the rest of it (their sum is the level)
 *	scores in 0..1   Student's t with the floor under the variance (stats_ratio.c); a min or max of unweighted ones by
 *	                 betting, which holds for every distribution
 *	log-likelihoods, scores without a range
 *	                 t and the skew-corrected t must agree; fewer than 100 samples, or one that holds a fifth of all
 *	                 squared deviations: no verdict
 *	corpus metrics   paired bootstrap, named approximate; fewer than 200 samples, clusters, a relative limit: no verdict
 *	groups           of 0/1 scores, each sample of one weight: as one task of all samples, whose spread is no smaller than
 *	                 the tasks' own. Others: the error of strata (stats_ratio.c)
 *	clusters         the test above (as if samples were independent) and t on the cluster jackknife must agree; fewer
 *	                 than 20 effective clusters: no verdict
 * FAIL uses the mirrored test, so it never costs PASS any of its level. The bounds shown are those that decide: the upper
 * one is at most the limit exactly where the test passes.
 *
 * Harm is how much worse the candidate is, in the limit's unit: a required gain is a negative allowed harm. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_finding_int.h"
#include "evals/stats_int.h"

#define HEAVIEST_MAX 0.2
#define VALUE_MIN 1e-300 /* beneath it a share of a value is no number */
enum { BETS_MAX = 2000000 };

/* A test of sum x / sum w, larger is better: margin is how far the estimate is on the good side of the limit. */
struct series {
	double *x, *w; /* w NULL: all 1 */
	size_t n;
	bool pairs; /* of pairs; else of the candidate's samples */
	double margin;
	double range, allowed; /* of a bounded score, and how much of it may be lost; range 0: not bounded */
	double scale;          /* the spread of a sample, should nothing vary */
};

/* ---- clusters ---------------------------------------------------------------------------------------------------- */

/* number[i]: the cluster of pair i, from 0. */
static size_t number_clusters(const struct pairing *p, size_t *number)
{
	struct map seen;
	size_t n = 0;

	map_init(&seen);
	for (size_t i = 0; i < p->n; i++) {
		const char *name = p->ct->samples[p->index[i]].cluster;
		int64_t k;

		if (map_get(&seen, name, strlen(name), &k)) {
			number[i] = (size_t)k;
		} else {
			map_put(&seen, name, strlen(name), (int64_t)n);
			number[i] = n++;
		}
	}
	map_release(&seen);
	return n;
}

/* The series with a cluster as one sample. NULL: sample by sample. */
static size_t series_sum(struct series *s, const size_t *cluster, size_t n_clusters)
{
	double *x = mem_array(n_clusters, sizeof(*x)), *w = mem_array(n_clusters, sizeof(*w));

	stats_clusters_sum(s->x, cluster, s->n, x, n_clusters);
	stats_clusters_sum(s->w, cluster, s->n, w, n_clusters);
	free(s->x);
	free(s->w);
	s->x = x;
	s->w = w;
	return s->n = n_clusters;
}

/* ---- real scores ------------------------------------------------------------------------------------------------- */

/* The t at which a skewed mean is far enough from its limit: t' reaches the quantile there. INFINITY: nowhere. */
static double skewed_t(double quantile, double skew, size_t n)
{
	double lo = quantile, hi = quantile + 1;

	if (stats_johnson_t(quantile, skew, n) >= quantile)
		return quantile;
	while (hi < 1e6 && stats_johnson_t(hi, skew, n) < quantile)
		hi *= 2;
	if (hi >= 1e6)
		return INFINITY;
	for (int i = 0; i < 60; i++) {
		double mid = (lo + hi) / 2;

		if (stats_johnson_t(mid, skew, n) < quantile)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}

/* The drop that is to be ruled out. */
static double series_drop(const struct series *s)
{
	return s->allowed > 0 ? s->allowed : fmax(s->margin, 0);
}

/* Bounds of the margin's opposite, in the series' unit. */
static void series_bounded(struct finding *f, const struct series *s, const struct stats_ratio *r, double df,
			   double alpha, double weights2)
{
	double floor_se = sqrt(stats_drop_floor(series_drop(s), s->range) * weights2);
	double se = interval_error(r->se_loo, s->scale, s->n), t = stats_t_quantile(1 - alpha, df);

	f->method = "floored t";
	f->p_pass = stats_t_floored(s->margin, se, floor_se, df);
	f->p_fail = stats_t_floored(-s->margin, se, floor_se, df);
	f->hi = -s->margin + t * fmax(se, floor_se);
	f->lo = -s->margin - t * fmax(se, floor_se);
	f->samples = stats_t_samples(s->n, s->margin, fmax(se, floor_se), df, alpha);
}

static void series_unbounded(struct finding *f, const struct series *s, const struct stats_ratio *r, double df,
			     double alpha)
{
	double se = interval_error(r->se_loo, s->scale, s->n), t = stats_t_quantile(1 - alpha, df);

	f->method = "skew-corrected t";
	f->p_pass = stats_t_skewed(s->margin, se, r->skew, s->n, df);
	f->p_fail = stats_t_skewed(-s->margin, se, -r->skew, s->n, df);
	f->hi = -s->margin + skewed_t(t, r->skew, s->n) * se;
	f->lo = -s->margin - skewed_t(t, -r->skew, s->n) * se;
	f->samples = fmax(stats_t_samples(s->n, s->margin, se, df, alpha), UNBOUNDED_MIN);
}

/* Sum of w^2 over (sum w)^2, of the samples: 1/n where all weigh the same. */
static double weights_square(const double *w, size_t n)
{
	double sum = 0, square = 0;

	if (!w)
		return 1 / (double)n;
	for (size_t i = 0; i < n; i++) {
		sum += w[i];
		square += w[i] * w[i];
	}
	return square / (sum * sum);
}

/* How many of the series' samples each task of a group has; NULL: it is no group. Yours. */
static size_t *series_strata(const struct series *s, const struct judge *j)
{
	const struct task_result *t = j->pair->ct;
	size_t *sizes, member = 0, end = t->n_members ? t->members[0].n : 0;

	if (!t->n_members || j->clustered)
		return NULL;
	sizes = mem_array(t->n_members, sizeof(*sizes));
	for (size_t i = 0; i < s->n; i++) {
		size_t at = s->pairs ? j->pair->index[i] : i;

		while (at >= end)
			end += t->members[++member].n;
		sizes[member]++;
	}
	return sizes;
}

/* Tests the series; takes its arrays. */
static void series_judge(struct finding *f, struct series *s, const struct judge *j, const char *what)
{
	const struct pairing *p = j->pair;
	double alpha = 1 - j->confidence, weights2 = weights_square(s->w, s->n), df;
	size_t *cluster = j->clustered ? mem_array(s->n, sizeof(*cluster)) : NULL, *strata = series_strata(s, j);
	struct stats_ratio r;

	if (cluster) {
		series_sum(s, cluster, number_clusters(p, cluster));
		if (j->rule->whole_clusters) /* the worst loss is of whole clusters: so is the floor */
			weights2 = weights_square(s->w, s->n);
	}
	stats_ratio(&r, s->x, s->w, s->n);
	df = (cluster ? r.n_effective : (double)s->n) - 1;
	if (strata)
		df = stats_ratio_strata(&r, s->x, s->w, strata, p->ct->n_members,
					s->range > 0 ? stats_drop_floor(series_drop(s), s->range) : 0);
	*f = (struct finding){ .lo = NAN, .hi = NAN, .p_pass = 1, .p_fail = 1, .samples = NAN, .method = "none" };
	f->clusters = cluster ? s->n : 0;
	f->effective = r.n_effective;
	if (s->n < 2) {
		f->refused = mem_printf("one %s says nothing of others", cluster ? "cluster" : "sample");
		f->samples = cluster ? (double)p->ct->n * CLUSTERS_MIN : 2;
	} else if (isnan(df)) {
		f->refused = mem_str("a task of the group has one sample, which says nothing of its others");
		f->samples = (double)p->ct->n + 1;
	} else if (cluster && r.n_effective < CLUSTERS_MIN) {
		f->refused = mem_printf("too few clusters: %zu, which count as %.1f; at least %d are needed", s->n,
					r.n_effective, CLUSTERS_MIN);
		f->samples = ceil((double)p->ct->n * CLUSTERS_MIN / r.n_effective);
	} else if (cluster && j->rule->whole_clusters && !(s->range > 0)) {
		f->refused = mem_printf("%s has no largest loss: nothing bounds what a whole cluster may lose", what);
	} else if (!(s->range > 0) && s->n < UNBOUNDED_MIN) {
		f->refused = mem_printf("%zu %s: %s has no largest loss, so no test holds its level on fewer than %d",
					s->n, cluster ? "clusters" : "samples", what, UNBOUNDED_MIN);
		f->samples = UNBOUNDED_MIN;
	} else if (!(s->range > 0) && r.heaviest_share > HEAVIEST_MAX) {
		size_t at = r.heaviest;

		for (size_t i = 0; cluster && i < p->n; i++)
			if (cluster[i] == r.heaviest) {
				at = i;
				break;
			}
		f->refused = mem_printf("sample \"%.60s\"%s alone makes %.0f%% of the squared deviations: the verdict "
					"would hang on it",
					p->ct->samples[p->index ? p->index[at] : at].id,
					cluster ? " with its cluster" : "", r.heaviest_share * 100);
		/* so many that the others outweigh it: its share of the squares falls to a fifth */
		f->samples = ceil((double)p->ct->n * r.heaviest_share * (1 - HEAVIEST_MAX) /
				  (HEAVIEST_MAX * (1 - r.heaviest_share)));
	} else if (s->range > 0) {
		series_bounded(f, s, &r, df, alpha, weights2);
		f->assumes = strata                    ? "independent samples of each task, scores within their range"
			     : !cluster                ? "independent samples, scores within their range"
			     : j->rule->whole_clusters ? "independent clusters, which may be lost whole"
						       : "independent clusters over which losses are spread, scores "
							 "within their range";
	} else {
		series_unbounded(f, s, &r, df, alpha);
		f->assumes = cluster ? "independent clusters, losses without far outliers; approximate"
				     : "independent samples, losses without far outliers; approximate";
	}
	free(strata);
	free(cluster);
	free(s->x);
	free(s->w);
}

/* The range of a mean's scores, from *least on: 0 if they have none that is known. */
static double scores_range(const struct judge *j, const struct metric *m, const double *scores, size_t n, double *least)
{
	double range = strcmp(m->name, "brier_score") == 0 ? 2 : 1;

	*least = j->rule->has_range ? j->rule->least : 0;
	if (m->aggregate != AGGREGATE_MEAN)
		return 0;
	if (j->rule->has_range) /* gate.c has held the scores against it */
		return j->rule->most - j->rule->least;
	for (size_t i = 0; i < n; i++)
		if (scores[i] < 0 || scores[i] > range)
			return 0;
	return range;
}

static double *copy_weights(const double *w, size_t n)
{
	return w ? mem_copy(w, n * sizeof(*w)) : NULL;
}

/* Means, and bits, which are the mean of -ll / ln 2. value: of the baseline, to which a relative limit refers. */
static void change_mean(struct finding *f, const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	bool bits = p->cm->aggregate == AGGREGATE_BITS;
	double unit = bits ? -1 / M_LN2 : 1, sign = bits || !p->cm->higher_is_better ? -1 : 1;
	double *b = metric_terms(p->cm->aggregate, p->b, p->w, p->n),
	       *c = metric_terms(p->cm->aggregate, p->c, p->w, p->n);
	double base = p->ratio_b * unit, size = relative ? fabs(base) : 1, least;
	struct series s = {
		.x = c, .w = copy_weights(p->w, p->n), .n = p->n, .pairs = true, .scale = p->scale_b * fabs(unit)
	};

	for (size_t i = 0; i < p->n; i++)
		s.x[i] = unit * (sign * (c[i] - b[i]) + (relative ? limit * (base < 0 ? -1 : 1) * b[i] : 0));
	free(b);
	s.allowed = limit * size;
	s.margin = s.allowed + sign * unit * (p->ratio_c - p->ratio_b);
	s.range = fmin(scores_range(j, p->cm, p->c, p->n, &least), scores_range(j, p->cm, p->b, p->n, &least));
	series_judge(f, &s, j, p->cm->name);
	f->lo = (f->lo + limit * size) / size;
	f->hi = (f->hi + limit * size) / size;
}

static void change_perplexity(struct finding *f, const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	double times_c = relative ? 1 : p->value_c, times_b = relative ? 1 : p->value_b;
	struct series s = {
		.x = mem_array(p->n, sizeof(double)), .w = copy_weights(p->w, p->n), .n = p->n, .pairs = true
	};

	for (size_t i = 0; i < p->n; i++)
		s.x[i] = times_c * p->c[i] - times_b * p->b[i];
	s.scale = p->scale_b * times_b;
	if (relative) {
		s.margin = log1p(limit) + p->ratio_c - p->ratio_b;
		series_judge(f, &s, j, p->cm->name);
		f->lo = expm1(f->lo + log1p(limit));
		f->hi = expm1(f->hi + log1p(limit));
	} else {
		s.margin = limit - (p->value_c - p->value_b);
		series_judge(f, &s, j, p->cm->name);
		f->lo += limit;
		f->hi += limit;
	}
}

/* ---- 0/1 scores -------------------------------------------------------------------------------------------------- */

/* The level that is left for the test when the baseline's share is bounded first, and the share of the level for that. */
#define SHARE_LEVEL 0.2

/* The limit as the two tests see it: a relative one is of a share that is only bounded. */
struct count_limit {
	double pass, fail, least, most, alpha;
};

static struct count_limit count_limit(const struct gate_count *c, double limit, bool relative, double alpha)
{
	struct count_limit l = { limit, limit, 1, 1, alpha };

	if (relative) {
		double bound = alpha * SHARE_LEVEL;

		stats_clopper_pearson(c->right, c->n, 1 - bound, &l.least, &l.most);
		l.alpha -= bound;
		l.pass = limit * (limit > 0 ? l.least : l.most);
		l.fail = limit * (limit > 0 ? l.most : l.least);
	}
	return l;
}

/* p of "it dropped by more" and of "it did not", in the unit of the whole level. */
double gate_count_p_pass(const struct gate_count *c, double limit, bool relative, double alpha)
{
	struct count_limit l = count_limit(c, limit, relative, alpha);

	return fmin(1, stats_tango_exact(c->n, c->lost, c->won, l.pass) / (relative ? 1 - SHARE_LEVEL : 1));
}

double gate_count_p_fail(const struct gate_count *c, double limit, bool relative, double alpha)
{
	struct count_limit l = count_limit(c, limit, relative, alpha);

	return fmin(1, stats_tango_exact(c->n, c->won, c->lost, -l.fail) / (relative ? 1 - SHARE_LEVEL : 1));
}

static void change_count(struct finding *f, const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	const struct gate_count c = { p->n, p->lost, p->won, (size_t)(stats_sum(p->b, p->n) + 0.5) };
	double alpha = 1 - j->confidence;
	struct count_limit l = count_limit(&c, limit, relative, alpha);

	*f = (struct finding){ .method = "exact test", .assumes = "independent samples" };
	f->p_pass = gate_count_p_pass(&c, limit, relative, alpha);
	f->p_fail = gate_count_p_fail(&c, limit, relative, alpha);
	f->hi = stats_tango_bound(p->n, p->lost, p->won, l.alpha);
	f->lo = -stats_tango_bound(p->n, p->won, p->lost, l.alpha);
	f->hi /= f->hi > 0 ? l.least : l.most;
	f->lo /= f->lo > 0 ? l.most : l.least;
	f->samples = stats_tango_samples(p->n, p->lost, p->won, relative ? limit * p->value_b : limit, l.alpha);
}

/* Both tests must agree. */
static void finding_join(struct finding *f, const struct finding *other, const char *method, const char *assumes)
{
	f->p_pass = fmax(f->p_pass, other->p_pass);
	f->p_fail = fmax(f->p_fail, other->p_fail);
	f->lo = fmin(f->lo, other->lo);
	f->hi = fmax(f->hi, other->hi);
	f->samples = fmax(f->samples, other->samples);
	f->refused = other->refused;
	f->clusters = other->clusters;
	f->effective = other->effective;
	f->method = method;
	f->assumes = assumes;
}

/* ---- corpus metrics ---------------------------------------------------------------------------------------------- */

/* What speaks against a verdict by bootstrap. */
static void corpus_find(struct finding *f, const struct judge *j, size_t n, bool relative)
{
	*f = (struct finding){ .lo = NAN, .hi = NAN, .p_pass = 1, .p_fail = 1, .samples = NAN, .method = "none" };
	f->bounds = true;
	if (n < BOOTSTRAP_MIN) {
		f->refused = mem_printf("%zu samples: a bootstrap means little on fewer than %d", n, BOOTSTRAP_MIN);
		f->samples = BOOTSTRAP_MIN;
	} else if (relative) {
		f->refused = mem_str("a relative limit on a corpus metric has no test: give it in the metric's unit");
	} else if (j->clustered) {
		f->refused = mem_str("a corpus metric has no test by clusters");
	}
	f->assumes = "independent samples; approximate";
}

/* How many would decide, by the width of the bounds as if it were a normal's. */
static void corpus_samples(struct finding *f, const struct judge *j, size_t n, double limit)
{
	double error = (f->hi - f->lo) / 2 / stats_normal_quantile(j->confidence);

	f->samples = stats_t_samples(n, limit - (f->hi + f->lo) / 2, error, (double)n - 1, 1 - j->confidence);
}

static void change_corpus(struct finding *f, const struct judge *j, double limit, bool relative)
{
	double lo, hi;

	corpus_find(f, j, j->pair->n, relative);
	if (f->refused)
		return;
	f->method = pairing_interval(j->pair, j->confidence, &lo, &hi);
	f->lo = j->pair->cm->higher_is_better ? -hi : lo;
	f->hi = j->pair->cm->higher_is_better ? -lo : hi;
	f->p_pass = f->hi <= limit ? 0 : 1;
	f->p_fail = f->lo > limit ? 0 : 1;
	corpus_samples(f, j, j->pair->n, limit);
}

static void value_corpus(struct finding *f, const struct judge *j, double limit)
{
	bool min = j->kind == LIMIT_MIN;

	corpus_find(f, j, j->pair->ct->n, false);
	if (f->refused)
		return;
	f->method = value_interval(j->pair->cm, j->pair->ct->n, j->confidence, &f->lo, &f->hi);
	f->p_pass = (min ? f->lo >= limit : f->hi <= limit) ? 0 : 1;
	f->p_fail = (min ? f->hi < limit : f->lo > limit) ? 0 : 1;
	corpus_samples(f, j, j->pair->ct->n, limit);
}

static void change_find(struct finding *f, const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	struct finding clusters;

	if (aggregate_is_corpus(p->cm->aggregate)) {
		change_corpus(f, j, limit, relative);
	} else if (relative && p->cm->aggregate != AGGREGATE_PERPLEXITY && fabs(p->value_b) < VALUE_MIN) {
		*f = (struct finding){
			.lo = NAN, .hi = NAN, .p_pass = 1, .p_fail = 1, .samples = NAN, .method = "none"
		};
		f->refused = mem_str("the baseline's value is 0, of which there are no parts");
	} else if (!p->count) {
		if (p->cm->aggregate == AGGREGATE_PERPLEXITY)
			change_perplexity(f, j, limit, relative);
		else
			change_mean(f, j, limit, relative);
	} else {
		change_count(f, j, limit, relative);
		if (j->clustered) {
			change_mean(&clusters, j, limit, relative);
			finding_join(f, &clusters, "exact test and cluster t",
				     j->rule->whole_clusters ? "independent clusters, which may be lost whole"
							     : "independent clusters over which losses are spread");
		}
	}
}

/* ---- min and max ------------------------------------------------------------------------------------------------- */

static struct stats_bet bet_on(double mean, const struct judge *j)
{
	const struct metric *m = j->pair->cm;
	struct stats_bet b;

	stats_bet_init(&b, 1 - j->confidence, mean, 0);
	for (size_t i = 0; i < (j->order ? j->n_visits : j->pair->ct->n); i++)
		stats_bet_add(&b, m->scores[j->order ? j->visits[i].index : i]);
	return b;
}

static double bet_above(double mean, const void *arg)
{
	struct stats_bet b = bet_on(mean, arg);

	return stats_bet_p_above(&b);
}

static double bet_below(double mean, const void *arg)
{
	struct stats_bet b = bet_on(mean, arg);

	return stats_bet_p_below(&b);
}

/* Where p crosses the level: falling: p of "at least", which falls in the mean. To a thousandth; on the safe side. */
static double bet_bound(double (*p)(double mean, const void *arg), const struct judge *j, bool rising)
{
	double lo = 0, hi = 1;

	for (int i = 0; i < 12; i++) {
		double mid = (lo + hi) / 2;

		if ((p(mid, j) <= 1 - j->confidence) == rising)
			lo = mid;
		else
			hi = mid;
	}
	return rising ? lo : hi;
}

/* How many would decide if the scores went on as they are: the bets are laid again and again. */
static double bet_samples(const struct judge *j, double limit)
{
	const struct metric *m = j->pair->cm;
	struct stats_bet b = bet_on(limit, j);
	size_t n = j->pair->ct->n;

	if (fabs(m->value - limit) < 1e-9)
		return INFINITY;
	while (b.n < n + BETS_MAX && fmin(stats_bet_p_above(&b), stats_bet_p_below(&b)) > 1 - j->confidence)
		stats_bet_add(&b, m->scores[b.n % n]);
	return b.n < n + BETS_MAX ? (double)b.n : INFINITY;
}

/* The value alone: .lo and .hi bound it, p_pass is of "it is on the wrong side". */
static void value_find(struct finding *f, const struct judge *j, double limit)
{
	const struct metric *m = j->pair->cm;
	size_t n = j->pair->ct->n;
	bool min = j->kind == LIMIT_MIN, mean = m->aggregate == AGGREGATE_MEAN,
	     count = m->binary && mean && !m->weights;
	double least, range = scores_range(j, m, m->scores, n, &least), most = least + range;
	double alpha = 1 - j->confidence, sign = min ? 1 : -1, at, flip;
	struct series s = { .n = n, .w = copy_weights(m->weights, n) };
	struct stats_ratio r;

	if (aggregate_is_corpus(m->aggregate)) {
		free(s.w);
		value_corpus(f, j, limit);
		return;
	}
	if (range > 0 && (min ? limit <= least : limit >= most)) { /* no score is on the wrong side */
		free(s.w);
		*f = (struct finding){ .lo = least,
				       .hi = most,
				       .p_pass = 0,
				       .p_fail = 1,
				       .samples = NAN,
				       .method = "range of the score" };
		return;
	}
	if (!j->clustered && (count || (least == 0 && range == 1 && !m->weights && limit > 0 && limit < 1))) {
		size_t right = count ? (size_t)(stats_sum(m->scores, n) + 0.5) : 0;
		double above = count ? stats_binomial_upper(n, right, limit) : bet_above(limit, j),
		       below = count ? stats_binomial_lower(n, right, limit) : bet_below(limit, j);

		free(s.w);
		*f = (struct finding){ .p_pass = min ? above : below,
				       .p_fail = min ? below : above,
				       .method = count ? "exact binomial" : "betting",
				       .assumes = count ? "independent samples"
							: "independent samples in an order that knows no scores" };
		if (count)
			stats_clopper_pearson(right, n, j->confidence, &f->lo, &f->hi);
		f->lo = count ? f->lo : bet_bound(bet_above, j, true);
		f->hi = count ? f->hi : bet_bound(bet_below, j, false);
		f->samples = count ? stats_binomial_samples(n, right, limit, alpha) : bet_samples(j, limit);
		return;
	}
	s.x = metric_terms(m->aggregate, m->scores, m->weights, n);
	stats_ratio(&r, s.x, m->weights, n);
	at = mean ? limit : m->aggregate == AGGREGATE_BITS ? -limit * M_LN2 : -log(limit);
	flip = mean ? sign : -sign; /* of the series, against the metric's */
	for (size_t i = 0; i < n; i++)
		s.x[i] *= flip;
	s.margin = flip * (r.ratio - at);
	s.range = range;
	s.allowed = range > 0 ? (min ? limit - least : most - limit) : 0;
	s.scale = fabs(r.ratio) > 0 ? fabs(r.ratio) : 1;
	series_judge(f, &s, j, m->name);
	/* lo and hi are of flip × (at - ratio): back to the ratio, then to the value */
	r.ratio = flip > 0 ? at - f->hi : at + f->lo;
	f->hi = flip > 0 ? at - f->lo : at + f->hi;
	f->lo = r.ratio;
	if (!mean) {
		double low = f->lo;

		f->lo = m->aggregate == AGGREGATE_BITS ? -f->hi / M_LN2 : exp(-f->hi);
		f->hi = m->aggregate == AGGREGATE_BITS ? -low / M_LN2 : exp(-low);
	}
}

/* ---- verdict ----------------------------------------------------------------------------------------------------- */

enum verdict finding_verdict(const struct finding *f, double alpha)
{
	if (f->refused)
		return VERDICT_INCONCLUSIVE;
	return f->p_pass <= alpha ? VERDICT_PASS : f->p_fail <= alpha ? VERDICT_FAIL : VERDICT_INCONCLUSIVE;
}

/* The bounds say what the tests said, to the last digit: a bound is found by bisection, or is an approximation. */
static void finding_align(struct finding *f, double limit, double alpha)
{
	f->hi = f->p_pass <= alpha ? fmin(f->hi, limit) : fmax(f->hi, nextafter(limit, INFINITY));
	f->lo = f->p_fail <= alpha ? fmax(f->lo, limit) : fmin(f->lo, nextafter(limit, -INFINITY));
}

static void row_decide(struct gate_result_rule *row, const struct finding *f, const struct judge *j)
{
	row->method = f->method;
	row->clusters = f->clusters;
	row->p = f->refused || f->bounds ? NAN : f->p_pass;
	row->verdict = finding_verdict(f, 1 - j->confidence);
	if (row->verdict == VERDICT_PASS && j->pair->ct->n < j->pair->ct->n_total)
		row->verdict = VERDICT_INCONCLUSIVE; /* cut short: the samples that came first are no random ones */
}

/* Bets along the way had a part of the level, the final test the rest: p of the two together. */
static void finding_bet(struct finding *f, const struct judge *j, double limit, bool relative)
{
	double pass, fail, level = gate_population_bets(j, limit, relative, &pass, &fail), alpha = 1 - j->confidence;

	if (!(level > 0))
		return;
	f->p_pass = fmin(1, fmin(pass * alpha / level, f->p_pass * alpha / (alpha - level)));
	f->p_fail = fmin(1, fmin(fail * alpha / level, f->p_fail * alpha / (alpha - level)));
}

/* The same question with what the bets leave of the level. */
static struct judge final_judge(const struct judge *j, bool relative, bool value_is_bet)
{
	struct judge last = *j;

	last.confidence += value_is_bet ? 0 : gate_bets_level(j, relative);
	return last;
}

void gate_population_change(struct gate_result_rule *row, const struct judge *j, double limit, bool relative)
{
	const struct pairing *p = j->pair;
	const struct judge last = final_judge(j, relative, false);
	bool harm_rises = p->cm->aggregate == AGGREGATE_PERPLEXITY || p->cm->aggregate == AGGREGATE_BITS ||
			  !p->cm->higher_is_better;
	double size = relative ? fabs(p->value_b) : 1;
	struct finding f;

	change_find(&f, &last, limit, relative);
	finding_bet(&f, j, limit, relative);
	if (!f.refused) {
		finding_align(&f, limit, 1 - j->confidence);
		row->lo = (harm_rises ? f.lo : -f.hi) * size;
		row->hi = (harm_rises ? f.hi : -f.lo) * size;
	}
	row_decide(row, &f, j);
	finding_explain(row, &f, j, limit, relative);
	free(f.refused);
}

void gate_population_value(struct gate_result_rule *row, const struct judge *j, double limit)
{
	const struct metric *m = j->pair->cm;
	bool by_bets = !m->binary && !m->weights && !j->clustered && metric_range(m->name) == 1;
	const struct judge last = final_judge(j, false, by_bets);
	struct finding f;

	value_find(&f, &last, limit);
	if (!by_bets)
		finding_bet(&f, j, limit, false);
	if (!f.refused) {
		row->lo = f.lo;
		row->hi = f.hi;
	}
	row_decide(row, &f, j);
	finding_explain(row, &f, j, limit, false);
	free(f.refused);
}
