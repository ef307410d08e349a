/* corpus.c: metrics whose value is made of the whole corpus and is no mean of scores: BLEU, chrF, TER, F1, MCC.
 *
 * Every sample keeps a few numbers, its parts; the value is a function of their sums. So a value can be computed again from
 * the stored samples, on any part of them, and drawn again thousands of times without reading a text twice.
 *
 *	bleu   10 parts   lengths, matches, totals (bleu.c)
 *	chrf   3 an order n-grams of both sides, matches (chrf.c)
 *	ter    2          edits, length (ter.c)
 *	f1     2 labels   right and predicted, 0 or 1: 2 TP / (2 TP + FP + FN)
 *	mcc    2 labels   right and predicted, -1 (no choice) to 30: Matthews' coefficient for any number of classes
 *	members  3 + …    of a group: which member, its weight, its aggregate; then the member's own parts, or score and
 *	                  weight of a perplexity. The mean of the members' values, each made of its own samples; weight 0:
 *	                  the member has no such metric
 *
 * Labels are summed as counts. A denominator of 0 gives 0, as in scikit-learn.
 *
 * Standard error: the jackknife, sqrt((n-1)/n sum (v_i - mean)^2) over the values with one sample left out. It needs no
 * random numbers and is the same whenever it is computed. Bounds: the percentile bootstrap, the same 1000 draws for every
 * pair of runs with as many samples; both runs are drawn together, so that what is hard for both cancels. It is
 * approximate: with fewer than some 200 samples nothing is promised. */
#include "base/base.h"

#include <math.h>

#include "evals/mt_int.h"

enum { DRAWS = 1000, CLASSES = 32, BLEU_PARTS = 10, CHRF_PARTS_MAX = 24 };
enum { SUMS_MAX = 2 + 2 * CLASSES };
enum { MEMBER, MEMBER_WEIGHT, MEMBER_AGGREGATE, MEMBER_PARTS, MEMBERS_MAX = 20000 };

bool aggregate_is_corpus(enum aggregate a)
{
	return a >= AGGREGATE_BLEU;
}

int corpus_parts_check(enum aggregate a, size_t n)
{
	bool fits = a == AGGREGATE_BLEU      ? n == BLEU_PARTS
		    : a == AGGREGATE_CHRF    ? n >= 3 && n <= CHRF_PARTS_MAX && n % 3 == 0
		    : a == AGGREGATE_MEMBERS ? n >= MEMBER_PARTS + 2 && n <= MEMBER_PARTS + CHRF_PARTS_MAX
					     : n == 2;

	return fits ? 0 : err_set(ERR_INPUT, "%s is not made of %zu parts", aggregate_name(a), n);
}

static bool is_ratio(enum aggregate a)
{
	return a == AGGREGATE_PERPLEXITY || a == AGGREGATE_BITS;
}

static int member_row_check(const double *row, size_t n)
{
	enum aggregate a = AGGREGATE_MEMBERS;
	const double *own = row + MEMBER_PARTS;

	for (int i = 0; i < AGGREGATE_MEMBERS; i++)
		if (row[MEMBER_AGGREGATE] == i && i != AGGREGATE_MEAN)
			a = (enum aggregate)i;
	if (!(row[MEMBER] >= 0 && row[MEMBER] < MEMBERS_MAX && row[MEMBER] == floor(row[MEMBER])) ||
	    !(row[MEMBER_WEIGHT] >= 0 && row[MEMBER_WEIGHT] < 0x1p60) ||
	    (row[MEMBER_WEIGHT] > 0 && a == AGGREGATE_MEMBERS))
		return err_set(ERR_INPUT, "a sample of a group is of no member");
	if (!(row[MEMBER_WEIGHT] > 0))
		return 0;
	if (is_ratio(a))
		return n == MEMBER_PARTS + 2 && isfinite(own[0]) && own[1] > 0 && own[1] < 0x1p60
			       ? 0
			       : err_set(ERR_INPUT, "a sample of a group has no log-likelihood and weight");
	return corpus_parts_check(a, n - MEMBER_PARTS) ? ERR_INPUT : corpus_row_check(a, own, n - MEMBER_PARTS);
}

int corpus_row_check(enum aggregate a, const double *row, size_t n)
{
	bool labels = a == AGGREGATE_F1 || a == AGGREGATE_MCC;
	double least = a == AGGREGATE_MCC ? -1 : 0, most = a == AGGREGATE_F1    ? 1
							   : a == AGGREGATE_MCC ? CLASSES - 2
										: 0x1p40;

	if (a == AGGREGATE_MEMBERS)
		return member_row_check(row, n);
	for (size_t i = 0; i < n; i++) {
		if (row[i] >= least && row[i] <= most && (!labels || row[i] == floor(row[i])))
			continue;
		if (labels)
			return err_set(ERR_INPUT, "%s goes by the labels %g to %g, and one is %g", aggregate_name(a),
				       least, most, row[i]);
		return err_set(ERR_INPUT, "a count of %s is %g", aggregate_name(a), row[i]);
	}
	return 0;
}

/* ---- sums and value ---------------------------------------------------------------------------------------------- */

/* mcc: samples, right ones, then per class how often it is right, how often predicted. Of a group one block for each member: the
 * sums of its own parts, then how many samples it has, its weight, its aggregate. */
enum { BLOCK_N = SUMS_MAX, BLOCK_WEIGHT, BLOCK_AGGREGATE, BLOCK };
struct sums {
	double *of;
	size_t n;
};

static struct sums sums_new(const struct metric *m, size_t n)
{
	struct sums s = { .n = SUMS_MAX };

	if (m->aggregate == AGGREGATE_MEMBERS) {
		size_t members = 0;

		for (size_t i = 0; i < n; i++) {
			size_t member = (size_t)m->parts[i * m->n_parts + MEMBER];

			members = member < members ? members : member + 1;
		}
		s.n = members * BLOCK;
	}
	s.of = mem_array(s.n, sizeof(double));
	return s;
}

static void parts_sum(double *of, enum aggregate a, const double *row, size_t n, double times)
{
	if (a == AGGREGATE_F1) {
		of[0] += times * (row[0] == 1 && row[1] == 1);
		of[1] += times * ((row[0] == 1) != (row[1] == 1));
	} else if (a == AGGREGATE_MCC) {
		of[0] += times;
		of[1] += times * (row[0] == row[1]);
		of[2 + (int)row[0] + 1] += times;
		of[2 + CLASSES + (int)row[1] + 1] += times;
	} else {
		for (size_t i = 0; i < n; i++)
			of[i] += times * row[i];
	}
}

static void sums_add(struct sums *s, const struct metric *m, size_t sample, double times)
{
	const double *row = m->parts + sample * m->n_parts;
	double *block;

	if (m->aggregate != AGGREGATE_MEMBERS) {
		parts_sum(s->of, m->aggregate, row, m->n_parts, times);
		return;
	}
	if (!(row[MEMBER_WEIGHT] > 0))
		return;
	block = s->of + (size_t)row[MEMBER] * BLOCK;
	block[BLOCK_N] += times;
	block[BLOCK_WEIGHT] = row[MEMBER_WEIGHT];
	block[BLOCK_AGGREGATE] = row[MEMBER_AGGREGATE];
	parts_sum(block, (enum aggregate)row[MEMBER_AGGREGATE], row + MEMBER_PARTS, m->n_parts - MEMBER_PARTS, times);
}

static double value_f1(const double *of)
{
	double all = 2 * of[0] + of[1];

	return all > 0 ? 2 * of[0] / all : 0;
}

static double value_mcc(const double *of)
{
	double n = of[0], both = of[1] * n, right = n * n, said = n * n;

	for (int i = 0; i < CLASSES; i++) {
		double t = of[2 + i], p = of[2 + CLASSES + i];

		both -= t * p;
		right -= t * t;
		said -= p * p;
	}
	return right * said > 0 ? both / sqrt(right * said) : 0;
}

static double value_own(enum aggregate a, const double *of, size_t n_parts)
{
	switch (a) {
	case AGGREGATE_BLEU:
		return bleu_value(of);
	case AGGREGATE_CHRF:
		return chrf_value(of, n_parts);
	case AGGREGATE_TER:
		return ter_value(of);
	case AGGREGATE_F1:
		return value_f1(of);
	case AGGREGATE_MCC:
		return value_mcc(of);
	case AGGREGATE_PERPLEXITY:
		return exp(-of[0] / of[1]);
	case AGGREGATE_BITS:
		return -of[0] / of[1] / M_LN2;
	default:
		return NAN;
	}
}

static double value_block(const double *block, const struct metric *m)
{
	return value_own((enum aggregate)block[BLOCK_AGGREGATE], block, m->n_parts - MEMBER_PARTS);
}

/* Of a group: the sums over the members that have a sample, of which the value is the ratio. */
static double members_sum(const struct metric *m, const struct sums *s, double *weights)
{
	double sum = 0;

	*weights = 0;
	for (const double *block = s->of; block < s->of + s->n; block += BLOCK) {
		if (!(block[BLOCK_N] > 0))
			continue;
		sum += block[BLOCK_WEIGHT] * value_block(block, m);
		*weights += block[BLOCK_WEIGHT];
	}
	return sum;
}

static double value_of(const struct metric *m, const struct sums *s)
{
	double weights;

	if (m->aggregate != AGGREGATE_MEMBERS)
		return value_own(m->aggregate, s->of, m->n_parts);
	return members_sum(m, s, &weights) / weights; /* none: NaN */
}

/* The value without sample i. rest: as long as all; written over. */
static double value_without(const struct metric *m, const struct sums *all, struct sums *rest, size_t i)
{
	memcpy(rest->of, all->of, all->n * sizeof(double));
	sums_add(rest, m, i, -1);
	return value_of(m, rest);
}

/* Of a group: only the sample's own member changes. sum, weights: of members_sum(). */
static double member_without(const struct metric *m, const struct sums *all, size_t i, double sum, double weights)
{
	const double *row = m->parts + i * m->n_parts, *block = all->of + (size_t)row[MEMBER] * BLOCK;
	double own[BLOCK], weight = row[MEMBER_WEIGHT];

	if (!(weight > 0))
		return sum / weights;
	sum -= weight * value_block(block, m);
	memcpy(own, block, sizeof(own));
	parts_sum(own, (enum aggregate)row[MEMBER_AGGREGATE], row + MEMBER_PARTS, m->n_parts - MEMBER_PARTS, -1);
	if (!(block[BLOCK_N] > 1))
		return sum / (weights - weight);
	return (sum + weight * value_block(own, m)) / weights;
}

void corpus_close(struct metric *m, size_t n)
{
	struct sums all = sums_new(m, n), rest = sums_new(m, n);
	double *v = mem_array(n, sizeof(*v)), mean = 0, square = 0, sum = 0, weights = 0;
	bool group = m->aggregate == AGGREGATE_MEMBERS;

	for (size_t i = 0; i < n; i++)
		sums_add(&all, m, i, 1);
	m->value = value_of(m, &all);
	if (group)
		sum = members_sum(m, &all, &weights);
	for (size_t i = 0; i < n; i++) {
		v[i] = group ? member_without(m, &all, i, sum, weights) : value_without(m, &all, &rest, i);
		mean += v[i] / (double)n;
	}
	for (size_t i = 0; i < n; i++)
		square += (v[i] - mean) * (v[i] - mean);
	free(v);
	free(all.of);
	free(rest.of);
	m->stderr_ = n > 1 ? sqrt((double)(n - 1) / (double)n * square) : NAN;
}

/* ---- bootstrap --------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void corpus_draw(struct corpus_draws *out, const struct metric *m, const struct metric *minus, size_t n)
{
	struct sums a = sums_new(m, n), b = minus ? sums_new(minus, n) : (struct sums){ 0 };
	struct rng rng;

	rng_seed(&rng, 12345, n);
	out->n = DRAWS;
	out->values = mem_array(DRAWS, sizeof(*out->values));
	for (size_t d = 0; d < DRAWS; d++) {
		memset(a.of, 0, a.n * sizeof(double));
		if (minus)
			memset(b.of, 0, b.n * sizeof(double));
		for (size_t i = 0; i < n; i++) {
			size_t sample = (size_t)rng_below(&rng, n);

			sums_add(&a, m, sample, 1);
			if (minus)
				sums_add(&b, minus, sample, 1);
		}
		out->values[d] = value_of(m, &a) - (minus ? value_of(minus, &b) : 0);
	}
	free(a.of);
	free(b.of);
	qsort(out->values, DRAWS, sizeof(*out->values), by_size);
}

void corpus_bounds(const struct corpus_draws *d, double confidence, double *lo, double *hi)
{
	size_t beyond = (size_t)((1 - confidence) * (double)(d->n + 1));

	beyond = beyond ? beyond : 1;
	*lo = d->values[beyond - 1];
	*hi = d->values[d->n - beyond];
}

void corpus_draws_release(struct corpus_draws *d)
{
	free(d->values);
	*d = (struct corpus_draws){ 0 };
}
