/* questions.h: how a suite reaches its files: in the tree of a commit, and the data sets that its tasks name. */
#ifndef RUNNER_QUESTIONS_H
#define RUNNER_QUESTIONS_H

#include "evals/evals.h"
#include "runner/repo.h"

/* tree NULL: paths are the machine's own. named: datasets of assay.yaml, may be NULL. folder: --datasets, may be NULL. */
int questions_load(struct suite **out, const char *path, struct tree *tree, const json_t *named, const char *folder);

#endif
