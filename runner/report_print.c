/* report_print.c: a report on standard output, as the terminal has it or in one of the formats of ci/report_format.c. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/print.h"

#include <unistd.h>

int report_choose(const struct report_format **out, const char *name, bool markdown, bool html)
{
	*out = NULL;
	if ((name != NULL) + markdown + html > 1)
		return err_set(ERR_USAGE, "--format, --md and --html exclude each other");
	if (markdown || html)
		name = markdown ? "md" : "html";
	if (!name || strcmp(name, "term") == 0)
		return 0;
	*out = report_format_find(name);
	if (*out)
		return 0;
	err_set(ERR_USAGE, "--format %.40s is unknown", name);
	return err_hint(ERR_USAGE, "known are term, md, html, report, junit, openmetrics, csv and annotations");
}

int report_print(const json_t *report, const json_t *pairs, const struct report_format *format)
{
	struct buf text = BUF_INIT(REPORT_BYTES_MAX);
	size_t done;

	if (!format) {
		print_report(report, stdout);
		return 0;
	}
	if (format->pairs && isatty(STDOUT_FILENO))
		return err_hint(err_set(ERR_USAGE, "a web page is not for the terminal"), "redirect it: > report.html");
	format->write(report, pairs, &text);
	done = fwrite(buf_str(&text), 1, text.len, stdout);
	if (done != text.len || fflush(stdout) != 0) {
		buf_release(&text);
		return err_set(ERR_IO, "standard output cannot be written");
	}
	buf_release(&text);
	return 0;
}
