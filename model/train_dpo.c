/* train_dpo.c: learning from preferences, without a reward model (Rafailov et al. 2023).
 *
 *	loss = mean over pairs of -log sigmoid(z),   z = beta ((pc - pr) - (rc - rr))
 *
 * with p the log-probability that the model gives to all tokens of an answer, chosen or rejected, and r what the initial
 * model gave. The initial model's are computed once, before step one, and are all that is kept of it: they are a part of the
 * training's state.
 *
 * d loss / d p is -+ beta sigmoid(-z) for every token of an answer alike: so the backward pass is that of a weighted
 * likelihood, with weights that the forward pass has just given. The head runs twice for it. */
#include "base/base.h"

#include <math.h>

#include "kernels/vmath.h"
#include "model/train_int.h"

/* The sum over an answer's rows, which begin at *row of the wanted ones. */
static double answer_logprob(const double *logprob, const struct train_example *e, int *row)
{
	double sum = 0;

	for (int n = train_counted(e); n-- > 0; ++*row)
		sum += logprob[*row];
	return sum;
}

int train_dpo_reference(struct training *t, const struct train_set *s)
{
	struct pass *p = &t->pass;
	int rc = 0;

	p->dropout_key = 0;
	for (size_t at = 0, behind; !rc && at < s->n; at = behind) {
		int row = 0;
		behind = train_fill(p, s, s->units, at, s->n);
		transformer_forward(p);
		rc = transformer_head(p, NULL, NULL);
		for (size_t u = at; !rc && u < behind; u++) {
			const struct train_example *e = &s->data->examples[s->units[u]];
			double *to = &s->reference[s->units[u]];
			to[0] = answer_logprob(p->logprob, e, &row);
			to[1] = answer_logprob(p->logprob, e + 1, &row);
			if (!isfinite(to[0]) || !isfinite(to[1]))
				rc = err_hint(err_set(ERR_INPUT,
						      "the base model's probability of example %u is no number",
						      s->units[u] + 1),
					      "look for damaged weights in the base model");
		}
	}
	return rc;
}

/* -log sigmoid(z), without overflow at either end */
static double softplus(double minus_z)
{
	double e = vm_exp(-fabs(minus_z));

	return (minus_z > 0 ? minus_z : 0) + vm_log(1 + e);
}

static void weigh(struct pass *p, int from, int to, double weight)
{
	for (int i = from; i < to; i++)
		p->scales[i] = (float)weight;
}

void train_dpo_losses(struct training *t, const struct train_set *s, const uint32_t *units, size_t n, int64_t counted,
		      const double *logprob, double *loss)
{
	struct pass *p = &t->pass;
	double beta = t->o->dpo_beta;
	int row = 0;

	for (size_t u = 0; u < n; u++) {
		const struct train_example *e = &s->data->examples[units[u]];
		const double *reference = &s->reference[units[u]];
		int begin = row;
		double chosen = answer_logprob(logprob, e, &row);
		int middle = row;
		double rejected = answer_logprob(logprob, e + 1, &row);
		double z = beta * ((chosen - rejected) - (reference[0] - reference[1]));
		*loss += softplus(-z);
		if (!counted)
			continue;
		double pull = beta / (1 + vm_exp(z)) / (double)counted;
		weigh(p, begin, middle, pull);
		weigh(p, middle, row, -pull);
	}
}
