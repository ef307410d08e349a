/* merge.c: the parts of an evaluation that several machines made, put together again to what one would have made.
 *
 * Shard i of n has the documents i-1, i-1+n, i-1+2n … of each task. Seeds, shots and scores of a document depend on
 * nothing but the document, so the whole is its parts in order: the same bytes. All n parts must be there, once, of this
 * suite's questions, and made by one and the same model, limit and numerics class; groups are made of the whole. */
#include "base/base.h"

#include "evals/evals_int.h"

static int other(const struct shard_file *f, const char *is, const char *what)
{
	return err_set(ERR_INPUT, "%s %s %s", f->name, is, what);
}

static bool same_metrics(const struct task_result *a, const struct task *t)
{
	if (a->n_metrics != t->n_filters * t->n_metrics)
		return false;
	for (size_t k = 0; k < a->n_metrics; k++) {
		struct metric m;
		bool same;

		metric_init(&m, &t->metrics[k % t->n_metrics], t->filters[k / t->n_metrics].name, 0);
		same = strcmp(m.name, a->metrics[k].name) == 0 && strcmp(m.filter, a->metrics[k].filter) == 0 &&
		       m.binary == a->metrics[k].binary && !m.weights == !a->metrics[k].weights &&
		       m.n_parts == a->metrics[k].n_parts;
		metric_release(&m);
		if (!same)
			return false;
	}
	return true;
}

/* Is it a part of this suite, made as the first file was? */
static int check_file(const struct suite *s, const struct shard_file *f, const struct shard_file *first)
{
	char digest[DIGEST_HEX];

	if (f->n != s->n)
		return other(f, "is of another suite, or of another version of it: it has not the tasks of", s->name);
	for (size_t i = 0; i < s->n; i++) {
		const struct task_result *r = &f->tasks[i];
		const struct task_shard *a = &r->shard, *b = &first->tasks[i].shard;

		digest_hex(digest, &s->tasks[i].digest);
		if (strcmp(r->task, s->tasks[i].name) != 0)
			return other(f, "is of another suite: there is no task", r->task);
		if (!a->n)
			return other(f, "is no shard: it has all samples of task", r->task);
		if (strcmp(r->digest, digest) != 0 || !same_metrics(r, &s->tasks[i]))
			return other(f, "has answers to other questions in task", r->task);
		if (a->n != b->n || a->i != f->tasks[0].shard.i)
			return err_set(ERR_INPUT, "%s is shard %d of %d; %s is one of %d", f->name, a->i, a->n,
				       first->name, b->n);
		if (a->asked != b->asked)
			return err_set(ERR_INPUT, "%s and %s were made with different limits: %zu and %zu of task %s",
				       f->name, first->name, a->asked, b->asked, r->task);
		if (strcmp(a->by, b->by) != 0)
			return other(f, "was made by another model, seed or numerics class than", first->name);
	}
	return 0;
}

/* Which file is which shard; all of them, once. */
static int order_files(const struct shard_file **order, const struct shard_file *files, size_t n, int shards)
{
	struct buf missing = BUF_INIT(200);
	size_t n_missing = 0;

	for (size_t i = 0; i < n; i++) {
		const struct shard_file **at = &order[files[i].tasks[0].shard.i - 1];

		if (*at)
			return err_set(ERR_INPUT, "%s and %s are both shard %d of %d", (*at)->name, files[i].name,
				       files[i].tasks[0].shard.i, shards);
		*at = &files[i];
	}
	for (int i = 0; i < shards; i++)
		if (!order[i] && n_missing++ < 20)
			buf_addf(&missing, "%s%d", missing.len ? ", " : "", i + 1);
	if (n_missing)
		err_set(ERR_INPUT, "of %d shards %zu are missing: %s%s", shards, n_missing, buf_str(&missing),
			n_missing > 20 ? " …" : "");
	buf_release(&missing);
	return n_missing ? ERR_INPUT : 0;
}

/* Takes a sample out of a shard. */
static int take_sample(struct task_result *r, size_t row, const struct shard_file *f, struct task_result *part,
		       size_t at, const struct doc *d)
{
	if (strcmp(part->samples[at].id, d->id) != 0)
		return err_set(ERR_INPUT, "%s: task %s: sample %zu is \"%s\", and should be \"%s\"", f->name, r->task,
			       at, part->samples[at].id, d->id);
	r->samples[row] = part->samples[at];
	part->samples[at] = (struct sample){ 0 };
	for (size_t k = 0; k < r->n_metrics; k++) {
		const struct metric *from = &part->metrics[k];
		struct metric *to = &r->metrics[k];

		to->scores[row] = from->scores[at];
		if (to->weights)
			to->weights[row] = from->weights[at];
		if (to->parts)
			memcpy(to->parts + row * to->n_parts, from->parts + at * to->n_parts,
			       to->n_parts * sizeof(double));
	}
	return 0;
}

static int merge_task(struct task_result *r, const struct task *t, size_t which, const struct shard_file *const *order)
{
	const struct task_shard *shard = &order[0]->tasks[which].shard;
	int rc = 0;

	task_result_begin(r, t, shard->asked);
	for (size_t row = 0; row < r->n && !rc; row++) {
		const struct shard_file *f = order[row % (size_t)shard->n];

		rc = take_sample(r, row, f, &f->tasks[which], row / (size_t)shard->n, &t->eval.docs[row]);
	}
	for (size_t k = 0; k < r->n_metrics && !rc; k++)
		metric_close(&r->metrics[k], r->n);
	return rc;
}

int suite_merge(struct suite_result **out, const struct suite *s, const struct shard_file *files, size_t n)
{
	const struct shard_file **order;
	struct suite_result *r;
	int rc = n ? 0 : err_set(ERR_INPUT, "no shards to merge");

	*out = NULL;
	for (size_t i = 0; i < n && !rc; i++)
		rc = check_file(s, &files[i], &files[0]);
	if (rc)
		return rc;
	order = mem_array((size_t)files[0].tasks[0].shard.n, sizeof(*order));
	rc = order_files(order, files, n, files[0].tasks[0].shard.n);
	r = suite_result_new(s);
	for (size_t i = 0; i < s->n && !rc; i++)
		rc = merge_task(&r->tasks[i], &s->tasks[i], i, order);
	free(order);
	if (rc)
		suite_result_free(r);
	else
		suite_result_groups(*out = r, s);
	return rc;
}
