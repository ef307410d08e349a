/* cuda_lt.cu: y = x W^T, dx = dy W and dW = dy^T x by cuBLASLt: the library, and one product of it.
 *
 * Left to itself the library picks an algorithm by the number of rows, and another algorithm sums in another order: scores
 * would depend on the batch. So a product is asked of it only with the algorithm of a pin (cuda_pins.cu), with no workspace and
 * nothing left to a heuristic, and that algorithm serves every number of tokens, from one to thousands: they are handed
 * over in multiples of 128 (the last ones with zeros behind them), so that no call has an edge where another has none, and no
 * call has more rows than the pin was tested for (cuda_trial.cu). Where there is no pin, the product of cuda_gemm.cu,
 * invariant by construction, takes its place: decided by the shape of the weights and the form, never by the batch.
 *
 * The weights stand on the side of the library's columns (m), the tokens on n, or for dW on k; operands are bf16, sums, C and D fp32.
 * What is fused: what the product is added to (C, which need not be D), the bias, and behind a bias GELU, with its input written
 * beside it or without. Where the pin of a GELU is not in force, the product with the bias and our own kernel stand in.
 *
 * A library that refuses what it took in its test is an error: our own kernel would go on with other bits in the middle of a run. */
#include "kernels/cuda_pins_int.h"

enum { LT_ALIGNMENT = 16 /* of what D points to */ };

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

bool cuda_lt_load(cuda_lt *lt)
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

void cuda_lt_unload(cuda_lt *lt)
{
	if (lt->handle)
		lt->lib.destroy(lt->handle);
	lt->handle = NULL;
}

/* ---- an algorithm and its fields --------------------------------------------------------------------------------------------- */

bool cuda_lt_algo(const cuda_lt *lt, cuda_pin *q)
{
	const lt_library *l = &lt->lib;
	if (l->algo_init(lt->handle, LT_COMPUTE_32F, LT_R_32F, LT_R_16BF, LT_R_16BF, LT_R_32F, LT_R_32F,
			 q->field[LT_ID], &q->algo))
		return false;
	for (int f = LT_TILE; f < CUDA_PIN_FIELDS; f++) {
		uint16_t small = (uint16_t)q->field[f];
		int rc = f >= LT_INNER_SHAPE ? l->algo_set(&q->algo, f, &small, sizeof(small))
					     : l->algo_set(&q->algo, f, &q->field[f], sizeof(int));
		if (rc)
			return false;
	}
	return true;
}

static bool field_of(const cuda_lt *lt, cuda_pin *q, int f)
{
	uint16_t small = 0;
	size_t written = 0;
	int rc = f >= LT_INNER_SHAPE ? lt->lib.algo_get(&q->algo, f, &small, sizeof(small), &written)
				     : lt->lib.algo_get(&q->algo, f, &q->field[f], sizeof(int), &written);
	if (f >= LT_INNER_SHAPE)
		q->field[f] = small;
	return rc == 0;
}

bool cuda_lt_fields(const cuda_lt *lt, cuda_pin *q)
{
	bool whole = true;
	for (int f = 0; f < CUDA_PIN_FIELDS; f++)
		whole = field_of(lt, q, f) && whole;
	return whole;
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
		return FORM_DW;
	if (p->w_across)
		return FORM_DX;
	return p->act ? (p->act == p->y ? FORM_GELU : FORM_GELU_AUX) : p->bias ? FORM_BIAS : FORM_PLAIN;
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
	if (form == FORM_GELU_AUX && ((rc = l->desc_set(c->desc, LT_DESC_AUX_POINTER, &p->y, sizeof(p->y))) ||
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
	cuda_lt *lt = &s->pins->lt;
	char text[160];
	lt_rows r;
	lt_call c;
	memcpy(&r, args, sizeof(r));
	int rc = make_call(lt, &c, &r.p);
	if (!rc)
		rc = run_call(lt, &c, &r.p, &r.algo, s->stream);
	drop_call(lt, &c);
	if (rc && !lt->refused)
		lt->refused = rc;
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

int cuda_lt_whole(int n)
{
	return (n + CUDA_LT_ROWS - 1) / CUDA_LT_ROWS * CUDA_LT_ROWS;
}

/* All rows: the whole 128s where they are, the rest in a block of its own, with the same arithmetic */
static void put_by_rows(struct backend *be, const cuda_lt_product *p, const lt_algo *algo, int at_once, bool trial)
{
	struct cuda_state *s = cuda_state(be);
	int whole = p->m / CUDA_LT_ROWS * CUDA_LT_ROWS, rest = p->m - whole,
	    arrays = form_of(p) == FORM_GELU_AUX ? 2 : 1;
	size_t n = (size_t)p->n, y_stride = (size_t)p->y_stride;
	for (int at = 0; at < whole; at += at_once)
		put_rows(be, p, algo, at, whole - at < at_once ? whole - at : at_once, trial);
	if (!rest || !cuda_block_need(be, &s->pins->lt.tail, CUDA_LT_ROWS * n * sizeof(float) * (size_t)arrays))
		return;
	cuda_lt_product tail = *p;
	tail.y = (float *)s->pins->lt.tail.p;
	tail.act = p->act ? tail.y + (size_t)(arrays - 1) * CUDA_LT_ROWS * n : NULL;
	tail.x = x_row(p, whole);
	tail.y_stride = p->n;
	if (p->from) {
		tail.from = tail.y;
		cuda_zero(be, tail.y, CUDA_LT_ROWS * n * sizeof(float));
		CUDA_LAUNCH(be, copy_rows_kernel, rest, 256, 0, tail.y, n, (const float *)row_of(p, p->from, whole),
			    y_stride, p->n);
	}
	put_rows(be, &tail, algo, 0, CUDA_LT_ROWS, trial);
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
	all.k = cuda_lt_whole(p->k); /* tokens, and the zeros behind them */
	put_rows(be, &all, algo, 0, p->m, trial);
}

int cuda_lt_try(struct backend *be, const cuda_lt_product *p, const lt_algo *algo)
{
	struct cuda_state *s = cuda_state(be);
	s->pins->lt.refused = 0;
	put_product(be, p, algo, p->m, true);
	cuda_flush(be);
	return s->pins->lt.refused;
}

/* The pin in force for its weights and a form: its own, or the one without what is fused behind it */
static const cuda_pin *find_pin(const struct backend *be, const cuda_lt_product *p, int form)
{
	int n = form == FORM_DW ? p->m : form == FORM_DX ? p->k : p->n;
	int k = form == FORM_DW || form == FORM_DX ? p->n : p->k;
	return cuda_pins_find(be, n, k, form);
}

int cuda_lt_rows(const struct backend *be, int m)
{
	const struct cuda_state *s = cuda_state(be);
	return s->pins && s->pins->n_good ? cuda_lt_whole(m) : m;
}

/* Results, and what they are added to, begin where those of the test of a pin do. That depends on the batch as little as the rest: who
 * scores gives arrays that begin at 64 bytes for any number of tokens (model/acts.c), and columns of one from a place on that the
 * weights' shapes give (LoRA). Calls for some of the rows begin 128 rows apart. */
static bool aligned(const cuda_lt_product *p)
{
	return ((uintptr_t)p->y | (uintptr_t)p->act | (uintptr_t)p->from) % LT_ALIGNMENT == 0;
}

/* Is it what pins of its form were tested for? That says nothing of the batch but for gradients. */
static bool fits(const cuda_lt_product *p)
{
	if (p->x_across || p->w_across)
		return p->k > 0 && p->y_stride == p->n;
	return !p->act || (p->bias && !p->from && p->y_stride == p->n);
}

bool cuda_lt_take(struct backend *be, const cuda_lt_product *p)
{
	if (!aligned(p))
		return false;
	const cuda_pin *found = fits(p) ? find_pin(be, p, form_of(p)) : NULL;
	if (found) {
		put_product(be, p, &found->algo, cuda_trial_rows(found), false);
		return true;
	}
	found = p->act ? find_pin(be, p, p->bias ? FORM_BIAS : FORM_PLAIN) : NULL;
	if (!found)
		return false;
	cuda_lt_product first = *p;
	first.act = NULL;
	put_product(be, &first, &found->algo, cuda_trial_rows(found), false);
	cuda_gelu(be, p->act, p->y, (size_t)p->m * (size_t)p->n);
	return true;
}

int cuda_lt_candidates(struct backend *be, const cuda_lt_product *p, lt_result *out, int room)
{
	const cuda_lt *lt = &cuda_state(be)->pins->lt;
	const uint64_t no_workspace = 0;
	const uint32_t no_reduction = 0, alignment = LT_ALIGNMENT;
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
