/* render.c: a report document as any of its texts, for the scripts beside it.
 *
 *	render md|term|annotations FILE [WIDTH|MAX_BYTES] [colour]
 *
 * Not a part of the product: it lets the Markdown be read by a real Markdown parser and the chart by mermaid. */
#include "base/base.h"
#include "ci/ci.h"

int main(int argc, char **argv)
{
	struct buf out = BUF_INIT((size_t)64 << 20);
	struct report_term how = { .width = 80 };
	json_t *report = NULL;
	long n = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
	int rc;

	if (argc < 3) {
		fprintf(stderr, "usage: render md|term|annotations FILE [WIDTH|MAX_BYTES] [colour]\n");
		return 64;
	}
	rc = json_read(&report, argv[2], (size_t)64 << 20);
	if (!rc)
		rc = report_check(report);
	if (rc) {
		fprintf(stderr, "render: %s\n", err_text());
		return err_exit_code(rc);
	}
	if (!strcmp(argv[1], "md")) {
		report_markdown(report, &out, (size_t)n);
	} else if (!strcmp(argv[1], "term")) {
		how.width = n ? (int)n : 80;
		how.colour = argc > 4;
		report_terminal(report, &out, &how);
	} else {
		report_annotations(report, &out);
	}
	fwrite(buf_str(&out), 1, out.len, stdout);
	buf_release(&out);
	json_decref(report);
	return 0;
}
