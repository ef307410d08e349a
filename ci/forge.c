/* forge.c: the report as one comment on a pull or merge request, kept up to date.
 *
 * A comment is written at most once by a job. When the forge has taken it (201), it is there, whatever the list says; when
 * the forge was ill (5xx, no answer), it may be there, so the list is read, and read again after a pause, before it is
 * tried once more.
 *
 * Two jobs may look at once, find nothing, and both write. So behind every new comment the list is read again: the oldest of
 * ours stays, gets the text of the latest job, and only then the others are removed. Both jobs do the same, so it does not
 * matter who comes first. The marker says which job wrote a comment (forge_mine.c), and an earlier job that took longer
 * overwrites nothing.
 *
 * What is posted is about the request: its head is asked for first, and a report of another commit is refused, or of an
 * earlier push left unposted.
 *
 * GitHub's, Gitea's and Forgejo's interface is one (comments of an issue); GitLab's differs in three names and a path. */
#include "base/base.h"
#include "ci/ci_int.h"
#include "ci/forge_int.h"

#include <ctype.h>

/* A comment's ceiling is 65,536 characters at GitHub and 1,000,000 at GitLab, where nobody reads so much either. */
enum { BODY_MAX = 60000, FOUND_MAX = 100, LOOKS = 12, PATIENCE = 3, WRITES = 2 };

static const struct forge_words words[] = {
	[FORGE_GITHUB] = { "GitHub", "/repos/%s/issues/%lld/comments", "/repos/%s/pulls/%lld", "PATCH", "user", "login",
			   "/repos/%s/statuses/%s", "github-actions[bot]", "failure", "error" },
	[FORGE_GITEA] = { "Gitea", "/repos/%s/issues/%lld/comments", "/repos/%s/pulls/%lld", "PATCH", "user", "login",
			  "/repos/%s/statuses/%s", "gitea-actions", "failure", "error" },
	[FORGE_GITLAB] = { "GitLab", "/projects/%s/merge_requests/%lld/notes", "/projects/%s/merge_requests/%lld",
			   "PUT", "author", "username", "/projects/%s/statuses/%s", NULL, "failed", "failed" },
};

const char *forge_name(enum forge_kind kind)
{
	return words[kind].name;
}

const struct forge_words *forge_words(const struct forge *f)
{
	return &words[f->place->kind];
}

/* ---- the text -------------------------------------------------------------------------------------------------------- */

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
	forge_marker(out, key);
	buf_addf(out, " head=%.12s run=%lld.%lld -->\n", p->head, (long long)p->run, (long long)p->attempt);
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
	int rc = forge_call(f, &a, forge_words(f)->update, path, body);

	*status = a.status;
	if (rc == 0 && a.status != 200 && a.status != 404 && a.status != 410 && a.status != 422)
		rc = forge_refusal(f, &a, "write a comment");
	json_decref(a.json);
	free(path);
	return rc;
}

/* What this job has done about its comment so far. */
struct effort {
	const struct forge *f;
	struct forge_who who;
	const json_t *report;
	size_t max;   /* bytes of a comment */
	json_t *body; /* {"body": …} */
	struct forge_own own;
	bool taken;  /* the forge took our comment: it is never written again */
	bool unsure; /* it was ill when it was asked to */
	int writes;
	int64_t gone[LOOKS]; /* whose change was answered with 404: somebody removed them, whatever a list says */
	size_t n_gone;
	bool too_long;
};

static void make_body(struct effort *e)
{
	struct buf text = BUF_INIT((size_t)1 << 22);

	json_decref(e->body);
	forge_body(&text, e->f->place, e->f->how->key, e->report, e->max);
	e->body = json_pack("{s:o}", "body", json_new_text(buf_str(&text), text.len));
	buf_release(&text);
}

static int create(struct effort *e)
{
	const struct forge *f = e->f;
	char *path = mem_printf(forge_words(f)->comments, f->place->project, (long long)f->place->number);
	struct forge_answer a;
	int rc = forge_call(f, &a, "POST", path, e->body);

	if (rc == 0 && (a.status == 200 || a.status == 201)) {
		e->taken = true;
		e->own.id = json_get_int(a.json, "id", 0);
		forge_who_learn(&e->who, f, a.json);
	} else if (rc == 0 && forge_is_ill(a.status)) {
		e->unsure = true;
		if (++e->writes == WRITES)
			rc = forge_refusal(f, &a, "write a comment");
	} else if (rc == 0 && a.status == 422) {
		e->too_long = true;
	} else if (rc == 0) {
		rc = forge_refusal(f, &a, "write a comment");
	}
	json_decref(a.json);
	free(path);
	return rc;
}

/* What is left of a race. That it cannot be removed is no reason to fail. */
static void remove_others(const struct forge *f, const struct forge_mine *m, int64_t stays)
{
	for (size_t i = 0; i < m->n; i++) {
		char *path = comment_path(f, m->all[i].id);
		struct forge_answer a = { 0 };

		if (m->all[i].id != stays && forge_call(f, &a, "DELETE", path, NULL) == 0 && a.status != 204 &&
		    a.status != 200 && a.status != 404)
			log_warn("a second comment of this report cannot be removed (%ld)", a.status);
		json_decref(a.json);
		free(path);
	}
}

/* Is the list behind what the forge has said, or may it be? Then it is worth a pause. */
static bool lags(const struct effort *e, const struct forge_mine *m)
{
	return e->taken ? !forge_mine_has(m, e->own.id) : e->unsure && !m->n;
}

/* Brings the latest text into the oldest comment and removes the others; *settled is left alone where that one is gone. */
static int settle(struct effort *e, struct forge_mine *m, enum forge_done *done, bool *settled)
{
	const struct forge_own *oldest = forge_mine_oldest(m), *latest = forge_mine_latest(m);
	bool newer = latest->run > e->own.run || (latest->run == e->own.run && latest->attempt > e->own.attempt);
	bool wrote = e->taken ? oldest->id == e->own.id
			      : e->unsure && oldest->run == e->own.run && oldest->attempt == e->own.attempt;
	json_t *theirs = newer && latest->id == m->latest_id ? json_pack("{s:s}", "body", m->latest) : NULL;
	long status = 200;
	int rc = 0;

	if (newer && !theirs) { /* its text is not here: the job that wrote it will see to the rest */
		*settled = true;
		*done = FORGE_NEWER_STANDS;
		return 0;
	}
	if (newer ? oldest->id != latest->id : !wrote)
		rc = update(e->f, oldest->id, newer ? theirs : e->body, &status);
	json_decref(theirs);
	if (rc)
		return rc;
	if (status == 200) {
		*settled = true;
		*done = newer ? FORGE_NEWER_STANDS : wrote ? FORGE_CREATED : FORGE_UPDATED;
		remove_others(e->f, m, oldest->id);
	} else if (status == 422) {
		e->too_long = true;
	} else if (e->n_gone < ARRAY_LEN(e->gone)) {
		e->gone[e->n_gone++] = oldest->id;
	}
	return 0;
}

/* One look and one deed. lag: how often the list has been waited for. */
static int step(struct effort *e, int *lag, enum forge_done *done, bool *settled)
{
	struct forge_mine m;
	int rc = forge_mine_read(e->f, &m, &e->who);

	for (size_t i = 0; i < e->n_gone; i++)
		forge_mine_drop(&m, e->gone[i]);
	if (rc == 0 && lags(e, &m) && *lag < PATIENCE) {
		forge_pause(e->f->how->retry_s * (double)(1 << (*lag)++));
	} else if (rc == 0) {
		if (e->taken && e->own.id)
			forge_mine_add(&m, &e->own);
		*lag = 0;
		if (m.n)
			rc = settle(e, &m, done, settled);
		else if (!e->taken)
			rc = create(e);
		else { /* taken without a name, and no list shows it */
			*settled = true;
			*done = FORGE_CREATED;
		}
	}
	forge_mine_release(&m);
	return rc;
}

static int write_comment(const struct forge *f, const json_t *report, enum forge_done *done)
{
	struct effort e = { .f = f, .report = report, .max = BODY_MAX, .own = { 0, f->place->run, f->place->attempt } };
	bool settled = false;
	int lag = 0, rc = forge_who_ask(f, &e.who);

	if (rc == 0)
		make_body(&e);
	for (int i = 0; rc == 0 && !settled; i++) {
		rc = step(&e, &lag, done, &settled);
		if (rc == 0 && e.too_long && e.max >= 4096) {
			e.too_long = false;
			e.max /= 2;
			make_body(&e);
		} else if (rc == 0 && e.too_long) {
			rc = err_set(ERR_UNAVAILABLE, "%s refuses the comment (422), long or short",
				     forge_words(f)->name);
			err_hint(rc, "is the request locked, or its conversation closed to this token?");
		} else if (rc == 0 && !settled && i == 4 * LOOKS) {
			rc = err_set(ERR_UNAVAILABLE, "%s: its comments change faster than they can be read",
				     forge_words(f)->name);
			err_hint(rc, "run the job again: nothing is posted twice");
		}
	}
	json_decref(e.body);
	forge_who_release(&e.who);
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
 * the commit that was run. A branch may have a request for each of several bases: then it is the one whose merge commit, the
 * forge's own, is what was tested (the report's word, which chooses among requests of one head and nothing else), or none. */
static int find_request(const struct forge *f, struct forge_place *p, const char *tested)
{
	struct buf path = BUF_INIT(1 << 16);
	int64_t by_head = 0, by_merge = 0;
	size_t n = 0, n_merge = 0;
	struct forge_answer a;
	int rc;

	buf_addf(&path, "/repos/%s/pulls?state=open&per_page=%d&head=", p->project, FOUND_MAX);
	add_escaped(&path, p->from);
	rc = forge_call(f, &a, "GET", buf_str(&path), NULL);
	if (rc == 0 && a.status != 200)
		rc = forge_refusal(f, &a, "look for the pull request");
	for (size_t i = 0; rc == 0 && i < json_array_size(a.json); i++) {
		const json_t *r = json_array_get(a.json, i);
		if (strcmp(json_get_text(json_object_get(r, "head"), "sha", ""), p->head) != 0)
			continue;
		by_head = json_get_int(r, "number", 0);
		n++;
		if (*tested && strcmp(json_get_text(r, "merge_commit_sha", ""), tested) == 0) {
			by_merge = by_head;
			n_merge++;
		}
	}
	if (rc == 0 && n > 1 && n_merge != 1) {
		rc = err_set(ERR_UNAVAILABLE,
			     "%zu open requests have the head %.12s, and which of them was tested is not known", n,
			     p->head);
		err_hint(rc, "run the job of the request again: its merge commit is then the one that was tested; or "
			     "close the others");
	} else if (rc == 0) {
		p->number = n > 1 ? by_merge : by_head;
	}
	json_decref(a.json);
	buf_release(&path);
	return rc;
}

/* Is the head that this job is about the request's still? A push that came meanwhile has a job of its own. */
static int check_request(const struct forge *f, bool *moved)
{
	const struct forge_place *p = f->place;
	char *path = mem_printf(forge_words(f)->request, p->project, (long long)p->number);
	struct forge_answer a;
	const char *head;
	int rc = forge_call(f, &a, "GET", path, NULL);

	if (rc == 0 && a.status != 200)
		rc = forge_refusal(f, &a, "read the request");
	head = p->kind == FORGE_GITLAB ? json_get_text(a.json, "sha", "")
				       : json_get_text(json_object_get(a.json, "head"), "sha", "");
	if (rc == 0 && (!*head || json_get_int(a.json, p->kind == FORGE_GITLAB ? "iid" : "number", 0) != p->number))
		rc = err_set(ERR_UNAVAILABLE, "%s does not say what the head of request %lld is", forge_words(f)->name,
			     (long long)p->number);
	*moved = strcmp(head, p->head) != 0;
	json_decref(a.json);
	free(path);
	return rc;
}

int forge_comment(enum forge_done *done, const struct forge_place *place, const struct forge_post *how,
		  const json_t *report)
{
	struct forge_place p = *place;
	struct forge f = { 0 };
	bool moved = false;
	int rc = forge_place_check(place, report);

	*done = FORGE_NO_REQUEST;
	if (rc)
		return rc;
	rc = forge_open(&f, &p, how);
	if (rc == 0 && !p.number && p.from)
		rc = find_request(&f, &p, json_get_text(report, "commit", ""));
	if (rc == 0 && p.number) {
		rc = check_request(&f, &moved);
		if (rc == 0 && moved)
			*done = FORGE_MOVED_ON;
		else if (rc == 0)
			rc = write_comment(&f, report, done);
	}
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

	rc = forge_place_check(p, report);
	if (rc)
		return rc;
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
