/* test_forge.c: a forge on 127.0.0.1 with pages, refusals, error pages, a comment that is written and then answered with
 * 502, jobs that race, and people who paste markers: in the end there is one comment of ours, the right one. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "forge_world.h"

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
	};

	unsetenv("ASSAY_OFFLINE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
