/* corpus.c: metrics whose value is made of the whole corpus and is no mean of scores: BLEU, chrF, TER, F1, MCC.
 *
 * Every sample keeps a few numbers, its parts; the value is a function of their sums. So a value can be computed again from
 * the stored samples, on any part of them, and drawn again thousands of times without reading a text twice.
 *
 *	bleu   10 parts   lengths, matches, totals (bleu.c)
 *	chrf   3 an order n-grams of both sides, matches (chrf.c)
 *	ter    2          edits, length (ter.c)
 *	f1     2 labels   right and predicted, 0 or 1: 2 TP / (2 TP + FP + FN)
 *	mcc    2 labels   right and predicted, -15 to 30 or GOLD_NONE (-100), each a class: Matthews' coefficient for any number
 *	                  of them. A right label below 0 is no choice, but a class of its own, as in the harness
 *	members  3 + …    of a group: which member, its weight, its aggregate; then the member's own parts, or score and
 *	                  weight of a perplexity. The mean of the members' values, each made of its own samples; weight 0:
 *	                  the member has no such metric
 *
 * Labels are summed as counts. A denominator of 0 gives 0, as in scikit-learn.
 *
 * Standard error: the standard deviation of the value over bootstrap draws. Bounds: the percentile bootstrap, the same 1000
 * draws for every pair of runs with as many samples; both runs are drawn together, so that what is hard for both cancels. It
 * is approximate: with fewer than some 200 samples nothing is promised. The draws depend on the number of samples and on
 * nothing else, so whenever a number is computed again it is the same. (The jackknife would need no draws, but where one
 * sample holds most of the matches, as in a BLEU near 0, it gives twice the error.) */
#include "base/base.h"

#include <math.h>

#include "evals/mt_int.h"

/* Beyond LOTS_FROM samples, what is drawn for an error are LOTS sums of samples, so that it costs the same for any number. The
 * error of the error is some 1/sqrt(2 draws) and 1/sqrt(2 lots), together 3 %. */
enum { DRAWS = 1000, LOTS = 2048, LOTS_FROM = 4 * LOTS };
enum { LABEL_LEAST = -15, LABEL_MOST = 30, CLASSES = LABEL_MOST - LABEL_LEAST + 2 };
enum { BLEU_PARTS = 10, CHRF_PARTS_MAX = 24 };
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
	double least = a == AGGREGATE_MCC ? LABEL_LEAST : 0, most = a == AGGREGATE_F1    ? 1
								    : a == AGGREGATE_MCC ? LABEL_MOST
											 : 0x1p40;

	if (a == AGGREGATE_MEMBERS)
		return member_row_check(row, n);
	for (size_t i = 0; i < n; i++) {
		if (row[i] >= least && row[i] <= most && (!labels || row[i] == floor(row[i])))
			continue;
		if (a == AGGREGATE_MCC && row[i] == GOLD_NONE)
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

static int class_of(double label)
{
	return label == GOLD_NONE ? 0 : (int)label - LABEL_LEAST + 1;
}

static void parts_sum(double *of, enum aggregate a, const double *row, size_t n)
{
	if (a == AGGREGATE_F1) {
		of[0] += row[0] == 1 && row[1] == 1;
		of[1] += (row[0] == 1) != (row[1] == 1);
	} else if (a == AGGREGATE_MCC) {
		of[0]++;
		of[1] += row[0] == row[1];
		of[2 + class_of(row[0])]++;
		of[2 + CLASSES + class_of(row[1])]++;
	} else {
		for (size_t i = 0; i < n; i++)
			of[i] += row[i];
	}
}

/* of: the sums; of a group the member's block. */
static void row_sum(double *of, const struct metric *m, const double *row)
{
	if (m->aggregate != AGGREGATE_MEMBERS) {
		parts_sum(of, m->aggregate, row, m->n_parts);
	} else if (row[MEMBER_WEIGHT] > 0) {
		of[BLOCK_N]++;
		of[BLOCK_WEIGHT] = row[MEMBER_WEIGHT];
		of[BLOCK_AGGREGATE] = row[MEMBER_AGGREGATE];
		parts_sum(of, (enum aggregate)row[MEMBER_AGGREGATE], row + MEMBER_PARTS, m->n_parts - MEMBER_PARTS);
	}
}

static size_t member_of(const struct metric *m, const double *row)
{
	return m->aggregate == AGGREGATE_MEMBERS ? (size_t)row[MEMBER] : 0;
}

static void sums_add(struct sums *s, const struct metric *m, size_t sample)
{
	const double *row = m->parts + sample * m->n_parts;

	row_sum(s->of + member_of(m, row) * BLOCK, m, row);
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

/* Of a group: over the members that have a sample. */
static double value_members(const struct metric *m, const struct sums *s)
{
	double sum = 0, weights = 0;

	for (const double *block = s->of; block < s->of + s->n; block += BLOCK) {
		if (!(block[BLOCK_N] > 0))
			continue;
		sum += block[BLOCK_WEIGHT] *
		       value_own((enum aggregate)block[BLOCK_AGGREGATE], block, m->n_parts - MEMBER_PARTS);
		weights += block[BLOCK_WEIGHT];
	}
	return sum / weights; /* none: NaN */
}

static double value_of(const struct metric *m, const struct sums *s)
{
	return m->aggregate == AGGREGATE_MEMBERS ? value_members(m, s) : value_own(m->aggregate, s->of, m->n_parts);
}

/* ---- bootstrap --------------------------------------------------------------------------------------------------- */

/* Values of m, or of m - minus on the same samples, in the order of the draws. */
static void draw(double *values, const struct metric *m, const struct metric *minus, size_t n)
{
	struct sums a = sums_new(m, n), b = minus ? sums_new(minus, n) : (struct sums){ 0 };
	struct rng rng;

	rng_seed(&rng, 12345, n);
	for (size_t d = 0; d < DRAWS; d++) {
		memset(a.of, 0, a.n * sizeof(double));
		if (minus)
			memset(b.of, 0, b.n * sizeof(double));
		for (size_t i = 0; i < n; i++) {
			size_t sample = (size_t)rng_below(&rng, n);

			sums_add(&a, m, sample);
			if (minus)
				sums_add(&b, minus, sample);
		}
		values[d] = value_of(m, &a) - (minus ? value_of(minus, &b) : 0);
	}
	free(a.of);
	free(b.of);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* Samples of a member, summed: which ones is drawn, for a pattern in their order must not meet a pattern in the lots. All values
 * are the same for sums that are multiples of each other, so that lots may differ in size. */
struct lots {
	double *of; /* n of them, each width long */
	size_t *member, n, width;
};

static void lots_init(struct lots *l, const struct metric *m, const struct sums *all, size_t n)
{
	bool group = m->aggregate == AGGREGATE_MEMBERS;
	size_t members = group ? all->n / BLOCK : 1, each = members < LOTS ? LOTS / members : 1;
	size_t *seen = mem_array(members, sizeof(*seen)), *lot = mem_array(mem_mul(members, each), sizeof(*lot));
	struct rng rng;

	rng_seed(&rng, 54321, n);
	l->width = group ? BLOCK : m->aggregate == AGGREGATE_MCC ? SUMS_MAX : m->n_parts;
	l->of = mem_array(mem_mul(members, each), l->width * sizeof(*l->of));
	l->member = mem_array(mem_mul(members, each), sizeof(*l->member));
	l->n = 0;
	for (size_t i = 0; i < n; i++) {
		const double *row = m->parts + i * m->n_parts;
		size_t member = member_of(m, row), at = member * each;

		at += seen[member] < each ? seen[member] : (size_t)rng_below(&rng, each);
		if (seen[member]++ < each) {
			l->member[l->n] = member;
			lot[at] = l->n++;
		}
		row_sum(l->of + lot[at] * l->width, m, row);
	}
	free(seen);
	free(lot);
}

static void lot_add(struct sums *s, const struct lots *l, size_t lot)
{
	const double *from = l->of + lot * l->width;
	double *to = s->of + l->member[lot] * BLOCK;
	bool group = l->width == BLOCK;

	for (size_t i = 0; i < (group ? BLOCK_WEIGHT : l->width); i++)
		to[i] += from[i];
	if (group && from[BLOCK_N] > 0) {
		to[BLOCK_WEIGHT] = from[BLOCK_WEIGHT];
		to[BLOCK_AGGREGATE] = from[BLOCK_AGGREGATE];
	}
}

static void draw_lots(double *values, const struct metric *m, const struct sums *all, size_t n)
{
	struct sums s = sums_new(m, n);
	struct lots lots;
	struct rng rng;

	lots_init(&lots, m, all, n);
	rng_seed(&rng, 12345, n);
	for (size_t d = 0; d < DRAWS; d++) {
		memset(s.of, 0, s.n * sizeof(double));
		for (size_t i = 0; i < lots.n; i++)
			lot_add(&s, &lots, (size_t)rng_below(&rng, lots.n));
		values[d] = value_of(m, &s);
	}
	free(s.of);
	free(lots.of);
	free(lots.member);
}

/* A group's draw may hold no sample that has the metric: it has no value, and does not count. */
static double drawn_error(const struct metric *m, const struct sums *all, size_t n)
{
	double *values = mem_array(DRAWS, sizeof(*values)), mean = 0, square = 0;
	size_t some = 0;

	if (n > LOTS_FROM)
		draw_lots(values, m, all, n);
	else
		draw(values, m, NULL, n);
	for (size_t d = 0; d < DRAWS; d++)
		if (!isnan(values[d])) {
			values[some++] = values[d];
			mean += values[d];
		}
	mean /= (double)some;
	for (size_t d = 0; d < some; d++)
		square += (values[d] - mean) * (values[d] - mean);
	free(values);
	return some > 1 ? sqrt(square / (double)(some - 1)) : NAN;
}

void corpus_close(struct metric *m, size_t n)
{
	struct sums all = sums_new(m, n);

	for (size_t i = 0; i < n; i++)
		sums_add(&all, m, i);
	m->value = value_of(m, &all);
	m->stderr_ = n > 1 ? drawn_error(m, &all, n) : NAN;
	free(all.of);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void corpus_draw(struct corpus_draws *out, const struct metric *m, const struct metric *minus, size_t n)
{
	out->n = DRAWS;
	out->values = mem_array(DRAWS, sizeof(*out->values));
	draw(out->values, m, minus, n);
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
