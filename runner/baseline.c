/* baseline.c: what the candidate is compared with: an alias, the merge base (or the nearest commit before it that was
 * judged; one that was asked these very questions goes first), or a run by name.
 *
 * Found twice: by the plan, to see whether anything changed at all, and by the gate under its lease, since another run
 * may have moved the alias in between.
 *
 * A baseline decides, so not every run can be one. An alias stands for the run that it was promoted by, not for whoever
 * made the same weights first, with another prompt perhaps. A branch or a commit stands for its newest run of a model
 * that is of this run's trust or stronger (a fork may call its branch main) and of the commit itself, not of a work tree;
 * for a branch, one that did not block: else a push that fails would lower the bar for the next. */
#include "base/base.h"
#include "runner/baseline.h"
#include "runner/calibration.h"
#include "runner/evaluate.h"
#include "runner/fetch.h"

static void forget(struct run_baseline *b)
{
	free(b->name);
	free(b->commit);
	free(b->why);
	memset(b, 0, sizeof(*b));
}

static void put_hex(char *out, size_t size, const json_t *obj, const char *key)
{
	snprintf(out, size, "%s", json_get_text(obj, key, ""));
}

/* The members of a run record that a comparison needs. */
static int from_run(struct run *run, const char *id)
{
	struct run_baseline *b = &run->baseline;
	json_t *record = NULL, *product;
	int rc = registry_run(run->home->registry, id, &record);

	if (rc == ERR_NOTFOUND) { /* what is lost is not the same as what never was: that would loosen the gate */
		rc = err_set(ERR_IO, "the record of run %.12s, which the baseline rests on, is gone", id);
		err_hint(rc, "assay registry check tells what else is missing");
	}
	if (rc)
		return rc;
	product = json_object_get(record, "product");
	free(b->commit);
	free(b->why);
	b->why = NULL;
	snprintf(b->run, sizeof(b->run), "%s", id);
	put_hex(b->object, sizeof(b->object), product, "object");
	put_hex(b->prompt, sizeof(b->prompt), product, "prompt");
	put_hex(b->product, sizeof(b->product), product, "key");
	b->commit = mem_str(json_get_text(record, "commit", ""));
	put_hex(b->verdict, sizeof(b->verdict), record, "verdict");
	b->version = (int)json_get_int(json_object_get(record, "version"), "number", 0);
	b->found = *b->object != 0;
	if (!b->found)
		b->why = mem_printf("run %.12s has no model", id);
	json_decref(record);
	return 0;
}

/* The promotion that put a version under an alias: the newest by a run's gate, else (by_run false) the newest at all. */
static const json_t *promotion_of(const json_t *history, const char *alias, int version, bool by_run)
{
	json_t *row;
	size_t i;

	json_array_foreach(history, i, row) if (strcmp(json_get_text(row, "alias", ""), alias) == 0 &&
						json_get_int(row, "version", 0) == version &&
						(!by_run || json_get_text(row, "run", NULL))) return row;
	return NULL;
}

static int from_alias(struct run *run, const char *alias)
{
	struct registry *registry = run->home->registry;
	const char *model = run->questions->model;
	json_t *row = NULL, *history = NULL;
	int version = 0, rc = registry_alias(registry, model, alias, &version);

	if (rc)
		return rc;
	rc = registry_version(registry, model, version, &row);
	if (rc == 0)
		rc = registry_list(registry, "history", model, 0, &history);
	if (rc == 0) {
		const json_t *promotion = promotion_of(history, alias, version, true);

		rc = from_run(run, json_get_text(promotion ? promotion : row, "run", ""));
	}
	run->baseline.version = version;
	run->baseline.promoted = true;
	json_decref(history);
	json_decref(row);
	return rc == ERR_NOTFOUND ? err_set(ERR_IO, "%s@%s: %s", model, alias, err_text()) : rc;
}

static bool may_decide(const struct run *run, const json_t *row)
{
	enum trust trust;

	return trust_parse(&trust, json_get_text(row, "trust", "")) == 0 && trust >= run->event.trust &&
	       !json_get_flag(row, "dirty", true) &&
	       strcmp(json_get_text(row, "profile", ""), CALIBRATE_PROFILE) != 0 &&
	       strcmp(json_get_text(row, "verdict", "ERROR"), "ERROR") != 0;
}

static bool has_prefix(const json_t *row, const char *key, const char *name, size_t least)
{
	return strlen(name) >= least && strncmp(json_get_text(row, key, ""), name, strlen(name)) == 0;
}

/* A run's id, a commit, or a branch: the newest that may decide and has a model. Of a branch not one of this very
 * commit: a run again would be compared with itself, and pass. */
static int from_runs(struct run *run, const char *name)
{
	json_t *rows = NULL, *row;
	size_t i;
	int rc = registry_list(run->home->registry, "runs", NULL, 0, &rows);

	json_array_foreach(rows, i, row)
	{
		bool named = has_prefix(row, "id", name, 8) || has_prefix(row, "commit", name, 7);
		bool branch = strcmp(json_get_text(row, "branch", ""), name) == 0 &&
			      json_get_int(row, "exit", 1) == 0 &&
			      strcmp(json_get_text(row, "commit", ""), run->commit.oid) != 0;

		if (rc || run->baseline.found)
			break;
		if ((named || branch) && may_decide(run, row))
			rc = from_run(run, json_get_text(row, "id", ""));
	}
	json_decref(rows);
	if (rc)
		return rc;
	return run->baseline.found ? 0 : err_set(ERR_NOTFOUND, "no run of %s", name);
}

/* ---- the merge base, or the nearest ancestor that was judged --------------------------------------------------------- */

enum { ANCESTORS_MAX = 10000 };

/* Are the baseline's answers to these very questions stored? */
static bool is_asked(struct run *run)
{
	for (size_t i = 0; i < run->n_suites; i++) {
		char key[DIGEST_HEX];
		json_t *row = NULL;
		int rc;

		evaluate_key(run, &run->suites[i], run->baseline.object, run->baseline.prompt, key);
		rc = registry_stage(run->home->registry, "eval", key, run->event.trust, &row);
		json_decref(row);
		err_clear();
		if (rc)
			return false;
	}
	return true;
}

/* The commits of a walk, newest first, and of each the newest run that may decide. */
struct walk {
	struct map at; /* commit -> its place */
	char **runs;   /* ids; NULL: none */
	size_t n;
};

static void walk_open(struct walk *w, const char *oids, const char *without)
{
	size_t len;

	*w = (struct walk){ 0 };
	map_init(&w->at);
	for (const char *oid = oids; *oid; oid += len + (oid[len] == '\n')) {
		len = strcspn(oid, "\n");
		if (len && strncmp(oid, without, len) != 0)
			map_put(&w->at, oid, len, (int64_t)w->n++);
	}
	w->runs = mem_array(w->n + 1, sizeof(*w->runs));
}

static void walk_close(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->runs[i]);
	free(w->runs);
	map_release(&w->at);
}

/* Of the first commit, the merge base itself, any verdict will do; of the others one that did not block. */
static void walk_runs(struct walk *w, const struct run *run, const json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *oid = json_get_text(row, "commit", "");
		int64_t at;

		if (map_get(&w->at, oid, strlen(oid), &at) && !w->runs[at] && may_decide(run, row) &&
		    (at == 0 || json_get_int(row, "exit", 1) == 0))
			w->runs[at] = mem_str(json_get_text(row, "id", ""));
	}
}

/* The nearest that has the answers to these questions; else the nearest with a model. */
static int nearest(struct run *run, const struct walk *w)
{
	const char *any = NULL;
	int rc;

	for (size_t i = 0; i < w->n; i++) {
		if (!w->runs[i])
			continue;
		rc = from_run(run, w->runs[i]);
		if (rc || (run->baseline.found && is_asked(run)))
			return rc;
		if (run->baseline.found && !any)
			any = w->runs[i];
	}
	run->baseline.found = false;
	return any ? from_run(run, any) : ERR_NOTFOUND;
}

static int search(struct run *run, const char *oid, const json_t *rows)
{
	struct buf list = BUF_INIT((size_t)1 << 20);
	struct walk w;
	int rc = repo_ancestors(run->repo, oid, ANCESTORS_MAX, &list);

	walk_open(&w, rc ? "" : buf_str(&list), run->commit.oid);
	if (rc == 0) {
		walk_runs(&w, run, rows);
		rc = nearest(run, &w);
	}
	walk_close(&w);
	buf_release(&list);
	return rc;
}

/* oid and what is before it, but for the commit that is judged itself. A clone that ends too soon is deepened once. */
static int from_ancestors(struct run *run, const char *oid)
{
	json_t *rows = NULL;
	int rc = registry_list(run->home->registry, "runs", NULL, 0, &rows);

	rc = rc ? rc : search(run, oid, rows);
	if (rc == ERR_NOTFOUND && json_array_size(rows) && fetch_deeper(run->repo, oid))
		rc = search(run, oid, rows);
	json_decref(rows);
	return rc == ERR_NOTFOUND ? err_set(ERR_NOTFOUND, "no run of %.12s or a commit before it", oid) : rc;
}

static int from_name(struct run *run, const char *name)
{
	char oid[OID_HEX];
	int rc = 0;

	if (strcmp(name, "merge-base") != 0)
		return from_runs(run, name);
	if (*run->event.target)
		rc = fetch_merge_base(run->repo, run->event.target, run->commit.oid, oid);
	else /* on its own: what it is built upon */
		memcpy(oid, run->commit.oid, sizeof(oid));
	return rc ? rc : from_ancestors(run, oid);
}

int baseline_find(struct run *run)
{
	const char *name = run->questions->gate.baseline;
	struct run_baseline *b = &run->baseline;
	int rc;

	forget(b);
	if (!name) {
		b->why = mem_str("the policy names no baseline");
		return 0;
	}
	b->name = mem_str(name);
	rc = from_alias(run, name);
	if (rc == ERR_NOTFOUND)
		rc = from_name(run, name);
	if (rc == ERR_NOTFOUND) {
		free(b->why);
		b->why = mem_printf("nothing is recorded under %s yet", name);
		b->found = false;
		err_clear();
		return 0;
	}
	return rc;
}

/* Commit and prompt that the alias holds: of the run that was promoted, which need not be the first to make the version. */
static int find_commit(struct run *run, const char *model)
{
	struct registry *registry = run->home->registry;
	json_t *row = NULL, *history = NULL, *record = NULL;
	int rc = registry_version(registry, model, run->alias_version, &row);

	if (rc == 0)
		rc = registry_list(registry, "history", model, 0, &history);
	if (rc == 0) {
		const json_t *promotion = promotion_of(history, run->alias, run->alias_version, false);
		const json_t *by_run = promotion_of(history, run->alias, run->alias_version, true);

		put_hex(run->alias_commit, sizeof(run->alias_commit), promotion ? promotion : row, "commit");
		rc = registry_run(registry, json_get_text(by_run ? by_run : row, "run", ""), &record);
		put_hex(run->alias_prompt, sizeof(run->alias_prompt), json_object_get(record, "product"), "prompt");
	}
	json_decref(history);
	json_decref(record);
	json_decref(row);
	return rc;
}

int baseline_alias(struct run *run)
{
	bool lands =
		run->event.kind != EVENT_PULL_REQUEST && run->event.trust != TRUST_FORK; /* a merge request does not */
	int rc;

	run->alias = lands ? config_alias(run->questions, run->event.branch) : NULL;
	run->alias_version = 0;
	*run->alias_commit = *run->alias_prompt = 0;
	if (!run->alias)
		return 0;
	rc = registry_alias(run->home->registry, run->questions->model, run->alias, &run->alias_version);
	if (rc == ERR_NOTFOUND) {
		err_clear();
		return 0;
	}
	return rc ? rc : find_commit(run, run->questions->model);
}
