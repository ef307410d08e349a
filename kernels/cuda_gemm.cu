/* cuda_gemm.cu: the three matrix products of a linear layer, and the weights they read.
 *
 * The one idea is that of cpu_gemm.c: every element of the result is one chain of the same instructions in ascending k,
 * whatever surrounds it. In the class bf16 it is a chain of mma.sync (m16n8k16, fp32 sums) from 0, step after step; in tf32
 * one of mma.sync (m16n8k8); in f32 chains of 256 fused multiply-adds, whose sums are added in order: the bits of cpu_gemm.c.
 * There is no split of k, and no tile shape enters the chain. So the tile may be chosen by what there is to do (one row of a
 * text that is being generated, or thousands), and still no bit of a row depends on it: tests/cuda_emulation/test_gemm.cpp
 * compares them, and so does the bundle on a card (docs/gpu.md), since what an mma does inside is the device's own affair.
 * Where cuda_lt.cu has a pin for a shape of weights and a form it takes the product instead: for every number of rows, or for none.
 *
 * Weights: rows of fp32 (trained), or packed, which here is plain rows of the stored type. A weight that is not bf16 is
 * converted into a block of its own before each product; one that is, and whose rows begin at 16 bytes, is read in place.
 * f16 loses three bits of its fraction there, by definition of the class; tf32 and f32 take them all.
 *
 * Activations are fp32 (kernels.h), the tensor cores want bf16: x[M,K] is converted into one of three blocks, which are found
 * again as long as nothing but products ran since: the two projections of a gated layer share one conversion, and dy's
 * for dx serves dW. That reads 4 and writes 2 bytes an element. Where it was said (for_products), who makes x writes the block
 * himself, by the same rounding, and not x if nobody else reads it: 2 bytes in place of 10. Such an operation, and linear_db,
 * leave other blocks good, as products do. A block is void (its `from` is NULL) as soon as anything known here writes over what
 * it was made of, or its memory goes, and old as soon as anything else was launched. What was never written is never read: it is
 * kept in a list until somebody writes over it, and a product that looks for it in vain is an error. docs/gpu.md reckons what it brings.
 *
 * What follows a product is done where its elements are in registers: bias, what is added to it (the residual stream, which
 * need not be copied first), and GELU, whose input is written beside it where the backward pass wants it. Element by element it
 * is what the operations of their own compute, so their bits. A layer of GPT-2 is spared 8 C bytes a token for each residual,
 * and 4 F for GELU in training, 8 F in scoring: of C 768 some 25 to 37 KB a token and layer.
 *
 * The gradient of a weight sums over the rows of the batch: one chain over all rows, the same from run to run; it depends on
 * the batch by nature. */
#include "kernels/cuda_state_int.h"
#include "kernels/cuda_math.h"
#include "kernels/cuda_chain_int.h"

#include <cuda_fp16.h>

/* ---- weights ---------------------------------------------------------------------------------------------------------------- */

static size_t element_size(int type)
{
	return type == KERNELS_F32 ? 4 : 2;
}

struct cuda_rows cuda_weight_rows(const struct kernels_weight *w)
{
	struct cuda_rows r = { w->data, (size_t)w->K, w->packed ? w->type : (int32_t)KERNELS_F32 };
	return r;
}

size_t cuda_packed_bytes(struct backend *be, int type, int N, int K)
{
	(void)be;
	if (type < KERNELS_F32 || type > KERNELS_F16 || N <= 0 || K <= 0)
		return 0;
	return (size_t)N * (size_t)K * element_size(type);
}

static char *row_of(const struct kernels_weight *w, int row)
{
	return (char *)(uintptr_t)w->data + (size_t)row * (size_t)w->K * element_size(w->type);
}

void cuda_pack(struct backend *be, const struct kernels_weight *w, const void *host_rows, int row0, int rows)
{
	if (rows > 0 && w->K > 0)
		cuda_upload(be, row_of(w, row0), host_rows, (size_t)rows * (size_t)w->K * element_size(w->type));
}

void cuda_unpack(struct backend *be, void *host_rows, const struct kernels_weight *w, int row0, int rows)
{
	if (rows > 0 && w->K > 0)
		cuda_download(be, host_rows, row_of(w, row0), (size_t)rows * (size_t)w->K * element_size(w->type));
}

/* ---- conversion to bf16 ------------------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ float element(const void *p, int type, size_t i)
{
	if (type == KERNELS_F32)
		return static_cast<const float *>(p)[i];
	if (type == KERNELS_BF16)
		return __bfloat162float(static_cast<const __nv_bfloat16 *>(p)[i]);
	return __half2float(static_cast<const __half *>(p)[i]);
}

enum { CONVERT_THREADS = 128, PIECE = 8 };

/* Row blockIdx.x: out[out_stride] = its `cols` elements and zeros, rounded to nearest even; rows from `rows` on are zeros. A
 * thread makes 8 at a time. wide: fp32 and 16-byte aligned rows. */
static __global__ void __launch_bounds__(CONVERT_THREADS)
	convert_kernel(__nv_bfloat16 *out, size_t out_stride, const void *from, int type, size_t stride, int rows,
		       int cols, bool wide)
{
	int row = blockIdx.x;
	for (int c = threadIdx.x * PIECE; c < (int)out_stride; c += CONVERT_THREADS * PIECE) {
		size_t at = (size_t)row * stride + (size_t)c;
		float v[PIECE];
		if (wide && row < rows && c + PIECE <= cols) {
			const float4 *p = reinterpret_cast<const float4 *>(static_cast<const float *>(from) + at);
			float4 a = p[0], b = p[1];
			v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
			v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
		} else {
			for (int i = 0; i < PIECE; i++)
				v[i] = row < rows && c + i < cols ? element(from, type, at + (size_t)i) : 0.0f;
		}
		uint4 packed;
		packed.x = bf16_pair(v[0], v[1]);
		packed.y = bf16_pair(v[2], v[3]);
		packed.z = bf16_pair(v[4], v[5]);
		packed.w = bf16_pair(v[6], v[7]);
		*reinterpret_cast<uint4 *>(out + (size_t)row * out_stride + (size_t)c) = packed;
	}
}

static size_t padded(int cols)
{
	return ((size_t)cols + PIECE - 1) / PIECE * PIECE;
}

/* The block gets out_rows rows, of which the first `rows` come from memory; false: an error is on record. */
static bool convert(struct backend *be, struct cuda_block *block, const void *from, int type, size_t stride, int rows,
		    int out_rows, int cols)
{
	size_t out_stride = padded(cols);
	if (!cuda_block_need(be, block, ((size_t)out_rows * out_stride + PIECE) * sizeof(__nv_bfloat16)))
		return false;
	bool wide = type == KERNELS_F32 && stride % 4 == 0 && (uintptr_t)from % 16 == 0;
	if (out_rows > 0 && cols > 0)
		CUDA_LAUNCH(be, convert_kernel, out_rows, CONVERT_THREADS, 0, static_cast<__nv_bfloat16 *>(block->p),
			    out_stride, from, type, stride, rows, cols, wide);
	return true;
}

tile_operand cuda_weight_operand(struct backend *be, const struct kernels_weight *w, int n)
{
	struct cuda_rows r = cuda_weight_rows(w);
	tile_operand o = { static_cast<const __nv_bfloat16 *>(r.data), r.stride, n };
	if (r.type == KERNELS_BF16 && r.stride % PIECE == 0 && (uintptr_t)r.data % 16 == 0)
		return o;
	struct cuda_block *block = &cuda_state(be)->weight;
	bool ok = convert(be, block, r.data, r.type, r.stride, w->N, w->N, w->K);
	o.p = ok ? static_cast<const __nv_bfloat16 *>(block->p) : NULL;
	o.stride = padded(w->K);
	return o;
}

/* ---- activations, converted once ------------------------------------------------------------------------------------------------ */

static bool overlaps(const float *a, size_t a_n, const float *b, size_t b_n)
{
	return a < b + b_n && b < a + a_n;
}

/* Floats from the first to the last of rows */
static size_t reach(int rows, int cols, int stride)
{
	return rows > 0 ? (size_t)(rows - 1) * (size_t)stride + (size_t)cols : 0;
}

static size_t length(const struct cuda_operand *o)
{
	return reach(o->rows, o->cols, o->stride);
}

uint64_t cuda_launches(const struct backend *be)
{
	return cuda_state(be)->launches;
}

static size_t operand_bytes(const struct backend *be, int rows, int cols)
{
	return ((size_t)cuda_lt_rows(be, rows) * padded(cols) + PIECE) * sizeof(__nv_bfloat16);
}

/* One that is not good any more, with a block large enough; else one that has no block yet, so that none that has is made anew and
 * moves, which a graph would see; else any that is not good; else the one that was not used for longest, which is never the other
 * operand of the same product. */
static struct cuda_operand *free_operand(struct cuda_state *s, uint64_t before, size_t bytes)
{
	enum { LARGE_ENOUGH, EMPTY, TOO_SMALL, GOOD };
	struct cuda_operand *best = NULL;
	int best_cost = 0;
	for (int i = 0; i < CUDA_OPERANDS; i++) {
		struct cuda_operand *o = &s->operands[i];
		int cost = o->from && o->launches >= before ? GOOD
			   : o->block.bytes >= bytes        ? LARGE_ENOUGH
			   : o->block.bytes                 ? TOO_SMALL
							    : EMPTY;
		if (!best || cost < best_cost || (cost == GOOD && best_cost == GOOD && o->used < best->used)) {
			best = o;
			best_cost = cost;
		}
	}
	best->from = NULL;
	return best;
}

static struct cuda_operand *fill_operand(struct cuda_state *s, struct cuda_operand *o, const float *x, int rows,
					 int cols, int stride)
{
	o->from = x;
	o->rows = rows;
	o->cols = cols;
	o->stride = stride;
	o->launches = s->launches;
	o->used = ++s->uses;
	return o;
}

/* ---- what is not there: left undefined by who made it for products alone */

static bool is_absent(const struct cuda_state *s, const float *x, size_t n)
{
	for (int i = 0; i < CUDA_ABSENT; i++)
		if (s->absent[i].x && overlaps(s->absent[i].x, s->absent[i].n, x, n))
			return true;
	return false;
}

/* What has been there of a longer time of the same array, if any, begins where x[n] ends, and is one with it: batches grow and shrink.
 * False: the list is full */
static bool set_absent(struct cuda_state *s, const float *x, size_t n)
{
	struct cuda_absent *place = NULL;
	for (int i = 0; i < CUDA_ABSENT; i++) {
		struct cuda_absent *a = &s->absent[i];
		if (a->x == x + n && a->array == x) {
			*a = { x, n + a->n, x };
			return true;
		}
		place = a->x || place ? place : a;
	}
	if (place)
		*place = { x, n, x };
	return place != NULL;
}

/* x[n] is there. What is longer loses its beginning or its end, as one that is written piece by piece; in its middle it keeps all. */
static void set_present(struct cuda_state *s, const float *x, size_t n)
{
	for (int i = 0; i < CUDA_ABSENT; i++) {
		struct cuda_absent *a = &s->absent[i];
		if (!a->x || !overlaps(a->x, a->n, x, n))
			continue;
		const float *end = a->x + a->n;
		if (x <= a->x && x + n >= end)
			a->x = NULL;
		else if (x <= a->x)
			*a = { x + n, (size_t)(end - (x + n)), a->array };
		else if (x + n >= end)
			a->n = (size_t)(x - a->x);
	}
}

/* x[rows,cols] as bf16: one that is still good since the operation began, when `before` launches had been counted, or made
 * now. NULL: an error is on record. */
static struct cuda_operand *activation(struct backend *be, const float *x, int rows, int cols, int stride,
				       uint64_t before)
{
	struct cuda_state *s = cuda_state(be);
	for (int i = 0; i < CUDA_OPERANDS; i++) {
		struct cuda_operand *o = &s->operands[i];
		if (o->from == x && o->rows == rows && o->cols == cols && o->stride == stride &&
		    o->launches >= before) {
			o->used = ++s->uses;
			return o;
		}
	}
	if (is_absent(s, x, reach(rows, cols, stride))) {
		cuda_fail(be, ERR_BUG, "a product takes numbers that are not there any more", __FILE__, __LINE__);
		return NULL;
	}
	struct cuda_operand *o = free_operand(s, before, operand_bytes(be, rows, cols));
	if (!convert(be, &o->block, x, KERNELS_F32, (size_t)stride, rows, cuda_lt_rows(be, rows), cols))
		return NULL;
	return fill_operand(s, o, x, rows, cols, stride);
}

static tile_operand operand_of(const struct cuda_operand *o, int n)
{
	tile_operand t = { static_cast<const __nv_bfloat16 *>(o->block.p), padded(o->cols), n };
	return t;
}

tile_operand cuda_rows_operand(struct backend *be, const float *x, int rows, int cols, uint64_t before)
{
	const struct cuda_operand *o = activation(be, x, rows, cols, cols, before);
	tile_operand none = { NULL, 0, 0 };
	return o ? operand_of(o, rows) : none;
}

void cuda_forget_operands(struct backend *be, const void *p, size_t bytes)
{
	struct cuda_operand *all = cuda_state(be)->operands;
	for (int i = 0; i < CUDA_OPERANDS; i++)
		if (all[i].from &&
		    overlaps(all[i].from, length(&all[i]), static_cast<const float *>(p), bytes / sizeof(float)))
			all[i].from = NULL;
}

void cuda_written(struct backend *be, const void *x, size_t bytes)
{
	cuda_forget_operands(be, x, bytes);
	set_present(cuda_state(be), static_cast<const float *>(x), bytes / sizeof(float));
}

/* Those that were good before an operation, `before` launches having been counted, still are */
static void keep_all(struct cuda_state *s, uint64_t before)
{
	for (int i = 0; i < CUDA_OPERANDS; i++)
		if (s->operands[i].launches >= before)
			s->operands[i].launches = s->launches;
}

void cuda_keep_operands(struct backend *be, uint64_t before, const float *x, size_t n)
{
	cuda_forget_operands(be, x, n * sizeof(float));
	keep_all(cuda_state(be), before);
}

/* ---- activations, converted where they are made --------------------------------------------------------------------------------- */

void cuda_for_products(struct backend *be, const float *x, int rows, int cols, bool alone)
{
	struct cuda_state *s = cuda_state(be);
	s->said[1] = s->said[0];
	s->said[0] = { x, rows, cols, alone, s->launches };
}

/* What was said of x[n] between the last operation and this one, or NULL */
static const struct cuda_said *said_of(const struct cuda_state *s, uint64_t before, const float *x, size_t n)
{
	for (int i = 0; i < CUDA_SAID; i++) {
		const struct cuda_said *w = &s->said[i];
		if (w->x == x && w->launches == before && w->rows > 0 && w->cols > 0 &&
		    (size_t)w->rows * (size_t)w->cols == n)
			return w;
	}
	return NULL;
}

struct cuda_made cuda_begin_made(struct backend *be, uint64_t before, float *x, size_t n, bool flat)
{
	struct cuda_state *s = cuda_state(be);
	const struct cuda_said *w = cuda_math(be) == CUDA_MATH_BF16 ? said_of(s, before, x, n) : NULL;
	struct cuda_made m = { x, NULL, 0 };
	cuda_written(be, x, n * sizeof(float));
	if (!w || (flat && w->cols % PIECE))
		return m;
	size_t bytes = operand_bytes(be, w->rows, w->cols);
	struct cuda_operand *o = free_operand(s, before, bytes);
	if (!cuda_block_need(be, &o->block, bytes))
		return m;
	fill_operand(s, o, x, w->rows, w->cols, w->cols);
	m.x = w->alone && set_absent(s, x, n) ? NULL : x;
	m.operand = static_cast<__nv_bfloat16 *>(o->block.p);
	m.stride = padded(w->cols);
	return m;
}

#ifdef ASSAY_CUDA_EMULATION
/* What nobody may read is NaN, so that a reader is seen */
static __global__ void undefined_kernel(float *x, size_t n)
{
	for (size_t i = threadIdx.x; i < n; i += CONVERT_THREADS)
		x[i] = NAN;
}
#endif

/* Zeros behind the rows, where a library sums over them, as convert() makes them */
void cuda_end_made(struct backend *be, uint64_t before, const struct cuda_made *m)
{
	struct cuda_state *s = cuda_state(be);
	struct cuda_operand *o = s->operands;
	if (!m->operand)
		return;
	while (o->block.p != m->operand)
		o++;
	size_t rows = (size_t)o->rows, all = (size_t)cuda_lt_rows(be, o->rows);
	cuda_zero(be, m->operand + rows * m->stride, (all - rows) * m->stride * sizeof(*m->operand));
#ifdef ASSAY_CUDA_EMULATION
	if (!m->x)
		CUDA_LAUNCH(be, undefined_kernel, 1, CONVERT_THREADS, 0, const_cast<float *>(o->from), length(o));
#endif
	keep_all(s, before);
}

/* ---- where a result goes --------------------------------------------------------------------------------------------------------- */

struct gemm_out { /* no gap: a graph compares the arguments of kernels as bytes (cuda_graph.cu) */
	float *c;
	size_t stride;
	int M, N, K;
	int drops;         /* ACT: c itself is not kept */
	const float *bias; /* [N] or NULL */
	const float *from; /* what it is added to, of the same stride: often c; NULL: nothing */
	cuda_made act;     /* gelu of it goes there, of the same stride. Of kernels with ACT alone */
};

template <bool ACT> static __device__ __forceinline__ void put(const gemm_out &o, size_t at, float v)
{
	if (!ACT || !o.drops)
		o.c[at] = v;
	if (ACT)
		make(o.act, at, at, v * gelu_gate(v));
}

template <bool ACT> static __device__ __forceinline__ void store(const gemm_out &o, int m, int n, float v)
{
	if (m >= o.M || n >= o.N)
		return;
	size_t at = (size_t)m * o.stride + (size_t)n;
	if (o.bias)
		v += o.bias[n];
	put<ACT>(o, at, o.from ? o.from[at] + v : v);
}

/* ---- bf16: mma.sync ---------------------------------------------------------------------------------------------------------------- */

/* c[M,N] = sum over k of a[m][k] b[n][k] */
template <class T, bool A_ACROSS, bool B_ACROSS, bool ACT>
static __global__ void __launch_bounds__(T::THREADS) mma_kernel(gemm_out o, tile_operand a, tile_operand b)
{
	DYN_SHARED(__nv_bfloat16, stages);
	enum { MI = T::WM / 16, NI = T::WN / 8 };
	float acc[MI][NI][4];
	chain_place at = chain_at<T>(o.M, o.N);
	chain_product<T, A_ACROSS, B_ACROSS>(acc, stages, a, b, at, o.K);
	UNROLL
	for (int i = 0; i < MI; i++)
		UNROLL
	for (int j = 0; j < NI; j++)
		UNROLL
	for (int e = 0; e < 4; e++)
		store<ACT>(o, at.row + chain_row(i, e), at.col + chain_col(j, e), acc[i][j][e]);
}

template <class T, bool A_ACROSS, bool B_ACROSS, bool ACT>
static void mma_launch(struct backend *be, const gemm_out &o, const tile_operand &a, const tile_operand &b)
{
	int blocks = ceil_div(o.M, T::BM) * ceil_div(o.N, T::BN);
	static int allowed_on = -1; /* more than 48 KB of shared memory are asked for once a device */
	if (allowed_on != cuda_state(be)->device) {
		if (!CUDA_CHECK(be, cudaFuncSetAttribute(mma_kernel<T, A_ACROSS, B_ACROSS, ACT>,
							 cudaFuncAttributeMaxDynamicSharedMemorySize,
							 (int)T::SHARED_BYTES)))
			return; /* no memory to load it, say: who goes on with less asks again */
		allowed_on = cuda_state(be)->device;
	}
	CUDA_LAUNCH(be, (mma_kernel<T, A_ACROSS, B_ACROSS, ACT>), blocks, T::THREADS, T::SHARED_BYTES, o, a, b);
}

/* The tile by what there is to do; it changes no bit. */
template <bool A_ACROSS, bool B_ACROSS, bool ACT = false>
static void mma_product(struct backend *be, const gemm_out &o, const tile_operand &a, const tile_operand &b)
{
	int large = ceil_div(o.M, tile_large::BM) * ceil_div(o.N, tile_large::BN);
	if (!A_ACROSS && o.M <= tile_skinny::BM)
		mma_launch<tile_skinny, A_ACROSS, B_ACROSS, ACT>(be, o, a, b);
	else if (o.M <= tile_middle::BM || large < cuda_properties(be)->multiProcessorCount)
		mma_launch<tile_middle, A_ACROSS, B_ACROSS, ACT>(be, o, a, b);
	else
		mma_launch<tile_large, A_ACROSS, B_ACROSS, ACT>(be, o, a, b);
}

static void own_product(struct backend *be, const struct cuda_lt_product *p, const cuda_made &act)
{
	gemm_out o = { p->y, (size_t)p->y_stride, p->m, p->n, p->k, p->act == p->y, p->bias, p->from, act };
	tile_operand a = { static_cast<const __nv_bfloat16 *>(p->x), (size_t)p->x_stride, p->m };
	tile_operand b = { static_cast<const __nv_bfloat16 *>(p->w), (size_t)p->w_stride, p->n };
	if (p->x_across)
		mma_product<true, true>(be, o, a, b);
	else if (p->w_across)
		mma_product<false, true>(be, o, a, b);
	else if (p->act)
		mma_product<false, false, true>(be, o, a, b);
	else
		mma_product<false, false>(be, o, a, b);
}

void cuda_gemm_own(struct backend *be, const struct cuda_lt_product *p)
{
	own_product(be, p, { p->act, NULL, 0 });
}

/* ---- f32 and tf32 -------------------------------------------------------------------------------------------------------------------- */

/* An operand in memory, of any type: element (i, k) is at[i * stride + k], or at[k * stride + i] where it lies across */
struct float_operand {
	const void *p;
	size_t stride;
	int n, type;
};

/* To the 10 bits of fraction that tensor cores take, half away from zero; as cvt.rna.tf32 does */
static __device__ __forceinline__ float round_tf32(float x)
{
	uint32_t u;
	memcpy(&u, &x, sizeof(u));
	if ((u & 0x7f800000u) != 0x7f800000u)
		u = (u + 0x1000u) & ~0x1fffu;
	memcpy(&x, &u, sizeof(x));
	return x;
}

/* d[16,8] += a[16,8] b[8,8]: lane 4 g + t holds d as in mma_bf16(); a: rows g, g+8, g, g+8, columns t, t, t+4, t+4; b:
 * column g, rows t, t+4 */
#ifdef __CUDACC__
static __device__ __forceinline__ void mma_tf32(float d[4], const float a[4], const float b[2])
{
	uint32_t ua[4], ub[2];
	memcpy(ua, a, sizeof(ua));
	memcpy(ub, b, sizeof(ub));
	asm volatile(
		"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
		: "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
		: "r"(ua[0]), "r"(ua[1]), "r"(ua[2]), "r"(ua[3]), "r"(ub[0]), "r"(ub[1]));
}
#endif

enum { FLOAT_BK = 16, FLOAT_CHAIN = 256 /* part of the numerics, as K_BLOCK of cpu_gemm.c */ };

/* BM x BN by a block, TM x TN by a thread (f32); WM x WN by a warp (tf32) */
template <int BM_, int BN_, int TM_, int TN_, int WM_, int WN_> struct float_shape {
	enum { BM = BM_, BN = BN_, TM = TM_, TN = TN_, WM = WM_, WN = WN_, THREADS = (BM / TM) * (BN / TN) };
};
typedef float_shape<128, 128, 8, 8, 64, 32> float_large;
typedef float_shape<16, 64, 2, 4, 16, 16> float_skinny;

/* tile[k][i] <- what the block's threads fetch, k the slow index */
template <int N, int THREADS, bool ACROSS, bool ROUND>
static __device__ __forceinline__ void float_load(float (*tile)[N + 4], const float_operand &o, int i0, int k0, int K)
{
	for (int at = threadIdx.x; at < N * FLOAT_BK; at += THREADS) {
		int i = ACROSS ? at % N : at / FLOAT_BK, k = ACROSS ? at / N : at % FLOAT_BK;
		float v = 0.0f;
		if (i0 + i < o.n && k0 + k < K)
			v = element(o.p, o.type,
				    ACROSS ? (size_t)(k0 + k) * o.stride + (size_t)(i0 + i)
					   : (size_t)(i0 + i) * o.stride + (size_t)(k0 + k));
		tile[k][i] = ROUND ? round_tf32(v) : v;
	}
}

/* As cpu_gemm.c: the result begins as bias and old value, if any, and chains of 256 are added to it */
template <class T, bool A_ACROSS, bool B_ACROSS, bool ACT>
static __global__ void __launch_bounds__(T::THREADS) fma_kernel(gemm_out o, float_operand a, float_operand b)
{
	SHARED(float, ta, [FLOAT_BK][T::BM + 4]);
	SHARED(float, tb, [FLOAT_BK][T::BN + 4]);
	int m, n;
	tile_of_block(&m, &n, (o.M + T::BM - 1) / T::BM, (o.N + T::BN - 1) / T::BN);
	int m0 = m * T::BM, n0 = n * T::BN;
	int tm = threadIdx.x / (T::BN / T::TN) * T::TM, tn = threadIdx.x % (T::BN / T::TN) * T::TN;
	float acc[T::TM][T::TN], sum[T::TM][T::TN];
	UNROLL
	for (int i = 0; i < T::TM; i++)
		UNROLL
	for (int j = 0; j < T::TN; j++) {
		int r = m0 + tm + i, c = n0 + tn + j;
		bool in = r < o.M && c < o.N;
		acc[i][j] = 0.0f;
		sum[i][j] = in && o.from ? o.from[(size_t)r * o.stride + c] : 0.0f;
		if (in && o.bias)
			sum[i][j] = o.from ? sum[i][j] + o.bias[c] : o.bias[c];
	}
	for (int k0 = 0; k0 < o.K; k0 += FLOAT_BK) {
		float_load<T::BM, T::THREADS, A_ACROSS, false>(ta, a, m0, k0, o.K);
		float_load<T::BN, T::THREADS, B_ACROSS, false>(tb, b, n0, k0, o.K);
		__syncthreads();
		int k_end = o.K - k0 < FLOAT_BK ? o.K - k0 : FLOAT_BK;
		for (int k = 0; k < k_end; k++)
			UNROLL
		for (int i = 0; i < T::TM; i++)
			UNROLL
		for (int j = 0; j < T::TN; j++)
			acc[i][j] = fmaf(ta[k][tm + i], tb[k][tn + j], acc[i][j]);
		bool ends = (k0 + FLOAT_BK) % FLOAT_CHAIN == 0 || k0 + FLOAT_BK >= o.K;
		bool set = k0 < FLOAT_CHAIN && !o.from && !o.bias;
		UNROLL
		for (int i = 0; i < T::TM; i++)
			UNROLL
		for (int j = 0; j < T::TN; j++) {
			float more = set ? acc[i][j] : sum[i][j] + acc[i][j];
			sum[i][j] = ends ? more : sum[i][j];
			acc[i][j] = ends ? 0.0f : acc[i][j];
		}
		__syncthreads();
	}
	UNROLL
	for (int i = 0; i < T::TM; i++)
		UNROLL
	for (int j = 0; j < T::TN; j++)
		if (m0 + tm + i < o.M && n0 + tn + j < o.N)
			put<ACT>(o, (size_t)(m0 + tm + i) * o.stride + (size_t)(n0 + tn + j), sum[i][j]);
}

template <class T, bool A_ACROSS, bool B_ACROSS, bool ACT>
static __global__ void __launch_bounds__((T::BM / T::WM) * (T::BN / T::WN) * WARP)
	tf32_kernel(gemm_out o, float_operand a, float_operand b)
{
	enum { MI = T::WM / 16, NI = T::WN / 8, THREADS = (T::BM / T::WM) * (T::BN / T::WN) * WARP };
	SHARED(float, ta, [FLOAT_BK][T::BM + 4]);
	SHARED(float, tb, [FLOAT_BK][T::BN + 4]);
	int warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4, m, n;
	tile_of_block(&m, &n, (o.M + T::BM - 1) / T::BM, (o.N + T::BN - 1) / T::BN);
	int m0 = m * T::BM, n0 = n * T::BN, wm = warp / (T::BN / T::WN) * T::WM, wn = warp % (T::BN / T::WN) * T::WN;
	float acc[MI][NI][4];
	zero_accumulators(acc);
	for (int k0 = 0; k0 < o.K; k0 += FLOAT_BK) {
		float_load<T::BM, THREADS, A_ACROSS, true>(ta, a, m0, k0, o.K);
		float_load<T::BN, THREADS, B_ACROSS, true>(tb, b, n0, k0, o.K);
		__syncthreads();
		for (int k = 0; k < FLOAT_BK && k0 + k < o.K; k += 8) {
			float fa[MI][4], fb[NI][2];
			UNROLL
			for (int i = 0; i < MI; i++)
				UNROLL
			for (int e = 0; e < 4; e++)
				fa[i][e] = ta[k + t + e / 2 * 4][wm + i * 16 + g + e % 2 * 8];
			UNROLL
			for (int j = 0; j < NI; j++)
				UNROLL
			for (int e = 0; e < 2; e++)
				fb[j][e] = tb[k + t + e * 4][wn + j * 8 + g];
			UNROLL
			for (int i = 0; i < MI; i++)
				UNROLL
			for (int j = 0; j < NI; j++)
				mma_tf32(acc[i][j], fa[i], fb[j]);
		}
		__syncthreads();
	}
	UNROLL
	for (int i = 0; i < MI; i++)
		UNROLL
	for (int j = 0; j < NI; j++)
		UNROLL
	for (int e = 0; e < 4; e++)
		store<ACT>(o, m0 + wm + i * 16 + g + e / 2 * 8, n0 + wn + j * 8 + t * 2 + e % 2, acc[i][j][e]);
}

template <class T, bool A_ACROSS, bool B_ACROSS, bool ACT>
static void float_launch(struct backend *be, const gemm_out &o, const float_operand &a, const float_operand &b)
{
	int blocks = ceil_div(o.M, T::BM) * ceil_div(o.N, T::BN);
	if (cuda_math(be) == CUDA_MATH_F32)
		CUDA_LAUNCH(be, (fma_kernel<T, A_ACROSS, B_ACROSS, ACT>), blocks, T::THREADS, 0, o, a, b);
	else
		CUDA_LAUNCH(be, (tf32_kernel<T, A_ACROSS, B_ACROSS, ACT>), blocks,
			    (T::BM / T::WM) * (T::BN / T::WN) * WARP, 0, o, a, b);
}

template <bool A_ACROSS, bool B_ACROSS, bool ACT = false>
static void float_product(struct backend *be, const gemm_out &o, const float_operand &a, const float_operand &b)
{
	int large = ceil_div(o.M, float_large::BM) * ceil_div(o.N, float_large::BN);
	if (o.M <= float_skinny::BM || large < cuda_properties(be)->multiProcessorCount)
		float_launch<float_skinny, A_ACROSS, B_ACROSS, ACT>(be, o, a, b);
	else
		float_launch<float_large, A_ACROSS, B_ACROSS, ACT>(be, o, a, b);
}

static float_operand float_weight(const struct kernels_weight *w, int n)
{
	struct cuda_rows r = cuda_weight_rows(w);
	float_operand o = { r.data, r.stride, n, r.type };
	return o;
}

static float_operand float_rows(const float *x, int stride, int n)
{
	float_operand o = { x, (size_t)stride, n, KERNELS_F32 };
	return o;
}

/* ---- the table's operations --------------------------------------------------------------------------------------------------------- */

/* By the library, where there is a pin, or by ourselves, who write what gelu makes as an operand at once */
static void bf16_product(struct backend *be, uint64_t before, const gemm_out &o, float *act, const tile_operand &a,
			 const tile_operand &b, int a_across, int b_across)
{
	struct cuda_lt_product p = { o.c, act, o.from,        a.p,           b.p,           o.bias,   o.M,
				     o.N, o.K, (int)a.stride, (int)b.stride, (int)o.stride, a_across, b_across };
	size_t n = reach(o.M, o.N, (int)o.stride);
	bool taken = cuda_lt_take(be, &p);
	cuda_forget_operands(be, o.c, n * sizeof(float));
	if (o.stride == (size_t)o.N)
		set_present(cuda_state(be), o.c, n);
	cuda_made made = { act, NULL, 0 };
	if (act && taken)
		cuda_written(be, act, n * sizeof(float));
	else if (act)
		made = cuda_begin_made(be, before, act, n, true);
	if (!taken)
		own_product(be, &p, made);
	cuda_end_made(be, before, &made);
	keep_all(cuda_state(be), before);
}

static void bf16_linear(struct backend *be, const gemm_out &o, float *act, const float *x, int x_stride,
			const struct kernels_weight *w)
{
	uint64_t before = cuda_launches(be);
	tile_operand b = cuda_weight_operand(be, w, w->N);
	struct cuda_operand *left = b.p ? activation(be, x, o.M, o.K, x_stride, before) : NULL;
	if (left)
		bf16_product(be, before, o, act, operand_of(left, o.M), b, 0, 0);
}

void cuda_linear_into(struct backend *be, float *y, float *act, const float *from, const float *x,
		      const struct kernels_weight *w, const struct kernels_linear *how)
{
	gemm_out o = { y, (size_t)how->y_stride, how->M, w->N, w->K, act == y, how->bias, from, { act, NULL, 0 } };
	if (o.M <= 0 || o.N <= 0)
		return;
	if (cuda_math(be) == CUDA_MATH_BF16)
		bf16_linear(be, o, act, x, how->x_stride, w);
	else if (act)
		float_product<false, false, true>(be, o, float_rows(x, how->x_stride, o.M), float_weight(w, o.N));
	else
		float_product<false, false>(be, o, float_rows(x, how->x_stride, o.M), float_weight(w, o.N));
}

void cuda_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		 const struct kernels_linear *how)
{
	cuda_linear_into(be, y, NULL, how->beta > 0 ? y : NULL, x, w, how);
}

void cuda_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
		    const struct kernels_linear *how)
{
	uint64_t before = cuda_launches(be);
	gemm_out o = { dx, (size_t)how->x_stride, how->M, w->K, w->N, 0, NULL, how->beta > 0 ? dx : NULL, {} };
	if (o.M <= 0 || o.N <= 0)
		return;
	if (cuda_math(be) != CUDA_MATH_BF16) {
		float_product<false, true>(be, o, float_rows(dy, how->y_stride, o.M), float_weight(w, o.N));
		return;
	}
	tile_operand b = cuda_weight_operand(be, w, o.N);
	struct cuda_operand *left = b.p ? activation(be, dy, o.M, o.K, how->y_stride, before) : NULL;
	if (left)
		bf16_product(be, before, o, NULL, operand_of(left, o.M), b, 0, 1);
}

void cuda_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
		    const struct kernels_linear *how)
{
	uint64_t before = cuda_launches(be);
	gemm_out o = { dw, (size_t)K, N, K, how->M > 0 ? how->M : 0, 0, NULL, how->beta > 0 ? dw : NULL, {} };
	if (N <= 0 || K <= 0)
		return;
	if (cuda_math(be) != CUDA_MATH_BF16) {
		float_product<true, true>(be, o, float_rows(dy, how->y_stride, N), float_rows(x, how->x_stride, K));
		return;
	}
	struct cuda_operand *left = activation(be, dy, o.K, N, how->y_stride, before);
	struct cuda_operand *right = left ? activation(be, x, o.K, K, how->x_stride, before) : NULL;
	if (right)
		bf16_product(be, before, o, NULL, operand_of(left, N), operand_of(right, K), 1, 1);
}
