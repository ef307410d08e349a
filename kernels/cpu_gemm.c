/* cpu_gemm.c: the three matrix products of a linear layer, by the tile of tile_int.h.
 *
 * The one idea: every element of c is made the same way whatever surrounds it. K is cut into blocks of 256; within a
 * block the element is one chain of fused multiply-adds from 0, and the blocks are added to c in ascending order, the bias
 * with the first. M, N, the cut into tasks and the number of threads decide only when an element is computed. So a row of
 * a product with one row has the bits of the same row among thousands, and a packed weight those of the same weight in
 * rows; tests/unit/test_cpu_gemm.c holds that down.
 *
 * The path of the data: c is cut into tasks (a range of rows by a range of 16-column panels), taken by the threads as
 * they come. b is wanted in panels [k][16]. Packed fp32 weights are that already and are read where they lie. Of anything
 * else a task packs its panels for one block of K into its own scratch, [panel][k][16], which fits half of a level-2
 * cache: rows are transposed or copied, 16-bit elements widened. Then it packs 96 rows of a at a time, in groups as high as
 * a tile, [group][k][rows], and walks all panels with them. Nothing is shared between threads but reading, and there is no
 * barrier inside. The tile itself is one of two (cpu_level.c), with the same bits.
 *
 * Few rows (decoding) are another matter: the weights are read once and the product runs at the speed at which they
 * arrive, so 16-bit panels are widened in registers, a is read in place, and nothing is written but c.
 *
 * Measured beside BLIS: tests/bench/bench_kernels.c. */
#include "base/base.h"
#include "kernels/gemm_int.h"

enum {
	ROW_BLOCK = 96,   /* rows of a packed at a time, a multiple of both levels' tiles: 96 KiB */
	PANELS_MAX = 32,  /* 32 x 16 columns x 256 x 4 bytes = 512 KiB */
	TASK_ROWS = 480,  /* rows that share one packing of b */
	SKINNY_ROWS = 48, /* up to here, packed weights are read once and widened in registers */
	A_SCRATCH = ROW_BLOCK * K_BLOCK,
	B_SCRATCH = PANELS_MAX * TILE_COLS * K_BLOCK,
};

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

/* One element row of a panel, 16 wide, to floats */
static inline void widen_16(float *out, int type, const void *b, size_t at)
{
	v8f_store(out, v8f_load_as(type, b, at));
	v8f_store(out + 8, v8f_load_as(type, b, at + 8));
}

/* The reduction runs over rows of W here, from k0, and columns j.. of b are W's columns: squares of 16 by 16 turn. k0 is a
 * multiple of K_BLOCK, so a square is never cut but at the end of W. */
static void pack_across(float *out, const struct gemm *g, int j, int k0, int kn)
{
	int n = min_int(TILE_COLS, g->N - j);
	float square[TILE_COLS * TILE_COLS];
	for (int k = 0; k < kn; k += TILE_COLS, out += TILE_COLS * TILE_COLS) {
		size_t at = (size_t)(k0 + k) * g->ldb + (size_t)j * TILE_COLS;
		const float *from = (const float *)g->b + at;
		if (g->type != KERNELS_F32) {
			for (size_t i = 0; i < (size_t)n * TILE_COLS; i += TILE_COLS)
				widen_16(square + i, g->type, g->b, at + i);
			from = square;
		}
		pack_transposed(out, from, TILE_COLS, n, min_int(TILE_COLS, kn - k));
	}
}

/* b[K,N]: row by row over all panels, since a row is what lies together */
static void pack_columns(float *out, const struct gemm *g, int j, int n_panels, int k0, int kn)
{
	enum { AHEAD = 8 };
	int n = min_int(n_panels * TILE_COLS, g->N - j), whole = n / TILE_COLS;
	for (int k = 0; k < kn; k++, out += TILE_COLS) {
		const float *b = (const float *)g->b + (size_t)(k0 + k) * g->ldb + (size_t)j;
		float *o = out;
		for (int p = 0; p < whole; p++, o += (size_t)kn * TILE_COLS, b += TILE_COLS) {
			__builtin_prefetch(b + AHEAD * g->ldb);
			widen_16(o, KERNELS_F32, b, 0);
		}
		for (int i = 0; whole < n_panels && i < TILE_COLS; i++)
			o[i] = i < n - whole * TILE_COLS ? b[i] : 0.0f;
	}
}

/* out[panel][k, 16] = columns j.. of b, rows k0..k0+kn of K */
static void pack_panels(float *out, const struct gemm *g, int j, int n_panels, int k0, int kn)
{
	if (g->form == B_COLUMNS) {
		pack_columns(out, g, j, n_panels, k0, kn);
		return;
	}
	for (int p = 0; p < n_panels; p++, j += TILE_COLS, out += (size_t)kn * TILE_COLS) {
		size_t at = (size_t)j * g->ldb + (size_t)k0 * TILE_COLS;
		if (g->form == B_ROWS)
			pack_transposed(out, (const float *)g->b + (size_t)j * g->ldb + (size_t)k0, g->ldb,
					min_int(TILE_COLS, g->N - j), kn);
		else if (g->form == B_PACKED_DX)
			pack_across(out, g, j, k0, kn);
		else
			for (size_t k = 0; k < (size_t)kn; k++)
				widen_16(out + k * TILE_COLS, g->type, g->b, at + k * TILE_COLS);
	}
}

/* Four rows of four, turned: out[k * ld + r] */
VEC_INLINE void turn_4(float *out, size_t ld, const float *a, size_t lda)
{
	typedef float v4f __attribute__((vector_size(16)));
	v4f r[4], t[4];
	for (size_t i = 0; i < 4; i++)
		memcpy(&r[i], a + i * lda, sizeof(r[i]));
	t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
	t[1] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
	t[2] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
	t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
	for (size_t i = 0; i < 2; i++) {
		v4f even = __builtin_shufflevector(t[i], t[i + 2], 0, 1, 4, 5);
		v4f odd = __builtin_shufflevector(t[i], t[i + 2], 2, 3, 6, 7);
		memcpy(out + 2 * i * ld, &even, sizeof(even));
		memcpy(out + (2 * i + 1) * ld, &odd, sizeof(odd));
	}
}

/* out[group of `rows`][k, rows] = rows i..i+m of a; what a last group lacks is left as it is */
static void pack_a(float *out, const struct gemm *g, int rows, int i, int m, int k0, int kn)
{
	for (int r = 0; r < m; r += rows, out += (size_t)rows * (size_t)kn) {
		int n = min_int(rows, m - r), k4 = 0, r4 = 0;
		if (g->a_by_column) {
			const float *a = g->a + (size_t)k0 * g->lda + (size_t)(i + r);
			for (int k = 0; k < kn; k++, a += g->lda)
				if (n == 12)
					memcpy(out + k * 12, a, 12 * sizeof(float));
				else
					memcpy(out + k * rows, a, (size_t)n * sizeof(float));
			continue;
		}
		const float *a = g->a + (size_t)(i + r) * g->lda + (size_t)k0;
		for (; r4 + 4 <= n; r4 += 4)
			for (k4 = 0; k4 + 4 <= kn; k4 += 4)
				turn_4(out + k4 * rows + r4, (size_t)rows, a + (size_t)r4 * g->lda + k4, g->lda);
		for (int q = 0; q < n; q++)
			for (int k = q < r4 ? k4 : 0; k < kn; k++)
				out[k * rows + q] = a[(size_t)q * g->lda + (size_t)k];
	}
}

/* Before the first block: c where the sums are added, with the bias in it */
static void begin_rows(const struct gemm *g, int i, int m, int j, int cols)
{
	for (int r = 0; g->bias && r < m; r++) {
		float *c = g->c + (size_t)(i + r) * g->ldc + (size_t)j;
		for (int n = 0; n < cols; n++)
			c[n] = g->add ? c[n] + g->bias[j + n] : g->bias[j + n];
	}
}

/* rows i..i+m, packed, by n_panels panels from column j, for one block of K; panel p begins at bp + p * step */
static void row_block(const struct gemm *g, const struct gemm_level *level, const float *ap, const float *bp,
		      size_t step, int i, int m, int j, int n_panels, int k0, int kn)
{
	enum tile_mode mode = gemm_mode(g, k0);
	int wide = level->panels * TILE_COLS, end = min_int(g->N, j + n_panels * TILE_COLS);
	for (; j < end; j += wide, bp += (size_t)level->panels * step)
		for (int r = 0; r < m; r += level->rows)
			level->tile(min_int(level->rows, m - r), ap + (size_t)r * (size_t)kn, bp, step,
				    g->c + (size_t)(i + r) * g->ldc + (size_t)j, g->ldc, min_int(wide, end - j), kn,
				    mode);
}

/* Packed fp32 weights are panels already */
static bool in_place(const struct gemm *g)
{
	return g->form == B_PACKED && g->type == KERNELS_F32;
}

/* rows i0..i1 by panels p0..p1 of c, all of K */
static void gemm_task(const struct gemm *g, const struct gemm_level *level, float *scratch, int i0, int i1, int p0,
		      int p1)
{
	float *bp = scratch, *ap = scratch + B_SCRATCH;
	begin_rows(g, i0, i1 - i0, p0 * TILE_COLS, min_int(p1 * TILE_COLS, g->N) - p0 * TILE_COLS);
	for (int p = p0; p < p1; p += PANELS_MAX) {
		int n_panels = min_int(PANELS_MAX, p1 - p);
		for (int k0 = 0; k0 < g->K; k0 += K_BLOCK) {
			int kn = min_int(K_BLOCK, g->K - k0);
			const float *panels = bp;
			size_t step = (size_t)kn * TILE_COLS;
			if (in_place(g)) {
				step = g->ldb * TILE_COLS;
				panels = (const float *)g->b + (size_t)p * step + (size_t)k0 * TILE_COLS;
			} else {
				pack_panels(bp, g, p * TILE_COLS, n_panels, k0, kn);
			}
			for (int i = i0; i < i1; i += ROW_BLOCK) {
				int m = min_int(ROW_BLOCK, i1 - i);
				pack_a(ap, g, level->rows, i, m, k0, kn);
				row_block(g, level, ap, panels, step, i, m, p * TILE_COLS, n_panels, k0, kn);
			}
		}
	}
}

/* ---- the cut into tasks ------------------------------------------------------------------------------------------------ */

/* n things in parts of equal size, a multiple of unit */
static int part_size(int n, int parts, int unit)
{
	int each = (n + parts - 1) / parts;
	return (each + unit - 1) / unit * unit;
}

static void nothing_to_add(const struct gemm *g)
{
	for (int i = 0; i < g->M; i++) {
		if (!g->add)
			memset(g->c + (size_t)i * g->ldc, 0, (size_t)g->N * sizeof(float));
		for (int n = 0; g->bias && n < g->N; n++)
			g->c[(size_t)i * g->ldc + (size_t)n] += g->bias[n];
	}
}

static void skinny_task(const struct gemm *g, const struct gemm_level *level, int p0, int p1)
{
	begin_rows(g, 0, g->M, p0 * TILE_COLS, min_int(p1 * TILE_COLS, g->N) - p0 * TILE_COLS);
	for (int p = p0; p < p1; p += 4) /* few, so that they are still close when the next rows come */
		for (int i = 0; i < g->M; i += level->rows)
			level->skinny(g, i, min_int(level->rows, g->M - i), p, min_int(p + 4, p1));
}

static void skinny_run(const struct gemm *g, const struct gemm_level *level, int threads, int panels)
{
	int each = part_size(panels, threads == 1 ? 1 : 4 * threads, 4), tasks = (panels + each - 1) / each;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
	for (int t = 0; t < tasks; t++)
		skinny_task(g, level, t * each, min_int(panels, t * each + each));
}

static void gemm_run(struct backend *be, const struct gemm *g)
{
	const struct gemm_level *level = ((struct cpu_state *)be->state)->level;
	if (g->M <= 0 || g->N <= 0)
		return;
	if (g->K <= 0) {
		nothing_to_add(g);
		return;
	}
	/* 32 multiply-adds a nanosecond; and each weight must be read and packed, at 2 a nanosecond */
	size_t weights = (size_t)g->N * (size_t)g->K;
	int threads = cpu_threads(be, (size_t)g->M * weights / 32 + weights / 4);
	int panels = (g->N + TILE_COLS - 1) / TILE_COLS;
	if (g->form == B_PACKED && g->M <= SKINNY_ROWS) {
		skinny_run(g, level, threads, panels);
		return;
	}
	/* Four tasks a thread, so that one that comes late costs little; but a row of a is packed for every task beside it,
	 * so they are as wide as their scratch, unless threads would go without. */
	int n_rows = (g->M + TASK_ROWS - 1) / TASK_ROWS, most = (panels + PANELS_MAX - 1) / PANELS_MAX;
	int n_cols = min_int(most, (4 * threads + n_rows - 1) / n_rows);
	if (n_rows * n_cols < threads)
		n_cols = min_int(panels, (threads + n_rows - 1) / n_rows);
	if (n_rows * n_cols < 4 * threads) { /* so few that all threads should have as many */
		int rounds = (n_rows * n_cols + threads - 1) / threads;
		n_rows = min_int((rounds * threads + n_cols - 1) / n_cols, (g->M + level->rows - 1) / level->rows);
	}
	int rows_each = part_size(g->M, n_rows, level->rows), panels_each = part_size(panels, n_cols, level->panels);
	n_rows = (g->M + rows_each - 1) / rows_each;
	n_cols = (panels + panels_each - 1) / panels_each;
#pragma omp parallel num_threads(threads) if (threads > 1)
	{
		float *scratch = cpu_scratch(be, B_SCRATCH + A_SCRATCH);
#pragma omp for schedule(dynamic) nowait
		for (int t = 0; t < n_rows * n_cols; t++) {
			int i = t / n_cols * rows_each, p = t % n_cols * panels_each;
			gemm_task(g, level, scratch, i, min_int(g->M, i + rows_each), p,
				  min_int(panels, p + panels_each));
		}
	}
}

/* ---- the table's operations -------------------------------------------------------------------------------------------- */

void cpu_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		const struct kernels_linear *how)
{
	gemm_run(be, &(struct gemm){ .c = y,
				     .a = x,
				     .b = w->data,
				     .M = how->M,
				     .N = w->N,
				     .K = w->K,
				     .lda = (size_t)how->x_stride,
				     .ldb = (size_t)w->K,
				     .ldc = (size_t)how->y_stride,
				     .form = w->packed ? B_PACKED : B_ROWS,
				     .type = w->type,
				     .bias = how->bias,
				     .add = how->beta != 0 });
}

void cpu_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
		   const struct kernels_linear *how)
{
	gemm_run(be, &(struct gemm){ .c = dx,
				     .a = dy,
				     .b = w->data,
				     .M = how->M,
				     .N = w->K,
				     .K = w->N,
				     .lda = (size_t)how->y_stride,
				     .ldb = (size_t)w->K,
				     .ldc = (size_t)how->x_stride,
				     .form = w->packed ? B_PACKED_DX : B_COLUMNS,
				     .type = w->type,
				     .add = how->beta != 0 });
}

void cpu_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
		   const struct kernels_linear *how)
{
	gemm_run(be, &(struct gemm){ .c = dw,
				     .a = dy,
				     .b = x,
				     .M = N,
				     .N = K,
				     .K = how->M,
				     .lda = (size_t)how->y_stride,
				     .ldb = (size_t)how->x_stride,
				     .ldc = (size_t)K,
				     .form = B_COLUMNS,
				     .a_by_column = true,
				     .add = how->beta != 0 });
}
