/* cuda_head.cu: the head of a model and its loss in one, tiled over the vocabulary: logits never stand in memory.
 *
 * The product x W^T is that of cuda_gemm.cu, element for element. What follows happens where its elements are in registers: a warp
 * holds whole groups of 32 words of a row, and leaves of each its largest, where that stands and the sum of e^(x - largest), 12 bytes in
 * place of 128 (cuda_best_int.h), and the logits of the row's targets. A second kernel joins the groups of a row. These are the groups
 * and the order of cuda_logprob(), so the bits of a row are the same either way, in any company.
 *
 * The gradient wants all logits once more. They are computed again, tile by tile of 8192 words, and become their gradient before they leave
 * the registers: as bf16, the operand of the two products that end it, dx += g W of the tile and dW = g^T x, which is written once. A tile
 * serves up to 8192 rows. In bytes a token and word, of GPT-2 124M in steps of 8192 tokens (C 768, chunks of 1335 rows otherwise):
 *
 *	chunks of rows    logits 4, loss 4, gradient 4 + 2, its products 4; W's gradient 4.6; W as bf16, twice a chunk, 6.9     30
 *	tiles of words    groups 0.8; gradient 2, its products 4; dx 0.8; W's gradient 0.8 and W as bf16 once, 0.6                9
 *
 * That is 1.04 MB a token, 0.26 us at 4 TB/s, for 2 C V = 77 MFLOP more, 0.22 us at the 350 TFLOP/s to be hoped of mma.sync: a gain where
 * the head's product is our own, and none where a pin of cuBLASLt computes it at twice the speed (cuda_lt.cu). So a pin of the head's
 * product has the head go by rows. In scoring nothing is computed twice, and 8 of 8 bytes are spared. Reckoned, not measured. */
#include "kernels/cuda_chain_int.h"
#include "kernels/cuda_best_int.h"
#include "kernels/cuda_pins_int.h"

enum {
	HEAD_WORDS = 8192, /* of a tile of the gradient: sums of dx end with it, so it depends on nothing */
	HEAD_ROWS = 8192,  /* at most, of a tile */
#ifdef ASSAY_CUDA_EMULATION
	GROUPS_BYTES = 48 << 10 /* so that a test meets several pieces */
#else
	GROUPS_BYTES = 128 << 20 /* of groups under way, at most; whole 128 rows */
#endif
};

/* What the gradient of a row is made of */
struct head_row {
	double sum;
	float top, factor, scale;
	int32_t target;
};

/* ---- loss ------------------------------------------------------------------------------------------------------------------ */

struct head_groups {        /* no gap: a graph compares the arguments of kernels as bytes (cuda_graph.cu) */
	group_best *groups; /* [M, n_groups] */
	double *logit;      /* of each target */
	const int32_t *first, *target;
	int M, N, K, n_groups;
};

/* Whose word is among the lane's own, of a row's targets */
static __device__ __forceinline__ void keep_targets(const head_groups &o, int row, int first_word,
						    const float v[GROUP_OWN])
{
	int from = o.first ? o.first[row] : row, to = o.first ? o.first[row + 1] : row + 1;
	for (int i = from; i < to; i++) {
		int target = o.target[i];
		UNROLL
		for (int k = 0; k < GROUP_OWN; k++)
			if (target == group_word(first_word, k))
				o.logit[i] = (double)v[k];
	}
}

template <class T>
static __global__ void __launch_bounds__(T::THREADS) head_kernel(head_groups o, tile_operand x, tile_operand w)
{
	static_assert((int)T::WN == (int)GROUP_WORDS, "a warp holds whole groups");
	enum { MI = T::WM / 16, NI = T::WN / 8 };
	DYN_SHARED(__nv_bfloat16, stages);
	float acc[MI][NI][4];
	chain_place at = chain_at<T>(o.M, o.N);
	chain_product<T, false, false>(acc, stages, x, w, at, o.K);
	int first_word = at.col + chain_col(0, 0), group = at.col / GROUP_WORDS;
	UNROLL
	for (int i = 0; i < MI; i++)
		UNROLL
	for (int half = 0; half < 2; half++) {
		int row = at.row + chain_row(i, half * 2);
		float v[GROUP_OWN];
		UNROLL
		for (int k = 0; k < GROUP_OWN; k++)
			v[k] = acc[i][k / 2][half * 2 + k % 2];
		group_best b = group_of(v, first_word, o.N);
		if (row >= o.M || group >= o.n_groups)
			continue;
		if (threadIdx.x % GROUP_LANES == 0)
			o.groups[(size_t)row * (size_t)o.n_groups + (size_t)group] = b;
		keep_targets(o, row, first_word, v);
	}
}

struct head_ask {
	double *logprob; /* of each target: its logit comes in … */
	int32_t *argmax; /* or NULL */
	const int32_t *first, *target;
	const float *scale; /* with rows */
	head_row *rows;     /* or NULL */
};

/* Row blockIdx.x: its groups by 128 chains */
static __global__ void __launch_bounds__(BEST_CHAINS) head_join_kernel(head_ask o, const group_best *groups, int n)
{
	SHARED(best, room, [BEST_ROOM]);
	SHARED(double, log_sum, [1]);
	int t = (int)blockIdx.x, from = o.first ? o.first[t] : t, to = o.first ? o.first[t + 1] : t + 1;
	if (from == to)
		return;
	best b = best_none();
	for (int g = (int)threadIdx.x; g < n; g += BEST_CHAINS)
		b = best_with(b, groups[(size_t)t * (size_t)n + (size_t)g]);
	b = best_block(b, room, BEST_CHAINS);
	if (threadIdx.x == 0)
		log_sum[0] = (double)b.top + dm_log(b.sum);
	if (threadIdx.x == 0 && o.rows)
		o.rows[t] = { b.sum, b.top, loss_factor(o.scale[t], b.sum), o.scale[t], o.target[t] };
	__syncthreads();
	for (int i = from + (int)threadIdx.x; i < to; i += BEST_CHAINS) {
		o.logprob[i] = o.target[i] < 0 ? 0 : o.logprob[i] - log_sum[0];
		if (o.argmax)
			o.argmax[i] = b.at;
	}
}

template <class T>
static void launch_tile(struct backend *be, const head_groups &o, const tile_operand &x, const tile_operand &w)
{
	if (cuda_allow_shared(be, head_kernel<T>, T::SHARED_BYTES, "the product of a head"))
		CUDA_LAUNCH(be, (head_kernel<T>), ceil_div(o.M, T::BM) * ceil_div(o.N, T::BN), T::THREADS,
			    T::SHARED_BYTES, o, x, w);
}

/* The tile by what there is to do; it changes no bit. All have groups of 32 words; rows beyond the last are multiplied for nothing,
 * beside the weights, which take longer to come. */
template <class OUT> static void launch(struct backend *be, const OUT &o, const tile_operand &x, const tile_operand &w)
{
	int large = ceil_div(o.M, tile_large::BM) * ceil_div(o.N, tile_large::BN);
	if (o.M <= tile_middle::BM || large < cuda_properties(be)->multiProcessorCount)
		launch_tile<tile_middle>(be, o, x, w);
	else
		launch_tile<tile_large>(be, o, x, w);
}

static tile_operand rows_of(const tile_operand &all, int first, int n)
{
	tile_operand o = { all.p + (size_t)first * all.stride, all.stride, n };
	return o;
}

static int n_groups(int V)
{
	return ceil_div(V, GROUP_WORDS);
}

/* Rows whose groups are under way at once */
static int rows_at_once(int T, int V)
{
	enum { WHOLE = 128 };
	size_t fit = GROUPS_BYTES / ((size_t)n_groups(V) * sizeof(group_best)) / WHOLE * WHOLE;
	fit = fit < WHOLE ? (size_t)WHOLE : fit;
	return fit < (size_t)T ? (int)fit : T;
}

static size_t groups_bytes(int T, int V)
{
	return (size_t)rows_at_once(T, V) * (size_t)n_groups(V) * sizeof(group_best);
}

/* Log-probabilities of all rows of x; the pointers of `all` are at its first row. */
static void head_loss(struct backend *be, const head_ask *all, group_best *groups, const tile_operand &x,
		      const tile_operand &w, int K)
{
	int at_once = rows_at_once(x.n, w.n), n = n_groups(w.n);
	for (int at = 0; at < x.n; at += at_once) {
		int rows = x.n - at < at_once ? x.n - at : at_once;
		head_ask q = *all;
		if (q.first) { /* which says where its targets are */
			q.first += at;
		} else {
			q.target += at;
			q.logprob += at;
			q.argmax = q.argmax ? q.argmax + at : NULL;
		}
		if (q.rows) {
			q.rows += at;
			q.scale += at;
		}
		head_groups o = { groups, q.logprob, q.first, q.target, rows, w.n, K, n };
		launch(be, o, rows_of(x, at, rows), w);
		CUDA_LAUNCH(be, head_join_kernel, rows, BEST_CHAINS, 0, q, (const group_best *)groups, n);
	}
}

/* ---- gradient -------------------------------------------------------------------------------------------------------------- */

struct head_gradient {    /* no gap */
	__nv_bfloat16 *g; /* [M, stride]: of N words, and zeros */
	size_t stride;
	const head_row *rows;
	int M, N, K, first_word;
};

static __device__ __forceinline__ float word_gradient(const head_row &r, float logit, int word)
{
	float e = dm_expf(logit - r.top);
	if (r.target < 0)
		return 0;
	return word == r.target ? loss_at_target(e, r.scale, r.sum) : e * r.factor;
}

template <class T>
static __global__ void __launch_bounds__(T::THREADS) head_back_kernel(head_gradient o, tile_operand x, tile_operand w)
{
	enum { MI = T::WM / 16, NI = T::WN / 8 };
	DYN_SHARED(__nv_bfloat16, stages);
	float acc[MI][NI][4];
	chain_place at = chain_at<T>(o.M, o.N);
	chain_product<T, false, false>(acc, stages, x, w, at, o.K);
	UNROLL
	for (int i = 0; i < MI; i++)
		UNROLL
	for (int half = 0; half < 2; half++) {
		int row = at.row + chain_row(i, half * 2);
		if (row >= o.M)
			continue;
		head_row r = o.rows[row];
		UNROLL
		for (int j = 0; j < NI; j++) {
			int col = at.col + chain_col(j, 0);
			float v[2];
			UNROLL
			for (int e = 0; e < 2; e++)
				v[e] = col + e < o.N ? word_gradient(r, acc[i][j][half * 2 + e], o.first_word + col + e)
						     : 0.0f;
			uint32_t pair = bf16_pair(v[0], v[1]);
			if (col < (int)o.stride)
				memcpy(o.g + (size_t)row * o.stride + (size_t)col, &pair, sizeof(pair));
		}
	}
}

template <class T>
static void launch_tile(struct backend *be, const head_gradient &o, const tile_operand &x, const tile_operand &w)
{
	if (cuda_allow_shared(be, head_back_kernel<T>, T::SHARED_BYTES, "the product of a head"))
		CUDA_LAUNCH(be, (head_back_kernel<T>), ceil_div(o.M, T::BM) * ceil_div(o.N, T::BN), T::THREADS,
			    T::SHARED_BYTES, o, x, w);
}

static void by_library_or_own(struct backend *be, const cuda_lt_product *p)
{
	if (!cuda_lt_take(be, p))
		cuda_gemm_own(be, p);
}

struct head_sides {     /* where the gradient of some rows goes */
	float *dx, *dw; /* dw NULL: not wanted */
	bool adds;      /* to dw */
};

/* Of the rows of x, which head_loss() has been through: words first_word .. first_word + words */
static void words_back(struct backend *be, const head_sides *to, const head_gradient &o, const tile_operand &x,
		       const tile_operand &w)
{
	size_t C = (size_t)o.K, rows = (size_t)o.M, padded = (size_t)cuda_lt_rows(be, o.M);
	launch(be, o, x, w);
	cuda_zero(be, o.g + rows * o.stride, (padded - rows) * o.stride * sizeof(*o.g));
	cuda_lt_product p = { to->dx,
			      NULL,
			      o.first_word ? to->dx : NULL,
			      o.g,
			      w.p,
			      NULL,
			      o.M,
			      o.K,
			      o.N,
			      (int)o.stride,
			      (int)w.stride,
			      o.K,
			      0,
			      1 };
	by_library_or_own(be, &p);
	if (!to->dw)
		return;
	float *dw = to->dw + (size_t)o.first_word * C;
	p = { dw, NULL, to->adds ? dw : NULL, o.g, x.p, NULL, o.N, o.K, o.M, (int)o.stride, (int)x.stride, o.K, 1, 1 };
	by_library_or_own(be, &p);
}

/* ---- the table's operations ---------------------------------------------------------------------------------------------------- */

bool cuda_head_tiles(struct backend *be, const struct kernels_weight *head)
{
	return cuda_math(be) == CUDA_MATH_BF16 && !cuda_pins_find(be, head->N, head->K, FORM_PLAIN);
}

void cuda_head_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *x,
		       const struct kernels_weight *head, const int32_t *first, const int32_t *target, int T)
{
	if (T <= 0)
		return;
	uint64_t before = cuda_launches(be);
	tile_operand w = cuda_weight_operand(be, head, head->N);
	tile_operand a = cuda_rows_operand(be, x, T, head->K, before);
	group_best *groups = (group_best *)cuda_scratch(be, groups_bytes(T, head->N));
	const head_ask q = { logprob, argmax, first, target, NULL, NULL };
	if (w.p && a.p && groups)
		head_loss(be, &q, groups, a, w, head->K);
}

void cuda_head_back(struct backend *be, double *logprob, float *dx, float *dw, float beta, const float *x,
		    const struct kernels_weight *head, const int32_t *target, const float *scale, int T)
{
	if (T <= 0)
		return;
	int V = head->N, C = head->K, most = T < HEAD_ROWS ? T : HEAD_ROWS;
	size_t widest =
		(size_t)(V < HEAD_WORDS ? (V + 7) / 8 * 8 : HEAD_WORDS); /* a row of an operand: a multiple of 8 */
	size_t rows_bytes = ((size_t)most * sizeof(head_row) + 255) / 256 * 256, room = groups_bytes(most, V);
	size_t g_bytes = (size_t)cuda_lt_rows(be, most) * widest * sizeof(__nv_bfloat16);
	uint64_t before = cuda_launches(be);
	tile_operand w = cuda_weight_operand(be, head, V), a = cuda_rows_operand(be, x, T, C, before);
	char *scratch = (char *)cuda_scratch(be, rows_bytes + (g_bytes > room ? g_bytes : room));
	if (!w.p || !a.p || !scratch)
		return;
	cuda_written(be, dx, (size_t)T * (size_t)C * sizeof(float));
	if (dw)
		cuda_written(be, dw, (size_t)V * (size_t)C * sizeof(float));
	head_row *rows = (head_row *)scratch;
	char *rest = scratch + rows_bytes; /* groups, then gradients */
	for (int t = 0; t < T; t += HEAD_ROWS) {
		const tile_operand part = rows_of(a, t, T - t < HEAD_ROWS ? T - t : HEAD_ROWS);
		const head_ask q = { logprob + t, NULL, NULL, target + t, scale + t, rows };
		const head_sides to = { dx + (size_t)t * (size_t)C, dw, beta > 0 || t > 0 };
		head_loss(be, &q, (group_best *)rest, part, w, C);
		for (int v = 0; v < V; v += HEAD_WORDS) {
			int words = V - v < HEAD_WORDS ? V - v : HEAD_WORDS;
			const head_gradient o = { (__nv_bfloat16 *)rest, widest, rows, part.n, words, C, v };
			words_back(be, &to, o, part, rows_of(w, v, words));
		}
	}
}
