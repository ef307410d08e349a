/* baseline.c: what the candidate is compared with: an alias, the merge base, or a run by name.
 *
 * Found twice: by the plan, to see whether anything changed at all, and by the gate under its lease, since another run
 * may have moved the alias in between. */
#include "base/base.h"
#include "runner/baseline.h"

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

	if (rc)
		return rc;
	product = json_object_get(record, "product");
	snprintf(b->run, sizeof(b->run), "%s", id);
	put_hex(b->object, sizeof(b->object), product, "object");
	put_hex(b->prompt, sizeof(b->prompt), product, "prompt");
	put_hex(b->product, sizeof(b->product), product, "key");
	b->commit = mem_str(json_get_text(record, "commit", ""));
	b->version = (int)json_get_int(json_object_get(record, "version"), "number", 0);
	b->found = *b->object != 0;
	if (!b->found)
		b->why = mem_printf("run %.12s has no model", id);
	json_decref(record);
	return 0;
}

static int from_alias(struct run *run, const char *alias)
{
	const char *model = run->questions->model;
	json_t *row = NULL;
	int version = 0, rc = registry_alias(run->home->registry, model, alias, &version);

	if (rc)
		return rc;
	rc = registry_version(run->home->registry, model, version, &row);
	if (rc == 0)
		rc = from_run(run, json_get_text(row, "run", ""));
	run->baseline.version = version;
	json_decref(row);
	return rc;
}

static int from_name(struct run *run, const char *name)
{
	char id[DIGEST_HEX], oid[OID_HEX];
	int rc;

	if (strcmp(name, "merge-base") == 0) {
		if (!*run->event.target)
			return err_set(ERR_NOTFOUND, "no target branch, so no merge base");
		rc = repo_merge_base(run->repo, run->event.target, run->commit.oid, oid);
		if (rc)
			return rc;
		rc = registry_find_run(run->home->registry, oid, id);
	} else {
		rc = registry_find_run(run->home->registry, name, id);
	}
	return rc ? rc : from_run(run, id);
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

int baseline_alias(struct run *run)
{
	bool lands = run->event.kind != EVENT_PULL_REQUEST && run->event.trust != TRUST_FORK; /* a merge request does not */
	json_t *row = NULL;
	int rc;

	run->alias = lands ? config_alias(run->questions, run->event.branch) : NULL;
	run->alias_version = 0;
	*run->alias_commit = 0;
	if (!run->alias)
		return 0;
	rc = registry_alias(run->home->registry, run->questions->model, run->alias, &run->alias_version);
	if (rc == ERR_NOTFOUND) {
		err_clear();
		return 0;
	}
	if (rc == 0)
		rc = registry_version(run->home->registry, run->questions->model, run->alias_version, &row);
	if (rc == 0)
		snprintf(run->alias_commit, sizeof(run->alias_commit), "%s", json_get_text(row, "commit", ""));
	json_decref(row);
	return rc;
}
