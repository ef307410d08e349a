/* tile_int.h: the one inner loop of every matrix product of the fast CPU back end, and the packing it wants.
 *
 * The tile computes up to 6 rows by 16 columns of c from a[rows, k] and a packed panel b[k, 16]. A lane is a column of the
 * result, never a part of a sum: each element is one chain of fused multiply-adds over k in ascending order, in a
 * register; whether a row shares its tile with others does not matter to it. 6 x 2 accumulators, 2 of b and 1 of a fill the
 * 16 registers of AVX2; 12 multiply-adds stand against 8 loads, so both multiply-add ports can be busy. */
#ifndef KERNELS_TILE_INT_H
#define KERNELS_TILE_INT_H

#include "kernels/vec_int.h"

enum { TILE_ROWS = 6, TILE_COLS = 16 };

enum tile_mode {
	TILE_SET,   /* c = sum */
	TILE_ADD,   /* c = c + sum, the sum from 0 */
	TILE_CHAIN, /* c is where the chain of multiply-adds begins */
};

/* a[r, k] stands at a[r * ra + k * ka]; the panel's rows are ldb floats apart. cols < 16 writes only those of c. */
VEC_INLINE void tile_rows(const int rows, const float *a, size_t ra, size_t ka, const float *b, size_t ldb, float *c,
			  size_t ldc, int cols, int k, enum tile_mode mode)
{
	v8f acc[TILE_ROWS][2];
	float edge[TILE_ROWS][TILE_COLS];
	float *to = c;
	size_t ldto = ldc;
	if (cols < TILE_COLS) { /* through a buffer, so that edges take the very same path */
		to = edge[0];
		ldto = TILE_COLS;
		if (mode != TILE_SET)
			for (int r = 0; r < rows; r++)
				for (int j = 0; j < TILE_COLS; j++)
					edge[r][j] = j < cols ? c[(size_t)r * ldc + (size_t)j] : 0.0f;
	}
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		bool chain = mode == TILE_CHAIN;
		acc[r][0] = chain ? v8f_load(to + (size_t)r * ldto) : v8f_all(0);
		acc[r][1] = chain ? v8f_load(to + (size_t)r * ldto + 8) : v8f_all(0);
	}
	for (int i = 0; i < k; i++) {
		v8f b0 = v8f_load(b), b1 = v8f_load(b + 8);
#pragma GCC unroll 6
		for (int r = 0; r < rows; r++) {
			v8f x = v8f_all(a[(size_t)r * ra]);
			acc[r][0] = v8f_fma(x, b0, acc[r][0]);
			acc[r][1] = v8f_fma(x, b1, acc[r][1]);
		}
		a += ka;
		b += ldb;
	}
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		float *p = to + (size_t)r * ldto;
		bool add = mode == TILE_ADD;
		v8f_store(p, add ? v8f_load(p) + acc[r][0] : acc[r][0]);
		v8f_store(p + 8, add ? v8f_load(p + 8) + acc[r][1] : acc[r][1]);
	}
	if (cols < TILE_COLS)
		for (int r = 0; r < rows; r++)
			memcpy(c + (size_t)r * ldc, edge[r], (size_t)cols * sizeof(float));
}

static inline void tile(int rows, const float *a, size_t ra, size_t ka, const float *b, size_t ldb, float *c,
			size_t ldc, int cols, int k, enum tile_mode mode)
{
	switch (rows) {
	case 6:
		tile_rows(6, a, ra, ka, b, ldb, c, ldc, cols, k, mode);
		break;
	case 5:
		tile_rows(5, a, ra, ka, b, ldb, c, ldc, cols, k, mode);
		break;
	case 4:
		tile_rows(4, a, ra, ka, b, ldb, c, ldc, cols, k, mode);
		break;
	case 3:
		tile_rows(3, a, ra, ka, b, ldb, c, ldc, cols, k, mode);
		break;
	case 2:
		tile_rows(2, a, ra, ka, b, ldb, c, ldc, cols, k, mode);
		break;
	case 1:
		tile_rows(1, a, ra, ka, b, ldb, c, ldc, cols, k, mode);
		break;
	default:
		break;
	}
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
					r[j] = _mm256_insertf128_ps(
						_mm256_castps128_ps256(_mm_loadu_ps(p[j] + i)),
						_mm_loadu_ps(p[j + 4] + i), 1);
					r[j + 4] = _mm256_insertf128_ps(
						_mm256_castps128_ps256(_mm_loadu_ps(p[j] + i + 4)),
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
