/* calibration.c: the noise floor: by how much does a commit differ from itself?
 *
 * Training again with other random numbers, or drawing answers again, moves every score a little. k replicates of one commit
 * say how much. The floor of a metric is the bound that the difference of two replicates exceeds at most in the share
 * 1 - confidence of the cases, if their values are normal: t_{k-1} sqrt(2) sd. A max_drop beneath it fails models that
 * are as good as the baseline, so it is refused. flips and spread (gate_power.c) come from all pairs of replicates, and the
 * policy itself is held against every ordered pair: how often it failed is its false-alarm rate.
 *
 * It is kept as a stage "calibrate" of the record that `assay calibrate` writes, under a key of the model's name; what a
 * row says holds for the questions whose digest it bears, and is not used for others:
 *
 *	{"runs","commit","confidence","metrics":[{"task","digest","metric","filter","n","mean","sd","flips","spread","floor"}],
 *	 "policy":null|{"comparisons","passed","failed"}}
 *
 * The floor is of the recipe that was calibrated. A later commit with another recipe may be noisier or calmer: calibrate
 * again after a large change. */
#include "base/base.h"
#include "runner/calibration.h"

#include <math.h>

static void calibration_key(const struct run *run, char key[DIGEST_HEX])
{
	struct digest_ctx *ctx = digest_new();
	struct digest d;

	digest_text(ctx, "calibrate-1");
	digest_text(ctx, run->questions->model);
	d = digest_end(ctx);
	digest_hex(key, &d);
}

json_t *calibration_stage(const struct run *run, json_t *output)
{
	char key[DIGEST_HEX];

	calibration_key(run, key);
	return json_pack("{s:s,s:s,s:s,s:o}", "step", "calibrate", "name", run->questions->model, "key", key, "output",
			 output);
}

int calibration_find(struct run *run, json_t **out)
{
	char key[DIGEST_HEX];
	json_t *row = NULL;
	int rc;

	*out = NULL;
	calibration_key(run, key);
	rc = registry_stage(run->home->registry, "calibrate", key, run->event.trust, &row);
	if (rc == 0)
		*out = json_incref(json_object_get(row, "output"));
	json_decref(row);
	if (rc != ERR_NOTFOUND)
		return rc;
	err_clear();
	return 0;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* Is this the digest of what the task asks in the suites of the run? Groups have theirs from their members: any will do. */
static bool is_asked(const struct run *run, const char *task, const char *digest)
{
	for (size_t i = 0; i < run->n_suites; i++)
		for (size_t t = 0; t < suite_tasks(run->suites[i].suite); t++) {
			struct digest d = suite_task_digest(run->suites[i].suite, t);
			char hex[DIGEST_HEX];

			if (strcmp(suite_task_name(run->suites[i].suite, t), task) != 0)
				continue;
			digest_hex(hex, &d);
			return strcmp(hex, digest) == 0;
		}
	return true;
}

const json_t *calibration_metric(const json_t *calibration, const struct run *run, const char *task, const char *metric,
				 const char *filter)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(calibration, "metrics"), i,
			   row) if (!strcmp(json_get_text(row, "task", ""), task) &&
				    !strcmp(json_get_text(row, "metric", ""), metric) &&
				    (!filter || !strcmp(json_get_text(row, "filter", ""),
							filter))) return is_asked(run, task,
										  json_get_text(row, "digest", ""))
		? row
		: NULL;
	return NULL;
}

static int check_limit(const json_t *calibration, const json_t *row, const struct gate_rule *r, double limit,
		       bool relative, const char *name, const char *whose)
{
	double floor = json_get_real(row, "floor", 0), mean = fabs(json_get_real(row, "mean", 0));
	double allowed = relative ? limit * mean : limit, least = relative && mean > 0 ? 100 * floor / mean : floor;

	if (allowed >= floor - 1e-12)
		return 0;
	err_set(ERR_INPUT,
		"%s%s.%s: %s %g%s is beneath the noise floor: %lld runs of commit %.12s differ from each other by up "
		"to "
		"%.3g%s",
		whose, r->task, r->metric, name, relative ? limit * 100 : limit, relative ? "%" : "",
		(long long)json_get_int(calibration, "runs", 0), json_get_text(calibration, "commit", "?"), least,
		relative ? "%" : "");
	return err_hint(ERR_INPUT, "allow at least %.3g%s, add samples, or calibrate again: assay calibrate",
			ceil(least * 1000) / 1000, relative ? "%" : "");
}

int calibration_check(struct run *run, const struct gate_policy *policy, const char *whose)
{
	json_t *calibration;
	int rc = calibration_find(run, &calibration);

	for (size_t i = 0; calibration && i < policy->n && rc == 0; i++) {
		const struct gate_rule *r = &policy->rules[i];
		const json_t *row = calibration_metric(calibration, run, r->task, r->metric, r->filter);

		if (row && r->has_drop)
			rc = check_limit(calibration, row, r, r->drop, r->drop_relative, "max_drop", whose);
		if (rc == 0 && row && r->has_increase)
			rc = check_limit(calibration, row, r, r->increase, r->increase_relative, "max_increase", whose);
	}
	json_decref(calibration);
	return rc;
}

/* ---- measuring ------------------------------------------------------------------------------------------------------ */

static const struct metric *metric_of(const struct task_result *const *tasks, size_t n, const struct task_result *like,
				      const struct metric *m)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(tasks[i]->task, like->task) == 0)
			return task_result_metric(tasks[i], m->name, m->filter);
	return NULL;
}

/* Mean and standard deviation of a metric's value over the replicates. False: one of them lacks it. */
static bool value_moments(const struct task_result *const *const *results, const size_t *n, size_t k,
			  const struct task_result *t, const struct metric *m, double *mean, double *sd)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < k; i++) {
		const struct metric *x = metric_of(results[i], n[i], t, m);

		if (!x || !isfinite(x->value))
			return false;
		sum += x->value;
	}
	*mean = sum / (double)k;
	for (size_t i = 0; i < k; i++) {
		double d = metric_of(results[i], n[i], t, m)->value - *mean;

		squares += d * d;
	}
	*sd = sqrt(squares / (double)(k - 1));
	return true;
}

/* Lost and won, and the variance of a sample's difference, over all pairs of replicates: sums into the metrics' rows. */
static int add_pairs(json_t *rows, const struct task_result *const *const *results, const size_t *n, size_t k)
{
	struct gate_policy none;
	struct gate_result g;
	int rc = 0;

	gate_policy_init(&none);
	for (size_t i = 0; i < k && rc == 0; i++)
		for (size_t j = i + 1; j < k && rc == 0; j++) {
			const struct gate_input in = {
				.candidate = results[j], .n_candidate = n[j], .baseline = results[i], .n_baseline = n[i]
			};

			rc = gate_decide(&g, &none, &in);
			for (size_t x = 0; x < g.n && rc == 0; x++) {
				const struct gate_result_rule *r = &g.rules[x];
				char *name = mem_printf("%s\n%s\n%s", r->task, r->metric, r->filter);
				json_t *row = json_object_get(rows, name);

				free(name);
				if (!row || !r->n)
					continue;
				json_object_set_new(row, "flips",
						    json_real(json_get_real(row, "flips", 0) +
							      (double)(r->lost + r->won) / (double)r->n));
				if (isfinite(gate_row_variance(r, g.confidence)))
					json_object_set_new(row, "spread",
							    json_real(json_get_real(row, "spread", 0) +
								      gate_row_variance(r, g.confidence)));
			}
			if (rc == 0)
				gate_result_release(&g);
		}
	gate_policy_release(&none);
	return rc;
}

/* How often the policy's rules, floors apart from a baseline too, fail a commit beside itself. */
static int add_policy(json_t *out, const struct run *run, const struct task_result *const *const *results,
		      const size_t *n, size_t k)
{
	struct gate_policy policy = run->questions->gate; /* borrowed, without what the training data decides */
	int64_t passed = 0, failed = 0, all = 0;
	int rc = 0;

	policy.has_overlap = false;
	for (size_t i = 0; i < k && rc == 0; i++)
		for (size_t j = 0; j < k && rc == 0; j++) {
			const struct gate_input in = {
				.candidate = results[j], .n_candidate = n[j], .baseline = results[i], .n_baseline = n[i]
			};
			struct gate_result g;

			if (i == j)
				continue;
			rc = gate_decide(&g, &policy, &in);
			if (rc)
				break;
			all++;
			passed += g.verdict == VERDICT_PASS;
			failed += g.verdict == VERDICT_FAIL;
			gate_result_release(&g);
		}
	if (rc == 0)
		json_object_set_new(out, "policy",
				    json_pack("{s:I,s:I,s:I}", "comparisons", (json_int_t)all, "passed",
					      (json_int_t)passed, "failed", (json_int_t)failed));
	return rc;
}

int calibration_measure(json_t **out, const struct run *run, const struct task_result *const *const *results,
			const size_t *n, size_t k)
{
	double confidence = run->questions->gate.confidence, pairs = (double)k * (double)(k - 1) / 2, mean, sd;
	json_t *rows = json_object(), *list = json_array(), *row;
	const char *name;
	int rc;

	for (size_t t = 0; t < n[0]; t++)
		for (size_t m = 0; m < results[0][t]->n_metrics; m++) {
			const struct task_result *task = results[0][t];
			const struct metric *x = &task->metrics[m];
			char *key = mem_printf("%s\n%s\n%s", task->task, x->name, x->filter);

			if (value_moments(results, n, k, task, x, &mean, &sd))
				json_object_set_new(rows, key,
						    json_pack("{s:s,s:s,s:s,s:s,s:I,s:f,s:f,s:f,s:f,s:f,s:b}", "task",
							      task->task, "digest", task->digest, "metric", x->name,
							      "filter", x->filter, "n", (json_int_t)task->n, "mean",
							      mean, "sd", sd, "flips", 0.0, "spread", 0.0, "floor",
							      gate_noise_floor(sd, k, confidence), "binary",
							      x->binary));
			free(key);
		}
	rc = add_pairs(rows, results, n, k);
	json_object_foreach(rows, name, row)
	{
		bool binary = json_get_flag(row, "binary", false);

		json_object_set_new(row, "flips",
				    binary ? json_real(json_get_real(row, "flips", 0) / pairs) : json_null());
		json_object_set_new(row, "spread", json_real(sqrt(json_get_real(row, "spread", 0) / pairs)));
		json_object_del(row, "binary");
		json_array_append(list, row);
	}
	json_decref(rows);
	*out = json_pack("{s:I,s:s,s:f,s:o,s:n}", "runs", (json_int_t)k, "commit", run->commit.oid, "confidence",
			 confidence, "metrics", list, "policy");
	if (rc == 0 && run->questions->has_gate)
		rc = add_policy(*out, run, results, n, k);
	if (rc) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}
