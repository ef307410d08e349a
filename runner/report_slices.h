/* report_slices.h: metrics by slice, for the report. */
#ifndef RUNNER_REPORT_SLICES_H
#define RUNNER_REPORT_SLICES_H

#include "runner/runner.h"

/* [{task, metric, filter, slice, n, value, stderr, baseline, higher_is_better}]; yours, also after an error. */
int report_slices(json_t **out, struct home *h, const json_t *record);

#endif
