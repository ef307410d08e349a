/* tokenizer_train.c: a byte-level BPE learnt from texts.
 *
 * Texts are cut into pieces by GPT-2's pattern; equal pieces are counted once. The vocabulary begins with the special
 * tokens and the 256 bytes (in the order of their characters); then the pair of neighbouring symbols that occurs most
 * often becomes a token, again and again. Counts are kept up to date from the pieces that a merge touches, so the cost
 * of a merge is that of the pieces it occurs in.
 *
 * The result is that of the tokenizers library's BpeTrainer with its own default of min_frequency 0 (a pair that
 * occurs once is merged, if the size leaves room): ties go to the smaller pair of ids. Two of its ways are kept because
 * the vocabulary depends on them:
 *	- an entry of the queue carries the pieces it was made for. A pair that comes up again later (its parts were made
 *	  twice: ab+c and a+bc are one token) has several entries, each merging its own pieces, and then stands in the
 *	  list of merges more than once;
 *	- the count of a pair is not lowered for its own merge, only by what its neighbours lose. "aaa" has (a,a) twice.
 * The library pops entries of one pair and one count in the order of a randomly seeded table; here it is that of their
 * making. So equal input gives equal bytes. */
#include "base/base.h"

#include "model/tokenizer_int.h"

struct piece {
	uint32_t start, n; /* symbols, in train.symbols */
	uint64_t count;
};

struct places { /* indexes of pieces, rising */
	uint32_t *at;
	size_t n, cap;
};

struct pair {
	uint32_t left, right;
	int64_t count;
	struct places fresh; /* pieces where it was made since it was last queued */
	bool touched;        /* fresh is not empty */
};

struct entry {
	uint64_t count, seq;
	uint32_t pair;
	struct places places;
};

struct train {
	struct vocab vocab;
	struct map pieces_by_text;
	struct piece *pieces;
	size_t n_pieces, cap_pieces;
	uint32_t *symbols;
	size_t n_symbols, cap_symbols;
	struct pair *pairs;
	size_t n_pairs, cap_pairs;
	uint32_t *slots; /* of pairs: index + 1, 0 for free */
	size_t mask;
	uint32_t *touched;
	size_t n_touched, cap_touched;
	struct entry *heap;
	size_t n_heap, cap_heap;
	uint64_t seq;
	uint32_t (*merges)[2];
	size_t n_merges, cap_merges;
	uint32_t byte_id[256];
};

/* ---- counting pieces ---------------------------------------------------------------------------------------------- */

static int count_piece(void *arg, const char *text, size_t len)
{
	struct train *t = arg;
	int64_t at;

	if (map_get(&t->pieces_by_text, text, len, &at)) {
		t->pieces[at].count++;
		return 0;
	}
	if (t->n_symbols + len > UINT32_MAX)
		return err_set(ERR_INPUT, "the text to train a tokenizer on has more than 4 GB of different words");
	map_put(&t->pieces_by_text, text, len, (int64_t)t->n_pieces);
	MEM_GROW(t->pieces, t->n_pieces, t->cap_pieces);
	t->pieces[t->n_pieces++] = (struct piece){ (uint32_t)t->n_symbols, (uint32_t)len, 1 };
	for (size_t i = 0; i < len; i++) {
		MEM_GROW(t->symbols, t->n_symbols, t->cap_symbols);
		t->symbols[t->n_symbols++] = t->byte_id[(uint8_t)text[i]];
	}
	return 0;
}

static int count_texts(struct train *t, const char *const *texts, const size_t *lens, size_t n)
{
	struct pre pre = { .n = 1, .byte_level = true, .steps = { { .behavior = SPLIT_ISOLATED } } };
	struct onig_scratch *search = onig_scratch_new();
	struct buf repaired = BUF_INIT(3 * TOKENIZER_MAX_TEXT);
	int rc = onig_new(&pre.steps[0].pattern, ONIG_GPT2, strlen(ONIG_GPT2), false, "tokenizer train");

	for (size_t i = 0; i < n && !rc; i++) {
		const char *text = texts[i];
		size_t len = lens[i];
		if (len > TOKENIZER_MAX_TEXT) {
			rc = err_set(ERR_INPUT, "text %zu to train a tokenizer on is longer than %zu bytes", i,
				     TOKENIZER_MAX_TEXT);
			break;
		}
		if (!utf8_valid(text, len, NULL)) {
			buf_clear(&repaired);
			utf8_repair(&repaired, text, len);
			text = buf_str(&repaired);
			len = repaired.len;
		}
		rc = pre_split(&pre, search, text, len, true, count_piece, t);
	}
	buf_release(&repaired);
	onig_scratch_free(search);
	pre_release(&pre);
	return rc;
}

/* ---- pairs -------------------------------------------------------------------------------------------------------- */

static size_t pair_hash(uint32_t left, uint32_t right)
{
	uint64_t x = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;

	return (size_t)(x ^ x >> 29);
}

static void slots_grow(struct train *t)
{
	size_t n = t->mask ? 2 * (t->mask + 1) : 1024;

	free(t->slots);
	t->slots = mem_array(n, sizeof(*t->slots));
	t->mask = n - 1;
	for (size_t i = 0; i < t->n_pairs; i++) {
		size_t at = pair_hash(t->pairs[i].left, t->pairs[i].right) & t->mask;
		while (t->slots[at])
			at = (at + 1) & t->mask;
		t->slots[at] = (uint32_t)i + 1;
	}
}

static uint32_t pair_index(struct train *t, uint32_t left, uint32_t right)
{
	size_t at;

	if (2 * t->n_pairs >= t->mask)
		slots_grow(t);
	at = pair_hash(left, right) & t->mask;
	while (t->slots[at]) {
		const struct pair *p = &t->pairs[t->slots[at] - 1];
		if (p->left == left && p->right == right)
			return t->slots[at] - 1;
		at = (at + 1) & t->mask;
	}
	MEM_GROW(t->pairs, t->n_pairs, t->cap_pairs);
	t->pairs[t->n_pairs] = (struct pair){ .left = left, .right = right };
	t->slots[at] = (uint32_t)++t->n_pairs;
	return (uint32_t)t->n_pairs - 1;
}

/* A pair occurs once more (sign 1) or once less (-1) in a piece. */
static void pair_change(struct train *t, uint32_t left, uint32_t right, int sign, uint32_t piece)
{
	uint32_t index = pair_index(t, left, right);
	struct pair *p = &t->pairs[index];

	p->count += sign * (int64_t)t->pieces[piece].count;
	if (sign < 0 || (p->fresh.n && p->fresh.at[p->fresh.n - 1] == piece))
		return;
	if (!p->touched) {
		p->touched = true;
		MEM_GROW(t->touched, t->n_touched, t->cap_touched);
		t->touched[t->n_touched++] = index;
	}
	MEM_GROW(p->fresh.at, p->fresh.n, p->fresh.cap);
	p->fresh.at[p->fresh.n++] = piece;
}

/* ---- the queue ---------------------------------------------------------------------------------------------------- */

static bool entry_before(const struct train *t, const struct entry *a, const struct entry *b)
{
	const struct pair *p = &t->pairs[a->pair], *q = &t->pairs[b->pair];

	if (a->count != b->count)
		return a->count > b->count;
	if (p->left != q->left)
		return p->left < q->left;
	if (p->right != q->right)
		return p->right < q->right;
	return a->seq < b->seq;
}

static void queue_push(struct train *t, struct entry e)
{
	size_t i = t->n_heap;

	MEM_GROW(t->heap, t->n_heap, t->cap_heap);
	t->n_heap++;
	for (; i > 0 && entry_before(t, &e, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
		t->heap[i] = t->heap[(i - 1) / 2];
	t->heap[i] = e;
}

static struct entry queue_pop(struct train *t)
{
	struct entry top = t->heap[0], e = t->heap[--t->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < t->n_heap) {
		if (child + 1 < t->n_heap && entry_before(t, &t->heap[child + 1], &t->heap[child]))
			child++;
		if (!entry_before(t, &t->heap[child], &e))
			break;
		t->heap[i] = t->heap[child];
		i = child;
	}
	t->heap[i] = e;
	return top;
}

/* Queues every pair that was made since the last time. */
static void queue_touched(struct train *t)
{
	for (size_t i = 0; i < t->n_touched; i++) {
		struct pair *p = &t->pairs[t->touched[i]];
		if (p->count > 0)
			queue_push(t, (struct entry){ (uint64_t)p->count, t->seq++, t->touched[i], p->fresh });
		else
			free(p->fresh.at);
		p->fresh = (struct places){ NULL, 0, 0 };
		p->touched = false;
	}
	t->n_touched = 0;
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

/* Replaces the pair in one piece, from the left, and keeps the counts of its neighbours. */
static void merge_piece(struct train *t, uint32_t index, uint32_t left, uint32_t right, uint32_t made)
{
	struct piece *p = &t->pieces[index];
	uint32_t *s = t->symbols + p->start;
	uint32_t in = 0, out = 0;

	while (in < p->n) {
		if (s[in] != left || in + 1 >= p->n || s[in + 1] != right) {
			s[out++] = s[in++];
			continue;
		}
		if (out > 0) {
			pair_change(t, s[out - 1], left, -1, index);
			pair_change(t, s[out - 1], made, 1, index);
		}
		in += 2;
		if (in < p->n) {
			pair_change(t, right, s[in], -1, index);
			pair_change(t, made, s[in], 1, index);
		}
		s[out++] = made;
	}
	p->n = out;
}

static uint32_t token_made(struct train *t, uint32_t left, uint32_t right)
{
	char *text = mem_printf("%s%s", t->vocab.texts[left], t->vocab.texts[right]);
	int32_t id = vocab_id(&t->vocab, text, strlen(text));

	if (id < 0) {
		id = t->vocab.n;
		vocab_add(&t->vocab, text, strlen(text));
	}
	free(text);
	return (uint32_t)id;
}

static void merge_all(struct train *t, int32_t size)
{
	for (uint32_t i = 0; i < t->n_pieces; i++) {
		const uint32_t *s = t->symbols + t->pieces[i].start;
		for (uint32_t k = 0; k + 1 < t->pieces[i].n; k++)
			pair_change(t, s[k], s[k + 1], 1, i);
	}
	queue_touched(t);
	while (t->vocab.n < size && t->n_heap) {
		struct entry top = queue_pop(t);
		uint32_t left = t->pairs[top.pair].left, right = t->pairs[top.pair].right, made;
		if (top.count != (uint64_t)t->pairs[top.pair].count) {
			top.count = (uint64_t)t->pairs[top.pair].count;
			queue_push(t, top);
			continue;
		}
		if (top.count < 1) {
			free(top.places.at);
			break;
		}
		made = token_made(t, left, right);
		MEM_GROW(t->merges, t->n_merges, t->cap_merges);
		t->merges[t->n_merges][0] = left;
		t->merges[t->n_merges++][1] = right;
		for (size_t i = 0; i < top.places.n; i++)
			merge_piece(t, top.places.at[i], left, right, made);
		free(top.places.at);
		queue_touched(t);
	}
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static json_t *byte_level_stage(bool prefix_space)
{
	return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", prefix_space, "trim_offsets",
			 1, "use_regex", 1);
}

static json_t *special_list(const struct train *t, const char *const *special)
{
	json_t *list = json_array();

	for (size_t i = 0; special && special[i]; i++)
		json_array_append_new(list, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
						      (int)vocab_id(&t->vocab, special[i], strlen(special[i])),
						      "content", special[i], "single_word", 0, "lstrip", 0, "rstrip", 0,
						      "normalized", 0, "special", 1));
	return list;
}

static json_t *model_object(const struct train *t)
{
	json_t *vocab = json_object(), *merges = json_array();

	for (int32_t i = 0; i < t->vocab.n; i++)
		json_object_set_new(vocab, t->vocab.texts[i], json_integer(i));
	for (size_t i = 0; i < t->n_merges; i++)
		json_array_append_new(
			merges, json_pack("[s, s]", t->vocab.texts[t->merges[i][0]], t->vocab.texts[t->merges[i][1]]));
	return json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
			 "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
			 "ignore_merges", 0, "vocab", vocab, "merges", merges);
}

static void write_file(const struct train *t, const char *const *special, struct buf *out)
{
	json_t *root = json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation",
				 "padding", "added_tokens", special_list(t, special), "normalizer", "pre_tokenizer",
				 byte_level_stage(false), "post_processor", "decoder", byte_level_stage(true), "model",
				 model_object(t));

	json_add_pretty(out, root);
	json_decref(root);
}

static int add_special(struct train *t, const char *const *special)
{
	for (size_t i = 0; special && special[i]; i++) {
		size_t len = strlen(special[i]);
		if (!len || len > TOKENIZER_ADDED_LEN || i == TOKENIZER_MAX_ADDED || !utf8_valid(special[i], len, NULL))
			return err_set(ERR_INPUT, "special token %zu: 1 to %d bytes of UTF-8 are wanted", i + 1,
				       TOKENIZER_ADDED_LEN);
		if (vocab_id(&t->vocab, special[i], len) >= 0)
			return err_set(ERR_INPUT, "special token \"%s\" is there twice", special[i]);
		vocab_add(&t->vocab, special[i], len);
	}
	return 0;
}

/* The 256 bytes by the order of their characters; one that is a special token already keeps that id. */
static void add_alphabet(struct train *t)
{
	for (uint32_t cp = 0; cp < 0x180; cp++) {
		int byte = byte_alphabet_byte(cp);
		char utf8[4];
		size_t len = utf8_put(utf8, cp);
		if (byte < 0)
			continue;
		if (vocab_id(&t->vocab, utf8, len) < 0)
			vocab_add(&t->vocab, utf8, len);
		t->byte_id[byte] = (uint32_t)vocab_id(&t->vocab, utf8, len);
	}
}

static void train_release(struct train *t)
{
	for (size_t i = 0; i < t->n_heap; i++)
		free(t->heap[i].places.at);
	for (size_t i = 0; i < t->n_pairs; i++)
		free(t->pairs[i].fresh.at);
	vocab_release(&t->vocab);
	map_release(&t->pieces_by_text);
	free(t->pieces);
	free(t->symbols);
	free(t->pairs);
	free(t->slots);
	free(t->touched);
	free(t->heap);
	free(t->merges);
}

int tokenizer_train(struct buf *json, const char *const *texts, const size_t *lens, size_t n,
		    const struct tokenizer_train *how)
{
	struct train t = { 0 };
	int rc;

	map_init(&t.vocab.ids);
	map_init(&t.pieces_by_text);
	rc = add_special(&t, how->special);
	if (rc)
		goto out;
	add_alphabet(&t);
	if (how->vocab_size < t.vocab.n || how->vocab_size > TOKENIZER_MAX_IDS) {
		rc = err_set(
			ERR_INPUT,
			"a vocabulary of %d is asked for; the bytes and special tokens alone are %d, the most is %d",
			how->vocab_size, t.vocab.n, TOKENIZER_MAX_IDS);
		goto out;
	}
	rc = count_texts(&t, texts, lens, n);
	if (rc)
		goto out;
	merge_all(&t, how->vocab_size);
	write_file(&t, how->special, json);
	if (buf_full(json))
		rc = err_set(ERR_INPUT, "the trained tokenizer.json is larger than its buffer");
out:
	train_release(&t);
	return rc;
}
