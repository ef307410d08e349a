/* cuda_trial.cu: the test of a pin: does the library keep the same bits with it, on this device, now?
 *
 * That one configuration gives a row the same bits among any others is the library's promise and not ours; so a pin is tested when
 * the device is opened: the same row at many places and among 128, 256 and up to 2048 others must give the same bits, and about
 * the numbers of our own kernel; no call has more rows than were tested, fewer than 2048 where the weight is so wide that the
 * test would want more than half a gigabyte. A gradient of weights sums over tokens, so it depends on the batch by nature; it
 * must have the same bits again, and with hundreds of zeros behind the tokens, which no sum in parts would leave alone. What
 * the product is added to, and what is fused behind it, is judged, too.
 *
 * The library's GELU is the tanh form, but by what tanh it does not say; a pin of it is good only where it gives, of a bias alone,
 * what ours does to 2^-13, a sixteenth of what rounding to bf16 for the next product does.
 *
 * Judged on the device: what comes back is the number of rows that are wrong. */
#include "kernels/cuda_pins_int.h"
#include "kernels/cuda_math.h"

/* ---- how large a test is ------------------------------------------------------------------------------------------------------- */

enum { TEST_ROWS = 2048, TEST_ROWS_LEAST = 256 };
static const uint64_t TEST_USUAL = 512u << 20, TEST_MOST = 2048u << 20; /* bytes */

/* Operands and results of a test with so many tokens */
static uint64_t test_bytes(const cuda_pin *q, int tokens)
{
	uint64_t t = (uint64_t)tokens, n = (uint64_t)q->n, k = (uint64_t)q->k;
	if (q->form == FORM_DW)
		return 2 * t * (n + k) + 3 * 4 * n * k;
	if (q->form == FORM_DX)
		return 2 * (t * n + n * k) + 3 * 4 * t * k;
	return 2 * (t * k + n * k) + (q->form == FORM_GELU_AUX ? 5 : 3) * 4 * t * n;
}

int cuda_trial_rows(const cuda_pin *q)
{
	int rows = TEST_ROWS;
	while (q->form != FORM_DW && rows > TEST_ROWS_LEAST && test_bytes(q, rows) > TEST_USUAL)
		rows /= 2;
	return rows;
}

bool cuda_trial_too_large(const cuda_pin *q)
{
	return test_bytes(q, cuda_trial_rows(q)) > TEST_MOST;
}

/* ---- the test of a pin ------------------------------------------------------------------------------------------------------------- */

enum { TEST_THREADS = 256 };
#define GELU_LIMIT 0x1p-13f /* of its argument */

/* Numbers of a wide range of exponents, from a counter; rows of `same` are all as row 0 */
static __global__ void fill_kernel(__nv_bfloat16 *out, int stride, int cols, int rows, uint64_t key, bool repeats)
{
	int row = blockIdx.x, from = repeats && (row % 127 == 0 || row == rows - 1) ? 0 : row;
	for (int c = threadIdx.x; c < stride; c += TEST_THREADS) {
		uint64_t z = key + ((uint64_t)from * (uint64_t)stride + (uint64_t)c + 1) * 0x9e3779b97f4a7c15u;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		float u = (float)(z >> 40) / 16777216.0f - 0.5f;
		out[(size_t)row * (size_t)stride + (size_t)c] =
			__float2bfloat16_rn(c < cols ? u * (float)(1 << (z & 3)) : 0.0f);
	}
}

/* wrong += rows of y that differ from their twins in `want`, or from row 0 where they repeat it (rows 0: none does), or are
 * farther than the limit from `own` */
static __global__ void judge_kernel(int *wrong, const float *y, const float *want, const float *own, int n, int rows,
				    float limit)
{
	int row = blockIdx.x;
	bool repeats = rows > 0 && (row % 127 == 0 || row == rows - 1), bad = false;
	for (int c = threadIdx.x; c < n; c += TEST_THREADS) {
		size_t at = (size_t)row * (size_t)n + (size_t)c;
		uint32_t a, b, first;
		memcpy(&a, y + at, 4);
		memcpy(&b, want + at, 4);
		memcpy(&first, want + c, 4);
		bad = bad || a != b || (repeats && a != first) || (own && !(fabsf(y[at] - own[at]) <= limit));
	}
	if (bad)
		atomicAdd(wrong, 1);
}

/* wrong += rows of y that are not the bias, or act that are not its gelu to 2^-13; y NULL: it is not kept. x was zeros. */
static __global__ void judge_bias_kernel(int *wrong, const float *y, const float *act, const float *bias, int n)
{
	bool bad = false;
	for (int c = threadIdx.x; c < n; c += TEST_THREADS) {
		size_t at = (size_t)blockIdx.x * (size_t)n + (size_t)c;
		bad = bad || (y && !(y[at] == bias[c])) ||
		      (act && !(fabsf(act[at] - bias[c] * gelu_gate(bias[c])) <= fabsf(bias[c]) * GELU_LIMIT));
	}
	if (bad)
		atomicAdd(wrong, 1);
}

/* -6 .. 6, where gelu is neither 0 nor its argument in between */
static __global__ void fill_bias_kernel(float *out, int n)
{
	for (int c = threadIdx.x; c < n; c += TEST_THREADS)
		out[c] = (float)((c * 37 + 11) % 101 - 50) * 0.12f;
}

/* Operands and result of a pin's product with so many tokens, without places */
static cuda_lt_product shape_of(const cuda_pin *q, int tokens)
{
	cuda_lt_product p;
	memset(&p, 0, sizeof(p));
	p.m = q->form == FORM_DW ? q->n : tokens;
	p.n = p.y_stride = q->form >= FORM_DX ? q->k : q->n;
	p.k = q->form == FORM_DW ? tokens : q->form == FORM_DX ? q->n : q->k;
	p.x_stride = ((q->form >= FORM_DX ? q->n : q->k) + 7) / 8 * 8;
	p.w_stride = (q->k + 7) / 8 * 8;
	p.x_across = q->form == FORM_DW, p.w_across = q->form >= FORM_DX;
	return p;
}

/* The lack of memory that is on record is one of the test */
static void no_room(struct backend *be, const cuda_pin *q, int rows)
{
	struct cuda_state *s = cuda_state(be);
	snprintf(s->text, sizeof(s->text), "%s: no memory for the test of the pin of a weight of %d x %d: %llu MB",
		 be->name, q->n, q->k, (unsigned long long)(test_bytes(q, rows) >> 20));
	snprintf(s->fix, sizeof(s->fix),
		 "take its lines out of libassay-cuda.pins, or that file away: the plugin's own products need no test; "
		 "nvidia-smi shows who else has memory there");
}

bool cuda_trial_open(struct backend *be, cuda_trial *t, const cuda_pin *q)
{
	const struct cuda_state *s = cuda_state(be);
	const int rows = cuda_trial_rows(q);
	cuda_lt_product p = shape_of(q, rows);
	size_t w_rows = q->form == FORM_DW ? (size_t)TEST_ROWS : (size_t)q->n;
	bool ok = cuda_block_need(be, &t->x, (size_t)rows * (size_t)p.x_stride * 2) &&
		  cuda_block_need(be, &t->w, w_rows * (size_t)p.w_stride * 2) &&
		  cuda_block_need(be, &t->bias, (size_t)q->n * sizeof(float)) && cuda_block_need(be, &t->wrong, 256);
	for (int i = 0; i < (q->form == FORM_GELU_AUX ? 5 : 3); i++)
		ok = ok && cuda_block_need(be, &t->y[i], (size_t)p.m * (size_t)p.n * sizeof(float));
	if (!ok && be->no_memory && s->error)
		no_room(be, q, rows);
	return ok;
}

void cuda_trial_close(struct backend *be, cuda_trial *t)
{
	cuda_block *all[] = { &t->x, &t->w, &t->bias, &t->y[0], &t->y[1], &t->y[2], &t->y[3], &t->y[4], &t->wrong };
	for (cuda_block *b : all) {
		cuda_free(be, b->p);
		b->p = NULL;
	}
}

cuda_lt_product cuda_trial_product(const cuda_trial *t, const cuda_pin *q, int tokens, int to, int kept)
{
	cuda_lt_product p = shape_of(q, tokens);
	p.y = (float *)t->y[q->form == FORM_GELU_AUX ? kept : to].p;
	p.act = q->form == FORM_GELU || q->form == FORM_GELU_AUX ? (float *)t->y[to].p : NULL;
	p.x = t->x.p, p.w = t->w.p;
	p.bias = q->form >= FORM_BIAS && q->form < FORM_DX ? (const float *)t->bias.p : NULL;
	return p;
}

/* How far two fp32 sums of k products may be apart: products are below 16 and their sums mostly below 10 sqrt(k), each of k steps
 * rounds or cuts off some 2^-23 of that; the slope of gelu is below 1.13. At k of 50,000 it is 3 % of a sum. */
static float limit_of(int k)
{
	return 16.0f * (float)k * sqrtf((float)k) * 6e-8f * 1.13f;
}

static void judge(struct backend *be, const cuda_pin *q, const cuda_trial *t, const cuda_lt_product *p, const float *y,
		  const float *want, bool by_own, int rows, float limit)
{
	CUDA_LAUNCH(be, judge_kernel, p->m, TEST_THREADS, 0, (int *)t->wrong.p, y, want,
		    by_own ? (const float *)t->y[2].p : (const float *)NULL, p->n, q->form == FORM_DW ? 0 : rows,
		    limit);
}

/* Of x and W of a wide range: every row, among any number of others, about our own numbers, and added to what was there. False:
 * refused. */
static bool try_rows(struct backend *be, const cuda_pin *q, const cuda_trial *t)
{
	const int most = cuda_trial_rows(q),
		  some[] = { most, CUDA_LT_ROWS, most > 2 * CUDA_LT_ROWS ? 2 * CUDA_LT_ROWS : 3, most / 2 };
	cuda_zero(be, t->bias.p, (size_t)q->n * sizeof(float));
	cuda_lt_product own = cuda_trial_product(t, q, most, 2, 3), p = own;
	/* of 8 and more gelu is nothing but its argument */
	float limit = limit_of(own.k) + (own.act ? 8 * GELU_LIMIT : 0);
	cuda_gemm_own(be, &own);
	for (size_t i = 0; i < ARRAY_LEN(some); i++) {
		p = cuda_trial_product(t, q, some[i] - (i == 3 ? 57 : 0) /* one with rows left over */, i > 0,
				       3 + (i > 0));
		if (cuda_lt_try(be, &p, &q->algo))
			return false;
		int rows = i == 0 ? most : p.m + 1;
		judge(be, q, t, &p, (const float *)t->y[i > 0].p, (const float *)t->y[0].p, i == 0, rows, limit);
		if (q->form == FORM_GELU_AUX)
			judge(be, q, t, &p, p.y, (const float *)t->y[3].p, false, rows, limit);
	}
	if (p.act)
		return true;
	own.from = own.y, p.from = p.y;
	cuda_gemm_own(be, &own);
	if (cuda_lt_try(be, &p, &q->algo))
		return false;
	judge(be, q, t, &p, p.y, p.y, true, p.m + 1, 2 * limit);
	return true;
}

static void zero_tokens(struct backend *be, const cuda_trial *t, const cuda_lt_product *p, int from, int to)
{
	size_t x = (size_t)p->x_stride * 2, w = (size_t)p->w_stride * 2, n = (size_t)(to - from);
	cuda_zero(be, (char *)t->x.p + (size_t)from * x, n * x);
	cuda_zero(be, (char *)t->w.p + (size_t)from * w, n * w);
}

/* A sum over tokens, added to the one before: about our own numbers, and the same bits again, whether 128s of zeros are summed
 * behind them or something else lies there. False: refused. */
static bool try_sums(struct backend *be, const cuda_pin *q, const cuda_trial *t)
{
	static const int some[] = { TEST_ROWS, 1447, 100 };
	for (int i = 0; i < (int)ARRAY_LEN(some); i++) {
		cuda_lt_product own = cuda_trial_product(t, q, some[i], 2, 3),
				p = cuda_trial_product(t, q, some[i], 1, 3),
				all = cuda_trial_product(t, q, TEST_ROWS, 0, 3);
		zero_tokens(be, t, &p, some[i], cuda_lt_whole(some[i]));
		own.from = i ? own.y : NULL, p.from = i ? p.y : NULL, all.from = i ? all.y : NULL;
		cuda_gemm_own(be, &own);
		if (cuda_lt_try(be, &p, &q->algo))
			return false;
		zero_tokens(be, t, &p, cuda_lt_whole(some[i]), TEST_ROWS);
		if (cuda_lt_try(be, &all, &q->algo))
			return false;
		judge(be, q, t, &p, p.y, all.y, true, 0, (float)(i + 1) * limit_of(TEST_ROWS));
	}
	return true;
}

/* Of x that is zeros: what is fused, and nothing else */
static bool try_epilogue(struct backend *be, const cuda_pin *q, const cuda_trial *t)
{
	cuda_lt_product p = cuda_trial_product(t, q, CUDA_LT_ROWS, 0, 3);
	cuda_zero(be, t->x.p, (size_t)CUDA_LT_ROWS * (size_t)p.x_stride * 2);
	CUDA_LAUNCH(be, fill_bias_kernel, 1, TEST_THREADS, 0, (float *)t->bias.p, q->n);
	if (cuda_lt_try(be, &p, &q->algo))
		return false;
	CUDA_LAUNCH(be, judge_bias_kernel, CUDA_LT_ROWS, TEST_THREADS, 0, (int *)t->wrong.p,
		    q->form == FORM_GELU ? (const float *)NULL : (const float *)p.y, (const float *)p.act,
		    (const float *)t->bias.p, q->n);
	return true;
}

void cuda_trial_fill(struct backend *be, const cuda_pin *q, const cuda_trial *t)
{
	const int rows = cuda_trial_rows(q);
	cuda_lt_product p = shape_of(q, rows);
	CUDA_LAUNCH(be, fill_kernel, rows, TEST_THREADS, 0, (__nv_bfloat16 *)t->x.p, p.x_stride,
		    q->form >= FORM_DX ? q->n : q->k, rows, (uint64_t)1, q->form != FORM_DW);
	CUDA_LAUNCH(be, fill_kernel, q->form == FORM_DW ? (int)TEST_ROWS : q->n, TEST_THREADS, 0,
		    (__nv_bfloat16 *)t->w.p, p.w_stride, q->k, q->n, (uint64_t)2, false);
}

int cuda_trial_wrong(struct backend *be, const cuda_pin *q, cuda_trial *t)
{
	int wrong = -1;
	if (!cuda_trial_open(be, t, q))
		return -1;
	cuda_trial_fill(be, q, t);
	cuda_zero(be, t->wrong.p, 256);
	if (!(q->form == FORM_DW ? try_sums(be, q, t) : try_rows(be, q, t)) ||
	    (q->form >= FORM_BIAS && q->form < FORM_DX && !try_epilogue(be, q, t)))
		return -1;
	cuda_download(be, &wrong, t->wrong.p, sizeof(wrong));
	CUDA_CHECK(be, cudaStreamSynchronize(cuda_stream(be)));
	cuda_deliver(be);
	return cuda_state(be)->error ? -1 : wrong;
}
