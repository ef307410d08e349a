/* differ.c: what exactly is another question? Two stored results of one task, held against each other sample by sample.
 *
 * Equal digests are equal questions; where they differ, "incomparable" alone helps nobody. The stored samples keep the
 * digest of each document and of each prompt, so it can be said which documents came, went or changed, and whether the
 * documents are the same and only what stands around them (template, shots) is not. */
#include "base/base.h"

#include "evals/evals_int.h"

struct tally {
	size_t n;
	char first[3][64];
};

static void count(struct tally *t, const char *id)
{
	if (t->n < ARRAY_LEN(t->first))
		snprintf(t->first[t->n], sizeof(t->first[0]), "%s", id);
	t->n++;
}

static void add(struct buf *out, const struct tally *t, const char *what)
{
	if (!t->n)
		return;
	buf_addf(out, "%s%zu %s", out->len ? "; " : "", t->n, what);
	for (size_t i = 0; i < t->n && i < ARRAY_LEN(t->first); i++)
		buf_addf(out, "%s \"%s\"", i ? "," : ":", t->first[i]);
	if (t->n > ARRAY_LEN(t->first))
		buf_adds(out, ", …");
}

static void add_metrics(struct buf *out, const struct task_result *c, const struct task_result *b)
{
	for (size_t i = 0; i < c->n_metrics; i++)
		if (!task_result_metric(b, c->metrics[i].name, c->metrics[i].filter))
			buf_addf(out, "%s%s,%s is new", out->len ? "; " : "", c->metrics[i].name, c->metrics[i].filter);
}

char *task_result_differences(const struct task_result *c, const struct task_result *b)
{
	struct tally added = { 0 }, gone = { 0 }, changed = { 0 }, around = { 0 };
	struct buf out = BUF_INIT(4096);
	struct map rows;
	bool *seen = mem_array(b->n + 1, sizeof(*seen));

	map_init(&rows);
	for (size_t i = 0; i < b->n; i++)
		map_put(&rows, b->samples[i].id, strlen(b->samples[i].id), (int64_t)i);
	for (size_t i = 0; i < c->n; i++) {
		const struct sample *s = &c->samples[i];
		int64_t at;

		if (!map_get(&rows, s->id, strlen(s->id), &at)) {
			count(&added, s->id);
			continue;
		}
		seen[at] = true;
		if (strcmp(s->doc_hash, b->samples[at].doc_hash) != 0)
			count(&changed, s->id);
		else if (strcmp(s->prompt_hash, b->samples[at].prompt_hash) != 0)
			count(&around, s->id);
	}
	for (size_t i = 0; i < b->n; i++)
		if (!seen[i])
			count(&gone, b->samples[i].id);
	add(&out, &changed, "documents have changed");
	add(&out, &added, "are new");
	add(&out, &gone, "are gone");
	add(&out, &around, "have another prompt (template, shots)");
	add_metrics(&out, c, b);
	if (!out.len)
		buf_adds(&out, "documents and prompts are the same: an option of the task is not");
	map_release(&rows);
	free(seen);
	return buf_take(&out);
}
