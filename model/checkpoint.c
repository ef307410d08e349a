/* checkpoint.c: a model as a Hugging Face folder, in and out.
 *
 * Folder: config.json; model.safetensors, or its shards named by model.safetensors.index.json; generation_config.json.
 * Loading wants every tensor of the shapes table (transformer.c) once, with its shape, and nothing else but buffers
 * that are known to be recomputed. A pickle is never opened: it is a program. Saving writes the same bytes for the
 * same weights; keys of the loaded config.json that we do not read are kept. */
#include "base/base.h"

#include "model/model_int.h"

#define MAX_JSON ((size_t)4 << 20)

#define ONE_MODEL "take config.json and the weights of one and the same model"

/* ---- reading: tensors -------------------------------------------------------------------------------------------- */

static int check_shape(const struct safetensors *in, const struct safetensors_entry *e, const struct tensor *t)
{
	bool same = e->n_dims == t->n_dims;

	for (int i = 0; same && i < t->n_dims; i++)
		same = e->dims[i] == (uint64_t)t->dims[i];
	if (same)
		return 0;
	struct buf has = BUF_INIT(256), want = BUF_INIT(256);
	for (int i = 0; i < e->n_dims; i++)
		buf_addf(&has, "%s%llu", i ? "," : "", (unsigned long long)e->dims[i]);
	for (int i = 0; i < t->n_dims; i++)
		buf_addf(&want, "%s%lld", i ? "," : "", (long long)t->dims[i]);
	int rc = err_set(ERR_INPUT, "%s: tensor \"%s\" has shape [%s], but config.json makes it [%s]", in->path,
			 e->name, buf_str(&has), buf_str(&want));
	buf_release(&has);
	buf_release(&want);
	return err_hint(rc, ONE_MODEL);
}

static int missing(const struct model *m, const struct shards *s, const char *dir, const struct tensor *t)
{
	size_t prefix = m->arch->prefix ? strlen(m->arch->prefix) : 0;
	const char *file = shards_indexed(s, t->name);

	if (!file && !strncmp(t->name, m->arch->prefix ? m->arch->prefix : "", prefix))
		file = shards_indexed(s, t->name + prefix);
	if (file)
		return err_hint(err_set(ERR_INPUT, "%s/%s: tensor \"%s\" is missing, and the index says it is there",
					dir, file, t->name),
				"fetch that file again, or save the model again");
	int rc = err_set(ERR_INPUT, "%s: tensor \"%s\" is missing", dir, t->name);
	if (!m->config.tied && t->role == ROLE_HEAD)
		return err_hint(rc,
				"if head and embedding are one matrix, set tie_word_embeddings to true in config.json");
	return err_hint(rc, ONE_MODEL);
}

static int check_dtype(const struct safetensors *in, const struct safetensors_entry *e, struct tensor *t)
{
	static const char *const known[] = { "F32", "BF16", "F16" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(e->dtype, known[i])) {
			t->dtype = known[i];
			return 0;
		}
	return err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\": dtype %s is not supported (only F32, F16, BF16)",
				in->path, e->name, e->dtype),
			"save it in one of these: model.to(torch.bfloat16).save_pretrained(dir)");
}

/* Before any memory is asked for: a config.json may claim any size, the files show what there is. */
static int check_tensors(const struct model *m, const struct shards *s, const char *dir)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < m->n_tensors; i++) {
		const struct safetensors *in = NULL;
		const struct safetensors_entry *e = shards_tensor(m, s, m->tensors[i].name, &in);
		rc = e ? check_shape(in, e, &m->tensors[i]) : missing(m, s, dir, &m->tensors[i]);
		if (!rc)
			rc = check_dtype(in, e, &m->tensors[i]);
	}
	return rc;
}

static size_t dtype_size(const char *dtype)
{
	return !strcmp(dtype, "F32") ? sizeof(float) : sizeof(uint16_t);
}

struct loader {
	struct model *m;
	const struct shards *shards;
	struct peft *adapter; /* NULL: none */
	void *a, *b;          /* room for the largest part as floats; for the largest tensor that is turned */
	void *sum, *stored;   /* what the adapter made of the last tensor that it changed; and that, narrowed */
};

/* The rows of a whole tensor with the adapter in them, rounded to the type they are stored in, once; as floats, or in that
 * type. */
static int merge_rows(struct loader *l, const struct tensor *t, bool floats, const void **rows)
{
	bool narrow = strcmp(t->dtype, "F32") != 0;
	int rc;

	free(l->sum);
	free(l->stored);
	l->sum = mem_try_aligned(mem_mul(t->count, sizeof(float)));
	l->stored = mem_try_aligned(mem_mul(t->count, sizeof(uint16_t)));
	if (!l->sum || !l->stored)
		return err_set(ERR_UNAVAILABLE, "no memory for a tensor of %zu numbers", t->count);
	if (floats || !narrow)
		memcpy(l->sum, *rows, t->count * sizeof(float));
	else
		elements_widen(l->sum, *rows, t->dtype, t->count);
	rc = peft_merge(l->adapter, l->m, t, l->sum);
	if (!rc && narrow)
		elements_narrow(l->stored, l->sum, t->dtype, t->count);
	if (!rc && narrow && floats)
		elements_widen(l->sum, l->stored, t->dtype, t->count);
	*rows = floats || !narrow ? l->sum : l->stored;
	return rc;
}

/* What the type of the matrix calls for: its stored elements, or floats. e is the tensor, or some rows of it. */
static int load_rows(struct loader *l, const struct safetensors *in, const struct safetensors_entry *e,
		     const struct tensor *t, bool floats, const void **rows)
{
	size_t size = floats ? sizeof(float) : dtype_size(t->dtype);
	int rc = 0;

	*rows = e->data;
	if (floats) {
		rc = safetensors_floats(in, e, l->a);
		*rows = l->a;
	}
	if (!rc && t->transposed) {
		elements_transpose(l->b, *rows, (int)t->dims[0], (int)t->dims[1], size);
		*rows = l->b;
	}
	return !rc && l->adapter && peft_has(l->adapter, t) ? merge_rows(l, t, floats, rows) : rc;
}

static bool wants_floats(struct model *m, const struct tensor *t)
{
	int row0;
	const struct matrix *x = model_matrix(m, t, &row0);

	return m->params || !x || (x->w.type == KERNELS_F32 && strcmp(t->dtype, "F32") != 0);
}

/* Rows are read so many at a time, of about four megabytes; all, where they are turned or changed. */
static int part_rows(const struct loader *l, const struct tensor *t)
{
	enum { PANEL = 16, PART = 1 << 20 };
	int n = PART / t->cols / PANEL * PANEL;

	if (t->transposed || (l->adapter && peft_has(l->adapter, t)))
		return t->rows;
	return n < PANEL ? PANEL : n;
}

/* Rows first .. first + n of the tensor go where they belong. */
static int load_part(struct loader *l, const struct safetensors *in, const struct safetensors_entry *e,
		     const struct tensor *t, int first, int n)
{
	struct model *m = l->m;
	struct backend *be = m->be;
	size_t from = (size_t)first * (size_t)t->cols, count = (size_t)n * (size_t)t->cols;
	struct safetensors_entry part = *e;
	const void *rows;
	int row0, rc;
	struct matrix *x = model_matrix(m, t, &row0);

	part.data += from * dtype_size(t->dtype);
	part.count = count;
	rc = load_rows(l, in, &part, t, wants_floats(m, t), &rows);
	if (!rc && m->params)
		be->upload(be, m->params + t->at + from, rows, count * sizeof(float));
	else if (!rc && !x)
		be->upload(be, m->vectors + (t->at - m->n_decayed) + from, rows, count * sizeof(float));
	else if (!rc)
		be->pack(be, &x->w, rows, row0 + first, n);
	safetensors_drop(in, part.data, count * dtype_size(t->dtype));
	return rc;
}

/* All is read once, so the mapping's pages go behind it: there is one copy of the weights, not two. */
static int load_tensor(struct loader *l, const struct tensor *t)
{
	const struct safetensors *in = NULL;
	const struct safetensors_entry *e = shards_tensor(l->m, l->shards, t->name, &in);
	int rows = part_rows(l, t), rc = 0;

	for (int first = 0; !rc && first < t->rows; first += rows)
		rc = load_part(l, in, e, t, first, t->rows - first < rows ? t->rows - first : rows);
	return rc;
}

static int load_tensors(struct model *m, const struct shards *s, bool train, struct peft *adapter)
{
	struct loader l = { .m = m, .shards = s, .adapter = adapter };
	size_t floats = 0, turned = 0;
	int rc = train ? model_alloc(m) : model_alloc_frozen(m);

	if (rc)
		return rc;
	for (size_t i = 0; i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		int rows = part_rows(&l, t);
		size_t part = (size_t)(rows < t->rows ? rows : t->rows) * (size_t)t->cols;
		if (wants_floats(m, t))
			floats = part > floats ? part : floats;
		if (t->transposed)
			turned = part > turned ? part : turned;
	}
	l.a = mem_try_aligned(mem_mul(floats + 1, sizeof(float)));
	l.b = mem_try_aligned(mem_mul(turned + 1, sizeof(float)));
	if (!l.a || !l.b)
		rc = err_set(ERR_UNAVAILABLE, "no memory for a tensor of %zu numbers", floats + turned);
	for (size_t i = 0; !rc && i < m->n_tensors; i++)
		rc = load_tensor(&l, &m->tensors[i]);
	if (!rc && adapter)
		rc = peft_check_used(adapter);
	free(l.a);
	free(l.b);
	free(l.sum);
	free(l.stored);
	return rc ? rc : m->be->sync(m->be);
}

/* A file of a tied model may hold the head once more; then it must be the embedding. */
static int check_tied_head(const struct model *m, const struct shards *s, const struct safetensors *in,
			   const struct safetensors_entry *e)
{
	const struct safetensors *other = NULL;
	const struct safetensors_entry *embed = shards_tensor(m, s, m->tensors[0].name, &other);

	bool same = embed && !strcmp(embed->dtype, e->dtype) && embed->end - embed->begin == e->end - e->begin &&
		    !memcmp(embed->data, e->data, (size_t)(e->end - e->begin));

	safetensors_drop(in, e->data, (size_t)(e->end - e->begin));
	if (embed)
		safetensors_drop(other, embed->data, (size_t)(embed->end - embed->begin));
	if (same)
		return 0;
	int rc =
		err_set(ERR_INPUT, "%s: config.json ties the head to the embedding, but lm_head.weight differs from it",
			in->path);
	return err_hint(rc, "set tie_word_embeddings to false in config.json");
}

/* Buffers that are computed again and that old files carry. */
static bool is_buffer(const struct model *m, const char *name)
{
	return path_has_suffix(name, ".rotary_emb.inv_freq") ||
	       (m->arch->conv1d && (path_has_suffix(name, ".attn.bias") || path_has_suffix(name, ".attn.masked_bias")));
}

static int check_entry(const struct model *m, const struct shards *s, const struct map *known, size_t f,
		       const struct safetensors_entry *e)
{
	const struct safetensors *in = &s->files[f];
	const char *prefix = m->arch->prefix ? m->arch->prefix : "";
	char *full = mem_printf("%s%s", prefix, e->name);
	bool is_known = map_has(known, e->name) || map_has(known, full);
	const struct safetensors *other;
	int rc = 0;

	if (*prefix && map_has(known, full) && shards_find(s, full, &other))
		rc = err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" is there a second time, as \"%s\"", in->path,
				      e->name, full),
			      "save the model again, into an empty folder");
	free(full);
	if (!is_known && m->config.tied && !strcmp(e->name, "lm_head.weight"))
		rc = check_tied_head(m, s, in, e);
	else if (!is_known && !is_buffer(m, e->name))
		rc = err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" is not part of a %s model of %d layers", in->path,
				      e->name, m->config.architecture, m->config.layers),
			      ONE_MODEL);
	return rc;
}

static int check_unknown(const struct model *m, const struct shards *s)
{
	struct map known;
	int rc = 0;

	map_init(&known);
	for (size_t i = 0; i < m->n_tensors; i++)
		map_put(&known, m->tensors[i].name, strlen(m->tensors[i].name), 0);
	for (size_t f = 0; !rc && f < s->n; f++)
		for (size_t i = 0; !rc && i < s->files[f].n; i++)
			rc = check_entry(m, s, &known, f, &s->files[f].entries[i]);
	map_release(&known);
	return rc;
}

/* ---- reading: folder --------------------------------------------------------------------------------------------- */

static int read_member(json_t **out, const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	int rc = json_read(out, path, MAX_JSON);

	free(path);
	return rc;
}

#define NAME_EOS "name the ids that end a text, or null"

/* Generation ends at any of the ids of generation_config.json, or of config.json where that has none. */
static int read_eos(struct model *m, const char *dir)
{
	const json_t *v = json_object_get(m->generation, "eos_token_id");
	const char *name = v && !json_is_null(v) ? "generation_config.json" : "config.json";
	size_t n;

	if (!v || json_is_null(v))
		v = json_object_get(m->source, "eos_token_id");
	if (v && !json_is_null(v) && !json_is_integer(v) && !json_is_array(v))
		return err_hint(
			err_set(ERR_INPUT, "%s/%s: eos_token_id: expected a token id or a list of them", dir, name),
			NAME_EOS);
	n = json_is_array(v) ? json_array_size(v) : 0;
	if (n > ARRAY_LEN(m->eos))
		return err_hint(
			err_set(ERR_INPUT, "%s/%s: eos_token_id: more than %zu ids", dir, name, ARRAY_LEN(m->eos)),
			NAME_EOS);
	if (json_is_integer(v) || n)
		m->n_eos = 0;
	for (size_t i = 0; i < (n ? n : json_is_integer(v)); i++) {
		const json_t *id = n ? json_array_get(v, i) : v;
		if (!json_is_integer(id) || json_integer_value(id) < 0 ||
		    json_integer_value(id) >= m->config.vocab_size)
			return err_hint(err_set(ERR_INPUT, "%s/%s: eos_token_id: not an id of the vocabulary of %d",
						dir, name, m->config.vocab_size),
					NAME_EOS);
		m->eos[m->n_eos++] = (int32_t)json_integer_value(id);
	}
	if (m->config.eos_id < 0 && m->n_eos)
		m->config.eos_id = m->eos[0];
	return 0;
}

static int read_generation(struct model *m, const char *dir)
{
	int rc = read_member(&m->generation, dir, "generation_config.json");

	if (rc && rc != ERR_NOTFOUND)
		return rc;
	if (!rc && !json_is_object(m->generation))
		return err_hint(err_set(ERR_INPUT, "%s/generation_config.json: expected an object", dir),
				"the file may as well be left out");
	return read_eos(m, dir);
}

static int no_config(const char *dir)
{
	char *adapter = path_join(dir, "adapter_config.json");
	bool is_adapter = fs_exists(adapter);
	int rc = err_set(ERR_INPUT, "%s: no config.json", dir);

	free(adapter);
	return err_hint(rc, is_adapter ? "this is an adapter: name its base as the model, and it as finetune.adapter"
				       : "name a Hugging Face folder");
}

static int read_config(struct model_config *config, json_t **source, const char *dir)
{
	char *name = path_join(dir, "config.json");
	int rc = read_member(source, dir, "config.json");

	if (rc == ERR_NOTFOUND)
		rc = no_config(dir);
	if (!rc)
		rc = model_config_parse(config, *source, name);
	free(name);
	return rc;
}

int model_folder_config(struct model_config *out, const char *dir)
{
	json_t *source = NULL;
	int rc = read_config(out, &source, dir);

	json_decref(source);
	return rc;
}

int model_open_folder(struct model **out, struct shards *shards, const char *dir)
{
	struct model_config config;
	struct model *m = NULL;
	json_t *source = NULL;
	int rc = read_config(&config, &source, dir);

	if (!rc)
		rc = shards_open(shards, dir);
	if (!rc) {
		m = model_new(&config, NULL);
		m->source = json_incref(source);
		rc = check_tensors(m, shards, dir);
	}
	if (!rc)
		rc = check_unknown(m, shards);
	if (!rc)
		rc = read_generation(m, dir);
	json_decref(source);
	if (rc)
		model_free(m);
	else
		*out = m;
	return rc;
}

int model_load(struct model **out, const char *dir, struct backend *be, const struct model_load *how)
{
	struct shards shards = { 0 };
	struct model *m = NULL;
	struct peft *adapter = NULL;
	int rc = model_open_folder(&m, &shards, dir);

	if (!rc && how && how->adapter)
		rc = peft_open(&adapter, how->adapter, how->adapter_name);
	if (!rc) {
		m->be = be;
		m->on_device = be->memory != NULL;
		rc = load_tensors(m, &shards, how && how->train, adapter);
	}
	peft_free(adapter);
	shards_release(&shards);
	if (rc)
		model_free(m);
	else
		*out = m;
	return rc;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void set(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}

/* A float as the shortest decimal that reads back as the same float: 1e-05, not 9.9999997e-06. */
static json_t *json_float(float x)
{
	char text[40];

	for (int digits = 1; digits <= 9; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, (double)x);
		if (!((float)strtod(text, NULL) < x) && !((float)strtod(text, NULL) > x))
			break;
	}
	return json_real(strtod(text, NULL));
}

static json_t *json_id(int id)
{
	return id < 0 ? json_null() : json_integer(id);
}

/* "F32", or the type that most weights of a frozen model have */
static const char *saved_type(const struct model *m)
{
	return m->params ? "F32" : m->tensors[0].dtype;
}

static void set_dtype(json_t *o, const char *type)
{
	const char *name = !strcmp(type, "BF16") ? "bfloat16" : !strcmp(type, "F16") ? "float16" : "float32";

	set(o, "torch_dtype", json_string(name));
	set(o, "dtype", json_string(name));
}

/* Old readers look for theta and scaling at the top, new ones find them there, too. */
static void set_rope(json_t *o, const struct model *m)
{
	json_t *scaling = json_object_get(o, "rope_scaling"), *params = json_object_get(o, "rope_parameters");
	json_t *from = json_is_object(scaling) ? scaling : params;

	if (m->arch->learned_positions)
		return;
	set(o, "rope_theta", json_float(m->config.rope_theta));
	if (m->config.rope.kind == MODEL_ROPE_DEFAULT)
		set(o, "rope_scaling", json_null());
	else
		set(o, "rope_scaling", json_deep_copy(from));
	json_object_del(o, "rope_parameters");
}

/* Of a loaded model: what it came with, but for what we have changed. */
static json_t *config_json_loaded(const struct model *m)
{
	json_t *o = json_deep_copy(m->source);

	set(o, "architectures", json_pack("[s]", m->arch->class_name));
	set_rope(o, m);
	set(o, "tie_word_embeddings", json_boolean(m->config.tied));
	set_dtype(o, saved_type(m));
	return o;
}

/* Of a fresh model, which is a Llama. */
static json_t *config_json_fresh(const struct model *m)
{
	const struct model_config *c = &m->config;
	json_t *o = json_object();

	set(o, "architectures", json_pack("[s]", m->arch->class_name));
	set(o, "model_type", json_string(c->architecture));
	set(o, "vocab_size", json_integer(c->vocab_size));
	set(o, "hidden_size", json_integer(c->hidden_size));
	set(o, "intermediate_size", json_integer(c->intermediate_size));
	set(o, "num_hidden_layers", json_integer(c->layers));
	set(o, "num_attention_heads", json_integer(c->heads));
	set(o, "num_key_value_heads", json_integer(c->kv_heads));
	set(o, "head_dim", json_integer(c->head_dim));
	set(o, "max_position_embeddings", json_integer(c->context));
	set(o, "hidden_act", json_string("silu"));
	set(o, "rms_norm_eps", json_float(c->norm_eps));
	set_rope(o, m);
	set(o, "initializer_range", json_float(c->init_range));
	set(o, "tie_word_embeddings", json_boolean(c->tied));
	set(o, "attention_bias", json_false());
	set(o, "mlp_bias", json_false());
	set(o, "attention_dropout", json_real(0.0));
	set(o, "bos_token_id", json_id(c->bos_id));
	set(o, "eos_token_id", json_id(c->eos_id));
	set(o, "use_cache", json_true());
	set_dtype(o, saved_type(m));
	return o;
}

static json_t *generation_json(const struct model *m)
{
	if (m->generation)
		return json_deep_copy(m->generation);
	json_t *o = json_object(), *ids = json_array();
	for (int i = 0; i < m->n_eos; i++)
		json_array_append_new(ids, json_integer(m->eos[i]));
	set(o, "_from_model_config", json_true());
	set(o, "bos_token_id", json_id(m->config.bos_id));
	set(o, "eos_token_id", m->n_eos > 1 ? json_incref(ids) : json_id(m->n_eos ? m->eos[0] : -1));
	json_decref(ids);
	return o;
}

static int write_json(const char *dir, const char *name, json_t *value)
{
	struct buf text = BUF_INIT(MAX_JSON);
	char *path = path_join(dir, name);

	json_add_pretty(&text, value);
	int rc = fs_write(path, buf_str(&text), text.len);
	buf_release(&text);
	json_decref(value);
	free(path);
	return rc;
}

int model_read_tensor(const struct model *m, const struct tensor *t, void *rows, size_t *bytes)
{
	struct backend *be = m->be;
	int row0;
	const struct matrix *x = model_matrix((struct model *)(uintptr_t)m, t, &row0);

	*bytes = t->count * sizeof(float);
	if (m->params) {
		be->download(be, rows, m->params + t->at, *bytes);
	} else if (!x) {
		be->download(be, rows, m->vectors + (t->at - m->n_decayed), *bytes);
	} else {
		*bytes = t->count * (x->w.type == KERNELS_F32 ? sizeof(float) : sizeof(uint16_t));
		be->unpack(be, rows, &x->w, row0, t->rows);
	}
	return be->sync(be);
}

/* ---- writing: weights ------------------------------------------------------------------------------------------- */

struct weights_out {
	const struct model *m;
	const struct tensor **tensors; /* in the order of list */
	const struct safetensors_out *list;
	void *a, *b; /* room for the largest tensor as floats, twice */
};

static const struct lora_part *part_of(const struct model *m, const struct tensor *t, size_t *i)
{
	for (*i = 0; m->lora && t->n_dims == 2 && *i < m->lora->n; ++*i)
		if (m->lora->parts[*i].layer == t->layer && m->lora->parts[*i].role == t->role)
			return &m->lora->parts[*i];
	return NULL;
}

/* w->a: our rows as `now`; becomes floats */
static int merge(struct weights_out *w, const struct tensor *t, const char *now, size_t part)
{
	float *sum = w->a, *delta = w->b;

	if (strcmp(now, "F32") != 0) {
		memcpy(w->b, w->a, t->count * sizeof(uint16_t));
		elements_widen(sum, w->b, now, t->count);
	}
	int rc = lora_delta(w->m, part, delta);
	for (size_t j = 0; !rc && j < t->count; j++)
		sum[j] += delta[j];
	return rc;
}

/* A tensor as the folder has it: merged, in its stored type, turned back. */
static const void *next_weight(size_t i, void *arg)
{
	struct weights_out *w = arg;
	const struct tensor *t = w->tensors[i];
	const char *type = w->list[i].dtype, *now;
	size_t bytes = 0, part;
	void *swap;

	if (model_read_tensor(w->m, t, w->a, &bytes))
		return NULL;
	now = bytes == t->count * sizeof(float) ? "F32" : type;
	if (part_of(w->m, t, &part)) {
		if (merge(w, t, now, part))
			return NULL;
		now = "F32";
	}
	if (strcmp(now, type) != 0) {
		elements_narrow(w->b, w->a, type, t->count);
		swap = w->a, w->a = w->b, w->b = swap;
	}
	if (t->transposed) {
		elements_transpose(w->b, w->a, t->rows, t->cols, dtype_size(type));
		return w->b;
	}
	return w->a;
}

/* Tables, layers from the first to the last, norm, head: so a shard has whole layers. */
static int in_model_order(const void *a, const void *b)
{
	const struct tensor *x = *(const struct tensor *const *)a, *y = *(const struct tensor *const *)b;
	int behind_x = x->layer < 0 && x->role > ROLE_POSITIONS, behind_y = y->layer < 0 && y->role > ROLE_POSITIONS;

	if (behind_x != behind_y)
		return behind_x - behind_y;
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->role != y->role ? (x->role < y->role ? -1 : 1) : x->bias - y->bias;
}

static int write_weights(const struct model *m, const char *dir)
{
	struct safetensors_out *list = mem_array(m->n_tensors, sizeof(*list));
	const struct tensor **tensors = mem_array(m->n_tensors, sizeof(*tensors));
	struct weights_out w = { m, tensors, list, NULL, NULL };
	size_t largest = 0;
	int rc = 0;

	for (size_t i = 0; i < m->n_tensors; i++)
		tensors[i] = &m->tensors[i];
	qsort(tensors, m->n_tensors, sizeof(*tensors), in_model_order);
	for (size_t i = 0; i < m->n_tensors; i++) {
		const struct tensor *t = tensors[i];
		list[i] = (struct safetensors_out){
			t->name, t->n_dims, { t->dims[0], t->dims[1] }, m->params ? "F32" : t->dtype
		};
		largest = t->count > largest ? t->count : largest;
	}
	w.a = mem_try_aligned(mem_mul(largest, sizeof(float)));
	w.b = mem_try_aligned(mem_mul(largest, sizeof(float)));
	if (!w.a || !w.b)
		rc = err_set(ERR_UNAVAILABLE, "no memory for a tensor of %zu numbers", largest);
	if (!rc)
		rc = shards_write(dir, list, m->n_tensors, SHARDS_LIMIT, next_weight, &w);
	free(w.a);
	free(w.b);
	free(tensors);
	free(list);
	return rc;
}

int model_save(const struct model *m, const char *dir)
{
	int rc = fs_mkdirs(dir);

	if (!rc)
		rc = write_json(dir, "config.json", m->source ? config_json_loaded(m) : config_json_fresh(m));
	if (!rc)
		rc = write_json(dir, "generation_config.json", generation_json(m));
	if (!rc)
		rc = write_weights(m, dir);
	return rc;
}

/* ---- a hash ------------------------------------------------------------------------------------------------------- */

uint64_t checkpoint_hash(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	h += 0x9e3779b97f4a7c15u ^ (uint64_t)len;
	while (len) {
		uint64_t word = 0;
		size_t n = len < 8 ? len : 8;
		memcpy(&word, p, n);
		h = (h ^ word) * 0x9fb21c651e98df25u;
		h ^= h >> 32;
		p += n;
		len -= n;
	}
	h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
	return h ^ h >> 32;
}
