/* render.c: a report document as any of its texts, for the scripts beside it.
 *
 *	render md|term|annotations FILE [WIDTH|MAX_BYTES] [colour]
 *	render html FILE [SAMPLES]
 *	render junit|openmetrics|csv FILE
 *
 * Not a part of the product: it lets the Markdown be read by a real Markdown parser, the chart by mermaid, and the page by
 * a browser. */
#include "base/base.h"
#include "ci/ci.h"

static int read_report(json_t **out, const char *path)
{
	int rc = json_read(out, path, (size_t)64 << 20);

	return rc ? rc : report_check(*out);
}

static int render(const char *kind, const json_t *report, const json_t *pairs, long n, bool colour, struct buf *out)
{
	struct report_term how = { .width = n ? (int)n : 80, .colour = colour };

	if (!strcmp(kind, "md"))
		report_markdown(report, out, (size_t)n);
	else if (!strcmp(kind, "term"))
		report_terminal(report, out, &how);
	else if (!strcmp(kind, "annotations"))
		report_annotations(report, out);
	else if (report_format_find(kind))
		report_format_find(kind)->write(report, pairs, out);
	else
		return err_set(ERR_USAGE, "there is no %s", kind);
	return 0;
}

int main(int argc, char **argv)
{
	struct buf out = BUF_INIT((size_t)1 << 30);
	json_t *report = NULL, *pairs = NULL;
	bool html = argc > 1 && !strcmp(argv[1], "html");
	int rc;

	if (argc < 3) {
		fprintf(stderr, "usage: render KIND FILE [WIDTH|MAX_BYTES|SAMPLES] [colour]\n");
		return 64;
	}
	rc = read_report(&report, argv[2]);
	if (!rc && html && argc > 3)
		rc = json_read(&pairs, argv[3], (size_t)1 << 30);
	if (!rc)
		rc = render(argv[1], report, pairs, argc > 3 && !html ? strtol(argv[3], NULL, 10) : 0, argc > 4, &out);
	if (rc) {
		fprintf(stderr, "render: %s\n", err_text());
		return err_exit_code(rc);
	}
	fwrite(buf_str(&out), 1, out.len, stdout);
	buf_release(&out);
	json_decref(report);
	json_decref(pairs);
	return 0;
}
