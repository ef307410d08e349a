/* html_steps.c: the timeline of a run's steps, one bar behind the other, and what of the questions stands in the training
 * data. A step too short to be seen has a bar of one percent: its number says the rest. */
#include "base/base.h"
#include "ci/html_int.h"

#include <math.h>

enum { STEPS_MAX = 64 };

static double seconds_of(const json_t *step)
{
	double s = json_get_real(step, "seconds", 0);

	return isfinite(s) && s > 0 ? s : 0;
}

static const char *status_class(const char *status)
{
	if (!strcmp(status, "failed"))
		return "bad";
	if (!strcmp(status, "reused") || !strcmp(status, "resumed"))
		return "reused";
	return strcmp(status, "done") ? "same" : "done";
}

void html_steps(struct buf *out, const json_t *report)
{
	const json_t *steps = json_object_get(report, "steps");
	size_t n = json_array_size(steps) < STEPS_MAX ? json_array_size(steps) : STEPS_MAX;
	double total = 0, at = 0;

	for (size_t i = 0; i < n; i++)
		total += seconds_of(json_array_get(steps, i));
	total = isfinite(total) ? total : 0;
	if (!n)
		return;
	buf_adds(out, "<section id=\"steps\"><h2>Timeline</h2>\n<table class=\"steps\"><tbody>\n");
	for (size_t i = 0; i < n; i++) {
		const json_t *s = json_array_get(steps, i);
		const char *status = json_get_text(s, "status", "");
		double width = total > 0 ? seconds_of(s) / total * 100 : 0, from = total > 0 ? at / total * 100 : 0;
		char time[32];

		clock_duration(time, seconds_of(s));
		width = fmax(width, 1);
		buf_adds(out, "<tr><th scope=\"row\">");
		html_text(out, json_get_text(s, "name", ""), 40);
		buf_adds(out, "</th><td class=\"status\">");
		html_text(out, status, 20);
		buf_addf(out,
			 "</td><td class=\"num\">%s</td><td class=\"plotted\"><svg class=\"gantt %s\" "
			 "aria-hidden=\"true\">"
			 "<rect x=\"%.2f%%\" width=\"%.2f%%\" height=\"100%%\" rx=\"3\"/></svg></td></tr>\n",
			 time, status_class(status), fmin(from, 99), width);
		at += seconds_of(s);
	}
	buf_adds(out, "</tbody></table></section>\n");
}

void html_overlap(struct buf *out, const json_t *report)
{
	const json_t *tasks = json_object_get(json_object_get(report, "overlap"), "tasks"), *row;
	struct buf text = BUF_INIT((size_t)1 << 20);
	size_t concerned = report_add_overlap(report, &text), i;

	if (text.len) {
		buf_adds(out, "<section id=\"overlap\"><h2>Questions in the training data</h2>\n<p>");
		html_text(out, buf_str(&text), 2000);
		buf_adds(out, "</p>\n");
		if (concerned)
			buf_adds(out, "<table class=\"plain\"><thead><tr><th scope=\"col\" data-sort>task</th><th "
				      "scope=\"col\" "
				      "data-sort>documents</th><th scope=\"col\" data-sort>exact</th><th scope=\"col\" "
				      "data-sort>13-gram</th><th scope=\"col\">for example</th></tr></thead><tbody>\n");
		json_array_foreach(tasks, i, row)
		{
			if (json_get_int(row, "documents", 0) <= 0)
				continue;
			buf_clear(&text);
			report_add_overlap_examples(row, &text);
			buf_adds(out, "<tr><th scope=\"row\"><bdi>");
			html_text(out, json_get_text(row, "task", ""), 80);
			buf_addf(out,
				 "</bdi></th><td class=\"num\" data-label=\"documents\" data-v=\"%lld\">%lld of "
				 "%lld</td>"
				 "<td class=\"num\" data-label=\"exact\">%lld</td><td class=\"num\" "
				 "data-label=\"13-gram\">%lld</td><td><code>",
				 (long long)json_get_int(row, "documents", 0),
				 (long long)json_get_int(row, "documents", 0), (long long)json_get_int(row, "n", 0),
				 (long long)json_get_int(row, "exact", 0), (long long)json_get_int(row, "ngram", 0));
			html_text(out, buf_str(&text), 400);
			buf_adds(out, "</code></td></tr>\n");
		}
		buf_adds(out, concerned ? "</tbody></table></section>\n" : "</section>\n");
	}
	buf_release(&text);
}
