/* pass.c: the packed batch of one forward, and the memory for it.
 *
 * Everything a step needs is allocated once, here and in acts.c, from sizes known at the start; filling, computing and
 * emptying a batch allocates nothing. A batch is rows of tokens, sequence behind sequence without padding; kernels_seqs
 * says where each begins, so attention never crosses a border, and positions restart with every sequence.
 *
 * A sequence may continue a prefix that was computed before: in this batch, or in an earlier one whose keys and values
 * a cache has kept. Then each of its keys is named by its row (k_rows), and nothing of the prefix is computed again.
 *
 * Logits are the widest thing there is: they exist for `chunk` rows at a time, a number that depends on the vocabulary
 * alone, so that the order of sums over rows does not depend on the room there happens to be. Training takes more rows at
 * a time: its weights are packed anew for every chunk, and the gradient of the head is read and written. Where the back end computes head
 * and loss in one (kernels.h, head_tiles) and nobody draws, there are none; a plan, which need not know the device, counts
 * them all the same: what a device needs for its tiles is about as much. */
#include "base/base.h"

#include "model/model_int.h"

#define LOGITS_FLOATS ((size_t)4 << 20)  /* 16 MB of logits at a time … */
#define LOGITS_DEVICE ((size_t)64 << 20) /* … 256 MB on a device of its own, which wants more rows to be busy … */
#define CHUNK_SCORED 128                 /* … or so many rows, where the vocabulary is wide */
#define CHUNK_TRAINED 256
#define MAX_TOKENS (1 << 22)

static int chunk_of(const struct model *m, const struct pass_size *size)
{
	size_t fit = (m->on_device ? LOGITS_DEVICE : LOGITS_FLOATS) / (size_t)m->config.vocab_size;
	int least = size->keep ? CHUNK_TRAINED : CHUNK_SCORED;
	int chunk = fit < (size_t)least ? least : (int)(fit < MAX_TOKENS ? fit : MAX_TOKENS);

	return chunk < size->rows ? chunk : size->rows;
}

static struct pass_size whole_size(const struct pass_size *size)
{
	struct pass_size s = *size;

	s.rows = s.rows < 1 ? 1 : s.rows;
	s.seqs = s.seqs < 1 ? 1 : s.seqs;
	s.targets = s.targets < s.rows ? s.rows : s.targets;
	return s;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static int open_ints(struct pass *p)
{
	size_t T = (size_t)p->size.tokens, R = (size_t)p->size.rows, S = (size_t)p->size.seqs;
	size_t W = (size_t)p->size.targets;
	void *ints = NULL, *doubles = NULL;
	int rc;

	p->packed = mem_array(3 * T + 3 * R + 1 + W, sizeof(int32_t));
	p->ids = mem_array(T, sizeof(int32_t));
	p->pos = mem_array(T, sizeof(int32_t));
	p->kept = mem_array(T, sizeof(int32_t));
	p->rows = mem_array(R, sizeof(int32_t));
	p->first = mem_array(R + 1, sizeof(int32_t));
	p->targets = mem_array(W, sizeof(int32_t));
	p->argmaxes = mem_array(2 * W, sizeof(int32_t));
	p->scales = mem_array(R, sizeof(float));
	p->logprobs = mem_array(2 * W, sizeof(double));
	p->argmax = p->argmaxes;
	p->logprob = p->logprobs;
	p->q_start = mem_array(S + 1, sizeof(int32_t));
	p->k_start = mem_array(S + 1, sizeof(int32_t));
	if (p->size.keys)
		p->k_rows = mem_array((size_t)p->size.keys, sizeof(int32_t));
	rc = p->be->alloc(p->be, &ints, (3 * T + 3 * R + 1 + 2 * W) * sizeof(int32_t));
	if (rc)
		return err_context(rc, "memory for a batch");
	p->d_ints = ints;
	p->d_argmax = p->d_ints;
	rc = p->be->alloc(p->be, &doubles, W * sizeof(double));
	p->d_logprob = doubles;
	return rc ? err_context(rc, "memory for a batch") : 0;
}

uint64_t pass_bytes(const struct model *m, const struct pass_size *size)
{
	struct pass_size s = whole_size(size);

	return acts_bytes(m, &s, chunk_of(m, &s)) + (uint64_t)s.tokens * 36 + (uint64_t)s.rows * 36 +
	       (uint64_t)s.targets * 48 + (uint64_t)s.seqs * 8 + (uint64_t)s.keys * 4;
}

int pass_open(struct pass *p, struct model *m, const struct pass_size *size)
{
	int rc;

	*p = (struct pass){ .m = m, .be = m->be, .size = whole_size(size) };
	if (size->tokens < 1 || size->tokens > MAX_TOKENS)
		return err_set(ERR_INPUT, "%d tokens in one batch (1..%d are possible)", size->tokens, MAX_TOKENS);
	p->tiled = !size->drawn && m->be->head_tiles && m->be->head_tiles(m->be, &m->head.w);
	p->chunk = p->tiled ? 0 : chunk_of(m, &p->size);
	rc = model_need_rope(m, size->positions);
	if (!rc)
		rc = open_ints(p);
	if (!rc)
		rc = acts_open(p);
	if (rc)
		pass_close(p);
	return rc;
}

/* What was asked for, and nobody waited for since something else had failed, still goes to memory that is given back here. */
static void wait_for_all(struct pass *p)
{
	struct err_saved failure = err_save();

	p->be->sync(p->be);
	err_restore(&failure);
}

void pass_close(struct pass *p)
{
	if (!p->be)
		return;
	wait_for_all(p);
	p->be->free(p->be, p->d_ints);
	p->be->free(p->be, p->d_logprob);
	acts_close(p);
	free(p->packed);
	free(p->ids);
	free(p->pos);
	free(p->kept);
	free(p->rows);
	free(p->first);
	free(p->targets);
	free(p->argmaxes);
	free(p->scales);
	free(p->logprobs);
	free(p->q_start);
	free(p->k_start);
	free(p->k_rows);
	*p = (struct pass){ 0 };
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

void pass_clear(struct pass *p)
{
	p->T = p->n_seqs = p->n_rows = p->n_targets = 0;
	p->k_start[0] = p->first[0] = 0;
}

bool pass_fits(const struct pass *p, int tokens, int rows)
{
	return p->n_seqs < p->size.seqs && tokens <= p->size.tokens - p->T && rows <= p->size.rows - p->n_rows;
}

bool pass_fits_behind(const struct pass *p, int tokens, int rows, int first_pos)
{
	return pass_fits(p, tokens, rows) && first_pos + tokens <= p->size.keys - p->k_start[p->n_seqs];
}

int pass_add_behind(struct pass *p, const int32_t *ids, int n, const int32_t *prefix, int first_pos,
		    const int32_t *kept)
{
	int row = p->T, s = p->n_seqs++, keys = p->k_rows ? first_pos + n : n;
	int32_t *k_rows = p->k_rows ? p->k_rows + p->k_start[s] : NULL;

	for (int i = 0; i < n; i++) {
		p->ids[row + i] = ids[i];
		p->pos[row + i] = first_pos + i;
		p->kept[row + i] = kept ? kept[i] : -1;
	}
	if (k_rows) {
		if (first_pos)
			memcpy(k_rows, prefix, (size_t)first_pos * sizeof(*k_rows));
		for (int i = 0; i < n; i++)
			k_rows[first_pos + i] = row + i;
	}
	p->T += n;
	p->q_start[s] = row;
	p->q_start[s + 1] = p->T;
	p->k_start[s + 1] = p->k_start[s] + keys;
	return row;
}

int pass_add(struct pass *p, const int32_t *ids, int n)
{
	return pass_add_behind(p, ids, n, NULL, 0, NULL);
}

int pass_want(struct pass *p, int row, int32_t target)
{
	if (!p->n_rows || p->rows[p->n_rows - 1] != row) {
		p->rows[p->n_rows] = row;
		p->scales[p->n_rows++] = 1;
	}
	p->targets[p->n_targets] = target;
	p->first[p->n_rows] = p->n_targets + 1;
	return p->n_targets++;
}

/* All arrays behind one another, by the sizes of this batch, so that they are one copy: on a device, seven small ones take as
 * long as a token of a small model. */
void pass_upload(struct pass *p)
{
	const struct {
		int32_t **device;
		const int32_t *host;
		int n;
	} parts[] = {
		{ &p->d_ids, p->ids, p->T },
		{ &p->d_pos, p->pos, p->T },
		{ &p->d_kept, p->kept, p->size.cache ? p->T : 0 },
		{ &p->d_rows, p->rows, p->n_rows },
		{ &p->d_first, p->first, p->n_rows + 1 },
		{ &p->d_targets, p->targets, p->n_targets },
	};
	int32_t *device = p->d_ints + p->size.targets; /* behind argmax, which comes back */
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		*parts[i].device = device + at;
		memcpy(p->packed + at, parts[i].host, (size_t)parts[i].n * sizeof(int32_t));
		at += (size_t)parts[i].n;
	}
	p->d_scales = (float *)(device + at);
	memcpy(p->packed + at, p->scales, (size_t)p->n_rows * sizeof(float));
	p->be->upload(p->be, device, p->packed, (at + (size_t)p->n_rows) * sizeof(int32_t));
}

void pass_upload_scales(struct pass *p)
{
	p->be->upload(p->be, p->d_scales, p->scales, (size_t)p->n_rows * sizeof(float));
}

void pass_download(struct pass *p, struct pass_answer *a, bool argmax)
{
	struct backend *be = p->be;
	size_t n = (size_t)p->n_targets, half = (size_t)p->size.targets;

	p->turn = !p->turn;
	p->logprob = p->logprobs + (p->turn ? half : 0);
	p->argmax = p->argmaxes + (p->turn ? half : 0);
	be->download(be, p->logprob, p->d_logprob, n * sizeof(double));
	if (argmax)
		be->download(be, p->argmax, p->d_argmax, n * sizeof(int32_t));
	*a = (struct pass_answer){ p->logprob, p->argmax, p->n_targets, be->mark ? be->mark(be) : 0 };
}

int pass_wait(struct pass *p, uint64_t mark)
{
	return p->be->wait ? p->be->wait(p->be, mark) : p->be->sync(p->be);
}

struct kernels_seqs pass_seqs(const struct pass *p, int layer)
{
	const struct model_config *c = &p->m->config;
	struct kernels_seqs seqs = { p->n_seqs, p->q_start, p->k_start, p->k_rows, NULL, NULL, 0 };

	if (p->size.cache) {
		seqs.cache_k = kvcache_layer(p->size.cache, layer);
		seqs.cache_v = seqs.cache_k + c->kv_heads * c->head_dim;
		seqs.cache_stride = p->size.cache->width;
	}
	return seqs;
}
