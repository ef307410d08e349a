/* test_report_term.c: the report on a terminal. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <wchar.h>

#include "ci/ci_int.h"
#include "unit/report_fixture.h"

static char *terminal(const json_t *report, int width, bool colour)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);

	report_terminal(report, &out, &(struct report_term){ .width = width, .colour = colour });
	return buf_take(&out);
}

static void assert_has(const char *s, const char *what)
{
	if (!strstr(s, what))
		fail_msg("no \"%s\" in:\n%s", what, s);
}

/* Columns of [s, end) as a terminal counts them. */
static int columns_of(const char *s, const char *end)
{
	int n = 0;
	size_t used;

	for (; s < end; s += used) {
		int w = wcwidth((wchar_t)utf8_next(s, (size_t)(end - s), &used));

		n += w < 0 ? 1 : w;
	}
	return n;
}

static void assert_no_wider(const char *s, int width)
{
	for (const char *line = s, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		if (columns_of(line, end) > width)
			fail_msg("%d columns, not %d: %.*s", columns_of(line, end), width, (int)(end - line), line);
	}
}

static void test_report_terminal__says_what_matters(void **state)
{
	json_t *r = fixture(0);
	char *s = terminal(r, 120, false);

	(void)state;
	assert_int_equal(strncmp(s, "\xe2\x9c\x98 FAIL  dates: 1 of 4 rules failed, 1 other metric worse\n", 50), 0);
	assert_has(s, "\n  e4f5a6b swap day and month\n  de.exact_match fell.\n");
	assert_has(s, "[one-sided 95 % bounds]");
	assert_has(s, "  de.exact_match,strict \xe2\x86\x91     0.931      0.413   -0.519  [-0.561, -0.477]");
	assert_has(s, "\xe2\x9c\x98 max_drop 0.04\n");
	assert_has(s, "is [0.820, 0.880]");
	assert_has(s, "\xe2\x9c\x94 min 0.80\n");
	assert_has(s, "  2 metrics without a clear change: hi.acc, sv.acc\n");
	assert_has(s, "31 broke, 2 got better");
	assert_has(s, "de/0  Date: 1. Februar 2003\xe2\x8f\x8eISO:  2003-02-01 \xe2\x86\x92 2003-01-02\xe2\x90\xa3\n");
	assert_has(s, "read 2 ms \xc2\xb7 train reused\n");
	assert_has(s, "production stays at v2: the gate failed.");
	assert_has(s, "next: assay show r1 \xc2\xb7 assay samples r1 \xc2\xb7 assay diff r0 r1\n");
	free(s);
	json_decref(r);
}

static void test_report_terminal__never_wider_than_asked(void **state)
{
	json_t *r = fixture(0);

	(void)state;
	for (int width = 40; width <= 160; width++) {
		char *s = terminal(r, width, false);

		assert_no_wider(s, width);
		assert_has(s, "FAIL");
		assert_has(s, "-0.519");
		free(s);
	}
	json_decref(r);
}

static void test_report_terminal__eighty_columns_keep_the_bounds(void **state)
{
	json_t *r = fixture(0);
	char *s = terminal(r, 80, false);

	(void)state;
	assert_has(s, "[95 % bounds]");
	assert_has(s, "[-0.561, -0.477]");
	assert_has(s, "heldout.bits_per_byte \xe2\x86\x93");
	free(s);
	json_decref(r);
}

static void test_report_terminal__wide_letters_take_two_columns(void **state)
{
	json_t *r = fixture(0), *rules = json_object_get(r, "rules");
	char *s, *line, *other;
	const char *label = "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"; /* three wide letters */

	(void)state;
	json_object_set_new(json_array_get(rules, 2), "task", json_string(label));
	s = terminal(r, 120, false);
	assert_no_wider(s, 120);
	line = strstr(s, label);
	assert_non_null(line);
	other = strstr(s, "months.acc");
	/* the baseline's numbers end in one column */
	assert_int_equal(columns_of(line, strstr(line, "0.931")), columns_of(other, strstr(other, "0.880")));
	free(s);
	json_decref(r);
}

static void test_report_terminal__hostile_text_moves_nothing(void **state)
{
	static const int widths[] = { 40, 80, 120 };
	json_t *r = fixture(0);

	(void)state;
	fixture_poison(r, FIXTURE_EVIL "\xe6\x97\xa5\xe6\x9c\xac");
	for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
		char *s = terminal(r, widths[i], false);

		assert_no_wider(s, widths[i]);
		for (const unsigned char *p = (const unsigned char *)s; *p; p++)
			assert_true(*p == '\n' || (*p >= 0x20 && *p != 0x7f));
		assert_true(utf8_valid(s, strlen(s), NULL));
		assert_null(strstr(s, "\n::error"));
		free(s);
	}
	json_decref(r);
}

static void strip_colours(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\033')
			s = strchr(s, 'm');
		else
			*to++ = *s;
	}
	*to = '\0';
}

/* At every width, since a wrapped text begins a line anywhere. */
static void test_report_terminal__speaks_to_no_runner(void **state)
{
	static const char evil[] = "::error::a ::set-output name=x::y ##[add-mask]b ###[error]c ::add-mask::d ::e";

	(void)state;
	for (int width = 40; width <= 130; width += 3) {
		json_t *r = fixture(9);
		char *s;

		fixture_poison(r, evil);
		s = terminal(r, width, false);
		assert_no_wider(s, width);
		assert_null(strstr(s, "##["));
		for (const char *line = s; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
			assert_int_not_equal(strncmp(line + strspn(line, " \t"), "::", 2), 0);
		free(s);
		json_decref(r);
	}
}

static void test_report_terminal__colours_only_where_asked(void **state)
{
	json_t *r = fixture(0);
	char *plain = terminal(r, 80, false), *coloured = terminal(r, 80, true);

	(void)state;
	assert_null(strchr(plain, '\033'));
	assert_has(coloured, "\033[31m");
	assert_has(coloured, "\033[32m");
	strip_colours(coloured);
	assert_string_equal(plain, coloured);
	free(plain);
	free(coloured);
	json_decref(r);
}

static void test_report_terminal__an_error_without_a_table(void **state)
{
	json_t *r = json_pack("{s:s, s:i, s:s, s:[], s:[], s:[{s:s, s:s}], s:[]}", "verdict", "ERROR", "exit", 65,
			      "sentence", "assay.yaml:3:1: unknown key sutes", "rules", "metrics", "steps", "name",
			      "read", "status", "failed", "notes");
	char *s = terminal(r, 80, false);

	(void)state;
	assert_string_equal(s, "! ERROR: no verdict\n  assay.yaml:3:1: unknown key sutes\n\n  read failed\n");
	free(s);
	json_decref(r);
}

static void test_report_terminal__nonsense_does_not_crash(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"3",
		"null",
		"{\"rules\":3,\"metrics\":{},\"samples\":[],\"steps\":\"x\"}",
		"{\"rules\":[3,null,{}],\"metrics\":[[]],\"samples\":{\"broken\":[1,{}]}}"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *r = json_loads(texts[i], JSON_DECODE_ANY, NULL);
		struct buf md = BUF_INIT(BUF_NOLIMIT);
		char *s = terminal(r, 80, false);

		report_markdown(r, &md, 0);
		assert_has(s, "ERROR");
		assert_has(buf_str(&md), "verdict=ERROR exit=70 -->");
		buf_release(&md);
		free(s);
		json_decref(r);
	}
}

static void test_report_terminal__what_was_trained_on_is_told(void **state)
{
	json_t *r = fixture(0), *o = json_object_get(r, "overlap");
	char *s = terminal(r, 120, false);

	(void)state;
	assert_has(s, "3 of the 800 documents asked stand in the training data; not compared: data/blob.");
	assert_has(s, "de: 3 of 400 (2 exact, 1 by a 13-gram): 17 at data/train.jsonl:203, \xe2\x80\xa6");
	free(s);
	json_object_del(o, "missing");
	json_array_remove(json_object_get(o, "tasks"), 0);
	s = terminal(r, 120, false);
	assert_has(s, "None of the 400 documents asked stands in the training data");
	free(s);
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_terminal__says_what_matters),
		cmocka_unit_test(test_report_terminal__never_wider_than_asked),
		cmocka_unit_test(test_report_terminal__eighty_columns_keep_the_bounds),
		cmocka_unit_test(test_report_terminal__wide_letters_take_two_columns),
		cmocka_unit_test(test_report_terminal__hostile_text_moves_nothing),
		cmocka_unit_test(test_report_terminal__speaks_to_no_runner),
		cmocka_unit_test(test_report_terminal__colours_only_where_asked),
		cmocka_unit_test(test_report_terminal__an_error_without_a_table),
		cmocka_unit_test(test_report_terminal__nonsense_does_not_crash),
		cmocka_unit_test(test_report_terminal__what_was_trained_on_is_told),
	};
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
