/* tokenizer.c: tokenizer.json, and a text's way to ids and back.
 *
 *	text -> added tokens in the raw text -> normalizer -> added tokens in the normalized text
 *	     -> pre-tokenizer (pieces) -> model (ids) -> post-processor (what goes around them)
 *
 * The contract is the tokenizers library on the same file: the same ids for every text. Each stage of the file is an
 * object with a type; a type that is not built is refused when the file is read, by its field, so that no text is ever
 * tokenized by half of its rules. What is built is BPE: of bytes (GPT-2, Llama 3, Qwen, SmolLM2 and their kind) and of
 * characters with bytes to fall back to (Llama 2, Mistral). To add a normalizer, a model, a decoder: a row in the table
 * of its file.
 *
 * truncation and padding are passed over: they are habits of a caller that the file happens to carry, and transformers
 * resets them. Added tokens match inside user text as well, as in the library.
 *
 * A tokenizer does not change once it is read: any number of threads may use it. */
#include "base/base.h"

#include "model/tokenizer_int.h"

struct tokenizer {
	char *name;
	const struct bpe_lists *lists; /* while the file is read */
	struct vocab vocab;            /* of the model, and behind it the added tokens that the model does not know */
	struct bpe bpe;
	struct added added;
	struct normalize normalize;
	struct pre pre;
	struct decoder decoder;
	int32_t before[TOKENIZER_MAX_AROUND], after[TOKENIZER_MAX_AROUND]; /* what the post-processor adds */
	int n_before, n_after;
	int32_t prefix; /* tokenizer_prefix() */
};

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

void tokens_add(struct tokens *t, int32_t id)
{
	MEM_GROW(t->ids, t->n, t->cap);
	t->ids[t->n++] = id;
}

void tokens_release(struct tokens *t)
{
	free(t->ids);
	memset(t, 0, sizeof(*t));
}

/* ---- errors ------------------------------------------------------------------------------------------------------- */

int tokenizer_refuse(const char *name, const char *field, const char *what)
{
	int rc = err_set(ERR_INPUT, "%s: %s: %s is not supported yet", name, field, what);

	return err_hint(rc, "BPE tokenizers (GPT-2, Llama 2 and 3, Mistral, Qwen, SmolLM2, or assay's own) are");
}

int tokenizer_must_be_off(const json_t *obj, const char *key, const char *name, const char *field)
{
	const json_t *value = json_object_get(obj, key);
	char *full;
	int rc;

	if (!value || json_is_null(value) || json_is_false(value) ||
	    (json_is_string(value) && !*json_string_value(value)))
		return 0;
	full = mem_printf("%s.%s", field, key);
	rc = tokenizer_refuse(name, full, "a value here");
	free(full);
	return rc;
}

/* ---- the stages of the file --------------------------------------------------------------------------------------- */

struct stage_kind {
	const char *type;
	int (*parse)(struct tokenizer *t, const json_t *node, const char *name);
};

static int parse_stage(struct tokenizer *t, const json_t *node, const char *field, const struct stage_kind *kinds,
		       size_t n, const char *name)
{
	const char *type = json_get_text(node, "type", NULL);
	char *full;
	int rc;

	if (!type)
		return err_set(ERR_INPUT, "%s: %s: an object with a type is wanted", name, field);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(type, kinds[i].type))
			return kinds[i].parse(t, node, name);
	full = mem_printf("%s.type", field);
	rc = tokenizer_refuse(name, full, type);
	free(full);
	return rc;
}

static int parse_bpe(struct tokenizer *t, const json_t *node, const char *name)
{
	return bpe_parse(&t->bpe, &t->vocab, node, t->lists, t->pre.byte_level, name);
}

static const struct stage_kind models[] = {
	{ "BPE", parse_bpe },
};

/* ---- post-processors ---------------------------------------------------------------------------------------------- */

/* Trims offsets only, and there are none here. */
static int post_byte_level(struct tokenizer *t, const json_t *node, const char *name)
{
	(void)t;
	(void)node;
	(void)name;
	return 0;
}

static int template_ids(const struct tokenizer *t, const json_t *special, const char *id, int32_t *out, int *n,
			const char *name)
{
	const json_t *ids = json_object_get(json_object_get(special, id), "ids");

	if (!json_is_array(ids))
		return err_set(ERR_INPUT, "%s: post_processor.special_tokens: no ids for \"%s\"", name, id);
	for (size_t i = 0; i < json_array_size(ids); i++) {
		const json_t *value = json_array_get(ids, i);
		json_int_t v = json_integer_value(value);
		if (!json_is_integer(value) || v < 0 || v >= t->vocab.n)
			return err_set(
				ERR_INPUT,
				"%s: post_processor.special_tokens: \"%s\" has an id that is not in the vocabulary",
				name, id);
		if (*n == TOKENIZER_MAX_AROUND)
			return err_set(ERR_INPUT, "%s: post_processor: more than %d tokens on one side", name,
				       TOKENIZER_MAX_AROUND);
		out[(*n)++] = (int32_t)v;
	}
	return 0;
}

/* Of a sequence of processors each goes around what is there: its front comes before, its end behind. */
static int post_template(struct tokenizer *t, const json_t *node, const char *name)
{
	const json_t *single = json_object_get(node, "single"), *special = json_object_get(node, "special_tokens");
	int32_t front[TOKENIZER_MAX_AROUND];
	int n_front = 0, sequences = 0, rc = 0;

	for (size_t i = 0; i < json_array_size(single) && !rc; i++) {
		const json_t *item = json_array_get(single, i);
		const char *seq = json_get_text(json_object_get(item, "Sequence"), "id", NULL);
		const char *tok = json_get_text(json_object_get(item, "SpecialToken"), "id", NULL);
		if (seq && !strcmp(seq, "A"))
			sequences++;
		else if (tok && !sequences)
			rc = template_ids(t, special, tok, front, &n_front, name);
		else if (tok)
			rc = template_ids(t, special, tok, t->after, &t->n_after, name);
		else
			rc = err_set(ERR_INPUT,
				     "%s: post_processor.single[%zu]: a SpecialToken or the Sequence A is wanted", name,
				     i);
	}
	if (rc)
		return rc;
	if (sequences != 1 || n_front + t->n_before > TOKENIZER_MAX_AROUND)
		return err_set(ERR_INPUT, "%s: post_processor.single: the Sequence A is wanted once", name);
	memmove(t->before + n_front, t->before, (size_t)t->n_before * sizeof(*t->before));
	memcpy(t->before, front, (size_t)n_front * sizeof(*front));
	t->n_before += n_front;
	return 0;
}

/* One of the pairs ["</s>", 2] of BertProcessing and RobertaProcessing. */
static int pair_id(const struct tokenizer *t, const json_t *node, const char *key, int32_t *id, const char *name)
{
	const json_t *value = json_array_get(json_object_get(node, key), 1);

	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) >= t->vocab.n)
		return err_set(ERR_INPUT, "%s: post_processor.%s: a token and its id are wanted", name, key);
	*id = (int32_t)json_integer_value(value);
	return 0;
}

static int post_pair(struct tokenizer *t, const json_t *node, const char *name)
{
	int32_t cls = 0, sep = 0;
	int rc = pair_id(t, node, "cls", &cls, name);

	if (!rc)
		rc = pair_id(t, node, "sep", &sep, name);
	if (rc)
		return rc;
	if (t->n_before == TOKENIZER_MAX_AROUND || t->n_after == TOKENIZER_MAX_AROUND)
		return err_set(ERR_INPUT, "%s: post_processor: more than %d tokens on one side", name,
			       TOKENIZER_MAX_AROUND);
	memmove(t->before + 1, t->before, (size_t)t->n_before++ * sizeof(*t->before));
	t->before[0] = cls;
	t->after[t->n_after++] = sep;
	return 0;
}

static const struct stage_kind posts[] = {
	{ "BertProcessing", post_pair },
	{ "RobertaProcessing", post_pair },
	{ "ByteLevel", post_byte_level },
	{ "TemplateProcessing", post_template },
};

static int parse_post(struct tokenizer *t, const json_t *node, const char *name, int depth)
{
	const json_t *list = json_object_get(node, "processors");
	int rc = 0;

	if (!node || json_is_null(node))
		return 0;
	if (strcmp(json_get_text(node, "type", ""), "Sequence") != 0)
		return parse_stage(t, node, "post_processor", posts, ARRAY_LEN(posts), name);
	if (depth > 8 || json_array_size(list) > TOKENIZER_MAX_STEPS)
		return err_set(ERR_INPUT, "%s: post_processor: too many processors", name);
	for (size_t i = 0; i < json_array_size(list) && !rc; i++)
		rc = parse_post(t, json_array_get(list, i), name, depth + 1);
	return rc;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static int parse_file(struct tokenizer *t, const json_t *root, const char *name)
{
	const char *version = json_get_text(root, "version", "1.0");
	int rc;

	if (!json_is_object(root))
		return err_set(ERR_INPUT, "%s: an object is wanted", name);
	if (strcmp(version, "1.0") != 0)
		return tokenizer_refuse(name, "version", version);
	rc = normalize_parse(&t->normalize, json_object_get(root, "normalizer"), name, 0);
	if (!rc)
		rc = pre_parse(&t->pre, json_object_get(root, "pre_tokenizer"), name);
	if (!rc)
		rc = parse_stage(t, json_object_get(root, "model"), "model", models, ARRAY_LEN(models), name);
	if (!rc)
		rc = added_parse(&t->added, &t->vocab, json_object_get(root, "added_tokens"), &t->normalize, name);
	if (!rc)
		rc = parse_post(t, json_object_get(root, "post_processor"), name, 0);
	if (!rc)
		rc = decoder_parse(&t->decoder, json_object_get(root, "decoder"), name, 0);
	return rc;
}

int tokenizer_parse(struct tokenizer **out, const char *text, size_t len, const char *name)
{
	struct tokenizer *t = mem_alloc(sizeof(*t));
	json_t *root = NULL;
	struct bpe_lists lists;
	int rc = tokenizer_json_read(&root, &lists, text, len, name);

	map_init(&t->vocab.ids);
	t->name = mem_str(name);
	t->prefix = -1;
	t->lists = &lists;
	if (!rc)
		rc = parse_file(t, root, name);
	json_decref(root);
	bpe_lists_release(&lists);
	t->lists = NULL;
	if (rc) {
		tokenizer_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

/* The token that a folder's tokenizer_config.json (older ones: special_tokens_map.json) begins a text with: its BOS, else
 * its EOS. A folder need not have these files; a token that the vocabulary lacks is none. */
static int find_prefix(struct tokenizer *t, const char *dir)
{
	static const char *const files[] = { "tokenizer_config.json", "special_tokens_map.json" };
	static const char *const names[] = { "bos_token", "eos_token" };
	json_t *roots[ARRAY_LEN(files)] = { NULL, NULL };
	int rc = 0;

	for (size_t f = 0; !rc && f < ARRAY_LEN(files); f++) {
		char *path = path_join(dir, files[f]);
		rc = fs_exists(path) ? json_read(&roots[f], path, TOKENIZER_MAX_FILE) : 0;
		free(path);
	}
	for (size_t i = 0; !rc && t->prefix < 0 && i < ARRAY_LEN(names) * ARRAY_LEN(files); i++) {
		const json_t *v = json_object_get(roots[i % 2], names[i / 2]);
		const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
		t->prefix = text ? tokenizer_id(t, text) : -1;
	}
	for (size_t f = 0; f < ARRAY_LEN(files); f++)
		json_decref(roots[f]);
	return rc;
}

int tokenizer_load(struct tokenizer **out, const char *dir_or_file)
{
	bool is_dir = fs_is_dir(dir_or_file);
	char *path = is_dir ? path_join(dir_or_file, "tokenizer.json") : mem_str(dir_or_file);
	struct buf text = BUF_INIT(TOKENIZER_MAX_FILE);
	int rc = fs_read(&text, path, TOKENIZER_MAX_FILE);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s: no such file", path);
	if (!rc)
		rc = tokenizer_parse(out, buf_str(&text), text.len, path);
	if (!rc && is_dir) {
		rc = find_prefix(*out, dir_or_file);
		if (rc) {
			tokenizer_free(*out);
			*out = NULL;
		}
	}
	buf_release(&text);
	free(path);
	return rc;
}

int32_t tokenizer_prefix(const struct tokenizer *t)
{
	return t->prefix;
}

void tokenizer_free(struct tokenizer *t)
{
	if (!t)
		return;
	added_release(&t->added);
	normalize_release(&t->normalize);
	decoder_release(&t->decoder);
	pre_release(&t->pre);
	bpe_release(&t->bpe);
	vocab_release(&t->vocab);
	free(t->name);
	free(t);
}

int32_t tokenizer_size(const struct tokenizer *t)
{
	return t->vocab.n;
}

int32_t tokenizer_id(const struct tokenizer *t, const char *content)
{
	return vocab_id(&t->vocab, content, strlen(content));
}

const char *tokenizer_text(const struct tokenizer *t, int32_t id)
{
	return id >= 0 && id < t->vocab.n ? t->vocab.texts[id] : NULL;
}

const struct decoder *tokenizer_decoder(const struct tokenizer *t)
{
	return &t->decoder;
}

const char *tokenizer_token(const struct tokenizer *t, int32_t id, bool skip_special)
{
	const char *text = tokenizer_text(t, id);

	if (!text || (skip_special && t->added.special[id]))
		return NULL;
	return t->added.shown[id] ? t->added.shown[id] : text;
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

struct encoder {
	const struct tokenizer *t;
	struct tokens *out;
	struct onig_scratch *search;
	struct bpe_scratch merge;
	const char *start;  /* of the text: Metaspace's "first" */
	const char *normal; /* of the normalized part of it, where that begins the text; else NULL */
	struct buf normalized;
};

static int encode_piece(void *arg, const char *piece, size_t len)
{
	struct encoder *e = arg;

	bpe_piece(&e->t->bpe, &e->merge, e->out, piece, len, false);
	return 0;
}

static int encode_token(void *arg, int32_t id)
{
	struct encoder *e = arg;

	tokens_add(e->out, id);
	return 0;
}

static int encode_normalized(void *arg, const char *text, size_t len)
{
	struct encoder *e = arg;

	return pre_split(&e->t->pre, e->search, text, len, text == e->normal, encode_piece, e);
}

static int encode_raw(void *arg, const char *text, size_t len)
{
	struct encoder *e = arg;
	const struct added_sink sink = { encode_normalized, encode_token, e };

	e->normal = text == e->start ? text : NULL;
	if (e->t->normalize.n) {
		int rc = normalize_run(&e->t->normalize, e->search, &e->normalized, text, len);
		if (rc)
			return rc;
		text = buf_str(&e->normalized);
		len = e->normalized.len;
		e->normal = e->normal ? text : NULL;
	}
	return added_split(&e->t->added, &e->t->added.normal, e->search, text, len, &sink);
}

int tokenizer_encode(const struct tokenizer *t, struct tokens *out, const char *text, size_t len, bool special)
{
	struct encoder e = { .t = t, .out = out };
	const struct added_sink sink = { encode_raw, encode_token, &e };
	struct buf repaired = BUF_INIT(3 * TOKENIZER_MAX_TEXT);
	size_t old = out->n;
	int rc;

	if (len > TOKENIZER_MAX_TEXT)
		return err_set(ERR_INPUT, "a text of %zu bytes is too long for the tokenizer (at most %zu)", len,
			       TOKENIZER_MAX_TEXT);
	if (!utf8_valid(text, len, NULL)) {
		utf8_repair(&repaired, text, len);
		text = buf_str(&repaired);
		len = repaired.len;
	}
	buf_init(&e.normalized, 64 * len + (1 << 20)); /* NFKD: 11 times; what is left bounds a hostile Replace */
	e.start = text;
	e.search = onig_scratch_new();
	for (int i = 0; special && i < t->n_before; i++)
		tokens_add(out, t->before[i]);
	rc = added_split(&t->added, &t->added.raw, e.search, text, len, &sink);
	for (int i = 0; special && i < t->n_after; i++)
		tokens_add(out, t->after[i]);
	if (rc)
		out->n = old;
	onig_scratch_free(e.search);
	bpe_scratch_release(&e.merge);
	buf_release(&e.normalized);
	buf_release(&repaired);
	return rc;
}
