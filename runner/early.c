/* early.c: the model stops as soon as the gate is certain.
 *
 * All samples of a run have one order, seeded from the questions and the target's tip: nobody chooses it, and everybody can
 * compute it again (evals/order.c). They are asked in blocks along that order, and after each block the gate says which of its
 * rules want more. Enough is known
 *	when every rule is decided        unless the run would move an alias: what is promoted was asked everything
 *	when one has failed for good      the others cannot mend it
 *	when the budget is used up        deadline, max_items: the rules that are open then are INCONCLUSIVE
 * A task whose rules are decided is asked no more while others are open; one that no rule names goes along, to be shown.
 *
 * A block is of one unit, a task or the tasks of a group, whose order must be one; units take turns. It begins with BLOCK_FIRST
 * samples and grows by an eighth of what was asked: looks are cheap beside a model, but a prompt that samples share is computed
 * once a block, and the last answers of a block are written with little company. The gate's bets hold at every look, so how
 * often it looks is no error.
 *
 * What is left out is not lost: the stage has a key of its own ("part"), and whoever needs all samples of this model asks the
 * rest. With no baseline there is nothing to be certain about, and everything is asked; so is a branch that has used up its
 * attempts, since a bet can be won by luck and arithmetic cannot. */
#include "base/base.h"
#include "runner/baseline.h"
#include "runner/early.h"
#include "runner/eval_keep.h"
#include "runner/evaluate.h"
#include "runner/jury.h"
#include "runner/parts.h"

enum { BLOCK_FIRST = 64, BLOCK_LEAST = 32, BLOCK_SHARE = 8 };

struct item { /* a document of the run */
	uint64_t place;
	size_t suite, task, doc;
};
struct unit {                /* tasks that are visited in one order */
	size_t suite, first; /* the first of them */
	size_t known;
};
struct early {
	char order[DIGEST_HEX];
	struct suite_visit **visits; /* one a suite */
	struct item *items;          /* all documents, in order */
	size_t n;
	struct unit *units;
	size_t n_units, turn;   /* turn: whose block is next */
	enum gate_want **needs; /* of each suite's tasks */
	bool *known;            /* of each suite: whole in the registry already */
	struct keep **keeps;    /* of each suite: its samples on their way */
	size_t *cut;            /* of each suite: prompts cut from the left */
	bool may_stop, done;
	double started;
	uint64_t asked; /* in this run */
	const char *why;
	char *whole;
};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

bool early_wanted(const struct run *run)
{
	const struct gate_policy *p = &run->questions->gate;

	/* a run that ends before its gate (assay calibrate) is for the scores */
	return run->questions->has_gate && p->n && run->n_suites && !(run_limit(run) > 0) && !run->options->until &&
	       !run->options->shards && (p->stop_early || p->deadline_s > 0 || p->max_items);
}

/* The questions, and where the target stood: a candidate chooses neither. */
static void seed_order(const struct run *run, char order[DIGEST_HEX])
{
	struct digest_ctx *ctx = digest_new();
	struct digest d;

	digest_text(ctx, "order-1");
	for (size_t i = 0; i < run->n_suites; i++)
		digest_text(ctx, run->suites[i].questions);
	digest_text(ctx, *run->target.oid ? run->target.oid : run->baseline.commit ? run->baseline.commit : "");
	d = digest_end(ctx);
	digest_hex(order, &d);
}

static int by_place(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return (x->doc > y->doc) - (x->doc < y->doc);
}

static void list_items(struct early *e, const struct run *run)
{
	size_t cap = 0;

	for (size_t s = 0; s < run->n_suites; s++)
		for (size_t t = 0; t < suite_tasks(run->suites[s].suite); t++)
			for (size_t d = 0; d < suite_task_docs(run->suites[s].suite, t); d++) {
				MEM_GROW(e->items, e->n, cap);
				e->items[e->n++] = (struct item){ suite_visit_place(e->visits[s], t, d), s, t, d };
			}
	qsort(e->items, e->n, sizeof(*e->items), by_place);
}

static void list_units(struct early *e, const struct run *run)
{
	size_t cap = 0;

	for (size_t s = 0; s < run->n_suites; s++)
		for (size_t t = 0; t < suite_tasks(run->suites[s].suite); t++)
			if (suite_task_unit(run->suites[s].suite, t) == t) {
				MEM_GROW(e->units, e->n_units, cap);
				e->units[e->n_units++] = (struct unit){ s, t, 0 };
			}
}

static bool is_of(const struct item *it, const struct unit *u, const struct run *run)
{
	return it->suite == u->suite && suite_task_unit(run->suites[it->suite].suite, it->task) == u->first;
}

/* Samples that are stored already, whole or in part. */
static int take_known(struct early *e, struct run *run, size_t i)
{
	struct run_suite *s = &run->suites[i];
	uint64_t docs = 0, known;
	int rc = evaluate_known(run, s, run->object, run->prompt_oid, &s->tasks, &s->n_tasks, &s->stage);

	if (rc == ERR_NOTFOUND) {
		err_clear();
		rc = evaluate_keep(&e->keeps[i], run, s, run->object, run->prompt_oid);
		rc = rc ? rc : suite_visit_keep(e->visits[i], keep_for(e->keeps[i]));
		s->resumed = keep_restored(e->keeps[i]) > 0;
		rc = rc ? rc : parts_take(run, s, run->object, run->prompt_oid, e->visits[i], &known, &e->cut[i]);
		for (size_t t = 0; t < suite_tasks(s->suite); t++)
			docs += suite_task_docs(s->suite, t);
		if (rc == 0 && known)
			run_note(run, "suite %s: %llu of %llu samples were known from stored parts of this evaluation",
				 suite_name(s->suite), (unsigned long long)suite_visit_known(e->visits[i]),
				 (unsigned long long)docs);
		return rc;
	}
	for (size_t t = 0; t < s->n_tasks && rc == 0; t++)
		suite_visit_take(e->visits[i], &s->tasks[t]);
	e->known[i] = s->reused = rc == 0;
	return rc;
}

static int open_visits(struct early *e, struct run *run)
{
	int rc = 0;

	seed_order(run, e->order);
	e->visits = mem_array(run->n_suites, sizeof(*e->visits));
	e->needs = mem_array(run->n_suites, sizeof(*e->needs));
	e->known = mem_array(run->n_suites, sizeof(*e->known));
	e->keeps = mem_array(run->n_suites, sizeof(*e->keeps));
	e->cut = mem_array(run->n_suites, sizeof(*e->cut));
	for (size_t i = 0; i < run->n_suites && rc == 0; i++) {
		size_t n = suite_tasks(run->suites[i].suite);

		e->needs[i] = mem_array(n, sizeof(**e->needs));
		for (size_t t = 0; t < n; t++)
			e->needs[i][t] = GATE_WANTS_ALL;
		suite_visit_open(&e->visits[i], run->suites[i].suite, e->order, evaluate_seed(run));
		rc = suite_visit_judge(e->visits[i], judges_for(run->judges), run->commands);
		rc = rc ? rc : take_known(e, run, i);
	}
	if (rc == 0) {
		list_items(e, run);
		list_units(e, run);
	}
	return rc;
}

void early_close(struct run *run)
{
	struct early *e = run->early;

	if (!e)
		return;
	for (size_t i = 0; e->visits && i < run->n_suites; i++) {
		keep_close(e->keeps[i], e->done);
		suite_visit_free(e->visits[i]);
		free(e->needs[i]);
	}
	free(e->visits);
	free(e->needs);
	free(e->known);
	free(e->keeps);
	free(e->cut);
	free(e->items);
	free(e->units);
	free(e->whole);
	free(e);
	run->early = NULL;
}

const char *early_order(const struct run *run)
{
	return run->early ? run->early->order : NULL;
}

/* ---- looking --------------------------------------------------------------------------------------------------------- */

int early_clusters(const struct run *run, size_t suite, struct task_result *tasks, size_t n)
{
	const struct gate_policy *policy = &run->questions->gate;
	int rc = 0;

	for (size_t k = 0; k < policy->n; k++)
		for (size_t t = 0; policy->rules[k].cluster && t < n && !rc; t++)
			if (strcmp(tasks[t].task, policy->rules[k].task) == 0)
				rc = suite_clusters(run->suites[suite].suite, &tasks[t], policy->rules[k].cluster);
	return rc;
}

/* Does a rule name the task, or a group that it is in? Those that none names are shown only. */
static bool is_ruled(const struct run *run, const struct suite_visit *v, const struct suite_result *r, size_t task)
{
	const struct gate_policy *policy = &run->questions->gate;
	enum gate_want *marks = mem_array(r->n, sizeof(*marks)),
		       *needs = mem_array(suite_tasks(suite_visit_suite(v)), sizeof(*needs));
	bool ruled;

	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < policy->n; k++)
			if (strcmp(policy->rules[k].task, r->tasks[i].task) == 0)
				marks[i] = GATE_WANTS_ALL;
	suite_visit_needs(v, r, marks, needs);
	ruled = needs[task] != GATE_WANTS_NONE;
	free(marks);
	free(needs);
	return ruled;
}

static void take_needs(struct early *e, const struct run *run, struct suite_result **results,
		       const struct gate_look *look)
{
	bool any = false;
	size_t at = 0;

	for (size_t i = 0; i < run->n_suites; at += results[i++]->n) {
		suite_visit_needs(e->visits[i], results[i], look->wants + at, e->needs[i]);
		for (size_t t = 0; t < suite_tasks(run->suites[i].suite); t++)
			any |= e->needs[i][t] == GATE_WANTS_ALL;
	}
	for (size_t i = 0; i < run->n_suites; i++)
		for (size_t t = 0; t < suite_tasks(run->suites[i].suite); t++)
			if (run->alias || (any && !is_ruled(run, e->visits[i], results[i], t)))
				e->needs[i][t] = GATE_WANTS_ALL;
}

/* What the gate says of the samples so far; *enough: nothing more is wanted. */
static int look(struct early *e, struct run *run, bool *enough)
{
	struct suite_result **results = mem_array(run->n_suites, sizeof(*results));
	const struct task_result **cand, **base;
	struct gate_policy policy = run->questions->gate; /* borrowed, but for the level */
	struct gate_input in = { .order = e->order };
	struct gate_look l = { 0 };
	size_t n = 0, n_base = 0;
	int rc = 0;

	for (size_t i = 0; i < run->n_suites; i++) {
		results[i] = suite_visit_result(e->visits[i], true);
		n += results[i]->n;
		n_base += run->suites[i].n_base_tasks;
		rc = rc ? rc : early_clusters(run, i, results[i]->tasks, results[i]->n);
	}
	cand = mem_array(n + 1, sizeof(*cand));
	base = mem_array(n_base + 1, sizeof(*base));
	for (size_t i = 0; i < run->n_suites; i++) {
		for (size_t t = 0; t < results[i]->n; t++)
			cand[in.n_candidate++] = &results[i]->tasks[t];
		for (size_t t = 0; t < run->suites[i].n_base_tasks; t++)
			base[in.n_baseline++] = &run->suites[i].base_tasks[t];
	}
	in.candidate = cand;
	in.baseline = base;
	policy.confidence = run_confidence(run);
	if (rc == 0)
		rc = gate_look(&l, &policy, &in);
	if (rc == 0) {
		free(e->whole);
		e->whole = mem_str(l.whole);
		e->why = l.failed ? "a rule has failed for good" : !l.open ? "every rule is decided" : NULL;
		*enough = l.failed || (!l.open && !run->alias);
		take_needs(e, run, results, &l);
		gate_look_release(&l);
	}
	for (size_t i = 0; i < run->n_suites; i++)
		suite_result_free(results[i]);
	free(results);
	free(cand);
	free(base);
	return rc;
}

/* ---- asking ---------------------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct early *e, const struct run *run, const struct item *it)
{
	enum gate_want need = e->needs[it->suite][it->task];

	if (suite_visit_has(e->visits[it->suite], it->task, it->doc) || need == GATE_WANTS_NONE)
		return false;
	return need == GATE_WANTS_ALL ||
	       suite_visit_is_golden(e->visits[it->suite], &run->questions->gate, it->task, it->doc);
}

static size_t block_size(const struct unit *u, uint64_t left)
{
	size_t size = u->known / BLOCK_SHARE;

	size = u->known < BLOCK_FIRST ? BLOCK_FIRST - u->known : size < BLOCK_LEAST ? BLOCK_LEAST : size;
	return left < size ? (size_t)left : size;
}

/* The next ones of the order, of the unit whose turn it is; left: how many the budget has. */
static size_t next_block(struct early *e, const struct run *run, uint64_t left, const struct item **block)
{
	for (size_t tried = 0; tried < e->n_units; tried++) {
		struct unit *u = &e->units[e->turn++ % e->n_units];
		size_t n = 0, size;

		u->known = 0;
		for (size_t i = 0; i < e->n; i++)
			u->known += suite_visit_has(e->visits[e->items[i].suite], e->items[i].task, e->items[i].doc) &&
				    is_of(&e->items[i], u, run);
		size = block_size(u, left);
		for (size_t i = 0; i < e->n && n < size; i++)
			if (is_wanted(e, run, &e->items[i]) && is_of(&e->items[i], u, run))
				block[n++] = &e->items[i];
		if (n)
			return n;
	}
	return 0;
}

/* The first sample of each task that has none: a result without samples is none. */
static size_t first_samples(const struct early *e, const struct run *run, const struct item **block)
{
	size_t n = 0;

	for (size_t s = 0; s < run->n_suites; s++)
		for (size_t t = 0; t < suite_tasks(run->suites[s].suite); t++) {
			const struct item *first = NULL;
			bool any = false;

			for (size_t d = 0; d < suite_task_docs(run->suites[s].suite, t) && !any; d++)
				any = suite_visit_has(e->visits[s], t, d);
			for (size_t i = 0; i < e->n && !any && !first; i++)
				if (e->items[i].suite == s && e->items[i].task == t)
					first = &e->items[i];
			if (first)
				block[n++] = first;
		}
	return n;
}

static int ask_block(struct early *e, struct run *run, const struct item *const *block, size_t n)
{
	size_t *docs = mem_array(n + 1, sizeof(*docs));
	struct scorer scorer;
	int rc = n ? evaluate_load(run, run->object, buf_str(&run->prompt), &scorer) : 0;

	for (size_t s = 0; s < run->n_suites; s++) {
		for (size_t t = 0; t < suite_tasks(run->suites[s].suite) && !rc; t++) {
			size_t k = 0;

			for (size_t i = 0; i < n; i++)
				if (block[i]->suite == s && block[i]->task == t)
					docs[k++] = block[i]->doc;
			if (k)
				rc = suite_visit_ask(e->visits[s], &scorer, t, docs, k, &e->asked);
		}
		e->cut[s] += evaluate_cut(run);
	}
	free(docs);
	return rc;
}

static uint64_t known_samples(const struct early *e, const struct run *run)
{
	uint64_t n = 0;

	for (size_t i = 0; i < run->n_suites; i++)
		n += suite_visit_known(e->visits[i]);
	return n;
}

/* NULL: there is more to spend. */
static const char *is_spent(const struct early *e, const struct run *run)
{
	const struct gate_policy *p = &run->questions->gate;

	if (p->max_items && known_samples(e, run) >= p->max_items)
		return "max_items";
	return p->deadline_s > 0 && clock_seconds() - e->started >= p->deadline_s ? "the deadline" : NULL;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static int store_results(struct early *e, struct run *run)
{
	int rc = 0;

	for (size_t i = 0; i < run->n_suites && rc == 0; i++) {
		struct run_suite *s = &run->suites[i];
		struct suite_result *r;

		if (e->known[i])
			continue;
		r = suite_visit_result(e->visits[i], false);
		evaluate_forget(&s->tasks, &s->n_tasks);
		json_decref(s->stage);
		s->stage = NULL;
		rc = evaluate_store(run, r, e->cut[i], &s->stage);
		if (rc == 0)
			rc = evaluate_read(run, s->stage, &s->tasks,
					   &s->n_tasks); /* what the gate sees is what is stored */
		suite_result_free(r);
	}
	return rc;
}

static void tell(struct early *e, struct run *run, const char *spent)
{
	uint64_t known = known_samples(e, run);
	double saved = 100 * (double)(e->n - known) / (double)e->n;

	json_decref(run->stopped);
	run->stopped = NULL;
	if (known == e->n) {
		if (e->may_stop && e->whole)
			run_note(run, "not stopped early: %s", e->whole);
		return;
	}
	run_note(run, "%s after %llu of %zu samples: %s; %.0f%% saved. The rest is asked when it is needed.",
		 spent ? "stopped" : "decided", (unsigned long long)known, e->n, spent ? spent : e->why, saved);
	if (e->whole)
		run_note(run, "%s", e->whole);
	run->stopped = json_pack("{s:s,s:s,s:I,s:I}", "order", e->order, "why", spent ? spent : e->why, "asked",
				 (json_int_t)known, "total", (json_int_t)e->n);
}

/* Blocks until enough is known, or all. */
static int ask(struct early *e, struct run *run)
{
	const struct item **block = mem_array(e->n + 1, sizeof(*block));
	const char *spent = NULL;
	bool enough = false;
	uint64_t most = run->questions->gate.max_items;
	int rc = 0;

	progress_begin("samples", e->n - known_samples(e, run), "samples");
	if (e->may_stop && known_samples(e, run))
		rc = look(e, run, &enough);
	while (rc == 0 && !enough && !(spent = is_spent(e, run))) {
		size_t n = next_block(e, run, most ? most - known_samples(e, run) : UINT64_MAX, block);

		if (!n)
			break;
		rc = ask_block(e, run, block, n);
		if (rc == 0 && e->may_stop)
			rc = look(e, run, &enough);
	}
	if (rc == 0)
		rc = ask_block(e, run, block, first_samples(e, run, block));
	progress_end();
	free(block);
	if (rc == 0)
		rc = store_results(e, run);
	e->done = rc == 0;
	if (rc == 0)
		evaluate_answered(run);
	if (rc == 0)
		tell(e, run, enough ? NULL : spent);
	return rc;
}

int early_eval(struct run *run)
{
	const struct gate_policy *p = &run->questions->gate;
	const struct run_baseline *b = &run->baseline;
	char *incomparable = NULL;
	struct early *e;
	bool comparable;
	int rc = 0;

	if (b->found && strcmp(b->object, run->object) == 0 && strcmp(b->prompt, run->prompt_oid) == 0)
		return 0; /* the same model: its samples are there */
	if (b->found && (rc = attempts_count(run)) == 0)
		rc = baseline_answers(run, &incomparable);
	comparable = b->found && !incomparable;
	free(incomparable);
	if (rc || ((!p->stop_early || !comparable) && !(p->deadline_s > 0) && !p->max_items))
		return rc;
	e = run->early = mem_alloc(sizeof(*e));
	e->may_stop = p->stop_early && comparable && !run->exhausted;
	e->started = clock_seconds();
	rc = open_visits(e, run);
	return rc ? rc : ask(e, run);
}

bool early_is_whole(const struct run *run)
{
	return !run->early || known_samples(run->early, run) == run->early->n;
}

int early_finish(struct run *run)
{
	struct early *e = run->early;

	if (early_is_whole(run) || !e->may_stop)
		return 0;
	for (size_t i = 0; i < run->n_suites; i++)
		for (size_t t = 0; t < suite_tasks(run->suites[i].suite); t++)
			e->needs[i][t] = GATE_WANTS_ALL;
	e->may_stop = false;
	return ask(e, run);
}
