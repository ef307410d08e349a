/* trend.c: `assay show --trend METRIC [BRANCH]`: what the runs of a branch measured, oldest first.
 *
 * The newest run of each commit counts. Runs under a profile and partial ones are in the registry like all others, with
 * their n beside them. The document is described in ci/report_trend.c. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/print.h"
#include "runner/trend.h"

#include <unistd.h>

/* "task.metric,filter": a task's name may have dots, a metric's has none. */
struct trend_name {
	const char *whole;
	char *task, *metric, *filter, *branch;
};

static int split(struct trend_name *t)
{
	const char *name = t->whole, *comma = strchr(name, ','), *end = comma ? comma : name + strlen(name), *dot = end;

	while (dot > name && *dot != '.')
		dot--;
	if (dot == name || dot + 1 == end)
		return err_hint(err_set(ERR_USAGE, "--trend %.100s: expected task.metric", name),
				"as in intents.acc, or answers.exact_match,strict");
	t->task = mem_strn(name, (size_t)(dot - name));
	t->metric = mem_strn(dot + 1, (size_t)(end - dot - 1));
	t->filter = comma ? mem_str(comma + 1) : NULL;
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

static int nobody(const char *branch, const char *name)
{
	return err_hint(err_set(ERR_INPUT, "no run of branch %.100s measured %.100s", branch, name),
			"assay runs lists the runs, assay show RUN what they measured");
}

/* The document as text: tens of thousands of points need be nothing else. */
struct points {
	const struct trend_name *of;
	bool any;
};

static void print_head(const struct trend_name *t)
{
	struct buf head = BUF_INIT(BUF_NOLIMIT);

	buf_adds(&head, "{\n  \"format\": \"assay-trend/1\",\n  \"metric\": ");
	json_add_text(&head, t->whole, strlen(t->whole));
	buf_adds(&head, ",\n  \"branch\": ");
	json_add_text(&head, t->branch, strlen(t->branch));
	buf_adds(&head, ",\n  \"points\": [\n");
	fwrite(buf_str(&head), 1, head.len, stdout);
	buf_release(&head);
}

static int print_point(const char *row, size_t len, void *arg)
{
	struct points *p = arg;

	if (p->any)
		fputs(",\n", stdout);
	else
		print_head(p->of);
	p->any = true;
	fwrite(row, 1, len, stdout);
	return 0;
}

static int print_points(struct registry *r, const struct trend_name *t, int64_t limit)
{
	struct points p = { t, false };
	int rc = registry_trend_text(r, t->branch, t->task, t->metric, t->filter, limit, 2, print_point, &p);

	if (rc == 0 && p.any)
		puts("\n  ]\n}");
	else if (rc == 0)
		rc = nobody(t->branch, t->whole);
	return rc;
}

static int print_shown(struct registry *r, const struct trend_name *t, int64_t limit, bool html)
{
	struct buf text = BUF_INIT(REPORT_BYTES_MAX);
	json_t *rows = NULL, *doc = NULL;
	int rc = registry_trend(r, t->branch, t->task, t->metric, t->filter, limit, &rows);

	if (rc == 0 && json_array_size(rows) == 0)
		rc = nobody(t->branch, t->whole);
	if (rc == 0) {
		const struct report_term how = { terminal_width(), isatty(STDOUT_FILENO) && log_has_colour() };

		doc = json_pack("{s:s,s:s,s:s,s:O}", "format", "assay-trend/1", "metric", t->whole, "branch", t->branch,
				"points", rows);
		if (html)
			report_trend_html(doc, &text);
		else
			report_trend_terminal(doc, &text, &how);
		fwrite(buf_str(&text), 1, text.len, stdout);
	}
	buf_release(&text);
	json_decref(doc);
	json_decref(rows);
	return rc;
}

int print_trend(struct place *place, const char *name, const char *branch, int64_t limit, bool json, bool html)
{
	struct trend_name t = { .whole = name };
	int rc = split(&t);

	if (rc == 0)
		rc = branch_of(place, branch, &t.branch);
	if (rc == 0)
		rc = json ? print_points(place->home.registry, &t, limit)
			  : print_shown(place->home.registry, &t, limit, html);
	free(t.task);
	free(t.metric);
	free(t.filter);
	free(t.branch);
	return rc;
}
