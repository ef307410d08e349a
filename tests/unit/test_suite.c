/* test_suite.c: from suite files to scores, with a model that answers by a table. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals_fake.h"

static const char choice_task[] = "task: colours\n"
				  "dataset_path: json\n"
				  "dataset_kwargs: {data_files: {test: colours.jsonl}}\n"
				  "test_split: test\n"
				  "output_type: multiple_choice\n"
				  "doc_to_text: \"{{q}}\\nAnswer:\"\n"
				  "doc_to_choice: choices\n"
				  "doc_to_target: label\n"
				  "metadata: {anything: [1, 2]}\n";
static const char choice_data[] = "{\"id\":\"a\",\"q\":\"sky?\",\"choices\":[\"blue\",\"green\"],\"label\":0}\n"
				  "{\"id\":7,\"q\":\"grass?\",\"choices\":[\"blue\",\"green\"],\"label\":\"green\"}\n"
				  "\n"
				  "{\"q\":\"blood?\",\"choices\":[\"red\",\"reddish grey\"],\"label\":0}\n";

static void assert_error(int rc, const char *part)
{
	assert_int_equal(rc, ERR_INPUT);
	if (!strstr(err_text(), part))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), part);
}

static struct suite_result *run(const struct suite *s, struct fake_model *m, int64_t limit)
{
	struct scorer scorer = FAKE_SCORER(m);
	struct suite_options o = { .limit = limit, .seed = 1 };
	struct suite_result *r;

	m->log = (struct buf)BUF_INIT(1 << 20);
	if (suite_run(&r, s, &scorer, &o))
		fail_msg("%s", err_text());
	return r;
}

static void test_suite_load__a_task_file_is_a_suite(void **state)
{
	struct suite *s;

	(void)state;
	assert_int_equal(
		FAKE_LOAD(&s, "evals/c.yaml", { "evals/c.yaml", choice_task }, { "evals/colours.jsonl", choice_data }),
		0);
	assert_string_equal(suite_name(s), "colours");
	assert_int_equal(suite_tasks(s), 1);
	assert_int_equal(suite_task_docs(s, 0), 3);
	suite_free(s);
}

static void test_suite_load__files_and_inline_tasks(void **state)
{
	struct suite *s;

	(void)state;
	assert_int_equal(
		FAKE_LOAD(&s, "evals/nightly.yaml",
			  { "evals/nightly.yaml",
			    "suite: nightly\ntasks:\n  - tasks/c.yaml\n  - task: lm\n    dataset_path: json\n"
			    "    dataset_kwargs: {data_files: data/x.jsonl}\n    test_split: train\n"
			    "    output_type: loglikelihood_rolling\n    doc_to_text: ''\n    doc_to_target: text\n" },
			  { "evals/tasks/c.yaml", choice_task }, { "evals/tasks/colours.jsonl", choice_data },
			  { "data/x.jsonl", "{\"text\":\"one two\"}\n" }), /* from the root */
		0);
	assert_string_equal(suite_name(s), "nightly");
	assert_int_equal(suite_tasks(s), 2);
	assert_string_equal(suite_task_name(s, 0), "colours");
	assert_string_equal(suite_task_name(s, 1), "lm");
	suite_free(s);
}

static void test_suite_load__parent_folder_stays_beneath_the_root(void **state)
{
	struct suite *s;
	char *up = mem_printf("%s", choice_task), *at = strstr(up, "colours.jsonl");

	(void)state;
	memcpy(at, "../../x.jsonl", 13);
	assert_error(FAKE_LOAD(&s, "evals/c.yaml", { "evals/c.yaml", up }, { "x.jsonl", choice_data }),
		     "not a path beneath the root");
	assert_int_equal(FAKE_LOAD(&s, "a/evals/c.yaml", { "a/evals/c.yaml", up }, { "x.jsonl", choice_data }), 0);
	suite_free(s);
	/* what a user types on the command line may lie anywhere; what it names, beneath */
	assert_int_equal(FAKE_LOAD(&s, "/a/b/c.yaml", { "/a/b/c.yaml", up }, { "/x.jsonl", choice_data }), 0);
	suite_free(s);
	memcpy(at, "../data.jsonl", 13);
	assert_int_equal(FAKE_LOAD(&s, "../../b/c.yaml", { "../../b/c.yaml", up }, { "../../data.jsonl", choice_data }),
			 0);
	suite_free(s);
	assert_error(FAKE_LOAD(&s, "../c.yaml", { "../c.yaml", up }, { "../../data.jsonl", choice_data }),
		     "not a path beneath the root");
	memcpy(at, "/etc/pas.json", 13);
	assert_error(FAKE_LOAD(&s, "evals/c.yaml", { "evals/c.yaml", up }), "not a path beneath the root");
	free(up);
}

static void test_suite_load__mistakes_say_where(void **state)
{
	struct suite *s;
	static const struct {
		const char *suite, *says;
	} bad[] = {
		{ "", "empty suite" },
		{ "suite: x\ntasks: []\n", "empty suite" },
		{ "suite: x\ntasks: [none.yaml]\n", "no file \"none.yaml\"" },
		{ "suite: x\ntask: [c.yaml]\n", "s.yaml:2:" },
		{ "suite: x\ntasks: [c.yaml, c.yaml]\n", "two tasks named \"colours\"" },
		{ "suite: x\ntasks: [3]\n", "neither a file nor a task" },
		{ "tasks: [c.yaml]\n", "needs a name" },
		{ "suite: x\ntasks: [s.yaml]\n", "suite inside a suite" },
		{ "suite: [\n", "s.yaml:" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_error(FAKE_LOAD(&s, "s.yaml", { "s.yaml", bad[i].suite }, { "c.yaml", choice_task },
				       { "colours.jsonl", choice_data }),
			     bad[i].says);
	assert_error(FAKE_LOAD(&s, "nowhere.yaml", { "s.yaml", "" }), "no suite file nowhere.yaml");
}

static void test_suite_run__multiple_choice(void **state)
{
	static const struct fake_answer answers[] = {
		{ " blue", -1, true }, { " green", -1.1, false }, { " red", -4, false }, { " reddish grey", -5, false }
	};
	struct fake_model m = { .answers = answers, .n = ARRAY_LEN(answers) };
	struct suite_result *r;
	struct suite *s;
	const struct metric *acc, *norm;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", choice_task }, { "colours.jsonl", choice_data }), 0);
	r = run(s, &m, 0);
	assert_string_equal(buf_str(&m.log), "sky?\nAnswer:| blue\nsky?\nAnswer:| green\n"
					     "grass?\nAnswer:| blue\ngrass?\nAnswer:| green\n"
					     "blood?\nAnswer:| red\nblood?\nAnswer:| reddish grey\n");
	assert_int_equal(r->n, 1);
	assert_int_equal(r->tasks[0].n_metrics, 2); /* the defaults */
	acc = task_result_metric(&r->tasks[0], "acc", "none");
	norm = task_result_metric(&r->tasks[0], "acc_norm", NULL);
	assert_true(acc->binary && acc->higher_is_better);
	/* -1/4 and -1.1/5: per character green wins; -4/3 and -5/12: the long one wins */
	assert_true(acc->scores[0] == 1 && acc->scores[1] == 0 && acc->scores[2] == 1);
	assert_true(norm->scores[0] == 0 && norm->scores[1] == 1 && norm->scores[2] == 0);
	assert_true(fabs(acc->value - 2.0 / 3) < 1e-15);
	assert_true(fabs(acc->stderr_ - sqrt(1.0 / 3 / 3)) < 1e-15);
	assert_string_equal(r->tasks[0].samples[0].id, "a");
	assert_string_equal(r->tasks[0].samples[1].id, "7");
	assert_string_equal(r->tasks[0].samples[2].id, "2");
	assert_string_equal(r->tasks[0].samples[1].target, "green");
	assert_string_equal(r->tasks[0].samples[1].response, "blue");
	assert_int_equal(strlen(r->tasks[0].samples[0].doc_hash), 16);
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
}

/* "blue" is likely whatever is asked; the question about grass makes "green" likelier than it was, though not likelier
 * than "blue". */
static int loglik_by_context(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
			     const struct scorer_watch *watch)
{
	size_t *alone = self;

	for (size_t i = 0; i < n; i++) {
		bool green = strcmp(reqs[i].continuation, " green") == 0, grass = strstr(reqs[i].context, "grass");

		*alone += !*reqs[i].context;
		out[i] = (struct loglik_result){ green ? (grass ? -3 : -6) : -1, 1, false, 0 };
	}
	watch->call(n, watch->arg);
	return 0;
}

static void test_suite_run__mutual_information_asks_the_choices_alone(void **state)
{
	char *task =
		mem_printf("%smetric_list: [{metric: acc}, {metric: acc_mutual_info}, {metric: mcc}]\n", choice_task);
	size_t alone = 0;
	struct scorer scorer = { &alone, loglik_by_context, NULL, NULL };
	struct suite_options o = { 0 };
	struct suite_result *r;
	struct suite *s;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", task }, { "colours.jsonl", choice_data }), 0);
	assert_int_equal(suite_size(s).requests, 12);
	assert_int_equal(suite_run(&r, s, &scorer, &o), 0);
	assert_int_equal(alone, 6);
	assert_true(r->tasks[0].metrics[0].scores[1] == 0 && r->tasks[0].metrics[1].scores[1] == 1);
	assert_true(r->tasks[0].metrics[0].scores[0] == 1 && r->tasks[0].metrics[1].scores[0] == 1);
	assert_true(r->tasks[0].metrics[2].parts[2] == 1 && r->tasks[0].metrics[2].parts[3] == 0); /* right, said */
	suite_result_free(r);
	suite_free(s);
	free(task);
}

static const char *translate(const char *prompt)
{
	return strstr(prompt, "eins") ? "the cat sat on the mat" : "{\"n\": 1.05}";
}

static void test_suite_run__slices_and_clusters(void **state)
{
	const char *head =
		"task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\ntest_split: test\n"
		"doc_to_text: q\ndoc_to_target: a\nmetric_list: [{metric: exact_match}, {metric: ter}]\n";
	const char *docs = "{\"q\":\"eins\",\"a\":\"the cat sat on the mat\",\"lang\":\"de\",\"doc\":7}\n"
			   "{\"q\":\"eins\",\"a\":\"the dog\",\"lang\":\"de\",\"doc\":7}\n"
			   "{\"q\":\"deux\",\"a\":\"{\\\"n\\\": 1.05}\",\"lang\":\"fr\",\"doc\":true}\n";
	char *task = mem_printf("%smetadata: {version: 1, assay: {by: lang, cluster: doc}}\n", head);
	char *wrong = mem_printf("%smetadata: {assay: {by: language}}\n", head);
	char *unknown = mem_printf("%smetadata: {assay: {bye: lang}}\n", head);
	struct fake_model m = { .reply = translate };
	struct buf text = BUF_INIT(1 << 20);
	struct digest with, without;
	struct task_result back;
	struct suite_result *r;
	json_t *all, *by;
	struct suite *s;

	(void)state;
	assert_error(FAKE_LOAD(&s, "t.yaml", { "t.yaml", wrong }, { "d.jsonl", docs }),
		     "d.jsonl:1: metadata.assay names the column \"language\"");
	assert_error(FAKE_LOAD(&s, "t.yaml", { "t.yaml", unknown }, { "d.jsonl", docs }), "did you mean \"by\"");
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", head }, { "d.jsonl", docs }), 0);
	without = suite_task_digest(s, 0);
	suite_free(s);
	if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", docs }))
		fail_msg("%s", err_text());
	with = suite_task_digest(s, 0);
	assert_true(digest_equal(&with, &without)); /* the questions are the same */
	r = run(s, &m, 0);
	all = suite_result_json(r);
	by = json_object_get(json_object_get(json_object_get(json_object_get(all, "tasks"), "t"), "exact_match"), "by");
	assert_int_equal(json_object_size(by), 2);
	assert_true(json_get_real(json_object_get(by, "de"), "value", -1) == 0.5);
	assert_true(json_get_real(json_object_get(by, "de"), "stderr", -1) == 0.5);
	assert_int_equal(json_get_int(json_object_get(by, "fr"), "n", -1), 1);
	assert_true(json_is_null(json_object_get(json_object_get(by, "fr"), "stderr")));
	by = json_object_get(json_object_get(json_object_get(json_object_get(all, "tasks"), "t"), "ter"), "by");
	assert_true(json_get_real(json_object_get(by, "de"), "value", -1) == 100 * (5.0 / 8)); /* of the corpus "de" */
	json_decref(all);
	task_result_write(&r->tasks[0], &text);
	if (task_result_read(&back, buf_str(&text), text.len, "back"))
		fail_msg("%s", err_text());
	assert_string_equal(back.samples[2].slice, "fr");
	assert_string_equal(back.samples[1].cluster, "7");
	assert_string_equal(back.samples[2].cluster, "true");
	task_result_release(&back);
	buf_release(&text);
	buf_release(&m.log);
	suite_result_free(r);
	suite_free(s);
	free(task);
	free(wrong);
	free(unknown);
}

static void test_suite_run__corpus_metrics_of_generated_texts(void **state)
{
	const char *task =
		"task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\ntest_split: test\n"
		"doc_to_text: q\ndoc_to_target: a\nmetric_list:\n  - {metric: bleu}\n"
		"  - {metric: ter, higher_is_better: false}\n  - {metric: json_match, tolerance: 0.1}\n"
		"  - {metric: regex_match, pattern: '^the', ignore_case: true}\n";
	const char *docs =
		"{\"q\":\"eins\",\"a\":\"\\\"the cat is on the mat\\\"\"}\n{\"q\":\"zwei\",\"a\":\"{\\\"n\\\":1}\"}\n";
	struct fake_model m = { .reply = translate };
	struct buf text = BUF_INIT(1 << 20);
	struct task_result back;
	struct suite_result *r;
	struct suite *s;

	(void)state;
	if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "d.jsonl", docs }))
		fail_msg("%s", err_text());
	r = run(s, &m, 0);
	assert_int_equal(r->tasks[0].metrics[0].n_parts, 10);
	assert_true(r->tasks[0].metrics[0].parts[0] == 6); /* words of the first answer */
	assert_true(r->tasks[0].metrics[0].value > 0 && r->tasks[0].metrics[0].value < 100);
	assert_true(r->tasks[0].metrics[2].scores[0] == 0 && r->tasks[0].metrics[2].scores[1] == 1);
	assert_true(r->tasks[0].metrics[3].value == 0.5);
	task_result_write(&r->tasks[0], &text);
	if (task_result_read(&back, buf_str(&text), text.len, "back"))
		fail_msg("%s", err_text());
	assert_true(back.metrics[0].value == r->tasks[0].metrics[0].value);
	assert_true(back.metrics[1].stderr_ == r->tasks[0].metrics[1].stderr_);
	task_result_release(&back);
	buf_release(&text);
	buf_release(&m.log);
	suite_result_free(r);
	suite_free(s);
}

static void test_suite_clusters__are_members_of_documents(void **state)
{
	struct fake_model m = { 0 };
	struct suite_result *r;
	struct suite *s;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", choice_task }, { "colours.jsonl", choice_data }), 0);
	r = run(s, &m, 0);
	assert_int_equal(suite_clusters(s, &r->tasks[0], "q"), 0);
	assert_string_equal(r->tasks[0].samples[1].cluster, "grass?");
	assert_int_equal(suite_clusters(s, &r->tasks[0], "label"), 0); /* a number in one, a text in another */
	assert_string_equal(r->tasks[0].samples[0].cluster, "0");
	assert_error(suite_clusters(s, &r->tasks[0], "id"), "colours.jsonl:4: the document has no \"id\"");
	assert_error(suite_clusters(s, &r->tasks[0], "choices"), "colours.jsonl:1");
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
}

#define GLOB(pattern)                                                                                                  \
	"task: g\ndataset_path: json\ndataset_kwargs: {data_files: {test: " pattern "}}\ntest_split: test\n"           \
	"doc_to_text: q\ndoc_to_target: a\n"

static void test_suite_load__patterns_of_files(void **state)
{
	static const struct {
		const char *task, *ids; /* ids NULL: an error */
	} cases[] = {
		{ GLOB("parts/*.jsonl"), "1,2," },
		{ GLOB("parts/p?.jsonl"), "1,2," },
		{ GLOB("\"parts/p[2-9].jsonl\""), "2," },
		{ GLOB("parts/**/*.jsonl"), "3,1,2," }, /* parts/deep/… comes first by name */
		{ GLOB("[\"other.jsonl\", \"parts/*.jsonl\"]"), "4,1,2," },
		{ GLOB("parts/*.csv"), NULL },
		{ GLOB("../*.jsonl"), NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf ids = BUF_INIT(1000);
		struct fake_model m = { 0 };
		struct suite_result *r;
		struct suite *s = NULL;
		int rc = FAKE_LOAD(&s, "d/t.yaml", { "d/t.yaml", cases[i].task },
				   { "d/parts/p2.jsonl", "{\"id\":2,\"q\":\"x\",\"a\":\"y\"}\n" },
				   { "d/parts/p1.jsonl", "{\"id\":1,\"q\":\"x\",\"a\":\"y\"}\n" },
				   { "d/parts/deep/p3.jsonl", "{\"id\":3,\"q\":\"x\",\"a\":\"y\"}\n" },
				   { "d/other.jsonl", "{\"id\":4,\"q\":\"x\",\"a\":\"y\"}\n" });

		assert_int_equal(rc, cases[i].ids ? 0 : ERR_INPUT);
		if (!cases[i].ids) {
			assert_non_null(
				strstr(err_text(), i == 5 ? "d/t.yaml: dataset_kwargs.data_files: no file matches "
							    "\"parts/*.csv\""
							  : "\"../*.jsonl\""));
			continue;
		}
		r = run(s, &m, 0);
		for (size_t k = 0; k < r->tasks[0].n; k++)
			buf_addf(&ids, "%s,", r->tasks[0].samples[k].id);
		assert_string_equal(buf_str(&ids), cases[i].ids);
		suite_result_free(r);
		buf_release(&m.log);
		buf_release(&ids);
		suite_free(s);
	}
}

static void test_suite_run__limit_takes_the_first(void **state)
{
	struct fake_model m = { 0 };
	struct suite_result *r;
	struct suite *s;
	json_t *doc, *acc;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", choice_task }, { "colours.jsonl", choice_data }), 0);
	r = run(s, &m, 1);
	assert_int_equal(r->tasks[0].n, 1);
	assert_int_equal(r->tasks[0].n_total, 3);
	assert_true(isnan(r->tasks[0].metrics[0].stderr_)); /* one sample has no spread */
	doc = suite_result_json(r);
	assert_string_equal(json_string_value(json_object_get(doc, "suite")), "colours");
	acc = json_object_get(json_object_get(json_object_get(doc, "tasks"), "colours"), "acc");
	assert_true(json_is_null(json_object_get(acc, "stderr")));
	assert_int_equal(json_integer_value(json_object_get(acc, "n")), 1);
	json_decref(doc);
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
}

static void test_suite_run__large_tasks_go_in_blocks(void **state)
{
	struct buf data = BUF_INIT(1 << 20);
	struct fake_model m = { 0 };
	struct suite_result *r;
	struct suite *s;

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_addf(&data, "{\"q\":\"%d?\",\"choices\":[\"a\",\"bb\"],\"label\":%d}\n", i, i % 2);
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", choice_task }, { "colours.jsonl", buf_str(&data) }), 0);
	r = run(s, &m, 0);
	assert_int_equal(m.calls, 4); /* a small one first, to learn how long they take */
	assert_int_equal(m.largest, 4096);
	for (int i = 0; i < 5000; i++) /* in document order; the fake prefers the short choice */
		assert_true(r->tasks[0].metrics[0].scores[i] == (i % 2 == 0));
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
	buf_release(&data);
}

static void test_suite_run__loglikelihood_and_rolling(void **state)
{
	static const struct fake_answer answers[] = { { "yes", -2, true },
						      { "no", -3, false },
						      { "(rolling)", -10, false } };
	struct fake_model m = { .answers = answers, .n = ARRAY_LEN(answers) };
	const struct metric *w, *b, *bits, *ppl;
	struct suite_result *r;
	struct suite *s;

	(void)state;
	assert_int_equal(
		FAKE_LOAD(
			&s, "s.yaml",
			{ "s.yaml",
			  "suite: s\ntasks:\n"
			  "- {task: ll, dataset_path: json, dataset_kwargs: {data_files: {test: [a.jsonl, b.jsonl]}},\n"
			  "   test_split: test, output_type: loglikelihood, doc_to_text: q, doc_to_target: '{{a}}'}\n"
			  "- {task: roll, dataset_path: json, dataset_kwargs: {data_files: {test: r.jsonl}},\n"
			  "   test_split: test, output_type: loglikelihood_rolling, doc_to_target: text}\n" },
			{ "a.jsonl", "{\"q\":\"is it?\",\"a\":\"yes\"}\n" },
			{ "b.jsonl", "{\"q\":\"\",\"a\":\"no\"}\n" },
			{ "r.jsonl", "{\"text\":\"one two\"}\n{\"text\":\" 3\\u00a0\\u00e9 \"}\n" }),
		0);
	r = run(s, &m, 0);
	assert_string_equal(buf_str(&m.log), "is it?|yes\n|no\none two|(rolling)\n 3\xc2\xa0\xc3\xa9 |(rolling)\n");
	assert_true(task_result_metric(&r->tasks[0], "acc", NULL)->value == 0.5);
	ppl = task_result_metric(&r->tasks[0], "perplexity", NULL);
	assert_true(fabs(ppl->value - exp(2.5)) < 1e-12);
	assert_true(fabs(ppl->stderr_ - exp(2.5) * 0.5) < 1e-12);
	assert_false(ppl->higher_is_better);
	w = task_result_metric(&r->tasks[1], "word_perplexity", NULL);
	b = task_result_metric(&r->tasks[1], "byte_perplexity", NULL);
	bits = task_result_metric(&r->tasks[1], "bits_per_byte", NULL);
	assert_true(w->weights[0] == 2 && w->weights[1] == 4); /* edges count: "", "3", "é", "" */
	assert_true(b->weights[0] == 7 && b->weights[1] == 7);
	assert_true(fabs(w->value - exp(20.0 / 6)) < 1e-12);
	assert_true(fabs(b->value - exp(20.0 / 14)) < 1e-12);
	assert_true(fabs(bits->value - 20.0 / (14 * log(2))) < 1e-12);
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
}

static const char *reply_by_prompt(const char *prompt)
{
	return strstr(prompt, "2+2") ? "4\nQ: more" : strstr(prompt, "capital") ? "Paris!" : "";
}

static void test_suite_run__generation_cuts_at_stops(void **state)
{
	struct fake_model m = { .reply = reply_by_prompt };
	struct suite_result *r;
	struct suite *s;

	(void)state;
	assert_int_equal(
		FAKE_LOAD(&s, "g.yaml",
			  { "g.yaml", "task: gen\ndataset_path: json\ntest_split: test\n"
				      "dataset_kwargs: {data_files: {test: g.jsonl}}\n"
				      "doc_to_text: 'Q: {{q}}'\ndoc_to_target: a\n"
				      "generation_kwargs: {until: [\"\\n\", 'Q:'], max_tokens: 9, max_new_tokens: 8}\n"
				      "metric_list:\n- metric: exact_match\n  aggregation: mean\n"
				      "  higher_is_better: true\n  ignore_punctuation: true\n" },
			  { "g.jsonl", "{\"q\":\"2+2\",\"a\":4}\n{\"q\":\"capital?\",\"a\":[\"Rome\",\"Paris\"]}\n"
				       "{\"q\":\"?\",\"a\":\"x\"}\n" }),
		0);
	r = run(s, &m, 0);
	assert_string_equal(buf_str(&m.log), "Q: 2+2|8|0|\n|Q:\nQ: capital?|8|0|\n|Q:\nQ: ?|8|0|\n|Q:\n");
	assert_true(r->tasks[0].metrics[0].scores[0] == 1);
	assert_true(r->tasks[0].metrics[0].scores[1] == 1);
	assert_true(r->tasks[0].metrics[0].scores[2] == 0);
	assert_string_equal(r->tasks[0].samples[0].response, "4");
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
}

#define GENERATION                                                                                                     \
	"task: gen\ndataset_path: json\ntest_split: test\ndataset_kwargs: {data_files: {test: g.jsonl}}\n"             \
	"doc_to_text: q\ndoc_to_target: a\ngeneration_kwargs: "

/* What a model is asked for the documents of a task with these generation_kwargs; yours. */
static char *asked(const char *kwargs, int64_t limit, struct digest *digest)
{
	struct fake_model m = { .reply = reply_by_prompt };
	char *task = mem_printf("%s%s", GENERATION, kwargs);
	struct suite *s;

	assert_int_equal(FAKE_LOAD(&s, "g.yaml", { "g.yaml", task },
				   { "g.jsonl", "{\"q\":\"1\",\"a\":1}\n{\"q\":\"2\",\"a\":2}\n" }),
			 0);
	*digest = suite_task_digest(s, 0);
	suite_result_free(run(s, &m, limit));
	suite_free(s);
	free(task);
	return buf_take(&m.log);
}

static void test_suite_run__sampling_as_the_harness_reads_it(void **state)
{
	static const struct {
		const char *kwargs, *how; /* how: behind max_tokens; NULL: as the case before */
	} cases[] = {
		{ "{until: []}", "0\n" },
		{ "{until: [], do_sample: false, temperature: 0.5, top_k: 4, top_p: 0.5}", NULL },
		{ "{until: [], top_k: 4, top_p: 0.5}", NULL },
		{ "{until: [], temperature: 0.0, top_k: 4}", NULL },
		{ "{until: [], temperature: 0.5}", "0.5 s" },
		{ "{until: [], do_sample: true, temperature: 0.5, top_k: 0, top_p: 1}", NULL },
		{ "{until: [], do_sample: true}", "1 s" },
		{ "{until: [], do_sample: true, top_k: 4}", "1 k4 p0 s" },
		{ "{until: [], do_sample: true, top_p: 0.25}", "1 k0 p0.25 s" },
		{ "{until: [], temperature: 1, top_p: 0.25, top_k: 4}", "1 k4 p0.25 s" },
	};
	struct digest before, d;
	const char *how = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		how = cases[i].how ? cases[i].how : how;
		char *all = asked(cases[i].kwargs, 0, &d), *first = asked(cases[i].kwargs, 1, &d);
		char *second = strchr(all, '\n') + 1, *seed = strchr(first, 's');

		if (strncmp(all, "1|256|", 6) != 0 || strncmp(all + 6, how, strlen(how)) != 0)
			fail_msg("%s asks %s", cases[i].kwargs, all);
		assert_memory_equal(all, first, strlen(first)); /* whatever stands behind it */
		assert_true(!seed || strcmp(seed, strchr(second, 's')) != 0);
		if (i) /* what is asked is a part of the questions; what changes nothing is none */
			assert_int_equal(digest_equal(&d, &before), !cases[i].how);
		before = d;
		free(all);
		free(first);
	}
}

static void test_suite_run__a_model_that_gives_no_number_is_an_error(void **state)
{
	static const struct fake_answer nan_answer[] = { { NULL, NAN, false } };
	struct fake_model m = { .answers = nan_answer, .n = 1, .log = BUF_INIT(1 << 16) };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_options o = { 0 };
	struct suite_result *r;
	struct suite *s;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", choice_task }, { "colours.jsonl", choice_data }), 0);
	assert_error(suite_run(&r, s, &scorer, &o), "not a finite number");
	assert_null(r);
	m.fail = ERR_UNAVAILABLE;
	assert_int_equal(suite_run(&r, s, &scorer, &o), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "task colours"));
	scorer.loglik = NULL;
	assert_int_equal(suite_run(&r, s, &scorer, &o), ERR_UNAVAILABLE);
	suite_free(s);
	buf_release(&m.log);
}

static int gather(const struct suite_text *text, void *arg)
{
	buf_addf(arg, "%s/%s=%s%s;", text->task, text->id, text->question, text->answer);
	return 0;
}

static void test_suite_size__bounds_what_is_asked(void **state)
{
	char *two = mem_str("suite: s\ntasks: [c.yaml, g.yaml]\n");
	const char *gen = GENERATION "{until: [], max_gen_toks: 1000}";
	const char *docs = "{\"q\":\"1\",\"a\":1}\n{\"q\":\"22\",\"a\":2}\n";
	struct suite_size size;
	struct suite *s;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", choice_task }, { "colours.jsonl", choice_data }), 0);
	size = suite_size(s);
	assert_int_equal(size.requests, 6);
	assert_int_equal(size.longest, strlen("blood?\nAnswer: reddish grey"));
	assert_int_equal(size.total, 2 * strlen("sky?\nAnswer:grass?\nAnswer:blood?\nAnswer:") +
					     strlen(" blue green blue green red reddish grey"));
	assert_false(size.generates);
	suite_free(s);
	assert_int_equal(FAKE_LOAD(&s, "s.yaml", { "s.yaml", two }, { "c.yaml", choice_task }, { "g.yaml", gen },
				   { "colours.jsonl", choice_data }, { "g.jsonl", docs }),
			 0);
	assert_int_equal(suite_size(s).requests, 8);
	assert_int_equal(suite_size(s).longest, 1002);
	assert_int_equal(suite_size(s).total, size.total + 2003);
	assert_true(suite_size(s).generates);
	suite_free(s);
	free(two);
	two = mem_str("suite: s\napply_chat_template: true\ntasks: [g.yaml]\n");
	assert_int_equal(FAKE_LOAD(&s, "s.yaml", { "s.yaml", two }, { "g.yaml", gen }, { "g.jsonl", docs }), 0);
	assert_true(suite_size(s).longest == UINT64_MAX && suite_size(s).total == UINT64_MAX);
	suite_free(s);
	free(two);
}

static void test_suite_each_text__question_and_right_answer(void **state)
{
	struct buf out = BUF_INIT(4096);
	struct suite *s;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", choice_task }, { "colours.jsonl", choice_data }), 0);
	assert_int_equal(suite_each_text(s, gather, &out), 0);
	assert_string_equal(buf_str(&out), "colours/a=sky?\nAnswer: blue;colours/7=grass?\nAnswer: green;"
					   "colours/2=blood?\nAnswer: red;");
	buf_release(&out);
	suite_free(s);
}

static void test_suite_task_digest__covers_the_questions(void **state)
{
	struct digest d[4];
	static const char *const data[] = { choice_data, choice_data };
	char *changed = mem_str(choice_data), *same = mem_printf("%stag: x\nnum_fewshot: 0\n", choice_task);
	char *other = mem_printf("%sdescription: 'Answer well. '\n", choice_task);
	struct suite *s;

	(void)state;
	strstr(changed, "sky")[0] = 'S';
	const char *tasks[4] = { choice_task, choice_task, same, other };
	const char *texts[4] = { data[0], changed, data[1], data[0] };
	for (int i = 0; i < 4; i++) {
		assert_int_equal(FAKE_LOAD(&s, "c.yaml", { "c.yaml", tasks[i] }, { "colours.jsonl", texts[i] }), 0);
		d[i] = suite_task_digest(s, 0);
		suite_free(s);
	}
	assert_false(digest_equal(&d[0], &d[1])); /* a document */
	assert_true(digest_equal(&d[0], &d[2]));  /* a tag, a default written out */
	assert_false(digest_equal(&d[0], &d[3])); /* the prompt */
	free(changed);
	free(same);
	free(other);
}

/* As a model that takes short continuations only. */
static int picky_loglik(void *self, const struct loglik_request *reqs, size_t n, struct loglik_result *out,
			const struct scorer_watch *watch)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(reqs[i].continuation) > 8)
			return err_set(ERR_INPUT, "request %zu: too long", i + 1);
	return fake_loglik(self, reqs, n, out, watch);
}

static void test_suite_run__a_refused_request_names_its_sample(void **state)
{
	struct fake_model m = { .log = BUF_INIT(1 << 16) };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_result *r = NULL;
	struct suite *s;

	(void)state;
	scorer.loglik = picky_loglik;
	assert_int_equal(
		FAKE_LOAD(&s, "t.yaml",
			  { "t.yaml",
			    "task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
			    "test_split: test\noutput_type: loglikelihood\ndoc_to_text: Q\ndoc_to_target: a\n" },
			  { "d.jsonl", "{\"a\":\"x\",\"id\":\"p\"}\n{\"a\":\"y\",\"id\":\"q\"}\n"
				       "{\"a\":\"a long answer\",\"id\":\"r\"}\n" }),
		0);
	assert_int_equal(suite_run(&r, s, &scorer, &(struct suite_options){ 0 }), ERR_INPUT);
	assert_string_equal(err_text(), "task t, sample r: d.jsonl:3: request 1: too long");
	assert_null(r);
	suite_free(s);
	buf_release(&m.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suite_run__a_refused_request_names_its_sample),
		cmocka_unit_test(test_suite_load__a_task_file_is_a_suite),
		cmocka_unit_test(test_suite_load__files_and_inline_tasks),
		cmocka_unit_test(test_suite_load__parent_folder_stays_beneath_the_root),
		cmocka_unit_test(test_suite_load__mistakes_say_where),
		cmocka_unit_test(test_suite_run__multiple_choice),
		cmocka_unit_test(test_suite_run__mutual_information_asks_the_choices_alone),
		cmocka_unit_test(test_suite_run__corpus_metrics_of_generated_texts),
		cmocka_unit_test(test_suite_run__slices_and_clusters),
		cmocka_unit_test(test_suite_clusters__are_members_of_documents),
		cmocka_unit_test(test_suite_load__patterns_of_files),
		cmocka_unit_test(test_suite_run__limit_takes_the_first),
		cmocka_unit_test(test_suite_run__large_tasks_go_in_blocks),
		cmocka_unit_test(test_suite_run__loglikelihood_and_rolling),
		cmocka_unit_test(test_suite_run__generation_cuts_at_stops),
		cmocka_unit_test(test_suite_run__sampling_as_the_harness_reads_it),
		cmocka_unit_test(test_suite_run__a_model_that_gives_no_number_is_an_error),
		cmocka_unit_test(test_suite_size__bounds_what_is_asked),
		cmocka_unit_test(test_suite_each_text__question_and_right_answer),
		cmocka_unit_test(test_suite_task_digest__covers_the_questions),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
