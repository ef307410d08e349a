/* transformer.c: the model as data and calls to kernels. Read it from top to bottom: parameters, forward.
 *
 * A decoder: x = embed[id] (+ positions[pos]); per layer x += Wo attn(rope(Wqkv norm(x))), x += Wdown f(h) with
 * h = norm(x); then norm and the head. f is silu(Wgate h) * (Wup h), or gelu(Wup h). Which norm, which f, whether there
 * are biases, norms of heads, learned positions or a window of keys: the family's row in arch.c and the config say.
 * Letters are those of kernels.h.
 *
 * Trainable parameters are views of one buffer of fp32 rows, matrices first and vectors behind them: so gradients and both
 * Adam states have the same layout, the optimizer is two calls (vectors do not decay), and a checkpoint is one array. A
 * frozen model has its matrices packed in the type they are stored in, and only the vectors in fp32. Wq, Wk and Wv lie
 * behind one another and are multiplied as one matrix. Either way the arithmetic below reads struct matrix, and does not
 * know which it is.
 *
 * Only rows that somebody asked for go through the head (pass_want): the norm, the matrix of V x C and the softmax are
 * spared for prompts and for contexts. */
#include "base/base.h"

#include <assert.h>
#include <math.h>

#include "kernels/vmath.h"
#include "model/model_int.h"

/* ---- parameters: the shapes table -------------------------------------------------------------------------------- */

static void name_tensor(struct tensor *t, const struct arch *a)
{
	const char *end = t->bias ? ".bias" : ".weight";

	if (t->layer < 0)
		snprintf(t->name, sizeof(t->name), "%s%s", a->names[t->role], end);
	else
		snprintf(t->name, sizeof(t->name), "%s.%d.%s%s", a->layers, t->layer, a->names[t->role], end);
}

/* Adds a tensor behind the ones before it; gives its place. cols 0: a vector of `rows`. */
static size_t place(struct model *m, enum role role, int layer, bool bias, int rows, int cols)
{
	struct tensor *t = &m->tensors[m->n_tensors++];

	*t = (struct tensor){ .role = role, .layer = layer, .bias = bias, .at = m->n_params, .dtype = "F32" };
	name_tensor(t, m->arch);
	t->transposed = cols && layer >= 0 && m->arch->conv1d;
	t->rows = cols ? rows : 1;
	t->cols = cols ? cols : rows;
	t->n_dims = cols ? 2 : 1;
	t->dims[0] = t->transposed ? cols : rows;
	t->dims[1] = t->transposed ? rows : cols;
	t->count = (size_t)t->rows * (size_t)t->cols;
	m->n_params += t->count;
	return t->at;
}

static size_t place_if(struct model *m, bool wanted, enum role role, int layer, bool bias, int n)
{
	return wanted ? place(m, role, layer, bias, n, 0) : NO_VECTOR;
}

static struct matrix place_matrix(struct model *m, enum role role, int layer, int N, int K)
{
	size_t at = place(m, role, layer, false, N, K);

	return (struct matrix){ .w = { NULL, N, K, KERNELS_F32, 0 }, .at = at, .bias = NO_VECTOR };
}

/* q, k and v behind one another are one matrix, whether the folder has them as one tensor or as three. */
static struct matrix place_qkv(struct model *m, int layer)
{
	const struct model_config *c = &m->config;
	int C = c->hidden_size, HD = c->heads * c->head_dim, KD = c->kv_heads * c->head_dim;

	if (m->arch->names[ROLE_QKV])
		return place_matrix(m, ROLE_QKV, layer, HD + 2 * KD, C);
	struct matrix qkv = place_matrix(m, ROLE_Q, layer, HD, C);
	place(m, ROLE_K, layer, false, KD, C);
	place(m, ROLE_V, layer, false, KD, C);
	qkv.w.N = HD + 2 * KD;
	return qkv;
}

static size_t place_qkv_bias(struct model *m, int layer)
{
	const struct model_config *c = &m->config;
	int HD = c->heads * c->head_dim, KD = c->kv_heads * c->head_dim;

	if (!c->qkv_bias)
		return NO_VECTOR;
	if (m->arch->names[ROLE_QKV])
		return place(m, ROLE_QKV, layer, true, HD + 2 * KD, 0);
	size_t at = place(m, ROLE_Q, layer, true, HD, 0);
	place(m, ROLE_K, layer, true, KD, 0);
	place(m, ROLE_V, layer, true, KD, 0);
	return at;
}

static void place_matrices(struct model *m)
{
	const struct model_config *c = &m->config;
	int C = c->hidden_size, F = c->intermediate_size, V = c->vocab_size;

	m->embed = m->head = place_matrix(m, ROLE_EMBED, -1, V, C);
	if (m->arch->learned_positions)
		m->positions = place_matrix(m, ROLE_POSITIONS, -1, c->context, C);
	for (int l = 0; l < c->layers; l++) {
		struct layer *layer = &m->layers[l];
		layer->qkv = place_qkv(m, l);
		layer->o = place_matrix(m, ROLE_O, l, C, c->heads * c->head_dim);
		if (m->arch->gated)
			layer->gate = place_matrix(m, ROLE_GATE, l, F, C);
		layer->up = place_matrix(m, ROLE_UP, l, F, C);
		layer->down = place_matrix(m, ROLE_DOWN, l, C, F);
		layer->window = l >= c->window_from ? c->window : 0;
	}
	if (!c->tied)
		m->head = place_matrix(m, ROLE_HEAD, -1, V, C);
}

static void place_vectors(struct model *m)
{
	const struct model_config *c = &m->config;
	const struct arch *a = m->arch;
	int C = c->hidden_size, F = c->intermediate_size, D = c->head_dim;

	for (int l = 0; l < c->layers; l++) {
		struct layer *layer = &m->layers[l];
		layer->norm1 = place(m, ROLE_NORM1, l, false, C, 0);
		layer->norm1_bias = place_if(m, a->layernorm, ROLE_NORM1, l, true, C);
		layer->qkv.bias = place_qkv_bias(m, l);
		layer->q_norm = place_if(m, a->names[ROLE_Q_NORM], ROLE_Q_NORM, l, false, D);
		layer->k_norm = place_if(m, a->names[ROLE_K_NORM], ROLE_K_NORM, l, false, D);
		layer->o.bias = place_if(m, c->o_bias, ROLE_O, l, true, C);
		layer->norm2 = place(m, ROLE_NORM2, l, false, C, 0);
		layer->norm2_bias = place_if(m, a->layernorm, ROLE_NORM2, l, true, C);
		layer->gate.bias = place_if(m, c->mlp_bias && a->gated, ROLE_GATE, l, true, F);
		layer->up.bias = place_if(m, c->mlp_bias, ROLE_UP, l, true, F);
		layer->down.bias = place_if(m, c->mlp_bias, ROLE_DOWN, l, true, C);
	}
	m->norm = place(m, ROLE_NORM, -1, false, C, 0);
	m->norm_bias = place_if(m, a->layernorm, ROLE_NORM, -1, true, C);
}

struct model *model_new(const struct model_config *config, struct backend *be)
{
	struct model *m = mem_alloc(sizeof(*m));

	m->config = *config;
	m->arch = arch_find(config->architecture);
	assert(m->arch); /* model_config_parse() has refused it */
	m->be = be;
	m->on_device = be && be->memory;
	m->tensors = mem_array((size_t)config->layers * 20 + 8, sizeof(*m->tensors));
	m->layers = mem_array((size_t)config->layers, sizeof(*m->layers));
	if (config->eos_id >= 0)
		m->eos[m->n_eos++] = config->eos_id;
	place_matrices(m);
	m->n_decayed = m->n_params;
	place_vectors(m);
	return m;
}

/* ---- parameters: memory ------------------------------------------------------------------------------------------ */

enum { LAYER_MATRICES = 5, FIRST_MATRICES = 3 };

static size_t n_matrices(const struct model *m)
{
	return FIRST_MATRICES + (size_t)m->config.layers * LAYER_MATRICES;
}

/* Matrix i of the model; NULL where this family, or a tied model, has none. */
static struct matrix *matrix_at(struct model *m, size_t i)
{
	struct matrix *first[FIRST_MATRICES] = { &m->embed, &m->positions, m->config.tied ? NULL : &m->head };
	struct matrix *x;

	if (i < FIRST_MATRICES) {
		x = first[i];
	} else {
		struct layer *l = &m->layers[(i - FIRST_MATRICES) / LAYER_MATRICES];
		struct matrix *of_layer[LAYER_MATRICES] = { &l->qkv, &l->o, &l->gate, &l->up, &l->down };
		x = of_layer[(i - FIRST_MATRICES) % LAYER_MATRICES];
	}
	return x && x->w.N ? x : NULL;
}

struct matrix *model_matrix(struct model *m, const struct tensor *t, int *row0)
{
	const struct model_config *c = &m->config;
	struct layer *l = t->layer >= 0 ? &m->layers[t->layer] : NULL;
	int HD = c->heads * c->head_dim, KD = c->kv_heads * c->head_dim;

	*row0 = t->role == ROLE_K ? HD : t->role == ROLE_V ? HD + KD : 0;
	if (t->bias)
		return NULL;
	switch (t->role) {
	case ROLE_EMBED:
		return &m->embed;
	case ROLE_POSITIONS:
		return &m->positions;
	case ROLE_HEAD:
		return &m->head;
	case ROLE_Q:
	case ROLE_K:
	case ROLE_V:
	case ROLE_QKV:
		return &l->qkv;
	case ROLE_O:
		return &l->o;
	case ROLE_GATE:
		return &l->gate;
	case ROLE_UP:
		return &l->up;
	case ROLE_DOWN:
		return &l->down;
	default:
		return NULL;
	}
}

static void tie(struct model *m)
{
	if (m->config.tied)
		m->head.w = m->embed.w;
}

int model_alloc(struct model *m)
{
	void *params = NULL;
	int rc = m->be->alloc(m->be, &params, mem_mul(m->n_params, sizeof(float)));

	if (rc)
		return err_context(rc, "%zu parameters", m->n_params);
	m->params = params;
	m->vectors = m->params + m->n_decayed;
	for (size_t i = 0; i < n_matrices(m); i++) {
		struct matrix *x = matrix_at(m, i);
		if (x)
			x->w.data = m->params + x->at;
	}
	tie(m);
	return 0;
}

static int type_of(const char *dtype)
{
	return !strcmp(dtype, "BF16") ? KERNELS_BF16 : !strcmp(dtype, "F16") ? KERNELS_F16 : KERNELS_F32;
}

/* A matrix made of several tensors has their type, or fp32 where they differ. */
static void choose_types(struct model *m)
{
	for (size_t i = 0; i < m->n_tensors; i++) {
		int row0;
		struct matrix *x = model_matrix(m, &m->tensors[i], &row0);
		if (!x)
			continue;
		int type = type_of(m->tensors[i].dtype);
		x->w.type = row0 && x->w.type != type ? KERNELS_F32 : type;
	}
}

/* Bytes of the packed matrices, each from a border of 64 on; at: where they go, NULL: nowhere yet. */
static size_t lay_out_panels(struct model *m, uint8_t *at)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n_matrices(m); i++) {
		struct matrix *x = matrix_at(m, i);
		if (!x)
			continue;
		if (at)
			x->w.data = at + bytes;
		x->w.packed = 1;
		bytes += (m->be->packed_bytes(m->be, x->w.type, x->w.N, x->w.K) + 63) & ~(size_t)63;
	}
	return bytes;
}

int model_alloc_frozen(struct model *m)
{
	struct backend *be = m->be;
	void *vectors = NULL;
	int rc = be->alloc(be, &vectors, mem_mul(m->n_params - m->n_decayed, sizeof(float)));

	m->vectors = vectors;
	choose_types(m);
	if (!rc)
		rc = be->alloc(be, &m->panels, lay_out_panels(m, NULL));
	if (rc)
		return err_context(rc, "%zu parameters", m->n_params);
	lay_out_panels(m, m->panels);
	tie(m);
	return 0;
}

const float *model_vector(const struct model *m, size_t at)
{
	return at == NO_VECTOR ? NULL : m->vectors + (at - m->n_decayed);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	lora_free(m->lora, m->be);
	if (m->be) {
		m->be->free(m->be, m->params ? m->params : m->vectors);
		m->be->free(m->be, m->panels);
		m->be->free(m->be, m->rope);
	}
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
				host[j] = t->bias ? 0.0f : 1.0f;
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

/* Llama 3: slow frequencies are divided, fast ones stay, those between are blended. All in float, as the reference. */
static float llama3_freq(float f, const struct model_rope *r)
{
	float wave = (float)(2 * 3.141592653589793) / f, L = (float)r->original;

	if (wave > L / r->low_freq_factor)
		return f / r->factor;
	if (wave < L / r->high_freq_factor)
		return f;
	float s = (L / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
	return (1 - s) * f / r->factor + s * f;
}

/* Yarn: the place among the frequencies that turns `turns` times over the original context. */
static double yarn_place(const struct model_config *c, double turns)
{
	return (double)c->head_dim * vm_log((double)c->rope.original / (2 * 3.141592653589793 * turns)) /
	       (2 * vm_log((double)c->rope_theta));
}

static float yarn_freq(float f, int i, const struct model_config *c)
{
	const struct model_rope *r = &c->rope;
	double low = yarn_place(c, (double)r->beta_fast), high = yarn_place(c, (double)r->beta_slow);

	if (r->truncate) {
		low = floor(low);
		high = ceil(high);
	}
	low = low < 0 ? 0 : low;
	high = high > c->head_dim - 1 ? c->head_dim - 1 : high;
	if (!(high > low) && !(high < low))
		high += 0.001;
	float ramp = (float)(((double)i - low) / (high - low));
	ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
	return f / r->factor * ramp + f * (1 - ramp);
}

static float rope_freq(const struct model_config *c, int i)
{
	float e = (float)(2 * i) / (float)c->head_dim;
	float f = 1.0f / (float)vm_pow((double)c->rope_theta, (double)e);

	switch (c->rope.kind) {
	case MODEL_ROPE_LINEAR:
		return f / c->rope.factor;
	case MODEL_ROPE_LLAMA3:
		return llama3_freq(f, &c->rope);
	case MODEL_ROPE_YARN:
		return yarn_freq(f, i, c);
	default:
		return f;
	}
}

void transformer_rope_divisors(const struct model_config *c, float *out)
{
	struct model_config plain = *c;

	plain.rope.kind = MODEL_ROPE_DEFAULT;
	for (int i = 0; i < c->head_dim / 2; i++)
		out[i] = rope_freq(&plain, i) / rope_freq(c, i);
}

/* As the reference: frequencies and angles are rounded to float at every step; only the sine and cosine of a given
 * float angle are exact. An angle kept in double would differ from what the weights were trained with. */
static void fill_rope(float *table, int rows, const struct model_config *c)
{
	int half = c->head_dim / 2;
	float by = c->rope.kind == MODEL_ROPE_YARN ? c->rope.attention_factor : 1.0f;

	for (int i = 0; i < half; i++) {
		float freq = rope_freq(c, i);
		for (int t = 0; t < rows; t++) {
			float angle = (float)t * freq;
			double s, co;
			vm_sincos((double)angle, &s, &co);
			table[(size_t)t * (size_t)c->head_dim + (size_t)i] = (float)co * by;
			table[(size_t)t * (size_t)c->head_dim + (size_t)(half + i)] = (float)s * by;
		}
	}
}

uint64_t model_rope_bytes(const struct model *m, int rows)
{
	return m->arch->learned_positions ? 0 : (uint64_t)rows * (uint64_t)m->config.head_dim * sizeof(float);
}

int model_need_rope(struct model *m, int rows)
{
	size_t bytes = (size_t)model_rope_bytes(m, rows);
	void *table = NULL;
	int rc;

	if (rows <= m->rope_rows || m->arch->learned_positions)
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

/* Factors of LoRA read it too, and have operations that are no products among theirs: then it is not for products alone. */
void transformer_for_products(const struct pass *p, const float *x, int cols, bool alone)
{
	if (p->be->for_products)
		p->be->for_products(p->be, x, p->T, cols, alone);
}

void transformer_norm(struct pass *p, float *out, float *mean, float *rstd, const float *x, size_t w, size_t b, int T)
{
	const struct model *m = p->m;
	int C = m->config.hidden_size;

	if (m->arch->layernorm)
		p->be->layernorm(p->be, out, mean, rstd, x, model_vector(m, w), model_vector(m, b), T, C,
				 m->config.norm_eps);
	else
		p->be->rmsnorm(p->be, out, rstd, x, model_vector(m, w), T, C, m->config.norm_eps);
}

/* y = x W^T + bias, and what the factors of LoRA add to it. add: to y. */
static void linear(struct pass *p, float *y, const float *x, const struct matrix *w, bool add)
{
	struct backend *be = p->be;
	const float *bias = model_vector(p->m, w->bias);
	struct kernels_linear how = { p->T, w->w.K, w->w.N, bias, add ? 1.0f : 0.0f };

	be->linear(be, y, x, &w->w, &how);
	if (w->n_lora)
		lora_forward(p, y, x, w);
}

static void attend(struct pass *p, const struct layer_acts *a, int l)
{
	const struct model_config *c = &p->m->config;
	int D = c->head_dim, HD = c->heads * D, KD = c->kv_heads * D, stride = HD + 2 * KD;
	struct kernels_attn shape = {
		c->heads, c->kv_heads, D, stride, stride, HD, 1.0f / sqrtf((float)D), p->m->layers[l].window
	};
	struct kernels_seqs seqs = pass_seqs(p, l);
	const float *k = a->qkv + HD;

	if (p->size.cache) {
		struct kvcache *cache = p->size.cache;
		p->be->put_rows(p->be, kvcache_layer(cache, l), cache->width, k, stride, p->d_kept, p->T, cache->width);
	}
	transformer_for_products(p, a->att, HD, !p->size.keep && !p->m->layers[l].o.n_lora);
	p->be->attn(p->be, a->att, a->lse, a->qkv, k, k + KD, &seqs, &shape);
}

/* Norms of the heads, then positions: q and k heads lie behind one another in a row. */
static void place_heads(struct pass *p, const struct layer_acts *a, const struct layer *l)
{
	const struct model *m = p->m;
	const struct model_config *c = &m->config;
	struct backend *be = p->be;
	int T = p->T, D = c->head_dim, H = c->heads, K = c->kv_heads, stride = (H + 2 * K) * D;

	if (l->q_norm != NO_VECTOR) {
		if (a->raw != a->qkv)
			be->copy(be, a->raw, a->qkv, (size_t)T * (size_t)stride * sizeof(float));
		be->headnorm(be, a->qkv, a->rstd_q, a->raw, model_vector(m, l->q_norm), stride, T, H, D, c->norm_eps);
		be->headnorm(be, a->qkv + H * D, a->rstd_k, a->raw + H * D, model_vector(m, l->k_norm), stride, T, K, D,
			     c->norm_eps);
	}
	if (!m->arch->learned_positions)
		be->rope(be, a->qkv, stride, p->d_pos, m->rope, T, H + K, D, false);
}

static void copy_rows(struct pass *p, float *to, const float *from)
{
	if (to != from)
		p->be->copy(p->be, to, from, (size_t)p->T * (size_t)p->m->config.hidden_size * sizeof(float));
}

/* y = from + x W^T + bias, and act = gelu(y) where it is wanted; false: the device has no such operation */
static bool linear_into(struct pass *p, float *y, float *act, const float *from, const float *x, const struct matrix *w)
{
	struct kernels_linear how = { p->T, w->w.K, w->w.N, model_vector(p->m, w->bias), 0 };

	if (p->be->linear_into)
		p->be->linear_into(p->be, y, act, from, x, &w->w, &how);
	return p->be->linear_into != NULL;
}

/* to = from + W h + b */
static void add_linear(struct pass *p, float *to, const float *from, const float *h, const struct matrix *w)
{
	if (linear_into(p, to, NULL, from, h, w)) {
		if (w->n_lora)
			lora_forward(p, to, h, w);
		return;
	}
	copy_rows(p, to, from);
	linear(p, to, h, w, true);
}

void transformer_act(struct pass *p, const struct layer_acts *a, bool alone)
{
	int F = p->m->config.intermediate_size;
	size_t n = (size_t)p->T * (size_t)F;

	transformer_for_products(p, p->act, F, alone);
	if (p->m->arch->gated)
		p->be->swiglu(p->be, p->act, a->gate, a->up, n);
	else
		p->be->gelu(p->be, p->act, a->up, n);
}

/* a->up, and p->act of it. What LoRA adds comes before the activation, so then nothing is fused. */
static void up_and_act(struct pass *p, const struct layer_acts *a, const struct layer *l)
{
	bool alone = !l->down.n_lora;

	if (!p->m->arch->gated && !l->up.n_lora) {
		transformer_for_products(p, p->act, l->up.w.N, alone);
		if (linear_into(p, a->up, p->act, NULL, p->h, &l->up))
			return;
	}
	linear(p, a->up, p->h, &l->up, false);
	transformer_act(p, a, alone);
}

void transformer_layer(struct pass *p, int l, float *next)
{
	const struct layer *layer = &p->m->layers[l];
	const struct layer_acts *a = &p->acts[l];
	int T = p->T, C = p->m->config.hidden_size;

	transformer_for_products(p, p->h, C, !layer->qkv.n_lora);
	transformer_norm(p, p->h, a->mean1, a->rstd1, a->x, layer->norm1, layer->norm1_bias, T);
	linear(p, a->qkv, p->h, &layer->qkv, false);
	place_heads(p, a, layer);
	attend(p, a, l);
	add_linear(p, a->mid, a->x, a->att, &layer->o);

	transformer_for_products(p, p->h, C, !layer->gate.n_lora && !layer->up.n_lora);
	transformer_norm(p, p->h, a->mean2, a->rstd2, a->mid, layer->norm2, layer->norm2_bias, T);
	if (p->m->arch->gated)
		linear(p, a->gate, p->h, &layer->gate, false);
	up_and_act(p, a, layer);
	add_linear(p, next, a->mid, p->act, &layer->down);
}

void transformer_forward(struct pass *p)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int L = m->config.layers;

	pass_upload(p);
	be->embed(be, p->acts[0].x, &m->embed.w, p->d_ids, p->T, false);
	if (m->arch->learned_positions)
		be->embed(be, p->acts[0].x, &m->positions.w, p->d_pos, p->T, true);
	for (int l = 0; l < L; l++)
		transformer_layer(p, l, l + 1 < L ? p->acts[l + 1].x : p->last);
}

void transformer_logits(struct pass *p, int first, int n)
{
	const struct kernels_weight *w = &p->m->head.w;
	struct kernels_linear how = { n, w->K, w->N, NULL, 0 };

	p->be->linear(p->be, p->logits, p->hidden + (size_t)first * (size_t)w->K, w, &how);
}

void transformer_hidden(struct pass *p)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int C = m->config.hidden_size, R = p->n_rows;

	be->gather(be, p->picked, p->last, p->d_rows, R, C);
	if (p->tiled && be->for_products)
		be->for_products(be, p->hidden, R, C, true);
	transformer_norm(p, p->hidden, p->mean, p->rstd, p->picked, m->norm, m->norm_bias, R);
}

void transformer_ask(struct pass *p, struct pass_answer *a,
		     void (*with_logits)(struct pass *p, int first, int n, void *arg), void *arg)
{
	const struct model *m = p->m;
	struct backend *be = p->be;
	int V = m->config.vocab_size, R = p->n_rows;

	assert(!with_logits || !p->tiled); /* size.drawn */
	if (R)
		transformer_hidden(p);
	if (p->tiled && R)
		be->head_logprob(be, p->d_logprob, p->d_argmax, p->hidden, &m->head.w, p->d_first, p->d_targets, R);
	for (int at = 0; !p->tiled && at < R; at += p->chunk) {
		int n = R - at < p->chunk ? R - at : p->chunk;
		transformer_logits(p, at, n);
		be->logprob(be, p->d_logprob, p->d_argmax, p->logits, p->d_first + at, p->d_targets, n, V);
		if (with_logits)
			with_logits(p, at, n, arg);
	}
	pass_download(p, a, true);
}

int transformer_head(struct pass *p, void (*with_logits)(struct pass *p, int first, int n, void *arg), void *arg)
{
	struct pass_answer a;

	transformer_ask(p, &a, with_logits, arg);
	return pass_wait(p, a.mark);
}
