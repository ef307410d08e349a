/* cuda_attn_f32.cu: attention of the classes f32 and tf32: the tiles of cuda_attn.cu and cuda_attn_back.cu in fp32, by
 * multiply-adds. It is the twin that a doubted bf16 number is compared with, and the place where exponentials are our own.
 *
 * Forward: 256 threads have 64 rows; four neighbours share a row's scores, sixteen its columns of the output. Sums run over D
 * and over the keys of a tile in ascending order, whatever else is in the block, so the same bits hold as there.
 *
 * Backward: a block owns 32 keys or 32 queries; eight threads share a row of them. What they meet comes in tiles, in ascending order,
 * and every sum goes on from tile to tile: so the height of these is no part of the numerics.
 *
 * Heads of 129 to 256 numbers fit in the 99 KB that the cards of graphics grant a block, by one shape on all cards. Forward, keys
 * and values are in shared memory by 128 columns at a time (89 KB; whole tiles would be 105 KB): the sums have the order they
 * had, nothing is read twice, and two barriers more stand before each second half, 4 beside the 4096 multiply-adds a thread of
 * a tile. Backward, the tiles that are met have 8 rows (83 KB; 16 would be 101, 32 are 137 KB): three barriers for 1024
 * multiply-adds, in exchange for two blocks on a processor of an H100 where 137 KB left room for one. Reckoned, not measured. */
#include "kernels/cuda_attn_int.h"

enum { THREADS = 256, OWN = 32 };

/* Blocks of a processor, which shared memory leaves room for: the registers are then so many that none are spilled */
#define BLOCKS(DP) ((DP) <= 128 ? 2 : 1)

/* Columns of keys and values at a time, forward; rows that meet a block's own, backward */
#define WIDTH(DP) ((DP) <= 128 ? (DP) : 128)
#define MET(DP) ((DP) <= 128 ? 32 : 8)

/* ---- forward ------------------------------------------------------------------------------------------------------------ */

/* Keys j.. or values, of them the columns from d0 on, to tile[key][d - d0], zero where there are none */
template <int DP>
static __device__ __forceinline__ void load_floats_tile(float *tile, const attn_args &a, const attn_place &p,
							const float *from, const float *cache, int j, int end, int d0)
{
	const int W = WIDTH(DP);
	for (int i = (int)threadIdx.x; i < attn_tile<DP>::KEYS * W; i += THREADS) {
		int key = i / W, d = d0 + i % W;
		float v = 0;
		if (j + key < end && d < a.head_dim) {
			int32_t row = p.b.k_start + j + key;
			row = a.k_rows ? a.k_rows[row] : row;
			const float *r = row >= 0 ? from + (size_t)row * a.kv_stride
						  : cache + (size_t)(-1 - row) * a.cache_stride;
			v = r[(size_t)p.kv * (size_t)a.head_dim + (size_t)d];
		}
		tile[key * (W + 1) + i % W] = v;
	}
}

template <int DP> static __global__ void __launch_bounds__(THREADS, BLOCKS(DP)) attn_f32_kernel(attn_args a)
{
	const int KEYS = attn_tile<DP>::KEYS, P = DP + 1, SP = KEYS + 1, COLS = DP / 16, W = WIDTH(DP), TP = W + 1;
	DYN_SHARED(float, room);
	float *sq = room, *tile = sq + ATTN_ROWS * P, *ss = tile + KEYS * TP, *keeps = ss + ATTN_ROWS * SP;
	const attn_place p = attn_here(a);
	int tid = (int)threadIdx.x, rows = p.b.n * p.company, end = p.b.first + p.b.n;
	int begin = attn_first_key(a.window, p.b.first) / KEYS * KEYS;
	for (int i = tid; i < ATTN_ROWS * DP; i += THREADS) {
		int r = i / DP, d = i % DP;
		size_t t = (size_t)(p.b.q_row + r / p.company), h = (size_t)(p.head + r % p.company);
		sq[r * P + d] =
			r < rows && d < a.head_dim ? a.q[t * a.q_stride + h * (size_t)a.head_dim + d] * a.scale : 0;
	}
	int row = tid / 4, part = tid % 4; /* of the softmax */
	int position = row < rows ? p.b.first + row / p.company : -1;
	int ty = tid / 16 * 4, tx = tid % 16; /* four rows and every 16th key or column */
	float top = -INFINITY, sum = 0, acc[4][COLS];
#pragma unroll
	for (int i = 0; i < 4; i++)
#pragma unroll
		for (int c = 0; c < COLS; c++)
			acc[i][c] = 0;
	for (int j = begin; j < end; j += KEYS) {
		float s[4][KEYS / 16];
#pragma unroll
		for (int i = 0; i < 4; i++)
#pragma unroll
			for (int c = 0; c < KEYS / 16; c++)
				s[i][c] = 0;
		for (int d0 = 0; d0 < DP; d0 += W) {
			if (d0 > 0)
				__syncthreads();
			load_floats_tile<DP>(tile, a, p, a.k, a.cache_k, j, end, d0);
			__syncthreads();
			for (int d = 0; d < W; d++)
#pragma unroll
				for (int i = 0; i < 4; i++)
#pragma unroll
					for (int c = 0; c < KEYS / 16; c++)
						s[i][c] = fmaf(sq[(ty + i) * P + d0 + d], tile[(tx + c * 16) * TP + d],
							       s[i][c]);
		}
#pragma unroll
		for (int i = 0; i < 4; i++)
#pragma unroll
			for (int c = 0; c < KEYS / 16; c++)
				ss[(ty + i) * SP + tx + c * 16] = s[i][c];
		__syncthreads();
		load_floats_tile<DP>(tile, a, p, a.v, a.cache_v, j, end, 0);
		float m = -INFINITY, l = 0;
		for (int c = part; c < KEYS; c += 4)
			if (attn_sees(a.window, position, j + c))
				m = fmaxf(m, ss[row * SP + c]);
		m = fmaxf(m, __shfl_xor_sync(WARP_ALL, m, 1));
		m = fmaxf(m, __shfl_xor_sync(WARP_ALL, m, 2));
		m = fmaxf(m, top);
		float shift = m == -INFINITY ? 0.0f : m, keep = dm_expf(top - shift);
		for (int c = part; c < KEYS; c += 4) {
			float w = attn_sees(a.window, position, j + c) ? dm_expf(ss[row * SP + c] - shift) : 0.0f;
			ss[row * SP + c] = w;
			l += w;
		}
		l += __shfl_xor_sync(WARP_ALL, l, 1);
		l += __shfl_xor_sync(WARP_ALL, l, 2);
		sum = fmaf(sum, keep, l);
		top = m;
		if (part == 0)
			keeps[row] = keep;
		__syncthreads();
#pragma unroll
		for (int i = 0; i < 4; i++)
#pragma unroll
			for (int c = 0; c < COLS; c++)
				acc[i][c] *= keeps[ty + i];
#pragma unroll
		for (int d0 = 0; d0 < DP; d0 += W) {
			if (d0 > 0) {
				load_floats_tile<DP>(tile, a, p, a.v, a.cache_v, j, end, d0);
				__syncthreads();
			}
			for (int key = 0; key < KEYS; key++)
#pragma unroll
				for (int i = 0; i < 4; i++)
#pragma unroll
					for (int c = 0; c < W / 16; c++)
						acc[i][d0 / 16 + c] =
							fmaf(ss[(ty + i) * SP + key], tile[key * TP + tx + c * 16],
							     acc[i][d0 / 16 + c]);
			__syncthreads();
		}
	}
	if (part == 0) {
		keeps[row] = 1.0f / sum;
		size_t t = (size_t)(p.b.q_row + row / p.company), h = (size_t)(p.head + row % p.company);
		if (a.lse && row < rows)
			a.lse[t * (size_t)a.heads + h] = (float)((double)top + dm_log((double)sum));
	}
	__syncthreads();
	for (int i = 0; i < 4; i++) {
		int r = ty + i;
		size_t t = (size_t)(p.b.q_row + r / p.company), h = (size_t)(p.head + r % p.company);
#pragma unroll
		for (int c = 0; c < COLS; c++)
			if (r < rows && tx + c * 16 < a.head_dim)
				a.out[t * a.o_stride + h * (size_t)a.head_dim + tx + c * 16] =
					acc[i][c] * keeps[r] + 0.0f;
	}
}

template <int DP> static void attn_f32(struct backend *be, const attn_args *a, int n_blocks)
{
	const int KEYS = attn_tile<DP>::KEYS;
	size_t shared =
		(size_t)(ATTN_ROWS * (DP + 1) + KEYS * (WIDTH(DP) + 1) + ATTN_ROWS * (KEYS + 2)) * sizeof(float);
	if (cuda_allow_shared(be, attn_f32_kernel<DP>, shared, "attention of this head size in f32 or tf32"))
		CUDA_LAUNCH(be, (attn_f32_kernel<DP>), dim3((unsigned)n_blocks, (unsigned)(a->kv_heads * a->chunks)),
			    dim3(THREADS), shared, *a);
}

void cuda_attn_f32(struct backend *be, const attn_args *a, int n_blocks)
{
	ATTN_BY_HEAD(be, a->head_dim, attn_f32, be, a, n_blocks);
}

/* ---- backward ------------------------------------------------------------------------------------------------------------- */

/* n of ROWS rows from `rows` on, to tile[row][d] */
template <int DP, int ROWS>
static __device__ __forceinline__ void load_pair_tile(float *tile, const float *rows, size_t stride, int n, int D)
{
	for (int i = (int)threadIdx.x; i < ROWS * DP; i += THREADS) {
		int r = i / DP, d = i % DP;
		tile[r * (DP + 1) + d] = r < n && d < D ? rows[(size_t)r * stride + (size_t)d] : 0;
	}
}

/* Of QUERIES and KEYS rows: one of the two is OWN, the other MET */
template <int DP, int QUERIES, int KEYS> struct pair_tiles {
	static const int SP = KEYS + 1, FLOATS = 2 * (QUERIES + KEYS) * (DP + 1) + 2 * QUERIES * SP;
	float *q, *dout, *k, *v, *p, *ds; /* p and ds: [query][SP] */

	__device__ explicit pair_tiles(float *room)
	    : q(room), dout(q + QUERIES * (DP + 1)), k(dout + QUERIES * (DP + 1)), v(k + KEYS * (DP + 1)),
	      p(v + KEYS * (DP + 1)), ds(p + QUERIES * SP)
	{
	}
};

/* p and ds of the tiles' pairs: queries from i0 and keys from j0 of a sequence of n, query head h */
template <int DP, int QUERIES, int KEYS>
static __device__ __forceinline__ void pair_scores(const attn_back_args &a, const pair_tiles<DP, QUERIES, KEYS> &t,
						   const attn_block &b, int i0, int j0, int h)
{
	const int P = DP + 1;
	int key = (int)threadIdx.x % KEYS;
	for (int i = (int)threadIdx.x / KEYS; i < QUERIES; i += THREADS / KEYS) {
		float s = 0, dp = 0, p = 0, ds = 0;
		for (int d = 0; d < DP; d++) {
			s = fmaf(t.q[i * P + d], t.k[key * P + d], s);
			dp = fmaf(t.dout[i * P + d], t.v[key * P + d], dp);
		}
		if (i0 + i < b.n && attn_sees(a.window, i0 + i, j0 + key)) {
			size_t at = (size_t)(b.q_row + i0 + i) * (size_t)a.heads + (size_t)h;
			p = dm_expf(fmaf(s, a.scale, -a.lse[at]));
			ds = p * (dp - a.delta[at]);
		}
		t.p[i * t.SP + key] = p;
		t.ds[i * t.SP + key] = ds;
	}
}

template <int DP> static __global__ void __launch_bounds__(THREADS) attn_back_keys_f32_kernel(attn_back_args a)
{
	const int P = DP + 1, QUERIES = MET(DP);
	DYN_SHARED(float, room);
	const pair_tiles<DP, QUERIES, OWN> t(room);
	const attn_block b = a.blocks[blockIdx.x];
	int kv = (int)blockIdx.y, D = a.head_dim, j0 = b.first, keys = min((int)OWN, b.n - j0);
	int row = (int)threadIdx.x / 8, col = (int)threadIdx.x % 8;
	int end = a.window > 0 ? min(b.n, j0 + OWN - 1 + a.window) : b.n;
	size_t k_at = (size_t)(b.k_start + j0) * a.kv_stride + (size_t)(kv * D);
	load_pair_tile<DP, OWN>(t.k, a.k + k_at, a.kv_stride, keys, D);
	load_pair_tile<DP, OWN>(t.v, a.v + k_at, a.kv_stride, keys, D);
	float dk[DP / 8], dv[DP / 8];
#pragma unroll
	for (int c = 0; c < DP / 8; c++)
		dk[c] = dv[c] = 0;
	for (int h = kv * a.group; h < (kv + 1) * a.group; h++)
		for (int i0 = j0; i0 < end; i0 += QUERIES) {
			size_t row0 = (size_t)(b.q_row + i0);
			load_pair_tile<DP, QUERIES>(t.q, a.q + row0 * a.q_stride + (size_t)(h * D), a.q_stride,
						    b.n - i0, D);
			load_pair_tile<DP, QUERIES>(t.dout, a.dout + row0 * a.o_stride + (size_t)(h * D), a.o_stride,
						    b.n - i0, D);
			__syncthreads();
			pair_scores(a, t, b, i0, j0, h);
			__syncthreads();
			for (int i = 0; i < QUERIES; i++) {
				float p = t.p[i * t.SP + row], ds = t.ds[i * t.SP + row];
#pragma unroll
				for (int c = 0; c < DP / 8; c++) {
					dv[c] = fmaf(p, t.dout[i * P + col + c * 8], dv[c]);
					dk[c] = fmaf(ds, t.q[i * P + col + c * 8], dk[c]);
				}
			}
			__syncthreads();
		}
#pragma unroll
	for (int c = 0; c < DP / 8; c++)
		if (row < keys && col + c * 8 < D) {
			size_t at = k_at + (size_t)row * a.kv_stride + (size_t)(col + c * 8);
			a.dk[at] = dk[c] * a.scale;
			a.dv[at] = dv[c];
		}
}

template <int DP>
static __global__ void __launch_bounds__(THREADS, BLOCKS(DP)) attn_back_queries_f32_kernel(attn_back_args a)
{
	const int P = DP + 1, KEYS = MET(DP);
	DYN_SHARED(float, room);
	const pair_tiles<DP, OWN, KEYS> t(room);
	const attn_block b = a.blocks[blockIdx.x];
	int h = (int)blockIdx.y, kv = h / a.group, D = a.head_dim, i0 = b.first, queries = min((int)OWN, b.n - i0);
	int row = (int)threadIdx.x / 8, col = (int)threadIdx.x % 8;
	size_t row0 = (size_t)(b.q_row + i0), q_at = row0 * a.q_stride + (size_t)(h * D);
	load_pair_tile<DP, OWN>(t.q, a.q + q_at, a.q_stride, queries, D);
	load_pair_tile<DP, OWN>(t.dout, a.dout + row0 * a.o_stride + (size_t)(h * D), a.o_stride, queries, D);
	float dq[DP / 8];
#pragma unroll
	for (int c = 0; c < DP / 8; c++)
		dq[c] = 0;
	for (int j0 = attn_first_key(a.window, i0) / KEYS * KEYS; j0 < i0 + queries; j0 += KEYS) {
		size_t k_at = (size_t)(b.k_start + j0) * a.kv_stride + (size_t)(kv * D);
		load_pair_tile<DP, KEYS>(t.k, a.k + k_at, a.kv_stride, b.n - j0, D);
		load_pair_tile<DP, KEYS>(t.v, a.v + k_at, a.kv_stride, b.n - j0, D);
		__syncthreads();
		pair_scores(a, t, b, i0, j0, h);
		__syncthreads();
		for (int j = 0; j < KEYS; j++) {
			float ds = t.ds[row * t.SP + j];
#pragma unroll
			for (int c = 0; c < DP / 8; c++)
				dq[c] = fmaf(ds, t.k[j * P + col + c * 8], dq[c]);
		}
		__syncthreads();
	}
#pragma unroll
	for (int c = 0; c < DP / 8; c++)
		if (row < queries && col + c * 8 < D)
			a.dq[q_at + (size_t)row * a.q_stride + (size_t)(col + c * 8)] = dq[c] * a.scale;
}

template <int DP> static void attn_back_f32(struct backend *be, const attn_back_args *a, int n_blocks)
{
	const char *what = "the gradient of attention of this head size in f32 or tf32";
	size_t by_keys = (size_t)pair_tiles<DP, MET(DP), OWN>::FLOATS * sizeof(float),
	       by_queries = (size_t)pair_tiles<DP, OWN, MET(DP)>::FLOATS * sizeof(float);
	if (!cuda_allow_shared(be, attn_back_keys_f32_kernel<DP>, by_keys, what) ||
	    !cuda_allow_shared(be, attn_back_queries_f32_kernel<DP>, by_queries, what))
		return;
	CUDA_LAUNCH(be, (attn_back_keys_f32_kernel<DP>), dim3((unsigned)n_blocks, (unsigned)a->kv_heads), dim3(THREADS),
		    by_keys, *a);
	CUDA_LAUNCH(be, (attn_back_queries_f32_kernel<DP>), dim3((unsigned)n_blocks, (unsigned)a->heads), dim3(THREADS),
		    by_queries, *a);
}

void cuda_attn_back_f32(struct backend *be, const attn_back_args *a, int n_blocks)
{
	ATTN_BY_HEAD(be, a->head_dim, attn_back_f32, be, a, n_blocks);
}
