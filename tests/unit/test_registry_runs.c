/* Tests of what is asked of the registry: runs, their versions, stages, lineage, lists, trends and curves. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

static void test_registry_add_run__versions_by_object(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX], again[DIGEST_HEX];
	json_t *row = NULL;

	assert_int_equal(add_run(f, "w1", '1', one), 1);
	assert_int_equal(add_run(f, "w2", '2', two), 2);
	assert_int_equal(add_run(f, "w1", '3', again), 1); /* the same weights are the same version */
	assert_string_not_equal(one, again);
	assert_int_equal(list_length(f->registry, "versions"), 2);
	must(promote_to(f, 1, 0));
	must(registry_version(f->registry, "bot", 1, &row));
	assert_string_equal(json_get_text(row, "run", ""), one);
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('1'));
	assert_string_equal(json_get_text(row, "key", ""), "w1");
	assert_string_equal(json_get_text(row, "product", ""), "p1");
	assert_true(store_has(f->store, json_get_text(row, "object", "")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "aliases"), 0)), "production");
	json_decref(row);
	assert_err(registry_version(f->registry, "bot", 3, &row), ERR_NOTFOUND);
	assert_text_has(err_text(), "bot@v3");
	assert_err(registry_version(f->registry, "cat", 1, &row), ERR_NOTFOUND);
}

static bool edge_is(const json_t *e, const char *from, const char *to, const char *relation)
{
	return !strcmp(json_get_text(e, "from", ""), from) && !strcmp(json_get_text(e, "to", ""), to) &&
	       !strcmp(json_get_text(e, "relation", ""), relation);
}

static void test_registry_add_run__lineage_reaches_the_version(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], object[DIGEST_HEX + 8] = "model:", data[DIGEST_HEX + 8];
	json_t *rows = NULL, *r, *row = NULL;

	add_run(f, "w1", '1', id);
	must(registry_version(f->registry, "bot", 1, &row));
	snprintf(object + 6, sizeof(object) - 6, "%s", json_get_text(row, "object", ""));
	json_decref(row);
	must(registry_list(f->registry, "edges", "bot", 0, &rows));
	assert_int_equal(json_array_size(rows), 2);
	snprintf(data, sizeof(data), "%s", json_get_text(json_array_get(rows, 0), "from", ""));
	assert_true(edge_is(json_array_get(rows, 0), data, object, "trained"));
	assert_true(edge_is(json_array_get(rows, 1), object, "version:bot@v1", "is"));
	json_decref(rows);
	/* an edge that names the version itself gets the number */
	r = run_record(f->store, "w2", '2', "main", "branch");
	json_array_append_new(json_object_get(r, "edges"), json_pack("{s:s,s:s,s:s}", "from", "commit:abc", "to",
								     "version:bot", "relation", "made"));
	must(registry_add_run(f->registry, r, id));
	json_decref(r);
	must(registry_list(f->registry, "edges", id, 0, &rows));
	assert_int_equal(json_array_size(rows), 2);
	assert_true(edge_is(json_array_get(rows, 1), "commit:abc", "version:bot@v2", "made"));
	json_decref(rows);
}

static void test_registry_find_run__all_kinds_of_names(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX], three[DIGEST_HEX], fork[DIGEST_HEX], id[DIGEST_HEX], prefix[DIGEST_HEX];

	assert_err(registry_find_run(f->registry, "latest", id), ERR_NOTFOUND);
	add_run_as(f, "w1", 'a', "main", "protected", one);
	add_run_as(f, "w2", 'b', "topic", "protected", two);
	add_run_as(f, "w1", 'a', "main", "protected", three);
	add_run_as(f, "w1", 'c', "cafe", "fork", fork);
	must(promote_to(f, 2, 0));
#define FINDS(name, run)                                                                                               \
	must(registry_find_run(f->registry, (name), id));                                                              \
	assert_string_equal(id, (run))
	FINDS("latest", fork);
	FINDS(one, one);
	snprintf(prefix, sizeof(prefix), "%.6s", two);
	FINDS(prefix, two);
	FINDS(commit_of('a'), three); /* the newest of a commit */
	FINDS("aaaa", three);
	FINDS("AAAAAAA", three);
	FINDS("main", three);
	FINDS("cafe", fork);    /* a branch that reads like a number */
	FINDS("bot@v1", three); /* not the fork's, though it is newer */
	FINDS("bot@v2", two);
	FINDS("bot@production", two);
#undef FINDS
	assert_err(registry_find_run(f->registry, "bot@v3", id), ERR_NOTFOUND);
	assert_err(registry_find_run(f->registry, "bot@staging", id), ERR_NOTFOUND);
	assert_text_has(err_text(), "staging");
	assert_err(registry_find_run(f->registry, "cat@production", id), ERR_NOTFOUND);
	assert_err(registry_find_run(f->registry, "@{merge-base}", id), ERR_NOTFOUND);
	assert_err(registry_find_run(f->registry, "nothing", id), ERR_NOTFOUND);
	assert_non_null(err_fix());
	assert_err(registry_find_run(f->registry, "", id), ERR_NOTFOUND);
	assert_err(registry_find_run(f->registry, "dddddddd", id), ERR_NOTFOUND);
	assert_err(registry_find_run(f->registry, "main' OR '1'='1", id), ERR_NOTFOUND);
}

static void test_registry_find_run__ambiguous_prefix(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], sql[512], *two = NULL;

	add_run(f, NULL, '1', id);
	/* two ids with one beginning: by chance they would take some thousand runs */
	snprintf(sql, sizeof(sql),
		 "INSERT INTO records SELECT substr(id, 1, 10) || '%054d', 9, format, created, 9, NULL FROM records;"
		 "INSERT INTO runs (id, seq, commit_oid, trust, dirty, verdict, exit_code, created, created_ns) SELECT "
		 "substr(id, 1, 10) || '%054d', 9, '%s', trust, dirty, verdict, exit_code, created, 9 FROM runs",
		 0, 0, commit_of('2'));
	assert_int_equal(meddle(f, sql), SQLITE_OK);
	two = mem_strn(id, 10);
	assert_err(registry_find_run(f->registry, two, id), ERR_INPUT);
	assert_text_has(err_text(), "several");
	free(two);
}

static void test_registry_stage__of_trust_or_stronger(void **state)
{
	struct fixture *f = *state;
	char weak[DIGEST_HEX], strong[DIGEST_HEX], newest[DIGEST_HEX];
	json_t *row = NULL;

	assert_err(registry_stage(f->registry, "train", "w1", TRUST_FORK, &row), ERR_NOTFOUND);
	add_run_as(f, "w1", '1', "main", "branch", weak);
	assert_err(registry_stage(f->registry, "train", "w1", TRUST_PROTECTED, &row), ERR_NOTFOUND);
	must(registry_stage(f->registry, "train", "w1", TRUST_BRANCH, &row));
	assert_string_equal(json_get_text(row, "run", ""), weak);
	assert_string_equal(json_get_text(row, "name", ""), "bot");
	assert_true(store_has(f->store, json_get_text(json_object_get(row, "output"), "object", "")));
	assert_int_equal(json_array_size(json_object_get(json_object_get(row, "output"), "losses")), 2);
	json_decref(row);
	add_run_as(f, "w1", '1', "main", "protected", strong);
	add_run_as(f, "w1", '1', "evil", "fork", newest);
	must(registry_stage(f->registry, "train", "w1", TRUST_PROTECTED, &row));
	assert_string_equal(json_get_text(row, "run", ""), strong);
	json_decref(row);
	must(registry_stage(f->registry, "train", "w1", TRUST_BRANCH, &row));
	assert_string_equal(json_get_text(row, "run", ""), strong);
	json_decref(row);
	must(registry_stage(f->registry, "train", "w1", TRUST_FORK, &row));
	assert_string_equal(json_get_text(row, "run", ""), newest);
	json_decref(row);
	assert_err(registry_stage(f->registry, "eval", "w1", TRUST_FORK, &row), ERR_NOTFOUND);
}

static void test_registry_stages__all_of_trust_or_stronger(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	json_t *rows = NULL;

	must(registry_stages(f->registry, "train", "w1", TRUST_FORK, &rows));
	assert_int_equal(json_array_size(rows), 0);
	json_decref(rows);
	add_run_as(f, "w1", '1', "main", "branch", id);
	add_run_as(f, "w1", '1', "main", "protected", id);
	add_run_as(f, "w1", '1', "evil", "fork", id);
	must(registry_stages(f->registry, "train", "w1", TRUST_FORK, &rows));
	assert_int_equal(json_array_size(rows), 1); /* all three gave the same */
	assert_true(
		store_has(f->store, json_get_text(json_object_get(json_array_get(rows, 0), "output"), "object", "")));
	json_decref(rows);
	must(registry_stages(f->registry, "train", "w1", TRUST_PROTECTED, &rows));
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
	must(registry_stages(f->registry, "eval", "w1", TRUST_FORK, &rows));
	assert_int_equal(json_array_size(rows), 0);
	json_decref(rows);
}

static void test_registry_list__newest_first_and_flat(void **state)
{
	struct fixture *f = *state;
	json_t *rows = NULL, *row;
	size_t i;

	fixture_history(f);
	must(registry_list(f->registry, "runs", NULL, 0, &rows));
	assert_int_equal(json_array_size(rows), 6);
	row = json_array_get(rows, 5);
	assert_string_equal(json_get_text(row, "commit", ""), commit_of('1'));
	assert_string_equal(json_get_text(row, "verdict", ""), "PASS");
	assert_true(json_is_false(json_object_get(row, "dirty")));
	assert_int_equal(json_get_int(row, "version", 0), 1);
	json_array_foreach(rows, i, row) assert_string_equal(json_get_text(row, "numerics", ""), "cpu/1/fp32");
	json_decref(rows);
	must(registry_list(f->registry, "runs", "bot", 2, &rows));
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(json_get_text(json_array_get(rows, 1), "commit", ""), commit_of('5'));
	json_decref(rows);
	must(registry_list(f->registry, "runs", "cat", 0, &rows));
	assert_int_equal(json_array_size(rows), 0);
	json_decref(rows);

	must(registry_list(f->registry, "models", NULL, 0, &rows));
	row = json_array_get(rows, 0);
	assert_string_equal(json_get_text(row, "model", ""), "bot");
	assert_int_equal(json_get_int(row, "versions", 0), 4);
	assert_int_equal(json_get_int(json_object_get(row, "aliases"), "production", 0), 2);
	json_decref(rows);

	must(registry_list(f->registry, "versions", "bot", 0, &rows));
	assert_int_equal(json_array_size(rows), 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(json_get_int(json_array_get(rows, i), "number", 0), 4 - i);
	assert_int_equal(json_array_size(json_object_get(json_array_get(rows, 2), "aliases")), 1);
	json_decref(rows);

	must(registry_list(f->registry, "datasets", NULL, 3, &rows));
	assert_int_equal(json_array_size(rows), 3);
	assert_string_equal(json_get_text(json_array_get(rows, 0), "path", ""), "data/train.jsonl");
	assert_true(json_is_null(json_object_get(json_array_get(rows, 1), "rows")));
	json_decref(rows);
	assert_err(registry_list(f->registry, "unicorns", NULL, 0, &rows), ERR_BUG);
}

static int add_piece(const void *data, size_t len, void *text)
{
	buf_add(text, data, len);
	return buf_full(text) ? err_set(ERR_IO, "full") : 0;
}

/* The text is what the values would have been written as. */
static void test_registry_list_text__is_the_list_in_pretty(void **state)
{
	static const char *const names[] = { "runs", "models", "versions", "aliases", "history", "datasets", "edges" };
	struct fixture *f = *state;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			struct buf text = BUF_INIT(1 << 20), pretty = BUF_INIT(1 << 20);
			json_t *rows = NULL;

			must(registry_list(f->registry, names[i], round == 2 ? "bot" : NULL, 4, &rows));
			must(registry_list_text(f->registry, names[i], round == 2 ? "bot" : NULL, 4, add_piece, &text));
			json_add_pretty(&pretty, rows);
			assert_string_equal(buf_str(&text), buf_str(&pretty));
			json_decref(rows);
			buf_release(&text);
			buf_release(&pretty);
		}
		if (!round) {
			assert_int_equal(list_length(f->registry, "runs"), 0);
			fixture_history(f);
		}
	}
}

static void test_registry_list_text__what_takes_it_may_fail(void **state)
{
	struct fixture *f = *state;
	struct buf small = BUF_INIT(10);

	fixture_history(f);
	assert_err(registry_list_text(f->registry, "runs", NULL, 0, add_piece, &small), ERR_IO);
	buf_release(&small);
}

/* What was production then? Times are those of the records, by which the test sets the clock. */
static void test_registry_list_at__is_what_was_known_then(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	json_t *rows = NULL;
	int64_t t[3];

	add_run(f, "w1", '1', id);
	must(promote_to(f, 1, 0));
	t[0] = clock_unix_ns();
	add_run(f, "w2", '2', id);
	must(promote_to(f, 2, 1));
	t[1] = clock_unix_ns();
	must(registry_list_at(f->registry, "versions", "bot", 0, t[0], &rows));
	assert_int_equal(json_array_size(rows), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_array_get(rows, 0), "aliases"), 0)),
			    "production");
	json_decref(rows);
	must(registry_list_at(f->registry, "versions", NULL, 0, t[1], &rows));
	assert_int_equal(json_array_size(rows), 2);
	assert_int_equal(json_array_size(json_object_get(json_array_get(rows, 0), "aliases")), 1);
	assert_int_equal(json_array_size(json_object_get(json_array_get(rows, 1), "aliases")), 0);
	json_decref(rows);
	must(registry_list_at(f->registry, "history", "bot", 0, t[0], &rows));
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
	must(registry_list_at(f->registry, "history", "bot", 0, 0, &rows));
	assert_int_equal(json_array_size(rows), 0);
	json_decref(rows);
	assert_err(registry_list_at(f->registry, "runs", NULL, 0, t[0], &rows), ERR_BUG);
}

static int add_point(const char *row, size_t len, void *arg)
{
	struct buf *text = arg;

	buf_adds(text, text->len ? ",\n" : "[\n");
	buf_add(text, row, len);
	return 0;
}

/* A trend as text is its values as text. */
static void trend_is_text(struct registry *r, const char *filter, int64_t limit, const json_t *rows)
{
	struct buf text = BUF_INIT(1 << 20), want = BUF_INIT(1 << 20);

	must(registry_trend_text(r, "main", "intents", "acc", filter, limit, 1, add_point, &text));
	buf_adds(&text, text.len ? "\n]" : "[]");
	json_add_indented(&want, rows, 0);
	assert_string_equal(buf_str(&text), buf_str(&want));
	buf_release(&text);
	buf_release(&want);
}

/* A branch's history has one point a commit, of its newest run; the first filter and suite where none is named. */
static void test_registry_trend__newest_run_of_each_commit(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX], id[DIGEST_HEX];
	json_t *rows = NULL;

	add_run_as(f, "w1", '1', "main", "protected", id);
	add_run_as(f, "w2", '2', "topic", "branch", id);
	add_run_as(f, "w3", '3', "main", "protected", two);
	add_run_as(f, "w4", '1', "main", "protected", one);
	must(registry_trend(f->registry, "main", "intents", "acc", NULL, 0, &rows));
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(json_get_text(json_array_get(rows, 0), "run", ""), two);
	assert_string_equal(json_get_text(json_array_get(rows, 1), "run", ""), one);
	assert_true(json_get_real(json_array_get(rows, 0), "value", 0) == 0.1 + 0.2);
	assert_true(json_is_true(json_object_get(json_array_get(rows, 0), "higher_is_better")));
	trend_is_text(f->registry, NULL, 0, rows);
	json_decref(rows);
	must(registry_trend(f->registry, "main", "intents", "acc", "none", 1, &rows));
	assert_int_equal(json_array_size(rows), 1);
	assert_string_equal(json_get_text(json_array_get(rows, 0), "run", ""), one);
	trend_is_text(f->registry, "none", 1, rows);
	json_decref(rows);
	must(registry_trend(f->registry, "main", "intents", "acc", "other", 0, &rows));
	assert_int_equal(json_array_size(rows), 0);
	trend_is_text(f->registry, "other", 0, rows);
	json_decref(rows);
}

static void test_registry_list__curves_are_the_record_s_points(void **state)
{
	struct fixture *f = *state;
	json_t *r = run_record(f->store, "w1", '1', "main", "branch"), *rows = NULL;
	char id[DIGEST_HEX];

	/* the third is no point, the fourth has no place of its own, the last is from before rates were kept */
	json_object_set_new(
		r, "training",
		json_loads("{\"curve\":[[1,5.5,0.001,2.5,100.0],[2,null,0.002,null,110],[\"3\",1],[1,9],[4,0.5]],"
			   "\"validation\":[[2,0.75]]}",
			   0, NULL));
	must(registry_add_run(f->registry, r, id));
	must(registry_list(f->registry, "curves", id, 0, &rows));
	assert_int_equal(json_array_size(rows), 4);
	assert_string_equal(json_get_text(json_array_get(rows, 0), "kind", ""), "train");
	assert_true(json_get_real(json_array_get(rows, 0), "loss", 0) == 5.5);
	assert_true(json_get_real(json_array_get(rows, 0), "lr", 0) == 0.001);
	assert_true(json_get_real(json_array_get(rows, 0), "grad_norm", 0) == 2.5);
	assert_true(json_get_real(json_array_get(rows, 0), "tokens_per_s", 0) == 100);
	assert_true(json_is_null(json_object_get(json_array_get(rows, 1), "loss")));
	assert_int_equal(json_get_int(json_array_get(rows, 2), "step", 0), 4);
	assert_true(json_is_null(json_object_get(json_array_get(rows, 2), "lr")));
	assert_string_equal(json_get_text(json_array_get(rows, 3), "kind", ""), "validation");
	json_decref(rows);
	json_object_set_new(r, "training", json_string("no object")); /* what is no curve at all is none */
	must(registry_add_run(f->registry, r, id));
	must(registry_list(f->registry, "curves", id, 0, &rows));
	assert_int_equal(json_array_size(rows), 0);
	assert_clean(f->registry);
	json_decref(rows);
	json_decref(r);
}

static void test_registry_maker__is_the_run_that_trained(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_HEX], two[DIGEST_HEX], found[DIGEST_HEX], object[DIGEST_HEX];

	add_run(f, "weights one", '1', one);
	add_run(f, "weights two", '2', two);
	put_text(f->store, "weights one", object);
	must(registry_maker(f->registry, object, found));
	assert_string_equal(found, one);
	put_text(f->store, "never trained", object);
	assert_err(registry_maker(f->registry, object, found), ERR_NOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registry_add_run__versions_by_object),
		TEST(test_registry_add_run__lineage_reaches_the_version),
		TEST(test_registry_find_run__all_kinds_of_names),
		TEST(test_registry_find_run__ambiguous_prefix),
		TEST(test_registry_stage__of_trust_or_stronger),
		TEST(test_registry_stages__all_of_trust_or_stronger),
		TEST(test_registry_list__newest_first_and_flat),
		TEST(test_registry_list_text__is_the_list_in_pretty),
		TEST(test_registry_list_text__what_takes_it_may_fail),
		TEST(test_registry_list_at__is_what_was_known_then),
		TEST(test_registry_trend__newest_run_of_each_commit),
		TEST(test_registry_list__curves_are_the_record_s_points),
		TEST(test_registry_maker__is_the_run_that_trained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
