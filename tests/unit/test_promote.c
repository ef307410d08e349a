/* Tests of artifacts/promote.c: aliases move by compare-and-swap, forward only; proposals are settled. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/wait.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

static int alias_now(struct fixture *f, const char *alias)
{
	int version = 0;

	must(registry_alias(f->registry, "bot", alias, &version));
	return version;
}

static void test_registry_promote__moves_and_remembers(void **state)
{
	struct fixture *f = *state;
	char run[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows = NULL, *row;
	const struct promotion p = { .model = "bot",
				     .alias = "production",
				     .version = 2,
				     .expect = 1,
				     .actor = "ann",
				     .reason = "No worse: 0.91 against 0.90.",
				     .run = run,
				     .forced = true };
	int version = 0;

	add_run(f, "w1", '1', run);
	add_run(f, "w2", '2', run);
	assert_err(registry_alias(f->registry, "bot", "production", &version), ERR_NOTFOUND);
	assert_text_has(err_text(), "production");
	must(promote_to(f, 1, 0));
	must(registry_promote(f->registry, &p, id));
	assert_int_equal(alias_now(f, "production"), 2);
	must(registry_list(f->registry, "history", "bot", 0, &rows));
	assert_int_equal(json_array_size(rows), 2);
	row = json_array_get(rows, 0); /* newest first */
	assert_string_equal(json_get_text(row, "id", ""), id);
	assert_string_equal(json_get_text(row, "alias", ""), "production");
	assert_int_equal(json_get_int(row, "version", 0), 2);
	assert_int_equal(json_get_int(row, "from_version", 0), 1);
	assert_string_equal(json_get_text(row, "actor", ""), "ann");
	assert_string_equal(json_get_text(row, "reason", ""), p.reason);
	assert_string_equal(json_get_text(row, "run", ""), run);
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('2'));
	assert_true(json_get_flag(row, "forced", false));
	assert_false(json_get_flag(row, "rollback", true));
	row = json_array_get(rows, 1);
	assert_true(json_is_null(json_object_get(row, "from_version")));
	assert_true(json_is_null(json_object_get(row, "run")));
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('1'));
	json_decref(rows);
	assert_clean(f->registry);
}

static void test_registry_promote__conflict_says_what_changed(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];

	add_run(f, "w1", '1', id);
	add_run(f, "w2", '2', id);
	add_run(f, "w3", '3', id);
	assert_err(promote_to(f, 2, 1), ERR_CONFLICT); /* expected at v1, but there is none */
	assert_text_has(err_text(), "bot@production does not exist");
	assert_text_has(err_text(), "rests on v1");
	must(promote_to(f, 2, 0));
	assert_err(promote_to(f, 3, 0), ERR_CONFLICT);
	assert_text_has(err_text(), "points at v2");
	assert_text_has(err_text(), "rests on none");
	assert_err(promote_to(f, 3, 1), ERR_CONFLICT);
	assert_text_has(err_text(), "rests on v1");
	assert_non_null(err_fix());
	assert_int_equal(alias_now(f, "production"), 2);
	assert_int_equal(list_length(f->registry, "history"), 1);
	must(promote_to(f, 3, PROMOTE_ANY));
	assert_int_equal(alias_now(f, "production"), 3);
}

static void test_registry_promote__older_only_as_rollback(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	struct promotion p = {
		.model = "bot", .alias = "production", .version = 1, .expect = 2, .actor = "ann", .reason = "v2 swears"
	};

	add_run(f, "w1", '1', id);
	add_run(f, "w2", '2', id);
	must(promote_to(f, 2, 0));
	assert_err(registry_promote(f->registry, &p, id), ERR_CONFLICT);
	assert_text_has(err_text(), "v1 is older");
	p.expect = PROMOTE_ANY; /* forced or not makes no difference to that */
	p.forced = true;
	assert_err(registry_promote(f->registry, &p, id), ERR_CONFLICT);
	p.rollback = true;
	must(registry_promote(f->registry, &p, id));
	assert_int_equal(alias_now(f, "production"), 1);
	assert_int_equal(list_length(f->registry, "history"), 2);
	must(promote_to(f, 2, 1)); /* and forward again */
	assert_clean(f->registry);
}

/* A run that ended otherwise than by a PASS on its commit; gives the version. */
static int add_changed(struct fixture *f, const char *weights, const char *member, json_t *value, char id[DIGEST_HEX])
{
	json_t *r = run_record(f->store, weights, '9', "main", "protected");
	int number;

	json_object_set_new(r, member, value);
	must(registry_add_run(f->registry, r, id));
	number = (int)json_get_int(json_object_get(r, "version"), "number", 0);
	json_decref(r);
	return number;
}

static void test_registry_promote__a_rollback_goes_to_what_was(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	struct promotion p = { .model = "bot",
			       .alias = "production",
			       .version = 4,
			       .expect = PROMOTE_ANY,
			       .actor = "ann",
			       .reason = "x",
			       .rollback = true };

	for (char k = '1'; k <= '3'; k++)
		add_run(f, (char[]){ 'w', k, 0 }, k, id);
	assert_int_equal(add_changed(f, "w4", "verdict", json_string("FAIL"), id), 4);
	must(promote_to(f, 2, 0));
	must(promote_to(f, 3, 2));
	for (int forced = 0; forced < 2; forced++) { /* v4 is no way back, forced or not */
		p.forced = forced;
		assert_err(registry_promote(f->registry, &p, id), ERR_INPUT);
		assert_text_has(err_text(), "never stood for v4");
		assert_string_equal(err_fix(), "assay promote bot@v4 production");
	}
	p.version = 1;
	p.forced = false;
	assert_err(registry_promote(f->registry, &p, id), ERR_INPUT);
	assert_text_has(err_fix(), "--force");
	assert_int_equal(alias_now(f, "production"), 3);
	p.forced = true;
	must(registry_promote(f->registry, &p, id));
	p.version = 3; /* it stood for v3 */
	p.forced = false;
	must(registry_promote(f->registry, &p, id));
	p.version = 4; /* by force, and then that is what it stood for */
	p.forced = true;
	p.rollback = false;
	must(registry_promote(f->registry, &p, id));
	p.version = 1;
	p.forced = false;
	p.rollback = true;
	must(registry_promote(f->registry, &p, id));
	p.version = 4;
	must(registry_promote(f->registry, &p, id));
	assert_int_equal(alias_now(f, "production"), 4);
	assert_clean(f->registry);
}

/* A person's promotion is of the version's own run: that passed whole, and none FAILed later. */
static void test_registry_promote__only_what_passed_whole(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	const struct promotion forced = { .model = "bot",
					  .alias = "other",
					  .version = 3,
					  .expect = 0,
					  .actor = "ann",
					  .reason = "x",
					  .forced = true };

	add_run(f, "w1", '1', id);
	must(promote_to(f, 1, 0));
	add_changed(f, "w2", "verdict", json_string("INCONCLUSIVE"), id);
	add_changed(f, "w3", "trust", json_string("fork"), id);
	add_changed(f, "w4", "dirty", json_true(), id);
	add_changed(f, "w5", "limit", json_real(0.5), id);
	for (int v = 2; v <= 5; v++) {
		assert_err(promote_to(f, v, 1), ERR_INPUT);
		assert_text_has(err_fix(), "--force");
	}
	must(registry_promote(f->registry, &forced, id));
	add_run(f, "w6", '6', id);
	assert_int_equal(add_changed(f, "w6", "verdict", json_string("FAIL"), id), 6);
	assert_err(promote_to(f, 6, 1), ERR_INPUT);
	assert_text_has(err_text(), "FAILed it later");
	assert_int_equal(add_changed(f, "w6", "verdict", json_string("INCONCLUSIVE"), id), 6);
	assert_err(promote_to(f, 6, 1), ERR_INPUT);
	add_run(f, "w6", '7', id);
	must(promote_to(f, 6, 1));
	add_run(f, "w7", '7', id);
	add_changed(f, "w7", "verdict", json_string("INCONCLUSIVE"), id); /* says nothing against it */
	must(promote_to(f, 7, 6));
	assert_clean(f->registry);
}

static void go_back(struct fixture *f)
{
	char run[DIGEST_HEX], id[DIGEST_HEX];
	struct promotion p = {
		.model = "bot", .alias = "production", .expect = PROMOTE_ANY, .actor = "ann", .rollback = true
	};

	must(registry_before(f->registry, "bot", "production", &p.version, run));
	p.run = *run ? run : NULL;
	p.rebind = *run != 0;
	must(registry_promote(f->registry, &p, id));
}

static void test_registry_before__a_second_rollback_goes_further(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], run[DIGEST_HEX];
	int version = 0;

	assert_err(registry_before(f->registry, "bot", "production", &version, run), ERR_NOTFOUND);
	for (char k = '1'; k <= '4'; k++)
		add_run(f, (char[]){ 'w', k, 0 }, k, id);
	must(promote_to(f, 1, 0));
	assert_err(registry_before(f->registry, "bot", "production", &version, run), ERR_NOTFOUND);
	must(promote_to(f, 2, 1));
	must(promote_to(f, 3, 2));
	go_back(f);
	assert_int_equal(alias_now(f, "production"), 2);
	go_back(f);
	assert_int_equal(alias_now(f, "production"), 1); /* not forward again to v3 */
	assert_err(registry_before(f->registry, "bot", "production", &version, run), ERR_NOTFOUND);
	must(promote_to(f, 4, 1));
	go_back(f);
	assert_int_equal(alias_now(f, "production"), 1); /* what was left by going back is no state to return to */
	assert_clean(f->registry);
}

/* Two prompts before the same weights are two states. */
static void test_registry_before__a_prompt_is_gone_back_on(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX], run[DIGEST_HEX], id[DIGEST_HEX];
	struct promotion p = { .model = "bot",
			       .alias = "production",
			       .version = 1,
			       .expect = PROMOTE_ANY,
			       .actor = "ann",
			       .run = one,
			       .rebind = true };
	json_t *rows = NULL;
	int version = 0;

	add_run(f, "w1", '1', one);
	add_run(f, "w1", '2', two);
	must(registry_promote(f->registry, &p, id));
	p.run = two;
	must(registry_promote(f->registry, &p, id));
	must(registry_before(f->registry, "bot", "production", &version, run));
	assert_int_equal(version, 1);
	assert_string_equal(run, one);
	go_back(f);
	must(registry_list(f->registry, "history", NULL, 1, &rows));
	assert_string_equal(json_get_text(json_array_get(rows, 0), "run", ""), one);
	json_decref(rows);
	assert_err(registry_before(f->registry, "bot", "production", &version, run), ERR_NOTFOUND);
}

/* Each names the one before it; what is taken out of the middle is missed, also when the rows are made again. */
static void test_registry_promote__is_a_chain(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *path, *text;
	json_t *rows = NULL, *row, *run = run_record(f->store, "w1", '1', "main", "protected");

	json_object_set_new(run, "policy", json_pack("{s:s}", "digest", "abc"));
	must(registry_add_run(f->registry, run, id));
	json_decref(run);
	add_run(f, "w2", '2', id);
	add_run(f, "w3", '3', id);
	must(promote_to(f, 1, 0));
	must(promote_to(f, 2, 1));
	must(promote_to(f, 3, 2));
	must(registry_list(f->registry, "history", NULL, 0, &rows));
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(json_get_text(json_array_get(rows, i), "previous", ""),
				    json_get_text(json_array_get(rows, i + 1), "id", ""));
	row = json_array_get(rows, 2);
	assert_true(json_is_null(json_object_get(row, "previous")));
	assert_string_equal(json_get_text(row, "verdict", ""), "PASS");
	assert_string_equal(json_get_text(row, "policy", ""), "abc");
	assert_clean(f->registry);
	path = store_file(f->store, VAULT_RECORDS, json_get_text(json_array_get(rows, 1), "id", ""));
	must(fs_remove(path));
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, NULL));
	must(registry_open(&f->registry, f->store));
	text = check_text(f->registry);
	assert_text_has(text, "the chain is broken");
	free(text);
	free(path);
	json_decref(rows);
}

static void test_registry_promote__where_it_is_already_adds_nothing(void **state)
{
	struct fixture *f = *state;
	const struct promotion p = { .model = "bot", .alias = "production", .version = 1, .expect = 1, .actor = "ann" };
	char id[DIGEST_HEX], first[DIGEST_HEX];
	json_t *rows = NULL;

	add_run(f, "w1", '1', id);
	must(promote_to(f, 1, 0));
	must(registry_list(f->registry, "history", NULL, 0, &rows));
	snprintf(first, sizeof(first), "%s", json_get_text(json_array_get(rows, 0), "id", ""));
	json_decref(rows);
	must(registry_promote(f->registry, &p, id));
	assert_string_equal(id, first);
	assert_int_equal(list_length(f->registry, "history"), 1);
}

static void test_registry_promote__what_is_not_there(void **state)
{
	static const char *const no_aliases[] = {
		"v2", "7", "v007", "a@b", "", "../x", "a,b", ".", "-x", "a b", "a\x01"
	};
	struct fixture *f = *state;
	char run[DIGEST_HEX], other[DIGEST_HEX], id[DIGEST_HEX];
	struct promotion p = { .model = "bot", .alias = "production", .version = 1, .expect = 0, .actor = "ann" };

	assert_err(registry_promote(f->registry, &p, id), ERR_NOTFOUND);
	add_run(f, "w1", '1', run);
	add_run(f, "w2", '2', other);
	p.version = 3;
	assert_err(registry_promote(f->registry, &p, id), ERR_NOTFOUND);
	assert_text_has(err_text(), "bot@v3");
	p.version = 1;
	p.run = "00000000000000000000000000000000000000000000000000000000000000ff";
	assert_err(registry_promote(f->registry, &p, id), ERR_NOTFOUND);
	p.run = other; /* whose gate judged v2 */
	assert_err(registry_promote(f->registry, &p, id), ERR_INPUT);
	assert_text_has(err_text(), "v2");
	p.run = run;
	p.version = 0;
	assert_err(registry_promote(f->registry, &p, id), ERR_INPUT);
	p.version = 1;
	for (size_t i = 0; i < ARRAY_LEN(no_aliases); i++) {
		p.alias = no_aliases[i];
		assert_err(registry_promote(f->registry, &p, id), ERR_INPUT);
		assert_text_has(err_text(), "is no name for an alias");
	}
	p.alias = "production";
	p.actor = "";
	assert_err(registry_promote(f->registry, &p, id), ERR_INPUT);
	assert_int_equal(list_length(f->registry, "history"), 0);
	p.actor = "ann\xff"; /* not UTF-8: repaired */
	must(registry_promote(f->registry, &p, id));
	assert_clean(f->registry);
}

/* Both have seen the alias at v1 and wait for the same moment. */
static void racer(const char *home, int version, int go)
{
	struct fixture f = { 0 };
	char byte;
	int rc;

	must(store_open(&f.store, home));
	must(registry_open(&f.registry, f.store));
	rc = read(go, &byte, 1) == 1 ? promote_to(&f, version, 1) : ERR_BUG;
	registry_close(f.registry);
	store_close(f.store);
	_exit(rc == 0 ? 0 : rc == ERR_CONFLICT ? 1 : 2);
}

static void test_registry_promote__of_two_processes_one_wins(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	int won = 0, lost = 0, status, go[2];

	add_run(f, "w1", '1', id);
	add_run(f, "w2", '2', id);
	add_run(f, "w3", '3', id);
	must(promote_to(f, 1, 0));
	registry_close(f->registry);
	f->registry = NULL;
	assert_false(pipe(go));
	for (int k = 0; k < 2; k++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			racer(f->home, 2 + k, go[0]);
	}
	assert_int_equal(write(go[1], "gg", 2), 2);
	for (int k = 0; k < 2; k++) {
		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status));
		won += WEXITSTATUS(status) == 0;
		lost += WEXITSTATUS(status) == 1;
	}
	close(go[0]);
	close(go[1]);
	assert_int_equal(won, 1);
	assert_int_equal(lost, 1);
	must(registry_open(&f->registry, f->store));
	assert_int_equal(list_length(f->registry, "history"), 2); /* the first, and the winner's */
	assert_true(alias_now(f, "production") >= 2);
	assert_clean(f->registry);
}

/* ---- proposals ---- */

static int propose(struct fixture *f, const char *weights, char commit, int expect, char id[DIGEST_HEX])
{
	json_t *r = run_record(f->store, weights, commit, "main", "branch");
	int number;

	json_object_set_new(r, "proposal",
			    json_pack("{s:s,s:s,s:i,s:s,s:s}", "model", "bot", "alias", "production", "expect", expect,
				      "remote", "origin", "ref", "refs/heads/main"));
	must(registry_add_run(f->registry, r, id));
	number = (int)json_get_int(json_object_get(r, "version"), "number", 0);
	json_decref(r);
	return number;
}

/* The runs with open proposals, oldest first, as "id id …". */
static void assert_open(struct fixture *f, size_t n, const char *first)
{
	json_t *rows = NULL;

	must(registry_proposals(f->registry, &rows));
	assert_int_equal(json_array_size(rows), n);
	if (n)
		assert_string_equal(json_get_text(json_array_get(rows, 0), "run", ""), first);
	json_decref(rows);
}

static void test_registry_proposals__settled_by_a_promotion_that_names_the_run(void **state)
{
	struct fixture *f = *state;
	char base[DIGEST_HEX], run[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows = NULL, *row;
	struct promotion p = {
		.model = "bot", .alias = "production", .version = 2, .expect = 1, .actor = "a", .run = run
	};

	add_run(f, "w1", '1', base);
	must(promote_to(f, 1, 0));
	assert_open(f, 0, NULL);
	assert_int_equal(propose(f, "w2", '2', 1, run), 2);
	must(registry_proposals(f->registry, &rows));
	row = json_array_get(rows, 0);
	assert_string_equal(json_get_text(row, "run", ""), run);
	assert_string_equal(json_get_text(row, "model", ""), "bot");
	assert_string_equal(json_get_text(row, "alias", ""), "production");
	assert_int_equal(json_get_int(row, "version", 0), 2);
	assert_int_equal(json_get_int(row, "expect", 0), 1);
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('2'));
	assert_string_equal(json_get_text(row, "remote", ""), "origin");
	assert_string_equal(json_get_text(row, "ref", ""), "refs/heads/main");
	json_decref(rows);
	assert_int_equal(alias_now(f, "production"), 1); /* a proposal moves nothing */
	must(registry_promote(f->registry, &p, id));
	assert_open(f, 0, NULL);
	assert_err(registry_drop_proposal(f->registry, base, "never made"), ERR_NOTFOUND);
	must(registry_drop_proposal(f->registry, run, "too late, and no harm done"));
	assert_int_equal(list_length(f->registry, "history"), 2);
	assert_clean(f->registry);
}

static void test_registry_proposals__dropped_for_good(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX];
	char *before, *after;

	propose(f, "w1", '1', 0, one);
	propose(f, "w2", '2', 0, two);
	assert_open(f, 2, one);
	must(registry_drop_proposal(f->registry, one, "the remote refused the push"));
	assert_open(f, 1, two);
	before = dump(f);
	must(registry_drop_proposal(f->registry, one, "again"));
	after = dump(f);
	assert_string_equal(before, after);
	assert_text_has(after, "the remote refused the push");
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, NULL));
	must(registry_open(&f->registry, f->store));
	assert_open(f, 1, two);
	free(before);
	free(after);
}

static void test_registry_proposals__overtaken(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX], three[DIGEST_HEX];

	propose(f, "w1", '1', 0, one);
	propose(f, "w2", '2', 0, two);
	propose(f, "w3", '3', 0, three);
	must(promote_to(f, 2, 0)); /* by a person: one is behind it and two has come true; three is ahead */
	assert_open(f, 1, three);
	propose(f, "w1", '4', 2, one); /* behind from the start */
	assert_open(f, 1, three);
	assert_clean(f->registry);
}

/* A promotion of before the chain, or one that somebody made by hand to look like it: its file, and a registry that takes it in. */
static void add_unchained(struct fixture *f, int64_t seq, int version, const char *alias, char id[DIGEST_HEX])
{
	json_t *r = json_pack("{s:s,s:I,s:s,s:I,s:s,s:s,s:i,s:n,s:s,s:s,s:b,s:b}", "format", "assay-promotion/1", "seq",
			      (json_int_t)seq, "created", "2026-01-01T00:00:00Z", "created_ns", (json_int_t)1, "model",
			      "bot", "alias", alias, "version", version, "from", "actor", "eve", "reason", "x",
			      "forced", 0, "rollback", 0);
	struct buf text = BUF_INIT(RECORD_MAX);

	record_bytes(&text, id, r);
	must(store_write(f->store, VAULT_RECORDS, id, buf_str(&text), text.len));
	fixture_reopen(f);
	buf_release(&text);
	json_decref(r);
}

/* Moves of before the chain are no fault; one that the first of the chain did not know of is. */
static void test_registry_chain__what_slipped_in_before_it(void **state)
{
	struct fixture *f = *state;
	const struct promotion p = {
		.model = "bot", .alias = "other", .version = 1, .expect = 0, .actor = "ann", .reason = "x"
	};
	char id[DIGEST_HEX], *text;

	add_run(f, "w1", '1', id);
	add_run(f, "w2", '2', id);
	add_unchained(f, 3, 1, "production", id);
	add_run(f, "w3", '3', id);
	must(promote_to(f, 2, 1));
	must(promote_to(f, 3, 2));
	must(registry_promote(f->registry, &p, id));
	assert_clean(f->registry);
	add_unchained(f, 2, 1, "production", id); /* behind the one that is known, nobody can tell */
	assert_clean(f->registry);
	add_unchained(f, 4, 1, "production", id);
	text = check_text(f->registry);
	assert_text_has(text, "came into the history later");
	free(text);
	text = mem_printf("%s/%s/%.2s/%s", f->home, VAULT_RECORDS, id, id + 2);
	must(fs_remove(text));
	free(text);
	add_unchained(f, 5, 1, "other", id);
	text = check_text(f->registry);
	assert_text_has(text, "bot@other names nothing before it");
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registry_promote__moves_and_remembers),
		TEST(test_registry_promote__conflict_says_what_changed),
		TEST(test_registry_promote__older_only_as_rollback),
		TEST(test_registry_promote__a_rollback_goes_to_what_was),
		TEST(test_registry_promote__only_what_passed_whole),
		TEST(test_registry_before__a_second_rollback_goes_further),
		TEST(test_registry_before__a_prompt_is_gone_back_on),
		TEST(test_registry_promote__is_a_chain),
		TEST(test_registry_chain__what_slipped_in_before_it),
		TEST(test_registry_promote__where_it_is_already_adds_nothing),
		TEST(test_registry_promote__what_is_not_there),
		TEST(test_registry_promote__of_two_processes_one_wins),
		TEST(test_registry_proposals__settled_by_a_promotion_that_names_the_run),
		TEST(test_registry_proposals__dropped_for_good),
		TEST(test_registry_proposals__overtaken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
