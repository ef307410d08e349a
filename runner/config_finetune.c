/* config_finetune.c: the section finetune of assay.yaml: how the base becomes the model.
 *
 * Two kinds exclude each other: our own training, with all its keys, and a program of the team's own (command). Keys
 * that mean nothing without another (rank without LoRA, beta without preferences, early_stop without validation data)
 * are refused: who wrote them expected something that would not happen. */
#include "base/base.h"
#include "runner/config_int.h"

static int parse_command(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	int rc;

	if ((rc = config_texts(y, v, "command", &f->command)) || (rc = config_texts(y, v, "inputs", &f->inputs)) ||
	    (rc = config_texts(y, v, "env", &f->env)) || (rc = yaml_get_text(y, v, "output", &f->output)) ||
	    (rc = yaml_get_real(y, v, "timeout", 1, 86400 * 30, &f->timeout_s)))
		return rc;
	if (f->command.n == 0)
		return yaml_error(y, v, "command", "command is empty: give the program and its arguments as a list");
	if (f->inputs.n == 0)
		return yaml_error(y, v, "command", "command needs inputs: the files it depends on (they are its key)");
	return f->output ? 0 : yaml_error(y, v, NULL, "finetune with a command needs the key output");
}

enum { LORA_FROM = 1000000000 }; /* parameters */

/* ---- words ---------------------------------------------------------------------------------------------------------- */

/* The place of a word in a list that ends with NULL, or an error that has the list; *out stays where the key is absent. */
static int get_word(const struct yaml *y, const json_t *v, const char *key, const char *const *words, int *out)
{
	struct buf known = BUF_INIT(256);
	const char *s = NULL;
	int rc = yaml_get_text(y, v, key, &s);

	if (rc || !s)
		return rc;
	for (int i = 0; words[i]; i++) {
		if (strcmp(s, words[i]) == 0) {
			*out = i;
			buf_release(&known);
			return 0;
		}
		buf_addf(&known, "%s%s", i ? ", " : "", words[i]);
	}
	rc = yaml_error(y, v, key, "%s %.60s is not known; known: %s", key, s, buf_str(&known));
	buf_release(&known);
	return rc;
}

/* ---- data ------------------------------------------------------------------------------------------------------------ */

static void add_data(struct config_finetune *f, const char *path, double weight)
{
	struct texts *d = &f->data;
	size_t cap = d->cap;

	MEM_GROW(d->items, d->n, d->cap);
	if (d->cap != cap)
		f->weights = mem_resize(f->weights, mem_mul(d->cap, sizeof(*f->weights)));
	f->weights[d->n] = weight;
	d->items[d->n++] = path;
}

static int parse_source(struct config_finetune *f, const struct yaml *y, const json_t *v, const json_t *item)
{
	static const char *const known[] = { "path", "weight" };
	const char *path = NULL;
	double weight = 1;
	int rc;

	if (json_is_string(item)) {
		add_data(f, json_string_value(item), 1);
		return 0;
	}
	if (!json_is_object(item))
		return yaml_error(y, v, "data", "data is a path, {path: …, weight: …}, or a list of these");
	if ((rc = yaml_check_keys(y, item, "finetune.data", known, ARRAY_LEN(known))) ||
	    (rc = yaml_get_text(y, item, "path", &path)) || (rc = yaml_get_real(y, item, "weight", 1e-6, 1e6, &weight)))
		return rc;
	if (!path)
		return yaml_error(y, item, NULL, "finetune.data needs the key path");
	add_data(f, path, weight);
	return 0;
}

static int parse_data(struct config_finetune *f, const struct yaml *y, json_t *v)
{
	json_t *data = json_object_get(v, "data"), *item;
	size_t i;
	int rc = 0;

	if (!data || (json_is_array(data) && !json_array_size(data)))
		return yaml_error(y, v, data ? "data" : NULL, "finetune needs data: a JSONL file or a list of them");
	if (!json_is_array(data))
		return parse_source(f, y, v, data);
	json_array_foreach(data, i, item) if (rc == 0) rc = parse_source(f, y, v, item);
	return rc;
}

static int parse_validation(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	static const char *const need[] = { "eval_every", "early_stop", "keep_best" };
	int rc;

	if (json_object_get(v, "validation"))
		f->validation.n = 0; /* --set has the last word */
	if ((rc = config_texts(y, v, "validation", &f->validation)) ||
	    (rc = yaml_get_real(y, v, "validation_split", 0, 0.5, &f->validation_split)) ||
	    (rc = yaml_get_int(y, v, "eval_every", 1, INT64_MAX, &f->eval_every)) ||
	    (rc = config_small(y, v, "early_stop", 1, 1 << 20, &f->patience)) ||
	    (rc = yaml_get_flag(y, v, "keep_best", &f->keep_best)))
		return rc;
	if (f->validation.n && f->validation_split > 0)
		return yaml_error(y, v, "validation_split", "validation and validation_split exclude each other");
	for (size_t i = 0; i < ARRAY_LEN(need) && !f->validation.n && f->validation_split == 0; i++)
		if (json_object_get(v, need[i]))
			return yaml_error(y, v, need[i], "%s needs validation data: validation or validation_split",
					  need[i]);
	return 0;
}

/* ---- method and objective -------------------------------------------------------------------------------------------- */

static int parse_targets(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	int rc;

	if (json_object_get(v, "target_modules"))
		f->targets.n = 0;
	if ((rc = config_texts(y, v, "target_modules", &f->targets)))
		return rc;
	for (size_t i = 0; i < f->targets.n; i++) {
		const char *s = f->targets.items[i];

		if (!*s || strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(s))
			return yaml_error(y, v, "target_modules",
					  "target_modules: \"%.60s\" is no name of a module, such as q_proj", s);
		if (strcmp(s, "all-linear") == 0 && f->targets.n > 1)
			return yaml_error(y, v, "target_modules", "target_modules: all-linear stands alone");
	}
	return json_object_get(v, "target_modules") && !f->targets.n
		       ? yaml_error(y, v, "target_modules", "target_modules is empty: nothing would be trained")
		       : 0;
}

static int parse_export(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	static const char *const known[] = { "adapter" };
	json_t *e = NULL;
	int rc = yaml_get_object(y, v, "export", &e);

	if (rc || !e)
		return rc;
	rc = yaml_check_keys(y, e, "finetune.export", known, ARRAY_LEN(known));
	return rc ? rc : yaml_get_flag(y, e, "adapter", &f->export_adapter);
}

static int parse_method(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	static const char *const words[] = { "auto", "full", "lora", NULL };
	static const char *const need[] = { "rank", "alpha", "lora_dropout", "target_modules", "export" };
	int method = f->method, rc;

	if ((rc = get_word(y, v, "method", words, &method)) || (rc = config_small(y, v, "rank", 1, 4096, &f->rank)) ||
	    (rc = yaml_get_real(y, v, "alpha", 1e-6, 1e6, &f->alpha)) ||
	    (rc = yaml_get_real(y, v, "lora_dropout", 0, 0.99, &f->lora_dropout)) || (rc = parse_targets(f, y, v)) ||
	    (rc = parse_export(f, y, v)) || (rc = yaml_get_text(y, v, "adapter", &f->adapter)))
		return rc;
	f->method = (enum finetune_method)method;
	for (size_t i = 0; i < ARRAY_LEN(need) && f->method == METHOD_FULL; i++)
		if (json_object_get(v, need[i]))
			return yaml_error(y, v, need[i], "%s is a key of method: lora", need[i]);
	if (f->method == METHOD_AUTO && json_object_get(v, "rank"))
		f->method = METHOD_LORA; /* who says a rank has said it */
	return 0;
}

static int parse_objective(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	static const char *const words[] = { "sft", "dpo", NULL }, *const counts[] = { "assay", "hf", NULL };
	int objective = f->dpo, count = f->count_first, rc;

	if ((rc = get_word(y, v, "objective", words, &objective)) || (rc = get_word(y, v, "count", counts, &count)) ||
	    (rc = yaml_get_real(y, v, "beta", 1e-6, 1e3, &f->beta)))
		return rc;
	f->dpo = objective == 1;
	f->count_first = count == 1;
	if (!f->dpo && json_object_get(v, "beta"))
		return yaml_error(y, v, "beta", "beta is a key of objective: dpo");
	return 0;
}

static int parse_train_options(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	static const char *const schedules[] = { "constant", "linear", "cosine", NULL };
	struct train_options *t = &f->train;
	int64_t seed = (int64_t)t->seed;
	int schedule = 0, rc;

	while (schedules[schedule] && strcmp(schedules[schedule], t->schedule) != 0)
		schedule++;
	if ((rc = yaml_get_real(y, v, "epochs", 0, 1e6, &t->epochs)) ||
	    (rc = yaml_get_int(y, v, "max_steps", 1, INT64_MAX, &t->max_steps)) ||
	    (rc = config_small(y, v, "batch_tokens", 16, 1 << 22, &t->batch_tokens)) ||
	    (rc = config_small(y, v, "micro_tokens", 16, 1 << 22, &t->micro_tokens)) ||
	    (rc = config_small(y, v, "data_parallel", 1, TRAIN_SHARES_MAX, &t->shares)) ||
	    (rc = config_small(y, v, "max_length", 2, 1 << 24, &f->max_length)) ||
	    (rc = yaml_get_flag(y, v, "gradient_checkpointing", &f->checkpointing)) ||
	    (rc = yaml_get_real(y, v, "learning_rate", 0, 10, &t->learning_rate)) ||
	    (rc = yaml_get_real(y, v, "min_lr_ratio", 0, 1, &t->min_lr_ratio)) ||
	    (rc = yaml_get_real(y, v, "weight_decay", 0, 10, &t->weight_decay)) ||
	    (rc = yaml_get_real(y, v, "beta1", 0, 0.999999, &t->beta1)) ||
	    (rc = yaml_get_real(y, v, "beta2", 0, 0.999999, &t->beta2)) ||
	    (rc = yaml_get_real(y, v, "clip", 0, 1e9, &t->clip)) ||
	    (rc = get_word(y, v, "schedule", schedules, &schedule)) ||
	    (rc = yaml_get_real(y, v, "warmup_ratio", 0, 1, &t->warmup_ratio)) ||
	    (rc = yaml_get_int(y, v, "warmup_steps", 0, INT64_MAX, &t->warmup_steps)) ||
	    (rc = yaml_get_int(y, v, "seed", 0, INT64_MAX, &seed)))
		return rc;
	t->seed = (uint64_t)seed;
	t->schedule = schedules[schedule];
	return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------------- */

static const char *const training_keys[] = {
	"data",         "method",     "objective",        "epochs",         "max_steps",    "batch_tokens",
	"micro_tokens", "max_length", "learning_rate",    "min_lr_ratio",   "weight_decay", "beta1",
	"beta2",        "clip",       "schedule",         "warmup_ratio",   "warmup_steps", "seed",
	"validation",   "eval_every", "validation_split", "early_stop",     "keep_best",    "gradient_checkpointing",
	"rank",         "alpha",      "lora_dropout",     "target_modules", "adapter",      "export",
	"beta",         "count",      "data_parallel",
};

static void set_defaults(struct config_finetune *f)
{
	train_options_init(&f->train);
	f->rank = 16;
	f->alpha = 16;
	f->beta = 0.1;
	f->keep_best = f->export_adapter = true;
}

static int parse_keys(struct config_finetune *f, const struct yaml *y, const json_t *v)
{
	int rc;

	if ((rc = parse_train_options(f, y, v)) || (rc = parse_method(f, y, v)) || (rc = parse_objective(f, y, v)))
		return rc;
	return parse_validation(f, y, v);
}

int config_parse_finetune(struct config_finetune *f, const struct yaml *y, json_t *root)
{
	static const char *const theirs[] = { "command", "inputs", "output", "env", "timeout" };
	json_t *v = NULL;
	int rc = yaml_get_object(y, root, "finetune", &v);

	set_defaults(f);
	if (rc || !v)
		return rc;
	f->present = true;
	if (json_object_get(v, "command")) {
		rc = yaml_check_keys(y, v, "finetune with a command", theirs, ARRAY_LEN(theirs));
		return rc ? rc : parse_command(f, y, v);
	}
	if ((rc = yaml_check_keys(y, v, "finetune", training_keys, ARRAY_LEN(training_keys))) ||
	    (rc = parse_data(f, y, v)))
		return rc;
	return parse_keys(f, y, v);
}

bool config_is_lora(const struct config *c, const struct model_config *base)
{
	enum finetune_method method = c->finetune.method;

	return c->base.kind != BASE_INIT &&
	       (method == METHOD_LORA || (method == METHOD_AUTO && model_config_params(base) > LORA_FROM));
}

struct lora_options config_lora(const struct config_finetune *f)
{
	return (struct lora_options){ f->rank, f->alpha, f->lora_dropout, f->targets.n ? f->targets.items : NULL };
}

void config_finetune_init(struct config_finetune *f)
{
	*f = (struct config_finetune){ 0 };
	set_defaults(f);
}

void config_finetune_release(struct config_finetune *f)
{
	free(f->data.items);
	free(f->weights);
	free(f->targets.items);
	free(f->validation.items);
	free(f->command.items);
	free(f->inputs.items);
	free(f->env.items);
}

/* The texts of an assignment live in a document of their own, which the configuration keeps. */
int config_set(struct config *c, const char *assignment)
{
	const char *eq = strchr(assignment, '=');
	struct yaml *y = NULL;
	char *text;
	int rc;

	if (!eq)
		return err_set(ERR_USAGE, "--set %s: key=value is wanted", assignment);
	text = mem_printf("%.*s: %s\n", (int)(eq - assignment), assignment, eq + 1);
	rc = yaml_parse(&y, text, strlen(text), "--set");
	if (rc == 0)
		rc = yaml_check_keys(y, yaml_root(y), "--set", training_keys + 1, ARRAY_LEN(training_keys) - 1);
	if (rc == 0)
		rc = parse_keys(&c->finetune, y, yaml_root(y));
	free(text);
	if (!y)
		return rc;
	c->sets = mem_resize(c->sets, (c->n_sets + 1) * sizeof(*c->sets));
	c->sets[c->n_sets++] = y;
	return rc;
}
