/* cmd_plan.c: `assay plan`: the first two steps of a run, and what they found. */
#include "base/base.h"
#include "runner/cmd.h"
#include "runner/evaluate.h"
#include "runner/plan_memory.h"
#include "runner/plan_power.h"
#include "runner/print.h"
#include "runner/runner.h"

static const char *model_source(const struct run *run)
{
	if (*run->object && strcmp(run->object, run->baseline.object) == 0)
		return "reuse: nothing of the product has changed since the baseline";
	if (*run->object)
		return "reuse: trained before from the same inputs";
	if (!run->may_train)
		return "left to CI: this profile trains nothing";
	return run->product->finetune.present ? "train" : "load";
}

static bool eval_known(const struct run *run, const struct run_suite *s)
{
	char key[DIGEST_HEX];
	json_t *row = NULL;
	bool known;

	if (!*run->object)
		return false;
	evaluate_key(run, s, run->object, run->prompt_oid, key);
	known = registry_stage(run->home->registry, "eval", key, run->event.trust, &row) == 0;
	json_decref(row);
	err_clear();
	return known;
}

json_t *plan_json(const struct run *run)
{
	json_t *suites = json_array(), *data = json_array();

	for (size_t i = 0; i < run->n_suites; i++) {
		const struct run_suite *s = &run->suites[i];
		size_t docs = 0;

		for (size_t t = 0; t < suite_tasks(s->suite); t++)
			docs += suite_task_docs(s->suite, t);
		json_array_append_new(suites, json_pack("{s:s,s:s,s:I,s:I,s:b}", "suite", suite_name(s->suite), "path",
							s->path, "tasks", (json_int_t)suite_tasks(s->suite), "samples",
							(json_int_t)docs, "known", eval_known(run, s)));
	}
	for (size_t i = 0; i < run->n_data; i++)
		json_array_append_new(data, json_pack("{s:s,s:s,s:I,s:I}", "path", run->data[i].path, "digest",
						      run->data[i].oid, "rows", (json_int_t)run->data[i].rows, "bytes",
						      (json_int_t)run->data[i].bytes));
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:s?,s:O,s:O?,s:o,s:s?}", "commit", run->commit.oid,
			 "model", run->questions->model, "trust", trust_name(run->event.trust), "policy",
			 run->have_target_config ? run->target.oid : "candidate", "numerics", run->numerics,
			 "train_key", run->train_key, "train", model_source(run), "baseline",
			 run->baseline.found ? json_pack("{s:s,s:i,s:s}", "name", run->baseline.name, "version",
							 run->baseline.version, "run", run->baseline.run)
					     : json_null(),
			 "suites", suites, "data", data, "alias", run->alias, "notes", run->notes, "overlap",
			 run->overlap, "memory", plan_memory_json(run), "method", run->method);
}

/* Only where there is any: "overlap   sums: 8 of 8 documents stand in the training data …". */
static void print_overlap(const struct run *run)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(run->overlap, "tasks"), i, row)
	{
		int64_t documents = json_get_int(row, "documents", 0);

		if (documents)
			printf("overlap   %s: %lld of %lld documents stand in the training data (%lld exact, %lld by a "
			       "13-gram)\n",
			       json_get_text(row, "task", ""), (long long)documents,
			       (long long)json_get_int(row, "n", 0), (long long)json_get_int(row, "exact", 0),
			       (long long)json_get_int(row, "ngram", 0));
	}
}

static void print_plan(const struct run *run, const json_t *plan)
{
	static const char *const data_columns[] = { "path:data", "rows:>rows", "bytes:>bytes", "digest:digest" };
	static const char *const suite_columns[] = { "suite:suite", "tasks:>tasks", "samples:>samples",
						     "known:known already" };
	json_t *note;
	size_t i;

	printf("commit    %.12s  ", run->commit.oid);
	log_safe(stdout, run->commit.subject, strlen(run->commit.subject));
	printf("\nmodel     %s  (%s%s%s)\n", run->questions->model, json_get_text(plan, "train", ""),
	       run->method ? ": " : "", run->method ? run->method : "");
	printf("policy    %s\n", run->have_target_config ? run->target.oid : "the candidate's own");
	if (run->baseline.found)
		printf("baseline  %s: v%d of run %.12s\n", run->baseline.name, run->baseline.version,
		       run->baseline.run);
	else
		printf("baseline  none: %s\n", run->baseline.why);
	if (run->alias)
		printf("alias     %s@%s, now %s%.0d; a PASS moves it in a protected run, a push through the hook "
		       "proposes it\n",
		       run->questions->model, run->alias, run->alias_version ? "v" : "nothing", run->alias_version);
	printf("numerics  %s\n", run->numerics);
	plan_memory_print(run);
	print_overlap(run);
	if (run->n_data) {
		putchar('\n');
		print_table(json_object_get(plan, "data"), data_columns, ARRAY_LEN(data_columns));
	}
	putchar('\n');
	print_table(json_object_get(plan, "suites"), suite_columns, ARRAY_LEN(suite_columns));
	if (json_is_object(json_object_get(plan, "gate")))
		plan_power_print(json_object_get(plan, "gate"));
	json_array_foreach(run->notes, i, note)
	{
		fputs("\nnote: ", stdout);
		log_safe(stdout, json_string_value(note), json_string_length(note));
	}
	if (json_array_size(run->notes))
		putchar('\n');
}

int cmd_plan(int argc, char **argv)
{
	struct run_options o;
	struct event event;
	struct place place;
	struct run run;
	int rc;

	run_options_init(&o);
	o.until = "plan";
	const struct opt opts[] = {
		OPT_FLAG(0, "dirty", &o.dirty, "plan for the work tree as it is"),
		OPT_TEXT(0, "profile", &o.profile, "NAME", "a profile of the policy"),
		{ OPT_KIND_TEXT, 0, "target", &o.target, "REV", "the commit whose questions decide", OPT_NO_ENV },
		OPT_TEXT(0, "device", &o.device, "DEV", "auto, cpu or cuda[:N][/CLASS]"),
		OPT_REAL('n', "limit", &o.limit, "N", "at most N samples a task (0: all); below 1: a share of them"),
		OPT_TEXT(0, "memory", &o.memory, "SIZE", "use at most so much memory, such as 4G"),
		OPT_TEXT(0, "datasets", &o.datasets, "DIR", "a folder of data sets, for tasks that name one"),
		OPT_FLAG('j', "json", &o.json, "print one JSON document on standard output"),
		OPT_END,
	};
	const struct opt_usage usage = { "plan",
					 "[REV]",
					 "what would run, what is known already and why; runs nothing",
					 "  assay plan\n  assay plan feature --json",
					 0,
					 1 };

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = check_run_options(&o);
	if (rc)
		return rc;
	o.rev = argc ? argv[0] : NULL;
	rc = place_open(&place);
	if (rc == 0 && !place.repo)
		rc = err_set(ERR_INPUT, "assay plan needs a git repository");
	if (rc == 0)
		rc = event_detect(&event, place.repo, o.target);
	if (rc == 0) {
		rc = run_push(&run, &o, place.repo, &place.home, &event);
		if (run.failed) {
			rc = err_set(run.failed, "%s", run.fail_text);
			if (run.fail_hint)
				err_hint(rc, "%s", run.fail_hint);
		} else {
			json_t *plan = plan_json(&run), *power = NULL;

			rc = plan_power_json(&run, &power);
			json_object_set_new(plan, "gate", power ? power : json_null());
			if (rc == 0 && o.json)
				print_json(plan);
			else if (rc == 0)
				print_plan(&run, plan);
			json_decref(plan);
		}
		run_release(&run);
		event_release(&event);
	}
	place_close(&place);
	return rc;
}
