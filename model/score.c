/* score.c: log-probabilities of tokens; score_text.c asks it for those of texts.
 *
 * score_run walks through the requests as a tree of prefixes (prefix.c), depth first, and cuts the walk into batches of
 * at most so many rows, wherever that number is reached: in the middle of a request too. A row's keys are the rows of its
 * path: of the same batch, or kept in the cache from one before. When a batch is full it is known which rows the walk
 * still stands on; only these are kept, so that the cache never holds more than two paths: the one that the batch began
 * with, which its sequences read, and the one it ends with. Rows do not see
 * what shares their batch, nor where their keys are (kernels.h): the results do not depend on the cut, on the order or
 * on what is shared.
 *
 * Only rows whose successor is scored go through the head, each once: the first tokens of all choices of a question are
 * targets of the same row. A request's sum is in double and in the order of its tokens, for the walk goes down its path.
 *
 * On a device the next batch is on its way before the last one is looked at, so that it never waits for the host: what a batch
 * holds depends on the requests alone.
 *
 * A device with memory of its own may turn out to have less than was thought: another process takes some, or an operation
 * wants scratch. Then all begins again with half the tokens at a time, and gives the same bits. */
#include "base/base.h"

#include <assert.h>
#include <math.h>

#include "model/model_int.h"

#define DEFAULT_TOKENS 4096
#define LEAST_TOKENS 16
#define KEYS_MAX (1 << 22) /* keys of all sequences of a batch; a single sequence may have more */

struct mark { /* request `req` takes the log-probability `want` of its batch, which is that of `target` */
	uint32_t req;
	int want;
	int32_t target;
};
struct share { /* request `req` has so many rows of its batch */
	uint32_t req;
	int rows;
};
struct batch { /* that was asked for */
	struct pass_answer answer;
	struct mark *marks;
	size_t n_marks, cap_marks;
	struct share *shares;
	size_t n_shares, cap_shares;
	int rows; /* 0: nothing was asked for */
	size_t k; /* requests before order[k] are done with it */
};
struct job {
	const struct score_request *reqs;
	struct score_result *out;
	struct prefix_tree tree;
	struct kvcache cache;
	struct pass pass;
	int32_t *
		path; /* where the keys of the path are, as kernels_seqs names them: >= 0 in this batch, < 0 in the cache */
	int path_rows;
	int32_t *left; /* rows of the cache that this batch reads, and none behind it */
	int n_left;
	size_t k;                      /* the walk stands at request order[k] … */
	int at;                        /* … of which the rows before `at` are in the path; -1: not begun */
	size_t use;                    /* the next one */
	struct batch batches[2], *now; /* now: the one that is filled; the other is looked at when it is asked for */
	double since;                  /* when the last one was taken */
};

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static int check_requests(const struct model *m, const struct score_request *reqs, size_t n)
{
	if (n > UINT32_MAX)
		return err_set(ERR_INPUT, "%zu requests in one run", n);
	for (size_t i = 0; i < n; i++) {
		const struct score_request *r = &reqs[i];
		if (r->n_scored < 1 || r->n_scored >= r->n || r->n - 1 > m->config.context)
			return err_set(
				ERR_INPUT,
				"request %zu: %d tokens, %d of them scored; the model takes at most %d and needs one "
				"before the first that is scored",
				i, r->n, r->n_scored, m->config.context + 1);
		int rc = model_check_ids(m, r->ids, r->n, "request", i);
		if (rc)
			return rc;
	}
	return 0;
}

static struct pass_size size_of(const struct job *j, int tokens)
{
	int64_t keys = (int64_t)tokens * j->tree.longest;
	int64_t most = j->tree.longest > KEYS_MAX ? j->tree.longest : KEYS_MAX;
	uint64_t targets = (uint64_t)tokens + j->tree.n_uses, enough = 2 * (uint64_t)tokens + j->tree.most_uses;

	targets = targets < enough ? targets : enough;

	return (struct pass_size){ .tokens = tokens,
				   .rows = tokens,
				   .seqs = tokens,
				   .targets = targets < INT32_MAX / 2 ? (int)targets : INT32_MAX / 2,
				   .positions = j->tree.longest,
				   .keys = (int)(keys < most ? keys : most) };
}

/* Rows that are read in a batch, and those that it adds. */
static int cache_rows(const struct job *j, int tokens)
{
	int longest = j->tree.longest;

	return longest + (tokens < longest ? tokens : longest);
}

static uint64_t cache_bytes(const struct model *m, const struct job *j, int tokens)
{
	return j->tree.rows <= (uint64_t)tokens ? 0 : kvcache_bytes(m, cache_rows(j, tokens));
}

static uint64_t bytes_of(const struct model *m, const struct job *j, int tokens)
{
	struct pass_size size = size_of(j, tokens);

	return pass_bytes(m, &size) + model_rope_bytes(m, j->tree.longest) + cache_bytes(m, j, tokens) +
	       (uint64_t)j->tree.longest * 8;
}

uint64_t score_bytes(const struct model *m, const struct model_plan *plan, uint64_t *cache)
{
	uint64_t rows = plan->rows ? plan->rows : UINT64_MAX;
	int tokens = rows < (uint64_t)plan->micro_tokens ? (int)rows : plan->micro_tokens;
	const struct job j = { .tree = { .longest = plan->longest, .rows = rows, .n_uses = (size_t)tokens } };

	*cache = cache_bytes(m, &j, tokens);
	return bytes_of(m, &j, tokens) - *cache;
}

/* The largest batch that is asked for, has something to do, and fits. */
static int choose_tokens(int *out, const struct model *m, const struct job *j, const struct score_options *how)
{
	int most = how->batch_tokens > 0 ? how->batch_tokens : DEFAULT_TOKENS, fits = 0;

	most = j->tree.rows < (uint64_t)most ? (int)j->tree.rows : most;
	if (!how->memory_bytes || bytes_of(m, j, most) <= how->memory_bytes) {
		*out = most;
		return 0;
	}
	for (int beyond = most; beyond - fits > 1;) {
		int try = fits + (beyond - fits) / 2;
		if (bytes_of(m, j, try) <= how->memory_bytes)
			fits = try;
		else
			beyond = try;
	}
	*out = fits;
	if (fits)
		return 0;
	return err_hint(err_set(ERR_UNAVAILABLE,
				"%llu bytes of memory beside the weights are allowed; scoring %d tokens needs %llu",
				(unsigned long long)how->memory_bytes, j->tree.longest,
				(unsigned long long)bytes_of(m, j, 1)),
			"raise --memory or free some, or ask for shorter texts");
}

static int open_job(struct job *j, struct model *m, const struct score_options *how)
{
	int tokens, rc = choose_tokens(&tokens, m, j, how);

	if (rc)
		return rc;
	/* batches of one size: the last one is as full as the others */
	uint64_t batches = (j->tree.rows + (uint64_t)tokens - 1) / (uint64_t)tokens;
	tokens = (int)((j->tree.rows + batches - 1) / batches);
	struct pass_size size = size_of(j, tokens);
	if (batches > 1) {
		rc = kvcache_open(&j->cache, m, cache_rows(j, tokens));
		size.cache = &j->cache;
	}
	j->path = mem_array((size_t)j->tree.longest, sizeof(*j->path));
	j->left = mem_array((size_t)j->tree.longest, sizeof(*j->left));
	j->at = -1;
	return rc ? rc : pass_open(&j->pass, m, &size);
}

static void close_job(struct job *j)
{
	pass_close(&j->pass);
	kvcache_close(&j->cache);
	prefix_close(&j->tree);
	free(j->path);
	free(j->left);
	for (int i = 0; i < 2; i++) {
		free(j->batches[i].marks);
		free(j->batches[i].shares);
	}
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

/* The walk goes back up to where the path has n rows. Sequences of this batch may still read those that it leaves: they
 * become free behind it. */
static void retreat(struct job *j, int n)
{
	for (; j->path_rows > n; j->path_rows--) {
		int32_t row = -1 - j->path[j->path_rows - 1];
		if (row >= 0)
			j->left[j->n_left++] = row;
	}
}

static void mark(struct job *j, uint32_t req, int want, int32_t target)
{
	struct batch *b = j->now;

	MEM_GROW(b->marks, b->n_marks, b->cap_marks);
	b->marks[b->n_marks++] = (struct mark){ req, want, target };
}

/* Wants what is scored at the row of position pos of request order[k]. Those who want it are sorted by their ids, and
 * agree up to here: equal targets follow one another. */
static void want(struct job *j, int row, int pos)
{
	const struct score_request *r = &j->reqs[j->tree.order[j->k]];
	int32_t target = -1;
	int at = -1;

	if (pos >= r->n - 1 - r->n_scored) {
		target = r->ids[pos + 1];
		at = pass_want(&j->pass, row, target);
		mark(j, j->tree.order[j->k], at, target);
	}
	for (; j->use < j->tree.n_uses; j->use++) {
		const struct prefix_use *u = &j->tree.uses[j->use];
		if (u->owner != j->k || u->pos != pos)
			break;
		uint32_t who = j->tree.order[u->who];
		int32_t id = j->reqs[who].ids[pos + 1];
		if (at < 0 || id != target)
			at = pass_want(&j->pass, row, id);
		target = id;
		mark(j, who, at, id);
	}
}

/* How many of the next n rows have room for all that is wanted at them. */
static int rows_with_targets(const struct job *j, int n)
{
	const struct prefix_tree *t = &j->tree;
	size_t use = j->use;
	int room = j->pass.size.targets - j->pass.n_targets;

	for (int i = 0; i < n; i++) {
		for (room--; use < t->n_uses && t->uses[use].owner == j->k && t->uses[use].pos == j->at + i; use++)
			room--;
		if (room < 0)
			return i;
	}
	return n;
}

/* Adds what fits of request order[k]; false: nothing does. */
static bool add_rows(struct job *j)
{
	const struct score_request *r = &j->reqs[j->tree.order[j->k]];
	struct pass *p = &j->pass;
	int n = r->n - 1 - j->at, room = p->size.tokens - p->T, keys = p->size.keys - p->k_start[p->n_seqs] - j->at;

	n = n < room ? n : room;
	n = n < keys ? n : keys;
	n = rows_with_targets(j, n);
	if (n < 1)
		return false;
	int row = pass_add_behind(p, r->ids + j->at, n, j->path, j->at, NULL);
	MEM_GROW(j->now->shares, j->now->n_shares, j->now->cap_shares);
	j->now->shares[j->now->n_shares++] = (struct share){ j->tree.order[j->k], n };
	for (int i = 0; i < n; i++) {
		j->path[j->at + i] = row + i;
		want(j, row + i, j->at + i);
	}
	j->at += n;
	j->path_rows = j->at;
	return true;
}

static void fill(struct job *j)
{
	pass_clear(&j->pass);
	j->now->n_marks = j->now->n_shares = 0;
	while (j->k < j->tree.n) {
		const struct score_request *r = &j->reqs[j->tree.order[j->k]];
		if (j->at < 0) {
			j->at = j->tree.begin[j->k];
			retreat(j, j->at);
		}
		while (j->at < r->n - 1)
			if (!add_rows(j))
				return;
		j->k++;
		j->at = -1;
	}
	retreat(j, 0);
}

/* The rows of this batch that the walk goes on from move to the cache. */
static int keep_path(struct job *j)
{
	for (int pos = 0; pos < j->path_rows; pos++) {
		int32_t row = j->path[pos], to;
		if (row < 0)
			continue;
		if (!kvcache_take(&j->cache, &to, 1))
			return err_set(ERR_BUG, "the cache has no row for position %d", pos);
		j->pass.kept[row] = to;
		j->path[pos] = -1 - to;
	}
	return 0;
}

/* Asks for the next batch, as full as can be. */
static int ask(struct job *j)
{
	fill(j);
	int rc = keep_path(j);
	if (rc || !j->pass.T)
		return rc;
	transformer_forward(&j->pass);
	kvcache_give(&j->cache, j->left, j->n_left);
	j->n_left = 0;
	transformer_ask(&j->pass, &j->now->answer, NULL, NULL);
	j->now->rows = j->pass.T;
	j->now->k = j->k;
	return 0;
}

/* What a batch took, from the one before it on, is shared out by rows: it tells long requests from short ones, and sums up to
 * the whole. */
static void share_time(struct job *j, const struct batch *b)
{
	double now = clock_seconds();

	for (size_t i = 0; i < b->n_shares; i++)
		j->out[b->shares[i].req].seconds += (now - j->since) * b->shares[i].rows / b->rows;
	j->since = now;
}

/* Takes what a batch gives, if one was asked for. */
static int take(struct job *j, struct batch *b, const struct score_options *how)
{
	const struct pass_answer *a = &b->answer;
	int rc = b->rows ? pass_wait(&j->pass, a->mark) : 0;

	if (rc || !b->rows)
		return rc;
	for (size_t i = 0; i < b->n_marks; i++) {
		const struct mark *k = &b->marks[i];
		struct score_result *r = &j->out[k->req];
		r->logprob += a->logprob[k->want];
		r->greedy &= a->argmax[k->want] == k->target;
		if (!isfinite(a->logprob[k->want]))
			return err_hint(
				err_set(ERR_INPUT, "request %u: the model's output is not a finite number", k->req),
				"the weights are damaged, or a training went astray");
	}
	share_time(j, b);
	b->rows = 0;
	if (how->done)
		how->done(b->k, how->arg);
	return 0;
}

/* A device computes a batch while the host takes the one before and fills the one behind. The host's own operations are done
 * when they return: then nothing is gained by looking later, and the one who watches is told at once. */
static int run_batches(struct job *j, size_t n, const struct score_options *how)
{
	bool ahead = j->pass.be->wait != NULL;
	int rc = 0;

	j->since = clock_seconds();
	while (!rc && j->k < n) {
		struct batch *before = j->now;
		j->now = &j->batches[before == &j->batches[0]];
		rc = ask(j);
		if (!rc)
			rc = take(j, ahead ? before : j->now, how);
	}
	return rc ? rc : take(j, j->now, how);
}

/* All requests from the first one on; *tokens: of a batch. */
static int try_run(struct model *m, const struct score_request *reqs, size_t n, struct score_result *out,
		   const struct score_options *how, int *tokens)
{
	struct job j = { .reqs = reqs, .out = out };

	for (size_t i = 0; i < n; i++)
		out[i] = (struct score_result){ 0, true, 0 };
	j.now = &j.batches[0];
	prefix_open(&j.tree, reqs, n, !how->alone);
	int rc = open_job(&j, m, how);
	*tokens = j.pass.size.tokens ? j.pass.size.tokens : how->batch_tokens;
	if (!rc)
		rc = run_batches(&j, n, how);
	assert(rc || !j.cache.be || j.cache.n_free == j.cache.rows);
	close_job(&j);
	return rc;
}

bool score_smaller(const struct model *m, int rc, int tokens, struct score_options *how)
{
	if (rc != ERR_UNAVAILABLE || !m->be->no_memory || tokens <= LEAST_TOKENS)
		return false;
	m->be->no_memory = false;
	how->batch_tokens = tokens / 2;
	log_info("%d tokens at a time, since: %s", how->batch_tokens, err_text());
	err_clear();
	return true;
}

int score_run(struct model *m, const struct score_request *reqs, size_t n, struct score_result *out,
	      const struct score_options *how)
{
	struct score_options now = how ? *how : (struct score_options){ 0 };
	int tokens, rc = check_requests(m, reqs, n);

	if (rc || !n)
		return rc;
	now.batch_tokens = now.batch_tokens > 0 ? now.batch_tokens : DEFAULT_TOKENS;
	do
		rc = try_run(m, reqs, n, out, &now, &tokens);
	while (score_smaller(m, rc, tokens, &now));
	return rc;
}
