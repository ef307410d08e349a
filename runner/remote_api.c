/* remote_api.c: requests and answers as OpenAI's interface has them: completions and chat/completions.
 *
 * A conversation travels through the scorer as text (chat() in evals.h); for a server that text is the JSON of its
 * messages, and the server lays them out. Log-likelihoods are read off the completions of a server that echoes the prompt
 * with its log-probabilities (echo, logprobs), or that gives prompt_logprobs, as vLLM does (remote_logprob.c). The prompt is a text
 * or, where the location names the model's tokenizer, a list of ids. */
#include "base/base.h"

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

static json_t *ids_json(const struct tokens *ids)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ids->n; i++)
		json_array_append_new(list, json_integer(ids->ids[i]));
	return list;
}

void api_generate(struct buf *out, const struct location *l, const struct generate_until *g, const struct tokens *ids)
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
		json_object_set_new(body, "prompt", ids ? ids_json(ids) : text_json(g->prompt));
	json_add(out, body);
	json_decref(body);
}

/* White space at the end of the context belongs to the continuation, as in the harness. */
static void ask_text(struct ask *ask, const struct location *l, const struct loglik_request *q)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	size_t seam;

	utf8_repair(&text, q->context, strlen(q->context));
	seam = q->continuation ? utf8_stripped(buf_str(&text), text.len) : 0;
	if (!seam && l->bos) {
		seam = strlen(l->bos);
		buf_clear(&text);
		buf_adds(&text, l->bos);
		utf8_repair(&text, q->context, strlen(q->context));
	}
	if (q->continuation)
		utf8_repair(&text, q->continuation, strlen(q->continuation));
	ask->from = seam;
	ask->text = buf_take(&text);
}

/* One token is generated, since servers want to. */
static void loglik_body(struct buf *out, const struct location *l, json_t *prompt)
{
	json_t *body = json_pack("{s:o,s:o,s:i,s:i}", "model", text_json(l->model), "prompt", prompt, "max_tokens", 1,
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

void api_loglik(struct buf *out, struct ask *ask, const struct location *l, const struct loglik_request *q)
{
	ask->scores = true;
	ask_text(ask, l, q);
	loglik_body(out, l, text_json(ask->text));
}

void api_loglik_ids(struct buf *out, struct ask *ask, const struct location *l, const struct remote_tokenizer *t,
		    const int32_t *ids, size_t n, size_t n_scored)
{
	ask->scores = true;
	ask->tokenizer = t;
	ask->n_scored = n_scored;
	for (size_t i = 0; i < n; i++)
		tokens_add(&ask->ids, ids[i]);
	loglik_body(out, l, ids_json(&ask->ids));
}

void ask_release(struct ask *ask)
{
	free(ask->text);
	tokens_release(&ask->ids);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

int api_answer(json_t **out, const struct location *l, const struct ask *ask, const json_t *root)
{
	const json_t *choice = json_array_get(json_object_get(root, "choices"), 0), *text;

	*out = NULL;
	if (!json_is_object(choice))
		return err_set(ERR_NOTFOUND, "the answer has no choices");
	if (ask->scores)
		return logprob_answer(out, l, ask, root);
	text = l->api == API_CHAT ? json_object_get(json_object_get(choice, "message"), "content")
				  : json_object_get(choice, "text");
	if (!text || (!json_is_string(text) && !json_is_null(text)))
		return err_set(ERR_NOTFOUND, "the answer has no text");
	*out = json_pack("{s:o,s:I}", "text",
			 json_is_string(text) ? json_copy((json_t *)(uintptr_t)text) : json_string(""), "tokens",
			 (json_int_t)json_get_int(json_object_get(root, "usage"), "completion_tokens", 0));
	return 0;
}
