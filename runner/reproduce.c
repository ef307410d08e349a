/* reproduce.c: a run made again from what its record names, to see whether the same bits come out.
 *
 * A record names everything that went into a run: the commit, which pins code and data; the target commit, which pins
 * the questions; the object of the base; the numerics class. So:
 *
 *	assemble   the commits, fetched where the clone lacks them; the base, out of the store, or made again by reproducing
 *		   the run that made it, and so on down to weights that came with a commit
 *	train      the commit of the run that trained the model (a run that only met it again points there), with nothing
 *		   that is stored reused
 *	eval       the questions of the target, with nothing reused
 *	compare    digests (reproduce_compare.c)
 *
 * All that has to be known is the records, which are small: a clone with a copy of records/ makes everything else
 * again. Nothing is recorded. What is made goes to the store, where the same bits are the same objects.
 *
 * The document: {"run","commit","equal","first","numerics":{"recorded","here"},"tool":{…},"rebuilt":[{"object","run"}],
 * "compared":[rows],"seconds":{"assemble","train","eval"}}; with prepare {"run","commit","prepared","seconds","base",
 * "questions"}. first: what differed first, in words, or null. */
#include "base/base.h"
#include "runner/checkout.h"
#include "runner/fetch.h"
#include "runner/evaluate.h"
#include "runner/reproduce.h"

enum { CHAIN_MAX = 64 };

struct again {
	struct home *home;
	struct repo *repo;
	const struct reproduce_options *o;
	json_t *rebuilt;
	const char *device;
	char *device_text;
	double assemble_s, train_s, eval_s;
};

/* ---- what a record says ------------------------------------------------------------------------------------------------ */

/* The commit whose questions were asked: "target OID", or "" for the commit's own. */
static const char *target_of(const json_t *record)
{
	const char *source = json_get_text(json_object_get(record, "policy"), "source", "");

	return strncmp(source, "target ", 7) == 0 ? source + 7 : "";
}

static const char *object_of(const json_t *record)
{
	return json_get_text(json_object_get(record, "product"), "object", "");
}

static int check_record(const json_t *record, const char *id)
{
	if (json_get_flag(record, "dirty", false)) {
		err_set(ERR_INPUT, "run %.12s judged a work tree, not a commit: what it read is not kept", id);
		return err_hint(ERR_INPUT, "commit first, then run");
	}
	if (!*object_of(record))
		return err_set(ERR_INPUT, "run %.12s made no model: %s", id,
			       json_get_text(record, "sentence", "it was not trained"));
	return 0;
}

static int read_record(struct again *a, const char *id, json_t **record)
{
	int rc = registry_run(a->home->registry, id, record);

	return rc ? rc : check_record(*record, id);
}

static bool trained_itself(const json_t *record)
{
	json_t *stage;
	size_t i;

	json_array_foreach(json_object_get(record, "stages"), i, stage)
	{
		if (strcmp(json_get_text(stage, "step", ""), "train") == 0)
			return true;
	}
	return false;
}

/* The record of the run that trained the model: this one's own, or of the one that it reused. */
static int maker_of(struct again *a, json_t *record, const char *id, json_t **made)
{
	char maker[DIGEST_HEX];
	int rc;

	if (trained_itself(record)) {
		*made = json_incref(record);
		return 0;
	}
	rc = registry_maker(a->home->registry, object_of(record), maker);

	if (rc == ERR_NOTFOUND) {
		err_set(ERR_INPUT, "run %.12s did not train its model, and the record of the run that did is not here",
			id);
		return err_hint(ERR_INPUT, "copy it into records/ of this home, from where it ran");
	}
	return rc ? rc : read_record(a, maker, made);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

/* "cpu" of "cpu-3/f32/x86-64-v3", "cuda/f32" of "cuda-2/f32/sm_90/…": the device that has this class. */
static char *device_of(const char *numerics)
{
	size_t name = strcspn(numerics, "-/"), class = strcspn(numerics, "/");

	if (name != 4 || memcmp(numerics, "cuda", name) != 0 || !numerics[class])
		return mem_strn(numerics, name);
	return mem_printf("cuda/%.*s", (int)strcspn(numerics + class + 1, "/"), numerics + class + 1);
}

static int choose_device(struct again *a, const char *numerics)
{
	struct backend *be = NULL;
	int rc;

	free(a->device_text);
	a->device_text = device_of(numerics);
	a->device = a->o->device ? a->o->device : a->device_text;
	rc = backend_open(&be, a->device, (int)a->o->threads);
	if (rc) /* a recorded device that is no device is not the user's mistake */
		return err_context(a->o->device ? rc : ERR_UNAVAILABLE, "the run computed on %s", a->device_text);
	if (strcmp(be->numerics, numerics) != 0 && !a->o->other_numerics) {
		rc = err_set(ERR_UNAVAILABLE, "the run's numbers are of the class %s, this machine's of %s", numerics,
			     be->numerics);
		err_hint(rc, "equal bits cannot be expected; --other-numerics runs it all the same");
	}
	backend_close(be);
	return rc;
}

static const char *numerics_of(const json_t *record)
{
	return json_get_text(json_object_get(record, "tool"), "numerics", "");
}

/* ---- running again --------------------------------------------------------------------------------------------------------- */

static struct run_options options_of(const struct again *a, const json_t *record)
{
	const char *profile = json_get_text(record, "profile", "");
	struct run_options o;

	run_options_init(&o);
	o.rev = json_get_text(record, "commit", "");
	o.profile = *profile ? profile : NULL;
	o.device = a->device;
	o.threads = a->o->threads;
	o.limit = json_get_real(record, "limit", 0);
	o.shares = (int)json_get_int(json_object_get(record, "training"), "data_parallel", 0);
	o.memory = a->o->memory;
	o.datasets = a->o->datasets;
	o.wait_s = a->o->wait_s;
	o.quiet = o.fresh = true;
	return o;
}

/* The steps of a run up to one of them. The caller releases *run, whatever came of it. */
static int run_until(struct again *a, const json_t *record, struct run_options *o, const char *until, struct run *run)
{
	struct event event = { .kind = EVENT_MANUAL,
			       .trust = TRUST_BRANCH,
			       .from_default = true }; /* the run's own policy */

	o->until = until;
	snprintf(event.target, sizeof(event.target), "%s", target_of(record));
	run_push(run, o, a->repo, a->home, &event);
	if (!run->failed)
		return 0;
	err_set(run->failed, "%s", run->fail_text);
	return run->fail_hint ? err_hint(run->failed, "%s", run->fail_hint) : run->failed;
}

static int have_commits(struct again *a, const json_t *record)
{
	const char *oids[] = { json_get_text(record, "commit", ""), target_of(record) };

	for (size_t i = 0; i < ARRAY_LEN(oids); i++) {
		if (!*oids[i] || fetch_commit(a->repo, oids[i]) == 0)
			continue;
		err_set(ERR_INPUT, "commit %.12s is neither in this clone nor at its remote", oids[i]);
		return err_hint(ERR_INPUT, "git fetch from where it is: %s", oids[i]);
	}
	err_clear();
	return 0;
}

static int assemble(struct again *a, const json_t *made, int depth);

/* Trains what a record describes; run: to be released by the caller. */
static int train_again(struct again *a, const json_t *made, struct run *run)
{
	struct run_options o = options_of(a, made);

	o.base = record_base(made);
	return run_until(a, made, &o, "train", run);
}

/* The base is not here: the run that made it is reproduced. */
static int rebuild(struct again *a, const char *object, int depth)
{
	char id[DIGEST_HEX];
	json_t *made = NULL;
	struct run run = { 0 };
	int rc = registry_maker(a->home->registry, object, id);

	if (rc == ERR_NOTFOUND) {
		err_set(ERR_INPUT,
			"the base %.12s is not in the store, and the record of the run that made it is not here",
			object);
		return err_hint(ERR_INPUT, "copy records/ (or objects/) from the home where it is");
	}
	rc = rc ? rc : read_record(a, id, &made);
	rc = rc ? rc : assemble(a, made, depth + 1);
	if (rc == 0) {
		log_info("the base %.12s is made again by run %.12s", object, id);
		rc = train_again(a, made, &run);
	}
	if (rc == 0 && strcmp(run.object, object) != 0) {
		rc = err_set(ERR_INPUT, "the base %.12s cannot be made again: run %.12s gives %.12s now", object, id,
			     run.object);
		err_hint(rc, "assay reproduce %.12s tells what differs", id);
	}
	if (rc == 0)
		json_array_append_new(a->rebuilt, json_pack("{s:s,s:s}", "object", object, "run", id));
	run_release(&run);
	json_decref(made);
	return rc;
}

static int assemble(struct again *a, const json_t *made, int depth)
{
	const char *base = record_base(made);
	int rc = depth > CHAIN_MAX ? err_set(ERR_INPUT, "a chain of more than %d bases", CHAIN_MAX)
				   : have_commits(a, made);

	rc = rc ? rc : choose_device(a, numerics_of(made));
	if (rc || !base || store_need(a->home->store, base))
		return rc;
	rc = rebuild(a, base, depth);
	return rc ? rc : choose_device(a, numerics_of(made));
}

/* ---- comparing --------------------------------------------------------------------------------------------------------------- */

/* The row that differs first, as a sentence; NULL: none. */
static json_t *first_difference(const json_t *rows, bool *equal)
{
	json_t *row, *first = NULL;
	size_t i;

	*equal = true;
	json_array_foreach(rows, i, row)
	{
		const char *note = json_get_text(row, "note", NULL);
		char *text;

		if (json_get_flag(row, "equal", false))
			continue;
		*equal = false;
		if (first)
			continue;
		text = mem_printf("%s %s%s%s", json_get_text(row, "what", ""), json_get_text(row, "name", ""),
				  note ? ": " : " differs", note ? note : "");
		first = json_string(text);
		free(text);
	}
	return first ? first : json_null();
}

static json_t *pair(const char *recorded, const char *here)
{
	return json_pack("{s:s,s:s}", "recorded", recorded, "here", here);
}

static json_t *document(const struct again *a, const json_t *record, const char *id, const char *numerics, json_t *rows)
{
	bool equal;
	json_t *first = first_difference(rows, &equal);

	return json_pack("{s:s,s:s,s:b,s:o,s:o,s:o,s:O,s:O,s:{s:f,s:f,s:f}}", "run", id, "commit",
			 json_get_text(record, "commit", ""), "equal", equal, "first", first, "numerics",
			 pair(numerics_of(record), numerics), "tool",
			 pair(json_get_text(json_object_get(record, "tool"), "version", ""), ASSAY_VERSION), "rebuilt",
			 a->rebuilt, "compared", rows, "seconds", "assemble", a->assemble_s, "train", a->train_s,
			 "eval", a->eval_s);
}

static int run_again(struct again *a, const json_t *record, const json_t *made, const char *id, json_t **out)
{
	struct run training = { 0 }, evaluation = { 0 };
	struct run_options o;
	json_t *rows = json_array();
	double start = clock_seconds();
	int rc = train_again(a, made, &training);

	a->train_s = clock_seconds() - start;
	if (rc == 0) {
		compare_data(rows, made, &training);
		if (strcmp(training.object, object_of(record)) != 0)
			compare_training(rows, made, &training);
		compare_model(rows, a->home->store, object_of(record), training.object);
		rc = choose_device(a, numerics_of(record));
	}
	if (rc == 0) {
		start = clock_seconds();
		o = options_of(a, record);
		o.object = training.object;
		o.base = record_base(record); /* not read, but named by the configuration */
		rc = run_until(a, record, &o, "eval", &evaluation);
		a->eval_s = clock_seconds() - start;
	}
	if (rc == 0) {
		compare_samples(rows, a->home->store, record, &evaluation);
		*out = document(a, record, id, evaluation.numerics, rows);
	}
	json_decref(rows);
	run_release(&training);
	run_release(&evaluation);
	return rc;
}

/* ---- preparing ----------------------------------------------------------------------------------------------------------------- */

static int write_record(const json_t *record, const char *dir)
{
	char *path = path_join(dir, "record.json");
	struct buf text = BUF_INIT((size_t)256 << 20);
	int rc;

	json_add_pretty(&text, record);
	rc = fs_write(path, buf_str(&text), text.len);
	buf_release(&text);
	free(path);
	return rc;
}

static int write_code(struct again *a, const char *commit, const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	int rc = checkout_write(a->repo, commit, path);

	free(path);
	return rc;
}

static int write_base(struct again *a, const char *base, const char *dir)
{
	const struct package_options o = { .object = base, .model = "base", .version = 1 };
	char *path = path_join(dir, "base");
	int rc = package_export(a->home->store, PACKAGE_DIR, &o, path);

	free(path);
	return rc;
}

/* DIR/code, the commit that trained the model; DIR/questions, the target's commit; DIR/base; DIR/record.json. */
static int prepare(struct again *a, const json_t *record, const json_t *made, const char *id, json_t **out)
{
	const char *dir = a->o->prepare, *base = record_base(made), *target = target_of(record);
	double start = clock_seconds();
	int rc;

	if (fs_exists(dir))
		return err_hint(err_set(ERR_EXISTS, "%s exists already", dir), "name a folder that is to be made");
	rc = fs_mkdirs(dir);
	rc = rc ? rc : write_code(a, json_get_text(made, "commit", ""), dir, "code");
	if (rc == 0 && *target)
		rc = write_code(a, target, dir, "questions");
	if (rc == 0 && base)
		rc = write_base(a, base, dir);
	rc = rc ? rc : write_record(record, dir); /* last: it says that the rest is whole */
	if (rc) {
		struct err_saved why = err_save();

		(void)fs_remove_tree(dir);
		err_restore(&why);
		return rc;
	}
	*out = json_pack("{s:s,s:s,s:s,s:f,s:o,s:o,s:O}", "run", id, "commit", json_get_text(made, "commit", ""),
			 "prepared", dir, "seconds", a->assemble_s + clock_seconds() - start, "base",
			 base ? json_string(base) : json_null(), "questions",
			 *target ? json_string(target) : json_null(), "rebuilt", a->rebuilt);
	return 0;
}

int reproduce(struct home *h, struct repo *r, const char *id, const struct reproduce_options *o, json_t **out)
{
	struct again a = { .home = h, .repo = r, .o = o, .rebuilt = json_array() };
	json_t *record = NULL, *made = NULL;
	double start = clock_seconds();
	int rc = read_record(&a, id, &record);

	rc = rc ? rc : maker_of(&a, record, id, &made);
	rc = rc ? rc : have_commits(&a, record);
	rc = rc ? rc : assemble(&a, made, 0);
	a.assemble_s = clock_seconds() - start;
	if (rc == 0)
		rc = o->prepare ? prepare(&a, record, made, id, out) : run_again(&a, record, made, id, out);
	json_decref(record);
	json_decref(made);
	json_decref(a.rebuilt);
	free(a.device_text);
	return rc;
}
