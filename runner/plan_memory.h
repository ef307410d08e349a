/* plan_memory.h: what a piece of work needs in memory, against what there is. */
#ifndef RUNNER_PLAN_MEMORY_H
#define RUNNER_PLAN_MEMORY_H

#include "model/model.h"
#include "runner/budget.h"
#include "runner/runner.h"

/* Fills run->memory: estimates of training (if there is any to do) and of evaluation, and the budget. ERR_UNAVAILABLE if
 * one of them does not fit, with the ways out that would help most. */
int plan_memory(struct run *run);
json_t *plan_memory_json(const struct run *run); /* of assay plan --json; yours */
void plan_memory_print(const struct run *run);

int plan_memory_train(struct run *run); /* of training alone: assay train */

/* The largest number of tokens at a time, at most `most`, at which scoring with the model of a folder fits the budget,
 * and what the budget leaves beside the weights (0: not known). memory: --memory, or NULL. ERR_UNAVAILABLE if none does. */
int plan_batch(int *out, uint64_t *left, const char *dir, int most, const char *memory, struct backend *be);
uint64_t plan_memory_left(const struct run *run); /* the same, of a run that is planned */

#endif
