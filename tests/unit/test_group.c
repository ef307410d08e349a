/* test_group.c: how a group finds its tasks, and what it makes of their results. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/evals_int.h"
#include "evals_fake.h"

/* The shorter choice is the likelier: "R" is answered right, "W" wrong. */
#define RIGHT "{\"c\":[\"x\",\"yy\"],\"l\":0}\n"
#define WRONG "{\"c\":[\"x\",\"yy\"],\"l\":1}\n"
#define ROWS_A RIGHT WRONG RIGHT RIGHT WRONG
#define ROWS_B RIGHT RIGHT WRONG RIGHT RIGHT RIGHT WRONG RIGHT
#define TASK(name, file)                                                                                               \
	"task: " name "\ndataset_path: json\ndataset_kwargs: {data_files: {test: " file "}}\ntest_split: test\n"       \
	"output_type: multiple_choice\ndoc_to_text: 'Q'\ndoc_to_choice: c\ndoc_to_target: l\n"
#define TASKS                                                                                                          \
	{ "g/a.yaml", TASK("a", "a.jsonl") "tag: both\n" },                                                            \
		{ "g/sub/b.yaml", "include: ../base\ntask: b\ntag: [both]\n" }, { "g/base", TASK("none", "b.jsonl") }, \
		{ "g/a.jsonl", ROWS_A }, { "g/sub/b.jsonl", ROWS_B },                                                  \
	{                                                                                                              \
		"g/broken.yaml", "task: ["                                                                             \
	}

static struct suite_result *ran(struct suite *s, struct fake_model *m)
{
	struct scorer scorer = FAKE_SCORER(m);
	struct suite_result *r = NULL;

	if (suite_run(&r, s, &scorer, &(struct suite_options){ 0 }))
		fail_msg("%s", err_text());
	return r;
}

#define LOADED(s, ...)                                                                                                 \
	if (FAKE_LOAD(&s, "g/g.yaml", __VA_ARGS__))                                                                    \
	fail_msg("%s", err_text())

static void is(const struct task_result *t, const char *name, double value, double se)
{
	const struct metric *m = task_result_metric(t, name, NULL);

	assert_non_null(m);
	if (!(fabs(m->value - value) < 1e-12) || !(fabs(m->stderr_ - se) < 1e-12))
		fail_msg("%s.%s is %.15g ± %.15g, not %.15g ± %.15g", t->task, name, m->value, m->stderr_, value, se);
}

static void test_group_result__pools_as_the_harness_does(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct fake_model m = { .log = BUF_INIT(1 << 16) };
	struct task_result back;
	struct suite_result *r;
	struct suite *s;

	(void)state;
	LOADED(s,
	       { "g/g.yaml", "group: g\ntask: [a, b]\nmetadata: {version: 1}\naggregate_metric_list:\n"
			     "  - {metric: acc, aggregation: mean, weight_by_size: true}\n" },
	       TASKS);
	assert_string_equal(suite_name(s), "g");
	assert_int_equal(suite_tasks(s), 2);
	r = ran(s, &m);
	assert_int_equal(r->n, 3);
	is(&r->tasks[0], "acc", 0.6, 0.24494897427831783);
	is(&r->tasks[1], "acc", 0.75, 0.16366341767699427);
	assert_string_equal(r->tasks[2].task, "g");
	assert_int_equal(r->tasks[2].n, 13);
	is(&r->tasks[2], "acc", 9.0 / 13, 0.13740858372430334);
	assert_true(r->tasks[2].metrics[0].binary);
	assert_string_equal(r->tasks[2].samples[5].id, "b/0");
	/* stored and read back, it is the same */
	task_result_write(&r->tasks[2], &text);
	assert_int_equal(task_result_read(&back, buf_str(&text), text.len, "stored"), 0);
	is(&back, "acc", 9.0 / 13, 0.13740858372430334);
	assert_int_equal(back.n_members, 2);
	assert_string_equal(back.members[1].task, "b");
	task_result_release(&back);
	memcpy(strstr(text.data, "\"n\":8"), "\"n\":7", 5);
	assert_int_equal(task_result_read(&back, buf_str(&text), text.len, "stored"), ERR_INPUT);
	assert_non_null(strstr(err_text(), "members: 12 of 13 samples"));
	suite_result_free(r);
	suite_free(s);
	/* members alike */
	LOADED(s,
	       { "g/g.yaml", "group: g\ntask: [a, b]\naggregate_metric_list: {metric: acc, weight_by_size: false}\n" },
	       TASKS);
	r = ran(s, &m);
	is(&r->tasks[2], "acc", 0.675,
	   sqrt(0.24494897427831783 * 0.24494897427831783 + 0.16366341767699427 * 0.16366341767699427) / 2);
	assert_false(r->tasks[2].metrics[0].binary);
	suite_result_free(r);
	suite_free(s);
	/* no value of its own: its tasks alone; a metric that nobody has: a warning, and no group */
	LOADED(s, { "g/g.yaml", "group: g\ntask: [a, b]\n" }, TASKS);
	r = ran(s, &m);
	assert_int_equal(r->n, 2);
	suite_result_free(r);
	suite_free(s);
	LOADED(s, { "g/g.yaml", "group: g\ntask: [a]\naggregate_metric_list: [{metric: bleu}]\n" }, TASKS);
	r = ran(s, &m);
	assert_int_equal(r->n, 1);
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
	buf_release(&text);
}

/* Groups within groups, in the harness's own words and numbers (tests/golden/make_groups.py). */
static void test_group_result__a_task_counts_as_often_as_in_the_harness(void **state)
{
	static const struct fake_answer answers[] = { { " x", 0, true }, { NULL, -10, false } };
	struct fake_model m = { .answers = answers, .n = ARRAY_LEN(answers), .log = BUF_INIT(1 << 20) };
	json_t *cases = NULL, *one, *text, *values, *value;
	const char *path, *group, *key;
	size_t i, checked = 0;

	(void)state;
	assert_int_equal(json_read(&cases, "tests/golden/groups.json", 1 << 20), 0);
	json_array_foreach(cases, i, one)
	{
		json_t *files = json_object_get(one, "files");
		struct fake_file *list = mem_array(json_object_size(files), sizeof(*list));
		struct fake_files f = { list, 0 };
		struct eval_files calls = { .self = &f, .read = fake_read, .list = fake_list };
		struct suite_result *r;
		struct suite *s;

		json_object_foreach(files, path, text) list[f.n++] =
			(struct fake_file){ path, json_string_value(text) };
		if (suite_load(&s, "_g.yaml", &calls))
			fail_msg("case %zu: %s", i, err_text());
		r = ran(s, &m);
		json_object_foreach(json_object_get(one, "groups"), group, values)
		{
			const struct task_result *t = NULL;

			for (size_t k = 0; k < r->n; k++)
				if (strcmp(r->tasks[k].task, group) == 0)
					t = &r->tasks[k];
			if (!t)
				fail_msg("case %zu: no group %s", i, group);
			json_object_foreach(values, key, value)
			{
				char *name = mem_strn(key, strcspn(key, ","));

				if (!strstr(name, "_stderr")) {
					char *se = mem_printf("%s_stderr,none", name);

					is(t, name, json_number_value(value), json_get_real(values, se, NAN));
					checked++;
					free(se);
				}
				free(name);
			}
		}
		suite_result_free(r);
		suite_free(s);
		free(list);
	}
	assert_int_equal(checked, 25);
	json_decref(cases);
	buf_release(&m.log);
}

/* What a repeated member is stored as reads back as that, and so does a member that has no such metric. */
static void test_group_result__weights_are_stored(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct fake_model m = { .log = BUF_INIT(1 << 16) };
	struct task_result back;
	struct suite_result *r;
	struct suite *s;
	const struct task_result *g;
	const struct metric *acc, *brier;

	(void)state;
	LOADED(s,
	       { "g/g.yaml", "group: g\ntask: [a, {group: in, task: [b, {task: other, include: base, dataset_kwargs: "
			     "{data_files: {test: "
			     "sub/b.jsonl}}, metric_list: [{metric: brier_score}]}]}, {group: of, task: [a]}]\n"
			     "aggregate_metric_list: [{metric: acc}, {metric: brier_score, weight_by_size: false}]\n" },
	       TASKS);
	r = ran(s, &m);
	g = &r->tasks[r->n - 1];
	assert_int_equal(g->n_members, 3);
	assert_int_equal(g->members[0].times, 2);
	assert_int_equal(g->members[1].times, 1);
	acc = task_result_metric(g, "acc", NULL);
	brier = task_result_metric(g, "brier_score", NULL);
	assert_true(acc->weights[0] == 2 && acc->weights[5] == 1 && acc->weights[13] == 0);
	assert_true(brier->weights[0] == 0 && brier->weights[13] == 1);
	assert_true(fabs(acc->value - 12. / 18) < 1e-15);
	for (int packed = 0; packed < 2; packed++) {
		struct task_result *t = &r->tasks[r->n - 1];

		buf_clear(&text);
		if (packed)
			task_result_pack(t, &text);
		else
			task_result_write(t, &text);
		if (task_result_open(&back,
				     (struct samples_bytes){ (const uint8_t *)buf_str(&text), text.len, NULL, NULL },
				     "stored"))
			fail_msg("%s", err_text());
		assert_int_equal(back.members[0].times, 2);
		is(&back, "acc", acc->value, acc->stderr_);
		task_result_release(&back);
	}
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
	buf_release(&text);
}

static void test_group_load__names_tags_groups_and_overrides(void **state)
{
	struct digest one, two;
	struct suite *s;

	(void)state;
	/* a tag is all that bear it, by name; a suite's entry; another group by its name */
	LOADED(s, { "g/g.yaml", "suite: s\ntasks: [x.yaml]\n" },
	       { "g/x.yaml", "group: x\ntask: [y, {group: in, task: [b], aggregate_metric_list: [{metric: acc}]}]\n" },
	       { "g/y.yaml", "group: y\ntask: both\naggregate_metric_list: [{metric: acc, filter_list: none}]\n" },
	       TASKS);
	assert_int_equal(suite_tasks(s), 2);
	assert_string_equal(suite_task_name(s, 0), "a");
	assert_string_equal(suite_task_name(s, 1), "b");
	assert_int_equal(s->n_groups, 2);
	assert_string_equal(s->groups[0].name, "y");
	assert_string_equal(s->groups[1].name, "x::in");
	assert_int_equal(s->groups[1].n, 1);
	assert_int_equal(s->groups[1].members[0].task, 1);
	one = suite_digest(s);
	suite_free(s);
	/* what a group says of its metrics is a part of the questions */
	LOADED(s, { "g/g.yaml", "suite: s\ntasks: [x.yaml]\n" },
	       { "g/x.yaml", "group: x\ntask: [y, {group: in, task: [b], aggregate_metric_list: [{metric: acc}]}]\n" },
	       { "g/y.yaml", "group: y\ntask: both\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n" },
	       TASKS);
	two = suite_digest(s);
	assert_memory_not_equal(&one, &two, sizeof(one));
	suite_free(s);
	/* keys beside a name, then the outer group's, then the inner one's, before the task's own */
	LOADED(s,
	       { "g/g.yaml", "group: g\ndescription: 'outer '\ntarget_delimiter: '1'\n"
			     "task: [{task: a, target_delimiter: '2'}, h, {task: new, include: base, dataset_kwargs: "
			     "{data_files: {test: a.jsonl}}}]\n" },
	       { "g/h.yaml", "group: h\ndescription: 'inner '\nfewshot_delimiter: '3'\ntask: [b]\n" }, TASKS);
	assert_int_equal(suite_tasks(s), 3);
	assert_string_equal(s->tasks[0].target_delimiter, "2");
	assert_string_equal(s->tasks[0].description.text, "outer ");
	assert_string_equal(s->tasks[1].description.text, "outer ");
	assert_string_equal(s->tasks[1].fewshot_delimiter, "3");
	assert_string_equal(s->tasks[1].target_delimiter, "1");
	assert_string_equal(s->tasks[2].name, "g::new");
	suite_free(s);
	/* outwards, up to the suite's folder */
	assert_int_equal(FAKE_LOAD(&s, "suite.yaml", { "suite.yaml", "suite: s\ntasks: [g/x/y/g.yaml]\n" },
				   { "g/x/y/g.yaml", "group: g\ntask: [a, c]\n" },
				   { "elsewhere/c.yaml", TASK("c", "c.jsonl") }, { "elsewhere/c.jsonl", ROWS_A },
				   TASKS),
			 0);
	assert_int_equal(suite_tasks(s), 2);
	suite_free(s);
}

static void test_group_load__mistakes(void **state)
{
	static const struct {
		const char *group, *says;
	} bad[] = {
		{ "group: g\ntask: [a, gone]\n", "g/g.yaml:2:7: no task, group or tag named \"gone\"" },
		{ "group: g\ntask: []\n", "g/g.yaml:2:1: a group needs task: a list of tasks" },
		{ "group: g\n", "a group needs task: a list of tasks" },
		{ "group: g\ntask: [3]\n", "entry 1 is neither a name nor a mapping" },
		{ "group: g\ntask: [{num_fewshot: 1}]\n", "an entry of a group names a task or a group" },
		{ "group: g\ntask: [g]\n", "does one name itself?" },
		{ "group: 'a b'\ntask: [a]\n", "without spaces and commas" },
		{ "group: g\ntask: [a]\nwieght: 1\n", "g/g.yaml:3:1: unknown key \"wieght\" in task" },
		{ "group: g\ntask: [a]\nnum_fewshot: x\n", "g/g.yaml:3:1: num_fewshot" },
		{ "group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, aggregation: median}]\n",
		  "aggregated by mean, not by median" },
		{ "group: g\ntask: [a]\naggregate_metric_list: [{mertic: acc}]\n", "did you mean \"metric\"" },
		{ "group: g\ntask: [a]\naggregate_metric_list: [{weight_by_size: true}]\n", "needs metric: its name" },
		{ "group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, weight_by_size: no}]\n",
		  "g/g.yaml:3:39: weight_by_size must be true or false, not no" },
		{ "group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, weight_by_size: Off}]\n",
		  "weight_by_size must be true or false" },
		{ "group: g\ntask: [a]\naggregate_metric_list: [acc]\n", "a list of {metric: name}" },
		{ "group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, filter_list: [1]}]\n",
		  "a filter's name is text" },
		{ "group: g\ntask: [a, {task: a, num_fewshot: 1, fewshot_config: {sampler: first_n}}]\n",
		  "the suite has two tasks named \"a\"" },
		{ "group: g\ntask: [broken]\n", "no task, group or tag named \"broken\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct suite *s;
		int rc = FAKE_LOAD(&s, "g/g.yaml", { "g/g.yaml", bad[i].group }, TASKS);

		if (rc != ERR_INPUT || !strstr(err_text(), bad[i].says))
			fail_msg("%s\ngave %d \"%s\", not \"%s\"", bad[i].group, rc, rc ? err_text() : "", bad[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_group_result__pools_as_the_harness_does),
		cmocka_unit_test(test_group_result__a_task_counts_as_often_as_in_the_harness),
		cmocka_unit_test(test_group_result__weights_are_stored),
		cmocka_unit_test(test_group_load__names_tags_groups_and_overrides),
		cmocka_unit_test(test_group_load__mistakes),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
