/* remote_tokenizer.c: the tokenizer of a served model, where its location names a folder that has it: then what is scored goes
 * to the server as ids, by the same rules as for the local engine, and nothing is told by texts; and so does a prompt that would be
 * too long for the server. */
#include "base/base.h"

#include <ctype.h>

#include "runner/remote_int.h"

int remote_tokenizer_open(struct remote_tokenizer **out, const struct location *l)
{
	struct remote_tokenizer *t = mem_alloc(sizeof(*t));
	int32_t prefix;
	int rc;

	*out = NULL;
	*t = (struct remote_tokenizer){ 0 };
	rc = tokenizer_load(&t->tok, l->tokenizer);
	if (rc) {
		free(t);
		if (rc == ERR_NOTFOUND)
			rc = err_set(ERR_INPUT, "%s", err_text());
		return err_context(rc, "location %s: tokenizer", l->name);
	}
	prefix = l->bos ? tokenizer_id(t->tok, l->bos) : tokenizer_prefix(t->tok);
	if (l->bos && prefix < 0) {
		remote_tokenizer_close(t);
		return err_set(ERR_INPUT, "location %s: bos: %s is no token of the tokenizer in %s", l->name, l->bos,
			       l->tokenizer);
	}
	t->has_prefix = prefix >= 0;
	t->ids = text_ids_new(t->tok, prefix);
	*out = t;
	return 0;
}

void remote_tokenizer_close(struct remote_tokenizer *t)
{
	if (!t)
		return;
	text_ids_free(t->ids);
	tokenizer_free(t->tok);
	free(t);
}

int remote_tokenizer_ids(struct tokens *out, size_t *n_scored, const struct location *l,
			 const struct remote_tokenizer *t, const struct loglik_request *q)
{
	const struct text_request r = { q->context, q->continuation };
	bool bare = !q->continuation || !utf8_stripped(q->context, strlen(q->context));

	if (bare && !t->has_prefix)
		return logprob_no_first(l);
	return text_ids_add(t->ids, &r, out, n_scored);
}

int remote_tokenizer_prompt(struct tokens *out, const struct remote_tokenizer *t, const char *prompt)
{
	return tokenizer_encode(t->tok, out, prompt, strlen(prompt), true);
}

/* What the text of a word is whoever writes it: without the mark of a space in front of it, or of a word's end behind it. *len: of
 * letters and digits alone; 0: it is something else. */
static const char *plain_word(const char *s, size_t *len)
{
	static const char *const marks[] = { " ", "\xc4\xa0", "\xe2\x96\x81" }; /* Ġ ▁ */
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (strncmp(s, marks[i], strlen(marks[i])) == 0) {
			s += strlen(marks[i]);
			break;
		}
	while (isalnum((unsigned char)s[n]) && (unsigned char)s[n] < 0x80)
		n++;
	*len = !s[n] || strcmp(s + n, "</w>") == 0 ? n : 0;
	return s;
}

bool remote_tokenizer_agrees(const struct remote_tokenizer *t, int32_t id, const char *text)
{
	struct buf own = BUF_INIT(BUF_NOLIMIT);
	size_t a_len, b_len;
	const char *a, *b;
	bool same;

	if (strncmp(text, "token_id:", 9) == 0) /* vLLM's return_tokens_as_token_ids */
		return strtol(text + 9, NULL, 10) == id;
	tokenizer_decode(t->tok, &own, &id, 1, false);
	a = plain_word(buf_str(&own), &a_len);
	b = plain_word(text, &b_len);
	same = !a_len || !*text || (a_len == b_len && memcmp(a, b, a_len) == 0);
	buf_release(&own);
	return same;
}
