/* cuda_attn_back.cu: the gradients of attention, over whole sequences, on tensor cores.
 *
 *	delta = dout.out;  p = e^(scale q.k - lse);  dp = dout.v;  ds = p (dp - delta)
 *	dv = p^T dout;  dk = scale ds^T q;  dq = scale ds k
 *
 * Two kernels. A block of the first owns 64 keys of a key head: it walks the query heads of the group, and for each the
 * tiles of queries at and after its keys, and keeps dk and dv in registers. A block of the second owns 64 queries and walks
 * their keys for dq. So p is computed twice (7 products in place of 5), and in exchange nothing is added up across blocks: no
 * atomics, no turns to wait for, no buffer of partial dq, one fixed order. That costs 1.4x the flops of FlashAttention-2's
 * backward and is the way that can be tested without a card; where one is, FlashAttention-3 holds its order by
 * semaphores at 17 % (flash-attention issue 1893).
 *
 * p and ds are rounded to bf16 where they are multiplied on; sums are fp32. With heads above 128 a block of the first kernel has
 * half the columns of dk and dv, which is what registers hold, and the scores are computed in both. */
#include "kernels/cuda_attn_int.h"

#include <vector>

enum { THREADS = 128, QUERIES = 32, KEYS_STEP = 32 };

/* delta[t, h] = dout . out; a warp has a head */
static __global__ void delta_kernel(float *delta, const float *dout, const float *out, size_t stride, size_t heads,
				    int H, int D)
{
	size_t i = (size_t)blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP;
	if (i >= heads)
		return;
	size_t at = i / (size_t)H * stride + i % (size_t)H * (size_t)D;
	float s = 0;
	for (int d = (int)threadIdx.x % WARP; d < D; d += WARP)
		s = fmaf(dout[at + d], out[at + d], s);
	s = warp_sum(s);
	if (threadIdx.x % WARP == 0)
		delta[i] = s;
}

/* `room` rows to shared memory as bf16, of which n are there */
template <int DP>
static __device__ __forceinline__ void round_tile(__nv_bfloat16 *tile, const float *rows, size_t stride, int room,
						  int n, int D)
{
	const int PITCH = attn_tile<DP>::PITCH, CHUNKS = DP / 8;
	for (int i = (int)threadIdx.x; i < room * CHUNKS; i += THREADS) {
		int r = i / CHUNKS, c = i % CHUNKS;
		if (r < n)
			round_chunk(tile + r * PITCH + c * 8, rows + (size_t)r * stride, c, D);
		else
			zero_chunk(tile + r * PITCH + c * 8);
	}
}

template <int N> static __device__ __forceinline__ void clear(float d[N][4])
{
#pragma unroll
	for (int n = 0; n < N; n++)
		d[n][0] = d[n][1] = d[n][2] = d[n][3] = 0;
}

/* ---- dk and dv --------------------------------------------------------------------------------------------------------------- */

/* COLS columns of dk and dv, from blockIdx.z COLS on */
template <int DP, int COLS> static __global__ void __launch_bounds__(THREADS) attn_back_keys_kernel(attn_back_args a)
{
	const int PITCH = attn_tile<DP>::PITCH;
	DYN_SHARED(__nv_bfloat16, room);
	__nv_bfloat16 *sk = room, *sv = sk + ATTN_ROWS * PITCH, *sq = sv + ATTN_ROWS * PITCH,
		      *sd = sq + QUERIES * PITCH;
	/* lse and delta of a query stand behind its row, in the 16 bytes between rows: at 256 columns there is no other room left on cards
	 * that grant a block 99 KB */
	float *behind = reinterpret_cast<float *>(sq + DP);
	const int STEP = PITCH / 2;
	const attn_block b = a.blocks[blockIdx.x];
	int kv = (int)blockIdx.y, D = a.head_dim, j0 = b.first, keys = min((int)ATTN_ROWS, b.n - j0);
	int tid = (int)threadIdx.x, warp = tid / WARP, lane = tid % WARP, g = lane / 4, t = lane % 4;
	int col0 = (int)blockIdx.z * COLS, end = a.window > 0 ? min(b.n, j0 + ATTN_ROWS - 1 + a.window) : b.n;
	const float log2e = 1.4426950408889634f, scale = a.scale * log2e;
	size_t k_at = (size_t)(b.k_start + j0) * a.kv_stride + (size_t)(kv * D);
	round_tile<DP>(sk, a.k + k_at, a.kv_stride, ATTN_ROWS, keys, D);
	round_tile<DP>(sv, a.v + k_at, a.kv_stride, ATTN_ROWS, keys, D);
	float dk[COLS / 8][4], dv[COLS / 8][4];
	clear<COLS / 8>(dk);
	clear<COLS / 8>(dv);
	for (int h = kv * a.group; h < (kv + 1) * a.group; h++)
		for (int i0 = j0; i0 < end; i0 += QUERIES) {
			size_t row0 = (size_t)(b.q_row + i0);
			round_tile<DP>(sq, a.q + row0 * a.q_stride + (size_t)(h * D), a.q_stride, QUERIES, b.n - i0, D);
			round_tile<DP>(sd, a.dout + row0 * a.o_stride + (size_t)(h * D), a.o_stride, QUERIES, b.n - i0,
				       D);
			if (tid < QUERIES && i0 + tid < b.n) {
				size_t at = (row0 + (size_t)tid) * (size_t)a.heads + (size_t)h;
				behind[tid * STEP] = a.lse[at] * log2e;
				behind[tid * STEP + 1] = a.delta[at];
			}
			__syncthreads();
			float p[QUERIES / 8][4], ds[QUERIES / 8][4]; /* rows are keys, columns queries */
			clear<QUERIES / 8>(p);
			clear<QUERIES / 8>(ds);
			multiply_rows<DP, QUERIES / 8>(p, sk + warp * 16 * PITCH, sq);
			multiply_rows<DP, QUERIES / 8>(ds, sv + warp * 16 * PITCH, sd);
#pragma unroll
			for (int n = 0; n < QUERIES / 8; n++)
#pragma unroll
				for (int e = 0; e < 4; e++) {
					int i = n * 8 + 2 * t + e % 2, key = j0 + warp * 16 + g + e / 2 * 8;
					bool seen = i0 + i < b.n && attn_sees(a.window, i0 + i, key);
					float w = seen ? exp2_fast(fmaf(p[n][e], scale, -behind[i * STEP])) : 0.0f;
					p[n][e] = w;
					ds[n][e] = seen ? w * (ds[n][e] - behind[i * STEP + 1]) : 0.0f;
				}
			multiply_weights<PITCH, COLS, QUERIES / 8>(dv, p, sd, col0);
			multiply_weights<PITCH, COLS, QUERIES / 8>(dk, ds, sq, col0);
			__syncthreads();
		}
#pragma unroll
	for (int n = 0; n < COLS / 8; n++)
#pragma unroll
		for (int e = 0; e < 4; e++) {
			int row = warp * 16 + g + e / 2 * 8, d = col0 + n * 8 + 2 * t + e % 2;
			if (row < keys && d < D) {
				a.dk[k_at + (size_t)row * a.kv_stride + (size_t)d] = dk[n][e] * a.scale;
				a.dv[k_at + (size_t)row * a.kv_stride + (size_t)d] = dv[n][e];
			}
		}
}

/* ---- dq ------------------------------------------------------------------------------------------------------------------------- */

template <int DP> static __global__ void __launch_bounds__(THREADS) attn_back_queries_kernel(attn_back_args a)
{
	const int PITCH = attn_tile<DP>::PITCH;
	DYN_SHARED(__nv_bfloat16, room);
	__nv_bfloat16 *sq = room, *sd = sq + ATTN_ROWS * PITCH, *sk = sd + ATTN_ROWS * PITCH,
		      *sv = sk + KEYS_STEP * PITCH;
	const attn_block b = a.blocks[blockIdx.x];
	int h = (int)blockIdx.y, kv = h / a.group, D = a.head_dim, i0 = b.first,
	    queries = min((int)ATTN_ROWS, b.n - i0);
	int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
	const float log2e = 1.4426950408889634f, scale = a.scale * log2e;
	size_t row0 = (size_t)(b.q_row + i0), q_at = row0 * a.q_stride + (size_t)(h * D);
	round_tile<DP>(sq, a.q + q_at, a.q_stride, ATTN_ROWS, queries, D);
	round_tile<DP>(sd, a.dout + row0 * a.o_stride + (size_t)(h * D), a.o_stride, ATTN_ROWS, queries, D);
	float lse[2], delta[2], dq[DP / 8][4];
	int position[2]; /* of the lane's two rows; -1: no row, which sees nothing */
	for (int half = 0; half < 2; half++) {
		int r = warp * 16 + g + half * 8;
		size_t at = (row0 + (size_t)r) * (size_t)a.heads + (size_t)h;
		position[half] = r < queries ? i0 + r : -1;
		lse[half] = r < queries ? a.lse[at] * log2e : 0;
		delta[half] = r < queries ? a.delta[at] : 0;
	}
	clear<DP / 8>(dq);
	for (int j0 = attn_first_key(a.window, i0) / KEYS_STEP * KEYS_STEP; j0 < i0 + queries; j0 += KEYS_STEP) {
		size_t k_at = (size_t)(b.k_start + j0) * a.kv_stride + (size_t)(kv * D);
		round_tile<DP>(sk, a.k + k_at, a.kv_stride, KEYS_STEP, b.n - j0, D);
		round_tile<DP>(sv, a.v + k_at, a.kv_stride, KEYS_STEP, b.n - j0, D);
		__syncthreads();
		float p[KEYS_STEP / 8][4], ds[KEYS_STEP / 8][4];
		clear<KEYS_STEP / 8>(p);
		clear<KEYS_STEP / 8>(ds);
		multiply_rows<DP, KEYS_STEP / 8>(p, sq + warp * 16 * PITCH, sk);
		multiply_rows<DP, KEYS_STEP / 8>(ds, sd + warp * 16 * PITCH, sv);
#pragma unroll
		for (int n = 0; n < KEYS_STEP / 8; n++)
#pragma unroll
			for (int e = 0; e < 4; e++) {
				int half = e / 2;
				bool seen = attn_sees(a.window, position[half], j0 + n * 8 + 2 * t + e % 2);
				float w = seen ? exp2_fast(fmaf(p[n][e], scale, -lse[half])) : 0.0f;
				ds[n][e] = seen ? w * (ds[n][e] - delta[half]) : 0.0f;
			}
		multiply_weights<PITCH, DP, KEYS_STEP / 8>(dq, ds, sk, 0);
		__syncthreads();
	}
#pragma unroll
	for (int n = 0; n < DP / 8; n++)
#pragma unroll
		for (int e = 0; e < 4; e++) {
			int row = warp * 16 + g + e / 2 * 8, d = n * 8 + 2 * t + e % 2;
			if (row < queries && d < D)
				a.dq[q_at + (size_t)row * a.q_stride + (size_t)d] = dq[n][e] * a.scale;
		}
}

/* ---- the operation ------------------------------------------------------------------------------------------------------------- */

/* Tiles of `rows` of all sequences, those with the longest walk over queries first */
static std::vector<attn_block> back_blocks(const struct kernels_seqs *seqs, int rows)
{
	std::vector<attn_block> blocks;
	for (int s = 0; s < seqs->n; s++) {
		int n = seqs->q_start[s + 1] - seqs->q_start[s];
		for (int at = 0; at < n; at += rows)
			blocks.push_back({ seqs->q_start[s], at, n, seqs->k_start[s] });
	}
	return blocks;
}

template <int DP> static void attn_back_bf16(struct backend *be, const attn_back_args *a, int n_blocks)
{
	const int COLS = DP <= 128 ? DP : 128;
	unsigned parts = (unsigned)((a->head_dim + COLS - 1) / COLS);
	size_t shared = (size_t)(2 * ATTN_ROWS + 2 * QUERIES) * attn_tile<DP>::PITCH * sizeof(__nv_bfloat16);
	if (!cuda_allow_shared(be, attn_back_keys_kernel<DP, COLS>, shared,
			       "the gradient of attention of this head size") ||
	    !cuda_allow_shared(be, attn_back_queries_kernel<DP>, shared, "the gradient of attention of this head size"))
		return;
	CUDA_LAUNCH(be, (attn_back_keys_kernel<DP, COLS>), dim3((unsigned)n_blocks, (unsigned)a->kv_heads, parts),
		    dim3(THREADS), shared, *a);
	CUDA_LAUNCH(be, (attn_back_queries_kernel<DP>), dim3((unsigned)n_blocks, (unsigned)a->heads), dim3(THREADS),
		    shared, *a);
}

void cuda_attn_back(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
		    const float *lse, const float *q, const float *k, const float *v, const struct kernels_seqs *seqs,
		    const struct kernels_attn *shape)
{
	bool bf16 = cuda_math(be) == CUDA_MATH_BF16;
	attn_back_args a = {};
	a.dq = dq, a.dk = dk, a.dv = dv;
	a.dout = dout, a.out = out, a.lse = lse, a.q = q, a.k = k, a.v = v;
	a.q_stride = (size_t)shape->q_stride, a.kv_stride = (size_t)shape->kv_stride,
	a.o_stride = (size_t)shape->o_stride;
	a.heads = shape->heads, a.kv_heads = shape->kv_heads, a.head_dim = shape->head_dim;
	a.group = shape->heads / shape->kv_heads;
	a.window = shape->window;
	a.scale = shape->scale;
	std::vector<attn_block> blocks = back_blocks(seqs, bf16 ? ATTN_ROWS : 32);
	if (blocks.empty())
		return;
	size_t heads = (size_t)seqs->q_start[seqs->n] * (size_t)a.heads;
	a.blocks = (const attn_block *)cuda_stage(be, blocks.data(), blocks.size() * sizeof(blocks[0]));
	a.delta = (float *)cuda_scratch(be, heads * sizeof(float));
	if (!a.blocks || !a.delta)
		return;
	CUDA_LAUNCH(be, delta_kernel, dim3((unsigned)((heads + THREADS / WARP - 1) / (THREADS / WARP))), dim3(THREADS),
		    0, a.delta, dout, out, a.o_stride, heads, a.heads, a.head_dim);
	if (bf16)
		ATTN_BY_HEAD(be, a.head_dim, attn_back_bf16, be, &a, (int)blocks.size());
	else
		cuda_attn_back_f32(be, &a, (int)blocks.size());
}
