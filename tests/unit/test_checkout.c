/* Tests of runner/checkout.c: a work tree as the commit says, whatever lies about; links that leave. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "repo_fixture.h"
#include "runner/checkout.h"

static int check_out(struct fixture *f, const char *rev, const char *name)
{
	char *dir = in_root(f, name);
	struct commit c;
	int rc;

	must(repo_commit(f->repo, rev, &c));
	rc = checkout_write(f->repo, c.oid, dir);
	commit_release(&c);
	free(dir);
	return rc;
}

static void test_checkout_write__the_commit_not_the_work_tree(void **state)
{
	struct fixture *f = *state;
	char *before, *after;
	struct stat st;
	char *run;

	sh(f, "mkdir -p a && echo one >a/f && echo 'echo hi' >run && chmod +x run && ln -s a/f link && git add . && "
	      "git commit -q -m one && echo dirty >a/f && echo new >untracked && echo staged >s && git add s");
	before = sh_out(f, "git status --porcelain | sort | sha256sum; git ls-files -s | sha256sum");
	open_at(f, "work");
	must(check_out(f, "HEAD", "out"));
	assert_file(f, "out/a/f", "one\n");
	assert_file(f, "out/link", "one\n");
	assert_false(is_there(f, "out/untracked"));
	assert_false(is_there(f, "out/s"));
	assert_false(is_there(f, "out/.git"));
	assert_false(is_there(f, "out.index")); /* the private index is gone */
	run = in_root(f, "out/run");
	assert_int_equal(stat(run, &st), 0);
	assert_true(st.st_mode & S_IXUSR);
	after = sh_out(f, "git status --porcelain | sort | sha256sum; git ls-files -s | sha256sum");
	assert_string_equal(before, after); /* the user's index is untouched */
	free(before);
	free(after);
	free(run);
}

/* Whoever may push may push refs/replace/: it puts nothing in another commit's place. */
static void test_checkout_write__no_replacements(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo ours >f && git add . && git commit -q -m ours && git checkout -q -b other && echo theirs >f && git "
	      "commit -q "
	      "-a -m theirs && git checkout -q main && git replace main other && git replace main:f other:f");
	open_at(f, "work");
	must(check_out(f, "main", "out"));
	assert_file(f, "out/f", "ours\n");
}

static void test_checkout_write__attributes_of_the_commit(void **state)
{
	struct fixture *f = *state;

	sh(f, "printf '*.txt text eol=crlf\\n*.id ident\\n' >.gitattributes && printf 'a\\nb\\n' >x.txt && printf "
	      "'a\\nb\\n' >x.bin "
	      "&& printf '$Id$\\n' >y.id && git add . && git commit -q -m one && printf '*.bin text eol=crlf\\n' "
	      ">.gitattributes "
	      "&& git config core.autocrlf true");
	open_at(f, "work");
	must(check_out(f, "HEAD", "out"));
	assert_file(f, "out/x.txt", "a\r\nb\r\n");
	assert_file(f, "out/x.bin", "a\nb\n"); /* not by the dirty attributes, nor by the user's own settings */
	{
		char *path = in_root(f, "out/y.id");
		struct buf b = BUF_INIT(4096);

		must(fs_read(&b, path, 4096));
		assert_int_equal(strncmp(buf_str(&b), "$Id: ", 5), 0);
		buf_release(&b);
		free(path);
	}
}

static void test_checkout_write__filters_of_the_user_run(void **state)
{
	struct fixture *f = *state;

	sh(f,
	   "git config filter.upper.smudge 'tr a-z A-Z' && git config filter.upper.clean 'tr A-Z a-z' && "
	   "git config filter.upper.required true && echo '*.up filter=upper' >.gitattributes && echo HELLO >x.up && "
	   "git add . && git commit -q -m x");
	open_at(f, "work");
	must(check_out(f, "HEAD", "out"));
	assert_file(f, "out/x.up", "HELLO\n");
	sh(f, "git config filter.upper.smudge false");
	assert_err(check_out(f, "HEAD", "out2"), ERR_INPUT);
	assert_text_has(err_text(), "git cannot check out");
}

static void test_checkout_write__no_hook_runs(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo x >f && git add f && git commit -q -m x && mkdir -p .git/hooks && for h in post-checkout "
	      "post-index-change; do "
	      "printf '#!/bin/sh\\ntouch \"%s/ran\"\\n' \"$PWD/..\" >.git/hooks/$h; chmod +x .git/hooks/$h; done");
	open_at(f, "work");
	must(check_out(f, "HEAD", "out"));
	assert_false(is_there(f, "ran"));
}

static void test_checkout_write__bare_and_linked(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo one >f && git add f && git commit -q -m x && git clone -q --bare . ../bare.git && "
	      "git worktree add -q -b side ../linked && cd ../linked && echo two >f && git commit -q -a -m two");
	open_at(f, "bare.git");
	must(check_out(f, "HEAD", "out"));
	assert_file(f, "out/f", "one\n");
	open_at(f, "linked");
	must(check_out(f, "HEAD", "out2"));
	assert_file(f, "out2/f", "two\n");
	open_at(f, "work");
	must(check_out(f, "HEAD", "out3"));
	assert_file(f, "out3/f", "one\n");
}

/* kill -9 in the middle leaves the private index and its lock. */
static void test_checkout_write__after_a_kill(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo one >f && git add f && git commit -q -m x && echo junk >../out.index && : >../out.index.lock");
	open_at(f, "work");
	must(check_out(f, "HEAD", "out"));
	assert_file(f, "out/f", "one\n");
	assert_false(is_there(f, "out.index"));
	assert_false(is_there(f, "out.index.lock"));
}

static void test_checkout_write__no_such_commit(void **state)
{
	struct fixture *f = *state;
	char *dir = in_root(f, "out");

	sh(f, "git commit -q --allow-empty -m x");
	open_at(f, "work");
	assert_err(checkout_write(f->repo, "1234567890123456789012345678901234567890", dir), ERR_INPUT);
	assert_text_has(err_text(), "git cannot check out 123456789012");
	free(dir);
}

static void test_checkout_write__links_that_leave(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo secret >../secret && mkdir d && ln -s ../../secret d/up && git add . && git commit -q -m up && git "
	      "rm -q -r d && "
	      "ln -s /etc abs && git add . && git commit -q -m abs && git rm -q abs && mkdir e && echo x >e/f && ln -s "
	      ". e/self && "
	      "ln -s ../e/f e/g && ln -s nowhere dangling && git add . && git commit -q -m inside");
	open_at(f, "work");
	assert_err(check_out(f, "HEAD~2", "out"), ERR_INPUT);
	assert_text_has(err_text(), "d/up is a link that leaves the tree");
	assert_err(check_out(f, "HEAD~1", "out2"), ERR_INPUT);
	assert_text_has(err_text(), "abs is a link that leaves the tree");
	must(check_out(f, "HEAD", "out3"));
	assert_file(f, "out3/e/g", "x\n");
}

/* A folder beside the root whose name begins like the root's is outside. */
static void test_checkout_check_links__a_longer_name(void **state)
{
	struct fixture *f = *state;
	char *dir = in_root(f, "out");

	sh(f, "mkdir ../out ../out-secret && echo x >../out-secret/f && ln -s ../out-secret/f ../out/l");
	assert_err(checkout_check_links(dir), ERR_INPUT);
	free(dir);
}

/* What a trainer leaves as its output may be a link to somebody else's files. */
static void test_checkout_check_inside__an_output_that_is_a_link(void **state)
{
	struct fixture *f = *state;
	char *root = in_root(f, "out"), *path;

	sh(f,
	   "mkdir -p ../out/good/sub ../elsewhere/model && ln -s good ../out/alias && ln -s ../elsewhere ../out/bad && "
	   "ln -s . ../out/root && ln -s ../out ../out/back");
	path = path_join(root, "good/sub");
	must(checkout_check_inside(root, path));
	free(path);
	path = path_join(root, "alias/sub");
	must(checkout_check_inside(root, path));
	free(path);
	path = path_join(root, "bad");
	assert_err(checkout_check_inside(root, path), ERR_INPUT);
	assert_text_has(err_text(), "leaves the tree");
	free(path);
	path = path_join(root, "bad/model");
	assert_err(checkout_check_inside(root, path), ERR_INPUT);
	free(path);
	path = path_join(root, "root"); /* all of the checkout is no output */
	assert_err(checkout_check_inside(root, path), ERR_INPUT);
	free(path);
	path = path_join(root, "none");
	assert_err(checkout_check_inside(root, path), ERR_IO);
	free(path);
	free(root);
}

#define test(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_checkout_write__the_commit_not_the_work_tree),
		test(test_checkout_write__no_replacements),
		test(test_checkout_write__attributes_of_the_commit),
		test(test_checkout_write__filters_of_the_user_run),
		test(test_checkout_write__no_hook_runs),
		test(test_checkout_write__bare_and_linked),
		test(test_checkout_write__after_a_kill),
		test(test_checkout_write__no_such_commit),
		test(test_checkout_write__links_that_leave),
		test(test_checkout_check_links__a_longer_name),
		test(test_checkout_check_inside__an_output_that_is_a_link),
	};

	return cmocka_run_group_tests_name("checkout", tests, NULL, NULL);
}
