/* reproduce.h: a run made again from what its record names. */
#ifndef RUNNER_REPRODUCE_H
#define RUNNER_REPRODUCE_H

#include "base/json.h"
#include "runner/runner.h"

struct reproduce_options {
	const char *prepare; /* a folder to be made with all that is needed; nothing is run. NULL: run */
	const char *device;  /* NULL: by the recorded numerics class */
	int64_t threads;
	const char *memory, *datasets;
	double wait_s;
	bool other_numerics; /* go on although this machine's numbers are of another class */
};
/* The document described in reproduce.c; yours. What was found differing is no failure of this function. */
int reproduce(struct home *h, struct repo *r, const char *id, const struct reproduce_options *o, json_t **out);

/* reproduce_compare.c: rows of {"what","name","recorded","found","equal"[,"note"]}, in the order in which a difference would
 * have come about. record: of the run; made: of the run that trained its model (may be the same). */
void compare_data(json_t *rows, const json_t *made, const struct run *again);
void compare_training(json_t *rows, const json_t *made, const struct run *again);
void compare_model(json_t *rows, struct store *s, const char *recorded, const char *found);
void compare_samples(json_t *rows, struct store *s, const json_t *record, const struct run *again);

#endif
