/* gemm_int.h: one product as the driver (cpu_gemm.c) hands it to the inner loops (cpu_level.c), and the levels of
 * instructions that these exist for. A level is chosen when the back end is opened. It is a matter of speed alone: all
 * give the same bits. */
#ifndef KERNELS_GEMM_INT_H
#define KERNELS_GEMM_INT_H

#include "kernels/kernels_int.h"
#include "kernels/tile_int.h"

enum {
	K_BLOCK = 256, /* part of the numerics: another value is another class */
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

struct gemm_level {
	const char *name;
	int rows;   /* of a tile, and of a group of packed rows of a */
	int panels; /* side by side in a tile */
	/* c[m <= rows, cols] from a packed [k][rows] and panels of b, `panel` floats apart; cols > 0 decides how many */
	void (*tile)(int m, const float *a, const float *b, size_t panel, float *c, size_t ldc, int cols, int k,
		     enum tile_mode mode);
	/* All of K for rows i..i+m (m <= rows) and panels p0..p1 of a packed weight, which is read once, front to back */
	void (*skinny)(const struct gemm *g, int i, int m, int p0, int p1);
};

/* AVX2 (or what the compiler makes of it); and AVX-512, which is empty where it was not compiled in. */
extern const struct gemm_level cpu_level, cpu_level_v4;

static inline enum tile_mode gemm_mode(const struct gemm *g, int k0)
{
	return k0 == 0 && !g->add && !g->bias ? TILE_SET : TILE_ADD;
}

#endif
