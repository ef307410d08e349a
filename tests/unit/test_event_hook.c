/* Tests of event_hook() in runner/event.c: whose policy judges a push, from a person's clone and on a server. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "event_commits.h"

/* ---- the pre-push hook ---- */

static void test_event_hook__a_branch_that_is_there(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	must(event_hook(&e, f->repo, "origin", "refs/heads/main", c.two));
	assert_int_equal(e.kind, EVENT_HOOK);
	assert_int_equal(e.trust, TRUST_BRANCH);
	assert_string_equal(e.branch, "main");
	assert_string_equal(e.remote, "origin");
	assert_string_equal(e.ref, "refs/heads/main");
	assert_string_equal(e.target, c.two);
	event_release(&e);
	must(event_hook(&e, f->repo, "origin", "refs/tags/v1", c.two));
	assert_null(e.branch);
	event_release(&e);
	commits_release(&c);
}

static void test_event_hook__a_new_branch(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	must(event_hook(&e, f->repo, "origin", "refs/heads/new", ZERO));
	assert_string_equal(e.target, c.three); /* the default branch has the say */
	event_release(&e);
	must(event_hook(&e, f->repo, "elsewhere", "refs/heads/new", ZERO)); /* a fork, say */
	assert_string_equal(e.target, c.three);
	assert_false(e.to_default);
	event_release(&e);
	must(event_hook(&e, f->repo, "origin", "refs/heads/topic", c.topic)); /* one that is there, and judges nobody */
	assert_string_equal(e.target, c.three);
	event_release(&e);
	sh(f, "git update-ref -d refs/remotes/origin/main; git update-ref -d refs/remotes/origin/topic; "
	      "git symbolic-ref -d refs/remotes/origin/HEAD");
	must(event_hook(&e, f->repo, "origin", "refs/heads/new", ZERO)); /* of a remote of which nothing was fetched */
	assert_string_equal(e.target, c.three);
	assert_true(e.from_default && !e.to_default);
	event_release(&e);
	sh(f, "git -C ../origin.git symbolic-ref HEAD refs/heads/nothing");
	must(event_hook(&e, f->repo, "origin", "refs/heads/new", ZERO));
	assert_false(e.from_default || e.to_default);
	event_release(&e);
	sh(f,
	   "git init -q --bare -b main ../empty.git; git remote set-url origin \"file://$(cd ../empty.git && pwd)\"");
	must(event_hook(&e, f->repo, "origin", "refs/heads/new", ZERO)); /* a first push */
	assert_string_equal(e.target, "");
	assert_true(e.to_default);
	event_release(&e);
	commits_release(&c);
}

/* Whoever writes what they like to another remote of this clone, a stranger's fork say, does not judge what is pushed there. */
static void test_event_hook__a_push_to_a_fork(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	sh(f, "git init -q --bare -b main ../fork.git; git push -q ../fork.git topic:main; "
	      "git remote add -f fork \"file://$(cd ../fork.git && pwd)\" 2>/dev/null; git remote set-head fork main");
	must(event_hook(&e, f->repo, "fork", "refs/heads/main", c.topic));
	assert_string_equal(e.target, c.three);
	assert_string_equal(e.unasked, "origin");
	assert_true(e.elsewhere && e.from_default && !e.to_default);
	assert_text_has(e.note, "the push goes to fork, and the policy is that of main of origin");
	event_release(&e);
	must(event_hook(&e, f->repo, "origin", "refs/heads/main", c.two));
	assert_true(!e.elsewhere && e.to_default);
	assert_null(e.note);
	event_release(&e);
	sh(f, "git branch -q -u fork/main topic; git checkout -q topic"); /* a stranger's branch, to look at */
	detect(f, &e);
	assert_string_equal(e.target, c.three);
	assert_string_equal(e.unasked, "origin");
	event_release(&e);
	/* a contributor: origin is the fork, main follows the team's */
	sh(f, "git remote rename origin team 2>/dev/null; git remote rename fork origin 2>/dev/null; "
	      "git branch -q -u team/main main; git remote set-head team main");
	must(event_hook(&e, f->repo, "origin", "refs/heads/new", ZERO));
	assert_string_equal(e.target, c.three);
	assert_string_equal(e.unasked, "team");
	assert_true(e.elsewhere);
	event_release(&e);
	must(event_hook(&e, f->repo, "team", "refs/heads/main", c.two));
	assert_string_equal(e.target, c.two);
	assert_true(!e.elsewhere && e.to_default);
	event_release(&e);
	sh(f, "git branch -q --unset-upstream main"); /* nothing says that it is not his own */
	must(event_hook(&e, f->repo, "origin", "refs/heads/new", ZERO));
	assert_string_equal(e.target, c.topic);
	event_release(&e);
	sh(f, "git remote rename origin mine 2>/dev/null; git branch -q -u team/main main");
	must(event_hook(&e, f->repo, "team", "refs/heads/main", c.two)); /* none is called origin: nobody knows */
	assert_string_equal(e.target, c.two);
	assert_false(e.from_default || e.to_default);
	assert_text_has(e.note, "none is called origin");
	assert_text_has(e.note, "git remote rename NAME origin");
	event_release(&e);
	detect(f, &e);
	assert_false(e.from_default);
	assert_text_has(e.note, "none is called origin");
	event_release(&e);
	commits_release(&c);
}

static void test_event_hook__a_tip_that_was_never_fetched(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	char *script = mem_printf("git update-ref refs/tags/%s topic", ABSENT);
	struct event e;

	sh(f, script); /* a tag that is called like it does not answer for it */
	must(event_hook(&e, f->repo, "origin", "refs/heads/main", ABSENT));
	assert_string_equal(e.target, c.three);
	event_release(&e);
	sh(f, "git remote set-head origin -d && git update-ref refs/remotes/origin/trunk main && git update-ref -d "
	      "refs/remotes/origin/main");
	must(event_hook(&e, f->repo, "origin", "refs/heads/topic", c.topic)); /* the remote says it */
	assert_string_equal(e.target, c.three);
	assert_true(e.from_default);
	event_release(&e);
	sh(f, "git update-ref refs/remotes/origin/master topic"); /* a usual name, which is somebody's branch */
	must(event_hook(&e, f->repo, "origin", "refs/heads/topic", c.topic));
	assert_string_equal(e.target, c.three);
	event_release(&e);
	setenv("ASSAY_OFFLINE", "1", 1);
	must(event_hook(&e, f->repo, "origin", "refs/heads/topic", c.topic));
	assert_string_equal(e.target, c.topic);
	assert_false(e.from_default || e.to_default);
	assert_text_has(e.note, "the policy is that of master of origin");
	event_release(&e);
	sh(f, "git update-ref -d refs/remotes/origin/master");
	must(event_hook(&e, f->repo, "origin", "refs/heads/topic",
			c.topic)); /* at least not its own, but no rule either */
	assert_string_equal(e.target, c.topic);
	assert_false(e.from_default || e.to_default);
	assert_text_has(e.note, "git remote set-head origin --auto");
	event_release(&e);
	must(event_hook(&e, f->repo, "origin", "refs/heads/new", ZERO));
	assert_string_equal(e.target, "");
	assert_false(e.to_default);
	event_release(&e);
	assert_err(event_hook(&e, f->repo, "origin", "refs/heads/main", ABSENT), ERR_INPUT);
	assert_text_has(err_text(), "which is not in this clone");
	assert_text_has(err_fix(), "git fetch origin");
	assert_null(e.ref);
	assert_err(event_hook(&e, f->repo, "https://example.org/x.git", "refs/heads/main", ABSENT), ERR_INPUT);
	free(script);
	commits_release(&c);
}

/* ---- a server's hook ---- */

static void test_event_hook__a_server(void **state)
{
	struct fixture *f = *state;
	struct commits c = make_commits(f);
	struct event e;

	open_at(f, "origin.git");
	sh(f, "git -C ../origin.git symbolic-ref HEAD refs/heads/main");
	must(event_hook(&e, f->repo, "", "refs/heads/main", c.two)); /* git's word for what was there */
	assert_string_equal(e.target, c.two);
	assert_true(e.to_default && e.from_default);
	event_release(&e);
	must(event_hook(&e, f->repo, "", "refs/heads/topic", c.topic));
	assert_string_equal(e.target, c.three);
	assert_true(e.from_default);
	assert_false(e.to_default);
	event_release(&e);
	sh(f, "git -C ../origin.git symbolic-ref HEAD refs/heads/master");
	assert_err(event_hook(&e, f->repo, "", "refs/heads/master", ZERO),
		   ERR_ENV); /* not even HEAD's: others are there */
	assert_text_has(err_text(), "HEAD names master, which does not exist");
	assert_text_has(err_fix(), "git symbolic-ref HEAD");
	sh(f,
	   "git -C ../origin.git update-ref -d refs/heads/main; git -C ../origin.git update-ref -d refs/heads/topic");
	assert_err(event_hook(&e, f->repo, "", "refs/heads/main", ZERO), ERR_ENV);
	assert_text_has(err_fix(), "push master first");
	must(event_hook(&e, f->repo, "", "refs/heads/master", ZERO)); /* the first of all */
	assert_string_equal(e.target, "");
	assert_true(e.to_default);
	event_release(&e);
	commits_release(&c);
}

#define test(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_event_hook__a_branch_that_is_there),
		test(test_event_hook__a_new_branch),
		test(test_event_hook__a_push_to_a_fork),
		test(test_event_hook__a_tip_that_was_never_fetched),
		test(test_event_hook__a_server),
	};

	return cmocka_run_group_tests_name("event_hook", tests, NULL, NULL);
}
