/* report_dotenv.c: the report as lines NAME=value, which GitLab hands to later jobs as variables (artifacts:reports:dotenv).
 *
 * GitLab takes no comment, no empty line and no value of several lines, and 5 KB at most. A value may end in a shell without
 * quotes, so what came from a commit keeps only characters that no shell reads as anything else. The names begin as none of
 * assay's own settings does (ASSAY_RESULT_), since every option can be set by a variable. */
#include "base/base.h"
#include "ci/ci_int.h"

#include <ctype.h>

enum { VALUE_MAX = 200 };

static void add_line(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "ASSAY_RESULT_%s=", name);
	for (size_t i = 0; value[i] && i < VALUE_MAX; i++)
		buf_addc(out, isalnum((unsigned char)value[i]) || strchr("._-/@+", value[i]) ? value[i] : '_');
	buf_addc(out, '\n');
}

void report_dotenv(const json_t *report, struct buf *out)
{
	int64_t number = json_get_int(json_object_get(report, "version"), "number", 0);
	char text[32] = "";

	add_line(out, "VERDICT", report_is_diff(report) ? "" : report_verdict(report));
	snprintf(text, sizeof(text), "%lld", (long long)json_get_int(report, "exit", 70));
	add_line(out, "EXIT", text);
	add_line(out, "RUN", report_text(report, NULL, "run"));
	add_line(out, "COMMIT", report_text(report, NULL, "commit"));
	add_line(out, "MODEL", report_text(report, NULL, "model"));
	snprintf(text, sizeof(text), "%lld", (long long)number);
	add_line(out, "VERSION", number > 0 ? text : "");
}
