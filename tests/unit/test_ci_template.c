/* test_ci_template.c: the files that `assay init` writes travel inside the binary. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ci/ci.h"

static void test_ci_template__a_file_for_each_forge(void **state)
{
	const char *path = NULL, *text = ci_template("github", &path);

	(void)state;
	assert_non_null(text);
	assert_string_equal(path, ".github/workflows/assay.yml");
	assert_non_null(strstr(text, "./.assay-source/ci/github"));
	text = ci_template("gitlab", &path);
	assert_non_null(text);
	assert_string_equal(path, ".gitlab-ci.yml");
	assert_non_null(strstr(text, "assay run --json --report-dir assay-report"));
	assert_non_null(ci_template("gitlab", NULL));
}

static void test_ci_template__unknown_forge_is_null(void **state)
{
	const char *path = "untouched";

	(void)state;
	assert_null(ci_template("sourcehut", &path));
	assert_string_equal(path, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ci_template__a_file_for_each_forge),
		cmocka_unit_test(test_ci_template__unknown_forge_is_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
