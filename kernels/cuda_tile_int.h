/* cuda_tile_int.h: tiles of bf16 in shared memory, as the products of cuda_gemm.cu read them.
 *
 * An operand of a product is a matrix whose one index is summed over (k) and whose other one stays (i: a row of the
 * result, or a column). It lies in memory with k side by side ("along": x and W of a linear layer) or with i side by side
 * ("across": W for dx, both sides of dw). A tile keeps that order, so that 16 bytes of memory are 16 bytes of the tile, and
 * ldmatrix turns it on the way to the registers where it lies across.
 *
 * Rows of a tile would begin in the same bank; so the 16-byte pieces of row r are swapped by an exclusive or with the low
 * bits of r: the eight rows that ldmatrix reads at once lie in eight different groups of banks. */
#ifndef KERNELS_CUDA_TILE_INT_H
#define KERNELS_CUDA_TILE_INT_H

#include "kernels/cuda_device.h"
#include "kernels/kernels.h"

/* In front of every loop that walks an array of registers: one index that is not known at compile time, and the array lies in
 * memory (make cuda-report shows it as a stack frame). */
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

struct tile_operand {
	const __nv_bfloat16 *p; /* 16-byte aligned */
	size_t stride;          /* elements, a multiple of 8 */
	int n;                  /* how many i there are: beyond are zeros */
	int gap = 0;            /* a graph compares the arguments of kernels as bytes (cuda_graph.cu) */
};

/* cuda_gemm.cu: a weight, of which n rows count, and dense rows of x[rows,cols], found again or converted, as operands that last while nothing
 * but products run. .p NULL: an error is on record. before: cuda_launches() when the operation began */
tile_operand cuda_weight_operand(struct backend *be, const struct kernels_weight *w, int n);
tile_operand cuda_rows_operand(struct backend *be, const float *x, int rows, int cols, uint64_t before);

/* Where piece c (8 elements) of row r stands, rows having `pieces` of them */
template <int pieces> static __device__ __forceinline__ int tile_piece(int r, int c)
{
	return pieces >= 8 ? c ^ (r & 7) : c ^ ((r >> 1) & (pieces - 1));
}

/* tile <- i0 .. i0 + N, k0 .. k0 + K of the operand; by all threads of the block, asynchronously */
template <int N, int K, int THREADS, bool ACROSS>
static __device__ __forceinline__ void tile_load(__nv_bfloat16 *tile, const tile_operand &o, int i0, int k0, int k_end)
{
	enum { ROWS = ACROSS ? K : N, PIECES = (ACROSS ? N : K) / 8 };
	for (int at = threadIdx.x; at < ROWS * PIECES; at += THREADS) {
		int r = at / PIECES, c = at % PIECES;
		int row = (ACROSS ? k0 : i0) + r, col = (ACROSS ? i0 : k0) + c * 8;
		int rows = ACROSS ? k_end : o.n, cols = ACROSS ? o.n : k_end;
		int left = row < rows ? (cols - col) * 2 : 0;
		left = left < 0 ? 0 : left > 16 ? 16 : left;
		const __nv_bfloat16 *from = left ? o.p + (size_t)row * o.stride + col : o.p;
		cp_async16(tile + (r * PIECES + tile_piece<PIECES>(r, c)) * 8, from, left);
	}
}

/* Two 8x8 halves by two: i, i + 8 of the tile by k, k + 8. first_k: the pair in k comes before the pair in i (b of an
 * mma), else behind it (a). */
template <int N, int K, bool ACROSS>
static __device__ __forceinline__ void tile_fragment(uint32_t r[4], const __nv_bfloat16 *tile, int i, int k,
						     bool first_k)
{
	enum { PIECES = (ACROSS ? N : K) / 8 };
	int lane = threadIdx.x % WARP, which = lane / 8;
	int di = first_k ? which / 2 * 8 : which % 2 * 8, dk = first_k ? which % 2 * 8 : which / 2 * 8;
	int row = ACROSS ? k + dk + lane % 8 : i + di + lane % 8, col = ACROSS ? i + di : k + dk;
	const __nv_bfloat16 *at = tile + (row * PIECES + tile_piece<PIECES>(row, col / 8)) * 8;
	if (ACROSS)
		ldmatrix_x4_trans(r, at);
	else
		ldmatrix_x4(r, at);
}

#endif
