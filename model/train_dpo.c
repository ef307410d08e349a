/* train_dpo.c: learning from preferences, without a reward model (Rafailov et al. 2023).
 *
 *	loss = mean over pairs of -log sigmoid(z),   z = beta ((pc - pr) - (rc - rr))
 *
 * with p the log-probability that the model gives to all tokens of an answer, chosen or rejected, and r what the initial model
 * gave. The initial model's are computed once, before step one, and are all that is kept of it; a training that is
 * resumed computes them again, from the same weights.
 *
 * d loss / d p is -+ beta sigmoid(-z) for every token of an answer alike: so the backward pass is that of a weighted
 * likelihood, with weights that the forward pass has just given. The head runs twice for it. */
#include "base/base.h"

#include <math.h>

#include "kernels/vmath.h"
#include "model/train_int.h"

static int counted_rows(const struct train_example *e)
{
	int n = 0;

	for (int i = 1; i < e->n; i++)
		n += e->counts[i] != 0;
	return n;
}

/* The sum over an answer's rows, which begin at *row of the wanted ones. */
static double answer_logprob(const struct pass *p, const struct train_example *e, int *row)
{
	double sum = 0;

	for (int n = counted_rows(e); n-- > 0; ++*row)
		sum += p->logprob[*row];
	return sum;
}

static int forward(struct pass *p)
{
	transformer_forward(p);
	return transformer_head(p, NULL, NULL);
}

int train_dpo_reference(struct training *t)
{
	int rc = 0;

	t->reference = mem_array(t->data->n, sizeof(*t->reference));
	for (size_t at = 0, behind; !rc && at < t->n_useful; at = behind) {
		int row = 0;
		behind = train_fill(t, t->useful, at, t->n_useful);
		rc = forward(&t->pass);
		for (size_t u = at; !rc && u < behind; u++) {
			uint32_t i = t->useful[u];
			t->reference[i] = answer_logprob(&t->pass, &t->data->examples[i], &row);
			t->reference[i + 1] = answer_logprob(&t->pass, &t->data->examples[i + 1], &row);
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

int train_dpo_batch(struct training *t, size_t first, size_t behind, double *loss)
{
	struct pass *p = &t->pass;
	double beta = t->o->dpo_beta;
	int row = 0, rc = forward(p);

	for (size_t u = first; !rc && u < behind; u++) {
		uint32_t i = t->batch[u];
		const struct train_example *e = &t->data->examples[i];
		int begin = row;
		double chosen = answer_logprob(p, e, &row);
		int middle = row;
		double rejected = answer_logprob(p, e + 1, &row);
		double z = beta * ((chosen - rejected) - (t->reference[i] - t->reference[i + 1]));
		double pull = beta / (1 + vm_exp(z)) / (double)t->batch_counted;
		*loss += softplus(-z);
		weigh(p, begin, middle, pull);
		weigh(p, middle, row, -pull);
	}
	if (rc)
		return rc;
	pass_upload_scales(p);
	return transformer_back(p, &t->back);
}
