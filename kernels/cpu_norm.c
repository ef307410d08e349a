/* cpu_norm.c: RMS norm, layer norm, RMS norm of heads, and their gradients; the gradient of a bias.
 *
 * A row's sums run over eight lanes (element i in lane i % 8) in float, the lanes are added in one fixed tree: C products
 * of similar size, so float lanes lose nothing that float inputs had. Threads divide rows.
 *
 * dw (and db) sums over all rows. Rows are cut into blocks of 64, each block's sum is a row of a table (made by
 * whichever thread), and the table is added up in the order of the blocks, in double: the order is that of the rows,
 * whatever the number of threads. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/vec_int.h"

enum { DW_ROWS = 64, DB_COLS = 64 };

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

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

/* out[n] += the rows of a table, in their order */
static void add_blocks(float *out, const float *sums, int blocks, size_t stride, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double sum = 0;
		for (size_t b = 0; b < (size_t)blocks; b++)
			sum += (double)sums[b * stride + i];
		out[i] = (float)((double)out[i] + sum);
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
	add_blocks(dw, sums, blocks, width, width);
	free(sums);
}

/* ---- layer norm --------------------------------------------------------------------------------------------------------- */

/* sum over i of (x[i] - mean)^power, power 1 or 2 */
static float sum_centred(const float *x, float mean, int n, int power)
{
	v8f acc = v8f_all(0), m = v8f_all(mean);
	int i = 0;
	for (; i + 8 <= n; i += 8) {
		v8f d = v8f_load(x + i) - m;
		acc = power == 1 ? acc + d : v8f_fma(d, d, acc);
	}
	for (int lane = 0; i < n; i++, lane++) {
		float d = x[i] - mean;
		acc[lane] = power == 1 ? acc[lane] + d : __builtin_fmaf(d, d, acc[lane]);
	}
	return v8f_sum(acc);
}

void cpu_layernorm(struct backend *be, float *out, float *mean, float *rstd, const float *x, const float *w,
		   const float *b, int T, int C, float eps)
{
	size_t width = (size_t)C;
	int threads = cpu_threads(be, (size_t)T * width / 3);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int t = 0; t < T; t++) {
		const float *xt = x + (size_t)t * width;
		float *o = out + (size_t)t * width;
		float m = sum_centred(xt, 0, C, 1) / (float)C;
		float r = 1.0f / __builtin_sqrtf(sum_centred(xt, m, C, 2) / (float)C + eps);
		mean[t] = m;
		rstd[t] = r;
#pragma omp simd
		for (int i = 0; i < C; i++)
			o[i] = w[i] * ((xt[i] - m) * r) + b[i];
	}
}

/* The two sums over a row that dx needs: of g = w dout, and of g n, n the normalised x */
static void layer_sums(float *sum_g, float *sum_gn, const float *dout, const float *x, const float *w, float mean,
		       float rstd, int C)
{
	v8f g = v8f_all(0), gn = v8f_all(0);
	int i = 0;
	for (; i < C; i += 8) {
		int left = C - i;
		v8f a, n;
		if (left >= 8) {
			a = v8f_load(w + i) * v8f_load(dout + i);
			n = (v8f_load(x + i) - v8f_all(mean)) * v8f_all(rstd);
		} else {
			a = v8f_load_part(w + i, left, 0) * v8f_load_part(dout + i, left, 0);
			n = (v8f_load_part(x + i, left, mean) - v8f_all(mean)) * v8f_all(rstd);
		}
		g += a;
		gn = v8f_fma(a, n, gn);
	}
	*sum_g = v8f_sum(g);
	*sum_gn = v8f_sum(gn);
}

/* One block of rows: dx, and the block's own sums of dw and db */
static void layer_block(float *dx, float *sum, const float *dout, const float *x, const float *w, const float *mean,
			const float *rstd, int rows, int C)
{
	float *sum_b = sum + C;
	memset(sum, 0, 2 * (size_t)C * sizeof(float));
	for (int t = 0; t < rows; t++, dx += C, dout += C, x += C) {
		float m = mean[t], r = rstd[t], g, gn;
		layer_sums(&g, &gn, dout, x, w, m, r, C);
		g /= (float)C;
		gn /= (float)C;
#pragma omp simd
		for (int i = 0; i < C; i++) {
			float n = (x[i] - m) * r;
			dx[i] += r * (w[i] * dout[i] - g - n * gn);
			sum[i] += dout[i] * n;
			sum_b[i] += dout[i];
		}
	}
}

void cpu_layernorm_back(struct backend *be, float *dx, float *dw, float *db, const float *dout, const float *x,
			const float *w, const float *mean, const float *rstd, int T, int C)
{
	size_t width = (size_t)C;
	int blocks = (T + DW_ROWS - 1) / DW_ROWS, threads = cpu_threads(be, (size_t)T * width / 2);
	float *sums = mem_array(mem_mul((size_t)blocks + 1, 2 * width), sizeof(float));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int b = 0; b < blocks; b++) {
		size_t t = (size_t)b * DW_ROWS, at = t * width;
		layer_block(dx + at, sums + (size_t)b * 2 * width, dout + at, x + at, w, mean + t, rstd + t,
			    min_int(DW_ROWS, T - b * DW_ROWS), C);
	}
	add_blocks(dw, sums, blocks, 2 * width, width);
	add_blocks(db, sums + width, blocks, 2 * width, width);
	free(sums);
}

/* ---- norm of heads ------------------------------------------------------------------------------------------------------ */

void cpu_headnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int stride, int T, int H,
		  int D, float eps)
{
	int threads = cpu_threads(be, (size_t)T * (size_t)H * (size_t)D / 3);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int t = 0; t < T; t++)
		for (int h = 0; h < H; h++) {
			size_t at = (size_t)t * (size_t)stride + (size_t)h * (size_t)D;
			const float *xh = x + at;
			float *o = out + at, r = 1.0f / __builtin_sqrtf(sum_products(xh, NULL, xh, D) / (float)D + eps);
			rstd[(size_t)t * (size_t)H + (size_t)h] = r;
#pragma omp simd
			for (int i = 0; i < D; i++)
				o[i] = w[i] * (xh[i] * r);
		}
}

/* A head: dx in place of what was there, and its part of the block's sum of dw */
static void head_back(float *dx, float *sum, const float *dout, const float *x, const float *w, float r, int D)
{
	float k = r * r * (sum_products(w, dout, x, D) / (float)D);
#pragma omp simd
	for (int i = 0; i < D; i++) {
		float d = dout[i];
		sum[i] += d * (x[i] * r);
		dx[i] = r * (w[i] * d - x[i] * k);
	}
}

void cpu_headnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x, const float *w,
		       const float *rstd, int stride, int T, int H, int D)
{
	size_t width = (size_t)D;
	int blocks = (T + DW_ROWS - 1) / DW_ROWS;
	int threads = cpu_threads(be, (size_t)T * (size_t)H * width / 2);
	float *sums = mem_array(mem_mul((size_t)blocks + 1, width), sizeof(float));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int b = 0; b < blocks; b++)
		for (int t = b * DW_ROWS; t < min_int(T, (b + 1) * DW_ROWS); t++)
			for (int h = 0; h < H; h++) {
				size_t at = (size_t)t * (size_t)stride + (size_t)h * width;
				head_back(dx + at, sums + (size_t)b * width, dout + at, x + at, w,
					  rstd[(size_t)t * (size_t)H + (size_t)h], D);
			}
	add_blocks(dw, sums, blocks, width, width);
	free(sums);
}

/* ---- bias --------------------------------------------------------------------------------------------------------------- */

/* Threads divide the columns; in each, blocks of 64 rows in float are added up in double. */
void cpu_linear_db(struct backend *be, float *db, const float *dy, int dy_stride, int M, int N)
{
	int parts = (N + DB_COLS - 1) / DB_COLS, threads = cpu_threads(be, (size_t)M * (size_t)N / 4);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int p = 0; p < parts; p++) {
		int n = min_int(DB_COLS, N - p * DB_COLS);
		float *to = db + p * DB_COLS, part[DB_COLS];
		double sum[DB_COLS] = { 0 };
		for (int t0 = 0; t0 < M; t0 += DW_ROWS) {
			memset(part, 0, sizeof(part));
			for (int t = t0; t < min_int(M, t0 + DW_ROWS); t++) {
				const float *row = dy + (size_t)t * (size_t)dy_stride + (size_t)p * DB_COLS;
#pragma omp simd
				for (int i = 0; i < n; i++)
					part[i] += row[i];
			}
			for (int i = 0; i < n; i++)
				sum[i] += (double)part[i];
		}
		for (int i = 0; i < n; i++)
			to[i] = (float)((double)to[i] + sum[i]);
	}
}
