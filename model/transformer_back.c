/* transformer_back.c: the backward pass; transformer.c read from its end to its beginning.
 *
 * Gradients of parameters add up (micro-batches of one step; the first one overwrites, so that nothing needs to be
 * cleared but what rows of the batch are scattered into), gradients of activations are overwritten, but for dx, the
 * gradient along the residual stream: every branch adds its part to it. The head runs forward and backward chunk by
 * chunk in one go, so that logits turn into their gradient in place and are never kept.
 *
 * What is cheap is computed again instead of kept: norms and activations, a few per cent of the time for a third of the
 * memory. With checkpointing, everything but a layer's input is: its forward runs once more before its backward.
 *
 * A frozen model has no gradients of its own; it passes dx on, and the factors of LoRA take theirs. */
#include "base/base.h"

#include <math.h>

#include "model/model_int.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

#define PARTS 14

static size_t grads_of(const struct model *m)
{
	return m->lora ? m->lora->n_params : m->params ? m->n_params : 0;
}

static size_t list_parts(struct pass_part *parts, struct back *b, const struct model *m, const struct pass_size *size)
{
	const struct model_config *c = &m->config;
	size_t T = (size_t)size->tokens, R = (size_t)size->rows, C = (size_t)c->hidden_size;
	size_t F = (size_t)c->intermediate_size, D = (size_t)c->head_dim, H = (size_t)c->heads, K = (size_t)c->kv_heads;
	size_t wide = C > F ? C : F;
	const struct pass_part all[] = {
		{ &b->grads, grads_of(m) },
		{ &b->dx, T * C },
		{ &b->dh, T * (C > H * D ? C : H * D) },
		{ &b->dqkv, T * (H + 2 * K) * D },
		{ &b->datt, T * H * D },
		{ &b->dup, T * F },
		{ &b->dpicked, R * C },
		{ &b->dhidden, R * C },
		{ &b->sink, 2 * C + 2 * D },
		{ &b->dgate, m->arch->gated ? T * F : 0 },
		{ &b->dlora_x, m->lora ? T * (wide > H * D ? wide : H * D) : 0 },
		{ &b->dlora_t, m->lora ? T * (size_t)m->lora->rank : 0 },
	};

	memcpy(parts, all, sizeof(all));
	return ARRAY_LEN(all);
}

int back_open(struct back *b, struct pass *p)
{
	struct pass_part parts[PARTS];

	*b = (struct back){ .n_grads = grads_of(p->m), .fresh = true };
	size_t n = list_parts(parts, b, p->m, &p->size);
	return pass_carve(p->be, &b->floats, parts, n, "memory for gradients");
}

uint64_t back_bytes(const struct model *m, const struct pass_size *size)
{
	struct pass_part parts[PARTS];
	struct back b;

	return pass_carve_bytes(parts, list_parts(parts, &b, m, size));
}

void back_close(struct back *b, struct backend *be)
{
	if (b->floats)
		be->free(be, b->floats);
	*b = (struct back){ 0 };
}

/* ---- gradients of parameters ------------------------------------------------------------------------------------- */

static bool trains(const struct pass *p)
{
	return p->m->params != NULL;
}

/* Where the gradient of a vector goes; that of a frozen one to the sink. */
static float *vector_grad(const struct pass *p, const struct back *b, size_t at, size_t in_sink)
{
	return at == NO_VECTOR ? NULL : trains(p) ? b->grads + at : b->sink + in_sink;
}

/* Is the gradient of what w makes summed, for its bias? */
static bool sums(const struct pass *p, const struct matrix *w)
{
	return trains(p) && w->bias != NO_VECTOR;
}

/* dx = dy W (add: +=), and the gradients of W, of its bias and of its factors; x is what W was multiplied with */
static void linear_back(struct pass *p, struct back *b, float *dx, bool add, const float *dy, const float *x,
			const struct matrix *w)
{
	struct backend *be = p->be;
	struct kernels_linear how = { p->T, w->w.K, w->w.N, NULL, add ? 1.0f : 0.0f };

	be->linear_dx(be, dx, dy, &w->w, &how);
	if (w->n_lora)
		lora_back(p, b, dx, dy, x, w);
	if (!trains(p))
		return;
	how.beta = b->fresh ? 0.0f : 1.0f;
	be->linear_dw(be, b->grads + w->at, dy, x, w->w.N, w->w.K, &how);
	if (sums(p, w))
		be->linear_db(be, b->grads + w->bias, dy, w->w.N, p->T, w->w.N);
}

static void norm_back(struct pass *p, const struct back *b, float *dx, const float *dout, const float *x,
		      const float *mean, const float *rstd, size_t w, size_t bias, int T)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int C = m->config.hidden_size;
	float *dw = vector_grad(p, b, w, 0), *db = vector_grad(p, b, bias, (size_t)C);

	if (m->arch->layernorm)
		be->layernorm_back(be, dx, dw, db, dout, x, model_vector(m, w), mean, rstd, T, C);
	else
		be->rmsnorm_back(be, dx, dw, dout, x, model_vector(m, w), rstd, T, C);
}

/* Before the first micro-batch: what is only ever added to. Matrices of layers overwrite. */
static void begin_fresh(struct pass *p, struct back *b)
{
	const struct model *m = p->m;
	struct backend *be = p->be;

	if (!b->fresh)
		return;
	if (m->lora) {
		be->zero(be, b->grads, m->lora->n_params * sizeof(float));
		return;
	}
	if (!trains(p))
		return;
	be->zero(be, b->grads + m->n_decayed, (m->n_params - m->n_decayed) * sizeof(float));
	if (!m->config.tied)
		be->zero(be, b->grads + m->embed.at, (size_t)m->embed.w.N * (size_t)m->embed.w.K * sizeof(float));
	if (m->arch->learned_positions)
		be->zero(be, b->grads + m->positions.at,
			 (size_t)m->positions.w.N * (size_t)m->positions.w.K * sizeof(float));
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void head_chunk(struct pass *p, struct back *b, int at, int n)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int C = m->config.hidden_size, V = m->config.vocab_size;
	struct kernels_linear how = { n, C, V, NULL, 0 };

	transformer_logits(p, at, n);
	be->logprob(be, p->d_logprob + at, NULL, p->logits, NULL, p->d_targets + at, n, V);
	if (be->for_products)
		be->for_products(be, p->logits, n, V, true);
	be->xent_back(be, p->logits, p->d_targets + at, p->d_scales + at, n, V);
	be->linear_dx(be, b->dhidden + (size_t)at * (size_t)C, p->logits, &m->head.w, &how);
	if (!trains(p))
		return;
	how.beta = b->fresh && !at ? 0.0f : 1.0f;
	be->linear_dw(be, b->grads + m->head.at, p->logits, p->hidden + (size_t)at * (size_t)C, V, C, &how);
}

static void head_tiled(struct pass *p, struct back *b)
{
	const struct kernels_weight *w = &p->m->head.w;
	float *dw = trains(p) ? b->grads + p->m->head.at : NULL;

	p->be->head_back(p->be, p->d_logprob, b->dhidden, dw, b->fresh ? 0.0f : 1.0f, p->hidden, w, p->d_targets,
			 p->d_scales, p->n_rows);
}

static void head_back(struct pass *p, struct back *b)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int C = m->config.hidden_size, R = p->n_rows;

	transformer_hidden(p);
	if (p->tiled)
		head_tiled(p, b);
	for (int at = 0; !p->tiled && at < R; at += p->chunk)
		head_chunk(p, b, at, R - at < p->chunk ? R - at : p->chunk);
	be->zero(be, b->dpicked, (size_t)R * (size_t)C * sizeof(float));
	norm_back(p, b, b->dpicked, b->dhidden, p->picked, p->mean, p->rstd, m->norm, m->norm_bias, R);
	be->zero(be, b->dx, (size_t)p->T * (size_t)C * sizeof(float));
	be->scatter_add(be, b->dx, b->dpicked, p->d_rows, R, C);
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static void mlp_back(struct pass *p, struct back *b, const struct layer *l, const struct layer_acts *a)
{
	struct backend *be = p->be;
	int T = p->T, F = p->m->config.intermediate_size;
	size_t n = (size_t)T * (size_t)F;
	bool gated = p->m->arch->gated, plain = !l->gate.n_lora && !l->up.n_lora;

	transformer_act(p, a, !l->down.n_lora);
	linear_back(p, b, b->dup, false, b->dx, p->act, &l->down);
	transformer_for_products(p, b->dup, F, plain && !sums(p, &l->up));
	if (gated)
		transformer_for_products(p, b->dgate, F, plain && !sums(p, &l->gate));
	if (gated)
		be->swiglu_back(be, b->dgate, b->dup, b->dup, a->gate, a->up, n);
	else
		be->gelu_back(be, b->dup, b->dup, a->up, n);
	transformer_for_products(p, p->h, p->m->config.hidden_size, plain);
	transformer_norm(p, p->h, a->mean2, a->rstd2, a->mid, l->norm2, l->norm2_bias, T);
	linear_back(p, b, b->dh, false, b->dup, p->h, &l->up);
	if (gated)
		linear_back(p, b, b->dh, true, b->dgate, p->h, &l->gate);
	norm_back(p, b, b->dx, b->dh, a->mid, a->mean2, a->rstd2, l->norm2, l->norm2_bias, T);
}

/* Through positions and the norms of the heads, in place on dqkv. */
static void heads_back(struct pass *p, struct back *b, const struct layer *l, const struct layer_acts *a)
{
	const struct model *m = p->m;
	const struct model_config *c = &m->config;
	struct backend *be = p->be;
	int T = p->T, D = c->head_dim, H = c->heads, K = c->kv_heads, stride = (H + 2 * K) * D;
	float *dq = b->dqkv, *dk = b->dqkv + H * D;

	if (!m->arch->learned_positions)
		be->rope(be, b->dqkv, stride, p->d_pos, m->rope, T, H + K, D, true);
	if (l->q_norm == NO_VECTOR)
		return;
	be->headnorm_back(be, dq, vector_grad(p, b, l->q_norm, 0), dq, a->raw, model_vector(m, l->q_norm), a->rstd_q,
			  stride, T, H, D);
	be->headnorm_back(be, dk, vector_grad(p, b, l->k_norm, (size_t)D), dk, a->raw + H * D,
			  model_vector(m, l->k_norm), a->rstd_k, stride, T, K, D);
}

static void attn_back(struct pass *p, struct back *b, int layer, const struct layer_acts *a)
{
	const struct model_config *c = &p->m->config;
	const struct layer *l = &p->m->layers[layer];
	struct backend *be = p->be;
	int T = p->T, D = c->head_dim, HD = c->heads * D, KD = c->kv_heads * D, qkv = HD + 2 * KD;
	struct kernels_attn shape = { c->heads, c->kv_heads, D, qkv, qkv, HD, 1.0f / sqrtf((float)D), l->window };
	struct kernels_seqs seqs = pass_seqs(p, layer);
	const float *q = a->qkv, *k = q + HD, *v = k + KD;

	linear_back(p, b, b->datt, false, b->dx, a->att, &l->o);
	be->attn_back(be, b->dqkv, b->dqkv + HD, b->dqkv + HD + KD, b->datt, a->att, a->lse, q, k, v, &seqs, &shape);
	heads_back(p, b, l, a);
	transformer_for_products(p, p->h, c->hidden_size, !l->qkv.n_lora);
	transformer_norm(p, p->h, a->mean1, a->rstd1, a->x, l->norm1, l->norm1_bias, T);
	linear_back(p, b, b->dh, false, b->dqkv, p->h, &l->qkv);
	norm_back(p, b, b->dx, b->dh, a->x, a->mean1, a->rstd1, l->norm1, l->norm1_bias, T);
}

void transformer_back(struct pass *p, struct back *b, struct pass_answer *a)
{
	const struct model *m = p->m;
	struct backend *be = p->be;

	begin_fresh(p, b);
	if (p->n_rows)
		head_back(p, b);
	for (int l = m->config.layers - 1; p->n_rows && l >= 0; l--) {
		if (p->size.checkpointing)
			transformer_layer(p, l, p->last);
		mlp_back(p, b, &m->layers[l], &p->acts[l]);
		attn_back(p, b, l, &p->acts[l]);
	}
	if (p->n_rows && trains(p)) {
		be->embed_back(be, b->grads + m->embed.at, b->dx, p->d_ids, p->T, m->config.hidden_size,
			       m->config.vocab_size);
		if (m->arch->learned_positions)
			be->embed_back(be, b->grads + m->positions.at, b->dx, p->d_pos, p->T, m->config.hidden_size,
				       m->config.context);
		b->fresh = false;
	}
	if (m->lora)
		b->fresh = false;
	pass_download(p, a, false);
}
