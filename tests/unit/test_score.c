/* test_score.c: log-probabilities against PyTorch, by the rules of lm-evaluation-harness; the same bits in any batch. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/model_int.h"

#define GOLDEN "tests/golden/llama"

static json_t *golden;
static struct tokenizer *tok;

static int set_up(void **state)
{
	(void)state;
	if (json_read(&golden, GOLDEN "/golden.json", 1 << 20))
		return -1;
	return tokenizer_load(&tok, GOLDEN);
}

static int tear_down(void **state)
{
	(void)state;
	json_decref(golden);
	tokenizer_free(tok);
	return 0;
}

static struct model *open_model(struct backend **be, const char *spec, int threads)
{
	struct model *m;

	assert_int_equal(backend_open(be, spec, threads), 0);
	assert_int_equal(model_load(&m, GOLDEN, *be, &(struct model_load){ .train = true }), 0);
	return m;
}

static size_t golden_requests(struct text_request *reqs, json_t **want)
{
	const json_t *pairs = json_object_get(golden, "pairs"), *rolling = json_object_get(golden, "rolling");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(pairs); i++, n++) {
		want[n] = json_array_get(pairs, i);
		reqs[n].context = json_get_text(want[n], "context", NULL);
		reqs[n].continuation = json_get_text(want[n], "continuation", NULL);
	}
	for (size_t i = 0; i < json_array_size(rolling); i++, n++) {
		want[n] = json_array_get(rolling, i);
		reqs[n].context = json_get_text(want[n], "text", NULL);
		reqs[n].continuation = NULL;
	}
	return n;
}

struct progress_seen {
	size_t last, calls;
	bool back;
};

static void see(size_t n_done, void *arg)
{
	struct progress_seen *s = arg;

	s->back |= n_done < s->last;
	s->last = n_done;
	s->calls++;
}

static void check_texts(const char *spec)
{
	struct text_request reqs[32];
	struct text_result got[32];
	struct progress_seen seen = { 0 };
	json_t *want[32];
	struct backend *be;
	struct model *m = open_model(&be, spec, 2);
	size_t n = golden_requests(reqs, want);

	assert_int_equal(score_texts(m, tok, reqs, n, got,
				     &(struct score_options){ .batch_tokens = 64, .done = see, .arg = &seen }),
			 0);
	for (size_t i = 0; i < n; i++) {
		double ll = json_get_real(want[i], "logprob", 1);
		if (!(fabs(got[i].logprob - ll) <= 1e-4 + 1e-6 * fabs(ll)))
			fail_msg("%s: request %zu: %.9g, PyTorch %.9g", spec, i, got[i].logprob, ll);
		assert_int_equal(got[i].tokens, json_get_int(want[i], "tokens", -1));
		if (reqs[i].continuation)
			assert_int_equal(got[i].greedy, json_get_flag(want[i], "greedy", false));
	}
	assert_int_equal(seen.last, n);
	assert_false(seen.back);
	assert_true(seen.calls > 1);
	model_free(m);
	backend_close(be);
}

static void test_score_texts__as_the_harness(void **state)
{
	(void)state;
	check_texts("cpu_ref");
	check_texts("cpu");
}

static void check_batches(const char *spec)
{
	static const int sizes[] = { 1, 30, 64, 200, 4096, 0 };
	struct text_request reqs[32], reversed[32];
	struct text_result first[32], got[32];
	json_t *want[32];
	size_t n = golden_requests(reqs, want);

	for (size_t i = 0; i < n; i++)
		reversed[n - 1 - i] = reqs[i];
	for (int threads = 1; threads <= 2; threads++) {
		struct backend *be;
		struct model *m = open_model(&be, spec, threads);
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			assert_int_equal(
				score_texts(m, tok, reqs, n, got, &(struct score_options){ .batch_tokens = sizes[s] }),
				0);
			if (!s && threads == 1)
				memcpy(first, got, sizeof(first));
			for (size_t i = 0; i < n; i++)
				assert_memory_equal(&first[i].logprob, &got[i].logprob, sizeof(double));
			assert_int_equal(score_texts(m, tok, reversed, n, got,
						     &(struct score_options){ .batch_tokens = sizes[s] }),
					 0);
			for (size_t i = 0; i < n; i++)
				assert_memory_equal(&first[i].logprob, &got[n - 1 - i].logprob, sizeof(double));
		}
		model_free(m);
		backend_close(be);
	}
}

static void test_score_texts__same_bits_in_any_batch(void **state)
{
	(void)state;
	check_batches("cpu_ref");
	check_batches("cpu");
}

static void test_score_texts__odd_texts(void **state)
{
	struct backend *be;
	struct model *m = open_model(&be, "cpu_ref", 1);
	struct text_result got;
	struct text_request r = { "", NULL };

	(void)state;
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), 0); /* nothing to predict */
	assert_int_equal(got.tokens, 0);
	assert_true(got.greedy && !(got.logprob < 0));
	r = (struct text_request){ " \n", "the cat" }; /* nothing but white space is no context */
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), 0);
	assert_true(got.tokens >= 2);
	r = (struct text_request){ "the c", "at" }; /* " cat" is one token: the whole is no longer than the context */
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "request 0"));
	r = (struct text_request){ "the", "" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	r = (struct text_request){ "", "" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	r = (struct text_request){ "", "<|end|>" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	r = (struct text_request){ "x", "abcdefghijklmnopqrstuvwxyz" };
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "the model takes 24"));
	assert_int_equal(score_texts(m, tok, NULL, 0, NULL, NULL), 0);
	m->config.bos_id = m->config.eos_id = -1;
	assert_int_equal(score_texts(m, tok, &r, 1, &got, NULL), ERR_INPUT);
	model_free(m);
	backend_close(be);
}

static void test_score_run__refuses(void **state)
{
	int32_t ids[30] = { 1, 2, 3 };
	struct backend *be;
	struct model *m = open_model(&be, "cpu_ref", 1);
	struct score_result got;

	(void)state;
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 3 }, 1, &got, NULL), ERR_INPUT);
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 0 }, 1, &got, NULL), ERR_INPUT);
	assert_int_equal(score_run(m, &(struct score_request){ ids, 26, 1 }, 1, &got, NULL), ERR_INPUT);
	assert_int_equal(score_run(m, &(struct score_request){ ids, 25, 1 }, 1, &got, NULL), 0);
	ids[1] = 272;
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 1 }, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "272"));
	assert_non_null(err_fix());
	ids[1] = 2;
	m->params[m->norm] = (float)NAN;
	assert_int_equal(score_run(m, &(struct score_request){ ids, 3, 1 }, 1, &got, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "not a finite number"));
	model_free(m);
	backend_close(be);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_score_texts__as_the_harness),
		cmocka_unit_test(test_score_texts__same_bits_in_any_batch),
		cmocka_unit_test(test_score_texts__odd_texts),
		cmocka_unit_test(test_score_run__refuses),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
