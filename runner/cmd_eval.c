/* cmd_eval.c: a suite on a model, outside a run: on a stored model or a folder, by the local engine, or on a server that
 * stands at a named location. Both answer through one struct scorer. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/parts.h"
#include "runner/eval_keep.h"
#include "runner/evaluate.h"
#include "runner/harness_folder.h"
#include "runner/jury.h"
#include "runner/location.h"
#include "runner/plan_memory.h"
#include "runner/questions.h"
#include "runner/remote.h"
#include "runner/score_host.h"

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

struct eval_options {
	const char *model, *device, *memory, *keep;
	int64_t threads, batch_tokens;
	bool judge;
	const char *sandbox; /* of commands that score; NULL: none may run */
	struct suite_options how;
};

/* ---- who answers -------------------------------------------------------------------------------------------------- */

static int add_file(const char *name, void *arg)
{
	void **args = arg;
	char *path = path_join(args[1], name);
	struct digest d;
	int rc = fs_is_dir(path) ? 0 : digest_file(&d, path);

	if (rc == 0 && !fs_is_dir(path)) {
		digest_text(args[0], name);
		digest_add(args[0], d.bytes, sizeof(d.bytes));
	}
	free(path);
	return rc;
}

/* A digest of all that can change a score but the questions; only a shard and a file of kept samples need it. */
static int identify(char by[DIGEST_HEX], const struct eval_options *o, const char *folder, const char *who)
{
	struct digest_ctx *c = digest_new();
	void *args[] = { c, (char *)(uintptr_t)folder };
	struct digest d;
	char number[64];
	int rc = folder ? fs_list(folder, add_file, args) : 0;

	snprintf(number, sizeof(number), "%lld %llu", (long long)o->how.limit, (unsigned long long)o->how.seed);
	digest_text(c, who);
	digest_text(c, number);
	d = digest_end(c);
	digest_hex(by, &d);
	return rc;
}

static void keep_key(char key[DIGEST_HEX], const struct suite *suite, const struct eval_options *o)
{
	struct digest questions = suite_digest(suite), d;
	struct digest_ctx *c = digest_new();
	char shard[64];

	snprintf(shard, sizeof(shard), "%d/%d", o->how.shard, o->how.shards);
	digest_text(c, o->how.by);
	digest_add(c, questions.bytes, sizeof(questions.bytes));
	digest_text(c, shard);
	d = digest_end(c);
	digest_hex(key, &d);
}

static void tell_cost(const struct judges *judges)
{
	char *cost = judges_cost(judges);

	if (*cost)
		log_info("%s", cost);
	free(cost);
}

static struct sandbox eval_sandbox(const struct place *place, const char *name)
{
	return (struct sandbox){
		.kind = name ? sandbox_kind_parse(name) : SANDBOX_NONE,
		.repo = place->repo,
		.home = place->home.store ? store_home(place->home.store) : NULL,
		.policy = "this call",
		.fix = "--sandbox auto runs it; or --sandbox external, where this job already runs in one"
	};
}

/* The suite by this scorer; who and folder say who that is. */
static int eval_suite(struct suite_result **out, const struct suite *suite, const struct scorer *scorer,
		      struct place *place, const struct eval_options *o, const char *folder, const char *who)
{
	struct eval_options own = *o;
	struct judges *judges = NULL;
	struct score_host host;
	struct sandbox sandbox;
	struct keep *keep = NULL;
	char by[DIGEST_HEX], key[DIGEST_HEX];
	int rc = 0;

	own.how.by = by;
	if (o->keep || o->how.shards)
		rc = identify(by, o, folder, who);
	if (rc == 0 && o->keep) {
		keep_key(key, suite, &own);
		run_stop_on_signals();
		rc = keep_open(&keep, o->keep, key);
		if (rc == ERR_CONFLICT) {
			rc = err_set(ERR_INPUT, "--keep: %s", err_text());
			err_hint(rc, "name another file, or remove this one");
		}
		own.how.keep = keep_for(keep);
	}
	if (rc == 0 && o->judge) {
		run_stop_on_signals();
		judges = judges_new(store_home(place->home.store), NULL);
		own.how.judge = judges_for(judges);
	}
	sandbox = eval_sandbox(place, o->sandbox);
	own.how.commands = score_host(&host, &sandbox);
	if (rc == 0)
		rc = suite_run(out, suite, scorer, &own.how);
	tell_cost(judges);
	judges_free(judges);
	keep_close(keep, rc == 0);
	return rc;
}

/* ---- the two kinds of models -------------------------------------------------------------------------------------- */

static int eval_local(struct suite_result **out, const struct suite *suite, struct place *place,
		      const struct eval_options *o)
{
	struct model_dir dir = { 0 };
	struct engine engine = { 0 };
	struct backend *be = NULL;
	uint64_t left = 0;
	int batch = 0, rc = model_dir_open(&dir, &place->home, o->model);

	if (rc == 0)
		rc = backend_open(&be, o->device, (int)o->threads);
	if (rc == 0)
		rc = plan_batch(&batch, &left, dir.path, (int)o->batch_tokens, o->memory, be);
	if (rc == 0)
		rc = engine_open(&engine, dir.path, be, batch, NULL);
	if (rc == 0) {
		struct scorer scorer = engine_scorer(&engine);

		engine.memory_bytes = left;
		rc = eval_suite(out, suite, &scorer, place, o, dir.path, be->numerics);
		if (engine.n_cut)
			log_warn("%zu prompts are longer than the model's context and were cut on the left",
				 engine.n_cut);
	}
	engine_close(&engine);
	backend_close(be);
	model_dir_close(&dir);
	return rc;
}

static int eval_remote(struct suite_result **out, const struct suite *suite, struct place *place,
		       const struct location *l, const struct eval_options *o)
{
	struct remote *remote = NULL;
	int rc = remote_open(&remote, l, store_home(place->home.store));

	if (rc == 0) {
		struct scorer scorer = remote_scorer(remote);
		struct remote_count n;

		run_stop_on_signals();
		rc = eval_suite(out, suite, &scorer, place, o, NULL, l->model);
		n = remote_count(remote);
		log_info("location %s: %zu answers, %zu that were kept from before, %zu failures tried again", l->name,
			 n.asked, n.kept, n.retried);
	}
	if (rc == 0)
		remote_forget(remote);
	remote_close(remote);
	return rc;
}

/* MODEL@ALIAS and folders are models; a plain name may be a location. */
static int eval_model(struct suite_result **out, const struct suite *suite, struct place *place,
		      const struct eval_options *o)
{
	struct location location = { 0 };
	int rc = ERR_NOTFOUND;

	if (fs_is_dir(o->model) && !o->judge && !o->sandbox)
		return eval_local(out, suite, place, o);
	rc = place_open(place);
	if (rc)
		return rc;
	if (fs_is_dir(o->model) || strchr(o->model, '@') || strchr(o->model, '/'))
		return eval_local(out, suite, place, o);
	rc = location_read(&location, store_home(place->home.store), o->model);
	if (rc == ERR_NOTFOUND) {
		err_set(ERR_INPUT, "%s is no folder, no MODEL@ALIAS, and no location in %s/config.yaml", o->model,
			store_home(place->home.store));
		return err_hint(ERR_INPUT, "locations: {%s: {url: https://HOST/v1, model: NAME}}", o->model);
	}
	rc = rc ? rc : eval_remote(out, suite, place, &location, o);
	location_release(&location);
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

/* What loading the suite had to say: warned of, and in the document, where something was said. */
static json_t *tell_notes(const struct suite *suite)
{
	json_t *notes = json_array();

	for (size_t i = 0; i < suite_tasks(suite); i++) {
		const char *note = suite_task_note(suite, i);

		if (!note)
			continue;
		log_warn("%s", note);
		json_array_append_new(notes, json_new_text(note, strlen(note)));
	}
	return notes;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

int cmd_eval(int argc, char **argv)
{
	struct eval_options o = { .device = "auto", .batch_tokens = 4096, .how = { .seed = 1234 } };
	const char *samples = NULL, *harness = NULL, *datasets = NULL, *shard = NULL;
	bool merges = false;
	struct suite_result *result = NULL;
	struct place place = { 0 };
	struct suite *suite = NULL;
	json_t *notes = NULL;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT(0, "samples", &samples, "FILE", "write every sample there, as JSONL"),
		OPT_TEXT(0, "harness", &harness, "DIR", "write the results there as lm-evaluation-harness does"),
		OPT_INT('n', "limit", &o.how.limit, "N", "at most N samples a task"),
		OPT_INT(0, "batch-tokens", &o.batch_tokens, "N", "tokens scored at a time; changes no result"),
		OPT_TEXT(0, "device", &o.device, "DEV", "auto, cpu or cuda[:N][/CLASS]"),
		OPT_INT(0, "threads", &o.threads, "N", "threads of the CPU back end (default: all)"),
		OPT_TEXT(0, "memory", &o.memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_TEXT(0, "datasets", &datasets, "DIR", "a folder of data sets, for tasks that name one"),
		OPT_TEXT(0, "shard", &shard, "I/N", "every N-th document from the I-th on; --samples FILE for --merge"),
		OPT_FLAG(0, "merge", &merges, "put shards together: assay eval --merge SUITE FILE…"),
		OPT_FLAG(0, "judge", &o.judge, "ask the judges that tasks name: over the network, at a cost"),
		OPT_TEXT(0, "sandbox", &o.sandbox, "KIND",
			 "run commands that score: auto, bubblewrap, landlock, or external"),
		OPT_TEXT(0, "keep", &o.keep, "FILE", "keep samples there as they come, and go on from there"),
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

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (o.batch_tokens < 1 || o.batch_tokens > 1 << 24)
		return err_set(ERR_USAGE, "--batch-tokens: 1 to 16777216");
	if (o.how.limit < 0)
		return err_set(ERR_USAGE, "--limit: 0 (all) or more");
	if (o.sandbox && sandbox_kind_parse(o.sandbox) == SANDBOX_KINDS)
		return err_set(ERR_USAGE,
			       "--sandbox %s: auto, bubblewrap, landlock, or external (this job already runs in one)",
			       o.sandbox);
	if (!merges && argc > 2)
		return err_set(ERR_USAGE, "too many arguments: %s", argv[2]);
	if (merges && (shard || o.keep || o.how.limit))
		return err_set(ERR_USAGE, "--merge asks no model: it goes without --shard, --keep and --limit");
	if (shard && harness)
		return err_set(ERR_USAGE, "--harness: a shard is no result; it goes with --merge");
	if (shard && (rc = parse_shard(shard, &o.how.shard, &o.how.shards)))
		return rc;
	rc = questions_load(&suite, argv[merges ? 0 : 1], NULL, NULL, datasets);
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s", err_text());
	o.model = argv[0];
	if (rc == 0)
		notes = tell_notes(suite);
	if (rc == 0 && merges)
		rc = merge(&result, suite, argv + 1, (size_t)argc - 1);
	else if (rc == 0)
		rc = eval_model(&result, suite, &place, &o);
	if (rc == 0 && samples)
		rc = write_samples(result, samples);
	if (rc == 0 && harness)
		rc = harness_folder_write(harness, merges ? result->suite : o.model, result->tasks, result->n);
	if (rc == 0) {
		json_t *doc = suite_result_json(result);

		if (json_array_size(notes))
			json_object_set(doc, "notes", notes);
		print_json(doc);
		json_decref(doc);
	}
	json_decref(notes);
	suite_result_free(result);
	suite_free(suite);
	place_close(&place);
	return rc;
}
