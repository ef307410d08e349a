/* plan_overlap.h: the overlap of the training data with the questions, between plan, gate and record. */
#ifndef RUNNER_PLAN_OVERLAP_H
#define RUNNER_PLAN_OVERLAP_H

#include "runner/runner.h"

/* Fills run->overlap if it is known; else *out is an index of the questions, past which the caller lets the lines of
 * finetune.data go before it closes it. NULL too where nothing is trained on. Needs suites and the data's names. */
int plan_overlap_open(struct run *run, struct overlap **out);
/* Fills run->overlap: {"tasks":[…],"missing":[names]}. Frees o. */
int plan_overlap_close(struct run *run, struct overlap *o);

/* The counts as the gate wants them, and the names of what was not compared (NULL: nothing); both yours. */
size_t overlap_gate_rows(const json_t *overlap, const struct gate_overlap **out);
char *overlap_missing(const json_t *overlap);

/* Why the gate will fail whatever the scores are; NULL: it may pass. Yours. */
char *overlap_broken(const struct run *run);

#endif
