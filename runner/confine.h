/* confine.h: a sandbox out of the kernel's own parts, for machines where bubblewrap does not work (most containers). */
#ifndef RUNNER_CONFINE_H
#define RUNNER_CONFINE_H

#include "base/base.h"

/* The kernel's Landlock, as a number that grows; 0: it has none, or it is off. */
int confine_version(void);
/* `assay confine TREE BASE HIDDEN… -- COMMAND…`, which is no command of users: narrows this process and becomes COMMAND in
 * TREE. BASE: a folder that may be read, or ""; HIDDEN: folders that may not. Gives a code only where it failed. */
int cmd_confine(int argc, char **argv);

#endif
