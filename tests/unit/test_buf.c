/* test_buf.c: growth, the ceiling, and what a full buffer does. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_buf_add__grows_and_terminates(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	assert_string_equal(buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	assert_false(buf_full(&b));
	assert_int_equal(b.len, 3890);
	assert_int_equal(b.data[b.len], 0);
	assert_memory_equal(b.data, "0,1,2,", 6);
	buf_release(&b);
	assert_null(b.data);
}

static void test_buf_add__ceiling_is_exact(void **state)
{
	struct buf b = BUF_INIT(5);

	(void)state;
	buf_adds(&b, "abcde");
	assert_false(buf_full(&b));
	buf_addc(&b, 'f');
	assert_true(buf_full(&b));
	assert_string_equal(buf_str(&b), "abcde");
	buf_release(&b);
}

static void test_buf_add__full_stays_full_without_holes(void **state)
{
	struct buf b = BUF_INIT(5);

	(void)state;
	buf_adds(&b, "abcdef"); /* not even in part */
	buf_adds(&b, "x");
	assert_true(buf_full(&b));
	assert_int_equal(b.len, 0);
	buf_clear(&b);
	buf_adds(&b, "x");
	assert_false(buf_full(&b));
	assert_string_equal(buf_str(&b), "x");
	buf_release(&b);
}

static void test_buf_addf__long_text(void **state)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	(void)state;
	buf_addf(&b, "%0500d", 7);
	assert_int_equal(b.len, 500);
	assert_int_equal(b.data[499], '7');
	buf_release(&b);
}

static void test_buf_take__hands_over(void **state)
{
	struct buf b = BUF_INIT(100);
	char *s;

	(void)state;
	buf_add(&b, "a\0b", 3);
	s = buf_take(&b);
	assert_memory_equal(s, "a\0b", 4);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.max, 100);
	free(s);
	s = buf_take(&b);
	assert_string_equal(s, "");
	free(s);
}

static void test_buf_add__size_near_the_end_of_the_world(void **state)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	(void)state;
	buf_adds(&b, "x");
	buf_add(&b, "y", SIZE_MAX); /* is refused before it is read */
	assert_true(buf_full(&b));
	assert_int_equal(b.len, 1);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_add__grows_and_terminates),
		cmocka_unit_test(test_buf_add__ceiling_is_exact),
		cmocka_unit_test(test_buf_add__full_stays_full_without_holes),
		cmocka_unit_test(test_buf_addf__long_text),
		cmocka_unit_test(test_buf_take__hands_over),
		cmocka_unit_test(test_buf_add__size_near_the_end_of_the_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
