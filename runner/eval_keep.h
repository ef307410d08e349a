/* eval_keep.h: a file of samples that came, so that an evaluation that was cut short goes on in the middle of a task. */
#ifndef RUNNER_EVAL_KEEP_H
#define RUNNER_EVAL_KEEP_H

#include "evals/evals.h"

struct keep;
/* key: everything that can change a score. A file of another key is ERR_CONFLICT. *out NULL: another process holds it, and
 * nothing is kept. */
int keep_open(struct keep **out, const char *path, const char *key);
const struct eval_keep *keep_for(struct keep *k); /* borrowed; NULL for NULL */
size_t keep_restored(const struct keep *k);       /* samples that were there already; 0 for NULL */
void keep_close(struct keep *k, bool done);       /* done: the file goes */

#endif
