/* git_library.h: libgit2's start and end, for the files that call it. */
#ifndef RUNNER_GIT_LIBRARY_H
#define RUNNER_GIT_LIBRARY_H

/* Counted: each start wants its stop. */
void git_library_start(void);
void git_library_stop(void);

#endif
