/* report_metrics.c: the report's numbers as OpenMetrics text: for GitLab's metrics report, a push gateway, or a file that
 * a node exporter collects.
 *
 *	assay_metric{task="dates",metric="acc",filter="none"} 0.912000      what was measured
 *	assay_baseline{…}  assay_change{…}                                  what it is compared with, and the difference
 *	assay_change_bound{…,end="lower"}                                   one-sided bounds of the difference
 *	assay_rule{task=…,metric=…,filter=…,rule="max_drop_0.03"} 1         whether it holds; undecided is 0.5
 *	assay_samples{change="broke"} 3                                     samples that got worse, better
 *	assay_exit_code 0
 *
 * GitLab reads a line as a shell would: '#' begins a comment, blanks part words, quotes go; and it compares values as text.
 * So a label's value has none of these: what is not a letter, a digit or one of "._+-/@:," is written %20 and so on, '%' too,
 * so that two names stay two. Values have six decimals, and no time of day or of work is among them: equal models give
 * equal files. Two metrics of one name (they cannot be in one run) would be an error to a reader: the first stays. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <ctype.h>
#include <math.h>

enum { VALUE_MAX = 200 };

struct family {
	const char *name, *help;
	double (*value)(const struct report_row *r);
	const char *end; /* of a bound; NULL */
	bool rules;      /* one line a gated rule, else one a metric */
};

static double get_candidate(const struct report_row *r)
{
	return r->candidate;
}

static double get_baseline(const struct report_row *r)
{
	return r->baseline;
}

static double get_delta(const struct report_row *r)
{
	return r->delta;
}

static double get_lo(const struct report_row *r)
{
	return r->bounds_value ? NAN : r->lo;
}

static double get_hi(const struct report_row *r)
{
	return r->bounds_value ? NAN : r->hi;
}

static double get_rule(const struct report_row *r)
{
	return r->mark == ROW_FAIL ? 0 : r->mark == ROW_UNDECIDED ? 0.5 : 1;
}

static const struct family families[] = {
	{ "assay_metric", "value of the candidate", get_candidate, NULL, false },
	{ "assay_baseline", "value of the baseline", get_baseline, NULL, false },
	{ "assay_change", "candidate minus baseline", get_delta, NULL, false },
	{ "assay_change_bound", "one-sided bounds of the change", get_lo, "lower", false },
	{ NULL, NULL, get_hi, "upper", false },
	{ "assay_rule", "1 holds, 0 failed, 0.5 undecided", get_rule, NULL, true },
};

static void add_label(struct buf *out, const char *key, const char *value, const char *comma)
{
	size_t n = 0;

	buf_addf(out, "%s%s=\"", comma, key);
	for (const char *p = value; *p && n < VALUE_MAX; p++, n++) {
		if (isalnum((unsigned char)*p) || strchr("._+-/@:,", *p))
			buf_addc(out, *p);
		else
			buf_addf(out, "%%%02X", (unsigned char)*p);
	}
	buf_addc(out, '"');
}

static void add_head(struct buf *out, const char *name, const char *help)
{
	buf_addf(out, "# TYPE %s gauge\n# HELP %s %s\n", name, name, help);
}

static void add_line(struct buf *out, struct map *seen, const char *name, const struct family *f,
		     const struct report_row *r)
{
	const char *filter = json_get_text(r->rule, "filter", "");
	struct buf line = BUF_INIT((size_t)1 << 16);

	buf_addf(&line, "%s{", name);
	add_label(&line, "task", json_get_text(r->rule, "task", ""), "");
	add_label(&line, "metric", json_get_text(r->rule, "metric", ""), ",");
	add_label(&line, "filter", *filter ? filter : "none", ",");
	if (f->end)
		add_label(&line, "end", f->end, ",");
	if (f->rules) {
		char *rule = mem_str(r->requirement);

		for (char *p = rule; *p; p++)
			if (*p == ' ')
				*p = '_';
		add_label(&line, "rule", rule, ",");
		free(rule);
	}
	buf_addc(&line, '}');
	if (map_put(seen, buf_str(&line), line.len, 1))
		buf_addf(out, "%s %.6f\n", buf_str(&line), f->value(r) + 0.0);
	buf_release(&line);
}

void report_openmetrics(const json_t *report, struct buf *out)
{
	const json_t *samples = json_object_get(report, "samples");
	const char *name = "";
	struct report_rows rows;
	struct map seen;

	report_rows_make(&rows, report);
	map_init(&seen);
	for (size_t k = 0; k < ARRAY_LEN(families); k++) {
		const struct family *f = &families[k];

		if (f->name) {
			name = f->name;
			add_head(out, name, f->help);
		}
		for (size_t i = 0; i < rows.n; i++)
			if (isfinite(f->value(&rows.items[i])) && (!f->rules || rows.items[i].gated))
				add_line(out, &seen, name, f, &rows.items[i]);
	}
	add_head(out, "assay_samples", "samples that got worse or better");
	buf_addf(out, "assay_samples{change=\"broke\"} %lld\nassay_samples{change=\"fixed\"} %lld\n",
		 (long long)json_get_int(samples, "n_broken", 0), (long long)json_get_int(samples, "n_fixed", 0));
	add_head(out, "assay_exit_code", "0 passed; 1 failed; 2 undecided and blocking; above: an error");
	buf_addf(out, "assay_exit_code %lld\n# EOF\n", (long long)json_get_int(report, "exit", 70));
	report_rows_release(&rows);
	map_release(&seen);
}
