/* tokenizer_bpe.c: a piece of text to ids, by byte pair encoding.
 *
 * The piece begins as one symbol a byte (byte level), or a character (SentencePiece's kind: what the vocabulary lacks is
 * spelt as <0xHH> tokens where it has them). The pair of neighbours with the lowest rank, the leftmost of equals, becomes
 * one symbol; again, until no pair of neighbours is a merge. One merge at a time: the new symbol's pairs compete at
 * once. (Replacing all occurrences of a pair together is not the same for vocabularies derived from tiktoken's, where
 * a pair's rank may be below those of its parts.) So the outcome is a function of the piece alone.
 *
 * A short piece, which is nearly every one, is done on an array: n is small, finding the minimum is a run over a cache
 * line. A long piece (a megabyte without a space is legal input) uses a linked list and a heap of (rank, position),
 * n log n; an entry whose pair no longer stands there is dropped when it comes up. Both ways give the same ids; the
 * tests compare them. Merges are found by one open-addressed table keyed by the two ids.
 *
 * SentencePiece's kind has no pre-tokenizer: the piece is the whole text. Where no merge of the vocabulary joins a
 * character with a U+2581 behind it, which is looked up once at load, the text is cut there into words: the same ids,
 * from short pieces.
 *
 * What the vocabulary lacks becomes the unknown token, or is dropped where there is none, as the tokenizers library
 * does. */
#include "base/base.h"

#include "model/tokenizer_int.h"

enum { SHORT_PIECE = 40 };

/* ---- the byte alphabet -------------------------------------------------------------------------------------------- */

static bool prints_itself(uint32_t c)
{
	return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The hidden bytes are 00-20, 7f-a0 and ad, in that order from U+0100. */
uint32_t byte_alphabet_char(uint8_t byte)
{
	if (prints_itself(byte))
		return byte;
	return 0x100u + byte - (byte <= 0x20 ? 0 : byte <= 0xa0 ? 0x7f - 33 : 0xad - 67);
}

int byte_alphabet_byte(uint32_t cp)
{
	uint32_t hidden = cp - 0x100;

	if (prints_itself(cp))
		return (int)cp;
	if (cp < 0x100 || hidden > 67)
		return -1;
	return (int)(hidden < 33 ? hidden : hidden < 67 ? hidden + 0x7f - 33 : 0xad);
}

void byte_alphabet_spell(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char utf8[4];
		buf_add(out, utf8, utf8_put(utf8, byte_alphabet_char((uint8_t)text[i])));
	}
}

bool byte_alphabet_read(struct buf *out, const char *token, size_t len)
{
	size_t start = out->len, used;

	for (size_t i = 0; i < len; i += used) {
		uint8_t c = (uint8_t)token[i];
		int byte;
		used = 1;
		byte = c > ' ' && c < 0x7f ? c : byte_alphabet_byte(utf8_next(token + i, len - i, &used));
		if (byte < 0) {
			out->len = start;
			if (out->data)
				out->data[start] = '\0';
			return false;
		}
		buf_addc(out, (char)byte);
	}
	return true;
}

/* ---- vocabulary --------------------------------------------------------------------------------------------------- */

void vocab_release(struct vocab *v)
{
	for (int32_t i = 0; i < v->n; i++)
		free(v->texts[i]);
	free(v->texts);
	map_release(&v->ids);
	memset(v, 0, sizeof(*v));
}

int32_t vocab_id(const struct vocab *v, const char *text, size_t len)
{
	int64_t id;

	return map_get(&v->ids, text, len, &id) ? (int32_t)id : -1;
}

void vocab_add(struct vocab *v, const char *text, size_t len)
{
	MEM_GROW(v->texts, v->n, v->cap);
	map_put(&v->ids, text, len, v->n);
	v->texts[v->n++] = mem_strn(text, len);
}

static int vocab_parse(struct vocab *v, const struct bpe_lists *lists, const char *name)
{
	size_t n = lists->n_vocab;

	if (!n || n > TOKENIZER_MAX_IDS)
		return err_set(ERR_INPUT, "%s: model.vocab: an object with 1 to %d members is wanted", name,
			       TOKENIZER_MAX_IDS);
	v->texts = mem_array(n, sizeof(*v->texts));
	v->n = v->cap = (int32_t)n;
	for (size_t i = 0; i < n; i++) {
		const struct bpe_word *w = &lists->vocab[i];
		if (w->id < 0 || w->id >= (int64_t)n)
			return err_set(
				ERR_INPUT,
				"%s: model.vocab: the id of \"%s\" is not in 0..%zu (an id for each of %zu tokens)",
				name, w->text, n - 1, n);
		if (v->texts[w->id])
			return err_set(ERR_INPUT, "%s: model.vocab: \"%s\" and \"%s\" have the same id %d", name,
				       v->texts[w->id], w->text, (int)w->id);
		v->texts[w->id] = mem_strn(w->text, w->len);
		if (!map_put(&v->ids, w->text, w->len, w->id))
			return err_set(ERR_INPUT, "%s: model.vocab: \"%s\" is there twice", name, w->text);
	}
	return 0;
}

/* ---- merges ------------------------------------------------------------------------------------------------------- */

static size_t pair_hash(uint32_t left, uint32_t right)
{
	uint64_t x = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;

	return (size_t)(x ^ x >> 29);
}

static struct bpe_pair *pair_slot(const struct bpe *b, uint32_t left, uint32_t right)
{
	size_t i = pair_hash(left, right) & b->mask;

	while (b->pairs[i].rank >= 0 && (b->pairs[i].left != left || b->pairs[i].right != right))
		i = (i + 1) & b->mask;
	return &b->pairs[i];
}

/* The rank of a pair, or INT32_MAX. */
static inline int32_t pair_rank(const struct bpe *b, int32_t left, int32_t right)
{
	const struct bpe_pair *p = pair_slot(b, (uint32_t)left, (uint32_t)right);

	return p->rank >= 0 ? p->rank : INT32_MAX;
}

/* The two parts of a merge: ["a","b"], or "a b" of older files. */
static bool merge_parts(const struct bpe_merge *merge, const char **a, size_t *a_len, const char **b)
{
	const char *space;

	if (merge->left && merge->right) {
		*a = merge->left;
		*b = merge->right;
		*a_len = strlen(*a);
		return true;
	}
	*a = merge->line;
	space = *a ? strchr(*a, ' ') : NULL;
	if (!space || strchr(space + 1, ' '))
		return false;
	*a_len = (size_t)(space - *a);
	*b = space + 1;
	return true;
}

#define SPACE "\u2581"

static bool begins_with_space(const char *text)
{
	return !strncmp(text, SPACE, 3);
}

static bool ends_with_space(const char *text, size_t len)
{
	return len >= 3 && !memcmp(text + len - 3, SPACE, 3);
}

static int merge_add(struct bpe *b, const struct vocab *v, const struct bpe_merge *merge, struct buf *joined, size_t at,
		     const char *name)
{
	const char *left, *right;
	size_t left_len, skip = b->prefix ? strlen(b->prefix) : 0;
	int32_t l, r, id;
	struct bpe_pair *slot;

	if (!merge_parts(merge, &left, &left_len, &right))
		return err_set(ERR_INPUT, "%s: model.merges[%zu]: two tokens are wanted", name, at);
	if (skip > strlen(right)) /* cut at the length of the prefix, whatever stands there, as the library does */
		return err_set(ERR_INPUT, "%s: model.merges[%zu]: \"%s\" is without the prefix", name, at, right);
	buf_clear(joined);
	buf_add(joined, left, left_len);
	buf_adds(joined, right + skip);
	if (!utf8_valid(buf_str(joined), joined->len, NULL))
		return err_set(ERR_INPUT, "%s: model.merges[%zu]: \"%s\" is without the prefix", name, at, right);
	if (begins_with_space(right) && !ends_with_space(left, left_len))
		b->split_space = false;
	l = vocab_id(v, left, left_len);
	r = vocab_id(v, right, strlen(right));
	id = vocab_id(v, buf_str(joined), joined->len);
	if (l < 0)
		return err_set(ERR_INPUT, "%s: model.merges[%zu]: \"%.*s\" is not in model.vocab", name, at,
			       (int)left_len, left);
	if (r < 0 || id < 0)
		return err_set(ERR_INPUT, "%s: model.merges[%zu]: \"%s\" is not in model.vocab", name, at,
			       r < 0 ? right : buf_str(joined));
	slot = pair_slot(b, (uint32_t)l, (uint32_t)r);
	*slot = (struct bpe_pair){ (uint32_t)l, (uint32_t)r, b->n_merges, id }; /* of equal pairs the last counts */
	b->made[b->n_merges++] = id;
	return 0;
}

static int merges_parse(struct bpe *b, const struct vocab *v, const struct bpe_lists *lists, const char *name)
{
	struct buf joined = BUF_INIT(1 << 24);
	size_t n = lists->n_merges, slots = 16;
	int rc = 0;

	if (lists->no_merges || n > TOKENIZER_MAX_IDS)
		return err_set(ERR_INPUT, "%s: model.merges: a list of at most %d merges is wanted", name,
			       TOKENIZER_MAX_IDS);
	while (slots < 2 * n)
		slots *= 2;
	b->pairs = mem_array(slots, sizeof(*b->pairs));
	b->mask = slots - 1;
	for (size_t i = 0; i < slots; i++)
		b->pairs[i].rank = -1;
	b->made = mem_array(n + 1, sizeof(*b->made));
	for (size_t i = 0; i < n && !rc; i++) {
		const struct bpe_merge *merge = &lists->merges[i];
		if (merge->line && !strncmp(merge->line, "#version", 8))
			continue; /* the head line of an old merges.txt; takes no rank */
		rc = merge_add(b, v, merge, &joined, i, name);
	}
	buf_release(&joined);
	return rc;
}

/* ---- the model ---------------------------------------------------------------------------------------------------- */

static int parse_options(struct bpe *b, const struct vocab *v, const json_t *model, const char *name)
{
	const json_t *dropout = json_object_get(model, "dropout");
	const char *unk = json_get_text(model, "unk_token", "");
	const char *prefix = json_get_text(model, "continuing_subword_prefix", "");
	const char *suffix = json_get_text(model, "end_of_word_suffix", "");

	if (json_is_number(dropout) && json_number_value(dropout) != 0)
		return tokenizer_refuse(name, "model.dropout", "a random tokenization");
	if (strlen(prefix) + strlen(suffix) > 256)
		return err_set(ERR_INPUT, "%s: model: a prefix or suffix of a word is longer than 256 bytes", name);
	b->prefix = *prefix ? mem_str(prefix) : NULL;
	b->suffix = *suffix ? mem_str(suffix) : NULL;
	b->byte_fallback = json_get_flag(model, "byte_fallback", false);
	b->ignore_merges = json_get_flag(model, "ignore_merges", false);
	b->fuse_unk = json_get_flag(model, "fuse_unk", false);
	b->unk = *unk ? vocab_id(v, unk, strlen(unk)) : -1;
	if (*unk && b->unk < 0)
		return err_set(ERR_INPUT, "%s: model.unk_token: \"%s\" is not in model.vocab", name, unk);
	return 0;
}

/* Tables of what a piece begins with. */
static void index_symbols(struct bpe *b, const struct vocab *v)
{
	bool complete = true, falls = b->byte_fallback;

	for (int i = 0; i < 256; i++) {
		char utf8[4], hex[8];
		b->byte_id[i] = vocab_id(v, utf8, utf8_put(utf8, byte_alphabet_char((uint8_t)i)));
		complete &= b->byte_id[i] >= 0;
		snprintf(hex, sizeof(hex), "<0x%02X>", i);
		b->fallback[i] = vocab_id(v, hex, 6);
		falls &= b->fallback[i] >= 0;
	}
	for (uint32_t c = 0; c < ARRAY_LEN(b->char_id); c++) {
		char utf8[4];
		b->char_id[c] = vocab_id(v, utf8, utf8_put(utf8, c));
	}
	/* With every byte in the vocabulary there is nothing to fall back from. */
	/* Where a character may be dropped, those around it become neighbours: such a text is not cut. */
	b->split_space &= !b->ignore_merges && vocab_id(v, SPACE, 3) >= 0 && (b->unk >= 0 || falls);
	b->bytes = b->byte_level && !b->prefix && !b->suffix && (!b->byte_fallback || complete);
}

int bpe_parse(struct bpe *b, struct vocab *v, const json_t *model, const struct bpe_lists *lists, bool byte_level,
	      const char *name)
{
	struct buf bytes = BUF_INIT(1 << 24);
	int rc = vocab_parse(v, lists, name);

	map_init(&b->whole);
	b->vocab = v;
	b->byte_level = byte_level;
	if (!rc)
		rc = parse_options(b, v, model, name);
	b->split_space = !byte_level && !b->prefix && !b->suffix;
	if (!rc)
		rc = merges_parse(b, v, lists, name);
	if (rc)
		return rc;
	index_symbols(b, v);
	for (int32_t i = 0; b->ignore_merges && byte_level && i < v->n; i++) {
		buf_clear(&bytes);
		if (byte_alphabet_read(&bytes, v->texts[i], strlen(v->texts[i])) && bytes.len)
			map_put(&b->whole, bytes.data, bytes.len, i);
	}
	buf_release(&bytes);
	return 0;
}

void bpe_release(struct bpe *b)
{
	free(b->pairs);
	free(b->made);
	free(b->prefix);
	free(b->suffix);
	map_release(&b->whole);
	memset(b, 0, sizeof(*b));
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

void bpe_scratch_release(struct bpe_scratch *s)
{
	free(s->ids);
	free(s->prev);
	free(s->next);
	free(s->heap);
	buf_release(&s->spelt);
	memset(s, 0, sizeof(*s));
}

static void scratch_reserve(struct bpe_scratch *s, size_t n)
{
	if (n <= s->cap)
		return;
	s->cap = n + n / 2 + 64;
	s->ids = mem_resize(s->ids, mem_mul(s->cap, sizeof(*s->ids)));
	s->prev = mem_resize(s->prev, mem_mul(s->cap, sizeof(*s->prev)));
	s->next = mem_resize(s->next, mem_mul(s->cap, sizeof(*s->next)));
}

static size_t first_bytes(const struct bpe *b, int32_t *ids, const char *piece, size_t len)
{
	size_t n = 0;
	bool unknown = false;

	for (size_t i = 0; i < len; i++) {
		int32_t id = b->byte_id[(uint8_t)piece[i]];
		if (id >= 0)
			ids[n++] = id;
		else if (b->unk >= 0 && !(unknown && b->fuse_unk))
			ids[n++] = b->unk;
		unknown = id < 0;
	}
	return n;
}

/* A character with what a word's inside or end puts around it; -1: not in the vocabulary. */
static int32_t symbol_id(const struct bpe *b, const char *c, size_t len, bool first, bool last)
{
	const char *prefix = b->prefix && !first ? b->prefix : "", *suffix = b->suffix && last ? b->suffix : "";
	char text[300];

	if (!*prefix && !*suffix) {
		size_t used;
		uint32_t cp = utf8_next(c, len, &used);
		return cp < ARRAY_LEN(b->char_id) ? b->char_id[cp] : vocab_id(b->vocab, c, len);
	}
	return vocab_id(b->vocab, text, (size_t)snprintf(text, sizeof(text), "%s%.*s%s", prefix, (int)len, c, suffix));
}

/* Adds the bytes of a text as <0xHH> if all are in the vocabulary; returns how many, 0: not all. */
static size_t fall_back(const struct bpe *b, int32_t *ids, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		ids[i] = b->fallback[(uint8_t)text[i]];
		if (ids[i] < 0)
			return 0;
	}
	return len;
}

/* An unknown is held back until a known character comes, and bytes do not count as one: so the library has it. */
static size_t first_chars(const struct bpe *b, int32_t *ids, const char *piece, size_t len)
{
	bool unknown = false;
	size_t n = 0, used;

	for (size_t i = 0; i < len; i += used) {
		int32_t id;
		size_t bytes = 0;
		utf8_next(piece + i, len - i, &used);
		id = symbol_id(b, piece + i, used, i == 0, i + used == len);
		if (id >= 0) {
			if (unknown)
				ids[n++] = b->unk;
			unknown = false;
			ids[n++] = id;
			continue;
		}
		if (b->byte_fallback)
			bytes = fall_back(b, ids + n, piece + i, used);
		n += bytes;
		if (bytes || b->unk < 0)
			continue;
		if (unknown && !b->fuse_unk)
			ids[n++] = b->unk;
		unknown = true;
	}
	if (unknown)
		ids[n++] = b->unk;
	return n;
}

static size_t merge_short(const struct bpe *b, int32_t *ids, size_t n)
{
	int32_t rank[SHORT_PIECE];

	for (size_t i = 0; i + 1 < n; i++)
		rank[i] = pair_rank(b, ids[i], ids[i + 1]);
	while (n > 1) {
		size_t at = 0;
		for (size_t i = 1; i + 1 < n; i++)
			if (rank[i] < rank[at])
				at = i;
		if (rank[at] == INT32_MAX)
			break;
		ids[at] = b->made[rank[at]];
		n--;
		memmove(ids + at + 1, ids + at + 2, (n - at - 1) * sizeof(*ids));
		memmove(rank + at, rank + at + 1, (n - at - 1) * sizeof(*rank));
		if (at + 1 < n)
			rank[at] = pair_rank(b, ids[at], ids[at + 1]);
		if (at > 0)
			rank[at - 1] = pair_rank(b, ids[at - 1], ids[at]);
	}
	return n;
}

/* A heap of rank << 32 | position, the least on top. */
static void heap_push(struct bpe_scratch *s, uint64_t key)
{
	size_t i = s->heap_n;

	MEM_GROW(s->heap, s->heap_n, s->heap_cap);
	s->heap_n++;
	for (; i > 0 && s->heap[(i - 1) / 2] > key; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = key;
}

static uint64_t heap_pop(struct bpe_scratch *s)
{
	uint64_t top = s->heap[0], key = s->heap[--s->heap_n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < s->heap_n) {
		if (child + 1 < s->heap_n && s->heap[child + 1] < s->heap[child])
			child++;
		if (s->heap[child] >= key)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = key;
	return top;
}

static void heap_consider(const struct bpe *b, struct bpe_scratch *s, int32_t at)
{
	int32_t rank = s->next[at] < 0 ? INT32_MAX : pair_rank(b, s->ids[at], s->ids[s->next[at]]);

	if (rank != INT32_MAX)
		heap_push(s, (uint64_t)rank << 32 | (uint32_t)at);
}

static size_t merge_long(const struct bpe *b, struct bpe_scratch *s, size_t n)
{
	size_t left = 0;

	s->heap_n = 0;
	for (size_t i = 0; i < n; i++) {
		s->prev[i] = (int32_t)i - 1;
		s->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
	}
	for (size_t i = 0; i + 1 < n; i++)
		heap_consider(b, s, (int32_t)i);
	while (s->heap_n) {
		uint64_t key = heap_pop(s);
		int32_t at = (int32_t)(key & 0xffffffff), rank = (int32_t)(key >> 32), gone;
		/* Stale: swallowed by its left neighbour, or a pair that has changed since. */
		if (s->ids[at] < 0 || s->next[at] < 0 || pair_rank(b, s->ids[at], s->ids[s->next[at]]) != rank)
			continue;
		gone = s->next[at];
		s->ids[at] = b->made[rank];
		s->ids[gone] = -1;
		s->next[at] = s->next[gone];
		if (s->next[at] >= 0)
			s->prev[s->next[at]] = at;
		if (s->prev[at] >= 0)
			heap_consider(b, s, s->prev[at]);
		heap_consider(b, s, at);
	}
	for (size_t i = 0; i < n; i++)
		if (s->ids[i] >= 0)
			s->ids[left++] = s->ids[i];
	return left;
}

static void merge_piece(const struct bpe *b, struct bpe_scratch *s, struct tokens *out, const char *piece, size_t len,
			bool heap)
{
	size_t n;

	scratch_reserve(s, len + 4);
	n = b->bytes ? first_bytes(b, s->ids, piece, len) : first_chars(b, s->ids, piece, len);
	if (n > 1)
		n = n > SHORT_PIECE || heap ? merge_long(b, s, n) : merge_short(b, s->ids, n);
	for (size_t i = 0; i < n; i++)
		tokens_add(out, s->ids[i]);
}

/* The next place behind at where a U+2581 stands behind another character; len: none. */
static size_t next_word(const char *piece, size_t at, size_t len)
{
	for (size_t i = at + 1; i + 3 <= len; i++) {
		const char *hit = memchr(piece + i, SPACE[0], len - i - 2);
		if (!hit)
			break;
		i = (size_t)(hit - piece);
		if (!memcmp(hit, SPACE, 3) && !ends_with_space(piece + at, i - at))
			return i;
	}
	return len;
}

void bpe_piece(const struct bpe *b, struct bpe_scratch *s, struct tokens *out, const char *piece, size_t len, bool heap)
{
	int64_t whole;
	size_t next;

	if (b->ignore_merges && b->byte_level && map_get(&b->whole, piece, len, &whole)) {
		tokens_add(out, (int32_t)whole);
		return;
	}
	if (b->byte_level && !b->bytes) {
		if (!s->spelt.max)
			buf_init(&s->spelt, BUF_NOLIMIT);
		buf_clear(&s->spelt);
		byte_alphabet_spell(&s->spelt, piece, len);
		piece = buf_str(&s->spelt);
		len = s->spelt.len;
	} else if (b->ignore_merges && !b->byte_level && (next = (size_t)vocab_id(b->vocab, piece, len)) <= INT32_MAX) {
		tokens_add(out, (int32_t)next);
		return;
	}
	for (size_t at = 0; at < len; at = next) {
		next = b->split_space ? next_word(piece, at, len) : len;
		merge_piece(b, s, out, piece + at, next - at, heap);
	}
}
