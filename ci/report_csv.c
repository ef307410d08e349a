/* report_csv.c: the report's table as CSV (RFC 4180, UTF-8, a heading line), one line a rule or metric, for spreadsheets and
 * data frames. Numbers in the shortest form that reads back, nothing where there is none. A text that a spreadsheet would
 * take for a formula (it begins with = + - @) gets an apostrophe in front; all texts are cleaned first. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <math.h>

#define TEXT_MAX ((size_t)1 << 16)

static void add_text(struct buf *out, const char *s)
{
	struct buf clean = BUF_INIT(TEXT_MAX);

	text_clean(&clean, s, 2000);
	buf_addc(out, '"');
	if (clean.len && strchr("=+-@", clean.data[0]))
		buf_addc(out, '\'');
	for (const char *p = buf_str(&clean); *p; p++) {
		if (*p == '"')
			buf_addc(out, '"');
		buf_addc(out, *p);
	}
	buf_adds(out, "\",");
	buf_release(&clean);
}

static void add_number(struct buf *out, double v)
{
	if (isfinite(v)) {
		json_t *number = json_real(v);

		json_add(out, number);
		json_decref(number);
	}
	buf_addc(out, ',');
}

void report_csv(const json_t *report, struct buf *out)
{
	const json_t *seconds = json_object_get(json_object_get(report, "samples"), "seconds");
	struct report_rows rows;

	report_rows_make(&rows, report);
	buf_adds(out,
		 "task,metric,filter,requirement,verdict,gated,higher_is_better,baseline,candidate,change,lower,upper,"
		 "bounds_of,n,lost,won,seconds\r\n");
	for (size_t i = 0; i < rows.n; i++) {
		const struct report_row *r = &rows.items[i];

		add_text(out, json_get_text(r->rule, "task", ""));
		add_text(out, json_get_text(r->rule, "metric", ""));
		add_text(out, json_get_text(r->rule, "filter", ""));
		add_text(out, r->requirement);
		add_text(out, r->verdict);
		buf_addf(out, "%s,%s,", r->gated ? "true" : "false", r->higher_is_better ? "true" : "false");
		add_number(out, r->baseline);
		add_number(out, r->candidate);
		add_number(out, r->delta);
		add_number(out, r->lo);
		add_number(out, r->hi);
		buf_addf(out, "%s,%lld,%lld,%lld,",
			 isnan(r->lo) && isnan(r->hi) ? ""
			 : r->bounds_value            ? "value"
						      : "change",
			 (long long)r->n, (long long)r->lost, (long long)r->won);
		add_number(out, json_get_real(seconds, json_get_text(r->rule, "task", ""), NAN));
		out->len--; /* its comma: the line ends here */
		buf_adds(out, "\r\n");
	}
	report_rows_release(&rows);
}
