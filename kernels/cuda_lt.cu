/* cuda_lt.cu: y = x W^T, dx = dy W and dW = dy^T x by cuBLASLt, where its bits can be relied on.
 *
 * Left to itself the library picks an algorithm by the number of rows, and another algorithm sums in another order: scores
 * would depend on the batch. So one configuration is pinned for each shape of weights, N x K, and form of product, on one
 * kind of device and one version of the library, with all its nine fields set: no split of k, no reduction between blocks, no
 * workspace, nothing left to a heuristic. It is used for every number of tokens, from one to thousands; they are handed over in
 * multiples of 128 (the last ones with zeros behind them), so that no call has an edge where another has none.
 *
 * That still is the library's promise and not ours; so a pin is tested when the device is opened: the same row at many places
 * and among 128, 256 and up to 2048 others must give the same bits, and about the numbers of our own kernel; no call has more rows than were
 * tested, fewer than 2048 where the weight is so wide that the test would want more than half a gigabyte. A gradient of weights
 * sums over tokens, so it depends on the batch by nature; it must have the same bits again, and with hundreds of zeros
 * behind the tokens, which no sum in parts would leave alone. A pin that
 * fails is not used, and the product of cuda_gemm.cu, invariant by construction, takes its place. Which pins are in
 * force is a part of the numerics class: version of the library, and a hash over them.
 *
 * Pins are made on a card, since the library lists no algorithm without one: assay_cuda_tune(), which the bundle of
 * docs/gpu.md calls, prints them as lines of the file libassay-cuda.pins, which stands beside the plugin:
 *
 *	pin CC SMS VERSION N K FORM ID TILE SPLIT_K REDUCTION SWIZZLE CUSTOM STAGES INNER CLUSTER
 *
 * Without pins for the device the library (half a gigabyte) is not even loaded. The weights stand on the side of the library's
 * columns (m), the tokens on n, or for dW on k; operands are bf16, sums, C and D fp32. What is fused: what the product is added to (C, which
 * need not be D), the bias, and behind a bias GELU, with its input written beside it or without. The library's GELU is the tanh form, but by
 * what tanh it does not say; a pin of it is in force only where it gives, of a bias alone, what ours does to 2^-13, a sixteenth of
 * what rounding to bf16 for the next product does. Where no such pin is, the product with the bias and our own kernel stand in. */
#include "kernels/cuda_lt_int.h"
#include "kernels/cuda_math.h"
#include "kernels/cuda_state_int.h"

#include <errno.h>
#include <limits.h>

enum { FIELDS = 9, PINS_MAX = 256, ROWS = 128, ALIGNMENT = 16 /* of what D points to */ };

/* The forms of a product, as pins say them: y = x W^T and what is fused behind it, and the two gradients */
enum { PLAIN, BIAS, GELU /* behind a bias, y is not kept */, GELU_AUX /* y is */, DX, DW, FORMS };

struct pin {
	int n, k, form;    /* of the weight, W[n,k] */
	int field[FIELDS]; /* by enum lt_config */
	lt_algo algo;
	bool good;
};
struct cuda_lt {
	lt_library lib;
	void *handle;
	size_t version;
	pin pins[PINS_MAX];
	int n, n_good;
	uint64_t hash;
	int refused;       /* the library's first status that was not 0, since a trial began */
	cuda_block tail;   /* of the last rows of a product: [128, n], once or twice */
	bool pinned_any;   /* the file has pins for this device */
	char missing[160]; /* why the library is not used; "" : it is */
};

/* ---- the library ---------------------------------------------------------------------------------------------------------------- */

static bool find_functions(lt_library *l)
{
	const cuda_symbol functions[] = {
		{ (void **)&l->version, "cublasLtGetVersion" },
		{ (void **)&l->create, "cublasLtCreate" },
		{ (void **)&l->destroy, "cublasLtDestroy" },
		{ (void **)&l->desc_create, "cublasLtMatmulDescCreate" },
		{ (void **)&l->desc_destroy, "cublasLtMatmulDescDestroy" },
		{ (void **)&l->desc_set, "cublasLtMatmulDescSetAttribute" },
		{ (void **)&l->layout_create, "cublasLtMatrixLayoutCreate" },
		{ (void **)&l->layout_destroy, "cublasLtMatrixLayoutDestroy" },
		{ (void **)&l->algo_init, "cublasLtMatmulAlgoInit" },
		{ (void **)&l->algo_set, "cublasLtMatmulAlgoConfigSetAttribute" },
		{ (void **)&l->algo_get, "cublasLtMatmulAlgoConfigGetAttribute" },
		{ (void **)&l->algo_check, "cublasLtMatmulAlgoCheck" },
		{ (void **)&l->matmul, "cublasLtMatmul" },
		{ (void **)&l->pref_create, "cublasLtMatmulPreferenceCreate" },
		{ (void **)&l->pref_destroy, "cublasLtMatmulPreferenceDestroy" },
		{ (void **)&l->pref_set, "cublasLtMatmulPreferenceSetAttribute" },
		{ (void **)&l->heuristic, "cublasLtMatmulAlgoGetHeuristic" },
	};
	return cuda_find_symbols(l->file, functions, ARRAY_LEN(functions));
}

/* Its name is of the toolkit's major version; either does. Under the emulation the test's program stands in for it. */
static void *open_file(void)
{
#ifdef ASSAY_CUDA_EMULATION
	return dlopen(NULL, RTLD_NOW);
#else
	int runtime = 0;
	char names[3][32] = { "", "libcublasLt.so.13", "libcublasLt.so.12" };
	cudaRuntimeGetVersion(&runtime);
	snprintf(names[0], sizeof(names[0]), "libcublasLt.so.%d", runtime / 1000);
	for (int i = 0; i < 3; i++) {
		void *file = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (file)
			return file;
	}
	return NULL;
#endif
}

static bool load_library(cuda_lt *lt)
{
	lt->lib.file = open_file();
	if (!lt->lib.file || !find_functions(&lt->lib)) {
		snprintf(lt->missing, sizeof(lt->missing), "libcublasLt.so.12 or .13 is not found%s",
			 lt->lib.file ? " whole" : "");
		return false;
	}
	lt->version = lt->lib.version();
	int rc = lt->lib.create(&lt->handle);
	if (rc)
		snprintf(lt->missing, sizeof(lt->missing), "cublasLtCreate gives status %d (%s:%d)", rc, __FILE__,
			 __LINE__);
	return rc == 0;
}

/* ---- how large a test is ------------------------------------------------------------------------------------------------------- */

enum { TEST_ROWS = 2048, TEST_ROWS_LEAST = 256 };
static const uint64_t TEST_USUAL = 512u << 20, TEST_MOST = 2048u << 20; /* bytes */

/* Operands and results of a test with so many tokens */
static uint64_t test_bytes(const pin *q, int tokens)
{
	uint64_t t = (uint64_t)tokens, n = (uint64_t)q->n, k = (uint64_t)q->k;
	if (q->form == DW)
		return 2 * t * (n + k) + 3 * 4 * n * k;
	if (q->form == DX)
		return 2 * (t * n + n * k) + 3 * 4 * t * k;
	return 2 * (t * k + n * k) + (q->form == GELU_AUX ? 5 : 3) * 4 * t * n;
}

/* Rows of the test of a pin, and so of its largest call: by the shape, never by what memory is free, since it decides bits */
static int rows_of_test(const pin *q)
{
	int rows = TEST_ROWS;
	while (q->form != DW && rows > TEST_ROWS_LEAST && test_bytes(q, rows) > TEST_USUAL)
		rows /= 2;
	return rows;
}

/* ---- one product ------------------------------------------------------------------------------------------------------------------ */

/* Descriptors of a call with so many tokens; released by drop_call(). */
struct lt_call {
	void *desc, *w, *x, *y;
};

static void drop_call(const cuda_lt *lt, lt_call *c)
{
	if (c->desc)
		lt->lib.desc_destroy(c->desc);
	if (c->w)
		lt->lib.layout_destroy(c->w);
	if (c->x)
		lt->lib.layout_destroy(c->x);
	if (c->y)
		lt->lib.layout_destroy(c->y);
	memset(c, 0, sizeof(*c));
}

static int form_of(const cuda_lt_product *p)
{
	if (p->x_across)
		return DW;
	if (p->w_across)
		return DX;
	return p->act ? (p->act == p->y ? GELU : GELU_AUX) : p->bias ? BIAS : PLAIN;
}

/* Status of the library, or of the first call that it refuses */
static int make_call(const cuda_lt *lt, lt_call *c, const cuda_lt_product *p)
{
	const lt_library *l = &lt->lib;
	static const int epilogues[FORMS] = { LT_EPILOGUE_NONE,          LT_EPILOGUE_BIAS, LT_EPILOGUE_GELU_BIAS,
					      LT_EPILOGUE_GELU_AUX_BIAS, LT_EPILOGUE_NONE, LT_EPILOGUE_NONE };
	const int form = form_of(p), epilogue = epilogues[form], type = LT_R_32F;
	const int op_w = p->w_across ? LT_OP_N : LT_OP_T, op_x = p->x_across ? LT_OP_T : LT_OP_N;
	const uint64_t m = (uint64_t)p->m, n = (uint64_t)p->n, k = (uint64_t)p->k;
	const int64_t aux_ld = p->y_stride;
	int rc;
	memset(c, 0, sizeof(*c));
	if ((rc = l->desc_create(&c->desc, LT_COMPUTE_32F, LT_R_32F)) ||
	    (rc = l->desc_set(c->desc, LT_DESC_TRANSA, &op_w, sizeof(op_w))) ||
	    (rc = l->desc_set(c->desc, LT_DESC_TRANSB, &op_x, sizeof(op_x))) ||
	    (rc = l->desc_set(c->desc, LT_DESC_EPILOGUE, &epilogue, sizeof(epilogue))) ||
	    (rc = l->layout_create(&c->w, LT_R_16BF, p->w_across ? n : k, p->w_across ? k : n, p->w_stride)) ||
	    (rc = l->layout_create(&c->x, LT_R_16BF, p->x_across ? m : k, p->x_across ? k : m, p->x_stride)) ||
	    (rc = l->layout_create(&c->y, LT_R_32F, n, m, p->y_stride)))
		return rc;
	if (p->bias && ((rc = l->desc_set(c->desc, LT_DESC_BIAS_POINTER, &p->bias, sizeof(p->bias))) ||
			(rc = l->desc_set(c->desc, LT_DESC_BIAS_TYPE, &type, sizeof(type)))))
		return rc;
	if (form == GELU_AUX && ((rc = l->desc_set(c->desc, LT_DESC_AUX_POINTER, &p->y, sizeof(p->y))) ||
				 (rc = l->desc_set(c->desc, LT_DESC_AUX_LD, &aux_ld, sizeof(aux_ld)))))
		return rc;
	return 0;
}

static int run_call(const cuda_lt *lt, const lt_call *c, const cuda_lt_product *p, const lt_algo *algo,
		    cudaStream_t stream)
{
	const float one = 1, beta = p->from ? 1.0f : 0.0f;
	float *d = p->act ? p->act : p->y;
	return lt->lib.matmul(lt->handle, c->desc, &one, p->w, c->w, p->x, c->x, &beta, p->from ? p->from : d, c->y, d,
			      c->y, algo, NULL, 0, stream);
}

/* A call of the library with this algorithm */
struct lt_rows {
	cuda_lt_product p;
	lt_algo algo;
	bool trial; /* a refusal is an answer, and no error */
};

static int call_rows(struct backend *be, const void *args)
{
	struct cuda_state *s = cuda_state(be);
	char text[160];
	lt_rows r;
	lt_call c;
	memcpy(&r, args, sizeof(r));
	int rc = make_call(s->lt, &c, &r.p);
	if (!rc)
		rc = run_call(s->lt, &c, &r.p, &r.algo, s->stream);
	drop_call(s->lt, &c);
	if (rc && !s->lt->refused)
		s->lt->refused = rc;
	if (rc && !r.trial &&
	    !s->capturing) { /* never the other kernel now: that would be other bits in the middle of a run */
		snprintf(text, sizeof(text), "%s: cublasLtMatmul gives status %d for a product of %d x %d x %d",
			 be->name, rc, r.p.m, r.p.n, r.p.k);
		cuda_fail(be, ERR_UNAVAILABLE, text, __FILE__, __LINE__);
	}
	return rc;
}

static float *row_of(const cuda_lt_product *p, const float *first, int row)
{
	return first ? (float *)(uintptr_t)first + (size_t)row * (size_t)p->y_stride : NULL;
}

static const void *x_row(const cuda_lt_product *p, int row)
{
	return (const char *)p->x + (size_t)row * (size_t)p->x_stride * 2;
}

/* Rows first .. first + m of the product */
static void put_rows(struct backend *be, const cuda_lt_product *p, const lt_algo *algo, int first, int m, bool trial)
{
	lt_rows r;
	memset(&r, 0, sizeof(r)); /* it is compared as bytes */
	r.p.y = row_of(p, p->y, first), r.p.act = row_of(p, p->act, first), r.p.from = row_of(p, p->from, first);
	r.p.x = x_row(p, first), r.p.w = p->w, r.p.bias = p->bias;
	r.p.m = m, r.p.n = p->n, r.p.k = p->k;
	r.p.x_stride = p->x_stride, r.p.w_stride = p->w_stride, r.p.y_stride = p->y_stride;
	r.p.x_across = p->x_across, r.p.w_across = p->w_across;
	r.algo = *algo;
	r.trial = trial;
	cuda_put_call(be, call_rows, &r, sizeof(r));
}

/* Row blockIdx.x of so many columns */
static __global__ void copy_rows_kernel(float *to, size_t to_stride, const float *from, size_t from_stride, int cols)
{
	for (int c = threadIdx.x; c < cols; c += blockDim.x)
		to[blockIdx.x * to_stride + (size_t)c] = from[blockIdx.x * from_stride + (size_t)c];
}

static int whole_rows(int n)
{
	return (n + ROWS - 1) / ROWS * ROWS;
}

/* All rows: the whole 128s where they are, the rest in a block of its own, with the same arithmetic */
static void put_by_rows(struct backend *be, const cuda_lt_product *p, const lt_algo *algo, int at_once, bool trial)
{
	struct cuda_state *s = cuda_state(be);
	int whole = p->m / ROWS * ROWS, rest = p->m - whole, arrays = form_of(p) == GELU_AUX ? 2 : 1;
	size_t n = (size_t)p->n, y_stride = (size_t)p->y_stride;
	for (int at = 0; at < whole; at += at_once)
		put_rows(be, p, algo, at, whole - at < at_once ? whole - at : at_once, trial);
	if (!rest || !cuda_block_need(be, &s->lt->tail, ROWS * n * sizeof(float) * (size_t)arrays))
		return;
	cuda_lt_product tail = *p;
	tail.y = (float *)s->lt->tail.p;
	tail.act = p->act ? tail.y + (size_t)(arrays - 1) * ROWS * n : NULL;
	tail.x = x_row(p, whole);
	tail.y_stride = p->n;
	if (p->from) {
		tail.from = tail.y;
		cuda_zero(be, tail.y, ROWS * n * sizeof(float));
		CUDA_LAUNCH(be, copy_rows_kernel, rest, 256, 0, tail.y, n, (const float *)row_of(p, p->from, whole),
			    y_stride, p->n);
	}
	put_rows(be, &tail, algo, 0, ROWS, trial);
	CUDA_LAUNCH(be, copy_rows_kernel, rest, 256, 0, row_of(p, p->y, whole), y_stride, (const float *)tail.y, n,
		    p->n);
	if (arrays == 2)
		CUDA_LAUNCH(be, copy_rows_kernel, rest, 256, 0, row_of(p, p->act, whole), y_stride,
			    (const float *)tail.act, n, p->n);
}

static void put_product(struct backend *be, const cuda_lt_product *p, const lt_algo *algo, int at_once, bool trial)
{
	cuda_lt_product all = *p;
	if (!p->x_across) {
		put_by_rows(be, p, algo, at_once, trial);
		return;
	}
	all.k = whole_rows(p->k); /* tokens, and the zeros behind them */
	put_rows(be, &all, algo, 0, p->m, trial);
}

/* The product of a trial, now; the library's status */
static int try_product(struct backend *be, const cuda_lt_product *p, const lt_algo *algo)
{
	struct cuda_state *s = cuda_state(be);
	s->lt->refused = 0;
	put_product(be, p, algo, TEST_ROWS, true);
	cuda_flush(be);
	return s->lt->refused;
}

static const pin *find_pin(const struct cuda_state *s, const cuda_lt_product *p, int form)
{
	int n = form == DW ? p->m : form == DX ? p->k : p->n, k = form == DW || form == DX ? p->n : p->k;
	for (int i = 0; s->lt && i < s->lt->n; i++) {
		const pin *q = &s->lt->pins[i];
		if (q->good && q->n == n && q->k == k && q->form == form)
			return q;
	}
	return NULL;
}

int cuda_lt_rows(const struct backend *be, int m)
{
	const struct cuda_state *s = cuda_state(be);
	return s->lt && s->lt->n_good ? whole_rows(m) : m;
}

/* Is it what pins of its form were tested for? That says nothing of the batch but for gradients. */
static bool fits(const cuda_lt_product *p)
{
	if (p->x_across || p->w_across)
		return p->k > 0 && p->y_stride == p->n && (uintptr_t)p->y % ALIGNMENT == 0;
	return !p->act || (p->bias && !p->from && p->y_stride == p->n);
}

bool cuda_lt_take(struct backend *be, const cuda_lt_product *p)
{
	const struct cuda_state *s = cuda_state(be);
	const pin *found = fits(p) ? find_pin(s, p, form_of(p)) : NULL;
	if (found) {
		put_product(be, p, &found->algo, rows_of_test(found), false);
		return true;
	}
	found = p->act ? find_pin(s, p, p->bias ? BIAS : PLAIN) : NULL;
	if (!found)
		return false;
	cuda_lt_product first = *p;
	first.act = NULL;
	put_product(be, &first, &found->algo, rows_of_test(found), false);
	cuda_gelu(be, p->act, p->y, (size_t)p->m * (size_t)p->n);
	return true;
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

/* y: what is to be judged, of all rows and of some; our own; y's that are kept beside their gelu */
struct trial {
	cuda_block x, w, bias, y[5], wrong;
};

/* Operands and result of a pin's product with so many tokens, without places */
static cuda_lt_product shape_of(const pin *q, int tokens)
{
	cuda_lt_product p;
	memset(&p, 0, sizeof(p));
	p.m = q->form == DW ? q->n : tokens;
	p.n = p.y_stride = q->form >= DX ? q->k : q->n;
	p.k = q->form == DW ? tokens : q->form == DX ? q->n : q->k;
	p.x_stride = ((q->form >= DX ? q->n : q->k) + 7) / 8 * 8;
	p.w_stride = (q->k + 7) / 8 * 8;
	p.x_across = q->form == DW, p.w_across = q->form >= DX;
	return p;
}

/* The lack of memory that is on record is one of the test */
static void no_room(struct backend *be, const pin *q, int rows)
{
	struct cuda_state *s = cuda_state(be);
	snprintf(s->text, sizeof(s->text), "%s: no memory for the test of the pin of a weight of %d x %d: %llu MB",
		 be->name, q->n, q->k, (unsigned long long)(test_bytes(q, rows) >> 20));
	snprintf(s->fix, sizeof(s->fix),
		 "take its lines out of libassay-cuda.pins, or that file away: the plugin's own products need no test; "
		 "nvidia-smi shows who else has memory there");
}

static bool open_trial(struct backend *be, trial *t, const pin *q)
{
	const struct cuda_state *s = cuda_state(be);
	const int rows = rows_of_test(q);
	cuda_lt_product p = shape_of(q, rows);
	size_t w_rows = q->form == DW ? (size_t)TEST_ROWS : (size_t)q->n;
	bool ok = cuda_block_need(be, &t->x, (size_t)rows * (size_t)p.x_stride * 2) &&
		  cuda_block_need(be, &t->w, w_rows * (size_t)p.w_stride * 2) &&
		  cuda_block_need(be, &t->bias, (size_t)q->n * sizeof(float)) && cuda_block_need(be, &t->wrong, 256);
	for (int i = 0; i < (q->form == GELU_AUX ? 5 : 3); i++)
		ok = ok && cuda_block_need(be, &t->y[i], (size_t)p.m * (size_t)p.n * sizeof(float));
	if (!ok && be->no_memory && s->error)
		no_room(be, q, rows);
	return ok;
}

static void close_trial(struct backend *be, trial *t)
{
	cuda_block *all[] = { &t->x, &t->w, &t->bias, &t->y[0], &t->y[1], &t->y[2], &t->y[3], &t->y[4], &t->wrong };
	for (cuda_block *b : all) {
		cuda_free(be, b->p);
		b->p = NULL;
	}
}

/* The product of a trial with so many tokens, into y[to] what is judged and into y[kept] what GELU_AUX keeps */
static cuda_lt_product trial_product(const trial *t, const pin *q, int tokens, int to, int kept)
{
	cuda_lt_product p = shape_of(q, tokens);
	p.y = (float *)t->y[q->form == GELU_AUX ? kept : to].p;
	p.act = q->form == GELU || q->form == GELU_AUX ? (float *)t->y[to].p : NULL;
	p.x = t->x.p, p.w = t->w.p;
	p.bias = q->form >= BIAS && q->form < DX ? (const float *)t->bias.p : NULL;
	return p;
}

/* How far two fp32 sums of k products may be apart: products are below 16 and their sums mostly below 10 sqrt(k), each of k steps
 * rounds or cuts off some 2^-23 of that; the slope of gelu is below 1.13. At k of 50,000 it is 3 % of a sum. */
static float limit_of(int k)
{
	return 16.0f * (float)k * sqrtf((float)k) * 6e-8f * 1.13f;
}

static void judge(struct backend *be, const pin *q, const trial *t, const cuda_lt_product *p, const float *y,
		  const float *want, bool by_own, int rows, float limit)
{
	CUDA_LAUNCH(be, judge_kernel, p->m, TEST_THREADS, 0, (int *)t->wrong.p, y, want,
		    by_own ? (const float *)t->y[2].p : (const float *)NULL, p->n, q->form == DW ? 0 : rows, limit);
}

/* Of x and W of a wide range: every row, among any number of others, about our own numbers, and added to what was there. False:
 * refused. */
static bool try_rows(struct backend *be, const pin *q, const trial *t)
{
	const int most = rows_of_test(q), some[] = { most, ROWS, most > 2 * ROWS ? 2 * ROWS : 3, most / 2 };
	cuda_zero(be, t->bias.p, (size_t)q->n * sizeof(float));
	cuda_lt_product own = trial_product(t, q, most, 2, 3), p = own;
	/* of 8 and more gelu is nothing but its argument */
	float limit = limit_of(own.k) + (own.act ? 8 * GELU_LIMIT : 0);
	cuda_gemm_own(be, &own);
	for (size_t i = 0; i < ARRAY_LEN(some); i++) {
		p = trial_product(t, q, some[i] - (i == 3 ? 57 : 0) /* one with rows left over */, i > 0, 3 + (i > 0));
		if (try_product(be, &p, &q->algo))
			return false;
		int rows = i == 0 ? most : p.m + 1;
		judge(be, q, t, &p, (const float *)t->y[i > 0].p, (const float *)t->y[0].p, i == 0, rows, limit);
		if (q->form == GELU_AUX)
			judge(be, q, t, &p, p.y, (const float *)t->y[3].p, false, rows, limit);
	}
	if (p.act)
		return true;
	own.from = own.y, p.from = p.y;
	cuda_gemm_own(be, &own);
	if (try_product(be, &p, &q->algo))
		return false;
	judge(be, q, t, &p, p.y, p.y, true, p.m + 1, 2 * limit);
	return true;
}

static void zero_tokens(struct backend *be, const trial *t, const cuda_lt_product *p, int from, int to)
{
	size_t x = (size_t)p->x_stride * 2, w = (size_t)p->w_stride * 2, n = (size_t)(to - from);
	cuda_zero(be, (char *)t->x.p + (size_t)from * x, n * x);
	cuda_zero(be, (char *)t->w.p + (size_t)from * w, n * w);
}

/* A sum over tokens, added to the one before: about our own numbers, and the same bits again, whether 128s of zeros are summed
 * behind them or something else lies there. False: refused. */
static bool try_sums(struct backend *be, const pin *q, const trial *t)
{
	static const int some[] = { TEST_ROWS, 1447, 100 };
	for (int i = 0; i < (int)ARRAY_LEN(some); i++) {
		cuda_lt_product own = trial_product(t, q, some[i], 2, 3), p = trial_product(t, q, some[i], 1, 3),
				all = trial_product(t, q, TEST_ROWS, 0, 3);
		zero_tokens(be, t, &p, some[i], whole_rows(some[i]));
		own.from = i ? own.y : NULL, p.from = i ? p.y : NULL, all.from = i ? all.y : NULL;
		cuda_gemm_own(be, &own);
		if (try_product(be, &p, &q->algo))
			return false;
		zero_tokens(be, t, &p, whole_rows(some[i]), TEST_ROWS);
		if (try_product(be, &all, &q->algo))
			return false;
		judge(be, q, t, &p, p.y, all.y, true, 0, (float)(i + 1) * limit_of(TEST_ROWS));
	}
	return true;
}

/* Of x that is zeros: what is fused, and nothing else */
static bool try_epilogue(struct backend *be, const pin *q, const trial *t)
{
	cuda_lt_product p = trial_product(t, q, ROWS, 0, 3);
	cuda_zero(be, t->x.p, (size_t)ROWS * (size_t)p.x_stride * 2);
	CUDA_LAUNCH(be, fill_bias_kernel, 1, TEST_THREADS, 0, (float *)t->bias.p, q->n);
	if (try_product(be, &p, &q->algo))
		return false;
	CUDA_LAUNCH(be, judge_bias_kernel, ROWS, TEST_THREADS, 0, (int *)t->wrong.p,
		    q->form == GELU ? (const float *)NULL : (const float *)p.y, (const float *)p.act,
		    (const float *)t->bias.p, q->n);
	return true;
}

static void fill_trial(struct backend *be, const pin *q, const trial *t)
{
	const int rows = rows_of_test(q);
	cuda_lt_product p = shape_of(q, rows);
	CUDA_LAUNCH(be, fill_kernel, rows, TEST_THREADS, 0, (__nv_bfloat16 *)t->x.p, p.x_stride,
		    q->form >= DX ? q->n : q->k, rows, (uint64_t)1, q->form != DW);
	CUDA_LAUNCH(be, fill_kernel, q->form == DW ? (int)TEST_ROWS : q->n, TEST_THREADS, 0, (__nv_bfloat16 *)t->w.p,
		    p.w_stride, q->k, q->n, (uint64_t)2, false);
}

/* Gives the rows that are wrong, or -1: the library refuses, or an error is on record. */
static int try_pin(struct backend *be, const pin *q, trial *t)
{
	int wrong = -1;
	if (!open_trial(be, t, q))
		return -1;
	fill_trial(be, q, t);
	cuda_zero(be, t->wrong.p, 256);
	if (!(q->form == DW ? try_sums(be, q, t) : try_rows(be, q, t)) ||
	    (q->form >= BIAS && q->form < DX && !try_epilogue(be, q, t)))
		return -1;
	cuda_download(be, &wrong, t->wrong.p, sizeof(wrong));
	CUDA_CHECK(be, cudaStreamSynchronize(cuda_stream(be)));
	cuda_deliver(be);
	return cuda_state(be)->error ? -1 : wrong;
}

/* ---- the table of pins --------------------------------------------------------------------------------------------------------------- */

/* A tile or a number of stages of 0 is that of an algorithm that knows none (CUBLASLT_ALGO_CAP_TILE_IDS); a cluster of 0 is one that
 * the library chooses at the call, on devices that have clusters (CUBLASLT_CLUSTER_SHAPE_AUTO). */
static bool leaves_a_choice(const struct backend *be, const pin *q)
{
	return q->field[LT_SPLIT_K] != 1 || q->field[LT_REDUCTION] != 0 ||
	       (q->field[LT_CLUSTER_SHAPE] == 0 && cuda_properties(be)->major >= 9);
}

static bool make_algo(const struct backend *be, const cuda_lt *lt, pin *q)
{
	const lt_library *l = &lt->lib;
	if (leaves_a_choice(be, q) || test_bytes(q, rows_of_test(q)) > TEST_MOST)
		return false;
	if (l->algo_init(lt->handle, LT_COMPUTE_32F, LT_R_32F, LT_R_16BF, LT_R_16BF, LT_R_32F, LT_R_32F,
			 q->field[LT_ID], &q->algo))
		return false;
	for (int f = LT_TILE; f < FIELDS; f++) {
		uint16_t small = (uint16_t)q->field[f];
		int rc = f >= LT_INNER_SHAPE ? l->algo_set(&q->algo, f, &small, sizeof(small))
					     : l->algo_set(&q->algo, f, &q->field[f], sizeof(int));
		if (rc)
			return false;
	}
	return true;
}

/* Where the pins are: beside the plugin, in the folder this function was loaded from. "": nowhere */
static void pins_path(char *path, size_t room)
{
	*path = '\0';
#ifdef ASSAY_CUDA_EMULATION
	const char *test = getenv("EMU_PINS"); /* the test's own file */
	snprintf(path, room, "%s", test ? test : "");
#else
	Dl_info info;
	if (!dladdr((const void *)(uintptr_t)pins_path, &info) || !info.dli_fname)
		return;
	const char *slash = strrchr(info.dli_fname, '/');
	snprintf(path, room, "%.*slibassay-cuda.pins", slash ? (int)(slash - info.dli_fname) + 1 : 0, info.dli_fname);
#endif
}

static void bad_pins(struct backend *be, const char *path, int line, const char *what)
{
	struct cuda_state *s = cuda_state(be);
	char text[400], at[16] = "";
	if (line)
		snprintf(at, sizeof(at), ":%d", line);
	snprintf(text, sizeof(text), "%.300s%s %s", path, at, what);
	cuda_fail(be, ERR_ENV, text, __FILE__, __LINE__);
	snprintf(s->fix, sizeof(s->fix), "take the file away, or make it anew on a card (docs/gpu.md)");
}

/* The next whole number from *p on, in a range; false: there is none */
static bool next_number(const char **p, long least, long most, long *out)
{
	char *end;
	errno = 0;
	*out = strtol(*p, &end, 10);
	if (end == *p || errno || *out < least || *out > most)
		return false;
	*p = end;
	return true;
}

/* A line `pin CC SMS VERSION N K FORM` and nine fields */
static bool read_pin(const char *line, int *cc, int *sms, long *version, pin *q)
{
	enum { SIDE_MAX = 1 << 20 };
	static const long most[6] = { 9999, 99999, LONG_MAX, SIDE_MAX, SIDE_MAX, FORMS - 1 };
	static const long least[6] = { 0, 0, 0, 1, 1, 0 };
	long v[6], field;
	if (strncmp(line, "pin ", 4) != 0)
		return false;
	line += 4;
	for (int i = 0; i < 6; i++)
		if (!next_number(&line, least[i], most[i], &v[i]))
			return false;
	for (int f = 0; f < FIELDS; f++) {
		if (!next_number(&line, 0, f >= LT_INNER_SHAPE ? UINT16_MAX : INT_MAX, &field))
			return false;
		q->field[f] = (int)field;
	}
	*cc = (int)v[0], *sms = (int)v[1], *version = v[2];
	q->n = (int)v[3], q->k = (int)v[4], q->form = (int)v[5];
	return line[strspn(line, " \r\n")] == '\0';
}

/* The pins of this kind of device; of which version is judged when the library is there. False: a line is no pin. */
static bool read_pins(struct backend *be, cuda_lt *lt, FILE *f, const char *path, long *version)
{
	const struct cudaDeviceProp *d = &cuda_state(be)->properties;
	char line[256];
	bool behind = false; /* of a remark that is longer than a line may be */
	for (int at = 1; fgets(line, sizeof(line), f);) {
		int cc, sms;
		long v;
		pin q;
		bool remark = behind || line[0] == '#' || line[0] == '\n';
		behind = remark && !strchr(line, '\n');
		memset(&q, 0, sizeof(q));
		if (!remark && !read_pin(line, &cc, &sms, &v, &q)) {
			bad_pins(be, path, at, "is no pin");
			return false;
		}
		at += !behind;
		if (remark || cc != d->major * 10 + d->minor || sms != d->multiProcessorCount || lt->n == PINS_MAX)
			continue;
		version[lt->n] = v;
		lt->pins[lt->n++] = q;
	}
	if (ferror(f))
		bad_pins(be, path, 0, "cannot be read");
	return !ferror(f);
}

static void keep_good(struct backend *be, cuda_lt *lt, const long *version)
{
	trial t;
	memset(&t, 0, sizeof(t));
	lt->hash = 0xcbf29ce484222325u; /* FNV-1a */
	for (int i = 0; i < lt->n && !cuda_state(be)->error; i++) {
		pin *q = &lt->pins[i];
		if ((size_t)version[i] != lt->version || !make_algo(be, lt, q))
			continue;
		q->good = try_pin(be, q, &t) == 0;
		lt->n_good += q->good;
		const unsigned char *p = (const unsigned char *)q;
		for (size_t b = 0; q->good && b < offsetof(pin, algo); b++)
			lt->hash = (lt->hash ^ p[b]) * 0x100000001b3u;
	}
	close_trial(be, &t);
}

int cuda_lt_open(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	long version[PINS_MAX];
	char path[4096];
	pins_path(path, sizeof(path));
	if (s->math != CUDA_MATH_BF16 || !*path)
		return 0;
	FILE *f = fopen(path, "re");
	if (!f && errno != ENOENT)
		bad_pins(be, path, 0, "cannot be opened");
	if (!f)
		return s->error;
	s->lt = (cuda_lt *)calloc(1, sizeof(*s->lt));
	bool ok = s->lt && read_pins(be, s->lt, f, path, version);
	fclose(f);
	if (!ok)
		return s->error ? s->error : ERR_UNAVAILABLE;
	s->lt->pinned_any = s->lt->n > 0;
	if (s->lt->pinned_any && load_library(s->lt))
		keep_good(be, s->lt, version);
	return s->error;
}

void cuda_lt_close(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	if (s->lt && s->lt->handle)
		s->lt->lib.destroy(s->lt->handle);
	free(s->lt); /* the library stays: CUDA does not survive being unloaded */
	s->lt = NULL;
}

void cuda_lt_name(const cuda_lt *lt, char *out, size_t room)
{
	if (lt && lt->n_good)
		snprintf(out, room, "lt%zu-%08x", lt->version, (unsigned)(lt->hash ^ lt->hash >> 32));
	else
		snprintf(out, room, "own");
}

void cuda_lt_probe(const cuda_lt *given, kernels_tell *tell, void *arg)
{
	char text[256];
	cuda_lt none;
	memset(&none, 0, sizeof(none));
	const cuda_lt *lt = given && given->pinned_any ? given : &none;
	bool there = lt == given ? !*lt->missing : load_library(&none);
	if (!there) {
		snprintf(text, sizeof(text), "%s; the plugin's own matrix products are used", lt->missing);
		tell(arg, false, "cublasLt", text,
		     "wanted only for pinned products: the toolkit's cuBLAS, or pip install nvidia-cublas and its "
		     "folder in "
		     "LD_LIBRARY_PATH");
		return;
	}
	snprintf(text, sizeof(text),
		 "version %zu; %d of %d pins for this device are in force, other products are the plugin's own",
		 lt->version, lt->n_good, lt->n);
	tell(arg, true, "cublasLt", text, NULL);
	if (none.handle)
		none.lib.destroy(none.handle);
}

/* ---- making pins -------------------------------------------------------------------------------------------------------------------- */

static bool field_of(const cuda_lt *lt, pin *q, int f)
{
	uint16_t small = 0;
	size_t written = 0;
	int rc = f >= LT_INNER_SHAPE ? lt->lib.algo_get(&q->algo, f, &small, sizeof(small), &written)
				     : lt->lib.algo_get(&q->algo, f, &q->field[f], sizeof(int), &written);
	if (f >= LT_INNER_SHAPE)
		q->field[f] = small;
	return rc == 0;
}

/* Milliseconds of the product, the best of some; negative: an error */
static float time_of(struct backend *be, const cuda_lt_product *p, const lt_algo *algo, cudaEvent_t from,
		     cudaEvent_t to)
{
	float best = -1, ms = 0;
	for (int i = 0; i < 12; i++) {
		if (!CUDA_CHECK(be, cudaEventRecord(from, cuda_stream(be))) || try_product(be, p, algo) ||
		    !CUDA_CHECK(be, cudaEventRecord(to, cuda_stream(be))) ||
		    !CUDA_CHECK(be, cudaEventSynchronize(to)) || !CUDA_CHECK(be, cudaEventElapsedTime(&ms, from, to)))
			return -1;
		best = best < 0 || ms < best ? ms : best;
	}
	return best;
}

/* What the library would take for it, without a split of k, a reduction or a workspace, and at places that blocks begin at */
static int candidates(struct backend *be, const cuda_lt_product *p, lt_result *out, int room)
{
	const cuda_lt *lt = cuda_state(be)->lt;
	const uint64_t no_workspace = 0;
	const uint32_t no_reduction = 0, alignment = ALIGNMENT;
	void *pref = NULL;
	lt_call c;
	int found = 0;
	bool asked = make_call(lt, &c, p) == 0 && lt->lib.pref_create(&pref) == 0 &&
		     lt->lib.pref_set(pref, LT_PREF_WORKSPACE, &no_workspace, sizeof(no_workspace)) == 0 &&
		     lt->lib.pref_set(pref, LT_PREF_REDUCTION, &no_reduction, sizeof(no_reduction)) == 0;
	for (int which = LT_PREF_ALIGNMENT_A; which <= LT_PREF_ALIGNMENT_D; which++)
		asked = asked && lt->lib.pref_set(pref, which, &alignment, sizeof(alignment)) == 0;
	if (asked && lt->lib.heuristic(lt->handle, c.desc, c.w, c.x, c.y, c.y, pref, room, out, &found))
		found = 0;
	if (pref)
		lt->lib.pref_destroy(pref);
	drop_call(lt, &c);
	return found;
}

/* Prints the best pin for W[n,k] and a form (0 y = x W^T, 1 with a bias, 2 GELU behind it, 3 that with its input kept, 4 dx, 5 dW) to
 * f: the one whose times at 128 and at 2048 tokens, each by the best of all, have the least sum. False: none passes its test, and the
 * own kernel it is. The device must be open in the class bf16. */
extern "C" __attribute__((visibility("default"))) bool assay_cuda_tune(struct backend *be, int n, int k, int form,
								       FILE *f)
{
	enum { ROOM = 64 };
	struct cuda_state *s = cuda_state(be);
	const struct cudaDeviceProp *d = &s->properties;
	lt_result results[2 * ROOM];
	float small[2 * ROOM], large[2 * ROOM], best_small = -1, best_large = -1;
	pin pins[2 * ROOM];
	trial t;
	cudaEvent_t from = NULL, to = NULL;
	int count = 0, best = -1;
	memset(&t, 0, sizeof(t));
	memset(pins, 0, sizeof(pins));
	pins[0].n = n, pins[0].k = k, pins[0].form = form;
	if (!s->lt)
		s->lt = (cuda_lt *)calloc(1, sizeof(*s->lt));
	if (test_bytes(&pins[0], rows_of_test(&pins[0])) > TEST_MOST)
		return false;
	if (!s->lt || (!s->lt->handle && !load_library(s->lt)) || !open_trial(be, &t, &pins[0]) ||
	    !CUDA_CHECK(be, cudaEventCreate(&from)) || !CUDA_CHECK(be, cudaEventCreate(&to)))
		goto out;
	{
		cuda_lt_product few = trial_product(&t, &pins[0], ROWS, 0, 3),
				many = trial_product(&t, &pins[0], rows_of_test(&pins[0]), 0, 3);
		int found = candidates(be, &few, results, ROOM);
		found += candidates(be, &many, results + found, ROOM);
		for (int i = 0; i < found && !s->error; i++) {
			pin q;
			bool whole = true;
			memset(&q, 0, sizeof(q));
			q.n = n, q.k = k, q.form = form, q.algo = results[i].algo;
			for (int j = 0; j < FIELDS; j++)
				whole = field_of(s->lt, &q, j) && whole;
			if (results[i].state || results[i].workspace || !whole || !make_algo(be, s->lt, &q) ||
			    try_pin(be, &q, &t))
				continue;
			fill_trial(be, &q, &t); /* the test has left zeros, which a device multiplies faster */
			small[count] = time_of(be, &few, &q.algo, from, to);
			large[count] = time_of(be, &many, &q.algo, from, to);
			if (small[count] <= 0 || large[count] <= 0)
				continue;
			best_small = best_small < 0 || small[count] < best_small ? small[count] : best_small;
			best_large = best_large < 0 || large[count] < best_large ? large[count] : best_large;
			pins[count++] = q;
		}
	}
	for (int i = 0; i < count; i++)
		if (best < 0 ||
		    small[i] / best_small + large[i] / best_large < small[best] / best_small + large[best] / best_large)
			best = i;
	if (best >= 0) {
		fprintf(f, "pin %d %d %zu %d %d %d", d->major * 10 + d->minor, d->multiProcessorCount, s->lt->version,
			n, k, form);
		for (int j = 0; j < FIELDS; j++)
			fprintf(f, " %d", pins[best].field[j]);
		fprintf(f, "\n");
	}
out:
	if (from)
		cudaEventDestroy(from);
	if (to)
		cudaEventDestroy(to);
	close_trial(be, &t);
	return best >= 0;
}
