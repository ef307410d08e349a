/* calibration.h: how much the same commit differs from itself, measured by `assay calibrate`. */
#ifndef RUNNER_CALIBRATION_H
#define RUNNER_CALIBRATION_H

#include "runner/runner.h"

#define CALIBRATE_PROFILE "calibrate" /* of its record */

/* The newest calibration of this model that a run of this trust may use: the output described in calibration.c; yours.
 * *out NULL: there is none. */
int calibration_find(struct run *run, json_t **out);
/* The row of a metric, if it was measured on the questions that are asked now; borrowed. NULL: none. */
const json_t *calibration_metric(const json_t *calibration, const struct run *run, const char *task, const char *metric,
				 const char *filter);
/* ERR_INPUT: a max_drop or max_increase of the policy lies beneath the noise floor. whose: in front of the text. */
int calibration_check(struct run *run, const struct gate_policy *policy, const char *whose);
/* Of k replicates' results: results[i] are those of replicate i, n[i] of them. Yours. */
int calibration_measure(json_t **out, const struct run *run, const struct task_result *const *const *results,
			const size_t *n, size_t k);
/* As a stage of the record that a calibration writes; yours. */
json_t *calibration_stage(const struct run *run, json_t *output);

#endif
