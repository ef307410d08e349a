/* harness.c: what lm-evaluation-harness wrote, as results of ours, so that its runs are compared and gated here.
 *
 * A run with --log_samples leaves a file of results, results_DATE.json, and for each task samples_TASK_DATE.jsonl with a
 * row for every document and filter. A document's name is its doc_id. Its doc_hash and target_hash come along, so that a
 * document that has changed beneath its number is seen when two runs are paired (pair.c); the task's version and its number
 * of shots are what the task's digest is made of.
 *
 * What a row has under a metric's name says how it is made:
 *	a number                  the mean; of perplexity exp(-mean)
 *	[number, number]          log-likelihood and weight, of the perplexities and bits; labels, of f1 and mcc
 *	[targets, text]           BLEU, chrF, TER: scored again
 *	[label, probabilities]    brier_score, likewise
 * Nothing is believed: each value is made again from the samples and must be the one in the results. A metric for which it
 * is not, because a task's own Python made it in another way, is left out with a warning. Groups are made again from their
 * tasks; whether by size or alike is seen from their value, unless harness_write.c wrote it down.
 *
 * harness_write.c writes the same form. Its rows have a member "assay" with the sample's own name, slice and cluster, and its
 * results the digest of each task's questions: so what we wrote reads back as what it was. */
#include "base/base.h"

#include <math.h>

#include "evals/metric_int.h"

enum { COLUMNS_MAX = 64, GROUP_DEPTH = 16, NAMES_MAX = 1000000 };
#define SAMPLES_FILE_MAX ((size_t)4 << 30)

/* ---- one metric of one filter ------------------------------------------------------------------------------------ */

enum shape { SHAPE_UNKNOWN, SHAPE_NUMBER, SHAPE_WEIGHTED, SHAPE_LABELS, SHAPE_TEXTS, SHAPE_BRIER };
struct column {
	struct metric m; /* its arrays have room for all rows of the file */
	enum shape shape;
	struct task_metric *kind; /* SHAPE_TEXTS: how it is scored */
	size_t n_kind, n;
};

static bool is_texts(const json_t *v)
{
	return json_is_string(v) || (json_is_array(v) && json_is_string(json_array_get(v, 0)));
}

static enum shape shape_of(const char *name, const json_t *v)
{
	const json_t *a = json_array_get(v, 0), *b = json_array_get(v, 1);

	if (json_is_number(v) || json_is_boolean(v))
		return SHAPE_NUMBER;
	if (json_array_size(v) != 2)
		return SHAPE_UNKNOWN;
	if (json_is_number(a) && json_is_number(b))
		return strcmp(name, "f1") == 0 || strcmp(name, "mcc") == 0 ? SHAPE_LABELS : SHAPE_WEIGHTED;
	if (strcmp(name, "brier_score") == 0 && json_is_integer(a))
		return SHAPE_BRIER;
	if (is_texts(a) && is_texts(b) &&
	    (strcmp(name, "bleu") == 0 || strncmp(name, "chrf", 4) == 0 || strcmp(name, "ter") == 0))
		return SHAPE_TEXTS;
	return SHAPE_UNKNOWN;
}

int harness_metric(struct task_metric **out, size_t *n, const char *name)
{
	char *text = mem_printf("metric_list: [{metric: \"%s\"}]", name);
	struct source src = { .path = "samples" };
	struct yaml *y = NULL;
	int rc = yaml_parse(&y, text, strlen(text), "samples");

	src.y = y;
	src.map = yaml_root(y);
	rc = rc ? rc : metrics_load(out, n, &src, OUTPUT_GENERATE);
	yaml_free(y);
	free(text);
	return rc;
}

static int column_init(struct column *c, const char *name, const char *filter, const json_t *first, size_t rows)
{
	enum aggregate a = AGGREGATE_MEAN;
	size_t parts = 0;
	bool binary;
	int rc = 0;

	*c = (struct column){ .m = { .name = mem_str(name), .filter = mem_str(filter) },
			      .shape = shape_of(name, first) };
	if (c->shape == SHAPE_TEXTS) {
		rc = harness_metric(&c->kind, &c->n_kind, c->m.name);
		if (rc)
			return rc;
		a = c->kind->kind->aggregate;
		parts = c->kind->n_parts;
	} else if (c->shape == SHAPE_LABELS) {
		a = *name == 'f' ? AGGREGATE_F1 : AGGREGATE_MCC;
		parts = 2;
	} else if (c->shape == SHAPE_WEIGHTED) {
		a = strcmp(name, "bits_per_byte") == 0 ? AGGREGATE_BITS : AGGREGATE_PERPLEXITY;
	} else if (strcmp(name, "perplexity") == 0) {
		a = AGGREGATE_PERPLEXITY;
	}
	c->m.aggregate = a;
	c->m.higher_is_better = metric_direction(name, &binary) >= 0;
	c->m.n_parts = parts;
	c->m.scores = mem_array(rows, sizeof(double));
	c->m.weights = c->shape == SHAPE_WEIGHTED ? mem_array(rows, sizeof(double)) : NULL;
	c->m.parts = parts ? mem_array(rows, mem_mul(parts, sizeof(double))) : NULL;
	return 0;
}

static void column_release(struct column *c)
{
	metrics_free(c->kind, c->n_kind);
	metric_release(&c->m);
}

static int add_number(struct column *c, size_t row, const json_t *v)
{
	double x = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);

	if (shape_of(c->m.name, v) != SHAPE_NUMBER || !isfinite(x))
		return err_set(ERR_INPUT, "%s is not a number", c->m.name);
	c->m.scores[row] = x;
	return 0;
}

static int add_weighted(struct column *c, size_t row, const json_t *v)
{
	double x = json_number_value(json_array_get(v, 0)), w = json_number_value(json_array_get(v, 1));

	if (shape_of(c->m.name, v) != SHAPE_WEIGHTED || !isfinite(x) || !(w > 0) || !isfinite(w))
		return err_set(ERR_INPUT, "%s is not a log-likelihood and a weight above 0", c->m.name);
	c->m.scores[row] = x;
	c->m.weights[row] = w;
	return 0;
}

static int add_labels(struct column *c, size_t row, const json_t *v)
{
	double *at = c->m.parts + 2 * row;

	if (shape_of(c->m.name, v) != SHAPE_LABELS)
		return err_set(ERR_INPUT, "%s is not a pair of labels", c->m.name);
	for (size_t i = 0; i < 2; i++)
		at[i] = json_number_value(json_array_get(v, i));
	c->m.scores[row] = at[0] == at[1];
	return corpus_row_check(c->m.aggregate, at, 2);
}

/* numpy's print of the probabilities, or a list of them; the label may be none of them. */
static int add_brier(struct column *c, size_t row, const json_t *v)
{
	const json_t *p = json_array_get(v, 1);
	const char *s = json_string_value(p);
	int64_t gold = json_integer_value(json_array_get(v, 0));
	double sum = 0, all = 0;
	size_t n = 0;

	while (s ? *s : n < json_array_size(p)) {
		char *end = NULL;
		double x = s ? strtod(s, &end) : json_number_value(json_array_get(p, n));

		if (s && end == s) {
			s++; /* brackets and spaces */
			continue;
		}
		s = s ? end : NULL;
		sum += (x - ((int64_t)n == gold)) * (x - ((int64_t)n == gold));
		all += x;
		n++;
	}
	if (!(fabs(all - 1) < 1e-3) || gold < 0 || gold >= (int64_t)n)
		return err_set(ERR_INPUT, "brier_score is not a label and the probabilities of the choices");
	c->m.scores[row] = sum;
	return 0;
}

static int add_texts(struct column *c, size_t row, const json_t *v)
{
	const json_t *refs = json_array_get(v, 0), *text = json_array_get(v, 1);
	size_t n = json_is_array(refs) ? json_array_size(refs) : 1;
	char **targets = mem_array(n, sizeof(*targets));
	struct instance in = { .targets = targets, .n_targets = n };
	struct outcome o = { .in = &in };
	int rc = 0;

	text = json_is_array(text) ? json_array_get(text, 0) : text;
	for (size_t i = 0; i < n; i++)
		targets[i] = (char *)(uintptr_t)json_string_value(json_is_array(refs) ? json_array_get(refs, i) : refs);
	for (size_t i = 0; i < n; i++)
		if (!targets[i] || !json_is_string(text))
			rc = err_set(ERR_INPUT, "%s is not targets and a text", c->m.name);
	o.text = json_string_value(text);
	o.len = json_string_length(text);
	rc = rc ? rc : metric_score(c->kind, &o, &c->m, row);
	free(targets);
	return rc;
}

static int column_add(struct column *c, size_t row, const json_t *v)
{
	static int (*const add[])(struct column *, size_t, const json_t *) = {
		[SHAPE_NUMBER] = add_number, [SHAPE_WEIGHTED] = add_weighted, [SHAPE_LABELS] = add_labels,
		[SHAPE_TEXTS] = add_texts,   [SHAPE_BRIER] = add_brier,
	};

	c->n++;
	if (harness_form_infinite(v)) /* a value that is none: nor has the metric one */
		c->shape = SHAPE_UNKNOWN;
	return c->shape == SHAPE_UNKNOWN ? 0 : add[c->shape](c, row, v);
}

/* ---- the samples of one task ------------------------------------------------------------------------------------- */

struct harness {
	json_t *results;
	const char *path, *folder, *date; /* of the results; the folder they lie in */
	const struct eval_files *files;
};
struct rows {
	struct task_result *t;
	const char *name; /* of the file */
	struct map ids;   /* doc_id: which sample */
	size_t lines, n;
	struct column columns[COLUMNS_MAX];
	size_t n_columns;
};

static struct column *column_of(struct rows *r, const char *metric, const char *filter, const json_t *v)
{
	struct column *c;

	for (size_t i = 0; i < r->n_columns; i++)
		if (strcmp(r->columns[i].m.name, metric) == 0 && strcmp(r->columns[i].m.filter, filter) == 0)
			return &r->columns[i];
	if (r->n_columns == COLUMNS_MAX) {
		err_set(ERR_INPUT, "more than %d metrics", COLUMNS_MAX);
		return NULL;
	}
	c = &r->columns[r->n_columns++];
	return column_init(c, metric, filter, v, r->lines) ? NULL : c;
}

/* What harness_write.c adds to a row. */
static void own_read(struct sample *s, const json_t *own)
{
	const char *slice = json_get_text(own, "slice", NULL), *cluster = json_get_text(own, "cluster", NULL);

	s->slice = slice ? mem_str(slice) : NULL;
	s->cluster = cluster ? mem_str(cluster) : NULL;
}

/* The sample of a row: a new one, or of another filter before. */
static int row_sample(struct rows *r, const json_t *v, size_t *at)
{
	const json_t *id = json_object_get(v, "doc_id");
	const char *doc = json_get_text(v, "doc_hash", ""), *target = json_get_text(v, "target_hash", "");
	const json_t *own = json_object_get(v, "assay");
	const char *name = json_get_text(own, "id", NULL);
	char number[32];
	struct sample *s;
	int64_t known;

	if (harness_form_row(v))
		return ERR_INPUT;
	snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(id));
	name = name && *name ? name : number;
	if (map_get(&r->ids, name, strlen(name), &known)) {
		*at = (size_t)known;
		return 0;
	}
	map_put(&r->ids, name, strlen(name), (int64_t)r->n);
	*at = r->n++;
	s = &r->t->samples[*at];
	s->id = mem_str(name);
	if (own) {
		own_read(s, own);
		snprintf(s->doc_hash, sizeof(s->doc_hash), "%.16s", doc);
		snprintf(s->target_hash, sizeof(s->target_hash), "%.16s", target);
	} else if (*doc && *target) {
		char *both = mem_printf("%s%s", doc, target), hex[DIGEST_HEX];
		struct digest d = digest_bytes(both, strlen(both));

		digest_hex(hex, &d);
		snprintf(s->doc_hash, sizeof(s->doc_hash), "%.16s", hex);
		free(both);
	}
	snprintf(s->prompt_hash, sizeof(s->prompt_hash), "%.16s", json_get_text(v, "prompt_hash", ""));
	return 0;
}

static int row_read(json_t *v, size_t line, void *arg)
{
	struct rows *r = arg;
	const char *filter = json_get_text(v, "filter", "none"), *name;
	const json_t *names = json_object_get(v, "metrics"), *metric;
	size_t at = 0, i;
	int rc = row_sample(r, v, &at);

	json_array_foreach(names, i, metric)
	{
		struct column *c;

		name = json_string_value(metric);
		if (rc)
			break;
		c = column_of(r, name, filter, json_object_get(v, name));
		if (c && c->n > at)
			rc = err_set(ERR_INPUT, "doc_id %s is there twice for filter %s", r->t->samples[at].id, filter);
		else if (c && c->n < at)
			rc = err_set(ERR_INPUT, "%s,%s has no value for doc_id %s", name, filter,
				     r->t->samples[c->n].id);
		else
			rc = c ? column_add(c, at, json_object_get(v, name)) : ERR_INPUT;
	}
	return rc ? err_context(rc, "%s:%zu", r->name, line) : 0;
}

/* What the results state; NULL: nothing. */
static const json_t *statement(const struct harness *h, const char *part, const char *task, const struct metric *m)
{
	char *key = mem_printf("%s,%s", m->name, m->filter);
	const json_t *v = json_object_get(json_object_get(json_object_get(h->results, part), task), key);

	free(key);
	return v;
}

/* The value that the results state; NaN: none. */
static double stated(const struct harness *h, const char *part, const char *task, const struct metric *m)
{
	const json_t *v = statement(h, part, task, m);

	return json_is_number(v) ? json_number_value(v) : json_is_boolean(v) ? json_is_true(v) : NAN;
}

/* Printed probabilities have eight digits. */
static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-6 * (1 + fabs(b));
}

/* Moves a column into the result, unless its samples do not make the value that is stated. */
static int column_take(struct task_result *t, struct column *c, const struct harness *h)
{
	struct metric *m = &c->m;
	double value = stated(h, "results", t->task, m);
	bool none = harness_form_infinite(statement(h, "results", t->task, m));
	const json_t *better =
		json_object_get(json_object_get(json_object_get(h->results, "higher_is_better"), t->task), m->name);

	if (!statement(h, "results", t->task, m)) {
		err_set(ERR_INPUT, "%s: \"results\".\"%s\" has no \"%s,%s\", and its samples have", h->path, t->task,
			m->name, m->filter);
		return err_hint(ERR_INPUT, "take results and samples of one run of lm_eval");
	}
	if (json_is_boolean(better))
		m->higher_is_better = json_is_true(better);
	m->binary = m->aggregate == AGGREGATE_MEAN && c->shape == SHAPE_NUMBER;
	for (size_t i = 0; i < t->n && m->binary; i++)
		m->binary = m->scores[i] == 0 || m->scores[i] == 1;
	if (c->shape != SHAPE_UNKNOWN)
		metric_close(m, t->n);
	if (c->shape == SHAPE_UNKNOWN || none || (isfinite(value) && !near(m->value, value))) {
		log_warn("%s: %s,%s of task %s is left out: %s", h->path, m->name, m->filter, t->task,
			 none ? "its value is no number" : "its samples do not tell how its value is made");
		return 0;
	}
	t->metrics[t->n_metrics++] = *m;
	*m = (struct metric){ 0 };
	return 0;
}

/* Of what the results state, that no sample has is told. */
static void unsampled_tell(const struct rows *r, const struct harness *h)
{
	json_t *values = json_object_get(json_object_get(h->results, "results"), r->t->task), *v;
	const char *key;

	json_object_foreach(values, key, v)
	{
		const char *comma = strrchr(key, ',');
		bool found = !harness_form_is_value(key);

		for (size_t i = 0; i < r->n_columns && !found; i++)
			found = strncmp(key, r->columns[i].m.name, (size_t)(comma - key)) == 0 &&
				!r->columns[i].m.name[comma - key] && strcmp(comma + 1, r->columns[i].m.filter) == 0;
		if (!found)
			log_warn("%s: %s of task %s is left out: no sample has it", h->path, key, r->t->task);
	}
}

static size_t count_rows(const struct buf *text)
{
	size_t n = 1;

	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	return n;
}

/* The digest of the questions, where harness_write.c wrote the results. */
static bool own_identity(struct task_result *t, const struct harness *h)
{
	const json_t *config = json_object_get(json_object_get(h->results, "configs"), t->task);
	const json_t *own = json_object_get(json_object_get(config, "metadata"), "assay");
	const char *hex = json_get_text(own, "digest", "");
	struct digest d;

	if (digest_parse(&d, hex)) {
		err_clear();
		return false;
	}
	digest_hex(t->digest, &d);
	return true;
}

/* What the task's questions are, as far as the harness says: not a difference of models, but of what they were asked. */
static void task_identity(struct task_result *t, const struct harness *h)
{
	struct buf text = BUF_INIT(4096);
	const json_t *version = json_object_get(json_object_get(h->results, "versions"), t->task);
	struct digest d;

	if (own_identity(t, h))
		return;
	buf_adds(&text, "version ");
	if (json_is_string(version))
		buf_adds(&text, json_string_value(version));
	else if (version)
		json_add(&text, version);
	buf_addf(&text, ", %lld shots", (long long)json_get_int(json_object_get(h->results, "n-shot"), t->task, 0));
	t->asked = mem_str(buf_str(&text));
	buf_addf(&text, " of %s", t->task);
	d = digest_bytes(buf_str(&text), text.len);
	digest_hex(t->digest, &d);
	buf_release(&text);
}

static int rows_close(struct rows *r, const struct harness *h)
{
	struct task_result *t = r->t;
	int64_t all = json_get_int(json_object_get(json_object_get(h->results, "n-samples"), t->task), "original", 0);

	t->n = r->n;
	t->n_total = all > (int64_t)r->n ? (size_t)all : r->n;
	if (!t->n)
		return err_set(ERR_INPUT, "%s: no samples in it", r->name);
	unsampled_tell(r, h);
	t->metrics = mem_array(r->n_columns, sizeof(*t->metrics));
	for (size_t i = 0; i < r->n_columns; i++) {
		struct column *c = &r->columns[i];

		if (c->n != t->n)
			return err_set(ERR_INPUT, "%s: cut short: %s,%s has %zu of %zu samples", r->name, c->m.name,
				       c->m.filter, c->n, t->n);
		if (column_take(t, c, h))
			return ERR_INPUT;
	}
	return 0;
}

static int task_read(struct task_result *out, const struct harness *h, const char *task)
{
	char *path = mem_printf("%s/samples_%s_%s.jsonl", h->folder, task, h->date);
	struct task_result t = { .task = mem_str(task) };
	struct rows *r = mem_alloc(sizeof(*r));
	struct buf text = BUF_INIT(SAMPLES_FILE_MAX);
	int rc = h->files->read(h->files->self, path, &text);

	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "%s: no file %s", h->path, path);
		err_hint(rc, "lm_eval writes every sample with --log_samples");
	}
	if (!rc) {
		*r = (struct rows){ .t = &t, .name = path, .lines = count_rows(&text) };
		map_init(&r->ids);
		t.samples = mem_array(r->lines, sizeof(*t.samples));
		t.n = r->lines;
		harness_form_plain(&text);
		task_identity(&t, h);
		rc = harness_form_task(h->results, h->path, task, !t.asked);
		rc = rc ? rc : json_lines(buf_str(&text), text.len, path, row_read, r);
		rc = rc ? rc : rows_close(r, h);
		for (size_t i = 0; i < r->n_columns; i++)
			column_release(&r->columns[i]);
		map_release(&r->ids);
	}
	buf_release(&text);
	free(path);
	free(r);
	if (rc)
		task_result_release(&t);
	else
		*out = t;
	return rc;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

struct leaves {
	struct group *g;
	const struct harness *h;
	const struct task_result *tasks;
	size_t n, *place; /* of each of the n tasks: its member and 1; 0: it is none yet */
	size_t names;     /* that were looked at: a file that names itself over and over has an end */
	struct map index; /* name -> task */
};

/* Adds the tasks beneath a name of group_subtasks, each as often as it counts (group.c). */
static void leaves_add(struct leaves *l, const char *name, int depth)
{
	const json_t *below = json_object_get(json_object_get(l->h->results, "group_subtasks"), name), *child;
	int64_t at;
	size_t i;

	if (map_get(&l->index, name, strlen(name), &at)) {
		if (!l->place[at]) {
			l->g->members[l->g->n++] = (struct group_member){ .task = (size_t)at };
			l->place[at] = l->g->n;
		}
		l->g->members[l->place[at] - 1].times++;
	}
	if (depth == GROUP_DEPTH)
		return;
	json_array_foreach(below, i, child)
	{
		if (json_is_string(child) && l->names++ < NAMES_MAX)
			leaves_add(l, json_string_value(child), depth + 1);
	}
}

static void leaves_read(struct group *g, const struct harness *h, const struct task_result *tasks, size_t n)
{
	struct leaves l = { .g = g, .h = h, .tasks = tasks, .n = n, .place = mem_array(n, sizeof(size_t)) };

	map_init(&l.index);
	for (size_t i = 0; i < n; i++)
		map_put(&l.index, tasks[i].task, strlen(tasks[i].task), (int64_t)i);
	g->members = mem_array(n, sizeof(*g->members));
	leaves_add(&l, g->name, 0);
	map_release(&l.index);
	free(l.place);
}

/* A group's metrics as the group file would ask for them; by size, unless harness_write.c has said otherwise. */
static void group_metrics(struct group *g, const struct harness *h)
{
	const json_t *values = json_object_get(json_object_get(h->results, "groups"), g->name), *v;
	const json_t *own = json_object_get(json_object_get(h->results, "assay_groups"), g->name);
	const char *key;

	g->metrics = mem_array(json_object_size(values) + 1, sizeof(*g->metrics));
	json_object_foreach((json_t *)(uintptr_t)values, key, v)
	{
		const char *comma = strrchr(key, ',');
		struct group_metric *m = &g->metrics[g->n_metrics];

		if (!harness_form_is_value(key) || harness_form_infinite(v))
			continue;
		*m = (struct group_metric){ .name = mem_strn(key, (size_t)(comma - key)),
					    .by_size = json_get_flag(json_object_get(own, "by_size"), key, true),
					    .n_filters = 1 };
		m->filters = mem_array(1, sizeof(*m->filters));
		m->filters[0] = mem_str(comma + 1);
		g->n_metrics++;
	}
}

/* Of the metrics whose value is not the one stated, the weighing is turned about; true: there was none. */
static bool group_agrees(struct group *g, const struct task_result *t, const struct harness *h)
{
	bool all = true;

	for (size_t i = 0; i < g->n_metrics; i++) {
		const struct metric *m = task_result_metric(t, g->metrics[i].name, g->metrics[i].filters[0]);
		double value = m ? stated(h, "groups", t->task, m) : NAN;

		if (isfinite(value) && !near(m->value, value)) {
			g->metrics[i].by_size = !g->metrics[i].by_size;
			all = false;
		}
	}
	return all;
}

static bool group_read(struct task_result *out, const struct harness *h, struct task_result *tasks, size_t n,
		       const char *name)
{
	struct suite_result r = { .tasks = tasks, .n = n };
	struct group g = { .name = mem_str(name) };
	bool made = false, agrees = false;

	leaves_read(&g, h, tasks, n);
	group_metrics(&g, h);
	for (int turn = 0; turn < 2 && g.n && g.n_metrics && !agrees; turn++) {
		if (made)
			task_result_release(out);
		made = group_result(out, &g, &r);
		agrees = made && group_agrees(&g, out, h);
	}
	if (made && !agrees)
		task_result_release(out);
	group_release(&g);
	return agrees;
}

static int groups_read(struct task_result *out, size_t *n, const struct harness *h)
{
	const char *name;
	json_t *values;
	size_t leaves = *n;

	json_object_foreach(json_object_get(h->results, "groups"), name, values)
	{
		const json_t *own = json_object_get(json_object_get(h->results, "assay_groups"), name);
		struct task_result t;
		struct digest d;

		if (harness_form_values(h->results, h->path, "groups", name))
			return ERR_INPUT;
		if (!group_read(&t, h, out, leaves, name)) {
			log_warn("%s: group %s is left out: its tasks do not tell how its values are made", h->path,
				 name);
			continue;
		}
		if (digest_parse(&d, json_get_text(own, "digest", "")) == 0)
			digest_hex(t.digest, &d);
		else
			t.asked = mem_str("as a group of its tasks");
		err_clear();
		out[(*n)++] = t;
	}
	return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int tasks_read(struct task_result **out, size_t *n, struct harness *h)
{
	json_t *configs = json_object_get(h->results, "configs"), *groups = json_object_get(h->results, "groups"),
	       *config;
	const char *task;
	int rc = 0;

	if (!json_is_object(configs) || !json_is_object(json_object_get(h->results, "results")))
		return err_set(ERR_INPUT,
			       "%s: no results of lm-evaluation-harness: it has no \"results\" and \"configs\"",
			       h->path);
	*out = mem_array(json_object_size(configs) + json_object_size(groups) + 1, sizeof(**out));
	json_object_foreach(configs, task, config)
	{
		if (strchr(task, '/'))
			rc = err_set(ERR_INPUT, "%s: a task named \"%.60s\"", h->path, task);
		rc = rc ? rc : task_read(&(*out)[*n], h, task);
		if (rc)
			return rc;
		++*n;
	}
	if (!*n)
		return err_set(ERR_INPUT, "%s: no task in it", h->path);
	return groups_read(*out, n, h);
}

int harness_results_read(struct task_result **out, size_t *n, const struct eval_files *files, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *date = strrchr(name, '_');
	struct harness h = { .path = path, .files = files };
	struct buf text = BUF_INIT((size_t)1 << 30);
	char *folder = slash ? mem_strn(path, (size_t)(slash - path)) : mem_str("."), *day = NULL;
	int rc = files->read(files->self, path, &text);

	*out = NULL;
	*n = 0;
	if (!rc && (!date || !path_has_suffix(date, ".json")))
		rc = err_set(ERR_INPUT, "%s: lm-evaluation-harness calls its results results_DATE.json", path);
	harness_form_plain(&text);
	rc = rc ? rc : json_parse(&h.results, buf_str(&text), text.len, path);
	if (!rc) {
		h.folder = folder;
		h.date = day = mem_strn(date + 1, strlen(date + 1) - strlen(".json"));
		rc = tasks_read(out, n, &h);
	}
	json_decref(h.results);
	buf_release(&text);
	free(folder);
	free(day);
	return rc;
}
