/* fetch.c: a CI's clone has one commit by default; what a verdict needs beside it is fetched, and no more.
 *
 * That is the target's commit (its questions), the history down to the merge base, deepened in steps that double, and, so
 * that no alias goes back, the history between two commits. git does all of it, with the credentials that it has; where it
 * has none any more (persist-credentials: false), the message says which depth the checkout needs. The remote need not be
 * called origin: what the branch follows is asked first, then origin, else the only one there is. A merged result needs nothing: it names its parents, and the first is the target's tip. */
#include "base/base.h"
#include "runner/fetch.h"
#include "runner/repo_int.h"

enum { STEP_FIRST = 50, STEP_LAST = 100000 };

static bool is_here(struct repo *r, const char *oid)
{
	struct commit c;
	int rc = repo_commit(r, oid, &c);

	if (rc == 0)
		commit_release(&c);
	return rc == 0;
}

/* One git fetch, of one or two commits by name, from the remote that has them. */
static bool ask(struct repo *r, const char *how, const char *a, const char *b)
{
	struct buf remotes = BUF_INIT(1 << 20);
	char *save = NULL;
	bool done = false;

	if (getenv("ASSAY_OFFLINE") || repo_remotes(r, &remotes) != 0 || !remotes.len) {
		buf_release(&remotes);
		err_clear();
		return false;
	}
	for (char *name = strtok_r(remotes.data, "\n", &save); name && !done; name = strtok_r(NULL, "\n", &save))
		done = REPO_ASK(r, NULL, NULL, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules",
				"--no-write-fetch-head", how, name, a, b) == 0;
	buf_release(&remotes);
	return done;
}

int fetch_commit(struct repo *r, const char *commit)
{
	struct commit c;

	if (!is_here(r, commit)) /* a depth makes a whole clone a shallow one */
		ask(r, repo_is_shallow(r) ? "--depth=1" : "--no-progress", commit, NULL);
	if (repo_commit(r, commit, &c) != 0)
		return ERR_INPUT;
	commit_release(&c);
	return 0;
}

bool fetch_deeper(struct repo *r, const char *commit)
{
	char *how = mem_printf("--deepen=%d", STEP_FIRST);
	bool more = repo_is_shallow(r) && ask(r, how, commit, NULL);

	free(how);
	return more;
}

static bool is_parent(struct repo *r, const char *parent, const char *child)
{
	char first[OID_HEX], second[OID_HEX];
	bool yes = repo_parents(r, child, first, second) == 0 && (!strcmp(first, parent) || !strcmp(second, parent));

	err_clear();
	return yes;
}

int fetch_merge_base(struct repo *r, const char *a, const char *b, char oid[OID_HEX])
{
	int rc = 0;

	if (is_parent(r, a, b)) {
		snprintf(oid, OID_HEX, "%s", a);
		return 0;
	}
	for (int step = STEP_FIRST; (rc = repo_merge_base(r, a, b, oid)) != 0 && repo_is_shallow(r); step *= 2) {
		char *how = mem_printf("--deepen=%d", step);
		bool more = step <= STEP_LAST && ask(r, how, a, b);

		free(how);
		if (!more)
			return repo_merge_base(r, a, b, oid);
		log_info("this clone is shallow: fetched %d more commits towards the merge base", step);
	}
	return rc;
}

int fetch_is_ancestor(struct repo *r, const char *ancestor, const char *descendant, bool *yes)
{
	struct commit c;
	char *since;
	int rc;

	*yes = repo_is_ancestor(r, ancestor, descendant);
	if (*yes || !repo_is_shallow(r))
		return 0;
	rc = repo_commit(r, ancestor, &c);
	if (rc)
		return rc;
	since = mem_printf("--shallow-since=%lld", (long long)c.time - 1);
	commit_release(&c);
	if (!ask(r, since, descendant, ancestor)) {
		rc = err_set(ERR_INPUT, "this clone is too shallow to tell whether %.12s is before %.12s", ancestor,
			     descendant);
		err_hint(rc, "git fetch --unshallow (GitHub: fetch-depth: 0; GitLab: GIT_DEPTH: \"0\")");
	}
	free(since);
	*yes = repo_is_ancestor(r, ancestor, descendant);
	return rc;
}
