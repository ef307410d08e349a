/* test_report_md.c: the report document's check, its rows, and the Markdown made of it. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "ci/ci_int.h"
#include "unit/report_fixture.h"

static char *markdown(const json_t *report, size_t max)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);

	report_markdown(report, &out, max);
	return buf_take(&out);
}

static size_t count(const char *s, const char *what)
{
	size_t n = 0;

	for (; (s = strstr(s, what)) != NULL; s += strlen(what))
		n++;
	return n;
}

static void assert_has(const char *s, const char *what)
{
	if (!strstr(s, what))
		fail_msg("no \"%s\" in:\n%s", what, s);
}

static void assert_before(const char *s, const char *a, const char *b)
{
	assert_has(s, a);
	assert_has(s, b);
	assert_true(strstr(s, a) < strstr(s, b));
}

/* ---- the document ---------------------------------------------------------------------------------------------------- */

static void test_report_check__takes_what_it_describes(void **state)
{
	json_t *r = fixture(50);

	(void)state;
	assert_int_equal(report_check(r), 0);
	json_object_set_new(r, "later", json_string("a member of a newer version"));
	json_object_set_new(r, "training", json_null());
	json_object_del(r, "version");
	json_object_del(r, "promotion");
	json_object_del(r, "baseline");
	assert_int_equal(report_check(r), 0);
	json_decref(r);
}

static void test_report_check__names_the_member_that_is_wrong(void **state)
{
	static const struct {
		const char *object, *key, *value, *names;
	} cases[] = {
		{ NULL, "format", "\"assay-report/2\"", "format" },
		{ NULL, "verdict", "\"GOOD\"", "verdict" },
		{ NULL, "verdict", "\"PASS\"", "exit 1" },
		{ NULL, "exit", "0", "FAIL" },
		{ NULL, "exit", "4711", "exit" },
		{ NULL, "exit", "\"1\"", "exit" },
		{ NULL, "sentence", "null", "sentence" },
		{ NULL, "rules", "{}", "rules" },
		{ NULL, "rules", "[3]", "rules[0]" },
		{ NULL, "rules", "[{\"rule\":\"a\",\"delta\":\"x\"}]", "rules[0].delta" },
		{ NULL, "rules", "[{\"rule\":\"a\",\"interval\":[1]}]", "rules[0].interval" },
		{ NULL, "rules", "[{\"rule\":\"a\",\"interval\":[1,\"2\"]}]", "rules[0].interval" },
		{ NULL, "metrics", "[{\"task\":\"a\"}]", "metrics[0].metric" },
		{ NULL, "notes", "[1]", "notes[0]" },
		{ NULL, "steps", "[{\"name\":\"read\"}]", "steps[0].status" },
		{ "samples", "broken", "[{\"task\":\"a\",\"id\":7}]", "samples.broken[0].id" },
		{ "samples", "n_broken", "1.5", "samples.n_broken" },
		{ "training", "curve", "[[1,2],[3]]", "training.curve[1]" },
		{ "training", "curve", "[[1.5,2]]", "training.curve[0]" },
		{ "version", "number", "\"3\"", "version.number" },
		{ "promotion", "alias", "null", "promotion.alias" },
		{ "tool", "version", "[]", "tool.version" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *r = fixture(0);
		json_t *at = cases[i].object ? json_object_get(r, cases[i].object) : r;

		json_object_set_new(at, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		if (report_check(r) != ERR_INPUT || !strstr(err_text(), cases[i].names))
			fail_msg("%s = %s: said \"%s\"", cases[i].key, cases[i].value, err_text());
		json_decref(r);
	}
}

static void test_report_check__bounds_lists(void **state)
{
	json_t *r = fixture(0), *rules = json_object_get(r, "rules");

	(void)state;
	for (int i = 0; i < 5000; i++)
		json_array_append(rules, json_array_get(rules, 0));
	assert_int_equal(report_check(r), ERR_INPUT);
	assert_has(err_text(), "rules");
	json_decref(r);
}

static void test_report_rows__worst_first_each_metric_once(void **state)
{
	static const char *const wanted[] = {
		"de.exact_match,strict", "months.acc", "fr.acc", "heldout.bits_per_byte", "all.acc", "hi.acc", "sv.acc"
	};
	json_t *r = fixture(0);
	struct report_rows rows;

	(void)state;
	report_rows_make(&rows, r);
	assert_int_equal(rows.n, ARRAY_LEN(wanted));
	for (size_t i = 0; i < rows.n; i++)
		assert_string_equal(rows.items[i].label, wanted[i]);
	assert_int_equal(rows.n_main, 5);
	assert_int_equal(rows.failed, 1);
	assert_int_equal(rows.gated, 4);
	assert_int_equal(rows.undecided, 1);
	assert_string_equal(rows.items[0].requirement, "max_drop 0.04");
	assert_true(rows.items[4].bounds_value);
	assert_false(rows.items[0].bounds_value);
	report_rows_release(&rows);
	json_decref(r);
}

/* ---- numbers and text ------------------------------------------------------------------------------------------------- */

static void assert_bounds(double lo, double hi, int decimals, const char *wanted)
{
	struct buf out = BUF_INIT(200);

	num_add_bounds(&out, lo, hi, decimals, true);
	assert_string_equal(buf_str(&out), wanted);
	buf_release(&out);
}

static void test_num__bounds_are_never_tighter_than_they_were(void **state)
{
	(void)state;
	assert_bounds(-0.0302, 0.0109, 3, "[-0.031, +0.011]");
	assert_bounds(-0.03700000000000001, -0.011, 3, "[-0.037, -0.011]");
	assert_bounds(0.0109, 0.0302, 3, "[+0.010, +0.031]");
	assert_bounds(-0.0004, 0.0004, 3, "[-0.001, +0.001]");
	assert_bounds(-0.0000000001, 0, 3, "[0.000, 0.000]");
	assert_bounds(NAN, 3e8, 0, "[\xe2\x80\x93, +3e+08]");
}

static void test_num__decimals_show_a_difference(void **state)
{
	(void)state;
	assert_int_equal(num_decimals(0.712, 0.688, -0.024), 3);
	assert_int_equal(num_decimals(1.2345, 1.2301, -0.0044), 4);
	assert_int_equal(num_decimals(31.25, 30.0, -1.25), 2);
	assert_int_equal(num_decimals(31.25, 31.2499, -0.0001), 5);
	assert_int_equal(num_decimals(NAN, 0.5, NAN), 3);
	assert_int_equal(num_decimals(0.5, 0.5, 0), 3);
	assert_int_equal(num_decimals(1, 1, 1e-300), 6);
}

static void assert_shown(const char *s, size_t max, enum text_cut cut, const char *wanted)
{
	struct buf out = BUF_INIT(1000);

	text_show(&out, s, strlen(s), max, cut);
	assert_string_equal(buf_str(&out), wanted);
	buf_release(&out);
}

static void test_text_show__makes_the_invisible_visible(void **state)
{
	(void)state;
	assert_shown("a\r\nb\nc\td", 80, TEXT_HEAD,
		     "a\xe2\x8f\x8e"
		     "b\xe2\x8f\x8e"
		     "c d");
	assert_shown(" x  ", 80, TEXT_HEAD, "\xe2\x90\xa3x\xe2\x90\xa3\xe2\x90\xa3");
	struct buf nul = BUF_INIT(1000);
	text_show(&nul, "yes\0", 4, 80, TEXT_HEAD);
	assert_string_equal(buf_str(&nul), "yes\xe2\x90\x80");
	buf_release(&nul);
	assert_shown("\033[2J", 80, TEXT_HEAD, "\xe2\x90\x9b[2J");
	assert_shown("\302\233"
		     "2J\177",
		     80, TEXT_HEAD,
		     "\xef\xbf\xbd"
		     "2J\xe2\x90\xa1");
	assert_shown("a\xe2\x80\xae"
		     "b\xff",
		     80, TEXT_HEAD,
		     "a\xef\xbf\xbd"
		     "b\xef\xbf\xbd");
	assert_shown("0123456789", 4, TEXT_HEAD, "012\xe2\x80\xa6");
	assert_shown("0123456789", 4, TEXT_TAIL,
		     "\xe2\x80\xa6"
		     "789");
	assert_shown("0123", 4, TEXT_TAIL, "0123");
	/* seven accents on one letter: four stay */
	assert_shown("e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81z", 80, TEXT_HEAD,
		     "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81z");
}

/* ---- Markdown ----------------------------------------------------------------------------------------------------------- */

static void test_report_markdown__verdict_first_marker_last(void **state)
{
	json_t *r = fixture(50);
	char *s = markdown(r, 0), *last;

	(void)state;
	assert_int_equal(strncmp(s, "### \xe2\x9d\x8c FAIL \xc2\xb7 dates: 1 of 4 rules failed", 40), 0);
	s[strlen(s) - 1] = '\0';
	last = strrchr(s, '\n') + 1;
	assert_string_equal(last,
			    "<!-- assay:report v1 model=dates commit=e4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d run=r1 "
			    "verdict=FAIL exit=1 -->");
	assert_has(s, "production stays at v2: the gate failed.");
	assert_has(s, "<code>assay run e4f5a6b7c8d9</code>");
	assert_has(s, "train reused");
	free(s);
	json_decref(r);
}

static void test_report_markdown__table_worst_first_unchanged_folded(void **state)
{
	json_t *r = fixture(0);
	char *s = markdown(r, 0);

	(void)state;
	assert_before(s, "<b>de.exact_match,strict</b>", "<b>months.acc</b>");
	assert_before(s, "<b>months.acc</b>", "| fr.acc");
	assert_before(s, "| fr.acc", "| heldout.bits_per_byte");
	assert_before(s, "2 metrics without a clear change</summary>\n\n|", "| hi.acc");
	assert_before(s, "| hi.acc", "| sv.acc");
	assert_int_equal(count(s, "one-sided 95 % bounds"), 2); /* a heading a table */
	assert_has(s, "<b>-0.519</b> [-0.561, -0.477] | 400 (\xe2\x88\x92"
		      "208 +0) | \xe2\x9d\x8c max_drop 0.04 |");
	assert_has(s, "| 0.850 [0.820, 0.880] | +0.040 | 400 | \xe2\x9c\x85 min 0.80 |");
	assert_has(s, "\xe2\x9a\xaa inconclusive: max_drop 0.03 |");
	assert_has(s, "- <b>months.acc</b>: 1100 more samples would settle it\n");
	free(s);
	json_decref(r);
}

static void test_report_markdown__ten_samples_of_all(void **state)
{
	json_t *r = fixture(0);
	char *s = markdown(r, 0);

	(void)state;
	assert_has(s, "10 of 31 samples that broke (2 got better)</summary>\n\n|");
	assert_int_equal(count(s, "| <code>de/"), 10);
	assert_has(s, "| <code>de/0</code> | <code>Date&#58; 1. Februar 2003\xe2\x8f\x8eISO&#58;</code> | "
		      "<code>2003-02-01</code> | <code>2003-02-01</code> \xe2\x86\x92 "
		      "<code>2003-01-02\xe2\x90\xa3</code> |\n");
	free(s);
	json_decref(r);
}

/* The x, y and line lines of the chart; the line's points are counted. */
static size_t chart_points(const char *s)
{
	const char *line = strstr(s, "  line ["), *end;
	size_t n = 1;

	if (!line)
		return 0;
	end = strchr(line, ']');
	for (const char *p = line; p < end; p++)
		n += *p == ',';
	assert_true(end - strstr(s, "xychart-beta") < 2000);
	return n;
}

static void test_report_markdown__curve_is_sampled_down(void **state)
{
	static const struct {
		size_t given, shown;
	} cases[] = { { 0, 0 }, { 1, 0 }, { 2, 2 }, { 17, 17 }, { 40, 40 }, { 41, 40 }, { 5000, 40 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *r = fixture(cases[i].given);
		char *s = markdown(r, 0);

		assert_int_equal(chart_points(s), cases[i].shown);
		free(s);
		json_decref(r);
	}
}

static void test_report_markdown__curve_with_holes_stays_in_range(void **state)
{
	json_t *r = fixture(0), *curve = json_object_get(json_object_get(r, "training"), "curve");
	char *s;

	(void)state;
	json_array_append_new(curve, json_loads("[0, 4.0]", 0, NULL));
	json_array_append_new(curve, json_loads("[1, null]", 0, NULL));
	json_array_append_new(curve, json_loads("[2, 3.0]", 0, NULL));
	json_array_append_new(curve, json_loads("[100, 1.0]", 0, NULL));
	assert_int_equal(report_check(r), 0);
	s = markdown(r, 0);
	/* steps 0, 1 and 2 fall together: their mean; what is between is a straight line to the last */
	assert_has(s, "x-axis \"step\" 0 --> 100\n  y-axis \"training loss\" 1 --> 3.5\n  line [3.5, 2.667, 1.833, 1]");
	free(s);
	json_array_append_new(curve,
			      json_loads("[7, 0.5]", 0, NULL)); /* out of order: no chart rather than a wrong one */
	s = markdown(r, 0);
	assert_has(s, "FAIL");
	free(s);
	json_decref(r);
}

static void assert_harmless(const char *s)
{
	size_t columns_of_table = 0;

	assert_null(strstr(s, "<script"));
	assert_null(strstr(s, "@octocat"));
	assert_null(strstr(s, "#123"));
	assert_null(strstr(s, "!7"));
	assert_null(strstr(s, "http://"));
	assert_null(strstr(s, "www."));
	assert_null(strstr(s, "]("));
	assert_int_equal(count(s, "<details"), count(s, "</details>"));
	assert_int_equal(count(s, "<code>"), count(s, "</code>"));
	assert_int_equal(count(s, "<sub>"), count(s, "</sub>"));
	assert_int_equal(count(s, "`"), 6);   /* the chart's two fences */
	assert_int_equal(count(s, "-->"), 3); /* the chart's two axes and the marker */
	for (const char *line = s; *line; line = strchr(line, '\n') + 1) {
		size_t bars = 0;

		assert_true(*line != '/' && *line != '#' ? true : line == s);
		assert_int_not_equal(strncmp(line, "::", 2), 0);
		if (*line != '|') {
			columns_of_table = 0;
			continue;
		}
		for (const char *p = line; *p != '\n'; p++)
			bars += *p == '|';
		if (columns_of_table)
			assert_int_equal(bars, columns_of_table);
		columns_of_table = bars;
	}
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		assert_true(*p == '\n' || (*p >= 0x20 && *p != 0x7f));
	assert_true(utf8_valid(s, strlen(s), NULL));
	assert_null(strstr(s, "\342\200\256"));
	assert_null(strstr(s, "\302\233"));
}

static void test_report_markdown__hostile_text_stays_where_it_is_put(void **state)
{
	static const char *const evil[] = { FIXTURE_EVIL,
					    "/close",
					    "@octocat",
					    "- x",
					    "1. #123",
					    "# x",
					    "\n\n/close\n\n",
					    "</code></details>|",
					    "\\",
					    "\\|",
					    "&lt;script>",
					    "```\n`",
					    "<!-- -->",
					    "fix \342\206\222@octocat",
					    "\303\251@octocat",
					    "a\n@octocat" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(evil); i++) {
		json_t *r = fixture(50);
		char *s;

		fixture_poison(r, evil[i]);
		assert_int_equal(report_check(r), 0);
		s = markdown(r, 0);
		assert_harmless(s);
		free(s);
		json_decref(r);
	}
}

static void test_report_markdown__budget_drops_in_order_and_keeps_the_frame(void **state)
{
	json_t *r = fixture(50);
	char *whole = markdown(r, 0);
	size_t full = strlen(whole);
	bool chart = true, samples = true, same = true, reasons = true;

	(void)state;
	assert_true(full > 4000);
	for (size_t max = full; max > 200; max -= 97) {
		char *s = markdown(r, max);
		size_t len = strlen(s);

		assert_int_equal(strncmp(s, "### \xe2\x9d\x8c FAIL", 12), 0);
		assert_has(s, "de.exact_match fell.");
		assert_has(s, "<sub>commit <code>e4f5a6b</code>");
		assert_has(s, " exit=1 -->\n");
		if (len > max) /* only when nothing more may go */
			assert_true(!strstr(s, "| de.") && !strstr(s, "|---|"));
		/* what has gone does not come back, and goes in this order */
		chart = chart && strstr(s, "xychart-beta");
		samples = samples && strstr(s, "samples that broke");
		same = same && strstr(s, "without a clear change");
		reasons = reasons && strstr(s, "would settle it");
		assert_int_equal(strstr(s, "xychart-beta") != NULL, chart);
		assert_true(!chart || samples);
		assert_true(!samples || same);
		assert_true(!same || reasons);
		assert_true(!reasons || strstr(s, "de.exact_match,strict"));
		assert_int_equal(strstr(s, "Left out for length") != NULL, !chart);
		free(s);
	}
	assert_false(reasons);
	free(whole);
	json_decref(r);
}

static void test_report_markdown__hostile_within_a_forge_limit(void **state)
{
	json_t *r = fixture(50);
	char *s;

	(void)state;
	fixture_poison(r, FIXTURE_EVIL FIXTURE_EVIL FIXTURE_EVIL FIXTURE_EVIL FIXTURE_EVIL FIXTURE_EVIL);
	s = markdown(r, 60000);
	assert_true(strlen(s) <= 60000);
	assert_has(s, " exit=1 -->\n");
	free(s);
	json_decref(r);
}

static void test_report_markdown__equal_documents_equal_bytes(void **state)
{
	json_t *a = fixture(333), *b = fixture(333);
	char *x = markdown(a, 60000), *y = markdown(b, 60000);

	(void)state;
	assert_string_equal(x, y);
	free(x);
	free(y);
	json_decref(a);
	json_decref(b);
}

static void test_report_markdown__an_error_has_a_report_too(void **state)
{
	static const char text[] =
		"{\"format\":\"assay-report/1\",\"run\":null,\"verdict\":\"ERROR\",\"exit\":65,\"sentence\":"
		"\"assay.yaml:3:1: unknown key sutes\",\"rules\":[],\"metrics\":[],\"steps\":[{\"name\":"
		"\"read\",\"status\":\"failed\",\"seconds\":0.1}],\"notes\":[]}";
	json_t *r = NULL;
	char *s;

	(void)state;
	assert_int_equal(json_parse(&r, text, strlen(text), "t"), 0);
	assert_int_equal(report_check(r), 0);
	s = markdown(r, 0);
	assert_int_equal(
		strncmp(s, "### \xf0\x9f\x92\xa5 ERROR: no verdict\n\nassay.yaml:3:1: unknown key sutes\n\n", 60), 0);
	assert_has(s, "read failed");
	assert_has(s, "verdict=ERROR exit=65 -->");
	assert_null(strstr(s, "|---"));
	free(s);
	json_decref(r);
}

static void test_report_markdown__first_line_tells_whose_rules_and_whether_it_blocks(void **state)
{
	json_t *r = fixture(0);
	char *s;

	(void)state;
	json_object_set_new(json_object_get(r, "policy"), "source", json_string("candidate"));
	json_object_set_new(r, "verdict", json_string("INCONCLUSIVE"));
	json_object_set_new(r, "exit", json_integer(0));
	assert_int_equal(report_check(r), 0);
	s = markdown(r, 0);
	*strchr(s, '\n') = '\0';
	assert_has(s, "INCONCLUSIVE");
	assert_has(s, "candidate's own rules");
	assert_has(s, "does not block");
	free(s);
	json_decref(r);
}

static void assert_promotion(const char *state, json_t *from, const char *why, const char *wanted)
{
	json_t *r = json_object(), *p = json_object();
	struct buf out = BUF_INIT(1000);

	json_object_set_new(p, "state", json_string(state));
	json_object_set_new(p, "alias", json_string("production"));
	json_object_set_new(p, "from", from);
	json_object_set_new(p, "to", json_integer(3));
	json_object_set_new(p, "why", why ? json_string(why) : json_null());
	json_object_set_new(r, "promotion", p);
	report_add_promotion(r, &out);
	assert_string_equal(buf_str(&out), wanted);
	buf_release(&out);
	json_decref(r);
}

static void test_report_promotion__each_state_in_words(void **state)
{
	(void)state;
	assert_promotion("made", json_integer(2), NULL, "production moved from v2 to v3.");
	assert_promotion("made", json_null(), NULL, "production moved to v3.");
	assert_promotion("proposed", json_string("2"), NULL,
			 "production will move from v2 to v3 when the commit is on the remote's branch.");
	assert_promotion("kept", json_string("v2"), "the gate failed", "production stays at v2: the gate failed.");
	assert_promotion("refused", json_integer(2), "it moved meanwhile",
			 "production was not moved: it moved meanwhile.");
}

static void test_report_markdown__what_was_trained_on_is_told(void **state)
{
	json_t *r = fixture(0), *o = json_object_get(r, "overlap");
	char *s = markdown(r, 0);

	(void)state;
	assert_has(s, " of the 800 documents asked stand in the training data; not compared: data/blob.");
	assert_has(s, "| de | 3 of 400 | 2 | 1 | <code>17 at data/train.jsonl&#58;203, \xe2\x80\xa6</code> |");
	free(s);
	json_object_del(o, "missing");
	json_array_remove(json_object_get(o, "tasks"), 0);
	s = markdown(r, 0);
	assert_has(s, "None of the 400 documents asked stands in the training data");
	free(s);
	assert_int_equal(report_check(r), 0);
	json_object_set_new(json_array_get(json_object_get(o, "tasks"), 0), "n", json_string("many"));
	assert_int_equal(report_check(r), ERR_INPUT);
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_check__takes_what_it_describes),
		cmocka_unit_test(test_report_check__names_the_member_that_is_wrong),
		cmocka_unit_test(test_report_check__bounds_lists),
		cmocka_unit_test(test_report_rows__worst_first_each_metric_once),
		cmocka_unit_test(test_num__bounds_are_never_tighter_than_they_were),
		cmocka_unit_test(test_num__decimals_show_a_difference),
		cmocka_unit_test(test_text_show__makes_the_invisible_visible),
		cmocka_unit_test(test_report_markdown__verdict_first_marker_last),
		cmocka_unit_test(test_report_markdown__table_worst_first_unchanged_folded),
		cmocka_unit_test(test_report_markdown__ten_samples_of_all),
		cmocka_unit_test(test_report_markdown__curve_is_sampled_down),
		cmocka_unit_test(test_report_markdown__curve_with_holes_stays_in_range),
		cmocka_unit_test(test_report_markdown__hostile_text_stays_where_it_is_put),
		cmocka_unit_test(test_report_markdown__budget_drops_in_order_and_keeps_the_frame),
		cmocka_unit_test(test_report_markdown__hostile_within_a_forge_limit),
		cmocka_unit_test(test_report_markdown__equal_documents_equal_bytes),
		cmocka_unit_test(test_report_markdown__an_error_has_a_report_too),
		cmocka_unit_test(test_report_markdown__first_line_tells_whose_rules_and_whether_it_blocks),
		cmocka_unit_test(test_report_promotion__each_state_in_words),
		cmocka_unit_test(test_report_markdown__what_was_trained_on_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
