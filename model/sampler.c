/* sampler.c: draws a token from a row of logits.
 *
 * As transformers does it, and with it the harness: logits over the temperature, then the top_k largest, then the
 * smallest set of the largest whose probabilities sum up to top_p; what remains is drawn from in proportion. Tokens that
 * are equal to the last one of a set stay in it. Everything is in double and in the order of the ids; the exponential is
 * ours (vmath.h): the same logits and the same random number give the same token on every machine.
 *
 * A vocabulary is not sorted for that. The weights that can matter are few: a floor is lowered until what lies above
 * it is enough, and only these are sorted. */
#include "base/base.h"

#include "kernels/vmath.h"
#include "model/model_int.h"

void sampler_open(struct sampler *s, int vocab)
{
	*s = (struct sampler){ vocab, mem_array((size_t)vocab, sizeof(double)),
			       mem_array((size_t)vocab, sizeof(double)) };
}

void sampler_close(struct sampler *s)
{
	free(s->weights);
	free(s->sorted);
	*s = (struct sampler){ 0 };
}

/* e^((x - max) / temperature): the largest is 1. Gives their sum. */
static double weigh(double *weights, const float *logits, int n, double temperature)
{
	double max = (double)logits[0], sum = 0;

	for (int i = 1; i < n; i++)
		max = (double)logits[i] > max ? (double)logits[i] : max;
	for (int i = 0; i < n; i++)
		sum += weights[i] = vm_exp(((double)logits[i] - max) / temperature);
	return sum;
}

static int descending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x > *y ? -1 : *x < *y;
}

/* Sorts the largest weights into s->sorted: at least `count` of them, and of at least `mass`, if there are. */
static int sort_largest(struct sampler *s, int count, double mass)
{
	int n = 0;

	for (double floor = 0.25; n < s->vocab; floor *= 0.0625) {
		double sum = 0;
		floor = floor < 1e-300 ? 0 : floor;
		n = 0;
		for (int i = 0; i < s->vocab; i++)
			if (s->weights[i] >= floor) {
				s->sorted[n++] = s->weights[i];
				sum += s->weights[i];
			}
		if (n >= count && sum >= mass)
			break;
	}
	qsort(s->sorted, (size_t)n, sizeof(*s->sorted), descending);
	return n;
}

/* The smallest weight that may be drawn. */
static double cut(struct sampler *s, const struct generate_request *how, double sum)
{
	int k = how->top_k > 0 && how->top_k < s->vocab ? how->top_k : 0;
	double least = 0, before = 0;

	if (k) {
		sort_largest(s, k, 0);
		least = s->sorted[k - 1];
		sum = 0;
		for (int i = 0; i < s->vocab; i++)
			sum += s->weights[i] >= least ? s->weights[i] : 0;
	}
	if (!(how->top_p > 0) || how->top_p >= 1)
		return least;
	int n = sort_largest(s, 1, how->top_p * sum);
	double last = s->sorted[0];
	for (int i = 0; i < n && before < how->top_p * sum; i++) {
		last = s->sorted[i];
		before += last;
	}
	return last > least ? last : least;
}

int32_t sampler_draw(struct sampler *s, const float *logits, const struct generate_request *how, struct rng *r)
{
	double sum = weigh(s->weights, logits, s->vocab, how->temperature), at = 0;
	double least = cut(s, how, sum);
	int32_t last = 0;

	if (least > 0) {
		sum = 0;
		for (int i = 0; i < s->vocab; i++) {
			s->weights[i] = s->weights[i] >= least ? s->weights[i] : 0;
			sum += s->weights[i];
		}
	}
	double u = rng_uniform(r) * sum;
	for (int i = 0; i < s->vocab; i++) {
		if (!(s->weights[i] > 0))
			continue;
		at += s->weights[i];
		last = i;
		if (u < at)
			break;
	}
	return last;
}
