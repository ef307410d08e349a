/* Tests of runner/dvc.c: pointers and a cache that DVC itself made (tests/golden/make_dvc.sh), and hostile ones. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/digest.h"
#include "repo_fixture.h"

/* The golden files, committed, with their cache where DVC keeps it. */
static struct tree *golden(struct fixture *f)
{
	char *top = realpath("tests/golden/dvc", NULL);

	assert_non_null(top);
	setenv("GOLDEN", top, 1);
	sh(f, "cp -r $GOLDEN/data $GOLDEN/dvc.lock . && mkdir -p .dvc && cp -r $GOLDEN/dvc_cache .dvc/cache && echo "
	      "/cache "
	      ">.dvc/.gitignore && git add . && git commit -q -m x");
	free(top);
	return tree_of(f, "HEAD");
}

static int gather(const char *name, void *arg)
{
	buf_addf(arg, "%s ", name);
	return 0;
}

static void assert_lists(struct tree *t, const char *path, const char *want)
{
	struct buf b = BUF_INIT(1 << 16);

	must(tree_list(t, path, gather, &b));
	assert_string_equal(buf_str(&b), want);
	buf_release(&b);
}

static void test_dvc__files_folders_and_a_lock(void **state)
{
	struct fixture *f = *state;
	struct tree *t = golden(f);
	char oid[OID_HEX], other[OID_HEX], *to = in_root(f, "out");

	assert_reads(t, "data/train.jsonl", "{\"text\":\"one\"}\n");
	assert_reads(t, "data/rows/a", "a\n");
	assert_reads(t, "data/rows/b/c", "b\n");
	assert_reads(t, "data/rows/empty", "");
	assert_reads(t, "single.txt", "single\n");
	assert_reads(t, "out/f", "made\n");
	assert_true(tree_is_dir(t, "data/rows"));
	assert_true(tree_is_dir(t, "data/rows/b"));
	assert_false(tree_is_dir(t, "data/train.jsonl"));
	assert_lists(t, "data/rows", "a b empty ");
	assert_lists(t, "data/rows/b", "c ");
	assert_lists(t, "data", "rows.dvc train.jsonl.dvc rows train.jsonl ");
	assert_unreadable(t, "data/rows", ERR_INPUT, "is a folder");
	assert_unreadable(t, "data/rows/none", ERR_NOTFOUND, "the commit has no file data/rows/none");
	assert_unreadable(t, "data/train.jsonl/x", ERR_NOTFOUND, "no file");
	assert_unreadable(t, "data/nothing", ERR_NOTFOUND, "the commit has no file data/nothing");
	must(tree_oid(t, "data/train.jsonl", oid));
	must(tree_oid(t, "data/rows", other));
	assert_string_not_equal(oid, other);
	must(tree_oid(t, "data/rows/b", oid));
	assert_string_not_equal(oid, other);
	assert_err(tree_oid(t, "data/rows/none", oid), ERR_NOTFOUND);
	must(tree_export(t, "data", to));
	assert_file(f, "out/train.jsonl", "{\"text\":\"one\"}\n");
	assert_file(f, "out/rows/b/c", "b\n");
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	assert_reads(t, "data/rows/b/c", "b\n"); /* not checked out by dvc: the pointer stands for it there too */
	tree_close(t);
	free(to);
}

static void test_dvc__the_cache_is_where_the_configuration_says(void **state)
{
	struct fixture *f = *state;
	struct tree *t = golden(f);

	sh(f, "printf \"[core]\\n    remote = r\\n['remote \\\"r\\\"']\\n    url = /nowhere\\n[cache]\\n    dir = "
	      "../../shared\\n\" "
	      ">.dvc/config.local && mv .dvc/cache ../shared");
	assert_reads(t, "data/rows/b/c", "b\n");
	sh(f, "rm .dvc/config.local && mkdir ../dvc && printf '[cache]\\ndir=%s\\n' $PWD/../shared >../dvc/config");
	assert_reads(t, "data/rows/b/c", "b\n"); /* XDG_CONFIG_HOME */
	tree_close(t);
	sh(f, "rm ../dvc/config && mv ../shared .dvc/cache && git worktree add -q ../linked");
	open_at(f, "linked");
	t = tree_of(f, "HEAD");
	sh(f, "rm -r ../linked/.dvc");
	assert_reads(t, "data/train.jsonl", "{\"text\":\"one\"}\n");
	tree_close(t);
}

static void test_dvc__dvc_2_kept_it_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct tree *t;

	sh(f, "mkdir -p .dvc/cache/b1 && echo hello >.dvc/cache/b1/946ac92492d2347c6235b4d2611184 && printf "
	      "'outs:\\n- md5: b1946ac92492d2347c6235b4d2611184\\n  size: 6\\n  path: h\\n' >h.dvc && git add h.dvc && "
	      "git commit "
	      "-q -m x");
	t = tree_of(f, "HEAD");
	assert_reads(t, "h", "hello\n");
	tree_close(t);
}

static void test_dvc__missing_and_damaged_objects_are_told(void **state)
{
	struct fixture *f = *state;
	struct tree *t = golden(f);

	sh(f, "echo x >>.dvc/cache/files/md5/b2/e6ef86395ae5aab00f73276f8169ac");
	assert_unreadable(t, "data/train.jsonl", ERR_INPUT, "is damaged");
	sh(f, "rm .dvc/cache/files/md5/b2/e6ef86395ae5aab00f73276f8169ac");
	assert_unreadable(t, "data/train.jsonl", ERR_INPUT,
			  "tracked by DVC (data/train.jsonl.dvc), and its object b2e6ef86395a");
	assert_text_has(err_fix(), "dvc fetch data/train.jsonl.dvc");
	sh(f, "echo '[]' >.dvc/cache/files/md5/c7/b0c508c0fa1c57bcf117bd47db200f.dir");
	assert_unreadable(t, "data/rows/a", ERR_INPUT, "is damaged");
	tree_close(t);
}

/* A pointer names digests: never a place, nor a file outside its folder. */
static void test_dvc__hostile_pointers(void **state)
{
	struct fixture *f = *state;
	struct tree *t;

	sh(f, "p() { printf 'outs:\\n- {md5: \"%s\", hash: md5, path: \"%s\"}\\n' \"$2\" \"$3\" >$1.dvc; }; p up "
	      "../../../../../../../../etc/passwd up; p short b1 short; p other b1946ac92492d2347c6235b4d2611184 "
	      "../secret; p etag '' "
	      "etag; printf 'outs: 7' >seven.dvc; printf ': [' >broken.dvc; printf 'outs: [3, {path: 4}]' >odd.dvc; "
	      "m=.dvc/cache/files/md5; l='[{\"md5\":\"b1946ac92492d2347c6235b4d2611184\",\"relpath\":\"../../x\"}]'; "
	      "s=$(printf '%s' "
	      "\"$l\" | md5sum | cut -c1-32); mkdir -p $m/$(echo $s | cut -c1-2) && printf '%s' \"$l\" >$m/$(echo $s | "
	      "cut -c1-2)/$(echo "
	      "$s | cut -c3-).dir; p list $s.dir list; git add *.dvc && git commit -q -m x");
	t = tree_of(f, "HEAD");
	assert_unreadable(t, "up", ERR_INPUT, "has no md5");
	assert_unreadable(t, "short", ERR_INPUT, "has no md5");
	assert_unreadable(t, "etag", ERR_INPUT, "has no md5");
	assert_unreadable(t, "other", ERR_NOTFOUND, "no file other");
	assert_unreadable(t, "seven", ERR_NOTFOUND, "no file seven");
	assert_unreadable(t, "odd", ERR_NOTFOUND, "no file odd");
	assert_unreadable(t, "broken", ERR_INPUT, "broken.dvc:");
	assert_unreadable(t, "list/x", ERR_INPUT, "holds what is no file");
	assert_false(tree_is_dir(t, "list"));
	tree_close(t);
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_dvc__files_folders_and_a_lock), test(test_dvc__the_cache_is_where_the_configuration_says),
		test(test_dvc__dvc_2_kept_it_elsewhere),  test(test_dvc__missing_and_damaged_objects_are_told),
		test(test_dvc__hostile_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
