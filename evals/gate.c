/* gate.c: may this model pass? A pure function of policy, candidate and baseline.
 *
 * Every limit of every rule is judged on its own (gate_rule.c); the whole is the worst of them:
 *	any FAIL -> FAIL; else any INCOMPARABLE -> INCOMPARABLE; else any INCONCLUSIVE -> INCONCLUSIVE; else PASS
 * Requiring all rules at once needs no correction for their number: it can only make passing harder.
 *
 * Without a baseline the limits on change cannot be judged. no_baseline says what then: floors (the min and max rules
 * decide; where there are none, NO_BASELINE blocks), block, or pass (NO_BASELINE that does not block). A floor that
 * fails is FAIL in each case. An identical candidate passes its limits on change by identity; floors are still held
 * against it. A verdict that blocks is exit 1 for FAIL, 2 for the others.
 *
 * Watched metrics never decide: they raise an alarm when the one-sided p-value of "worse", by Holm's correction for
 * the length of the list, is at most 1 - confidence. Every other metric that pairs is shown.
 *
 * What comes in is checked first (gate_check.c): the gate fails closed. */
#include "base/base.h"

#include <assert.h>
#include <math.h>

#include "evals/gate_int.h"
#include "evals/stats_int.h"

static const char *const verdicts[] = { "ERROR", "PASS", "FAIL", "INCONCLUSIVE", "NO_BASELINE", "INCOMPARABLE" };

const char *verdict_name(enum verdict v)
{
	return verdicts[v];
}

int verdict_parse(enum verdict *out, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		if (strcmp(verdicts[i], name) == 0) {
			*out = (enum verdict)i;
			return 0;
		}
	return err_set(ERR_INPUT, "\"%.60s\" is no verdict", name);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int gate_find_metric(const struct gate_input *in, const char *task, const char *metric, const char *filter,
		     const struct task_result **ct, const struct metric **cm)
{
	const char **names = mem_array(in->n_candidate + 1, sizeof(*names)), *near;
	struct buf have = BUF_INIT(1024);
	int rc = 0;

	*ct = NULL;
	*cm = NULL;
	for (size_t i = 0; i < in->n_candidate; i++) {
		names[i] = in->candidate[i]->task;
		if (strcmp(names[i], task) == 0)
			*ct = in->candidate[i];
	}
	near = opt_nearest(task, names, in->n_candidate);
	if (*ct)
		*cm = task_result_metric(*ct, metric, filter);
	if (!*ct) {
		rc = err_set(ERR_INPUT, "the gate names the task \"%s\", which nobody measured%s%s%s", task,
			     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
		err_hint(rc, "is its suite listed under suites?");
	} else if (!*cm) {
		for (size_t i = 0; i < (*ct)->n_metrics; i++)
			buf_addf(&have, "%s%s%s%s", i ? ", " : "", (*ct)->metrics[i].name,
				 strcmp((*ct)->metrics[i].filter, "none") ? "," : "",
				 strcmp((*ct)->metrics[i].filter, "none") ? (*ct)->metrics[i].filter : "");
		rc = err_set(ERR_INPUT, "the gate names %s%s%s of task %s, which has %s", metric, filter ? "," : "",
			     filter ? filter : "", task, buf_str(&have));
	}
	buf_release(&have);
	free(names);
	return rc;
}

static struct gate_result_rule *row_add(struct gate_result *r)
{
	r->rules = mem_resize(r->rules, (r->n + 1) * sizeof(*r->rules));
	r->rules[r->n] = (struct gate_result_rule){ 0 };
	return &r->rules[r->n++];
}

/* Does every sample name its cluster? A rule that wants clusters is not judged without, and half of them are none. */
static int find_clusters(const struct gate_rule *rule, const struct task_result *t, bool population, bool *clustered)
{
	size_t named = 0;

	for (size_t i = 0; i < t->n; i++)
		named += t->samples[i].cluster ? 1 : 0;
	*clustered = named == t->n;
	if (!*clustered && rule->cluster)
		return err_set(ERR_INPUT,
			       "gate.require %s.%s clusters by %s, which is not known of every sample of the candidate",
			       rule->task, rule->metric, rule->cluster);
	if (named && !*clustered && population)
		return err_set(ERR_INPUT,
			       "task %s names a cluster for %zu of %zu samples: give one to every sample, or to none",
			       t->task, named, t->n);
	return 0;
}

/* The samples of a candidate in the order of the visit, up to the first that is missing. */
struct visited {
	const char *order;
	struct visit *visits;
	size_t n;
	bool *visited, partial;
};

static void visited_release(struct visited *v)
{
	free(v->visits);
	free(v->visited);
	*v = (struct visited){ 0 };
}

/* Bets on an order that is not kept are worth nothing: every sample of the baseline below the mark must be there. */
static int check_order(const struct visited *v, const struct task_result *ct, const struct pairing *pair)
{
	size_t below = 0;

	if (!v->partial || !pair->bm || pair->incomparable)
		return 0;
	for (size_t i = 0; i < pair->bt->n; i++)
		below += result_place(pair->bt, v->order, i) < ct->asked_below;
	return below == v->n ? 0
			     : err_set(ERR_INPUT, "task %s: %zu of the %zu samples that its order puts first are there",
				       ct->task, v->n, below);
}

static int visited_open(struct visited *v, const struct task_result *ct, const struct gate_input *in)
{
	const char *order = in->order ? in->order : *ct->order ? ct->order : NULL;

	*v = (struct visited){ .order = order, .partial = order && *ct->order && ct->n < ct->n_total };
	if (!order || (ct->n < ct->n_total && !v->partial)) {
		v->order = NULL;
		return 0;
	}
	if (*ct->order && v->partial && strcmp(order, ct->order) != 0)
		return err_set(ERR_INPUT, "task %s was visited in another order", ct->task);
	v->visits = mem_array(ct->n, sizeof(*v->visits));
	v->visited = mem_array(ct->n, sizeof(*v->visited));
	v->n = result_visits(ct, order, v->partial ? ct->asked_below : UINT64_MAX, v->visits);
	for (size_t i = 0; i < v->n; i++)
		v->visited[v->visits[i].index] = true;
	return 0;
}

static struct judge judge_new(const struct visited *v, const struct gate_policy *policy, const struct gate_input *in,
			      const struct pairing *pair)
{
	return (struct judge){ .in = in,
			       .pair = pair,
			       .confidence = policy->confidence,
			       .population = policy->population,
			       .order = v->order,
			       .visits = v->visits,
			       .n_visits = v->n,
			       .visited = v->visited,
			       .partial = v->partial };
}

static int judge_rule(struct gate_result *out, const struct gate_policy *policy, const struct gate_rule *rule,
		      const struct gate_input *in, bool brief)
{
	const struct task_result *ct;
	const struct metric *cm;
	struct pairing pair;
	struct visited v = { 0 };
	bool clustered;
	int rc = gate_find_metric(in, rule->task, rule->metric, rule->filter, &ct, &cm);

	rc = rc ? rc : gate_check_rule(rule, cm);
	rc = rc ? rc : find_clusters(rule, ct, policy->population, &clustered);
	rc = rc ? rc : pairing_open(&pair, in, ct, cm);
	if (rc)
		return rc;
	rc = visited_open(&v, ct, in);
	rc = rc ? rc : check_order(&v, ct, &pair);
	rc = rc ? rc : gate_check_pair(rule, &pair);
	for (int kind = LIMIT_MIN; kind < LIMIT_KINDS && !rc; kind++) {
		struct judge j = judge_new(&v, policy, in, &pair);

		j.rule = rule;
		j.kind = (enum limit_kind)kind;
		j.clustered = clustered;
		j.brief = brief;
		if (limit_present(rule, j.kind))
			rc = gate_rule_judge(row_add(out), &j);
	}
	visited_release(&v);
	pairing_close(&pair);
	return rc;
}

/* The limit on a task's overlap: of the rules that name it the strictest, else the one for all. */
static bool overlap_limit(const struct gate_policy *policy, const char *task, double *limit)
{
	bool has = policy->has_overlap, own = false;

	*limit = policy->max_overlap;
	for (size_t k = 0; k < policy->n; k++) {
		const struct gate_rule *r = &policy->rules[k];

		if (!r->has_overlap || strcmp(r->task, task))
			continue;
		*limit = own ? fmin(*limit, r->overlap) : r->overlap;
		has = own = true;
	}
	return has;
}

static void judge_overlap(struct gate_result *out, const struct gate_policy *policy, const struct gate_input *in)
{
	double limit;

	for (size_t i = 0; i < in->n_candidate; i++)
		if (overlap_limit(policy, in->candidate[i]->task, &limit))
			gate_rule_overlap(row_add(out), in->candidate[i]->task, limit, in);
}

static void judge_limits(struct gate_result *out, const struct gate_policy *policy, const struct gate_input *in)
{
	struct gate_result_rule rows[GATE_LIMITS_MAX];
	size_t n = gate_limits_judge(rows, &policy->limits, in->usage);

	for (size_t i = 0; i < n; i++)
		*row_add(out) = rows[i];
}

char *gate_overlap_broken(const struct gate_policy *policy, const struct gate_input *in)
{
	struct gate_result_rule row;
	char *text = NULL;
	double limit;

	for (size_t i = 0; i < in->n_overlap && !text; i++) {
		if (!overlap_limit(policy, in->overlap[i].task, &limit))
			continue;
		gate_rule_overlap(&row, in->overlap[i].task, limit, in);
		if (row.verdict == VERDICT_FAIL)
			text = mem_printf("%s.%s: %s", row.task, row.metric, row.explanation);
		gate_rule_release(&row);
	}
	return text;
}

static int badness(enum verdict v)
{
	static const enum verdict order[] = { VERDICT_ERROR,        VERDICT_FAIL,        VERDICT_INCOMPARABLE,
					      VERDICT_INCONCLUSIVE, VERDICT_NO_BASELINE, VERDICT_PASS };
	int i = 0;

	while (order[i] != v)
		i++;
	return i;
}

/* Stable: rules of one verdict stay in the policy's order. */
static void sort_worst_first(struct gate_result_rule *rows, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct gate_result_rule row = rows[i];
		size_t k = i;

		for (; k && badness(rows[k - 1].verdict) > badness(row.verdict); k--)
			rows[k] = rows[k - 1];
		rows[k] = row;
	}
}

/* ---- watched and shown ------------------------------------------------------------------------------------------- */

static bool has_row(const struct gate_result *r, const struct task_result *t, const struct metric *m)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->rules[i].task, t->task) == 0 && strcmp(r->rules[i].metric, m->name) == 0 &&
		    strcmp(r->rules[i].filter, m->filter) == 0)
			return true;
	return false;
}

static void raise_alarms(struct gate_result *out, size_t first, const double *p, const char *const *methods,
			 double confidence)
{
	size_t n = out->n - first;
	double *adjusted = mem_array(n + 1, sizeof(*adjusted));

	stats_holm(p, n, adjusted);
	for (size_t i = 0; i < n; i++) {
		struct gate_result_rule *row = &out->rules[first + i];
		char *text;

		if (adjusted[i] > 1 - confidence)
			continue;
		text = mem_printf("alarm: %s; worse with p = %.2g (%s, one-sided, Holm over %zu watched)",
				  row->explanation, adjusted[i], methods[i], n);
		free(row->explanation);
		row->explanation = text;
		row->verdict = VERDICT_FAIL;
	}
	free(adjusted);
}

static int add_watched(struct gate_result *out, const struct gate_policy *policy, const struct gate_input *in)
{
	double *p = mem_array(policy->n_watch + 1, sizeof(*p));
	const char **methods = mem_array(policy->n_watch + 1, sizeof(*methods));
	size_t first = out->n;
	int rc = 0;

	for (size_t i = 0; i < policy->n_watch && !rc; i++) {
		char *task = NULL, *metric = NULL, *filter = NULL;
		const struct task_result *ct;
		const struct metric *cm;
		struct pairing pair;
		struct visited v = { 0 };

		if (!gate_name_split(policy->watch[i], &task, &metric, &filter))
			rc = err_set(ERR_INPUT, "gate.watch: \"%.100s\" is not task.metric", policy->watch[i]);
		rc = rc ? rc : gate_find_metric(in, task, metric, filter, &ct, &cm);
		rc = rc ? rc : pairing_open(&pair, in, ct, cm);
		if (!rc) {
			rc = visited_open(&v, ct, in);
			if (!rc && pair.n && !pair.incomparable) {
				struct judge j = judge_new(&v, policy, in, &pair);

				p[out->n - first] = v.partial ? gate_early_worse(&j, &methods[out->n - first])
							      : pairing_p_worse(&pair, &methods[out->n - first]);
				gate_rule_show(row_add(out), &pair, policy->confidence, "watched");
			}
			visited_release(&v);
			pairing_close(&pair);
		}
		free(task);
		free(metric);
		free(filter);
	}
	if (!rc)
		raise_alarms(out, first, p, methods, policy->confidence);
	free(p);
	free(methods);
	return rc;
}

static int add_shown(struct gate_result *out, const struct gate_policy *policy, const struct gate_input *in)
{
	int rc = 0;

	for (size_t i = 0; i < in->n_candidate && !rc; i++)
		for (size_t k = 0; k < in->candidate[i]->n_metrics && !rc; k++) {
			const struct task_result *t = in->candidate[i];
			struct pairing pair;

			if (has_row(out, t, &t->metrics[k]))
				continue;
			rc = pairing_open(&pair, in, t, &t->metrics[k]);
			if (!rc && pair.n && !pair.incomparable)
				gate_rule_show(row_add(out), &pair, policy->confidence, "shown");
			if (!rc)
				pairing_close(&pair);
		}
	return rc;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

struct tally {
	size_t gated, of[ARRAY_LEN(verdicts)], floors;
};

/* By the limit behind the last colon; names stand before it. */
static bool row_is_floor(const struct gate_result_rule *row)
{
	const char *limit = strrchr(row->rule, ':');

	return limit && (strncmp(limit, ": min ", 6) == 0 || strncmp(limit, ": max ", 6) == 0);
}

static struct tally count_rows(const struct gate_result *r)
{
	struct tally t = { 0 };

	for (size_t i = 0; i < r->n && r->rules[i].gated; i++) {
		t.gated++;
		t.of[r->rules[i].verdict]++;
		t.floors += row_is_floor(&r->rules[i]);
	}
	return t;
}

static enum verdict combine(const struct tally *t, const struct gate_policy *policy, const struct gate_input *in)
{
	bool none = !in->baseline && !in->identical && !in->incomparable;

	if (t->of[VERDICT_FAIL])
		return VERDICT_FAIL;
	if (t->of[VERDICT_INCOMPARABLE])
		return VERDICT_INCOMPARABLE;
	if (none && t->gated && policy->no_baseline == GATE_BLOCK)
		return VERDICT_NO_BASELINE;
	if (t->of[VERDICT_INCONCLUSIVE])
		return VERDICT_INCONCLUSIVE;
	if (t->of[VERDICT_NO_BASELINE] && (policy->no_baseline != GATE_FLOORS || !t->floors))
		return VERDICT_NO_BASELINE;
	return VERDICT_PASS;
}

/* A test that has been tried too often proves nothing; arithmetic does, however often. */
static bool is_exhausted(const struct tally *t, const struct gate_policy *policy, const struct gate_input *in)
{
	return in->exhausted && policy->population && t->gated && !(in->identical && !in->incomparable);
}

static bool verdict_blocks(enum verdict v, const struct gate_policy *policy, const struct gate_input *in)
{
	switch (v) {
	case VERDICT_PASS:
		return false;
	case VERDICT_INCONCLUSIVE:
		return (in->pull_request ? policy->inconclusive_pull_request : policy->inconclusive_push) != GATE_WARN;
	case VERDICT_NO_BASELINE:
		return policy->no_baseline != GATE_PASS_THROUGH;
	default: /* FAIL; INCOMPARABLE: whoever could rescore has done so before asking */
		return true;
	}
}

/* "intents.acc dropped by …": the first row of that verdict. */
static char *row_sentence(const struct gate_result *r, enum verdict v)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->rules[i].gated && r->rules[i].verdict == v)
			return mem_printf("%s.%s: %s", r->rules[i].task, r->rules[i].metric, r->rules[i].explanation);
	return mem_str("");
}

static char *floors_text(const struct gate_result *r)
{
	struct buf out = BUF_INIT(2048);
	size_t said = 0;

	for (size_t i = 0; i < r->n && r->rules[i].gated && said < 5; i++)
		if (row_is_floor(&r->rules[i]))
			buf_addf(&out, "%s%s is %.4g", said++ ? "; " : "", r->rules[i].rule, r->rules[i].candidate);
	return buf_take(&out);
}

static char *pass_sentence(const struct gate_result *r, const struct tally *t, const struct gate_input *in)
{
	char *floors, *text;

	if (!t->gated)
		return mem_str("no gate configured");
	if (in->identical && !in->incomparable)
		return t->floors
			       ? mem_printf("same weights, tokenizer, prompt and questions as the baseline: nothing to "
					    "compare; %zu floor%s hold%s",
					    t->floors, t->floors == 1 ? "" : "s", t->floors == 1 ? "s" : "")
			       : mem_str("same weights, tokenizer, prompt and questions as the baseline: nothing to "
					 "compare");
	if (t->of[VERDICT_NO_BASELINE]) {
		floors = floors_text(r);
		text = mem_printf("no baseline yet: floors hold (%s)", floors);
		free(floors);
		return text;
	}
	if (t->gated == 1)
		return row_sentence(r, VERDICT_PASS);
	return mem_printf("all %zu rules hold", t->gated);
}

static char *sentence(const struct gate_result *r, const struct tally *t, const struct gate_policy *policy,
		      const struct gate_input *in)
{
	char *first, *text;

	if (r->verdict == VERDICT_PASS)
		return pass_sentence(r, t, in);
	if (r->verdict == VERDICT_NO_BASELINE)
		return mem_printf(
			"there is no baseline%s%s to compare with%s", policy->baseline ? " " : "",
			policy->baseline ? policy->baseline : "",
			policy->no_baseline == GATE_FLOORS ? ", and the gate has no min or max rule to decide by" : "");
	first = row_sentence(r, r->verdict);
	if (t->of[r->verdict] == 1)
		return first;
	text = mem_printf("%zu of %zu rules %s; first %s", t->of[r->verdict], t->gated,
			  r->verdict == VERDICT_FAIL           ? "fail"
			  : r->verdict == VERDICT_INCOMPARABLE ? "cannot be compared"
							       : "are undecided",
			  first);
	free(first);
	return text;
}

int gate_decide(struct gate_result *out, const struct gate_policy *policy, const struct gate_input *in)
{
	struct gate_result r = { .confidence = policy->confidence, .population = policy->population };
	struct tally t;
	int rc = gate_check_policy(policy);

	rc = rc ? rc : gate_check_tasks(in->candidate, in->n_candidate, "candidate");
	if (!rc && in->baseline)
		rc = gate_check_tasks(in->baseline, in->n_baseline, "baseline");
	for (size_t i = 0; i < policy->n && !rc; i++)
		rc = judge_rule(&r, policy, &policy->rules[i], in, false);
	if (!rc)
		judge_overlap(&r, policy, in);
	if (!rc)
		judge_limits(&r, policy, in);
	if (!rc)
		sort_worst_first(r.rules, r.n);
	rc = rc ? rc : add_watched(&r, policy, in);
	rc = rc ? rc : add_shown(&r, policy, in);
	if (rc) {
		gate_result_release(&r);
		return rc;
	}
	t = count_rows(&r);
	r.verdict = combine(&t, policy, in);
	if (r.verdict == VERDICT_PASS && is_exhausted(&t, policy, in)) {
		r.verdict = VERDICT_INCONCLUSIVE;
		r.sentence = mem_str(in->exhausted);
	}
	r.blocks = verdict_blocks(r.verdict, policy, in);
	r.exit = !r.blocks ? 0 : r.verdict == VERDICT_FAIL ? 1 : 2;
	r.sentence = r.sentence ? r.sentence : sentence(&r, &t, policy, in);
	assert(r.verdict != VERDICT_PASS || !t.of[VERDICT_FAIL]);
	*out = r;
	return 0;
}

char *gate_incomparable(const struct gate_input *in, const struct task_result *task, const struct metric *metric)
{
	struct pairing pair;
	char *why = NULL;

	if (!pairing_open(&pair, in, task, metric)) {
		why = pair.incomparable;
		pair.incomparable = NULL;
		pairing_close(&pair);
	}
	return why;
}

/* ---- before all samples are in ------------------------------------------------------------------------------------ */

bool gate_is_golden(const struct gate_policy *policy, const char *task, const char *id, const char *slice)
{
	for (size_t k = 0; k < policy->n; k++)
		if (policy->rules[k].no_new_failures && strcmp(policy->rules[k].task, task) == 0 &&
		    gate_sample_matches(id, slice, policy->rules[k].no_new_failures))
			return true;
	return false;
}

static void look_at(struct gate_look *look, const struct gate_result_rule *row, const struct gate_input *in,
		    struct buf *whole)
{
	enum gate_want want = strstr(row->rule, ": no_new_failures ") ? GATE_WANTS_GOLDEN : GATE_WANTS_ALL;

	look->failed |= row->verdict == VERDICT_FAIL;
	look->open += row->open;
	for (size_t i = 0; i < in->n_candidate && row->open; i++)
		if (strcmp(in->candidate[i]->task, row->task) == 0 && look->wants[i] < want)
			look->wants[i] = want;
	if (row->whole)
		buf_addf(whole, "%s%s.%s is asked whole: %s", whole->len ? "; " : "", row->task, row->metric,
			 row->whole);
}

int gate_look(struct gate_look *out, const struct gate_policy *policy, const struct gate_input *in)
{
	struct gate_look look = { .wants = mem_array(in->n_candidate + 1, sizeof(*look.wants)) };
	struct gate_result r = { 0 };
	struct buf whole = BUF_INIT(900);
	int rc = gate_check_policy(policy);

	for (size_t i = 0; i < policy->n && !rc; i++)
		rc = judge_rule(&r, policy, &policy->rules[i], in, true);
	for (size_t i = 0; i < r.n && !rc; i++)
		look_at(&look, &r.rules[i], in, &whole);
	gate_result_release(&r);
	look.whole = whole.len ? mem_str(buf_str(&whole)) : NULL;
	buf_release(&whole);
	if (rc)
		gate_look_release(&look);
	else
		*out = look;
	return rc;
}

void gate_look_release(struct gate_look *look)
{
	free(look->wants);
	free(look->whole);
	*look = (struct gate_look){ 0 };
}

void gate_result_release(struct gate_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		gate_rule_release(&r->rules[i]);
	free(r->rules);
	free(r->sentence);
	*r = (struct gate_result){ 0 };
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *row_json(const struct gate_result_rule *row, double confidence)
{
	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:[o,o], s:s, s:I, s:s, s:f, s:o}", "rule",
			 json_new_text(row->rule, strlen(row->rule)), "verdict", verdict_name(row->verdict), "baseline",
			 number(row->baseline), "candidate", number(row->candidate), "delta", number(row->delta),
			 "interval", number(row->lo), number(row->hi), "bounds", "one-sided", "n", (json_int_t)row->n,
			 "method", row->method, "confidence", confidence, "explanation",
			 json_new_text(row->explanation, strlen(row->explanation)));
}

json_t *gate_result_json(const struct gate_result *r)
{
	json_t *rules = json_array();

	for (size_t i = 0; i < r->n; i++)
		if (r->rules[i].gated)
			json_array_append_new(rules, row_json(&r->rules[i], r->confidence));
	return json_pack("{s:s, s:i, s:o}", "verdict", verdict_name(r->verdict), "exit", r->exit, "rules", rules);
}
