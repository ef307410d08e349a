/* test_prompt.c: the layout of prompts, byte for byte. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals_fake.h"

#define SHOTS "{\"q\":\"1+1?\",\"a\":\"2\"}\n{\"q\":\"2+2?\",\"a\":\"4\"}\n{\"q\":\"3+3?\",\"a\":\"6\"}\n"
#define ASKED "{\"q\":\"4+4?\",\"a\":\"8\"}\n"
#define DATA_KEYS                                                                                                      \
	"task: t\ndataset_path: json\ndataset_kwargs: {data_files: {train: s.jsonl, test: d.jsonl}}\n"                 \
	"training_split: train\ntest_split: test\n"
#define TASK DATA_KEYS "fewshot_config: {sampler: first_n}\n"
#define OWN(more)                                                                                                      \
	TEXT "output_type: loglikelihood\ndoc_to_text: '{{q}}'\nnum_fewshot: 1\nfewshot_config:\n  sampler: "          \
	     "first_n\n" more

#define TEXT "doc_to_target: a\n"

/* The contexts and continuations that the model saw. */
static void sees(const char *keys, const char *data, const char *want)
{
	char *task = mem_printf("%s%s", strstr(keys, "fewshot_config") ? DATA_KEYS : TASK, keys);
	struct fake_model m = { .log = BUF_INIT(1 << 16) };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_options o = { 0 };
	struct suite_result *r = NULL;
	struct suite *s = NULL;

	if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", task }, { "s.jsonl", SHOTS }, { "d.jsonl", data }) ||
	    suite_run(&r, s, &scorer, &o))
		fail_msg("%s", err_text());
	assert_string_equal(buf_str(&m.log), want);
	suite_result_free(r);
	suite_free(s);
	buf_release(&m.log);
	free(task);
}

static void test_prompt_build__shots(void **state)
{
	(void)state;
	sees(TEXT "output_type: loglikelihood\ndoc_to_text: '{{q}}'\nnum_fewshot: 2\n", ASKED,
	     "1+1? 2\n\n2+2? 4\n\n4+4?|8\n");
	sees(TEXT "output_type: loglikelihood\ndoc_to_text: '{{q}}'\nnum_fewshot: 1\ndescription: \"Sums.\\n\"\n"
		  "target_delimiter: ' = '\nfewshot_delimiter: \"\\n\"\n",
	     ASKED, "Sums.\n1+1? = 2\n4+4?|8\n");
	sees(TEXT "output_type: loglikelihood\ndoc_to_text: '{{q}}'\nnum_fewshot: 0\n", ASKED, "4+4?|8\n");
}

static void test_prompt_build__shots_in_a_form_of_their_own(void **state)
{
	(void)state;
	/* samples in place of a split; keys of fewshot_config before the task's */
	sees(TEXT "output_type: loglikelihood\ndoc_to_text: '{{q}}'\nnum_fewshot: 1\n", ASKED, "1+1? 2\n\n4+4?|8\n");
	sees(OWN("  samples: [{q: X, a: [Y, Z]}, {q: V, a: W}]\n"), ASKED, "X Y\n\n4+4?|8\n");
	sees(OWN("  doc_to_text: 'Q{{q}}'\n  doc_to_target: 'A{{a}}'\n  gen_prefix: '<'\n  target_delimiter: '='\n"
		 "  fewshot_delimiter: '; '\n") "gen_prefix: '>'\n",
	     ASKED, "Q1+1?=< A2; 4+4? >|8\n");
	/* a split that is named comes before samples */
	sees(OWN("  split: train\n  samples: [{q: X, a: Y}]\n"), ASKED, "1+1? 2\n\n4+4?|8\n");
	sees(OWN("") "process_docs: {where: \"a != '2'\"}\n", ASKED, "2+2? 4\n\n4+4?|8\n");
}

static void test_prompt_build__a_document_is_not_its_own_shot(void **state)
{
	(void)state;
	sees(TEXT "output_type: loglikelihood\ndoc_to_text: q\nnum_fewshot: 1\nfewshot_split: test\n",
	     "{\"q\":\"x\",\"a\":\"1\"}\n{\"q\":\"y\",\"a\":\"2\"}\n{\"q\":\"z\",\"a\":\"3\"}\n",
	     "y 2\n\nx|1\nx 1\n\ny|2\nx 1\n\nz|3\n");
}

static void test_prompt_build__gen_prefix_joins_without_double_space(void **state)
{
	(void)state;
	sees(TEXT "output_type: loglikelihood\ndoc_to_text: q\nnum_fewshot: 1\ngen_prefix: 'A:'\n", ASKED,
	     "1+1? A: 2\n\n4+4? A:|8\n");
	sees(TEXT "output_type: loglikelihood\ndoc_to_text: \"{{q}}\\n\"\nnum_fewshot: 1\ngen_prefix: 'A: '\n", ASKED,
	     "1+1?\nA: 2\n\n4+4?\nA: |8\n");
}

static void test_prompt_build__choices_answer_shots(void **state)
{
	(void)state;
	sees("output_type: multiple_choice\ndoc_to_text: q\nnum_fewshot: 1\ndoc_to_target: '{{a}}'\n" /* a number */
	     "doc_to_choice: \"['zero', 'one', 'it\\\\'s two', '3', '4', '5', '6', '7', 'eight']\"\n"
	     "fewshot_delimiter: ' ; '\ngeneration_kwargs: {}\nmetric_list: [{metric: acc}]\n",
	     "{\"q\":\"0?\",\"a\":\"0\"}\n",
	     "1+1? it's two ; 0?| zero\n1+1? it's two ; 0?| one\n1+1? it's two ; 0?| it's two\n"
	     "1+1? it's two ; 0?| 3\n1+1? it's two ; 0?| 4\n1+1? it's two ; 0?| 5\n1+1? it's two ; 0?| 6\n"
	     "1+1? it's two ; 0?| 7\n1+1? it's two ; 0?| eight\n");
	sees(TEXT "output_type: multiple_choice\ndoc_to_text: q\nnum_fewshot: 1\ndoc_to_choice: ['0', '6', '8']\n"
		  "fewshot_delimiter: ' ; '\n",
	     ASKED, "1+1? 2 ; 4+4?| 0\n1+1? 2 ; 4+4?| 6\n1+1? 2 ; 4+4?| 8\n"); /* a text column is the answer itself */
}

/* ---- conversations, against what lm-evaluation-harness asks (tests/golden/make_chat.py) ---------------------------- */

static char *jsonl(const json_t *docs)
{
	struct buf out = BUF_INIT(1 << 16);
	const json_t *doc;
	size_t i;

	json_array_foreach(docs, i, doc)
	{
		json_add(&out, doc);
		buf_addc(&out, '\n');
	}
	return buf_take(&out);
}

/* A suite of one task, in JSON, which is YAML. */
static char *suite_of(const json_t *one)
{
	json_t *suite = json_copy(json_object_get(one, "suite")), *task = json_copy(json_object_get(one, "task"));
	struct buf out = BUF_INIT(1 << 16);
	bool rolling = !strcmp(json_get_text(task, "output_type", ""), "loglikelihood_rolling");

	json_object_update_missing_new(task, json_pack("{s:s,s:s,s:s,s:s,s:{s:{s:s,s:s}},s:{s:s}}", "task", "t",
						       "dataset_path", "json", "training_split", "train", "test_split",
						       "test", "dataset_kwargs", "data_files", "train", "s.jsonl",
						       "test", "d.jsonl", "fewshot_config", "sampler", "first_n"));
	json_object_update_missing_new(
		task, json_pack("{s:s,s:s}", "doc_to_target", "{{a}}", "doc_to_text", rolling ? "" : "{{q}}"));
	json_object_set_new(suite, "suite", json_string("s"));
	json_object_set_new(suite, "apply_chat_template", json_true());
	json_object_set_new(suite, "tasks", json_pack("[o]", task));
	json_add(&out, suite);
	json_decref(suite);
	return buf_take(&out);
}

static void test_prompt__conversations_are_the_harness_s(void **state)
{
	json_t *golden = NULL, *one, *request;
	char *shots, *asked;
	size_t i, k;

	(void)state;
	if (json_read(&golden, "tests/golden/chat.json", 1 << 20))
		fail_msg("%s", err_text());
	shots = jsonl(json_object_get(golden, "shots"));
	asked = jsonl(json_object_get(golden, "asked"));
	assert_true(json_array_size(json_object_get(golden, "tasks")) >= 12);
	json_array_foreach(json_object_get(golden, "tasks"), i, one)
	{
		struct buf want = BUF_INIT(1 << 16);
		struct fake_model m = { .log = BUF_INIT(1 << 16) };
		struct scorer scorer = FAKE_SCORER(&m);
		struct suite_options o = { 0 };
		struct suite_result *r = NULL;
		struct suite *s = NULL;
		char *suite = suite_of(one);
		bool generates = false;

		if (FAKE_LOAD(&s, "t.yaml", { "t.yaml", suite }, { "s.jsonl", shots }, { "d.jsonl", asked }) ||
		    suite_run(&r, s, &scorer, &o))
			fail_msg("%s: %s", suite, err_text());
		generates = strstr(suite, "generate_until") != NULL;
		json_array_foreach(json_object_get(one, "requests"), k, request)
		{
			const char *more = json_string_value(json_array_get(request, 1));

			buf_addf(&want, "%s|%s\n", json_string_value(json_array_get(request, 0)),
				 generates ? "256|0|\n"
				 : more    ? more
					   : "(rolling)");
		}
		assert_string_equal(buf_str(&m.log), buf_str(&want));
		suite_result_free(r);
		suite_free(s);
		buf_release(&m.log);
		buf_release(&want);
		free(suite);
	}
	free(shots);
	free(asked);
	json_decref(golden);
}

static void test_prompt__a_model_without_a_template_cannot_be_asked(void **state)
{
	static const char suite[] = "suite: s\napply_chat_template: true\ntasks:\n  - task: t\n    dataset_path: json\n"
				    "    dataset_kwargs: {data_files: {test: d.jsonl}}\n    test_split: test\n"
				    "    doc_to_text: q\n    doc_to_target: a\n";
	struct fake_model m = { .log = BUF_INIT(1 << 16) };
	struct scorer scorer = FAKE_SCORER(&m);
	struct suite_options o = { 0 };
	struct suite_result *r = NULL;
	struct suite *s = NULL;
	char *plain = mem_str(suite);
	struct digest with, without;

	(void)state;
	scorer.chat = NULL;
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", suite }, { "d.jsonl", ASKED }), 0);
	assert_int_equal(suite_run(&r, s, &scorer, &o), ERR_INPUT);
	assert_non_null(strstr(err_text(), "the model has none"));
	with = suite_task_digest(s, 0);
	suite_free(s);
	memcpy(strstr(plain, "true"), "null", 4);
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", plain }, { "d.jsonl", ASKED }), ERR_INPUT);
	memcpy(strstr(plain, "apply"), "metadata: {} # ", 15);
	assert_int_equal(FAKE_LOAD(&s, "t.yaml", { "t.yaml", plain }, { "d.jsonl", ASKED }), 0);
	without = suite_task_digest(s, 0);
	assert_memory_not_equal(&with, &without, sizeof(with)); /* other questions */
	suite_free(s);
	assert_int_equal(
		FAKE_LOAD(&s, "t.yaml", { "t.yaml", "suite: s\nfewshot_as_multiturn: true\ntasks: [a.yaml]\n" }),
		ERR_INPUT);
	assert_non_null(strstr(err_text(), "t.yaml:2:1: fewshot_as_multiturn speaks of a conversation"));
	free(plain);
	buf_release(&m.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prompt_build__shots),
		cmocka_unit_test(test_prompt_build__shots_in_a_form_of_their_own),
		cmocka_unit_test(test_prompt_build__a_document_is_not_its_own_shot),
		cmocka_unit_test(test_prompt_build__gen_prefix_joins_without_double_space),
		cmocka_unit_test(test_prompt_build__choices_answer_shots),
		cmocka_unit_test(test_prompt__conversations_are_the_harness_s),
		cmocka_unit_test(test_prompt__a_model_without_a_template_cannot_be_asked),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
