/* prefix.c: which requests begin alike, so that what they share is computed once.
 *
 * Requests are sorted by their ids; then those that share a prefix lie side by side, and the longest prefix which a
 * request has in common with any that lies before it is the one it has in common with its neighbour. So the tree of all
 * prefixes needs no nodes: a walk through the sorted list that keeps the rows of the current path is a walk through the
 * tree in depth first order, in which request k brings the rows shared[k] .. n - 1 and finds those before them on the
 * path. At any time only one path is alive.
 *
 * The order is that of the bytes in memory, since memcmp() is quick and any order that keeps prefixes together will do;
 * no result depends on it. Equal requests stand in the order of their index.
 *
 * A row that several requests go through is computed by the first of them, its owner. What the others want to know
 * at it (a row has one successor for each choice) is listed beforehand as uses, in the order in which owners meet them,
 * since the owner's batch may be gone when the others' turn comes. */
#include "base/base.h"

#include "model/model_int.h"

static int by_ids(const void *a, const void *b)
{
	const struct prefix_text *x = a, *y = b;
	int n = x->n < y->n ? x->n : y->n;
	int c = memcmp(x->ids, y->ids, (size_t)n * sizeof(*x->ids));

	if (c || x->n != y->n)
		return c ? c : x->n < y->n ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int common(const struct prefix_text *x, const struct prefix_text *y)
{
	int n = x->n < y->n ? x->n : y->n, i = 0;

	while (i < n && x->ids[i] == y->ids[i])
		i++;
	return i;
}

void prefix_sort(struct prefix_text *texts, int *shared, size_t n)
{
	qsort(texts, n, sizeof(*texts), by_ids);
	for (size_t k = 0; k < n; k++)
		shared[k] = k ? common(&texts[k - 1], &texts[k]) : 0;
}

/* ---- requests that are scored ------------------------------------------------------------------------------------ */

static int by_owner(const void *a, const void *b)
{
	const struct prefix_use *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->pos != y->pos)
		return x->pos < y->pos ? -1 : 1;
	return x->who < y->who ? -1 : x->who > y->who;
}

static void add_uses(struct prefix_tree *t, const struct score_request *r, uint32_t k, const uint32_t *owner)
{
	for (int pos = r->n - 1 - r->n_scored; pos < t->begin[k]; pos++) {
		MEM_GROW(t->uses, t->n_uses, t->cap_uses);
		t->uses[t->n_uses++] = (struct prefix_use){ owner[pos], pos, k };
	}
}

static void list_uses(struct prefix_tree *t, const struct score_request *reqs)
{
	uint32_t *owner = mem_array((size_t)t->longest, sizeof(*owner)); /* of the rows of the path */

	for (uint32_t k = 0; k < t->n; k++) {
		const struct score_request *r = &reqs[t->order[k]];
		add_uses(t, r, k, owner);
		for (int pos = t->begin[k]; pos < r->n - 1; pos++)
			owner[pos] = k;
	}
	free(owner);
	if (t->n_uses)
		qsort(t->uses, t->n_uses, sizeof(*t->uses), by_owner);
	for (size_t i = 0, first = 0; i < t->n_uses; i++) {
		const struct prefix_use *u = &t->uses[i];
		if (u->owner != t->uses[first].owner || u->pos != t->uses[first].pos)
			first = i;
		t->most_uses = i - first + 1 > t->most_uses ? i - first + 1 : t->most_uses;
	}
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

void prefix_open(struct prefix_tree *t, const struct score_request *reqs, size_t n, bool share)
{
	struct prefix_text *texts = mem_array(n, sizeof(*texts));

	*t = (struct prefix_tree){ .n = n, .longest = 1 };
	t->order = mem_array(n, sizeof(*t->order));
	t->begin = mem_array(n, sizeof(*t->begin));
	for (size_t i = 0; i < n; i++)
		texts[i] = (struct prefix_text){ reqs[i].ids, reqs[i].n, (uint32_t)i };
	prefix_sort(texts, t->begin, n);
	for (size_t k = 0; k < n; k++) {
		/* the last id of a request is predicted only: it has no row */
		int rows = texts[k].n - 1, before = k ? texts[k - 1].n - 1 : 0;
		t->order[k] = texts[k].index;
		t->begin[k] = share ? least(t->begin[k], least(rows, before)) : 0;
		t->longest = rows > t->longest ? rows : t->longest;
		t->rows += (uint64_t)(rows - t->begin[k]);
	}
	free(texts);
	list_uses(t, reqs);
}

void prefix_close(struct prefix_tree *t)
{
	free(t->order);
	free(t->begin);
	free(t->uses);
	*t = (struct prefix_tree){ 0 };
}
