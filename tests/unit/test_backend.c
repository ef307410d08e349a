/* test_backend.c: opening devices by name, what is said when one is missing, and the memory of the CPU back ends. */
#include "unit/kernels_help.h"

#include <omp.h>
#include <sched.h>

static void test_backend_open__names(void **state)
{
	(void)state;
	static const char *const specs[][2] = { { "auto", "cpu" }, { "cpu", "cpu" }, { "cpu_ref", "cpu_ref" } };
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct backend *be = open_backend(specs[i][0], 0);
		assert_string_equal(be->name, specs[i][1]);
		assert_true(strncmp(be->numerics, be->name, strlen(be->name)) == 0);
		assert_true(be->threads >= 1);
		backend_close(be);
	}
	backend_close(NULL);
}

static void test_backend_open__tables_are_whole(void **state)
{
	(void)state;
	static const char *const specs[] = { "cpu", "cpu_ref" };
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct backend *be = open_backend(specs[i], 1);
		assert_true(be->alloc && be->free && be->upload && be->download && be->copy && be->zero && be->sync);
		assert_true(be->packed_bytes && be->pack && be->unpack && be->linear && be->linear_dx && be->linear_dw);
		assert_true(be->linear_db && be->embed && be->embed_back && be->rmsnorm && be->layernorm &&
			    be->layernorm_back && be->headnorm && be->headnorm_back);
		assert_true(be->gelu && be->gelu_back && be->dropout && be->scale && be->put_rows);
		assert_true(be->rmsnorm_back && be->rope && be->attn && be->attn_back && be->swiglu && be->swiglu_back);
		assert_true(be->add && be->gather && be->scatter_add && be->logprob && be->xent_back && be->sumsq &&
			    be->adamw);
		backend_close(be);
	}
}

static void test_backend_open__bad_spec_is_usage(void **state)
{
	(void)state;
	static const char *const bad[] = { "",
					   "gpu",
					   "CPU",
					   "cpu:0",
					   "cuda:",
					   "cuda:x",
					   "cuda:-1",
					   "cuda:1x",
					   "cuda0",
					   "cuda: 1",
					   "cuda:99999999999999999999",
					   "cuda:1024",
					   "cuda/",
					   "cuda/fp32",
					   "cuda:0/bf16 ",
					   "/bf16",
					   "cpu/f32",
					   "auto/",
					   "cpu_ref " };
	struct backend *be;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(backend_open(&be, bad[i], 0), ERR_USAGE);
		assert_null(be);
		assert_non_null(strstr(err_fix(), "cuda:N"));
	}
	assert_int_equal(backend_open(&be, "cpu", -1), ERR_USAGE);
	assert_int_equal(backend_open(&be, "cpu", 1000000), ERR_USAGE);
}

/* No plugin lies beside a unit test. */
static void test_backend_open__cuda_absent_says_what_is_missing(void **state)
{
	(void)state;
	static const char *const specs[] = { "cuda", "cuda:0", "cuda:7", "cuda/f32", "cuda:1023/tf32" };
	struct backend *be;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		assert_int_equal(backend_open(&be, specs[i], 0), ERR_UNAVAILABLE);
		assert_null(be);
		assert_non_null(strstr(err_text(), "/libassay-cuda.so is not there"));
		assert_non_null(strstr(err_fix(), "make CUDA=1"));
		assert_non_null(strstr(err_fix(), "device cpu"));
	}
}

struct told {
	int n, missing;
	char cpu[128], cuda[256];
};

static void hear(void *arg, bool ok, const char *what, const char *detail, const char *fix)
{
	struct told *t = arg;
	t->n++;
	t->missing += !ok;
	assert_true(ok || fix);
	if (strcmp(what, "cpu") == 0)
		snprintf(t->cpu, sizeof(t->cpu), "%s", detail);
	else
		snprintf(t->cuda, sizeof(t->cuda), "%s: %s", what, detail);
}

static void test_backend_probe__names_what_is_there_and_what_is_not(void **state)
{
	(void)state;
	struct told t = { 0 };
	backend_probe(hear, &t);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.missing, 1);
	assert_non_null(strstr(t.cpu, "threads"));
	assert_non_null(strstr(t.cuda, "libassay-cuda.so"));
	assert_null(err_fix());
}

/* A class may be asked for where only the CPU is left to take */
static void test_backend_open__auto_takes_the_cpu_where_there_is_no_device(void **state)
{
	(void)state;
	struct backend *be = open_backend("auto/f32", 1);
	assert_string_equal(be->name, "cpu");
	assert_true(!be->memory && !be->mark && !be->wait); /* the host's */
	assert_null(err_fix());
	backend_close(be);
}

static void test_backend_open__threads_honour_affinity(void **state)
{
	(void)state;
	cpu_set_t before, one;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	struct backend *be = open_backend("cpu", 0);
	assert_int_equal(be->threads, 1);
	backend_close(be);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	be = open_backend("cpu", 0);
	assert_true(be->threads <= CPU_COUNT(&before) && be->threads <= omp_get_max_threads());
	backend_close(be);
	be = open_backend("cpu", 3);
	assert_int_equal(be->threads, 3);
	backend_close(be);
}

static void test_cpu_alloc__aligned_and_zeroed(void **state)
{
	(void)state;
	struct backend *be = open_backend("cpu", 1);
	static const size_t sizes[] = { 0, 1, 63, 64, 65, 4096, 1000003, (4 << 20) - 1, 4 << 20, (9 << 20) + 5 };
	for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) { /* twice: what was used is zeros again */
		size_t n = sizes[i / 2];
		uint8_t any = 0;
		void *p;
		assert_int_equal(be->alloc(be, &p, n), 0);
		assert_int_equal((uintptr_t)p % 64, 0);
		for (size_t k = 0; k < n; k++)
			any |= ((uint8_t *)p)[k];
		assert_int_equal(any, 0);
		memset(p, 0xff, n);
		be->free(be, p);
	}
	be->free(be, NULL);
	backend_close(be);
}

static void test_cpu_alloc__too_much_is_an_error(void **state)
{
	(void)state;
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2, (size_t)1 << 50 };
	static const char *const specs[] = { "cpu", "cpu_ref" };
	for (size_t s = 0; s < ARRAY_LEN(specs); s++) {
		struct backend *be = open_backend(specs[s], 1);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			void *p = be;
			assert_int_equal(be->alloc(be, &p, sizes[i]), ERR_UNAVAILABLE);
			assert_null(p);
			assert_non_null(strstr(err_text(), " MB"));
			assert_non_null(err_fix());
		}
		void *p; /* and what was refused does not count */
		assert_int_equal(be->alloc(be, &p, 1 << 20), 0);
		be->free(be, p);
		backend_close(be);
	}
}

static void test_cpu_memory__copies(void **state)
{
	(void)state;
	struct backend *be = open_backend("cpu", 1);
	void *p, *q;
	char back[8] = "";
	assert_int_equal(be->alloc(be, &p, 8), 0);
	assert_int_equal(be->alloc(be, &q, 8), 0);
	be->upload(be, p, "1234567", 8);
	be->copy(be, q, p, 8);
	be->zero(be, p, 4);
	be->download(be, back, q, 8);
	assert_string_equal(back, "1234567");
	be->download(be, back, p, 8);
	assert_memory_equal(back,
			    "\0\0\0\0"
			    "567",
			    8);
	be->copy(be, NULL, NULL, 0);
	assert_int_equal(be->sync(be), 0);
	be->free(be, p);
	be->free(be, q);
	backend_close(be);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backend_open__names),
		cmocka_unit_test(test_backend_open__tables_are_whole),
		cmocka_unit_test(test_backend_open__bad_spec_is_usage),
		cmocka_unit_test(test_backend_open__cuda_absent_says_what_is_missing),
		cmocka_unit_test(test_backend_probe__names_what_is_there_and_what_is_not),
		cmocka_unit_test(test_backend_open__auto_takes_the_cpu_where_there_is_no_device),
		cmocka_unit_test(test_backend_open__threads_honour_affinity),
		cmocka_unit_test(test_cpu_alloc__aligned_and_zeroed),
		cmocka_unit_test(test_cpu_alloc__too_much_is_an_error),
		cmocka_unit_test(test_cpu_memory__copies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
