/* repo_int.h: what repo.c, repo_object.c, tree*.c and the pointers' files (lfs.c, dvc.c) share of a repository. */
#ifndef RUNNER_REPO_INT_H
#define RUNNER_REPO_INT_H

#include "base/map.h"
#include "runner/repo.h"

struct git_repository;

/* Trees that were read by git itself, which costs a process each. */
struct repo_trees {
	struct map at; /* object name -> index */
	struct buf *bytes;
	size_t n;
};

/* A submodule's repository, opened once; repo is NULL for one that is not in this clone. */
struct repo_sub {
	char *key; /* ROOT:PATH */
	struct repo *repo;
};

struct repo {
	struct git_repository
		*git;        /* NULL: libgit2 cannot read this one (SHA-256, an extension): git itself is asked */
	char *dir;           /* of this work tree: what --git-dir takes */
	char *common, *work; /* common ends in a slash; work is NULL in a bare repository */
	bool is_sub;         /* a submodule: what a hook exports means another repository */
	struct repo_trees trees;
	struct repo_sub *subs;
	size_t n_subs;
};

/* git --git-dir DIR ARGS…: its exit status (0 or more), or a negative code if it could not be run at all. Standard output
 * goes to out, error messages to err; either may be NULL, and is thrown away. */
int repo_ask(struct repo *r, struct buf *out, struct buf *err, const char *const *argv);
#define REPO_ASK(r, out, err, ...)                                                                                     \
	repo_ask((r), (out), (err), (const char *[]){ "git", "--git-dir", (r)->dir, __VA_ARGS__, NULL })

/* Is one of the lines this name? */
bool repo_has_line(const char *list, const char *name);
/* The remote that a local branch follows by its configuration ("." is this repository); NULL: none. Yours. */
char *repo_followed(struct repo *r, const char *branch);

/* The bytes of an object, added to out. type: "commit", "tree" or "blob"; what: how a message calls it.
 * ERR_INPUT: not in this clone (and not to be had from the remote of a partial one), damaged, of another type, too large. */
int repo_object(struct repo *r, const char *oid, const char *type, const char *what, struct buf *out);
void repo_objects_release(struct repo *r);

/* The repository of the submodule at a path beneath the tree of that name: borrowed from r. ERR_INPUT, with what to do. */
int repo_submodule(struct repo *r, const char *root, const char *path, struct repo **out);
int repo_submodule_lacks(const char *path); /* ERR_INPUT, with what to do */

/* What an LFS pointer in b stands for, from the local LFS store, in its place; anything else stays as it is. */
int lfs_resolve(struct repo *r, const char *path, struct buf *b);

#endif
