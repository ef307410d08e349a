/* checkout.h: a real, private work tree of a commit, for steps that need one. */
#ifndef RUNNER_CHECKOUT_H
#define RUNNER_CHECKOUT_H

#include "runner/repo.h"

/* Writes every file of the commit beneath dir (made), by git itself with an index of its own; a submodule that is not in
 * this clone is warned of and left empty. */
int checkout_write(struct repo *r, const char *commit, const char *dir);
/* No symbolic link beneath dir may lead out of it. ERR_INPUT names the first that does. */
int checkout_check_links(const char *dir);
/* A path in dir must not be a link, nor lie behind one, that leads out of it. */
int checkout_check_inside(const char *dir, const char *path);

#endif
