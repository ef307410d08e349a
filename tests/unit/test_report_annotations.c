/* test_report_annotations.c: workflow commands made of a report. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ci/ci.h"
#include "unit/report_fixture.h"

static char *annotations(const json_t *report)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);

	report_annotations(report, &out);
	return buf_take(&out);
}

static void test_report_annotations__verdict_first_then_the_worst(void **state)
{
	json_t *r = fixture(0);
	char *s = annotations(r);

	(void)state;
	assert_string_equal(s, "::error title=assay%3A FAIL::de.exact_match fell.\n"
			       "::error title=assay%3A de.exact_match%2Cstrict::208 lost\n"
			       "::error title=assay%3A months.acc::1100 more samples would settle it\n");
	free(s);
	json_decref(r);
}

static void test_report_annotations__no_error_where_nothing_blocks(void **state)
{
	json_t *r = fixture(0);
	char *s;

	(void)state;
	json_object_set_new(r, "verdict", json_string("INCONCLUSIVE"));
	json_object_set_new(r, "exit", json_integer(0));
	s = annotations(r);
	assert_null(strstr(s, "::error"));
	assert_int_equal(strncmp(s, "::warning title=", 16), 0);
	free(s);
	json_object_set_new(r, "verdict", json_string("PASS"));
	json_object_set_new(r, "rules", json_array());
	s = annotations(r);
	assert_string_equal(s, "::notice title=assay%3A PASS::de.exact_match fell.\n");
	free(s);
	json_decref(r);
}

static void test_report_annotations__five_at_most(void **state)
{
	json_t *r = fixture(0), *rules = json_object_get(r, "rules");
	size_t lines = 0;
	char *s;

	(void)state;
	for (int i = 0; i < 20; i++)
		json_array_append(rules, json_array_get(rules, 2));
	s = annotations(r);
	for (const char *p = s; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 5);
	free(s);
	json_decref(r);
}

static void test_report_annotations__no_value_begins_a_command(void **state)
{
	json_t *r = fixture(0);
	char *s;

	(void)state;
	fixture_poison(r, "100%\r\n::add-mask::x\n::error::y, z");
	s = annotations(r);
	for (const char *line = s; *line; line = strchr(line, '\n') + 1) {
		const char *title = line + strlen("::error title="), *body = strstr(title, "::");

		assert_int_equal(strncmp(line, "::error title=", 14), 0);
		assert_non_null(body);
		for (const char *p = title; p < body; p++)
			assert_true(*p != ':' && *p != ',');
		assert_non_null(strstr(line, "100%25"));
	}
	assert_null(strchr(s, '\r'));
	assert_null(strstr(s, "\n::add-mask"));
	free(s);
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_annotations__verdict_first_then_the_worst),
		cmocka_unit_test(test_report_annotations__no_error_where_nothing_blocks),
		cmocka_unit_test(test_report_annotations__five_at_most),
		cmocka_unit_test(test_report_annotations__no_value_begins_a_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
