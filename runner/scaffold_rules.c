/* scaffold_rules.c: limits for a first gate: one rule for each task, by what its suite will measure.
 *
 * Of a task's metrics the one with 0/1 scores is taken, since its margin has a meaning: the drop that an unchanged model
 * passes in 19 of 20 runs if 5 % of its answers flip by chance, from the number of samples alone. Others get a change
 * relative to the baseline. A floor that anything passes stands in front, for the first version, which has no baseline. Of a
 * group, the group is judged and not its members; past the eighth rule they are written as a comment. */
#include "base/base.h"
#include "evals/evals.h"
#include "runner/questions.h"
#include "runner/scaffold.h"

enum { RULES_MAX = 8 };

struct pick {
	char *task, *rule; /* rule: "task.metric,filter" */
	enum aggregate aggregate;
	bool up, binary, group;
	size_t n;
};

struct picks {
	const struct suite *suite;
	struct pick *items;
	size_t n, cap;
};

static bool is_group(const struct suite *suite, const char *task)
{
	for (size_t i = 0; i < suite_tasks(suite); i++)
		if (strcmp(suite_task_name(suite, i), task) == 0)
			return false;
	return true;
}

static int pick_measure(const struct suite_measure *m, void *arg)
{
	struct picks *p = arg;
	struct pick *last = p->n ? &p->items[p->n - 1] : NULL;
	bool filtered = strcmp(m->filter, "none") != 0;

	if (last && strcmp(last->task, m->task) == 0) { /* another metric of this task: only for 0/1 scores */
		if (last->binary || !m->binary)
			return 0;
		free(last->task);
		free(last->rule);
		p->n--;
	}
	MEM_GROW(p->items, p->n, p->cap);
	p->items[p->n++] = (struct pick){ .task = mem_str(m->task),
					  .rule = mem_printf("%s.%s%s%s", m->task, m->metric, filtered ? "," : "",
							     filtered ? m->filter : ""),
					  .aggregate = m->aggregate,
					  .up = m->higher_is_better,
					  .binary = m->binary,
					  .group = is_group(p->suite, m->task),
					  .n = m->n };
	return 0;
}

static void add_rule(struct buf *out, const struct pick *p, bool comment)
{
	const char *floor = p->aggregate == AGGREGATE_MCC ? "" : "min: 0, ";

	buf_addf(out, "    %s%s: ", comment ? "# " : "", p->rule);
	if (p->binary && p->up)
		buf_addf(out, "{min: 0, max_drop: %g}", gate_propose_drop(p->n, 0.05, false, 0.95));
	else if (p->up)
		buf_addf(out, "{%smax_drop: 5%%}", floor);
	else
		buf_addf(out, "{max: %s, max_increase: 3%%}", p->aggregate == AGGREGATE_BITS ? "16" : "1e6");
	buf_addf(out, "    # %zu samples\n", p->n);
}

int scaffold_rules(struct survey *s, const char *const *paths, size_t n, struct buf *out)
{
	struct picks p = { 0 };
	bool groups = false;
	size_t written = 0;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		struct suite *suite = NULL;

		rc = questions_load(&suite, paths[i], s->tree, NULL, NULL);
		p.suite = suite;
		if (rc == 0)
			rc = suite_each_measure(suite, pick_measure, &p);
		suite_free(suite);
	}
	for (size_t i = 0; i < p.n; i++)
		groups = groups || p.items[i].group;
	for (size_t i = 0; i < p.n; i++) {
		if (rc == 0 && (!groups || p.items[i].group))
			add_rule(out, &p.items[i], written++ >= RULES_MAX);
		free(p.items[i].task);
		free(p.items[i].rule);
	}
	free(p.items);
	return rc;
}
