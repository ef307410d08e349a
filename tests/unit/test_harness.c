/* test_harness.c: output of lm-evaluation-harness as results of ours. The folders in tests/golden/harness were written by the
 * harness itself (make_harness.py). */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/evals_int.h"

#define A "tests/golden/harness/a/model-a/"
#define B "tests/golden/harness/b/model-b/"
#define DATE_A "2026-01-01T00-00-00.000000"
#define RESULTS_A A "results_" DATE_A ".json"
#define RESULTS_B B "results_2026-01-02T00-00-00.000000.json"

/* The files as they are, but for one, in which `was` becomes `is`. */
struct change {
	const char *file, *was, *is;
};

static int read_changed(void *self, const char *path, struct buf *out)
{
	const struct change *c = self;
	const char *at;
	int rc;

	if (!c || !strstr(path, c->file))
		return fs_read(out, path, 1 << 24);
	if (!c->is)
		return err_set(ERR_NOTFOUND, "no file %s", path);
	{
		struct buf whole = BUF_INIT(1 << 24);

		rc = fs_read(&whole, path, 1 << 24);
		at = rc ? NULL : strstr(buf_str(&whole), c->was);
		assert_non_null(at);
		buf_add(out, whole.data, (size_t)(at - whole.data));
		buf_adds(out, c->is);
		buf_adds(out, at + strlen(c->was));
		buf_release(&whole);
	}
	return rc;
}

struct side {
	struct task_result *tasks;
	const struct task_result *list[32];
	size_t n;
};

static int side_read(struct side *s, const char *path, const struct change *c)
{
	const struct eval_files files = { .self = (void *)(uintptr_t)c, .read = read_changed };
	int rc = harness_results_read(&s->tasks, &s->n, &files, path);

	for (size_t i = 0; i < s->n && i < ARRAY_LEN(s->list); i++)
		s->list[i] = &s->tasks[i];
	return rc;
}

static void side_free(struct side *s)
{
	for (size_t i = 0; i < s->n; i++)
		task_result_release(&s->tasks[i]);
	free(s->tasks);
	*s = (struct side){ 0 };
}

static const struct task_result *task(const struct side *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->tasks[i].task, name) == 0)
			return &s->tasks[i];
	fail_msg("no task %s", name);
	return NULL;
}

/* Every value of the results is one of ours, and every closed error. */
static void check_values(const struct side *s, const char *path, const char *part)
{
	json_t *results = NULL, *values, *v;
	const char *name, *key;
	size_t n = 0;

	assert_int_equal(json_read(&results, path, 1 << 24), 0);
	json_object_foreach(json_object_get(results, part), name, values) json_object_foreach(values, key, v)
	{
		const char *comma = strchr(key, ',');
		char metric[64];
		const struct metric *m;

		if (!comma || memmem(key, (size_t)(comma - key), "_stderr", 7))
			continue;
		snprintf(metric, sizeof(metric), "%.*s", (int)(comma - key), key);
		m = task_result_metric(task(s, name), metric, comma + 1);
		if (!m || !(fabs(m->value - json_number_value(v)) <= 1e-6 * (1 + fabs(m->value))))
			fail_msg("%s %s: %g", name, key, m ? m->value : NAN);
		n++;
	}
	assert_true(n >= (strcmp(part, "results") == 0 ? 28 : 4));
	json_decref(results);
}

static void test_harness_results_read__every_value_is_made_again(void **state)
{
	struct side a = { 0 }, b = { 0 };
	const struct metric *m;

	(void)state;
	log_set_level(LOG_QUIET);
	assert_int_equal(side_read(&a, RESULTS_A, NULL), 0);
	assert_int_equal(side_read(&b, RESULTS_B, NULL), 0);
	check_values(&a, RESULTS_A, "results");
	check_values(&b, RESULTS_B, "results");
	check_values(&a, RESULTS_A, "groups");
	m = task_result_metric(task(&a, "gsm8k"), "exact_match", "flexible-extract");
	assert_true(m && m->binary && m->higher_is_better);
	m = task_result_metric(task(&a, "pile_10k"), "word_perplexity", "none");
	assert_true(m && m->weights && !m->higher_is_better && m->aggregate == AGGREGATE_PERPLEXITY);
	assert_int_equal(task(&a, "gsm8k")->n, 8);
	assert_int_equal(task(&a, "gsm8k")->n_total, 30); /* --limit 8 */
	assert_string_equal(task(&a, "gsm8k")->samples[3].id, "3");
	assert_string_equal(task(&a, "gsm8k")->asked, "version 3.0, 5 shots");
	side_free(&a);
	side_free(&b);
}

/* A group's metric that is no mean: stored and read back it is the same, and its error is what other
 * draws give. */
static void test_harness_results_read__groups_of_corpora(void **state)
{
	struct buf text = BUF_INIT(1 << 24);
	struct task_result back;
	struct side a = { 0 };
	const struct metric *m, *again;
	enum { DRAWS = 20000 };
	double mean = 0, square = 0, some = 0, want;
	struct rng rng;

	(void)state;
	assert_int_equal(side_read(&a, RESULTS_A, NULL), 0);
	task_result_write(task(&a, "texts"), &text);
	if (task_result_read(&back, buf_str(&text), text.len, "texts"))
		fail_msg("%s", err_text());
	m = task_result_metric(task(&a, "texts"), "ter", NULL);
	again = task_result_metric(&back, "ter", NULL);
	assert_int_equal(m->aggregate, AGGREGATE_MEMBERS);
	assert_true(again->value == m->value && again->stderr_ == m->stderr_ && !m->higher_is_better);
	assert_int_equal(back.n, 16);
	rng_seed(&rng, 2, 0);
	for (size_t d = 0; d < DRAWS; d++) { /* 8 of wmt_more, then 8 of wmt16-ro-en */
		double edits[2] = { 0 }, words[2] = { 0 }, v;

		for (size_t i = 0; i < 16; i++) {
			size_t at = (size_t)rng_below(&rng, 16);

			edits[at / 8] += m->parts[at * m->n_parts + 3];
			words[at / 8] += m->parts[at * m->n_parts + 4];
		}
		if (!(words[0] > 0 && words[1] > 0))
			continue;
		v = 50 * (edits[0] / words[0] + edits[1] / words[1]);
		some++;
		mean += v;
		square += v * v;
	}
	mean /= some;
	want = sqrt(square / some - mean * mean);
	assert_true(fabs(m->stderr_ - want) < 0.12 * want);
	task_result_release(&back);
	buf_release(&text);
	side_free(&a);
}

static void gate_says(const struct change *c, const char *verdict, const char *says)
{
	struct side a = { 0 }, b = { 0 };
	struct gate_policy policy;
	struct gate_result g = { 0 };
	struct yaml *y = NULL;
	const char text[] = "require: {arc_easy.acc: {max_drop: 0.9}}";
	bool said = false;

	gate_policy_init(&policy);
	assert_int_equal(yaml_parse(&y, text, strlen(text), "p"), 0);
	assert_int_equal(gate_policy_parse(&policy, y, yaml_root(y)), 0);
	if (side_read(&a, RESULTS_A, NULL) || side_read(&b, RESULTS_A, c))
		fail_msg("%s", err_text());
	assert_int_equal(
		gate_decide(&g, &policy,
			    &(struct gate_input){
				    .candidate = b.list, .n_candidate = b.n, .baseline = a.list, .n_baseline = a.n }),
		0);
	for (size_t i = 0; i < g.n; i++)
		said = said || (g.rules[i].gated && strstr(g.rules[i].explanation, says));
	if (strcmp(verdict_name(g.verdict), verdict) != 0 || !said)
		fail_msg("%s: %s", verdict_name(g.verdict), g.rules[0].explanation);
	gate_result_release(&g);
	gate_policy_release(&policy);
	yaml_free(y);
	side_free(&a);
	side_free(&b);
}

static void test_harness_results_read__pairs_the_same_questions_only(void **state)
{
	const struct change all = { RESULTS_A, "\"arc_easy\": {\n   \"original\": 60",
				    "\"arc_easy\": {\n   \"original\": 8" };
	const struct change shots = { RESULTS_A, "\"arc_easy\": 0", "\"arc_easy\": 5" };
	const struct change version = { RESULTS_A, "\"arc_easy\": 1.0", "\"arc_easy\": 2.0" };
	const struct change document = { "samples_arc_easy", "\"doc_hash\": \"", "\"doc_hash\": \"0" };
	const struct change number = { "samples_arc_easy", "\"doc_id\": 7", "\"doc_id\": 70" };

	(void)state;
	gate_says(NULL, "INCONCLUSIVE", "evaluated 8 of 60 samples");
	gate_says(&all, "INCOMPARABLE", "the baseline was evaluated on 8 of 60 samples");
	gate_says(&shots, "INCOMPARABLE", "(version 1.0, 5 shots; baseline version 1.0, 0 shots)");
	gate_says(&version, "INCOMPARABLE", "(version 2.0, 0 shots; baseline version 1.0, 0 shots)");
	gate_says(&document, "INCOMPARABLE", "1 sample is another document in the baseline: \"0\"");
	gate_says(&number, "INCOMPARABLE", "only in the candidate \"70\"");
}

static void test_harness_results_read__mistakes(void **state)
{
	static const struct {
		struct change c;
		const char *says;
	} bad[] = {
		{ { "samples_gsm8k", NULL, NULL }, "no file " A "samples_gsm8k_" DATE_A ".jsonl" },
		{ { "samples_gsm8k", "\"doc_id\": 1,", "\"doc_id\": 0," }, ".jsonl:2: doc_id 0 is there twice" },
		{ { "samples_gsm8k", "\"doc_id\": 1,", "\"doc_id\": \"x\"," },
		  ".jsonl:2: a row of the harness's samples" },
		{ { "samples_gsm8k", "\"filter\": \"flexible-extract\"", "\"filter\": \"other\"" }, "exact_match" },
		{ { "samples_gsm8k", "\"exact_match\": ", "\"exact_match\": null, \"x\": " }, "out" },
		{ { "samples_arc_easy", "\"acc_norm\": 0.0}\n{", "\"acc_norm\": 0.0}\n{ \"acc\": 1, " },
		  "samples_arc_easy" },
		{ { "samples_arc_easy", "\"acc_norm\": ", "\"acc_norm\": NaN, \"x\": " }, "out" },
		{ { "samples_pile_10k", "\"word_perplexity\": [", "\"word_perplexity\": [1, " }, "out" },
		{ { "samples_arc_easy", "\"doc_hash\": \"", "\"doc_hash\": 5, \"x\": \"" },
		  ".jsonl:1: a row of the harness's samples has a text \"doc_hash\"" },
		{ { "samples_arc_easy", "\"doc_hash\": \"", "\"x\": \"" }, "\"doc_hash\", and this has none" },
		{ { "samples_arc_easy", "\"filter\": \"none\"", "\"filter\": 5" }, ".jsonl:1: \"filter\" is no text" },
		{ { "samples_arc_easy", "\"metrics\": [", "\"metrics\": [5, " },
		  ".jsonl:1: \"metrics\" is a list of texts" },
		{ { RESULTS_A, "\"results\": {", "\"results\": {}, \"were\": {" },
		  DATE_A ".json: \"results\".\"arc_easy\" is not there: the object of its values is wanted" },
		{ { RESULTS_A, "\"acc_norm,none\": 0.125", "\"acc_norm,none\": \"0.125\"" },
		  "\"results\".\"arc_easy\".\"acc_norm,none\" is \"0.125\": a number is wanted" },
		{ { RESULTS_A, "\"acc_norm,none\": 0.125", "\"acc_norm,none\": null" },
		  ".\"acc_norm,none\" is null: a number" },
		{ { RESULTS_A, "\"acc_norm,none\": 0.125", "\"acc_norm,none\": NaN" }, "out" },
		{ { RESULTS_A, "\"acc_norm,none\": 0.125", "\"x\": 0.125" },
		  "has no \"acc_norm,none\", and its samples have" },
		{ { RESULTS_A, "\"acc_norm_stderr,none\": 0.125", "\"acc_norm_stderr,none\": []" },
		  ".\"acc_norm_stderr,none\" is []: a number or \"N/A\" is wanted" },
		{ { RESULTS_A, "\"arc_easy\": 0", "\"arc_easy\": \"x\"" },
		  "\"n-shot\".\"arc_easy\" is \"x\": a whole number is wanted" },
		{ { RESULTS_A, "\"arc_easy\": 0", "\"x\": 0" },
		  "\"n-shot\".\"arc_easy\" is not there: a whole number" },
		{ { RESULTS_A, "\"original\": 60", "\"original\": \"60\"" },
		  ".\"original\" is \"60\": a whole number is wanted" },
		{ { RESULTS_A, "\"acc_norm\": true", "\"acc_norm\": \"yes\"" },
		  "\"higher_is_better\".\"arc_easy\".\"acc_norm\" is \"yes\": true, false or null is wanted" },
		{ { RESULTS_A, "\"configs\":", "\"conf\":" }, "it has no \"results\" and \"configs\"" },
		{ { RESULTS_A, "\"results\":", "\"result\"" }, "results_" DATE_A ".json:" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct side s = { 0 };
		int rc = side_read(&s, RESULTS_A, &bad[i].c);

		if (strcmp(bad[i].says, "out") == 0)
			assert_int_equal(rc, 0); /* the metric is left out, with a warning */
		else if (rc != ERR_INPUT || !strstr(err_text(), bad[i].says))
			fail_msg("%zu: %d \"%s\"", i, rc, rc ? err_text() : "");
		side_free(&s);
	}
}

/* Python's json writes NaN, as a table without a cell becomes in a document. */
static void test_harness_results_read__numbers_that_are_none(void **state)
{
	const struct change doc = { "samples_arc_easy", "\"doc\": {",
				    "\"doc\": {\"n\": NaN, \"NaN\": \"\\\"NaN \\\\\", \"i\": [-Infinity,Infinity], " };
	const struct change value = { RESULTS_A, "\"acc_norm,none\": 0.125", "\"acc_norm,none\": NaN" };
	const struct change sample = { "samples_arc_easy", "\"acc_norm\": ", "\"acc_norm\": NaN, \"x\": " };
	struct side a = { 0 }, b = { 0 };

	(void)state;
	if (side_read(&a, RESULTS_A, NULL) || side_read(&b, RESULTS_A, &doc))
		fail_msg("%s", err_text());
	assert_int_equal(task(&b, "arc_easy")->n_metrics, task(&a, "arc_easy")->n_metrics);
	assert_int_equal(task(&b, "arc_easy")->n, task(&a, "arc_easy")->n);
	side_free(&b);
	assert_int_equal(side_read(&b, RESULTS_A, &value), 0);
	assert_int_equal(task(&b, "arc_easy")->n_metrics, task(&a, "arc_easy")->n_metrics - 1);
	side_free(&b);
	assert_int_equal(side_read(&b, RESULTS_A, &sample), 0);
	assert_int_equal(task(&b, "arc_easy")->n_metrics, task(&a, "arc_easy")->n_metrics - 1);
	side_free(&a);
	side_free(&b);
}

static void test_harness_form_plain__texts_stay(void **state)
{
	static const struct {
		const char *was, *is;
	} t[] = {
		{ "{\"a\": NaN}", "{\"a\": \"NaN\"}" },
		{ "[-Infinity,Infinity,NaN]", "[\"-Infinity\",\"Infinity\",\"NaN\"]" },
		{ "{\"NaN\": \"x\\\"NaN\\\\\"}", "{\"NaN\": \"x\\\"NaN\\\\\"}" },
		{ "\"a\nNaN", "\"a\n\"NaN\"" },
		{ "\"\\\nNaN\\", "\"\\\n\"NaN\"\\" },
		{ "Na", "Na" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct buf text = BUF_INIT(BUF_NOLIMIT);

		buf_adds(&text, t[i].was);
		harness_form_plain(&text);
		assert_string_equal(buf_str(&text), t[i].is);
		buf_release(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harness_results_read__every_value_is_made_again),
		cmocka_unit_test(test_harness_results_read__groups_of_corpora),
		cmocka_unit_test(test_harness_results_read__pairs_the_same_questions_only),
		cmocka_unit_test(test_harness_results_read__mistakes),
		cmocka_unit_test(test_harness_results_read__numbers_that_are_none),
		cmocka_unit_test(test_harness_form_plain__texts_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
