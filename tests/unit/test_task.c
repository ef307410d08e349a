/* test_task.c: the keys of a task file: what is read, what is refused and how, and the documents behind it. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals_fake.h"

#define DATA "{\"q\":\"a?\",\"c\":[\"x\",\"y\"],\"l\":0}\n{\"q\":\"b?\",\"c\":[\"x\",\"y\"],\"l\":1}\n"
#define HEAD "task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\ntest_split: test\n"
#define BODY "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: c\ndoc_to_target: l\n"

static int load(const char *task, const char *data)
{
	struct suite *s;
	int rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", data });

	if (!rc)
		suite_free(s);
	return rc;
}

static void refused(const char *task, const char *data, const char *says)
{
	int rc = load(task, data);

	if (rc != ERR_INPUT || !strstr(err_text(), says))
		fail_msg("%s\ngave %d \"%s\", not \"%s\"", task, rc, rc ? err_text() : "", says);
}

static void test_task_load__keys_that_change_nothing_are_read(void **state)
{
	(void)state;
	assert_int_equal(load(HEAD BODY, DATA), 0);
	assert_int_equal(load(HEAD BODY "tag: [a, b]\ntask_alias: T\nrepeats: 1\nshould_decontaminate: true\n"
					"doc_to_decontamination_query: q\nunsafe_code: false\ndataset_name: null\n"
					"process_docs: null\nmetadata: {version: 1.0, x: [1]}\n"
					"filter_list: [{name: plain, filter: [{function: take_first}]}]\n",
			      DATA),
			 0);
}

static void test_task_load__later_keys_are_refused_by_name(void **state)
{
	static const struct {
		const char *line, *says;
	} keys[] = {
		{ "include: other.yaml\n", "t.yaml:9:1: include comes with a later version" },
		{ "process_docs: {where: x}\n", "process_docs comes with a later version" },
		{ "process_docs: !function utils.f\n", "!function" },
		{ "group: g\n", "group comes with a later version" },
		{ "dataset_name: main\n", "dataset_name comes with a later version" },
		{ "metric_list: [{metric: anls}]\n", "metric anls comes with a later version" },
		{ "metric_list: [{metric: acc, aggregation: median}]\n", "acc is aggregated by mean" },
		{ "metric_list: [{metric: acc}, {metric: acc}]\n", "acc is listed twice" },
		{ "metric_list: [{metric: ac_norm}]\n", "did you mean \"acc_norm\"" },
		{ "metric_list: [{metric: perplexity}]\n",
		  "perplexity is not defined for output_type multiple_choice" },
		{ "metric_list: [{metric: acc, ignore_case: true}]\n", "unknown key \"ignore_case\"" },
		{ "generation_kwargs: {min_p: 0.1}\n", "min_p comes with a later version" },
		{ "generation_kwargs: {top_p: 0}\n", "top_p must be above 0" },
		{ "generation_kwargs: {top_p: 1.1}\n", "top_p is 1.1, but must be from 0 to 1" },
		{ "generation_kwargs: {do_sample: false, top_k: -1}\n", "top_k" },
		{ "generation_kwargs: {top_k: 1.5}\n", "top_k" },
		{ "generation_kwargs: {max_gen_tok: 9}\n", "did you mean \"max_gen_toks\"" },
		{ "generation_kwargs: {until: ['']}\n", "must be text that is not empty" },
		{ "generation_kwargs: {max_gen_toks: 0}\n", "max_gen_toks" },
		{ "doc_to_txt: q\n", "unknown key \"doc_to_txt\" in task; did you mean \"doc_to_text\"?" },
		{ "num_fewshot: -1\n", "num_fewshot" },
		{ "num_fewshot: yes please\n", "num_fewshot must be" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char *task = mem_printf("%s%s", HEAD BODY, keys[i].line);

		refused(task, DATA, keys[i].says);
		free(task);
	}
	refused("task: [a, b]\n" BODY, DATA, "a group (a list under task) comes with a later version");
	refused("task: a,b\n" BODY, DATA, "without spaces and commas");
	refused("dataset_path: json\n", DATA, "a task needs a name");
	refused("task: t\ndataset_path: hellaswag\n" BODY, DATA, "dataset_path: hellaswag comes with a later version");
	refused(HEAD "output_type: multiple_choise\ndoc_to_text: q\n", DATA, "did you mean \"multiple_choice\"");
	refused(HEAD "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: l\n", DATA, "needs doc_to_choice");
	refused(HEAD "output_type: multiple_choice\ndoc_to_choice: c\ndoc_to_target: l\n", DATA, "needs doc_to_text");
	refused(HEAD "doc_to_text: q\n", DATA, "needs doc_to_target");
	refused("task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n" BODY, DATA,
		"test_split or validation_split");
}

static void test_task_load__data_files(void **state)
{
	(void)state;
#define SPLIT(files, split) "task: t\ndataset_path: json\ndataset_kwargs: " files "\n" split BODY
	assert_int_equal(load(SPLIT("{data_files: d.jsonl}", "test_split: train\n"), DATA), 0);
	assert_int_equal(load(SPLIT("{data_files: [d.jsonl]}", "validation_split: train\n"), DATA), 0);
	refused(SPLIT("{data_files: d.jsonl}", "test_split: test\n"), DATA, "t.yaml:4:1: there is no split \"test\"");
	refused(SPLIT("{data_files: {a: d.jsonl, b: d.jsonl}}", "test_split: test\n"), DATA, "there is: a, b");
	refused(SPLIT("{data_files: {test: 3}}", "test_split: test\n"), DATA, "expected a file or a list of files");
	refused(SPLIT("{data_files: {test: d.jsonl}, field: x}", "test_split: test\n"), DATA, "unknown key \"field\"");
	refused(SPLIT("{data_files: {test: gone.jsonl}}", "test_split: test\n"), DATA, "no file \"gone.jsonl\"");
	refused(SPLIT("{data_files: {test: [d.jsonl, d.jsonl]}}", "test_split: test\n"),
		"{\"id\":\"x\",\"q\":\"a?\",\"c\":[\"x\"],\"l\":0}\n", "d.jsonl:1: the id \"x\" is taken by d.jsonl:1");
	refused("task: t\ndataset_path: json\ntest_split: test\n" BODY, DATA,
		"dataset_kwargs: {data_files: …} must name");
}

static void test_task_load__bad_documents_say_file_and_line(void **state)
{
	static const struct {
		const char *data, *says;
	} bad[] = {
		{ "", "the split \"test\" is empty" },
		{ "\n\n", "the split \"test\" is empty" },
		{ DATA "{\"q\": oops}\n", "d.jsonl:3:" },
		{ DATA "[1]\n", "d.jsonl:3: every line must be one JSON object" },
		{ DATA "{\"q\":\"c?\",\"c\":[\"x\"]}\n",
		  "d.jsonl:3: this row has no \"l\", which doc_to_target needs" },
		{ DATA "{\"q\":null,\"c\":[\"x\"],\"l\":0}\n",
		  "d.jsonl:3: this row has no \"q\", which doc_to_text needs" },
		{ DATA "{\"q\":3,\"c\":[\"x\"],\"l\":0}\n",
		  "doc_to_text gives a number here, and text in the first document" },
		{ DATA "{\"q\":[3],\"c\":[\"x\"],\"l\":0}\n", "\"q\" is not text, which doc_to_text needs" },
		{ DATA "{\"q\":\"c?\",\"c\":[],\"l\":0}\n", "doc_to_choice must give a list" },
		{ DATA "{\"q\":\"c?\",\"c\":[1],\"l\":0}\n", "choice 0 is not text" },
		{ DATA "{\"q\":\"c?\",\"c\":\"xy\",\"l\":0}\n", "doc_to_choice must give a list" },
		{ DATA "{\"id\":true,\"q\":\"c?\",\"c\":[\"x\"],\"l\":0}\n", "\"id\" must be text or a whole number" },
		{ DATA "{\"id\":\"a\\u0007\",\"q\":\"c?\",\"c\":[\"x\"],\"l\":0}\n", "control character" },
		{ DATA "{\"q\":\"c\\u0000?\",\"c\":[\"x\"],\"l\":0}\n", "d.jsonl:3: a NUL character" },
		{ DATA "{\"id\":0,\"q\":\"c?\",\"c\":[\"x\"],\"l\":0}\n",
		  "d.jsonl:3: the id \"0\" is taken by d.jsonl:1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refused(HEAD BODY, bad[i].data, bad[i].says);
	/* a right answer that is no choice counts as wrong, but does not stop the run */
	assert_int_equal(load(HEAD BODY, "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":9}\n"), 0);
	assert_int_equal(load(HEAD BODY, "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":\"z\"}\n"), 0);
	refused(HEAD "doc_to_text: q\ndoc_to_target: '{{gone}}'\n", DATA, "d.jsonl:1");
}

static void test_task_load__shots(void **state)
{
	(void)state;
#define SHOTS(n, more) HEAD BODY "num_fewshot: " n "\nfewshot_config: {sampler: first_n" more "}\n"
	assert_int_equal(load(SHOTS("1", ""), DATA), 0);
	refused(SHOTS("3", ""), DATA, "3 shots wanted, but the split \"test\" has 2 documents");
	refused(SHOTS("1", ", split: gone"), DATA, "there is no split \"gone\"");
	refused(SHOTS("1", ", splitt: x"), DATA, "did you mean \"split\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_load__keys_that_change_nothing_are_read),
		cmocka_unit_test(test_task_load__later_keys_are_refused_by_name),
		cmocka_unit_test(test_task_load__data_files),
		cmocka_unit_test(test_task_load__bad_documents_say_file_and_line),
		cmocka_unit_test(test_task_load__shots),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
