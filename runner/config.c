/* config.c: one function a section, each reading its keys from the document into struct config.
 *
 * libfyaml (through base/yaml.h) keeps positions, so every mistake names file, line and column, and a mistyped key the
 * nearest known one. Values are checked here for what can be known without the repository: kinds, ranges, what excludes
 * what. What only the tree or the registry can tell (a missing file, an unknown alias) is found by the plan. */
#include "base/base.h"
#include "artifacts/artifacts.h"
#include "runner/config_int.h"
#include "runner/location.h"

/* ---- helpers -------------------------------------------------------------------------------------------------------- */

/* Of locations, which are named on command lines. */
static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* What stands in a list; ends with a NULL that is not counted. */
static void add_text(struct texts *out, const char *text)
{
	MEM_GROW(out->items, out->n + 1, out->cap);
	out->items[out->n++] = text;
	out->items[out->n] = NULL;
}

int config_texts(const struct yaml *y, const json_t *obj, const char *key, struct texts *out)
{
	json_t *v = json_object_get(obj, key), *item;
	size_t i;

	if (!v)
		return 0;
	if (json_is_string(v)) {
		add_text(out, json_string_value(v));
		return 0;
	}
	if (!json_is_array(v))
		return yaml_error(y, obj, key, "%s is a text or a list of texts", key);
	json_array_foreach(v, i, item)
	{
		if (!json_is_string(item))
			return yaml_error(y, obj, key, "%s: item %zu is not a text", key, i + 1);
		add_text(out, json_string_value(item));
	}
	return 0;
}

int config_small(const struct yaml *y, const json_t *obj, const char *key, int64_t min, int64_t max, int *out)
{
	int64_t v = *out;
	int rc = yaml_get_int(y, obj, key, min, max, &v);

	*out = (int)v;
	return rc;
}

/* ---- base ------------------------------------------------------------------------------------------------------------- */

static int parse_tokenizer(struct config_base *b, const struct yaml *y, const json_t *init)
{
	static const char *const known[] = { "train", "vocab_size" };
	json_t *v = json_object_get(init, "tokenizer");
	int rc;

	if (json_is_string(v)) {
		b->tokenizer = json_string_value(v);
		return 0;
	}
	if (!json_is_object(v))
		return yaml_error(y, init, v ? "tokenizer" : NULL,
				  "base.init needs tokenizer: a tokenizer.json, or {train: [files], vocab_size: N}");
	rc = yaml_check_keys(y, v, "base.init.tokenizer", known, ARRAY_LEN(known));
	if (rc == 0)
		rc = config_texts(y, v, "train", &b->tokenizer_data);
	if (rc == 0 && b->tokenizer_data.n == 0)
		rc = yaml_error(y, v, NULL, "base.init.tokenizer needs train: the files whose text it learns from");
	b->vocab_size = 1024;
	return rc ? rc : yaml_get_int(y, v, "vocab_size", 258, 1 << 20, &b->vocab_size);
}

static int parse_init(struct config_base *b, const struct yaml *y, const json_t *init)
{
	static const char *const known[] = { "architecture", "hidden_size", "intermediate_size", "layers",
					     "heads",        "kv_heads",    "head_dim",          "context",
					     "tied",         "rope_theta",  "rms_eps",           "init_range",
					     "seed",         "tokenizer" };
	struct model_config *m = &b->init;
	const char *architecture = "llama";
	double theta = 10000, eps = 1e-5, range = 0.02;
	int64_t seed = 1234;
	int rc;

	memset(m, 0, sizeof(*m));
	m->hidden_size = 256;
	m->layers = 4;
	m->heads = 4;
	m->context = 512;
	m->tied = true;
	m->bos_id = m->eos_id = -1;
	if ((rc = yaml_check_keys(y, init, "base.init", known, ARRAY_LEN(known))) ||
	    (rc = yaml_get_text(y, init, "architecture", &architecture)) ||
	    (rc = config_small(y, init, "hidden_size", 8, 65536, &m->hidden_size)) ||
	    (rc = config_small(y, init, "layers", 1, 1024, &m->layers)) ||
	    (rc = config_small(y, init, "heads", 1, 1024, &m->heads)))
		return rc;
	m->kv_heads = m->heads;
	m->head_dim = m->hidden_size / m->heads;
	m->intermediate_size = (m->hidden_size * 8 / 3 + 31) / 32 * 32;
	if ((rc = config_small(y, init, "kv_heads", 1, 1024, &m->kv_heads)) ||
	    (rc = config_small(y, init, "head_dim", 2, 1024, &m->head_dim)) ||
	    (rc = config_small(y, init, "intermediate_size", 8, 1 << 20, &m->intermediate_size)) ||
	    (rc = config_small(y, init, "context", 8, 1 << 24, &m->context)) ||
	    (rc = yaml_get_flag(y, init, "tied", &m->tied)) ||
	    (rc = yaml_get_real(y, init, "rope_theta", 1, 1e12, &theta)) ||
	    (rc = yaml_get_real(y, init, "rms_eps", 1e-12, 1, &eps)) ||
	    (rc = yaml_get_real(y, init, "init_range", 0, 10, &range)) ||
	    (rc = yaml_get_int(y, init, "seed", 0, INT64_MAX, &seed)))
		return rc;
	if (strcmp(architecture, "llama") != 0)
		return yaml_error(y, init, "architecture", "architecture %s is not known; known: llama", architecture);
	if (m->heads % m->kv_heads)
		return yaml_error(y, init, "heads", "heads (%d) must be a multiple of kv_heads (%d)", m->heads,
				  m->kv_heads);
	if (m->head_dim < 2 || m->head_dim % 2)
		return yaml_error(
			y, init, json_object_get(init, "head_dim") ? "head_dim" : "heads",
			"the head size (%d) must be even and not 0; it is hidden_size / heads unless head_dim says so",
			m->head_dim);
	snprintf(m->architecture, sizeof(m->architecture), "%s", architecture);
	m->rope_theta = (float)theta;
	m->norm_eps = (float)eps;
	m->init_range = (float)range;
	b->init_seed = (uint64_t)seed;
	return parse_tokenizer(b, y, init);
}

static int parse_base(struct config_base *b, const struct yaml *y, const json_t *root)
{
	static const char *const known[] = { "init" };
	json_t *v = json_object_get(root, "base");
	const char *at;
	int rc;

	if (json_is_object(v)) {
		b->kind = BASE_INIT;
		rc = yaml_check_keys(y, v, "base", known, ARRAY_LEN(known));
		if (rc == 0 && !json_is_object(json_object_get(v, "init")))
			rc = yaml_error(y, root, "base", "base is a folder, MODEL@ALIAS, or {init: {…}}");
		return rc ? rc : parse_init(b, y, json_object_get(v, "init"));
	}
	if (!json_is_string(v))
		return yaml_error(
			y, root, v ? "base" : NULL,
			"assay.yaml needs base: a folder, MODEL@ALIAS, the name of a location, or {init: {…}}");
	b->text = json_string_value(v);
	if (strncmp(b->text, "hf:", 3) == 0) {
		b->kind = BASE_HUB;
		return b->text[3] ? 0 : yaml_error(y, root, "base", "base: hf:ORG/NAME@REVISION is wanted");
	}
	at = strchr(b->text, '@');
	if (!at) {
		b->kind = BASE_FOLDER;
		return 0;
	}
	b->kind = BASE_VERSION;
	b->model = mem_strn(b->text, (size_t)(at - b->text));
	b->alias = mem_str(at + 1);
	return *b->model && *b->alias ? 0 : yaml_error(y, root, "base", "base: MODEL@ALIAS or MODEL@v7 is wanted");
}

/* ---- the questions ------------------------------------------------------------------------------------------------------ */

/* An alias is known to be no good before hours of training, not after. */
static int check_alias(const struct yaml *y, const json_t *obj, const char *branch, const char *alias)
{
	return record_check_alias(alias) ? yaml_error(y, obj, branch, "promote.%s: %s", branch, err_text()) : 0;
}

static int parse_promote(struct config *c, const struct yaml *y, json_t *root)
{
	json_t *v = NULL, *alias;
	const char *branch;
	size_t cap = 0;
	int rc = yaml_get_object(y, root, "promote", &v);

	if (rc || !v)
		return rc;
	json_object_foreach(v, branch, alias)
	{
		if (!json_is_string(alias))
			return yaml_error(y, v, branch, "promote.%s: the name of an alias is wanted", branch);
		if ((rc = check_alias(y, v, branch, json_string_value(alias))))
			return rc;
		MEM_GROW(c->promote, c->n_promote, cap);
		c->promote[c->n_promote++] = (struct config_promote){ branch, json_string_value(alias) };
	}
	return 0;
}

static int parse_profiles(struct config *c, const struct yaml *y, json_t *root)
{
	static const char *const known[] = { "train", "limit" };
	json_t *v = NULL, *one;
	const char *name;
	size_t cap = 0;
	int rc = yaml_get_object(y, root, "profiles", &v);

	if (rc || !v)
		return rc;
	json_object_foreach(v, name, one)
	{
		struct config_profile p = { name, true, 0 };

		if (!json_is_object(one))
			return yaml_error(y, v, name, "profiles.%s: a mapping is wanted", name);
		if ((rc = yaml_check_keys(y, one, "a profile", known, ARRAY_LEN(known))) ||
		    (rc = yaml_get_flag(y, one, "train", &p.train)) ||
		    (rc = yaml_get_int(y, one, "limit", 1, INT64_MAX, &p.limit)))
			return rc;
		MEM_GROW(c->profiles, c->n_profiles, cap);
		c->profiles[c->n_profiles++] = p;
	}
	return 0;
}

enum sandbox_kind sandbox_kind_parse(const char *word)
{
	static const char *const words[SANDBOX_KINDS] = { [SANDBOX_BUBBLEWRAP] = "bubblewrap",
							  [SANDBOX_LANDLOCK] = "landlock",
							  [SANDBOX_AUTO] = "auto",
							  [SANDBOX_EXTERNAL] = "external" };
	int kind = SANDBOX_BUBBLEWRAP;

	while (kind < SANDBOX_KINDS && strcmp(words[kind], word) != 0)
		kind++;
	return (enum sandbox_kind)kind;
}

static int parse_sandbox(struct config *c, const struct yaml *y, const json_t *root)
{
	const char *s = NULL;
	int rc = yaml_get_text(y, root, "sandbox", &s);

	if (rc || !s)
		return rc;
	c->sandbox = sandbox_kind_parse(s);
	return c->sandbox != SANDBOX_KINDS ? 0
					   : yaml_error(y, root, "sandbox",
							"sandbox %s is not known; auto, bubblewrap, landlock, or "
							"external (this job already runs "
							"in one)",
							s);
}

static int parse_gate(struct config *c, const struct yaml *y, json_t *root)
{
	struct buf text = BUF_INIT((size_t)1 << 24);
	struct digest digest;
	json_t *v = NULL;
	int rc = yaml_get_object(y, root, "gate", &v);

	gate_policy_init(&c->gate);
	if (rc || !v)
		return rc;
	c->has_gate = true;
	json_add(&text, v);
	digest = digest_bytes(buf_str(&text), text.len);
	digest_hex(c->gate_digest, &digest);
	buf_release(&text);
	gate_policy_release(&c->gate);
	return gate_policy_parse(&c->gate, y, v);
}

/* A folder of folders, or a folder for each name: beneath the root, like every path of a commit. */
static int parse_datasets(struct config *out, const struct yaml *y, const json_t *root)
{
	json_t *v = json_object_get(root, "datasets"), *folder;
	const char *name;
	char *clean = NULL;
	int rc = 0;

	if (!v)
		return 0;
	out->datasets = json_is_string(v) ? json_pack("{s:O}", "*", v) : json_incref(v);
	if (!json_is_object(out->datasets))
		return yaml_error(y, root, "datasets", "datasets: a folder, or {org/name: folder}");
	json_object_foreach(out->datasets, name, folder)
	{
		if (!json_is_string(folder))
			return yaml_error(y, v, name, "datasets: the folder of %s must be a text", name);
		rc = path_check(&clean, json_string_value(folder));
		free(clean);
		clean = NULL;
		if (rc)
			return yaml_error(y, json_is_object(v) ? v : root, json_is_object(v) ? name : "datasets",
					  "datasets: %s is not a path beneath the root (--datasets takes any folder)",
					  json_string_value(folder));
	}
	return 0;
}

/* What a team says of its data files: kept in the record, and in what is exported. */
static int parse_data(struct config *out, const struct yaml *y, const json_t *root)
{
	static const char *const known_card[] = { "license", "owner", "source", "about" };
	json_t *card;
	const char *path;
	int rc = yaml_get_object(y, root, "data", &out->data);

	if (rc || !out->data)
		return rc;
	json_object_foreach(out->data, path, card)
	{
		if (!json_is_object(card))
			return yaml_error(y, out->data, path,
					  "data: of %s a mapping is wanted: {license, owner, source}", path);
		rc = yaml_check_keys(y, card, "a data card", known_card, ARRAY_LEN(known_card));
		for (size_t i = 0; rc == 0 && i < ARRAY_LEN(known_card); i++) {
			const char *text = NULL;

			rc = yaml_get_text(y, card, known_card[i], &text);
			if (rc == 0 && text && strlen(text) > 1000)
				rc = yaml_error(y, card, known_card[i], "%s: at most 1000 bytes", known_card[i]);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int check_model(const struct yaml *y, const json_t *root, const char *model)
{
	if (!model)
		return yaml_error(y, root, NULL, "assay.yaml needs model: the name its versions get");
	if (record_check_model(model))
		return yaml_error(y, root, "model", "%s", err_text());
	return 0;
}

int config_parse(struct config *out, const char *text, size_t len, const char *name)
{
	static const char *const known[] = { "model",    "base",    "prompt",   "finetune", "suites",
					     "gate",     "promote", "profiles", "sandbox",  "remote",
					     "datasets", "data",    "locations" };
	json_t *root;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = yaml_parse(&out->yaml, text, len, name);
	if (rc)
		return rc;
	root = yaml_root(out->yaml);
	if (!json_is_object(root))
		rc = err_set(ERR_INPUT, "%s: a mapping is wanted at the top", name);
	if (rc || (rc = yaml_check_keys(out->yaml, root, "assay.yaml", known, ARRAY_LEN(known))) ||
	    (rc = yaml_get_text(out->yaml, root, "model", &out->model)) ||
	    (rc = check_model(out->yaml, root, out->model)) || (rc = parse_base(&out->base, out->yaml, root)) ||
	    (rc = yaml_get_text(out->yaml, root, "prompt", &out->prompt)) ||
	    (rc = yaml_get_text(out->yaml, root, "remote", &out->remote)) ||
	    (rc = config_parse_finetune(&out->finetune, out->yaml, root)) ||
	    (rc = config_texts(out->yaml, root, "suites", &out->suites)) ||
	    (rc = parse_datasets(out, out->yaml, root)) || (rc = parse_data(out, out->yaml, root)) ||
	    (rc = parse_gate(out, out->yaml, root)) || (rc = parse_promote(out, out->yaml, root)) ||
	    (rc = parse_profiles(out, out->yaml, root)) || (rc = parse_sandbox(out, out->yaml, root)) ||
	    (rc = yaml_get_object(out->yaml, root, "locations", &out->locations)) ||
	    (out->locations && (rc = location_check_all(out->yaml, out->locations))))
		goto out;
	if (out->remote && (!*out->remote || strspn(out->remote, name_letters) != strlen(out->remote)))
		rc = yaml_error(out->yaml, root, "remote",
				"remote is the name of a location; what it is, stands in the machine's config.yaml");
	else if (out->base.kind == BASE_INIT && out->finetune.method == METHOD_LORA)
		rc = yaml_error(out->yaml, json_object_get(root, "finetune"), NULL,
				"method lora trains factors over a base: with base.init there is none");
	else if (out->base.kind == BASE_INIT && out->finetune.adapter)
		rc = yaml_error(out->yaml, json_object_get(root, "finetune"), "adapter",
				"an adapter is merged into a base: with base.init there is none");
	else if (out->suites.n == 0)
		rc = yaml_error(out->yaml, root, NULL, "assay.yaml needs suites: at least one suite file");
out:
	if (rc)
		config_release(out);
	return rc;
}

void config_release(struct config *c)
{
	gate_policy_release(&c->gate);
	free(c->base.model);
	free(c->base.alias);
	free(c->base.tokenizer_data.items);
	config_finetune_release(&c->finetune);
	free(c->suites.items);
	json_decref(c->datasets);
	free(c->promote);
	free(c->profiles);
	for (size_t i = 0; i < c->n_sets; i++)
		yaml_free(c->sets[i]);
	free(c->sets);
	yaml_free(c->yaml);
	memset(c, 0, sizeof(*c));
}

const struct config_profile *config_profile(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_profiles; i++)
		if (strcmp(c->profiles[i].name, name) == 0)
			return &c->profiles[i];
	return NULL;
}

const char *config_alias(const struct config *c, const char *branch)
{
	for (size_t i = 0; branch && i < c->n_promote; i++)
		if (strcmp(c->promote[i].branch, branch) == 0)
			return c->promote[i].alias;
	return NULL;
}
