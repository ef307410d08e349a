/* cmd_calibrate.c: `assay calibrate [REV]`: one commit, k times with other random numbers, to learn what is noise.
 *
 * A replicate is a run up to its scores: the seeds of the training (and of fresh weights, and of answers that are drawn) are
 * the commit's plus the replicate's number; replicate 0 is the commit as it is. All are kept as stages of one record, so that
 * a calibration with more replicates begins where the last one ended, and nothing of it is judged or promoted. */
#include "base/base.h"
#include "runner/calibration.h"
#include "runner/cmd.h"
#include "runner/print.h"

enum { REPLICATES_MAX = 100 };

struct replicates {
	struct run *runs;
	const struct task_result ***results; /* of each */
	size_t *n, done;
	json_t *stages;
};

static void gather(struct replicates *r, size_t i)
{
	struct run *run = &r->runs[i];
	json_t *stages = run_stages(run);
	size_t total = 0;

	evaluate_close(run); /* one model at a time */
	for (size_t s = 0; s < run->n_suites; s++)
		total += run->suites[s].n_tasks;
	r->results[i] = mem_array(total + 1, sizeof(*r->results[i]));
	for (size_t s = 0; s < run->n_suites; s++)
		for (size_t t = 0; t < run->suites[s].n_tasks; t++)
			r->results[i][r->n[i]++] = &run->suites[s].tasks[t];
	if (i > 0) /* the first brings its own */
		json_array_extend(r->stages, stages);
	json_decref(stages);
}

/* The failure of a run becomes the command's. */
static int replicate(struct replicates *r, size_t i, const struct run_options *o, struct place *p,
		     const struct event *event)
{
	struct run *run = &r->runs[i];

	run_push(run, o, p->repo, &p->home, event);
	r->done++;
	if (run->failed) {
		int rc = err_set(run->failed, "replicate %zu: %s", i, run->fail_text);

		if (run->fail_hint)
			err_hint(rc, "%s", run->fail_hint);
		return rc;
	}
	if (run->left_to_ci)
		return err_set(ERR_INPUT, "this profile trains nothing, so there is nothing to calibrate");
	gather(r, i);
	return 0;
}

static void replicates_release(struct replicates *r, size_t k)
{
	for (size_t i = 0; i < r->done; i++)
		run_release(&r->runs[i]);
	for (size_t i = 0; i < k; i++)
		free(r->results[i]);
	free(r->runs);
	free(r->results);
	free(r->n);
	json_decref(r->stages);
}

/* One record: the first replicate's run, with the stages of all and what came of it. It judged nothing. */
static int keep(struct replicates *r, json_t *output)
{
	struct run *run = &r->runs[0];
	const json_t *policy = json_object_get(output, "policy");

	run->left_to_ci = true; /* no version, no alias */
	run->gate = (struct gate_result){ .verdict = VERDICT_INCONCLUSIVE,
					  .confidence = run->questions->gate.confidence,
					  .sentence = mem_printf("calibrated on %lld replicates; nothing was judged",
								 (long long)json_get_int(output, "runs", 0)) };
	run->have_gate = true;
	run->more_stages = json_incref(r->stages);
	json_array_append_new(run->more_stages, calibration_stage(run, json_incref(output)));
	if (json_is_object(policy))
		run_note(run, "the gate failed %lld of %lld comparisons of this commit with itself",
			 (long long)json_get_int(policy, "failed", 0),
			 (long long)json_get_int(policy, "comparisons", 0));
	return step_record(run);
}

static void print_calibration(const json_t *output)
{
	static const char *const columns[] = { "task:task", "metric:metric", "n:>samples",        "mean:>mean",
					       "sd:>sd",    "flips:>flips",  "floor:>noise floor" };
	const json_t *policy = json_object_get(output, "policy");

	print_table(json_object_get(output, "metrics"), columns, ARRAY_LEN(columns));
	printf("\nnoise floor: two runs of this commit differ by at most so much, with %g %% confidence (%lld "
	       "replicates)\n",
	       100 * json_get_real(output, "confidence", 0), (long long)json_get_int(output, "runs", 0));
	if (json_is_object(policy))
		printf("false alarms: the gate passed %lld and failed %lld of %lld comparisons of this commit with "
		       "itself\n",
		       (long long)json_get_int(policy, "passed", 0), (long long)json_get_int(policy, "failed", 0),
		       (long long)json_get_int(policy, "comparisons", 0));
}

static int calibrate(const struct run_options *options, struct place *p, size_t k, bool json)
{
	struct replicates r = { .runs = mem_array(k, sizeof(*r.runs)),
				.results = mem_array(k, sizeof(*r.results)),
				.n = mem_array(k, sizeof(*r.n)),
				.stages = json_array() };
	struct run_options *o = mem_array(k, sizeof(*o));
	struct event event;
	json_t *output = NULL;
	int rc = event_detect(&event, p->repo, NULL);

	if (rc == 0) {
		run_stop_on_signals();
		for (size_t i = 0; rc == 0 && i < k; i++) {
			o[i] = *options;
			o[i].replicate = (int64_t)i;
			log_info("replicate %zu of %zu", i + 1, k);
			rc = replicate(&r, i, &o[i], p, &event);
		}
		if (rc == 0)
			rc = calibration_measure(&output, &r.runs[0],
						 (const struct task_result *const *const *)r.results, r.n, k);
		if (rc == 0)
			o[0].profile = CALIBRATE_PROFILE; /* by which it is known, and no baseline */
		if (rc == 0)
			rc = keep(&r, output);
		if (rc == 0 && json)
			print_json(output);
		else if (rc == 0)
			print_calibration(output);
		event_release(&event);
	}
	replicates_release(&r, k);
	free(o);
	json_decref(output);
	return rc;
}

int cmd_calibrate(int argc, char **argv)
{
	struct run_options o;
	struct place place;
	int64_t k = 5;
	int rc;

	run_options_init(&o);
	o.until = "eval";
	o.calibrates = true;
	const struct opt opts[] = {
		OPT_INT('k', "runs", &k, "K", "how many times, with the commit as it is (5)"),
		OPT_TEXT(0, "device", &o.device, "DEV", "auto, cpu or cuda[:N]"),
		OPT_INT(0, "threads", &o.threads, "N", "threads of the CPU back end (default: all)"),
		OPT_INT(0, "batch-tokens", &o.batch_tokens, "N", "tokens scored at a time (4096); changes no result"),
		OPT_TEXT(0, "memory", &o.memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_TEXT(0, "datasets", &o.datasets, "DIR", "a folder of data sets, for tasks that name one"),
		OPT_FLAG('j', "json", &o.json, "print one JSON document on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"calibrate",
		"[REV]",
		"run one commit several times: what differs is noise",
		"Trains and asks the commit K times with other random numbers. What its scores differ by is the noise "
		"floor:\n"
		"a max_drop beneath it fails models that are as good, and is refused from then on.\n\n"
		"  assay calibrate -k 5",
		0,
		1
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (k < 2 || k > REPLICATES_MAX)
		return err_set(ERR_USAGE, "--runs: 2 to %d; a bound from few is wide", REPLICATES_MAX);
	rc = check_run_options(&o);
	if (rc)
		return rc;
	o.rev = argc ? argv[0] : NULL;
	rc = place_open(&place);
	if (rc == 0 && !place.repo)
		rc = err_set(ERR_INPUT, "assay calibrate needs a git repository");
	if (rc == 0)
		rc = calibrate(&o, &place, (size_t)k, o.json);
	place_close(&place);
	return rc;
}
