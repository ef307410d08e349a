/* train.c: the step loop: batch, forward, backward, clip, update; schedule, curve, checkpoint.
 *
 * A step takes the units that train_order.c gives it, in micro-batches of which each is as full as can be. Where it is cut
 * into shares, their gradients are computed one by one, here or on several devices at a time (train_ranks.c).
 *
 * Loss of a step: the sum of the negative log-probabilities of all tokens that count, in all its micro-batches, over
 * their number (of preferences: the mean over pairs). The number is known before the first forward, so gradients add up to
 * the right mean whatever the cut.
 *
 * The optimizer is AdamW with decoupled decay, on matrices only; the gradient is scaled by min(1, clip / (norm + 1e-6))
 * of the norm over everything that is trained: all parameters, or the factors of LoRA. With validation data, the weights
 * of the best evaluation are put aside and are what the training ends with. Learning rates follow the schedules of
 * transformers: step k (from 0) of a warm-up of w has the factor k / w, so the first step of a warm-up does not move.
 *
 * A training that was interrupted ends with the same bytes as one that was not: state and cursor are saved together,
 * and nothing else is carried from step to step. All memory is allocated before the first step. Checkpoints take at most a
 * twentieth of the time, however slow the disk is. */
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

static bool is_stopped(void)
{
	return stop_asked != 0;
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
	};
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
	if (o->max_steps < 0)
		return bad_option("max_steps", (double)o->max_steps, "0 (epochs) or above");
	if (o->batch_tokens < 1 || o->batch_tokens > 1 << 22)
		return bad_option("batch_tokens", o->batch_tokens, "in 1..4194304");
	if (o->shares < 0 || o->shares > TRAIN_SHARES_MAX)
		return bad_option("data_parallel", o->shares, "in 1..1024");
	if (o->micro_tokens < 0)
		return bad_option("micro_tokens", o->micro_tokens, "0 (batch_tokens) or above");
	if (o->eval_every < 0)
		return bad_option("eval_every", (double)o->eval_every, "0 (each epoch) or above");
	if (o->patience < 0)
		return bad_option("early_stop", o->patience, "0 (never) or above");
	if (o->patience > 0 && !o->validation)
		return err_hint(err_set(ERR_INPUT, "early_stop: there is no validation data to judge by"),
				"set validation or validation_split, or remove early_stop");
	if (o->dpo && !(o->dpo_beta > 0 && o->dpo_beta <= 1000))
		return bad_option("beta", o->dpo_beta, "above 0 and at most 1000");
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

/* The loss that is still on its way, if one is: of the micro-batch before, while the device is busy with the next, or behind the
 * last one of the step. */
static int take_loss(struct training *t)
{
	const struct pass_answer *a = &t->asked;
	int rc = a->n ? pass_wait(&t->pass, a->mark) : 0;

	for (int i = 0; !rc && i < a->n; i++)
		*t->asked_loss -= a->logprob[i];
	t->asked.n = 0;
	return rc;
}

/* Forward and backward of the micro-batch that begins at unit `at` of a share; gives the one behind it. */
static int micro_batch(struct training *t, size_t at, size_t end, size_t *behind, double *loss)
{
	struct pass *p = &t->pass;
	struct pass_answer now;
	int rc = 0;

	*behind = train_fill(p, &t->set, t->batch, at, end);
	for (int i = 0; i < p->n_rows; i++)
		p->scales[i] = (float)(1.0 / (double)t->batch_counted);
	transformer_forward(p);
	if (t->o->dpo) { /* whose gradient wants the values */
		rc = transformer_head(p, NULL, NULL);
		if (rc)
			return rc;
		train_dpo_losses(t, &t->set, t->batch + at, *behind - at, t->batch_counted, p->logprob, loss);
		pass_upload_scales(p);
	}
	transformer_back(p, &t->back, &now);
	if (t->o->dpo)
		return 0;
	rc = take_loss(t);
	t->asked = now;
	t->asked_loss = loss;
	return rc;
}

int train_not_finite(const struct training *t, const char *what, double lr)
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
static uint64_t dropout_key(const struct training *t, int64_t step, int share, size_t micro)
{
	const uint64_t id[3] = { t->o->seed, (uint64_t)step, (uint64_t)share << 32 | (uint64_t)micro };

	return checkpoint_hash(2, id, sizeof(id)) | 1;
}

/* The gradient and the loss of one share of the step, which may have nothing in it. */
static int train_share(struct training *t, int64_t step, int share)
{
	size_t at = share ? t->ends[share - 1] : 0;
	int rc = 0;

	t->back.fresh = true;
	t->ranks.losses[share] = 0;
	for (size_t micro = 0; !rc && at < t->ends[share]; micro++) {
		t->pass.dropout_key = dropout_key(t, step, share, micro);
		rc = micro_batch(t, at, t->ends[share], &at, &t->ranks.losses[share]);
	}
	return rc;
}

/* The cursor stands behind the step already; its examples are in t->batch. All of a step is asked for before anything is waited
 * for: the norm of its gradient, which the update wants. The update goes on while the host fills the next step; should it
 * fail, that one says so, or whoever reads the weights. */
static int train_one_step(struct training *t, struct train_step *s)
{
	struct backend *be = t->m->be;
	double began = clock_seconds(), nll = 0;
	int rc = 0, n = t->ranks.n, rank = t->ranks.rank;

	*s = (struct train_step){ .step = t->state.cursor.step, .steps = t->steps, .tokens = t->batch_rows };
	s->lr = t->o->learning_rate * schedule_at(t, s->step - 1);
	for (int first = 0; !rc && first < t->shares; first += n) {
		if (first + rank < t->shares)
			rc = train_share(t, s->step, first + rank);
		if (!rc)
			rc = train_ranks_add(t, first);
	}
	if (!rc)
		s->grad_norm = sqrt(be->sumsq(be, t->back.grads, t->n_trained));
	if (!rc)
		rc = be->sync(be);
	if (!rc)
		rc = take_loss(t);
	if (!rc)
		rc = train_ranks_tell(t, stop_asked, &nll);
	if (rc)
		return rc;
	s->loss = nll / (double)t->batch_counted;
	if (!isfinite(s->loss))
		return train_not_finite(t, "the loss", s->lr);
	if (!isfinite(s->grad_norm))
		return train_not_finite(t, "the gradient", s->lr);
	update(t, s->lr, s->grad_norm);
	s->tokens_total = t->state.cursor.tokens;
	s->seconds = clock_seconds() - began;
	return 0;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

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

static int open_sets(struct training *t)
{
	const struct train_options *o = t->o;
	int rc = train_set_open(&t->set, t, t->set.data, "training", t->batch_tokens), longest = t->set.longest;

	if (!rc && o->validation) {
		rc = train_set_open(&t->held, t, o->validation, "validation", INT32_MAX);
		longest = t->held.longest > longest ? t->held.longest : longest;
	}
	t->micro_tokens = train_micro_tokens(o);
	if (t->micro_tokens < longest)
		t->micro_tokens = longest;
	return rc;
}

/* Where a step has shares, a forward has room for one, and some more: shares of whole examples are not of one size. */
int train_micro_tokens(const struct train_options *o)
{
	int shares = o->shares > 1 ? o->shares : 1, each = (o->batch_tokens + shares - 1) / shares;
	int most = shares > 1 && each + each / 8 < o->batch_tokens ? each + each / 8 : o->batch_tokens;

	return o->micro_tokens && o->micro_tokens < most ? o->micro_tokens : most;
}

static int open_memory(struct training *t)
{
	int most = t->micro_tokens, context = t->m->config.context;
	const struct pass_size size = { .tokens = most,
					.rows = most,
					.seqs = most,
					.positions = context < most ? context : most,
					.keep = true,
					.checkpointing = t->o->checkpointing };
	size_t best = t->held.n && !t->o->keep_last ? t->n_trained : 0;
	const struct pass_part states[] = { { &t->state.m, t->n_trained },
					    { &t->state.v, t->n_trained },
					    { &t->state.best, best } };
	int rc = pass_open(&t->pass, t->m, &size);

	if (!rc)
		rc = back_open(&t->back, &t->pass);
	if (!rc)
		rc = train_ranks_open(t, is_stopped);
	if (!rc)
		rc = pass_carve(t->m->be, &t->states, states, ARRAY_LEN(states), "memory for the optimizer");
	if (!rc) { /* whatever memory they lie in */
		t->m->be->zero(t->m->be, t->state.m, t->n_trained * sizeof(float));
		t->m->be->zero(t->m->be, t->state.v, t->n_trained * sizeof(float));
	}
	if (!best)
		t->state.best = NULL;
	t->state.params = t->trained;
	t->state.n = t->n_trained;
	return rc;
}

static void open_references(struct training *t)
{
	struct train_set *const sets[] = { &t->set, &t->held };

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct train_set *s = sets[i];
		if (!s->n)
			continue;
		s->reference = mem_array(s->data->n, sizeof(*s->reference));
		t->state.reference[i] = s->reference;
		t->state.n_reference[i] = s->data->n;
	}
}

static int open_training(struct training *t)
{
	int rc = check_options(t->o);

	if (!rc)
		rc = choose_trained(t);
	t->batch_tokens = t->o->batch_tokens;
	t->shares = t->o->shares > 1 ? t->o->shares : 1;
	t->ranks.link = t->hooks ? t->hooks->ranks : NULL;
	t->ranks.rank = t->ranks.link ? ranks_rank(t->ranks.link) : 0;
	t->ranks.n = t->ranks.link ? ranks_n(t->ranks.link) : 1;
	if (!rc && t->ranks.n > t->shares)
		rc = err_set(ERR_INPUT, "a step of %d shares has no work for %d devices", t->shares, t->ranks.n);
	if (!rc)
		rc = open_sets(t);
	if (!rc)
		rc = train_order_open(t);
	if (!rc)
		rc = open_memory(t);
	if (!rc && t->o->dpo)
		open_references(t);
	return rc;
}

static void close_training(struct training *t)
{
	if (t->states)
		t->m->be->free(t->m->be, t->states);
	train_ranks_close(t);
	back_close(&t->back, t->m->be);
	pass_close(&t->pass);
	train_set_close(&t->set);
	train_set_close(&t->held);
	free(t->order);
	free(t->batch);
	free(t->places);
	free(t->ends);
}

static int resume(struct training *t, bool *resumed)
{
	const char *dir = t->hooks ? t->hooks->checkpoint_dir : NULL;
	const struct train_cursor *c = &t->state.cursor;
	int rc;

	rc = dir || t->ranks.link ? train_state_fingerprint(t, &t->state.fingerprint) : 0;
	if (rc || !dir)
		return rc;
	rc = train_state_read(dir, &t->state, t->m->be);
	if (rc == ERR_NOTFOUND)
		return 0;
	if (!rc && (c->at > (int64_t)t->n || c->seen > t->total || c->step > t->steps))
		return err_set(ERR_INPUT, "%s: the checkpoint does not fit this training", dir);
	*resumed = !rc;
	return rc;
}

/* What a training that does not go on from somewhere begins with. */
static int begin(struct training *t)
{
	int rc = t->o->dpo ? train_dpo_reference(t, &t->set) : 0;

	return !rc && t->o->dpo && t->held.n ? train_dpo_reference(t, &t->held) : rc;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static int save(struct training *t)
{
	const struct train_hooks *h = t->hooks;
	double began = clock_seconds();
	int rc = h->saving ? h->saving(h->arg) : 0;

	if (!rc)
		rc = train_state_write(h->checkpoint_dir, &t->state, t->m->be);
	t->saved = clock_seconds();
	t->saving = t->saved - began;
	return rc;
}

/* A checkpoint now and then is an insurance: without it, an accident goes back further, but the work itself loses nothing. It
 * is tried again when the next one is due; the older ones stay as they are. */
static void save_or_warn(struct training *t)
{
	if (!save(t))
		return;
	log_warn("step %lld: %s; the training goes on without this checkpoint", (long long)t->state.cursor.step,
		 err_text());
	err_clear();
}

static int interrupted(struct training *t)
{
	bool saves = t->hooks && t->hooks->checkpoint_dir && !t->ranks.rank;
	int rc = saves ? save(t) : 0;

	stop_asked = 0;
	if (rc)
		return err_hint(rc, "make room and start it again: it goes on from its last checkpoint, if it has one");
	rc = err_set(ERR_INTERRUPTED, "training was stopped behind step %lld of %lld", (long long)t->state.cursor.step,
		     (long long)t->steps);
	return err_hint(rc, saves ? "start it again: it goes on from here" : "start it again: it begins anew");
}

/* A twentieth of the time at most; but who asks for less than a second wants one behind every step. */
static bool time_to_save(const struct training *t)
{
	const struct train_hooks *h = t->hooks;
	double wait = clock_seconds() - t->saved;

	if (!h || !h->checkpoint_dir || t->ranks.rank || !(h->checkpoint_every_s > 0) || wait < h->checkpoint_every_s)
		return false;
	return h->checkpoint_every_s < 1 || wait >= 20 * t->saving;
}

static int after_step(struct training *t, const struct train_step *s)
{
	const struct train_hooks *h = t->hooks;
	int rc = h && h->step ? h->step(s, h->arg) : 0;

	if (rc || s->step == t->steps)
		return rc;
	if (t->ranks.link ? t->ranks.stop : stop_asked)
		return interrupted(t);
	if (!time_to_save(t))
		return 0;
	rc = t->m->be->sync(t->m->be); /* an update that fails is no matter of the checkpoint */
	if (!rc)
		save_or_warn(t);
	return rc;
}

static int train_loop(struct training *t)
{
	struct train_step s = { 0 };
	int rc = 0;

	t->saved = clock_seconds();
	while (!rc && !train_eval_impatient(t) && t->state.cursor.step < t->steps &&
	       train_order_next(t, &t->state.cursor)) {
		train_order_pack(t);
		rc = train_one_step(t, &s);
		if (!rc)
			rc = train_eval(t, &s);
		if (rc)
			return rc;
		if (s.step == 1)
			t->state.first_loss = s.loss;
		t->state.last_loss = s.loss;
		rc = after_step(t, &s);
	}
	return rc ? rc : train_eval_restore(t);
}

static void tell(const struct training *t, struct train_result *out)
{
	const struct train_state *s = &t->state;

	out->steps = s->cursor.step;
	out->tokens = s->cursor.tokens;
	out->first_loss = s->first_loss;
	out->last_loss = s->last_loss;
	out->best_step = s->best_step;
	out->best_validation = s->best_step ? s->best_loss : NAN;
	out->stopped_early = train_eval_impatient(t) && s->cursor.step < t->steps;
}

int train_run(struct model *m, const struct train_data *data, const struct train_options *o,
	      const struct train_hooks *hooks, struct train_result *out)
{
	struct training t = { .m = m, .o = o, .hooks = hooks, .set.data = data };
	struct train_result result = { 0 };
	double began = clock_seconds();
	int rc = open_training(&t);

	if (!rc)
		rc = resume(&t, &result.resumed);
	if (!rc)
		rc = train_ranks_check(&t);
	if (!rc && !result.resumed)
		rc = begin(&t);
	if (!rc)
		rc = train_loop(&t);
	tell(&t, &result);
	result.seconds = clock_seconds() - began;
	close_training(&t);
	if (out)
		*out = result;
	return rc;
}
