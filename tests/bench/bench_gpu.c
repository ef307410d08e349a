/* bench_gpu.c: a CUDA device against the reference, and against itself: what gpu-bundle runs on a card.
 *
 *	bench_gpu check DEVICE [N:K…]	kernels against cpu_ref, f32 products against cpu to the bit, rows among any number; products
 *					of these shapes of weights, too: those of the pins
 *	bench_gpu sanitize DEVICE	one call of each family, small: for compute-sanitizer, which looks at every access
 *	bench_gpu measure DEVICE [dry]	copies, matrix products, attention, all that memory bounds, the head; one line of "name value unit"
 *	bench_gpu pins DEVICE FILE N:K…	pins of cuBLASLt for these shapes of weights and what may be fused behind them
 *
 * Times are of the host's clock round work that is waited for, the best of some; inputs are random, since a device computes
 * zeros faster. Flops are 2 M N K; of attention 4 T^2 D H / 2 forward (causal), and 2.5 times that backward. */
#include "base/base.h"
#include "kernels/kernels.h"

#include <dlfcn.h>
#include <math.h>
#include <unistd.h>

static struct backend *be, *ref, *cpu;
static int bad;

static void say(bool ok, const char *what, double got, double limit)
{
	printf("%s %s: %.3g (limit %.3g)\n", ok ? "ok  " : "FAIL", what, got, limit);
	bad += !ok;
}

static float *floats(uint64_t seed, size_t n)
{
	struct rng r;
	float *p = mem_try_aligned((n + 1) * sizeof(float));
	rng_seed(&r, seed, 1);
	for (size_t i = 0; p && i < n; i++)
		p[i] = (float)(2 * rng_uniform(&r) - 1);
	return p;
}

static float *on(struct backend *b, const float *host, size_t n)
{
	void *p = NULL;
	if (b->alloc(b, &p, n * sizeof(float))) {
		fprintf(stderr, "%s\n", err_text());
		exit(69);
	}
	if (host)
		b->upload(b, p, host, n * sizeof(float));
	return p;
}

static void back(struct backend *b, float *host, const float *p, size_t n)
{
	b->download(b, host, p, n * sizeof(float));
	if (b->sync(b)) {
		fprintf(stderr, "%s\n", err_text());
		exit(69);
	}
}

static double nmse(const float *got, const float *want, size_t n)
{
	double e = 0, w = 0;
	for (size_t i = 0; i < n; i++) {
		double d = (double)got[i] - (double)want[i];
		e += d * d;
		w += (double)want[i] * (double)want[i];
	}
	return e < INFINITY ? e / w : INFINITY;
}

enum form { LINEAR, LINEAR_DX, LINEAR_DW };
static const char *const form_names[] = { "linear", "linear_dx", "linear_dw" };
struct shape {
	int M, N, K;
};

static size_t result_size(enum form form, struct shape s)
{
	return form == LINEAR      ? (size_t)s.M * (size_t)s.N
	       : form == LINEAR_DX ? (size_t)s.M * (size_t)s.K
				   : (size_t)s.N * (size_t)s.K;
}

static void multiply(struct backend *b, enum form form, struct shape s, float *out, const float *x, const float *dy,
		     const struct kernels_weight *w)
{
	struct kernels_linear how = { s.M, s.K, s.N, NULL, form == LINEAR_DW ? 1.0f : 0.0f };
	if (form == LINEAR)
		b->linear(b, out, x, w, &how);
	else if (form == LINEAR_DX)
		b->linear_dx(b, out, dy, w, &how);
	else
		b->linear_dw(b, out, dy, x, s.N, s.K, &how);
}

/* The back end's result, of dW added to numbers; the caller frees it */
static float *product(struct backend *b, enum form form, struct shape s)
{
	size_t n_x = (size_t)s.M * (size_t)s.K, n_w = (size_t)s.N * (size_t)s.K, n_y = (size_t)s.M * (size_t)s.N,
	       n = result_size(form, s);
	float *x = floats(1, n_x), *w = floats(2, n_w), *dy = floats(3, n_y), *out = floats(4, n);
	float *on_x = on(b, x, n_x), *on_w = on(b, w, n_w), *on_dy = on(b, dy, n_y), *on_out = on(b, out, n);
	struct kernels_weight weight = { on_w, s.N, s.K, KERNELS_F32, 0 };
	multiply(b, form, s, on_out, on_x, on_dy, &weight);
	back(b, out, on_out, n);
	b->free(b, on_x), b->free(b, on_w), b->free(b, on_dy), b->free(b, on_out);
	free(x), free(w), free(dy);
	return out;
}

static void check_product(enum form form, struct shape s)
{
	bool f32 = strstr(be->numerics, "/f32/") != NULL;
	size_t n = result_size(form, s);
	float *got = product(be, form, s), *want = product(f32 ? cpu : ref, form, s);
	double e = nmse(got, want, n);
	char what[128];
	snprintf(what, sizeof(what), "%s, M %d N %d K %d, %s (NMSE)", form_names[form], s.M, s.N, s.K,
		 f32 ? "f32, the bits of the CPU" : "against the reference in double");
	if (f32)
		say(memcmp(got, want, n * sizeof(float)) == 0, what, e, 0);
	else /* operands of 8 bits of fraction: 2^-9 each, so some 2^-17 of the square */
		say(e < 2e-5, what, e, 2e-5);
	free(got), free(want);
}

static void check_products(void)
{
	static const struct shape shapes[] = { { 1, 96, 200 }, { 17, 130, 513 }, { 300, 257, 72 }, { 130, 64, 1000 } };
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
		for (int form = LINEAR; form <= LINEAR_DW; form++)
			check_product(form, shapes[s]);
}

/* M rows are the first M of a call with more rows. The emulated device, where there is no card, is given less to do. */
static int rows_that_differ(int N, int K, bool emulated)
{
	static const int Ms[] = { 1, 16, 17, 65, 129, 15, 64, 127, 128, 500, 2048 };
	float *all = product(be, LINEAR, (struct shape){ emulated ? 140 : 2100, N, K });
	int differ = 0;
	for (size_t i = 0; i < (emulated ? 5 : ARRAY_LEN(Ms)); i++) {
		float *some = product(be, LINEAR, (struct shape){ Ms[i], N, K });
		differ += memcmp(some, all, (size_t)Ms[i] * (size_t)N * sizeof(float)) != 0;
		free(some);
	}
	free(all);
	return differ;
}

/* shapes: of weights for which there may be pins */
static void check_rows(char **shapes, int n)
{
	static const char *const what =
		"rows among others have the bits of those among more (numbers of rows that differ)";
	bool emulated = strstr(be->numerics, "/emulation.") != NULL;
	int differ;
	for (int K = 512; K <= (emulated ? 512 : 4096); K *= 2) {
		differ = rows_that_differ(emulated ? 64 : 1024, K, emulated);
		say(differ == 0, what, differ, 0);
	}
	for (int i = 0; i < n; i++) {
		struct shape s = { .M = 130 };
		if (sscanf(shapes[i], "%d:%d", &s.N, &s.K) != 2)
			continue;
		for (int form = LINEAR; form <= LINEAR_DW; form++)
			check_product(form, s);
		differ = rows_that_differ(s.N, s.K, emulated);
		say(differ == 0, what, differ, 0);
	}
}

enum { T = 300, H = 8, KV = 2, D = 64 };

static float *attention(struct backend *b, int first, int rows)
{
	size_t wide = (H + 2 * KV) * D, n = T * wide;
	float *host = floats(3, n), *out = floats(0, (size_t)rows * H * D);
	float *p = on(b, host, n), *o = on(b, NULL, (size_t)rows * H * D);
	const int32_t q_start[2] = { 0, rows }, k_start[2] = { 0, first + rows };
	struct kernels_seqs seqs = { 1, q_start, k_start, NULL, NULL, NULL, 0 };
	struct kernels_attn shape = { H, KV, D, (int)wide, (int)wide, H * D, 0.125f, 0 };
	b->attn(b, o, NULL, p + (size_t)first * wide, p + H * D, p + (H + KV) * D, &seqs, &shape);
	back(b, out, o, (size_t)rows * H * D);
	b->free(b, p), b->free(b, o);
	free(host);
	return out;
}

static void check_attention(void)
{
	float *got = attention(be, 0, T), *want = attention(ref, 0, T);
	double e = nmse(got, want, (size_t)T * H * D);
	say(e < 1e-4, "attention against the reference (NMSE)", e, 1e-4);
	int differ = 0;
	for (int first = 1; first < T; first += 37) { /* what comes behind a prefix is what the whole has there */
		float *part = attention(be, first, T - first);
		differ += memcmp(part, got + (size_t)first * H * D, (size_t)(T - first) * H * D * sizeof(float)) != 0;
		free(part);
	}
	say(differ == 0, "attention behind a prefix has the bits of the whole (cuts that differ)", differ, 0);
	free(got), free(want);
}

static int cut = 1; /* of a dry run: what sizes are divided by */

static int sized(int n)
{
	return n < cut ? 1 : n / cut;
}

static double best_seconds(void (*run)(void *arg), void *arg)
{
	double best = INFINITY;
	for (int i = 0; i < (cut > 1 ? 3 : 8); i++) {
		double began = clock_seconds();
		for (int j = 0; j < 4; j++)
			run(arg);
		if (be->sync(be)) {
			fprintf(stderr, "%s\n", err_text());
			exit(69);
		}
		double s = (clock_seconds() - began) / 4;
		best = i > 1 && s < best ? s : best;
	}
	return best;
}

struct work {
	float *a, *b, *c, *d;
	int M, N, K;
	struct kernels_weight w;
	size_t n;
};

static void run_copy(void *arg)
{
	struct work *x = arg;
	be->copy(be, x->a, x->b, x->n * sizeof(float));
}

static void run_linear(void *arg)
{
	struct work *x = arg;
	multiply(be, LINEAR, (struct shape){ x->M, x->N, x->K }, x->c, x->a, NULL, &x->w);
}

static void run_linear_dx(void *arg)
{
	struct work *x = arg;
	multiply(be, LINEAR_DX, (struct shape){ x->M, x->N, x->K }, x->c, NULL, x->b, &x->w);
}

static void run_linear_dw(void *arg)
{
	struct work *x = arg;
	multiply(be, LINEAR_DW, (struct shape){ x->M, x->N, x->K }, x->c, x->a, x->b, NULL);
}

static void run_norm(void *arg)
{
	struct work *x = arg;
	be->rmsnorm(be, x->a, x->c, x->b, x->d, x->M, x->K, 1e-5f);
}

static void run_adamw(void *arg)
{
	struct work *x = arg;
	struct kernels_adamw how = { 1e-3f, 0.9f, 0.99f, 1e-8f, 0.1f, 1, 1 };
	be->adamw(be, x->a, x->b, x->c, x->d, x->n / 2, &how);
}

static void measure_products(void)
{
	static const int shapes[][3] = { { 8192, 8192, 8192 }, { 8192, 2048, 2048 }, { 8192, 8192, 2048 },
					 { 4096, 768, 768 },   { 1, 8192, 8192 },    { 16, 8192, 8192 } };
	size_t n = (size_t)sized(8192) * (size_t)sized(8192);
	float *host = floats(4, n);
	struct work x = { .a = on(be, host, n), .b = on(be, host, n), .c = on(be, NULL, n) };
	uint16_t *half = mem_try_aligned(n * 2);
	for (size_t i = 0; half && i < n; i++) {
		uint32_t u;
		memcpy(&u, &host[i], 4);
		half[i] = (uint16_t)(u >> 16);
	}
	for (size_t s = 0; half && s < ARRAY_LEN(shapes); s++) {
		x.M = sized(shapes[s][0]), x.N = sized(shapes[s][1]), x.K = sized(shapes[s][2]);
		void *p = NULL;
		x.w = (struct kernels_weight){ NULL, x.N, x.K, KERNELS_BF16, 1 };
		if (be->alloc(be, &p, be->packed_bytes(be, KERNELS_BF16, x.N, x.K)))
			exit(69);
		x.w.data = p;
		be->pack(be, &x.w, half, 0, x.N);
		double t = best_seconds(run_linear, &x), flops = 2.0 * x.M * x.N * x.K;
		printf("linear-%dx%dx%d %.1f TFLOP/s, %.0f GB/s of weights\n", x.M, x.N, x.K, flops / t / 1e12,
		       2.0 * x.N * x.K / t / 1e9);
		if (shapes[s][0] > 16) {
			printf("linear-dx-%dx%dx%d %.1f TFLOP/s\n", x.M, x.N, x.K,
			       flops / best_seconds(run_linear_dx, &x) / 1e12);
			be->zero(be, x.c, n * sizeof(float));
			printf("linear-dw-%dx%dx%d %.1f TFLOP/s\n", x.M, x.N, x.K,
			       flops / best_seconds(run_linear_dw, &x) / 1e12);
		}
		be->free(be, p);
	}
	be->free(be, x.a), be->free(be, x.b), be->free(be, x.c);
	free(host), free(half);
}

struct attn_work {
	float *qkv, *out, *lse, *grad, *dout;
};
enum { LH = 16, LD = 128 };

static int32_t long_start[2] = { 0, 4096 };
static const struct kernels_seqs long_seqs = { 1, long_start, long_start, NULL, NULL, NULL, 0 };
static const struct kernels_attn long_shape = { LH, LH, LD, 3 * LH *LD, 3 * LH *LD, LH *LD, 0.088388f, 0 };

static void run_attn(void *arg)
{
	struct attn_work *x = arg;
	be->attn(be, x->out, x->lse, x->qkv, x->qkv + LH * LD, x->qkv + 2 * LH * LD, &long_seqs, &long_shape);
}

static void run_attn_back(void *arg)
{
	struct attn_work *x = arg;
	be->attn_back(be, x->grad, x->grad + LH * LD, x->grad + 2 * LH * LD, x->dout, x->out, x->lse, x->qkv,
		      x->qkv + LH * LD, x->qkv + 2 * LH * LD, &long_seqs, &long_shape);
}

static void measure_attention(void)
{
	int T_long = long_start[1] = sized(4096);
	size_t n = (size_t)T_long * LH * LD;
	float *host = floats(5, 3 * n);
	struct attn_work x = { on(be, host, 3 * n), on(be, NULL, n), on(be, NULL, (size_t)T_long * LH),
			       on(be, NULL, 3 * n), on(be, host, n) };
	double flops = 4.0 * T_long * T_long * LD * LH / 2;
	printf("attention-forward-T%d-D128 %.1f TFLOP/s\n", T_long, flops / best_seconds(run_attn, &x) / 1e12);
	printf("attention-backward-T%d-D128 %.1f TFLOP/s\n", T_long,
	       2.5 * flops / best_seconds(run_attn_back, &x) / 1e12);
	be->free(be, x.qkv), be->free(be, x.out), be->free(be, x.lse), be->free(be, x.grad), be->free(be, x.dout);
	free(host);
}

/* ---- what memory bounds: M rows of K floats; rates are of the bytes that must move */

enum { HEADS = 32 };

static void run_layernorm(void *arg)
{
	struct work *x = arg;
	be->layernorm(be, x->a, x->c, x->c + x->M, x->b, x->d, x->d + x->K, x->M, x->K, 1e-5f);
}

static void run_rmsnorm_back(void *arg)
{
	struct work *x = arg;
	be->rmsnorm_back(be, x->a, x->d + x->K, x->b, x->b + x->n / 2, x->d, x->c, x->M / 2, x->K);
}

static void run_swiglu(void *arg)
{
	struct work *x = arg;
	be->swiglu(be, x->a, x->b, x->c, x->n);
}

static void run_swiglu_back(void *arg)
{
	struct work *x = arg;
	be->swiglu_back(be, x->a, x->a + x->n / 2, x->b, x->c, x->d, x->n / 2);
}

static void run_gelu(void *arg)
{
	struct work *x = arg;
	be->gelu(be, x->a, x->b, x->n);
}

static void run_gelu_back(void *arg)
{
	struct work *x = arg;
	be->gelu_back(be, x->a, x->b, x->c, x->n);
}

static void run_add(void *arg)
{
	struct work *x = arg;
	be->add(be, x->a, x->b, x->n);
}

struct rows {
	struct work *x;
	int32_t *ids, *positions;
	float *cos_sin, *scale;
	double *logprob;
	int V, T; /* T rows of V logits */
};

static void run_rope(void *arg)
{
	struct rows *r = arg;
	be->rope(be, r->x->a, r->x->K, r->positions, r->cos_sin, r->x->M, HEADS, r->x->K / HEADS, false);
}

static void run_embed(void *arg)
{
	struct rows *r = arg;
	struct kernels_weight table = { r->x->b, r->V, r->x->K, KERNELS_F32, 0 };
	be->embed(be, r->x->a, &table, r->ids, r->x->M, false);
}

static void run_logprob(void *arg)
{
	struct rows *r = arg;
	be->logprob(be, r->logprob, NULL, r->x->a, NULL, r->ids, r->T, r->V);
}

static void run_xent_back(void *arg)
{
	struct rows *r = arg;
	be->xent_back(be, r->x->a, r->ids, r->scale, r->T, r->V);
}

static void *ints_on(const int32_t *host, int n)
{
	void *p = on(be, NULL, (size_t)n);
	be->upload(be, p, host, (size_t)n * sizeof(*host));
	return p;
}

static void say_rate(const char *name, double bytes, void (*run)(void *arg), void *arg, double copy)
{
	double rate = bytes / best_seconds(run, arg) / 1e9;
	printf("%s %.0f GB/s, %.0f %% of copies\n", name, rate, 100 * rate / copy);
}

static void measure_rows(struct work *x, double copy)
{
	struct rows r = { .x = x, .V = sized(49152) };
	struct rng rng;
	double all = 4.0 * (double)x->n;
	int32_t *ids = mem_array((size_t)x->M, sizeof(*ids)), *positions = mem_array((size_t)x->M, sizeof(*positions));
	float *angles = floats(6, (size_t)1024 * (size_t)(x->K / HEADS)), *scale = floats(7, (size_t)x->M);
	rng_seed(&rng, 8, 1);
	for (int i = 0; i < x->M; i++) {
		positions[i] = i % 1024;
		ids[i] = (int32_t)(rng_uniform(&rng) * r.V);
	}
	r.T = (int)(x->n / (size_t)r.V) < x->M ? (int)(x->n / (size_t)r.V) : x->M;
	r.ids = ints_on(ids, x->M), r.positions = ints_on(positions, x->M);
	r.cos_sin = on(be, angles, (size_t)1024 * (size_t)(x->K / HEADS)), r.scale = on(be, scale, (size_t)x->M);
	r.logprob = (double *)(void *)on(be, NULL, 2 * (size_t)x->M);
	double logits = 4.0 * r.T * r.V;
	say_rate("rope", 2 * all, run_rope, &r, copy);
	say_rate("embedding", 2 * all, run_embed, &r, copy);
	say_rate("cross-entropy-forward", logits, run_logprob, &r, copy);
	say_rate("cross-entropy-backward", 2 * logits, run_xent_back, &r, copy);
	be->free(be, r.ids), be->free(be, r.positions), be->free(be, r.cos_sin), be->free(be, r.scale);
	be->free(be, r.logprob);
	free(ids), free(positions), free(angles), free(scale);
}

static void measure_memory(struct work *x)
{
	double all = 4.0 * (double)x->n, copy = 2 * all / best_seconds(run_copy, x) / 1e9;
	printf("copy %.0f GB/s\n", copy);
	say_rate("rmsnorm-forward", 2 * all, run_norm, x, copy);
	say_rate("rmsnorm-backward", 2 * all, run_rmsnorm_back, x, copy); /* of half the rows: dx is read, too */
	say_rate("layernorm-forward", 2 * all, run_layernorm, x, copy);
	say_rate("swiglu-forward", 3 * all, run_swiglu, x, copy);
	say_rate("swiglu-backward", 2.5 * all, run_swiglu_back, x, copy); /* of half the numbers */
	say_rate("gelu-forward", 2 * all, run_gelu, x, copy);
	say_rate("gelu-backward", 3 * all, run_gelu_back, x, copy);
	say_rate("add", 3 * all, run_add, x, copy);
	say_rate("adamw", 28.0 * (double)(x->n / 2), run_adamw, x, copy);
	measure_rows(x, copy);
}

/* ---- the head and its loss: by rows of logits, as many as the model takes at once, and by tiles of the vocabulary */

struct head {
	int T, C, V, chunk;
	struct kernels_weight w;
	float *x, *dx, *dw, *scale, *logits;
	int32_t *target;
	double *logprob;
	bool gradient;
};

static void run_head_by_rows(void *arg)
{
	struct head *h = arg;
	for (int at = 0; at < h->T; at += h->chunk) {
		int n = h->T - at < h->chunk ? h->T - at : h->chunk;
		struct kernels_linear how = { n, h->C, h->V, NULL, 0 };
		float *x = h->x + (size_t)at * (size_t)h->C;
		be->linear(be, h->logits, x, &h->w, &how);
		be->logprob(be, h->logprob + at, NULL, h->logits, NULL, h->target + at, n, h->V);
		if (!h->gradient)
			continue;
		be->for_products(be, h->logits, n, h->V, true);
		be->xent_back(be, h->logits, h->target + at, h->scale + at, n, h->V);
		be->linear_dx(be, h->dx + (size_t)at * (size_t)h->C, h->logits, &h->w, &how);
		how.beta = at ? 1.0f : 0.0f;
		be->linear_dw(be, h->dw, h->logits, x, h->V, h->C, &how);
	}
}

static void run_head_by_tiles(void *arg)
{
	struct head *h = arg;
	if (h->gradient)
		be->head_back(be, h->logprob, h->dx, h->dw, 0, h->x, &h->w, h->target, h->scale, h->T);
	else
		be->head_logprob(be, h->logprob, NULL, h->x, &h->w, NULL, h->target, h->T);
}

static void measure_head(int rows, int C, int V)
{
	struct head h = { .T = sized(rows), .C = sized(C), .V = sized(V) };
	size_t n_x = (size_t)h.T * (size_t)h.C, n_w = (size_t)h.V * (size_t)h.C;
	int32_t *target = mem_array((size_t)h.T, sizeof(*target));
	float *x = floats(10, n_x), *w = floats(11, n_w), *scale = floats(12, (size_t)h.T), *on_w = on(be, w, n_w);
	h.chunk = (64 << 20) / h.V < h.T ? (64 << 20) / h.V : h.T;
	for (int t = 0; t < h.T; t++)
		target[t] = (int32_t)((int64_t)t * 7919 % h.V);
	h.x = on(be, x, n_x), h.dx = on(be, NULL, n_x), h.dw = on(be, NULL, n_w);
	h.scale = on(be, scale, (size_t)h.T), h.target = ints_on(target, h.T);
	h.logits = on(be, NULL, (size_t)h.chunk * (size_t)h.V);
	h.logprob = (double *)(void *)on(be, NULL, 2 * (size_t)h.T);
	h.w = (struct kernels_weight){ on_w, h.V, h.C, KERNELS_F32, 0 };
	for (int gradient = 0; gradient < 2; gradient++) {
		h.gradient = gradient;
		double by_rows = best_seconds(run_head_by_rows, &h), by_tiles = best_seconds(run_head_by_tiles, &h);
		double flops = (gradient ? 6.0 : 2.0) * h.T * h.C * h.V;
		printf("head-%s-%dx%dx%d by rows %.1f TFLOP/s, by tiles %.1f, %.2f times\n",
		       gradient ? "training" : "scoring", h.T, h.V, h.C, flops / by_rows / 1e12,
		       flops / by_tiles / 1e12, by_rows / by_tiles);
	}
	be->free(be, h.x), be->free(be, h.dx), be->free(be, h.dw), be->free(be, h.scale), be->free(be, h.target);
	be->free(be, h.logits), be->free(be, h.logprob), be->free(be, on_w);
	free(target), free(x), free(w), free(scale);
}

static void measure(void)
{
	int rows = sized(65536), wide = cut > 1 ? 64 : 4096; /* heads of two numbers at least */
	size_t n = (size_t)rows * (size_t)wide;
	float *host = floats(9, n);
	struct work x = { .a = on(be, host, n), .b = on(be, host, n), .c = on(be, host, n), .d = on(be, host, n) };
	x.M = rows, x.K = wide, x.n = n;
	free(host);
	measure_memory(&x);
	be->free(be, x.a), be->free(be, x.b), be->free(be, x.c), be->free(be, x.d);
	measure_products();
	measure_attention();
	if (strstr(be->numerics, "/bf16/")) {
		measure_head(8192, 768, 50257);
		measure_head(4096, 2048, 49152);
	}
}

static int make_pins(const char *file, char **shapes, int n)
{
	char *dir, exe[4096];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len <= 0)
		return 70;
	exe[len] = 0;
	dir = path_dir(exe);
	char *path = path_join(dir, "libassay-cuda.so");
	void *lib = dlopen(path, RTLD_NOW);
	static const char *const forms[] = { "",     " with a bias", " with GELU", " with GELU and its input",
					     ", dx", ", dW" };
	bool (*tune)(struct backend *, int, int, int, FILE *) = NULL;
	*(void **)&tune = lib ? dlsym(lib, "assay_cuda_tune") : NULL;
	FILE *f = fopen(file, "w");
	if (f)
		setvbuf(f, NULL, _IOLBF, BUFSIZ); /* who stops it for its time has the pins made so far, whole */
	for (int i = 0; tune && f && i < n; i++) {
		int N, K;
		if (sscanf(shapes[i], "%d:%d", &N, &K) != 2)
			continue;
		for (int form = 0; form < (int)ARRAY_LEN(forms); form++) {
			bool gelu = form == 2 || form == 3; /* it stands behind the wide ones */
			if (!(gelu && N <= K) && !tune(be, N, K, form, f))
				printf("no pin for %d x %d%s\n", N, K, forms[form]);
		}
	}
	free(dir), free(path);
	if (!tune || !f || fclose(f))
		return 74;
	int rc = be->sync(be); /* a device that failed in between has made no pins since */
	if (rc)
		fprintf(stderr, "error: %s\n", err_text());
	return rc ? err_exit_code(rc) : 0;
}

int main(int argc, char **argv)
{
	if (argc < 3 || (strcmp(argv[1], "pins") == 0 && argc < 5)) {
		fprintf(stderr,
			"usage: bench_gpu sanitize|measure DEVICE | check DEVICE [N:K…] | pins DEVICE FILE N:K…\n");
		return 64;
	}
	int rc = backend_open(&be, argv[2], 0);
	if (!rc)
		rc = backend_open(&ref, "cpu_ref", 0);
	if (!rc)
		rc = backend_open(&cpu, "cpu", 0);
	if (rc) {
		fprintf(stderr, "error: %s\n  fix: %s\n", err_text(), err_fix() ? err_fix() : "none");
		return err_exit_code(rc);
	}
	printf("# %s\n", be->numerics);
	if (strcmp(argv[1], "check") == 0) {
		check_products();
		check_rows(argv + 3, argc - 3);
		check_attention();
	} else if (strcmp(argv[1], "sanitize") == 0) {
		for (int form = LINEAR; form <= LINEAR_DW; form++) {
			free(product(be, form, (struct shape){ 130, 96, 72 }));
			free(product(be, form, (struct shape){ 3, 40, 24 }));
		}
		free(attention(be, 0, T));
	} else if (strcmp(argv[1], "measure") == 0) {
		cut = argc > 3 ? 64 : 1;
		measure();
	} else {
		rc = make_pins(argv[3], argv + 4, argc - 4);
	}
	backend_close(be), backend_close(ref), backend_close(cpu);
	return rc ? rc : bad != 0;
}
