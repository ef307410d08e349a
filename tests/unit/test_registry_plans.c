/* test_registry_plans.c: no question to the registry reads a large table from end to end.
 *
 * Each question is asked once. What SQLite then has prepared (sql.c keeps every statement) is what the product asks; EXPLAIN
 * QUERY PLAN of each must search the large tables by an index. Plans do not depend on how much there is, since nothing is
 * ANALYZEd. Whole lists may be scanned, in their order: the first rows come without the others. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

static const char *const large[] = { "records", "runs",      "steps",    "stages", "metrics",  "samples",
				     "curves",  "artifacts", "datasets", "edges",  "versions", "promotions" };
/* Lists of everything, by how they begin: of which the newest are shown. */
static const char *const whole[] = {
	"SELECT id FROM runs ORDER BY n DESC LIMIT 1",
	"SELECT id, seq, commit_oid AS \"commit\", tree_oid AS tree",
	"SELECT v.model, v.number",
	"SELECT id, model, alias, version, from_version",
	"SELECT d.digest, d.path",
	"SELECT e.from_node AS \"from\"",
	"SELECT r.id AS run, c.kind, c.step",
};
/* What the index itself must hold: a trend asks it of each run of a branch. */
static const char covered[] = "INDEXED BY runs_by_branch";
/* Those as of a day need not be in an order: they go through all versions and promotions until then. */
static const char as_of[] = "created_ns <= ?3";

/* ---- plans ----------------------------------------------------------------------------------- */

static const char *table_of(const char *sql, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(large); i++) {
		char *with_alias = mem_printf(" %s %s", large[i], name);
		const char *at = strstr(sql, with_alias);
		char after = at ? at[strlen(with_alias)] : 'x';
		bool is = !strcmp(large[i], name) || (at && !strchr("abcdefghijklmnopqrstuvwxyz_", after));

		free(with_alias);
		if (is)
			return large[i];
	}
	return NULL;
}

static bool is_whole(const char *sql)
{
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (!strncmp(sql, whole[i], strlen(whole[i])) && !strstr(sql, "?2") &&
		    (strstr(sql, "LIMIT ?1") || strstr(sql, "LIMIT 1")))
			return true;
	return false;
}

/* What is wrong with a plan; NULL: nothing. */
static char *fault_of(struct registry *r, const char *sql)
{
	char *explain = mem_printf("EXPLAIN QUERY PLAN %s", sql), *fault = NULL, name[64];
	sqlite3_stmt *st;
	struct buf plan = BUF_INIT(1 << 16);
	bool list = is_whole(sql), past = strstr(sql, as_of) != NULL, cover = strstr(sql, covered) != NULL;

	assert_int_equal(sqlite3_prepare_v2(r->db, explain, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 3);

		buf_addf(&plan, "\n  %s", line);
		if (sscanf(line, "SCAN %63s", name) == 1 && table_of(sql, name) && !list && !past && !fault)
			fault = mem_printf("reads all of %s", table_of(sql, name));
		if (list && !strcmp(line, "USE TEMP B-TREE FOR ORDER BY") && !fault)
			fault = mem_str("sorts a whole list");
		if (cover && strstr(line, " INDEX runs_by_branch") && !strstr(line, "COVERING") && !fault)
			fault = mem_str("looks up each run's row");
	}
	sqlite3_finalize(st);
	free(explain);
	if (fault) {
		char *text = mem_printf("%s\n%s: %s", sql, fault, buf_str(&plan));

		free(fault);
		fault = text;
	}
	buf_release(&plan);
	return fault;
}

/* ---- all that is asked ----------------------------------------------------------------------- */

static int no_more(json_t *row, void *arg)
{
	(void)row;
	(void)arg;
	return 1;
}

static int no_text(const char *row, size_t len, void *arg)
{
	(void)row;
	(void)len;
	(void)arg;
	return 0;
}

static void drop(int rc, json_t **rows)
{
	if (rc && rc != ERR_NOTFOUND)
		fail_msg("%d: %s", rc, err_text());
	json_decref(*rows);
	*rows = NULL;
}

static void ask_lists(struct registry *r)
{
	static const char *const lists[] = { "runs",    "models",   "versions", "aliases",
					     "history", "datasets", "edges",    "curves" };
	json_t *rows = NULL;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		drop(registry_list(r, lists[i], NULL, 30, &rows), &rows);
		drop(registry_list(r, lists[i], "bot", 30, &rows), &rows);
	}
	for (int i = 0; i < 2; i++) {
		drop(registry_list_at(r, "versions", i ? "bot" : NULL, 30, clock_unix_ns(), &rows), &rows);
		drop(registry_list_at(r, "history", i ? "bot" : NULL, 30, clock_unix_ns(), &rows), &rows);
		drop(registry_trend(r, "main", "intents", "acc", i ? "none" : NULL, 0, &rows), &rows);
		must(registry_trend_text(r, "main", "intents", "acc", i ? "none" : NULL, 0, 2, no_text, NULL));
	}
	for (int by = RUNS_BY_ID; by <= RUNS_BY_BASELINE_MODEL; by++)
		must(registry_runs(r, (enum runs_by)by, "abcdef123", no_more, NULL));
	drop(registry_data(r, NULL, &rows), &rows);
	drop(registry_data(r, "data/train.jsonl@v1", &rows), &rows);
	drop(registry_data(r, "abcdef1234", &rows), &rows);
	drop(registry_reached(r, "abcdef1234", &rows), &rows);
	drop(registry_proposals(r, &rows), &rows);
}

static void ask_names(struct registry *r, const char *run, const char *object)
{
	static const char *const names[] = { "latest", "bot@v1", "bot@production", "abcdef123", "main", "none" };
	char id[DIGEST_HEX];
	json_t *row = NULL;
	enum trust trust;
	int version;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		drop(registry_find_run(r, names[i], id), &row);
	drop(registry_run(r, run, &row), &row);
	drop(registry_version(r, "bot", 1, &row), &row);
	drop(registry_stage(r, "train", "w1", TRUST_FORK, &row), &row);
	drop(registry_stages(r, "train", "w1", TRUST_FORK, &row), &row);
	drop(registry_maker(r, object, id), &row);
	drop(registry_origin(r, object, &row), &row);
	drop(registry_alias(r, "bot", "production", &version), &row);
	drop(registry_before(r, "bot", "production", &version, id), &row);
	drop(registry_promotion(r, "bot", "production", 1, true, &row), &row);
	drop(registry_version_trust(r, "bot", 2, &trust), &row);
	drop(registry_version_trust(r, "bot", 1, &trust), &row);
}

static void test_registry_plans__use_an_index_where_tables_are_large(void **state)
{
	struct fixture *f = *state;
	struct registry *r = f->registry;
	char run[DIGEST_HEX];
	json_t *record = run_record(f->store, "w1", '1', "main", "protected");
	char *object = mem_str(json_get_text(json_object_get(record, "version"), "object", ""));
	const struct promotion p = { .model = "bot",
				     .alias = "production",
				     .version = 1,
				     .expect = PROMOTE_ANY,
				     .run = run,
				     .actor = "ann",
				     .reason = "why" };
	char id[DIGEST_HEX];
	struct buf faults = BUF_INIT(1 << 20);
	int asked = 0;

	must(registry_add_run(r, record, run));
	json_decref(record);
	must(registry_promote(r, &p, id));
	assert_err(registry_drop_proposal(r, run, "why"), ERR_NOTFOUND);
	ask_lists(r);
	ask_names(r, run, object);
	for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(r->db, st));) {
		char *sql = mem_str(sqlite3_sql(st)), *fault;

		if (strncmp(sql, "EXPLAIN", 7) != 0 && strncmp(sql, "PRAGMA", 6) != 0) {
			fault = fault_of(r, sql);
			asked++;
			if (fault)
				buf_addf(&faults, "%s\n", fault);
			free(fault);
		}
		free(sql);
	}
	if (faults.len) {
		print_error("%s", buf_str(&faults));
		fail();
	}
	buf_release(&faults);
	assert_true(asked > 60); /* fewer: they are not kept, and this test would say nothing */
	free(object);
}

/* The test itself: it would see a scan. */
static void test_registry_plans__a_scan_is_seen(void **state)
{
	static const char *const bad[] = {
		"SELECT id FROM runs WHERE verdict = 'PASS'",
		"SELECT r.id FROM runs r WHERE ?1 IS NULL OR r.model = ?1",
		"SELECT value FROM metrics WHERE task = 'x'",
		"SELECT v.number FROM versions v WHERE v.key = 'x'",
		"UPDATE runs SET verdict = 'PASS' WHERE verdict = 'FAIL'",
		"SELECT seconds FROM runs INDEXED BY runs_by_branch WHERE branch = 'main'",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *fault = fault_of(f->registry, bad[i]);

		assert_non_null(fault);
		free(fault);
	}
	assert_null(fault_of(f->registry, "SELECT id FROM runs WHERE id = ?1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registry_plans__use_an_index_where_tables_are_large,
						fixture_registry, fixture_end),
		cmocka_unit_test_setup_teardown(test_registry_plans__a_scan_is_seen, fixture_registry, fixture_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
