/* cpu_blis.c: the three products of a linear layer by BLIS, where the tile of tile_int.h has no tuned instructions.
 *
 * BLIS gives every element one order of operations at any number of rows and threads, if its path for small matrices is
 * off: then edges are computed with the full micro-kernel into a buffer, K is cut at a fixed size, and threads divide M
 * and N only. (Measured over many shapes; OpenBLAS and oneDNN have no such mode.) The runtime object says so per call
 * and carries the number of threads.
 *
 * BLIS reads rows. A packed weight is widened into scratch a part at a time, and parts divide the columns of the result,
 * never a sum: the bits are those of the rows. */
#include "base/base.h"
#include "kernels/kernels_int.h"

/* BLIS's header, not ours: it uses what our warnings forbid */
#include <blis.h>

enum { PART = 512 }; /* columns of the result that share a widening */

struct strided {
	const float *p;
	size_t row, col;
};

static void blis_run(struct backend *be, float *c, size_t ldc, struct strided a, struct strided b, int M, int N, int K,
		     float beta)
{
	if (M <= 0 || N <= 0)
		return;
	if (K <= 0) {
		for (int i = 0; beta == 0 && i < M; i++)
			memset(c + (size_t)i * ldc, 0, (size_t)N * sizeof(float));
		return;
	}
	float one = 1, scale = beta;
	rntm_t how;
	bli_rntm_init_from_global(&how);
	bli_rntm_set_num_threads(cpu_threads(be, (size_t)M * (size_t)N * (size_t)K / 32), &how);
	bli_rntm_disable_l3_sup(&how);
	/* BLIS takes no const, and writes to neither */
	bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, M, N, K, &one, (float *)(uintptr_t)a.p, (inc_t)a.row,
		     (inc_t)a.col, (float *)(uintptr_t)b.p, (inc_t)b.row, (inc_t)b.col, &scale, c, (inc_t)ldc, 1, NULL,
		     &how);
}

/* out[rows, kn] = rows n0.. and columns k0.. of a packed weight */
static void widen_part(struct backend *be, float *out, const struct kernels_weight *w, int n0, int rows, int k0, int kn)
{
	int threads = cpu_threads(be, (size_t)rows * (size_t)kn);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
	for (int i = 0; i < rows; i++)
		cpu_weight_row(out + (size_t)i * (size_t)kn, w, n0 + i, k0, kn);
}

static void add_bias(float *y, const struct kernels_linear *how, int N)
{
	for (int i = 0; how->bias && i < how->M; i++)
		for (int n = 0; n < N; n++)
			y[(size_t)i * (size_t)how->y_stride + (size_t)n] += how->bias[n];
}

void cpu_blis_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		     const struct kernels_linear *how)
{
	struct strided a = { x, (size_t)how->x_stride, 1 };
	size_t K = (size_t)w->K, ldc = (size_t)how->y_stride;
	int part = w->packed ? PART : w->N;
	for (int n = 0; n < w->N; n += part) {
		int cols = w->N - n < part ? w->N - n : part;
		const float *b = w->data;
		if (w->packed) {
			float *rows = cpu_scratch(be, PART * K);
			widen_part(be, rows, w, n, cols, 0, w->K);
			b = rows;
		}
		blis_run(be, y + n, ldc, a, (struct strided){ b, 1, K }, how->M, cols, w->K, how->beta);
	}
	add_bias(y, how, w->N);
}

void cpu_blis_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
			const struct kernels_linear *how)
{
	struct strided a = { dy, (size_t)how->y_stride, 1 };
	size_t ldc = (size_t)how->x_stride;
	int part = w->packed ? PART : w->K;
	for (int k = 0; k < w->K; k += part) {
		int cols = w->K - k < part ? w->K - k : part;
		const float *b = w->data;
		if (w->packed) {
			float *rows = cpu_scratch(be, mem_mul((size_t)w->N, PART));
			widen_part(be, rows, w, 0, w->N, k, cols);
			b = rows;
		}
		blis_run(be, dx + k, ldc, a, (struct strided){ b, (size_t)cols, 1 }, how->M, cols, w->N, how->beta);
	}
}

void cpu_blis_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
			const struct kernels_linear *how)
{
	blis_run(be, dw, (size_t)K, (struct strided){ dy, 1, (size_t)how->y_stride },
		 (struct strided){ x, (size_t)how->x_stride, 1 }, N, K, how->M, how->beta);
}
