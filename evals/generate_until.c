/* generate_until.c: the request kind that lets the model write until a stop.
 *
 * Blocks of up to 1024 requests go to the scorer, in the order in which they are asked: many, since the last ones of a block are written with
 * little company. A text ends before the first stop string, whatever the scorer cut already; nothing is stripped. Greedy
 * unless the task asks for sampling; then each document, and each of its repeats, has a seed of its own, drawn from the
 * run's seed and its row, so that neither order nor limit changes an answer. Repeats of what is greedy are all the same:
 * they are asked for once.
 *
 * Each filter of the task makes an answer of its own out of what was written, and every metric scores every one. */
#include "base/base.h"

#include "evals/evals_int.h"

enum { BLOCK_REQUESTS = 1024 };

/* D documents, each asked R times: requests of one document beside each other. */
struct block {
	struct instance *in; /* D */
	struct generate_until *reqs;
	struct generated *out;
	const struct eval_run *run;
	const struct task *t;
	size_t asked; /* R */
	struct judged judged;
	struct commanded commanded;
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

/* What a filter makes of the texts, scored by every metric. */
static int score_filter(struct block *b, struct task_result *r, size_t slot, const struct doc *doc,
			const struct instance *in, const struct text *texts, size_t f, struct buf *answer)
{
	const struct task *t = b->t;
	struct outcome o = { .in = in };
	int rc = filter_apply(&t->filters[f], texts, (size_t)t->repeats, doc, answer);

	o.text = buf_str(answer);
	o.len = answer->len;
	for (size_t k = f * t->n_metrics; k < (f + 1) * t->n_metrics && !rc; k++) {
		const struct task_metric *m = &t->metrics[k % t->n_metrics];

		if (metric_is_command(m))
			commanded_add(&b->commanded, m, &o, texts, (size_t)t->repeats, doc, slot, k);
		else if (metric_is_judge(m))
			rc = judge_add(&b->judged, m, &o, doc, slot, k);
		else
			rc = metric_score(m, &o, &r->metrics[k], slot);
	}
	return rc;
}

/* out: what was written; of a greedy task one text, which stands for all repeats. */
static int score_doc(struct block *b, struct task_result *r, size_t slot, const struct doc *doc, size_t at)
{
	const struct task *t = b->t;
	struct text *texts = mem_array((size_t)t->repeats, sizeof(*texts));
	struct buf answer = BUF_INIT(BUF_NOLIMIT);
	int rc = 0;

	for (size_t i = 0; i < (size_t)t->repeats; i++) {
		const struct generated *g = &b->out[at * b->asked + (i < b->asked ? i : 0)];

		texts[i] = (struct text){ g->text, len_to_stops(g, t->until) };
	}
	sample_fill(&r->samples[slot], doc, &b->in[at], b->in[at].targets[0], texts[0].s, texts[0].len);
	for (size_t i = 0; i < b->asked; i++)
		r->samples[slot].tokens += b->out[at * b->asked + i].tokens;
	for (size_t i = 0; i < b->asked; i++)
		r->samples[slot].seconds += b->out[at * b->asked + i].seconds;
	for (size_t f = 0; f < t->n_filters && !rc; f++) {
		buf_clear(&answer);
		rc = score_filter(b, r, slot, doc, &b->in[at], texts, f, &answer);
		if (!rc && !filters_trivial(t->filters, t->n_filters))
			sample_answer(&r->samples[slot], t->filters[f].name, &answer);
	}
	buf_release(&answer);
	free(texts);
	return rc ? err_context(doc_error(rc, doc), "task %s, sample %s", t->name, doc->id) : 0;
}

static void block_show(size_t n_done, void *arg)
{
	const struct block *b = arg;

	progress_at(b->run->done + n_done / b->asked, "%s", b->t->name);
}

/* The requests of the document at `at` in the block. */
static int block_add(struct block *b, const struct eval_run *run, size_t at, size_t doc)
{
	const struct task *t = b->t;
	struct rng rng;
	int rc = instance_build(&b->in[at], t, &t->eval.docs[doc]);

	rc = rc ? rc : instance_chat(&b->in[at], t, run->scorer);
	if (rc)
		return rc;
	rng_seed(&rng, run->seed, doc);
	for (size_t i = 0; i < b->asked; i++)
		b->reqs[at * b->asked + i] = (struct generate_until){ .prompt = b->in[at].prompts[0].text,
								      .until = (const char *const *)t->until,
								      .max_tokens = t->max_tokens,
								      .temperature = t->temperature,
								      .seed = rng_u64(&rng),
								      .top_k = t->top_k,
								      .top_p = t->top_p,
								      .chat = b->in[at].prompts[0].messages != NULL };
	return 0;
}

static int block_run(struct block *b, struct eval_run *run, struct task_result *r, const struct asked *asked)
{
	const struct scorer_watch watch = { block_show, b };
	const struct doc *docs = b->t->eval.docs;
	const size_t n = asked->n, *slots = asked->slots, *rows = asked->rows;
	double start = clock_seconds();
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = block_add(b, run, i, rows[slots[i]]);
	if (!rc) {
		rc = run->scorer->generate(run->scorer->self, b->reqs, n * b->asked, b->out, &watch);
		if (rc)
			err_context(rc, "task %s, samples %s to %s", b->t->name, docs[rows[slots[0]]].id,
				    docs[rows[slots[n - 1]]].id);
	}
	for (size_t i = 0; i < n * b->asked && !rc; i++)
		if (!b->out[i].text)
			rc = err_set(ERR_BUG, "task %s: the scorer gave no text", b->t->name);
	for (size_t i = 0; i < n && !rc; i++)
		rc = score_doc(b, r, slots[i], &docs[rows[slots[i]]], i);
	rc = rc ? rc : judge_flush(&b->judged, run->judge, b->t, r);
	rc = rc ? rc : commanded_flush(&b->commanded, run->commands, r);
	judge_clear(&b->judged);
	commanded_clear(&b->commanded);
	rc = rc ? rc : block_done(run, r, asked, n * b->asked, clock_seconds() - start);
	for (size_t i = 0; i < n * b->asked; i++)
		free(b->out[i].text);
	for (size_t i = 0; i < n; i++)
		instance_release(&b->in[i]);
	memset(b->out, 0, mem_mul(n * b->asked, sizeof(*b->out)));
	return rc;
}

int generate_until_run(struct eval_run *run, const struct task *t, struct task_result *r, const struct asked *asked)
{
	struct block b = { .run = run, .t = t, .asked = t->temperature > 0 ? (size_t)t->repeats : 1 };
	size_t docs = b.asked < BLOCK_REQUESTS ? BLOCK_REQUESTS / b.asked : 1;
	int rc = 0;

	if (!run->scorer->generate)
		return err_set(ERR_UNAVAILABLE, "task %s: this model generates no text", t->name);
	b.in = mem_array(docs, sizeof(*b.in));
	b.reqs = mem_array(docs * b.asked, sizeof(*b.reqs));
	b.out = mem_array(docs * b.asked, sizeof(*b.out));
	for (size_t at = 0, n; at < asked->n && !rc; at += n) {
		n = block_size(run, BLOCK_REQUESTS) / b.asked;
		n = n < 1 ? 1 : n > docs ? docs : n;
		n = asked->n - at < n ? asked->n - at : n;
		rc = block_run(&b, run, r, &(struct asked){ asked->slots + at, asked->rows, n });
	}
	free(b.in);
	free(b.reqs);
	free(b.out);
	return rc;
}
