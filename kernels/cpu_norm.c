/* cpu_norm.c: RMS norm and its gradient.
 *
 * A row's sums run over eight lanes (element i in lane i % 8) in float, the lanes are added in one fixed tree: C products
 * of similar size, so float lanes lose nothing that float inputs had. Threads divide rows.
 *
 * dw sums over all rows. Rows are cut into blocks of 64, each block's sum is a row of a table (made by whichever
 * thread), and the table is added up in the order of the blocks, in double: the order is that of the rows, whatever
 * the number of threads. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/vec_int.h"

enum { DW_ROWS = 64 };

/* sum over i of a[i] b[i] c[i]; b may be NULL (ones) */
static float sum_products(const float *a, const float *b, const float *c, int n)
{
	v8f acc = v8f_all(0);
	int i = 0;
	for (; i + 8 <= n; i += 8) {
		v8f x = v8f_load(a + i);
		acc = v8f_fma(b ? x * v8f_load(b + i) : x, v8f_load(c + i), acc);
	}
	for (int lane = 0; i < n; i++, lane++)
		acc[lane] = __builtin_fmaf(b ? a[i] * b[i] : a[i], c[i], acc[lane]);
	return v8f_sum(acc);
}

void cpu_rmsnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C, float eps)
{
	size_t width = (size_t)C;
	int threads = cpu_threads(be, (size_t)T * width / 4);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int t = 0; t < T; t++) {
		const float *xt = x + (size_t)t * width;
		float *o = out + (size_t)t * width;
		float r = 1.0f / __builtin_sqrtf(sum_products(xt, NULL, xt, C) / (float)C + eps);
		rstd[t] = r;
#pragma omp simd
		for (int i = 0; i < C; i++)
			o[i] = w[i] * (xt[i] * r);
	}
}

/* One block of rows: dx, and the block's own sum of dw */
static void back_block(float *dx, float *sum, const float *dout, const float *x, const float *w, const float *rstd,
		       int rows, int C)
{
	memset(sum, 0, (size_t)C * sizeof(float));
	for (int t = 0; t < rows; t++, dx += C, dout += C, x += C) {
		float r = rstd[t];
		float k = r * r * (sum_products(w, dout, x, C) / (float)C);
#pragma omp simd
		for (int i = 0; i < C; i++) {
			dx[i] += r * (w[i] * dout[i] - x[i] * k);
			sum[i] += dout[i] * (x[i] * r);
		}
	}
}

void cpu_rmsnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
		      const float *rstd, int T, int C)
{
	size_t width = (size_t)C;
	int blocks = (T + DW_ROWS - 1) / DW_ROWS, threads = cpu_threads(be, (size_t)T * width / 2);
	float *sums = mem_array(mem_mul((size_t)blocks, width), sizeof(float));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int b = 0; b < blocks; b++) {
		size_t t = (size_t)b * DW_ROWS, at = t * width;
		int rows = T - b * DW_ROWS < DW_ROWS ? T - b * DW_ROWS : DW_ROWS;
		back_block(dx + at, sums + (size_t)b * width, dout + at, x + at, w, rstd + t, rows, C);
	}
	for (size_t i = 0; i < width; i++) {
		double sum = 0;
		for (size_t b = 0; b < (size_t)blocks; b++)
			sum += (double)sums[b * width + i];
		dw[i] = (float)((double)dw[i] + sum);
	}
	free(sums);
}
