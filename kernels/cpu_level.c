/* cpu_level.c: the inner loops of the matrix products, at the level of instructions that this file is compiled for;
 * cpu_level_v4.c compiles it a second time. */
#include "base/base.h"
#include "kernels/gemm_int.h"

#ifdef __AVX512F__
#define LEVEL_NAME "AVX-512"
#else
#define LEVEL_NAME "AVX2"
#endif

static void level_tile(int m, const float *a, const float *b, size_t panel, float *c, size_t ldc, int cols, int k,
		       enum tile_mode mode)
{
	const struct tile_from from = { a, b, 1, TILE_ROWS, TILE_COLS, panel };
	if (TILE_PANELS == 1 || cols <= TILE_COLS)
		TILE_BY_ROWS(m, tile_rows, 1, &from, c, ldc, cols, k, mode)
	else
		TILE_BY_ROWS(m, tile_rows, TILE_PANELS, &from, c, ldc, cols, k, mode)
}

/* ---- few rows on packed weights ---------------------------------------------------------------------------------------- */

enum { SKINNY_PANELS = 4, AHEAD = 512 /* elements between what is read and what is asked for */ };

/* As many panels at once as the accumulators of a tile allow: one row alone would wait for its own last sum. */
static inline int panels_at_once(int rows)
{
	int fit = TILE_ROWS * TILE_PANELS / rows;
	return fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
}

/* `rows` rows by `panels` panels from p, all of K: the tile's own chains, with b widened in registers, and the block's sum
 * added to the total as the tile adds it to c. */
VEC_INLINE void skinny_panels(const int rows, const int panels, const int type, const struct gemm *g, int i, int p)
{
	row16 acc[TILE_ROWS][SKINNY_PANELS];
	float total[TILE_ROWS][SKINNY_PANELS * TILE_COLS];
	int j = p * TILE_COLS, cols = g->N - j < panels * TILE_COLS ? g->N - j : panels * TILE_COLS;
	const float *a = g->a + (size_t)i * g->lda;
	float *c = g->c + (size_t)i * g->ldc + (size_t)j;
	size_t panel = g->ldb * TILE_COLS, at = (size_t)p * panel, size = type == KERNELS_F32 ? 4 : 2;
	bool from_c = gemm_mode(g, 0) == TILE_ADD;
	if (from_c)
		for (int r = 0; r < rows; r++)
			for (int n = 0; n < panels * TILE_COLS; n++)
				total[r][n] = n < cols ? c[(size_t)r * g->ldc + (size_t)n] : 0.0f;
	for (int k0 = 0; k0 < g->K; k0 += K_BLOCK) {
		int end = g->K - k0 < K_BLOCK ? g->K : k0 + K_BLOCK;
#pragma GCC unroll 12
		for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
			for (int q = 0; q < panels; q++)
				acc[r][q] = row16_all(0);
		for (int k = k0; k < end; k++, at += TILE_COLS) {
			row16 w[SKINNY_PANELS];
#pragma GCC unroll 4
			for (int q = 0; q < panels; q++) {
				size_t from = at + (size_t)q * panel;
				w[q] = row16_load_as(type, g->b, from);
				if (size == 4 || k % 2 == 0) /* a line of 64 bytes is two rows of halves */
					__builtin_prefetch((const char *)g->b + (from + AHEAD) * size);
			}
#pragma GCC unroll 12
			for (int r = 0; r < rows; r++) {
				float x = a[(size_t)r * g->lda + (size_t)k];
#pragma GCC unroll 4
				for (int q = 0; q < panels; q++)
					acc[r][q] = row16_fma(x, w[q], acc[r][q]);
			}
		}
		bool set = k0 == 0 && !from_c;
#pragma GCC unroll 12
		for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
			for (int q = 0; q < panels; q++) {
				float *to = total[r] + q * TILE_COLS;
				row16_store(to, set ? acc[r][q] : row16_add(row16_load(to), acc[r][q]));
			}
	}
	for (int r = 0; r < rows; r++)
		memcpy(c + (size_t)r * g->ldc, total[r], (size_t)cols * sizeof(float));
}

VEC_INLINE void skinny_rows(const int rows, const int type, const struct gemm *g, int i, int p0, int p1)
{
	const int at_once = panels_at_once(rows);
	int p = p0;
	for (; p + at_once <= p1; p += at_once)
		skinny_panels(rows, at_once, type, g, i, p);
	for (; p < p1; p++)
		skinny_panels(rows, 1, type, g, i, p);
}

static void level_skinny(const struct gemm *g, int i, int m, int p0, int p1)
{
	if (g->type == KERNELS_F32)
		TILE_BY_ROWS(m, skinny_rows, KERNELS_F32, g, i, p0, p1)
	else if (g->type == KERNELS_BF16)
		TILE_BY_ROWS(m, skinny_rows, KERNELS_BF16, g, i, p0, p1)
	else
		TILE_BY_ROWS(m, skinny_rows, KERNELS_F16, g, i, p0, p1)
}

const struct gemm_level AT_LEVEL(cpu_level) = { LEVEL_NAME, TILE_ROWS, TILE_PANELS, level_tile, level_skinny };
