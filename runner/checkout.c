/* checkout.c: one git command, `read-tree -u --reset`, with a private index and a private work tree.
 *
 * So attributes come from the commit, line ends, ident, LFS and other filters run, no reference and no metadata is
 * made, no hook runs, the user's index is untouched, it works in bare and linked repositories, and removing the folder
 * is all the clean-up. (libgit2's checkout runs no filters and reads the dirty .gitattributes.) */
#include "base/base.h"
#include "runner/checkout.h"

#include <dirent.h>
#include <sys/stat.h>

int checkout_write(struct repo *r, const char *commit, const char *dir)
{
	char *index = mem_printf("%s.index", dir), *index_env = mem_printf("GIT_INDEX_FILE=%s.index", dir);
	char *lock = mem_printf("%s.index.lock", dir);
	char *tree_env = mem_printf("GIT_WORK_TREE=%s", dir), *git_env = mem_printf("GIT_DIR=%s", repo_common_dir(r));
	struct buf text = BUF_INIT(1 << 20);
	struct proc p = {
		.argv = (const char *[]){ "git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c",
					  "core.autocrlf=false", "-c", "submodule.recurse=false", "read-tree", "-u",
					  "--reset", commit, NULL },
		.env = (const char *[]){ index_env, tree_env, git_env, "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
					 "LC_ALL=C", NULL },
		.out = &text,
		.err = &text,
	};
	int rc = fs_mkdirs(dir);

	fs_remove(index); /* of a run that was killed */
	fs_remove(lock);
	if (rc == 0)
		rc = proc_run(&p);
	if (rc == 0 && p.status != 0) {
		rc = err_set(ERR_INPUT, "git cannot check out %.12s: %.*s", commit,
			     (int)(text.len > 400 ? 400 : text.len), buf_str(&text));
		if (strstr(buf_str(&text), "lfs"))
			err_hint(rc, "git lfs fetch, then run again");
	}
	if (rc == 0)
		rc = checkout_check_links(dir);
	fs_remove(index);
	buf_release(&text);
	free(index);
	free(lock);
	free(index_env);
	free(tree_env);
	free(git_env);
	return rc;
}

int checkout_fetch(struct repo *r, const char *commit)
{
	struct commit c;
	struct buf quiet = BUF_INIT(1 << 20);
	struct proc fetch = {
		.argv = (const char *[]){ "git", "-C", repo_common_dir(r), "fetch", "--quiet", "--no-tags",
					  "--no-recurse-submodules", "--depth=1", "origin", commit, NULL },
		.env = (const char *[]){ "GIT_TERMINAL_PROMPT=0", NULL },
		.out = &quiet,
		.err = &quiet,
		.timeout_s = 60,
	};
	int rc = repo_commit(r, commit, &c);

	if (rc && !getenv("ASSAY_OFFLINE") && proc_run(&fetch) == 0 && fetch.status == 0)
		rc = repo_commit(r, commit, &c);
	if (rc == 0)
		commit_release(&c);
	buf_release(&quiet);
	return rc;
}

struct walk {
	const char *root, *dir;
};

static int check_entry(const char *name, void *arg)
{
	const struct walk *w = arg;
	char *path = path_join(w->dir, name), *real;
	struct stat st;
	int rc = 0;

	if (lstat(path, &st) < 0) {
		rc = err_errno(ERR_IO, "%s", path);
	} else if (S_ISLNK(st.st_mode)) {
		real = realpath(path, NULL);
		if (real && (strncmp(real, w->root, strlen(w->root)) != 0 || real[strlen(w->root)] != '/'))
			rc = err_set(ERR_INPUT, "%s is a link that leaves the tree of the commit",
				     path + strlen(w->root) + 1);
		free(real);
	} else if (S_ISDIR(st.st_mode)) {
		struct walk sub = { w->root, path };

		rc = fs_list(path, check_entry, &sub);
	}
	free(path);
	return rc;
}

int checkout_check_inside(const char *dir, const char *path)
{
	char *root = realpath(dir, NULL), *real = realpath(path, NULL);
	int rc = 0;

	if (!root || !real)
		rc = err_errno(ERR_IO, "%s", root ? path : dir);
	else if (strncmp(real, root, strlen(root)) != 0 || real[strlen(root)] != '/')
		rc = err_set(ERR_INPUT, "%s is a link that leaves the tree of the commit", path_base(path));
	free(root);
	free(real);
	return rc;
}

int checkout_check_links(const char *dir)
{
	char *root = realpath(dir, NULL);
	struct walk w = { root, root };
	int rc = root ? fs_list(root, check_entry, &w) : err_errno(ERR_IO, "%s", dir);

	free(root);
	return rc;
}
