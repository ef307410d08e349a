/* forge_world.h: a forge on 127.0.0.1, what it has and how it behaves, and a job that posts to it. */
#ifndef TESTS_UNIT_FORGE_WORLD_H
#define TESTS_UNIT_FORGE_WORLD_H

#include "ci/ci.h"
#include "loopback.h"
#include "must.h"
#include "report_fixture.h"

#define TOKEN "t0ken-of-the-test"
#define HEAD "e4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d"
enum { COMMENTS = 400 };

struct comment {
	int64_t id;
	const char *by;
	char *body;
	bool system;
};

/* What the forge has, and how it behaves. */
struct world {
	struct comment comments[COMMENTS];
	size_t n;
	int64_t next;
	bool gitlab, gitea, no_pages;
	size_t page;      /* comments of a page, whatever was asked for; 0: as asked, and no word of further pages */
	const char *link; /* where Link leads; NULL: to this server */
	int lag;          /* the next so many lists do not show what is behind comment lag_at */
	size_t lag_at;
	const char *as; /* whom comments are written as; NULL: the usual robot */
	size_t refused; /* the next so many POSTs are answered with 502 and not done */
	size_t lists;
	const char *request_head; /* of the request; NULL: HEAD */
	int port;
	const char *scope;       /* that the token has, beside another */
	size_t longest;          /* of a body; 0: any */
	int busy, ill, lost, no; /* the next so many: 429; 502; done and then answered 502; 403 */
	long whoami;             /* of GET /user; 0: 200 */
	bool gone;               /* the comment to be changed was removed */
	bool rival;              /* another job's comment appears just before ours */
	size_t posts, patches, deletes;
	json_t *status;
	const char *head; /* of the open request, where it is looked for */
	const char
		*merge[2]; /* of that request and of a second one, 9, of the same head; [1] NULL: there is no second */
};

FIXTURE_UNUSED static void add_comment(struct world *w, const char *by, const char *body)
{
	assert_true(w->n < COMMENTS);
	w->comments[w->n++] = (struct comment){ ++w->next, by, mem_str(body), false };
}

FIXTURE_UNUSED static size_t find_comment(const struct world *w, int64_t id)
{
	size_t i = 0;

	while (i < w->n && w->comments[i].id != id)
		i++;
	return i;
}

FIXTURE_UNUSED static int who_id(const char *login)
{
	int id = 1000;

	for (const char *s = login; *s; s++)
		id += *s;
	return id;
}

FIXTURE_UNUSED static json_t *comment_json(const struct world *w, const struct comment *c)
{
	json_t *json = json_pack("{s:I,s:{s:s,s:i},s:s}", "id", (json_int_t)c->id, w->gitlab ? "author" : "user",
				 w->gitlab ? "username" : "login", c->by, "id", who_id(c->by), "body", c->body);

	if (w->gitlab)
		json_object_set_new(json, "system", json_boolean(c->system));
	return json;
}

FIXTURE_UNUSED static char *comment_text(const struct world *w, const struct comment *c)
{
	json_t *json = comment_json(w, c);
	char *text = json_dumps(json, 0);

	json_decref(json);
	return text;
}

/* The word of further pages, as GitHub, Gitea (Link) and GitLab (X-Next-Page) have it. */
FIXTURE_UNUSED static const char *pages_header(const struct world *w, const char *path, size_t page, bool last)
{
	static _Thread_local char header[500];

	if (!w->page)
		return NULL;
	if (w->gitlab)
		snprintf(header, sizeof(header), last ? "X-Next-Page: \r\n" : "X-Next-Page: %zu\r\n", page + 1);
	else if (last)
		snprintf(header, sizeof(header), "Link: <http://127.0.0.1:%d%.200s>; rel=\"prev\"\r\n", w->port, path);
	else
		snprintf(header, sizeof(header),
			 "link: <http://127.0.0.1:%d/first>; rel=\"first\", <%s/repositories/1/issues/7/comments?"
			 "per_page=100&page=%zu>; rel=\"next\"\r\n",
			 w->port, w->link, page + 1);
	return header;
}

FIXTURE_UNUSED static void answer_list(struct world *w, const char *path, struct loopback_reply *out)
{
	const char *at = strstr(path, "&page=");
	size_t len = w->page ? w->page : 100, shown = w->lag > 0 && w->lag_at < w->n ? w->lag_at : w->n;
	size_t page = at && !w->no_pages ? strtoul(at + 6, NULL, 10) : 1, first = (page - 1) * len;
	json_t *list = json_array();

	w->lag -= w->lag > 0;
	w->lists++;
	for (size_t i = first; i < shown && i < first + len; i++)
		json_array_append_new(list, comment_json(w, &w->comments[i]));
	out->body = json_dumps(list, 0);
	out->headers = pages_header(w, path, page, first + len >= shown);
	json_decref(list);
}

static void answer_write(struct world *w, const char *method, const char *path, json_t *body,
			 struct loopback_reply *out)
{
	const char *text = json_get_text(body, "body", "");
	const char *slash = strrchr(path, '/');
	size_t at = slash ? find_comment(w, strtoll(slash + 1, NULL, 10)) : w->n;

	if (strcmp(method, "POST") == 0 && !json_object_get(body, "body")) {
		out->status = 422;
		out->body = mem_str("{\"message\":\"Invalid request. \\\"body\\\" wasn't supplied.\"}");
	} else if (w->longest && strlen(text) > w->longest) {
		out->status = 422;
		out->body = mem_str("{\"message\":\"Body is too long (maximum is 65536 characters)\"}");
	} else if (strcmp(method, "DELETE") == 0) {
		w->deletes++;
		out->status = at < w->n ? 204 : 404;
		if (at < w->n) {
			free(w->comments[at].body);
			memmove(&w->comments[at], &w->comments[at + 1], (--w->n - at) * sizeof(*w->comments));
		}
	} else if (strcmp(method, "POST") == 0) {
		w->posts++;
		if (w->rival)
			add_comment(w, "github-actions[bot]",
				    "of another job\n<!-- assay:comment v1 key=default head=0 run=40.1 -->");
		w->rival = false;
		if (w->refused) {
			w->refused--;
			out->status = 502;
			return;
		}
		add_comment(w, w->as ? w->as : w->gitlab ? "robot" : "github-actions[bot]", text);
		out->status = w->lost ? 502 : 201;
		w->lost -= w->lost > 0;
		out->body = out->status == 502 ? mem_str("<html>Bad Gateway</html>")
					       : comment_text(w, &w->comments[w->n - 1]);
	} else {
		w->patches++;
		if (w->gone && at < w->n) {
			free(w->comments[at].body);
			memmove(&w->comments[at], &w->comments[at + 1], (--w->n - at) * sizeof(*w->comments));
			at = w->n;
			w->gone = false;
		}
		out->status = at < w->n ? 200 : 404;
		if (at < w->n) {
			free(w->comments[at].body);
			w->comments[at].body = mem_str(text);
		}
		out->body = at < w->n ? comment_text(w, &w->comments[at]) : mem_str("{\"message\":\"Not Found\"}");
	}
}

FIXTURE_UNUSED static void answer_as(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	struct world *w = s->arg;

	if (w->busy > 0) {
		w->busy--;
		*out = (struct loopback_reply){ .status = 429, .headers = "Retry-After: 1\r\n", .body = mem_str("{}") };
	} else if (w->ill > 0) {
		w->ill--;
		*out = (struct loopback_reply){ .status = 502, .body = mem_str("<html>Bad Gateway</html>") };
	} else if (strcmp(s->path, "/user") == 0) {
		out->status = w->whoami ? (int)w->whoami : w->gitlab ? 200 : 403;
		out->body = out->status == 200 ? mem_printf("{\"username\":\"robot\",\"login\":\"robot\",\"id\":%d}",
							    who_id("robot"))
					       : mem_str("{\"message\":\"Resource not accessible by integration\"}");
	} else if (strcmp(s->path, "/personal_access_tokens/self") == 0) {
		out->body = mem_printf("{\"scopes\":[\"read_repository\",\"%s\"]}", w->scope);
	} else if (strcmp(s->path, "/repos/team/models") == 0) {
		static _Thread_local char header[100];

		snprintf(header, sizeof(header), "X-OAuth-Scopes: gist, %s\r\n", w->scope ? w->scope : "");
		out->headers = w->scope ? header : NULL;
		out->status = w->whoami ? (int)w->whoami : 200;
		out->body = mem_str(out->status == 200 ? "{\"full_name\":\"team/models\"}"
						       : "{\"message\":\"Bad credentials\"}");
	} else if (strstr(s->path, "/pulls?")) {
		out->body = mem_printf(
			"[{\"number\":3,\"head\":{\"sha\":\"other\"}},{\"number\":7,\"head\":{\"sha\":\"%s\"},"
			"\"merge_commit_sha\":\"%s\"},{\"number\":9,\"head\":{\"sha\":\"%s\"},\"merge_commit_sha\":\"%"
			"s\"}]",
			w->head ? w->head : "", w->merge[0] ? w->merge[0] : "", w->merge[1] ? w->head : "closed",
			w->merge[1] ? w->merge[1] : "");
	} else if (strstr(s->path, "/statuses/")) {
		json_decref(w->status);
		w->status = json_incref(body);
		out->status = 201;
		out->body = mem_str("{}");
	} else if (strcmp(s->path, w->gitlab ? "/projects/77/merge_requests/7" : "/repos/team/models/pulls/7") == 0) {
		const char *head = w->request_head ? w->request_head : HEAD;

		out->body = w->gitlab ? mem_printf("{\"iid\":7,\"sha\":\"%s\"}", head)
				      : mem_printf("{\"number\":7,\"head\":{\"sha\":\"%s\"}}", head);
	} else if (strcmp(s->method, "GET") == 0) {
		answer_list(w, s->path, out);
	} else if (w->no > 0) {
		w->no--;
		out->status = 403;
		out->body = mem_str("{\"message\":\"Resource not accessible by integration\"}");
	} else {
		answer_write(w, s->method, s->path, body, out);
	}
}

/* ASSAY_TEST_FORGE_LOG names a file that gets each exchange of the fake GitHub, a JSON object a line, for
 * tests/ci/forge.mjs, which holds it against GitHub's own description of its interface. */
FIXTURE_UNUSED static void log_exchange(const struct loopback *s, json_t *body, const struct loopback_reply *out)
{
	const char *path = getenv("ASSAY_TEST_FORGE_LOG");
	const struct world *w = s->arg;
	json_t *reply = out->body ? json_loads(out->body, 0, NULL) : NULL, *line;
	FILE *f;

	if (path && !w->gitlab && !w->gitea && (f = fopen(path, "a")) != NULL) {
		line = json_pack("{s:s,s:s,s:i,s:O?,s:O?}", "method", s->method, "path", s->path, "status",
				 out->status ? out->status : 200, "request", body, "reply", reply);
		json_dumpf(line, f, JSON_COMPACT);
		fputc('\n', f);
		fclose(f);
		json_decref(line);
	}
	json_decref(reply);
}

FIXTURE_UNUSED static void answer(struct loopback *s, json_t *body, struct loopback_reply *out)
{
	answer_as(s, body, out);
	log_exchange(s, body, out);
}

/* ---- a job that posts ------------------------------------------------------------------------------------------------ */

struct job {
	struct loopback server;
	struct world w;
	struct forge_place place;
	struct forge_post how;
	json_t *report;
	enum forge_done done;
	char home[60];
};

FIXTURE_UNUSED static void job_open(struct job *j, bool gitlab)
{
	memset(j, 0, sizeof(*j));
	j->w.gitlab = gitlab;
	j->server = (struct loopback){ .answer = answer, .arg = &j->w };
	loopback_open(&j->server);
	j->w.port = j->server.port;
	snprintf(j->home, sizeof(j->home), "http://127.0.0.1:%d", j->server.port);
	j->w.link = j->home;
	j->place = (struct forge_place){ .kind = gitlab ? FORGE_GITLAB : FORGE_GITHUB,
					 .api = mem_printf("http://127.0.0.1:%d", j->server.port),
					 .project = mem_str(gitlab ? "77" : "team/models"),
					 .head = mem_str(HEAD),
					 .number = 7,
					 .run = 50,
					 .attempt = 1,
					 .url = mem_str("https://ci.example/50") };
	j->how = (struct forge_post){ .token = TOKEN, .key = "default", .retry_s = 0.001 };
	j->report = json_loads(fixture_text, 0, NULL);
	assert_non_null(j->report);
}

FIXTURE_UNUSED static void job_close(struct job *j)
{
	loopback_close(&j->server);
	for (size_t i = 0; i < j->w.n; i++)
		free(j->w.comments[i].body);
	json_decref(j->w.status);
	json_decref(j->report);
	forge_place_release(&j->place);
}

FIXTURE_UNUSED static void post(struct job *j, enum forge_done want)
{
	if (forge_comment(&j->done, &j->place, &j->how, j->report))
		fail_msg("%s", err_text());
	assert_int_equal(j->done, want);
	assert_string_equal(j->server.bearer, TOKEN);
}

/* The comments with our marker and our name; the last one's text. */
FIXTURE_UNUSED static size_t ours(const struct job *j, const char **body)
{
	const char *me = j->w.gitlab ? "robot" : "github-actions[bot]";
	size_t n = 0;

	for (size_t i = 0; i < j->w.n; i++)
		if (strcmp(j->w.comments[i].by, me) == 0 &&
		    strstr(j->w.comments[i].body, "<!-- assay:comment v1 key=default ")) {
			*body = j->w.comments[i].body;
			n++;
		}
	return n;
}

FIXTURE_UNUSED static void check_one(const struct job *j, const char *says)
{
	const char *body = NULL;

	assert_int_equal(ours(j, &body), 1);
	if (!strstr(body, says))
		fail_msg("%s\nis not in:\n%s", says, body);
}

#endif
