/* samples_store.h: the samples of a task, as an object of the store. */
#ifndef RUNNER_SAMPLES_STORE_H
#define RUNNER_SAMPLES_STORE_H

#include "artifacts/artifacts.h"
#include "evals/evals.h"

/* Opens an object in place: its numbers are read, its texts when they are asked for. whole: all bytes are first compared with
 * the object's name; else each block has only its own checksum. ERR_NOTFOUND: it is not in the store. ERR_IO: it is
 * damaged, and says where; it is moved aside, as store_get() does. */
int samples_open(struct task_result *out, struct store *s, const char *object, bool whole);
/* Stores how long the samples took, and says so in the row that names them: "seconds" of all, "times" an object. Nothing where
 * no time is known. */
int samples_times_put(json_t *row, const struct task_result *t, struct store *s);
/* And back. What is not there, or damaged, is not known: times decide nothing. */
void samples_times_get(struct task_result *t, struct store *s, const json_t *row);

#endif
