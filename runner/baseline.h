/* baseline.h: fills run->baseline (by the policy), run->alias (that a PASS would move), and what the gate needs of both. */
#ifndef RUNNER_BASELINE_H
#define RUNNER_BASELINE_H

#include "runner/runner.h"

int baseline_find(struct run *run);
int baseline_alias(struct run *run);
/* Fills base_tasks of the suites with what the baseline answered, by asking it again where the policy allows that
 * (rescore.c). *incomparable: why that cannot be had, with what differs; yours. NULL: it is there. */
int baseline_answers(struct run *run, char **incomparable);
/* Which attempt of this branch against this baseline the candidate is: run->attempt, run->exhausted (attempts.c). */
int attempts_count(struct run *run);

#endif
