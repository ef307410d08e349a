/* test_filter.c: filters and regular expressions as lm-evaluation-harness and Python have them
 * (tests/golden/make_requests.py), what a bad filter_list gets, and expressions that would never end. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals/evals_int.h"
#include "evals_fake.h"

static json_t *golden;

static int setup(void **state)
{
	(void)state;
	return json_read(&golden, "tests/golden/requests.json", 1 << 22);
}

static int teardown(void **state)
{
	(void)state;
	json_decref(golden);
	return 0;
}

/* The one pipeline of these steps. */
static int load(struct filter **out, size_t *n, json_t *steps, int repeats)
{
	json_t *map = json_pack("{s:[{s:s,s:O}]}", "filter_list", "name", "f", "filter", steps);
	struct buf text = BUF_INIT(1 << 16);
	struct source src = { .path = "t.yaml" };
	struct yaml *y = NULL;
	int rc;

	json_add(&text, map);
	rc = yaml_parse(&y, buf_str(&text), text.len, "t.yaml");
	if (!rc) {
		src.y = y;
		src.map = yaml_root(y);
		rc = filters_load(out, n, &src, true, repeats);
	}
	json_decref(map);
	buf_release(&text);
	yaml_free(y);
	return rc;
}

static void applied(const struct filter *f, const json_t *responses, const char *want)
{
	struct doc d = { .value = json_pack("{s:O}", "choices", json_object_get(golden, "choices")),
			 .file = "d.jsonl" };
	struct text texts[16];
	struct buf out = BUF_INIT(1 << 16);
	size_t n = json_array_size(responses);

	for (size_t i = 0; i < n; i++)
		texts[i] = (struct text){ json_string_value(json_array_get(responses, i)),
					  json_string_length(json_array_get(responses, i)) };
	if (filter_apply(f, texts, n, &d, &out))
		fail_msg("%s", err_text());
	if (strcmp(buf_str(&out), want) != 0)
		fail_msg("\"%s\" gave \"%s\", not \"%s\"", texts[0].s, buf_str(&out), want);
	buf_release(&out);
	json_decref(d.value);
}

static void test_filter_apply__is_the_harness_s(void **state)
{
	json_t *one, *row;
	size_t i, k, n, cases = 0;

	(void)state;
	json_array_foreach(json_object_get(golden, "filters"), i, one)
	{
		struct filter *f = NULL;

		if (load(&f, &n, json_object_get(one, "steps"), (int)json_get_int(one, "repeats", 0)))
			fail_msg("%s", err_text());
		json_array_foreach(json_object_get(one, "cases"), k, row)
		{
			applied(f, json_array_get(row, 0), json_string_value(json_array_get(row, 1)));
			cases++;
		}
		filters_free(f, n);
	}
	assert_true(cases >= 180);
}

static void test_pyregex_find__is_python_s_findall(void **state)
{
	json_t *one, *text;
	size_t i, k, n = 0;

	(void)state;
	json_array_foreach(json_object_get(golden, "regexes"), i, one)
	{
		json_t *steps = json_pack("[{s:s,s:O,s:O,s:s},{s:s}]", "function", "regex", "regex_pattern",
					  json_object_get(one, "pattern"), "group_select",
					  json_object_get(one, "select"), "fallback", "[no]", "function", "take_first");
		struct filter *f = NULL;
		size_t filters;

		if (load(&f, &filters, steps, 1))
			fail_msg("%s", err_text());
		json_array_foreach(json_object_get(golden, "texts"), k, text)
		{
			json_t *list = json_pack("[O]", text);

			applied(f, list, json_string_value(json_array_get(json_object_get(one, "found"), k)));
			json_decref(list);
			n++;
		}
		filters_free(f, filters);
		json_decref(steps);
	}
	assert_true(n >= 700);
}

static void test_pyregex_compile__what_python_has_not_is_refused(void **state)
{
	static const char *const patterns[] = { "(a",      "[a",    "\\h",    "a\\Kb", "(?R)",     "(?1)", "(*ACCEPT)",
						"(?|a|b)", "(?C1)", "\\",     "\\x4",  "\\u12",    "[\\",  "[z-a]",
						"(?<n>x)", "a**",   "(?P>n)", "[\\Z]", "\\N{DASH}" };
	struct pyregex *r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		if (pyregex_compile(&r, patterns[i]) != ERR_INPUT)
			fail_msg("%s was taken", patterns[i]);
		assert_null(r);
		assert_non_null(strstr(err_text(), "regular expression"));
	}
}

/* Each would run for years, or all day. */
static void test_pyregex_find__gives_up(void **state)
{
	static const char *const patterns[] = { "(a+)+$",
						"(a|a)*[bc]",
						"(?=(a+)+$)",
						"^(([a-z])+.)+[A-Z]([a-z])+$",
						"(a*)*(a*)*(a*)*[cd]",
						"(?:a?){30}a{30}[bc]|(a*a*a*)*[x-z]" };
	struct buf text = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	enum pyregex_found found;
	struct pyregex *r;

	(void)state;
	for (int i = 0; i < 20000; i++)
		buf_addc(&text, 'a');
	buf_addc(&text, '!');
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		assert_int_equal(pyregex_compile(&r, patterns[i]), 0);
		if (pyregex_find(r, &text, i % 2 ? 0 : -1, &out, &found) != ERR_INPUT)
			fail_msg("%s ended", patterns[i]);
		assert_non_null(strstr(err_text(), "backtracks too much"));
		pyregex_free(r);
	}
	assert_int_equal(pyregex_compile(&r, "a+"), 0); /* a long text alone is no reason */
	assert_int_equal(pyregex_find(r, &text, 0, &out, &found), 0);
	assert_int_equal(found, PYREGEX_TEXT);
	pyregex_free(r);
	buf_release(&text);
	buf_release(&out);
}

/* Patterns of Python's letters in any order: taken or refused, and if taken, they end. */
static void test_pyregex__random_patterns_do_no_harm(void **state)
{
	static const char *const parts[] = { "a",      "b",   "(",    ")",       "[",        "]",   "^",
					     "$",      "\\s", "\\w",  "\\S",     "\\Z",      "*",   "+",
					     "?",      "|",   "{,2}", "{1,}",    "(?:",      "(?=", "(?<!",
					     "(?P<n>", "\\1", "\\",   "\\u00e9", "\xc3\xa9", "-",   "[^",
					     "\\b",    ".",   "(?i)", "\\x41",   "{",        "[]",  "(?#" };
	struct buf text = BUF_INIT(1 << 16), out = BUF_INIT(1 << 20);
	struct rng rng;
	int taken = 0;

	(void)state;
	buf_adds(&text, "ab b\xc3\xa9 aab\nA\xe2\x82\xac ba aaa bbb");
	rng_seed(&rng, 7, 0);
	for (int i = 0; i < 20000; i++) {
		struct buf pattern = BUF_INIT(1 << 10);
		enum pyregex_found found;
		struct pyregex *r;

		for (uint64_t n = 1 + rng_below(&rng, 8); n--;)
			buf_adds(&pattern, parts[rng_below(&rng, ARRAY_LEN(parts))]);
		buf_clear(&out);
		if (pyregex_compile(&r, buf_str(&pattern)) == 0) {
			struct buf copy = BUF_INIT(1 << 16);

			taken++;
			buf_adds(&copy, buf_str(&text));
			if (pyregex_find(r, &text, (int)rng_below(&rng, 5) - 2, &out, &found) == 0)
				assert_true(found == PYREGEX_TEXT || out.len == 0);
			pyregex_remove(r, &copy);
			assert_true(copy.len <= text.len);
			pyregex_free(r);
			buf_release(&copy);
		}
		buf_release(&pattern);
	}
	assert_true(taken > 2000 && taken < 18000);
	buf_release(&text);
	buf_release(&out);
}

/* ---- filter_list --------------------------------------------------------------------------------------------------- */

#define TASK                                                                                                           \
	"task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\ntest_split: test\n"               \
	"doc_to_text: q\ndoc_to_target: a\n"
#define DOC                                                                                                            \
	"{\"q\":\"x\",\"a\":\"4\",\"choices\":[\"four\",\"five\"]}\n{\"q\":\"y\",\"a\":\"5\",\"choices\":[\"four\","   \
	"\"five\"]}\n"

static int task(struct suite **s, const char *keys)
{
	char *text = mem_printf("%s%s", TASK, keys);
	int rc = FAKE_LOAD(s, "t.yaml", { "t.yaml", text }, { "d.jsonl", DOC });

	free(text);
	return rc;
}

static void refused(const char *keys, const char *says)
{
	struct suite *s;
	int rc = task(&s, keys);

	if (rc != ERR_INPUT || !strstr(err_text(), says))
		fail_msg("%s\ngave %d \"%s\", not \"%s\"", keys, rc, rc ? err_text() : "", says);
}

static void test_filters_load__mistakes(void **state)
{
	(void)state;
#define STEP(step) "filter_list: [{name: f, filter: [" step ", {function: take_first}]}]\n"
	refused("filter_list: x\n", "t.yaml:7:1: filter_list: expected a list of 1 to 16 pipelines");
	refused("filter_list: []\n", "expected a list of 1 to 16 pipelines");
	refused("filter_list: [x]\n", "expected a list of {name: …, filter: […]}");
	refused("filter_list: [{filter: []}]\n", "a filter needs a name");
	refused("filter_list: [{name: 'a b', filter: []}]\n", "a filter needs a name without spaces or commas");
	refused("filter_list: [{name: f}]\n", "filter: expected a list of at most 16 steps");
	refused("filter_list: [{name: f, filter: [], x: 1}]\n", "unknown key \"x\"");
	refused("filter_list: [{name: f, filter: []}, {name: f, filter: []}]\n", "two filters are named \"f\"");
	refused(STEP("take_first"), "expected a list of {function: …}");
	refused(STEP("{k: 1}"), "a step of a filter needs a function");
	refused(STEP("{function: regexx}"), "unknown filter \"regexx\"; did you mean \"regex\"?");
	refused(STEP("{function: custom}"),
		"the filter custom runs a function of the task, and Python is not run here");
	refused(STEP("{function: regex_pos}"),
		"the filter regex_pos is not built: what it makes is scored by a Python function");
	refused(STEP("{function: decontaminate}"),
		"the filter decontaminate does nothing in the harness: leave it out");
	refused(STEP("{function: format_span}"), "is not built: what it makes is scored by a Python function");
	refused(STEP("{function: regex, pattern: x}"), "unknown key \"pattern\" in regex");
	refused(STEP("{function: regex, regex_pattern: '(x'}"),
		"t.yaml:7:52: regular expression \"(x\": missing closing");
	refused(STEP("{function: regex, group_select: x}"), "group_select");
	refused(STEP("{function: multi_choice_regex, regexes_to_ignore: x}"), "expected a list of at most 32 texts");
	refused(STEP("{function: multi_choice_regex, regexes_to_ignore: ['(']}"), "regular expression \"(\"");
	refused(STEP("{function: map, mapping_dict: [1]}"), "mapping_dict: expected a mapping");
	refused(STEP("{function: map, mapping_dict: {a: [1]}}"), "mapping_dict: expected text or a number");
	refused(STEP("{function: take_first_k}"), "take_first_k needs k");
	refused(STEP("{function: take_first_k, k: 2}"), "take_first_k wants 2 responses and there is 1: set repeats");
	refused("repeats: 3\nfilter_list: [{name: f, filter: [{function: lowercase}]}]\n",
		"filter f leaves more than one response to score");
	refused("filter_list: [{name: f, filter: [{function: take_first}, {function: lowercase}]}]\n",
		"filter f leaves more than one response to score");
	refused("repeats: 0\n", "repeats");
	refused("repeats: 1025\n", "repeats");
	refused("output_type: loglikelihood\n" STEP("{function: lowercase}"), "works on text, and this output_type");
}

static const char *long_answers(const char *prompt)
{
	return *prompt == 'x' ? "I say 4. Or 5?" : "a a a 4";
}

static const char *endless_answer(const char *prompt)
{
	return *prompt == 'x'
		       ? "4"
		       : "so a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a";
}

static void test_suite_run__every_filter_is_scored(void **state)
{
	struct fake_model m = { .reply = long_answers };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_options o = { 0 };
	struct suite_result *r;
	struct task_result back;
	struct buf text = BUF_INIT(1 << 16);
	struct suite *s;

	(void)state;
	assert_int_equal(
		task(&s, "filter_list:\n- name: first\n  filter: [{function: regex, regex_pattern: '\\d'}, "
			 "{function: take_first}]\n- name: last\n  filter: [{function: regex, regex_pattern: '\\d', "
			 "group_select: -1}, {function: take_first}]\n"),
		0);
	assert_int_equal(suite_run(&r, s, &scorer, &o), 0);
	assert_int_equal(r->tasks[0].n_metrics, 2);
	assert_string_equal(r->tasks[0].metrics[0].filter, "first");
	assert_string_equal(r->tasks[0].metrics[1].filter, "last");
	assert_true(r->tasks[0].metrics[0].value == 0.5 && r->tasks[0].metrics[0].scores[0] == 1);
	assert_true(r->tasks[0].metrics[1].value == 0);
	assert_string_equal(r->tasks[0].samples[0].response, "I say 4. Or 5?");
	task_result_write(&r->tasks[0], &text);
	assert_non_null(strstr(buf_str(&text), "{\"answers\":{\"first\":\"4\",\"last\":\"5\"}"));
	assert_int_equal(task_result_read(&back, buf_str(&text), text.len, "x"), 0);
	assert_string_equal(json_get_text(back.samples[1].answers, "last", ""), "4");
	task_result_release(&back);
	suite_result_free(r);
	suite_free(s);
	buf_release(&text);
	buf_release(&m.log);
}

static void test_suite_run__a_regex_without_end_is_one_error(void **state)
{
	struct fake_model m = { .reply = long_answers };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_options o = { 0 };
	struct suite_result *r;
	struct suite *s;

	(void)state;
	assert_int_equal(task(&s, "filter_list: [{name: f, filter: [{function: regex, regex_pattern: "
				  "'^(([a-z ])+.?)+[A-Z]([a-z])+$'}, {function: take_first}]}]\n"),
			 0);
	m.reply = endless_answer;
	assert_int_equal(suite_run(&r, s, &scorer, &o), ERR_INPUT);
	assert_non_null(
		strstr(err_text(), "task t, sample 1: d.jsonl:2: filter f: the regular expression \"^(([a-z ])+"));
	assert_null(r);
	suite_free(s);
	buf_release(&m.log);
}

static int sampled(void *self, const struct generate_until *reqs, size_t n, struct generated *out,
		   const struct scorer_watch *watch)
{
	size_t *asked = self;

	(void)watch;
	for (size_t i = 0; i < n; i++) {
		out[i].text = mem_printf("%d", reqs[i].prompt[0] == 'x' ? (i % 3 ? 4 : 5) : (int)(i % 3));
		out[i].len = strlen(out[i].text);
		assert_true(!i || reqs[i].temperature == 0 || reqs[i].seed != reqs[i - 1].seed);
	}
	*asked += n;
	return 0;
}

static void test_suite_run__repeats_are_asked_and_vote(void **state)
{
	static const char *const greedy[] = { "", "generation_kwargs: {temperature: 0.7}\n" };
	struct suite_options o = { 0 };
	struct suite_result *r;
	struct suite *s;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t asked = 0;
		struct scorer scorer = { &asked, NULL, sampled, NULL };
		char *keys = mem_printf("repeats: 3\n%sfilter_list: [{name: vote, filter: [{function: majority_vote}, "
					"{function: take_first}]}]\n",
					greedy[i]);

		assert_int_equal(task(&s, keys), 0);
		assert_int_equal(suite_run(&r, s, &scorer, &o), 0);
		assert_int_equal(asked, i ? 6 : 2); /* the same text thrice need not be written thrice */
		assert_true(r->tasks[0].metrics[0].scores[0] == (double)i);
		suite_result_free(r);
		suite_free(s);
		free(keys);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter_apply__is_the_harness_s),
		cmocka_unit_test(test_pyregex_find__is_python_s_findall),
		cmocka_unit_test(test_pyregex_compile__what_python_has_not_is_refused),
		cmocka_unit_test(test_pyregex_find__gives_up),
		cmocka_unit_test(test_pyregex__random_patterns_do_no_harm),
		cmocka_unit_test(test_filters_load__mistakes),
		cmocka_unit_test(test_suite_run__every_filter_is_scored),
		cmocka_unit_test(test_suite_run__a_regex_without_end_is_one_error),
		cmocka_unit_test(test_suite_run__repeats_are_asked_and_vote),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, setup, teardown);
}
