/* keeper.h: the process in front of a command that ends all that the command has begun. */
#ifndef RUNNER_KEEPER_H
#define RUNNER_KEEPER_H

#include "base/base.h"

/* Forks. 0 in the new process, which becomes the command, in a process group of its own. The old one is the keeper and does not
 * come back: it ends with the command's status, 128 + N for signal N, when no descendant is left. */
int keeper_fork(void);
/* `assay keep COMMAND…`, which is no command of users: a keeper and nothing else. Gives a code only where it failed. */
int cmd_keep(int argc, char **argv);
/* Becomes the command; gives ERR_UNAVAILABLE, in the words that keeper_lacks() knows, where there is none. */
int keeper_exec(char **argv);
/* Do a command's exit code and the last line of its standard error say that the program is not there (bubblewrap's words, too)? */
bool keeper_lacks(int status, const char *line);

#endif
