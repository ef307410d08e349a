/* trend.h: a metric's history on a branch. */
#ifndef RUNNER_TREND_H
#define RUNNER_TREND_H

#include "runner/cmd.h"

/* name: task.metric or task.metric,filter; branch NULL: the checked-out one; limit: the newest so many points, 0: all.
 * ERR_INPUT: nobody measured it there. */
int print_trend(struct place *place, const char *name, const char *branch, int64_t limit, bool json, bool html);

#endif
