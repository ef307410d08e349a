/* report_samples.h: samples as a report shows them: what broke, metrics by slice, calibration, and for the web page all of
 * them side by side. */
#ifndef RUNNER_REPORT_SAMPLES_H
#define RUNNER_REPORT_SAMPLES_H

#include "base/json.h"
#include "evals/evals.h"

struct report_samples {
	json_t *broken; /* at most 50: {task, id, prompt, target, before, after} */
	int64_t n_broken, n_fixed;
	json_t *slices, *calibration; /* as the report has them (ci/report.c) */
	json_t *pairs;                /* as the page has them (ci/html_samples.c); NULL: not asked for */
	struct {
		int64_t n;
		size_t bytes;
	} kept[2]; /* in pairs: those without a change, those with one */
};
void report_samples_init(struct report_samples *r, bool pairs);
void report_samples_release(struct report_samples *r);
/* One task: the candidate's samples and the baseline's (NULL: none), paired by id. Texts that are shown are read
 * then: ERR_IO. Groups are passed over: their samples are their members'. */
int report_samples_add(struct report_samples *r, struct task_result *base, struct task_result *cand);
/* Puts the parts into a report. */
void report_samples_set(const struct report_samples *r, json_t *report);

#endif
