/* test_forge_place.c: which request, of which forge, a report is for: read from the event alone. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ci/ci.h"

#define HEAD "e4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d"

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
		cmocka_unit_test(test_forge_place_read__github),
		cmocka_unit_test(test_forge_place_read__gitlab),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
