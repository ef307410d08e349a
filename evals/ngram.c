/* ngram.c: words and n-grams of texts, counted by sorting.
 *
 * A text is a row of numbers: its code points, or its words, numbered as they come by a map that the texts to be compared
 * share. All places of it are sorted once by the ids that begin there, up to the longest order; then the n-grams of every
 * order lie in runs, since what agrees in five agrees in three. Two sorted texts are compared run by run. O(n log n) in
 * the length of the texts, whatever they repeat. */
#include "base/base.h"

#include "evals/mt_int.h"

/* ---- words ------------------------------------------------------------------------------------------------------- */

void words_init(struct words *w)
{
	*w = (struct words){ 0 };
	map_init(&w->numbers);
}

void words_release(struct words *w)
{
	map_release(&w->numbers);
	*w = (struct words){ 0 };
}

void row_add(struct row *r, uint32_t id)
{
	MEM_GROW(r->ids, r->n, r->cap);
	r->ids[r->n++] = id;
}

void row_add_word(struct row *r, struct words *w, const char *s, size_t len)
{
	int64_t id;

	if (!map_get(&w->numbers, s, len, &id)) {
		id = w->n++;
		map_put(&w->numbers, s, len, id);
	}
	row_add(r, (uint32_t)id);
}

/* The next word of s, past white space as Python's split() has it. False: there is none. */
bool next_word(const char **s, const char *end, const char **word, size_t *len)
{
	const char *p = *s;
	size_t used;

	while (p < end && utf8_is_space(utf8_next(p, (size_t)(end - p), &used)))
		p += used;
	*word = p;
	while (p < end && !utf8_is_space(utf8_next(p, (size_t)(end - p), &used)))
		p += used;
	*len = (size_t)(p - *word);
	*s = p;
	return *len > 0;
}

void row_add_words(struct row *r, struct words *w, const char *s, size_t len)
{
	const char *end = s + len, *word;
	size_t n;

	while (next_word(&s, end, &word, &n))
		row_add_word(r, w, word, n);
}

void row_release(struct row *r)
{
	free(r->ids);
	*r = (struct row){ 0 };
}

/* ---- n-grams ----------------------------------------------------------------------------------------------------- */

/* By the first `order` ids; the shorter of two that agree comes first. */
static int compare(const struct gram *a, const struct gram *b, size_t order)
{
	size_t la = a->len < order ? a->len : order, lb = b->len < order ? b->len : order;

	for (size_t i = 0; i < la && i < lb; i++)
		if (a->ids[i] != b->ids[i])
			return a->ids[i] < b->ids[i] ? -1 : 1;
	return la == lb ? 0 : la < lb ? -1 : 1;
}

static int compare_whole(const void *a, const void *b)
{
	return compare(a, b, SIZE_MAX);
}

void grams_init(struct grams *g, const struct row *r, size_t longest)
{
	g->n = r->n;
	g->at = mem_array(r->n + 1, sizeof(*g->at));
	for (size_t i = 0; i < r->n; i++)
		g->at[i] = (struct gram){ r->ids + i, r->n - i < longest ? r->n - i : longest };
	qsort(g->at, g->n, sizeof(*g->at), compare_whole);
}

void grams_release(struct grams *g)
{
	free(g->at);
	*g = (struct grams){ 0 };
}

size_t grams_count(const struct grams *g, size_t order)
{
	return g->n < order ? 0 : g->n - order + 1;
}

/* The run of equal n-grams at *i, its length; *i is then behind it. NULL: no more. */
static const struct gram *next_run(const struct grams *g, size_t order, size_t *i, size_t *count)
{
	const struct gram *first;

	while (*i < g->n && g->at[*i].len < order)
		++*i;
	if (*i == g->n)
		return NULL;
	first = &g->at[*i];
	*count = 0;
	for (; *i < g->n && compare(first, &g->at[*i], order) == 0; ++*i)
		++*count;
	return first;
}

size_t grams_shared(const struct grams *hyp, const struct grams *refs, size_t n_refs, size_t order)
{
	struct {
		size_t i, count;
		const struct gram *run;
	} *ref = mem_array(n_refs + 1, sizeof(*ref));
	const struct gram *run;
	size_t i = 0, count, shared = 0;

	for (size_t k = 0; k < n_refs; k++)
		ref[k].run = next_run(&refs[k], order, &ref[k].i, &ref[k].count);
	while ((run = next_run(hyp, order, &i, &count))) {
		size_t most = 0;

		for (size_t k = 0; k < n_refs; k++) {
			while (ref[k].run && compare(ref[k].run, run, order) < 0)
				ref[k].run = next_run(&refs[k], order, &ref[k].i, &ref[k].count);
			if (ref[k].run && compare(ref[k].run, run, order) == 0 && ref[k].count > most)
				most = ref[k].count;
		}
		shared += count < most ? count : most;
	}
	free(ref);
	return shared;
}
