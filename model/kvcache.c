/* kvcache.c: the keys and values of sequences that go on.
 *
 * One array, [layer][slot][row][width]: every sequence that is being generated owns a slot, a fixed region of rows; row
 * i holds the rotated keys and the values of position i, all heads, keys first. kernels_seqs points attention at the
 * region (k_start, k_len). A slot needs no cleaning between owners: rows beyond k_len are never read. */
#include "base/base.h"

#include "model/model_int.h"

int kvcache_open(struct kvcache *c, struct model *m, int slots, int rows)
{
	const struct model_config *k = &m->config;
	int width = 2 * k->kv_heads * k->head_dim;
	size_t floats = mem_mul(mem_mul((size_t)k->layers, (size_t)slots), mem_mul((size_t)rows, (size_t)width));
	void *data = NULL;

	if ((int64_t)slots * rows > INT32_MAX || mem_mul(floats, sizeof(float)) == SIZE_MAX)
		return err_set(ERR_UNAVAILABLE, "a cache of %d sequences of %d tokens does not fit in memory", slots,
			       rows);
	int rc = m->be->alloc(m->be, &data, floats * sizeof(float));
	if (rc)
		return err_context(rc, "cache of keys and values for %d sequences of %d tokens", slots, rows);
	*c = (struct kvcache){ m->be, k->layers, slots, rows, width, data };
	return 0;
}

void kvcache_close(struct kvcache *c)
{
	if (c->be)
		c->be->free(c->be, c->data);
	*c = (struct kvcache){ 0 };
}

float *kvcache_layer(const struct kvcache *c, int layer)
{
	return c->data + (size_t)layer * (size_t)c->slots * (size_t)c->rows * (size_t)c->width;
}

void kvcache_put(struct kvcache *c, int layer, const struct pass *p, const float *kv, int stride)
{
	float *to = kvcache_layer(c, layer);
	size_t bytes = (size_t)c->width * sizeof(float);

	for (int s = 0; s < p->n_seqs; s++)
		for (int row = p->q_start[s]; row < p->q_start[s + 1]; row++)
			c->be->copy(c->be, to + ((size_t)p->k_start[s] + (size_t)p->pos[row]) * (size_t)c->width,
				    kv + (size_t)row * (size_t)stride, bytes);
}
