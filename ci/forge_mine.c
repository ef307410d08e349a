/* forge_mine.c: which comments of a request are ours.
 *
 * By two things together: the last line, a hidden marker with the key, and the author, since anybody can paste a marker. The
 * author is who the token's owner is. A token that may not ask that (a job's own, an App's) is taken for the forge's usual
 * robot until the forge says otherwise: it names the author of each comment that it takes from us.
 *
 * All pages are read, and the forge says where the next is: a page may be shorter than was asked for with more to come. An
 * address at another host is not followed, since the token goes with each request. */
#include "base/base.h"
#include "ci/ci_int.h"
#include "ci/forge_int.h"

#include <ctype.h>

enum { PAGE = 100, PAGES_MAX = 1000 };

/* ---- the marker ------------------------------------------------------------------------------------------------------ */

/* Two keys never have one marker, and none ends the comment that it stands in: what is neither letter, digit, dot nor underscore is
 * escaped as in an address. */
void forge_marker(struct buf *out, const char *key)
{
	buf_adds(out, "<!-- assay:comment v1 key=");
	for (const char *s = key; *s; s++)
		if (isalnum((unsigned char)*s) || *s == '.' || *s == '_')
			buf_addc(out, *s);
		else
			buf_addf(out, "%%%02X", (unsigned char)*s);
}

/* The marker is the last line, and its job is read from it. */
static bool is_ours(const char *body, const char *marker, struct forge_own *out)
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
	if (job) {
		char *end;
		out->run = strtoll(job + 5, &end, 10);
		out->attempt = *end == '.' ? strtoll(end + 1, NULL, 10) : 0;
	}
	return true;
}

/* ---- who we are ------------------------------------------------------------------------------------------------------ */

int forge_who_ask(const struct forge *f, struct forge_who *out)
{
	const struct forge_words *w = forge_words(f);
	struct forge_answer a;
	int rc;

	*out = (struct forge_who){ .sure = true };
	if (f->how->author) {
		out->login = mem_str(f->how->author);
		return 0;
	}
	rc = forge_call(f, &a, "GET", "/user", NULL);
	if (rc == 0 && a.status == 200) {
		out->login = mem_str(json_get_text(a.json, w->login, NULL));
		out->id = json_get_int(a.json, "id", 0);
	} else if (rc == 0 && w->robot && (a.status == 403 || a.status == 404)) {
		out->login = mem_str(w->robot);
		out->sure = false;
	} else if (rc == 0) {
		rc = forge_refusal(f, &a, "ask whose it is");
	}
	json_decref(a.json);
	if (rc == 0 && !out->login) {
		rc = err_set(ERR_UNAVAILABLE, "%s does not say whose the token is", w->name);
		err_hint(rc, "name it: --author LOGIN");
	}
	return rc;
}

void forge_who_learn(struct forge_who *who, const struct forge *f, const json_t *comment)
{
	const json_t *author = json_object_get(comment, forge_words(f)->author);
	const char *login = json_get_text(author, forge_words(f)->login, NULL);

	if (!login)
		return;
	free(who->login);
	*who = (struct forge_who){ mem_str(login), json_get_int(author, "id", 0), true };
}

void forge_who_release(struct forge_who *who)
{
	free(who->login);
	*who = (struct forge_who){ 0 };
}

static bool is_by(const json_t *comment, const struct forge_words *w, const struct forge_who *who)
{
	const json_t *author = json_object_get(comment, w->author);
	int64_t id = json_get_int(author, "id", 0);

	if (who->id && id)
		return who->id == id; /* a login can change hands */
	return strcasecmp(json_get_text(author, w->login, ""), who->login) == 0;
}

/* ---- ours ------------------------------------------------------------------------------------------------------------ */

static bool is_later(const struct forge_own *a, const struct forge_own *b)
{
	if (a->run != b->run)
		return a->run > b->run;
	return a->attempt != b->attempt ? a->attempt > b->attempt : a->id < b->id;
}

const struct forge_own *forge_mine_oldest(const struct forge_mine *m)
{
	const struct forge_own *found = NULL;

	for (size_t i = 0; i < m->n; i++)
		if (!found || m->all[i].id < found->id)
			found = &m->all[i];
	return found;
}

const struct forge_own *forge_mine_latest(const struct forge_mine *m)
{
	const struct forge_own *found = NULL;

	for (size_t i = 0; i < m->n; i++)
		if (!found || is_later(&m->all[i], found))
			found = &m->all[i];
	return found;
}

bool forge_mine_has(const struct forge_mine *m, int64_t id)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->all[i].id == id)
			return true;
	return false;
}

void forge_mine_add(struct forge_mine *m, const struct forge_own *c)
{
	if (m->n < ARRAY_LEN(m->all) && !forge_mine_has(m, c->id))
		m->all[m->n++] = *c;
}

void forge_mine_drop(struct forge_mine *m, int64_t id)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->all[i].id == id) {
			m->all[i] = m->all[--m->n];
			return;
		}
}

void forge_mine_release(struct forge_mine *m)
{
	free(m->latest);
	memset(m, 0, sizeof(*m));
}

static void take_comment(struct forge_mine *m, const json_t *comment, const struct forge_words *w,
			 const struct forge_who *who, const char *marker)
{
	const char *body = json_get_text(comment, "body", "");
	struct forge_own c = { .id = json_get_int(comment, "id", 0) };

	if (c.id <= 0 || json_get_flag(comment, "system", false) || !is_by(comment, w, who) ||
	    !is_ours(body, marker, &c))
		return;
	forge_mine_add(m, &c);
	if (forge_mine_latest(m)->id == c.id) {
		free(m->latest);
		m->latest = mem_str(body);
		m->latest_id = c.id;
	}
}

/* ---- pages ----------------------------------------------------------------------------------------------------------- */

/* The part of an address behind the interface's own; NULL: it is another host's, or another interface. */
static const char *beneath(const char *address, const char *api)
{
	size_t n = strlen(api);

	return strncmp(address, api, n) == 0 && address[n] == '/' ? address + n : NULL;
}

/* *path becomes that of the page behind this answer's, or NULL. n: how many comments this page had. */
static int turn(const struct forge *f, char **path, const char *list, const struct forge_answer *a, int page, size_t n)
{
	const char *rest = *a->next ? beneath(a->next, f->place->api) : NULL;
	int rc;

	free(*path);
	*path = NULL;
	if (*a->next_n)
		*path = mem_printf("%s&page=%s", list, a->next_n);
	else if (rest)
		*path = mem_str(rest);
	else if (*a->next) {
		rc = err_set(ERR_UNAVAILABLE, "%s keeps the next page of the comments outside of %s: it is not asked",
			     forge_words(f)->name, f->place->api);
		return err_hint(rc, "the token goes to that server alone: let the job's variable name it as the "
				    "server names itself");
	} else if (!a->pages && n >= PAGE)
		*path = mem_printf("%s&page=%d", list, page + 1);
	return 0;
}

int forge_mine_read(const struct forge *f, struct forge_mine *out, const struct forge_who *who)
{
	const struct forge_words *w = forge_words(f);
	struct buf marker = BUF_INIT(1 << 12);
	char *comments = mem_printf(w->comments, f->place->project, (long long)f->place->number);
	char *list = mem_printf("%s?%s=%d", comments, f->place->kind == FORGE_GITEA ? "limit" : "per_page", PAGE);
	char *path = mem_printf("%s&page=1", list);
	int64_t seen = 0;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	forge_marker(&marker, f->how->key);
	for (int page = 1; rc == 0 && path && page <= PAGES_MAX; page++) {
		struct forge_answer a;
		int64_t first;
		size_t n;

		rc = forge_call(f, &a, "GET", path, NULL);
		if (rc == 0 && (a.status != 200 || !json_is_array(a.json)))
			rc = forge_refusal(f, &a, "read the comments of the request");
		n = json_array_size(a.json);
		first = json_get_int(json_array_get(a.json, 0), "id", 0);
		if (rc == 0 && !(n && first == seen)) { /* a server that does not turn pages gives the first again */
			for (size_t i = 0; i < n; i++)
				take_comment(out, json_array_get(a.json, i), w, who, buf_str(&marker));
			rc = turn(f, &path, list, &a, page, n);
		} else {
			free(path);
			path = NULL;
		}
		seen = first;
		json_decref(a.json);
	}
	free(path);
	free(list);
	free(comments);
	buf_release(&marker);
	return rc;
}
