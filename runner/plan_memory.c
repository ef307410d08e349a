/* plan_memory.c: does it fit? Asked before anything begins, since hours of training must not end in the hands of the
 * kernel's killer.
 *
 * The model's shape comes from its config.json: of the base in the commit, of the stored version, or of the section
 * base.init. The sums are the engine's own (model_plan_memory). The budget is the least of what is free, of what the cgroups
 * leave, and of --memory (budget.c).
 *
 * Training that does not fit is refused: micro_tokens is part of the key, so it is the team's to choose and not the
 * machine's. Scoring does not depend on the batch, so its batch is lowered until it fits, and only refused if not even
 * the smallest does.
 *
 * What scoring takes depends on the requests, too: on their cache of keys and values. A plan knows their bytes but not their
 * tokens, of which there are never more; where its bound does not fit, but a short request would, the work is tried: the
 * engine counts the tokens and keeps within the budget, whatever the plan has said. */
#include "base/base.h"
#include "runner/crew.h"
#include "runner/evaluate.h"
#include "runner/plan_memory.h"

#include <sys/statvfs.h>

#define CONFIG_MAX ((size_t)1 << 22)
enum { BATCH_MIN = 64 };

struct work {
	struct model_config config;
	struct model_plan plan; /* but for its config, which is the one above */
};

/* ---- the sums -------------------------------------------------------------------------------------------------------- */

static int memory_of(struct run_memory *out, const struct work *w)
{
	struct model_plan plan = w->plan;
	struct model_memory m;
	int rc;

	plan.config = &w->config;
	rc = model_plan_memory(&m, &plan);
	if (rc == 0)
		*out = (struct run_memory){
			true, m.weights, m.gradients, m.optimizer, m.activations, m.cache, m.total
		};
	return rc;
}

/* ---- whose shape ------------------------------------------------------------------------------------------------------- */

static const char *stored_type(const json_t *config)
{
	const char *type = json_get_text(config, "torch_dtype", json_get_text(config, "dtype", "float32"));

	return strcmp(type, "bfloat16") == 0 ? "BF16" : strcmp(type, "float16") == 0 ? "F16" : "F32";
}

static int parse_shape(struct work *w, const struct buf *text, const char *name)
{
	json_t *doc = NULL;
	int rc = json_parse(&doc, buf_str(text), text->len, name);

	if (rc == 0)
		rc = model_config_parse(&w->config, doc, name);
	if (rc == 0)
		w->plan.stored = stored_type(doc);
	json_decref(doc);
	return rc;
}

/* config.json of a stored model: the manifest names its object. */
static int shape_of_object(struct work *w, struct store *store, const char *object)
{
	struct buf text = BUF_INIT(CONFIG_MAX);
	json_t *manifest = NULL, *file;
	const char *hex = NULL;
	size_t i;
	int rc;

	(void)store_need(store, object);
	rc = store_get(store, object, &text, CONFIG_MAX);

	if (rc == 0)
		rc = json_parse(&manifest, buf_str(&text), text.len, object);
	json_array_foreach(json_object_get(manifest, "files"), i,
			   file) if (strcmp(json_get_text(file, "path", ""), "config.json") == 0) hex =
		json_get_text(file, "object", NULL);
	if (rc == 0 && !hex)
		rc = err_set(ERR_INPUT, "the stored model %.12s has no config.json", object);
	buf_clear(&text);
	if (rc == 0)
		rc = store_get(store, hex, &text, CONFIG_MAX);
	if (rc == 0)
		rc = parse_shape(w, &text, "config.json");
	json_decref(manifest);
	buf_release(&text);
	return rc;
}

static int shape_of_folder(struct work *w, struct tree *t, const char *folder)
{
	struct buf text = BUF_INIT(CONFIG_MAX);
	char *path = path_join(folder, "config.json");
	int rc = tree_read(t, path, &text);

	if (rc == 0)
		rc = parse_shape(w, &text, path);
	else if (rc == ERR_NOTFOUND)
		rc = err_hint(err_set(ERR_INPUT, "%s: base: %s has no config.json", CONFIG_FILE, folder),
			      "a Hugging Face folder with config.json, tokenizer.json and model.safetensors");
	buf_release(&text);
	free(path);
	return rc;
}

static int shape_of_dir(struct work *w, const char *dir)
{
	struct buf text = BUF_INIT(CONFIG_MAX);
	char *path = path_join(dir, "config.json");
	int rc = fs_read(&text, path, CONFIG_MAX);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s: no such file", path);
	if (rc == 0)
		rc = parse_shape(w, &text, path);
	buf_release(&text);
	free(path);
	return rc;
}

/* The model that is trained, or judged as it is. *known false: only a trainer's own program can tell. */
static int shape_of_run(struct work *w, const struct run *run, bool *known)
{
	const struct config_base *b = &run->product->base;

	*known = true;
	if (run->base_dir)
		return shape_of_dir(w, run->base_dir);
	if (*run->object)
		return shape_of_object(w, run->home->store, run->object);
	if (run->product->finetune.command.n) {
		*known = false;
		return 0;
	}
	if (b->kind == BASE_VERSION)
		return shape_of_object(w, run->home->store, run->base_object);
	if (b->kind == BASE_HUB)
		return shape_of_dir(w, run->hub.dir);
	if (b->kind == BASE_FOLDER)
		return shape_of_folder(w, run->tree, b->text);
	w->config = b->init;
	w->plan.stored = "F32";
	if (!b->tokenizer)
		w->config.vocab_size = (int)b->vocab_size;
	return 0;
}

/* ---- the refusal ------------------------------------------------------------------------------------------------------- */

struct way {
	char text[80];
	uint64_t total;
};

static void add_way(struct way *ways, size_t *n, const struct work *w, uint64_t now, const char *text)
{
	struct err_saved saved = err_save(); /* the refusal's own words */
	struct run_memory m;
	size_t at = *n;
	int rc = memory_of(&m, w);

	err_restore(&saved);
	if (rc || m.total >= now)
		return;
	for (; at && ways[at - 1].total > m.total; at--)
		ways[at] = ways[at - 1];
	snprintf(ways[at].text, sizeof(ways[at].text), "%s", text);
	ways[at].total = m.total;
	++*n;
}

/* What would need less, with how much, the best first. */
static void ways_out(struct buf *out, const struct work *w, uint64_t now)
{
	struct way ways[4];
	struct work other = *w;
	int tokens = w->plan.micro_tokens;
	char text[80], size[16];
	size_t n = 0;

	other.plan.micro_tokens = tokens > 512 ? tokens / 8 : tokens > 64 ? 64 : tokens;
	snprintf(text, sizeof(text), "finetune.micro_tokens: %d", other.plan.micro_tokens);
	add_way(ways, &n, &other, now, text);
	other = *w;
	other.plan.full = false;
	other.plan.lora.rank = w->plan.lora.rank ? w->plan.lora.rank : 16;
	other.plan.lora.alpha = 16; /* needs no memory */
	if (!w->plan.lora.rank)
		add_way(ways, &n, &other, now, "finetune.method: lora");
	other = *w;
	other.plan.checkpointing = true;
	add_way(ways, &n, &other, now, "finetune.gradient_checkpointing: true");
	for (size_t i = 0; i < n; i++) {
		fs_size_text(size, ways[i].total);
		buf_addf(out, "%s%s (%s)", i ? ", or " : "", ways[i].text, size);
	}
	buf_adds(out, n ? ", or a smaller base" : "take a smaller base");
}

static int too_large(const struct work *w, const struct run_memory *m, const struct budget *b)
{
	char total[16], weights[16], gradients[16], optimizer[16], activations[16], have[16];
	struct buf hint = BUF_INIT(1024);
	int rc;

	fs_size_text(total, m->total);
	fs_size_text(weights, m->weights);
	fs_size_text(activations, m->activations);
	fs_size_text(have, b->bytes);
	if (w->plan.train) {
		fs_size_text(gradients, m->gradients);
		fs_size_text(optimizer, m->optimizer);
		rc = err_set(
			ERR_UNAVAILABLE,
			"training needs about %s of memory (weights %s, gradients %s, optimizer %s, activations of %d "
			"tokens %s), and there are %s (%s)",
			total, weights, gradients, optimizer, w->plan.micro_tokens, activations, have, b->what);
		ways_out(&hint, w, m->total);
	} else {
		rc = err_set(
			ERR_UNAVAILABLE,
			"the model needs about %s of memory (weights %s, activations of %d tokens %s), and there are "
			"%s (%s)",
			total, weights, w->plan.micro_tokens, activations, have, b->what);
		buf_adds(&hint, "a smaller model, or a machine with more memory");
	}
	if (strcmp(b->what, BUDGET_OPTION) == 0)
		buf_addf(&hint, ", or raise --memory above %s", total);
	err_hint(rc, "%s", buf_str(&hint));
	buf_release(&hint);
	return rc;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------------- */

static bool trains(const struct run *run)
{
	return !*run->object && run->may_train && run->n_data && !run->product->finetune.command.n;
}

static bool fits(const struct run_memory *m, const struct budget *b)
{
	return !b->bytes || m->total <= b->bytes;
}

/* Halves the tokens of a forward until it fits; at their least, short requests will do: the engine makes what it has fit. */
static int lower_batch(struct work *w, struct run_memory *m, const struct budget *b)
{
	int *tokens = &w->plan.micro_tokens;
	int rc = memory_of(m, w);

	while (!rc && !fits(m, b) && *tokens > BATCH_MIN) {
		*tokens = *tokens / 2 > BATCH_MIN ? *tokens / 2 : BATCH_MIN;
		rc = memory_of(m, w);
	}
	if (rc || fits(m, b))
		return rc;
	w->plan.longest = 1;
	rc = memory_of(m, w);
	if (rc || !fits(m, b))
		return rc ? rc : too_large(w, m, b);
	m->activations = b->bytes - m->weights - m->cache;
	m->total = b->bytes;
	return 0;
}

/* How much is asked of the model, at most: of all suites, behind the product's prompt and some special tokens. */
static void plan_questions(struct model_plan *p, const struct run *run)
{
	const uint64_t more = run->prompt.len + 8;
	struct suite_size all = { 0 };

	for (size_t i = 0; i < run->n_suites + run->n_proposed; i++) {
		const struct run_suite *s = i < run->n_suites ? &run->suites[i] : &run->proposed[i - run->n_suites];
		struct suite_size size = suite_size(s->suite);

		all.longest = size.longest > all.longest ? size.longest : all.longest;
		all.total = size.total > all.total ? size.total : all.total; /* a suite after the other */
		all.requests = size.requests > all.requests ? size.requests : all.requests;
		all.generates |= size.generates;
	}
	p->generates = all.generates;
	p->longest = all.longest < INT32_MAX - more ? (int)(all.longest + more) : 0;
	p->rows = all.total < UINT64_MAX / 2 ? all.total + all.requests * more : 0;
}

/* Is there anything left to score? Not where all is known, nor where no model will be made. */
static bool scores(const struct run *run)
{
	char key[DIGEST_HEX];
	json_t *row = NULL;
	bool known = true;

	if (!*run->object)
		return run->may_train || !run->product->finetune.present;
	for (size_t i = 0; known && i < run->n_suites + run->n_proposed; i++) {
		const struct run_suite *s = i < run->n_suites ? &run->suites[i] : &run->proposed[i - run->n_suites];

		evaluate_key(run, s, run->object, run->prompt_oid, key);
		known = !run->options->fresh &&
			registry_stage(run->home->registry, "eval", key, run->event.trust, &row) == 0;
		json_decref(row);
		row = NULL;
	}
	err_clear();
	return !known;
}

/* What is made is written twice: in work/, and in the store. */
static int fits_disk(const struct run *run, const struct work *w)
{
	const char *home = store_home(run->home->store);
	uint64_t need = model_config_params(&w->config) * 8;
	char text[16];
	struct statvfs disk;

	if (*run->object || statvfs(home, &disk) || (uint64_t)disk.f_bavail * disk.f_frsize >= need)
		return 0;
	fs_size_text(text, need);
	err_set(ERR_IO, "storing the model needs %s of disk at %s", text, home);
	return err_hint(ERR_IO, "free space there, or set ASSAY_HOME to another disk");
}

static int plan_training(struct run *run, struct work *w, const struct budget *budget)
{
	const struct config_finetune *f = &run->product->finetune;
	struct model_plan *p = &w->plan;
	int rc;

	p->train = true;
	p->checkpointing = f->checkpointing;
	p->dpo = f->dpo;
	p->keeps_best = f->keep_best && (f->validation.n || f->validation_split > 0);
	p->full = !config_is_lora(run->product, &w->config);
	run->method = p->full ? "full" : "lora";
	if (!p->full)
		p->lora = config_lora(f);
	struct train_options o = f->train;
	struct budget each = *budget;
	p->shares = o.shares = run_shares(run);
	p->ranks = crew_n(run->options->crew);
	p->micro_tokens = train_micro_tokens(&o);
	if (p->ranks > p->shares)
		return err_hint(err_set(ERR_INPUT, "finetune.data_parallel is %d, and there are %d devices", p->shares,
					p->ranks),
				"raise it (which changes the bits), or name no more devices than that");
	if (p->ranks > 1 && !p->on_device) /* they share the host's */
		each.bytes /= (uint64_t)p->ranks;
	rc = memory_of(&run->memory_train, w);
	return rc || fits(&run->memory_train, &each) ? rc : too_large(w, &run->memory_train, &each);
}

/* The memory in which the work will be: a device's own, or the host's. */
static int open_budget(struct budget *b, const char *option, struct backend *be)
{
	size_t bytes = 0, total = 0;

	if (!be->memory)
		return budget_open(b, option, "");
	int rc = be->memory(be, &bytes, &total);
	return rc ? rc : budget_device(b, option, bytes);
}

static int plan_open(struct run *run, struct work *w, struct budget *budget, bool *known)
{
	int rc = run_backend(run);

	if (rc == 0)
		rc = open_budget(budget, run->options->memory, run->backend);
	if (rc)
		return rc;
	w->plan.on_device = run->backend->memory != NULL;

	run->memory_have = budget->bytes;
	run->memory_what = budget->what;
	return rc ? rc : shape_of_run(w, run, known);
}

int plan_memory(struct run *run)
{
	struct budget budget = { 0 };
	struct work w = { 0 };
	bool known = false;
	int rc = plan_open(run, &w, &budget, &known);

	if (rc || !known)
		return rc;
	if (trains(run))
		rc = plan_training(run, &w, &budget);
	if (rc == 0)
		rc = fits_disk(run, &w);
	if (rc)
		return rc;
	w.plan = (struct model_plan){ .on_device = run->backend->memory != NULL,
				      .stored = trains(run) && w.plan.full ? "F32" : w.plan.stored,
				      .micro_tokens = (int)run->options->batch_tokens };
	plan_questions(&w.plan, run);
	rc = lower_batch(&w, &run->memory_eval, &budget);
	run->batch_tokens = w.plan.micro_tokens;
	if (rc == ERR_UNAVAILABLE && !scores(run)) {
		err_clear();
		rc = 0;
	}
	return rc;
}

int plan_memory_train(struct run *run)
{
	struct budget budget = { 0 };
	struct work w = { 0 };
	bool known = false;
	int rc = plan_open(run, &w, &budget, &known);

	return rc || !known ? rc : plan_training(run, &w, &budget);
}

static uint64_t beside(uint64_t have, const struct run_memory *m)
{
	return !have || !m->known ? 0 : have > m->weights ? have - m->weights : 1;
}

uint64_t plan_memory_left(const struct run *run)
{
	return beside(run->memory_have, &run->memory_eval);
}

int plan_batch(int *out, uint64_t *left, const char *dir, int most, const char *memory, struct backend *be)
{
	struct budget budget;
	struct work w = { .plan = { .micro_tokens = most, .longest = 1 } }; /* what is asked is not known yet */
	struct run_memory m;
	int rc = open_budget(&budget, memory, be);

	w.plan.on_device = be->memory != NULL;

	if (rc == 0)
		rc = shape_of_dir(&w, dir);
	if (rc == 0)
		rc = lower_batch(&w, &m, &budget);
	if (rc == 0 && w.plan.micro_tokens < most)
		log_info("%d tokens at a time, to fit the memory (%s)", w.plan.micro_tokens, budget.what);
	*out = w.plan.micro_tokens;
	*left = rc ? 0 : beside(budget.bytes, &m);
	return rc;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------- */

static json_t *memory_json(const struct run_memory *m)
{
	if (!m->known)
		return json_null();
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "weights", (json_int_t)m->weights, "gradients",
			 (json_int_t)m->gradients, "optimizer", (json_int_t)m->optimizer, "activations",
			 (json_int_t)m->activations, "cache", (json_int_t)m->cache, "total", (json_int_t)m->total);
}

json_t *plan_memory_json(const struct run *run)
{
	return json_pack("{s:o,s:o,s:o,s:s?}", "train", memory_json(&run->memory_train), "eval",
			 memory_json(&run->memory_eval), "available",
			 run->memory_have ? json_integer((json_int_t)run->memory_have) : json_null(), "limit",
			 run->memory_what);
}

void plan_memory_print(const struct run *run)
{
	char train[16], eval[16], have[16];

	if (!run->memory_eval.known)
		return;
	fs_size_text(train, run->memory_train.total);
	fs_size_text(eval, run->memory_eval.total);
	fs_size_text(have, run->memory_have);
	fputs("memory    ", stdout);
	if (run->memory_train.known)
		printf("about %s to train, ", train);
	printf("%s%s to evaluate", run->memory_train.known ? "" : "about ", eval);
	if (run->memory_have)
		printf(" (%s: %s)", run->memory_what, have);
	putchar('\n');
}
