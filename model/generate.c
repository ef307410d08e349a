/* generate.c: text behind a prompt, many prompts at once.
 *
 * A request lives in a slot. Every round is one packed forward: one row for each sequence that goes on, and as much as
 * fits of the prompts of requests that have taken a slot which became free. So a batch stays full however unequal the
 * lengths are, and a prompt may be longer than a batch. What a row computes depends on its own sequence alone (kernels.h),
 * the choice of a token on the row and on the request's own random stream: the result is the same in any company.
 *
 * Keys and values of every token lie in rows of the cache. Prompts are sorted (prefix.c) and begun in this order; what a
 * prompt has in common with the one before it is not computed again: both name the same rows, which count how many
 * do. The rows that the next prompt will share are held for it, even if the one before it has ended; all others are free as
 * soon as nobody names them. The last token of a prompt is always computed, since its logits are wanted.
 *
 * A request takes all rows it may need when it begins, so that none is ever stopped half way for want of memory.
 *
 * Stops are looked for in the decoded end of what is new, after every token. At the end, the whole is decoded and cut
 * at each stop in turn, as the harness does. A prompt that leaves no room for max_tokens is cut on the left. */
#include "base/base.h"

#include <assert.h>
#include <math.h>

#include "model/model_int.h"

#define DEFAULT_TOKENS 4096
#define MAX_SLOTS 256
#define CACHE_BATCHES 4    /* the cache holds as many rows as so many full batches */
#define KEYS_MAX (1 << 22) /* keys of all sequences of a batch; a single sequence may have more */

struct slot {
	bool busy;
	size_t req;
	const int32_t *ids; /* the prompt */
	int n;
	int rows;      /* of this round */
	int pos;       /* tokens whose keys and values are in the cache, or will be behind this round */
	int32_t *keys; /* rows of the cache as kernels_seqs names them: -1 - row */
	int n_keys;
	struct tokens out;
	struct rng rng;
};

struct job {
	struct model *m;
	const struct tokenizer *tok;
	const struct generate_request *reqs;
	struct generate_result *out;
	size_t n, n_done;
	struct prefix_text *prompts; /* of the requests that want a token, sorted */
	int *shared;                 /* of each: the tokens that are not computed again */
	size_t n_prompts, next;
	int32_t *path; /* keys that prompt `next` shares with the one before */
	int n_path;
	int32_t *refs; /* of each row of the cache */
	struct slot *slots;
	int n_slots;
	struct slot *filling;  /* whose prompt is not all in a batch yet; NULL: none */
	struct slot **slot_of; /* of the sequences of this round that are wanted */
	int32_t *sampled;
	struct sampler sampler;
	float *row;                 /* of logits, on the host, where the host draws … */
	struct kernels_draw *draws; /* … or how a device is to */
	struct buf text;
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

static int check_requests(const struct job *j)
{
	if (j->n > UINT32_MAX)
		return err_set(ERR_INPUT, "%zu prompts in one run", j->n);
	for (size_t i = 0; i < j->n; i++) {
		const struct generate_request *r = &j->reqs[i];
		if (r->n < 1)
			return err_set(ERR_INPUT, "prompt %zu has no token", i);
		if (r->max_tokens < 0 || r->max_tokens >= j->m->config.context)
			return err_hint(err_set(ERR_INPUT,
						"prompt %zu: max_tokens %d is outside 0..%d, what the model takes", i,
						r->max_tokens, j->m->config.context - 1),
					"lower max_gen_toks of the task, or --max-tokens");
		if (!(r->temperature >= 0) || !isfinite(r->temperature))
			return err_set(ERR_INPUT, "prompt %zu: temperature %g is not 0 or above", i, r->temperature);
		if (r->top_k < 0 || !(r->top_p >= 0 && r->top_p <= 1))
			return err_set(ERR_INPUT, "prompt %zu: top_k %d or top_p %g is out of range", i, r->top_k,
				       r->top_p);
		int rc = model_check_ids(j->m, r->ids, r->n, "prompt", i);
		if (rc)
			return rc;
	}
	return 0;
}

static void sort_prompts(struct job *j, bool share)
{
	j->prompts = mem_array(j->n, sizeof(*j->prompts));
	j->shared = mem_array(j->n + 1, sizeof(*j->shared));
	for (size_t i = 0; i < j->n; i++) {
		const struct generate_request *r = &j->reqs[i];
		int n = prompt_tokens(j->m, r);
		if (r->max_tokens)
			j->prompts[j->n_prompts++] = (struct prefix_text){ r->ids + r->n - n, n, (uint32_t)i };
	}
	prefix_sort(j->prompts, j->shared, j->n_prompts);
	for (size_t k = 0; k < j->n_prompts; k++) {
		int most = share ? j->prompts[k].n - 1 : 0;
		j->shared[k] = j->shared[k] < most ? j->shared[k] : most;
	}
	j->shared[j->n_prompts] = 0;
}

static int rows_needed(const struct job *j, size_t k)
{
	return j->prompts[k].n + j->reqs[j->prompts[k].index].max_tokens - 1;
}

struct sizes {
	int tokens, rows, slots; /* of a batch; of the cache; requests at a time */
	int longest;             /* rows of one request */
};

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

struct demand {                /* what all requests together ask for */
	int longest;           /* rows of one */
	int64_t prompts, rows; /* rows of the prompts; and with what is written behind them */
	int64_t n;
};

static struct demand demand_of(const struct job *j)
{
	struct demand d = { .longest = 1, .n = (int64_t)j->n_prompts };

	for (size_t k = 0; k < j->n_prompts; k++) {
		int need = rows_needed(j, k);
		d.longest = need > d.longest ? need : d.longest;
		d.prompts += j->prompts[k].n - j->shared[k];
		d.rows += need - j->shared[k];
	}
	return d;
}

static struct sizes sizes_of(const struct demand *d, int64_t tokens)
{
	struct sizes s = { .longest = d->longest };
	int64_t rows = least(d->rows, tokens * CACHE_BATCHES);

	s.rows = (int)(rows < s.longest ? s.longest : rows);
	int64_t slots = least(least(MAX_SLOTS, tokens), least(s.rows, d->n));
	s.slots = (int)(slots * s.longest > KEYS_MAX ? KEYS_MAX / s.longest : slots);
	s.slots = s.slots < 1 ? 1 : s.slots;
	s.tokens = (int)least(d->prompts, tokens);
	s.tokens = s.tokens < s.slots ? s.slots : s.tokens;
	return s;
}

static struct pass_size pass_size_of(const struct sizes *s)
{
	return (struct pass_size){ .tokens = s->tokens,
				   .rows = s->slots,
				   .seqs = s->slots,
				   .positions = s->longest,
				   .keys = s->slots * s->longest,
				   .drawn = true };
}

static uint64_t bytes_of(const struct model *m, const struct sizes *s)
{
	struct pass_size size = pass_size_of(s);

	return pass_bytes(m, &size) + model_rope_bytes(m, s->longest) + kvcache_bytes(m, s->rows) +
	       (uint64_t)s->slots * (uint64_t)s->longest * 4 + (uint64_t)s->rows * 8 +
	       (uint64_t)m->config.vocab_size * 20;
}

uint64_t generate_bytes(const struct model *m, const struct model_plan *plan, uint64_t *cache)
{
	int64_t rows = plan->rows && plan->rows < INT64_MAX ? (int64_t)plan->rows : INT64_MAX;
	const struct demand d = { plan->longest, rows, rows, rows };
	struct sizes s = sizes_of(&d, plan->micro_tokens);

	*cache = kvcache_bytes(m, s.rows);
	return bytes_of(m, &s) - *cache;
}

static int choose_sizes(struct sizes *s, const struct job *j, const struct score_options *how)
{
	const struct demand d = demand_of(j);

	for (int tokens = how->batch_tokens > 0 ? how->batch_tokens : DEFAULT_TOKENS; tokens; tokens /= 2) {
		*s = sizes_of(&d, tokens);
		if (!how->memory_bytes || bytes_of(j->m, s) <= how->memory_bytes)
			return 0;
	}
	return err_hint(err_set(ERR_UNAVAILABLE,
				"%llu bytes of memory beside the weights are allowed; a text of %d tokens needs %llu",
				(unsigned long long)how->memory_bytes, s->longest,
				(unsigned long long)bytes_of(j->m, s)),
			"raise --memory or free some, or ask for fewer tokens");
}

static int open_job(struct job *j, const struct score_options *how)
{
	struct sizes s;
	int rc = choose_sizes(&s, j, how);

	if (rc)
		return rc;
	j->n_slots = s.slots;
	j->slots = mem_array((size_t)s.slots, sizeof(*j->slots));
	for (int i = 0; i < s.slots; i++)
		j->slots[i].keys = mem_array((size_t)s.longest, sizeof(int32_t));
	j->path = mem_array((size_t)s.longest, sizeof(*j->path));
	j->refs = mem_array((size_t)s.rows, sizeof(*j->refs));
	j->slot_of = mem_array((size_t)s.slots, sizeof(struct slot *));
	j->sampled = mem_array((size_t)s.slots, sizeof(*j->sampled));
	j->row = mem_array((size_t)j->m->config.vocab_size, sizeof(*j->row));
	j->draws = mem_array((size_t)s.slots, sizeof(*j->draws));
	sampler_open(&j->sampler, j->m->config.vocab_size);
	rc = kvcache_open(&j->cache, j->m, s.rows);
	if (rc)
		return rc;
	struct pass_size size = pass_size_of(&s);
	size.cache = &j->cache;
	return pass_open(&j->pass, j->m, &size);
}

static void close_job(struct job *j)
{
	pass_close(&j->pass);
	kvcache_close(&j->cache);
	for (int i = 0; j->slots && i < j->n_slots; i++) {
		tokens_release(&j->slots[i].out);
		free(j->slots[i].keys);
	}
	free(j->prompts);
	free(j->shared);
	free(j->path);
	free(j->refs);
	free(j->slots);
	free(j->slot_of);
	free(j->sampled);
	free(j->row);
	free(j->draws);
	sampler_close(&j->sampler);
	buf_release(&j->text);
}

/* ---- rows of the cache ------------------------------------------------------------------------------------------- */

static void hold(struct job *j, const int32_t *keys, int n)
{
	for (int i = 0; i < n; i++)
		j->refs[-1 - keys[i]]++;
}

static void let_go(struct job *j, const int32_t *keys, int n)
{
	for (int i = n; i-- > 0;) {
		int32_t row = -1 - keys[i];
		if (!--j->refs[row])
			kvcache_give(&j->cache, &row, 1);
	}
}

/* All keys of a request: those it shares, and new ones. False: there are not enough as yet. */
static bool take_keys(struct job *j, struct slot *s, int shared)
{
	int32_t *fresh = s->keys + shared;
	int n = s->n_keys - shared;

	if (!kvcache_take(&j->cache, fresh, n))
		return false;
	for (int i = 0; i < n; i++)
		fresh[i] = -1 - fresh[i];
	memcpy(s->keys, j->path, (size_t)shared * sizeof(*s->keys));
	hold(j, s->keys, s->n_keys);
	return true;
}

/* The path becomes what the next prompt shares with that of s. */
static void move_path(struct job *j, const struct slot *s)
{
	int n = j->shared[j->next];

	if (n < j->n_path)
		let_go(j, j->path + n, j->n_path - n);
	else {
		memcpy(j->path + j->n_path, s->keys + j->n_path, (size_t)(n - j->n_path) * sizeof(*j->path));
		hold(j, j->path + j->n_path, n - j->n_path);
	}
	j->n_path = n;
}

/* ---- a token ----------------------------------------------------------------------------------------------------- */

static void draw_on_host(struct job *j, const float *logits, int first, int n)
{
	struct backend *be = j->pass.be;
	size_t V = (size_t)j->m->config.vocab_size;

	for (int i = 0; i < n; i++) {
		struct slot *s = j->slot_of[first + i];
		const struct generate_request *how = &j->reqs[s->req];
		if (!(how->temperature > 0))
			continue;
		be->download(be, j->row, logits + (size_t)i * V,
			     V * sizeof(float)); /* there at once: it is the host's */
		j->sampled[first + i] = sampler_draw(&j->sampler, j->row, how, &s->rng);
	}
}

/* The token takes the place of the row's argmax: every row has one target. */
static void draw_on_device(struct job *j, const float *logits, int first, int n)
{
	struct pass *p = &j->pass;
	bool any = false;

	for (int i = 0; i < n; i++) {
		struct slot *s = j->slot_of[first + i];
		const struct generate_request *how = &j->reqs[s->req];
		bool drawn = how->temperature > 0;
		j->draws[i] = (struct kernels_draw){ .u = drawn ? rng_uniform(&s->rng) : 0,
						     .temperature = (float)how->temperature,
						     .top_p = (float)how->top_p,
						     .top_k = how->top_k };
		any = any || drawn;
	}
	if (any)
		p->be->draw(p->be, p->d_argmax + first, logits, j->draws, n, j->m->config.vocab_size);
}

static void sample_chunk(struct pass *p, int first, int n, void *arg)
{
	struct job *j = arg;

	if (p->be->draw)
		draw_on_device(j, p->logits, first, n);
	else
		draw_on_host(j, p->logits, first, n);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static bool is_eos(const struct model *m, int32_t id)
{
	for (int i = 0; i < m->n_eos; i++)
		if (m->eos[i] == id)
			return true;
	return false;
}

static bool has_stop(const struct buf *text, const char *const *stops)
{
	for (size_t i = 0; stops[i]; i++)
		if (stops[i][0] && text->len && memmem(text->data, text->len, stops[i], strlen(stops[i])))
			return true;
	return false;
}

/* Whether a stop ends in the last token. A stop of n bytes is covered by the last n tokens, but for those that decode
 * to nothing; some more are looked at for these. The end alone may decode to something else than the end of the whole:
 * only the whole decides. */
static bool hits_stop(struct job *j, const struct slot *s)
{
	const char *const *stops = j->reqs[s->req].stops;
	size_t longest = 0;

	for (size_t i = 0; stops && stops[i]; i++)
		longest = strlen(stops[i]) > longest ? strlen(stops[i]) : longest;
	if (!longest)
		return false;
	size_t n = s->out.n < longest + 16 ? s->out.n : longest + 16;
	buf_clear(&j->text);
	tokenizer_decode(j->tok, &j->text, s->out.ids + s->out.n - n, n, true);
	if (n == s->out.n || !has_stop(&j->text, stops))
		return has_stop(&j->text, stops);
	buf_clear(&j->text);
	tokenizer_decode(j->tok, &j->text, s->out.ids, s->out.n, true);
	return has_stop(&j->text, stops);
}

static void give_result(struct job *j, size_t req, const int32_t *ids, size_t n, const char *why)
{
	const char *const *stops = j->reqs[req].stops;
	struct generate_result *r = &j->out[req];
	struct buf text = BUF_INIT(BUF_NOLIMIT);

	tokenizer_decode(j->tok, &text, ids, n, true);
	for (size_t i = 0; stops && stops[i]; i++) {
		char *at = stops[i][0] && text.len ? memmem(text.data, text.len, stops[i], strlen(stops[i])) : NULL;
		if (at) {
			text.len = (size_t)(at - text.data);
			*at = '\0';
		}
	}
	r->len = text.len;
	r->tokens = (int)n;
	r->finish = why;
	r->text = buf_take(&text);
	j->n_done++;
}

static void finish(struct job *j, struct slot *s, const char *why)
{
	give_result(j, s->req, s->out.ids, s->out.n, why);
	let_go(j, s->keys, s->n_keys);
	s->busy = false;
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

/* Adds n tokens of a sequence; the last one of a prompt, and every one behind it, is asked for what comes next. */
static void add_rows(struct job *j, struct slot *s, const int32_t *ids, int n)
{
	struct pass *p = &j->pass;
	int row = pass_add_behind(p, ids, n, s->keys, s->pos, NULL);

	for (int i = 0; i < n; i++)
		p->kept[row + i] = -1 - s->keys[s->pos + i];
	s->pos += n;
	s->rows = n;
	if (s->pos >= s->n)
		j->slot_of[pass_want(p, row + n - 1, 0)] = s;
}

static struct slot *free_slot(const struct job *j)
{
	for (int i = 0; i < j->n_slots; i++)
		if (!j->slots[i].busy)
			return &j->slots[i];
	return NULL;
}

/* Gives the next request a slot and its rows. NULL: it must wait. */
static struct slot *start(struct job *j)
{
	struct slot *s = j->next < j->n_prompts ? free_slot(j) : NULL;

	if (!s)
		return NULL;
	const struct prefix_text *t = &j->prompts[j->next];
	s->n_keys = rows_needed(j, j->next);
	if (!take_keys(j, s, j->shared[j->next]))
		return NULL;
	s->busy = true;
	s->req = t->index;
	s->ids = t->ids;
	s->n = t->n;
	s->pos = j->shared[j->next];
	s->out.n = 0;
	s->rows = 0;
	rng_seed(&s->rng, j->reqs[s->req].seed, 0);
	j->next++;
	move_path(j, s);
	return s;
}

/* A prompt is begun when all of the one before it is in a batch: what it shares is there. */
static void fill_prompts(struct job *j)
{
	struct pass *p = &j->pass;

	while (p->T < p->size.tokens && (j->filling || (j->filling = start(j)) != NULL)) {
		struct slot *s = j->filling;
		int n = s->n - s->pos, room = p->size.tokens - p->T;
		add_rows(j, s, s->ids + s->pos, n < room ? n : room);
		if (s->pos < s->n)
			break;
		j->filling = NULL;
	}
}

/* What a round took is shared out by rows. */
static void share_time(struct job *j, double seconds)
{
	for (int i = 0; i < j->n_slots; i++)
		if (j->slots[i].busy)
			j->out[j->slots[i].req].seconds += seconds * j->slots[i].rows / j->pass.T;
}

static int one_round(struct job *j)
{
	struct pass *p = &j->pass;
	double start = clock_seconds();

	pass_clear(p);
	for (int i = 0; i < j->n_slots; i++) {
		struct slot *s = &j->slots[i];
		s->rows = 0;
		if (s->busy && s != j->filling)
			add_rows(j, s, &s->out.ids[s->out.n - 1], 1);
	}
	fill_prompts(j);
	transformer_forward(p);
	int rc = transformer_head(p, sample_chunk, j);
	share_time(j, clock_seconds() - start);
	for (int i = 0; !rc && i < p->n_rows; i++) {
		struct slot *s = j->slot_of[i];
		if (!isfinite(p->logprob[i]))
			rc = err_hint(
				err_set(ERR_INPUT, "prompt %zu: the model's output is not a finite number", s->req),
				"the weights are damaged, or a training went astray");
		else
			take_token(j, s,
				   j->reqs[s->req].temperature > 0 && !p->be->draw ? j->sampled[i] : p->argmax[i]);
	}
	return rc;
}

/* All requests; *tokens: of a batch. */
static int try_run(struct model *m, const struct tokenizer *tok, const struct generate_request *reqs, size_t n,
		   struct generate_result *out, const struct score_options *how, int *tokens)
{
	struct job j = { .m = m, .tok = tok, .reqs = reqs, .out = out, .n = n, .text = BUF_INIT(BUF_NOLIMIT) };
	int rc;

	for (size_t i = 0; i < n; i++)
		out[i] = (struct generate_result){ 0 };
	rc = check_requests(&j);
	if (!rc && n)
		sort_prompts(&j, !how->alone);
	if (!rc && j.n_prompts)
		rc = open_job(&j, how);
	for (size_t i = 0; !rc && i < n; i++)
		if (!reqs[i].max_tokens)
			give_result(&j, i, NULL, 0, "length");
	*tokens = j.pass.size.tokens ? j.pass.size.tokens : how->batch_tokens;
	while (!rc && j.n_done < n) {
		rc = one_round(&j);
		if (!rc && how->done)
			how->done(j.n_done, how->arg);
	}
	assert(rc || !j.cache.be || j.cache.n_free == j.cache.rows);
	close_job(&j);
	for (size_t i = 0; rc && i < n; i++)
		generate_result_release(&out[i]);
	return rc;
}

int generate_run(struct model *m, const struct tokenizer *tok, const struct generate_request *reqs, size_t n,
		 struct generate_result *out, const struct score_options *how)
{
	struct score_options now = how ? *how : (struct score_options){ 0 };
	int tokens, rc;

	now.batch_tokens = now.batch_tokens > 0 ? now.batch_tokens : DEFAULT_TOKENS;
	do
		rc = try_run(m, tok, reqs, n, out, &now, &tokens);
	while (score_smaller(m, rc, tokens, &now));
	return rc;
}

void generate_result_release(struct generate_result *r)
{
	free(r->text);
	r->text = NULL;
}
