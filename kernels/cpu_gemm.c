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
 * cache: rows are transposed or copied, 16-bit elements widened. Then it walks its rows 96 at a time, all panels for each,
 * so that those rows of a stay close too. Nothing is shared between threads but reading, and there is no barrier inside.
 * a is read in place, six rows at a time, but in the form tn, where it is copied to [6 rows][k][6].
 *
 * Few rows (decoding) are another matter: the weights are read once and the product runs at the speed at which they
 * arrive, so 16-bit panels are widened in registers, and nothing is written but c.
 *
 * Measured beside BLIS: tests/bench/bench_kernels.c. */
#include "base/base.h"
#include "kernels/kernels_int.h"
#include "kernels/tile_int.h"
#include "kernels/widen_int.h"

enum {
	K_BLOCK = 256, /* part of the numerics: another value is another class */
	ROW_BLOCK = 96,
	PANELS_MAX = 12, /* 12 x 16 columns x 256 x 4 bytes = 192 KiB */
	TASK_ROWS = 480, /* rows that share one packing of b */
	FEW_ROWS = 24,
	SKINNY_ROWS = 12, /* up to here, packed weights are read once and widened in registers */
	A_SCRATCH = ROW_BLOCK * K_BLOCK,
	B_SCRATCH = PANELS_MAX * TILE_COLS * K_BLOCK,
};

enum b_form {
	B_ROWS,      /* b[N,K], fp32: transposed into panels */
	B_COLUMNS,   /* b[K,N], fp32: copied into panels */
	B_PACKED,    /* panels of any type, read forward: N is theirs */
	B_PACKED_DX, /* panels of any type, read across: K is theirs */
};

struct gemm {
	float *c;
	const float *a;
	const void *b;
	int M, N, K;
	size_t lda, ldb, ldc;
	enum b_form form;
	int type;          /* of packed elements */
	const float *bias; /* [N] or NULL */
	bool a_by_column;  /* a[K,M]: form tn */
	bool add;          /* to c */
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

/* out[k, 16] = columns j.. of b, rows k0..k0+kn of K */
static void pack_panel(float *out, const struct gemm *g, int j, int k0, int kn)
{
	int n = min_int(TILE_COLS, g->N - j);
	const float *b = g->b;
	switch (g->form) {
	case B_ROWS:
		pack_transposed(out, b + (size_t)j * g->ldb + (size_t)k0, g->ldb, n, kn);
		return;
	case B_COLUMNS:
		b += (size_t)k0 * g->ldb + (size_t)j;
		for (int k = 0; k < kn; k++, out += TILE_COLS, b += g->ldb) {
			if (n == TILE_COLS)
				widen_16(out, KERNELS_F32, b, 0);
			else
				for (int i = 0; i < TILE_COLS; i++)
					out[i] = i < n ? b[i] : 0.0f;
		}
		return;
	case B_PACKED:
		for (size_t k = 0, at = (size_t)j * g->ldb + (size_t)k0 * TILE_COLS; k < (size_t)kn; k++)
			widen_16(out + k * TILE_COLS, g->type, g->b, at + k * TILE_COLS);
		return;
	case B_PACKED_DX:
		pack_across(out, g, j, k0, kn);
		return;
	}
}

/* out[6-row group][k, 6] = rows i..i+m of the transposed a */
static void pack_a(float *out, const struct gemm *g, int i, int m, int k0, int kn)
{
	for (int r = 0; r < m; r += TILE_ROWS) {
		const float *a = g->a + (size_t)k0 * g->lda + (size_t)(i + r);
		int n = min_int(TILE_ROWS, m - r);
		for (int k = 0; k < kn; k++, out += TILE_ROWS, a += g->lda) {
			if (n == TILE_ROWS)
				memcpy(out, a, TILE_ROWS * sizeof(float));
			else
				memcpy(out, a, (size_t)n * sizeof(float));
		}
	}
}

static enum tile_mode mode_of(const struct gemm *g, int k0)
{
	return k0 == 0 && !g->add && !g->bias ? TILE_SET : TILE_ADD;
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

/* rows i..i+m by n_panels panels from column j, for one block of K; panel p begins at bp + p * step */
static void row_block(const struct gemm *g, const float *ap, const float *bp, size_t step, int i, int m, int j,
		      int n_panels, int k0, int kn)
{
	enum tile_mode mode = mode_of(g, k0);
	for (int p = 0; p < n_panels; p++, j += TILE_COLS, bp += step) {
		int cols = min_int(TILE_COLS, g->N - j);
		for (int r = 0; r < m; r += TILE_ROWS) {
			float *c = g->c + (size_t)(i + r) * g->ldc + (size_t)j;
			int rows = min_int(TILE_ROWS, m - r);
			if (g->a_by_column)
				tile(rows, ap + (size_t)r * (size_t)kn, 1, TILE_ROWS, bp, TILE_COLS, c, g->ldc, cols,
				     kn, mode);
			else
				tile(rows, g->a + (size_t)(i + r) * g->lda + (size_t)k0, g->lda, 1, bp, TILE_COLS, c,
				     g->ldc, cols, kn, mode);
		}
	}
}

/* Packed fp32 weights are panels already */
static bool in_place(const struct gemm *g)
{
	return g->form == B_PACKED && g->type == KERNELS_F32;
}

/* rows i0..i1 by panels p0..p1 of c, all of K; at most `width` panels are packed at a time */
static void gemm_task(const struct gemm *g, float *scratch, int i0, int i1, int p0, int p1, int width)
{
	float *bp = scratch, *ap = scratch + B_SCRATCH;
	begin_rows(g, i0, i1 - i0, p0 * TILE_COLS, min_int(p1 * TILE_COLS, g->N) - p0 * TILE_COLS);
	for (int p = p0; p < p1; p += width) {
		int n_panels = min_int(width, p1 - p);
		for (int k0 = 0; k0 < g->K; k0 += K_BLOCK) {
			int kn = min_int(K_BLOCK, g->K - k0);
			const float *panels = bp;
			size_t step = (size_t)kn * TILE_COLS;
			if (in_place(g)) {
				step = g->ldb * TILE_COLS;
				panels = (const float *)g->b + (size_t)p * step + (size_t)k0 * TILE_COLS;
			} else {
				for (int i = 0; i < n_panels; i++)
					pack_panel(bp + (size_t)i * step, g, (p + i) * TILE_COLS, k0, kn);
			}
			for (int i = i0; i < i1; i += ROW_BLOCK) {
				int m = min_int(ROW_BLOCK, i1 - i);
				if (g->a_by_column)
					pack_a(ap, g, i, m, k0, kn);
				row_block(g, ap, panels, step, i, m, p * TILE_COLS, n_panels, k0, kn);
			}
		}
	}
}

/* ---- few rows on packed weights ---------------------------------------------------------------------------------------- */

/* `rows` rows by one panel, all of K: the tile's own chains, with b widened in registers, and the block's sum added to the
 * total as the tile adds it to c. */
VEC_INLINE void skinny_panel(const int rows, const int type, const struct gemm *g, int i, int p)
{
	v8f total[TILE_ROWS][2], acc[TILE_ROWS][2];
	float edge[TILE_ROWS][TILE_COLS];
	int j = p * TILE_COLS, cols = min_int(TILE_COLS, g->N - j);
	const float *a = g->a + (size_t)i * g->lda;
	float *c = g->c + (size_t)i * g->ldc + (size_t)j;
	size_t at = (size_t)p * g->ldb * TILE_COLS;
	bool from_c = mode_of(g, 0) == TILE_ADD;
	for (int r = 0; r < rows; r++)
		for (int n = 0; n < TILE_COLS; n++)
			edge[r][n] = from_c && n < cols ? c[(size_t)r * g->ldc + (size_t)n] : 0.0f;
	for (int k0 = 0; k0 < g->K; k0 += K_BLOCK) {
		int end = min_int(g->K, k0 + K_BLOCK);
#pragma GCC unroll 6
		for (int r = 0; r < rows; r++)
			acc[r][0] = acc[r][1] = v8f_all(0);
		for (int k = k0; k < end; k++, at += TILE_COLS) {
			v8f b0 = v8f_load_as(type, g->b, at), b1 = v8f_load_as(type, g->b, at + 8);
			__builtin_prefetch((const char *)g->b + (at + 512) * (type == KERNELS_F32 ? 4 : 2));
#pragma GCC unroll 6
			for (int r = 0; r < rows; r++) {
				v8f x = v8f_all(a[(size_t)r * g->lda + (size_t)k]);
				acc[r][0] = v8f_fma(x, b0, acc[r][0]);
				acc[r][1] = v8f_fma(x, b1, acc[r][1]);
			}
		}
#pragma GCC unroll 6
		for (int r = 0; r < rows; r++) {
			bool set = k0 == 0 && !from_c;
			total[r][0] = set ? acc[r][0] : v8f_load(edge[r]) + acc[r][0];
			total[r][1] = set ? acc[r][1] : v8f_load(edge[r] + 8) + acc[r][1];
			v8f_store(edge[r], total[r][0]);
			v8f_store(edge[r] + 8, total[r][1]);
		}
	}
	for (int r = 0; r < rows; r++)
		memcpy(c + (size_t)r * g->ldc, edge[r], (size_t)cols * sizeof(float));
}

#define SKINNY(type)                                                                                                   \
	static void skinny_##type(const struct gemm *g, int rows, int i, int p)                                        \
	{                                                                                                              \
		switch (rows) {                                                                                        \
		case 6:                                                                                                \
			skinny_panel(6, type, g, i, p);                                                                \
			break;                                                                                         \
		case 5:                                                                                                \
			skinny_panel(5, type, g, i, p);                                                                \
			break;                                                                                         \
		case 4:                                                                                                \
			skinny_panel(4, type, g, i, p);                                                                \
			break;                                                                                         \
		case 3:                                                                                                \
			skinny_panel(3, type, g, i, p);                                                                \
			break;                                                                                         \
		case 2:                                                                                                \
			skinny_panel(2, type, g, i, p);                                                                \
			break;                                                                                         \
		default:                                                                                               \
			skinny_panel(1, type, g, i, p);                                                                \
		}                                                                                                      \
	}
SKINNY(KERNELS_F32)
SKINNY(KERNELS_BF16)
SKINNY(KERNELS_F16)

static void skinny_task(const struct gemm *g, int p0, int p1)
{
	begin_rows(g, 0, g->M, p0 * TILE_COLS, min_int(p1 * TILE_COLS, g->N) - p0 * TILE_COLS);
	for (int p = p0; p < p1; p++)
		for (int i = 0; i < g->M; i += TILE_ROWS) {
			int rows = min_int(TILE_ROWS, g->M - i);
			if (g->type == KERNELS_F32)
				skinny_KERNELS_F32(g, rows, i, p);
			else if (g->type == KERNELS_BF16)
				skinny_KERNELS_BF16(g, rows, i, p);
			else
				skinny_KERNELS_F16(g, rows, i, p);
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

static void skinny_run(const struct gemm *g, int threads, int panels)
{
	int each = part_size(panels, threads == 1 ? 1 : 4 * threads, 1), tasks = (panels + each - 1) / each;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
	for (int t = 0; t < tasks; t++)
		skinny_task(g, t * each, min_int(panels, t * each + each));
}

static void gemm_run(struct backend *be, const struct gemm *g)
{
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
		skinny_run(g, threads, panels);
		return;
	}
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
