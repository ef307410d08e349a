/* cmd_post.c: `assay post FORGE`: a finished report as the one comment on its pull or merge request.
 *
 * It is a command of its own, because a fork's job has a token that may only read: that job writes the report, and a
 * second one, which runs nothing, posts it. So the report is a stranger's data here: it is checked, and its Markdown is made
 * again from it; one about another commit than the job's is refused (65). A missing token or permission is told with the lines that add it, and is no failure, unless --strict:
 * the verdict is the run's, not the comment's. */
#include "base/base.h"
#include "ci/ci.h"
#include "runner/cmd.h"

#define REPORT_MAX ((size_t)64 << 20)

static const char *token_of(const char *forge)
{
	const char *ours = getenv(strcmp(forge, "gitlab") == 0 ? "ASSAY_GITLAB_TOKEN" : "ASSAY_GITHUB_TOKEN");
	const char *usual = getenv(strcmp(forge, "gitlab") == 0 ? "GITLAB_TOKEN" : "GITHUB_TOKEN");

	return ours && *ours ? ours : usual && *usual ? usual : NULL;
}

static int no_token(const char *forge)
{
	err_set(ERR_UNAVAILABLE, "there is no token to post with");
	if (strcmp(forge, "gitlab") == 0)
		return err_hint(
			ERR_UNAVAILABLE,
			"make a project access token (role Reporter, scope api) and keep it in the masked variable "
			"ASSAY_GITLAB_TOKEN; of a protected variable, other branches see nothing");
	return err_hint(ERR_UNAVAILABLE, "add to the step:\n  env:\n    GITHUB_TOKEN: ${{ github.token }}");
}

static int read_report(json_t **out, const char *dir)
{
	char *path = fs_is_dir(dir) ? path_join(dir, "report.json") : mem_str(dir);
	struct buf text = BUF_INIT(REPORT_MAX);
	int rc = fs_read_plain(&text, path, REPORT_MAX);

	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "%s: there is no report", path);
		err_hint(rc, "assay run --report-dir DIR writes it; then: assay post FORGE --report-dir DIR");
	}
	if (rc == 0)
		rc = json_parse(out, buf_str(&text), text.len, path);
	if (rc == 0)
		rc = report_check(*out);
	buf_release(&text);
	free(path);
	return rc;
}

static void tell(enum forge_done done, const struct forge_place *p, bool status)
{
	const char *name = forge_name(p->kind);

	if (done == FORGE_NO_REQUEST && status)
		return; /* a push, whose commit is marked */
	if (done == FORGE_NO_REQUEST)
		printf("%s: this job belongs to no open request: nothing is posted\n", name);
	else if (done == FORGE_NEWER_STANDS)
		printf("%s: the comment of a later run stands\n", name);
	else
		printf("%s: the comment is %s\n", name, done == FORGE_CREATED ? "written" : "up to date");
}

static int post(const char *forge, const char *dir, struct forge_post *how, bool comment, bool status, bool dry)
{
	struct forge_place place;
	enum forge_done done = FORGE_NO_REQUEST;
	json_t *report = NULL;
	int rc = read_report(&report, dir);

	memset(&place, 0, sizeof(place));
	if (rc == 0)
		rc = forge_place_read(&place, forge);
	if (rc == 0)
		rc = forge_place_check(&place, report);
	if (rc == 0 && dry) {
		struct buf text = BUF_INIT((size_t)1 << 22);

		forge_body(&text, &place, how->key, report, 60000);
		fwrite(buf_str(&text), 1, text.len, stdout);
		buf_release(&text);
	} else if (rc == 0) {
		how->token = token_of(forge);
		rc = !how->token ? no_token(forge) : comment ? forge_comment(&done, &place, how, report) : 0;
		if (rc == 0 && done == FORGE_MOVED_ON)
			rc = err_set(ERR_UNAVAILABLE, "the head of %s's request is not %.12s any more",
				     forge_name(place.kind), place.head);
		if (rc == 0)
			tell(done, &place, status);
		if (rc == 0 && status)
			rc = forge_status(&place, how, report);
		if (rc == 0 && status)
			printf("%s: %.12s is marked\n", forge_name(place.kind), place.head);
	}
	forge_place_release(&place);
	json_decref(report);
	return rc;
}

int cmd_post(int argc, char **argv)
{
	const char *dir = ".", *key = "default", *author = NULL;
	bool comment = true, status = false, dry = false, strict = false;
	const struct opt opts[] = {
		OPT_TEXT(0, "report-dir", &dir, "DIR", "where `assay run --report-dir` wrote report.json"),
		OPT_TEXT(0, "key", &key, "NAME", "tells the comments of several jobs apart"),
		OPT_TEXT(0, "author", &author, "LOGIN", "whose comments are ours (default: the token's owner)"),
		OPT_FLAG(0, "comment", &comment, "write the comment (default); --no-comment: the commit's mark alone"),
		OPT_FLAG(0, "status", &status, "mark the commit as passed or failed, too"),
		OPT_FLAG(0, "dry-run", &dry, "print the comment, ask nobody"),
		OPT_FLAG(0, "strict", &strict, "fail where the comment could not be written"),
		OPT_END,
	};
	const struct opt_usage usage = {
		"post",
		"github|gitlab|gitea|forgejo",
		"put a finished report on its pull or merge request",
		"Run it in the CI job, behind `assay run`; or, for forks, in a second workflow that downloads the "
		"report.\n"
		"The comment of the job before is brought up to date; that of a later one is left alone.\n\n"
		"  GITHUB_TOKEN=${{ github.token }} assay post github --report-dir report",
		1,
		1
	};
	struct forge_post how = { .retry_s = 1 };
	int rc = opt_parse(&argc, &argv, opts, &usage);

	if (rc)
		return rc == OPT_HELPED ? 0 : rc;
	if (!comment && !status)
		return err_set(ERR_USAGE, "--no-comment without --status: there is nothing to post");
	how.key = key;
	how.author = author;
	rc = post(argv[0], dir, &how, comment, status, dry);
	if (rc == ERR_UNAVAILABLE && !strict) {
		log_warn("nothing is posted: %s", err_text());
		if (err_fix())
			log_warn("%s", err_fix());
		err_clear();
		rc = 0;
	}
	return rc;
}
