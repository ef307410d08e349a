/* cuda_chain_int.h: the product of bf16 operands by mma.sync, up to where its elements stand in registers.
 *
 * A block computes a tile of the result, a warp a part of it. Every element is one chain of mma.sync from 0, step after step in
 * ascending k: no tile shape enters it, so who chooses the tile changes no bit (cuda_gemm.cu). What is done with the elements is
 * the kernel's own affair: cuda_gemm.cu stores them, cuda_head.cu makes a loss of them. */
#ifndef KERNELS_CUDA_CHAIN_INT_H
#define KERNELS_CUDA_CHAIN_INT_H

#include "kernels/cuda_tile_int.h"

static inline int ceil_div(int a, int b)
{
	return a / b + (a % b != 0);
}

/* BM x BN of the result by a block, WM x WN by a warp, BK of k at a time, STAGES of them under way */
template <int BM_, int BN_, int BK_, int WM_, int WN_, int STAGES_> struct tile_shape {
	enum {
		BM = BM_,
		BN = BN_,
		BK = BK_,
		WM = WM_,
		WN = WN_,
		STAGES = STAGES_,
		THREADS = (BM / WM) * (BN / WN) * WARP,
		STAGE = (BM + BN) * BK, /* elements */
		SHARED_BYTES = STAGE * STAGES * 2
	};
};
typedef tile_shape<128, 128, 32, 64, 32, 4> tile_large;
typedef tile_shape<64, 64, 64, 32, 32, 4> tile_middle;
typedef tile_shape<16, 32, 64, 16, 16, 8> tile_skinny; /* at one row the weights stream by: 42 KB of them under way */

/* Tiles in groups of 8 rows of tiles: neighbours in time share what they read */
static __device__ __forceinline__ void tile_of_block(int *m, int *n, int m_tiles, int n_tiles)
{
	enum { GROUP = 8 };
	int group = blockIdx.x / (GROUP * n_tiles), first = group * GROUP;
	int high = m_tiles - first < GROUP ? m_tiles - first : GROUP, at = blockIdx.x % (GROUP * n_tiles);
	*m = first + at % high;
	*n = at / high;
}

template <int MI, int NI> static __device__ __forceinline__ void zero_accumulators(float (&acc)[MI][NI][4])
{
	UNROLL
	for (int i = 0; i < MI; i++)
		UNROLL
	for (int j = 0; j < NI; j++)
		UNROLL
	for (int e = 0; e < 4; e++)
		acc[i][j][e] = 0.0f;
}

/* The warp's part of the result M x N: its first row and column, and those of its block. Element acc[i][j][e] of a lane stands at
 * row + chain_row(i, e), col + chain_col(j, e). */
struct chain_place {
	int m0, n0, row, col;
};

template <class T> static __device__ __forceinline__ chain_place chain_at(int M, int N)
{
	int warp = threadIdx.x / WARP, m, n;
	tile_of_block(&m, &n, (M + T::BM - 1) / T::BM, (N + T::BN - 1) / T::BN);
	int m0 = m * T::BM, n0 = n * T::BN;
	return { m0, n0, m0 + warp / (T::BN / T::WN) * T::WM, n0 + warp % (T::BN / T::WN) * T::WN };
}

static __device__ __forceinline__ int chain_row(int i, int e)
{
	return i * 16 + (int)threadIdx.x % WARP / 4 + e / 2 * 8;
}

static __device__ __forceinline__ int chain_col(int j, int e)
{
	return j * 8 + (int)threadIdx.x % 4 * 2 + e % 2;
}

template <class T, bool A_ACROSS, bool B_ACROSS>
static __device__ __forceinline__ void stage_load(__nv_bfloat16 *stage, const tile_operand &a, const tile_operand &b,
						  const chain_place &at, int k0, int K)
{
	tile_load<T::BM, T::BK, T::THREADS, A_ACROSS>(stage, a, at.m0, k0, K);
	tile_load<T::BN, T::BK, T::THREADS, B_ACROSS>(stage + T::BM * T::BK, b, at.n0, k0, K);
}

/* acc = sum over k of a[m][k] b[n][k]; stages: T::SHARED_BYTES of shared memory. All threads of the block. */
template <class T, bool A_ACROSS, bool B_ACROSS>
static __device__ __forceinline__ void chain_product(float (&acc)[T::WM / 16][T::WN / 8][4], __nv_bfloat16 *stages,
						     const tile_operand &a, const tile_operand &b,
						     const chain_place &at, int K)
{
	enum { MI = T::WM / 16, NI = T::WN / 8 };
	int n_k = (K + T::BK - 1) / T::BK, wm = at.row - at.m0, wn = at.col - at.n0;
	zero_accumulators(acc);
	for (int s = 0; s < T::STAGES - 1; s++) {
		if (s < n_k)
			stage_load<T, A_ACROSS, B_ACROSS>(stages + s * T::STAGE, a, b, at, s * T::BK, K);
		cp_async_commit();
	}
	for (int t = 0; t < n_k; t++) {
		cp_async_wait<T::STAGES - 2>();
		__syncthreads(); /* stage t is here; nobody reads the one before it any more, which is filled next */
		int next = t + T::STAGES - 1;
		if (next < n_k)
			stage_load<T, A_ACROSS, B_ACROSS>(stages + next % T::STAGES * T::STAGE, a, b, at, next * T::BK,
							  K);
		cp_async_commit();
		const __nv_bfloat16 *ta = stages + t % T::STAGES * T::STAGE, *tb = ta + T::BM * T::BK;
		/* steps of nothing but zeros are left out: how many there would be depends on the tile */
		int left = K - t * T::BK, k_end = left < T::BK ? left : T::BK;
		UNROLL
		for (int k = 0; k < T::BK; k += 16) {
			if (k >= k_end)
				break;
			uint32_t fa[MI][4], fb[NI / 2][4];
			UNROLL
			for (int i = 0; i < MI; i++)
				tile_fragment<T::BM, T::BK, A_ACROSS>(fa[i], ta, wm + i * 16, k, false);
			UNROLL
			for (int j = 0; j < NI / 2; j++)
				tile_fragment<T::BN, T::BK, B_ACROSS>(fb[j], tb, wn + j * 16, k, true);
			UNROLL
			for (int i = 0; i < MI; i++)
				UNROLL
			for (int j = 0; j < NI; j++)
				mma_bf16(acc[i][j], fa[i], fb[j / 2] + j % 2 * 2);
		}
	}
	cp_async_wait<0>();
}

#endif
