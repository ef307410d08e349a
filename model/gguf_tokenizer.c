/* gguf_tokenizer.c: tokenizer.json as keys of a GGUF file.
 *
 * llama.cpp does not read rules of splitting, it knows some by name ("llama-bpe"). So the pre-tokenizer of the file is
 * compared with those whose name is known, and any other is refused: a wrong name would change the tokens silently.
 *
 * SentencePiece-style BPE ("llama") is merged by scores there and by ranks here: a token's score is minus the rank of the
 * merge that makes it, which gives the same order. */
#include "base/base.h"

#include "model/gguf_int.h"

#define FILE_MAX ((size_t)256 << 20)

enum token_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

struct tokens_out {
	const char **texts;
	char **owned; /* those that are made here */
	int32_t *types;
	float *scores;
	size_t n, n_owned;
};

/* ---- the name of the rules ----------------------------------------------------------------------------------------- */

#define LLAMA3                                                                                                         \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"       \
	"\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN2                                                                                                          \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"            \
	"\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char *type_of(const json_t *node)
{
	return json_get_text(node, "type", "");
}

static bool byte_level(const json_t *node, bool regex)
{
	return !strcmp(type_of(node), "ByteLevel") && json_get_flag(node, "use_regex", true) == regex &&
	       !json_get_flag(node, "add_prefix_space", true);
}

static bool splits_by(const json_t *node, const char *pattern)
{
	const char *regex = json_get_text(json_object_get(node, "pattern"), "Regex", "");

	return !strcmp(type_of(node), "Split") && !strcmp(regex, pattern) && !json_get_flag(node, "invert", false) &&
	       !strcmp(json_get_text(node, "behavior", ""), "Isolated");
}

/* llama.cpp's name for the rules; NULL: none is known. */
static const char *pre_name(const json_t *pre)
{
	const json_t *list = json_object_get(pre, "pretokenizers");
	const json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);

	if (byte_level(pre, true))
		return "gpt-2";
	if (strcmp(type_of(pre), "Sequence") != 0 || json_array_size(list) != 2)
		return NULL;
	if (splits_by(first, LLAMA3) && byte_level(second, false))
		return "llama-bpe";
	if (splits_by(first, QWEN2) && byte_level(second, false))
		return "qwen2";
	if (!strcmp(type_of(first), "Digits") && json_get_flag(first, "individual_digits", false) &&
	    byte_level(second, true))
		return "smollm";
	return NULL;
}

/* ---- tokens -------------------------------------------------------------------------------------------------------- */

static bool is_byte(const char *text)
{
	unsigned x;
	char end;

	return sscanf(text, "<0x%2X%c", &x, &end) == 2 && end == '>' && strlen(text) == 6;
}

static int add_vocab(struct tokens_out *t, const json_t *vocab, const char *unk, const char *name)
{
	const char *text;
	json_t *id;

	json_object_foreach((json_t *)(uintptr_t)vocab, text, id)
	{
		if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= (json_int_t)t->n)
			return err_set(ERR_INPUT, "%s: the id of \"%s\" is outside the model's vocabulary of %zu", name,
				       text, t->n);
		size_t i = (size_t)json_integer_value(id);
		t->texts[i] = text;
		t->types[i] = unk && !strcmp(text, unk) ? UNKNOWN : is_byte(text) ? BYTE : NORMAL;
	}
	return 0;
}

static int add_added(struct tokens_out *t, const json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *token = json_array_get(list, i);
		json_int_t id = json_get_int(token, "id", -1);
		const char *text = json_get_text(token, "content", NULL);
		if (!text || id < 0 || id >= (json_int_t)t->n)
			return err_set(ERR_INPUT, "%s: added_tokens[%zu]: no token of the model's vocabulary of %zu",
				       name, i, t->n);
		t->texts[id] = text;
		if (t->types[id] != UNKNOWN)
			t->types[id] = json_get_flag(token, "special", false) ? CONTROL : USER_DEFINED;
	}
	return 0;
}

static void fill_holes(struct tokens_out *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->texts[i])
			continue;
		t->texts[i] = t->owned[t->n_owned++] = mem_printf("[PAD%zu]", i);
		t->types[i] = UNUSED;
	}
}

/* "a b": a space inside a part is written as the byte alphabet writes it. Legacy lines come as they are. */
static char *merge_text(const json_t *merge)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	if (json_is_string(merge))
		return mem_str(json_string_value(merge));
	for (size_t i = 0; i < 2; i++) {
		const char *part = json_string_value(json_array_get(merge, i));
		if (i)
			buf_addc(&b, ' ');
		for (; part && *part; part++)
			*part == ' ' ? buf_adds(&b, "\u0120") : buf_addc(&b, *part);
	}
	return buf_take(&b);
}

static void add_scores(struct tokens_out *t, const json_t *vocab, const json_t *merges)
{
	for (size_t i = json_array_size(merges); i-- > 0;) { /* the first merge that makes a token counts */
		char *pair = merge_text(json_array_get(merges, i)), *space = strchr(pair, ' ');
		if (space) {
			memmove(space, space + 1, strlen(space));
			const json_t *id = json_object_get(vocab, pair);
			if (id)
				t->scores[json_integer_value(id)] = -(float)(i + 1);
		}
		free(pair);
	}
}

static void merge_keys(struct gguf_keys *k, const json_t *merges)
{
	size_t n = json_array_size(merges);
	char **texts = mem_array(n + 1, sizeof(*texts));

	for (size_t i = 0; i < n; i++)
		texts[i] = merge_text(json_array_get(merges, i));
	gguf_key_texts(k, "tokenizer.ggml.merges", (const char *const *)texts, n);
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

/* ---- what stands around a text --------------------------------------------------------------------------------------- */

/* Whether the post-processor puts a token before (or behind) the text. */
static bool adds_token(const json_t *post, bool before)
{
	const json_t *list = json_object_get(post, "processors"), *single = json_object_get(post, "single");
	size_t n = json_array_size(single);

	for (size_t i = 0; i < json_array_size(list); i++)
		if (adds_token(json_array_get(list, i), before))
			return true;
	return n && json_object_get(json_array_get(single, before ? 0 : n - 1), "SpecialToken");
}

static int template_key(struct gguf_keys *k, const char *dir)
{
	char *jinja = path_join(dir, "chat_template.jinja"), *config = path_join(dir, "tokenizer_config.json");
	struct buf text = BUF_INIT(1 << 24);
	json_t *doc = NULL;
	int rc = fs_read(&text, jinja, 1 << 24);

	if (rc == 0) {
		gguf_key_text(k, "tokenizer.chat_template", buf_str(&text));
	} else if (rc == ERR_NOTFOUND) {
		rc = fs_exists(config) ? json_read(&doc, config, 1 << 24) : 0;
		const char *t = json_get_text(doc, "chat_template", NULL);
		if (!rc && t)
			gguf_key_text(k, "tokenizer.chat_template", t);
	}
	json_decref(doc);
	buf_release(&text);
	free(jinja);
	free(config);
	return rc;
}

static void special_keys(struct gguf_keys *k, const struct model *m, const json_t *root)
{
	const struct model_config *c = &m->config;
	const json_t *post = json_object_get(root, "post_processor");

	if (c->bos_id >= 0)
		gguf_key_u32(k, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos_id);
	if (c->eos_id >= 0)
		gguf_key_u32(k, "tokenizer.ggml.eos_token_id", (uint32_t)c->eos_id);
	gguf_key_bool(k, "tokenizer.ggml.add_bos_token", adds_token(post, true));
	gguf_key_bool(k, "tokenizer.ggml.add_eos_token", adds_token(post, false));
}

/* ---- whole ------------------------------------------------------------------------------------------------------------ */

static int refuse(const char *name, const char *what)
{
	int rc = err_set(ERR_INPUT, "%s: llama.cpp has no name for %s", name, what);

	return err_hint(rc, "convert it with llama.cpp's own convert_hf_to_gguf.py, which may know it by now");
}

static int write_keys(struct gguf_keys *k, struct tokens_out *t, const json_t *root, const char *name)
{
	const json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab");
	const json_t *merges = json_object_get(model, "merges");
	bool spm = json_get_flag(model, "byte_fallback", false);
	const char *unk = json_get_text(model, "unk_token", NULL);
	const char *pre = spm ? "default" : pre_name(json_object_get(root, "pre_tokenizer"));
	int rc;

	if (strcmp(json_get_text(model, "type", "BPE"), "BPE") != 0 || !json_is_object(vocab))
		return refuse(name, "a tokenizer that is not BPE");
	if (!pre)
		return refuse(name, "this pre_tokenizer");
	rc = add_vocab(t, vocab, unk, name);
	if (!rc)
		rc = add_added(t, json_object_get(root, "added_tokens"), name);
	if (rc)
		return rc;
	fill_holes(t);
	gguf_key_text(k, "tokenizer.ggml.model", spm ? "llama" : "gpt2");
	gguf_key_text(k, "tokenizer.ggml.pre", pre);
	gguf_key_texts(k, "tokenizer.ggml.tokens", t->texts, t->n);
	gguf_key_words(k, "tokenizer.ggml.token_type", GGUF_I32, t->types, t->n);
	if (spm) {
		add_scores(t, vocab, merges);
		gguf_key_words(k, "tokenizer.ggml.scores", GGUF_F32, t->scores, t->n);
	} else {
		merge_keys(k, merges);
	}
	return 0;
}

int gguf_tokenizer_keys(struct gguf_keys *k, const struct model *m, const char *dir)
{
	char *path = path_join(dir, "tokenizer.json");
	json_t *root = NULL;
	size_t n = (size_t)m->config.vocab_size;
	struct tokens_out t = { mem_array(n, sizeof(*t.texts)),
				mem_array(n, sizeof(*t.owned)),
				mem_array(n, sizeof(*t.types)),
				mem_array(n, sizeof(*t.scores)),
				n,
				0 };
	int rc = json_read(&root, path, FILE_MAX);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s: no tokenizer.json", dir);
	if (!rc)
		rc = write_keys(k, &t, root, path);
	if (!rc) {
		special_keys(k, m, root);
		rc = template_key(k, dir);
	}
	for (size_t i = 0; i < t.n_owned; i++)
		free(t.owned[i]);
	free(t.texts);
	free(t.owned);
	free(t.types);
	free(t.scores);
	json_decref(root);
	free(path);
	return rc;
}
