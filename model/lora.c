/* lora.c: low-rank adapters: a frozen matrix and two small trainable ones beside it (Hu et al. 2021).
 *
 *	y = W x + b + (alpha / rank) B A dropout(x)        A[rank,K] uniform in +-1/sqrt(K), B[N,rank] zero at first
 *
 * A part is one adapted module of one layer. q, k and v are rows of one matrix here and modules of their own there, so a
 * part writes its own columns of y. All factors lie in one buffer, by layer and role, A before B: gradients and optimizer
 * states have the same layout. A x is small and is computed again in the backward pass. Dropout is on the branch's input
 * only; its mask is drawn from a counter, by step, layer and module, so nothing is kept and no order matters. */
#include "base/base.h"

#include <math.h>

#include "model/model_int.h"

/* ---- which modules ----------------------------------------------------------------------------------------------- */

static const char *last_name(const char *module)
{
	const char *dot = strrchr(module, '.');

	return dot ? dot + 1 : module;
}

/* "q_proj" is any module of that last name; "mlp.c_proj" one below that path, as PEFT matches a list. */
static bool matches(const char *module, const char *target)
{
	size_t n = strlen(module), k = strlen(target);

	return n >= k && !strcmp(module + n - k, target) && (n == k || module[n - k - 1] == '.');
}

static bool wanted(const struct model *m, const struct lora_options *o, enum role role, bool *found)
{
	const char *module = m->arch->names[role];

	if (!o->targets) /* what PEFT takes where nothing is said */
		return role == ROLE_Q || role == ROLE_V || role == ROLE_QKV;
	for (size_t i = 0; o->targets[i]; i++)
		if (!strcmp(o->targets[i], "all-linear") || matches(module, o->targets[i])) {
			found[i] = true;
			return true;
		}
	return false;
}

static bool is_linear(enum role role)
{
	return (role >= ROLE_Q && role <= ROLE_QKV) || role == ROLE_O || role >= ROLE_GATE;
}

static int unknown_target(const struct model *m, const char *target)
{
	struct buf known = BUF_INIT(1024);
	int rc;

	for (int r = ROLE_NORM1; r < ROLES; r++)
		if (m->arch->names[r] && is_linear((enum role)r))
			buf_addf(&known, "%s%s", known.len ? ", " : "", last_name(m->arch->names[r]));
	rc = err_set(ERR_INPUT, "target_modules: no module \"%s\" in a %s model", target, m->config.architecture);
	err_hint(rc, "its modules are %s; \"all-linear\" is all of them", buf_str(&known));
	buf_release(&known);
	return rc;
}

static void add_part(struct lora *l, const struct model *m, const struct tensor *t)
{
	struct lora_part *part = &l->parts[l->n++];
	int row0 = 0;

	model_matrix((struct model *)m, t, &row0);
	*part = (struct lora_part){ t->role, t->layer, row0, t->rows, t->cols, l->n_params, 0 };
	part->b = part->a + (size_t)l->rank * (size_t)part->K;
	l->n_params = part->b + (size_t)l->rank * (size_t)part->N;
}

static int choose_parts(struct lora *l, const struct model *m, const struct lora_options *o)
{
	size_t n_targets = 0;
	int rc = 0;

	while (o->targets && o->targets[n_targets])
		n_targets++;
	bool *found = mem_array(n_targets + 1, sizeof(*found)), *role_wanted = mem_array(ROLES, sizeof(*role_wanted));
	for (int r = ROLE_NORM1; r < ROLES; r++)
		role_wanted[r] = m->arch->names[r] && is_linear((enum role)r) && wanted(m, o, (enum role)r, found);
	for (size_t i = 0; !rc && i < n_targets; i++)
		if (!found[i])
			rc = unknown_target(m, o->targets[i]);
	l->parts = mem_array(m->n_tensors, sizeof(*l->parts));
	for (size_t i = 0; !rc && i < m->n_tensors; i++)
		if (!m->tensors[i].bias && role_wanted[m->tensors[i].role])
			add_part(l, m, &m->tensors[i]);
	if (!rc && !l->n)
		rc = err_set(ERR_INPUT, "target_modules: none is named");
	l->targets = mem_array(ROLES, sizeof(*l->targets));
	for (int r = ROLE_NORM1; !rc && r < ROLES; r++) {
		bool known = false;
		const char *name = role_wanted[r] ? last_name(m->arch->names[r]) : NULL;
		for (size_t i = 0; name && i < l->n_targets; i++)
			known |= !strcmp(l->targets[i], name);
		if (name && !known)
			l->targets[l->n_targets++] = mem_str(name);
	}
	free(found);
	free(role_wanted);
	return rc;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* The parts of a matrix lie behind one another: they are of one layer, and roles of one matrix are neighbours. */
static void link_parts(struct model *m)
{
	struct lora *l = m->lora;

	for (size_t i = 0; i < l->n; i++) {
		const struct tensor t = { .role = l->parts[i].role, .layer = l->parts[i].layer };
		int row0;
		struct matrix *x = model_matrix(m, &t, &row0);
		if (!x->n_lora++)
			x->lora = &l->parts[i];
	}
}

static void fill_factors(float *out, const struct lora *l, uint64_t seed)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct lora_part *p = &l->parts[i];
		const int32_t id[2] = { p->layer, (int32_t)p->role };
		double bound = 1 / sqrt((double)p->K);
		struct rng r;
		rng_seed(&r, seed, checkpoint_hash(1, id, sizeof(id)));
		for (size_t j = p->a; j < p->b; j++)
			out[j] = (float)((2 * rng_uniform(&r) - 1) * bound);
	}
}

static int check_options(const struct model *m, const struct lora_options *o)
{
	if (m->params || m->lora)
		return err_set(ERR_BUG, "LoRA wants a frozen model without factors");
	if (o->rank < 1 || o->rank > 4096)
		return err_set(ERR_INPUT, "rank: %d is outside 1..4096", o->rank);
	if (!(o->alpha > 0) || o->alpha > 1e6)
		return err_set(ERR_INPUT, "alpha: %g; it must be above 0", o->alpha);
	if (!(o->dropout >= 0 && o->dropout < 1))
		return err_set(ERR_INPUT, "dropout: %g; it must be in 0..1, below 1", o->dropout);
	return 0;
}

static int new_lora(struct lora **out, const struct model *m, const struct lora_options *o)
{
	int rc = check_options(m, o);

	if (rc)
		return rc;
	*out = mem_alloc(sizeof(**out));
	**out = (struct lora){
		.rank = o->rank, .alpha = o->alpha, .scale = (float)(o->alpha / o->rank), .dropout = (float)o->dropout
	};
	rc = choose_parts(*out, m, o);
	if (rc) {
		lora_free(*out, m->be);
		*out = NULL;
	}
	return rc;
}

int lora_plan(struct model *m, const struct lora_options *o)
{
	return new_lora(&m->lora, m, o);
}

int model_add_lora(struct model *m, const struct lora_options *o, uint64_t seed)
{
	struct lora *l = NULL;
	void *params = NULL;
	int rc = new_lora(&l, m, o);

	if (rc)
		return rc;
	rc = m->be->alloc(m->be, &params, mem_mul(l->n_params, sizeof(float)));
	l->params = params;
	float *host = rc ? NULL : mem_try_aligned(mem_mul(l->n_params, sizeof(float)));
	if (!rc && !host)
		rc = err_set(ERR_UNAVAILABLE, "no memory for %zu factors", l->n_params);
	if (rc) {
		lora_free(l, m->be);
		return rc;
	}
	memset(host, 0, l->n_params * sizeof(float));
	fill_factors(host, l, seed);
	m->be->upload(m->be, l->params, host, l->n_params * sizeof(float));
	free(host);
	m->lora = l;
	link_parts(m);
	return m->be->sync(m->be);
}

void lora_free(struct lora *l, struct backend *be)
{
	if (!l)
		return;
	if (l->params)
		be->free(be, l->params);
	for (size_t i = 0; i < l->n_targets; i++)
		free(l->targets[i]);
	free(l->targets);
	free(l->parts);
	free(l);
}

int lora_delta(const struct model *m, size_t i, float *delta)
{
	const struct lora *l = m->lora;
	const struct lora_part *p = &l->parts[i];
	size_t r = (size_t)l->rank, K = (size_t)p->K, N = (size_t)p->N;
	float *host = mem_array(r * (K + N), sizeof(float)), *a = host, *b = host + r * K;

	m->be->download(m->be, host, l->params + p->a, r * (K + N) * sizeof(float));
	int rc = m->be->sync(m->be);
	for (size_t n = 0; !rc && n < N; n++) {
		float *to = delta + n * K;
		memset(to, 0, K * sizeof(float));
		for (size_t j = 0; j < r; j++) {
			float by = l->scale * b[n * r + j];
			for (size_t k = 0; k < K; k++)
				to[k] = __builtin_fmaf(by, a[j * K + k], to[k]);
		}
	}
	free(host);
	return rc;
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

static struct kernels_weight factor_a(const struct lora *l, const struct lora_part *p)
{
	return (struct kernels_weight){ l->params + p->a, l->rank, p->K, KERNELS_F32, 0 };
}

static struct kernels_weight factor_b(const struct lora *l, const struct lora_part *p)
{
	return (struct kernels_weight){ l->params + p->b, p->N, l->rank, KERNELS_F32, 0 };
}

static uint64_t mask_key(const struct pass *p, const struct lora_part *part)
{
	const int32_t id[2] = { part->layer, (int32_t)part->role };

	return checkpoint_hash(p->dropout_key, id, sizeof(id));
}

/* What A sees: x, or x with some of it dropped. */
static const float *branch_input(struct pass *p, const float *x, const struct lora_part *part)
{
	const struct lora *l = p->m->lora;

	if (!p->dropout_key || !(l->dropout > 0))
		return x;
	p->be->dropout(p->be, p->lora_x, x, (size_t)p->T * (size_t)part->K, mask_key(p, part), l->dropout);
	return p->lora_x;
}

/* lora_t = scale A x */
static void down(struct pass *p, const float *x, const struct lora_part *part)
{
	const struct lora *l = p->m->lora;
	struct kernels_weight a = factor_a(l, part);
	struct kernels_linear how = { p->T, part->K, l->rank, NULL, 0 };

	p->be->linear(p->be, p->lora_t, x, &a, &how);
	p->be->scale(p->be, p->lora_t, (size_t)p->T * (size_t)l->rank, l->scale);
}

void lora_forward(struct pass *p, float *y, const float *x, const struct matrix *w)
{
	const struct lora *l = p->m->lora;

	for (int i = 0; i < w->n_lora; i++) {
		const struct lora_part *part = &w->lora[i];
		struct kernels_weight b = factor_b(l, part);
		struct kernels_linear how = { p->T, l->rank, w->w.N, NULL, 1 };
		down(p, branch_input(p, x, part), part);
		p->be->linear(p->be, y + part->row0, p->lora_t, &b, &how);
	}
}

/* With t = scale A x: dB += dy^T t, dt = scale dy B, dA += dt^T x, dx += dropout'(dt A). */
static void part_back(struct pass *p, struct back *g, float *dx, const float *dy, const float *x,
		      const struct matrix *w, const struct lora_part *part)
{
	const struct lora *l = p->m->lora;
	struct backend *be = p->be;
	struct kernels_weight a = factor_a(l, part), b = factor_b(l, part);
	struct kernels_linear of_b = { p->T, l->rank, w->w.N, NULL, 1 }, of_a = { p->T, part->K, l->rank, NULL, 1 };
	const float *in = branch_input(p, x, part);
	size_t wide = (size_t)p->T * (size_t)part->K;

	down(p, in, part);
	be->linear_dw(be, g->grads + part->b, dy + part->row0, p->lora_t, part->N, l->rank, &of_b);
	of_b.beta = 0;
	be->linear_dx(be, g->dlora_t, dy + part->row0, &b, &of_b);
	be->scale(be, g->dlora_t, (size_t)p->T * (size_t)l->rank, l->scale);
	be->linear_dw(be, g->grads + part->a, g->dlora_t, in, l->rank, part->K, &of_a);
	if (in == x) {
		be->linear_dx(be, dx, g->dlora_t, &a, &of_a);
		return;
	}
	of_a.beta = 0;
	be->linear_dx(be, g->dlora_x, g->dlora_t, &a, &of_a);
	be->dropout(be, g->dlora_x, g->dlora_x, wide, mask_key(p, part), l->dropout);
	be->add(be, dx, g->dlora_x, wide);
}

void lora_back(struct pass *p, struct back *b, float *dx, const float *dy, const float *x, const struct matrix *w)
{
	for (int i = 0; i < w->n_lora; i++)
		part_back(p, b, dx, dy, x, w, &w->lora[i]);
}
