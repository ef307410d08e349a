/* loglik.c: the request kinds that are log-likelihoods: loglikelihood, loglikelihood_rolling, multiple_choice.
 *
 * Documents become requests in the order in which they are asked and go to the scorer in blocks of up to 4096, or 64 MB of
 * context: one block is in memory at a time. The scorer is free to share prefixes and order inside a block; every block
 * computes its shared prompts anew, which is why blocks are as large as the time allows that may be lost (suite.c).
 * A log-likelihood that is not a number ends the run: it is a broken model or a bug, never a wrong answer. */
#include "base/base.h"

#include <math.h>

#include "evals/evals_int.h"

enum { BLOCK_REQUESTS = 4096, BLOCK_BYTES = 64 << 20 };

struct block {
	struct instance *docs;
	size_t n, first; /* documents in the block; its first place among those asked */
	const struct asked *asked;
	struct loglik_request *reqs;
	struct loglik_result *results;
	size_t n_reqs, cap, bytes;
	bool alone; /* the choices are asked without their question too (acc_mutual_info) */
	const struct eval_run *run;
	const struct task *t;
};

static void block_add(struct block *b, const struct task *t, const struct instance *in)
{
	size_t n = t->type == OUTPUT_ROLLING ? 1 : in->n_choices;

	for (size_t i = 0; i < in->n_prompts; i++)
		b->bytes += strlen(in->prompts[i].text);
	for (size_t i = 0; i < n; i++) {
		const struct prompt *p = &in->prompts[in->n_prompts > 1 ? i : 0];

		MEM_GROW(b->reqs, b->n_reqs, b->cap);
		b->reqs[b->n_reqs++] =
			(struct loglik_request){ p->text, in->continuations ? in->continuations[i] : NULL,
						 p->messages != NULL };
	}
	for (size_t i = 0; b->alone && i < n; i++) {
		MEM_GROW(b->reqs, b->n_reqs, b->cap);
		b->reqs[b->n_reqs++] = (struct loglik_request){ "", in->continuations[i], false };
	}
}

/* What the model would have answered, for the record. */
static char *block_response(const struct task *t, const struct outcome *o)
{
	size_t best = 0;

	if (t->type != OUTPUT_CHOICE)
		return mem_printf("log-likelihood %.6f over %d tokens%s", o->ll[0].logprob, o->ll[0].tokens,
				  t->type == OUTPUT_LOGLIK && o->ll[0].greedy ? ", greedy" : "");
	for (size_t i = 1; i < o->in->n_choices; i++)
		if (o->ll[i].logprob > o->ll[best].logprob)
			best = i;
	return mem_str(o->in->choices[best]);
}

/* slot: the number of the sample; doc: of its document. */
static int block_score_doc(const struct task *t, struct task_result *r, size_t slot, size_t doc,
			   const struct outcome *o)
{
	const struct instance *in = o->in;
	const char *target = t->type != OUTPUT_CHOICE ? in->targets[0]
			     : in->gold[0] >= 0       ? in->choices[in->gold[0]]
						      : "";
	char *response = block_response(t, o);
	int rc = 0;

	sample_fill(&r->samples[slot], &t->eval.docs[doc], in, target, response, strlen(response));
	free(response);
	for (size_t i = 0; i < (t->type == OUTPUT_CHOICE ? in->n_choices : 1); i++)
		r->samples[slot].tokens += o->ll[i].tokens;
	for (size_t i = 0; i < (t->type == OUTPUT_ROLLING ? 1 : in->n_choices); i++)
		r->samples[slot].seconds += o->ll[i].seconds + (o->ll_alone ? o->ll_alone[i].seconds : 0);
	for (size_t k = 0; k < r->n_metrics && !rc; k++) /* a filter takes the first of equal answers */
		rc = metric_score(&t->metrics[k % t->n_metrics], o, &r->metrics[k], slot);
	return rc ? err_context(doc_error(rc, &t->eval.docs[doc]), "task %s, sample %s", t->name, t->eval.docs[doc].id)
		  : 0;
}

static void block_show(size_t n_done, void *arg)
{
	const struct block *b = arg;

	progress_at(b->run->done + n_done * b->n / b->n_reqs, "%s", b->t->name);
}

static void block_quiet(size_t n_done, void *arg)
{
	(void)n_done;
	(void)arg;
}

/* Which sample is it? A scorer refuses a whole call; asked one by one, they tell. */
static int block_blame(struct block *b, const struct asked *block)
{
	const struct scorer_watch quiet = { block_quiet, NULL };
	const struct scorer *scorer = b->run->scorer;
	const struct doc *docs = b->t->eval.docs;
	struct err_saved saved = err_save();
	int rc = 0;

	for (size_t i = 0, at = 0; i < b->n && !rc; i++) {
		size_t n = (b->t->type == OUTPUT_ROLLING ? 1 : b->docs[i].n_choices) * (b->alone ? 2 : 1);

		rc = scorer->loglik(scorer->self, b->reqs + at, n, b->results + at, &quiet);
		if (rc == ERR_INPUT) {
			const struct doc *d = &docs[block->rows[block->slots[i]]];

			rc = err_context(doc_error(rc, d), "task %s, sample %s", b->t->name, d->id);
		}
		at += n;
	}
	if (rc == ERR_INPUT) {
		free(saved.text);
		free(saved.fix);
	} else {
		err_restore(&saved);
		rc = ERR_INPUT;
		err_context(rc, "task %s, samples %s to %s", b->t->name, docs[block->rows[block->slots[0]]].id,
			    docs[block->rows[block->slots[b->n - 1]]].id);
	}
	return rc;
}

static int block_flush(struct block *b, struct eval_run *run, const struct task *t, struct task_result *r)
{
	const struct scorer_watch watch = { block_show, b };
	const struct asked block = { b->asked->slots + b->first, b->asked->rows, b->n };
	const struct doc *docs = t->eval.docs;
	double start = clock_seconds();
	size_t at = 0;
	int rc;

	b->results = mem_resize(b->results, mem_mul(b->n_reqs, sizeof(*b->results)));
	rc = run->scorer->loglik(run->scorer->self, b->reqs, b->n_reqs, b->results, &watch);
	for (size_t i = 0; i < b->n_reqs && !rc; i++)
		if (!isfinite(b->results[i].logprob))
			rc = err_set(ERR_INPUT, "the model's log-likelihood is not a finite number");
	if (rc == ERR_INPUT)
		rc = block_blame(b, &block);
	else if (rc)
		err_context(rc, "task %s, samples %s to %s", t->name, docs[block.rows[block.slots[0]]].id,
			    docs[block.rows[block.slots[b->n - 1]]].id);
	for (size_t i = 0; i < b->n && !rc; i++) {
		size_t n = t->type == OUTPUT_ROLLING ? 1 : b->docs[i].n_choices;
		struct outcome o = { .in = &b->docs[i],
				     .ll = b->results + at,
				     .ll_alone = b->alone ? b->results + at + n : NULL };

		rc = block_score_doc(t, r, block.slots[i], block.rows[block.slots[i]], &o);
		at += b->alone ? 2 * n : n;
	}
	for (size_t i = 0; i < b->n; i++)
		instance_release(&b->docs[i]);
	rc = rc ? rc : block_done(run, r, &block, b->n_reqs, clock_seconds() - start);
	b->first += b->n;
	b->n = b->n_reqs = b->bytes = 0;
	return rc;
}

int loglik_run(struct eval_run *run, const struct task *t, struct task_result *r, const struct asked *asked)
{
	struct block b = { .docs = mem_array(BLOCK_REQUESTS, sizeof(*b.docs)),
			   .alone = metrics_need_alone(t->metrics, t->n_metrics),
			   .asked = asked,
			   .run = run,
			   .t = t };
	int rc = 0;

	if (!run->scorer->loglik)
		rc = err_set(ERR_UNAVAILABLE, "task %s: this model gives no log-likelihoods", t->name);
	for (size_t i = 0; i < asked->n && !rc; i++) {
		rc = instance_build(&b.docs[b.n], t, &t->eval.docs[asked->rows[asked->slots[i]]]);
		if (rc)
			break;
		rc = instance_chat(&b.docs[b.n], t, run->scorer);
		if (rc) {
			instance_release(&b.docs[b.n]);
			break;
		}
		block_add(&b, t, &b.docs[b.n++]);
		if (b.n_reqs >= block_size(run, BLOCK_REQUESTS) || b.n == BLOCK_REQUESTS || b.bytes >= BLOCK_BYTES ||
		    i + 1 == asked->n)
			rc = block_flush(&b, run, t, r);
	}
	for (size_t i = 0; i < b.n; i++)
		instance_release(&b.docs[i]);
	free(b.docs);
	free(b.reqs);
	free(b.results);
	return rc;
}
