/* forge_call.c: one request to a forge, and what its refusals mean.
 *
 * A forge is a busy server behind proxies: an answer may not come, may be an error page, or may come after the thing was done. So
 * what changes nothing when it is done twice is tried again; a POST is not, unless the forge says that it did not look at
 * it (429, 403 with a time to wait). Whether a POST without an answer took effect is found out by its caller.
 *
 * A refusal is told as what to write into which file: the usual one is a permission that the job has not asked for. */
#include "base/base.h"
#include "base/http.h"
#include "ci/forge_int.h"

#include <ctype.h>
#include <unistd.h>

enum { TRIES = 5, WAIT_MAX_S = 60, TIMEOUT_S = 30 };
#define ANSWER_MAX ((size_t)32 << 20)

int forge_open(struct forge *f, const struct forge_place *p, const struct forge_post *how)
{
	*f = (struct forge){ .place = p, .how = how };
	if (getenv("ASSAY_OFFLINE")) {
		err_set(ERR_UNAVAILABLE, "ASSAY_OFFLINE is set, and a report is to be posted to %s", p->api);
		return err_hint(ERR_UNAVAILABLE, "unset it, or leave out assay post");
	}
	return http_pool_open(&f->pool);
}

void forge_close(struct forge *f)
{
	http_pool_close(f->pool);
	f->pool = NULL;
}

bool forge_is_ill(long status)
{
	return status == 0 || status >= 500;
}

/* Did it turn the request away unread, and ask to come again? */
static bool asks_to_wait(const struct http_response *r)
{
	return r->status == 429 || (r->status == 403 && r->retry_after_s > 0);
}

static int send_once(const struct forge *f, struct http_response *out, const struct http_request *r)
{
	void *tag = NULL;
	int rc = http_pool_send(f->pool, r, (void *)(uintptr_t)r);

	while (rc == 0 && !tag)
		rc = http_pool_wait(f->pool, TIMEOUT_S, out, &tag);
	return rc;
}

void forge_pause(double seconds)
{
	usleep((useconds_t)((seconds < WAIT_MAX_S ? seconds : WAIT_MAX_S) * 1e6));
}

static const char *value_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(line, name, n) == 0 ? line + n + strspn(line + n, " ") : NULL;
}

/* Link: <https://…&page=2>; rel="next", <https://…&page=5>; rel="last" */
static void take_link(struct forge_answer *a, const char *links)
{
	for (const char *at = links, *end; (at = strchr(at, '<')) != NULL && (end = strchr(at, '>')) != NULL;
	     at = end) {
		size_t rest = strcspn(end, "<"), len = (size_t)(end - at) - 1;
		const char *rel = strstr(end, "rel=");
		size_t n = rel ? 4 + strspn(rel + 4, "\"") : 0;

		if (rel && rel < end + rest && strncmp(rel + n, "next", 4) == 0 &&
		    !isalpha((unsigned char)rel[n + 4]) && len < sizeof(a->next))
			snprintf(a->next, sizeof(a->next), "%.*s", (int)len, at + 1);
	}
	a->pages = true;
}

static void take_head_line(const char *line, void *arg)
{
	struct forge_answer *a = arg;
	const char *v;

	if (strncmp(line, "HTTP/", 5) == 0) { /* another answer, of a proxy or to the try before */
		a->pages = false;
		a->next[0] = a->next_n[0] = a->scopes[0] = 0;
	} else if ((v = value_of(line, "Link:")) != NULL) {
		take_link(a, v);
	} else if ((v = value_of(line, "X-Next-Page:")) != NULL) {
		a->pages = true;
		snprintf(a->next_n, sizeof(a->next_n), "%.*s", (int)strspn(v, "0123456789"), v);
	} else if ((v = value_of(line, "X-OAuth-Scopes:")) != NULL) {
		snprintf(a->scopes, sizeof(a->scopes), "%s", v);
	}
}

int forge_call(const struct forge *f, struct forge_answer *out, const char *method, const char *path,
	       const json_t *body)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT);
	char *url = mem_printf("%s%s", f->place->api, path);
	struct http_request r = { .url = url,
				  .method = method,
				  .bearer = f->how->token,
				  .timeout_s = f->how->timeout_s > 0 ? f->how->timeout_s : TIMEOUT_S,
				  .max = ANSWER_MAX,
				  .head_line = take_head_line,
				  .head_arg = out };
	struct http_response answer = { 0 };
	bool again = true;
	double wait = f->how->retry_s;
	int rc = 0;

	*out = (struct forge_answer){ 0 };
	if (body) {
		json_add(&text, body);
		r.body = buf_str(&text);
		r.len = text.len;
	}
	for (int i = 0; rc == 0 && again; i++, wait *= 2) {
		if (i)
			forge_pause(answer.retry_after_s > wait ? answer.retry_after_s : wait);
		buf_release(&answer.body);
		rc = send_once(f, &answer, &r);
		again = i + 1 < (f->how->timeout_s > 0 ? 1 : TRIES) &&
			(asks_to_wait(&answer) || (forge_is_ill(answer.status) && strcmp(method, "POST") != 0));
	}
	out->status = answer.status;
	if (rc == 0 && json_parse(&out->json, buf_str(&answer.body), answer.body.len, "answer")) {
		out->json = NULL; /* an error page */
		err_clear();
	}
	buf_release(&answer.body);
	buf_release(&text);
	free(url);
	return rc;
}

/* ---- refusals -------------------------------------------------------------------------------------------------------- */

static int no_permission(const struct forge *f, const char *doing)
{
	int rc = ERR_UNAVAILABLE;

	if (f->place->kind == FORGE_GITLAB)
		return err_hint(rc, "a job token may read notes and not write them: make a project access token with "
				    "the role Reporter and "
				    "the scope api, and keep it in the masked variable ASSAY_GITLAB_TOKEN");
	if (f->place->kind == FORGE_GITEA)
		return err_hint(rc, "a token with the scopes write:issue and read:repository, in the secret that "
				    "GITHUB_TOKEN is set from");
	return err_hint(rc,
			"add to the job in the workflow file:\n  permissions:\n    contents: read\n    %s: write\n(a "
			"fork's job may "
			"only read, whatever it asks for: post from a second workflow, docs/ci.md)",
			strstr(doing, "status") ? "statuses" : "pull-requests");
}

int forge_refusal(const struct forge *f, const struct forge_answer *a, const char *doing)
{
	const char *name = forge_name(f->place->kind);
	const char *says = json_get_text(a->json, "message", "");
	struct buf safe = BUF_INIT(400);
	int rc = ERR_UNAVAILABLE;

	for (const char *p = says; *p && safe.len < 200; p++) /* it goes to a log */
		buf_addc(&safe, (unsigned char)*p < 32 || *p == 127 ? ' ' : *p);
	if (a->status == 401) {
		err_set(rc, "%s does not accept the token", name);
		err_hint(rc, "is it expired, or of another server? It was sent to %s", f->place->api);
	} else if (a->status == 403 || (a->status == 404 && (strstr(doing, "comment") || strstr(doing, "request")))) {
		err_set(rc, "%s does not let this token %s (%ld%s%s)", name, doing, a->status, *says ? ": " : "",
			buf_str(&safe));
		no_permission(f, doing);
	} else if (a->status == 0) {
		err_set(rc, "%s: no answer from %s", name, f->place->api);
		err_hint(rc, "run the job again: nothing is posted twice");
	} else {
		err_set(rc, "%s: %ld%s%s when asked to %s", name, a->status, *says ? ": " : "", buf_str(&safe), doing);
		err_hint(rc, forge_is_ill(a->status) ? "run the job again: nothing is posted twice"
						     : "see the forge's documentation of that number");
	}
	buf_release(&safe);
	return rc;
}
