/* test_task.c: the keys of a task file: what is read, what is refused and how, and the documents behind it. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals/evals_int.h"
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
					"metric_list: [{metric: acc, weight_by_size: true}]\n"
					"process_docs: null\nmetadata: {version: 1.0, x: [1]}\n"
					"filter_list: [{name: plain, filter: [{function: take_first}]}]\n",
			      DATA),
			 0);
}

static void test_task_load__what_is_not_there_is_refused_by_name(void **state)
{
	static const struct {
		const char *line, *says;
	} keys[] = {
		{ "custom_dataset: x\n", "t.yaml:9:1: custom_dataset: a data set made by Python code" },
		{ "process_results: x\n", "process_results: Python code is not run here" },
		{ "use_prompt: x\n", "use_prompt: prompts of the promptsource package are not here" },
		{ "doc_to_image: x\n", "doc_to_image: only text is asked" },
		{ "class: x\n", "class: a task written in Python" },
		{ "metric_list: [{metric: anls}]\n", "metric anls comes with a later version" },
		{ "metric_list: [{metric: acc, aggregation: median}]\n", "acc is aggregated by mean" },
		{ "metric_list: [{metric: acc, hf_evaluate: true}]\n", "accuracy and f1 of written labels only" },
		{ "metric_list: [{metric: brier_score, aggregation: nanmean}]\n", "is aggregated by brier_score" },
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
		{ "generation_kwargs: {num_beams: 4}\n", "num_beams comes with a later version" },
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
	refused("task: [a, b]\n" BODY, DATA, "a list under task makes a group");
	refused("task: a,b\n" BODY, DATA, "without spaces and commas");
	refused("dataset_path: json\n", DATA, "a task needs a name");
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
	refused(SPLIT("{data_files: {test: d.jsonl}, fields: x}", "test_split: test\n"), DATA,
		"unknown key \"fields\"");
	refused(SPLIT("{data_files: {test: d.jsonl}, field: x}", "test_split: test\n"), "{\"y\": [1]}",
		"d.jsonl: there is no array in the field \"x\"");
	refused(SPLIT("{data_files: {test: d.jsonl}, sep: ab}", "test_split: test\n"), DATA,
		"t.yaml:3:47: sep must be one of");
	refused(SPLIT("{data_files: {test: 'https://x/d.jsonl'}}", "test_split: test\n"), DATA, "is not fetched");
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
		{ DATA "[1]\n", "d.jsonl:3: a row must be a JSON object, and this is an array" },
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
	refused(HEAD "doc_to_text: q\ndoc_to_target: '{{gone}}'\n", DATA, "d.jsonl:1");
}

/* A right answer that is no choice counts as wrong and does not stop the run: it is counted, and the first one named. */
static void test_task_load__right_answers_that_are_none_are_counted(void **state)
{
	static const struct {
		const char *data, *says;
	} rows[] = {
		{ DATA, NULL },
		{ "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":\"x\"}\n", NULL },
		{ DATA "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":1}\n" DATA "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":-1}\n",
		  "task t: 2 of 6 documents have a right answer that is not among their choices (first: d.jsonl:3); it "
		  "counts as wrong" },
		{ "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":\"z\"}\n", "task t: 1 of 1 documents" },
		{ "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":9223372036854775807}\n", "task t: 1 of 1 documents" },
		{ "{\"q\":\"c?\",\"c\":[\"x\"],\"l\":[0,1,{}]}\n", "task t: 1 of 1 documents" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct suite *s;
		const char *note;

		assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", HEAD BODY }, { "d.jsonl", rows[i].data }), 0);
		note = suite_task_note(s, 0);
		if (!note != !rows[i].says || (note && !strstr(note, rows[i].says)))
			fail_msg("%s\nnoted \"%s\"", rows[i].data, note ? note : "");
		suite_free(s);
	}
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

/* ---- include and functions --------------------------------------------------------------------------------------- */

/* The first prompt of t.yaml among the files; yours. */
#define FIRST_PROMPT(out, ...)                                                                                         \
	do {                                                                                                           \
		struct suite *suite_;                                                                                  \
		struct instance in_;                                                                                   \
		if (FAKE_LOAD(&suite_, "t.yaml", __VA_ARGS__))                                                         \
			fail_msg("%s", err_text());                                                                    \
		assert_int_equal(instance_build(&in_, suite_task(suite_, 0), &suite_task(suite_, 0)->eval.docs[0]),    \
				 0);                                                                                   \
		(out) = mem_str(in_.prompts[0].text);                                                                  \
		instance_release(&in_);                                                                                \
		suite_free(suite_);                                                                                    \
	} while (0)

static void test_task_file_open__own_keys_then_the_last_include(void **state)
{
	struct suite *s;
	char *prompt;
	int rc;

	(void)state;
	FIRST_PROMPT(prompt, { "t.yaml", "include: [a/one.yaml, two]\ntask: t\ndescription: 'mine '\n" },
		     { "a/one.yaml", "include: deep.yaml\ndescription: one\ngen_prefix: one\ntask_list: [x]\n" },
		     { "a/deep.yaml", HEAD BODY }, { "two", "gen_prefix: two\n" }, { "d.jsonl", DATA },
		     { "a/d.jsonl", DATA });
	assert_string_equal(prompt, "mine a? two");
	free(prompt);
	/* null takes an included key away */
	FIRST_PROMPT(prompt, { "t.yaml", "include: b.yaml\ndescription: null\n" },
		     { "b.yaml", HEAD BODY "description: x\n" }, { "d.jsonl", DATA });
	assert_string_equal(prompt, "a?");
	free(prompt);
	rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", "include: b.yaml\n" }, { "b.yaml", HEAD BODY "\nnum_fewshot: many\n" },
		       { "d.jsonl", DATA });
	assert_int_equal(rc, ERR_INPUT);
	assert_non_null(strstr(err_text(), "b.yaml:10:1: num_fewshot")); /* the file that holds the key */
	rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", "include: b.yaml\n" }, { "b.yaml", "include: t.yaml\n" });
	assert_int_equal(rc, ERR_INPUT);
	assert_non_null(strstr(err_text(), "does one include itself?"));
	rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", "include: {a: b}\n" });
	assert_int_equal(rc, ERR_INPUT);
	assert_non_null(strstr(err_text(), "include must be a file or a list of files"));
	rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", "include: ../x.yaml\n" });
	assert_int_equal(rc, ERR_INPUT);
	assert_non_null(strstr(err_text(), "is not a path beneath the root"));
}

static void test_task_file_functions__name_file_key_and_function(void **state)
{
	struct suite *s;
	char *prompt;

	(void)state;
	refused(HEAD BODY "process_docs: !function utils.f\n", DATA,
		"t.yaml:9:1: process_docs: the Python function utils.f is not run here");
	assert_non_null(strstr(err_fix(), "process_docs: {where:"));
	refused(HEAD BODY "process_docs: !function utils.f\nmetric_list: [{metric: !function utils.m}]\n", DATA,
		"t.yaml:10:1: metric_list: the Python function utils.m is not run here");
	assert_null(strstr(err_fix(), "process_docs"));
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", "include: b.yaml\n" },
				   { "b.yaml", HEAD BODY "doc_to_text: !function f.g\n" }, { "d.jsonl", DATA }),
			 ERR_INPUT);
	assert_non_null(strstr(err_text(), "b.yaml:9:1: doc_to_text: the Python function f.g"));
	/* what takes its place is read */
	FIRST_PROMPT(prompt, { "t.yaml", "include: b.yaml\nprocess_docs: {set: {q: '{{ q | upper }}'}}\n" },
		     { "b.yaml", HEAD BODY "process_docs: !function f.g\n" }, { "d.jsonl", DATA });
	assert_string_equal(prompt, "A?");
	free(prompt);
}

/* A label below 0 stays what it is: mcc has it for a class of its own, and exact_match counts from the end. */
static void test_instance_build__labels_that_are_no_choice(void **state)
{
	static const int want[] = { -1, -2, GOLD_NONE, GOLD_NONE, 1, -1 };
	const char *rows = "{\"g\":-1}\n{\"g\":-2}\n{\"g\":2}\n{\"g\":\"z\"}\n{\"g\":\"y\"}\n{\"g\":[-1]}\n";
	struct suite *s;

	(void)state;
	if (FAKE_LOAD(&s, "t.yaml",
		      { "t.yaml",
			HEAD "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: [x, y]\ndoc_to_target: g\n"
			     "metric_list: [{metric: mcc}]\n" },
		      { "d.jsonl", rows }))
		fail_msg("%s", err_text());
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct instance in;

		assert_int_equal(instance_build(&in, suite_task(s, 0), &suite_task(s, 0)->eval.docs[i]), 0);
		assert_int_equal(in.gold[0], want[i]);
		instance_release(&in);
	}
	suite_free(s);
}

/* ---- documents chosen and completed ------------------------------------------------------------------------------- */

static void test_process_docs__where_and_set(void **state)
{
	const char *rows = "{\"q\":\"no\",\"a\":\"x\",\"b\":\"y\",\"l\":-1}\n"
			   "{\"q\":\" yes \",\"a\":\"x'\",\"b\":\"y\",\"l\":2}\n";
	struct suite *s;
	struct instance in;

	(void)state;
	if (FAKE_LOAD(&s, "t.yaml",
		      { "t.yaml", HEAD "output_type: multiple_choice\ndoc_to_text: t\ndoc_to_choice: cs\n"
				       "doc_to_target: g\nprocess_docs:\n  where: l > 0 and q | length\n  set:\n"
				       "    t: 'Q: {{ q.strip() }}'\n    cs: '{{ [a, b] }}'\n    g: '{{ l - 1 }}'\n" },
		      { "d.jsonl", rows }))
		fail_msg("%s", err_text());
	assert_int_equal(suite_task_docs(s, 0), 1);
	assert_string_equal(suite_task(s, 0)->eval.docs[0].id, "1"); /* its row, counted with the others */
	assert_int_equal(instance_build(&in, suite_task(s, 0), &suite_task(s, 0)->eval.docs[0]), 0);
	assert_string_equal(in.prompts[0].text, "Q: yes");
	assert_string_equal(in.choices[0], "x'");
	assert_int_equal(in.gold[0], 1);
	instance_release(&in);
	suite_free(s);
	refused(HEAD BODY "process_docs: {where: 'l > 5'}\n", DATA,
		"the split \"test\" is empty once process_docs has chosen: nothing to ask");
	refused(HEAD BODY "process_docs: {where: 'gone > 5'}\n", DATA, "d.jsonl:1: t.yaml: process_docs.where");
	refused(HEAD BODY "process_docs: {where: 'l >'}\n", DATA, "t.yaml: process_docs.where");
	refused(HEAD BODY "process_docs: {set: {q: '{{ gone }}'}}\n", DATA, "d.jsonl:1: t.yaml: process_docs.set.q");
	refused(HEAD BODY "process_docs: {set: {q: 3}}\n", DATA, "process_docs.set: q must be a template");
	refused(HEAD BODY "process_docs: {sett: {q: a}}\n", DATA, "did you mean \"set\"");
	refused(HEAD BODY "process_docs: x\n", DATA, "process_docs must be {where:");
}

/* ---- data sets by name -------------------------------------------------------------------------------------------- */

#define HUB(more) "task: t\ndataset_path: org/set\n" more "test_split: test\n" BODY

/* t.yaml is HUB(more); the files are those of a data set. */
#define HUB_LOAD(out, more, ...) FAKE_LOAD(out, "t.yaml", { "t.yaml", HUB(more) }, __VA_ARGS__)

static const char *first_id(struct suite *s)
{
	static char id[64];

	snprintf(id, sizeof(id), "%s", suite_task(s, 0)->eval.docs[0].id);
	suite_free(s);
	return id;
}

#define ROW(id) "{\"id\":\"" id "\",\"q\":\"a?\",\"c\":[\"x\",\"y\"],\"l\":0}\n"

static void test_hub_files__the_layouts_of_hub_and_caches(void **state)
{
	struct suite *s;

	(void)state;
#define FOUND(want, more, ...)                                                                                         \
	do {                                                                                                           \
		if (HUB_LOAD(&s, more, __VA_ARGS__))                                                                   \
			fail_msg("%s", err_text());                                                                    \
		assert_string_equal(first_id(s), want);                                                                \
	} while (0)
	FOUND("a", "", { "org/set/test.jsonl", ROW("a") }, { "org/set/test_hard.jsonl", ROW("b") });
	FOUND("a", "", { "org/set/data/test-00000-of-00002.jsonl", ROW("a") },
	      { "org/set/data/test-00001-of-00002.jsonl", ROW("b") },
	      { "org/set/data/train-00000-of-00001.jsonl", "x" });
	FOUND("a", "dataset_name: main\n", { "org/set/main/test.jsonl", ROW("a") },
	      { "org/set/other/test.jsonl", ROW("b") });
	FOUND("a", "dataset_name: main\n", { "org/set/main-test.jsonl", ROW("a") },
	      { "org/set/other-test.jsonl", ROW("b") });
	FOUND("a", "", { "org/set/test/data-00000-of-00001.jsonl", ROW("a") });
	FOUND("a", "", { "org/set/set-test.jsonl", ROW("a") }, { "org/set/contest.jsonl", ROW("b") });
	FOUND("a", "dataset_kwargs: {trust_remote_code: true, data_files: {test: x/y.jsonl}}\n",
	      { "org/set/x/y.jsonl", ROW("a") });
	FOUND("a", "dataset_kwargs: {data_files: {test: 'hf://datasets/org/other/y.jsonl'}}\n", { "org/set/z", "" },
	      { "org/other/y.jsonl", ROW("a") });
	FOUND("a", "", { "org/set/test.json", "[" ROW("a") "]" });
	/* an id of the data set that does not name every row is no name */
	FOUND("0", "", { "org/set/test.jsonl", ROW("a") ROW("a") });
	FOUND("0", "", { "org/set/test.jsonl", "{\"id\":[1],\"q\":\"a?\",\"c\":[\"x\"],\"l\":0}\n" });
}

static void test_hub_files__what_is_not_found_or_not_sure(void **state)
{
	static const char *const says[] = { "t.yaml:2:1: the data set org/set is not here",
					    "t.yaml:3:1: no file in org/set holds the split \"test\"",
					    "holds the split \"test\" of main",
					    "could be org/set/a/test.jsonl or org/set/b/test.jsonl",
					    "could be org/set/test.csv or org/set/test.jsonl",
					    "unknown key \"data_dir\"" };
	struct suite *s;
	int rc[] = {
		HUB_LOAD(&s, "", { "elsewhere/test.jsonl", "" }),
	};

	(void)state;
	assert_int_equal(rc[0], ERR_INPUT);
	assert_non_null(strstr(err_text(), says[0]));
	assert_non_null(strstr(err_fix(), "data is never fetched"));
	assert_int_equal(HUB_LOAD(&s, "", { "org/set/train.jsonl", "" }), ERR_INPUT);
	assert_non_null(strstr(err_text(), says[1]));
	assert_int_equal(HUB_LOAD(&s, "dataset_name: main\n", { "org/set/test.jsonl", "" }), ERR_INPUT);
	assert_non_null(strstr(err_text(), says[2]));
	assert_int_equal(HUB_LOAD(&s, "", { "org/set/b/test.jsonl", "" }, { "org/set/a/test.jsonl", "" }), ERR_INPUT);
	assert_non_null(strstr(err_text(), says[3]));
	assert_int_equal(HUB_LOAD(&s, "", { "org/set/test.jsonl", "" }, { "org/set/test.csv", "" }), ERR_INPUT);
	assert_non_null(strstr(err_text(), says[4]));
	assert_int_equal(HUB_LOAD(&s, "dataset_kwargs: {data_dir: x}\n", { "org/set/test.jsonl", "" }), ERR_INPUT);
	assert_non_null(strstr(err_text(), says[5]));
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", "task: t\ndataset_path: ../out\ntest_split: test\n" BODY },
				   { "out/test.jsonl", "" }),
			 ERR_INPUT);
	assert_non_null(strstr(err_text(), "is not here"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_load__keys_that_change_nothing_are_read),
		cmocka_unit_test(test_task_load__what_is_not_there_is_refused_by_name),
		cmocka_unit_test(test_task_load__data_files),
		cmocka_unit_test(test_task_load__bad_documents_say_file_and_line),
		cmocka_unit_test(test_task_load__right_answers_that_are_none_are_counted),
		cmocka_unit_test(test_task_load__shots),
		cmocka_unit_test(test_task_file_open__own_keys_then_the_last_include),
		cmocka_unit_test(test_task_file_functions__name_file_key_and_function),
		cmocka_unit_test(test_instance_build__labels_that_are_no_choice),
		cmocka_unit_test(test_process_docs__where_and_set),
		cmocka_unit_test(test_hub_files__the_layouts_of_hub_and_caches),
		cmocka_unit_test(test_hub_files__what_is_not_found_or_not_sure),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
