/* suite.c: a suite file names tasks; a run of it asks every document of every task, in order. Read this file first.
 *
 *	suite: nightly
 *	tasks:
 *	  - tasks/arc_easy.yaml         a task file in lm-evaluation-harness keys, as it is
 *	  - task: support               or the same keys in place
 *	    …
 *
 * With apply_chat_template: true the questions go through the model's chat template; shots then stand in one message of
 * the user, or with fewshot_as_multiturn: true in turns of their own. A system_instruction stands in front of all.
 *
 * A group file of the harness stands for the tasks that it names (group.c). A harness task file or group file on its own is
 * a suite, named as the task or the group. Loading does everything that can fail for
 * a reason in the files (task.c): after it only the model can fail. Results lie in document order, whatever order the
 * scorer works in. */
#include "base/base.h"

#include <math.h>

#include "evals/evals_int.h"

enum { TASKS_MAX = 1000, SUITE_FILE_MAX = 16 << 20 };

/* A block is what a killed process may lose: as much as takes so long, once it is known how long things take. */
enum { BLOCK_SECONDS = 30, BLOCK_FIRST = 512, BLOCK_LEAST = 64 };

/* ---- loading ----------------------------------------------------------------------------------------------------- */

int suite_add(struct suite *s, const struct source *src, bool shared, size_t *index)
{
	struct task t;
	int rc = task_load(&t, src);

	if (rc)
		return rc;
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->tasks[i].name, t.name) == 0) {
			*index = i;
			if (!shared || memcmp(&s->tasks[i].digest, &t.digest, sizeof(t.digest)) != 0)
				rc = yaml_error(src->y, src->map, "task", "the suite has two tasks named \"%s\"",
						t.name);
			task_release(&t);
			return rc;
		}
	s->tasks = mem_resize(s->tasks, (s->n + 1) * sizeof(*s->tasks));
	*index = s->n++;
	s->tasks[*index] = t;
	return 0;
}

/* A task or a group. */
static int suite_add_either(struct suite *s, const struct source *suite, const struct source *src)
{
	size_t index;

	return json_object_get(src->map, "group") ? group_load(s, suite, src) : suite_add(s, src, false, &index);
}

/* A task whose keys stand in src, with what it includes. */
static int suite_add_map(struct suite *s, const struct source *suite, const struct source *src)
{
	struct task_file included;
	int rc = task_file_include(&included, src->files, src->y, src->map, src->path);

	if (rc)
		return rc;
	rc = suite_add_either(s, suite, src);
	task_file_close(&included);
	return rc;
}

/* A task file named in the suite file. */
static int suite_add_file(struct suite *s, const struct source *suite, const char *name)
{
	struct task_file f;
	int rc = task_file_open(&f, suite->files, suite->path, name);

	if (rc) {
		if (!strchr(name, '.')) /* a task's name, as the harness takes them on its command line */
			err_hint(rc,
				 "tasks: names files, such as %s.yaml; paths are relative to the suite, or to the root",
				 name);
		return err_context(rc, "%s", suite->path);
	}
	if (json_object_get(f.map, "tasks"))
		rc = yaml_error(f.y, f.map, "tasks", "a suite inside a suite: name its task files instead");
	else
		rc = suite_add_either(s, suite,
				      &(struct source){ f.y, f.map, f.path, suite->files, suite->chat, NULL });
	task_file_close(&f);
	return rc;
}

/* The harness takes these on its command line, for all tasks: here they are the suite's. */
static int suite_chat(struct source *src)
{
	struct chat_form *c = &src->chat;
	int rc = yaml_get_flag(src->y, src->map, "apply_chat_template", &c->apply);

	rc = rc ? rc : yaml_get_flag(src->y, src->map, "fewshot_as_multiturn", &c->multiturn);
	rc = rc ? rc : yaml_get_text(src->y, src->map, "system_instruction", &c->system);
	if (!rc && !c->apply && c->multiturn)
		rc = yaml_error(src->y, src->map, "fewshot_as_multiturn",
				"fewshot_as_multiturn speaks of a conversation: it needs apply_chat_template: true");
	return rc;
}

static int suite_tasks_load(struct suite *s, struct source *src)
{
	static const char *const known[] = {
		"suite", "tasks", "metadata", "apply_chat_template", "fewshot_as_multiturn", "system_instruction"
	};
	const char *name = NULL;
	json_t *list = NULL, *item;
	size_t i;
	int rc = yaml_check_keys(src->y, src->map, "suite", known, ARRAY_LEN(known));

	rc = rc ? rc : yaml_get_text(src->y, src->map, "suite", &name);
	rc = rc ? rc : yaml_get_array(src->y, src->map, "tasks", &list);
	rc = rc ? rc : suite_chat(src);
	if (rc)
		return rc;
	if (!name || !*name || strlen(name) > 200)
		return yaml_error(src->y, src->map, name ? "suite" : NULL, "a suite needs a name: suite: my_suite");
	if (!list || json_array_size(list) == 0 || json_array_size(list) > TASKS_MAX)
		return yaml_error(src->y, src->map, list ? "tasks" : NULL,
				  "an empty suite: tasks must list 1 to %d tasks", TASKS_MAX);
	s->name = mem_str(name);
	json_array_foreach(list, i, item)
	{
		struct source inner = *src;

		inner.map = item;
		if (json_is_string(item))
			rc = suite_add_file(s, src, json_string_value(item));
		else if (json_is_object(item))
			rc = suite_add_map(s, src, &inner);
		else
			rc = yaml_error(src->y, src->map, "tasks", "entry %zu is neither a file nor a task", i + 1);
		if (rc)
			return rc;
	}
	return 0;
}

int suite_load(struct suite **out, const char *path, const struct eval_files *files)
{
	struct suite *s = mem_alloc(sizeof(*s));
	struct source src = { .path = path, .files = files };
	struct yaml *y = NULL;
	struct buf text = BUF_INIT(SUITE_FILE_MAX);
	int rc = files->read(files->self, path, &text);

	*out = NULL;
	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "there is no suite file %s", path);
		err_hint(rc, "a suite, and a task of lm-evaluation-harness, is named by the path of its file, such as "
			     "evals/exact.yaml");
	}
	if (!rc && buf_full(&text))
		rc = err_set(ERR_INPUT, "%s: larger than %d MiB", path, SUITE_FILE_MAX >> 20);
	rc = rc ? rc : yaml_parse_python(&y, buf_str(&text), text.len, path);
	if (!rc) {
		src.y = y;
		src.map = yaml_root(y);
		if (!json_is_object(src.map) || json_object_size(src.map) == 0) {
			rc = err_set(ERR_INPUT, "%s: an empty suite", path);
			err_hint(rc, "write suite: name and tasks: [file.yaml], or the keys of one harness task");
		} else if (json_object_get(src.map, "tasks") || json_object_get(src.map, "suite")) {
			rc = suite_tasks_load(s, &src);
		} else {
			rc = suite_add_map(s, &src, &src);
			s->name = rc ? NULL : mem_str(json_get_text(src.map, "group", s->tasks[0].name));
		}
	}
	yaml_free(y);
	buf_release(&text);
	if (rc)
		suite_free(s);
	else
		*out = s;
	return rc;
}

void suite_free(struct suite *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		task_release(&s->tasks[i]);
	for (size_t i = 0; i < s->n_groups; i++)
		group_release(&s->groups[i]);
	free(s->groups);
	free(s->tasks);
	free(s->name);
	free(s);
}

const char *suite_name(const struct suite *s)
{
	return s->name;
}

size_t suite_tasks(const struct suite *s)
{
	return s->n;
}

const struct task *suite_task(const struct suite *s, size_t i)
{
	return &s->tasks[i];
}

const char *suite_task_name(const struct suite *s, size_t i)
{
	return s->tasks[i].name;
}

const char *suite_task_note(const struct suite *s, size_t i)
{
	return s->tasks[i].note;
}

size_t suite_task_docs(const struct suite *s, size_t i)
{
	return s->tasks[i].eval.n;
}

static bool group_has(const struct group *g, size_t task)
{
	for (size_t k = 0; k < g->n; k++)
		if (g->members[k].task == task)
			return true;
	return false;
}

size_t suite_task_unit(const struct suite *s, size_t i)
{
	size_t first = i, before;

	do { /* a group may lead to another one */
		before = first;
		for (size_t g = 0; g < s->n_groups; g++)
			for (size_t k = 0; group_has(&s->groups[g], first) && k < s->groups[g].n; k++)
				first = s->groups[g].members[k].task < first ? s->groups[g].members[k].task : first;
	} while (first != before);
	return first;
}

int doc_cluster(struct sample *s, const struct doc *d, const char *member)
{
	const json_t *v = json_object_get(d->value, member);

	if (!json_is_integer(v) && !(json_is_string(v) && json_string_length(v)))
		return doc_error(
			err_set(ERR_INPUT, "the document has no \"%.60s\", by which the gate clusters", member), d);
	free(s->cluster);
	s->cluster = json_is_integer(v) ? mem_printf("%lld", (long long)json_integer_value(v))
					: mem_str(json_string_value(v));
	return 0;
}

int suite_clusters(const struct suite *s, struct task_result *r, const char *member)
{
	const struct task *t = NULL;
	struct map docs;
	int rc = 0;

	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->tasks[i].name, r->task) == 0)
			t = &s->tasks[i];
	if (!t)
		return 0;
	map_init(&docs);
	for (size_t d = 0; d < t->eval.n; d++)
		map_put(&docs, t->eval.docs[d].id, strlen(t->eval.docs[d].id), (int64_t)d);
	for (size_t i = 0; i < r->n && !rc; i++) {
		int64_t d;

		if (map_get(&docs, r->samples[i].id, strlen(r->samples[i].id), &d))
			rc = doc_cluster(&r->samples[i], &t->eval.docs[d], member);
	}
	map_release(&docs);
	return rc;
}

struct digest suite_task_digest(const struct suite *s, size_t i)
{
	return s->tasks[i].digest;
}

struct digest suite_digest(const struct suite *s)
{
	struct digest_ctx *c = digest_new();

	for (size_t i = 0; i < s->n; i++) {
		digest_text(c, s->tasks[i].name);
		digest_add(c, s->tasks[i].digest.bytes, sizeof(s->tasks[i].digest.bytes));
	}
	for (size_t i = 0; i < s->n_groups; i++) {
		digest_text(c, s->groups[i].name);
		digest_add(c, s->groups[i].digest.bytes, sizeof(s->groups[i].digest.bytes));
	}
	return digest_end(c);
}

struct suite_size suite_size(const struct suite *s)
{
	struct suite_size all = { 0 };

	for (size_t i = 0; i < s->n; i++) {
		const struct suite_size *t = &s->tasks[i].size;

		all.longest = t->longest > all.longest ? t->longest : all.longest;
		all.total = all.total > UINT64_MAX - t->total ? UINT64_MAX : all.total + t->total;
		all.requests += t->requests;
		all.generates |= t->generates;
	}
	return all;
}

int suite_each_text(const struct suite *s, int (*each)(const struct suite_text *text, void *arg), void *arg)
{
	struct buf question = BUF_INIT((size_t)1 << 28), answer = BUF_INIT((size_t)1 << 28);
	int rc = 0;

	for (size_t i = 0; i < s->n && !rc; i++)
		for (size_t d = 0; d < s->tasks[i].eval.n && !rc; d++) {
			const struct doc *doc = &s->tasks[i].eval.docs[d];

			buf_clear(&question);
			buf_clear(&answer);
			rc = prompt_own_text(&question, &answer, &s->tasks[i], doc);
			if (!rc)
				rc = each(&(struct suite_text){ s->tasks[i].name, doc->id, buf_str(&question),
								buf_str(&answer) },
					  arg);
		}
	buf_release(&question);
	buf_release(&answer);
	return rc;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static size_t docs_asked(const struct task *t, const struct suite_options *o)
{
	if (o->share > 0)
		return (size_t)ceil((double)t->eval.n * o->share);
	return o->limit > 0 && (uint64_t)o->limit < t->eval.n ? (size_t)o->limit : t->eval.n;
}

static size_t docs_of_shard(const struct task *t, const struct suite_options *o)
{
	size_t n = docs_asked(t, o), before = o->shards ? (size_t)o->shard - 1 : 0;

	if (!o->shards)
		return n;
	return n > before ? (n - before - 1) / (size_t)o->shards + 1 : 0;
}

size_t block_size(const struct eval_run *run, size_t max)
{
	double n = run->requests_per_s > 0 ? run->requests_per_s * BLOCK_SECONDS : BLOCK_FIRST;

	n = n < BLOCK_LEAST ? BLOCK_LEAST : n;
	return n < (double)max ? (size_t)n : max;
}

int block_done(struct eval_run *run, const struct task_result *r, const struct asked *block, size_t requests,
	       double seconds)
{
	run->requests_per_s = (double)requests / (seconds > 1e-6 ? seconds : 1e-6);
	run->done += block->n;
	progress_at(run->done, "%s", r->task);
	return run->keep ? run->keep->add(run->keep->self, r, block->slots, block->n) : 0;
}

/* The samples that are not known from before, in order. */
static int task_ask(struct eval_run *run, const struct task *t, struct task_result *r, const size_t *rows)
{
	size_t *slots = mem_array(r->n, sizeof(*slots));
	bool *have = mem_array(r->n, sizeof(*have));
	struct asked asked = { slots, rows, 0 };
	double start = clock_seconds();
	int rc = run->keep ? run->keep->restore(run->keep->self, r, have) : 0;

	for (size_t i = 0; i < r->n && !rc; i++)
		if (!have[i])
			slots[asked.n++] = i;
	run->done += r->n - asked.n;
	if (!rc && asked.n)
		rc = t->type == OUTPUT_GENERATE ? generate_until_run(run, t, r, &asked) : loglik_run(run, t, r, &asked);
	r->seconds = clock_seconds() - start;
	free(slots);
	free(have);
	return rc;
}

void task_result_begin(struct task_result *r, const struct task *t, size_t n)
{
	r->task = mem_str(t->name);
	digest_hex(r->digest, &t->digest);
	r->n = n;
	r->n_total = t->eval.n;
	r->samples = mem_array(n, sizeof(*r->samples));
	r->n_metrics = t->n_filters * t->n_metrics; /* of one filter beside each other */
	r->metrics = mem_array(r->n_metrics, sizeof(*r->metrics));
	for (size_t k = 0; k < r->n_metrics; k++)
		metric_init(&r->metrics[k], &t->metrics[k % t->n_metrics], t->filters[k / t->n_metrics].name, n);
}

static int task_run(struct eval_run *run, const struct task *t, const struct suite_options *o, struct task_result *r)
{
	size_t n = docs_of_shard(t, o), *rows = mem_array(n, sizeof(*rows));
	int rc;

	task_result_begin(r, t, n);
	if (o->shards) {
		r->shard = (struct task_shard){ .i = o->shard, .n = o->shards, .asked = docs_asked(t, o) };
		snprintf(r->shard.by, sizeof(r->shard.by), "%s", o->by ? o->by : "");
	}
	for (size_t i = 0; i < n; i++)
		rows[i] = o->shards ? (size_t)o->shard - 1 + i * (size_t)o->shards : i;
	rc = task_ask(run, t, r, rows);
	for (size_t k = 0; k < r->n_metrics && !rc; k++)
		metric_close(&r->metrics[k], n);
	for (size_t i = 0; i < n && !rc; i++)
		slice_fill(&r->samples[i], &t->columns, &t->eval.docs[rows[i]]);
	free(rows);
	return rc;
}

struct suite_result *suite_result_new(const struct suite *s)
{
	struct suite_result *r = mem_alloc(sizeof(*r));

	r->suite = mem_str(s->name);
	r->n = s->n;
	r->tasks = mem_array(s->n + s->n_groups, sizeof(*r->tasks));
	return r;
}

void suite_result_groups(struct suite_result *r, const struct suite *s)
{
	for (size_t i = 0; i < s->n_groups; i++)
		r->n += group_result(&r->tasks[r->n], &s->groups[i], r);
}

int suite_run(struct suite_result **out, const struct suite *s, const struct scorer *scorer,
	      const struct suite_options *o)
{
	struct suite_result *r = suite_result_new(s);
	struct eval_run run = {
		.scorer = scorer, .seed = o->seed, .keep = o->keep, .judge = o->judge, .commands = o->commands
	};
	uint64_t total = 0;
	int rc = judge_allowed(s, o->judge);

	rc = rc ? rc : commands_allowed(s, o->commands);
	*out = NULL;
	for (size_t i = 0; i < s->n; i++)
		total += docs_of_shard(&s->tasks[i], o);
	progress_begin(s->name, total, "samples");
	for (size_t i = 0; i < s->n && !rc; i++)
		rc = task_run(&run, &s->tasks[i], o, &r->tasks[i]);
	progress_end();
	if (!rc && !o->shards) /* a group is made of all shards */
		suite_result_groups(r, s);
	if (rc)
		suite_result_free(r);
	else
		*out = r;
	return rc;
}

void suite_result_free(struct suite_result *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		task_result_release(&r->tasks[i]);
	free(r->tasks);
	free(r->suite);
	free(r);
}

static json_t *value_json(double x)
{
	json_t *v = json_real(x);

	return v ? v : json_null(); /* jansson refuses what is not finite */
}

char *task_result_metric_note(const struct task_result *t, const struct metric *m)
{
	bool filtered = strcmp(m->filter, "none") != 0;

	if (!t->n || isfinite(m->value))
		return NULL;
	return mem_printf("task %s: %s%s%s is too large for a number, and has no value%s", t->task, m->name,
			  filtered ? "," : "", filtered ? m->filter : "",
			  m->aggregate == AGGREGATE_PERPLEXITY ? "; bits_per_byte does not overflow" : "");
}

json_t *suite_result_json(const struct suite_result *r)
{
	json_t *tasks = json_object();

	for (size_t i = 0; i < r->n; i++) {
		const struct task_result *t = &r->tasks[i];
		json_t *metrics = json_object();

		for (size_t k = 0; k < t->n_metrics; k++) {
			const struct metric *m = &t->metrics[k];
			char *key = strcmp(m->filter, "none") == 0 ? mem_str(m->name)
								   : mem_printf("%s,%s", m->name, m->filter);

			json_object_set_new(metrics, key,
					    json_pack("{s:o, s:o, s:I, s:o*}", "value", value_json(m->value), "stderr",
						      value_json(m->stderr_), "n", (json_int_t)t->n, "by",
						      slices_json(t, m)));
			free(key);
		}
		json_object_set_new(tasks, t->task, metrics);
	}
	return json_pack("{s:s, s:o}", "suite", r->suite, "tasks", tasks);
}
