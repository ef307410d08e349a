/* train.c: the step loop: batch, forward, backward, clip, update; schedule, curve, checkpoint.
 *
 * Order. Every epoch is a shuffle of all examples, by seed and epoch alone; a step takes examples in that order, across
 * the end of an epoch, until batch_tokens would be passed. A step is cut into micro-batches in the same order. So the
 * sequence of steps is a function of data, seed and sizes, and a cursor of three numbers names any place in it.
 *
 * Loss of a step: the sum of the negative log-probabilities of all tokens that count, in all its micro-batches, over
 * their number. The number is known before the first forward, so gradients add up to the right mean whatever the cut.
 *
 * The optimizer is AdamW with decoupled decay, on matrices only; the gradient is scaled by min(1, clip / (norm + 1e-6))
 * of the norm over everything that is trained: all parameters, or the factors of LoRA. With validation data, the weights
 * of the best evaluation are put aside and are what the training ends with. Learning rates follow the schedules of transformers: step k (from 0) of a warm-up of w
 * has the factor k / w, so the first step of a warm-up does not move.
 *
 * A training that was interrupted ends with the same bytes as one that was not: state and cursor are saved together,
 * and nothing else is carried from step to step. All memory is allocated before the first step. */
#include "base/base.h"

#include <math.h>
#include <signal.h>

#include "kernels/vmath.h"
#include "model/train_int.h"

static volatile sig_atomic_t stop_asked; /* the one global: a signal handler has no other way to reach us */

void train_stop(void)
{
	stop_asked = 1;
}

void train_options_init(struct train_options *o)
{
	*o = (struct train_options){
		.learning_rate = 3e-4,
		.min_lr_ratio = 0,
		.weight_decay = 0.01,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8,
		.clip = 1.0,
		.schedule = "cosine",
		.warmup_ratio = 0.03,
		.warmup_steps = -1,
		.epochs = 1,
		.max_steps = 0,
		.batch_tokens = 4096,
		.micro_tokens = 0,
		.seed = 1234,
		.dpo_beta = 0.1,
		.lora = { .alpha = 16 },
	};
}

/* ---- what is trained on ------------------------------------------------------------------------------------------ */

static int counted_in(const struct train_example *e)
{
	int n = 0;

	for (int i = 1; i < e->n; i++)
		n += e->counts[i] != 0;
	return n;
}

/* Rows of a unit, and what the loss of a step is divided by: tokens that count, or pairs. */
static int unit_rows(const struct train_example *e)
{
	return train_rows(e) + (e->pair ? train_rows(e + 1) : 0);
}

static int unit_counted(const struct training *t, const struct train_example *e)
{
	return e->pair ? 1 : counted_in(e) + (t->o && t->o->count_first && e->counts_first);
}

static int check_example(const struct training *t, size_t i)
{
	const struct train_example *e = &t->data->examples[i];
	int rc = 0;

	if (train_rows(e) > t->m->config.context)
		rc = err_hint(err_set(ERR_INPUT, "training example %zu has %d tokens, the model takes %d", i + 1, e->n,
				      t->m->config.context + 1),
			      "shorten it, or set a maximal length for examples");
	else if (train_rows(e) > t->batch_tokens)
		rc = err_hint(err_set(ERR_INPUT, "training example %zu has %d tokens, a step at most %d", i + 1, e->n,
				      t->batch_tokens),
			      "raise batch_tokens to %d or more, or shorten the example", train_rows(e));
	return rc ? rc : model_check_ids(t->m, e->ids, e->n, "training example", i + 1);
}

static int check_form(const struct training *t, size_t i)
{
	const struct train_example *e = &t->data->examples[i];
	bool pairs = t->o && t->o->dpo;

	if (pairs && !e->pair)
		return err_hint(err_set(ERR_INPUT, "training example %zu is no preference", i + 1),
				"objective: dpo learns from {\"prompt\",\"chosen\",\"rejected\"} lines only");
	if (!pairs && e->pair)
		return err_hint(err_set(ERR_INPUT, "training example %zu is a preference", i + 1),
				"set objective: dpo, or give {\"prompt\",\"completion\"} lines");
	if (e->pair && unit_rows(e) > t->batch_tokens)
		return err_hint(err_set(ERR_INPUT, "both answers of training example %zu have %d tokens, a step at most %d",
					i + 1, unit_rows(e), t->batch_tokens),
				"raise batch_tokens to %d or more", unit_rows(e));
	return 0;
}

static int choose_examples(struct training *t)
{
	int longest = 1;

	if (t->data->n > UINT32_MAX)
		return err_set(ERR_INPUT, "more than 2^32 training examples");
	t->useful = mem_array(t->data->n + 1, sizeof(*t->useful));
	for (size_t i = 0; i < t->data->n; i++) {
		const struct train_example *e = &t->data->examples[i];
		int rc = check_form(t, i);
		if (!rc && counted_in(e))
			rc = check_example(t, i);
		if (!rc && e->pair)
			rc = check_example(t, i + 1);
		if (rc)
			return rc;
		if (counted_in(e) && (!e->pair || counted_in(e + 1))) {
			longest = unit_rows(e) > longest ? unit_rows(e) : longest;
			t->useful[t->n_useful++] = (uint32_t)i;
		}
		i += e->pair;
	}
	if (!t->n_useful)
		return err_hint(err_set(ERR_INPUT, "no training example has a token to learn"),
				"examples may have been cut before their completion: raise the maximal length");
	if (t->micro_tokens < longest)
		t->micro_tokens = longest;
	return 0;
}

/* ---- the order of steps ------------------------------------------------------------------------------------------ */

static double weight_of(const struct training *t, int source)
{
	return t->data->n_sources ? t->data->weights[source] : 1;
}

/* Units of a source, and how many of them an epoch takes: weight times as many, rounded. */
static size_t source_units(const struct training *t, int source, size_t *first, size_t *takes)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_useful; i++)
		if (t->data->examples[t->useful[i]].source == source) {
			*first = n++ ? *first : i;
		}
	*takes = (size_t)(weight_of(t, source) * (double)n + 0.5);
	return n;
}

static int sources_of(const struct training *t)
{
	return t->data->n_sources ? (int)t->data->n_sources : 1;
}

/* A source comes whole as often as its weight is whole; of the rest, some units by a draw of their own. Units of a source
 * lie behind one another. */
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

static int open_order(struct training *t)
{
	for (int s = 0; s < sources_of(t); s++) {
		size_t first, takes;
		source_units(t, s, &first, &takes);
		t->n += takes;
	}
	if (!t->n || t->n > UINT32_MAX)
		return err_set(ERR_INPUT, "data: weights that make %zu examples an epoch", t->n);
	t->order = mem_array(t->n, sizeof(*t->order));
	t->order_epoch = -1;
	return 0;
}

/* Takes the examples of the next step and moves the cursor behind them; false: there are no more. */
static bool next_batch(struct training *t, struct train_cursor *c)
{
	t->n_batch = 0;
	t->batch_rows = t->batch_counted = 0;
	while (c->seen < t->total) {
		if (c->at == (int64_t)t->n) {
			c->epoch++;
			c->at = 0;
		}
		shuffle_epoch(t, c->epoch);
		uint32_t i = t->useful[t->order[c->at]];
		const struct train_example *e = &t->data->examples[i];
		if (t->n_batch && t->batch_rows + unit_rows(e) > t->batch_tokens)
			break;
		t->batch[t->n_batch++] = i;
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

static int plan_steps(struct training *t)
{
	const struct train_options *o = t->o;
	struct train_cursor c = { 0 };

	t->total = INT64_MAX;
	if (o->max_steps <= 0) {
		double total = ceil(o->epochs * (double)t->n - 1e-9);
		if (!(total >= 1) || total > 1e15)
			return err_set(ERR_INPUT, "epochs: %g of %zu examples is nothing to train on", o->epochs, t->n);
		t->total = (int64_t)total;
		while (next_batch(t, &c))
			;
	}
	t->steps = o->max_steps > 0 ? o->max_steps : c.step;
	t->warmup = o->warmup_steps >= 0 ? o->warmup_steps : (int64_t)ceil((double)t->steps * o->warmup_ratio);
	return 0;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int bad_option(const char *name, double value, const char *want)
{
	return err_set(ERR_INPUT, "%s: %g; it must be %s", name, value, want);
}

static int check_options(const struct train_options *o)
{
	if (!(o->learning_rate > 0) || o->learning_rate > 10)
		return bad_option("learning_rate", o->learning_rate, "above 0 and at most 10");
	if (!(o->min_lr_ratio >= 0 && o->min_lr_ratio <= 1))
		return bad_option("min_lr_ratio", o->min_lr_ratio, "in 0..1");
	if (!(o->weight_decay >= 0 && o->weight_decay <= 10))
		return bad_option("weight_decay", o->weight_decay, "in 0..10");
	if (!(o->beta1 >= 0 && o->beta1 < 1))
		return bad_option("beta1", o->beta1, "in 0..1, below 1");
	if (!(o->beta2 >= 0 && o->beta2 < 1))
		return bad_option("beta2", o->beta2, "in 0..1, below 1");
	if (!(o->eps > 0 && o->eps <= 1))
		return bad_option("eps", o->eps, "above 0 and at most 1");
	if (!(o->clip >= 0))
		return bad_option("clip", o->clip, "0 (no clipping) or above");
	if (!(o->warmup_ratio >= 0 && o->warmup_ratio <= 1))
		return bad_option("warmup_ratio", o->warmup_ratio, "in 0..1");
	if (o->batch_tokens < 1 || o->batch_tokens > 1 << 22)
		return bad_option("batch_tokens", o->batch_tokens, "in 1..4194304");
	if (o->micro_tokens < 0)
		return bad_option("micro_tokens", o->micro_tokens, "0 (batch_tokens) or above");
	if (o->eval_every < 0)
		return bad_option("eval_every", (double)o->eval_every, "0 (each epoch) or above");
	if (o->patience < 0)
		return bad_option("early_stop", o->patience, "0 (never) or above");
	if (o->dpo && !(o->dpo_beta > 0 && o->dpo_beta <= 100))
		return bad_option("beta", o->dpo_beta, "above 0 and at most 100");
	if (o->dpo && o->validation)
		return err_hint(err_set(ERR_INPUT, "validation data for objective: dpo are not supported yet"),
				"leave validation out, and judge the model by its suites");
	if (!o->schedule ||
	    (strcmp(o->schedule, "constant") && strcmp(o->schedule, "linear") && strcmp(o->schedule, "cosine")))
		return err_set(ERR_INPUT, "schedule: \"%s\"; it must be constant, linear or cosine",
			       o->schedule ? o->schedule : "");
	return 0;
}

/* The factor of step k, from 0. */
static double schedule_at(const struct training *t, int64_t k)
{
	const struct train_options *o = t->o;
	double left, s, c;

	if (k < t->warmup)
		return (double)k / (double)t->warmup;
	if (!strcmp(o->schedule, "constant"))
		return 1;
	int64_t span = t->steps - t->warmup > 1 ? t->steps - t->warmup : 1;
	if (!strcmp(o->schedule, "linear")) {
		left = (double)(t->steps - k) / (double)span;
	} else {
		vm_sincos(3.141592653589793 * (double)(k - t->warmup) / (double)span, &s, &c);
		left = 0.5 * (1 + c);
	}
	left = left < 0 ? 0 : left;
	return left * (1 - o->min_lr_ratio) + o->min_lr_ratio;
}

/* ---- one step ---------------------------------------------------------------------------------------------------- */

void train_add_example(struct pass *p, const struct train_example *e)
{
	int row = pass_add(p, e->ids, train_rows(e));

	for (int i = 1; i < e->n; i++)
		if (e->counts[i])
			pass_want(p, row + i - 1, e->ids[i]);
}

size_t train_fill(struct training *t, const uint32_t *units, size_t at, size_t n)
{
	struct pass *p = &t->pass;

	pass_clear(p);
	for (; at < n; at++) {
		const struct train_example *e = &t->data->examples[units[at]];
		int rows = unit_rows(e);
		if (p->T && (!pass_fits(p, rows, rows) || (e->pair && p->n_seqs + 2 > p->size.seqs)))
			break;
		train_add_example(p, e);
		if (e->pair)
			train_add_example(p, e + 1);
	}
	return at;
}

/* Forward and backward of the micro-batch that begins at unit `at` of the step; gives the one behind it. */
static int micro_batch(struct training *t, size_t at, size_t *behind, double *nll)
{
	struct pass *p = &t->pass;
	int rc;

	*behind = train_fill(t, t->batch, at, t->n_batch);
	if (t->o->dpo)
		return train_dpo_batch(t, at, *behind, nll);
	for (int i = 0; i < p->n_rows; i++)
		p->scales[i] = (float)(1.0 / (double)t->batch_counted);
	transformer_forward(p);
	rc = transformer_back(p, &t->back);
	for (int i = 0; i < p->n_rows; i++)
		*nll -= p->logprob[i];
	return rc;
}

static int not_finite(const struct training *t, const char *what, double lr)
{
	int rc = err_set(ERR_INPUT, "training: %s of step %lld is not a finite number", what,
			 (long long)t->state.cursor.step);

	return err_hint(rc,
			"lower learning_rate (it was %g at this step)%s, or look for damaged weights in the base model",
			lr, t->o->clip > 0 ? "" : " and set clip, for example to 1.0");
}

static void update(struct training *t, double lr, double norm)
{
	const struct train_options *o = t->o;
	struct backend *be = t->m->be;
	size_t n = t->n_decayed;
	double c = o->clip > 0 ? o->clip / (norm + 1e-6) : 1;
	struct kernels_adamw how = { (float)lr,           (float)o->beta1,        (float)o->beta2,
				     (float)o->eps,       (float)o->weight_decay, (float)(c < 1 ? c : 1),
				     t->state.cursor.step };

	be->adamw(be, t->trained, t->back.grads, t->state.m, t->state.v, n, &how);
	how.decay = 0;
	be->adamw(be, t->trained + n, t->back.grads + n, t->state.m + n, t->state.v + n, t->n_trained - n, &how);
}

/* Of the masks of one micro-batch; never 0. */
static uint64_t dropout_key(const struct training *t, int64_t step, size_t micro)
{
	const uint64_t id[3] = { t->o->seed, (uint64_t)step, (uint64_t)micro };

	return checkpoint_hash(2, id, sizeof(id)) | 1;
}

/* The cursor stands behind the step already; its examples are in t->batch. */
static int train_one_step(struct training *t, struct train_step *s)
{
	struct backend *be = t->m->be;
	double began = clock_seconds(), nll = 0;
	int rc = 0;

	*s = (struct train_step){ .step = t->state.cursor.step, .steps = t->steps, .tokens = t->batch_rows };
	s->lr = t->o->learning_rate * schedule_at(t, s->step - 1);
	t->back.fresh = true;
	for (size_t at = 0, micro = 0; !rc && at < t->n_batch; micro++) {
		t->pass.dropout_key = t->o->dpo ? 0 : dropout_key(t, s->step, micro);
		rc = micro_batch(t, at, &at, &nll);
	}
	if (rc)
		return rc;
	s->loss = nll / (double)t->batch_counted;
	if (!isfinite(s->loss))
		return not_finite(t, "the loss", s->lr);
	s->grad_norm = sqrt(be->sumsq(be, t->back.grads, t->n_trained));
	if (!isfinite(s->grad_norm))
		return not_finite(t, "the gradient", s->lr);
	update(t, s->lr, s->grad_norm);
	rc = be->sync(be);
	s->tokens_total = t->state.cursor.tokens;
	s->seconds = clock_seconds() - began;
	return rc;
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

#define HASH_FIELD(h, x) checkpoint_hash((h), &(x), sizeof(x))

static uint64_t hash_data(uint64_t h, const struct train_data *data)
{
	for (size_t i = 0; i < data->n; i++) {
		const struct train_example *e = &data->examples[i];
		h = checkpoint_hash(h, e->ids, (size_t)e->n * sizeof(int32_t));
		h = checkpoint_hash(h, e->counts, (size_t)e->n);
		h = HASH_FIELD(h, e->source);
	}
	return checkpoint_hash(h, data->weights, data->n_sources * sizeof(*data->weights));
}

static int hash_weights(const struct model *m, uint64_t h, uint64_t *out)
{
	size_t largest = m->lora ? m->lora->n_params : 0;
	int rc = 0;

	for (size_t i = 0; i < m->n_tensors; i++)
		largest = m->tensors[i].count > largest ? m->tensors[i].count : largest;
	float *host = mem_try_aligned(mem_mul(largest, sizeof(float)));
	if (!host)
		return err_set(ERR_UNAVAILABLE, "no memory for %zu numbers", largest);
	for (size_t i = 0; !rc && i < m->n_tensors; i++) {
		size_t bytes = 0;
		rc = model_read_tensor(m, &m->tensors[i], host, &bytes);
		h = checkpoint_hash(h, host, bytes);
	}
	if (m->lora) {
		m->be->download(m->be, host, m->lora->params, m->lora->n_params * sizeof(float));
		rc = m->be->sync(m->be);
		h = checkpoint_hash(h, host, m->lora->n_params * sizeof(float));
	}
	free(host);
	*out = h;
	return rc;
}

/* Of everything the result depends on, the weights we begin with included. */
static int fingerprint(const struct training *t, uint64_t *out)
{
	const struct train_options *o = t->o;
	const struct model *m = t->m;
	const double reals[] = { o->learning_rate, o->min_lr_ratio, o->weight_decay, o->beta1, o->beta2,
				 o->eps,           o->clip,         o->warmup_ratio, o->epochs,
				 o->dpo_beta };
	const int64_t ints[] = {
		t->steps, t->warmup, t->batch_tokens, t->micro_tokens, o->max_steps > 0, m->config.tied, o->dpo,
		o->count_first
	};
	uint64_t h = checkpoint_hash(1, m->be->numerics, strlen(m->be->numerics));

	h = HASH_FIELD(h, reals);
	h = HASH_FIELD(h, ints);
	h = HASH_FIELD(h, o->seed);
	h = checkpoint_hash(h, o->schedule, strlen(o->schedule));
	if (m->lora) {
		h = HASH_FIELD(h, m->lora->scale);
		h = HASH_FIELD(h, m->lora->dropout);
		h = checkpoint_hash(h, m->lora->parts, m->lora->n * sizeof(*m->lora->parts));
	}
	h = checkpoint_hash(h, m->config.architecture, strlen(m->config.architecture));
	h = HASH_FIELD(h, m->config.norm_eps);
	h = HASH_FIELD(h, m->config.rope_theta);
	h = HASH_FIELD(h, m->config.rope.kind);
	h = HASH_FIELD(h, m->config.window);
	h = HASH_FIELD(h, m->config.heads);
	h = HASH_FIELD(h, m->config.kv_heads);
	for (size_t i = 0; i < m->n_tensors; i++)
		h = checkpoint_hash(h, m->tensors[i].dims, sizeof(m->tensors[i].dims));
	h = hash_data(h, t->data);
	if (o->validation) {
		const int64_t how[] = { o->eval_every, o->patience, o->keep_last };
		h = hash_data(HASH_FIELD(h, how), o->validation);
	}
	return hash_weights(m, h, out);
}

static int resume(struct training *t, bool *resumed)
{
	int rc;

	*resumed = false;
	if (!t->hooks || !t->hooks->checkpoint_dir)
		return 0;
	rc = fingerprint(t, &t->state.fingerprint);
	if (rc)
		return rc;
	rc = checkpoint_read(t->hooks->checkpoint_dir, &t->state, t->m->be);
	if (rc == ERR_NOTFOUND)
		return 0;
	if (!rc &&
	    (t->state.cursor.at > (int64_t)t->n || t->state.cursor.seen > t->total || t->state.cursor.step > t->steps))
		return err_set(ERR_INPUT, "%s: the checkpoint does not fit this training", t->hooks->checkpoint_dir);
	*resumed = !rc;
	return rc;
}

static int open_training(struct training *t)
{
	const struct pass_size size = { .tokens = t->micro_tokens,
					.rows = t->micro_tokens,
					.seqs = t->micro_tokens,
					.positions = t->m->config.context < t->micro_tokens ? t->m->config.context
											    : t->micro_tokens,
					.keep = true,
					.checkpointing = t->o->checkpointing };
	size_t best = t->o->validation && !t->o->keep_last ? t->n_trained : 0;
	const struct pass_part states[] = { { &t->state.m, t->n_trained },
					    { &t->state.v, t->n_trained },
					    { &t->state.best, best } };
	int rc = pass_open(&t->pass, t->m, &size);

	if (!rc)
		rc = back_open(&t->back, &t->pass);
	if (!rc)
		rc = pass_carve(t->m->be, &t->states, states, ARRAY_LEN(states), "memory for the optimizer");
	if (!rc) { /* whatever memory they lie in */
		t->m->be->zero(t->m->be, t->state.m, t->n_trained * sizeof(float));
		t->m->be->zero(t->m->be, t->state.v, t->n_trained * sizeof(float));
	}
	t->state.params = t->trained;
	t->state.n = t->n_trained;
	return rc;
}

static void close_training(struct training *t)
{
	if (t->states)
		t->m->be->free(t->m->be, t->states);
	back_close(&t->back, t->m->be);
	pass_close(&t->pass);
	free(t->useful);
	free(t->order);
	free(t->batch);
	free(t->reference);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static int interrupted(struct training *t)
{
	const char *dir = t->hooks ? t->hooks->checkpoint_dir : NULL;
	int rc = dir ? checkpoint_write(dir, &t->state, t->m->be) : 0;

	stop_asked = 0;
	if (rc)
		return rc;
	rc = err_set(ERR_INTERRUPTED, "training was stopped behind step %lld of %lld", (long long)t->state.cursor.step,
		     (long long)t->steps);
	return err_hint(rc, dir ? "start it again: it goes on from here" : "start it again: it begins anew");
}

static int after_step(struct training *t, const struct train_step *s)
{
	const struct train_hooks *h = t->hooks;
	int rc = h && h->step ? h->step(s, h->arg) : 0;

	if (rc)
		return rc;
	if (stop_asked && s->step < t->steps)
		return interrupted(t);
	if (h && h->checkpoint_dir && h->checkpoint_every_s > 0 && s->step < t->steps &&
	    clock_seconds() - t->saved >= h->checkpoint_every_s) {
		rc = checkpoint_write(h->checkpoint_dir, &t->state, t->m->be);
		t->saved = clock_seconds();
	}
	return rc;
}

/* ---- validation ---------------------------------------------------------------------------------------------------- */

static bool time_to_validate(const struct training *t, const struct train_step *s)
{
	if (!t->o->validation)
		return false;
	if (s->step == t->steps || t->state.cursor.seen == t->total)
		return true;
	return t->o->eval_every > 0 ? s->step % t->o->eval_every == 0 : t->state.cursor.at == (int64_t)t->n;
}

/* The loss of the validation data, if it is time; the best weights so far are put aside. */
static int validate(struct training *t, struct train_step *s)
{
	struct train_state *best = &t->state;
	int rc;

	s->validation = NAN;
	if (!time_to_validate(t, s))
		return 0;
	rc = train_loss(t->m, t->o->validation, t->micro_tokens, &s->validation, NULL);
	if (rc)
		return err_context(rc, "validation behind step %lld", (long long)s->step);
	if (best->best_step && s->validation >= best->best_loss) {
		best->worse++;
		return 0;
	}
	best->best_step = s->step;
	best->best_loss = s->validation;
	best->worse = 0;
	if (best->best)
		t->m->be->copy(t->m->be, best->best, t->trained, t->n_trained * sizeof(float));
	return t->m->be->sync(t->m->be);
}

static bool out_of_patience(const struct training *t)
{
	return t->o->patience > 0 && t->state.worse >= t->o->patience;
}

static int restore_best(struct training *t)
{
	if (!t->state.best || !t->state.best_step)
		return 0;
	t->m->be->copy(t->m->be, t->trained, t->state.best, t->n_trained * sizeof(float));
	return t->m->be->sync(t->m->be);
}

/* ---- the loop itself ----------------------------------------------------------------------------------------------- */

static int train_loop(struct training *t, struct train_result *out)
{
	struct train_step s = { 0 };
	int rc = 0;

	t->started = t->saved = clock_seconds();
	while (!rc && !out_of_patience(t) && t->state.cursor.step < t->steps && next_batch(t, &t->state.cursor)) {
		rc = train_one_step(t, &s);
		if (!rc)
			rc = validate(t, &s);
		if (rc)
			break;
		if (s.step == 1)
			t->state.first_loss = s.loss;
		t->state.last_loss = s.loss;
		rc = after_step(t, &s);
	}
	if (!rc)
		rc = restore_best(t);
	out->steps = t->state.cursor.step;
	out->best_step = t->state.best_step;
	out->best_validation = t->state.best_step ? t->state.best_loss : NAN;
	out->stopped_early = out_of_patience(t);
	out->tokens = t->state.cursor.tokens;
	out->first_loss = t->state.first_loss;
	out->last_loss = t->state.last_loss;
	out->seconds = clock_seconds() - t->started;
	return rc;
}

/* The factors of LoRA, else all parameters: matrices first, which decay. Factors are matrices. */
static int choose_trained(struct training *t)
{
	const struct model *m = t->m;

	if (!m->lora && !m->params)
		return err_set(ERR_BUG, "the model is frozen and has no factors to train");
	t->trained = m->lora ? m->lora->params : m->params;
	t->n_trained = m->lora ? m->lora->n_params : m->n_params;
	t->n_decayed = m->lora ? t->n_trained : m->n_decayed;
	return 0;
}

static int prepare(struct training *t)
{
	int rc = check_options(t->o);

	if (!rc)
		rc = choose_trained(t);
	if (rc)
		return rc;
	t->batch_tokens = t->o->batch_tokens;
	t->micro_tokens =
		t->o->micro_tokens && t->o->micro_tokens < t->batch_tokens ? t->o->micro_tokens : t->batch_tokens;
	rc = choose_examples(t);
	if (rc)
		return rc;
	rc = open_order(t);
	if (rc)
		return rc;
	t->batch = mem_array((size_t)t->batch_tokens, sizeof(*t->batch)); /* each example has a row at least */
	return plan_steps(t);
}

int train_run(struct model *m, const struct train_data *data, const struct train_options *o,
	      const struct train_hooks *hooks, struct train_result *out)
{
	struct training t = { .m = m, .data = data, .o = o, .hooks = hooks };
	struct train_result result = { 0 };
	int rc = prepare(&t);

	if (!rc)
		rc = open_training(&t);
	if (!rc && o->dpo) /* before a resume changes the weights */
		rc = train_dpo_reference(&t);
	if (!rc)
		rc = resume(&t, &result.resumed);
	if (!rc)
		rc = train_loop(&t, &result);
	close_training(&t);
	if (out)
		*out = result;
	return rc;
}

/* ---- loss without training --------------------------------------------------------------------------------------- */

static int loss_of_batch(struct pass *p, double *nll, int64_t *counted)
{
	transformer_forward(p);
	int rc = transformer_head(p, NULL, NULL);

	for (int i = 0; i < p->n_rows; i++)
		*nll -= p->logprob[i];
	*counted += p->n_rows;
	pass_clear(p);
	return rc;
}

static int loss_of_data(struct training *t, double *nll, int64_t *counted)
{
	struct pass *p = &t->pass;
	int rc = 0;

	pass_clear(p);
	for (size_t i = 0; !rc && i < t->n_useful; i++) {
		const struct train_example *e = &t->data->examples[t->useful[i]];
		if (p->T && !pass_fits(p, train_rows(e), train_rows(e)))
			rc = loss_of_batch(p, nll, counted);
		train_add_example(p, e);
	}
	return rc ? rc : loss_of_batch(p, nll, counted);
}

int train_loss(struct model *m, const struct train_data *data, int micro_tokens, double *loss, int64_t *tokens)
{
	struct training t = { .m = m, .data = data, .batch_tokens = INT32_MAX };
	double nll = 0;
	int64_t counted = 0;
	int rc;

	t.micro_tokens = micro_tokens > 0 ? micro_tokens : 4096;
	rc = choose_examples(&t);
	if (!rc) {
		const struct pass_size size = { .tokens = t.micro_tokens,
						.rows = t.micro_tokens,
						.seqs = t.micro_tokens,
						.positions = m->config.context < t.micro_tokens ? m->config.context
												: t.micro_tokens };
		rc = pass_open(&t.pass, m, &size);
	}
	if (!rc)
		rc = loss_of_data(&t, &nll, &counted);
	if (!rc && !isfinite(nll))
		rc = err_hint(err_set(ERR_INPUT, "the loss is not a finite number"),
			      "the weights are damaged: train again");
	if (!rc) {
		*loss = nll / (double)counted;
		if (tokens)
			*tokens = counted;
	}
	pass_close(&t.pass);
	free(t.useful);
	free(t.order);
	return rc;
}
