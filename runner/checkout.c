/* checkout.c: one git command, `read-tree -u --reset`, with a private index and a private work tree.
 *
 * So attributes come from the commit, line ends, ident, LFS and other filters run, no reference and no metadata is
 * made, no hook runs, the user's index is untouched, it works in bare and linked repositories, and removing the folder
 * is all the clean-up. (libgit2's checkout runs no filters and reads the dirty .gitattributes.) Submodules are written by the
 * same command from their own repositories, as far as this clone has them. */
#include "base/base.h"
#include "runner/checkout.h"
#include "runner/repo_int.h"

#include <dirent.h>
#include <sys/stat.h>

struct out {
	const char *dir; /* of this repository's files */
	char *index, *lock;
	int depth; /* of submodules */
};

enum { SUBMODULES_DEPTH = 16 };

static int write_repo(struct repo *r, const char *commit, const struct out *o);

/* One submodule of a commit; what is not in this clone stays an empty folder, as git leaves it. */
static int write_sub(struct repo *r, const char *commit, const struct out *o, const char *oid, const char *path)
{
	struct repo *sub = NULL;
	struct commit c;
	char *clean = NULL;
	struct out inner = { NULL, o->index, o->lock, o->depth + 1 };
	int rc = path_check(&clean, path);

	if (rc)
		return rc;
	if (o->depth == SUBMODULES_DEPTH)
		rc = err_set(ERR_INPUT, "%s: submodules in submodules, deeper than %d", path, SUBMODULES_DEPTH);
	else if (repo_submodule(r, commit, clean, &sub) != 0 || repo_commit(sub, oid, &c) != 0) {
		log_warn("%s is a submodule that is not in this clone: its folder is empty (git submodule update "
			 "--init)",
			 path);
		err_clear();
	} else {
		char *dir = path_join(o->dir, clean);

		inner.dir = dir;
		rc = checkout_check_links(o->dir); /* none of which may lead the next files elsewhere */
		rc = rc ? rc : write_repo(sub, c.oid, &inner);
		free(dir);
		commit_release(&c);
	}
	free(clean);
	return rc;
}

/* The lines "160000 commit OID<TAB>PATH" of the commit's whole tree. */
static int write_subs(struct repo *r, const char *commit, const struct out *o)
{
	struct buf text = BUF_INIT((size_t)1 << 30);
	int rc = REPO_ASK(r, &text, NULL, "ls-tree", "-r", "-z", commit);
	const char *at = buf_str(&text), *end = at + text.len;

	rc = rc > 0 ? err_set(ERR_INPUT, "git cannot list the files of %.12s", commit) : rc;
	for (; rc == 0 && at < end; at += strlen(at) + 1) {
		const char *tab = strchr(at, '\t');
		char oid[OID_HEX];

		if (strncmp(at, "160000 commit ", 14) != 0 || !tab || (size_t)(tab - at) - 14 >= OID_HEX)
			continue;
		snprintf(oid, sizeof(oid), "%.*s", (int)(tab - at) - 14, at + 14);
		rc = write_sub(r, commit, o, oid, tab + 1);
	}
	buf_release(&text);
	return rc;
}

static int write_repo(struct repo *r, const char *commit, const struct out *o)
{
	char *index_env = mem_printf("GIT_INDEX_FILE=%s", o->index), *tree_env = mem_printf("GIT_WORK_TREE=%s", o->dir);
	char *git_env = mem_printf("GIT_DIR=%s", r->is_sub ? r->dir : r->common);
	struct buf text = BUF_INIT(1 << 20);
	/* a submodule's objects are its own, not those of a hook's quarantine */
	const char *const sub[] = { "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH",
				    "GIT_COMMON_DIR", NULL };
	const char *env[12] = { index_env,
				tree_env,
				git_env,
				"GIT_TERMINAL_PROMPT=0",
				"GIT_OPTIONAL_LOCKS=0",
				"LC_ALL=C",
				"GIT_NO_REPLACE_OBJECTS=1" };
	struct proc p = {
		.argv = (const char *[]){ "git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c",
					  "core.autocrlf=false", "-c", "submodule.recurse=false", "-c",
					  "core.sparseCheckout=false", "read-tree", "-u", "--reset", commit, NULL },
		.env = env,
		.out = &text,
		.err = &text,
	};
	int rc = fs_mkdirs(o->dir);

	for (size_t i = 0; r->is_sub && sub[i]; i++)
		env[7 + i] = sub[i];
	fs_remove(o->index); /* of a run that was killed, or of the repository around this one */
	fs_remove(o->lock);
	if (rc == 0)
		rc = proc_run(&p);
	if (rc == 0 && p.status != 0) {
		rc = err_set(ERR_INPUT, "git cannot check out %.12s: %.*s", commit,
			     (int)(text.len > 400 ? 400 : text.len), buf_str(&text));
		if (strstr(buf_str(&text), "lfs"))
			err_hint(rc, "git lfs fetch, then run again");
	}
	buf_release(&text);
	free(index_env);
	free(tree_env);
	free(git_env);
	return rc ? rc : write_subs(r, commit, o);
}

int checkout_write(struct repo *r, const char *commit, const char *dir)
{
	char *index = mem_printf("%s.index", dir), *lock = mem_printf("%s.index.lock", dir);
	const struct out o = { dir, index, lock, 0 };
	int rc = write_repo(r, commit, &o);

	if (rc == 0)
		rc = checkout_check_links(dir);
	fs_remove(index);
	free(index);
	free(lock);
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
