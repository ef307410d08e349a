/* cpu_loss.c: log-probabilities of targets, and the gradient of the cross entropy.
 *
 * Both find the row's largest logit, then sum e^(logit - largest) in double over eight lanes (element i in lane i % 8)
 * that are added in one fixed tree. logprob takes the exponentials in double as well: its results are scores, summed
 * over many tokens and compared between models. The gradient takes them in float, eight at a time. Threads divide rows;
 * a row is never divided. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/vmath.h"
#include "kernels/vmath_int.h"

enum { LANES = 8 };

static float row_top(const float *x, int n)
{
	v8f top = v8f_all(x[0]);
	int i = 0;
	for (; i + LANES <= n; i += LANES)
		top = v8f_max(top, v8f_load(x + i));
	float m = v8f_top(top);
	for (; i < n; i++)
		m = x[i] > m ? x[i] : m;
	return m;
}

static int row_first(const float *x, int n, float value)
{
	for (int i = 0; i < n; i++)
		if (x[i] == value)
			return i;
	return 0; /* NaN everywhere */
}

static double row_sum_exp(const float *x, int n, float top)
{
	const v4d m = v4d_all((double)top), none = v4d_all(0);
	v4d a = none, b = none;
	int i = 0;
	for (; i + LANES <= n; i += LANES) {
		a += v4d_exp(v4d_load(x + i) - m, none);
		b += v4d_exp(v4d_load(x + i + 4) - m, none);
	}
	if (i < n) { /* lanes beyond the end add e^-inf, which is 0 */
		float t[LANES];
		v8f_store(t, v8f_load_part(x + i, n - i, -__builtin_inff()));
		a += v4d_exp(v4d_load(t) - m, none);
		b += v4d_exp(v4d_load(t + 4) - m, none);
	}
	return v4d_sum(a, b);
}

/* The targets of one row share its sum, so that it is taken once. */
static void row_logprob(double *logprob, int32_t *argmax, const float *x, const int32_t *target, int n, int V)
{
	float top = row_top(x, V);
	int32_t best = argmax ? row_first(x, V, top) : 0;
	double log_sum = 0;
	bool known = false;

	for (int i = 0; i < n; i++) {
		if (argmax)
			argmax[i] = best;
		logprob[i] = 0;
		if (target[i] < 0)
			continue;
		if (!known)
			log_sum = (double)top + vm_log(row_sum_exp(x, V, top));
		known = true;
		logprob[i] = (double)x[target[i]] - log_sum;
	}
}

void cpu_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *logits, const int32_t *first,
		 const int32_t *target, int T, int V)
{
	int threads = cpu_threads(be, (size_t)T * (size_t)V * 2);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
	for (int t = 0; t < T; t++) {
		int at = first ? first[t] : t, n = first ? first[t + 1] - at : 1;
		row_logprob(logprob + at, argmax ? argmax + at : NULL, logits + (size_t)t * (size_t)V, target + at, n,
			    V);
	}
}

static void row_xent_back(float *x, int target, int V, float scale)
{
	const v8f top = v8f_all(row_top(x, V));
	v4d a = v4d_all(0), b = v4d_all(0);
	int i = 0;
	for (; i + LANES <= V; i += LANES) {
		v8f_store(x + i, v8f_exp(v8f_load(x + i) - top));
		a += v4d_load(x + i);
		b += v4d_load(x + i + 4);
	}
	if (i < V) {
		float t[LANES];
		v8f e = v8f_exp(v8f_load_part(x + i, V - i, -__builtin_inff()) - top);
		v8f_store_part(x + i, V - i, e);
		v8f_store(t, e);
		a += v4d_load(t);
		b += v4d_load(t + 4);
	}
	double sum = v4d_sum(a, b);
	/* 1 - p of the target without cancellation where p is near 1 would need the sum of the others; float logits
	 * do not carry that much */
	float k = (float)((double)scale / sum);
	float at_target = (float)((double)scale * ((double)x[target] / sum - 1.0));
#pragma omp simd
	for (int j = 0; j < V; j++)
		x[j] *= k;
	x[target] = at_target;
}

void cpu_xent_back(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V)
{
	int threads = cpu_threads(be, (size_t)T * (size_t)V);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
	for (int t = 0; t < T; t++) {
		float *x = logits + (size_t)t * (size_t)V;
		if (target[t] < 0)
			memset(x, 0, (size_t)V * sizeof(float));
		else
			row_xent_back(x, target[t], V, scale[t]);
	}
}
