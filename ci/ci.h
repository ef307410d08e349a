/* ci.h: faces to the world: one report document in, texts out.
 *
 * The report is one JSON document, "format":"assay-report/1" (its members are described in ci/report.c); the runner
 * makes it, renderers turn it into text, `assay post` reads it back as untrusted data. Everything in it that came from
 * a commit, a data set or a model is escaped for where it goes. Equal documents give equal bytes. */
#ifndef ASSAY_CI_H
#define ASSAY_CI_H

#include "base/base.h"
#include "base/json.h"

/* Checks that a document is a report: ERR_INPUT naming the member that is not as described. */
int report_check(const json_t *report);
/* Never cuts the verdict, the footer or the marker (some 2 KB; 20 KB where their texts are hostile); max_bytes 0: no limit. */
void report_markdown(const json_t *report, struct buf *out, size_t max_bytes);
struct report_term {
	int width; /* columns */
	bool colour;
};
void report_terminal(const json_t *report, struct buf *out, const struct report_term *how);
/* GitHub: ::error and ::notice lines for standard output; a few, worst first. */
void report_annotations(const json_t *report, struct buf *out);

/* The pre-push hook in a repository: writes, chains and removes. */
int hook_install(const char *hooks_dir, const char *assay_path, bool *chained);
int hook_uninstall(const char *hooks_dir, bool *restored);

/* A scaffold for `assay init`: the CI file of a forge ("github", "gitlab"). Static text; NULL: unknown forge. */
const char *ci_template(const char *forge, const char **path);

#endif
