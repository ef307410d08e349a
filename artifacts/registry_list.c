/* registry_list.c: lists from the registry, newest first. Nothing here writes.
 *
 * Rows are flat objects under the names that the records use (commit, exit, from, to), not the columns'. A list with a filter
 * and one without are two statements, since SQLite chooses one plan for a statement, whatever is bound to it: what asks
 * "?1 IS NULL OR model = ?1" reads the whole table. runs.n is the order of the records, so each index of runs gives its rows
 * in the order that is wanted. test_registry_plans.c holds all plans to this. */
#include "base/base.h"

#include <math.h>

#include "artifacts/artifacts_int.h"

#define RUN_COLUMNS                                                                                                    \
	"id, seq, commit_oid AS \"commit\", tree_oid AS tree, branch, ref, trust, event, dirty AS \"dirty?\", "        \
	"profile,"                                                                                                     \
	" verdict, exit_code AS \"exit\", sentence, created, seconds, tool_version, numerics, model, version,"         \
	" baseline_run, baseline_model, baseline_version, baseline_name, object, prompt FROM runs"
#define MODEL_COLUMNS                                                                                                  \
	"name AS model, (SELECT count(*) FROM versions v WHERE v.model = m.name) AS versions,"                         \
	" (SELECT max(number) FROM versions v WHERE v.model = m.name) AS latest, created,"                             \
	" (SELECT json_group_object(alias, version) FROM (SELECT alias, version FROM aliases a"                        \
	" WHERE a.model = m.name ORDER BY alias)) AS \"aliases*\" FROM models m"
#define DATASET_COLUMNS                                                                                                \
	"d.digest, d.path, d.\"rows\" AS \"rows\", d.bytes, d.role, r.id AS run, r.commit_oid AS \"commit\","          \
	" r.model, r.version, r.created FROM runs r JOIN datasets d ON d.run = r.n"
#define EDGE_COLUMNS                                                                                                   \
	"e.from_node AS \"from\", e.to_node AS \"to\", e.relation, r.id AS run, r.created FROM runs r"                 \
	" JOIN edges e ON e.run = r.n"
#define CURVE_COLUMNS                                                                                                  \
	"r.id AS run, c.kind, c.step, c.loss, c.lr, c.grad_norm, c.tokens_per_s FROM runs r JOIN curves c ON c.run = " \
	"r.n"

static const struct list {
	const char *name, *all, *some; /* ?1 limit or -1, ?2 filter */
} lists[] = {
	{ "runs", "SELECT " RUN_COLUMNS " ORDER BY n DESC LIMIT ?1",
	  "SELECT " RUN_COLUMNS " WHERE n IN (SELECT n FROM runs WHERE model = ?2 UNION SELECT n FROM runs"
	  " WHERE baseline_model = ?2 ORDER BY n DESC LIMIT ?1) ORDER BY n DESC" },
	{ "models", "SELECT " MODEL_COLUMNS " ORDER BY created_ns DESC, name LIMIT ?1",
	  "SELECT " MODEL_COLUMNS " WHERE name = ?2 LIMIT ?1" },
	{ "versions", "SELECT " VERSION_COLUMNS " ORDER BY v.seq DESC, v.model, v.number DESC LIMIT ?1",
	  "SELECT " VERSION_COLUMNS " WHERE v.model = ?2 ORDER BY v.number DESC LIMIT ?1" },
	{ "aliases",
	  "SELECT a.model, a.alias, a.version AS number, r.commit_oid AS \"commit\" FROM aliases a JOIN versions v"
	  " ON v.model = a.model AND v.number = a.version JOIN runs r ON r.id = v.run ORDER BY a.model, a.alias LIMIT "
	  "?1",
	  "SELECT a.model, a.alias, a.version AS number, r.commit_oid AS \"commit\" FROM aliases a JOIN versions v"
	  " ON v.model = a.model AND v.number = a.version JOIN runs r ON r.id = v.run WHERE a.model = ?2"
	  " ORDER BY a.alias LIMIT ?1" },
	{ "history", "SELECT " HISTORY_COLUMNS " ORDER BY seq DESC, id DESC LIMIT ?1",
	  "SELECT " HISTORY_COLUMNS " WHERE model = ?2 ORDER BY seq DESC, id DESC LIMIT ?1" },
	{ "datasets", "SELECT " DATASET_COLUMNS " ORDER BY r.n DESC, d.position LIMIT ?1",
	  "SELECT " DATASET_COLUMNS " WHERE r.model = ?2 OR r.id = ?2 ORDER BY r.n DESC, d.position LIMIT ?1" },
	{ "edges", "SELECT " EDGE_COLUMNS " ORDER BY r.n DESC, e.position LIMIT ?1",
	  "SELECT " EDGE_COLUMNS " WHERE r.model = ?2 OR r.id = ?2 ORDER BY r.n DESC, e.position LIMIT ?1" },
	{ "curves", "SELECT " CURVE_COLUMNS " ORDER BY r.n, c.kind, c.step LIMIT ?1",
	  "SELECT " CURVE_COLUMNS " WHERE r.id = ?2 ORDER BY c.kind, c.step LIMIT ?1" },
};

#define VERSIONS_AT(of)                                                                                                \
	"WITH held AS MATERIALIZED (SELECT model, alias, version FROM (SELECT model, alias, version,"                  \
	" row_number() OVER (PARTITION BY model, alias ORDER BY seq DESC, id DESC) AS k FROM promotions"               \
	" WHERE created_ns <= ?3" of ") WHERE k = 1)"                                                                  \
	" SELECT v.model, v.number, v.object, v.key, v.product, v.run, r.commit_oid AS \"commit\","                    \
	" v.created, (SELECT json_group_array(alias) FROM (SELECT alias FROM held h"                                   \
	" WHERE h.model = v.model AND h.version = v.number ORDER BY alias)) AS \"aliases*\""                           \
	" FROM versions v JOIN runs r ON r.id = v.run WHERE v.created_ns <= ?3"

/* ?3: the time. An alias is what its last promotion until then said. */
static const struct list lists_at[] = {
	{ "versions", VERSIONS_AT("") " ORDER BY v.seq DESC, v.model, v.number DESC LIMIT ?1",
	  VERSIONS_AT(" AND model = ?2") " AND v.model = ?2 ORDER BY v.number DESC LIMIT ?1" },
	{ "history", "SELECT " HISTORY_COLUMNS " WHERE created_ns <= ?3 ORDER BY seq DESC, id DESC LIMIT ?1",
	  "SELECT " HISTORY_COLUMNS " WHERE created_ns <= ?3 AND model = ?2 ORDER BY seq DESC, id DESC LIMIT ?1" },
};

static const char *const runs_by[] = {
	[RUNS_BY_ID] = "SELECT " RUN_COLUMNS " WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY n DESC",
	[RUNS_BY_COMMIT] = "SELECT " RUN_COLUMNS " WHERE commit_oid >= ?1 AND commit_oid < ?1 || 'g' ORDER BY n DESC",
	[RUNS_BY_BRANCH] = "SELECT " RUN_COLUMNS " WHERE branch = ?1 ORDER BY n DESC",
	[RUNS_BY_MODEL] = "SELECT " RUN_COLUMNS " WHERE model = ?1 ORDER BY n DESC",
	[RUNS_BY_BASELINE] = "SELECT " RUN_COLUMNS " WHERE baseline_run = ?1 ORDER BY n DESC",
	[RUNS_BY_BASELINE_MODEL] = "SELECT " RUN_COLUMNS " WHERE baseline_model = ?1 ORDER BY n DESC",
};

/* Newest first, one probe of metrics a run: its first filter and suite, where several fit. */
#define TREND(filter)                                                                                                  \
	"SELECT r.id, r.commit_oid, r.created, r.verdict, r.model, m.value, m.stderr, m.n, r.version,"                 \
	" m.higher_is_better"                                                                                          \
	" FROM runs r INDEXED BY runs_by_branch CROSS JOIN metrics m ON m.run = r.n AND m.task = ?2 AND m.metric = "   \
	"?3" filter " WHERE r.branch = ?1 ORDER BY r.n DESC, m.filter, m.suite"
#define SQL_TREND TREND("")
#define SQL_TREND_OF TREND(" AND m.filter = ?4")

static int list_of(const struct list *table, size_t n, const char *what, const struct list **out)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(table[i].name, what)) {
			*out = &table[i];
			return 0;
		}
	}
	return err_set(ERR_BUG, "registry: there is no list of %s", what);
}

int registry_list(struct registry *r, const char *what, const char *filter, int64_t limit, json_t **rows)
{
	const struct list *l = NULL;
	int64_t most = limit > 0 ? limit : -1;
	int rc = list_of(lists, ARRAY_LEN(lists), what, &l);

	if (rc)
		return rc;
	return filter ? sql_rows(r, rows, l->some, "it", most, filter) : sql_rows(r, rows, l->all, "i", most);
}

int registry_list_text(struct registry *r, const char *what, const char *filter, int64_t limit,
		       int (*put)(const void *data, size_t len, void *arg), void *arg)
{
	const struct list *l = NULL;
	int64_t most = limit > 0 ? limit : -1;
	int rc = list_of(lists, ARRAY_LEN(lists), what, &l);

	if (rc)
		return rc;
	return filter ? sql_rows_text(r, put, arg, l->some, "it", most, filter)
		      : sql_rows_text(r, put, arg, l->all, "i", most);
}

int registry_list_at(struct registry *r, const char *what, const char *filter, int64_t limit, int64_t unix_ns,
		     json_t **rows)
{
	const struct list *l = NULL;
	int64_t most = limit > 0 ? limit : -1;
	int rc = list_of(lists_at, ARRAY_LEN(lists_at), what, &l);

	return rc ? rc : sql_rows(r, rows, filter ? l->some : l->all, "iti", most, filter, unix_ns);
}

int registry_runs(struct registry *r, enum runs_by by, const char *key, int (*each)(json_t *row, void *arg), void *arg)
{
	return sql_each(r, each, arg, runs_by[by], "t", key);
}

/* ---- a metric's history ---------------------------------------------------------------------- */

/* Thousands of runs are compared by it: so the rows are no JSON. */
struct points {
	struct map seen; /* commits, or runs that have none */
	int64_t left;    /* < 0: all */
	int (*each)(const struct registry_point *p, void *arg);
	void *arg;
};

static const char *text_of(sqlite3_stmt *st, int i)
{
	return (const char *)sqlite3_column_text(st, i);
}

static double real_of(sqlite3_stmt *st, int i)
{
	return sqlite3_column_type(st, i) == SQLITE_NULL ? NAN : sqlite3_column_double(st, i);
}

/* The newest run of a commit comes first, and stands for it. */
static bool give_point(sqlite3_stmt *st, void *arg)
{
	struct points *t = arg;
	struct registry_point p = { .run = text_of(st, 0), .commit = text_of(st, 1) };
	const char *of = p.commit ? p.commit : p.run;

	if (!map_put(&t->seen, of, strlen(of), 0))
		return true;
	p.created = text_of(st, 2);
	p.verdict = text_of(st, 3);
	p.model = text_of(st, 4);
	p.value = real_of(st, 5);
	p.error = real_of(st, 6);
	p.n = sqlite3_column_int64(st, 7);
	p.version = sqlite3_column_int64(st, 8);
	p.higher_is_better = sqlite3_column_int(st, 9);
	return !t->each(&p, t->arg) && --t->left;
}

int registry_points(struct registry *r, const char *branch, const char *task, const char *metric, const char *filter,
		    int64_t limit, int (*each)(const struct registry_point *p, void *arg), void *arg)
{
	struct points t = { .left = limit > 0 ? limit : -1, .each = each, .arg = arg };
	int rc;

	map_init(&t.seen);
	rc = filter ? sql_visit(r, give_point, &t, SQL_TREND_OF, "tttt", branch, task, metric, filter)
		    : sql_visit(r, give_point, &t, SQL_TREND, "ttt", branch, task, metric);
	map_release(&t.seen);
	return rc;
}

static json_t *text_or_null(const char *text)
{
	return text ? json_new_text(text, strlen(text)) : json_null();
}

static json_t *real_or_null(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static int add_point(const struct registry_point *p, void *rows)
{
	json_t *row = json_object();

	json_object_set_new(row, "run", text_or_null(p->run));
	json_object_set_new(row, "commit", text_or_null(p->commit));
	json_object_set_new(row, "created", text_or_null(p->created));
	json_object_set_new(row, "verdict", text_or_null(p->verdict));
	json_object_set_new(row, "value", real_or_null(p->value));
	json_object_set_new(row, "stderr", real_or_null(p->error));
	json_object_set_new(row, "n", json_integer(p->n));
	json_object_set_new(row, "higher_is_better", json_boolean(p->higher_is_better));
	json_object_set_new(row, "model", text_or_null(p->model));
	json_object_set_new(row, "version", p->version ? json_integer(p->version) : json_null());
	json_array_append_new(rows, row);
	return 0;
}

int registry_trend(struct registry *r, const char *branch, const char *task, const char *metric, const char *filter,
		   int64_t limit, json_t **rows)
{
	json_t *newest = json_array();
	int rc = registry_points(r, branch, task, metric, filter, limit, add_point, newest);

	if (!rc) {
		*rows = json_array();
		for (size_t i = json_array_size(newest); i > 0; i--)
			json_array_append(*rows, json_array_get(newest, i - 1));
	}
	json_decref(newest);
	return rc;
}
