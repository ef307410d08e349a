/* Tests of artifacts/registry*.c: the database as a function of the records, through crashes, races and full disks. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

static void rebuild(struct fixture *f, uint64_t *n)
{
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_rebuild(f->store, n));
}

/* ---- opening ---- */

static void test_registry_open__is_as_promised(void **state)
{
	struct fixture *f = *state;
	int64_t v = 0;
	char *mode = NULL;

	must(sql_int(f->registry, &v, "PRAGMA user_version", ""));
	assert_int_equal(v, REGISTRY_VERSION);
	must(sql_int(f->registry, &v, "PRAGMA foreign_keys", ""));
	assert_int_equal(v, 1);
	must(sql_int(f->registry, &v, "PRAGMA synchronous", ""));
	assert_int_equal(v, 2);
	must(sql_text(f->registry, &mode, "PRAGMA journal_mode", ""));
	assert_string_equal(mode, "wal");
	free(mode);
	must(sql_int(f->registry, &v,
		     "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND "
		     "NOT strict AND name NOT LIKE 'sqlite_%'",
		     ""));
	assert_int_equal(v, 0);
	fixture_reopen(f);
	assert_clean(f->registry);
}

static void test_registry_open__newer_is_refused(void **state)
{
	struct fixture *f = *state;
	struct registry *r = NULL;
	char *before, *after, id[DIGEST_HEX];
	json_t *record = run_record(f->store, NULL, '1', "main", "branch");

	fixture_history(f);
	/* while it is open: the next write must notice */
	assert_int_equal(meddle(f, "PRAGMA user_version = 99"), SQLITE_OK);
	assert_err(registry_add_run(f->registry, record, id), ERR_ENV);
	json_decref(record);
	before = dump(f);
	registry_close(f->registry);
	f->registry = NULL;
	assert_err(registry_open(&r, f->store), ERR_ENV);
	assert_null(r);
	assert_text_has(err_text(), "99");
	assert_non_null(err_fix());
	assert_err(registry_rebuild(f->store, NULL), ERR_ENV); /* an old assay does not replace it either */
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_registry_open__older_is_migrated_after_a_backup(void **state)
{
	struct fixture *f = *state;
	char *before, *after, *bak = home_path(f, "registry.db.v0.bak");
	sqlite3 *db;

	fixture_history(f);
	before = dump(f);
	registry_close(f->registry);
	f->registry = NULL;
	/* what an older assay left: fewer columns, a table that is no more, a view */
	assert_int_equal(meddle(f, "PRAGMA user_version = 0; ALTER TABLE metrics DROP COLUMN n; CREATE TABLE zoo (a);"
				   "CREATE VIEW v AS SELECT id FROM runs; INSERT INTO zoo VALUES (7)"),
			 SQLITE_OK);
	must(registry_open(&f->registry, f->store));
	after = dump(f);
	assert_string_equal(before, after);
	assert_clean(f->registry);
	assert_int_equal(sqlite3_open_v2(bak, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "SELECT a FROM zoo", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	free(before);
	free(after);
	free(bak);
}

static void test_registry_open__no_database_is_made_from_records(void **state)
{
	struct fixture *f = *state;
	char *before, *after, *path = home_path(f, "registry.db");

	fixture_history(f);
	before = dump(f);
	registry_close(f->registry);
	f->registry = NULL;
	must(fs_remove(path));
	must(registry_open(&f->registry, f->store));
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	free(path);
}

static void test_registry_open__garbage_names_the_rebuild(void **state)
{
	struct fixture *f = *state;
	char *before, *after, *path = home_path(f, "registry.db");
	struct registry *r = NULL;

	fixture_history(f);
	before = dump(f);
	registry_close(f->registry);
	f->registry = NULL;
	must(fs_write(path, "this is not a database, and long enough to be looked at as one", 62));
	assert_err(registry_open(&r, f->store), ERR_IO);
	assert_text_has(err_fix(), "rebuild");
	must(registry_rebuild(f->store, NULL));
	must(registry_open(&f->registry, f->store));
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	free(path);
}

/* ---- rebuild and replay ---- */

static void test_registry_rebuild__gives_the_same_rows(void **state)
{
	struct fixture *f = *state;
	char *before, *after, *left = home_path(f, "registry.db.new"), *old = home_path(f, "registry.db.old");
	uint64_t n = 0;

	fixture_history(f);
	assert_clean(f->registry);
	before = dump(f);
	rebuild(f, &n);
	after = dump(f);
	assert_string_equal(before, after);
	assert_int_equal(n, 9);
	assert_false(fs_exists(left));
	assert_false(fs_exists(old));
	must(registry_open(&f->registry, f->store));
	assert_clean(f->registry);
	free(before);
	free(after);
	free(left);
	free(old);
}

static void test_registry_rebuild__not_under_somebodys_feet(void **state)
{
	struct fixture *f = *state;

	fixture_history(f);
	assert_err(registry_rebuild(f->store, NULL), ERR_BUSY);
	assert_non_null(err_fix());
	assert_clean(f->registry);
}

/* A record whose rows were lost with a crash is taken in by the next writer, before its own. */
static void test_registry__orphan_is_taken_in_first(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], orphan[DIGEST_HEX];
	struct buf text = BUF_INIT(1 << 20);
	json_t *r, *row = NULL;

	assert_int_equal(add_run(f, "w1", '1', id), 1);
	r = run_record(f->store, "w2", '2', "main", "protected");
	json_object_set_new(r, "seq", json_integer(2));
	json_object_set_new(r, "created", json_string("2026-11-24T03:38:00Z"));
	json_object_set_new(r, "created_ns", json_integer(5));
	json_object_set_new(json_object_get(r, "version"), "number", json_integer(2));
	record_bytes(&text, orphan, r);
	must(store_write(f->store, VAULT_RECORDS, orphan, buf_str(&text), text.len));
	json_decref(r);
	buf_release(&text);
	assert_int_equal(add_run(f, "w3", '3', id), 3);
	must(registry_version(f->registry, "bot", 2, &row));
	assert_string_equal(json_get_text(row, "run", ""), orphan);
	json_decref(row);
	assert_clean(f->registry);
}

/* In haste: a power cut that takes the log takes rows, and their records bring them back; one that takes a part of it, too. */
static void haste_after_cut(void **state, off_t keep)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *log = path_join(f->home, "registry.db-wal"), *before;
	struct stat st;

	add_run_as(f, "w1", '1', "main", "protected", id);
	registry_close(f->registry);
	f->registry = NULL;
	assert_int_not_equal(stat(log, &st), 0); /* folded in and gone */
	must(registry_open(&f->registry, f->store));
	must(registry_make_haste(f->registry));
	must(promote_to(f, 1, 0));
	add_run_as(f, "w2", '2', "topic", "branch", id);
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_open(&f->registry, f->store));
	before = dump(f);
	must(registry_make_haste(f->registry));
	registry_close(f->registry);
	f->registry = NULL;
	assert_int_equal(stat(log, &st), 0);
	assert_true(st.st_size > keep);
	assert_int_equal(truncate(log, keep), 0);
	must(registry_open(&f->registry, f->store));
	{
		char *after = dump(f);

		assert_string_equal(after, before);
		free(after);
	}
	assert_clean(f->registry);
	free(before);
	free(log);
}

static void test_registry_make_haste__a_lost_log_is_made_again(void **state)
{
	haste_after_cut(state, 0);
}

static void test_registry_make_haste__a_torn_log_is_made_again(void **state)
{
	haste_after_cut(state, 32 + 5 * (24 + 4096) + 100);
}

/* Records that come late (another home was merged) give the same rows as if they had been there. */
static void test_registry__late_records_give_the_same_rows(void **state)
{
	struct fixture *f = *state;
	struct name_list all = { NULL, 0, 0 };
	char *before, *after, *away[16], *place[16];

	fixture_history(f);
	before = dump(f);
	must(store_names(f->store, VAULT_RECORDS, &all, NULL, NULL));
	assert_int_equal(all.len, 9);
	for (size_t i = 0; i < all.len; i++) {
		place[i] = store_file(f->store, VAULT_RECORDS, all.names[i]);
		away[i] = mem_printf("%s/work/%zu", f->home, i);
		must(fs_rename(place[i], away[i]));
	}
	rebuild(f, NULL);
	/* back one at a time, in the order of their names, which is not theirs; the registry opened after each */
	for (size_t i = 0; i < all.len; i++) {
		must(fs_rename(away[i], place[i]));
		must(registry_open(&f->registry, f->store));
		registry_close(f->registry);
		f->registry = NULL;
		free(place[i]);
		free(away[i]);
	}
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	name_list_release(&all);
}

static void test_registry_check__finds_what_was_meddled_with(void **state)
{
	static const struct {
		const char *sql, *says;
	} cases[] = {
		{ "UPDATE runs SET verdict = 'FAIL' WHERE seq = 1", "table runs" },
		{ "DELETE FROM metrics WHERE run = (SELECT min(run) FROM metrics)", "table metrics: " },
		{ "UPDATE aliases SET version = 1", "table aliases" },
		{ "INSERT INTO edges VALUES ((SELECT n FROM runs LIMIT 1), 77, 'a', 'b', 'c')", "table edges: " },
		{ "UPDATE samples SET object = replace(object, substr(object, 1, 6), '000000') WHERE run = 1",
		  "is not in the store" },
		{ "PRAGMA foreign_keys = OFF; DELETE FROM models", "table versions: a row refers to a row of models" },
		{ "PRAGMA foreign_keys = OFF; DELETE FROM records WHERE seq = 3", "is not in the database" },
	};
	struct fixture *f = *state;
	char *text, *before, *after;

	fixture_history(f);
	before = dump(f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(meddle(f, cases[i].sql), SQLITE_OK);
		text = check_text(f->registry);
		assert_text_has(text, cases[i].says);
		free(text);
		rebuild(f, NULL);
		must(registry_open(&f->registry, f->store));
		assert_clean(f->registry);
	}
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

/* Whatever is taken out of the schema, put into it or is otherwise in it is named, and a rebuild makes it right. */
static void test_registry_check__finds_another_schema(void **state)
{
	static const struct {
		const char *sql, *says;
	} cases[] = {
		{ "DROP INDEX runs_by_branch", "schema: the index runs_by_branch is not there" },
		{ "DROP INDEX runs_by_branch; CREATE INDEX runs_by_branch ON runs (n)",
		  "schema: the index runs_by_branch is not as this assay makes it" },
		{ "DROP TRIGGER promotions_no_update", "schema: the trigger promotions_no_update is not there" },
		{ "DROP TABLE metrics", "schema: the table metrics is not there" },
		{ "ALTER TABLE proposals DROP COLUMN remote",
		  "schema: the table proposals is not as this assay makes it" },
		{ "CREATE INDEX fast ON runs (verdict)", "schema: the index fast is none of assay's" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture *f = *state;
		char *text;

		fixture_history(f);
		assert_int_equal(meddle(f, cases[i].sql), SQLITE_OK);
		text = check_text(f->registry);
		assert_text_has(text, cases[i].says);
		assert_int_equal(strchr(text, '\n')[1], '\0'); /* and nothing else is said */
		free(text);
		registry_close(f->registry);
		f->registry = NULL;
		must(registry_rebuild(f->store, NULL));
		must(registry_open(&f->registry, f->store));
		assert_clean(f->registry);
		fixture_end(state);
		fixture_registry(state);
	}
}

/* A comment in it is none of its meaning: other assays of this version write others. */
static void test_registry_check__comments_of_the_schema_do_not_count(void **state)
{
	struct fixture *f = *state;

	fixture_history(f);
	assert_int_equal(meddle(f,
				"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '-- of the "
				"work tree', "
				"'--  -- it''s of the (work tree') WHERE name = 'runs'; PRAGMA writable_schema = OFF"),
			 SQLITE_OK);
	fixture_reopen(f);
	assert_clean(f->registry);
}

static void test_sql__what_is_not_in_the_schema_is_damage(void **state)
{
	struct fixture *f = *state;
	json_t *rows = NULL;

	fixture_history(f);
	assert_int_equal(meddle(f, "DROP INDEX runs_by_branch; DROP TABLE metrics"), SQLITE_OK);
	assert_err(sql_rows(f->registry, &rows, "SELECT n FROM runs INDEXED BY runs_by_branch", ""), ERR_IO);
	assert_text_has(err_fix(), "assay registry rebuild");
	assert_err(sql_rows(f->registry, &rows, "SELECT value FROM metrics", ""), ERR_IO);
	assert_text_has(err_fix(), "assay registry rebuild");
	assert_err(sql_rows(f->registry, &rows, "SELECT nowhere FROM runs", ""), ERR_IO);
	assert_err(sql_rows(f->registry, &rows, "SELECT FROM", ""), ERR_BUG); /* a fault of the program's */
}

static void test_schema__history_is_appended_only(void **state)
{
	static const char *const refused[] = {
		"UPDATE promotions SET actor = 'eve'",
		"DELETE FROM promotions",
		"INSERT OR REPLACE INTO promotions SELECT id, seq, model, alias, version, from_version, 'eve', reason, "
		"run, "
		"commit_oid, forced, rollback, verdict, policy, object, chained, previous, created, created_ns FROM "
		"promotions",
		"UPDATE versions SET object = 'x'",
		"DELETE FROM versions",
		"INSERT OR REPLACE INTO versions SELECT model, number, 'x', key, product, run, seq, created, "
		"created_ns FROM "
		"versions",
		"INSERT INTO versions SELECT model, number + 10, object, key, product, run, seq, created, created_ns "
		"FROM "
		"versions",
		"INSERT INTO metrics VALUES ('no such run', '', '', '', '', 1, 1, 1, 1)",
		"UPDATE runs SET exit_code = 'zero'",
		"UPDATE runs SET verdict = 'FINE'",
	};
	struct fixture *f = *state;
	char *before, *after, *sql;

	fixture_history(f);
	before = dump(f);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		sql = mem_printf("PRAGMA foreign_keys = ON; %s", refused[i]);
		assert_int_equal(meddle(f, sql), SQLITE_CONSTRAINT);
		free(sql);
	}
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

/* What the bytes say without being read as JSON; 0 wherever they could be read another way. */
static void test_record_seq__is_said_by_canonical_bytes(void **state)
{
	static const struct {
		const char *text;
		int64_t seq;
	} cases[] = {
		{ "{\"seq\":7}", 7 },
		{ "{\"a\":1,\"seq\":12,\"z\":[]}", 12 },
		{ "{\"a\":{\"seq\":1,\"b\":[{\"seq\":2}]},\"seq\":3}", 3 },
		{ "{\"a\":\"\\\",\\\"seq\\\":1,\",\"b\":\"}]\",\"seq\":4}", 4 },
		{ "{\"a\":\"\\\\\",\"seq\":5}", 5 },
		{ "{\"a\":[\"seq\",1],\"b\":-1.5e+20,\"seq\":6}", 6 },
		{ "{\"seq\":7.0}", 0 },
		{ "{\"seq\":-7}", 0 },
		{ "{\"seq\":7 }", 0 },
		{ "{\"seq\": 7}", 0 },
		{ "{ \"seq\":7}", 0 },
		{ "{\"seq\":99999999999999999999}", 0 },
		{ "{\"a\":{\"seq\":7}}", 0 },
		{ "[\"seq\":7]", 0 },
		{ "{\"seq\":7", 0 },
		{ "{\"seq\":", 0 },
		{ "{\"a\":\"", 0 },
		{ "{\"a\":\"\\", 0 },
		{ "{", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *exact = mem_strn(cases[i].text, strlen(cases[i].text)); /* so that a sanitizer sees its end */

		assert_int_equal(record_seq(exact, strlen(exact)), cases[i].seq);
		free(exact);
	}
}

/* A record that is not in canonical form has its place by what it says, as any other. */
static void test_registry__a_record_in_another_form_is_in_order(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX], *before, *after, *text;
	struct digest d;
	json_t *record;

	fixture_history(f);
	must(registry_find_run(f->registry, "latest", id));
	must(record_read(f->store, id, &record));
	json_object_set_new(record, "seq", json_integer(2)); /* late */
	json_object_del(record, "version");
	json_object_del(record, "edges");
	json_object_del(record, "proposal");
	text = json_dumps(record, JSON_INDENT(1));
	d = digest_bytes(text, strlen(text));
	digest_hex(id, &d);
	must(store_write(f->store, VAULT_RECORDS, id, text, strlen(text)));
	fixture_reopen(f);
	assert_clean(f->registry);
	before = dump(f);
	rebuild(f, NULL);
	must(registry_open(&f->registry, f->store));
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	free(text);
	json_decref(record);
}

/* Metrics go in by sixteens: all of them, whatever their number, and one at fault is named by its place. */
static void test_registry_add_run__metrics_by_sixteens(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_HEX];
	int64_t n = 0;

	for (size_t twice = 0; twice < 2; twice++) {
		json_t *r = run_record(f->store, NULL, '1', "main", "protected"), *list = json_array();

		for (int i = 0; i < 41; i++) {
			char task[8];

			snprintf(task, sizeof(task), "t%d", twice && i == 21 ? 19 : i);
			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:s,s:f,s:i,s:b}", "suite", "s", "task", task,
							"metric", "acc", "value", 0.5, "n", i, "higher_is_better", 1));
		}
		json_object_set_new(r, "metrics", list);
		if (twice) {
			assert_err(registry_add_run(f->registry, r, id), ERR_INPUT);
			assert_non_null(strstr(err_text(), "metrics[21]"));
		} else {
			must(registry_add_run(f->registry, r, id));
		}
		json_decref(r);
	}
	must(sql_int(f->registry, &n, "SELECT count(*) FROM metrics WHERE task = 't' || n AND filter = ''", ""));
	assert_int_equal(n, 41);
	assert_clean(f->registry);
}

static int64_t kept_shelves(struct fixture *f)
{
	int64_t n = 0;

	must(sql_int(f->registry, &n, "SELECT count(*) FROM shelves", ""));
	return n;
}

static int set_time(const char *name, const char *dir, time_t seconds)
{
	const struct timespec both[2] = { { seconds, 0 }, { seconds, 0 } };
	char *path = path_join(dir, name);
	int rc = utimensat(AT_FDCWD, path, both, 0);

	free(path);
	return rc;
}

static int age(const char *name, void *arg)
{
	return set_time(name, arg, 1000000000);
}

/* As a clock that counts seconds would say it. */
static int just_now(const char *name, void *arg)
{
	return set_time(name, arg, time(NULL));
}

/* Whoever opens it keeps what it could, but for one that others are writing. */
static void test_registry_open__settles_several_shelves(void **state)
{
	struct fixture *f = *state;
	char *shelves = home_path(f, "records"), id[DIGEST_HEX], *path = home_path(f, "registry.db");
	sqlite3 *other = NULL;

	for (int i = 0; i < 40; i++) {
		char weights[] = { 'w', (char)('0' + i), '\0' };

		add_run(f, weights, '1', id);
	}
	must(fs_list(shelves, age, shelves));
	must(sql_script(f->registry, "DELETE FROM shelves")); /* a slow machine's writers have kept some */
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	fixture_reopen(f);
	assert_int_equal(kept_shelves(f), 0);
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	fixture_reopen(f);
	assert_true(kept_shelves(f) > 8);
	assert_clean(f->registry);
	free(shelves);
	free(path);
}

static void test_shelves_settle__by_the_clock_of_the_file_system(void **state)
{
	const int64_t s = INT64_C(1000000000), now = 1000 * s, fine = 123456;

	(void)state;
	assert_false(shelves_settle(now - 10000000 + fine, now, false)); /* within a tick or two */
	assert_true(shelves_settle(now - 30000000 + fine, now, false));
	assert_false(shelves_settle(now - 30000000 + fine, now, true)); /* by another machine's clock */
	assert_false(shelves_settle(now - s, now, false));              /* it may count seconds */
	assert_false(shelves_settle(now - 2 * s, now, false));
	assert_true(shelves_settle(now - 3 * s, now, true));
	assert_false(shelves_settle(now + s + fine, now, false)); /* a clock that was set back */
}

/* Shelves that have not changed for a while are not listed again; one that a record comes onto is. */
static void test_registry_open__sees_what_comes_onto_a_settled_shelf(void **state)
{
	struct fixture *f = *state;
	struct name_list files = { NULL, 0, 0 }, rows = { NULL, 0, 0 }, all = { NULL, 0, 0 };
	char *shelves = home_path(f, "records"), *place, *away = home_path(f, "work/away"), id[DIGEST_HEX];
	int64_t n = 0;

	fixture_history(f);
	must(store_names(f->store, VAULT_RECORDS, &all, NULL, NULL));
	must(sql_script(f->registry, "DELETE FROM shelves"));
	must(fs_list(shelves, just_now, shelves));
	must(shelves_unsettled(f->registry, &files, &rows, true));
	assert_int_equal(files.len, all.len);
	must(sql_int(f->registry, &n, "SELECT count(*) FROM shelves", ""));
	assert_int_equal(n, 0);
	must(fs_list(shelves, age, shelves));
	files.len = rows.len = 0;
	must(shelves_unsettled(f->registry, &files, &rows, true));
	assert_int_equal(files.len, all.len);
	files.len = rows.len = 0;
	must(shelves_unsettled(f->registry, &files, &rows, false));
	assert_int_equal(files.len, 0);
	/* a record whose rows are not there, on a shelf that had all of its own; not the newest version's, whose number the
	 * next one would take */
	{
		json_t *newest = NULL;

		must(registry_version(f->registry, "bot", 4, &newest));
		place = store_file(f->store, VAULT_RECORDS,
				   all.names[!strcmp(json_get_text(newest, "run", ""), all.names[0])]);
		json_decref(newest);
	}
	must(fs_rename(place, away));
	rebuild(f, NULL);
	must(fs_list(shelves, age, shelves));
	must(registry_open(&f->registry, f->store));
	must(sql_int(f->registry, &n, "SELECT count(*) FROM records", ""));
	assert_int_equal(n, all.len - 1);
	add_run(f, "w9", '9', id); /* keeps the shelves' times */
	must(fs_rename(away, place));
	fixture_reopen(f);
	must(sql_int(f->registry, &n, "SELECT count(*) FROM records", ""));
	assert_int_equal(n, all.len + 1);
	assert_clean(f->registry);
	name_list_release(&files);
	name_list_release(&rows);
	name_list_release(&all);
	free(shelves);
	free(place);
	free(away);
}

/* ---- several processes ---- */

/* In a child: its own store and registry, as a process has. Ends with 0, or 1 and a line. */
static void child(const char *home, int (*work)(struct fixture *f, int k), int k)
{
	struct fixture f = { 0 };
	int rc = store_open(&f.store, home);

	rc = rc ? rc : registry_open(&f.registry, f.store);
	rc = rc ? rc : work(&f, k);
	if (rc)
		fprintf(stderr, "child: %s\n", err_text());
	registry_close(f.registry);
	store_close(f.store);
	_exit(rc ? 1 : 0);
}

static int add_many(struct fixture *f, int k)
{
	for (int i = 0; i < 12; i++) {
		char weights[32], id[DIGEST_HEX];
		json_t *r;
		int rc;

		snprintf(weights, sizeof(weights), "w%d-%d", k, i);
		r = run_record(f->store, weights, (char)('1' + k), "main", "branch");
		rc = registry_add_run(f->registry, r, id);
		json_decref(r);
		if (rc)
			return rc;
	}
	return 0;
}

static void test_registry_add_run__two_processes_number_without_gap(void **state)
{
	struct fixture *f = *state;
	pid_t pids[2];
	int64_t n = 0;
	int status;

	registry_close(f->registry);
	f->registry = NULL;
	for (int k = 0; k < 2; k++) {
		pids[k] = fork();
		assert_true(pids[k] >= 0);
		if (!pids[k])
			child(f->home, add_many, k);
	}
	for (int k = 0; k < 2; k++) {
		assert_int_equal(waitpid(pids[k], &status, 0), pids[k]);
		assert_int_equal(status, 0);
	}
	must(registry_open(&f->registry, f->store));
	must(sql_int(f->registry, &n, "SELECT count(*) FROM versions WHERE number BETWEEN 1 AND 24", ""));
	assert_int_equal(n, 24);
	must(sql_int(f->registry, &n, "SELECT count(DISTINCT seq) FROM records WHERE seq BETWEEN 1 AND 24", ""));
	assert_int_equal(n, 24);
	assert_clean(f->registry);
}

static int first_is_in; /* a pipe: the child writes a byte once it has added a run */

static int add_for_ever(struct fixture *f, int k)
{
	for (int i = 0;; i++) {
		char weights[32], id[DIGEST_HEX];
		json_t *r;
		int rc;

		snprintf(weights, sizeof(weights), "w%d-%d", k, i);
		r = run_record(f->store, weights, '1', "main", "branch");
		rc = registry_add_run(f->registry, r, id);
		json_decref(r);
		if (rc || (!i && write(first_is_in, "1", 1) != 1))
			return rc;
	}
}

/* kill -9 at any instruction: what is there is whole, and the next writer goes on. Every second round strikes after the
 * first run is in, the others at any time, the opening included. */
static void test_registry_add_run__killed_writers(void **state)
{
	struct fixture *f = *state;
	int64_t runs = 0, last = 0, versions = 0, before = 0;
	struct rng rng;
	int status;

	rng_seed(&rng, 7, 0);
	for (int round = 0; round < 50; round++) {
		int in[2];
		char byte;
		pid_t pid;

		registry_close(f->registry);
		f->registry = NULL;
		assert_false(pipe(in));
		first_is_in = in[1];
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			child(f->home, add_for_ever, round);
		close(in[1]);
		if (round % 2)
			assert_int_equal(read(in[0], &byte, 1), 1);
		nanosleep(&(struct timespec){ 0, (long)rng_below(&rng, 20000000) }, NULL);
		assert_false(kill(pid, SIGKILL));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		close(in[0]);
		assert_true(WIFSIGNALED(status)); /* and did not end by an error of its own */
		must(registry_open(&f->registry, f->store));
		must(sql_int(f->registry, &runs, "SELECT count(*) FROM runs", ""));
		must(sql_int(f->registry, &last, "SELECT coalesce(max(seq), 0) FROM records", ""));
		must(sql_int(f->registry, &versions, "SELECT coalesce(max(number), 0) FROM versions", ""));
		assert_int_equal(runs, last);
		assert_int_equal(versions, runs);
		assert_true(runs >= before);
		before = runs;
		if (round % 10 == 9)
			assert_clean(f->registry);
	}
	assert_true(runs >= 25);
}

/* A limit on file size stands in for a full disk, met at every place in turn. */
static void test_registry_add_run__full_disk_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct rlimit was, now;
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	char *before, *after, id[DIGEST_HEX], *wal = home_path(f, "registry.db-wal");
	uint64_t size = 0;
	json_t *r;
	int failures = 0, rc = ERR_IO;

	fixture_history(f);
	r = run_record(f->store, "w9", '9', "main", "branch");
	must(fs_size(&size, wal));
	assert_false(getrlimit(RLIMIT_FSIZE, &was));
	for (rlim_t limit = 0; rc && limit < size + (1 << 20); limit += limit < 8192 ? 1024 : 16384) {
		before = dump(f);
		now = was;
		now.rlim_cur = limit;
		assert_false(setrlimit(RLIMIT_FSIZE, &now));
		rc = registry_add_run(f->registry, r, id);
		assert_false(setrlimit(RLIMIT_FSIZE, &was));
		if (!rc) {
			free(before);
			break;
		}
		assert_int_equal(rc, ERR_IO);
		failures++;
		after = dump(f);
		assert_string_equal(before, after);
		free(before);
		free(after);
		if (failures % 8 == 1) {
			fixture_reopen(f);
			assert_clean(f->registry);
		}
	}
	signal(SIGXFSZ, handler);
	must(rc);
	assert_true(failures > 3);
	assert_int_equal(list_length(f->registry, "runs"), 7);
	fixture_reopen(f);
	assert_clean(f->registry);
	json_decref(r);
	free(wal);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_registry, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registry_open__is_as_promised),
		TEST(test_registry_open__newer_is_refused),
		TEST(test_registry_open__older_is_migrated_after_a_backup),
		TEST(test_registry_open__no_database_is_made_from_records),
		TEST(test_registry_open__garbage_names_the_rebuild),
		TEST(test_registry_rebuild__gives_the_same_rows),
		TEST(test_registry_rebuild__not_under_somebodys_feet),
		TEST(test_registry__orphan_is_taken_in_first),
		TEST(test_registry_make_haste__a_lost_log_is_made_again),
		TEST(test_registry_make_haste__a_torn_log_is_made_again),
		TEST(test_registry__late_records_give_the_same_rows),
		TEST(test_registry_check__finds_what_was_meddled_with),
		TEST(test_registry_check__finds_another_schema),
		TEST(test_registry_check__comments_of_the_schema_do_not_count),
		TEST(test_sql__what_is_not_in_the_schema_is_damage),
		TEST(test_schema__history_is_appended_only),
		TEST(test_record_seq__is_said_by_canonical_bytes),
		TEST(test_registry__a_record_in_another_form_is_in_order),
		TEST(test_registry_add_run__metrics_by_sixteens),
		TEST(test_registry_open__settles_several_shelves),
		TEST(test_shelves_settle__by_the_clock_of_the_file_system),
		TEST(test_registry_open__sees_what_comes_onto_a_settled_shelf),
		TEST(test_registry_add_run__two_processes_number_without_gap),
		TEST(test_registry_add_run__killed_writers),
		TEST(test_registry_add_run__full_disk_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
