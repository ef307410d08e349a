/* tokenizer_json.c: the text of a tokenizer.json, read quickly.
 *
 * Of the megabytes of such a file nearly all are model.vocab and model.merges, two lists as plain as lists can be. A
 * general reader makes an object of each of some hundred thousand strings, which is most of the time that loading takes.
 * So the two lists are read here, straight into arrays, and the general reader gets the file without them. Only what is
 * beyond doubt is read this way: at the first thing that is not (an escape of a surrogate, a number that is no plain
 * integer, a key twice, any error at all) the whole file goes to the general reader, and its answer counts. */
#include "base/base.h"

#include "model/tokenizer_int.h"

struct reader {
	const char *p, *end;
	char *pool; /* unescaped strings, each with a NUL; never more than the text */
	size_t n_pool;
	struct bpe_lists *lists;
	struct buf rest; /* the text without the two lists */
	const char *copied;
};

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
		r->p++;
}

static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* \uXXXX outside of the surrogates and not NUL; p is behind the u. */
static bool take_unicode(struct reader *r)
{
	uint32_t cp = 0;

	if (r->end - r->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = *r->p++;
		bool digit = c >= '0' && c <= '9';
		if (!digit && !((c | 32) >= 'a' && (c | 32) <= 'f'))
			return false;
		cp = cp << 4 | (uint32_t)(digit ? c - '0' : (c | 32) - 'a' + 10);
	}
	if (!cp || (cp >= 0xd800 && cp < 0xe000))
		return false;
	r->n_pool += utf8_put(r->pool + r->n_pool, cp);
	return true;
}

static bool take_escape(struct reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *hit;

	if (r->p == r->end || !*r->p)
		return false;
	if (*r->p == 'u') {
		r->p++;
		return take_unicode(r);
	}
	hit = strchr(from, *r->p++);
	if (hit)
		r->pool[r->n_pool++] = to[hit - from];
	return hit != NULL;
}

/* A string into the pool. */
static bool take_string(struct reader *r, const char **text, size_t *len)
{
	size_t start = r->n_pool;
	bool ascii = true;

	if (!take(r, '"'))
		return false;
	while (r->p < r->end && *r->p != '"') {
		uint8_t c = (uint8_t)*r->p++;
		if (c < 0x20 || (c == '\\' && !take_escape(r)))
			return false;
		ascii &= c < 0x80;
		if (c != '\\')
			r->pool[r->n_pool++] = (char)c;
	}
	if (r->p == r->end || (!ascii && !utf8_valid(r->pool + start, r->n_pool - start, NULL)))
		return false;
	r->p++;
	*text = r->pool + start;
	*len = r->n_pool - start;
	r->pool[r->n_pool++] = '\0';
	return true;
}

static bool take_id(struct reader *r, int64_t *id)
{
	const char *start;

	skip_space(r);
	start = r->p;
	for (*id = 0; r->p < r->end && *r->p >= '0' && *r->p <= '9' && r->p - start < 10; r->p++)
		*id = *id * 10 + (*r->p - '0');
	return r->p > start && !(*start == '0' && r->p - start > 1) && r->p < r->end &&
	       (*r->p == ',' || *r->p == '}' || *r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t');
}

static bool take_vocab(struct reader *r)
{
	struct bpe_lists *l = r->lists;

	if (l->vocab || !take(r, '{'))
		return false;
	do {
		MEM_GROW(l->vocab, l->n_vocab, l->cap_vocab);
		struct bpe_word *w = &l->vocab[l->n_vocab++];
		if (!take_string(r, &w->text, &w->len) || !take(r, ':') || !take_id(r, &w->id))
			return false;
	} while (take(r, ','));
	return take(r, '}');
}

static bool take_merges(struct reader *r)
{
	struct bpe_lists *l = r->lists;

	if (l->merges || !take(r, '['))
		return false;
	do {
		size_t len;
		MEM_GROW(l->merges, l->n_merges, l->cap_merges);
		struct bpe_merge *m = &l->merges[l->n_merges++];
		*m = (struct bpe_merge){ 0 };
		skip_space(r);
		if (r->p < r->end && *r->p == '"') {
			if (!take_string(r, &m->line, &len))
				return false;
		} else if (!take(r, '[') || !take_string(r, &m->left, &len) || !take(r, ',') ||
			   !take_string(r, &m->right, &len) || !take(r, ']')) {
			return false;
		}
	} while (take(r, ','));
	return take(r, ']');
}

/* Past a value of any kind; what it says is the general reader's to judge. */
static bool skip_value(struct reader *r)
{
	int depth = 0;

	skip_space(r);
	for (; r->p < r->end; r->p++) {
		char c = *r->p;
		if (!depth && (c == ',' || c == '}' || c == ']'))
			return true;
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
		if (c != '"')
			continue;
		for (r->p++; r->p < r->end && *r->p != '"'; r->p++)
			r->p += *r->p == '\\' && r->p + 1 < r->end;
		if (r->p == r->end)
			return false;
	}
	return false;
}

/* One of the two lists, with null in its place in the rest. */
static bool take_list(struct reader *r, bool (*list)(struct reader *r))
{
	skip_space(r);
	buf_add(&r->rest, r->copied, (size_t)(r->p - r->copied));
	buf_adds(&r->rest, "null");
	if (!list(r))
		return false;
	r->copied = r->p;
	return true;
}

static bool take_members(struct reader *r, bool inside)
{
	const char *key;
	size_t len;

	if (!take(r, '{'))
		return false;
	do {
		bool ok;
		if (!take_string(r, &key, &len) || !take(r, ':'))
			return false;
		if (!inside && !strcmp(key, "model"))
			ok = take_members(r, true);
		else if (inside && !strcmp(key, "vocab"))
			ok = take_list(r, take_vocab);
		else if (inside && !strcmp(key, "merges"))
			ok = take_list(r, take_merges);
		else
			ok = skip_value(r);
		if (!ok)
			return false;
	} while (take(r, ','));
	return take(r, '}');
}

static int read_quickly(json_t **root, struct bpe_lists *lists, const char *text, size_t len)
{
	struct reader r = { .p = text, .end = text + len, .copied = text, .lists = lists };
	int rc = ERR_INPUT;

	buf_init(&r.rest, BUF_NOLIMIT);
	lists->pool = r.pool = mem_alloc(len + 8);
	if (take_members(&r, false) && lists->vocab && lists->merges) {
		buf_add(&r.rest, r.copied, (size_t)(r.end - r.copied));
		rc = json_parse(root, buf_str(&r.rest), r.rest.len, "tokenizer.json");
	}
	buf_release(&r.rest);
	return rc;
}

/* The lists out of what the general reader made; borrowed from it. */
static void lists_from(struct bpe_lists *l, const json_t *model)
{
	const json_t *merges = json_object_get(model, "merges");
	const char *text;
	json_t *value;

	json_object_foreach(json_object_get(model, "vocab"), text, value)
	{
		MEM_GROW(l->vocab, l->n_vocab, l->cap_vocab);
		l->vocab[l->n_vocab++] = (struct bpe_word){ text, strlen(text),
							    json_is_integer(value) ? json_integer_value(value) : -1 };
	}
	l->no_merges = !json_is_array(merges);
	for (size_t i = 0; i < json_array_size(merges); i++) {
		const json_t *m = json_array_get(merges, i);
		struct bpe_merge made = { .line = json_string_value(m) };
		if (json_array_size(m) == 2) {
			made.left = json_string_value(json_array_get(m, 0));
			made.right = json_string_value(json_array_get(m, 1));
		}
		MEM_GROW(l->merges, l->n_merges, l->cap_merges);
		l->merges[l->n_merges++] = made;
	}
}

void bpe_lists_release(struct bpe_lists *l)
{
	free(l->vocab);
	free(l->merges);
	free(l->pool);
	memset(l, 0, sizeof(*l));
}

int tokenizer_json_read(json_t **root, struct bpe_lists *lists, const char *text, size_t len, const char *name)
{
	int rc;

	memset(lists, 0, sizeof(*lists));
	if (!read_quickly(root, lists, text, len))
		return 0;
	bpe_lists_release(lists);
	rc = json_parse(root, text, len, name);
	if (!rc)
		lists_from(lists, json_object_get(*root, "model"));
	return rc;
}
