/* step_eval.c: every suite of the policy on the model of this commit, and then those that the commit proposes. */
#include "base/base.h"
#include "runner/evaluate.h"
#include "runner/runner.h"

int step_eval(struct run *run)
{
	bool all_reused = true;
	int rc = 0;

	if (run->left_to_ci) {
		run->steps[RUN_EVAL].status = STEP_SKIPPED;
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < run->n_suites; i++) {
		struct run_suite *s = &run->suites[i];

		rc = evaluate_object(run, s, run->object, run->prompt_oid, buf_str(&run->prompt), &s->tasks, &s->n_tasks,
				     &s->stage, &s->reused, true);
		all_reused = all_reused && s->reused;
	}
	for (size_t i = 0; rc == 0 && i < run->n_proposed; i++) {
		struct run_suite *s = &run->proposed[i];

		rc = evaluate_object(run, s, run->object, run->prompt_oid, buf_str(&run->prompt), &s->tasks, &s->n_tasks,
				     &s->stage, &s->reused, true);
		all_reused = all_reused && s->reused;
	}
	if (run_limit(run))
		run_note(run, "at most %lld samples a task were evaluated: no version is made", (long long)run_limit(run));
	if (rc == 0 && all_reused)
		run->steps[RUN_EVAL].status = STEP_REUSED;
	return rc;
}
