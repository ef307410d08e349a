/* skip.h: pushes that somebody sent past the gate, and said so. */
#ifndef RUNNER_SKIP_H
#define RUNNER_SKIP_H

#include "runner/home.h"

/* Notes that a commit was pushed unjudged. */
int skip_note(struct home *h, const char *commit, const char *remote, const char *ref, const char *reason);
/* The last note of a commit: {"commit","ref","remote","reason","actor","time"}. ERR_NOTFOUND. */
int skip_find(json_t **out, struct home *h, const char *commit);

#endif
