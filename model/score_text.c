/* score_text.c: log-probabilities of texts by the rules of lm-evaluation-harness; text_ids.c makes the ids.
 *
 *   too long  cut on the left to context + 1 tokens, of which the last is only predicted
 *   rolling   windows that do not overlap, each with one token of context, the last one with as many as fit */
#include "base/base.h"

#include "model/model_int.h"

struct text_job {
	struct model *m;
	struct text_ids *coder;
	struct score_request *reqs; /* all windows of all texts */
	size_t n, cap;
	size_t text;   /* the one whose requests are being added */
	int *cut;      /* of each text: tokens that fell off */
	size_t *first; /* of each text; one more at the end */
	size_t at;     /* texts that are done */
	const struct score_options *how;
};

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* One request: n ids of which n_scored count. A copy; cut on the left. */
static int add_request(struct text_job *j, const int32_t *ids, size_t n, size_t n_scored)
{
	size_t most = (size_t)j->m->config.context + 1, over = n > most ? n - most : 0;

	ids += over;
	n -= over;
	j->cut[j->text] = (int)over;
	if (n_scored >= n)
		return err_hint(
			err_set(ERR_INPUT, "the continuation has %zu tokens, the model takes %zu", n_scored, most - 1),
			"shorten it, or score it as a whole text, which goes window by window");
	MEM_GROW(j->reqs, j->n, j->cap);
	j->reqs[j->n++] = (struct score_request){ mem_copy(ids, n * sizeof(*ids)), (int)n, (int)n_scored };
	return 0;
}

size_t text_window(size_t n, size_t most, size_t at, size_t *begin)
{
	size_t end = at + (n - at < most ? n - at : most);

	*begin = at == 1 ? 0 : end - most - 1; /* at > 1: `most` tokens and more lie before the end */
	return end;
}

static int add_windows(struct text_job *j, const struct tokens *ids)
{
	size_t most = (size_t)j->m->config.context;
	int rc = 0;

	for (size_t at = 1, begin, end; !rc && at < ids->n; at = end) {
		end = text_window(ids->n, most, at, &begin);
		rc = add_request(j, ids->ids + begin, end - begin, end - at);
	}
	return rc;
}

static int add_text(struct text_job *j, const struct text_request *r, size_t i)
{
	struct tokens ids = { NULL, 0, 0 };
	size_t n_scored;
	int rc = text_ids_add(j->coder, r, &ids, &n_scored);

	if (!rc)
		rc = r->continuation ? add_request(j, ids.ids, ids.n, n_scored) : add_windows(j, &ids);
	tokens_release(&ids);
	return rc ? err_context(rc, "request %zu", i) : 0;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* As the harness has it: the tokenizer's word counts before the model's (an instruct model may differ). */
static int find_prefix(int32_t *out, const struct model_config *c, const struct tokenizer *tok)
{
	*out = tokenizer_prefix(tok);
	if (*out < 0)
		*out = c->bos_id >= 0 ? c->bos_id : c->eos_id;
	if (*out < 0)
		return err_hint(err_set(ERR_INPUT, "the model has no BOS and no EOS token to begin a text with"),
				"set bos_token_id or eos_token_id in config.json");
	return 0;
}

static void windows_done(size_t n_done, void *arg)
{
	struct text_job *j = arg;

	while (j->first[j->at + 1] <= n_done) /* the last one is never reached */
		j->at++;
	j->how->done(j->at, j->how->arg);
}

static void gather_texts(const struct text_job *j, const struct score_result *scores, size_t n, struct text_result *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct text_result){ 0, 0, true, j->cut[i], 0 };
		for (size_t w = j->first[i]; w < j->first[i + 1]; w++) {
			out[i].logprob += scores[w].logprob;
			out[i].tokens += j->reqs[w].n_scored;
			out[i].greedy &= scores[w].greedy;
			out[i].seconds += scores[w].seconds;
		}
	}
}

int score_texts(struct model *m, const struct tokenizer *tok, const struct text_request *reqs, size_t n,
		struct text_result *out, const struct score_options *how)
{
	struct text_job j = { .m = m, .how = how };
	struct score_options windows = how ? *how : (struct score_options){ 0 };
	struct score_result *scores = NULL;
	int32_t prefix;
	int rc = find_prefix(&prefix, &m->config, tok);

	j.coder = rc ? NULL : text_ids_new(tok, prefix);
	if (windows.done) {
		windows.done = windows_done;
		windows.arg = &j;
	}
	j.first = mem_array(n + 2, sizeof(*j.first));
	j.cut = mem_array(n + 1, sizeof(*j.cut));
	for (; !rc && j.text < n; j.text++) {
		rc = add_text(&j, &reqs[j.text], j.text);
		j.first[j.text + 1] = j.n;
	}
	j.first[n + 1] = SIZE_MAX;
	if (!rc) {
		scores = mem_array(j.n + 1, sizeof(*scores));
		rc = score_run(m, j.reqs, j.n, scores, &windows);
	}
	if (!rc)
		gather_texts(&j, scores, n, out);
	for (size_t i = 0; i < j.n; i++)
		free((int32_t *)j.reqs[i].ids);
	free(j.reqs);
	free(j.first);
	free(j.cut);
	free(scores);
	text_ids_free(j.coder);
	return rc;
}
