/* trend.c: `assay show --trend METRIC [BRANCH]`: what the runs of a branch measured, oldest first.
 *
 * The newest run of each commit counts. Runs under a profile and partial ones are in the registry like all others, with
 * their n beside them. The document is described in ci/report_trend.c. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/print.h"
#include "runner/trend.h"

#include <unistd.h>

enum { POINTS_MAX = 1000 };

/* "task.metric,filter": a task's name may have dots, a metric's has none. */
static int split(const char *name, char **task, char **metric, char **filter)
{
	const char *comma = strchr(name, ','), *end = comma ? comma : name + strlen(name), *dot = end;

	while (dot > name && *dot != '.')
		dot--;
	if (dot == name || dot + 1 == end)
		return err_hint(err_set(ERR_USAGE, "--trend %.100s: expected task.metric", name),
				"as in intents.acc, or answers.exact_match,strict");
	*task = mem_strn(name, (size_t)(dot - name));
	*metric = mem_strn(dot + 1, (size_t)(end - dot - 1));
	*filter = comma ? mem_str(comma + 1) : NULL;
	return 0;
}

static int branch_of(struct place *place, const char *given, char **branch)
{
	int rc;

	if (given) {
		*branch = mem_str(given);
		return 0;
	}
	if (!place->repo)
		return err_set(ERR_USAGE, "--trend: name the branch");
	rc = repo_head_branch(place->repo, branch);
	return rc == ERR_NOTFOUND ? err_set(ERR_USAGE, "--trend: no branch is checked out; name one") : rc;
}

int print_trend(struct place *place, const char *name, const char *given, bool json, bool html)
{
	char *task = NULL, *metric = NULL, *filter = NULL, *branch = NULL;
	json_t *rows = NULL, *doc = NULL;
	struct buf text = BUF_INIT(REPORT_BYTES_MAX);
	int rc = split(name, &task, &metric, &filter);

	if (rc == 0)
		rc = branch_of(place, given, &branch);
	if (rc == 0)
		rc = registry_trend(place->home.registry, branch, task, metric, filter, POINTS_MAX, &rows);
	if (rc == 0 && json_array_size(rows) == 0) {
		rc = err_set(ERR_INPUT, "no run of branch %.100s measured %.100s", branch, name);
		err_hint(rc, "assay runs lists the runs, assay show RUN what they measured");
	}
	if (rc == 0) {
		doc = json_pack("{s:s,s:s,s:s,s:O}", "format", "assay-trend/1", "metric", name, "branch", branch,
				"points", rows);
		if (json) {
			print_json(doc);
		} else if (html) {
			report_trend_html(doc, &text);
		} else {
			const struct report_term how = { terminal_width(), isatty(STDOUT_FILENO) && log_has_colour() };

			report_trend_terminal(doc, &text, &how);
		}
		fwrite(buf_str(&text), 1, text.len, stdout);
	}
	buf_release(&text);
	json_decref(doc);
	json_decref(rows);
	free(task);
	free(metric);
	free(filter);
	free(branch);
	return rc;
}
