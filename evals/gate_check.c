/* gate_check.c: what the gate refuses to judge.
 *
 * It fails closed: a score that is not a number or not within its range, one id twice, a limit that every model holds or none,
 * golden samples that are not there: each an error (ERR_INPUT) that names the task and the sample or the rule, not a verdict. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"

#define SCORE_MAX 1e100 /* so that sums of squares, of any number of samples, are numbers */

int gate_check_policy(const struct gate_policy *policy)
{
	if (!(policy->confidence > 0.5 && policy->confidence < 1))
		return err_set(ERR_INPUT, "gate.confidence is %g, but must lie between 0.5 and 1", policy->confidence);
	if (policy->has_overlap && !(policy->max_overlap >= 0 && policy->max_overlap <= 1))
		return err_set(ERR_INPUT, "gate.max_overlap is %g, but must lie between 0 and 1", policy->max_overlap);
	return 0;
}

static int check_task(const struct task_result *t, const char *whose)
{
	size_t twice;
	int rc = 0;

	if (!t->n || t->n > t->n_total)
		return err_set(ERR_INPUT, "task %s of the %s has no samples", t->task, whose);
	if (!t->n_metrics)
		return err_set(ERR_INPUT, "task %s of the %s: no metric is left to judge", t->task, whose);
	twice = sample_ids_twice(t->samples, t->n);
	if (twice != SIZE_MAX)
		return err_set(ERR_INPUT, "task %s of the %s has the sample \"%.100s\" twice", t->task, whose,
			       t->samples[twice].id);
	for (size_t k = 0; k < t->n_metrics; k++)
		for (size_t i = 0; i < t->n && !rc; i++) {
			const struct metric *m = &t->metrics[k];

			if (!isfinite(m->scores[i]) ||
			    (m->weights &&
			     !(isfinite(m->weights[i]) && (m->weights[i] > 0 || (t->n_members && m->weights[i] == 0)))))
				rc = err_set(ERR_INPUT, "task %s, sample \"%.100s\": %s of the %s is not a number",
					     t->task, t->samples[i].id, m->name, whose);
			else if (fabs(m->scores[i]) > SCORE_MAX ||
				 (m->weights && m->weights[i] > 0 &&
				  (m->weights[i] > SCORE_MAX || m->weights[i] < 1 / SCORE_MAX)))
				rc = err_set(
					ERR_INPUT,
					"task %s, sample \"%.100s\": %s of the %s is %g%s: too %s to calculate with",
					t->task, t->samples[i].id, m->name, whose,
					fabs(m->scores[i]) > SCORE_MAX ? m->scores[i] : m->weights[i],
					fabs(m->scores[i]) > SCORE_MAX ? "" : " in weight",
					fabs(m->scores[i]) > SCORE_MAX || m->weights[i] > 1 ? "large" : "small");
			else if (m->binary && m->scores[i] != 0 && m->scores[i] != 1)
				rc = err_set(ERR_INPUT, "task %s, sample \"%.100s\": %s of the %s is neither 0 nor 1",
					     t->task, t->samples[i].id, m->name, whose);
		}
	return rc;
}

int gate_check_tasks(const struct task_result *const *tasks, size_t n, const char *whose)
{
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		rc = check_task(tasks[i], whose);
		for (size_t k = 0; k < i && !rc; k++)
			if (strcmp(tasks[i]->task, tasks[k]->task) == 0)
				rc = err_set(ERR_INPUT, "the %s has two tasks named %s", whose, tasks[i]->task);
	}
	return rc;
}

/* The range that a rule declares, or that the metric has by its nature: a score outside of it is a mistake. */
static bool declared_range(const struct gate_rule *rule, const struct metric *m, double *least, double *most)
{
	bool binary, brier = strcmp(m->name, "brier_score") == 0;

	*least = rule->has_range ? rule->least : 0;
	*most = rule->has_range ? rule->most : brier ? 2 : 1;
	return m->aggregate == AGGREGATE_MEAN &&
	       (rule->has_range || (metric_direction(m->name, &binary) != 0 && strcmp(m->name, "likelihood") != 0));
}

/* Limits that every model holds, or none, are mistakes: 1.5 on scores from 0 to 1, or two points written as 2. */
static int check_reach(const struct gate_rule *r, const struct metric *m)
{
	double least = 0, most = 1, size;

	if (!declared_range(r, m, &least, &most) && !m->binary)
		return 0;
	size = most - least;
	if ((r->has_min && (r->min < least || r->min > most)) || (r->has_max && (r->max < least || r->max > most)))
		return err_set(ERR_INPUT, "gate.require %s.%s: %s is %g, but the scores go from %g to %g", r->task,
			       r->metric, r->has_min && (r->min < least || r->min > most) ? "min" : "max",
			       r->has_min && (r->min < least || r->min > most) ? r->min : r->max, least, most);
	if ((r->has_drop && !r->drop_relative && r->drop > size) ||
	    (r->has_increase && !r->increase_relative && r->increase > size) ||
	    (r->has_gain && !r->gain_relative && r->gain > size))
		return err_hint(err_set(ERR_INPUT,
					"gate.require %s.%s: a change of %g is more than scores from %g to %g can show",
					r->task, r->metric,
					r->has_drop       ? r->drop
					: r->has_increase ? r->increase
							  : r->gain,
					least, most),
				size == 1 ? "the limit is a share: 0.02 is two points" : "see range");
	return 0;
}

int gate_check_rule(const struct gate_rule *r, const struct metric *m)
{
	if (r->has_drop && !m->higher_is_better)
		return err_set(ERR_INPUT,
			       "gate.require %s.%s: the metric is better when lower: use max_increase, not max_drop",
			       r->task, r->metric);
	if (r->has_increase && m->higher_is_better)
		return err_set(ERR_INPUT,
			       "gate.require %s.%s: the metric is better when higher: use max_drop, not max_increase",
			       r->task, r->metric);
	if (r->no_new_failures && !m->binary)
		return err_set(ERR_INPUT, "gate.require %s.%s: no_new_failures is for scores of 0 and 1", r->task,
			       r->metric);
	if (r->has_min && r->has_max && r->min > r->max)
		return err_set(ERR_INPUT, "gate.require %s.%s: min %g is above max %g", r->task, r->metric, r->min,
			       r->max);
	if ((r->has_min && !isfinite(r->min)) || (r->has_max && !isfinite(r->max)) ||
	    (r->has_drop && !(r->drop >= 0 && isfinite(r->drop))) ||
	    (r->has_increase && !(r->increase >= 0 && isfinite(r->increase))) ||
	    (r->has_gain && !(r->gain >= 0 && isfinite(r->gain))))
		return err_set(ERR_INPUT, "gate.require %s.%s: a limit is not a number from 0 up", r->task, r->metric);
	if (r->has_overlap && !(r->overlap >= 0 && r->overlap <= 1))
		return err_set(ERR_INPUT, "gate.require %s.%s: max_overlap must be from 0 to 1", r->task, r->metric);
	if (!r->has_min && !r->has_max && !r->has_drop && !r->has_increase && !r->has_gain && !r->has_overlap &&
	    !r->no_new_failures)
		return err_set(ERR_INPUT, "gate.require %s.%s: no limit", r->task, r->metric);
	return check_reach(r, m);
}

static int check_range(const struct gate_rule *rule, const struct task_result *t, const struct metric *m,
		       const char *whose)
{
	double least, most;

	if (!t || !m || !declared_range(rule, m, &least, &most))
		return 0;
	for (size_t i = 0; i < t->n; i++)
		if (m->scores[i] < least - 1e-12 || m->scores[i] > most + 1e-12)
			return err_set(ERR_INPUT,
				       "task %s, sample \"%.100s\": %s of the %s is %g, which is not within its range "
				       "[%g, %g]",
				       t->task, t->samples[i].id, m->name, whose, m->scores[i], least, most);
	return 0;
}

/* One side has scores of 0 and 1 only, the other a score that is no share of 1: they are not on one scale. */
static int check_scale(const struct gate_rule *rule, const struct pairing *p)
{
	double least, most;
	bool one = p->bm && p->cm->aggregate == AGGREGATE_MEAN && p->cm->binary != p->bm->binary;
	const struct task_result *t = one && p->cm->binary ? p->bt : p->ct;
	const struct metric *m = one && p->cm->binary ? p->bm : p->cm;

	if (!one || p->incomparable || declared_range(rule, m, &least, &most))
		return 0;
	for (size_t i = 0; i < t->n; i++)
		if (m->scores[i] < 0 || m->scores[i] > 1)
			return err_hint(
				err_set(ERR_INPUT,
					"task %s, sample \"%.100s\": %s of the %s is %g, and the %s's are all 0 or 1",
					t->task, t->samples[i].id, m->name, t == p->bt ? "baseline" : "candidate",
					m->scores[i], t == p->bt ? "candidate" : "baseline"),
				"if both are right, declare what scores may be, as in range: [0, 100]");
	return 0;
}

/* Golden samples that are not there protect nothing: a slip in the pattern must not look like a suite without failures. */
static int check_golden(const struct gate_rule *rule, const struct task_result *ct, const struct task_result *bt)
{
	const struct task_result *t = ct->n == ct->n_total ? ct : bt && bt->n == bt->n_total ? bt : NULL;

	if (!rule->no_new_failures || !t)
		return 0;
	for (size_t i = 0; i < t->n; i++)
		if (sample_matches(&t->samples[i], rule->no_new_failures))
			return 0;
	return err_hint(err_set(ERR_INPUT,
				"gate.require %s.%s: no_new_failures \"%.60s\" matches no id and no slice of its %zu "
				"samples",
				rule->task, rule->metric, rule->no_new_failures, t->n),
			"an id of this task is \"%.60s\"%s%.60s%s", t->samples[0].id,
			t->samples[0].slice ? ", its slice \"" : "", t->samples[0].slice ? t->samples[0].slice : "",
			t->samples[0].slice ? "\"" : "");
}

int gate_check_pair(const struct gate_rule *rule, const struct pairing *p)
{
	int rc = check_range(rule, p->ct, p->cm, "candidate");

	rc = rc ? rc : check_range(rule, p->bt, p->bm, "baseline");
	rc = rc ? rc : check_scale(rule, p);
	return rc ? rc : check_golden(rule, p->ct, p->bt);
}
