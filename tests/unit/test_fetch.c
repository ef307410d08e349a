/* Tests of runner/fetch.c: what a shallow clone lacks, from a remote of any name, and where there is no way to it.
 *
 * The world: main has 400 commits, topic 3 more from the 340th on; both lie in root/there. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "repo_fixture.h"
#include "runner/event.h"
#include "runner/fetch.h"

static void world(struct fixture *f)
{
	sh(f, "for i in $(seq 400); do"
	      " printf 'commit refs/heads/main\ncommitter t <t@e> %d +0000\ndata 3\n%03d\n' $((1700000000 + i)) $i;"
	      " done | git fast-import --quiet");
	sh(f, "git checkout -q -b topic main~60 && for i in 1 2 3; do git commit -q --allow-empty -m topic; done");
	sh(f, "git init -q --bare ../there && git push -q ../there main topic && "
	      "git -C ../there config uploadpack.allowAnySHA1InWant true");
}

/* A clone of one commit of topic, whose remote has this name. */
static void shallow(struct fixture *f, const char *name)
{
	char *script =
		mem_printf("rm -rf ../here && git init -q ../here && cd ../here && git remote add %s \"file://$(cd "
			   "../there && pwd)\" && git fetch -q --depth=1 %s topic:refs/remotes/%s/topic && "
			   "git checkout -q -b topic %s/topic",
			   name, name, name, name);

	sh(f, script);
	free(script);
	open_at(f, "here");
	assert_true(repo_is_shallow(f->repo));
}

static char *oid_of(struct fixture *f, const char *rev)
{
	char *script = mem_printf("git -C ../there rev-parse %s", rev), *oid = sh_out(f, script);

	free(script);
	return oid;
}

static void finds_merge_base(struct fixture *f)
{
	char *main_oid = oid_of(f, "main"), *topic = oid_of(f, "topic"), *want = oid_of(f, "main~60"), *count;
	char oid[OID_HEX] = "";

	must(fetch_commit(f->repo, main_oid));
	must(fetch_merge_base(f->repo, main_oid, topic, oid));
	assert_string_equal(oid, want);
	count = sh_out(f, "git -C ../here rev-list --count --all");
	assert_true(strtol(count, NULL, 10) < 300); /* and no more than that: steps of 50 and 100 */
	free(count);
	free(main_oid);
	free(topic);
	free(want);
}

static void test_fetch_merge_base__deepens_until_it_is_there(void **state)
{
	struct fixture *f = *state;

	world(f);
	shallow(f, "origin");
	finds_merge_base(f);
}

static void test_fetch__the_remote_has_another_name(void **state)
{
	struct fixture *f = *state;

	world(f);
	shallow(f, "upstream");
	finds_merge_base(f);
}

/* The branch follows a fork, which does not have the target's commits: origin is asked behind it. */
static void test_fetch__origin_behind_the_branch_s_own(void **state)
{
	struct fixture *f = *state;
	struct buf names = BUF_INIT(1 << 16);

	world(f);
	sh(f, "git init -q --bare ../fork && git push -q ../fork topic");
	shallow(f, "mine");
	sh(f, "cd ../here && git remote set-url mine \"file://$(cd ../fork && pwd)\" && "
	      "git remote add origin \"file://$(cd ../there && pwd)\"");
	must(repo_remotes(f->repo, &names));
	assert_string_equal(buf_str(&names), "mine\norigin\n");
	finds_merge_base(f);
	buf_release(&names);
}

/* What a whole clone lacks comes with its history: a depth would cut that of all it has. */
static void test_fetch_commit__a_whole_clone_stays_whole(void **state)
{
	struct fixture *f = *state;
	char *main_oid, oid[OID_HEX], *topic;

	world(f);
	sh(f, "git clone -q --single-branch -b topic \"file://$(cd ../there && pwd)\" ../here");
	open_at(f, "here");
	main_oid = oid_of(f, "main");
	topic = oid_of(f, "topic");
	must(fetch_commit(f->repo, main_oid));
	assert_false(repo_is_shallow(f->repo));
	must(repo_merge_base(f->repo, main_oid, topic, oid));
	free(main_oid);
	free(topic);
}

static void test_repo_remotes__none_one_or_a_choice_that_is_not_ours(void **state)
{
	struct fixture *f = *state;
	struct buf names = BUF_INIT(1 << 16);

	sh(f, "git commit -q --allow-empty -m one");
	open_at(f, "work");
	must(repo_remotes(f->repo, &names));
	assert_string_equal(buf_str(&names), "");
	sh(f, "git remote add team ../there");
	must(repo_remotes(f->repo, &names));
	assert_string_equal(buf_str(&names), "team\n");
	sh(f, "git remote add other ../there");
	must(repo_remotes(f->repo, &names));
	assert_string_equal(buf_str(&names), "");
	sh(f, "git config branch.main.remote other && git config branch.main.merge refs/heads/main");
	must(repo_remotes(f->repo, &names));
	assert_string_equal(buf_str(&names), "other\n");
	sh(f,
	   "git config branch.main.remote . && git remote add origin ../there"); /* a branch that follows a local one */
	must(repo_remotes(f->repo, &names));
	assert_string_equal(buf_str(&names), "origin\n");
	sh(f, "git checkout -q --detach");
	must(repo_remotes(f->repo, &names));
	assert_string_equal(buf_str(&names), "origin\n");
	buf_release(&names);
}

static void test_fetch__without_a_way_to_it(void **state)
{
	struct fixture *f = *state;
	char *main_oid, *topic, oid[OID_HEX];
	bool yes = true;

	world(f);
	shallow(f, "origin");
	main_oid = oid_of(f, "main");
	topic = oid_of(f, "topic");
	setenv("ASSAY_OFFLINE", "1", 1);
	assert_err(fetch_commit(f->repo, main_oid), ERR_INPUT);
	unsetenv("ASSAY_OFFLINE");
	must(fetch_commit(f->repo, main_oid));
	sh(f, "cd ../here && git remote set-url origin file:///nowhere/at/all");
	assert_err(fetch_merge_base(f->repo, main_oid, topic, oid), ERR_INPUT);
	assert_false(fetch_deeper(f->repo, topic));
	assert_err(fetch_is_ancestor(f->repo, main_oid, topic, &yes), ERR_INPUT);
	assert_text_has(err_text(), "too shallow");
	assert_text_has(err_fix(), "fetch-depth: 0");
	assert_false(yes);
	sh(f, "cd ../here && git remote remove origin");
	assert_err(fetch_commit(f->repo, "1111111111111111111111111111111111111111"), ERR_INPUT);
	free(main_oid);
	free(topic);
}

/* On a branch that follows none, the default branch of a remote of any name asks the questions. */
static void test_event__the_default_branch_of_the_only_remote(void **state)
{
	struct fixture *f = *state;
	struct event e;
	char *want;

	world(f);
	shallow(f, "upstream");
	want = oid_of(f, "main");
	sh(f, "cd ../here && git fetch -q --depth=1 upstream main:refs/remotes/upstream/main && git remote set-head "
	      "upstream main && "
	      "git checkout -q --no-track -b alone");
	open_at(f, "here");
	must(event_detect(&e, f->repo, NULL));
	assert_string_equal(e.target, want);
	event_release(&e);
	sh(f, "cd ../here && git config --remove-section remote.upstream && git update-ref refs/remotes/origin/main "
	      "upstream/main && git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main");
	must(event_detect(&e, f->repo, NULL));
	assert_string_equal(e.target, want);
	event_release(&e);
	free(want);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fetch_merge_base__deepens_until_it_is_there),
		TEST(test_fetch__the_remote_has_another_name),
		TEST(test_fetch__origin_behind_the_branch_s_own),
		TEST(test_fetch_commit__a_whole_clone_stays_whole),
		TEST(test_repo_remotes__none_one_or_a_choice_that_is_not_ours),
		TEST(test_fetch__without_a_way_to_it),
		TEST(test_event__the_default_branch_of_the_only_remote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
