/* jury.h: models at named locations that score what other models wrote. */
#ifndef RUNNER_JURY_H
#define RUNNER_JURY_H

#include "evals/evals.h"
#include "runner/config.h"

struct judges;
/* home: where answers are kept, and whose config.yaml has the locations; policy (may be NULL): assay.yaml of the target, which
 * may have more. Nothing is asked before somebody does. */
struct judges *judges_new(const char *home, const struct config *policy);
void judges_free(struct judges *j);
const struct jury *judges_for(struct judges *j); /* borrowed; NULL for NULL */
/* What it took, a line for each location; yours. "" where nothing was asked. */
char *judges_cost(const struct judges *j);

#endif
