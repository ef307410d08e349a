/* visit.c: a suite asked bit by bit.
 *
 * suite_run() asks everything; here somebody else says which documents come next, and may look at what is known at any time.
 * Shots were drawn when the suite was read, in document order, so the order of the visit changes no prompt. What an earlier
 * visit or run has answered is taken over, sample by sample: it is never asked again. Results lie in document order. */
#include "base/base.h"

#include "evals/evals_int.h"

struct suite_visit {
	const struct suite *suite;
	struct task_result *tasks; /* one for each of the suite's, with room for every document */
	bool **have;
	size_t **rows; /* document number of each sample: its own */
	uint64_t **places, seed;
	char order[DIGEST_HEX];
	const struct eval_keep *keep;
	const struct jury *judge;
	const struct command_host *commands;
};

void suite_visit_open(struct suite_visit **out, const struct suite *s, const char *order, uint64_t seed)
{
	struct suite_visit *v = mem_alloc(sizeof(*v));

	*v = (struct suite_visit){ .suite = s, .seed = seed };
	v->tasks = mem_array(s->n, sizeof(*v->tasks));
	v->have = mem_array(s->n, sizeof(*v->have));
	v->rows = mem_array(s->n, sizeof(*v->rows));
	v->places = mem_array(s->n, sizeof(*v->places));
	snprintf(v->order, sizeof(v->order), "%s", order);
	for (size_t i = 0; i < s->n; i++) {
		size_t n = s->tasks[i].eval.n;

		task_result_begin(&v->tasks[i], &s->tasks[i], n);
		v->have[i] = mem_array(n, sizeof(**v->have));
		v->rows[i] = mem_array(n, sizeof(**v->rows));
		v->places[i] = mem_array(n, sizeof(**v->places));
		for (size_t d = 0; d < n; d++) {
			v->rows[i][d] = d;
			v->places[i][d] = visit_place(v->order, s->tasks[i].name, s->tasks[i].eval.docs[d].id);
		}
	}
	*out = v;
}

void suite_visit_free(struct suite_visit *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->suite->n; i++) {
		task_result_release(&v->tasks[i]);
		free(v->have[i]);
		free(v->rows[i]);
		free(v->places[i]);
	}
	free(v->tasks);
	free(v->have);
	free(v->rows);
	free(v->places);
	free(v);
}

int suite_visit_judge(struct suite_visit *v, const struct jury *judge, const struct command_host *commands)
{
	int rc = judge_allowed(v->suite, judge);

	v->judge = judge;
	v->commands = commands;
	return rc ? rc : commands_allowed(v->suite, commands);
}

bool suite_visit_has(const struct suite_visit *v, size_t task, size_t doc)
{
	return v->have[task][doc];
}

const struct suite *suite_visit_suite(const struct suite_visit *v)
{
	return v->suite;
}

uint64_t suite_visit_known(const struct suite_visit *v)
{
	uint64_t n = 0;

	for (size_t t = 0; t < v->suite->n; t++)
		for (size_t d = 0; d < v->tasks[t].n; d++)
			n += v->have[t][d];
	return n;
}

uint64_t suite_visit_place(const struct suite_visit *v, size_t task, size_t doc)
{
	return v->places[task][doc];
}

bool suite_visit_is_golden(const struct suite_visit *v, const struct gate_policy *policy, size_t task, size_t doc)
{
	const struct suite *s = v->suite;
	const struct task *t = &s->tasks[task];
	struct sample sample = { 0 };
	char *id = mem_printf("%s/%s", t->name, t->eval.docs[doc].id);
	bool golden;

	slice_fill(&sample, &t->columns, &t->eval.docs[doc]);
	golden = gate_is_golden(policy, t->name, t->eval.docs[doc].id, sample.slice);
	for (size_t g = 0; g < s->n_groups && !golden; g++)
		for (size_t k = 0; k < s->groups[g].n && !golden; k++)
			golden = s->groups[g].members[k].task == task &&
				 gate_is_golden(policy, s->groups[g].name, id, sample.slice);
	free(sample.slice);
	free(sample.cluster);
	free(id);
	return golden;
}

/* ---- what is known already ----------------------------------------------------------------------------------------- */

static char *text_or_null(const char *s, size_t len)
{
	return s ? mem_strn(s, len) : NULL;
}

static void sample_copy(struct sample *out, const struct sample *s, bool brief)
{
	*out = brief ? (struct sample){ 0 } : *s;
	out->id = mem_str(s->id);
	out->slice = s->slice ? mem_str(s->slice) : NULL;
	out->cluster = s->cluster ? mem_str(s->cluster) : NULL;
	if (brief)
		return;
	out->prompt = text_or_null(s->prompt, s->prompt ? strlen(s->prompt) : 0);
	out->target = text_or_null(s->target, s->target ? strlen(s->target) : 0);
	out->response = text_or_null(s->response, s->response_len);
	out->answers = s->answers ? json_incref(s->answers) : NULL;
}

static void score_copy(struct metric *out, size_t to, const struct metric *m, size_t from)
{
	out->scores[to] = m->scores[from];
	if (out->weights)
		out->weights[to] = m->weights[from];
	if (out->parts)
		memcpy(out->parts + to * out->n_parts, m->parts + from * m->n_parts, m->n_parts * sizeof(double));
}

/* Are these the metrics that the task has now? The digest says so; a stored file may say anything. */
static bool same_metrics(const struct task_result *a, const struct task_result *b)
{
	bool same = a->n_metrics == b->n_metrics;

	for (size_t k = 0; k < a->n_metrics && same; k++)
		same = strcmp(a->metrics[k].name, b->metrics[k].name) == 0 &&
		       strcmp(a->metrics[k].filter, b->metrics[k].filter) == 0 &&
		       a->metrics[k].n_parts == b->metrics[k].n_parts &&
		       !a->metrics[k].weights == !b->metrics[k].weights;
	return same;
}

void suite_visit_take(struct suite_visit *v, const struct task_result *known)
{
	struct map ids;

	map_init(&ids);
	for (size_t i = 0; i < known->n && !known->n_members; i++)
		map_put(&ids, known->samples[i].id, strlen(known->samples[i].id), (int64_t)i);
	for (size_t t = 0; t < v->suite->n; t++) {
		struct task_result *r = &v->tasks[t];
		const struct doc *docs = v->suite->tasks[t].eval.docs;
		int64_t at;

		if (strcmp(r->task, known->task) != 0 || strcmp(r->digest, known->digest) != 0 ||
		    !same_metrics(r, known))
			continue;
		for (size_t d = 0; d < r->n; d++) {
			if (v->have[t][d] || !map_get(&ids, docs[d].id, strlen(docs[d].id), &at))
				continue;
			sample_copy(&r->samples[d], &known->samples[at], false);
			for (size_t k = 0; k < r->n_metrics; k++)
				score_copy(&r->metrics[k], d, &known->metrics[k], (size_t)at);
			v->have[t][d] = true;
		}
	}
	map_release(&ids);
}

int suite_visit_keep(struct suite_visit *v, const struct eval_keep *keep)
{
	int rc = 0;

	v->keep = keep;
	for (size_t t = 0; t < v->suite->n && keep && !rc; t++) {
		const struct task *task = &v->suite->tasks[t];
		bool *had = mem_copy(v->have[t], v->tasks[t].n * sizeof(*had));

		rc = keep->restore(keep->self, &v->tasks[t], v->have[t]);
		for (size_t d = 0; d < v->tasks[t].n && !rc; d++)
			if (v->have[t][d] && !had[d])
				slice_fill(&v->tasks[t].samples[d], &task->columns, &task->eval.docs[d]);
		free(had);
	}
	return rc;
}

/* ---- asking and looking --------------------------------------------------------------------------------------------- */

int suite_visit_ask(struct suite_visit *v, const struct scorer *scorer, size_t task, const size_t *docs, size_t n,
		    uint64_t *done)
{
	const struct task *t = &v->suite->tasks[task];
	struct task_result *r = &v->tasks[task];
	struct eval_run run = { .scorer = scorer,
				.seed = v->seed,
				.done = *done,
				.keep = v->keep,
				.judge = v->judge,
				.commands = v->commands };
	const struct asked asked = { docs, v->rows[task], n };
	int rc = t->type == OUTPUT_GENERATE ? generate_until_run(&run, t, r, &asked) : loglik_run(&run, t, r, &asked);

	for (size_t i = 0; i < n && !rc; i++) {
		slice_fill(&r->samples[docs[i]], &t->columns, &t->eval.docs[docs[i]]);
		v->have[task][docs[i]] = true;
	}
	*done = run.done;
	return rc;
}

static void task_so_far(struct task_result *out, const struct suite_visit *v, size_t task, bool brief)
{
	const struct task *t = &v->suite->tasks[task];
	const struct task_result *r = &v->tasks[task];
	size_t n = 0;

	for (size_t d = 0; d < r->n; d++)
		n += v->have[task][d];
	task_result_begin(out, t, n);
	out->asked_below = UINT64_MAX;
	for (size_t d = 0, at = 0; d < r->n; d++) {
		if (v->have[task][d]) {
			sample_copy(&out->samples[at], &r->samples[d], brief);
			for (size_t k = 0; k < r->n_metrics; k++)
				score_copy(&out->metrics[k], at, &r->metrics[k], d);
			at++;
		} else if (v->places[task][d] < out->asked_below) {
			out->asked_below = v->places[task][d];
		}
	}
	if (n < r->n)
		memcpy(out->order, v->order, sizeof(out->order));
	else
		out->asked_below = 0;
	for (size_t k = 0; k < out->n_metrics && n; k++)
		metric_close(&out->metrics[k], n);
}

struct suite_result *suite_visit_result(const struct suite_visit *v, bool brief)
{
	struct suite_result *r = suite_result_new(v->suite);

	for (size_t i = 0; i < v->suite->n; i++)
		task_so_far(&r->tasks[i], v, i, brief);
	suite_result_groups(r, v->suite);
	return r;
}

void suite_visit_needs(const struct suite_visit *v, const struct suite_result *r, const enum gate_want *wants,
		       enum gate_want *needs)
{
	const struct suite *s = v->suite;

	memcpy(needs, wants, s->n * sizeof(*needs));
	for (size_t i = s->n; i < r->n; i++) /* a group needs its members */
		for (size_t g = 0; g < s->n_groups; g++)
			for (size_t k = 0; k < s->groups[g].n && strcmp(s->groups[g].name, r->tasks[i].task) == 0; k++)
				if (needs[s->groups[g].members[k].task] < wants[i])
					needs[s->groups[g].members[k].task] = wants[i];
}
