/* eval_model.c: a suite on a model, outside a run: on a stored model or a folder, by the local engine, or on a server that
 * stands at a named location. Both answer through one struct scorer. */
#include "base/base.h"
#include "runner/eval_model.h"

#include "runner/eval_keep.h"
#include "runner/evaluate.h"
#include "runner/jury.h"
#include "runner/location.h"
#include "runner/plan_memory.h"
#include "runner/remote.h"
#include "runner/score_host.h"

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
	char number[96], share[32] = "";
	int rc = folder ? fs_list(folder, add_file, args) : 0;

	if (o->how.share > 0)
		snprintf(share, sizeof(share), " %.17g", o->how.share);
	snprintf(number, sizeof(number), "%lld %llu%s", (long long)o->how.limit, (unsigned long long)o->how.seed,
		 share);
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

static void tell_cut(size_t n)
{
	if (n)
		log_warn("%zu prompts are longer than the model's context and were cut on the left", n);
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
		tell_cut(engine.n_cut);
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
		tell_cut(remote_cut(remote));
	}
	if (rc == 0)
		remote_forget(remote);
	remote_close(remote);
	return rc;
}

/* A folder needs no place; what scores it may: judges stand in the home's config.yaml, and a sandbox hides repository and home
 * where there are any. */
static int open_place(struct place *place, const struct eval_options *o)
{
	const char *home = getenv("ASSAY_HOME");
	struct repo *here = NULL;
	bool nowhere = !(home && *home) && repo_open(&here, ".") == ERR_INPUT;
	int rc;

	repo_close(here);
	if (nowhere && fs_is_dir(o->model) && !o->judge) {
		err_clear();
		return 0;
	}
	rc = place_open(place);
	if (rc && nowhere && !fs_is_dir(o->model)) {
		rc = err_set(rc,
			     "%s is no folder, and MODEL@ALIAS and locations are looked for in a clone: here is none",
			     o->model);
		err_hint(rc, "name the model's folder; or run inside a clone, or set ASSAY_HOME");
	}
	if (rc && nowhere && o->judge)
		err_hint(rc, "a judge is a location of the home's config.yaml: run inside a clone, or set ASSAY_HOME");
	return rc;
}

/* MODEL@ALIAS and folders are models; a plain name may be a location. */
int eval_model(struct suite_result **out, const struct suite *suite, struct place *place, const struct eval_options *o)
{
	struct location location = { 0 };
	bool folder = fs_is_dir(o->model);
	int rc = folder && !o->judge && !o->sandbox ? 0 : open_place(place, o);

	if (rc)
		return rc;
	if (folder || strchr(o->model, '@') || strchr(o->model, '/'))
		return eval_local(out, suite, place, o);
	rc = location_read(&location, store_home(place->home.store), o->model);
	if (rc == ERR_NOTFOUND) {
		err_set(ERR_INPUT, "%s is no folder, no MODEL@ALIAS, and no location in %s/config.yaml", o->model,
			store_home(place->home.store));
		return err_hint(
			ERR_INPUT,
			"name a folder with config.json and model.safetensors, or MODEL@ALIAS (assay models lists "
			"them); for a server write locations: {%s: {url: https://HOST/v1, model: NAME}} there",
			o->model);
	}
	rc = rc ? rc : eval_remote(out, suite, place, &location, o);
	location_release(&location);
	return rc;
}
