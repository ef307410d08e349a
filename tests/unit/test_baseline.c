/* Tests of runner/baseline.c: which run a gate may compare with, and which it may not, whatever it is called. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "repo_fixture.h"
#include "runner/baseline.h"

#define COMMIT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define COMMIT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct bench {
	struct home home;
	struct config config;
	struct run run;
};

static void begin(struct fixture *f, struct bench *b, const char *baseline)
{
	char *home = in_root(f, "home"), *text;

	memset(b, 0, sizeof(*b));
	setenv("ASSAY_HOME", home, 1);
	must(home_open(&b->home, NULL));
	text = mem_printf("model: bot\nbase: m\nsuites: [a]\ngate: {baseline: %s, require: {a.acc: {max_drop: 0}}}\n"
			  "promote: {main: production}\n",
			  baseline);
	must(config_parse(&b->config, text, strlen(text), "assay.yaml"));
	b->run.home = &b->home;
	b->run.questions = &b->config;
	b->run.event.trust = TRUST_PROTECTED;
	free(text);
	free(home);
}

static void end(struct bench *b)
{
	free(b->run.baseline.name);
	free(b->run.baseline.commit);
	free(b->run.baseline.why);
	config_release(&b->config);
	home_close(&b->home);
}

struct what {
	const char *weights, *prompt, *commit, *branch, *trust, *verdict;
	bool dirty, version;
	int exit;
};

static int add(struct bench *b, const struct what *w, char id[DIGEST_HEX])
{
	char object[DIGEST_HEX] = "";
	json_t *r;
	int number;

	if (w->weights)
		must(store_put(b->home.store, w->weights, strlen(w->weights), object));
	r = json_pack("{s:s,s:s,s:s,s:s,s:b,s:s,s:i,s:{s:s,s:s,s:s}}", "format", "assay-run/1", "commit", w->commit,
		      "branch", w->branch, "trust", w->trust, "dirty", w->dirty, "verdict", w->verdict, "exit", w->exit,
		      "product", "key", "k", "object", object, "prompt", w->prompt ? w->prompt : "");
	assert_non_null(r);
	if (w->version)
		json_object_set_new(r, "version", json_pack("{s:s,s:s}", "model", "bot", "object", object));
	must(registry_add_run(b->home.registry, r, id));
	number = (int)json_get_int(json_object_get(r, "version"), "number", 0);
	json_decref(r);
	return number;
}

static void promote(struct bench *b, int version, const char *run, bool rollback)
{
	const struct promotion p = { .model = "bot",
				     .alias = "production",
				     .version = version,
				     .expect = PROMOTE_ANY,
				     .run = run,
				     .actor = "ann",
				     .reason = "x",
				     .rollback = rollback };
	char id[DIGEST_HEX];

	must(registry_promote(b->home.registry, &p, id));
}

static void finds(struct bench *b, const char *id)
{
	must(baseline_find(&b->run));
	if (!b->run.baseline.found)
		fail_msg("not found: %s", b->run.baseline.why);
	assert_string_equal(b->run.baseline.run, id);
}

static void finds_nothing(struct bench *b)
{
	must(baseline_find(&b->run));
	assert_false(b->run.baseline.found);
	assert_non_null(b->run.baseline.why);
}

static void test_baseline_find__nothing_yet(void **state)
{
	struct bench b;

	begin(*state, &b, "production");
	finds_nothing(&b);
	assert_text_has(b.run.baseline.why, "nothing is recorded under production yet");
	end(&b);
}

static void test_baseline_find__an_alias(void **state)
{
	const struct what a = { "w1", "p1", COMMIT_A, "main", "protected", "PASS", false, true, 0 };
	struct bench b;
	char id[DIGEST_HEX];

	begin(*state, &b, "production");
	promote(&b, add(&b, &a, id), id, false);
	finds(&b, id);
	assert_int_equal(b.run.baseline.version, 1);
	assert_string_equal(b.run.baseline.commit, COMMIT_A);
	assert_string_equal(b.run.baseline.prompt, "p1");
	finds(&b, id); /* again, as the gate does */
	end(&b);
}

/* A branch made the same weights first, behind a poor prompt: that must not become what main is measured by. */
static void test_baseline_find__an_alias_is_the_run_that_was_promoted(void **state)
{
	const struct what first = { "w1", "poor", COMMIT_A, "topic", "branch", "FAIL", false, true, 1 };
	const struct what promoted = { "w1", "good", COMMIT_B, "main", "protected", "PASS", false, true, 0 };
	const struct what better = { "w2", "good", COMMIT_B, "main", "protected", "PASS", false, true, 0 };
	struct bench b;
	char id[DIGEST_HEX], other[DIGEST_HEX];

	begin(*state, &b, "production");
	assert_int_equal(add(&b, &first, other), 1);
	assert_int_equal(add(&b, &promoted, id), 1);
	promote(&b, 1, id, false);
	finds(&b, id);
	assert_string_equal(b.run.baseline.prompt, "good");
	assert_string_equal(b.run.baseline.commit, COMMIT_B);
	b.run.event.branch = (char *)(uintptr_t) "main";
	must(baseline_alias(&b.run));
	assert_string_equal(b.run.alias_commit, COMMIT_B);
	assert_int_equal(add(&b, &better, other), 2);
	promote(&b, 2, other, false);
	finds(&b, other);
	promote(&b, 1, NULL, true); /* rolled back by hand: to what it was when its gate passed */
	finds(&b, id);
	end(&b);
}

static void test_baseline_find__an_alias_whose_record_is_gone(void **state)
{
	const struct what a = { "w1", "p1", COMMIT_A, "main", "protected", "PASS", false, true, 0 };
	struct fixture *f = *state;
	struct bench b;
	char id[DIGEST_HEX], *path;

	begin(f, &b, "production");
	promote(&b, add(&b, &a, id), id, false);
	path = mem_printf("%s/records/%.2s/%s", store_home(b.home.store), id, id + 2);
	must(fs_remove(path));
	assert_err(baseline_find(&b.run), ERR_IO); /* what is lost is no leave to pass by the floors alone */
	assert_text_has(err_text(), "is gone");
	free(path);
	end(&b);
}

/* Names of branches are free: a fork has a main, and may have a production. */
static void test_baseline_find__a_branch_of_a_weaker_class_does_not_count(void **state)
{
	struct what w = { "w1", "p1", COMMIT_A, "main", "protected", "PASS", false, true, 0 };
	struct bench b;
	char id[DIGEST_HEX], branch[DIGEST_HEX], fork[DIGEST_HEX];

	begin(*state, &b, "main");
	w.trust = "fork";
	w.version = false;
	add(&b, &w, fork);
	finds_nothing(&b);
	w.trust = "protected";
	add(&b, &w, id);
	w.trust = "branch";
	add(&b, &w, branch);
	w.trust = "fork";
	add(&b, &w, fork);
	finds(&b, id);
	b.run.event.trust = TRUST_BRANCH;
	finds(&b, branch);
	b.run.event.trust = TRUST_FORK;
	finds(&b, fork);
	end(&b);
	begin(*state, &b, "production");
	w.branch = "production";
	add(&b, &w, fork);
	finds_nothing(&b);
	end(&b);
}

/* A failed push would lower the bar for the next one; what has no model would take it away. */
static void test_baseline_find__a_branch_is_its_last_run_that_passed(void **state)
{
	struct what w = { "w1", "p1", COMMIT_A, "main", "protected", "PASS", false, true, 0 };
	struct bench b;
	char id[DIGEST_HEX], other[DIGEST_HEX];

	begin(*state, &b, "main");
	add(&b, &w, id);
	w.commit = COMMIT_B;
	w.weights = "w2";
	w.verdict = "FAIL";
	w.exit = 1;
	add(&b, &w, other);
	finds(&b, id);
	w.verdict = "ERROR";
	w.exit = 65;
	add(&b, &w, other);
	finds(&b, id);
	w.verdict = "INCONCLUSIVE"; /* left to CI: nothing was judged */
	w.exit = 0;
	w.weights = NULL;
	w.version = false;
	add(&b, &w, other);
	finds(&b, id);
	w.verdict = "PASS";
	w.weights = "w3";
	w.dirty = true;
	add(&b, &w, other);
	finds(&b, id);
	end(&b);
}

static void test_baseline_find__a_commit_and_an_id(void **state)
{
	struct what w = { "w1", "p1", COMMIT_A, "main", "protected", "FAIL", false, true, 1 };
	struct bench b;
	char id[DIGEST_HEX], name[DIGEST_HEX];

	begin(*state, &b, COMMIT_A);
	add(&b, &w, id);
	finds(&b, id); /* named outright: failed or not */
	w.dirty = true;
	add(&b, &w, name);
	finds(&b, id);
	end(&b);
	snprintf(name, sizeof(name), "%.16s", id);
	begin(*state, &b, name);
	finds(&b, id);
	end(&b);
	snprintf(name, sizeof(name), "\"%.3s\"", id); /* too short to mean anything */
	begin(*state, &b, name);
	finds_nothing(&b);
	end(&b);
}

static void test_baseline_alias__who_moves_what(void **state)
{
	struct bench b;

	begin(*state, &b, "production");
	b.run.event.branch = (char *)(uintptr_t) "main";
	must(baseline_alias(&b.run));
	assert_string_equal(b.run.alias, "production");
	assert_int_equal(b.run.alias_version, 0);
	b.run.event.kind = EVENT_PULL_REQUEST; /* from a branch called main: it lands nowhere yet */
	must(baseline_alias(&b.run));
	assert_null(b.run.alias);
	b.run.event.kind = EVENT_MANUAL;
	b.run.event.trust = TRUST_FORK;
	must(baseline_alias(&b.run));
	assert_null(b.run.alias);
	b.run.event.trust = TRUST_PROTECTED;
	b.run.event.branch = NULL;
	must(baseline_alias(&b.run));
	assert_null(b.run.alias);
	b.run.event.branch = (char *)(uintptr_t) "topic";
	must(baseline_alias(&b.run));
	assert_null(b.run.alias);
	end(&b);
}

#define test(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_baseline_find__nothing_yet),
		test(test_baseline_find__an_alias),
		test(test_baseline_find__an_alias_is_the_run_that_was_promoted),
		test(test_baseline_find__an_alias_whose_record_is_gone),
		test(test_baseline_find__a_branch_of_a_weaker_class_does_not_count),
		test(test_baseline_find__a_branch_is_its_last_run_that_passed),
		test(test_baseline_find__a_commit_and_an_id),
		test(test_baseline_alias__who_moves_what),
	};

	return cmocka_run_group_tests_name("baseline", tests, NULL, NULL);
}
