/* step_report.c: the report of a run: made from its record, so that `assay show` months later says the same. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/report_slices.h"
#include "runner/runner.h"
#include "runner/samples_store.h"

#define BROKEN_MAX 50

/* ---- samples that broke ------------------------------------------------------------------------------------------------------ */

struct broken {
	json_t *list;
	int64_t broke, fixed;
};

static json_t *sample_json(const struct task_result *c, const struct sample *before, const struct sample *after)
{
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "task", c->task, "id", after->id, "prompt",
			 json_new_text(after->prompt, strlen(after->prompt)), "target",
			 json_new_text(after->target, strlen(after->target)), "before",
			 json_new_text(before->response, before->response_len), "after",
			 json_new_text(after->response, after->response_len));
}

/* Pairs by id over the task's first 0/1 metric. */
static int compare_task(struct broken *b, struct task_result *base, struct task_result *cand)
{
	const struct metric *mb = NULL, *mc = NULL;
	struct map ids;
	int64_t at;
	int rc = 0;

	for (size_t m = 0; m < cand->n_metrics && !mc; m++)
		if (cand->metrics[m].binary && (mb = task_result_metric(base, cand->metrics[m].name, NULL)) != NULL)
			mc = &cand->metrics[m];
	if (!mc)
		return 0;
	map_init(&ids);
	for (size_t i = 0; i < base->n; i++)
		map_put(&ids, base->samples[i].id, strlen(base->samples[i].id), (int64_t)i);
	for (size_t i = 0; i < cand->n && !rc; i++) {
		const struct sample *s = &cand->samples[i];

		if (!map_get(&ids, s->id, strlen(s->id), &at))
			continue;
		if (mb->scores[at] > mc->scores[i]) {
			b->broke++;
			if (json_array_size(b->list) >= BROKEN_MAX)
				continue;
			rc = task_result_text(base, (size_t)at);
			rc = rc ? rc : task_result_text(cand, i);
			if (!rc)
				json_array_append_new(b->list, sample_json(cand, &base->samples[at], s));
		} else if (mb->scores[at] < mc->scores[i]) {
			b->fixed++;
		}
	}
	map_release(&ids);
	return rc;
}

static const char *object_of(const json_t *samples, const char *task)
{
	json_t *row;
	size_t i;

	json_array_foreach(samples, i, row) if (strcmp(json_get_text(row, "task", ""), task) ==
						0) return json_get_text(row, "object", NULL);
	return NULL;
}

static bool has_failed(const json_t *record, const char *task)
{
	json_t *rule;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(record, "gate"), "rules"), i,
			   rule) if (json_get_flag(rule, "gated", false) &&
				     !strcmp(json_get_text(rule, "task", ""), task) &&
				     !strcmp(json_get_text(rule, "verdict", ""), "FAIL")) return true;
	return false;
}

static int compare_one(struct broken *b, struct home *h, const json_t *row, const char *base_object)
{
	const char *object = json_get_text(row, "object", "");
	struct task_result base = { 0 }, cand = { 0 };
	int rc;

	if (!base_object || strcmp(object, base_object) == 0)
		return 0;
	rc = samples_open(&cand, h->store, object, false);
	if (rc == 0)
		rc = samples_open(&base, h->store, base_object, false);
	if (rc == 0)
		rc = compare_task(b, &base, &cand);
	task_result_release(&base);
	task_result_release(&cand);
	return rc;
}

static int compare_samples(json_t **out, struct home *h, const json_t *record)
{
	struct broken b = { json_array(), 0, 0 };
	const json_t *base_samples = json_object_get(json_object_get(record, "baseline"), "samples");
	json_t *row;
	size_t i;
	int rc = 0;

	for (int pass = 0; pass < 2; pass++) /* tasks with a failed rule first */
		json_array_foreach(json_object_get(record, "samples"), i,
				   row) if (rc == 0 &&
					    has_failed(record, json_get_text(row, "task", "")) == (pass == 0)) rc =
			compare_one(&b, h, row, object_of(base_samples, json_get_text(row, "task", "")));
	*out = json_pack("{s:o,s:I,s:I}", "broken", b.list, "n_broken", (json_int_t)b.broke, "n_fixed",
			 (json_int_t)b.fixed);
	return rc;
}

/* ---- the document --------------------------------------------------------------------------------------------------------------- */

static const json_t *find_metric(const json_t *list, const json_t *like)
{
	json_t *row;
	size_t i;

	json_array_foreach(
		list, i,
		row) if (!strcmp(json_get_text(row, "task", ""), json_get_text(like, "task", "?")) &&
			 !strcmp(json_get_text(row, "metric", ""), json_get_text(like, "metric", "?")) &&
			 !strcmp(json_get_text(row, "filter", ""), json_get_text(like, "filter", "?"))) return row;
	return NULL;
}

/* The metrics of the run, each with the baseline's value from the gate's rules. */
static json_t *metrics_json(const json_t *record, const json_t *rules)
{
	json_t *list = json_array(), *row;
	size_t i;

	json_array_foreach(json_object_get(record, "metrics"), i, row)
	{
		if (strncmp(json_get_text(row, "metric", ""), "overlap", 7) == 0)
			continue; /* told in a part of its own */
		json_t *copy = json_copy(row);
		const json_t *rule = find_metric(rules, row);
		json_t *base = rule ? json_object_get(rule, "baseline") : NULL;

		json_object_set_new(copy, "baseline", base ? json_incref(base) : json_null());
		json_array_append_new(list, copy);
	}
	return list;
}

static json_t *copy_or_null(const json_t *obj, const char *key)
{
	json_t *v = json_object_get(obj, key);

	return v ? json_incref(v) : json_null();
}

static json_t *training_json(const json_t *record)
{
	json_t *t = json_object_get(record, "training"), *copy, *step;
	bool reused = false;
	size_t i;

	if (!json_is_object(t))
		return json_null();
	json_array_foreach(json_object_get(record, "steps"), i,
			   step) if (strcmp(json_get_text(step, "name", ""), "train") == 0) reused =
		strcmp(json_get_text(step, "status", ""), "reused") == 0;
	copy = json_copy(t);
	json_object_set_new(copy, "reused", json_boolean(reused));
	return copy;
}

int report_of_record(json_t **report, struct home *h, const char *id, const json_t *record)
{
	static const char *const same[] = { "model",   "commit",   "subject", "branch", "trust",    "verdict", "exit",
					    "blocks",  "sentence", "seconds", "tool",   "baseline", "policy",  "steps",
					    "version", "notes",    "created", "error",  "datasets", "overlap" };
	json_t *r = json_object(), *rules = json_object_get(json_object_get(record, "gate"), "rules"), *samples = NULL,
	       *slices = NULL;
	int rc;

	json_object_set_new(r, "format", json_string("assay-report/1"));
	json_object_set_new(r, "run", *id ? json_string(id) : json_null());
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		json_object_set_new(r, same[i], copy_or_null(record, same[i]));
	json_object_set_new(r, "rules", rules ? json_incref(rules) : json_array());
	json_object_set_new(r, "metrics", metrics_json(record, rules));
	json_object_set_new(r, "training", training_json(record));
	rc = compare_samples(&samples, h, record);
	json_object_set_new(r, "samples", samples);
	if (rc == 0) {
		rc = report_slices(&slices, h, record);
		json_object_set_new(r, "slices", slices);
	}
	json_object_set_new(r, "promotion", json_null());
	if (rc)
		json_decref(r);
	else
		*report = r;
	return rc;
}

static int write_files(const struct run *run)
{
	struct buf text = BUF_INIT((size_t)64 << 20);
	char *path = path_join(run->options->report_dir, "report.json");
	int rc;

	json_add_pretty(&text, run->report);
	rc = fs_write(path, text.data, text.len);
	free(path);
	buf_clear(&text);
	report_markdown(run->report, &text, 60000);
	path = path_join(run->options->report_dir, "report.md");
	if (rc == 0)
		rc = fs_write(path, text.data, text.len);
	free(path);
	buf_clear(&text);
	report_annotations(run->report, &text);
	path = path_join(run->options->report_dir, "annotations.txt");
	if (rc == 0)
		rc = fs_write(path, buf_str(&text), text.len);
	free(path);
	buf_release(&text);
	return rc;
}

static void set_step(json_t *report, enum run_step which, enum step_status status, double seconds)
{
	json_t *step = json_array_get(json_object_get(report, "steps"), which);

	json_object_set_new(step, "status", json_string(step_status_name(status)));
	json_object_set_new(step, "seconds", json_real(seconds));
}

int step_report(struct run *run)
{
	double start = clock_seconds();
	int rc;

	if (!run->record)
		return 0;
	rc = report_of_record(&run->report, run->home, run->id, run->record);
	if (rc)
		return rc;
	/* what is only known now: the end of the last two steps, and what became of the alias */
	set_step(run->report, RUN_RECORD, run->steps[RUN_RECORD].status, run->steps[RUN_RECORD].seconds);
	set_step(run->report, RUN_REPORT, STEP_DONE, clock_seconds() - start);
	if (run->promotion)
		json_object_set(run->report, "promotion", run->promotion);
	return run->options->report_dir ? write_files(run) : 0;
}
