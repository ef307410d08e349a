/* report_format.c: the table of what a report can be written as: its name on the command line, its file in a report
 * folder, and who writes it. A new renderer is a row. */
#include "base/base.h"
#include "ci/ci_int.h"

#define COMMENT_MAX ((size_t)60000) /* bytes of a forge's comment */

static void write_md(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	report_markdown(report, out, COMMENT_MAX);
}

static void write_document(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	json_add_pretty(out, report);
}

static void write_junit(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	report_junit(report, out);
}

static void write_openmetrics(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	report_openmetrics(report, out);
}

static void write_csv(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	report_csv(report, out);
}

static void write_annotations(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	report_annotations(report, out);
}

static void write_codequality(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	report_codequality(report, out);
}

static void write_dotenv(const json_t *report, const json_t *pairs, struct buf *out)
{
	(void)pairs;
	report_dotenv(report, out);
}

const struct report_format report_formats[] = {
	{ "report", "report.json", write_document, false },
	{ "md", "report.md", write_md, false },
	{ "html", "report.html", report_html, true },
	{ "junit", "junit.xml", write_junit, false },
	{ "openmetrics", "metrics.txt", write_openmetrics, false },
	{ "csv", "report.csv", write_csv, false },
	{ "annotations", "annotations.txt", write_annotations, false },
	{ "codequality", "codequality.json", write_codequality, false },
	{ "dotenv", "report.env", write_dotenv, false },
	{ NULL, NULL, NULL, false },
};

const struct report_format *report_format_find(const char *name)
{
	for (const struct report_format *f = report_formats; f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}
