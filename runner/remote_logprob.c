/* remote_logprob.c: the log-likelihood of a continuation, off an answer that gives log-probabilities of the prompt's tokens.
 *
 * There are two forms. A server that echoes the prompt lists it with what it generated behind it:
 *
 *	choices[0].logprobs: {"tokens":[…],"token_logprobs":[null,…],"top_logprobs":[null,{…},…]}
 *
 * and vLLM has, for the prompt alone, by the token's id:
 *
 *	choices[0].prompt_logprobs: [null,{"17":{"logprob":-1.5,"rank":1,"decoded_token":" the"}},…]
 *
 * Both become a list of places. Where ids were sent, as many places must have come, under the same ids or with the texts of
 * their tokens, and the last ones are the continuation's. Where a text was sent, remote_spell.c tells them by their texts. What
 * does not add up is refused with one sentence: a sum over the wrong tokens looks like any other number.
 *
 * Greedy means: no token was likelier at its place. */
#include "base/base.h"

#include <math.h>

#include "runner/remote_int.h"

enum { TEXT_SHOWN = 40 };
#define ABOVE_ZERO 1e-3 /* a log-probability may be, by rounding */

struct place {
	const char *text; /* borrowed; NULL: not given */
	double logprob;   /* NaN: there is none */
	bool greedy;
};
struct places {
	struct place *items;
	size_t n;
};

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static int not_given(const struct location *l, const char *what)
{
	err_set(ERR_UNAVAILABLE, "location %s gives no log-probabilities of a prompt: %s", l->name, what);
	return err_hint(ERR_UNAVAILABLE,
			"vLLM and others do under api: completions; tasks of output_type generate_until need "
			"none");
}

int logprob_no_first(const struct location *l)
{
	err_set(ERR_UNAVAILABLE, "location %s gives no log-probability of the first token of a text", l->name);
	return err_hint(ERR_UNAVAILABLE, "write bos: \"<s>\", or whatever this model begins with, into the location; "
					 "where the server adds that itself, tokenizer: FOLDER");
}

static int not_told(const struct location *l)
{
	return err_hint(ERR_UNAVAILABLE,
			"write tokenizer: FOLDER (with this model's tokenizer.json) into location %s of config.yaml: "
			"then ids are sent, and no text has to be told apart",
			l->name);
}

/* ---- the two forms ----------------------------------------------------------------------------------------------- */

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

static double number_or_nan(const json_t *v)
{
	return json_is_number(v) ? json_number_value(v) : NAN;
}

/* How many places of an echo are the prompt's: the server counts what it generated; else it is the one token it was asked for. */
static int prompt_places(size_t *out, const struct location *l, const json_t *root, size_t n)
{
	const json_t *usage = json_object_get(root, "usage");
	int64_t wrote = json_get_int(usage, "completion_tokens", 1), read = json_get_int(usage, "prompt_tokens", -1);

	if (wrote < 0 || (uint64_t)wrote >= n)
		return not_given(l, "its echo ends before the prompt does");
	*out = n - (size_t)wrote;
	if (read >= 0 && *out != (size_t)read && *out + 1 != (size_t)read) { /* a BOS of its own may be left out */
		err_set(ERR_UNAVAILABLE,
			"location %s counts %lld tokens of a prompt and echoes %zu of them: which these are cannot be "
			"told",
			l->name, (long long)read, *out);
		return err_hint(ERR_UNAVAILABLE,
				"logprobs: prompt_logprobs, where the server has it (vLLM), names each");
	}
	return 0;
}

static int places_of_echo(struct places *out, const struct location *l, const json_t *root, const json_t *lp)
{
	const json_t *tokens = json_object_get(lp, "tokens"), *own = json_object_get(lp, "token_logprobs"),
		     *top = json_object_get(lp, "top_logprobs");
	size_t n = json_array_size(tokens);
	int rc;

	if (!n || json_array_size(own) != n || json_array_size(top) != n)
		return not_given(l, "its answer has no echo with tokens, token_logprobs and top_logprobs");
	rc = prompt_places(&out->n, l, root, n);
	if (rc)
		return rc;
	out->items = mem_array(out->n, sizeof(*out->items));
	for (size_t i = 0; i < out->n; i++) {
		double logprob = number_or_nan(json_array_get(own, i)), most = likeliest(json_array_get(top, i));

		out->items[i] =
			(struct place){ json_string_value(json_array_get(tokens, i)), logprob, most <= logprob };
		if (i && !isnan(logprob) && isnan(most))
			return not_given(l, "top_logprobs of a token are missing");
	}
	return 0;
}

/* ids: those that were sent; NULL: a place has one token, whichever it is. */
static int places_of_prompt(struct places *out, const struct location *l, const struct tokens *ids, const json_t *list)
{
	if (!json_is_array(list) || !json_array_size(list))
		return not_given(l, "its answer has no prompt_logprobs");
	if (ids && json_array_size(list) != ids->n)
		return not_given(l, "its prompt_logprobs are not as many as the tokens that were sent");
	out->n = json_array_size(list);
	out->items = mem_array(out->n, sizeof(*out->items));
	for (size_t i = 0; i < out->n; i++) {
		json_t *place = json_array_get(list, i), *token = json_object_iter_value(json_object_iter(place));
		char id[16];

		out->items[i] = (struct place){ NULL, NAN, false };
		if (i == 0 && json_is_null(place))
			continue;
		snprintf(id, sizeof(id), "%d", ids ? (int)ids->ids[i] : 0);
		if (ids && !(token = json_object_get(place, id))) {
			err_set(ERR_UNAVAILABLE,
				"location %s: prompt_logprobs have no token %s at place %zu, where it was sent",
				l->name, id, i);
			return err_hint(ERR_UNAVAILABLE, "is %s the tokenizer of this server's model?", l->tokenizer);
		}
		if ((!ids && json_object_size(place) != 1) || !json_is_number(json_object_get(token, "logprob")) ||
		    !json_is_integer(json_object_get(token, "rank")))
			return not_given(l, "its prompt_logprobs have no logprob and rank of one token at each place");
		out->items[i] =
			(struct place){ json_get_text(token, "decoded_token", NULL),
					json_get_real(token, "logprob", NAN), json_get_int(token, "rank", 0) == 1 };
	}
	return 0;
}

/* ---- which of them count ----------------------------------------------------------------------------------------- */

/* Ids were sent. A server may leave the first one out of its echo, where that is a BOS. */
static int first_of_ids(size_t *out, const struct location *l, const struct ask *ask, const struct places *p)
{
	size_t missing = ask->ids.n - p->n;

	if (p->n > ask->ids.n || missing > 1 || p->n <= ask->n_scored) {
		err_set(ERR_UNAVAILABLE, "location %s: %zu tokens were sent, and its answer has %zu", l->name,
			ask->ids.n, p->n);
		return err_hint(ERR_UNAVAILABLE, "does this server take ids as a prompt, and add none of its own?");
	}
	for (size_t i = 0; i < p->n; i++) {
		int32_t id = ask->ids.ids[i + missing];

		if (!p->items[i].text || remote_tokenizer_agrees(ask->tokenizer, id, p->items[i].text))
			continue;
		err_set(ERR_UNAVAILABLE, "location %s: token %d is \"%s\" there, and not in the tokenizer %s", l->name,
			(int)id, p->items[i].text, l->tokenizer);
		return err_hint(ERR_UNAVAILABLE, "tokenizer: is that of another model; name the folder of this one's");
	}
	*out = p->n - ask->n_scored;
	return 0;
}

static int first_of_text(size_t *out, const struct location *l, const struct ask *ask, const struct places *p)
{
	const size_t bos = l->bos ? strlen(l->bos) : 0;
	const struct scored scored = { ask->text, ask->from,
				       !ask->from || (ask->from == bos && !strncmp(ask->text, l->bos, bos)) };
	const char **texts = mem_array(p->n, sizeof(*texts));
	char seen[TEXT_SHOWN + 1];
	enum spelt how = SPELT;
	struct seam seam = { 0, 0 };
	size_t unknown = 0;

	for (size_t i = 0; i < p->n; i++) {
		texts[i] = p->items[i].text;
		unknown += i && !p->items[i].text;
	}
	if (!unknown)
		how = spell(&seam, texts, p->n, &scored, isnan(p->items[0].logprob));
	snprintf(seen, sizeof(seen), "%s", how == SPELT || !texts[seam.at] ? "" : texts[seam.at]);
	free(texts);
	*out = seam.first;
	if (unknown)
		return not_given(l, "its tokens have no texts");
	if (how == SPELT)
		return 0;
	if (how == SPELT_FIRST)
		return logprob_no_first(l);
	if (how == SPELT_SHORT)
		return not_given(l, "its echo does not reach over the whole prompt, as if that had been cut");
	if (how == SPELT_OVER)
		err_set(ERR_UNAVAILABLE,
			"location %s: token %zu of a prompt, \"%s\", reaches over the seam between context and "
			"continuation: whose it is depends on the tokenizer",
			l->name, seam.at, seen);
	else
		err_set(ERR_UNAVAILABLE,
			"location %s: the texts of its tokens do not spell what is to be scored (at token %zu, "
			"\"%s\"): "
			"which tokens count cannot be told",
			l->name, seam.at, seen);
	return not_told(l);
}

static int sum_up(json_t **out, const struct location *l, const struct places *p, size_t first)
{
	double logprob = 0;
	bool greedy = true;

	for (size_t i = first; i < p->n; i++) {
		if (isnan(p->items[i].logprob))
			return i ? not_given(l, "one of a later token is missing") : logprob_no_first(l);
		if (p->items[i].logprob > ABOVE_ZERO || !isfinite(p->items[i].logprob))
			return not_given(l, "one of them is above 0");
		logprob += p->items[i].logprob;
		greedy &= p->items[i].greedy;
	}
	*out = json_pack("{s:f,s:i,s:b}", "logprob", logprob, "tokens", (int)(p->n - first), "greedy", greedy);
	return 0;
}

int logprob_answer(json_t **out, const struct location *l, const struct ask *ask, const json_t *root)
{
	const json_t *choice = json_array_get(json_object_get(root, "choices"), 0), *list;
	struct places p = { NULL, 0 };
	size_t first = 0;
	int rc;

	if (l->logprobs == LOGPROBS_PROMPT) {
		list = json_object_get(choice, "prompt_logprobs");
		rc = places_of_prompt(&p, l, ask->tokenizer ? &ask->ids : NULL,
				      list ? list : json_object_get(root, "prompt_logprobs"));
	} else {
		rc = places_of_echo(&p, l, root, json_object_get(choice, "logprobs"));
	}
	if (!rc)
		rc = ask->tokenizer ? first_of_ids(&first, l, ask, &p) : first_of_text(&first, l, ask, &p);
	rc = rc ? rc : sum_up(out, l, &p, first);
	free(p.items);
	return rc;
}
