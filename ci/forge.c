/* forge.c: the report as one comment on a pull or merge request, kept up to date.
 *
 * The comment is found again by two things together: its last line, a hidden marker with the key, and its author, since
 * anybody can paste a marker. All pages are read. The marker also says which job wrote it, and a comment of a later job
 * is never overwritten by an earlier one that took longer.
 *
 * Two jobs may look at once, find nothing, and both write; and a forge may write a comment and then answer 502. So behind
 * every new comment the list is read again: the oldest of ours stays, the others are removed, and what is wanted is
 * brought into the one that stays.
 *
 * GitHub's, Gitea's and Forgejo's interface is one (comments of an issue); GitLab's differs in three names and a path. */
#include "base/base.h"
#include "ci/ci_int.h"
#include "ci/forge_int.h"

#include <ctype.h>

/* A comment's ceiling is 65,536 characters at GitHub and 1,000,000 at GitLab, where nobody reads so much either. */
enum { BODY_MAX = 60000, PAGE = 100, PAGES_MAX = 1000, ROUNDS = 4 };

static const struct forge_words {
	const char *name;
	const char *comments; /* project, request */
	const char *update, *author, *login;
	const char *statuses; /* project, commit */
	const char *robot;    /* whom the job's own token writes as, which may not ask who it is; NULL: any token may */
	const char *failed, *broken; /* states of a commit beside "success" */
} words[] = {
	[FORGE_GITHUB] = { "GitHub", "/repos/%s/issues/%lld/comments", "PATCH", "user", "login",
			   "/repos/%s/statuses/%s", "github-actions[bot]", "failure", "error" },
	[FORGE_GITEA] = { "Gitea", "/repos/%s/issues/%lld/comments", "PATCH", "user", "login", "/repos/%s/statuses/%s",
			  "gitea-actions", "failure", "error" },
	[FORGE_GITLAB] = { "GitLab", "/projects/%s/merge_requests/%lld/notes", "PUT", "author", "username",
			   "/projects/%s/statuses/%s", NULL, "failed", "failed" },
};

const char *forge_name(enum forge_kind kind)
{
	return words[kind].name;
}

static const struct forge_words *words_of(const struct forge *f)
{
	return &words[f->place->kind];
}

/* ---- the text -------------------------------------------------------------------------------------------------------- */

static void add_marker(struct buf *out, const char *key)
{
	buf_adds(out, "<!-- assay:comment v1 key=");
	for (const char *s = key; *s; s++)
		buf_addc(out, isalnum((unsigned char)*s) || *s == '.' || *s == '_' ? *s : '_');
}

void forge_body(struct buf *out, const struct forge_place *p, const char *key, const json_t *report, size_t max)
{
	size_t more = 512;

	if (p->stranger)
		buf_addf(out,
			 "<sub>Reported by a job that ran the code of this request, at <code>%.12s</code>: nobody has "
			 "checked "
			 "it.</sub>\n\n",
			 p->head);
	report_markdown(report, out, max > more + out->len ? max - more - out->len : 1);
	add_marker(out, key);
	buf_addf(out, " head=%.12s run=%lld.%lld -->\n", p->head, (long long)p->run, (long long)p->attempt);
}

/* The marker is the last line, and its job is read from it. */
static bool is_ours(const char *body, const char *marker, int64_t *run, int64_t *attempt)
{
	const char *last = body, *job;
	size_t len = strlen(body);

	while (len && isspace((unsigned char)body[len - 1]))
		len--;
	for (const char *s = body; s < body + len; s++)
		if (*s == '\n')
			last = s + 1;
	if (strncmp(last, marker, strlen(marker)) != 0 || last[strlen(marker)] != ' ')
		return false;
	job = strstr(last, " run=");
	*run = *attempt = 0;
	if (job) {
		char *end;
		*run = strtoll(job + 5, &end, 10);
		*attempt = *end == '.' ? strtoll(end + 1, NULL, 10) : 0;
	}
	return true;
}

/* ---- who we are ------------------------------------------------------------------------------------------------------ */

static int find_author(const struct forge *f, char **out)
{
	const struct forge_words *w = words_of(f);
	struct forge_answer a;
	int rc;

	*out = NULL;
	if (f->how->author) {
		*out = mem_str(f->how->author);
		return 0;
	}
	rc = forge_call(f, &a, "GET", "/user", NULL);
	if (rc == 0 && a.status == 200)
		*out = mem_str(json_get_text(a.json, w->login, NULL));
	else if (rc == 0 && w->robot && (a.status == 403 || a.status == 404))
		*out = mem_str(w->robot);
	else if (rc == 0)
		rc = forge_refusal(f, &a, "ask whose it is");
	json_decref(a.json);
	if (rc == 0 && !*out) {
		rc = err_set(ERR_UNAVAILABLE, "%s does not say whose the token is", w->name);
		err_hint(rc, "name it: --author LOGIN");
	}
	return rc;
}

/* ---- which comments are ours ----------------------------------------------------------------------------------------- */

struct mine {
	int64_t oldest;       /* the one that stays; 0: there is none */
	int64_t run, attempt; /* of the latest job that wrote one of them */
	int64_t others[PAGE]; /* to be removed */
	size_t n_others;
};

static void take_comment(struct mine *m, const json_t *comment, const struct forge_words *w, const char *author,
			 const char *marker)
{
	const char *body = json_get_text(comment, "body", "");
	const char *by = json_get_text(json_object_get(comment, w->author), w->login, "");
	int64_t id = json_get_int(comment, "id", 0), run, attempt, other;

	if (id <= 0 || json_get_flag(comment, "system", false) || strcasecmp(by, author) != 0 ||
	    !is_ours(body, marker, &run, &attempt))
		return;
	if (run > m->run || (run == m->run && attempt > m->attempt)) {
		m->run = run;
		m->attempt = attempt;
	}
	if (!m->oldest) {
		m->oldest = id;
		return;
	}
	other = id > m->oldest ? id : m->oldest;
	m->oldest = id > m->oldest ? m->oldest : id;
	if (m->n_others < ARRAY_LEN(m->others))
		m->others[m->n_others++] = other;
}

static int find_mine(const struct forge *f, struct mine *out, const char *author)
{
	const struct forge_words *w = words_of(f);
	struct buf marker = BUF_INIT(1 << 12);
	int64_t seen = 0;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	add_marker(&marker, f->how->key);
	for (int page = 1; rc == 0 && page <= PAGES_MAX; page++) {
		char *list = mem_printf(w->comments, f->place->project, (long long)f->place->number);
		char *path = mem_printf("%s?%s=%d&page=%d", list, f->place->kind == FORGE_GITEA ? "limit" : "per_page",
					PAGE, page);
		struct forge_answer a;
		size_t n;

		rc = forge_call(f, &a, "GET", path, NULL);
		free(list);
		free(path);
		if (rc == 0 && (a.status != 200 || !json_is_array(a.json)))
			rc = forge_refusal(f, &a, "read the comments of the request");
		n = json_array_size(a.json);
		/* a server that does not turn pages gives the first one again */
		bool again = n && json_get_int(json_array_get(a.json, 0), "id", 0) == seen;
		seen = json_get_int(json_array_get(a.json, 0), "id", 0);
		for (size_t i = 0; rc == 0 && !again && i < n; i++)
			take_comment(out, json_array_get(a.json, i), w, author, buf_str(&marker));
		json_decref(a.json);
		if (n < PAGE || again)
			break;
	}
	buf_release(&marker);
	return rc;
}

static bool is_later(const struct mine *m, const struct forge_place *p)
{
	return m->run > p->run || (m->run == p->run && m->attempt > p->attempt);
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

static char *comment_path(const struct forge *f, int64_t id)
{
	const struct forge_place *p = f->place;

	return p->kind == FORGE_GITLAB ? mem_printf("/projects/%s/merge_requests/%lld/notes/%lld", p->project,
						    (long long)p->number, (long long)id)
				       : mem_printf("/repos/%s/issues/comments/%lld", p->project, (long long)id);
}

/* *status: of the answer; 404 where somebody removed the comment meanwhile. */
static int update(const struct forge *f, int64_t id, const json_t *body, long *status)
{
	char *path = comment_path(f, id);
	struct forge_answer a;
	int rc = forge_call(f, &a, words_of(f)->update, path, body);

	*status = a.status;
	if (rc == 0 && a.status != 200 && a.status != 404 && a.status != 410 && a.status != 422)
		rc = forge_refusal(f, &a, "write a comment");
	json_decref(a.json);
	free(path);
	return rc;
}

static int create(const struct forge *f, const json_t *body, long *status)
{
	char *path = mem_printf(words_of(f)->comments, f->place->project, (long long)f->place->number);
	struct forge_answer a;
	int rc = forge_call(f, &a, "POST", path, body);

	*status = a.status;
	if (rc == 0 && a.status != 200 && a.status != 201 && a.status != 422 && !forge_is_ill(a.status))
		rc = forge_refusal(f, &a, "write a comment");
	json_decref(a.json);
	free(path);
	return rc;
}

/* What is left of a race, or of a comment that was written twice. That it cannot be removed is no reason to fail. */
static void remove_others(const struct forge *f, const struct mine *m)
{
	for (size_t i = 0; i < m->n_others; i++) {
		char *path = comment_path(f, m->others[i]);
		struct forge_answer a;

		if (forge_call(f, &a, "DELETE", path, NULL) == 0 && a.status != 204 && a.status != 200 &&
		    a.status != 404)
			log_warn("a second comment of this report cannot be removed (%ld)", a.status);
		json_decref(a.json);
		free(path);
	}
}

/* One look and one deed; *settled: nothing is left to do. */
static int step(const struct forge *f, const char *author, const json_t *body, enum forge_done *done, bool *settled,
		bool *too_long)
{
	struct mine m;
	long status = 0;
	bool wrote = *done == FORGE_CREATED;
	int rc = find_mine(f, &m, author);

	if (rc)
		return rc;
	remove_others(f, &m);
	if (m.oldest && is_later(&m, f->place)) {
		*done = FORGE_NEWER_STANDS;
		*settled = true;
		return 0;
	}
	/* alone, and of this job: the look behind the deed found what was to be found */
	if (m.oldest && wrote && !m.n_others && m.run == f->place->run && m.attempt == f->place->attempt) {
		*settled = true;
		return 0;
	}
	if (m.oldest) {
		rc = update(f, m.oldest, body, &status);
		*settled = status == 200;
		*done = wrote ? FORGE_CREATED : FORGE_UPDATED;
	} else {
		rc = create(f, body, &status);
		*done = FORGE_CREATED;
	}
	*too_long = status == 422;
	return rc;
}

static int write_body(const struct forge *f, const char *author, const json_t *report, size_t max,
		      enum forge_done *done, bool *too_long)
{
	struct buf text = BUF_INIT((size_t)1 << 22);
	json_t *body;
	bool settled = false;
	int rc = 0;

	*too_long = false;
	*done = FORGE_UPDATED;
	forge_body(&text, f->place, f->how->key, report, max);
	body = json_pack("{s:o}", "body", json_new_text(buf_str(&text), text.len));
	for (int i = 0; rc == 0 && !settled && !*too_long; i++) {
		if (i == ROUNDS) {
			rc = err_set(ERR_UNAVAILABLE,
				     "%s: a comment was written %d times and is not among those of the request",
				     forge_name(f->place->kind), i);
			err_hint(rc, "run the job again: nothing is posted twice");
			break;
		}
		rc = step(f, author, body, done, &settled, too_long);
	}
	json_decref(body);
	buf_release(&text);
	return rc;
}

/* ---- which request --------------------------------------------------------------------------------------------------- */

static void add_escaped(struct buf *out, const char *s)
{
	for (; *s; s++)
		if (isalnum((unsigned char)*s) || strchr("-._~", *s))
			buf_addc(out, *s);
		else
			buf_addf(out, "%%%02X", (unsigned char)*s);
}

/* A job behind a stranger's run is not told the request's number; the forge knows it by the branch, and it is the one whose head is
 * the commit that was run. */
static int find_request(const struct forge *f, struct forge_place *p)
{
	struct buf path = BUF_INIT(1 << 16);
	struct forge_answer a;
	int rc;

	buf_addf(&path, "/repos/%s/pulls?state=open&per_page=%d&head=", p->project, PAGE);
	add_escaped(&path, p->from);
	rc = forge_call(f, &a, "GET", buf_str(&path), NULL);
	if (rc == 0 && a.status != 200)
		rc = forge_refusal(f, &a, "look for the pull request");
	for (size_t i = 0; rc == 0 && i < json_array_size(a.json); i++) {
		const json_t *r = json_array_get(a.json, i);
		if (strcmp(json_get_text(json_object_get(r, "head"), "sha", ""), p->head) == 0)
			p->number = json_get_int(r, "number", 0);
	}
	json_decref(a.json);
	buf_release(&path);
	return rc;
}

int forge_comment(enum forge_done *done, const struct forge_place *place, const struct forge_post *how,
		  const json_t *report)
{
	struct forge_place p = *place;
	struct forge f;
	char *author = NULL;
	bool too_long = false;
	int rc = forge_open(&f, &p, how);

	*done = FORGE_NO_REQUEST;
	if (rc == 0 && !p.number && p.from)
		rc = find_request(&f, &p);
	if (rc == 0 && p.number) {
		rc = find_author(&f, &author);
		for (size_t max = BODY_MAX; rc == 0; max /= 2) {
			rc = write_body(&f, author, report, max, done, &too_long);
			if (!too_long || rc)
				break;
			if (max < 4096) {
				rc = err_set(ERR_UNAVAILABLE, "%s refuses the comment (422), long or short",
					     forge_name(p.kind));
				err_hint(rc, "is the request locked, or its conversation closed to this token?");
			}
		}
	}
	free(author);
	forge_close(&f);
	return rc;
}

/* ---- the commit's mark ----------------------------------------------------------------------------------------------- */

int forge_status(const struct forge_place *p, const struct forge_post *how, const json_t *report)
{
	const struct forge_words *w = &words[p->kind];
	int64_t code = json_get_int(report, "exit", 70);
	struct buf text = BUF_INIT(1 << 16), name = BUF_INIT(1 << 12);
	struct forge_answer a = { 0 };
	struct forge f;
	json_t *body;
	char *path;
	int rc;

	if (p->stranger)
		return err_hint(
			err_set(ERR_INPUT, "the report is of a job that ran a stranger's commit: it marks nothing"),
			"leave out --status in the job that posts for forks");
	rc = forge_open(&f, p, how);
	text_clean(&text, report_text(report, NULL, "sentence"), 100);
	buf_adds(&name, "assay");
	if (strcmp(how->key, "default") != 0)
		buf_addf(&name, "/%s", how->key);
	body = json_pack("{s:s,s:s,s:s}", "state",
			 code == 0   ? "success"
			 : code < 64 ? w->failed
				     : w->broken,
			 p->kind == FORGE_GITLAB ? "name" : "context", buf_str(&name), "description", buf_str(&text));
	if (p->url)
		json_object_set_new(body, "target_url", json_string(p->url));
	path = mem_printf(w->statuses, p->project, p->head);
	if (rc == 0)
		rc = forge_call(&f, &a, "POST", path, body);
	if (rc == 0 && a.status != 200 && a.status != 201)
		rc = forge_refusal(&f, &a, "set the status of a commit");
	json_decref(a.json);
	json_decref(body);
	free(path);
	buf_release(&text);
	buf_release(&name);
	forge_close(&f);
	return rc;
}
