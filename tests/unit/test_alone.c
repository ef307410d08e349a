/* test_alone.c: what the model says is for products alone (for_products in kernels.h) is taken by products while it is there, and is
 * never written in part.
 *
 * A device leaves such an array undefined, and refuses it to a product (70) until it is told that all of it was written over.
 * Operations that write parts of rows, or add to what is there, do not tell: the gradient of attention and norms of heads, say. The
 * model cannot be refused by that: what is written so has memory of its own, or was written whole just before. A spy in the
 * table keeps account as a device does, in training all weights and with LoRA beside every set of modules, with checkpointing
 * and dropout, and in scoring; the head by rows and in one with its loss. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model_int.h"

struct span {
	const float *p;
	size_t n;
	bool good; /* products can take it: nothing ran behind it but what may */
};
static struct spy {
	struct backend real;
	struct span said[2], absent[64];
	size_t n_said, n_absent, n_left; /* left out in all */
	bool heard;                      /* something was said of the operation that comes */
	char seen[4096];                 /* names of operations that write parts */
	const char *what;                /* is being walked */
} spy;

static bool overlap(const struct span *a, const float *p, size_t n)
{
	return a->p < p + n && p < a->p + a->n;
}

/* What is left of a where x[n] is written: nothing, its beginning or its end, else all */
static struct span rest_of(struct span a, const float *x, size_t n)
{
	const float *end = a.p + a.n;

	if (!overlap(&a, x, n))
		return a;
	if (x <= a.p)
		return (struct span){ x + n, x + n < end ? (size_t)(end - (x + n)) : 0, false };
	if (x + n >= end)
		a.n = (size_t)(x - a.p);
	return a;
}

/* An operation wrote all of x[n], or left it out, if that was said of it. */
static void whole(const float *x, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < spy.n_absent; i++) {
		struct span a = rest_of(spy.absent[i], x, n);
		if (a.n)
			spy.absent[left++] = a;
	}
	spy.n_absent = left;
	for (size_t i = 0; i < spy.n_said; i++)
		if (spy.said[i].p == x && spy.said[i].n == n) {
			assert_true(spy.n_absent < ARRAY_LEN(spy.absent));
			spy.absent[spy.n_absent++] = spy.said[i];
			spy.n_left++;
			spy.heard = true;
		}
}

/* An operation is done, and what was said was of it. keeps: what is good stays so; it does where something was said, too. */
static void done(bool keeps)
{
	for (size_t i = 0; !keeps && !spy.heard && i < spy.n_absent; i++)
		spy.absent[i].good = false;
	spy.n_said = 0;
	spy.heard = false;
}

static void made(void)
{
	done(false);
}

/* One that tells nobody writes to p[n], or to parts of its rows. */
static void part(const char *who, const float *p, size_t n)
{
	done(!strncmp(who, "linear", 6));
	if (!strstr(spy.seen, who)) {
		size_t len = strlen(spy.seen), room = sizeof(spy.seen) - len;
		assert_true((size_t)snprintf(spy.seen + len, room, " %s", who) < room);
	}
	for (size_t i = 0; p && i < spy.n_absent; i++)
		if (overlap(&spy.absent[i], p, n))
			fail_msg("%s: %s writes to what is undefined, being for products alone", spy.what, who);
}

static void part_rows(const char *who, const float *p, int rows, int stride, int width)
{
	part(who, p, rows > 0 ? (size_t)(rows - 1) * (size_t)stride + (size_t)width : 0);
}

/* A product takes rows of x */
static void take(const char *who, const float *x, int rows, int stride, int width)
{
	size_t n = rows > 0 ? (size_t)(rows - 1) * (size_t)stride + (size_t)width : 0;

	for (size_t i = 0; i < spy.n_absent; i++) {
		const struct span *a = &spy.absent[i];
		if (overlap(a, x, n) && !(a->good && a->p == x && a->n == n && stride == width))
			fail_msg("%s: %s takes what is not there any more", spy.what, who);
	}
}

/* Rows that a product writes: all of them, or parts */
static void product(const char *who, const float *y, int rows, int stride, int width, bool adds)
{
	if (adds || stride != width)
		part_rows(who, y, rows, stride, width);
	else
		whole(y, (size_t)rows * (size_t)width);
	done(true);
}

static int end_of(const int32_t *rows, int n) /* the processor's memory: they can be read here */
{
	int end = 0;

	for (int i = 0; i < n; i++)
		end = rows[i] >= end ? rows[i] + 1 : end;
	return end;
}

/* ---- the spy's operations ---------------------------------------------------------------------------------------- */

static void spy_for_products(struct backend *be, const float *x, int rows, int cols, bool alone)
{
	(void)be;
	if (spy.n_said == ARRAY_LEN(spy.said))
		spy.n_said = 0;
	if (alone)
		spy.said[spy.n_said++] = (struct span){ x, (size_t)rows * (size_t)cols, true };
	else
		spy.heard = true;
}

static void spy_linear(struct backend *be, float *y, const float *x, const struct kernels_weight *w,
		       const struct kernels_linear *how)
{
	take("linear", x, how->M, how->x_stride, w->K);
	product("linear", y, how->M, how->y_stride, w->N, how->beta != 0);
	spy.real.linear(be, y, x, w, how);
}

static void spy_linear_dx(struct backend *be, float *dx, const float *dy, const struct kernels_weight *w,
			  const struct kernels_linear *how)
{
	take("linear_dx", dy, how->M, how->y_stride, w->N);
	product("linear_dx", dx, how->M, how->x_stride, w->K, how->beta != 0);
	spy.real.linear_dx(be, dx, dy, w, how);
}

/* As a device has it */
static void spy_linear_into(struct backend *be, float *y, float *act, const float *from, const float *x,
			    const struct kernels_weight *w, const struct kernels_linear *how)
{
	struct kernels_linear all = *how;
	size_t n = (size_t)how->M * (size_t)w->N;

	assert_int_equal(how->y_stride, w->N);
	take("linear_into", x, how->M, how->x_stride, w->K);
	if (y != act)
		whole(y, n);
	if (act)
		whole(act, n);
	done(true);
	all.beta = from ? 1 : 0;
	if (from && from != y)
		spy.real.copy(be, y, from, n * sizeof(float));
	spy.real.linear(be, y, x, w, &all);
	if (act)
		spy.real.gelu(be, act, y, n);
}

static void spy_linear_dw(struct backend *be, float *dw, const float *dy, const float *x, int N, int K,
			  const struct kernels_linear *how)
{
	take("linear_dw", dy, how->M, how->y_stride, N);
	take("linear_dw", x, how->M, how->x_stride, K);
	product("linear_dw", dw, N, K, K, how->beta != 0);
	spy.real.linear_dw(be, dw, dy, x, N, K, how);
}

static void spy_copy(struct backend *be, void *dst, const void *src, size_t bytes)
{
	whole(dst, bytes / sizeof(float));
	made();
	spy.real.copy(be, dst, src, bytes);
}

static void spy_zero(struct backend *be, void *dst, size_t bytes)
{
	whole(dst, bytes / sizeof(float));
	made();
	spy.real.zero(be, dst, bytes);
}

static void spy_gather(struct backend *be, float *out, const float *src, const int32_t *rows, int n, int C)
{
	whole(out, (size_t)n * (size_t)C);
	made();
	spy.real.gather(be, out, src, rows, n, C);
}

static void spy_rmsnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int T, int C,
			float eps)
{
	whole(out, (size_t)T * (size_t)C);
	made();
	spy.real.rmsnorm(be, out, rstd, x, w, T, C, eps);
}

static void spy_layernorm(struct backend *be, float *out, float *mean, float *rstd, const float *x, const float *w,
			  const float *b, int T, int C, float eps)
{
	whole(out, (size_t)T * (size_t)C);
	made();
	spy.real.layernorm(be, out, mean, rstd, x, w, b, T, C, eps);
}

static void spy_attn(struct backend *be, float *out, float *lse, const float *q, const float *k, const float *v,
		     const struct kernels_seqs *seqs, const struct kernels_attn *shape)
{
	assert_int_equal(shape->o_stride, shape->heads * shape->head_dim);
	whole(out, (size_t)seqs->q_start[seqs->n] * (size_t)shape->o_stride);
	made();
	spy.real.attn(be, out, lse, q, k, v, seqs, shape);
}

static void spy_swiglu(struct backend *be, float *out, const float *gate, const float *up, size_t n)
{
	whole(out, n);
	made();
	spy.real.swiglu(be, out, gate, up, n);
}

static void spy_swiglu_back(struct backend *be, float *dgate, float *dup, const float *dout, const float *gate,
			    const float *up, size_t n)
{
	whole(dgate, n);
	whole(dup, n);
	made();
	spy.real.swiglu_back(be, dgate, dup, dout, gate, up, n);
}

static void spy_gelu(struct backend *be, float *out, const float *x, size_t n)
{
	whole(out, n);
	made();
	spy.real.gelu(be, out, x, n);
}

static void spy_gelu_back(struct backend *be, float *dx, const float *dout, const float *x, size_t n)
{
	whole(dx, n);
	made();
	spy.real.gelu_back(be, dx, dout, x, n);
}

static void spy_xent_back(struct backend *be, float *logits, const int32_t *target, const float *scale, int T, int V)
{
	whole(logits, (size_t)T * (size_t)V);
	made();
	spy.real.xent_back(be, logits, target, scale, T, V);
}

static void spy_linear_db(struct backend *be, float *db, const float *dy, int dy_stride, int M, int N)
{
	part("linear_db", db, (size_t)N);
	spy.real.linear_db(be, db, dy, dy_stride, M, N);
}

static void spy_embed(struct backend *be, float *out, const struct kernels_weight *table, const int32_t *ids, int T,
		      bool add)
{
	if (add)
		part_rows("embed", out, T, table->K, table->K);
	else
		whole(out, (size_t)T * (size_t)table->K);
	made();
	spy.real.embed(be, out, table, ids, T, add);
}

static void spy_embed_back(struct backend *be, float *dtable, const float *dout, const int32_t *ids, int T, int C,
			   int V)
{
	part_rows("embed_back", dtable, V, C, C);
	spy.real.embed_back(be, dtable, dout, ids, T, C, V);
}

static void spy_rmsnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x,
			     const float *w, const float *rstd, int T, int C)
{
	part_rows("rmsnorm_back", dx, T, C, C);
	part("rmsnorm_back", dw, (size_t)C);
	spy.real.rmsnorm_back(be, dx, dw, dout, x, w, rstd, T, C);
}

static void spy_layernorm_back(struct backend *be, float *dx, float *dw, float *db, const float *dout, const float *x,
			       const float *w, const float *mean, const float *rstd, int T, int C)
{
	part_rows("layernorm_back", dx, T, C, C);
	part("layernorm_back", dw, (size_t)C);
	part("layernorm_back", db, (size_t)C);
	spy.real.layernorm_back(be, dx, dw, db, dout, x, w, mean, rstd, T, C);
}

static void spy_headnorm(struct backend *be, float *out, float *rstd, const float *x, const float *w, int stride, int T,
			 int H, int D, float eps)
{
	part_rows("headnorm", out, T, stride, H * D);
	spy.real.headnorm(be, out, rstd, x, w, stride, T, H, D, eps);
}

static void spy_headnorm_back(struct backend *be, float *dx, float *dw, const float *dout, const float *x,
			      const float *w, const float *rstd, int stride, int T, int H, int D)
{
	part_rows("headnorm_back", dx, T, stride, H * D);
	part("headnorm_back", dw, (size_t)D);
	spy.real.headnorm_back(be, dx, dw, dout, x, w, rstd, stride, T, H, D);
}

static void spy_rope(struct backend *be, float *x, int stride, const int32_t *pos, const float *cos_sin, int T, int H,
		     int D, bool back)
{
	part_rows("rope", x, T, stride, H * D);
	spy.real.rope(be, x, stride, pos, cos_sin, T, H, D, back);
}

static void spy_attn_back(struct backend *be, float *dq, float *dk, float *dv, const float *dout, const float *out,
			  const float *lse, const float *q, const float *k, const float *v,
			  const struct kernels_seqs *seqs, const struct kernels_attn *shape)
{
	int T = seqs->q_start[seqs->n], D = shape->head_dim;

	part_rows("attn_back", dq, T, shape->q_stride, shape->heads * D);
	part_rows("attn_back", dk, T, shape->kv_stride, shape->kv_heads * D);
	part_rows("attn_back", dv, T, shape->kv_stride, shape->kv_heads * D);
	spy.real.attn_back(be, dq, dk, dv, dout, out, lse, q, k, v, seqs, shape);
}

static void spy_dropout(struct backend *be, float *out, const float *x, size_t n, uint64_t key, float p)
{
	if (out == x)
		part("dropout", out, n);
	else
		whole(out, n);
	made();
	spy.real.dropout(be, out, x, n, key, p);
}

static void spy_scale(struct backend *be, float *x, size_t n, float s)
{
	part("scale", x, n);
	spy.real.scale(be, x, n, s);
}

static void spy_add(struct backend *be, float *x, const float *y, size_t n)
{
	part("add", x, n);
	spy.real.add(be, x, y, n);
}

static void spy_scatter_add(struct backend *be, float *dsrc, const float *dout, const int32_t *rows, int n, int C)
{
	part_rows("scatter_add", dsrc, end_of(rows, n), C, C);
	spy.real.scatter_add(be, dsrc, dout, rows, n, C);
}

static void spy_put_rows(struct backend *be, float *dst, int dst_stride, const float *src, int src_stride,
			 const int32_t *rows, int n, int width)
{
	part_rows("put_rows", dst, end_of(rows, n), dst_stride, width);
	spy.real.put_rows(be, dst, dst_stride, src, src_stride, rows, n, width);
}

/* As a device has them, which computes logits of its own */
static bool spy_head_tiles(struct backend *be, const struct kernels_weight *head)
{
	(void)be, (void)head;
	return true;
}

static float *logits_of(struct backend *be, const float *x, const struct kernels_weight *head, int T)
{
	struct kernels_linear how = { T, head->K, head->N, NULL, 0 };
	void *logits = NULL;

	assert_int_equal(be->alloc(be, &logits, (size_t)T * (size_t)head->N * sizeof(float)), 0);
	spy.real.linear(be, logits, x, head, &how);
	return logits;
}

static void spy_head_logprob(struct backend *be, double *logprob, int32_t *argmax, const float *x,
			     const struct kernels_weight *head, const int32_t *first, const int32_t *target, int T)
{
	take("head_logprob", x, T, head->K, head->K);
	made();
	float *logits = logits_of(be, x, head, T);
	spy.real.logprob(be, logprob, argmax, logits, first, target, T, head->N);
	be->free(be, logits);
}

static void spy_head_back(struct backend *be, double *logprob, float *dx, float *dw, float beta, const float *x,
			  const struct kernels_weight *head, const int32_t *target, const float *scale, int T)
{
	struct kernels_linear how = { T, head->K, head->N, NULL, 0 };

	take("head_back", x, T, head->K, head->K);
	whole(dx, (size_t)T * (size_t)head->K);
	if (dw)
		product("head_back", dw, head->N, head->K, head->K, beta != 0);
	made();
	float *logits = logits_of(be, x, head, T);
	spy.real.logprob(be, logprob, NULL, logits, NULL, target, T, head->N);
	spy.real.xent_back(be, logits, target, scale, T, head->N);
	spy.real.linear_dx(be, dx, logits, head, &how);
	how.beta = beta;
	if (dw)
		spy.real.linear_dw(be, dw, logits, x, head->N, head->K, &how);
	be->free(be, logits);
}

/* tiles: head and loss are one operation */
static struct backend *spied(bool tiles)
{
	struct backend *be;

	assert_int_equal(backend_open(&be, "cpu", 1), 0);
	spy = (struct spy){ .real = *be };
	be->for_products = spy_for_products;
	be->linear = spy_linear, be->linear_into = spy_linear_into, be->linear_dx = spy_linear_dx;
	be->linear_dw = spy_linear_dw, be->linear_db = spy_linear_db;
	be->copy = spy_copy, be->zero = spy_zero, be->gather = spy_gather;
	be->rmsnorm = spy_rmsnorm, be->layernorm = spy_layernorm, be->attn = spy_attn;
	be->swiglu = spy_swiglu, be->swiglu_back = spy_swiglu_back;
	be->gelu = spy_gelu, be->gelu_back = spy_gelu_back, be->xent_back = spy_xent_back;
	be->embed = spy_embed, be->embed_back = spy_embed_back;
	be->rmsnorm_back = spy_rmsnorm_back, be->layernorm_back = spy_layernorm_back;
	be->headnorm = spy_headnorm, be->headnorm_back = spy_headnorm_back;
	be->rope = spy_rope, be->attn_back = spy_attn_back;
	be->dropout = spy_dropout, be->scale = spy_scale, be->add = spy_add;
	be->scatter_add = spy_scatter_add, be->put_rows = spy_put_rows;
	if (tiles) {
		be->head_tiles = spy_head_tiles;
		be->head_logprob = spy_head_logprob;
		be->head_back = spy_head_back;
	}
	return be;
}

static bool seen(const char *who)
{
	return strstr(spy.seen, who) != NULL;
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

static const char *const families[] = { "smollm2", "qwen2", "qwen3", "gpt2" };

struct way {
	bool full, checkpointing, dropout;
	unsigned targets; /* of LoRA: a bit for each name */
};

static const char *const *names_of(const char *family)
{
	static const char *const llama[] = { "q_proj",    "k_proj",  "v_proj",    "o_proj",
					     "gate_proj", "up_proj", "down_proj", NULL };
	static const char *const gpt2[] = { "c_attn", "attn.c_proj", "c_fc", "mlp.c_proj", NULL };

	return strcmp(family, "gpt2") ? llama : gpt2;
}

static struct model *load(const char *family, struct backend *be, const struct way *w)
{
	static const struct model_load to_train = { .train = true };
	const char *const *names = names_of(family);
	const char *targets[8] = { NULL };
	char *dir = mem_printf("tests/golden/families/%s", family);
	struct model *m;

	if (model_load(&m, dir, be, w->full ? &to_train : NULL))
		fail_msg("%s: %s", dir, err_text());
	for (size_t i = 0, n = 0; names[i]; i++)
		if (w->targets >> i & 1)
			targets[n++] = names[i];
	const struct lora_options lora = { .rank = 2, .alpha = 4, .dropout = 0.25, .targets = targets };
	if (w->targets && model_add_lora(m, &lora, 1))
		fail_msg("%s: %s", dir, err_text());
	free(dir);
	return m;
}

static void train(struct model *m, const struct way *w)
{
	enum { T = 14 };
	static const int32_t ids[T] = { 3, 9, 27, 5, 15, 45, 7, 21, 17, 4, 12, 36, 8, 24 };
	const struct pass_size size = { .tokens = T,
					.rows = T,
					.seqs = 2,
					.positions = m->config.context,
					.keep = true,
					.checkpointing = w->checkpointing };
	struct pass_answer a;
	struct pass p;
	struct back b;

	assert_int_equal(pass_open(&p, m, &size), 0);
	assert_int_equal(back_open(&b, &p), 0);
	p.dropout_key = w->dropout ? 1 : 0;
	for (int micro = 0; micro < 2; micro++) {
		pass_clear(&p);
		pass_add(&p, ids, 9);
		pass_add(&p, ids + 9, T - 9);
		for (int i = 0; i < T; i++)
			pass_want(&p, i, ids[T - 1 - i]);
		transformer_forward(&p);
		if (micro) /* as preferences do, for their weights */
			assert_int_equal(transformer_head(&p, NULL, NULL), 0);
		transformer_back(&p, &b, &a);
		assert_int_equal(pass_wait(&p, a.mark), 0);
	}
	back_close(&b, p.be);
	pass_close(&p);
}

static void test_alone__what_is_trained_with(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		const char *const *names = names_of(families[f]);
		unsigned n = 0;
		while (names[n])
			n++;
		for (unsigned i = 0; i < 8u << n; i++) {
			const struct way w = { !(i >> 3), i & 1, i & 2, i >> 3 };
			struct backend *be = spied(i & 4);
			struct model *m = load(families[f], be, &w);
			char *what = mem_printf("%s, LoRA beside %x, checkpointing %d, dropout %d, tiles %d",
						families[f], w.targets, w.checkpointing, w.dropout, !!(i & 4));
			spy.what = what;
			train(m, &w);
			assert_true(spy.n_left > 0 && seen("attn_back"));
			assert_true(seen("headnorm_back") == !strcmp(families[f], "qwen3"));
			free(what);
			model_free(m);
			backend_close(be);
		}
	}
}

/* Whole, and a token at a time behind a cache */
static void test_alone__what_is_scored_with(void **state)
{
	static const int tokens[] = { 0, 1, 5 };
	static const int32_t ids[2][9] = { { 3, 9, 27, 5, 15, 45, 7, 21, 17 }, { 3, 9, 27, 5, 1, 2, 3, 4, 5 } };
	const struct score_request reqs[] = { { ids[0], 9, 8 }, { ids[1], 9, 5 } };
	struct score_result out[2];

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		for (size_t i = 0; i < ARRAY_LEN(tokens) * 4; i++) {
			const struct way w = { .targets = i % 2 ? 1 : 0 };
			const struct score_options how = { .batch_tokens = tokens[i / 4] };
			struct backend *be = spied(i & 2);
			struct model *m = load(families[f], be, &w);
			spy.what = families[f];
			assert_int_equal(score_run(m, reqs, 2, out, &how), 0);
			assert_true(spy.n_left > 0 && (seen("put_rows") || tokens[i / 4] != 1));
			model_free(m);
			backend_close(be);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone__what_is_trained_with),
		cmocka_unit_test(test_alone__what_is_scored_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
