/* cmd_run.c: `assay run` and `assay plan`, the same steps to different ends. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/budget.h"
#include "runner/cmd.h"
#include "runner/crew.h"
#include "runner/evaluate.h"
#include "runner/parts.h"
#include "runner/print.h"
#include "runner/runner.h"

#include <sys/ioctl.h>
#include <unistd.h>

int terminal_width(void)
{
	struct winsize w;
	const char *columns = getenv("COLUMNS");

	if (columns && strtol(columns, NULL, 10) > 20)
		return (int)strtol(columns, NULL, 10);
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20)
		return w.ws_col;
	return 100;
}

void print_report(const json_t *report, FILE *f)
{
	const struct report_term how = { terminal_width(), isatty(fileno(f)) && log_has_colour() };
	struct buf text = BUF_INIT((size_t)16 << 20);

	report_terminal(report, &text, &how);
	fwrite(buf_str(&text), 1, text.len, f);
	buf_release(&text);
}

/* The document of `assay run --json`. */
json_t *run_json(const struct run *run, int exit_code)
{
	const json_t *record = run->record;
	json_t *version = json_object_get(record, "version"), *steps = json_array(), *out;
	bool made = json_is_object(version) && !json_get_flag(version, "again", false);
	bool judged = run->failed || run->have_gate; /* not with --until a step before the gate */
	enum verdict v = run->failed || !run->have_gate ? VERDICT_ERROR : run->gate.verdict;
	char *report = run->options->report_dir ? path_join(run->options->report_dir, "report.md") : NULL;

	for (size_t i = 0; i < RUN_STEPS; i++)
		json_array_append_new(steps, json_pack("{s:s,s:s,s:f}", "name", run_step_name(i), "status",
						       step_status_name(run->steps[i].status), "seconds",
						       run->steps[i].seconds));
	out = json_pack("{s:o,s:s,s:o,s:i,s:s,s:o,s:O?,s:O?,s:o,s:O?,s:O?}", "run",
			*run->id ? json_string(run->id) : json_null(), "commit", run->commit.oid, "verdict",
			judged ? json_string(verdict_name(v)) : json_null(), "exit", exit_code, "trust",
			trust_name(run->event.trust), "steps", steps, "metrics", json_object_get(record, "metrics"),
			"version", made ? version : NULL, "report", report ? json_string(report) : json_null(),
			"baseline", json_object_get(record, "baseline"), "promotion", run->promotion);
	if (out && !json_object_get(out, "version"))
		json_object_set_new(out, "version", json_null());
	if (out && json_is_object(json_object_get(record, "shard")))
		json_object_set(out, "shard", json_object_get(record, "shard"));
	if (out && run->stopped)
		json_object_set(out, "stopped", run->stopped);
	if (out && run->failed)
		json_object_set_new(out, "error", json_string(run->fail_text));
	free(report);
	return out;
}

/* A run that failed tells why once, here, and not again in main(). */
static void print_failure(const struct run *run)
{
	log_error("%s", run->fail_text);
	if (run->fail_hint)
		fprintf(stderr, "  fix: %s\n", run->fail_hint);
}

int run_and_print(const struct run_options *o, struct repo *repo, struct home *home, struct event *event)
{
	struct run run;
	int code;

	run_stop_on_signals();
	code = run_push(&run, o, repo, home, event);
	if (run.failed)
		print_failure(&run);
	if (o->json) {
		json_t *doc = run_json(&run, code);

		print_json(doc);
		json_decref(doc);
	} else if (!run.failed && run.report) {
		print_report(run.report, stdout);
	}
	run_release(&run);
	return code;
}

static bool is_step(const char *name)
{
	for (size_t i = 0; i < RUN_STEPS; i++)
		if (strcmp(run_step_name(i), name) == 0)
			return true;
	return false;
}

int check_run_options(const struct run_options *o)
{
	uint64_t bytes;
	int rc;

	if (o->until && !is_step(o->until))
		return err_set(ERR_USAGE, "--until %s: read, plan, train, eval, gate, record or report", o->until);
	if (o->batch_tokens < 1 || o->batch_tokens > 1 << 24)
		return err_set(ERR_USAGE, "--batch-tokens: 1 to 16777216");
	if ((rc = evaluate_limit_check(o->limit)))
		return rc;
	if (o->threads < 0 || o->threads > 4096)
		return err_set(ERR_USAGE, "--threads: 0 (all) to 4096");
	if (o->memory && (rc = budget_parse(&bytes, o->memory)))
		return rc;
	return o->wait_s >= 0 ? 0 : err_set(ERR_USAGE, "--wait: 0 or more seconds");
}

int cmd_run(int argc, char **argv)
{
	struct run_options o;
	const char *shard = NULL;
	struct event event;
	struct place place;
	int rc;

	run_options_init(&o);
	const struct opt opts[] = {
		OPT_FLAG(0, "dirty", &o.dirty, "judge the work tree as it is, not the commit; makes no version"),
		OPT_TEXT(0, "profile", &o.profile, "NAME", "a profile of the policy, such as pre-push"),
		OPT_TEXT(0, "report-dir", &o.report_dir, "DIR", "write the report there, in every form"),
		{ OPT_KIND_TEXT, 0, "target", &o.target, "REV",
		  "the commit whose questions decide (default: from the event)", OPT_NO_ENV },
		OPT_TEXT(0, "device", &o.device, "DEV",
			 "auto, cpu or cuda[:N][/CLASS]; to train on several: cuda:0,1 or cuda:all"),
		OPT_INT(0, "threads", &o.threads, "N", "threads of the CPU back end (default: all)"),
		OPT_REAL('n', "limit", &o.limit, "N",
			 "at most N samples a task (0: all), below 1 a share; makes no version"),
		OPT_TEXT(0, "shard", &shard, "I/N",
			 "evaluate every N-th document from the I-th on; the run behind judges"),
		OPT_INT(0, "batch-tokens", &o.batch_tokens, "N", "tokens scored at a time; changes no result"),
		OPT_TEXT(0, "memory", &o.memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_TEXT(0, "datasets", &o.datasets, "DIR", "a folder of data sets, for tasks that name one"),
		OPT_FLAG(0, "judge", &o.judge, "ask the judges that tasks name: over the network, at a cost"),
		OPT_REAL(0, "wait", &o.wait_s, "SECONDS", "how long to wait for another run of the same work"),
		OPT_TEXT(0, "until", &o.until, "STEP", "stop behind a step: read plan train eval gate record"),
		OPT_FLAG('j', "json", &o.json, "print one JSON document on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"run",
		"[REV]",
		"the whole pipeline on a commit",
		"Reads the commit, trains or reuses the model, evaluates the suites, gates against the baseline, "
		"records the\n"
		"run and reports. Nothing that is known already is run again.\n\n"
		"  assay run                     HEAD\n"
		"  assay run feature~2 --json    another commit, for a script\n"
		"  assay run --dirty -n 50       a quick look at uncommitted work\n\n"
		"Exit codes: 0 passed, 1 gate failed, 2 undecided and the policy blocks on it, 64 and above an error.",
		0,
		1
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = report_dir_clear(o.report_dir);
	if (rc == 0)
		rc = check_run_options(&o);
	if (rc == 0 && shard)
		rc = parse_shard(shard, &o.shard, &o.shards);
	if (rc)
		return rc;
	o.rev = argc ? argv[0] : NULL;
	rc = place_open(&place);
	if (rc == 0 && !place.repo)
		rc = err_set(ERR_INPUT, "assay run needs a git repository");
	if (rc == 0 && crew_is_hand()) {
		rc = crew_serve(o.device, (int)o.threads, store_home(place.home.store));
		place_close(&place);
		return rc;
	}
	if (rc == 0 && (rc = crew_open(&o.crew, o.device, store_home(place.home.store))) == 0)
		o.device = crew_device(o.crew);
	if (rc == 0 && home_is_passing())
		log_warn("what this run makes lies in the clone, which a fresh runner does not keep: set ASSAY_HOME to "
			 "a "
			 "folder that the job's cache or the runner keeps");
	if (rc == 0)
		rc = event_detect(&event, place.repo, o.target);
	if (rc == 0) {
		rc = run_and_print(&o, place.repo, &place.home, &event);
		event_release(&event);
	}
	crew_close(o.crew, true);
	place_close(&place);
	return rc;
}
