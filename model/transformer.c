/* transformer.c: the model as data and calls to kernels. Read it from top to bottom: parameters, forward.
 *
 * A Llama decoder: x = embed[id]; per layer x += Wo attn(rope(Wqkv norm(x))), x += Wdown(silu(Wgate h) * (Wup h)) with
 * h = norm(x); then norm and the head. Letters are those of kernels.h.
 *
 * All parameters are views of one buffer, matrices first and norms behind them: so gradients and both Adam states have
 * the same layout, the optimizer is two calls (norms do not decay), and a checkpoint is one array. Wq, Wk and Wv lie
 * behind one another and are multiplied as one matrix.
 *
 * Only rows that somebody asked for go through the head (pass_want): the norm, the matrix of V x C and the softmax are
 * spared for prompts and for contexts. */
#include "base/base.h"

#include <math.h>

#include "kernels/vmath.h"
#include "model/model_int.h"

/* ---- parameters: the shapes table -------------------------------------------------------------------------------- */

/* Adds a tensor behind the ones before it; gives its offset. */
static size_t place(struct model *m, const char *name, int layer, int64_t rows, int64_t cols)
{
	struct tensor *t = &m->tensors[m->n_tensors++];

	if (layer < 0)
		snprintf(t->name, sizeof(t->name), "%s", name);
	else
		snprintf(t->name, sizeof(t->name), "model.layers.%d.%s", layer, name);
	t->n_dims = cols ? 2 : 1;
	t->dims[0] = rows;
	t->dims[1] = cols;
	t->at = m->n_params;
	t->count = (size_t)(rows * (cols ? cols : 1));
	m->n_params += t->count;
	return t->at;
}

static void place_all(struct model *m)
{
	const struct model_config *c = &m->config;
	int C = c->hidden_size, F = c->intermediate_size, V = c->vocab_size;
	int HD = c->heads * c->head_dim, KD = c->kv_heads * c->head_dim;

	m->embed = m->head = place(m, "model.embed_tokens.weight", -1, V, C);
	for (int l = 0; l < c->layers; l++) {
		struct layer_at *at = &m->layers[l];
		at->qkv = place(m, "self_attn.q_proj.weight", l, HD, C);
		place(m, "self_attn.k_proj.weight", l, KD, C); /* right behind q … */
		place(m, "self_attn.v_proj.weight", l, KD, C); /* … so that qkv is one matrix */
		at->o = place(m, "self_attn.o_proj.weight", l, C, HD);
		at->gate = place(m, "mlp.gate_proj.weight", l, F, C);
		at->up = place(m, "mlp.up_proj.weight", l, F, C);
		at->down = place(m, "mlp.down_proj.weight", l, C, F);
	}
	if (!c->tied)
		m->head = place(m, "lm_head.weight", -1, V, C);
	m->n_decayed = m->n_params;
	for (int l = 0; l < c->layers; l++) {
		m->layers[l].norm1 = place(m, "input_layernorm.weight", l, C, 0);
		m->layers[l].norm2 = place(m, "post_attention_layernorm.weight", l, C, 0);
	}
	m->norm = place(m, "model.norm.weight", -1, C, 0);
}

struct model *model_new(const struct model_config *config, struct backend *be)
{
	struct model *m = mem_alloc(sizeof(*m));

	m->config = *config;
	m->be = be;
	m->tensors = mem_array((size_t)config->layers * 9 + 3, sizeof(*m->tensors));
	m->layers = mem_array((size_t)config->layers, sizeof(*m->layers));
	if (config->eos_id >= 0)
		m->eos[m->n_eos++] = config->eos_id;
	place_all(m);
	return m;
}

int model_alloc(struct model *m)
{
	void *params = NULL;
	int rc = m->be->alloc(m->be, &params, mem_mul(m->n_params, sizeof(float)));

	m->params = params;
	return rc ? err_context(rc, "%zu parameters", m->n_params) : 0;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	m->be->free(m->be, m->params);
	m->be->free(m->be, m->rope);
	json_decref(m->source);
	json_decref(m->generation);
	free(m->tensors);
	free(m->layers);
	free(m);
}

const struct model_config *model_config(const struct model *m)
{
	return &m->config;
}

/* ---- fresh weights ----------------------------------------------------------------------------------------------- */

/* Box and Muller, with our own logarithm, sine and cosine: the same weights on every machine. */
static void fill_normal(float *out, size_t n, double sd, struct rng *r)
{
	for (size_t i = 0; i < n; i += 2) {
		double size = sqrt(-2.0 * vm_log(1.0 - rng_uniform(r))), s, c;
		vm_sincos(6.283185307179586 * rng_uniform(r), &s, &c);
		out[i] = (float)(sd * size * c);
		if (i + 1 < n)
			out[i + 1] = (float)(sd * size * s);
	}
}

int model_init(struct model **out, const struct model_config *config, uint64_t seed, struct backend *be)
{
	struct model *m = model_new(config, be);
	size_t largest = 0;
	int rc = model_alloc(m);

	if (rc) {
		model_free(m);
		return rc;
	}
	for (size_t i = 0; i < m->n_tensors; i++)
		largest = m->tensors[i].count > largest ? m->tensors[i].count : largest;
	float *host = mem_try_aligned(mem_mul(largest, sizeof(float)));
	if (!host) {
		model_free(m);
		return err_set(ERR_UNAVAILABLE, "no memory for a tensor of %zu numbers", largest);
	}
	for (size_t i = 0; i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		struct rng r; /* one stream a name: a tensor does not depend on those before it */
		rng_seed(&r, seed, checkpoint_hash(0, t->name, strlen(t->name)));
		if (t->n_dims == 2)
			fill_normal(host, t->count, (double)config->init_range, &r);
		else
			for (size_t j = 0; j < t->count; j++)
				host[j] = 1.0f;
		be->upload(be, m->params + t->at, host, t->count * sizeof(float));
	}
	free(host);
	rc = be->sync(be);
	if (rc)
		model_free(m);
	else
		*out = m;
	return rc;
}

/* ---- positions --------------------------------------------------------------------------------------------------- */

/* As the reference: frequencies and angles are rounded to float at every step; only the sine and cosine of a given
 * float angle are exact. An angle kept in double would differ from what the weights were trained with. */
static void fill_rope(float *table, int rows, const struct model_config *c)
{
	int half = c->head_dim / 2;

	for (int i = 0; i < half; i++) {
		float e = (float)(2 * i) / (float)c->head_dim;
		float freq = 1.0f / (float)vm_pow((double)c->rope_theta, (double)e);
		for (int t = 0; t < rows; t++) {
			float angle = (float)t * freq;
			double s, co;
			vm_sincos((double)angle, &s, &co);
			table[(size_t)t * (size_t)c->head_dim + (size_t)i] = (float)co;
			table[(size_t)t * (size_t)c->head_dim + (size_t)(half + i)] = (float)s;
		}
	}
}

int model_need_rope(struct model *m, int rows)
{
	size_t bytes = mem_mul(mem_mul((size_t)rows, (size_t)m->config.head_dim), sizeof(float));
	void *table = NULL;
	int rc;

	if (rows <= m->rope_rows)
		return 0;
	float *host = mem_try_aligned(bytes);
	if (!host)
		return err_set(ERR_UNAVAILABLE, "no memory for the table of %d positions", rows);
	rc = m->be->alloc(m->be, &table, bytes);
	if (!rc) {
		fill_rope(host, rows, &m->config);
		m->be->upload(m->be, table, host, bytes);
		rc = m->be->sync(m->be);
		m->be->free(m->be, m->rope);
		m->rope = table;
		m->rope_rows = rows;
	}
	free(host);
	return rc;
}

int model_check_ids(const struct model *m, const int32_t *ids, int n, const char *what, size_t which)
{
	for (int i = 0; i < n; i++)
		if (ids[i] < 0 || ids[i] >= m->config.vocab_size) {
			int rc = err_set(ERR_INPUT, "%s %zu: token id %d is outside the model's vocabulary of %d", what,
					 which, ids[i], m->config.vocab_size);
			return err_hint(rc, "use the tokenizer the model was trained with");
		}
	return 0;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void attend(struct pass *p, const struct layer_acts *a, int layer)
{
	const struct model_config *c = &p->m->config;
	int D = c->head_dim, HD = c->heads * D, KD = c->kv_heads * D, stride = HD + 2 * KD;
	struct kernels_attn shape = { c->heads, c->kv_heads, D, stride, stride, HD, 1.0f / sqrtf((float)D) };
	struct kernels_seqs seqs = pass_seqs(p);
	const float *k = a->qkv + HD;

	if (p->size.cache) {
		kvcache_put(p->size.cache, layer, p, k, stride);
		k = kvcache_layer(p->size.cache, layer);
		shape.kv_stride = p->size.cache->width;
	}
	p->be->attn(p->be, a->att, a->lse, a->qkv, k, k + KD, &seqs, &shape);
}

static void copy_rows(struct pass *p, float *to, const float *from)
{
	if (to != from)
		p->be->copy(p->be, to, from, (size_t)p->T * (size_t)p->m->config.hidden_size * sizeof(float));
}

static void layer_forward(struct pass *p, int layer, float *next)
{
	const struct model_config *c = &p->m->config;
	const struct layer_at *at = &p->m->layers[layer];
	const struct layer_acts *a = &p->acts[layer];
	const float *w = p->m->params;
	struct backend *be = p->be;
	int T = p->T, C = c->hidden_size, F = c->intermediate_size, D = c->head_dim;
	int HK = c->heads + c->kv_heads, qkv = (HK + c->kv_heads) * D;

	be->rmsnorm(be, a->h1, a->rstd1, a->x, w + at->norm1, T, C, c->rms_eps);
	be->gemm_nt(be, a->qkv, a->h1, w + at->qkv, T, qkv, C, 0);
	be->rope(be, a->qkv, qkv, p->d_pos, p->m->rope, T, HK, D, false); /* q and k heads in one go */
	attend(p, a, layer);
	copy_rows(p, a->mid, a->x);
	be->gemm_nt(be, a->mid, a->att, w + at->o, T, C, c->heads * D, 1);

	be->rmsnorm(be, a->h2, a->rstd2, a->mid, w + at->norm2, T, C, c->rms_eps);
	be->gemm_nt(be, a->gate, a->h2, w + at->gate, T, F, C, 0);
	be->gemm_nt(be, a->up, a->h2, w + at->up, T, F, C, 0);
	be->swiglu(be, a->act, a->gate, a->up, (size_t)T * (size_t)F);
	copy_rows(p, next, a->mid);
	be->gemm_nt(be, next, a->act, w + at->down, T, C, F, 1);
}

void transformer_forward(struct pass *p)
{
	const struct model *m = p->m;
	int L = m->config.layers;

	pass_upload(p);
	p->be->embed(p->be, p->acts[0].x, m->params + m->embed, p->d_ids, p->T, m->config.hidden_size);
	for (int l = 0; l < L; l++)
		layer_forward(p, l, l + 1 < L ? p->acts[l + 1].x : p->last);
}

int transformer_head(struct pass *p, void (*with_logits)(struct pass *p, int first, int n, void *arg), void *arg)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int C = m->config.hidden_size, V = m->config.vocab_size, R = p->n_rows;

	if (!R)
		return be->sync(be);
	be->gather(be, p->picked, p->last, p->d_rows, R, C);
	be->rmsnorm(be, p->hidden, p->rstd, p->picked, m->params + m->norm, R, C, m->config.rms_eps);
	for (int at = 0; at < R; at += p->chunk) {
		int n = R - at < p->chunk ? R - at : p->chunk;
		be->gemm_nt(be, p->logits, p->hidden + (size_t)at * (size_t)C, m->params + m->head, n, V, C, 0);
		be->logprob(be, p->d_logprob + at, p->d_argmax + at, p->logits, p->d_targets + at, n, V);
		if (with_logits)
			with_logits(p, at, n, arg);
	}
	be->download(be, p->logprob, p->d_logprob, (size_t)R * sizeof(double));
	be->download(be, p->argmax, p->d_argmax, (size_t)R * sizeof(int32_t));
	return be->sync(be);
}
