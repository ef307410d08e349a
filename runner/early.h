/* early.h: the evaluation of a run that may stop before all samples are asked. */
#ifndef RUNNER_EARLY_H
#define RUNNER_EARLY_H

#include "runner/runner.h"

/* May this run stop, or has it a budget? Then early_eval() asks its suites in blocks, in place of evaluate_object(). */
bool early_wanted(const struct run *run);
int early_eval(struct run *run);
/* Asks what was left out because the gate was certain: the candidate is judged whole. */
int early_finish(struct run *run);
const char *early_order(const struct run *run); /* the seed of the order; NULL: in that of the documents */
/* A rule that clusters names a member of the documents, and those are the suite's. */
int early_clusters(const struct run *run, size_t suite, struct task_result *tasks, size_t n);
/* Are all samples of all suites there? */
bool early_is_whole(const struct run *run);
void early_close(struct run *run);

#endif
