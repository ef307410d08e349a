/* report_junit.c: the report as JUnit XML, which every CI shows beside its test results.
 *
 * A test case is a rule of the gate: its class is the task, its name the rule as the policy has it, so that "newly failed"
 * means the same rule as before. FAIL is a failure, ERROR an error; a rule that stayed undecided is a failure where the run
 * blocks, else skipped, with the reason. What no rule speaks of is no test. A run without any verdict of a rule (an error
 * before the gate) has one case "verdict". The shape is that of Jenkins's and GitLab's reader: testsuites, testsuite,
 * testcase, failure | error | skipped; XML 1.0 has no control characters, and none is left by then (report_text.c). */
#include "base/base.h"
#include "ci/ci_int.h"

#define TEXT_MAX ((size_t)1 << 16)

enum outcome { HOLDS, FAILURE, ERRORED, SKIPPED };

static void add_text(struct buf *out, const char *s)
{
	struct buf clean = BUF_INIT(TEXT_MAX);

	text_clean(&clean, s, 2000);
	for (const char *p = buf_str(&clean); *p; p++) {
		if (strchr("&<>\"'", *p))
			buf_addf(out, "&#%d;", *p);
		else
			buf_addc(out, *p);
	}
	buf_release(&clean);
}

static enum outcome outcome_of(const struct report_row *r, bool blocks)
{
	if (!strcmp(r->verdict, "ERROR"))
		return ERRORED;
	if (r->mark == ROW_FAIL)
		return FAILURE;
	return r->mark == ROW_UNDECIDED ? (blocks ? FAILURE : SKIPPED) : HOLDS;
}

static void add_case(struct buf *out, const char *class, const char *name, enum outcome how, const char *type,
		     const char *message)
{
	static const char *const elements[] = { [FAILURE] = "failure", [ERRORED] = "error", [SKIPPED] = "skipped" };

	buf_adds(out, "    <testcase classname=\"");
	add_text(out, class);
	buf_adds(out, "\" name=\"");
	add_text(out, name);
	if (how == HOLDS) {
		buf_adds(out, "\"/>\n");
		return;
	}
	buf_addf(out, "\">\n      <%s message=\"", elements[how]);
	add_text(out, message);
	if (how != SKIPPED) {
		buf_adds(out, "\" type=\"");
		add_text(out, type);
	}
	buf_adds(out, "\"/>\n    </testcase>\n");
}

void report_junit(const json_t *report, struct buf *out)
{
	const char *model = report_text(report, NULL, "model"), *verdict = report_verdict(report);
	bool blocks = json_get_int(report, "exit", 70) != 0;
	size_t count[SKIPPED + 1] = { 0 }, n = 0;
	struct buf cases = BUF_INIT(BUF_NOLIMIT);
	struct report_rows rows;

	report_rows_make(&rows, report);
	for (size_t i = 0; i < rows.n; i++) {
		const struct report_row *r = &rows.items[i];
		const char *task = json_get_text(r->rule, "task", ""), *rule = json_get_text(r->rule, "rule", "");
		enum outcome how = outcome_of(r, blocks);

		if (!r->gated)
			continue;
		count[how]++;
		n++;
		add_case(&cases, *task ? task : "gate", *rule ? rule : r->label, how, r->verdict,
			 json_get_text(r->rule, "explanation", ""));
	}
	if (!n && !report_is_diff(report)) {
		enum outcome how = !strcmp(verdict, "PASS")    ? HOLDS
				   : !strcmp(verdict, "ERROR") ? ERRORED
				   : blocks                    ? FAILURE
							       : SKIPPED;

		count[how]++;
		n++;
		add_case(&cases, "gate", "verdict", how, verdict, report_text(report, NULL, "sentence"));
	}
	buf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"assay");
	if (*model) {
		buf_adds(out, ": ");
		add_text(out, model);
	}
	buf_addf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\">\n", n,
		 count[FAILURE], count[ERRORED], count[SKIPPED], json_get_real(report, "seconds", 0));
	buf_add(out, buf_str(&cases), cases.len);
	buf_adds(out, "  </testsuite>\n</testsuites>\n");
	report_rows_release(&rows);
	buf_release(&cases);
}
