/* generate.c: text behind a prompt, many prompts at once.
 *
 * A request lives in a slot, which owns rows of the cache of keys and values. Every round is one packed forward: one row for
 * each sequence that goes on, and the whole prompts of requests that take a slot which has become free. So a batch
 * stays full however unequal the lengths are. What a row computes depends on its own sequence alone (kernels.h), the
 * choice of a token on the row and on the request's own random stream: the result is the same in any company.
 *
 * Stops are looked for in the decoded end of what is new, after every token. At the end, the whole is decoded and cut
 * at each stop in turn, as the harness does. A prompt that leaves no room for max_tokens is cut on the left. */
#include "base/base.h"

#include <math.h>

#include "kernels/vmath.h"
#include "model/model_int.h"

#define DEFAULT_TOKENS 4096
#define MAX_SLOTS 256
#define CACHE_BATCHES 4 /* the cache holds as many rows as so many full batches */

struct slot {
	bool busy;
	size_t req;
	int pos;       /* tokens whose keys and values are in the cache */
	int32_t *rows; /* of the cache, by position; the slot's for good */
	int32_t *keys; /* the same as kernels_seqs names them */
	struct tokens out;
	struct rng rng;
};

struct job {
	struct model *m;
	const struct tokenizer *tok;
	const struct generate_request *reqs;
	struct generate_result *out;
	size_t n, next, n_done;
	struct slot *slots;
	int n_slots;
	int *slot_of; /* of the sequences of this round */
	int32_t *sampled;
	float *row; /* one row of logits, on the host */
	struct kvcache cache;
	struct pass pass;
};

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/* Tokens of the prompt that are used: its end, if it is too long. */
static int prompt_tokens(const struct model *m, const struct generate_request *r)
{
	int room = m->config.context - r->max_tokens;

	return r->n < room ? r->n : room;
}

static int check_requests(const struct job *j, int *longest, int *rows, int64_t *total)
{
	*longest = *rows = 1;
	*total = 0;
	for (size_t i = 0; i < j->n; i++) {
		const struct generate_request *r = &j->reqs[i];
		if (r->n < 1)
			return err_set(ERR_INPUT, "prompt %zu has no token", i);
		if (r->max_tokens < 0 || r->max_tokens >= j->m->config.context)
			return err_set(ERR_INPUT, "prompt %zu: max_tokens %d is outside 0..%d, what the model takes", i,
				       r->max_tokens, j->m->config.context - 1);
		if (!(r->temperature >= 0) || !isfinite(r->temperature))
			return err_set(ERR_INPUT, "prompt %zu: temperature %g is not 0 or above", i, r->temperature);
		int rc = model_check_ids(j->m, r->ids, r->n, "prompt", i);
		if (rc)
			return rc;
		int n = prompt_tokens(j->m, r);
		*longest = n > *longest ? n : *longest;
		*rows = n + r->max_tokens > *rows ? n + r->max_tokens : *rows;
		*total += n;
	}
	return 0;
}

static void open_slot(struct job *j, struct slot *s, int rows)
{
	s->rows = mem_array((size_t)rows, sizeof(*s->rows));
	s->keys = mem_array((size_t)rows, sizeof(*s->keys));
	kvcache_take(&j->cache, s->rows, rows); /* it was made for all of them */
	for (int i = 0; i < rows; i++)
		s->keys[i] = -1 - s->rows[i];
}

static int open_job(struct job *j, int batch_tokens)
{
	int longest, rows;
	int64_t total;
	int rc = check_requests(j, &longest, &rows, &total);

	if (rc)
		return rc;
	int tokens = batch_tokens > 0 ? batch_tokens : DEFAULT_TOKENS;
	int64_t slots = (int64_t)tokens * CACHE_BATCHES / rows;
	slots = slots < tokens ? slots : tokens;
	slots = slots < MAX_SLOTS ? slots : MAX_SLOTS;
	slots = slots < (int64_t)j->n ? slots : (int64_t)j->n;
	j->n_slots = slots < 1 ? 1 : (int)slots;
	tokens = total < tokens ? (int)total : tokens;
	tokens = tokens < longest ? longest : tokens;
	j->slots = mem_array((size_t)j->n_slots, sizeof(*j->slots));
	j->slot_of = mem_array((size_t)j->n_slots, sizeof(*j->slot_of));
	j->sampled = mem_array((size_t)j->n_slots, sizeof(*j->sampled));
	j->row = mem_array((size_t)j->m->config.vocab_size, sizeof(*j->row));
	if ((int64_t)j->n_slots * rows > INT32_MAX)
		return err_set(ERR_UNAVAILABLE, "a cache of %d sequences of %d tokens does not fit in memory",
			       j->n_slots, rows);
	rc = kvcache_open(&j->cache, j->m, j->n_slots * rows);
	if (rc)
		return rc;
	for (int i = 0; i < j->n_slots; i++)
		open_slot(j, &j->slots[i], rows);
	const struct pass_size size = { .tokens = tokens,
					.rows = j->n_slots,
					.seqs = j->n_slots,
					.positions = rows,
					.keys = j->n_slots * rows,
					.cache = &j->cache };
	return pass_open(&j->pass, j->m, &size);
}

static void close_job(struct job *j)
{
	pass_close(&j->pass);
	kvcache_close(&j->cache);
	for (int i = 0; j->slots && i < j->n_slots; i++) {
		tokens_release(&j->slots[i].out);
		free(j->slots[i].rows);
		free(j->slots[i].keys);
	}
	free(j->slots);
	free(j->slot_of);
	free(j->sampled);
	free(j->row);
}

/* ---- a token ----------------------------------------------------------------------------------------------------- */

static int32_t sample(const float *logits, int V, double temperature, struct rng *r)
{
	double max = (double)logits[0], sum = 0, at = 0;

	for (int i = 1; i < V; i++)
		max = (double)logits[i] > max ? (double)logits[i] : max;
	for (int i = 0; i < V; i++)
		sum += vm_exp(((double)logits[i] - max) / temperature);
	double u = rng_uniform(r) * sum;
	int32_t last = 0;
	for (int i = 0; i < V; i++) {
		double weight = vm_exp(((double)logits[i] - max) / temperature);
		if (!(weight > 0))
			continue;
		at += weight;
		last = i;
		if (u < at)
			break;
	}
	return last;
}

static void sample_chunk(struct pass *p, int first, int n, void *arg)
{
	struct job *j = arg;
	int V = j->m->config.vocab_size;

	for (int i = 0; i < n; i++) {
		struct slot *s = &j->slots[j->slot_of[first + i]];
		double temperature = j->reqs[s->req].temperature;
		if (!(temperature > 0))
			continue;
		p->be->download(p->be, j->row, p->logits + (size_t)i * (size_t)V, (size_t)V * sizeof(float));
		if (p->be->sync(p->be))
			return; /* the head's own sync reports what follows from it */
		j->sampled[first + i] = sample(j->row, V, temperature, &s->rng);
	}
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static bool is_eos(const struct model *m, int32_t id)
{
	for (int i = 0; i < m->n_eos; i++)
		if (m->eos[i] == id)
			return true;
	return false;
}

/* Whether a stop ends in the last token. A stop of n bytes is covered by the last n tokens, but for those that decode
 * to nothing; some more are looked at for these. */
static bool hits_stop(const struct job *j, const struct slot *s)
{
	const char *const *stops = j->reqs[s->req].stops;
	size_t longest = 0;
	bool hit = false;

	for (size_t i = 0; stops && stops[i]; i++)
		longest = strlen(stops[i]) > longest ? strlen(stops[i]) : longest;
	if (!longest)
		return false;
	size_t n = s->out.n < longest + 16 ? s->out.n : longest + 16;
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	tokenizer_decode(j->tok, &text, s->out.ids + s->out.n - n, n, true);
	for (size_t i = 0; stops[i]; i++)
		hit |= stops[i][0] && text.len && memmem(text.data, text.len, stops[i], strlen(stops[i]));
	buf_release(&text);
	return hit;
}

static void finish(struct job *j, struct slot *s, const char *why)
{
	const char *const *stops = j->reqs[s->req].stops;
	struct generate_result *r = &j->out[s->req];
	struct buf text = BUF_INIT(BUF_NOLIMIT);

	tokenizer_decode(j->tok, &text, s->out.ids, s->out.n, true);
	for (size_t i = 0; stops && stops[i]; i++) {
		char *at = stops[i][0] && text.len ? memmem(text.data, text.len, stops[i], strlen(stops[i])) : NULL;
		if (at) {
			text.len = (size_t)(at - text.data);
			*at = '\0';
		}
	}
	r->tokens = (int)s->out.n;
	r->finish = why;
	r->text = text.data ? buf_take(&text) : mem_str("");
	buf_release(&text);
	s->busy = false;
	j->n_done++;
}

static void take_token(struct job *j, struct slot *s, int32_t id)
{
	if (is_eos(j->m, id)) {
		finish(j, s, "eos");
		return;
	}
	tokens_add(&s->out, id);
	if (hits_stop(j, s))
		finish(j, s, "stop");
	else if ((int)s->out.n >= j->reqs[s->req].max_tokens)
		finish(j, s, "length");
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

static void add_rows(struct job *j, int slot, const int32_t *ids, int n)
{
	struct slot *s = &j->slots[slot];
	int row = pass_add_behind(&j->pass, ids, n, s->keys, s->pos, s->rows + s->pos);

	j->slot_of[pass_want(&j->pass, row + n - 1, 0)] = slot;
	s->pos += n;
}

/* Gives the next request a free slot, if its prompt fits into this round. */
static bool start(struct job *j, int slot)
{
	const struct generate_request *r = &j->reqs[j->next];
	struct slot *s = &j->slots[slot];
	int n = prompt_tokens(j->m, r);

	if (!pass_fits(&j->pass, n, 1))
		return false;
	s->busy = true;
	s->req = j->next++;
	s->pos = 0;
	s->out.n = 0;
	rng_seed(&s->rng, r->seed, 0);
	if (r->max_tokens)
		add_rows(j, slot, r->ids + r->n - n, n);
	else
		finish(j, s, "length");
	return true;
}

static void fill(struct job *j)
{
	pass_clear(&j->pass);
	for (int i = 0; i < j->n_slots; i++)
		if (j->slots[i].busy)
			add_rows(j, i, &j->slots[i].out.ids[j->slots[i].out.n - 1], 1);
	for (int i = 0; i < j->n_slots && j->next < j->n; i++)
		while (!j->slots[i].busy && j->next < j->n)
			if (!start(j, i))
				return;
}

static int one_round(struct job *j)
{
	struct pass *p = &j->pass;

	fill(j);
	if (!p->n_seqs)
		return 0;
	transformer_forward(p);
	int rc = transformer_head(p, sample_chunk, j);
	for (int i = 0; !rc && i < p->n_rows; i++) {
		struct slot *s = &j->slots[j->slot_of[i]];
		if (!isfinite(p->logprob[i]))
			rc = err_hint(
				err_set(ERR_INPUT, "prompt %zu: the model's output is not a finite number", s->req),
				"the weights are damaged, or a training went astray");
		else
			take_token(j, s, j->reqs[s->req].temperature > 0 ? j->sampled[i] : p->argmax[i]);
	}
	return rc;
}

int generate_run(struct model *m, const struct tokenizer *tok, const struct generate_request *reqs, size_t n,
		 struct generate_result *out, int batch_tokens, void (*done)(size_t n_done, void *arg), void *arg)
{
	struct job j = { .m = m, .tok = tok, .reqs = reqs, .out = out, .n = n };
	int rc;

	for (size_t i = 0; i < n; i++)
		out[i] = (struct generate_result){ NULL, 0, NULL };
	if (!n)
		return 0;
	rc = open_job(&j, batch_tokens);
	while (!rc && j.n_done < n) {
		rc = one_round(&j);
		if (!rc && done)
			done(j.n_done, arg);
	}
	close_job(&j);
	for (size_t i = 0; rc && i < n; i++)
		generate_result_release(&out[i]);
	return rc;
}

void generate_result_release(struct generate_result *r)
{
	free(r->text);
	r->text = NULL;
}
