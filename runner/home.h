/* home.h: the folder where assay remembers, opened: store and registry. */
#ifndef RUNNER_HOME_H
#define RUNNER_HOME_H

#include "artifacts/artifacts.h"
#include "base/base.h"
#include "runner/repo.h"

struct home {
	struct store *store;
	struct registry *registry;
	struct depot *depot; /* of team_on_demand(), once somebody needed it */
	const char *remote;
	bool depot_failed;
};
/* $ASSAY_HOME, else <git common dir>/assay; r may be NULL where $ASSAY_HOME is set. ERR_INPUT, too, before anything is read: it is
 * in a work tree whose HEAD tracks it or something beneath it, or leads through a link there. */
int home_open(struct home *h, struct repo *r);
int home_open_store(struct home *h, struct repo *r); /* and no registry */
/* The same of another commit than HEAD, for one that is open. */
int home_check_commit(const struct home *h, struct repo *r, const char *commit);
/* That rule alone, of an absolute path; rev is a commit of r, the working directory's repository, or NULL (home_check.c). */
int home_check(const char *path, struct repo *r, const char *rev);
void home_close(struct home *h);

/* Promotions that hook runs proposed take effect here: when the commit has reached the remote's branch, the alias
 * moves; when the alias has moved meanwhile, the proposal is dropped with the reason. Says what it did by log_info; what
 * it cannot write, by log_warn. */
int home_settle(struct home *h, struct repo *r);

/* Does the state lie in the clone of a CI's job, which nobody keeps? */
bool home_is_passing(void);
const char *home_actor(void); /* who acts, for promotions; borrowed */

/* A stored model as a folder to load from: a folder of the file system, MODEL@v7 or MODEL@ALIAS. */
struct model_dir {
	char *path;
	bool temporary;
	char object[DIGEST_HEX]; /* "" for a folder */
};
/* Says what to do about ERR_NOTFOUND, and makes it ERR_IO where damage was found; other results pass. */
int home_no_weights(int rc, const char *object);
int model_dir_open(struct model_dir *d, struct home *h, const char *name);
int model_dir_of_object(struct model_dir *d, struct home *h, const char *object);
void model_dir_close(struct model_dir *d);
/* Splits MODEL@ALIAS or MODEL@v7 and finds the version's row (yours). ERR_INPUT with what there is. */
int home_version(struct home *h, const char *name, json_t **row);

#endif
