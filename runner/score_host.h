/* score_host.h: where commands that score answers run. */
#ifndef RUNNER_SCORE_HOST_H
#define RUNNER_SCORE_HOST_H

#include "evals/evals.h"
#include "runner/runner.h"
#include "runner/sandbox.h"

struct score_host {
	struct command_host calls;
	struct sandbox sandbox;
	size_t room; /* bytes that the commands' standard error may still take in the log */
};
/* Does anybody vouch for the policy that this run follows? The default branch; who typed --target; or, where there is no policy of
 * a target, the user of this machine, in a repository where nothing of a remote ever came. */
bool run_is_vouched(const struct run *run);
/* What the policy of this run, which is the target's, allows its commands. */
struct sandbox run_sandbox(const struct run *run);
/* Fills *h, which must stay where it is; s is borrowed. */
const struct command_host *score_host(struct score_host *h, const struct sandbox *s);

#endif
