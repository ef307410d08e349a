/* test_fewshot.c: shots and requests byte for byte as lm-evaluation-harness has them (tests/golden/make_requests.py), the
 * random numbers of Python, and what bad few-shot keys get. */
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

/* ---- Python's random ----------------------------------------------------------------------------------------------- */

static void test_pyrandom_sample__is_cpython_s(void **state)
{
	struct pyrandom r;
	json_t *row, *want;
	size_t i, k;

	(void)state;
	assert_true(json_array_size(json_object_get(golden, "numbers")) >= 12);
	pyrandom_seed(&r, 1234);
	json_array_foreach(json_object_get(golden, "numbers"), i, row)
	{
		uint32_t n = (uint32_t)json_integer_value(json_array_get(row, 0)), out[1000];

		want = json_array_get(row, 2);
		if (!n) { /* random(), of another seed */
			pyrandom_seed(&r, 0);
			json_array_foreach(want, k, row) assert_true(pyrandom_real(&r) == json_real_value(row));
			continue;
		}
		pyrandom_sample(&r, n, out, (size_t)json_integer_value(json_array_get(row, 1)));
		json_array_foreach(want, k, row) assert_int_equal(out[k], json_integer_value(row));
	}
}

/* As CPython prints them: one generator of seed 1234 for all samples, as a task has. */
static void test_pyrandom__vectors_of_cpython(void **state)
{
	static const struct {
		uint32_t n, k, want[6];
	} samples[] = { { 100, 5, { 99, 56, 14, 0, 11 } },
			{ 100, 5, { 74, 4, 85, 88, 10 } },
			{ 20, 3, { 3, 11, 7 } },
			{ 7473, 6, { 142, 252, 6461, 129, 2835, 5311 } } };
	static const int choices[] = { 8, 7, 4, 2, 5, 4, 7, 3, 4, 5 };
	struct pyrandom r;
	uint32_t out[6];

	(void)state;
	pyrandom_seed(&r, 1234);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		pyrandom_sample(&r, samples[i].n, out, samples[i].k);
		assert_memory_equal(out, samples[i].want, samples[i].k * sizeof(*out));
	}
	pyrandom_seed(&r, 1234);
	assert_true(pyrandom_real(&r) == 0.9664535356921388);
	pyrandom_seed(&r, 0); /* choices(range(10), k=10) takes the place random() * 10 */
	for (size_t i = 0; i < ARRAY_LEN(choices); i++)
		assert_int_equal((int)(pyrandom_real(&r) * 10), choices[i]);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static char *jsonl(const char *name)
{
	struct buf out = BUF_INIT(1 << 16);
	const json_t *doc;
	size_t i;

	json_array_foreach(json_object_get(golden, name), i, doc)
	{
		json_add(&out, doc);
		buf_addc(&out, '\n');
	}
	return buf_take(&out);
}

/* A suite of one task, in JSON, which is YAML. */
static char *suite_of(const json_t *one)
{
	json_t *suite = json_copy(json_object_get(one, "suite"));
	struct buf out = BUF_INIT(1 << 16);

	json_object_set_new(suite, "suite", json_string("s"));
	json_object_set_new(suite, "tasks", json_pack("[O]", json_object_get(one, "task")));
	json_add(&out, suite);
	json_decref(suite);
	return buf_take(&out);
}

/* What evals_fake.h logs of these requests. */
static char *log_of(const json_t *one)
{
	const json_t *request, *gen = json_object_get(one, "generation"), *stop;
	struct buf out = BUF_INIT(1 << 20);
	size_t i, k;

	json_array_foreach(json_object_get(one, "requests"), i, request)
	{
		buf_addf(&out, "%s|", json_string_value(json_array_get(request, 0)));
		if (json_is_object(gen)) {
			buf_addf(&out, "%d|%g", (int)json_get_int(gen, "max_gen_toks", 256),
				 json_get_real(gen, "temperature", 0));
			json_array_foreach(json_object_get(gen, "until"), k, stop)
				buf_addf(&out, "|%s", json_string_value(stop));
		} else {
			buf_adds(&out, json_string_value(json_array_get(request, 1)));
		}
		buf_addc(&out, '\n');
	}
	return buf_take(&out);
}

static void test_fewshot__requests_are_the_harness_s(void **state)
{
	char *shots = jsonl("shots"), *asked = jsonl("asked"), *twice = jsonl("twice");
	json_t *one;
	size_t i;

	(void)state;
	assert_true(json_array_size(json_object_get(golden, "tasks")) >= 30);
	json_array_foreach(json_object_get(golden, "tasks"), i, one)
	{
		struct fake_model m = { .log = BUF_INIT(1 << 20) };
		struct scorer scorer = FAKE_SCORER(&m);
		struct suite_options o = { 0 };
		struct suite_result *r = NULL;
		struct suite *s = NULL;
		char *suite = suite_of(one), *want = log_of(one);

		if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", suite }, { "shots.jsonl", shots }, { "asked.jsonl", asked },
			      { "twice.jsonl", twice }) ||
		    suite_run(&r, s, &scorer, &o))
			fail_msg("%s: %s", suite, err_text());
		if (strcmp(buf_str(&m.log), want) != 0)
			fail_msg("%s\nasks\n%s\nnot\n%s", suite, buf_str(&m.log), want);
		suite_result_free(r);
		suite_free(s);
		buf_release(&m.log);
		free(suite);
		free(want);
	}
	free(shots);
	free(asked);
	free(twice);
}

static void test_fewshot__a_limit_changes_no_shot(void **state)
{
	static const char task[] =
		"task: t\ndataset_path: json\ntraining_split: train\ntest_split: test\n"
		"dataset_kwargs: {data_files: {train: s.jsonl, test: d.jsonl}}\noutput_type: loglikelihood\n"
		"doc_to_text: q\ndoc_to_target: a\nnum_fewshot: 2\n";
	char *shots = jsonl("shots"), *asked = jsonl("asked");
	struct fake_model m[2] = { { .log = BUF_INIT(1 << 16) }, { .log = BUF_INIT(1 << 16) } };
	struct suite *s;

	(void)state;
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "s.jsonl", shots }, { "d.jsonl", asked }), 0);
	for (int i = 0; i < 2; i++) {
		struct scorer scorer = FAKE_SCORER(&m[i]);
		struct suite_options o = { .limit = i ? 2 : 0 };
		struct suite_result *r;

		assert_int_equal(suite_run(&r, s, &scorer, &o), 0);
		suite_result_free(r);
	}
	assert_true(m[1].log.len > 10 && m[1].log.len < m[0].log.len);
	assert_memory_equal(m[0].log.data, m[1].log.data, m[1].log.len);
	suite_free(s);
	buf_release(&m[0].log);
	buf_release(&m[1].log);
	free(shots);
	free(asked);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------------ */

static void refused(const char *keys, const char *says)
{
	char *task = mem_printf("task: t\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\n"
				"dataset_kwargs: {data_files: {train: s.jsonl, test: d.jsonl}}\n"
				"doc_to_text: q\ndoc_to_target: l\ndoc_to_choice: [x, y]\n%s",
				keys);
	struct suite *s;
	int rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", task },
			   { "s.jsonl", "{\"q\":\"5\",\"l\":7}\n{\"q\":\"b\",\"l\":0}\n" },
			   { "d.jsonl", "{\"q\":\"a?\",\"l\":0}\n{\"q\":\"b?\",\"l\":1}\n" });

	if (rc != ERR_INPUT || !strstr(err_text(), says))
		fail_msg("%s\ngave %d \"%s\", not \"%s\"", keys, rc, rc ? err_text() : "", says);
	free(task);
}

static void test_fewshot_load__mistakes(void **state)
{
	(void)state;
	refused("num_fewshot: 3\n", "3 shots wanted, but the split \"test\" has 2 documents");
	refused("num_fewshot: 2\nfewshot_split: test\n", "has 2 documents, one of which is asked");
	refused("num_fewshot: 1\nfewshot_split: gone\n", "there is no split \"gone\"");
	refused("num_fewshot: 1\nfewshot_config: {sampler: balanced}\n", "unknown sampler \"balanced\"");
	refused("num_fewshot: 1\nfewshot_config: [1]\n", "fewshot_config: expected a mapping");
	refused("num_fewshot: 1\nfewshot_config: {samples: []}\n", "samples: expected a list of documents");
	refused("num_fewshot: 1\nfewshot_config: {samples: [3]}\n", "samples: entry 1 is not a mapping");
	refused("num_fewshot: 1\nfewshot_config: {sampler: first_n, samples: [{q: x}]}\n",
		"t.yaml: fewshot_config.samples:1: this row has no \"l\", which doc_to_target needs");
	refused("num_fewshot: 1\nfewshot_config: {splitt: x}\n", "did you mean \"split\"");
	refused("num_fewshot: 1\nfewshot_split: train\nfewshot_config: {sampler: first_n}\n",
		"s.jsonl:1: as a shot this row needs an answer");
	refused("num_fewshot: 1\nfewshot_split: train\nfewshot_config: {sampler: first_n, doc_to_text: '{{q}}'}\n",
		"s.jsonl:1: doc_to_text gives a number here, and text in the first document");
	refused("num_fewshot: 1001\n", "num_fewshot");
	refused("num_fewshot: 1\nfewshot_config: {process_docs: x}\n", "process_docs comes with a later version");
}

/* Shots that are small one by one, and a prompt that is not. */
static void test_fewshot_load__a_prompt_has_a_ceiling(void **state)
{
	static const char *const forms[] = { "", "apply_chat_template: true\n",
					     "apply_chat_template: true\nfewshot_as_multiturn: true\n" };
	struct buf shot = BUF_INIT(1 << 24);
	struct suite *s;

	(void)state;
	buf_adds(&shot, "{\"a\":\"x\",\"q\":\"");
	for (int i = 0; i < 1 << 20; i++)
		buf_addc(&shot, 'q');
	buf_adds(&shot, "\"}\n");
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		char *task = mem_printf("suite: s\n%stasks:\n- task: t\n  dataset_path: json\n  test_split: test\n"
					"  validation_split: v\n  output_type: loglikelihood\n"
					"  dataset_kwargs: {data_files: {test: d.jsonl, v: [s.jsonl, s.jsonl, s.jsonl, "
					"s.jsonl, s.jsonl]}}\n"
					"  doc_to_text: '{{ q * 14 }}'\n  doc_to_target: a\n  num_fewshot: 5\n",
					forms[i]);
		int rc = FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "s.jsonl", buf_str(&shot) },
				   { "d.jsonl", "{\"a\":\"x\",\"q\":\"y\"}\n" });

		if (rc != ERR_INPUT || !strstr(err_text(), "d.jsonl:1: the prompt is larger than 64 MiB"))
			fail_msg("%d %.300s", rc, err_text());
		free(task);
	}
	buf_release(&shot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pyrandom_sample__is_cpython_s),
		cmocka_unit_test(test_pyrandom__vectors_of_cpython),
		cmocka_unit_test(test_fewshot__requests_are_the_harness_s),
		cmocka_unit_test(test_fewshot__a_limit_changes_no_shot),
		cmocka_unit_test(test_fewshot_load__mistakes),
		cmocka_unit_test(test_fewshot_load__a_prompt_has_a_ceiling),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, setup, teardown);
}
