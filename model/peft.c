/* peft.c: the factors of LoRA as a PEFT adapter: adapter_config.json and adapter_model.safetensors.
 *
 * A factor of module M is base_model.model.M.lora_A.weight [rank, in] or .lora_B.weight [out, rank], which are our A and B
 * whatever way the folder of the base stores W. Equal factors give equal bytes: one metadata pair, keys in one order.
 *
 * To read an adapter: model_load's `adapter`. */
#include "base/base.h"

#include "model/model_int.h"

#define PREFIX "base_model.model."

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static json_t *target_list(const struct lora *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n_targets; i++)
		json_array_append_new(list, json_string(l->targets[i]));
	return list;
}

/* rank and alpha as PEFT divides them; everything that we do not do is said to be off */
static json_t *adapter_config(const struct model *m, const char *base)
{
	const struct lora *l = m->lora;
	double whole = (double)(long long)l->alpha;
	bool is_whole = !(whole < l->alpha) && !(whole > l->alpha);
	json_t *o = json_object();

	json_object_set_new(o, "peft_type", json_string("LORA"));
	json_object_set_new(o, "task_type", json_string("CAUSAL_LM"));
	json_object_set_new(o, "base_model_name_or_path", base ? json_string(base) : json_null());
	json_object_set_new(o, "revision", json_null());
	json_object_set_new(o, "inference_mode", json_true());
	json_object_set_new(o, "r", json_integer(l->rank));
	json_object_set_new(o, "lora_alpha", is_whole ? json_integer((json_int_t)l->alpha) : json_real(l->alpha));
	json_object_set_new(o, "lora_dropout", json_real((double)l->dropout));
	json_object_set_new(o, "target_modules", target_list(l));
	json_object_set_new(o, "bias", json_string("none"));
	json_object_set_new(o, "fan_in_fan_out", json_boolean(m->arch->conv1d));
	json_object_set_new(o, "use_rslora", json_false());
	json_object_set_new(o, "use_dora", json_false());
	json_object_set_new(o, "modules_to_save", json_null());
	json_object_set_new(o, "init_lora_weights", json_true());
	return o;
}

struct factors {
	const struct model *m;
	struct safetensors_out *list;
	float *host;
};

static const struct tensor *tensor_of(const struct model *m, const struct lora_part *p)
{
	for (size_t i = 0; i < m->n_tensors; i++)
		if (m->tensors[i].role == p->role && m->tensors[i].layer == p->layer && !m->tensors[i].bias)
			return &m->tensors[i];
	return NULL;
}

static const void *next_factor(size_t i, void *arg)
{
	struct factors *f = arg;
	const struct lora *l = f->m->lora;
	const struct lora_part *p = &l->parts[i / 2];
	size_t rank = (size_t)l->rank, n = i % 2 ? rank * (size_t)p->N : rank * (size_t)p->K;

	f->m->be->download(f->m->be, f->host, l->params + (i % 2 ? p->b : p->a), n * sizeof(float));
	return f->m->be->sync(f->m->be) ? NULL : f->host;
}

static int write_factors(const struct model *m, const char *path)
{
	const struct lora *l = m->lora;
	size_t largest = 0;
	struct factors f = { m, mem_array(2 * l->n, sizeof(*f.list)), NULL };
	char **names = mem_array(2 * l->n, sizeof(*names));

	for (size_t i = 0; i < 2 * l->n; i++) {
		const struct lora_part *p = &l->parts[i / 2];
		const char *name = tensor_of(m, p)->name;
		int wide = i % 2 ? p->N : p->K;
		names[i] = mem_printf(PREFIX "%.*s.lora_%c.weight", (int)(strlen(name) - strlen(".weight")), name,
				      i % 2 ? 'B' : 'A');
		f.list[i] = (struct safetensors_out){
			names[i], 2, { i % 2 ? p->N : l->rank, i % 2 ? l->rank : p->K }, "F32"
		};
		largest = (size_t)wide > largest ? (size_t)wide : largest;
	}
	f.host = mem_array(largest * (size_t)l->rank, sizeof(float));
	int rc = safetensors_write(path, f.list, 2 * l->n, "format", "pt", next_factor, &f);
	for (size_t i = 0; i < 2 * l->n; i++)
		free(names[i]);
	free(names);
	free(f.list);
	free(f.host);
	return rc;
}

int model_save_adapter(const struct model *m, const char *dir, const char *base)
{
	struct buf text = BUF_INIT(1 << 20);
	char *config = path_join(dir, "adapter_config.json"), *weights = path_join(dir, "adapter_model.safetensors");
	int rc = m->lora ? fs_mkdirs(dir) : err_set(ERR_BUG, "the model has no factors to save");

	if (!rc) {
		json_t *o = adapter_config(m, base);
		json_add_pretty(&text, o);
		json_decref(o);
		rc = fs_write(config, buf_str(&text), text.len);
	}
	if (!rc)
		rc = write_factors(m, weights);
	buf_release(&text);
	free(config);
	free(weights);
	return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct peft {
	char *dir;
	json_t *config;
	struct safetensors file;
	bool *used; /* by entry */
};

/* What changes the arithmetic and is not built: absent, null, false, "none", or an empty list or object. */
static const char *const refused[] = { "use_dora",         "lora_bias",          "layer_replication",
				       "target_parameters", "trainable_token_indices", "megatron_config",
				       "eva_config",       "corda_config",       "use_qalora",
				       "alora_invocation_tokens", "arrow_config",  "monteclora_config" };

static bool is_off(const json_t *v)
{
	return !v || json_is_null(v) || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
	       (json_is_object(v) && !json_object_size(v)) ||
	       (json_is_string(v) && (!*json_string_value(v) || !strcmp(json_string_value(v), "none")));
}

static int check_config(const struct peft *p)
{
	const char *type = json_get_text(p->config, "peft_type", "");

	if (strcmp(type, "LORA") != 0)
		return err_set(ERR_INPUT, "%s/adapter_config.json: peft_type \"%s\" is not supported (only LORA)", p->dir,
			       type);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (!is_off(json_object_get(p->config, refused[i])))
			return err_hint(err_set(ERR_INPUT, "%s/adapter_config.json: %s is not supported", p->dir,
						refused[i]),
					"merge the adapter with PEFT: model.merge_and_unload().save_pretrained(dir)");
	if (json_get_int(p->config, "r", 8) < 1)
		return err_set(ERR_INPUT, "%s/adapter_config.json: r must be 1 or more", p->dir);
	return 0;
}

int peft_open(struct peft **out, const char *dir)
{
	struct peft *p = mem_alloc(sizeof(*p));
	char *config = path_join(dir, "adapter_config.json"), *weights = path_join(dir, "adapter_model.safetensors");
	int rc;

	*p = (struct peft){ .dir = mem_str(dir) };
	rc = json_read(&p->config, config, 1 << 20);
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s: no adapter_config.json", dir);
	if (!rc)
		rc = check_config(p);
	if (!rc) {
		rc = safetensors_open(&p->file, weights);
		if (rc == ERR_NOTFOUND)
			rc = err_hint(err_set(ERR_INPUT, "%s: no adapter_model.safetensors", dir),
				      "adapters saved as .bin are pickles and are not opened; save it as safetensors");
	}
	if (!rc)
		p->used = mem_array(p->file.n + 1, sizeof(*p->used));
	free(config);
	free(weights);
	if (rc)
		peft_free(p);
	else
		*out = p;
	return rc;
}

void peft_free(struct peft *p)
{
	if (!p)
		return;
	safetensors_close(&p->file);
	json_decref(p->config);
	free(p->used);
	free(p->dir);
	free(p);
}

static const struct safetensors_entry *take(struct peft *p, const struct tensor *t, const char *end)
{
	int module = (int)(strlen(t->name) - strlen(".weight"));
	char *name = mem_printf(PREFIX "%.*s%s", module, t->name, end);
	const struct safetensors_entry *e = safetensors_find(&p->file, name);

	free(name);
	if (e)
		p->used[e - p->file.entries] = true;
	return e;
}

/* The patterns' keys are matched as PEFT does, in their plain form: a path's end at a dot. */
static double pattern_value(const json_t *patterns, const char *module, size_t len, double otherwise)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)patterns, key, v)
	{
		size_t k = strlen(key);
		if (json_is_number(v) && k <= len && !memcmp(module + len - k, key, k) &&
		    (k == len || module[len - k - 1] == '.'))
			return json_number_value(v);
	}
	return otherwise;
}

static double scale_of(const struct peft *p, const struct tensor *t, int rank)
{
	double alpha = pattern_value(json_object_get(p->config, "alpha_pattern"), t->name,
				     strlen(t->name) - strlen(".weight"), json_get_real(p->config, "lora_alpha", 8));

	return alpha / (json_get_flag(p->config, "use_rslora", false) ? __builtin_sqrt((double)rank) : (double)rank);
}

static int bad_shape(const struct peft *p, const struct safetensors_entry *e, const struct tensor *t)
{
	return err_set(ERR_INPUT, "%s: tensor \"%s\" does not fit \"%s\" of %d x %d", p->file.path, e->name, t->name,
		       t->rows, t->cols);
}

static int add_product(struct peft *p, const struct tensor *t, const struct safetensors_entry *ea,
		       const struct safetensors_entry *eb, float *rows)
{
	if (ea->n_dims != 2 || eb->n_dims != 2 || ea->dims[1] != (uint64_t)t->cols || eb->dims[0] != (uint64_t)t->rows ||
	    ea->dims[0] != eb->dims[1] || !ea->dims[0] || ea->dims[0] > 65536)
		return bad_shape(p, ea, t);
	size_t r = (size_t)ea->dims[0], K = (size_t)t->cols, N = (size_t)t->rows;
	float *a = mem_try_aligned(r * (K + N) * sizeof(float)), *b = a ? a + r * K : NULL;
	if (!a)
		return err_set(ERR_UNAVAILABLE, "no memory for the factors of %s", t->name);
	float scale = (float)scale_of(p, t, (int)r);
	int rc = safetensors_floats(&p->file, ea, a);

	if (!rc)
		rc = safetensors_floats(&p->file, eb, b);
	for (size_t n = 0; !rc && n < N; n++)
		for (size_t j = 0; j < r; j++) {
			float by = scale * b[n * r + j];
			for (size_t k = 0; k < K; k++)
				rows[n * K + k] = __builtin_fmaf(by, a[j * K + k], rows[n * K + k]);
		}
	free(a);
	return rc;
}

int peft_merge(struct peft *p, const struct tensor *t, float *rows, bool *changed)
{
	const struct safetensors_entry *a = take(p, t, ".lora_A.weight"), *b = take(p, t, ".lora_B.weight");

	*changed = a && b;
	if (!a != !b)
		return err_set(ERR_INPUT, "%s: \"%s\" has no counterpart", p->file.path, (a ? a : b)->name);
	return *changed ? add_product(p, t, a, b, rows) : 0;
}

int peft_check_used(const struct peft *p)
{
	for (size_t i = 0; i < p->file.n; i++)
		if (!p->used[i])
			return err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" belongs to no linear layer of this model",
						p->file.path, p->file.entries[i].name),
					"the adapter is of another model, or adapts embeddings or whole modules: merge it "
					"with PEFT first");
	return 0;
}
