/* train_order.c: which examples a step takes, and which of them share a micro-batch.
 *
 * Every epoch is a shuffle of all units, by seed and epoch alone; a step takes units in that order, across the end of an
 * epoch, until batch_tokens would be passed. So the sequence of steps is a function of data, seed and sizes, and a cursor
 * of three numbers names any place in it.
 *
 * Sources have weights: of a source of n units an epoch takes weight n, rounded. It comes whole as often as that has n in
 * it; the rest are units by a draw of their own, anew in every epoch.
 *
 * A step is cut into shares where it has several (train_ranks.c): the longest unit first, each to the share that has the
 * fewest rows yet. Micro-batches are chosen inside a share, so that they change no step: the longest unit first, each into
 * the first micro-batch that has room. Sequences lie behind one another, never padded, and see only themselves. A micro-batch begins
 * with its longest unit, which did not fit into any one before: so cutting the list wherever the next one does not fit
 * gives the same micro-batches, and the list is all that has to be kept. */
#include "base/base.h"

#include <math.h>

#include "model/train_int.h"

#define MOST_SEEN 1e10 /* units, over all epochs: they are counted before step one */

/* ---- units --------------------------------------------------------------------------------------------------------- */

int train_rows(const struct train_example *e)
{
	return e->n - 1;
}

int train_counted(const struct train_example *e)
{
	int n = 0;

	for (int i = 1; i < e->n; i++)
		n += e->counts[i] != 0;
	return n;
}

static int unit_rows(const struct train_example *e)
{
	return train_rows(e) + (e->pair ? train_rows(e + 1) : 0);
}

/* What a unit adds to the number that the loss of a step is divided by: tokens that count, or pairs. */
static int unit_counted(const struct training *t, const struct train_example *e)
{
	return e->pair ? 1 : train_counted(e) + (t->o->count_first && e->counts_first);
}

static int check_length(const struct training *t, const struct train_example *e, size_t which, const char *what,
			int most_rows)
{
	if (train_rows(e) > t->m->config.context)
		return err_hint(err_set(ERR_INPUT, "%s example %zu has %d tokens, the model takes %d", what, which,
					e->n, t->m->config.context + 1),
				"shorten it, or set a maximal length for examples");
	if (train_rows(e) > most_rows)
		return err_hint(err_set(ERR_INPUT, "%s example %zu has %d tokens, a step at most %d", what, which, e->n,
					most_rows),
				"raise batch_tokens to %d or more, or shorten the example", train_rows(e));
	return 0;
}

static int check_example(const struct training *t, const struct train_data *d, size_t i, const char *what,
			 int most_rows)
{
	const struct train_example *e = &d->examples[i];
	int rc = check_length(t, e, i + 1, what, most_rows);
	char name[40];

	snprintf(name, sizeof(name), "%s example", what);
	return rc ? rc : model_check_ids(t->m, e->ids, e->n, name, i + 1);
}

static int check_form(const struct training *t, const struct train_data *d, size_t i, const char *what, int most_rows)
{
	const struct train_example *e = &d->examples[i];
	bool pairs = t->o && t->o->dpo;

	if (pairs && !e->pair)
		return err_hint(err_set(ERR_INPUT, "%s example %zu is no preference", what, i + 1),
				"objective: dpo learns from {\"prompt\",\"chosen\",\"rejected\"} lines only");
	if (!pairs && e->pair)
		return err_hint(err_set(ERR_INPUT, "%s example %zu is a preference", what, i + 1),
				"set objective: dpo, or give {\"prompt\",\"completion\"} lines");
	if (e->pair && i + 1 == d->n)
		return err_set(ERR_BUG, "a preference without its rejected answer");
	if (e->pair && unit_rows(e) > most_rows)
		return err_hint(err_set(ERR_INPUT, "both answers of %s example %zu have %d tokens, a step at most %d",
					what, i + 1, unit_rows(e), most_rows),
				"raise batch_tokens to %d or more", unit_rows(e));
	return 0;
}

/* An answer of nothing that counts says nothing about which one is better. */
static bool is_useful(const struct train_example *e)
{
	return train_counted(e) && (!e->pair || train_counted(e + 1));
}

int train_set_open(struct train_set *s, const struct training *t, const struct train_data *d, const char *what,
		   int most_rows)
{
	int rc = 0;

	if (d->n > UINT32_MAX)
		return err_set(ERR_INPUT, "more than 2^32 %s examples", what);
	*s = (struct train_set){ .data = d, .longest = 1, .units = mem_array(d->n + 1, sizeof(*s->units)) };
	for (size_t i = 0; i < d->n; i++) {
		const struct train_example *e = &d->examples[i];
		rc = check_form(t, d, i, what, most_rows);
		if (!rc && is_useful(e)) {
			rc = check_example(t, d, i, what, most_rows);
			if (!rc && e->pair)
				rc = check_example(t, d, i + 1, what, most_rows);
			s->longest = unit_rows(e) > s->longest ? unit_rows(e) : s->longest;
			s->units[s->n++] = (uint32_t)i;
		}
		if (rc)
			return rc;
		i += e->pair;
	}
	if (!s->n)
		rc = err_hint(err_set(ERR_INPUT, "no %s example has a token to learn", what),
			      "examples may have been cut before their completion: raise the maximal length");
	return rc;
}

void train_set_close(struct train_set *s)
{
	free(s->units);
	free(s->reference);
	*s = (struct train_set){ 0 };
}

static void add_example(struct pass *p, const struct train_example *e)
{
	int row = pass_add(p, e->ids, train_rows(e));

	for (int i = 1; i < e->n; i++)
		if (e->counts[i])
			pass_want(p, row + i - 1, e->ids[i]);
}

size_t train_fill(struct pass *p, const struct train_set *s, const uint32_t *units, size_t at, size_t n)
{
	pass_clear(p);
	for (; at < n; at++) {
		const struct train_example *e = &s->data->examples[units[at]];
		int rows = unit_rows(e);
		if (p->T && (!pass_fits(p, rows, rows) || (e->pair && p->n_seqs + 2 > p->size.seqs)))
			break;
		add_example(p, e);
		if (e->pair)
			add_example(p, e + 1);
	}
	return at;
}

/* ---- an epoch ------------------------------------------------------------------------------------------------------ */

static int sources_of(const struct training *t)
{
	return t->set.data->n_sources ? (int)t->set.data->n_sources : 1;
}

static double weight_of(const struct training *t, int source)
{
	return t->set.data->n_sources ? t->set.data->weights[source] : 1;
}

/* Units of a source, which lie behind one another, and how many an epoch takes: at least one, where there is any. */
static size_t source_units(const struct training *t, int source, size_t *first, size_t *takes)
{
	size_t n = 0;

	for (size_t i = 0; i < t->set.n; i++)
		if (t->set.data->examples[t->set.units[i]].source == source)
			*first = n++ ? *first : i;
	*takes = (size_t)(weight_of(t, source) * (double)n + 0.5);
	if (n && !*takes)
		*takes = 1;
	return n;
}

static size_t order_source(struct training *t, int source, int64_t epoch, size_t at)
{
	size_t first = 0, takes, n = source_units(t, source, &first, &takes);
	uint32_t *draw = mem_array(n + 1, sizeof(*draw));
	struct rng r;

	for (size_t i = 0; i < n; i++)
		draw[i] = (uint32_t)(first + i);
	if (n && takes % n) {
		rng_seed(&r, t->o->seed + 1 + (uint64_t)source, (uint64_t)epoch);
		rng_shuffle(&r, draw, n);
	}
	for (size_t i = 0; i < takes; i++)
		t->order[at + i] = i < takes - takes % n ? (uint32_t)(first + i % n) : draw[i % n];
	free(draw);
	return takes;
}

static void shuffle_epoch(struct training *t, int64_t epoch)
{
	struct rng r;
	size_t at = 0;

	if (t->order_epoch == epoch)
		return;
	for (int s = 0; s < sources_of(t); s++)
		at += order_source(t, s, epoch, at);
	rng_seed(&r, t->o->seed, (uint64_t)epoch);
	rng_shuffle(&r, t->order, t->n);
	t->order_epoch = epoch;
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

bool train_order_next(struct training *t, struct train_cursor *c)
{
	t->n_batch = 0;
	t->batch_rows = t->batch_counted = 0;
	while (c->seen < t->total) {
		if (c->at == (int64_t)t->n) {
			c->epoch++;
			c->at = 0;
		}
		shuffle_epoch(t, c->epoch);
		uint32_t unit = t->set.units[t->order[c->at]];
		const struct train_example *e = &t->set.data->examples[unit];
		if (t->n_batch && t->batch_rows + unit_rows(e) > t->batch_tokens)
			break;
		t->batch[t->n_batch++] = unit;
		t->batch_rows += unit_rows(e);
		t->batch_counted += unit_counted(t, e);
		c->at++;
		c->seen++;
	}
	if (!t->n_batch)
		return false;
	c->step++;
	c->tokens += t->batch_rows;
	return true;
}

/* Longest first; of one length, in the order of the step. Within shares and micro-batches, once they are known. */
static int in_order(const void *a, const void *b)
{
	const struct train_place *x = a, *y = b;

	if (x->share != y->share)
		return x->share < y->share ? -1 : 1;
	if (x->micro != y->micro)
		return x->micro < y->micro ? -1 : 1;
	if (x->rows != y->rows)
		return x->rows > y->rows ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

/* Each to the share with the fewest rows so far, the first of equal ones. */
static void choose_shares(struct training *t)
{
	int64_t *rows = mem_array((size_t)t->shares, sizeof(*rows));

	for (size_t i = 0; i < t->n_batch; i++) {
		int least = 0;
		for (int s = 1; s < t->shares; s++)
			least = rows[s] < rows[least] ? s : least;
		t->places[i].share = least;
		rows[least] += t->places[i].rows;
	}
	free(rows);
}

static void choose_micros(struct training *t, int share)
{
	int32_t *room = NULL;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < t->n_batch; i++) {
		struct train_place *p = &t->places[i];
		size_t micro = 0;
		if (p->share != share)
			continue;
		while (micro < n && room[micro] < p->rows)
			micro++;
		if (micro == n) {
			MEM_GROW(room, n, cap);
			room[n++] = t->micro_tokens;
		}
		room[micro] -= p->rows;
		p->micro = (int32_t)micro;
	}
	free(room);
}

void train_order_pack(struct training *t)
{
	t->ends[0] = t->n_batch;
	if (t->shares == 1 && t->batch_rows <= t->micro_tokens)
		return;
	for (size_t i = 0; i < t->n_batch; i++)
		t->places[i] = (struct train_place){ .unit = t->batch[i],
						     .rows = unit_rows(&t->set.data->examples[t->batch[i]]),
						     .at = (int32_t)i };
	qsort(t->places, t->n_batch, sizeof(*t->places), in_order);
	choose_shares(t);
	for (int s = 0; s < t->shares; s++)
		choose_micros(t, s);
	qsort(t->places, t->n_batch, sizeof(*t->places), in_order);
	for (int s = 0; s < t->shares; s++)
		t->ends[s] = 0;
	for (size_t i = 0; i < t->n_batch; i++) {
		t->batch[i] = t->places[i].unit;
		t->ends[t->places[i].share]++;
	}
	for (int s = 1; s < t->shares; s++)
		t->ends[s] += t->ends[s - 1];
}

/* ---- the whole of it ----------------------------------------------------------------------------------------------- */

static int count_epoch(struct training *t)
{
	double n = 0;

	for (int s = 0; s < sources_of(t); s++) {
		size_t first, takes;
		double weight = weight_of(t, s);
		if (!(weight > 0) || weight > 1e6)
			return err_set(ERR_INPUT, "weight: %g of a source of data; it must be above 0 and at most 1e6",
				       weight);
		source_units(t, s, &first, &takes);
		n += (double)takes;
	}
	if (n > UINT32_MAX)
		return err_set(ERR_INPUT, "weight: the weights of the data make %.0f examples an epoch", n);
	t->n = (size_t)n;
	return 0;
}

static int count_steps(struct training *t)
{
	const struct train_options *o = t->o;
	struct train_cursor c = { 0 };
	double total = ceil(o->epochs * (double)t->n - 1e-9);

	t->total = INT64_MAX;
	if (o->max_steps <= 0) {
		if (!(total >= 1) || total > MOST_SEEN)
			return err_set(ERR_INPUT, "epochs: %g of %zu examples; that must be 1 to %.0f examples",
				       o->epochs, t->n, MOST_SEEN);
		t->total = (int64_t)total;
		while (train_order_next(t, &c))
			;
	}
	t->steps = o->max_steps > 0 ? o->max_steps : c.step;
	t->warmup = o->warmup_steps >= 0 ? o->warmup_steps : (int64_t)ceil((double)t->steps * o->warmup_ratio);
	return 0;
}

int train_order_open(struct training *t)
{
	int rc = count_epoch(t);

	if (rc)
		return rc;
	t->order = mem_array(t->n, sizeof(*t->order));
	t->order_epoch = -1;
	t->batch = mem_array((size_t)t->batch_tokens, sizeof(*t->batch)); /* each unit has a row at least */
	t->places = mem_array((size_t)t->batch_tokens, sizeof(*t->places));
	t->ends = mem_array((size_t)t->shares, sizeof(*t->ends));
	return count_steps(t);
}
