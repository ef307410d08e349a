/* acts.c: the memory of activations: what a forward writes, and what a backward needs of it.
 *
 * One allocation, cut into arrays by a list; the same list adds up to the bytes that a plan states beforehand, so plan and
 * work cannot drift apart. A forward that is to be followed by a backward keeps a set of arrays for every layer (of each
 * layer its input alone, with checkpointing); else all layers share one set, and arrays that are dead when others are born
 * share their place: the residual stream is written in place, attention's output over the norm's, the activation over
 * what it is made from. */
#include "base/base.h"

#include "model/model_int.h"

static size_t rounded(size_t count)
{
	return (count + 15) & ~(size_t)15; /* 64 bytes */
}

uint64_t pass_carve_bytes(const struct pass_part *parts, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += (uint64_t)rounded(parts[i].count) * sizeof(float);
	return total;
}

int pass_carve(struct backend *be, float **whole, const struct pass_part *parts, size_t n, const char *what)
{
	uint64_t bytes = pass_carve_bytes(parts, n);
	void *p = NULL;

	for (size_t i = 0; i < n; i++)
		if (parts[i].count > SIZE_MAX / 8 / (n + 1))
			return err_set(ERR_UNAVAILABLE, "%s: the size does not fit in memory", what);
	int rc = be->alloc(be, &p, (size_t)bytes);
	if (rc)
		return err_context(rc, "%s", what);
	*whole = p;
	for (size_t i = 0; i < n; i++) {
		*parts[i].where = parts[i].count ? p : NULL;
		p = (float *)p + rounded(parts[i].count);
	}
	return 0;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

struct widths { /* floats a token */
	size_t C, qkv, HD, H, K, F;
};

static struct widths widths_of(const struct model *m)
{
	const struct model_config *c = &m->config;
	size_t D = (size_t)c->head_dim, H = (size_t)c->heads, K = (size_t)c->kv_heads;

	return (struct widths){ (size_t)c->hidden_size, (H + 2 * K) * D, H * D, H, K, (size_t)c->intermediate_size };
}

struct list {
	struct pass_part *parts;
	size_t n;
};

static void add(struct list *l, float **where, size_t count)
{
	l->parts[l->n++] = (struct pass_part){ where, count };
}

/* What a layer needs but for x. */
static void add_layer(struct list *l, struct layer_acts *a, const struct model *m, size_t T, bool keep)
{
	struct widths w = widths_of(m);
	bool layernorm = m->arch->layernorm, head_norms = m->arch->names[ROLE_Q_NORM] != NULL;

	add(l, &a->mean1, layernorm ? T : 0);
	add(l, &a->rstd1, T);
	add(l, &a->qkv, T * w.qkv);
	add(l, &a->rstd_q, head_norms ? T * w.H : 0);
	add(l, &a->rstd_k, head_norms ? T * w.K : 0);
	add(l, &a->mean2, layernorm ? T : 0);
	add(l, &a->rstd2, T);
	add(l, &a->gate, m->arch->gated ? T * w.F : 0);
	add(l, &a->up, T * w.F);
	add(l, &a->raw, keep && head_norms ? T * w.qkv : 0);
	add(l, &a->att, keep ? T * w.HD : 0);
	add(l, &a->lse, keep ? T * w.H : 0);
	add(l, &a->mid, keep ? T * w.C : 0);
}

#define LAYER_PARTS 14
#define OTHER_PARTS 14

static size_t sets_of(const struct model *m, const struct pass_size *size)
{
	return size->keep && !size->checkpointing ? (size_t)m->config.layers : 1;
}

static size_t most_parts(const struct model *m)
{
	return (size_t)m->config.layers * LAYER_PARTS + OTHER_PARTS;
}

static void list_parts(struct list *l, struct pass *p, const struct model *m, const struct pass_size *size, int chunk)
{
	struct widths w = widths_of(m);
	size_t T = (size_t)size->tokens, R = (size_t)size->rows, wide = w.C > w.HD ? w.C : w.HD;
	size_t layers = size->keep ? (size_t)m->config.layers : 1;

	for (size_t i = 0; i < sets_of(m, size); i++)
		add_layer(l, &p->acts[i], m, T, size->keep);
	for (size_t i = 0; i < layers; i++)
		add(l, &p->acts[i].x, T * w.C);
	add(l, &p->last, size->keep ? T * w.C : 0);
	add(l, &p->h, T * wide);
	add(l, &p->act, size->keep ? T * w.F : 0);
	add(l, &p->lora_x, m->lora ? T * (wide > w.F ? wide : w.F) : 0);
	add(l, &p->lora_t, m->lora ? T * (size_t)m->lora->rank : 0);
	add(l, &p->picked, R * w.C);
	add(l, &p->hidden, R * w.C);
	add(l, &p->mean, m->arch->layernorm ? R : 0);
	add(l, &p->rstd, R);
	add(l, &p->logits, (size_t)chunk * (size_t)m->config.vocab_size);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

/* Arrays without a place of their own stand where something dead stands. */
static void share(struct pass *p)
{
	struct layer_acts *first = &p->acts[0];
	size_t layers = (size_t)p->m->config.layers;
	bool keep = p->size.keep;

	if (!keep) {
		p->last = first->mid = first->x;
		first->att = p->h;
		p->act = first->up;
	}
	for (size_t i = 0; i < layers; i++) {
		struct layer_acts *a = &p->acts[i];
		float *x = a->x;
		if (i && sets_of(p->m, &p->size) == 1) {
			*a = *first;
			a->x = keep ? x : first->x;
		}
		if (!a->raw)
			a->raw = a->qkv;
	}
}

int acts_open(struct pass *p)
{
	struct list l = { mem_array(most_parts(p->m), sizeof(struct pass_part)), 0 };

	p->acts = mem_array((size_t)p->m->config.layers, sizeof(*p->acts));
	list_parts(&l, p, p->m, &p->size, p->chunk);
	int rc = pass_carve(p->be, &p->floats, l.parts, l.n, "memory for activations");
	free(l.parts);
	if (!rc)
		share(p);
	return rc;
}

void acts_close(struct pass *p)
{
	p->be->free(p->be, p->floats);
	free(p->acts);
}

uint64_t acts_bytes(const struct model *m, const struct pass_size *size, int chunk)
{
	struct list l = { mem_array(most_parts(m), sizeof(struct pass_part)), 0 };
	struct pass p = { .acts = mem_array((size_t)m->config.layers, sizeof(*p.acts)) };

	list_parts(&l, &p, m, size, chunk);
	uint64_t bytes = pass_carve_bytes(l.parts, l.n);
	free(l.parts);
	free(p.acts);
	return bytes;
}
