/* test_remote_logprob.c: log-likelihoods off the answers of four kinds of servers, right ones and hostile ones: by the texts of
 * tokens, whose log-probabilities tell which were counted; and by ids, against the local engine. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "runner/remote_int.h"

#define GOLDEN "tests/golden/llama"

enum { TOKENS = 16 };

/* ---- texts --------------------------------------------------------------------------------------------------------- */

enum form {
	VLLM,   /* prompt_logprobs by id, of the prompt alone; the first says nothing of its text */
	OPENAI, /* echo, with one generated token behind the prompt */
	LLAMA,  /* llama-cpp-python: echo without the BOS, and no token generated */
	BEHIND, /* the same, with a number for the first token behind it */
};
struct row {
	const char *what;
	enum form form;
	const char *context, *continuation; /* NULL: rolling */
	const char *texts[TOKENS];
	int first;        /* of what counts */
	const char *says; /* NULL: it is right */
};

/* Token i has the log-probability -(2^i): the sum says which were counted. */
static json_t *answer(const struct row *r)
{
	json_t *tokens = json_array(), *own = json_array(), *top = json_array(), *prompt = json_array(), *root;
	int n = 0, read;

	for (; r->texts[n]; n++) {
		double logprob = -(double)(1 << n);
		char id[8];

		snprintf(id, sizeof(id), "%d", 100 + n);
		json_array_append_new(tokens, json_string(r->texts[n]));
		json_array_append_new(own, n || r->form == BEHIND ? json_real(logprob) : json_null());
		json_array_append_new(top, n || r->form == BEHIND ? json_pack("{s:f}", "x", logprob) : json_null());
		json_array_append_new(prompt, n ? json_pack("{s:{s:f,s:i,s:s}}", id, "logprob", logprob, "rank", 1,
							    "decoded_token", r->texts[n])
						: json_null());
	}
	read = n;
	if (r->form == OPENAI) {
		json_array_append_new(tokens, json_string(r->texts[n - 1])); /* the same again */
		json_array_append_new(own, json_real(-1e9));
		json_array_append_new(top, json_pack("{s:f}", "x", 0.0));
	}
	if (r->form == VLLM)
		root = json_pack("{s:[{s:s,s:O}]}", "choices", "text", "!", "prompt_logprobs", prompt);
	else
		root = json_pack("{s:[{s:s,s:{s:O,s:O,s:O}}],s:{s:i,s:i}}", "choices", "text", "!", "logprobs",
				 "tokens", tokens, "token_logprobs", own, "top_logprobs", top, "usage", "prompt_tokens",
				 read + (r->form >= LLAMA), "completion_tokens", r->form == OPENAI);
	json_decref(tokens);
	json_decref(own);
	json_decref(top);
	json_decref(prompt);
	return root;
}

static int ask_it(json_t **out, const struct row *r, const char *bos, const json_t *root)
{
	struct location l = { .name = (char[]){ "here" },
			      .model = (char[]){ "m" },
			      .bos = (char *)(uintptr_t)bos,
			      .logprobs = r->form == VLLM ? LOGPROBS_PROMPT : LOGPROBS_ECHO };
	const struct loglik_request q = { r->context, r->continuation, false };
	struct buf body = BUF_INIT(1 << 16);
	struct ask ask = { .text = NULL };
	int rc;

	*out = NULL;
	api_loglik(&body, &ask, &l, &q);
	rc = api_answer(out, &l, &ask, root);
	ask_release(&ask);
	buf_release(&body);
	return rc;
}

static void check_row(const struct row *r, const char *bos)
{
	json_t *root = answer(r), *got;
	int rc = ask_it(&got, r, bos, root), n = 0;
	double want = 0;

	for (; r->texts[n]; n++)
		want -= n >= r->first ? 1 << n : 0;
	if (r->says) {
		if (rc != ERR_UNAVAILABLE || !strstr(err_text(), r->says))
			fail_msg("%s: %d, \"%s\"", r->what, rc, rc ? err_text() : json_dumps(got, 0));
		assert_true(strlen(err_fix()) > 0);
	} else if (rc) {
		fail_msg("%s: %s", r->what, err_text());
	} else if (json_get_real(got, "logprob", 0) != want || json_get_int(got, "tokens", 0) != n - r->first ||
		   !json_get_flag(got, "greedy", false)) {
		fail_msg("%s: %s", r->what, json_dumps(got, 0));
	}
	json_decref(got);
	json_decref(root);
}

static void test_logprob_answer__tokens_that_spell_the_continuation_count(void **state)
{
	static const struct row rows[] = {
		{ "vLLM: a character comes with its last part",
		  VLLM,
		  "Der K\u00e4se:",
		  " sch\u00f6n \U0001f600",
		  { "<s>", "Der", " K", "", "\u00e4", "se", ":", " sch", "", "\u00f6", "n", " ", "", "", "\U0001f600" },
		  7,
		  NULL },
		{ "vLLM: parts of a character begin the continuation",
		  VLLM,
		  "gut",
		  "\u00f6l",
		  { "<s>", "gut", "", "\u00f6", "l" },
		  2,
		  NULL },
		{ "vLLM: pieces of the byte alphabet",
		  VLLM,
		  "Der K\u00e4se:",
		  " sch\u00f6n\n",
		  { "<s>", "Der", "\u0120K", "\u00c3\u00a4", "se", ":", "\u0120sch", "\u00c3", "\u00b6", "n\u010a" },
		  6,
		  NULL },
		{ "vLLM: the context is nobody's to spell",
		  VLLM,
		  "Der K\u00e4se:",
		  " gut",
		  { "<s>", "Der", " K", "\ufffd", "\ufffd", "se", ":", " gut" },
		  7,
		  NULL },
		{ "vLLM: no BOS, one word of context", VLLM, "Der", " gut", { "Der", " gut" }, 1, NULL },
		{ "OpenAI: plain",
		  OPENAI,
		  "the sky is ",
		  "blue blue",
		  { "the", " sky", " is", " blue", " blue" },
		  3,
		  NULL },
		{ "OpenAI: bytes",
		  OPENAI,
		  "a \u2026",
		  " \u2026!",
		  { "a", " ", "bytes:\\xe2\\x80", "bytes:\\xa6", " ", "bytes:\\xe2", "bytes:\\x80\\xa6", "!" },
		  4,
		  NULL },
		{ "OpenAI: what is no such escape is text",
		  OPENAI,
		  "see",
		  " bytes:\\xzz",
		  { "see", " ", "bytes:\\xzz" },
		  1,
		  NULL },
		{ "OpenAI: with a BOS", OPENAI, "a", " b", { "<s>", "a", " b" }, 2, NULL },
		{ "llama.cpp: the context has parts of characters, which it does not write",
		  LLAMA,
		  "x \u00e4 a:",
		  " b c",
		  { "x", " ", "", "", " a", ":", " b", " c" },
		  6,
		  NULL },
		{ "SentencePiece: spaces are lost",
		  VLLM,
		  "Der Hund",
		  " ist gut.",
		  { "<s>", "Der", "Hund", "ist", "gut", "." },
		  3,
		  NULL },
		{ "SentencePiece: a lost space, and one that is a token",
		  VLLM,
		  "Der Hund",
		  "  ist",
		  { "<s>", "Der", "Hund", "", "ist" },
		  3,
		  NULL },
		{ "SentencePiece: two spaces, one of which is lost",
		  OPENAI,
		  "x y",
		  "  z",
		  { "<s>", "x", "y", " z" },
		  3,
		  NULL },
		{ "SentencePiece: pieces",
		  OPENAI,
		  "Der Hund",
		  " ist sch\u00f6n",
		  { "<s>", "\u2581Der", "\u2581Hund", "\u2581ist", "\u2581sch", "<0xC3>", "<0xB6>", "n" },
		  3,
		  NULL },
		{ "rolling behind the server's own BOS", OPENAI, "one two", NULL, { "<s>", "one", " two" }, 1, NULL },
		{ "rolling behind the BOS of another kind",
		  OPENAI,
		  "one two",
		  NULL,
		  { "[CLS]", "one", " two" },
		  1,
		  NULL },
		{ "a BOS of the context's own", OPENAI, "<s>a", " b", { "<s>", "a", " b" }, 2, NULL },
		{ "rolling behind a BOS that is left out", BEHIND, "one two", NULL, { "one", " two" }, 0, NULL },
		{ "rolling, beginning with a part of a character",
		  OPENAI,
		  "\u00f6l",
		  NULL,
		  { "<s>", "", "\u00f6", "l" },
		  1,
		  NULL },
		{ "rolling, the space that SentencePiece puts in front",
		  OPENAI,
		  "x y",
		  NULL,
		  { "<s>", "\u2581", "x", "\u2581y" },
		  1,
		  NULL },
		{ "the same, in one piece with the first word",
		  OPENAI,
		  "",
		  "Der Hund",
		  { "<s>", "\u2581Der", "\u2581Hund" },
		  1,
		  NULL },
		{ "the same of vLLM: then what is in front is the BOS",
		  VLLM,
		  "Der Hund",
		  NULL,
		  { "<s>", " Der", " Hund" },
		  1,
		  NULL },
		{ "the same behind one without text", OPENAI, "x y", NULL, { "", " x", " y" }, 1, NULL },
		{ "the same decoded alone", OPENAI, "\u00f6 y", NULL, { "<s>", "", "\u00f6", "y" }, 1, NULL },
		{ "the same in front of white space",
		  OPENAI,
		  " \n",
		  "x",
		  { "<s>", "\u2581", "\u2581", "<0x0A>", "x" },
		  1,
		  NULL },
		{ "the same in front of a context that must be whole",
		  OPENAI,
		  "Der K\u00e4se:",
		  "\u00f6l",
		  { "<s>", " Der", " K", "", "\u00e4", "se", ":", "", "\u00f6", "l" },
		  7,
		  NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i], NULL);
	check_row(&(struct row){ "a BOS of the location", OPENAI, "", " b", { "<s>", " b" }, 1, NULL }, "<s>");
	check_row(&(struct row){ "white space alone is no context", OPENAI, " ", "b", { "<s>", " b" }, 1, NULL },
		  "<s>");
	check_row(&(struct row){ "a space put behind it", VLLM, "", "b", { "<s>", "\u2581", "b" }, 1, NULL }, "<s>");
	check_row(
		&(struct row){
			"a part of a character behind it", VLLM, "", "\u00f6", { "<s>", "", "\u00f6" }, 1, NULL },
		"<s>");
	check_row(&(struct row){ "it is several tokens", OPENAI, "", " b", { "<", "s", ">", " b" }, 3, NULL }, "<s>");
}

static void test_logprob_answer__what_does_not_add_up_is_refused(void **state)
{
	static const char spells[] = "location here: the texts of its tokens do not spell what is to be scored";
	static const struct row rows[] = {
		{ "parts of a character as U+FFFD",
		  VLLM,
		  "gut",
		  " sch\u00f6n",
		  { "<s>", "gut", " sch", "\ufffd", "\ufffd", "n" },
		  0,
		  spells },
		{ "parts of a character that are never written",
		  LLAMA,
		  "gut",
		  " sch\u00f6n",
		  { "gut", " sch", "", "", "n" },
		  0,
		  spells },
		{ "another text", OPENAI, "a b", " c", { "a", " b", " d" }, 0, spells },
		{ "another case", VLLM, "a b", " C", { "<s>", "a", " b", " c" }, 0, spells },
		{ "a token is missing", OPENAI, "a b", " c d", { "a", " b", " d" }, 0, spells },
		{ "a token too many", VLLM, "a b", " c", { "<s>", "a", " b", " c", " c", "." }, 0, spells },
		{ "an empty one behind the end", VLLM, "a b", " c", { "<s>", "a", " b", " c", "" }, 0, spells },
		{ "an empty one at the seam behind something else",
		  VLLM,
		  "a </s>",
		  " c",
		  { "<s>", "a", " ", "", " c" },
		  0,
		  spells },
		{ "more spaces lost than tokens could", VLLM, "a b", "   c", { "<s>", "a", "b", "c" }, 0, spells },
		{ "a newline is no lost space", VLLM, "a b", "\nc", { "<s>", "a", "b", "c" }, 0, spells },
		{ "over the seam",
		  OPENAI,
		  "a wor",
		  "d c",
		  { "a", " word", " c" },
		  0,
		  "token 1 of a prompt, \" word\", reaches over the seam" },
		{ "over the seam, by bytes",
		  VLLM,
		  "a wor",
		  "d c",
		  { "<s>", "a", "\u0120word", "\u0120c" },
		  0,
		  "\"\u0120word\", reaches over the seam" },
		{ "the prompt was cut on the left",
		  OPENAI,
		  "a b c d",
		  " e",
		  { " c", " d", " e" },
		  0,
		  "does not reach over the whole prompt" },
		{ "nothing of the context",
		  OPENAI,
		  "a b c d",
		  " e",
		  { "", " e" },
		  0,
		  "does not reach over the whole prompt" },
		{ "the first token of a text",
		  OPENAI,
		  "one two",
		  NULL,
		  { "one", " two" },
		  0,
		  "no log-probability of the first token" },
		{ "the same of vLLM",
		  VLLM,
		  "one two",
		  NULL,
		  { "one", " two" },
		  0,
		  "no log-probability of the first token" },
		{ "the first token may be one without text",
		  OPENAI,
		  "one two",
		  NULL,
		  { "", "one", " two" },
		  0,
		  "no log-probability of the first token" },
		{ "the first token may be half a character",
		  VLLM,
		  "\u00f6l",
		  NULL,
		  { "", "\u00f6", "l" },
		  0,
		  "no log-probability of the first token" },
		{ "what is in front is not a BOS", OPENAI, "one two", NULL, { "x", "one", " two" }, 0, spells },
		{ "nor is a byte", OPENAI, "\u00f6l", NULL, { "<0xC3>", "\u00f6", "l" }, 0, spells },
		{ "two tokens in front", OPENAI, "one two", NULL, { "<s>", "x", "one", " two" }, 0, spells },
		{ "two special tokens in front", OPENAI, "one two", NULL, { "[A]", "[B]", "one", " two" }, 0, spells },
		{ "two spaces in front", OPENAI, "x", NULL, { "<s>", " ", " ", "x" }, 0, spells },
		{ "a BOS of the text's own", OPENAI, "<s> a", NULL, { "<s>", "<s>", " a" }, 0, spells },
		{ "a token with a number in front", BEHIND, "one two", NULL, { "<s>", "one", " two" }, 0, spells },
		{ "the server's BOS before the context's own",
		  VLLM,
		  "<s>a",
		  " b",
		  { "<s>", "<s>", "a", " b" },
		  0,
		  spells },
		{ "the same, both without text", OPENAI, "<s>a", " b", { "", "", "a", " b" }, 0, spells },
		{ "the same, left out", BEHIND, "<s>a", " b", { "<s>", "a", " b" }, 0, spells },
		{ "no space is lost in an unknown token", VLLM, "Der", " gut", { "Der", "gut" }, 0, spells },
		{ "half a character in an unknown token", VLLM, "Der", "\u00f6l", { "Der", "\u00f6", "l" }, 0, spells },
		{ "over the seam in one way of writing, at it in another",
		  OPENAI,
		  "a\u00c2",
		  "\u00a1",
		  { "a", "\u00c3\u0124", "\u00c2\u00a1" },
		  0,
		  "reaches over the seam" },
		{ "two ways of writing, two seams",
		  OPENAI,
		  "a\u00c3\u0124",
		  "\u00c2\u00a1",
		  { "a", "\u00c4\u00a4", "\u00c3\u0124", "\u00c2\u00a1" },
		  0,
		  spells },
		{ "U+FFFD that may have been meant", VLLM, "gut", " \ufffd", { "<s>", "gut", " \ufffd" }, 0, spells },
		{ "U+FFFD before the seam", VLLM, "gut \ufffd", " a", { "<s>", "gut", " \ufffd", " a" }, 0, spells },
		{ "half of the context's last character in what is scored",
		  LLAMA,
		  "a \u00f6",
		  "x",
		  { "a", " ", "x" },
		  0,
		  spells },
		{ "the same behind an equal character",
		  LLAMA,
		  "a \u00f6\u00f6",
		  "x",
		  { "a", " ", "\u00f6", "x" },
		  0,
		  spells },
		{ "half of what is scored, and more, without text",
		  OPENAI,
		  "abab",
		  "\u00f6",
		  { "x", "ab", "", "\u00f6" },
		  0,
		  spells },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i], NULL);
	check_row(&(struct row){ "a BOS of the location, and the server's",
				 OPENAI,
				 "",
				 " b",
				 { "<s>", "<s>", " b" },
				 0,
				 spells },
		  "<s>");
	check_row(&(struct row){ "the same of vLLM", VLLM, "", " b", { "<s>", "<s>", " b" }, 0, spells }, "<s>");
	check_row(
		&(struct row){ "a BOS of the location that is not there", OPENAI, "", " b", { "x", " b" }, 0, spells },
		"<s>");
}

/* Right answers, of which one thing is changed. */
static void broken(enum form form, void (*spoil)(json_t *root), const char *says)
{
	static const char *const texts[] = { "a", " b", " c" };
	const struct row r = { "broken", form, "a b", " c", { texts[0], texts[1], texts[2] }, 2, NULL };
	json_t *root = answer(&r), *got;
	int rc;

	spoil(root);
	rc = ask_it(&got, &r, NULL, root);
	if (rc != ERR_UNAVAILABLE || !strstr(err_text(), says))
		fail_msg("%d, not \"%s\": %s", rc, says, err_text());
	json_decref(root);
	err_clear();
}

static json_t *echo(json_t *root)
{
	return json_object_get(json_array_get(json_object_get(root, "choices"), 0), "logprobs");
}

static json_t *last_place(json_t *root)
{
	json_t *list = json_object_get(json_array_get(json_object_get(root, "choices"), 0), "prompt_logprobs");

	return json_array_get(list, json_array_size(list) - 1);
}

static void no_number(json_t *root)
{
	json_array_set_new(json_object_get(echo(root), "token_logprobs"), 2, json_null());
}
static void above_zero(json_t *root)
{
	json_array_set_new(json_object_get(echo(root), "token_logprobs"), 2, json_real(0.5));
}
static void no_top(json_t *root)
{
	json_array_set_new(json_object_get(echo(root), "top_logprobs"), 2, json_null());
}
static void fewer_numbers(json_t *root)
{
	json_array_remove(json_object_get(echo(root), "token_logprobs"), 0);
}
static void counts_wrong(json_t *root)
{
	json_object_set_new(json_object_get(root, "usage"), "prompt_tokens", json_integer(2));
}
static void says_it_wrote_nothing(json_t *root)
{
	json_object_set_new(json_object_get(root, "usage"), "completion_tokens", json_integer(0));
}
static void wrote_all(json_t *root)
{
	json_object_set_new(json_object_get(root, "usage"), "completion_tokens", json_integer(4));
}
static void chat_like(json_t *root) /* llama.cpp's own: of what is generated alone */
{
	json_object_set_new(json_array_get(json_object_get(root, "choices"), 0), "logprobs",
			    json_pack("{s:[{s:i,s:s,s:f}]}", "content", "id", 1, "token", " c", "logprob", -1.0));
}
static void two_at_a_place(json_t *root)
{
	json_object_set_new(last_place(root), "7",
			    json_pack("{s:f,s:i,s:s}", "logprob", -0.1, "rank", 1, "decoded_token", " d"));
}
static void no_rank(json_t *root)
{
	json_object_del(json_object_iter_value(json_object_iter(last_place(root))), "rank");
}
static void no_text(json_t *root)
{
	json_object_set_new(json_object_iter_value(json_object_iter(last_place(root))), "decoded_token", json_null());
}

static void test_logprob_answer__a_broken_answer_is_refused(void **state)
{
	(void)state;
	broken(OPENAI, no_number, "one of a later token is missing");
	broken(OPENAI, above_zero, "one of them is above 0");
	broken(OPENAI, no_top, "top_logprobs of a token are missing");
	broken(OPENAI, fewer_numbers, "its answer has no echo with");
	broken(OPENAI, counts_wrong, "location here counts 2 tokens of a prompt and echoes 3 of them");
	broken(OPENAI, says_it_wrote_nothing, "counts 3 tokens of a prompt and echoes 4 of them");
	broken(OPENAI, wrote_all, "its echo ends before the prompt does");
	broken(LLAMA, chat_like, "its answer has no echo with");
	broken(VLLM, two_at_a_place, "no logprob and rank of one token at each place");
	broken(VLLM, no_rank, "no logprob and rank of one token at each place");
	broken(VLLM, no_text, "its tokens have no texts");
}

/* ---- ids ----------------------------------------------------------------------------------------------------------- */

struct local { /* the model that stands behind the server */
	struct backend *be;
	struct model *model;
	struct tokenizer *tok;
	struct remote_tokenizer *remote;
	struct location l;
};

static void local_open(struct local *s, enum location_logprobs form)
{
	static char name[] = "here", model[] = "m", folder[] = GOLDEN, bos[] = "<|end|>";

	s->l = (struct location){ .name = name, .model = model, .tokenizer = folder, .bos = bos, .logprobs = form };
	assert_int_equal(backend_open(&s->be, "cpu", 1), 0);
	assert_int_equal(model_load(&s->model, GOLDEN, s->be, NULL), 0);
	assert_int_equal(tokenizer_load(&s->tok, GOLDEN), 0);
	assert_int_equal(remote_tokenizer_open(&s->remote, &s->l), 0);
}

static void local_close(struct local *s)
{
	remote_tokenizer_close(s->remote);
	tokenizer_free(s->tok);
	model_free(s->model);
	backend_close(s->be);
}

/* What a server says of the ids of this body, in either form. */
static json_t *serve(const struct local *s, const struct buf *body)
{
	json_t *q, *tokens = json_array(), *own = json_array(), *top = json_array(), *prompt = json_array(), *root;
	int32_t ids[512];
	size_t n;

	assert_int_equal(json_parse(&q, buf_str(body), body->len, "body"), 0);
	n = json_array_size(json_object_get(q, "prompt"));
	assert_in_range(n, 1, 512);
	for (size_t i = 0; i < n; i++) {
		struct score_request r = { ids, (int)i + 1, 1 };
		struct buf text = BUF_INIT(1 << 10);
		struct score_result got = { 0 };
		char id[16];

		ids[i] = (int32_t)json_integer_value(json_array_get(json_object_get(q, "prompt"), i));
		tokenizer_decode(s->tok, &text, &ids[i], 1, false);
		snprintf(id, sizeof(id), "%d", (int)ids[i]);
		if (i)
			assert_int_equal(score_run(s->model, &r, 1, &got, NULL), 0);
		json_array_append_new(tokens, json_new_text(buf_str(&text), text.len));
		json_array_append_new(own, i ? json_real(got.logprob) : json_null());
		json_array_append_new(top, i ? json_pack("{s:f}", "x", got.greedy ? got.logprob : got.logprob + 0.1)
					     : json_null());
		json_array_append_new(prompt, i ? json_pack("{s:{s:f,s:i,s:o},s:{s:f,s:i}}", id, "logprob", got.logprob,
							    "rank", got.greedy ? 1 : 2, "decoded_token",
							    json_new_text(buf_str(&text), text.len), "100000",
							    "logprob", -0.01, "rank", 1)
						: json_null());
		buf_release(&text);
	}
	json_array_append_new(tokens, json_string("x"));
	json_array_append_new(own, json_real(-1));
	json_array_append_new(top, json_pack("{s:f}", "x", -1.0));
	root = s->l.logprobs == LOGPROBS_PROMPT
		       ? json_pack("{s:[{s:O}]}", "choices", "prompt_logprobs", prompt)
		       : json_pack("{s:[{s:{s:O,s:O,s:O}}],s:{s:i,s:i}}", "choices", "logprobs", "tokens", tokens,
				   "token_logprobs", own, "top_logprobs", top, "usage", "prompt_tokens", (int)n,
				   "completion_tokens", 1);
	json_decref(tokens);
	json_decref(own);
	json_decref(top);
	json_decref(prompt);
	json_decref(q);
	return root;
}

static int by_ids(const struct local *s, const struct text_request *r, void (*spoil)(json_t *root), json_t **got)
{
	const struct loglik_request q = { r->context, r->continuation, false };
	struct buf body = BUF_INIT(1 << 16);
	struct tokens ids = { NULL, 0, 0 };
	struct ask ask = { .text = NULL };
	size_t n_scored;
	json_t *root;
	int rc;

	if (remote_tokenizer_ids(&ids, &n_scored, &s->l, s->remote, &q))
		fail_msg("%s", err_text());
	api_loglik_ids(&body, &ask, &s->l, s->remote, ids.ids, ids.n, n_scored);
	tokens_release(&ids);
	root = serve(s, &body);
	if (spoil)
		spoil(root);
	rc = api_answer(got, &s->l, &ask, root);
	json_decref(root);
	ask_release(&ask);
	buf_release(&body);
	return rc;
}

static const struct text_request texts[] = {
	{ "the cat", " sat" }, { "the cat ", "sat on" }, { "a wor", "d of it" },  { "K\u00e4se", "\u00f6l \U0001f600" },
	{ "", "the cat" },     { " \n", "the cat" },     { "the cat sat", NULL },
};

static void test_logprob_answer__ids_are_scored_as_the_local_engine_does(void **state)
{
	(void)state;
	for (enum location_logprobs form = LOGPROBS_ECHO; form <= LOGPROBS_PROMPT; form++) {
		struct local s;

		local_open(&s, form);
		for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
			struct text_result want;
			json_t *got;

			assert_int_equal(score_texts(s.model, s.tok, &texts[i], 1, &want, NULL), 0);
			if (by_ids(&s, &texts[i], NULL, &got))
				fail_msg("%d %zu: %s", form, i, err_text());
			if (fabs(json_get_real(got, "logprob", 0) - want.logprob) > 1e-9 ||
			    json_get_int(got, "tokens", 0) != want.tokens ||
			    json_get_flag(got, "greedy", false) != want.greedy)
				fail_msg("%d %zu: %s, not %.9f %d", form, i, json_dumps(got, 0), want.logprob,
					 want.tokens);
			json_decref(got);
		}
		local_close(&s);
	}
}

static void drop_first(json_t *root)
{
	for (const char *const *key = (const char *const[]){ "tokens", "token_logprobs", "top_logprobs", NULL }; *key;
	     key++)
		json_array_remove(json_object_get(echo(root), *key), 0);
}
static void drop_two(json_t *root)
{
	drop_first(root);
	drop_first(root);
	json_object_set_new(json_object_get(root, "usage"), "prompt_tokens",
			    json_integer((json_int_t)json_array_size(json_object_get(echo(root), "tokens")) - 1));
}
static void one_more(json_t *root)
{
	json_array_insert_new(json_object_get(echo(root), "tokens"), 0, json_string("<s>"));
	json_array_insert_new(json_object_get(echo(root), "token_logprobs"), 0, json_null());
	json_array_insert_new(json_object_get(echo(root), "top_logprobs"), 0, json_null());
	json_object_del(root, "usage");
}
static void another_vocabulary(json_t *root)
{
	json_t *tokens = json_object_get(echo(root), "tokens");

	for (size_t i = 0; i < json_array_size(tokens); i++)
		json_array_set_new(tokens, i, json_string("other"));
}
static void another_id(json_t *root)
{
	json_t *place = last_place(root);

	json_object_clear(place);
	json_object_set_new(place, "100000",
			    json_pack("{s:f,s:i,s:s}", "logprob", -1.0, "rank", 1, "decoded_token", "x"));
}
static void a_place_less(json_t *root)
{
	json_array_remove(json_object_get(json_array_get(json_object_get(root, "choices"), 0), "prompt_logprobs"), 1);
}

static void test_logprob_answer__other_ids_than_were_sent_are_refused(void **state)
{
	static const struct {
		enum location_logprobs form;
		void (*spoil)(json_t *root);
		const char *says; /* NULL: it is right */
	} rows[] = {
		{ LOGPROBS_ECHO, drop_first, NULL }, /* as llama-cpp-python leaves a BOS out */
		{ LOGPROBS_ECHO, drop_two, "tokens were sent, and its answer has" },
		{ LOGPROBS_ECHO, one_more, "tokens were sent, and its answer has" },
		{ LOGPROBS_ECHO, another_vocabulary, "and not in the tokenizer " GOLDEN },
		{ LOGPROBS_PROMPT, another_id, "where it was sent" },
		{ LOGPROBS_PROMPT, a_place_less, "its prompt_logprobs are not as many as the tokens that were sent" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct local s;
		json_t *got = NULL;
		int rc;

		local_open(&s, rows[i].form);
		rc = by_ids(&s, &texts[1], rows[i].spoil, &got);
		if (rc != (rows[i].says ? ERR_UNAVAILABLE : 0) || (rows[i].says && !strstr(err_text(), rows[i].says)))
			fail_msg("%zu: %d %s", i, rc, err_text());
		json_decref(got);
		err_clear();
		local_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logprob_answer__tokens_that_spell_the_continuation_count),
		cmocka_unit_test(test_logprob_answer__what_does_not_add_up_is_refused),
		cmocka_unit_test(test_logprob_answer__a_broken_answer_is_refused),
		cmocka_unit_test(test_logprob_answer__ids_are_scored_as_the_local_engine_does),
		cmocka_unit_test(test_logprob_answer__other_ids_than_were_sent_are_refused),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
