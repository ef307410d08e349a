/* report.c: the report document, and how its parts are read.
 *
 * One JSON document is the source of every text about a run, or about two of them: Markdown, terminal, annotations, the web
 * page, JUnit, OpenMetrics, CSV. The runner makes it (runner/step_report.c); `assay post` reads it back from an artifact of
 * another job, so report_check() (report_check.c) treats it as input from a stranger. docs/report.schema.json says the same
 * for other tools. Renderers never fail: what is missing or of
 * another type reads as absent. Members (* may be null or missing):
 *
 *	format      "assay-report/1";  kind* "run" (where it is missing) or "diff": two sides beside each other
 *	run* model* commit* subject* branch* trust*    texts; subject: the first line of the commit's message
 *	created*    when the run was recorded, a text;  name* of the candidate, in a diff
 *	verdict     null in a diff, which decides nothing, else PASS FAIL INCONCLUSIVE NO_BASELINE INCOMPARABLE ERROR;
 *	            exit 0..125, 0 if and only if nothing blocks
 *	blocks*     whether the policy lets this verdict stop the push;  sentence: why;  seconds*
 *	tool*       {version, numerics}
 *	baseline*   {name, version, run, commit}: what was compared with; the version is a number or a text
 *	policy*     {source, target, confidence}: source "target <oid>" or "candidate"; target "suite" or "population"
 *	rules       [{rule, task, metric, filter*, verdict, baseline*, candidate*, delta*, interval* [lo*, hi*], n, lost, won,
 *	            method, confidence, explanation*, higher_is_better, gated}]: delta = candidate - baseline; each end of
 *	            an interval is a one-sided bound of delta, or of the value for a min or max rule
 *	metrics     [{suite, task, metric, filter*, value, stderr*, n, baseline*, higher_is_better}]
 *	samples*    {broken [{task, id, prompt*, target*, before*, after*}], n_broken, n_fixed}
 *	training*   {method, steps, tokens, first_loss, last_loss, seconds, reused, curve [[step, loss, …], …],
 *	            validation* [[step, loss], …], best_step*, before* {run, curve*, validation*}}: before is the baseline's
 *	slices*     [{task, metric, filter*, slice, n*, value*, stderr*, baseline*, higher_is_better}]
 *	calibration* [{task, bins [[confidence, share right, n], …], baseline* [the same]}]
 *	overlap*    {tasks [{suite, task, n, exact, ngram, documents, examples [{id, how, where}]}], missing* [text]}: the
 *	            documents of a task that the training data has; missing: what of it could not be compared
 *	steps       [{name, status, seconds}] in the order of the run
 *	datasets*   [{path, digest, rows*, bytes, role}];  edges* [{from, to, relation}] of "commit:…", "data:…", "model:…"
 *	version*    {model, number, object};  promotion* {state proposed|made|kept|refused, alias, from*, to*, why*}
 *	notes       [text]
 *
 * Unknown members are let through, so that an older binary shows what a newer one wrote. Rows keep the order of the
 * document within one mark; marks are sorted worst first. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <math.h>

enum { ROWS_MAX = 4096 };

/* ---- reading ------------------------------------------------------------------------------------------------------- */

double report_number(const json_t *obj, const char *key)
{
	return json_get_real(obj, key, NAN);
}

const char *report_text(const json_t *report, const char *object, const char *key)
{
	return json_get_text(object ? json_object_get(report, object) : report, key, "");
}

bool report_is_diff(const json_t *report)
{
	return !strcmp(json_get_text(report, "kind", ""), "diff");
}

static const char *const verdicts[] = { "PASS", "FAIL", "INCONCLUSIVE", "NO_BASELINE", "INCOMPARABLE", "ERROR" };

bool report_known_verdict(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (!strcmp(s, verdicts[i]))
			return true;
	}
	return false;
}

const char *report_verdict(const json_t *report)
{
	const char *v = json_get_text(report, "verdict", "ERROR");

	return report_known_verdict(v) ? v : "ERROR";
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

/* "max_drop 0.03", "max_increase 1%", "min_gain 0.01", "min 0.8": a limit of the change, in the direction that is better
 * (-0.03: a drop of so much is allowed), or of the value. NaN: the rule is of another kind. */
static double limit_of(const struct report_row *r)
{
	static const struct {
		const char *word;
		int sign; /* 0: of the value */
	} words[] = { { "max_drop ", -1 }, { "max_increase ", -1 }, { "min_gain ", 1 }, { "min ", 0 }, { "max ", 0 } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i].word);
		char *end;
		double v;

		if (strncmp(r->requirement, words[i].word, n))
			continue;
		v = strtod(r->requirement + n, &end);
		if (end == r->requirement + n || !isfinite(v))
			return NAN;
		if (*end == '%')
			v *= fabs(r->baseline) / 100;
		return words[i].sign ? words[i].sign * v : v;
	}
	return NAN;
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
	r->limit = limit_of(r);
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
	r->lo = r->hi = r->limit = NAN;
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

bool report_is_own(const json_t *report)
{
	return !strcmp(report_text(report, "policy", "source"), "candidate") &&
	       json_array_size(json_object_get(report, "rules")) > 0;
}

/* Left to a CI, to who joins the shards, or to the next push. */
static bool skips_gate(const json_t *report)
{
	const json_t *step;
	size_t i;

	json_array_foreach(json_object_get(report, "steps"), i,
			   step) if (!strcmp(json_get_text(step, "name", ""),
					     "gate")) return !strcmp(json_get_text(step, "status", ""), "skipped");
	return false;
}

void report_add_count(const json_t *report, const struct report_rows *rows, struct buf *out)
{
	size_t gated = rows->gated, held = gated - rows->failed - rows->undecided;
	const char *verdict = report_verdict(report);

	if (report_is_diff(report)) {
		size_t apart = 0;

		for (size_t i = 0; i < rows->n; i++)
			apart += isnan(rows->items[i].delta);
		apart = apart < rows->same ? apart : rows->same;
		buf_addf(out, "%zu metric%s worse, %zu better, %zu without a clear change", rows->worse,
			 rows->worse == 1 ? "" : "s", rows->better, rows->same - apart);
		if (apart)
			buf_addf(out, ", %zu not compared", apart);
		return;
	}
	if (!strcmp(verdict, "ERROR"))
		buf_adds(out, "no verdict");
	else if (!gated)
		buf_adds(out, skips_gate(report) ? "not judged" : "no rule to judge by");
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
