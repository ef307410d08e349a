/* test_template.c: templates against jinja2 (tests/golden/make_template.py), what errors say, and the bounds. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "model/model.h"

static int render(const char *text, const json_t *context, bool chat, struct buf *out)
{
	struct template *t = NULL;
	int rc = (chat ? template_parse_chat : template_parse)(&t, text, strlen(text), "t.yaml: doc_to_text");

	if (!rc)
		rc = template_render(t, context, out);
	template_free(t);
	return rc;
}

static void test_template_render__as_jinja2(void **state)
{
	(void)state;
	json_t *root = NULL, *one;
	size_t i, failures = 0;

	assert_int_equal(json_read(&root, "tests/golden/template.json", 1 << 24), 0);
	json_array_foreach(json_object_get(root, "cases"), i, one)
	{
		bool chat = !strcmp(json_string_value(json_array_get(one, 0)), "chat");
		const char *text = json_string_value(json_array_get(one, 1)),
			   *want = json_string_value(json_array_get(one, 3));
		const json_t *context = json_array_get(json_object_get(root, "contexts"),
						       (size_t)json_integer_value(json_array_get(one, 2)));
		struct buf out = BUF_INIT(1 << 20);
		int rc = render(text, context, chat, &out);
		if (want && rc)
			fail_msg("%s\n%s", text, err_text());
		if (want) {
			assert_string_equal(buf_str(&out), want);
		} else {
			failures++;
			if (rc != ERR_INPUT)
				fail_msg("%s\ngives \"%s\" where jinja2 fails", text, buf_str(&out));
			assert_int_equal(out.len, 0);
		}
		buf_release(&out);
	}
	assert_true(i > 190 && failures > 50);
	json_decref(root);
}

static void test_template__errors_say_where(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "{{ q }} {{ missing }}", "t.yaml: doc_to_text:1:12: 'missing' is undefined" },
		{ "a\n\u00e9 {{ d.nope }}", "t.yaml: doc_to_text:2:8: 'dict object' has no attribute 'nope'" },
		{ "{{ missing.x }}", "1:4: 'missing' is undefined" },
		{ "{{ missing|upper }}", "1:4: 'missing' is undefined" },
		{ "\n\n  {{ d[3] }}", "3:8: dict object has no element 3" },
		{ "{% if x %}", "1:11: the template ends inside a block: \"endif\" is wanted" },
		{ "{% for a in q %}{% else %}", "\"endfor\" is wanted" },
		{ "{{ q|uper }}", "there is no filter \"uper\"" },
		{ "{{ q is nun }}", "there is no test \"nun\"" },
		{ "{% include 'x' %}", "the statement \"include\" is not supported" },
		{ "{% break %}", "the statement \"break\" is not supported" },
		{ "{{ raise_exception('x') }}", "'raise_exception' is undefined" },
		{ "{{ q.encode() }}", "'str object' has no attribute 'encode'" },
		{ "{# never closed", "has no #}" },
		{ "{% raw %} x", "has no endraw" },
		{ "{{ 99999999999999999999 }}", "not a number that fits" },
		{ "{{ 9223372036854775807 + 1 }}", "does not fit into 64 bits" },
		{ "{{ 10 ** 100 }}", "does not fit into 64 bits" },
		{ "{{ '\\N{BULLET}' }}", "an escape that is not supported" },
		{ "{{ f(*q) }}", "* and ** in a call are not supported" },
		{ "{{ d.update({}) }}", "has no attribute 'update'" },
		{ "{{ d.list.append(1) }}", "cannot be changed" },
		{ "\xff", "not UTF-8 at byte 0" },
	};
	json_t *context = NULL;

	context = json_pack("{s:s, s:{s:i, s:[]}}", "q", "x", "d", "k", 1, "list");
	assert_non_null(context);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF_INIT(1 << 20);
		assert_int_equal(render(cases[i].text, context, false, &out), ERR_INPUT);
		if (!strstr(err_text(), cases[i].says))
			fail_msg("%s\n\"%s\" instead of \"%s\"", cases[i].text, err_text(), cases[i].says);
		assert_int_equal(out.len, 0);
		buf_release(&out);
	}
	assert_int_equal(render("{{ q|uper }}", context, false, &(struct buf)BUF_INIT(10)), ERR_INPUT);
	assert_non_null(strstr(err_fix(), "upper"));
	json_decref(context);
}

static void test_template_render__adds_behind_what_is_there(void **state)
{
	(void)state;
	json_t *context = json_pack("{s:s}", "q", "two");
	struct buf out = BUF_INIT(1 << 10);

	buf_adds(&out, "one ");
	assert_int_equal(render("{{ q }}", context, false, &out), 0);
	assert_string_equal(buf_str(&out), "one two");
	assert_int_equal(render("three {{ nothing }}", context, false, &out), ERR_INPUT);
	assert_string_equal(buf_str(&out), "one two");
	buf_release(&out);
	json_decref(context);
}

static void test_template_render__one_template_many_documents(void **state)
{
	(void)state;
	static const char text[] =
		"{% set ns = namespace(n=0) %}{% for x in xs %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}";
	struct template *t = NULL;

	assert_int_equal(template_parse(&t, text, sizeof(text) - 1, "t"), 0);
	for (int i = 0; i < 100; i++) {
		json_t *context = json_pack("{s:[i,i,i]}", "xs", i, 1, 2);
		struct buf out = BUF_INIT(1 << 10);
		char want[16];
		assert_int_equal(template_render(t, context, &out), 0);
		snprintf(want, sizeof(want), "%d", i + 3);
		assert_string_equal(buf_str(&out), want);
		buf_release(&out);
		json_decref(context);
	}
	template_free(t);
	template_free(NULL);
}

/* Templates that would run, print, grow or nest without end: each an error that says which bound. */
static void test_template_render__bounded(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "{% for a in range(2000) %}{% for b in range(2000) %}{% endfor %}{% endfor %}", "steps" },
		{ "{{ range(999999999999)|length }}", "steps" },
		{ "{{ ('a' * 40 ~ '!') | regex_replace('(a+)+$', '') }}", "it backtracks too much" },
		{ "{% for a in range(999) %}{{ ('a' * 17 ~ '!') | regex_replace('(a+)+$', '') }}{% endfor %}",
		  "steps" },
		{ "{{ ('x' * 99999) | regex_replace('x', 'y' * 99999) }}", "MiB" },
		{ "{{ 'x' * 99999999 }}", "MiB" },
		{ "{{ '%99999d' % 1 }}{{ 'x'.ljust(999999999) }}", "width" },
		{ "{{ '%999999999d'|format(1) }}", "a width or precision of more than 16777216" },
		{ "{{ '%.99999999999f'|format(1) }}", "a width or precision of more than 16777216" },
		{ "{{ '{:99999999}'.format('x') }}", "a width of more than 16777216 characters" },
		{ "{% for a in range(9) %}{{ '%9000000d'|format(1) }}{% endfor %}", "MiB" },
		{ "{% for a in range(1000) %}{{ 'x' * 99999 }}{% endfor %}", "MiB" },
		{ "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		  "MiB" },
		{ "{% set ns = namespace(s=['x']) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		  "steps" },
		{ "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "in each other" },
		{ "{% set l = [1] %}{% set _ = l.append(l) %}{{ l }}", "deep" },
		{ "{% set l = [1] %}{% set _ = l.append(l) %}{{ l == l }}{{ [l] == [[1, l]] }}", "deep" },
		{ "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}", "steps" },
		{ "{% set l = [1] %}{% set _ = l.append(l) %}{{ l|tojson }}", "deep" },
	};
	json_t *context = json_object();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF_INIT(BUF_NOLIMIT);
		assert_int_equal(render(cases[i].text, context, false, &out), ERR_INPUT);
		if (!strstr(err_text(), cases[i].says))
			fail_msg("%s\n\"%s\" instead of \"%s\"", cases[i].text, err_text(), cases[i].says);
		buf_release(&out);
	}
	json_decref(context);
}

static void check_deep(const char *open, const char *middle, const char *close, int n, int want)
{
	struct buf text = BUF_INIT(1 << 24), out = BUF_INIT(1 << 20);
	json_t *context = json_object();

	for (int i = 0; i < n; i++)
		buf_adds(&text, open);
	buf_adds(&text, middle);
	for (int i = 0; i < n; i++)
		buf_adds(&text, close);
	assert_int_equal(render(buf_str(&text), context, false, &out), want);
	json_decref(context);
	buf_release(&text);
	buf_release(&out);
}

static void test_template_parse__bounded_nesting(void **state)
{
	(void)state;
	check_deep("{% if 1 %}", "x", "{% endif %}", 60, 0);
	check_deep("{% if 1 %}", "x", "{% endif %}", 70, ERR_INPUT);
	check_deep("{% if 1 %}", "x", "{% endif %}", 10000, ERR_INPUT);
	check_deep("", "{{ [[[[[[[[1]]]]]]]] }}", "", 1, 0);
	check_deep("{{ (", "1", ")", 1, ERR_INPUT);
	check_deep("(", "{{ 1 }}", ")", 10000, 0); /* text, not code */
	check_deep("{{ -", "1", " }}", 1, 0);
	check_deep("{{ not not not not not not not not 1 }}", "", "", 1, 0);
}

static void test_template_parse__long_chains(void **state)
{
	(void)state;
	struct buf text = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	json_t *context = json_object();

	buf_adds(&text, "{{ 1");
	for (int i = 0; i < 500; i++)
		buf_adds(&text, " + 1");
	buf_adds(&text, " }}{% if 0 %}");
	for (int i = 0; i < 500; i++)
		buf_adds(&text, "{% elif 0 %}");
	buf_adds(&text, "{% else %}!{% endif %}");
	assert_int_equal(render(buf_str(&text), context, false, &out), 0);
	assert_string_equal(buf_str(&out), "501!");
	buf_clear(&text);
	buf_adds(&text, "{{ 1");
	for (int i = 0; i < 20000; i++)
		buf_adds(&text, " + 1");
	buf_adds(&text, " }}");
	assert_int_equal(render(buf_str(&text), context, false, &out), ERR_INPUT);
	json_decref(context);
	buf_release(&text);
	buf_release(&out);
}

/* Damaged templates: an error or a text, never a crash (run under the sanitizers). */
static void test_template__mutated(void **state)
{
	(void)state;
	static const char *const bits[] = { "{{",   "}}", "{%", "%}",   "(",   ")",    "[",    "]",   "|",    "-",
					    "'",    "\"", "~",  "not ", "is ", "loop", "for ", "if ", "else", "endif",
					    "set ", "1",  ":",  ",",    ".",   "**",   "\\",   "{#",  "\n" };
	json_t *root = NULL, *cases;
	struct rng r;
	int good = 0;

	rng_seed(&r, 5, 0);
	assert_int_equal(json_read(&root, "tests/golden/template.json", 1 << 24), 0);
	cases = json_object_get(root, "cases");
	for (int i = 0; i < 4000; i++) {
		const json_t *one = json_array_get(cases, (size_t)rng_below(&r, json_array_size(cases)));
		const char *text = json_string_value(json_array_get(one, 1));
		size_t len = strlen(text), at = (size_t)rng_below(&r, len + 1), cut = (size_t)rng_below(&r, 6);
		struct buf changed = BUF_INIT(1 << 20), out = BUF_INIT(1 << 26);
		int rc;
		buf_add(&changed, text, at);
		if (rng_below(&r, 2))
			buf_adds(&changed, bits[rng_below(&r, ARRAY_LEN(bits))]);
		if (at + cut < len)
			buf_adds(&changed, text + at + cut);
		rc = render(buf_str(&changed), json_array_get(json_object_get(root, "contexts"), rng_below(&r, 3)),
			    i & 1, &out);
		assert_true(rc == 0 || rc == ERR_INPUT);
		good += !rc;
		buf_release(&changed);
		buf_release(&out);
	}
	assert_true(good > 100);
	json_decref(root);
}

static void value_is(const char *text, const char *want)
{
	struct buf out = BUF_INIT(4096);
	struct template *t;
	json_t *context = json_pack("{s:s,s:i,s:[i,s],s:{s:b}}", "s", "x", "i", 3, "l", 1, "a", "d", "k", 1), *v = NULL;
	int rc = template_parse(&t, text, strlen(text), "t");

	rc = rc ? rc : template_value(t, context, &v);
	if (rc)
		buf_adds(&out, err_text());
	else
		json_add(&out, v);
	if (strncmp(buf_str(&out), want, strlen(want)) != 0)
		fail_msg("%s gave %s, not %s", text, buf_str(&out), want);
	json_decref(v);
	json_decref(context);
	template_free(t);
	buf_release(&out);
}

static void test_template_value__of_one_expression(void **state)
{
	(void)state;
	value_is("{{ s }}", "\"x\"");
	value_is("{{ i + 1 }}", "4");
	value_is("{{ i / 2 }}", "1.5");
	value_is("{{ i > 2 }}", "true");
	value_is("{{ none }}", "null");
	value_is("{{ l }}", "[1,\"a\"]");
	value_is("{{ [s, (i, l[1:])] }}", "[\"x\",[3,[\"a\"]]]");
	value_is("{{ {'b': d, 'a': range(2)} }}", "{\"a\":[0,1],\"b\":{\"k\":true}}");
	/* as wide as Jinja writes it, not as a buffer happens to be */
	value_is("{{ '%100000d'|format(7)|length }}", "100000");
	value_is("{{ ('%0300d'|format(7))[:2] ~ ('%0300d'|format(7))[298:] }}", "\"0007\"");
	value_is("{{ ['%.150f'|format(0.5), '%.300d'|format(7), '%-20000d'|format(7)]|map('length')|list }}",
		 "[152,300,20000]");
	value_is("{{ ['{:0300d}'.format(7), '{:>20000}'.format('x'), '%.11000s'|format('x' * "
		 "12000)]|map('length')|list }}",
		 "[300,20000,11000]");
	value_is("{{ i }}.", "\"3.\""); /* more than the expression: text */
	value_is("{% if i %}{{ i }}{% endif %}", "\"3\"");
	value_is("", "\"\"");
	value_is("{{ gone }}", "t:1:4: ");
	value_is("{{ {1: 2} }}", "t:1:4: a dict whose keys are not texts");
	value_is("{{ range }}", "t:1:4: a ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_template_render__as_jinja2),
		cmocka_unit_test(test_template__errors_say_where),
		cmocka_unit_test(test_template_render__adds_behind_what_is_there),
		cmocka_unit_test(test_template_render__one_template_many_documents),
		cmocka_unit_test(test_template_render__bounded),
		cmocka_unit_test(test_template_parse__bounded_nesting),
		cmocka_unit_test(test_template_parse__long_chains),
		cmocka_unit_test(test_template__mutated),
		cmocka_unit_test(test_template_value__of_one_expression),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
