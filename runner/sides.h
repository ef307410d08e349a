/* sides.h: the two sides of a comparison, stored runs or files of scores, as `assay gate` and `assay diff` take them. */
#ifndef RUNNER_SIDES_H
#define RUNNER_SIDES_H

#include "runner/runner.h"

struct side {
	struct task_result *tasks;
	const struct task_result **list; /* the same, as the gate takes them */
	size_t n;
	char run[DIGEST_HEX]; /* "": a file */
	json_t *record;       /* the run's; NULL: a file */
	bool plain;           /* scores without questions */
};
/* A name is a file if it has a slash or a suffix, or is one; the registry is opened only if one of the two is not.
 * ERR_INPUT: no such run or file, or no samples in it. Release both also after an error. */
int sides_load(struct side *a, struct side *b, const char *name_a, const char *name_b);
void side_release(struct side *s);
/* Judges b against a. */
/* Why metrics of b are not compared with a's: a text a reason; yours. */
json_t *sides_incomparable(const struct side *a, const struct side *b);
int sides_decide(struct gate_result *g, const struct gate_policy *p, const struct side *a, const struct side *b);

#endif
