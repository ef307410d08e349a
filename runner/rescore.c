/* rescore.c: what the baseline answered, and asking it again.
 *
 * Its samples are never made again while their key holds. Where there are none under the key (the questions have changed,
 * or the numerics class), its stored weights answer what the candidate was asked, behind the very prompt that it was
 * judged with, if the policy wants so (incomparable: rescore) and within its budget. What cannot be had that way is
 * incomparable, and the reason lists what differs: the numerics class, and task by task the documents and prompts.
 *
 * A run that may stop early asks for them before its own evaluation, and the gate again, under its lease: then there is
 * nothing to do unless the alias has moved in between. */
#include "base/base.h"
#include "runner/baseline.h"
#include "runner/evaluate.h"
#include "runner/samples_store.h"
#include "runner/served.h"

/* ---- what differs -------------------------------------------------------------------------------------------------- */

static void add_task(struct buf *out, struct run *run, struct task_result *c, const json_t *samples)
{
	struct task_result b = { 0 };
	const char *object = NULL;
	json_t *row;
	size_t i;

	json_array_foreach(samples, i, row) if (strcmp(json_get_text(row, "task", ""), c->task) == 0) object =
		json_get_text(row, "object", NULL);
	if (!object) {
		buf_addf(out, "; task %s is new", c->task);
	} else if (samples_open(&b, run->home->store, object, true)) {
		buf_addf(out, "; task %s: its samples are not in the store", c->task);
	} else if (task_result_texts(&b) || task_result_texts(c)) {
		buf_addf(out, "; task %s: its samples cannot be read", c->task);
	} else if (strcmp(b.digest, c->digest) != 0) {
		char *text = task_result_differences(c, &b);

		buf_addf(out, "; task %s: %s", c->task, text);
		free(text);
	}
	task_result_release(&b);
	err_clear();
}

/* "; numerics cpu-3/… and cpu-2/…; task intents: 3 documents have changed: …", by the baseline's own record. */
static void differences(struct buf *out, struct run *run, struct run_suite *s)
{
	json_t *record = NULL;
	const char *numerics;

	if (registry_run(run->home->registry, run->baseline.run, &record) == 0) {
		numerics = json_get_text(json_object_get(record, "tool"), "numerics", "");
		if (*numerics && strcmp(numerics, run->numerics) != 0)
			buf_addf(out, "; its numerics class is %s, this one's %s", numerics, run->numerics);
		for (size_t t = 0; t < s->n_tasks; t++)
			add_task(out, run, &s->tasks[t], json_object_get(record, "samples"));
	}
	json_decref(record);
	err_clear();
}

/* Was it asked, and what it answered is gone? */
static bool is_lost(struct run *run, const struct run_suite *s)
{
	char key[DIGEST_HEX];

	evaluate_key(run, s, run->baseline.object, run->baseline.prompt, key);
	return strcmp(s->lost, key) == 0;
}

static void set_incomparable(char **out, struct run *run, struct run_suite *s, const char *why)
{
	struct buf text = BUF_INIT(8192);

	if (*out)
		return; /* the first is enough */
	if (is_lost(run, s)) {
		buf_addf(&text,
			 "suite %s: what the baseline answered is not in the store%s; assay pull brings it where a "
			 "remote "
			 "has it, or run %.12s again",
			 suite_name(s->suite), why, run->baseline.commit ? run->baseline.commit : "its commit");
	} else {
		buf_addf(&text, "suite %s: the baseline was not asked these questions%s", suite_name(s->suite), why);
		differences(&text, run, s);
	}
	*out = buf_take(&text);
}

/* ---- asking again --------------------------------------------------------------------------------------------------- */

/* The very prompt that the baseline was judged with: a blob of the repository by its name. Where the candidate keeps its
 * prompt is no help: it may name another file. */
static int baseline_prompt(struct run *run, struct buf *out)
{
	return *run->baseline.prompt ? repo_blob(run->repo, run->baseline.prompt, out) : 0;
}

static int64_t samples_of(const struct run_suite *s)
{
	int64_t n = 0;

	for (size_t i = 0; i < suite_tasks(s->suite); i++)
		n += (int64_t)suite_task_docs(s->suite, i);
	return n;
}

/* What is missing for it makes the baseline incomparable. *spent: samples asked again in this run. */
static int rescore(struct run *run, struct run_suite *s, struct buf *prompt, int64_t *spent, char **incomparable)
{
	struct run_baseline *b = &run->baseline;
	int64_t budget = run->questions->gate.rescore, wanted = *spent + samples_of(s);
	bool reused, lost = is_lost(run, s);
	int rc;

	if (served_is(run->home->store, b->object, NULL)) {
		set_incomparable(incomparable, run, s, ", and it stood behind a server: nobody can ask it again");
		return 0;
	}
	if (budget && wanted > budget) {
		char *why = mem_printf(", and to ask its weights takes %lld samples, of which the policy allows %lld",
				       (long long)wanted, (long long)budget);

		set_incomparable(incomparable, run, s, why);
		free(why);
		return 0;
	}
	if (baseline_prompt(run, prompt)) {
		err_clear();
		set_incomparable(incomparable, run, s, ", and its prompt is not in this clone");
		return 0;
	}
	rc = evaluate_object(run, s, b->object, b->prompt, buf_str(prompt), &s->base_tasks, &s->n_base_tasks,
			     &s->base_stage, &reused, true);
	if (rc == ERR_NOTFOUND) {
		err_clear();
		set_incomparable(incomparable, run, s, ", and its weights are not in the store");
		return 0;
	}
	s->rescored = rc == 0;
	*spent = wanted;
	if (rc == 0)
		run_note(run, "suite %s: the baseline's weights were scored again on these questions%s",
			 suite_name(s->suite), lost ? ", for what they answered is not in the store" : "");
	return rc;
}

static void forget(struct run *run)
{
	for (size_t i = 0; i < run->n_suites; i++) {
		struct run_suite *s = &run->suites[i];

		evaluate_forget(&s->base_tasks, &s->n_base_tasks);
		json_decref(s->base_stage);
		s->base_stage = NULL;
		s->rescored = false;
	}
	*run->base_scored = 0;
}

int baseline_answers(struct run *run, char **incomparable)
{
	struct run_baseline *b = &run->baseline;
	struct buf prompt = BUF_INIT(1 << 20);
	int64_t spent = 0;
	int rc = 0;

	*incomparable = NULL;
	if (strcmp(run->base_scored, b->run) == 0)
		return 0;
	forget(run);
	if (run->location && !served_is(run->home->store, b->object, NULL)) /* its key has the numerics class of here */
		rc = run_backend(run);
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
			rc = rescore(run, s, &prompt, &spent, incomparable);
		else
			set_incomparable(incomparable, run, s, ", and the policy does not ask its weights again");
	}
	evaluate_close(run); /* it borrows the prompt */
	buf_release(&prompt);
	if (rc == 0 && !*incomparable)
		snprintf(run->base_scored, sizeof(run->base_scored), "%s", b->run);
	return rc;
}
