/* Tests of runner/event.c: what a forge tells, and how far it is believed. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts/artifacts.h"
#include "event_commits.h"

#define OURS "\"repository\":{\"full_name\":\"org/bot\",\"default_branch\":\"main\"}"

/* ---- GitHub ---- */

static void github(struct fixture *f, const char *name, const char *ref, const char *payload)
{
	char *path = in_root(f, "event.json");

	must(fs_write(path, payload, strlen(payload)));
	setenv("GITHUB_ACTIONS", "true", 1);
	setenv("GITHUB_EVENT_NAME", name, 1);
	setenv("GITHUB_EVENT_PATH", path, 1);
	setenv("GITHUB_REF", ref, 1);
	setenv("GITHUB_REF_PROTECTED", "true", 1);
	free(path);
}

static void github_push(struct fixture *f, const char *before, const char *after)
{
	char *payload =
		mem_printf("{\"ref\":\"refs/heads/main\",\"before\":\"%s\",\"after\":\"%s\"," OURS "}", before, after);

	github(f, "push", "refs/heads/main", payload);
	setenv("GITHUB_SHA", after, 1);
	free(payload);
}

static void test_event_detect__github_protected_push(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	github_push(f, c.two, c.three);
	detect(f, &e);
	assert_int_equal(e.kind, EVENT_PUSH);
	assert_int_equal(e.trust, TRUST_PROTECTED);
	assert_string_equal(e.branch, "main");
	assert_string_equal(e.target, c.two); /* what the default branch held before */
	assert_true(e.from_default && e.to_default);
	assert_string_equal(e.commit, c.three); /* the one that is vouched for */
	assert_null(e.note);
	event_release(&e);
	assert_err(event_detect(&e, f->repo, "topic"), ERR_USAGE); /* nobody else chooses who asks */
	assert_null(e.branch);
	commits_release(&c);
}

static void test_event_detect__github_push_that_is_not_protected(void **state)
{
	static const char *const values[] = { "false", "", "TRUE", "1" };
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	github_push(f, c.two, c.three);
	for (size_t i = 0; i <= ARRAY_LEN(values); i++) {
		if (i < ARRAY_LEN(values))
			setenv("GITHUB_REF_PROTECTED", values[i], 1);
		else
			unsetenv("GITHUB_REF_PROTECTED");
		detect(f, &e);
		assert_int_equal(e.trust, TRUST_BRANCH);
		assert_text_has(e.note, "not a protected branch");
		assert_string_equal(e.commit, "");
		event_release(&e);
	}
	commits_release(&c);
}

static void push_to(struct fixture *f, const char *ref, const char *before, const char *after)
{
	char *payload = mem_printf("{\"ref\":\"%s\",\"before\":\"%s\",\"after\":\"%s\"," OURS "}", ref, before, after);

	github(f, "push", ref, payload);
	setenv("GITHUB_SHA", after, 1);
	free(payload);
}

static void test_event_detect__github_new_branch(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	github_push(f, ZERO, c.three); /* the default branch is made */
	detect(f, &e);
	assert_string_equal(e.target, "");
	assert_true(e.to_default);
	assert_int_equal(e.trust, TRUST_PROTECTED);
	event_release(&e);
	commits_release(&c);
}

/* A protected tag (the forge says so) is no push to a protected branch. An annotated one has an object of its own. */
static void test_event_detect__github_tags(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	const char *const after[] = { c.three, ABSENT };
	struct event e;

	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		push_to(f, "refs/tags/main", i ? ZERO : c.two, after[i]);
		setenv("GITHUB_SHA", c.three, 1);
		detect(f, &e);
		assert_int_equal(e.kind, EVENT_PUSH);
		assert_int_equal(e.trust, TRUST_BRANCH);
		assert_null(e.branch); /* a tag of that name is not the branch, and has no alias */
		assert_string_equal(e.commit, "");
		assert_string_equal(e.target, c.three);
		assert_false(e.to_default);
		assert_string_equal(e.note, "main is a tag: no alias moves in this run");
		event_release(&e);
	}
	commits_release(&c);
}

/* What a branch held before is what somebody may have pushed there to judge the next push. */
static void test_event_detect__another_branch_is_judged_by_the_default_one(void **state)
{
	static const char *const before[] = { "topic", ZERO, ABSENT };
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		push_to(f, "refs/heads/topic", i ? before[i] : c.one, c.topic);
		detect(f, &e);
		assert_int_equal(e.trust, TRUST_PROTECTED);
		assert_string_equal(e.branch, "topic");
		assert_string_equal(e.target, c.three);
		assert_true(e.from_default);
		assert_false(e.to_default);
		event_release(&e);
	}
	sh(f, "git -C ../origin.git symbolic-ref HEAD refs/heads/topic"); /* forge and remote disagree */
	assert_err(event_detect(&e, f->repo, NULL), ERR_ENV);
	assert_text_has(err_text(), "call main the default branch, and HEAD of origin is topic");
	sh(f, "git -C ../origin.git symbolic-ref HEAD refs/heads/main; git -C ../origin.git update-ref -d "
	      "refs/heads/main; git -C ../origin.git update-ref refs/heads/refs/heads/main topic");
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT); /* nor does a branch called refs/heads/main stand in */
	assert_text_has(err_text(), "origin has no branch main");
	commits_release(&c);
}

/* Without a way to the remote: as the clone last saw it, else not at all. */
static void test_event_detect__a_default_branch_that_nobody_can_be_asked_for(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	setenv("ASSAY_OFFLINE", "1", 1);
	push_to(f, "refs/heads/topic", c.one, c.topic);
	detect(f, &e);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	sh(f, "git update-ref -d refs/remotes/origin/main"); /* what is called main here is no word of the remote's */
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	assert_text_has(err_text(), "the default branch main, which is not in this clone");
	assert_text_has(err_fix(), "fetch-depth: 0");
	commits_release(&c);
}

/* A job behind a deletion is one of the default branch; its event's "before" is the tip of the branch that went. */
static void test_event_detect__github_push_of_something_else(void **state)
{
	static const struct {
		const char *ref, *after; /* NULL: as it was pushed */
	} forms[] = {
		{ "\"ref\":\"refs/heads/topic\",", NULL },
		{ "\"ref\":\"refs/heads/main\",\"deleted\":true,", NULL },
		{ "\"ref\":\"refs/heads/main\",", ZERO },
		{ "", NULL },
	};
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		char *payload = mem_printf("{" OURS ",%s\"before\":\"%s\",\"after\":\"%s\"}", forms[i].ref, c.topic,
					   forms[i].after ? forms[i].after : c.three);

		github(f, "push", "refs/heads/main", payload);
		setenv("GITHUB_SHA", c.three, 1);
		detect(f, &e);
		assert_int_equal(e.kind, EVENT_MANUAL);
		assert_int_equal(e.trust, TRUST_BRANCH);
		assert_string_equal(e.target, c.three);
		assert_text_has(e.note, "no alias moves in this run");
		event_release(&e);
		free(payload);
	}
	commits_release(&c);
}

static void test_event_detect__github_without_its_event(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	github_push(f, c.two, c.three);
	unsetenv("GITHUB_EVENT_PATH");
	assert_err(event_detect(&e, f->repo, NULL), ERR_ENV);
	assert_text_has(err_text(), "GITHUB_EVENT_PATH: is not set");
	assert_non_null(err_fix());
	setenv("GITHUB_EVENT_PATH", "/nonexistent/event.json", 1);
	assert_err(event_detect(&e, f->repo, NULL), ERR_ENV);
	setenv("GITHUB_SHA", "x", 1); /* no before: who asks is not known */
	github(f, "push", "refs/heads/main", "{\"ref\":\"refs/heads/main\",\"after\":\"x\"," OURS "}");
	assert_err(event_detect(&e, f->repo, NULL), ERR_ENV);
	assert_text_has(err_text(), "does not say what the branch held before");
	github(f, "push", "refs/heads/main", "{\"before\":");
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	commits_release(&c);
}

static void test_event_detect__targets_that_are_no_commits(void **state)
{
	static const char *const names[] = { "main", "refs/heads/main", "abc", "-x",
					     "1234567890123456789012345678901234567890x" };
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	char *payload;
	struct event e;

	setenv("ASSAY_OFFLINE", "1", 1);
	sh(f, "git branch abc topic");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		github_push(f, names[i], c.three);
		assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
		assert_text_has(err_text(), "a target that is no commit");
	}
	/* a tag that is called like the target stands in for nothing */
	payload = mem_printf("git update-ref refs/tags/%s topic", ABSENT);
	sh(f, payload);
	free(payload);
	github_push(f, ABSENT, c.three);
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	assert_text_has(err_text(), "is not in this clone");
	assert_text_has(err_fix(), "fetch-depth: 0");
	assert_text_has(err_fix(), "as after a forced push, push another commit"); /* no clone has it then */
	commits_release(&c);
}

static void test_event_detect__fetches_a_target_that_is_not_here(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	sh(f, "git -C ../origin.git config uploadpack.allowAnySHA1InWant true; "
	      "git clone -q --depth 1 file://$PWD/../origin.git ../shallow -b main");
	open_at(f, "shallow");
	github_push(f, c.two, c.three);
	setenv("ASSAY_OFFLINE", "1", 1);
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	unsetenv("ASSAY_OFFLINE");
	detect(f, &e);
	assert_string_equal(e.target, c.two);
	event_release(&e);
	commits_release(&c);
}

static void pull_request(struct fixture *f, const char *head_repo, const char *base_repo, const char *base)
{
	char *payload = mem_printf("{" OURS ",\"pull_request\":{\"head\":{\"ref\":\"main\",\"repo\":%s},"
				   "\"base\":{\"ref\":\"main\",\"sha\":\"%s\",\"repo\":%s}}}",
				   head_repo, base, base_repo);

	github(f, "pull_request", "refs/pull/1/merge", payload);
	free(payload);
}

/* A merged result is compared with the tip that it was merged with, not with the one that the event remembers. */
static void test_event_detect__github_merged_result(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	char *merged,
		*payload = mem_printf("{" OURS ",\"pull_request\":{\"head\":{\"ref\":\"topic\",\"sha\":\"%s\",\"repo\":"
				      "{\"full_name\":\"org/bot\"}},\"base\":{\"ref\":\"main\",\"sha\":\"%s\","
				      "\"repo\":{\"full_name\":\"org/bot\"}}}}",
				      c.topic, c.two);
	struct event e;

	sh(f, "git checkout -q --detach main; git merge -q --no-ff -m merged topic");
	merged = sh_out(f, "git rev-parse HEAD");
	open_at(f, "work");
	github(f, "pull_request", "refs/pull/1/merge", payload);
	setenv("GITHUB_SHA", merged, 1);
	detect(f, &e);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	setenv("GITHUB_SHA", c.topic, 1); /* the head itself was checked out */
	detect(f, &e);
	assert_string_equal(e.target, c.two);
	event_release(&e);
	unsetenv("GITHUB_SHA");
	free(payload);
	free(merged);
	commits_release(&c);
}

static void test_event_detect__github_pull_request(void **state)
{
	static const struct {
		const char *head, *base;
		enum trust trust;
	} cases[] = {
		{ "{\"full_name\":\"org/bot\"}", "{\"full_name\":\"org/bot\"}", TRUST_BRANCH },
		{ "{\"full_name\":\"mallory/bot\"}", "{\"full_name\":\"org/bot\"}", TRUST_FORK },
		{ "null", "{\"full_name\":\"org/bot\"}", TRUST_FORK }, /* the fork was deleted */
		{ "{\"full_name\":\"org/bot\"}", "null", TRUST_FORK },
		{ "null", "null", TRUST_FORK },
		{ "{}", "{}", TRUST_FORK },
		{ "{\"full_name\":7}", "{\"full_name\":7}", TRUST_FORK },
	};
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pull_request(f, cases[i].head, cases[i].base, c.two);
		detect(f, &e);
		assert_int_equal(e.kind, EVENT_PULL_REQUEST);
		assert_int_equal(e.trust, cases[i].trust);
		assert_string_equal(e.branch, "main");
		assert_string_equal(e.target, c.two);
		assert_string_equal(e.commit, "");
		event_release(&e);
	}
	assert_err(event_detect(&e, f->repo, "topic"), ERR_USAGE);
	github(f, "pull_request", "refs/pull/1/merge", "{" OURS "}"); /* no request in it: nobody knows the target */
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	assert_text_has(err_text(), "without a pull_request");
	pull_request(f, "{}", "{}", ZERO);
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	assert_text_has(err_text(), "names no target commit");
	commits_release(&c);
}

static void test_event_detect__github_merge_group(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	char *payload = mem_printf("{" OURS ",\"merge_group\":{\"base_sha\":\"%s\"}}", c.topic);
	struct event e;

	github(f, "merge_group", "refs/heads/gh-readonly-queue/main/pr-1", payload);
	detect(f, &e);
	assert_int_equal(e.kind, EVENT_PULL_REQUEST);
	assert_int_equal(e.trust, TRUST_BRANCH);
	assert_string_equal(e.target, c.three); /* not its own questions, nor those of the group before it */
	event_release(&e);
	free(payload);
	commits_release(&c);
}

/* workflow_run and issue_comment run with the target's rights, often on a stranger's commit. */
static void test_event_detect__github_other_events(void **state)
{
	static const struct {
		const char *name;
		enum trust trust;
	} cases[] = {
		{ "workflow_dispatch", TRUST_BRANCH },
		{ "schedule", TRUST_BRANCH },
		{ "repository_dispatch", TRUST_BRANCH },
		{ "workflow_run", TRUST_FORK },
		{ "issue_comment", TRUST_FORK },
		{ "a_later_event", TRUST_FORK },
		{ "", TRUST_FORK },
	};
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		github(f, cases[i].name, "refs/heads/main",
		       "{\"before\":\"x\",\"repository\":{\"default_branch\":\"main\"}}");
		setenv("GITHUB_SHA", c.two, 1);
		detect(f, &e);
		assert_string_equal(e.target, c.two); /* the default branch is judged as it stands in this job */
		assert_int_equal(e.kind, EVENT_MANUAL);
		assert_int_equal(e.trust, cases[i].trust);
		assert_string_equal(e.branch, "main");
		assert_int_equal(e.note != NULL, cases[i].trust == TRUST_FORK);
		event_release(&e);
	}
	must(event_detect(&e, f->repo, "topic"));
	assert_string_equal(e.target, c.topic);
	assert_false(e.from_default);
	event_release(&e);
	github(f, "workflow_dispatch", "refs/heads/topic", "{" OURS "}");
	detect(f, &e);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	github(f, "schedule", "refs/heads/main", "{}"); /* its event need not say what a schedule runs on */
	setenv("ASSAY_OFFLINE", "1", 1);
	detect(f, &e);
	assert_string_equal(e.target, c.two);
	event_release(&e);
	commits_release(&c);
}

/* A merge request into another branch, and a stranger's job in a clone of the stranger's. */
static void test_event_detect__github_pull_request_into_a_side_branch(void **state)
{
	static const char *const urls[] = { "org/bot.git", "org/bot", "ORG/Bot.git/" };
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	char *payload = mem_printf(
		"{" OURS ",\"pull_request\":{\"head\":{\"ref\":\"main\",\"repo\":{\"full_name\":\"mallory/bot\"}},"
		"\"base\":{\"ref\":\"topic\",\"sha\":\"%s\",\"repo\":{\"full_name\":\"org/bot\"}}}}",
		c.topic);
	struct event e;

	github(f, "pull_request", "refs/pull/1/merge", payload);
	sh(f, "mkdir ../mallory ../evilorg && cp -r ../origin.git ../mallory/bot.git && cp -r ../origin.git "
	      "../evilorg/bot.git");
	sh(f, "git remote set-url origin file://$(cd ../mallory && pwd)/bot.git");
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	assert_text_has(err_text(), "no remote of org/bot could be asked");
	sh(f, "git remote set-url origin file://$(cd ../evilorg && pwd)/bot.git");
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		/* what is not there answers nothing: the clone's own references do */
		char *script = mem_printf("git remote set-url origin file://%s/%s", f->root, urls[i]);

		sh(f, script);
		detect(f, &e);
		assert_int_equal(e.trust, TRUST_FORK);
		assert_string_equal(e.target, c.three);
		event_release(&e);
		free(script);
	}
	sh(f, "git remote remove origin; git branch -q -f another main; git update-ref refs/remotes/origin/main topic");
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT); /* a clone without a remote may be anybody's */
	free(payload);
	commits_release(&c);
}

/* ---- GitLab ---- */

static void gitlab_push(const char *before, const char *commit)
{
	setenv("GITLAB_CI", "true", 1);
	setenv("CI_PIPELINE_SOURCE", "push", 1);
	setenv("CI_DEFAULT_BRANCH", "main", 1);
	setenv("CI_COMMIT_BRANCH", "main", 1);
	setenv("CI_COMMIT_REF_PROTECTED", "true", 1);
	setenv("CI_COMMIT_BEFORE_SHA", before, 1);
	setenv("CI_COMMIT_SHA", commit, 1);
}

static void test_event_detect__gitlab_push(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	gitlab_push(c.two, c.three);
	detect(f, &e);
	assert_int_equal(e.kind, EVENT_PUSH);
	assert_int_equal(e.trust, TRUST_PROTECTED);
	assert_string_equal(e.branch, "main");
	assert_string_equal(e.target, c.two);
	assert_string_equal(e.commit, c.three);
	event_release(&e);
	unsetenv("CI_COMMIT_SHA");
	detect(f, &e);
	assert_string_equal(e.commit, ""); /* step_read.c: no commit equals that */
	event_release(&e);
	unsetenv("CI_COMMIT_BRANCH"); /* a tag, a protected one at that */
	setenv("CI_COMMIT_TAG", "main", 1);
	setenv("CI_COMMIT_SHA", c.three, 1);
	detect(f, &e);
	assert_int_equal(e.trust, TRUST_BRANCH);
	assert_string_equal(e.commit, "");
	assert_string_equal(e.note, "main is a tag: no alias moves in this run");
	assert_null(e.branch);
	assert_string_equal(e.target, c.three);
	assert_false(e.to_default);
	event_release(&e);
	unsetenv("CI_COMMIT_TAG");
	setenv("CI_COMMIT_BRANCH", "topic", 1);
	setenv("CI_COMMIT_REF_PROTECTED", "false", 1);
	detect(f, &e);
	assert_int_equal(e.trust, TRUST_BRANCH);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	unsetenv("CI_DEFAULT_BRANCH"); /* the remote says it */
	detect(f, &e);
	assert_string_equal(e.default_branch, "main");
	assert_string_equal(e.target, c.three);
	event_release(&e);
	gitlab_push(ZERO, c.three);
	detect(f, &e);
	assert_string_equal(e.target, "");
	event_release(&e);
	setenv("CI_DEFAULT_BRANCH", "topic", 1); /* the name of the branch that is pushed to, or of any other */
	setenv("CI_COMMIT_BRANCH", "topic", 1);
	assert_err(event_detect(&e, f->repo, NULL), ERR_ENV);
	assert_text_has(err_text(), "call topic the default branch, and HEAD of origin is main");
	setenv("ASSAY_OFFLINE", "1", 1);
	detect(f, &e);
	assert_int_equal(e.trust, TRUST_BRANCH);
	assert_string_equal(e.commit, "");
	assert_false(
		e.from_default); /* nobody vouches for it: neither locations nor sandbox: external of that branch */
	assert_text_has(e.note, "this run moves no alias");
	event_release(&e);
	setenv("CI_PIPELINE_SOURCE", "schedule", 1);
	detect(f, &e);
	assert_false(e.from_default);
	assert_text_has(e.note, "no remote could be asked whether topic is the default branch");
	event_release(&e);
	unsetenv("ASSAY_OFFLINE");
	gitlab_push(ZERO, c.three);
	unsetenv("CI_COMMIT_BEFORE_SHA");
	assert_err(event_detect(&e, f->repo, NULL), ERR_ENV);
	commits_release(&c);
}

static void test_event_detect__gitlab_other_sources_are_not_protected(void **state)
{
	static const char *const sources[] = { "schedule", "web", "api", "trigger", "pipeline", "parent_pipeline", "" };
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	gitlab_push(ZERO, c.three);
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		setenv("CI_PIPELINE_SOURCE", sources[i], 1);
		detect(f, &e);
		assert_int_equal(e.kind, EVENT_MANUAL);
		assert_int_equal(e.trust, TRUST_BRANCH);
		assert_string_equal(e.target, c.three);
		event_release(&e);
	}
	commits_release(&c);
}

static void gitlab_merge_request(const char *from, const char *to, const char *base)
{
	setenv("GITLAB_CI", "true", 1);
	setenv("CI_PIPELINE_SOURCE", "merge_request_event", 1);
	setenv("CI_DEFAULT_BRANCH", "main", 1);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main", 1);
	setenv("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "main", 1);
	setenv("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", from, 1);
	setenv("CI_MERGE_REQUEST_PROJECT_ID", to, 1);
	setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", base, 1);
	setenv("CI_COMMIT_REF_PROTECTED", "true", 1);
	setenv("CI_COMMIT_BRANCH", "main", 1);
}

static void test_event_detect__gitlab_merge_request(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	gitlab_merge_request("8", "8", c.one);
	detect(f, &e);
	assert_int_equal(e.kind, EVENT_PULL_REQUEST);
	assert_int_equal(e.trust, TRUST_BRANCH);
	assert_string_equal(e.target, c.three); /* not the merge base, which the candidate chose */
	event_release(&e);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", c.two, 1); /* a merged result: the target's tip in it */
	detect(f, &e);
	assert_string_equal(e.target, c.two);
	event_release(&e);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "topic", 1); /* a side branch's does not judge */
	detect(f, &e);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main", 1);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "", 1); /* detached: GitLab sets it empty */
	detect(f, &e);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", c.topic, 1); /* a train: the entry before it does not judge */
	setenv("CI_MERGE_REQUEST_EVENT_TYPE", "merge_train", 1);
	detect(f, &e);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	setenv("CI_MERGE_REQUEST_EVENT_TYPE", "merged_result", 1);
	detect(f, &e);
	assert_string_equal(e.target, c.topic);
	event_release(&e);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "", 1);
	gitlab_merge_request("7", "8", c.one);
	detect(f, &e);
	assert_int_equal(e.trust, TRUST_FORK);
	event_release(&e);
	unsetenv("CI_MERGE_REQUEST_SOURCE_PROJECT_ID");
	detect(f, &e);
	assert_int_equal(e.trust, TRUST_FORK);
	event_release(&e);
	gitlab_merge_request("", "", c.one);
	detect(f, &e);
	assert_int_equal(e.trust, TRUST_FORK);
	event_release(&e);
	gitlab_merge_request("7", "8", c.one); /* a pipeline in the fork: its remote is the fork */
	setenv("CI_PROJECT_ID", "7", 1);
	detect(f, &e);
	assert_string_equal(e.target, c.one);
	event_release(&e);
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "topic", 1);
	assert_err(event_detect(&e, f->repo, NULL), ERR_ENV);
	assert_text_has(err_text(), "a pipeline of the fork cannot know");
	setenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main", 1);
	unsetenv("CI_MERGE_REQUEST_DIFF_BASE_SHA");
	assert_err(event_detect(&e, f->repo, NULL), ERR_INPUT);
	commits_release(&c);
}

/* A child pipeline has its parent's variables, another source, and no "before". */
static void test_event_detect__gitlab_child_of_a_merge_request(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	gitlab_merge_request("7", "8", c.one);
	setenv("CI_PIPELINE_SOURCE", "parent_pipeline", 1);
	detect(f, &e);
	assert_int_equal(e.kind, EVENT_PULL_REQUEST);
	assert_int_equal(e.trust, TRUST_FORK);
	assert_string_equal(e.target, c.three);
	event_release(&e);
	commits_release(&c);
}

/* ---- a person ---- */

static void test_event_detect__local(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	sh(f, "git branch -q -u origin/topic main");
	detect(f, &e);
	assert_int_equal(e.kind, EVENT_MANUAL);
	assert_int_equal(e.trust, TRUST_BRANCH);
	assert_string_equal(e.branch, "main");
	assert_string_equal(e.target, c.three); /* not what it follows */
	assert_string_equal(e.default_branch, "main");
	event_release(&e);
	sh(f, "git branch -q --unset-upstream main");
	detect(f, &e);
	assert_string_equal(e.target, c.three); /* the remote's default branch */
	assert_true(e.from_default);
	assert_null(e.note);
	must(event_confirm(&e, f->repo));
	sh(f, "git -C ../origin.git symbolic-ref HEAD refs/heads/topic"); /* since then it is called otherwise */
	assert_err(event_confirm(&e, f->repo), ERR_INPUT);
	assert_text_has(err_text(), "takes main of origin for the default branch");
	assert_text_has(err_fix(), "git remote set-head origin --auto");
	setenv("ASSAY_OFFLINE", "1", 1);
	assert_err(event_confirm(&e, f->repo), ERR_NOTFOUND);
	unsetenv("ASSAY_OFFLINE");
	event_release(&e);
	sh(f, "git remote set-head origin -d");
	detect(f, &e);
	assert_string_equal(e.target, c.three); /* by its usual name, which is a guess */
	assert_false(e.from_default);
	assert_text_has(e.note, "the policy is that of main of origin");
	event_release(&e);
	sh(f, "git update-ref refs/remotes/origin/master topic"); /* two of those: no guess */
	detect(f, &e);
	assert_string_equal(e.target, "");
	assert_text_has(e.note, "git remote set-head origin --auto");
	event_release(&e);
	sh(f, "git branch -q -u origin/topic main");
	detect(f, &e);
	assert_string_equal(e.target, c.topic);
	assert_false(e.from_default);
	event_release(&e);
	must(event_detect(&e, f->repo, "topic"));
	assert_string_equal(e.target, c.topic);
	event_release(&e);
	assert_err(event_detect(&e, f->repo, "nothing"), ERR_INPUT);
	sh(f, "git checkout -q --detach");
	detect(f, &e);
	assert_null(e.branch);
	event_release(&e);
	commits_release(&c);
}

#define test(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_event_detect__github_protected_push),
		test(test_event_detect__github_push_that_is_not_protected),
		test(test_event_detect__github_new_branch),
		test(test_event_detect__github_tags),
		test(test_event_detect__another_branch_is_judged_by_the_default_one),
		test(test_event_detect__a_default_branch_that_nobody_can_be_asked_for),
		test(test_event_detect__github_push_of_something_else),
		test(test_event_detect__github_pull_request_into_a_side_branch),
		test(test_event_detect__github_without_its_event),
		test(test_event_detect__targets_that_are_no_commits),
		test(test_event_detect__fetches_a_target_that_is_not_here),
		test(test_event_detect__github_merged_result),
		test(test_event_detect__github_pull_request),
		test(test_event_detect__github_merge_group),
		test(test_event_detect__github_other_events),
		test(test_event_detect__gitlab_push),
		test(test_event_detect__gitlab_other_sources_are_not_protected),
		test(test_event_detect__gitlab_merge_request),
		test(test_event_detect__gitlab_child_of_a_merge_request),
		test(test_event_detect__local),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
