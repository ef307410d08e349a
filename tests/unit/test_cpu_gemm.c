/* test_cpu_gemm.c: the matrix products against cpu_ref, and their law: the bits of a row depend on nothing around it. The
 * fallback by BLIS (cpu_blis.c) is held to the same law. */
#include "unit/kernels_help.h"

#include "kernels/kernels_int.h"

typedef void gemm_fn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta);

/* nt: c[M,N] = a[M,K] b[N,K]^T     nn: c = a b[K,N]     tn: c = a[K,M]^T b[K,N], each plus beta c */
static struct kernels_weight rows_of(const float *b, int N, int K)
{
	return (struct kernels_weight){ b, N, K, KERNELS_F32, 0 };
}

static void own_nt(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	struct kernels_weight w = rows_of(b, N, K);
	be->linear(be, c, a, &w, &(struct kernels_linear){ M, K, N, NULL, beta });
}

static void own_nn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	struct kernels_weight w = rows_of(b, K, N);
	be->linear_dx(be, c, a, &w, &(struct kernels_linear){ M, N, K, NULL, beta });
}

static void own_tn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	be->linear_dw(be, c, a, b, M, N, &(struct kernels_linear){ K, N, M, NULL, beta });
}

static void blis_nt(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	struct kernels_weight w = rows_of(b, N, K);
	cpu_blis_linear(be, c, a, &w, &(struct kernels_linear){ M, K, N, NULL, beta });
}

static void blis_nn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	struct kernels_weight w = rows_of(b, K, N);
	cpu_blis_linear_dx(be, c, a, &w, &(struct kernels_linear){ M, N, K, NULL, beta });
}

static void blis_tn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta)
{
	cpu_blis_linear_dw(be, c, a, b, M, N, &(struct kernels_linear){ K, N, M, NULL, beta });
}

static const struct {
	const char *name;
	gemm_fn *nt, *nn, *tn;
} kinds[] = {
	{ "own", own_nt, own_nn, own_tn },
	{ "blis", blis_nt, blis_nn, blis_tn },
};

static void check_parity(gemm_fn *fn, gemm_fn *ref_fn, struct backend *be, struct backend *ref, int M, int N, int K,
			 float beta)
{
	size_t n = (size_t)M * (size_t)N;
	float *a = random_floats(1, (size_t)M * (size_t)K, 1), *b = random_floats(2, (size_t)N * (size_t)K, 1);
	float *want = random_floats(3, n, 1), *got = copy_floats(want, n);
	fn(be, got, a, b, M, N, K, beta);
	ref_fn(ref, want, a, b, M, N, K, beta);
	double e = nmse(got, want, n);
	if (!(e < 1e-11))
		fail_msg("M=%d N=%d K=%d beta=%g: NMSE %.3g", M, N, K, (double)beta, e);
	free(a);
	free(b);
	free(want);
	free(got);
}

static void test_cpu_gemm__agrees_with_ref(void **state)
{
	(void)state;
	static const int shapes[][3] = { { 1, 1, 1 },     { 1, 33, 64 },   { 5, 16, 7 },     { 6, 16, 256 },
					 { 7, 17, 257 },  { 96, 192, 64 }, { 97, 193, 100 }, { 13, 200, 600 },
					 { 600, 40, 31 }, { 25, 5, 513 },  { 64, 300, 24 } };
	struct backend *be = open_backend("cpu", 2), *ref = open_backend("cpu_ref", 1);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
			for (int beta = 0; beta < 2; beta++) {
				int M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
				check_parity(kinds[k].nt, own_nt, be, ref, M, N, K, (float)beta);
				check_parity(kinds[k].nn, own_nn, be, ref, M, N, K, (float)beta);
				check_parity(kinds[k].tn, own_tn, be, ref, M, N, K, (float)beta);
			}
	backend_close(be);
	backend_close(ref);
}

/* Rows of a product with M rows are the first M rows of a product with 330. */
static void check_rows(const char *name, gemm_fn *fn, struct backend *be, int N, int K)
{
	enum { ALL = 330 };
	static const int Ms[] = { 1,  2,  3,  4,  5,  6,  7,   8,   11,  12,  13, 24,
				  25, 31, 64, 95, 96, 97, 150, 255, 256, 257, 329 };
	float *a = random_floats(1, (size_t)ALL * (size_t)K, 1), *b = random_floats(2, (size_t)N * (size_t)K, 1);
	float *whole = filled_floats((size_t)ALL * (size_t)N, NAN);
	fn(be, whole, a, b, ALL, N, K, 0);
	for (size_t i = 0; i < ARRAY_LEN(Ms); i++) {
		size_t n = (size_t)Ms[i] * (size_t)N;
		float *part = filled_floats(n, NAN);
		fn(be, part, a, b, Ms[i], N, K, 0);
		if (memcmp(part, whole, n * sizeof(float)) != 0)
			fail_msg("%s: N=%d K=%d: rows of M=%d differ", name, N, K, Ms[i]);
		free(part);
	}
	free(a);
	free(b);
	free(whole);
}

static void test_cpu_gemm__row_does_not_depend_on_rows(void **state)
{
	(void)state;
	static const int NK[][2] = { { 192, 192 }, { 100, 300 }, { 17, 513 }, { 515, 64 } };
	for (int threads = 1; threads <= 2; threads++) {
		struct backend *be = open_backend("cpu", threads);
		for (size_t s = 0; s < ARRAY_LEN(NK); s++)
			for (size_t k = 0; k < (s == 1 ? 2 : 1); k++) { /* BLIS is slow at few rows: one shape */
				check_rows(kinds[k].name, kinds[k].nt, be, NK[s][0], NK[s][1]);
				check_rows(kinds[k].name, kinds[k].nn, be, NK[s][0], NK[s][1]);
			}
		backend_close(be);
	}
}

/* A row alone, taken from the middle: its place among the others does not matter either. */
static void test_cpu_gemm__row_does_not_depend_on_its_place(void **state)
{
	(void)state;
	enum { M = 101, N = 130, K = 300 };
	struct backend *be = open_backend("cpu", 2);
	float *a = random_floats(1, M * K, 1), *b = random_floats(2, N * K, 1), *whole = filled_floats(M * N, 0),
	      row[N];
	for (int form = 0; form < 2; form++) {
		gemm_fn *fn = form ? own_nn : own_nt;
		fn(be, whole, a, b, M, N, K, 0);
		for (int i = 0; i < M; i++) {
			fn(be, row, a + i * K, b, 1, N, K, 0);
			assert_same_bits(row, whole + i * N, N);
		}
	}
	free(a);
	free(b);
	free(whole);
	backend_close(be);
}

static void test_cpu_gemm__threads_change_no_bit(void **state)
{
	(void)state;
	static const int shapes[][3] = { { 130, 70, 600 }, { 1, 600, 512 }, { 1000, 16, 300 }, { 300, 192, 192 } };
	static const int threads[] = { 2, 3, 8 };
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
		for (size_t k = 0; k < (s == 0 ? 2 : 1); k++) /* threads of BLIS spin: one shape */
			for (int form = 0; form < 3; form++) {
				int M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
				size_t n = (size_t)M * (size_t)N;
				gemm_fn *fn = form == 0 ? kinds[k].nt : form == 1 ? kinds[k].nn : kinds[k].tn;
				float *a = random_floats(1, (size_t)M * (size_t)K, 1);
				float *b = random_floats(2, (size_t)N * (size_t)K, 1);
				float *one = random_floats(3, n, 1), *many = filled_floats(n, 0),
				      *begin = copy_floats(one, n);
				struct backend *be = open_backend("cpu", 1);
				fn(be, one, a, b, M, N, K, 1);
				backend_close(be);
				for (size_t t = 0; t < ARRAY_LEN(threads); t++) {
					be = open_backend("cpu", threads[t]);
					memcpy(many, begin, n * sizeof(float));
					fn(be, many, a, b, M, N, K, 1);
					assert_same_bits(many, one, n);
					backend_close(be);
				}
				free(a);
				free(b);
				free(one);
				free(many);
				free(begin);
			}
}

/* A weight in panels of its stored type, with the values that it has as floats. */
static struct kernels_weight packed(struct backend *be, int type, int N, int K, uint64_t seed, float *widened)
{
	size_t n = (size_t)N * (size_t)K;
	struct kernels_weight w = { malloc(be->packed_bytes(be, type, N, K)), N, K, type, 1 };
	float *x = random_floats(seed, n, 1);
	uint16_t *half = malloc(n * 2 + 1);
	assert_non_null(w.data);
	assert_non_null(half);
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		_Float16 h = (_Float16)x[i];
		memcpy(&bits, &x[i], 4);
		half[i] = (uint16_t)(bits >> 16);
		bits &= 0xffff0000u;
		if (type == KERNELS_BF16)
			memcpy(&widened[i], &bits, 4);
		else if (type == KERNELS_F16)
			memcpy(&half[i], &h, 2);
		if (type == KERNELS_F16)
			widened[i] = (float)h;
		else if (type == KERNELS_F32)
			widened[i] = x[i];
	}
	/* in two parts, cut inside a panel, as q, k and v come */
	const void *rows = type == KERNELS_F32 ? (const void *)x : (const void *)half;
	size_t size = type == KERNELS_F32 ? 4 : 2;
	int cut = N / 3;
	be->pack(be, &w, rows, 0, cut);
	be->pack(be, &w, (const char *)rows + (size_t)cut * (size_t)K * size, cut, N - cut);
	void *again = malloc(n * size + 1);
	assert_non_null(again);
	be->unpack(be, again, &w, 0, N);
	assert_memory_equal(again, rows, n * size);
	free(again);
	free(half);
	free(x);
	return w;
}

/* The width of the registers is a matter of speed. Where the machine has one level only, its own bits are compared. */
static void test_cpu_gemm__levels_give_the_same_bits(void **state)
{
	(void)state;
	static const int shapes[][3] = { { 1, 33, 300 },  { 12, 31, 257 },   { 13, 48, 512 },  { 25, 17, 40 },
					 { 96, 64, 256 }, { 301, 530, 520 }, { 48, 600, 768 }, { 3, 5, 7 } };
	struct backend *narrow = open_backend("cpu", 2), *wide = open_backend("cpu", 2);
	assert_int_equal(cpu_choose_level(narrow, 3), 3);
	if (cpu_choose_level(wide, 4) != 4)
		print_message("this machine has no AVX-512: nothing to compare\n");
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
		int M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
		size_t n = (size_t)M * (size_t)N;
		float *a = random_floats(1, (size_t)M * (size_t)K, 1), *b = random_floats(2, (size_t)N * (size_t)K, 1);
		float *was = random_floats(3, n, 1), *values = filled_floats((size_t)N * (size_t)K, 0);
		gemm_fn *const forms[] = { own_nt, own_nn, own_tn };
		for (size_t f = 0; f < ARRAY_LEN(forms) * 2; f++) {
			float *x = copy_floats(was, n), *y = copy_floats(was, n);
			forms[f / 2](narrow, x, a, b, M, N, K, (float)(f % 2));
			forms[f / 2](wide, y, a, b, M, N, K, (float)(f % 2));
			assert_same_bits(x, y, n);
			free(x);
			free(y);
		}
		for (int type = 0; type < 3; type++) {
			struct kernels_weight w = packed(wide, type, N, K, s, values);
			float *x = filled_floats(n, 0), *y = filled_floats(n, 0);
			const struct kernels_linear how = { M, K, N, NULL, 0 };
			narrow->linear(narrow, x, a, &w, &how);
			wide->linear(wide, y, a, &w, &how);
			assert_same_bits(x, y, n);
			free(x);
			free(y);
			free((void *)(uintptr_t)w.data);
		}
		free(a);
		free(b);
		free(was);
		free(values);
	}
	backend_close(narrow);
	backend_close(wide);
}

static void test_cpu_gemm__beta_zero_never_reads_c(void **state)
{
	(void)state;
	enum { M = 20, N = 33, K = 300 };
	struct backend *be = open_backend("cpu", 1);
	float *a = random_floats(1, M * K, 1), *b = random_floats(2, N * K, 1), *c = filled_floats(M * N, NAN);
	own_nt(be, c, a, b, M, N, K, 0);
	for (int i = 0; i < M * N; i++)
		assert_true(isfinite(c[i]));
	/* and a NaN in a row stays in that row */
	a[3 * K + 5] = NAN;
	own_nt(be, c, a, b, M, N, K, 0);
	for (int i = 0; i < M * N; i++)
		assert_true(isnan(c[i]) == (i / N == 3));
	free(a);
	free(b);
	free(c);
	backend_close(be);
}

/* Whatever the form, the type, the strides and the number of rows: one order of operations. */
static void test_cpu_gemm__packed_weights_give_the_bits_of_rows(void **state)
{
	(void)state;
	static const int NK[][2] = { { 96, 300 }, { 17, 513 }, { 130, 64 }, { 5, 7 }, { 549, 40 } };
	static const int Ms[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 24, 47, 48, 49, 97 };
	for (size_t c = 0; c < ARRAY_LEN(NK) * 3 * 2; c++) {
		int N = NK[c / 6][0], K = NK[c / 6][1], type = (int)(c % 3), threads = 1 + (int)(c / 3 % 2);
		enum { ALL = 97, PAD = 3 };
		struct backend *be = open_backend("cpu", threads);
		float *values = filled_floats((size_t)N * (size_t)K, 0);
		struct kernels_weight w = packed(be, type, N, K, c, values), rows = rows_of(values, N, K);
		int xs = K + PAD, ys = N + PAD;
		float *x = random_floats(1, ALL * (size_t)xs, 1), *dy = random_floats(2, ALL * (size_t)ys, 1);
		float *bias = random_floats(3, (size_t)N, 1);
		float *want = filled_floats(ALL * (size_t)ys, 9), *got = filled_floats(ALL * (size_t)ys, 9);
		float *dwant = filled_floats(ALL * (size_t)xs, 9), *dgot = filled_floats(ALL * (size_t)xs, 9);
		for (int beta = 0; beta < 2; beta++) {
			struct kernels_linear how = { ALL, xs, ys, bias, (float)beta };
			be->linear(be, want, x, &rows, &how);
			be->linear_dx(be, dwant, dy, &rows, &how);
			for (size_t m = 0; m < ARRAY_LEN(Ms); m++) {
				how.M = Ms[m];
				size_t ny = (size_t)how.M * (size_t)ys, nx = (size_t)how.M * (size_t)xs;
				for (size_t i = 0; i < ALL * (size_t)ys; i++)
					got[i] = 9;
				for (size_t i = 0; i < ALL * (size_t)xs; i++)
					dgot[i] = 9;
				for (int b = 0; b <= beta; b++) { /* as want has come about */
					how.beta = (float)b;
					be->linear(be, got, x, &w, &how);
					be->linear_dx(be, dgot, dy, &w, &how);
				}
				assert_same_bits(got, want, ny);
				assert_same_bits(dgot, dwant, nx);
			}
		}
		free((void *)(uintptr_t)w.data);
		free(values);
		free(x);
		free(dy);
		free(bias);
		free(want);
		free(got);
		free(dwant);
		free(dgot);
		backend_close(be);
	}
}

static void test_cpu_gemm__packed_and_bias_agree_with_ref(void **state)
{
	(void)state;
	enum { N = 45, K = 270, M = 20 };
	struct backend *be = open_backend("cpu", 2), *ref = open_backend("cpu_ref", 1);
	for (int type = 0; type < 3; type++) {
		float *values = filled_floats(N * K, 0);
		struct kernels_weight w = packed(be, type, N, K, 7, values), v = packed(ref, type, N, K, 7, values);
		float *x = random_floats(1, M * K, 1), *bias = random_floats(2, N, 1);
		float *want = random_floats(3, M * N, 1), *got = copy_floats(want, M * N);
		float *dwant = random_floats(4, M * K, 1), *dgot = copy_floats(dwant, M * K);
		const struct kernels_linear how = { M, K, N, bias, 1 };
		be->linear(be, got, x, &w, &how);
		ref->linear(ref, want, x, &v, &how);
		assert_true(nmse(got, want, M * N) < 1e-11);
		be->linear_dx(be, dgot, want, &w, &how);
		ref->linear_dx(ref, dwant, want, &v, &how);
		assert_true(nmse(dgot, dwant, M * K) < 1e-11);
		free((void *)(uintptr_t)w.data);
		free((void *)(uintptr_t)v.data);
		free(values);
		free(x);
		free(bias);
		free(want);
		free(got);
		free(dwant);
		free(dgot);
	}
	backend_close(be);
	backend_close(ref);
}

static void test_cpu_gemm__empty_sizes(void **state)
{
	(void)state;
	struct backend *be = open_backend("cpu", 2);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		float c[4] = { 1, 2, 3, NAN }, a[1] = { 0 };
		kinds[k].nt(be, c, a, a, 0, 4, 1, 0);
		kinds[k].nn(be, c, a, a, 1, 0, 1, 0);
		assert_true(c[0] == 1 && c[2] == 3);
		kinds[k].tn(be, c, a, a, 1, 3, 0, 1);
		assert_true(c[0] == 1 && c[2] == 3);
		kinds[k].tn(be, c, a, a, 2, 2, 0, 0);
		assert_true(c[0] == 0 && c[3] == 0);
	}
	backend_close(be);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_gemm__agrees_with_ref),
		cmocka_unit_test(test_cpu_gemm__row_does_not_depend_on_rows),
		cmocka_unit_test(test_cpu_gemm__row_does_not_depend_on_its_place),
		cmocka_unit_test(test_cpu_gemm__threads_change_no_bit),
		cmocka_unit_test(test_cpu_gemm__levels_give_the_same_bits),
		cmocka_unit_test(test_cpu_gemm__beta_zero_never_reads_c),
		cmocka_unit_test(test_cpu_gemm__packed_weights_give_the_bits_of_rows),
		cmocka_unit_test(test_cpu_gemm__packed_and_bias_agree_with_ref),
		cmocka_unit_test(test_cpu_gemm__empty_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
