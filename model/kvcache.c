/* kvcache.c: keys and values that outlive the batch they were computed in.
 *
 * One array, [layer][row][width]: a row holds the rotated keys and the values of one token, all heads, keys first. Rows
 * are handed out one by one from a stack and belong to whoever took them: a sequence that is being generated, or a prefix
 * that many share. Which rows they are changes no bit: attention is told the row of every key (kernels_seqs.k_rows). A
 * row needs no cleaning between owners. */
#include "base/base.h"

#include "model/model_int.h"

uint64_t kvcache_bytes(const struct model *m, int rows)
{
	const struct model_config *k = &m->config;

	return (uint64_t)k->layers * (uint64_t)rows * 2 * (uint64_t)k->kv_heads * (uint64_t)k->head_dim * sizeof(float);
}

int kvcache_open(struct kvcache *c, struct model *m, int rows)
{
	const struct model_config *k = &m->config;
	uint64_t bytes = kvcache_bytes(m, rows);
	void *data = NULL;

	if (rows < 1 || bytes > SIZE_MAX / 2)
		return err_set(ERR_UNAVAILABLE, "a cache of %d tokens does not fit in memory", rows);
	int rc = m->be->alloc(m->be, &data, (size_t)bytes);
	if (rc)
		return err_context(rc, "cache of keys and values for %d tokens", rows);
	*c = (struct kvcache){ m->be, k->layers,
			       rows,  2 * k->kv_heads * k->head_dim,
			       data,  mem_array((size_t)rows, sizeof(int32_t)),
			       rows };
	for (int i = 0; i < rows; i++) /* the lowest first */
		c->free_rows[i] = rows - 1 - i;
	return 0;
}

void kvcache_close(struct kvcache *c)
{
	if (c->be)
		c->be->free(c->be, c->data);
	free(c->free_rows);
	*c = (struct kvcache){ 0 };
}

float *kvcache_layer(const struct kvcache *c, int layer)
{
	return c->data + (size_t)layer * (size_t)c->rows * (size_t)c->width;
}

bool kvcache_take(struct kvcache *c, int32_t *rows, int n)
{
	if (n > c->n_free)
		return false;
	for (int i = 0; i < n; i++)
		rows[i] = c->free_rows[--c->n_free];
	return true;
}

void kvcache_give(struct kvcache *c, const int32_t *rows, int n)
{
	for (int i = n; i-- > 0;)
		c->free_rows[c->n_free++] = rows[i];
}
