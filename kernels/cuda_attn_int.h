/* cuda_attn_int.h: what the attention kernels share: blocks of rows, where keys stand, tensor-core fragments. */
#ifndef KERNELS_CUDA_ATTN_INT_H
#define KERNELS_CUDA_ATTN_INT_H

#include "kernels/cuda_int.h"
#include "kernels/cuda_device.h"
#include "kernels/cuda_math.h"

/* Head sizes are padded to one of four: DP. Keys of a tile, a part of the numerics, follow from it. */
template <int DP> struct attn_tile {
	static const int KEYS = DP <= 128 ? 64 : 32;
	static const int PITCH = DP + 8; /* bf16 of a row in shared memory: rows 16 bytes apart in their banks */
};
enum { ATTN_ROWS = 64, ATTN_HEAD_MAX = 256 };

/* Calls name<DP>(…) for a head size; larger ones are an error */
#define ATTN_BY_HEAD(be, head_dim, name, ...)                                                                          \
	do {                                                                                                           \
		if ((head_dim) <= 32)                                                                                  \
			name<32>(__VA_ARGS__);                                                                         \
		else if ((head_dim) <= 64)                                                                             \
			name<64>(__VA_ARGS__);                                                                         \
		else if ((head_dim) <= 128)                                                                            \
			name<128>(__VA_ARGS__);                                                                        \
		else if ((head_dim) <= ATTN_HEAD_MAX)                                                                  \
			name<256>(__VA_ARGS__);                                                                        \
		else                                                                                                   \
			cuda_fail(be, ERR_INPUT, "attention: a head size above 256", __FILE__, __LINE__);              \
	} while (0)

/* A block, but for its heads: n positions from `first` on of a sequence whose query at `first` is row q_row, and whose keys
 * begin at k_start. Its last query sees first + n keys. */
struct attn_block {
	int32_t q_row, first, n, k_start;
};

/* Forward. Row r of a block is position r / company, query head r % company of its heads: `company` of a key head's group go
 * together, so that a tile of keys serves them all; grid.y counts key heads times `chunks`. */
struct attn_args {
	float *out, *lse;
	cuda_made made; /* of bf16: out, of o_stride, and its operand */
	const float *q, *k, *v, *cache_k, *cache_v;
	const __nv_bfloat16 *kb, *vb; /* this batch's keys and values as bf16: [rows][kv_heads][DP] */
	const attn_block *blocks;
	const int32_t *k_rows;
	size_t q_stride, kv_stride, o_stride, cache_stride;
	int heads, kv_heads, head_dim, group, company, chunks, window;
	float scale;
};

/* What a block of the launch has: its rows' heads are head .. head + company of key head kv */
struct attn_place {
	attn_block b;
	int kv, head, company;
};

static __device__ __forceinline__ attn_place attn_here(const attn_args &a)
{
	attn_place p;
	int chunk = (int)blockIdx.y % a.chunks * a.company;
	p.b = a.blocks[blockIdx.x];
	p.kv = (int)blockIdx.y / a.chunks;
	p.head = p.kv * a.group + chunk;
	p.company = min(a.company, a.group - chunk);
	return p;
}

/* The first key that a position sees */
static __host__ __device__ __forceinline__ int attn_first_key(int window, int position)
{
	return window > 0 && position >= window ? position - window + 1 : 0;
}

static __device__ __forceinline__ bool attn_sees(int window, int position, int key)
{
	return key <= position && key >= attn_first_key(window, position);
}

/* ---- fragments: a warp has 16 rows -------------------------------------------------------------------------------------- */

/* A of 16 rows from `rows`, columns k .. k + 16 */
template <int PITCH> static __device__ __forceinline__ void load_a(uint32_t a[4], const __nv_bfloat16 *rows, int k)
{
	int lane = (int)threadIdx.x % WARP;
	ldmatrix_x4(a, rows + lane % 16 * PITCH + k + lane / 16 * 8);
}

/* B of 16 columns n whose memory is rows: b[0..1] for columns n .. n + 8, b[2..3] for the next eight; depth k .. k + 16 */
template <int PITCH>
static __device__ __forceinline__ void load_b(uint32_t b[4], const __nv_bfloat16 *rows, int n, int k)
{
	int lane = (int)threadIdx.x % WARP;
	ldmatrix_x4(b, rows + (n + lane / 16 * 8 + lane % 8) * PITCH + k + lane / 8 % 2 * 8);
}

/* The same where depth is rows and columns are columns */
template <int PITCH>
static __device__ __forceinline__ void load_b_trans(uint32_t b[4], const __nv_bfloat16 *rows, int n, int k)
{
	int lane = (int)threadIdx.x % WARP;
	ldmatrix_x4_trans(b, rows + (k + lane % 16) * PITCH + n + lane / 16 * 8);
}

/* Accumulators of 16 rows and 16 columns as A: d[0] has the first eight columns, d[1] the others */
static __device__ __forceinline__ void accumulators_as_a(uint32_t a[4], const float d[2][4])
{
	a[0] = bf16_pair(d[0][0], d[0][1]);
	a[1] = bf16_pair(d[0][2], d[0][3]);
	a[2] = bf16_pair(d[1][0], d[1][1]);
	a[3] = bf16_pair(d[1][2], d[1][3]);
}

/* d[16, 8 N] += a b^T, both rows in shared memory, depth DP */
template <int DP, int N>
static __device__ __forceinline__ void multiply_rows(float d[N][4], const __nv_bfloat16 *a_rows,
						     const __nv_bfloat16 *b_rows)
{
	const int PITCH = attn_tile<DP>::PITCH;
#pragma unroll
	for (int k = 0; k < DP; k += 16) {
		uint32_t a[4], b[4];
		load_a<PITCH>(a, a_rows, k);
#pragma unroll
		for (int n = 0; n < N; n += 2) {
			load_b<PITCH>(b, b_rows, n * 8, k);
			mma_bf16(d[n], a, b);
			mma_bf16(d[n + 1], a, b + 2);
		}
	}
}

/* d[16, COLS] += p[16, 8 N] b, b being 8 N rows of columns col .. col + COLS */
template <int PITCH, int COLS, int N>
static __device__ __forceinline__ void multiply_weights(float d[COLS / 8][4], const float p[N][4],
							const __nv_bfloat16 *b_rows, int col)
{
#pragma unroll
	for (int k = 0; k < N; k += 2) {
		uint32_t a[4], b[4];
		accumulators_as_a(a, p + k);
#pragma unroll
		for (int n = 0; n < COLS; n += 16) {
			load_b_trans<PITCH>(b, b_rows, col + n, k * 8);
			mma_bf16(d[n / 8], a, b);
			mma_bf16(d[n / 8 + 1], a, b + 2);
		}
	}
}

/* Rounds n columns of a row in memory to bf16 and zeroes what is up to DP. A block's threads share the work: chunk c of 8 */
static __device__ __forceinline__ void round_chunk(__nv_bfloat16 *to, const float *row, int c, int n)
{
	uint32_t word[4];
#pragma unroll
	for (int i = 0; i < 4; i++) {
		int d = c * 8 + i * 2;
		word[i] = bf16_pair(d < n ? row[d] : 0.0f, d + 1 < n ? row[d + 1] : 0.0f);
	}
	*reinterpret_cast<uint4 *>(to) = make_uint4(word[0], word[1], word[2], word[3]);
}

static __device__ __forceinline__ void zero_chunk(__nv_bfloat16 *to)
{
	*reinterpret_cast<uint4 *>(to) = make_uint4(0, 0, 0, 0);
}

/* cuda_attn_f32.cu: the forward in fp32, and both gradients */
void cuda_attn_f32(struct backend *be, const attn_args *args, int n_blocks);
struct attn_back_args;
void cuda_attn_back_f32(struct backend *be, const attn_back_args *args, int n_blocks);

/* Backward, of whole sequences. A block of the launch is a tile of a sequence: rows `first`.. of n, q_row and k_start being
 * the sequence's first rows here. */
struct attn_back_args {
	float *dq, *dk, *dv, *delta;
	const float *dout, *out, *lse, *q, *k, *v;
	const attn_block *blocks;
	size_t q_stride, kv_stride, o_stride;
	int heads, kv_heads, head_dim, group, window;
	float scale;
};

#endif
