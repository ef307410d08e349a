/* test_judge.c: a metric that another model gives: its numbers, its misbehaviour, its answers kept by content, its budget. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals_fake.h"
#include "loopback.h"
#include "runner/jury.h"

static char *home;

static int setup(void **state)
{
	(void)state;
	return fs_temp_dir(&home, "/tmp", "assay-judge-");
}

static int teardown(void **state)
{
	(void)state;
	fs_remove_tree(home);
	free(home);
	return 0;
}

/* The server: says the length of the answer as the score; the first attempts get what fails[] says. */
struct bench {
	int fails[8];     /* status of the n-th request; 0: it is answered; -1: JSON that ends early */
	const char *says; /* NULL: "Reasons: 9. Score: N" */
	bool no_usage;
	char seen[1000]; /* the prompt of the third document */
};

static void judge_answers(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	struct bench *b = s->arg;
	int fail = s->requests <= ARRAY_LEN(b->fails) ? b->fails[s->requests - 1] : 0;
	const char *prompt = json_get_text(body, "prompt", "");
	const char *at = strstr(prompt, "Answer: ");
	char said[200];

	if (strstr(prompt, "three"))
		snprintf(b->seen, sizeof(b->seen), "%s", prompt);
	snprintf(said, sizeof(said), "Reasons: 9. Score: %d", at ? (int)strcspn(at + 8, "\n") : 0);
	out->status = fail > 0 ? fail : 200;
	out->body = mem_printf("{\"choices\":[{\"text\":\"%s\"}]%s}", b->says ? b->says : said,
			       b->no_usage ? "" : ",\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":7}");
	out->cut = fail < 0 ? 20 : 0;
}

static const char *reply(const char *prompt)
{
	return strstr(prompt, "one") ? "a" : strstr(prompt, "two") ? "bb" : "ccc";
}

#define TASK(more)                                                                                                     \
	"task: open\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\ntest_split: test\n"            \
	"doc_to_text: \"{{q}}?\"\ndoc_to_target: \"{{t}}\"\nmetric_list:\n  - {metric: exact_match}\n"                 \
	"  - metric: judge\n    location: here\n    pattern: \"Score: ([0-9.]+)\"\n"                                   \
	"    prompt: \"{{q}} | {{prompt}} | {{target}}\\nAnswer: {{response}}\\n\"\n" more
#define DATA "{\"q\":\"one\",\"t\":\"A\"}\n{\"q\":\"two\",\"t\":\"B\"}\n{\"q\":\"three\",\"t\":\"C\"}\n"

static void locate(const struct loopback *s, const char *more)
{
	char *path = path_join(home, "config.yaml"),
	     *text = mem_printf("locations:\n  here:\n    url: http://127.0.0.1:%d/v1\n    model: m\n%s", s->port,
				more);

	assert_int_equal(fs_write(path, text, strlen(text)), 0);
	free(path);
	free(text);
}

/* Runs the task with judges; *cost: yours. */
static int run(struct suite_result **out, const char *task, char **cost)
{
	struct fake_model m = { .reply = reply };
	struct scorer scorer = FAKE_SCORER(&m);
	struct judges *judges = judges_new(home, NULL);
	struct suite_options o = { .seed = 1, .judge = judges_for(judges) };
	struct suite *s = NULL;
	int rc;

	m.log = (struct buf)BUF_INIT(1 << 20);
	if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", DATA }))
		fail_msg("%s", err_text());
	rc = suite_run(out, s, &scorer, &o);
	*cost = judges_cost(judges);
	judges_free(judges);
	suite_free(s);
	buf_release(&m.log);
	return rc;
}

static void test_judge__scores_and_is_kept(void **state)
{
	struct bench b = { .fails = { 429, 500, -1 } };
	struct loopback s = { .answer = judge_answers, .arg = &b };
	struct suite_result *r;
	size_t asked;
	char *cost;

	(void)state;
	loopback_open(&s);
	locate(&s, "    in_flight: 1\n");
	if (run(&r, TASK("    range: [1, 5]\n"), &cost))
		fail_msg("%s", err_text());
	assert_string_equal(r->tasks[0].metrics[1].name, "judge");
	for (int i = 0; i < 3; i++) /* 1, 2 and 3 on a scale from 1 to 5 */
		assert_true(r->tasks[0].metrics[1].scores[i] == i / 4.0);
	assert_true(r->tasks[0].metrics[1].value == 0.25);
	assert_string_equal(b.seen, "three | three? | C\nAnswer: ccc\n");
	assert_string_equal(cost, "judge here: 3 answers, 0 of them known from before; 300 tokens read, 21 written");
	assert_int_equal(s.requests, 6); /* three failed */
	asked = s.requests;
	free(cost);
	suite_result_free(r);
	if (run(&r, TASK("    range: [1, 5]\n"), &cost)) /* another process, another day */
		fail_msg("%s", err_text());
	assert_true(r->tasks[0].metrics[1].value == 0.25);
	assert_int_equal(s.requests, asked);
	assert_string_equal(cost, "judge here: 3 answers, 3 of them known from before; 0 tokens read, 0 written");
	free(cost);
	suite_result_free(r);
	loopback_close(&s);
}

static void test_judge__what_is_no_number(void **state)
{
	static const struct {
		const char *says, *more, *error;
	} cases[] = {
		{ "I like it", "",
		  "sample 0, judge: location here gives no number from 0 to 1 where the pattern looks" },
		{ "Score: 1.2.3", "", "gives no number" },
		{ "Score: 7", "    range: [1, 5]\n", "gives no number from 1 to 5" },
		{ "Score: 0.5 and then Score: 0.75", "", NULL }, /* the last one counts */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bench b = { .says = cases[i].says };
		struct loopback s = { .answer = judge_answers, .arg = &b };
		struct suite_result *r = NULL;
		char *cost, *task = mem_printf("%s%s", TASK(""), cases[i].more), *says;
		int rc;

		fs_remove_tree(home);
		loopback_open(&s);
		locate(&s, "");
		rc = run(&r, task, &cost);
		free(cost);
		if (cases[i].error) {
			assert_int_equal(rc, ERR_INPUT);
			says = mem_str(err_text());
			if (!strstr(says, cases[i].error) || !strstr(says, cases[i].says))
				fail_msg("%s", says);
			free(says);
			free(task);
			task = mem_printf("%s%s    fallback: %s\n", TASK(""), cases[i].more, i == 2 ? "1" : "0");
			if (run(&r, task, &cost))
				fail_msg("%s", err_text());
			assert_true(r->tasks[0].metrics[1].value == 0);
			free(cost);
		} else {
			assert_int_equal(rc, 0);
			assert_true(r->tasks[0].metrics[1].value == 0.75);
		}
		suite_result_free(r);
		free(task);
		loopback_close(&s);
	}
}

static void test_judge__budget(void **state)
{
	struct bench b = { .no_usage = false };
	struct loopback s = { .answer = judge_answers, .arg = &b };
	struct suite_result *r = NULL;
	char *cost;

	(void)state;
	fs_remove_tree(home);
	loopback_open(&s);
	locate(&s, "    in_flight: 1\n    budget_tokens: 200\n");
	assert_int_equal(run(&r, TASK("    range: [0, 9]\n"), &cost), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "its budget of 200 tokens is spent (200 read, 14 written)"));
	free(cost);
	assert_int_equal(s.requests, 2);
	if (run(&r, TASK("    range: [0, 9]\n"), &cost)) /* goes on with what was kept */
		fail_msg("%s", err_text());
	assert_int_equal(s.requests, 3);
	free(cost);
	suite_result_free(r);
	b.no_usage = true;
	fs_remove_tree(home);
	locate(&s, "    budget_tokens: 200\n");
	assert_int_equal(run(&r, TASK("    range: [0, 9]\n"), &cost), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "do not say what they took"));
	free(cost);
	loopback_close(&s);
}

static void test_judge__off_unless_turned_on(void **state)
{
	struct fake_model m = { .reply = reply };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_options o = { .seed = 1 };
	struct suite_result *r = NULL;
	struct suite *s;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", TASK("") }, { "d.jsonl", DATA }), 0);
	assert_int_equal(suite_run(&r, s, &scorer, &o), ERR_ENV);
	assert_string_equal(err_text(), "task open is scored by a judge (location here), and judges are off");
	assert_int_equal(m.calls, 0);
	suite_free(s);
}

static void test_judge__mistakes(void **state)
{
	static const char *const bad[][2] = {
		{ "    range: [5, 1]\n", "range: two numbers" },
		{ "    fallback: 2\n", "fallback" },
		{ "    tempo: 1\n", "unknown key \"tempo\"" },
	};
	struct suite_result *r = NULL;
	struct suite *s;
	char *cost;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *task = mem_printf("%s%s", TASK(""), bad[i][0]);

		assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", DATA }), ERR_INPUT);
		if (!strstr(err_text(), bad[i][1]) || !strstr(err_text(), "t.yaml:"))
			fail_msg("%s", err_text());
		free(task);
	}
	assert_int_equal(
		FAKE_LOAD(&s, "t.yaml",
			  { "t.yaml", "task: open\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
				      "test_split: test\ndoc_to_text: q\ndoc_to_target: t\nmetric_list: [{metric: "
				      "judge, location: x}]\n" },
			  { "d.jsonl", DATA }),
		ERR_INPUT);
	assert_non_null(strstr(err_text(), "judge needs location"));
	fs_remove_tree(home); /* a location that is nowhere */
	assert_int_equal(run(&r, TASK(""), &cost), ERR_INPUT);
	assert_non_null(strstr(err_text(), "there is no location here in"));
	free(cost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge__scores_and_is_kept),
		cmocka_unit_test(test_judge__what_is_no_number),
		cmocka_unit_test(test_judge__budget),
		cmocka_unit_test(test_judge__off_unless_turned_on),
		cmocka_unit_test(test_judge__mistakes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
