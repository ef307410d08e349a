/* test_report_html.c: the report's page: what stands in it, that equal reports give equal bytes, and that no text of a
 * stranger becomes more than text. (A real browser opens it in tests/ci/run.) */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/digest.h"
#include "ci/html_int.h"
#include "unit/report_fixture.h"

/* Texts that end an element, an attribute, a comment or a script, or hide. */
static const char *const evils[] = {
	"</script><script>alert(1)</script>",
	"<!--<script>",
	"-->]]></style><style>*{}",
	"\"><img src=x onerror=alert(1)>",
	"' onclick='alert(1)",
	"\342\200\256\342\201\246\357\273\277\342\200\213hidden",
	"\033]0;title\a\033[31m\302\23331m\177",
	"::set-output name=x::y\n/close\r\n::error::x",
	"&lt;script&gt;&#60;b&#62;",
	FIXTURE_EVIL,
};

static json_t *pairs_of(const char *text)
{
	return json_pack("{s:[{s:s,s:[s],s:[b],s:i,s:b,s:[[s,s,s,s,s,s,[f],[f]],[s,n,s,s,n,s,n,[f]]]}],s:i,s:i}",
			 "tasks", "task", text, "metrics", text, "up", 1, "key", 0, "binary", 1, "rows", text, text,
			 text, text, text, text, 1.0, 0.0, "two", text, text, text, 1.0, "total", 3, "shown", 2);
}

static json_t *rich(void)
{
	json_t *r = fixture(50);

	json_object_set_new(r, "slices",
			    json_pack("[{s:s,s:s,s:s,s:i,s:f,s:f,s:f}]", "task", "de", "metric", "acc", "slice",
				      "north", "n", 40, "value", 0.5, "stderr", 0.02, "baseline", 0.6));
	json_object_set_new(r, "calibration",
			    json_pack("[{s:s,s:[[f,f,i],[f,f,i]],s:n}]", "task", "de", "bins", 0.3, 0.25, 10, 0.8, 0.6,
				      30, "baseline"));
	json_object_set_new(r, "datasets",
			    json_pack("[{s:s,s:s,s:i,s:i,s:s}]", "path", "data/train.jsonl", "digest", "ab12", "rows",
				      7, "bytes", 900, "role", "train"));
	json_object_set_new(r, "edges",
			    json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s}]", "from", "data:ab12", "to", "model:m1",
				      "relation", "trained", "from", "commit:c1", "to", "model:m1", "relation",
				      "defines"));
	return r;
}

static char *page(const json_t *report, const json_t *pairs)
{
	struct buf out = BUF_INIT(BUF_NOLIMIT);

	report_html(report, pairs, &out);
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
		fail_msg("no \"%s\"", what);
}

static void test_report_html__has_its_parts_in_order(void **state)
{
	static const char *const wanted[] = { "metrics",     "slices",  "samples", "training",
					      "calibration", "overlap", "steps",   "lineage" };
	json_t *r = rich(), *p = pairs_of("x");
	char *html = page(r, p);
	const char *at = html;

	(void)state;
	assert_int_equal(report_check(r), 0);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		char *mark = mem_printf("<section id=\"%s\">", wanted[i]);

		at = strstr(at, mark);
		if (!at)
			fail_msg("no %s, or not in its place", mark);
		free(mark);
		mark = mem_printf("<a href=\"#%s\">", wanted[i]);
		assert_has(html, mark);
		free(mark);
	}
	assert_has(html, "2 of 3 samples are in this page");
	free(html);
	json_decref(r);
	json_decref(p);
}

static void test_report_html__same_report_same_bytes(void **state)
{
	json_t *r = rich(), *p = pairs_of("x");
	char *a = page(r, p), *b = page(r, p);

	(void)state;
	assert_string_equal(a, b);
	free(a);
	free(b);
	json_decref(r);
	json_decref(p);
}

/* The text of the element that begins at or behind `from`. */
static char *inside(const char *from, const char *open, const char *close)
{
	const char *a = strstr(from, open), *b = a ? strstr(a, close) : NULL;

	assert_non_null(b);
	return mem_strn(a + strlen(open), (size_t)(b - a) - strlen(open));
}

static void test_report_html__the_policy_names_exactly_what_is_in_the_page(void **state)
{
	json_t *r = rich(), *p = pairs_of("x");
	char *html = page(r, p),
	     *parts[] = { inside(html, "<style>", "</style>"), inside(html, "<script>", "</script>") };

	(void)state;
	assert_has(html, "default-src 'none'");
	for (size_t i = 0; i < 2; i++) {
		struct digest d = digest_bytes(parts[i], strlen(parts[i]));
		char base64[45], *source;

		digest_base64(base64, &d);
		source = mem_printf("%s-src 'sha256-%s'", i ? "script" : "style", base64);
		assert_has(html, source);
		free(source);
		free(parts[i]);
	}
	assert_int_equal(count(html, "http://"), 0);
	assert_int_equal(count(html, "https://"), 0);
	free(html);
	json_decref(r);
	json_decref(p);
}

/* No byte of a control character, no character that hides or turns; every '<' begins an element of ours. */
static void assert_inert(const char *html, const char *evil)
{
	static const char *const hidden[] = { "\342\200\256", "\342\201\246", "\357\273\277", "\342\200\213",
					      "\302\233" };
	static const char *const elements[] = { "<img", "<script>alert", "<b>", "<!--", "<style>*" };

	for (const char *c = html; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7F)
			fail_msg("byte %02x of %s", *c, evil);
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (strstr(html, hidden[i]))
			fail_msg("a hidden character of %s", evil);
	for (size_t i = 0; i < ARRAY_LEN(elements); i++)
		if (strstr(html, elements[i]))
			fail_msg("%s of %s", elements[i], evil);
}

static void test_report_html__hostile_texts_stay_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(evils); i++) {
		json_t *plain = rich(), *evil = rich(), *p = pairs_of("x"), *q = pairs_of(evils[i]);
		char *a, *b;

		fixture_poison(evil, evils[i]);
		json_object_set_new(evil, "kind", json_null());
		b = page(evil, NULL); /* nothing but elements and their attributes */
		assert_null(strstr(b, "' onclick"));
		assert_null(strstr(b, "\"><img"));
		free(b);
		a = page(plain, p);
		b = page(evil, q);
		assert_inert(b, evils[i]);
		/* one script, one block of data, one style, and each closed once */
		assert_int_equal(count(b, "<script"), 2);
		assert_int_equal(count(b, "</script"), 2);
		assert_int_equal(count(b, "</style"), 1);
		assert_int_equal(count(b, "<section"), count(a, "<section"));
		assert_int_equal(count(b, "<table"), count(a, "<table"));
		assert_int_equal(count(b, "</main>"), 1);
		free(a);
		free(b);
		json_decref(plain);
		json_decref(evil);
		json_decref(p);
		json_decref(q);
	}
}

static void test_html_json__reads_back_and_closes_nothing(void **state)
{
	json_t *v = json_pack("{s:[s,s,f,n,b]}", "a<b", "</script>\n<!-- & \"\\ \t", "\342\200\250 \001", 0.1, 1),
	       *back;
	struct buf out = BUF_INIT(4096);

	(void)state;
	html_json(&out, v);
	assert_null(strpbrk(buf_str(&out), "<>&"));
	assert_int_equal(json_parse(&back, buf_str(&out), out.len, "block"), 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(back, "a<b"), 0)),
			    "</script>\n<!-- & \"\\ \t");
	/* a line separator and a control byte are shown as what they are */
	assert_string_equal(json_string_value(json_array_get(json_object_get(back, "a<b"), 1)),
			    "\342\217\216 \342\220\201");
	json_decref(v);
	json_decref(back);
	buf_release(&out);
}

static void test_report_html__a_diff_has_two_names_and_no_verdict(void **state)
{
	json_t *r = rich();
	char *html;

	(void)state;
	json_object_set_new(r, "kind", json_string("diff"));
	json_object_set_new(r, "verdict", json_null());
	json_object_set_new(r, "exit", json_integer(0));
	json_object_set_new(r, "name", json_string("dates@v9"));
	assert_int_equal(report_check(r), 0);
	html = page(r, NULL);
	assert_has(html, "<bdi class=\"side a\">production</bdi>");
	assert_has(html, "<bdi class=\"side b\">dates@v9</bdi>");
	assert_null(strstr(html, "class=\"verdict"));
	free(html);
	json_object_set_new(r, "verdict", json_string("PASS"));
	assert_int_equal(report_check(r), ERR_INPUT);
	json_decref(r);
}

static void test_report_html__the_head_says_each_thing_once(void **state)
{
	json_t *r = rich(), *steps = json_pack("[{s:s,s:s,s:f}]", "name", "gate", "status", "skipped", "seconds", 0.0);
	char *html;

	(void)state;
	json_object_set_new(r, "policy", json_pack("{s:s}", "source", "candidate"));
	json_object_set_new(r, "rules", json_array());
	json_object_set_new(r, "verdict", json_string("INCONCLUSIVE"));
	json_object_set_new(r, "exit", json_integer(0));
	json_object_set_new(r, "steps", steps); /* a repair: nothing was judged, and not by its own rules either */
	json_object_set_new(r, "sentence", json_string("not judged; does not block"));
	html = page(r, NULL);
	assert_has(html, "<p class=\"count\">not judged");
	assert_null(strstr(html, "the target branch has none yet"));
	free(html);
	json_array_clear(steps);
	html = page(r, NULL);
	assert_has(html, "<p class=\"count\">no rule to judge by");
	free(html);
	json_decref(r);
}

/* Files of one content are one node, which is called by all of them, not by the first. */
static void test_report_html__files_of_one_content(void **state)
{
	static const char *const names[] = { "<bdi>a.jsonl</bdi>", "<bdi>a.jsonl = b.jsonl</bdi>",
					     "<bdi>a.jsonl, and 2 more</bdi>" };
	static const char paths[] = "abbc"; /* one twice: to train on and to validate by */

	(void)state;
	for (size_t n = 1; n <= 3; n++) {
		json_t *r = rich(), *list = json_array();
		char *html;

		for (size_t i = 0; i < (n == 1 ? 1 : n == 2 ? 3 : 4); i++) {
			char *path = mem_printf("%c.jsonl", paths[i]);

			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:n,s:i,s:s}", "path", path, "digest", "d1g", "rows",
							"bytes", 1, "role", i == 2 ? "validation" : "train"));
			free(path);
		}
		json_object_set_new(r, "datasets", list);
		json_object_set_new(r, "edges",
				    json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s}]", "from", "data:d1g", "to", "model:m",
					      "relation", "trained", "from", "data:d1g", "to", "model:m", "relation",
					      "trained"));
		html = page(r, NULL);
		assert_has(html, names[n - 1]);
		assert_int_equal(count(html, "<i>trained \xe2\x86\x92</i>"), 1);
		free(html);
		json_decref(r);
	}
}

/* A forged report: lists that are none, numbers beyond all bounds, lineage in a circle. */
static void test_report_html__nonsense_is_drawn_without_harm(void **state)
{
	static const char text[] =
		"{\"format\":\"assay-report/"
		"1\",\"verdict\":\"PASS\",\"exit\":0,\"sentence\":\"\",\"rules\":[{\"rule\":\"a: max_drop "
		"1e999\",\"delta\":1e308,\"baseline\":-1e308,\"candidate\":1e308,\"interval\":[null,1e308]},{\"rule\":"
		"\"b: min "
		"low\"},{\"rule\":\"c: max_drop "
		"-3%\",\"delta\":0,\"baseline\":0,\"interval\":[0,0],\"n\":-5}],\"metrics\":[],"
		"\"steps\":[{\"name\":\"x\",\"status\":\"y\",\"seconds\":-1e300},{\"name\":\"x\",\"status\":\"y\","
		"\"seconds\":1e308}],"
		"\"notes\":[],\"training\":{\"curve\":[[9007199254740991,1e308],[-9007199254740991,-1e308],[3,null]]},"
		"\"slices\":[{\"task\":\"a\",\"metric\":\"b\",\"slice\":\"c\",\"n\":0,\"value\":1e308,\"baseline\":-"
		"1e308}],"
		"\"edges\":[{\"from\":\"a\",\"to\":\"b\",\"relation\":\"r\"},{\"from\":\"b\",\"to\":\"a\",\"relation\":"
		"\"r\"},"
		"{\"from\":\"a\",\"to\":\"a\",\"relation\":\"r\"}]}";
	json_t *r = NULL;
	char *html;

	(void)state;
	if (json_parse(&r, text, strlen(text), "forged"))
		fail_msg("%s", err_text());
	if (report_check(r))
		fail_msg("%s", err_text());
	html = page(r, NULL);
	assert_null(strstr(html, "nan"));
	assert_null(strstr(html, "inf\""));
	free(html);
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_html__has_its_parts_in_order),
		cmocka_unit_test(test_report_html__same_report_same_bytes),
		cmocka_unit_test(test_report_html__files_of_one_content),
		cmocka_unit_test(test_report_html__the_head_says_each_thing_once),
		cmocka_unit_test(test_report_html__the_policy_names_exactly_what_is_in_the_page),
		cmocka_unit_test(test_report_html__hostile_texts_stay_texts),
		cmocka_unit_test(test_html_json__reads_back_and_closes_nothing),
		cmocka_unit_test(test_report_html__a_diff_has_two_names_and_no_verdict),
		cmocka_unit_test(test_report_html__nonsense_is_drawn_without_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
