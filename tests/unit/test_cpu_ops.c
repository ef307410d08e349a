/* test_cpu_ops.c: the operations beside products and attention: the fast table against cpu_ref, cpu_ref's backward ones
 * against finite differences of its forward ones, and threads that change no bit. */
#include "unit/kernels_help.h"

enum { T = 150 };
static const int widths[] = { 1, 7, 8, 20, 64, 193 };

static int32_t *random_ints(uint64_t seed, size_t n, int below)
{
	struct rng r;
	int32_t *p = malloc(n * sizeof(*p) + 1);
	assert_non_null(p);
	rng_seed(&r, seed, 78);
	for (size_t i = 0; i < n; i++)
		p[i] = (int32_t)rng_below(&r, (uint64_t)below);
	return p;
}

struct run { /* what an operation wrote, one buffer after the other */
	float *out[4];
	size_t n[4];
};

/* The same call on cpu_ref, on one thread and on three: near the first, equal in the others. */
static void compare(struct run (*call)(struct backend *be, int C), int C, double limit)
{
	struct backend *ref = open_backend("cpu_ref", 1), *one = open_backend("cpu", 1),
		       *three = open_backend("cpu", 3);
	struct run want = call(ref, C), got = call(one, C), again = call(three, C);
	for (size_t i = 0; i < 4 && want.out[i]; i++) {
		assert_nmse(got.out[i], want.out[i], want.n[i], limit);
		assert_same_bits(again.out[i], got.out[i], got.n[i]);
		free(want.out[i]);
		free(got.out[i]);
		free(again.out[i]);
	}
	backend_close(ref);
	backend_close(one);
	backend_close(three);
}

/* ---- one call of each ------------------------------------------------------------------------------------------------ */

static struct run call_rmsnorm(struct backend *be, int C)
{
	size_t n = T * (size_t)C;
	float *x = random_floats(1, n, 2), *w = random_floats(2, (size_t)C, 1), *dout = random_floats(3, n, 1);
	struct run r = { { filled_floats(n, NAN), filled_floats(T, NAN), random_floats(4, n, 1),
			   random_floats(5, (size_t)C, 1) },
			 { n, T, n, (size_t)C } };
	be->rmsnorm(be, r.out[0], r.out[1], x, w, T, C, 1e-5f);
	be->rmsnorm_back(be, r.out[2], r.out[3], dout, x, w, r.out[1], T, C);
	free(x);
	free(w);
	free(dout);
	return r;
}

static struct run call_layernorm(struct backend *be, int C)
{
	size_t n = T * (size_t)C, c = (size_t)C;
	float *x = random_floats(1, n, 2), *w = random_floats(2, c, 1), *b = random_floats(3, c, 1);
	struct run r = { { filled_floats(n, NAN), filled_floats(T, NAN), filled_floats(T, NAN) }, { n, T, T } };
	for (size_t i = 0; i < n; i++)
		x[i] += 3; /* a mean far from 0 */
	be->layernorm(be, r.out[0], r.out[1], r.out[2], x, w, b, T, C, 1e-3f);
	free(x);
	free(w);
	free(b);
	return r;
}

static struct run call_layernorm_back(struct backend *be, int C)
{
	size_t n = T * (size_t)C, c = (size_t)C;
	float *x = random_floats(1, n, 2), *w = random_floats(2, c, 1), *dout = random_floats(3, n, 1);
	float *mean = random_floats(7, T, 1), *rstd = random_floats(8, T, 1);
	struct run r = { { random_floats(4, n, 1), random_floats(5, c, 1), random_floats(6, c, 1) }, { n, c, c } };
	be->layernorm_back(be, r.out[0], r.out[1], r.out[2], dout, x, w, mean, rstd, T, C);
	free(x);
	free(w);
	free(dout);
	free(mean);
	free(rstd);
	return r;
}

enum { HEADS = 3, GAP = 5 };

static struct run call_headnorm(struct backend *be, int D)
{
	int stride = HEADS * D + GAP;
	size_t n = T * (size_t)stride, d = (size_t)D;
	float *x = random_floats(1, n, 2), *w = random_floats(2, d, 1);
	/* the gap between rows is nobody's: 4 stays 4; dx is made in place on dout */
	struct run r = { { filled_floats(n, 4), filled_floats(T * HEADS, NAN), random_floats(3, n, 1),
			   random_floats(4, d, 1) },
			 { n, T * HEADS, n, d } };
	be->headnorm(be, r.out[0], r.out[1], x, w, stride, T, HEADS, D, 1e-5f);
	be->headnorm_back(be, r.out[2], r.out[3], r.out[2], x, w, r.out[1], stride, T, HEADS, D);
	be->headnorm(be, x, r.out[1], x, w, stride, T, HEADS, D, 1e-5f); /* and in place */
	for (int t = 0; t < T; t++)
		for (int i = 0; i < stride; i++) {
			size_t at = (size_t)t * (size_t)stride + (size_t)i;
			if (i < HEADS * D)
				assert_memory_equal(&x[at], &r.out[0][at], sizeof(float));
			else
				assert_true(r.out[0][at] == 4);
		}
	free(x);
	free(w);
	return r;
}

static struct run call_pointwise(struct backend *be, int C)
{
	size_t n = 37 * T * (size_t)C + 3; /* long enough to be divided among threads */
	float *x = random_floats(1, n, 12), *dout = random_floats(2, n, 1);
	struct run r = { { filled_floats(n, NAN), copy_floats(dout, n), copy_floats(x, n), filled_floats(n, NAN) },
			 { n, n, n, n } };
	be->gelu(be, r.out[0], x, n);
	be->gelu_back(be, r.out[1], r.out[1], x, n);
	be->scale(be, r.out[2], n, 0.37f);
	be->dropout(be, r.out[3], x, n, 99, 0.1f);
	free(x);
	free(dout);
	return r;
}

static struct run call_swiglu(struct backend *be, int C)
{
	size_t n = 37 * T * (size_t)C + 3;
	float *gate = random_floats(1, n, 12), *up = random_floats(2, n, 1), *dout = random_floats(3, n, 1);
	struct run r = { { filled_floats(n, NAN), filled_floats(n, NAN), copy_floats(dout, n), copy_floats(up, n) },
			 { n, n, n, n } };
	be->swiglu(be, r.out[0], gate, up, n);
	be->swiglu_back(be, r.out[1], r.out[2], r.out[2], gate, up, n);
	be->add(be, r.out[3], dout, n);
	free(gate);
	free(up);
	free(dout);
	return r;
}

static struct run call_rows(struct backend *be, int C)
{
	enum { FROM = 400 };
	size_t c = (size_t)C, wide = c + GAP;
	float *src = random_floats(1, FROM * wide, 1);
	struct run r = { { random_floats(2, FROM * wide, 1), random_floats(3, c, 1), random_floats(4, FROM * c, 1) },
			 { FROM * wide, c, FROM * c } };
	int32_t rows[T], *ids = random_ints(5, T, FROM);
	for (int i = 0; i < T; i++)
		rows[i] = i % 5 == 3 ? -1 : (i * 7 + 11) % FROM; /* unique */
	be->put_rows(be, r.out[0], (int)wide, src, (int)wide, rows, T, C);
	be->linear_db(be, r.out[1], src, (int)wide, FROM, C);
	be->embed_back(be, r.out[2], src, ids, T, C, FROM);
	free(src);
	free(ids);
	return r;
}

static struct run call_xent(struct backend *be, int V)
{
	float *scale = random_floats(2, T, 1);
	int32_t *target = random_ints(3, T, V);
	struct run r = { { random_floats(1, T * (size_t)V, 9) }, { T * (size_t)V } };
	target[0] = target[T - 1] = -1;
	be->xent_back(be, r.out[0], target, scale, T, V);
	for (int i = 0; i < V; i++)
		assert_true(r.out[0][i] == 0 && r.out[0][(T - 1) * V + i] == 0);
	free(scale);
	free(target);
	return r;
}

static struct run call_adamw(struct backend *be, int C)
{
	size_t n = 37 * T * (size_t)C + 3;
	float *grad = random_floats(1, n, 1);
	struct run r = { { random_floats(2, n, 1), random_floats(3, n, 0.1f), random_floats(4, n, 0.1f) },
			 { n, n, n } };
	const struct kernels_adamw how = { 1e-2f, 0.9f, 0.99f, 1e-8f, 0.1f, 0.5f, 3 };
	for (size_t i = 0; i < n; i++)
		r.out[2][i] = fabsf(r.out[2][i]);
	be->adamw(be, r.out[0], grad, r.out[1], r.out[2], n, &how);
	free(grad);
	return r;
}

static void test_cpu_ops__agree_with_ref(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
		compare(call_rmsnorm, widths[i], 1e-11);
		compare(call_layernorm, widths[i], 1e-11);
		compare(call_layernorm_back, widths[i], 1e-11);
		compare(call_headnorm, widths[i], 1e-11);
		compare(call_rows, widths[i], 1e-12);
		compare(call_xent, widths[i], 1e-11);
	}
	compare(call_pointwise, 8, 1e-12);
	compare(call_swiglu, 8, 1e-12);
	compare(call_adamw, 8, 1e-12);
}

/* ---- embeddings ------------------------------------------------------------------------------------------------------- */

/* Rows and panels of every type give the value that was stored; add adds. */
static void test_cpu_embed__every_form(void **state)
{
	(void)state;
	enum { V = 53, C = 21 };
	static const char *const specs[] = { "cpu", "cpu_ref" };
	static const uint16_t bits[] = { 0, 0x8000, 1, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff, 0x3555 };
	static const float f16[] = { 0, -0.0f, 0x1p-24f, 0x3ffp-24f, 0x1p-14f, 1, -1, 65504, 0x1.554p-2f };
	int32_t *ids = random_ints(1, T, V);
	for (size_t s = 0; s < ARRAY_LEN(specs); s++)
		for (int type = 0; type < 3; type++) {
			struct backend *be = open_backend(specs[s], 3);
			float *x = random_floats(2, V * C, 1), *out = random_floats(3, T * C, 1),
			      *was = copy_floats(out, T * C);
			uint16_t *half = malloc(V * C * sizeof(*half));
			assert_non_null(half);
			for (size_t i = 0; i < V * C; i++) { /* values that the type has */
				uint32_t u;
				memcpy(&u, &x[i], 4);
				u &= 0xffff0000u;
				half[i] = type == KERNELS_BF16 ? (uint16_t)(u >> 16) : bits[i % ARRAY_LEN(bits)];
				if (type == KERNELS_BF16)
					memcpy(&x[i], &u, 4);
				else if (type == KERNELS_F16)
					x[i] = f16[i % ARRAY_LEN(f16)];
			}
			struct kernels_weight w = { malloc(be->packed_bytes(be, type, V, C)), V, C, type, 1 };
			assert_non_null(w.data);
			be->pack(be, &w, type == KERNELS_F32 ? (void *)x : (void *)half, 0, V);
			be->embed(be, out, &w, ids, T, true);
			for (int i = 0; i < T * C; i++)
				assert_true(out[i] == was[i] + x[ids[i / C] * C + i % C]);
			be->embed(be, out, &w, ids, T, false);
			for (int i = 0; i < T * C; i++)
				assert_memory_equal(&out[i], &x[ids[i / C] * C + i % C], 4);
			free((void *)(uintptr_t)w.data);
			w = (struct kernels_weight){ x, V, C, KERNELS_F32, 0 };
			be->embed(be, was, &w, ids, T, false);
			assert_same_bits(was, out, T * C);
			free(x);
			free(out);
			free(was);
			free(half);
			backend_close(be);
		}
	free(ids);
}

/* ---- dropout ---------------------------------------------------------------------------------------------------------- */

static void test_cpu_dropout__rate_stream_and_ends(void **state)
{
	(void)state;
	enum { N = 100003 };
	struct backend *be = open_backend("cpu", 2), *ref = open_backend("cpu_ref", 1);
	float *x = filled_floats(N, 1), *a = filled_floats(N, NAN), *b = filled_floats(N, NAN);
	int zeros = 0, equal = 0;
	be->dropout(be, a, x, N, 7, 0.25f);
	ref->dropout(ref, b, x, N, 7, 0.25f);
	for (int i = 0; i < N; i++) {
		zeros += a[i] == 0;
		assert_true((a[i] == 0) == (b[i] == 0));
		assert_true(a[i] == 0 || fabsf(a[i] - 4.0f / 3) < 1e-6f);
	}
	assert_in_range(zeros, N / 4 - 700, N / 4 + 700); /* five standard deviations */
	be->dropout(be, b, x, N, 8, 0.25f);
	for (int i = 0; i < N; i++)
		equal += (a[i] == 0) == (b[i] == 0);
	assert_in_range(equal, N * 5 / 8 - 800, N * 5 / 8 + 800); /* another stream is independent of it */
	be->dropout(be, a, x, N, 7, 0);
	assert_same_bits(a, x, N);
	free(x);
	free(a);
	free(b);
	backend_close(be);
	backend_close(ref);
}

/* ---- finite differences: cpu_ref's backward operations are those of its forward ones ---------------------------------- */

enum { FT = 3, FC = 6, FN = FT * FC };

/* What of a parameter array changes the loss sum(dout f(...)): a forward run with everything at hand */
struct probe {
	struct backend *be;
	float x[FN], w[FC], b[FC], dout[FN];
};

static double loss_of(const struct probe *p, const float *out)
{
	double sum = 0;
	(void)p;
	for (int i = 0; i < FN; i++)
		sum += (double)out[i] * (double)p->dout[i];
	return sum;
}

static double loss_rmsnorm(const struct probe *p)
{
	float out[FN], rstd[FT];
	p->be->rmsnorm(p->be, out, rstd, p->x, p->w, FT, FC, 1e-3f);
	return loss_of(p, out);
}

static double loss_layernorm(const struct probe *p)
{
	float out[FN], mean[FT], rstd[FT];
	p->be->layernorm(p->be, out, mean, rstd, p->x, p->w, p->b, FT, FC, 1e-3f);
	return loss_of(p, out);
}

static double loss_headnorm(const struct probe *p)
{
	float out[FN], rstd[FT * 2];
	p->be->headnorm(p->be, out, rstd, p->x, p->w, FC, FT, 2, FC / 2, 1e-3f);
	return loss_of(p, out);
}

static double loss_gelu(const struct probe *p)
{
	float out[FN];
	p->be->gelu(p->be, out, p->x, FN);
	return loss_of(p, out);
}

static double loss_xent(const struct probe *p)
{
	static const int32_t target[] = { 1, -1, 4 };
	static const double scale[] = { 0.5, 3, -2 };
	double logprob[FT], sum = 0;
	for (int t = 0; t < FT; t++)
		if (target[t] >= 0) {
			p->be->logprob(p->be, logprob, NULL, p->x + t * FC, NULL, &target[t], 1, FC);
			sum -= scale[t] * logprob[0];
		}
	return sum;
}

static void check_slope(struct probe *p, double (*loss)(const struct probe *p), float *at, const float *grad, int n,
			const char *what)
{
	for (int i = 0; i < n; i++) {
		const float was = at[i], step = 1e-2f;
		at[i] = was + step;
		double up = loss(p), width = (double)at[i];
		at[i] = was - step;
		double down = loss(p);
		width -= (double)at[i];
		at[i] = was;
		double slope = (up - down) / width;
		if (fabs(slope - (double)grad[i]) > 2e-3 * (1 + fabs(slope)))
			fail_msg("%s[%d]: %.6g, by differences %.6g", what, i, (double)grad[i], slope);
	}
}

static void probe_init(struct probe *p, struct backend *be)
{
	float *r = random_floats(21, 2 * FN + 2 * FC, 1);
	p->be = be;
	memcpy(p->x, r, sizeof(p->x));
	memcpy(p->dout, r + FN, sizeof(p->dout));
	memcpy(p->w, r + 2 * FN, sizeof(p->w));
	memcpy(p->b, r + 2 * FN + FC, sizeof(p->b));
	free(r);
}

static void check_slopes(struct backend *be)
{
	struct probe p;
	float out[FN], mean[FT], rstd[FT * 2];
	probe_init(&p, be);

	float dx[FN] = { 0 }, dw[FC] = { 0 }, db[FC] = { 0 };
	be->rmsnorm(be, out, rstd, p.x, p.w, FT, FC, 1e-3f);
	be->rmsnorm_back(be, dx, dw, p.dout, p.x, p.w, rstd, FT, FC);
	check_slope(&p, loss_rmsnorm, p.x, dx, FN, "rmsnorm dx");
	check_slope(&p, loss_rmsnorm, p.w, dw, FC, "rmsnorm dw");

	memset(dx, 0, sizeof(dx));
	memset(dw, 0, sizeof(dw));
	be->layernorm(be, out, mean, rstd, p.x, p.w, p.b, FT, FC, 1e-3f);
	be->layernorm_back(be, dx, dw, db, p.dout, p.x, p.w, mean, rstd, FT, FC);
	check_slope(&p, loss_layernorm, p.x, dx, FN, "layernorm dx");
	check_slope(&p, loss_layernorm, p.w, dw, FC, "layernorm dw");
	check_slope(&p, loss_layernorm, p.b, db, FC, "layernorm db");

	memset(dw, 0, sizeof(dw));
	be->headnorm(be, out, rstd, p.x, p.w, FC, FT, 2, FC / 2, 1e-3f);
	be->headnorm_back(be, dx, dw, p.dout, p.x, p.w, rstd, FC, FT, 2, FC / 2);
	check_slope(&p, loss_headnorm, p.x, dx, FN, "headnorm dx");
	check_slope(&p, loss_headnorm, p.w, dw, FC / 2, "headnorm dw");

	be->gelu_back(be, dx, p.dout, p.x, FN);
	check_slope(&p, loss_gelu, p.x, dx, FN, "gelu dx");

	static const int32_t target[] = { 1, -1, 4 };
	static const float scale[] = { 0.5f, 3, -2 };
	memcpy(dx, p.x, sizeof(dx));
	be->xent_back(be, dx, target, scale, FT, FC);
	check_slope(&p, loss_xent, p.x, dx, FN, "xent dx");
}

static void test_cpu_ops__gradients_are_slopes(void **state)
{
	(void)state;
	static const char *const specs[] = { "cpu_ref", "cpu" };
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct backend *be = open_backend(specs[i], 1);
		check_slopes(be);
		backend_close(be);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_ops__agree_with_ref),
		cmocka_unit_test(test_cpu_embed__every_form),
		cmocka_unit_test(test_cpu_dropout__rate_stream_and_ends),
		cmocka_unit_test(test_cpu_ops__gradients_are_slopes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
