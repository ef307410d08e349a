/* cuda_optim.cu: the optimizer step, and the sum of squares that clipping needs.
 *
 * adamw is bound by memory: it reads p, grad, m, v and writes p, m, v, 28 bytes a parameter, four parameters a thread. The
 * formulas are those of cpu_optim.c; the bias corrections are computed once, in double, on the host.
 *
 * sumsq: a block sums CHUNK floats in double, its threads each every 256th, and one more block adds the blocks' sums in the
 * same manner. The tree follows from n alone. */
#include "kernels/cuda_int.h"
#include "kernels/cuda_device.h"

enum { THREADS = 256, CHUNK = 16384 };

/* ---- sum of squares ----------------------------------------------------------------------------------------------------- */

static __global__ void sumsq_kernel(double *sums, const float *x, size_t n)
{
	SHARED(double, room, [THREADS / WARP]);
	size_t from = (size_t)blockIdx.x * CHUNK, end = n - from < CHUNK ? n : from + CHUNK;
	double s = 0;
	for (size_t i = from + threadIdx.x; i < end; i += THREADS)
		s = fma((double)x[i], (double)x[i], s);
	s = block_sum(s, room);
	if (threadIdx.x == 0)
		sums[blockIdx.x] = s;
}

static __global__ void add_sums_kernel(double *out, const double *sums, size_t n)
{
	SHARED(double, room, [THREADS / WARP]);
	double s = 0;
	for (size_t i = threadIdx.x; i < n; i += THREADS)
		s += sums[i];
	s = block_sum(s, room);
	if (threadIdx.x == 0)
		*out = s;
}

double cuda_sumsq(struct backend *be, const float *x, size_t n)
{
	size_t blocks = (n + CHUNK - 1) / CHUNK;
	double sum = 0;
	double *sums = (double *)cuda_scratch(be, (blocks + 1) * sizeof(double));
	if (!sums || !n)
		return 0;
	CUDA_LAUNCH(be, sumsq_kernel, dim3((unsigned)blocks), dim3(THREADS), 0, sums, x, n);
	CUDA_LAUNCH(be, add_sums_kernel, dim3(1), dim3(THREADS), 0, sums + blocks, sums, blocks);
	cuda_download(be, &sum, sums + blocks, sizeof(sum));
	cuda_deliver(be);
	return sum;
}

/* ---- AdamW ---------------------------------------------------------------------------------------------------------------- */

struct adamw {
	float b1, c1, b2, c2, scale, eps, rate, root, keep;
};

template <int W>
static __global__ void adamw_kernel(float *p, const float *grad, float *m, float *v, size_t n, adamw how)
{
	size_t i = ((size_t)blockIdx.x * THREADS + threadIdx.x) * W;
	if (i >= n)
		return;
	float g[W], a[W], b[W], q[W];
	load_floats<W>(g, grad + i, n - i);
	load_floats<W>(a, m + i, n - i);
	load_floats<W>(b, v + i, n - i);
	load_floats<W>(q, p + i, n - i);
	for (int k = 0; k < W; k++) {
		float d = g[k] * how.scale;
		a[k] = fmaf(how.b1, a[k], how.c1 * d);
		b[k] = fmaf(how.b2, b[k], how.c2 * (d * d));
		q[k] = q[k] * how.keep - how.rate * (a[k] / fmaf(sqrtf(b[k]), how.root, how.eps));
	}
	store_floats<W>(m + i, a, n - i);
	store_floats<W>(v + i, b, n - i);
	store_floats<W>(p + i, q, n - i);
}

/* b^n by squaring */
static double power(double b, int64_t n)
{
	double v = 1;
	for (; n > 0; n /= 2, b *= b)
		v = n % 2 ? v * b : v;
	return v;
}

void cuda_adamw(struct backend *be, float *p, const float *grad, float *m, float *v, size_t n,
		const struct kernels_adamw *how)
{
	double unbias1 = 1 - power((double)how->beta1, how->step);
	double unbias2 = 1 - power((double)how->beta2, how->step);
	adamw a = { how->beta1,
		    1 - how->beta1,
		    how->beta2,
		    1 - how->beta2,
		    how->grad_scale,
		    how->eps,
		    (float)((double)how->lr / unbias1),
		    (float)(1 / sqrt(unbias2)),
		    (float)(1 - (double)how->lr * (double)how->decay) };
	bool aligned = (((uintptr_t)p | (uintptr_t)grad | (uintptr_t)m | (uintptr_t)v) & 15) == 0;
	size_t each = (size_t)THREADS * (aligned ? 4 : 1);
	dim3 grid((unsigned)((n + each - 1) / each)), block(THREADS);
	if (!n)
		return;
	if (aligned)
		CUDA_LAUNCH(be, (adamw_kernel<4>), grid, block, 0, p, grad, m, v, n, a);
	else
		CUDA_LAUNCH(be, (adamw_kernel<1>), grid, block, 0, p, grad, m, v, n, a);
}
