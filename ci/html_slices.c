/* html_slices.c: metrics by slice (language, ticket kind, …): a table for each metric, worst change first, with baseline
 * and candidate as two dots on one line.
 *
 * All rows of a table share one scale, so that slices can be compared; the thin bar behind the candidate's dot is two
 * standard errors to each side. A slice is a part of the samples: what moves here was not tested, and the page says so. */
#include "base/base.h"
#include "ci/html_int.h"

#include <math.h>

enum { PLOT_W = 260, PLOT_H = 22, OPEN_ROWS = 12 };

struct slice_row {
	const json_t *row;
	double value, baseline, error, gain; /* gain: the change in the direction that is better; NaN: no baseline */
	size_t place;
};

static int compare_rows(const void *a, const void *b)
{
	const struct slice_row *x = a, *y = b;
	double gx = isnan(x->gain) ? 0 : x->gain, gy = isnan(y->gain) ? 0 : y->gain;

	if (gx != gy)
		return gx < gy ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static void row_of(struct slice_row *r, const json_t *row, size_t place)
{
	r->row = row;
	r->value = report_number(row, "value");
	r->baseline = report_number(row, "baseline");
	r->error = report_number(row, "stderr");
	r->gain = (json_get_flag(row, "higher_is_better", true) ? 1 : -1) * (r->value - r->baseline);
	r->place = place;
}

static bool same_metric(const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "task", "metric", "filter" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(json_get_text(a, keys[i], ""), json_get_text(b, keys[i], "")))
			return false;
	return true;
}

static void add_row(struct buf *out, const struct slice_row *r, double from, double to)
{
	const int d = num_decimals(r->baseline, r->value, r->value - r->baseline);
	const double mid = PLOT_H / 2.0, per = (PLOT_W - 12) / (to - from);
	const double a = 6 + (r->baseline - from) * per, b = 6 + (r->value - from) * per;
	const char *class = isnan(r->gain) || r->gain == 0 ? "same" : r->gain < 0 ? "worse" : "better";

	buf_adds(out, "<tr><th scope=\"row\"><bdi>");
	html_text(out, json_get_text(r->row, "slice", ""), 100);
	buf_adds(out, "</bdi></th>");
	html_number(out, "baseline", r->baseline, d, false);
	buf_adds(out, "</td>");
	html_number(out, "candidate", r->value, d, false);
	buf_adds(out, "</td>");
	html_number(out, "change", r->value - r->baseline, d, true);
	buf_adds(out, "</td>");
	buf_addf(out,
		 "<td class=\"plotted\"><svg class=\"plot pair %s\" viewBox=\"0 0 %d %d\" aria-hidden=\"true\">"
		 "<path class=\"rail\" d=\"M6 %.1fH%d\"/>",
		 class, PLOT_W, PLOT_H, mid, PLOT_W - 6);
	if (isfinite(r->error) && isfinite(b))
		buf_addf(out, "<path class=\"error\" d=\"M%.1f %.1fH%.1f\"/>", fmax(2, b - 2 * r->error * per), mid,
			 fmin(PLOT_W - 2, b + 2 * r->error * per));
	if (isfinite(a) && isfinite(b))
		buf_addf(out, "<path class=\"way\" d=\"M%.1f %.1fH%.1f\"/>", a, mid, b);
	if (isfinite(a))
		buf_addf(out, "<circle class=\"dot a\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", a, mid);
	if (isfinite(b))
		buf_addf(out, "<circle class=\"dot b\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", b, mid);
	buf_adds(out, "</svg></td>");
	buf_addf(out, "<td class=\"num\" data-label=\"samples\" data-v=\"%lld\">%lld</td></tr>\n",
		 (long long)json_get_int(r->row, "n", 0), (long long)json_get_int(r->row, "n", 0));
}

static void add_table(struct buf *out, struct slice_row *rows, size_t n)
{
	const json_t *first = rows[0].row;
	const char *filter = json_get_text(first, "filter", "");
	double from = INFINITY, to = -INFINITY;

	for (size_t i = 0; i < n; i++) {
		double error = isfinite(rows[i].error) ? 2 * rows[i].error : 0;

		from = fmin(from, fmin(rows[i].value - error, rows[i].baseline));
		to = fmax(to, fmax(rows[i].value + error, rows[i].baseline));
	}
	if (!isfinite(to - from)) { /* beyond all measure */
		from = -1;
		to = 1;
	} else if (!(to - from > 1e-12)) {
		from -= 1;
		to += 1;
	}
	qsort(rows, n, sizeof(*rows), compare_rows);
	buf_addf(out, "<details%s><summary><bdi>", n <= OPEN_ROWS ? " open" : "");
	html_text(out, json_get_text(first, "task", ""), 80);
	buf_addc(out, '.');
	html_text(out, json_get_text(first, "metric", ""), 80);
	if (*filter && strcmp(filter, "none")) {
		buf_addc(out, ',');
		html_text(out, filter, 60);
	}
	buf_addf(out, "</bdi> %s in %zu slice%s</summary>\n<table class=\"slices\"><thead><tr>",
		 json_get_flag(first, "higher_is_better", true) ? "\xe2\x86\x91" : "\xe2\x86\x93", n,
		 n == 1 ? "" : "s");
	buf_addf(out,
		 "<th scope=\"col\" data-sort>slice</th><th scope=\"col\" data-sort>baseline</th>"
		 "<th scope=\"col\" data-sort>candidate</th><th scope=\"col\" data-sort>change</th>"
		 "<th scope=\"col\" class=\"plotted\">%.3g \xe2\x80\xa6 %.3g</th>"
		 "<th scope=\"col\" data-sort>samples</th></tr></thead><tbody>\n",
		 from, to);
	for (size_t i = 0; i < n; i++)
		add_row(out, &rows[i], from, to);
	buf_adds(out, "</tbody></table></details>\n");
}

void html_slices(struct buf *out, const json_t *report)
{
	const json_t *list = json_object_get(report, "slices");
	size_t n = json_array_size(list), end;
	struct slice_row *rows;

	if (!n)
		return;
	rows = mem_array(n, sizeof(*rows));
	for (size_t i = 0; i < n; i++)
		row_of(&rows[i], json_array_get(list, i), i);
	buf_adds(out,
		 "<section id=\"slices\"><h2>Slices</h2>\n<p class=\"legend\"><span class=\"key a2\">baseline</span> "
		 "<span class=\"key b2\">candidate</span> with two standard errors to each side. Slices are shown, "
		 "not tested: the smaller they are, the more they move by chance.</p>\n");
	for (size_t i = 0; i < n; i = end) { /* rows of one metric stand together */
		for (end = i + 1; end < n && same_metric(rows[i].row, rows[end].row); end++)
			;
		add_table(out, rows + i, end - i);
	}
	buf_adds(out, "</section>\n");
	free(rows);
}
