/* tile_int.h: the one inner loop of every matrix product of the fast CPU back end, and the packing it wants.
 *
 * The tile computes a few rows of c by one panel of 16 columns, or by two, from a[rows, k] and packed panels b[k, 16]. A
 * lane is a column of the result, never a part of a sum: each element is one chain of fused multiply-adds over k in
 * ascending order, in a register; whether a row shares its tile with others, and how wide the registers are, does not
 * matter to it. So the two sizes below give the same bits:
 *	AVX2       6 rows x 1 panel: 12 accumulators, 2 registers of b and 1 of a, of 16
 *	AVX-512   12 rows x 2 panels: 24 accumulators, 2 of b and 1 of a, of 32
 * which is the widest that fits: 12 multiply-adds stand against 8 loads, or 24 against 14. */
#ifndef KERNELS_TILE_INT_H
#define KERNELS_TILE_INT_H

#include "kernels/row16_int.h"

#ifdef __AVX512F__
enum { TILE_ROWS = 12, TILE_PANELS = 2, TILE_COLS = 16 };
#else
enum { TILE_ROWS = 6, TILE_PANELS = 1, TILE_COLS = 16 };
#endif

enum tile_mode {
	TILE_SET,   /* c = sum */
	TILE_ADD,   /* c = c + sum, the sum from 0 */
	TILE_CHAIN, /* c is where the chain of multiply-adds begins */
};

/* Where a tile reads: a[r, k] stands at a[r * ra + k * ka]; row k of panel p at b[p * panel + k * ldb]. */
struct tile_from {
	const float *a, *b;
	size_t ra, ka, ldb, panel;
};

/* c[rows, panels of 16] from k steps, whole panels only */
VEC_INLINE void tile_whole(const int rows, const int panels, const struct tile_from *from, float *c, size_t ldc, int k,
			   enum tile_mode mode)
{
	row16 acc[TILE_ROWS][TILE_PANELS];
	const float *a = from->a, *b = from->b;
	const size_t ra = from->ra, ka = from->ka, ldb = from->ldb, panel = from->panel;
#pragma GCC unroll 12
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
		for (int p = 0; p < panels; p++) {
			float *to = c + (size_t)r * ldc + (size_t)p * TILE_COLS;
			acc[r][p] = mode == TILE_CHAIN ? row16_load(to) : row16_all(0);
			__builtin_prefetch(to, 1); /* wanted in the end, and far: rows of c are pages apart */
		}
	for (int i = 0; i < k; i++, a += ka, b += ldb) {
		row16 w[TILE_PANELS];
#pragma GCC unroll 2
		for (int p = 0; p < panels; p++)
			w[p] = row16_load(b + (size_t)p * panel);
#pragma GCC unroll 12
		for (int r = 0; r < rows; r++) {
			float x = a[(size_t)r * ra];
#pragma GCC unroll 2
			for (int p = 0; p < panels; p++)
				acc[r][p] = row16_fma(x, w[p], acc[r][p]);
		}
	}
#pragma GCC unroll 12
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
		for (int p = 0; p < panels; p++) {
			float *to = c + (size_t)r * ldc + (size_t)p * TILE_COLS;
			row16_store(to, mode == TILE_ADD ? row16_add(row16_load(to), acc[r][p]) : acc[r][p]);
		}
}

/* cols of the columns only, through a buffer, so that edges take the very same path */
VEC_INLINE void tile_edge(const int rows, const int panels, const struct tile_from *from, float *c, size_t ldc,
			  int cols, int k, enum tile_mode mode)
{
	enum { WIDE = TILE_PANELS * TILE_COLS };
	float edge[TILE_ROWS][WIDE];
	for (int r = 0; mode != TILE_SET && r < rows; r++)
		for (int j = 0; j < panels * TILE_COLS; j++)
			edge[r][j] = j < cols ? c[(size_t)r * ldc + (size_t)j] : 0.0f;
	tile_whole(rows, panels, from, edge[0], WIDE, k, mode);
	for (int r = 0; r < rows; r++)
		memcpy(c + (size_t)r * ldc, edge[r], (size_t)cols * sizeof(float));
}

VEC_INLINE void tile_rows(const int rows, const int panels, const struct tile_from *from, float *c, size_t ldc,
			  int cols, int k, enum tile_mode mode)
{
	if (cols == panels * TILE_COLS)
		tile_whole(rows, panels, from, c, ldc, k, mode);
	else
		tile_edge(rows, panels, from, c, ldc, cols, k, mode);
}

/* Calls f(rows, …) with rows, 1..12, as a constant, so that each count is a loop of its own */
#define TILE_BY_ROWS(rows, f, ...)                                                                                     \
	switch (rows) {                                                                                                \
		TILE_CASE(1, f, __VA_ARGS__)                                                                           \
		TILE_CASE(2, f, __VA_ARGS__)                                                                           \
		TILE_CASE(3, f, __VA_ARGS__)                                                                           \
		TILE_CASE(4, f, __VA_ARGS__)                                                                           \
		TILE_CASE(5, f, __VA_ARGS__)                                                                           \
		TILE_CASE(6, f, __VA_ARGS__)                                                                           \
		TILE_CASE(7, f, __VA_ARGS__)                                                                           \
		TILE_CASE(8, f, __VA_ARGS__)                                                                           \
		TILE_CASE(9, f, __VA_ARGS__)                                                                           \
		TILE_CASE(10, f, __VA_ARGS__)                                                                          \
		TILE_CASE(11, f, __VA_ARGS__)                                                                          \
		TILE_CASE(12, f, __VA_ARGS__)                                                                          \
	default:                                                                                                       \
		break;                                                                                                 \
	}
#define TILE_CASE(n, f, ...)                                                                                           \
	case n:                                                                                                        \
		if (n <= TILE_ROWS)                                                                                    \
			f(n, __VA_ARGS__);                                                                             \
		break;

/* One panel. a[r, k] stands at a[r * ra + k * ka]; the panel's rows are ldb floats apart; cols <= 16 of c are written. */
static inline void tile(int rows, const float *a, size_t ra, size_t ka, const float *b, size_t ldb, float *c,
			size_t ldc, int cols, int k, enum tile_mode mode)
{
	const struct tile_from from = { a, b, ra, ka, ldb, 0 };
	TILE_BY_ROWS(rows, tile_rows, 1, &from, c, ldc, cols, k, mode)
}

/* ---- packing --------------------------------------------------------------------------------------------------------- */

/* out[k, 16] = n <= 16 rows of k floats, transposed; the columns beyond n are 0 */
static inline void pack_pointers(float *out, const float *const *rows, int n, int k)
{
	int i = 0;
#if defined(__AVX2__) && defined(__FMA__)
	if (n == TILE_COLS)
		for (; i + 8 <= k; i += 8)
			for (int half = 0; half < 2; half++) {
				const float *const *p = rows + half * 8;
				float *o = out + (size_t)i * TILE_COLS + half * 8;
				__m256 r[8], t[8];
#pragma GCC unroll 4
				for (int j = 0; j < 4; j++) {
					r[j] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p[j] + i)),
								    _mm_loadu_ps(p[j + 4] + i), 1);
					r[j + 4] =
						_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p[j] + i + 4)),
								     _mm_loadu_ps(p[j + 4] + i + 4), 1);
				}
#pragma GCC unroll 2
				for (int j = 0; j < 8; j += 4) {
					t[j] = _mm256_unpacklo_ps(r[j], r[j + 1]);
					t[j + 1] = _mm256_unpackhi_ps(r[j], r[j + 1]);
					t[j + 2] = _mm256_unpacklo_ps(r[j + 2], r[j + 3]);
					t[j + 3] = _mm256_unpackhi_ps(r[j + 2], r[j + 3]);
					_mm256_storeu_ps(o + (size_t)j * TILE_COLS,
							 _mm256_shuffle_ps(t[j], t[j + 2], 0x44));
					_mm256_storeu_ps(o + (size_t)(j + 1) * TILE_COLS,
							 _mm256_shuffle_ps(t[j], t[j + 2], 0xee));
					_mm256_storeu_ps(o + (size_t)(j + 2) * TILE_COLS,
							 _mm256_shuffle_ps(t[j + 1], t[j + 3], 0x44));
					_mm256_storeu_ps(o + (size_t)(j + 3) * TILE_COLS,
							 _mm256_shuffle_ps(t[j + 1], t[j + 3], 0xee));
				}
			}
#endif
	for (; i < k; i++)
		for (int j = 0; j < TILE_COLS; j++)
			out[(size_t)i * TILE_COLS + (size_t)j] = j < n ? rows[j][i] : 0.0f;
}

/* the same from rows of stride ldb */
static inline void pack_transposed(float *out, const float *b, size_t ldb, int n, int k)
{
	const float *rows[TILE_COLS];
	for (int j = 0; j < TILE_COLS; j++)
		rows[j] = b + (size_t)(j < n ? j : 0) * ldb;
	pack_pointers(out, rows, n, k);
}

/* out[rows, ldo] = b[rows, n] scaled; the columns from n to ldo are 0 */
static inline void pack_rows(float *out, size_t ldo, const float *b, size_t ldb, int rows, int n, float scale)
{
	for (int i = 0; i < rows; i++) {
		float *o = out + (size_t)i * ldo;
		const float *p = b + (size_t)i * ldb;
#pragma omp simd
		for (int j = 0; j < n; j++)
			o[j] = p[j] * scale;
		for (size_t j = (size_t)n; j < ldo; j++)
			o[j] = 0.0f;
	}
}

#endif
