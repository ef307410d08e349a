/* test_tokenizer.c: tokenizer.json read as the tokenizers library reads it (golden ids from that library, see
 * tests/golden/make_tokenizer.py), and what is refused. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "model/model.h"
#include "model/tokenizer_int.h"

#define GOLDEN "tests/golden/tokenizer/"

static json_t *read_golden(const char *path)
{
	json_t *root = NULL;

	assert_int_equal(json_read(&root, path, 1 << 24), 0);
	return root;
}

static struct tokenizer *load_json(const json_t *root)
{
	struct tokenizer *t = NULL;
	struct buf text = BUF_INIT(1 << 24);

	json_add(&text, root);
	if (tokenizer_parse(&t, buf_str(&text), text.len, "tokenizer.json"))
		fail_msg("%s", err_text());
	buf_release(&text);
	return t;
}

/* The trained tokenizer with the members of a variant, the added tokens of the first one, and its ignore_merges. */
static struct tokenizer *load_variant(const json_t *base, const json_t *cases, size_t i)
{
	json_t *root = json_deep_copy(base);
	const json_t *variants = json_object_get(cases, "variants"), *v = json_array_get(variants, i);
	struct tokenizer *t;

	json_object_set(root, "added_tokens",
			json_object_get(json_object_get(json_array_get(variants, 0), "patch"), "added_tokens"));
	json_object_update(root, json_object_get(v, "patch"));
	json_object_set(json_object_get(root, "model"), "ignore_merges", json_object_get(v, "ignore_merges"));
	t = load_json(root);
	json_decref(root);
	return t;
}

static void check_ids(const struct tokenizer *t, const json_t *text, const json_t *want, const char *variant)
{
	struct tokens got = { 0 };
	bool same;

	assert_int_equal(tokenizer_encode(t, &got, json_string_value(text), json_string_length(text), true), 0);
	same = got.n == json_array_size(want);
	for (size_t k = 0; same && k < got.n; k++)
		same = got.ids[k] == json_integer_value(json_array_get(want, k));
	if (!same)
		fail_msg("%s: other ids for \"%s\"", variant, json_string_value(text));
	tokens_release(&got);
}

static void test_tokenizer_encode__golden_ids(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json"), *cases = read_golden(GOLDEN "cases.json"), *v, *text;
	size_t i, k = 0;

	json_array_foreach(json_object_get(cases, "variants"), i, v)
	{
		struct tokenizer *t = load_variant(base, cases, i);
		json_array_foreach(json_object_get(cases, "texts"), k, text)
			check_ids(t, text, json_array_get(json_object_get(v, "ids"), k), json_get_text(v, "name", ""));
		tokenizer_free(t);
	}
	assert_true(i >= 15 && k >= 48);
	json_decref(base);
	json_decref(cases);
}

static void test_tokenizer_decode__golden_texts(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json"), *cases = read_golden(GOLDEN "cases.json"), *text;
	const json_t *v = json_array_get(json_object_get(cases, "variants"), 0),
		     *decoded = json_object_get(v, "decoded");
	struct tokenizer *t = load_variant(base, cases, 0);
	size_t k;

	json_array_foreach(json_object_get(cases, "texts"), k, text)
	{
		struct tokens ids = { 0 };
		assert_int_equal(tokenizer_encode(t, &ids, json_string_value(text), json_string_length(text), true), 0);
		for (int skip = 0; skip < 2; skip++) {
			struct buf out = BUF_INIT(1 << 20);
			tokenizer_decode(t, &out, ids.ids, ids.n, skip);
			assert_string_equal(buf_str(&out), json_string_value(json_array_get(
								   json_array_get(decoded, (size_t)skip), k)));
			buf_release(&out);
		}
		tokens_release(&ids);
	}
	tokenizer_free(t);
	json_decref(base);
	json_decref(cases);
}

static bool swept(uint32_t c)
{
	return !((c >= 0xd800 && c < 0xe000) || (c > 0xe0200 && c < 0x10fff0) || (c > 0x4f00 && c < 0x9f00) ||
		 (c > 0xad00 && c < 0xd700));
}

static uint64_t sweep_add(const struct tokenizer *t, const struct buf *text, uint64_t h)
{
	struct tokens ids = { 0 };

	assert_int_equal(tokenizer_encode(t, &ids, buf_str(text), text->len, false), 0);
	for (size_t k = 0; k < ids.n; k++)
		for (int shift = 0; shift < 32; shift += 8)
			h = (h ^ ((uint32_t)ids.ids[k] >> shift & 0xff)) * 0x100000001b3u;
	tokens_release(&ids);
	return h;
}

/* Every code point that the big uniform blocks do not hold, in the company of a space, a letter or a digit. */
static uint64_t sweep(const struct tokenizer *t)
{
	struct buf text = BUF_INIT(1 << 20);
	uint64_t h = 0xcbf29ce484222325u;
	int n = 0;

	for (uint32_t c = 0x20; c < 0x110000; c++) {
		char utf8[4];
		if (!swept(c))
			continue;
		buf_add(&text, utf8, utf8_put(utf8, c));
		buf_addc(&text, " a1"[c % 3]);
		if (++n % 3000)
			continue;
		h = sweep_add(t, &text, h);
		buf_clear(&text);
	}
	if (text.len)
		h = sweep_add(t, &text, h);
	buf_release(&text);
	return h;
}

static void test_tokenizer_encode__every_code_point_as_the_library(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json"), *cases = read_golden(GOLDEN "cases.json"), *v;
	int n = 0;
	size_t i;

	json_array_foreach(json_object_get(cases, "variants"), i, v)
	{
		const char *want = json_get_text(v, "sweep", NULL);
		struct tokenizer *t;
		char got[17];
		if (!want)
			continue;
		t = load_variant(base, cases, i);
		snprintf(got, sizeof(got), "%016llx", (unsigned long long)sweep(t));
		assert_string_equal(got, want);
		tokenizer_free(t);
		n++;
	}
	assert_int_equal(n, 2);
	json_decref(base);
	json_decref(cases);
}

static void test_tokenizer_encode__special_is_what_the_post_processor_adds(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json"), *cases = read_golden(GOLDEN "cases.json");
	struct tokenizer *t = load_variant(base, cases, 7); /* deepseek: one before, one behind */
	struct tokens with = { 0 }, without = { 0 };

	assert_int_equal(tokenizer_encode(t, &with, "abc", 3, true), 0);
	assert_int_equal(tokenizer_encode(t, &without, "abc", 3, false), 0);
	assert_int_equal(with.n, without.n + 2);
	assert_int_equal(with.ids[0], tokenizer_id(t, "<|im_start|>"));
	assert_int_equal(with.ids[with.n - 1], tokenizer_id(t, "<|im_end|>"));
	assert_memory_equal(with.ids + 1, without.ids, without.n * sizeof(*without.ids));
	tokens_release(&with);
	tokens_release(&without);
	tokenizer_free(t);
	json_decref(base);
	json_decref(cases);
}

static void test_tokenizer_encode__invalid_utf8_is_u_fffd(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json");
	struct tokenizer *t = load_json(base);
	struct tokens bad = { 0 }, good = { 0 };
	struct buf out = BUF_INIT(1 << 10);

	assert_int_equal(tokenizer_encode(t, &bad, "a\xff\xe4\xb8 b\xed\xa0\x80", 9, true), 0);
	assert_int_equal(tokenizer_encode(t, &good, "a\ufffd\ufffd b\ufffd\ufffd\ufffd", 18, true), 0);
	assert_int_equal(bad.n, good.n);
	assert_memory_equal(bad.ids, good.ids, good.n * sizeof(*good.ids));
	/* Adds behind what is there; ids that nobody has are dropped; half a character is U+FFFD. */
	buf_adds(&out, "x");
	tokenizer_decode(t, &out, (int32_t[]){ -1, 1 << 20, bad.ids[0], tokenizer_id(t, "ä") }, 4, false);
	assert_string_equal(buf_str(&out), "xa\ufffd");
	buf_release(&out);
	tokens_release(&bad);
	tokens_release(&good);
	tokenizer_free(t);
	json_decref(base);
}

static void test_tokenizer_encode__null_bytes_and_round_trip(void **state)
{
	(void)state;
	static const char text[] = "a\0b \0\0 the\0 banana";
	json_t *base = read_golden(GOLDEN "trained.json");
	struct tokenizer *t = load_json(base);
	struct tokens ids = { 0 };
	struct buf out = BUF_INIT(1 << 10);

	assert_int_equal(tokenizer_encode(t, &ids, text, sizeof(text) - 1, true), 0);
	tokenizer_decode(t, &out, ids.ids, ids.n, true);
	assert_int_equal(out.len, sizeof(text) - 1);
	assert_memory_equal(out.data, text, sizeof(text) - 1);
	buf_release(&out);
	tokens_release(&ids);
	tokenizer_free(t);
	json_decref(base);
}

/* A megabyte without a border: quadratic work would take minutes, and the ids must still be right. */
static void test_tokenizer_encode__one_long_word(void **state)
{
	(void)state;
	static const char *const what[] = { "a", " ", "banana", "ab" };
	const size_t len = 1 << 20;
	json_t *base = read_golden(GOLDEN "trained.json");
	struct tokenizer *t = load_json(base);
	char *text = mem_alloc(len + 1);

	for (size_t i = 0; i < ARRAY_LEN(what); i++) {
		struct tokens ids = { 0 };
		struct buf out = BUF_INIT(BUF_NOLIMIT);
		for (size_t k = 0; k < len; k++)
			text[k] = what[i][k % strlen(what[i])];
		assert_int_equal(tokenizer_encode(t, &ids, text, len, true), 0);
		assert_true(ids.n > 0 && ids.n <= len);
		if (i == 2)
			assert_true(ids.n < len * 3 / 4);
		tokenizer_decode(t, &out, ids.ids, ids.n, true);
		assert_int_equal(out.len, len);
		assert_memory_equal(out.data, text, len);
		buf_release(&out);
		tokens_release(&ids);
	}
	free(text);
	tokenizer_free(t);
	json_decref(base);
}

static void test_bpe_piece__heap_and_array_agree(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json");
	struct vocab v = { 0 };
	struct bpe b = { 0 };
	struct bpe_lists lists;
	struct buf text = BUF_INIT(1 << 20);
	json_t *root = NULL;
	struct bpe_scratch s = { 0 };
	struct rng r;

	map_init(&v.ids);
	rng_seed(&r, 11, 0);
	json_add(&text, base);
	assert_int_equal(tokenizer_json_read(&root, &lists, buf_str(&text), text.len, "x"), 0);
	assert_int_equal(bpe_parse(&b, &v, json_object_get(root, "model"), &lists, true, "x"), 0);
	for (int i = 0; i < 20000; i++) {
		static const char letters[] = "aaabbcnntheio \xc3\xa9";
		struct tokens with = { 0 }, without = { 0 };
		char piece[64];
		size_t n = 1 + (size_t)rng_below(&r, 39);
		for (size_t k = 0; k < n; k++)
			piece[k] = letters[rng_below(&r, sizeof(letters) - 1)];
		bpe_piece(&b, &s, &with, piece, n, true);
		bpe_piece(&b, &s, &without, piece, n, false);
		assert_int_equal(with.n, without.n);
		assert_memory_equal(with.ids, without.ids, with.n * sizeof(*with.ids));
		tokens_release(&with);
		tokens_release(&without);
	}
	bpe_scratch_release(&s);
	bpe_release(&b);
	vocab_release(&v);
	bpe_lists_release(&lists);
	buf_release(&text);
	json_decref(root);
	json_decref(base);
}

/* ---- the kinds of kinds.json: SentencePiece, normalizers, decoders --------------------------------------------------- */

static struct tokenizer *load_kind(const json_t *kind)
{
	json_t *root = read_golden(!strcmp(json_get_text(kind, "base", ""), "spm") ? GOLDEN "spm.json"
										   : GOLDEN "trained.json");
	struct tokenizer *t;

	json_object_update(root, json_object_get(kind, "patch"));
	json_object_update(json_object_get(root, "model"), json_object_get(kind, "model"));
	t = load_json(root);
	json_decref(root);
	return t;
}

static void check_encoded(const struct tokenizer *t, const json_t *text, const json_t *want, bool special,
			  const char *kind)
{
	struct tokens got = { 0 };
	bool same;

	assert_int_equal(tokenizer_encode(t, &got, json_string_value(text), json_string_length(text), special), 0);
	same = got.n == json_array_size(want);
	for (size_t k = 0; same && k < got.n; k++)
		same = got.ids[k] == json_integer_value(json_array_get(want, k));
	if (!same)
		fail_msg("%s: other ids for \"%s\"", kind, json_string_value(text));
	tokens_release(&got);
}

/* Whole, and id by id: what is given is never taken back, never half a character, and is the same in the end. */
static void check_decoded(const struct tokenizer *t, const json_t *ids, const json_t *want, bool skip, const char *kind)
{
	struct tokenizer_stream *s = tokenizer_stream_new(t, skip);
	struct buf whole = BUF_INIT(1 << 20), parts = BUF_INIT(1 << 20);
	struct tokens list = { 0 };

	for (size_t k = 0; k < json_array_size(ids); k++)
		tokens_add(&list, (int32_t)json_integer_value(json_array_get(ids, k)));
	tokenizer_decode(t, &whole, list.ids, list.n, skip);
	if (whole.len != json_string_length(want) || memcmp(buf_str(&whole), json_string_value(want), whole.len) != 0)
		fail_msg("%s: \"%s\" instead of \"%s\"", kind, buf_str(&whole), json_string_value(want));
	for (int round = 0; round < 2; round++) { /* the stream begins anew behind finish */
		buf_clear(&parts);
		for (size_t k = 0; k < list.n; k++) {
			tokenizer_stream_add(s, &parts, list.ids[k]);
			assert_true(utf8_valid(buf_str(&parts), parts.len, NULL));
			assert_true(parts.len <= whole.len && !memcmp(buf_str(&parts), buf_str(&whole), parts.len));
		}
		tokenizer_stream_finish(s, &parts);
		assert_int_equal(parts.len, whole.len);
		assert_memory_equal(buf_str(&parts), buf_str(&whole), whole.len);
	}
	tokenizer_stream_free(s);
	tokens_release(&list);
	buf_release(&whole);
	buf_release(&parts);
}

static void test_tokenizer__golden_kinds(void **state)
{
	(void)state;
	json_t *root = read_golden(GOLDEN "kinds.json"), *kind;
	const json_t *texts = json_object_get(root, "texts");
	size_t i, n = json_array_size(texts);

	json_array_foreach(json_object_get(root, "kinds"), i, kind)
	{
		struct tokenizer *t = load_kind(kind);
		const json_t *ids = json_object_get(kind, "ids"), *plain = json_object_get(kind, "plain");
		const char *name = json_get_text(kind, "name", "");
		for (size_t k = 0; k < n; k++)
			check_encoded(t, json_array_get(texts, k), json_array_get(ids, k), true, name);
		for (size_t k = n - json_array_size(plain); k < n; k++)
			check_encoded(t, json_array_get(texts, k),
				      json_array_get(plain, k + json_array_size(plain) - n), false, name);
		for (size_t skip = 0; skip < 2; skip++) {
			const json_t *decoded = json_array_get(json_object_get(kind, "decoded"), skip);
			size_t from = n - json_array_size(decoded);
			assert_true(from < n);
			for (size_t k = from; k < n; k++)
				check_decoded(t, json_array_get(ids, k), json_array_get(decoded, k - from), skip, name);
		}
		tokenizer_free(t);
	}
	assert_true(i >= 20 && n >= 30);
	json_decref(root);
}

/* Text comes with the id that makes it certain: bytes of a character with the last one, <0xHH> when the run ends. */
static void test_tokenizer_stream__gives_text_as_soon_as_it_is_certain(void **state)
{
	(void)state;
	json_t *trained = read_golden(GOLDEN "trained.json"), *spm = read_golden(GOLDEN "spm.json");
	struct tokenizer *t = load_json(trained), *l = load_json(spm);
	struct tokenizer_stream *s = tokenizer_stream_new(t, true), *ls = tokenizer_stream_new(l, true);
	struct buf out = BUF_INIT(100);
	char spelt[3][8];
	static const uint8_t bytes[] = { 0xe6, 0xa8, 0xa1 };

	for (size_t i = 0; i < 3; i++) {
		spelt[i][utf8_put(spelt[i], byte_alphabet_char(bytes[i]))] = '\0';
		assert_int_equal(out.len, 0);
		tokenizer_stream_add(s, &out, tokenizer_id(t, spelt[i]));
	}
	assert_string_equal(buf_str(&out), "\xe6\xa8\xa1");
	tokenizer_stream_add(s, &out, tokenizer_id(t, spelt[0]));
	assert_int_equal(out.len, 3);
	tokenizer_stream_finish(s, &out);
	assert_string_equal(buf_str(&out), "\xe6\xa8\xa1\ufffd");
	buf_clear(&out);
	tokenizer_stream_add(ls, &out, tokenizer_id(l, "<s>"));
	tokenizer_stream_add(ls, &out, tokenizer_id(l, "\u2581"));
	assert_string_equal(buf_str(&out), ""); /* the first space goes */
	for (int i = 0; i < 3; i++)
		tokenizer_stream_add(ls, &out, tokenizer_id(l, ((const char *[]){ "<0xE6>", "<0xA8>", "<0xA1>" })[i]));
	assert_string_equal(buf_str(&out), ""); /* a further byte might still spoil the run */
	tokenizer_stream_add(ls, &out, tokenizer_id(l, "a"));
	assert_string_equal(buf_str(&out), "\xe6\xa8\xa1"
					   "a");
	buf_release(&out);
	tokenizer_stream_free(s);
	tokenizer_stream_free(ls);
	tokenizer_free(t);
	tokenizer_free(l);
	json_decref(trained);
	json_decref(spm);
}

/* A document is one word here: a megabyte, with and without places to cut it, and marks that have to be sorted. */
static void test_tokenizer_encode__one_long_document(void **state)
{
	(void)state;
	static const char *const what[] = { "a", " ", "the model ", "\xcc\x81\xcc\xa3", "\xe6\xa8\xa1" };
	const size_t len = 1 << 20;
	json_t *root = read_golden(GOLDEN "spm.json");
	char *text = mem_alloc(len + 1);

	for (int nfc = 0; nfc < 2; nfc++) {
		struct tokenizer *t;
		json_t *form = json_pack("{s:s}", "type", "NFC");
		if (nfc)
			json_object_set(root, "normalizer", form);
		json_decref(form);
		t = load_json(root);
		for (size_t i = 0; i < ARRAY_LEN(what); i++) {
			size_t n = len / strlen(what[i]) * strlen(what[i]);
			struct tokens ids = { 0 };
			for (size_t k = 0; k < n; k++)
				text[k] = what[i][k % strlen(what[i])];
			assert_int_equal(tokenizer_encode(t, &ids, text, n, true), 0);
			assert_true(ids.n > 1 && ids.n <= n + 2);
			tokens_release(&ids);
		}
		tokenizer_free(t);
	}
	free(text);
	json_decref(root);
}

static void test_tokenizer__texts_and_ids(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json");
	struct tokenizer *t = load_json(base);

	assert_int_equal(tokenizer_size(t), 700);
	assert_int_equal(tokenizer_id(t, "<|endoftext|>"), 0);
	assert_int_equal(tokenizer_id(t, "nobody"), -1);
	assert_string_equal(tokenizer_text(t, 1), "<|im_start|>");
	assert_null(tokenizer_text(t, 700));
	assert_null(tokenizer_text(t, -1));
	tokenizer_free(t);
	json_decref(base);
}

static void test_tokenizer_load__folder_file_or_error(void **state)
{
	(void)state;
	struct tokenizer *t = NULL;
	char *dir = NULL, *path;
	struct buf text = BUF_INIT(1 << 20);

	assert_int_equal(fs_temp_dir(&dir, getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", "tokenizer"), 0);
	assert_int_equal(tokenizer_load(&t, dir), ERR_INPUT);
	assert_non_null(strstr(err_text(), "tokenizer.json: no such file"));
	path = path_join(dir, "tokenizer.json");
	assert_int_equal(fs_read(&text, GOLDEN "trained.json", 1 << 20), 0);
	assert_int_equal(fs_write(path, text.data, text.len), 0);
	assert_int_equal(tokenizer_load(&t, dir), 0);
	tokenizer_free(t);
	assert_int_equal(tokenizer_load(&t, path), 0);
	tokenizer_free(t);
	assert_int_equal(fs_write(path, text.data, text.len / 2), 0);
	assert_int_equal(tokenizer_load(&t, path), ERR_INPUT);
	assert_int_equal(fs_remove_tree(dir), 0);
	buf_release(&text);
	free(path);
	free(dir);
}

struct refusal {
	const char *patch, *says;
};

/* The two long lists of the file are read by hand where they are plain, else by the general reader: the same. */
static void test_tokenizer_json_read__both_readers_agree(void **state)
{
	(void)state;
	static const char file[] =
		"{ \"model\" : {\"type\":\"BPE\",\n \"vocab\": {\"a\":0 ,\"\\u00e9\\n\\\"\\\\\\/\" : 1, \"]}\":2,"
		"\"\u2581\": 3%s}, \"x\":[{\"vocab\":{\"b\":0}},\"}\\\"\"], \"merges\": [\"a b\", "
		"[\"\\t\",\"\\b\"] , [\"c\", \"\"]]}, \"y\": -1e3 }";
	struct bpe_lists l[2];
	json_t *root[2] = { NULL, NULL };

	for (int i = 0; i < 2; i++) {
		char *text = mem_printf(file, i ? ",\"\\ud83d\\ude00\":4" : "");
		assert_int_equal(tokenizer_json_read(&root[i], &l[i], text, strlen(text), "x"), 0);
		assert_int_equal(l[i].pool != NULL, !i);
		assert_int_equal(l[i].n_vocab, 4 + i);
		assert_int_equal(l[i].n_merges, 3);
		assert_int_equal(json_get_int(root[i], "y", 0), 0);
		assert_int_equal(json_object_size(json_object_get(root[i], "model")), 4);
		free(text);
	}
	for (size_t k = 0; k < 4; k++) {
		assert_string_equal(l[0].vocab[k].text, l[1].vocab[k].text);
		assert_int_equal(l[0].vocab[k].id, l[1].vocab[k].id);
		assert_int_equal(l[0].vocab[k].len, strlen(l[1].vocab[k].text));
	}
	assert_string_equal(l[0].vocab[1].text, "\xc3\xa9\n\"\\/");
	assert_string_equal(l[0].merges[0].line, l[1].merges[0].line);
	for (size_t k = 1; k < 3; k++) {
		assert_string_equal(l[0].merges[k].left, l[1].merges[k].left);
		assert_string_equal(l[0].merges[k].right, l[1].merges[k].right);
	}
	for (int i = 0; i < 2; i++) {
		bpe_lists_release(&l[i]);
		json_decref(root[i]);
	}
}

/* What is not JSON is said with its place in the whole file, wherever it stands. */
static void test_tokenizer_parse__not_json(void **state)
{
	(void)state;
	static const struct refusal cases[] = {
		{ "", "x:1:" },
		{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"a\": 1}, \"merges\": [\"a a\"]}}",
		  "x: model.vocab: \"a\" is there twice" },
		{ "{\"model\": {\"vocab\": {\"a\": 00}, \"merges\": [\"a a\"]}}", "x:1:27: not JSON" },
		{ "{\"model\": {\"vocab\": {\"a\xff\": 0}, \"merges\": [\"a a\"]}}", "not JSON" },
		{ "{\"model\": {\"vocab\": {\"a\": 0},\n \"merges\": [\"a a\"]}, \"y\": tru}", "x:2:" },
		{ "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a a\"]}, \"model\": {}}", "duplicate" },
		{ "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a a\"", "not JSON" },
		{ "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a a\"]}} x", "not JSON" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tokenizer *t = NULL;
		char *typed = mem_str(cases[i].patch);
		assert_int_equal(tokenizer_parse(&t, typed, strlen(typed), "x"), ERR_INPUT);
		if (!strstr(err_text(), cases[i].says))
			fail_msg("\"%s\" instead of \"%s\"", err_text(), cases[i].says);
		free(typed);
	}
}

/* What a hostile or foreign file gets: the error, with the field. */
static const struct refusal refusals[] = {
	{ "{\"version\": \"2.0\"}", "version: 2.0 is not supported yet" },
	{ "{\"model\": null}", "model: an object with a type" },
	{ "{\"model\": {\"type\": \"Unigram\"}}", "model.type: Unigram is not supported yet" },
	{ "{\"normalizer\": {\"type\": \"Nmt\"}}", "normalizer.type: Nmt is not supported yet" },
	{ "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Precompiled\"}]}}",
	  "normalizer.type: Precompiled is not supported yet" },
	{ "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [null]}}", "an object with a type" },
	{ "{\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}}}", "Replace wants a pattern" },
	{ "{\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(a\"}, \"content\": \"\"}}",
	  "normalizer: bad pattern" },
	{ "{\"decoder\": {\"type\": \"WordPiece\"}}", "decoder.type: WordPiece is not supported yet" },
	{ "{\"decoder\": {\"type\": \"Strip\", \"content\": \"ab\", \"start\": 1, \"stop\": 0}}", "one character" },
	{ "{\"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"__\"}}", "Metaspace wants" },
	{ "{\"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"often\"}}", "Metaspace wants" },
	{ "{\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}}",
	  "pre_tokenizer: BertPreTokenizer is not supported yet" },
	{ "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": "
	  "\"Digits\"}]}}",
	  "pre_tokenizer[1]: a step behind ByteLevel" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\p{N}{1,3}+\"}, \"behavior\": "
	  "\"Isolated\"}}",
	  "the pattern uses \"{1,3}+\"" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a.c\"}, \"behavior\": \"Isolated\"}}",
	  "the pattern uses \".\"" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a*\"}, \"behavior\": \"Isolated\"}}",
	  "matches the empty text" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a\"}, \"behavior\": \"Isolated\"}}",
	  "bad pattern" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?i:ss)\"}, \"behavior\": "
	  "\"Isolated\"}}",
	  "(?i:" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+\"}, \"behavior\": "
	  "\"Isolated\"}}",
	  "\\w" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Isolated\"}}",
	  "1 to" },
	{ "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"Odd\"}}",
	  "behavior: \"Odd\"" },
	{ "{\"post_processor\": {\"type\": \"BertProcessing\"}}", "post_processor.cls: a token and its id" },
	{ "{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": []}}", "the Sequence A is wanted once" },
	{ "{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\"}}]}}",
	  "no ids for \"x\"" },
	{ "{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\"}}],"
	  "\"special_tokens\": {\"x\": {\"ids\": [70000]}}}}",
	  "not in the vocabulary" },
	{ "{\"added_tokens\": [{\"id\": 5, \"content\": \"<|endoftext|>\"}]}",
	  "says id 5, but by the vocabulary it is 0" },
	{ "{\"added_tokens\": [{\"id\": 701, \"content\": \"<new>\"}]}",
	  "says id 701, but by the vocabulary it is 700" },
	{ "{\"added_tokens\": [{\"content\": \"<new>\"}]}", "an id and a content are wanted" },
	{ "{\"added_tokens\": [{\"id\": 0, \"content\": \"<|endoftext|>\"}, {\"id\": 0, \"content\": "
	  "\"<|endoftext|>\"}]}",
	  "there twice" },
	{ "{\"added_tokens\": 3}", "added_tokens: a list is wanted" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}", "have the same id 0" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 2}, \"merges\": []}}",
	  "the id of \"b\" is not in 0..1" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}}", "the id of \"a\"" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0.5}, \"merges\": []}}", "the id of \"a\"" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}", "model.vocab" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b\"]}}",
	  "merges[0]: \"ab\" is not in" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [[\"a\", \"zz\"]]}}",
	  "merges[0]: \"zz\" is not in" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b c\"]}}",
	  "two tokens are wanted" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [3]}}",
	  "two tokens are wanted" },
	{ "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}}}", "model.merges: a list" },
	{ "{\"model\": {\"type\": \"BPE\", \"dropout\": 0.1, \"vocab\": {\"a\": 0}, \"merges\": []}}",
	  "model.dropout" },
	{ "{\"model\": {\"type\": \"BPE\", \"continuing_subword_prefix\": \"####\", \"vocab\": {\"a\": 0}, \"merges\": "
	  "[\"a a\"]}}",
	  "without the prefix" },
	{ "{\"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"vocab\": {\"a\": 0}, \"merges\": []}}",
	  "model.unk_token" },
};

static void test_tokenizer_parse__refuses_by_field(void **state)
{
	(void)state;
	json_t *base = read_golden(GOLDEN "trained.json");

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		json_t *root = json_deep_copy(base), *patch = NULL;
		struct tokenizer *t = NULL;
		struct buf text = BUF_INIT(1 << 20);
		assert_int_equal(json_parse(&patch, refusals[i].patch, strlen(refusals[i].patch), "patch"), 0);
		json_object_update(root, patch);
		json_add(&text, root);
		assert_int_equal(tokenizer_parse(&t, buf_str(&text), text.len, "tokenizer.json"), ERR_INPUT);
		assert_null(t);
		if (!strstr(err_text(), refusals[i].says) || strncmp(err_text(), "tokenizer.json", 14) != 0)
			fail_msg("\"%s\" instead of \"%s\"", err_text(), refusals[i].says);
		buf_release(&text);
		json_decref(patch);
		json_decref(root);
	}
	json_decref(base);
}

/* Bytes that the vocabulary lacks: dropped, or the unknown token, one for a run of them where fuse_unk says so. */
static void test_tokenizer_encode__unknown_bytes(void **state)
{
	(void)state;
	static const char file[] =
		"{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"decoder\": null,"
		"\"model\": {\"type\": \"BPE\", %s \"vocab\": {\"?\": 0, \"a\": 1, \"aa\": 2},"
		"\"merges\": [\"#version: 0.2\", \"a a\"]}}";
	static const struct {
		const char *options, *ids;
	} cases[] = { { "", "2 1 " },
		      { "\"unk_token\": \"?\",", "2 0 0 1 " },
		      { "\"unk_token\": \"?\", \"fuse_unk\": true,", "2 0 1 " } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = mem_printf(file, cases[i].options);
		struct tokenizer *t = NULL;
		struct tokens ids = { 0 };
		struct buf out = BUF_INIT(100);
		assert_int_equal(tokenizer_parse(&t, text, strlen(text), "x"), 0);
		assert_int_equal(tokenizer_encode(t, &ids, "aaxya", 5, true), 0);
		for (size_t k = 0; k < ids.n; k++)
			buf_addf(&out, "%d ", ids.ids[k]);
		assert_string_equal(buf_str(&out), cases[i].ids);
		buf_clear(&out);
		tokenizer_decode(t, &out, ids.ids, 2, true); /* without a decoder: joined by spaces */
		assert_string_equal(buf_str(&out), i ? "aa ?" : "aa a");
		buf_release(&out);
		tokens_release(&ids);
		tokenizer_free(t);
		free(text);
	}
}

/* What a text begins with: the tokenizer's own BOS, else its EOS, as the folder's files name them. */
static void test_tokenizer_load__prefix_of_a_folder(void **state)
{
	(void)state;
	static const struct {
		const char *config, *map, *prefix; /* files of the folder, NULL: absent; NULL: no prefix */
	} cases[] = {
		{ NULL, NULL, NULL },
		{ "{\"bos_token\": \"a\", \"eos_token\": \"b\"}", NULL, "a" },
		{ "{\"bos_token\": null, \"eos_token\": \"b\"}", NULL, "b" },
		{ "{\"bos_token\": {\"content\": \"c\"}}", NULL, "c" },
		{ "{\"eos_token\": \"b\"}", "{\"bos_token\": \"d\"}", "d" },
		{ "{\"bos_token\": \"no such token\", \"eos_token\": 7}", NULL, NULL },
	};
	char dir[] = "/tmp/assay-test-XXXXXX";
	struct buf text = BUF_INIT(1 << 20);
	assert_non_null(mkdtemp(dir));
	char *json = path_join(dir, "tokenizer.json"), *config = path_join(dir, "tokenizer_config.json"),
	     *map = path_join(dir, "special_tokens_map.json");
	assert_int_equal(fs_read(&text, GOLDEN "trained.json", 1 << 20), 0);
	assert_int_equal(fs_write(json, text.data, text.len), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tokenizer *t = NULL;
		remove(config);
		remove(map);
		if (cases[i].config)
			assert_int_equal(fs_write(config, cases[i].config, strlen(cases[i].config)), 0);
		if (cases[i].map)
			assert_int_equal(fs_write(map, cases[i].map, strlen(cases[i].map)), 0);
		assert_int_equal(tokenizer_load(&t, dir), 0);
		assert_int_equal(tokenizer_prefix(t), cases[i].prefix ? tokenizer_id(t, cases[i].prefix) : -1);
		assert_true(!cases[i].prefix || tokenizer_prefix(t) >= 0);
		tokenizer_free(t);
	}
	struct tokenizer *t = NULL;
	assert_int_equal(fs_write(config, "{", 1), 0);
	assert_int_equal(tokenizer_load(&t, dir), ERR_INPUT);
	assert_null(t);
	err_clear();
	buf_release(&text);
	remove(json);
	remove(config);
	remove(map);
	remove(dir);
	free(json);
	free(config);
	free(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokenizer_load__prefix_of_a_folder),
		cmocka_unit_test(test_tokenizer_encode__golden_ids),
		cmocka_unit_test(test_tokenizer_decode__golden_texts),
		cmocka_unit_test(test_tokenizer_encode__every_code_point_as_the_library),
		cmocka_unit_test(test_tokenizer_encode__special_is_what_the_post_processor_adds),
		cmocka_unit_test(test_tokenizer_encode__invalid_utf8_is_u_fffd),
		cmocka_unit_test(test_tokenizer_encode__null_bytes_and_round_trip),
		cmocka_unit_test(test_tokenizer_encode__one_long_word),
		cmocka_unit_test(test_bpe_piece__heap_and_array_agree),
		cmocka_unit_test(test_tokenizer__golden_kinds),
		cmocka_unit_test(test_tokenizer_stream__gives_text_as_soon_as_it_is_certain),
		cmocka_unit_test(test_tokenizer_encode__one_long_document),
		cmocka_unit_test(test_tokenizer__texts_and_ids),
		cmocka_unit_test(test_tokenizer_load__folder_file_or_error),
		cmocka_unit_test(test_tokenizer_json_read__both_readers_agree),
		cmocka_unit_test(test_tokenizer_parse__not_json),
		cmocka_unit_test(test_tokenizer_parse__refuses_by_field),
		cmocka_unit_test(test_tokenizer_encode__unknown_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
