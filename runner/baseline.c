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

/* The run that a version stands for under an alias: of the newest promotion by a run's gate, else the one that made it. */
static int promoted_run(struct run *run, const char *model, const char *alias, int version, char id[DIGEST_HEX])
{
	struct registry *registry = run->home->registry;
	json_t *row = NULL;
	int rc = registry_promotion(registry, model, alias, version, true, &row);

	if (rc == ERR_NOTFOUND) {
		err_clear();
		rc = registry_version(registry, model, version, &row);
	}
	if (rc == 0)
		put_hex(id, DIGEST_HEX, row, "run");
	json_decref(row);
	return rc;
}

static int from_alias(struct run *run, const char *alias)
{
	const char *model = run->questions->model;
	char id[DIGEST_HEX];
	int version = 0, rc = registry_alias(run->home->registry, model, alias, &version);

	if (rc)
		return rc;
	rc = promoted_run(run, model, alias, version, id);
	rc = rc ? rc : from_run(run, id);
	run->baseline.version = version;
	run->baseline.promoted = true;
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

/* The first of a row of runs, newest first, that may decide and has a model. */
struct choice {
	const struct run *run;
	bool passed;         /* only one that did not block */
	const char *without; /* nor one of this commit; NULL: any */
	char id[DIGEST_HEX]; /* "": none */
	int64_t seq;
};

static int choose(json_t *row, void *arg)
{
	struct choice *c = arg;

	if (!may_decide(c->run, row) || !*json_get_text(row, "object", "") ||
	    (c->passed && json_get_int(row, "exit", 1) != 0) ||
	    (c->without && strcmp(json_get_text(row, "commit", ""), c->without) == 0))
		return 0;
	put_hex(c->id, sizeof(c->id), row, "id");
	c->seq = json_get_int(row, "seq", 0);
	return 1;
}

enum { ID_LEAST = 8, COMMIT_LEAST = 7 };

/* A run's id, a commit, or a branch: the newest that may decide and has a model. Of a branch not one of this very
 * commit: a run again would be compared with itself, and pass. */
static int from_runs(struct run *run, const char *name)
{
	static const struct {
		enum runs_by by;
		size_t least;
	} ways[] = { { RUNS_BY_ID, ID_LEAST }, { RUNS_BY_COMMIT, COMMIT_LEAST }, { RUNS_BY_BRANCH, 1 } };
	struct choice best = { .seq = -1 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(ways); i++) {
		bool branch = ways[i].by == RUNS_BY_BRANCH;
		struct choice c = { .run = run, .passed = branch, .without = branch ? run->commit.oid : NULL };

		if (strlen(name) >= ways[i].least)
			rc = registry_runs(run->home->registry, ways[i].by, name, choose, &c);
		if (*c.id && c.seq > best.seq)
			best = c;
	}
	if (rc == 0 && *best.id)
		rc = from_run(run, best.id);
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

/* Of the first commit, the merge base itself, any verdict will do; of the others one that did not block. The nearest that
 * has the answers to these questions is it; else the nearest with a model. */
static int nearest(struct run *run, const char *oids)
{
	char any[DIGEST_HEX] = "", oid[OID_HEX];
	size_t len;
	int rc = 0;

	for (bool first = true; rc == 0 && *oids; oids += len + (oids[len] == '\n')) {
		struct choice c = { .run = run, .passed = !first };

		len = strcspn(oids, "\n");
		snprintf(oid, sizeof(oid), "%.*s", (int)len, oids);
		if (!len || strcmp(oid, run->commit.oid) == 0)
			continue;
		first = false;
		rc = registry_runs(run->home->registry, RUNS_BY_COMMIT, oid, choose, &c);
		rc = rc || !*c.id ? rc : from_run(run, c.id);
		if (rc == 0 && *c.id && run->baseline.found && is_asked(run))
			return 0;
		if (rc == 0 && *c.id && run->baseline.found && !*any)
			memcpy(any, c.id, sizeof(any));
	}
	run->baseline.found = false;
	if (rc)
		return rc;
	return *any ? from_run(run, any) : ERR_NOTFOUND;
}

static int search(struct run *run, const char *oid)
{
	struct buf list = BUF_INIT((size_t)1 << 20);
	int rc = repo_ancestors(run->repo, oid, ANCESTORS_MAX, &list);

	rc = rc ? rc : nearest(run, buf_str(&list));
	buf_release(&list);
	return rc;
}

/* oid and what is before it, but for the commit that is judged itself. A clone that ends too soon is deepened once. */
static int from_ancestors(struct run *run, const char *oid)
{
	json_t *any = NULL;
	int rc = registry_list(run->home->registry, "runs", NULL, 1, &any);

	rc = rc ? rc : search(run, oid);
	if (rc == ERR_NOTFOUND && json_array_size(any) && fetch_deeper(run->repo, oid))
		rc = search(run, oid);
	json_decref(any);
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
	json_t *row = NULL, *record = NULL;
	char id[DIGEST_HEX];
	int rc = registry_promotion(registry, model, run->alias, run->alias_version, false, &row);

	if (rc == ERR_NOTFOUND) {
		err_clear();
		rc = registry_version(registry, model, run->alias_version, &row);
	}
	if (rc == 0)
		put_hex(run->alias_commit, sizeof(run->alias_commit), row, "commit");
	rc = rc ? rc : promoted_run(run, model, run->alias, run->alias_version, id);
	if (rc == 0) {
		rc = registry_run(registry, id, &record);
		put_hex(run->alias_prompt, sizeof(run->alias_prompt), json_object_get(record, "product"), "prompt");
	}
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
