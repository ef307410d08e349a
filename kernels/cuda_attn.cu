/* cuda_attn.cu: causal attention over packed sequences on tensor cores, without a table of scores in memory.
 *
 * The walk is that of cpu_attn.c: a query row meets the keys of its sequence in tiles that are aligned to the key's position,
 * whatever is cached, packed or shared:
 *
 *	s = scale log2(e) q.k		mma of bf16, sums in fp32
 *	m' = max(m, s);  p = 2^(s - m')	0 where the row does not see the key
 *	l = l 2^(m - m') + sum p
 *	acc = acc 2^(m - m') + p v	p rounded to bf16
 *	out = acc / l,  lse = ln 2 m + ln l
 *
 * Rows of a block do not meet: each is a row of an mma, of a quad's shuffles, and a tile of which it sees nothing leaves it as
 * it was. So the bits of a row depend on its position, its keys and the head size, and which rows share a block is free.
 * (One exception is documented: a key that a row does not see is multiplied by 0, so an infinite value of a later token of
 * the same sequence is NaN here. A model with such values is broken in any case.)
 *
 * A block is 64 rows, 16 a warp (FlashAttention-2: warps split rows and not keys, so they never exchange sums), which are
 * positions times the query heads of one key head: also the single position of a decoding step fills its share of an mma. Keys
 * and values of this batch are rounded to bf16 once beforehand (6 bytes an element moved, in exchange for half the traffic
 * of the tiles) and come by cp.async, a tile ahead; cached ones are fp32 and rounded on the way.
 *
 * Floor: 4 D multiply-adds a pair of query and key. Per block and key tile 2 KEYS DP 2 bytes come from the L2 cache for 64
 * rows: 64 flops a byte. wgmma would double the rate on sm_90 (FlashAttention-3); it is left out until it can be tested.
 *
 * The classes f32 and tf32 take cuda_attn_f32.cu: the same tiles without tensor cores. */
#include "kernels/cuda_attn_int.h"

#include <vector>

enum { THREADS = 128 };

/* Out of sight: rounds rows of k and v, [rows][heads][D] with a stride, to [rows][heads][DP] */
template <int DP>
static __global__ void round_rows_kernel(__nv_bfloat16 *kb, __nv_bfloat16 *vb, const float *k, const float *v,
					 size_t stride, size_t heads, int H, int D)
{
	size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x, head = i / (DP / 8);
	int c = (int)(i % (DP / 8));
	if (head >= heads)
		return;
	size_t from = head / (size_t)H * stride + head % (size_t)H * (size_t)D;
	round_chunk(kb + i * 8, k + from, c, D);
	round_chunk(vb + i * 8, v + from, c, D);
}

/* Keys j.. of the sequence, up to `end`, and their values, to shared memory */
template <int DP>
static __device__ __forceinline__ void load_tile(__nv_bfloat16 *sk, __nv_bfloat16 *sv, const attn_args &a,
						 const attn_place &p, int j, int end)
{
	const int KEYS = attn_tile<DP>::KEYS, PITCH = attn_tile<DP>::PITCH, CHUNKS = DP / 8;
	for (int i = (int)threadIdx.x; i < KEYS * CHUNKS; i += THREADS) {
		int key = i / CHUNKS, c = i % CHUNKS;
		__nv_bfloat16 *to_k = sk + key * PITCH + c * 8, *to_v = sv + key * PITCH + c * 8;
		if (j + key >= end) {
			zero_chunk(to_k);
			zero_chunk(to_v);
			continue;
		}
		int32_t row = p.b.k_start + j + key;
		if (a.k_rows)
			row = a.k_rows[row];
		if (row >= 0) {
			size_t at = ((size_t)row * (size_t)a.kv_heads + (size_t)p.kv) * DP + (size_t)c * 8;
			cp_async16(to_k, a.kb + at, 16);
			cp_async16(to_v, a.vb + at, 16);
		} else {
			size_t at = (size_t)(-1 - row) * a.cache_stride + (size_t)p.kv * (size_t)a.head_dim;
			round_chunk(to_k, a.cache_k + at, c, a.head_dim);
			round_chunk(to_v, a.cache_v + at, c, a.head_dim);
		}
	}
}

template <int DP>
static __device__ __forceinline__ void load_queries(__nv_bfloat16 *sq, const attn_args &a, const attn_place &p,
						    int rows)
{
	const int PITCH = attn_tile<DP>::PITCH, CHUNKS = DP / 8;
	for (int i = (int)threadIdx.x; i < ATTN_ROWS * CHUNKS; i += THREADS) {
		int r = i / CHUNKS, c = i % CHUNKS;
		if (r >= rows) {
			zero_chunk(sq + r * PITCH + c * 8);
			continue;
		}
		size_t t = (size_t)(p.b.q_row + r / p.company), h = (size_t)(p.head + r % p.company);
		round_chunk(sq + r * PITCH + c * 8, a.q + t * a.q_stride + h * (size_t)a.head_dim, c, a.head_dim);
	}
}

/* Two rows of a lane meet a tile: scores become weights, acc is scaled to the new largest. seen: whether all are visible */
template <int KEYS, int N>
static __device__ __forceinline__ void softmax_step(float s[KEYS / 8][4], float acc[N][4], float top[2], float sum[2],
						    const int position[2], int j, int window, float scale, bool seen)
{
	int t = (int)threadIdx.x % 4;
#pragma unroll
	for (int half = 0; half < 2; half++) {
		float m = -INFINITY;
#pragma unroll
		for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				float *v = &s[n][half * 2 + e];
				*v *= scale;
				if (!seen && !attn_sees(window, position[half], j + n * 8 + 2 * t + e))
					*v = -INFINITY;
				m = fmaxf(m, *v);
			}
		m = fmaxf(m, __shfl_xor_sync(WARP_ALL, m, 1));
		m = fmaxf(m, __shfl_xor_sync(WARP_ALL, m, 2));
		m = fmaxf(m, top[half]);
		float shift = m == -INFINITY ? 0.0f : m, keep = exp2_fast(top[half] - shift), l = 0;
#pragma unroll
		for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				float *v = &s[n][half * 2 + e];
				*v = exp2_fast(*v - shift);
				l += *v;
			}
		top[half] = m;
		sum[half] = fmaf(sum[half], keep, l); /* of this lane's columns; the quad's four are added at the end */
#pragma unroll
		for (int n = 0; n < N; n++) {
			acc[n][half * 2] *= keep;
			acc[n][half * 2 + 1] *= keep;
		}
	}
}

template <int DP>
static __device__ __forceinline__ void store_rows(const attn_args &a, const attn_place &p, int rows,
						  const float acc[DP / 8][4], const float top[2], float sum[2])
{
	int lane = (int)threadIdx.x % WARP, t = lane % 4;
#pragma unroll
	for (int half = 0; half < 2; half++) {
		float l = sum[half];
		l += __shfl_xor_sync(WARP_ALL, l, 1);
		l += __shfl_xor_sync(WARP_ALL, l, 2);
		int r = (int)threadIdx.x / WARP * 16 + lane / 4 + half * 8;
		if (r >= rows)
			continue;
		size_t row = (size_t)(p.b.q_row + r / p.company), h = (size_t)(p.head + r % p.company);
		size_t at = row * a.o_stride + h * (size_t)a.head_dim;
		float inverse = 1.0f / l;
#pragma unroll
		for (int n = 0; n < DP / 8; n++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				int d = n * 8 + 2 * t + e;
				if (d < a.head_dim)
					make(a.made, at + (size_t)d, at + (size_t)d,
					     acc[n][half * 2 + e] * inverse +
						     0.0f); /* no -0: a tile of 0 would undo it */
			}
		if (a.lse && t == 0)
			a.lse[row * (size_t)a.heads + h] =
				(float)((double)top[half] * 0.6931471805599453 + dm_log((double)l));
	}
}

template <int DP> static __global__ void __launch_bounds__(THREADS) attn_kernel(attn_args a)
{
	const int KEYS = attn_tile<DP>::KEYS, PITCH = attn_tile<DP>::PITCH, STAGE = KEYS * PITCH;
	const bool IN_REGISTERS = DP <= 128; /* the queries; their place in shared memory is then the second stage's */
	DYN_SHARED(__nv_bfloat16, room);
	__nv_bfloat16 *sk = room, *sv = room + 2 * STAGE, *sq = IN_REGISTERS ? sk + STAGE : sv + 2 * STAGE;
	const attn_place p = attn_here(a);
	int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, rows = p.b.n * p.company;
	int end = p.b.first + p.b.n, begin = attn_first_key(a.window, p.b.first) / KEYS * KEYS;
	int position[2], last = -1; /* of the lane's two rows; of the warp's last row */
	for (int half = 0; half < 2; half++) {
		int r = warp * 16 + lane / 4 + half * 8;
		position[half] = r < rows ? p.b.first + r / p.company : -1;
	}
	if (warp * 16 < rows)
		last = p.b.first + (min(rows, warp * 16 + 16) - 1) / p.company;
	int earliest = warp * 16 + 16 <= rows ? p.b.first + warp * 16 / p.company : -1;

	load_tile<DP>(sk, sv, a, p, begin, end);
	cp_async_commit();
	load_queries<DP>(sq, a, p, rows);
	__syncthreads();
	uint32_t fq[IN_REGISTERS ? DP / 16 : 1][4];
	if (IN_REGISTERS) {
#pragma unroll
		for (int k = 0; k < DP / 16; k++)
			load_a<PITCH>(fq[k % (DP / 16)], sq + warp * 16 * PITCH, k * 16);
		__syncthreads();
	}
	float acc[DP / 8][4], top[2] = { -INFINITY, -INFINITY }, sum[2] = { 0, 0 };
#pragma unroll
	for (int n = 0; n < DP / 8; n++)
		acc[n][0] = acc[n][1] = acc[n][2] = acc[n][3] = 0;
	for (int j = begin, stage = 0; j < end; j += KEYS, stage ^= 1) {
		if (j + KEYS < end)
			load_tile<DP>(sk + (stage ^ 1) * STAGE, sv + (stage ^ 1) * STAGE, a, p, j + KEYS, end);
		cp_async_commit();
		cp_async_wait<1>();
		__syncthreads();
		if (j <= last && j + KEYS > attn_first_key(a.window, p.b.first + warp * 16 / p.company)) {
			const __nv_bfloat16 *tk = sk + stage * STAGE, *tv = sv + stage * STAGE;
			float s[KEYS / 8][4];
#pragma unroll
			for (int n = 0; n < KEYS / 8; n++)
				s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0;
			if (IN_REGISTERS) {
#pragma unroll
				for (int k = 0; k < DP / 16; k++)
#pragma unroll
					for (int n = 0; n < KEYS / 8; n += 2) {
						uint32_t b[4];
						load_b<PITCH>(b, tk, n * 8, k * 16);
						mma_bf16(s[n], fq[IN_REGISTERS ? k : 0], b);
						mma_bf16(s[n + 1], fq[IN_REGISTERS ? k : 0], b + 2);
					}
			} else {
				multiply_rows<DP, KEYS / 8>(s, sq + warp * 16 * PITCH, tk);
			}
			bool seen = j + KEYS - 1 <= earliest && j >= attn_first_key(a.window, last);
			softmax_step<KEYS, DP / 8>(s, acc, top, sum, position, j, a.window, a.scale, seen);
			multiply_weights<PITCH, DP, KEYS / 8>(acc, s, tv, 0);
		}
		__syncthreads();
	}
	store_rows<DP>(a, p, rows, acc, top, sum);
}

/* ---- the operation ---------------------------------------------------------------------------------------------------- */

/* Blocks of a batch, those of a sequence's end, which take longest, first */
static std::vector<attn_block> attn_blocks(const struct kernels_seqs *seqs, int positions)
{
	std::vector<attn_block> blocks;
	for (int s = 0; s < seqs->n; s++) {
		int queries = seqs->q_start[s + 1] - seqs->q_start[s], keys = seqs->k_start[s + 1] - seqs->k_start[s];
		for (int p = (queries - 1) / positions; queries > 0 && p >= 0; p--) {
			int at = p * positions, n = queries - at < positions ? queries - at : positions;
			blocks.push_back({ seqs->q_start[s] + at, keys - queries + at, n, seqs->k_start[s] });
		}
	}
	return blocks;
}

/* Rows of k and v that belong to this batch */
static size_t batch_rows(const struct kernels_seqs *seqs)
{
	int32_t n = seqs->k_start[seqs->n], top = -1;
	if (!seqs->k_rows)
		return (size_t)n;
	for (int32_t i = 0; i < n; i++)
		top = seqs->k_rows[i] > top ? seqs->k_rows[i] : top;
	return (size_t)(top + 1);
}

template <int DP> static void attn_bf16(struct backend *be, attn_args *a, size_t rows, int n_blocks)
{
	const int KEYS = attn_tile<DP>::KEYS, PITCH = attn_tile<DP>::PITCH;
	size_t heads = rows * (size_t)a->kv_heads, chunks = heads * (DP / 8);
	size_t shared = (size_t)(4 * KEYS + (DP <= 128 ? 0 : ATTN_ROWS)) * PITCH * sizeof(__nv_bfloat16);
	__nv_bfloat16 *kb = (__nv_bfloat16 *)cuda_scratch(be, (2 * heads * DP + 8) * sizeof(*kb));
	if (!kb || !cuda_allow_shared(be, attn_kernel<DP>, shared, "attention of this head size"))
		return;
	a->kb = kb;
	a->vb = kb + heads * DP;
	if (heads)
		CUDA_LAUNCH(be, (round_rows_kernel<DP>), dim3((unsigned)((chunks + THREADS - 1) / THREADS)),
			    dim3(THREADS), 0, kb, kb + heads * DP, a->k, a->v, a->kv_stride, heads, a->kv_heads,
			    a->head_dim);
	CUDA_LAUNCH(be, (attn_kernel<DP>), dim3((unsigned)n_blocks, (unsigned)(a->kv_heads * a->chunks)), dim3(THREADS),
		    shared, *a);
}

void cuda_attn(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
	       const struct kernels_seqs *seqs, const struct kernels_attn *shape)
{
	uint64_t before = cuda_launches(be);
	attn_args a = {};
	a.out = out, a.lse = lse, a.q = q, a.k = k, a.v = v;
	a.cache_k = seqs->cache_k, a.cache_v = seqs->cache_v;
	a.q_stride = (size_t)shape->q_stride, a.kv_stride = (size_t)shape->kv_stride;
	a.o_stride = (size_t)shape->o_stride, a.cache_stride = (size_t)seqs->cache_stride;
	a.heads = shape->heads, a.kv_heads = shape->kv_heads, a.head_dim = shape->head_dim;
	a.group = shape->heads / shape->kv_heads;
	a.company = a.group < ATTN_ROWS ? a.group : ATTN_ROWS;
	a.chunks = (a.group + a.company - 1) / a.company;
	a.window = shape->window;
	a.scale = shape->scale;
	std::vector<attn_block> blocks = attn_blocks(seqs, ATTN_ROWS / a.company);
	if (blocks.empty())
		return;
	a.made = cuda_begin_made(be, before, out, (size_t)seqs->q_start[seqs->n] * a.o_stride, true);
	a.blocks = (const attn_block *)cuda_stage(be, blocks.data(), blocks.size() * sizeof(blocks[0]));
	if (seqs->k_rows)
		a.k_rows =
			(const int32_t *)cuda_stage(be, seqs->k_rows, (size_t)seqs->k_start[seqs->n] * sizeof(int32_t));
	if (!a.blocks || (seqs->k_rows && !a.k_rows))
		return;
	if (cuda_math(be) != CUDA_MATH_BF16) {
		cuda_attn_f32(be, &a, (int)blocks.size());
		return;
	}
	a.scale *= 1.4426950408889634f; /* 2^ in place of e^ */
	ATTN_BY_HEAD(be, a.head_dim, attn_bf16, be, &a, batch_rows(seqs), (int)blocks.size());
	cuda_end_made(be, before, &a.made);
}
