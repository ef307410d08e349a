/* text_ids.c: the ids of a context and its continuation, by the rules of lm-evaluation-harness.
 *
 *   pair      white space at the end of the context moves to the front of the continuation; then the ids of the
 *             continuation are those of the whole behind as many as the context has alone
 *   no context  the continuation's own ids behind the prefix token: BOS, else EOS; if they begin with it, that one
 *             is the context
 *   rolling   the ids of the whole text behind the prefix token
 * A text that begins with the prefix token's own text is encoded without special tokens (templates write it). */
#include "base/base.h"

#include "model/model_int.h"

struct text_ids {
	const struct tokenizer *tok;
	int32_t prefix;
	struct buf prefix_text;
	char *context; /* the last one of a pair, as far as its ids go; NULL: none */
	struct tokens context_ids;
};

struct text_ids *text_ids_new(const struct tokenizer *tok, int32_t prefix)
{
	struct text_ids *t = mem_alloc(sizeof(*t));

	*t = (struct text_ids){ .tok = tok, .prefix = prefix, .prefix_text = BUF_INIT(1 << 20) };
	tokenizer_decode(tok, &t->prefix_text, &prefix, 1, false);
	return t;
}

void text_ids_free(struct text_ids *t)
{
	if (!t)
		return;
	buf_release(&t->prefix_text);
	tokens_release(&t->context_ids);
	free(t->context);
	free(t);
}

static int encode(const struct text_ids *t, struct tokens *out, const char *text, size_t len)
{
	const struct buf *p = &t->prefix_text;
	bool has = p->len && len >= p->len && !memcmp(text, p->data, p->len);

	return tokenizer_encode(t->tok, out, text, len, !has);
}

static void add_ids(struct tokens *t, const int32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tokens_add(t, ids[i]);
}

static int of_alone(const struct text_ids *t, const char *text, struct tokens *out, size_t *n_scored)
{
	struct tokens ids = { NULL, 0, 0 };
	int rc = tokenizer_encode(t->tok, &ids, text, strlen(text), false);
	/* it brings the prefix token itself: that one is the context then */
	bool own = !rc && ids.n && ids.ids[0] == t->prefix;

	if (!rc && !ids.n)
		rc = err_set(ERR_INPUT, "the continuation has no token");
	else if (own && ids.n == 1)
		rc = err_set(ERR_INPUT, "the continuation is the prefix token alone");
	if (!own)
		tokens_add(out, t->prefix);
	add_ids(out, ids.ids, ids.n);
	*n_scored = ids.n - own;
	tokens_release(&ids);
	return rc;
}

/* Sets context_ids. The choices of a question come one after another: their context is encoded once. */
static int encode_context(struct text_ids *t, const char *context, size_t len)
{
	int rc;

	if (t->context && strlen(t->context) == len && !memcmp(t->context, context, len))
		return 0;
	t->context_ids.n = 0;
	free(t->context);
	t->context = NULL;
	rc = encode(t, &t->context_ids, context, len);
	if (!rc)
		t->context = mem_strn(context, len);
	return rc;
}

static int of_pair(struct text_ids *t, const struct text_request *r, struct tokens *out, size_t *n_scored)
{
	size_t n, len = strlen(r->context), cut = utf8_stripped(r->context, len);
	struct tokens whole = { NULL, 0, 0 };
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	int rc;

	buf_adds(&text, r->context);
	buf_adds(&text, r->continuation);
	rc = encode(t, &whole, text.data, text.len);
	rc = rc ? rc : encode_context(t, r->context, cut);
	n = t->context_ids.n;
	if (!rc && whole.n <= n) {
		rc = err_set(ERR_INPUT, "the continuation has no token of its own");
	} else if (!rc) {
		add_ids(out, t->context_ids.ids, n);
		if (!n) /* nothing but white space: as if there were no context */
			tokens_add(out, t->prefix);
		add_ids(out, whole.ids + n, whole.n - n);
		*n_scored = whole.n - n;
	}
	tokens_release(&whole);
	buf_release(&text);
	return rc;
}

int text_ids_add(struct text_ids *t, const struct text_request *r, struct tokens *out, size_t *n_scored)
{
	size_t n = out->n;
	int rc;

	*n_scored = 0;
	if (r->continuation && *r->context)
		return of_pair(t, r, out, n_scored);
	if (r->continuation)
		return of_alone(t, r->continuation, out, n_scored);
	tokens_add(out, t->prefix);
	rc = encode(t, out, r->context, strlen(r->context));
	*n_scored = out->n - n - 1;
	return rc;
}
