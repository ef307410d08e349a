/* repo_fixture.h: a trash folder with a git repository in it, made by git itself, for the tests of runner/. */
#ifndef TESTS_REPO_FIXTURE_H
#define TESTS_REPO_FIXTURE_H

#include <unistd.h>

#include "must.h"
#include "runner/repo.h"

struct fixture {
	char *root; /* the trash folder; the repository is root/work */
	char *work;
	struct repo *repo;
};

/* A shell script in root/work, which must succeed; its first line of output, yours. */
FIXTURE_UNUSED static char *sh_out(struct fixture *f, const char *script)
{
	struct buf out = BUF_INIT(1 << 20), errors = BUF_INIT(1 << 20);
	struct proc p = {
		.argv = (const char *[]){ "sh", "-euc", script, NULL }, .dir = f->work, .out = &out, .err = &errors
	};
	char *line;

	must(proc_run(&p));
	if (p.status)
		fail_msg("%s: exit %d: %s", script, p.status, buf_str(&errors));
	line = mem_strn(buf_str(&out), strcspn(buf_str(&out), "\n"));
	buf_release(&out);
	buf_release(&errors);
	return line;
}

FIXTURE_UNUSED static void sh(struct fixture *f, const char *script)
{
	free(sh_out(f, script));
}

FIXTURE_UNUSED static char *in_root(const struct fixture *f, const char *name)
{
	return path_join(f->root, name);
}

/* The environment of a CI, or of a person's shell, must not reach the tests. */
FIXTURE_UNUSED static void clean_environment(const char *home)
{
	static const char *const names[] = {
		"GITHUB_ACTIONS",
		"GITHUB_EVENT_NAME",
		"GITHUB_EVENT_PATH",
		"GITHUB_REF",
		"GITHUB_REF_PROTECTED",
		"GITHUB_SHA",
		"GITLAB_CI",
		"GITHUB_REPOSITORY",
		"CI_DEFAULT_BRANCH",
		"CI_REPO_DEFAULT_BRANCH",
		"DRONE_REPO_BRANCH",
		"BUILDKITE_PIPELINE_DEFAULT_BRANCH",
		"CI_PROJECT_ID",
		"CI_PIPELINE_SOURCE",
		"CI_COMMIT_BRANCH",
		"CI_COMMIT_TAG",
		"CI_COMMIT_REF_PROTECTED",
		"CI_COMMIT_SHA",
		"CI_COMMIT_BEFORE_SHA",
		"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
		"CI_MERGE_REQUEST_SOURCE_PROJECT_ID",
		"CI_MERGE_REQUEST_PROJECT_ID",
		"CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
		"CI_MERGE_REQUEST_TARGET_BRANCH_SHA",
		"CI_MERGE_REQUEST_DIFF_BASE_SHA",
		"CI_MERGE_REQUEST_EVENT_TYPE",
		"GIT_DIR",
		"GIT_WORK_TREE",
		"GIT_INDEX_FILE",
		"GIT_COMMON_DIR",
		"GIT_OBJECT_DIRECTORY",
		"GIT_NAMESPACE",
		"ASSAY_HOME",
		"ASSAY_OFFLINE",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
	setenv("HOME", home, 1);
	setenv("XDG_CONFIG_HOME", home, 1);
	setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_TERMINAL_PROMPT", "0", 1);
	setenv("GIT_AUTHOR_NAME", "A Tester", 1);
	setenv("GIT_AUTHOR_EMAIL", "tester@example.org", 1);
	setenv("GIT_COMMITTER_NAME", "A Tester", 1);
	setenv("GIT_COMMITTER_EMAIL", "tester@example.org", 1);
	setenv("GIT_ALLOW_PROTOCOL", "file", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
}

/* An empty repository on branch main, not opened yet. */
FIXTURE_UNUSED static int fixture_begin(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	log_set_level(LOG_QUIET);
	must(fs_temp_dir(&f->root, tmp ? tmp : "/tmp", "assay-test-"));
	clean_environment(f->root);
	f->work = in_root(f, "work");
	must(fs_mkdirs(f->work));
	sh(f, "git init -q -b main . && git config commit.gpgsign false");
	*state = f;
	return 0;
}

FIXTURE_UNUSED static int fixture_end(void **state)
{
	struct fixture *f = *state;

	clean_environment(f->root);
	repo_close(f->repo);
	must(fs_remove_tree(f->root));
	free(f->work);
	free(f->root);
	free(f);
	return 0;
}

/* The repository around a folder of the trash, instead of the one that was open. */
FIXTURE_UNUSED static struct repo *open_at(struct fixture *f, const char *name)
{
	char *dir = in_root(f, name);

	repo_close(f->repo);
	f->repo = NULL;
	must(repo_open(&f->repo, dir));
	free(dir);
	return f->repo;
}

FIXTURE_UNUSED static struct tree *tree_of(struct fixture *f, const char *rev)
{
	struct commit c;
	struct tree *t = NULL;

	if (!f->repo)
		open_at(f, "work");
	must(repo_commit(f->repo, rev, &c));
	must(tree_open(&t, f->repo, &c));
	commit_release(&c);
	return t;
}

FIXTURE_UNUSED static void assert_reads(struct tree *t, const char *path, const char *want)
{
	struct buf b = BUF_INIT(1 << 20);

	must(tree_read(t, path, &b));
	assert_string_equal(buf_str(&b), want);
	buf_release(&b);
}

/* Reading fails with a code and these words. */
FIXTURE_UNUSED static void assert_unreadable(struct tree *t, const char *path, int code, const char *words)
{
	struct buf b = BUF_INIT(1 << 20);

	assert_err(tree_read(t, path, &b), code);
	assert_text_has(err_text(), words);
	buf_release(&b);
}

FIXTURE_UNUSED static void assert_file(const struct fixture *f, const char *name, const char *want)
{
	char *path = in_root(f, name);
	struct buf b = BUF_INIT(1 << 20);

	must(fs_read(&b, path, 1 << 20));
	assert_string_equal(buf_str(&b), want);
	buf_release(&b);
	free(path);
}

FIXTURE_UNUSED static bool is_there(const struct fixture *f, const char *name)
{
	char *path = in_root(f, name);
	bool yes = fs_exists(path);

	free(path);
	return yes;
}

#endif
