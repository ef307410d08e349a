/* test_train_order.c: units, epochs, steps and micro-batches: nothing is lost, nothing is too large, little room is wasted. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "model/train_int.h"

static struct backend *be;
static struct model *model;

static int set_up(void **state)
{
	const struct model_config c = { .architecture = "llama",
					.vocab_size = 50,
					.hidden_size = 8,
					.intermediate_size = 8,
					.layers = 1,
					.heads = 1,
					.kv_heads = 1,
					.head_dim = 8,
					.context = 64,
					.norm_eps = 1e-5f,
					.rope_theta = 100,
					.init_range = 0.1f,
					.tied = true,
					.bos_id = -1,
					.eos_id = 0 };

	(void)state;
	return backend_open(&be, "cpu_ref", 1) || model_init(&model, &c, 1, be) ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	model_free(model);
	backend_close(be);
	return 0;
}

/* An example of n tokens, of which all but the first `prompt` count; its ids say which one it is. */
static void add(struct train_data *d, int n, int prompt, bool pair)
{
	MEM_GROW(d->examples, d->n, d->cap);
	struct train_example *e = &d->examples[d->n++];
	*e = (struct train_example){ .ids = mem_array((size_t)n, sizeof(int32_t)),
				     .counts = mem_alloc((size_t)n),
				     .n = n,
				     .source = d->n_sources ? (int)d->n_sources - 1 : 0,
				     .pair = pair };
	for (int i = prompt; i < n; i++)
		e->counts[i] = 1;
}

static void add_many(struct train_data *d, int n, uint64_t seed, bool pairs)
{
	struct rng r;

	rng_seed(&r, seed, 0);
	for (int i = 0; i < n; i++) {
		add(d, 2 + (int)rng_below(&r, 19), 1, pairs);
		if (pairs)
			add(d, 2 + (int)rng_below(&r, 19), 1, false);
	}
}

static void options(struct train_options *o)
{
	train_options_init(o);
	o->batch_tokens = 400;
	o->micro_tokens = 50;
	o->epochs = 3;
	o->seed = 9;
}

static void open_order(struct training *t, const struct train_data *d, const struct train_options *o)
{
	*t = (struct training){ .m = model,
				.o = o,
				.batch_tokens = o->batch_tokens,
				.micro_tokens = o->micro_tokens,
				.shares = o->shares > 1 ? o->shares : 1 };
	assert_int_equal(train_set_open(&t->set, t, d, "training", t->batch_tokens), 0);
	assert_int_equal(train_order_open(t), 0);
}

static void close_order(struct training *t)
{
	train_set_close(&t->set);
	free(t->order);
	free(t->batch);
	free(t->places);
	free(t->ends);
}

static int rows_of(const struct train_data *d, uint32_t unit)
{
	const struct train_example *e = &d->examples[unit];

	return train_rows(e) + (e->pair ? train_rows(e + 1) : 0);
}

/* Micro-batches as train_fill cuts them; gives how many, and checks that each holds at most micro_tokens. */
static int micros(const struct training *t, const struct train_data *d)
{
	int n = 0;

	for (size_t at = 0; at < t->n_batch; n++) {
		int room = t->micro_tokens;
		while (at < t->n_batch && rows_of(d, t->batch[at]) <= room)
			room -= rows_of(d, t->batch[at++]);
		assert_true(room < t->micro_tokens);
	}
	return n;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void check_steps(bool pairs)
{
	struct train_data d = { 0 };
	struct train_options o;
	struct training t;
	struct train_cursor c = { 0 };
	int *seen, plain = 0, packed = 0, least = 0;
	int64_t rows = 0;

	add_many(&d, 300, 1, pairs);
	options(&o);
	o.dpo = pairs;
	open_order(&t, &d, &o);
	seen = mem_array(d.n, sizeof(*seen));
	while (train_order_next(&t, &c)) {
		uint32_t *before = mem_copy(t.batch, t.n_batch * sizeof(*before));
		assert_true(t.batch_rows <= o.batch_tokens);
		plain += micros(&t, &d);
		train_order_pack(&t);
		packed += micros(&t, &d);
		least += (int)((t.batch_rows + o.micro_tokens - 1) / o.micro_tokens);
		rows += t.batch_rows;
		for (size_t i = 0; i < t.n_batch; i++)
			seen[t.batch[i]]++;
		qsort(before, t.n_batch, sizeof(*before), by_value);
		qsort(t.batch, t.n_batch, sizeof(*before), by_value);
		assert_memory_equal(before, t.batch, t.n_batch * sizeof(*before)); /* it moves, and loses nothing */
		free(before);
	}
	assert_int_equal(c.step, t.steps);
	assert_int_equal(c.tokens, rows);
	for (size_t i = 0; i < d.n; i += pairs ? 2 : 1)
		assert_int_equal(seen[i], 3);
	assert_true(packed < plain);
	assert_true(packed <= least + least / 12); /* longest first: close to as few as there can be */
	free(seen);
	close_order(&t);
	train_data_release(&d);
}

static void test_train_order__every_unit_once_an_epoch_in_full_micro_batches(void **state)
{
	(void)state;
	check_steps(false);
	check_steps(true);
}

/* Shares are as near to one another as their units are long, and lose none; one share is the step as it was. */
static void test_train_order_pack__shares_are_of_about_one_size(void **state)
{
	struct train_data d = { 0 };
	struct train_options o;
	struct training t;
	struct train_cursor c = { 0 };

	(void)state;
	add_many(&d, 100, 4, false);
	options(&o);
	o.shares = 7;
	o.micro_tokens = 30;
	open_order(&t, &d, &o);
	while (train_order_next(&t, &c)) {
		uint32_t *before = mem_copy(t.batch, t.n_batch * sizeof(*before));
		int64_t least = INT64_MAX, most = 0;
		train_order_pack(&t);
		assert_int_equal(t.ends[6], t.n_batch);
		for (int s = 0; s < 7; s++) {
			int64_t rows = 0;
			for (size_t i = s ? t.ends[s - 1] : 0; i < t.ends[s]; i++)
				rows += rows_of(&d, t.batch[i]);
			least = rows < least ? rows : least;
			most = rows > most ? rows : most;
		}
		assert_true(most - least <= 20); /* the longest unit */
		qsort(before, t.n_batch, sizeof(*before), by_value);
		qsort(t.batch, t.n_batch, sizeof(*before), by_value);
		assert_memory_equal(before, t.batch, t.n_batch * sizeof(*before));
		free(before);
	}
	assert_true(c.step > 2);
	close_order(&t);
	train_data_release(&d);
}

/* The same steps from any place, whatever was asked before. */
static void test_train_order_next__a_cursor_names_a_place(void **state)
{
	struct train_data d = { 0 };
	struct train_options o;
	struct training t, other;
	struct train_cursor c = { 0 }, at[200];
	uint32_t first[200];
	int n = 0;

	(void)state;
	add_many(&d, 100, 2, false);
	options(&o);
	open_order(&t, &d, &o);
	for (at[0] = c; train_order_next(&t, &c); at[++n] = c)
		first[n] = t.batch[0];
	assert_true(n > 6);
	open_order(&other, &d, &o);
	for (int i = n; i-- > 0;) {
		c = at[i];
		assert_true(train_order_next(&other, &c));
		assert_int_equal(other.batch[0], first[i]);
		assert_memory_equal(&c, &at[i + 1], sizeof(c));
	}
	close_order(&t);
	close_order(&other);
	train_data_release(&d);
}

/* Weights 0.5, 1 and 2.3 of twenty units each: 10, 20 and 46 an epoch; of the first a new half every time. */
static void test_train_order__sources_come_by_their_weights(void **state)
{
	static const double weights[] = { 0.5, 1, 2.3 };
	static const int takes[] = { 10, 20, 46 };
	struct train_data d = { 0 };
	struct train_options o;
	struct training t;
	struct train_cursor c = { 0 };
	int seen[60] = { 0 }, sum[3] = { 0 }, halves = 0;

	(void)state;
	for (int s = 0; s < 3; s++) {
		train_data_source(&d, weights[s]);
		add_many(&d, 20, (uint64_t)s, false);
	}
	options(&o);
	o.epochs = 20;
	open_order(&t, &d, &o);
	assert_int_equal(t.n, 76);
	while (train_order_next(&t, &c))
		for (size_t i = 0; i < t.n_batch; i++)
			seen[t.batch[i]]++;
	for (int i = 0; i < 60; i++) {
		sum[i / 20] += seen[i];
		halves += i < 20 && seen[i] > 0;
		if (i / 20 == 1)
			assert_int_equal(seen[i], 20);
		if (i / 20 == 2)
			assert_true(seen[i] >= 40 && seen[i] <= 60);
	}
	for (int s = 0; s < 3; s++)
		assert_int_equal(sum[s], 20 * takes[s]);
	assert_int_equal(halves, 20); /* in twenty epochs everyone has had a turn */
	close_order(&t);
	train_data_release(&d);
}

static void test_train_order__a_source_is_never_rounded_away(void **state)
{
	struct train_data d = { 0 };
	struct train_options o;
	struct training t;

	(void)state;
	train_data_source(&d, 1e-3);
	add_many(&d, 3, 1, false);
	options(&o);
	open_order(&t, &d, &o);
	assert_int_equal(t.n, 1);
	close_order(&t);
	train_data_release(&d);
}

static void refuse(double weight, double epochs, const char *why)
{
	struct train_data d = { 0 };
	struct train_options o;
	struct training t = { .m = model, .o = &o, .batch_tokens = 400, .micro_tokens = 50, .shares = 1 };

	train_data_source(&d, weight);
	add_many(&d, 30, 1, false);
	options(&o);
	o.epochs = epochs;
	assert_int_equal(train_set_open(&t.set, &t, &d, "training", 400), 0);
	assert_int_equal(train_order_open(&t), ERR_INPUT);
	if (!strstr(err_text(), why))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), why);
	close_order(&t);
	train_data_release(&d);
}

static void test_train_order_open__refuses_what_has_no_end(void **state)
{
	(void)state;
	refuse(0, 1, "weight: 0");
	refuse(-1, 1, "weight: -1");
	refuse((double)NAN, 1, "weight: ");
	refuse(1e7, 1, "weight: 1e+07");
	refuse(1, 1e9, "epochs: 1e+09");
	refuse(1, (double)NAN, "epochs: ");
	refuse(1, 0, "epochs: 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_train_order__every_unit_once_an_epoch_in_full_micro_batches),
		cmocka_unit_test(test_train_order_pack__shares_are_of_about_one_size),
		cmocka_unit_test(test_train_order_next__a_cursor_names_a_place),
		cmocka_unit_test(test_train_order__sources_come_by_their_weights),
		cmocka_unit_test(test_train_order__a_source_is_never_rounded_away),
		cmocka_unit_test(test_train_order_open__refuses_what_has_no_end),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
