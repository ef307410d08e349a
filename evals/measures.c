/* measures.c: what a suite will measure, known before any model has answered.
 *
 * Tasks, filters, metrics and numbers of documents all stand in the suite, so a gate can be held against them before
 * money is spent: a rule that names what nobody will measure is an error of the plan, not of the morning after. */
#include "base/base.h"

#include "evals/evals_int.h"

/* The metrics of a task, filter by filter, as task_run() lays them out. */
static int each_of_task(const struct task *t, int (*each)(const struct suite_measure *m, void *arg), void *arg)
{
	int rc = 0;

	for (size_t f = 0; f < t->n_filters && !rc; f++)
		for (size_t k = 0; k < t->n_metrics && !rc; k++) {
			struct metric m;
			struct suite_measure seen;

			metric_init(&m, &t->metrics[k], t->filters[f].name, 1);
			seen = (struct suite_measure){
				t->name,           m.name,   m.filter, m.aggregate, m.higher_is_better, m.binary,
				m.weights != NULL, t->eval.n
			};
			rc = each(&seen, arg);
			metric_release(&m);
		}
	return rc;
}

struct of_group {
	const struct group_metric *metric;
	const char *group;
	size_t n;
	int (*each)(const struct suite_measure *m, void *arg);
	void *arg;
};

static bool has_filter(const struct group_metric *m, const char *filter)
{
	for (size_t i = 0; i < m->n_filters; i++)
		if (strcmp(m->filters[i], filter) == 0)
			return true;
	return m->n_filters == 0;
}

static int give_group(const struct suite_measure *m, void *arg)
{
	const struct of_group *g = arg;
	struct suite_measure seen = *m;

	if (m->aggregate != AGGREGATE_MEAN || strcmp(m->metric, g->metric->name) != 0 ||
	    !has_filter(g->metric, m->filter))
		return 0;
	seen.task = g->group;
	seen.n = g->n;
	seen.weighted = !g->metric->by_size;
	seen.binary = m->binary && g->metric->by_size;
	return g->each(&seen, g->arg);
}

/* A group has of its first member's metrics those that it names (group.c). */
static int each_of_group(const struct suite *s, const struct group *group,
			 int (*each)(const struct suite_measure *m, void *arg), void *arg)
{
	struct of_group g = { .group = group->name, .each = each, .arg = arg };
	int rc = 0;

	for (size_t i = 0; i < group->n; i++)
		g.n += s->tasks[group->tasks[i]].eval.n;
	for (size_t k = 0; k < group->n_metrics && !rc; k++) {
		g.metric = &group->metrics[k];
		rc = each_of_task(&s->tasks[group->tasks[0]], give_group, &g);
	}
	return rc;
}

/* The clusters of a task's documents, by this member of theirs. */
static int count_clusters(const struct task *t, const char *member, struct suite_clusters *out)
{
	struct map seen;
	size_t *sizes = mem_array(t->eval.n + 1, sizeof(*sizes));
	double square = 0;
	int rc = 0;

	map_init(&seen);
	*out = (struct suite_clusters){ 0 };
	for (size_t i = 0; i < t->eval.n && !rc; i++) {
		struct sample s = { 0 };
		int64_t k = (int64_t)out->n;

		rc = doc_cluster(&s, &t->eval.docs[i], member);
		if (!rc && !map_get(&seen, s.cluster, strlen(s.cluster), &k)) {
			map_put(&seen, s.cluster, strlen(s.cluster), k);
			out->n++;
		}
		sizes[k]++;
		free(s.cluster);
	}
	for (size_t i = 0; i < out->n; i++)
		square += (double)sizes[i] * (double)sizes[i];
	out->effective = square > 0 ? (double)t->eval.n * (double)t->eval.n / square : 0;
	map_release(&seen);
	free(sizes);
	return rc;
}

int suite_count_clusters(const struct suite *s, const char *task, const char *member, struct suite_clusters *out)
{
	*out = (struct suite_clusters){ 0 };
	for (size_t i = 0; i < s->n; i++) {
		const char *by = member ? member : s->tasks[i].columns.cluster;

		if (by && strcmp(s->tasks[i].name, task) == 0)
			return count_clusters(&s->tasks[i], by, out);
	}
	return 0;
}

int suite_each_measure(const struct suite *s, int (*each)(const struct suite_measure *m, void *arg), void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < s->n && !rc; i++)
		rc = each_of_task(&s->tasks[i], each, arg);
	for (size_t i = 0; i < s->n_groups && !rc; i++)
		rc = each_of_group(s, &s->groups[i], each, arg);
	return rc;
}
