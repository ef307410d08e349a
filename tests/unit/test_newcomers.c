/* Tests of artifacts/newcomers.c and of what ingest.c refuses: whatever comes in, what is known stays what it is. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

/* The record under its name, as if it had been copied in. A run's sentence is changed until it sorts before `before` (NULL: as it is). */
static void plant(struct fixture *f, json_t *record, int64_t seq, const char *before, char id[DIGEST_HEX])
{
	for (int i = 0; i < 10000; i++) {
		struct buf text = BUF_INIT(1 << 20);

		json_object_set_new(record, "seq", json_integer(seq));
		json_object_set_new(record, "created", json_string("2026-11-24T03:38:00Z"));
		json_object_set_new(record, "created_ns", json_integer(1000 + i));
		record_bytes(&text, id, record);
		if (!before || strcmp(id, before) < 0) {
			must(store_write(f->store, VAULT_RECORDS, id, buf_str(&text), text.len));
			buf_release(&text);
			return;
		}
		buf_release(&text);
	}
	fail();
}

static void plant_run(struct fixture *f, const char *weights, int64_t number, int64_t seq, const char *before,
		      char id[DIGEST_HEX])
{
	json_t *r = run_record(f->store, weights, '8', "main", "fork");

	json_object_set_new(json_object_get(r, "version"), "number", json_integer(number));
	plant(f, r, seq, before, id);
	json_decref(r);
}

static json_t *newest_promotion(struct fixture *f)
{
	json_t *rows = NULL, *record = NULL;

	must(registry_list(f->registry, "history", NULL, 1, &rows));
	must(record_read(f->store, json_get_text(json_array_get(rows, 0), "id", ""), &record));
	json_decref(rows);
	return record;
}

static void digest_of_record(const json_t *record, char id[DIGEST_HEX])
{
	struct buf text = BUF_INIT(1 << 20);

	record_bytes(&text, id, record);
	buf_release(&text);
}

static void assert_object(struct fixture *f, int version, const char *weights)
{
	char object[DIGEST_HEX];
	json_t *row = NULL;

	put_text(f->store, weights, object);
	must(registry_version(f->registry, "bot", version, &row));
	assert_string_equal(json_get_text(row, "object", ""), object);
	json_decref(row);
}

static bool is_aside(struct fixture *f, const char *id)
{
	char *path = shelves_aside(f->store, id, false);
	bool yes = fs_exists(path);

	free(path);
	return yes;
}

static void assert_rebuild_is_the_same(struct fixture *f)
{
	char *before = dump(f), *after;

	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, NULL));
	after = dump(f);
	assert_string_equal(before, after);
	must(registry_open(&f->registry, f->store));
	free(before);
	free(after);
}

static int alias_now(struct fixture *f)
{
	int version = 0;

	must(registry_alias(f->registry, "bot", "production", &version));
	return version;
}

/* says: why version 2 was not taken for what the alias stands for; NULL: it was. */
static void assert_taken(struct fixture *f, const char *says)
{
	char *text;

	fixture_reopen(f);
	assert_int_equal(alias_now(f), says ? 1 : 2);
	text = check_text(f->registry);
	if (says)
		assert_text_has(text, says);
	else
		assert_string_equal(text, "");
	free(text);
}

static void test_newcomers__a_number_is_not_taken_by_what_sorts_first(void **state)
{
	struct fixture *f = *state;
	char first[DIGEST_HEX], id[DIGEST_HEX];

	add_run(f, "w1", '1', first);
	must(promote_to(f, 1, 0));
	plant_run(f, "evil", 1, 1, first, id);
	fixture_reopen(f);
	assert_true(is_aside(f, id));
	assert_object(f, 1, "w1");
	assert_clean(f->registry);
	assert_rebuild_is_the_same(f);
	plant_run(f, "w1", 9, 1, first, id); /* nor is a model given another number */
	fixture_reopen(f);
	assert_true(is_aside(f, id));
	assert_object(f, 1, "w1");
	plant_run(f, "evil", 1, 7, NULL, id); /* nor by what sorts behind it */
	fixture_reopen(f);
	assert_true(is_aside(f, id));
	assert_clean(f->registry);
	assert_rebuild_is_the_same(f);
	plant_run(f, "w2", 2, 1, first, id); /* and what takes nothing comes in */
	fixture_reopen(f);
	assert_false(is_aside(f, id));
	assert_object(f, 2, "w2");
	assert_object(f, 1, "w1");
	assert_rebuild_is_the_same(f);
}

static void test_newcomers__a_promotion_names_the_model(void **state)
{
	struct fixture *f = *state;
	char first[DIGEST_HEX], id[DIGEST_HEX], object[DIGEST_HEX], *path = home_path(f, "registry.db"), *text;
	const struct gc_options none = { .keep_runs = 0, .actor = "ann" };
	struct gc_totals totals;
	json_t *record;
	int version;

	add_run(f, "w1", '1', first);
	must(promote_to(f, 1, 0));
	record = newest_promotion(f);
	put_text(f->store, "w1", object);
	assert_string_equal(json_get_text(record, "object", ""), object);
	put_text(f->store, "evil", object);
	json_object_set_new(record, "object", json_string(object));
	plant(f, record, 9, NULL, id);
	json_decref(record);
	fixture_reopen(f);
	assert_true(is_aside(f, id));
	assert_clean(f->registry);
	/* without what was known: the database is lost at the very time */
	registry_close(f->registry);
	f->registry = NULL;
	plant_run(f, "evil", 1, 1, first, id);
	must(fs_remove(path));
	must(registry_open(&f->registry, f->store));
	assert_object(f, 1, "evil");
	assert_err(registry_alias(f->registry, "bot", "production", &version), ERR_NOTFOUND);
	text = check_text(f->registry);
	assert_text_has(text, "it promotes the model");
	assert_null(strstr(text, "table "));
	free(text);
	/* and gc leaves what was promoted, though no row names it */
	put_text(f->store, "w1", object);
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_gc(f->store, &none, &totals));
	assert_true(store_has(f->store, object));
	must(registry_open(&f->registry, f->store));
	free(path);
}

static void test_registry_alias__a_version_whose_row_was_changed_is_not_served(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	int version = 0;

	add_run(f, "w1", '1', id);
	must(promote_to(f, 1, 0));
	assert_int_equal(alias_now(f), 1);
	assert_int_equal(meddle(f, "DROP TRIGGER versions_no_update; UPDATE versions SET object = hex(zeroblob(32))"),
			 SQLITE_OK);
	assert_err(registry_alias(f->registry, "bot", "production", &version), ERR_IO);
	assert_text_has(err_text(), "is of another model");
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, NULL));
	must(registry_open(&f->registry, f->store));
	assert_int_equal(alias_now(f), 1);
}

static void test_newcomers__numbers_have_bounds(void **state)
{
	static const int64_t seqs[] = { 0, INT64_MAX, RECORD_SEQ_MAX + 1, RECORD_SEQ_MAX, 6000000000 };
	static const int64_t numbers[] = { 0, INT64_MAX, INT32_MAX, RECORD_VERSION_MAX, 2000000 };
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	json_t *rows = NULL;

	add_run(f, "w1", '1', id);
	add_run(f, "w2", '2', id);
	must(promote_to(f, 1, 0));
	for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
		plant_run(f, "far", 3, seqs[i], NULL, id);
		fixture_reopen(f);
		assert_int_equal(is_aside(f, id), i >= 2); /* the others are no records at all */
		assert_int_equal(list_length(f->registry, "versions"), 2);
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		plant_run(f, "far", numbers[i], 4, NULL, id);
		fixture_reopen(f);
		assert_int_equal(list_length(f->registry, "versions"), 2);
	}
	must(promote_to(f, 2, 1));
	must(registry_list(f->registry, "history", NULL, 1, &rows));
	assert_int_equal(json_get_int(json_array_get(rows, 0), "version", 0), 2);
	json_decref(rows);
	assert_int_equal(add_run(f, "w3", '3', id), 3);
	assert_rebuild_is_the_same(f);
	assert_int_equal(alias_now(f), 2);
}

/* Each is a promotion that promote.c would not make. */
static void test_ingest__a_promotion_that_does_not_fit_moves_nothing(void **state)
{
	static const struct {
		const char *member, *value, *says; /* value NULL: left out */
	} cases[] = {
		{ "previous", NULL, "it names no move of the alias before it" },
		{ "from", "1", "it says that it came from v1" },
		{ "verdict", "\"FAIL\"", "whose verdict is PASS" },
		{ "run", "first", "stands for bot@v1, not for v3" },
	};
	struct fixture *f = *state;
	char first[DIGEST_HEX], id[DIGEST_HEX], run[DIGEST_HEX], last[DIGEST_HEX], *text;
	struct promotion p = {
		.model = "bot", .alias = "production", .version = 3, .expect = 2, .actor = "ann", .run = run
	};
	json_t *record, *value;

	add_run(f, "w1", '1', first);
	add_run(f, "w2", '2', id);
	add_run(f, "w3", '3', run);
	must(promote_to(f, 1, 0));
	must(promote_to(f, 2, 1));
	must(registry_promote(f->registry, &p, last));
	record = newest_promotion(f);
	/* the last one taken back: what is planted would be in its place */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *r = json_deep_copy(record);
		char *from = store_file(f->store, VAULT_RECORDS, last), *to = shelves_aside(f->store, last, false);
		char *dir = path_dir(to);

		must(fs_mkdirs(dir));
		if (fs_exists(from))
			must(fs_rename(from, to));
		if (!cases[i].value)
			json_object_del(r, cases[i].member);
		else if (!strcmp(cases[i].value, "first"))
			json_object_set_new(r, cases[i].member, json_string(first));
		else {
			must(json_parse(&value, cases[i].value, strlen(cases[i].value), "case"));
			json_object_set_new(r, cases[i].member, value);
		}
		plant(f, r, 9, NULL, id);
		fixture_reopen(f);
		assert_int_equal(alias_now(f), 2);
		text = check_text(f->registry);
		assert_text_has(text, cases[i].says);
		assert_null(strstr(text, "table "));
		free(text);
		assert_rebuild_is_the_same(f);
		json_decref(r);
		free(from);
		free(to);
		free(dir);
	}
	json_decref(record);
}

/* What FAILed its gate is promoted by force, or by nobody, whatever a record says. */
static void test_ingest__what_failed_is_not_promoted_by_itself(void **state)
{
	enum names { NO_RUN, ITS_RUN, RUN_OF_NOTHING }; /* the last PASSed, and stands for no version */
	static const struct {
		enum names names;
		bool forced, rollback;
		const char *verdict, *says; /* says NULL: it is taken over */
	} cases[] = {
		{ ITS_RUN, false, false, "FAIL", "which FAILed, and was not forced" },
		{ ITS_RUN, false, false, NULL, "which FAILed, and was not forced" },
		{ ITS_RUN, false, false, "PASS", "whose verdict is FAIL" },
		{ NO_RUN, false, false, "FAIL", "which FAILed its gate, and was not forced" },
		{ NO_RUN, false, false, NULL, "which FAILed its gate, and was not forced" },
		{ NO_RUN, false, false, "PASS", "has the verdict that it says (PASS)" },
		{ NO_RUN, true, false, "PASS", "has the verdict that it says (PASS)" },
		{ NO_RUN, true, false, "FAIL", NULL },
		{ ITS_RUN, true, true, "FAIL", NULL },
		{ ITS_RUN, false, true, "FAIL", "rolls back to what its alias never stood for" },
		{ NO_RUN, false, true, "FAIL", "rolls back to what its alias never stood for" },
		{ RUN_OF_NOTHING, false, false, "PASS", "which FAILed its gate, and was not forced" },
		{ RUN_OF_NOTHING, true, false, "PASS", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture *f = *state;
		char first[DIGEST_HEX], run[DIGEST_HEX], of_nothing[DIGEST_HEX], id[DIGEST_HEX], object[DIGEST_HEX];
		json_t *r, *record, *rows = NULL;

		add_run(f, "w1", '1', first);
		add_run_as(f, NULL, '3', "main", "protected", of_nothing);
		must(promote_to(f, 1, 0));
		record = newest_promotion(f);
		r = run_record(f->store, "w2", '2', "main", "fork");
		json_object_set_new(r, "verdict", json_string("FAIL"));
		json_object_set_new(json_object_get(r, "version"), "number", json_integer(2));
		plant(f, r, 5, NULL, run);
		json_decref(r);
		fixture_reopen(f);
		put_text(f->store, "w2", object);
		json_object_set_new(record, "version", json_integer(2));
		json_object_set_new(record, "object", json_string(object));
		json_object_set_new(record, "from", json_integer(1));
		must(registry_list(f->registry, "history", NULL, 1, &rows));
		json_object_set(record, "previous", json_object_get(json_array_get(rows, 0), "id"));
		json_decref(rows);
		json_object_set_new(record, "run",
				    cases[i].names == NO_RUN
					    ? json_null()
					    : json_string(cases[i].names == ITS_RUN ? run : of_nothing));
		json_object_set_new(record, "forced", json_boolean(cases[i].forced));
		json_object_set_new(record, "rollback", json_boolean(cases[i].rollback));
		if (cases[i].verdict)
			json_object_set_new(record, "verdict", json_string(cases[i].verdict));
		else
			json_object_del(record, "verdict");
		plant(f, record, 9, NULL, id);
		assert_taken(f, cases[i].says);
		json_decref(record);
		fixture_end(state);
		fixture_registry(state);
	}
}

/* Nor is what no gate passed in another way. */
static void test_ingest__only_a_pass_moves_by_itself(void **state)
{
	static const struct {
		const char *verdict, *trust;
		bool names, forced;
		const char *says;
		bool dirty; /* older assays let a person promote such a one */
	} cases[] = {
		{ "INCONCLUSIVE", "branch", true, false, "which ended as INCONCLUSIVE, and was not forced", false },
		{ "INCONCLUSIVE", "branch", false, false, "which did not pass its gate, and was not forced", false },
		{ "NO_BASELINE", "branch", true, false, "which ended as NO_BASELINE, and was not forced", false },
		{ "PASS", "fork", true, false, "which is a fork's, and was not forced", false },
		{ "PASS", "fork", false, false, "forks' aside, has the verdict that it says (PASS)", false },
		{ "PASS", "fork", true, true, NULL, false },
		{ "ERROR", "branch", true, true, NULL, false },
		{ "PASS", "branch", true, false, NULL, false },
		{ "PASS", "branch", false, false, NULL, false },
		{ "PASS", "branch", true, false, NULL, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture *f = *state;
		char first[DIGEST_HEX], run[DIGEST_HEX], id[DIGEST_HEX];
		json_t *r, *record;

		add_run(f, "w1", '1', run);
		r = run_record(f->store, "w2", '2', "main", cases[i].trust);
		json_object_set_new(r, "verdict", json_string(cases[i].verdict));
		json_object_set_new(r, "dirty", json_boolean(cases[i].dirty));
		must(registry_add_run(f->registry, r, run));
		json_decref(r);
		must(promote_to(f, 1, 0));
		record = newest_promotion(f);
		digest_of_record(record, first);
		json_object_set_new(record, "version", json_integer(2));
		json_object_del(record, "object");
		json_object_set_new(record, "verdict", json_string(cases[i].verdict));
		json_object_set_new(record, "forced", json_boolean(cases[i].forced));
		json_object_set_new(record, "run", cases[i].names ? json_string(run) : json_null());
		json_object_set_new(record, "from", json_integer(1));
		json_object_set_new(record, "previous", json_string(first));
		plant(f, record, 9, NULL, id);
		assert_taken(f, cases[i].says);
		json_decref(record);
		fixture_end(state);
		fixture_registry(state);
	}
}

/* An older assay took such a move in, and others were made on top of it: they stand, and the check has nothing to say. As the last
 * one it moves nothing and is told. */
static void test_ingest__what_was_moved_on_from_is_history(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], first[DIGEST_HEX], back[DIGEST_HEX], next[DIGEST_HEX], *text, *path;
	json_t *r, *record;

	add_run(f, "w1", '1', id);
	r = run_record(f->store, "w2", '2', "main", "branch");
	json_object_set_new(r, "verdict", json_string("FAIL"));
	must(registry_add_run(f->registry, r, id));
	json_decref(r);
	add_run(f, "w3", '3', id);
	must(promote_to(f, 1, 0));
	record = newest_promotion(f);
	digest_of_record(record, first);
	json_object_set_new(record, "version", json_integer(2));
	json_object_del(record, "object");
	json_object_set_new(record, "rollback", json_true());
	json_object_set_new(record, "verdict", json_string("FAIL"));
	json_object_set_new(record, "from", json_integer(1));
	json_object_set_new(record, "previous", json_string(first));
	plant(f, record, 9, NULL, back);
	fixture_reopen(f);
	assert_int_equal(alias_now(f), 1);
	text = check_text(f->registry);
	assert_text_has(text, back);
	assert_text_has(text, "and was not forced");
	free(text);
	json_object_set_new(record, "version", json_integer(3));
	json_object_set_new(record, "rollback", json_false());
	json_object_set_new(record, "verdict", json_string("PASS"));
	json_object_set_new(record, "from", json_integer(2));
	json_object_set_new(record, "previous", json_string(back));
	plant(f, record, 10, NULL, next);
	fixture_reopen(f);
	assert_int_equal(alias_now(f), 3);
	assert_clean(f->registry);
	path = store_file(f->store, VAULT_RECORDS, back); /* gone, it is missed as any other */
	must(fs_remove(path));
	must(registry_begin(f->registry));
	must(registry_end(f->registry, registry_replay(f->registry), ""));
	text = check_text(f->registry);
	assert_text_has(text, "the chain is broken");
	free(text);
	free(path);
	json_decref(record);
}

/* A rule for new names unmakes nothing that stands under an older one, and it can be moved on. */
static void test_ingest__older_names_are_taken_as_they_are(void **state)
{
	static const char *const names[] = { "release candidate",
					     "team/prod",
					     "2026",
					     "v07",
					     ".hid",
					     "pr\xc3\xbc"
					     "f" };
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	json_t *first;

	add_run(f, "w1", '1', id);
	add_run(f, "w2", '2', id);
	must(promote_to(f, 1, 0));
	first = newest_promotion(f);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct promotion p = { .model = "bot",
				       .alias = names[i],
				       .version = 2,
				       .expect = 1,
				       .actor = "ann",
				       .reason = "the gate passed" };
		json_t *record = json_deep_copy(first);
		int version = 0;

		json_object_set_new(record, "alias", json_string(names[i]));
		json_object_set_new(record, "version", json_integer(1));
		json_object_set_new(record, "from", json_null());
		json_object_set_new(record, "previous", json_null());
		plant(f, record, 9 + 3 * (int64_t)i, NULL, id);
		fixture_reopen(f);
		p.alias = names[i];
		must(registry_promote(f->registry, &p, id));
		must(registry_alias(f->registry, "bot", names[i], &version));
		assert_int_equal(version, 2);
		json_decref(record);
	}
	json_decref(first);
	assert_clean(f->registry);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_newcomers__a_number_is_not_taken_by_what_sorts_first),
		TEST(test_newcomers__a_promotion_names_the_model),
		TEST(test_registry_alias__a_version_whose_row_was_changed_is_not_served),
		TEST(test_newcomers__numbers_have_bounds),
		TEST(test_ingest__a_promotion_that_does_not_fit_moves_nothing),
		TEST(test_ingest__what_failed_is_not_promoted_by_itself),
		TEST(test_ingest__only_a_pass_moves_by_itself),
		TEST(test_ingest__what_was_moved_on_from_is_history),
		TEST(test_ingest__older_names_are_taken_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
