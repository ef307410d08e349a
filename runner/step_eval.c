/* step_eval.c: every suite of the policy on the model of this commit, and then those that the commit proposes. */
#include "base/base.h"
#include "runner/early.h"
#include "runner/evaluate.h"
#include "runner/jury.h"
#include "runner/parts.h"
#include "runner/runner.h"
#include "runner/score_host.h"

/* What the candidate's own questions gave: told, and decides nothing. */
static void note_proposed(struct run *run, const struct run_suite *s)
{
	struct buf text = BUF_INIT(900);

	for (size_t t = 0; t < s->n_tasks; t++)
		for (size_t m = 0; m < s->tasks[t].n_metrics; m++)
			buf_addf(&text, "%s%s.%s %.4g (n %zu)", text.len ? ", " : "", s->tasks[t].task,
				 s->tasks[t].metrics[m].name, s->tasks[t].metrics[m].value, s->tasks[t].n);
	run_note(run, "proposed questions, which decide nothing until they are merged (%s): %s", s->path,
		 buf_str(&text));
	buf_release(&text);
}

/* The harness only warns of this, and goes on: so do we, and the report counts it. */
static void note_cut(struct run *run, const struct run_suite *s)
{
	json_int_t n = json_integer_value(json_object_get(s->stage, "cut"));

	if (n > 0)
		run_note(run, "suite %s: %lld prompts are longer than the model's context and were cut on the left",
			 suite_name(s->suite), (long long)n);
}

static void note_overflows(struct run *run, const struct run_suite *s)
{
	for (size_t t = 0; t < s->n_tasks; t++)
		for (size_t m = 0; m < s->tasks[t].n_metrics; m++) {
			char *note = task_result_metric_note(&s->tasks[t], &s->tasks[t].metrics[m]);

			if (note)
				run_note(run, "%s", note);
			free(note);
		}
}

static void note_cost(struct run *run)
{
	char *cost = judges_cost(run->judges);

	if (*cost)
		run_note(run, "%s", cost);
	free(cost);
}

/* Whole evaluations that are known are left as they are; what the candidate proposes is for the run that judges. */
static int eval_shard(struct run *run)
{
	bool all_reused = true, resumed = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < run->n_suites; i++) {
		struct run_suite *s = &run->suites[i];

		rc = evaluate_object(run, s, run->object, run->prompt_oid, buf_str(&run->prompt), &s->tasks,
				     &s->n_tasks, &s->stage, &s->reused, false);
		if (rc == ERR_NOTFOUND) {
			err_clear();
			rc = parts_shard(run, s);
		}
		all_reused = all_reused && s->reused;
		resumed = resumed || s->resumed;
	}
	note_cost(run);
	if (rc == 0 && (all_reused || resumed))
		run->steps[RUN_EVAL].status = all_reused ? STEP_REUSED : STEP_RESUMED;
	return rc;
}

int step_eval(struct run *run)
{
	bool all_reused = true, resumed = false;
	struct sandbox sandbox;
	int rc = 0;

	if (run->repair) {
		run->steps[RUN_EVAL].status = STEP_SKIPPED;
		return 0;
	}
	if (run->left_to_ci) {
		run->steps[RUN_EVAL].status = STEP_SKIPPED;
		return 0;
	}
	if (run->options->judge)
		run->judges = judges_new(store_home(run->home->store), run_policy(run));
	sandbox = run_sandbox(run);
	run->score_host = mem_alloc(sizeof(*run->score_host));
	run->commands = score_host(run->score_host, &sandbox);
	if (early_wanted(run))
		rc = early_eval(run);
	if (run->options->shards)
		return eval_shard(run);
	for (size_t i = 0; rc == 0 && i < run->n_suites; i++) {
		struct run_suite *s = &run->suites[i];

		if (!run->early)
			rc = evaluate_object(run, s, run->object, run->prompt_oid, buf_str(&run->prompt), &s->tasks,
					     &s->n_tasks, &s->stage, &s->reused, true);
		if (rc == 0) {
			note_cut(run, s);
			note_overflows(run, s);
		}
		all_reused = all_reused && s->reused;
		resumed = resumed || s->resumed;
	}
	for (size_t i = 0; rc == 0 && i < run->n_proposed; i++) {
		struct run_suite *s = &run->proposed[i];

		if (suite_has_command(s->suite)) { /* a scorer is the target's, never the candidate's */
			run_note(run,
				 "proposed questions with a command that scores are asked once they are merged: %s",
				 s->path);
			continue;
		}
		rc = evaluate_object(run, s, run->object, run->prompt_oid, buf_str(&run->prompt), &s->tasks,
				     &s->n_tasks, &s->stage, &s->reused, true);
		if (rc == 0)
			note_proposed(run, s);
		all_reused = all_reused && s->reused;
	}
	note_cost(run);
	if (run_limit(run) > 0) {
		char *some = evaluate_limit_text(run_limit(run));

		run_note(run, "%s were evaluated: no version is made", some);
		free(some);
	}
	if (rc == 0 && all_reused)
		run->steps[RUN_EVAL].status = STEP_REUSED;
	else if (rc == 0 && resumed)
		run->steps[RUN_EVAL].status = STEP_RESUMED;
	return rc;
}
