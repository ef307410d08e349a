/* eval_model.h: a suite on a model, outside a run: who it is that answers. */
#ifndef RUNNER_EVAL_MODEL_H
#define RUNNER_EVAL_MODEL_H

#include "evals/evals.h"
#include "runner/cmd.h"

struct eval_options {
	const char *model; /* a folder, MODEL@ALIAS or a location */
	const char *device, *memory, *keep;
	int64_t threads, batch_tokens;
	bool judge;
	const char *sandbox; /* of commands that score; NULL: none may run */
	struct suite_options how;
};
/* The suite's result, yours. place is opened where it is needed, and yours to close. */
int eval_model(struct suite_result **out, const struct suite *suite, struct place *place, const struct eval_options *o);

#endif
