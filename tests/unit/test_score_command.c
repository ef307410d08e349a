/* test_score_command.c: a metric that a program gives: what it reads, what its output must be, what is a question. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals_fake.h"

#define TASK(more)                                                                                                     \
	"task: open\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\ntest_split: test\n"            \
	"doc_to_text: \"{{q}}?\"\ndoc_to_target: \"{{t}}\"\n" more
#define SCORE "score: {command: [python3, s.py], inputs: [s.py], metric: own, higher_is_better: false}\n"
#define DATA                                                                                                           \
	"{\"id\":\"a\",\"q\":\"one\",\"t\":\"A\"}\n{\"id\":\"b\",\"q\":\"two\",\"t\":\"B\"}\n"                         \
	"{\"id\":\"c\",\"q\":\"three\",\"t\":\"C\"}\n"

struct bench {
	const char *says;
	int ready;
	size_t calls;
	char read[2000];
};

static int ready(void *self)
{
	const struct bench *b = self;

	return b->ready ? err_set(b->ready, "not here") : 0;
}

static int run_command(void *self, const struct score_command *c, const char *in, size_t len, struct buf *out)
{
	struct bench *b = self;

	b->calls++;
	snprintf(b->read, sizeof(b->read), "%.*s", (int)len, in);
	assert_string_equal(c->argv[0], "python3");
	assert_int_equal(c->n_files, 1);
	assert_string_equal(c->files[0].path, "s.py");
	assert_string_equal(buf_str(&c->files[0].bytes), "print()");
	buf_adds(out, b->says);
	return 0;
}

static const char *reply(const char *prompt)
{
	return strstr(prompt, "one") ? "x\ny" : strstr(prompt, "two") ? "\"" : "\xff";
}

static int load(struct suite **out, const char *task, const char *program)
{
	return FAKE_LOAD(out, "e/t.yaml", { "e/t.yaml", task }, { "d.jsonl", DATA }, { "e/s.py", program });
}

static int run(struct suite_result **out, const char *task, struct bench *b)
{
	struct command_host host = { b, ready, run_command };
	struct fake_model m = { .reply = reply };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite *s = NULL;
	int rc;

	m.log = (struct buf)BUF_INIT(1 << 20);
	if (load(&s, task, "print()"))
		fail_msg("%s", err_text());
	rc = suite_run(out, s, &scorer, &(struct suite_options){ .seed = 1, .commands = b ? &host : NULL });
	suite_free(s);
	buf_release(&m.log);
	return rc;
}

static void test_score_command__scores(void **state)
{
	struct bench b = { .says = "{\"id\":\"c\",\"score\":3}\r\n\n{\"id\":\"a\",\"score\":-1.5,\"why\":1}\n"
				   "{\"id\":\"b\",\"score\":0}" };
	struct suite_result *r = NULL;

	(void)state;
	assert_int_equal(run(&r, TASK(SCORE "metric_list: [{metric: exact_match}]\n"), &b), 0);
	assert_int_equal(b.calls, 1);
	assert_int_equal(r->tasks[0].n_metrics, 2);
	assert_string_equal(r->tasks[0].metrics[0].name, "exact_match");
	assert_string_equal(r->tasks[0].metrics[1].name, "own");
	assert_false(r->tasks[0].metrics[1].higher_is_better);
	assert_float_equal(r->tasks[0].metrics[1].scores[0], -1.5, 0);
	assert_float_equal(r->tasks[0].metrics[1].scores[2], 3, 0);
	assert_float_equal(r->tasks[0].metrics[1].value, .5, 1e-15);
	assert_float_equal(r->tasks[0].metrics[1].stderr_, 1.3228756555322954, 1e-12); /* sqrt(5.25 / 3) */
	assert_string_equal(b.read, "{\"doc\":{\"id\":\"a\",\"q\":\"one\",\"t\":\"A\"},\"id\":\"a\","
				    "\"response\":\"x\\ny\",\"target\":\"A\"}\n"
				    "{\"doc\":{\"id\":\"b\",\"q\":\"two\",\"t\":\"B\"},\"id\":\"b\","
				    "\"response\":\"\\\"\",\"target\":\"B\"}\n"
				    "{\"doc\":{\"id\":\"c\",\"q\":\"three\",\"t\":\"C\"},\"id\":\"c\","
				    "\"response\":\"\xef\xbf\xbd\",\"target\":\"C\"}\n");
	suite_result_free(r);
	assert_int_equal(run(&r, TASK(SCORE), &b), 0); /* alone, it is the only one */
	assert_int_equal(r->tasks[0].n_metrics, 1);
	suite_result_free(r);
}

/* Each filter's answers are scored on their own; what was written goes along. */
static void test_score_command__filters_and_repeats(void **state)
{
	struct bench b = {
		.says = "{\"id\":\"a\",\"score\":1}\n{\"id\":\"b\",\"score\":1}\n{\"id\":\"c\",\"score\":1}\n"
	};
	struct suite_result *r = NULL;

	(void)state;
	assert_int_equal(run(&r,
			     TASK(SCORE "repeats: 2\nfilter_list:\n  - {name: one, filter: [{function: take_first}]}\n"
					"  - {name: low, filter: [{function: uppercase}, {function: take_first}]}\n"),
			     &b),
			 0);
	assert_int_equal(b.calls, 2);
	assert_int_equal(r->tasks[0].n_metrics, 2);
	assert_non_null(strstr(b.read, "\"response\":\"X\\nY\",\"responses\":[\"x\\ny\",\"x\\ny\"]"));
	suite_result_free(r);
}

static void test_score_command__bad_output(void **state)
{
	static const struct {
		const char *says, *error;
	} cases[] = {
		{ "", "it scored 0 of 3 samples; without a score: a, b, c" },
		{ "{\"id\":\"b\",\"score\":1}\n", "it scored 1 of 3 samples; without a score: a, c" },
		{ "{\"id\":\"b\",\"score\":1}\n{\"id\":\"b\",\"score\":1}\n",
		  "its output:2: sample b is scored twice" },
		{ "{\"id\":\"z\",\"score\":1}\n", "its output:1: no sample \"z\" was asked for" },
		{ "{\"id\":1,\"score\":1}\n", "its output:1: no \"id\" that is a text" },
		{ "[1]\n", "its output:1: no \"id\" that is a text" },
		{ "{\"id\":\"a\",\"score\":true}\n", "sample a: \"score\" is no finite number" },
		{ "{\"id\":\"a\"}\n", "sample a: \"score\" is no finite number" },
		{ "{\"id\":\"a\",\"score\":NaN}\n", "its output:1" },
		{ "{\"id\":\"a\",\"score\":1e999}\n", "its output:1" },
		{ "hello\n", "its output:1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bench b = { .says = cases[i].says };
		struct suite_result *r = NULL;

		assert_int_equal(run(&r, TASK(SCORE), &b), ERR_INPUT);
		if (!strstr(err_text(), cases[i].error) || !strstr(err_text(), "task open, score.command python3: "))
			fail_msg("%s: %s", cases[i].says, err_text());
	}
}

static void test_score_command__too_much(void **state)
{
	char *much = mem_array((17 << 20) + 1, 1);
	struct bench b = { .says = much };
	struct suite_result *r = NULL;

	(void)state;
	memset(much, ' ', 17 << 20);
	assert_int_equal(run(&r, TASK(SCORE), &b), ERR_INPUT);
	assert_non_null(strstr(err_text(), "it printed more than 16 MiB"));
	free(much);
}

static void test_score_command__not_everywhere(void **state)
{
	struct bench b = { .ready = ERR_ENV };
	struct suite_result *r = NULL;

	(void)state;
	assert_int_equal(run(&r, TASK(SCORE), NULL), ERR_ENV);
	assert_int_equal(run(&r, TASK(SCORE), &b), ERR_ENV);
	assert_string_equal(err_text(), "suite open: not here");
	assert_int_equal(b.calls, 0);
	b.ready = 0;
	assert_int_equal(run(&r, TASK(""), &b), 0); /* who wants none needs none */
	assert_int_equal(b.calls, 0);
	suite_result_free(r);
}

/* The program's bytes and the command are the question; how long it may take is not. */
static void test_score_command__digest(void **state)
{
	static const struct {
		const char *task, *program;
		bool same;
	} cases[] = {
		{ TASK(SCORE), "print()", true },
		{ TASK(SCORE), "print( )", false },
		{ TASK("score: {command: [python3, s.py], inputs: [s.py], metric: own, higher_is_better: false, "
		       "timeout: 9}\n"),
		  "print()", true },
		{ TASK("score: {command: [python3, s.py], inputs: [s.py], metric: own}\n"), "print()", false },
		{ TASK("score: {command: [python, s.py], inputs: [s.py], metric: own, higher_is_better: false}\n"),
		  "print()", false },
		{ TASK("score: {command: [python3, s.py], inputs: [s.py], metric: other, higher_is_better: false}\n"),
		  "print()", false },
	};
	struct digest first = { 0 }, d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct suite *s = NULL;

		assert_int_equal(load(&s, cases[i].task, cases[i].program), 0);
		assert_true(suite_has_command(s));
		d = suite_digest(s);
		first = i ? first : d;
		assert_int_equal(digest_equal(&d, &first), cases[i].same);
		suite_free(s);
	}
}

static void test_score_command__mistakes(void **state)
{
	static const struct {
		const char *task, *error;
	} cases[] = {
		{ TASK("score: s.py\n"), "expected a mapping" },
		{ TASK("score: {metric: own}\n"), "score needs command" },
		{ TASK("score: {command: [], metric: own}\n"), "score needs command" },
		{ TASK("score: {command: [a, 1], metric: own}\n"), "command: expected a list of texts" },
		{ TASK("score: {command: [a]}\n"), "score needs metric" },
		{ TASK("score: {command: [a], metric: \"a.b\"}\n"), "score needs metric" },
		{ TASK("score: {command: [a], metric: acc}\n"), "metric acc is one that assay computes" },
		{ TASK("score: {command: [a], metric: own, timeout: 0}\n"), "timeout" },
		{ TASK("score: {command: [a], metric: own, inputs: [no.py]}\n"), "there is no file \"no.py\"" },
		{ TASK("score: {command: [a], metric: own, inputs: [../d.jsonl]}\n"), "would lie outside" },
		{ TASK("score: {command: [a], metric: own, inputs: [/etc/passwd]}\n"), "would lie outside" },
		{ TASK("score: {command: [a], metric: own, input: [s.py]}\n"), "inputs" },
		{ TASK("output_type: loglikelihood\nscore: {command: [a], metric: own}\n"), "only generate_until" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct suite *s = NULL;

		assert_int_equal(load(&s, cases[i].task, "print()"), ERR_INPUT);
		if (!strstr(err_text(), cases[i].error) || strncmp(err_text(), "e/t.yaml:", 9) != 0)
			fail_msg("%s: %s", cases[i].task, err_text());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_score_command__scores),
		cmocka_unit_test(test_score_command__filters_and_repeats),
		cmocka_unit_test(test_score_command__bad_output),
		cmocka_unit_test(test_score_command__too_much),
		cmocka_unit_test(test_score_command__not_everywhere),
		cmocka_unit_test(test_score_command__digest),
		cmocka_unit_test(test_score_command__mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
