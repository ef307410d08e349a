/* artifacts_fixture.h: a fresh home for each test, records to put into it, and a dump of a registry to compare. */
#ifndef TESTS_ARTIFACTS_FIXTURE_H
#define TESTS_ARTIFACTS_FIXTURE_H

#include <sqlite3.h>
#include <unistd.h>

#include "artifacts/artifacts.h"
#include "must.h"

struct fixture {
	char *home;
	struct store *store;
	struct registry *registry; /* NULL in tests of the store alone */
};

FIXTURE_UNUSED static int fixture_store(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	log_set_level(LOG_QUIET);
	must(fs_temp_dir(&f->home, tmp ? tmp : "/tmp", "assay-test-"));
	must(store_open(&f->store, f->home));
	*state = f;
	return 0;
}

FIXTURE_UNUSED static int fixture_registry(void **state)
{
	struct fixture *f;

	fixture_store(state);
	f = *state;
	must(registry_open(&f->registry, f->store));
	return 0;
}

FIXTURE_UNUSED static void fixture_reopen(struct fixture *f)
{
	registry_close(f->registry);
	f->registry = NULL;
	must(registry_open(&f->registry, f->store));
}

FIXTURE_UNUSED static int fixture_end(void **state)
{
	struct fixture *f = *state;

	registry_close(f->registry);
	store_close(f->store);
	must(fs_remove_tree(f->home));
	free(f->home);
	free(f);
	return 0;
}

FIXTURE_UNUSED static char *home_path(const struct fixture *f, const char *name)
{
	return path_join(f->home, name);
}

/* ---- records ---- */

FIXTURE_UNUSED static void put_text(struct store *s, const char *text, char hex[DIGEST_HEX])
{
	must(store_put(s, text, strlen(text), hex));
}

/* A commit's id made of one digit. */
FIXTURE_UNUSED static const char *commit_of(char digit)
{
	static char oid[41];

	memset(oid, digit, 40);
	return oid;
}

/* A whole run; weights: what the version's object holds, NULL for a run without a version. */
FIXTURE_UNUSED static json_t *run_record(struct store *s, const char *weights, char commit, const char *branch,
					 const char *trust)
{
	char samples[DIGEST_HEX], model[DIGEST_HEX], from[DIGEST_HEX + 8], to[DIGEST_HEX + 8];
	json_t *r;

	put_text(s, "{\"id\":1}\n", samples);
	put_text(s, weights ? weights : "no weights", model);
	snprintf(from, sizeof(from), "data:%.12s", samples);
	snprintf(to, sizeof(to), "model:%.64s", model);
	r = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:i, s:s, s:f, s:{s:s,s:s}, s:n}", /* */
		      "format", "assay-run/1", "commit", commit_of(commit), "tree", commit_of('7'), "branch", branch,
		      "ref", "refs/heads/x", "trust", trust, "event", "push", "dirty", 0, "profile", "", "verdict",
		      "PASS", "exit", 0, "sentence", "No worse: 0.91 against 0.90.", "seconds", 12.5, "tool", "version",
		      "0.1.0", "numerics", "cpu/1/fp32", "baseline");
	json_object_set_new(r, "steps",
			    json_pack("[{s:s,s:s,s:f},{s:s,s:s,s:f}]", "name", "read", "status", "done", "seconds",
				      0.25, "name", "plan", "status", "done", "seconds", 0.5));
	json_object_set_new(r, "stages",
			    json_pack("[{s:s,s:s,s:s,s:{s:s,s:[i,i]}}]", "step", "train", "name", "bot", "key",
				      weights ? weights : "none", "output", "object", model, "losses", 3, 2));
	json_object_set_new(r, "metrics",
			    json_pack("[{s:s,s:s,s:s,s:s,s:f,s:f,s:i,s:b},{s:s,s:s,s:s,s:s,s:f,s:n,s:i,s:b}]", "suite",
				      "intents", "task", "intents", "metric", "acc", "filter", "none", "value",
				      0.1 + 0.2, "stderr", 0.01, "n", 100, "higher_is_better", 1, "suite", "intents",
				      "task", "held", "metric", "bits_per_byte", "filter", "none", "value", 1.0,
				      "stderr", "n", 7, "higher_is_better", 0));
	json_object_set_new(r, "samples",
			    json_pack("[{s:s,s:s,s:s,s:i,s:s}]", "suite", "intents", "task", "intents", "filter",
				      "none", "n", 100, "object", samples));
	json_object_set_new(r, "artifacts", json_pack("[{s:s,s:s,s:i}]", "role", "model", "object", model, "size", 10));
	json_object_set_new(r, "datasets",
			    json_pack("[{s:s,s:s,s:i,s:i,s:s},{s:s,s:s,s:n,s:i,s:s}]", "path", "data/train.jsonl",
				      "digest", samples, "rows", 9, "bytes", 900, "role", "train", "path",
				      "evals/x.jsonl", "digest", "d2", "rows", "bytes", 5, "role", "eval"));
	json_object_set_new(r, "edges", json_pack("[{s:s,s:s,s:s}]", "from", from, "to", to, "relation", "trained"));
	json_object_set_new(r, "version",
			    weights ? json_pack("{s:s,s:s,s:s,s:s}", "model", "bot", "object", model, "key", weights,
						"product", "p1")
				    : json_null());
	json_object_set_new(r, "proposal", json_null());
	json_object_set_new(r, "gate", json_null());
	json_object_set_new(r, "a_later_member", json_pack("[i]", 1));
	assert_non_null(r);
	return r;
}

/* Adds such a run; returns the version's number, 0 without one. */
FIXTURE_UNUSED static int add_run_as(struct fixture *f, const char *weights, char commit, const char *branch,
				     const char *trust, char id[DIGEST_HEX])
{
	json_t *r = run_record(f->store, weights, commit, branch, trust);
	int number;

	must(registry_add_run(f->registry, r, id));
	number = (int)json_get_int(json_object_get(r, "version"), "number", 0);
	json_decref(r);
	return number;
}

FIXTURE_UNUSED static int add_run(struct fixture *f, const char *weights, char commit, char id[DIGEST_HEX])
{
	return add_run_as(f, weights, commit, "main", "protected", id);
}

FIXTURE_UNUSED static int promote_to(struct fixture *f, int version, int expect)
{
	const struct promotion p = { .model = "bot",
				     .alias = "production",
				     .version = version,
				     .expect = expect,
				     .actor = "ann",
				     .reason = "the gate passed" };
	char id[DIGEST_HEX];

	return registry_promote(f->registry, &p, id);
}

/* ---- what is there ---- */

FIXTURE_UNUSED static size_t list_length(struct registry *r, const char *what)
{
	json_t *rows = NULL;
	size_t n;

	must(registry_list(r, what, NULL, 0, &rows));
	n = json_array_size(rows);
	json_decref(rows);
	return n;
}

static int count_fault(const char *text, void *arg)
{
	struct buf *b = arg;

	buf_addf(b, "%s\n", text);
	return 0;
}

/* All faults of a check, a line each; yours. */
FIXTURE_UNUSED static char *check_text(struct registry *r)
{
	struct buf b = BUF_INIT(1 << 20);

	must(registry_check(r, count_fault, &b));
	return b.data ? buf_take(&b) : mem_str("");
}

FIXTURE_UNUSED static void assert_clean(struct registry *r)
{
	char *text = check_text(r);

	assert_string_equal(text, "");
	free(text);
}

static int dump_row(void *arg, int n, char **values, char **names)
{
	struct buf *b = arg;

	for (int i = 0; i < n; i++)
		buf_addf(b, "%s=%s|", names[i], values[i] ? values[i] : "NULL");
	buf_addc(b, '\n');
	return 0;
}

/* Every row of every table, and the schema, as text; yours. */
FIXTURE_UNUSED static char *dump(const struct fixture *f)
{
	static const char *const tables[] = { "meta",    "records",  "runs",       "steps",    "stages",
					      "metrics", "samples",  "artifacts",  "datasets", "edges",
					      "models",  "versions", "promotions", "aliases",  "proposals" };
	char *path = home_path(f, "registry.db");
	struct buf b = BUF_INIT(64 << 20);
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		char *sql = mem_printf("SELECT * FROM %s ORDER BY 1, 2, 3, 4, 5", tables[i]);

		if (!strcmp(tables[i], "meta") || !strcmp(tables[i], "models")) {
			free(sql);
			sql = mem_printf("SELECT * FROM %s ORDER BY 1", tables[i]);
		} else if (!strcmp(tables[i], "aliases")) {
			free(sql);
			sql = mem_printf("SELECT * FROM %s ORDER BY 1, 2", tables[i]);
		}
		buf_addf(&b, "-- %s\n", tables[i]);
		assert_int_equal(sqlite3_exec(db, sql, dump_row, &b, NULL), SQLITE_OK);
		free(sql);
	}
	assert_int_equal(
		sqlite3_exec(db, "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", dump_row, &b, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	free(path);
	return buf_take(&b);
}

/* Runs SQL on the registry behind everybody's back; gives SQLite's code. */
FIXTURE_UNUSED static int meddle(const struct fixture *f, const char *sql)
{
	char *path = home_path(f, "registry.db");
	sqlite3 *db;
	int rc;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	sqlite3_close(db);
	free(path);
	return rc;
}

/* A history with a bit of everything. */
static inline void fixture_history(struct fixture *f)
{
	char id[DIGEST_HEX];
	json_t *r;

	add_run_as(f, "w1", '1', "main", "protected", id);
	must(promote_to(f, 1, 0));
	add_run_as(f, "w2", '2', "topic", "branch", id);
	add_run_as(f, NULL, '3', "evil", "fork", id);
	must(promote_to(f, 2, 1));
	add_run_as(f, "w1", '4', "main", "protected", id);
	for (int i = 0; i < 2; i++) {
		r = run_record(f->store, i ? "w3" : "w4", '5', "main", "branch");
		json_object_set_new(r, "proposal",
				    json_pack("{s:s,s:s,s:i,s:s,s:s}", "model", "bot", "alias", "production", "expect",
					      2, "remote", "origin", "ref", "refs/heads/main"));
		must(registry_add_run(f->registry, r, id));
		json_decref(r);
	}
	must(registry_drop_proposal(f->registry, id, "the push was rejected"));
}

#endif
