/* cpu_blis.c: the three matrix products by BLIS, where the tile of tile_int.h has no tuned instructions.
 *
 * BLIS gives every element one order of operations at any number of rows and threads, if its path for small matrices is
 * off: then edges are computed with the full micro-kernel into a buffer, K is cut at a fixed size, and threads divide M
 * and N only. (Measured over many shapes; OpenBLAS and oneDNN have no such mode.) The runtime object says so per call
 * and carries the number of threads. */
#include "base/base.h"
#include "kernels/kernels_int.h"

/* BLIS's header, not ours: it uses what our warnings forbid */
#include <blis.h>

static void blis_run(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta,
		     inc_t a_row, inc_t a_col, inc_t b_row, inc_t b_col)
{
	if (M <= 0 || N <= 0)
		return;
	if (K <= 0) {
		if (beta == 0)
			memset(c, 0, (size_t)M * (size_t)N * sizeof(float));
		return;
	}
	float one = 1, scale = beta;
	rntm_t how;
	bli_rntm_init_from_global(&how);
	bli_rntm_set_num_threads(cpu_threads(be, (size_t)M * (size_t)N * (size_t)K / 32), &how);
	bli_rntm_disable_l3_sup(&how);
	/* BLIS takes no const, and writes to neither */
	bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, M, N, K, &one, (float *)(uintptr_t)a, a_row, a_col,
		     (float *)(uintptr_t)b, b_row, b_col, &scale, c, N, 1, NULL, &how);
}

void cpu_blis_nt(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	blis_run(be, c, a, b, M, N, K, beta, K, 1, 1, K);
}

void cpu_blis_nn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	blis_run(be, c, a, b, M, N, K, beta, K, 1, N, 1);
}

void cpu_blis_tn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	blis_run(be, c, a, b, M, N, K, beta, 1, M, N, 1);
}
