/* scaffold.h: a first configuration, made of what a survey found. */
#ifndef RUNNER_SCAFFOLD_H
#define RUNNER_SCAFFOLD_H

#include "runner/survey.h"

/* Writes assay.yaml and, where nothing asks anything yet, a suite for it. What exists is kept. */
int scaffold_write(struct survey *s, const char *model, const char *branch);
/* Writes a file of the work tree, unless it is there; says which. *written may be NULL. */
int scaffold_file(const struct survey *s, const char *path, const char *text, size_t len, bool *written);

/* scaffold_clock.c: data and a suite for who has neither: the twelve-hour clock. *train: the file with the data (static);
 * *held: how many samples are asked. */
int scaffold_clock(const struct survey *s, const char **train, size_t *held);
/* scaffold_rules.c: the limits of gate.require for all that the suites at these paths measure; adds YAML lines. */
int scaffold_rules(struct survey *s, const char *const *paths, size_t n, struct buf *out);

#endif
