/* skip.h: pushes that somebody sent past the gate, and said so. */
#ifndef RUNNER_SKIP_H
#define RUNNER_SKIP_H

#include "runner/home.h"

/* Notes that a commit was pushed unjudged. */
int skip_note(struct home *h, const char *commit, const char *remote, const char *ref, const char *reason);
/* The last note of a commit: {"commit","ref","remote","reason","actor","time"}. ERR_NOTFOUND. */
int skip_find(json_t **out, struct home *h, const char *commit);
/* The last notes of the latest n commits that have any, oldest first: an array of the above, yours. */
int skip_list(json_t **out, struct home *h, size_t n);

#endif
