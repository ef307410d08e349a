/* test_remote_window.c: what is longer than the server's context goes in windows, or is cut, as lm-evaluation-harness has it. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model.h"
#include "remote_home.h"

struct narrow { /* a server that takes so many tokens, of which it writes one */
	int context;
	bool says; /* so */
	size_t asked_models, refused;
	struct buf log; /* the prompts */
};

/* An id's log-probability tells where it stands and what it is. */
static void score_narrow(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	struct narrow *t = s->arg;
	json_t *ids = json_object_get(body, "prompt"), *prompt, *root;

	if (strcmp(s->method, "GET") == 0) {
		t->asked_models++;
		out->status = t->says ? 200 : 404;
		out->body = mem_printf(
			"{\"data\":[{\"id\":\"other\",\"max_model_len\":9},{\"id\":\"org/m\",\"max_model_len\":%d}]}",
			t->context);
		return;
	}
	json_add(&t->log, ids);
	buf_addc(&t->log, '\n');
	if (json_array_size(ids) + (size_t)json_get_int(body, "max_tokens", 0) > (size_t)t->context) {
		t->refused++;
		out->status = 400;
		out->body = mem_str("{\"error\":{\"message\":\"too long\"}}");
		return;
	}
	prompt = json_array();
	for (size_t i = 0; i < json_array_size(ids); i++) {
		int id = (int)json_integer_value(json_array_get(ids, i));
		char key[16];

		snprintf(key, sizeof(key), "%d", id);
		json_array_append_new(prompt, i ? json_pack("{s:{s:f,s:i}}", key, "logprob", -id / 1024.0, "rank", 1)
						: json_null());
	}
	root = json_pack("{s:[{s:s,s:o}]}", "choices", "text", "done", "prompt_logprobs", prompt);
	out->body = json_dumps(root, 0);
	json_decref(root);
}

struct narrow_end {
	struct loopback s;
	struct narrow t;
	struct location l;
	struct remote *r;
	struct scorer scorer;
};

static void narrow_open(struct narrow_end *e, int context, bool says, const char *more)
{
	char *folder = realpath("tests/golden/llama", NULL),
	     *text = mem_printf(
		     "    logprobs: prompt_logprobs\n    in_flight: 1\n    bos: '<|end|>'\n    tokenizer: %s\n%s",
		     folder, more);

	*e = (struct narrow_end){ .t = { .context = context, .says = says, .log = BUF_INIT(1 << 20) } };
	e->s = (struct loopback){ .answer = score_narrow, .arg = &e->t };
	loopback_open(&e->s);
	e->l = located(&e->s, text);
	assert_int_equal(remote_open(&e->r, &e->l, NULL), 0);
	e->scorer = remote_scorer(e->r);
	free(folder);
	free(text);
}

static void narrow_close(struct narrow_end *e)
{
	remote_close(e->r);
	location_release(&e->l);
	loopback_close(&e->s);
	buf_release(&e->t.log);
}

static const char long_text[] = "the cat sat on the mat and the dog sat on the cat and so it went on and on";

/* The ids of a whole text, or of a context and its continuation. */
static struct tokens whole_ids(const char *context, const char *continuation)
{
	struct tokens ids = { NULL, 0, 0 };
	const struct text_request q = { context, continuation };
	struct tokenizer *tok;
	struct text_ids *rules;
	size_t n_scored;

	assert_int_equal(tokenizer_load(&tok, "tests/golden/llama"), 0);
	rules = text_ids_new(tok, tokenizer_id(tok, "<|end|>"));
	assert_int_equal(text_ids_add(rules, &q, &ids, &n_scored), 0);
	text_ids_free(rules);
	tokenizer_free(tok);
	return ids;
}

static void add_line(struct buf *out, const struct tokens *ids, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		buf_addf(out, "%s%d", i == begin ? "[" : ",", (int)ids->ids[i]);
	buf_adds(out, "]\n");
}

/* Windows as lm_eval.utils.get_rolling_token_windows and make_disjoint_window have them, for max_seq_len = context - 2. */
static void test_remote_loglik__a_long_text_goes_in_windows(void **state)
{
	const struct loglik_request q = { long_text, NULL, false };
	struct tokens ids = whole_ids(long_text, NULL);
	struct buf want = BUF_INIT(1 << 16);
	const size_t most = 8;
	double sum = 0;

	(void)state;
	assert_in_range(ids.n, 2 * most + 2, 100);
	for (size_t at = 1; at < ids.n;) {
		size_t end = at + most < ids.n ? at + most : ids.n;

		add_line(&want, &ids, at == 1 ? 0 : end - most - 1, end);
		at = end;
	}
	for (size_t i = 1; i < ids.n; i++)
		sum -= ids.ids[i] / 1024.0;
	for (int says = 0; says < 2; says++) { /* the location, or the server's list of models */
		struct loglik_result out;
		struct narrow_end e;

		narrow_open(&e, 10, says, says ? "" : "    context: 10\n");
		if (e.scorer.loglik(e.scorer.self, &q, 1, &out, &no_watch))
			fail_msg("%s", err_text());
		assert_string_equal(buf_str(&e.t.log), buf_str(&want));
		assert_true(out.logprob == sum && out.tokens == (int)ids.n - 1);
		assert_int_equal(e.scorer.loglik(e.scorer.self, &q, 1, &out, &no_watch), 0);
		assert_int_equal(e.t.asked_models, says);
		assert_int_equal(remote_cut(e.r), 0); /* windows are no cut */
		narrow_close(&e);
	}
	buf_release(&want);
	tokens_release(&ids);
}

static void test_remote_loglik__a_long_context_is_cut_on_the_left(void **state)
{
	const struct loglik_request reqs[] = { { long_text, " and on", false }, { "the cat", " sat", false } },
				    too_long = { "the", long_text, false };
	struct tokens ids = whole_ids(long_text, " and on"), few = whole_ids("the cat", " sat");
	struct buf want = BUF_INIT(1 << 16);
	struct loglik_result out[2];
	struct narrow_end e;

	(void)state;
	add_line(&want, &ids, ids.n - 9, ids.n);
	add_line(&want, &few, 0, few.n);
	narrow_open(&e, 10, false, "    context: 10\n");
	if (e.scorer.loglik(e.scorer.self, reqs, 2, out, &no_watch))
		fail_msg("%s", err_text());
	assert_string_equal(buf_str(&e.t.log), buf_str(&want));
	assert_int_equal(remote_cut(e.r), 1);
	assert_int_equal(remote_cut(e.r), 0);
	assert_int_equal(e.scorer.loglik(e.scorer.self, &too_long, 1, out, &no_watch), ERR_INPUT);
	assert_non_null(strstr(err_text(), "tokens, location here takes 8"));
	narrow_close(&e);
	buf_release(&want);
	tokens_release(&ids);
	tokens_release(&few);
}

static void test_remote_generate__a_long_prompt_goes_as_its_last_ids(void **state)
{
	static const char *const stops[] = { NULL };
	const struct generate_until reqs[] = { { .prompt = long_text, .until = stops, .max_tokens = 3 },
					       { .prompt = "the cat", .until = stops, .max_tokens = 3 } };
	struct tokens ids = whole_ids(long_text, NULL); /* behind a prefix: the text's own begin with a BOS, too */
	struct buf want = BUF_INIT(1 << 16);
	struct generated out[2];
	struct narrow_end e;

	(void)state;
	add_line(&want, &ids, ids.n - 6, ids.n); /* 10 - 1 - 3 */
	buf_adds(&want, "\"the cat\"\n");
	narrow_open(&e, 10, true, "");
	if (e.scorer.generate(e.scorer.self, reqs, 2, out, &no_watch))
		fail_msg("%s", err_text());
	assert_string_equal(buf_str(&e.t.log), buf_str(&want));
	assert_int_equal(remote_cut(e.r), 1);
	free(out[0].text);
	free(out[1].text);
	narrow_close(&e);
	buf_release(&want);
	tokens_release(&ids);
}

static void test_remote_loglik__too_long_for_a_context_that_nobody_knows(void **state)
{
	const struct loglik_request q = { long_text, NULL, false };
	struct loglik_result out;
	struct narrow_end e;

	(void)state;
	narrow_open(&e, 10, false, "");
	assert_int_equal(e.scorer.loglik(e.scorer.self, &q, 1, &out, &no_watch), ERR_INPUT);
	assert_non_null(strstr(err_text(), "location here answers 400 to a request: too long"));
	assert_non_null(strstr(err_fix(), "tokenizer: FOLDER and context: TOKENS"));
	assert_int_equal(e.t.refused, 1);
	narrow_close(&e);
}

/* Where the context is known nothing is asked; else the server's words come with what to set. */
static void test_remote_generate__more_to_write_than_the_context(void **state)
{
	static const char *const stops[] = { NULL };
	struct generate_until req = { .prompt = "the cat", .until = stops, .max_tokens = 11 };
	struct narrow_end e;
	struct generated out = { 0 };

	(void)state;
	for (int says = 0; says < 2; says++) {
		narrow_open(&e, says ? 12 : 10, says, "");
		assert_int_equal(e.scorer.generate(e.scorer.self, &req, 1, &out, &no_watch), ERR_INPUT);
		if (says) {
			assert_non_null(strstr(err_text(), "max_gen_toks: 11 tokens are to be written"));
			assert_non_null(strstr(err_text(), "takes 12, the prompt included"));
			assert_string_equal(err_fix(), "set max_gen_toks in the task's generation_kwargs (of a judge: "
						       "max_tokens) to 10 or less");
			assert_int_equal(e.t.log.len, 0);
		} else {
			assert_non_null(strstr(err_text(), "answers 400 to a request: too long"));
			assert_non_null(strstr(err_fix(), "max_gen_toks asks for 11 tokens"));
		}
		narrow_close(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remote_loglik__a_long_text_goes_in_windows),
		cmocka_unit_test(test_remote_loglik__a_long_context_is_cut_on_the_left),
		cmocka_unit_test(test_remote_generate__a_long_prompt_goes_as_its_last_ids),
		cmocka_unit_test(test_remote_generate__more_to_write_than_the_context),
		cmocka_unit_test(test_remote_loglik__too_long_for_a_context_that_nobody_knows),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, setup, teardown);
}
