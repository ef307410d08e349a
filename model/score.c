/* score.c: log-probabilities of tokens, and of texts by the rules of lm-evaluation-harness.
 *
 * score_run packs requests, in their order, until batch_tokens would be passed; only the rows whose successor is scored
 * go through the head. Rows do not see what shares their batch (kernels.h), so the results do not depend on the cut.
 * The sum over a continuation is in double and in its order. (Requests that share a context are computed one by one as
 * yet; `pack` is the place that will see a tree of prefixes instead of a list.)
 *
 * The rules of the texts, as the harness has them:
 *   pair      white space at the end of the context moves to the front of the continuation; then the ids of the
 *             continuation are those of the whole behind as many as the context has alone
 *   no context  the continuation's own ids behind the prefix token: BOS, else EOS; if they begin with it, that one
 *             is the context
 *   too long  cut on the left to context + 1 tokens, of which the last is only predicted
 *   rolling   windows that do not overlap, each with one token of context, the last one with as many as fit
 * A text that begins with the prefix token's own text is encoded without special tokens (templates write it). */
#include "base/base.h"

#include <math.h>

#include "model/model_int.h"

#define DEFAULT_TOKENS 4096

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

static int check_requests(const struct model *m, const struct score_request *reqs, size_t n, int *longest,
			  int64_t *total)
{
	*longest = 1;
	*total = 0;
	for (size_t i = 0; i < n; i++) {
		const struct score_request *r = &reqs[i];
		if (r->n_scored < 1 || r->n_scored >= r->n || r->n - 1 > m->config.context)
			return err_set(
				ERR_INPUT,
				"request %zu: %d tokens, %d of them scored; the model takes at most %d and needs one "
				"before the first that is scored",
				i, r->n, r->n_scored, m->config.context + 1);
		int rc = model_check_ids(m, r->ids, r->n, "request", i);
		if (rc)
			return rc;
		*longest = r->n - 1 > *longest ? r->n - 1 : *longest;
		*total += r->n - 1;
	}
	return 0;
}

/* Fills the batch with the requests from first on; gives the one behind. */
static size_t pack(struct pass *p, const struct score_request *reqs, size_t first, size_t n)
{
	size_t i;

	pass_clear(p);
	for (i = first; i < n; i++) {
		const struct score_request *r = &reqs[i];
		if (p->n_seqs && !pass_fits(p, r->n - 1, r->n_scored))
			break;
		int row = pass_add(p, r->ids, r->n - 1);
		for (int t = r->n - r->n_scored; t < r->n; t++)
			pass_want(p, row + t - 1, r->ids[t]);
	}
	return i;
}

static int collect(const struct pass *p, const struct score_request *reqs, size_t first, size_t behind,
		   struct score_result *out)
{
	int at = 0;

	for (size_t i = first; i < behind; i++) {
		out[i] = (struct score_result){ 0, true };
		for (int t = 0; t < reqs[i].n_scored; t++, at++) {
			out[i].logprob += p->logprob[at];
			out[i].greedy &= p->argmax[at] == p->targets[at];
		}
		if (!isfinite(out[i].logprob))
			return err_hint(err_set(ERR_INPUT, "request %zu: the model's output is not a finite number", i),
					"the weights are damaged, or a training went astray");
	}
	return 0;
}

int score_run(struct model *m, const struct score_request *reqs, size_t n, struct score_result *out, int batch_tokens,
	      void (*done)(size_t n_done, void *arg), void *arg)
{
	struct pass p = { 0 };
	int64_t total;
	int longest, rc = check_requests(m, reqs, n, &longest, &total);

	if (rc || !n)
		return rc;
	int tokens = batch_tokens > 0 ? batch_tokens : DEFAULT_TOKENS;
	tokens = total < tokens ? (int)total : tokens;
	tokens = tokens < longest ? longest : tokens;
	const struct pass_size size = { .tokens = tokens, .rows = tokens, .seqs = tokens, .positions = longest };
	rc = pass_open(&p, m, &size);
	for (size_t first = 0, behind; !rc && first < n; first = behind) {
		behind = pack(&p, reqs, first, n);
		transformer_forward(&p);
		rc = transformer_head(&p, NULL, NULL);
		if (!rc)
			rc = collect(&p, reqs, first, behind, out);
		if (!rc && done)
			done(behind, arg);
	}
	pass_close(&p);
	return rc;
}

/* ---- texts: ids -------------------------------------------------------------------------------------------------- */

struct text_job {
	struct model *m;
	const struct tokenizer *tok;
	int32_t prefix;
	struct buf prefix_text;
	struct score_request *reqs; /* all windows of all texts */
	size_t n, cap;
	size_t *first; /* of each text; one more at the end */
	size_t at;     /* texts that are done */
	void (*done)(size_t n_done, void *arg);
	void *arg;
};

static int encode(const struct text_job *j, struct tokens *out, const char *text, size_t len)
{
	const struct buf *p = &j->prefix_text;
	bool has = p->len && len >= p->len && !memcmp(text, p->data, p->len);

	return tokenizer_encode(j->tok, out, text, len, !has);
}

/* One request: n ids of which n_scored count. A copy; cut on the left. */
static int add_request(struct text_job *j, const int32_t *ids, size_t n, size_t n_scored)
{
	size_t most = (size_t)j->m->config.context + 1;

	if (n > most) {
		ids += n - most;
		n = most;
	}
	if (n_scored >= n)
		return err_set(ERR_INPUT, "the continuation has %zu tokens, the model takes %zu", n_scored, most - 1);
	MEM_GROW(j->reqs, j->n, j->cap);
	j->reqs[j->n++] = (struct score_request){ mem_copy(ids, n * sizeof(*ids)), (int)n, (int)n_scored };
	return 0;
}

/* Length of s without the white space at its end, as Python's rstrip() sees it. */
static size_t stripped(const char *s, size_t len)
{
	size_t end = 0, used;

	for (size_t at = 0; at < len; at += used)
		if (!utf8_is_space(utf8_next(s + at, len - at, &used)))
			end = at + used;
	return end;
}

static int add_alone(struct text_job *j, const char *text, size_t len)
{
	struct tokens ids = { NULL, 0, 0 };
	int rc;

	tokens_add(&ids, j->prefix);
	rc = tokenizer_encode(j->tok, &ids, text, len, false);
	if (!rc && ids.n < 2)
		rc = err_set(ERR_INPUT, "the continuation has no token");
	/* it brings the prefix token itself: that one is the context then */
	bool own = !rc && ids.ids[1] == j->prefix;
	if (own && ids.n < 3)
		rc = err_set(ERR_INPUT, "the continuation is the prefix token alone");
	if (!rc)
		rc = own ? add_request(j, ids.ids + 1, ids.n - 1, ids.n - 2)
			 : add_request(j, ids.ids, ids.n, ids.n - 1);
	tokens_release(&ids);
	return rc;
}

static int add_pair(struct text_job *j, const char *context, const char *continuation)
{
	size_t len = strlen(context), cut = stripped(context, len);
	struct tokens ids = { NULL, 0, 0 }, whole = { NULL, 0, 0 };
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc;

	if (!len)
		return add_alone(j, continuation, strlen(continuation));
	buf_adds(&text, context);
	buf_adds(&text, continuation);
	rc = encode(j, &whole, text.data, text.len);
	if (!rc)
		rc = encode(j, &ids, context, cut);
	if (!rc && whole.n <= ids.n) {
		rc = err_set(ERR_INPUT, "the continuation has no token of its own");
	} else if (!rc) {
		size_t n = ids.n;
		if (!n) /* nothing but white space: as if there were no context */
			tokens_add(&ids, j->prefix);
		size_t before = ids.n;
		for (size_t i = n; i < whole.n; i++)
			tokens_add(&ids, whole.ids[i]);
		rc = add_request(j, ids.ids, ids.n, ids.n - before);
	}
	tokens_release(&ids);
	tokens_release(&whole);
	buf_release(&text);
	return rc;
}

static int add_rolling(struct text_job *j, const char *text)
{
	struct tokens ids = { NULL, 0, 0 };
	size_t most = (size_t)j->m->config.context;
	int rc;

	tokens_add(&ids, j->prefix);
	rc = encode(j, &ids, text, strlen(text));
	/* ids[0] is the prefix; tokens 1 .. n-1 are predicted, `most` at a time, the last ones with all context that
	 * fits */
	for (size_t at = 1; !rc && at < ids.n;) {
		size_t w = ids.n - at < most ? ids.n - at : most, end = at + w;
		size_t begin = at == 1 ? 0 : end - most - 1; /* at > 1: `most` tokens and more lie before the end */
		rc = add_request(j, ids.ids + begin, end - begin, w);
		at = end;
	}
	tokens_release(&ids);
	return rc;
}

/* ---- texts: results ---------------------------------------------------------------------------------------------- */

static int find_prefix(struct text_job *j)
{
	const struct model_config *c = &j->m->config;

	j->prefix = c->bos_id >= 0 ? c->bos_id : c->eos_id;
	if (j->prefix < 0)
		return err_hint(err_set(ERR_INPUT, "the model has no BOS and no EOS token to begin a text with"),
				"set bos_token_id or eos_token_id in config.json");
	tokenizer_decode(j->tok, &j->prefix_text, &j->prefix, 1, false);
	return 0;
}

static int add_text(struct text_job *j, const struct text_request *r, size_t i)
{
	int rc;

	if (r->continuation)
		rc = add_pair(j, r->context, r->continuation);
	else
		rc = add_rolling(j, r->context);
	return rc ? err_context(rc, "request %zu", i) : 0;
}

static void windows_done(size_t n_done, void *arg)
{
	struct text_job *j = arg;

	while (j->first[j->at + 1] <= n_done) /* the last one is never reached */
		j->at++;
	if (j->done)
		j->done(j->at, j->arg);
}

static void gather_texts(const struct text_job *j, const struct score_result *scores, size_t n, struct text_result *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct text_result){ 0, 0, true };
		for (size_t w = j->first[i]; w < j->first[i + 1]; w++) {
			out[i].logprob += scores[w].logprob;
			out[i].tokens += j->reqs[w].n_scored;
			out[i].greedy &= scores[w].greedy;
		}
	}
}

int score_texts(struct model *m, const struct tokenizer *tok, const struct text_request *reqs, size_t n,
		struct text_result *out, int batch_tokens, void (*done)(size_t n_done, void *arg), void *arg)
{
	struct text_job j = { .m = m, .tok = tok, .prefix_text = BUF_INIT(1 << 20), .done = done, .arg = arg };
	struct score_result *scores = NULL;
	int rc = find_prefix(&j);

	j.first = mem_array(n + 2, sizeof(*j.first));
	for (size_t i = 0; !rc && i < n; i++) {
		rc = add_text(&j, &reqs[i], i);
		j.first[i + 1] = j.n;
	}
	j.first[n + 1] = SIZE_MAX;
	if (!rc) {
		scores = mem_array(j.n + 1, sizeof(*scores));
		rc = score_run(m, j.reqs, j.n, scores, batch_tokens, windows_done, &j);
	}
	if (!rc)
		gather_texts(&j, scores, n, out);
	for (size_t i = 0; i < j.n; i++)
		free((int32_t *)j.reqs[i].ids);
	free(j.reqs);
	free(j.first);
	free(scores);
	buf_release(&j.prefix_text);
	return rc;
}
