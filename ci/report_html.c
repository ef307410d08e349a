/* report_html.c: the report as a web page in one file: verdict, metrics, curves, slices, samples, timeline, lineage.
 *
 * What can be written down is written here, in plain HTML and SVG: it prints, it can be read without scripts, and a
 * screen reader finds tables and headings. Scripts add what needs hands: sorting, the list of samples, the choice of
 * light or dark. The parts are in html_*.c, one section each; html_page.c says why the page can do no harm. */
#include "base/base.h"
#include "ci/html_int.h"

static const struct {
	const char *id, *name;
} sections[] = {
	{ "metrics", "Metrics" },   { "slices", "Slices" },           { "samples", "Samples" },
	{ "training", "Training" }, { "calibration", "Calibration" }, { "overlap", "Overlap" },
	{ "steps", "Timeline" },    { "lineage", "Lineage" },
};

static const struct {
	const char *verdict, *class, *sign;
} verdicts[] = {
	{ "PASS", "good", "\xe2\x9c\x93" }, { "FAIL", "bad", "\xe2\x9c\x95" },          { "INCONCLUSIVE", "open", "?" },
	{ "NO_BASELINE", "open", "?" },     { "INCOMPARABLE", "open", "\xe2\x89\xa0" }, { "ERROR", "bad", "!" },
};

static size_t verdict_of(const json_t *report)
{
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(verdicts) && strcmp(report_verdict(report), verdicts[i].verdict))
		i++;
	return i;
}

static void add_words(struct buf *out, const char *s)
{
	for (; *s; s++)
		buf_addc(out, *s == '_' ? ' ' : *s);
}

/* ---- the head of the page -------------------------------------------------------------------------------------------------- */

static void add_title(struct buf *out, const json_t *report)
{
	const char *model = report_text(report, NULL, "model");
	size_t v = verdict_of(report);

	if (report_is_diff(report)) {
		buf_adds(out, "<h1><bdi class=\"side a\">");
		html_text(out, report_text(report, "baseline", "name"), 80);
		buf_adds(out, "</bdi> <span class=\"to\">\xe2\x86\x92</span> <bdi class=\"side b\">");
		html_text(out, report_text(report, NULL, "name"), 80);
		buf_adds(out, "</bdi></h1>\n");
		return;
	}
	buf_addf(out, "<h1><span class=\"verdict %s\"><span aria-hidden=\"true\">%s</span> ", verdicts[v].class,
		 verdicts[v].sign);
	add_words(out, verdicts[v].verdict);
	buf_adds(out, "</span> <bdi>");
	html_text(out, model, 80);
	buf_adds(out, "</bdi></h1>\n");
}

static void fact(struct buf *out, const char *name)
{
	buf_addf(out, "<div><dt>%s</dt><dd>", name);
}

static void add_commit_fact(struct buf *out, const json_t *report)
{
	const char *oid = report_text(report, NULL, "commit"), *subject = report_text(report, NULL, "subject");
	const char *head = report_text(report, "commits", "head"), *base = report_text(report, "commits", "base");

	if (!*oid)
		return;
	fact(out, "commit");
	html_commit(out, oid);
	if (*head && strcmp(head, oid) != 0) { /* a merged result: people know their own commit only */
		buf_adds(out, " = ");
		html_commit(out, head);
		if (*base) {
			buf_adds(out, " into ");
			html_commit(out, base);
		}
	}
	if (*subject) {
		buf_adds(out, " <bdi>");
		html_text(out, subject, 100);
		buf_adds(out, "</bdi>");
	}
	buf_adds(out, "</dd></div>\n");
}

static void add_baseline_fact(struct buf *out, const json_t *report)
{
	const json_t *b = json_object_get(report, "baseline"), *v = json_object_get(b, "version");
	const char *oid = json_get_text(b, "commit", ""), *name = json_get_text(b, "name", "");

	fact(out, "baseline");
	if (!json_is_object(b))
		buf_adds(out, "none");
	if (*name) {
		buf_adds(out, "<bdi>");
		html_text(out, name, 60);
		buf_adds(out, "</bdi>");
	}
	if (json_is_integer(v)) {
		buf_addf(out, " = v%lld", (long long)json_integer_value(v));
	} else if (json_is_string(v)) {
		buf_adds(out, " = ");
		html_text(out, json_string_value(v), 60);
	}
	if (*oid) {
		buf_adds(out, " ");
		html_commit(out, oid);
	}
	buf_adds(out, "</dd></div>\n");
}

static void add_text_fact(struct buf *out, const char *name, const char *value)
{
	if (!*value)
		return;
	fact(out, name);
	buf_adds(out, "<bdi>");
	html_text(out, value, 100);
	buf_adds(out, "</bdi></dd></div>\n");
}

static void add_facts(struct buf *out, const json_t *report)
{
	char time[32];

	buf_adds(out, "<dl class=\"facts\">\n");
	add_commit_fact(out, report);
	add_text_fact(out, "branch", report_text(report, NULL, "branch"));
	add_baseline_fact(out, report);
	if (!strncmp(report_text(report, "policy", "source"), "target ", 7)) {
		fact(out, "rules of the target");
		html_commit(out, report_text(report, "policy", "source") + 7);
		buf_adds(out, "</dd></div>\n");
	} else {
		add_text_fact(out, "rules of the", report_text(report, "policy", "source"));
	}
	add_text_fact(out, "trust", report_text(report, NULL, "trust"));
	add_text_fact(out, "recorded", report_text(report, NULL, "created"));
	if (json_is_number(json_object_get(report, "seconds"))) {
		clock_duration(time, json_get_real(report, "seconds", 0));
		add_text_fact(out, "took", time);
	}
	add_text_fact(out, "numerics", report_text(report, "tool", "numerics"));
	buf_adds(out, "</dl>\n");
}

static void add_notes(struct buf *out, const json_t *report)
{
	const json_t *notes = json_object_get(report, "notes"), *note;
	size_t i;

	if (!json_array_size(notes))
		return;
	buf_adds(out, "<ul class=\"notes\">\n");
	json_array_foreach(notes, i, note)
	{
		buf_adds(out, "<li>");
		html_text(out, json_is_string(note) ? json_string_value(note) : "", 1000);
		buf_adds(out, "</li>\n");
	}
	buf_adds(out, "</ul>\n");
}

static void add_head(struct buf *out, const json_t *report, const struct report_rows *rows)
{
	struct buf line = BUF_INIT((size_t)1 << 16), count = BUF_INIT((size_t)1 << 16);

	buf_adds(out, "<header class=\"head\">\n");
	add_title(out, report);
	report_add_count(report, rows, &count);
	buf_addf(out, "<p class=\"count\">%s%s</p>\n", buf_str(&count),
		 report_is_own(report) ? " (by the candidate's own rules: the target branch has none yet)" : "");
	if (*report_text(report, NULL, "sentence") &&
	    strcmp(report_text(report, NULL, "sentence"), buf_str(&count)) != 0) {
		buf_adds(out, "<p class=\"sentence\">");
		html_text(out, report_text(report, NULL, "sentence"), 2000);
		buf_adds(out, "</p>\n");
	}
	buf_release(&count);
	report_add_promotion(report, &line);
	if (line.len) {
		buf_adds(out, "<p class=\"promotion\">");
		html_text(out, buf_str(&line), 1000);
		buf_adds(out, "</p>\n");
	}
	add_notes(out, report);
	add_facts(out, report);
	buf_adds(out, "</header>\n");
	buf_release(&line);
}

/* ---- the page ---------------------------------------------------------------------------------------------------------------- */

static void add_bar(struct buf *out, const json_t *report, const struct buf *body)
{
	buf_adds(out, "<nav class=\"bar\" aria-label=\"sections\"><a class=\"brand\" href=\"#top\">");
	if (!report_is_diff(report))
		buf_addf(out, "<span class=\"lamp %s\" aria-hidden=\"true\"></span>",
			 verdicts[verdict_of(report)].class);
	buf_adds(out, "assay</a><span class=\"links\">");
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		char *mark = mem_printf("<section id=\"%s\">", sections[i].id);

		if (strstr(buf_str(body), mark))
			buf_addf(out, "<a href=\"#%s\">%s</a>", sections[i].id, sections[i].name);
		free(mark);
	}
	buf_adds(out, "</span><button type=\"button\" id=\"theme\" hidden>theme</button></nav>\n");
}

static void add_footer(struct buf *out, const json_t *report)
{
	const char *oid = report_text(report, NULL, "commit"), *run = report_text(report, NULL, "run");

	buf_adds(out, "<footer>assay ");
	html_text(out, report_text(report, "tool", "version"), 20);
	if (*run) {
		buf_adds(out, " \xc2\xb7 run ");
		html_commit(out, run);
	}
	if (strlen(oid) >= 40 && strspn(oid, "0123456789abcdef") == strlen(oid))
		buf_addf(out, " \xc2\xb7 again on your machine: <code>assay run %.12s</code>", oid);
	buf_adds(out, "</footer>\n");
}

void report_html(const json_t *report, const json_t *pairs, struct buf *out)
{
	const char *model = report_text(report, NULL, "model");
	bool list = json_get_int(pairs, "shown", 0) > 0;
	struct buf body = BUF_INIT(BUF_NOLIMIT), title = BUF_INIT((size_t)1 << 16);
	struct report_rows rows;

	report_rows_make(&rows, report);
	add_head(&body, report, &rows);
	html_metrics(&body, report, &rows);
	html_slices(&body, report);
	html_samples(&body, report, pairs);
	html_curves(&body, report);
	html_calibration(&body, report);
	html_overlap(&body, report);
	html_steps(&body, report);
	html_lineage(&body, report);
	if (report_is_diff(report))
		buf_addf(&title, "%s \xe2\x86\x92 %s", report_text(report, "baseline", "name"),
			 report_text(report, NULL, "name"));
	else
		buf_addf(&title, "%s %s", verdicts[verdict_of(report)].verdict, model);
	buf_adds(&title, " \xc2\xb7 assay");
	html_page_begin(out, buf_str(&title), list);
	add_bar(out, report, &body);
	buf_adds(out, "<main id=\"top\">\n");
	buf_add(out, buf_str(&body), body.len);
	add_footer(out, report);
	buf_adds(out, "</main>\n");
	html_page_end(out, list);
	report_rows_release(&rows);
	buf_release(&body);
	buf_release(&title);
}
