/* baseline.h: fills run->baseline (by the policy), and run->alias (that a PASS would move). */
#ifndef RUNNER_BASELINE_H
#define RUNNER_BASELINE_H

#include "runner/runner.h"

int baseline_find(struct run *run);
int baseline_alias(struct run *run);

#endif
