/* report_codequality.c: the report as a Code Quality report, which GitLab shows in a merge request and beside its diff, in every
 * tier and with no token.
 *
 * An issue is a rule that failed (critical) or stayed undecided (minor), or a metric that no rule speaks of and that got worse
 * (info); a run that ended in an error is one issue (blocker). All are of assay.yaml, where the rules stand. The fingerprint is
 * of the rule's name alone, so that GitLab tells a rule that has newly failed from one that fails still. Keys by GitLab's
 * documentation: description, check_name, fingerprint, severity, location. */
#include "base/base.h"
#include "base/digest.h"
#include "ci/ci_int.h"

enum { DESCRIPTION_POINTS = 400 };
#define TEXT_MAX ((size_t)1 << 16)

/* used: the fingerprints so far; of two rules of one name, which only a hostile report has, the second counts on. */
static void fingerprint(char hex[DIGEST_HEX], const char *name, json_t *used)
{
	struct digest d = digest_bytes(name, strlen(name));

	digest_hex(hex, &d);
	while (json_object_get(used, hex)) {
		d = digest_bytes(hex, strlen(hex));
		digest_hex(hex, &d);
	}
	json_object_set_new(used, hex, json_true());
}

static void add_issue(json_t *issues, json_t *used, const char *name, const char *description, const char *severity)
{
	struct buf text = BUF_INIT(TEXT_MAX), label = BUF_INIT(TEXT_MAX);
	char hex[DIGEST_HEX];

	fingerprint(hex, name, used);
	text_clean(&label, name, DESCRIPTION_POINTS);
	text_clean(&text, description, DESCRIPTION_POINTS);
	json_array_append_new(issues, json_pack("{s:o,s:s,s:s,s:s,s:{s:s,s:{s:i}}}", "description",
						json_sprintf("%s: %s", buf_str(&label), buf_str(&text)), "check_name",
						"assay", "fingerprint", hex, "severity", severity, "location", "path",
						"assay.yaml", "lines", "begin", 1));
	buf_release(&text);
	buf_release(&label);
}

void report_codequality(const json_t *report, struct buf *out)
{
	static const char *const severities[] = {
		[ROW_FAIL] = "critical", [ROW_UNDECIDED] = "minor", [ROW_WORSE] = "info"
	};
	json_t *issues = json_array(), *used = json_object();
	struct report_rows rows;

	report_rows_make(&rows, report);
	for (size_t i = 0; i < rows.n; i++) {
		const struct report_row *r = &rows.items[i];
		const char *rule = json_get_text(r->rule, "rule", "");

		if ((size_t)r->mark < ARRAY_LEN(severities) && severities[r->mark])
			add_issue(issues, used, *rule ? rule : r->label,
				  *r->explanation ? r->explanation : r->requirement, severities[r->mark]);
	}
	if (!strcmp(report_verdict(report), "ERROR"))
		add_issue(issues, used, "verdict", report_text(report, NULL, "sentence"), "blocker");
	json_add_pretty(out, issues);
	report_rows_release(&rows);
	json_decref(issues);
	json_decref(used);
}
