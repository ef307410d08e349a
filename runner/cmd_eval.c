/* cmd_eval.c: a suite on a model, outside a run: on a stored model or a folder, by the local engine, or on a server that
 * stands at a named location. Both answer through one struct scorer. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/evaluate.h"
#include "runner/location.h"
#include "runner/plan_memory.h"
#include "runner/questions.h"
#include "runner/remote.h"

#define FILE_MAX ((size_t)4 << 30)

static int write_samples(const struct suite_result *r, const char *path)
{
	struct buf text = BUF_INIT(FILE_MAX);
	int rc;

	for (size_t i = 0; i < r->n; i++)
		task_result_write(&r->tasks[i], &text);
	rc = fs_write(path, buf_str(&text), text.len);
	buf_release(&text);
	return rc;
}

struct eval_options {
	const char *model, *device, *memory;
	int64_t threads, batch_tokens;
	struct suite_options how;
};

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
		rc = plan_batch(&batch, &left, dir.path, (int)o->batch_tokens, o->memory);
	if (rc == 0)
		rc = engine_open(&engine, dir.path, be, batch, NULL);
	if (rc == 0) {
		struct scorer scorer = engine_scorer(&engine);

		engine.memory_bytes = left;
		rc = suite_run(out, suite, &scorer, &o->how);
		if (engine.n_cut)
			log_warn("%zu prompts are longer than the model's context and were cut on the left", engine.n_cut);
	}
	engine_close(&engine);
	backend_close(be);
	model_dir_close(&dir);
	return rc;
}

static int eval_remote(struct suite_result **out, const struct suite *suite, const char *home, const struct location *l,
		       const struct eval_options *o)
{
	struct remote *remote = NULL;
	int rc = remote_open(&remote, l, home);

	if (rc == 0) {
		struct scorer scorer = remote_scorer(remote);
		struct remote_count n;

		run_stop_on_signals();
		rc = suite_run(out, suite, &scorer, &o->how);
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

	if (fs_is_dir(o->model))
		return eval_local(out, suite, place, o);
	rc = place_open(place);
	if (rc)
		return rc;
	if (strchr(o->model, '@') || strchr(o->model, '/'))
		return eval_local(out, suite, place, o);
	rc = location_read(&location, store_home(place->home.store), o->model);
	if (rc == ERR_NOTFOUND) {
		err_set(ERR_INPUT, "%s is no folder, no MODEL@ALIAS, and no location in %s/config.yaml", o->model,
			store_home(place->home.store));
		return err_hint(ERR_INPUT, "locations: {%s: {url: https://HOST/v1, model: NAME}}", o->model);
	}
	rc = rc ? rc : eval_remote(out, suite, store_home(place->home.store), &location, o);
	location_release(&location);
	return rc;
}

int cmd_eval(int argc, char **argv)
{
	struct eval_options o = { .device = "auto", .batch_tokens = 4096, .how = { .seed = 1234 } };
	const char *samples = NULL, *datasets = NULL;
	struct suite_result *result = NULL;
	struct place place = { 0 };
	struct suite *suite = NULL;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT(0, "samples", &samples, "FILE", "write every sample there, as JSONL"),
		OPT_INT('n', "limit", &o.how.limit, "N", "at most N samples a task"),
		OPT_INT(0, "batch-tokens", &o.batch_tokens, "N", "tokens scored at a time; changes no result"),
		OPT_TEXT(0, "device", &o.device, "DEV", "auto, cpu or cuda[:N]"),
		OPT_INT(0, "threads", &o.threads, "N", "threads of the CPU back end (default: all)"),
		OPT_TEXT(0, "memory", &o.memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_TEXT(0, "datasets", &datasets, "DIR", "a folder of data sets, for tasks that name one"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"eval",
		"MODEL|LOCATION SUITE",
		"a suite on a model, outside a run",
		"Prints {\"suite\",\"tasks\":{TASK:{METRIC:{value,stderr,n}}}}. LOCATION is a server named in "
		"config.yaml of the home.\n\n"
		"  assay eval dates@production evals/exact.yaml --samples samples.jsonl",
		2,
		2
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (o.batch_tokens < 1 || o.batch_tokens > 1 << 24)
		return err_set(ERR_USAGE, "--batch-tokens: 1 to 16777216");
	if (o.how.limit < 0)
		return err_set(ERR_USAGE, "--limit: 0 (all) or more");
	rc = questions_load(&suite, argv[1], NULL, NULL, datasets);
	if (rc == ERR_NOTFOUND)
		rc = err_set(ERR_INPUT, "%s", err_text());
	o.model = argv[0];
	if (rc == 0)
		rc = eval_model(&result, suite, &place, &o);
	if (rc == 0 && samples)
		rc = write_samples(result, samples);
	if (rc == 0) {
		json_t *doc = suite_result_json(result);

		print_json(doc);
		json_decref(doc);
	}
	suite_result_free(result);
	suite_free(suite);
	place_close(&place);
	return rc;
}
