/* html_metrics.c: the page's table of metrics, each row with its interval drawn against what is allowed.
 *
 * The little plot answers the question of the gate at a look. Right is better in every row, whichever way the metric
 * runs. The line in the middle is "no change", the bar reaches from one one-sided bound of the difference to the other, the
 * dot is what was measured, and the shaded side is where the rule fails: beyond the allowed drop, below the wanted gain,
 * below the floor. A row has its own scale, since metrics have their own units; for a floor or ceiling the plot is of
 * the value, and the small stroke is the baseline. Text says all of it again: nothing is told by colour alone. */
#include "base/base.h"
#include "ci/html_int.h"

#include <math.h>

enum { PLOT_W = 220, PLOT_H = 30, NAME_POINTS = 100 };

static const struct {
	const char *class, *word;
} marks[] = {
	[ROW_FAIL] = { "bad", "failed" }, [ROW_UNDECIDED] = { "open", "undecided" }, [ROW_WORSE] = { "worse", "worse" },
	[ROW_PASS] = { "good", "holds" }, [ROW_BETTER] = { "better", "better" },     [ROW_SAME] = { "same", "" },
};

/* ---- the plot ------------------------------------------------------------------------------------------------------------ */

struct plot {                              /* all in the direction that is better */
	double value, lo, hi, limit, mark; /* mark: no change, or the baseline's value; NaN: none */
	double from, to;
};

static double turned(double v, bool up)
{
	return up ? v : -v;
}

static bool plot_of(struct plot *p, const struct report_row *r)
{
	bool up = r->higher_is_better;
	double reach[5], least = INFINITY, most = -INFINITY;

	p->value = turned(r->bounds_value ? r->candidate : r->delta, up);
	p->lo = turned(up ? r->lo : r->hi, up);
	p->hi = turned(up ? r->hi : r->lo, up);
	p->limit = r->bounds_value ? turned(r->limit, up) : r->limit;
	p->mark = r->bounds_value ? turned(r->baseline, up) : 0;
	memcpy(reach, (double[]){ p->value, p->lo, p->hi, p->limit, p->mark }, sizeof(reach));
	for (size_t i = 0; i < ARRAY_LEN(reach); i++) {
		least = isfinite(reach[i]) ? fmin(least, reach[i]) : least;
		most = isfinite(reach[i]) ? fmax(most, reach[i]) : most;
	}
	if (!isfinite(p->value) || (!isfinite(p->lo) && !isfinite(p->hi) && !isfinite(p->limit)))
		return false;
	if (!r->bounds_value) { /* no change in the middle */
		most = fmax(fabs(least), fabs(most));
		least = -most;
	}
	if (most - least < 1e-12) {
		least -= 1;
		most += 1;
	}
	p->from = least - (most - least) * 0.08;
	p->to = most + (most - least) * 0.08;
	return isfinite(p->to - p->from);
}

static double px(const struct plot *p, double v)
{
	double x = (v - p->from) / (p->to - p->from) * PLOT_W;

	return x < 0 ? 0 : x > PLOT_W ? PLOT_W : x;
}

static void add_plot(struct buf *out, const struct report_row *r)
{
	const double mid = PLOT_H / 2.0;
	struct plot p;

	if (!plot_of(&p, r))
		return;
	buf_addf(out, "<svg class=\"plot %s\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"interval of ",
		 marks[r->mark].class, PLOT_W, PLOT_H);
	html_text(out, r->label, NAME_POINTS);
	buf_adds(out, "\">");
	if (isfinite(p.limit)) {
		buf_addf(out, "<rect class=\"zone\" width=\"%.1f\" height=\"%d\"/>", px(&p, p.limit), PLOT_H);
		buf_addf(out, "<path class=\"limit\" d=\"M%.1f 0V%d\"><title>limit: ", px(&p, p.limit), PLOT_H);
		html_text(out, r->requirement, NAME_POINTS);
		buf_adds(out, "</title></path>");
	}
	if (isfinite(p.mark))
		buf_addf(out, "<path class=\"zero\" d=\"M%.1f %dV%d\"><title>%s</title></path>", px(&p, p.mark),
			 r->bounds_value ? 7 : 2, r->bounds_value ? PLOT_H - 7 : PLOT_H - 2,
			 r->bounds_value ? "baseline" : "no change");
	if (isfinite(p.lo) || isfinite(p.hi)) {
		double a = isfinite(p.lo) ? px(&p, p.lo) : 0, b = isfinite(p.hi) ? px(&p, p.hi) : PLOT_W;

		buf_addf(out, "<path class=\"bar\" d=\"M%.1f %.1fH%.1f\"/>", a, mid, b);
		if (isfinite(p.lo))
			buf_addf(out, "<path class=\"cap\" d=\"M%.1f %.1fv10\"/>", a, mid - 5);
		if (isfinite(p.hi))
			buf_addf(out, "<path class=\"cap\" d=\"M%.1f %.1fv10\"/>", b, mid - 5);
	}
	buf_addf(out, "<circle class=\"point\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/></svg>", px(&p, p.value), mid);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

static void add_bounds(struct buf *out, const struct report_row *r)
{
	if (isnan(r->lo) && isnan(r->hi))
		return;
	buf_adds(out, "<small>");
	num_add_bounds(out, r->lo, r->hi, r->decimals, !r->bounds_value);
	buf_adds(out, "</small>");
}

static void add_badge(struct buf *out, const struct report_row *r)
{
	buf_addf(out, "<td class=\"why\" data-label=\"verdict\" data-v=\"%d\"><span class=\"badge %s\">", r->mark,
		 marks[r->mark].class);
	if (r->mark == ROW_SAME)
		buf_adds(out, isnan(r->delta) ? "not gated" : r->delta == 0 ? "unchanged" : "no clear change");
	else
		buf_adds(out, marks[r->mark].word);
	buf_adds(out, "</span>");
	if (*r->requirement) {
		buf_adds(out, "<small>");
		html_text(out, r->requirement, NAME_POINTS);
		buf_adds(out, "</small>");
	}
	buf_adds(out, "</td>");
}

static void add_row(struct buf *out, const struct report_row *r)
{
	const char *method = json_get_text(r->rule, "method", "");

	buf_addf(out, "<tr class=\"%s\"><th scope=\"row\"><bdi>", marks[r->mark].class);
	html_name(out, r->label, NAME_POINTS);
	buf_addf(out, "</bdi> <span class=\"arrow\" title=\"%s is better\">%s</span>",
		 r->higher_is_better ? "higher" : "lower", r->higher_is_better ? "\xe2\x86\x91" : "\xe2\x86\x93");
	if (*r->explanation && r->mark <= ROW_UNDECIDED) {
		buf_adds(out, "<small>");
		html_text(out, r->explanation, 600);
		buf_adds(out, "</small>");
	}
	buf_adds(out, "</th>");
	html_number(out, "baseline", r->baseline, r->decimals, false);
	buf_adds(out, "</td>");
	html_number(out, "candidate", r->candidate, r->decimals, false);
	if (r->bounds_value)
		add_bounds(out, r);
	buf_adds(out, "</td>");
	html_number(out, "change", r->delta, r->decimals, true);
	if (!r->bounds_value)
		add_bounds(out, r);
	buf_adds(out, "</td><td class=\"plotted\" data-label=\"interval\">");
	add_plot(out, r);
	buf_addf(out, "</td><td class=\"num\" data-label=\"samples\" data-v=\"%lld\"", (long long)r->n);
	if (*method) {
		buf_adds(out, " title=\"");
		html_text(out, method, 60);
		buf_adds(out, "\"");
	}
	buf_addf(out, ">%lld", (long long)r->n);
	if (r->lost || r->won)
		buf_addf(out, "<small>\xe2\x88\x92%lld +%lld</small>", (long long)r->lost, (long long)r->won);
	buf_adds(out, "</td>");
	add_badge(out, r);
	buf_adds(out, "</tr>\n");
}

static void add_table(struct buf *out, const struct report_rows *rows, size_t from, size_t to, const char *class)
{
	static const char *const heads[] = {
		"metric",  "baseline", "candidate", "change", "worse \xe2\x86\x90 interval \xe2\x86\x92 better",
		"samples", "verdict"
	};

	if (from == to)
		return;
	buf_addf(out, "<table class=\"metrics %s\"><thead><tr>", class);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		buf_addf(out, "<th scope=\"col\"%s>%s</th>", i == 4 ? " class=\"plotted\"" : " data-sort", heads[i]);
	buf_adds(out, "</tr></thead><tbody>\n");
	for (size_t i = from; i < to; i++)
		add_row(out, &rows->items[i]);
	buf_adds(out, "</tbody></table>\n");
}

void html_metrics(struct buf *out, const json_t *report, const struct report_rows *rows)
{
	bool population = !strcmp(report_text(report, "policy", "target"), "population");

	if (!rows->n)
		return;
	buf_adds(out, "<section id=\"metrics\"><h2>Metrics</h2>\n");
	add_table(out, rows, 0, rows->n_main, "main");
	if (rows->n_main < rows->n) {
		buf_addf(out, "<details%s><summary>", rows->n_main && !report_is_diff(report) ? "" : " open");
		report_add_same(rows, out);
		buf_adds(out, "</summary>\n");
		add_table(out, rows, rows->n_main, rows->n, "rest");
		buf_adds(out, "</details>\n");
	}
	buf_addf(out,
		 "<p class=\"legend\">Each end of an interval is a one-sided %.4g %% bound: of the change, or of the "
		 "value where a floor or ceiling is asked. The shaded side is what the rule does not allow. "
		 "\xe2\x88\x92 + count samples that only the baseline, only the candidate got right.%s</p></section>\n",
		 100 * report_confidence(report),
		 population ? " Asked about samples like these (target population)."
		 : rows->gated
			 ? " Decided on exactly these samples (target suite); the bounds speak of samples like these."
			 : "");
}
