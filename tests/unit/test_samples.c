/* test_samples.c: results as bytes and back; files that lie or break. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "evals/evals_int.h"

#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void make(struct task_result *t)
{
	*t = (struct task_result){ .task = mem_str("t"), .n = 3, .n_total = 5, .n_metrics = 3 };
	snprintf(t->digest, sizeof(t->digest), "%s", DIGEST);
	t->samples = mem_array(3, sizeof(*t->samples));
	t->metrics = mem_array(3, sizeof(*t->metrics));
	for (int i = 0; i < 3; i++) {
		t->samples[i].id = mem_printf("s%d \"\xc3\xa9\"", i);
		t->samples[i].prompt = mem_str("line\nbreak\t\x01");
		t->samples[i].target = mem_str("");
		t->samples[i].response = mem_strn("x\0y\0", 4);
		t->samples[i].response_len = 4;
		snprintf(t->samples[i].doc_hash, 17, "0123456789abcdef");
	}
	t->metrics[0] = (struct metric){ .name = mem_str("acc"),
					 .filter = mem_str("none"),
					 .aggregate = AGGREGATE_MEAN,
					 .higher_is_better = true,
					 .binary = true,
					 .scores = mem_array(3, sizeof(double)) };
	t->metrics[1] = (struct metric){ .name = mem_str("ppl"),
					 .filter = mem_str("none"),
					 .aggregate = AGGREGATE_PERPLEXITY,
					 .scores = mem_array(3, sizeof(double)),
					 .weights = mem_array(3, sizeof(double)) };
	t->metrics[2] = (struct metric){ .name = mem_str("ter"),
					 .filter = mem_str("none"),
					 .aggregate = AGGREGATE_TER,
					 .scores = mem_array(3, sizeof(double)),
					 .parts = mem_array(6, sizeof(double)),
					 .n_parts = 2 };
	for (int i = 0; i < 3; i++) {
		t->metrics[0].scores[i] = i == 1;
		t->metrics[1].scores[i] = -1.0 / 3 * (i + 1);
		t->metrics[1].weights[i] = i + 1.5;
		t->metrics[2].parts[2 * i] = i;
		t->metrics[2].parts[2 * i + 1] = 7 + i / 3.0;
	}
	for (int i = 0; i < 3; i++)
		metric_close(&t->metrics[i], 3);
}

static void test_task_result_write__reads_back_equal(void **state)
{
	struct buf out = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	struct task_result t, back;

	(void)state;
	make(&t);
	task_result_write(&t, &out);
	if (task_result_read(&back, buf_str(&out), out.len, "f"))
		fail_msg("%s", err_text());
	assert_int_equal(back.n, 3);
	assert_int_equal(back.n_total, 5);
	assert_string_equal(back.digest, DIGEST);
	assert_string_equal(back.samples[2].id, "s2 \"\xc3\xa9\"");
	assert_string_equal(back.samples[0].prompt, "line\nbreak\t\x01");
	assert_non_null(strstr(buf_str(&out), "\"response\":\"x\\u0000y\\u0000\""));
	assert_int_equal(back.samples[1].response_len, 4);
	assert_memory_equal(back.samples[1].response, "x\0y\0", 5);
	assert_true(back.metrics[0].binary && !back.metrics[1].binary);
	assert_memory_equal(back.metrics[1].scores, t.metrics[1].scores, 3 * sizeof(double));
	assert_memory_equal(back.metrics[1].weights, t.metrics[1].weights, 3 * sizeof(double));
	assert_int_equal(back.metrics[2].n_parts, 2);
	assert_memory_equal(back.metrics[2].parts, t.metrics[2].parts, 6 * sizeof(double));
	assert_true(fabs(back.metrics[2].value - 300 / 22.0) < 1e-12 && back.metrics[2].stderr_ > 0);
	assert_true(back.metrics[1].value == t.metrics[1].value && back.metrics[1].stderr_ == t.metrics[1].stderr_);
	task_result_write(&back, &again);
	assert_int_equal(out.len, again.len);
	assert_memory_equal(out.data, again.data, out.len);
	task_result_release(&t);
	task_result_release(&back);
	buf_release(&out);
	buf_release(&again);
}

/* Every cut of a good file, and every byte of it changed, gives an error or a result that holds together. */
static void test_task_result_read__broken_files(void **state)
{
	struct buf out = BUF_INIT(1 << 20);
	struct task_result t, back;

	(void)state;
	make(&t);
	task_result_write(&t, &out);
	for (size_t len = 0; len + 1 < out.len; len++)
		assert_int_equal(task_result_read(&back, out.data, len, "f"), ERR_INPUT);
	for (size_t i = 0; i < out.len; i++) {
		char was = out.data[i];

		for (int k = 0; k < 3; k++) {
			out.data[i] = "9}\0"[k];
			if (!task_result_read(&back, out.data, out.len, "f")) {
				assert_int_equal(back.n, 3);
				task_result_release(&back);
			}
		}
		out.data[i] = was;
	}
	task_result_release(&t);
	buf_release(&out);
}

static void test_task_result_read__lies_are_found(void **state)
{
#define HEADER(n, total, value)                                                                                        \
	"{\"format\":\"assay-samples/1\",\"task\":\"t\",\"digest\":\"" DIGEST "\",\"n\":" n ",\"n_total\":" total      \
	",\"metrics\":[{\"name\":\"acc\",\"filter\":\"none\",\"aggregate\":\"mean\",\"higher_is_better\":true,"        \
	"\"binary\":true,\"value\":" value ",\"stderr\":null,\"weighted\":false}]}\n"
#define CORPUS(aggregate, parts)                                                                                       \
	"{\"format\":\"assay-samples/1\",\"task\":\"t\",\"digest\":\"" DIGEST "\",\"n\":1,\"n_total\":1"               \
	",\"metrics\":[{\"name\":\"" aggregate "\",\"filter\":\"none\",\"aggregate\":\"" aggregate                     \
	"\",\"higher_is_better\":true,\"binary\":false,\"value\":1,\"stderr\":null,\"parts\":" parts "}]}\n"
	static const struct {
		const char *text, *says;
	} lies[] = {
		{ "", "f: empty" },
		{ "{}\n", "f:1: the first line is not the header" },
		{ HEADER("1", "1", "0") "{\"id\":\"a\",\"scores\":[1]}\n",
		  "gives acc as 0, but the samples make it 1" },
		{ HEADER("1", "1", "null") "{\"id\":\"a\",\"scores\":[1]}\n", "gives acc as" },
		{ HEADER("2", "2", "1") "{\"id\":\"a\",\"scores\":[1]}\n", "cut short: 1 of 2 samples" },
		{ HEADER("1", "1", "1") "{\"id\":\"a\",\"scores\":[1]}\n{\"id\":\"b\",\"scores\":[1]}\n",
		  "f:3: more samples than the header says" },
		{ HEADER("2", "1", "1") "{\"id\":\"a\",\"scores\":[1]}\n{\"id\":\"b\",\"scores\":[1]}\n",
		  "2 of 1 samples" },
		{ HEADER("4000000", "4000000", "1"), "4000000 of 4000000 samples; the file has 1" },
		{ HEADER("2", "2", "1") "{\"id\":\"a\",\"scores\":[1]}\n{\"id\":\"a\",\"scores\":[1]}\n",
		  "f:3: the id \"a\" is there twice" },
		{ HEADER("1", "1", "1") "{\"id\":\"a\",\"scores\":[0.5]}\n", "neither 0 nor 1" },
		{ HEADER("1", "1", "1") "{\"id\":\"a\",\"scores\":[null]}\n", "is not a number" },
		{ HEADER("1", "1", "1") "{\"id\":\"a\",\"scores\":[]}\n", "one number for each of 1 metrics" },
		{ HEADER("1", "1", "1") "{\"id\":\"\",\"scores\":[1]}\n", "\"id\" must be text" },
		{ HEADER("1", "1", "1") "[]\n", "f:2: expected a JSON object" },
		{ CORPUS("f1", "2") "{\"id\":\"a\",\"scores\":[1]}\n", "f1 needs 2 parts" },
		{ CORPUS("f1", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[1]]}\n", "f1 needs 2 parts" },
		{ CORPUS("f1", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[1,2]]}\n", "labels 0 to 1" },
		{ CORPUS("mcc", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[1,31]]}\n", "labels -15 to 30" },
		{ CORPUS("mcc", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[-16,1]]}\n", "labels -15 to 30" },
		{ CORPUS("mcc", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0.5,1]]}\n", "labels -15 to 30" },
		{ CORPUS("ter", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[-1,1]]}\n", "a count of ter is -1" },
		{ CORPUS("ter", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[null,1]]}\n", "is not a number" },
		{ CORPUS("members", "4") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0,1,1,1]]}\n",
		  "not made of 4 parts" },
		{ CORPUS("members", "5") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[99999,1,1,1,1]]}\n",
		  "of no member" },
		{ CORPUS("members", "5") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0,-1,1,1,1]]}\n", "of no member" },
		{ CORPUS("members", "5") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0,1,8,1,1]]}\n", "of no member" },
		{ CORPUS("members", "5") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0,1,0,1,1]]}\n", "of no member" },
		{ CORPUS("members", "5") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0,1,1,-2,0]]}\n",
		  "no log-likelihood" },
		{ CORPUS("members", "5") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0,1,3,1,1]]}\n",
		  "not made of 2 parts" },
		{ CORPUS("members", "5") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[0,1,6,2,1]]}\n", "labels 0 to 1" },
		{ CORPUS("ter", "2") "{\"id\":\"a\",\"scores\":[1],\"parts\":[[1,4]]}\n",
		  "but the samples make it 25" },
		{ CORPUS("ter", "3"), "ter is not made of 3 parts" },
		{ CORPUS("chrf", "27"), "chrf is not made of 27 parts" },
		{ CORPUS("bleu", "-1"), "bleu is not made of 0 parts" },
	};
	struct task_result t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		int rc = task_result_read(&t, lies[i].text, strlen(lies[i].text), "f");

		if (rc != ERR_INPUT || !strstr(err_text(), lies[i].says))
			fail_msg("%zu: %d \"%s\"", i, rc, rc ? err_text() : "");
	}
}

static void test_task_results_read__tasks_behind_each_other(void **state)
{
	struct buf out = BUF_INIT(1 << 20);
	struct task_result t, *back;
	size_t n;

	(void)state;
	make(&t);
	task_result_write(&t, &out);
	t.task[0] = 'u';
	task_result_write(&t, &out);
	assert_int_equal(task_results_read(&back, &n, buf_str(&out), out.len, "f"), 0);
	assert_int_equal(n, 2);
	assert_string_equal(back[0].task, "t");
	assert_string_equal(back[1].task, "u");
	assert_int_equal(back[1].n, 3);
	task_result_release(&back[0]);
	task_result_release(&back[1]);
	free(back);
	assert_int_equal(task_results_read(&back, &n, buf_str(&out), out.len - 200, "f"), ERR_INPUT); /* cut short */
	assert_int_equal(n, 1);
	task_result_release(&back[0]);
	free(back);
	assert_int_equal(task_results_read(&back, &n, "{\"id\":1,\"score\":1}\n", 21, "f"), ERR_NOTFOUND);
	assert_int_equal(task_results_read(&back, &n, "", 0, "f"), ERR_NOTFOUND);
	assert_null(back);
	task_result_release(&t);
	buf_release(&out);
}

static void test_sample_fill__cuts_long_texts_between_code_points(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct sample s = { 0 };
	json_t *value = json_pack("{s:i}", "a", 1);
	char id[] = "id";
	struct doc d = { value, "f", 1, id };
	struct prompt prompt = { 0 };
	struct instance in = { .prompts = &prompt, .n_prompts = 1 };

	(void)state;
	for (int i = 0; i < 3000; i++)
		buf_adds(&text, "\xe2\x82\xac");
	prompt.text = text.data;
	sample_fill(&s, &d, &in, text.data, "short\0 \xff", 8);
	assert_true(strlen(s.prompt) < 4200 && strlen(s.target) < 4200);
	assert_true(utf8_valid(s.prompt, strlen(s.prompt), NULL) && utf8_valid(s.target, strlen(s.target), NULL));
	assert_non_null(strstr(s.prompt, "bytes] "));
	assert_non_null(strstr(s.target, "bytes more]"));
	assert_int_equal(s.response_len, 10);
	assert_memory_equal(s.response, "short\0 \xef\xbf\xbd", 11);
	free(s.id);
	free(s.prompt);
	free(s.target);
	free(s.response);
	json_decref(value);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_result_write__reads_back_equal),
		cmocka_unit_test(test_task_result_read__broken_files),
		cmocka_unit_test(test_task_result_read__lies_are_found),
		cmocka_unit_test(test_task_results_read__tasks_behind_each_other),
		cmocka_unit_test(test_sample_fill__cuts_long_texts_between_code_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
