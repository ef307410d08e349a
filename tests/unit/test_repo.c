/* Tests of runner/repo.c: revisions and files of real repositories, and of hostile ones. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "base/digest.h"
#include "repo_fixture.h"

/* ---- opening and revisions ---- */

static void test_repo_open__not_a_repository(void **state)
{
	struct fixture *f = *state;
	struct repo *r = NULL;

	assert_err(repo_open(&r, f->root), ERR_INPUT);
	assert_text_has(err_text(), "is not in a git repository");
	assert_text_has(err_fix(), "git init");
	assert_null(r);
}

static void test_repo_open__finds_it_from_a_folder_inside(void **state)
{
	struct fixture *f = *state;

	sh(f, "mkdir -p a/b");
	open_at(f, "work/a/b");
	assert_text_has(repo_work_dir(f->repo), "/work");
	assert_text_has(repo_common_dir(f->repo), "/work/.git");
}

/* libgit2 cannot read one of SHA-256 names: git is asked, and says the same. */
static void test_repo__sha256(void **state)
{
	struct fixture *f = *state;
	char oid[OID_HEX], first[OID_HEX], second[OID_HEX], *branch = NULL, *one, *two, *blob, *tree,
							    *to = in_root(f, "out");
	struct buf b = BUF_INIT(1 << 20);
	struct commit c;
	struct tree *t;

	sh(f, "git init -q -b main --object-format=sha256 ../long && cd ../long && mkdir -p a/b && echo one >a/b/f && "
	      "ln -s a/b/f "
	      "l && ln -s ../.. a/out && git add . && git commit -q -m 'One: the' -m 'body' && git tag v1 && echo two "
	      ">g && git "
	      "add g && git commit -q -m two && echo dirty >g");
	one = sh_out(f, "git -C ../long rev-parse v1");
	two = sh_out(f, "git -C ../long rev-parse HEAD");
	blob = sh_out(f, "git -C ../long rev-parse HEAD:a/b/f");
	tree = sh_out(f, "git -C ../long rev-parse HEAD:a/b");
	open_at(f, "long/a");
	assert_text_has(repo_work_dir(f->repo), "/long");
	assert_text_has(repo_common_dir(f->repo), "/long/.git/");
	must(repo_commit(f->repo, "v1", &c));
	assert_string_equal(c.oid, one);
	assert_string_equal(c.subject, "One: the");
	assert_true(c.time > 1000000000);
	commit_release(&c);
	assert_err(repo_commit(f->repo, "nothing", &c), ERR_INPUT);
	assert_err(repo_commit(f->repo, "--help", &c), ERR_INPUT);
	must(repo_parents(f->repo, two, first, second));
	assert_string_equal(first, one);
	assert_string_equal(second, "");
	must(repo_ref(f->repo, "refs/heads/main", oid));
	assert_string_equal(oid, two);
	assert_err(repo_ref(f->repo, "refs/heads/side", oid), ERR_NOTFOUND);
	must(repo_head_branch(f->repo, &branch));
	assert_string_equal(branch, "main");
	must(repo_merge_base(f->repo, one, two, oid));
	assert_string_equal(oid, one);
	must(repo_blob(f->repo, blob, &b));
	assert_string_equal(buf_str(&b), "one\n");
	t = tree_of(f, "HEAD");
	assert_reads(t, "a/b/f", "one\n");
	assert_reads(t, "l", "one\n");
	assert_reads(t, "g", "two\n");
	assert_unreadable(t, "a/none", ERR_NOTFOUND, "no file");
	assert_unreadable(t, "a/b", ERR_INPUT, "is a folder");
	assert_true(tree_is_dir(t, "a/b"));
	must(tree_oid(t, "a/b/f", oid));
	assert_string_equal(oid, blob);
	must(tree_oid(t, "a/b", oid));
	assert_string_equal(oid, tree);
	must(tree_export(t, "a/b", to));
	assert_file(f, "out/f", "one\n");
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	must(tree_oid(t, "a/b/f", oid)); /* a file that has not changed has one name in both */
	assert_string_equal(oid, blob);
	assert_reads(t, "g", "dirty\n");
	tree_close(t);
	buf_release(&b);
	free(branch);
	free(one);
	free(two);
	free(blob);
	free(tree);
	free(to);
}

static void test_repo_commit__names(void **state)
{
	struct fixture *f = *state;
	struct commit c;
	char *oid, *tree;

	sh(f, "echo 1 >f && git add f && git commit -q -m 'One: the first' -m 'a body' && git tag -a -m t v1");
	sh(f, "echo 2 >f && git commit -q -a -m two && git branch side");
	oid = sh_out(f, "git rev-parse v1^{commit}");
	tree = sh_out(f, "git rev-parse v1^{tree}");
	open_at(f, "work");
	must(repo_commit(f->repo, "v1", &c)); /* an annotated tag is peeled */
	assert_string_equal(c.oid, oid);
	assert_string_equal(c.tree, tree);
	assert_string_equal(c.subject, "One: the first");
	assert_true(c.time > 1000000000);
	commit_release(&c);
	must(repo_commit(f->repo, "side~1", &c));
	assert_string_equal(c.oid, oid);
	commit_release(&c);
	oid[10] = 0;
	must(repo_commit(f->repo, oid, &c));
	assert_int_equal(strlen(c.oid), 40);
	commit_release(&c);
	assert_err(repo_commit(f->repo, "nothing", &c), ERR_INPUT);
	assert_text_has(err_text(), "no commit is named nothing");
	assert_non_null(err_fix());
	assert_err(repo_commit(f->repo, "HEAD:f", &c), ERR_INPUT); /* a blob */
	assert_null(c.subject);
	free(oid);
	free(tree);
}

static void test_repo_commit__none_yet(void **state)
{
	struct fixture *f = *state;
	struct commit c;

	open_at(f, "work");
	assert_err(repo_commit(f->repo, "HEAD", &c), ERR_INPUT);
	assert_text_has(err_text(), "this repository has no commit yet");
	assert_err(repo_commit(f->repo, "main", &c), ERR_INPUT);
	assert_text_has(err_text(), "no commit is named main");
}

/* A branch or tag may be called like a commit; the commit's name does not come to mean it. */
static void test_repo_commit__a_whole_name_is_no_branch(void **state)
{
	struct fixture *f = *state;
	char *absent = mem_str("1234567890123456789012345678901234567890");
	struct commit c;

	sh(f, "echo 1 >f && git add f && git commit -q -m one && git update-ref "
	      "refs/heads/1234567890123456789012345678901234567890 HEAD && git update-ref "
	      "refs/tags/1234567890123456789012345678901234567890 HEAD");
	open_at(f, "work");
	assert_err(repo_commit(f->repo, absent, &c), ERR_INPUT);
	must(repo_commit(f->repo, "refs/heads/1234567890123456789012345678901234567890", &c));
	commit_release(&c);
	free(absent);
}

static void test_repo_ref__branches_and_upstreams(void **state)
{
	struct fixture *f = *state;
	char oid[OID_HEX], *branch = NULL, *upstream = NULL, *want;

	open_at(f, "work");
	must(repo_head_branch(f->repo, &branch)); /* unborn */
	assert_string_equal(branch, "main");
	free(branch);
	branch = NULL;
	assert_err(repo_ref(f->repo, "refs/heads/main", oid), ERR_NOTFOUND);
	sh(f, "git commit -q --allow-empty -m one && git init -q --bare ../origin.git && git remote add origin "
	      "../origin.git && git push -q -u origin main && git commit -q --allow-empty -m two");
	want = sh_out(f, "git rev-parse origin/main");
	must(repo_upstream(f->repo, "main", &upstream));
	assert_string_equal(upstream, "refs/remotes/origin/main");
	must(repo_ref(f->repo, upstream, oid));
	assert_string_equal(oid, want);
	free(upstream);
	upstream = NULL;
	assert_err(repo_upstream(f->repo, "side", &upstream), ERR_NOTFOUND);
	assert_err(repo_ref(f->repo, "refs/remotes/../heads/main", oid), ERR_NOTFOUND);
	sh(f, "git checkout -q --detach");
	assert_err(repo_head_branch(f->repo, &branch), ERR_NOTFOUND);
	assert_null(branch);
	free(want);
}

static void test_repo_merge_base__and_ancestors(void **state)
{
	struct fixture *f = *state;
	char oid[OID_HEX], *one, *left, *right, *other;

	sh(f, "git commit -q --allow-empty -m one && git checkout -q -b left && git commit -q --allow-empty -m l && "
	      "git checkout -q -b right main && git commit -q --allow-empty -m r && git checkout -q --orphan other && "
	      "git commit -q --allow-empty -m o");
	one = sh_out(f, "git rev-parse main");
	left = sh_out(f, "git rev-parse left");
	right = sh_out(f, "git rev-parse right");
	other = sh_out(f, "git rev-parse other");
	open_at(f, "work");
	must(repo_merge_base(f->repo, left, right, oid));
	assert_string_equal(oid, one);
	assert_true(repo_is_ancestor(f->repo, one, left));
	assert_true(repo_is_ancestor(f->repo, left, left));
	assert_false(repo_is_ancestor(f->repo, left, one));
	assert_false(repo_is_ancestor(f->repo, left, right));
	assert_false(repo_is_ancestor(f->repo, "", left));
	assert_err(repo_merge_base(f->repo, left, other, oid), ERR_INPUT);
	assert_text_has(err_fix(), "fetch-depth: 0");
	assert_true(oid_is_zero("0000000000000000000000000000000000000000"));
	assert_false(oid_is_zero(one));
	free(one);
	free(left);
	free(right);
	free(other);
}

/* ---- kinds of clones ---- */

static void test_repo__bare(void **state)
{
	struct fixture *f = *state;
	struct tree *t = NULL;

	sh(f, "echo one >f && git add f && git commit -q -m one && git clone -q --bare . ../bare.git");
	open_at(f, "bare.git");
	assert_null(repo_work_dir(f->repo));
	assert_text_has(repo_common_dir(f->repo), "/bare.git");
	assert_err(tree_open_dirty(&t, f->repo), ERR_USAGE);
	t = tree_of(f, "HEAD");
	assert_reads(t, "f", "one\n");
	tree_close(t);
}

static void test_repo__linked_work_tree(void **state)
{
	struct fixture *f = *state;
	char *branch = NULL;
	struct tree *t;

	sh(f, "echo one >f && git add f && git commit -q -m one && git worktree add -q -b side ../linked && cd "
	      "../linked && "
	      "echo two >f && git commit -q -a -m two && echo dirty >f");
	open_at(f, "linked");
	assert_text_has(repo_common_dir(f->repo), "/work/.git"); /* shared, so the memory is, too */
	assert_text_has(repo_work_dir(f->repo), "/linked");
	must(repo_head_branch(f->repo, &branch));
	assert_string_equal(branch, "side");
	t = tree_of(f, "HEAD");
	assert_reads(t, "f", "two\n");
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	assert_reads(t, "f", "dirty\n");
	tree_close(t);
	free(branch);
}

static void test_repo__shallow_clone(void **state)
{
	struct fixture *f = *state;
	char oid[OID_HEX], *one, *three;
	struct commit c;
	struct tree *t;

	sh(f, "for i in one two three; do echo $i >f; git add f; git commit -q -m $i; done; "
	      "git clone -q --depth 1 \"file://$PWD\" ../shallow");
	one = sh_out(f, "git rev-parse HEAD~2");
	three = sh_out(f, "git rev-parse HEAD");
	open_at(f, "shallow");
	t = tree_of(f, "HEAD");
	assert_reads(t, "f", "three\n");
	tree_close(t);
	assert_err(repo_commit(f->repo, one, &c), ERR_INPUT);
	assert_text_has(err_fix(), "shallow");
	assert_err(repo_commit(f->repo, "HEAD~1", &c), ERR_INPUT);
	assert_false(repo_is_ancestor(f->repo, one, three));
	assert_err(repo_merge_base(f->repo, one, three, oid), ERR_INPUT);
	free(one);
	free(three);
}

/* Blobs that are not in the clone come from its remote, one by one, unless nothing may be asked. */
static void test_repo__partial_clone(void **state)
{
	struct fixture *f = *state;
	struct tree *t;

	sh(f, "git config uploadpack.allowFilter true && git config uploadpack.allowAnySHA1InWant true && mkdir d && "
	      "echo one "
	      ">d/f && echo two >g && git add . && git commit -q -m x && git clone -q --no-checkout --filter=blob:none "
	      "\"file://$PWD\" ../partial && git clone -q --no-checkout --filter=tree:0 \"file://$PWD\" ../bare-bones");
	open_at(f, "partial");
	t = tree_of(f, "HEAD");
	setenv("ASSAY_OFFLINE", "1", 1);
	assert_unreadable(t, "d/f", ERR_INPUT, "cannot read d/f");
	assert_text_has(err_fix(), "ASSAY_OFFLINE forbids");
	unsetenv("ASSAY_OFFLINE");
	assert_reads(t, "d/f", "one\n");
	sh(f, "mv ../work ../gone && mkdir ../work");
	assert_reads(t, "d/f", "one\n"); /* is here now */
	assert_unreadable(t, "g", ERR_INPUT, "cannot read g");
	assert_text_has(err_fix(), "git fetch");
	sh(f, "rmdir ../work && mv ../gone ../work");
	tree_close(t);
	open_at(f, "bare-bones");
	t = tree_of(f, "HEAD");
	assert_reads(t, "d/f", "one\n");
	tree_close(t);
}

/* ---- files ---- */

static void test_tree_read__files_and_what_is_none(void **state)
{
	struct fixture *f = *state;
	struct buf small = BUF_INIT(3);
	struct tree *t;

	sh(f,
	   "mkdir -p a/b && echo one >a/b/f && : >empty && git add . && git commit -q -m one && echo changed >a/b/f");
	t = tree_of(f, "HEAD");
	assert_reads(t, "a/b/f", "one\n"); /* not what lies in the work tree */
	assert_reads(t, "./a//b/f", "one\n");
	assert_reads(t, "empty", "");
	assert_unreadable(t, "a/b", ERR_INPUT, "a/b is a folder");
	assert_unreadable(t, "a/c", ERR_NOTFOUND, "the commit has no file a/c");
	assert_unreadable(t, "a/b/f/g", ERR_NOTFOUND, "no file");
	assert_unreadable(t, "../work/a/b/f", ERR_INPUT, "leaves its root");
	assert_unreadable(t, "a/../a/b/f", ERR_INPUT, "leaves its root");
	assert_unreadable(t, "/etc/passwd", ERR_INPUT, "is absolute");
	assert_unreadable(t, ".git/config", ERR_INPUT, ".git");
	assert_unreadable(t, "", ERR_INPUT, "names nothing");
	assert_unreadable(t, ".", ERR_INPUT, "names nothing");
	assert_true(tree_is_dir(t, "a"));
	assert_false(tree_is_dir(t, "a/b/f"));
	assert_false(tree_is_dir(t, "nothing"));
	assert_err(tree_read(t, "a/b/f", &small), ERR_INPUT);
	assert_text_has(err_text(), "too large");
	buf_release(&small);
	tree_close(t);
}

static void test_tree_read__links_inside_are_followed(void **state)
{
	struct fixture *f = *state;
	struct tree *t;

	sh(f, "mkdir -p real/deep links && echo one >real/deep/f && ln -s ../real/deep/f links/file && ln -s ../real "
	      "links/dir "
	      "&& ln -s links/file chain && ln -s deep/f real/near && ln -s nothing dangling && git add . && git "
	      "commit -q -m x");
	t = tree_of(f, "HEAD");
	assert_reads(t, "links/file", "one\n");
	assert_reads(t, "chain", "one\n");
	assert_reads(t, "real/near", "one\n");
	assert_reads(t, "links/dir/deep/f", "one\n"); /* a link in the middle */
	assert_reads(t, "links/dir/near", "one\n");
	assert_true(tree_is_dir(t, "links/dir"));
	assert_true(tree_is_dir(t, "links/dir/deep"));
	assert_unreadable(t, "links/dir", ERR_INPUT, "is a folder");
	assert_unreadable(t, "dangling", ERR_NOTFOUND, "no file dangling");
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	assert_reads(t, "chain", "one\n");
	assert_reads(t, "links/dir/deep/f", "one\n");
	tree_close(t);
}

static void test_tree_read__links_that_leave_are_refused(void **state)
{
	struct fixture *f = *state;
	struct tree *t;

	sh(f, "echo secret >../secret && mkdir d && ln -s ../secret up && ln -s ../../secret d/up && ln -s /etc/passwd "
	      "abs && "
	      "ln -s .. d/dir && ln -s ../.. d/out && ln -s d/../../secret round && ln -s loop loop && ln -s b a && ln "
	      "-s a b "
	      "&& git add . && git commit -q -m x");
	t = tree_of(f, "HEAD");
	assert_unreadable(t, "up", ERR_INPUT, "up leaves the tree");
	assert_unreadable(t, "d/up", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "abs", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "round", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "d/out/secret", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "abs/x", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "loop", ERR_INPUT, "too many links");
	assert_unreadable(t, "a", ERR_INPUT, "too many links");
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	assert_unreadable(t, "up", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "d/out/secret", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "abs", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "loop", ERR_NOTFOUND, "no file");
	tree_close(t);
}

/* ---- LFS, submodules ---- */

#define POINTER                                                                                                        \
	"oid=$(printf 'the weights' | sha256sum | cut -d' ' -f1); dir=.git/lfs/objects/$(echo $oid | cut "             \
	"-c1-2)/$(echo "                                                                                               \
	"$oid | cut -c3-4); printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize 11\\n' $oid "    \
	">w.bin; "

static void test_tree_read__lfs_pointer(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT(1 << 20);
	char *oid;
	struct tree *t;

	sh(f, POINTER "git add . && git commit -q -m x");
	oid = sh_out(f, "git rev-parse HEAD:w.bin");
	t = tree_of(f, "HEAD");
	assert_unreadable(t, "w.bin", ERR_INPUT, "w.bin is a Git LFS pointer and its object");
	assert_text_has(err_fix(), "git lfs fetch");
	sh(f, POINTER "mkdir -p $dir && printf 'other bytes' >$dir/$oid");
	assert_unreadable(t, "w.bin", ERR_INPUT, "is damaged");
	sh(f, POINTER "printf 'the weights' >$dir/$oid");
	assert_reads(t, "w.bin", "the weights");
	must(repo_blob(f->repo, oid, &b));
	assert_string_equal(buf_str(&b), "the weights");
	assert_err(repo_blob(f->repo, "1234567890123456789012345678901234567890", &b), ERR_INPUT);
	assert_err(repo_blob(f->repo, "", &b), ERR_NOTFOUND);
	assert_err(repo_blob(f->repo, "HEAD", &b), ERR_NOTFOUND);
	tree_close(t);
	buf_release(&b);
	free(oid);
}

/* A pointer is never taken for data, one that was written by hand neither; what only speaks of the format is a text. */
static void test_tree_read__nearly_a_pointer_is_refused(void **state)
{
	struct fixture *f = *state;
	struct tree *t;

	sh(f, "v='version https://git-lfs.github.com/spec/v1\\n'; printf \"${v}size 3\\n\" >no-oid; "
	      "printf \"${v}oid sha256:../../../../etc/passwd\\nsize 3\\n\" >path; "
	      "printf \"${v}oid sha256:%064d0\\nsize 3\\n\" 1 >long; printf \"# ${v}oid sha256:1\\n\" >text; "
	      "git add . && git commit -q -m x");
	t = tree_of(f, "HEAD");
	assert_unreadable(t, "no-oid", ERR_INPUT, "begins as a Git LFS pointer");
	assert_unreadable(t, "path", ERR_INPUT, "begins as a Git LFS pointer");
	assert_unreadable(t, "long", ERR_INPUT, "begins as a Git LFS pointer");
	assert_reads(t, "text", "# version https://git-lfs.github.com/spec/v1\noid sha256:1\n");
	tree_close(t);
}

/* m/sub is a submodule with one of its own, sub/inner; the second commit of m/sub is not the one that is meant. */
#define SUBMODULES                                                                                                     \
	"git init -q -b main ../inner && (cd ../inner && echo deep >f && git add . && git commit -q -m i) && git "     \
	"init -q -b "                                                                                                  \
	"main ../sub && (cd ../sub && mkdir d && echo x >d/f && ln -s d/f near && ln -s ../../top far && ln -s "       \
	"../../../secret out && git submodule --quiet add file://$PWD/../inner inner && git add . && git commit -q "   \
	"-m s) "                                                                                                       \
	"&& echo top >top && mkdir m && git submodule --quiet add --name called file://$PWD/../sub m/sub && git add "  \
	". && git "                                                                                                    \
	"commit -q -m one && git submodule --quiet update --init --recursive"

static void test_tree_read__submodule(void **state)
{
	struct fixture *f = *state;
	char *to = in_root(f, "out"), *want, oid[OID_HEX];
	struct tree *t;

	setenv("GIT_CONFIG_COUNT", "1", 1);
	setenv("GIT_CONFIG_KEY_0", "protocol.file.allow", 1);
	setenv("GIT_CONFIG_VALUE_0", "always", 1);
	sh(f, SUBMODULES);
	want = sh_out(f, "git -C m/sub rev-parse HEAD^{tree}");
	sh(f, "cd m/sub && echo newer >d/f && git commit -q -a -m newer");
	t = tree_of(f, "HEAD");
	assert_reads(t, "m/sub/d/f", "x\n");
	assert_reads(t, "m/sub/inner/f", "deep\n");
	assert_reads(t, "m/sub/near", "x\n");
	assert_reads(t, "m/sub/far", "top\n"); /* as in a work tree */
	assert_unreadable(t, "m/sub/out", ERR_INPUT, "leaves the tree");
	assert_unreadable(t, "m/sub/none", ERR_NOTFOUND, "no file");
	assert_unreadable(t, "m/sub", ERR_INPUT, "is a folder");
	assert_true(tree_is_dir(t, "m/sub"));
	must(tree_export(t, "m/sub/d", to));
	assert_file(f, "out/f", "x\n");
	must(tree_oid(t, "m/sub/inner/f", oid));
	must(tree_oid(t, "m/sub/d", oid));
	tree_close(t);
	/* without links, the name of the commit's tree */
	sh(f, "git -C ../inner rev-parse HEAD^{tree} >../inner-tree");
	free(want);
	want = sh_out(f, "cat ../inner-tree");
	t = tree_of(f, "HEAD");
	must(tree_oid(t, "m/sub/inner", oid));
	assert_string_equal(oid, want);
	tree_close(t);
	unsetenv("GIT_CONFIG_COUNT");
	free(want);
	free(to);
}

static void test_tree_read__submodule_that_is_not_here(void **state)
{
	struct fixture *f = *state;
	char *to = in_root(f, "out");
	struct tree *t;

	sh(f, "mkdir m && echo x >m/f && git add . && git commit -q -m one && git update-index --add --cacheinfo "
	      "160000,$(git rev-parse HEAD),m/sub && printf '[submodule \"../../hooks\"]\n\tpath = m/sub\n' "
	      ">.gitmodules && git add "
	      ".gitmodules && git commit -q -m two");
	t = tree_of(f, "HEAD");
	assert_unreadable(t, "m/sub/f", ERR_INPUT, "m/sub is a submodule");
	assert_text_has(err_fix(), "git submodule update --init");
	assert_text_has(err_fix(), "submodules: recursive");
	assert_unreadable(t, "m/sub", ERR_INPUT, "m/sub is a submodule");
	assert_reads(t, "m/f", "x\n");
	assert_false(tree_is_dir(t, "m/sub"));
	assert_err(tree_export(t, "m", to), ERR_INPUT);
	assert_text_has(err_text(), "m/sub is a submodule");
	tree_close(t);
	free(to);
}

static void test_tree_read__what_a_filter_holds_is_told(void **state)
{
	struct fixture *f = *state;
	struct tree *t;

	sh(f, "printf '\\0GITCRYPT\\0abc' >secret && printf '\\0GITCRYP' >short && ln -s "
	      "../.git/annex/objects/aa/bb/SHA256E-s1--00 annexed && git add -f . && git commit -q -m x");
	t = tree_of(f, "HEAD");
	assert_unreadable(t, "secret", ERR_INPUT, "encrypted by git-crypt");
	assert_unreadable(t, "annexed", ERR_INPUT, "git-annex");
	assert_reads(t, "short", "");
	tree_close(t);
}

/* ---- names of content ---- */

static void check_oid(struct fixture *f, struct tree *t, const char *path)
{
	char *script = mem_printf("git rev-parse HEAD:%s", path), *want = sh_out(f, script), oid[OID_HEX];

	must(tree_oid(t, path, oid));
	assert_string_equal(oid, want);
	free(script);
	free(want);
}

static void test_tree_oid__is_gits_own(void **state)
{
	struct fixture *f = *state;
	char oid[OID_HEX], want[OID_HEX];
	struct tree *t;

	sh(f, "mkdir -p a/b && echo one >a/b/f && echo two >g && ln -s g l && git add . && git commit -q -m x");
	t = tree_of(f, "HEAD");
	check_oid(f, t, "a");
	check_oid(f, t, "a/b");
	check_oid(f, t, "a/b/f");
	check_oid(f, t, "g");
	must(tree_oid(t, "g", want));
	must(tree_oid(t, "l", oid)); /* a link's content is what it points at */
	assert_string_equal(oid, want);
	assert_err(tree_oid(t, "none", oid), ERR_NOTFOUND);
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	check_oid(f, t, "a/b/f"); /* a file that has not changed has one name in both */
	tree_close(t);
}

static void oid_of_head(struct fixture *f, const char *path, char oid[OID_HEX])
{
	struct tree *t = tree_of(f, "HEAD");

	must(tree_oid(t, path, oid));
	tree_close(t);
}

/* models/smol/w -> ../../weights/w: git's name of models/smol stays when the weights change. */
static void test_tree_oid__covers_what_links_point_at(void **state)
{
	struct fixture *f = *state;
	char first[OID_HEX], again[OID_HEX], changed[OID_HEX], plain[OID_HEX], *git_first, *git_now;

	sh(f, "mkdir -p models/smol/sub weights && echo 1 >weights/w && ln -s ../../../weights/w models/smol/sub/w && "
	      "echo {} "
	      ">models/smol/config.json && ln -s nowhere models/smol/dangling && git add . && git commit -q -m one");
	git_first = sh_out(f, "git rev-parse HEAD:models/smol");
	oid_of_head(f, "models/smol", first);
	oid_of_head(f, "models/smol/config.json", plain);
	sh(f, "echo other >README && git add . && git commit -q -m two");
	oid_of_head(f, "models/smol", again);
	sh(f, "echo 2 >weights/w && git commit -q -a -m three");
	git_now = sh_out(f, "git rev-parse HEAD:models/smol");
	oid_of_head(f, "models/smol", changed);
	assert_string_equal(git_first, git_now);
	assert_string_equal(first, again);
	assert_string_not_equal(first, changed);
	assert_int_equal(strlen(plain), 40);
	free(git_first);
	free(git_now);
}

static void test_tree_oid__links_in_a_circle_end(void **state)
{
	struct fixture *f = *state;
	char oid[OID_HEX];
	struct tree *t;

	sh(f, "mkdir d && ln -s . d/a && ln -s ../d d/b && echo x >d/f && git add . && git commit -q -m x");
	t = tree_of(f, "HEAD");
	assert_err(tree_oid(t, "d", oid), ERR_INPUT);
	assert_text_has(err_text(), "deeper than");
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	assert_err(tree_oid(t, "d", oid), ERR_INPUT);
	tree_close(t);
}

static void dirty_oid_of(struct fixture *f, const char *path, char oid[OID_HEX])
{
	struct tree *t = NULL;

	if (!f->repo)
		open_at(f, "work");
	must(tree_open_dirty(&t, f->repo));
	must(tree_oid(t, path, oid));
	tree_close(t);
}

static void test_tree_oid__of_a_dirty_folder(void **state)
{
	struct fixture *f = *state;
	char a[OID_HEX], b[OID_HEX], c[OID_HEX];

	sh(f, "mkdir -p m/d && echo 1 >m/d/f && git add . && git commit -q -m x");
	dirty_oid_of(f, "m", a);
	dirty_oid_of(f, "m", b);
	assert_string_equal(a, b);
	sh(f, "echo 2 >m/d/f");
	dirty_oid_of(f, "m", b);
	assert_string_not_equal(a, b);
	sh(f, "echo 1 >m/d/f && mv m/d/f m/f"); /* the same names and bytes, another shape */
	dirty_oid_of(f, "m", c);
	assert_string_not_equal(a, c);
	sh(f, "mv m/f m/d/f && mkdir m/d/.git && echo x >m/d/.git/x");
	dirty_oid_of(f, "m", b);
	assert_string_equal(a, b);
}

static void test_tree_read__dirty(void **state)
{
	struct fixture *f = *state;
	struct tree *t = NULL;

	sh(f, "echo one >f && git add f && git commit -q -m x && echo two >f && echo new >untracked && mkfifo pipe");
	open_at(f, "work");
	must(tree_open_dirty(&t, f->repo));
	assert_reads(t, "f", "two\n");
	assert_reads(t, "untracked", "new\n");
	assert_unreadable(t, "pipe", ERR_INPUT, "not a regular file"); /* and does not wait for a writer */
	assert_unreadable(t, ".git/HEAD", ERR_INPUT, ".git");
	assert_unreadable(t, "../secret", ERR_INPUT, "leaves its root");
	assert_unreadable(t, "none", ERR_NOTFOUND, "there is no file none");
	tree_close(t);
}

static void test_tree_open_dir__is_not_confined(void **state)
{
	struct fixture *f = *state;
	char *absolute = in_root(f, "elsewhere");
	struct tree *t = NULL;

	sh(f, "echo one >f && echo two >../elsewhere");
	must(tree_open_dir(&t, f->work));
	assert_reads(t, "f", "one\n");
	assert_reads(t, "../elsewhere", "two\n");
	assert_reads(t, absolute, "two\n");
	tree_close(t);
	t = NULL;
	assert_err(tree_open_dir(&t, absolute), ERR_INPUT);
	assert_null(t);
	free(absolute);
}

/* ---- export ---- */

static void test_tree_export__writes_files_and_links_as_copies(void **state)
{
	struct fixture *f = *state;
	char *to = in_root(f, "out");
	struct stat st;
	struct tree *t;

	sh(f, "mkdir -p m/sub w && echo cfg >m/config.json && echo deep >m/sub/x && : >m/empty && echo weights >w/w && "
	      "ln -s ../w/w m/link && ln -s m alias && git add . && git commit -q -m x && echo changed >m/config.json");
	t = tree_of(f, "HEAD");
	must(tree_export(t, "m", to));
	assert_file(f, "out/config.json", "cfg\n");
	assert_file(f, "out/sub/x", "deep\n");
	assert_file(f, "out/empty", "");
	assert_file(f, "out/link", "weights\n");
	assert_false(is_there(f, "out/alias"));
	free(to);
	to = in_root(f, "out/link");
	assert_int_equal(lstat(to, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	free(to);
	to = in_root(f, "out2");
	must(tree_export(t, "alias/sub", to));
	assert_file(f, "out2/x", "deep\n");
	assert_err(tree_export(t, "m/config.json", to), ERR_INPUT);
	assert_err(tree_export(t, "nothing", to), ERR_NOTFOUND);
	tree_close(t);
	free(to);
	to = in_root(f, "out3");
	must(tree_open_dirty(&t, f->repo));
	must(tree_export(t, "m", to));
	assert_file(f, "out3/config.json", "changed\n");
	assert_file(f, "out3/link", "weights\n");
	tree_close(t);
	free(to);
}

static void test_tree_export__a_link_that_leaves(void **state)
{
	struct fixture *f = *state;
	char *to = in_root(f, "out");
	struct tree *t;

	sh(f, "echo secret >../secret && mkdir m && ln -s ../../secret m/f && git add . && git commit -q -m x");
	t = tree_of(f, "HEAD");
	assert_err(tree_export(t, "m", to), ERR_INPUT);
	assert_text_has(err_text(), "leaves the tree");
	assert_false(is_there(f, "out/f"));
	tree_close(t);
	must(tree_open_dirty(&t, f->repo));
	assert_err(tree_export(t, "m", to), ERR_INPUT);
	assert_false(is_there(f, "out/f"));
	tree_close(t);
	free(to);
}

/* What git refuses to make, but will store if told to: a tree "m" with one entry, whose name is no name. */
static void make_hostile(struct fixture *f, bool is_dir, const char *name)
{
	char *id =
		sh_out(f, is_dir ? "printf '100644 blob %s\\tf\\n' $(echo x | git hash-object -w --stdin) | git mktree"
				 : "echo x | git hash-object -w --stdin");
	char *raw = in_root(f, "work/raw");
	struct buf b = BUF_INIT(4096);

	buf_addf(&b, "%s %s", is_dir ? "40000" : "100644", name);
	buf_addc(&b, 0);
	for (size_t i = 0; i < 40; i += 2) {
		char hex[3] = { id[i], id[i + 1], 0 };

		buf_addc(&b, (char)strtol(hex, NULL, 16));
	}
	must(fs_write(raw, b.data, b.len));
	sh(f, "m=$(git hash-object -t tree -w --literally raw); top=$(printf '040000 tree %s\\tm\\n' $m | git mktree); "
	      "git update-ref refs/heads/hostile $(git commit-tree -m x $top)");
	buf_release(&b);
	free(raw);
	free(id);
}

static void hostile(struct fixture *f, bool is_dir, const char *name)
{
	char *to = in_root(f, "out/deep/er");
	struct tree *t;

	make_hostile(f, is_dir, name);
	t = tree_of(f, "refs/heads/hostile");
	assert_err(tree_export(t, "m", to), ERR_INPUT);
	if (!strstr(err_text(), "no file name") && !strstr(err_text(), "path \""))
		fail_msg("%s: %s", name, err_text());
	assert_false(is_there(f, "out/deep/f"));
	assert_false(is_there(f, "evil"));
	assert_false(is_there(f, "out/evil"));
	assert_false(is_there(f, "out/deep/evil"));
	assert_false(is_there(f, "out/deep/er/a"));
	assert_false(is_there(f, "out/deep/er/.git"));
	tree_close(t);
	must(fs_remove_tree(to));
	free(to);
}

static void test_tree_export__entries_that_are_no_names(void **state)
{
	struct fixture *f = *state;
	char *absolute = in_root(f, "evil"), *to = in_root(f, "out");
	struct tree *t;

	hostile(f, true, "../evil");
	hostile(f, true, "..");
	hostile(f, true, ".git");
	hostile(f, true, absolute);
	hostile(f, false, "../evil");
	hostile(f, false, absolute);
	hostile(f, false, "..");
	hostile(f, false, "a/evil");
	hostile(f, false, "a\nb");
	make_hostile(f, false, "fine"); /* the same way with a good name: it is the name that is refused */
	t = tree_of(f, "refs/heads/hostile");
	must(tree_export(t, "m", to));
	assert_file(f, "out/fine", "x\n");
	tree_close(t);
	free(to);
	free(absolute);
}

/* Ten folders, each holding the next ten times: ten thousand million files in a kilobyte. */
static void test_tree_export__a_bomb(void **state)
{
	struct fixture *f = *state;
	char *to = in_root(f, "out"), oid[OID_HEX];
	struct tree *t;

	sh(f, "t=$(git mktree </dev/null); for level in 1 2 3 4 5 6 7 8 9 10; do "
	      "t=$(for i in 0 1 2 3 4 5 6 7 8 9; do printf '040000 tree %s\\td%s\\n' $t $i; done | git mktree); done; "
	      "top=$(printf '040000 tree %s\\tm\\n' $t | git mktree); git update-ref refs/heads/bomb $(git commit-tree "
	      "-m x $top)");
	t = tree_of(f, "refs/heads/bomb");
	assert_err(tree_oid(t, "m", oid), ERR_INPUT);
	assert_text_has(err_text(), "more than 100000 files");
	tree_close(t);
	sh(f, "t=$(git mktree </dev/null); for level in $(seq 40); do t=$(printf '040000 tree %s\\td\\n' $t | git "
	      "mktree); done; "
	      "top=$(printf '040000 tree %s\\tm\\n' $t | git mktree); git update-ref refs/heads/deep $(git commit-tree "
	      "-m x $top)");
	t = tree_of(f, "refs/heads/deep");
	assert_err(tree_export(t, "m", to), ERR_INPUT);
	assert_text_has(err_text(), "deeper than");
	tree_close(t);
	free(to);
}

#define test(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_repo_open__not_a_repository),
		test(test_repo_open__finds_it_from_a_folder_inside),
		test(test_repo__sha256),
		test(test_repo__partial_clone),
		test(test_tree_read__what_a_filter_holds_is_told),
		test(test_repo_commit__names),
		test(test_repo_commit__none_yet),
		test(test_repo_commit__a_whole_name_is_no_branch),
		test(test_repo_ref__branches_and_upstreams),
		test(test_repo_merge_base__and_ancestors),
		test(test_repo__bare),
		test(test_repo__linked_work_tree),
		test(test_repo__shallow_clone),
		test(test_tree_read__files_and_what_is_none),
		test(test_tree_read__links_inside_are_followed),
		test(test_tree_read__links_that_leave_are_refused),
		test(test_tree_read__lfs_pointer),
		test(test_tree_read__nearly_a_pointer_is_refused),
		test(test_tree_read__submodule),
		test(test_tree_read__submodule_that_is_not_here),
		test(test_tree_oid__is_gits_own),
		test(test_tree_oid__covers_what_links_point_at),
		test(test_tree_oid__links_in_a_circle_end),
		test(test_tree_oid__of_a_dirty_folder),
		test(test_tree_read__dirty),
		test(test_tree_open_dir__is_not_confined),
		test(test_tree_export__writes_files_and_links_as_copies),
		test(test_tree_export__a_link_that_leaves),
		test(test_tree_export__entries_that_are_no_names),
		test(test_tree_export__a_bomb),
	};

	return cmocka_run_group_tests_name("repo", tests, NULL, NULL);
}
