/* parts.h: what is stored of an evaluation that is not whole, and asking the rest. */
#ifndef RUNNER_PARTS_H
#define RUNNER_PARTS_H

#include "runner/runner.h"

/* "2/4"; ERR_USAGE. */
int parse_shard(const char *text, int *shard, int *shards);

/* The samples that stored parts of this evaluation have go into the visit. *known: how many the visit got so; *cut: of their
 * prompts, how many were cut on the left. A part whose samples are lost is warned of, and is none. */
int parts_take(struct run *run, struct run_suite *s, const char *object, const char *prompt_oid, struct suite_visit *v,
	       uint64_t *known, size_t *cut);
struct parts_model { /* who is asked; borrowed */
	const char *object, *prompt_oid, *prompt;
};
/* Where there are parts: asks what none of them has, and stores the whole. The model is loaded only if something is missing.
 * *stage stays NULL: there are none. */
int parts_join(struct run *run, struct run_suite *s, const struct parts_model *m, json_t **stage);
/* The documents of this run's shard that no stored part has: asked, and stored as a part. s->stage stays NULL (and s->reused is
 * set): there were none. */
int parts_shard(struct run *run, struct run_suite *s);
/* Of all suites, how many samples this run's shard has; *all: with those of the other shards. */
uint64_t parts_of_shard(const struct run *run, uint64_t *all);

#endif
