/* dvc.h: what a tree does not have itself but by a pointer of DVC's. Each function gives ERR_NOTFOUND, without a text, for
 * what no pointer names, and ERR_INPUT for a pointer whose object is not in the local cache or is damaged. */
#ifndef RUNNER_DVC_H
#define RUNNER_DVC_H

#include "base/json.h"
#include "runner/tree_int.h"

struct dvc_entry {
	char md5[40]; /* 32 digits, or with .dir */
	bool is_dir, old;
	json_t *files; /* of a folder: [{"md5","relpath"}] */
	char *inside;  /* where in that folder; "" is itself */
	char *pointer; /* the file that names it */
};
int dvc_find(struct dvc_entry *e, struct tree *t, const char *path);
void dvc_release(struct dvc_entry *e);

int dvc_read(struct tree *t, const char *path, struct buf *out);
int dvc_name(struct tree *t, const char *path, char oid[OID_HEX]); /* a digest of its MD5s */
bool dvc_is_dir(struct tree *t, const char *path);
int dvc_list(struct tree *t, const char *path, int (*each)(const char *name, void *arg), void *arg);
/* "x" (yours) for a pointer's name "x.dvc", else NULL. */
char *dvc_tracked(const char *name);

#endif
