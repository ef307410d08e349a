/* order.c: in which order samples are visited, so that what is known after some of them can be judged.
 *
 * A sample's place is the first 64 bits of SHA-256 (seed, "task/id"), ascending. The seed is fixed before anything is asked (the
 * runner makes it of the suites' questions and the target's tip), so the order is committed, looks random to whoever made the
 * questions, and does not know the scores; nobody has to store it. It has one order for all tasks of a run: restricted to one
 * of them, or to the members of a group, it is a random order of these.
 *
 * A result that is not whole says how far it came: every sample of a place below asked_below is there. Others may be there,
 * too, of an earlier visit in another order; they are facts, but bets are on those below only. */
#include "base/base.h"

#include "evals/evals_int.h"

static uint64_t place_of(const char *seed, const char *name)
{
	struct digest_ctx *c = digest_new();
	struct digest d;
	uint64_t place = 0;

	digest_text(c, seed);
	digest_text(c, name);
	d = digest_end(c);
	for (int i = 0; i < 8; i++)
		place = place << 8 | d.bytes[i];
	return place;
}

uint64_t visit_place(const char *seed, const char *task, const char *id)
{
	char *name = mem_printf("%s/%s", task, id);
	uint64_t place = place_of(seed, name);

	free(name);
	return place;
}

uint64_t result_place(const struct task_result *t, const char *seed, size_t i)
{
	/* a group's ids name the member */
	return t->n_members ? place_of(seed, t->samples[i].id) : visit_place(seed, t->task, t->samples[i].id);
}

static int by_place(const void *a, const void *b)
{
	const struct visit *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

void visits_sort(struct visit *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_place);
}

size_t result_visits(const struct task_result *t, const char *seed, uint64_t below, struct visit *out)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		uint64_t place = result_place(t, seed, i);

		if (place < below)
			out[n++] = (struct visit){ place, i };
	}
	visits_sort(out, n);
	return n;
}
