/* remote_api.c: requests and answers as OpenAI's interface has them: completions and chat/completions.
 *
 * A conversation travels through the scorer as text (chat() in evals.h); for a server that text is the JSON of its
 * messages, and the server lays them out. Log-likelihoods are read off the completions of a server that echoes the prompt
 * with its log-probabilities (echo, logprobs), or that gives prompt_logprobs, as vLLM does.
 *
 * Which tokens belong to the continuation is counted in characters, since the server's tokenizer is not here: white space at
 * the end of the context belongs to the continuation, as in the harness, and so does a token that reaches over the seam.
 * Greedy means: no token was likelier at its place. */
#include "base/base.h"

#include <math.h>

#include "runner/remote_int.h"

enum { STOPS_MAX = 4 }; /* more are cut here (generate_until.c) */

const char *api_path(const struct location *l)
{
	return l->api == API_CHAT ? "/chat/completions" : "/completions";
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static json_t *text_json(const char *s)
{
	return json_new_text(s, strlen(s));
}

/* The messages of a conversation, or a plain prompt as the user's only one. */
static void add_messages(json_t *body, const struct generate_until *g)
{
	json_t *chat = NULL;

	if (g->chat && json_parse(&chat, g->prompt, strlen(g->prompt), "conversation") == 0) {
		json_object_set(body, "messages", json_object_get(chat, "messages"));
		if (json_get_flag(chat, "continues", false)) {
			json_object_set_new(body, "add_generation_prompt", json_false());
			json_object_set_new(body, "continue_final_message", json_true());
		}
	} else {
		json_object_set_new(body, "messages",
				    json_pack("[{s:s,s:o}]", "role", "user", "content", text_json(g->prompt)));
	}
	json_decref(chat);
}

void api_generate(struct buf *out, const struct location *l, const struct generate_until *g)
{
	json_t *body = json_pack("{s:o,s:i,s:f}", "model", text_json(l->model), "max_tokens", g->max_tokens,
				 "temperature", g->temperature);
	json_t *stops = json_array();

	for (size_t i = 0; g->until[i] && i < STOPS_MAX; i++)
		json_array_append_new(stops, text_json(g->until[i]));
	if (json_array_size(stops))
		json_object_set(body, "stop", stops);
	json_decref(stops);
	if (g->temperature > 0)
		json_object_set_new(body, "seed", json_integer((json_int_t)(g->seed & INT32_MAX)));
	if (g->top_p > 0)
		json_object_set_new(body, "top_p", json_real(g->top_p));
	if (g->top_k > 0)
		json_object_set_new(body, "top_k", json_integer(g->top_k));
	if (l->api == API_CHAT)
		add_messages(body, g);
	else
		json_object_set_new(body, "prompt", text_json(g->prompt));
	json_add(out, body);
	json_decref(body);
}

/* Characters of s without the white space at its end. */
static size_t characters_to_seam(const char *s)
{
	size_t len = strlen(s), used, n = 0, seam = 0;

	for (size_t at = 0; at < len; at += used) {
		n++;
		if (!utf8_is_space(utf8_next(s + at, len - at, &used)))
			seam = n;
	}
	return seam;
}

void api_loglik(struct buf *out, struct ask *ask, char **text, const struct location *l, const struct loglik_request *q)
{
	bool bare = !q->continuation || !*q->context;
	const char *bos = bare && l->bos ? l->bos : "";
	struct buf whole = BUF_INIT(BUF_NOLIMIT);
	json_t *body;
	char *joined;

	joined = mem_printf("%s%s%s", bos, q->context, q->continuation ? q->continuation : "");
	utf8_repair(&whole, joined, strlen(joined));
	free(joined);
	*text = buf_take(&whole);
	ask->scored = *text;
	ask->from = bare ? utf8_count(bos, strlen(bos)) : characters_to_seam(q->context);
	body = json_pack("{s:o,s:o,s:i,s:i}", "model", text_json(l->model), "prompt", text_json(*text), "max_tokens", 1,
			 "temperature", 0);
	if (l->logprobs == LOGPROBS_PROMPT) {
		json_object_set_new(body, "prompt_logprobs", json_integer(0));
	} else {
		json_object_set_new(body, "echo", json_true());
		json_object_set_new(body, "logprobs", json_integer(1));
	}
	json_add(out, body);
	json_decref(body);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static int not_given(const struct location *l, const char *what)
{
	err_set(ERR_UNAVAILABLE, "location %s gives no log-probabilities of a prompt: %s", l->name, what);
	return err_hint(ERR_UNAVAILABLE,
			"vLLM and others do under api: completions; tasks of output_type generate_until need "
			"none");
}

static int no_first(const struct location *l)
{
	err_set(ERR_UNAVAILABLE, "location %s gives no log-probability of the first token of a text", l->name);
	return err_hint(ERR_UNAVAILABLE, "write bos: \"<s>\", or whatever this model begins with, into the location");
}

/* The largest of {"token": logprob}; NaN: there is none. */
static double likeliest(const json_t *top)
{
	double most = NAN;
	const char *token;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)top, token,
			    v) if (json_is_number(v) && !(json_number_value(v) <= most)) most = json_number_value(v);
	return most;
}

static const char *text_at(const json_t *list, size_t i)
{
	const char *s = json_string_value(json_array_get(list, i));

	return s ? s : "";
}

struct sum {
	double logprob;
	int tokens;
	bool greedy;
};

static json_t *sum_json(const struct sum *s)
{
	return json_pack("{s:f,s:i,s:b}", "logprob", s->logprob, "tokens", s->tokens, "greedy", s->greedy);
}

/* {"tokens":[…],"token_logprobs":[…],"top_logprobs":[{…}],"text_offset":[…]} of prompt and what was generated. */
static int sum_echo(json_t **out, const struct location *l, const struct ask *ask, const json_t *lp)
{
	const json_t *tokens = json_object_get(lp, "tokens"), *own = json_object_get(lp, "token_logprobs"),
		     *top = json_object_get(lp, "top_logprobs"), *offsets = json_object_get(lp, "text_offset");
	size_t n = json_array_size(tokens), total = utf8_count(ask->scored, strlen(ask->scored)), reached = 0;
	json_int_t shift = 0;
	struct sum sum = { 0, 0, true };

	if (!n || json_array_size(own) != n || json_array_size(offsets) != n || json_array_size(top) != n)
		return not_given(l, "its answer has no echo with tokens, token_logprobs, top_logprobs and text_offset");
	if (n > 1 && json_is_null(json_array_get(own, 0)) &&
	    strncmp(ask->scored, text_at(tokens, 0), strlen(text_at(tokens, 0))) != 0)
		shift = json_integer_value(json_array_get(offsets, 1)); /* the server's own token in front */
	for (size_t i = 0; i < n; i++) {
		const char *token = text_at(tokens, i);
		json_int_t at = json_integer_value(json_array_get(offsets, i)) - shift;
		json_int_t end = i + 1 < n ? json_integer_value(json_array_get(offsets, i + 1)) - shift
					   : at + (json_int_t)utf8_count(token, strlen(token));

		if (at < 0 || (size_t)at >= total)
			continue;
		reached = end > (json_int_t)total ? total : (size_t)end;
		if (end <= (json_int_t)ask->from)
			continue;
		if (!json_is_number(json_array_get(own, i)))
			return i ? not_given(l, "one of a later token is missing") : no_first(l);
		sum.logprob += json_number_value(json_array_get(own, i));
		sum.greedy &= likeliest(json_array_get(top, i)) <= json_number_value(json_array_get(own, i));
		sum.tokens++;
	}
	if (reached < total || !sum.tokens)
		return not_given(l, "its echo ends before the prompt does");
	*out = sum_json(&sum);
	return 0;
}

/* [null, {"ID":{"logprob","rank","decoded_token"}}, …], read from the end, since the first says nothing of its text. */
static int sum_prompt(json_t **out, const struct location *l, const struct ask *ask, const json_t *list)
{
	size_t want = utf8_count(ask->scored, strlen(ask->scored)) - ask->from, got = 0;
	struct sum sum = { 0, 0, true };

	if (!json_is_array(list) || !json_array_size(list))
		return not_given(l, "its answer has no prompt_logprobs");
	for (size_t i = json_array_size(list); i-- && got < want;) {
		json_t *place = json_array_get(list, i), *token = json_object_iter_value(json_object_iter(place));
		const char *text = json_get_text(token, "decoded_token", NULL);

		if (!json_is_object(place))
			return i ? not_given(l, "one of a later token is missing") : no_first(l);
		if (!text || json_object_size(place) != 1 || !json_is_number(json_object_get(token, "logprob")))
			return not_given(l, "its prompt_logprobs have no decoded_token and logprob");
		got += utf8_count(text, strlen(text));
		sum.logprob += json_get_real(token, "logprob", NAN);
		sum.greedy &= json_get_int(token, "rank", 0) == 1;
		sum.tokens++;
	}
	if (got < want)
		return no_first(l);
	*out = sum_json(&sum);
	return 0;
}

int api_answer(json_t **out, const struct location *l, const struct ask *ask, const json_t *root)
{
	const json_t *choice = json_array_get(json_object_get(root, "choices"), 0), *list, *text;

	*out = NULL;
	if (!json_is_object(choice))
		return err_set(ERR_NOTFOUND, "the answer has no choices");
	if (ask->scored && l->logprobs == LOGPROBS_PROMPT) {
		list = json_object_get(choice, "prompt_logprobs");
		return sum_prompt(out, l, ask, list ? list : json_object_get(root, "prompt_logprobs"));
	}
	if (ask->scored)
		return sum_echo(out, l, ask, json_object_get(choice, "logprobs"));
	text = l->api == API_CHAT ? json_object_get(json_object_get(choice, "message"), "content")
				  : json_object_get(choice, "text");
	if (!text || (!json_is_string(text) && !json_is_null(text)))
		return err_set(ERR_NOTFOUND, "the answer has no text");
	*out = json_pack("{s:o,s:I}", "text",
			 json_is_string(text) ? json_copy((json_t *)(uintptr_t)text) : json_string(""), "tokens",
			 (json_int_t)json_get_int(json_object_get(root, "usage"), "completion_tokens", 0));
	return 0;
}
