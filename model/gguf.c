/* gguf.c: a Hugging Face folder as one GGUF file, so that llama.cpp serves what was promoted.
 *
 * Layout (ggml/docs/gguf.md, version 3, little-endian): "GGUF", version, number of tensors, number of keys; the keys, each a
 * name, a type and a value; for each tensor its name, dimensions (innermost first), type and offset; padding to 32 bytes;
 * the data, every tensor on a 32-byte border.
 *
 * What differs from the folder: names; GPT-2's Conv1D matrices are turned; q and k of the llama architecture are permuted,
 * since llama.cpp rotates neighbouring pairs where the folder has halves; vectors, position tables and norms are fp32.
 * Types as asked: q8_0 is the reference's quantiser, blocks of 32 along a row; a row that is no multiple of 32 falls back to
 * f16. Tensors are streamed: no more than one of them is in memory. Keys of the tokenizer: gguf_tokenizer.c. */
#include "base/base.h"

#include <math.h>

#include "model/gguf_int.h"

enum { ALIGN = 32, BLOCK = 32, BLOCK_BYTES = 34 };

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void add_u32(struct buf *b, uint32_t x)
{
	buf_add(b, &x, 4);
}

static void add_u64(struct buf *b, uint64_t x)
{
	buf_add(b, &x, 8);
}

static void add_string(struct buf *b, const char *s, size_t len)
{
	add_u64(b, len);
	buf_add(b, s, len);
}

static void add_key(struct gguf_keys *k, const char *name, uint32_t type)
{
	k->n++;
	add_string(&k->bytes, name, strlen(name));
	add_u32(&k->bytes, type);
}

void gguf_key_u32(struct gguf_keys *k, const char *name, uint32_t value)
{
	add_key(k, name, GGUF_U32);
	add_u32(&k->bytes, value);
}

void gguf_key_f32(struct gguf_keys *k, const char *name, float value)
{
	add_key(k, name, GGUF_F32);
	buf_add(&k->bytes, &value, 4);
}

void gguf_key_bool(struct gguf_keys *k, const char *name, bool value)
{
	add_key(k, name, GGUF_BOOL);
	buf_addc(&k->bytes, value ? 1 : 0);
}

void gguf_key_text(struct gguf_keys *k, const char *name, const char *value)
{
	add_key(k, name, GGUF_STRING);
	add_string(&k->bytes, value, strlen(value));
}

void gguf_key_texts(struct gguf_keys *k, const char *name, const char *const *values, size_t n)
{
	add_key(k, name, GGUF_ARRAY);
	add_u32(&k->bytes, GGUF_STRING);
	add_u64(&k->bytes, n);
	for (size_t i = 0; i < n; i++)
		add_string(&k->bytes, values[i], strlen(values[i]));
}

void gguf_key_words(struct gguf_keys *k, const char *name, uint32_t type, const void *values, size_t n)
{
	add_key(k, name, GGUF_ARRAY);
	add_u32(&k->bytes, type);
	add_u64(&k->bytes, n);
	buf_add(&k->bytes, values, n * 4);
}

/* Keys below the architecture's name. */
static void arch_u32(struct gguf_keys *k, const char *arch, const char *name, int value)
{
	char key[96];

	snprintf(key, sizeof(key), "%s.%s", arch, name);
	gguf_key_u32(k, key, (uint32_t)value);
}

static void arch_f32(struct gguf_keys *k, const char *arch, const char *name, float value)
{
	char key[96];

	snprintf(key, sizeof(key), "%s.%s", arch, name);
	gguf_key_f32(k, key, value);
}

static void rope_keys(struct gguf_keys *k, const struct model_config *c, const char *arch)
{
	char key[96];

	arch_u32(k, arch, "rope.dimension_count", c->head_dim);
	arch_f32(k, arch, "rope.freq_base", c->rope_theta);
	if (c->rope.kind != MODEL_ROPE_LINEAR && c->rope.kind != MODEL_ROPE_YARN)
		return; /* llama3 is a tensor of divisors */
	snprintf(key, sizeof(key), "%s.rope.scaling.type", arch);
	gguf_key_text(k, key, c->rope.kind == MODEL_ROPE_YARN ? "yarn" : "linear");
	arch_f32(k, arch, "rope.scaling.factor", c->rope.factor);
	if (c->rope.kind == MODEL_ROPE_YARN)
		arch_u32(k, arch, "rope.scaling.original_context_length", c->rope.original);
}

static void model_keys(struct gguf_keys *k, const struct model *m, int type)
{
	const struct model_config *c = &m->config;
	const char *arch = m->arch->gguf;
	static const uint32_t file_types[] = {
		[GGUF_TYPE_F32] = 0, [GGUF_TYPE_F16] = 1, [GGUF_TYPE_Q8_0] = 7, [GGUF_TYPE_BF16] = 32
	};

	gguf_key_text(k, "general.architecture", arch);
	gguf_key_text(k, "general.type", "model");
	gguf_key_text(k, "general.name", c->architecture);
	gguf_key_u32(k, "general.file_type", file_types[type]);
	if (type == GGUF_TYPE_Q8_0)
		gguf_key_u32(k, "general.quantization_version", 2);
	arch_u32(k, arch, "block_count", c->layers);
	arch_u32(k, arch, "context_length", c->context);
	arch_u32(k, arch, "embedding_length", c->hidden_size);
	arch_u32(k, arch, "feed_forward_length", c->intermediate_size);
	arch_u32(k, arch, "attention.head_count", c->heads);
	if (m->arch->layernorm) {
		arch_f32(k, arch, "attention.layer_norm_epsilon", c->norm_eps);
		return;
	}
	arch_u32(k, arch, "attention.head_count_kv", c->kv_heads);
	arch_f32(k, arch, "attention.layer_norm_rms_epsilon", c->norm_eps);
	arch_u32(k, arch, "attention.key_length", c->head_dim);
	arch_u32(k, arch, "attention.value_length", c->head_dim);
	arch_u32(k, arch, "vocab_size", c->vocab_size);
	rope_keys(k, c, arch);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static const char *const role_names[ROLES] = {
	[ROLE_EMBED] = "token_embd",   [ROLE_POSITIONS] = "position_embd",
	[ROLE_NORM] = "output_norm",   [ROLE_HEAD] = "output",
	[ROLE_NORM1] = "attn_norm",    [ROLE_Q] = "attn_q",
	[ROLE_K] = "attn_k",           [ROLE_V] = "attn_v",
	[ROLE_QKV] = "attn_qkv",       [ROLE_Q_NORM] = "attn_q_norm",
	[ROLE_K_NORM] = "attn_k_norm", [ROLE_O] = "attn_output",
	[ROLE_NORM2] = "ffn_norm",     [ROLE_GATE] = "ffn_gate",
	[ROLE_UP] = "ffn_up",          [ROLE_DOWN] = "ffn_down",
};

static int tensor_type(const struct tensor *t, int asked)
{
	if (t->n_dims < 2 || t->role == ROLE_POSITIONS)
		return GGUF_TYPE_F32;
	return asked == GGUF_TYPE_Q8_0 && t->cols % BLOCK ? GGUF_TYPE_F16 : asked;
}

static uint64_t tensor_bytes(size_t count, int type)
{
	switch (type) {
	case GGUF_TYPE_F32:
		return (uint64_t)count * 4;
	case GGUF_TYPE_Q8_0:
		return (uint64_t)count / BLOCK * BLOCK_BYTES;
	default:
		return (uint64_t)count * 2;
	}
}

static void add_info(struct buf *b, const char *name, int n_dims, uint64_t cols, uint64_t rows, int type, uint64_t *at,
		     uint64_t bytes)
{
	add_string(b, name, strlen(name));
	add_u32(b, (uint32_t)n_dims);
	add_u64(b, cols);
	if (n_dims > 1)
		add_u64(b, rows);
	add_u32(b, (uint32_t)type);
	add_u64(b, *at);
	*at = (*at + bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static void add_tensor_info(struct buf *b, const struct tensor *t, int asked, uint64_t *at)
{
	int type = tensor_type(t, asked);
	const char *end = t->bias ? "bias" : "weight";
	char name[96];

	if (t->layer < 0)
		snprintf(name, sizeof(name), "%s.%s", role_names[t->role], end);
	else
		snprintf(name, sizeof(name), "blk.%d.%s.%s", t->layer, role_names[t->role], end);
	add_info(b, name, t->n_dims, (uint64_t)t->cols, (uint64_t)t->rows, type, at, tensor_bytes(t->count, type));
}

/* One block of 32: the scale as a half, then whole numbers; rounded by the scale before it was made a half. */
static void quantize_block(uint8_t *out, const float *x)
{
	float top = 0;

	for (int i = 0; i < BLOCK; i++)
		top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
	float d = top / 127.0f, by = d > 0 ? 1.0f / d : 0.0f;
	uint16_t half = elements_half(d);
	memcpy(out, &half, 2);
	for (int i = 0; i < BLOCK; i++) {
		float q = x[i] * by, whole = truncf(q);
		whole += fabsf(q - whole) >= 0.5f ? (q > 0 ? 1.0f : -1.0f) : 0.0f; /* half away from zero */
		out[2 + i] = (uint8_t)(int8_t)whole;
	}
}

static void convert(void *out, const float *in, size_t n, int type)
{
	switch (type) {
	case GGUF_TYPE_F32:
		memcpy(out, in, n * sizeof(float));
		break;
	case GGUF_TYPE_Q8_0:
		for (size_t i = 0; i < n / BLOCK; i++)
			quantize_block((uint8_t *)out + i * BLOCK_BYTES, in + i * BLOCK);
		break;
	default:
		elements_narrow(out, in, type == GGUF_TYPE_BF16 ? "BF16" : "F16", n);
	}
}

/* Halves of a head become neighbours: row h d/2 + i goes to 2 i + h, head by head. */
static void permute(float *out, const float *in, int heads, size_t rows, size_t cols)
{
	size_t d = rows / (size_t)heads, half = d / 2;

	for (size_t r = 0; r < rows; r++) {
		size_t head = r / d, i = r % d;
		size_t to = head * d + 2 * (i % half) + i / half;
		memcpy(out + to * cols, in + r * cols, cols * sizeof(float));
	}
}

struct writer {
	const struct model *m;
	const struct shards *shards;
	struct fs_temp *file;
	int type;
	float *a, *b;
};

static int write_padded(struct fs_temp *f, const void *data, uint64_t bytes)
{
	static const uint8_t zeros[ALIGN];
	size_t pad = (size_t)((ALIGN - bytes % ALIGN) % ALIGN);
	int rc = fs_temp_write(f, data, (size_t)bytes);

	return rc || !pad ? rc : fs_temp_write(f, zeros, pad);
}

static int write_tensor(struct writer *w, const struct tensor *t)
{
	const struct model_config *c = &w->m->config;
	const struct safetensors *in = NULL;
	const struct safetensors_entry *e = shards_tensor(w->m, w->shards, t->name, &in);
	int type = tensor_type(t, w->type);
	float *swap;
	int rc = safetensors_floats(in, e, w->a);

	safetensors_drop(in, e->data, (size_t)(e->end - e->begin));
	if (rc)
		return rc;
	if (t->transposed) {
		elements_transpose(w->b, w->a, (int)t->dims[0], (int)t->dims[1], sizeof(float));
		swap = w->a, w->a = w->b, w->b = swap;
	}
	if (!strcmp(w->m->arch->gguf, "llama") && (t->role == ROLE_Q || t->role == ROLE_K)) {
		size_t rows = t->bias ? t->count : (size_t)t->rows, cols = t->bias ? 1 : (size_t)t->cols;
		permute(w->b, w->a, t->role == ROLE_Q ? c->heads : c->kv_heads, rows, cols);
		swap = w->a, w->a = w->b, w->b = swap;
	}
	convert(w->b, w->a, t->count, type);
	return write_padded(w->file, w->b, tensor_bytes(t->count, type));
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static size_t divisors(const struct model *m, float *out)
{
	if (m->config.rope.kind != MODEL_ROPE_LLAMA3)
		return 0;
	if (out)
		transformer_rope_divisors(&m->config, out);
	return (size_t)m->config.head_dim / 2;
}

static int write_head(struct writer *w, const struct gguf_keys *keys)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);
	size_t extra = divisors(w->m, NULL);
	uint64_t at = 0;
	int rc;

	buf_adds(&b, "GGUF");
	add_u32(&b, 3);
	add_u64(&b, w->m->n_tensors + (extra ? 1 : 0));
	add_u64(&b, keys->n);
	buf_add(&b, keys->bytes.data, keys->bytes.len);
	for (size_t i = 0; i < w->m->n_tensors; i++)
		add_tensor_info(&b, &w->m->tensors[i], w->type, &at);
	if (extra)
		add_info(&b, "rope_freqs.weight", 1, extra, 0, GGUF_TYPE_F32, &at, extra * 4);
	rc = write_padded(w->file, b.data, b.len);
	buf_release(&b);
	return rc;
}

static int write_all(struct writer *w, const struct gguf_keys *keys)
{
	size_t largest = (size_t)w->m->config.head_dim, extra;
	int rc;

	for (size_t i = 0; i < w->m->n_tensors; i++)
		largest = w->m->tensors[i].count > largest ? w->m->tensors[i].count : largest;
	w->a = mem_try_aligned(mem_mul(largest, sizeof(float)));
	w->b = mem_try_aligned(mem_mul(largest, sizeof(float)));
	if (!w->a || !w->b)
		rc = err_set(ERR_UNAVAILABLE, "no memory for a tensor of %zu numbers", largest);
	else
		rc = write_head(w, keys);
	for (size_t i = 0; !rc && i < w->m->n_tensors; i++)
		rc = write_tensor(w, &w->m->tensors[i]);
	if (!rc && (extra = divisors(w->m, w->a)))
		rc = write_padded(w->file, w->a, extra * sizeof(float));
	free(w->a);
	free(w->b);
	return rc;
}

static int find_type(const struct model *m, const char *name, int *out)
{
	static const struct {
		const char *name;
		int type;
	} known[] = { { "f32", GGUF_TYPE_F32 },
		      { "f16", GGUF_TYPE_F16 },
		      { "bf16", GGUF_TYPE_BF16 },
		      { "q8_0", GGUF_TYPE_Q8_0 } };

	if (!strcmp(name, "auto")) {
		const char *stored = m->tensors[0].dtype;
		*out = !strcmp(stored, "BF16")  ? GGUF_TYPE_BF16
		       : !strcmp(stored, "F16") ? GGUF_TYPE_F16
						: GGUF_TYPE_F32;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i].name, name)) {
			*out = known[i].type;
			return 0;
		}
	return err_set(ERR_USAGE, "type \"%s\" is not known; known: auto, f32, f16, bf16, q8_0", name);
}

static int write_file(struct writer *w, const struct gguf_keys *keys, const char *path)
{
	char *parent = path_dir(path);
	struct fs_temp file;
	int rc = fs_temp_open(&file, parent);

	w->file = &file;
	if (!rc) {
		rc = write_all(w, keys);
		if (!rc)
			rc = fs_temp_commit(&file, path);
		fs_temp_drop(&file);
	}
	free(parent);
	return rc;
}

int model_export_gguf(const char *dir, const char *path, const char *type)
{
	struct gguf_keys keys = { .bytes = BUF_INIT(BUF_NOLIMIT) };
	struct shards shards = { 0 };
	struct model *m = NULL;
	struct writer w = { 0 };
	int rc = model_open_folder(&m, &shards, dir);

	if (!rc)
		rc = find_type(m, type, &w.type);
	if (!rc && m->config.window)
		rc = err_hint(err_set(ERR_INPUT, "%s: a sliding window of %d tokens is not carried by GGUF's %s", dir,
				      m->config.window, m->arch->gguf),
			      "serve it with a context of at most the window: set max_position_embeddings to it first");
	if (!rc) {
		model_keys(&keys, m, w.type);
		rc = gguf_tokenizer_keys(&keys, m, dir);
	}
	w.m = m;
	w.shards = &shards;
	if (!rc)
		rc = write_file(&w, &keys, path);
	shards_release(&shards);
	model_free(m);
	buf_release(&keys.bytes);
	return rc;
}
