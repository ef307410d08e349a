/* event.c: reads what a CI tells about itself, and believes only what decides downwards.
 *
 * protected: a push, seen by the forge's own CI, to a branch that the forge says is protected, of the commit that was
 * pushed. fork: a merge request from another repository, and every event of a forge that this file does not know (some
 * run a stranger's commit on behalf of the target, such as workflow_run and issue_comment). Everything else, a person's
 * own run and the pre-push hook included, is branch. An alias moves in protected runs; a hook run may propose (home.c).
 *
 * The forges' variables are in GitHub's and GitLab's documentation; names of branches in them are free text. */
#include "base/base.h"
#include "base/json.h"
#include "runner/event.h"
#include "runner/fetch.h"

#define PAYLOAD_MAX ((size_t)32 << 20)

const char *event_name(enum event_kind kind)
{
	static const char *const names[] = { "manual", "hook", "push", "pull_request" };

	return names[kind];
}

static bool is(const char *variable, const char *value)
{
	const char *v = getenv(variable);

	return v && strcmp(v, value) == 0;
}

const char *event_ci(void)
{
	const char *ci = getenv("CI");

	return is("GITHUB_ACTIONS", "true")                          ? "GitHub Actions"
	       : is("GITLAB_CI", "true")                             ? "GitLab CI"
	       : ci && *ci && strcmp(ci, "false") && strcmp(ci, "0") ? "a CI"
								     : NULL;
}

/* A whole name: an abbreviation could stand for what somebody else made since. */
static bool is_oid(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return !s[n] && (n == 40 || n == 64);
}

/* Makes sure that a commit the event names is in this clone. */
static int have_commit(struct repo *r, const char *oid)
{
	int rc = fetch_commit(r, oid);

	if (rc) {
		rc = err_set(ERR_INPUT, "the target commit %.12s is not in this clone", oid);
		err_hint(rc, "fetch more history: fetch-depth: 0 at actions/checkout, GIT_DEPTH: \"0\" on GitLab");
	}
	return rc;
}

static void set_head(struct event *e, const char *oid)
{
	if (oid && is_oid(oid))
		memcpy(e->head, oid, strlen(oid) + 1);
}

static int set_target(struct event *e, struct repo *r, const char *oid)
{
	int rc;

	if (!oid || !*oid || oid_is_zero(oid))
		return 0;
	if (!is_oid(oid))
		return err_set(ERR_INPUT, "the event names a target that is no commit: %.80s", oid);
	rc = have_commit(r, oid);
	if (rc == 0)
		memcpy(e->target, oid, strlen(oid) + 1);
	return rc;
}

/* A push to a branch: protected if the forge says so, and says which commit it is. before: its tip until now. */
static int set_push(struct event *e, struct repo *r, const char *branch, const char *is_protected, const char *commit,
		    const char *before)
{
	e->kind = EVENT_PUSH;
	e->branch = mem_str(branch);
	e->trust = is_protected && strcmp(is_protected, "true") == 0 ? TRUST_PROTECTED : TRUST_BRANCH;
	if (!before)
		return err_set(ERR_ENV, "the push's event does not say what the branch held before");
	if (e->trust == TRUST_PROTECTED && commit && is_oid(commit))
		memcpy(e->commit, commit, strlen(commit) + 1);
	if (e->trust != TRUST_PROTECTED)
		e->note = mem_printf("%s is not a protected branch of the forge: no alias moves in this run",
				     branch ? branch : "this reference");
	return set_target(e, r, before);
}

static int must_have_target(const struct event *e)
{
	return *e->target ? 0 : err_set(ERR_INPUT, "the event names no target commit");
}

/* What a merge request is compared with: of a merged result (GITHUB_SHA merges the head into the target) the very tip that
 * it was merged with, which may be newer than the event's; else the tip that the event names. */
static int set_merge_target(struct event *e, struct repo *r, const char *head, const char *base)
{
	const char *tested = getenv("GITHUB_SHA");
	char first[OID_HEX], second[OID_HEX];

	if (tested && is_oid(tested) && repo_parents(r, tested, first, second) == 0 && head && !strcmp(second, head))
		return set_target(e, r, first);
	err_clear();
	return set_target(e, r, base);
}

static int github_pull_request(struct event *e, struct repo *r, const json_t *pr)
{
	const json_t *head = json_object_get(pr, "head"), *base = json_object_get(pr, "base");
	const char *from = json_get_text(json_object_get(head, "repo"), "full_name", "?");
	const char *to = json_get_text(json_object_get(base, "repo"), "full_name", "");
	int rc;

	e->kind = EVENT_PULL_REQUEST;
	e->branch = mem_str(json_get_text(head, "ref", NULL));
	e->trust = strcmp(from, to) == 0 ? TRUST_BRANCH : TRUST_FORK;
	set_head(e, json_get_text(head, "sha", NULL));
	rc = set_merge_target(e, r, json_get_text(head, "sha", NULL), json_get_text(base, "sha", NULL));
	return rc ? rc : must_have_target(e);
}

/* A merge queue's commit is judged like the merge requests in it. */
static int github_merge_group(struct event *e, struct repo *r, const json_t *group)
{
	int rc;

	e->kind = EVENT_PULL_REQUEST;
	e->trust = TRUST_BRANCH;
	set_head(e, json_get_text(group, "head_sha", NULL));
	rc = set_target(e, r, json_get_text(group, "base_sha", NULL));
	return rc ? rc : must_have_target(e);
}

static void github_other(struct event *e, const char *branch)
{
	static const char *const ours[] = { "workflow_dispatch", "schedule", "repository_dispatch" };
	const char *name = getenv("GITHUB_EVENT_NAME");

	e->kind = EVENT_MANUAL;
	e->branch = mem_str(branch);
	e->trust = TRUST_FORK;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (is("GITHUB_EVENT_NAME", ours[i]))
			e->trust = TRUST_BRANCH;
	if (e->trust == TRUST_FORK)
		e->note = mem_printf(
			"the event %.80s may stand for a stranger's commit: this run is trusted like a fork's",
			name ? name : "(without a name)");
}

static int github(struct event *e, struct repo *r)
{
	const char *path = getenv("GITHUB_EVENT_PATH"), *ref = getenv("GITHUB_REF");
	const char *branch = ref && strncmp(ref, "refs/heads/", 11) == 0 ? ref + 11 : NULL;
	const char *name = getenv("GITHUB_EVENT_NAME");
	json_t *payload = NULL, *part;
	int rc = path && *path ? json_read(&payload, path, PAYLOAD_MAX)
			       : err_set(ERR_NOTFOUND, "is not set, and without the event nobody knows the target");

	if (rc) {
		err_context(rc, "GITHUB_EVENT_PATH");
		err_hint(rc, "in a container step, mount the event file and pass GITHUB_* through");
		return rc == ERR_NOTFOUND ? ERR_ENV : rc;
	}
	if (is("GITHUB_EVENT_NAME", "push"))
		rc = set_push(e, r, branch, getenv("GITHUB_REF_PROTECTED"), getenv("GITHUB_SHA"),
			      json_get_text(payload, "before", NULL));
	else if ((part = json_object_get(payload, "pull_request")) != NULL)
		rc = github_pull_request(e, r, part);
	else if (!strncmp(name ? name : "", "pull_request", 12))
		rc = err_set(ERR_INPUT, "GITHUB_EVENT_PATH: an event %.80s without a pull_request", name);
	else if (is("GITHUB_EVENT_NAME", "merge_group"))
		rc = github_merge_group(e, r, json_object_get(payload, "merge_group"));
	else
		github_other(e, branch);
	json_decref(payload);
	return rc;
}

static int gitlab_merge_request(struct event *e, struct repo *r)
{
	const char *from = getenv("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), *to = getenv("CI_MERGE_REQUEST_PROJECT_ID");
	const char *tip = getenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA");
	int rc;

	e->kind = EVENT_PULL_REQUEST;
	e->branch = mem_str(getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"));
	e->trust = from && to && *from && strcmp(from, to) == 0 ? TRUST_BRANCH : TRUST_FORK;
	set_head(e, tip && *tip ? getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") : getenv("CI_COMMIT_SHA"));
	/* a merged result is compared with the target's tip; a detached pipeline with the merge base */
	rc = set_target(e, r, tip && *tip ? tip : getenv("CI_MERGE_REQUEST_DIFF_BASE_SHA"));
	return rc ? rc : must_have_target(e);
}

static int gitlab(struct event *e, struct repo *r)
{
	const char *before = getenv("CI_COMMIT_BEFORE_SHA");

	/* a child pipeline of a merge request has another source, and the request's variables */
	if (is("CI_PIPELINE_SOURCE", "merge_request_event") || getenv("CI_MERGE_REQUEST_PROJECT_ID"))
		return gitlab_merge_request(e, r);
	if (is("CI_PIPELINE_SOURCE", "push"))
		return set_push(e, r, getenv("CI_COMMIT_BRANCH"), getenv("CI_COMMIT_REF_PROTECTED"),
				getenv("CI_COMMIT_SHA"), before);
	e->kind = EVENT_MANUAL; /* schedules and buttons judge the branch as it is */
	e->branch = mem_str(getenv("CI_COMMIT_BRANCH"));
	e->trust = TRUST_BRANCH;
	return set_target(e, r, before);
}

/* A person's own run: the branch's upstream has the say; a branch without one asks its own questions. */
static int local(struct event *e, struct repo *r)
{
	struct buf remotes = BUF_INIT(1 << 20);
	char *upstream = NULL;

	e->kind = EVENT_MANUAL;
	e->trust = TRUST_BRANCH;
	if (repo_head_branch(r, &e->branch) == 0 && repo_upstream(r, e->branch, &upstream) == 0 &&
	    repo_ref(r, upstream, e->target) != 0)
		*e->target = 0;
	if (!*e->target && repo_remotes(r, &remotes) == 0) {
		const char *name = remotes.len ? remotes.data : "origin"; /* its references may outlive a remote */
		char *head = mem_printf("refs/remotes/%.*s/HEAD", (int)strcspn(name, "\n"), name);

		if (repo_ref(r, head, e->target) != 0)
			*e->target = 0;
		free(head);
	}
	buf_release(&remotes);
	free(upstream);
	err_clear();
	return 0;
}

int event_detect(struct event *out, struct repo *r, const char *target)
{
	struct commit c;
	int rc;

	memset(out, 0, sizeof(*out));
	if (is("GITHUB_ACTIONS", "true"))
		rc = github(out, r);
	else if (is("GITLAB_CI", "true"))
		rc = gitlab(out, r);
	else
		rc = local(out, r);
	if (rc == 0 && target) {
		if (out->trust == TRUST_PROTECTED || out->kind == EVENT_PULL_REQUEST)
			rc = err_set(ERR_USAGE, "--target: the event decides the target in this CI run");
		else if ((rc = repo_commit(r, target, &c)) == 0) {
			memcpy(out->target, c.oid, sizeof(out->target));
			commit_release(&c);
		}
	}
	if (rc)
		event_release(out);
	return rc;
}

int event_hook(struct event *out, struct repo *r, const char *remote, const char *ref, const char *remote_oid)
{
	char *head;
	struct commit c;

	memset(out, 0, sizeof(*out));
	out->kind = EVENT_HOOK;
	out->trust = TRUST_BRANCH;
	out->remote = mem_str(remote);
	out->ref = mem_str(ref);
	if (strncmp(ref, "refs/heads/", 11) == 0)
		out->branch = mem_str(ref + 11);
	if (!oid_is_zero(remote_oid) && repo_commit(r, remote_oid, &c) == 0) {
		memcpy(out->target, c.oid, sizeof(out->target));
		commit_release(&c);
		return 0;
	}
	/* a new branch, or a remote tip that was never fetched: the remote's default branch has the say */
	head = *remote ? mem_printf("refs/remotes/%s/HEAD", remote) : mem_str("HEAD");
	if (repo_ref(r, head, out->target) != 0)
		*out->target = 0;
	free(head);
	err_clear();
	if (!oid_is_zero(remote_oid) && !*out->target) {
		event_release(out);
		err_set(ERR_INPUT, "the remote's %s is at %.12s, which is not in this clone", ref, remote_oid);
		return err_hint(ERR_INPUT, "git fetch %s", remote);
	}
	return 0;
}

void event_release(struct event *e)
{
	free(e->branch);
	free(e->remote);
	free(e->ref);
	free(e->note);
	memset(e, 0, sizeof(*e));
}
