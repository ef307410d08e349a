/* cuda_pointwise.cu: what treats every element by itself, and moves of whole rows.
 *
 * An element's result depends on nothing but its inputs, so the launch is free: a thread takes four neighbours in one load
 * where all arrays are aligned, else one; the formulas are those of cpu_pointwise.c. All are bound by memory: the floor is
 * the bytes read and written once (swiglu 12 an element, its gradient 20, rope 8, an embedding row 4 C + what it is stored
 * in), and nothing here reads anything twice.
 *
 * embed_back is the one with an order. A block is a token; the first token of an id adds all rows of that id, in the order
 * of the rows, the others leave. Finding them is a scan of the ids, which stay in the cache: T^2 / 256 steps, 0.3 M for
 * T = 8192, against the atomics that would leave the order to chance. */
#include "kernels/cuda_int.h"
#include "kernels/cuda_device.h"
#include "kernels/cuda_math.h"

#include <cuda_fp16.h>

enum { THREADS = 256 };

static bool aligned16(const void *p)
{
	return ((uintptr_t)p & 15) == 0;
}

static unsigned blocks_for(size_t n, int each)
{
	size_t per_block = (size_t)THREADS * (size_t)each;
	return (unsigned)((n + per_block - 1) / per_block);
}

static __device__ __forceinline__ size_t thread_number(void)
{
	return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* kernel<4> or kernel<1> over n elements */
#define OVER_ELEMENTS(be, kernel, n, aligned, ...)                                                                     \
	do {                                                                                                           \
		if ((n) == 0)                                                                                          \
			break;                                                                                         \
		if (aligned)                                                                                           \
			CUDA_LAUNCH(be, (kernel<4>), dim3(blocks_for(n, 4)), dim3(THREADS), 0, __VA_ARGS__);           \
		else                                                                                                   \
			CUDA_LAUNCH(be, (kernel<1>), dim3(blocks_for(n, 1)), dim3(THREADS), 0, __VA_ARGS__);           \
	} while (0)

/* ---- activations ---------------------------------------------------------------------------------------------------- */

template <int W> static __global__ void swiglu_kernel(cuda_made made, const float *gate, const float *up, size_t n)
{
	size_t i = thread_number() * W;
	if (i >= n)
		return;
	float g[W], u[W];
	load_floats<W>(g, gate + i, n - i);
	load_floats<W>(u, up + i, n - i);
	for (int k = 0; k < W; k++)
		u[k] = g[k] * sigmoid(g[k]) * u[k];
	make_floats<W>(made, i, u, n - i);
}

void cuda_swiglu(struct backend *be, float *out, const float *gate, const float *up, size_t n)
{
	uint64_t before = cuda_launches(be);
	cuda_made made = cuda_begin_made(be, before, out, n, true);
	OVER_ELEMENTS(be, swiglu_kernel, n, aligned16(out) && aligned16(gate) && aligned16(up), made, gate, up, n);
	cuda_end_made(be, before, &made);
}

template <int W>
static __global__ void swiglu_back_kernel(cuda_made dgate, cuda_made dup, const float *dout, const float *gate,
					  const float *up, size_t n)
{
	size_t i = thread_number() * W;
	if (i >= n)
		return;
	float d[W], g[W], u[W];
	load_floats<W>(d, dout + i, n - i);
	load_floats<W>(g, gate + i, n - i);
	load_floats<W>(u, up + i, n - i);
	for (int k = 0; k < W; k++) {
		float s = sigmoid(g[k]), dg = d[k] * u[k] * s * fmaf(g[k], 1.0f - s, 1.0f);
		u[k] = d[k] * g[k] * s;
		g[k] = dg;
	}
	make_floats<W>(dgate, i, g, n - i);
	make_floats<W>(dup, i, u, n - i);
}

void cuda_swiglu_back(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
		      const float *up, size_t n)
{
	bool aligned = aligned16(dgate) && aligned16(dup) && aligned16(dout) && aligned16(gate) && aligned16(up);
	uint64_t before = cuda_launches(be);
	cuda_made of_gate = cuda_begin_made(be, before, dgate, n, true),
		  of_up = cuda_begin_made(be, before, dup, n, true);
	OVER_ELEMENTS(be, swiglu_back_kernel, n, aligned, of_gate, of_up, dout, gate, up, n);
	cuda_end_made(be, before, &of_gate);
	cuda_end_made(be, before, &of_up);
}

template <int W> static __global__ void gelu_kernel(cuda_made made, const float *x, size_t n)
{
	size_t i = thread_number() * W;
	if (i >= n)
		return;
	float v[W];
	load_floats<W>(v, x + i, n - i);
	for (int k = 0; k < W; k++)
		v[k] *= gelu_gate(v[k]);
	make_floats<W>(made, i, v, n - i);
}

void cuda_gelu(struct backend *be, float *out, const float *x, size_t n)
{
	uint64_t before = cuda_launches(be);
	cuda_made made = cuda_begin_made(be, before, out, n, true);
	OVER_ELEMENTS(be, gelu_kernel, n, aligned16(out) && aligned16(x), made, x, n);
	cuda_end_made(be, before, &made);
}

template <int W> static __global__ void gelu_back_kernel(cuda_made made, const float *dout, const float *x, size_t n)
{
	size_t i = thread_number() * W;
	if (i >= n)
		return;
	float v[W], d[W];
	load_floats<W>(v, x + i, n - i);
	load_floats<W>(d, dout + i, n - i);
	for (int k = 0; k < W; k++) {
		float s = gelu_gate(v[k]);
		float slope = 1.5957691216057308f * fmaf(3 * 0.044715f * v[k], v[k], 1.0f);
		d[k] *= fmaf(v[k] * s * (1.0f - s), slope, s);
	}
	make_floats<W>(made, i, d, n - i);
}

void cuda_gelu_back(struct backend *be, float *dx, const float *dout, const float *x, size_t n)
{
	uint64_t before = cuda_launches(be);
	cuda_made made = cuda_begin_made(be, before, dx, n, true);
	OVER_ELEMENTS(be, gelu_back_kernel, n, aligned16(dx) && aligned16(dout) && aligned16(x), made, dout, x, n);
	cuda_end_made(be, before, &made);
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------------ */

/* limit is p 2^24, which a float holds exactly as far as it holds p */
template <int W>
static __global__ void dropout_kernel(float *out, const float *x, size_t n, unsigned long long key, double limit,
				      float keep)
{
	size_t i = thread_number() * W;
	if (i >= n)
		return;
	float v[W];
	load_floats<W>(v, x + i, n - i);
	for (int k = 0; k < W; k++) {
		unsigned long long z = key + (i + (size_t)k + 1) * 0x9e3779b97f4a7c15ull;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ z >> 27) * 0x94d049bb133111ebull;
		z ^= z >> 31;
		v[k] = (double)(z >> 40) < limit ? 0.0f : v[k] * keep;
	}
	store_floats<W>(out + i, v, n - i);
}

void cuda_dropout(struct backend *be, float *out, const float *x, size_t n, uint64_t key, float p)
{
	double limit = (double)p * 16777216.0;
	float keep = (float)(1 / (1 - (double)p));
	if (out != x)
		cuda_written(be, out, n * sizeof(float));
	OVER_ELEMENTS(be, dropout_kernel, n, aligned16(out) && aligned16(x), out, x, n, (unsigned long long)key, limit,
		      keep);
}

template <int W> static __global__ void scale_kernel(float *x, size_t n, float s)
{
	size_t i = thread_number() * W;
	if (i >= n)
		return;
	float v[W];
	load_floats<W>(v, x + i, n - i);
	for (int k = 0; k < W; k++)
		v[k] *= s;
	store_floats<W>(x + i, v, n - i);
}

void cuda_scale(struct backend *be, float *x, size_t n, float s)
{
	OVER_ELEMENTS(be, scale_kernel, n, aligned16(x), x, n, s);
}

template <int W> static __global__ void add_kernel(float *x, const float *y, size_t n)
{
	size_t i = thread_number() * W;
	if (i >= n)
		return;
	float v[W], a[W];
	load_floats<W>(v, x + i, n - i);
	load_floats<W>(a, y + i, n - i);
	for (int k = 0; k < W; k++)
		v[k] += a[k];
	store_floats<W>(x + i, v, n - i);
}

void cuda_add(struct backend *be, float *x, const float *y, size_t n)
{
	OVER_ELEMENTS(be, add_kernel, n, aligned16(x) && aligned16(y), x, y, n);
}

/* ---- positions --------------------------------------------------------------------------------------------------------- */

/* A thread turns one pair; neighbours in a row are neighbours in a warp */
static __global__ void rope_kernel(float *x, int stride, const int32_t *pos, const float *cos_sin, size_t pairs, int H,
				   int half, float sign)
{
	size_t i = thread_number();
	if (i >= pairs)
		return;
	int pair = (int)(i % (size_t)half);
	size_t head = i / (size_t)half, t = head / (size_t)H, h = head % (size_t)H;
	const float *turn = cos_sin + (size_t)pos[t] * 2 * (size_t)half;
	float *p = x + t * (size_t)stride + h * 2 * (size_t)half + pair;
	float c = turn[pair], s = turn[pair + half] * sign, u = p[0], v = p[half];
	p[0] = fmaf(u, c, -(v * s));
	p[half] = fmaf(v, c, u * s);
}

void cuda_rope(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H, int D,
	       bool back)
{
	size_t pairs = (size_t)T * (size_t)H * (size_t)(D / 2);
	if (pairs)
		CUDA_LAUNCH(be, rope_kernel, dim3(blocks_for(pairs, 1)), dim3(THREADS), 0, x, stride, pos, cos_sin,
			    pairs, H, D / 2, back ? -1.0f : 1.0f);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

/* Four columns a thread where the width and all rows allow, else one */
static bool rows_by_four(int width, int a_stride, int b_stride, const void *a, const void *b)
{
	return width % 4 == 0 && a_stride % 4 == 0 && b_stride % 4 == 0 && aligned16(a) && aligned16(b);
}

/* out[i] = or += src[from[i]], or out[to[i]] = or += src[i]; a negative row is passed over */
template <int W>
static __global__ void move_rows_kernel(float *out, size_t out_stride, const float *src, size_t src_stride,
					const int32_t *rows, int n, int width, bool picks, bool adds)
{
	size_t i = thread_number(), each = (size_t)(width / W), row = i / each, at = i % each * W;
	if (row >= (size_t)n)
		return;
	int32_t other = rows[row];
	if (other < 0)
		return;
	float *o = out + (picks ? row : (size_t)other) * out_stride + at;
	float v[W], old[W];
	load_floats<W>(v, src + (picks ? (size_t)other : row) * src_stride + at, W);
	if (adds) {
		load_floats<W>(old, o, W);
		for (int k = 0; k < W; k++)
			v[k] += old[k];
	}
	store_floats<W>(o, v, W);
}

static void move_rows(struct backend *be, float *out, int out_stride, const float *src, int src_stride,
		      const int32_t *rows, int n, int width, bool picks, bool adds)
{
	size_t each = (size_t)n * (size_t)width;
	if (!each)
		return;
	if (rows_by_four(width, out_stride, src_stride, out, src))
		CUDA_LAUNCH(be, (move_rows_kernel<4>), dim3(blocks_for(each / 4, 1)), dim3(THREADS), 0, out,
			    (size_t)out_stride, src, (size_t)src_stride, rows, n, width, picks, adds);
	else
		CUDA_LAUNCH(be, (move_rows_kernel<1>), dim3(blocks_for(each, 1)), dim3(THREADS), 0, out,
			    (size_t)out_stride, src, (size_t)src_stride, rows, n, width, picks, adds);
}

void cuda_gather(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C)
{
	cuda_written(be, out, n > 0 ? (size_t)n * (size_t)C * sizeof(float) : 0);
	move_rows(be, out, C, src, C, rows, n, C, true, false);
}

void cuda_scatter_add(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C)
{
	move_rows(be, dsrc, C, dout, C, rows, n, C, false, true);
}

void cuda_put_rows(struct backend *be, float *dst, int dst_stride, const float *src, int src_stride,
		   const int32_t *rows, int n, int width)
{
	move_rows(be, dst, dst_stride, src, src_stride, rows, n, width, false, false);
}

/* ---- embedding ------------------------------------------------------------------------------------------------------------ */

static __device__ __forceinline__ float widen(float v)
{
	return v;
}

static __device__ __forceinline__ float widen(__nv_bfloat16 v)
{
	return __bfloat162float(v);
}

static __device__ __forceinline__ float widen(__half v)
{
	return __half2float(v);
}

template <class E>
static __global__ void embed_kernel(float *out, const E *table, size_t stride, const int32_t *ids, int C, bool add)
{
	const E *row = table + (size_t)ids[blockIdx.x] * stride;
	float *o = out + (size_t)blockIdx.x * (size_t)C;
	for (int i = (int)threadIdx.x; i < C; i += THREADS)
		o[i] = add ? widen(row[i]) + o[i] : widen(row[i]);
}

void cuda_embed(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T, bool add)
{
	struct cuda_rows rows = cuda_weight_rows(table);
	if (T <= 0)
		return;
	dim3 grid((unsigned)T), block(THREADS);
	if (!add)
		cuda_written(be, out, (size_t)T * (size_t)table->K * sizeof(float));
	if (rows.type == KERNELS_F32)
		CUDA_LAUNCH(be, (embed_kernel<float>), grid, block, 0, out, (const float *)rows.data, rows.stride, ids,
			    table->K, add);
	else if (rows.type == KERNELS_BF16)
		CUDA_LAUNCH(be, (embed_kernel<__nv_bfloat16>), grid, block, 0, out, (const __nv_bfloat16 *)rows.data,
			    rows.stride, ids, table->K, add);
	else
		CUDA_LAUNCH(be, (embed_kernel<__half>), grid, block, 0, out, (const __half *)rows.data, rows.stride,
			    ids, table->K, add);
}

/* Block t: if no token before t has its id, adds the rows of all tokens that have it. A piece of the ids is looked through
 * at a time; its matches are numbered in order, by the votes of the warps. */
static __global__ void embed_back_kernel(float *dtable, const float *dout, const int32_t *ids, int T, int C)
{
	SHARED(int, found, [THREADS]);
	SHARED(int, votes, [THREADS / WARP]);
	int t = (int)blockIdx.x, tid = (int)threadIdx.x;
	int32_t id = ids[t];
	for (int t0 = 0; t0 < t; t0 += THREADS)
		if (__syncthreads_or(t0 + tid < t && ids[t0 + tid] == id))
			return;
	float *to = dtable + (size_t)id * (size_t)C;
	for (int t0 = t; t0 < T; t0 += THREADS) {
		bool match = t0 + tid < T && ids[t0 + tid] == id;
		unsigned vote = __ballot_sync(WARP_ALL, match);
		if (tid % WARP == 0)
			votes[tid / WARP] = __popc(vote);
		__syncthreads();
		int at = __popc(vote & ((1u << tid % WARP) - 1u)), n = 0;
		for (int w = 0; w < THREADS / WARP; w++) {
			at += w < tid / WARP ? votes[w] : 0;
			n += votes[w];
		}
		if (match)
			found[at] = t0 + tid;
		__syncthreads();
		for (int i = tid; i < C && n; i += THREADS) {
			float sum = to[i];
			for (int k = 0; k < n; k++)
				sum += dout[(size_t)found[k] * (size_t)C + (size_t)i];
			to[i] = sum;
		}
		__syncthreads();
	}
}

void cuda_embed_back(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C, int V)
{
	(void)V;
	if (T > 0)
		CUDA_LAUNCH(be, embed_back_kernel, dim3((unsigned)T), dim3(THREADS), 0, dtable, dout, ids, T, C);
}
