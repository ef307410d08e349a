/* cpu_optim.c: the optimizer step, and the sum of squares that clipping needs.
 *
 * adamw is elementwise, so threads divide it as they like. The bias corrections are computed once, in double.
 * sumsq: blocks of 4096 floats, eight double lanes in each; the sums of the blocks are added pairwise, neighbours first.
 * Blocks have a fixed size, so the tree is the same whatever the number of threads. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/vec_int.h"
#include "kernels/vmath.h"

enum { BLOCK = 4096, LANES = 8 };

/* The square of a float is exact in a double, so the multiply-add rounds as an addition would. */
static double block_sumsq(const float *x, size_t n)
{
	v4d s[2] = { v4d_all(0), v4d_all(0) };
	size_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (size_t half = 0; half < 2; half++) {
			v4d d = v4d_load(x + i + 4 * half);
			s[half] = v4d_fma(d, d, s[half]);
		}
	for (size_t l = 0; i < n; i++, l++)
		s[l / 4][l % 4] += (double)x[i] * (double)x[i];
	return v4d_sum(s[0], s[1]);
}

double cpu_sumsq(struct backend *be, const float *x, size_t n)
{
	size_t blocks = (n + BLOCK - 1) / BLOCK;
	int threads = cpu_threads(be, n / 4);
	double *sums = mem_array(blocks + 1, sizeof(*sums));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t b = 0; b < blocks; b++)
		sums[b] = block_sumsq(x + b * BLOCK, n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK);
	for (size_t left = blocks; left > 1; left = (left + 1) / 2)
		for (size_t i = 0; i < (left + 1) / 2; i++)
			sums[i] = 2 * i + 1 < left ? sums[2 * i] + sums[2 * i + 1] : sums[2 * i];
	double sum = sums[0];
	free(sums);
	return sum;
}

void cpu_adamw(struct backend *be, float *p, const float *grad, float *m, float *v, size_t n,
	       const struct kernels_adamw *how)
{
	double unbias1 = 1 - vm_pow((double)how->beta1, (double)how->step);
	double unbias2 = 1 - vm_pow((double)how->beta2, (double)how->step);
	const float b1 = how->beta1, b2 = how->beta2, c1 = 1 - b1, c2 = 1 - b2, scale = how->grad_scale, eps = how->eps;
	const float rate = (float)((double)how->lr / unbias1), root = (float)(1 / __builtin_sqrt(unbias2));
	const float keep = (float)(1 - (double)how->lr * (double)how->decay);
	int threads = cpu_threads(be, n);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (size_t b = 0; b < n; b += BLOCK) {
		size_t end = n - b < BLOCK ? n : b + BLOCK;
#pragma omp simd
		for (size_t i = b; i < end; i++) {
			float g = grad[i] * scale;
			m[i] = b1 * m[i] + c1 * g;
			v[i] = b2 * v[i] + c2 * (g * g);
			p[i] = p[i] * keep - rate * (m[i] / (__builtin_sqrtf(v[i]) * root + eps));
		}
	}
}
