/* test_cpu_gemm.c: the matrix products against cpu_ref, and their law: the bits of a row depend on nothing around it. The
 * fallback by BLIS (cpu_blis.c) is held to the same law. */
#include "unit/kernels_help.h"

#include "kernels/kernels_int.h"

typedef void gemm_fn(struct backend *be, float *c, const float *a, const float *b, int M, int N, int K, float beta);

static const struct {
	const char *name;
	gemm_fn *nt, *nn, *tn;
} kinds[] = {
	{ "own", cpu_gemm_nt, cpu_gemm_nn, cpu_gemm_tn },
	{ "blis", cpu_blis_nt, cpu_blis_nn, cpu_blis_tn },
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
				check_parity(kinds[k].nt, ref->gemm_nt, be, ref, M, N, K, (float)beta);
				check_parity(kinds[k].nn, ref->gemm_nn, be, ref, M, N, K, (float)beta);
				check_parity(kinds[k].tn, ref->gemm_tn, be, ref, M, N, K, (float)beta);
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
		gemm_fn *fn = form ? be->gemm_nn : be->gemm_nt;
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

static void test_cpu_gemm__beta_zero_never_reads_c(void **state)
{
	(void)state;
	enum { M = 20, N = 33, K = 300 };
	struct backend *be = open_backend("cpu", 1);
	float *a = random_floats(1, M * K, 1), *b = random_floats(2, N * K, 1), *c = filled_floats(M * N, NAN);
	be->gemm_nt(be, c, a, b, M, N, K, 0);
	for (int i = 0; i < M * N; i++)
		assert_true(isfinite(c[i]));
	/* and a NaN in a row stays in that row */
	a[3 * K + 5] = NAN;
	be->gemm_nt(be, c, a, b, M, N, K, 0);
	for (int i = 0; i < M * N; i++)
		assert_true(isnan(c[i]) == (i / N == 3));
	free(a);
	free(b);
	free(c);
	backend_close(be);
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
		cmocka_unit_test(test_cpu_gemm__beta_zero_never_reads_c),
		cmocka_unit_test(test_cpu_gemm__empty_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
