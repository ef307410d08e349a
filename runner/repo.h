/* repo.h: the git repository: revisions, branches, and the files of a commit.
 *
 * A tree is where a run's inputs come from: a commit's tree, read straight from the object store, or (--dirty) the
 * work tree. Its paths are hostile: each is checked, links are followed inside the tree only, and an LFS pointer is
 * resolved from the local LFS store or refused. */
#ifndef RUNNER_REPO_H
#define RUNNER_REPO_H

#include "base/base.h"

#define OID_HEX 65 /* room for a SHA-1 or a SHA-256 name and a NUL */

struct repo;
int repo_open(struct repo **out, const char *dir); /* finds the repository around dir, as git does */
void repo_close(struct repo *r);
const char *repo_common_dir(const struct repo *r); /* the git folder that worktrees share */
const char *repo_work_dir(const struct repo *r);   /* NULL for a bare repository */

struct commit {
	char oid[OID_HEX], tree[OID_HEX];
	char *subject; /* first line of the message */
	int64_t time;
};
/* ERR_INPUT with a hint if there is no such commit. */
int repo_commit(struct repo *r, const char *rev, struct commit *out);
void commit_release(struct commit *c);
/* The commit a full reference name points at: ERR_NOTFOUND. */
int repo_ref(struct repo *r, const char *ref, char oid[OID_HEX]);
/* The full name of the reference that a symbolic one ("HEAD") names, which need not exist: ERR_NOTFOUND. */
int repo_symbolic(struct repo *r, const char *ref, char **out);
/* The branch that HEAD is on ("main"); ERR_NOTFOUND if it is detached. */
int repo_head_branch(struct repo *r, char **out);
/* The remote-tracking reference that a local branch follows ("refs/remotes/origin/main"): ERR_NOTFOUND. */
int repo_upstream(struct repo *r, const char *branch, char **out);
/* Where the latest `max` branches, by their commits' dates, are on remotes: "branch TAB remote-tracking reference" a line. Of one that
 * follows none, the references of its name or its commit, since `git push origin BRANCH` makes none follow. */
int repo_upstreams(struct repo *r, int max, struct buf *out);
/* The remotes of this clone, likeliest first: the one that the branch of HEAD follows, then origin, then the others, if there is
 * but one of them. One name a line; none: empty. */
int repo_remotes(struct repo *r, struct buf *out);
bool repo_is_shallow(struct repo *r);
bool repo_is_ancestor(struct repo *r, const char *ancestor, const char *descendant);
int repo_merge_base(struct repo *r, const char *a, const char *b, char oid[OID_HEX]);
/* The commit's first two parents by name, also where a shallow clone does not have them; "" where there is none. */
int repo_parents(struct repo *r, const char *oid, char first[OID_HEX], char second[OID_HEX]);
/* The commit and its ancestors, as far as this clone has them and at most so many: one name a line, newest first. */
int repo_ancestors(struct repo *r, const char *oid, int max, struct buf *out);
bool oid_is_zero(const char *oid);
/* The content of a blob by its name, an LFS pointer resolved. ERR_NOTFOUND: not a name; ERR_INPUT: not in this clone. */
int repo_blob(struct repo *r, const char *oid, struct buf *out);

struct tree;
int tree_open(struct tree **out, struct repo *r, const struct commit *c);
int tree_open_dirty(struct tree **out, struct repo *r);
int tree_open_dir(struct tree **out, const char *dir); /* a person's own folder: its paths are not confined */
void tree_close(struct tree *t);
/* The bytes of a file; ERR_NOTFOUND, ERR_INPUT (leaves the tree, is a folder, a pointer whose object is not here). */
int tree_read(struct tree *t, const char *path, struct buf *out);
/* The git name of a file or folder: a digest of its content; of a folder with links in it, a SHA-256 that covers what they
 * point at as well. ERR_NOTFOUND. */
int tree_oid(struct tree *t, const char *path, char oid[OID_HEX]);
bool tree_is_dir(struct tree *t, const char *path);
/* Calls each(name, arg) for what stands in a folder ("." is the root). ERR_NOTFOUND, ERR_INPUT (a file). */
int tree_list(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg);
/* Writes a folder's files beneath dir (made), links as copies of what they point at. */
int tree_export(struct tree *t, const char *path, const char *dir);

#endif
