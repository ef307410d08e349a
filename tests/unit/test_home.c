/* Tests of runner/home.c: where the memory lies, names of versions, and proposals that come true, or do not. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "artifacts/artifacts.h"
#include "base/digest.h"
#include "repo_fixture.h"
#include "runner/home.h"

/* A repository with an origin, opened, and its home. */
static void begin(struct fixture *f, struct home *h)
{
	sh(f, "git commit -q --allow-empty -m one && git init -q --bare ../origin.git && git remote add origin "
	      "../origin.git && "
	      "git push -q -u origin main");
	open_at(f, "work");
	must(home_open(h, f->repo));
}

/* A run that made a version of these weights; proposing production if expect >= 0. */
/* member: one that is another than in a run that passed; NULL: none. */
static int add_run_with(struct home *h, const char *weights, const char *commit, int expect, const char *member,
			json_t *value, char id[DIGEST_HEX])
{
	char object[DIGEST_HEX];
	json_t *r;
	int number;

	must(store_put(h->store, weights, strlen(weights), object));
	r = json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:s,s:i,s:s,s:{s:s,s:s}}", "format", "assay-run/1", "commit", commit,
		      "branch", "main", "trust", "branch", "event", "hook", "dirty", 0, "verdict", "PASS", "exit", 0,
		      "sentence", "fine", "version", "model", "bot", "object", object);
	assert_non_null(r);
	if (member)
		json_object_set_new(r, member, value);
	if (expect >= 0)
		json_object_set_new(r, "proposal",
				    json_pack("{s:s,s:s,s:i,s:s,s:s}", "model", "bot", "alias", "production", "expect",
					      expect, "remote", "origin", "ref", "refs/heads/main"));
	must(registry_add_run(h->registry, r, id));
	number = (int)json_get_int(json_object_get(r, "version"), "number", 0);
	json_decref(r);
	return number;
}

static int add_run(struct home *h, const char *weights, const char *commit, int expect, char id[DIGEST_HEX])
{
	return add_run_with(h, weights, commit, expect, NULL, NULL, id);
}

static int alias_now(struct home *h)
{
	int version = 0, rc = registry_alias(h->registry, "bot", "production", &version);

	if (rc != ERR_NOTFOUND)
		must(rc);
	return version;
}

static size_t open_proposals(struct home *h)
{
	json_t *rows = NULL;
	size_t n;

	must(registry_proposals(h->registry, &rows));
	n = json_array_size(rows);
	json_decref(rows);
	return n;
}

static void promote_by_hand(struct home *h, int version)
{
	const struct promotion p = { .model = "bot",
				     .alias = "production",
				     .version = version,
				     .expect = PROMOTE_ANY,
				     .actor = "ann",
				     .reason = "by hand" };
	char id[DIGEST_HEX];

	must(registry_promote(h->registry, &p, id));
}

/* ---- where it lies ---- */

static void test_home_open__beside_the_shared_git_folder(void **state)
{
	struct fixture *f = *state;
	struct home h;

	sh(f, "git commit -q --allow-empty -m one && git worktree add -q -b side ../linked");
	open_at(f, "linked");
	must(home_open(&h, f->repo));
	assert_true(is_there(f, "work/.git/assay/registry.db"));
	assert_false(is_there(f, "linked/.git/assay"));
	home_close(&h);
	home_close(&h); /* once more does nothing */
}

static void test_home_open__by_the_environment(void **state)
{
	struct fixture *f = *state;
	char *dir = in_root(f, "elsewhere"), cwd[4096];
	struct home h;

	assert_err(home_open(&h, NULL), ERR_INPUT);
	assert_text_has(err_fix(), "ASSAY_HOME");
	setenv("ASSAY_HOME", dir, 1);
	must(home_open(&h, NULL));
	assert_string_equal(store_home(h.store), dir);
	home_close(&h);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(f->root), 0);
	setenv("ASSAY_HOME", "relative", 1);
	must(home_open(&h, NULL));
	assert_int_equal(store_home(h.store)[0], '/'); /* a trainer runs in another folder */
	assert_text_has(store_home(h.store), "/relative");
	home_close(&h);
	assert_int_equal(chdir(cwd), 0);
	free(dir);
}

/* What a commit tracks there, or a link, is nobody's memory; nothing is opened, and nothing made. */
static void test_home_open__not_what_a_commit_brings(void **state)
{
	struct fixture *f = *state;
	char *dir = in_root(f, "work/state/home"), *commit;
	struct home h;

	sh(f, "git commit -q --allow-empty -m one");
	open_at(f, "work");
	setenv("ASSAY_HOME", dir, 1);
	must(home_open(&h, f->repo));
	home_close(&h);
	sh(f, "echo locations: {} >state/home/config.yaml && git add -f state/home/config.yaml && git commit -q -m two "
	      "&& rm -rf state");
	commit = sh_out(f, "git rev-parse HEAD");
	assert_err(home_open(&h, f->repo), ERR_INPUT);
	assert_text_has(err_text(), "HEAD tracks state/home");
	assert_text_has(err_fix(), "git rm -r --cached");
	assert_err(home_open(&h, NULL), ERR_INPUT); /* from another folder */
	assert_false(is_there(f, "work/state"));
	sh(f, "git rm -q -r --cached state && git commit -q -m three");
	must(home_open(&h, f->repo));
	assert_err(home_check_commit(&h, f->repo, commit), ERR_INPUT);
	must(home_check_commit(&h, f->repo, "HEAD"));
	home_close(&h);
	sh(f, "mv state ../moved && ln -s ../moved state");
	assert_err(home_open(&h, f->repo), ERR_INPUT);
	assert_text_has(err_text(), "leads through state, a symbolic link");
	free(commit);
	free(dir);
}

/* ---- names of versions ---- */

static void test_home_version__names(void **state)
{
	static const char *const none[] = { "bot@v3",          "bot@v0",  "bot@v01",     "bot@v99999999999999999999",
					    "bot@v4294967297", "bot@v1x", "bot@staging", "bit@v1",
					    "bot@V1",          "a@bot@v1" };
	static const char *const malformed[] = { "bot", "bot@", "@v1", "" };
	struct fixture *f = *state;
	char id[DIGEST_HEX], *commit;
	struct home h;
	json_t *row = NULL;

	begin(f, &h);
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", commit, -1, id);
	add_run(&h, "w2", commit, -1, id);
	promote_by_hand(&h, 2);
	must(home_version(&h, "bot@v1", &row));
	assert_int_equal(json_get_int(row, "number", 0), 1);
	json_decref(row);
	row = NULL;
	must(home_version(&h, "bot@production", &row));
	assert_int_equal(json_get_int(row, "number", 0), 2);
	json_decref(row);
	row = NULL;
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_err(home_version(&h, none[i], &row), ERR_INPUT);
		assert_text_has(err_text(), "the registry has no ");
		assert_text_has(err_fix(), "assay models");
	}
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		assert_err(home_version(&h, malformed[i], &row), ERR_INPUT);
		assert_text_has(err_text(), "MODEL@v7 or MODEL@ALIAS");
	}
	assert_null(row);
	home_close(&h);
	free(commit);
}

static void test_model_dir_open__folders_and_versions(void **state)
{
	struct fixture *f = *state;
	char object[DIGEST_HEX], id[DIGEST_HEX], *model, *kept, *file, *commit;
	struct model_dir d;
	struct buf b = BUF_INIT(4096);
	struct home h;
	json_t *r;

	begin(f, &h);
	commit = sh_out(f, "git rev-parse HEAD");
	sh(f, "mkdir -p m/sub && echo cfg >m/config.json && echo x >m/sub/x");
	model = in_root(f, "work/m");
	must(store_put_tree(h.store, model, object, NULL));
	r = json_pack("{s:s,s:s,s:s,s:s,s:i,s:{s:s,s:s}}", "format", "assay-run/1", "commit", commit, "trust", "branch",
		      "verdict", "PASS", "exit", 0, "version", "model", "bot", "object", object);
	must(registry_add_run(h.registry, r, id));
	json_decref(r);

	must(model_dir_open(&d, &h, model));
	assert_string_equal(d.path, model);
	assert_false(d.temporary);
	model_dir_close(&d);
	assert_true(is_there(f, "work/m/config.json")); /* a person's folder is not ours to remove */

	must(model_dir_open(&d, &h, "bot@v1"));
	assert_true(d.temporary);
	assert_string_equal(d.object, object);
	file = path_join(d.path, "config.json");
	must(fs_read(&b, file, 4096));
	assert_string_equal(buf_str(&b), "cfg\n");
	kept = mem_str(d.path);
	model_dir_close(&d);
	assert_false(fs_exists(kept));
	assert_true(store_has(h.store, object));

	assert_err(model_dir_open(&d, &h, "models/none"), ERR_INPUT);
	assert_text_has(err_text(), "no model folder models/none");
	assert_err(model_dir_open(&d, &h, "bot"), ERR_INPUT);
	assert_err(model_dir_open(&d, &h, "bot@v2"), ERR_INPUT);
	model_dir_close(&d);
	home_close(&h);
	buf_release(&b);
	free(model);
	free(kept);
	free(file);
	free(commit);
}

/* ---- proposals ---- */

static void test_home_settle__waits_until_the_remote_has_the_commit(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *commit;
	struct home h;
	json_t *rows = NULL;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two");
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", commit, 0, id);
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 0); /* judged, not pushed */
	assert_int_equal(open_proposals(&h), 1);
	sh(f, "git push -q origin main:other"); /* elsewhere is not there */
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 0);
	sh(f, "git commit -q --allow-empty -m three && git push -q origin main"); /* reached, under a later commit */
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 1);
	assert_int_equal(open_proposals(&h), 0);
	must(registry_list(h.registry, "history", "bot", 0, &rows));
	assert_int_equal(json_array_size(rows), 1);
	assert_string_equal(json_get_text(json_array_get(rows, 0), "run", ""), id);
	assert_text_has(json_get_text(json_array_get(rows, 0), "reason", ""), "has reached origin");
	json_decref(rows);
	must(home_settle(&h, f->repo));
	home_close(&h);
	free(commit);
}

/* A local branch, or a tag, that is called like the remote's is not the remote's. */
static void test_home_settle__only_the_remote_tracking_reference_counts(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *commit;
	struct home h;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two && git branch origin/main && git tag origin/main && git update-ref "
	      "refs/heads/refs/remotes/origin/main HEAD");
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", commit, 0, id);
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 0);
	sh(f, "git update-ref -d refs/remotes/origin/main"); /* the branch is gone */
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 0);
	assert_int_equal(open_proposals(&h), 1);
	home_close(&h);
	free(commit);
}

static void test_home_settle__a_rewritten_commit_never_arrives(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *commit;
	struct home h;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two");
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", commit, 0, id);
	sh(f, "git commit -q --amend --allow-empty -m 'two, amended' && git push -q origin main");
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 0);
	assert_int_equal(open_proposals(&h), 1);
	home_close(&h);
	free(commit);
}

static void test_home_settle__a_conflict_is_dropped_with_the_reason(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], other[DIGEST_HEX], *commit;
	struct home h;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two");
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", commit, -1, other);
	add_run(&h, "w2", commit, 0, id); /* its gate compared with nothing */
	promote_by_hand(&h, 1);
	sh(f, "git push -q origin main");
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 1); /* not moved past what it was not compared with */
	assert_int_equal(open_proposals(&h), 0);
	{
		char *path = mem_printf("%s/records", store_home(h.store)), *script, *found;

		script = mem_printf("grep -rl assay-proposal-drop/1 '%s' | xargs cat", path);
		found = sh_out(f, script);
		assert_text_has(found, id);
		assert_text_has(found, "points at v1");
		free(found);
		free(script);
		free(path);
	}
	home_close(&h);
	free(commit);
}

/* Nobody's assay proposes these: the record was written by hand, or elsewhere. */
static void test_home_settle__only_what_a_gate_passed(void **state)
{
	struct fixture *f = *state;
	static const char *const verdicts[] = { "FAIL", "INCONCLUSIVE", "NO_BASELINE", "INCOMPARABLE", "ERROR" };
	char id[DIGEST_HEX], weights[] = "w1", *commit;
	struct home h;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two && git push -q origin main");
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, weights, commit, -1, id);
	promote_by_hand(&h, 1);
	for (size_t i = 0; i < ARRAY_LEN(verdicts) + 4; i++) {
		weights[1]++;
		if (i < ARRAY_LEN(verdicts))
			add_run_with(&h, weights, commit, 1, "verdict", json_string(verdicts[i]), id);
		else if (i == ARRAY_LEN(verdicts))
			add_run_with(&h, weights, commit, 1, "trust", json_string("fork"), id);
		else if (i == ARRAY_LEN(verdicts) + 1)
			add_run_with(&h, weights, commit, 1, "dirty", json_true(), id);
		else if (i == ARRAY_LEN(verdicts) + 2)
			add_run_with(&h, weights, commit, 1, "limit", json_integer(2), id);
		else
			add_run(&h, weights, commit, 1, id); /* and one that FAILs before that is settled */
		if (i == ARRAY_LEN(verdicts) + 3)
			add_run_with(&h, weights, commit, -1, "verdict", json_string("FAIL"), id);
		must(home_settle(&h, f->repo));
		assert_int_equal(alias_now(&h), 1);
		assert_int_equal(open_proposals(&h), 0);
	}
	add_run(&h, weights, commit, 1, id); /* the same weights pass again */
	must(home_settle(&h, f->repo));
	assert_true(alias_now(&h) > 1);
	home_close(&h);
	free(commit);
}

static void test_home_settle__in_order(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX], *first, *second;
	struct home h;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two");
	first = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", first, 0, one);
	sh(f, "git push -q origin main && git commit -q --allow-empty -m three");
	second = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w2", second, 1, two); /* judged against what the first was to become */
	sh(f, "git push -q origin main");
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 2);
	assert_int_equal(open_proposals(&h), 0);
	home_close(&h);
	free(first);
	free(second);
}

/* Another repository with the same home, remote and branch, but not the commit. */
static void test_home_settle__another_repository_knows_nothing(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *commit;
	struct home h;
	struct repo *r;
	char *other;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two");
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", commit, 0, id);
	sh(f, "git push -q origin main && git init -q -b main ../other && git -C ../other commit -q --allow-empty -m x "
	      "&& git -C "
	      "../other update-ref refs/remotes/origin/main HEAD");
	other = in_root(f, "other");
	must(repo_open(&r, other));
	must(home_settle(&h, r));
	assert_int_equal(alias_now(&h), 0);
	repo_close(r);
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 1);
	home_close(&h);
	free(other);
	free(commit);
}

/* A proposal that nobody can write down waits, and what only reads goes on. */
static void test_home_settle__a_home_that_cannot_be_written(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *commit, *records;
	struct home h;

	begin(f, &h);
	sh(f, "git commit -q --allow-empty -m two");
	commit = sh_out(f, "git rev-parse HEAD");
	add_run(&h, "w1", commit, 0, id);
	sh(f, "git push -q origin main");
	/* a file where the folder of new files was: as good as a full disk, for root too */
	records = mem_printf("%s/tmp", store_home(h.store));
	must(fs_remove_tree(records));
	must(fs_write(records, "x", 1));
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 0);
	assert_int_equal(open_proposals(&h), 1);
	must(fs_remove(records));
	must(fs_mkdirs(records));
	must(home_settle(&h, f->repo));
	assert_int_equal(alias_now(&h), 1);
	home_close(&h);
	free(records);
	free(commit);
}

#define test(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_home_open__beside_the_shared_git_folder),
		test(test_home_open__by_the_environment),
		test(test_home_open__not_what_a_commit_brings),
		test(test_home_version__names),
		test(test_model_dir_open__folders_and_versions),
		test(test_home_settle__waits_until_the_remote_has_the_commit),
		test(test_home_settle__only_the_remote_tracking_reference_counts),
		test(test_home_settle__a_rewritten_commit_never_arrives),
		test(test_home_settle__only_what_a_gate_passed),
		test(test_home_settle__a_conflict_is_dropped_with_the_reason),
		test(test_home_settle__in_order),
		test(test_home_settle__another_repository_knows_nothing),
		test(test_home_settle__a_home_that_cannot_be_written),
	};

	return cmocka_run_group_tests_name("home", tests, NULL, NULL);
}
