/* train_eval.c: losses without training: of validation data between steps, and of any data.
 *
 * Validation goes through the memory of the steps, so it asks for none of its own. The weights of the best evaluation are
 * put aside (the earlier of two that are equal), and patience counts the evaluations since; both are part of the state that
 * a resumed training goes on from. */
#include "base/base.h"

#include <math.h>

#include "model/train_int.h"

struct batch { /* of units, whose losses are asked for */
	size_t at, behind;
	struct pass_answer answer;
};

static int take_losses(struct training *t, const struct train_set *s, const struct batch *b, double *loss,
		       int64_t *counted)
{
	const struct pass_answer *a = &b->answer;
	bool dpo = t->o && t->o->dpo;
	int rc = a->n ? pass_wait(&t->pass, a->mark) : 0;

	if (rc || !a->n)
		return rc;
	if (dpo)
		train_dpo_losses(t, s, s->units + b->at, b->behind - b->at, 0, a->logprob, loss);
	for (int i = 0; !dpo && i < a->n; i++)
		*loss -= a->logprob[i];
	*counted += dpo ? (int64_t)(b->behind - b->at) : a->n;
	return 0;
}

/* Sums over all units: of the loss (a likelihood's by tokens, preferences' by pairs), and of what it is divided by. A batch is
 * looked at when the next one is asked for. */
static int sum_losses(struct training *t, const struct train_set *s, double *loss, int64_t *counted)
{
	struct pass *p = &t->pass;
	struct batch before = { 0 }, now;
	int rc = 0;

	p->dropout_key = 0;
	for (size_t at = 0; !rc && at < s->n; at = now.behind) {
		now.at = at;
		now.behind = train_fill(p, s, s->units, at, s->n);
		transformer_forward(p);
		transformer_ask(p, &now.answer, NULL, NULL);
		rc = take_losses(t, s, &before, loss, counted);
		before = now;
	}
	return rc ? rc : take_losses(t, s, &before, loss, counted);
}

/* ---- validation ---------------------------------------------------------------------------------------------------- */

static bool is_time(const struct training *t, const struct train_step *s)
{
	if (!t->held.n)
		return false;
	if (s->step == t->steps || t->state.cursor.seen == t->total)
		return true;
	return t->o->eval_every > 0 ? s->step % t->o->eval_every == 0 : t->state.cursor.at == (int64_t)t->n;
}

int train_eval(struct training *t, struct train_step *s)
{
	struct train_state *state = &t->state;
	double sum = 0;
	int64_t counted = 0;
	int rc;

	s->validation = NAN;
	if (!is_time(t, s))
		return 0;
	rc = sum_losses(t, &t->held, &sum, &counted);
	if (rc)
		return err_context(rc, "validation behind step %lld", (long long)s->step);
	s->validation = sum / (double)counted;
	if (!isfinite(s->validation))
		return train_not_finite(t, "the validation loss", s->lr);
	if (state->best_step && s->validation >= state->best_loss) {
		state->worse++;
		return 0;
	}
	state->best_step = s->step;
	state->best_loss = s->validation;
	state->worse = 0;
	if (state->best)
		t->m->be->copy(t->m->be, state->best, t->trained, t->n_trained * sizeof(float));
	return t->m->be->sync(t->m->be);
}

bool train_eval_impatient(const struct training *t)
{
	return t->o->patience > 0 && t->state.worse >= t->o->patience;
}

int train_eval_restore(struct training *t)
{
	if (t->state.best && t->state.best_step)
		t->m->be->copy(t->m->be, t->trained, t->state.best, t->n_trained * sizeof(float));
	return t->m->be->sync(t->m->be);
}

/* ---- any data ------------------------------------------------------------------------------------------------------ */

int train_loss(struct model *m, const struct train_data *data, int micro_tokens, double *loss, int64_t *tokens)
{
	struct training t = { .m = m };
	double sum = 0;
	int64_t counted = 0;
	int rc = train_set_open(&t.set, &t, data, "training", INT32_MAX);

	if (!rc) {
		int most = micro_tokens > 0 ? micro_tokens : 4096;
		most = most < t.set.longest ? t.set.longest : most;
		const struct pass_size size = { .tokens = most,
						.rows = most,
						.seqs = most,
						.positions = m->config.context < most ? m->config.context : most };
		rc = pass_open(&t.pass, m, &size);
	}
	if (!rc)
		rc = sum_losses(&t, &t.set, &sum, &counted);
	if (!rc && !isfinite(sum))
		rc = err_hint(err_set(ERR_INPUT, "the loss is not a finite number"),
			      "the weights are damaged: train again");
	if (!rc) {
		*loss = sum / (double)counted;
		if (tokens)
			*tokens = counted;
	}
	pass_close(&t.pass);
	train_set_close(&t.set);
	return rc;
}
