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

bool aggregate_is_corpus(enum aggregate a)
{
	return a >= AGGREGATE_BLEU;
}

int corpus_parts_check(enum aggregate a, size_t n)
{
	bool fits = a == AGGREGATE_BLEU   ? n == BLEU_PARTS
		    : a == AGGREGATE_CHRF ? n >= 3 && n <= CHRF_PARTS_MAX && n % 3 == 0
					  : n == 2;

	return fits ? 0 : err_set(ERR_INPUT, "%s is not made of %zu parts", aggregate_name(a), n);
}

int corpus_row_check(enum aggregate a, const double *row, size_t n)
{
	bool labels = a == AGGREGATE_F1 || a == AGGREGATE_MCC;
	double least = a == AGGREGATE_MCC ? -1 : 0, most = a == AGGREGATE_F1    ? 1
							   : a == AGGREGATE_MCC ? CLASSES - 2
										: 0x1p40;

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

struct sums {
	double of[SUMS_MAX]; /* mcc: samples, right ones, then per class how often it is right, how often predicted */
};

static void sums_add(struct sums *s, const struct metric *m, size_t sample, double times)
{
	const double *row = m->parts + sample * m->n_parts;

	if (m->aggregate == AGGREGATE_F1) {
		s->of[0] += times * (row[0] == 1 && row[1] == 1);
		s->of[1] += times * ((row[0] == 1) != (row[1] == 1));
	} else if (m->aggregate == AGGREGATE_MCC) {
		s->of[0] += times;
		s->of[1] += times * (row[0] == row[1]);
		s->of[2 + (int)row[0] + 1] += times;
		s->of[2 + CLASSES + (int)row[1] + 1] += times;
	} else {
		for (size_t i = 0; i < m->n_parts; i++)
			s->of[i] += times * row[i];
	}
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

static double value_of(const struct metric *m, const struct sums *s)
{
	switch (m->aggregate) {
	case AGGREGATE_BLEU:
		return bleu_value(s->of);
	case AGGREGATE_CHRF:
		return chrf_value(s->of, m->n_parts);
	case AGGREGATE_TER:
		return ter_value(s->of);
	case AGGREGATE_F1:
		return value_f1(s->of);
	case AGGREGATE_MCC:
		return value_mcc(s->of);
	default:
		return NAN;
	}
}

void corpus_close(struct metric *m, size_t n)
{
	struct sums all = { { 0 } };
	double *v = mem_array(n, sizeof(*v)), mean = 0, square = 0;

	for (size_t i = 0; i < n; i++)
		sums_add(&all, m, i, 1);
	m->value = value_of(m, &all);
	for (size_t i = 0; i < n; i++) {
		struct sums rest = all;

		sums_add(&rest, m, i, -1);
		v[i] = value_of(m, &rest);
		mean += v[i] / (double)n;
	}
	for (size_t i = 0; i < n; i++)
		square += (v[i] - mean) * (v[i] - mean);
	free(v);
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
	struct rng rng;

	rng_seed(&rng, 12345, n);
	out->n = DRAWS;
	out->values = mem_array(DRAWS, sizeof(*out->values));
	for (size_t d = 0; d < DRAWS; d++) {
		struct sums a = { { 0 } }, b = { { 0 } };

		for (size_t i = 0; i < n; i++) {
			size_t sample = (size_t)rng_below(&rng, n);

			sums_add(&a, m, sample, 1);
			if (minus)
				sums_add(&b, minus, sample, 1);
		}
		out->values[d] = value_of(m, &a) - (minus ? value_of(minus, &b) : 0);
	}
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
