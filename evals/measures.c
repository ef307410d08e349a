/* measures.c: what a suite will measure, known before any model has answered.
 *
 * Tasks, filters, metrics and numbers of documents all stand in the suite, so a gate can be held against them before
 * money is spent: a rule that names what nobody will measure is an error of the plan, not of the morning after. */
#include "base/base.h"

#include "evals/metric_int.h"

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
	const struct suite *suite;
	const struct group *group;
	const struct group_metric *metric;
	size_t member, n; /* whose metrics go by; samples of all members */
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

static bool task_measures(const struct task *t, const char *metric, const char *filter)
{
	bool has = false, filters = false;

	for (size_t k = 0; k < t->n_metrics; k++)
		has = has || strcmp(t->metrics[k].kind->name, metric) == 0;
	for (size_t f = 0; f < t->n_filters; f++)
		filters = filters || strcmp(t->filters[f].name, filter) == 0;
	return has && filters;
}

/* What the group has of it, said at the first member that has it: group.c makes a mean, or a mean of the members' values. */
static int give_group(const struct suite_measure *m, void *arg)
{
	const struct of_group *g = arg;
	const struct group_member *members = g->group->members;
	struct suite_measure seen = *m;
	bool even = true, mean = m->aggregate == AGGREGATE_MEAN;

	if (strcmp(m->metric, g->metric->name) != 0 || !has_filter(g->metric, m->filter))
		return 0;
	for (size_t i = 0; i < g->group->n; i++) {
		bool has = task_measures(&g->suite->tasks[members[i].task], m->metric, m->filter);

		if (has && i < g->member)
			return 0;
		even = even && has && members[i].times == members[0].times;
	}
	seen.task = g->group->name;
	seen.n = g->n;
	seen.aggregate = mean ? AGGREGATE_MEAN : AGGREGATE_MEMBERS;
	seen.weighted = mean && !(g->metric->by_size && even);
	seen.binary = m->binary && mean && g->metric->by_size;
	return g->each(&seen, g->arg);
}

static int each_of_group(const struct suite *s, const struct group *group,
			 int (*each)(const struct suite_measure *m, void *arg), void *arg)
{
	struct of_group g = { .suite = s, .group = group, .each = each, .arg = arg };
	int rc = 0;

	for (size_t i = 0; i < group->n; i++)
		g.n += s->tasks[group->members[i].task].eval.n;
	for (size_t k = 0; k < group->n_metrics; k++) {
		g.metric = &group->metrics[k];
		for (g.member = 0; g.member < group->n && !rc; g.member++)
			rc = each_of_task(&s->tasks[group->members[g.member].task], give_group, &g);
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
