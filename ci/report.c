/* report.c: the report document, and how its parts are read.
 *
 * One JSON document is the source of every text about a run: Markdown, terminal, annotations, and later the web page
 * and the forge's comment. The runner makes it (runner/step_report.c); `assay post` reads it back from an artifact of
 * another job, so report_check() treats it as input from a stranger. Renderers never fail: what is missing or of
 * another type reads as absent. Members (* may be null or missing):
 *
 *	format      "assay-report/1"
 *	run* model* commit* subject* branch* trust*    texts; subject: the first line of the commit's message
 *	verdict     PASS FAIL INCONCLUSIVE NO_BASELINE INCOMPARABLE ERROR;  exit 0..125, 0 if and only if nothing blocks
 *	blocks*     whether the policy lets this verdict stop the push;  sentence: why;  seconds*
 *	tool*       {version, numerics}
 *	baseline*   {name, version, run, commit}: what was compared with; the version is a number or a text
 *	policy*     {source, target, confidence}: source "target <oid>" or "candidate"; target "suite" or "population"
 *	rules       [{rule, task, metric, filter*, verdict, baseline*, candidate*, delta*, interval* [lo*, hi*], n, lost, won,
 *	            method, confidence, explanation*, higher_is_better, gated}]: delta = candidate - baseline; each end of
 *	            an interval is a one-sided bound of delta, or of the value for a min or max rule
 *	metrics     [{suite, task, metric, filter*, value, stderr*, n, baseline*, higher_is_better}]
 *	slices*     [{task, metric, filter*, slice, n*, value*, stderr*, baseline*, higher_is_better*}]
 *	samples*    {broken [{task, id, prompt*, target*, before*, after*}], n_broken, n_fixed}
 *	training*   {method, steps, tokens, first_loss, last_loss, seconds, reused, curve [[step, loss, …], …],
 *	            validation* [[step, loss], …], best_step*}
 *	overlap*    {tasks [{suite, task, n, exact, ngram, documents, examples [{id, how, where}]}], missing* [text]}: the
 *	            documents of a task that the training data has; missing: what of it could not be compared
 *	steps       [{name, status, seconds}] in the order of the run
 *	version*    {model, number, object};  promotion* {state proposed|made|kept|refused, alias, from*, to*, why*}
 *	notes       [text]
 *
 * Unknown members are let through, so that an older binary shows what a newer one wrote. Rows keep the order of the
 * document within one mark; marks are sorted worst first. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <math.h>

enum {
	T_TEXT = 1,
	T_INT = 2,
	T_REAL = 4,
	T_NUMBER = T_INT | T_REAL,
	T_FLAG = 8,
	T_OBJECT = 16,
	T_ARRAY = 32,
	T_NULL = 64, /* null, or not there */
};
enum { ROWS_MAX = 4096, SAMPLES_MAX = 4096, CURVE_MAX = 1 << 17 };

struct member {
	const char *key;
	int types;
};
#define MEMBERS_END                                                                                                    \
	{                                                                                                              \
		NULL, 0                                                                                                \
	}

static const struct member report_members[] = {
	{ "format", T_TEXT },
	{ "run", T_TEXT | T_NULL },
	{ "model", T_TEXT | T_NULL },
	{ "commit", T_TEXT | T_NULL },
	{ "subject", T_TEXT | T_NULL },
	{ "branch", T_TEXT | T_NULL },
	{ "trust", T_TEXT | T_NULL },
	{ "verdict", T_TEXT },
	{ "exit", T_INT },
	{ "blocks", T_FLAG | T_NULL },
	{ "sentence", T_TEXT },
	{ "seconds", T_NUMBER | T_NULL },
	{ "tool", T_OBJECT | T_NULL },
	{ "baseline", T_OBJECT | T_NULL },
	{ "policy", T_OBJECT | T_NULL },
	{ "rules", T_ARRAY },
	{ "metrics", T_ARRAY },
	{ "samples", T_OBJECT | T_NULL },
	{ "training", T_OBJECT | T_NULL },
	{ "overlap", T_OBJECT | T_NULL },
	{ "slices", T_ARRAY | T_NULL },
	{ "steps", T_ARRAY },
	{ "version", T_OBJECT | T_NULL },
	{ "promotion", T_OBJECT | T_NULL },
	{ "notes", T_ARRAY },
	MEMBERS_END,
};
static const struct member tool_members[] = {
	{ "version", T_TEXT | T_NULL },
	{ "numerics", T_TEXT | T_NULL },
	MEMBERS_END,
};
static const struct member baseline_members[] = {
	{ "name", T_TEXT | T_NULL },
	{ "version", T_TEXT | T_INT | T_NULL },
	{ "run", T_TEXT | T_NULL },
	{ "commit", T_TEXT | T_NULL },
	MEMBERS_END,
};
static const struct member policy_members[] = {
	{ "source", T_TEXT | T_NULL },
	{ "target", T_TEXT | T_NULL },
	{ "confidence", T_NUMBER | T_NULL },
	MEMBERS_END,
};
static const struct member rule_members[] = {
	{ "rule", T_TEXT },
	{ "task", T_TEXT | T_NULL },
	{ "metric", T_TEXT | T_NULL },
	{ "filter", T_TEXT | T_NULL },
	{ "verdict", T_TEXT | T_NULL },
	{ "baseline", T_NUMBER | T_NULL },
	{ "candidate", T_NUMBER | T_NULL },
	{ "delta", T_NUMBER | T_NULL },
	{ "interval", T_ARRAY | T_NULL },
	{ "n", T_INT | T_NULL },
	{ "lost", T_INT | T_NULL },
	{ "won", T_INT | T_NULL },
	{ "method", T_TEXT | T_NULL },
	{ "confidence", T_NUMBER | T_NULL },
	{ "explanation", T_TEXT | T_NULL },
	{ "higher_is_better", T_FLAG | T_NULL },
	{ "gated", T_FLAG | T_NULL },
	MEMBERS_END,
};
static const struct member metric_members[] = {
	{ "suite", T_TEXT | T_NULL },
	{ "task", T_TEXT },
	{ "metric", T_TEXT },
	{ "filter", T_TEXT | T_NULL },
	{ "value", T_NUMBER | T_NULL },
	{ "stderr", T_NUMBER | T_NULL },
	{ "n", T_INT | T_NULL },
	{ "baseline", T_NUMBER | T_NULL },
	{ "higher_is_better", T_FLAG | T_NULL },
	MEMBERS_END,
};
static const struct member samples_members[] = {
	{ "broken", T_ARRAY },
	{ "n_broken", T_INT },
	{ "n_fixed", T_INT },
	MEMBERS_END,
};
static const struct member broken_members[] = {
	{ "task", T_TEXT },
	{ "id", T_TEXT },
	{ "prompt", T_TEXT | T_NULL },
	{ "target", T_TEXT | T_NULL },
	{ "before", T_TEXT | T_NULL },
	{ "after", T_TEXT | T_NULL },
	MEMBERS_END,
};
static const struct member training_members[] = {
	{ "method", T_TEXT | T_NULL },
	{ "steps", T_INT | T_NULL },
	{ "tokens", T_INT | T_NULL },
	{ "first_loss", T_NUMBER | T_NULL },
	{ "last_loss", T_NUMBER | T_NULL },
	{ "seconds", T_NUMBER | T_NULL },
	{ "reused", T_FLAG | T_NULL },
	{ "curve", T_ARRAY | T_NULL },
	{ "validation", T_ARRAY | T_NULL },
	{ "best_step", T_INT | T_NULL },
	MEMBERS_END,
};
static const struct member slice_members[] = {
	{ "task", T_TEXT },
	{ "metric", T_TEXT },
	{ "filter", T_TEXT | T_NULL },
	{ "slice", T_TEXT },
	{ "n", T_INT | T_NULL },
	{ "value", T_NUMBER | T_NULL },
	{ "stderr", T_NUMBER | T_NULL },
	{ "baseline", T_NUMBER | T_NULL },
	{ "higher_is_better", T_FLAG | T_NULL },
	MEMBERS_END,
};
static const struct member overlap_members[] = {
	{ "tasks", T_ARRAY },
	{ "missing", T_ARRAY | T_NULL },
	MEMBERS_END,
};
static const struct member overlap_task_members[] = {
	{ "suite", T_TEXT | T_NULL },
	{ "task", T_TEXT },
	{ "n", T_INT },
	{ "exact", T_INT },
	{ "ngram", T_INT },
	{ "documents", T_INT },
	{ "examples", T_ARRAY | T_NULL },
	MEMBERS_END,
};
static const struct member overlap_example_members[] = {
	{ "id", T_TEXT },
	{ "how", T_TEXT },
	{ "where", T_TEXT },
	MEMBERS_END,
};
static const struct member step_members[] = {
	{ "name", T_TEXT },
	{ "status", T_TEXT },
	{ "seconds", T_NUMBER | T_NULL },
	MEMBERS_END,
};
static const struct member version_members[] = {
	{ "model", T_TEXT },
	{ "number", T_INT },
	{ "object", T_TEXT | T_NULL },
	MEMBERS_END,
};
static const struct member promotion_members[] = {
	{ "state", T_TEXT },
	{ "alias", T_TEXT },
	{ "from", T_TEXT | T_INT | T_NULL },
	{ "to", T_TEXT | T_INT | T_NULL },
	{ "why", T_TEXT | T_NULL },
	MEMBERS_END,
};

/* ---- checking ------------------------------------------------------------------------------------------------------ */

static int type_of(const json_t *v)
{
	if (!v || json_is_null(v))
		return T_NULL;
	switch (json_typeof(v)) {
	case JSON_STRING:
		return T_TEXT;
	case JSON_INTEGER:
		return T_INT;
	case JSON_REAL:
		return T_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return T_FLAG;
	case JSON_OBJECT:
		return T_OBJECT;
	case JSON_ARRAY:
		return T_ARRAY;
	default:
		return T_NULL;
	}
}

static const char *types_text(int types)
{
	types &= ~T_NULL;
	switch (types) {
	case T_TEXT:
		return "a text";
	case T_INT:
		return "an integer";
	case T_NUMBER:
		return "a number";
	case T_FLAG:
		return "true or false";
	case T_OBJECT:
		return "an object";
	case T_ARRAY:
		return "an array";
	default:
		return "a text or an integer";
	}
}

static int check_members(const json_t *obj, const struct member *members, const char *where)
{
	if (!json_is_object(obj))
		return err_set(ERR_INPUT, "report: %s: an object is wanted", where);
	for (const struct member *m = members; m->key; m++) {
		const json_t *v = json_object_get(obj, m->key);

		if (!(type_of(v) & m->types))
			return err_set(ERR_INPUT, "report: %s%s%s %s: %s is wanted", where, *where ? "." : "", m->key,
				       v ? "is of another type" : "is missing", types_text(m->types));
	}
	return 0;
}

static int check_part(const json_t *report, const char *key, const struct member *members)
{
	const json_t *v = json_object_get(report, key);

	return json_is_object(v) ? check_members(v, members, key) : 0;
}

static int check_list(const json_t *list, const struct member *members, const char *where, size_t max)
{
	size_t n = json_array_size(list);
	int rc = 0;

	if (n > max)
		return err_set(ERR_INPUT, "report: %s: %zu entries, at most %zu are read", where, n, max);
	for (size_t i = 0; i < n && !rc; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s[%zu]", where, i);
		rc = check_members(json_array_get(list, i), members, name);
	}
	return rc;
}

static bool is_number_or_null(const json_t *v)
{
	return json_is_number(v) || json_is_null(v);
}

static int check_intervals(const json_t *rules)
{
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *v = json_object_get(json_array_get(rules, i), "interval");

		if (json_is_array(v) && (json_array_size(v) != 2 || !is_number_or_null(json_array_get(v, 0)) ||
					 !is_number_or_null(json_array_get(v, 1))))
			return err_set(ERR_INPUT, "report: rules[%zu].interval: two numbers are wanted", i);
	}
	return 0;
}

static int check_overlap(const json_t *report)
{
	const json_t *tasks = json_object_get(json_object_get(report, "overlap"), "tasks"), *row;
	int rc = check_list(tasks, overlap_task_members, "overlap.tasks", ROWS_MAX);
	size_t i;

	json_array_foreach(tasks, i, row) if (rc == 0) rc =
		check_list(json_object_get(row, "examples"), overlap_example_members, "overlap.tasks.examples", 64);
	return rc;
}

static int check_curve(const json_t *curve, const char *key)
{
	if (json_array_size(curve) > CURVE_MAX)
		return err_set(ERR_INPUT, "report: training.%s: %zu points, at most %d are read", key,
			       json_array_size(curve), CURVE_MAX);
	for (size_t i = 0; i < json_array_size(curve); i++) {
		const json_t *p = json_array_get(curve, i);

		if (json_array_size(p) < 2 || !json_is_integer(json_array_get(p, 0)) ||
		    !is_number_or_null(json_array_get(p, 1)))
			return err_set(ERR_INPUT, "report: training.%s[%zu]: [step, loss, \xe2\x80\xa6] is wanted", key,
				       i);
	}
	return 0;
}

static const char *const verdicts[] = { "PASS", "FAIL", "INCONCLUSIVE", "NO_BASELINE", "INCOMPARABLE", "ERROR" };

static bool is_verdict(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (!strcmp(s, verdicts[i]))
			return true;
	}
	return false;
}

/* What one member says of another. */
static int check_sense(const json_t *report)
{
	const char *format = json_get_text(report, "format", ""), *verdict = json_get_text(report, "verdict", "");
	int64_t code = json_get_int(report, "exit", -1);

	if (strcmp(format, "assay-report/1"))
		return err_hint(err_set(ERR_INPUT, "report: format is not \"assay-report/1\""),
				"the report was made by another version of assay; use that one");
	if (!is_verdict(verdict))
		return err_set(ERR_INPUT,
			       "report: verdict is none of PASS, FAIL, INCONCLUSIVE, NO_BASELINE, INCOMPARABLE, "
			       "ERROR");
	if (code < 0 || code > 125)
		return err_set(ERR_INPUT, "report: exit: %lld is no exit code of assay", (long long)code);
	if ((!strcmp(verdict, "PASS") && code != 0) ||
	    ((!strcmp(verdict, "FAIL") || !strcmp(verdict, "ERROR")) && code == 0))
		return err_set(ERR_INPUT, "report: verdict %s does not go with exit %lld", verdict, (long long)code);
	return 0;
}

int report_check(const json_t *report)
{
	const json_t *samples = json_object_get(report, "samples"), *notes;
	int rc = check_members(report, report_members, "");

	if (rc || (rc = check_sense(report)) || (rc = check_part(report, "tool", tool_members)) ||
	    (rc = check_part(report, "baseline", baseline_members)) ||
	    (rc = check_part(report, "policy", policy_members)) ||
	    (rc = check_part(report, "samples", samples_members)) ||
	    (rc = check_part(report, "training", training_members)) ||
	    (rc = check_part(report, "version", version_members)) ||
	    (rc = check_part(report, "promotion", promotion_members)) ||
	    (rc = check_list(json_object_get(report, "rules"), rule_members, "rules", ROWS_MAX)) ||
	    (rc = check_list(json_object_get(report, "metrics"), metric_members, "metrics", ROWS_MAX)) ||
	    (rc = check_list(json_object_get(report, "slices"), slice_members, "slices", ROWS_MAX)) ||
	    (rc = check_part(report, "overlap", overlap_members)) || (rc = check_overlap(report)) ||
	    (rc = check_list(json_object_get(report, "steps"), step_members, "steps", 64)) ||
	    (rc = check_list(json_object_get(samples, "broken"), broken_members, "samples.broken", SAMPLES_MAX)) ||
	    (rc = check_intervals(json_object_get(report, "rules"))) ||
	    (rc = check_curve(json_object_get(json_object_get(report, "training"), "curve"), "curve")) ||
	    (rc = check_curve(json_object_get(json_object_get(report, "training"), "validation"), "validation")))
		return rc;
	notes = json_object_get(report, "notes");
	for (size_t i = 0; i < json_array_size(notes); i++) {
		if (!json_is_string(json_array_get(notes, i)))
			return err_set(ERR_INPUT, "report: notes[%zu]: a text is wanted", i);
	}
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

double report_number(const json_t *obj, const char *key)
{
	return json_get_real(obj, key, NAN);
}

const char *report_text(const json_t *report, const char *object, const char *key)
{
	return json_get_text(object ? json_object_get(report, object) : report, key, "");
}

const char *report_verdict(const json_t *report)
{
	const char *v = json_get_text(report, "verdict", "ERROR");

	return is_verdict(v) ? v : "ERROR";
}

double report_confidence(const json_t *report)
{
	double c = report_number(json_object_get(report, "policy"), "confidence");

	return c > 0 && c < 1 ? c : 0.95;
}

static char *label_of(const json_t *rule, const char *rule_text, const char *colon)
{
	const char *task = json_get_text(rule, "task", ""), *metric = json_get_text(rule, "metric", "");
	const char *filter = json_get_text(rule, "filter", "");

	if (!*task && !*metric)
		return colon ? mem_strn(rule_text, (size_t)(colon - rule_text)) : mem_str(rule_text);
	if (!*filter || !strcmp(filter, "none"))
		return mem_printf("%s.%s", task, metric);
	return mem_printf("%s.%s,%s", task, metric, filter);
}

/* The last ": " of a rule's text: what stands behind it is required. */
static const char *last_colon(const char *s)
{
	const char *found = NULL;

	for (const char *p = s; (p = strstr(p, ": ")) != NULL; p++)
		found = p;
	return found;
}

static enum row_mark mark_of(const struct report_row *r)
{
	bool clear = r->lo > 0 || r->hi < 0; /* NaN: not clear */
	bool up = r->delta > 0;

	if (r->gated) {
		if (!strcmp(r->verdict, "FAIL") || !strcmp(r->verdict, "ERROR"))
			return ROW_FAIL;
		return !strcmp(r->verdict, "PASS") ? ROW_PASS : ROW_UNDECIDED;
	}
	if (!strcmp(r->verdict, "FAIL")) /* a watched metric's alarm */
		return ROW_WORSE;
	if (!clear || isnan(r->delta) || r->delta == 0)
		return ROW_SAME;
	return up == r->higher_is_better ? ROW_BETTER : ROW_WORSE;
}

static void row_from_rule(struct report_row *r, const json_t *rule)
{
	const char *text = json_get_text(rule, "rule", "");
	const char *colon = last_colon(text);
	const json_t *interval = json_object_get(rule, "interval");

	r->rule = rule;
	r->label = label_of(rule, text, colon);
	r->gated = json_get_flag(rule, "gated", true);
	r->requirement = !r->gated ? "" : colon ? colon + 2 : text;
	r->explanation = json_get_text(rule, "explanation", "");
	r->verdict = json_get_text(rule, "verdict", "");
	r->higher_is_better = json_get_flag(rule, "higher_is_better", true);
	r->baseline = report_number(rule, "baseline");
	r->candidate = report_number(rule, "candidate");
	r->delta = report_number(rule, "delta");
	r->lo = json_is_number(json_array_get(interval, 0)) ? json_number_value(json_array_get(interval, 0)) : NAN;
	r->hi = json_is_number(json_array_get(interval, 1)) ? json_number_value(json_array_get(interval, 1)) : NAN;
	r->n = json_get_int(rule, "n", 0);
	r->lost = json_get_int(rule, "lost", 0);
	r->won = json_get_int(rule, "won", 0);
	r->bounds_value = r->gated && (!strncmp(r->requirement, "min ", 4) || !strncmp(r->requirement, "max ", 4));
	r->decimals = num_decimals(r->baseline, r->candidate, r->delta);
	r->mark = mark_of(r);
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
	return !strcmp(json_get_text(a, key, ""), json_get_text(b, key, ""));
}

/* Does a rule speak of this metric? A rule without a filter means the task's first. */
static bool is_ruled(const json_t *rules, const json_t *metric)
{
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *r = json_array_get(rules, i);

		if (same_text(r, metric, "task") && same_text(r, metric, "metric") &&
		    (!json_is_string(json_object_get(r, "filter")) || same_text(r, metric, "filter")))
			return true;
	}
	return false;
}

static void row_from_metric(struct report_row *r, const json_t *metric)
{
	r->rule = metric;
	r->label = label_of(metric, "", NULL);
	r->requirement = r->explanation = r->verdict = "";
	r->higher_is_better = json_get_flag(metric, "higher_is_better", true);
	r->baseline = report_number(metric, "baseline");
	r->candidate = report_number(metric, "value");
	r->delta = r->candidate - r->baseline;
	r->lo = r->hi = NAN;
	r->n = json_get_int(metric, "n", 0);
	r->decimals = num_decimals(r->baseline, r->candidate, r->delta);
	r->mark = ROW_SAME;
}

static int compare_rows(const void *a, const void *b)
{
	const struct report_row *x = a, *y = b;

	if (x->mark != y->mark)
		return x->mark < y->mark ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static bool is_no_baseline(const struct report_row *r)
{
	return r->gated && !strcmp(r->verdict, "NO_BASELINE");
}

/* Is there another row of this metric that says what this one would? A floor that holds stands behind a comparison that
 * holds; a comparison without a baseline behind a floor. */
static bool is_said(const struct report_rows *rows, size_t i)
{
	const struct report_row *r = &rows->items[i];

	for (size_t k = 0; k < rows->n; k++) {
		const struct report_row *o = &rows->items[k];

		if (k == i || strcmp(o->label, r->label) || !o->gated || o->mark != ROW_PASS)
			continue;
		if (is_no_baseline(r) || (r->bounds_value && r->mark == ROW_PASS && !o->bounds_value))
			return true;
	}
	return false;
}

/* One row a metric where its rules agree. All gated rules are counted before; a pass by floors does not count those that
 * had nothing to compare with. */
static void drop_said(struct report_rows *rows, bool passed)
{
	bool *drop = mem_array(rows->n + 1, sizeof(*drop));
	size_t n = 0;

	for (size_t i = 0; i < rows->n; i++)
		drop[i] = (passed || !is_no_baseline(&rows->items[i])) && is_said(rows, i);
	for (size_t i = 0; i < rows->n; i++) {
		struct report_row *r = &rows->items[i];

		if (passed && is_no_baseline(r)) {
			rows->gated--;
			r->gated = false;
			r->explanation = "";
			r->mark = ROW_SAME;
		}
		if (drop[i])
			free(r->label);
		else
			rows->items[n++] = *r;
	}
	rows->n = n;
	free(drop);
}

void report_rows_make(struct report_rows *out, const json_t *report)
{
	const json_t *rules = json_object_get(report, "rules"), *metrics = json_object_get(report, "metrics");
	size_t n_rules = json_array_size(rules), n_metrics = json_array_size(metrics);

	*out = (struct report_rows){ .items = mem_array(n_rules + n_metrics + 1, sizeof(*out->items)) };
	for (size_t i = 0; i < n_rules && i < ROWS_MAX; i++)
		row_from_rule(&out->items[out->n++], json_array_get(rules, i));
	for (size_t i = 0; i < n_metrics && i < ROWS_MAX; i++) {
		if (!is_ruled(rules, json_array_get(metrics, i)))
			row_from_metric(&out->items[out->n++], json_array_get(metrics, i));
	}
	for (size_t i = 0; i < out->n; i++) {
		struct report_row *r = &out->items[i];

		if (strstr(report_text(report, NULL, "sentence"), r->explanation))
			r->explanation = "";
		r->place = i;
		out->gated += r->gated;
	}
	drop_said(out, !strcmp(report_verdict(report), "PASS"));
	for (size_t i = 0; i < out->n; i++) {
		const struct report_row *r = &out->items[i];

		out->failed += r->mark == ROW_FAIL;
		out->undecided += r->mark == ROW_UNDECIDED;
		out->worse += r->mark == ROW_WORSE;
		out->better += r->mark == ROW_BETTER;
		out->same += r->mark == ROW_SAME;
	}
	out->n_main = out->n - out->same;
	qsort(out->items, out->n, sizeof(*out->items), compare_rows);
}

void report_rows_release(struct report_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		free(rows->items[i].label);
	free(rows->items);
	*rows = (struct report_rows){ 0 };
}

/* ---- overlap ---------------------------------------------------------------------------------------------------------- */

void report_add_overlap_examples(const json_t *row, struct buf *out)
{
	const json_t *examples = json_object_get(row, "examples"), *e;
	size_t i;

	json_array_foreach(examples, i, e)
		buf_addf(out, "%s%s at %s", i ? ", " : "", json_get_text(e, "id", "?"), json_get_text(e, "where", "?"));
	if ((size_t)json_get_int(row, "documents", 0) > json_array_size(examples) && json_array_size(examples))
		buf_adds(out, ", \xe2\x80\xa6");
}

size_t report_add_overlap(const json_t *report, struct buf *out)
{
	const json_t *overlap = json_object_get(report, "overlap"), *tasks = json_object_get(overlap, "tasks"), *row;
	const json_t *missing = json_object_get(overlap, "missing");
	int64_t n = 0, documents = 0;
	size_t i, concerned = 0;

	json_array_foreach(tasks, i, row)
	{
		n += json_get_int(row, "n", 0);
		documents += json_get_int(row, "documents", 0);
		concerned += json_get_int(row, "documents", 0) > 0;
	}
	if (!json_array_size(tasks))
		return 0;
	if (documents)
		buf_addf(out, "%lld of the %lld documents asked stand in the training data", (long long)documents,
			 (long long)n);
	else
		buf_addf(out, "None of the %lld documents asked stands in the training data (exact, or by a 13-gram)",
			 (long long)n);
	json_array_foreach(missing, i, row)
	{
		const char *name = json_string_value(row);

		if (i < 3)
			buf_addf(out, "%s%s", i ? ", " : "; not compared: ", name ? name : "?");
	}
	buf_addc(out, '.');
	return concerned;
}

/* ---- phrases ------------------------------------------------------------------------------------------------------- */

void report_add_count(const json_t *report, const struct report_rows *rows, struct buf *out)
{
	size_t gated = rows->gated, held = gated - rows->failed - rows->undecided;
	const char *verdict = report_verdict(report);

	if (!strcmp(verdict, "ERROR"))
		buf_adds(out, "no verdict");
	else if (!gated)
		buf_adds(out, "no rule to judge by");
	else if (held == gated)
		buf_addf(out, gated == 1 ? "the rule holds" : "all %zu rules hold", gated);
	else if (rows->failed)
		buf_addf(out, "%zu of %zu rules failed", rows->failed, gated);
	else
		buf_addf(out, "%zu of %zu rules undecided", rows->undecided, gated);
	if (rows->worse)
		buf_addf(out, ", %zu other metric%s worse", rows->worse, rows->worse == 1 ? "" : "s");
	if (rows->better)
		buf_addf(out, ", %zu better", rows->better);
	if (strcmp(verdict, "PASS") && json_get_int(report, "exit", 1) == 0)
		buf_adds(out, "; does not block");
}

void report_add_same(const struct report_rows *rows, struct buf *out)
{
	bool compared = false;

	for (size_t i = rows->n_main; i < rows->n; i++)
		compared |= !isnan(rows->items[i].delta);
	buf_addf(out, "%zu %smetric%s%s", rows->same, compared ? "" : "other ", rows->same == 1 ? "" : "s",
		 compared ? " without a clear change" : "");
}

/* A version as "v7", whether the document has 7, "7", "v7" or "model@v7". */
static void add_version(struct buf *out, const json_t *v)
{
	const char *s;

	if (json_is_integer(v)) {
		buf_addf(out, "v%lld", (long long)json_integer_value(v));
		return;
	}
	s = json_string_value(v);
	if (!s)
		return;
	if (*s >= '0' && *s <= '9')
		buf_addc(out, 'v');
	buf_adds(out, s);
}

static bool is_given(const json_t *v)
{
	return json_is_integer(v) || (json_is_string(v) && json_string_length(v) > 0);
}

static void add_move(struct buf *out, const json_t *p)
{
	const json_t *from = json_object_get(p, "from"), *to = json_object_get(p, "to");

	if (is_given(from)) {
		buf_adds(out, "from ");
		add_version(out, from);
		buf_addc(out, ' ');
	}
	buf_adds(out, "to ");
	add_version(out, to);
}

void report_add_promotion(const json_t *report, struct buf *out)
{
	const json_t *v = json_object_get(report, "version"), *p = json_object_get(report, "promotion");
	const char *state = json_get_text(p, "state", ""), *alias = json_get_text(p, "alias", "");
	const char *why = json_get_text(p, "why", "");
	bool stays = json_get_int(p, "from", -1) == json_get_int(p, "to", -2);

	if (json_is_object(v) && !json_get_flag(v, "again", false)) {
		buf_addf(out, "Made %s@", json_get_text(v, "model", "model"));
		add_version(out, json_object_get(v, "number"));
		buf_addc(out, '.');
	}
	if (!json_is_object(p))
		return;
	if (out->len)
		buf_addc(out, ' ');
	if (stays && (!strcmp(state, "made") || !strcmp(state, "proposed"))) {
		buf_addf(out, "%s stays at ", alias);
		add_version(out, json_object_get(p, "to"));
		buf_addf(out, !strcmp(state, "made") ? ", now with this prompt"
						     : ", with this prompt when the commit is on the remote's branch");
	} else if (!strcmp(state, "made")) {
		buf_addf(out, "%s moved ", alias);
		add_move(out, p);
	} else if (!strcmp(state, "proposed")) {
		buf_addf(out, "%s will move ", alias);
		add_move(out, p);
		buf_adds(out, " when the commit is on the remote's branch");
	} else {
		const json_t *from = json_object_get(p, "from");

		buf_addf(out, !strcmp(state, "kept") ? "%s stays" : "%s was not moved", alias);
		if (!strcmp(state, "kept") && is_given(from)) {
			buf_adds(out, " at ");
			add_version(out, from);
		}
	}
	if (*why)
		buf_addf(out, ": %s", why);
	buf_addc(out, '.');
}

/* ---- slices ----------------------------------------------------------------------------------------------------------- */

char *report_slice_label(const json_t *row)
{
	return label_of(row, "", NULL);
}
