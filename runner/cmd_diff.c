/* cmd_diff.c: `assay diff A [B]`: two runs, or two files of scores, side by side; decides nothing.
 *
 * The two become a report of kind "diff" (ci/report.c) and are shown by the renderers of every report: each metric that both
 * have with the bounds that the gate would show, metrics of B alone, what broke, slices, the two learning curves. */
#include "base/base.h"
#include "ci/ci.h"
#include "evals/evals.h"
#include "runner/cmd.h"
#include "runner/print.h"
#include "runner/report_samples.h"
#include "runner/sides.h"

#include <math.h>

static json_t *member(const json_t *record, const char *key)
{
	json_t *v = json_object_get(record, key);

	return v ? json_incref(v) : json_null();
}

static json_t *name_json(const char *name)
{
	return json_new_text(name, strlen(name));
}

static json_t *baseline_json(const struct side *a, const char *name)
{
	json_t *version = json_object_get(a->record, "version");

	return json_pack("{s:o,s:o,s:o,s:o}", "name", name_json(name), "version", member(version, "number"), "run",
			 *a->run ? json_string(a->run) : json_null(), "commit", member(a->record, "commit"));
}

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

/* What B measured; the renderers leave out what a row of both says. */
static json_t *metrics_json(const struct side *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n; i++)
		for (size_t m = 0; m < b->tasks[i].n_metrics; m++) {
			const struct metric *metric = &b->tasks[i].metrics[m];

			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:s,s:o,s:o,s:I,s:n,s:b}", "task", b->tasks[i].task,
							"metric", metric->name, "filter", metric->filter, "value",
							real_or_null(metric->value), "stderr",
							real_or_null(metric->stderr_), "n", (json_int_t)b->tasks[i].n,
							"baseline", "higher_is_better", metric->higher_is_better));
		}
	return list;
}

/* Two trainings beside each other, unless they are one. */
static json_t *training_json(const struct side *a, const struct side *b)
{
	json_t *before = json_object_get(a->record, "training"), *t = json_object_get(b->record, "training"), *copy;

	if (!json_is_object(t))
		return json_null();
	copy = json_copy(t);
	if (json_is_object(before) && !json_equal(json_object_get(before, "curve"), json_object_get(t, "curve")))
		json_object_set_new(copy, "before",
				    json_pack("{s:s,s:o,s:o}", "run", a->run, "curve", member(before, "curve"),
					      "validation", member(before, "validation")));
	return copy;
}

/* What the numbers leave out. */
static json_t *notes_json(const struct side *a, const struct side *b)
{
	json_t *notes = json_array(), *reasons = sides_incomparable(a, b), *why;
	size_t i;

	json_array_foreach(reasons, i, why)
	{
		char *text = mem_printf("not compared: %s", json_string_value(why));

		json_array_append_new(notes, json_new_text(text, strlen(text)));
		free(text);
	}
	json_decref(reasons);
	return notes;
}

static struct task_result *task_of(const struct side *s, const char *task)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->tasks[i].task, task))
			return &s->tasks[i];
	return NULL;
}

static int report_of(json_t **out, const struct gate_result *g, const struct side *a, const struct side *b,
		     const char *name_a, const char *name_b, json_t **pairs)
{
	json_t *r = json_object(), *gate = rules_json(g);
	struct report_samples samples;
	int rc = 0;

	json_object_set_new(r, "format", json_string("assay-report/1"));
	json_object_set_new(r, "kind", json_string("diff"));
	json_object_set_new(r, "name", name_json(name_b));
	json_object_set_new(r, "run", *b->run ? json_string(b->run) : json_null());
	json_object_set_new(r, "verdict", json_null());
	json_object_set_new(r, "exit", json_integer(0));
	json_object_set_new(r, "sentence", json_string(""));
	json_object_set_new(r, "model", member(b->record, "model"));
	json_object_set_new(r, "commit", member(b->record, "commit"));
	json_object_set_new(r, "subject", member(b->record, "subject"));
	json_object_set_new(r, "branch", member(b->record, "branch"));
	json_object_set_new(r, "tool", member(b->record, "tool"));
	json_object_set_new(r, "datasets", member(b->record, "datasets"));
	json_object_set_new(r, "edges", member(b->record, "edges"));
	json_object_set_new(r, "baseline", baseline_json(a, name_a));
	json_object_set_new(r, "policy", json_pack("{s:f}", "confidence", g->confidence));
	json_object_set(r, "rules", json_object_get(gate, "rules"));
	json_object_set_new(r, "metrics", metrics_json(b));
	json_object_set_new(r, "training", training_json(a, b));
	json_object_set_new(r, "steps", json_array());
	json_object_set_new(r, "notes", notes_json(a, b));
	report_samples_init(&samples, pairs != NULL);
	for (size_t i = 0; i < b->n && rc == 0; i++)
		rc = report_samples_add(&samples, task_of(a, b->tasks[i].task), &b->tasks[i]);
	report_samples_set(&samples, r);
	if (pairs)
		*pairs = json_incref(samples.pairs);
	report_samples_release(&samples);
	json_decref(gate);
	*out = r;
	return rc;
}

int cmd_diff(int argc, char **argv)
{
	const char *format_name = NULL, *name_a, *name_b;
	bool json = false, markdown = false, html = false;
	const struct report_format *format = NULL;
	struct gate_policy policy;
	struct gate_result g = { 0 };
	struct side a = { 0 }, b = { 0 };
	json_t *report = NULL, *pairs = NULL;
	int rc;
	const struct opt opts[] = {
		OPT_TEXT('f', "format", &format_name, "FORMAT", "term, md, html, report (JSON) or csv"),
		OPT_FLAG('j', "json", &json, "the report as JSON"),
		OPT_FLAG(0, "md", &markdown, "the report as Markdown"),
		OPT_FLAG(0, "html", &html, "a web page in one file, with every sample"),
		OPT_END,
	};
	const struct opt_usage usage = { "diff",
					 "A [B]",
					 "two runs side by side",
					 "A and B as for assay gate; without B, the latest run.\n\n"
					 "  assay diff dates@v1 dates@v2\n"
					 "  assay diff dates@production HEAD --html > diff.html",
					 1,
					 2 };

	rc = opt_parse(&argc, &argv, opts, &usage);
	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (json && (format_name || markdown || html))
		return err_set(ERR_USAGE, "--json, --format, --md and --html exclude each other");
	rc = report_choose(&format, json ? "report" : format_name, markdown, html);
	if (rc)
		return rc;
	name_a = argv[0];
	name_b = argc > 1 ? argv[1] : "latest";
	gate_policy_init(&policy);
	rc = sides_load(&a, &b, name_a, name_b);
	if (rc == 0)
		rc = sides_decide(&g, &policy, &a, &b);
	if (rc == 0)
		rc = report_of(&report, &g, &a, &b, name_a, name_b, format && format->pairs ? &pairs : NULL);
	if (rc == 0)
		rc = report_print(report, pairs, format);
	json_decref(report);
	json_decref(pairs);
	gate_result_release(&g);
	gate_policy_release(&policy);
	side_release(&a);
	side_release(&b);
	return rc;
}
