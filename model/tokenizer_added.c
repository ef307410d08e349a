/* tokenizer_added.c: tokens that stand outside the model: special ones (<|im_end|>) and others added to a vocabulary.
 *
 * They are looked for in the raw text (normalized: false), and then, in what is left, in the normalized text. The
 * search is leftmost-longest over bytes by a trie; matches do not overlap. A match that single_word rejects still uses
 * its text up: nothing shorter is tried there. lstrip and rstrip widen a match over white space, lstrip not past the
 * token before. All as the tokenizers library does it, oddities included: what rstrip swallows may still hold the
 * beginning of the next match.
 *
 * A normalized token is decoded as the normalizer makes it (the library since 0.23).
 *
 * The id in the file is not used by the library: an id is that of the vocabulary, or the next free one in file order.
 * A file that says otherwise was made by something else, and is refused. */
#include "base/base.h"

#include "model/tokenizer_int.h"

bool is_white_space(uint32_t c)
{
	return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Where the character before at begins. */
static size_t step_back(const char *text, size_t at)
{
	do
		at--;
	while (at > 0 && ((uint8_t)text[at] & 0xc0) == 0x80);
	return at;
}

/* ---- the trie ----------------------------------------------------------------------------------------------------- */

static uint32_t node_new(struct added_trie *t, uint8_t byte)
{
	MEM_GROW(t->nodes, t->n, t->cap);
	t->nodes[t->n] = (struct added_node){ 0, 0, -1, byte };
	return (uint32_t)t->n++;
}

static uint32_t node_child(const struct added_trie *t, uint32_t node, uint8_t byte)
{
	uint32_t child = node ? t->nodes[node].child : t->first[byte];

	while (child && t->nodes[child].byte != byte)
		child = t->nodes[child].sibling;
	return child;
}

static void trie_add(struct added_trie *t, const char *text, size_t len, int32_t token)
{
	uint32_t node = 0;

	if (!t->n)
		node_new(t, 0);
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)text[i];
		uint32_t child = node_child(t, node, byte);
		if (!child) {
			child = node_new(t, byte);
			if (node) {
				t->nodes[child].sibling = t->nodes[node].child;
				t->nodes[node].child = child;
			} else {
				t->first[byte] = child;
			}
		}
		node = child;
	}
	t->nodes[node].token = token;
}

/* The longest token that stands at text; -1 for none. */
static int32_t trie_match(const struct added_trie *t, const char *text, size_t len, size_t *used)
{
	int32_t token = -1;
	uint32_t node = 0;

	for (size_t i = 0; i < len; i++) {
		node = node_child(t, node, (uint8_t)text[i]);
		if (!node)
			break;
		if (t->nodes[node].token >= 0) {
			token = t->nodes[node].token;
			*used = i + 1;
		}
	}
	return token;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* The content as the normalizer makes it: what stands in the text that is searched. */
static int add_normalized(struct added *a, char **shown, const struct normalize *n, const char *content, size_t len)
{
	struct onig_scratch *search = onig_scratch_new();
	struct buf text = BUF_INIT(1 << 20);
	int rc = normalize_run(n, search, &text, content, len);

	if (!rc && text.len)
		trie_add(&a->normal, text.data, text.len, (int32_t)a->n);
	if (!rc)
		*shown = mem_str(buf_str(&text));
	buf_release(&text);
	onig_scratch_free(search);
	return rc;
}

static int parse_token(struct added *a, struct vocab *v, const json_t *node, size_t at, const struct normalize *n,
		       const char *name)
{
	const char *content = json_get_text(node, "content", NULL);
	size_t len = content ? strlen(content) : 0;
	struct added_token t = { 0 };
	int64_t stated = json_get_int(node, "id", -1);

	if (!content || stated < 0)
		return err_set(ERR_INPUT, "%s: added_tokens[%zu]: an id and a content are wanted", name, at);
	if (!len)
		return 0; /* the library passes over these */
	if (len > TOKENIZER_ADDED_LEN)
		return err_set(ERR_INPUT, "%s: added_tokens[%zu]: longer than %d bytes", name, at, TOKENIZER_ADDED_LEN);
	t.id = vocab_id(v, content, len);
	if (t.id < 0) {
		vocab_add(v, content, len);
		t.id = v->n - 1;
	}
	if (t.id != stated)
		return err_set(ERR_INPUT, "%s: added_tokens[%zu]: \"%s\" says id %lld, but by the vocabulary it is %d",
			       name, at, content, (long long)stated, t.id);
	for (size_t i = 0; i < a->n; i++)
		if (a->tokens[i].id == t.id)
			return err_set(ERR_INPUT, "%s: added_tokens[%zu]: \"%s\" is there twice", name, at, content);
	t.special = json_get_flag(node, "special", false);
	t.single_word = json_get_flag(node, "single_word", false);
	t.lstrip = json_get_flag(node, "lstrip", false);
	t.rstrip = json_get_flag(node, "rstrip", false);
	t.normalized = json_get_flag(node, "normalized", !t.special);
	MEM_GROW(a->tokens, a->n, a->cap);
	if (t.normalized && n->n) {
		int rc = add_normalized(a, &t.shown, n, content, len);
		if (rc)
			return rc;
	} else {
		trie_add(t.normalized ? &a->normal : &a->raw, content, len, (int32_t)a->n);
	}
	a->tokens[a->n++] = t;
	return 0;
}

int added_parse(struct added *a, struct vocab *v, const json_t *list, const struct normalize *norm, const char *name)
{
	size_t n = json_array_size(list);
	bool words = false;
	char *where;
	int rc = 0;

	if (list && !json_is_null(list) && !json_is_array(list))
		return err_set(ERR_INPUT, "%s: added_tokens: a list is wanted", name);
	if (n > TOKENIZER_MAX_ADDED)
		return err_set(ERR_INPUT, "%s: added_tokens: more than %d", name, TOKENIZER_MAX_ADDED);
	for (size_t i = 0; i < n && !rc; i++)
		rc = parse_token(a, v, json_array_get(list, i), i, norm, name);
	if (rc)
		return rc;
	a->special = mem_array((size_t)v->n + 1, sizeof(*a->special));
	a->shown = mem_array((size_t)v->n + 1, sizeof(*a->shown));
	for (size_t i = 0; i < a->n; i++) {
		a->special[a->tokens[i].id] = a->tokens[i].special;
		a->shown[a->tokens[i].id] = a->tokens[i].shown;
		words |= a->tokens[i].single_word;
	}
	if (!words)
		return 0;
	where = mem_printf("%s: added_tokens", name);
	rc = onig_new(&a->word, ONIG_WORD, strlen(ONIG_WORD), false, where);
	free(where);
	return rc;
}

void added_release(struct added *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->tokens[i].shown);
	free(a->tokens);
	free(a->shown);
	free(a->raw.nodes);
	free(a->normal.nodes);
	free(a->special);
	onig_free(a->word);
	memset(a, 0, sizeof(*a));
}

/* ---- searching ---------------------------------------------------------------------------------------------------- */

/* 1 if the character at `at` is of a word, 0 if not, or an error. */
static int is_word(const struct added *a, struct onig_scratch *s, const char *text, size_t len, size_t at)
{
	size_t used, start, end;

	utf8_next(text + at, len - at, &used);
	return onig_find(a->word, s, text + at, used, 0, &start, &end);
}

/* 1 if no word touches the match [start,end), 0 if one does, or an error. */
static int stands_alone(const struct added *a, struct onig_scratch *s, const char *text, size_t len, size_t start,
			size_t end)
{
	int before = 0, after = 0;

	if (start > 0)
		before = is_word(a, s, text, len, step_back(text, start));
	if (before < 0)
		return before;
	if (end < len)
		after = is_word(a, s, text, len, end);
	if (after < 0)
		return after;
	return !before && !after;
}

static size_t strip_left(const char *text, size_t start, size_t floor)
{
	while (start > floor) {
		size_t back = step_back(text, start), used;
		if (!is_white_space(utf8_next(text + back, start - back, &used)))
			break;
		start = back;
	}
	return start > floor ? start : floor;
}

static size_t strip_right(const char *text, size_t len, size_t end)
{
	size_t used;

	while (end < len && is_white_space(utf8_next(text + end, len - end, &used)))
		end += used;
	return end;
}

int added_split(const struct added *a, const struct added_trie *trie, struct onig_scratch *s, const char *text,
		size_t len, const struct added_sink *sink)
{
	size_t done = 0, at = 0, used = 0;
	int rc = 0;

	while (trie->n && at < len && !rc) {
		int32_t index = trie->first[(uint8_t)text[at]] ? trie_match(trie, text + at, len - at, &used) : -1;
		const struct added_token *t = index < 0 ? NULL : &a->tokens[index];
		size_t start = at, end = at + used;
		if (!t) {
			at++;
			continue;
		}
		at = end;
		if (t->single_word) {
			int alone = stands_alone(a, s, text, len, start, end);
			if (alone < 0)
				return alone;
			if (!alone)
				continue;
		}
		if (t->lstrip) /* at least to the end of the token before, even forward, as the library does */
			start = strip_left(text, start, done);
		if (t->rstrip)
			end = strip_right(text, len, end);
		if (done < start)
			rc = sink->text(sink->arg, text + done, start - done);
		if (!rc)
			rc = sink->token(sink->arg, t->id);
		done = end;
	}
	if (!rc && done != len)
		rc = sink->text(sink->arg, text + done, len - done);
	return rc;
}
