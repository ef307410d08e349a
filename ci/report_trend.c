/* report_trend.c: a metric's history on a branch, for the terminal and as a web page.
 *
 * The document, which `assay show --trend … --json` prints: {"format":"assay-trend/1","metric","branch","points":[{"run",
 * "commit","created","verdict","value","stderr","n","higher_is_better","model","version"}]}, oldest first; value, stderr,
 * commit, model and version may be null. The terminal has a line of blocks over the newest 40 and a table of the newest
 * 30; the page has all, with two standard errors to each side. */
#include "base/base.h"
#include "ci/html_int.h"

#include <math.h>

enum { TERM_ROWS = 30 };

static int decimals_of(const json_t *points)
{
	const json_t *p;
	double lo = INFINITY, hi = -INFINITY;
	size_t i;

	json_array_foreach(points, i, p)
	{
		lo = fmin(lo, report_number(p, "value"));
		hi = fmax(hi, report_number(p, "value"));
	}
	return num_decimals(lo, hi, isfinite(hi - lo) ? (hi - lo) / 5 : NAN);
}

static const json_t *last_of(const json_t *points)
{
	return json_array_get(points, json_array_size(points) - 1);
}

static bool is_up(const json_t *points)
{
	return json_get_flag(last_of(points), "higher_is_better", true);
}

static const json_t *best_of(const json_t *points)
{
	const json_t *p, *best = NULL;
	bool up = is_up(points);
	size_t i;

	json_array_foreach(points, i, p)
	{
		double v = report_number(p, "value"), b = report_number(best, "value");

		if (isfinite(v) && (!best || (up ? v > b : v < b)))
			best = p;
	}
	return best;
}

/* ---- the terminal ---------------------------------------------------------------------------------------------------------- */

static void add_spark(struct buf *out, const json_t *points)
{
	size_t n = json_array_size(points), from = n > REPORT_CURVE_MAX ? n - REPORT_CURVE_MAX : 0;
	struct report_curve c = { 0 };

	for (size_t i = from; i < n; i++) {
		double v = report_number(json_array_get(points, i), "value");

		if (isfinite(v))
			c.loss[c.n++] = v;
	}
	report_curve_spark(&c, out);
}

static void add_term_row(struct buf *out, const json_t *p, int decimals, const struct report_term *how)
{
	const char *verdict = json_get_text(p, "verdict", ""), *commit = json_get_text(p, "commit", "");
	const char *colour = !strcmp(verdict, "PASS") ? "32" : !strcmp(verdict, "FAIL") ? "31" : "33";
	const json_t *version = json_object_get(p, "version");
	struct buf value = BUF_INIT(64), error = BUF_INIT(64);

	num_add(&value, report_number(p, "value"), decimals);
	num_add(&error, report_number(p, "stderr"), decimals);
	buf_addf(out, "  %-16.16s  %-7.7s  %10s  %8s  %8lld  ", json_get_text(p, "created", ""), commit,
		 buf_str(&value), isnan(report_number(p, "stderr")) ? "" : buf_str(&error),
		 (long long)json_get_int(p, "n", 0));
	if (how->colour)
		buf_addf(out, "\033[%sm%s\033[0m", colour, verdict);
	else
		buf_adds(out, verdict);
	if (json_is_integer(version))
		buf_addf(out, "  v%lld", (long long)json_integer_value(version));
	buf_addc(out, '\n');
	buf_release(&value);
	buf_release(&error);
}

void report_trend_terminal(const json_t *trend, struct buf *out, const struct report_term *how)
{
	const json_t *points = json_object_get(trend, "points");
	size_t n = json_array_size(points), from = n > TERM_ROWS ? n - TERM_ROWS : 0;
	int decimals = decimals_of(points);
	size_t start = out->len;

	text_clean(out, json_get_text(trend, "metric", ""), 100);
	buf_addf(out, " %s on ", is_up(points) ? "\xe2\x86\x91" : "\xe2\x86\x93");
	text_clean(out, json_get_text(trend, "branch", ""), 60);
	buf_adds(out, "  ");
	add_spark(out, points);
	buf_addc(out, ' ');
	num_add(out, report_number(last_of(points), "value"), decimals);
	buf_adds(out, ", best ");
	num_add(out, report_number(best_of(points), "value"), decimals);
	buf_addf(out, ", %zu commit%s\n\n  %-16s  %-7s  %10s  %8s  %8s  verdict\n", n, n == 1 ? "" : "s", "when",
		 "commit", "value", "stderr", "n");
	if (from)
		buf_addf(out, "  \xe2\x80\xa6 %zu earlier\n", from);
	for (size_t i = from; i < n; i++)
		add_term_row(out, json_array_get(points, i), decimals, how);
	text_disarm(out, start);
}

/* ---- the page -------------------------------------------------------------------------------------------------------------- */

static void add_chart(struct buf *out, const json_t *trend, const json_t *points)
{
	size_t n = json_array_size(points);
	double *x = mem_array(n + 1, sizeof(*x)), *y = mem_array(n + 1, sizeof(*y));
	double *lo = mem_array(n + 1, sizeof(*lo)), *hi = mem_array(n + 1, sizeof(*hi));
	const struct chart_line lines[] = {
		{ x, hi, n, "+ 2 standard errors", "band", false },
		{ x, lo, n, "\xe2\x88\x92 2 standard errors", "band", false },
		{ x, y, n, json_get_text(trend, "metric", ""), "a2", true },
	};
	const struct chart c = { .title = json_get_text(trend, "metric", ""),
				 .x_name = "commit",
				 .y_name = "value",
				 .lines = lines,
				 .n = ARRAY_LEN(lines),
				 .whole_x = true };

	for (size_t i = 0; i < n; i++) {
		const json_t *p = json_array_get(points, i);

		x[i] = (double)(i + 1);
		y[i] = report_number(p, "value");
		lo[i] = y[i] - 2 * report_number(p, "stderr");
		hi[i] = y[i] + 2 * report_number(p, "stderr");
	}
	html_chart(out, &c);
	free(x);
	free(y);
	free(lo);
	free(hi);
}

static void add_page_row(struct buf *out, const json_t *p, size_t number, int decimals)
{
	const char *verdict = json_get_text(p, "verdict", "");
	const char *class = !strcmp(verdict, "PASS") ? "good" : !strcmp(verdict, "FAIL") ? "bad" : "open";
	const json_t *version = json_object_get(p, "version");

	buf_addf(out, "<tr><td class=\"num\" data-label=\"#\">%zu</td><td data-label=\"when\">", number);
	html_text(out, json_get_text(p, "created", ""), 30);
	buf_adds(out, "</td><td data-label=\"commit\">");
	html_commit(out, json_get_text(p, "commit", ""));
	buf_addf(out, "</td><td class=\"num\" data-label=\"value\" data-v=\"%.17g\">", report_number(p, "value"));
	num_add(out, report_number(p, "value"), decimals);
	buf_adds(out, "</td><td class=\"num\" data-label=\"stderr\">");
	num_add(out, report_number(p, "stderr"), decimals);
	buf_addf(out,
		 "</td><td class=\"num\" data-label=\"samples\">%lld</td><td data-label=\"verdict\"><span "
		 "class=\"badge %s\">",
		 (long long)json_get_int(p, "n", 0), class);
	html_text(out, verdict, 20);
	buf_adds(out, "</span></td><td data-label=\"version\">");
	if (json_is_integer(version))
		buf_addf(out, "v%lld", (long long)json_integer_value(version));
	buf_adds(out, "</td></tr>\n");
}

void report_trend_html(const json_t *trend, struct buf *out)
{
	const json_t *points = json_object_get(trend, "points");
	const char *metric = json_get_text(trend, "metric", ""), *branch = json_get_text(trend, "branch", "");
	char *title = mem_printf("%s on %s \xc2\xb7 assay", metric, branch);
	int decimals = decimals_of(points);

	html_page_begin(out, title, false);
	buf_adds(out, "<nav class=\"bar\" aria-label=\"page\"><a class=\"brand\" href=\"#top\">assay</a><span "
		      "class=\"links\"></span><button type=\"button\" id=\"theme\" hidden>theme</button></nav>\n"
		      "<main id=\"top\">\n<header class=\"head\"><h1><bdi>");
	html_text(out, metric, 100);
	buf_addf(out, "</bdi> <span class=\"to\">%s on</span> <bdi>", is_up(points) ? "\xe2\x86\x91" : "\xe2\x86\x93");
	html_text(out, branch, 100);
	buf_adds(out, "</bdi></h1>\n<p class=\"count\">now ");
	num_add(out, report_number(last_of(points), "value"), decimals);
	buf_adds(out, ", best ");
	num_add(out, report_number(best_of(points), "value"), decimals);
	buf_addf(out, ", %zu commit%s</p></header>\n<section id=\"trend\"><h2>History</h2>\n", json_array_size(points),
		 json_array_size(points) == 1 ? "" : "s");
	add_chart(out, trend, points);
	buf_adds(out,
		 "<table class=\"plain\"><thead><tr><th scope=\"col\" data-sort>#</th><th scope=\"col\" "
		 "data-sort>when</th>"
		 "<th scope=\"col\">commit</th><th scope=\"col\" data-sort>value</th><th scope=\"col\" "
		 "data-sort>stderr</th>"
		 "<th scope=\"col\" data-sort>samples</th><th scope=\"col\" data-sort>verdict</th><th scope=\"col\" "
		 "data-sort>version</th></tr></thead><tbody>\n");
	for (size_t i = json_array_size(points); i > 0; i--)
		add_page_row(out, json_array_get(points, i - 1), i, decimals);
	buf_adds(out, "</tbody></table></section>\n</main>\n");
	html_page_end(out, false);
	free(title);
}
