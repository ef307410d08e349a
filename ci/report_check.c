/* report_check.c: is a document a report? A table of members and their types for each object of it (what they mean stands
 * at the top of report.c), the length of its lists, and what one member says of another. A report comes back from an
 * artifact that another job wrote, so nothing in it is believed before this. */
#include "base/base.h"
#include "ci/ci_int.h"

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
enum { ROWS_MAX = 4096, SAMPLES_MAX = 4096, CURVE_MAX = 1 << 17, SLICES_MAX = 1 << 16, BINS_MAX = 100 };

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
	{ "commits", T_OBJECT | T_NULL },
	{ "subject", T_TEXT | T_NULL },
	{ "branch", T_TEXT | T_NULL },
	{ "trust", T_TEXT | T_NULL },
	{ "kind", T_TEXT | T_NULL },
	{ "name", T_TEXT | T_NULL },
	{ "created", T_TEXT | T_NULL },
	{ "verdict", T_TEXT | T_NULL },
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
	{ "calibration", T_ARRAY | T_NULL },
	{ "datasets", T_ARRAY | T_NULL },
	{ "edges", T_ARRAY | T_NULL },
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
static const struct member commits_members[] = {
	{ "tested", T_TEXT | T_NULL },
	{ "head", T_TEXT | T_NULL },
	{ "base", T_TEXT | T_NULL },
	{ "target", T_TEXT | T_NULL },
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
	{ "broken", T_ARRAY }, { "n_broken", T_INT },
	{ "n_fixed", T_INT },  { "seconds", T_OBJECT | T_NULL }, /* of each task, where they are known */
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
	{ "method", T_TEXT | T_NULL },       { "steps", T_INT | T_NULL },        { "tokens", T_INT | T_NULL },
	{ "first_loss", T_NUMBER | T_NULL }, { "last_loss", T_NUMBER | T_NULL }, { "seconds", T_NUMBER | T_NULL },
	{ "reused", T_FLAG | T_NULL },       { "curve", T_ARRAY | T_NULL },      { "validation", T_ARRAY | T_NULL },
	{ "best_step", T_INT | T_NULL },     { "before", T_OBJECT | T_NULL },    MEMBERS_END,
};
static const struct member before_members[] = {
	{ "run", T_TEXT | T_NULL },
	{ "curve", T_ARRAY | T_NULL },
	{ "validation", T_ARRAY | T_NULL },
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
static const struct member calibration_members[] = {
	{ "task", T_TEXT },
	{ "bins", T_ARRAY },
	{ "baseline", T_ARRAY | T_NULL },
	MEMBERS_END,
};
static const struct member dataset_members[] = {
	{ "path", T_TEXT },          { "digest", T_TEXT },        { "rows", T_INT | T_NULL },
	{ "bytes", T_INT | T_NULL }, { "role", T_TEXT | T_NULL }, MEMBERS_END,
};
static const struct member edge_members[] = {
	{ "from", T_TEXT },
	{ "to", T_TEXT },
	{ "relation", T_TEXT },
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

static int check_bins(const json_t *bins, const char *key)
{
	for (size_t i = 0; i < json_array_size(bins); i++) {
		const json_t *b = json_array_get(bins, i);

		if (json_array_size(bins) > BINS_MAX || json_array_size(b) != 3 ||
		    !json_is_number(json_array_get(b, 0)) || !json_is_number(json_array_get(b, 1)) ||
		    !json_is_integer(json_array_get(b, 2)))
			return err_set(
				ERR_INPUT,
				"report: calibration.%s[%zu]: [confidence, share right, n] is wanted, at most %d "
				"of them",
				key, i, BINS_MAX);
	}
	return 0;
}

static int check_calibration(const json_t *list)
{
	const json_t *row;
	size_t i;
	int rc = check_list(list, calibration_members, "calibration", ROWS_MAX);

	json_array_foreach(list, i, row)
	{
		if (rc == 0)
			rc = check_bins(json_object_get(row, "bins"), "bins");
		if (rc == 0)
			rc = check_bins(json_object_get(row, "baseline"), "baseline");
	}
	return rc;
}

static int check_training(const json_t *training)
{
	const json_t *before = json_object_get(training, "before");
	int rc = check_curve(json_object_get(training, "curve"), "curve");

	if (rc == 0)
		rc = check_curve(json_object_get(training, "validation"), "validation");
	if (rc == 0 && json_is_object(before))
		rc = check_members(before, before_members, "training.before");
	if (rc == 0)
		rc = check_curve(json_object_get(before, "curve"), "before.curve");
	return rc ? rc : check_curve(json_object_get(before, "validation"), "before.validation");
}

/* What one member says of another. */
static int check_sense(const json_t *report)
{
	const char *format = json_get_text(report, "format", ""), *verdict = json_get_text(report, "verdict", "");
	int64_t code = json_get_int(report, "exit", -1);

	if (strcmp(format, "assay-report/1"))
		return err_hint(err_set(ERR_INPUT, "report: format is not \"assay-report/1\""),
				"the report was made by another version of assay; use that one");
	if (report_is_diff(report))
		return *verdict || code ? err_set(ERR_INPUT, "report: a diff has no verdict, and exit 0") : 0;
	if (!report_known_verdict(verdict))
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
	    (rc = check_part(report, "commits", commits_members)) ||
	    (rc = check_part(report, "policy", policy_members)) ||
	    (rc = check_part(report, "samples", samples_members)) ||
	    (rc = check_part(report, "training", training_members)) ||
	    (rc = check_part(report, "version", version_members)) ||
	    (rc = check_part(report, "promotion", promotion_members)) ||
	    (rc = check_list(json_object_get(report, "rules"), rule_members, "rules", ROWS_MAX)) ||
	    (rc = check_list(json_object_get(report, "metrics"), metric_members, "metrics", ROWS_MAX)) ||
	    (rc = check_part(report, "overlap", overlap_members)) || (rc = check_overlap(report)) ||
	    (rc = check_list(json_object_get(report, "steps"), step_members, "steps", 64)) ||
	    (rc = check_list(json_object_get(samples, "broken"), broken_members, "samples.broken", SAMPLES_MAX)) ||
	    (rc = check_list(json_object_get(report, "slices"), slice_members, "slices", SLICES_MAX)) ||
	    (rc = check_list(json_object_get(report, "datasets"), dataset_members, "datasets", ROWS_MAX)) ||
	    (rc = check_list(json_object_get(report, "edges"), edge_members, "edges", ROWS_MAX)) ||
	    (rc = check_calibration(json_object_get(report, "calibration"))) ||
	    (rc = check_intervals(json_object_get(report, "rules"))) ||
	    (rc = check_training(json_object_get(report, "training"))))
		return rc;
	notes = json_object_get(report, "notes");
	for (size_t i = 0; i < json_array_size(notes); i++) {
		if (!json_is_string(json_array_get(notes, i)))
			return err_set(ERR_INPUT, "report: notes[%zu]: a text is wanted", i);
	}
	return 0;
}
