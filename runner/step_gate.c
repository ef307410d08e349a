/* step_gate.c: the target's policy on the candidate's scores and the baseline's: a verdict.
 *
 * A run that may move an alias holds the model's gate lease from here until the alias has moved, and looks the baseline
 * up again under it: so what the gate compares with is what the alias points at. Baseline samples are never made again
 * while their key holds; where the questions have changed, the baseline's stored weights answer the new ones
 * (incomparable: rescore), if the policy wants so. */
#include "base/base.h"
#include "runner/baseline.h"
#include "runner/evaluate.h"
#include "runner/plan_overlap.h"
#include "runner/runner.h"

static int take_lease(struct run *run)
{
	char *name;
	int rc;

	if (!run->alias)
		return 0;
	name = mem_printf("gate-%s", run->questions->model);
	rc = lease_take(&run->gate_lease, run->home->store, name, run->options->wait_s);
	free(name);
	if (rc == ERR_BUSY)
		rc = err_set(ERR_INTERRUPTED, "another run is at this model's gate: %s", err_text());
	return rc;
}

/* The very prompt that the baseline was judged with: a blob of the repository by its name. Where the candidate keeps its
 * prompt is no help: it may name another file. */
static int baseline_prompt(struct run *run, struct buf *out)
{
	return *run->baseline.prompt ? repo_blob(run->repo, run->baseline.prompt, out) : 0;
}

/* The baseline answers questions that it was not asked before. What is missing for that makes it incomparable. */
static int rescore(struct run *run, struct run_suite *s, struct buf *prompt, const char **incomparable)
{
	struct run_baseline *b = &run->baseline;
	bool reused;
	int rc;

	if (baseline_prompt(run, prompt)) {
		*incomparable = "the baseline was not asked these questions, and its prompt is not in this clone";
		err_clear();
		return 0;
	}
	rc = evaluate_object(run, s, b->object, b->prompt, buf_str(prompt), &s->base_tasks, &s->n_base_tasks,
			     &s->base_stage, &reused, true);
	if (rc == ERR_NOTFOUND) {
		*incomparable = "the baseline was not asked these questions, and its weights are not in the store";
		err_clear();
		return 0;
	}
	s->rescored = rc == 0;
	if (rc == 0)
		run_note(run, "suite %s: the baseline's weights were scored again on these questions",
			 suite_name(s->suite));
	return rc;
}

static int load_baseline(struct run *run, const char **incomparable)
{
	struct run_baseline *b = &run->baseline;
	struct buf prompt = BUF_INIT(1 << 20);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < run->n_suites; i++) {
		struct run_suite *s = &run->suites[i];
		bool reused = false;

		rc = evaluate_object(run, s, b->object, b->prompt, "", &s->base_tasks, &s->n_base_tasks, &s->base_stage,
				     &reused, false);
		if (rc != ERR_NOTFOUND)
			continue;
		err_clear();
		rc = 0;
		if (run->questions->gate.incomparable == GATE_RESCORE)
			rc = rescore(run, s, &prompt, incomparable);
		else /* other questions, or another numerics class, and no leave to ask again */
			*incomparable = "the baseline was not asked these questions in this numerics class, and the "
					"policy does not rescore it";
	}
	evaluate_close(run); /* it borrows the prompt */
	buf_release(&prompt);
	return rc;
}

/* Same weights, tokenizer, prompt and questions: every suite has one key for both. */
static bool is_identical(const struct run *run)
{
	return run->baseline.found && strcmp(run->baseline.object, run->object) == 0 &&
	       strcmp(run->baseline.prompt, run->prompt_oid) == 0;
}

/* A rule that clusters names a member of the documents, and those are the suite's. */
static int name_clusters(struct run *run)
{
	const struct gate_policy *policy = &run->questions->gate;
	int rc = 0;

	for (size_t k = 0; k < policy->n; k++)
		for (size_t i = 0; policy->rules[k].cluster && i < run->n_suites; i++)
			for (size_t t = 0; t < run->suites[i].n_tasks && !rc; t++)
				if (strcmp(run->suites[i].tasks[t].task, policy->rules[k].task) == 0)
					rc = suite_clusters(run->suites[i].suite, &run->suites[i].tasks[t],
							    policy->rules[k].cluster);
	return rc;
}

static int decide(struct run *run, const char *incomparable)
{
	size_t n = 0, n_base = 0, total = 0;
	const struct task_result **cand, **base;
	struct gate_input in = { 0 };
	char *missing = overlap_missing(run->overlap);
	int rc;

	for (size_t i = 0; i < run->n_suites; i++)
		total += run->suites[i].n_tasks + run->suites[i].n_base_tasks;
	cand = mem_array(total + 1, sizeof(*cand));
	base = mem_array(total + 1, sizeof(*base));
	for (size_t i = 0; i < run->n_suites; i++) {
		struct run_suite *s = &run->suites[i];

		for (size_t t = 0; t < s->n_tasks; t++)
			cand[n++] = &s->tasks[t];
		for (size_t t = 0; t < s->n_base_tasks; t++)
			base[n_base++] = &s->base_tasks[t];
	}
	in.candidate = cand;
	in.n_candidate = n;
	in.baseline = run->baseline.found ? base : NULL;
	in.n_baseline = n_base;
	in.identical = run->identical;
	in.incomparable = incomparable;
	in.pull_request = run->event.kind == EVENT_PULL_REQUEST;
	in.n_overlap = overlap_gate_rows(run->overlap, &in.overlap);
	in.overlap_missing = missing;
	rc = gate_decide(&run->gate, &run->questions->gate, &in);
	run->have_gate = rc == 0;
	free((void *)(uintptr_t)in.overlap);
	free(missing);
	free(cand);
	free(base);
	return rc;
}

/* A profile that trains nothing met a commit whose model nobody made yet: checked, not judged, unless it is lost
 * already: training on the questions fails whatever the scores will be. */
static void leave_to_ci(struct run *run)
{
	char *broken = overlap_broken(run);

	if (broken) {
		run->gate = (struct gate_result){ .verdict = VERDICT_FAIL,
						  .blocks = true,
						  .exit = 1,
						  .confidence = run->questions->gate.confidence,
						  .sentence = broken };
		run->have_gate = true;
		return;
	}
	run->gate =
		(struct gate_result){ .verdict = VERDICT_INCONCLUSIVE,
				      .confidence = run->questions->gate.confidence,
				      .sentence = mem_str("configuration, data and plan are sound; training and the "
							  "verdict are left to CI") };
	run->have_gate = true;
}

int step_gate(struct run *run)
{
	const char *incomparable = NULL;
	int rc;

	if (run->left_to_ci) {
		run->steps[RUN_GATE].status = STEP_SKIPPED;
		leave_to_ci(run);
		return 0;
	}
	if ((rc = take_lease(run)) || (rc = baseline_find(run)) || (rc = baseline_alias(run)))
		return rc;
	run->identical = is_identical(run);
	if (run->baseline.found)
		rc = load_baseline(run, &incomparable);
	else if (run->baseline.why && run->questions->has_gate)
		run_note(run, "no baseline: %s", run->baseline.why);
	rc = rc ? rc : name_clusters(run);
	return rc ? rc : decide(run, incomparable);
}
