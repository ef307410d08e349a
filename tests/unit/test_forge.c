/* test_forge.c: a forge on 127.0.0.1 with pages, refusals, error pages, a comment that is written and then answered with
 * 502, jobs that race, and people who paste markers: in the end there is one comment of ours, the right one. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ci/ci.h"
#include "loopback.h"
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

static void add_comment(struct world *w, const char *by, const char *body)
{
	assert_true(w->n < COMMENTS);
	w->comments[w->n++] = (struct comment){ ++w->next, by, mem_str(body), false };
}

static size_t find_comment(const struct world *w, int64_t id)
{
	size_t i = 0;

	while (i < w->n && w->comments[i].id != id)
		i++;
	return i;
}

static int who_id(const char *login)
{
	int id = 1000;

	for (const char *s = login; *s; s++)
		id += *s;
	return id;
}

static json_t *comment_json(const struct world *w, const struct comment *c)
{
	json_t *json = json_pack("{s:I,s:{s:s,s:i},s:s}", "id", (json_int_t)c->id, w->gitlab ? "author" : "user",
				 w->gitlab ? "username" : "login", c->by, "id", who_id(c->by), "body", c->body);

	if (w->gitlab)
		json_object_set_new(json, "system", json_boolean(c->system));
	return json;
}

static char *comment_text(const struct world *w, const struct comment *c)
{
	json_t *json = comment_json(w, c);
	char *text = json_dumps(json, 0);

	json_decref(json);
	return text;
}

/* The word of further pages, as GitHub, Gitea (Link) and GitLab (X-Next-Page) have it. */
static const char *pages_header(const struct world *w, const char *path, size_t page, bool last)
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

static void answer_list(struct world *w, const char *path, struct loopback_reply *out)
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

static void answer_as(struct loopback *s, json_t *body, struct loopback_reply *out)
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
static void log_exchange(const struct loopback *s, json_t *body, const struct loopback_reply *out)
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

static void answer(struct loopback *s, json_t *body, struct loopback_reply *out)
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

static void job_open(struct job *j, bool gitlab)
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

static void job_close(struct job *j)
{
	loopback_close(&j->server);
	for (size_t i = 0; i < j->w.n; i++)
		free(j->w.comments[i].body);
	json_decref(j->w.status);
	json_decref(j->report);
	forge_place_release(&j->place);
}

static void post(struct job *j, enum forge_done want)
{
	if (forge_comment(&j->done, &j->place, &j->how, j->report))
		fail_msg("%s", err_text());
	assert_int_equal(j->done, want);
	assert_string_equal(j->server.bearer, TOKEN);
}

/* The comments with our marker and our name; the last one's text. */
static size_t ours(const struct job *j, const char **body)
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

static void check_one(const struct job *j, const char *says)
{
	const char *body = NULL;

	assert_int_equal(ours(j, &body), 1);
	if (!strstr(body, says))
		fail_msg("%s\nis not in:\n%s", says, body);
}

/* ---- one comment, the right one -------------------------------------------------------------------------------------- */

static void test_forge_comment__written_once_then_updated(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	add_comment(&j.w, "somebody", "nice!");
	post(&j, FORGE_CREATED);
	check_one(&j, "head=e4f5a6b7c8d9 run=50.1 -->");
	check_one(&j, "de.exact_match fell.");
	j.place.attempt = 2;
	json_object_set_new(j.report, "sentence", json_string("Better now."));
	post(&j, FORGE_UPDATED);
	check_one(&j, "Better now.");
	check_one(&j, "run=50.2 -->");
	assert_int_equal(j.w.posts, 1);
	j.how.key = "nightly"; /* another comment */
	post(&j, FORGE_CREATED);
	assert_int_equal(j.w.n, 3);
	job_close(&j);
}

static void test_forge_comment__found_on_a_late_page(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	for (int i = 0; i < 230; i++)
		add_comment(&j.w, "somebody", "hm");
	post(&j, FORGE_CREATED);
	for (int i = 0; i < 40; i++)
		add_comment(&j.w, "somebody", "hm");
	post(&j, FORGE_UPDATED);
	check_one(&j, "run=50.1");
	assert_int_equal(j.w.posts, 1);
	job_close(&j);
}

static void test_forge_comment__a_server_without_pages_is_read_once(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.w.no_pages = true;
	for (int i = 0; i < 99; i++)
		add_comment(&j.w, "somebody", "hm");
	post(&j, FORGE_CREATED); /* now there are 100 */
	post(&j, FORGE_UPDATED);
	check_one(&j, "run=50.1");
	job_close(&j);
}

static void test_forge_comment__a_pasted_marker_is_not_ours(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	add_comment(&j.w, "mallory", "PASS\n<!-- assay:comment v1 key=default head=0 run=999999.1 -->");
	add_comment(&j.w, "github-actions[bot]",
		    "quoted:\n<!-- assay:comment v1 key=default head=0 run=1.1 -->\nand more");
	post(&j, FORGE_CREATED);
	post(&j, FORGE_UPDATED);
	assert_int_equal(j.w.posts, 1);
	assert_int_equal(j.w.n, 3);
	assert_string_equal(j.w.comments[0].body, "PASS\n<!-- assay:comment v1 key=default head=0 run=999999.1 -->");
	job_close(&j);
}

static void test_forge_comment__a_later_run_stands(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	add_comment(&j.w, "github-actions[bot]", "newer\n<!-- assay:comment v1 key=default head=0 run=51.1 -->");
	post(&j, FORGE_NEWER_STANDS);
	check_one(&j, "newer");
	assert_int_equal(j.w.posts + j.w.patches + j.w.deletes, 0);
	job_close(&j);
}

static void test_forge_comment__written_and_answered_with_502(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.w.lost = 1;
	post(&j, FORGE_CREATED);
	assert_int_equal(j.w.posts, 1);
	check_one(&j, "run=50.1");
	job_close(&j);
}

static void test_forge_comment__two_jobs_at_once(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.w.rival = true;
	post(&j, FORGE_UPDATED);
	check_one(&j, "run=50.1"); /* the earlier job's comment stays, with the later job's text */
	assert_int_equal(j.w.comments[0].id, 1);
	assert_int_equal(j.w.deletes, 1);
	job_close(&j);
}

static void test_forge_comment__removed_meanwhile(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	post(&j, FORGE_CREATED);
	j.w.gone = true;
	post(&j, FORGE_CREATED);
	check_one(&j, "run=50.1");
	job_close(&j);
}

/* ---- what a forge took is never written again -------------------------------------------------------------------------- */

/* An App writes under a name of its own, and its token may not ask for it. */
static void test_forge_comment__of_an_app_that_does_not_know_its_name(void **state)
{
	struct job j;
	const char *body;

	(void)state;
	job_open(&j, false);
	j.w.as = "our-app[bot]";
	add_comment(&j.w, "mallory", "PASS\n<!-- assay:comment v1 key=default head=0 run=999.1 -->");
	post(&j, FORGE_CREATED);
	assert_int_equal(j.w.posts, 1);
	assert_int_equal(j.w.n, 2);
	j.place.run = 51; /* the name is learned again, and what the job before wrote is found by it */
	post(&j, FORGE_UPDATED);
	assert_int_equal(j.w.posts, 2);
	assert_int_equal(j.w.deletes, 1);
	assert_int_equal(j.w.n, 2);
	assert_int_equal(j.w.comments[1].id, 2);
	assert_non_null(strstr(j.w.comments[1].body, "run=51.1 -->"));
	j.how.author = "Our-App[bot]"; /* or it is said, and one comment is never two */
	post(&j, FORGE_UPDATED);
	assert_int_equal(j.w.posts, 2);
	assert_int_equal(ours(&j, &body), 0);
	job_close(&j);
}

static void test_forge_comment__a_list_that_lags(void **state)
{
	struct job j;

	(void)state;
	for (int lag = 1; lag < 60; lag *= 7) { /* it shows the comment late, or never */
		job_open(&j, false);
		j.w.lag = lag + 1; /* the first look has nothing to miss */
		j.w.lag_at = 0;
		post(&j, FORGE_CREATED);
		assert_int_equal(j.w.posts, 1);
		check_one(&j, "run=50.1");
		assert_true(j.w.lists < 8);
		job_close(&j);
	}
	job_open(&j, false); /* written, answered with 502, and shown late */
	j.w.lost = 1;
	j.w.lag = 3;
	post(&j, FORGE_CREATED);
	assert_int_equal(j.w.posts, 1);
	check_one(&j, "run=50.1");
	job_close(&j);
	job_open(&j, false); /* a rival's comment is known, ours is not shown: the rival's stays, ours goes */
	j.w.rival = true;
	j.w.lag = 50;
	j.w.lag_at = 1;
	post(&j, FORGE_UPDATED);
	assert_int_equal(j.w.posts, 1);
	check_one(&j, "run=50.1");
	job_close(&j);
}

static void test_forge_comment__after_a_502_it_looks_before_it_writes(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.w.refused = 1;
	post(&j, FORGE_CREATED);
	assert_int_equal(j.w.posts, 2);
	assert_true(j.w.lists >= 4);
	check_one(&j, "run=50.1");
	job_close(&j);
	job_open(&j, false);
	j.w.refused = 1000;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "502"));
	assert_int_equal(j.w.posts, 2);
	assert_int_equal(j.w.n, 0);
	job_close(&j);
}

/* The later job's text ends in the oldest comment, whichever of two jobs comes last. */
static void test_forge_comment__an_earlier_job_makes_way(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.place.run = 30;
	j.w.rival = true; /* run 40, before ours */
	post(&j, FORGE_NEWER_STANDS);
	check_one(&j, "of another job");
	assert_int_equal(j.w.comments[0].id, 1);
	add_comment(&j.w, "github-actions[bot]", "the latest\n<!-- assay:comment v1 key=default head=0 run=60.1 -->");
	post(&j, FORGE_NEWER_STANDS);
	check_one(&j, "the latest"); /* moved into the oldest */
	assert_int_equal(j.w.comments[0].id, 1);
	assert_non_null(strstr(j.w.comments[0].body, "run=60.1"));
	job_close(&j);
}

static void *post_aside(void *arg)
{
	struct job *j = arg;

	return (void *)(intptr_t)forge_comment(&j->done, &j->place, &j->how, j->report);
}

static void test_forge_comment__two_runs_for_real(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++) {
		struct job j, other;
		pthread_t t;
		void *rc;

		job_open(&j, false);
		other = j;
		other.place.run = 51;
		other.report = json_deep_copy(j.report);
		other.how.retry_s = j.how.retry_s = 0.002;
		assert_int_equal(pthread_create(&t, NULL, post_aside, &other), 0);
		assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), 0);
		pthread_join(t, &rc);
		assert_null(rc);
		check_one(&j, "run=51.1");
		assert_true(j.w.posts <= 2);
		json_decref(other.report);
		job_close(&j);
	}
}

/* ---- pages ----------------------------------------------------------------------------------------------------------- */

static void test_forge_comment__pages_are_as_long_as_the_forge_likes(void **state)
{
	struct job j;

	(void)state;
	for (int gitlab = 0; gitlab < 2; gitlab++) {
		job_open(&j, gitlab);
		j.w.page = 30;
		for (int i = 0; i < 70; i++)
			add_comment(&j.w, "somebody", "hm");
		post(&j, FORGE_CREATED);
		assert_int_equal(j.w.lists, 6);
		post(&j, FORGE_UPDATED);
		check_one(&j, "run=50.1");
		assert_int_equal(j.w.posts, 1);
		job_close(&j);
	}
	job_open(&j, false); /* a full page that is the last is the last */
	j.w.page = 100;
	for (int i = 0; i < 99; i++)
		add_comment(&j.w, "somebody", "hm");
	post(&j, FORGE_CREATED);
	j.w.lists = 0;
	post(&j, FORGE_UPDATED);
	assert_int_equal(j.w.lists, 1);
	job_close(&j);
}

static void test_forge_comment__a_page_at_another_host_is_not_asked(void **state)
{
	struct job j, other;
	char home[100];

	(void)state;
	job_open(&j, false);
	job_open(&other, false);
	j.w.page = 30;
	for (int i = 0; i < 70; i++)
		add_comment(&j.w, "somebody", "hm");
	/* another port; our address as a user's name; as the beginning of a longer name */
	for (int i = 0; i < 3; i++) {
		if (i == 0)
			snprintf(home, sizeof(home), "%s", other.home);
		else
			snprintf(home, sizeof(home), "%s%c127.0.0.1:%d", j.home, i == 1 ? '@' : '.', other.server.port);
		j.w.link = home;
		assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
		assert_non_null(strstr(err_text(), "is not asked"));
	}
	assert_int_equal(j.w.posts, 0);
	assert_int_equal(other.server.requests, 0);
	job_close(&other);
	job_close(&j);
}

/* ---- a report of this request ------------------------------------------------------------------------------------------ */

static void test_forge_comment__of_a_request_that_moved_on(void **state)
{
	struct job j;

	(void)state;
	for (int gitlab = 0; gitlab < 2; gitlab++) {
		job_open(&j, gitlab);
		j.w.request_head = "0123456789012345678901234567890123456789";
		post(&j, FORGE_MOVED_ON);
		assert_int_equal(j.w.n, 0);
		assert_int_equal(j.w.lists, 0);
		job_close(&j);
	}
}

static void test_forge_comment__of_another_commit(void **state)
{
	static const char tested[] = "9999999999999999999999999999999999999999";
	struct job j;

	(void)state;
	job_open(&j, false);
	json_object_set_new(j.report, "commit", json_string(tested));
	for (int i = 0; i < 4; i++) { /* another; its name alone is right; a merge of other commits; none */
		if (i == 1)
			json_object_set_new(j.report, "commits", json_pack("{s:s}", "head", HEAD));
		if (i == 2) {
			json_object_set_new(j.report, "commits", json_pack("{s:s}", "head", tested));
			j.place.tested = mem_str(tested);
		}
		if (i == 3)
			json_object_del(j.report, "commit");
		assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_INPUT);
		assert_non_null(strstr(err_text(), i == 3 ? "(none)" : "999999999999"));
		assert_int_equal(forge_status(&j.place, &j.how, j.report), ERR_INPUT);
	}
	assert_int_equal(j.server.requests, 0);
	json_object_set_new(j.report, "commit", json_string(tested)); /* the forge's own merge of the head */
	json_object_set_new(j.report, "commits", json_pack("{s:s}", "head", HEAD));
	post(&j, FORGE_CREATED);
	assert_int_equal(forge_status(&j.place, &j.how, j.report), 0);
	assert_string_equal(j.server.path, "/repos/team/models/statuses/" HEAD);
	job_close(&j);
}

/* ---- a forge that is busy, ill, or says no ---------------------------------------------------------------------------- */

static void test_forge_comment__waits_and_tries_again(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.w.busy = 1;
	j.w.ill = 2;
	post(&j, FORGE_CREATED);
	check_one(&j, "run=50.1");
	j.w.ill = 1000;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "502"));
	assert_null(strstr(err_text(), "<html>"));
	job_close(&j);
}

static void test_forge_comment__a_missing_permission_is_named(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.w.no = 1;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "Resource not accessible by integration"));
	assert_non_null(strstr(err_fix(), "pull-requests: write"));
	j.w.whoami = 401;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "does not accept the token"));
	assert_null(strstr(err_text(), TOKEN));
	job_close(&j);
	job_open(&j, true);
	j.w.no = 1;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_fix(), "ASSAY_GITLAB_TOKEN"));
	job_close(&j);
}

static void test_forge_comment__too_long_is_made_shorter(void **state)
{
	struct job j;
	json_t *notes = json_array(), *broken = json_array();

	(void)state;
	job_open(&j, false);
	for (int i = 0; i < 10; i++)
		json_array_append_new(
			broken, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "task", "t", "id", "1", "prompt",
					  "a long prompt of many words, and then some more of them, to fill the row",
					  "target", "x", "before", "y", "after", "z"));
	json_object_set_new(json_object_get(j.report, "samples"), "broken", broken);
	json_object_set_new(j.report, "notes", notes);
	j.w.longest = 5000;
	post(&j, FORGE_CREATED);
	check_one(&j, "run=50.1");
	j.w.longest = 10; /* it refuses everything */
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "422"));
	job_close(&j);
}

static void test_forge_comment__gitlab(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, true);
	add_comment(&j.w, "robot", "x\n<!-- assay:comment v1 key=default head=0 run=99.1 -->");
	j.w.comments[0].system = true; /* the forge's own note */
	post(&j, FORGE_CREATED);
	post(&j, FORGE_UPDATED);
	assert_int_equal(j.w.posts, 1);
	assert_int_equal(j.w.patches, 1);
	assert_string_equal(j.server.method, "PUT");
	assert_string_equal(j.server.path, "/projects/77/merge_requests/7/notes/2");
	job_close(&j);
}

/* Gitea's interface is GitHub's, but that all comments are on one page. */
static void test_forge_comment__gitea(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.place.kind = FORGE_GITEA;
	j.w.gitea = true;
	j.how.author = "github-actions[bot]"; /* as whom the stand-in writes */
	j.w.no_pages = true;
	for (int i = 0; i < 150; i++)
		add_comment(&j.w, "somebody", "hm");
	j.w.no = 1;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "Gitea"));
	assert_non_null(strstr(err_fix(), "write:issue"));
	job_close(&j);
	job_open(&j, false);
	j.place.kind = FORGE_GITEA;
	j.w.gitea = true;
	j.how.author = "github-actions[bot]";
	post(&j, FORGE_CREATED);
	post(&j, FORGE_UPDATED);
	check_one(&j, "run=50.1");
	assert_string_equal(j.server.path, "/repos/team/models/issues/comments/1");
	job_close(&j);
}

/* ---- forks ----------------------------------------------------------------------------------------------------------- */

static void test_forge_comment__of_a_fork_is_looked_for_by_its_head(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	j.place.number = 0;
	j.place.from = mem_str("mallory:main&state=closed");
	j.place.stranger = true;
	j.w.head = "0000";
	post(&j, FORGE_NO_REQUEST);
	assert_non_null(strstr(j.server.path, "&head=mallory%3Amain%26state%3Dclosed"));
	assert_int_equal(j.w.n, 0);
	j.w.head = HEAD;
	post(&j, FORGE_CREATED);
	check_one(&j, "nobody has checked it");
	assert_int_equal(forge_status(&j.place, &j.how, j.report), ERR_INPUT);
	assert_null(j.w.status);
	job_close(&j);
}

/* One head, two bases: each run is of one of the two requests. */
static void test_forge_comment__of_several_requests_of_one_head(void **state)
{
	static const char tested[] = "3333333333333333333333333333333333333333", *other = "4444";
	struct job j;

	(void)state;
	job_open(&j, false);
	j.place.number = 0;
	j.place.from = mem_str("mallory:main");
	j.place.stranger = true;
	json_object_set_new(j.report, "commits", json_pack("{s:s}", "head", HEAD));
	json_object_set_new(j.report, "commit", json_string(tested));
	j.w.head = HEAD;
	j.w.merge[0] = j.w.merge[1] = other;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_non_null(strstr(err_text(), "2 open requests have the head"));
	assert_non_null(err_fix());
	j.w.merge[0] = j.w.merge[1] = tested;
	assert_int_equal(forge_comment(&j.done, &j.place, &j.how, j.report), ERR_UNAVAILABLE);
	assert_int_equal(j.w.n, 0);
	j.w.merge[1] = other;
	post(&j, FORGE_CREATED);
	check_one(&j, "nobody has checked it");
	job_close(&j);
}

static void test_forge_status__marks_the_head(void **state)
{
	struct job j;

	(void)state;
	job_open(&j, false);
	assert_int_equal(forge_status(&j.place, &j.how, j.report), 0);
	assert_string_equal(j.server.path, "/repos/team/models/statuses/" HEAD);
	assert_string_equal(json_get_text(j.w.status, "state", ""), "failure");
	assert_string_equal(json_get_text(j.w.status, "context", ""), "assay");
	assert_string_equal(json_get_text(j.w.status, "target_url", ""), "https://ci.example/50");
	json_object_set_new(j.report, "exit", json_integer(0));
	assert_int_equal(forge_status(&j.place, &j.how, j.report), 0);
	assert_string_equal(json_get_text(j.w.status, "state", ""), "success");
	json_object_set_new(j.report, "exit", json_integer(69));
	assert_int_equal(forge_status(&j.place, &j.how, j.report), 0);
	assert_string_equal(json_get_text(j.w.status, "state", ""), "error");
	job_close(&j);
}

/* ---- what a token may do ----------------------------------------------------------------------------------------------- */

static void probe(struct job *j, int want, const char *says)
{
	char *text = NULL;
	int rc = forge_probe(&text, &j->place, &j->how);

	assert_int_equal(rc, want);
	if (says && !strstr(rc ? err_text() : text ? text : "", says))
		fail_msg("%s is not in: %s", says, rc ? err_text() : text ? text : "");
	if (!says)
		assert_null(text);
	free(text);
}

static void test_forge_probe__asks_and_changes_nothing(void **state)
{
	char nobody[] = "http://127.0.0.1:1", project[] = "team/models";
	struct job j;

	(void)state;
	job_open(&j, false);
	probe(&j, 0, "may comment on request 7");
	j.w.no = 1;
	probe(&j, ERR_UNAVAILABLE, "Resource not accessible by integration");
	assert_non_null(strstr(err_fix(), "pull-requests: write"));
	j.w.ill = 1; /* once is enough */
	probe(&j, 0, NULL);
	assert_int_equal(j.w.ill, 0);
	j.place.number = 0; /* a push */
	probe(&j, 0, "is accepted");
	j.w.scope = "public_repo";
	probe(&j, 0, "gist, public_repo");
	j.w.scope = "repo:status";
	probe(&j, ERR_UNAVAILABLE, "gist, repo:status");
	assert_non_null(strstr(err_fix(), "scope repo"));
	j.w.whoami = 401;
	probe(&j, ERR_UNAVAILABLE, "does not accept the token");
	assert_int_equal(j.w.n, 0);
	assert_int_equal(j.w.posts, 0);
	job_close(&j);
	probe(&(struct job){ .place = { .kind = FORGE_GITHUB, .api = nobody, .project = project },
			     .how = { .token = TOKEN, .key = "default" } },
	      0, NULL); /* nobody there */
	job_open(&j, true);
	j.w.scope = "api";
	probe(&j, 0, "is accepted (read_repository, api)");
	j.w.scope = "read_api";
	probe(&j, ERR_UNAVAILABLE, "read_api");
	assert_non_null(strstr(err_fix(), "scope api"));
	job_close(&j);
}

/* ---- where ----------------------------------------------------------------------------------------------------------- */

static char *event_path;

static void set_event(const char *text)
{
	assert_int_equal(fs_write(event_path, text, strlen(text)), 0);
	setenv("GITHUB_EVENT_PATH", event_path, 1);
}

static void refuse_place(const char *forge, int rc, const char *why)
{
	struct forge_place p;

	assert_int_equal(forge_place_read(&p, forge), rc);
	if (!strstr(err_text(), why))
		fail_msg("%s is not in: %s", why, err_text());
	forge_place_release(&p);
}

static void test_forge_place_read__github(void **state)
{
	struct forge_place p;
	char *dir;

	(void)state;
	assert_int_equal(fs_temp_dir(&dir, "/tmp", "assay-forge-"), 0);
	event_path = path_join(dir, "event.json");
	unsetenv("GITHUB_API_URL");
	refuse_place("github", ERR_ENV, "GITHUB_API_URL is not set");
	setenv("GITHUB_API_URL", "https://api.example", 1);
	setenv("GITHUB_SERVER_URL", "https://example", 1);
	setenv("GITHUB_REPOSITORY", "team/models", 1);
	setenv("GITHUB_SHA", "1111111111111111111111111111111111111111", 1);
	setenv("GITHUB_RUN_ID", "5821", 1);
	setenv("GITHUB_RUN_ATTEMPT", "3", 1);
	set_event("{\"pull_request\":{\"number\":12,\"head\":{\"sha\":\"" HEAD "\"}}}");
	assert_int_equal(forge_place_read(&p, "github"), 0);
	assert_int_equal(p.number, 12);
	assert_int_equal(p.run, 5821);
	assert_int_equal(p.attempt, 3);
	assert_false(p.stranger);
	assert_string_equal(p.head, HEAD); /* never the merge commit that the forge made */
	assert_string_equal(p.url, "https://example/team/models/actions/runs/5821");
	forge_place_release(&p);
	set_event("{\"ref\":\"refs/heads/main\"}"); /* a push */
	assert_int_equal(forge_place_read(&p, "github"), 0);
	assert_int_equal(p.number, 0);
	assert_null(p.from);
	assert_string_equal(p.tested, "1111111111111111111111111111111111111111");
	forge_place_release(&p);
	set_event("{\"workflow_run\":{\"id\":77,\"run_attempt\":2,\"head_sha\":\"" HEAD "\",\"head_branch\":\"main\","
		  "\"head_repository\":{\"owner\":{\"login\":\"mallory\"}},\"pull_requests\":[]}}");
	assert_int_equal(forge_place_read(&p, "github"), 0);
	assert_true(p.stranger);
	assert_string_equal(p.from, "mallory:main");
	assert_int_equal(p.run, 77);
	forge_place_release(&p);
	/* the request named is of another head: it is looked for */
	set_event("{\"workflow_run\":{\"id\":77,\"head_sha\":\"" HEAD
		  "\",\"head_branch\":\"b\",\"head_repository\":{\"owner\":"
		  "{\"login\":\"team\"}},\"pull_requests\":[{\"number\":1,\"head\":{\"sha\":\"2222\"}}]}}");
	assert_int_equal(forge_place_read(&p, "github"), 0);
	assert_int_equal(p.number, 0);
	forge_place_release(&p);
	/* two of the one head, for two bases: neither is taken because it comes first */
	set_event("{\"workflow_run\":{\"id\":77,\"head_sha\":\"" HEAD
		  "\",\"head_branch\":\"b\",\"head_repository\":{\"owner\":"
		  "{\"login\":\"team\"}},\"pull_requests\":[{\"number\":1,\"head\":{\"sha\":\"" HEAD "\"}},"
		  "{\"number\":2,\"head\":{\"sha\":\"" HEAD "\"}}]}}");
	assert_int_equal(forge_place_read(&p, "github"), 0);
	assert_int_equal(p.number, 0);
	assert_string_equal(p.from, "team:b");
	forge_place_release(&p);
	set_event("{\"pull_request\":{\"number\":12,\"head\":{\"sha\":\"../../x\"}}}");
	refuse_place("github", ERR_ENV, "no commit");
	set_event("{");
	refuse_place("github", ERR_INPUT, "GITHUB_EVENT_PATH");
	setenv("GITHUB_EVENT_PATH", "/nowhere/event.json", 1);
	refuse_place("github", ERR_ENV, "GITHUB_EVENT_PATH");
	setenv("GITHUB_REPOSITORY", "team/../../x", 1);
	refuse_place("github", ERR_ENV, "no project");
	setenv("GITHUB_API_URL", "file:///etc", 1);
	refuse_place("github", ERR_ENV, "no http");
	refuse_place("sourcehut", ERR_USAGE, "unknown forge");
	fs_remove_tree(dir);
	free(event_path);
	free(dir);
}

static void test_forge_place_read__gitlab(void **state)
{
	struct forge_place p;

	(void)state;
	setenv("CI_API_V4_URL", "https://gitlab.example/api/v4", 1);
	setenv("CI_PROJECT_ID", "5", 1);
	setenv("CI_COMMIT_SHA", "1111111111111111111111111111111111111111", 1);
	setenv("CI_PIPELINE_ID", "900", 1);
	setenv("CI_JOB_ID", "4001", 1);
	assert_int_equal(forge_place_read(&p, "gitlab"), 0);
	assert_int_equal(p.number, 0);
	assert_string_equal(p.project, "5");
	forge_place_release(&p);
	setenv("CI_MERGE_REQUEST_IID", "8", 1);
	setenv("CI_MERGE_REQUEST_PROJECT_ID", "6", 1);
	setenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", HEAD, 1);
	assert_int_equal(forge_place_read(&p, "gitlab"), 0);
	assert_int_equal(p.number, 8);
	assert_string_equal(p.project, "6");
	assert_string_equal(p.head, HEAD);
	forge_place_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forge_comment__written_once_then_updated),
		cmocka_unit_test(test_forge_comment__found_on_a_late_page),
		cmocka_unit_test(test_forge_comment__a_server_without_pages_is_read_once),
		cmocka_unit_test(test_forge_comment__a_pasted_marker_is_not_ours),
		cmocka_unit_test(test_forge_comment__a_later_run_stands),
		cmocka_unit_test(test_forge_comment__written_and_answered_with_502),
		cmocka_unit_test(test_forge_comment__two_jobs_at_once),
		cmocka_unit_test(test_forge_comment__removed_meanwhile),
		cmocka_unit_test(test_forge_comment__of_an_app_that_does_not_know_its_name),
		cmocka_unit_test(test_forge_comment__a_list_that_lags),
		cmocka_unit_test(test_forge_comment__after_a_502_it_looks_before_it_writes),
		cmocka_unit_test(test_forge_comment__an_earlier_job_makes_way),
		cmocka_unit_test(test_forge_comment__two_runs_for_real),
		cmocka_unit_test(test_forge_comment__pages_are_as_long_as_the_forge_likes),
		cmocka_unit_test(test_forge_comment__a_page_at_another_host_is_not_asked),
		cmocka_unit_test(test_forge_comment__of_a_request_that_moved_on),
		cmocka_unit_test(test_forge_comment__of_another_commit),
		cmocka_unit_test(test_forge_comment__waits_and_tries_again),
		cmocka_unit_test(test_forge_comment__a_missing_permission_is_named),
		cmocka_unit_test(test_forge_comment__too_long_is_made_shorter),
		cmocka_unit_test(test_forge_comment__gitlab),
		cmocka_unit_test(test_forge_comment__gitea),
		cmocka_unit_test(test_forge_comment__of_a_fork_is_looked_for_by_its_head),
		cmocka_unit_test(test_forge_comment__of_several_requests_of_one_head),
		cmocka_unit_test(test_forge_status__marks_the_head),
		cmocka_unit_test(test_forge_probe__asks_and_changes_nothing),
		cmocka_unit_test(test_forge_place_read__github),
		cmocka_unit_test(test_forge_place_read__gitlab),
	};

	unsetenv("ASSAY_OFFLINE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
