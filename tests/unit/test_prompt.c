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
#define TASK                                                                                                           \
	"task: t\ndataset_path: json\ndataset_kwargs: {data_files: {train: s.jsonl, test: d.jsonl}}\n"                 \
	"training_split: train\ntest_split: test\nfewshot_config: {sampler: first_n}\n"

#define TEXT "doc_to_target: a\n"

/* The contexts and continuations that the model saw. */
static void sees(const char *keys, const char *data, const char *want)
{
	char *task = mem_printf("%s%s", TASK, keys);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prompt_build__shots),
		cmocka_unit_test(test_prompt_build__a_document_is_not_its_own_shot),
		cmocka_unit_test(test_prompt_build__gen_prefix_joins_without_double_space),
		cmocka_unit_test(test_prompt_build__choices_answer_shots),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
