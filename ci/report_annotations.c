/* report_annotations.c: workflow commands of GitHub Actions: "::error title=…::…" lines that show on the run's page and
 * on the commit.
 *
 * The first says the verdict and its sentence; then the rules that failed, or stayed undecided, worst first, five in
 * all, since the page shows ten a step. An error where the run blocks, a notice or a warning where it does not. Escaped
 * as the runner reads them back: % and line ends in a message, and : , too in a property; control bytes are pictures
 * by then (report_text.c), so no value can begin a command of its own. */
#include "base/base.h"
#include "ci/ci_int.h"

enum { ANNOTATIONS_MAX = 5, MESSAGE_POINTS = 400 };
#define MESSAGE_MAX ((size_t)1 << 16)

static void add_escaped(struct buf *out, const char *s, bool property)
{
	struct buf clean = BUF_INIT(MESSAGE_MAX);

	text_clean(&clean, s, MESSAGE_POINTS);
	for (const char *p = buf_str(&clean); *p; p++) {
		if (*p == '%' || (property && (*p == ':' || *p == ',')))
			buf_addf(out, "%%%02X", *p);
		else
			buf_addc(out, *p);
	}
	buf_release(&clean);
}

static void add_command(struct buf *out, const char *command, const char *title, const char *message)
{
	buf_addf(out, "::%s title=", command);
	add_escaped(out, title, true);
	buf_adds(out, "::");
	add_escaped(out, message, false);
	buf_addc(out, '\n');
}

void report_annotations(const json_t *report, struct buf *out)
{
	const char *verdict = report_verdict(report);
	bool pass = !strcmp(verdict, "PASS"), blocks = json_get_int(report, "exit", 70) != 0;
	struct report_rows rows;
	char *title = mem_printf("assay: %s", verdict);
	int n = 1;

	add_command(out, blocks ? "error" : pass ? "notice" : "warning", title, report_text(report, NULL, "sentence"));
	report_rows_make(&rows, report);
	for (size_t i = 0; i < rows.n && n < ANNOTATIONS_MAX; i++) {
		const struct report_row *r = &rows.items[i];

		if (r->mark > ROW_UNDECIDED)
			continue;
		free(title);
		title = mem_printf("assay: %s", r->label);
		add_command(out, blocks ? "error" : "warning", title,
			    *r->explanation ? r->explanation : r->requirement);
		n++;
	}
	report_rows_release(&rows);
	free(title);
}
