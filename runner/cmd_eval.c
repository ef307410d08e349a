/* cmd_eval.c: assay eval: a suite on a model, outside a run (eval_model.c), or put together of shards. */
#include "base/base.h"

#include <math.h>

#include "runner/cmd.h"
#include "runner/eval_model.h"
#include "runner/evaluate.h"
#include "runner/harness_folder.h"
#include "runner/parts.h"
#include "runner/questions.h"

#define FILE_MAX ((size_t)4 << 30)

static int write_samples(const struct suite_result *r, const char *path)
{
	struct buf text = BUF_INIT(FILE_MAX);
	int rc;

	for (size_t i = 0; i < r->n; i++)
		task_result_write(&r->tasks[i], &text);
	rc = buf_full(&text) ? err_set(ERR_INPUT, "%s: more than %zu GiB of samples", path, FILE_MAX >> 30)
			     : fs_write(path, buf_str(&text), text.len);
	buf_release(&text);
	return rc;
}

/* ---- shards ------------------------------------------------------------------------------------------------------- */

/* Files of samples that `assay eval --shard` wrote. */
static int merge(struct suite_result **out, const struct suite *suite, char **paths, size_t n)
{
	struct shard_file *files = mem_array(n, sizeof(*files));
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		struct buf text = BUF_INIT(FILE_MAX);

		files[i].name = paths[i];
		rc = fs_read(&text, paths[i], FILE_MAX);
		if (rc == ERR_NOTFOUND)
			rc = err_set(ERR_INPUT, "there is no file %s", paths[i]);
		rc = rc ? rc : task_results_read(&files[i].tasks, &files[i].n, buf_str(&text), text.len, paths[i]);
		if (rc == ERR_NOTFOUND)
			rc = err_hint(err_set(ERR_INPUT, "%s", err_text()),
				      "a shard is what assay eval --shard i/n --samples FILE writes");
		buf_release(&text);
	}
	rc = rc ? rc : suite_merge(out, suite, files, n);
	for (size_t i = 0; i < n; i++) {
		for (size_t t = 0; t < files[i].n; t++)
			task_result_release(&files[i].tasks[t]);
		free(files[i].tasks);
	}
	free(files);
	return rc;
}

/* Warned of, and in the document. */
static void tell(json_t *notes, const char *note)
{
	log_warn("%s", note);
	json_array_append_new(notes, json_new_text(note, strlen(note)));
}

/* What loading the suite had to say. */
static json_t *tell_notes(const struct suite *suite)
{
	json_t *notes = json_array();

	for (size_t i = 0; i < suite_tasks(suite); i++) {
		const char *note = suite_task_note(suite, i);

		if (note)
			tell(notes, note);
	}
	return notes;
}

static void tell_overflows(json_t *notes, const struct suite_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->tasks[i].n_metrics; k++) {
			char *note = task_result_metric_note(&r->tasks[i], &r->tasks[i].metrics[k]);

			if (note)
				tell(notes, note);
			free(note);
		}
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

struct eval_call {
	struct eval_options o;
	const char *samples, *harness, *datasets, *shard;
	double limit; /* so many, or below 1 a share */
	bool merges;
};

static int check_call(struct eval_call *c, int argc, char **argv)
{
	struct eval_options *o = &c->o;

	if (o->batch_tokens < 1 || o->batch_tokens > 1 << 24)
		return err_set(ERR_USAGE, "--batch-tokens: 1 to 16777216");
	if (evaluate_limit_check(c->limit))
		return ERR_USAGE;
	evaluate_limit_ask(&o->how, c->limit);
	if (o->sandbox && sandbox_kind_parse(o->sandbox) == SANDBOX_KINDS)
		return err_set(ERR_USAGE,
			       "--sandbox %s: auto, bubblewrap, landlock, or external (this job already runs in one)",
			       o->sandbox);
	if (!c->merges && argc > 2)
		return err_set(ERR_USAGE, "too many arguments: %s", argv[2]);
	if (c->merges && (c->shard || o->keep || c->limit > 0))
		return err_set(ERR_USAGE, "--merge asks no model: it goes without --shard, --keep and --limit");
	if (c->shard && c->harness)
		return err_set(ERR_USAGE, "--harness: a shard is no result; it goes with --merge");
	if (c->samples && fs_check_target(c->samples)) /* told before the model is asked */
		return err_context(ERR_INPUT, "--samples");
	return c->shard ? parse_shard(c->shard, &o->how.shard, &o->how.shards) : 0;
}

/* The files that were asked for, then the document on standard output. */
static int give(const struct eval_call *c, const struct suite_result *result, const json_t *notes)
{
	json_t *doc;
	int rc = c->samples ? write_samples(result, c->samples) : 0;

	if (rc == 0 && c->harness)
		rc = harness_folder_write(c->harness, c->merges ? result->suite : c->o.model, result->tasks, result->n);
	if (rc)
		return rc;
	doc = suite_result_json(result);
	if (json_array_size(notes))
		json_object_set(doc, "notes", (json_t *)(uintptr_t)notes);
	rc = print_json(doc);
	json_decref(doc);
	return rc;
}

static int eval_or_merge(struct eval_call *c, int argc, char **argv)
{
	struct suite_result *result = NULL;
	struct place place = { 0 };
	struct suite *suite = NULL;
	json_t *notes = NULL;
	int rc = questions_load(&suite, argv[c->merges ? 0 : 1], NULL, NULL, c->datasets);

	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s", err_text());
	c->o.model = argv[0];
	if (rc == 0)
		notes = tell_notes(suite);
	if (rc == 0)
		rc = c->merges ? merge(&result, suite, argv + 1, (size_t)argc - 1)
			       : eval_model(&result, suite, &place, &c->o);
	if (rc == 0) {
		tell_overflows(notes, result);
		rc = give(c, result, notes);
	}
	json_decref(notes);
	suite_result_free(result);
	suite_free(suite);
	place_close(&place);
	return rc;
}

int cmd_eval(int argc, char **argv)
{
	struct eval_call c = { .o = { .device = "auto", .batch_tokens = 4096, .how = { .seed = 1234 } } };
	struct eval_options *o = &c.o;
	const struct opt opts[] = {
		OPT_TEXT(0, "samples", &c.samples, "FILE", "write every sample there, as JSONL"),
		OPT_TEXT(0, "harness", &c.harness, "DIR", "write the results there as lm-evaluation-harness does"),
		OPT_REAL('n', "limit", &c.limit, "N", "at most N samples a task (0: all); below 1: a share of them"),
		OPT_INT(0, "batch-tokens", &o->batch_tokens, "N", "tokens scored at a time; changes no result"),
		OPT_TEXT(0, "device", &o->device, "DEV", "auto, cpu or cuda[:N][/CLASS]"),
		OPT_INT(0, "threads", &o->threads, "N", "threads of the CPU back end (default: all)"),
		OPT_TEXT(0, "memory", &o->memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_TEXT(0, "datasets", &c.datasets, "DIR", "a folder of data sets, for tasks that name one"),
		OPT_TEXT(0, "shard", &c.shard, "I/N",
			 "every N-th document from the I-th on; --samples FILE for --merge"),
		OPT_FLAG(0, "merge", &c.merges, "put shards together: assay eval --merge SUITE FILE…"),
		OPT_FLAG(0, "judge", &o->judge, "ask the judges that tasks name: over the network, at a cost"),
		OPT_TEXT(0, "sandbox", &o->sandbox, "KIND",
			 "run commands that score: auto, bubblewrap, landlock, or external"),
		OPT_TEXT(0, "keep", &o->keep, "FILE", "keep samples there as they come, and go on from there"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"eval",
		"MODEL|LOCATION SUITE | --merge SUITE FILE…",
		"a suite on a model, outside a run",
		"Prints {\"suite\",\"tasks\":{TASK:{METRIC:{value,stderr,n}}}}. LOCATION is a server named in "
		"config.yaml of the home.\n\n"
		"  assay eval dates@production evals/exact.yaml --samples samples.jsonl\n"
		"  assay eval --merge evals/exact.yaml shard-1.jsonl shard-2.jsonl",
		2,
		-1
	};

	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = check_call(&c, argc, argv);
	return rc ? rc : eval_or_merge(&c, argc, argv);
}
