/* transformer_back.c: the backward pass; transformer.c read from its end to its beginning.
 *
 * Gradients of parameters add up (micro-batches of one step), gradients of activations are overwritten, but for dx, the
 * gradient along the residual stream: every branch adds its part to it. The head runs forward and backward chunk by
 * chunk in one go, so that logits turn into their gradient in place and are never kept. */
#include "base/base.h"

#include <math.h>

#include "model/model_int.h"

int back_open(struct back *b, struct pass *p)
{
	const struct model_config *c = &p->m->config;
	size_t T = (size_t)p->size.tokens, R = (size_t)p->size.rows, C = (size_t)c->hidden_size;
	size_t F = (size_t)c->intermediate_size, D = (size_t)c->head_dim, H = (size_t)c->heads, K = (size_t)c->kv_heads;
	const struct pass_part parts[] = {
		{ &b->grads, p->m->n_params },
		{ &b->dx, T * C },
		{ &b->dh, T * C },
		{ &b->dqkv, T * (H + 2 * K) * D },
		{ &b->datt, T * H * D },
		{ &b->dgate, T * F },
		{ &b->dup, T * F },
		{ &b->dact, T * F },
		{ &b->dpicked, R * C },
		{ &b->dhidden, R * C },
	};

	*b = (struct back){ 0 };
	return pass_carve(p->be, &b->floats, parts, ARRAY_LEN(parts), "memory for gradients");
}

void back_close(struct back *b, struct backend *be)
{
	if (b->floats)
		be->free(be, b->floats);
	*b = (struct back){ 0 };
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void head_back(struct pass *p, struct back *b, float scale)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int C = m->config.hidden_size, V = m->config.vocab_size, R = p->n_rows;

	be->gather(be, p->picked, p->last, p->d_rows, R, C);
	be->rmsnorm(be, p->hidden, p->rstd, p->picked, m->params + m->norm, R, C, m->config.rms_eps);
	for (int at = 0; at < R; at += p->chunk) {
		int n = R - at < p->chunk ? R - at : p->chunk;
		const float *h = p->hidden + (size_t)at * (size_t)C;
		be->gemm_nt(be, p->logits, h, m->params + m->head, n, V, C, 0);
		be->logprob(be, p->d_logprob + at, NULL, p->logits, p->d_targets + at, n, V);
		be->xent_back(be, p->logits, p->d_targets + at, n, V, scale);
		be->gemm_nn(be, b->dhidden + (size_t)at * (size_t)C, p->logits, m->params + m->head, n, C, V, 0);
		be->gemm_tn(be, b->grads + m->head, p->logits, h, V, C, n, 1);
	}
	be->zero(be, b->dpicked, (size_t)R * (size_t)C * sizeof(float));
	be->rmsnorm_back(be, b->dpicked, b->grads + m->norm, b->dhidden, p->picked, m->params + m->norm, p->rstd, R, C);
	be->zero(be, b->dx, (size_t)p->T * (size_t)C * sizeof(float));
	be->scatter_add(be, b->dx, b->dpicked, p->d_rows, R, C);
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static void mlp_back(struct pass *p, struct back *b, const struct layer_at *at, const struct layer_acts *a)
{
	const struct model_config *c = &p->m->config;
	const float *w = p->m->params;
	struct backend *be = p->be;
	int T = p->T, C = c->hidden_size, F = c->intermediate_size;

	be->gemm_nn(be, b->dact, b->dx, w + at->down, T, F, C, 0);
	be->gemm_tn(be, b->grads + at->down, b->dx, a->act, C, F, T, 1);
	be->swiglu_back(be, b->dgate, b->dup, b->dact, a->gate, a->up, (size_t)T * (size_t)F);
	be->gemm_tn(be, b->grads + at->gate, b->dgate, a->h2, F, C, T, 1);
	be->gemm_tn(be, b->grads + at->up, b->dup, a->h2, F, C, T, 1);
	be->gemm_nn(be, b->dh, b->dgate, w + at->gate, T, C, F, 0);
	be->gemm_nn(be, b->dh, b->dup, w + at->up, T, C, F, 1);
	be->rmsnorm_back(be, b->dx, b->grads + at->norm2, b->dh, a->mid, w + at->norm2, a->rstd2, T, C);
}

static void attn_back(struct pass *p, struct back *b, const struct layer_at *at, const struct layer_acts *a)
{
	const struct model_config *c = &p->m->config;
	const float *w = p->m->params;
	struct backend *be = p->be;
	int T = p->T, C = c->hidden_size, D = c->head_dim, HD = c->heads * D, KD = c->kv_heads * D, qkv = HD + 2 * KD;
	struct kernels_attn shape = { c->heads, c->kv_heads, D, qkv, qkv, HD, 1.0f / sqrtf((float)D) };
	struct kernels_seqs seqs = pass_seqs(p);
	const float *q = a->qkv, *k = q + HD, *v = k + KD;

	be->gemm_nn(be, b->datt, b->dx, w + at->o, T, HD, C, 0);
	be->gemm_tn(be, b->grads + at->o, b->dx, a->att, C, HD, T, 1);
	be->attn_back(be, b->dqkv, b->dqkv + HD, b->dqkv + HD + KD, b->datt, a->att, a->lse, q, k, v, &seqs, &shape);
	be->rope(be, b->dqkv, qkv, p->d_pos, p->m->rope, T, c->heads + c->kv_heads, D, true);
	be->gemm_tn(be, b->grads + at->qkv, b->dqkv, a->h1, qkv, C, T, 1);
	be->gemm_nn(be, b->dh, b->dqkv, w + at->qkv, T, C, qkv, 0);
	be->rmsnorm_back(be, b->dx, b->grads + at->norm1, b->dh, a->x, w + at->norm1, a->rstd1, T, C);
}

int transformer_back(struct pass *p, struct back *b, float scale)
{
	const struct model *m = p->m;
	struct backend *be = p->be;

	if (!p->n_rows)
		return 0;
	head_back(p, b, scale);
	for (int l = m->config.layers - 1; l >= 0; l--) {
		mlp_back(p, b, &m->layers[l], &p->acts[l]);
		attn_back(p, b, &m->layers[l], &p->acts[l]);
	}
	be->embed_back(be, b->grads + m->embed, b->dx, p->d_ids, p->T, m->config.hidden_size, m->config.vocab_size);
	be->download(be, p->logprob, p->d_logprob, (size_t)p->n_rows * sizeof(double));
	return be->sync(be);
}
