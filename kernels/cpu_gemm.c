/* cpu_gemm.c: the three matrix products, by the tile of tile_int.h.
 *
 * The one idea: every element of c is made the same way whatever surrounds it. K is cut into blocks of 256; within a
 * block the element is one chain of fused multiply-adds from 0, and the blocks are added to c in ascending order. M, N, the
 * cut into tasks and the number of threads decide only when an element is computed. So a row of a product with one row
 * has the bits of the same row among thousands; tests/unit/test_cpu_gemm.c holds that down.
 *
 * The path of the data: c is cut into tasks (a range of rows by a range of 16-column panels), taken by the threads as
 * they come. A task packs its panels of b for one block of K into its own scratch, [panel][k][16], which fits half of
 * a level-2 cache; then it walks its rows 96 at a time, all panels for each, so that those rows of a stay close too.
 * Nothing is shared between threads but reading, and there is no barrier inside. a is read in place, six rows at a
 * time, but in the form tn, where it is copied to [6 rows][k][6]. For few rows a task packs one panel at a time, into
 * level 1: then the product runs at the speed at which the weights arrive.
 *
 * Measured beside BLIS: tests/bench/bench_kernels.c. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/tile_int.h"

enum {
	K_BLOCK = 256, /* part of the numerics: another value is another class */
	ROW_BLOCK = 96,
	PANELS_MAX = 12, /* 12 x 16 columns x 256 x 4 bytes = 192 KiB */
	TASK_ROWS = 480, /* rows that share one packing of b */
	FEW_ROWS = 24,
	A_SCRATCH = ROW_BLOCK * K_BLOCK,
	B_SCRATCH = PANELS_MAX * TILE_COLS * K_BLOCK,
};

struct gemm {
	float *c;
	const float *a, *b;
	int M, N, K;
	bool a_by_column; /* a[K,M]: form tn */
	bool b_by_row;    /* b[N,K]: form nt; else b[K,N] */
	bool add;         /* to c */
};

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

/* out[k, 16] = columns j.. of b, rows k0..k0+kn of K */
static void pack_panel(float *out, const struct gemm *g, int j, int k0, int kn)
{
	int n = min_int(TILE_COLS, g->N - j);
	if (g->b_by_row) {
		pack_transposed(out, g->b + (size_t)j * (size_t)g->K + (size_t)k0, (size_t)g->K, n, kn);
		return;
	}
	const float *b = g->b + (size_t)k0 * (size_t)g->N + (size_t)j;
	for (int k = 0; k < kn; k++, out += TILE_COLS, b += g->N) {
		if (n == TILE_COLS) {
			v8f_store(out, v8f_load(b));
			v8f_store(out + 8, v8f_load(b + 8));
			continue;
		}
		for (int i = 0; i < TILE_COLS; i++)
			out[i] = i < n ? b[i] : 0.0f;
	}
}

/* out[6-row group][k, 6] = rows i..i+m of the transposed a */
static void pack_a(float *out, const struct gemm *g, int i, int m, int k0, int kn)
{
	for (int r = 0; r < m; r += TILE_ROWS) {
		const float *a = g->a + (size_t)k0 * (size_t)g->M + (size_t)(i + r);
		int n = min_int(TILE_ROWS, m - r);
		for (int k = 0; k < kn; k++, out += TILE_ROWS, a += g->M) {
			if (n == TILE_ROWS)
				memcpy(out, a, TILE_ROWS * sizeof(float));
			else
				memcpy(out, a, (size_t)n * sizeof(float));
		}
	}
}

/* rows i..i+m by n_panels packed panels from column j, for one block of K */
static void row_block(const struct gemm *g, const float *ap, const float *bp, int i, int m, int j, int n_panels, int k0,
		      int kn)
{
	enum tile_mode mode = k0 == 0 && !g->add ? TILE_SET : TILE_ADD;
	size_t lda = (size_t)g->K, ldc = (size_t)g->N;
	for (int p = 0; p < n_panels; p++, j += TILE_COLS, bp += (size_t)kn * TILE_COLS) {
		int cols = min_int(TILE_COLS, g->N - j);
		for (int r = 0; r < m; r += TILE_ROWS) {
			float *c = g->c + (size_t)(i + r) * ldc + (size_t)j;
			int rows = min_int(TILE_ROWS, m - r);
			if (g->a_by_column)
				tile(rows, ap + (size_t)r * (size_t)kn, 1, TILE_ROWS, bp, TILE_COLS, c, ldc, cols, kn,
				     mode);
			else
				tile(rows, g->a + (size_t)(i + r) * lda + (size_t)k0, lda, 1, bp, TILE_COLS, c, ldc,
				     cols, kn, mode);
		}
	}
}

/* rows i0..i1 by panels p0..p1 of c, all of K; at most `width` panels are packed at a time */
static void gemm_task(const struct gemm *g, float *scratch, int i0, int i1, int p0, int p1, int width)
{
	float *bp = scratch, *ap = scratch + B_SCRATCH;
	for (int p = p0; p < p1; p += width) {
		int n_panels = min_int(width, p1 - p);
		for (int k0 = 0; k0 < g->K; k0 += K_BLOCK) {
			int kn = min_int(K_BLOCK, g->K - k0);
			for (int i = 0; i < n_panels; i++)
				pack_panel(bp + (size_t)i * (size_t)kn * TILE_COLS, g, (p + i) * TILE_COLS, k0, kn);
			for (int i = i0; i < i1; i += ROW_BLOCK) {
				int m = min_int(ROW_BLOCK, i1 - i);
				if (g->a_by_column)
					pack_a(ap, g, i, m, k0, kn);
				row_block(g, ap, bp, i, m, p * TILE_COLS, n_panels, k0, kn);
			}
		}
	}
}

/* n things in parts of equal size, a multiple of unit */
static int part_size(int n, int parts, int unit)
{
	int each = (n + parts - 1) / parts;
	return (each + unit - 1) / unit * unit;
}

static void gemm_run(struct backend *be, const struct gemm *g)
{
	if (g->M <= 0 || g->N <= 0)
		return;
	if (g->K <= 0) {
		if (!g->add)
			memset(g->c, 0, (size_t)g->M * (size_t)g->N * sizeof(float));
		return;
	}
	/* 32 multiply-adds a nanosecond; and each weight must be read and packed, at 2 a nanosecond */
	size_t weights = (size_t)g->N * (size_t)g->K;
	int threads = cpu_threads(be, (size_t)g->M * weights / 32 + weights / 2);
	int panels = (g->N + TILE_COLS - 1) / TILE_COLS;
	int n_rows = (g->M + TASK_ROWS - 1) / TASK_ROWS;
	int want = threads == 1 ? 1 : 4 * threads; /* tasks, so that a thread that comes late costs little */
	int n_cols = min_int(panels, (want + n_rows - 1) / n_rows);
	if (n_rows * n_cols < threads) /* many threads, few columns */
		n_rows = min_int((threads + n_cols - 1) / n_cols, (g->M + TILE_ROWS - 1) / TILE_ROWS);
	int rows_each = part_size(g->M, n_rows, TILE_ROWS), panels_each = part_size(panels, n_cols, 1);
	int width = g->M <= FEW_ROWS ? 1 : PANELS_MAX;
	n_rows = (g->M + rows_each - 1) / rows_each;
	n_cols = (panels + panels_each - 1) / panels_each;
#pragma omp parallel num_threads(threads) if (threads > 1)
	{
		float *scratch = cpu_scratch(be, B_SCRATCH + A_SCRATCH);
#pragma omp for schedule(dynamic) nowait
		for (int t = 0; t < n_rows * n_cols; t++) {
			int i = t / n_cols * rows_each, p = t % n_cols * panels_each;
			gemm_task(g, scratch, i, min_int(g->M, i + rows_each), p, min_int(panels, p + panels_each),
				  width);
		}
	}
}

void cpu_gemm_nt(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	gemm_run(be,
		 &(struct gemm){ .c = c, .a = a, .b = b, .M = M, .N = N, .K = K, .b_by_row = true, .add = beta != 0 });
}

void cpu_gemm_nn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	gemm_run(be, &(struct gemm){ .c = c, .a = a, .b = b, .M = M, .N = N, .K = K, .add = beta != 0 });
}

void cpu_gemm_tn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	gemm_run(be, &(struct gemm){
			     .c = c, .a = a, .b = b, .M = M, .N = N, .K = K, .a_by_column = true, .add = beta != 0 });
}
