/* attempts.c: how often this branch has tried against this baseline.
 *
 * Each candidate that is judged by a test has a chance to pass by luck, so whoever pushes twenty and keeps the best has used
 * up the stated error twenty times. The report always says which attempt this is. With gate.attempts: k the policy spends
 * the error over k of them, each at a k-th of it (Bonferroni), and what comes after those passes no test any more until
 * the baseline moves.
 *
 * An attempt is a product (weights and prompt), not a run: to judge one again tells nothing new. Runs of this trust or
 * stronger count, so that a fork cannot use up a branch's attempts; a new name of the branch begins anew, which no
 * machine can tell from a new piece of work, and the report shows. */
#include "base/base.h"
#include "runner/baseline.h"

struct attempts {
	const struct run *run;
	char **products; /* "OBJECT PROMPT", newest first */
	size_t n, cap;
};

/* Was it judged on this branch, by this trust or a stronger one? The baseline's own product is no attempt. */
static bool counts(const struct run *run, const json_t *row)
{
	enum trust trust;

	return run->event.branch && !strcmp(json_get_text(row, "branch", ""), run->event.branch) &&
	       strcmp(json_get_text(row, "verdict", "ERROR"), "ERROR") != 0 &&
	       trust_parse(&trust, json_get_text(row, "trust", "")) == 0 && trust >= run->event.trust &&
	       (strcmp(json_get_text(row, "object", ""), run->baseline.object) != 0 ||
		strcmp(json_get_text(row, "prompt", ""), run->baseline.prompt) != 0);
}

static int add_product(json_t *row, void *arg)
{
	struct attempts *a = arg;
	const char *object = json_get_text(row, "object", "");

	if (counts(a->run, row) && *object) {
		MEM_GROW(a->products, a->n, a->cap);
		a->products[a->n++] = mem_printf("%s %s", object, json_get_text(row, "prompt", ""));
	}
	return 0;
}

/* The products are counted from the oldest, until this one: judged before, it is the attempt that it was. */
static int number(struct run *run)
{
	char *mine = mem_printf("%s %s", run->object, run->prompt_oid);
	struct attempts a = { .run = run };
	struct map seen;
	int rc = registry_runs(run->home->registry, RUNS_BY_BASELINE, run->baseline.run, add_product, &a);

	map_init(&seen);
	for (size_t i = a.n; i-- > 0 && !run->attempt;) {
		map_put(&seen, a.products[i], strlen(a.products[i]), 0);
		if (!strcmp(a.products[i], mine))
			run->attempt = (int64_t)seen.len;
	}
	if (!run->attempt)
		run->attempt = (int64_t)seen.len + 1;
	for (size_t i = 0; i < a.n; i++)
		free(a.products[i]);
	free(a.products);
	map_release(&seen);
	free(mine);
	return rc;
}

double run_confidence(const struct run *run)
{
	const struct gate_policy *p = &run->questions->gate;

	return p->attempts > 1 ? 1 - (1 - p->confidence) / (double)p->attempts : p->confidence;
}

int attempts_count(struct run *run)
{
	int64_t most = run->questions->gate.attempts;
	int rc;

	if (run->identical || strcmp(run->attempt_of, run->baseline.run) == 0)
		return 0;
	run->attempt = 0;
	free(run->exhausted);
	run->exhausted = NULL;
	snprintf(run->attempt_of, sizeof(run->attempt_of), "%s", run->baseline.run);
	rc = number(run);
	if (rc)
		return rc;
	if (most && run->attempt > most)
		run->exhausted = mem_printf("attempt %lld of this branch against this baseline, and the policy has "
					    "error for %lld: no test passes any more until the baseline moves",
					    (long long)run->attempt, (long long)most);
	if (most)
		run_note(run,
			 "attempt %lld of %lld of this branch against this baseline: each is judged at %.6g %% "
			 "confidence",
			 (long long)run->attempt, (long long)most, 100 * run_confidence(run));
	else if (run->attempt > 1)
		run_note(run,
			 "attempt %lld of this branch against this baseline: whoever picks the best of many is "
			 "more often lucky than the confidence says",
			 (long long)run->attempt);
	return 0;
}
