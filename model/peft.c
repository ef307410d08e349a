/* peft.c: the factors of LoRA as a PEFT adapter: adapter_config.json and adapter_model.safetensors.
 *
 * A factor of module M is base_model.model.M.lora_A.weight [rank, in] or .lora_B.weight [out, rank], which are our A and B
 * whatever way the folder of the base stores W. Of a table of embeddings they are M.lora_embedding_A [rank, vocabulary] and
 * M.lora_embedding_B [width, rank]. A tensor under its plain name (modules_to_save, biases) takes the base's place.
 *
 * Writing: equal factors give equal bytes: one metadata pair, keys in one order.
 *
 * Reading (model_load's `adapter`): the tensors decide what is adapted; of the configuration only r, lora_alpha, their
 * patterns and use_rslora are read. A key that is not known to be without effect must be off: adapters grow new keys, and
 * one that is computed almost as it should be is worse than none. The sum is made in fp32 and rounded once to the type
 * of the base, as PEFT's merge does. With a tied head, PEFT changes one end of the matrix; one matrix cannot be two, so that
 * is refused. */
#include "base/base.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "model/model_int.h"

#define PREFIX "base_model.model."
#define ONE_ADAPTER "take adapter_config.json and the weights of one and the same adapter, as PEFT saved them"

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
	if (!rc)
		rc = fs_temp_sweep(dir);
	buf_release(&text);
	free(config);
	free(weights);
	return rc;
}

/* ---- reading: the configuration -------------------------------------------------------------------------------------- */

enum { MOST_PATTERNS = 4096, MOST_PATTERN_BYTES = 16 << 20, MOST_RANK = 65536 };

struct pattern { /* of rank_pattern or alpha_pattern: a regular expression of modules, and their value */
	pcre2_code *code;
	double value;
};
struct patterns {
	struct pattern *items;
	size_t n, bytes; /* bytes: of all that is compiled */
};
struct peft {
	char *name; /* for errors */
	json_t *config;
	struct safetensors file;
	struct patterns ranks, alphas;
	bool *used; /* by entry */
};

/* Read here, or of no effect on a merge. */
static const char *const known[] = {
	"alpha_pattern",
	"auto_mapping",
	"base_model_name_or_path",
	"bias",
	"exclude_modules",
	"fan_in_fan_out",
	"inference_mode",
	"init_lora_weights",
	"layers_pattern",
	"layers_to_transform",
	"loftq_config",
	"lora_alpha",
	"lora_dropout",
	"megatron_core",
	"modules_to_save",
	"peft_type",
	"peft_version",
	"qalora_group_size",
	"r",
	"rank_pattern",
	"revision",
	"runtime_config",
	"target_modules",
	"task_type",
	"use_rslora",
};

static bool is_off(const json_t *v)
{
	return json_is_null(v) || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
	       (json_is_object(v) && !json_object_size(v));
}

static int not_built(const struct peft *p, const char *what)
{
	int rc = err_set(ERR_INPUT, "%s/adapter_config.json: %s is not supported", p->name, what);

	return err_hint(rc, "merge the adapter with PEFT: model.merge_and_unload().save_pretrained(dir)");
}

static int check_keys(const struct peft *p)
{
	const char *key;
	json_t *v;

	json_object_foreach(p->config, key, v)
	{
		bool is_known = is_off(v);
		for (size_t i = 0; !is_known && i < ARRAY_LEN(known); i++)
			is_known = !strcmp(key, known[i]);
		if (!is_known)
			return not_built(p, key);
	}
	return 0;
}

/* Some ways to begin take the first factors off the base's weights, so the base alone is no longer the base. */
static int check_init(const struct peft *p)
{
	static const char *const harmless[] = { "gaussian", "eva", "orthogonal" };
	const json_t *v = json_object_get(p->config, "init_lora_weights");
	bool ok = !v || json_is_null(v) || json_is_boolean(v);

	for (size_t i = 0; !ok && json_is_string(v) && i < ARRAY_LEN(harmless); i++)
		ok = !strcmp(json_string_value(v), harmless[i]);
	return ok ? 0 : not_built(p, "this init_lora_weights, which changes the base,");
}

static int read_number(const struct peft *p, const char *key, const json_t *v, double max, double *out)
{
	if (!json_is_number(v) || !(json_number_value(v) > 0) || json_number_value(v) > max)
		return err_set(ERR_INPUT, "%s/adapter_config.json: %s: expected a number above 0, at most %g", p->name,
			       key, max);
	*out = json_number_value(v);
	return 0;
}

static int check_config(const struct peft *p)
{
	const char *type = json_get_text(p->config, "peft_type", "");
	const json_t *r = json_object_get(p->config, "r"), *alpha = json_object_get(p->config, "lora_alpha");
	double number;
	const json_t *rslora = json_object_get(p->config, "use_rslora");
	int rc = 0;

	if (strcmp(type, "LORA") != 0)
		return err_set(ERR_INPUT, "%s/adapter_config.json: peft_type \"%s\" is not supported (only LORA)",
			       p->name, type);
	if (rslora && !json_is_null(rslora) && !json_is_boolean(rslora))
		return err_set(ERR_INPUT, "%s/adapter_config.json: use_rslora: expected true or false", p->name);
	rc = check_keys(p);
	if (!rc)
		rc = check_init(p);
	if (!rc && r)
		rc = read_number(p, "r", r, MOST_RANK, &number);
	if (!rc && alpha)
		rc = read_number(p, "lora_alpha", alpha, 1e6, &number);
	return rc;
}

/* As PEFT matches them: re.match("(.*\.)?(KEY)$", module). */
static int read_pattern(const struct peft *p, const char *list, const char *key, const json_t *v, struct pattern *out)
{
	char *text = mem_printf("^(?:.*\\.)?(?:%s)$", key);
	size_t at;
	int error, rc = strlen(key) < 1024 ? read_number(p, list, v, 1e6, &out->value) : ERR_INPUT;

	if (!rc) {
		out->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, &error, &at, NULL);
		rc = out->code ? 0 : ERR_INPUT;
	}
	if (rc && !out->code)
		err_set(ERR_INPUT, "%s/adapter_config.json: %s: \"%.100s\" is no pattern of modules with a number",
			p->name, list, key);
	free(text);
	return rc;
}

static int read_patterns(const struct peft *p, const char *list, struct patterns *out)
{
	const json_t *o = json_object_get(p->config, list);
	const char *key;
	json_t *v;
	int rc = 0;

	if (!o || json_is_null(o))
		return 0;
	if (!json_is_object(o) || json_object_size(o) > MOST_PATTERNS)
		return err_set(ERR_INPUT, "%s/adapter_config.json: %s: expected an object of at most %d members",
			       p->name, list, MOST_PATTERNS);
	out->items = mem_array(json_object_size(o) + 1, sizeof(*out->items));
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		rc = read_pattern(p, list, key, v, &out->items[out->n]);
		if (rc)
			break;
		size_t bytes = 0;
		pcre2_pattern_info(out->items[out->n++].code, PCRE2_INFO_SIZE, &bytes);
		out->bytes += bytes;
		if (out->bytes > MOST_PATTERN_BYTES)
			return err_set(ERR_INPUT, "%s/adapter_config.json: %s: the patterns take more than %d MB",
				       p->name, list, MOST_PATTERN_BYTES >> 20);
	}
	return rc;
}

/* 1, 0, or what PCRE2 says where it gives up: whether that is a match, nobody knows. */
static int matches(const struct pattern *x, const char *module, size_t len)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int n = PCRE2_ERROR_NOMEMORY;

	if (limits && data) {
		pcre2_set_match_limit(limits, 20000); /* PEFT's own patterns take some hundred */
		pcre2_set_heap_limit(limits, 1024);
		n = pcre2_match(x->code, (PCRE2_SPTR)module, len, 0, 0, data, limits);
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	return n >= 0 ? 1 : n == PCRE2_ERROR_NOMATCH ? 0 : n;
}

/* The value of the first pattern that matches; *out stays where there is none. */
static int read_value(const struct peft *p, const char *list, const struct patterns *l, const struct tensor *t,
		      double *out)
{
	int is = 0;

	for (size_t i = 0; i < l->n && !is; i++) {
		is = matches(&l->items[i], t->name, strlen(t->name) - strlen(".weight"));
		if (is < 0)
			return err_set(ERR_INPUT, "%s/adapter_config.json: %s: pattern %zu takes too long on \"%s\"",
				       p->name, list, i + 1, t->name);
		if (is)
			*out = l->items[i].value;
	}
	return 0;
}

static void patterns_release(struct patterns *l)
{
	for (size_t i = 0; i < l->n; i++)
		pcre2_code_free(l->items[i].code);
	free(l->items);
}

/* ---- reading: the folder --------------------------------------------------------------------------------------------- */

static int open_weights(struct peft *p, const char *dir)
{
	char *weights = path_join(dir, "adapter_model.safetensors"), *pickle = path_join(dir, "adapter_model.bin");
	int rc = safetensors_open(&p->file, weights);

	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "%s: no adapter_model.safetensors", p->name);
		err_hint(rc, fs_exists(pickle)
				     ? "adapter_model.bin is a pickle, a program that runs when it is read: save "
				       "the adapter as safetensors where you trust it"
				     : "fetch the missing file");
	}
	if (!rc)
		p->used = mem_array(p->file.n + 1, sizeof(*p->used));
	free(weights);
	free(pickle);
	return rc;
}

int peft_open(struct peft **out, const char *dir, const char *name)
{
	struct peft *p = mem_alloc(sizeof(*p));
	char *config = path_join(dir, "adapter_config.json");
	int rc;

	p->name = mem_str(name ? name : dir);
	rc = json_read(&p->config, config, 1 << 20);
	if (rc == ERR_NOTFOUND)
		rc = err_hint(err_set(ERR_INPUT, "%s: no adapter_config.json", p->name),
			      "name a folder that PEFT's save_pretrained() has made");
	if (!rc)
		rc = check_config(p);
	if (!rc)
		rc = read_patterns(p, "rank_pattern", &p->ranks);
	if (!rc)
		rc = read_patterns(p, "alpha_pattern", &p->alphas);
	if (!rc)
		rc = open_weights(p, dir);
	free(config);
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
	patterns_release(&p->ranks);
	patterns_release(&p->alphas);
	free(p->used);
	free(p->name);
	free(p);
}

/* ---- reading: tensors -------------------------------------------------------------------------------------------------- */

/* What may stand behind a tensor's module; behind a bias only the last two. "base_layer" is there where PEFT has wrapped the
 * module and saves what it wraps. */
enum { LORA_A, LORA_B, EMBED_A, EMBED_B, PLAIN, WRAPPED, KINDS };

static const struct safetensors_entry *find(const struct peft *p, const struct tensor *t, int kind)
{
	static const char *const ends[KINDS] = { [LORA_A] = ".lora_A.weight",
						 [LORA_B] = ".lora_B.weight",
						 [EMBED_A] = ".lora_embedding_A",
						 [EMBED_B] = ".lora_embedding_B",
						 [PLAIN] = "",
						 [WRAPPED] = ".base_layer" };
	const char *end = t->bias ? ".bias" : ".weight";
	int module = (int)(strlen(t->name) - strlen(end));
	char *name = mem_printf(PREFIX "%.*s%s%s", module, t->name, ends[kind], kind >= PLAIN ? end : "");
	const struct safetensors_entry *e = t->bias && kind < PLAIN ? NULL : safetensors_find(&p->file, name);

	free(name);
	return e;
}

bool peft_has(const struct peft *p, const struct tensor *t)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (find(p, t, kind))
			return true;
	return false;
}

static const struct safetensors_entry *take(struct peft *p, const struct tensor *t, int kind)
{
	const struct safetensors_entry *e = find(p, t, kind);

	if (e)
		p->used[e - p->file.entries] = true;
	return e;
}

static int bad_shape(const struct peft *p, const struct safetensors_entry *e, const struct tensor *t)
{
	return err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" does not fit \"%s\" of %d x %d", p->file.path, e->name,
				t->name, t->rows, t->cols),
			"is it the adapter of another base?");
}

/* The tensor as the folder of the base stores it, in the place of the base's. */
static int replace(const struct peft *p, const struct safetensors_entry *e, const struct tensor *t, float *rows)
{
	bool same = e->n_dims == t->n_dims;
	float *turned;
	int rc;

	for (int i = 0; same && i < t->n_dims; i++)
		same = e->dims[i] == (uint64_t)t->dims[i];
	if (!same)
		return bad_shape(p, e, t);
	if (!t->transposed)
		return safetensors_floats(&p->file, e, rows);
	turned = mem_try_aligned(mem_mul(t->count, sizeof(float)));
	rc = turned ? safetensors_floats(&p->file, e, turned)
		    : err_set(ERR_UNAVAILABLE, "no memory for a tensor of %zu numbers", t->count);
	if (!rc)
		elements_transpose(rows, turned, (int)t->dims[0], (int)t->dims[1], sizeof(float));
	free(turned);
	return rc;
}

/* rows[N,K] += scale b[N,r] a[r,K] */
static void add_product(float *rows, const float *a, const float *b, float scale, size_t N, size_t K, size_t r)
{
	float *sum = mem_array(K, sizeof(*sum));

	for (size_t n = 0; n < N; n++) {
		memset(sum, 0, K * sizeof(*sum));
		for (size_t j = 0; j < r; j++) {
			float by = b[n * r + j];
			for (size_t k = 0; k < K; k++)
				sum[k] = __builtin_fmaf(by, a[j * K + k], sum[k]);
		}
		for (size_t k = 0; k < K; k++)
			rows[n * K + k] += scale * sum[k];
	}
	free(sum);
}

static int check_rank(const struct peft *p, const struct tensor *t, const struct safetensors_entry *e, uint64_t rank)
{
	double want = json_get_real(p->config, "r", 8);
	int rc = read_value(p, "rank_pattern", &p->ranks, t, &want);

	if (rc)
		return rc;
	if (rank >= 1 && rank <= MOST_RANK && !((double)rank < want) && !((double)rank > want))
		return 0;
	return err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" has rank %llu, but adapter_config.json makes it %g",
				p->file.path, e->name, (unsigned long long)rank, want),
			ONE_ADAPTER);
}

/* Both factors as a[r,K] and b[N,r]; those of embeddings are stored the other way round: rows are inputs there. */
static int read_factors(const struct peft *p, const struct safetensors_entry *ea, const struct safetensors_entry *eb,
			bool turned, float *a, float *b, float *room)
{
	int rc = safetensors_floats(&p->file, ea, turned ? room : a);

	if (!rc && turned)
		elements_transpose(b, room, (int)ea->dims[0], (int)ea->dims[1], sizeof(float));
	if (!rc)
		rc = safetensors_floats(&p->file, eb, turned ? room : b);
	if (!rc && turned)
		elements_transpose(a, room, (int)eb->dims[0], (int)eb->dims[1], sizeof(float));
	return rc;
}

static int add_factors(const struct peft *p, const struct tensor *t, const struct safetensors_entry *ea,
		       const struct safetensors_entry *eb, bool turned, float *rows)
{
	uint64_t in = (uint64_t)(turned ? t->rows : t->cols), out = (uint64_t)(turned ? t->cols : t->rows);

	if (ea->n_dims != 2 || eb->n_dims != 2 || ea->dims[1] != in || eb->dims[0] != out || ea->dims[0] != eb->dims[1])
		return bad_shape(p, ea, t);
	double alpha = json_get_real(p->config, "lora_alpha", 8);
	int rc = check_rank(p, t, ea, ea->dims[0]);
	if (!rc)
		rc = read_value(p, "alpha_pattern", &p->alphas, t, &alpha);
	if (rc)
		return rc;
	size_t r = (size_t)ea->dims[0], K = (size_t)t->cols, N = (size_t)t->rows;
	double by = json_get_flag(p->config, "use_rslora", false) ? __builtin_sqrt((double)r) : (double)r;
	float *a = mem_try_aligned(mem_mul(2 * r * (K + N), sizeof(float)));
	if (!a)
		return err_set(ERR_UNAVAILABLE, "no memory for the factors of %s", t->name);
	rc = read_factors(p, ea, eb, turned, a, a + r * K, a + r * (K + N));
	if (!rc)
		add_product(rows, a, a + r * K, (float)(alpha / by), N, K, r);
	free(a);
	return rc;
}

static int refuse_tied(const struct peft *p, const struct tensor *t)
{
	int rc = err_set(ERR_INPUT, "%s: it changes \"%s\", which is the head, too: tie_word_embeddings is true",
			 p->file.path, t->name);

	return err_hint(rc, "untie the base first, or merge the adapter with PEFT");
}

int peft_merge(struct peft *p, const struct model *m, const struct tensor *t, float *rows)
{
	const struct safetensors_entry *plain = take(p, t, PLAIN), *wrapped = take(p, t, WRAPPED);
	const struct safetensors_entry *a = take(p, t, LORA_A), *b = take(p, t, LORA_B);
	const struct safetensors_entry *ea = take(p, t, EMBED_A), *eb = take(p, t, EMBED_B);
	bool turned = ea || eb;
	int rc = 0;

	if (m->config.tied && t->role == ROLE_EMBED && (plain || a || b || turned))
		return refuse_tied(p, t);
	if ((plain && wrapped) || (turned && (a || b || t->role != ROLE_EMBED)) || !a != !b || !ea != !eb ||
	    (a && t->n_dims != 2))
		return err_hint(
			err_set(ERR_INPUT, "%s: the tensors for \"%s\" do not belong together", p->file.path, t->name),
			ONE_ADAPTER);
	if (plain || wrapped)
		rc = replace(p, plain ? plain : wrapped, t, rows);
	if (!rc && (a || ea))
		rc = add_factors(p, t, a ? a : ea, b ? b : eb, turned, rows);
	return rc;
}

int peft_check_used(const struct peft *p)
{
	for (size_t i = 0; i < p->file.n; i++)
		if (!p->used[i])
			return err_hint(err_set(ERR_INPUT, "%s: tensor \"%s\" belongs to nothing in this model",
						p->file.path, p->file.entries[i].name),
					"is the adapter of another model? what PEFT makes of it: "
					"model.merge_and_unload().save_pretrained(dir)");
	return 0;
}
