/* remote_window.c: what of a list of ids goes to a server in one request, where it is known how many tokens that takes.
 *
 * As lm-evaluation-harness asks servers (local-completions), which is not quite as it asks a model in its own process: a server
 * wants to generate a token, and needs room for it. So a request has at most context - 1 ids:
 *
 *   a continuation   with as much of its context as fits, which is cut on the left
 *   a rolling text   windows of context - 2 predicted tokens behind one token of context; the last one with all that fits
 *   a prompt         the last context - 1 - max_tokens ids
 *
 * Where it is not known, all goes in one request, and what is too long is the server's to refuse. */
#include "base/base.h"

#include "runner/remote_int.h"

int window_next(struct window *out, size_t n, size_t at, bool rolling, const struct location *l, int context)
{
	size_t most = context ? (size_t)context - 1 : n;

	*out = (struct window){ 0, n, n - at };
	if (rolling && context) {
		out->end = text_window(n, most - 1, at, &out->begin);
		out->n_scored = out->end - at;
	} else if (n > most) {
		out->begin = n - most;
	}
	if (out->n_scored < out->end - out->begin)
		return 0;
	err_set(ERR_INPUT, "the continuation has %zu tokens, location %s takes %zu", out->n_scored, l->name, most - 1);
	return err_hint(ERR_INPUT, "shorten it, or score it as a whole text, which goes window by window");
}

int window_writes(int max_tokens, const struct location *l, int context)
{
	if (!context || max_tokens < context - 1)
		return 0;
	err_set(ERR_INPUT, "max_gen_toks: %d tokens are to be written, and location %s takes %d, the prompt included",
		max_tokens, l->name, context);
	return err_hint(ERR_INPUT,
			"set max_gen_toks in the task's generation_kwargs (of a judge: max_tokens) to %d or less",
			context - 2);
}

size_t window_prompt(size_t n, int max_tokens, int context)
{
	size_t most = (size_t)(context - 1 - max_tokens);

	return n > most ? n - most : 0;
}
