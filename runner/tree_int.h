/* tree_int.h: what tree.c, tree_name.c and tree_export.c share of the files of a commit. */
#ifndef RUNNER_TREE_INT_H
#define RUNNER_TREE_INT_H

#include "runner/repo_int.h"

struct tree {
	struct repo *repo;  /* NULL: a plain folder */
	char root[OID_HEX]; /* of a commit's tree */
	char *dir;          /* files of a folder; NULL: of a commit */
};

/* One entry of a tree object. A submodule's is made a folder by tree_enter(). */
struct tree_entry {
	struct repo *repo; /* the one that has the object */
	unsigned mode;     /* S_IFDIR, S_IFREG, S_IFLNK, or a submodule's */
	char oid[OID_HEX];
	const char *name; /* of the bytes that are walked */
};

struct tree_iter {
	struct repo *repo;
	const char *at, *end;
	size_t raw; /* bytes of an object's name */
};

enum {
	DEPTH_MAX = 32,
	ENTRIES_MAX = 100000
}; /* of a folder that is walked: a tree that names itself grows without end */

/* The entries of a tree object; its bytes are kept in the caller's buffer. what: how a message calls it. */
int tree_entries(struct tree_iter *it, struct repo *r, const char *oid, const char *what, struct buf *bytes);
bool tree_next(struct tree_iter *it, struct tree_entry *e);
int tree_enter(struct tree_entry *e, const char *root, const char *path);
/* The entry at a path with links followed; *real (yours) is where it was found. ERR_NOTFOUND, ERR_INPUT. */
int tree_find(struct tree *t, const char *path, struct tree_entry *out, char **real);
/* The file of a path (yours): of a work tree, checked to lie beneath the root after links are followed; of a plain folder,
 * which only a person names on the command line, as it is. */
int tree_file(struct tree *t, const char *path, char **out);

/* A walk over a folder, bounded. */
struct walk {
	struct tree *tree;
	const char *path; /* of the folder in the tree */
	const char *to;   /* export: where its files go */
	struct digest_ctx *ctx;
	int depth;
	size_t *entries; /* so far, of the whole walk */
	bool *links;     /* found one */
};
/* tree_read() of what the commit has itself: no pointer of DVC's is followed. */
int tree_read_stored(struct tree *t, const char *path, struct buf *out);
/* What is not there may be DVC's (dvc: its answer); if it is not, the first answer, saved, stands. */
int tree_else_dvc(int dvc, struct err_saved *saved);
int walk_count(const struct walk *w);

#endif
