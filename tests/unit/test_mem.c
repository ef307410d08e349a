/* test_mem.c: zeroed memory, checked products, and what happens when there is none. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

static void test_mem_alloc__is_zeroed_even_for_nothing(void **state)
{
	uint8_t *p = mem_alloc(1000);
	void *q = mem_alloc(0);

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
	assert_non_null(q);
	free(p);
	free(q);
}

static void test_mem_mul__saturates(void **state)
{
	(void)state;
	assert_int_equal(mem_mul(3, 4), 12);
	assert_int_equal(mem_mul(0, SIZE_MAX), 0);
	assert_true(mem_mul(SIZE_MAX / 2, 3) == SIZE_MAX);
	assert_true(mem_mul((size_t)1 << 32, (size_t)1 << 32) == SIZE_MAX);
}

static void test_mem_str__copies(void **state)
{
	char *s = mem_strn("abcdef", 3), *t = mem_str("xy"), *u = mem_printf("%s-%d", "n", 7), *v;

	(void)state;
	assert_string_equal(s, "abc");
	assert_string_equal(t, "xy");
	assert_string_equal(u, "n-7");
	assert_null(mem_str(NULL));
	v = mem_join("ab", "c");
	assert_string_equal(v, "abc");
	free(v);
	v = mem_join("", "");
	assert_string_equal(v, "");
	free(v);
	free(s);
	free(t);
	free(u);
}

static void test_mem_try_aligned__is_aligned_zeroed_or_null(void **state)
{
	uint8_t *p = mem_try_aligned(100);

	(void)state;
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 64, 0);
	for (int i = 0; i < 128; i++) /* whole lines */
		assert_int_equal(p[i], 0);
	free(p);
	assert_null(mem_try_aligned(SIZE_MAX));
	assert_null(mem_try_aligned(SIZE_MAX - 10));
}

static void test_mem_grow__keeps_items(void **state)
{
	int *items = NULL;
	size_t n = 0, cap = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		MEM_GROW(items, n, cap);
		items[n++] = i;
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(items[i], i);
	free(items);
}

static void test_mem_array__overflow_ends_the_process_with_69(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		fclose(stderr);
		free(mem_array(SIZE_MAX / 2, 16));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 69);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mem_alloc__is_zeroed_even_for_nothing),
		cmocka_unit_test(test_mem_mul__saturates),
		cmocka_unit_test(test_mem_str__copies),
		cmocka_unit_test(test_mem_try_aligned__is_aligned_zeroed_or_null),
		cmocka_unit_test(test_mem_grow__keeps_items),
		cmocka_unit_test(test_mem_array__overflow_ends_the_process_with_69),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
