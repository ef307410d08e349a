/* cmd_show.c: `assay show` and `samples`: stored runs, looked at again. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/cmd.h"
#include "runner/harness_folder.h"
#include "runner/print.h"
#include "runner/runner.h"
#include "runner/samples_store.h"
#include "runner/trend.h"

static int find(struct place *place, const char *name, char id[DIGEST_HEX], json_t **record)
{
	int rc = place_run(place, name, id);

	return rc ? rc : registry_run(place->home.registry, id, record);
}

/* The learning curve from the registry, as a table or as JSON. */
static int print_curve(struct place *place, const char *id, bool json)
{
	static const char *const columns[] = { "kind:kind", "step:>step",          "loss:>loss",
					       "lr:>rate",  "grad_norm:>gradient", "tokens_per_s:>tokens/s" };
	json_t *rows = NULL;
	int rc = registry_list(place->home.registry, "curves", id, 0, &rows);

	if (rc == 0 && json)
		print_json(rows);
	else if (rc == 0 && json_array_size(rows) == 0)
		puts("this run has no learning curve: its model was not trained by assay");
	else if (rc == 0)
		print_table(rows, columns, ARRAY_LEN(columns));
	json_decref(rows);
	return rc;
}

static int print_run(struct place *place, const char *id, const json_t *record, const struct report_format *format)
{
	json_t *report = NULL, *pairs = NULL;
	int rc = report_of_record(&report, format && format->pairs ? &pairs : NULL, &place->home, id, record);

	if (rc == 0) { /* the record was written before its report was */
		json_array_remove(json_object_get(report, "steps"), RUN_REPORT);
		rc = report_print(report, pairs, format);
	}
	json_decref(report);
	json_decref(pairs);
	return rc;
}

enum { TREND_POINTS = 1000 };
#define LIMIT_UNSET INT64_MIN

int cmd_show(int argc, char **argv)
{
	bool json = false, markdown = false, html = false, curve = false;
	int64_t limit = LIMIT_UNSET;
	const char *format_name = NULL, *metric = NULL;
	const struct report_format *format = NULL;
	char id[DIGEST_HEX];
	json_t *record = NULL;
	struct place place;
	int rc;
	const struct opt opts[] = {
		OPT_FLAG('j', "json", &json, "the whole record as JSON, with its id"),
		OPT_FLAG(0, "md", &markdown, "the report as Markdown"),
		OPT_FLAG(0, "html", &html, "the report as a web page in one file, with every sample"),
		OPT_TEXT('f', "format", &format_name, "FORMAT",
			 "term, md, html, report (JSON), junit, openmetrics, csv or annotations"),
		OPT_FLAG(0, "curve", &curve, "the learning curve as a table; with --json as an array"),
		OPT_TEXT(0, "trend", &metric, "METRIC",
			 "a metric's history on a branch: task.metric or task.metric,filter"),
		OPT_INT('n', "limit", &limit, "N", "with --trend: the newest N points (1000; 0: all)"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"show",
		"[RUN]",
		"a run's report again",
		"RUN is an id or its beginning, a commit, a branch, MODEL@v7 or MODEL@ALIAS; latest if absent.\n"
		"With --trend it is a branch; the checked-out one if absent.\n\n"
		"  assay show dates@production --html > report.html\n"
		"  assay show --trend intents.acc main",
		0,
		1
	};

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	rc = report_choose(&format, format_name, markdown, html);
	if (rc == 0 && metric && (curve || (format && strcmp(format->name, "html"))))
		rc = err_set(ERR_USAGE, "--trend is shown on the terminal, as --html or as --json");
	if (rc == 0 && limit != LIMIT_UNSET && (!metric || limit < 0))
		rc = err_set(ERR_USAGE, metric ? "-n %lld: expected 0 (all) or more" : "-n %lld: it is for --trend",
			     (long long)limit);
	if (rc)
		return rc;
	rc = place_open(&place);
	if (rc == 0 && metric) {
		rc = print_trend(&place, metric, argc ? argv[0] : NULL, limit == LIMIT_UNSET ? TREND_POINTS : limit,
				 json, format != NULL);
		place_close(&place);
		return rc;
	}
	if (rc == 0)
		rc = find(&place, argc ? argv[0] : "latest", id, &record);
	if (rc == 0 && curve) {
		rc = print_curve(&place, id, json);
	} else if (rc == 0 && json) {
		json_object_set_new(record, "id", json_string(id));
		print_json(record);
	} else if (rc == 0) {
		rc = print_run(&place, id, record, format);
	}
	json_decref(record);
	place_close(&place);
	return rc;
}

/* ---- samples ------------------------------------------------------------------------------------------------------------------- */

static void print_sample(const struct task_result *t, const struct sample *s, size_t i)
{
	printf("  %s ", s->id);
	for (size_t m = 0; m < t->n_metrics; m++)
		printf(" %s %.4g", t->metrics[m].name, t->metrics[m].scores[i]);
	fputs("  expected ", stdout);
	log_safe(stdout, s->target ? s->target : "", s->target ? strlen(s->target) : 0);
	fputs("  got ", stdout);
	log_safe(stdout, s->response ? s->response : "", s->response_len);
	putchar('\n');
}

static int print_one(struct task_result *t, const char *id, bool jsonl, size_t *found)
{
	for (size_t i = 0; i < t->n; i++) {
		int rc;

		if (strcmp(t->samples[i].id, id) != 0)
			continue;
		++*found;
		rc = task_result_text(t, i);
		if (rc == 0 && jsonl) {
			struct buf line = BUF_INIT(BUF_NOLIMIT);

			task_sample_write(t, i, &line);
			fwrite(buf_str(&line), 1, line.len, stdout);
			buf_release(&line);
		} else if (rc == 0) {
			print_sample(t, &t->samples[i], i);
		}
		return rc;
	}
	return 0;
}

static int print_all(struct task_result *t, bool jsonl)
{
	int rc = task_result_texts(t);

	if (rc == 0 && jsonl) {
		struct buf text = BUF_INIT(BUF_NOLIMIT);

		task_result_write(t, &text);
		fwrite(buf_str(&text), 1, text.len, stdout);
		buf_release(&text);
	} else if (rc == 0) {
		printf("%s  (%zu samples)\n", t->task, t->n);
		for (size_t i = 0; i < t->n; i++)
			print_sample(t, &t->samples[i], i);
	}
	return rc;
}

/* One sample is found by the index: of the texts only its block is read. */
static int print_task(struct home *h, const json_t *row, const char *id, bool jsonl, size_t *found)
{
	struct task_result t;
	int rc = samples_open(&t, h->store, json_get_text(row, "object", ""), !id);

	if (rc)
		return rc;
	if (jsonl)
		samples_times_get(&t, h->store, row);
	rc = id ? print_one(&t, id, jsonl, found) : print_all(&t, jsonl);
	task_result_release(&t);
	return rc;
}

/* The tasks of a record (task NULL: all), as lm-evaluation-harness writes them. */
static int write_harness(struct home *h, const json_t *record, const char *task, const char *folder)
{
	const json_t *samples = json_object_get(record, "samples"), *row;
	struct task_result *tasks = mem_array(json_array_size(samples) + 1, sizeof(*tasks));
	size_t i, n = 0;
	int rc = 0;

	json_array_foreach(samples, i, row)
	{
		if (rc || (task && strcmp(task, json_get_text(row, "task", "")) != 0))
			continue;
		rc = samples_open(&tasks[n], h->store, json_get_text(row, "object", ""), true);
		if (!rc)
			rc = task_result_texts(&tasks[n++]);
	}
	if (!rc && !n)
		rc = err_set(ERR_INPUT, "this run has no samples%s%s", task ? " of task " : "", task ? task : "");
	rc = rc ? rc : harness_folder_write(folder, json_get_text(record, "model", "model"), tasks, n);
	for (i = 0; i < n; i++)
		task_result_release(&tasks[i]);
	free(tasks);
	return rc;
}

int cmd_samples(int argc, char **argv)
{
	bool jsonl = false;
	const char *task = NULL, *one = NULL, *harness = NULL;
	char id[DIGEST_HEX];
	json_t *record = NULL, *row;
	struct place place;
	size_t i, found = 0;
	int rc;
	const struct opt opts[] = {
		OPT_FLAG(0, "jsonl", &jsonl, "as JSON: a header line a task, then a line a sample"),
		OPT_TEXT('t', "task", &task, "TASK", "this task only"),
		OPT_TEXT(0, "id", &one, "ID", "this sample only"),
		OPT_TEXT(0, "harness", &harness, "DIR", "all, written there as lm-evaluation-harness does"),
		OPT_END,
	};
	const struct opt_usage usage = { "samples", "[RUN]", "a run's samples, one by one", NULL, 0, 1 };

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (harness && (jsonl || one))
		return err_set(ERR_USAGE, "--harness writes all samples to files: it goes without --jsonl and --id");
	rc = place_open(&place);
	if (rc == 0)
		rc = find(&place, argc ? argv[0] : "latest", id, &record);
	if (rc == 0 && harness)
		rc = write_harness(&place.home, record, task, harness);
	else if (rc == 0)
		json_array_foreach(json_object_get(record, "samples"), i,
				   row) if (rc == 0 && (!task || strcmp(task, json_get_text(row, "task", "")) == 0))
			rc = print_task(&place.home, row, one, jsonl, &found);
	if (rc == 0 && one && !found)
		rc = err_set(ERR_INPUT, "no sample \"%s\" in %s of this run", one, task ? task : "any task");
	json_decref(record);
	place_close(&place);
	return rc;
}
