/* forge_place.c: which request of which forge a job belongs to, by the job's own environment.
 *
 * The event's file and the variables are written by the forge; names of branches and titles in them are free text of
 * whoever pushed, and only travel as data. Nothing here is read from the report: a report that came out of a fork's job may
 * say anything, but it cannot choose where it is posted (among several requests of one head it can: forge.c).
 *
 * The pattern for forks has two workflows: the first runs the code of the pull request with no secret and keeps its report as
 * an artifact, the second (workflow_run) posts it and runs nothing. The second is told the head of the first, and of a fork not
 * the number of the request. */
#include "base/base.h"
#include "base/json.h"
#include "ci/ci.h"

#define PAYLOAD_MAX ((size_t)32 << 20)

static int need(char **out, const char *variable, const char *forge)
{
	const char *v = getenv(variable);

	if (!v || !*v) {
		err_set(ERR_ENV, "%s is not set: this is no job of %s", variable, forge);
		return err_hint(ERR_ENV,
				"in a container step, pass the job's variables through; elsewhere, set them by hand");
	}
	*out = mem_str(v);
	return 0;
}

static int64_t number_of(const char *variable)
{
	const char *v = getenv(variable);

	return v ? strtoll(v, NULL, 10) : 0;
}

/* Part of a path: no way out of it. */
static int check_project(const char *s, const char *variable)
{
	bool fine = *s && !strstr(s, "..") &&
		    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == strlen(s);

	return fine ? 0 : err_set(ERR_ENV, "%s: \"%.80s\" is no project", variable, s);
}

static int check_head(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return !s[n] && (n == 40 || n == 64) ? 0
					     : err_set(ERR_ENV, "the event names a head that is no commit: %.80s", s);
}

static int check_api(const char *s, const char *variable)
{
	if (strncmp(s, "https://", 8) == 0 || strncmp(s, "http://", 7) == 0)
		return 0;
	return err_set(ERR_ENV, "%s: \"%.80s\" is no http or https address", variable, s);
}

static void set_text(char **out, const char *s)
{
	free(*out);
	*out = mem_str(s);
}

static void of_workflow_run(struct forge_place *p, const json_t *run)
{
	const json_t *repo = json_object_get(run, "head_repository");
	const char *owner = json_get_text(json_object_get(repo, "owner"), "login", NULL);
	const char *branch = json_get_text(run, "head_branch", NULL);
	const json_t *requests = json_object_get(run, "pull_requests"), *request;
	size_t i, n = 0;

	p->stranger = true;
	free(p->tested); /* the commit of this second job says nothing of the first's */
	p->tested = NULL;
	set_text(&p->head, json_get_text(run, "head_sha", ""));
	p->run = json_get_int(run, "id", p->run);
	p->attempt = json_get_int(run, "run_attempt", 1);
	if (json_get_text(run, "html_url", NULL))
		set_text(&p->url, json_get_text(run, "html_url", ""));
	json_array_foreach(requests, i, request) if (strcmp(json_get_text(json_object_get(request, "head"), "sha", ""),
							    p->head) == 0)
	{
		p->number = json_get_int(request, "number", 0);
		n++;
	}
	if (n > 1) /* of several bases: forge.c tells them apart */
		p->number = 0;
	if (!p->number && owner && branch)
		p->from = mem_printf("%s:%s", owner, branch);
}

static int read_event(struct forge_place *p)
{
	char *path = NULL;
	json_t *payload = NULL, *part;
	int rc = need(&path, "GITHUB_EVENT_PATH", "GitHub");

	if (rc == 0)
		rc = json_read(&payload, path, PAYLOAD_MAX);
	if (rc && path)
		err_context(rc, "GITHUB_EVENT_PATH");
	if (rc == 0 && (part = json_object_get(payload, "pull_request")) != NULL) {
		p->number = json_get_int(part, "number", 0);
		set_text(&p->head, json_get_text(json_object_get(part, "head"), "sha", ""));
	} else if (rc == 0 && (part = json_object_get(payload, "workflow_run")) != NULL) {
		of_workflow_run(p, part);
	}
	json_decref(payload);
	free(path);
	return rc == ERR_NOTFOUND ? ERR_ENV : rc ? rc : check_head(p->head);
}

static int read_github(struct forge_place *p)
{
	char *server = NULL;
	int rc = need(&p->api, "GITHUB_API_URL", "GitHub");

	if (rc == 0)
		rc = need(&p->project, "GITHUB_REPOSITORY", "GitHub");
	if (rc == 0)
		rc = need(&p->tested, "GITHUB_SHA", "GitHub");
	if (rc == 0)
		p->head = mem_str(p->tested);
	if (rc == 0)
		rc = need(&server, "GITHUB_SERVER_URL", "GitHub");
	if (rc == 0)
		rc = check_api(p->api, "GITHUB_API_URL");
	if (rc == 0)
		rc = check_project(p->project, "GITHUB_REPOSITORY");
	p->run = number_of("GITHUB_RUN_ID");
	p->attempt = number_of("GITHUB_RUN_ATTEMPT");
	if (rc == 0)
		p->url = mem_printf("%s/%s/actions/runs/%lld", server, p->project, (long long)p->run);
	free(server);
	return rc ? rc : read_event(p);
}

static int read_gitlab(struct forge_place *p)
{
	bool request = getenv("CI_MERGE_REQUEST_IID") != NULL;
	const char *project = request ? "CI_MERGE_REQUEST_PROJECT_ID" : "CI_PROJECT_ID";
	const char *tip = getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA");
	int rc = need(&p->api, "CI_API_V4_URL", "GitLab");

	if (rc == 0)
		rc = need(&p->project, project, "GitLab");
	if (rc == 0)
		rc = need(&p->head, "CI_COMMIT_SHA", "GitLab");
	if (rc == 0)
		rc = check_api(p->api, "CI_API_V4_URL");
	if (rc == 0)
		rc = check_project(p->project, project);
	if (rc == 0)
		p->tested = mem_str(p->head);
	if (tip && *tip) /* of a merged result, the commit is the forge's own */
		set_text(&p->head, tip);
	p->number = number_of("CI_MERGE_REQUEST_IID");
	p->run = number_of("CI_PIPELINE_ID");
	p->attempt = number_of("CI_JOB_ID");
	if (getenv("CI_JOB_URL"))
		p->url = mem_str(getenv("CI_JOB_URL"));
	return rc ? rc : check_head(p->head);
}

int forge_place_read(struct forge_place *out, const char *forge)
{
	*out = (struct forge_place){ .kind = FORGE_GITHUB };
	if (strcmp(forge, "gitlab") == 0) {
		out->kind = FORGE_GITLAB;
		return read_gitlab(out);
	}
	if (strcmp(forge, "gitea") == 0 || strcmp(forge, "forgejo") == 0)
		out->kind = FORGE_GITEA;
	else if (strcmp(forge, "github") != 0)
		return err_set(ERR_USAGE, "unknown forge \"%.64s\": github, gitlab, gitea or forgejo", forge);
	return read_github(out);
}

int forge_place_check(const struct forge_place *p, const json_t *report)
{
	const char *commit = json_get_text(report, "commit", "");
	const char *head = json_get_text(json_object_get(report, "commits"), "head", commit);
	bool tested = strcmp(commit, p->head) == 0 || (p->tested && strcmp(commit, p->tested) == 0) || p->stranger;

	if (*commit && tested && strcmp(head, p->head) == 0)
		return 0;
	err_set(ERR_INPUT, "the report is about the commit %.12s, and this job about %.12s: nothing is posted",
		*commit ? strcmp(head, p->head) == 0 || !tested ? commit : head : "(none)", p->head);
	return err_hint(ERR_INPUT, "post in the job that ran assay, or hand it that job's own report folder");
}

void forge_place_release(struct forge_place *p)
{
	free(p->tested);
	free(p->api);
	free(p->project);
	free(p->head);
	free(p->from);
	free(p->url);
	memset(p, 0, sizeof(*p));
}
