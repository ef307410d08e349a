/* scaffold.c: assay.yaml from a survey, each line with the reason why it stands there.
 *
 *	base      a model of the repository or of the hub's cache; else fresh weights
 *	finetune  a Python trainer that is there, in the sandbox; else our own training on the rows that are there
 *	suites    the tasks that are there; else one on held-out rows; else rows are held out for it
 *	gate      a rule for each task, with margins by their sizes
 *
 * A repository with no rows to train on, no base and no trainer gets a model that runs as it is (scaffold_clock.c). Names
 * of files are written as YAML strings, in comments with their control bytes masked. */
#include "base/base.h"
#include "base/json.h"
#include "base/rows.h"
#include "runner/config.h"
#include "runner/scaffold.h"

enum { HELD_OUT = 100, SHORT_ANSWER = 64 };

int scaffold_file(const struct survey *s, const char *path, const char *text, size_t len, bool *written)
{
	char *full = path_join(repo_work_dir(s->repo), path);
	bool there = fs_exists(full);
	int rc = there ? 0 : fs_write(full, text, len);

	if (rc == 0)
		printf("  %s  %s\n", there ? "kept   " : "written", path);
	if (written)
		*written = !there;
	free(full);
	return rc;
}

/* ---- words of YAML ----------------------------------------------------------------------------------------------------- */

static void add_name(struct buf *out, const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./";

	if (*name && strspn(name, plain) == strlen(name) && name[0] != '.') {
		buf_adds(out, name);
	} else {
		json_t *text = json_string(name);

		if (text)
			json_add(out, text); /* JSON's strings are YAML's */
		else
			buf_adds(out, "\"?\"");
		json_decref(text);
	}
}

static void add_names(struct buf *out, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_adds(out, i ? ", " : "");
		add_name(out, names[i]);
	}
}

/* Lines as a comment: no byte of them begins a line of its own. */
static void add_comment(struct buf *out, const char *lines)
{
	for (const char *at = lines; *at;) {
		size_t n = strcspn(at, "\n");

		buf_adds(out, "#   ");
		for (size_t i = 0; i < n; i++)
			buf_addc(out, (unsigned char)at[i] < 0x20 || at[i] == 0x7f ? '?' : at[i]);
		buf_addc(out, '\n');
		at += n + (at[n] == '\n');
	}
}

/* ---- what is trained on, what is asked ----------------------------------------------------------------------------------- */

struct names {
	const char *items[64];
	size_t n;
};

struct choice {
	enum rows_kind kind; /* of the training's rows; OTHER: nothing to train on */
	struct names train, validation, suites;
	const struct survey_data *asked; /* rows for a suite of our own; NULL: none */
	bool held_out;                   /* of the training's own rows */
	const char *clock;               /* the clock's data, where the clock is asked; else NULL */
	size_t clock_held;
	bool all_clock; /* and it is all there is */
};

static void names_add(struct names *l, const char *name)
{
	if (l->n < ARRAY_LEN(l->items))
		l->items[l->n++] = name;
}

static bool can_train(const struct survey *s, enum rows_kind k)
{
	return k == ROWS_TEXT || k == ROWS_PAIRS || (k == ROWS_CHATS && s->base && s->base_chats) ||
	       (k == ROWS_PREFERENCES && s->base);
}

/* All files of one kind: that of the first that is called so, else of the first whose name says nothing. */
static void choose_data(const struct survey *s, struct choice *c)
{
	for (enum data_role role = ROLE_TRAIN;; role = ROLE_NONE) {
		for (size_t i = 0; i < s->n_data; i++) {
			const struct survey_data *d = &s->data[i];

			if (d->role != role || !can_train(s, d->kind) || (c->train.n && d->kind != c->kind))
				continue;
			c->kind = d->kind;
			names_add(&c->train, d->path);
		}
		if (c->train.n || role == ROLE_NONE)
			break;
	}
	for (size_t i = 0; i < s->n_data; i++)
		if (s->data[i].role == ROLE_VALIDATION && c->train.n && s->data[i].kind == c->kind)
			names_add(&c->validation, s->data[i].path);
	for (enum data_role role = ROLE_TEST; role >= ROLE_VALIDATION; role--)
		for (size_t i = 0; i < s->n_data && !c->asked; i++)
			if (s->data[i].role == role && s->data[i].kind != ROWS_PREFERENCES)
				c->asked = &s->data[i];
	for (size_t i = 0; i < s->n_data && !c->asked; i++)
		if (c->train.n && strcmp(s->data[i].path, c->train.items[0]) == 0 && c->kind != ROWS_PREFERENCES) {
			c->asked = &s->data[i];
			c->held_out = true;
		}
}

/* ---- a suite of our own -------------------------------------------------------------------------------------------------- */

struct held {
	struct buf *out;
	size_t step, at, n;
};

static int hold(json_t *row, size_t line, void *arg)
{
	struct held *h = arg;

	(void)line;
	if (h->at++ % h->step == 0 && h->n < HELD_OUT) {
		json_add(h->out, row);
		buf_addc(h->out, '\n');
		h->n++;
	}
	return 0;
}

/* Some of the training's rows, evenly: they still stand there, too, which is said, and `assay plan` counts. */
static int hold_out(struct survey *s, const struct survey_data *d, size_t *n)
{
	struct buf rows = BUF_INIT((size_t)1 << 30), out = BUF_INIT((size_t)64 << 20);
	struct held h = { &out, (d->rows + HELD_OUT - 1) / HELD_OUT, 0, 0 };
	int rc = tree_read(s->tree, d->path, &rows);

	if (rc == 0)
		rc = rows_each(buf_str(&rows), rows.len, d->path, NULL, hold, &h);
	if (rc == 0)
		rc = scaffold_file(s, "evals/heldout.jsonl", buf_str(&out), out.len, NULL);
	*n = h.n;
	buf_release(&rows);
	buf_release(&out);
	return rc;
}

static void add_suite_keys(struct buf *out, const struct survey_data *d)
{
	switch (d->kind) {
	case ROWS_TEXT:
		buf_adds(out, "    output_type: loglikelihood_rolling   # how likely the model finds the texts\n"
			      "    doc_to_text: \"\"\n"
			      "    doc_to_target: \"{{text}}\"\n"
			      "    metric_list: [{metric: bits_per_byte}]\n");
		return;
	case ROWS_PAIRS:
		buf_adds(out, "    doc_to_text: \"{{prompt}}\"\n    doc_to_target: \"{{completion}}\"\n"
			      "    target_delimiter: \"\"\n");
		if (d->longest <= SHORT_ANSWER && !d->lines)
			buf_addf(out,
				 "    output_type: generate_until          # answers are short: they are written, and "
				 "compared\n"
				 "    generation_kwargs: {until: [\"\\n\"], max_gen_toks: %zu}\n"
				 "    metric_list: [{metric: exact_match}]\n",
				 d->longest + 8);
		else
			buf_adds(out, "    output_type: loglikelihood           # how likely the model finds the right "
				      "answer\n"
				      "    metric_list: [{metric: perplexity}]\n");
		return;
	default: /* conversations: the last message behind those before it */
		buf_adds(out, "    output_type: loglikelihood           # how likely the model finds the last message\n"
			      "    doc_to_text: \"{% for m in messages[:-1] %}{{ m.role }}: {{ m.content }}\\n{% "
			      "endfor %}\"\n"
			      "    doc_to_target: \"{{ messages[-1].content }}\"\n"
			      "    metric_list: [{metric: perplexity}]\n");
	}
}

static int write_suite(struct survey *s, struct choice *c)
{
	struct buf text = BUF_INIT(1 << 20);
	const char *rows = c->asked->path;
	size_t n = 0;
	int rc = 0;

	if (c->held_out) {
		rc = hold_out(s, c->asked, &n);
		rows = "evals/heldout.jsonl";
	}
	buf_adds(&text, "# A task in lm-evaluation-harness keys (docs/evals.md).\n");
	if (c->held_out)
		buf_addf(&text,
			 "# Its %zu rows were copied from the training data, for want of others. Take them out there: "
			 "a model "
			 "knows\n# by heart what it was trained on, and `assay plan` counts them.\n",
			 n);
	buf_adds(&text, "suite: heldout\ntasks:\n  - task: heldout\n    dataset_path: json\n"
			"    dataset_kwargs: {data_files: {test: ");
	add_name(&text, rows);
	buf_adds(&text, "}}\n    test_split: test\n");
	add_suite_keys(&text, c->asked);
	if (rc == 0)
		rc = scaffold_file(s, "evals/heldout.yaml", text.data, text.len, NULL);
	buf_release(&text);
	return rc;
}

static int choose_suites(struct survey *s, struct choice *c)
{
	int rc = 0;

	for (size_t i = 0; i < s->n_tasks; i++)
		names_add(&c->suites, s->tasks[i].path);
	if (c->suites.n)
		return 0;
	if (c->asked && (s->base || s->trainer || c->train.n)) {
		rc = write_suite(s, c);
		names_add(&c->suites, "evals/heldout.yaml");
	} else {
		rc = scaffold_clock(s, &c->clock, &c->clock_held);
		names_add(&c->suites, "evals/clock.yaml");
		c->all_clock = !s->base && !s->trainer;
	}
	return rc;
}

/* ---- assay.yaml ---------------------------------------------------------------------------------------------------------- */

static void add_base(struct buf *out, const struct survey *s, const struct choice *c)
{
	if (s->base) {
		buf_adds(out, "base: ");
		add_name(out, s->base);
		buf_adds(out, strncmp(s->base, "hf:", 3)
				      ? "    # a Hugging Face folder of this repository\n"
				      : "    # of this machine's cache; CI needs it, too: hf download\n");
		return;
	}
	buf_adds(out,
		 "base:                          # fresh weights; or a Hugging Face folder, hf:org/name@revision, or "
		 "MODEL@production\n  init:\n");
	buf_adds(out, c->all_clock ? "    hidden_size: 64\n    layers: 2\n    heads: 4\n    context: 64\n"
				   : "    hidden_size: 128\n    layers: 4\n    heads: 4\n    context: 256\n");
	buf_adds(out, "    tokenizer: {train: [");
	if (c->all_clock)
		buf_adds(out, c->clock);
	else if (c->train.n)
		add_names(out, c->train.items, c->train.n);
	else
		add_name(out, s->trainer);
	buf_addf(out, "], vocab_size: %d}\n", c->all_clock || !c->train.n ? 300 : 1024);
}

/* What lies beside the program: modules that it imports, and what says which packages it needs. */
static void add_inputs(struct buf *out, const struct survey *s)
{
	static const char *const lists[] = { "requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock",
					     "environment.yml" };
	char *folder = path_dir(s->trainer);
	struct names l = { { s->trainer }, 1 };

	for (size_t i = 0; i < s->n_names; i++) {
		const char *name = s->names[i], *base = path_base(name);
		char *dir = path_dir(name);
		size_t n = strlen(base);
		bool module = strcmp(dir, folder) == 0 && n > 3 && strcmp(base + n - 3, ".py") == 0, list = false;

		for (size_t k = 0; k < ARRAY_LEN(lists); k++)
			list = list || strcmp(name, lists[k]) == 0;
		if ((module || list) && strcmp(name, s->trainer))
			names_add(&l, name);
		free(dir);
	}
	for (size_t i = 0; i < s->n_data; i++)
		if (s->data[i].role != ROLE_TEST)
			names_add(&l, s->data[i].path);
	add_names(out, l.items, l.n);
	free(folder);
}

static void add_trainer(struct buf *out, const struct survey *s)
{
	buf_adds(out, "sandbox: auto                  # what a commit brings runs without network and secrets; `assay "
		      "doctor` says "
		      "whether it works\nfinetune:\n  command: [python3, ");
	add_name(out, s->trainer);
	buf_adds(out, "]     # in a checkout of the commit; ASSAY_BASE names the base's folder\n  inputs: [");
	add_inputs(out, s);
	buf_adds(out, "]   # a change of these trains again, and of nothing else\n  output: ");
	add_name(out, s->output);
	buf_adds(out, "    # the Hugging Face folder that it leaves, model and tokenizer\n");
}

static void add_training(struct buf *out, const struct survey *s, const struct choice *c)
{
	buf_adds(out, "finetune:\n  data: [");
	if (c->all_clock)
		buf_adds(out, c->clock);
	else
		add_names(out, c->train.items, c->train.n);
	buf_addf(out, "]    # rows of %s\n", rows_kind_name(c->all_clock ? ROWS_PAIRS : c->kind));
	if (c->validation.n) {
		buf_adds(out, "  validation: [");
		add_names(out, c->validation.items, c->validation.n);
		buf_adds(out, "]    # the weights of the best loss on it are kept\n");
	}
	if (s->adapter) {
		buf_adds(out, "  adapter: ");
		add_name(out, s->adapter);
		buf_adds(out, "    # is merged into the base first\n");
	}
	if (c->kind == ROWS_PREFERENCES)
		buf_adds(out, "  objective: dpo\n");
	buf_addf(out, "  %s\n  batch_tokens: %d\n  learning_rate: %s\n  seed: 1234\n",
		 c->all_clock ? "max_steps: 150"
		 : s->base    ? "epochs: 1"
			      : "max_steps: 300",
		 c->all_clock ? 1024 : 4096,
		 s->base ? "2e-4             # LoRA above a billion weights, else all of them" : "3e-3");
}

static int add_gate(struct buf *out, struct survey *s, const struct choice *c, const char *branch)
{
	int rc;

	buf_adds(out, "suites: [");
	add_names(out, c->suites.items, c->suites.n);
	buf_adds(out, "]\ngate:\n  baseline: production         # what a PASS on the branch below moves\n  require:\n"
		      "    # A 0/1 metric's max_drop comes from its number of samples: an unchanged model, of which 5 "
		      "% of the "
		      "answers\n    # flip by chance, passes it in 19 of 20 runs. min: 0 lets the first version in: "
		      "raise it to "
		      "what you need.\n");
	if (c->all_clock) /* this one is known to learn it */
		buf_addf(out, "    clock.exact_match: {min: 0.90, max_drop: %g}    # %zu samples\n",
			 gate_propose_drop(c->clock_held, 0.05, false, 0.95), c->clock_held);
	rc = c->all_clock ? 0 : scaffold_rules(s, c->suites.items, c->suites.n, out);
	buf_adds(out, "promote: {");
	add_name(out, branch);
	buf_adds(out, ": production}\n");
	return rc;
}

static int write_config(struct survey *s, struct choice *c, const char *model, const char *branch)
{
	struct buf out = BUF_INIT(1 << 22);
	struct config parsed;
	bool scores = false;
	int rc;

	buf_adds(&out, "# assay.yaml: versioned with the code it judges. `assay plan` says what a run would do.\n");
	if (s->left.len) {
		buf_adds(&out, "# Not used by `assay init`, and why:\n");
		add_comment(&out, buf_str(&s->left));
	}
	buf_adds(&out, "model: ");
	add_name(&out, model);
	buf_addc(&out, '\n');
	add_base(&out, s, c);
	for (size_t i = 0; i < s->n_tasks; i++)
		scores = scores || s->tasks[i].command;
	if (s->trainer)
		add_trainer(&out, s);
	else if (scores)
		buf_adds(&out, "sandbox: auto                  # a task's own scorer runs in it\n");
	if (!s->trainer && (c->train.n || c->all_clock))
		add_training(&out, s, c);
	else if (!s->trainer)
		buf_adds(&out,
			 "# finetune: {data: data/train.jsonl, epochs: 1}   # absent: the base is judged as it is\n");
	rc = add_gate(&out, s, c, branch);
	if (rc == 0)
		rc = config_parse(&parsed, buf_str(&out), out.len, CONFIG_FILE);
	if (rc == 0) {
		config_release(&parsed);
		rc = scaffold_file(s, CONFIG_FILE, out.data, out.len, NULL);
	}
	buf_release(&out);
	return rc;
}

int scaffold_write(struct survey *s, const char *model, const char *branch)
{
	struct choice c = { .kind = ROWS_OTHER };
	int rc;

	choose_data(s, &c);
	if (s->adapter && !c.train.n && !s->trainer) {
		buf_addf(&s->left,
			 "%s: finetune.adapter stands beside finetune.data, and there are no rows to train on\n",
			 s->adapter);
		free(s->adapter);
		s->adapter = NULL;
	}
	rc = choose_suites(s, &c);
	return rc ? rc : write_config(s, &c, model, branch);
}
