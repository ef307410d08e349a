/* step_plan.c: what would run, and what is known already.
 *
 * A stage's key is the digest of everything that can change its result, so a known key is not run again. Inputs count
 * by their git names, which are content digests already. Two keys for a model:
 *
 *	train key    everything, with the base resolved to an object, and the numerics class: equal keys, equal bits
 *	product key  the same as the commit states it, with "dates@production" as it is written
 *
 * The second is what tells that a push changed nothing: fine-tuning again from an alias that this very product moved
 * would be another model, and is not what a change of the README asks for. What cannot fit is refused here. */
#include "base/base.h"
#include "base/rows.h"
#include "runner/baseline.h"
#include "runner/data_file.h"
#include "runner/evaluate.h"
#include "runner/location.h"
#include "runner/plan_memory.h"
#include "runner/plan_overlap.h"
#include "runner/plan_power.h"
#include "runner/questions.h"
#include "runner/runner.h"
#include "runner/served.h"

#define DATA_MAX ((size_t)4 << 30)

static int plan_profile(struct run *run)
{
	const char *name = run->options->profile;

	run->may_train = true;
	if (!name)
		return 0;
	run->profile = config_profile(run->questions, name);
	if (run->profile) {
		run->may_train = run->profile->train || run->options->fresh;
		return 0;
	}
	if (strcmp(name, "pre-push") == 0 ||
	    strcmp(name, "pre-receive") == 0) { /* there without being written: no training */
		run->may_train = run->options->fresh;
		return 0;
	}
	err_set(ERR_INPUT, "the policy has no profile %s", name);
	return err_hint(ERR_INPUT, "add it under profiles: in %s of the target branch", CONFIG_FILE);
}

static int plan_prompt(struct run *run)
{
	const char *path = run->product->prompt;
	int rc;

	if (!path)
		return 0;
	rc = tree_oid(run->tree, path, run->prompt_oid);
	if (rc == 0)
		rc = tree_read(run->tree, path, &run->prompt);
	return rc == ERR_NOTFOUND ? err_set(ERR_INPUT, "%s: prompt: %s", CONFIG_FILE, err_text()) : rc;
}

/* ---- suites --------------------------------------------------------------------------------------------------------- */

static int load_suite(const struct run *run, struct run_suite *s, struct tree *t, const struct config *c,
		      const char *path)
{
	struct digest d;
	int rc;

	s->path = mem_str(path);
	rc = questions_load(&s->suite, s->path, t, c->datasets, run->options->datasets);
	if (rc)
		return rc == ERR_NOTFOUND ? err_set(ERR_INPUT, "%s: suites: %s", CONFIG_FILE, err_text()) : rc;
	d = suite_digest(s->suite);
	digest_hex(s->questions, &d);
	return 0;
}

/* Where the harness goes on with a warning, so do we, and the report counts it. */
static void note_suite(struct run *run, const struct run_suite *s)
{
	for (size_t i = 0; i < suite_tasks(s->suite); i++)
		if (suite_task_note(s->suite, i))
			run_note(run, "%s", suite_task_note(s->suite, i));
}

static int check_shard(const struct run *run)
{
	char *some;

	if (!run->options->shards || !(run_limit(run) > 0))
		return 0;
	some = evaluate_limit_text(run_limit(run));
	err_set(ERR_USAGE, "--shard is of whole suites, and %s asks %s",
		run->options->limit > 0 ? "--limit" : "the profile", some);
	free(some);
	return ERR_USAGE;
}

static int plan_suites(struct run *run)
{
	const struct texts *paths = &run->questions->suites;
	int rc = 0;

	run->suites = mem_array(paths->n, sizeof(*run->suites));
	for (size_t i = 0; rc == 0 && i < paths->n; i++) {
		struct run_suite *s = &run->suites[run->n_suites++];

		rc = load_suite(run, s, run->questions_tree, run->questions, paths->items[i]);
		if (rc == 0)
			note_suite(run, s);
	}
	return rc;
}

/* Where the target's are broken and this push mends them, its own; else rc as it was. */
static int plan_questions(struct run *run)
{
	int rc = plan_suites(run);

	if (rc != ERR_INPUT || !run->have_target_config || (rc = run_repair(run, rc)) != 0)
		return rc;
	run_suites_drop(run);
	return plan_suites(run);
}

/* What mends a policy is held to be sound, and not run: its suites can be read. A plan is made by the candidate's own. */
static bool is_repair(struct run *run)
{
	if (!run->repair || run->options->until)
		return false;
	run_suites_drop(run);
	run->steps[RUN_PLAN].status = STEP_SKIPPED;
	return true;
}

static bool is_asked(const struct run *run, const struct run_suite *s)
{
	for (size_t i = 0; i < run->n_suites; i++)
		if (strcmp(run->suites[i].questions, s->questions) == 0)
			return true;
	return false;
}

static void note_section(struct run *run, const char *key)
{
	const json_t *mine = json_object_get(yaml_root(run->config.yaml), key);
	const json_t *theirs = json_object_get(yaml_root(run->target_config.yaml), key);

	if ((mine || theirs) && !json_equal(mine, theirs))
		run_note(run,
			 "the candidate changes %s: that takes effect once it is merged; this run was judged by the "
			 "target's",
			 key);
}

/* Questions that the candidate brings: asked beside the target's, shown in a table of their own, and deciding nothing. A
 * mistake in them is an error all the same, before it is merged. */
static int plan_proposed(struct run *run)
{
	static const char *const sections[] = { "suites",   "datasets", "gate",     "promote",
						"profiles", "sandbox",  "locations" };
	const struct texts *paths = &run->config.suites;
	int rc = 0;

	if (!run->have_target_config)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		note_section(run, sections[i]);
	run->proposed = mem_array(paths->n, sizeof(*run->proposed));
	for (size_t i = 0; rc == 0 && i < paths->n; i++) {
		struct run_suite *s = &run->proposed[run->n_proposed++];

		rc = load_suite(run, s, run->tree, &run->config, paths->items[i]);
		if (rc == 0 && is_asked(run, s)) {
			suite_free(s->suite);
			free(s->path);
			memset(s, 0, sizeof(*s));
			run->n_proposed--;
		} else if (rc == 0) {
			note_suite(run, s);
		}
	}
	return rc;
}

/* ---- training data ----------------------------------------------------------------------------------------------------- */

struct reading {
	struct run_data *data;
	struct overlap *overlap; /* NULL: it is known */
};

enum { SCHEMA_MAX = 64 };

/* What a row is made of: which members, of which types, in how many rows. Names alone: no text of the data is kept. */
static void learn_schema(json_t *schema, json_t *row)
{
	static const char *const types[] = {
		[JSON_OBJECT] = "object", [JSON_ARRAY] = "list", [JSON_STRING] = "text", [JSON_INTEGER] = "integer",
		[JSON_REAL] = "number",   [JSON_TRUE] = "flag",  [JSON_FALSE] = "flag",  [JSON_NULL] = "null"
	};
	const char *name;
	json_t *value;

	json_object_foreach(row, name, value)
	{
		const char *type = types[json_typeof(value)];
		json_t *member = json_object_get(schema, name), *list;
		bool known = false;
		json_t *had;
		size_t i;

		if (!member && json_object_size(schema) >= SCHEMA_MAX)
			continue;
		if (!member) {
			member = json_pack("{s:i,s:[]}", "rows", 0, "types");
			json_object_set_new(schema, name, member);
		}
		json_integer_set(json_object_get(member, "rows"), json_get_int(member, "rows", 0) + 1);
		list = json_object_get(member, "types");
		json_array_foreach(list, i, had) known = known || strcmp(json_string_value(had), type) == 0;
		if (!known)
			json_array_append_new(list, json_string(type));
	}
}

static int read_row(json_t *value, size_t line, void *arg)
{
	struct reading *r = arg;

	r->data->rows++;
	learn_schema(r->data->schema, value);
	if (r->overlap)
		overlap_scan_example(r->overlap, value, r->data->path, line);
	return 0;
}

static int read_data(struct run *run, struct run_data *d, struct overlap *overlap)
{
	struct buf text = BUF_INIT(DATA_MAX);
	struct reading r = { d, d->validation ? NULL : overlap };
	int rc = data_file_read(run->tree, d->path, &text);

	d->bytes = (int64_t)text.len;
	d->rows = 0;
	d->schema = json_object();
	if (rc == 0)
		rc = rows_each(buf_str(&text), text.len, d->path, NULL, read_row, &r);
	if (rc == 0 && d->rows == 0) {
		rc = err_set(ERR_INPUT, "%s has no example in it", d->path);
		err_hint(rc, "one JSON object a line: {\"text\"}, {\"prompt\",\"completion\"} or {\"messages\"}");
	}
	buf_release(&text);
	return rc;
}

static int add_data(struct run *run, const char *path, double weight, bool validation)
{
	struct run_data *d = &run->data[run->n_data++];

	*d = (struct run_data){ .path = mem_str(path), .rows = -1, .weight = weight, .validation = validation };
	if (run->product->finetune.command.n) /* it gets whole files */
		return tree_oid(run->tree, d->path, d->oid);
	return data_file_oid(run->tree, d->path, d->oid, &d->member);
}

static int name_data(struct run *run)
{
	const struct config_finetune *f = &run->product->finetune;
	const struct texts *paths = f->command.n ? &f->inputs : &f->data;
	int rc = 0;

	run->data = mem_array(paths->n + f->validation.n + 1, sizeof(*run->data));
	for (size_t i = 0; rc == 0 && i < paths->n; i++)
		rc = add_data(run, paths->items[i], f->command.n ? 1 : f->weights[i], false);
	for (size_t i = 0; rc == 0 && i < f->validation.n; i++)
		rc = add_data(run, f->validation.items[i], 1, true);
	return rc;
}

/* The files by name first: they may be known by them. Then each is read once, to be counted and compared. */
static int plan_data(struct run *run)
{
	struct overlap *overlap = NULL;
	int rc = name_data(run);

	if (rc == 0)
		rc = plan_overlap_open(run, &overlap);
	for (size_t i = 0; rc == 0 && i < run->n_data && !run->product->finetune.command.n; i++)
		rc = read_data(run, &run->data[i], overlap);
	if (rc == 0 && overlap)
		return plan_overlap_close(run, overlap);
	overlap_free(overlap);
	return rc == ERR_NOTFOUND ? err_set(ERR_INPUT, "%s: finetune: %s", CONFIG_FILE, err_text()) : rc;
}

/* ---- base and keys -------------------------------------------------------------------------------------------------------- */

/* A protected run builds on nothing that only a lower class has wanted: a version must be of a protected run, or have been
 * under an alias, where a person, a protected run or a push that landed has put it. */
static int check_base_trust(struct run *run, const json_t *version)
{
	const char *model = json_get_text(version, "model", "");
	int64_t number = json_get_int(version, "number", 0);
	enum trust trust = TRUST_PROTECTED;
	int rc = 0;

	if (run->event.trust == TRUST_PROTECTED)
		rc = registry_version_trust(run->home->registry, model, (int)number, &trust);
	if (rc || trust == TRUST_PROTECTED)
		return rc;
	err_set(ERR_INPUT, "%s: base: %s@v%lld was made by a run of class branch, and this run is protected",
		CONFIG_FILE, model, (long long)number);
	return err_hint(ERR_INPUT, "name an alias, or put it under one: assay promote %s@v%lld ALIAS --reason \"why\"",
			model, (long long)number);
}

static int plan_base(struct run *run)
{
	const struct config_base *b = &run->product->base;
	json_t *row = NULL;
	int rc;

	if (b->kind == BASE_FOLDER && !run->location && !tree_is_dir(run->tree, b->text)) {
		err_set(ERR_INPUT, "%s: base: the commit has no folder %s", CONFIG_FILE, b->text);
		return err_hint(ERR_INPUT,
				"a Hugging Face folder with config.json, tokenizer.json and model.safetensors");
	}
	if (b->kind == BASE_HUB) {
		rc = hub_model_find(&run->hub, b->text + 3);
		if (rc == 0 && !strstr(b->text, run->hub.commit))
			run_note(run, "%s is commit %s in this machine's cache", b->text, run->hub.commit);
		return rc ? err_context(rc, "%s: base", CONFIG_FILE) : 0;
	}
	if (b->kind != BASE_VERSION)
		return 0;
	if (run->options->base) {
		snprintf(run->base_object, sizeof(run->base_object), "%s", run->options->base);
		return 0;
	}
	rc = home_version(run->home, b->text, &row);
	if (rc)
		return err_context(rc, "%s: base", CONFIG_FILE);
	snprintf(run->base_object, sizeof(run->base_object), "%s", json_get_text(row, "object", ""));
	rc = check_base_trust(run, row);
	json_decref(row);
	return rc;
}

static void key_json(struct digest_ctx *ctx, const json_t *value)
{
	struct buf b = BUF_INIT(BUF_NOLIMIT);

	if (value)
		json_add(&b, value);
	digest_text(ctx, value ? buf_str(&b) : NULL);
	buf_release(&b);
}

static int key_path(struct digest_ctx *ctx, struct run *run, const char *path)
{
	const char *member;
	char oid[OID_HEX];
	int rc = data_file_oid(run->tree, path, oid, &member);

	if (rc)
		return rc == ERR_NOTFOUND ? err_set(ERR_INPUT, "%s: %s", CONFIG_FILE, err_text()) : rc;
	digest_text(ctx, oid);
	if (member)
		digest_text(ctx, member);
	return 0;
}

/* What is not as it always was gets a word in front, so that older keys stay what they are. */
static void key_data(struct digest_ctx *ctx, const struct run_data *d)
{
	char weight[64];

	if (d->validation)
		digest_text(ctx, "validation");
	if (d->weight != 1) {
		snprintf(weight, sizeof(weight), "weight %.17g", d->weight);
		digest_text(ctx, weight);
	}
	digest_text(ctx, d->oid);
	if (d->member)
		digest_text(ctx, d->member);
}

/* What both keys hold: the statement of the product. */
static int key_product(struct digest_ctx *ctx, struct run *run)
{
	const struct config *c = run->product;
	const struct config_base *b = &c->base;
	json_t *root = yaml_root(c->yaml), *finetune = json_object_get(root, "finetune");
	char replicate[32];
	int rc = 0;

	if (run->options->replicate) { /* other random numbers, another model */
		snprintf(replicate, sizeof(replicate), "replicate %lld", (long long)run->options->replicate);
		digest_text(ctx, replicate);
	}
	if (b->kind == BASE_INIT)
		key_json(ctx, json_object_get(root, "base"));
	if (run->location) {
		digest_text(ctx, "served");
		digest_text(ctx, run->location->name);
		digest_text(ctx, run->location->model);
	} else if (b->kind == BASE_FOLDER) {
		rc = key_path(ctx, run, b->text);
	} else if (b->kind == BASE_HUB) {
		digest_text(ctx, "hub");
		rc = hub_model_key(&run->hub, ctx);
	}
	if (rc == 0 && b->tokenizer)
		rc = key_path(ctx, run, b->tokenizer);
	for (size_t i = 0; rc == 0 && i < b->tokenizer_data.n; i++)
		rc = key_path(ctx, run, b->tokenizer_data.items[i]);
	if (finetune) { /* data and inputs count by content, not by name */
		json_t *copy = json_copy(finetune);

		json_object_del(copy, "data");
		json_object_del(copy, "validation");
		json_object_del(copy, "adapter");
		json_object_del(copy, "timeout");
		key_json(ctx, copy);
		json_decref(copy);
	}
	for (size_t i = 0; i < run->n_data; i++)
		key_data(ctx, &run->data[i]);
	if (rc == 0 && c->finetune.adapter) {
		digest_text(ctx, "adapter");
		rc = key_path(ctx, run, c->finetune.adapter);
	}
	return rc;
}

/* Where the configuration does not say in how many, and more than one is what there is. */
static bool trains_in_shares(const struct run *run)
{
	const struct config_finetune *f = &run->product->finetune;

	return f->present && !f->command.n && !f->train.shares && run_shares(run) > 1;
}

static int plan_keys(struct run *run)
{
	struct digest_ctx *ctx = digest_new();
	char shares[32];
	struct digest d;
	int rc;

	digest_text(ctx, "product-1");
	digest_text(ctx, run->product->base.kind == BASE_VERSION ? run->product->base.text : NULL);
	digest_text(ctx, run->prompt_oid);
	rc = key_product(ctx, run);
	d = digest_end(ctx);
	digest_hex(run->product_key, &d);
	if (rc)
		return rc;

	ctx = digest_new();
	digest_text(ctx, "train-1");
	digest_text(ctx, run->numerics);
	digest_text(ctx, run->base_object);
	if (trains_in_shares(run)) {
		snprintf(shares, sizeof(shares), "shares %d", run_shares(run));
		digest_text(ctx, shares);
	}
	rc = key_product(ctx, run);
	d = digest_end(ctx);
	digest_hex(run->train_key, &d);
	return rc;
}

/* ---- what is known, and what fits ------------------------------------------------------------------------------------------ */

static int plan_known(struct run *run)
{
	struct run_baseline *b = &run->baseline;

	if (run->location) /* what it was yesterday says nothing of today */
		return 0;
	if (run->options->object) {
		snprintf(run->object, sizeof(run->object), "%s", run->options->object);
		return 0;
	}
	if (b->found && strcmp(b->product, run->product_key) == 0 && store_need(run->home->store, b->object)) {
		memcpy(run->object, b->object, sizeof(run->object));
		return 0;
	}
	if (run->product->base.kind == BASE_VERSION && !run->product->finetune.present) {
		memcpy(run->object, run->base_object, sizeof(run->object));
		return 0;
	}
	return train_known(run);
}

/* Said before hours of training, which the run does all the same: the scores may be wanted. */
static void note_overlap(struct run *run)
{
	char *broken = overlap_broken(run);

	if (broken)
		run_note(run, "the gate will fail whatever the scores are: %s", broken);
	free(broken);
}

int step_plan(struct run *run)
{
	int rc;

	if (run->repair && !run->options->until) {
		rc = plan_suites(run);
		is_repair(run);
		return rc;
	}
	if ((rc = plan_profile(run)) || (rc = check_shard(run)) || (rc = served_find(run)) ||
	    (rc = run->location ? 0 : run_backend(run)))
		return rc;
	if (run->location)
		snprintf(run->numerics, sizeof(run->numerics), "served:%.100s", run->location->model);
	else
		snprintf(run->numerics, sizeof(run->numerics), "%s", run->backend->numerics);
	if ((rc = plan_prompt(run)) || (rc = plan_questions(run)) || is_repair(run))
		return rc;
	if ((rc = plan_proposed(run)) || (rc = plan_data(run)))
		return rc;
	if (!run->options->fresh && ((rc = baseline_find(run)) || (rc = baseline_alias(run))))
		return rc;
	if ((rc = plan_base(run)))
		return rc;
	if ((rc = plan_keys(run)) || (rc = plan_known(run)) || (rc = plan_power_check(run)))
		return rc;
	note_overlap(run);
	return run->location ? 0 : plan_memory(run); /* the server's memory is the server's */
}
