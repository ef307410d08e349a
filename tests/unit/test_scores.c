/* test_scores.c: plain files of scores: what is in them, what is wrong with them, and that both ways of reading a line agree. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals/evals_int.h"

static void test_task_result_read_scores__plain_files(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "no scores in it" },
		{ "{\"id\":\"a\",\"score\":1}\n{\"id\":\"a\",\"score\":1}\n", "f:2: the id \"a\" is there twice" },
		{ "{\"id\":\"a\",\"score\":\"1\"}\n", "f:1: the score is not a number" },
		{ "{\"id\":\"a\",\"scor\":1}\n", "did you mean \"score\"" },
		{ "{\"id\":\"a\"}\n", "f:1: the score is not a number" },
		{ "{\"score\":1}\n", "f:1: \"id\" must be" },
		{ "{\"id\":1,\"score\":1,\"weight\":2}\n{\"id\":2,\"score\":1}\n", "in every line or in none" },
		{ "{\"id\":1,\"score\":1,\"weight\":0}\n", "not a positive number" },
		{ "{\"id\":1,\"score\":1e999}\n", "f:1:" },
		{ "{\"id\":1,\"score\":1,\"cluster\":[1]}\n", "f:1: \"cluster\" must be a text or a whole number" },
		{ "7\n", "f:1: expected a JSON object" },
		{ "\n{\"id\":\"a\",\"score\":1}\n\n{\"id\":1,\"score\":1}\n{\"id\":\"1\",\"score\":1}\n",
		  "f:5: the id \"1\" is there twice" },
		{ "{\"id\":\"a\",\"score\":1}\n{\"id\":\"\xff\",\"score\":1}\n", "f:2:" },
		{ "{\"id\":\"a\",\"score\":01}\n", "f:1:" },
		{ "{\"id\":\"a\",\"score\":1.}\n", "f:1:" },
		{ "{\"id\":\"a\",\"score\":1}}\n", "f:1:" },
		{ "{\"id\":\"a\",\"score\":1,}\n", "f:1:" },
		{ "{\"id\":\"a\",\"score\":1,\"score\":0}\n", "f:1:" },
		{ "{\"id\":\"a\",\"id\":\"b\",\"score\":0}\n", "f:1:" },
		{ "{\"id\":\"\",\"score\":0}\n", "f:1: \"id\" must be" },
		{ "{\"id\":1.5,\"score\":0}\n", "f:1: \"id\" must be" },
		{ "{\"id\":\"a\",\"score\":0,\"slice\":\"\"}\n", "f:1: \"slice\" must be" },
		{ "{\"id\":\"a\",\"score\":0,\"weight\":-1}\n", "not a positive number" },
		{ "{\"id\":\"a\",\"score\":0", "f:1:" },
		{ "{\"id\":1,\"score\":1,\"repeat\":0}\n{\"id\":1,\"score\":1}\n",
		  "f:2: \"repeat\" must be in every line or in none" },
		{ "{\"id\":1,\"score\":1}\n{\"id\":1,\"score\":1,\"repeat\":1}\n", "f:2: \"repeat\" must be" },
		{ "{\"id\":1,\"score\":1,\"repeat\":0}\n\n{\"id\":2,\"score\":1,\"repeat\":0}\n{\"id\":1,\"score\":0,"
		  "\"repeat\":0}\n",
		  "f:4: the id \"1\" is there twice with repeat 0" },
		{ "{\"id\":1,\"score\":1,\"repeat\":0,\"slice\":\"x\"}\n{\"id\":1,\"score\":1,\"repeat\":1}\n",
		  "f:2: the id \"1\" has another weight, cluster or slice in repeat 1" },
		{ "{\"id\":1,\"score\":1,\"repeat\":0,\"weight\":2}\n{\"id\":1,\"score\":1,\"repeat\":1,\"weight\":3}"
		  "\n",
		  "f:2: the id \"1\" has another weight" },
		{ "{\"id\":1,\"score\":1,\"repeat\":[0]}\n", "\"repeat\" must be a text or a whole number" },
		{ "{\"id\":\"a\t4,\"score\":0}", "f:1:" },
	};
	const char plain[] = "{\"id\":1,\"score\":1}\n{\"id\":\"b\",\"score\":0,\"cluster\":\"x\",\"slice\":\"y\"}\n";
	const char weighted[] = "{\"id\":1,\"score\":1,\"weight\":3}\n{\"id\":2,\"score\":0,\"weight\":1}\n";
	struct task_result t;

	(void)state;
	assert_int_equal(task_result_read_scores(&t, plain, strlen(plain), "f"), 0);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.samples[0].id, "1");
	assert_true(t.metrics[0].binary && t.metrics[0].value == 0.5);
	assert_null(t.samples[0].cluster);
	assert_string_equal(t.samples[1].cluster, "x");
	assert_string_equal(t.samples[1].slice, "y");
	assert_string_equal(t.digest, "");
	task_result_release(&t);
	assert_int_equal(task_result_read_scores(&t, weighted, strlen(weighted), "f"), 0);
	assert_true(!t.metrics[0].binary && t.metrics[0].value == 0.75);
	task_result_release(&t);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int rc = task_result_read_scores(&t, bad[i].text, strlen(bad[i].text), "f");

		if (rc != ERR_INPUT || !strstr(err_text(), bad[i].says))
			fail_msg("%zu: %d \"%s\"", i, rc, rc ? err_text() : "");
	}
}

/* The plain reading of a line and the JSON parser's: an escape in the slice's name sends a line to the latter. */
static void test_task_result_read_scores__both_ways_agree(void **state)
{
	static const char *const numbers[] = { "0",
					       "1",
					       "-1",
					       "0.1",
					       "0.30000000000000004",
					       "-0.5",
					       "2.50",
					       "1e-3",
					       "12345678901234",
					       "0.000001",
					       "123456.789012345",
					       "1E2",
					       "-0",
					       "0.0",
					       "999999999999999",
					       "0.1234567890123456" };
	static const char *const forms[] = { "{\"id\":\"q\",\"score\":%s,\"slice\":\"%s\"}",
					     " { \"slice\" : \"%2$s\" ,\"score\" :\t%1$s , \"id\": \"q\" } \r" };
	struct task_result plain, parsed;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(forms); k++)
		for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
			char a[256], b[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(a, sizeof(a), forms[k], numbers[i], "s");
			snprintf(b, sizeof(b), forms[k], numbers[i], "\\u0073");
#pragma GCC diagnostic pop
			assert_int_equal(task_result_read_scores(&plain, a, strlen(a), "f"), 0);
			assert_int_equal(task_result_read_scores(&parsed, b, strlen(b), "f"), 0);
			assert_true(plain.metrics[0].scores[0] == parsed.metrics[0].scores[0]);
			assert_string_equal(plain.samples[0].slice, parsed.samples[0].slice);
			assert_string_equal(plain.samples[0].id, parsed.samples[0].id);
			task_result_release(&plain);
			task_result_release(&parsed);
		}
}

/* Answers to one question, among those to others: one sample each, whose score is their mean, where its first one stands. */
static void test_task_result_read_scores__repeats_are_averaged(void **state)
{
	const char text[] = "{\"id\":\"a\",\"score\":1,\"repeat\":0,\"cluster\":\"x\"}\n"
			    "{\"id\":\"b\",\"score\":0,\"repeat\":\"first\"}\n"
			    "{\"id\":\"a\",\"score\":0,\"repeat\":1,\"cluster\":\"x\"}\n"
			    "{\"id\":\"c\",\"score\":0.5,\"repeat\":0}\n"
			    "{\"id\":\"a\",\"score\":0,\"repeat\":2,\"cluster\":\"\\u0078\"}\n"
			    "{\"id\":\"c\",\"score\":0.25,\"repeat\":1}\n"
			    "{\"id\":\"a\",\"score\":1,\"repeat\":3,\"cluster\":\"x\"}\n";
	const char once[] = "{\"id\":\"a\",\"score\":1,\"repeat\":7}\n{\"id\":\"b\",\"score\":0,\"repeat\":7}\n";
	struct task_result t;

	(void)state;
	assert_int_equal(task_result_read_scores(&t, text, strlen(text), "f"), 0);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.n_total, 3);
	assert_string_equal(t.samples[0].id, "a");
	assert_string_equal(t.samples[0].cluster, "x");
	assert_string_equal(t.samples[1].id, "b");
	assert_string_equal(t.samples[2].id, "c");
	assert_true(t.metrics[0].scores[0] == 0.5 && t.metrics[0].scores[1] == 0 && t.metrics[0].scores[2] == 0.375);
	assert_false(t.metrics[0].binary);
	assert_true(t.metrics[0].value == 0.875 / 3);
	task_result_release(&t);
	assert_int_equal(task_result_read_scores(&t, once, strlen(once), "f"), 0);
	assert_true(t.n == 2 && t.metrics[0].binary); /* one answer each: counted */
	task_result_release(&t);
}

static void test_sample_ids__twice_and_partners(void **state)
{
	enum { N = 5000 };
	struct sample *a = mem_array(N, sizeof(*a)), *b = mem_array(N, sizeof(*b));
	size_t *partner = mem_array(N, sizeof(*partner));

	(void)state;
	for (size_t i = 0; i < N; i++) {
		a[i].id = mem_printf("sample-%zu", i);
		b[i].id = mem_printf("sample-%zu",
				     i < 100 ? i : N + 99 - i); /* the same order, then the other way round */
	}
	assert_int_equal(sample_ids_twice(a, N), SIZE_MAX);
	assert_int_equal(sample_ids_twice(b, N), SIZE_MAX);
	assert_int_equal(sample_ids_twice(a, 0), SIZE_MAX);
	sample_ids_match(partner, a, N, b, N);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(partner[i], i < 100 ? i : N + 99 - i);
	sample_ids_match(partner, a, N, b, 200);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(partner[i], i < 100 ? i : N + 99 - i < 200 ? N + 99 - i : SIZE_MAX);
	free(a[N - 1].id);
	a[N - 1].id = mem_str("sample-17");
	assert_int_equal(sample_ids_twice(a, N), N - 1);
	for (size_t i = 0; i < N; i++) {
		free(a[i].id);
		free(b[i].id);
	}
	free(a);
	free(b);
	free(partner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_result_read_scores__plain_files),
		cmocka_unit_test(test_task_result_read_scores__both_ways_agree),
		cmocka_unit_test(test_task_result_read_scores__repeats_are_averaged),
		cmocka_unit_test(test_sample_ids__twice_and_partners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
