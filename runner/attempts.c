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

/* Was it judged on this branch, against this baseline? */
static bool counts(const struct run *run, const json_t *row)
{
	enum trust trust;

	return run->event.branch && !strcmp(json_get_text(row, "branch", ""), run->event.branch) &&
	       !strcmp(json_get_text(row, "baseline_run", ""), run->baseline.run) &&
	       strcmp(json_get_text(row, "verdict", "ERROR"), "ERROR") != 0 &&
	       trust_parse(&trust, json_get_text(row, "trust", "")) == 0 && trust >= run->event.trust;
}

/* Adds the product that a run judged; that of this run and the baseline's own are none of the earlier attempts. */
static int add_product(struct map *seen, const struct run *run, const char *id)
{
	json_t *record = NULL;
	int rc = registry_run(run->home->registry, id, &record);
	const json_t *product = json_object_get(record, "product");
	const char *object = json_get_text(product, "object", ""), *prompt = json_get_text(product, "prompt", "");

	if (rc == ERR_NOTFOUND) { /* its record is gone: it was an attempt all the same */
		err_clear();
		map_put(seen, id, strlen(id), 0);
		return 0;
	}
	if (rc == 0 && *object && !(!strcmp(object, run->baseline.object) && !strcmp(prompt, run->baseline.prompt))) {
		char *name = mem_printf("%s %s", object, prompt);

		map_put(seen, name, strlen(name), 0);
		free(name);
	}
	json_decref(record);
	return rc;
}

/* The rows come newest first; the products are counted from the oldest, until this one. */
static int number(struct run *run, const json_t *rows)
{
	char *mine = mem_printf("%s %s", run->object, run->prompt_oid);
	struct map seen;
	int64_t at;
	int rc = 0;

	map_init(&seen);
	for (size_t i = json_array_size(rows); i-- > 0 && rc == 0;) {
		const json_t *row = json_array_get(rows, i);

		if (!counts(run, row))
			continue;
		rc = add_product(&seen, run, json_get_text(row, "id", ""));
		if (map_get(&seen, mine, strlen(mine), &at)) { /* judged before: it is the attempt that it was */
			run->attempt = (int64_t)seen.len;
			break;
		}
	}
	if (!run->attempt)
		run->attempt = (int64_t)seen.len + 1;
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
	json_t *rows = NULL;
	int rc;

	if (run->identical || strcmp(run->attempt_of, run->baseline.run) == 0)
		return 0;
	run->attempt = 0;
	free(run->exhausted);
	run->exhausted = NULL;
	snprintf(run->attempt_of, sizeof(run->attempt_of), "%s", run->baseline.run);
	rc = registry_list(run->home->registry, "runs", run->questions->model, 0, &rows);
	rc = rc ? rc : number(run, rows);
	json_decref(rows);
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
