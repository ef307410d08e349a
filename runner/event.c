/* event.c: reads what a CI tells about itself, and believes only what decides downwards.
 *
 * protected: a push, seen by the forge's own CI, to a branch that the forge says is protected, of the commit that was
 * pushed. fork: a merge request from another repository, and every event of a forge that this file does not know (some
 * run a stranger's commit on behalf of the target, such as workflow_run and issue_comment). Everything else, a person's
 * own run and the pre-push hook included, is branch. An alias moves in protected runs; a hook run may propose (home.c).
 *
 * Whose questions decide does not depend on the class: the default branch's (default_branch.c), in each of these.
 *
 * The forges' variables are in GitHub's and GitLab's documentation; names of branches in them are free text. */
#include "base/base.h"
#include "base/json.h"
#include "runner/default_branch.h"
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

/* What each other CI sets in all its jobs, by its own documentation: some of them do not set CI. */
static bool is_other_ci(void)
{
	static const char *const marks[] = { "CI",
					     "TF_BUILD",
					     "TEAMCITY_VERSION",
					     "CODEBUILD_BUILD_ID",
					     "JENKINS_URL",
					     "BUILDKITE",
					     "CIRCLECI",
					     "TRAVIS",
					     "DRONE",
					     "BITBUCKET_BUILD_NUMBER",
					     "APPVEYOR",
					     "CIRRUS_CI",
					     "SEMAPHORE",
					     "GITEA_ACTIONS",
					     "FORGEJO_ACTIONS",
					     "bamboo_buildKey",
					     "GO_PIPELINE_NAME",
					     "HARNESS_BUILD_ID" };

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		const char *v = getenv(marks[i]);

		if (v && *v && strcmp(v, "false") != 0 && strcmp(v, "0") != 0)
			return true;
	}
	return false;
}

const char *event_ci(void)
{
	return is("GITHUB_ACTIONS", "true") ? "GitHub Actions"
	       : is("GITLAB_CI", "true")    ? "GitLab CI"
	       : is_other_ci()              ? "a CI"
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
		err_hint(
			rc,
			"fetch more history: fetch-depth: 0 at actions/checkout, GIT_DEPTH: \"0\" on GitLab; where the "
			"remote has it no more, as after a forced push, push another commit: its event names what is "
			"there");
	}
	return rc;
}

static void set_head(struct event *e, const char *oid)
{
	if (oid && is_oid(oid))
		memcpy(e->head, oid, strlen(oid) + 1);
}

/* What a forge always says is missing or garbled: somebody else wrote it. */
static int not_the_forges(int rc)
{
	return err_hint(
		rc,
		"pass the forge's own event and variables through unchanged: the file of GITHUB_EVENT_PATH; of GitLab "
		"CI_COMMIT_BEFORE_SHA and CI_MERGE_REQUEST_…");
}

static int set_target(struct event *e, struct repo *r, const char *oid)
{
	int rc;

	if (!oid || !*oid || oid_is_zero(oid))
		return 0;
	if (!is_oid(oid))
		return not_the_forges(err_set(ERR_INPUT, "the event names a target that is no commit: %.80s", oid));
	rc = have_commit(r, oid);
	if (rc == 0)
		memcpy(e->target, oid, strlen(oid) + 1);
	return rc;
}

static bool is_default(const struct event *e, const char *branch)
{
	return branch && e->default_branch && strcmp(branch, e->default_branch) == 0;
}

/* said: what the forge calls the default branch; where it does not, the remote is asked. */
static int know_default(struct event *e, struct repo *r, const char *said)
{
	char tip[OID_HEX];

	if (!said || !*said)
		return default_at_remote(r, NULL, &e->default_branch, tip);
	e->default_branch = mem_str(said);
	return 0;
}

/* The default branch judges as it stands now. of: the remote must be this repository, NULL: any. */
static int target_default(struct event *e, struct repo *r, const char *of)
{
	e->from_default = true;
	return default_at_remote(r, of, &e->default_branch, e->target);
}

/* As the forge named a tip of the default branch. */
static int target_named(struct event *e, struct repo *r, const char *oid)
{
	e->from_default = true;
	return set_target(e, r, oid);
}

/* A push to a branch: protected if the forge says so, and says which commit it is. before: its tip until now, which judges
 * a push to the default branch; of every other branch it is what a push before may have left there to judge this one. */
static int set_push(struct event *e, struct repo *r, const char *branch, const char *is_protected, const char *commit,
		    const char *before)
{
	e->kind = EVENT_PUSH;
	e->branch = mem_str(branch);
	e->trust = is_protected && strcmp(is_protected, "true") == 0 ? TRUST_PROTECTED : TRUST_BRANCH;
	if (!before)
		return not_the_forges(err_set(ERR_ENV, "the push's event does not say what the branch held before"));
	if (e->trust == TRUST_PROTECTED && commit && is_oid(commit))
		memcpy(e->commit, commit, strlen(commit) + 1);
	if (e->trust != TRUST_PROTECTED)
		e->note = mem_printf("%s is not a protected branch of the forge: no alias moves in this run",
				     branch ? branch : "this reference");
	e->to_default = is_default(e, branch);
	return e->to_default ? target_named(e, r, before) : target_default(e, r, NULL);
}

/* A tag names any commit whatever, and whoever may make a protected tag need not be let to push to a protected branch. So it is no
 * branch's push, and vouches for nothing. */
static int set_tag(struct event *e, struct repo *r, const char *tag)
{
	e->kind = EVENT_PUSH;
	e->trust = TRUST_BRANCH;
	e->note = mem_printf("%.80s is a tag: no alias moves in this run", tag);
	return target_default(e, r, NULL);
}

/* Schedules, buttons and whatever else is no change of a branch. The default branch is judged by itself as it stands. */
static int set_manual(struct event *e, struct repo *r, const char *branch, const char *commit, const char *of)
{
	e->kind = EVENT_MANUAL;
	e->branch = mem_str(branch);
	e->to_default = is_default(e, branch);
	return e->to_default && commit && is_oid(commit) ? target_named(e, r, commit) : target_default(e, r, of);
}

static int must_have_target(const struct event *e)
{
	return *e->target ? 0 : not_the_forges(err_set(ERR_INPUT, "the event names no target commit"));
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

/* Into the default branch: its tip as the event has it. Into another: whoever pushes to that branch must not judge. */
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
	e->of_head = *e->head != 0;
	if (!is_default(e, json_get_text(base, "ref", NULL)))
		return target_default(e, r, e->trust == TRUST_FORK ? to : NULL);
	e->from_default = true;
	rc = set_merge_target(e, r, json_get_text(head, "sha", NULL), json_get_text(base, "sha", NULL));
	return rc ? rc : must_have_target(e);
}

/* A merge queue's commit is judged like the merge requests in it, and not by those before it in the queue, whose merge its
 * base_sha may be. */
static int github_merge_group(struct event *e, struct repo *r, const json_t *group)
{
	e->kind = EVENT_PULL_REQUEST;
	e->trust = TRUST_BRANCH;
	set_head(e, json_get_text(group, "head_sha", NULL));
	return target_default(e, r, NULL);
}

static int github_other(struct event *e, struct repo *r, const char *branch, const char *repository)
{
	static const char *const ours[] = { "workflow_dispatch", "schedule", "repository_dispatch", "push" };
	const char *name = getenv("GITHUB_EVENT_NAME");

	e->trust = TRUST_FORK;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (is("GITHUB_EVENT_NAME", ours[i]))
			e->trust = TRUST_BRANCH;
	if (e->trust == TRUST_FORK)
		e->note = mem_printf(
			"the event %.80s may stand for a stranger's commit: this run is trusted like a fork's",
			name ? name : "(without a name)");
	return set_manual(e, r, branch, getenv("GITHUB_SHA"), e->trust == TRUST_FORK ? repository : NULL);
}

/* The event is of the very reference and commit that this job runs on. Where a branch is deleted they part: the job is then
 * one of the default branch, and the event's "before" the tip of the branch that went. Of an annotated tag the event's "after" is
 * the tag's own object, and the job runs on the commit. */
static int github_push(struct event *e, struct repo *r, const char *branch, const json_t *payload)
{
	const char *ref = getenv("GITHUB_REF"), *commit = getenv("GITHUB_SHA");
	const char *pushed = json_get_text(payload, "ref", ""), *after = json_get_text(payload, "after", "");

	bool same = !json_get_flag(payload, "deleted", false) && ref && commit && !strcmp(pushed, ref);

	if (same && !strncmp(ref, "refs/tags/", 10))
		return set_tag(e, r, ref + 10);
	if (same && !strcmp(after, commit))
		return set_push(e, r, branch, getenv("GITHUB_REF_PROTECTED"), commit,
				json_get_text(payload, "before", NULL));
	e->note = mem_printf("the event is a push of %.80s, and this job runs on %.80s at another commit or after a "
			     "deletion: no alias moves in this run",
			     *pushed ? pushed : "no reference", ref ? ref : "none");
	return github_other(e, r, branch, NULL);
}

static int github(struct event *e, struct repo *r)
{
	const char *path = getenv("GITHUB_EVENT_PATH"), *ref = getenv("GITHUB_REF");
	const char *branch = ref && strncmp(ref, "refs/heads/", 11) == 0 ? ref + 11 : NULL;
	const char *name = getenv("GITHUB_EVENT_NAME");
	json_t *payload = NULL, *part, *repository;
	int rc = path && *path ? json_read(&payload, path, PAYLOAD_MAX)
			       : err_set(ERR_NOTFOUND, "is not set, and without the event nobody knows the target");

	if (rc) {
		err_context(rc, "GITHUB_EVENT_PATH");
		err_hint(rc, "in a container step, mount the event file and pass GITHUB_* through");
		return rc == ERR_NOTFOUND ? ERR_ENV : rc;
	}
	repository = json_object_get(payload, "repository");
	/* a schedule runs on the default branch, and its event may not say what repository it is */
	rc = know_default(
		e, r, json_get_text(repository, "default_branch", is("GITHUB_EVENT_NAME", "schedule") ? branch : NULL));
	if (rc)
		;
	else if (is("GITHUB_EVENT_NAME", "push"))
		rc = github_push(e, r, branch, payload);
	else if ((part = json_object_get(payload, "pull_request")) != NULL)
		rc = github_pull_request(e, r, part);
	else if (!strncmp(name ? name : "", "pull_request", 12))
		rc = err_set(ERR_INPUT, "GITHUB_EVENT_PATH: an event %.80s without a pull_request", name);
	else if (is("GITHUB_EVENT_NAME", "merge_group"))
		rc = github_merge_group(e, r, json_object_get(payload, "merge_group"));
	else
		rc = github_other(e, r, branch, json_get_text(repository, "full_name", getenv("GITHUB_REPOSITORY")));
	json_decref(payload);
	return rc;
}

/* Into the default branch: a merged result by the tip that it was merged with; a detached pipeline by the tip as it stands,
 * since which merge base it has is the candidate's choice, and so a merge train, whose commit was merged with the entry
 * before it. A fork's own pipeline runs in a clone of the fork, where nobody
 * can be asked; there GitLab's word has to do. */
static int gitlab_merge_request(struct event *e, struct repo *r)
{
	const char *from = getenv("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), *to = getenv("CI_MERGE_REQUEST_PROJECT_ID");
	const char *tip = getenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA"), *project = getenv("CI_PROJECT_ID");
	bool lands = is_default(e, getenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"));
	bool elsewhere = project && to && strcmp(project, to) != 0;
	int rc;

	e->kind = EVENT_PULL_REQUEST;
	e->branch = mem_str(getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"));
	e->trust = from && to && *from && strcmp(from, to) == 0 ? TRUST_BRANCH : TRUST_FORK;
	set_head(e, tip && *tip ? getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") : getenv("CI_COMMIT_SHA"));
	if (elsewhere && !lands) {
		rc = err_set(ERR_ENV, "the policy is that of the default branch, which a pipeline of the fork cannot "
				      "know in a merge request to another branch");
		return err_hint(rc, "run the pipeline in the project that the merge request is for");
	}
	if (!lands || (!elsewhere && (!(tip && *tip) || is("CI_MERGE_REQUEST_EVENT_TYPE", "merge_train"))))
		return target_default(e, r, NULL);
	rc = target_named(e, r, tip && *tip ? tip : getenv("CI_MERGE_REQUEST_DIFF_BASE_SHA"));
	return rc ? rc : must_have_target(e);
}

/* The event, by a default branch that is known. */
static int gitlab_event(struct event *e, struct repo *r)
{
	/* a child pipeline of a merge request has another source, and the request's variables */
	if (is("CI_PIPELINE_SOURCE", "merge_request_event") || getenv("CI_MERGE_REQUEST_PROJECT_ID"))
		return gitlab_merge_request(e, r);
	if (is("CI_PIPELINE_SOURCE", "push") && !getenv("CI_COMMIT_BRANCH"))
		return set_tag(e, r, getenv("CI_COMMIT_TAG") ? getenv("CI_COMMIT_TAG") : "this reference");
	if (is("CI_PIPELINE_SOURCE", "push"))
		return set_push(e, r, getenv("CI_COMMIT_BRANCH"), getenv("CI_COMMIT_REF_PROTECTED"),
				getenv("CI_COMMIT_SHA"), getenv("CI_COMMIT_BEFORE_SHA"));
	e->trust = TRUST_BRANCH;
	return set_manual(e, r, getenv("CI_COMMIT_BRANCH"), getenv("CI_COMMIT_SHA"), NULL);
}

/* Who starts a pipeline may override its variables; so the remote is asked, also where the branch that was pushed to is called
 * the default one, and its tip would not be wanted. */
static int gitlab(struct event *e, struct repo *r)
{
	const char *said = getenv("CI_DEFAULT_BRANCH");
	int rc = know_default(e, r, said), sure = 0;

	if (rc)
		return rc;
	if (said && *said && (sure = default_check(r, said)) != 0 && sure != ERR_NOTFOUND)
		return sure;
	rc = gitlab_event(e, r);
	if (rc || !sure || !e->from_default)
		return rc;
	if (e->trust == TRUST_PROTECTED)
		e->trust = TRUST_BRANCH;
	*e->commit = 0;
	e->from_default = false;
	free(e->note);
	e->note = mem_printf(
		"no remote could be asked whether %.80s is the default branch, as CI_DEFAULT_BRANCH says: this run "
		"moves no alias, and that branch's locations and sandbox: external do not count",
		said);
	return 0;
}

/* What the clone remembers of the default branch of the remote that has the say. ERR_NOTFOUND: nothing for certain. seen: has it
 * any branch of theirs? */
static int clone_default(struct event *e, struct repo *r, const char *remote, bool *seen, bool *guessed)
{
	int rc = default_of_clone(r, remote, &e->default_branch, e->target, seen, guessed);

	e->from_default = rc == 0 && !*guessed;
	if (e->from_default)
		e->unasked = mem_str(remote);
	return rc;
}

/* A name that is usual is no word of the remote's. */
static void note_guess(struct event *e, const char *remote)
{
	e->note = mem_printf(
		"the policy is that of %.80s of %.120s, which has the name that a default branch usually has, "
		"and nothing else says that it is: nothing that this run finds moves an alias: git fetch "
		"%.120s && git remote set-head %.120s --auto",
		e->default_branch, remote, remote, remote);
}

int event_confirm(const struct event *e, struct repo *r)
{
	char *name = NULL, tip[OID_HEX];
	int rc = 0;

	if (!e->unasked)
		return 0;
	if (default_head(r, e->unasked, &name, tip) != 0) {
		rc = err_set(ERR_NOTFOUND, "%.120s could not be asked which branch is its default one", e->unasked);
	} else if (strcmp(name, e->default_branch) != 0) {
		rc = err_set(
			ERR_INPUT,
			"this clone takes %.80s of %.120s for the default branch, whose policy judges, and the remote "
			"says that it is %.80s",
			e->default_branch, e->unasked, name);
		err_hint(rc, "git fetch %.120s && git remote set-head %.120s --auto", e->unasked, e->unasked);
	}
	free(name);
	return rc;
}

/* No default branch is known: what there is instead has no say over aliases, and the report tells. */
static void note_unknown(struct event *e)
{
	e->note = mem_printf("%s, so nothing that this run finds moves an alias: %s", err_text(),
			     err_fix() ? err_fix() : "");
	err_clear();
}

/* A person's own run: the remote's default branch has the say; where none is known, what the branch follows; else it asks its
 * own questions. */
static int local(struct event *e, struct repo *r)
{
	char *upstream = NULL, *remote = NULL;
	bool seen = true, guessed = false;

	e->kind = EVENT_MANUAL;
	e->trust = TRUST_BRANCH;
	(void)repo_head_branch(r, &e->branch);
	err_clear();
	if (default_remote(r, &remote) == 0 && clone_default(e, r, remote, &seen, &guessed) == 0) {
		e->to_default = is_default(e, e->branch);
		if (guessed)
			note_guess(e, remote);
	} else {
		if (seen)
			note_unknown(e);
		if (e->branch && repo_upstream(r, e->branch, &upstream) == 0 && repo_ref(r, upstream, e->target) != 0)
			*e->target = 0;
	}
	free(remote);
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
			out->from_default = false;
			free(out->unasked);
			out->unasked = NULL;
			commit_release(&c);
		}
	}
	if (rc)
		event_release(out);
	return rc;
}

/* Of a push to the default branch: what it holds until now, if that is here. */
static bool target_old(struct event *e, struct repo *r, const char *old)
{
	struct commit c;
	bool here = !oid_is_zero(old) && repo_commit(r, old, &c) == 0;

	if (here) {
		memcpy(e->target, c.oid, sizeof(e->target));
		commit_release(&c);
	}
	err_clear();
	return here;
}

/* No reference has moved yet, so HEAD's branch is as it was before this push, whatever else is in it. */
static int server(struct event *e, struct repo *r, const char *old)
{
	int rc = default_of_server(r, &e->default_branch, e->target);

	if (rc)
		return rc;
	e->to_default = is_default(e, e->branch);
	e->from_default = *e->target != 0;
	if (e->to_default && !oid_is_zero(old) && !target_old(e, r, old))
		return err_set(ERR_INPUT, "what %s held before the push, %.12s, is no commit of this repository",
			       e->ref, old);
	if (*e->target || e->to_default)
		return 0;
	rc = err_set(ERR_ENV,
		     "the policy is that of the default branch %.80s, which is not here yet: %.80s cannot be judged",
		     e->default_branch, e->ref);
	return err_hint(rc, "push %.80s first; or, on the server, in the repository: git symbolic-ref HEAD %.80s",
			e->default_branch, e->ref);
}

/* Where the clone does not know, the remote is asked, which the push is about to reach anyway. true: it said. */
static bool remote_default(struct event *e, struct repo *r, const char *remote, enum default_answer *answer)
{
	char *name = NULL, tip[OID_HEX];
	struct err_saved said = err_save();

	*answer = default_asked(r, remote, &name, tip);
	err_restore(&said);
	if (*answer == DEFAULT_SAID) {
		free(e->default_branch);
		e->default_branch = name;
		memcpy(e->target, tip, sizeof(e->target));
		e->from_default = true;
		err_clear();
		return true;
	}
	free(name);
	return false;
}

/* Where nothing is known of the default branch, not even by the remote: the questions of what the branch held there, and no rule. */
static int judge_by_old(struct event *e, struct repo *r, const char *remote, const char *old)
{
	int rc;

	note_unknown(e);
	if (oid_is_zero(old) || target_old(e, r, old))
		return 0;
	rc = err_set(ERR_INPUT, "the remote's %s is at %.12s, which is not in this clone", e->ref, old);
	return err_hint(rc, "git fetch %s", remote);
}

/* own: the remote that has the say. A push to another, a fork's say, which somebody else may write what they like to, is judged by
 * it all the same, and moves nothing. */
static int pre_push(struct event *e, struct repo *r, const char *own, const char *old)
{
	bool seen = false, guessed = false, here = strcmp(own, e->remote) == 0;
	int rc = clone_default(e, r, own, &seen, &guessed);
	enum default_answer answer = DEFAULT_SILENT;

	e->elsewhere = !here;
	if (e->from_default || remote_default(e, r, own, &answer)) {
		e->to_default = here && is_default(e, e->branch);
		if (e->to_default)
			target_old(e, r, old); /* else what was last seen of it */
		if (!here)
			e->note = mem_printf(
				"the push goes to %.120s, and the policy is that of %.80s of %.120s, this clone's own "
				"remote: nothing that this run finds moves an alias",
				e->remote, e->default_branch, own);
		return 0;
	}
	if (here && oid_is_zero(old) && !seen && answer == DEFAULT_EMPTY) {
		e->to_default = true; /* the first push of all: there is no policy yet */
		err_clear();
		return 0;
	}
	if (rc == 0) {
		note_guess(e, own);
		return 0;
	}
	return judge_by_old(e, r, e->remote, old);
}

int event_hook(struct event *out, struct repo *r, const char *remote, const char *ref, const char *remote_oid)
{
	char *own = NULL;
	int rc;

	memset(out, 0, sizeof(*out));
	out->kind = EVENT_HOOK;
	out->trust = TRUST_BRANCH;
	out->remote = mem_str(remote);
	out->ref = mem_str(ref);
	if (strncmp(ref, "refs/heads/", 11) == 0)
		out->branch = mem_str(ref + 11);
	if (!*remote)
		rc = server(out, r, remote_oid);
	else if (default_remote(r, &own) == 0)
		rc = pre_push(out, r, own, remote_oid);
	else
		rc = judge_by_old(out, r, remote, remote_oid);
	free(own);
	if (rc)
		event_release(out);
	return rc;
}

void event_release(struct event *e)
{
	free(e->branch);
	free(e->default_branch);
	free(e->remote);
	free(e->ref);
	free(e->note);
	free(e->unasked);
	memset(e, 0, sizeof(*e));
}
