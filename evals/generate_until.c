/* generate_until.c: the request kind that lets the model write until a stop.
 *
 * Blocks of 1024 documents go to the scorer in document order: many, since the last ones of a block are written with little
 * company. A text ends before the first stop string, whatever the
 * scorer cut already; nothing is stripped. Greedy unless the task asks for sampling; then each document has a
 * seed of its own, drawn from the run's seed and its row, so that neither order nor limit changes an answer. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { BLOCK_DOCS = 1024 };

struct block {
	struct instance in[BLOCK_DOCS];
	struct generate_until reqs[BLOCK_DOCS];
	struct generated out[BLOCK_DOCS];
	const struct eval_run *run;
	const struct task *t;
};

/* What of a text stands before all stops. */
static size_t len_to_stops(const struct generated *g, char *const *until)
{
	size_t len = g->len;

	for (size_t i = 0; until[i]; i++) {
		const char *at = memmem(g->text, len, until[i], strlen(until[i]));

		if (at)
			len = (size_t)(at - g->text);
	}
	return len;
}

static int score_text(const struct task *t, struct task_result *r, size_t doc, const struct instance *in,
		      const struct generated *g)
{
	struct outcome o = { .in = in, .text = g->text, .len = len_to_stops(g, t->until) };
	int rc = 0;

	sample_fill(&r->samples[doc], &t->eval.docs[doc], in, in->targets[0], o.text, o.len);
	for (size_t k = 0; k < t->n_metrics && !rc; k++) {
		double weight;

		rc = metric_score(&t->metrics[k], &o, &r->metrics[k].scores[doc], &weight);
		if (rc)
			err_context(rc, "task %s, sample %s", t->name, t->eval.docs[doc].id);
	}
	return rc;
}

static void block_show(size_t n_done, void *arg)
{
	const struct block *b = arg;

	progress_at(b->run->done + n_done, "%s", b->t->name);
}

static int block_run(struct eval_run *run, const struct task *t, struct task_result *r, size_t first, size_t n)
{
	struct block *b = mem_alloc(sizeof(*b));
	const struct scorer_watch watch = { block_show, b };
	struct instance *in = b->in;
	struct generated *out = b->out;
	struct rng rng;
	int rc = 0;

	b->run = run;
	b->t = t;
	for (size_t i = 0; i < n && !rc; i++) {
		rc = instance_build(&in[i], t, &t->eval.docs[first + i]);
		rc = rc ? rc : instance_chat(&in[i], t, run->scorer);
		if (rc)
			break;
		rng_seed(&rng, run->seed, first + i);
		b->reqs[i] = (struct generate_until){ .prompt = in[i].context,
						      .until = (const char *const *)t->until,
						      .max_tokens = t->max_tokens,
						      .temperature = t->temperature,
						      .top_k = t->top_k,
						      .top_p = t->top_p,
						      .seed = rng_u64(&rng),
						      .chat = in[i].messages != NULL };
	}
	if (!rc) {
		rc = run->scorer->generate(run->scorer->self, b->reqs, n, out, &watch);
		if (rc)
			err_context(rc, "task %s, samples %s to %s", t->name, t->eval.docs[first].id,
				    t->eval.docs[first + n - 1].id);
	}
	for (size_t i = 0; i < n; i++) {
		if (!rc && !out[i].text)
			rc = err_set(ERR_BUG, "task %s: the scorer gave no text", t->name);
		if (!rc)
			rc = score_text(t, r, first + i, &in[i], &out[i]);
		free(out[i].text);
		instance_release(&in[i]);
	}
	free(b);
	return rc;
}

int generate_until_run(struct eval_run *run, const struct task *t, struct task_result *r)
{
	int rc = 0;

	if (!run->scorer->generate)
		return err_set(ERR_UNAVAILABLE, "task %s: this model generates no text", t->name);
	for (size_t at = 0; at < r->n && !rc; at += BLOCK_DOCS) {
		size_t n = r->n - at < BLOCK_DOCS ? r->n - at : BLOCK_DOCS;

		rc = block_run(run, t, r, at, n);
		run->done += n;
		progress_at(run->done, "%s", t->name);
	}
	return rc;
}
