/* fetch.h: history that a shallow clone lacks, from the remote. Nothing is asked for under ASSAY_OFFLINE. */
#ifndef RUNNER_FETCH_H
#define RUNNER_FETCH_H

#include "runner/repo.h"

/* Makes sure that a commit is in this clone: one try to get it, quietly. ERR_INPUT: it is not. */
int fetch_commit(struct repo *r, const char *commit);
/* repo_merge_base(), of a clone that is deepened until it has one. ERR_INPUT: there is none, or no way to get it. */
int fetch_merge_base(struct repo *r, const char *a, const char *b, char oid[OID_HEX]);
/* Some more of the history before a commit; false: this clone has all of it, or it cannot be had. */
bool fetch_deeper(struct repo *r, const char *commit);
/* Is the first commit before the second, or it? ERR_INPUT: this clone is too shallow to know, and the remote does not help. */
int fetch_is_ancestor(struct repo *r, const char *ancestor, const char *descendant, bool *yes);

#endif
