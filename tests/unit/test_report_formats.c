/* test_report_formats.c: JUnit, OpenMetrics and CSV of a report, byte for byte, and with hostile texts in every place. (A real
 * parser of each reads them in tests/ci/run.) */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ci/ci_int.h"
#include "unit/report_fixture.h"

static char *written(const char *format, const json_t *report)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);
	const struct report_format *f = report_format_find(format);

	assert_non_null(f);
	f->write(report, NULL, &out);
	return buf_take(&out);
}

static void assert_written(const char *format, const json_t *report, const char *wanted)
{
	char *got = written(format, report);

	if (strcmp(got, wanted))
		fail_msg("%s is\n%s", format, got);
	free(got);
}

static void test_report_junit__a_case_a_rule(void **state)
{
	json_t *r = fixture(0);

	(void)state;
	assert_written("junit", r,
		       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		       "<testsuites>\n"
		       "  <testsuite name=\"assay: dates\" tests=\"4\" failures=\"2\" errors=\"0\" skipped=\"0\" "
		       "time=\"78.250\">\n"
		       "    <testcase classname=\"de\" name=\"de.exact_match: max_drop 0.04\">\n"
		       "      <failure message=\"208 lost\" type=\"FAIL\"/>\n"
		       "    </testcase>\n"
		       "    <testcase classname=\"months\" name=\"months.acc: max_drop 0.03\">\n"
		       "      <failure message=\"1100 more samples would settle it\" type=\"INCONCLUSIVE\"/>\n"
		       "    </testcase>\n"
		       "    <testcase classname=\"heldout\" name=\"heldout.bits_per_byte: max_increase 0.01\"/>\n"
		       "    <testcase classname=\"all\" name=\"all.acc: min 0.80\"/>\n"
		       "  </testsuite>\n"
		       "</testsuites>\n");
	json_decref(r);
}

static void test_report_junit__an_error_before_the_gate_is_one_case(void **state)
{
	json_t *r = fixture(0);

	(void)state;
	json_object_set_new(r, "rules", json_array());
	json_object_set_new(r, "verdict", json_string("ERROR"));
	json_object_set_new(r, "exit", json_integer(65));
	json_object_set_new(r, "sentence", json_string("assay.yaml:3: <no> such key"));
	assert_written("junit", r,
		       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		       "<testsuites>\n"
		       "  <testsuite name=\"assay: dates\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" "
		       "time=\"78.250\">\n"
		       "    <testcase classname=\"gate\" name=\"verdict\">\n"
		       "      <error message=\"assay.yaml:3: &#60;no&#62; such key\" type=\"ERROR\"/>\n"
		       "    </testcase>\n"
		       "  </testsuite>\n"
		       "</testsuites>\n");
	json_decref(r);
}

static void test_report_openmetrics__fixed_decimals_and_an_end(void **state)
{
	json_t *r = fixture(0);
	char *text = written("openmetrics", r);

	(void)state;
	assert_non_null(strstr(text, "# TYPE assay_metric gauge\n"));
	assert_non_null(
		strstr(text, "\nassay_metric{task=\"de\",metric=\"exact_match\",filter=\"strict\"} 0.412500\n"));
	assert_non_null(
		strstr(text, "\nassay_baseline{task=\"de\",metric=\"exact_match\",filter=\"strict\"} 0.931250\n"));
	assert_non_null(
		strstr(text, "\nassay_change_bound{task=\"de\",metric=\"exact_match\",filter=\"strict\",end=\"lower\"} "
			     "-0.560400\n"));
	assert_non_null(strstr(text,
			       "\nassay_rule{task=\"months\",metric=\"acc\",filter=\"none\",rule=\"max_drop_0.03\"} "
			       "0.500000\n"));
	assert_non_null(strstr(text, "\nassay_samples{change=\"broke\"} 31\n"));
	assert_non_null(strstr(text, "\nassay_exit_code 1\n# EOF\n"));
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
	json_decref(r);
}

static void test_report_csv__a_line_a_row(void **state)
{
	json_t *r = fixture(0);
	char *text = written("csv", r);

	(void)state;
	assert_non_null(strstr(text,
			       "\"de\",\"exact_match\",\"strict\",\"max_drop 0.04\",\"FAIL\",true,true,0.93125,0.4125,"
			       "-0.51875,-0.5604,-0.4771,change,400,208,0,\r\n"));
	assert_non_null(
		strstr(text, "\"all\",\"acc\",\"\",\"min 0.80\",\"PASS\",true,true,0.81,0.85,0.04,0.8202,0.8798,value,"
			     "400,0,0,\r\n"));
	free(text);
	json_object_set_new(json_object_get(r, "samples"), "seconds", json_pack("{s:f,s:s}", "de", 12.5, "all", "x"));
	text = written("csv", r);
	assert_non_null(strstr(text, ",400,208,0,12.5\r\n"));
	assert_non_null(strstr(text, ",400,0,0,\r\n"));
	free(text);
	json_decref(r);
}

static void test_report_dotenv__a_name_a_line(void **state)
{
	json_t *r = fixture(0);
	char *text = written("dotenv", r);

	(void)state;
	assert_string_equal(text, "ASSAY_RESULT_VERDICT=FAIL\nASSAY_RESULT_EXIT=1\nASSAY_RESULT_RUN=r1\n"
				  "ASSAY_RESULT_COMMIT=e4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d\n"
				  "ASSAY_RESULT_MODEL=dates\nASSAY_RESULT_VERSION=3\n");
	free(text);
	json_object_set_new(r, "model", json_string("a\nPATH=/tmp $(id) \xc3\xa9"));
	json_object_set_new(r, "version", json_null());
	text = written("dotenv", r);
	assert_non_null(strstr(text, "MODEL=a_PATH_/tmp___id____\nASSAY_RESULT_VERSION=\n"));
	free(text);
	json_decref(r);
}

static void test_report_formats__hostile_texts_stay_texts(void **state)
{
	static const char *const evils[] = {
		FIXTURE_EVIL,
		"=cmd|'/c calc'!A1",
		"\"/><testcase name=\"x",
		"]]>",
		"a\"} 1\nassay_exit_code 0\n# EOF\n",
		"\xef\xbf\xbe\xff\x01",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(evils); i++) {
		json_t *r = fixture(0), *plain = fixture(0);
		char *junit, *metrics, *csv, *before;
		size_t lines = 0, wanted = 0;

		fixture_poison(r, evils[i]);
		/* names of rules apart, so that no two are one metric */
		junit = written("junit", r);
		metrics = written("openmetrics", r);
		csv = written("csv", r);
		before = written("junit", plain);
		for (const char *c = junit; *c; c++)
			lines += *c == '<';
		for (const char *c = before; *c; c++)
			wanted += *c == '<';
		assert_true(lines <= wanted);
		for (const char *text[] = { junit, metrics, csv }, **t = text; t < text + 3; t++)
			for (const char *c = *t; *c; c++)
				if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\r') || *c == 0x7F)
					fail_msg("byte %02x", *c);
		assert_non_null(strstr(metrics, "assay_exit_code 1\n# EOF\n"));
		assert_ptr_equal(strstr(metrics, "# EOF"), metrics + strlen(metrics) - 6);
		assert_null(strstr(csv, "\"="));
		free(junit);
		free(metrics);
		free(csv);
		free(before);
		json_decref(r);
		json_decref(plain);
	}
}

static void test_report_format_find__knows_its_rows(void **state)
{
	(void)state;
	for (const struct report_format *f = report_formats; f->name; f++) {
		assert_ptr_equal(report_format_find(f->name), f);
		for (const struct report_format *g = report_formats; g < f; g++)
			assert_string_not_equal(f->file, g->file);
	}
	assert_null(report_format_find("pdf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_junit__a_case_a_rule),
		cmocka_unit_test(test_report_junit__an_error_before_the_gate_is_one_case),
		cmocka_unit_test(test_report_openmetrics__fixed_decimals_and_an_end),
		cmocka_unit_test(test_report_csv__a_line_a_row),
		cmocka_unit_test(test_report_dotenv__a_name_a_line),
		cmocka_unit_test(test_report_formats__hostile_texts_stay_texts),
		cmocka_unit_test(test_report_format_find__knows_its_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
