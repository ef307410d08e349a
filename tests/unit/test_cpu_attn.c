/* test_cpu_attn.c: attention against cpu_ref, gradients against finite differences of attention written plainly in doubles,
 * and its law: a query's bits depend on its own position and the keys before it, not on the cache, the batch, the block or
 * the number of threads. */
#include "unit/kernels_help.h"

#include "kernels/kernels_int.h"

struct shape {
	int heads, kv_heads, D, window;
};
static const struct shape shapes[] = { { 4, 4, 32, 0 },  { 4, 2, 64, 0 },  { 6, 1, 16, 0 },  { 3, 3, 20, 0 },
				       { 2, 1, 5, 0 },   { 8, 2, 128, 0 }, { 4, 2, 16, 1 },  { 4, 2, 16, 7 },
				       { 3, 1, 20, 63 }, { 2, 2, 16, 64 }, { 2, 1, 32, 100 } };

static int width(const struct shape *s)
{
	return (s->heads + 2 * s->kv_heads) * s->D;
}

static struct kernels_attn fused(const struct shape *s) /* q, k and v side by side in one buffer */
{
	return (struct kernels_attn){ .heads = s->heads,
				      .kv_heads = s->kv_heads,
				      .head_dim = s->D,
				      .q_stride = width(s),
				      .kv_stride = width(s),
				      .o_stride = s->heads * s->D,
				      .scale = 1.0f / sqrtf((float)s->D),
				      .window = s->window };
}

static const float *k_of(const float *qkv, const struct shape *s)
{
	return qkv + s->heads * s->D;
}

static const float *v_of(const float *qkv, const struct shape *s)
{
	return qkv + (s->heads + s->kv_heads) * s->D;
}

/* The width of the registers is a matter of speed, forward and backward. */
static void test_cpu_attn__levels_give_the_same_bits(void **state)
{
	(void)state;
	static const int32_t starts[] = { 0, 1, 12, 75, 204, 341 };
	struct backend *narrow = open_backend("cpu", 2), *wide = open_backend("cpu", 2);
	assert_int_equal(cpu_choose_level(narrow, 3), 3);
	if (cpu_choose_level(wide, 4) != 4)
		print_message("this machine has no AVX-512: nothing to compare\n");
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct kernels_attn a = fused(s);
		struct kernels_seqs seqs = { .n = 5, .q_start = starts, .k_start = starts };
		size_t T = 341, n = T * (size_t)a.o_stride, h = T * (size_t)s->heads, w = T * (size_t)width(s);
		float *qkv = random_floats(i, w, 2), *dout = random_floats(i + 90, n, 1);
		float *out[2], *lse[2], *d[2];
		for (int b = 0; b < 2; b++) {
			struct backend *be = b ? wide : narrow;
			out[b] = filled_floats(n, NAN), lse[b] = filled_floats(h, NAN), d[b] = filled_floats(w, NAN);
			be->attn(be, out[b], lse[b], qkv, k_of(qkv, s), v_of(qkv, s), &seqs, &a);
			be->attn_back(be, d[b], d[b] + s->heads * s->D, d[b] + (s->heads + s->kv_heads) * s->D, dout,
				      out[b], lse[b], qkv, k_of(qkv, s), v_of(qkv, s), &seqs, &a);
		}
		assert_same_bits(out[0], out[1], n);
		assert_same_bits(lse[0], lse[1], h);
		assert_same_bits(d[0], d[1], w);
		for (int b = 0; b < 2; b++)
			free(out[b]), free(lse[b]), free(d[b]);
		free(qkv);
		free(dout);
	}
	backend_close(narrow);
	backend_close(wide);
}

static void test_cpu_attn__agrees_with_ref(void **state)
{
	(void)state;
	static const int32_t starts[][5] = { { 0, 1, 2, 4, 9 }, { 0, 63, 127, 192, 257 }, { 0, 128, 133, 200, 201 } };
	struct backend *be = open_backend("cpu", 2), *ref = open_backend("cpu_ref", 1);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (size_t j = 0; j < ARRAY_LEN(starts); j++) {
			const struct shape *s = &shapes[i];
			struct kernels_attn a = fused(s);
			struct kernels_seqs seqs = { .n = 4, .q_start = starts[j], .k_start = starts[j] };
			size_t T = (size_t)starts[j][4], n = T * (size_t)a.o_stride, h = T * (size_t)s->heads;
			float *qkv = random_floats(i, T * (size_t)width(s), 2);
			float *got = filled_floats(n, NAN), *want = filled_floats(n, NAN);
			float *got_lse = filled_floats(h, NAN), *want_lse = filled_floats(h, NAN);
			be->attn(be, got, got_lse, qkv, k_of(qkv, s), v_of(qkv, s), &seqs, &a);
			ref->attn(ref, want, want_lse, qkv, k_of(qkv, s), v_of(qkv, s), &seqs, &a);
			assert_nmse(got, want, n, 1e-12);
			assert_nmse(got_lse, want_lse, h, 1e-12);
			free(got_lse);
			got_lse = copy_floats(got, n);
			be->attn(be, got, NULL, qkv, k_of(qkv, s), v_of(qkv, s), &seqs, &a);
			assert_same_bits(got, got_lse, n);
			free(qkv);
			free(got);
			free(want);
			free(got_lse);
			free(want_lse);
		}
	backend_close(be);
	backend_close(ref);
}

/* Each position alone behind a cache of exactly its keys, against the whole sequence: lengths 1..200. */
static void test_cpu_attn__alone_behind_a_cache_is_the_same(void **state)
{
	(void)state;
	enum { T = 200 };
	struct backend *be = open_backend("cpu", 2);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct kernels_attn a = fused(s);
		size_t row = (size_t)width(s), o = (size_t)a.o_stride;
		float *qkv = random_floats(i, T * row, 2), *whole = filled_floats(T * o, NAN),
		      *one = filled_floats(o, NAN);
		float *lse = filled_floats((size_t)(T * s->heads), NAN),
		      *one_lse = filled_floats((size_t)s->heads, NAN);
		int32_t all[] = { 0, T };
		be->attn(be, whole, lse, qkv, k_of(qkv, s), v_of(qkv, s),
			 &(struct kernels_seqs){ .n = 1, .q_start = all, .k_start = all }, &a);
		for (int t = 0; t < T; t++) {
			/* a cache that ends where the keys end: one read too far is seen by the sanitizer */
			float *cache = copy_floats(qkv, (size_t)(t + 1) * row);
			int32_t q[] = { 0, 1 }, k[] = { 0, t + 1 };
			be->attn(be, one, one_lse, cache + (size_t)t * row, k_of(cache, s), v_of(cache, s),
				 &(struct kernels_seqs){ .n = 1, .q_start = q, .k_start = k }, &a);
			assert_same_bits(one, whole + (size_t)t * o, o);
			assert_same_bits(one_lse, lse + t * s->heads, s->heads);
			free(cache);
		}
		free(qkv);
		free(whole);
		free(one);
		free(lse);
		free(one_lse);
	}
	backend_close(be);
}

/* A sequence in chunks of every size, its keys somewhere in a larger cache, beside another sequence. */
static void test_cpu_attn__chunks_and_neighbours_change_no_bit(void **state)
{
	(void)state;
	enum { T = 150, REGION = 170 };
	static const int chunks[] = { 1, 2, 7, 59, 60, 61, 64, 65, 149 };
	struct backend *be = open_backend("cpu", 2);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct kernels_attn a = fused(s);
		size_t row = (size_t)width(s), o = (size_t)a.o_stride;
		float *x = random_floats(i, T * row, 2), *y = random_floats(i + 50, T * row, 2);
		float *whole = filled_floats(T * o, NAN), *part = filled_floats(2 * T * o, NAN);
		int32_t all[] = { 0, T };
		be->attn(be, whole, NULL, x, k_of(x, s), v_of(x, s),
			 &(struct kernels_seqs){ .n = 1, .q_start = all, .k_start = all }, &a);
		/* both caches in one buffer, y first, NaN where there is nothing */
		float *cache = filled_floats(2 * REGION * row, NAN), *q = filled_floats(2 * T * row, NAN);
		memcpy(cache, y, T * row * sizeof(float));
		memcpy(cache + REGION * row, x, T * row * sizeof(float));
		for (size_t c = 0; c < ARRAY_LEN(chunks); c++)
			for (int at = 0; at < T; at += chunks[c]) {
				int n = T - at < chunks[c] ? T - at : chunks[c];
				/* y gives its last 3 queries, x a chunk of its own */
				memcpy(q, y + (T - 3) * row, 3 * row * sizeof(float));
				memcpy(q + 3 * row, x + (size_t)at * row, (size_t)n * row * sizeof(float));
				int32_t q_start[] = { 0, 3, 3 + n }, k_start[] = { 0, T, T + at + n }, k_rows[2 * T];
				for (int t = 0; t < T; t++)
					k_rows[t] = -1 - t;
				/* of x, what lies before the chunk is in the cache, the chunk itself in the batch */
				for (int t = 0; t < at + n; t++)
					k_rows[T + t] = t < at ? -1 - (REGION + t) : 3 + t - at;
				be->attn(be, part, NULL, q, k_of(q, s), v_of(q, s),
					 &(struct kernels_seqs){ .n = 2,
								 .q_start = q_start,
								 .k_start = k_start,
								 .k_rows = k_rows,
								 .cache_k = k_of(cache, s),
								 .cache_v = v_of(cache, s),
								 .cache_stride = (int)row },
					 &a);
				assert_same_bits(part + 3 * o, whole + (size_t)at * o, (size_t)n * o);
			}
		free(x);
		free(y);
		free(whole);
		free(part);
		free(cache);
		free(q);
	}
	backend_close(be);
}

/* Short sequences behind a trunk share tasks: each has the bits of its whole sequence alone. */
static void test_cpu_attn__choices_behind_one_trunk(void **state)
{
	(void)state;
	enum { TRUNK = 150, CHOICES = 24, MORE = 7 };
	static const int behind[] = { 150, 150, 150, 130, 64, 63, 150, 127, 128, 129, 1, 150 };
	for (int i = 0; i < (int)ARRAY_LEN(shapes) * 2; i++) {
		const struct shape *s = &shapes[i / 2];
		struct kernels_attn a = fused(s);
		struct backend *be = open_backend("cpu", i % 2 ? 3 : 1);
		size_t row = (size_t)width(s), o = (size_t)a.o_stride, T = TRUNK + CHOICES * MORE;
		float *x = random_floats((uint64_t)i, T * row, 2), *got = filled_floats(T * o, NAN);
		float *alone = filled_floats(T * row, 0), *want = filled_floats(T * o, NAN);
		int32_t q_start[CHOICES + 2] = { 0, TRUNK }, k_start[CHOICES + 2] = { 0, TRUNK };
		int32_t k_rows[TRUNK + CHOICES * (TRUNK + MORE)];
		for (int t = 0; t < TRUNK; t++)
			k_rows[t] = t;
		for (int c = 0; c < CHOICES; c++) {
			int n = 1 + c * 5 % MORE, at = behind[c % (int)ARRAY_LEN(behind)];
			int32_t *rows = k_rows + k_start[c + 1];
			for (int t = 0; t < at + n; t++)
				rows[t] = t < at ? t : q_start[c + 1] + t - at;
			q_start[c + 2] = q_start[c + 1] + n;
			k_start[c + 2] = k_start[c + 1] + at + n;
		}
		be->attn(be, got, NULL, x, k_of(x, s), v_of(x, s),
			 &(struct kernels_seqs){
				 .n = CHOICES + 1, .q_start = q_start, .k_start = k_start, .k_rows = k_rows },
			 &a);
		for (int c = 0; c <= CHOICES; c++) {
			int n = q_start[c + 1] - q_start[c], all = k_start[c + 1] - k_start[c];
			int32_t whole[] = { 0, all };
			for (int t = 0; t < all; t++)
				memcpy(alone + (size_t)t * row, x + (size_t)k_rows[k_start[c] + t] * row,
				       row * sizeof(float));
			be->attn(be, want, NULL, alone, k_of(alone, s), v_of(alone, s),
				 &(struct kernels_seqs){ .n = 1, .q_start = whole, .k_start = whole }, &a);
			assert_same_bits(got + (size_t)q_start[c] * o, want + (size_t)(all - n) * o, (size_t)n * o);
		}
		free(x);
		free(got);
		free(alone);
		free(want);
		backend_close(be);
	}
}

/* What comes later in the sequence, were it NaN, does not reach a row. */
static void test_cpu_attn__future_keys_are_never_read_into_a_row(void **state)
{
	(void)state;
	enum { T = 130, CUT = 70 };
	const struct shape *s = &shapes[1];
	struct kernels_attn a = fused(s);
	struct backend *be = open_backend("cpu", 1);
	size_t row = (size_t)width(s), o = (size_t)a.o_stride;
	float *qkv = random_floats(9, T * row, 2), *clean = filled_floats(T * o, 0), *spoilt = filled_floats(T * o, 0);
	int32_t all[] = { 0, T };
	struct kernels_seqs seqs = { .n = 1, .q_start = all, .k_start = all };
	be->attn(be, clean, NULL, qkv, k_of(qkv, s), v_of(qkv, s), &seqs, &a);
	for (size_t i = CUT * row; i < T * row; i++)
		qkv[i] = i % 3 ? NAN : INFINITY;
	be->attn(be, spoilt, NULL, qkv, k_of(qkv, s), v_of(qkv, s), &seqs, &a);
	assert_same_bits(clean, spoilt, CUT * o);
	for (size_t i = CUT * o; i < T * o; i++)
		assert_true(isnan(spoilt[i]));
	free(qkv);
	free(clean);
	free(spoilt);
	backend_close(be);
}

struct grads {
	float *dq, *dk, *dv;
};

static struct grads run_back(struct backend *be, const struct shape *s, const float *qkv, const float *dout, size_t T,
			     const struct kernels_seqs *seqs)
{
	struct kernels_attn a = fused(s);
	size_t n = T * (size_t)a.o_stride, row = (size_t)width(s);
	float *out = filled_floats(n, NAN), *lse = filled_floats(T * (size_t)s->heads, NAN);
	float *d = filled_floats(T * row, NAN); /* fused as well */
	struct grads g = { d, d + s->heads * s->D, d + (s->heads + s->kv_heads) * s->D };
	be->attn(be, out, lse, qkv, k_of(qkv, s), v_of(qkv, s), seqs, &a);
	be->attn_back(be, g.dq, g.dk, g.dv, dout, out, lse, qkv, k_of(qkv, s), v_of(qkv, s), seqs, &a);
	free(out);
	free(lse);
	return g;
}

static void test_cpu_attn_back__agrees_with_ref(void **state)
{
	(void)state;
	static const int32_t starts[][4] = { { 0, 1, 3, 10 }, { 0, 63, 127, 192 }, { 0, 130, 131, 196 } };
	struct backend *be = open_backend("cpu", 2), *ref = open_backend("cpu_ref", 1);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (size_t j = 0; j < ARRAY_LEN(starts); j++) {
			const struct shape *s = &shapes[i];
			size_t T = (size_t)starts[j][3], n = T * (size_t)width(s);
			struct kernels_seqs seqs = { .n = 3, .q_start = starts[j], .k_start = starts[j] };
			float *qkv = random_floats(i, n, 2),
			      *dout = random_floats(i + 9, T * (size_t)(s->heads * s->D), 1);
			struct grads got = run_back(be, s, qkv, dout, T, &seqs),
				     want = run_back(ref, s, qkv, dout, T, &seqs);
			assert_nmse(got.dq, want.dq, n, 1e-11);
			free(qkv);
			free(dout);
			free(got.dq);
			free(want.dq);
		}
	backend_close(be);
	backend_close(ref);
}

/* Threads, and the company of other sequences, change no bit of a gradient. */
static void test_cpu_attn_back__alone_and_in_company(void **state)
{
	(void)state;
	static const int32_t starts[] = { 0, 20, 150, 230, 231 };
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		size_t T = 231, row = (size_t)width(s), o = (size_t)(s->heads * s->D);
		float *qkv = random_floats(i, T * row, 2), *dout = random_floats(i + 9, T * o, 1);
		struct backend *one = open_backend("cpu", 1), *three = open_backend("cpu", 3);
		struct kernels_seqs seqs = { .n = 4, .q_start = starts, .k_start = starts };
		struct grads a = run_back(one, s, qkv, dout, T, &seqs), b = run_back(three, s, qkv, dout, T, &seqs);
		assert_same_bits(a.dq, b.dq, T * row);
		int32_t alone[] = { 0, 130 };
		struct grads c = run_back(one, s, qkv + 20 * row, dout + 20 * o, 130,
					  &(struct kernels_seqs){ .n = 1, .q_start = alone, .k_start = alone });
		assert_same_bits(c.dq, a.dq + 20 * row, 130 * row);
		free(a.dq);
		free(b.dq);
		free(c.dq);
		free(qkv);
		free(dout);
		backend_close(one);
		backend_close(three);
	}
}

/* ---- finite differences ------------------------------------------------------------------------------------------------- */

/* The loss sum(dout out) of one query head over one sequence of n tokens, whose first row is x's first: softmax(scale q k) v
 * by its definition, over the keys that a query may see. */
static double plain_loss(const struct shape *s, const double *x, const float *dout, int n, int h)
{
	int row = width(s), q0 = h * s->D, k0 = (s->heads + h / (s->heads / s->kv_heads)) * s->D;
	int v0 = k0 + s->kv_heads * s->D;
	double loss = 0, scale = 1 / sqrt((double)s->D);
	for (int i = 0; i < n; i++) {
		int from = s->window && i >= s->window ? i - s->window + 1 : 0;
		double sum = 0, weighted = 0;
		for (int j = from; j <= i; j++) {
			double score = 0, value = 0;
			for (int d = 0; d < s->D; d++) {
				score += x[i * row + q0 + d] * x[j * row + k0 + d];
				value += (double)dout[i * s->heads * s->D + q0 + d] * x[j * row + v0 + d];
			}
			sum += exp(scale * score);
			weighted += exp(scale * score) * value;
		}
		loss += weighted / sum;
	}
	return loss;
}

/* Of all heads that see column c of the fused rows. */
static double loss_at(const struct shape *s, const double *x, const float *dout, int n, int c)
{
	int head = c / s->D, group = s->heads / s->kv_heads;
	if (head < s->heads)
		return plain_loss(s, x, dout, n, head);
	double loss = 0;
	for (int h = 0; h < group; h++)
		loss += plain_loss(s, x, dout, n, (head - s->heads) % s->kv_heads * group + h);
	return loss;
}

/* want[n, width]: central differences, of every number of one sequence */
static void differences(float *want, const struct shape *s, const float *qkv, const float *dout, int n)
{
	const double step = 3e-5;
	int row = width(s);
	double *x = malloc((size_t)(n * row) * sizeof(*x));
	assert_non_null(x);
	for (int i = 0; i < n * row; i++)
		x[i] = (double)qkv[i];
	for (int i = 0; i < n * row; i++) {
		double was = x[i];
		x[i] = was + step;
		double above = loss_at(s, x, dout, n, i % row);
		x[i] = was - step;
		want[i] = (float)((above - loss_at(s, x, dout, n, i % row)) / (2 * step));
		x[i] = was;
	}
	free(x);
}

/* q, k and v apart: a large one must not hide a small one. Behind a window of one key there is nothing but zeros. */
static void assert_gradient(const char *spec, const struct shape *s, const float *got, const float *want, size_t T)
{
	const int at[] = { 0, s->heads * s->D, (s->heads + s->kv_heads) * s->D, width(s) };
	for (int part = 0; part < 3; part++) {
		double error = 0, sum = 0;
		for (size_t t = 0; t < T; t++)
			for (int c = at[part]; c < at[part + 1]; c++) {
				size_t i = t * (size_t)at[3] + (size_t)c;
				double d = (double)got[i] - (double)want[i];
				error += d * d;
				sum += (double)want[i] * (double)want[i] + 1e-3;
			}
		if (!(error < 1e-11 * sum))
			fail_msg("%s: d%c of %d/%d heads of %d, window %d: NMSE %.3g", spec, "qkv"[part], s -> heads,
				 s -> kv_heads, s -> D, s -> window, error / sum);
	}
}

static void test_attn_back__is_the_gradient(void **state)
{
	(void)state;
	static const struct shape some[] = { { 2, 2, 8, 0 }, { 4, 2, 5, 0 }, { 6, 1, 3, 0 }, { 3, 3, 1, 0 },
					     { 4, 2, 7, 1 }, { 3, 1, 5, 4 }, { 4, 2, 3, 64 } };
	static const int32_t starts[] = { 0, 1, 4, 70, 79 }; /* 66: over the border of a tile */
	enum { T = 79 };
	struct backend *back_ends[] = { open_backend("cpu_ref", 1), open_backend("cpu", 2) };
	for (size_t i = 0; i < ARRAY_LEN(some); i++) {
		const struct shape *s = &some[i];
		size_t row = (size_t)width(s), o = (size_t)(s->heads * s->D);
		struct kernels_seqs seqs = { .n = 4, .q_start = starts, .k_start = starts };
		float *qkv = random_floats(i, T * row, 2), *dout = random_floats(i + 9, T * o, 1);
		float *want = filled_floats(T * row, NAN);
		for (int j = 0; j < seqs.n; j++)
			differences(want + (size_t)starts[j] * row, s, qkv + (size_t)starts[j] * row,
				    dout + (size_t)starts[j] * o, starts[j + 1] - starts[j]);
		for (size_t b = 0; b < ARRAY_LEN(back_ends); b++) {
			struct grads got = run_back(back_ends[b], s, qkv, dout, T, &seqs);
			assert_gradient(back_ends[b]->name, s, got.dq, want, T);
			free(got.dq);
		}
		free(qkv);
		free(dout);
		free(want);
	}
	backend_close(back_ends[0]);
	backend_close(back_ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_attn__agrees_with_ref),
		cmocka_unit_test(test_cpu_attn__levels_give_the_same_bits),
		cmocka_unit_test(test_cpu_attn__alone_behind_a_cache_is_the_same),
		cmocka_unit_test(test_cpu_attn__chunks_and_neighbours_change_no_bit),
		cmocka_unit_test(test_cpu_attn__choices_behind_one_trunk),
		cmocka_unit_test(test_cpu_attn__future_keys_are_never_read_into_a_row),
		cmocka_unit_test(test_cpu_attn_back__agrees_with_ref),
		cmocka_unit_test(test_cpu_attn_back__alone_and_in_company),
		cmocka_unit_test(test_attn_back__is_the_gradient),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
