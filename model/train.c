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
 * of the norm over everything. Learning rates follow the schedules of transformers: step k (from 0) of a warm-up of w
 * has the factor k / w, so the first step of a warm-up does not move.
 *
 * A training that was interrupted ends with the same bytes as one that was not: state and cursor are saved together,
 * and nothing else is carried from step to step. All memory is allocated before the first step. */
#include "base/base.h"

#include <math.h>
#include <signal.h>

#include "kernels/vmath.h"
#include "model/model_int.h"

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

struct training {
	struct model *m;
	const struct train_data *data;
	const struct train_options *o;
	const struct train_hooks *hooks;
	int batch_tokens, micro_tokens;

	uint32_t *useful; /* examples with something that counts */
	uint32_t *order;  /* of this epoch: places in useful */
	size_t n;
	int64_t order_epoch, total; /* total: examples to see, over all epochs */
	uint32_t *batch;            /* examples of this step */
	size_t n_batch;
	int64_t batch_rows, batch_counted;
	int64_t steps, warmup;

	float *trained; /* all parameters, or the factors of LoRA */
	size_t n_trained, n_decayed;
	struct pass pass;
	struct back back;
	float *states; /* both Adam states */
	struct train_state state;
	double started, saved;
};

/* ---- what is trained on ------------------------------------------------------------------------------------------ */

/* An example of n tokens is n - 1 rows: the last token is only predicted. */
static int rows_of(const struct train_example *e)
{
	return e->n - 1;
}

static int counted_in(const struct train_example *e)
{
	int n = 0;

	for (int i = 1; i < e->n; i++)
		n += e->counts[i] != 0;
	return n;
}

static int check_example(const struct training *t, size_t i)
{
	const struct train_example *e = &t->data->examples[i];
	int rc = 0;

	if (rows_of(e) > t->m->config.context)
		rc = err_hint(err_set(ERR_INPUT, "training example %zu has %d tokens, the model takes %d", i + 1, e->n,
				      t->m->config.context + 1),
			      "shorten it, or set a maximal length for examples");
	else if (rows_of(e) > t->batch_tokens)
		rc = err_hint(err_set(ERR_INPUT, "training example %zu has %d tokens, a step at most %d", i + 1, e->n,
				      t->batch_tokens),
			      "raise batch_tokens to %d or more, or shorten the example", rows_of(e));
	return rc ? rc : model_check_ids(t->m, e->ids, e->n, "training example", i + 1);
}

static int choose_examples(struct training *t)
{
	int longest = 1;

	if (t->data->n > UINT32_MAX)
		return err_set(ERR_INPUT, "more than 2^32 training examples");
	t->useful = mem_array(t->data->n + 1, sizeof(*t->useful));
	for (size_t i = 0; i < t->data->n; i++) {
		const struct train_example *e = &t->data->examples[i];
		if (!counted_in(e))
			continue;
		int rc = check_example(t, i);
		if (rc)
			return rc;
		longest = rows_of(e) > longest ? rows_of(e) : longest;
		t->useful[t->n++] = (uint32_t)i;
	}
	if (!t->n)
		return err_hint(err_set(ERR_INPUT, "no training example has a token to learn"),
				"examples may have been cut before their completion: raise the maximal length");
	if (t->micro_tokens < longest)
		t->micro_tokens = longest;
	t->order = mem_array(t->n, sizeof(*t->order));
	t->order_epoch = -1;
	return 0;
}

/* ---- the order of steps ------------------------------------------------------------------------------------------ */

static void shuffle_epoch(struct training *t, int64_t epoch)
{
	struct rng r;

	if (t->order_epoch == epoch)
		return;
	for (size_t i = 0; i < t->n; i++)
		t->order[i] = (uint32_t)i;
	rng_seed(&r, t->o->seed, (uint64_t)epoch);
	rng_shuffle(&r, t->order, t->n);
	t->order_epoch = epoch;
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
		if (t->n_batch && t->batch_rows + rows_of(e) > t->batch_tokens)
			break;
		t->batch[t->n_batch++] = i;
		t->batch_rows += rows_of(e);
		t->batch_counted += counted_in(e);
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

static void add_example(struct pass *p, const struct train_example *e)
{
	int row = pass_add(p, e->ids, rows_of(e));

	for (int i = 1; i < e->n; i++)
		if (e->counts[i])
			pass_want(p, row + i - 1, e->ids[i]);
}

/* Forward and backward of one micro-batch, which begins at example `at` of the step; gives the example behind it. */
static int micro_batch(struct training *t, size_t at, size_t *behind, double *nll)
{
	struct pass *p = &t->pass;
	int rc;

	pass_clear(p);
	for (; at < t->n_batch; at++) {
		const struct train_example *e = &t->data->examples[t->batch[at]];
		if (p->T && !pass_fits(p, rows_of(e), rows_of(e)))
			break;
		add_example(p, e);
	}
	for (int i = 0; i < p->n_rows; i++)
		p->scales[i] = (float)(1.0 / (double)t->batch_counted);
	transformer_forward(p);
	rc = transformer_back(p, &t->back);
	for (int i = 0; i < p->n_rows; i++)
		*nll -= p->logprob[i];
	*behind = at;
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
		t->pass.dropout_key = dropout_key(t, s->step, micro);
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
				 o->eps,           o->clip,         o->warmup_ratio, o->epochs };
	const int64_t ints[] = {
		t->steps, t->warmup, t->batch_tokens, t->micro_tokens, o->max_steps > 0, m->config.tied
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
	for (size_t i = 0; i < t->data->n; i++) {
		const struct train_example *e = &t->data->examples[i];
		h = checkpoint_hash(h, e->ids, (size_t)e->n * sizeof(int32_t));
		h = checkpoint_hash(h, e->counts, (size_t)e->n);
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
	const struct pass_part states[] = { { &t->state.m, t->n_trained }, { &t->state.v, t->n_trained } };
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

static int train_loop(struct training *t, struct train_result *out)
{
	struct train_step s = { 0 };
	int rc = 0;

	t->started = t->saved = clock_seconds();
	while (!rc && t->state.cursor.step < t->steps && next_batch(t, &t->state.cursor)) {
		rc = train_one_step(t, &s);
		if (rc)
			break;
		if (s.step == 1)
			t->state.first_loss = s.loss;
		t->state.last_loss = s.loss;
		rc = after_step(t, &s);
	}
	out->steps = t->state.cursor.step;
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
	for (size_t i = 0; !rc && i < t->n; i++) {
		const struct train_example *e = &t->data->examples[t->useful[i]];
		if (p->T && !pass_fits(p, rows_of(e), rows_of(e)))
			rc = loss_of_batch(p, nll, counted);
		add_example(p, e);
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
