/* test_err.c: texts, hints and exit codes of failures. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>

static void test_err_set__replaces_text_and_hint(void **state)
{
	(void)state;
	assert_int_equal(err_set(ERR_INPUT, "first %d", 1), ERR_INPUT);
	err_hint(ERR_INPUT, "do %s", "this");
	assert_string_equal(err_text(), "first 1");
	assert_string_equal(err_fix(), "do this");
	err_set(ERR_IO, "second");
	assert_string_equal(err_text(), "second");
	assert_null(err_fix());
}

static void test_err_text__is_never_null(void **state)
{
	(void)state;
	err_clear();
	assert_non_null(err_text());
	assert_null(err_fix());
}

static void test_err_errno__appends_and_keeps_errno(void **state)
{
	(void)state;
	errno = ENOENT;
	assert_int_equal(err_errno(ERR_IO, "file %s", "x"), ERR_IO);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(err_text(), "file x: No such file or directory");
}

static void test_err_context__goes_in_front_and_keeps_the_hint(void **state)
{
	(void)state;
	err_set(ERR_INPUT, "inner");
	err_hint(ERR_INPUT, "fix");
	assert_int_equal(err_context(ERR_INPUT, "outer %d", 2), ERR_INPUT);
	assert_string_equal(err_text(), "outer 2: inner");
	assert_string_equal(err_fix(), "fix");
}

static void test_err_set__may_quote_itself(void **state)
{
	(void)state;
	err_set(ERR_INPUT, "inner");
	err_set(ERR_INPUT, "outer(%s)", err_text());
	assert_string_equal(err_text(), "outer(inner)");
}

static void test_err_set__long_text_is_whole(void **state)
{
	char *big = mem_alloc(10001);

	(void)state;
	memset(big, 'x', 10000);
	err_set(ERR_INPUT, "<%s>", big);
	assert_int_equal(strlen(err_text()), 10002);
	free(big);
}

static void test_err_save__survives_cleanup_that_fails(void **state)
{
	struct err_saved saved;

	(void)state;
	err_set(ERR_INPUT, "cause");
	err_hint(ERR_INPUT, "fix");
	saved = err_save();
	err_set(ERR_IO, "cleanup");
	err_restore(&saved);
	assert_string_equal(err_text(), "cause");
	assert_string_equal(err_fix(), "fix");
}

static void *other_thread(void *arg)
{
	*(bool *)arg = strcmp(err_text(), "of main") != 0;
	err_set(ERR_IO, "of the thread");
	return NULL;
}

static void test_err_text__is_per_thread(void **state)
{
	bool clean = false;
	pthread_t t;

	(void)state;
	err_set(ERR_INPUT, "of main");
	assert_int_equal(pthread_create(&t, NULL, other_thread, &clean), 0);
	pthread_join(t, NULL);
	assert_true(clean);
	assert_string_equal(err_text(), "of main");
}

static void test_err_exit_code__fails_closed(void **state)
{
	(void)state;
	assert_int_equal(err_exit_code(0), 0);
	assert_int_equal(err_exit_code(ERR_NOTFOUND), 65);
	assert_int_equal(err_exit_code(ERR_BUSY), 75);
	assert_int_equal(err_exit_code(ERR_USAGE), 64);
	assert_int_equal(err_exit_code(ERR_ENV), 78);
	assert_int_equal(err_exit_code(ERR_BUG), 70);
	assert_int_equal(err_exit_code(-1234), 70);
	assert_int_equal(err_exit_code(1), 70); /* an unhandled positive result is no success */
	assert_int_equal(err_first(0, ERR_IO), ERR_IO);
	assert_int_equal(err_first(ERR_BUG, ERR_IO), ERR_BUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_set__replaces_text_and_hint),
		cmocka_unit_test(test_err_text__is_never_null),
		cmocka_unit_test(test_err_errno__appends_and_keeps_errno),
		cmocka_unit_test(test_err_context__goes_in_front_and_keeps_the_hint),
		cmocka_unit_test(test_err_set__may_quote_itself),
		cmocka_unit_test(test_err_set__long_text_is_whole),
		cmocka_unit_test(test_err_save__survives_cleanup_that_fails),
		cmocka_unit_test(test_err_text__is_per_thread),
		cmocka_unit_test(test_err_exit_code__fails_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
