/* choice.c: what a multiple_choice document is worth, from the log-likelihoods of its choices.
 *
 *	acc              the likeliest choice is right (the first of equals counts)
 *	acc_norm         the likeliest per code point of the choice; acc_bytes: per UTF-8 byte (the delimiter does not count)
 *	acc_mutual_info  the choice whose likelihood the question raises most: log P(choice | question) - log P(choice)
 *	confidence       the largest p (not in the harness)
 *	brier_score      p = softmax(log-likelihoods); sum over the choices of (p - [right])^2
 *	likelihood       log P of the right choice, of the likeliest of several
 *	f1, mcc          the pair (right choice, likeliest choice), for corpus.c
 *
 * The right answer may be no choice at all (a label out of range): every choice is then wrong, but for exact_match, which
 * counts a label below 0 from the end (exact.c), and mcc, to which it is a class; likelihood and brier_score have none, which is an
 * error. Of several right answers f1 and mcc take the likeliest choice, if it is one of them, else the first. */
#include "base/base.h"

#include <math.h>

#include "evals/metric_int.h"

static bool gold_has(const struct instance *in, size_t choice)
{
	for (size_t i = 0; i < in->n_gold; i++)
		if (in->gold[i] == (int)choice)
			return true;
	return false;
}

enum per { PER_CHOICE, PER_POINT, PER_BYTE };

static size_t best_choice(const struct outcome *o, enum per per)
{
	size_t best = 0;
	double most = 0;

	for (size_t i = 0; i < o->in->n_choices; i++) {
		const char *s = o->in->choices[i];
		size_t by = per == PER_POINT ? utf8_count(s, strlen(s)) : per == PER_BYTE ? strlen(s) : 1;
		double value = by ? o->ll[i].logprob / (double)by : -INFINITY;

		if (!i || value > most) {
			best = i;
			most = value;
		}
	}
	return best;
}

int score_acc(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	(void)m;
	out->score = o->in->n_gold ? gold_has(o->in, best_choice(o, PER_CHOICE)) : o->ll[0].greedy;
	return 0;
}

int score_acc_norm(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	(void)m;
	out->score = gold_has(o->in, best_choice(o, PER_POINT));
	return 0;
}

int score_acc_bytes(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	(void)m;
	out->score = gold_has(o->in, best_choice(o, PER_BYTE));
	return 0;
}

int score_acc_mutual_info(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	size_t best = 0;
	double most = 0;

	(void)m;
	for (size_t i = 0; i < o->in->n_choices; i++) {
		double gain = o->ll[i].logprob - o->ll_alone[i].logprob;

		if (!i || gain > most) {
			best = i;
			most = gain;
		}
	}
	out->score = gold_has(o->in, best);
	return 0;
}

int score_brier(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	double most = o->ll[0].logprob, sum = 0, brier = 0;

	if (check_right(m, o->in))
		return ERR_INPUT;
	for (size_t i = 1; i < o->in->n_choices; i++)
		most = o->ll[i].logprob > most ? o->ll[i].logprob : most;
	for (size_t i = 0; i < o->in->n_choices; i++)
		sum += exp(o->ll[i].logprob - most);
	for (size_t i = 0; i < o->in->n_choices; i++) {
		double gap = exp(o->ll[i].logprob - most) / sum - (gold_has(o->in, i) ? 1 : 0);

		brier += gap * gap;
	}
	out->score = brier;
	return 0;
}

/* How sure the model is of its choice: the largest of the softmax. Not the harness's: what calibration is drawn from. */
int score_confidence(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	double most = o->ll[0].logprob, sum = 0;

	(void)m;
	for (size_t i = 1; i < o->in->n_choices; i++)
		most = o->ll[i].logprob > most ? o->ll[i].logprob : most;
	for (size_t i = 0; i < o->in->n_choices; i++)
		sum += exp(o->ll[i].logprob - most);
	out->score = 1 / sum;
	return 0;
}

int score_likelihood(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	bool found = false;

	(void)m;
	for (size_t i = 0; i < o->in->n_choices; i++)
		if (gold_has(o->in, i) && (!found || o->ll[i].logprob > out->score)) {
			out->score = o->ll[i].logprob;
			found = true;
		}
	return found ? 0 : err_set(ERR_INPUT, "likelihood: the right answer is none of the choices");
}

/* What asks how likely the right choice is has no value where it is none: the harness ends there, too (brier_score, a label above), or
 * takes what numpy has at a negative index. */
int check_right(const struct task_metric *m, const struct instance *in)
{
	for (size_t i = 0; i < in->n_gold; i++)
		if (in->gold[i] >= 0)
			return 0;
	return err_set(ERR_INPUT, "%s: the right answer is none of the choices", m->kind->name);
}

/* Any choice may turn out to be the likeliest. */
int check_labels(const struct task_metric *m, const struct instance *in)
{
	const double labels[2] = { in->gold[0], (double)in->n_choices - 1 };

	return corpus_row_check(m->kind->aggregate, labels, 2) ? err_context(ERR_INPUT, "%s", m->kind->name) : 0;
}

int score_labels(const struct task_metric *m, const struct outcome *o, struct scored *out)
{
	size_t best = best_choice(o, PER_CHOICE);
	int right = gold_has(o->in, best) ? (int)best : o->in->gold[0];

	out->score = right == (int)best;
	out->parts[0] = right;
	out->parts[1] = (double)best;
	return corpus_row_check(m->kind->aggregate, out->parts, 2) ? err_context(ERR_INPUT, "%s", m->kind->name) : 0;
}

/* The harness reads average and does not hand it on: F1 of choices is that of label 1. */
static int f1_load(struct task_metric *m, const struct source *src, json_t *entry)
{
	const char *average = NULL;
	int rc = yaml_get_text(src->y, entry, "average", &average);

	if (!rc && average && strcmp(average, "binary") != 0)
		log_warn("%s: average: %s of %s is ignored, as in the harness: of choices it is that of label 1",
			 src->path, average, m->kind->name);
	return rc;
}

static const char *const f1_keys[] = { "average" };
const struct metric_options f1_options = { f1_keys, ARRAY_LEN(f1_keys), f1_load, NULL };
