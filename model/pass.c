/* pass.c: the memory of one forward, and the packed batch that is in it.
 *
 * Everything a step needs is allocated once, here, from sizes known at the start; filling, computing and emptying a
 * batch allocates nothing. A batch is rows of tokens, sequence behind sequence without padding; kernels_seqs says where
 * each begins, so attention never crosses a border, and positions restart with every sequence.
 *
 * A forward that is to be followed by a backward keeps the activations of every layer; else all layers share one set.
 * Logits are the widest thing there is: they exist for `chunk` rows at a time, a number that depends on the vocabulary
 * alone, so that the order of sums over rows does not depend on the room there happens to be. */
#include "base/base.h"

#include "model/model_int.h"

#define LOGITS_FLOATS ((size_t)4 << 20) /* 16 MB of logits at a time … */
#define CHUNK_MIN 64                    /* … or 64 rows, where the vocabulary is wide */
#define MAX_TOKENS (1 << 22)

int pass_carve(struct backend *be, float **whole, const struct pass_part *parts, size_t n, const char *what)
{
	size_t total = 0;
	void *p = NULL;
	int rc;

	for (size_t i = 0; i < n; i++) {
		size_t count = (parts[i].count + 15) & ~(size_t)15;
		if (count < parts[i].count || total + count < total)
			return err_set(ERR_UNAVAILABLE, "%s: the size does not fit in memory", what);
		total += count;
	}
	if (mem_mul(total, sizeof(float)) == SIZE_MAX)
		return err_set(ERR_UNAVAILABLE, "%s: the size does not fit in memory", what);
	rc = be->alloc(be, &p, total * sizeof(float));
	if (rc)
		return err_context(rc, "%s", what);
	*whole = p;
	for (size_t i = 0; i < n; i++) {
		*parts[i].where = p;
		p = (float *)p + ((parts[i].count + 15) & ~(size_t)15);
	}
	return 0;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

struct widths { /* of one layer, in floats a token */
	size_t C, qkv, att, H, F;
};

static size_t add_layer_parts(struct pass_part *part, struct layer_acts *a, const struct widths *w, size_t T, bool keep)
{
	const struct pass_part all[] = {
		{ &a->h1, T * w->C },  { &a->rstd1, T },      { &a->qkv, T * w->qkv }, { &a->att, T * w->att },
		{ &a->lse, T * w->H }, { &a->h2, T * w->C },  { &a->rstd2, T },        { &a->gate, T * w->F },
		{ &a->up, T * w->F },  { &a->act, T * w->F }, { &a->x, T * w->C },     { &a->mid, T * w->C },
	};
	size_t n = keep ? ARRAY_LEN(all) : ARRAY_LEN(all) - 1; /* without keep, mid is x */

	memcpy(part, all, n * sizeof(*part));
	return n;
}

static int open_floats(struct pass *p)
{
	const struct model_config *c = &p->m->config;
	size_t D = (size_t)c->head_dim, H = (size_t)c->heads, K = (size_t)c->kv_heads, C = (size_t)c->hidden_size;
	struct widths w = { C, (H + 2 * K) * D, H * D, H, (size_t)c->intermediate_size };
	size_t T = (size_t)p->size.tokens, R = (size_t)p->size.rows, n = 0;
	int sets = p->size.keep ? c->layers : 1;
	struct pass_part *parts = mem_array((size_t)sets * 12 + 5, sizeof(*parts));

	p->acts = mem_array((size_t)c->layers, sizeof(*p->acts));
	for (int i = 0; i < sets; i++)
		n += add_layer_parts(parts + n, &p->acts[i], &w, T, p->size.keep);
	if (p->size.keep)
		parts[n++] = (struct pass_part){ &p->last, T * C };
	parts[n++] = (struct pass_part){ &p->picked, R * C };
	parts[n++] = (struct pass_part){ &p->hidden, R * C };
	parts[n++] = (struct pass_part){ &p->rstd, R };
	parts[n++] = (struct pass_part){ &p->logits, (size_t)p->chunk * (size_t)c->vocab_size };
	int rc = pass_carve(p->be, &p->floats, parts, n, "memory for activations");
	free(parts);
	if (rc || p->size.keep)
		return rc;
	p->acts[0].mid = p->last = p->acts[0].x;
	for (int i = 1; i < c->layers; i++)
		p->acts[i] = p->acts[0];
	return 0;
}

static int open_ints(struct pass *p)
{
	size_t T = (size_t)p->size.tokens, R = (size_t)p->size.rows, S = (size_t)p->size.seqs;
	void *ints = NULL, *doubles = NULL;
	int rc;

	p->ids = mem_array(T, sizeof(int32_t));
	p->pos = mem_array(T, sizeof(int32_t));
	p->rows = mem_array(R, sizeof(int32_t));
	p->targets = mem_array(R, sizeof(int32_t));
	p->argmax = mem_array(R, sizeof(int32_t));
	p->logprob = mem_array(R, sizeof(double));
	p->q_start = mem_array(S + 1, sizeof(int32_t));
	p->k_start = mem_array(S + 1, sizeof(int32_t));
	p->k_len = mem_array(S, sizeof(int32_t));
	rc = p->be->alloc(p->be, &ints, (2 * T + 3 * R) * sizeof(int32_t));
	if (rc)
		return err_context(rc, "memory for a batch");
	p->d_ints = ints;
	p->d_ids = p->d_ints;
	p->d_pos = p->d_ids + T;
	p->d_rows = p->d_pos + T;
	p->d_targets = p->d_rows + R;
	p->d_argmax = p->d_targets + R;
	rc = p->be->alloc(p->be, &doubles, R * sizeof(double));
	p->d_logprob = doubles;
	return rc ? err_context(rc, "memory for a batch") : 0;
}

int pass_open(struct pass *p, struct model *m, const struct pass_size *size)
{
	size_t fit = LOGITS_FLOATS / (size_t)m->config.vocab_size;
	int rc;

	*p = (struct pass){ .m = m, .be = m->be, .size = *size };
	if (size->tokens < 1 || size->tokens > MAX_TOKENS)
		return err_set(ERR_INPUT, "%d tokens in one batch (1..%d are possible)", size->tokens, MAX_TOKENS);
	if (p->size.rows < 1)
		p->size.rows = 1;
	if (p->size.seqs < 1)
		p->size.seqs = 1;
	p->chunk = fit < CHUNK_MIN ? CHUNK_MIN : (int)(fit < MAX_TOKENS ? fit : MAX_TOKENS);
	if (p->chunk > p->size.rows)
		p->chunk = p->size.rows;
	rc = model_need_rope(m, size->positions);
	if (!rc)
		rc = open_ints(p);
	if (!rc)
		rc = open_floats(p);
	if (rc)
		pass_close(p);
	return rc;
}

void pass_close(struct pass *p)
{
	if (!p->be)
		return;
	p->be->free(p->be, p->d_ints);
	p->be->free(p->be, p->d_logprob);
	p->be->free(p->be, p->floats);
	free(p->ids);
	free(p->pos);
	free(p->rows);
	free(p->targets);
	free(p->argmax);
	free(p->logprob);
	free(p->q_start);
	free(p->k_start);
	free(p->k_len);
	free(p->acts);
	*p = (struct pass){ 0 };
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

void pass_clear(struct pass *p)
{
	p->T = p->n_seqs = p->n_rows = 0;
}

bool pass_fits(const struct pass *p, int tokens, int rows)
{
	return p->n_seqs < p->size.seqs && tokens <= p->size.tokens - p->T && rows <= p->size.rows - p->n_rows;
}

int pass_add(struct pass *p, const int32_t *ids, int n, int first_pos, int slot)
{
	int row = p->T, s = p->n_seqs++;

	for (int i = 0; i < n; i++) {
		p->ids[row + i] = ids[i];
		p->pos[row + i] = first_pos + i;
	}
	p->T += n;
	p->q_start[s] = row;
	p->q_start[s + 1] = p->T;
	p->k_start[s] = p->size.cache ? slot * p->size.cache->rows : row;
	p->k_start[s + 1] = p->T;
	p->k_len[s] = first_pos + n;
	return row;
}

int pass_want(struct pass *p, int row, int32_t target)
{
	p->rows[p->n_rows] = row;
	p->targets[p->n_rows] = target;
	return p->n_rows++;
}

void pass_upload(struct pass *p)
{
	struct backend *be = p->be;

	be->upload(be, p->d_ids, p->ids, (size_t)p->T * sizeof(int32_t));
	be->upload(be, p->d_pos, p->pos, (size_t)p->T * sizeof(int32_t));
	be->upload(be, p->d_rows, p->rows, (size_t)p->n_rows * sizeof(int32_t));
	be->upload(be, p->d_targets, p->targets, (size_t)p->n_rows * sizeof(int32_t));
}

struct kernels_seqs pass_seqs(const struct pass *p)
{
	return (struct kernels_seqs){ p->n_seqs, p->q_start, p->k_start, p->size.cache ? p->k_len : NULL };
}
