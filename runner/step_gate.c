/* step_gate.c: the target's policy on the candidate's scores and the baseline's: a verdict.
 *
 * A run that may move an alias holds the model's gate lease from here until the alias has moved, and looks the baseline
 * up again under it: so what the gate compares with is what the alias points at. If that is no longer what an early stop was
 * certain about, the rest is asked and the candidate judged whole. What the baseline answered: rescore.c; how often this
 * branch has tried: attempts.c. */
#include "base/base.h"
#include "runner/baseline.h"
#include "runner/early.h"
#include "runner/parts.h"
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

/* Same weights, tokenizer, prompt and questions: every suite has one key for both. */
static bool is_identical(const struct run *run)
{
	return run->baseline.found && strcmp(run->baseline.object, run->object) == 0 &&
	       strcmp(run->baseline.prompt, run->prompt_oid) == 0;
}

static int name_clusters(struct run *run)
{
	int rc = 0;

	for (size_t i = 0; i < run->n_suites && !rc; i++)
		rc = early_clusters(run, i, run->suites[i].tasks, run->suites[i].n_tasks);
	return rc;
}

static int decide(struct run *run, const char *incomparable)
{
	struct gate_policy policy = run->questions->gate; /* borrowed, but for the level */

	size_t n = 0, n_base = 0, total = 0;
	const struct task_result **cand, **base;
	struct gate_input in = { 0 };
	char *missing = overlap_missing(run->overlap);
	/* a model that is reused took what it took when it was trained */
	const struct gate_usage usage = { json_get_real(run->training, "seconds", 0) + run->steps[RUN_EVAL].seconds,
					  (double)run_model_bytes(run) };
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
	in.exhausted = run->exhausted;
	in.usage = &usage;
	policy.confidence = run_confidence(run);
	in.pull_request = run->event.kind == EVENT_PULL_REQUEST;
	in.n_overlap = overlap_gate_rows(run->overlap, &in.overlap);
	in.overlap_missing = missing;
	in.order = early_order(run);
	rc = gate_decide(&run->gate, &policy, &in);
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

/* One shard of several says nothing of the others: whoever joins them judges. */
static void leave_to_join(struct run *run)
{
	uint64_t all, n = parts_of_shard(run, &all);

	run->gate = (struct gate_result){
		.verdict = VERDICT_INCONCLUSIVE,
		.confidence = run->questions->gate.confidence,
		.sentence = mem_printf(
			"shard %d of %d: %llu of %llu samples are stored; the run without --shard, which "
			"finds them, gives the verdict",
			run->options->shard, run->options->shards, (unsigned long long)n, (unsigned long long)all)
	};
	run->have_gate = true;
}

/* The policy that would have judged this push was broken, and this one mends it (step_read.c). */
static void let_repair(struct run *run)
{
	run->gate =
		(struct gate_result){ .verdict = VERDICT_INCONCLUSIVE,
				      .confidence = run->questions->gate.confidence,
				      .sentence = mem_str("repair: the default branch's policy was broken, and this "
							  "one is sound; the model pushed with it is not judged and "
							  "moves no alias: the next push is judged, or assay run") };
	run->have_gate = true;
}

int step_gate(struct run *run)
{
	char *incomparable = NULL;
	bool moved;
	int rc;

	if (run->repair) {
		run->steps[RUN_GATE].status = STEP_SKIPPED;
		let_repair(run);
		return 0;
	}
	if (run->left_to_ci) {
		run->steps[RUN_GATE].status = STEP_SKIPPED;
		leave_to_ci(run);
		return 0;
	}
	if (run->options->shards) {
		run->steps[RUN_GATE].status = STEP_SKIPPED;
		leave_to_join(run);
		return 0;
	}
	if ((rc = take_lease(run)) || (rc = baseline_find(run)) || (rc = baseline_alias(run)))
		return rc;
	run->identical = is_identical(run);
	moved = strcmp(run->base_scored, run->baseline.run) != 0;
	if (run->baseline.found && (rc = attempts_count(run)) == 0)
		rc = baseline_answers(run, &incomparable);
	else if (run->baseline.why && run->questions->has_gate)
		run_note(run, "no baseline: %s", run->baseline.why);
	if (rc == 0 && moved)
		rc = early_finish(run); /* another run moved the alias: what was certain was so of the old one */
	rc = rc ? rc : name_clusters(run);
	rc = rc ? rc : decide(run, incomparable);
	free(incomparable);
	return rc;
}
