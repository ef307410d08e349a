/* test_prefix.c: the tree of prefixes against a count by hand, on requests that share a lot. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model_int.h"

#define MOST 60
#define LONG 12

struct asks {
	struct score_request reqs[MOST];
	int32_t ids[MOST][LONG];
	size_t n;
};

/* Few letters, so that beginnings and whole requests repeat. */
static void draw(struct asks *a, struct rng *r, size_t n, uint64_t letters)
{
	a->n = n;
	for (size_t i = 0; i < n; i++) {
		int len = 2 + (int)rng_below(r, LONG - 1);
		for (int t = 0; t < len; t++)
			a->ids[i][t] = (int32_t)rng_below(r, letters) * 1000; /* more than one byte differs */
		int scored = 1 + (int)rng_below(r, (uint64_t)len - 1);
		a->reqs[i] = (struct score_request){ a->ids[i], len, scored };
	}
}

static bool same_row(const struct score_request *a, const struct score_request *b, int pos)
{
	return pos < a->n - 1 && pos < b->n - 1 && !memcmp(a->ids, b->ids, ((size_t)pos + 1) * sizeof(int32_t));
}

/* Rows that differ: those no request before has. */
static uint64_t count_rows(const struct asks *a)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < a->n; i++)
		for (int pos = 0; pos < a->reqs[i].n - 1; pos++) {
			bool seen = false;
			for (size_t j = 0; j < i; j++)
				seen |= same_row(&a->reqs[j], &a->reqs[i], pos);
			rows += !seen;
		}
	return rows;
}

static void check_order(const struct prefix_tree *t, const struct asks *a)
{
	bool seen[MOST] = { false };

	for (size_t k = 0; k < t->n; k++) {
		const struct score_request *r = &a->reqs[t->order[k]];
		assert_true(t->order[k] < a->n && !seen[t->order[k]]);
		seen[t->order[k]] = true;
		assert_in_range(t->begin[k], 0, r->n - 1);
		if (t->begin[k])
			assert_true(same_row(&a->reqs[t->order[k - 1]], r, t->begin[k] - 1));
	}
}

/* Each use stands at a row that its owner computes, and every scored row of a request is its own or a use. */
static void check_uses(const struct prefix_tree *t, const struct asks *a)
{
	int uses[MOST] = { 0 };

	for (size_t i = 0; i < t->n_uses; i++) {
		const struct prefix_use *u = &t->uses[i], *before = i ? u - 1 : NULL;
		assert_true(u->owner < u->who);
		assert_true(u->pos >= t->begin[u->owner] && u->pos < t->begin[u->who]);
		assert_true(same_row(&a->reqs[t->order[u->owner]], &a->reqs[t->order[u->who]], u->pos));
		if (before)
			assert_true(before->owner < u->owner ||
				    (before->owner == u->owner &&
				     (before->pos < u->pos || (before->pos == u->pos && before->who < u->who))));
		uses[u->who]++;
	}
	for (size_t k = 0; k < t->n; k++) {
		const struct score_request *r = &a->reqs[t->order[k]];
		int first = r->n - 1 - r->n_scored;
		assert_int_equal(uses[k], t->begin[k] > first ? t->begin[k] - first : 0);
	}
}

static void test_prefix_open__computes_each_prefix_once(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 7, 0);
	for (int round = 0; round < 400; round++) {
		struct asks a;
		struct prefix_tree t;
		draw(&a, &r, 1 + (size_t)rng_below(&r, MOST), 1 + rng_below(&r, 3));
		prefix_open(&t, a.reqs, a.n, true);
		assert_int_equal(t.rows, count_rows(&a));
		check_order(&t, &a);
		check_uses(&t, &a);
		prefix_close(&t);
	}
}

static void test_prefix_open__shares_nothing_if_told_so(void **state)
{
	struct prefix_tree t;
	struct asks a;
	struct rng r;
	uint64_t rows = 0;

	(void)state;
	rng_seed(&r, 8, 0);
	draw(&a, &r, MOST, 2);
	for (size_t i = 0; i < a.n; i++)
		rows += (uint64_t)a.reqs[i].n - 1;
	prefix_open(&t, a.reqs, a.n, false);
	assert_int_equal(t.rows, rows);
	assert_int_equal(t.n_uses, 0);
	check_order(&t, &a);
	prefix_close(&t);
}

static void test_prefix_sort__equal_texts_stay_in_order(void **state)
{
	const int32_t abc[] = { 1, 2, 3 }, abd[] = { 1, 2, 4 };
	struct prefix_text texts[] = { { abd, 3, 0 }, { abc, 3, 1 }, { abd, 3, 2 }, { abd, 2, 3 }, { abd, 3, 4 } };
	int shared[5];

	(void)state;
	prefix_sort(texts, shared, 5);
	assert_int_equal(texts[0].index, 3); /* the shorter one first */
	assert_int_equal(shared[0], 0);
	assert_int_equal(shared[1], 2);
	size_t first = texts[1].index == 1 ? 2 : 1;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(texts[first + i].index, 2 * i);
	assert_int_equal(shared[first + 1], 3);
	prefix_sort(texts, shared, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefix_open__computes_each_prefix_once),
		cmocka_unit_test(test_prefix_open__shares_nothing_if_told_so),
		cmocka_unit_test(test_prefix_sort__equal_texts_stay_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
