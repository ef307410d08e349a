/* test_path.c: names of files, friendly and hostile. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void expect_path(const char *in, const char *want)
{
	char *out = NULL;

	assert_int_equal(path_check(&out, in), 0);
	assert_string_equal(out, want);
	free(out);
}

static void test_path_check__normalises(void **state)
{
	(void)state;
	expect_path("a", "a");
	expect_path("a/./b//c", "a/b/c");
	expect_path("./a/", "a");
	expect_path("..a/b..", "..a/b..");
	expect_path(".github/x", ".github/x");
	expect_path("a b/\xc3\xa9", "a b/\xc3\xa9");
}

static void test_path_check__refuses(void **state)
{
	static const char *const bad[] = { "",       "/", "/etc/passwd", "..",    "../a",  "a/..", "a/../b",
					   "./..",   ".", "a\nb",        "a\x1b", "a\x7f", ".git", "a/.git/config",
					   ".GIT/x", "./" };
	char *out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		out = (char *)1;
		assert_int_equal(path_check(&out, bad[i]), ERR_INPUT);
		assert_null(out);
	}
}

static void test_path_join__absolute_wins(void **state)
{
	char *a = path_join("d", "n"), *b = path_join("d/", "n"), *c = path_join("d", "/n"), *e = path_join("", "n");

	(void)state;
	assert_string_equal(a, "d/n");
	assert_string_equal(b, "d/n");
	assert_string_equal(c, "/n");
	assert_string_equal(e, "n");
	free(a);
	free(b);
	free(c);
	free(e);
}

static void test_path_dir__and_base(void **state)
{
	static const char *const cases[][2] = { { "a/b", "a" }, { "a", "." },    { "/a", "/" },
						{ "/", "/" },   { "a/b/", "a" }, { "a//b", "a" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *d = path_dir(cases[i][0]);

		assert_string_equal(d, cases[i][1]);
		free(d);
	}
	assert_string_equal(path_base("a/b.c"), "b.c");
	assert_string_equal(path_base("b.c"), "b.c");
	assert_true(path_has_suffix("x.yaml", ".yaml"));
	assert_false(path_has_suffix("yaml", ".yaml"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_check__normalises),
		cmocka_unit_test(test_path_check__refuses),
		cmocka_unit_test(test_path_join__absolute_wins),
		cmocka_unit_test(test_path_dir__and_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
