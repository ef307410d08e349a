/* test_remote.c: a server that answers slowly, with 429, 500, JSON cut short and dropped connections: nothing is lost, nothing
 * is scored twice; what it says of a prompt's tokens; and what stands in config.yaml. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "evals_fake.h"
#include "model/model.h"
#include "remote_home.h"

enum { PROMPTS = 160 };

/* ---- texts --------------------------------------------------------------------------------------------------------- */

struct tale { /* what the server knows of each prompt "p17" */
	int attempts[PROMPTS], served[PROMPTS];
	bool kind;                        /* never misbehaves */
	int until;                        /* from this request on it answers 401 */
	double asked_to_wait, next_after; /* a 429's time; that of the next request behind it */
};

static char *text_body(int i)
{
	return mem_printf("{\"choices\":[{\"index\":0,\"text\":\"t%d\"}],\"usage\":{\"completion_tokens\":%d}}", i,
			  i % 7);
}

static void tell(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	struct tale *t = s->arg;
	int i = (int)strtol(json_get_text(body, "prompt", "p0") + 1, NULL, 10), attempt = t->attempts[i]++;

	if (t->asked_to_wait > 0 && t->next_after <= 0)
		t->next_after = clock_seconds();
	if (t->until && (int)s->requests > t->until) {
		*out = (struct loopback_reply){ .status = 401,
						.body = mem_str("{\"error\":{\"message\":\"bad key " SECRET "\"}}") };
		return;
	}
	out->body = text_body(i);
	out->delay_ms = i % 5;
	if (!t->kind && attempt < i % 3)
		switch ((i + attempt) % 8) {
		case 0:
			out->status = 429;
			out->headers = i % 2 ? NULL : "Retry-After: 0\r\n";
			return;
		case 1:
			out->status = 500;
			return;
		case 2:
			out->body[strlen(out->body) - 9] = 0; /* whole HTTP, half JSON */
			return;
		case 3:
			out->status = 0;
			return;
		case 4:
			out->cut = 5; /* half HTTP */
			return;
		case 5:
			out->status = 503;
			return;
		case 6:
			memcpy(out->body, "<html>", 7);
			return;
		default:
			out->delay_ms = 120; /* merely slow */
		}
	t->served[i]++;
}

static int ask(struct remote *r, int from, int n, int twice, struct generated *out)
{
	static const char *const stops[] = { "\n", NULL };
	struct scorer scorer = remote_scorer(r);
	struct generate_until reqs[PROMPTS * 2];
	char prompts[PROMPTS * 2][8];

	for (int i = 0; i < n; i++) {
		snprintf(prompts[i], sizeof(prompts[i]), "p%d", from + (twice ? i / 2 : i));
		reqs[i] = (struct generate_until){ .prompt = prompts[i], .until = stops, .max_tokens = 5 };
	}
	return scorer.generate(scorer.self, reqs, (size_t)n, out, &no_watch);
}

static void told(const struct generated *out, int from, int n, int twice)
{
	for (int i = 0; i < n; i++) {
		char want[8];

		snprintf(want, sizeof(want), "t%d", from + (twice ? i / 2 : i));
		assert_string_equal(out[i].text, want);
		assert_int_equal(out[i].tokens, (from + (twice ? i / 2 : i)) % 7);
		free(out[i].text);
	}
}

static void test_remote_generate__nothing_is_lost_or_asked_twice(void **state)
{
	struct tale t = { .until = 0 };
	struct loopback s = { .answer = tell, .arg = &t };
	struct generated out[PROMPTS];
	struct location l;
	struct remote *r;

	(void)state;
	loopback_open(&s);
	l = located(&s, "    in_flight: 32\n    retries: 1000\n    timeout: 20\n");
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	if (ask(r, 0, PROMPTS, 0, out))
		fail_msg("%s", err_text());
	told(out, 0, PROMPTS, 0);
	for (int i = 0; i < PROMPTS; i++)
		assert_int_equal(t.served[i], 1);
	assert_int_equal(remote_count(r).asked, PROMPTS);
	assert_int_equal(remote_count(r).retried, s.requests - PROMPTS);
	assert_true(s.requests > PROMPTS + 100); /* it did misbehave */
	assert_true(s.most > 3 && s.most <= 32);
	assert_string_equal(s.path, "/v1/completions");
	assert_string_equal(s.bearer, SECRET);
	remote_close(r);
	location_release(&l);
	loopback_close(&s);
}

static void test_remote_generate__equal_requests_are_sent_once(void **state)
{
	struct tale t = { .kind = true };
	struct loopback s = { .answer = tell, .arg = &t };
	struct generated out[40];
	struct location l;
	struct remote *r;

	(void)state;
	loopback_open(&s);
	l = located(&s, "    in_flight: 1\n");
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	assert_int_equal(ask(r, 0, 40, 1, out), 0);
	told(out, 0, 40, 1);
	assert_int_equal(s.requests, 20);
	assert_int_equal(s.most, 1);
	remote_close(r);
	location_release(&l);
	loopback_close(&s);
}

static void test_remote_generate__goes_on_where_it_was(void **state)
{
	struct tale t = { .kind = true, .until = 25 };
	struct loopback s = { .answer = tell, .arg = &t };
	struct generated out[PROMPTS];
	struct remote_count n;
	struct location l;
	struct remote *r, *second;
	int served = 0;

	(void)state;
	loopback_open(&s);
	l = located(&s, "    in_flight: 4\n");
	assert_int_equal(remote_open(&r, &l, home), 0);
	assert_int_equal(remote_open(&second, &l, home), ERR_BUSY);
	assert_int_equal(ask(r, 0, 60, 0, out), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "location here refuses us (401): bad key ***"));
	assert_null(strstr(err_text(), SECRET));
	assert_non_null(strstr(err_fix(), "TEST_REMOTE_KEY"));
	remote_close(r);
	for (int i = 0; i < 60; i++)
		served += t.served[i];
	assert_int_equal(served, 25);
	t.until = 0;
	assert_int_equal(remote_open(&r, &l, home), 0);
	if (ask(r, 0, 60, 0, out))
		fail_msg("%s", err_text());
	told(out, 0, 60, 0);
	n = remote_count(r);
	assert_true(n.kept >= 20 && n.kept <= 25); /* what was in flight at the end was not heard */
	assert_int_equal(n.asked, 60 - n.kept);
	remote_close(r); /* killed before remote_forget() */
	assert_int_equal(remote_open(&r, &l, home), 0);
	assert_int_equal(ask(r, 0, 60, 0, out), 0);
	told(out, 0, 60, 0);
	assert_int_equal(remote_count(r).kept, 60);
	remote_forget(r);
	remote_close(r);
	assert_int_equal(remote_open(&r, &l, home), 0);
	assert_int_equal(ask(r, 0, 2, 0, out), 0);
	told(out, 0, 2, 0);
	assert_int_equal(remote_count(r).kept, 0);
	remote_forget(r);
	remote_close(r);
	location_release(&l);
	loopback_close(&s);
}

static int tear(const char *name, void *arg)
{
	char *path = mem_printf("%s/work/%s", home, name);
	uint64_t size;

	if (fs_size(&size, path) || truncate(path, (off_t)size - 7))
		fail_msg("%s", path);
	++*(int *)arg;
	free(path);
	return 0;
}

static void test_remote_generate__a_torn_line_is_asked_again(void **state)
{
	struct tale t = { .kind = true };
	struct loopback s = { .answer = tell, .arg = &t };
	struct generated out[10];
	char *work = path_join(home, "work");
	struct location l;
	struct remote *r;
	int torn = 0;

	(void)state;
	loopback_open(&s);
	l = located(&s, "");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(remote_open(&r, &l, home), 0);
		assert_int_equal(ask(r, 0, 10, 0, out), 0);
		told(out, 0, 10, 0);
		assert_int_equal(remote_count(r).kept, i == 0 ? 0 : 9);
		remote_close(r);
		assert_int_equal(fs_list(work, tear, &torn), 0);
	}
	assert_int_equal(torn, 3);
	assert_int_equal(s.requests, 12);
	assert_int_equal(fs_remove_tree(work), 0);
	location_release(&l);
	loopback_close(&s);
	free(work);
}

static void busy_once(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	struct tale *t = s->arg;

	tell(s, body, out);
	if (s->requests != 3)
		return;
	out->status = 429;
	out->headers = "Retry-After: 1\r\n";
	t->served[strtol(json_get_text(body, "prompt", "p0") + 1, NULL, 10)]--;
	t->asked_to_wait = clock_seconds();
}

static void test_remote_generate__retry_after_is_heeded(void **state)
{
	struct tale t = { .kind = true };
	struct loopback s = { .answer = busy_once, .arg = &t };
	struct generated out[8];
	struct location l;
	struct remote *r;

	(void)state;
	loopback_open(&s);
	l = located(&s, "    in_flight: 1\n");
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	assert_int_equal(ask(r, 0, 8, 0, out), 0);
	told(out, 0, 8, 0);
	assert_true(t.next_after - t.asked_to_wait >= 0.95);
	for (int i = 0; i < 8; i++)
		assert_int_equal(t.served[i], 1);
	remote_close(r);
	location_release(&l);
	loopback_close(&s);
}

static void always(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	(void)body;
	*out = *(struct loopback_reply *)s->arg;
	out->body = mem_str(out->body);
}

static void gives_up(struct loopback_reply *reply, const char *more, int rc, const char *says)
{
	struct loopback s = { .answer = always, .arg = reply };
	struct generated out[3];
	struct location l;
	struct remote *r;

	loopback_open(&s);
	l = located(&s, more);
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	assert_int_equal(ask(r, 0, 3, 0, out), rc);
	if (!strstr(err_text(), says))
		fail_msg("\"%s\", not \"%s\"", err_text(), says);
	remote_close(r);
	location_release(&l);
	loopback_close(&s);
}

static void test_remote_generate__gives_up_with_one_error(void **state)
{
	char text[] = "{\"error\":{\"message\":\"too\\u001b[1m long\"}}", empty[] = "{}", moved[] = "x";
	struct loopback_reply down = { .status = 500, .body = empty }, odd = { .status = 200, .body = empty },
			      bad = { .status = 400, .body = text }, gone = { .status = 404, .body = empty },
			      away = { .status = 302, .headers = "Location: http://127.0.0.1:1/\r\n", .body = moved },
			      silent = { .status = 0, .body = empty },
			      slow = { .status = 200, .body = empty, .delay_ms = 300 };

	(void)state;
	gives_up(&down, "    attempts: 2\n", ERR_UNAVAILABLE, "location here: no answer in 2 attempts: status 500");
	gives_up(&down, "    retries: 2\n", ERR_UNAVAILABLE, "location here: too many failures");
	gives_up(&odd, "    attempts: 1\n", ERR_UNAVAILABLE, "no answer in 1 attempts: the answer has no choices");
	gives_up(&silent, "    attempts: 1\n", ERR_UNAVAILABLE, "no answer in 1 attempts: ");
	gives_up(&slow, "    attempts: 1\n    timeout: 0.05\n", ERR_UNAVAILABLE,
		 "no answer in 1 attempts: Timeout was reached");
	gives_up(&bad, "", ERR_INPUT, "location here answers 400 to a request: too [1m long");
	gives_up(&gone, "", ERR_UNAVAILABLE, "location here answers 404");
	gives_up(&away, "", ERR_UNAVAILABLE, "location here answers 302"); /* a secret goes nowhere else */
}

static void test_remote_open__needs_the_secret(void **state)
{
	struct loopback s = { .port = 1 };
	struct location l = located(&s, "");
	struct remote *r;

	(void)state;
	unsetenv("TEST_REMOTE_KEY");
	assert_int_equal(remote_open(&r, &l, NULL), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "the variable TEST_REMOTE_KEY, which holds its secret, is not set"));
	setenv("TEST_REMOTE_KEY", "two\r\nlines: x", 1);
	assert_int_equal(remote_open(&r, &l, NULL), ERR_UNAVAILABLE);
	setenv("TEST_REMOTE_KEY", SECRET, 1);
	location_release(&l);
}

/* ---- log-likelihoods ----------------------------------------------------------------------------------------------- */

/* A token is a word with the white space before it; its log-probability is minus its length; words in capitals are not the
 * likeliest. arg: "echo", "bos" (the server puts <s> in front), "prompt", "none", "short". */
static void score(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	const char *kind = s->arg, *text = json_get_text(body, "prompt", "");
	json_t *tokens = json_array(), *own = json_array(), *top = json_array(), *offsets = json_array(),
	       *prompt = json_array();
	size_t at = 0, shift = 0;
	json_t *root;

	if (!strcmp(kind, "bos")) {
		json_array_append_new(tokens, json_string("<s>"));
		json_array_append_new(own, json_null());
		json_array_append_new(top, json_null());
		json_array_append_new(offsets, json_integer(0));
		json_array_append_new(prompt, json_null());
		shift = 3;
	}
	while (text[at]) {
		size_t len = strspn(text + at, " \n");
		char *token;
		bool capital;

		len += strcspn(text + at + len, " \n");
		token = mem_strn(text + at, len);
		capital = len && token[len - 1] >= 'A' && token[len - 1] <= 'Z';
		json_array_append_new(tokens, json_string(token));
		json_array_append_new(own, json_array_size(own) ? json_real(-(double)len) : json_null());
		json_array_append_new(top,
				      json_pack("{s:f}", capital ? "other" : token, capital ? -0.5 : -(double)len));
		json_array_append_new(offsets, json_integer((json_int_t)(utf8_count(text, at) + shift)));
		json_array_append_new(prompt, json_array_size(prompt)
						      ? json_pack("{s:{s:f,s:i,s:s}}", "17", "logprob", -(double)len,
								  "rank", capital ? 2 : 1, "decoded_token", token)
						      : json_null());
		at += len;
		free(token);
		if (!strcmp(kind, "short"))
			break;
	}
	json_array_append_new(tokens, json_string(" more")); /* what it generated */
	json_array_append_new(own, json_real(-99));
	json_array_append_new(top, json_pack("{s:f}", " more", -99.0));
	json_array_append_new(offsets, json_integer((json_int_t)(utf8_count(text, at) + shift)));
	if (!strcmp(kind, "none"))
		root = json_pack("{s:[{s:s,s:n}]}", "choices", "text", "more", "logprobs");
	else if (!strcmp(kind, "prompt"))
		root = json_pack("{s:[{s:s,s:O}]}", "choices", "text", "more", "prompt_logprobs", prompt);
	else
		root = json_pack("{s:[{s:s,s:{s:O,s:O,s:O,s:O}}]}", "choices", "text", "more", "logprobs", "tokens",
				 tokens, "token_logprobs", own, "top_logprobs", top, "text_offset", offsets);
	out->body = json_dumps(root, 0);
	json_decref(root);
	json_decref(tokens);
	json_decref(own);
	json_decref(top);
	json_decref(offsets);
	json_decref(prompt);
}

static int scored(const char *kind, const char *more, const struct loglik_request *reqs, size_t n,
		  struct loglik_result *out)
{
	char what[16];
	struct loopback s = { .answer = score, .arg = what };
	struct scorer scorer;
	struct location l;
	struct remote *r;
	int rc;

	snprintf(what, sizeof(what), "%s", kind);
	loopback_open(&s);
	l = located(&s, more);
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	scorer = remote_scorer(r);
	rc = scorer.loglik(scorer.self, reqs, n, out, &no_watch);
	remote_close(r);
	location_release(&l);
	loopback_close(&s);
	return rc;
}

static void test_remote_loglik__is_read_off_the_prompt(void **state)
{
	static const struct loglik_request reqs[] = {
		{ "the sky is", " blue", false },
		{ "the sky is ", "blue", false }, /* the space goes to the continuation */
		{ "Grüße \n\n", "zwei drei", false },
		{ "a b", " c D e", false },
		{ "a b c", " D e", false } /* the same text with another seam */
	};
	static const struct loglik_result want[] = {
		{ -5, 1, true, 0 }, { -5, 1, true, 0 }, { -12, 2, true, 0 }, { -6, 3, false, 0 }, { -4, 2, false, 0 },
	};
	static const char *const ways[][2] = { { "echo", "" },
					       { "bos", "" },
					       { "prompt", "    logprobs: prompt_logprobs\n" } };
	struct loglik_result out[5];

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
		if (scored(ways[w][0], ways[w][1], reqs, 5, out))
			fail_msg("%s: %s", ways[w][0], err_text());
		for (size_t i = 0; i < 5; i++)
			if (out[i].logprob != want[i].logprob || out[i].tokens != want[i].tokens ||
			    out[i].greedy != want[i].greedy)
				fail_msg("%s, %zu: %g, %d, %d", ways[w][0], i, out[i].logprob, out[i].tokens,
					 out[i].greedy);
	}
}

static void test_remote_loglik__a_text_without_context_needs_its_first_token(void **state)
{
	static const struct loglik_request rolling = { "one two", NULL, false }, bare = { "", "one two", false },
					   spaced = { "", " one two", false };
	struct loglik_result out;

	(void)state;
	assert_int_equal(scored("echo", "", &rolling, 1, &out), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "no log-probability of the first token"));
	assert_int_equal(scored("prompt", "    logprobs: prompt_logprobs\n", &bare, 1, &out), ERR_UNAVAILABLE);
	assert_int_equal(scored("bos", "", &rolling, 1, &out), 0); /* the server put one in front */
	assert_true(out.logprob == -7 && out.tokens == 2);
	assert_int_equal(scored("echo", "    bos: '<|x|>'\n", &spaced, 1, &out), 0);
	assert_true(out.logprob == -8 && out.tokens == 2);
}

static void test_remote_loglik__a_server_that_gives_none_is_refused(void **state)
{
	static const struct loglik_request one = { "a b c", " d", false };
	struct loglik_result out;

	(void)state;
	assert_int_equal(scored("none", "", &one, 1, &out), ERR_UNAVAILABLE);
	assert_non_null(
		strstr(err_text(), "location here gives no log-probabilities of a prompt: its answer has no echo"));
	assert_int_equal(scored("short", "", &one, 1, &out), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "the texts of its tokens do not spell what is to be scored"));
	assert_int_equal(scored("echo", "    logprobs: prompt_logprobs\n", &one, 1, &out), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "its answer has no prompt_logprobs"));
	assert_int_equal(scored("echo", "    api: chat\n", &one, 1, &out), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "location here gives no log-likelihoods (api: chat)"));
	assert_int_equal(scored("echo", "    logprobs: none\n", &one, 1, &out), ERR_UNAVAILABLE);
}

/* Every token of a list of ids has the log-probability -1, and is the likeliest. */
static void score_ids(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	const json_t *ids = json_object_get(body, "prompt");
	json_t *prompt, *root;

	if (strcmp(s->method, "GET") == 0) {
		assert_string_equal(s->path, "/v1/models");
		out->status = 404;
		return;
	}
	*(bool *)s->arg &= json_is_array(ids);
	prompt = json_array();
	for (size_t i = 0; i < json_array_size(ids); i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", (int)json_integer_value(json_array_get(ids, i)));
		json_array_append_new(prompt,
				      i ? json_pack("{s:{s:f,s:i}}", id, "logprob", -1.0, "rank", 1) : json_null());
	}
	root = json_pack("{s:[{s:o}]}", "choices", "prompt_logprobs", prompt);
	out->body = json_dumps(root, 0);
	json_decref(root);
}

static void test_remote_loglik__goes_as_ids_where_the_location_has_a_tokenizer(void **state)
{
	static const struct loglik_request reqs[] = { { "the ", "cat", false },
						      { "the", " cat", false },
						      { "the cat", " sat", false } };
	bool as_ids = true;
	struct loopback s = { .answer = score_ids, .arg = &as_ids };
	char *folder = realpath("tests/golden/llama", NULL),
	     *more = mem_printf("    logprobs: prompt_logprobs\n    tokenizer: %s\n", folder);
	struct loglik_result out[3];
	struct scorer scorer;
	struct location l;
	struct remote *r;

	(void)state;
	loopback_open(&s);
	l = located(&s, more);
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	scorer = remote_scorer(r);
	if (scorer.loglik(scorer.self, reqs, 3, out, &no_watch))
		fail_msg("%s", err_text());
	assert_true(as_ids);
	assert_true(out[0].logprob == -out[0].tokens && out[0].tokens == out[1].tokens && out[2].greedy);
	remote_prompt(r, "behind this ");
	assert_int_equal(scorer.loglik(scorer.self, reqs, 1, out, &no_watch), 0);
	remote_close(r);
	free(l.tokenizer);
	l.tokenizer = path_join(home, "nothing");
	assert_int_equal(remote_open(&r, &l, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "location here: tokenizer: "));
	location_release(&l);
	l = located(&s, "    tokenizer: beside\n");
	assert_string_equal(l.tokenizer + strlen(home), "/beside"); /* from the folder of config.yaml */
	location_release(&l);
	free(more);
	more = mem_printf("    bos: <nothing>\n    tokenizer: %s\n", folder);
	l = located(&s, more);
	assert_int_equal(remote_open(&r, &l, NULL), ERR_INPUT);
	assert_non_null(strstr(err_text(), "bos: <nothing> is no token of the tokenizer in"));
	location_release(&l);
	loopback_close(&s);
	free(more);
	free(folder);
}

/* ---- conversations ------------------------------------------------------------------------------------------------- */

static void converse(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	json_add(s->arg, body);
	buf_addc(s->arg, '\n');
	out->body = mem_str("{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"4\\nmore\"}}]}");
}

static void test_remote_chat__messages_go_as_they_are(void **state)
{
	static const char task[] =
		"suite: s\napply_chat_template: true\nsystem_instruction: Be brief.\ntasks:\n- task: t\n"
		"  dataset_path: json\n  dataset_kwargs: {data_files: {test: d.jsonl}}\n  test_split: test\n"
		"  doc_to_text: q\n  doc_to_target: a\n  gen_prefix: 'So:'\n"
		"  generation_kwargs: {until: [\"\\n\"], max_gen_toks: 9}\n";
	struct buf log = BUF_INIT(1 << 16);
	struct loopback s = { .answer = converse, .arg = &log };
	struct suite_options o = { 0 };
	struct suite_result *result;
	struct scorer scorer;
	struct suite *suite;
	struct location l;
	struct remote *r;

	(void)state;
	loopback_open(&s);
	l = located(&s, "    api: chat\n");
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	assert_int_equal(
		FAKE_LOAD(&suite, "t.yaml", { "t.yaml", task }, { "d.jsonl", "{\"q\":\"2+2?\",\"a\":\"4\"}\n" }), 0);
	scorer = remote_scorer(r);
	if (suite_run(&result, suite, &scorer, &o))
		fail_msg("%s", err_text());
	assert_true(result->tasks[0].metrics[0].value == 1);
	assert_string_equal(s.path, "/v1/chat/completions");
	assert_string_equal(
		buf_str(&log),
		"{\"add_generation_prompt\":false,\"continue_final_message\":true,\"max_tokens\":9,"
		"\"messages\":[{\"content\":\"Be brief.\",\"role\":\"system\"},{\"content\":\"2+2?\",\"role\":"
		"\"user\"},{\"content\":\"So:\",\"role\":\"assistant\"}],\"model\":\"org/m\",\"stop\":[\"\\n\"],"
		"\"temperature\":0.0}\n");
	suite_result_free(result);
	remote_close(r);
	location_release(&l);
	l = located(&s, "");
	assert_int_equal(remote_open(&r, &l, NULL), 0);
	scorer = remote_scorer(r);
	assert_int_equal(suite_run(&result, suite, &scorer, &o), ERR_INPUT);
	assert_non_null(strstr(err_text(), "location here takes text (api: completions)"));
	suite_free(suite);
	remote_close(r);
	location_release(&l);
	loopback_close(&s);
	buf_release(&log);
}

/* ---- config.yaml --------------------------------------------------------------------------------------------------- */

static void test_location_read__mistakes(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "[1]\n", "config.yaml:1:1: expected locations" },
		{ "location: {}\n", "did you mean \"locations\"" },
		{ "locations: [1]\n", "locations" },
		{ "locations: {x: 3}\n", "location x: expected {url: …, model: …}" },
		{ "locations: {x: {model: m}}\n", "a location needs url" },
		{ "locations: {x: {url: 'ftp://h/v1', model: m}}\n", "a location needs url" },
		{ "locations: {x: {url: 'https://', model: m}}\n", "a location needs url" },
		{ "locations: {x: {url: 'https://me:pw@h/v1', model: m}}\n", "a url has no user" },
		{ "locations: {x: {url: 'https://h/v1?key=1', model: m}}\n", "a url has no user" },
		{ "locations: {x: {url: 'https://h/v1'}}\n", "a location needs model" },
		{ "locations: {x: {url: 'https://h/v1', model: m, key: sk-123}}\n", "key is the name of the variable" },
		{ "locations: {x: {url: 'https://h/v1', model: m, api: chats}}\n",
		  "api: chats is not known (known: completions, chat)" },
		{ "locations: {x: {url: 'https://h/v1', model: m, logprobs: yes}}\n", "logprobs" },
		{ "locations: {x: {url: 'https://h/v1', model: m, in_flight: 0}}\n", "in_flight" },
		{ "locations: {x: {url: 'https://h/v1', model: m, timeout: 0}}\n", "timeout" },
		{ "locations: {x: {url: 'https://h/v1', model: m, urll: m}}\n", "did you mean \"url\"" },
		{ "locations: {x: {url: 'https://h/v1', model: m, tokenizer: ''}}\n", "a folder with the model's" },
		{ "locations: {x: {url: 'https://h/v1', model: m, context: 4096}}\n", "it needs tokenizer: FOLDER" },
		{ "locations: {x: {url: 'https://h/v1', model: m, tokenizer: t, context: 7}}\n", "context" },
	};
	char *path = path_join(home, "config.yaml");
	struct location l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(fs_write(path, bad[i].text, strlen(bad[i].text)), 0);
		if (location_read(&l, home, "x") != ERR_INPUT || !strstr(err_text(), bad[i].says))
			fail_msg("%s: \"%s\"", bad[i].text, err_text());
		assert_null(strstr(err_text(), "sk-123"));
	}
	assert_int_equal(fs_write(path, "locations: {y: {url: 'http://h/', model: m}}\n", 45), 0);
	assert_int_equal(location_read(&l, home, "x"), ERR_NOTFOUND);
	assert_int_equal(location_read(&l, home, "y"), 0);
	assert_string_equal(l.url, "http://h");
	location_release(&l);
	assert_int_equal(fs_remove(path), 0);
	assert_int_equal(location_read(&l, home, "x"), ERR_NOTFOUND);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remote_generate__nothing_is_lost_or_asked_twice),
		cmocka_unit_test(test_remote_generate__equal_requests_are_sent_once),
		cmocka_unit_test(test_remote_generate__goes_on_where_it_was),
		cmocka_unit_test(test_remote_generate__a_torn_line_is_asked_again),
		cmocka_unit_test(test_remote_generate__retry_after_is_heeded),
		cmocka_unit_test(test_remote_generate__gives_up_with_one_error),
		cmocka_unit_test(test_remote_open__needs_the_secret),
		cmocka_unit_test(test_remote_loglik__is_read_off_the_prompt),
		cmocka_unit_test(test_remote_loglik__a_text_without_context_needs_its_first_token),
		cmocka_unit_test(test_remote_loglik__a_server_that_gives_none_is_refused),
		cmocka_unit_test(test_remote_loglik__goes_as_ids_where_the_location_has_a_tokenizer),
		cmocka_unit_test(test_remote_chat__messages_go_as_they_are),
		cmocka_unit_test(test_location_read__mistakes),
	};

	log_set_level(LOG_QUIET);
	return cmocka_run_group_tests(tests, setup, teardown);
}
