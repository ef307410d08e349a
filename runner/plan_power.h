/* plan_power.h: what the gate can tell, before the run is paid for. */
#ifndef RUNNER_PLAN_POWER_H
#define RUNNER_PLAN_POWER_H

#include "runner/runner.h"

/* Holds the policies (the target's, and the one that the candidate brings) against the suites: ERR_INPUT for what nobody
 * will measure, and with strict_power for a rule that can only end INCONCLUSIVE; else such a rule is a note of the run. */
int plan_power_check(struct run *run);
/* How likely an unchanged model passes, by what is stored; of `assay plan`. *out NULL: there is no gate. Yours. */
int plan_power_json(struct run *run, json_t **out);
void plan_power_print(const json_t *power);

#endif
