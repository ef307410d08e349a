/* home_check.c: the memory that judges is not brought by what is judged.
 *
 * A home may lie in a work tree: GitLab caches nothing outside the clone. There git writes what the commit has: a config.yaml that
 * gives a secret of the job to whom it names, records of a worse baseline, a link to somewhere else. So before anything is read, the
 * way to the home is walked as the kernel would, and it is refused where it leads through a link in a work tree, and where the
 * commit tracks the home itself or anything beneath it, whatever lies on the disk.
 *
 * What lies in a folder .git is none of git's: it checks nothing out there. A submodule is a work tree of its own. */
#include "base/base.h"
#include "runner/home.h"
#include "runner/repo_int.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as many as the kernel follows */

struct way {
	struct repo *repo; /* that of the working directory, or NULL */
	const char *rev, *home;
	char at[PATH_MAX]; /* walked so far: no link in it, no slash at its end */
};

static bool is_same(const char *a, const char *b)
{
	struct stat x, y;

	return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int refuse_tracked(const struct way *w, const char *rev, const char *path)
{
	char *shown = mem_strn(path, strcspn(path, "\n"));

	err_set(ERR_INPUT,
		"the home %s is in a work tree, and %s%.12s tracks %s: a commit does not bring the memory that judges "
		"it",
		w->home, strcmp(rev, "HEAD") ? "commit " : "", rev, *shown ? shown : "files beside it");
	free(shown);
	return err_hint(
		ERR_INPUT,
		"git rm -r --cached that path, commit, and name it in .gitignore; or set ASSAY_HOME to a folder "
		"outside the work tree");
}

/* Does the work tree at root track the path, or anything beneath it? mine: root is that of the way's own repository. */
static int check_tracked(const struct way *w, const char *root, const char *path, bool mine)
{
	const char *rev = mine ? w->rev : "HEAD";
	struct buf text = BUF_INIT(1 << 20);
	struct repo *r = mine ? w->repo : NULL;
	struct commit c = { 0 };
	int rc = 0;

	if (!mine && ((rc = repo_open(&r, root)) == ERR_INPUT || (rc == 0 && !is_same(r->work, root)))) {
		err_clear();
		rc = 0;
	} else if (rc == 0 && repo_commit(r, rev, &c) != 0) { /* there is none yet, so nothing was checked out */
		err_clear();
	} else if (rc == 0) {
		rc = *path ? REPO_ASK(r, &text, NULL, "ls-tree", "--full-tree", "--name-only", c.oid, "--", path)
			   : REPO_ASK(r, &text, NULL, "ls-tree", "--full-tree", "--name-only", c.oid);
		rc = rc > 0 ? err_set(ERR_INPUT, "git cannot tell whether %.12s tracks %s", c.oid, w->home)
		     : rc == 0 && text.len ? refuse_tracked(w, rev, path)
					   : rc;
	}
	commit_release(&c);
	buf_release(&text);
	if (!mine)
		repo_close(r);
	return rc;
}

/* What is walked so far, for each work tree that it is in. link: it is one. */
static int check_place(const struct way *w, bool link)
{
	const char *work = w->repo ? repo_work_dir(w->repo) : NULL, *rest;
	char *root = mem_str(w->at);
	int rc = 0;

	for (char *cut = strrchr(root, '/'); rc == 0 && cut; cut = strrchr(root, '/')) {
		char *git = path_join(*root ? root : "/", ".git");
		struct stat st;
		bool mine = is_same(*root ? root : "/", work);

		rest = w->at + strlen(root);
		rest += *rest == '/';
		if (link && mine && *rest) {
			err_set(ERR_INPUT, "the home %s leads through %s, a symbolic link in the work tree", w->home,
				rest);
			rc = err_hint(ERR_INPUT, "set ASSAY_HOME to the folder itself");
		} else if (mine || lstat(git, &st) == 0) {
			rc = check_tracked(w, *root ? root : "/", rest, mine);
		}
		free(git);
		*cut = 0;
	}
	free(root);
	return rc;
}

/* One name further. A link's text goes before what is left of the way. */
static int walk(struct way *w, char **left, const char *name, int *links)
{
	char text[PATH_MAX], *cut = strrchr(w->at, '/');
	size_t n = strlen(w->at);
	struct stat st;
	ssize_t len;
	int rc;

	if (!*name || !strcmp(name, "."))
		return 0;
	if (!strcmp(name, "..")) {
		if (cut)
			*cut = 0;
		return 0;
	}
	if (n + strlen(name) + 2 > sizeof(w->at))
		return err_set(ERR_INPUT, "the home %s: its path is too long", w->home);
	snprintf(w->at + n, sizeof(w->at) - n, "/%s", name);
	if (lstat(w->at, &st) != 0 || !S_ISLNK(st.st_mode))
		return 0;
	rc = check_place(w, true);
	len = readlink(w->at, text, sizeof(text) - 1);
	if (rc == 0 && (len < 0 || ++*links > LINKS_MAX))
		rc = err_set(ERR_INPUT, "the home %s: too many symbolic links", w->home);
	if (rc == 0) {
		char *more;

		text[len] = 0;
		w->at[*text == '/' ? 0 : n] = 0;
		more = mem_printf("%s/%s", text, *left);
		free(*left);
		*left = more;
	}
	return rc;
}

static bool is_in_git(const char *path)
{
	const char *at = strstr(path, "/.git/");

	return at || path_has_suffix(path, "/.git");
}

int home_check(const char *path, struct repo *r, const char *rev)
{
	struct way w = { .repo = r, .rev = rev, .home = path };
	char *left = mem_str(path);
	int rc = 0, links = 0;

	while (rc == 0 && *left) {
		size_t n = strcspn(left, "/");
		char *name = mem_strn(left, n), *rest = mem_str(left + n + (left[n] == '/'));

		free(left);
		left = rest;
		rc = walk(&w, &left, name, &links);
		free(name);
	}
	if (rc == 0 && !is_in_git(w.at))
		rc = check_place(&w, false);
	free(left);
	return rc;
}
